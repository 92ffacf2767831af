//! Requests that come again byte for byte: their hits are given without reading them, and nobody can
//! tell but by the time that it takes.

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
use csu_edge::config::{Config, DecomposeRule, OperationRule};
use csu_edge::operation::Identity;
use serde_json::json;
use support::node::{Running, START};
use support::origin::{Origin, json as answer, prices_of, products_in};
use support::wire::{Wire, field};

const PRODUCT: u64 = 68_719_489_871;
const OTHER: u64 = 68_719_489_872;

/// A node with one worker, so that all connections are with the one that knows.
fn alone(config: &mut Config) {
    config.listen.workers = 1;
}

async fn shop() -> Origin {
    Origin::start(|seen| match seen.method.as_str() {
        "GET" => answer(json!({"value": [{"Name": "a".repeat(4_000)}]}).to_string()),
        _ if !seen.body.starts_with('{') => answer("{}"),
        _ => answer(prices_of(
            products_in(&seen.body).iter().map(|&product| (product, format!("i{product}"), 79.9)),
        )),
    })
    .await
}

async fn start(origin: &Origin) -> Running {
    Running::start(&origin.service_root(), alone).await
}

fn post(products: &[u64], more: &str) -> String {
    let body = json!({
        "projectDomain": {"ChannelId": 5_637_154_326_u64, "CatalogId": 0},
        "productIds": products,
    });
    posted(&body.to_string(), more)
}

fn posted(body: &str, more: &str) -> String {
    format!(
        "POST /Commerce/Products/GetActivePrices?api-version=7.3 HTTP/1.1\r\nhost: shop\r\n\
         content-type: application/json\r\n{more}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn get(more: &str) -> String {
    format!(
        "GET /Commerce/Products({PRODUCT})/GetAttributeValues(channelId=1,catalogId=0) HTTP/1.1\r\n\
         host: shop\r\n{more}\r\n"
    )
}

async fn connect(node: &Running) -> Wire {
    Wire::connect(node.node.addresses().storefront).await
}

/// The answer; of its body, each byte as a character.
async fn ask(wire: &mut Wire, request: &str) -> (String, String) {
    wire.send(request).await;
    let head = wire.head().await;
    let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    let has_body = !head.starts_with("HTTP/1.1 304");
    let body = wire.raw(if has_body { length } else { 0 }).await;
    (head, body.into_iter().map(char::from).collect())
}

/// Asks until the answer is one that was not read for.
async fn repeated(node: &Running, wire: &mut Wire, request: &str) -> (String, String) {
    let mut told = String::new();
    for _ in 0..5 {
        let before = repeats(node).await;
        let answer = ask(wire, request).await;
        if repeats(node).await > before {
            return answer;
        }
        told = answer.0;
    }
    panic!("it is never repeated: {request}{told}");
}

async fn repeats(node: &Running) -> f64 {
    node.metric("csu_edge_repeated_hits_total").await
}

fn lines(head: &str) -> Vec<String> {
    let mut lines: Vec<String> = head.lines().map(str::to_ascii_lowercase).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn a_hit_that_is_repeated_is_the_same_answer() {
    let origin = shop().await;
    let node = start(&origin).await;
    let mut wire = connect(&node).await;
    let (head, _) = ask(&mut wire, &get("")).await;
    let etag = format!("if-none-match: {}\r\n", field(&head, "etag").unwrap());
    for request in [
        get(""),
        get("accept-encoding: gzip\r\n"),
        get("accept-encoding: br, gzip\r\nuser-agent: a\r\n"),
        get(&etag),
        get("connection: keep-alive\r\n"),
        post(&[PRODUCT], ""),
        post(&[PRODUCT, OTHER], ""),
        post(&[OTHER, PRODUCT, OTHER], "accept-encoding: gzip\r\n"),
    ] {
        let before = repeats(&node).await;
        let first = loop {
            let answer = ask(&mut wire, &request).await;
            if field(&answer.0, "cache-status").unwrap().starts_with("csu-edge; hit") {
                break answer;
            }
        };
        assert_eq!(repeats(&node).await, before, "its first hit is read");
        let again = repeated(&node, &mut wire, &request).await;
        assert_eq!((lines(&again.0), again.1), (lines(&first.0), first.1), "{request}");
    }
}

#[tokio::test]
async fn a_trace_or_a_browsers_name_makes_no_other_request_of_it_and_an_oun_does() {
    let origin = shop().await;
    let node = start(&origin).await;
    let mut wire = connect(&node).await;
    let (_, body) = repeated(&node, &mut wire, &get("")).await;
    let before = repeats(&node).await;
    let unread = [
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "user-agent: Mozilla/5.0",
        "x-azure-ref: 20261125T000000Z-1",
        "cookie: a=b",
        "x-forwarded-for: 192.0.2.1",
    ];
    for field in unread {
        let (_, same) = ask(&mut wire, &get(&format!("{field}\r\n"))).await;
        assert!(same == body, "{field}");
    }
    assert_eq!(repeats(&node).await, before + 5.0);
    for field in ["oun: 128", "devicetoken: a", "accept-language: de", "authorization: Bearer a"] {
        let asked = origin.requests();
        ask(&mut wire, &get(&format!("{field}\r\n"))).await;
        assert_eq!(origin.requests(), asked + 1, "{field}");
    }
    assert_eq!(repeats(&node).await, before + 5.0);
}

#[tokio::test]
async fn its_age_goes_on_and_it_ends_with_its_lifetime() {
    let origin = shop().await;
    let node = start(&origin).await;
    let mut wire = connect(&node).await;
    for request in [post(&[PRODUCT], ""), post(&[PRODUCT, OTHER], "")] {
        repeated(&node, &mut wire, &request).await;
    }
    let asked = origin.requests();
    node.clock.advance(Duration::from_secs(7));
    let (head, _) = repeated(&node, &mut wire, &post(&[PRODUCT], "")).await;
    assert_eq!(field(&head, "age").unwrap(), "7");
    assert_eq!(field(&head, "cache-status").unwrap(), "csu-edge; hit; ttl=293");
    let (head, _) = repeated(&node, &mut wire, &post(&[PRODUCT, OTHER], "")).await;
    assert_eq!(field(&head, "cache-status").unwrap(), "csu-edge; hit; ttl=293; detail=\"2/2\"");
    assert_eq!(origin.requests(), asked);

    node.clock.advance(Duration::from_secs(293));
    for request in [post(&[PRODUCT], ""), post(&[OTHER, PRODUCT], "")] {
        let (head, _) = ask(&mut wire, &request).await;
        assert!(!field(&head, "cache-status").unwrap().starts_with("csu-edge; hit"), "{head}");
    }
}

#[tokio::test]
async fn a_purge_ends_it_for_what_it_is_made_of_and_for_nothing_else() {
    let origin = shop().await;
    let node = start(&origin).await;
    let mut wire = connect(&node).await;
    let requests = [post(&[PRODUCT], ""), post(&[PRODUCT, OTHER], ""), post(&[OTHER], "")];
    for request in &requests {
        repeated(&node, &mut wire, request).await;
    }
    let of_product = format!("i{PRODUCT}");
    origin.answer(|seen| {
        let asked = products_in(&seen.body);
        answer(prices_of(asked.iter().map(|&product| (product, format!("i{product}"), 59.9))))
    });
    node.push(&json!({"class": "price", "items": [of_product]})).await;

    let before = repeats(&node).await;
    let statuses = ["csu-edge; fwd=miss; stored; detail=purged", "csu-edge; hit", "csu-edge; hit"];
    for (request, status) in requests.iter().zip(statuses) {
        let (head, body) = ask(&mut wire, request).await;
        let told = field(&head, "cache-status").unwrap();
        assert!(told.starts_with(status), "{told} for {request}");
        assert_eq!(body.contains("59.9"), request.contains(&PRODUCT.to_string()));
    }
    assert_eq!(repeats(&node).await, before + 1.0, "the other product's alone");
}

#[tokio::test]
async fn what_is_fetched_anew_takes_its_place_at_once() {
    let origin = shop().await;
    let node = Running::start(&origin.service_root(), |config| {
        alone(config);
        config.refresh.ahead_percent = 100;
    })
    .await;
    let (mut wire, request) = (connect(&node).await, get(""));
    origin.hold();
    let take_a_second = async {
        origin.arrived(1).await;
        node.clock.advance(Duration::from_secs(1));
        origin.release();
    };
    tokio::join!(ask(&mut wire, &request), take_a_second);
    repeated(&node, &mut wire, &request).await;
    origin.answer(|_| answer(r#"{"value":["new"]}"#));
    // Others who ask the same and are read each time, at the very end of the lifetime, have it fetched.
    node.clock.advance(Duration::from_millis(898_999));
    let asked = origin.requests();
    let until_it_is_fetched = async {
        for number in 0.. {
            if origin.requests() > asked {
                break;
            }
            ask(&mut wire, &get(&format!("x-new: {number}\r\n"))).await;
        }
    };
    support::wire::soon(until_it_is_fetched).await;
    let is_new = async {
        while !ask(&mut wire, &request).await.1.contains("new") {
            tokio::task::yield_now().await;
        }
    };
    support::wire::soon(is_new).await;
    assert!(repeated(&node, &mut wire, &request).await.1.contains("new"));
}

/// The seconds that are left of an answer's lifetime.
fn ttl(head: &str) -> u64 {
    let status = field(head, "cache-status").unwrap();
    let ttl = status.split("ttl=").nth(1).unwrap().split(';').next().unwrap();
    ttl.parse().unwrap()
}

#[tokio::test]
async fn near_its_end_it_is_given_again_and_one_of_its_hits_has_it_fetched_anew() {
    let takes = Duration::from_secs(2);
    for request in [get(""), post(&[PRODUCT], ""), post(&[PRODUCT, OTHER], "")] {
        let origin = shop().await;
        let node = Running::start(&origin.service_root(), |config| {
            alone(config);
            config.refresh.ahead_percent = 100;
        })
        .await;
        let mut wire = connect(&node).await;
        origin.hold();
        let take_so_long = async {
            origin.arrived(1).await;
            node.clock.advance(takes);
            origin.release();
        };
        tokio::join!(ask(&mut wire, &request), take_so_long);
        let (head, body) = repeated(&node, &mut wire, &request).await;
        let before = repeats(&node).await;
        // So far from the end, one draw in five million would fetch.
        node.clock.advance(Duration::from_secs(ttl(&head) - 31));
        for _ in 0..10 {
            assert!(ask(&mut wire, &request).await.1 == body);
        }
        assert_eq!((repeats(&node).await, origin.requests()), (before + 10.0, 1));
        // With as much left as a fetch takes, one in three.
        node.clock.advance(Duration::from_secs(29));
        origin.hold();
        let mut given = 10.0;
        let until_it_is_fetched = async {
            while origin.requests() == 1 {
                assert!(ask(&mut wire, &request).await.1 == body);
                given += 1.0;
            }
        };
        support::wire::soon(until_it_is_fetched).await;
        // Nobody waits, and no other starts a second one.
        for _ in 0..50 {
            assert!(ask(&mut wire, &request).await.1 == body);
        }
        assert_eq!(repeats(&node).await, before + given + 50.0, "none was read: {request}");
        origin.release();
        let is_new = async { while ttl(&ask(&mut wire, &request).await.0) < 100 {} };
        support::wire::soon(is_new).await;
        assert_eq!(origin.requests(), 2, "once: {request}");
        let admitted = "csu_edge_origin_gate_admitted_total{priority=\"refresh-ahead\"}";
        assert_eq!(node.metric(admitted).await, 1.0);
        repeated(&node, &mut wire, &request).await;
    }
}

#[tokio::test]
async fn what_is_about_to_expire_goes_along_though_its_hits_are_not_read() {
    const THIRD: u64 = OTHER + 1;
    let origin = shop().await;
    let node = start(&origin).await;
    let (mut wire, request) = (connect(&node).await, post(&[PRODUCT, OTHER], ""));
    repeated(&node, &mut wire, &request).await;
    node.clock.advance(Duration::from_secs(250));
    let before = repeats(&node).await;
    for _ in 0..32 {
        ask(&mut wire, &request).await;
    }
    assert_eq!(repeats(&node).await, before + 32.0);
    ask(&mut wire, &post(&[THIRD], "")).await;
    let mut asked = products_in(&origin.last().body);
    asked.sort_unstable();
    assert_eq!(asked, [PRODUCT, OTHER, THIRD]);
    node.clock.advance(Duration::from_secs(100));
    let (head, _) = ask(&mut wire, &request).await;
    assert!(field(&head, "cache-status").unwrap().starts_with("csu-edge; hit"), "{head}");
}

#[tokio::test]
async fn a_moment_that_was_the_present_one_is_read_every_time() {
    let origin = shop().await;
    let node = start(&origin).await;
    let mut wire = connect(&node).await;
    let body = |moment: &str| {
        posted(&json!({"productIds": [PRODUCT], "activeDate": moment}).to_string(), "")
    };
    let (now, past) = (body(&START.to_string()), body("2020-01-01T00:00:00Z"));
    for _ in 0..4 {
        ask(&mut wire, &now).await;
    }
    assert_eq!(repeats(&node).await, 0.0);
    repeated(&node, &mut wire, &past).await;
}

#[tokio::test]
async fn so_is_one_in_a_list_that_is_kept_whole() {
    let origin = shop().await;
    let node = Running::start(&origin.service_root(), |config| {
        alone(config);
        config.operations = vec![OperationRule {
            name: "Products/GetActivePrices".to_owned(),
            decompose: DecomposeRule { enabled: Some(false), ..DecomposeRule::default() },
            ..OperationRule::default()
        }];
    })
    .await;
    let mut wire = connect(&node).await;
    let now = json!({"productIds": [PRODUCT], "activeDate": START.to_string()}).to_string();
    for _ in 0..4 {
        ask(&mut wire, &posted(&now, "")).await;
    }
    assert_eq!(repeats(&node).await, 0.0);
    repeated(&node, &mut wire, &post(&[PRODUCT], "")).await;
}

#[tokio::test]
async fn a_body_that_comes_after_its_answer_is_no_request() {
    let origin = shop().await;
    let node = start(&origin).await;
    let known = get("");
    repeated(&node, &mut connect(&node).await, &known).await;
    let mut wire = connect(&node).await;
    ask(&mut wire, &known).await;
    // Answered without its body, which looks like the request that is known.
    let trace =
        format!("TRACE / HTTP/1.1\r\nhost: shop\r\ncontent-length: {}\r\n\r\n", known.len());
    wire.send(&trace).await;
    let (head, _) = wire.message().await;
    assert!(!head.starts_with("HTTP/1.1 200"), "{head}");
    let before = repeats(&node).await;
    // Refused, where the connection is closed already.
    let _ = wire.try_send(known.as_bytes()).await;
    let rest = String::from_utf8_lossy(&wire.rest().await).into_owned();
    assert!(!rest.contains("HTTP/1.1"), "{rest}");
    assert_eq!(repeats(&node).await, before);
}

#[tokio::test]
async fn it_ends_with_its_token() {
    let origin = shop().await;
    let node = Running::start(&origin.service_root(), |config| {
        alone(config);
        config.operations = vec![OperationRule {
            name: "Products/GetActivePrices".to_owned(),
            identity: Some(Identity::Token),
            ..OperationRule::default()
        }];
    })
    .await;
    let mut wire = connect(&node).await;
    let claims = json!({"exp": START.as_millis() / 1_000 + 100}).to_string();
    let token = format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims));
    let request = post(&[PRODUCT], &format!("authorization: Bearer {token}\r\n"));
    repeated(&node, &mut wire, &request).await;
    // Nobody else's, and not nobody's.
    let (head, _) = ask(&mut wire, &post(&[PRODUCT], "")).await;
    assert_eq!(field(&head, "cache-status").unwrap(), "csu-edge; fwd=uri-miss; stored");
    node.clock.advance(Duration::from_secs(100));
    let (head, _) = ask(&mut wire, &request).await;
    let status = field(&head, "cache-status").unwrap();
    assert_eq!(status, "csu-edge; fwd=bypass; detail=credential-expired");
}

#[tokio::test]
async fn however_its_bytes_arrive_each_request_gets_its_own_answer() {
    let origin = shop().await;
    let node = start(&origin).await;
    let (known, other) = (post(&[PRODUCT], ""), post(&[OTHER], ""));
    let (_, of_known) = repeated(&node, &mut connect(&node).await, &known).await;
    let (_, of_other) = repeated(&node, &mut connect(&node).await, &other).await;
    let chunked = format!(
        "POST /Commerce/Products/GetActivePrices?api-version=7.3 HTTP/1.1\r\nhost: shop\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n\
         {:x}\r\n{}\r\n0\r\n\r\n",
        known.len(),
        // A body that is a request, to whoever loses count.
        known
    );
    for cut in [1, 24, 25, known.len() / 2, known.len() - 1] {
        let mut wire = connect(&node).await;
        ask(&mut wire, &other).await;
        for part in [&known[..cut], &known[cut..]] {
            wire.send(part).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(wire.message().await.1, of_known, "cut at {cut}");
        assert_eq!(ask(&mut wire, &other).await.1, of_other);
    }
    // Pipelined: the second and the third are in the same bytes as the end of the first.
    let mut wire = connect(&node).await;
    ask(&mut wire, &known).await;
    wire.send(&[&*other, &*known, &*other].concat()).await;
    for expected in [&of_other, &of_known, &of_other] {
        assert_eq!(&wire.message().await.1, expected);
    }
    // A body that looks like a request is none.
    let mut wire = connect(&node).await;
    ask(&mut wire, &known).await;
    wire.send(&chunked).await;
    let (head, _) = wire.message().await;
    assert!(!head.contains("; hit"), "{head}");
    assert_eq!(ask(&mut wire, &known).await.1, of_known);
}

#[tokio::test]
async fn a_line_before_the_request_is_no_field_that_is_left_out() {
    let origin = shop().await;
    let node = start(&origin).await;
    let mut wire = connect(&node).await;
    repeated(&node, &mut wire, &get("")).await;
    wire.send(&format!("cookie: a\r\n{}", get(""))).await;
    assert!(wire.head().await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn a_connection_that_is_to_be_closed_is_closed() {
    let origin = shop().await;
    let node = start(&origin).await;
    repeated(&node, &mut connect(&node).await, &get("")).await;
    for _ in 0..3 {
        let mut wire = connect(&node).await;
        wire.send(&get("connection: close\r\n")).await;
        let (head, _) = wire.message().await;
        assert_eq!(field(&head, "connection").as_deref(), Some("close"));
        assert!(wire.rest().await.is_empty());
    }
}

#[tokio::test]
async fn a_client_that_takes_its_answer_late_gets_it_whole() {
    // More than the kernel holds for a client that reads nothing.
    let large = "a".repeat(12_000_000);
    let origin = Origin::start(move |_| answer(json!({"value": [large]}).to_string())).await;
    let node = start(&origin).await;
    let mut wire = connect(&node).await;
    let (_, body) = repeated(&node, &mut wire, &get("")).await;
    let before = repeats(&node).await;
    wire.send(&get("")).await;
    let is_given = async {
        while repeats(&node).await == before {
            tokio::task::yield_now().await;
        }
    };
    support::wire::soon(is_given).await;
    assert!(wire.message().await.1 == body);
    repeated(&node, &mut wire, &get("")).await;
}
