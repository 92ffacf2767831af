//! The checker, checked: with a rule taken away, it finds what it is there to find.
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
mod forks;
mod ledger;
mod prices;
mod redis_plane;

use std::time::Duration;

use csu_edge::config::Config;
use csu_edge::purge::Rule;

use checked::Checked;
use forks::Fork;
use ledger::{Promise, Violation};
use support::fault_proxy::{Fault, FaultProxy};
use support::fleet::{impatient, redis_at};
use support::redis::server::Server;

/// How often a history is played at most.
const TIMES: usize = 8;

fn without(rule: Rule) -> impl Fn(&mut Config) {
    move |config| config.purge.without = Some(rule)
}

async fn is_found(name: &str, fleet: Checked, wanted: &[ledger::Rule]) {
    let (tally, violation) = fleet.end().await;
    let Some(Violation { rule, .. }) = violation.clone() else {
        panic!("{name}: nothing was found in {tally}");
    };
    println!("{name}: found after {tally}\n{}", violation.unwrap());
    assert!(wanted.contains(&rule), "{name}: {rule:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stamp_that_is_taken_when_the_answer_is_stored_is_found() {
    let redis = Server::start(&[]).await;
    let rules = impatient(redis_at(redis.address()));
    let ways = [rules.clone(), rules.clone(), rules];
    let fleet = Checked::of(Promise::Strict, ways, without(Rule::StampBefore)).await;
    fleet.goes_on(Duration::from_secs(30)).await;
    is_found("stamps late", fleet, &[ledger::Rule::Here, ledger::Rule::Fence]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_without_nonces_are_found() {
    let fork = Fork::set(without(Rule::Nonces)).await;
    for _ in 0..TIMES {
        fork.play(Fault::Reset).await;
        if fork.fleet.ledger.violation().is_some() {
            break;
        }
    }
    is_found("no nonces", fork.fleet, &[ledger::Rule::Here, ledger::Rule::Fence]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_fence_is_found() {
    let redis = Server::start(&[]).await;
    let way = FaultProxy::before(redis.address()).await;
    let direct = || impatient(redis_at(redis.address()));
    let ways = [direct(), direct(), impatient(redis_at(way.address()))];
    let fleet = Checked::of(Promise::Strict, ways, without(Rule::Fence)).await;
    for _ in 0..TIMES {
        fleet.senders_reach(&[0, 1]);
        fleet.tell("node 2 is cut off");
        way.set(Fault::Hang);
        fleet.goes_on(Duration::from_secs(2)).await;
        way.set(Fault::Pass);
        if fleet.ledger.violation().is_some() {
            break;
        }
        fleet.goes_on(Duration::from_millis(500)).await;
    }
    is_found("no fence", fleet, &[ledger::Rule::Fence]).await;
}
