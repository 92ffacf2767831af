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

const SUBJECTS: [&str; 3] = ["listings", "composed", "gate"];

/// Wrong usage (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

// The node's listeners have threads of their own; these carry the stand-in and the events.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    // Cargo says `--bench`.
    let named: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let Some(unknown) = named.iter().find(|name| !SUBJECTS.contains(&name.as_str())) {
        eprintln!("`{unknown}` is none of {}", SUBJECTS.join(", "));
        return ExitCode::from(USAGE);
    }
    tell_machine(&[]);
    let mut targets = Targets::default();
    for subject in SUBJECTS {
        if !named.is_empty() && !named.iter().any(|name| name == subject) {
            continue;
        }
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
