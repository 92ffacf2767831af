//! The control endpoint, as operators, probes and scrapers see it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
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
    clock: Clock,
    metrics: Metrics,
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
    scene_with(|_| ())
}

fn scene_with(change: impl FnOnce(&mut Node)) -> Scene {
    let clock = Clock::manual(Timestamp::from_millis(1_777_284_000_000));
    let metrics = Metrics::new().unwrap();
    let plane = Arc::new(PurgePlane::new(clock.clone(), Duration::from_secs(60), 1_000));
    let settings = config::Ingest::default();
    let (purger, first) = (Purger::Alone(Arc::clone(&plane)), plane.stamp());
    let ingest = Ingest::new(settings, purger.clone(), metrics.clone(), clock.clone()).unwrap();
    let readiness = Arc::new(Readiness::default());
    let scrapes = Arc::new(AtomicUsize::new(0));
    let mut node = Node {
        purger,
        metrics,
        readiness: Arc::clone(&readiness),
        dead_letters: ingest.dead_letters(),
        degraded: Box::new(Vec::new),
        configuration: Box::new(|| json!({ "digest": "d" })),
        explain: Arc::new(Echo),
        on_scrape: Box::new({
            let scrapes = Arc::clone(&scrapes);
            move || {
                scrapes.fetch_add(1, Ordering::Relaxed);
            }
        }),
        loopback_only: true,
        tls: false,
        memory_bytes: 1 << 20,
        clock: clock.clone(),
    };
    change(&mut node);
    let metrics = node.metrics.clone();
    let control = Control::new(node);
    Scene { clock, metrics, plane, first, readiness, ingest, scrapes, control }
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
    let configuration = json!({ "digest": "d" });
    let version_of_program = env!("CARGO_PKG_VERSION");
    let expected = json!({
        "name": "csu-edge",
        "version": version_of_program,
        "configuration": configuration,
    });
    assert_eq!(version, expected);
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
    assert_eq!(scene.get("/status").await.json()["purges"]["last"], json!([]));
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
        (Method::POST, "/console", "GET, HEAD"),
        (Method::POST, "/status", "GET, HEAD"),
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

#[tokio::test]
async fn the_console_may_ask_for_an_explanation_and_purge_nothing() {
    const URL: &str = r#"{"url":"/x"}"#;
    let scene = scene();
    let ask = async |host: &str, origins: &[&str], target: &str, body: &'static str| {
        let request = json_post(target).header("host", host);
        let request = origins.iter().fold(request, |request, one| request.header("origin", *one));
        scene.send(request.body(Full::<Bytes>::from(body)).unwrap()).await
    };
    for host in ["127.0.0.1:9600", "localhost:9600", "[::1]:9600", "127.0.0.1"] {
        let own = format!("http://{host}");
        assert_eq!(ask(host, &[&own], "/explain", URL).await.status, StatusCode::OK, "{host}");
        let purge = ask(host, &[&own], "/purge", r#"{"tags":["*"]}"#).await;
        purge.is_error(403, "from-browser", "web pages are not served here");
    }
    let host = "127.0.0.1:9600";
    for other in [
        &["https://127.0.0.1:9600"][..],
        &["http://127.0.0.1:9601"],
        &["http://127.0.0.1"],
        &["http://localhost:9600"],
        &["http://127.0.0.1:9600/"],
        &["HTTP://127.0.0.1:9600"],
        &["http://shop.example"],
        &["null"],
        &[""],
        &["http://127.0.0.1:9600", "http://shop.example"],
        &["http://127.0.0.1:9600", "http://127.0.0.1:9600"],
    ] {
        let answer = ask(host, other, "/explain", URL).await;
        answer.is_error(403, "from-browser", "web pages are not served here");
    }
    // A name that was made to resolve to loopback is its page's own origin, too.
    let rebound = ask("rebound.example:9600", &["http://rebound.example:9600"], "/explain", URL);
    assert_eq!(rebound.await.status, StatusCode::MISDIRECTED_REQUEST);
    // What a page can send without being asked for leave is no JSON.
    let form = Request::post("/explain").header("content-type", "text/plain");
    let form = form.header("host", host).header("origin", "http://127.0.0.1:9600");
    let answer = scene.send(form.body(Full::from(URL)).unwrap()).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    // Nor is there a host to be the origin's where none is named.
    let unnamed = json_post("/explain").header("origin", "http://127.0.0.1:9600");
    let answer = scene.send(unnamed.body(Full::from(URL)).unwrap()).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(scene.plane.stamp(), scene.first);
}

#[tokio::test]
async fn where_tls_is_spoken_the_console_s_origin_is_https() {
    let scene = scene_with(|node| node.tls = true);
    let ask = async |origin: &str| {
        let request = json_post("/explain").header("host", "localhost:9600");
        let request = request.header("origin", origin).body(Full::from(r#"{"url":"/x"}"#));
        scene.send(request.unwrap()).await.status
    };
    assert_eq!(ask("https://localhost:9600").await, StatusCode::OK);
    assert_eq!(ask("http://localhost:9600").await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_console_is_one_page_under_a_policy_that_lets_nothing_else_in() {
    let scene = scene();
    let page = scene.get("/console").await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(page.headers["x-content-type-options"], "nosniff");
    assert_eq!(page.headers["x-frame-options"], "DENY");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'sha256-",
        "style-src 'sha256-",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
    ] {
        assert!(policy.contains(part), "{part}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(page.text.starts_with("<!doctype html>"));
    let rebound = Request::get("/console").header("host", "rebound.example:9600");
    let answer = scene.send(rebound.body(Full::default()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn the_status_tells_what_was_purged_by_whom_and_what_was_kept_aside() {
    let scene = scene();
    scene.readiness.clear(NotReady::Starting);
    scene.post("/purge", r#"{"tags":["price/item:1","product/item:1"]}"#).await;
    let push = async |body: Value| {
        let event = json_post("/ingest/cdx").body(Full::<Bytes>::from(body.to_string())).unwrap();
        assert_eq!(scene.ingest.respond(event).await.status(), StatusCode::OK);
    };
    push(json!({ "type": "csu.cdx.price.changed", "items": ["82000"] })).await;
    push(json!({ "type": "contoso.new", "text": "x".repeat(20_000) })).await;
    let labels = ["GetChannels", "configuration", "miss"];
    scene.metrics.requests.for_one().with_label_values(&labels).inc();
    scene.clock.advance(Duration::from_secs(90));
    let status = scene.get("/status").await.json();
    assert_eq!((&status["ready"], &status["reasons"]), (&json!(true), &json!([])));
    assert_eq!((&status["uptimeSeconds"], &status["fleet"]), (&json!(90.0), &Value::Null));
    assert_eq!(status["memory"]["maxBytes"], 1 << 20);
    assert_eq!(status["purges"]["sequence"], 2);
    let by_source = &status["purges"]["bySource"];
    assert_eq!((&by_source["event"], &by_source["operator"]), (&json!(1), &json!(1)));
    let last = status["purges"]["last"].as_array().unwrap();
    assert_eq!(last.len(), 2);
    assert_eq!((&last[0]["source"], &last[0]["sequence"]), (&json!("event"), &json!(2)));
    assert!(last[0]["hard"].as_array().unwrap().contains(&json!("price/item:82000")), "{last:?}");
    let by_hand = json!({
        "at": "2026-04-27T10:00:00.000Z", "generation": 0, "sequence": 1, "source": "operator",
        "hard": ["price/item:1"], "soft": ["product/item:1"], "more": 0,
    });
    assert_eq!(last[1], by_hand);
    let letter = &status["deadLetters"]["last"][0];
    assert_eq!((&letter["type"], &letter["truncated"]), (&json!("contoso.new"), &json!(true)));
    assert_eq!(letter["event"].as_str().unwrap().len(), 1 << 10);
    assert_eq!(status["requests"]["byResult"]["hit"], 0);
    let asked = json!({
        "operation": "GetChannels", "class": "configuration", "byResult": { "miss": 1 },
    });
    assert_eq!(status["requests"]["byOperation"], json!([asked]));
    is_documented(&status);
    assert_eq!(scene.scrapes.load(Ordering::Relaxed), 1);
}

/// Every member is in the table of docs/console.md, and nothing else is.
fn is_documented(status: &Value) {
    const PAGE: &str = include_str!("../docs/console.md");
    let (_, table) = PAGE.split_once("## `GET /status`").unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" | "));
    let mut told: BTreeSet<&str> = rows.flat_map(|(cell, _)| cell.split('`').step_by(2)).collect();
    assert!(told.len() > 50, "{told:?}");
    fn walk(value: &Value, path: &str, told: &mut BTreeSet<&str>) {
        if told.remove(path) {
            return;
        }
        let member = |name: &str| match path {
            "" => name.to_owned(),
            _ => format!("{path}.{name}"),
        };
        match value {
            Value::Object(members) if !members.is_empty() => {
                members.iter().for_each(|(name, value)| walk(value, &member(name), told));
            }
            Value::Array(items) if !items.is_empty() => {
                walk(&items[0], &format!("{path}[]"), told);
            }
            _ => panic!("`{path}` is not in docs/console.md"),
        }
    }
    walk(status, "", &mut told);
    // A node without Redis has neither.
    told.retain(|path| !path.starts_with("fleet.") && !path.starts_with("redis."));
    assert_eq!(told, BTreeSet::new());
}

#[tokio::test]
async fn the_status_is_of_bounded_size() {
    let scene = scene();
    let tags: Vec<String> = (0..500).map(|n| format!("price/item:{n:0>250}")).collect();
    for number in 0..300 {
        scene.post("/purge", json!({ "tags": tags }).to_string()).await;
        let event =
            json!({ "type": "x".repeat(5_000), "number": number, "text": "x".repeat(5_000) });
        let event = json_post("/ingest/cdx").body(Full::<Bytes>::from(event.to_string())).unwrap();
        assert_eq!(scene.ingest.respond(event).await.status(), StatusCode::OK);
    }
    let answer = scene.get("/status").await;
    let status = answer.json();
    assert_eq!(status["purges"]["last"].as_array().unwrap().len(), 50);
    assert_eq!(status["purges"]["last"][0]["more"], 490);
    assert_eq!(status["deadLetters"]["last"].as_array().unwrap().len(), 20);
    assert!(answer.text.len() < 256 << 10, "{} bytes", answer.text.len());
}
