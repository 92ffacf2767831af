//! The purge promise, checked: real nodes on real Redis servers that are killed, paused, emptied,
//! set back and failed over, while readers read as fast as they may and writers change prices and
//! push the events.
//!
//! Each answer of the origin is the version of its item. So each read can be judged by itself, from
//! what was acknowledged before it was sent: [`ledger`] holds the rules, [`checked`] the nodes and
//! the load, and the other files the histories. `docs/consistency.md` has the promise.
//!
//! A history can never fail because the machine is slow: what is promised is relative to the
//! configured `redis.purge.fence_after`. It could only show less, so each goes on until it has
//! checked enough reads, and enough of them were answered from store.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

#[path = "../support/mod.rs"]
mod support;

mod checked;
mod cut_off;
mod failovers;
mod forks;
mod ledger;
mod losses;
mod prices;
mod random;
mod redis_plane;
