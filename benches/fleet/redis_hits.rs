//! Hits that a node finds in Redis.

use std::time::Duration;

use crate::figures::{Figures, Targets, millis};
use crate::host::{Hosted, nodes};
use crate::load::{Load, Reply};
use crate::shelf::{origin, product};
use crate::support::fleet::redis_at;
use crate::support::redis::server::Server;

const RATE: u32 = 2_000;
/// Each is read from Redis once: then it is in memory.
const PRODUCTS: usize = 20_000;
/// Read before anything is measured.
const WARM_UP: usize = 2_000;

/// How many commands took at most how long, by the node's own metric.
async fn within(node: &Hosted, command: &str) -> Vec<(f64, u64)> {
    let text = node.control("/metrics").await.text();
    let start =
        format!("csu_edge_redis_command_duration_seconds_bucket{{command=\"{command}\",le=\"");
    let buckets = text.lines().filter_map(|line| line.strip_prefix(&start));
    let read = |line: &str| {
        let (bound, count) = line.split_once("\"} ")?;
        Some((bound.parse().ok()?, count.parse().ok()?))
    };
    buckets.filter_map(read).collect()
}

pub(crate) async fn measure(targets: &mut Targets) {
    let redis = Server::start(&[]).await;
    let origin = origin().await;
    let [a, b]: [Hosted; 2] = nodes(&origin.service_root(), &redis_at(redis.address()), |config| {
        // All that is fetched is to be written.
        config.redis.as_mut().unwrap().write_queue = 1 << 16;
    })
    .await;
    let all = WARM_UP + PRODUCTS;
    let fill = Load { rate: RATE, requests: all, connections: 16 };
    fill.run(a.node.addresses().storefront, product, |_, reply| {
        assert_eq!(reply.status(), 200);
    })
    .await;
    a.shared("written", all as f64).await;

    let storefront = b.node.addresses().storefront;
    let from_redis = |_, reply: &Reply| {
        assert!(reply.is_hit() && reply.cache_status().ends_with("detail=redis"), "{}", reply.head);
    };
    let warm_up = Load { rate: RATE, requests: WARM_UP, connections: 16 };
    warm_up.run(storefront, product, from_redis).await;
    let before = within(&b, "get").await;
    let load = Load { rate: RATE, requests: PRODUCTS, connections: 16 };
    let shots = load.run(storefront, |at| product(WARM_UP + at), from_redis).await;
    let after = within(&b, "get").await;

    println!("{RATE} hits a second from Redis, each of another answer of 4.3 kB");
    let hits: Figures = shots.iter().map(|shot| shot.took).collect();
    println!("  seen by the client: {hits}");
    let counted = after.last().unwrap().1 - before.last().unwrap().1;
    for ((bound, until_now), (_, until_then)) in after.iter().zip(&before) {
        let share = (until_now - until_then) as f64 / counted as f64 * 100.0;
        if *bound <= 0.01 {
            println!("  commands within {:>6.2} ms: {share:.2} %", bound * 1e3);
        }
    }
    // The machine's own share: the same answers once more, from memory.
    let again = Load::lasting(RATE, Duration::from_secs(5));
    let from_memory = again
        .run(
            storefront,
            |at| product(WARM_UP + at),
            |_, reply| assert!(reply.is_hit() && !reply.cache_status().contains("detail")),
        )
        .await;
    let memory: Figures = from_memory.iter().map(|shot| shot.took).collect();
    println!("  the same from memory: {memory}");
    targets.at_most("p99 of hits from Redis", millis(hits.at(0.99)), 1.0, "ms");
}
