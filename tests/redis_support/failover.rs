//! A primary under sentinels, and a cluster, when one of them is lost.

use redis::aio::MultiplexedConnection;
use redis::sentinel::{SentinelClient, SentinelServerType};

use super::support::redis::cluster::Cluster;
use super::support::redis::replicated::{Replicated, SERVICE};
use super::support::redis::until;
use super::{get, set};

fn sentinel_client(replicated: &Replicated) -> SentinelClient {
    let sentinels: Vec<_> = replicated
        .sentinel_addresses()
        .iter()
        .map(|address| format!("redis://{address}"))
        .collect();
    SentinelClient::build(sentinels, SERVICE, None, SentinelServerType::Master).unwrap()
}

async fn connect_by(sentinels: &mut SentinelClient) -> MultiplexedConnection {
    until("the sentinels' primary answers", async || sentinels.get_async_connection().await.ok())
        .await
}

#[tokio::test]
async fn a_failover_loses_what_was_not_replicated() {
    let mut replicated = Replicated::start(&[]).await;
    let mut sentinels = sentinel_client(&replicated);
    let mut connection = connect_by(&mut sentinels).await;
    set(&mut connection, "key", "replicated").await;
    replicated.cut_replication().await;
    set(&mut connection, "key", "lost").await;
    replicated.kill_primary().await;

    let promoted = replicated.promoted().await;
    assert_eq!(promoted, replicated.replica.address());
    let mut connection = connect_by(&mut sentinels).await;
    assert_eq!(get(&mut connection).await.as_deref(), Some("replicated"));
}

#[tokio::test]
async fn a_primary_that_was_only_paused_follows_the_promoted_one() {
    let replicated = Replicated::start(&[("requirepass", "of-all")]).await;
    replicated.pause_primary().await;
    replicated.promoted().await;
    set(&mut replicated.replica.connect().await, "key", "of the new").await;
    replicated.primary.resume();
    replicated.demoted().await;
    let mut former = replicated.primary.connect().await;
    until("the former has it", async || get(&mut former).await).await;
}

#[tokio::test]
async fn a_cluster_fails_over() {
    let mut cluster = Cluster::start(&[]).await;
    let mut connection = cluster.client().get_async_connection().await.unwrap();
    set(&mut connection, "key", "kept").await;
    let master = cluster.master_of("key").await;
    // A key of another third of the slots.
    assert_ne!(master, cluster.master_of("b").await);
    // As soon as one replica has it, it is the master's own.
    let replicated = redis::cmd("WAIT").arg(1).arg(20_000).to_owned();
    let mut direct = cluster.node(master).connect().await;
    set(&mut direct, "key", "replicated").await;
    assert_eq!(replicated.query_async::<u32>(&mut direct).await.unwrap(), 1);

    assert_eq!(cluster.kill_master_of("key").await, master);
    let promoted = cluster.failed_over("key", master).await;
    assert!(cluster.addresses().contains(&promoted));
    assert_eq!(cluster.master_of("key").await, promoted);
    let mut connection = cluster.client().get_async_connection().await.unwrap();
    assert_eq!(get(&mut connection).await.as_deref(), Some("replicated"));
}
