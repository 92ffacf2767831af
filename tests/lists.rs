//! Reads of lists: each thing is kept by itself, the origin is asked only for what is missing, and
//! the answer is the origin's own, order, repetitions and every digit.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test panics"
)]

mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use csu_edge::config::Config;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use support::node::{Got, Running, post};
use support::origin::{Origin, Seen, json as answer, products_in, with_status};

const FIRST: u64 = 68_719_489_871;
const PRICES: &str = "Products/GetActivePrices";

/// A list whose answer shows whether the origin sorts, up or down.
const UNSORTED: [u64; 3] = [FIRST + 1, FIRST, FIRST + 2];

/// The ids that a price request asks for, in its order.
fn asked(seen: &Seen) -> Vec<u64> {
    products_in(&seen.body)
}

/// A price row. Its amount has a last digit that floating point would drop.
fn row(id: u64) -> String {
    format!(r#"{{"ProductId":{id},"ItemId":"{}","AdjustedPrice":{}.50}}"#, id - FIRST, id - FIRST)
}

fn rows(ids: impl IntoIterator<Item = u64>) -> Response<Full<Bytes>> {
    let rows: Vec<String> = ids.into_iter().map(row).collect();
    answer(format!(
        r##"{{"@odata.context":"https://h/$metadata#P","value":[{}]}}"##,
        rows.join(",")
    ))
}

/// Answers each id that there is, as often as it is asked for, in the order in which it is.
fn each(seen: &Seen) -> Response<Full<Bytes>> {
    rows(asked(seen).into_iter().filter(|id| *id < FIRST + 1_000))
}

fn ids(got: &Got) -> Vec<u64> {
    assert_eq!(got.status, StatusCode::OK, "{}", got.text());
    let body = got.json();
    let rows = body["value"].as_array().unwrap();
    rows.iter().map(|row| row["ProductId"].as_u64().unwrap()).collect()
}

/// A request for prices, whenever it is asked.
fn prices_of(ids: &[u64]) -> Request<String> {
    let body = json!({"projectDomain": {"ChannelId": 5_637_154_326_u64}, "productIds": ids});
    post(&format!("/Commerce/{PRICES}?$top=1000&api-version=7.3"), &body.to_string())
}

struct Scene {
    origin: Origin,
    node: Arc<Running>,
}

impl Scene {
    async fn open(script: fn(&Seen) -> Response<Full<Bytes>>) -> Self {
        Self::with(script, |_| {}).await
    }

    async fn with(
        script: fn(&Seen) -> Response<Full<Bytes>>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let origin = Origin::start(script).await;
        let node = Running::start(&origin.service_root(), change).await;
        Self { origin, node: node.into() }
    }

    async fn prices(&self, ids: &[u64]) -> Got {
        self.node.send(prices_of(ids)).await
    }

    fn ask(&self, ids: Vec<u64>) -> tokio::task::JoinHandle<Got> {
        let node = Arc::clone(&self.node);
        tokio::spawn(async move { node.send(prices_of(&ids)).await })
    }

    /// What the origin was asked for since `before` requests.
    fn asked_since(&self, before: usize) -> Vec<Vec<u64>> {
        self.origin.seen()[before..].iter().map(asked).collect()
    }

    async fn pieces(&self, result: &str) -> f64 {
        let labels = format!("{{operation=\"{PRICES}\",result=\"{result}\"}}");
        self.node.metric(&format!("csu_edge_pieces_total{labels}")).await
    }

    async fn purge_price(&self, id: u64) {
        let tags = json!({"tags": [format!("price/product:{id}")]});
        let got = self.node.control_post("/purge", &tags).await;
        assert_eq!(got.status, StatusCode::OK, "{}", got.text());
    }
}

#[tokio::test]
async fn of_a_list_that_is_mostly_fresh_only_the_rest_is_asked_for() {
    let scene = Scene::open(each).await;
    let known: Vec<u64> = (FIRST..FIRST + 45).collect();
    let got = scene.prices(&known).await;
    assert_eq!(ids(&got), known);
    assert_eq!(got.cache_status(), "csu-edge; fwd=uri-miss; stored; detail=\"0/45\"");

    let mut wanted: Vec<u64> = (FIRST..FIRST + 48).rev().collect();
    wanted.swap(3, 17);
    let got = scene.prices(&wanted).await;
    assert_eq!(ids(&got), wanted);
    assert_eq!(got.cache_status(), "csu-edge; fwd=partial; stored; detail=\"45/48\"");
    let [rest] = &scene.asked_since(1)[..] else { panic!("one call") };
    let rest: HashSet<u64> = rest.iter().copied().collect();
    assert_eq!(rest, (FIRST + 45..FIRST + 48).collect());

    let again = scene.prices(&wanted).await;
    assert_eq!(again.body, got.body);
    assert_eq!(again.cache_status(), "csu-edge; hit; ttl=300; detail=\"48/48\"");
    assert_eq!(scene.origin.requests(), 2);
    assert!(again.text().contains(r#""AdjustedPrice":44.50}"#), "{}", again.text());
    assert_eq!(scene.pieces("miss").await, 48.0);
    assert_eq!(scene.pieces("hit").await, 93.0);
    assert_eq!(scene.node.answered(PRICES, "partial").await, 1.0);
    let series = format!("csu_edge_origin_ids_total{{operation=\"{PRICES}\"}}");
    assert_eq!(scene.node.metric(&series).await, 48.0);
}

#[tokio::test]
async fn an_origin_that_sorts_and_answers_once_is_answered_for_so() {
    let scene = Scene::open(|seen| {
        let mut ids = asked(seen);
        ids.sort_unstable();
        ids.dedup();
        rows(ids)
    })
    .await;
    let [a, b, c] = [FIRST, FIRST + 1, FIRST + 2];
    assert_eq!(ids(&scene.prices(&[c, a]).await), [a, c]);
    assert_eq!(ids(&scene.prices(&[c, b, a]).await), [a, b, c]);
    // How repetitions are answered shows in the first such answer.
    assert_eq!(ids(&scene.prices(&[b, a, b]).await), [a, b]);
    let before = scene.origin.requests();
    let got = scene.prices(&[c, c, b]).await;
    assert_eq!(ids(&got), [b, c]);
    assert!(got.is_hit());
    assert_eq!(scene.origin.requests(), before);
}

#[tokio::test]
async fn repetitions_are_answered_as_the_origin_has_shown_that_it_does() {
    let scene = Scene::open(each).await;
    let [a, b] = [FIRST, FIRST + 1];
    let got = scene.prices(&[b, a, b]).await;
    assert_eq!(ids(&got), [b, a, b]);
    assert_eq!(scene.asked_since(0), [[b, a, b]], "whole, as it was asked");
    let got = scene.prices(&[a, a, b, a]).await;
    assert_eq!(ids(&got), [a, a, b, a]);
    assert_eq!(got.cache_status(), "csu-edge; hit; ttl=300; detail=\"2/2\"");
    assert_eq!(scene.origin.requests(), 1);
}

#[tokio::test]
async fn what_the_origin_leaves_out_is_remembered_for_a_short_time() {
    let scene = Scene::open(each).await;
    let (there, unknown) = (FIRST, FIRST + 5_000);
    assert_eq!(ids(&scene.prices(&[there, unknown]).await), [there]);
    let got = scene.prices(&[unknown]).await;
    assert!(got.is_hit(), "{}", got.cache_status());
    assert_eq!(got.json()["value"], json!([]));
    assert_eq!(got.json()["@odata.context"], "https://h/$metadata#P");
    scene.node.clock.advance(Duration::from_secs(31));
    assert_eq!(ids(&scene.prices(&[there, unknown]).await), [there]);
    assert_eq!(scene.asked_since(1), [[unknown]]);
    scene.purge_price(unknown).await;
    scene.prices(&[there, unknown]).await;
    assert_eq!(scene.asked_since(2), [[unknown]], "an event reaches what was absent too");
}

#[tokio::test]
async fn a_purge_of_one_makes_only_that_one_new() {
    let scene = Scene::open(each).await;
    let all: Vec<u64> = (FIRST..FIRST + 24).collect();
    scene.prices(&all).await;
    scene.purge_price(FIRST + 7).await;
    let got = scene.prices(&all).await;
    assert_eq!(ids(&got), all);
    assert_eq!(got.cache_status(), "csu-edge; fwd=partial; stored; detail=\"23/24\"");
    assert_eq!(scene.asked_since(1), [[FIRST + 7]]);
}

#[tokio::test]
async fn what_orders_counts_or_cuts_is_taken_whole() {
    let scene = Scene::open(each).await;
    let [a, b] = [FIRST, FIRST + 1];
    scene.prices(&UNSORTED).await;
    let body = prices_of(&[b, a]).into_body();
    let whole = [
        "$orderby=AdjustedPrice",
        "$count=true",
        "$skip=1",
        "$top=1",
        "$expand=X",
        "$search=x",
        "custom=1",
        "$TOP=5",
    ];
    for (n, query) in whole.iter().enumerate() {
        let got = scene.node.post(&format!("/Commerce/{PRICES}?{query}"), &body).await;
        assert!(!got.cache_status().contains('/'), "{query}: {}", got.cache_status());
        assert_eq!(asked(&scene.origin.last()).len(), 2, "{query}");
        assert_eq!(scene.origin.requests(), n + 2, "{query}");
    }
    let mut request = post(&format!("/Commerce/{PRICES}"), &body);
    request.headers_mut().insert("prefer", "odata.maxpagesize=1".parse().unwrap());
    assert!(!scene.node.send(request).await.cache_status().contains('/'));

    for query in ["$select=ProductId", "$filter=AdjustedPrice gt 5", "$skip=0&$top=100"] {
        let target = format!("/Commerce/{PRICES}?{}", query.replace(' ', "%20"));
        let got = scene.node.post(&target, &body).await;
        assert!(got.cache_status().ends_with("detail=\"0/2\""), "{query}: {}", got.cache_status());
    }
}

/// What stays whole was sent as a set: sorted, and each thing once. An origin that answers in the
/// order of the request then answered and counted what nobody had asked for.
#[tokio::test]
async fn what_is_taken_whole_is_asked_for_in_its_own_order_and_with_its_repetitions() {
    let scene = Scene::open(|seen| rows(asked(seen).into_iter().filter(|id| *id != 0))).await;
    let list = [FIRST + 2, FIRST, FIRST + 2, FIRST + 1];
    let body = prices_of(&list).into_body();
    for query in ["$count=true", "$orderby=AdjustedPrice", "$expand=X", "$skip=0&custom=1"] {
        let got = scene.node.post(&format!("/Commerce/{PRICES}?{query}"), &body).await;
        assert_eq!(ids(&got), list, "{query}");
        assert_eq!(asked(&scene.origin.last()), list, "{query}");
    }
    // By 0 clients name none, so it is not taken apart.
    let list = [FIRST + 2, 0, FIRST];
    assert_eq!(ids(&scene.prices(&list).await), [FIRST + 2, FIRST]);
    assert_eq!(asked(&scene.origin.last()), list);
}

#[tokio::test]
async fn what_is_missing_and_cannot_be_had_is_the_origins_error_and_never_half_an_answer() {
    let scene = Scene::open(each).await;
    let [a, b] = [FIRST, FIRST + 1];
    scene.prices(&[a]).await;
    const ERROR: &str = r#"{"error":{"code":"X","message":"no"}}"#;
    for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::BAD_REQUEST] {
        scene.origin.answer(move |_| with_status(status, ERROR));
        let got = scene.prices(&[a, b]).await;
        assert_eq!((got.status, got.text()), (status, ERROR.to_owned()));
    }
    scene.node.clock.advance(Duration::from_secs(310));
    scene.origin.answer(|_| with_status(StatusCode::SERVICE_UNAVAILABLE, ERROR));
    let got = scene.prices(&[a]).await;
    assert_eq!(ids(&got), [a]);
    assert!(got.cache_status().contains("stale-if-error"), "{}", got.cache_status());
    assert_eq!(scene.prices(&[a, b]).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn what_concurrent_requests_miss_goes_out_as_one_call() {
    let scene = Scene::with(each, |config| {
        config.origin.merge_linger = Duration::from_millis(100);
        config.listen.workers = 1;
    })
    .await;
    let [a, c, d] = [FIRST, FIRST + 5, FIRST + 6];
    scene.prices(&UNSORTED).await;
    scene.origin.hold();
    let first = scene.ask(vec![FIRST + 10]);
    scene.origin.arrived(2).await;
    let others = [scene.ask(vec![a, c]), scene.ask(vec![d, c]), scene.ask(vec![FIRST + 10, d])];
    scene.origin.arrived(3).await;
    scene.origin.release();
    assert_eq!(ids(&first.await.unwrap()), [FIRST + 10]);
    let mut got = Vec::new();
    for other in others {
        got.push(other.await.unwrap());
    }
    assert_eq!(got.iter().map(ids).collect::<Vec<_>>(), [[a, c], [d, c], [FIRST + 10, d]]);
    let calls = scene.asked_since(1);
    let mut merged = calls[1].clone();
    merged.sort_unstable();
    assert_eq!((calls.len(), merged), (2, vec![c, d]));
}

#[tokio::test]
async fn of_two_who_miss_the_same_one_asks() {
    let scene = Scene::open(each).await;
    scene.origin.hold();
    let first = scene.ask(vec![FIRST, FIRST + 1]);
    scene.origin.arrived(1).await;
    let second = scene.ask(vec![FIRST, FIRST + 1]);
    scene.node.collapsed(2.0).await;
    scene.origin.release();
    assert_eq!(ids(&first.await.unwrap()), [FIRST, FIRST + 1]);
    let second = second.await.unwrap();
    assert_eq!(second.cache_status(), "csu-edge; fwd=uri-miss; stored; collapsed; detail=\"0/2\"");
    assert_eq!(scene.origin.requests(), 1);
}

#[tokio::test]
async fn nobody_is_told_of_anothers_mistake() {
    const BAD: u64 = FIRST + 900;
    let scene = Scene::with(
        |seen| match asked(seen).contains(&BAD) {
            true => {
                with_status(StatusCode::BAD_REQUEST, r#"{"error":{"code":"Bad","message":""}}"#)
            }
            false => each(seen),
        },
        |config| {
            config.origin.merge_linger = Duration::from_millis(100);
            config.listen.workers = 1;
        },
    )
    .await;
    scene.prices(&UNSORTED).await;
    scene.origin.hold();
    let first = scene.ask(vec![FIRST + 10]);
    scene.origin.arrived(2).await;
    let (good, bad) = (scene.ask(vec![FIRST + 20]), scene.ask(vec![BAD]));
    scene.origin.arrived(3).await;
    scene.origin.release();
    first.await.unwrap();
    assert_eq!(ids(&good.await.unwrap()), [FIRST + 20]);
    let bad = bad.await.unwrap();
    assert_eq!((bad.status, bad.error_code()), (StatusCode::BAD_REQUEST, "Bad".into()));
    let mut calls = scene.asked_since(2);
    calls[0].sort_unstable();
    calls[1..].sort();
    assert_eq!(calls, [vec![FIRST + 20, BAD], vec![FIRST + 20], vec![BAD]]);
}

#[tokio::test]
async fn more_than_fits_one_call_goes_out_as_several() {
    let scene = Scene::open(each).await;
    let all: Vec<u64> = (FIRST..FIRST + 250).collect();
    assert_eq!(ids(&scene.prices(&all).await), all);
    let mut sizes: Vec<usize> = scene.asked_since(0).iter().map(Vec::len).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [50, 100, 100]);
}

#[tokio::test]
async fn an_answer_that_does_not_come_apart_is_given_whole_and_its_like_is_asked_for_whole() {
    let scene = Scene::open(|seen| {
        let ids = asked(seen);
        let rows: Vec<String> = ids.iter().map(|id| row(*id)).collect();
        answer(format!(r#"{{"value":[{}],"Total":{}}}"#, rows.join(","), ids.len()))
    })
    .await;
    let all = [FIRST + 2, FIRST, FIRST + 1];
    let got = scene.prices(&all).await;
    assert_eq!((ids(&got), &got.json()["Total"]), (all.to_vec(), &json!(3)));
    assert_eq!(asked(&scene.origin.last()), all, "as it was asked");
    assert!(scene.prices(&all).await.is_hit());
    let undivided = format!("csu_edge_undivided_total{{operation=\"{PRICES}\",reason=\"member\"}}");
    // The list, and what the answer for the whole of it has shown once more.
    assert_eq!(scene.node.metric(&undivided).await, 2.0);
    for other in 10..14 {
        scene.prices(&[FIRST + other, FIRST]).await;
    }
    let before = scene.origin.requests();
    let got = scene.prices(&[FIRST + 30, FIRST]).await;
    assert_eq!(got.json()["Total"], json!(2));
    assert_eq!(scene.origin.requests(), before + 1, "by now nothing is tried in vain");
    assert_eq!(scene.node.metric(&undivided).await, 11.0);
}

#[tokio::test]
async fn pages_that_the_origin_cuts_are_its_own() {
    let scene = Scene::open(|seen| {
        let ids = asked(seen);
        let cut = ids.len() > 2;
        let rows: Vec<String> = ids.iter().take(2).map(|id| row(*id)).collect();
        let next = if cut { r#","@odata.nextLink":"https://h/next""# } else { "" };
        answer(format!(r#"{{"value":[{}]{next}}}"#, rows.join(",")))
    })
    .await;
    let [a, b, c] = [FIRST, FIRST + 1, FIRST + 2];
    scene.prices(&[a, b]).await;
    let got = scene.prices(&[a, b, c]).await;
    assert_eq!(ids(&got), [a, b, c], "nothing has shown yet that the origin cuts");
    let all: Vec<u64> = (FIRST + 10..FIRST + 13).collect();
    let got = scene.prices(&all).await;
    assert_eq!(ids(&got), all[..2]);
    assert!(got.json().get("@odata.nextLink").is_some());
    let got = scene.prices(&[a, b, c]).await;
    assert_eq!((ids(&got), got.json().get("@odata.nextLink").is_some()), (vec![a, b], true));
}

/// Two arrays, with rows by warehouse and one sum a product, in pairs or not.
fn availability(seen: &Seen) -> Response<Full<Bytes>> {
    let body: Value = serde_json::from_str(&seen.body).unwrap();
    let (mut by_warehouse, mut sums) = (Vec::new(), Vec::<(u64, u64)>::new());
    let pairs: Vec<(u64, u64)> = match &body["productWarehouses"] {
        Value::Array(pairs) => pairs
            .iter()
            .map(|pair| {
                let warehouse = pair["InventLocationId"].as_str().unwrap().parse().unwrap();
                (pair["ProductId"].as_u64().unwrap(), warehouse)
            })
            .collect(),
        _ => {
            let ids = body["searchCriteria"]["ProductIds"].as_array().unwrap().iter();
            ids.flat_map(|id| [13, 14].map(|warehouse| (id.as_u64().unwrap(), warehouse))).collect()
        }
    };
    for (id, warehouse) in pairs {
        by_warehouse.push(json!({"ProductId": id, "InventLocationId": warehouse.to_string()}));
        match sums.last_mut() {
            Some((last, sum)) if *last == id => *sum += warehouse,
            _ => sums.push((id, warehouse)),
        }
    }
    let sums: Vec<Value> = sums
        .iter()
        .map(|(id, sum)| json!({"ProductId": id, "TotalAvailableQuantity": sum}))
        .collect();
    answer(
        json!({
            "@odata.context": "c",
            "ProductWarehouseInventoryAvailabilities": by_warehouse,
            "AggregatedProductInventoryAvailabilities": sums,
            "ExtensionProperties": [],
        })
        .to_string(),
    )
}

#[tokio::test]
async fn stock_levels_have_both_of_their_arrays() {
    let origin = Origin::start(availability).await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    let ask = |ids: &[u64]| {
        let body = json!({"searchCriteria": {"ProductIds": ids, "DefaultWarehouseOnly": false}});
        post("/Commerce/Products/GetEstimatedAvailability?api-version=7.3", &body.to_string())
    };
    node.send(ask(&[2, 1, 4])).await;
    let got = node.send(ask(&[3, 1, 2])).await;
    assert_eq!(got.cache_status(), "csu-edge; fwd=partial; stored; detail=\"2/3\"");
    let body: Value = serde_json::from_str(&origin.last().body).unwrap();
    assert_eq!(body["searchCriteria"]["ProductIds"], json!([3]));
    let body = got.json();
    let rows = body["ProductWarehouseInventoryAvailabilities"].as_array().unwrap();
    let rows: Vec<_> = rows.iter().map(|row| row["ProductId"].as_u64().unwrap()).collect();
    assert_eq!(rows, [3, 3, 1, 1, 2, 2]);
    let sums = &body["AggregatedProductInventoryAvailabilities"];
    assert_eq!(sums[1], json!({"ProductId": 1, "TotalAvailableQuantity": 27}));
    assert_eq!(sums.as_array().unwrap().len(), 3);
    assert_eq!(body["ExtensionProperties"], json!([]));
}

#[tokio::test]
async fn pairs_are_kept_by_their_product_whose_sum_is_over_those_that_are_asked_for() {
    let origin = Origin::start(availability).await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    let ask = |pairs: &[(u64, u64)]| {
        let pairs: Vec<Value> = pairs
            .iter()
            .map(|(id, warehouse)| json!({"ProductId": id, "InventLocationId": warehouse.to_string()}))
            .collect();
        let target = "/Commerce/Products/GetEstimatedProductWarehouseAvailability";
        post(target, &json!({"productWarehouses": pairs}).to_string())
    };
    let sum = |got: &Got, at: usize| {
        got.json()["AggregatedProductInventoryAvailabilities"][at]["TotalAvailableQuantity"]
            .as_u64()
            .unwrap()
    };
    node.send(ask(&[(2, 13), (1, 13)])).await;
    let got = node.send(ask(&[(1, 13), (2, 13)])).await;
    assert!(got.is_hit(), "{}", got.cache_status());
    let got = node.send(ask(&[(1, 13), (1, 14), (2, 13)])).await;
    assert_eq!(got.cache_status(), "csu-edge; fwd=partial; stored; detail=\"1/2\"");
    assert_eq!((sum(&got, 0), sum(&got, 1)), (27, 13));
    assert_eq!(sum(&node.send(ask(&[(1, 13)])).await, 0), 13);
    // Not side by side, they are summed as the origin sums them.
    let got = node.send(ask(&[(1, 13), (2, 13), (1, 14)])).await;
    assert_eq!((sum(&got, 0), sum(&got, 2)), (13, 14));
}

#[tokio::test]
async fn a_purge_during_a_call_is_not_undone() {
    let scene = Scene::open(each).await;
    let [a, b] = [FIRST, FIRST + 1];
    scene.prices(&UNSORTED).await;
    scene.node.clock.advance(Duration::from_secs(400));
    scene.origin.hold();
    let early = scene.ask(vec![a, b]);
    scene.origin.arrived(2).await;
    scene.purge_price(a).await;
    let late = scene.ask(vec![a, b]);
    scene.node.collapsed(2.0).await;
    scene.origin.release();
    assert_eq!(ids(&early.await.unwrap()), [a, b]);
    let late = late.await.unwrap();
    assert_eq!(ids(&late), [a, b]);
    assert_eq!(scene.asked_since(2), [[a]], "only what was purged is asked for again");
    assert!(scene.prices(&[a, b]).await.is_hit());
}
