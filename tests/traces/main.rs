//! Traces: which spans get to a collector, what they say, and what the origin is told of them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test panics"
)]

mod collector;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use collector::{Collector, Got};
use csu_edge::clock::Clock;
use csu_edge::config::{Config, Secret};
use http::{Response, StatusCode};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use support::node::{Running, START, price_request, with};
use support::origin::{Origin, json as answer, prices_of, products_in};
use support::wire::{Wire, field, soon};
use tokio::net::TcpListener;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const ATTRIBUTES: &str = "/Commerce/Products(1)/GetAttributeValues(channelId=1,catalogId=0)";

fn sampled() -> String {
    format!("00-{TRACE}-{CALLER}-01")
}

fn unsampled() -> String {
    format!("00-{TRACE}-{CALLER}-00")
}

/// Traces to this collector, of what its sender samples.
fn traced(endpoint: &str) -> impl FnOnce(&mut Config) + use<> {
    let endpoint = endpoint.parse().unwrap();
    |config| {
        config.listen.workers = 1;
        config.traces.endpoint = Some(endpoint);
        config.traces.sample_percent = 0.0;
        config.traces.export_every = Duration::from_millis(10);
    }
}

async fn shop() -> Origin {
    Origin::start(|seen| match seen.method.as_str() {
        "POST" if seen.target.contains("GetActivePrices") => answer(prices_of(
            products_in(&seen.body).iter().map(|&product| (product, format!("i{product}"), 79.9)),
        )),
        _ => answer(r#"{"value":[]}"#),
    })
    .await
}

async fn start(origin: &Origin, collector: &Collector) -> Running {
    Running::start(&origin.service_root(), traced(&collector.endpoint)).await
}

fn of_kind(spans: &[Got], kind: i32) -> Vec<&Got> {
    spans.iter().filter(|span| span.kind == kind).collect()
}

const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const CONSUMER: i32 = 5;

async fn get_in(node: &Running, target: &str, traceparent: &str) -> support::node::Got {
    let fields = [("traceparent", traceparent), ("tracestate", "shop=a1,other=b2")];
    node.get_with(target, &fields).await
}

#[tokio::test]
async fn a_request_goes_on_in_its_senders_trace_and_the_origin_in_ours() {
    let (origin, collector) = (shop().await, Collector::start().await);
    let node = Running::start(&origin.service_root(), |config| {
        traced(&collector.endpoint)(config);
        config.traces.service = "edge-1".to_owned();
        let key = Secret::new("k3y".to_owned());
        config.traces.headers = vec![("api-key".parse().unwrap(), key)];
    })
    .await;
    for (target, operation, result, purpose) in [
        (ATTRIBUTES, Value::from("Products/GetAttributeValues"), "miss", "fetch"),
        ("/Commerce/Unknown('a')?who=jo", Value::Null, "pass", "pass"),
    ] {
        let before = collector.spans().len();
        get_in(&node, target, &sampled()).await;
        let spans = collector.got(before + 2).await.split_off(before);
        let (server, client) = (of_kind(&spans, SERVER)[0], of_kind(&spans, CLIENT)[0]);
        assert_eq!((&*server.trace_id, &*server.parent), (TRACE, CALLER));
        assert_eq!((&*client.trace_id, &client.parent), (TRACE, &server.span_id));
        assert_eq!((&*server.state, &*client.state), ("shop=a1,other=b2", "shop=a1,other=b2"));
        let told = origin.last();
        let ours = format!("00-{TRACE}-{}-01", client.span_id);
        assert_eq!(told.header("traceparent"), Some(&*ours));
        assert_eq!(told.header("tracestate"), Some("shop=a1,other=b2"));

        let path = target.split('?').next().unwrap();
        assert_eq!(server.attribute("http.request.method"), "GET");
        assert_eq!(server.attribute("url.path"), path);
        assert_eq!(server.attribute("url.scheme"), "http");
        assert_eq!(server.attribute("client.address"), "127.0.0.1");
        assert_eq!(server.attribute("http.response.status_code"), 200);
        assert_eq!(server.attribute("csu_edge.operation"), operation);
        assert_eq!(server.attribute("csu_edge.result"), result);
        let root = origin.service_root();
        let base = root.strip_suffix("/Commerce").unwrap();
        let asked = told.target.split('?').next().unwrap();
        assert_eq!(client.attribute("url.full"), format!("{base}{asked}"));
        assert_eq!(client.attribute("server.address"), "127.0.0.1");
        assert_eq!(client.attribute("http.response.status_code"), 200);
        assert_eq!(client.attribute("csu_edge.purpose"), purpose);
        assert!(
            !spans.iter().any(|span| span.is_error || span.text().contains("who=")),
            "{spans:#?}"
        );
    }
    let (target, fields) = collector.head();
    assert_eq!(target, "/v1/traces");
    assert_eq!(fields["api-key"], "k3y");
    assert_eq!(collector.resource("service.name"), "edge-1");
    reaches(&node, "csu_edge_spans_exported_total", 4.0).await;
}

/// Waits until a series is there, and no further.
async fn reaches(node: &Running, series: &str, count: f64) {
    let counted = async {
        while node.metric(series).await < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(counted).await;
    assert_eq!(node.metric(series).await, count);
}

#[tokio::test]
async fn without_traces_what_a_client_says_of_its_own_goes_on_to_the_origin() {
    let origin = shop().await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    get_in(&node, "/Commerce/Unknown", &sampled()).await;
    assert_eq!(origin.last().header("traceparent"), Some(&*sampled()));
    get_in(&node, ATTRIBUTES, &sampled()).await;
    assert_eq!(origin.last().header("traceparent"), Some(&*sampled()));
}

#[tokio::test]
async fn what_is_slow_or_fails_is_kept_and_what_is_neither_is_not() {
    let (origin, collector) = (shop().await, Collector::start().await);
    let node = start(&origin, &collector).await;
    // Neither sampled nor worth it: a miss, a hit, and something that is not there.
    get_in(&node, ATTRIBUTES, &unsampled()).await;
    let told = origin.last().header("traceparent").unwrap().to_owned();
    assert!(told.starts_with(&format!("00-{TRACE}-")) && told.ends_with("-00"), "{told}");
    assert_ne!(told, unsampled());
    node.get(ATTRIBUTES).await;
    origin.answer(|_| status(StatusCode::NOT_FOUND));
    get_in(&node, "/Commerce/absent", &unsampled()).await;

    origin.answer(|_| status(StatusCode::INTERNAL_SERVER_ERROR));
    get_in(&node, "/Commerce/failing", &unsampled()).await;
    let spans = collector.got(2).await;
    let (server, client) = (of_kind(&spans, SERVER)[0], of_kind(&spans, CLIENT)[0]);
    assert_eq!(server.attribute("url.path"), "/Commerce/failing");
    assert_eq!(server.attribute("error.type"), "500");
    assert_eq!(client.attribute("error.type"), "500");
    assert_eq!(
        (&*server.trace_id, &*server.parent, &client.parent),
        (TRACE, CALLER, &server.span_id)
    );
    assert!(server.is_error && client.is_error);

    origin.answer(|_| answer("{}"));
    origin.hold();
    let asking = node.get("/Commerce/slow");
    let meanwhile = async {
        origin.arrived(4).await;
        node.clock.advance(Duration::from_secs(1));
        origin.release();
    };
    tokio::join!(asking, meanwhile);
    let spans = collector.got(4).await.split_off(2);
    let server = of_kind(&spans, SERVER)[0];
    assert_eq!(server.attribute("url.path"), "/Commerce/slow");
    assert_eq!((server.took, &*server.parent), (Duration::from_secs(1), ""));
    assert_ne!(server.trace_id, TRACE);
    assert!(!server.is_error);
}

fn status(status: StatusCode) -> Response<http_body_util::Full<bytes::Bytes>> {
    let mut response = answer("{}");
    *response.status_mut() = status;
    response
}

#[tokio::test]
async fn an_origin_that_cannot_be_reached_is_told_of_though_something_stale_stood_in() {
    let (origin, collector) = (shop().await, Collector::start().await);
    let node = start(&origin, &collector).await;
    let ask = || node.post("/Commerce/Products/GetActivePrices", "{\"productIds\":[1]}");
    ask().await;
    node.clock.advance(Duration::from_secs(301));
    origin.answer(|_| status(StatusCode::BAD_GATEWAY));
    let got = ask().await;
    assert_eq!(got.status, StatusCode::OK);
    let spans = collector.got(2).await;
    let (server, client) = (of_kind(&spans, SERVER)[0], of_kind(&spans, CLIENT)[0]);
    assert_eq!(server.attribute("csu_edge.result"), "stale-if-error");
    assert_eq!(server.attribute("csu_edge.pieces"), 1);
    assert_eq!(client.attribute("http.response.status_code"), 502);
    assert!(!server.is_error && client.is_error);
}

#[tokio::test]
async fn by_chance_all_are_sampled_or_none_unless_their_sender_has_decided() {
    for (percent, follows, traceparent, count) in [
        (100.0, true, None, 1),
        (100.0, true, Some(unsampled()), 0),
        (100.0, false, Some(unsampled()), 1),
        (0.0, false, Some(sampled()), 0),
        (0.0, true, Some("nonsense".to_owned()), 0),
    ] {
        let (origin, collector) = (shop().await, Collector::start().await);
        let node = Running::start(&origin.service_root(), |config| {
            traced(&collector.endpoint)(config);
            config.traces.sample_percent = percent;
            config.traces.follow_sampled = follows;
        })
        .await;
        let fields: Vec<_> = traceparent.iter().map(|value| ("traceparent", &**value)).collect();
        node.get_with("/Commerce/first", &fields).await;
        // All that was worth it is exported by the end.
        node.node.drain().await;
        let servers = of_kind(&collector.spans(), SERVER).len();
        assert_eq!(servers, count, "{percent} {follows} {traceparent:?}");
    }
}

#[tokio::test]
async fn hits_that_are_not_read_are_sampled_like_others() {
    let (origin, collector) = (shop().await, Collector::start().await);
    let node = start(&origin, &collector).await;
    let mut wire = Wire::connect(node.node.addresses().storefront).await;
    for n in 1..=20_u32 {
        let flag = u32::from(n > 10 && n % 2 == 0);
        let request = format!(
            "GET {ATTRIBUTES} HTTP/1.1\r\nhost: shop\r\n\
             traceparent: 00-{n:032x}-{CALLER}-{flag:02x}\r\n\r\n"
        );
        wire.send(&request).await;
        let head = wire.head().await;
        wire.raw(field(&head, "content-length").unwrap().parse().unwrap()).await;
    }
    assert!(node.metric("csu_edge_repeated_hits_total").await >= 17.0);
    for (span, n) in collector.got(5).await.iter().zip([12, 14, 16, 18, 20]) {
        assert_eq!(span.trace_id, format!("{n:032x}"));
        assert_eq!((span.kind, &*span.parent), (SERVER, CALLER));
        assert_eq!(span.attribute("url.path"), ATTRIBUTES);
        assert_eq!(span.attribute("csu_edge.result"), "hit");
        assert_eq!(span.attribute("csu_edge.cache_status"), "csu-edge; hit; ttl=900");
    }
}

#[tokio::test]
async fn who_waits_for_anothers_fetch_is_linked_to_it() {
    let (origin, collector) = (shop().await, Collector::start().await);
    let node = start(&origin, &collector).await;
    origin.hold();
    let first = async { get_in(&node, ATTRIBUTES, &sampled()).await };
    let second = async {
        origin.arrived(1).await;
        get_in(&node, ATTRIBUTES, &sampled()).await
    };
    let release = async {
        node.collapsed(1.0).await;
        origin.release();
    };
    tokio::join!(first, second, release);
    let spans = collector.got(3).await;
    let joined = |span: &&Got| span.attribute("csu_edge.fetch.joined") == true;
    let servers = of_kind(&spans, SERVER);
    let follower = servers.iter().copied().find(joined).unwrap();
    let leader = servers.iter().copied().find(|span| !joined(span)).unwrap();
    assert_eq!(follower.links, std::slice::from_ref(&leader.span_id));
    assert!(leader.links.is_empty());
    assert_eq!(of_kind(&spans, CLIENT)[0].parent, leader.span_id);
}

#[tokio::test]
async fn a_call_that_several_requests_share_is_linked_to_each() {
    let (origin, collector) = (shop().await, Collector::start().await);
    let node = Running::start(&origin.service_root(), |config| {
        traced(&collector.endpoint)(config);
        config.origin.merge_linger = Duration::from_millis(100);
    })
    .await;
    let ask = |product| node.send(with(price_request(&[product]), "traceparent", &sampled()));
    origin.hold();
    let others = async {
        // Another call of its kind is under way, so these two go together.
        origin.arrived(1).await;
        tokio::join!(ask(2), ask(3))
    };
    let release = async {
        origin.arrived(2).await;
        origin.release();
    };
    tokio::join!(ask(1), others, release);
    let spans = collector.got(5).await;
    let (servers, clients) = (of_kind(&spans, SERVER), of_kind(&spans, CLIENT));
    let shared = clients.iter().find(|span| span.links.len() == 2).unwrap();
    let asked_alone = clients.iter().find(|span| span.links.is_empty()).unwrap();
    let mut askers: Vec<_> = servers.iter().map(|span| span.span_id.clone()).collect();
    askers.retain(|asker| *asker != asked_alone.parent);
    askers.sort();
    let mut links = shared.links.clone();
    links.sort();
    assert_eq!(links, askers);
}

#[tokio::test]
async fn the_wait_at_the_gate_is_a_span_of_its_own() {
    let (origin, collector) = (shop().await, Collector::start().await);
    let node = Running::start_by(Clock::system(), &origin.service_root(), |config| {
        traced(&collector.endpoint)(config);
        config.origin.gate.min_in_flight = 1;
        config.origin.gate.max_in_flight = 1;
        config.origin.gate.max_wait = Duration::from_secs(20);
        config.traces.slow_after = Duration::from_secs(3_600);
    })
    .await;
    origin.hold();
    let first = async { get_in(&node, "/Commerce/first", &unsampled()).await };
    let second = async {
        origin.arrived(1).await;
        get_in(&node, "/Commerce/second", &sampled()).await
    };
    let release = async {
        let waits = async {
            while node.metric("csu_edge_origin_gate_waiting").await < 1.0 {
                tokio::task::yield_now().await;
            }
        };
        soon(waits).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        origin.release();
    };
    tokio::join!(first, second, release);
    let spans = collector.got(3).await;
    let (server, gate) = (of_kind(&spans, SERVER)[0], of_kind(&spans, INTERNAL)[0]);
    assert_eq!(server.attribute("url.path"), "/Commerce/second");
    assert_eq!((&*gate.name, &gate.parent), ("gate", &server.span_id));
    assert!(gate.took >= Duration::from_millis(20) && gate.took <= server.took, "{spans:#?}");
    assert_eq!(of_kind(&spans, CLIENT)[0].parent, server.span_id);
}

#[tokio::test]
async fn a_push_event_is_a_span_in_the_trace_that_it_names() {
    let (origin, collector) = (shop().await, Collector::start().await);
    let node = start(&origin, &collector).await;
    let event = |id: &str, traceparent: String| {
        json!({
            "specversion": "1.0", "id": id, "source": "/erp", "type": "csu.cdx.price.changed",
            "time": START.to_string(), "traceparent": traceparent,
            "data": {"products": [68_719_489_871_u64]},
        })
    };
    node.push(&event("quiet", unsampled())).await;
    let answer = node.push(&event("told", sampled())).await;
    let span = collector.got(1).await.remove(0);
    assert_eq!((&*span.trace_id, &*span.parent), (TRACE, CALLER));
    assert_eq!((&*span.name, span.kind), ("push event", CONSUMER));
    assert_eq!(span.attribute("cloudevents.event_id"), "told");
    assert_eq!(span.attribute("cloudevents.event_type"), "csu.cdx.price.changed");
    assert_eq!(span.attribute("csu_edge.event.outcome"), "purged");
    assert_eq!(span.attribute("csu_edge.purge.sequence"), answer["sequence"]);
    assert!(span.attribute("csu_edge.purge.tags").as_i64().unwrap() > 0);

    // Without one of its own, it is part of the delivery's.
    let mut bare = event("bare", String::new());
    bare.as_object_mut().unwrap().remove("traceparent");
    let delivery = support::node::post("/ingest/cdx", &bare.to_string());
    let address = node.node.addresses().ingest;
    node.send_to(address, with(delivery, "traceparent", &sampled())).await;
    assert_eq!(collector.got(2).await[1].parent, CALLER);
}

#[tokio::test]
async fn a_collector_that_is_gone_costs_spans_and_no_request() {
    let origin = shop().await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let node = Running::start(&origin.service_root(), |config| {
        traced(&endpoint)(config);
        config.traces.timeout = Duration::from_millis(200);
    })
    .await;
    for _ in 0..3 {
        assert_eq!(get_in(&node, "/Commerce/x", &sampled()).await.status, StatusCode::OK);
    }
    let series = "csu_edge_spans_dropped_total{reason=\"export-failed\"}";
    reaches(&node, series, 6.0).await;
    assert_eq!(node.metric("csu_edge_spans_exported_total").await, 0.0);
}

#[tokio::test]
async fn a_collector_that_hangs_delays_neither_requests_nor_the_end() {
    let origin = shop().await;
    // It takes connections, and never answers.
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", hanging.local_addr().unwrap());
    let node = Running::start(&origin.service_root(), |config| {
        traced(&endpoint)(config);
        config.traces.queue = 16;
        config.traces.timeout = Duration::from_secs(60);
        config.traces.flush_for = Duration::from_millis(50);
    })
    .await;
    let series = "csu_edge_spans_dropped_total{reason=\"queue-full\"}";
    let mut asked = 0;
    while node.metric(series).await == 0.0 {
        let answered = get_in(&node, "/Commerce/x", &sampled()).await.status;
        assert_eq!(answered, StatusCode::OK);
        asked += 1;
        assert!(asked < 2_000, "none was dropped");
    }
    soon(node.node.drain()).await;
}

#[tokio::test]
async fn a_collector_is_spoken_to_over_tls_and_proves_who_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, certificate.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    let origin = shop().await;
    let collector = Collector::start_with(Some(Arc::new(tls).into())).await;
    for (ca_file, exported) in [(Some(ca_file), 2.0), (None, 0.0)] {
        let node = Running::start(&origin.service_root(), |config| {
            traced(&collector.endpoint)(config);
            config.traces.ca_file = ca_file;
            config.traces.timeout = Duration::from_millis(500);
        })
        .await;
        get_in(&node, "/Commerce/x", &sampled()).await;
        let settled = async {
            let failed = "csu_edge_spans_dropped_total{reason=\"export-failed\"}";
            while node.metric("csu_edge_spans_exported_total").await + node.metric(failed).await
                < 2.0
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon(settled).await;
        assert_eq!(node.metric("csu_edge_spans_exported_total").await, exported);
    }
    assert_eq!(collector.spans().len(), 2);
}

#[tokio::test]
async fn the_parts_of_a_batch_are_asked_for_in_its_trace() {
    let (origin, collector) = (shop().await, Collector::start().await);
    let node = start(&origin, &collector).await;
    let part = |id: u32, path: &str| json!({"id": id.to_string(), "method": "GET", "url": path});
    let path = |id: u32| format!("Products({id})/GetAttributeValues(channelId=1,catalogId=0)");
    let batch = json!({"requests": [part(1, &path(1)), part(2, &path(2))]});
    let batch = support::node::post("/Commerce/$batch", &batch.to_string());
    node.send(with(batch, "traceparent", &sampled())).await;
    let told: Vec<_> =
        origin.seen().iter().map(|seen| seen.header("traceparent").unwrap().to_owned()).collect();
    let spans = collector.got(1 + told.len()).await;
    let server = of_kind(&spans, SERVER)[0];
    assert_eq!(server.attribute("url.path"), "/Commerce/$batch");
    let clients = of_kind(&spans, CLIENT);
    assert!(clients.iter().all(|client| client.parent == server.span_id));
    assert!(clients.iter().any(|client| client.attribute("csu_edge.purpose") == "batch"));
    // Nor does a part in a batch name another sender.
    let batch = origin.seen().into_iter().find(|seen| seen.target.contains("$batch")).unwrap();
    assert!(!batch.body.contains("traceparent"), "{}", batch.body);
    for client in clients {
        assert!(told.contains(&format!("00-{TRACE}-{}-01", client.span_id)), "{told:?}");
    }
}

#[test]
fn a_key_in_the_file_is_refused_and_not_repeated() {
    let least = "listen.ingest = '127.0.0.1:8090'\norigin.service_root = 'http://rs'\n";
    let load = |line: &str| {
        let environment = [("KEY", "k3y"), ("BROKEN", "a\nb")];
        Config::parse(&format!("{least}{line}"), "edge.toml", environment)
    };
    let headers = "traces.headers = ['api-key: env:KEY']";
    let loaded = load(headers).unwrap();
    assert_eq!(loaded.traces.headers[0].1.reveal(), "k3y");
    assert!(!format!("{loaded:?}").contains("k3y"));
    for (line, told) in [
        ("traces.headers = ['api-key: s3cret']", "a secret does not belong in the configuration"),
        ("traces.headers = ['s3cret']", "must be a field's name and where its value stands"),
        ("traces.headers = ['api-key: env:ABSENT']", "the environment variable ABSENT is not set"),
        ("traces.headers = ['api-key: env:BROKEN']", "cannot be the value of a header field"),
        ("traces.sample_percent = 101", "must be between 0 and 100"),
        ("traces.sample_percent = nan", "must be between 0 and 100"),
        ("traces.endpoint = 'collector:4317'", "must be an http:// or https:// URL"),
    ] {
        let errors = load(line).unwrap_err().to_string();
        assert!(errors.contains(told), "{line}: {errors}");
        assert!(!errors.contains("s3cret"), "{errors}");
    }
    assert!(
        (load("traces.sample_percent = 0.5").unwrap().traces.sample_percent - 0.5).abs() < 1e-9
    );
}
