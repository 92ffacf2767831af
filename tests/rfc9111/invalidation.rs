//! What an unsafe request makes invalid (§4.4).

use crate::origin::{READ, ok, product, status};
use crate::play::{Play, Scene, scene, table};

const LASTING: &str = "cache-control: max-age=3600";

async fn stored(scene: &Scene) {
    scene.get(&[]).await.forwarded();
    scene.get(&[]).await.reused();
}

/// §4.4: MUST, by every method that is not known to be safe, where it did not fail.
#[tokio::test]
async fn an_unsafe_request_that_succeeds_invalidates_its_target() {
    let methods = ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "FOO", "PURGE", "MKCOL", "get"];
    for method in methods {
        table(
            &[200, 201, 202, 204, 299, 301, 302, 303, 307, 399],
            |code| format!("{code}"),
            async |scene, &code| {
                scene.answers_by(move |seen, _| match seen.method.as_str() {
                    "GET" => ok(&[LASTING]),
                    _ => status(code, &[]),
                });
                stored(&scene).await;
                scene.send(method, &[]).await.forwarded().status(code);
                scene.get(&[]).await.forwarded().status(200);
                scene.get(&[]).await.reused();
            },
        )
        .await;
    }
}

/// §4.4: a failure changes nothing, and a safe method neither (RFC 9110 §9.2.1).
#[tokio::test]
async fn what_fails_or_is_safe_invalidates_nothing() {
    let mut rows: Vec<(&str, u16)> =
        [400, 401, 403, 404, 409, 412, 415, 422, 499, 500, 501, 502, 503, 504]
            .iter()
            .flat_map(|&code| [("POST", code), ("DELETE", code)])
            .collect();
    rows.push(("OPTIONS", 200));
    table(
        &rows,
        |row| format!("{row:?}"),
        async |scene, &(method, code)| {
            scene.answers_by(move |seen, _| match seen.method.as_str() {
                "GET" => ok(&[LASTING]),
                _ => status(code, &[]),
            });
            stored(&scene).await;
            scene.send(method, &[]).await.forwarded().status(code);
            scene.get(&[]).await.reused().body("#1");
        },
    )
    .await;
}

/// §4.4: Location and Content-Location of the same origin, however they are written.
#[tokio::test]
async fn an_unsafe_request_invalidates_what_its_answer_names() {
    let play = Play::start().await;
    let origin = play.origin.address();
    let mut rows = Vec::new();
    for name in ["location", "content-location"] {
        for (value, invalidates) in [
            ("{target}".to_owned(), true),
            (format!("http://{origin}{{target}}"), true),
            (format!("HTTP://{origin}{{target}}"), true),
            (format!("//{origin}{{target}}"), true),
            ("{file}".to_owned(), true),
            ("./{file}".to_owned(), true),
            ("{target}#part".to_owned(), true),
            ("{target}?x=1".to_owned(), false),
            ("{target}x".to_owned(), false),
            // MUST NOT where the origin is another (RFC 9110 §4.3.1).
            ("http://other.example{target}".to_owned(), false),
            (format!("https://{origin}{{target}}"), false),
            (format!("http://{}:1{{target}}", origin.ip()), false),
            ("//other.example{target}".to_owned(), false),
            ("http://".to_owned(), false),
            (String::new(), false),
        ] {
            rows.push((name, value, invalidates));
        }
    }
    crate::play::table_on(
        play,
        &rows,
        |row| format!("{}: {}", row.0, row.1),
        async |scene, (name, value, invalidates)| {
            let named = scene.beside("-named");
            let file = named.target.rsplit('/').next().unwrap();
            let value = value.replace("{target}", &named.target).replace("{file}", file);
            let line = format!("{name}: {value}");
            named.answers([ok(&[LASTING])]);
            scene.answers([status(201, &[&line])]);
            stored(&named).await;
            scene.send("POST", &[]).await.forwarded();
            let told = named.get(&[]).await;
            if *invalidates {
                told.forwarded().body("#2")
            } else {
                told.reused().body("#1")
            };
        },
    )
    .await;
}

/// §4.4: of an answer to a failure or to a safe request they name nothing to invalidate.
#[tokio::test]
async fn a_failure_or_a_safe_request_invalidates_nothing_that_its_answer_names() {
    table(
        &[("POST", 409), ("PUT", 500), ("GET", 200), ("OPTIONS", 200)],
        |row| format!("{row:?}"),
        async |scene, &(method, code)| {
            let named = scene.beside("-named");
            named.answers([ok(&[LASTING])]);
            let lines = [
                format!("location: {}", named.target),
                format!("content-location: {}", named.target),
            ];
            scene.answers([status(code, &[&lines[0], &lines[1]])]);
            stored(&named).await;
            scene.send(method, &[]).await.forwarded();
            named.get(&[]).await.reused();
        },
    )
    .await;
}

/// §4.4: all responses for the URI: every variant, and what a HEAD may be answered from.
#[tokio::test]
async fn all_that_is_stored_for_the_target_becomes_invalid() {
    let scene = scene([ok(&[LASTING, "vary: x-a", "etag: \"a\""])]).await;
    for value in ["x-a: 1", "x-a: 2", "x-a: 3"] {
        scene.get(&[value]).await.forwarded();
        scene.get(&[value]).await.reused();
    }
    scene.send("POST", &[]).await.forwarded();
    for value in ["x-a: 1", "x-a: 2"] {
        scene.get(&[value]).await.forwarded();
    }
    scene.head(&["x-a: 3"]).await.forwarded();
}

/// §4.4 with §4.3.5: a HEAD that names no validator is no validation of what is invalid.
#[tokio::test]
async fn a_head_does_not_make_valid_what_it_does_not_confirm() {
    let scene = scene([ok(&[LASTING])]).await;
    stored(&scene).await;
    scene.send("POST", &[]).await.forwarded();
    scene.head(&[]).await.forwarded();
    let told = scene.get(&[]).await;
    told.forwarded().status(200);
}

#[tokio::test]
async fn a_part_of_an_invalid_answer_is_not_served() {
    let lines = [LASTING, "etag: \"a\"", "content-range: bytes 2-5/10"];
    let scene =
        scene([status(206, &lines).body("2345"), ok(&[]), status(206, &lines).body("cdef")]).await;
    scene.get(&["range: bytes=2-5"]).await.forwarded().body("2345");
    scene.send("PUT", &[]).await.forwarded();
    scene.get(&["range: bytes=2-5"]).await.forwarded().body("cdef");
}

/// §4.4: the target, and not what is like it.
#[tokio::test]
async fn other_targets_stay_valid() {
    let scene = scene([ok(&[LASTING])]).await;
    let others = [scene.beside("?a=1"), scene.beside("/b"), scene.beside("x")];
    for other in &others {
        stored(other).await;
    }
    stored(&scene).await;
    scene.send("POST", &[]).await.forwarded();
    for other in &others {
        other.get(&[]).await.reused();
    }
    others[0].send("POST", &[]).await.forwarded();
    others[0].get(&[]).await.forwarded();
    others[1].get(&[]).await.reused();
}

/// §4.4: what is invalid serves no stale window either, since it needs a mandatory validation.
#[tokio::test]
async fn what_is_invalid_is_not_served_stale() {
    let line = "cache-control: max-age=60, stale-while-revalidate=600, stale-if-error=600";
    let scene = scene([
        ok(&[line, "etag: \"a\""]),
        ok(&[]),
        status(503, &[]).body("sick"),
        ok(&[line]).body("new"),
    ])
    .await;
    scene.get(&[]).await.forwarded();
    scene.send("POST", &[]).await.forwarded();
    scene.get(&["cache-control: max-stale"]).await.forwarded().status(503).body("sick");
    scene.get(&[]).await.forwarded().status(200).body("new");
}

/// §4.4 in time: what left the origin before the change is invalid when it comes.
#[tokio::test]
async fn an_answer_on_its_way_while_its_target_changed_is_not_used_again() {
    let scene = scene([ok(&[LASTING])]).await;
    scene.origin().hold(true);
    let first = tokio::spawn({
        let scene = scene.clone();
        async move { scene.get(&[]).await.got.text() }
    });
    scene.asked_often(1).await;
    let change = tokio::spawn({
        let scene = scene.clone();
        async move { scene.send("POST", &[]).await.got.status }
    });
    scene.asked_often(2).await;
    scene.origin().hold(false);
    first.await.unwrap();
    assert_eq!(change.await.unwrap(), 200);
    // Which of the two came first is open; that the old answer is gone is not, once the change is
    // told. A new one is told from the old by its number.
    let told = scene.get(&[]).await;
    assert_ne!(told.got.text(), "#1");
}

/// Anyone can make unsafe requests. More of them than are remembered make invalid all that is stored
/// by its URL, and no answer by the catalogue.
#[tokio::test]
async fn many_unsafe_requests_purge_urls_and_nothing_else() {
    let play = Play::start_with(|config| {
        config.purge.max_urls = 4;
        config.purge.max_tags = 20;
    })
    .await;
    let read = play.scene("read").at(READ);
    read.answers([product(&[])]);
    read.get(&[]).await.forwarded().status(200);
    let scene = play.scene("stored");
    stored(&scene).await;
    for n in 0..4 {
        play.scene("few").beside(&format!("?{n}")).send("POST", &[]).await.forwarded();
    }
    scene.get(&[]).await.reused();
    for n in 4..40 {
        play.scene("many").beside(&format!("?{n}")).send("POST", &[]).await.forwarded();
    }
    scene.get(&[]).await.forwarded();
    scene.get(&[]).await.reused();
    read.get(&[]).await.reused().status(200).tells("hit");
}
