//! What this cache tells of itself (RFC 9211).

use crate::origin::{not_modified, ok, status};
use crate::play::scene;

const MINUTE: &str = "cache-control: max-age=60";

/// RFC 9211 §2.1, §2.4.
#[tokio::test]
async fn a_hit_is_told_with_what_is_left_of_its_lifetime() {
    let scene = scene([ok(&[MINUTE])]).await;
    scene.get(&[]).await.forwarded();
    scene.get(&[]).await.reused().tells("hit").tells("ttl=60");
    scene.later(20);
    let told = scene.get(&[]).await;
    told.reused().tells("hit").tells("ttl=40");
    assert!(!told.member().contains("fwd="), "{}", told.member());
    // RFC 9211 §2.4: negative once it is over.
    scene.later(50);
    let told = scene.get(&["cache-control: max-stale"]).await;
    told.reused().tells("hit").tells("ttl=-10");
}

/// RFC 9211 §2.2, §2.5.
#[tokio::test]
async fn a_miss_tells_why_and_whether_it_is_stored() {
    let scene = scene([ok(&[MINUTE])]).await;
    let told = scene.get(&[]).await;
    told.tells("fwd=uri-miss").tells("stored");
    assert!(!told.member().contains("hit"), "{}", told.member());
}

#[tokio::test]
async fn what_is_not_stored_does_not_say_so() {
    for line in ["cache-control: no-store", "cache-control: private", "x-none: 1"] {
        let scene = scene([ok(&[line])]).await;
        let told = scene.get(&[]).await;
        told.tells("fwd=uri-miss");
        assert!(!told.member().contains("stored"), "{}", told.member());
    }
}

/// RFC 9211 §2.2: another variant is stored.
#[tokio::test]
async fn a_request_that_no_variant_fits_tells_so() {
    let scene = scene([ok(&[MINUTE, "vary: x-a"])]).await;
    scene.get(&["x-a: 1"]).await.tells("fwd=uri-miss");
    scene.get(&["x-a: 2"]).await.tells("fwd=vary-miss").tells("stored");
    scene.get(&["x-a: 2"]).await.tells("hit");
}

/// RFC 9211 §2.2, §2.3.
#[tokio::test]
async fn what_is_stale_tells_so_and_what_the_origin_said() {
    let scene = scene([
        ok(&[MINUTE, "etag: \"a\""]),
        not_modified(&["etag: \"a\"", MINUTE]),
        ok(&[MINUTE]),
    ])
    .await;
    scene.get(&[]).await.forwarded();
    scene.later(70);
    scene.get(&[]).await.validated().tells("fwd=stale").tells("fwd-status=304");
    scene.get(&[]).await.reused().tells("hit");
    scene.later(70);
    scene.get(&[]).await.validated().tells("fwd=stale").tells("stored");
}

/// RFC 9211 §2.2: the request's own directives.
#[tokio::test]
async fn what_the_request_demands_tells_so() {
    for line in
        ["cache-control: no-cache", "cache-control: max-age=0", "cache-control: min-fresh=90"]
    {
        let scene = scene([ok(&[MINUTE])]).await;
        scene.get(&[]).await.forwarded();
        scene.later(1);
        scene.get(&[line]).await.forwarded().tells("fwd=request");
    }
}

/// RFC 9211 §2.2.
#[tokio::test]
async fn another_method_tells_so() {
    let scene = scene([ok(&[])]).await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let told = scene.send(method, &[]).await;
        let member = told.forwarded().member();
        assert!(member.contains("fwd=method") || member.contains("fwd=bypass"), "{member}");
    }
}

/// RFC 9211 §2: each cache adds its own at the end.
#[tokio::test]
async fn what_caches_further_in_tell_stays_before() {
    let scene = scene([ok(&[MINUTE, "cache-status: inner; hit; ttl=5"])]).await;
    for own in ["fwd=uri-miss", "hit"] {
        let told = scene.get(&[]).await;
        let all = told.got.all("cache-status");
        assert!(all.starts_with("inner; hit; ttl=5, csu-edge; "), "{all}");
        told.tells(own);
        assert_eq!(all.matches("csu-edge").count(), 1, "{all}");
    }
}

/// RFC 9211 §2.3 where it is another than the client's.
#[tokio::test]
async fn a_stale_answer_after_a_failure_tells_of_it() {
    let scene =
        scene([ok(&["cache-control: max-age=10, stale-if-error=60"]), status(503, &[])]).await;
    scene.get(&[]).await.forwarded();
    scene.later(20);
    let told = scene.get(&[]).await;
    told.status(200).body("#1").tells("fwd=stale").tells("fwd-status=503");
}

/// RFC 9211 §2: a 304 or a part that is made here is a hit all the same.
#[tokio::test]
async fn conditions_and_ranges_are_hits() {
    let scene = scene([ok(&[MINUTE, "etag: \"a\""])]).await;
    scene.get(&[]).await.forwarded();
    scene.get(&["if-none-match: \"a\""]).await.status(304).tells("hit");
    scene.get(&["range: bytes=0-0"]).await.status(206).tells("hit");
    scene.head(&[]).await.status(200).tells("hit");
}

/// RFC 9211 §2.2: a request without leave to go forward did not.
#[tokio::test]
async fn an_only_if_cached_that_fails_went_nowhere() {
    let scene = scene([ok(&[MINUTE])]).await;
    let told = scene.get(&["cache-control: only-if-cached"]).await;
    let member = told.status(504).member();
    assert!(member.starts_with("csu-edge"), "{member}");
    assert!(!member.contains("fwd") && !member.contains("hit"), "{member}");
}
