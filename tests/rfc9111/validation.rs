//! Asking the origin whether what is stored is still right (§4.3).

use crate::origin::{Answer, not_modified, ok, status};
use crate::play::{Play, scene, table};

const MINUTE: &str = "cache-control: max-age=60";
const CHANGED: &str = "last-modified: Mon, 27 Apr 2026 08:00:00 GMT";

/// §4.3.1: by the tag, and by the date of the last change, each as it was received.
#[tokio::test]
async fn what_is_stale_is_validated_by_its_own_validators() {
    let date = Some("Mon, 27 Apr 2026 08:00:00 GMT");
    let rows: [(&[&str], Option<&str>, Option<&str>); 7] = [
        (&["etag: \"a\""], Some("\"a\""), None),
        (&["etag: W/\"a\""], Some("W/\"a\""), None),
        (&["etag: \"a b, c\""], Some("\"a b, c\""), None),
        (&[CHANGED], None, date),
        (&["etag: \"a\"", CHANGED], Some("\"a\""), date),
        (&["etag: W/\"a\"", CHANGED], Some("W/\"a\""), date),
        // As it was received: the form is the origin's.
        (&["last-modified: Mon Apr 27 08:00:00 2026"], None, Some("Mon Apr 27 08:00:00 2026")),
    ];
    table(
        &rows,
        |row| format!("{row:?}"),
        async |scene, &(validators, tag, date)| {
            let lines = [&[MINUTE][..], validators].concat();
            scene.answers([ok(&lines), not_modified(&lines)]);
            scene.get(&[]).await.fetched();
            scene.later(70);
            let told = scene.get(&[]).await;
            told.validated().status(200).body("#1");
            assert_eq!(told.asked[0].field("if-none-match").as_deref(), tag);
            let asked = told.asked[0].field("if-modified-since");
            if tag.is_none() || asked.is_some() {
                assert_eq!(asked.as_deref(), date);
            }
            assert_eq!(told.asked[0].method, "GET");
            scene.later(50);
            scene.get(&[]).await.reused().body("#1").field("age", "50");
            scene.later(20);
            scene.get(&[]).await.validated().body("#1");
        },
    )
    .await;
}

#[tokio::test]
async fn what_has_no_validator_is_fetched_anew() {
    let scene = scene([ok(&[MINUTE])]).await;
    scene.get(&[]).await.fetched();
    scene.later(70);
    scene.get(&[]).await.fetched().body("#2");
    scene.get(&[]).await.reused().body("#2");
}

/// §4.3.1: a validation is the client's request but for the conditions.
#[tokio::test]
async fn a_validation_carries_the_clients_other_fields() {
    let scene = scene([ok(&[MINUTE, "etag: \"a\""]), not_modified(&["etag: \"a\""])]).await;
    scene.get(&["x-mine: 1"]).await.asked_with("x-mine", "1");
    scene.later(70);
    scene.get(&["x-mine: 2"]).await.validated().asked_with("x-mine", "2");
}

/// §4.3.3: the full answer is the answer, and takes the place of what was stored.
#[tokio::test]
async fn a_full_answer_to_a_validation_replaces_what_was_stored() {
    table(
        &[200, 203, 301, 404, 410],
        |code| format!("{code}"),
        async |scene, &code| {
            scene.answers([
                ok(&[MINUTE, "etag: \"a\"", "x-old: 1"]),
                status(code, &[MINUTE, "etag: \"b\""]),
                not_modified(&["etag: \"b\""]),
            ]);
            scene.get(&[]).await.fetched();
            scene.later(70);
            scene.get(&[]).await.validated().status(code).body("#2").lacks("x-old");
            scene.get(&[]).await.reused().status(code).body("#2").lacks("x-old");
            scene.later(70);
            let told = scene.get(&[]).await;
            told.validated().asked_with("if-none-match", "\"b\"").status(code).body("#2");
        },
    )
    .await;
}

/// §4.3.3 with §3: one that may not be stored is the client's, and ends what was stored before.
#[tokio::test]
async fn a_full_answer_that_may_not_be_stored_ends_what_was_stored() {
    for code in [200, 404] {
        let scene = scene([
            ok(&[MINUTE, "etag: \"a\""]),
            status(code, &["cache-control: no-store", "etag: \"b\""]),
        ])
        .await;
        scene.get(&[]).await.fetched();
        scene.get(&["cache-control: no-cache"]).await.validated().status(code).body("#2");
        // Whatever was kept must not pass for the present one.
        scene.later(70);
        scene.get(&[]).await.forwarded().status(code).body("#3");
    }
}

/// §4.3.3: a 5xx is forwarded, where stale is not allowed; what is stored waits for better days.
#[tokio::test]
async fn a_server_error_to_a_validation_is_forwarded_and_ends_nothing() {
    table(
        &[500, 502, 503, 504],
        |code| format!("{code}"),
        async |scene, &code| {
            scene.answers([
                ok(&["cache-control: max-age=60, must-revalidate", "etag: \"a\""]),
                status(code, &[]).body("sick"),
                not_modified(&["etag: \"a\""]),
            ]);
            scene.get(&[]).await.fetched();
            scene.later(70);
            scene.get(&[]).await.validated().status(code).body("sick");
            let told = scene.get(&[]).await;
            told.validated().asked_with("if-none-match", "\"a\"").status(200).body("#1");
            scene.get(&[]).await.reused().body("#1");
        },
    )
    .await;
}

/// §4.3.3 with §3: an error that names a lifetime is stored as any other answer.
#[tokio::test]
async fn a_server_error_with_a_lifetime_is_used_for_it() {
    let scene =
        scene([ok(&[MINUTE]), status(503, &["cache-control: max-age=10"]), ok(&[MINUTE])]).await;
    scene.get(&[]).await.fetched();
    scene.later(70);
    scene.get(&[]).await.status(503).body("#2");
    scene.get(&[]).await.reused().status(503).body("#2");
    scene.later(20);
    scene.get(&[]).await.forwarded().status(200).body("#3");
}

/// §4.3.4: a strong validator that nothing stored has MUST NOT update anything. Nobody is served
/// what the origin did not confirm.
#[tokio::test]
async fn a_304_for_another_answer_confirms_nothing() {
    let rows: [(&str, &[&str], &[&str]); 4] = [
        ("another tag", &["etag: \"a\""], &["etag: \"b\""]),
        ("another weak tag", &["etag: W/\"a\""], &["etag: W/\"b\""]),
        ("a strong tag for none", &[CHANGED], &["etag: \"b\""]),
        ("another tag with the same date", &["etag: \"a\"", CHANGED], &["etag: \"b\"", CHANGED]),
    ];
    table(
        &rows,
        |row| row.0.to_owned(),
        async |scene, &(_, stored, confirmed)| {
            scene.answers([
                ok(&[&[MINUTE][..], stored].concat()),
                not_modified(confirmed),
                ok(&[MINUTE, "etag: \"c\""]),
            ]);
            scene.get(&[]).await.fetched();
            scene.later(70);
            let told = scene.get(&[]).await;
            assert_eq!(told.asked.len(), 2, "{told:?}");
            assert!(told.asked[0].is_conditional());
            assert!(!told.asked[1].is_conditional());
            told.status(200).body("#3");
            scene.get(&[]).await.reused().body("#3").field("etag", "\"c\"");
        },
    )
    .await;
}

/// §4.3.3: a 304 that names no validator confirms what was asked about.
#[tokio::test]
async fn a_304_without_validators_confirms_what_was_asked_about() {
    for validator in ["etag: \"a\"", "etag: W/\"a\"", CHANGED] {
        let scene = scene([ok(&[MINUTE, validator]), not_modified(&["x-mark: 1"])]).await;
        scene.get(&[]).await.fetched();
        scene.later(70);
        scene.get(&[]).await.validated().status(200).body("#1");
        scene.later(50);
        scene.get(&[]).await.reused().body("#1").field("x-mark", "1");
    }
}

/// §4.3.4: a weak tag that is the stored one identifies it.
#[tokio::test]
async fn a_304_with_the_stored_weak_tag_confirms() {
    let scene = scene([ok(&[MINUTE, "etag: W/\"a\""]), not_modified(&["etag: W/\"a\""])]).await;
    scene.get(&[]).await.fetched();
    scene.later(70);
    scene.get(&[]).await.validated().status(200).body("#1");
    scene.get(&[]).await.reused().body("#1");
}

/// RFC 9110 §15.4.5: a 304 that nobody asked for is nothing to go by.
#[tokio::test]
async fn a_304_to_a_request_without_conditions_is_not_stored() {
    let scene = scene([
        not_modified(&["cache-control: max-age=600", "etag: \"a\""]),
        ok(&["cache-control: max-age=600", "etag: \"a\""]),
    ])
    .await;
    scene.get(&[]).await;
    let told = scene.get(&[]).await;
    told.status(200).body("#2");
    scene.get(&[]).await.reused().status(200).body("#2");
}

/// §4.3.4: a 304 that says a lifetime anew, or takes it away.
#[tokio::test]
async fn a_304_may_change_the_lifetime() {
    type Row = (&'static str, &'static [&'static str], &'static [&'static str], u64, bool);
    let rows: [Row; 9] = [
        ("longer", &[MINUTE], &["cache-control: max-age=600"], 500, true),
        ("shorter", &[MINUTE], &["cache-control: max-age=10"], 20, false),
        ("the same", &[MINUTE], &[], 50, true),
        ("the same, over", &[MINUTE], &[], 70, false),
        ("none", &[MINUTE], &["cache-control: no-cache"], 1, false),
        ("no more", &[MINUTE], &["cache-control: max-age=0"], 1, false),
        ("Expires", &["expires: {+60}"], &["expires: {+600}"], 500, true),
        ("Expires that is not sent again", &["expires: {+60}"], &[], 1, false),
        ("max-age after Expires", &["expires: {+60}"], &["cache-control: max-age=600"], 500, true),
    ];
    table(
        &rows,
        |row| row.0.to_owned(),
        async |scene, &(_, stored, confirmed, seconds, reused)| {
            scene.answers([
                ok(&[stored, &["etag: \"a\""]].concat()),
                not_modified(&[confirmed, &["etag: \"a\""]].concat()),
            ]);
            scene.get(&[]).await.fetched();
            scene.later(70);
            scene.get(&[]).await.validated().status(200).body("#1");
            scene.later(seconds);
            let told = scene.get(&[]).await;
            if reused {
                told.reused()
            } else {
                told.validated()
            };
            told.status(200).body("#1");
        },
    )
    .await;
}

/// §4.3.1, §4: a validation that finds the origin gone is an error where stale is not allowed.
#[tokio::test]
async fn a_validation_after_which_the_origin_is_back_succeeds() {
    let scene = Play::start().await.scene("scene");
    let broken: Answer = ok(&[MINUTE]).short_of_its_length();
    scene.answers([
        ok(&["cache-control: max-age=60, must-revalidate", "etag: \"a\""]),
        status(503, &["retry-after: 1"]),
        broken,
        ok(&[MINUTE, "etag: \"b\""]),
    ]);
    scene.get(&[]).await.fetched();
    scene.later(70);
    scene.get(&[]).await.validated().status(503);
    // Neither the old answer nor half of the new one.
    let mut wire =
        crate::support::wire::Wire::connect(scene.play().node.node.addresses().storefront).await;
    wire.send(&format!("GET {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", scene.target))
        .await;
    let text = String::from_utf8(wire.rest().await).unwrap();
    assert!(!text.ends_with("#1"), "{text}");
    scene.get(&[]).await.status(200).body("#4");
}
