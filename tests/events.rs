//! Each kind of push event, against a shop's reads: what it reaches is new in the next answer, and
//! what it does not reach is still a hit.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test panics"
)]

mod support;

use std::time::Duration;

use csu_edge::clock::Clock;
use csu_edge::config::OperationRule;
use csu_edge::operation::Identity;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use support::node::{START, post, request};
use support::shop::{CHANNEL, FIRST, Shop, TOKEN};
use support::wire::soon;

const OTHER: i64 = FIRST + 1;
const OTHER_CHANNEL: i64 = 5_637_154_328;
/// Its operating unit number.
const OTHER_UNIT: &str = "130";
const SHOES: i64 = 5_637_144_581;
const BOOTS: i64 = 5_637_144_582;
/// A catalogue, and the customer it is for.
const CATALOGUE: i64 = 5_637_160_001;
const CUSTOMER: &str = "2001";

/// Reads of every class, by short names.
struct Reads(Vec<(&'static str, Request<String>)>);

fn action(operation: &str, body: &Value) -> Request<String> {
    post(&format!("/Commerce/{operation}?api-version=7.3"), &body.to_string())
}

/// As real clients do, by both of the channel's names: the other one is in the URL or the body.
fn in_channel(channel: i64, request: Request<String>) -> Request<String> {
    let unit = if channel == OTHER_CHANNEL { OTHER_UNIT } else { "128" };
    with(request, "oun", unit)
}

fn price(product: i64, channel: i64) -> Request<String> {
    let body = json!({
        "projectDomain": {"ChannelId": channel, "CatalogId": 0},
        "productIds": [product],
        "activeDate": START.to_string(),
    });
    in_channel(channel, action("Products/GetActivePrices", &body))
}

fn search(category: i64) -> Request<String> {
    let criteria =
        json!({"Context": {"ChannelId": CHANNEL, "CatalogId": 0}, "CategoryIds": [category]});
    in_channel(CHANNEL, action("Products/SearchByCriteria", &json!({ "searchCriteria": criteria })))
}

/// A search that names no category.
fn find(product: i64) -> Request<String> {
    let criteria = json!({"Context": {"ChannelId": CHANNEL, "CatalogId": 0}, "Ids": [product]});
    in_channel(CHANNEL, action("Products/SearchByCriteria", &json!({ "searchCriteria": criteria })))
}

fn with(mut request: Request<String>, name: &'static str, value: &str) -> Request<String> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

impl Reads {
    fn of(shop: &Shop) -> Self {
        let stock = |product: i64| {
            let criteria = json!({"searchCriteria": {"ProductIds": [product]}});
            action("Products/GetEstimatedAvailability", &criteria)
        };
        let product = |product: i64, channel: i64| {
            let target = format!("/Commerce/Products({product})/GetById(channelId={channel})");
            in_channel(channel, request("GET", &target, &[]))
        };
        let units =
            |oun: &str| with(action("OrgUnits/GetOrgUnitConfiguration", &json!({})), "oun", oun);
        let token = format!("Bearer {}", shop.sandbox.token_for(CUSTOMER).unwrap());
        let contract = json!({
            "projectDomain": {"ChannelId": CHANNEL, "CatalogId": CATALOGUE},
            "productIds": [FIRST], "customerId": CUSTOMER,
        });
        let contract = in_channel(CHANNEL, action("Products/GetActivePrices", &contract));
        let categories = action("Categories/GetCategories", &json!({"channelId": CHANNEL}));
        Self(vec![
            ("price", price(FIRST, CHANNEL)),
            ("other price", price(OTHER, CHANNEL)),
            ("price elsewhere", price(FIRST, OTHER_CHANNEL)),
            ("contract price", with(contract, "authorization", &token)),
            ("stock", stock(FIRST)),
            ("other stock", stock(OTHER)),
            ("product", product(FIRST, CHANNEL)),
            ("other product", product(OTHER, CHANNEL)),
            ("product elsewhere", product(FIRST, OTHER_CHANNEL)),
            ("shoes", search(SHOES)),
            ("boots", search(BOOTS)),
            ("found", find(FIRST)),
            ("categories", in_channel(CHANNEL, categories)),
            ("set-up", units("128")),
            ("set-up elsewhere", units(OTHER_UNIT)),
        ])
    }

    fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|&(name, _)| name).collect()
    }

    /// The names of those that are not fresh hits; every one is stored and fresh afterwards.
    async fn renewed(&self, shop: &Shop) -> Vec<&'static str> {
        let mut renewed = Vec::new();
        for (name, request) in &self.0 {
            let before = shop.sandbox.total_requests();
            let got = shop.node.send(request.clone()).await;
            assert_eq!(got.status, StatusCode::OK, "{name}: {}", got.text());
            let status = got.cache_status();
            if got.is_hit() && !status.contains("detail=") {
                assert_eq!(shop.sandbox.total_requests(), before, "{name}");
                continue;
            }
            renewed.push(*name);
            // What is fetched behind the client's back is waited for.
            let fresh = async {
                loop {
                    let got = shop.node.send(request.clone()).await;
                    let status = got.cache_status();
                    assert!(got.is_hit() || status.contains("; stored"), "{name}: {status}");
                    if got.is_hit() && !status.contains("detail=") {
                        return;
                    }
                }
            };
            soon(fresh).await;
            assert_eq!(shop.sandbox.total_requests(), before + 1, "{name}: one fetch");
        }
        renewed
    }
}

async fn shop() -> Shop {
    Shop::open(Clock::manual(START), Duration::ZERO, |config| {
        config.operations = vec![OperationRule {
            name: "Products/GetActivePrices".into(),
            identity: Some(Identity::Token),
            ..OperationRule::default()
        }];
    })
    .await
}

async fn push(shop: &Shop, event: &Value) {
    let mut delivery = post("/ingest/cdx", &event.to_string());
    if event.get("specversion").is_some() {
        delivery = with(delivery, "content-type", "application/cloudevents+json");
    }
    let delivery = with(delivery, "authorization", &format!("Bearer {TOKEN}"));
    let got = shop.node.send_to(shop.node.node.addresses().ingest, delivery).await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.text());
    assert_eq!(got.json()["accepted"], 1);
    assert_eq!(got.json().get("deadLettered"), None);
}

fn event(kind: &str, data: &Value) -> Value {
    let id = format!("{kind}-{data}");
    json!({
        "specversion": "1.0", "id": id, "source": "urn:test",
        "type": format!("csu.cdx.{kind}"), "data": data,
    })
}

/// Pushes each event and compares what is read anew.
async fn each_event_renews(cases: &[(&str, Value, &[&str])]) {
    let shop = shop().await;
    let reads = Reads::of(&shop);
    assert_eq!(reads.renewed(&shop).await, reads.names(), "the first time");
    assert_eq!(reads.renewed(&shop).await, [""; 0]);
    for (kind, data, expected) in cases {
        push(&shop, &event(kind, data)).await;
        let renewed = reads.renewed(&shop).await;
        assert_eq!(renewed, *expected, "{kind} {data}");
        // So that no gathered purge of searches is left for the next case.
        shop.node.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(shop.node.metric("csu_edge_panics_total").await, 0.0);
}

#[tokio::test]
async fn price_events_reach_the_prices_that_they_name_and_what_embeds_them() {
    let of_first =
        &["price", "price elsewhere", "contract price", "product", "product elsewhere", "found"];
    each_event_renews(&[
        ("price.changed", json!({"products": [FIRST]}), of_first),
        ("price.changed", json!({"items": ["82000"]}), of_first),
        ("price.changed", json!({"products": [FIRST], "items": ["82000"]}), of_first),
        ("price.changed", json!({"products": [OTHER]}), &["other price", "other product"]),
        ("price.changed", json!({"items": ["nothing-we-know"]}), &[]),
        ("price.changed", json!({"customers": [CUSTOMER]}), &["contract price"]),
        (
            "price.changed",
            json!({"channels": [OTHER_CHANNEL]}),
            &["price elsewhere", "product elsewhere"],
        ),
        ("customer.changed", json!({"customers": [CUSTOMER]}), &["contract price"]),
    ])
    .await;
}

#[tokio::test]
async fn inventory_events_reach_stock_alone() {
    each_event_renews(&[
        ("inventory.changed", json!({"products": [FIRST]}), &["stock"]),
        ("inventory.changed", json!({"products": [OTHER], "warehouses": ["13"]}), &["other stock"]),
        ("inventory.changed", json!({"products": [FIRST], "items": ["82000"]}), &["stock"]),
        // No availability tells its item numbers.
        ("inventory.changed", json!({"items": ["82000"]}), &["stock", "other stock"]),
        ("inventory.changed", json!({"warehouses": ["13"]}), &["stock", "other stock"]),
        ("inventory.changed", json!({"warehouses": ["no-such"]}), &[]),
    ])
    .await;
}

#[tokio::test]
async fn product_events_reach_the_product_at_once_and_its_categories_searches() {
    each_event_renews(&[
        (
            "product.changed",
            json!({"products": [FIRST], "categories": [SHOES]}),
            &["product", "product elsewhere", "shoes", "found"],
        ),
        ("category.changed", json!({"categories": [BOOTS]}), &["boots", "found", "categories"]),
        (
            "catalog.changed",
            json!({"catalogs": [CATALOGUE]}),
            &["contract price", "product", "other product", "product elsewhere", "categories"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn channel_events_and_jobs_reach_whole_classes() {
    let everything_elsewhere = &[
        "price elsewhere",
        "stock",
        "other stock",
        "product elsewhere",
        "set-up",
        "set-up elsewhere",
    ];
    each_event_renews(&[
        // Who does not name its channel in both ways may be anywhere.
        ("channel.changed", json!({"channels": [OTHER_CHANNEL]}), everything_elsewhere),
        ("channel.changed", json!({"channels": [OTHER_UNIT]}), everything_elsewhere),
        ("job.applied", json!({"job": 9999, "channels": [OTHER_CHANNEL]}), everything_elsewhere),
        (
            "job.applied",
            json!({"job": 1020, "channels": [OTHER_CHANNEL]}),
            &["price elsewhere", "product elsewhere"],
        ),
        ("job.applied", json!({"job": 1130}), &["stock", "other stock"]),
        ("job.applied", json!({"job": 1070}), &["set-up", "set-up elsewhere"]),
        (
            "job.applied",
            json!({"job": 1020}),
            &[
                "price",
                "other price",
                "price elsewhere",
                "contract price",
                "product",
                "other product",
                "product elsewhere",
                "shoes",
                "boots",
                "found",
            ],
        ),
        (
            "job.applied",
            json!({"job": 1040}),
            &["product", "other product", "product elsewhere", "shoes", "boots", "found"],
        ),
        (
            "job.applied",
            json!({"job": 9999}),
            &[
                "price",
                "other price",
                "price elsewhere",
                "contract price",
                "stock",
                "other stock",
                "product",
                "other product",
                "product elsewhere",
                "shoes",
                "boots",
                "found",
                "categories",
                "set-up",
                "set-up elsewhere",
            ],
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_change_that_takes_effect_later_purges_now_and_again_then() {
    let shop = shop().await;
    let asked = || shop.node.send(price(FIRST, CHANNEL));
    asked().await;
    let in_a_minute = START + Duration::from_secs(60);
    let data = json!({"products": [FIRST], "effectiveAt": in_a_minute.to_string()});
    push(&shop, &event("price.changed", &data)).await;
    assert!(!asked().await.is_hit());
    assert!(asked().await.is_hit());
    assert_eq!(shop.node.metric("csu_edge_purges_scheduled").await, 1.0);

    shop.node.clock.advance(Duration::from_secs(59));
    assert!(asked().await.is_hit());
    shop.node.clock.advance(Duration::from_secs(1));
    let again = async { while shop.node.metric("csu_edge_purges_scheduled").await > 0.0 {} };
    soon(again).await;
    let got = asked().await;
    assert_eq!(got.cache_status(), "csu-edge; fwd=miss; stored; detail=purged");
    assert!(asked().await.is_hit());
    assert_eq!(shop.sandbox.requests("Products/GetActivePrices"), 3);
}
