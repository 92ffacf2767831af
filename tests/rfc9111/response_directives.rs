//! What an answer may ask of a cache (§5.2.2, RFC 8246).

use crate::origin::{not_modified, ok, status};
use crate::play::{reuse, scene, table};

/// §5.2.2.4: never without the origin's word; with it, what is stored serves.
#[tokio::test]
async fn no_cache_is_stored_and_validated_every_time() {
    for directives in ["no-cache", "no-cache, max-age=60", "max-age=60, public, no-cache"] {
        let line = format!("cache-control: {directives}");
        let scene = scene([ok(&[&line, "etag: \"a\""]), not_modified(&["etag: \"a\""])]).await;
        scene.get(&[]).await.fetched().body("#1");
        for _ in 0..3 {
            let told = scene.get(&[]).await;
            told.validated().asked_with("if-none-match", "\"a\"").status(200).body("#1");
        }
    }
}

#[tokio::test]
async fn no_cache_is_validated_by_last_modified_too() {
    let scene = scene([
        ok(&["cache-control: no-cache", "last-modified: {-1000}"]),
        not_modified(&["last-modified: {-1000}"]),
    ])
    .await;
    scene.get(&[]).await.fetched();
    scene.get(&[]).await.validated().status(200).body("#1");
}

/// §5.2.2.4, §5.2.2.7: with names, the fields named are left out, or the whole is validated; the
/// rest of the answer may serve.
#[tokio::test]
async fn directives_with_field_names_keep_those_fields_out() {
    let rows: [(&str, &[&str], &[&str]); 10] = [
        ("no-cache=\"x-a\"", &["x-a"], &["x-b", "x-c"]),
        ("no-cache=\"X-A\"", &["x-a"], &["x-b", "x-c"]),
        ("no-cache=\"x-a, x-b\"", &["x-a", "x-b"], &["x-c"]),
        ("no-cache=\"x-a,x-b\"", &["x-a", "x-b"], &["x-c"]),
        ("no-cache=x-a", &["x-a"], &["x-b", "x-c"]),
        ("no-cache=\"x-none\"", &[], &["x-a", "x-b", "x-c"]),
        ("private=\"x-a\"", &["x-a"], &["x-b", "x-c"]),
        ("private=\"x-a, x-b\"", &["x-a", "x-b"], &["x-c"]),
        ("private=x-a", &["x-a"], &["x-b", "x-c"]),
        ("private=\"x-a\", no-cache=\"x-b\"", &["x-a", "x-b"], &["x-c"]),
    ];
    table(
        &rows,
        |row| row.0.to_owned(),
        async |scene, &(directives, out, kept)| {
            let line = format!("cache-control: max-age=60, {directives}");
            scene.answers([ok(&[&line, "x-a: 1", "x-b: 2", "x-c: 3"])]);
            let told = scene.get(&[]).await;
            told.forwarded().has("x-a").has("x-b").has("x-c");
            let told = scene.get(&[]).await;
            told.reused();
            for name in out {
                told.lacks(name);
            }
            for name in kept {
                told.has(name);
            }
        },
    )
    .await;
}

/// A name list beside the same directive without one: the stricter counts (§4.2.1).
#[tokio::test]
async fn a_bare_directive_counts_beside_one_with_names() {
    reuse(&[
        ("no-cache", &["cache-control: no-cache=\"x-a\", no-cache, max-age=60"], 0, false),
        ("private", &["cache-control: private=\"x-a\", private, max-age=60"], 0, false),
    ])
    .await;
}

/// §5.2.2.2, §5.2.2.8, §5.2.2.10: past the lifetime not even where the origin is gone, but an
/// error.
#[tokio::test]
async fn what_must_be_revalidated_is_not_served_without() {
    let rows = [
        "max-age=10, must-revalidate",
        "max-age=10, MUST-REVALIDATE",
        "max-age=10, proxy-revalidate",
        "s-maxage=10",
        "s-maxage=10, max-age=10",
        "max-age=10, must-revalidate, stale-if-error=600",
        "max-age=10, proxy-revalidate, stale-if-error=600",
        "max-age=10, must-revalidate, stale-while-revalidate=600",
        "max-age=10, proxy-revalidate, stale-while-revalidate=600",
        "no-cache, stale-if-error=600",
    ];
    for directives in rows {
        let line = format!("cache-control: {directives}");
        let scene = scene([ok(&[&line, "etag: \"a\""])]).await;
        scene.get(&[]).await.forwarded();
        scene.origin().stop().await;
        if !directives.starts_with("no-cache") {
            scene.later(5).get(&[]).await.reused().body("#1");
        }
        scene.later(10);
        scene.get(&[]).await.server_error();
        scene.get(&["cache-control: max-stale"]).await.server_error();
    }
}

#[tokio::test]
async fn what_must_be_revalidated_is_used_while_it_is_fresh() {
    reuse(&[
        ("must-revalidate", &["cache-control: must-revalidate, max-age=60"], 50, true),
        ("must-revalidate, over", &["cache-control: must-revalidate, max-age=60"], 70, false),
        ("proxy-revalidate", &["cache-control: proxy-revalidate, max-age=60"], 50, true),
        ("proxy-revalidate, over", &["cache-control: proxy-revalidate, max-age=60"], 70, false),
        ("by heuristic", &["cache-control: must-revalidate", "last-modified: {-1000}"], 90, true),
        ("must-revalidate alone", &["cache-control: must-revalidate"], 0, false),
    ])
    .await;
}

/// RFC 8246 §2: arguments have no meaning, repetitions neither, nor has it any in a request.
#[tokio::test]
async fn immutable_changes_nothing_for_who_must_validate() {
    let rows = ["immutable", "immutable=1", "immutable, immutable", "IMMUTABLE"];
    table(
        &rows,
        |row| (*row).to_owned(),
        async |scene, directive| {
            let line = format!("cache-control: max-age=60, {directive}");
            scene.answers([ok(&[&line, "etag: \"a\""]), not_modified(&["etag: \"a\""])]);
            scene.get(&[]).await.fetched();
            scene.get(&[]).await.reused();
            scene.get(&["cache-control: immutable"]).await.reused();
            scene.later(70);
            let told = scene.get(&["cache-control: immutable"]).await;
            told.validated().status(200).body("#1");
        },
    )
    .await;
}

/// §5.2.2.6 and RFC 9110 §7.7: the content stays as it is.
#[tokio::test]
async fn no_transform_leaves_the_content_alone() {
    let text = "{\"value\":\"all of it\"}".repeat(1_000);
    let scene =
        scene([ok(&["cache-control: max-age=60, no-transform", "content-type: application/json"])
            .body(&text)])
        .await;
    for _ in 0..3 {
        let told = scene.get(&["accept-encoding: gzip, br"]).await;
        told.status(200).body(&text).lacks("content-encoding");
    }
    assert_eq!(scene.asked().len(), 1);
}

/// RFC 9110 §8.8.1: whoever encodes an answer anew must not leave it a strong validator that says
/// it is what it was.
#[tokio::test]
async fn an_answer_that_is_encoded_here_has_no_strong_tag_of_the_plain_one() {
    let text = "{\"value\":\"all of it\"}".repeat(1_000);
    let lines = ["cache-control: max-age=60", "content-type: application/json", "etag: \"a\""];
    let scene = scene([ok(&lines).body(&text)]).await;
    for _ in 0..3 {
        let told = scene.get(&["accept-encoding: gzip, br"]).await;
        if told.got.headers.contains_key("content-encoding") {
            assert_ne!(told.got.header("etag"), Some("\"a\""));
            assert!(told.got.all("vary").to_lowercase().contains("accept-encoding"));
        } else {
            told.body(&text).field("etag", "\"a\"");
        }
        scene.get(&[]).await.lacks("content-encoding").body(&text).field("etag", "\"a\"");
    }
}

/// §5.2.2.9 with §4.2.2: it allows to store; it does not say how long.
#[tokio::test]
async fn public_allows_to_store_what_has_no_lifetime_and_then_it_is_validated() {
    let scene = scene([
        status(200, &["cache-control: public, max-age=0", "etag: \"a\""]),
        not_modified(&["etag: \"a\""]),
    ])
    .await;
    scene.get(&[]).await.fetched();
    scene.get(&[]).await.validated().status(200).body("#1");
}
