//! Lists and origins that are odd: nobody is given another's answer, an error that is not theirs, or an
//! answer that the origin would not have given.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test panics"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use csu_edge::config::Config;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;
use support::node::{Got, Running, post};
use support::origin::{
    Origin, Seen, json as answer, prices_of, products_in, with_field, with_status,
};
use support::reads::not_modified;

const BAD: u64 = 900;

fn prices(ids: &[u64]) -> Request<String> {
    let body = json!({"projectDomain": {"ChannelId": 5_637_154_326_u64}, "productIds": ids});
    post("/Commerce/Products/GetActivePrices?api-version=7.3", &body.to_string())
}

fn rows(ids: impl IntoIterator<Item = u64>) -> Response<Full<Bytes>> {
    answer(prices_of(ids.into_iter().map(|id| (id, id, 1))))
}

fn each(seen: &Seen) -> Response<Full<Bytes>> {
    rows(products_in(&seen.body))
}

/// Refuses a list in which the bad one is.
fn strict(seen: &Seen) -> Response<Full<Bytes>> {
    match products_in(&seen.body).contains(&BAD) {
        true => with_status(StatusCode::BAD_REQUEST, r#"{"error":{"code":"Bad","message":""}}"#),
        false => each(seen),
    }
}

fn ids(got: &Got) -> Vec<u64> {
    assert_eq!(got.status, StatusCode::OK, "{}", got.text());
    let rows = got.json()["value"].as_array().unwrap().clone();
    rows.iter().map(|row| row["ProductId"].as_u64().unwrap()).collect()
}

struct Scene {
    origin: Origin,
    node: Arc<Running>,
}

impl Scene {
    async fn open(
        script: impl FnMut(&Seen) -> Response<Full<Bytes>> + Send + 'static,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let origin = Origin::start(script).await;
        let node = Running::start(&origin.service_root(), change).await;
        Self { origin, node: node.into() }
    }

    async fn prices(&self, ids: &[u64]) -> Got {
        self.node.send(prices(ids)).await
    }

    fn ask(&self, ids: Vec<u64>) -> tokio::task::JoinHandle<Got> {
        let node = Arc::clone(&self.node);
        tokio::spawn(async move { node.send(prices(&ids)).await })
    }
}

#[tokio::test]
async fn who_waits_for_a_thing_is_not_told_of_what_was_asked_for_beside_it() {
    let scene = Scene::open(strict, |_| {}).await;
    scene.origin.hold();
    let bad = scene.ask(vec![20, BAD]);
    scene.origin.arrived(1).await;
    let good = scene.ask(vec![20]);
    scene.node.collapsed(1.0).await;
    scene.origin.release();
    assert_eq!(ids(&good.await.unwrap()), [20]);
    let bad = bad.await.unwrap();
    assert_eq!((bad.status, bad.error_code()), (StatusCode::BAD_REQUEST, "Bad".into()));
}

#[tokio::test]
async fn who_waits_for_a_piece_of_what_does_not_come_apart_has_an_answer_all_the_same() {
    let total = |seen: &Seen| {
        let rows = products_in(&seen.body).into_iter().map(|id| json!({ "ProductId": id }));
        let rows: Vec<_> = rows.collect();
        answer(json!({ "value": rows, "Total": rows.len() }).to_string())
    };
    let scene = Scene::open(total, |_| {}).await;
    scene.origin.hold();
    let list = scene.ask(vec![50, 51]);
    scene.origin.arrived(1).await;
    let one = scene.ask(vec![50]);
    scene.node.collapsed(1.0).await;
    scene.origin.release();
    let one = one.await.unwrap();
    assert_eq!((ids(&one), &one.json()["Total"]), (vec![50], &json!(1)));
    assert_eq!(list.await.unwrap().json()["Total"], json!(2));
}

#[tokio::test]
async fn an_origin_that_sorts_down_is_not_taken_for_one_that_answers_as_asked() {
    let down = |seen: &Seen| {
        let mut ids = products_in(&seen.body);
        ids.sort_unstable_by(|a, b| b.cmp(a));
        rows(ids)
    };
    let scene = Scene::open(down, |_| {}).await;
    for list in [[3, 1, 2], [1, 2, 3], [2, 3, 1], [3, 2, 1]] {
        assert_eq!(ids(&scene.prices(&list).await), [3, 2, 1], "{list:?}");
    }
}

#[tokio::test]
async fn a_thing_that_is_answered_by_others_is_not_put_together_with_them() {
    // Whoever asks for 1, a master, is told of its variants 2 and 3.
    let variants = |seen: &Seen| {
        let asked = products_in(&seen.body);
        let mut told: Vec<u64> =
            asked.into_iter().flat_map(|id| if id == 1 { vec![2, 3] } else { vec![id] }).collect();
        told.dedup();
        told.sort_unstable();
        told.dedup();
        rows(told)
    };
    let scene = Scene::open(variants, |_| {}).await;
    scene.prices(&[4, 6, 5]).await;
    assert_eq!(ids(&scene.prices(&[1]).await), [2, 3]);
    assert_eq!(ids(&scene.prices(&[2]).await), [2]);
    assert_eq!(ids(&scene.prices(&[1, 2]).await), [2, 3]);
}

#[tokio::test]
async fn what_is_confirmed_to_be_absent_is_absent_for_a_short_time_only() {
    let validating = |seen: &Seen| match seen.header("if-none-match") {
        Some(_) => with_field(not_modified(), "etag", "\"a\""),
        None => with_field(rows([]), "etag", "\"a\""),
    };
    let scene = Scene::open(validating, |_| {}).await;
    scene.prices(&[7]).await;
    for _ in 0..2 {
        assert_eq!(scene.prices(&[7]).await.cache_status(), "csu-edge; hit; ttl=30");
        scene.node.clock.advance(Duration::from_secs(31));
        let got = scene.prices(&[7]).await;
        assert!(got.cache_status().contains("fwd-status=304"), "{}", got.cache_status());
    }
}

#[tokio::test]
async fn past_the_limit_of_fetches_lists_are_refused_and_nothing_is_lost() {
    let scene = Scene::open(each, |config| config.limits.fetches = 1).await;
    for round in 0..20 {
        let asked = (0..12).map(|n| scene.ask(vec![1_000 * round + n + 1]));
        for got in asked.collect::<Vec<_>>() {
            let got = got.await.unwrap();
            let is_refused = got.status == StatusCode::SERVICE_UNAVAILABLE
                && got.error_code() == "csu-edge.too-many-fetches";
            assert!(got.status == StatusCode::OK || is_refused, "{} {}", got.status, got.text());
        }
    }
    assert!(scene.origin.seen().iter().all(|seen| !products_in(&seen.body).is_empty()));
}
