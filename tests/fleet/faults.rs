//! Redis when it is ill: what no client notices, what is told, and that all is well afterwards.

use std::time::Duration;

use http::StatusCode;

use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::fleet::{impatient, nodes, redis_at};
use crate::support::node::Running;
use crate::support::origin::Origin;
use crate::support::reads::{price, product};
use crate::support::redis::server::Server;
use crate::support::redis::until;
use crate::{another_price, name, price_changed, selling};

const BOTH: &[&str] = &["redis-tier", "purge-plane"];
const PLANE: &[&str] = &["purge-plane"];

/// Two nodes that reach their Redis through a proxy, with a price and a product in memory.
struct Scene {
    redis: Server,
    proxy: FaultProxy,
    origin: Origin,
    nodes: [Running; 2],
}

impl Scene {
    async fn new() -> Self {
        let redis = Server::start(&[]).await;
        let proxy = FaultProxy::before(redis.address()).await;
        let origin = Origin::start(selling(10)).await;
        let nodes = nodes(&origin.service_root(), &impatient(redis_at(proxy.address()))).await;
        let scene = Self { redis, proxy, origin, nodes };
        for node in &scene.nodes {
            node.degraded(&[]).await;
            node.send(price()).await;
            node.send(product()).await;
        }
        scene
    }

    /// What holds under any fault, once it is noticed.
    async fn is_ridden_out(&self, degraded: &[&str]) {
        let [a, _] = &self.nodes;
        for node in &self.nodes {
            node.degraded(degraded).await;
        }
        let asked = self.origin.requests();
        for n in 1..=3 {
            // Lenient: served, and spared the origin.
            let got = a.send(product()).await;
            assert!(got.is_hit() && got.cache_status().ends_with("; detail=fenced"), "{got:?}");
            assert_eq!(name(&got), "10");
            // Strict: fetched every time.
            let got = a.send(price()).await;
            assert_eq!((got.status, got.price()), (StatusCode::OK, 10.0));
            assert!(got.cache_status().ends_with("; detail=fenced"), "{}", got.cache_status());
            assert!(!got.is_hit(), "{}", got.cache_status());
            assert_eq!(self.origin.requests(), asked + n);
        }
        self.no_event_is_acknowledged().await;
    }

    async fn no_event_is_acknowledged(&self) {
        let [a, _] = &self.nodes;
        let got = a.try_push(&price_changed()).await;
        assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE, "{}", got.text());
        assert_eq!(got.header("retry-after"), Some("2"));
        assert_eq!(got.error_code(), "csu-edge.plane-unreachable");
        let counted = "csu_edge_ingest_refused_total{reason=\"plane-unreachable\"}";
        assert_eq!(a.metric(counted).await, 1.0);
        let accepted =
            "csu_edge_purge_events_total{source=\"short-form\",type=\"csu.cdx.price.changed\"}";
        assert_eq!(a.metric(accepted).await, 0.0);
    }

    /// Nobody waits for a tier that is known to be away.
    async fn is_not_waited_for(&self) {
        let [a, _] = &self.nodes;
        let timed_out = a.commands("tier", "get", "timed-out").await;
        let opened = "csu_edge_redis_breaker_state{link=\"tier\"}";
        assert!(a.metric(opened).await > 0.0);
        for _ in 0..10 {
            assert_eq!(a.send(another_price()).await.price(), 10.0);
        }
        assert_eq!(a.commands("tier", "get", "timed-out").await, timed_out);
    }

    /// How many connections of a link the node has given up.
    async fn replaced(&self, link: &str, reason: &str) -> f64 {
        let labels = format!("link=\"{link}\",reason=\"{reason}\"");
        let series = format!("csu_edge_redis_connections_replaced_total{{{labels}}}");
        self.nodes[0].metric(&series).await
    }

    /// What holds once Redis is well again.
    async fn is_well_again(&self) {
        let [a, b] = &self.nodes;
        for node in &self.nodes {
            node.degraded(&[]).await;
            node.fenced(false).await;
        }
        until("what one fetches is a hit on the other", async || {
            let asked = another_price();
            a.send(asked.clone()).await;
            let is_written = async || {
                let got = b.send(asked.clone()).await;
                got.cache_status().ends_with("; detail=redis").then_some(())
            };
            is_written().await
        })
        .await;
        self.origin.answer(selling(20));
        // As its sender would: again, until it is acknowledged.
        let got = until("the event is acknowledged", async || {
            let got = a.try_push(&price_changed()).await;
            (got.status == StatusCode::OK).then_some(got)
        })
        .await;
        assert_eq!(a.send(price()).await.price(), 20.0);
        b.applied(got.json()["sequence"].as_u64().unwrap()).await;
        assert_eq!(b.send(price()).await.price(), 20.0);
    }

    /// The whole play of a fault of the connection.
    async fn connections_fail_by(self, fault: Fault) -> Self {
        self.proxy.set(fault);
        self.is_ridden_out(BOTH).await;
        self.is_not_waited_for().await;
        self.proxy.set(Fault::Pass);
        self.is_well_again().await;
        self
    }
}

#[tokio::test]
async fn a_redis_that_is_slow_is_ridden_out() {
    let scene = Scene::new().await.connections_fail_by(Fault::Delay(Duration::from_secs(1))).await;
    assert!(scene.replaced("tier", "timed-out").await >= 1.0);
}

#[tokio::test]
async fn a_redis_that_hangs_is_ridden_out() {
    let scene = Scene::new().await.connections_fail_by(Fault::Hang).await;
    assert!(scene.replaced("tier", "timed-out").await >= 1.0);
}

#[tokio::test]
async fn a_connection_whose_other_end_has_vanished_is_ridden_out() {
    let scene = Scene::new().await.connections_fail_by(Fault::HalfOpen).await;
    assert!(scene.replaced("tier", "timed-out").await >= 1.0);
}

#[tokio::test]
async fn connections_that_are_reset_are_ridden_out() {
    let scene = Scene::new().await.connections_fail_by(Fault::Reset).await;
    assert!(scene.replaced("tier", "lost").await >= 1.0);
}

#[tokio::test]
async fn a_redis_that_refuses_connections_is_ridden_out() {
    let scene = Scene::new().await;
    scene.proxy.set(Fault::Reset);
    scene.connections_fail_by(Fault::Refuse).await;
}

#[tokio::test]
async fn garbage_is_ridden_out() {
    let scene = Scene::new().await.connections_fail_by(Fault::Garbage).await;
    // The driver ends a connection by itself once it has read what it cannot.
    assert!(scene.replaced("tier", "lost").await >= 1.0);
}

#[tokio::test]
async fn a_redis_that_is_killed_and_comes_back_empty_is_ridden_out() {
    let mut scene = Scene::new().await;
    scene.redis.kill();
    scene.is_ridden_out(BOTH).await;
    scene.is_not_waited_for().await;
    scene.redis.restart().await;
    scene.is_well_again().await;
    for node in &scene.nodes {
        assert_eq!(node.metric("csu_edge_purge_lineages_entered_total").await, 1.0);
    }
}

#[tokio::test]
async fn a_redis_that_is_stopped_in_its_tracks_is_ridden_out() {
    let scene = Scene::new().await;
    scene.redis.pause().await;
    scene.is_ridden_out(BOTH).await;
    scene.is_not_waited_for().await;
    scene.redis.resume();
    scene.is_well_again().await;
    for node in &scene.nodes {
        assert_eq!(node.metric("csu_edge_purge_lineages_entered_total").await, 0.0);
    }
}

#[tokio::test]
async fn a_redis_without_enough_replicas_is_ridden_out() {
    let scene = Scene::new().await;
    scene.redis.command(&["CONFIG", "SET", "min-replicas-to-write", "5"]).await;
    scene.is_ridden_out(PLANE).await;
    scene.nodes[0].shared("failed", 1.0).await;
    scene.redis.command(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await;
    scene.is_well_again().await;
}

#[tokio::test]
async fn a_redis_that_is_full_is_ridden_out() {
    let scene = Scene::new().await;
    scene.redis.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    scene.is_ridden_out(PLANE).await;
    scene.nodes[0].shared("failed", 1.0).await;
    scene.redis.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    scene.is_well_again().await;
}

#[tokio::test]
async fn a_primary_that_became_a_replica_is_ridden_out() {
    let scene = Scene::new().await;
    // Of nobody: it keeps its data.
    scene.redis.command(&["REPLICAOF", "127.0.0.1", "1"]).await;
    for node in &scene.nodes {
        node.fenced(true).await;
        assert!(node.degraded_parts().await.iter().any(|part| part == "purge-plane"));
    }
    let asked = scene.origin.requests();
    let got = scene.nodes[0].send(price()).await;
    assert_eq!((got.status, got.price()), (StatusCode::OK, 10.0));
    assert_eq!(scene.origin.requests(), asked + 1);
    scene.no_event_is_acknowledged().await;
    assert!(scene.replaced("beat", "not-primary").await >= 1.0);
    scene.redis.command(&["REPLICAOF", "NO", "ONE"]).await;
    scene.is_well_again().await;
}
