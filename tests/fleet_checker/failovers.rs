//! Another server takes over.

use std::net::SocketAddr;
use std::time::Duration;

use csu_edge::config::{Redis, RedisKind, RedisServer};

use crate::checked::Checked;
use crate::ledger::Promise;
use crate::redis_plane::SEQUENCE;
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::fleet::{impatient, redis_at, redis_node};
use crate::support::redis::cluster::Cluster;
use crate::support::redis::replicated::{Replicated, SERVICE};
use crate::support::redis::server::Server;
use crate::support::redis::until;

/// A replica is not made to wait for others that might come.
const AT_ONCE: (&str, &str) = ("repl-diskless-sync-delay", "0");

fn behind_sentinels(sentinels: &[SocketAddr]) -> Redis {
    let nodes = sentinels.iter().copied().map(redis_node).collect();
    let kind = RedisKind::Sentinel { nodes, service: SERVICE.to_owned(), db: 0 };
    Redis::at(RedisServer::new(kind, false))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_dies_with_its_last_purges() {
    let mut redis = Replicated::start(&[]).await;
    let fleet = Checked::on(Promise::Strict, &behind_sentinels(&redis.sentinel_addresses())).await;
    fleet.tell("no more is replicated");
    redis.cut_replication().await;
    fleet.events(20).await;
    fleet.tell("the primary is killed");
    redis.kill_primary().await;
    redis.promoted().await;
    fleet.tell("the replica is promoted");
    fleet.recovers().await;
    fleet.finish("the primary dead with its last purges", 10_000, 3_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_promoted_that_has_all() {
    let mut redis = Replicated::start(&[]).await;
    let fleet = Checked::on(Promise::Whole, &behind_sentinels(&redis.sentinel_addresses())).await;
    fleet.goes_on(Duration::from_millis(500)).await;
    let still = fleet.stillness().await;
    redis.replicated().await;
    fleet.tell("the primary is killed");
    redis.kill_primary().await;
    drop(still);
    redis.promoted().await;
    fleet.tell("the replica is promoted");
    fleet.recovers().await;
    fleet.finish("a replica promoted that has all", 10_000, 3_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_of_the_cluster_dies() {
    let mut redis = Cluster::start(&[]).await;
    let nodes = redis.addresses().into_iter().map(redis_node).collect();
    let server = RedisServer::new(RedisKind::Cluster { nodes }, false);
    let fleet = Checked::on(Promise::Strict, &Redis::at(server)).await;
    fleet.goes_on(Duration::from_millis(500)).await;
    fleet.tell("the master is killed");
    let master = redis.kill_master_of(SEQUENCE).await;
    redis.failed_over(SEQUENCE, master).await;
    fleet.tell("its replica has taken over");
    fleet.recovers().await;
    fleet.finish("a master of the cluster dead", 10_000, 3_000).await;
}

/// The fence hides nothing here: that purges are lost must be noticed before any is acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_takes_over_faster_than_the_fence_falls() {
    let redis = Server::start(&[AT_ONCE]).await;
    let way = FaultProxy::before(redis.address()).await;
    let slow = |redis| {
        let mut redis = impatient(redis);
        redis.purge.heartbeat = Duration::from_millis(700);
        redis.purge.fence_after = Duration::from_secs(5);
        redis
    };
    let rules = slow(redis_at(way.address()));
    let fleet = Checked::of(Promise::Strict, [rules.clone(), rules.clone(), rules], |_| ()).await;
    let mut servers = vec![redis];
    for _ in 0..4 {
        let primary = servers.last().unwrap();
        let replica = follower_of(primary).await;
        fleet.tell("no more is replicated");
        replica.command(&["REPLICAOF", "NO", "ONE"]).await;
        fleet.events(15).await;
        fleet.tell("the replica takes over");
        way.retarget(replica.address());
        way.set(Fault::Reset);
        way.set(Fault::Pass);
        fleet.events(30).await;
        servers.push(replica);
    }
    fleet.recovers().await;
    fleet.finish("faster than the fence", 10_000, 3_000).await;
}

async fn follower_of(primary: &Server) -> Server {
    let of = format!("127.0.0.1 {}", primary.address().port());
    let replica = Server::start(&[AT_ONCE, ("replicaof", &of)]).await;
    until("the replica has all", async || {
        (replica.info("master_link_status").await? == "up").then_some(())
    })
    .await;
    replica
}
