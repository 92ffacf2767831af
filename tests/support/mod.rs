//! What the scenario tests share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

pub mod fault_proxy;
pub mod fleet;
pub mod frames;
pub mod node;
pub mod origin;
pub mod process;
pub mod raw;
pub mod reads;
pub mod redis;
pub mod shop;
pub mod wire;
