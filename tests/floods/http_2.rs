//! Frames that cost their sender nothing: RFC 9113 §10.5.

use std::sync::Arc;

use super::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, Http2,
    Outcome, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, get, literal, post,
};
use super::support::node::Running;
use super::support::wire::soon;
use super::{closed, closes, node, origin};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What a flood is given up after; it must be ended long before.
const MOST: usize = 64 << 20;
/// The kernel's buffers of a connection on a loopback, and ours.
const IN_FLIGHT: usize = 16 << 20;

/// How a flood ended: the bytes that were taken of it, and the code of the GOAWAY if there was one.
struct Ended {
    bytes: usize,
    code: Option<u32>,
}

/// Sends `opening`, then `block` again and again, until the connection is ended. Another client is
/// answered meanwhile.
async fn flood(node: &Arc<Running>, opening: &[u8], block: &[u8]) -> Ended {
    let mut client = Http2::connect(node.node.addresses().storefront).await;
    client.send(opening).await;
    let (mut read, mut write) = client.into_split();
    let reading = tokio::spawn(async move {
        let mut bytes = Vec::new();
        let _ = read.read_to_end(&mut bytes).await;
        goaway(&bytes)
    });
    let witness = {
        let node = Arc::clone(node);
        tokio::spawn(async move { node.get("/Commerce/GetTenderTypes()").await.status })
    };
    let mut bytes = 0;
    while bytes < MOST && soon(write.write_all(block)).await.is_ok() {
        bytes += block.len();
    }
    let code = soon(reading).await.unwrap();
    assert_eq!(soon(witness).await.unwrap(), 200);
    assert!(bytes < IN_FLIGHT, "{bytes} bytes were taken");
    Ended { bytes, code }
}

fn goaway(mut bytes: &[u8]) -> Option<u32> {
    while bytes.len() >= 9 {
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        let (kind, payload) = (bytes[3], bytes.get(9..9 + length)?);
        if kind == GOAWAY {
            return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        bytes = &bytes[9 + length..];
    }
    None
}

#[tokio::test]
async fn frames_that_ask_for_nothing_end_their_connection() {
    let origin = origin().await;
    let node = node(&origin, |_| {}).await;
    let window = |size: u32| [&[0, 4][..], &size.to_be_bytes()].concat();
    let floods: [(&str, Vec<u8>); 8] = [
        ("PING", frame(PING, 0, 0, &[0; 8])),
        ("PING that answers none", frame(PING, 1, 0, &[0; 8])),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        (
            "SETTINGS of windows",
            [frame(SETTINGS, 0, 0, &window(1)), frame(SETTINGS, 0, 0, &window(65_535))].concat(),
        ),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 9])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("unknown", frame(0xfa, 0, 0, &[])),
        ("unknown and large", frame(0xfa, 0, 0, &[0; 1_000])),
    ];
    for (at, (name, one)) in floods.into_iter().enumerate() {
        let ended = flood(&node, &[], &one.repeat(64_000 / one.len())).await;
        assert!(ended.bytes > 0, "{name}");
        let floods = f64::from(u32::try_from(at + 1).unwrap());
        closes(&node, "h2-flood", floods).await;
    }
    assert_eq!(origin.requests(), 1, "the witness's answer was stored");
}

#[tokio::test]
async fn frames_that_requests_and_answers_explain_are_no_flood() {
    let origin = origin().await;
    let node = node(&origin, |config| config.limits.h2_frames = 100).await;
    let mut client = Http2::connect(node.node.addresses().storefront).await;
    for at in 0..200 {
        let stream = 1 + 2 * at;
        client.ask(stream, &get("/Commerce/GetTenderTypes()")).await;
        let outcome = client.outcome(stream).await;
        assert!(matches!(outcome, Outcome::Answer(_)), "{at}: {outcome:?}");
        for _ in 0..5 {
            client.send(&frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])).await;
        }
    }
    assert_eq!(closed(&node, "h2-flood").await, 0.0);
}

#[tokio::test]
async fn resets_before_the_answer_end_their_connection() {
    let origin = origin().await;
    let node = node(&origin, |_| {}).await;
    // As fast as they can be written: most are reset before they are looked at.
    let mut all = Vec::new();
    for at in 0..20_000 {
        let stream = 1 + 2 * at;
        let ask = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&get("/Commerce/x")));
        all.extend(ask);
        all.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    let ended = flood(&node, &[], &all).await;
    assert!(ended.code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{:?}", ended.code);
    closes(&node, "h2-flood", 1.0).await;
}

#[tokio::test]
async fn resets_one_by_one_end_their_connection_too() {
    let origin = origin().await;
    let node = node(&origin, |config| config.limits.h2_resets = 10).await;
    let mut client = Http2::connect(node.node.addresses().storefront).await;
    client.ask(1, &get("/Commerce/x")).await;
    assert_eq!(client.outcome(1).await, Outcome::Answer(200));
    origin.hold();
    // Each has reached the origin when it is reset, so that all of its work is done.
    for at in 1..=11 {
        let stream = 1 + 2 * u32::try_from(at).unwrap();
        client.ask(stream, &get("/Commerce/x")).await;
        origin.arrived(at + 1).await;
        client.send(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])).await;
    }
    assert_eq!(client.outcome(99).await, Outcome::Closed);
    closes(&node, "h2-flood", 1.0).await;
    assert_eq!(origin.requests(), 12);
}

#[tokio::test]
async fn streams_past_the_limit_are_refused_and_too_many_of_them_end_the_connection() {
    let origin = origin().await;
    let node = node(&origin, |config| {
        config.limits.h2_streams = 4;
        config.limits.h2_resets = 20;
    })
    .await;
    origin.hold();
    let mut client = Http2::connect(node.node.addresses().storefront).await;
    for at in 0..100 {
        let ask = block(&get("/Commerce/x"));
        let ask = frame(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * at, &ask);
        if client.try_send(&ask).await.is_err() {
            break;
        }
    }
    assert_eq!(client.outcome(9).await, Outcome::Reset(7), "REFUSED_STREAM");
    assert_eq!(client.outcome(999).await, Outcome::GoAway(ENHANCE_YOUR_CALM));
    origin.release();
    closes(&node, "h2-flood", 1.0).await;
    assert!(origin.requests() <= 4);
}

#[tokio::test]
async fn malformed_requests_end_their_connection() {
    let origin = origin().await;
    let node = node(&origin, |config| config.limits.h2_resets = 20).await;
    let mut client = Http2::connect(node.node.addresses().storefront).await;
    for at in 0..100 {
        let ask = frame(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * at, &block(&[("x", "a")]));
        if client.try_send(&ask).await.is_err() {
            break;
        }
    }
    assert_eq!(client.outcome(999).await, Outcome::GoAway(ENHANCE_YOUR_CALM));
    closes(&node, "h2-flood", 1.0).await;
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn empty_frames_of_a_body_end_their_connection() {
    let origin = origin().await;
    let node = node(&origin, |_| {}).await;
    let opening = frame(HEADERS, END_HEADERS, 1, &block(&post("/Commerce/x")));
    let padded = [&[100][..], &[0; 100]].concat();
    for (closed, empty) in [(1.0, frame(DATA, 0, 1, &[])), (2.0, frame(DATA, 8, 1, &padded))] {
        let ended = flood(&node, &opening, &empty.repeat(1_000)).await;
        assert!(ended.code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{:?}", ended.code);
        closes(&node, "h2-flood", closed).await;
    }
}

#[tokio::test]
async fn a_head_without_end_ends_its_connection() {
    let origin = origin().await;
    let node = node(&origin, |_| {}).await;
    let opening = frame(HEADERS, END_STREAM, 1, &block(&get("/Commerce/x")));
    let field = block(&[("x", &"a".repeat(1_000))]);
    for more in [&[][..], &field] {
        let block = frame(CONTINUATION, 0, 1, more).repeat(16);
        let ended = flood(&node, &opening, &block).await;
        assert!(ended.code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{:?}", ended.code);
    }
    assert_eq!(origin.requests(), 1, "the first witness's, whose answer was stored");
}

#[tokio::test]
async fn a_small_head_that_stands_for_a_large_one_ends_its_connection() {
    let origin = origin().await;
    let node = node(&origin, |_| {}).await;
    let mut client = Http2::connect(node.node.addresses().storefront).await;
    // A field of 4,000 bytes goes into the table once (RFC 7541 §6.2.1), and each further byte of
    // the head stands for all of it: 48 MB in 16 KB.
    let mut bomb = block(&get("/Commerce/x"));
    bomb.push(0x40);
    literal(&mut bomb, b"x");
    literal(&mut bomb, &[b'a'; 4_000]);
    bomb.resize(16_000, 0xbe);
    client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb)).await;
    assert_eq!(client.outcome(1).await, Outcome::GoAway(ENHANCE_YOUR_CALM));
    closes(&node, "h2-flood", 1.0).await;
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn windows_past_their_bounds_end_their_stream_or_connection() {
    let origin = origin().await;
    let node = node(&origin, |_| {}).await;
    let most = (u32::MAX >> 1).to_be_bytes();
    let size = |size: u32| frame(SETTINGS, 0, 0, &[&[0, 4][..], &size.to_be_bytes()].concat());
    for game in [
        frame(WINDOW_UPDATE, 0, 0, &most),
        frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
        size(u32::MAX),
        frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1]),
        frame(SETTINGS, 0, 0, &[0, 4, 0]),
        frame(SETTINGS, 0, 1, &[]),
        frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        frame(DATA, END_STREAM, 1, b"a"),
        frame(PING, 0, 0, &[0; 7]),
    ] {
        let mut client = Http2::connect(node.node.addresses().storefront).await;
        client.send(&game).await;
        let outcome = client.outcome(1).await;
        assert!(matches!(outcome, Outcome::GoAway(_) | Outcome::Closed), "{game:?}: {outcome:?}");
    }
    assert_eq!(node.get("/Commerce/GetTenderTypes()").await.status, 200);
}
