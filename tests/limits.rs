//! What is too much, too slow or not to be understood: it passes or is refused, and is never kept.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test panics"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use support::node::{Running, post, price_request};
use support::origin::{Origin, json as answer, price_of};
use support::wire::{Wire, field};

const STORED_ENTRIES: &str = "csu_edge_stored_entries{tier=\"memory\"}";
const PRICES: &str = "/Commerce/Products/GetActivePrices";

async fn origin() -> Origin {
    Origin::start(|_| answer(price_of(1, "a", 5))).await
}

async fn node_before(origin: &Origin) -> Running {
    Running::start(&origin.service_root(), |config| {
        config.limits.keyed_body_bytes = 4 << 10;
        config.limits.keyed_body_timeout = Duration::from_millis(300);
        config.limits.header_bytes = 8 << 10;
        config.limits.header_fields = 20;
    })
    .await
}

async fn wire(node: &Running) -> Wire {
    Wire::connect(node.node.addresses().storefront).await
}

/// A question that is well-formed in all but its length.
fn long_body(bytes: usize) -> String {
    let frame = r#"{"productIds":[1],"filler":""}"#.len();
    format!(r#"{{"productIds":[1],"filler":"{}"}}"#, "x".repeat(bytes - frame))
}

#[tokio::test]
async fn a_head_past_the_limits_gets_431_and_reaches_nobody() {
    let origin = origin().await;
    let node = node_before(&origin).await;
    let long = format!("x-long: {}\r\n", "a".repeat(9 << 10));
    let many: String = (0..25).map(|at| format!("x-{at}: 1\r\n")).collect();
    for fields in [long, many] {
        let mut client = wire(&node).await;
        let head = format!("GET /Commerce/GetTenderTypes() HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
        client.send(&head).await;
        assert!(client.head().await.starts_with("HTTP/1.1 431 "));
    }
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn a_keyed_body_past_the_limit_passes_whole_and_unkeyed() {
    let origin = origin().await;
    let node = node_before(&origin).await;
    for length in [(4 << 10) + 1, 300_000] {
        let body = long_body(length);
        for _ in 0..2 {
            let got = node.post(PRICES, &body).await;
            assert_eq!((got.status, got.price()), (StatusCode::OK, 5.0));
            assert_eq!(got.cache_status(), "csu-edge; fwd=bypass; detail=body-too-large");
            let seen = origin.seen().pop().unwrap();
            assert_eq!(seen.header("content-length").unwrap(), length.to_string());
            assert!(seen.body == body);
        }
    }
    assert_eq!(origin.requests(), 4);
    let at_limit = long_body(4 << 10);
    node.post(PRICES, &at_limit).await;
    assert!(node.post(PRICES, &at_limit).await.is_hit());
}

#[tokio::test]
async fn a_chunked_body_past_the_limit_passes_whole_though_it_was_begun() {
    let origin = origin().await;
    let node = node_before(&origin).await;
    let body = long_body(50_000);
    let mut client = wire(&node).await;
    let head = "POST /Commerce/Products/GetActivePrices HTTP/1.1\r\nhost: a\r\n\
                content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    client.send(head).await;
    for chunk in body.as_bytes().chunks(3_001) {
        let chunk = String::from_utf8(chunk.to_vec()).unwrap();
        client.send(&format!("{:x}\r\n{chunk}\r\n", chunk.len())).await;
    }
    client.send("0\r\n\r\n").await;
    let (head, _) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let status = field(&head, "cache-status").unwrap();
    assert_eq!(status, "csu-edge; fwd=bypass; detail=body-too-large");
    let seen = origin.seen();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].body == body);
    assert_eq!(node.metric(STORED_ENTRIES).await, 0.0);
}

#[tokio::test]
async fn a_keyed_body_that_stalls_gets_408() {
    let origin = origin().await;
    let node = node_before(&origin).await;
    let mut client = wire(&node).await;
    let head = "POST /Commerce/Products/GetActivePrices HTTP/1.1\r\nhost: a\r\n\
                content-length: 100\r\n\r\n{\"productIds\":";
    client.send(head).await;
    let (head, body) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    assert!(body.contains("csu-edge.request-timeout"), "{body}");
    assert_eq!(field(&head, "cache-status").unwrap(), "csu-edge; detail=request-timeout");
    assert_eq!(origin.requests(), 0);
    let operation = "class=\"price\",operation=\"Products/GetActivePrices\"";
    let errors = format!("csu_edge_requests_total{{{operation},result=\"error\"}}");
    assert_eq!(node.metric(&errors).await, 1.0);
}

#[tokio::test]
async fn an_answer_past_the_limit_streams_to_each_waiter_and_is_not_kept() {
    let origin = Origin::start(|_| answer(format!("[\"{}\"]", "x".repeat(1 << 20)))).await;
    let node = Running::start(&origin.service_root(), |config| {
        config.limits.stored_body_bytes = 64 << 10;
    })
    .await;
    let node = Arc::new(node);
    origin.hold();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let node = Arc::clone(&node);
        clients.spawn(async move { node.prices(&[1]).await });
    }
    node.collapsed(4.0).await;
    origin.arrived(1).await;
    assert_eq!(origin.requests(), 1);
    origin.release();
    for got in clients.join_all().await {
        assert_eq!((got.status, got.body.len()), (StatusCode::OK, (1 << 20) + 4));
        assert_eq!(got.cache_status(), "csu-edge; fwd=uri-miss; detail=too-large");
    }
    assert_eq!(origin.requests(), 5, "each got an answer of its own");
    assert_eq!(node.metric(STORED_ENTRIES).await, 0.0);
    assert_eq!(node.metric("csu_edge_unstored_total{reason=\"too-large\"}").await, 5.0);
}

#[tokio::test]
async fn the_memory_tier_keeps_its_bound_and_counts_what_it_evicts() {
    const MAX_BYTES: u32 = 1 << 20;
    let origin = Origin::start(|seen| {
        // Not to be compressed to nothing.
        let filler: String = (0_u64..2_000)
            .map(|at| format!("{:x}", at.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .collect();
        answer(format!(r#"{{"value":[{{"ProductId":1,"Asked":{:?}}}],"f":"{filler}"}}"#, seen.body))
    })
    .await;
    let node = Running::start(&origin.service_root(), |config| {
        config.memory.max_bytes = MAX_BYTES.into();
    })
    .await;
    for product in 0..200 {
        assert_eq!(node.prices(&[product]).await.status, StatusCode::OK);
        if product % 20 == 0 {
            let stored_bytes = node.metric("csu_edge_stored_bytes{tier=\"memory\"}").await;
            assert!(stored_bytes <= MAX_BYTES.into(), "{stored_bytes}");
        }
    }
    let stored_bytes = node.metric("csu_edge_stored_bytes{tier=\"memory\"}").await;
    assert!(stored_bytes <= MAX_BYTES.into() && stored_bytes > 0.0, "{stored_bytes}");
    let entries = node.metric(STORED_ENTRIES).await;
    let evicted = node.metric("csu_edge_evictions_total{cause=\"capacity\",tier=\"memory\"}").await;
    assert!(entries > 0.0 && entries < 100.0, "{entries}");
    // One that is weighed anew while it is on its way out may count twice.
    assert!(entries + evicted >= 200.0, "{entries} kept, {evicted} evicted");
}

#[tokio::test]
async fn bodies_that_cannot_be_understood_pass_untouched_and_are_never_kept() {
    let origin = origin().await;
    let node = node_before(&origin).await;
    let deep = format!("{}1{}", "[".repeat(1_000), "]".repeat(1_000));
    for body in [
        r#"{"productIds":[1],"productIds":[2]}"#,
        r#"{"a":{"b":1,"\u0062":2}}"#,
        r#"{"productIds":[1]"#,
        r#"{"productIds":[1]}}"#,
        r#"{"productIds":[01]}"#,
        r#"{"text":"\ud800"}"#,
        &deep,
        "not json",
    ] {
        for _ in 0..2 {
            let before = origin.requests();
            let got = node.post(PRICES, body).await;
            let status = got.cache_status();
            assert!(status.starts_with("csu-edge; fwd=bypass; detail="), "{body}: {status}");
            assert_eq!(origin.requests(), before + 1);
            assert_eq!(origin.seen().pop().unwrap().body, body);
        }
    }
    let mut client = wire(&node).await;
    let bad_utf8 = b"POST /Commerce/Products/GetActivePrices HTTP/1.1\r\nhost: a\r\n\
                     content-length: 7\r\n\r\n{\"\xff\":1}";
    client.try_send(bad_utf8).await.unwrap();
    let head = client.head().await;
    assert!(field(&head, "cache-status").unwrap().contains("fwd=bypass"), "{head}");
    assert_eq!(node.metric(STORED_ENTRIES).await, 0.0);
    assert_eq!(node.metric("csu_edge_panics_total").await, 0.0);
}

#[tokio::test]
async fn paths_that_servers_may_read_differently_pass_as_they_came_and_are_never_kept() {
    let origin = origin().await;
    let node = node_before(&origin).await;
    for target in [
        "/Commerce/../Commerce/GetTenderTypes()",
        "/Commerce/./GetTenderTypes()",
        "/Commerce/Products/..%2fGetTenderTypes()",
        "/Commerce/Products%2fGetById(channelId=1)",
        "/Commerce/%252e%252e/GetTenderTypes()",
        "/Commerce//GetTenderTypes()",
        "/Commerce/GetTenderTypes()/",
        "/Commerce/GetTenderTypes%00()",
        "/Commerce/GetTenderTypes();a=b",
        "/Commerce/Products(1)/GetById(channelId=1,channelId=2)",
        "/Commerce/Products(1)/GetById(channelId=%zz)",
        "/Commerce/Products(1)/GetById(channelId=@p1)",
        "/Commerce/Products(1)/GetById(channelId='a)",
        "/Commerce/Products(1)/GetById(channelId=1)x",
        "/Commerce/GetTenderTypes()?%24top=1&$top=2",
        "/Commerce/GetTenderTypes()?a=%ff",
        "/Commerce/GetTenderTypes()\\..\\x",
    ] {
        for _ in 0..2 {
            let mut client = wire(&node).await;
            client.send(&format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
            let (head, _) = client.message().await;
            assert!(head.starts_with("HTTP/1.1 200 "), "{target}: {head}");
            let status = field(&head, "cache-status").unwrap();
            assert!(status.starts_with("csu-edge; fwd=bypass; detail="), "{target}: {status}");
            assert_eq!(origin.seen().pop().unwrap().target, target);
        }
    }
    assert_eq!(node.metric(STORED_ENTRIES).await, 0.0);
}

#[tokio::test]
async fn no_target_that_can_be_made_of_hostile_parts_brings_the_node_down() {
    const PARTS: [&str; 26] = [
        "..",
        ".",
        "/",
        "//",
        "%2f",
        "%252f",
        "%00",
        "%",
        "%c0%af",
        "'",
        "''",
        "(",
        ")",
        "=",
        ",",
        ";",
        "@p1",
        "?",
        "&",
        "$top=1",
        "\\",
        "Products",
        "GetById",
        "channelId=1",
        "%27",
        "Categories",
    ];
    let origin = origin().await;
    let node = node_before(&origin).await;
    // A fixed sequence, so that a failure comes again.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut client = wire(&node).await;
    for _ in 0..1_000 {
        let mut target = "/Commerce/".to_owned();
        for _ in 0..8 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            target.push_str(PARTS[(state >> 33) as usize % PARTS.len()]);
        }
        client.send(&format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        let (head, _) = client.message().await;
        let status = field(&head, "cache-status").unwrap_or_default();
        assert!(head.starts_with("HTTP/1.1 200 "), "{target}: {head}");
        if status.contains("fwd=bypass") {
            assert_eq!(origin.seen().pop().unwrap().target, target);
        }
    }
    assert_eq!(node.metric("csu_edge_panics_total").await, 0.0);
    let mut price = price_request(&[1]);
    price.headers_mut().insert("oun", "128".parse().unwrap());
    assert_eq!(node.send(price).await.price(), 5.0);
}

#[tokio::test]
async fn a_function_with_a_body_passes_with_it() {
    let origin = origin().await;
    let node = node_before(&origin).await;
    let target = "/Commerce/GetTenderTypes()";
    node.get(target).await;
    let with_body = Request::get(target).body("what could this mean".to_owned()).unwrap();
    let got = node.send(with_body).await;
    assert_eq!(got.cache_status(), "csu-edge; fwd=bypass; detail=unexpected-body");
    assert_eq!(origin.seen().pop().unwrap().body, "what could this mean");
    let elsewhere = node.send(post(target, "{}")).await;
    assert_eq!(elsewhere.cache_status(), "csu-edge; fwd=bypass; detail=not-in-catalogue");
    assert!(node.get(target).await.is_hit());
}
