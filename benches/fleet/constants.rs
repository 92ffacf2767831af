//! What purges, followers and beats cost the Redis of the plane: its own scripts, sent to a bare
//! server by bare connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::streams::StreamReadReply;
use redis::{Script, cmd};
use tokio::task::JoinSet;

use crate::shelf::tag;
use crate::support::redis::server::Server;

const PURGE: &str = concat!(
    include_str!("../../src/purge/fleet/standing.lua"),
    include_str!("../../src/purge/fleet/purge.lua")
);
const BEAT: &str = concat!(
    include_str!("../../src/purge/fleet/standing.lua"),
    include_str!("../../src/purge/fleet/report.lua"),
    include_str!("../../src/purge/fleet/beat.lua")
);

const LINEAGE: &str = "1-1";
const LOG_ENTRIES: usize = 100_000;
/// Nodes that purge at once.
const NODES: usize = 4;
const SPAN: Duration = Duration::from_secs(4);

fn key(name: &str) -> String {
    format!("{{csu-edge:purge}}:{name}")
}

/// A server on which a lineage stands.
struct Plane {
    server: Server,
    purge: Script,
    numbers: AtomicUsize,
}

/// What a stretch of work took.
struct Spent {
    done: usize,
    wall: Duration,
    /// Of `redis-server` alone.
    cpu: Duration,
}

impl Spent {
    fn micros_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.done as f64
    }

    fn told(&self) -> String {
        format!(
            "{} in {:.2} s, {:.0} a second; {:.2} s of CPU, {:.1} µs each, {:.0} a second of CPU",
            self.done,
            self.wall.as_secs_f64(),
            self.done as f64 / self.wall.as_secs_f64(),
            self.cpu.as_secs_f64(),
            self.micros_each(),
            self.done as f64 / self.cpu.as_secs_f64(),
        )
    }
}

impl Plane {
    async fn start() -> Arc<Self> {
        let server = Server::start(&[]).await;
        let (run, replication) = (server.info("run_id").await, server.info("master_replid").await);
        let stands_on = format!("{LINEAGE} {}{}", run.unwrap(), replication.unwrap());
        server.command(&["SET", &key("lineage"), &stands_on]).await;
        Arc::new(Self { server, purge: Script::new(PURGE), numbers: AtomicUsize::new(0) })
    }

    async fn purge(&self, redis: &mut MultiplexedConnection, tags: usize) {
        let first = self.numbers.fetch_add(tags, Ordering::Relaxed);
        // A million of them, again and again.
        let list: Vec<String> = (first..first + tags).map(|at| tag(at % 1_000_000)).collect();
        let mut call = self.purge.prepare_invoke();
        for name in ["lineage", "seq", "log", "tags", "urls"] {
            call.key(key(name));
        }
        call.arg(LINEAGE).arg(rand::random::<u64>()).arg(LOG_ENTRIES);
        call.arg(8_000_000).arg(100_000).arg(0).arg(list.join(" ")).arg("");
        let (number, _): (u64, String) = call.invoke_async(redis).await.unwrap();
        assert_ne!(number, 0, "the lineage stands");
    }

    /// As many purges as go through in the span, or as many as that.
    async fn purge_on(self: &Arc<Self>, tags: usize, under_way: usize, most: usize) -> Spent {
        let left = Arc::new(AtomicUsize::new(most));
        self.spent(async {
            let mut all = JoinSet::new();
            for _ in 0..NODES {
                let connection = self.server.connect().await;
                for _ in 0..under_way {
                    let (plane, left) = (Arc::clone(self), Arc::clone(&left));
                    let mut redis = connection.clone();
                    all.spawn(async move {
                        let end = Instant::now() + SPAN;
                        let mut done = 0;
                        let one_less = |left: usize| left.checked_sub(1);
                        while Instant::now() < end
                            && left
                                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
                                .is_ok()
                        {
                            plane.purge(&mut redis, tags).await;
                            done += 1;
                        }
                        done
                    });
                }
            }
            all.join_all().await.into_iter().sum()
        })
        .await
    }

    /// Purges of one tag at a steady rate.
    async fn purge_steadily(&self, rate: u32, span: Duration) -> Spent {
        self.spent(async {
            let mut redis = self.server.connect().await;
            let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
            let most = (f64::from(rate) * span.as_secs_f64()) as usize;
            for _ in 0..most {
                ticks.tick().await;
                self.purge(&mut redis, 1).await;
            }
            most
        })
        .await
    }

    async fn spent(&self, work: impl Future<Output = usize>) -> Spent {
        let (cpu, started) = (self.cpu().await, Instant::now());
        let done = work.await;
        let wall = started.elapsed();
        Spent { done, wall, cpu: self.cpu().await - cpu }
    }

    async fn cpu(&self) -> Duration {
        let mut all = 0.0;
        for field in ["used_cpu_user", "used_cpu_sys"] {
            all += self.server.info(field).await.unwrap().parse::<f64>().unwrap();
        }
        Duration::from_secs_f64(all)
    }

    async fn number(&self, words: &[&str]) -> f64 {
        self.server.query::<Option<f64>>(words).await.unwrap().unwrap_or_default()
    }

    async fn used(&self) -> f64 {
        self.server.info("used_memory").await.unwrap().parse().unwrap()
    }

    /// Bytes of a key and how many things are in it.
    async fn size(&self, name: &str, count: &str) -> (f64, f64) {
        let bytes = self.number(&["MEMORY", "USAGE", &key(name), "SAMPLES", "0"]).await;
        (bytes, self.number(&[count, &key(name)]).await)
    }
}

/// Reads the log as a node does, until it is dropped.
async fn follow(mut redis: MultiplexedConnection) {
    let mut after = "$".to_owned();
    loop {
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(500).arg("BLOCK").arg(1_000).arg("STREAMS").arg(key("log"));
        let told: Option<StreamReadReply> = read.arg(&after).query_async(&mut redis).await.unwrap();
        let last = told.and_then(|told| Some(told.keys.first()?.ids.last()?.id.clone()));
        if let Some(last) = last {
            after = last;
        }
    }
}

pub(crate) async fn measure() {
    throughput().await;
    memory().await;
    fan_out().await;
    beats().await;
}

async fn throughput() {
    println!("purges that one Redis takes, from {NODES} connections");
    let plane = Plane::start().await;
    println!("  of 1 tag, 16 under way each: {}", plane.purge_on(1, 16, usize::MAX).await.told());
    println!(
        "  of 1,000 tags, 4 under way each: {}",
        plane.purge_on(1_000, 4, usize::MAX).await.told()
    );
}

async fn memory() {
    println!("memory of Redis, a million tags of {} bytes", tag(0).len());
    for (what, tags, purges) in [("1,000 tags", 1_000, 1_000), ("1 tag", 1, LOG_ENTRIES)] {
        let plane = Plane::start().await;
        let before = plane.used().await;
        let mut redis = plane.server.connect().await;
        for _ in 0..purges / 100 {
            // In pipelines, so that it does not take long.
            let purge = |mut redis: MultiplexedConnection| {
                let plane = Arc::clone(&plane);
                async move { plane.purge(&mut redis, tags).await }
            };
            futures_util::future::join_all((0..100).map(|_| purge(redis.clone()))).await;
        }
        let used = plane.used().await - before;
        let (tag_bytes, tags) = plane.size("tags", "HLEN").await;
        let (log_bytes, entries) = plane.size("log", "XLEN").await;
        println!(
            "  purges of {what}: {:.1} bytes a tag ({tags}), {:.1} bytes a log entry ({entries}); \
             used_memory grew by {:.1} MB, these are {:.1} MB",
            tag_bytes / tags,
            log_bytes / entries,
            used / 1e6,
            (tag_bytes + log_bytes) / 1e6,
        );
        let _: String = cmd("PING").query_async(&mut redis).await.unwrap();
    }
}

async fn fan_out() {
    const RATE: u32 = 200;
    println!("CPU of Redis a purge of 1 tag, {RATE} a second, by followers that wait for it");
    for followers in [0, 1, 3, 10, 30, 100] {
        let plane = Plane::start().await;
        let mut following = JoinSet::new();
        for _ in 0..followers {
            following.spawn(follow(plane.server.connect().await));
        }
        plane.purge_steadily(RATE, Duration::from_secs(1)).await;
        let spent = plane.purge_steadily(RATE, SPAN).await;
        println!("  {followers:>3} followers: {}", spent.told());
        assert!(following.try_join_next().is_none(), "nobody has stopped following");
    }
}

async fn beats() {
    println!("beats, one after the other, on a log of {LOG_ENTRIES} entries");
    let plane = Plane::start().await;
    plane.purge_on(1, 16, LOG_ENTRIES).await;
    let seen: u64 = plane.server.query(&["GET", &key("seq")]).await.unwrap();
    let script = Script::new(BEAT);
    let mut redis = plane.server.connect().await;
    let spent = plane.spent(async {
        let most = 10_000;
        for at in 0..most {
            let mut call = script.prepare_invoke();
            for name in ["lineage", "seq", "log", "nodes"] {
                call.key(key(name));
            }
            call.arg(seen).arg(format!("node-{}", at % 10)).arg(LINEAGE).arg(seen);
            let _: [String; 6] = call.invoke_async(&mut redis).await.unwrap();
        }
        most
    });
    println!("  {}", spent.await.told());
    // What Redis does while nothing is asked of it.
    let idle = plane.spent(async {
        tokio::time::sleep(SPAN).await;
        1
    });
    println!(
        "  idle: {:.2} ms of CPU a second",
        idle.await.cpu.as_secs_f64() * 1e3 / SPAN.as_secs_f64()
    );
}
