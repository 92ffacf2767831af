//! Two storefront pages, as a shop's server plays them, on a stand-in Retail Server 250 ms away:
//! how long each read takes, the first time and ever after.
//!
//! Ends with 1 when a read of the second round takes 5 ms or more, or is not a hit.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what a measurement cannot do without ends it"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use csu_edge::clock::Clock;
use support::shop::{FIRST, Page, Shop, listing, product_page};

const LATENCY: Duration = Duration::from_millis(250);
/// What the slowest read of the second round must stay below.
const BOUND: Duration = Duration::from_millis(5);
/// Rounds of hits; the first of them is the second round in all.
const ROUNDS: usize = 50;

/// One read and how long it took.
struct Read {
    operation: &'static str,
    took: Duration,
    is_hit: bool,
}

/// Asks for a page's parts one after the other, so that each read is measured alone.
async fn play(shop: &Shop, page: &Page) -> Vec<Read> {
    let mut reads = Vec::new();
    for (operation, request) in page {
        let request = request.clone();
        let sent = Instant::now();
        let got = shop.node.send(request).await;
        reads.push(Read { operation, took: sent.elapsed(), is_hit: got.is_hit() });
    }
    reads
}

fn median(reads: &[Read]) -> Duration {
    let mut took: Vec<Duration> = reads.iter().map(|read| read.took).collect();
    took.sort_unstable();
    took[took.len() / 2]
}

fn slowest(reads: &[Read]) -> &Read {
    reads.iter().max_by_key(|read| read.took).unwrap()
}

fn report(round: &str, reads: &[Read]) {
    let (median, slowest) = (median(reads), slowest(reads));
    let hits = reads.iter().filter(|read| read.is_hit).count();
    println!(
        "{round}: {} reads, {hits} hits, median {median:.1?}, slowest {:.1?} ({})",
        reads.len(),
        slowest.took,
        slowest.operation,
    );
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let clock = Clock::system();
    let shop = Shop::open(clock.clone(), LATENCY, |_| {}).await;
    let products: Vec<i64> = (FIRST..FIRST + 24).collect();
    let mut first = Vec::new();
    let mut second = Vec::new();
    let mut later = Vec::new();
    for round in 0..=ROUNDS {
        if round == 1 {
            shop.sandbox.reset_stats();
        }
        // As a browser does: each page says when it is shown.
        let pages = [listing(&products, clock.now()), product_page(FIRST, clock.now())];
        for page in &pages {
            let reads = play(&shop, page).await;
            match round {
                0 => first.extend(reads),
                1 => second.extend(reads),
                _ => later.extend(reads),
            }
        }
    }
    report("first round", &first);
    report("second round", &second);
    report("later rounds", &later);
    let asked = shop.sandbox.total_requests();
    println!("requests to the origin after the first round: {asked}");
    let is_good =
        asked == 0 && second.iter().all(|read| read.is_hit) && slowest(&second).took < BOUND;
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
