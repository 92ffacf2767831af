//! When a stale answer serves, and when none may.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test panics"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use csu_edge::operation::Class;
use http::StatusCode;
use serde_json::json;
use support::node::{Got, Running};
use support::origin::{Origin, json as answer, with_field, with_status};
use support::raw::{Manner, RawOrigin, cut, whole};
use support::reads::{PRODUCT, categories, named, price, product};
use support::wire::soon;
use tokio::task::JoinSet;

const STALE_BEHIND: &str = "detail=stale-while-revalidate";
const PRICED: &str =
    r#"{"value":[{"ProductId":68719489871,"ItemId":"82000","AdjustedPrice":79.9}]}"#;

/// A node whose time limits towards the origin end a test soon.
async fn impatient(service_root: &str) -> Running {
    Running::start(service_root, |config| {
        config.origin.first_byte_timeout = Duration::from_secs(1);
        config.origin.fetch_timeout = Duration::from_millis(1_500);
        config.origin.connect_timeout = Duration::from_secs(1);
    })
    .await
}

async fn soft_purge(node: &Running) {
    node.push(&json!({"class": "product", "items": ["82000"]})).await;
}

async fn hard_purge(node: &Running, tag: &str) {
    let purge = json!({"tags": [tag], "mode": "hard"});
    let got = node.control_post("/purge", &purge).await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.text());
}

/// Waits until so many answers were not stored for this reason.
async fn unstored(node: &Running, reason: &str, count: f64) {
    let counted = async {
        while node.unstored(reason).await < count {
            tokio::task::yield_now().await;
        }
    };
    soon(counted).await;
}

/// Asks until the answer is fresh.
async fn fresh(node: &Running, request: &http::Request<String>) -> Got {
    soon(async {
        loop {
            let got = node.send(request.clone()).await;
            if !got.cache_status().contains("stale") {
                return got;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn a_changed_product_is_served_stale_at_once_while_one_revalidation_runs_behind() {
    let origin = Origin::start(|_| answer(named("Old"))).await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    node.send(product()).await;
    origin.answer(|_| answer(named("New")));
    origin.hold();
    node.clock.advance(Duration::from_secs(60));
    soft_purge(&node).await;

    for _ in 0..5 {
        let got = node.send(product()).await;
        assert_eq!(got.cache_status(), format!("csu-edge; hit; ttl=0; {STALE_BEHIND}"));
        assert_eq!((got.header("age"), got.json()["Name"].as_str()), (Some("60"), Some("Old")));
    }
    origin.arrived(2).await;
    origin.release();
    let got = fresh(&node, &product()).await;
    assert_eq!(got.cache_status(), "csu-edge; hit; ttl=900");
    assert_eq!(got.json()["Name"], "New");
    assert_eq!(origin.requests(), 2);
    assert!(node.answered("Products/GetById", "stale").await >= 5.0);
    assert_eq!(node.answered("Products/GetById", "miss").await, 1.0);
}

#[tokio::test]
async fn a_crowd_that_finds_the_answer_stale_costs_one_revalidation() {
    let origin = Origin::start(|_| answer(named("Shoe"))).await;
    let node = Arc::new(Running::start(&origin.service_root(), |_| {}).await);
    node.send(product()).await;
    for round in 1..=40 {
        soft_purge(&node).await;
        let mut crowd = JoinSet::new();
        for _ in 0..16 {
            let node = Arc::clone(&node);
            crowd.spawn(async move {
                node.send(product()).await;
                node.send(product()).await
            });
        }
        assert!(soon(crowd.join_all()).await.iter().all(Got::is_hit));
        fresh(&node, &product()).await;
        assert_eq!(origin.requests(), 1 + round);
    }
}

#[tokio::test]
async fn what_expired_is_served_stale_within_its_window_and_not_past_it() {
    let origin = Origin::start(|_| answer(named("Shoe"))).await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    node.send(product()).await;
    origin.hold();
    node.clock.advance(Duration::from_secs(15 * 60 + 12 * 3600 - 1));
    let last = node.send(product()).await;
    assert_eq!(last.cache_status(), format!("csu-edge; hit; ttl=-43199; {STALE_BEHIND}"));
    origin.arrived(2).await;
    origin.release();
    fresh(&node, &product()).await;

    node.clock.advance(Duration::from_secs(15 * 60 + 12 * 3600));
    let past = node.send(product()).await;
    assert_eq!(past.cache_status(), "csu-edge; fwd=stale; stored");
    assert_eq!(origin.requests(), 3);
}

#[tokio::test]
async fn a_revalidation_that_fails_leaves_the_stale_answer_in_use() {
    let origin = Origin::start(|_| answer(named("Old"))).await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    node.send(product()).await;
    soft_purge(&node).await;
    origin.answer(|_| with_status(StatusCode::SERVICE_UNAVAILABLE, "{}"));
    for asked in 2..=4 {
        let got = node.send(product()).await;
        assert_eq!((got.status, got.json()["Name"].as_str()), (StatusCode::OK, Some("Old")));
        assert!(got.cache_status().ends_with(STALE_BEHIND));
        origin.arrived(asked).await;
        unstored(&node, "status", (asked - 1) as f64).await;
    }
    origin.answer(|_| answer(named("New")));
    assert_eq!(fresh(&node, &product()).await.json()["Name"], "New");
}

/// The origin is well and has spoken: what it said before is over, though this cannot be kept.
#[tokio::test]
async fn a_stale_answer_ends_with_a_new_one_that_may_not_be_stored() {
    let large = format!(r#"{{"Name":"{}"}}"#, "x".repeat(4_000));
    for (status, body, cache_control, reason) in [
        (400, "{}", "public", "status"),
        (401, "{}", "public", "status"),
        (403, "{}", "public", "status"),
        (200, "{}", "no-store", "no-store"),
        (200, "{}", "private", "private"),
        (200, &*large, "public", "too-large"),
    ] {
        let origin = Origin::start(|_| answer(named("Old"))).await;
        let node = Running::start(&origin.service_root(), |config| {
            config.limits.stored_body_bytes = 4_000;
        })
        .await;
        node.send(product()).await;
        soft_purge(&node).await;
        let (status, told) = (StatusCode::from_u16(status).unwrap(), body.to_owned());
        origin.answer(move |_| {
            with_field(with_status(status, told.clone()), "cache-control", cache_control)
        });
        assert!(node.send(product()).await.cache_status().ends_with(STALE_BEHIND));
        let got = fresh(&node, &product()).await;
        assert_eq!((got.status, got.text().as_str()), (status, body), "{reason}");
        assert_eq!(got.cache_status(), format!("csu-edge; fwd=uri-miss; detail={reason}"));
        assert_eq!(node.stored().await, 0.0, "{reason}");
    }
}

#[tokio::test]
async fn a_stale_answer_outlives_new_ones_that_cannot_be_vouched_for() {
    for (content_type, body, reason) in [
        ("application/json", r#"{"Name":"#, "answer-malformed"),
        ("application/json", r#"{"error":{"code":"Late"}}"#, "answer-tells-error"),
        ("text/html", "<p>maintenance</p>", "not-json"),
    ] {
        let origin = Origin::start(|_| answer(named("Old"))).await;
        let node = Running::start(&origin.service_root(), |_| {}).await;
        node.send(product()).await;
        soft_purge(&node).await;
        origin.answer(move |_| {
            let mut answer = answer(body);
            answer.headers_mut().insert("content-type", content_type.parse().unwrap());
            answer
        });
        for failures in 1..=3 {
            let got = node.send(product()).await;
            assert!(got.cache_status().ends_with(STALE_BEHIND), "{reason}");
            unstored(&node, reason, f64::from(failures)).await;
        }
        assert_eq!(node.stored().await, 1.0);
    }
}

#[tokio::test]
async fn a_stale_answer_stands_in_for_each_way_in_which_the_origin_fails() {
    for status in [429, 500, 502, 503, 504] {
        let status = StatusCode::from_u16(status).unwrap();
        let origin = Origin::start(|_| answer(PRICED)).await;
        let node = Running::start(&origin.service_root(), |_| {}).await;
        node.send(price()).await;
        node.clock.advance(Duration::from_secs(330));
        origin.answer(move |_| with_status(status, "{}"));
        let got = node.send(price()).await;
        assert_eq!((got.status, got.text().as_str()), (StatusCode::OK, PRICED));
        let expected = format!(
            "csu-edge; fwd=stale; fwd-status={}; ttl=-30; detail=stale-if-error",
            status.as_u16()
        );
        assert_eq!((got.cache_status(), got.header("age")), (&*expected, Some("330")));
        assert_eq!(origin.requests(), 2);
        assert_eq!(node.answered("Products/GetActivePrices", "stale-if-error").await, 1.0);
        assert_eq!(node.unstored("status").await, 1.0);
    }
    let reset = Manner::Say(String::new());
    for (outcome, manner) in [
        ("timeout", Manner::Hang),
        ("2xx", cut(PRICED, PRICED.len() + 1)),
        ("broken", reset),
        ("broken", Manner::Say("SSH-2.0-OpenSSH_9.2\r\n".to_owned())),
    ] {
        let origin = RawOrigin::start(whole(PRICED)).await;
        let node = impatient(&origin.service_root()).await;
        node.send(price()).await;
        node.clock.advance(Duration::from_secs(330));
        origin.answer(manner.clone());
        let got = node.send(price()).await;
        assert_eq!((got.status, got.text().as_str()), (StatusCode::OK, PRICED), "{manner:?}");
        let expected = "csu-edge; fwd=stale; ttl=-30; detail=stale-if-error";
        assert_eq!(got.cache_status(), expected, "{manner:?}");
        // What broke off before its head is asked once more.
        let requests = if outcome == "broken" { 3 } else { 2 };
        assert_eq!(origin.requests(), requests, "{manner:?}");
        assert_eq!(node.answered("Products/GetActivePrices", "stale-if-error").await, 1.0);
        let asked = if outcome == "timeout" { 1.0 } else { 2.0 };
        assert_eq!(node.asked("fetch", outcome).await, asked, "{manner:?}");
    }
}

#[tokio::test]
async fn a_stale_answer_stands_in_for_an_origin_that_is_gone() {
    let origin = RawOrigin::start(whole(PRICED)).await;
    let node = impatient(&origin.service_root()).await;
    node.send(price()).await;
    node.clock.advance(Duration::from_secs(300));
    origin.stop().await;
    let got = node.send(price()).await;
    assert_eq!((got.status, got.text().as_str()), (StatusCode::OK, PRICED));
    assert_eq!(got.cache_status(), "csu-edge; fwd=stale; ttl=0; detail=stale-if-error");
    // Once more, as it was not answered.
    assert_eq!(node.asked("fetch", "unreachable").await, 2.0);
    assert_eq!(node.metric("csu_edge_origin_retries_total").await, 1.0);

    node.clock.advance(Duration::from_secs(60));
    let got = node.send(price()).await;
    assert_eq!(
        (got.status, got.error_code().as_str()),
        (StatusCode::BAD_GATEWAY, "csu-edge.origin-unreachable")
    );
}

#[tokio::test]
async fn past_the_window_the_client_gets_the_origins_own_error() {
    const BODY: &str = r#"{"error":{"code":"Busy","message":"later"}}"#;
    let origin = Origin::start(|_| answer(PRICED)).await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    node.send(price()).await;
    origin.answer(|_| {
        with_field(with_status(StatusCode::SERVICE_UNAVAILABLE, BODY), "retry-after", "17")
    });
    node.clock.advance(Duration::from_millis(359_999));
    assert_eq!(node.send(price()).await.status, StatusCode::OK);
    node.clock.advance(Duration::from_millis(1));
    let got = node.send(price()).await;
    assert_eq!((got.status, got.text().as_str()), (StatusCode::SERVICE_UNAVAILABLE, BODY));
    assert_eq!(got.header("retry-after"), Some("17"));
    assert_eq!(got.cache_status(), "csu-edge; fwd=stale; detail=status");
    assert_eq!(origin.requests(), 3);
    assert_eq!(node.answered("Products/GetActivePrices", "stale-if-error").await, 1.0);
}

#[tokio::test]
async fn a_clients_own_mistake_is_no_failure_of_the_origin() {
    let origin = Origin::start(|_| answer(PRICED)).await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    node.send(price()).await;
    node.clock.advance(Duration::from_secs(301));
    for status in [400, 401, 403, 408, 412, 501] {
        let status = StatusCode::from_u16(status).unwrap();
        origin.answer(move |_| with_status(status, "{}"));
        assert_eq!(node.send(price()).await.status, status);
    }
    assert_eq!(node.answered("Products/GetActivePrices", "stale-if-error").await, 0.0);
}

#[tokio::test]
async fn a_hard_purged_answer_serves_under_no_failure() {
    let origin = Origin::start(|_| answer(PRICED)).await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    node.send(price()).await;
    node.push(&json!({"class": "price", "items": ["82000"]})).await;
    for status in [429, 500, 502, 503, 504] {
        let status = StatusCode::from_u16(status).unwrap();
        origin.answer(move |_| with_status(status, "{}"));
        let got = node.send(price()).await;
        assert_eq!((got.status, got.text().as_str()), (status, "{}"));
        assert_eq!(got.cache_status(), "csu-edge; fwd=miss; detail=status");
    }
    for (manner, status, code) in [
        (Manner::Hang, StatusCode::GATEWAY_TIMEOUT, "csu-edge.origin-timeout"),
        (cut(PRICED, 10_000), StatusCode::BAD_GATEWAY, "csu-edge.origin-broken"),
        (Manner::Say(String::new()), StatusCode::BAD_GATEWAY, "csu-edge.origin-broken"),
    ] {
        let origin = RawOrigin::start(whole(PRICED)).await;
        let node = impatient(&origin.service_root()).await;
        node.send(price()).await;
        node.push(&json!({"class": "price", "items": ["82000"]})).await;
        origin.answer(manner);
        let got = node.send(price()).await;
        assert_eq!((got.status, got.error_code().as_str()), (status, code));
        assert_eq!(node.answered("Products/GetActivePrices", "error").await, 1.0);
        assert_eq!(node.answered("Products/GetActivePrices", "stale-if-error").await, 0.0);
    }
}

#[tokio::test]
async fn a_hard_purge_forbids_what_a_soft_one_would_still_allow() {
    let origin = Origin::start(|_| answer(named("Old"))).await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    node.send(product()).await;
    origin.answer(|_| with_status(StatusCode::SERVICE_UNAVAILABLE, "{}"));
    hard_purge(&node, &format!("product/product:{PRODUCT}")).await;
    soft_purge(&node).await;
    let got = node.send(product()).await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(got.cache_status(), "csu-edge; fwd=miss; detail=status");
}

#[tokio::test]
async fn a_hard_purge_while_the_failing_fetch_is_under_way_forbids_the_stand_in() {
    let origin = Origin::start(|_| answer(PRICED)).await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    node.send(price()).await;
    node.clock.advance(Duration::from_secs(301));
    origin.answer(|_| with_status(StatusCode::SERVICE_UNAVAILABLE, "{}"));
    origin.hold();
    let purge_meanwhile = async {
        origin.arrived(2).await;
        node.push(&json!({"class": "price", "items": ["82000"]})).await;
        origin.release();
    };
    let (got, ()) = tokio::join!(node.send(price()), purge_meanwhile);
    assert_eq!((got.status, got.text().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "{}"));
    assert_eq!(got.cache_status(), "csu-edge; fwd=stale; detail=status");
    assert_eq!(node.answered("Products/GetActivePrices", "stale-if-error").await, 0.0);
}

#[tokio::test]
async fn a_slow_body_is_cut_off_by_the_limit_of_the_whole_fetch() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
    let origin = RawOrigin::start(Manner::SayAndHang(head.to_owned())).await;
    let node = impatient(&origin.service_root()).await;
    let got = node.send(categories()).await;
    assert_eq!(
        (got.status, got.error_code().as_str()),
        (StatusCode::GATEWAY_TIMEOUT, "csu-edge.origin-timeout")
    );
    assert_eq!(node.stored().await, 0.0);
}

#[tokio::test]
async fn a_window_can_be_closed() {
    let origin = Origin::start(|_| answer(named("Old"))).await;
    let node = Running::start(&origin.service_root(), |config| {
        let lifetimes = config.classes.of_mut(Class::Product);
        lifetimes.stale_while_revalidate = Duration::ZERO;
        lifetimes.stale_if_error = Duration::ZERO;
    })
    .await;
    node.send(product()).await;
    node.clock.advance(Duration::from_secs(900));
    origin.answer(|_| with_status(StatusCode::BAD_GATEWAY, "{}"));
    assert_eq!(node.send(product()).await.status, StatusCode::BAD_GATEWAY);
    origin.answer(|_| answer(named("New")));
    assert_eq!(node.send(product()).await.json()["Name"], "New");
}
