//! Fetches under way: how many there may be, who waits for whose, and how they end.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test panics"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use support::node::{Running, price_request};
use support::origin::{Origin, json as answer, price_of, with_status};
use support::raw::{Manner, RawOrigin};
use support::reads::price;

const PRODUCT: u64 = 68_719_489_871;
const OTHER: u64 = 68_719_489_872;

#[tokio::test]
async fn past_the_limit_of_fetches_a_client_is_told_to_come_back() {
    let origin = Origin::start(|_| answer(price_of(PRODUCT, "a", 1))).await;
    let node = Running::start(&origin.service_root(), |config| config.limits.fetches = 1).await;
    let node = Arc::new(node);
    origin.hold();
    let first = tokio::spawn({
        let node = Arc::clone(&node);
        async move { node.prices(&[PRODUCT]).await }
    });
    origin.arrived(1).await;

    let refused = node.prices(&[OTHER]).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.cache_status(), "csu-edge; detail=too-many-fetches");
    assert_eq!(origin.requests(), 1);

    origin.release();
    assert_eq!(first.await.unwrap().status, StatusCode::OK);
    assert_eq!(node.prices(&[OTHER]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn who_asks_what_was_for_one_client_only_does_not_wait_for_another() {
    let origin = Origin::start(|_| {
        let mut response = answer(price_of(PRODUCT, "a", 1));
        response.headers_mut().insert("cache-control", HeaderValue::from_static("private"));
        response
    })
    .await;
    let node = Arc::new(Running::start(&origin.service_root(), |_| {}).await);
    node.prices(&[PRODUCT]).await;
    origin.hold();
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let node = Arc::clone(&node);
            tokio::spawn(async move { node.send(price_request(&[PRODUCT])).await })
        })
        .collect();
    // All three are at the origin at the same time: none waits for another's answer.
    origin.arrived(4).await;
    origin.release();
    for client in clients {
        let got = client.await.unwrap();
        assert_eq!(got.cache_status(), "csu-edge; fwd=uri-miss; detail=private");
    }
    assert_eq!(origin.requests(), 4);
}

#[tokio::test]
async fn an_answer_without_a_body_may_name_a_coding() {
    for status in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
        let origin = Origin::start(move |_| {
            let mut response = with_status(status, "");
            response.headers_mut().insert("content-encoding", HeaderValue::from_static("gzip"));
            response
        })
        .await;
        let node = Running::start(&origin.service_root(), |_| {}).await;
        let got = node.prices(&[PRODUCT]).await;
        assert_eq!((got.status, got.header("content-encoding")), (status, None));
        assert!(node.prices(&[PRODUCT]).await.is_hit());
    }
}

#[tokio::test]
async fn a_304_replaces_a_field_by_all_of_its_new_lines() {
    let origin = Origin::start(|seen| {
        let known = seen.header("if-none-match").is_some();
        let mut response = match known {
            true => with_status(StatusCode::NOT_MODIFIED, ""),
            false => answer(price_of(PRODUCT, "a", 1)),
        };
        let headers = response.headers_mut();
        headers.insert("etag", HeaderValue::from_static("\"1\""));
        for line in if known { &["c", "d"][..] } else { &["a", "b"] } {
            headers.append("x-note", HeaderValue::from_static(line));
        }
        response
    })
    .await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    node.send(price()).await;
    node.clock.advance(Duration::from_secs(300));
    let confirmed = node.send(price()).await;
    assert_eq!(confirmed.cache_status(), "csu-edge; fwd=stale; fwd-status=304; stored");
    let notes: Vec<_> = confirmed.headers.get_all("x-note").iter().collect();
    assert_eq!(notes, ["c", "d"]);
}

#[tokio::test]
async fn a_304_that_was_not_asked_for_confirms_nothing() {
    let origin = Origin::start(|_| answer(price_of(PRODUCT, "a", 1))).await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    node.send(price()).await;
    node.clock.advance(Duration::from_secs(400));
    origin.answer(|_| with_status(StatusCode::NOT_MODIFIED, ""));
    let got = node.send(price()).await;
    assert_eq!(origin.last().header("if-none-match"), None);
    assert_eq!(got.status, StatusCode::BAD_GATEWAY, "past its stale windows nothing stands in");
    assert_eq!(got.error_code(), "csu-edge.origin-broken");
}

#[tokio::test]
async fn an_answer_past_the_limit_that_stands_still_is_broken_off() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n";
    let manner = Manner::SayAndHang(format!("{head}{}", "1".repeat(2_000)));
    let origin = RawOrigin::start(manner).await;
    let node = Running::start(&origin.service_root(), |config| {
        config.limits.stored_body_bytes = 1_024;
        config.origin.first_byte_timeout = Duration::from_millis(200);
    })
    .await;
    let mut client = support::wire::Wire::connect(node.node.addresses().storefront).await;
    let body = r#"{"productIds":[1]}"#;
    client
        .send(&format!(
            "POST /Commerce/Products/GetActivePrices HTTP/1.1\r\nhost: a\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    let head = client.head().await;
    assert!(head.contains("detail=too-large"), "{head}");
    client.bytes(2_000).await;
    client.read_error().await;
}
