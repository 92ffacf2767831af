//! Where a request's body ends: RFC 9112 §6 and §7.

use super::Scene;

const POST: &str = "POST /Commerce/Carts";
const HEAD: &str = "POST /Commerce/Carts HTTP/1.1\r\nhost: shop.example\r\n";
const CHUNKED: &str = "transfer-encoding: chunked\r\n";

/// What a smuggler hides in the part of a message that two recipients disagree on.
const HIDDEN: &str = "GET /Commerce/Hidden HTTP/1.1\r\nhost: shop.example\r\n\r\n";

#[tokio::test]
async fn a_length_beside_a_transfer_coding_counts_for_nothing_and_ends_the_connection() {
    let scene = Scene::new().await;
    let reaches = scene.passed(POST, "", CHUNKED, "3\r\nabc\r\n0\r\n\r\n");
    for fields in [
        "content-length: 6\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 6\r\n",
        "content-length: 200\r\ntransfer-encoding: chunked\r\ncontent-length: 200\r\n",
    ] {
        let sent = format!("{HEAD}{fields}\r\n3\r\nabc\r\n0\r\n\r\n{HIDDEN}");
        scene.passes_and_closes(&sent, &reaches).await;
    }
}

#[tokio::test]
async fn a_length_that_is_repeated_equally_is_one_and_otherwise_refused() {
    let scene = Scene::new().await;
    let reaches = scene.passed(POST, "content-length: 5\r\n", "", "abcde");
    let sent = format!("{HEAD}content-length: 5\r\ncontent-length: 5\r\n\r\nabcde");
    scene.passes(&sent, &reaches).await;
    for (one, other) in [("5", "6"), ("6", "5"), ("5", "+5"), ("5", "")] {
        let fields = format!("content-length: {one}\r\ncontent-length: {other}\r\n");
        scene.refuses(format!("{HEAD}{fields}\r\nabcde{HIDDEN}").as_bytes(), 400).await;
    }
}

#[tokio::test]
async fn a_length_that_is_not_a_plain_number_is_refused() {
    let scene = Scene::new().await;
    for length in [
        "+5",
        "-5",
        "5 5",
        "5, 5",
        "5,5",
        "5;",
        "0x5",
        "5.0",
        "5e0",
        "",
        "five",
        "\"5\"",
        "18446744073709551621",
        "99999999999999999999999999",
    ] {
        let sent = format!("{HEAD}content-length: {length}\r\n\r\nabcde{HIDDEN}");
        scene.refuses(sent.as_bytes(), 400).await;
    }
    let most = format!("{HEAD}content-length: {}\r\n\r\nabcde{HIDDEN}", u64::MAX);
    scene.refuses(most.as_bytes(), 431).await;
}

#[tokio::test]
async fn a_transfer_coding_other_than_chunked_alone_is_refused() {
    let scene = Scene::new().await;
    for coding in [
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: identity, chunked",
        "transfer-encoding: identity",
        "transfer-encoding: gzip",
        "transfer-encoding: chunked, gzip",
        "transfer-encoding: xchunked",
        "transfer-encoding: chunkedx",
        "transfer-encoding: chunked;q=1",
        "transfer-encoding: \"chunked\"",
        "transfer-encoding: ,chunked",
        "transfer-encoding: chunked,",
        "transfer-encoding:",
        "transfer-encoding: \x0bchunked",
        "transfer-encoding: \x0cchunked",
        "transfer-encoding: chunked\x0b",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: identity\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
    ] {
        let sent = format!("{HEAD}{coding}\r\n\r\n3\r\nabc\r\n0\r\n\r\n{HIDDEN}");
        scene.refuses(sent.as_bytes(), 400).await;
        let with_length = sent.replacen("\r\n\r\n", "\r\ncontent-length: 5\r\n\r\n", 1);
        scene.refuses(with_length.as_bytes(), 400).await;
    }
}

#[tokio::test]
async fn chunked_is_known_in_any_case_and_goes_on_in_one() {
    let scene = Scene::new().await;
    let reaches = scene.passed(POST, "", CHUNKED, "3\r\nabc\r\n0\r\n\r\n");
    for coding in ["transfer-encoding: Chunked", "TRANSFER-ENCODING: \t CHUNKED \t"] {
        scene.passes(&format!("{HEAD}{coding}\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), &reaches).await;
    }
}

#[tokio::test]
async fn http_1_0_knows_no_transfer_coding() {
    let scene = Scene::new().await;
    let sent = "POST /Commerce/Carts HTTP/1.0\r\nhost: shop.example\r\nconnection: keep-alive\r\n\
                transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    scene.refuses(format!("{sent}{HIDDEN}").as_bytes(), 400).await;
}

#[tokio::test]
async fn a_chunk_that_is_not_framed_to_the_letter_ends_the_exchange_and_the_connection() {
    let scene = Scene::new().await;
    for body in [
        "0x3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "\r\n3\r\nabc\r\n0\r\n\r\n",
        "3 3\r\nabc\r\n0\r\n\r\n",
        "g\r\nabc\r\n0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\rabc\r\n0\r\n\r\n",
        "3;a=b\nabc\r\n0\r\n\r\n",
        "3;\n3\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabc\r0\r\n\r\n",
        "3\r\nabc\r\n0\n\r\n",
        "3\r\nabc\r\n0\r\nbad name: 1\r\n\r\n",
        "3\r\nabc\r\n0\r\nx: \0\r\n\r\n",
    ] {
        let sent = format!("{HEAD}transfer-encoding: chunked\r\n\r\n{body}{HIDDEN}");
        let mut client = scene.client().await;
        client.send(&sent).await;
        let answer = String::from_utf8(client.rest().await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body:?}: {answer:?}");
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{body:?}: {answer:?}");
    }
    // The origin may have got the beginning of such a request, but never its end, and nothing else
    // on its connection.
    let head = scene.passed(POST, "", CHUNKED, "");
    for got in scene.origin.connections().into_iter().filter(|got| !got.is_empty()) {
        let got = super::normal(&got);
        let body = got.strip_prefix(&head).unwrap_or_else(|| panic!("{got:?}"));
        assert!(["", "3\r\nabc\r\n"].contains(&body), "{body:?}");
    }
}

#[tokio::test]
async fn chunk_extensions_and_trailers_go_no_further() {
    let scene = Scene::new().await;
    let reaches = scene.passed(POST, "", CHUNKED, "3\r\nabc\r\n0\r\n\r\n");
    for body in [
        "3;a=b;c=\"d\"\r\nabc\r\n0;e\r\n\r\n",
        "3 ;a=b\r\nabc\r\n0\r\n\r\n",
        "003\r\nabc\r\n000\r\n\r\n",
        "3\r\nabc\r\n0\r\ncontent-length: 50\r\nhost: evil.example\r\n\r\n",
        "3\r\nabc\r\n0\r\ntransfer-encoding: gzip\r\nauthorization: Bearer x\r\n\r\n",
    ] {
        let sent = format!("{HEAD}transfer-encoding: chunked\r\n\r\n{body}");
        scene.passes(&sent, &reaches).await;
    }
}

#[tokio::test]
async fn connection_cannot_take_the_framing_away() {
    let scene = Scene::new().await;
    let sent = format!("{HEAD}connection: content-length\r\ncontent-length: 3\r\n\r\nabc");
    scene.passes(&sent, &scene.passed(POST, "content-length: 3\r\n", "", "abc")).await;
    let chunked = "connection: transfer-encoding\r\ntransfer-encoding: chunked\r\n\r\n";
    let sent = format!("{HEAD}{chunked}3\r\nabc\r\n0\r\n\r\n");
    scene.passes(&sent, &scene.passed(POST, "", CHUNKED, "3\r\nabc\r\n0\r\n\r\n")).await;
}

#[tokio::test]
async fn the_body_of_a_request_that_is_refused_is_never_taken_for_a_request() {
    let scene = Scene::new().await;
    for (head, status) in [
        (format!("TRACE /Commerce/x HTTP/1.1\r\nhost: a\r\ncontent-length: {}", HIDDEN.len()), 405),
        (format!("POST /Commerce/x HTTP/1.1\r\ncontent-length: {}", HIDDEN.len()), 400),
        (format!("POST * HTTP/1.1\r\nhost: a\r\ncontent-length: {}", HIDDEN.len()), 400),
    ] {
        let mut client = scene.client().await;
        client.send(&format!("{head}\r\nconnection: close\r\n\r\n{HIDDEN}")).await;
        let answers = String::from_utf8(client.rest().await).unwrap();
        assert!(answers.starts_with(&format!("HTTP/1.1 {status} ")), "{answers}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
        assert_eq!(scene.reached(), "");
    }
    // Kept alive, the connection goes on behind the body or not at all.
    let mut client = scene.client().await;
    let head = format!("TRACE / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", HIDDEN.len());
    client.send(&format!("{head}{HIDDEN}")).await;
    assert!(client.message().await.0.starts_with("HTTP/1.1 405 "));
    let next = b"GET /Commerce/Next HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n";
    let _ = client.try_send(next).await;
    client.rest().await;
    let got = scene.reached();
    let next = scene.passed("GET /Commerce/Next", "", "", "");
    assert!(got.is_empty() || got == next, "{got}");
}

#[tokio::test]
async fn requests_that_follow_each_other_at_once_reach_the_origin_one_by_one() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    let first = format!("{HEAD}content-length: 3\r\n\r\nabc");
    let second = format!("{HEAD}transfer-encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n");
    client.send(&format!("{first}{second}{HIDDEN}")).await;
    for _ in 0..3 {
        assert_eq!(client.message().await.1, "ok");
    }
    let expected = [
        scene.passed(POST, "content-length: 3\r\n", "", "abc"),
        scene.passed(POST, "", CHUNKED, "3\r\ndef\r\n0\r\n\r\n"),
        scene.passed("GET /Commerce/Hidden", "", "", ""),
    ];
    assert_eq!(scene.reached(), expected.concat());
}
