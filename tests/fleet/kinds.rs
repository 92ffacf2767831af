//! Every kind of Redis, and every way to be let in.

use std::net::SocketAddr;
use std::time::Duration;

use csu_edge::config::{Redis, RedisIdentity, RedisKind, RedisServer, Secret};
use http::StatusCode;

use crate::support::fleet::{impatient, nodes, patient, redis_at, redis_node};
use crate::support::node::Running;
use crate::support::origin::Origin;
use crate::support::reads::{price, product};
use crate::support::redis::cluster::Cluster;
use crate::support::redis::replicated::{Replicated, SERVICE};
use crate::support::redis::server::Server;
use crate::support::redis::tls::Clients;
use crate::support::redis::until;
use crate::{another_price, name, price_changed, selling};

const ENTERED: &str = "csu_edge_purge_lineages_entered_total";

/// Two nodes, before an origin where everything costs 10.
async fn two(redis: &Redis) -> (Origin, [Running; 2]) {
    let origin = Origin::start(selling(10)).await;
    let nodes = nodes(&origin.service_root(), redis).await;
    (origin, nodes)
}

/// Asserts that nodes share answers and purges.
async fn work(origin: &Origin, [a, b]: &[Running; 2], value: u32) {
    until("what one fetches is a hit on the other", async || {
        let asked = another_price();
        a.send(asked.clone()).await;
        let got = b.send(asked).await;
        got.cache_status().ends_with("; detail=redis").then_some(())
    })
    .await;
    for node in [a, b] {
        node.send(price()).await;
    }
    origin.answer(selling(value));
    // As its sender would: again, until it is acknowledged.
    let told = until("the event is acknowledged", async || {
        let got = a.try_push(&price_changed()).await;
        (got.status == StatusCode::OK).then(|| got.json())
    })
    .await;
    assert_eq!(a.send(price()).await.price(), f64::from(value));
    b.applied(told["sequence"].as_u64().unwrap()).await;
    assert_eq!(b.send(price()).await.price(), f64::from(value));
}

#[tokio::test]
async fn a_server_with_tls_and_certified_clients() {
    let server = Server::start_with_tls(Clients::Certified, &[]).await;
    let files = server.tls();
    let mut redis = patient(redis_at(server.address()));
    redis.server.tls = true;
    redis.server.ca_file = Some(files.ca());
    redis.server.identity = Some(RedisIdentity {
        certificate: files.client_certificate(),
        private_key: files.client_key(),
    });
    let (origin, nodes) = two(&redis).await;
    work(&origin, &nodes, 20).await;

    // A client without a certificate is nobody's.
    redis.server.identity = None;
    redis.purge.boot_timeout = Duration::from_millis(100);
    let (_origin, [stranger, _]) = two(&redis).await;
    assert_eq!(stranger.degraded_parts().await, ["redis-tier", "purge-plane"]);
}

#[tokio::test]
async fn a_server_that_knows_its_users() {
    // What docs/consistency.md says that the user must be allowed.
    let user = "edge on >of-the-edge ~csu-edge:* ~{csu-edge:purge}:* \
                +@read +@write +@connection +@scripting +info +time +wait";
    let server = Server::start(&[("requirepass", "of-all"), ("user", user)]).await;
    let mut redis = patient(redis_at(server.address()));
    redis.server.username = Some("edge".to_owned());
    redis.server.password = Some(Secret::new("of-the-edge".to_owned()));
    let (origin, nodes) = two(&redis).await;
    work(&origin, &nodes, 20).await;
}

#[tokio::test]
async fn a_wrong_password_is_a_redis_that_is_away() {
    let server = Server::start(&[("requirepass", "of-all")]).await;
    let mut redis = impatient(redis_at(server.address()));
    redis.server.password = Some(Secret::new("of-nobody".to_owned()));
    redis.purge.boot_timeout = Duration::from_millis(100);
    let (origin, [a, _]) = two(&redis).await;
    assert_eq!(a.degraded_parts().await, ["redis-tier", "purge-plane"]);
    assert_eq!(a.send(price()).await.price(), 10.0);
    assert_eq!(name(&a.send(product()).await), "10");
    let again = a.send(product()).await;
    assert!(again.is_hit() && again.cache_status().ends_with("; detail=fenced"));
    assert_eq!(origin.requests(), 2);
    assert_eq!(a.try_push(&price_changed()).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(a.commands("tier", "ping", "ok").await, 0.0);
}

fn at(addresses: &[SocketAddr]) -> Vec<csu_edge::config::RedisNode> {
    addresses.iter().copied().map(redis_node).collect()
}

/// The primary that sentinels name, missed within two seconds.
fn by_sentinels(replicated: &Replicated) -> Redis {
    let nodes = at(&replicated.sentinel_addresses());
    let kind = RedisKind::Sentinel { nodes, service: SERVICE.to_owned(), db: 0 };
    let mut redis = patient(Redis::at(RedisServer::new(kind, false)));
    redis.purge.fence_after = Duration::from_secs(2);
    redis.purge.command_timeout = Duration::from_secs(1);
    redis.probe_every = Duration::from_millis(100);
    redis
}

#[tokio::test]
async fn a_primary_under_sentinels_before_and_after_a_failover() {
    let mut replicated = Replicated::start(&[]).await;
    let redis = by_sentinels(&replicated);
    let (origin, nodes) = two(&redis).await;
    work(&origin, &nodes, 20).await;
    replicated.replicated().await;

    replicated.kill_primary().await;
    nodes[0].fenced(true).await;
    assert_eq!(nodes[0].send(price()).await.price(), 20.0);
    replicated.promoted().await;
    for node in &nodes {
        node.degraded(&[]).await;
    }
    work(&origin, &nodes, 30).await;
}

#[tokio::test]
async fn a_purge_that_a_failover_loses_holds_all_the_same() {
    let mut replicated = Replicated::start(&[]).await;
    let redis = by_sentinels(&replicated);
    let (origin, nodes) = two(&redis).await;
    let [a, b] = &nodes;
    work(&origin, &nodes, 20).await;
    replicated.cut_replication().await;
    origin.answer(selling(30));
    // Acknowledged, and known to the primary and to nodes alone.
    let told = a.push(&price_changed()).await;
    b.applied(told["sequence"].as_u64().unwrap()).await;
    replicated.kill_primary().await;
    replicated.promoted().await;
    for node in &nodes {
        until("another lineage", async || (node.metric(ENTERED).await >= 1.0).then_some(())).await;
        node.degraded(&[]).await;
        assert_eq!(node.send(price()).await.price(), 30.0);
    }
    work(&origin, &nodes, 40).await;
}

#[tokio::test]
async fn a_purge_is_acknowledged_once_as_many_replicas_have_it_as_are_asked_for() {
    let replicated = Replicated::start(&[]).await;
    let mut redis = by_sentinels(&replicated);
    redis.purge.replicas = 1;
    let (origin, nodes) = two(&redis).await;
    work(&origin, &nodes, 20).await;
    replicated.cut_replication().await;
    let got = nodes[0].try_push(&price_changed()).await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE, "{}", got.text());
    assert_eq!(got.error_code(), "csu-edge.too-few-replicas");
    assert_eq!(got.header("retry-after"), Some("2"));
    // It may stand all the same, and does no harm.
    for node in &nodes {
        node.degraded(&[]).await;
        assert_eq!(node.send(price()).await.price(), 20.0);
    }
}

#[tokio::test]
async fn a_cluster_before_and_after_the_planes_master_is_lost() {
    let mut cluster = Cluster::start(&[]).await;
    let kind = RedisKind::Cluster { nodes: at(&cluster.addresses()) };
    let mut redis = patient(Redis::at(RedisServer::new(kind, false)));
    redis.purge.fence_after = Duration::from_secs(2);
    redis.purge.command_timeout = Duration::from_secs(1);
    redis.command_timeout = Duration::from_secs(1);
    redis.probe_every = Duration::from_millis(100);
    let (origin, nodes) = two(&redis).await;
    work(&origin, &nodes, 20).await;

    let slot = "{csu-edge:purge}:seq";
    let former = cluster.kill_master_of(slot).await;
    nodes[0].fenced(true).await;
    assert_eq!(nodes[0].send(price()).await.price(), 20.0);
    cluster.failed_over(slot, former).await;
    for node in &nodes {
        node.degraded(&[]).await;
    }
    work(&origin, &nodes, 30).await;
}
