//! Whose answers a request may be given: credentials, partitions, and what never mixes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test panics"
)]

mod support;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use csu_edge::config::{Config, OperationRule};
use csu_edge::operation::Identity;
use csu_edge::sandbox::{Sandbox, Settings};
use http::{Request, StatusCode};
use serde_json::json;
use support::node::{Got, Running, START, with};
use support::origin::{Origin, Seen, json as answer, with_field, with_status};
use support::reads::{price, tender_types};

const PRICES: &str = "Products/GetActivePrices";

/// An origin whose answer tells whom it took the client for.
async fn origin_by_identity() -> Origin {
    Origin::start(|seen| answer(json!({"value": [], "for": asker(seen)}).to_string())).await
}

fn asker(seen: &Seen) -> String {
    seen.header("authorization").unwrap_or("anonymous").to_owned()
}

fn told(got: &Got) -> String {
    got.json()["for"].as_str().unwrap().to_owned()
}

fn signed_in(authorization: &str) -> Request<String> {
    with(price(), "authorization", authorization)
}

fn token(subject: &str, lives: Duration) -> String {
    let exp = (START + lives).as_millis() / 1_000;
    let claims = json!({"sub": subject, "exp": exp}).to_string();
    let parts = [r#"{"alg":"RS256"}"#, &claims, "signature"];
    format!("id_token {}", parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join("."))
}

fn with_rule(identity: Identity) -> impl FnOnce(&mut Config) {
    move |config| {
        config.operations = vec![OperationRule {
            name: PRICES.to_owned(),
            identity: Some(identity),
            ..OperationRule::default()
        }];
    }
}

#[tokio::test]
async fn by_default_whoever_is_signed_in_passes_and_touches_no_stored_answer() {
    let origin = origin_by_identity().await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    let bypass = "csu-edge; fwd=bypass; detail=credentials";
    let check = async |asked: usize| {
        let got = node.send(signed_in("Bearer a")).await;
        assert_eq!((got.cache_status(), told(&got).as_str()), (bypass, "Bearer a"));
        assert_eq!(origin.requests(), asked);
    };
    check(1).await;
    assert_eq!(node.stored().await, 0.0, "what was passed is not stored");
    let anonymous = node.send(price()).await;
    assert_eq!(anonymous.cache_status(), "csu-edge; fwd=uri-miss; stored");
    assert_eq!(told(&anonymous), "anonymous");
    check(3).await;
    check(4).await;
    let hit = node.send(price()).await;
    assert_eq!((hit.is_hit(), told(&hit).as_str()), (true, "anonymous"));
    assert_eq!(node.answered(PRICES, "pass").await, 3.0);
    assert_eq!(node.asked("pass", "2xx").await, 3.0);
    assert_eq!(node.stored().await, 1.0);
}

#[tokio::test]
async fn credentials_without_a_value_are_credentials_all_the_same() {
    let origin = origin_by_identity().await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    node.send(price()).await;
    let got = node.send(signed_in("")).await;
    assert_eq!(got.cache_status(), "csu-edge; fwd=bypass; detail=credentials");
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn with_the_token_rule_each_token_has_answers_of_its_own() {
    let origin = origin_by_identity().await;
    let node = Running::start(&origin.service_root(), with_rule(Identity::Token)).await;
    let (one, two) = (token("1", Duration::from_secs(3600)), token("2", Duration::from_secs(3600)));
    let opaque = "Bearer opaque";
    for (asked, authorization) in [&*one, &*two, opaque].into_iter().enumerate() {
        let first = node.send(signed_in(authorization)).await;
        assert_eq!(first.cache_status(), "csu-edge; fwd=uri-miss; stored");
        assert_eq!(origin.last().header("authorization"), Some(authorization));
        assert_eq!(origin.requests(), asked + 1);
    }
    let anonymous = node.send(price()).await;
    assert_eq!(told(&anonymous), "anonymous");
    assert_eq!(origin.last().header("authorization"), None);
    for authorization in [&*one, &*two, opaque] {
        let hit = node.send(signed_in(authorization)).await;
        assert_eq!((hit.is_hit(), told(&hit).as_str()), (true, authorization));
    }
    assert!(node.send(price()).await.is_hit());
    assert_eq!(origin.requests(), 4);
    assert_eq!(node.stored().await, 4.0);
    assert_eq!(node.answered(PRICES, "hit").await, 4.0);
}

#[tokio::test]
async fn no_answer_outlives_the_token_that_it_was_fetched_with() {
    let origin = origin_by_identity().await;
    let node = Running::start(&origin.service_root(), with_rule(Identity::Token)).await;
    let token = token("1", Duration::from_secs(100));
    node.send(signed_in(&token)).await;
    node.clock.advance(Duration::from_secs(99));
    let hit = node.send(signed_in(&token)).await;
    assert_eq!(hit.cache_status(), "csu-edge; hit; ttl=1", "of the 300 s that a price has");
    node.clock.advance(Duration::from_secs(1));
    for asked in 2..=3 {
        let got = node.send(signed_in(&token)).await;
        assert_eq!(got.cache_status(), "csu-edge; fwd=bypass; detail=credential-expired");
        assert_eq!(origin.last().header("authorization"), Some(&*token));
        assert_eq!(origin.requests(), asked);
    }
    assert_eq!(node.answered(PRICES, "pass").await, 2.0);
}

#[tokio::test]
async fn a_token_that_ends_while_its_answer_is_fetched_leaves_nothing_behind() {
    let origin = origin_by_identity().await;
    let node = Running::start(&origin.service_root(), with_rule(Identity::Token)).await;
    let token = token("1", Duration::from_secs(100));
    origin.hold();
    let end_meanwhile = async {
        origin.arrived(1).await;
        node.clock.advance(Duration::from_secs(100));
        origin.release();
    };
    let (got, ()) = tokio::join!(node.send(signed_in(&token)), end_meanwhile);
    assert_eq!((got.status, told(&got)), (StatusCode::OK, token));
    assert_eq!(got.cache_status(), "csu-edge; fwd=uri-miss; detail=credential-ends");
    assert_eq!(node.unstored("credential-ends").await, 1.0);
    assert_eq!(node.stored().await, 0.0);
}

#[tokio::test]
async fn a_stale_answer_serves_its_own_token_alone() {
    let origin = origin_by_identity().await;
    let node = Running::start(&origin.service_root(), with_rule(Identity::Token)).await;
    let (one, two) = (token("1", Duration::from_secs(3600)), token("2", Duration::from_secs(3600)));
    node.send(signed_in(&one)).await;
    node.clock.advance(Duration::from_secs(330));
    origin.answer(|_| with_status(StatusCode::SERVICE_UNAVAILABLE, "{}"));
    let mine = node.send(signed_in(&one)).await;
    assert_eq!((mine.status, told(&mine)), (StatusCode::OK, one));
    assert!(mine.cache_status().ends_with("detail=stale-if-error"));
    for other in [signed_in(&two), price()] {
        assert_eq!(node.send(other).await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[tokio::test]
async fn two_tokens_are_not_collapsed_onto_one_fetch() {
    let origin = origin_by_identity().await;
    let node = Running::start(&origin.service_root(), with_rule(Identity::Token)).await;
    origin.hold();
    let release = async {
        origin.arrived(3).await;
        origin.release();
    };
    let ask = |authorization: &'static str| node.send(signed_in(authorization));
    let (a, b, anonymous, ()) =
        tokio::join!(ask("Bearer a"), ask("Bearer b"), node.send(price()), release);
    assert_eq!([told(&a), told(&b), told(&anonymous)], ["Bearer a", "Bearer b", "anonymous"]);
    assert_eq!(origin.requests(), 3);
}

#[tokio::test]
async fn a_forged_token_is_the_origins_to_refuse_and_costs_nobody_else_anything() {
    let origin = Origin::start(|seen| match seen.header("authorization") {
        None => answer(r#"{"value":[],"for":"anonymous"}"#),
        Some(_) => with_status(StatusCode::UNAUTHORIZED, r#"{"error":{"code":"Forged"}}"#),
    })
    .await;
    let node = Running::start(&origin.service_root(), with_rule(Identity::Token)).await;
    let forged = token("admin", Duration::from_secs(1 << 30));
    for asked in 1..=2 {
        let got = node.send(signed_in(&forged)).await;
        assert_eq!((got.status, got.error_code().as_str()), (StatusCode::UNAUTHORIZED, "Forged"));
        assert_eq!(origin.requests(), asked);
    }
    assert_eq!(node.stored().await, 0.0);
    assert_eq!(told(&node.send(price()).await), "anonymous");
    assert_eq!(node.send(signed_in(&forged)).await.status, StatusCode::UNAUTHORIZED);
    assert!(node.send(price()).await.is_hit());
}

#[tokio::test]
async fn with_the_shared_rule_everybody_has_the_anonymous_answer() {
    let origin = origin_by_identity().await;
    let node = Running::start(&origin.service_root(), with_rule(Identity::Shared)).await;
    let first = node.send(signed_in("Bearer a")).await;
    assert_eq!(
        (first.cache_status(), told(&first).as_str()),
        ("csu-edge; fwd=uri-miss; stored", "anonymous")
    );
    assert_eq!(origin.last().header("authorization"), None);
    for request in [price(), signed_in("Bearer a"), signed_in("Bearer b")] {
        let got = node.send(request).await;
        assert_eq!((got.is_hit(), told(&got).as_str()), (true, "anonymous"));
    }
    // Another operation keeps its own rule.
    let other = node.send(with(tender_types(), "authorization", "Bearer a")).await;
    assert_eq!(other.cache_status(), "csu-edge; fwd=bypass; detail=credentials");
    assert_eq!(origin.requests(), 2);
    assert_eq!(node.stored().await, 1.0);
}

#[tokio::test]
async fn repeated_credentials_pass_whatever_the_rule() {
    for rule in [Identity::Bypass, Identity::Token, Identity::Shared] {
        let origin = origin_by_identity().await;
        let node = Running::start(&origin.service_root(), with_rule(rule)).await;
        for asked in 1..=2 {
            let got = node.send(with(signed_in("Bearer a"), "authorization", "Bearer b")).await;
            assert_eq!(got.cache_status(), "csu-edge; fwd=bypass; detail=credentials-repeated");
            assert_eq!(origin.requests(), asked);
        }
        assert_eq!(origin.last().headers.get_all("authorization").iter().count(), 2);
        assert_eq!(node.stored().await, 0.0);
    }
}

#[tokio::test]
async fn a_cookie_is_no_credential_and_is_neither_sent_nor_set() {
    let origin = Origin::start(|_| {
        let answer = with_field(answer(r#"{"value":[]}"#), "set-cookie", "session=1; Path=/");
        with_field(answer, "set-cookie", "b=2")
    })
    .await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    let first = node.send(with(price(), "cookie", "session=alice")).await;
    assert_eq!(origin.last().header("cookie"), None);
    let second = node.send(with(price(), "cookie", "session=bob")).await;
    assert_eq!((first.header("set-cookie"), second.header("set-cookie")), (None, None));
    assert!(second.is_hit());
    // A read that is not stored is no way around that.
    origin.answer(|_| with_field(with_status(StatusCode::FORBIDDEN, "{}"), "set-cookie", "c=3"));
    node.clock.advance(Duration::from_secs(301));
    let refused = node.send(with(price(), "cookie", "session=alice")).await;
    assert_eq!((refused.status, refused.header("set-cookie")), (StatusCode::FORBIDDEN, None));
    assert_eq!(origin.requests(), 2);
}

/// Signed-in customers may not use catalogue 0, whereas everybody else must.
#[tokio::test]
async fn a_refusal_for_the_signed_in_and_an_answer_for_the_anonymous_do_not_mix() {
    for rule in [Identity::Bypass, Identity::Token] {
        let clock = csu_edge::clock::Clock::manual(START);
        let sandbox = Sandbox::start(Settings::default(), clock).await.unwrap();
        let node = Running::start(&sandbox.service_root(), with_rule(rule)).await;
        let authorization = format!("Bearer {}", sandbox.token_for("2001").unwrap());
        for round in 1..=2_u64 {
            let anonymous = node.send(price()).await;
            assert_eq!((anonymous.status, anonymous.is_hit()), (StatusCode::OK, round == 2));
            let refused = node.send(signed_in(&authorization)).await;
            assert!(refused.status.is_client_error(), "{rule:?}: {refused:?}");
            assert!(refused.error_code().starts_with("Microsoft.Dynamics."), "{refused:?}");
            assert_eq!(sandbox.requests(PRICES), 1 + round);
        }
        assert_eq!(node.stored().await, 1.0);
    }
}

#[tokio::test]
async fn customers_who_ask_about_the_same_product_each_get_their_own_price() {
    let clock = csu_edge::clock::Clock::manual(START);
    let sandbox = Sandbox::start(Settings::default(), clock).await.unwrap();
    let node = Running::start(&sandbox.service_root(), with_rule(Identity::Token)).await;
    let ask = async |account: &str, catalogue: u64| {
        let authorization = format!("Bearer {}", sandbox.token_for(account).unwrap());
        let catalogue = format!("\"CatalogId\":{catalogue}");
        let request = signed_in(&authorization);
        node.send(request.map(|body| body.replace("\"CatalogId\":0", &catalogue))).await
    };
    const SEASON: u64 = 5_637_160_000;
    let [one, two] = [ask("2001", SEASON).await, ask("2002", SEASON).await];
    assert!(one.price() > two.price(), "{one:?} {two:?}");
    for (account, first) in [("2001", one), ("2002", two)] {
        let again = ask(account, SEASON).await;
        assert_eq!((again.is_hit(), again.body), (true, first.body));
    }
    assert_eq!(sandbox.requests(PRICES), 2);
}
