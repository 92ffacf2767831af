//! What holds from the next request on, what needs a restart, and what is told of it.

use std::time::Duration;

use csu_edge::config::{AllowedOrigins, Config, Cors, Secret};
use csu_edge::node::Reloaded;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::support::node::{Got, Running, post, with};
use crate::support::origin::{Origin, json as answer, price_of};
use crate::support::raw::{Manner, RawOrigin};
use crate::support::reads::{PRODUCT, get, price};
use crate::support::wire::{Wire, field};

const WEB: &str = "https://shop.example";

fn answers_cors(config: &mut Config) {
    config.cors = Some(Cors::for_origins(AllowedOrigins::Listed(vec![WEB.parse().unwrap()])));
}

async fn selling() -> Origin {
    Origin::start(|_| answer(price_of(PRODUCT, "82000", 79.9))).await
}

async fn reloads(node: &Running, result: &str) -> f64 {
    node.metric(&format!("csu_edge_config_reloads_total{{result=\"{result}\"}}")).await
}

async fn configuration(node: &Running) -> Value {
    node.control("/version").await.json()["configuration"].take()
}

#[tokio::test]
async fn a_connection_that_is_open_goes_on_by_the_new_configuration() {
    let origin = selling().await;
    let node = Running::start(&origin.service_root(), |config| config.listen.workers = 1).await;
    let mut wire = Wire::connect(node.node.addresses().storefront).await;
    let body = r#"{"productIds":[68719489871]}"#;
    let asked = format!(
        "POST /Commerce/Products/GetActivePrices HTTP/1.1\r\nhost: shop\r\norigin: {WEB}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut allowed = Vec::new();
    for change in [|_: &mut Config| {}, answers_cors, |config: &mut Config| config.cors = None] {
        node.reload(change);
        // Until it is given again without being read, which the next configuration must end.
        for _ in 0..4 {
            wire.send(&asked).await;
            let (head, _) = wire.message().await;
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            allowed.push(field(&head, "access-control-allow-origin"));
        }
    }
    let web = Some(WEB.to_owned());
    assert_eq!(allowed, [vec![None; 4], vec![web; 4], vec![None; 4]].concat());
    assert!(node.metric("csu_edge_repeated_hits_total").await >= 3.0);
    assert_eq!(node.metric("csu_edge_connections{listener=\"storefront\"}").await, 1.0);
    assert_eq!(origin.requests(), 1);
}

fn event(token: &str) -> Request<String> {
    let event = json!({"class": "price", "items": ["82000"]}).to_string();
    with(post("/ingest/cdx", &event), "authorization", &format!("Bearer {token}"))
}

#[tokio::test]
async fn a_token_is_replaced_by_another() {
    let origin = selling().await;
    let tokens = |tokens: &'static [&'static str]| {
        move |config: &mut Config| {
            let secret = |token: &&str| Secret::new((*token).to_owned());
            config.ingest.bearer_tokens = tokens.iter().map(secret).collect();
        }
    };
    let node = Running::start(&origin.service_root(), tokens(&["first"])).await;
    let mut accepted = Vec::new();
    for configured in [&["first"][..], &["first", "second"], &["second"]] {
        node.reload(tokens(configured));
        for token in ["first", "second"] {
            let ingest = node.node.addresses().ingest;
            accepted.push(node.send_to(ingest, event(token)).await.status.as_u16());
        }
    }
    assert_eq!(accepted, [200, 401, 200, 200, 401, 200]);
}

#[tokio::test]
async fn what_is_remembered_against_replay_is_so_by_the_new_configuration() {
    let origin = selling().await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    let event = json!({
        "specversion": "1.0", "id": "1", "source": "urn:a", "type": "csu.cdx.price.changed",
        "data": {"items": ["82000"]},
    });
    let push = || async {
        let request = with(post("/ingest/cdx", &event.to_string()), "x", "y");
        let mut request = request;
        let media_type = "application/cloudevents+json".parse().unwrap();
        request.headers_mut().insert("content-type", media_type);
        node.send_to(node.node.addresses().ingest, request).await.json()
    };
    assert_eq!(push().await["duplicates"], Value::Null);
    node.reload(|config| config.ingest.tolerance = Duration::from_secs(60));
    assert_eq!(push().await["duplicates"], 1);
    node.reload(|config| config.ingest.body_bytes = 1_024);
    let long = post("/ingest/cdx", &format!("{{\"class\":\"{}\"}}", "a".repeat(2_000)));
    let refused = node.send_to(node.node.addresses().ingest, long).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn an_origin_is_waited_for_as_long_as_it_is_said_now() {
    let origin = RawOrigin::start(Manner::Hang).await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    node.reload(|config| config.origin.first_byte_timeout = Duration::from_millis(50));
    assert_eq!(node.send(price()).await.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(node.send(get("/Commerce/unknown")).await.status, StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn what_a_body_may_be_is_as_it_is_said_now() {
    let origin = selling().await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    node.reload(|config| config.limits.keyed_body_bytes = 10);
    let passed = node.send(price()).await;
    assert!(passed.cache_status().contains("body-too-large"), "{passed:?}");
    node.reload(|config| {
        config.limits.keyed_body_bytes = 10_000;
        config.limits.stored_body_bytes = 10;
    });
    let unstored = node.send(price()).await;
    assert!(unstored.cache_status().contains("too-large"), "{unstored:?}");
}

#[tokio::test]
async fn what_needs_a_restart_stays_and_the_rest_is_in_force() {
    let origin = selling().await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    let at_start = configuration(&node).await;
    assert_eq!(at_start["needsRestart"], json!([]));
    assert_eq!(at_start["loadedAt"], node.clock.now().to_string());
    node.clock.advance(Duration::from_secs(60));

    let reloaded = node.reload(|config| {
        config.memory.max_bytes += 1;
        config.origin.service_root = "http://127.0.0.1:1/Commerce".parse().unwrap();
        answers_cors(config);
    });
    assert_eq!(reloaded, Reloaded::Applied);
    let asked: Got = node.send(with(price(), "origin", WEB)).await;
    assert_eq!(asked.status, StatusCode::OK, "of the origin as it was");
    assert_eq!(asked.header("access-control-allow-origin"), Some(WEB));
    let now = configuration(&node).await;
    assert_eq!(now["needsRestart"], json!(["origin.service_root", "memory.max_bytes"]));
    assert_eq!(now["loadedAt"], node.clock.now().to_string());
    assert_ne!(now["digest"], at_start["digest"]);

    // Once more, it is nothing new.
    node.clock.advance(Duration::from_secs(60));
    assert_eq!(node.reload(|_| {}), Reloaded::Unchanged);
    assert_eq!(configuration(&node).await, now);
    let back = node.reload(|config| {
        config.memory.max_bytes -= 1;
        config.origin.service_root = origin.service_root().parse().unwrap();
        config.cors = None;
    });
    assert_eq!(back, Reloaded::Applied);
    let back = configuration(&node).await;
    assert_eq!((&back["digest"], &back["needsRestart"]), (&at_start["digest"], &json!([])));
    let loaded = node.metric("csu_edge_config_loaded_timestamp_seconds").await;
    assert_eq!(loaded, (node.clock.now().as_millis() / 1_000) as f64);
    assert_eq!((reloads(&node, "applied").await, reloads(&node, "unchanged").await), (2.0, 1.0));
    assert_eq!(reloads(&node, "refused").await, 0.0);
}

#[tokio::test]
async fn settings_that_cannot_be_used_change_nothing() {
    let origin = selling().await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    let before = configuration(&node).await;
    let refused = node.reload(|config| {
        answers_cors(config);
        config.ingest.hmac_secrets = vec![Secret::new("none of them".to_owned())];
    });
    assert_eq!(refused, Reloaded::Refused);
    let asked = node.send(with(price(), "origin", WEB)).await;
    assert_eq!(asked.header("access-control-allow-origin"), None);
    assert_eq!(configuration(&node).await, before);
    assert_eq!(reloads(&node, "refused").await, 1.0);
    assert_eq!(node.metric("csu_edge_config_usable").await, 0.0);
    node.push(&json!({"class": "price", "items": ["82000"]})).await;

    node.reload(|config| config.ingest.hmac_secrets.clear());
    assert_eq!(node.metric("csu_edge_config_usable").await, 1.0);
}

#[tokio::test]
async fn what_is_hot_is_fetched_after_a_purge_by_the_engine_in_force() {
    let origin = selling().await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    node.reload(|config| {
        config.refresh.after_purge = vec![csu_edge::operation::Class::Price];
    });
    // One hit in sixteen is counted.
    for _ in 0..500 {
        node.send(price()).await;
    }
    let before = origin.requests();
    node.push(&json!({"class": "price", "items": ["82000"]})).await;
    let refreshed = async {
        while origin.requests() == before {
            node.clock.advance(Duration::from_millis(10));
            tokio::task::yield_now().await;
        }
    };
    crate::support::wire::soon(refreshed).await;
    assert_eq!(
        node.metric("csu_edge_origin_gate_admitted_total{priority=\"after-purge\"}").await,
        1.0
    );
}
