//! Push events, as their senders see them: over HTTP, with a clock that tests move.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod authentication;
mod contract;
mod dead_letters;
mod documentation;
mod duplicates;
mod logs;
mod refusals;
mod schedule;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use csu_edge::clock::{Clock, Timestamp};
use csu_edge::config::{self, Secret};
use csu_edge::ingest::Ingest;
use csu_edge::metrics::Metrics;
use csu_edge::purge::{LastFoundUsable, PurgePlane, PurgeState, Purger, Stamp, Strictness};
use csu_edge::tag::{Tag, TagSet};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use serde_json::{Value, json};

/// 2026-04-27T10:00:00Z.
const NOW: Timestamp = Timestamp::from_millis(1_777_284_000_000);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEXT_SECRET: &str = "whsec_c2l4IGFuZCB0d2VudHkgYnl0ZXMgb2YgaXQ=";

struct Node {
    plane: Arc<PurgePlane>,
    /// From before any purge.
    first: Stamp,
    metrics: Metrics,
    clock: Clock,
    ingest: Ingest,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

fn node() -> Node {
    node_with(config::Ingest::default())
}

fn node_with(settings: config::Ingest) -> Node {
    let clock = Clock::manual(NOW);
    let metrics = Metrics::new().unwrap();
    let plane = Arc::new(PurgePlane::new(clock.clone(), Duration::from_secs(86_400), 100_000));
    let (purger, first) = (Purger::Alone(Arc::clone(&plane)), plane.stamp());
    let ingest = Ingest::new(settings, purger, metrics.clone(), clock.clone()).unwrap();
    Node { plane, first, metrics, clock, ingest }
}

fn signed_by(secrets: &[&str]) -> config::Ingest {
    config::Ingest {
        hmac_secrets: secrets.iter().map(|secret| Secret::new((*secret).to_owned())).collect(),
        ..config::Ingest::default()
    }
}

impl Node {
    async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        Answer::of(self.ingest.respond(request).await).await
    }

    async fn post(&self, content_type: &str, body: impl Into<Bytes>) -> Answer {
        let body = body.into();
        let answer = self.send(delivery(content_type, body.clone()).body_of()).await;
        if answer.status == StatusCode::OK {
            fits_schema(&body);
        }
        answer
    }

    async fn short(&self, body: Value) -> Answer {
        self.post("application/json", body.to_string()).await
    }

    async fn event(&self, id: &str, kind: &str, members: Value) -> Answer {
        let event = cloud_event(id, kind, members).to_string();
        self.post("application/cloudevents+json", event).await
    }

    async fn batch(&self, events: &[Value]) -> Answer {
        let events = Value::from(events).to_string();
        self.post("application/cloudevents-batch+json", events).await
    }

    /// What happened to an answer that carries this tag alone and was fetched at `since`.
    fn state_since(&self, tag: &str, since: Stamp) -> PurgeState {
        let tags: TagSet = [Tag::parse(tag).unwrap()].into_iter().collect();
        self.plane.check(&tags, since, &LastFoundUsable::default(), Strictness::Strict)
    }

    fn state(&self, tag: &str) -> PurgeState {
        self.state_since(tag, self.first)
    }

    fn applied(&self) -> u64 {
        self.plane.stamp().sequence.as_u64()
    }

    /// Waits until the schedule's task has brought the sequence to `number`.
    async fn applied_reaches(&self, number: u64) {
        let reached = async {
            while self.applied() < number {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), reached).await.expect("the purge");
        assert_eq!(self.applied(), number);
    }

    /// Moves the clock and lets the schedule's task do all that it can.
    async fn pass(&self, span: Duration) {
        self.clock.advance(span);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    fn metric(&self, line: &str) -> bool {
        self.metrics.render().unwrap().contains(line)
    }
}

impl Answer {
    async fn of(response: Response<Full<Bytes>>) -> Self {
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Self { status: head.status, headers: head.headers, body }
    }

    fn is_accepted(&self, expected: Value) {
        assert_eq!((self.status, &self.body), (StatusCode::OK, &expected));
    }

    fn is_malformed(&self, message: &str) {
        assert_eq!(self.status, StatusCode::BAD_REQUEST, "{}", self.body);
        assert_eq!(self.body["error"]["code"], "csu-edge.malformed-event");
        assert_eq!(self.body["error"]["message"], message);
    }
}

struct Delivery {
    builder: http::request::Builder,
    body: Bytes,
}

fn delivery(content_type: &str, body: impl Into<Bytes>) -> Delivery {
    let builder = Request::post("/ingest/cdx").header("content-type", content_type);
    Delivery { builder, body: body.into() }
}

impl Delivery {
    fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    /// Signs as Standard Webhooks says, at `seconds`, by each of the secrets.
    fn signed(self, id: &str, seconds: u64, secrets: &[&str]) -> Self {
        let signatures: Vec<String> = secrets
            .iter()
            .map(|secret| {
                let secret = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
                let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
                let mut signed = format!("{id}.{seconds}.").into_bytes();
                signed.extend_from_slice(&self.body);
                format!("v1,{}", STANDARD.encode(hmac::sign(&key, &signed)))
            })
            .collect();
        self.header("webhook-id", id)
            .header("webhook-timestamp", &seconds.to_string())
            .header("webhook-signature", &signatures.join(" "))
    }

    fn body_of(self) -> Request<Full<Bytes>> {
        self.builder.body(Full::new(self.body)).unwrap()
    }
}

fn cloud_event(id: &str, kind: &str, members: Value) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "urn:test",
        "type": format!("csu.cdx.{kind}"), "data": members,
    })
}

const PRICE: &str = r#"{"class":"price","items":["82000"]}"#;

fn price_delivery() -> Delivery {
    delivery("application/json", PRICE)
}

const SECONDS: u64 = NOW.as_millis() / 1000;

static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let schema = include_str!("../../docs/push-event.schema.json");
    jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap()
});

/// Whatever is accepted is right by the published schema.
fn fits_schema(body: &[u8]) {
    let body: Value = serde_json::from_slice(body).unwrap();
    let mistakes: Vec<String> = SCHEMA.iter_errors(&body).map(|error| error.to_string()).collect();
    assert!(mistakes.is_empty(), "{body}: {mistakes:?}");
}
