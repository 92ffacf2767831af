//! What is fetched before anybody misses it: ahead of a lifetime's end, and after a purge.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test panics"
)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use csu_edge::clock::Clock;
use csu_edge::config::{Budget, Config, DecomposeRule, OperationRule};
use csu_edge::operation::Class;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::json;
use support::fleet::{nodes_by_hand, patient, redis_at};
use support::node::{Got, Running, START, post};
use support::origin::{Origin, Seen, json as answer, prices_of, products_in};
use support::reads::product;
use support::redis::server::Server;

const FIRST: u64 = 68_719_489_871;
const PRICES: &str = "Products/GetActivePrices";

fn prices(ids: &[u64]) -> Request<String> {
    let body = json!({"projectDomain": {"ChannelId": 5_637_154_326_u64}, "productIds": ids});
    post(&format!("/Commerce/{PRICES}?api-version=7.3"), &body.to_string())
}

fn priced(seen: &Seen) -> Response<Full<Bytes>> {
    match seen.target.contains(PRICES) {
        true => answer(prices_of(products_in(&seen.body).into_iter().map(|id| (id, id, 1)))),
        false => answer(format!(r#"{{"RecordId":{FIRST},"ItemId":"82000"}}"#)),
    }
}

/// A node whose clock moves by so much while the origin answers: that long a fetch takes.
async fn scene(takes: Duration, change: impl FnOnce(&mut Config)) -> (Origin, Running) {
    let clock = Clock::manual(START);
    let moves = clock.clone();
    let origin = Origin::start(move |seen| {
        moves.advance(takes);
        priced(seen)
    })
    .await;
    let node = Running::start_by(clock, &origin.service_root(), change).await;
    (origin, node)
}

/// Asks again and again, for the clock to move on by a tenth of what a fetch takes in between.
async fn ask_towards_the_end(node: &Running, origin: &Origin, request: &Request<String>) -> Got {
    let before = origin.requests();
    for _ in 0..400 {
        let got = node.send(request.clone()).await;
        assert!(got.is_hit(), "{}", got.cache_status());
        if origin.requests() > before {
            return got;
        }
        node.clock.advance(Duration::from_millis(100));
    }
    panic!("it was never fetched");
}

#[tokio::test]
async fn what_is_asked_for_often_is_fetched_anew_before_its_lifetime_ends() {
    let takes = Duration::from_secs(1);
    let ahead = |config: &mut Config| config.refresh.ahead_percent = 100;
    for (request, fresh_s) in [(product(), 900), (prices(&[FIRST, FIRST + 1]), 300)] {
        let (origin, node) = scene(takes, ahead).await;
        node.send(request.clone()).await;
        assert_eq!(origin.requests(), 1);
        // Far from the end nothing is done, however often it is asked for.
        node.clock.advance(Duration::from_secs(fresh_s - 30));
        for _ in 0..50 {
            node.send(request.clone()).await;
        }
        assert_eq!(origin.requests(), 1);
        // Within the last seconds it is, and no client waits.
        ask_towards_the_end(&node, &origin, &request).await;
        origin.arrived(2).await;
        support::wire::soon(async {
            while node.metric("csu_edge_origin_in_flight").await > 0.0 {}
        })
        .await;
        let got = node.send(request.clone()).await;
        assert!(got.is_hit());
        assert_eq!(origin.requests(), 2, "once");
        let admitted = "csu_edge_origin_gate_admitted_total{priority=\"refresh-ahead\"}";
        assert_eq!(node.metric(admitted).await, 1.0);
    }
}

#[tokio::test]
async fn nothing_is_fetched_ahead_where_it_is_off_or_the_budget_is_for_clients() {
    let spent = Budget { requests: 3, per: Duration::from_secs(86_400), burst: 2 };
    for (percent, budget) in [(0, None), (100, Some(spent))] {
        let (origin, node) = scene(Duration::from_secs(1), |config| {
            config.refresh.ahead_percent = percent;
            config.origin.gate.budget = budget;
        })
        .await;
        node.send(prices(&[FIRST])).await;
        node.clock.advance(Duration::from_millis(298_500));
        for _ in 0..200 {
            assert!(node.send(prices(&[FIRST])).await.is_hit());
        }
        assert_eq!(origin.requests(), 1);
    }
}

#[tokio::test]
async fn what_is_about_to_expire_goes_along_in_a_call_that_goes_anyway() {
    let (origin, node) = scene(Duration::ZERO, |_| {}).await;
    node.send(prices(&[FIRST, FIRST + 1])).await;
    node.clock.advance(Duration::from_secs(200));
    node.send(prices(&[FIRST + 2])).await;
    node.clock.advance(Duration::from_secs(50));
    // Two have 50 s of 300 left, one has 250.
    let got = node.send(prices(&[FIRST, FIRST + 1, FIRST + 2, FIRST + 3])).await;
    assert_eq!(got.cache_status(), "csu-edge; fwd=partial; stored; detail=\"3/4\"");
    let mut asked = products_in(&origin.last().body);
    asked.sort_unstable();
    assert_eq!(asked, [FIRST, FIRST + 1, FIRST + 3]);
    node.clock.advance(Duration::from_secs(100));
    assert!(node.send(prices(&[FIRST, FIRST + 1, FIRST + 3])).await.is_hit());
    assert_eq!(origin.requests(), 3);
}

#[tokio::test]
async fn the_hottest_of_what_is_purged_is_fetched_before_its_next_client_comes() {
    let (origin, node) = scene(Duration::ZERO, |config| {
        config.refresh.after_purge = vec![Class::Price];
    })
    .await;
    let all = [FIRST, FIRST + 1, FIRST + 2];
    // One hit in sixteen is counted: so many leave no doubt.
    for _ in 0..400 {
        node.send(prices(&all)).await;
        node.send(product()).await;
    }
    let before = origin.requests();
    let purge = json!({"tags": ["price/*", "product/*"]});
    node.control_post("/purge", &purge).await;
    let refetched = async {
        while origin.requests() == before {
            node.clock.advance(Duration::from_millis(50));
            tokio::task::yield_now().await;
        }
    };
    support::wire::soon(refetched).await;
    support::wire::soon(async { while !node.send(prices(&all)).await.is_hit() {} }).await;
    assert_eq!(origin.requests(), before + 1, "together, and products are not among those classes");
    let admitted = "csu_edge_origin_gate_admitted_total{priority=\"after-purge\"}";
    assert_eq!(node.metric(admitted).await, 1.0);
}

#[tokio::test]
async fn what_is_fetched_after_a_purge_in_several_calls_is_in_none_of_them_a_clients() {
    let (origin, node) = scene(Duration::ZERO, |config| {
        config.refresh.after_purge = vec![Class::Price];
        config.operations = vec![OperationRule {
            name: PRICES.to_owned(),
            decompose: DecomposeRule { max_ids: Some(2), ..DecomposeRule::default() },
            ..OperationRule::default()
        }];
    })
    .await;
    let all = [FIRST, FIRST + 1, FIRST + 2, FIRST + 3, FIRST + 4];
    for _ in 0..400 {
        node.send(prices(&all)).await;
    }
    let admitted =
        |priority: &str| format!("csu_edge_origin_gate_admitted_total{{priority=\"{priority}\"}}");
    let of_clients = node.metric(&admitted("client")).await;
    node.control_post("/purge", &json!({"tags": ["price/*"]})).await;
    let refetched = async {
        while node.metric(&admitted("after-purge")).await < 3.0 {
            node.clock.advance(Duration::from_millis(50));
        }
    };
    support::wire::soon(refetched).await;
    support::wire::soon(async { while !node.send(prices(&all)).await.is_hit() {} }).await;
    assert_eq!(node.metric(&admitted("client")).await, of_clients);
    assert_eq!(products_in(&origin.last().body).len(), 1, "two, two and one");
}

#[tokio::test]
async fn what_redis_has_is_as_near_its_end_and_is_fetched_anew_all_the_same() {
    let server = Server::start(&[]).await;
    let origin = Origin::start(priced).await;
    let redis = patient(redis_at(server.address()));
    let ahead = |config: &mut Config| config.refresh.ahead_percent = 100;
    let ([node], clock) = nodes_by_hand(&origin.service_root(), &redis, ahead).await;
    let request = prices(&[FIRST, FIRST + 1]);
    origin.hold();
    let first = node.send(request.clone());
    let answering = async {
        origin.arrived(1).await;
        // That long a fetch takes.
        clock.advance(Duration::from_secs(1));
        origin.release();
    };
    tokio::join!(first, answering);
    node.shared("written", 2.0).await;
    clock.advance(Duration::from_secs(300 - 10));
    ask_towards_the_end(&node, &origin, &request).await;
}
