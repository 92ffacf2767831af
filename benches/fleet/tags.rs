//! A million tags in the plane: how soon a fresh node is ready, and what they occupy in it.

use std::time::{Duration, Instant};

use crate::figures::{Targets, millis};
use crate::host::Hosted;
use crate::load::{ask, get};
use crate::shelf::{event, origin, sequence};
use crate::support::fleet::redis_at;
use crate::support::process;
use crate::support::redis::server::Server;

const TAGS: usize = 1_000_000;
const TAGS_PER_EVENT: usize = 100_000;

/// A `csu-edge serve` on that Redis.
struct Node {
    process: process::Running,
    ready_after: Duration,
    control: std::net::SocketAddr,
}

impl Node {
    async fn start(redis: &Server) -> Self {
        let url = redis.url();
        let starting = tokio::task::spawn_blocking(move || {
            let started = Instant::now();
            let process = process::Running::start(&[
                ("CSU_EDGE__REDIS__URL", &url),
                // It is to be seen how long it takes, not that it is given up.
                ("CSU_EDGE__REDIS__PURGE__BOOT_TIMEOUT", "60s"),
            ]);
            // The line comes once the node has joined.
            let told = process.addresses();
            let ready_after = started.elapsed();
            let control = process::Running::address(&told, "control");
            Self { process, ready_after, control }
        });
        let node = starting.await.unwrap();
        let ready = ask(node.control, get("/ready")).await.told;
        let body = String::from_utf8(ready.body.clone()).unwrap();
        assert!(ready.status() == 200 && !body.contains("degraded"), "{body}");
        node
    }

    async fn tell(&self, what: &str) -> f64 {
        // What is freed after the start goes back by then.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let metrics =
            String::from_utf8(ask(self.control, get("/metrics")).await.told.body).unwrap();
        let name = "csu_edge_purge_remembered_tags ";
        let tags = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let (resident, peak) = (self.process.resident_kib(), self.process.peak_kib());
        println!(
            "  {what}: ready after {:.0} ms, {tags} tags, {resident} KiB resident, peak {peak} KiB",
            millis(self.ready_after)
        );
        resident as f64 * 1024.0 / 1e6
    }
}

pub(crate) async fn measure(targets: &mut Targets) {
    let redis = Server::start(&[]).await;
    let origin = origin().await;
    println!("`csu-edge serve` with one worker, on a plane with no tag and with {TAGS}");
    let empty = Node::start(&redis).await;
    let without = empty.tell("no tag").await;

    let purger = Hosted::start(&origin.service_root(), Some(redis_at(redis.address())), |config| {
        config.ingest.body_bytes = 8 << 20;
    })
    .await;
    for first in (0..TAGS).step_by(TAGS_PER_EVENT) {
        let to = purger.node.addresses().ingest;
        sequence(&ask(to, event(first..first + TAGS_PER_EVENT)).await.told);
    }
    drop(purger);
    empty.tell("the same node, which has followed all purges").await;
    drop(empty);

    let full = Node::start(&redis).await;
    let with = full.tell("a fresh node").await;
    println!("  bytes a tag: {:.1}", (with - without) * 1e6 / TAGS as f64);
    targets.at_most("time until ready", full.ready_after.as_secs_f64(), 10.0, "s");
    targets.at_most("memory of the tags", with - without, 100.0, "MB");
}
