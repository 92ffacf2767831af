//! Answers of 1xx that come before the final one (§3, RFC 9110 §15.2).

use crate::origin::{Answer, not_modified, ok, status};
use crate::play::{scene, table};
use crate::support::wire::Wire;

const MINUTE: &str = "cache-control: max-age=60";

/// §3: the status is final. What is stored is the final answer, without a field of the others.
#[tokio::test]
async fn an_interim_answer_is_not_stored() {
    let rows: [(&str, Answer); 6] = [
        ("100", ok(&[MINUTE]).after(100, &[])),
        ("102", ok(&[MINUTE]).after(102, &["x-interim: 1"])),
        ("103", ok(&[MINUTE]).after(103, &["link: </a.css>; rel=preload"])),
        ("two of 103", ok(&[MINUTE]).after(103, &["link: </a>"]).after(103, &["link: </b>"])),
        ("unknown", ok(&[MINUTE]).after(199, &["x-interim: 1"])),
        ("with a lifetime", ok(&[MINUTE]).after(103, &["cache-control: max-age=600"])),
    ];
    table(
        &rows,
        |row| row.0.to_owned(),
        async |scene, (_, answer)| {
            scene.answers([answer.clone()]);
            let first = scene.get(&[]).await;
            first.forwarded().status(200).body("#1").lacks("link").lacks("x-interim");
            let second = scene.get(&[]).await;
            second.reused().status(200).body("#1").lacks("link").lacks("x-interim");
            second.field("cache-control", "max-age=60");
            scene.later(70);
            scene.get(&[]).await.forwarded().body("#2");
        },
    )
    .await;
}

/// The lifetime of an interim answer is not that of the final one.
#[tokio::test]
async fn an_interim_lifetime_does_not_count() {
    let rows = [
        ok(&["cache-control: no-store"]).after(103, &["cache-control: max-age=600"]),
        ok(&[]).after(103, &["cache-control: max-age=600", "expires: {+600}"]),
        status(404, &[]).after(100, &["cache-control: max-age=600"]),
    ];
    for answer in rows {
        let scene = scene([answer]).await;
        scene.get(&[]).await.forwarded();
        scene.get(&[]).await.forwarded().body("#2");
    }
}

/// Nor does its leave to store take away the final one's.
#[tokio::test]
async fn an_interim_no_store_does_not_count() {
    let scene = scene([ok(&[MINUTE]).after(103, &["cache-control: no-store"])]).await;
    scene.get(&[]).await.forwarded();
    scene.get(&[]).await.reused();
}

/// §4.3.3 after an interim answer.
#[tokio::test]
async fn a_confirmation_may_come_after_an_interim_answer() {
    let scene = scene([
        ok(&[MINUTE, "etag: \"a\""]),
        not_modified(&["etag: \"a\""]).after(103, &["etag: \"b\"", "x-interim: 1"]),
    ])
    .await;
    scene.get(&[]).await.forwarded();
    scene.later(70);
    scene.get(&[]).await.validated().status(200).body("#1").lacks("x-interim");
    scene.get(&[]).await.reused().body("#1").field("etag", "\"a\"").lacks("x-interim");
}

/// RFC 9110 §15.2: from the store there is the final answer alone.
#[tokio::test]
async fn what_is_stored_is_told_without_interim_answers() {
    let scene = scene([ok(&[MINUTE]).after(103, &["link: </a>"])]).await;
    scene.get(&[]).await.forwarded();
    let mut wire = Wire::connect(scene.play().node.node.addresses().storefront).await;
    wire.send(&format!("GET {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", scene.target))
        .await;
    let text = String::from_utf8(wire.rest().await).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert_eq!(text.matches("HTTP/1.1").count(), 1, "{text}");
    assert_eq!(scene.asked().len(), 1);
}
