//! What lists cost that are kept by the things in them, and what the gate before the origin lets
//! through: a real node and the stand-in Retail Server on loopback, under loads that end by
//! themselves.
//!
//! `cargo bench --bench listings -- [subject…]`; all subjects where none is named. Ends with 1 when
//! a target is missed.

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

mod composed;
mod door;
mod gate;
mod listings;
mod market;
mod pace;
mod question;

use std::process::ExitCode;

use common::figures::Targets;
use common::machine::{tell_load, tell_machine};
use common::subjects;

const SUBJECTS: [&str; 3] = ["listings", "composed", "gate"];

// The node's listeners have threads of their own; these carry the stand-in and the events.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let subjects = match subjects::asked_for(&SUBJECTS) {
        Ok(subjects) => subjects,
        Err(wrong) => return wrong,
    };
    tell_machine(&[]);
    let mut targets = Targets::default();
    for subject in subjects {
        println!("\n# {subject}");
        tell_load();
        match subject {
            "listings" => listings::measure(&mut targets).await,
            "composed" => composed::measure(&mut targets).await,
            _ => gate::measure(&mut targets).await,
        }
    }
    if targets.all_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
