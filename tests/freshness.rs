//! What is stored, for how long, and how the origin is asked whether it still stands.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test panics"
)]

mod support;

use std::time::Duration;

use csu_edge::config::OperationRule;
use csu_edge::operation::Class;
use http::{Method, Request, StatusCode};
use support::node::{Running, with};
use support::origin::{Origin, json, price_of, with_field, with_status};
use support::raw::{Manner, RawOrigin, cut, whole};
use support::reads::{
    PRODUCT, categories, get, inventory, named, not_modified, nothing, price, product, search,
    suggestions, tender_types,
};

/// Stock of the product that `inventory` asks for.
const AVAILABLE: &str = r#"{"ProductWarehouseInventoryAvailabilities":[],
    "AggregatedProductInventoryAvailabilities":[{"ProductId":68719489871}]}"#;

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[tokio::test]
async fn each_class_has_its_own_lifetime() {
    // What is asked for by id must be there: what is left out lives for a shorter time.
    let origin = Origin::start(|seen| match seen.target.contains("GetEstimatedAvailability") {
        true => json(AVAILABLE),
        false if seen.target.contains("GetActivePrices") => json(price_of(PRODUCT, "82000", 79.9)),
        false => nothing(),
    })
    .await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    let stale_behind = "csu-edge; hit; ttl=0; detail=stale-while-revalidate";
    let stale = "csu-edge; fwd=stale; stored";
    for (name, request, fresh_s, afterwards) in [
        ("Products/GetActivePrices", price(), 300, stale),
        ("Products/GetEstimatedAvailability", inventory(), 30, stale),
        ("Products/SearchByText", search(), 300, stale_behind),
        ("Products/GetSearchSuggestions", suggestions(), 60, stale_behind),
        ("Products/GetById", product(), 900, stale_behind),
        ("Categories/GetCategories", categories(), 1_800, stale_behind),
        ("GetTenderTypes", tender_types(), 1_800, stale_behind),
    ] {
        let before = origin.requests();
        let first = node.send(request.clone()).await;
        assert_eq!(first.cache_status(), "csu-edge; fwd=uri-miss; stored", "{name}");
        node.clock.advance(seconds(fresh_s - 1));
        let last = node.send(request.clone()).await;
        assert_eq!(last.cache_status(), "csu-edge; hit; ttl=1", "{name}");
        assert_eq!(last.header("age"), Some(&*(fresh_s - 1).to_string()), "{name}");
        assert_eq!(origin.requests(), before + 1, "{name}");
        node.clock.advance(seconds(1));
        assert_eq!(node.send(request).await.cache_status(), afterwards, "{name}");
        origin.arrived(before + 2).await;
        assert_eq!(node.answered(name, "hit").await, 1.0, "{name}");
    }
    assert_eq!(node.stored().await, 7.0);
}

#[tokio::test]
async fn that_there_is_no_such_thing_is_remembered_for_half_a_minute_or_as_long_as_is_set() {
    let not_found = r#"{"error":{"code":"NotFound","message":"no such product"}}"#;
    for (status, body, fresh_s) in [
        (StatusCode::NOT_FOUND, not_found, None),
        (StatusCode::GONE, not_found, None),
        (StatusCode::NO_CONTENT, "", None),
        (StatusCode::NOT_FOUND, not_found, Some(5)),
    ] {
        let origin = Origin::start(move |_| with_status(status, body)).await;
        let node = Running::start(&origin.service_root(), |config| {
            config.absent.fresh_for = fresh_s.map_or(config.absent.fresh_for, seconds);
        })
        .await;
        let first = node.send(product()).await;
        assert_eq!((first.status, first.text().as_str()), (status, body));
        node.clock.advance(seconds(fresh_s.unwrap_or(30) - 1));
        let second = node.send(product()).await;
        assert_eq!((second.status, second.text().as_str()), (status, body));
        assert_eq!(second.cache_status(), "csu-edge; hit; ttl=1");
        assert_eq!(second.header("etag"), None);
        node.clock.advance(seconds(1));
        assert_eq!(node.send(product()).await.cache_status(), "csu-edge; fwd=stale; stored");
        assert_eq!(origin.requests(), 2);
        assert_eq!(node.answered("Products/GetById", "hit").await, 1.0);
    }
}

#[tokio::test]
async fn other_statuses_are_told_as_they_are_and_never_stored() {
    let origin = Origin::start(|_| nothing()).await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    for status in [201, 206, 301, 306, 400, 401, 403, 408, 412, 429, 500, 501, 502, 503, 504] {
        let status = StatusCode::from_u16(status).unwrap();
        let body = format!(r#"{{"error":{{"code":"Origin","message":"{status}"}}}}"#);
        let told = body.clone();
        origin.answer(move |_| with_status(status, told.clone()));
        for _ in 0..2 {
            let before = origin.requests();
            let got = node.send(price()).await;
            assert_eq!((got.status, got.text()), (status, body.clone()));
            assert_eq!(got.cache_status(), "csu-edge; fwd=uri-miss; detail=status", "{status}");
            assert_eq!(origin.requests(), before + 1, "{status}");
        }
    }
    assert_eq!(node.unstored("status").await, 30.0);
    assert_eq!(node.stored().await, 0.0);
    assert_eq!(node.metric("csu_edge_origin_throttled_total").await, 2.0);
    assert_eq!(node.asked("fetch", "5xx").await, 10.0);
    assert_eq!(node.answered("Products/GetActivePrices", "miss").await, 30.0);
}

#[tokio::test]
async fn a_body_that_is_cut_is_an_error_and_nothing_of_it_is_kept() {
    let chunked = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                   transfer-encoding: chunked\r\n\r\n c\r\n{\"value\":[]}\r\n";
    for manner in [cut(r#"{"value":[]}"#, 100), Manner::Say(chunked.replace(" c", "c"))] {
        let origin = RawOrigin::start(manner).await;
        let node = Running::start(&origin.service_root(), |_| {}).await;
        for asked in 1..=2 {
            let got = node.send(price()).await;
            assert_eq!(got.status, StatusCode::BAD_GATEWAY);
            assert_eq!(got.error_code(), "csu-edge.origin-broken");
            assert_eq!(origin.requests(), asked);
        }
        assert_eq!(node.stored().await, 0.0);
        assert_eq!(node.answered("Products/GetActivePrices", "error").await, 2.0);
        origin.answer(whole(r#"{"value":[]}"#));
        assert_eq!(node.send(price()).await.cache_status(), "csu-edge; fwd=uri-miss; stored");
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_vouched_for_is_delivered_and_not_stored() {
    let origin = Origin::start(|_| nothing()).await;
    let node = Running::start(&origin.service_root(), |config| {
        config.limits.stored_body_bytes = 1_000;
    })
    .await;
    let large = format!(r#"{{"value":["{}"]}}"#, "x".repeat(1_000));
    for (reason, field, body) in [
        ("answer-malformed", None, r#"{"value":["#),
        ("answer-malformed", None, r#"{"value":[]} {"error":{"code":"late"}}"#),
        ("answer-malformed", None, ""),
        ("answer-tells-error", None, r#"{"error":{"code":"x","message":"y"}}"#),
        ("not-json", Some(("content-type", "text/html")), "<p>maintenance</p>"),
        ("no-store", Some(("cache-control", "max-age=60, no-store")), r#"{"value":[]}"#),
        ("private", Some(("cache-control", "private")), r#"{"value":[]}"#),
        ("vary-any", Some(("vary", "*")), r#"{"value":[]}"#),
        ("content-encoding", Some(("content-encoding", "zstd")), "not JSON at all"),
        ("too-large", None, &*large),
    ] {
        let told = body.to_owned();
        origin.answer(move |_| match field {
            Some((name, value)) => {
                let mut answer = json(told.clone());
                answer.headers_mut().insert(name, value.parse().unwrap());
                answer
            }
            None => json(told.clone()),
        });
        let counted = node.unstored(reason).await;
        for _ in 0..2 {
            let before = origin.requests();
            let got = node.send(price()).await;
            assert_eq!((got.status, got.text().as_str()), (StatusCode::OK, body), "{reason}");
            assert_eq!(got.cache_status(), format!("csu-edge; fwd=uri-miss; detail={reason}"));
            if let Some((name, value)) = field {
                assert_eq!(got.header(name).map(|got| got.contains(value)), Some(true));
            }
            assert_eq!(origin.requests(), before + 1, "{reason}");
        }
        assert_eq!(node.unstored(reason).await, counted + 2.0, "{reason}");
    }
    assert_eq!(node.stored().await, 0.0);
}

#[tokio::test]
async fn a_class_and_an_operation_can_be_set_otherwise() {
    let origin = Origin::start(|_| nothing()).await;
    let node = Running::start(&origin.service_root(), |config| {
        config.classes.of_mut(Class::Product).fresh_for = seconds(10);
        let rule = |name: &str| OperationRule { name: name.to_owned(), ..OperationRule::default() };
        config.operations = vec![
            OperationRule { fresh_for: Some(seconds(7)), ..rule("Products/GetActivePrices") },
            OperationRule { cache: Some(false), ..rule("GetTenderTypes") },
            OperationRule {
                method: Some(Method::GET),
                class: Some(Class::Inventory),
                ..rule("Products/GetSwatches")
            },
        ];
    })
    .await;
    let swatches = || get("/Commerce/Products/GetSwatches(channelId=5637154326)");
    for (request, ttl) in [(price(), 7), (product(), 10), (swatches(), 30)] {
        assert!(node.send(request.clone()).await.cache_status().ends_with("; stored"));
        let second = node.send(request).await;
        assert_eq!(second.cache_status(), format!("csu-edge; hit; ttl={ttl}"));
    }
    assert_eq!(node.answered("Products/GetSwatches", "hit").await, 1.0);
    for requests in 4..=5 {
        let got = node.send(tender_types()).await;
        assert_eq!(got.cache_status(), "csu-edge; fwd=bypass; detail=not-in-catalogue");
        assert_eq!(origin.requests(), requests);
    }
}

#[tokio::test]
async fn the_age_that_an_answer_comes_with_counts() {
    let origin =
        Origin::start(|_| with_field(json(price_of(PRODUCT, "82000", 79.9)), "age", "100")).await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    assert_eq!(node.send(price()).await.header("age"), Some("100"));
    node.clock.advance(seconds(199));
    let hit = node.send(price()).await;
    assert_eq!((hit.cache_status(), hit.header("age")), ("csu-edge; hit; ttl=1", Some("299")));
    node.clock.advance(seconds(1));
    assert_eq!(node.send(price()).await.cache_status(), "csu-edge; fwd=stale; stored");
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn what_expired_is_confirmed_by_the_origins_validator() {
    const DATE: &str = "Mon, 27 Apr 2026 09:00:00 GMT";
    for (validator, value, condition) in [
        ("etag", "\"v1\"", "if-none-match"),
        ("etag", "W/\"v1\"", "if-none-match"),
        ("last-modified", DATE, "if-modified-since"),
    ] {
        let origin = Origin::start(move |seen| match seen.header(condition) {
            Some(told) if told == value => with_field(not_modified(), "x-confirmed", "yes"),
            _ => with_field(json(named("Shoe")), validator, value),
        })
        .await;
        let node = Running::start(&origin.service_root(), |config| {
            config.classes.of_mut(Class::Product).stale_while_revalidate = Duration::ZERO;
        })
        .await;
        let first = node.send(product()).await;
        assert_eq!(origin.last().header(condition), None);
        assert!(first.header("etag").unwrap().starts_with("W/"));
        assert_ne!(first.header("etag"), Some(value), "the tag is ours: the body has many forms");

        node.clock.advance(seconds(901));
        let confirmed = node.send(product()).await;
        assert_eq!(origin.last().header(condition), Some(value));
        assert_eq!(confirmed.status, StatusCode::OK);
        assert_eq!(confirmed.cache_status(), "csu-edge; fwd=stale; fwd-status=304; stored");
        assert_eq!((&confirmed.body, confirmed.header("age")), (&first.body, None));
        assert_eq!(confirmed.header("etag"), first.header("etag"));
        assert_eq!(confirmed.header("x-confirmed"), Some("yes"));

        node.clock.advance(seconds(899));
        let hit = node.send(product()).await;
        assert_eq!((hit.cache_status(), hit.header("age")), ("csu-edge; hit; ttl=1", Some("899")));
        assert_eq!(origin.requests(), 2);
        assert_eq!(node.asked("revalidate", "3xx").await, 1.0);
        assert_eq!(node.stored().await, 1.0);
    }
}

#[tokio::test]
async fn a_confirmation_that_forbids_storing_is_obeyed_and_counted() {
    let origin = Origin::start(|seen| match seen.header("if-none-match") {
        Some(_) => with_field(not_modified(), "cache-control", "no-store"),
        None => with_field(json(named("Shoe")), "etag", "\"v1\""),
    })
    .await;
    let node = Running::start(&origin.service_root(), |config| {
        config.classes.of_mut(Class::Product).stale_while_revalidate = Duration::ZERO;
    })
    .await;
    let first = node.send(product()).await;
    node.clock.advance(seconds(901));
    let got = node.send(product()).await;
    assert_eq!((got.status, &got.body), (StatusCode::OK, &first.body));
    assert_eq!(got.cache_status(), "csu-edge; fwd=stale; detail=no-store");
    assert_eq!(node.unstored("no-store").await, 1.0);
    assert_eq!(node.stored().await, 0.0, "what the origin forbade to keep is gone");
    assert_eq!(node.send(product()).await.cache_status(), "csu-edge; fwd=uri-miss; stored");
    assert_eq!(origin.last().header("if-none-match"), None);
    assert_eq!(origin.requests(), 3);
}

#[tokio::test]
async fn a_confirmation_that_nobody_asked_for_is_no_answer() {
    let origin = Origin::start(|_| not_modified()).await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    let request = with(product(), "if-none-match", "\"the client's\"");
    let got = node.send(request).await;
    assert_eq!(
        (got.status, got.error_code().as_str()),
        (StatusCode::BAD_GATEWAY, "csu-edge.origin-broken")
    );
    assert_eq!(origin.last().header("if-none-match"), None);
    assert_eq!(node.stored().await, 0.0);
}

#[tokio::test]
async fn a_client_that_has_the_answer_is_told_so_and_the_origin_is_not_asked() {
    let origin = Origin::start(|_| json(named("Shoe"))).await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    let etag = node.send(product()).await.header("etag").unwrap().to_owned();
    node.clock.advance(seconds(5));
    let got = node.send(with(product(), "if-none-match", &etag)).await;
    assert_eq!((got.status, got.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!((got.header("etag"), got.header("age")), (Some(&*etag), Some("5")));
    assert!(got.is_hit());
    // A POST has no such condition.
    let first = node.send(price()).await;
    let etag = first.header("etag").unwrap();
    let second = node.send(with(price(), "if-none-match", etag)).await;
    assert_eq!((second.status, second.body), (StatusCode::OK, first.body.clone()));
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn a_head_is_answered_from_the_stored_get() {
    let origin = Origin::start(|_| json(named("Shoe"))).await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    let length = node.send(product()).await.body.len().to_string();
    let head = Request::head(product().uri().clone()).body(String::new()).unwrap();
    let got = node.send(head).await;
    assert_eq!((got.status, got.header("content-length")), (StatusCode::OK, Some(&*length)));
    assert!(got.is_hit() && got.body.is_empty());
    assert_eq!(origin.requests(), 1);
}
