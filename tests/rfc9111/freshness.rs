//! How long an answer is fresh (§4.2).

use std::time::Duration;

use crate::origin::{ok, status};
use crate::play::{Play, reuse, scene, table, table_on};

const DAY: u64 = 86_400;

/// §4.2.1: s-maxage in a shared cache, else max-age, else Expires less Date, else a heuristic.
#[tokio::test]
async fn the_first_of_s_maxage_max_age_and_expires_that_is_there_counts() {
    reuse(&[
        ("max-age", &["cache-control: max-age=60"], 59, true),
        ("max-age is over", &["cache-control: max-age=60"], 61, false),
        ("fresh needs more than the age", &["cache-control: max-age=60"], 60, false),
        ("max-age=0", &["cache-control: max-age=0"], 0, false),
        ("max-age=1", &["cache-control: max-age=1"], 0, true),
        ("s-maxage", &["cache-control: s-maxage=60"], 59, true),
        ("s-maxage is over", &["cache-control: s-maxage=60"], 61, false),
        ("s-maxage over a shorter max-age", &["cache-control: max-age=1, s-maxage=60"], 50, true),
        ("s-maxage over a longer max-age", &["cache-control: max-age=600, s-maxage=10"], 20, false),
        ("s-maxage after max-age=0", &["cache-control: s-maxage=60, max-age=0"], 50, true),
        ("s-maxage=0", &["cache-control: max-age=600, s-maxage=0"], 1, false),
        ("Expires", &["expires: {+60}"], 50, true),
        ("Expires is over", &["expires: {+60}"], 61, false),
        ("Expires is now", &["expires: {+0}"], 0, false),
        ("Expires is past", &["expires: {-60}"], 0, false),
        ("max-age over a past Expires", &["cache-control: max-age=60", "expires: {-60}"], 50, true),
        ("max-age over later Expires", &["cache-control: max-age=1", "expires: {+600}"], 50, false),
        ("s-maxage over Expires", &["cache-control: s-maxage=1", "expires: {+600}"], 50, false),
        ("s-maxage over a past one", &["cache-control: s-maxage=60", "expires: {-6}"], 50, true),
        ("max-age over bad Expires", &["cache-control: max-age=60", "expires: 0"], 50, true),
        ("public beside Expires", &["cache-control: public", "expires: {+60}"], 50, true),
    ])
    .await;
}

/// §4.2.3: the apparent age is how far the answer's Date lies back when it comes.
#[tokio::test]
async fn a_date_in_the_past_makes_an_answer_older() {
    reuse(&[
        ("old", &["date: {-100}", "cache-control: max-age=200"], 90, true),
        ("too old", &["date: {-100}", "cache-control: max-age=200"], 110, false),
        ("old on arrival", &["date: {-100}", "cache-control: max-age=60"], 0, false),
        ("in the old form", &["date: {850-100}", "cache-control: max-age=60"], 0, false),
        ("in the form of asctime", &["date: {asc-100}", "cache-control: max-age=60"], 0, false),
        ("old, Expires", &["date: {-100}", "expires: {+60}"], 50, true),
        ("old, Expires is over", &["date: {-100}", "expires: {+60}"], 70, false),
        // A clock ahead of ours does not make it younger than new.
        ("ahead", &["date: {+100}", "cache-control: max-age=60"], 50, true),
        ("ahead, over", &["date: {+100}", "cache-control: max-age=60"], 70, false),
        // §4.2.1: Expires is counted from Date, so that clocks need not agree.
        ("ahead, Expires", &["date: {+1000}", "expires: {+1060}"], 50, true),
        ("ahead, Expires is over", &["date: {+1000}", "expires: {+1060}"], 70, false),
        ("ahead of Expires", &["date: {+1000}", "expires: {+900}"], 0, false),
        // RFC 9110 §6.6.1: where it is not valid, the time of receipt stands for it.
        ("malformed", &["date: yesterday", "cache-control: max-age=60"], 50, true),
        ("malformed, over", &["date: yesterday", "cache-control: max-age=60"], 70, false),
        ("malformed, Expires", &["date: yesterday", "expires: {+60}"], 50, true),
        ("malformed, Expires is over", &["date: yesterday", "expires: {+60}"], 70, false),
        ("empty", &["date: ", "cache-control: max-age=60"], 50, true),
    ])
    .await;
}

#[tokio::test]
async fn without_a_date_the_time_of_receipt_stands_for_it() {
    let rows = [
        ("cache-control: max-age=60", 50, true),
        ("cache-control: max-age=60", 70, false),
        ("expires: {+60}", 50, true),
        ("expires: {+60}", 70, false),
        ("last-modified: {-1000}", 90, true),
    ];
    table(
        &rows,
        |row| format!("{row:?}"),
        async |scene, &(line, seconds, reused)| {
            scene.answers([ok(&[line]).undated()]);
            scene.get(&[]).await.forwarded().body("#1");
            scene.later(seconds);
            let told = scene.get(&[]).await;
            if reused {
                told.reused()
            } else {
                told.forwarded()
            };
        },
    )
    .await;
}

/// §4.2.2: no lifetime named, a status that allows it, and a Last-Modified to reckon from.
#[tokio::test]
async fn a_tenth_of_the_time_since_the_last_change_is_the_heuristic() {
    reuse(&[
        ("a tenth", &["last-modified: {-1000}"], 99, true),
        ("past a tenth", &["last-modified: {-1000}"], 101, false),
        ("in the old form", &["last-modified: {850-1000}"], 90, true),
        ("in the form of asctime", &["last-modified: {asc-1000}"], 90, true),
        ("capped", &["last-modified: {-864000000}"], DAY - 5, true),
        ("past the cap", &["last-modified: {-864000000}"], DAY + 5, false),
        ("counted from Date", &["date: {+500}", "last-modified: {-500}"], 90, true),
        ("changed after Date", &["last-modified: {+1000}"], 1, false),
        ("changed now", &["last-modified: {+0}"], 1, false),
        ("malformed", &["last-modified: last year"], 1, false),
        ("none", &[], 1, false),
        ("an entity tag alone", &["etag: \"a\""], 1, false),
        ("public alone", &["cache-control: public"], 1, false),
        ("immutable alone", &["cache-control: immutable"], 1, false),
        ("public beside it", &["cache-control: public", "last-modified: {-1000}"], 90, true),
        ("an unknown directive", &["cache-control: x=1", "last-modified: {-1000}"], 90, true),
        ("its age counts", &["age: 60", "last-modified: {-1000}"], 50, false),
        // §4.2.2: never where a lifetime is named.
        ("max-age=0 beside", &["cache-control: max-age=0", "last-modified: {-1000}"], 0, false),
        ("max-age=1 beside", &["cache-control: max-age=1", "last-modified: {-1000}"], 5, false),
        ("s-maxage=0 beside", &["cache-control: s-maxage=0", "last-modified: {-1000}"], 0, false),
        ("past Expires beside", &["expires: {-1}", "last-modified: {-1000}"], 0, false),
        ("malformed Expires beside", &["expires: 0", "last-modified: {-1000}"], 0, false),
        ("no-cache beside", &["cache-control: no-cache", "last-modified: {-1000}"], 0, false),
        ("no-store beside", &["cache-control: no-store", "last-modified: {-1000}"], 0, false),
        ("private beside", &["cache-control: private", "last-modified: {-1000}"], 0, false),
    ])
    .await;
}

/// §4.2.2 drops the older rule that a query takes the heuristic away; §4 keeps queries apart.
#[tokio::test]
async fn a_target_with_a_query_is_a_resource_like_another() {
    let plain = scene([ok(&["last-modified: {-1000}"])]).await;
    let asked = plain.beside("?size=1");
    let other = plain.beside("?size=2");
    asked.answers([ok(&["last-modified: {-1000}"]).body("one")]);
    other.answers([ok(&["cache-control: max-age=60"]).body("two")]);
    plain.get(&[]).await.forwarded().body("#1");
    asked.get(&[]).await.forwarded().body("one");
    other.get(&[]).await.forwarded().body("two");
    plain.later(50);
    plain.get(&[]).await.reused().body("#1");
    asked.get(&[]).await.reused().body("one");
    other.get(&[]).await.reused().body("two");
}

/// What an operator sets over the origin's word.
#[tokio::test]
async fn the_settings_bound_what_the_origin_says() {
    let play = Play::start_with(|config| {
        config.generic.max_fresh_for = Duration::from_secs(100);
        config.generic.heuristic_percent = 0;
    })
    .await;
    let rows = [
        ("cache-control: max-age=1000", 90, true),
        ("cache-control: max-age=1000", 110, false),
        ("expires: {+1000}", 110, false),
        ("last-modified: {-1000}", 1, false),
    ];
    table_on(
        play,
        &rows,
        |row| format!("{row:?}"),
        async |scene, &(line, seconds, reused)| {
            scene.answers([ok(&[line])]);
            scene.get(&[]).await.forwarded();
            scene.later(seconds);
            let told = scene.get(&[]).await;
            if reused {
                told.reused()
            } else {
                told.forwarded()
            };
        },
    )
    .await;
}

/// RFC 8246 §2: immutable says nothing of how long.
#[tokio::test]
async fn immutable_does_not_outlive_the_lifetime() {
    let scene = scene([
        ok(&["cache-control: max-age=60, immutable", "etag: \"a\""]),
        status(304, &["etag: \"a\"", "cache-control: max-age=60, immutable"]),
    ])
    .await;
    scene.get(&[]).await.forwarded();
    scene.later(50);
    scene.get(&[]).await.reused();
    scene.later(20);
    scene.get(&[]).await.validated().status(200).body("#1");
    scene.get(&[]).await.reused().body("#1");
}
