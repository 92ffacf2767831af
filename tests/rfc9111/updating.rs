//! What a 304 changes in the answer that it confirms (§3.2, §4.3.4).

use crate::origin::{not_modified, ok};
use crate::play::{scene, table};

const STORED: [&str; 8] = [
    "cache-control: max-age=60",
    "etag: \"a\"",
    "x-a: 1",
    "x-b: 1",
    "x-b: 2",
    "content-type: text/plain",
    "content-language: en",
    "link: </a>; rel=next",
];

/// §3.2: every field of the 304 takes the place of all that had its name; the others stay.
#[tokio::test]
async fn fields_of_a_304_replace_those_that_are_stored() {
    let rows: [(&[&str], &str, &str); 16] = [
        (&[], "x-a", "1"),
        (&[], "x-b", "1, 2"),
        (&["x-a: 2"], "x-a", "2"),
        (&["x-a: 2"], "x-b", "1, 2"),
        (&["X-A: 2"], "x-a", "2"),
        (&["x-a: "], "x-a", ""),
        (&["x-b: 3"], "x-b", "3"),
        (&["x-b: 3", "x-b: 4"], "x-b", "3, 4"),
        (&["x-new: 1"], "x-new", "1"),
        (&["x-new: 1", "x-new: 2"], "x-new", "1, 2"),
        (&["cache-control: max-age=90"], "cache-control", "max-age=90"),
        (&["content-type: text/html"], "content-type", "text/html"),
        (&["content-language: de"], "content-language", "de"),
        (&["content-location: /b"], "content-location", "/b"),
        (&["link: </b>; rel=next"], "link", "</b>; rel=next"),
        (
            &["last-modified: Mon, 27 Apr 2026 08:00:00 GMT"],
            "last-modified",
            "Mon, 27 Apr 2026 08:00:00 GMT",
        ),
    ];
    table(
        &rows,
        |row| format!("{row:?}"),
        async |scene, &(lines, name, value)| {
            scene.answers([ok(&STORED), not_modified(&[&["etag: \"a\""], lines].concat())]);
            scene.get(&[]).await.fetched();
            scene.later(70);
            // To the one for whom it was asked, and to all after.
            scene.get(&[]).await.validated().status(200).body("#1").field(name, value);
            scene.get(&[]).await.reused().status(200).body("#1").field(name, value);
        },
    )
    .await;
}

/// §4.3.4 with §3.2: Date is the 304's.
#[tokio::test]
async fn the_date_of_a_confirmed_answer_is_that_of_the_304() {
    let scene = scene([ok(&STORED), not_modified(&["etag: \"a\""])]).await;
    let told = scene.get(&[]).await;
    let first = told.got.header("date").unwrap().to_owned();
    scene.later(70);
    let told = scene.get(&[]).await;
    let second = told.validated().got.header("date").unwrap().to_owned();
    assert_ne!(first, second);
    scene.later(10);
    scene.get(&[]).await.reused().field("date", &second).field("age", "10");
}

/// §3.2: the length stays that of the content that is stored.
#[tokio::test]
async fn the_length_is_that_of_the_content() {
    for length in ["0", "1", "999"] {
        let scene = scene([
            ok(&STORED),
            not_modified(&["etag: \"a\"", &format!("content-length: {length}")]),
        ])
        .await;
        scene.get(&[]).await.fetched();
        scene.later(70);
        let told = scene.get(&[]).await;
        told.validated().status(200).body("#1").field("content-length", "2");
        scene.get(&[]).await.reused().status(200).body("#1").field("content-length", "2");
    }
}

/// §3.1 with §3.2: what is of the connection is not stored from a 304 either.
#[tokio::test]
async fn fields_of_the_connection_do_not_come_in_by_a_304() {
    let scene = scene([
        ok(&STORED),
        not_modified(&[
            "etag: \"a\"",
            "connection: x-hop",
            "x-hop: 1",
            "keep-alive: timeout=5",
            "proxy-authenticate: Basic",
            "x-end: 1",
        ]),
    ])
    .await;
    scene.get(&[]).await.fetched();
    scene.later(70);
    for _ in 0..2 {
        let told = scene.get(&[]).await;
        told.status(200).lacks("x-hop").lacks("keep-alive").lacks("proxy-authenticate");
        told.field("x-end", "1");
    }
}

/// §4.3.4: what one 304 changed, the next one finds.
#[tokio::test]
async fn changes_by_several_304s_add_up() {
    let scene = scene([
        ok(&STORED),
        not_modified(&["etag: \"a\"", "x-a: 2"]),
        not_modified(&["etag: \"a\"", "x-c: 3"]),
        not_modified(&["etag: \"a\"", "x-a: 4"]),
    ])
    .await;
    scene.get(&[]).await.fetched();
    scene.later(70);
    scene.get(&[]).await.validated().field("x-a", "2").lacks("x-c");
    scene.later(70);
    scene.get(&[]).await.validated().field("x-a", "2").field("x-c", "3");
    scene.later(70);
    scene.get(&[]).await.validated().body("#1").field("x-a", "4").field("x-c", "3");
    scene.get(&[]).await.reused().field("x-a", "4").field("x-c", "3").field("x-b", "1, 2");
}

/// §4.3.4 with §5.2.2.5: a confirmation that takes the leave to store away.
#[tokio::test]
async fn a_304_with_no_store_ends_what_is_stored() {
    for line in ["cache-control: no-store", "cache-control: private"] {
        let scene = scene([ok(&STORED), not_modified(&["etag: \"a\"", line]), ok(&STORED)]).await;
        scene.get(&[]).await.fetched();
        scene.later(70);
        scene.get(&[]).await.validated().status(200).body("#1");
        scene.later(1);
        scene.get(&[]).await.forwarded();
    }
}

/// A confirmation tells the client's own conditions by what is stored after it.
#[tokio::test]
async fn a_304_that_is_made_here_carries_what_the_origins_changed() {
    let scene = scene([
        ok(&STORED),
        not_modified(&["etag: \"a\"", "content-location: /there", "cache-control: max-age=90"]),
    ])
    .await;
    scene.get(&[]).await.fetched();
    scene.later(70);
    let told = scene.get(&["if-none-match: \"a\""]).await;
    told.validated().status(304).field("content-location", "/there");
    let told = scene.get(&["if-none-match: \"a\""]).await;
    told.reused().status(304).field("content-location", "/there");
    told.field("cache-control", "max-age=90");
}

/// A cookie is set for the one who asked: what a 304 sets is stored for nobody else.
#[tokio::test]
async fn a_cookie_that_a_304_sets_goes_to_the_one_who_asked() {
    let confirmed =
        not_modified(&["etag: \"a\"", "set-cookie: sid=1", "cache-control: max-age=60"]);
    let scene = scene([ok(&["cache-control: max-age=1", "etag: \"a\""]), confirmed]).await;
    scene.get(&[]).await.fetched();
    scene.later(2);
    scene.get(&[]).await.validated().field("set-cookie", "sid=1");
    scene.get(&[]).await.reused().lacks("set-cookie");
}
