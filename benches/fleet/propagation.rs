//! How long a purge takes to every node, at 200 a second.

use std::time::Duration;

use crate::figures::{Figures, Targets, millis};
use crate::host::{Applied, Hosted, applied_by_all, nodes};
use crate::load::{Load, Shot};
use crate::shelf::{event, origin, sequence};
use crate::support::fleet::redis_at;
use crate::support::redis::server::Server;

const RATE: u32 = 200;
const SPAN: Duration = Duration::from_secs(20);

async fn purge(node: &Hosted, span: Duration) -> Vec<Shot<u64>> {
    let to = node.node.addresses().ingest;
    Load::lasting(RATE, span).run(to, |at| event(at..at + 1), |_, reply| sequence(reply)).await
}

pub(crate) async fn measure(targets: &mut Targets) {
    let redis = Server::start(&[]).await;
    let origin = origin().await;
    let nodes: [Hosted; 3] =
        nodes(&origin.service_root(), &redis_at(redis.address()), |_| ()).await;
    let applied: Vec<Applied> = nodes.iter().map(Hosted::applied).collect();
    purge(&nodes[0], Duration::from_secs(2)).await;
    let shots = purge(&nodes[0], SPAN).await;

    let last = shots.iter().map(|shot| shot.told).max().unwrap();
    applied_by_all(&applied, last).await;
    let after = |node: &Applied, shot: &Shot<u64>| {
        node.at(shot.told).unwrap().saturating_duration_since(shot.started)
    };
    let acknowledged: Figures = shots.iter().map(|shot| shot.took).collect();
    println!("3 nodes, {RATE} events a second of one tag each, to the first node");
    println!("  acknowledged: {acknowledged}");
    for (node, name) in applied.iter().zip(["a", "b", "c"]) {
        let here: Figures = shots.iter().map(|shot| after(node, shot)).collect();
        println!("  applied on {name}: {here}");
    }
    let on_all = |shot| applied.iter().map(|node| after(node, shot)).max().unwrap();
    let everywhere: Figures = shots.iter().map(on_all).collect();
    println!("  applied on all: {everywhere}");
    targets.at_most("p50 to all nodes", millis(everywhere.at(0.5)), 5.0, "ms");
    targets.at_most("p99 to all nodes", millis(everywhere.at(0.99)), 25.0, "ms");
}
