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

#[path = "../../tests/support/mod.rs"]
mod support;

mod bulk;
mod constants;
mod figures;
mod hanging;
mod host;
mod load;
mod propagation;
mod redis_hits;
mod shelf;
mod tags;

use std::process::{Command, ExitCode};

use csu_edge::clock::Clock;
use figures::Targets;

const SUBJECTS: [&str; 6] = ["propagation", "bulk", "redis_hits", "hanging", "tags", "constants"];

/// Wrong usage (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

fn first_line(program: &str) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.ok().and_then(|text| Some(text.lines().next()?.to_owned())).unwrap_or_default()
}

fn tell_machine() {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let models = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = models.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(": ")).map_or("unknown", |(_, name)| name);
    println!("{}, {cores} cores of {model}", Clock::system().now());
    println!("{}", first_line("redis-server"));
    println!("{}, csu-edge {}", first_line("rustc"), env!("CARGO_PKG_VERSION"));
}

/// How busy the machine is tells how much a figure is worth.
fn tell_load() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load average {}", load.split(' ').next().unwrap_or_default());
}

// The nodes have threads of their own; these carry the origin, the fault proxy and clients.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    // Cargo says `--bench`.
    let named: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let Some(unknown) = named.iter().find(|name| !SUBJECTS.contains(&name.as_str())) {
        eprintln!("`{unknown}` is none of {}", SUBJECTS.join(", "));
        return ExitCode::from(USAGE);
    }
    tell_machine();
    let mut targets = Targets::default();
    for subject in SUBJECTS {
        if !named.is_empty() && !named.iter().any(|name| name == subject) {
            continue;
        }
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
