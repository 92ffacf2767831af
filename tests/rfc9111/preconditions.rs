//! Conditions that clients ask on (§4.3.2, RFC 9110 §13).

use crate::origin::{not_modified, ok, status};
use crate::play::{Play, scene, table};

/// The validators stored, what is asked, and whether the client has it already.
type Row = (&'static [&'static str], &'static [&'static str], bool);

async fn answered(rows: &[Row]) {
    for method in ["GET", "HEAD"] {
        table(
            rows,
            |row| format!("{row:?}"),
            async |scene, &(validators, lines, has_it)| {
                let lasting = ["cache-control: max-age=6000"];
                scene.answers([ok(&[&lasting[..], validators].concat())]);
                scene.get(&[]).await.forwarded().body("#1");
                scene.later(10);
                let told = scene.send(method, lines).await;
                let body = if has_it || method == "HEAD" { "" } else { "#1" };
                told.reused().status(if has_it { 304 } else { 200 }).body(body);
            },
        )
        .await;
    }
}

/// RFC 9110 §13.1.2, by weak comparison.
#[tokio::test]
async fn if_none_match_is_answered_from_the_store() {
    const STRONG: &[&str] = &["etag: \"a\""];
    const WEAK: &[&str] = &["etag: W/\"a\""];
    answered(&[
        (STRONG, &["if-none-match: \"a\""], true),
        (STRONG, &["if-none-match: W/\"a\""], true),
        (WEAK, &["if-none-match: W/\"a\""], true),
        (WEAK, &["if-none-match: \"a\""], true),
        (STRONG, &["if-none-match: \"b\""], false),
        (WEAK, &["if-none-match: W/\"b\""], false),
        (STRONG, &["if-none-match: \"A\""], false),
        (STRONG, &["if-none-match: a"], false),
        (STRONG, &["if-none-match: \"x\", \"a\", \"y\""], true),
        (STRONG, &["if-none-match: \"x\",W/\"a\""], true),
        (STRONG, &["if-none-match: \"x\" , , \"a\""], true),
        (STRONG, &["if-none-match: \"x\"", "if-none-match: \"a\""], true),
        (STRONG, &["if-none-match: \"x\", \"y\""], false),
        (&["etag: \"a,b\""], &["if-none-match: \"x\", \"a,b\""], true),
        (&["etag: \"a\""], &["if-none-match: \"a,b\""], false),
        (&["etag: \"\""], &["if-none-match: \"\""], true),
        (STRONG, &["if-none-match: *"], true),
        (&[], &["if-none-match: *"], true),
        (&[], &["if-none-match: \"a\""], false),
        (&["last-modified: {-1000}"], &["if-none-match: \"a\""], false),
    ])
    .await;
}

/// RFC 9110 §13.1.3; §4.3.2 lets Date stand where there is no Last-Modified.
#[tokio::test]
async fn if_modified_since_is_answered_from_the_store() {
    const CHANGED: &[&str] = &["last-modified: Mon, 27 Apr 2026 08:00:00 GMT"];
    answered(&[
        (CHANGED, &["if-modified-since: Mon, 27 Apr 2026 08:00:00 GMT"], true),
        (CHANGED, &["if-modified-since: Mon, 27 Apr 2026 08:00:01 GMT"], true),
        (CHANGED, &["if-modified-since: Mon, 27 Apr 2026 07:59:59 GMT"], false),
        (CHANGED, &["if-modified-since: Monday, 27-Apr-26 08:00:00 GMT"], true),
        (CHANGED, &["if-modified-since: Mon Apr 27 08:00:00 2026"], true),
        (CHANGED, &["if-modified-since: Monday, 27-Apr-26 07:59:59 GMT"], false),
        (CHANGED, &["if-modified-since: today"], false),
        (CHANGED, &["if-modified-since: "], false),
        (CHANGED, &["if-modified-since: 0"], false),
        (&[], &["if-modified-since: {+0}"], true),
        (&[], &["if-modified-since: {-3600}"], false),
        (&["date: {-100}"], &["if-modified-since: {-50}"], true),
        (&["date: {-100}"], &["if-modified-since: {-200}"], false),
    ])
    .await;
}

/// RFC 9110 §13.1.3: MUST be ignored beside If-None-Match.
#[tokio::test]
async fn if_none_match_goes_before_if_modified_since() {
    const BOTH: &[&str] = &["etag: \"a\"", "last-modified: Mon, 27 Apr 2026 08:00:00 GMT"];
    answered(&[
        (
            BOTH,
            &["if-none-match: \"b\"", "if-modified-since: Mon, 27 Apr 2026 08:00:00 GMT"],
            false,
        ),
        (BOTH, &["if-none-match: \"a\"", "if-modified-since: Mon, 27 Apr 2026 07:00:00 GMT"], true),
        (BOTH, &["if-none-match: \"a\"", "if-modified-since: Mon, 27 Apr 2026 08:00:00 GMT"], true),
        (
            BOTH,
            &["if-none-match: \"b\"", "if-modified-since: Mon, 27 Apr 2026 07:00:00 GMT"],
            false,
        ),
        (
            &["last-modified: Mon, 27 Apr 2026 08:00:00 GMT"],
            &["if-none-match: \"b\"", "if-modified-since: Mon, 27 Apr 2026 08:00:00 GMT"],
            false,
        ),
    ])
    .await;
}

/// RFC 9110 §15.4.5: what a 304 must carry where the 200 would.
#[tokio::test]
async fn a_304_from_the_store_carries_what_it_must() {
    let scene = scene([ok(&[
        "cache-control: max-age=600",
        "expires: {+600}",
        "etag: \"a\"",
        "vary: accept",
        "content-location: /Commerce/media/there",
        "x-mark: 1",
    ])])
    .await;
    let told = scene.get(&[]).await;
    let date = told.got.header("date").unwrap().to_owned();
    let expires = told.got.header("expires").unwrap().to_owned();
    scene.later(20);
    let told = scene.get(&["if-none-match: \"a\""]).await;
    told.reused()
        .status(304)
        .body("")
        .field("date", &date)
        .field("expires", &expires)
        .field("cache-control", "max-age=600")
        .field("etag", "\"a\"")
        .field("vary", "accept")
        .field("content-location", "/Commerce/media/there")
        .field("age", "20");
    let length = told.got.header("content-length");
    assert!(length.is_none_or(|length| length == "2"), "{length:?}");
    told.lacks("transfer-encoding");
}

/// RFC 9110 §13.2.1: a condition counts only where the answer would be a success.
#[tokio::test]
async fn a_condition_does_not_count_where_the_answer_is_no_success() {
    table(
        &[301, 404, 410, 503],
        |code| format!("{code}"),
        async |scene, &code| {
            scene.answers([status(
                code,
                &["cache-control: max-age=600", "etag: \"a\"", "last-modified: {-1000}"],
            )]);
            scene.get(&[]).await.forwarded();
            scene.get(&["if-none-match: \"a\""]).await.reused().status(code).body("#1");
            scene.get(&["if-none-match: *"]).await.reused().status(code).body("#1");
            scene.get(&["if-modified-since: {+0}"]).await.reused().status(code).body("#1");
        },
    )
    .await;
}

/// §4.3.2: conditions on what is not stored are for the origin, in both directions, and its 304
/// stores nothing.
#[tokio::test]
async fn conditions_on_what_is_not_stored_go_through() {
    let rows = [
        ("if-none-match", "\"a\""),
        ("if-none-match", "W/\"a\", \"b\""),
        ("if-none-match", "*"),
        ("if-modified-since", "Mon, 27 Apr 2026 08:00:00 GMT"),
    ];
    table(
        &rows,
        |row| format!("{row:?}"),
        async |scene, &(name, value)| {
            scene.answers([
                not_modified(&["etag: \"a\"", "cache-control: max-age=600", "x-mark: 1"]),
                ok(&["etag: \"a\"", "cache-control: max-age=600"]),
            ]);
            let told = scene.get(&[&format!("{name}: {value}")]).await;
            told.forwarded().asked_with(name, value).status(304).body("").field("x-mark", "1");
            scene.get(&[]).await.fetched().status(200).body("#2");
            scene.get(&[&format!("{name}: {value}")]).await.reused();
        },
    )
    .await;
}

/// RFC 9110 §13.1.1, §13.1.4: these are for the origin, which a cache is not. Whatever it does, it
/// does not refuse on its own.
#[tokio::test]
async fn if_match_and_if_unmodified_since_are_not_judged_here() {
    let rows = [
        ("if-match", "\"b\""),
        ("if-match", "*"),
        ("if-unmodified-since", "Mon, 27 Apr 2020 08:00:00 GMT"),
    ];
    table(
        &rows,
        |row| format!("{row:?}"),
        async |scene, &(name, value)| {
            let refusal = status(412, &["cache-control: max-age=600"]).body("no");
            scene.answers([refusal, ok(&["etag: \"a\"", "cache-control: max-age=600"])]);
            let line = format!("{name}: {value}");
            let told = scene.get(&[&line]).await;
            told.forwarded().asked_with(name, value).status(412).body("no");
            // The refusal is an answer to a condition, and to none who does not ask on it.
            scene.get(&[]).await.forwarded().status(200).body("#2");
            let told = scene.get(&[&line]).await;
            told.status(200).body(if told.asked.is_empty() { "#2" } else { "#3" });
        },
    )
    .await;
}

/// §4.3.2: what the origin confirms for us may not be what the client has.
#[tokio::test]
async fn a_client_with_another_tag_gets_what_the_origin_confirmed() {
    let scene = scene([
        ok(&["cache-control: max-age=60", "etag: \"a\""]),
        not_modified(&["etag: \"a\"", "x-mark: 1"]),
    ])
    .await;
    scene.get(&[]).await.forwarded();
    scene.later(70);
    let told = scene.get(&["if-none-match: \"b\""]).await;
    let tags = told.forwarded().asked[0].field("if-none-match").unwrap();
    assert!(tags.contains("\"a\""), "{tags}");
    told.status(200).body("#1").field("x-mark", "1");
    scene.get(&[]).await.reused().body("#1").field("x-mark", "1");
}

/// The client's condition on what is stale: the origin confirms for both.
#[tokio::test]
async fn a_client_with_the_same_tag_gets_a_304_once_the_origin_confirmed() {
    let scene =
        scene([ok(&["cache-control: max-age=60", "etag: \"a\""]), not_modified(&["etag: \"a\""])])
            .await;
    scene.get(&[]).await.forwarded();
    scene.later(70);
    scene.get(&["if-none-match: \"a\""]).await.validated().status(304).field("etag", "\"a\"");
    scene.get(&[]).await.reused().status(200).body("#1");
}

/// §4.3.2: a tag of the client's that the origin confirms and we do not have is the client's alone.
#[tokio::test]
async fn a_304_for_the_clients_tag_alone_confirms_nothing_of_ours() {
    let scene = Play::start().await.scene("scene");
    scene.answers_by(|seen, n| {
        let tags = seen.field("if-none-match").unwrap_or_default();
        let lines =
            ["cache-control: max-age=60", if n == 1 { "etag: \"a\"" } else { "etag: \"b\"" }];
        if tags.contains("\"b\"") { not_modified(&lines) } else { ok(&lines) }
    });
    scene.get(&[]).await.forwarded().body("#1");
    scene.later(70);
    let told = scene.get(&["if-none-match: \"b\""]).await;
    if told.got.status == 304 {
        told.field("etag", "\"b\"");
    } else {
        told.status(200).field("etag", "\"b\"");
    }
    let told = scene.get(&[]).await;
    told.status(200).field("etag", "\"b\"");
    assert_ne!(told.got.text(), "#1");
}

/// The client's condition, and an answer that is new.
#[tokio::test]
async fn a_new_answer_to_a_condition_is_stored() {
    let scene = scene([
        ok(&["cache-control: max-age=60", "etag: \"a\""]),
        ok(&["cache-control: max-age=60", "etag: \"b\""]),
    ])
    .await;
    scene.get(&[]).await.forwarded();
    scene.later(70);
    scene.get(&["if-none-match: \"a\""]).await.validated().status(200).body("#2");
    scene.get(&[]).await.reused().body("#2").field("etag", "\"b\"");
}

/// §4.3.2 with nothing stored: the whole answer that the origin gives is stored for all.
#[tokio::test]
async fn a_whole_answer_to_a_clients_condition_is_stored() {
    let scene = scene([ok(&["cache-control: max-age=60", "etag: \"b\""])]).await;
    scene.get(&["if-none-match: \"a\""]).await.forwarded().status(200).body("#1");
    scene.get(&[]).await.reused().body("#1");
    scene.get(&["if-none-match: \"b\""]).await.reused().status(304);
}

/// What browsers send on a reload: a condition, and the wish for the origin's word.
#[tokio::test]
async fn a_reload_is_confirmed_for_the_client_and_for_the_store() {
    for directive in ["cache-control: max-age=0", "cache-control: no-cache"] {
        let lines = ["cache-control: max-age=60", "etag: \"a\""];
        let scene = scene([ok(&lines), not_modified(&lines)]).await;
        scene.get(&[]).await.forwarded();
        scene.later(10);
        let told = scene.get(&[directive, "if-none-match: \"a\""]).await;
        told.validated().status(304).field("etag", "\"a\"");
        scene.get(&[]).await.reused().status(200).body("#1").field("age", "0");
    }
}
