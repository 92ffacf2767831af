//! Nobody wears the node out: each limit of the listeners holds, is counted, and costs no one else
//! anything.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

#[path = "../support/mod.rs"]
mod support;

mod connections;
mod http_2;
mod readers;

use std::sync::Arc;

use csu_edge::config::Config;
use support::node::Running;
use support::origin::{Origin, json};

/// A node before an origin, with one worker, so that whoever floods it has the witness's thread.
async fn node(origin: &Origin, change: impl FnOnce(&mut Config)) -> Arc<Running> {
    let node = Running::start(&origin.service_root(), |config| {
        config.listen.workers = 1;
        change(config);
    })
    .await;
    Arc::new(node)
}

async fn origin() -> Origin {
    Origin::start(|_| json("{}")).await
}

/// How many connections of storefronts this limit closed.
async fn closed(node: &Running, limit: &str) -> f64 {
    let labels = format!("{{limit=\"{limit}\",listener=\"storefront\"}}");
    node.metric(&format!("csu_edge_connections_closed_total{labels}")).await
}

/// Waits until the limit has closed so many.
async fn closes(node: &Running, limit: &str, count: f64) {
    let counted = async {
        while closed(node, limit).await < count {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    support::wire::soon(counted).await;
    assert_eq!(closed(node, limit).await, count, "{limit}");
}
