//! When an answer past its lifetime may serve (§4.2.4, RFC 5861).

use std::time::Duration;

use crate::origin::{Answer, not_modified, ok, status};
use crate::play::{Play, Scene, scene, table};

const WHILE: &str = "cache-control: max-age=10, stale-while-revalidate=60";
const IF_ERROR: &str = "cache-control: max-age=10, stale-if-error=60";

/// RFC 5861 §3: the stale answer at once, though the origin keeps silent; then the new one.
#[tokio::test]
async fn a_stale_answer_serves_while_it_is_validated() {
    let scene = scene([ok(&[WHILE, "etag: \"a\""]), ok(&[WHILE, "etag: \"b\""])]).await;
    scene.get(&[]).await.forwarded();
    scene.later(20);
    scene.origin().hold(true);
    for _ in 0..3 {
        scene.get(&[]).await.status(200).body("#1").field("age", "20");
    }
    scene.asked_often(2).await;
    assert_eq!(scene.asked().len(), 2, "one validation at a time");
    assert_eq!(scene.asked()[1].field("if-none-match").as_deref(), Some("\"a\""));
    scene.origin().hold(false);
    until(&scene, "#2").await;
    scene.get(&[]).await.reused().body("#2").field("etag", "\"b\"");
}

/// Asks until the answer is this one.
async fn until(scene: &Scene, body: &str) {
    let changed = async {
        while scene.get(&[]).await.got.text() != body {
            tokio::task::yield_now().await;
        }
    };
    crate::support::wire::soon(changed).await;
}

/// RFC 5861 §3: a confirmation aside makes the answer fresh.
#[tokio::test]
async fn a_confirmation_aside_freshens_what_is_stored() {
    let scene = scene([ok(&[WHILE, "etag: \"a\""]), not_modified(&["etag: \"a\"", WHILE])]).await;
    scene.get(&[]).await.forwarded();
    scene.later(20);
    scene.get(&[]).await.status(200).body("#1");
    scene.asked_often(2).await;
    let fresh = async {
        while scene.get(&[]).await.status(200).body("#1").got.header("age") != Some("0") {
            tokio::task::yield_now().await;
        }
    };
    crate::support::wire::soon(fresh).await;
    assert_eq!(scene.asked().len(), 2);
}

/// Past the window, or where the window says nothing, the client waits for the origin.
#[tokio::test]
async fn no_stale_answer_serves_outside_its_window() {
    let rows = [
        ("max-age=10, stale-while-revalidate=60", 69, true),
        ("max-age=10, stale-while-revalidate=60", 71, false),
        ("max-age=10, STALE-WHILE-REVALIDATE=60", 20, true),
        ("max-age=10, stale-while-revalidate=\"60\"", 20, true),
        ("max-age=10, stale-while-revalidate=0", 11, false),
        ("max-age=10, stale-while-revalidate", 11, false),
        ("max-age=10, stale-while-revalidate=x", 11, false),
        ("max-age=10, stale-while-revalidate=-60", 11, false),
        ("max-age=10, stale-while-revalidate=60.5", 11, false),
        ("max-age=10, x=\"stale-while-revalidate=60\"", 11, false),
        ("max-age=10, stale-if-error=60", 11, false),
        ("max-age=10, must-revalidate, stale-while-revalidate=60", 11, false),
        ("max-age=10, proxy-revalidate, stale-while-revalidate=60", 11, false),
        ("max-age=10, no-cache, stale-while-revalidate=60", 11, false),
        // §5.2.2.10: s-maxage has proxy-revalidate in it.
        ("s-maxage=10, stale-while-revalidate=60", 11, false),
        ("max-age=10", 11, false),
    ];
    table(
        &rows,
        |row| format!("{row:?}"),
        async |scene, &(directives, seconds, stale)| {
            scene.answers([ok(&[&format!("cache-control: {directives}")])]);
            scene.get(&[]).await.forwarded().body("#1");
            scene.later(seconds);
            scene.get(&[]).await.status(200).body(if stale { "#1" } else { "#2" });
        },
    )
    .await;
}

/// §5.2.1: who asks for better than stale does not get it.
#[tokio::test]
async fn a_client_that_wants_it_fresh_waits() {
    for line in [
        "cache-control: no-cache",
        "cache-control: max-age=5",
        "cache-control: min-fresh=1",
        "cache-control: max-age=0",
    ] {
        let scene = scene([ok(&[WHILE])]).await;
        scene.get(&[]).await.forwarded();
        scene.later(20);
        scene.get(&[line]).await.forwarded().body("#2");
    }
}

/// RFC 5861 §3 with a failure aside: what is stored stays until its window ends.
#[tokio::test]
async fn a_failure_aside_ends_nothing() {
    let scene = scene([
        ok(&[WHILE]),
        status(503, &[]).body("sick"),
        status(503, &[]).body("sick"),
        ok(&[WHILE]).body("new"),
    ])
    .await;
    scene.get(&[]).await.forwarded();
    scene.later(20);
    scene.get(&[]).await.status(200).body("#1");
    scene.asked_often(2).await;
    scene.later(10);
    scene.get(&[]).await.status(200).body("#1");
    until(&scene, "new").await;
}

/// How the origin fails.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Says(u16),
    Gone,
}

/// The directives stored, the failure, how long after, and whether the stale answer serves.
type Row = (&'static str, Failure, u64, bool);

async fn failed(rows: &[Row]) {
    for &(directives, failure, seconds, stale) in rows {
        let line = format!("cache-control: {directives}");
        let code = if let Failure::Says(code) = failure { code } else { 500 };
        let sick: Answer = status(code, &[]).body("sick");
        let scene = scene([ok(&[&line, "etag: \"a\""]), sick]).await;
        scene.get(&[]).await.forwarded();
        scene.later(seconds);
        if let Failure::Gone = failure {
            scene.origin().stop().await;
        }
        let told = scene.get(&[]).await;
        let context = format!("{directives} {failure:?} {seconds}: {told:?}");
        if stale {
            assert_eq!(
                (told.got.status.as_u16(), told.got.text().as_str()),
                (200, "#1"),
                "{context}"
            );
            assert_eq!(told.got.header("age"), Some(seconds.to_string().as_str()), "{context}");
        } else if let Failure::Says(code) = failure {
            assert_eq!(
                (told.got.status.as_u16(), told.got.text().as_str()),
                (code, "sick"),
                "{context}"
            );
        } else {
            assert!(told.got.status.is_server_error(), "{context}");
        }
    }
}

/// RFC 5861 §4: 500, 502, 503, 504 and no answer at all are errors.
#[tokio::test]
async fn a_stale_answer_serves_while_the_origin_fails() {
    use Failure::{Gone, Says};
    const ALLOWED: &str = "max-age=10, stale-if-error=60";
    failed(&[
        (ALLOWED, Says(500), 20, true),
        (ALLOWED, Says(502), 20, true),
        (ALLOWED, Says(503), 20, true),
        (ALLOWED, Says(504), 20, true),
        (ALLOWED, Gone, 20, true),
        (ALLOWED, Says(503), 69, true),
        (ALLOWED, Says(503), 71, false),
        (ALLOWED, Gone, 71, false),
        (ALLOWED, Says(404), 20, false),
        (ALLOWED, Says(403), 20, false),
        (ALLOWED, Says(410), 20, false),
        ("max-age=10, stale-if-error=\"60\"", Says(503), 20, true),
        ("max-age=10, Stale-If-Error=60", Gone, 20, true),
        ("max-age=10, stale-if-error=x", Says(503), 20, false),
        ("max-age=10, stale-if-error", Says(503), 20, false),
        ("max-age=10, stale-if-error=-1", Says(503), 20, false),
        ("max-age=10, stale-if-error=0", Says(503), 20, false),
        ("max-age=10", Says(503), 20, false),
        ("max-age=10, must-revalidate, stale-if-error=60", Says(503), 20, false),
        ("max-age=10, must-revalidate, stale-if-error=60", Gone, 20, false),
        ("max-age=10, proxy-revalidate, stale-if-error=60", Says(503), 20, false),
        ("s-maxage=10, stale-if-error=60", Says(503), 20, false),
        ("no-cache, stale-if-error=60", Says(503), 20, false),
    ])
    .await;
}

/// RFC 5861 §4: the directive stands in requests, too.
#[tokio::test]
async fn a_client_may_take_a_stale_answer_where_the_origin_fails() {
    let scene = scene([ok(&["cache-control: max-age=10"]), status(503, &[]).body("sick")]).await;
    scene.get(&[]).await.forwarded();
    scene.later(20);
    let told = scene.get(&["cache-control: stale-if-error=60"]).await;
    told.forwarded().status(200).body("#1");
    scene.get(&["cache-control: stale-if-error=5"]).await.status(503).body("sick");
    scene.get(&[]).await.status(503).body("sick");
}

/// RFC 5861 §4: once the origin is well again, its word counts.
#[tokio::test]
async fn a_stale_answer_goes_when_the_origin_is_back() {
    let scene = scene([ok(&[IF_ERROR]), status(500, &[]), ok(&[IF_ERROR])]).await;
    scene.get(&[]).await.forwarded();
    scene.later(20);
    scene.get(&[]).await.status(200).body("#1");
    until(&scene, "#3").await;
    scene.get(&[]).await.reused().body("#3");
}

/// §4.2.4: an operator's word, where the answer says nothing.
#[tokio::test]
async fn an_operator_may_allow_stale_answers_where_the_origin_fails() {
    let play =
        Play::start_with(|config| config.generic.stale_if_error = Duration::from_secs(60)).await;
    let rows = [
        ("max-age=10", 20, true),
        ("max-age=10", 80, false),
        ("max-age=10, stale-if-error=0", 20, false),
        ("max-age=10, must-revalidate", 20, false),
        ("max-age=10, proxy-revalidate", 20, false),
        ("s-maxage=10", 20, false),
        ("no-cache", 20, false),
    ];
    crate::play::table_on(
        play,
        &rows,
        |row| format!("{row:?}"),
        async |scene, &(directives, seconds, stale)| {
            let line = format!("cache-control: {directives}");
            scene.answers([ok(&[&line]), status(503, &[]).body("sick")]);
            scene.get(&[]).await.forwarded();
            scene.later(seconds);
            let told = scene.get(&[]).await;
            if stale {
                told.status(200).body("#1")
            } else {
                told.status(503).body("sick")
            };
        },
    )
    .await;
}

/// §4.2.4: a cache that is cut off may serve what is stale or say that it is; nothing else.
#[tokio::test]
async fn without_leave_a_cut_off_cache_serves_the_old_or_an_error() {
    let scene = scene([ok(&["cache-control: max-age=10"])]).await;
    scene.get(&[]).await.forwarded();
    scene.origin().stop().await;
    scene.later(5).get(&[]).await.reused().body("#1");
    scene.later(10);
    let told = scene.get(&[]).await;
    if told.got.status == 200 {
        told.body("#1")
    } else {
        told.server_error()
    };
}

/// §4.3.2 for what is served stale.
#[tokio::test]
async fn conditions_and_ranges_are_met_by_what_is_served_stale() {
    let scene = scene([ok(&[IF_ERROR, "etag: \"a\""]).body("0123456789"), status(503, &[])]).await;
    scene.get(&[]).await.forwarded();
    scene.later(20);
    scene.get(&["if-none-match: \"a\""]).await.status(304);
    scene.get(&["range: bytes=2-5"]).await.status(206).body("2345");
    scene.head(&[]).await.status(200).body("").field("etag", "\"a\"");
}

/// RFC 5861 §3: what is fetched aside is the whole, whatever the client asked of it.
#[tokio::test]
async fn what_is_fetched_aside_is_the_whole() {
    for line in ["range: bytes=2-5", "if-none-match: \"a\"", "x-none: 1"] {
        let old = [WHILE, "etag: \"a\""];
        let new = [WHILE, "etag: \"b\""];
        let scene = scene([ok(&old).body("0123456789"), ok(&new).body("abcdefghij")]).await;
        scene.get(&[]).await.forwarded();
        scene.later(20);
        scene.get(&[line]).await.field("etag", "\"a\"");
        scene.asked_often(2).await;
        until(&scene, "abcdefghij").await;
        scene.get(&[]).await.reused().status(200).body("abcdefghij").field("etag", "\"b\"");
        assert!(scene.asked()[1].field("range").is_none());
        assert_eq!(scene.asked().len(), 2, "{line}");
    }
}

/// An answer to somebody renews nothing for all, so that nothing is fetched aside for it.
#[tokio::test]
async fn who_asks_as_somebody_is_answered_by_the_origin_and_not_aside() {
    for credentials in ["cookie: sid=1", "authorization: Bearer ann"] {
        let scene = scene([ok(&[WHILE])]).await;
        scene.get(&[]).await.forwarded();
        scene.later(20);
        for n in 2..5 {
            let told = scene.get(&[credentials]).await;
            told.forwarded().status(200).body(&format!("#{n}"));
        }
        scene.get(&[]).await.status(200).body("#1").field("age", "20");
        until(&scene, "#5").await;
        assert_eq!(scene.asked().len(), 5, "one refresh");
    }
}
