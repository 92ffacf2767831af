//! Which requests are the same question, and what the origin is asked for one.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test panics"
)]

mod support;

use std::time::Duration;

use csu_edge::clock::Timestamp;
use http::Request;
use support::node::{Running, START, post, with};
use support::origin::{Origin, json, price_of as priced};
use support::reads::{PRODUCT, get, nothing, price, price_of, product, search};

const ACTIVE_PRICES: &str = "/Commerce/Products/GetActivePrices?$top=1000&api-version=7.3";
/// A list of products that is answered as a whole.
const RATINGS: &str = "/Commerce/Products/GetProductRatings?$top=1000&api-version=7.3";
const CHANNEL: &str = "5637154326";

/// What Microsoft's own client sends, at this moment.
fn price_at(active_date: impl std::fmt::Display) -> Request<String> {
    let body = format!(
        r#"{{"projectDomain":{{"ChannelId":{CHANNEL},"CatalogId":0}}, "productIds":[{PRODUCT}],"activeDate":"{active_date}","customerId":null,"affiliationLoyaltyTiers":[] ,"includeSimpleDiscountsInContextualPrice":true}}"#
    );
    post(ACTIVE_PRICES, &body)
}

async fn stage() -> (Origin, Running) {
    let origin = Origin::start(|seen| match seen.target.contains("GetActivePrices") {
        true => json(priced(PRODUCT, "82000", 79.9)),
        false => nothing(),
    })
    .await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    (origin, node)
}

/// Asserts that these requests cost the origin one, or as many as there are.
async fn assert_same(requests: Vec<Request<String>>) {
    let (origin, node) = stage().await;
    for (at, request) in requests.into_iter().enumerate() {
        let told = format!("{request:?}");
        let got = node.send(request).await;
        assert_eq!(got.is_hit(), at > 0, "{told}: {}", got.cache_status());
    }
    assert_eq!(origin.requests(), 1);
    assert_eq!(node.stored().await, 1.0);
}

async fn assert_all_differ(requests: Vec<Request<String>>) {
    let (origin, node) = stage().await;
    for round in ["csu-edge; fwd=uri-miss; stored", "csu-edge; hit; ttl="] {
        for request in &requests {
            let got = node.send(request.clone()).await;
            assert!(got.cache_status().starts_with(round), "{request:?}: {}", got.cache_status());
        }
    }
    assert_eq!(origin.requests(), requests.len());
    assert_eq!(node.stored().await, requests.len() as f64);
}

#[tokio::test]
async fn prices_asked_milliseconds_apart_are_one_question() {
    let (origin, node) = stage().await;
    node.send(price_at(START)).await;
    for millis in [1, 123, 5_000, 54_000] {
        node.clock.advance(Duration::from_millis(millis));
        let got = node.send(price_at(node.clock.now())).await;
        assert!(got.is_hit(), "{}", got.cache_status());
    }
    // A client whose clock is half a minute off means now as well.
    for millis in [-30_000, 30_000_i64] {
        let skewed = node.clock.now().as_millis().saturating_add_signed(millis);
        assert!(node.send(price_at(Timestamp::from_millis(skewed))).await.is_hit());
    }
    assert_eq!(origin.requests(), 1);
    assert_eq!(node.answered("Products/GetActivePrices", "hit").await, 6.0);
}

#[tokio::test]
async fn another_day_is_a_question_of_its_own_and_is_asked_as_it_came() {
    let (origin, node) = stage().await;
    node.send(price_at(START)).await;
    let far = ["2026-06-01T00:00:00Z", "2026-06-01T00:00:00.001Z", "2026-04-27T10:01:01Z"];
    for (at, date) in far.iter().enumerate() {
        assert!(!node.send(price_at(date)).await.is_hit());
        assert!(origin.last().body.contains(date));
        assert!(node.send(price_at(date)).await.is_hit());
        assert_eq!(origin.requests(), at + 2);
    }
    assert_eq!(node.stored().await, 4.0);
}

#[tokio::test]
async fn the_origin_is_asked_for_our_own_moment_and_in_the_form_of_the_key() {
    let (origin, node) = stage().await;
    node.send(price_at(START + Duration::from_secs(40))).await;
    let expected = format!(
        r#"{{"activeDate":"{START}","affiliationLoyaltyTiers":[],"customerId":null,"includeSimpleDiscountsInContextualPrice":true,"productIds":[{PRODUCT}],"projectDomain":{{"CatalogId":0,"ChannelId":{CHANNEL}}}}}"#
    );
    assert_eq!(origin.last().body, expected);
}

/// Else the first client's spelling would be stored for all: an origin that answers each id, or
/// minds a type, answers these bodies differently.
#[tokio::test]
async fn no_spelling_of_a_body_reaches_the_origin() {
    for body in [
        r##"{"productIds":[2,1]}"##,
        r##"{"productIds":[2,1,1,2]}"##,
        r##"{"@odata.type":"#Evil","productIds":[1,2],"productIds@odata.type":"#Collection(Evil)"}"##,
    ] {
        let (origin, node) = stage().await;
        node.send(post(RATINGS, body)).await;
        assert_eq!(origin.last().body, r#"{"productIds":[1,2]}"#);
    }
}

#[tokio::test]
async fn products_whose_ids_differ_past_what_a_float_holds_are_two() {
    assert_all_differ(vec![
        price_of(9_007_199_254_740_992),
        price_of(9_007_199_254_740_993),
        price_of(9_007_199_254_740_994),
        price_of(u64::MAX >> 1),
        price_of((u64::MAX >> 1) - 1),
    ])
    .await;
}

#[tokio::test]
async fn one_question_may_be_written_in_many_ways() {
    let body = |members: &str| post(RATINGS, &format!("{{{members}}}"));
    let domain = r#""projectDomain":{"ChannelId":5637154326,"CatalogId":0}"#;
    assert_same(vec![
        body(&format!(r#"{domain},"productIds":[1,2,3]"#)),
        body(&format!(r#"{domain},"productIds":[3,1,2]"#)),
        body(&format!(r#"{domain},"productIds":[2,1,2,3,3]"#)),
        body(&format!(r#""productIds":[1,2,3],{domain}"#)),
        body("\n\t\"productIds\" : [ 1, 2,\r\n3 ],\"projectDomain\":{\"CatalogId\":0 ,\"ChannelId\":5637154326}"),
    ])
    .await;
    let target = |query: &str| {
        post(&format!("/Commerce/Products/GetActivePrices?{query}"), r#"{"productIds":[1]}"#)
    };
    assert_same(vec![
        target("$top=1000&api-version=7.3"),
        target("api-version=7.3&$top=1000"),
        target("api-version=7.3&%24top=1000"),
        target("utm_source=mail&api-version=7.3&$top=1000&gclid=x&utm_campaign=a%20b"),
    ])
    .await;
    let text = "/Commerce/Products/SearchByText(channelId=5637154326,catalogId=0,searchText=";
    assert_same(vec![
        get(&format!("{text}'shoe'))?$top=5").replace("))", ")")),
        get(&format!("{text}@p1)?$top=5&@p1='shoe'")),
        get(&format!("{text}@other)?@other=%27shoe%27&$top=5")),
        get(&format!("{text}'sh%6Fe')?$top=5")),
    ])
    .await;
}

#[tokio::test]
async fn a_list_that_is_no_set_keeps_its_order() {
    let tiers = |tiers: &str| {
        post(ACTIVE_PRICES, &format!(r#"{{"productIds":[1],"affiliationLoyaltyTiers":{tiers}}}"#))
    };
    assert_all_differ(vec![
        tiers(r#"[{"AffiliationId":1},{"AffiliationId":2}]"#),
        tiers(r#"[{"AffiliationId":2},{"AffiliationId":1}]"#),
        tiers("[]"),
        tiers("null"),
    ])
    .await;
}

#[tokio::test]
async fn a_set_of_which_only_a_part_is_answered_keeps_its_order() {
    let of = |query: &str, ids: &str| {
        let target = format!("/Commerce/Products/GetProductRatings?{query}");
        post(&target, &format!(r#"{{"productIds":{ids}}}"#))
    };
    for query in ["$top=1", "$skip=1", "$top=2&$skip=1"] {
        let (origin, node) = stage().await;
        for ids in ["[1,2]", "[2,1]"] {
            assert!(!node.send(of(query, ids)).await.is_hit(), "{query} {ids}");
            assert_eq!(origin.last().body, format!(r#"{{"productIds":{ids}}}"#));
            assert!(node.send(of(query, ids)).await.is_hit(), "{query} {ids}");
        }
    }
    let paged = |size, ids| with(of("", ids), "prefer", size);
    let (one, two) = ("odata.maxpagesize=1", "odata.maxpagesize=2");
    assert_all_differ(vec![paged(one, "[1,2]"), paged(one, "[2,1]")]).await;
    assert_same(vec![paged(two, "[1,2]"), paged(two, "[2,1]")]).await;
    for query in ["$top=2", "$top=2&$skip=0", ""] {
        assert_same(vec![of(query, "[1,2]"), of(query, "[2,1]"), of(query, "[2,1,2]")]).await;
    }
}

#[tokio::test]
async fn products_that_are_compared_or_recommended_from_keep_their_order() {
    let of = |operation: &str, ids: &str| {
        post(&format!("/Commerce/Products/{operation}"), &format!(r#"{{"productIds":{ids}}}"#))
    };
    for operation in ["Compare", "GetRecommendedProducts"] {
        assert_all_differ(vec![of(operation, "[1,2]"), of(operation, "[2,1]")]).await;
    }
}

#[tokio::test]
async fn what_selects_the_answer_is_told_apart() {
    assert_all_differ(vec![
        product(),
        with(product(), "accept-language", "nb-NO"),
        with(product(), "accept-language", "en-US"),
        with(product(), "oun", "128"),
        with(product(), "oun", "129"),
        with(product(), "accept", "application/json;odata.metadata=none"),
        with(product(), "accept", "application/json;odata.metadata=full"),
        with(product(), "odata-maxversion", "4.0"),
        with(product(), "odata-maxversion", "4.01"),
        with(product(), "prefer", "odata.maxpagesize=10"),
        get("/Commerce/Products(68719489872)/GetById(channelId=5637154326)?api-version=7.3"),
        get("/Commerce/Products(68719489871)/GetById(channelId=5637154327)?api-version=7.3"),
        get("/Commerce/Products(68719489871)/GetById(channelId=5637154326)?api-version=7.4"),
        get("/Commerce/Products(68719489871)/GetById(channelId=5637154326)"),
    ])
    .await;
}

#[tokio::test]
async fn what_does_not_select_the_answer_is_not() {
    let none = "application/json;odata.metadata=none";
    assert_same(vec![
        with(product(), "accept", none),
        with(product(), "accept", "application/json; odata=nometadata"),
        with(with(product(), "accept", none), "requestid", "a"),
        with(with(product(), "accept", none), "appsessionid", "b"),
        with(with(product(), "accept", none), "usersessionid", "c"),
        with(with(product(), "accept", none), "traceparent", "d"),
        with(with(product(), "accept", none), "user-agent", "e"),
        with(with(product(), "accept", none), "cookie", "f=g"),
        with(with(product(), "accept", none), "origin", "https://shop.example"),
        with(with(product(), "accept", none), "referer", "https://shop.example/shoe"),
        with(with(product(), "accept", none), "x-forwarded-host", "evil.example"),
        with(with(product(), "accept", none), "x-anything", "h"),
    ])
    .await;
    assert_same(vec![
        with(search(), "accept-language", "nb-NO, en;q=0.8"),
        with(search(), "accept-language", "NB-no,EN; q=0.8"),
    ])
    .await;
}

#[tokio::test]
async fn a_fetch_carries_these_fields_and_no_other() {
    let (origin, node) = stage().await;
    let mut request = price().map(|body| body.replace(',', " ,"));
    for (name, value) in [
        ("accept", "application/json; odata=nometadata"),
        ("accept-encoding", "br, zstd"),
        ("accept-language", "NB-no"),
        ("appsessionid", "app"),
        ("cache-control", "no-cache"),
        ("connection", "x-hop"),
        ("cookie", "session=alice"),
        ("forwarded", "for=1.2.3.4"),
        ("if-none-match", "\"x\""),
        ("if-modified-since", "Mon, 27 Apr 2026 09:00:00 GMT"),
        ("oun", "128"),
        ("odata-maxversion", "4.0"),
        ("odata-version", "4.0"),
        ("origin", "https://shop.example"),
        ("pragma", "no-cache"),
        ("prefer", "odata.maxpagesize=10"),
        ("range", "bytes=0-1"),
        ("referer", "https://shop.example/"),
        ("requestid", "request"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "a=b"),
        ("user-agent", "storefront/1"),
        ("usersessionid", "user"),
        ("via", "1.1 cdn"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("x-hop", "1"),
        ("x-anything", "2"),
        ("x-original-url", "/Commerce/Carts"),
    ] {
        request = with(request, name, value);
    }
    *request.uri_mut() = format!("{}&utm_source=mail", request.uri()).parse().unwrap();
    let body = format!(
        r#"{{"productIds":[{PRODUCT}],"projectDomain":{{"CatalogId":0,"ChannelId":{CHANNEL}}}}}"#
    );
    let length = body.len().to_string();
    let got = node.send(request).await;
    assert_eq!(got.cache_status(), "csu-edge; fwd=uri-miss; stored");

    let seen = origin.last();
    assert_eq!(seen.method, "POST");
    assert_eq!(seen.target, "/Commerce/Products/GetActivePrices?api-version=7.3");
    assert_eq!(seen.body, body);
    let mut fields: Vec<(&str, &str)> =
        seen.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    fields.sort_unstable();
    let service_root = origin.service_root();
    let host = service_root.strip_prefix("http://").unwrap().strip_suffix("/Commerce").unwrap();
    assert_eq!(
        fields,
        [
            ("accept", "application/json;odata.metadata=none"),
            ("accept-encoding", "gzip"),
            ("accept-language", "nb-NO"),
            ("appsessionid", "app"),
            ("content-length", &*length),
            ("content-type", "application/json"),
            ("host", host),
            ("odata-maxversion", "4.0"),
            ("odata-version", "4.0"),
            ("oun", "128"),
            ("prefer", "odata.maxpagesize=10"),
            ("requestid", "request"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("tracestate", "a=b"),
            ("usersessionid", "user"),
            ("via", "1.1 csu-edge"),
        ]
    );
}

#[tokio::test]
async fn a_get_is_asked_in_its_canonical_form_and_without_a_body() {
    let (origin, node) = stage().await;
    let target = "/commerce/Products/SearchByText(channelId=5637154326,catalogId=0,searchText=@p1)?fbclid=x&$top=5&@p1='shoe'";
    node.send(get(target)).await;
    let seen = origin.last();
    assert_eq!((seen.method.as_str(), seen.body.as_str()), ("GET", ""));
    assert_eq!((seen.header("content-type"), seen.header("content-length")), (None, None));
    assert!(!seen.target.contains("fbclid") && !seen.target.contains("@p1"), "{}", seen.target);
    assert!(node.send(search()).await.is_hit());
}

#[tokio::test]
async fn what_cannot_be_understood_passes_and_is_not_stored() {
    let (origin, node) = stage().await;
    let duplicate = r#"{"productIds":[1],"productIds":[2]}"#;
    for request in [
        post(ACTIVE_PRICES, duplicate),
        post(ACTIVE_PRICES, r#"{"productIds":[1]"#),
        post(ACTIVE_PRICES, "productIds=1"),
        post("/Commerce/Products/GetActivePrices?$top=1&$top=2", r#"{"productIds":[1]}"#),
        with(price(), "content-encoding", "gzip"),
        with(price(), "x-http-method-override", "DELETE"),
        with(with(price(), "oun", "128"), "oun", "129"),
        with(product(), "accept", "application/xml"),
    ] {
        let body = request.body().clone();
        for _ in 0..2 {
            let before = origin.requests();
            let got = node.send(request.clone()).await;
            assert!(got.cache_status().starts_with("csu-edge; fwd=bypass; detail="), "{request:?}");
            assert_eq!(origin.requests(), before + 1, "{request:?}");
            assert_eq!(origin.last().body, body);
        }
    }
    assert_eq!(node.stored().await, 0.0);
    assert_eq!(node.asked("pass", "2xx").await, 16.0);
}
