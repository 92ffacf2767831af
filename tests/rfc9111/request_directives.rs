//! What a request may ask of a cache (§5.2.1).

use crate::origin::{not_modified, ok, status};
use crate::play::{scene, table};

/// The answer's directives, its age when it is asked for again, what is asked, whether it is used.
type Row = (&'static str, u64, &'static [&'static str], bool);

async fn asked(rows: &[Row]) {
    table(
        rows,
        |row| format!("{row:?}"),
        async |scene, &(directives, seconds, lines, reused)| {
            scene.answers([ok(&[&format!("cache-control: {directives}")])]);
            scene.get(&[]).await.forwarded().body("#1");
            scene.later(seconds);
            let told = scene.get(lines).await;
            if reused {
                told.reused().body("#1")
            } else {
                told.forwarded().body("#2")
            };
        },
    )
    .await;
}

/// §5.2.1.1.
#[tokio::test]
async fn max_age_bounds_the_age() {
    asked(&[
        ("max-age=60", 20, &["cache-control: max-age=30"], true),
        ("max-age=60", 20, &["cache-control: max-age=20"], true),
        ("max-age=60", 20, &["cache-control: max-age=10"], false),
        ("max-age=60", 20, &["cache-control: MAX-AGE=10"], false),
        ("max-age=60", 20, &["cache-control: max-age=\"10\""], false),
        ("max-age=60", 20, &["cache-control: x", "cache-control: max-age=10"], false),
        ("max-age=60", 20, &["cache-control: max-age=99999999999999999999"], true),
        ("max-age=60", 1, &["cache-control: max-age=0"], false),
        // It does not make a stale answer fresh.
        ("max-age=60", 70, &["cache-control: max-age=100"], false),
        ("max-age=60", 70, &["cache-control: s-maxage=100"], false),
        // s-maxage is for answers alone (§5.2.2.10).
        ("max-age=60", 20, &["cache-control: s-maxage=10"], true),
    ])
    .await;
}

/// §5.2.1.2: how stale the client would take it, where the origin does not forbid (§4.2.4).
#[tokio::test]
async fn max_stale_takes_what_is_past_its_lifetime() {
    asked(&[
        ("max-age=60", 70, &["cache-control: max-stale=20"], true),
        ("max-age=60", 80, &["cache-control: max-stale=20"], true),
        ("max-age=60", 90, &["cache-control: max-stale=20"], false),
        ("max-age=60", 70, &["cache-control: max-stale=\"20\""], true),
        ("max-age=60", 3000, &["cache-control: max-stale"], true),
        ("max-age=60", 70, &["cache-control: MAX-STALE"], true),
        ("max-age=60", 70, &["cache-control: max-stale=0"], false),
        ("max-age=60", 70, &["cache-control: max-stale=20, max-age=100"], true),
        ("max-age=60", 70, &["cache-control: max-stale=20, max-age=65"], false),
        ("max-age=60", 70, &["cache-control: max-stale=20, no-cache"], false),
        ("max-age=60", 70, &["cache-control: x-max-stale=20"], false),
        ("max-age=60, must-revalidate", 70, &["cache-control: max-stale=20"], false),
        ("max-age=60, proxy-revalidate", 70, &["cache-control: max-stale=20"], false),
        ("max-age=60, no-cache", 10, &["cache-control: max-stale=20"], false),
        ("s-maxage=60", 70, &["cache-control: max-stale=20"], false),
        ("max-age=60, s-maxage=60", 70, &["cache-control: max-stale"], false),
    ])
    .await;
}

/// §5.2.1.3.
#[tokio::test]
async fn min_fresh_wants_what_stays_fresh() {
    asked(&[
        ("max-age=60", 20, &["cache-control: min-fresh=30"], true),
        ("max-age=60", 20, &["cache-control: min-fresh=40"], true),
        ("max-age=60", 20, &["cache-control: min-fresh=50"], false),
        ("max-age=60", 20, &["cache-control: Min-Fresh=50"], false),
        ("max-age=60", 20, &["cache-control: min-fresh=\"50\""], false),
        ("max-age=60", 0, &["cache-control: min-fresh=1000"], false),
        ("max-age=60", 0, &["cache-control: min-fresh=99999999999999999999"], false),
        ("max-age=60", 20, &["cache-control: min-fresh=0"], true),
        ("max-age=60", 20, &["cache-control: min-fresh=30, max-age=10"], false),
    ])
    .await;
}

/// §5.2.1.4, and those that say nothing to a cache.
#[tokio::test]
async fn no_cache_wants_the_origins_word_and_others_do_not() {
    asked(&[
        ("max-age=60", 1, &["cache-control: no-cache"], false),
        ("max-age=60", 1, &["cache-control: No-Cache"], false),
        ("max-age=60", 1, &["cache-control: x=\"a, b\", no-cache"], false),
        ("max-age=60", 1, &["cache-control: x", "cache-control: no-cache"], false),
        ("max-age=60, immutable", 1, &["cache-control: no-cache"], false),
        ("max-age=60", 1, &["cache-control: x=\"no-cache\""], true),
        ("max-age=60", 1, &["cache-control: x=\"a, no-cache, b\""], true),
        ("max-age=60", 1, &["cache-control: no-store"], true),
        ("max-age=60", 1, &["cache-control: no-transform"], true),
        ("max-age=60", 1, &["cache-control: private"], true),
        ("max-age=60", 1, &["cache-control: must-revalidate"], true),
        ("max-age=60", 1, &["cache-control: immutable"], true),
        ("max-age=60", 1, &["cache-control: x-unknown=1"], true),
        ("max-age=60", 1, &["cache-control: "], true),
        ("max-age=60", 1, &["cache-control: only-if-cached"], true),
        // §5.4: where Cache-Control is there, Pragma never counted; what it holds else says nothing.
        ("max-age=60", 1, &["pragma: x-unknown"], true),
        ("max-age=60", 20, &["pragma: no-cache", "cache-control: max-age=30"], true),
    ])
    .await;
}

#[tokio::test]
async fn no_cache_validates_what_is_stored() {
    for line in ["cache-control: no-cache", "cache-control: max-age=0"] {
        let scene = scene([
            ok(&["cache-control: max-age=60", "etag: \"a\""]),
            not_modified(&["etag: \"a\""]),
        ])
        .await;
        scene.get(&[]).await.fetched();
        scene.later(10);
        let told = scene.get(&[line]).await;
        told.validated().asked_with("if-none-match", "\"a\"").status(200).body("#1");
        scene.get(&[]).await.reused().body("#1").field("age", "0");
    }
}

/// §5.2.1.4 with §3: what the origin then says is stored as anything else.
#[tokio::test]
async fn what_no_cache_fetches_is_stored() {
    let scene = scene([ok(&["cache-control: max-age=60"])]).await;
    scene.get(&["cache-control: no-cache"]).await.forwarded().body("#1");
    scene.get(&[]).await.reused().body("#1");
}

/// §5.2.1.7.
#[tokio::test]
async fn only_if_cached_asks_nobody() {
    let scene = scene([ok(&["cache-control: max-age=60"])]).await;
    let only: [&[&str]; 3] = [
        &["cache-control: only-if-cached"],
        &["cache-control: Only-If-Cached"],
        &["cache-control: x", "cache-control: only-if-cached"],
    ];
    for lines in only {
        let told = scene.get(lines).await.status(504).asked.len();
        assert_eq!(told, 0, "{lines:?}");
    }
    scene.get(&[]).await.forwarded().body("#1");
    for lines in only {
        scene.get(lines).await.reused().status(200).body("#1");
    }
    // Its other constraints hold.
    scene.later(20);
    let told = scene.get(&["cache-control: only-if-cached, max-age=10"]).await;
    assert!(told.status(504).asked.is_empty());
    let told = scene.get(&["cache-control: only-if-cached, no-cache"]).await;
    assert!(told.status(504).asked.is_empty());
    scene.later(50);
    let told = scene.get(&["cache-control: only-if-cached"]).await;
    assert!(told.status(504).asked.is_empty());
    let told = scene.get(&["cache-control: only-if-cached, max-stale=60"]).await;
    told.reused().status(200).body("#1");
    let told = scene.head(&["cache-control: only-if-cached"]).await;
    assert!(told.status(504).asked.is_empty());
}

/// §4.3.2 within what is cached.
#[tokio::test]
async fn only_if_cached_answers_conditions() {
    let scene = scene([ok(&["cache-control: max-age=60", "etag: \"a\""])]).await;
    scene.get(&[]).await.forwarded();
    let told = scene.get(&["cache-control: only-if-cached", "if-none-match: \"a\""]).await;
    told.reused().status(304).body("");
}

/// RFC 9110 §7.6 with §5.2: directives go on to whoever is further in.
#[tokio::test]
async fn the_clients_directives_go_on_to_the_origin() {
    let scene = scene([ok(&["cache-control: no-store"])]).await;
    for line in ["no-cache", "max-age=0", "no-store", "no-transform", "x-unknown=1"] {
        let told = scene.get(&[&format!("cache-control: {line}")]).await;
        let found = told.forwarded().asked[0].field("cache-control").unwrap_or_default();
        assert!(found.contains(line), "{line}: {found}");
    }
}

/// §5.4: Pragma in an answer has no meaning.
#[tokio::test]
async fn pragma_in_an_answer_does_not_count() {
    let scene = scene([status(200, &["pragma: no-cache", "cache-control: max-age=60"])]).await;
    scene.get(&[]).await.forwarded();
    scene.get(&[]).await.reused().field("pragma", "no-cache");
}
