//! HEAD: answered from what a GET stored, and what it tells of it (§4, §4.3.5, RFC 9110 §9.3.2).

use crate::origin::{Answer, not_modified, ok, status};
use crate::play::{Scene, scene, table};

const MINUTE: &str = "cache-control: max-age=60";

/// §4: the method of the stored request allows it.
#[tokio::test]
async fn a_head_is_answered_from_what_a_get_stored() {
    let scene =
        scene([ok(&[MINUTE, "etag: \"a\"", "x-mark: 1", "content-type: text/plain"])]).await;
    scene.get(&[]).await.forwarded();
    scene.later(20);
    let told = scene.head(&[]).await;
    told.reused().status(200).body("").field("x-mark", "1").field("age", "20");
    told.field("etag", "\"a\"").field("content-type", "text/plain").field("content-length", "2");
    scene.head(&["if-none-match: \"a\""]).await.reused().status(304);
    scene.head(&["range: bytes=0-0"]).await.reused().status(200).lacks("content-range");
}

#[tokio::test]
async fn a_head_of_another_status_is_answered_from_the_store() {
    let scene = scene([status(404, &[MINUTE])]).await;
    scene.get(&[]).await.forwarded();
    scene.head(&[]).await.reused().status(404).body("");
}

/// RFC 9110 §9.3.2: it goes on as it is, and its answer has no content to give to a GET.
#[tokio::test]
async fn the_answer_to_a_head_is_not_given_to_a_get() {
    let scene = scene([ok(&[MINUTE, "x-mark: 1"])]).await;
    let told = scene.head(&[]).await;
    told.forwarded().status(200).body("").field("x-mark", "1");
    assert_eq!(told.asked[0].method, "HEAD");
    scene.get(&[]).await.fetched().status(200).body("#2");
    scene.head(&[]).await.reused();
    scene.get(&[]).await.reused().body("#2");
}

#[tokio::test]
async fn the_answer_to_a_head_with_no_store_is_given_to_nobody() {
    let scene = scene([ok(&["cache-control: no-store"])]).await;
    scene.head(&[]).await.forwarded();
    scene.head(&[]).await.forwarded();
    scene.get(&[]).await.forwarded().body("#3");
}

/// What a HEAD is told while a GET's answer is stored and stale.
async fn told_by_head(stored: &[&str], head: Answer) -> Scene {
    let scene = scene([ok(stored), head, ok(&[MINUTE]).body("new")]).await;
    scene.get(&[]).await.fetched();
    scene.later(70);
    scene.head(&[]).await.forwarded().body("");
    scene
}

/// §4.3.5: the same validators, and the same length where it is told: SHOULD update.
#[tokio::test]
async fn a_head_that_agrees_freshens_what_is_stored() {
    const CHANGED: &str = "last-modified: Mon, 27 Apr 2026 08:00:00 GMT";
    let rows: [(&str, &[&str], &[&str]); 5] = [
        ("tag", &[MINUTE, "etag: \"a\""], &[MINUTE, "etag: \"a\""]),
        ("weak tag", &[MINUTE, "etag: W/\"a\""], &[MINUTE, "etag: W/\"a\""]),
        ("date", &[MINUTE, CHANGED], &[MINUTE, CHANGED]),
        ("both", &[MINUTE, "etag: \"a\"", CHANGED], &[MINUTE, "etag: \"a\"", CHANGED]),
        ("length", &[MINUTE, "etag: \"a\""], &[MINUTE, "etag: \"a\"", "content-length: 2"]),
    ];
    for (name, stored, head) in rows {
        let head = [head, &["x-mark: 2"]].concat();
        let scene = told_by_head(&[stored, &["x-mark: 1", "x-kept: 1"]].concat(), ok(&head)).await;
        scene.later(50);
        let told = scene.get(&[]).await;
        assert!(told.asked.is_empty(), "{name}: {told:?}");
        told.reused().status(200).body("#1").field("x-mark", "2").field("x-kept", "1");
        told.field("age", "50");
    }
}

/// §4.3.5: otherwise it SHOULD be considered stale. Here it would be fresh but for the HEAD.
#[tokio::test]
async fn a_head_that_contradicts_ends_what_is_stored() {
    let rows: [(&str, &[&str]); 4] = [
        ("another tag", &[MINUTE, "etag: \"b\""]),
        ("another weak tag", &[MINUTE, "etag: W/\"b\""]),
        ("another date", &[MINUTE, "etag: \"a\"", "last-modified: {-5}"]),
        ("another length", &[MINUTE, "etag: \"a\"", "content-length: 3"]),
    ];
    table(
        &rows,
        |row| row.0.to_owned(),
        async |scene, &(_, head)| {
            let stored = ["cache-control: max-age=600", "etag: \"a\"", "last-modified: {-5}"];
            scene.answers([ok(&stored), ok(head), ok(&[MINUTE]).body("new")]);
            scene.get(&[]).await.fetched();
            scene.later(10);
            scene.head(&["cache-control: no-cache"]).await.forwarded().body("");
            scene.get(&[]).await.forwarded().body("new");
        },
    )
    .await;
}

/// The same for what was stale already: the HEAD's lifetime is not that of the old content.
#[tokio::test]
async fn a_head_that_contradicts_does_not_freshen_what_is_stale() {
    for head in ["etag: \"b\"", "content-length: 3"] {
        let scene = told_by_head(&[MINUTE, "etag: \"a\""], ok(&[MINUTE, head])).await;
        scene.get(&[]).await.forwarded().body("new");
    }
}

/// §4.3.5 speaks of 200 alone: an error to a HEAD says nothing of what is stored.
#[tokio::test]
async fn a_head_that_fails_changes_nothing() {
    for code in [404, 500, 503] {
        let scene = scene([ok(&["cache-control: max-age=600"]), status(code, &[])]).await;
        scene.get(&[]).await.fetched();
        scene.head(&["cache-control: no-cache"]).await.forwarded().body("");
        scene.get(&[]).await.reused().status(200).body("#1");
    }
}

/// §4.1 for HEAD: a variant is answered by its own.
#[tokio::test]
async fn a_head_is_answered_by_its_variant() {
    let scene =
        scene([ok(&[MINUTE, "vary: x-a", "etag: \"1\""]), ok(&[MINUTE, "etag: \"2\""])]).await;
    scene.get(&["x-a: 1"]).await.forwarded();
    scene.head(&["x-a: 1"]).await.reused().field("etag", "\"1\"");
    scene.head(&["x-a: 2"]).await.forwarded().field("etag", "\"2\"");
    scene.get(&["x-a: 1"]).await.reused().body("#1").field("etag", "\"1\"");
}

/// §3.5 for HEAD.
#[tokio::test]
async fn a_head_with_credentials_is_shared_with_nobody() {
    let scene = scene([ok(&[MINUTE])]).await;
    scene.head(&["authorization: Bearer ann"]).await.forwarded();
    scene.head(&["authorization: Bearer bob"]).await.forwarded();
    scene.head(&[]).await.forwarded();
}

/// RFC 9110 §13.1.2: a client's own conditions are about what the client has, so that a 304 to them
/// confirms nothing that is stored here.
#[tokio::test]
async fn a_304_to_the_conditions_of_a_head_makes_nothing_fresh() {
    let rows = [
        ("if-none-match: \"mine\"", false),
        ("if-none-match: \"mine\"", true),
        ("if-modified-since: {-5}", false),
        ("if-modified-since: {-5}", true),
    ];
    table(
        &rows,
        |row| format!("{row:?}"),
        async |scene, &(condition, is_invalid)| {
            scene.answers_by(|seen, _| match seen.method.as_str() {
                "HEAD" => not_modified(&["cache-control: max-age=600"]),
                _ => ok(&[MINUTE, "etag: \"a\""]),
            });
            scene.get(&[]).await.fetched();
            if is_invalid {
                scene.send("POST", &[]).await.forwarded().status(200);
            } else {
                scene.later(70);
            }
            scene.head(&[condition]).await.forwarded().status(304);
            scene.get(&[]).await.forwarded();
        },
    )
    .await;
}

/// §4.3.5: what was purged, softly too, is confirmed by a validator or not at all.
#[tokio::test]
async fn a_head_without_a_validator_undoes_no_purge() {
    for (mode, head, confirmed) in [
        ("soft", &[MINUTE][..], false),
        ("hard", &[MINUTE], false),
        ("soft", &[MINUTE, "etag: \"a\""], true),
    ] {
        let scene = scene([ok(&[MINUTE, "etag: \"a\""]), ok(head)]).await;
        scene.get(&[]).await.fetched();
        scene.play().purge(&format!("generic/url:{}", scene.target), mode).await;
        scene.head(&[]).await.forwarded().status(200);
        let told = scene.get(&[]).await;
        if confirmed {
            told.reused()
        } else {
            told.forwarded()
        };
    }
}
