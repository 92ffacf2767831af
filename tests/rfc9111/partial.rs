//! Parts that the origin sends (§3.3, §3.4, RFC 9110 §14, §15.3.7).

use std::sync::Arc;

use crate::origin::{Answer, Seen, not_modified, ok, status};
use crate::play::{Play, Scene, scene, table};

const TEN: &str = "0123456789";

fn part(content_range: &str, body: &str, lines: &[&str]) -> Answer {
    let own = [&format!("content-range: bytes {content_range}") as &str];
    status(206, &[&own[..], &["cache-control: max-age=600"], lines].concat()).body(body)
}

/// A scene whose origin has ten bytes and knows single ranges of them.
async fn of_ten(lines: &'static [&'static str]) -> Scene {
    of_ten_on(&Play::start().await, lines)
}

fn of_ten_on(play: &Arc<Play>, lines: &'static [&'static str]) -> Scene {
    let scene = play.scene("parts");
    scene.answers_by(move |seen: &Seen, _| {
        let range = seen.field("range");
        let ends = range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let Some((first, last)) = ends else {
            return ok(&[&["cache-control: max-age=600"][..], lines].concat()).body(TEN);
        };
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap_or(9));
        part(&format!("{first}-{last}/10"), &TEN[first..=last], lines)
    });
    scene
}

/// RFC 9110 §14.2: a range of what is not stored is for the origin.
#[tokio::test]
async fn a_range_of_what_is_not_stored_goes_through() {
    let scene = of_ten(&["etag: \"a\""]).await;
    let told = scene.get(&["range: bytes=2-5", "if-range: \"a\""]).await;
    told.forwarded().asked_with("range", "bytes=2-5").asked_with("if-range", "\"a\"");
    told.status(206).body("2345").field("content-range", "bytes 2-5/10");
}

/// §3.3: MUST NOT answer a request for the whole by a part.
#[tokio::test]
async fn a_part_is_never_served_for_the_whole() {
    for lines in [&["etag: \"a\""][..], &["etag: W/\"a\""], &[]] {
        let scene = scene([
            part("2-5/10", "2345", lines),
            ok(&[&["cache-control: max-age=600"][..], lines].concat()).body(TEN),
        ])
        .await;
        scene.get(&["range: bytes=2-5"]).await.forwarded().status(206);
        let told = scene.get(&[]).await;
        told.forwarded().status(200).body(TEN).lacks("content-range");
        scene.get(&[]).await.reused().status(200).body(TEN);
    }
}

/// §3.3: a part MAY answer for what lies within it.
#[tokio::test]
async fn a_part_answers_for_ranges_within_it() {
    let scene = of_ten(&["etag: \"a\""]).await;
    scene.get(&["range: bytes=2-7"]).await.forwarded();
    for (range, body, content_range) in [
        ("bytes=2-7", "234567", "bytes 2-7/10"),
        ("bytes=3-4", "34", "bytes 3-4/10"),
        ("bytes=7-7", "7", "bytes 7-7/10"),
    ] {
        let told = scene.get(&[&format!("range: {range}")]).await;
        told.reused().status(206).body(body).field("content-range", content_range);
        told.field("etag", "\"a\"");
    }
    // And for nothing else.
    for (range, body) in [("bytes=0-2", "012"), ("bytes=8-9", "89"), ("bytes=8-", "89")] {
        let told = scene.get(&[&format!("range: {range}")]).await;
        told.status(206).body(body);
    }
    assert!(scene.asked().len() >= 3);
}

/// §4.2 for parts.
#[tokio::test]
async fn a_part_that_is_stale_is_not_used() {
    let scene = of_ten(&["etag: \"a\""]).await;
    scene.get(&["range: bytes=2-7"]).await.forwarded();
    scene.later(700);
    let told = scene.get(&["range: bytes=2-7"]).await;
    told.forwarded().status(206).body("234567");
}

/// §3.4: with the same strong validator they MAY be one.
#[tokio::test]
async fn parts_with_the_same_strong_tag_are_put_together() {
    for ranges in [["0-4", "5-9"], ["5-9", "0-4"], ["0-6", "3-9"]] {
        let scene = of_ten(&["etag: \"a\""]).await;
        for range in ranges {
            let told = scene.get(&[&format!("range: bytes={range}")]).await;
            told.forwarded().status(206);
        }
        let told = scene.get(&[]).await;
        told.reused().status(200).body(TEN).lacks("content-range");
        told.field("content-length", "10");
        scene.get(&["range: bytes=4-5"]).await.reused().status(206).body("45");
    }
}

/// §3.4: only then.
#[tokio::test]
async fn other_parts_are_never_put_together() {
    let rows: [(&str, &[&str], &[&str]); 4] = [
        ("another tag", &["etag: \"a\""], &["etag: \"b\""]),
        ("weak tags", &["etag: W/\"a\""], &["etag: W/\"a\""]),
        ("one of them weak", &["etag: \"a\""], &["etag: W/\"a\""]),
        ("no validator", &[], &[]),
    ];
    table(
        &rows,
        |row| row.0.to_owned(),
        async |scene, &(_, first, second)| {
            scene.answers([
                part("0-4/10", "01234", first),
                part("5-9/10", "fghij", second),
                ok(&["cache-control: max-age=600", "etag: \"c\""]).body("ABCDEFGHIJ"),
            ]);
            scene.get(&["range: bytes=0-4"]).await.forwarded().body("01234");
            scene.get(&["range: bytes=5-9"]).await.status(206).body("fghij");
            let told = scene.get(&[]).await;
            told.forwarded().status(200).body("ABCDEFGHIJ");
        },
    )
    .await;
}

/// §3.4: parts that leave a gap are not whole.
#[tokio::test]
async fn parts_with_a_gap_are_not_the_whole() {
    let scene = of_ten(&["etag: \"a\""]).await;
    scene.get(&["range: bytes=0-3"]).await.forwarded();
    scene.get(&["range: bytes=5-9"]).await.forwarded();
    scene.get(&[]).await.status(200).body(TEN).lacks("content-range");
    assert_eq!(scene.asked().len(), 3);
}

/// RFC 9110 §14.4, §15.3.7.2: what does not say right what it is a part of is not kept.
#[tokio::test]
async fn a_part_that_contradicts_itself_is_not_used_again() {
    let lasting = ["cache-control: max-age=600", "etag: \"a\""];
    let of = |lines: &[&str], body: &str| status(206, &[&lasting[..], lines].concat()).body(body);
    let rows = [
        ("no Content-Range", of(&[], "2345")),
        ("malformed", of(&["content-range: 2-5/10"], "2345")),
        ("another unit", of(&["content-range: items 2-5/10"], "2345")),
        ("backwards", of(&["content-range: bytes 5-2/10"], "2345")),
        ("past its own length", of(&["content-range: bytes 2-5/4"], "2345")),
        ("shorter than it says", of(&["content-range: bytes 2-5/10"], "234")),
        ("longer than it says", of(&["content-range: bytes 2-5/10"], "23456")),
        ("unsatisfied", of(&["content-range: bytes */10"], "2345")),
        (
            "several at once",
            of(
                &["content-type: multipart/byteranges; boundary=B"],
                "--B\r\ncontent-range: bytes 2-5/10\r\n\r\n2345\r\n--B--\r\n",
            ),
        ),
        ("broken off", of(&["content-range: bytes 2-5/10"], "2345").without_its_last_chunk()),
    ];
    table(
        &rows,
        |row| row.0.to_owned(),
        async |scene, (_, odd)| {
            scene.answers([odd.clone(), part("2-5/10", "good", &["etag: \"a\""])]);
            let play = scene.play();
            let storefront = play.node.node.addresses().storefront;
            let mut wire = crate::support::wire::Wire::connect(storefront).await;
            wire.send(&format!(
                "GET {} HTTP/1.1\r\nhost: x\r\nrange: bytes=2-5\r\nconnection: close\r\n\r\n",
                scene.target
            ))
            .await;
            wire.rest().await;
            let before = scene.asked().len();
            scene.get(&["range: bytes=2-5"]).await.status(206).body("good");
            assert!(before > 1 || scene.asked().len() > before);
        },
    )
    .await;
}

/// RFC 9110 §15.3.7: nobody asked for a part, so whatever it is, it is not the whole.
#[tokio::test]
async fn a_part_that_nobody_asked_for_is_not_stored_as_the_whole() {
    let scene = scene([
        part("2-5/10", "2345", &["etag: \"a\""]),
        ok(&["cache-control: max-age=600", "etag: \"a\""]).body(TEN),
    ])
    .await;
    scene.get(&[]).await;
    // It may have been fetched anew at once.
    scene.get(&[]).await.status(200).body(TEN).lacks("content-range");
    assert_eq!(scene.asked().len(), 2);
}

/// RFC 9110 §14.2: an origin may give all of it, and then all of it is there for everyone.
#[tokio::test]
async fn a_whole_answer_to_a_range_is_stored() {
    let scene = scene([ok(&["cache-control: max-age=600", "etag: \"a\""]).body(TEN)]).await;
    let told = scene.get(&["range: bytes=2-5"]).await;
    told.forwarded();
    match told.got.status.as_u16() {
        206 => told.body("2345"),
        _ => told.status(200).body(TEN),
    };
    scene.get(&[]).await.reused().status(200).body(TEN).lacks("content-range");
    scene.get(&["range: bytes=2-5"]).await.reused().status(206).body("2345");
}

/// RFC 9110 §15.5.17: a refusal of a range is for that range.
#[tokio::test]
async fn a_416_is_not_served_to_others() {
    let scene = scene([
        status(416, &["content-range: bytes */10", "cache-control: max-age=600"]).body("no"),
        ok(&["cache-control: max-age=600"]).body(TEN),
    ])
    .await;
    scene.get(&["range: bytes=50-"]).await.forwarded().status(416);
    scene.get(&[]).await.forwarded().status(200).body(TEN);
    scene.get(&["range: bytes=0-1"]).await.reused().status(206).body("01");
}

/// §3.3 with §4.1: parts of one variant are not parts of another.
#[tokio::test]
async fn parts_of_variants_do_not_mix() {
    let scene = scene([
        part("0-4/10", "01234", &["etag: \"a\"", "vary: x-a"]),
        part("0-4/10", "abcde", &["etag: \"b\"", "vary: x-a"]),
    ])
    .await;
    scene.get(&["range: bytes=0-4", "x-a: 1"]).await.forwarded().body("01234");
    scene.get(&["range: bytes=0-4", "x-a: 2"]).await.forwarded().body("abcde");
    scene.get(&["range: bytes=0-4", "x-a: 1"]).await.status(206).body("01234");
    scene.get(&["range: bytes=0-4", "x-a: 2"]).await.status(206).body("abcde");
}

/// §5.2.2.5 for parts.
#[tokio::test]
async fn a_part_with_no_store_is_not_used_again() {
    let lines = ["content-range: bytes 2-5/10", "cache-control: no-store", "etag: \"a\""];
    let scene = scene([status(206, &lines).body("2345")]).await;
    scene.get(&["range: bytes=2-5"]).await.forwarded();
    scene.get(&["range: bytes=2-5"]).await.forwarded();
}

/// RFC 9110 §13.1.2: a 304 to a client's own conditions is for that client.
#[tokio::test]
async fn a_304_to_a_clients_own_tag_renews_no_part() {
    let scene = scene([
        part("2-5/10", "2345", &["etag: \"a\""]),
        not_modified(&["cache-control: max-age=600"]),
        part("2-5/10", "good", &["etag: \"b\""]),
    ])
    .await;
    scene.get(&["range: bytes=2-5"]).await.forwarded().status(206);
    scene.later(500);
    let told = scene.get(&["if-none-match: \"mine\""]).await;
    told.forwarded().status(304).body("").asked_with("if-none-match", "\"mine\"");
    scene.get(&["range: bytes=2-5"]).await.reused().body("2345");
    scene.later(200);
    scene.get(&["range: bytes=2-5"]).await.forwarded().status(206).body("good");
}

/// Parts add up: what could not be stored whole is not begun.
#[tokio::test]
async fn parts_of_what_is_too_large_to_store_are_not_stored() {
    let play = Play::start_with(|config| config.limits.stored_body_bytes = 5).await;
    let scene = of_ten_on(&play, &["etag: \"a\""]);
    for (range, body) in [("0-3", "0123"), ("4-7", "4567"), ("0-3", "0123")] {
        let told = scene.get(&[&format!("range: bytes={range}")]).await;
        told.forwarded().status(206).body(body);
    }
    let told = scene.get(&[]).await;
    told.fetched().asked_without("range").status(200).body(TEN).lacks("content-range");
    scene.get(&["range: bytes=0-3"]).await.forwarded().status(206).body("0123");
    scene.get(&[]).await.fetched().status(200).body(TEN);
}

/// RFC 9110 §15.5.17: the client asked for no range, so that a refusal of ours is not for it.
#[tokio::test]
async fn a_416_to_our_own_range_is_told_to_nobody() {
    let scene = Play::start().await.scene("shrunk");
    scene.answers_by(|seen, _| match seen.field("range").as_deref() {
        None => ok(&["cache-control: max-age=600", "etag: \"b\""]).body("abc"),
        Some("bytes=0-4") => part("0-4/10", "01234", &["etag: \"a\""]),
        Some(_) => status(416, &["content-range: bytes */3"]).body("no"),
    });
    scene.get(&["range: bytes=0-4"]).await.forwarded().status(206);
    let told = scene.get(&[]).await;
    told.status(200).body("abc").lacks("content-range").asked_without("range");
    assert_eq!(told.asked[0].field("range").as_deref(), Some("bytes=5-"));
    assert_eq!(told.asked.len(), 2);
    scene.get(&[]).await.reused().body("abc");
}
