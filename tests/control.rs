//! The control endpoint, as operators, probes and scrapers see it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use csu_edge::clock::{Clock, Timestamp};
use csu_edge::config;
use csu_edge::control::{Control, Explain, ExplainRequest, Node, NotReady, Readiness};
use csu_edge::ingest::Ingest;
use csu_edge::metrics::Metrics;
use csu_edge::purge::{LastFoundUsable, PurgePlane, PurgeState, Purger, Stamp, Strictness};
use csu_edge::tag::{Tag, TagSet};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

struct Scene {
    plane: Arc<PurgePlane>,
    /// From before any purge.
    first: Stamp,
    readiness: Arc<Readiness>,
    ingest: Ingest,
    scrapes: Arc<AtomicUsize>,
    control: Control,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

/// Tells back what it was asked.
struct Echo;

impl Explain for Echo {
    fn explain(&self, request: ExplainRequest) -> Result<Value, String> {
        if request.url.path() == "/nowhere" {
            return Err("not under the service root".to_owned());
        }
        let accepted: Vec<&str> =
            request.headers.get_all("accept").iter().map(|value| value.to_str().unwrap()).collect();
        Ok(json!({
            "method": request.method.as_str(), "url": request.url.to_string(),
            "accept": accepted, "body": request.body,
        }))
    }
}

fn scene() -> Scene {
    let clock = Clock::manual(Timestamp::from_millis(1_777_284_000_000));
    let metrics = Metrics::new().unwrap();
    let plane = Arc::new(PurgePlane::new(clock.clone(), Duration::from_secs(60), 1_000));
    let settings = config::Ingest::default();
    let (purger, first) = (Purger::Alone(Arc::clone(&plane)), plane.stamp());
    let ingest = Ingest::new(settings, purger.clone(), metrics.clone(), clock).unwrap();
    let readiness = Arc::new(Readiness::default());
    let scrapes = Arc::new(AtomicUsize::new(0));
    let control = Control::new(Node {
        purger,
        metrics,
        readiness: Arc::clone(&readiness),
        dead_letters: ingest.dead_letters(),
        degraded: Box::new(Vec::new),
        explain: Arc::new(Echo),
        on_scrape: Box::new({
            let scrapes = Arc::clone(&scrapes);
            move || {
                scrapes.fetch_add(1, Ordering::Relaxed);
            }
        }),
        loopback_only: true,
    });
    Scene { plane, first, readiness, ingest, scrapes, control }
}

impl Scene {
    async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let (head, body) = self.control.respond(request).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: head.status, headers: head.headers, text }
    }

    async fn get(&self, target: &str) -> Answer {
        self.send(Request::get(target).body(Full::default()).unwrap()).await
    }

    async fn post(&self, target: &str, body: impl Into<Bytes>) -> Answer {
        self.send(json_post(target).body(Full::new(body.into())).unwrap()).await
    }

    fn state(&self, tag: &str) -> PurgeState {
        let tags: TagSet = [Tag::parse(tag).unwrap()].into_iter().collect();
        let last = LastFoundUsable::default();
        self.plane.check(&tags, self.first, &last, Strictness::Strict)
    }
}

fn json_post(target: &str) -> http::request::Builder {
    Request::post(target).header("content-type", "application/json")
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    fn is_error(&self, status: u16, code: &str, message: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        let expected = json!({
            "error": { "code": format!("csu-edge.{code}"), "message": message }
        });
        assert_eq!(self.json(), expected);
    }
}

#[tokio::test]
async fn metrics_tell_the_plane_as_it_stands_at_the_scrape() {
    let scene = scene();
    scene.post("/purge", r#"{"tags":["price/item:1","price/item:2"]}"#).await;
    let answer = scene.get("/metrics").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4");
    assert_eq!(answer.headers["cache-control"], "no-store");
    for line in [
        "csu_edge_purge_applied_sequence 1\n",
        "csu_edge_purge_remembered_tags 2\n",
        "csu_edge_purged_tags_total 2\n",
        "csu_edge_purges_total{source=\"operator\"} 1\n",
    ] {
        assert!(answer.text.contains(line), "{line}");
    }
    assert_eq!(scene.scrapes.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_node_that_is_not_ready_says_why_and_lives_all_the_same() {
    let scene = scene();
    let ready = async || {
        let answer = scene.get("/ready").await;
        (answer.status.as_u16(), answer.json())
    };
    assert_eq!(ready().await, (503, json!({ "ready": false, "reasons": ["starting"] })));
    scene.readiness.clear(NotReady::Starting);
    assert_eq!(ready().await, (200, json!({ "ready": true, "reasons": [] })));
    scene.readiness.set(NotReady::Draining);
    assert_eq!(ready().await, (503, json!({ "ready": false, "reasons": ["draining"] })));
    assert_eq!(scene.get("/live").await.status, StatusCode::OK);
    let version = scene.get("/version").await.json();
    assert_eq!(version, json!({ "name": "csu-edge", "version": env!("CARGO_PKG_VERSION") }));
}

#[tokio::test]
async fn an_operator_purges_by_class_or_as_they_say() {
    let scene = scene();
    let by_class = r#"{"tags":["price/item:1","product/item:1","product/item:1"]}"#;
    assert_eq!(scene.post("/purge", by_class).await.json(), json!({ "sequence": 1 }));
    assert_eq!(scene.state("price/item:1"), PurgeState::HardPurged);
    assert_eq!(scene.state("product/item:1"), PurgeState::SoftPurged);
    let soft = r#"{"tags":["price/item:2"],"mode":"soft"}"#;
    assert_eq!(scene.post("/purge", soft).await.json(), json!({ "sequence": 2 }));
    assert_eq!(scene.state("price/item:2"), PurgeState::SoftPurged);
    assert_eq!(scene.post("/purge", r#"{"tags":["*"]}"#).await.json(), json!({ "sequence": 3 }));
    assert_eq!(scene.state("*"), PurgeState::HardPurged);
}

#[tokio::test]
async fn a_purge_with_one_wrong_tag_names_it_and_purges_none() {
    let scene = scene();
    let wrong = scene.post("/purge", r#"{"tags":["price/item:1","price/sku:1"]}"#).await;
    wrong.is_error(400, "malformed-request", "`tags[1]`: \"price/sku:1\": `sku` is no kind of id");
    let none = scene.post("/purge", r#"{"tags":[]}"#).await;
    none.is_error(400, "malformed-request", "`tags`: names no tag");
    let mode = scene.post("/purge", r#"{"tags":["*"],"mode":"firm"}"#).await;
    mode.is_error(400, "malformed-request", "`mode`: must be hard or soft");
    let unknown = scene.post("/purge", r#"{"tag":["*"]}"#).await;
    assert!(unknown.text.contains("unknown field `tag`"), "{}", unknown.text);
    let large = scene.post("/purge", vec![b' '; (1 << 20) + 1]).await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(scene.plane.stamp(), scene.first);
}

#[tokio::test]
async fn dead_letters_are_listed_the_newest_first() {
    let scene = scene();
    for number in 1..=3 {
        let body = json!({ "type": "contoso.new", "number": number }).to_string();
        let event = json_post("/ingest/cdx").body(Full::<Bytes>::from(body)).unwrap();
        assert_eq!(scene.ingest.respond(event).await.status(), StatusCode::OK);
    }
    let listed = scene.get("/dead-letters?limit=2").await.json();
    assert_eq!(listed["kept"], 3);
    let numbers: Vec<&Value> = listed["deadLetters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|letter| &letter["event"]["number"])
        .collect();
    assert_eq!(numbers, [3, 2]);
    let all = scene.get("/dead-letters").await.json();
    assert_eq!(all["deadLetters"].as_array().unwrap().len(), 3);
    let wrong = scene.get("/dead-letters?limit=all").await;
    wrong.is_error(400, "malformed-request", "`limit=all` is not `limit=NUMBER`");
}

#[tokio::test]
async fn explain_checks_the_question_and_hands_it_on() {
    let scene = scene();
    let asked = json!({
        "method": "POST", "url": "/Commerce/Products/GetByIds?$top=5",
        "headers": { "Accept": "application/json" }, "body": "{}",
    });
    let expected = json!({
        "method": "POST", "url": "/Commerce/Products/GetByIds?$top=5",
        "accept": ["application/json"], "body": "{}",
    });
    assert_eq!(scene.post("/explain", asked.to_string()).await.json(), expected);
    let short = json!({ "url": "/x", "headers": [["accept", "a/b"], ["accept", "c/d"]] });
    let expected = json!({ "method": "GET", "url": "/x", "accept": ["a/b", "c/d"], "body": "" });
    assert_eq!(scene.post("/explain", short.to_string()).await.json(), expected);
    let nowhere = scene.post("/explain", r#"{"url":"/nowhere"}"#).await;
    nowhere.is_error(422, "unexplained", "not under the service root");
    for (wrong, message) in [
        (json!({ "url": "/x", "method": "G T" }), "`method`: is no method"),
        (json!({ "url": "/x y" }), "`url`: invalid uri character"),
        (json!({ "url": "/x", "headers": { "a b": "" } }), "`headers`: `a b` is no header field"),
        (json!({ "url": "/x", "headers": [["a", "\n"]] }), "`headers`: `a` is no header field"),
    ] {
        let answer = scene.post("/explain", wrong.to_string()).await;
        answer.is_error(400, "malformed-request", message);
    }
    let answer = scene.post("/explain", r#"{"url":"/x","headers":7}"#).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn wrong_paths_and_methods_are_told_so() {
    let scene = scene();
    scene.get("/").await.is_error(404, "unknown-path", "nothing is served here");
    for (method, target, allowed) in [
        (Method::GET, "/purge", "POST"),
        (Method::OPTIONS, "/explain", "POST"),
        (Method::POST, "/metrics", "GET, HEAD"),
        (Method::DELETE, "/dead-letters", "GET, HEAD"),
    ] {
        let request = Request::builder().method(method).uri(target).body(Full::default()).unwrap();
        let answer = scene.send(request).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers["allow"], allowed);
    }
    let head = Request::head("/ready").body(Full::default()).unwrap();
    assert_eq!(scene.send(head).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_web_page_in_the_operators_browser_moves_and_reads_nothing() {
    let scene = scene();
    let body = || Full::<Bytes>::from(r#"{"tags":["*"]}"#);
    let form = Request::post("/purge").header("content-type", "text/plain").body(body()).unwrap();
    assert_eq!(scene.send(form).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let untyped = Request::post("/purge").body(body()).unwrap();
    assert_eq!(scene.send(untyped).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let page = json_post("/purge").header("origin", "http://localhost:9600").body(body()).unwrap();
    assert_eq!(scene.send(page).await.status, StatusCode::FORBIDDEN);
    for host in ["rebound.example:9600", "localhost.example", "127.0.0.1.example", "a b"] {
        let request = Request::get("/dead-letters").header("host", host);
        let answer = scene.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{host}");
    }
    for host in ["localhost:9600", "127.0.0.1:9600", "[::1]:9600", "LOCALHOST"] {
        let request = Request::get("/live").header("host", host);
        let answer = scene.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{host}");
    }
    assert_eq!(scene.plane.stamp(), scene.first);
}
