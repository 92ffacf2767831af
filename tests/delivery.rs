//! What a client gets: codings, entity tags, HEAD, links, and the fields that a cache adds.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test panics"
)]

mod support;

use std::io::{Read, Write};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::IF_NONE_MATCH;
use http::{Response, StatusCode};
use http_body_util::Full;
use support::node::{Got, Running, price_request, request};
use support::origin::{Origin, json as answer, with_status};

const PRODUCT: &str = "/Commerce/Products(68719489871)/GetById(channelId=5637154326)";
const ENTITY: &str = r#"{"RecordId":68719489871,"ItemId":"82000","Name":"Lamp"}"#;
const FIRST_PAGE: &str =
    "/Commerce/Products/SearchByCategory(channelId=5637154326,catalogId=0,categoryId=7)?$top=50";

/// Large enough to be worth compressing.
fn large() -> String {
    let products: Vec<String> = (0..100)
        .map(|at| format!(r#"{{"RecordId":{at},"ItemId":"{at}","Name":"Lamp no. {at}"}}"#))
        .collect();
    format!(r#"{{"value":[{}]}}"#, products.join(","))
}

fn plain(got: &Got) -> String {
    let mut text = String::new();
    match got.header("content-encoding") {
        None => return got.text(),
        Some("gzip") => flate2::read::GzDecoder::new(&got.body[..]).read_to_string(&mut text),
        Some("br") => brotli::Decompressor::new(&got.body[..], 4096).read_to_string(&mut text),
        Some(other) => panic!("{other}"),
    }
    .unwrap();
    text
}

async fn node_before(origin: &Origin) -> Running {
    Running::start(&origin.service_root(), |_| {}).await
}

#[tokio::test]
async fn a_body_comes_in_the_coding_that_the_client_prefers() {
    let origin = Origin::start(|_| answer(large())).await;
    let node = node_before(&origin).await;
    let uncompressed = node.get(FIRST_PAGE).await;
    assert_eq!(uncompressed.header("content-encoding"), None);
    assert_eq!(uncompressed.text(), large());

    for (accepted, coding) in [
        ("gzip", Some("gzip")),
        ("br", Some("br")),
        ("gzip, deflate, br, zstd", Some("br")),
        ("gzip;q=1, br;q=0.5", Some("gzip")),
        ("identity", None),
        ("zstd", None),
        ("gzip;q=0", None),
    ] {
        let got = node.get_with(FIRST_PAGE, &[("accept-encoding", accepted)]).await;
        assert!(got.is_hit(), "{accepted}");
        assert_eq!(got.header("content-encoding"), coding, "{accepted}");
        assert_eq!(plain(&got), large(), "{accepted}");
        assert_eq!(got.header("etag"), uncompressed.header("etag"), "{accepted}");
        assert!(got.all("vary").contains("Accept-Encoding"), "{accepted}");
        assert_eq!(got.header("content-length").unwrap(), got.body.len().to_string());
        assert_eq!(coding.is_some(), got.body.len() < large().len() / 2, "{accepted}");
    }
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn a_client_that_has_the_answer_is_told_304_and_nothing_else() {
    let origin = Origin::start(|_| answer(ENTITY)).await;
    let node = node_before(&origin).await;
    let etag = node.get(PRODUCT).await.header("etag").unwrap().to_owned();
    assert!(etag.starts_with("W/\""), "{etag}");
    node.clock.advance(Duration::from_secs(5));

    let strong = etag.trim_start_matches("W/");
    let listed = format!("\"other\", {etag}");
    for condition in [etag.as_str(), strong, &listed, "*"] {
        for method in ["GET", "HEAD"] {
            let asked = request(method, PRODUCT, &[("if-none-match", condition)]);
            let got = node.send(asked).await;
            assert_eq!(got.status, StatusCode::NOT_MODIFIED, "{method} {condition}");
            assert_eq!(got.header("etag"), Some(etag.as_str()));
            assert_eq!(got.header("age"), Some("5"));
            assert_eq!(got.cache_status(), "csu-edge; hit; ttl=895");
            assert!(got.all("vary").contains("OUN"));
            assert_eq!(got.header("content-type"), None);
            assert!(got.body.is_empty());
        }
    }
    let other = node.get_with(PRODUCT, &[("if-none-match", "\"other\"")]).await;
    assert_eq!((other.status, other.text().as_str()), (StatusCode::OK, ENTITY));

    // A fetch too may end in what the client has.
    let tags = serde_json::json!({"tags": ["*"], "mode": "hard"});
    assert_eq!(node.control_post("/purge", &tags).await.status, StatusCode::OK);
    let again = node.get_with(PRODUCT, &[("if-none-match", &etag)]).await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    assert_eq!(again.cache_status(), "csu-edge; fwd=miss; stored; detail=purged");
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn a_condition_on_a_post_is_not_answered_with_304() {
    let origin = Origin::start(|_| answer(support::origin::price_of(1, "a", 5))).await;
    let node = node_before(&origin).await;
    let etag = node.prices(&[1]).await.headers["etag"].clone();
    let mut asked = price_request(&[1]);
    asked.headers_mut().insert(IF_NONE_MATCH, etag);
    let got = node.send(asked).await;
    assert!(got.is_hit());
    assert_eq!((got.status, got.price()), (StatusCode::OK, 5.0));
}

#[tokio::test]
async fn a_head_is_answered_like_a_get_and_shares_its_answer() {
    let origin = Origin::start(|_| answer(large())).await;
    let node = node_before(&origin).await;
    let length = large().len().to_string();

    let missed = node.send(request("HEAD", FIRST_PAGE, &[])).await;
    assert_eq!(missed.cache_status(), "csu-edge; fwd=uri-miss; stored");
    let hit = node.send(request("HEAD", FIRST_PAGE, &[])).await;
    assert!(hit.is_hit());
    for got in [&missed, &hit] {
        assert_eq!((got.status, got.body.len()), (StatusCode::OK, 0));
        assert_eq!(got.header("content-length"), Some(length.as_str()));
    }
    let whole = node.get(FIRST_PAGE).await;
    assert!(whole.is_hit());
    assert_eq!(whole.text(), large());
    assert_eq!(whole.header("etag"), hit.header("etag"));
    assert_eq!(origin.requests(), 1);
    assert_eq!(origin.seen()[0].method, "GET");

    let zipped = node.send(request("HEAD", FIRST_PAGE, &[("accept-encoding", "gzip")])).await;
    let body = node.get_with(FIRST_PAGE, &[("accept-encoding", "gzip")]).await.body;
    assert_eq!(zipped.header("content-length").unwrap(), body.len().to_string());
}

fn encoded(coding: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder()
        .header("content-type", "application/json")
        .header("content-encoding", coding)
        .body(Full::new(body.into()))
        .unwrap()
}

#[tokio::test]
async fn a_gzip_answer_of_the_origin_is_kept_plain_and_sent_as_each_client_asks() {
    let origin = Origin::start(|_| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(large().as_bytes()).unwrap();
        encoded("gzip", gzip.finish().unwrap())
    })
    .await;
    let node = node_before(&origin).await;
    for coding in [None, Some("gzip"), Some("br"), None] {
        let got = match coding {
            None => node.get(FIRST_PAGE).await,
            Some(coding) => node.get_with(FIRST_PAGE, &[("accept-encoding", coding)]).await,
        };
        assert_eq!(got.header("content-encoding"), coding);
        assert_eq!(plain(&got), large());
    }
    assert_eq!(origin.requests(), 1);
    assert_eq!(origin.seen()[0].header("accept-encoding"), Some("gzip"));
}

#[tokio::test]
async fn an_answer_in_an_unknown_coding_goes_through_untouched_and_unstored() {
    const CODED: &[u8] = b"\x28\xb5\x2f\xfd not ours to read \xff\x00";
    let origin = Origin::start(|_| encoded("zstd", CODED)).await;
    let node = node_before(&origin).await;
    for _ in 0..2 {
        let got = node.get(PRODUCT).await;
        assert_eq!(got.header("content-encoding"), Some("zstd"));
        assert_eq!(&got.body[..], CODED);
        assert_eq!(got.cache_status(), "csu-edge; fwd=uri-miss; detail=content-encoding");
    }
    assert_eq!(origin.requests(), 2);
    let unstored = "csu_edge_unstored_total{reason=\"content-encoding\"}";
    assert_eq!(node.metric(unstored).await, 2.0);
    assert_eq!(node.metric("csu_edge_stored_entries{tier=\"memory\"}").await, 0.0);
}

/// An origin whose pages lead to the next by its own address, as Retail Server's do.
async fn pages() -> Origin {
    Origin::start(|seen| {
        let host = seen.header("host").unwrap();
        let next = format!("http://{host}{}&$skip=50", seen.target);
        let page = serde_json::json!({"value": [{"RecordId": 1}], "@odata.nextLink": next});
        answer(page.to_string())
    })
    .await
}

fn next_link(got: &Got) -> String {
    got.json()["@odata.nextLink"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_next_page_is_linked_by_the_host_that_each_client_used_and_is_cached_too() {
    let origin = pages().await;
    let node = node_before(&origin).await;
    let mut below_host = None;
    for host in ["shop.example", "other.example:8443", "shop.example"] {
        let page = node.get_with(FIRST_PAGE, &[("host", host)]).await;
        let link = next_link(&page);
        let below =
            link.strip_prefix(&format!("http://{host}")).unwrap_or_else(|| panic!("{link}"));
        assert!(below.starts_with("/Commerce/Products/SearchByCategory("), "{below}");
        below_host = Some(below.to_owned());
    }
    assert_eq!(origin.requests(), 1);

    let second_page = below_host.unwrap();
    let first_time = node.get_with(&second_page, &[("host", "shop.example")]).await;
    assert_eq!(first_time.cache_status(), "csu-edge; fwd=uri-miss; stored");
    let again = node.get_with(&second_page, &[("host", "other.example")]).await;
    assert!(again.is_hit());
    assert!(next_link(&again).starts_with("http://other.example/Commerce/"));
    assert_eq!(origin.requests(), 2);
    assert!(origin.seen()[1].target.contains("skip=50"), "{:?}", origin.seen());
}

#[tokio::test]
async fn only_a_trusted_peer_says_by_which_host_its_client_came() {
    let forwarded = [("x-forwarded-host", "shop.example"), ("x-forwarded-proto", "https")];
    let origin = pages().await;
    let node = node_before(&origin).await;
    let own = format!("http://{}/", node.node.addresses().storefront);
    assert!(next_link(&node.get_with(FIRST_PAGE, &forwarded).await).starts_with(&own));

    let trusting = Running::start(&origin.service_root(), |config| {
        config.forwarded.trusted = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let link = next_link(&trusting.get_with(FIRST_PAGE, &forwarded).await);
    assert!(link.starts_with("https://shop.example/Commerce/"), "{link}");

    let fixed = Running::start(&origin.service_root(), |config| {
        config.forwarded.trusted = vec!["127.0.0.0/8".parse().unwrap()];
        config.storefront.public_root = Some("https://edge.example/Commerce/".parse().unwrap());
    })
    .await;
    let link = next_link(&fixed.get_with(FIRST_PAGE, &forwarded).await);
    assert!(link.starts_with("https://edge.example/Commerce/Products/"), "{link}");
}

#[tokio::test]
async fn the_next_page_of_an_answer_that_is_not_stored_is_linked_by_the_clients_host_too() {
    let origin = Origin::start(|seen| {
        let host = seen.header("host").unwrap();
        let next = format!("http://{host}{}&$skip=50", seen.target);
        let page = serde_json::json!({"value": [{"RecordId": 1}], "@odata.nextLink": next});
        let mut response = answer(page.to_string());
        response.headers_mut().insert("cache-control", "no-store".parse().unwrap());
        response
    })
    .await;
    let node = node_before(&origin).await;
    let page = node.get_with(FIRST_PAGE, &[("host", "shop.example")]).await;
    assert_eq!(page.cache_status(), "csu-edge; fwd=uri-miss; detail=no-store");
    assert!(next_link(&page).starts_with("http://shop.example/Commerce/"), "{}", next_link(&page));
}

#[tokio::test]
async fn an_answer_without_content_is_kept_like_any_other() {
    let origin = Origin::start(|_| {
        Response::builder().status(StatusCode::NO_CONTENT).body(Full::default()).unwrap()
    })
    .await;
    let node = node_before(&origin).await;
    assert_eq!(node.get(PRODUCT).await.cache_status(), "csu-edge; fwd=uri-miss; stored");
    let got = node.get(PRODUCT).await;
    assert!(got.is_hit());
    assert_eq!((got.status, got.body.len()), (StatusCode::NO_CONTENT, 0));
    assert_eq!(got.header("content-length"), None);
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn what_is_not_there_is_remembered_for_half_a_minute_and_what_failed_is_not() {
    const MISSING: &str = r#"{"error":{"code":"NotFound","message":"no such product"}}"#;
    let origin = Origin::start(|_| with_status(StatusCode::NOT_FOUND, MISSING)).await;
    let node = node_before(&origin).await;
    node.get(PRODUCT).await;
    node.clock.advance(Duration::from_secs(29));
    let got = node.get(PRODUCT).await;
    assert_eq!((got.status, got.text().as_str()), (StatusCode::NOT_FOUND, MISSING));
    assert_eq!(got.cache_status(), "csu-edge; hit; ttl=1");
    assert_eq!(got.header("age"), Some("29"));
    node.clock.advance(Duration::from_secs(2));
    assert!(!node.get(PRODUCT).await.is_hit());
    assert_eq!(origin.requests(), 2);

    for status in [401, 403, 429, 500, 503, 306] {
        let status = StatusCode::from_u16(status).unwrap();
        origin.answer(move |_| with_status(status, MISSING));
        let target = format!("{PRODUCT}?api-version={status}", status = status.as_u16());
        let before = origin.requests();
        for _ in 0..2 {
            let got = node.get(&target).await;
            assert_eq!((got.status, got.text().as_str()), (status, MISSING));
            assert_eq!(got.cache_status(), "csu-edge; fwd=uri-miss; detail=status");
            assert_eq!(got.header("age"), None);
        }
        assert_eq!(origin.requests(), before + 2, "{status}");
    }
}

#[tokio::test]
async fn an_error_of_the_proxys_own_is_an_odata_error_and_says_what_the_cache_did() {
    // Nobody listens here any more.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let root = format!("http://{}/Commerce", gone.local_addr().unwrap());
    drop(gone);
    let node = Running::start(&root, |_| {}).await;
    for (target, status) in [
        (PRODUCT, "csu-edge; fwd=uri-miss; detail=origin-unreachable"),
        ("/Commerce/Carts('1')", "csu-edge; fwd=bypass; detail=origin-unreachable"),
    ] {
        let got = node.get(target).await;
        assert_eq!(got.status, StatusCode::BAD_GATEWAY);
        assert_eq!(got.json()["error"]["code"], "csu-edge.origin-unreachable");
        assert!(got.json()["error"]["message"].is_string());
        assert!(got.header("content-type").unwrap().starts_with("application/json"));
        assert_eq!(got.cache_status(), status);
    }
    let outcome = "csu_edge_origin_requests_total{outcome=\"unreachable\",purpose=\"fetch\"}";
    assert_eq!(node.metric(outcome).await, 2.0, "once more, as it was not answered");
}
