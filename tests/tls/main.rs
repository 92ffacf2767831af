//! TLS on the listeners: what is agreed on, who is let in, and how certificates are replaced.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

#[path = "../support/mod.rs"]
mod support;

mod authority;
mod client;
mod client_certificates;
mod command_line;
mod connections;
mod negotiation;
mod rotation;
mod settings;

use authority::Folder;
use csu_edge::config::Config;
use support::node::Running;
use support::origin::{Origin, json};

/// An origin that always answers the same.
async fn origin() -> Origin {
    Origin::start(|_| json(r#"{"value":[]}"#)).await
}

/// A node whose storefront speaks TLS with what is in the folder; one worker, so that whatever
/// holds one connection would hold them all.
async fn node(folder: &Folder, origin: &str, change: impl FnOnce(&mut Config)) -> Running {
    Running::start(origin, |config| {
        config.listen.workers = 1;
        config.tls.storefront = Some(folder.settings());
        change(config);
    })
    .await
}

fn failures(listener: &str) -> String {
    format!("csu_edge_tls_handshake_failures_total{{listener=\"{listener}\"}}")
}

fn reloads(listener: &str, outcome: &str) -> String {
    format!("csu_edge_tls_reloads_total{{listener=\"{listener}\",outcome=\"{outcome}\"}}")
}
