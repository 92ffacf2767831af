//! Browsers' preflights, where the stand-in was told to answer them.

use std::time::Duration;

use csu_edge::sandbox::{Settings, Sickness};
use http::{Method, StatusCode};

use crate::client::{Reply, Scene};

const PRICES: &str = "/Commerce/Products/GetActivePrices?api-version=7.3";
const PREFLIGHT: [(&str, &str); 3] = [
    ("origin", "http://shop.example"),
    ("access-control-request-method", "POST"),
    ("access-control-request-headers", "content-type,oun"),
];

async fn ask(scene: &Scene, headers: &[(&str, &str)]) -> Reply {
    scene.send(Method::OPTIONS, PRICES, headers, "").await.unwrap()
}

#[tokio::test]
async fn a_preflight_is_answered_at_once_and_not_counted() {
    let hour = Duration::from_secs(3_600);
    let settings = Settings { preflights: true, latency: hour, ..Settings::default() };
    let scene = Scene::new(settings).await;
    assert!(scene.sandbox.fault("*", Sickness::Hang, hour));
    let reply = ask(&scene, &PREFLIGHT).await;
    assert_eq!((reply.status, reply.bytes.len()), (StatusCode::NO_CONTENT, 0));
    assert_eq!(reply.header("access-control-allow-origin"), "http://shop.example");
    assert_eq!(reply.header("access-control-allow-methods"), "GET, HEAD, POST");
    assert_eq!(reply.header("access-control-allow-headers"), "content-type,oun");
    assert_eq!(reply.header("access-control-max-age"), "600");
    assert_eq!(reply.header("vary"), "Origin, Access-Control-Request-Headers");
    assert_eq!(scene.sandbox.total_requests(), 0);
}

#[tokio::test]
async fn other_requests_by_options_are_refused_as_ever() {
    let answering = Scene::new(Settings { preflights: true, ..Settings::default() }).await;
    let standard = Scene::standard().await;
    let without = |name: &str| -> Vec<(&str, &str)> {
        PREFLIGHT.into_iter().filter(|(other, _)| *other != name).collect()
    };
    for (scene, headers) in [
        (&answering, without("origin")),
        (&answering, without("access-control-request-method")),
        (&standard, PREFLIGHT.to_vec()),
    ] {
        let reply = ask(scene, &headers).await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{headers:?}");
        assert_eq!(reply.header("access-control-max-age"), "");
        assert_eq!(scene.sandbox.requests("Products/GetActivePrices"), 0);
    }
}
