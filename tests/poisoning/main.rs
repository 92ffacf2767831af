//! Nobody can store an answer to a question that was not asked: what reaches the origin with a
//! fetch that may be stored is in the key or constant, key and target are one normal form, and what
//! belongs to one customer is never kept, under either policy for what the catalogue does not know.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod deception;
mod fields;
mod hostile;
mod reads;
mod targets;

use bytes::Bytes;
use csu_edge::config::{Config, GenericPolicy};
use http::Response;
use http_body_util::Full;
use support::node::Running;
use support::origin::{Origin, Seen};
use support::wire::{Wire, field};

const POLICIES: [GenericPolicy; 2] = [GenericPolicy::Pass, GenericPolicy::Rfc9111];

/// A node before an origin that can be led astray: it puts all that it is asked with into an answer
/// that may be stored for a minute.
struct Scene {
    origin: Origin,
    node: Running,
}

/// An answer, taken byte for byte.
struct Heard {
    head: String,
    body: String,
}

impl Scene {
    async fn under(policy: GenericPolicy) -> Self {
        Self::with(policy, |_| {}).await
    }

    async fn with(policy: GenericPolicy, change: impl FnOnce(&mut Config)) -> Self {
        Self::before(Origin::start(echo).await, policy, change).await
    }

    async fn before(
        origin: Origin,
        policy: GenericPolicy,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let node = Running::start(&origin.service_root(), |config| {
            config.generic.policy = policy;
            config.limits.header_fields = 300;
            change(config);
        })
        .await;
        Self { origin, node }
    }

    /// Sends a GET of this target, as it stands here, with these fields.
    async fn get(&self, target: &str, fields: &[(&str, &str)]) -> Heard {
        self.ask("GET", target, fields, "").await
    }

    async fn ask(&self, method: &str, target: &str, fields: &[(&str, &str)], body: &str) -> Heard {
        let mut lines = String::new();
        for (name, value) in fields {
            lines.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            lines.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        let mut client = Wire::connect(self.node.node.addresses().storefront).await;
        let head = format!("{method} {target} HTTP/1.1\r\nhost: shop.example\r\n{lines}\r\n");
        client.send(&(head + body)).await;
        let head = client.head().await;
        let has_body = method != "HEAD" && !head.starts_with("HTTP/1.1 304");
        let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let body = client.bytes(if has_body { length } else { 0 }).await;
        Heard { head, body }
    }

    /// Asserts that a request is answered by the origin each time and that nothing is kept of it.
    async fn assert_never_kept(&self, target: &str, fields: &[(&str, &str)]) {
        for _ in 0..2 {
            let before = self.origin.requests();
            let heard = self.get(target, fields).await;
            assert!(!heard.is_hit(), "{target}: {}", heard.head);
            assert_eq!(self.origin.requests(), before + 1, "{target}: {}", heard.head);
        }
        assert_eq!(self.node.stored().await, 0.0, "{target}");
    }
}

impl Heard {
    fn cache_status(&self) -> String {
        field(&self.head, "cache-status").unwrap_or_default()
    }

    fn is_hit(&self) -> bool {
        self.cache_status().starts_with("csu-edge; hit")
    }

    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

/// JSON, so that catalogue reads can be told too.
fn echo(seen: &Seen) -> Response<Full<Bytes>> {
    let fields = seen.headers.iter().filter(|(name, _)| *name != "host");
    let fields: Vec<String> =
        fields.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    let body = serde_json::json!({ "target": seen.target, "fields": fields, "body": seen.body });
    Response::builder()
        .header("content-type", "application/json")
        .header("cache-control", "public, max-age=60")
        .body(Full::from(body.to_string()))
        .unwrap()
}

/// What a request carried, in order, but for what no client decides.
fn fields_of(seen: &Seen) -> Vec<(&str, &str)> {
    let fields = seen.headers.iter().filter(|(name, _)| *name != "host");
    let mut fields: Vec<(&str, &str)> =
        fields.map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    fields.sort_unstable();
    fields
}
