//! When an answer that varies fits another request (§4.1).

use std::sync::Arc;

use crate::origin::{not_modified, ok};
use crate::play::{Play, Scene, scene, table};

/// `Vary`, the fields of the first request, those of the second, and whether the answer fits.
type Row = (&'static str, &'static [&'static str], &'static [&'static str], bool);

async fn fits(rows: &[Row]) {
    table(
        rows,
        |row| format!("{row:?}"),
        async |scene, &(vary, first, second, fits)| {
            scene.answers([ok(&["cache-control: max-age=60", &format!("vary: {vary}")])]);
            scene.get(first).await.forwarded().body("#1");
            let told = scene.get(second).await;
            if fits {
                told.reused().body("#1")
            } else {
                told.forwarded().body("#2")
            };
            // What was stored first still fits the first.
            scene.get(first).await.reused().body("#1");
        },
    )
    .await;
}

#[tokio::test]
async fn an_answer_fits_where_every_named_field_is_the_same() {
    fits(&[
        ("x-a", &["x-a: 1"], &["x-a: 1"], true),
        ("x-a", &["x-a: 1"], &["x-a: 2"], false),
        ("x-a", &["x-a: 1"], &["X-A: 1"], true),
        ("X-A", &["x-a: 1"], &["x-a: 1"], true),
        ("X-A", &["x-a: 1"], &["x-a: 2"], false),
        ("x-a", &["x-a: 1"], &[], false),
        ("x-a", &[], &["x-a: 1"], false),
        ("x-a", &[], &["x-a: "], false),
        ("x-a", &[], &[], true),
        ("x-a", &["x-a: one"], &["x-a: ONE"], false),
        ("x-a", &["x-a: 1", "x-b: 1"], &["x-a: 1", "x-b: 2"], true),
        ("x-a, x-b", &["x-a: 1", "x-b: 1"], &["x-a: 1", "x-b: 1"], true),
        ("x-a, x-b", &["x-a: 1", "x-b: 1"], &["x-b: 1", "x-a: 1"], true),
        ("x-a, x-b", &["x-a: 1", "x-b: 1"], &["x-a: 1", "x-b: 2"], false),
        ("x-a, x-b", &["x-a: 1", "x-b: 1"], &["x-a: 2", "x-b: 1"], false),
        ("x-a, x-b", &["x-a: 1", "x-b: 1"], &["x-a: 1"], false),
        ("x-a, x-b", &["x-a: 1"], &["x-a: 1"], true),
        ("x-a,x-b", &["x-b: 1"], &["x-b: 2"], false),
        (",x-a ,, x-b,", &["x-b: 1"], &["x-b: 2"], false),
        ("x-a, x-a", &["x-a: 1"], &["x-a: 1"], true),
        ("x-a, x-b", &["x-a: 1", "x-b: 2"], &["x-a: 2", "x-b: 1"], false),
        ("user-agent", &["user-agent: one"], &["user-agent: two"], false),
        ("referer", &["referer: http://a/"], &["referer: http://b/"], false),
        ("origin", &["origin: http://a"], &["origin: http://b"], false),
        ("accept", &["accept: text/plain"], &["accept: text/html"], false),
    ])
    .await;
}

/// §4.1: white space where the syntax allows it, several lines for one, and the order and case of
/// values where it is known that neither matters.
#[tokio::test]
async fn values_that_mean_the_same_are_the_same() {
    fits(&[
        ("x-a", &["x-a: 1"], &["x-a:    1  "], true),
        ("x-a", &["x-a: 1, 2"], &["x-a: 1", "x-a: 2"], true),
        ("x-a", &["x-a: 1, 2"], &["x-a: 2", "x-a: 1"], false),
        ("x-a", &["x-a: 1, 2"], &["x-a: 2, 1"], false),
        ("accept-language", &["accept-language: en, de"], &["accept-language: en,de"], true),
        ("accept-language", &["accept-language: en, de"], &["accept-language:  en ,  de "], true),
        ("accept-language", &["accept-language: en-US"], &["accept-language: EN-us"], true),
        (
            "accept-language",
            &["accept-language: de, en;q=0.5"],
            &["accept-language: en;q=0.5, de"],
            true,
        ),
        (
            "accept-language",
            &["accept-language: de, en;q=0.5"],
            &["accept-language: de,en; q=0.5"],
            true,
        ),
        (
            "accept-language",
            &["accept-language: de, en"],
            &["accept-language: de", "accept-language: en"],
            true,
        ),
        ("accept-language", &["accept-language: de"], &["accept-language: de, en"], false),
        (
            "accept-language",
            &["accept-language: de, en;q=0.5"],
            &["accept-language: en, de;q=0.5"],
            false,
        ),
        ("accept-encoding", &["accept-encoding: gzip, br"], &["accept-encoding: gzip,br"], true),
        ("accept-encoding", &["accept-encoding: gzip, br"], &["accept-encoding: br, gzip"], true),
        ("accept-encoding", &["accept-encoding: gzip"], &["accept-encoding: GZIP"], true),
        (
            "accept-encoding",
            &["accept-encoding: gzip, br;q=0.5"],
            &["accept-encoding: br;q=0.5, gzip"],
            true,
        ),
        ("accept-encoding", &["accept-encoding: gzip"], &["accept-encoding: br"], false),
        ("accept-encoding", &["accept-encoding: gzip"], &["accept-encoding: gzip;q=0"], false),
        ("accept-encoding", &["accept-encoding: gzip"], &[], false),
        ("Accept-Encoding", &["accept-encoding: gzip"], &["accept-encoding: identity"], false),
    ])
    .await;
}

#[tokio::test]
async fn vary_over_several_lines_is_one_list() {
    let scene = scene([ok(&["cache-control: max-age=60", "vary: x-a", "vary: x-b"])]).await;
    scene.get(&["x-a: 1", "x-b: 1"]).await.forwarded();
    scene.get(&["x-a: 1", "x-b: 1"]).await.reused().body("#1").field("vary", "x-a, x-b");
    scene.get(&["x-a: 2", "x-b: 1"]).await.forwarded().body("#2");
    scene.get(&["x-a: 1", "x-b: 2"]).await.forwarded().body("#3");
}

/// §4.1: with `*` it fits no other request, and is for the one who asked alone.
#[tokio::test]
async fn an_answer_that_is_confirmed_with_any_vary_is_used_once() {
    let first = ok(&["cache-control: max-age=60", "etag: \"a\""]);
    let scene = scene([first, not_modified(&["etag: \"a\"", "vary: *"])]).await;
    scene.get(&[]).await.fetched().body("#1");
    scene.later(70);
    scene.get(&[]).await.validated().status(200).body("#1");
    scene.get(&[]).await.forwarded();
}

/// An answer that tells back the field that it varies by.
fn tells_back(play: &Arc<Play>, vary: &'static str, lines: &'static [&'static str]) -> Scene {
    let scene = play.scene("variants");
    scene.answers_by(move |seen, _| {
        let of = seen.field("x-a").unwrap_or_default();
        ok(&[&["cache-control: max-age=600", vary][..], lines].concat()).body(&of)
    });
    scene
}

#[tokio::test]
async fn variants_are_kept_side_by_side() {
    let scene = tells_back(&Play::start().await, "vary: x-a", &[]);
    for _ in 0..2 {
        for value in ["1", "2", "3", "4", "5", "6", "7", "8"] {
            scene.get(&[&format!("x-a: {value}")]).await.status(200).body(value);
        }
        assert_eq!(scene.asked().len(), 8);
    }
}

/// No setting of ours: the standard lets a cache forget at any time. It must not mix them up.
#[tokio::test]
async fn past_the_limit_the_oldest_variant_goes() {
    let play = Play::start_with(|config| config.limits.variants = 4).await;
    let scene = tells_back(&play, "vary: x-a", &[]);
    for value in 0..20 {
        scene.later(1).get(&[&format!("x-a: {value}")]).await.forwarded();
    }
    for value in 16..20 {
        let told = scene.get(&[&format!("x-a: {value}")]).await;
        told.reused().body(&value.to_string());
    }
    scene.get(&["x-a: 0"]).await.forwarded().body("0");
}

/// §4: of several that fit, the most recent by Date.
#[tokio::test]
async fn an_answer_that_varies_no_more_fits_all() {
    let scene = scene([
        ok(&["cache-control: max-age=600", "vary: x-a"]),
        ok(&["cache-control: max-age=600"]),
    ])
    .await;
    scene.get(&["x-a: 1"]).await.forwarded().body("#1");
    scene.later(10);
    scene.get(&["x-a: 2"]).await.forwarded().body("#2");
    scene.later(10);
    scene.get(&["x-a: 2"]).await.reused().body("#2");
    scene.get(&["x-a: 3"]).await.reused().body("#2");
    scene.get(&["x-a: 1"]).await.reused().body("#2");
}

/// The other way round: each is measured by its own Vary.
#[tokio::test]
async fn an_answer_that_begins_to_vary_does_not_fit_others() {
    let scene = scene([
        ok(&["cache-control: max-age=600"]),
        ok(&["cache-control: max-age=600", "vary: x-a"]),
    ])
    .await;
    scene.get(&["x-a: 1"]).await.forwarded().body("#1");
    scene.later(10);
    scene.get(&["x-a: 2", "cache-control: no-cache"]).await.forwarded().body("#2");
    scene.later(10);
    scene.get(&["x-a: 2"]).await.reused().body("#2");
    let other = scene.get(&["x-a: 1"]).await;
    assert!(other.got.text() != "#2", "{other:?}");
}

/// Answers to one target may vary by different fields.
#[tokio::test]
async fn variants_by_different_fields_do_not_mix() {
    let play = Play::start().await;
    let scene = play.scene("mixed");
    scene.answers_by(|seen, _| match seen.field("x-a") {
        Some(a) => ok(&["cache-control: max-age=600", "vary: x-a"]).body(&format!("a{a}")),
        None => {
            let b = seen.field("x-b").unwrap_or_default();
            ok(&["cache-control: max-age=600", "vary: x-a, x-b"]).body(&format!("b{b}"))
        }
    });
    scene.get(&["x-a: 1"]).await.forwarded().body("a1");
    scene.later(1).get(&["x-b: 1"]).await.forwarded().body("b1");
    scene.later(1).get(&["x-b: 2"]).await.forwarded().body("b2");
    scene.later(1).get(&["x-a: 2"]).await.forwarded().body("a2");
    scene.get(&["x-a: 1", "x-b: 7"]).await.reused().body("a1");
    scene.get(&["x-b: 1"]).await.reused().body("b1");
    scene.get(&["x-b: 2"]).await.reused().body("b2");
    scene.get(&["x-a: 2"]).await.reused().body("a2");
    scene.get(&["x-b: 3"]).await.forwarded().body("b3");
}

/// §4.1: each variant has its own age.
#[tokio::test]
async fn variants_age_apart() {
    let scene = tells_back(&Play::start().await, "vary: x-a", &[]);
    scene.get(&["x-a: 1"]).await.forwarded();
    scene.later(400);
    scene.get(&["x-a: 2"]).await.forwarded();
    scene.later(300);
    scene.get(&["x-a: 2"]).await.reused().body("2").field("age", "300");
    scene.get(&["x-a: 1"]).await.forwarded().body("1");
    scene.get(&["x-a: 2"]).await.reused().body("2");
}

/// What is stored without `Vary` and confirmed with one, by the 304 to a GET or by a HEAD, is from
/// then on found by what the confirming request sent (§4.1 with §3.2).
#[tokio::test]
async fn an_answer_that_is_confirmed_with_another_vary_is_found_by_that() {
    for method in ["GET", "HEAD"] {
        let scene = scene([
            ok(&["cache-control: max-age=60", "etag: \"a\""]),
            match method {
                "GET" => not_modified(&["etag: \"a\"", "vary: accept-language"]),
                _ => ok(&["cache-control: max-age=60", "etag: \"a\"", "vary: accept-language"]),
            },
            ok(&["cache-control: max-age=60", "etag: \"c\"", "vary: accept-language"]),
        ])
        .await;
        scene.get(&["accept-language: de"]).await.fetched().body("#1");
        scene.later(70);
        scene.send(method, &["accept-language: de"]).await.forwarded().status(200);
        scene.get(&["accept-language: fr"]).await.forwarded().body("#3");
        scene.get(&["accept-language: de"]).await.reused().body("#1");
        scene.get(&["accept-language: fr"]).await.reused().body("#3");
        scene.get(&[]).await.forwarded();
    }
}
