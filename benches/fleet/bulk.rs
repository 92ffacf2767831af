//! 100,000 tags in one event, and what hits feel of it.

use std::time::{Duration, Instant};

use crate::figures::{Figures, Targets, millis};
use crate::host::{Applied, Hosted, applied_by_all, nodes};
use crate::load::{Load, Shot, ask};
use crate::shelf::{event, origin, product, sequence};
use crate::support::fleet::redis_at;
use crate::support::redis::server::Server;

const TAGS: usize = 100_000;
const EVENTS: usize = 5;
/// Hits a second on one node.
const RATE: u32 = 1_000;
/// Products that are asked for.
const PRODUCTS: usize = 1_000;
const BEFORE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) async fn measure(targets: &mut Targets) {
    let redis = Server::start(&[]).await;
    let origin = origin().await;
    let nodes: [Hosted; 3] = nodes(&origin.service_root(), &redis_at(redis.address()), |config| {
        // Such an event has some 3 MB.
        config.ingest.body_bytes = 8 << 20;
    })
    .await;
    let applied: Vec<Applied> = nodes.iter().map(Hosted::applied).collect();
    let mut next = 0;
    for (taker, told) in [(0, "the node that takes the events"), (1, "another node")] {
        // Hits are on the first node, whoever takes the events.
        let storefront = nodes[0].node.addresses().storefront;
        let warm = Load { rate: 1_000, requests: PRODUCTS, connections: 16 };
        warm.run(storefront, product, |_, reply| assert_eq!(reply.status(), 200)).await;

        let ingest = nodes[taker].node.addresses().ingest;
        let purging = async {
            tokio::time::sleep(BEFORE).await;
            let mut spans = Vec::new();
            for _ in 0..EVENTS {
                let sent = ask(ingest, event(next..next + TAGS)).await;
                next += TAGS;
                let ended = applied_by_all(&applied, sequence(&sent.told)).await;
                spans.push((sent.started, sent.took, ended));
                tokio::time::sleep(PAUSE).await;
            }
            spans
        };
        // An event takes a second or two at most; what is past them counts as nothing.
        let load = Load::lasting(RATE, BEFORE + (PAUSE + Duration::from_secs(2)) * EVENTS as u32);
        let hits = load.run(
            storefront,
            |at| product(at % PRODUCTS),
            |_, reply| assert!(reply.is_hit(), "{}", reply.head),
        );
        let (spans, hits) = tokio::join!(purging, hits);

        println!("{TAGS} tags an event, {RATE} hits a second on {told}");
        let acknowledged: Figures = spans.iter().map(|(_, took, _)| *took).collect();
        let everywhere: Figures = spans.iter().map(|(sent, _, ended)| *ended - *sent).collect();
        println!("  acknowledged: {acknowledged}");
        println!("  applied on all: {everywhere}");
        let first = spans[0].0;
        let before: Figures =
            hits.iter().filter(|hit| hit.started + hit.took < first).map(|hit| hit.took).collect();
        let is_during =
            |hit: &&Shot<()>| spans.iter().any(|(sent, _, ended)| overlaps(hit, *sent, *ended));
        let during: Figures = hits.iter().filter(is_during).map(|hit| hit.took).collect();
        println!("  hits before: {before}");
        println!("  hits during: {during}");
        targets.at_most("slowest event to all nodes", millis(everywhere.at(1.0)), 2_000.0, "ms");
        let ratio = during.at(0.99).as_secs_f64() / before.at(0.99).as_secs_f64();
        targets.at_most("p99 of hits during, over before,", ratio, 2.0, "times");
    }
}

fn overlaps<T>(hit: &Shot<T>, from: Instant, to: Instant) -> bool {
    hit.started < to && hit.started + hit.took > from
}
