//! Which statuses may be stored, with and without a lifetime (§3, RFC 9110 §15.1).

use crate::origin::status;
use crate::play::table;

/// RFC 9110 §15.1, but for 206, which answers a range.
const HEURISTIC: [u16; 11] = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];

/// Final statuses that say nothing of caching themselves, known and not.
const OTHERS: [u16; 46] = [
    201, 202, 207, 208, 218, 250, 299, 302, 303, 305, 306, 307, 309, 350, 399, 400, 402, 403, 406,
    408, 409, 411, 413, 415, 417, 418, 421, 422, 423, 424, 425, 426, 450, 451, 499, 500, 502, 503,
    504, 505, 506, 507, 508, 510, 550, 599,
];

fn all() -> Vec<u16> {
    HEURISTIC.into_iter().chain(OTHERS).collect()
}

/// §3: a lifetime makes any final status storable.
#[tokio::test]
async fn every_final_status_with_a_lifetime_is_used_again() {
    for line in ["cache-control: max-age=60", "cache-control: s-maxage=60", "expires: {+60}"] {
        table(
            &all(),
            |code| format!("{code}"),
            async |scene, &code| {
                scene.answers([status(code, &[line, "x-mark: 1"])]);
                let body = if code == 204 { "" } else { "#1" };
                scene.get(&[]).await.forwarded().status(code).body(body);
                scene.later(50);
                scene.get(&[]).await.reused().status(code).body(body).field("x-mark", "1");
                scene.later(20);
                scene.get(&[]).await.forwarded().status(code);
            },
        )
        .await;
    }
}

/// §4.2.2: those that RFC 9110 §15.1 names.
#[tokio::test]
async fn some_statuses_have_a_lifetime_by_heuristic() {
    table(
        &HEURISTIC,
        |code| format!("{code}"),
        async |scene, &code| {
            scene.answers([status(code, &["last-modified: {-1000}"])]);
            scene.get(&[]).await.forwarded().status(code);
            scene.later(90);
            scene.get(&[]).await.reused().status(code);
        },
    )
    .await;
}

/// §3: all others need to be allowed to be stored.
#[tokio::test]
async fn other_statuses_are_not_stored_on_a_guess() {
    table(
        &OTHERS,
        |code| format!("{code}"),
        async |scene, &code| {
            scene.answers([status(code, &["last-modified: {-1000}", "etag: \"a\""])]);
            scene.get(&[]).await.fetched().status(code);
            scene.get(&[]).await.fetched().status(code).body("#2");
        },
    )
    .await;
}

/// §4.2.2: `public` marks an answer as cacheable, so that a heuristic may give it a lifetime.
#[tokio::test]
async fn public_lets_any_status_have_a_heuristic_lifetime() {
    table(
        &[201, 302, 307, 403, 451, 503, 599],
        |code| format!("{code}"),
        async |scene, &code| {
            let lines = ["last-modified: {-1000}", "cache-control: public"];
            scene.answers([status(code, &lines)]);
            scene.get(&[]).await.forwarded().status(code);
            scene.later(90);
            scene.get(&[]).await.reused().status(code);
        },
    )
    .await;
}

/// §5.2.2.5 and §5.2.2.7 whatever the status.
#[tokio::test]
async fn no_status_is_stored_against_the_origins_word() {
    for line in ["cache-control: no-store, max-age=60", "cache-control: private, max-age=60"] {
        table(
            &all(),
            |code| format!("{code}"),
            async |scene, &code| {
                scene.answers([status(code, &[line])]);
                scene.get(&[]).await.forwarded().status(code);
                scene.get(&[]).await.fetched().status(code);
            },
        )
        .await;
    }
}

/// RFC 6585 §3 to §6: these MUST NOT be stored.
#[tokio::test]
async fn what_is_about_the_one_who_asks_is_never_stored() {
    table(
        &[428, 429, 431, 511],
        |code| format!("{code}"),
        async |scene, &code| {
            scene.answers([status(code, &["cache-control: public, max-age=60"])]);
            scene.get(&[]).await.forwarded().status(code);
            scene.get(&[]).await.fetched().status(code).body("#2");
        },
    )
    .await;
}

/// §3: with must-understand, only a status whose rules the cache knows; and then §5.2.2.3: no-store
/// beside it is for those who do not know it.
#[tokio::test]
async fn must_understand_keeps_out_what_is_not_understood() {
    let plain = "cache-control: must-understand, max-age=60";
    let guarded = "cache-control: no-store, must-understand, max-age=60";
    let rows = [
        (200, plain, true),
        (200, guarded, true),
        (200, "cache-control: max-age=60, MUST-UNDERSTAND, no-store", true),
        (203, guarded, true),
        (301, guarded, true),
        (404, plain, true),
        (404, guarded, true),
        (299, plain, false),
        (299, guarded, false),
        (399, plain, false),
        (499, plain, false),
        (499, guarded, false),
        (599, plain, false),
        (200, "cache-control: no-store, must-understand, private, max-age=60", false),
    ];
    table(
        &rows,
        |row| format!("{row:?}"),
        async |scene, &(code, line, reused)| {
            scene.answers([status(code, &[line])]);
            scene.get(&[]).await.forwarded().status(code);
            let told = scene.get(&[]).await;
            if reused {
                told.reused().status(code)
            } else {
                told.fetched().status(code)
            };
        },
    )
    .await;
}

/// RFC 9110 §15.4: a redirect is kept with the place that it leads to.
#[tokio::test]
async fn a_stored_redirect_still_leads_there() {
    table(
        &[301, 302, 303, 307, 308],
        |code| format!("{code}"),
        async |scene, &code| {
            let lines = ["location: /Commerce/media/elsewhere", "cache-control: max-age=60"];
            scene.answers([status(code, &lines)]);
            scene.get(&[]).await.forwarded();
            let told = scene.get(&[]).await;
            told.reused().status(code).field("location", "/Commerce/media/elsewhere");
        },
    )
    .await;
}
