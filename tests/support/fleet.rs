//! Several nodes on one Redis, before one origin.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::net::SocketAddr;
use std::time::Duration;

use csu_edge::clock::Clock;
use csu_edge::config::{Config, Redis, RedisKind, RedisNode, RedisServer};

use super::node::Running;
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
    Running::start_by(Clock::system(), service_root, |config| {
        config.redis = Some(redis);
        change(config);
    })
    .await
}

/// As many nodes, named `a`, `b`, `c` …, on one Redis.
pub async fn nodes<const N: usize>(service_root: &str, redis: &Redis) -> [Running; N] {
    let mut nodes = Vec::new();
    for name in ('a'..).take(N) {
        let redis = Redis { node: Some(name.to_string()), ..redis.clone() };
        nodes.push(node(service_root, redis, |_| ()).await);
    }
    nodes.try_into().unwrap_or_else(|_| panic!("as many as were started"))
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

    /// Waits until so many writes to the shared tier have ended so.
    pub async fn shared(&self, result: &str, count: f64) {
        let series = format!("csu_edge_shared_writes_total{{result=\"{result}\"}}");
        until("it is written", async || (self.metric(&series).await >= count).then_some(())).await;
    }
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
