//! Ranges of what is stored whole (RFC 9110 §13.1.5, §14, §15.3.7, §15.5.17).

use crate::origin::{READ, not_modified, ok, product, status};
use crate::play::{Play, Scene, Told, scene};

const TEN: &str = "0123456789";
const CHANGED: &str = "last-modified: Mon, 27 Apr 2026 08:00:00 GMT";
const STORED: [&str; 6] = [
    "cache-control: max-age=60",
    "etag: \"a\"",
    CHANGED,
    "content-type: text/plain",
    "vary: accept",
    "x-mark: 1",
];

async fn ten() -> Scene {
    let scene = scene([ok(&STORED).body(TEN), not_modified(&["etag: \"a\""])]).await;
    scene.get(&[]).await.forwarded().body(TEN);
    scene
}

async fn part(scene: &Scene, range: &str) -> Told {
    let told = scene.get(&[&format!("range: {range}")]).await;
    told.reused();
    told
}

#[tokio::test]
async fn one_range_is_cut_from_what_is_stored() {
    let scene = ten().await;
    let rows = [
        ("bytes=2-5", "2345", "bytes 2-5/10"),
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=9-9", "9", "bytes 9-9/10"),
        ("bytes=0-9", TEN, "bytes 0-9/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=0-", TEN, "bytes 0-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=-10", TEN, "bytes 0-9/10"),
        ("bytes=-99", TEN, "bytes 0-9/10"),
        ("bytes=5-999", "56789", "bytes 5-9/10"),
        ("bytes=5-99999999999999999999999", "56789", "bytes 5-9/10"),
        ("bytes=002-005", "2345", "bytes 2-5/10"),
        ("Bytes=2-5", "2345", "bytes 2-5/10"),
        ("bytes=2-5,", "2345", "bytes 2-5/10"),
        ("bytes=2-5, 50-60", "2345", "bytes 2-5/10"),
    ];
    for (range, body, content_range) in rows {
        let told = part(&scene, range).await;
        told.status(206).body(body).field("content-range", content_range);
        told.field("content-length", &body.len().to_string());
    }
}

/// RFC 9110 §15.3.7: what a 206 must carry where the 200 would.
#[tokio::test]
async fn a_part_carries_what_it_must() {
    let scene = ten().await;
    let date = scene.get(&[]).await.got.header("date").unwrap().to_owned();
    scene.later(20);
    let told = part(&scene, "bytes=2-5").await;
    told.status(206).field("date", &date).field("etag", "\"a\"").field("vary", "accept");
    told.field("cache-control", "max-age=60").field("age", "20");
    told.field("content-type", "text/plain").field("x-mark", "1");
}

/// RFC 9110 §14.2: what is no range of bytes, or cannot be read, is ignored.
#[tokio::test]
async fn what_is_no_range_is_ignored() {
    let scene = ten().await;
    let ranges = [
        "items=0-1",
        "bytes=5-2",
        "bytes=",
        "bytes=-",
        "bytes=x-y",
        "bytes=1",
        "bytes",
        "0-1",
        "bytes:0-1",
        "bytes=0-1;x",
        "bytes=+0-1",
        "bytes=0--1",
        "bytes=0-1-2",
        "bytes =0-1",
        "bytes=0-1, x",
        "bytes=0x0-0x1",
        "",
    ];
    for range in ranges {
        let told = part(&scene, range).await;
        told.status(200).body(TEN).lacks("content-range");
    }
}

/// RFC 9110 §15.5.17: with the length that there is; and §14.1.2: a suffix of nothing.
#[tokio::test]
async fn a_range_past_the_end_cannot_be_satisfied() {
    let scene = ten().await;
    for range in ["bytes=10-", "bytes=10-20", "bytes=99-100", "bytes=-0", "bytes=10-10,20-30"] {
        let told = part(&scene, range).await;
        told.status(416).field("content-range", "bytes */10");
        assert!(!told.got.text().contains(TEN));
    }
    // It does not take the place of what is stored.
    scene.get(&[]).await.reused().status(200).body(TEN);
}

#[tokio::test]
async fn nothing_of_an_empty_answer_can_be_cut() {
    let scene = scene([ok(&STORED).body("")]).await;
    scene.get(&[]).await.forwarded();
    let told = part(&scene, "bytes=0-0").await;
    told.status(416).field("content-range", "bytes */0");
}

/// RFC 9110 §14.6: every part says where it belongs and what it is.
#[tokio::test]
async fn several_ranges_come_as_parts_of_one_answer() {
    let scene = ten().await;
    for range in ["bytes=0-1,5-6", "bytes=0-1, 5-6", "bytes=0-1,,5-6", "bytes=0-1,-5,50-"] {
        let told = part(&scene, range).await;
        told.status(206).lacks("content-range");
        let of_type = told.got.header("content-type").unwrap();
        let boundary = of_type.strip_prefix("multipart/byteranges; boundary=").expect(of_type);
        let boundary = boundary.trim_matches('"');
        let text = told.got.text();
        let parts: Vec<&str> = text.split(&format!("--{boundary}")).collect();
        assert_eq!(parts.len(), 4, "{text}");
        assert_eq!(parts[3].trim_end(), "--");
        let second = if range.contains("-5,") { ("5-9", "56789") } else { ("5-6", "56") };
        for (part, (range, bytes)) in parts[1..3].iter().zip([("0-1", "01"), second]) {
            let (head, body) = part.split_once("\r\n\r\n").unwrap();
            let head = head.to_lowercase();
            assert!(head.contains(&format!("content-range: bytes {range}/10")), "{head}");
            assert!(head.contains("content-type: text/plain"), "{head}");
            assert_eq!(body.strip_suffix("\r\n"), Some(bytes));
        }
        told.field("content-length", &text.len().to_string());
    }
}

/// RFC 9110 §14.2: many small or overlapping ranges are a sign of a broken client or an attack.
#[tokio::test]
async fn many_ranges_do_not_make_a_large_answer() {
    let body = "x".repeat(10_000);
    let scene = scene([ok(&STORED).body(&body)]).await;
    scene.get(&[]).await.forwarded();
    let spread: Vec<_> = (0..200).map(|n| format!("{}-{}", n * 20, n * 20 + 1)).collect();
    let told = part(&scene, &format!("bytes={}", spread.join(","))).await;
    told.status(200).body(&body);
    for range in ["0-", "0-9998", "-9999"] {
        let ranges = [range; 12].join(",");
        let told = part(&scene, &format!("bytes={ranges}")).await;
        assert!(told.got.body.len() < 21_000, "{range}: {}", told.got.body.len());
    }
}

/// RFC 9110 §13.1.5: the same strong validator, or else the whole.
#[tokio::test]
async fn if_range_wants_the_very_same_answer() {
    let scene = ten().await;
    let rows = [
        ("\"a\"", true),
        ("\"b\"", false),
        ("W/\"a\"", false),
        ("\"A\"", false),
        ("a", false),
        ("*", false),
        ("\"a\", \"b\"", false),
        ("", false),
        ("Mon, 27 Apr 2026 08:00:00 GMT", true),
        ("Monday, 27-Apr-26 08:00:00 GMT", true),
        ("Mon, 27 Apr 2026 08:00:01 GMT", false),
        ("Mon, 27 Apr 2026 07:59:59 GMT", false),
        ("today", false),
    ];
    for (validator, same) in rows {
        let told = scene.get(&["range: bytes=2-5", &format!("if-range: {validator}")]).await;
        told.reused();
        if same {
            told.status(206).body("2345");
        } else {
            told.status(200).body(TEN).lacks("content-range");
        }
    }
    // Without a range it says nothing, and with one that cannot be had it lets the whole come.
    scene.get(&["if-range: \"b\""]).await.reused().status(200).body(TEN);
    let told = scene.get(&["range: bytes=50-", "if-range: \"b\""]).await;
    told.reused().status(200).body(TEN);
    let told = scene.get(&["range: bytes=50-", "if-range: \"a\""]).await;
    told.reused().status(416);
}

/// RFC 9110 §8.8.1, §8.8.2.2: a weak tag, or a change within the same second as Date, is not enough.
#[tokio::test]
async fn if_range_is_never_met_by_what_is_weak() {
    let rows: [(&[&str], &str); 4] = [
        (&["etag: W/\"a\""], "W/\"a\""),
        (&["etag: W/\"a\""], "\"a\""),
        (&["last-modified: {+0}"], "{+0}"),
        (&[], "\"a\""),
    ];
    for (validators, validator) in rows {
        let lines = [&["cache-control: max-age=60"][..], validators].concat();
        let scene = scene([ok(&lines).body(TEN)]).await;
        scene.get(&[]).await.forwarded();
        let told = scene.get(&["range: bytes=2-5", &format!("if-range: {validator}")]).await;
        told.reused().status(200).body(TEN).lacks("content-range");
    }
}

/// RFC 9110 §14.2: for GET alone, and after the other conditions; §13.2.2.
#[tokio::test]
async fn a_range_counts_last_and_for_get_alone() {
    let scene = ten().await;
    let told = scene.get(&["range: bytes=2-5", "if-none-match: \"a\""]).await;
    told.reused().status(304).lacks("content-range");
    let told = scene.get(&["range: bytes=2-5", "if-none-match: \"b\""]).await;
    told.reused().status(206).body("2345");
    let told = scene.head(&["range: bytes=2-5"]).await;
    told.reused().status(200).lacks("content-range").field("content-length", "10");
}

/// RFC 9110 §14.2: only where the answer would be 200.
#[tokio::test]
async fn nothing_is_cut_from_other_statuses() {
    for code in [203, 301, 404, 410] {
        let scene = scene([status(code, &STORED).body(TEN)]).await;
        scene.get(&[]).await.forwarded();
        let told = part(&scene, "bytes=2-5").await;
        if code != 203 {
            told.status(code).body(TEN).lacks("content-range");
        }
    }
}

/// §4.3 before RFC 9110 §14: what is stale is confirmed, and then cut.
#[tokio::test]
async fn a_range_of_what_is_stale_is_cut_once_it_is_confirmed() {
    let scene = ten().await;
    scene.later(70);
    let told = scene.get(&["range: bytes=2-5"]).await;
    told.validated().status(206).body("2345").field("content-range", "bytes 2-5/10");
    scene.get(&[]).await.reused().status(200).body(TEN);
}

/// The same, and the origin has a new answer: of that the range, or all of it.
#[tokio::test]
async fn a_range_of_what_was_replaced_is_of_the_new() {
    let scene = scene([
        ok(&STORED).body(TEN),
        ok(&["cache-control: max-age=60", "etag: \"b\""]).body("abcdefghij"),
    ])
    .await;
    scene.get(&[]).await.forwarded();
    scene.later(70);
    let told = scene.get(&["range: bytes=2-5"]).await;
    told.forwarded();
    match told.got.status.as_u16() {
        206 => told.body("cdef").field("content-range", "bytes 2-5/10"),
        _ => told.status(200).body("abcdefghij"),
    };
    told.field("etag", "\"b\"");
    scene.get(&[]).await.reused().body("abcdefghij");
    part(&scene, "bytes=0-1").await.status(206).body("ab");
}

/// RFC 9110 §13.1.5, §8.8.2.2: an answer by the catalogue comes in several forms, so that its date is
/// no strong validator: half of one form and half of another is neither.
#[tokio::test]
async fn if_range_is_never_met_by_the_date_of_what_comes_in_several_forms() {
    let scene = Play::start().await.scene("forms").at(READ);
    scene.answers([product(&[CHANGED])]);
    scene.get(&[]).await.forwarded();
    let date = CHANGED.strip_prefix("last-modified: ").unwrap();
    for encoding in ["gzip", "identity"] {
        let encoding = format!("accept-encoding: {encoding}");
        let whole = scene.get(&[&encoding]).await;
        whole.reused().status(200).field("last-modified", date);
        assert_eq!(whole.got.headers.contains_key("content-encoding"), encoding.contains("gzip"));
        let told = scene.get(&[&encoding, "range: bytes=0-3"]).await;
        told.reused().status(206);
        let told = scene.get(&[&encoding, "range: bytes=0-3", &format!("if-range: {date}")]).await;
        told.reused().status(200).lacks("content-range");
        assert_eq!(told.got.body, whole.got.body);
    }
}
