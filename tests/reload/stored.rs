//! What was stored by the configuration before.

use std::time::Duration;

use csu_edge::config::{Config, GenericPolicy, OperationRule};
use csu_edge::node::Reloaded;
use csu_edge::operation::Class;
use http::StatusCode;
use serde_json::json;

use crate::support::node::{Got, Running, request, with};
use crate::support::origin::{Origin, json as answer, price_of, with_field, with_status};
use crate::support::reads::{PRODUCT, categories, price};
use crate::{PRICES, as_inventory};

const SECOND: Duration = Duration::from_secs(1);

async fn selling() -> Origin {
    Origin::start(|_| answer(price_of(PRODUCT, "82000", 79.9))).await
}

async fn node(origin: &Origin) -> Running {
    Running::start(&origin.service_root(), |_| {}).await
}

fn prices_last(seconds: u32) -> impl FnOnce(&mut Config) {
    move |config| {
        let lifetimes = config.classes.of_mut(Class::Price);
        lifetimes.fresh_for = seconds * SECOND;
        lifetimes.stale_if_error = Duration::ZERO;
    }
}

fn status(got: &Got) -> &str {
    assert_eq!(got.status, StatusCode::OK, "{got:?}");
    got.cache_status()
}

#[tokio::test]
async fn a_shorter_lifetime_holds_at_once_for_what_is_stored_already() {
    let origin = selling().await;
    let node = node(&origin).await;
    node.send(price()).await;
    node.clock.advance(100 * SECOND);
    assert_eq!(status(&node.send(price()).await), "csu-edge; hit; ttl=200");
    assert_eq!(node.reload(prices_last(150)), Reloaded::Applied);
    // Twice: as it was found, and as it is held by then.
    for _ in 0..2 {
        assert_eq!(status(&node.send(price()).await), "csu-edge; hit; ttl=50");
    }
    node.reload(prices_last(60));
    assert!(!node.send(price()).await.is_hit());
    assert_eq!(origin.requests(), 2);
    // Nor is what has ended used where the origin fails.
    node.clock.advance(61 * SECOND);
    origin.answer(|_| with_status(StatusCode::BAD_GATEWAY, "{}"));
    assert_eq!(node.send(price()).await.status, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn an_answer_that_is_kept_whole_is_held_to_it_too_and_so_is_that_there_is_none() {
    let origin = Origin::start(|seen| match seen.target.contains("GetCategories") {
        true => answer(r#"{"value":[]}"#),
        false => with_status(StatusCode::NOT_FOUND, "{}"),
    })
    .await;
    let node = node(&origin).await;
    let absent = || request("GET", "/Commerce/Products(1)/GetById(channelId=1)", &[]);
    for asked in [categories(), absent()] {
        node.send(asked).await;
    }
    node.clock.advance(20 * SECOND);
    assert!(node.send(categories()).await.is_hit() && node.send(absent()).await.is_hit());
    node.reload(|config| {
        config.absent.fresh_for = 10 * SECOND;
        config.classes.of_mut(Class::Category).fresh_for = 10 * SECOND;
    });
    let category = node.send(categories()).await;
    assert!(category.cache_status().contains("ttl=-10"), "{category:?}");
    assert!(!node.send(absent()).await.is_hit());
}

#[tokio::test]
async fn a_longer_lifetime_is_for_what_is_stored_from_then_on() {
    let origin = selling().await;
    let node = node(&origin).await;
    node.send(price()).await;
    node.reload(prices_last(3_600));
    node.clock.advance(299 * SECOND);
    assert!(node.send(price()).await.is_hit());
    node.clock.advance(SECOND);
    assert!(!node.send(price()).await.is_hit());
    node.clock.advance(3_599 * SECOND);
    assert!(node.send(price()).await.is_hit());
}

#[tokio::test]
async fn purges_are_remembered_for_as_long_as_the_longer_lifetime() {
    let origin = selling().await;
    let node = node(&origin).await;
    // Longer than anything that this node stored when it began: a day and a half hour.
    let day = 24 * 3_600;
    node.reload(prices_last(10 * day));
    origin.hold();
    let asking = async {
        origin.arrived(1).await;
        node.push(&json!({"class": "price", "items": ["82000"]})).await;
        origin.release();
    };
    // Its fetch left before the purge.
    tokio::join!(node.send(price()), asking);
    node.clock.advance(2 * day * SECOND);
    // What is old is forgotten once a minute; a purge of another thing shows that it was looked at.
    for _ in 0..3 {
        node.clock.advance(61 * SECOND);
        node.control("/metrics").await;
    }
    assert!(!node.send(price()).await.is_hit());
}

#[tokio::test]
async fn what_was_stored_by_another_definition_is_not_used_and_purges_reach_it_all_the_while() {
    let origin = selling().await;
    let node = node(&origin).await;
    node.send(price()).await;
    assert!(node.send(price()).await.is_hit());

    node.reload(as_inventory);
    assert_eq!(status(&node.send(price()).await), "csu-edge; fwd=uri-miss; stored");
    assert!(node.send(price()).await.is_hit());
    // By its class of now, and by its class of before.
    for class in ["inventory", "price"] {
        let purge = json!({"tags": [format!("{class}/product:{PRODUCT}")], "mode": "hard"});
        node.control_post("/purge", &purge).await;
        assert!(!node.send(price()).await.is_hit(), "{class}");
    }
    assert_eq!(origin.requests(), 4);

    // What was purged meanwhile is not found again.
    node.reload(|config| config.operations.clear());
    assert!(!node.send(price()).await.is_hit());
    node.reload(as_inventory);
    assert!(node.send(price()).await.is_hit(), "nothing has purged it");
}

#[tokio::test]
async fn every_change_of_a_definition_but_of_its_times_and_sizes_is_another_one() {
    let origin = selling().await;
    let node = node(&origin).await;
    let rule = || OperationRule { name: PRICES.to_owned(), ..OperationRule::default() };
    let mut changes: Vec<(bool, OperationRule)> = Vec::new();
    for same in [true, false] {
        let mut change = |change: fn(&mut OperationRule)| {
            let mut rule = rule();
            change(&mut rule);
            changes.push((same, rule));
        };
        if same {
            change(|rule| rule.fresh_for = Some(200 * SECOND));
            change(|rule| rule.stale_if_error = Some(9 * SECOND));
            change(|rule| rule.decompose.max_ids = Some(7));
        } else {
            change(|rule| rule.identity = Some(csu_edge::operation::Identity::Token));
            change(|rule| rule.sets = Some(vec!["affiliationLoyaltyTiers".to_owned()]));
            change(|rule| rule.decompose.item_id = Some("RecordId".to_owned()));
            change(|rule| rule.decompose.enabled = Some(false));
            change(|rule| rule.class = Some(Class::Search));
        }
    }
    node.send(price()).await;
    for (is_same, rule) in changes {
        node.reload(|config| config.operations = vec![rule.clone()]);
        let told = node.control_post("/explain", &explained()).await.text();
        let stored = if told.contains("\"pieces\"") { "\"fresh\":1" } else { "\"stored\":true" };
        assert_eq!(told.contains(stored), is_same, "{rule:?}: {told}");
    }
}

fn explained() -> serde_json::Value {
    let (head, body) = price().into_parts();
    let headers = json!({"content-type": "application/json"});
    json!({"method": "POST", "url": head.uri.to_string(), "headers": headers, "body": body})
}

#[tokio::test]
async fn an_operation_that_is_taken_out_passes_from_then_on() {
    let origin = selling().await;
    let node = node(&origin).await;
    node.send(price()).await;
    let cache = Some(false);
    let taken_out = OperationRule { name: PRICES.to_owned(), cache, ..OperationRule::default() };
    node.reload(|config| config.operations = vec![taken_out]);
    let passed = node.send(price()).await;
    assert_eq!(status(&passed), "csu-edge; fwd=bypass; detail=not-in-catalogue");
    node.reload(|config| config.operations.clear());
    assert!(node.send(price()).await.is_hit());
    assert_eq!(node.answered(PRICES, "hit").await, 1.0);
}

#[tokio::test]
async fn a_fetch_that_left_before_answers_its_own_client_and_nobody_after() {
    let origin = selling().await;
    let node = node(&origin).await;
    origin.hold();
    let change = async {
        origin.arrived(1).await;
        node.reload(as_inventory);
        origin.release();
    };
    let (first, ()) = tokio::join!(node.send(price()), change);
    assert_eq!(first.price(), 79.9);
    assert!(!node.send(price()).await.is_hit());
    assert!(node.send(price()).await.is_hit());
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn an_operation_that_is_new_is_stored_and_counted_by_its_name() {
    let origin = Origin::start(|_| answer(r#"{"value":[]}"#)).await;
    let node = node(&origin).await;
    let ask = || request("GET", "/Commerce/Banners/GetAll()", &[]);
    assert!(node.send(ask()).await.cache_status().contains("not-in-catalogue"));
    node.reload(|config| {
        config.operations = vec![OperationRule {
            name: "Banners/GetAll".to_owned(),
            method: Some(http::Method::GET),
            class: Some(Class::Configuration),
            ..OperationRule::default()
        }];
    });
    node.send(ask()).await;
    assert!(node.send(ask()).await.is_hit());
    assert_eq!(node.answered("Banners/GetAll", "hit").await, 1.0);
}

fn by_http(config: &mut Config) {
    config.generic.policy = GenericPolicy::Rfc9111;
}

fn by_name(config: &mut Config) {
    config.generic.policy = GenericPolicy::Pass;
}

#[tokio::test]
async fn a_write_invalidates_a_url_while_none_is_served_from_store() {
    let origin = Origin::start(|_| with_field(answer("{}"), "cache-control", "max-age=3600")).await;
    let node = Running::start(&origin.service_root(), by_http).await;
    let page = || request("GET", "/Commerce/page", &[]);
    node.send(page()).await;
    assert!(node.send(page()).await.is_hit());
    node.reload(by_name);
    assert!(!node.send(page()).await.is_hit());
    node.reload(by_http);
    assert!(node.send(page()).await.is_hit());
    node.reload(by_name);
    node.send(request("PUT", "/Commerce/page", &[])).await;
    node.reload(by_http);
    assert!(!node.send(page()).await.is_hit());
}

#[tokio::test]
async fn what_other_rules_of_http_have_stored_is_not_used() {
    let cookie = |_: &_| {
        let kept = with_field(answer("{}"), "cache-control", "max-age=3600");
        with_field(kept, "set-cookie", "a=b")
    };
    let origin = Origin::start(cookie).await;
    let node = Running::start(&origin.service_root(), by_http).await;
    let page = || request("GET", "/Commerce/page", &[]);
    node.send(page()).await;
    assert!(node.send(page()).await.is_hit());
    node.reload(|config| config.generic.store_set_cookie = false);
    for _ in 0..2 {
        assert!(!node.send(page()).await.is_hit());
    }
    node.reload(|config| {
        config.generic.store_set_cookie = true;
        config.generic.max_fresh_for = 100 * SECOND;
    });
    let hit = node.send(page()).await;
    assert_eq!(hit.cache_status(), "csu-edge; hit; ttl=100");
}

#[tokio::test]
async fn what_is_kept_by_token_stays_with_its_token() {
    let origin = selling().await;
    let by = |identity| {
        move |config: &mut Config| {
            let identity = Some(identity);
            let name = PRICES.to_owned();
            config.operations = vec![OperationRule { name, identity, ..OperationRule::default() }];
        }
    };
    let node =
        Running::start(&origin.service_root(), by(csu_edge::operation::Identity::Token)).await;
    let ask = |token: &str| with(price(), "authorization", &format!("Bearer {token}"));
    node.send(ask("one")).await;
    assert!(node.send(ask("one")).await.is_hit());
    assert!(!node.send(ask("two")).await.is_hit());
    node.reload(by(csu_edge::operation::Identity::Shared));
    node.send(ask("one")).await;
    assert!(node.send(ask("two")).await.is_hit());
    node.reload(by(csu_edge::operation::Identity::Token));
    assert!(node.send(ask("two")).await.is_hit(), "its own, of before");
    assert!(!node.send(ask("three")).await.is_hit());
}
