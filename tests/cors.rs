//! CORS as browsers see it: each web origin is told its own, and nobody the origin's.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test panics"
)]

mod support;

use csu_edge::config::{AllowedOrigins, Cors};
use http::{HeaderValue, StatusCode};
use support::node::{Got, Running, request};
use support::origin::{Origin, json as answer};

const PRODUCT: &str = "/Commerce/Products(68719489871)/GetById(channelId=5637154326)";
const CART: &str = "/Commerce/Carts('1')";
const SHOP: &str = "https://shop.example";
const OUTLET: &str = "https://outlet.example";

/// An origin that tells every reader about one web origin of its own.
async fn origin() -> Origin {
    Origin::start(|_| {
        let mut response = answer(r#"{"RecordId":68719489871}"#);
        for (name, value) in [
            ("access-control-allow-origin", "https://backoffice.example"),
            ("access-control-allow-credentials", "true"),
            ("access-control-expose-headers", "x-secret"),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    })
    .await
}

async fn node_before(origin: &Origin) -> Running {
    Running::start(&origin.service_root(), |config| {
        let listed = [SHOP, OUTLET].map(HeaderValue::from_static);
        let mut cors = Cors::for_origins(AllowedOrigins::Listed(listed.to_vec()));
        cors.allow_credentials = true;
        config.cors = Some(cors);
    })
    .await
}

fn allowed(got: &Got) -> Option<&str> {
    got.header("access-control-allow-origin")
}

#[tokio::test]
async fn two_web_origins_read_one_stored_answer_and_are_each_told_their_own() {
    let origin = origin().await;
    let node = node_before(&origin).await;
    for (web_origin, hit) in [(SHOP, false), (OUTLET, true), (SHOP, true)] {
        let got = node.get_with(PRODUCT, &[("origin", web_origin)]).await;
        assert_eq!(got.is_hit(), hit);
        assert_eq!(allowed(&got), Some(web_origin));
        assert_eq!(got.header("access-control-allow-credentials"), Some("true"));
        assert!(got.all("access-control-expose-headers").contains("cache-status"));
        assert!(!got.all("access-control-expose-headers").contains("x-secret"));
        assert!(got.all("vary").contains("Origin"), "{}", got.all("vary"));
    }
    for stranger in [&[("origin", "https://evil.example")][..], &[("origin", "null")], &[]] {
        let got = node.get_with(PRODUCT, stranger).await;
        assert!(got.is_hit());
        assert_eq!(allowed(&got), None);
        assert!(got.all("vary").contains("Origin"));
    }
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn a_pass_and_an_error_carry_the_same_fields_as_a_hit() {
    let origin = origin().await;
    let node = node_before(&origin).await;
    let passed = node.get_with(CART, &[("origin", SHOP)]).await;
    assert_eq!(passed.cache_status(), "csu-edge; fwd=bypass; detail=not-in-catalogue");
    assert_eq!(allowed(&passed), Some(SHOP));
    drop(origin);
    // The connection may be noticed as closed at any moment; each way it is an error.
    let failed = node.get_with(&format!("{PRODUCT}?b=1"), &[("origin", OUTLET)]).await;
    assert_eq!(failed.status, StatusCode::BAD_GATEWAY);
    assert_eq!(allowed(&failed), Some(OUTLET));
}

#[tokio::test]
async fn a_preflight_is_answered_without_the_origin() {
    let origin = origin().await;
    let node = node_before(&origin).await;
    let ask = |web_origin| {
        let fields = [
            ("origin", web_origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type, oun"),
        ];
        node.send(request("OPTIONS", PRODUCT, &fields))
    };
    let got = ask(SHOP).await;
    assert_eq!((got.status, got.body.len()), (StatusCode::NO_CONTENT, 0));
    assert_eq!(allowed(&got), Some(SHOP));
    assert_eq!(got.header("access-control-allow-credentials"), Some("true"));
    assert!(got.all("access-control-allow-methods").contains("POST"));
    assert!(got.all("access-control-allow-headers").contains("oun"));
    assert_eq!(got.header("access-control-max-age"), Some("600"));

    let refused = ask("https://evil.example").await;
    assert_eq!((refused.status, allowed(&refused)), (StatusCode::FORBIDDEN, None));
    assert_eq!(origin.requests(), 0);
    let itself = "csu_edge_requests_total{class=\"none\",operation=\"other\",result=\"itself\"}";
    assert_eq!(node.metric(itself).await, 2.0);
}

#[tokio::test]
async fn without_settings_the_origins_word_reaches_passes_but_never_the_store() {
    let origin = origin().await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    for _ in 0..2 {
        let got = node.get_with(PRODUCT, &[("origin", SHOP)]).await;
        assert_eq!(allowed(&got), None);
        assert_eq!(got.header("access-control-expose-headers"), None);
    }
    assert_eq!(allowed(&node.get(CART).await), Some("https://backoffice.example"));
    let asked = [("origin", SHOP), ("access-control-request-method", "POST")];
    let preflight = node.send(request("OPTIONS", CART, &asked)).await;
    assert_eq!(preflight.status, StatusCode::OK);
    assert_eq!(origin.seen().last().unwrap().method, "OPTIONS");
}
