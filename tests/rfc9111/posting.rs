//! Answers to POST that are the target's representation (RFC 9110 §9.3.3).

use std::sync::Arc;

use csu_edge::config::{Config, RequestFields};
use http::HeaderName;

use crate::origin::{Answer, ok, status};
use crate::play::{Play, Scene, Told, table_on};

/// A node that knows the name by which storefronts call it.
async fn stage() -> Arc<Play> {
    stage_with(|_| ()).await
}

async fn stage_with(change: impl FnOnce(&mut Config)) -> Arc<Play> {
    Play::start_with(|config| {
        config.storefront.public_root = Some("http://shop.example/Commerce".parse().unwrap());
        change(config);
    })
    .await
}

/// A POST by that name.
async fn post(scene: &Scene, lines: &[&str]) -> Told {
    scene.send("POST", &[&["host: shop.example"], lines].concat()).await
}

/// The origin's answers to POST, and to whatever else comes.
fn to_post(scene: &Scene, lines: &[&str]) {
    let posted = ok(lines).body("posted");
    scene.answers_by(move |seen, _| match seen.method.as_str() {
        "POST" => posted.clone(),
        _ => ok(&["cache-control: no-store"]).body("got"),
    });
}

/// A later GET or HEAD MAY be answered with it.
#[tokio::test]
async fn an_answer_to_post_that_says_where_it_is_and_for_how_long_answers_a_get() {
    let scene = stage().await.scene("posted");
    let location = format!("content-location: {}", scene.target);
    to_post(&scene, &["cache-control: max-age=60", &location, "x-mark: 1"]);
    post(&scene, &[]).await.forwarded().body("posted");
    scene.get(&[]).await.reused().body("posted").field("x-mark", "1");
    scene.head(&[]).await.reused().body("");
    post(&scene, &[]).await.forwarded();
    scene.later(61);
    scene.get(&[]).await.forwarded().body("got");
}

/// "Only cacheable when they include explicit freshness information and a Content-Location header
/// field that has the same value as the POST's target URI".
#[tokio::test]
async fn any_other_answer_to_post_answers_nothing_but_the_post() {
    let rows: &[(&str, &[&str])] = &[
        ("no location", &["cache-control: max-age=60"]),
        ("another", &["cache-control: max-age=60", "content-location: /Commerce/media/other"]),
        ("of another origin", &["cache-control: max-age=60", "content-location: http://a/b"]),
        ("no lifetime", &["content-location: {}"]),
        ("a guess", &["content-location: {}", "last-modified: {-1000000}"]),
        ("private", &["cache-control: private, max-age=60", "content-location: {}"]),
        ("no-store", &["cache-control: no-store, max-age=60", "content-location: {}"]),
        ("vary", &["cache-control: max-age=60", "vary: *", "content-location: {}"]),
    ];
    table_on(
        stage().await,
        rows,
        |row| row.0.to_owned(),
        async |scene, &(_, lines)| {
            let lines: Vec<String> =
                lines.iter().map(|line| line.replace("{}", &scene.target)).collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            to_post(&scene, &lines);
            post(&scene, &[]).await.forwarded().body("posted");
            scene.get(&[]).await.forwarded().body("got");
        },
    )
    .await;
}

#[tokio::test]
async fn a_failed_post_is_kept_by_nobody() {
    let scene = stage().await.scene("posted");
    let location = format!("content-location: {}", scene.target);
    let lines = ["cache-control: max-age=60", &*location];
    let failed: Answer = status(500, &lines);
    scene.answers([failed, ok(&["cache-control: no-store"]).body("got")]);
    post(&scene, &[]).await.forwarded().status(500);
    scene.get(&[]).await.forwarded().body("got");
}

/// What a client sends with a POST goes on as it is, and some of it would make a representation for
/// that client alone, or of another target; and a cookie is set for one.
#[tokio::test]
async fn an_answer_to_a_post_that_was_somebodys_answers_nobody_else() {
    let rows: &[(&[&str], &[&str], bool)] = &[
        (&[], &[], true),
        (&["x-mine: 1"], &[], true),
        (&["cookie: sid=1"], &[], false),
        (&["authorization: Bearer ann"], &[], false),
        (&["x-csrf-token: 1"], &[], false),
        (&["x-original-url: /other"], &[], false),
        (&["x-forwarded-host: evil.example"], &[], false),
        (&[], &["set-cookie: sid=1"], false),
    ];
    table_on(
        stage().await,
        rows,
        |row| format!("{row:?}"),
        async |scene, &(sent, answered, kept)| {
            let location = format!("content-location: {}", scene.target);
            let lasting = ["cache-control: public, max-age=60", &*location];
            to_post(&scene, &[&lasting[..], answered].concat());
            post(&scene, sent).await.forwarded().status(200).body("posted");
            let told = scene.get(&[]).await;
            if kept {
                told.reused().body("posted")
            } else {
                told.forwarded().body("got")
            };
        },
    )
    .await;
}

/// §4.4: what was purged after the POST left is not what its answer says any more.
#[tokio::test]
async fn an_answer_to_a_post_that_was_purged_meanwhile_is_not_kept() {
    for purged in [true, false] {
        let scene = stage().await.scene("posted");
        let location = format!("content-location: {}", scene.target);
        to_post(&scene, &["cache-control: max-age=60", &location]);
        scene.origin().hold(true);
        let posting = async { post(&scene, &[]).await };
        let purging = async {
            scene.asked_often(1).await;
            if purged {
                scene.play().purge(&format!("generic/url:{}", scene.target), "hard").await;
            }
            scene.origin().hold(false);
        };
        let (told, ()) = tokio::join!(posting, purging);
        told.status(200).body("posted");
        let told = scene.get(&[]).await;
        if purged {
            told.forwarded().body("got")
        } else {
            told.reused().body("posted")
        };
    }
}

/// A read goes to the origin without a word of the client's `Host`; a POST that passes tells it, so
/// that its answer may have another site's links in it.
#[tokio::test]
async fn an_answer_to_a_post_that_was_made_for_another_host_answers_nobody_else() {
    let scene = stage().await.scene("posted");
    let location = format!("content-location: {}", scene.target);
    scene.answers_by(move |seen, _| {
        let host = seen.field("x-forwarded-host").unwrap_or_default();
        ok(&["cache-control: max-age=60", &location]).body(&format!("link to {host}"))
    });
    scene.send("POST", &["host: evil.example"]).await.forwarded().body("link to evil.example");
    scene.get(&[]).await.forwarded().body("link to ");
    post(&scene, &[]).await.forwarded().body("link to shop.example");
    scene.get(&[]).await.reused().body("link to shop.example");
}

/// The same of fields that reads go without by the operator's list.
#[tokio::test]
async fn an_answer_to_a_post_with_fields_that_reads_go_without_answers_nobody_else() {
    let play = stage_with(|config| {
        config.generic.request_fields = RequestFields::Listed(vec![HeaderName::from_static("x-a")]);
    })
    .await;
    for (sent, kept) in [("x-a: 1", true), ("accept-language: de", false), ("x-key: 1", false)] {
        let scene = play.scene(sent);
        let location = format!("content-location: {}", scene.target);
        to_post(&scene, &["cache-control: max-age=60", "vary: accept-language", &location]);
        post(&scene, &[sent, "content-type: text/plain"]).await.forwarded().body("posted");
        let told = scene.get(&[]).await;
        if kept {
            told.reused().body("posted")
        } else {
            told.forwarded().body("got")
        };
    }
}
