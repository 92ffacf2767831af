//! What the scenarios with a real Redis rely on: servers that fail as they are told to, and a proxy
//! whose faults are what they are named.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

#[path = "../support/mod.rs"]
mod support;

mod failover;
mod fault_proxy;
mod servers;

use std::future::Future;
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{Client, RedisResult};

async fn set(connection: &mut impl ConnectionLike, key: &str, value: &str) {
    redis::cmd("SET").arg(key).arg(value).exec_async(connection).await.unwrap();
}

async fn get(connection: &mut (impl ConnectionLike + Send + Sync)) -> Option<String> {
    redis::cmd("GET").arg("key").query_async(connection).await.unwrap()
}

/// Asserts that something does not happen for a moment.
async fn is_kept_waiting(what: impl Future) {
    assert!(tokio::time::timeout(Duration::from_millis(200), what).await.is_err());
}

async fn ping(client: &Client) -> RedisResult<String> {
    let mut connection = client.get_multiplexed_async_connection().await?;
    redis::cmd("PING").query_async(&mut connection).await
}
