//! Redis, or the way to it, does not answer.

use std::time::Duration;

use csu_edge::config::Redis;
use futures_util::future::join_all;
use serde_json::json;

use crate::checked::{Checked, NODES};
use crate::ledger::Promise;
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::fleet::{impatient, redis_at};
use crate::support::redis::server::Server;

/// The node that is cut off.
const C: usize = 2;

/// Nodes of which the last one has a way of its own to Redis.
async fn with_proxy(
    promise: Promise,
    redis: &Server,
    rules: impl Fn(Redis) -> Redis,
) -> (Checked, FaultProxy) {
    let proxy = FaultProxy::before(redis.address()).await;
    let direct = || rules(redis_at(redis.address()));
    let ways: [Redis; NODES] = [direct(), direct(), rules(redis_at(proxy.address()))];
    (Checked::of(promise, ways, |_| ()).await, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_stopped_for_five_seconds() {
    let redis = Server::start(&[]).await;
    let fleet = Checked::on(Promise::Whole, &redis_at(redis.address())).await;
    fleet.goes_on(Duration::from_millis(700)).await;
    fleet.tell("Redis is stopped");
    redis.pause().await;
    fleet.goes_on(Duration::from_secs(5)).await;
    fleet.fenced(C).await;
    fleet.tell("Redis goes on");
    redis.resume();
    fleet.recovers().await;
    fleet.finish("stopped for five seconds", 10_000, 3_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_is_cut_off() {
    let redis = Server::start(&[]).await;
    let (fleet, proxy) = with_proxy(Promise::Whole, &redis, impatient).await;
    for fault in [Fault::HalfOpen, Fault::Hang, Fault::Reset] {
        fleet.tell(format!("node {C} is cut off: {fault:?}"));
        fleet.senders_reach(&[0, 1]);
        proxy.set(fault);
        fleet.fenced(C).await;
        fleet.events(20).await;
        fleet
            .until("it alone is fenced", async || {
                let fenced = [0, 1, C].map(|node| fleet.is_fenced(node));
                (join_all(fenced).await == [false, false, true]).then_some(())
            })
            .await;
        proxy.set(Fault::Pass);
        fleet.recovers().await;
    }
    // Not for long enough for its fence to fall each time.
    for millis in [20, 50, 100, 200, 300, 400, 450] {
        for fault in [Fault::Hang, Fault::HalfOpen] {
            fleet.tell(format!("node {C} is cut off for {millis} ms: {fault:?}"));
            proxy.set(fault);
            fleet.goes_on(Duration::from_millis(millis)).await;
            proxy.set(Fault::Pass);
            fleet.goes_on(Duration::from_millis(millis / 2)).await;
        }
    }
    fleet.recovers().await;
    fleet.finish("one node cut off", 14_000, 6_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_trimmed_past_a_node_that_sleeps() {
    // The log is trimmed by whole nodes of its tree: so, each entry is one.
    let redis = Server::start(&[("stream-node-max-entries", "1")]).await;
    let tiny = |redis| {
        let mut redis = impatient(redis);
        redis.purge.log_entries = 10;
        redis
    };
    let (fleet, proxy) = with_proxy(Promise::Strict, &redis, tiny).await;
    fleet.senders_reach(&[0, 1]);
    for purges in [1_200, 12] {
        fleet.tell(format!("node {C} sleeps"));
        proxy.set(Fault::Hang);
        fleet.events(3).await;
        for purge in 0..purges {
            let tag = format!("price/item:other-{purge}");
            let body = json!({ "tags": [tag] });
            fleet.nodes[purge % C].control_post("/purge", &body).await;
        }
        fleet.tell(format!("{purges} purges have passed; node {C} wakes up"));
        proxy.set(Fault::Pass);
        fleet.recovers().await;
        fleet.senders_reach(&[0, 1]);
    }
    fleet.finish("the log trimmed", 10_000, 3_000).await;
}
