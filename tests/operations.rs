//! What operators see of a whole node: metrics, health, purges, explanations, deliveries, logs.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test panics"
)]

mod support;

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use csu_edge::config::Secret;
use http::StatusCode;
use serde_json::{Value, json};
use support::node::{Got, Running, START, post, request};
use support::origin::{Origin, json as answer, price_of};
use support::process;
use support::redis::server::Server;
use support::shop::SECRET;
use support::wire::Wire;

const PRODUCT: &str = "/Commerce/Products(68719489871)/GetById(channelId=5637154326)";
const SOFTLY_PURGED: &str = "csu-edge; hit; ttl=0; detail=stale-while-revalidate";
const CANARY: &str = "canary-5f2e";

async fn origin() -> Origin {
    Origin::start(|seen| {
        answer(match seen.target.contains("GetActivePrices") {
            true => price_of(68_719_489_871, "82000", 79.9),
            false => r#"{"RecordId":68719489871,"ItemId":"82000"}"#.to_owned(),
        })
    })
    .await
}

async fn node_before(origin: &Origin) -> Running {
    Running::start(&origin.service_root(), |_| {}).await
}

async fn purge(node: &Running, tags: &[&str], mode: &str) -> Got {
    let got = node.control_post("/purge", &json!({"tags": tags, "mode": mode})).await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.text());
    got
}

async fn explain(node: &Running, asked: Value) -> Value {
    let got = node.control_post("/explain", &asked).await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.text());
    got.json()
}

#[tokio::test]
async fn the_metrics_tell_all_that_is_promised_and_no_id() {
    let origin = origin().await;
    let node = node_before(&origin).await;
    for _ in 0..2 {
        node.prices(&[68_719_489_871]).await;
    }
    node.get(PRODUCT).await;
    node.get(&format!("/Commerce/Carts('{CANARY}')")).await;
    let event = json!({
        "specversion": "1.0", "id": CANARY, "source": CANARY, "time": START.to_string(),
        "type": "csu.cdx.price.changed", "data": {"items": [CANARY]},
    });
    let mut delivery = post("/ingest/cdx", &event.to_string());
    let media_type = "application/cloudevents+json".parse().unwrap();
    delivery.headers_mut().insert("content-type", media_type);
    for _ in 0..2 {
        let got = node.send_to(node.node.addresses().ingest, delivery.clone()).await;
        assert_eq!(got.status, StatusCode::OK);
    }
    node.push(&json!({"type": format!("csu.cdx.{CANARY}")})).await;
    purge(&node, &["product/item:canary-5f2e"], "soft").await;
    let refused = post("/ingest/cdx", "{");
    node.send_to(node.node.addresses().ingest, refused).await;

    let got = node.control("/metrics").await;
    assert!(got.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let text = got.text();
    for series in [
        "csu_edge_build_info{version=",
        "csu_edge_requests_total{class=\"price\",operation=\"Products/GetActivePrices\",result=\"hit\"} 1",
        "csu_edge_requests_total{class=\"none\",operation=\"other\",result=\"pass\"} 1",
        "csu_edge_request_duration_seconds_bucket{result=\"hit\",le=\"0.001\"} 1",
        "csu_edge_request_duration_seconds_count{result=\"miss\"} 2",
        "csu_edge_origin_requests_total{outcome=\"2xx\",purpose=\"fetch\"} 2",
        "csu_edge_origin_requests_total{outcome=\"2xx\",purpose=\"pass\"} 1",
        "csu_edge_origin_request_duration_seconds_count{purpose=\"fetch\"} 2",
        "csu_edge_origin_in_flight 0",
        "csu_edge_origin_throttled_total 0",
        "csu_edge_stored_bytes{tier=\"memory\"} ",
        "csu_edge_stored_entries{tier=\"memory\"} 2",
        "csu_edge_collapse_waiters 0",
        "csu_edge_purge_events_total{source=",
        "csu_edge_purge_lag_seconds_count 1",
        "csu_edge_purge_applied_sequence 2",
        "csu_edge_purge_remembered_tags ",
        "csu_edge_purges_scheduled 0",
        "csu_edge_purges_total{source=\"operator\"} 1",
        "csu_edge_purged_tags_total ",
        "csu_edge_duplicate_events_total 1",
        "csu_edge_ingest_refused_total{reason=",
        "csu_edge_dead_letters_total{reason=",
        "csu_edge_dead_letters_kept 1",
        "csu_edge_connections{listener=\"storefront\"} ",
        "csu_edge_connections_closed_total{limit=",
        "csu_edge_panics_total 0",
    ] {
        assert!(text.contains(series), "{series} is not in\n{text}");
    }
    for id in [CANARY, "68719489871", "82000", "/Commerce", "channelId", "price/"] {
        assert!(!text.contains(id), "{id}");
    }
}

#[tokio::test]
async fn what_is_purged_is_fetched_anew_and_nothing_else() {
    let origin = origin().await;
    let node = node_before(&origin).await;
    for (tags, mode, price, product) in [
        (["price/item:82000"], "hard", "purged", "purged"),
        (["product/product:68719489871"], "soft", "hit", "stale"),
        (["product/product:68719489871"], "hard", "hit", "purged"),
        (["price/product:1"], "hard", "hit", "hit"),
        (["*"], "soft", "stale", "stale"),
        (["*"], "hard", "purged", "purged"),
    ] {
        node.prices(&[68_719_489_871]).await;
        node.get(PRODUCT).await;
        purge(&node, &tags, mode).await;
        let got_price = node.prices(&[68_719_489_871]).await;
        let got_product = node.get(PRODUCT).await;
        for (got, expected, fresh_s) in [(got_price, price, 300), (got_product, product, 900)] {
            let expected = match (expected, fresh_s) {
                ("purged", _) => "csu-edge; fwd=miss; stored; detail=purged".to_owned(),
                ("stale", 900) => SOFTLY_PURGED.to_owned(),
                // Prices have no window in which they are revalidated behind the client's back.
                ("stale", _) => "csu-edge; fwd=stale; stored".to_owned(),
                _ => format!("csu-edge; hit; ttl={fresh_s}"),
            };
            assert_eq!(got.cache_status(), expected, "{tags:?} {mode}");
        }
        // What is revalidated behind the client's back must not reach into the next case.
        while node.get(PRODUCT).await.cache_status() == SOFTLY_PURGED {
            tokio::task::yield_now().await;
        }
    }
    let refused = node.control_post("/purge", &json!({"tags": ["nonsense"]})).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(node.get(PRODUCT).await.is_hit());
}

#[tokio::test]
async fn explain_tells_what_would_become_of_each_kind_of_request() {
    let origin = origin().await;
    let node = node_before(&origin).await;
    node.get(PRODUCT).await;
    node.clock.advance(std::time::Duration::from_secs(60));
    let asked = json!({"method": "GET", "url": PRODUCT, "headers": {"requestid": CANARY}});
    let stored = explain(&node, asked.clone()).await;
    assert_eq!(stored["operation"], "Products/GetById");
    assert_eq!(stored["class"], "product");
    assert_eq!(stored["partition"], "anonymous");
    assert_eq!((&stored["state"], &stored["stored"]), (&json!("fresh"), &json!(true)));
    assert!(stored["verdict"].as_str().unwrap().starts_with("served from the store"));
    assert!(stored["key"].is_object());
    let response = &stored["response"];
    assert_eq!((&response["ageSeconds"], &response["ttlSeconds"]), (&json!(60), &json!(840)));
    let tags = response["tags"].as_array().unwrap();
    assert!(tags.contains(&json!("product/product:68719489871")), "{tags:?}");

    purge(&node, &["product/item:82000"], "hard").await;
    let purged = explain(&node, asked).await;
    assert_eq!((&purged["state"], &purged["stored"]), (&json!("purged"), &json!(true)));
    assert!(purged["verdict"].as_str().unwrap().contains("purged"));

    let absent = explain(&node, json!({"url": "/Commerce/GetTenderTypes()"})).await;
    assert_eq!((&absent["state"], &absent["stored"]), (&json!("absent"), &json!(false)));

    let token = format!("Bearer {CANARY}");
    let body = r#"{"productIds":[1],"productIds":[2]}"#;
    for (asked, verdict) in [
        (json!({"url": "/Commerce/Carts('1')"}), "passes: not-in-catalogue"),
        (json!({"url": PRODUCT, "headers": {"devicetoken": CANARY}}), "passes: device-token"),
        (json!({"url": PRODUCT, "headers": {"authorization": token}}), "passes: credentials"),
        (
            json!({
                "method": "POST", "url": "/Commerce/Products/GetActivePrices", "body": body,
                "headers": {"content-type": "application/json"},
            }),
            "passes: body-duplicate-member",
        ),
    ] {
        let told = explain(&node, asked.clone()).await;
        assert_eq!(told["verdict"], verdict, "{asked}");
        assert_eq!(told["stored"], false);
        assert!(!told.to_string().contains(CANARY), "{told}");
    }
    assert_eq!(origin.requests(), 1, "to explain is not to ask");
}

#[tokio::test]
async fn an_answer_kept_for_a_token_is_explained_without_it() {
    let origin = origin().await;
    let node = Running::start(&origin.service_root(), |config| {
        config.operations = vec![csu_edge::config::OperationRule {
            name: "Products/GetById".into(),
            identity: Some(csu_edge::operation::Identity::Token),
            ..Default::default()
        }];
    })
    .await;
    let token = format!("Bearer {CANARY}");
    let fields = [("authorization", token.as_str())];
    node.get_with(PRODUCT, &fields).await;
    assert!(node.get_with(PRODUCT, &fields).await.is_hit());
    assert!(!node.get(PRODUCT).await.is_hit());
    let told = explain(&node, json!({"url": PRODUCT, "headers": {"authorization": token}})).await;
    assert_eq!((&told["partition"], &told["state"]), (&json!("token"), &json!("fresh")));
    assert!(!told.to_string().contains(CANARY), "{told}");
}

#[tokio::test]
async fn an_event_of_an_unknown_type_is_kept_for_reading() {
    let origin = origin().await;
    let node = node_before(&origin).await;
    let accepted = node.push(&json!({"type": "csu.cdx.weather.changed"})).await;
    assert_eq!(accepted["deadLettered"], 1);
    let listed = node.control("/dead-letters").await.json();
    assert_eq!(listed["kept"], 1);
    assert!(listed["deadLetters"][0].to_string().contains("csu.cdx.weather.changed"), "{listed}");
    assert_eq!(node.metric("csu_edge_dead_letters_kept").await, 1.0);
}

#[tokio::test]
async fn a_delivery_counts_only_with_its_signature() {
    let origin = origin().await;
    let node = Running::start(&origin.service_root(), |config| {
        config.ingest.hmac_secrets = vec![Secret::new(SECRET.to_owned())];
    })
    .await;
    let body = r#"{"class":"price","items":["82000"]}"#;
    let seconds = START.as_millis() / 1000;
    let sign = |secret: &str| {
        let secret = STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let signed = hmac::sign(&key, format!("msg_1.{seconds}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(signed))
    };
    let foreign = sign("whsec_c2l4IGFuZCB0d2VudHkgYnl0ZXMgb2YgaXQ=");
    node.prices(&[68_719_489_871]).await;
    for (signature, status) in [
        (None, StatusCode::UNAUTHORIZED),
        (Some(foreign), StatusCode::UNAUTHORIZED),
        (Some(sign(SECRET)), StatusCode::OK),
    ] {
        let mut delivery = post("/ingest/cdx", body);
        if let Some(signature) = &signature {
            let headers = delivery.headers_mut();
            headers.insert("webhook-id", "msg_1".parse().unwrap());
            headers.insert("webhook-timestamp", seconds.to_string().parse().unwrap());
            headers.insert("webhook-signature", signature.parse().unwrap());
        }
        let got = node.send_to(node.node.addresses().ingest, delivery).await;
        assert_eq!(got.status, status, "{signature:?}");
        let is_hit = node.prices(&[68_719_489_871]).await.is_hit();
        assert_eq!(is_hit, status != StatusCode::OK, "{signature:?}");
    }
}

#[tokio::test]
async fn a_node_that_drains_says_so_and_finishes_what_runs() {
    let origin = origin().await;
    let node = node_before(&origin).await;
    assert_eq!(node.control("/live").await.json(), json!({"live": true}));
    assert_eq!(node.control("/ready").await.json(), json!({"ready": true, "reasons": []}));
    assert_eq!(node.control("/version").await.json()["name"], "csu-edge");

    let addresses = node.node.addresses();
    let mut control = Wire::connect(addresses.control).await;
    let mut client = Wire::connect(addresses.storefront).await;
    origin.hold();
    client.send(&format!("GET {PRODUCT} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    origin.arrived(1).await;
    let draining = tokio::spawn(node.node.drain());
    loop {
        control.send("GET /ready HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await;
        let (head, body) = control.message().await;
        if head.starts_with("HTTP/1.1 503 ") {
            let told: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(told, json!({"ready": false, "reasons": ["draining"]}));
            break;
        }
        tokio::task::yield_now().await;
    }
    origin.release();
    let (head, body) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 200 ") && body.contains("82000"), "{head}{body}");
    assert_eq!(draining.await.unwrap().as_str(), "clean");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_never_holds_a_secret_a_token_or_a_body() {
    const PRODUCTS: &str = "{\"productIds\":[1],\"note\":\"canary-5f2e\"}";
    let origin = Arc::new(Origin::start(|_| answer(format!("{{\"x\":\"{CANARY}\"}}"))).await);
    let bearer = format!("{CANARY}-bearer");
    let node = process::Running::start(&[
        ("CSU_EDGE__ORIGIN__SERVICE_ROOT", &origin.service_root()),
        ("CSU_EDGE__LOG__FILTER", "trace"),
        ("CSU_EDGE__INGEST__BEARER_TOKENS", "['env:TOKEN']"),
        ("CSU_EDGE__INGEST__HMAC_SECRETS", "['env:SECRET']"),
        ("TOKEN", &bearer),
        ("SECRET", SECRET),
    ]);
    let told = node.addresses();
    let [storefront, ingest, control] = ["storefront", "ingest", "control"]
        .map(|listener| process::Running::address(&told, listener));
    let json_body = "content-type: application/json\r\n";
    let credentials = format!("authorization: Bearer {CANARY}\r\ncookie: a={CANARY}\r\n");
    let delivery = |token: &str| format!("{json_body}authorization: Bearer {token}\r\n");
    let event = format!(r#"{{"class":"price","items":["{CANARY}"]}}"#);
    let unknown = format!(r#"{{"type":"csu.cdx.unknown","note":"{CANARY}"}}"#);
    let explained = json!({"url": PRODUCT, "headers": {"authorization": CANARY}}).to_string();
    for (address, target, fields, body) in [
        (storefront, "/Commerce/Products/GetActivePrices", json_body, PRODUCTS),
        (storefront, PRODUCT, &credentials, ""),
        (storefront, "/Commerce/Carts('1')/AddCartLines", &credentials, PRODUCTS),
        (ingest, "/ingest/cdx", &delivery(&bearer), &event),
        (ingest, "/ingest/cdx", &delivery(&bearer), &unknown),
        (ingest, "/ingest/cdx", &delivery(&bearer), PRODUCTS),
        (ingest, "/ingest/cdx", &delivery(CANARY), &event),
        (control, "/explain", json_body, &explained),
    ] {
        let mut wire = Wire::connect(address).await;
        let (method, length) = if body.is_empty() { ("GET", 0) } else { ("POST", body.len()) };
        let head = format!("{method} {target} HTTP/1.1\r\nhost: {address}\r\n{fields}");
        wire.send(&format!("{head}content-length: {length}\r\n\r\n{body}")).await;
        let head = wire.head().await;
        assert!(head.starts_with("HTTP/1.1 "), "{head}");
    }
    node.signal("TERM");
    let log = node.log();
    assert_eq!(node.ended().code(), Some(0));
    assert!(log.contains("\"request\"") && log.contains("Products/GetActivePrices"), "{log}");
    for secret in [CANARY, SECRET, SECRET.trim_start_matches("whsec_")] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None);
    }
}

#[tokio::test]
async fn what_a_web_page_could_send_is_refused() {
    let origin = origin().await;
    let node = node_before(&origin).await;
    let from_page = request("GET", "/metrics", &[("host", "evil.example")]);
    let got = node.send_to(node.node.addresses().control, from_page).await;
    assert_eq!(got.status, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn what_keeps_a_node_out_of_its_fleet_is_in_the_log_once() {
    let redis = Server::start(&[]).await;
    let may = ["ACL", "SETUSER", "edge", "reset", "on", ">edge", "~*", "&*", "+@all", "-info"];
    redis.command(&may).await;
    let url = format!("redis://{}", redis.address());
    let node = process::Running::start(&[
        ("CSU_EDGE__REDIS__URL", &url),
        ("CSU_EDGE__REDIS__USERNAME", "edge"),
        ("CSU_EDGE__REDIS__PASSWORD", "env:PASSWORD"),
        ("PASSWORD", "edge"),
        ("CSU_EDGE__REDIS__PURGE__BOOT_TIMEOUT", "1s"),
    ]);
    node.addresses();
    node.signal("TERM");
    let log = node.log();
    assert_eq!(node.ended().code(), Some(0));
    let why = log.lines().filter(|line| line.contains("\"the purge plane is away\""));
    let why: Vec<_> = why.collect();
    // Several beats went by.
    assert_eq!(why.len(), 1, "{log}");
    assert!(why[0].contains("The user executing the script"), "{log}");
}
