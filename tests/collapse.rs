//! Many who ask the same at once: one fetch, and who gets what of it.

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
use serde_json::json;
use support::node::{Got, Running, with};
use support::origin::{Origin, Seen, json as answer, price_of as priced, with_field, with_status};
use support::reads::{OTHER, PRODUCT, price, price_of, product};
use support::wire::{Wire, soon};
use tokio::task::JoinSet;

const PRICES: &str = "Products/GetActivePrices";

/// A node before an origin that holds its answers back.
struct Scene {
    origin: Origin,
    node: Arc<Running>,
}

impl Scene {
    async fn new(waiters: usize) -> Self {
        let origin = Origin::start(|_| priced_at(79.9)).await;
        let node = Running::start(&origin.service_root(), |config| {
            config.limits.waiters = waiters;
        })
        .await;
        origin.hold();
        Self { origin, node: Arc::new(node) }
    }

    /// Asks without waiting for the answer.
    fn ask(&self, request: Request<String>) -> tokio::task::JoinHandle<Got> {
        let node = Arc::clone(&self.node);
        tokio::spawn(async move { node.send(request).await })
    }

    /// So many clients who ask the same.
    fn crowd(&self, count: usize) -> JoinSet<Got> {
        let mut crowd = JoinSet::new();
        for _ in 0..count {
            let node = Arc::clone(&self.node);
            crowd.spawn(async move { node.send(price()).await });
        }
        crowd
    }
}

fn priced_at(price: f64) -> http::Response<http_body_util::Full<bytes::Bytes>> {
    answer(priced(PRODUCT, "82000", price))
}

fn asks_for(product: u64) -> impl Fn(&Seen) -> bool {
    move |seen| seen.body.contains(&product.to_string())
}

fn collapsed(got: &[Got]) -> usize {
    got.iter().filter(|got| got.cache_status().contains("; collapsed")).count()
}

#[tokio::test]
async fn who_waits_gets_the_answer_that_another_fetched() {
    let scene = Scene::new(100).await;
    let crowd = scene.crowd(20);
    scene.origin.arrived(1).await;
    scene.node.collapsed(19.0).await;
    scene.origin.release();
    let got = soon(crowd.join_all()).await;
    assert!(got.iter().all(|got| got.price() == 79.9));
    assert_eq!(collapsed(&got), 19);
    for got in &got {
        let status = got.cache_status();
        let expected =
            ["csu-edge; fwd=uri-miss; stored", "csu-edge; fwd=uri-miss; stored; collapsed"];
        assert!(expected.contains(&status), "{status}");
    }
    assert_eq!(scene.origin.requests(), 1);
    assert_eq!(scene.node.answered(PRICES, "collapsed").await, 19.0);
    assert_eq!(scene.node.answered(PRICES, "miss").await, 1.0);
    assert_eq!(scene.node.metric("csu_edge_collapse_waiters").await, 0.0);
}

#[tokio::test]
async fn an_answer_that_is_not_to_be_stored_is_not_shared_either() {
    for (field, value) in
        [("cache-control", "no-store"), ("cache-control", "private"), ("vary", "*")]
    {
        let scene = Scene::new(100).await;
        let mut number = 0;
        scene.origin.answer(move |_| {
            number += 1;
            with_field(priced_at(f64::from(number)), field, value)
        });
        let crowd = scene.crowd(8);
        scene.origin.arrived(1).await;
        scene.node.collapsed(7.0).await;
        scene.origin.release();
        let got = soon(crowd.join_all()).await;
        let mut prices: Vec<_> = got.iter().map(Got::price).collect();
        prices.sort_by(f64::total_cmp);
        assert_eq!(prices, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], "each has one of its own");
        assert_eq!(collapsed(&got), 0);
        assert_eq!(scene.origin.requests(), 8);
        assert_eq!(scene.node.answered(PRICES, "miss").await, 8.0);
        assert_eq!(scene.node.stored().await, 0.0);
    }
}

#[tokio::test]
async fn an_error_is_shared() {
    let scene = Scene::new(100).await;
    scene.origin.answer(|_| {
        with_field(with_status(StatusCode::SERVICE_UNAVAILABLE, "{}"), "retry-after", "9")
    });
    let crowd = scene.crowd(8);
    scene.origin.arrived(1).await;
    scene.node.collapsed(7.0).await;
    scene.origin.release();
    let got = soon(crowd.join_all()).await;
    assert!(got.iter().all(|got| got.status == StatusCode::SERVICE_UNAVAILABLE));
    assert!(got.iter().all(|got| got.header("retry-after") == Some("9")));
    assert_eq!(collapsed(&got), 7);
    assert_eq!(scene.origin.requests(), 1);
    assert_eq!(scene.node.unstored("status").await, 1.0);
    assert_eq!(scene.node.answered(PRICES, "collapsed").await, 7.0);
}

#[tokio::test]
async fn past_the_limit_of_waiters_a_client_is_told_to_come_back() {
    let scene = Scene::new(3).await;
    let crowd = scene.crowd(3);
    scene.origin.arrived(1).await;
    scene.node.collapsed(2.0).await;
    let refused = scene.node.send(price()).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.error_code(), "csu-edge.too-many-waiters");
    assert_eq!(refused.cache_status(), "csu-edge; detail=too-many-waiters");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(scene.node.answered(PRICES, "error").await, 1.0);
    scene.origin.release();
    let got = soon(crowd.join_all()).await;
    assert!(got.iter().all(|got| got.price() == 79.9));
    assert!(scene.node.send(price()).await.is_hit());
    assert_eq!(scene.origin.requests(), 1);
}

#[tokio::test]
async fn past_the_limit_of_waiters_a_stale_answer_stands_in_where_one_may() {
    let scene = Scene::new(1).await;
    scene.origin.release();
    scene.node.send(price()).await;
    scene.node.clock.advance(Duration::from_secs(310));
    scene.origin.hold();
    let first = scene.ask(price());
    scene.origin.arrived(2).await;
    let stale = scene.node.send(price()).await;
    assert_eq!(stale.cache_status(), "csu-edge; hit; ttl=-10; detail=stale-if-error");
    scene.node.clock.advance(Duration::from_secs(50));
    let refused = scene.node.send(price()).await;
    assert_eq!(refused.error_code(), "csu-edge.too-many-waiters");
    scene.origin.release();
    assert_eq!(soon(first).await.unwrap().status, StatusCode::OK);
    assert_eq!(scene.origin.requests(), 2);
}

#[tokio::test]
async fn the_fetch_goes_on_when_the_client_who_started_it_leaves() {
    let scene = Scene::new(100).await;
    let mut client = Wire::connect(scene.node.node.addresses().storefront).await;
    let (request, body) = price().into_parts();
    client
        .send(&format!(
            "POST {} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            request.uri,
            body.len(),
        ))
        .await;
    scene.origin.arrived(1).await;
    let other = scene.ask(price());
    scene.node.collapsed(1.0).await;
    drop(client);
    // The worker has seen it leave once the connection is counted out.
    let connections = "csu_edge_connections{listener=\"storefront\"}";
    let gone = async {
        while scene.node.metric(connections).await > 1.0 {
            tokio::task::yield_now().await;
        }
    };
    soon(gone).await;
    scene.origin.release();
    assert_eq!(soon(other).await.unwrap().price(), 79.9);
    assert!(scene.node.send(price()).await.is_hit());
    assert_eq!(scene.origin.requests(), 1);
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_any_more_is_stored() {
    let scene = Scene::new(100).await;
    let client = scene.ask(price());
    scene.origin.arrived(1).await;
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    scene.origin.release();
    let stored = async {
        while scene.node.stored().await < 1.0 {
            tokio::task::yield_now().await;
        }
    };
    soon(stored).await;
    assert!(scene.node.send(price()).await.is_hit());
    assert_eq!(scene.origin.requests(), 1);
}

#[tokio::test]
async fn who_comes_after_a_purge_never_gets_what_left_before_it() {
    let scene = Scene::new(100).await;
    let before = scene.crowd(3);
    scene.origin.arrived(1).await;
    scene.node.collapsed(2.0).await;
    scene.origin.answer(|_| priced_at(59.9));
    scene.node.push(&json!({"class": "price", "items": ["82000"]})).await;
    let after = scene.crowd(4);
    scene.node.collapsed(6.0).await;
    scene.origin.release();

    assert!(soon(before.join_all()).await.iter().all(|got| [79.9, 59.9].contains(&got.price())));
    let after = soon(after.join_all()).await;
    assert!(after.iter().all(|got| got.price() == 59.9));
    let next = scene.node.send(price()).await;
    assert_eq!((next.is_hit(), next.price()), (true, 59.9));
    assert_eq!(scene.origin.requests(), 2);
}

#[tokio::test]
async fn a_purge_of_something_else_costs_who_waits_nothing() {
    let scene = Scene::new(100).await;
    let before = scene.crowd(2);
    scene.origin.arrived(1).await;
    scene.node.collapsed(1.0).await;
    scene.node.push(&json!({"class": "price", "items": ["99999"]})).await;
    let after = scene.crowd(2);
    scene.node.collapsed(3.0).await;
    scene.origin.release();
    for crowd in [before, after] {
        assert!(soon(crowd.join_all()).await.iter().all(|got| got.price() == 79.9));
    }
    assert_eq!(scene.origin.requests(), 1);
}

#[tokio::test]
async fn a_fetch_for_one_question_keeps_no_other_waiting() {
    let scene = Scene::new(1).await;
    scene.origin.hold_only(asks_for(PRODUCT));
    let slow = scene.ask(price());
    scene.origin.arrived(1).await;
    for request in [price_of(OTHER), with(price_of(OTHER), "accept-language", "nb-NO"), product()] {
        let product_page = request.uri().path().contains("GetById");
        if product_page {
            scene.origin.answer(|_| answer(r#"{"RecordId":68719489871}"#));
        }
        let got = scene.node.send(request).await;
        assert_eq!(got.cache_status(), "csu-edge; fwd=uri-miss; stored");
    }
    assert!(!slow.is_finished());
    scene.origin.release();
    assert_eq!(soon(slow).await.unwrap().price(), 79.9);
    assert_eq!(scene.origin.requests(), 4);
}

#[tokio::test]
async fn who_waits_for_an_expired_answer_shares_its_stand_in() {
    let scene = Scene::new(100).await;
    scene.origin.release();
    scene.node.send(price()).await;
    scene.node.clock.advance(Duration::from_secs(310));
    scene.origin.answer(|_| with_status(StatusCode::BAD_GATEWAY, "{}"));
    scene.origin.hold();
    let crowd = scene.crowd(5);
    scene.origin.arrived(2).await;
    scene.node.collapsed(4.0).await;
    scene.origin.release();
    let got = soon(crowd.join_all()).await;
    assert!(got.iter().all(|got| got.price() == 79.9));
    assert!(got.iter().all(|got| got.cache_status().ends_with("; detail=stale-if-error")));
    assert_eq!(scene.origin.requests(), 2);
    assert_eq!(scene.node.answered(PRICES, "stale-if-error").await, 5.0);
}
