//! A Redis that takes every command and answers none.

use std::time::Duration;

use crate::figures::{Figures, Targets, millis};
use crate::host::Hosted;
use crate::load::{Load, Reply};
use crate::shelf::{origin, price, product};
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::fleet::redis_at;
use crate::support::redis::server::Server;
use crate::support::redis::until;

const HITS: usize = 500;
const HIT_RATE: u32 = 1_000;
const MISS_RATE: u32 = 200;
const SPAN: Duration = Duration::from_secs(10);

/// Hits in memory, of products.
async fn hits(node: &Hosted, span: Duration, detail: &'static str) -> Figures {
    let shots = Load::lasting(HIT_RATE, span).run(
        node.node.addresses().storefront,
        |at| product(at % HITS),
        move |_, reply| {
            assert!(reply.is_hit() && reply.cache_status().contains(detail), "{}", reply.head);
        },
    );
    shots.await.iter().map(|shot| shot.took).collect()
}

/// Reads of what nobody has asked for before.
async fn misses(node: &Hosted, span: Duration, first: &mut usize) -> Figures {
    let from = *first;
    let load = Load::lasting(MISS_RATE, span);
    *first += load.requests;
    let to = node.node.addresses().storefront;
    let shots = load.run(
        to,
        move |at| product(from + at),
        |_, reply: &Reply| {
            assert!(!reply.is_hit() && reply.status() == 200, "{}", reply.head);
        },
    );
    shots.await.iter().map(|shot| shot.took).collect()
}

pub(crate) async fn measure(targets: &mut Targets) {
    let redis = Server::start(&[]).await;
    let proxy = FaultProxy::before(redis.address()).await;
    let origin = origin().await;
    let service_root = origin.service_root();
    let alone = Hosted::start(&service_root, None, |_| ()).await;
    let node = Hosted::start(&service_root, Some(redis_at(proxy.address())), |_| ()).await;
    // The proxy's own timers add a millisecond or so to each command that it forwards.
    let direct = Hosted::start(&service_root, Some(redis_at(redis.address())), |_| ()).await;
    let storefront = node.node.addresses().storefront;
    let fill = Load { rate: HIT_RATE, requests: HITS, connections: 16 };
    fill.run(storefront, product, |_, reply| assert_eq!(reply.status(), 200)).await;
    fill.run(storefront, price, |_, reply| assert_eq!(reply.status(), 200)).await;
    let mut next = HITS;

    println!(
        "{HIT_RATE} hits a second of products, then {MISS_RATE} misses a second; the origin \
              answers at once"
    );
    hits(&node, Duration::from_secs(2), "").await;
    let before = hits(&node, SPAN, "").await;
    println!("  hits, Redis well: {before}");
    misses(&alone, Duration::from_secs(2), &mut next).await;
    let without = misses(&alone, SPAN, &mut next).await;
    println!("  misses, no [redis]: {without}");
    misses(&direct, Duration::from_secs(2), &mut next).await;
    let with = misses(&direct, SPAN, &mut next).await;
    println!("  misses, Redis well: {with}");
    drop(direct);

    proxy.set(Fault::Hang);
    let (first_hits, first_misses) = tokio::join!(
        hits(&node, Duration::from_secs(1), ""),
        misses(&node, Duration::from_secs(1), &mut next),
    );
    println!("  hits in the first second of hanging, misses beside: {first_hits}");
    println!("  misses in the first second of hanging: {first_misses}");
    until("the tier is given up", async || {
        (node.metric("csu_edge_redis_breaker_state{link=\"tier\"}").await > 0.0).then_some(())
    })
    .await;
    node.fenced(true).await;
    // What was stored long enough ago is asked for anew behind the fence, by and by.
    let during = hits(&node, SPAN, "").await;
    println!("  hits, Redis hangs, fence down: {during}");
    let missing = misses(&node, SPAN, &mut next).await;
    println!("  misses, Redis hangs: {missing}");
    let strict = Load::lasting(MISS_RATE, Duration::from_secs(5)).run(
        storefront,
        |at| price(at % HITS),
        |_, reply| reply.is_hit(),
    );
    let strict = strict.await;
    let served = strict.iter().filter(|shot| shot.told).count();
    let strict: Figures = strict.iter().map(|shot| shot.took).collect();
    println!("  prices that were stored, fence down ({served} from store): {strict}");

    let ratio = |share| during.at(share).as_secs_f64() / before.at(share).as_secs_f64();
    let added = |share| millis(missing.at(share)) - millis(without.at(share));
    targets.at_most("p50 of hits, hanging over well,", ratio(0.5), 1.25, "times");
    targets.at_most("p99 of hits, hanging over well,", ratio(0.99), 1.5, "times");
    targets.at_most("p50 of misses, added,", added(0.5), 1.0, "ms");
    targets.at_most("p99 of misses, added,", added(0.99), 1.0, "ms");
}
