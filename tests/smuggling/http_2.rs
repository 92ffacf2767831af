//! Requests of HTTP/2 that must not become others in HTTP/1.1: RFC 9113 §8.

use super::Scene;
use super::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Http2, Outcome, block, frame, get, post,
};

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const AUTHORITY: (&str, &str) = (":authority", "shop.example");
const PATH: (&str, &str) = (":path", "/Commerce/x");

async fn client(scene: &Scene) -> Http2 {
    Http2::connect(scene.node.node.addresses().storefront).await
}

fn is_refusal(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Answer(400) | Outcome::Reset(_) | Outcome::GoAway(_) | Outcome::Closed
    )
}

/// Asserts that this request is refused and nothing of it reaches the origin.
async fn refuses(scene: &Scene, fields: &[(&str, &str)]) {
    let mut client = client(scene).await;
    client.ask(1, fields).await;
    let outcome = client.outcome(1).await;
    assert!(is_refusal(outcome), "{fields:?}: {outcome:?}");
    assert_eq!(scene.reached(), "", "{fields:?}");
}

async fn passes(scene: &Scene, fields: &[(&str, &str)], reaches: &str) {
    let mut client = client(scene).await;
    client.ask(1, fields).await;
    assert_eq!(client.outcome(1).await, Outcome::Answer(200), "{fields:?}");
    assert_eq!(scene.reached(), reaches, "{fields:?}");
}

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&get("/Commerce/x"), more].concat()
}

#[tokio::test]
async fn a_request_of_http_2_goes_on_in_http_1() {
    let scene = Scene::new().await;
    let passed = |line: &str, fields: &str| scene.passed_from("2", line, fields, "", "");
    passes(&scene, &get("/Commerce/x?a=b"), &passed("GET /Commerce/x?a=b", "")).await;
    passes(
        &scene,
        &with(&[("te", "trailers"), ("x", "a b")]),
        &passed("GET /Commerce/x", "x: a b\r\n"),
    )
    .await;
    passes(&scene, &with(&[("host", "SHOP.example")]), &passed("GET /Commerce/x", "")).await;
    passes(
        &scene,
        &[METHOD, SCHEME, PATH, ("host", "shop.example")],
        &passed("GET /Commerce/x", ""),
    )
    .await;
    passes(&scene, &get("/Commerce/x#a"), &passed("GET /Commerce/x", "")).await;
}

#[tokio::test]
async fn pseudo_fields_are_complete_single_and_first() {
    let scene = Scene::new().await;
    let x = ("x", "a");
    for fields in [
        &[SCHEME, AUTHORITY, PATH][..],
        &[METHOD, AUTHORITY, PATH],
        &[METHOD, SCHEME, AUTHORITY],
        &[METHOD, SCHEME, ("host", "shop.example")],
        &[METHOD, SCHEME, PATH],
        &[METHOD, METHOD, SCHEME, AUTHORITY, PATH],
        &[METHOD, (":method", "POST"), SCHEME, AUTHORITY, PATH],
        &[METHOD, SCHEME, SCHEME, AUTHORITY, PATH],
        &[METHOD, SCHEME, AUTHORITY, AUTHORITY, PATH],
        &[METHOD, SCHEME, AUTHORITY, (":authority", "evil.example"), PATH],
        &[METHOD, SCHEME, AUTHORITY, PATH, (":path", "/Commerce/Hidden")],
        &[METHOD, SCHEME, AUTHORITY, x, PATH],
        &[x, METHOD, SCHEME, AUTHORITY, PATH],
        &[METHOD, SCHEME, AUTHORITY, PATH, (":status", "200")],
        &[METHOD, SCHEME, AUTHORITY, PATH, (":unknown", "a")],
        &[METHOD, SCHEME, AUTHORITY, PATH, (":protocol", "websocket")],
        &[METHOD, SCHEME, AUTHORITY, PATH, (":", "a")],
    ] {
        refuses(&scene, fields).await;
    }
}

#[tokio::test]
async fn a_pseudo_field_that_would_break_the_request_line_is_refused() {
    let scene = Scene::new().await;
    for path in [
        "",
        "Commerce/x",
        "*",
        "?a=b",
        "http://shop.example/Commerce/x",
        "/Commerce/x HTTP/1.1\r\nhost: evil.example\r\n\r\nGET /Commerce/Hidden",
        "/Commerce/x y",
        "/Commerce/x\r",
        "/Commerce/x\n",
        "/Commerce/x\t",
        "/Commerce/x\0",
        "/Commerce/x\u{7f}",
        "/Commerce/caf\u{e9}",
    ] {
        refuses(&scene, &get(path)).await;
    }
    for method in
        ["", "GET /Commerce/Hidden HTTP/1.1\r\nx: ", "G T", "GET\r\n", "G:T", "G\0T", "GET "]
    {
        refuses(&scene, &[(":method", method), SCHEME, AUTHORITY, PATH]).await;
    }
    for authority in [
        "",
        "user@shop.example",
        "shop.example, evil.example",
        "shop.example\r\nx: a",
        "shop.example/a",
        "shop.example:a",
        "shop example",
    ] {
        refuses(&scene, &[METHOD, SCHEME, (":authority", authority), PATH]).await;
    }
    for scheme in ["", "ftp", "http://shop.example/Commerce/Hidden?", "http\r\n", "h ttp"] {
        refuses(&scene, &[METHOD, (":scheme", scheme), AUTHORITY, PATH]).await;
    }
}

#[tokio::test]
async fn an_authority_and_a_host_that_disagree_are_refused() {
    let scene = Scene::new().await;
    for hosts in [
        &[("host", "evil.example")][..],
        &[("host", "shop.example:81")],
        &[("host", "shop.example"), ("host", "shop.example")],
        &[("host", "shop.example"), ("host", "evil.example")],
        &[("host", "")],
        &[("host", "shop.example, shop.example")],
    ] {
        refuses(&scene, &with(hosts)).await;
    }
}

#[tokio::test]
async fn fields_of_a_connection_are_refused() {
    let scene = Scene::new().await;
    for field in [
        ("connection", "close"),
        ("connection", "x"),
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "identity"),
        ("upgrade", "websocket"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("te", "gzip"),
        ("te", "trailers, chunked"),
    ] {
        refuses(&scene, &with(&[field])).await;
        refuses(&scene, &[&post("/Commerce/x")[..], &[field]].concat()).await;
    }
}

#[tokio::test]
async fn names_and_values_that_would_be_lines_of_their_own_are_refused() {
    let scene = Scene::new().await;
    for name in [
        "",
        "X",
        "x-Y",
        "Transfer-Encoding",
        "x: y",
        "x:",
        "x y",
        "x ",
        " x",
        "x\r\ntransfer-encoding",
        "x\n",
        "x\0",
        "x\t",
        "x\u{7f}",
        "x\u{e9}",
        "x(y)",
    ] {
        refuses(&scene, &with(&[(name, "a")])).await;
    }
    for value in [
        "a\r\ntransfer-encoding: chunked",
        "a\r\n\r\nGET /Commerce/Hidden HTTP/1.1\r\nhost: a\r\n\r\n",
        "a\nb",
        "a\rb",
        "\r\n",
        "a\0b",
        "a\u{b}b",
        "a\u{7f}",
        " a",
        "a ",
        "\ta",
        "a\t",
        " ",
    ] {
        refuses(&scene, &with(&[("x", value)])).await;
    }
    let colons = with(&[("x", "a: b"), ("y", ":")]);
    let reaches = scene.passed_from("2", "GET /Commerce/x", "x: a: b\r\ny: :\r\n", "", "");
    passes(&scene, &colons, &reaches).await;
}

#[tokio::test]
async fn a_length_that_the_body_does_not_keep_never_ends_the_request_at_the_origin() {
    for (length, body) in [
        ("5", &["abc"][..]),
        ("5", &["abc", ""]),
        ("3", &["abc", "def"]),
        ("0", &["abc"]),
        ("2", &["abc"]),
        ("200", &["abc"]),
    ] {
        let scene = Scene::new().await;
        let mut client = client(&scene).await;
        let fields = [&post("/Commerce/Carts")[..], &[("content-length", length)]].concat();
        client.ask_with(1, &fields, body).await;
        let outcome = client.outcome(1).await;
        assert!(is_refusal(outcome), "{length}, {body:?}: {outcome:?}");
        let got = scene.reached();
        let framing = format!("content-length: {length}\r\n");
        let head = scene.passed_from("2", "POST /Commerce/Carts", "", &framing, "");
        let head_first = scene.passed_from("2", "POST /Commerce/Carts", &framing, "", "");
        let sent = got.strip_prefix(&head).or(got.strip_prefix(&head_first));
        let sent = sent.map_or(0, str::len);
        assert!(got.is_empty() || sent < length.parse().unwrap(), "{length}, {body:?}: {got:?}");
    }
}

#[tokio::test]
async fn a_length_that_is_not_one_plain_number_is_refused() {
    let scene = Scene::new().await;
    for lengths in [
        &["5", "5"][..],
        &["5", "6"],
        &["+5"],
        &["-5"],
        &["5, 5"],
        &[" 5"],
        &["0x5"],
        &[""],
        &["99999999999999999999999999"],
    ] {
        let mut fields = post("/Commerce/Carts").to_vec();
        fields.extend(lengths.iter().map(|length| ("content-length", *length)));
        let mut client = client(&scene).await;
        client.ask_with(1, &fields, &["abcde"]).await;
        let outcome = client.outcome(1).await;
        assert!(is_refusal(outcome), "{lengths:?}: {outcome:?}");
        assert_eq!(scene.reached(), "", "{lengths:?}");
    }
}

#[tokio::test]
async fn a_body_of_no_told_length_is_chunked_for_the_origin() {
    let scene = Scene::new().await;
    let mut client = client(&scene).await;
    let hidden = "0\r\n\r\nGET /Commerce/Hidden HTTP/1.1\r\nhost: a\r\n\r\n";
    client.ask_with(1, &post("/Commerce/Carts"), &[hidden]).await;
    assert_eq!(client.outcome(1).await, Outcome::Answer(200));
    let body = format!("{:X}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    let chunked = "transfer-encoding: chunked\r\n";
    let reaches = scene.passed_from("2", "POST /Commerce/Carts", "", chunked, &body);
    assert_eq!(scene.reached(), reaches);
}

#[tokio::test]
async fn trailers_are_fields_of_no_head() {
    for (trailers, refused) in [
        (&[("x", "a")][..], false),
        (&[("content-length", "50")], false),
        (&[(":path", "/Commerce/Hidden"), ("host", "evil.example")], false),
        (&[("transfer-encoding", "chunked")], true),
        (&[("x", "a\r\ny: b")], true),
    ] {
        let scene = Scene::new().await;
        let mut client = client(&scene).await;
        let mut bytes = frame(HEADERS, END_HEADERS, 1, &block(&post("/Commerce/Carts")));
        bytes.extend(frame(DATA, 0, 1, b"abc"));
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(trailers)));
        client.send(&bytes).await;
        let outcome = client.outcome(1).await;
        let got = scene.reached();
        let chunked = "transfer-encoding: chunked\r\n";
        let body = "3\r\nabc\r\n0\r\n\r\n";
        let whole = scene.passed_from("2", "POST /Commerce/Carts", "", chunked, body);
        if refused {
            assert!(is_refusal(outcome), "{trailers:?}: {outcome:?}");
            assert!(got.len() < whole.len() && whole.starts_with(&got), "{trailers:?}: {got:?}");
        } else {
            assert_eq!((outcome, got), (Outcome::Answer(200), whole), "{trailers:?}");
        }
    }
}

#[tokio::test]
async fn connect_and_its_extension_are_not_for_a_gateway() {
    let scene = Scene::new().await;
    let plain = [(":method", "CONNECT"), (":authority", "127.0.0.1:22")];
    let mut client_1 = client(&scene).await;
    client_1.ask(1, &plain).await;
    assert_eq!(client_1.outcome(1).await, Outcome::Answer(405));
    let extended = [(":method", "CONNECT"), (":protocol", "websocket"), SCHEME, AUTHORITY, PATH];
    refuses(&scene, &extended).await;
    refuses(&scene, &[(":method", "CONNECT"), SCHEME, AUTHORITY, PATH]).await;
    assert_eq!(scene.reached(), "");
}

#[tokio::test]
async fn a_head_in_many_frames_is_one_head() {
    let scene = Scene::new().await;
    let mut client = client(&scene).await;
    let fields = block(&get("/Commerce/x"));
    let (first, rest) = fields.split_at(7);
    let mut bytes = frame(HEADERS, END_STREAM, 1, first);
    bytes.extend(frame(CONTINUATION, END_HEADERS, 1, rest));
    client.send(&bytes).await;
    assert_eq!(client.outcome(1).await, Outcome::Answer(200));
    assert_eq!(scene.reached(), scene.passed_from("2", "GET /Commerce/x", "", "", ""));
    // Nothing comes between its frames, of this stream or another.
    for between in [frame(DATA, 0, 1, b"a"), frame(HEADERS, END_HEADERS | END_STREAM, 3, &fields)] {
        let mut client = super::http_2::client(&scene).await;
        let mut bytes = frame(HEADERS, END_STREAM, 1, first);
        bytes.extend(between);
        bytes.extend(frame(CONTINUATION, END_HEADERS, 1, rest));
        client.send(&bytes).await;
        assert!(matches!(client.outcome(1).await, Outcome::GoAway(_)));
        assert_eq!(scene.reached(), "");
    }
}
