//! The stand-in Retail Server over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "sandbox/batch.rs"]
mod batch;
#[path = "sandbox/batch_faults.rs"]
mod batch_faults;
#[path = "sandbox/batch_json.rs"]
mod batch_json;
#[path = "sandbox/carts.rs"]
mod carts;
#[path = "sandbox/client.rs"]
mod client;
#[path = "sandbox/command.rs"]
mod command;
#[path = "sandbox/data.rs"]
mod data;
#[path = "sandbox/identity.rs"]
mod identity;
#[path = "sandbox/odata.rs"]
mod odata;
#[path = "sandbox/operations.rs"]
mod operations;
#[path = "sandbox/preflights.rs"]
mod preflights;
#[path = "sandbox/push.rs"]
mod push;
#[path = "sandbox/refusals.rs"]
mod refusals;
#[path = "sandbox/sickness.rs"]
mod sickness;
