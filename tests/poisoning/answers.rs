//! Answers that are for one client, or for one request, and are nobody else's.

use csu_edge::config::GenericPolicy;
use http::{Response, StatusCode};
use http_body_util::Full;

use super::Scene;
use super::support::origin::Origin;

const RFC_9111: GenericPolicy = GenericPolicy::Rfc9111;

async fn answering(status: u16, fields: &'static [(&'static str, &'static str)]) -> Scene {
    let origin = Origin::start(move |seen| {
        // To a plain request the origin has a plain answer.
        let names = ["if-match", "range", "if-unmodified-since"];
        let is_plain = !names.iter().any(|name| seen.headers.contains_key(*name));
        let status = if is_plain && status >= 400 { 200 } else { status };
        let answer = Response::builder().status(StatusCode::from_u16(status).unwrap());
        let answer =
            fields.iter().fold(answer, |answer, (name, value)| answer.header(*name, *value));
        answer.body(Full::from(status.to_string())).unwrap()
    })
    .await;
    Scene::before(origin, RFC_9111, |_| {}).await
}

#[tokio::test]
async fn an_answer_to_credentials_is_kept_only_where_the_origin_says_that_it_is_for_everybody() {
    for (directives, is_kept) in [
        ("max-age=60", false),
        ("private, max-age=60", false),
        ("no-store", false),
        ("public, max-age=60", true),
        ("s-maxage=60", true),
    ] {
        for credentials in [("authorization", "Bearer alice"), ("cookie", "session=alice")] {
            let origin = Origin::start(move |_| {
                let answer = Response::builder().header("cache-control", directives);
                answer.body(Full::from("alice")).unwrap()
            })
            .await;
            let scene = Scene::before(origin, RFC_9111, |_| {}).await;
            scene.get("/page", &[credentials]).await;
            let other = scene.get("/page", &[]).await;
            assert_eq!(other.is_hit(), is_kept, "{directives}, {credentials:?}");
        }
    }
}

#[tokio::test]
async fn a_cookie_is_kept_only_with_a_lifetime_that_its_origin_gave() {
    const COOKIE: (&str, &str) = ("set-cookie", "session=alice");
    let unsaid = answering(200, &[COOKIE, ("last-modified", "Mon, 27 Apr 2020 09:00:00 GMT")]);
    unsaid.await.assert_never_kept("/page", &[]).await;
    let public = answering(200, &[COOKIE, ("cache-control", "public"), ("etag", "\"a\"")]);
    public.await.assert_never_kept("/page", &[]).await;
    // RFC 9111 §7.3 leaves it to the origin, and the operator may have it otherwise.
    let scene = answering(200, &[COOKIE, ("cache-control", "max-age=60")]).await;
    scene.get("/page", &[]).await;
    assert!(scene.get("/page", &[]).await.is_hit());
    let Scene { origin, .. } = scene;
    let strict = |config: &mut csu_edge::config::Config| config.generic.store_set_cookie = false;
    Scene::before(origin, RFC_9111, strict).await.assert_never_kept("/page", &[]).await;
}

#[tokio::test]
async fn a_refusal_of_one_clients_condition_or_range_is_nobody_elses_answer() {
    const FRESH: (&str, &str) = ("cache-control", "public, max-age=60");
    for (status, field) in [
        (412, ("if-match", "\"evil\"")),
        (412, ("if-unmodified-since", "Mon, 27 Apr 2020 09:00:00 GMT")),
        (416, ("range", "bytes=999999-")),
    ] {
        let scene = answering(status, &[FRESH]).await;
        assert_eq!(scene.get("/page", &[field]).await.status(), status);
        let plain = scene.get("/page", &[]).await;
        assert_eq!((plain.status(), plain.is_hit()), (200, false), "{field:?}");
        assert!(scene.get("/page", &[]).await.is_hit());
    }
}
