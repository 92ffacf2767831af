//! What goes through to the origin and back, seen from both ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test cannot do without fails it"
)]

#[path = "support/wire.rs"]
mod wire;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use csu_edge::config::{self, Limits};
use csu_edge::error::ProxyError;
use csu_edge::origin::{OriginClient, RequestBody};
use csu_edge::proxy::pass;
use csu_edge::server::{self, Answer, Handler, Peer, Plan, Server};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use wire::{Wire, field, soon};

/// Passes everything. What is sent to `/resumed` has its first frame read before it passes.
struct Passer {
    origin: OriginClient,
    rules: config::Forwarded,
}

impl Handler for Passer {
    async fn handle(&self, request: Request<Incoming>, peer: Peer, _: bool) -> Answer {
        if let Some(answer) = pass::answer_here(&request) {
            return answer.into();
        }
        let (parts, mut body) = request.into_parts();
        let body = if parts.uri.path() == "/resumed" {
            let read = body.frame().await.unwrap().unwrap().into_data().unwrap();
            RequestBody::resumed(read, body)
        } else {
            RequestBody::streamed(body)
        };
        let request = Request::from_parts(parts, body);
        let passed = pass::pass(&self.origin, &self.rules, peer, request).await;
        passed.unwrap_or_else(|error| ProxyError::from(&error).response()).into()
    }
}

fn proxy_to(config: &config::Origin) -> Server {
    let origin = OriginClient::new(config).unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    let plan = Plan::new("test", address, Limits::default());
    let make = move || Passer {
        origin: origin.with_own_connections(),
        rules: config::Forwarded { trusted: Vec::new(), send_forwarded: false },
    };
    server::serve(&plan, make).unwrap()
}

fn origin_at(address: SocketAddr) -> config::Origin {
    let root = format!("http://{address}/Commerce").parse().unwrap();
    config::Config::for_origin(root).origin
}

/// An origin to be played by hand, a proxy before it, and a client.
struct Scene {
    origin: TcpListener,
    proxy: Server,
    client: Wire,
}

impl Scene {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(set: impl FnOnce(&mut config::Origin)) -> Self {
        let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = origin_at(origin.local_addr().unwrap());
        set(&mut config);
        let proxy = proxy_to(&config);
        let client = Wire::connect(proxy.local_address()).await;
        Self { origin, proxy, client }
    }

    /// Sends a request without a body and returns the origin's end of it, its head read.
    async fn ask(&mut self, path: &str) -> Wire {
        self.client.send(&format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n\r\n")).await;
        self.received().await.0
    }

    async fn received(&self) -> (Wire, String) {
        let mut origin = Wire::accept(&self.origin).await;
        let head = origin.head().await;
        (origin, head)
    }

    async fn nothing_more_reaches_the_origin(&self) {
        let next = tokio::time::timeout(Duration::from_millis(200), self.origin.accept()).await;
        assert!(next.is_err(), "the origin was asked again");
    }

    fn http_2(&self, path: &str) -> (Client<HttpConnector, Full<Bytes>>, String) {
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        (client, format!("http://{}{path}", self.proxy.local_address()))
    }
}

/// The lines of a head in an order that does not depend on how it was put together.
fn lines(head: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = head.trim_end().lines().collect();
    lines[1..].sort_unstable();
    lines
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_request_arrives_as_it_was_sent_without_what_was_meant_for_one_connection() {
    let mut scene = Scene::new().await;
    scene
        .client
        .send(
            "POST /Commerce/Carts('a%20b')/Copy?$top=1&@p1='%C3%B8'&api-version=7.3 HTTP/1.1\r\n\
             Host: shop.example\r\n\
             Authorization: id_token abc\r\n\
             Cookie: a=b\r\n\
             Connection: keep-alive, X-Hop\r\n\
             X-Hop: 1\r\n\
             Keep-Alive: timeout=5\r\n\
             Proxy-Connection: keep-alive\r\n\
             TE: trailers\r\n\
             Upgrade: websocket\r\n\
             X-Forwarded-For: 1.2.3.4\r\n\
             Forwarded: for=1.2.3.4\r\n\
             OUN: 128\r\n\
             Content-Length: 2\r\n\r\n{}",
        )
        .await;
    let (mut origin, head) = scene.received().await;
    let host = format!("host: {}", scene.origin.local_addr().unwrap());
    assert_eq!(
        lines(&head),
        [
            "POST /Commerce/Carts('a%20b')/Copy?$top=1&@p1='%C3%B8'&api-version=7.3 HTTP/1.1",
            "authorization: id_token abc",
            "content-length: 2",
            "cookie: a=b",
            host.as_str(),
            "oun: 128",
            "via: 1.1 csu-edge",
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-host: shop.example",
            "x-forwarded-proto: http",
        ]
    );
    assert_eq!(origin.bytes(2).await, "{}");
    origin
        .send(
            "HTTP/1.1 404 Not Found\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
             Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nETag: \"e\"\r\nContent-Length: 4\r\n\r\nnone",
        )
        .await;
    let (head, body) = scene.client.message().await;
    assert_eq!(body, "none");
    let lines: Vec<&str> =
        lines(&head).into_iter().filter(|line| !line.starts_with("date: ")).collect();
    assert_eq!(
        lines,
        [
            "HTTP/1.1 404 Not Found",
            "content-length: 4",
            "etag: \"e\"",
            "set-cookie: a=1",
            "set-cookie: b=2",
        ]
    );
}

#[tokio::test]
async fn an_absolute_target_names_no_other_origin() {
    let mut scene = Scene::new().await;
    scene.client.send("GET http://elsewhere.example/x?y HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (mut origin, head) = scene.received().await;
    assert!(head.starts_with("GET /x?y HTTP/1.1\r\n"), "{head}");
    assert_eq!(field(&head, "host"), Some(scene.origin.local_addr().unwrap().to_string()));
    origin.send(OK).await;
    assert_eq!(scene.client.message().await.1, "ok");
}

#[tokio::test]
async fn what_is_not_for_a_gateway_is_answered_here() {
    let mut scene = Scene::new().await;
    for (line, status) in [
        ("TRACE / HTTP/1.1", "405"),
        ("OPTIONS * HTTP/1.1", "204"),
        ("CONNECT a:443 HTTP/1.1", "405"),
    ] {
        scene.client.send(&format!("{line}\r\nhost: a\r\n\r\n")).await;
        let (head, _) = scene.client.message().await;
        assert_eq!(head.split(' ').nth(1), Some(status), "{line}");
        assert_eq!(field(&head, "allow").is_some(), status == "405", "{line}");
    }
    for hosts in ["", "host: a\r\nhost: b\r\n"] {
        let mut client = Wire::connect(scene.proxy.local_address()).await;
        client.send(&format!("GET / HTTP/1.1\r\n{hosts}\r\n")).await;
        assert!(client.message().await.0.starts_with("HTTP/1.1 400 "), "{hosts}");
    }
    scene.nothing_more_reaches_the_origin().await;
}

#[tokio::test]
async fn http_2_reaches_an_origin_of_http_1() {
    let scene = Scene::new().await;
    let (client, uri) = scene.http_2("/Commerce/x");
    let request = Request::post(uri)
        .header("cookie", "a=b")
        .header("cookie", "c=d")
        .body(Full::from("{}"))
        .unwrap();
    let answered = tokio::spawn(client.request(request));
    let (mut origin, head) = scene.received().await;
    assert_eq!(field(&head, "cookie").as_deref(), Some("a=b; c=d"));
    assert_eq!(field(&head, "via").as_deref(), Some("2 csu-edge"));
    let own = scene.proxy.local_address().to_string();
    assert_eq!(field(&head, "x-forwarded-host"), Some(own));
    assert_eq!(origin.bytes(2).await, "{}");
    origin.send(OK).await;
    let response = soon(answered).await.unwrap().unwrap();
    assert_eq!(soon(response.into_body().collect()).await.unwrap().to_bytes(), "ok");
}

#[tokio::test]
async fn a_body_already_begun_is_passed_whole() {
    let mut scene = Scene::new().await;
    let send = "POST /resumed HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc";
    scene.client.send(send).await;
    let (mut origin, head) = scene.received().await;
    assert_eq!(field(&head, "content-length").as_deref(), Some("6"));
    assert_eq!(origin.bytes(3).await, "abc");
    scene.client.send("def").await;
    assert_eq!(origin.bytes(3).await, "def");
    origin.send(OK).await;
    assert_eq!(scene.client.message().await.1, "ok");
}

#[tokio::test]
async fn trailers_never_become_fields_of_the_head() {
    let mut scene = Scene::new().await;
    let mut origin = scene.ask("/").await;
    origin
        .send(
            "HTTP/1.1 200 OK\r\ntrailer: odata-error\r\ntransfer-encoding: chunked\r\n\r\n\
             2\r\nok\r\n0\r\nodata-error: late\r\n\r\n",
        )
        .await;
    let head = scene.client.head().await;
    assert_eq!(field(&head, "odata-error"), None);
    assert_eq!(scene.client.bytes(12).await, "2\r\nok\r\n0\r\n\r\n");
}

#[tokio::test]
async fn the_answer_to_head_keeps_the_length_of_what_it_stands_for() {
    let mut scene = Scene::new().await;
    scene.client.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (mut origin, _) = scene.received().await;
    origin.send("HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n").await;
    let head = scene.client.head().await;
    assert_eq!(field(&head, "content-length").as_deref(), Some("1234"));
}

const EXPECTING: &str =
    "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

#[tokio::test]
async fn a_client_is_told_to_continue_when_the_origin_says_so() {
    let mut scene = Scene::new().await;
    scene.client.send(EXPECTING).await;
    let (mut origin, head) = scene.received().await;
    assert_eq!(field(&head, "expect").as_deref(), Some("100-continue"));
    scene.client.stays_silent().await;
    origin.send(CONTINUE).await;
    assert_eq!(scene.client.head().await, CONTINUE);
    scene.client.send("body").await;
    assert_eq!(origin.bytes(4).await, "body");
    origin.send(OK).await;
    assert_eq!(scene.client.message().await.1, "ok");
    origin.stays_silent().await;
}

#[tokio::test]
async fn a_client_that_is_refused_is_never_told_to_continue() {
    let mut scene = Scene::new().await;
    scene.client.send(EXPECTING).await;
    let (mut origin, _) = scene.received().await;
    origin.send("HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\n").await;
    assert!(scene.client.head().await.starts_with("HTTP/1.1 401 "));
    origin.send("no").await;
    assert_eq!(scene.client.bytes(2).await, "no");
    assert_eq!(origin.rest().await, b"", "the body was sent after all");
}

#[tokio::test]
async fn a_client_is_told_to_continue_when_the_origin_keeps_silent_about_it() {
    let mut scene = Scene::new().await;
    scene.client.send(EXPECTING).await;
    let (mut origin, _) = scene.received().await;
    assert_eq!(scene.client.head().await, CONTINUE);
    scene.client.send("body").await;
    assert_eq!(origin.bytes(4).await, "body");
    origin.send(OK).await;
    assert_eq!(scene.client.message().await.1, "ok");
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_ends_the_exchange() {
    let mut scene = Scene::new().await;
    let mut origin = scene.ask("/").await;
    drop(scene.client);
    assert_eq!(origin.rest().await, b"");
}

#[tokio::test]
async fn a_client_that_leaves_in_the_answer_ends_the_exchange() {
    let mut scene = Scene::new().await;
    let mut origin = scene.ask("/").await;
    origin.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbegun").await;
    scene.client.head().await;
    drop(scene.client);
    assert_eq!(origin.rest().await, b"");
}

#[tokio::test]
async fn a_client_that_leaves_in_its_own_body_ends_the_exchange() {
    let mut scene = Scene::new().await;
    let chunked = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";
    scene.client.send(chunked).await;
    let (mut origin, _) = scene.received().await;
    drop(scene.client);
    assert_eq!(origin.rest().await, b"3\r\nabc\r\n", "no last chunk: the body was not complete");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_taken_for_a_whole_one() {
    for begun in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbegun",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nbegun\r\n",
    ] {
        let mut scene = Scene::new().await;
        let mut origin = scene.ask("/").await;
        origin.send(begun).await;
        scene.client.head().await;
        drop(origin);
        let rest = String::from_utf8(scene.client.rest().await).unwrap();
        assert!(["begun", "5\r\nbegun\r\n", ""].contains(&rest.as_str()), "{rest}");

        let (client, uri) = scene.http_2("/");
        let answered =
            tokio::spawn(client.request(Request::get(uri).body(Full::default()).unwrap()));
        let (mut origin, _) = scene.received().await;
        origin.send(begun).await;
        let response = soon(answered).await.unwrap().unwrap();
        drop(origin);
        assert!(soon(response.into_body().collect()).await.is_err());
    }
}

#[tokio::test]
async fn to_a_client_that_reads_until_the_close_an_answer_that_breaks_off_ends_in_a_reset() {
    let mut scene = Scene::new().await;
    scene.client.send("GET / HTTP/1.0\r\n\r\n").await;
    let (mut origin, _) = scene.received().await;
    origin.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nbegun\r\n").await;
    scene.client.head().await;
    assert_eq!(scene.client.bytes(5).await, "begun");
    drop(origin);
    let error = scene.client.read_error().await;
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn an_answer_that_stands_still_is_given_up() {
    let mut scene = Scene::with(|o| o.first_byte_timeout = Duration::from_millis(100)).await;
    let mut origin = scene.ask("/").await;
    origin.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbegun").await;
    scene.client.head().await;
    assert_eq!(origin.rest().await, b"");
    assert!(scene.client.rest().await.len() <= 5);
}

const MANY: usize = 64 << 20;
/// The kernel's buffers of two connections on a loopback, and ours.
const IN_FLIGHT: usize = 24 << 20;

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_origin() {
    let mut scene = Scene::new().await;
    let mut origin = scene.ask("/").await;
    origin.send(&format!("HTTP/1.1 200 OK\r\ncontent-length: {MANY}\r\n\r\n")).await;
    let sent = origin.send_until_blocked(MANY).await;
    assert!(sent < IN_FLIGHT, "{sent} bytes were taken");
    let rest = tokio::spawn(async move {
        origin.send_filler(MANY - sent).await;
        origin
    });
    scene.client.head().await;
    assert_eq!(scene.client.count(MANY).await, MANY);
    soon(rest).await.unwrap();
}

#[tokio::test]
async fn an_origin_that_does_not_read_stops_the_client() {
    let mut scene = Scene::new().await;
    let head = format!("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: {MANY}\r\n\r\n");
    scene.client.send(&head).await;
    let (mut origin, _) = scene.received().await;
    let sent = scene.client.send_until_blocked(MANY).await;
    assert!(sent < IN_FLIGHT, "{sent} bytes were taken");
    let mut client = scene.client;
    let rest = tokio::spawn(async move {
        client.send_filler(MANY - sent).await;
        client
    });
    assert_eq!(origin.count(MANY).await, MANY);
    origin.send(OK).await;
    assert_eq!(soon(rest).await.unwrap().message().await.1, "ok");
}

#[tokio::test]
async fn an_origin_that_cannot_be_reached_gives_502() {
    let mut scene = Scene::new().await;
    drop(scene.origin);
    scene.client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (head, body) = scene.client.message().await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    assert!(body.starts_with(r#"{"error":{"code":"csu-edge.origin-unreachable","#), "{body}");
}

#[tokio::test]
async fn an_origin_that_does_not_answer_in_time_gives_504_and_is_let_go() {
    let mut scene = Scene::with(|o| o.first_byte_timeout = Duration::from_millis(100)).await;
    let mut origin = scene.ask("/").await;
    assert!(scene.client.message().await.0.starts_with("HTTP/1.1 504 "));
    assert_eq!(origin.rest().await, b"");
}

#[tokio::test]
async fn a_long_upload_is_not_a_slow_origin_and_a_client_that_stalls_is_not_either() {
    let mut scene = Scene::with(|o| o.first_byte_timeout = Duration::from_secs(2)).await;
    scene.client.send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n").await;
    let (mut origin, _) = scene.received().await;
    for letter in ["a", "b", "c"] {
        tokio::time::sleep(Duration::from_millis(900)).await;
        scene.client.send(letter).await;
        assert_eq!(origin.bytes(1).await, letter);
    }
    let (head, _) = scene.client.message().await;
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    assert_eq!(origin.rest().await, b"");
}

#[tokio::test]
async fn a_write_that_the_origin_may_have_received_is_never_sent_again() {
    let mut scene = Scene::new().await;
    let mut origin = scene.ask("/").await;
    origin.send(OK).await;
    scene.client.message().await;
    scene.client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody").await;
    assert!(origin.head().await.starts_with("POST "), "the connection was not used again");
    assert_eq!(origin.bytes(4).await, "body");
    drop(origin);
    let (head, body) = scene.client.message().await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    assert!(body.contains("csu-edge.origin-broken"), "{body}");
    scene.nothing_more_reaches_the_origin().await;
}

#[tokio::test]
async fn a_connection_that_the_origin_closed_meanwhile_is_not_used_again() {
    let mut scene = Scene::new().await;
    for _ in 0..5 {
        scene.client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody").await;
        let (mut origin, _) = scene.received().await;
        assert_eq!(origin.bytes(4).await, "body");
        origin.send(OK).await;
        drop(origin);
        assert_eq!(scene.client.message().await.1, "ok");
    }
    assert_eq!(scene.proxy.counters().accepted(), 1);
}

#[tokio::test]
async fn http_2_is_told_502_like_http_1() {
    let scene = Scene::new().await;
    let (client, uri) = scene.http_2("/");
    drop(scene.origin);
    let request = Request::get(uri).body(Full::default()).unwrap();
    let response = soon(client.request(request)).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
}
