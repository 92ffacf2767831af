//! The gate as clients meet it: who goes, who waits, who is refused, and what is served instead.

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
use csu_edge::config::{Budget, Config, Gate};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use support::node::{Got, Running, post, price_request};
use support::origin::{
    Origin, Seen, json as answer, price_of, prices_of, products_in, with_field, with_status,
};
use support::raw::{Manner, RawOrigin, whole};
use support::reads::{
    PRODUCT, categories, get, named, price, price_of as price_request_of, product,
};
use support::wire::{Wire, soon};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const ELSEWHERE: &str = "/Commerce/Nothing/OfTheCatalogue()";

/// A node whose gate is as it is by default, but for what `change` sets.
async fn guarded(service_root: &str, change: impl FnOnce(&mut Gate)) -> Arc<Running> {
    Arc::new(guarded_as(service_root, |config| change(&mut config.origin.gate)).await)
}

async fn guarded_as(service_root: &str, change: impl FnOnce(&mut Config)) -> Running {
    Running::start(service_root, |config| {
        config.origin.gate = Gate::default();
        change(config);
    })
    .await
}

/// Says what it is asked for.
fn whatever(seen: &Seen) -> Response<Full<Bytes>> {
    if seen.target.contains("GetActivePrices") {
        let prices = products_in(&seen.body).into_iter();
        return answer(prices_of(prices.map(|product| (product, product, 79.9))));
    }
    if seen.target.contains("GetById") {
        return answer(named("Old"));
    }
    answer(r#"{"value":[]}"#)
}

fn refusal(status: u16, retry_after: &'static str) -> impl Fn(&Seen) -> Response<Full<Bytes>> {
    move |_| {
        let status = StatusCode::from_u16(status).unwrap();
        with_field(with_status(status, "{}"), "retry-after", retry_after)
    }
}

fn ask(node: &Arc<Running>, request: Request<String>) -> JoinHandle<Got> {
    let node = Arc::clone(node);
    tokio::spawn(async move { node.send(request).await })
}

fn cart() -> Request<String> {
    get("/Commerce/Carts('1')?api-version=7.3")
}

fn new_cart() -> Request<String> {
    post("/Commerce/Carts?api-version=7.3", "{}")
}

/// A client is told to come back in so many seconds, and that nothing was asked or found.
fn assert_shut(got: &Got, seconds: &str) {
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE, "{got:?}");
    assert_eq!(got.error_code(), "csu-edge.origin-shut");
    assert_eq!(got.header("retry-after"), Some(seconds));
    let status = got.cache_status();
    assert!(!status.contains("hit") && !status.contains("fwd"), "{status}");
}

async fn refused(node: &Running, reason: &str, priority: &str) -> f64 {
    let labels = format!("{{priority=\"{priority}\",reason=\"{reason}\"}}");
    node.metric(&format!("csu_edge_origin_gate_refused_total{labels}")).await
}

async fn admitted(node: &Running, priority: &str) -> f64 {
    node.metric(&format!("csu_edge_origin_gate_admitted_total{{priority=\"{priority}\"}}")).await
}

/// Waits until a gauge says so.
async fn shows(node: &Running, gauge: &str, value: f64) {
    let gauge = format!("csu_edge_{gauge}");
    soon(async {
        while node.metric(&gauge).await != value {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_origin_that_asks_for_less_is_asked_nothing_until_the_moment_that_it_named() {
    for status in [429, 503] {
        let origin = Origin::start(refusal(status, "30")).await;
        let node = guarded(&origin.service_root(), |_| {}).await;
        let told = node.send(price()).await;
        assert_eq!(told.status.as_u16(), status, "the origin's own word");
        assert_eq!(node.metric("csu_edge_origin_gate_throttled_seconds").await, 30.0);

        origin.answer(whatever);
        for reading in [price(), product(), categories(), get(ELSEWHERE)] {
            assert_shut(&node.send(reading).await, "30");
        }
        assert_eq!(origin.requests(), 1);
        assert_eq!(refused(&node, "throttled", "client").await, 4.0);

        // What may be a shopper's order goes.
        for writing in [new_cart(), cart()] {
            assert_eq!(node.send(writing).await.status, StatusCode::OK);
        }
        assert_eq!(origin.requests(), 3);
        assert_eq!(admitted(&node, "write").await, 2.0);

        node.clock.advance(28 * SECOND + Duration::from_millis(500));
        assert_shut(&node.send(price()).await, "2");
        node.clock.advance(Duration::from_millis(1_500));
        assert_eq!(node.metric("csu_edge_origin_gate_throttled_seconds").await, 0.0);
        assert_eq!(node.send(price()).await.status, StatusCode::OK);
        assert_eq!(node.send(get(ELSEWHERE)).await.status, StatusCode::OK);
        assert_eq!(origin.requests(), 5);
        assert_eq!(admitted(&node, "client").await, 3.0);
        assert_eq!(node.metric("csu_edge_origin_gate_breaker_state").await, 0.0);
    }
}

#[tokio::test]
async fn who_can_wait_for_the_moment_waits_for_it() {
    let origin = Origin::start(refusal(429, "1")).await;
    let node = guarded(&origin.service_root(), |_| {}).await;
    node.send(price()).await;
    origin.answer(whatever);
    let waiting = [ask(&node, price()), ask(&node, get(ELSEWHERE))];
    shows(&node, "origin_gate_waiting", 2.0).await;
    assert_eq!(origin.requests(), 1);
    node.clock.advance(SECOND);
    for waited in waiting {
        assert_eq!(waited.await.unwrap().status, StatusCode::OK);
    }
    assert_eq!(origin.requests(), 3);
    assert_eq!(refused(&node, "throttled", "client").await, 0.0);
}

#[tokio::test]
async fn reads_of_the_catalogue_that_are_not_kept_are_refused_as_others_are() {
    let origin = Origin::start(refusal(429, "7")).await;
    let node = guarded(&origin.service_root(), |_| {}).await;
    node.send(price()).await;
    // With credentials nothing of these is kept, and a body of this kind is not understood.
    let signed_in = support::node::with(product(), "authorization", "Bearer x");
    let strange = post("/Commerce/Products/GetActivePrices?api-version=7.3", "{\"productIds\":1");
    for passing in [signed_in, strange] {
        assert_shut(&node.send(passing).await, "7");
    }
    assert_eq!(origin.requests(), 1);
    // Nobody knows whether this writes.
    origin.answer(whatever);
    let unknown = node.send(post("/Commerce/Nothing/OfTheCatalogue", "{}")).await;
    assert_eq!(unknown.status, StatusCode::OK);
}

#[tokio::test]
async fn while_the_origin_wants_less_stale_answers_serve_and_hits_are_unharmed() {
    let origin = Origin::start(whatever).await;
    let node = guarded(&origin.service_root(), |_| {}).await;
    node.send(price()).await;
    node.clock.advance(5 * MINUTE + SECOND);
    node.send(product()).await;
    node.send(categories()).await;
    origin.answer(refusal(429, "120"));
    node.send(price_request_of(7)).await;
    let before = origin.requests();

    // Fresh.
    assert!(node.send(product()).await.is_hit());
    // Expired a second ago: within a minute of stale-if-error.
    let stale = node.send(price()).await;
    assert_eq!(stale.status, StatusCode::OK);
    assert_eq!(stale.price(), 79.9);
    assert!(stale.cache_status().contains("detail=stale-if-error"), "{}", stale.cache_status());
    assert!(!stale.cache_status().contains("fwd"), "{}", stale.cache_status());
    // Past it.
    node.clock.advance(MINUTE);
    assert_shut(&node.send(price()).await, "60");
    assert_eq!(origin.requests(), before);
}

#[tokio::test]
async fn a_stale_product_serves_while_its_revalidation_is_kept_back() {
    let origin = Origin::start(whatever).await;
    let node = guarded(&origin.service_root(), |_| {}).await;
    node.send(product()).await;
    node.clock.advance(15 * MINUTE + SECOND);
    origin.answer(refusal(503, "120"));
    node.send(price()).await;
    let before = origin.requests();
    let stale = node.send(product()).await;
    assert_eq!(stale.json()["Name"], "Old");
    assert!(
        stale.cache_status().contains("detail=stale-while-revalidate"),
        "{}",
        stale.cache_status()
    );
    assert_eq!(refused(&node, "throttled", "revalidation").await, 1.0);
    assert_eq!(origin.requests(), before);
}

#[tokio::test]
async fn an_origin_that_fails_is_left_alone_until_one_request_has_tried_it() {
    let origin = Origin::start(|_| with_status(StatusCode::BAD_GATEWAY, "{}")).await;
    let node = guarded(&origin.service_root(), |gate| {
        gate.broken_after = 3;
        gate.probe_every = 10 * SECOND;
    })
    .await;
    for product in 1..=3 {
        assert_eq!(node.send(price_request_of(product)).await.status, StatusCode::BAD_GATEWAY);
    }
    assert_eq!(node.metric("csu_edge_origin_gate_breaker_state").await, 2.0);
    assert_shut(&node.send(price()).await, "10");
    assert_shut(&node.send(get(ELSEWHERE)).await, "10");
    assert_eq!(origin.requests(), 3);
    assert_eq!(refused(&node, "broken", "client").await, 2.0);

    // The probe fails, and the next one comes later.
    node.clock.advance(10 * SECOND);
    assert_eq!(node.send(price()).await.status, StatusCode::BAD_GATEWAY);
    assert_shut(&node.send(price()).await, "20");
    assert_eq!(origin.requests(), 4);

    // While one is under way, nobody else goes.
    node.clock.advance(20 * SECOND);
    origin.answer(whatever);
    origin.hold();
    let probe = ask(&node, price());
    origin.arrived(5).await;
    assert_eq!(node.metric("csu_edge_origin_gate_breaker_state").await, 1.0);
    assert_shut(&node.send(product()).await, "1");
    origin.release();
    assert_eq!(probe.await.unwrap().status, StatusCode::OK);
    assert_eq!(node.metric("csu_edge_origin_gate_breaker_state").await, 0.0);
    assert_eq!(node.send(product()).await.status, StatusCode::OK);
    assert_eq!(origin.requests(), 6);
}

#[tokio::test]
async fn a_write_that_succeeds_shows_that_the_origin_works_again() {
    let origin = Origin::start(|_| with_status(StatusCode::BAD_GATEWAY, "{}")).await;
    let node = guarded(&origin.service_root(), |gate| gate.broken_after = 1).await;
    node.send(price()).await;
    assert_eq!(node.metric("csu_edge_origin_gate_breaker_state").await, 2.0);
    origin.answer(whatever);
    assert_eq!(node.send(new_cart()).await.status, StatusCode::OK);
    assert_eq!(node.metric("csu_edge_origin_gate_breaker_state").await, 0.0);
    assert_eq!(node.send(price()).await.status, StatusCode::OK);
}

/// Six in two minutes, three of them at once: then one every forty seconds.
fn few(gate: &mut Gate) {
    gate.budget = Some(Budget { requests: 6, per: 120 * SECOND, burst: 3 });
}

#[tokio::test]
async fn a_budget_lets_as_many_out_as_it_has_and_tells_when_there_is_more() {
    let origin = Origin::start(whatever).await;
    let node = guarded(&origin.service_root(), few).await;
    let tokens = "csu_edge_origin_gate_tokens";
    assert_eq!(node.metric(tokens).await, 3.0);
    for product in 1..=3 {
        assert_eq!(node.send(price_request_of(product)).await.status, StatusCode::OK);
    }
    assert_eq!(node.metric(tokens).await, 0.0);
    assert_shut(&node.send(price()).await, "40");
    assert_shut(&node.send(get(ELSEWHERE)).await, "40");
    assert!(node.send(price_request_of(2)).await.is_hit(), "what is there costs nothing");
    assert_eq!((origin.requests(), refused(&node, "budget", "client").await), (3, 2.0));

    node.clock.advance(38 * SECOND + Duration::from_millis(1));
    assert_shut(&node.send(categories()).await, "2");
    node.clock.advance(2 * SECOND);
    assert_eq!(node.send(price()).await.status, StatusCode::OK);
    assert_shut(&node.send(product()).await, "40");

    // A write takes what there is not, and reads wait for what it took.
    assert_eq!(node.send(new_cart()).await.status, StatusCode::OK);
    assert_eq!(node.metric(tokens).await, -1.0);
    assert_shut(&node.send(product()).await, "80");
    node.clock.advance(200 * SECOND);
    assert_eq!(node.metric(tokens).await, 3.0);
    assert_eq!(admitted(&node, "client").await, 4.0);
}

#[tokio::test]
async fn what_nobody_waits_for_leaves_a_part_of_the_budget_to_clients() {
    let origin = Origin::start(whatever).await;
    let node = guarded(&origin.service_root(), |gate| {
        gate.budget = Some(Budget { requests: 1_000, per: 1_000_000 * SECOND, burst: 5 });
    })
    .await;
    // One of the five, and then three more: of the last a revalidation may have none.
    node.send(product()).await;
    node.clock.advance(15 * MINUTE + SECOND);
    for product in 1..=3 {
        node.send(price_request_of(product)).await;
    }
    let stale = node.send(product()).await;
    assert!(stale.cache_status().contains("stale"), "{}", stale.cache_status());
    assert_eq!(refused(&node, "budget", "revalidation").await, 1.0);
    assert_eq!(origin.requests(), 4);
    assert_eq!(node.send(price()).await.status, StatusCode::OK, "the last one is a client's");
}

fn narrow(gate: &mut Gate) {
    gate.min_in_flight = 2;
    gate.max_in_flight = 2;
}

#[tokio::test]
async fn who_finds_all_places_taken_waits_in_a_line_of_bounded_length() {
    let origin = Origin::start(whatever).await;
    let node = guarded(&origin.service_root(), |gate| {
        narrow(gate);
        gate.max_waiting = 1;
    })
    .await;
    origin.hold();
    let first = ask(&node, product());
    let second = ask(&node, get(ELSEWHERE));
    origin.arrived(2).await;
    assert_eq!(node.metric("csu_edge_origin_gate_in_flight").await, 2.0);
    let third = ask(&node, price());
    shows(&node, "origin_gate_waiting", 1.0).await;
    // Nobody else finds a place in the line: neither what would be kept nor what passes.
    assert_shut(&node.send(categories()).await, "1");
    assert_shut(&node.send(get("/Commerce/Nothing/Else()")).await, "1");
    assert_eq!(refused(&node, "concurrency", "client").await, 2.0);
    assert_eq!(origin.requests(), 2);

    // Writes go meanwhile, and take no reader's place.
    let writing = ask(&node, new_cart());
    origin.arrived(3).await;
    assert_eq!(origin.last().method, "POST");
    assert_eq!(node.metric("csu_edge_origin_gate_in_flight").await, 3.0);
    assert_eq!(node.metric("csu_edge_origin_gate_waiting").await, 1.0);

    origin.release();
    for answered in [first, second, third, writing] {
        assert_eq!(answered.await.unwrap().status, StatusCode::OK);
    }
    assert_eq!(origin.requests(), 4);
    assert_eq!(node.metric("csu_edge_origin_gate_waiting").await, 0.0);
    assert_eq!(node.metric("csu_edge_origin_gate_in_flight").await, 0.0);
    assert_eq!((admitted(&node, "client").await, admitted(&node, "write").await), (3.0, 1.0));
}

#[tokio::test]
async fn one_place_that_is_free_lets_one_of_the_line_go_and_in_its_order() {
    let origin = Origin::start(whatever).await;
    let node = guarded(&origin.service_root(), narrow).await;
    origin.hold();
    let held = [ask(&node, product()), ask(&node, get(ELSEWHERE))];
    origin.arrived(2).await;
    let third = ask(&node, price());
    shows(&node, "origin_gate_waiting", 1.0).await;
    let fourth = ask(&node, categories());
    shows(&node, "origin_gate_waiting", 2.0).await;
    origin.hold_only(|seen| !seen.target.contains("GetById"));
    origin.arrived(3).await;
    assert!(origin.last().target.contains("GetActivePrices"), "{}", origin.last().target);
    shows(&node, "origin_gate_waiting", 1.0).await;
    assert_eq!(origin.requests(), 3);
    origin.release();
    for answered in held.into_iter().chain([third, fourth]) {
        assert_eq!(answered.await.unwrap().status, StatusCode::OK);
    }
}

#[tokio::test]
async fn who_has_waited_too_long_is_refused_or_served_something_stale() {
    let origin = Origin::start(whatever).await;
    let node = guarded(&origin.service_root(), narrow).await;
    node.send(price()).await;
    node.clock.advance(5 * MINUTE + SECOND);
    origin.hold();
    let held = [ask(&node, product()), ask(&node, get(ELSEWHERE))];
    origin.arrived(3).await;
    // What has something to serve instead does not wait at all.
    let stale = node.send(price()).await;
    assert!(stale.cache_status().contains("detail=stale-if-error"), "{}", stale.cache_status());
    let waiting = [ask(&node, price_request_of(7)), ask(&node, get("/Commerce/Nothing/Else()"))];
    shows(&node, "origin_gate_waiting", 2.0).await;
    node.clock.advance(SECOND);
    for waited in waiting {
        assert_shut(&waited.await.unwrap(), "1");
    }
    assert_eq!(node.metric("csu_edge_origin_gate_waiting").await, 0.0);
    assert_eq!(origin.requests(), 3);
    origin.release();
    for answered in held {
        assert_eq!(answered.await.unwrap().status, StatusCode::OK);
    }
}

#[tokio::test]
async fn who_leaves_the_line_takes_nobodys_place() {
    let origin = Origin::start(whatever).await;
    let node = guarded(&origin.service_root(), narrow).await;
    origin.hold();
    let held = [ask(&node, product()), ask(&node, get(ELSEWHERE))];
    origin.arrived(2).await;
    let leaving = ask(&node, get("/Commerce/Nothing/Else()"));
    shows(&node, "origin_gate_waiting", 1.0).await;
    leaving.abort();
    shows(&node, "origin_gate_waiting", 0.0).await;
    origin.release();
    for answered in held {
        assert_eq!(answered.await.unwrap().status, StatusCode::OK);
    }
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn what_waits_at_the_gate_goes_out_as_one_call() {
    let origin = Origin::start(whatever).await;
    let node = Arc::new(
        guarded_as(&origin.service_root(), |config| {
            narrow(&mut config.origin.gate);
            // What one request has begun is done before the next one is read.
            config.listen.workers = 1;
        })
        .await,
    );
    origin.hold();
    let held = [ask(&node, product()), ask(&node, get(ELSEWHERE))];
    origin.arrived(2).await;
    let mut asking = vec![ask(&node, price_request(&[1, 2]))];
    shows(&node, "origin_gate_waiting", 1.0).await;
    // Each waits for something that the one before asks for.
    asking.push(ask(&node, price_request(&[2, 3])));
    shows(&node, "collapse_waiters", 1.0).await;
    asking.push(ask(&node, price_request(&[3, 4])));
    shows(&node, "collapse_waiters", 2.0).await;
    asking.push(ask(&node, price_request(&[4])));
    shows(&node, "collapse_waiters", 3.0).await;
    assert_eq!(node.metric("csu_edge_origin_gate_waiting").await, 1.0, "one call waits for all");
    origin.release();
    for answered in held.into_iter().chain(asking) {
        assert_eq!(answered.await.unwrap().status, StatusCode::OK);
    }
    assert_eq!(origin.requests(), 3);
    let mut asked_for = products_in(&origin.last().body);
    asked_for.sort_unstable();
    assert_eq!(asked_for, [1, 2, 3, 4]);
    assert_eq!(admitted(&node, "client").await, 3.0);
}

#[tokio::test]
async fn a_read_without_an_answer_is_asked_once_more_and_a_write_never() {
    let origin = RawOrigin::start(Manner::Say(String::new())).await;
    let node = guarded(&origin.service_root(), |_| {}).await;
    let got = node.send(price()).await;
    assert_eq!(got.status, StatusCode::BAD_GATEWAY);
    assert_eq!(got.error_code(), "csu-edge.origin-broken");
    assert_eq!(origin.requests(), 2);
    assert_eq!(node.metric("csu_edge_origin_retries_total").await, 1.0);
    assert_eq!(node.asked("fetch", "broken").await, 2.0);
    assert_eq!(admitted(&node, "client").await, 2.0);

    let got = node.send(new_cart()).await;
    assert_eq!(got.status, StatusCode::BAD_GATEWAY);
    assert_eq!(origin.requests(), 3);
    assert_eq!(node.metric("csu_edge_origin_retries_total").await, 1.0);
    assert_eq!(admitted(&node, "write").await, 1.0);

    origin.answer(whole(&price_of(PRODUCT, "82000", 79.9)));
    assert_eq!(node.send(price()).await.status, StatusCode::OK);
    assert_eq!(origin.requests(), 4);
}

#[tokio::test]
async fn nothing_is_asked_again_without_a_token_or_of_a_broken_origin() {
    for with_budget in [true, false] {
        let origin = RawOrigin::start(Manner::Say(String::new())).await;
        let node = guarded(&origin.service_root(), |gate| {
            if with_budget {
                gate.budget = Some(Budget { requests: 2, per: MINUTE, burst: 1 });
            } else {
                gate.broken_after = 1;
            }
        })
        .await;
        let got = node.send(price()).await;
        assert_eq!(got.error_code(), "csu-edge.origin-broken");
        assert_eq!(origin.requests(), 1);
        assert_eq!(node.metric("csu_edge_origin_retries_total").await, 0.0);
        let reason = if with_budget { "budget" } else { "broken" };
        assert_eq!(refused(&node, reason, "client").await, 1.0);
    }
}

#[tokio::test]
async fn an_origin_that_answers_the_second_time_has_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let root = format!("http://{}/Commerce", listener.local_addr().unwrap());
    let node = guarded(&root, |_| {}).await;
    let asking = ask(&node, price());
    let mut first = Wire::accept(&listener).await;
    let (head, body) = first.message().await;
    drop(first);
    let mut second = Wire::accept(&listener).await;
    assert_eq!(second.message().await, (head, body), "the same again");
    let Manner::Say(priced) = whole(&price_of(PRODUCT, "82000", 79.9)) else { panic!() };
    second.send(&priced).await;
    let got = asking.await.unwrap();
    assert_eq!((got.status, got.price()), (StatusCode::OK, 79.9));
    assert_eq!(node.metric("csu_edge_origin_retries_total").await, 1.0);
    assert!(node.send(price()).await.is_hit());
}

#[tokio::test]
async fn the_parts_of_a_batch_are_refused_as_they_would_be_alone() {
    let origin = Origin::start(refusal(429, "30")).await;
    let node = guarded(&origin.service_root(), |_| {}).await;
    node.send(price()).await;
    let parts = r#"{"requests":[
        {"id":"1","method":"GET","url":"Products(1)/GetById(channelId=5637154326)"},
        {"id":"2","method":"GET","url":"GetTenderTypes()"}]}"#;
    let got = node.send(post("/Commerce/$batch", parts)).await;
    assert_eq!(got.status, StatusCode::OK);
    for part in got.json()["responses"].as_array().unwrap() {
        assert_eq!(part["status"], 503);
        assert_eq!(part["body"]["error"]["code"], "csu-edge.origin-shut");
        assert_eq!(part["headers"]["retry-after"], "30");
    }
    assert_eq!(origin.requests(), 1);
}
