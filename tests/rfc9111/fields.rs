//! Which fields are stored and told, and which go on to the origin (§3.1, §5, RFC 9110 §7.6).

use crate::origin::{not_modified, ok};
use crate::play::{Play, scene};
use crate::support::wire::{Wire, field};

const LASTING: &str = "cache-control: max-age=600";

/// RFC 9110 §5.1, §3.1: all but those excepted, known or not, each line of them.
#[tokio::test]
async fn every_end_to_end_field_is_stored() {
    let lines = [
        LASTING,
        "x-unknown: 1",
        "x-lines: 1",
        "x-lines: 2, 3",
        "x-empty: ",
        "x-marks: \"a\"; b=(c), <d>",
        "accept-ranges: bytes",
        "access-control-allow-origin: *",
        "allow: GET, HEAD",
        "content-disposition: attachment; filename=\"a.png\"",
        "content-language: de",
        "content-location: /there",
        "content-security-policy: default-src 'self'",
        "content-type: image/png",
        "etag: \"a\"",
        "last-modified: Mon, 27 Apr 2026 08:00:00 GMT",
        "link: </a>; rel=next",
        "odata-version: 4.0",
        "retry-after: 5",
        "server: origin/1",
        "strict-transport-security: max-age=60",
        "www-authenticate: Basic realm=\"x\"",
        "x-powered-by: it",
    ];
    let scene = scene([ok(&lines)]).await;
    let first = scene.get(&[]).await;
    let second = scene.get(&[]).await;
    second.reused();
    for told in [first.forwarded(), second.reused()] {
        told.field("x-lines", "1, 2, 3");
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            if name != "x-lines" {
                told.field(name, value);
            }
        }
    }
}

/// RFC 9110 §5.5: octets past ASCII are opaque data.
#[tokio::test]
async fn a_value_past_ascii_stays_as_it_is() {
    let scene = scene([ok(&[LASTING, "x-name: Schuhgr\u{f6}\u{df}e"])]).await;
    for _ in 0..2 {
        let told = scene.get(&[]).await;
        assert_eq!(told.got.headers["x-name"].as_bytes(), "Schuhgr\u{f6}\u{df}e".as_bytes());
    }
}

/// §3.1: what is of the connection is neither stored nor told.
#[tokio::test]
async fn fields_of_the_connection_go_no_further() {
    let scene = scene([ok(&[
        LASTING,
        "connection: keep-alive, X-Hop, x-empty, ,",
        "connection: x-second",
        "x-hop: 1",
        "x-empty:",
        "x-second: 2",
        "keep-alive: timeout=5",
        "proxy-connection: keep-alive",
        "proxy-authenticate: Basic",
        "proxy-authentication-info: x",
        "proxy-authorization: Basic eDp5",
        "te: trailers",
        "x-end: 1",
    ])])
    .await;
    let first = scene.get(&[]).await;
    let second = scene.get(&[]).await;
    for told in [first.forwarded(), second.reused()] {
        for name in [
            "x-hop",
            "x-empty",
            "x-second",
            "keep-alive",
            "proxy-connection",
            "proxy-authenticate",
            "proxy-authentication-info",
            "proxy-authorization",
            "te",
            "transfer-encoding",
        ] {
            told.lacks(name);
        }
        told.field("x-end", "1");
    }
}

/// RFC 9110 §7.6.1: `Connection` takes away what it names; it cannot loosen what may be stored.
#[tokio::test]
async fn connection_cannot_name_away_what_forbids_to_store() {
    for lines in [
        ["connection: cache-control", "cache-control: no-store, max-age=600"],
        ["connection: cache-control", "cache-control: private, max-age=600"],
        ["connection: vary", "vary: *"],
    ] {
        let scene = scene([ok(&[&lines[..], &["expires: {+600}"]].concat())]).await;
        scene.get(&[]).await.forwarded();
        scene.get(&[]).await.forwarded().body("#2");
    }
}

/// RFC 9110 §7.6.1 on the way in.
#[tokio::test]
async fn fields_of_the_clients_connection_do_not_reach_the_origin() {
    let scene = scene([ok(&["cache-control: no-store"])]).await;
    let told = scene
        .get(&[
            "connection: x-hop, close",
            "x-hop: 1",
            "keep-alive: timeout=5",
            "proxy-connection: keep-alive",
            "te: trailers",
            "upgrade: foo",
            "x-end: 1",
        ])
        .await;
    for name in ["x-hop", "keep-alive", "proxy-connection", "te", "upgrade"] {
        told.asked_without(name);
    }
    told.asked_with("x-end", "1");
}

/// RFC 9110 §5.1: a proxy MUST forward what it does not know.
#[tokio::test]
async fn a_clients_unknown_fields_reach_the_origin() {
    let scene = scene([ok(&[LASTING])]).await;
    let told = scene
        .get(&[
            "x-unknown: 1",
            "x-lines: 1",
            "x-lines: 2",
            "user-agent: test",
            "accept: image/png",
            "accept-language: de",
            "cookie: a=1",
            "referer: http://shop/",
        ])
        .await;
    told.forwarded().asked_with("x-unknown", "1").asked_with("x-lines", "1, 2");
    told.asked_with("user-agent", "test").asked_with("accept", "image/png");
    told.asked_with("accept-language", "de").asked_with("cookie", "a=1");
    told.asked_with("referer", "http://shop/");
}

/// RFC 9110 §7.6.3: MUST in what goes to the origin.
#[tokio::test]
async fn via_tells_the_origin_of_this_gateway() {
    let scene =
        scene([ok(&["cache-control: max-age=10", "etag: \"a\""]), not_modified(&["etag: \"a\""])])
            .await;
    for _ in 0..2 {
        let told = scene.get(&["via: 1.0 before"]).await;
        let via = told.forwarded().asked[0].field("via").unwrap();
        assert!(via.starts_with("1.0 before, 1.1 "), "{via}");
        scene.later(20);
    }
}

/// RFC 9110 §6.6.1: kept as it came; where there was none, the time of receipt.
#[tokio::test]
async fn date_is_the_origins_or_the_time_of_receipt() {
    let dated = scene([ok(&[LASTING, "date: Mon, 27 Apr 2026 09:59:00 GMT"])]).await;
    for _ in 0..2 {
        dated.get(&[]).await.field("date", "Mon, 27 Apr 2026 09:59:00 GMT");
        dated.later(100);
    }
    let undated = scene([ok(&[LASTING]).undated()]).await;
    for _ in 0..2 {
        // When the clock of every test starts.
        undated.get(&[]).await.field("date", "Mon, 27 Apr 2026 10:00:00 GMT");
        undated.later(100);
    }
    assert_eq!(undated.asked().len(), 1);
}

/// A Date that is not stored is the origin's as well.
#[tokio::test]
async fn date_of_what_is_not_stored_is_passed_on() {
    let scene = scene([ok(&["cache-control: no-store", "date: Mon, 27 Apr 2026 09:59:00 GMT"])]);
    scene.await.get(&[]).await.field("date", "Mon, 27 Apr 2026 09:59:00 GMT");
}

/// §5.5: Warning is obsolete; nothing makes one up.
#[tokio::test]
async fn no_warning_is_made_up() {
    let scene = scene([
        ok(&["cache-control: max-age=10, stale-if-error=600", "last-modified: {-864000}"]),
        crate::origin::status(503, &[]),
    ])
    .await;
    scene.get(&[]).await.forwarded().lacks("warning");
    scene.get(&[]).await.reused().lacks("warning");
    scene.later(20);
    scene.get(&[]).await.status(200).body("#1").lacks("warning");
    scene.get(&["cache-control: max-stale"]).await.status(200).lacks("warning");
}

/// RFC 9112 §6: what is told has one length, that of its content, or is chunked.
#[tokio::test]
async fn the_length_is_told_once_and_right() {
    let scene = scene([ok(&[LASTING]).body("0123456789").chunked()]).await;
    for _ in 0..3 {
        let mut wire = Wire::connect(scene.play().node.node.addresses().storefront).await;
        wire.send(&format!(
            "GET {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            scene.target
        ))
        .await;
        let text = String::from_utf8(wire.rest().await).unwrap().to_lowercase();
        let lengths = text.matches("\r\ncontent-length:").count();
        let chunked = text.matches("\r\ntransfer-encoding:").count();
        assert_eq!(lengths + chunked, 1, "{text}");
        assert!(chunked == 1 || text.contains("\r\ncontent-length: 10\r\n"), "{text}");
        assert_eq!(text.matches("\r\ndate:").count(), 1, "{text}");
    }
}

/// §4: the same content at every use, and each use is whole.
#[tokio::test]
async fn the_content_is_the_same_at_every_use() {
    let body: String = (0..20_000).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
    let scene = scene([ok(&[LASTING]).body(&body)]).await;
    for _ in 0..5 {
        scene.get(&[]).await.status(200).body(&body);
    }
    assert_eq!(scene.asked().len(), 1);
}

/// RFC 9110 §8.4: a coding that the origin chose is kept with the answer that has it.
#[tokio::test]
async fn a_coding_of_the_origin_stays_with_its_content() {
    let scene = scene([ok(&[
        LASTING,
        "content-encoding: x-own",
        "vary: accept-encoding",
        "content-type: text/plain",
    ])])
    .await;
    for _ in 0..2 {
        let told = scene.get(&["accept-encoding: x-own"]).await;
        told.status(200).body("#1").field("content-encoding", "x-own");
    }
    scene.get(&[]).await.forwarded().body("#2");
}

/// §5.2.2.4, §5.2.2.7: fields that a directive names go to the one who asked, but for those that
/// frame the origin's own message.
#[tokio::test]
async fn a_directive_that_names_a_field_of_the_framing_breaks_no_framing() {
    const TEN: &str = "0123456789";
    let play = Play::start().await;
    let mut wire = Wire::connect(play.node.node.addresses().storefront).await;
    let directives = [
        "no-cache=\"content-length\"",
        "private=\"content-length, content-range\"",
        "private=\"connection, transfer-encoding, content-range\"",
        "no-cache=\"trailer, keep-alive, upgrade\"",
    ];
    for (n, directive) in directives.iter().enumerate() {
        for framing in ["length", "chunked"] {
            for (range, status, body) in [("", "200", TEN), ("range: bytes=2-5\r\n", "206", "2345")]
            {
                let scene = play.scene(&format!("framing-{n}-{framing}-{status}"));
                let directive = format!("cache-control: max-age=60, {directive}");
                let answer = ok(&[
                    &directive,
                    "connection: keep-alive, x-hop",
                    "keep-alive: timeout=5",
                    "x-hop: 1",
                    "trailer: x-last",
                    "content-range: bytes 0-9/10",
                ]);
                let answer = answer.body(TEN);
                scene.answers([if framing == "length" { answer } else { answer.chunked() }]);
                // First hand, and from the store.
                for _ in 0..2 {
                    let target = &scene.target;
                    wire.send(&format!("GET {target} HTTP/1.1\r\nhost: x\r\n{range}\r\n")).await;
                    let (head, found) = wire.message().await;
                    let context = format!("{directive} {framing} {head}");
                    assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{context}");
                    assert_eq!(found, body, "{context}");
                    for gone in ["transfer-encoding", "keep-alive", "x-hop", "trailer"] {
                        assert_eq!(field(&head, gone), None, "{context}");
                    }
                    if status == "206" {
                        let content_range = field(&head, "content-range");
                        assert_eq!(content_range.as_deref(), Some("bytes 2-5/10"), "{context}");
                    }
                }
                assert_eq!(scene.asked().len(), 1, "{directive} {framing}");
            }
        }
    }
}
