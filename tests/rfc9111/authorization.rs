//! Answers to requests with credentials (§3.5).

use crate::origin::{READ, not_modified, ok};
use crate::play::{scene, table};

const ANN: &str = "authorization: Bearer ann";
const BOB: &str = "authorization: Bearer bob";

/// §3.5: only with must-revalidate, public or s-maxage.
#[tokio::test]
async fn an_answer_to_credentials_is_shared_only_where_the_origin_says_so() {
    let rows: [(&[&str], bool); 18] = [
        (&["cache-control: max-age=60"], false),
        (&["expires: {+60}"], false),
        (&["last-modified: {-1000}"], false),
        (&["cache-control: max-age=60, immutable"], false),
        (&["cache-control: max-age=60, proxy-revalidate"], false),
        (&["cache-control: max-age=60, x-public"], false),
        (&["cache-control: max-age=60, x=\"public\""], false),
        (&["cache-control: private, max-age=60"], false),
        (&["cache-control: no-store, public, max-age=60"], false),
        (&["cache-control: public, private, max-age=60"], false),
        (&["cache-control: max-age=60", "etag: \"a\""], false),
        (&["cache-control: public, max-age=60"], true),
        (&["cache-control: PUBLIC, max-age=60"], true),
        (&["cache-control: public", "expires: {+60}"], true),
        (&["cache-control: public", "last-modified: {-1000}"], true),
        (&["cache-control: must-revalidate, max-age=60"], true),
        (&["cache-control: s-maxage=60"], true),
        (&["cache-control: s-maxage=60, max-age=0"], true),
    ];
    table(
        &rows,
        |row| format!("{:?}", row.0),
        async |scene, &(lines, shared)| {
            scene.answers([ok(lines)]);
            scene.get(&[ANN]).await.fetched().body("#1").asked_with("authorization", "Bearer ann");
            for (n, line) in [(2, Some(BOB)), (3, Some(ANN)), (4, None)] {
                let told = scene.get(line.as_slice()).await;
                if shared {
                    told.reused().body("#1");
                } else {
                    told.fetched().body(&format!("#{n}"));
                }
            }
        },
    )
    .await;
}

/// §3.5 bounds what answers to credentials are used for, and not what they are answered from.
#[tokio::test]
async fn what_anybody_was_told_is_told_to_one_with_credentials() {
    let scene = scene([ok(&["cache-control: max-age=60"])]).await;
    scene.get(&[]).await.forwarded();
    scene.get(&[ANN]).await.reused().body("#1");
}

/// §3.5 with must-revalidate: past its lifetime not without the origin's word.
#[tokio::test]
async fn what_must_be_revalidated_is_validated_by_whoever_asks() {
    let scene = scene([
        ok(&["cache-control: must-revalidate, max-age=10", "etag: \"a\""]),
        crate::origin::not_modified(&["etag: \"a\""]),
    ])
    .await;
    scene.get(&[ANN]).await.fetched();
    scene.later(20);
    let told = scene.get(&[BOB]).await;
    told.validated().body("#1").asked_with("authorization", "Bearer bob");
    scene.get(&[ANN]).await.reused().body("#1");
}

/// What may not be shared does not take the place of what may.
#[tokio::test]
async fn an_answer_to_credentials_does_not_replace_what_is_shared() {
    let scene = scene([
        ok(&["cache-control: max-age=60"]),
        ok(&["cache-control: max-age=60"]).body("of ann"),
    ])
    .await;
    scene.get(&[]).await.forwarded();
    scene.get(&[ANN, "cache-control: no-cache"]).await.forwarded().body("of ann");
    let told = scene.get(&[]).await;
    assert_ne!(told.got.text(), "of ann".repeat(1 + told.asked.len()));
    if told.asked.is_empty() {
        told.body("#1");
    }
}

/// Stricter than the standard, which knows of no credentials in `Cookie`: since most cookies are
/// some, an answer to them is shared only where it is said to be for everybody.
#[tokio::test]
async fn an_answer_to_cookies_is_shared_only_where_the_origin_says_so() {
    let rows = [
        ("cache-control: max-age=60", false),
        ("cache-control: private, max-age=60", false),
        ("expires: {+60}", false),
        ("cache-control: public, max-age=60", true),
        ("cache-control: s-maxage=60", true),
        ("cache-control: must-revalidate, max-age=60", false),
    ];
    table(
        &rows,
        |row| format!("{row:?}"),
        async |scene, &(line, shared)| {
            scene.answers([ok(&[line])]);
            let told = scene.get(&["cookie: session=ann"]).await;
            told.fetched().asked_with("cookie", "session=ann");
            for cookie in [&["cookie: session=bob"][..], &[]] {
                let told = scene.get(cookie).await;
                if shared {
                    told.reused().body("#1")
                } else {
                    told.forwarded()
                };
            }
        },
    )
    .await;
}

/// §4.1 for what may be shared.
#[tokio::test]
async fn an_answer_that_varies_by_cookie_fits_the_same_cookie() {
    let scene = scene([ok(&["cache-control: public, max-age=60", "vary: cookie"])]).await;
    scene.get(&["cookie: a=1"]).await.forwarded();
    scene.get(&["cookie: a=1"]).await.reused().body("#1");
    scene.get(&["cookie: a=2"]).await.forwarded().body("#2");
    scene.get(&[]).await.forwarded().body("#3");
}

/// §3.5 bounds what is stored, and not what is served: an answer to nobody in particular serves
/// those who have a cookie.
#[tokio::test]
async fn what_anybody_was_told_is_told_to_one_with_a_cookie() {
    let scene = scene([ok(&["cache-control: max-age=60"])]).await;
    scene.get(&[]).await.forwarded();
    scene.get(&["cookie: a=1"]).await.reused().body("#1");
}

/// What the origin says to somebody is no word on what it says to everybody.
#[tokio::test]
async fn an_answer_to_credentials_does_not_end_what_all_are_told() {
    let rows = [
        ("cookie: sid=1", ok(&["cache-control: private"])),
        ("cookie: sid=1", ok(&["cache-control: no-store"])),
        (ANN, ok(&["cache-control: private, max-age=60"])),
        (ANN, ok(&["cache-control: no-store"])),
        (ANN, not_modified(&["cache-control: private", "etag: \"a\""])),
        ("x-api-key: 1", ok(&["cache-control: no-store"])),
    ];
    table(
        &rows,
        |row| format!("{row:?}"),
        async |scene, (credentials, answer)| {
            scene.answers([ok(&["cache-control: max-age=600", "etag: \"a\""]), answer.clone()]);
            scene.get(&[]).await.fetched().body("#1");
            let told = scene.get(&[credentials, "cache-control: no-cache"]).await;
            told.forwarded().status(200);
            scene.get(&[]).await.reused().body("#1");
        },
    )
    .await;
}

/// What APIs and frameworks have made up in place of `Cookie` and `Authorization` says who asks too.
#[tokio::test]
async fn fields_like_credentials_count_as_such() {
    for name in
        ["x-api-key", "x_api_key", "x-auth-token", "x-csrf-token", "ocp-apim-subscription-key"]
    {
        let line = format!("{name}: 1");
        for (said, shared) in
            [("cache-control: max-age=60", false), ("cache-control: public, max-age=60", true)]
        {
            let scene = scene([ok(&[said])]).await;
            scene.get(&[&line]).await.fetched().body("#1").asked_with(name, "1");
            let told = scene.get(&[]).await;
            if shared {
                told.reused().body("#1")
            } else {
                told.fetched().body("#2")
            };
        }
    }
}

#[tokio::test]
async fn explain_never_shows_credentials() {
    let lines = ["cache-control: public, max-age=60", "vary: cookie, authorization, x-api-key"];
    let scene = scene([ok(&lines)]).await;
    let sent = ["cookie: sid=secret", "authorization: Bearer secret", "x-api-key: secret"];
    scene.get(&sent).await.fetched();
    scene.get(&sent).await.reused();
    let headers: serde_json::Map<String, serde_json::Value> = sent
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    for target in [&*scene.target, READ] {
        let question = serde_json::json!({ "url": target, "headers": headers });
        let got = scene.play().node.control_post("/explain", &question).await;
        assert_eq!(got.status, 200, "{got:?}");
        assert!(!got.text().contains("secret"), "{}", got.text());
        if target == scene.target {
            assert_eq!(got.json()["state"], "fresh", "{}", got.text());
        }
    }
}

/// The same of a HEAD, which else would end what it contradicts (§4.3.5).
#[tokio::test]
async fn a_head_with_credentials_does_not_end_what_all_are_told() {
    for credentials in ["cookie: sid=1", ANN] {
        let theirs = ok(&["cache-control: private", "etag: \"b\""]);
        let scene = scene([ok(&["cache-control: max-age=600", "etag: \"a\""]), theirs]).await;
        scene.get(&[]).await.fetched().body("#1");
        scene.head(&[credentials, "cache-control: no-cache"]).await.forwarded().status(200);
        scene.get(&[]).await.reused().body("#1");
    }
}
