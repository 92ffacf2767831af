//! Nodes on one Redis: a response fetched by one is a hit on all, and a purge acknowledged by one
//! holds on all.

#[path = "../support/mod.rs"]
mod support;

mod tier;
