//! The lines of a request's head: RFC 9112 §2 to §5.

use super::Scene;
use super::support::wire::Wire;

#[tokio::test]
async fn a_head_whose_lines_others_might_split_elsewhere_is_refused() {
    let scene = Scene::new().await;
    for field in [
        "x: a\r\n b",
        "x: a\r\n\tb",
        "x:\r\n b",
        " x: a",
        "\tx: a",
        "x : a",
        "x\t: a",
        ": a",
        "x",
        "x y: a",
        "x\0: a",
        "x: a\0b",
        "x: a\rb",
        "x: a\r\r",
        "x\r: a",
        "x: a\x0bb",
        "x: a\x7fb",
        "x(y): a",
        "x\"y: a",
        "x\u{e9}: a",
        "transfer-encoding : chunked",
        "transfer-encoding\0: chunked",
        "content-length : 5",
        " content-length: 5",
    ] {
        let inside = format!("GET /Commerce/x HTTP/1.1\r\nhost: a\r\n{field}\r\ny: z\r\n\r\n");
        let first = format!("GET /Commerce/x HTTP/1.1\r\n{field}\r\nhost: a\r\n\r\n");
        scene.refuses(inside.as_bytes(), 400).await;
        scene.refuses(first.as_bytes(), 400).await;
    }
}

#[tokio::test]
async fn a_request_line_is_three_words() {
    let scene = Scene::new().await;
    for line in [
        "GET  /Commerce/x HTTP/1.1",
        " GET /Commerce/x HTTP/1.1",
        "GET\t/Commerce/x\tHTTP/1.1",
        "GET /Commerce/x  HTTP/1.1",
        "GET /Commerce/x y HTTP/1.1",
        "GET /Commerce/x",
        "GET /Commerce/x HTTP/0.9",
        "GET /Commerce/x HTTP/2.0",
        "GET /Commerce/x HTTP/3",
        "GET /Commerce/x HTTP/1.2",
        "GET /Commerce/x HTTP/01.1",
        "GET /Commerce/x http/1.1",
        "GET /Commerce/x HTTP/1.1x",
        "GET /Commerce/x\r HTTP/1.1",
        "GET\r /Commerce/x HTTP/1.1",
        "G\0T /Commerce/x HTTP/1.1",
        "G(T /Commerce/x HTTP/1.1",
        "/Commerce/x HTTP/1.1",
    ] {
        scene.refuses(format!("{line}\r\nhost: a\r\n\r\n").as_bytes(), 400).await;
    }
}

#[tokio::test]
async fn a_request_of_http_0_9_is_refused() {
    let scene = Scene::new().await;
    scene.refuses(b"GET /Commerce/x\r\n", 400).await;
    scene.refuses(b"GET /Commerce/x\n", 400).await;
}

#[tokio::test]
async fn a_single_lf_ends_a_line_and_the_origin_gets_both_bytes() {
    let scene = Scene::new().await;
    let reaches = scene.passed("GET /Commerce/x", "x: a\r\n", "", "");
    for sent in [
        "GET /Commerce/x HTTP/1.1\nhost: shop.example\nx: a\n\n",
        "GET /Commerce/x HTTP/1.1\r\nhost: shop.example\nx: a\r\n\n",
        "\r\n\r\nGET /Commerce/x HTTP/1.1\r\nhost: shop.example\r\nx: a\r\n\r\n",
    ] {
        scene.passes(sent, &reaches).await;
    }
    // So what is hidden behind one is seen for what it is.
    let hidden =
        "GET /Commerce/x HTTP/1.1\r\nhost: shop.example\r\nx: a\nTransfer-Encoding: x\r\n\r\n";
    scene.refuses(hidden.as_bytes(), 400).await;
}

#[tokio::test]
async fn white_space_around_a_value_is_not_part_of_it() {
    let scene = Scene::new().await;
    let sent = "GET /Commerce/x HTTP/1.1\r\nhost:\t shop.example \t\r\nx: \t a b \t\r\n\r\n";
    scene.passes(sent, &scene.passed("GET /Commerce/x", "x: a b\r\n", "", "")).await;
}

#[tokio::test]
async fn exactly_one_valid_host_is_named() {
    let scene = Scene::new().await;
    for hosts in [
        "",
        "host:\r\n",
        "host: a\r\nhost: a\r\n",
        "host: a\r\nhost: b\r\n",
        "host: a, b\r\n",
        "host: a,b\r\n",
        "host: a b\r\n",
        "host: user@a\r\n",
        "host: user:password@a\r\n",
        "host: a:b\r\n",
        "host: a:99999\r\n",
        "host: http://a\r\n",
        "host: a/b\r\n",
        "host: a?b\r\n",
        "host: a#b\r\n",
        "host: [::1\r\n",
        "host: \u{e9}\r\n",
    ] {
        let sent = format!("GET /Commerce/x HTTP/1.1\r\n{hosts}\r\n");
        scene.refuses(sent.as_bytes(), 400).await;
    }
}

#[tokio::test]
async fn http_1_0_needs_no_host_and_keeps_alive_only_if_asked() {
    let scene = Scene::new().await;
    let sent = "GET /Commerce/x HTTP/1.0\r\nhost: shop.example\r\n\r\nGET /Commerce/Hidden HTTP/1.1\r\nhost: a\r\n\r\n";
    let reaches = scene.passed_from("1.0", "GET /Commerce/x", "", "", "");
    scene.passes_and_closes(sent, &reaches).await;
    let kept = "GET /Commerce/x HTTP/1.0\r\nhost: shop.example\r\nconnection: keep-alive\r\n\r\n";
    scene.passes(kept, &reaches).await;
    let reaches = reaches.replace("x-forwarded-host: shop.example\r\n", "");
    scene.passes_and_closes("GET /Commerce/x HTTP/1.0\r\n\r\n", &reaches).await;
}

#[tokio::test]
async fn an_upgrade_is_not_asked_of_the_origin_and_not_granted() {
    let scene = Scene::new().await;
    let reaches = scene.passed("GET /Commerce/x", "", "", "");
    for fields in [
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n",
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n",
        "upgrade: websocket\r\n",
    ] {
        let sent = format!("GET /Commerce/x HTTP/1.1\r\nhost: shop.example\r\n{fields}\r\n");
        let reaches = match fields.contains("sec-") {
            true => scene.passed("GET /Commerce/x", "sec-websocket-version: 13\r\n", "", ""),
            false => reaches.clone(),
        };
        scene.passes(&sent, &reaches).await;
    }
}

#[tokio::test]
async fn an_expectation_never_makes_the_body_a_request() {
    let scene = Scene::new().await;
    let post = |expect: &str| {
        format!(
            "POST /Commerce/x HTTP/1.1\r\nhost: shop.example\r\n{expect}content-length: 3\r\n\r\nabc"
        )
    };
    for (expect, reaches) in [
        ("expect: 100-continue, 100-continue\r\n", "expect: 100-continue, 100-continue\r\n"),
        ("expect: 200-ok\r\n", "expect: 200-ok\r\n"),
        ("expect:\r\n", "expect: \r\n"),
    ] {
        let fields = format!("{reaches}content-length: 3\r\n");
        let reaches = scene.passed("POST /Commerce/x", &fields, "", "abc");
        scene.passes(&post(expect), &reaches).await;
    }
    // Where nothing follows, there is nothing to wait for.
    let sent = "GET /Commerce/x HTTP/1.1\r\nhost: shop.example\r\nexpect: 100-continue\r\n\r\n";
    scene.passes(sent, &scene.passed("GET /Commerce/x", "", "", "")).await;
}

#[tokio::test]
async fn a_body_whose_client_was_told_to_continue_twice_is_sent_once() {
    let scene = Scene::new().await;
    let sent = "POST /Commerce/x HTTP/1.1\r\nhost: shop.example\r\nexpect: 100-Continue\r\n\
                content-length: 3\r\n\r\nabcGET /Commerce/Next HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    let mut client: Wire = scene.client().await;
    client.send(sent).await;
    let mut head = client.head().await;
    if head.starts_with("HTTP/1.1 100 ") {
        head = client.head().await;
    }
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(client.bytes(2).await, "ok");
    assert_eq!(client.message().await.1, "ok");
    let fields = "expect: 100-Continue\r\ncontent-length: 3\r\n";
    let expected = scene.passed("POST /Commerce/x", fields, "", "abc")
        + &scene.passed("GET /Commerce/Next", "", "", "");
    assert_eq!(scene.reached(), expected);
}
