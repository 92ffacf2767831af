//! What the node answers is what its origin would have answered: random lists are asked of both, and
//! the answers are the same JSON, order included, while the node puts most of them together from
//! what it has. So are random batches, of lists, other reads, writes and what is refused.
//!
//! The seed is printed. `CSU_EDGE_DIFFERENTIAL_SEED` gives it again: the lists and the changes are
//! the same then, how requests overlap is not.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

#[path = "../support/mod.rs"]
mod support;

mod alike;
mod asking;
mod batches;
mod batching;
mod lists;
mod parts;
mod regressions;
mod table;
mod world;

use std::time::Duration;

use csu_edge::clock::Clock;
use csu_edge::config::{BatchMode, Config, OperationRule};
use csu_edge::operation::{Class, Identity};
use csu_edge::sandbox::Settings;
use rand::SeedableRng;
use rand::rngs::StdRng;

use asking::{Pair, Tally, seed};
use batches::Batches;
use batching::{BatchTally, Both};
use lists::{Lists, Operation};
use support::node::{Running, START};
use support::shop::Shop;
use table::Table;

/// Whoever is signed in has answers of its own, and nothing is served past its lifetime: what an
/// event purges softly may serve while it is fetched anew, and would differ by right.
fn by_identity(config: &mut Config) {
    config.classes.of_mut(Class::Product).stale_while_revalidate = Duration::ZERO;
    config.operations = Operation::ALL
        .map(|operation| OperationRule {
            name: operation.name().to_owned(),
            identity: Some(Identity::Token),
            ..OperationRule::default()
        })
        .into();
}

/// A stand-in that answers after a moment, so that requests overlap.
fn settings() -> Settings {
    let latency = Duration::from_millis(2);
    Settings { latency, latency_jitter: latency, ..Settings::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_all_changes_every_list_is_answered_as_the_origin_answers_it() {
    const WORLDS: usize = 20;
    const LISTS: usize = 100;
    let seed = seed();
    let (mut lists, mut random) = (Lists::new(seed), StdRng::seed_from_u64(!seed));
    let shop = Shop::with(settings(), Clock::manual(START), by_identity).await;
    let pair = Pair::new(&shop.node, shop.sandbox.address(), seed);
    let mut tally = Tally::default();
    for world in 0..WORLDS {
        pair.compare(lists.take(LISTS), &mut tally).await;
        // What is asked while it changes may be answered either way, and leaves nothing behind.
        let stirring = pair.stir(lists.take(6), &mut tally);
        let changing = async {
            for _ in 0..1 + world % 4 {
                world::change(&shop.sandbox, &mut random).await;
            }
        };
        tokio::join!(stirring, changing);
        shop.node.clock.advance(world::pause(&mut random));
    }
    let asked_for = pair.asked_for(&tally).await;
    println!("{tally:?}, and the origin was asked for {asked_for}");
    assert_eq!(tally.compared, WORLDS * LISTS);
    assert!(2 * tally.put_together() > tally.lists, "most are put together from what there is");
    assert!(tally.hits > 200 && tally.partial > 200, "wholly and partly");
    assert!(asked_for < tally.elements / 10 * 6, "the origin is asked for far less");
    assert!(tally.whole > 50 && tally.collapsed > 0, "taken whole, and shared");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_that_the_origin_cuts_are_the_origins() {
    let seed = seed();
    let mut lists = Lists::new(seed);
    let settings = Settings { page_size: 20, ..settings() };
    let shop = Shop::with(settings, Clock::manual(START), by_identity).await;
    let pair = Pair::new(&shop.node, shop.sandbox.address(), seed);
    let mut tally = Tally::default();
    // That the origin cuts pages shows in the first page that it cuts, of each operation.
    pair.compare(lists.one_of_each(60), &mut tally).await;
    pair.compare(lists.take(200), &mut tally).await;
    println!("{tally:?}");
    assert!(tally.put_together() > 30 && tally.whole > 30, "some are cut, others are not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_that_reads_a_table_is_answered_for_as_it_answers() {
    let seed = seed();
    let mut lists = Lists::new(seed);
    let table = Table::start().await;
    let root = format!("http://{}/Commerce", table.address);
    let node = Running::start(&root, by_identity).await;
    let pair = Pair::new(&node, table.address, seed);
    let mut tally = Tally::default();
    pair.compare(lists.take(300), &mut tally).await;
    let asked_for = pair.asked_for(&tally).await;
    println!("{tally:?}, and the origin was asked for {asked_for}");
    assert!(2 * tally.put_together() > tally.lists, "most are put together from what there is");
    assert!(asked_for < tally.elements / 10 * 6, "the origin is asked for far less");
}

/// Nothing is served past its lifetime, of whatever class, nor where the gate is shut for a moment;
/// and who is signed in is answered from the store, whatever is asked.
fn in_time(config: &mut Config) {
    by_identity(config);
    for class in Class::ALL {
        let lifetimes = config.classes.of_mut(class);
        lifetimes.stale_while_revalidate = Duration::ZERO;
        lifetimes.stale_if_error = Duration::ZERO;
    }
    config.operations.extend(batches::READS.map(|name| OperationRule {
        name: name.to_owned(),
        identity: Some(Identity::Token),
        ..OperationRule::default()
    }));
}

async fn while_all_changes_batches_are_answered(
    mode: BatchMode,
    settings: Settings,
    worlds: usize,
) -> BatchTally {
    const NEW: usize = 12;
    let seed = seed();
    let (mut batches, mut random) = (Batches::new(seed), StdRng::seed_from_u64(!seed));
    let shop = Shop::with(settings, Clock::manual(START), |config| {
        in_time(config);
        config.storefront.batch = mode;
    })
    .await;
    // That the origin cuts pages shows in the first page that it cuts, of each operation.
    for list in Lists::new(seed).one_of_each(60) {
        shop.node.send(list.request).await;
    }
    let both = Both::new(&shop, seed);
    let (mut tally, mut asked) = (BatchTally::default(), Vec::new());
    for world in 0..worlds {
        // Those of the world before once more, when something of them has changed.
        let new = batches.take(NEW);
        asked.extend(new.iter().cloned());
        shop.node.clock.advance(world::pause(&mut random));
        // What is asked while it changes may be answered either way, and leaves nothing behind.
        let changing = async {
            for _ in 0..1 + world % 4 {
                world::change(&shop.sandbox, &mut random).await;
            }
        };
        tokio::join!(both.stir(&asked), changing);
        both.compare(&asked, &mut tally).await;
        asked = new;
    }
    println!("{tally:?}");
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_all_changes_every_batch_is_answered_as_the_origin_answers_it() {
    let tally = while_all_changes_batches_are_answered(BatchMode::Batch, settings(), 44).await;
    assert!(tally.batches > 1_000, "{tally:?}");
    assert!(tally.hits > 50 && tally.partial > 200 && tally.passed > 50, "{tally:?}");
    assert!(tally.cut_short > 25 && tally.writes > 200, "{tally:?}");
    // Its parts are of several channels and languages, each of which goes as a batch of its own.
    assert!(3 * tally.asked_by_node < tally.parts as u64, "few calls for many parts: {tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_by_call_every_batch_is_answered_as_the_origin_answers_it() {
    // Of long lists, the origin cuts pages.
    let settings = Settings { page_size: 40, ..settings() };
    let tally = while_all_changes_batches_are_answered(BatchMode::Calls, settings, 44).await;
    assert!(tally.batches > 1_000, "{tally:?}");
    assert!(tally.hits > 40 && tally.partial > 120, "{tally:?}");
    assert!(tally.asked_by_node > tally.asked_directly, "call by call: {tally:?}");
}
