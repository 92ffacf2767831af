//! What several nodes on one Redis cost and promise: a real `redis-server` and real nodes on
//! loopback, under loads that end by themselves.
//!
//! `cargo bench --bench fleet -- [subject…]`; all subjects where none is named. Ends with 1 when a
//! target is missed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what a measurement cannot do without ends it"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../../tests/support/mod.rs"]
mod support;

mod bulk;
mod constants;
mod hanging;
mod host;
mod propagation;
mod redis_hits;
mod shelf;
mod tags;

use std::process::ExitCode;

use common::figures::Targets;
use common::machine::{tell_load, tell_machine};
use common::{figures, load, subjects};

const SUBJECTS: [&str; 6] = ["propagation", "bulk", "redis_hits", "hanging", "tags", "constants"];

// The nodes have threads of their own; these carry the origin, the fault proxy and clients.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let subjects = match subjects::asked_for(&SUBJECTS) {
        Ok(subjects) => subjects,
        Err(wrong) => return wrong,
    };
    tell_machine(&["redis-server"]);
    let mut targets = Targets::default();
    for subject in subjects {
        println!("\n# {subject}");
        tell_load();
        match subject {
            "propagation" => propagation::measure(&mut targets).await,
            "bulk" => bulk::measure(&mut targets).await,
            "redis_hits" => redis_hits::measure(&mut targets).await,
            "hanging" => hanging::measure(&mut targets).await,
            "tags" => tags::measure(&mut targets).await,
            _ => constants::measure().await,
        }
    }
    if targets.all_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
