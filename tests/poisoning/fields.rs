//! What the catalogue does not know, cached by HTTP's own rules: which fields go on.

use csu_edge::config::{GenericPolicy, RequestFields};
use http::{HeaderName, Response};
use http_body_util::Full;

use super::hostile::{METHODS, OVERRIDES};
use super::support::origin::Origin;
use super::{Scene, echo, fields_of};

const RFC_9111: GenericPolicy = GenericPolicy::Rfc9111;

/// What describes what is asked for, and is the origin's to mind.
const END_TO_END: [(&str, &str); 11] = [
    ("accept", "image/avif, image/*;q=0.5"),
    ("accept-encoding", "br, gzip"),
    ("accept-language", "nb-NO"),
    ("dnt", "1"),
    ("origin", "https://shop.example"),
    ("referer", "https://shop.example/"),
    ("sec-fetch-mode", "navigate"),
    ("user-agent", "browser/1"),
    ("x-anything", "1"),
    ("x-requested-with", "fetch"),
    ("x-theme", "dark"),
];

#[tokio::test]
async fn end_to_end_fields_go_on_and_those_that_make_it_another_request_do_not() {
    let scene = Scene::under(RFC_9111).await;
    let mut fields = END_TO_END.to_vec();
    fields.extend(OVERRIDES);
    fields.extend(METHODS.map(|name| (name, "EVIL")));
    fields.extend([
        ("connection", "x-hop, content-type, authorization"),
        ("x-hop", "evil"),
        ("keep-alive", "evil"),
        ("proxy-authorization", "Basic ZXZpbA=="),
        ("te", "trailers"),
        ("max-forwards", "0"),
        ("trailer", "evil"),
    ]);
    let heard = scene.get("/media/a.png", &fields).await;
    assert_eq!(heard.cache_status(), "csu-edge; fwd=uri-miss; stored");
    let mut expected = END_TO_END.to_vec();
    expected.push(("via", "1.1 csu-edge"));
    expected.sort_unstable();
    assert_eq!(fields_of(&scene.origin.last()), expected);
    let plain = scene.get("/media/a.png", &[]).await;
    assert!(plain.is_hit());
    assert!(!plain.body.to_lowercase().contains("evil"), "{}", plain.body);
}

#[tokio::test]
async fn each_override_alone_leaves_the_request_to_the_origin_as_it_is() {
    let scene = Scene::under(RFC_9111).await;
    let methods = METHODS.map(|name| (name, "DELETE"));
    for (at, (name, value)) in OVERRIDES.into_iter().chain(methods).enumerate() {
        let target = format!("/media/{at}");
        scene.get(&target, &[(name, value)]).await;
        let seen = scene.origin.last();
        assert_eq!((&*seen.method, &*seen.target), ("GET", &*target), "{name}");
        assert_eq!(fields_of(&seen), [("via", "1.1 csu-edge")], "{name}");
        assert!(scene.get(&target, &[]).await.is_hit(), "{name}");
    }
}

#[tokio::test]
async fn with_a_list_only_what_is_listed_goes_on() {
    let scene = Scene::with(RFC_9111, |config| {
        let listed = vec![HeaderName::from_static("accept"), HeaderName::from_static("x-theme")];
        config.generic.request_fields = RequestFields::Listed(listed);
    })
    .await;
    let mut fields = END_TO_END.to_vec();
    fields.extend(OVERRIDES);
    fields.push(("cache-control", "max-age=30"));
    scene.get("/media/a.png", &fields).await;
    assert_eq!(
        fields_of(&scene.origin.last()),
        [
            ("accept", "image/avif, image/*;q=0.5"),
            // What caches act on goes on under any rule.
            ("cache-control", "max-age=30"),
            ("via", "1.1 csu-edge"),
            ("x-theme", "dark"),
        ]
    );
}

#[tokio::test]
async fn variants_are_told_apart_by_what_goes_on_and_by_nothing_else() {
    let origin = Origin::start(|seen| {
        let mut answer = echo(seen);
        let names = "X-Theme, X-Forwarded-Host, X-Original-URL".parse().unwrap();
        answer.headers_mut().insert("vary", names);
        answer
    })
    .await;
    let scene = Scene::before(origin, RFC_9111, |_| {}).await;
    let dark = ("x-theme", "dark");
    let evil = ("x-forwarded-host", "evil.example");
    for (fields, is_hit) in [
        (&[evil, dark][..], false),
        (&[dark], true),
        (&[dark, ("x-original-url", "/evil")], true),
        (&[evil], false),
        (&[], true),
        (&[("x-theme", "light")], false),
        (&[("x-theme", "dark, light")], false),
    ] {
        let heard = scene.get("/page", fields).await;
        assert_eq!(heard.is_hit(), is_hit, "{fields:?}");
        assert!(!heard.body.contains("evil"), "{}", heard.body);
    }
    assert_eq!(scene.node.stored().await, 4.0);
}

#[tokio::test]
async fn a_client_cannot_have_a_field_taken_away_that_makes_the_request_its_own() {
    let origin = Origin::start(|_| {
        let answer = Response::builder().header("cache-control", "max-age=60");
        answer.body(Full::from("of one client")).unwrap()
    })
    .await;
    let scene = Scene::before(origin, RFC_9111, |_| {}).await;
    let fields = [("authorization", "Bearer t"), ("connection", "authorization")];
    scene.assert_never_kept("/page", &fields).await;
    assert_eq!(scene.origin.last().header("authorization"), Some("Bearer t"));
    // A cookie that is taken away is not sent either, so the answer is nobody's.
    scene.get("/page", &[("cookie", "session=alice"), ("connection", "cookie")]).await;
    assert_eq!(scene.origin.last().header("cookie"), None);
}
