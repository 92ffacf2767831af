//! What is stored, and what is not (§3).

use crate::origin::{ok, status};
use crate::play::{reuse, scene, table};

#[tokio::test]
async fn what_the_origin_forbids_is_not_used_again() {
    reuse(&[
        ("no-store", &["cache-control: no-store"], 0, false),
        ("no-store beside a lifetime", &["cache-control: no-store, max-age=60"], 0, false),
        ("no-store beside Expires", &["cache-control: no-store", "expires: {+60}"], 0, false),
        ("no-store beside s-maxage", &["cache-control: no-store, s-maxage=60"], 0, false),
        ("private", &["cache-control: private, max-age=60"], 0, false),
        ("private beside Expires", &["cache-control: private", "expires: {+60}"], 0, false),
        ("private with =", &["cache-control: private=, max-age=60"], 0, false),
        ("public", &["cache-control: public, max-age=60"], 1, true),
        // RFC 9110 §12.5.5.
        ("Vary: *", &["vary: *", "cache-control: max-age=60"], 0, false),
        ("Vary: * in a list", &["vary: accept, *", "cache-control: max-age=60"], 0, false),
        ("Vary: * on a line", &["vary: x", "vary: *", "cache-control: max-age=60"], 0, false),
    ])
    .await;
}

/// §5.2.2.5: MUST NOT store any part, so there is nothing to validate either.
#[tokio::test]
async fn what_is_not_stored_is_not_validated() {
    for line in ["cache-control: no-store", "cache-control: private"] {
        let scene = scene([ok(&[line, "etag: \"a\"", "last-modified: {-1000}"])]).await;
        scene.get(&[]).await.fetched();
        scene.get(&[]).await.fetched().body("#2");
    }
}

/// §3 with §3.3: what broke off is not complete, and is no complete answer for anyone.
#[tokio::test]
async fn an_answer_that_broke_off_is_not_stored() {
    let rows = [
        ("short of its length", ok(&["cache-control: max-age=60"]).short_of_its_length()),
        ("without its last chunk", ok(&["cache-control: max-age=60"]).without_its_last_chunk()),
        (
            "of a status by heuristic",
            status(404, &["last-modified: {-1000}"]).short_of_its_length(),
        ),
    ];
    table(
        &rows,
        |row| row.0.to_owned(),
        async |scene, (_, broken)| {
            scene.answers([broken.clone(), ok(&["cache-control: max-age=60"]).body("whole")]);
            // However the client learns of it: the connection may break under the answer.
            let play = scene.play().clone();
            let mut wire =
                crate::support::wire::Wire::connect(play.node.node.addresses().storefront).await;
            wire.send(&format!(
                "GET {} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n",
                scene.target
            ))
            .await;
            wire.rest().await;
            let asked = scene.asked().len();
            assert!(asked >= 1);
            scene.get(&[]).await.status(200).body("whole");
            assert!(scene.asked().len() > 1);
            scene.get(&[]).await.reused().body("whole");
        },
    )
    .await;
}

/// §3: however the end of the body is told.
#[tokio::test]
async fn every_framing_of_a_whole_body_is_stored() {
    let lasting = || ok(&["cache-control: max-age=60"]);
    let large = "0123456789abcdef".repeat(1 << 16);
    let rows = [
        ("by its length", lasting().body("whole"), "whole"),
        ("empty", lasting().body(""), ""),
        ("chunked", lasting().body("whole").chunked(), "whole"),
        ("ended by closing", lasting().body("whole").ended_by_closing(), "whole"),
        ("of 1 MiB", lasting().body(&large), &large),
        ("of 1 MiB, chunked", lasting().body(&large).chunked(), &large),
    ];
    table(
        &rows,
        |row| row.0.to_owned(),
        async |scene, (_, answer, body)| {
            scene.answers([answer.clone()]);
            scene.get(&[]).await.forwarded().body(body);
            let told = scene.get(&[]).await;
            told.reused().body(body).field("content-length", &body.len().to_string());
        },
    )
    .await;
}

/// §7.3: Set-Cookie does not inhibit caching; every line of it is a field of its own.
#[tokio::test]
async fn an_answer_that_sets_a_cookie_is_used_again_where_it_has_a_lifetime() {
    let lines =
        ["set-cookie: a=1", "set-cookie: b=2; expires=Thu, 1 Jan", "cache-control: max-age=60"];
    let scene = scene([ok(&lines)]).await;
    scene.get(&[]).await.forwarded();
    let told = scene.get(&[]).await;
    let cookies: Vec<_> = told.reused().got.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2; expires=Thu, 1 Jan"]);
}

/// §2: the key is the target URI and the method; and §4: one that differs is another.
#[tokio::test]
async fn targets_that_differ_are_stored_apart() {
    let scene = scene([ok(&["cache-control: max-age=60"])]).await;
    scene.get(&[]).await.forwarded();
    for suffix in ["/", "?a", "?a=1", "?a=2", "?a=1&b=2", "?b=2&a=1", "x"] {
        scene.beside(suffix).get(&[]).await.forwarded();
    }
    let upper = scene.at("/Commerce/media/SCENE.png");
    upper.get(&[]).await.forwarded();
}

/// §3: the method is understood. None but GET is answered from what a GET stored, HEAD apart.
#[tokio::test]
async fn other_methods_are_not_answered_from_the_store() {
    table(
        &["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "M-SEARCH", "QUERY", "get"],
        |method| (*method).to_owned(),
        async |scene, method| {
            scene.answers([ok(&["cache-control: public, max-age=60"])]);
            scene.send(method, &[]).await.forwarded().body("#1");
            scene.send(method, &[]).await.forwarded().body("#2");
            scene.get(&[]).await.forwarded().body("#3");
            scene.get(&[]).await.reused().body("#3");
            scene.send(method, &[]).await.forwarded().body("#4");
        },
    )
    .await;
}

/// §4: of several suitable ones the most recent; a new answer takes the place of the old.
#[tokio::test]
async fn the_newest_answer_is_the_one_that_is_used() {
    let scene = scene([ok(&["cache-control: max-age=60"])]).await;
    scene.get(&[]).await.forwarded();
    scene.later(10).get(&["cache-control: no-cache"]).await.forwarded().body("#2");
    scene.get(&[]).await.reused().body("#2").field("age", "0");
}

/// §5.2.1.5: the request's own word that nothing of it be stored.
#[tokio::test]
async fn what_answers_a_request_with_no_store_is_not_stored() {
    for line in ["cache-control: no-store", "Cache-Control: NO-STORE", "cache-control: x, no-store"]
    {
        let scene = scene([ok(&["cache-control: max-age=60", "etag: \"a\""])]).await;
        scene.get(&[line]).await.fetched().body("#1");
        scene.get(&[]).await.fetched().body("#2");
        // What was stored before may answer such a request: that stores nothing.
        scene.get(&[line]).await.reused().body("#2");
    }
}
