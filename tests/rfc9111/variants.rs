//! Variants and their validators (§4.1, §4.3.1, §4.3.4).

use crate::origin::{Answer, Seen, not_modified, ok};
use crate::play::{Play, Scene};

/// An origin whose variants have the tags `"x1"`, `"x2"` … and that knows conditions.
fn by_tag(seen: &Seen, _: usize) -> Answer {
    let value = seen.field("x-a").unwrap_or_default();
    let tag = format!("\"x{value}\"");
    let lines = ["cache-control: max-age=60", "vary: x-a", &format!("etag: {tag}")];
    if seen.field("if-none-match").is_some_and(|known| known.contains(&tag)) {
        return not_modified(&lines);
    }
    ok(&lines).body(&value)
}

async fn two_variants() -> Scene {
    let scene = Play::start().await.scene("variants");
    scene.answers_by(by_tag);
    scene.get(&["x-a: 1"]).await.forwarded().body("1");
    scene.get(&["x-a: 2"]).await.forwarded().body("2");
    scene
}

#[tokio::test]
async fn each_variant_is_validated_by_its_own_tag() {
    let scene = two_variants().await;
    scene.later(70);
    for value in ["1", "2"] {
        let told = scene.get(&[&format!("x-a: {value}")]).await;
        told.validated().status(200).body(value).field("etag", &format!("\"x{value}\""));
        let tags = told.asked[0].field("if-none-match").unwrap();
        assert!(tags.contains(&format!("\"x{value}\"")), "{tags}");
    }
    scene.get(&["x-a: 1"]).await.reused().body("1");
    scene.get(&["x-a: 2"]).await.reused().body("2");
}

/// §4.3.4: a confirmation of one leaves the others as they are.
#[tokio::test]
async fn a_confirmation_of_one_variant_does_not_freshen_another() {
    let scene = two_variants().await;
    scene.later(70);
    scene.get(&["x-a: 1"]).await.validated().body("1");
    let told = scene.get(&["x-a: 2"]).await;
    told.forwarded().body("2");
}

#[tokio::test]
async fn a_new_variant_is_fetched_and_not_taken_for_another() {
    let scene = two_variants().await;
    let told = scene.get(&["x-a: 3"]).await;
    told.status(200).body("3").field("etag", "\"x3\"");
    scene.get(&["x-a: 3"]).await.reused().body("3");
    scene.get(&["x-a: 1"]).await.reused().body("1");
}

/// §4.3.1: a cache may ask with the tags of all its variants; then the 304 tells which one fits.
#[tokio::test]
async fn an_origin_that_picks_a_stored_variant_is_believed() {
    let scene = two_variants().await;
    scene.answers_by(|seen, n| {
        let tags = seen.field("if-none-match").unwrap_or_default();
        if tags.contains("\"x2\"") {
            return not_modified(&["etag: \"x2\"", "vary: x-a", "cache-control: max-age=60"]);
        }
        by_tag(seen, n).body("2")
    });
    scene.get(&["x-a: 5"]).await.status(200).body("2");
}

/// §4.3.2: conditions are measured by the variant that fits.
#[tokio::test]
async fn a_clients_condition_is_answered_by_its_variant() {
    let scene = two_variants().await;
    let told = scene.get(&["x-a: 1", "if-none-match: \"x1\""]).await;
    told.reused().status(304).field("etag", "\"x1\"").field("vary", "x-a");
    scene.get(&["x-a: 1", "if-none-match: \"x2\""]).await.reused().status(200).body("1");
    scene.get(&["x-a: 2", "if-none-match: \"x2\""]).await.reused().status(304);
}
