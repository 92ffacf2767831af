//! Directives meant for this cache (RFC 9213). The list of targets is `CSU-Edge-Cache-Control`, then
//! `CDN-Cache-Control`.

use std::time::Duration;

use crate::origin::{not_modified, ok};
use crate::play::{Play, reuse, scene, table};

/// RFC 9213 §2.2: the first that is there decides, and `Cache-Control` and `Expires` MUST be ignored.
#[tokio::test]
async fn the_first_target_that_is_there_decides() {
    reuse(&[
        ("alone", &["cdn-cache-control: max-age=60"], 50, true),
        ("alone, over", &["cdn-cache-control: max-age=60"], 70, false),
        ("ours alone", &["csu-edge-cache-control: max-age=60"], 50, true),
        ("in another case", &["CDN-CACHE-CONTROL: max-age=60"], 50, true),
        ("over no-store", &["cdn-cache-control: max-age=60", "cache-control: no-store"], 50, true),
        ("over private", &["cdn-cache-control: max-age=60", "cache-control: private"], 50, true),
        ("over no-cache", &["cdn-cache-control: max-age=60", "cache-control: no-cache"], 50, true),
        ("over less", &["cdn-cache-control: max-age=60", "cache-control: max-age=10"], 50, true),
        ("over more", &["cdn-cache-control: max-age=10", "cache-control: max-age=60"], 50, false),
        (
            "over s-maxage",
            &["cdn-cache-control: max-age=10", "cache-control: s-maxage=60"],
            50,
            false,
        ),
        ("before it", &["cache-control: max-age=60", "cdn-cache-control: max-age=10"], 50, false),
        ("over Expires", &["cdn-cache-control: max-age=10", "expires: {+60}"], 50, false),
        ("over past Expires", &["cdn-cache-control: max-age=60", "expires: {-60}"], 50, true),
        ("over Expires, no lifetime", &["cdn-cache-control: public", "expires: {+60}"], 1, false),
        (
            "over max-age, no lifetime",
            &["cdn-cache-control: public", "cache-control: max-age=60"],
            1,
            false,
        ),
        ("no-store", &["cdn-cache-control: no-store", "cache-control: max-age=60"], 1, false),
        ("private", &["cdn-cache-control: private", "cache-control: max-age=60"], 1, false),
        ("no-cache", &["cdn-cache-control: no-cache", "cache-control: max-age=60"], 1, false),
        (
            "ours over the other",
            &["cdn-cache-control: no-store", "csu-edge-cache-control: max-age=60"],
            50,
            true,
        ),
        (
            "ours forbids",
            &["cdn-cache-control: max-age=60", "csu-edge-cache-control: no-store"],
            1,
            false,
        ),
        (
            "ours over both",
            &[
                "cache-control: max-age=600",
                "cdn-cache-control: max-age=300",
                "csu-edge-cache-control: max-age=10",
            ],
            50,
            false,
        ),
        (
            "somebody else's is not ours",
            &["other-cache-control: no-store", "cache-control: max-age=60"],
            50,
            true,
        ),
        ("s-maxage", &["cdn-cache-control: s-maxage=60, max-age=10"], 50, true),
        ("a heuristic", &["cdn-cache-control: public", "last-modified: {-1000}"], 90, true),
        ("its age counts", &["cdn-cache-control: max-age=60", "age: 30"], 40, false),
    ])
    .await;
}

/// RFC 9213 §2.1: a dictionary of structured fields: parameters are ignored, the last of a name
/// counts, several lines are one.
#[tokio::test]
async fn a_target_is_read_as_a_dictionary() {
    let none = "cache-control: no-store";
    reuse(&[
        ("with a parameter", &["cdn-cache-control: max-age=60;x=1", none], 50, true),
        ("with parameters", &["cdn-cache-control: max-age=60;x;y=\"a, b\"", none], 50, true),
        ("no-store with one", &["cdn-cache-control: max-age=60, no-store;x=1"], 1, false),
        ("the last counts", &["cdn-cache-control: max-age=1, max-age=60", none], 50, true),
        ("the last counts, less", &["cdn-cache-control: max-age=60, max-age=1"], 50, false),
        (
            "over two lines",
            &["cdn-cache-control: public", "cdn-cache-control: max-age=60", none],
            50,
            true,
        ),
        (
            "no-store on a line",
            &["cdn-cache-control: max-age=60", "cdn-cache-control: no-store"],
            1,
            false,
        ),
        ("true", &["cdn-cache-control: max-age=60, no-store=?1"], 1, false),
        ("an unknown member", &["cdn-cache-control: x=(a b), max-age=60", none], 50, true),
        ("an unknown string", &["cdn-cache-control: x=\"no-store\", max-age=60", none], 50, true),
        ("white space", &["cdn-cache-control:   public ,\t max-age=60  ", none], 50, true),
        ("zeros before", &["cdn-cache-control: max-age=0060", none], 50, true),
        ("the largest integer", &["cdn-cache-control: max-age=999999999999999", none], 3600, true),
    ])
    .await;
}

/// RFC 9213 §2.1: an empty field and one that cannot be parsed MUST be ignored, so that the next
/// one decides.
#[tokio::test]
async fn a_target_that_cannot_be_parsed_is_as_if_it_were_not_there() {
    let malformed = [
        "",
        " ",
        ",",
        "max-age=60,",
        "max-age=60,, public",
        "Max-Age=60",
        "NO-STORE",
        "max-age=",
        "max-age= 60",
        "max-age =60",
        "max-age=60 public",
        "max-age=60; x = 1",
        "max-age=60, @",
        "max-age=60, x=\"a",
        "max-age=1234567890123456",
        "max-age=60.",
        "no-store, 1=2",
        "no-store;",
        "max-age='60'",
    ];
    for (next, reused) in
        [("cache-control: max-age=3600", true), ("cache-control: no-store", false)]
    {
        let lines: Vec<[String; 2]> = malformed
            .iter()
            .map(|value| [format!("cdn-cache-control: {value}"), next.to_owned()])
            .collect();
        let lines: Vec<[&str; 2]> = lines.iter().map(|[one, two]| [&one[..], &two[..]]).collect();
        let rows: Vec<(&str, &[&str], u64, bool)> =
            lines.iter().map(|lines| ("malformed", &lines[..], 1000, reused)).collect();
        reuse(&rows).await;
    }
    reuse(&[
        (
            "ours, then the next",
            &[
                "csu-edge-cache-control: @",
                "cdn-cache-control: max-age=60",
                "cache-control: no-store",
            ],
            50,
            true,
        ),
        (
            "both, then Expires",
            &["csu-edge-cache-control: @", "cdn-cache-control: ", "expires: {+60}"],
            50,
            true,
        ),
    ])
    .await;
}

/// RFC 9213 §2.1: values of another type MUST NOT be accepted.
#[tokio::test]
async fn a_lifetime_of_another_type_is_none() {
    let lines: Vec<[String; 2]> = [
        "max-age=60.0",
        "max-age=60.5",
        "max-age=\"60\"",
        "max-age=sixty",
        "max-age",
        "max-age=?1",
        "max-age=(60)",
        "max-age=:NjA=:",
        "max-age=-60",
        "s-maxage=60.0",
    ]
    .iter()
    .map(|value| [format!("cdn-cache-control: {value}"), "cache-control: no-store".to_owned()])
    .collect();
    let lines: Vec<[&str; 2]> = lines.iter().map(|[one, two]| [&one[..], &two[..]]).collect();
    let rows: Vec<(&str, &[&str], u64, bool)> =
        lines.iter().map(|lines| ("of another type", &lines[..], 1, false)).collect();
    reuse(&rows).await;
}

/// RFC 9213 §2.2: the whole policy is the target's, §3.5 and §5.2.2.2 with it.
#[tokio::test]
async fn leave_to_share_is_the_targets_to_give() {
    let rows = [
        ("cdn-cache-control: public, max-age=60", "cache-control: private", true),
        ("cdn-cache-control: must-revalidate, max-age=60", "cache-control: no-store", true),
        ("cdn-cache-control: s-maxage=60", "x-none: 1", true),
        ("cdn-cache-control: max-age=60", "cache-control: public, max-age=60", false),
        ("cdn-cache-control: max-age=60", "cache-control: s-maxage=60", false),
    ];
    table(
        &rows,
        |row| format!("{row:?}"),
        async |scene, &(target, plain, shared)| {
            scene.answers([ok(&[target, plain])]);
            scene.get(&["authorization: Bearer ann"]).await.forwarded();
            let told = scene.get(&["authorization: Bearer bob"]).await;
            if shared {
                told.reused()
            } else {
                told.forwarded()
            };
        },
    )
    .await;
}

/// RFC 9213 §2.2 for RFC 5861.
#[tokio::test]
async fn leave_to_be_stale_is_the_targets_to_give() {
    let rows = [
        ("cdn-cache-control: max-age=10, stale-if-error=60", "cache-control: max-age=10", true),
        ("cdn-cache-control: max-age=10", "cache-control: max-age=10, stale-if-error=60", false),
        (
            "cdn-cache-control: max-age=10, stale-if-error=60",
            "cache-control: max-age=10, must-revalidate",
            true,
        ),
        (
            "cdn-cache-control: max-age=10, must-revalidate",
            "cache-control: max-age=10, stale-if-error=60",
            false,
        ),
    ];
    for (target, plain, stale) in rows {
        let scene =
            scene([ok(&[target, plain]), crate::origin::status(503, &[]).body("sick")]).await;
        scene.get(&[]).await.forwarded();
        scene.later(20);
        let told = scene.get(&[]).await;
        if stale {
            told.status(200).body("#1")
        } else {
            told.status(503).body("sick")
        };
    }
}

/// The target of a 304 replaces the stored one (§3.2).
#[tokio::test]
async fn a_304_may_change_the_target() {
    let scene = scene([
        ok(&["cdn-cache-control: max-age=10", "cache-control: max-age=5", "etag: \"a\""]),
        not_modified(&["cdn-cache-control: max-age=100", "etag: \"a\""]),
    ])
    .await;
    scene.get(&[]).await.forwarded();
    scene.later(8);
    scene.get(&[]).await.reused();
    scene.later(5);
    scene.get(&[]).await.validated().body("#1");
    scene.later(90);
    scene.get(&[]).await.reused().body("#1");
}

/// What is for caches further out is theirs to read.
#[tokio::test]
async fn the_clients_cache_control_goes_on_to_it() {
    let scene = scene([ok(&["cdn-cache-control: max-age=60", "cache-control: max-age=5"])]).await;
    scene.get(&[]).await.forwarded().field("cache-control", "max-age=5");
    scene.get(&[]).await.reused().field("cache-control", "max-age=5");
}

#[tokio::test]
async fn the_list_of_targets_is_a_setting() {
    let play = Play::start_with(|config| {
        config.generic.targets = vec!["x-ours-cache-control".parse().unwrap()];
        config.generic.max_fresh_for = Duration::from_secs(600);
    })
    .await;
    let scene = play.scene("ours");
    scene.answers([ok(&["x-ours-cache-control: max-age=60", "cdn-cache-control: no-store"])]);
    scene.get(&[]).await.forwarded();
    scene.get(&[]).await.reused();
    let scene = play.scene("not ours");
    scene.answers([ok(&["cache-control: max-age=60", "cdn-cache-control: no-store"])]);
    scene.get(&[]).await.forwarded();
    scene.get(&[]).await.reused();
}
