//! The Age that an answer comes with, and the one that it is told with (§4.2.3, §5.1).

use std::time::Duration;

use csu_edge::config::OperationRule;

use crate::origin::{READ, not_modified, ok, product};
use crate::play::{Play, reuse, scene, table};

const HOUR: &str = "cache-control: max-age=3600";

/// §5.1: a list counts by its first member, and what is no non-negative integer is ignored.
#[tokio::test]
async fn an_age_on_arrival_counts_towards_the_lifetime() {
    reuse(&[
        ("within", &[HOUR, "age: 1800"], 1700, true),
        ("past", &[HOUR, "age: 1800"], 1900, false),
        ("older than its lifetime", &[HOUR, "age: 7200"], 0, false),
        ("as old as its lifetime", &[HOUR, "age: 3600"], 0, false),
        ("zero", &[HOUR, "age: 0"], 3500, true),
        ("with zeros before", &[HOUR, "age: 0007200"], 0, false),
        // §1.2.2: past what can be represented is 2^31, and not a small number.
        ("2^31", &[HOUR, "age: 2147483648"], 0, false),
        ("2^32", &[HOUR, "age: 4294967296"], 0, false),
        ("2^64 and one", &[HOUR, "age: 18446744073709551617"], 0, false),
        ("very large", &[HOUR, "age: 99999999999999999999999999"], 0, false),
        ("negative", &[HOUR, "age: -7200"], 1, true),
        ("signed", &[HOUR, "age: +7200"], 1, true),
        ("with a fraction", &[HOUR, "age: 7200.0"], 1, true),
        ("no number", &[HOUR, "age: old"], 1, true),
        ("quoted", &[HOUR, "age: \"7200\""], 1, true),
        ("with a unit", &[HOUR, "age: 7200s"], 1, true),
        ("with a parameter", &[HOUR, "age: 7200;x=1"], 1, true),
        ("two words", &[HOUR, "age: 7200 7200"], 1, true),
        ("empty", &[HOUR, "age: "], 1, true),
        ("two lines, the old one first", &[HOUR, "age: 7200", "age: 0"], 0, false),
        ("two lines, the young one first", &[HOUR, "age: 0", "age: 7200"], 1, true),
        ("a list, the old one first", &[HOUR, "age: 7200, 0"], 0, false),
        ("a list, the young one first", &[HOUR, "age: 0, 7200"], 1, true),
        ("a list, then no number", &[HOUR, "age: 7200, old"], 0, false),
        ("no number, then old", &[HOUR, "age: old, 7200"], 1, true),
        ("towards Expires", &["expires: {+60}", "age: 30"], 40, false),
        ("towards Expires, within", &["expires: {+60}", "age: 30"], 20, true),
        ("towards s-maxage", &["cache-control: s-maxage=60", "age: 30"], 40, false),
        // §4.2.3: the larger of what Age and what Date tell.
        ("Date tells more", &[HOUR, "age: 1", "date: {-3601}"], 0, false),
        ("Age tells more", &[HOUR, "age: 3601", "date: {-1}"], 0, false),
    ])
    .await;
}

/// §5.1: the sender's estimate of the time since the answer was made or confirmed.
#[tokio::test]
async fn what_is_used_again_says_how_old_it_is() {
    let rows: [(&str, &[&str], u64, &str); 9] = [
        ("new", &[HOUR], 0, "0"),
        ("a while", &[HOUR], 100, "100"),
        ("came with an age", &[HOUR, "age: 30"], 100, "130"),
        ("came with two", &[HOUR, "age: 30", "age: 40"], 100, "130"),
        ("came with a list", &[HOUR, "age: 30, 40"], 100, "130"),
        ("came with none that counts", &[HOUR, "age: old"], 100, "100"),
        ("came late", &[HOUR, "date: {-30}"], 100, "130"),
        ("came late, and with less", &[HOUR, "date: {-30}", "age: 10"], 100, "130"),
        ("came from a clock ahead", &[HOUR, "date: {+30}"], 100, "100"),
    ];
    table(
        &rows,
        |row| row.0.to_owned(),
        async |scene, &(_, lines, seconds, age)| {
            scene.answers([ok(lines)]);
            scene.get(&[]).await.forwarded();
            scene.later(seconds);
            scene.get(&[]).await.reused().field("age", age);
        },
    )
    .await;
}

/// §5.1: Age means that the origin did not make the answer for this request.
#[tokio::test]
async fn an_answer_at_first_hand_has_no_age() {
    let scene = scene([ok(&[HOUR])]).await;
    scene.get(&[]).await.forwarded().lacks("age");
}

#[tokio::test]
async fn the_age_of_a_cache_further_in_is_passed_on() {
    let scene = scene([ok(&[HOUR, "age: 30"])]).await;
    scene.get(&[]).await.forwarded().field("age", "30");
}

/// §5.1: an answer that cannot be stored keeps what it came with, too.
#[tokio::test]
async fn the_age_of_what_is_not_stored_is_passed_on() {
    let scene = scene([ok(&["cache-control: no-store", "age: 30"])]).await;
    scene.get(&[]).await.forwarded().field("age", "30");
}

/// §4.2.3: the time since it was made *or confirmed*.
#[tokio::test]
async fn a_confirmation_begins_the_age_anew() {
    let scene = scene([
        ok(&["cache-control: max-age=60", "age: 30", "etag: \"a\""]),
        crate::origin::not_modified(&["etag: \"a\""]),
    ])
    .await;
    scene.get(&[]).await.forwarded();
    scene.later(40);
    scene.get(&[]).await.validated().body("#1");
    scene.later(25);
    scene.get(&[]).await.reused().field("age", "25");
    scene.later(40);
    scene.get(&[]).await.validated();
}

/// §4.2.3 for a 304 that a cache further in made.
#[tokio::test]
async fn a_confirmation_that_comes_with_an_age_is_that_old() {
    let scene = scene([
        ok(&["cache-control: max-age=60", "etag: \"a\""]),
        crate::origin::not_modified(&["etag: \"a\"", "age: 30"]),
    ])
    .await;
    scene.get(&[]).await.forwarded();
    scene.later(61);
    scene.get(&[]).await.validated().body("#1");
    scene.later(20);
    scene.get(&[]).await.reused().field("age", "50");
    scene.later(20);
    scene.get(&[]).await.validated();
}

/// §4.2.3: the delay of the answer counts from the sending of the request.
#[tokio::test]
async fn the_time_that_the_answer_took_counts() {
    let scene = scene([ok(&["cache-control: max-age=60", "age: 10", "date: {-10}"])]).await;
    scene.origin().hold(true);
    let first = tokio::spawn({
        let scene = scene.clone();
        async move {
            scene.get(&[]).await.forwarded().status(200);
        }
    });
    scene.asked_often(1).await;
    scene.later(20);
    scene.origin().hold(false);
    first.await.unwrap();
    scene.later(10);
    scene.get(&[]).await.reused().field("age", "40");
    scene.later(25);
    scene.get(&[]).await.forwarded();
}

/// §4.2.3, §4.3.4: once it is confirmed, its age counts from the 304, for answers by the catalogue too.
#[tokio::test]
async fn the_age_of_a_validated_answer_by_the_catalogue_is_not_the_old_ones() {
    let play = Play::start_with(|config| {
        config.operations.push(OperationRule {
            name: "Products/GetById".to_owned(),
            fresh_for: Some(Duration::from_secs(300)),
            stale_while_revalidate: Some(Duration::ZERO),
            ..OperationRule::default()
        });
    })
    .await;
    let scene = play.scene("age").at(READ);
    scene.answers([product(&["etag: \"a\"", "age: 100"]), not_modified(&["etag: \"a\""])]);
    scene.get(&[]).await.fetched().field("age", "100");
    scene.later(150);
    scene.get(&[]).await.reused().field("age", "250");
    scene.later(100);
    scene.get(&[]).await.validated().status(200).lacks("age");
    scene.later(10);
    scene.get(&[]).await.reused().status(200).field("age", "10");
}
