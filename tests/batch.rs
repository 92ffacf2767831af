//! `$batch`: what of it is answered from the store, what the origin gets, and in which order and
//! form the client has its answer. The origin is the stand-in Retail Server.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test panics"
)]

mod support;

use csu_edge::clock::Clock;
use csu_edge::config::{BatchMode, Config};
use csu_edge::sandbox::{Settings, Sickness};
use http::{Request, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use support::node::{Got, Running, START, post, request};
use support::origin::{Origin, json as json_answer, with_field, with_status};
use support::shop::{CHANNEL, FIRST, Shop};

const BATCH: &str = "/Commerce/$batch";
const PRICES: &str = "Products/GetActivePrices";

async fn shop(change: impl FnOnce(&mut Config)) -> Shop {
    Shop::open(Clock::manual(START), Duration::ZERO, change).await
}

fn prices(ids: &[i64]) -> Value {
    json!({"projectDomain": {"ChannelId": CHANNEL, "CatalogId": 0}, "productIds": ids})
}

/// One part: method, URL and body.
type Part = (&'static str, String, Option<Value>);

fn price_part(ids: &[i64]) -> Part {
    ("POST", format!("{PRICES}?api-version=7.3"), Some(prices(ids)))
}

fn product_part(id: i64) -> Part {
    let url = format!("Products({id})/GetById(channelId={CHANNEL})?api-version=7.3");
    ("GET", url, None)
}

fn cart_part(id: &str) -> Part {
    ("GET", format!("Carts('{id}')?api-version=7.3"), None)
}

fn as_json(parts: &[Part]) -> Request<String> {
    let requests: Vec<Value> = parts
        .iter()
        .enumerate()
        .map(|(n, (method, url, body))| {
            let mut part = json!({"id": n.to_string(), "method": method, "url": url});
            if let Some(body) = body {
                part["headers"] = json!({"content-type": "application/json"});
                part["body"] = body.clone();
            }
            part
        })
        .collect();
    post(BATCH, &json!({ "requests": requests }).to_string())
}

fn as_multipart(parts: &[Part]) -> Request<String> {
    let mut text = String::new();
    for (method, url, body) in parts {
        let body = body.as_ref().map(ToString::to_string).unwrap_or_default();
        let length = match body.is_empty() {
            true => String::new(),
            false => {
                format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len())
            }
        };
        text += &format!(
            "--b\r\ncontent-type: application/http\r\ncontent-transfer-encoding: binary\r\n\r\n\
             {method} {url} HTTP/1.1\r\n{length}\r\n{body}\r\n"
        );
    }
    let mut request = request("POST", BATCH, &[("content-type", "multipart/mixed; boundary=b")]);
    *request.body_mut() = text + "--b--\r\n";
    request
}

/// Each answer of a batch: its status and its body.
fn answers(got: &Got) -> Vec<(u16, Value)> {
    assert_eq!(got.status, StatusCode::OK, "{}", got.text());
    let text = got.text();
    let content_type = got.header("content-type").unwrap();
    let Some(boundary) = content_type.split("boundary=").nth(1) else {
        let answers = got.json()["responses"].as_array().unwrap().clone();
        let answer = |answer: &Value| {
            (u16::try_from(answer["status"].as_u64().unwrap()).unwrap(), answer["body"].clone())
        };
        return answers.iter().map(answer).collect();
    };
    let delimiter = format!("--{}", boundary.trim_matches('"'));
    let parts = text.split(&delimiter).skip(1).filter(|part| !part.starts_with("--"));
    let answer = |part: &str| {
        let inner = part.split_once("\r\n\r\n").unwrap().1;
        let (head, body) = inner.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body.trim()).unwrap_or(Value::Null))
    };
    parts.map(answer).collect()
}

/// The same batch, straight to the stand-in.
async fn direct(shop: &Shop, request: Request<String>) -> Vec<(u16, Value)> {
    answers(&shop.node.send_to(shop.sandbox.address(), request).await)
}

#[tokio::test]
async fn a_batch_of_reads_is_answered_from_the_store_and_asks_for_the_rest_as_one() {
    for form in [as_json, as_multipart] {
        let shop = shop(|_| {}).await;
        shop.node
            .send(post(
                &format!("/Commerce/{PRICES}?api-version=7.3"),
                &prices(&[FIRST + 1, FIRST]).to_string(),
            ))
            .await;
        shop.sandbox.reset_stats();
        let parts = [
            price_part(&[FIRST]),
            price_part(&[FIRST, FIRST + 1, FIRST + 2]),
            product_part(FIRST),
            product_part(FIRST + 1),
        ];
        let got = shop.node.send(form(&parts)).await;
        assert_eq!(got.cache_status(), "csu-edge; fwd=partial; detail=\"1/4\"", "{}", got.text());
        assert_eq!(answers(&got).len(), 4);
        assert_eq!(answers(&got), direct(&shop, form(&parts)).await);
        // The direct one is the second.
        assert_eq!(shop.sandbox.requests("$batch"), 2);
        assert_eq!(shop.sandbox.requests_in_batches(PRICES), 3);

        let again = shop.node.send(form(&parts)).await;
        assert_eq!(again.cache_status(), "csu-edge; hit; detail=\"4/4\"");
        assert_eq!(answers(&again), answers(&got));
        assert_eq!(shop.sandbox.requests("$batch"), 2);
        assert_eq!(shop.node.answered(PRICES, "hit").await, 3.0);
    }
}

#[tokio::test]
async fn what_is_left_goes_call_by_call_where_the_operator_wants_that() {
    let shop = shop(|config| config.storefront.batch = BatchMode::Calls).await;
    let parts = [product_part(FIRST), product_part(FIRST + 1)];
    let got = shop.node.send(as_json(&parts)).await;
    assert_eq!(answers(&got).len(), 2);
    assert_eq!(shop.sandbox.requests("$batch"), 0);
    assert_eq!(shop.sandbox.requests("Products/GetById"), 2);
}

#[tokio::test]
async fn an_origin_that_knows_no_batches_is_asked_call_by_call() {
    let shop = shop(|_| {}).await;
    let ill = Sickness::Status(StatusCode::NOT_FOUND);
    assert!(shop.sandbox.fault("$batch", ill, Duration::from_secs(60)));
    let parts = [product_part(FIRST), product_part(FIRST + 1)];
    let got = answers(&shop.node.send(as_multipart(&parts)).await);
    assert_eq!(got.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [200, 200]);
    assert_eq!(shop.sandbox.requests("Products/GetById"), 2);
}

#[tokio::test]
async fn an_answer_to_a_batch_in_a_coding_that_is_not_read_is_asked_for_part_by_part() {
    let origin = Origin::start(|seen| match seen.target.contains("$batch") {
        true => {
            let refusal = with_status(StatusCode::INTERNAL_SERVER_ERROR, "not to be read");
            with_field(refusal, "content-encoding", "br")
        }
        false => json_answer(r#"{"RecordId":1}"#),
    })
    .await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    let got = node.send(as_json(&[product_part(FIRST), product_part(FIRST + 1)])).await;
    let read = (200, json!({"RecordId": 1}));
    assert_eq!(answers(&got), [read.clone(), read]);
}

#[tokio::test]
async fn writes_and_what_the_catalogue_does_not_know_pass_in_order_and_reads_come_from_the_store() {
    for form in [as_json, as_multipart] {
        let shop = shop(|_| {}).await;
        shop.node.send(form(&[product_part(FIRST), price_part(&[FIRST])])).await;
        shop.sandbox.reset_stats();
        let cart = shop.node.post("/Commerce/Carts?api-version=7.3", "{}").await.json();
        let id = cart["Id"].as_str().unwrap();
        shop.sandbox.reset_stats();
        let line = json!({"cartLines": [{"ProductId": FIRST, "Quantity": 1}]});
        let add = ("POST", format!("Carts('{id}')/AddCartLines?api-version=7.3"), Some(line));
        let parts = [product_part(FIRST), add, cart_part(id), price_part(&[FIRST])];
        let got = shop.node.send(form(&parts)).await;
        assert_eq!(got.cache_status(), "csu-edge; fwd=partial; detail=\"2/4\"", "{}", got.text());
        let got = answers(&got);
        assert_eq!(got.len(), 4, "{got:?}");
        assert_eq!(got[0].1["RecordId"], FIRST);
        let read_after = &got[2].1;
        assert_eq!(
            read_after["CartLines"][0]["ProductId"], FIRST,
            "the read comes behind the write"
        );
        assert_eq!(got[3].1["value"][0]["ProductId"], FIRST);
        assert_eq!(shop.sandbox.requests("$batch"), 1);
        assert_eq!(shop.sandbox.requests_in_batches("Products/GetById"), 0);
    }
}

#[tokio::test]
async fn behind_an_error_nothing_is_answered_unless_the_client_goes_on() {
    let shop = shop(|_| {}).await;
    let bad = ("POST", format!("{PRICES}?api-version=7.3"), Some(json!({"productIds": "x"})));
    let parts = [product_part(FIRST), bad, product_part(FIRST + 1)];
    let statuses = |answers: &[(u16, Value)]| answers.iter().map(|a| a.0).collect::<Vec<_>>();
    let got = answers(&shop.node.send(as_multipart(&parts)).await);
    assert_eq!(statuses(&got), [200, 400]);
    assert_eq!(got, direct(&shop, as_multipart(&parts)).await);
    let mut goes_on = as_multipart(&parts);
    goes_on.headers_mut().insert("prefer", "odata.continue-on-error".parse().unwrap());
    let got = answers(&shop.node.send(goes_on).await);
    assert_eq!(statuses(&got), [200, 400, 200]);
}

#[tokio::test]
async fn behind_an_error_that_is_stored_nothing_is_written() {
    let origin = Origin::start(|_| with_status(StatusCode::NOT_FOUND, "{}")).await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    node.send(as_multipart(&[product_part(FIRST)])).await;
    let before = origin.requests();
    let create = ("POST", "Carts?api-version=7.3".to_owned(), Some(json!({})));
    let parts = [product_part(FIRST), create.clone(), cart_part("1")];
    let got = node.send(as_multipart(&parts)).await;
    assert_eq!(got.cache_status(), "csu-edge; hit; detail=\"1/1\"");
    assert_eq!(answers(&got), [(404, json!({}))]);
    assert_eq!(origin.requests(), before, "nothing is sent");

    // What stands before it is.
    origin.answer(|seen| {
        let head = "--b\r\ncontent-type: application/http\r\n\r\nHTTP/1.1 201 Created\r\n";
        let body = format!("{head}content-type: application/json\r\n\r\n{{\"Id\":\"1\"}}\r\n--b--");
        assert!(!seen.body.contains("GET"), "{}", seen.body);
        let mut response = with_status(StatusCode::OK, body);
        let kind = "multipart/mixed; boundary=b".parse().unwrap();
        response.headers_mut().insert("content-type", kind);
        response
    });
    let parts = [create, product_part(FIRST), cart_part("1")];
    let got = node.send(as_multipart(&parts)).await;
    assert_eq!(answers(&got), [(201, json!({"Id": "1"})), (404, json!({}))]);
    assert_eq!(origin.requests(), before + 1);
}

/// They had led to a path without a host, which is the origin's where the answer names it elsewhere.
#[tokio::test]
async fn links_to_the_next_page_lead_to_where_the_batch_was_sent() {
    let settings = Settings { page_size: 2, ..Settings::default() };
    let shop = Shop::with(settings, Clock::manual(START), |_| {}).await;
    let parts = [price_part(&[FIRST, FIRST + 1, FIRST + 2]), product_part(FIRST)];
    let root = format!("http://{}/Commerce/", shop.node.node.addresses().storefront);
    for form in [as_json, as_multipart] {
        for _ in 0..2 {
            let got = answers(&shop.node.send(form(&parts)).await);
            let link = got[0].1["@odata.nextLink"].as_str().unwrap();
            assert!(link.starts_with(&root), "{link}");
        }
    }
}

/// Of a group that fails each request is answered. All but the first had been left out where what
/// stands before the group came from the store.
#[tokio::test]
async fn a_group_that_fails_is_answered_whole_before_the_batch_ends() {
    let shop = shop(|_| {}).await;
    shop.node.send(as_json(&[product_part(FIRST), product_part(FIRST + 1)])).await;
    let create = ("POST", "Carts?api-version=7.3".to_owned(), Some(json!({})));
    let bad = ("POST", format!("{PRICES}?api-version=7.3"), Some(json!({"productIds": "x"})));
    let parts = [product_part(FIRST), create, bad, product_part(FIRST + 1)];
    let mut batch = as_json(&parts);
    let mut body: Value = serde_json::from_str(batch.body()).unwrap();
    for n in [1, 2] {
        body["requests"][n]["atomicityGroup"] = json!("g");
    }
    *batch.body_mut() = body.to_string();
    batch.headers_mut().insert("prefer", "odata.continue-on-error=false".parse().unwrap());
    let got = shop.node.send(batch.clone()).await;
    assert_eq!(got.cache_status(), "csu-edge; fwd=partial; detail=\"2/4\"");
    let statuses = answers(&got).iter().map(|(status, _)| *status).collect::<Vec<_>>();
    assert_eq!(statuses, [200, 424, 400]);
    assert_eq!(answers(&got), direct(&shop, batch).await);
}

#[tokio::test]
async fn what_cannot_be_read_passes_as_it_came() {
    let shop = shop(|config| config.limits.batch_parts = 2).await;
    let three = [product_part(FIRST), product_part(FIRST), product_part(FIRST)];
    let got = shop.node.send(as_json(&three)).await;
    assert_eq!(got.cache_status(), "csu-edge; fwd=bypass; detail=batch-too-many-parts");
    assert_eq!(answers(&got).len(), 3);
    let mut broken = as_multipart(&three[..1]);
    *broken.body_mut() = broken.body().replace("--b--", "--b-");
    let got = shop.node.send(broken).await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST, "the origin's own word");
    assert!(got.cache_status().contains("detail=batch-"), "{}", got.cache_status());
    let mut device = as_json(&three[..2]);
    device.headers_mut().insert("devicetoken", "x".parse().unwrap());
    let got = shop.node.send(device).await;
    assert_eq!(got.cache_status(), "csu-edge; fwd=bypass; detail=device-token");
}

#[tokio::test]
async fn a_part_has_the_batchs_channel_language_and_credentials_unless_it_has_its_own() {
    let shop = shop(|_| {}).await;
    let with = |request: Request<String>, name: &'static str, value: &str| {
        support::node::with(request, name, value)
    };
    let parts = [product_part(FIRST), price_part(&[FIRST])];
    shop.node.send(as_json(&parts)).await;
    let norwegian = with(with(as_json(&parts), "accept-language", "nb-NO"), "oun", "129");
    let got = shop.node.send(norwegian.clone()).await;
    assert_eq!(got.cache_status(), "csu-edge; fwd=uri-miss; detail=\"0/2\"");
    assert_eq!(answers(&got), direct(&shop, norwegian).await);
    let signed_in = with(as_json(&parts), "authorization", "Bearer nobody");
    let got = shop.node.send(signed_in).await;
    assert!(!got.cache_status().contains("hit"), "{}", got.cache_status());
}

/// What a head may do to the parts under it is not known.
#[tokio::test]
async fn what_comes_under_a_clients_own_batch_head_is_not_stored() {
    for form in [as_json, as_multipart] {
        let shop = shop(|_| {}).await;
        shop.node.send(form(&[product_part(FIRST), price_part(&[FIRST])])).await;
        let cart = ("POST", "Carts?api-version=7.3".to_owned(), Some(json!({})));
        let (method, url, _) = product_part(FIRST + 1);
        let got = shop.node.send(form(&[product_part(FIRST), cart, product_part(FIRST + 1)])).await;
        assert_eq!(got.cache_status(), "csu-edge; fwd=partial; detail=\"1/3\"", "{}", got.text());
        assert_eq!(answers(&got)[2].1["RecordId"], FIRST + 1);
        let alone = shop.node.send(request(method, &format!("/Commerce/{url}"), &[])).await;
        assert_eq!(alone.cache_status(), "csu-edge; fwd=uri-miss; stored");
    }
}

#[tokio::test]
async fn a_batchs_credentials_and_its_device_are_its_parts_too() {
    let shop = shop(|_| {}).await;
    let parts = [product_part(FIRST), product_part(FIRST + 1)];
    shop.node.send(as_json(&parts)).await;
    assert_eq!(
        shop.node.send(as_json(&parts)).await.cache_status(),
        "csu-edge; hit; detail=\"2/2\""
    );
    for (name, value) in [("authorization", "Bearer nobody"), ("devicetoken", "x")] {
        let of_batch = support::node::with(as_json(&parts), name, value);
        let mut batch: Value = serde_json::from_str(as_json(&parts).body()).unwrap();
        for part in batch["requests"].as_array_mut().unwrap() {
            part["headers"] = json!({ name: value });
        }
        for request in [of_batch, post(BATCH, &batch.to_string())] {
            let got = shop.node.send(request).await;
            assert!(got.cache_status().starts_with("csu-edge; fwd=bypass"), "{name}");
        }
    }
    let mut batch: Value = serde_json::from_str(as_json(&parts).body()).unwrap();
    batch["requests"][1]["headers"] = json!({"devicetoken": "x"});
    let got = shop.node.send(post(BATCH, &batch.to_string())).await;
    assert!(got.cache_status().starts_with("csu-edge; fwd=bypass"), "one part's is enough");
}
