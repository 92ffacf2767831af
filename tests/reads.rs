//! Catalogue reads: what is a hit, what is a miss, what passes, and what the origin is asked.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test panics"
)]

mod support;

use std::time::Duration;

use http::Request;
use serde_json::json;
use support::node::{Running, post, price_request};
use support::origin::{Origin, json as answer, price_of};

const PRODUCT: u64 = 68_719_489_871;
const OTHER: u64 = 68_719_489_872;

/// An origin that tells the price of the first product asked for.
async fn prices() -> Origin {
    Origin::start(|seen| {
        let asked: serde_json::Value = serde_json::from_str(&seen.body).unwrap_or_default();
        let product = asked["productIds"][0].as_u64().unwrap_or(PRODUCT);
        answer(price_of(product, &format!("item-{product}"), 79.9))
    })
    .await
}

#[tokio::test]
async fn a_price_read_is_a_hit_the_second_time_though_it_is_a_post() {
    let origin = prices().await;
    let node = Running::start(&origin.service_root(), |_| {}).await;

    let first = node.prices(&[PRODUCT]).await;
    assert_eq!(first.cache_status(), "csu-edge; fwd=uri-miss; stored");
    node.clock.advance(Duration::from_secs(7));
    let second = node.prices(&[PRODUCT]).await;

    assert_eq!(second.cache_status(), "csu-edge; hit; ttl=293");
    assert_eq!(second.header("age"), Some("7"));
    assert_eq!(second.body, first.body);
    assert_eq!(origin.requests(), 1);
    let operation = r#"{class="price",operation="Products/GetActivePrices",result="#;
    assert_eq!(node.metric(&format!("csu_edge_requests_total{operation}\"hit\"}}")).await, 1.0);
    assert_eq!(node.metric(&format!("csu_edge_requests_total{operation}\"miss\"}}")).await, 1.0);
    assert_eq!(node.metric("csu_edge_stored_entries{tier=\"memory\"}").await, 1.0);
}

#[tokio::test]
async fn a_price_event_makes_exactly_that_product_new() {
    let origin = prices().await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    node.prices(&[PRODUCT]).await;
    node.prices(&[OTHER]).await;
    origin.answer(|_| answer(price_of(PRODUCT, &format!("item-{PRODUCT}"), 59.9)));

    let accepted =
        node.push(&json!({"class": "price", "items": [format!("item-{PRODUCT}")]})).await;
    assert_eq!(accepted["accepted"], 1);

    let changed = node.prices(&[PRODUCT]).await;
    assert_eq!(changed.price(), 59.9);
    assert_eq!(changed.cache_status(), "csu-edge; fwd=miss; stored; detail=purged");
    assert!(node.prices(&[OTHER]).await.is_hit());
    assert!(node.prices(&[PRODUCT]).await.is_hit());
    assert_eq!(origin.requests(), 3);
}

#[tokio::test]
async fn many_who_ask_the_same_at_once_cost_one_fetch() {
    let origin = prices().await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    origin.hold();

    let mut clients = tokio::task::JoinSet::new();
    let node = std::sync::Arc::new(node);
    for _ in 0..50 {
        let node = std::sync::Arc::clone(&node);
        clients.spawn(async move { node.prices(&[PRODUCT]).await });
    }
    origin.arrived(1).await;
    node.collapsed(49.0).await;
    origin.release();

    let got = clients.join_all().await;
    assert!(got.iter().all(|got| got.price() == 79.9));
    let collapsed = got.iter().filter(|got| got.cache_status().contains("; collapsed")).count();
    assert_eq!(collapsed, 49);
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn what_is_not_in_the_catalogue_passes_every_time() {
    let origin = Origin::start(|_| answer("{}")).await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    for request in [
        Request::get("/Commerce/Carts('x')").body(String::new()).unwrap(),
        Request::get("/Commerce/Carts('x')/a.css").body(String::new()).unwrap(),
        Request::get("/Commerce/Carts/ResetAllCharges").body(String::new()).unwrap(),
        Request::get("/Commerce/Products/SomethingNew(a=1)").body(String::new()).unwrap(),
        Request::get("/elsewhere").body(String::new()).unwrap(),
        post("/Commerce/Carts('x')/AddCartLines", "[]"),
    ] {
        for _ in 0..2 {
            let before = origin.requests();
            let got = node.send(request.clone()).await;
            assert_eq!(got.cache_status(), "csu-edge; fwd=bypass; detail=not-in-catalogue");
            assert_eq!(origin.requests(), before + 1, "{request:?}");
        }
    }
}

#[tokio::test]
async fn a_point_of_sale_device_is_never_served_from_the_store() {
    let origin = prices().await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    node.prices(&[PRODUCT]).await;
    let mut request = price_request(&[PRODUCT]);
    request.headers_mut().insert("DeviceToken", "t".parse().unwrap());
    let got = node.send(request).await;
    assert_eq!(got.cache_status(), "csu-edge; fwd=bypass; detail=device-token");
    assert_eq!(origin.requests(), 2);
}
