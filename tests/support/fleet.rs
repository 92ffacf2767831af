//! Several nodes on one Redis, before one origin.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::net::SocketAddr;
use std::time::Duration;

use csu_edge::clock::Clock;
use csu_edge::config::{Config, Redis, RedisKind, RedisNode, RedisServer};
use serde_json::Value;

use super::node::{Got, Running, START, post};
use super::redis::server::Server;
use super::redis::until;

/// A Redis that asks for nothing.
pub fn redis_at(address: SocketAddr) -> Redis {
    let node = redis_node(address);
    Redis::at(RedisServer::new(RedisKind::Standalone { node, db: 0 }, false))
}

pub fn redis_node(address: SocketAddr) -> RedisNode {
    RedisNode { host: address.ip().to_string(), port: address.port() }
}

/// A node of the fleet, by the machine's clock: beats and fences are about real connections.
pub async fn node(service_root: &str, redis: Redis, change: impl FnOnce(&mut Config)) -> Running {
    node_by(Clock::system(), service_root, redis, change).await
}

async fn node_by(
    clock: Clock,
    service_root: &str,
    redis: Redis,
    change: impl FnOnce(&mut Config),
) -> Running {
    Running::start_by(clock, service_root, |config| {
        config.redis = Some(redis);
        change(config);
    })
    .await
}

/// As many nodes, named `a`, `b`, `c` …, on one Redis.
pub async fn nodes<const N: usize>(service_root: &str, redis: &Redis) -> [Running; N] {
    nodes_with(service_root, redis, |_| ()).await
}

/// The same, with something else than the defaults.
pub async fn nodes_with<const N: usize>(
    service_root: &str,
    redis: &Redis,
    change: impl Fn(&mut Config),
) -> [Running; N] {
    let names = ('a'..).take(N);
    let nodes = names.map(|name| node(service_root, named(redis, &name.to_string()), &change));
    futures_util::future::join_all(nodes).await.try_into().unwrap_or_else(|_| panic!("all started"))
}

/// The same, by one clock that the test moves. Their fences never fall: beats go by it too.
pub async fn nodes_by_hand<const N: usize>(
    service_root: &str,
    redis: &Redis,
    change: impl Fn(&mut Config),
) -> ([Running; N], Clock) {
    let clock = Clock::manual(START);
    let mut redis = redis.clone();
    redis.purge.fence_after = Duration::from_secs(1 << 30);
    let mut nodes = Vec::new();
    for name in ('a'..).take(N) {
        let starting =
            node_by(clock.clone(), service_root, named(&redis, &name.to_string()), &change);
        // Who found nobody there at first looks again by the clock.
        let ticking = async {
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                clock.advance(redis.purge.heartbeat);
            }
        };
        tokio::select! {
            node = starting => nodes.push(node),
            () = ticking => {}
        }
    }
    (nodes.try_into().unwrap_or_else(|_| panic!("all started")), clock)
}

/// The same Redis for a node of this name.
pub fn named(redis: &Redis, name: &str) -> Redis {
    Redis { node: Some(name.to_owned()), ..redis.clone() }
}

/// The keys under which responses stand in the tier.
pub async fn responses(redis: &Server) -> Vec<String> {
    let mut keys: Vec<String> = redis.query(&["KEYS", "csu-edge:{*}"]).await.unwrap();
    keys.sort_unstable();
    keys
}

impl Running {
    /// Waits until the node vouches for what it knows, or no longer does.
    pub async fn fenced(&self, is_fenced: bool) {
        let wanted = f64::from(u8::from(is_fenced));
        until("the fence moves", async || {
            (self.metric("csu_edge_purge_fenced").await == wanted).then_some(())
        })
        .await;
    }

    /// Waits until the node has applied that purge.
    pub async fn applied(&self, sequence: u64) {
        until("the purge is applied", async || {
            let applied = self.metric("csu_edge_purge_applied_sequence").await;
            (applied >= sequence as f64).then_some(())
        })
        .await;
    }

    /// How far the node is.
    pub async fn sequence(&self) -> u64 {
        self.metric("csu_edge_purge_applied_sequence").await as u64
    }

    /// How many looks for an answer in the shared tier have ended so.
    pub async fn looked(&self, result: &str) -> f64 {
        self.metric(&format!("csu_edge_shared_reads_total{{result=\"{result}\"}}")).await
    }

    /// How often it was answered so who is to fetch.
    pub async fn led(&self, result: &str) -> f64 {
        self.metric(&format!("csu_edge_shared_leases_total{{result=\"{result}\"}}")).await
    }

    /// How many commands over a link have ended so.
    pub async fn commands(&self, link: &str, command: &str, outcome: &str) -> f64 {
        let labels = format!("command=\"{command}\",link=\"{link}\",outcome=\"{outcome}\"");
        self.metric(&format!("csu_edge_redis_commands_total{{{labels}}}")).await
    }

    /// Waits until this, and no more, works less well than it should. The node is ready all along.
    pub async fn degraded(&self, parts: &[&str]) {
        until(&format!("degraded: {parts:?}"), async || {
            (self.degraded_parts().await == parts).then_some(())
        })
        .await;
    }

    pub async fn degraded_parts(&self) -> Vec<String> {
        let ready = self.control("/ready").await;
        assert_eq!(ready.status, 200, "{}", ready.text());
        let told = ready.json();
        assert_eq!(told["ready"], true);
        let parts = told["degraded"].as_array().cloned().unwrap_or_default();
        parts.iter().map(|part| part.as_str().unwrap().to_owned()).collect()
    }

    /// Posts a push event, which may be refused.
    pub async fn try_push(&self, event: &Value) -> Got {
        self.send_to(self.node.addresses().ingest, post("/ingest/cdx", &event.to_string())).await
    }

    /// Purges by the control listener; returns the purge's number.
    pub async fn purge(&self, tag: &str, mode: &str) -> u64 {
        let order = serde_json::json!({ "tags": [tag], "mode": mode });
        let got = self.control_post("/purge", &order).await;
        assert_eq!(got.status, 200, "{}", got.text());
        got.json()["sequence"].as_u64().unwrap()
    }

    /// Waits until so many writes to the shared tier have ended so.
    pub async fn shared(&self, result: &str, count: f64) {
        let series = format!("csu_edge_shared_writes_total{{result=\"{result}\"}}");
        until("it is written", async || (self.metric(&series).await >= count).then_some(())).await;
    }
}

/// Rules under which nothing is late on a busy machine: for what is not about time.
pub fn patient(mut redis: Redis) -> Redis {
    redis.command_timeout = Duration::from_secs(10);
    redis.write_timeout = Duration::from_secs(10);
    redis.connect_timeout = Duration::from_secs(10);
    redis.lease_wait = Duration::from_secs(60);
    redis.purge.heartbeat = Duration::from_millis(100);
    redis.purge.fence_after = Duration::from_secs(30);
    redis.purge.command_timeout = Duration::from_secs(10);
    redis.purge.fleet_timeout = Duration::from_secs(15);
    redis.purge.boot_timeout = Duration::from_secs(30);
    redis
}

/// Rules under which faults are noticed sooner than a production's would be.
pub fn impatient(mut redis: Redis) -> Redis {
    redis.purge.heartbeat = Duration::from_millis(50);
    redis.purge.fence_after = Duration::from_millis(500);
    redis.purge.command_timeout = Duration::from_millis(300);
    redis.purge.boot_timeout = Duration::from_secs(30);
    redis.probe_every = Duration::from_millis(50);
    redis.connect_timeout = Duration::from_millis(500);
    redis
}
