//! What listeners and workers do, seen from a socket.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test cannot do without fails it"
)]

#[path = "support/wire.rs"]
mod wire;

use std::sync::{Arc, Barrier};
use std::time::Duration;

use bytes::Bytes;
use csu_edge::body::Body;
use csu_edge::config::Limits;
use csu_edge::server::{self, Answer, Drained, Handler, Peer, Plan, Server};
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Semaphore;
use wire::{Wire, field, soon};

/// Gates that a test and the handler share.
#[derive(Clone)]
struct Stage {
    /// A permit for each handler that waits at `/gate`.
    arrived: Arc<Semaphore>,
    /// A permit lets one of them go on.
    open: Arc<Semaphore>,
    /// A permit for each handler that was dropped there.
    dropped: Arc<Semaphore>,
    /// Where `/block` keeps its worker's whole thread until the test comes too.
    block: Arc<Barrier>,
}

impl Stage {
    fn new() -> Self {
        let closed = || Arc::new(Semaphore::new(0));
        Self {
            arrived: closed(),
            open: closed(),
            dropped: closed(),
            block: Arc::new(Barrier::new(2)),
        }
    }
}

async fn pass_through(gate: &Semaphore) {
    soon(gate.acquire()).await.unwrap().forget();
}

struct OnDrop(Option<Arc<Semaphore>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some(gate) = &self.0 {
            gate.add_permits(1);
        }
    }
}

impl Handler for Stage {
    async fn handle(&self, request: Request<Incoming>, _: Peer, _: bool) -> Answer {
        let text = match request.uri().path() {
            "/gate" => {
                let mut dropped = OnDrop(Some(Arc::clone(&self.dropped)));
                self.arrived.add_permits(1);
                self.open.acquire().await.unwrap().forget();
                dropped.0 = None;
                "late".to_owned()
            }
            "/thread" => std::thread::current().name().unwrap_or_default().to_owned(),
            "/version" => format!("{:?}", request.version()),
            "/block" => {
                self.arrived.add_permits(1);
                self.block.wait();
                "unblocked".to_owned()
            }
            "/bug" => panic!("a bug, on purpose"),
            "/body" => request.into_body().collect().await.unwrap().to_bytes().len().to_string(),
            _ => "hello".to_owned(),
        };
        Response::new(Body::Full(Bytes::from(text))).into()
    }
}

fn start(limits: Limits, workers: usize, stage: &Stage) -> Server {
    let address = "127.0.0.1:0".parse().unwrap();
    let stage = stage.clone();
    let plan = Plan { workers, ..Plan::new("test", address, limits) };
    server::serve(&plan, move || stage.clone()).unwrap()
}

fn start_one(limits: Limits) -> Server {
    start(limits, 1, &Stage::new())
}

async fn get(wire: &mut Wire, path: &str) -> (String, String) {
    wire.send(&format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    wire.message().await
}

fn http_2() -> Client<HttpConnector, Empty<Bytes>> {
    Client::builder(TokioExecutor::new()).http2_only(true).build_http()
}

fn to(server: &Server, path: &str) -> Request<Empty<Bytes>> {
    let uri = format!("http://{}{path}", server.local_address());
    Request::get(uri).body(Empty::new()).unwrap()
}

async fn text(response: Response<Incoming>) -> Bytes {
    soon(response.into_body().collect()).await.unwrap().to_bytes()
}

#[tokio::test]
async fn a_connection_is_kept_alive() {
    let server = start_one(Limits::default());
    let mut client = Wire::connect(server.local_address()).await;
    assert_eq!(get(&mut client, "/version").await.1, "HTTP/1.1");
    assert_eq!(get(&mut client, "/").await.1, "hello");
    assert_eq!(server.counters().accepted(), 1);
}

#[tokio::test]
async fn http_2_is_spoken_to_who_begins_with_it() {
    let server = start_one(Limits::default());
    let response = soon(http_2().request(to(&server, "/version"))).await.unwrap();
    assert_eq!(text(response).await, "HTTP/2.0");
}

#[tokio::test]
async fn every_worker_takes_its_share_of_one_port() {
    let server = start(Limits::default(), 2, &Stage::new());
    let mut threads = std::collections::BTreeSet::new();
    while threads.len() < 2 {
        assert!(server.counters().accepted() < 1_000, "one worker gets everything: {threads:?}");
        let mut client = Wire::connect(server.local_address()).await;
        threads.insert(get(&mut client, "/thread").await.1);
    }
    assert_eq!(threads.into_iter().collect::<Vec<_>>(), ["test-0", "test-1"]);
}

const TOO_LARGE: &str = r#"{"error":{"code":"csu-edge.header-fields-too-large","message":"the request's header fields are too large or too many"}}"#;

#[tokio::test]
async fn a_head_past_the_limit_in_bytes_gets_431() {
    let server = start_one(Limits { header_bytes: 1024, ..Limits::default() });
    for (length, expected) in [(900, "hello"), (1100, TOO_LARGE)] {
        let mut client = Wire::connect(server.local_address()).await;
        let padding = "x".repeat(length);
        client.send(&format!("GET / HTTP/1.1\r\nhost: a\r\nx: {padding}\r\n\r\n")).await;
        assert_eq!(client.message().await.1, expected);
    }
}

#[tokio::test]
async fn a_head_past_the_limit_in_fields_gets_431() {
    for (limit, count) in [(10, 11), (120, 121)] {
        let server = start_one(Limits { header_fields: limit, ..Limits::default() });
        let mut client = Wire::connect(server.local_address()).await;
        let send = async |client: &mut Wire, count: usize| {
            let fields: String = (1..count).map(|n| format!("x-{n}: y\r\n")).collect();
            client.send(&format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).await;
            client.message().await.0
        };
        assert!(send(&mut client, count - 1).await.starts_with("HTTP/1.1 200 "));
        assert!(send(&mut client, count).await.starts_with("HTTP/1.1 431 "));
    }
}

#[tokio::test]
async fn a_head_past_the_limit_gets_431_in_http_2_too() {
    let server = start_one(Limits { header_bytes: 2048, ..Limits::default() });
    let mut request = to(&server, "/");
    request.headers_mut().insert("x", "y".repeat(4096).parse().unwrap());
    let response = soon(http_2().request(request)).await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[tokio::test]
async fn a_refusal_is_not_lost_to_a_client_that_still_sends() {
    let server = start_one(Limits::default());
    let mut client = Wire::connect(server.local_address()).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\nx: ").await;
    client.send_filler(16 << 20).await;
    let answer = String::from_utf8(client.rest().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn a_head_that_does_not_arrive_closes_the_connection() {
    let limits = Limits { header_timeout: Duration::from_millis(1), ..Limits::default() };
    let server = start_one(limits);
    let mut silent = Wire::connect(server.local_address()).await;
    let mut slow = Wire::connect(server.local_address()).await;
    slow.send("GET / HTTP/1.1\r\nhost:").await;
    let mut preface = Wire::connect(server.local_address()).await;
    preface.send("PRI * HTTP/2.0\r\n").await;
    let mut second = Wire::connect(server.local_address()).await;
    assert_eq!(get(&mut second, "/").await.1, "hello");
    second.send("GET").await;
    for client in [&mut silent, &mut slow, &mut preface, &mut second] {
        assert_eq!(client.rest().await, b"");
    }
    assert_eq!(server.counters().slow_heads(), 4);
}

#[tokio::test]
async fn a_connection_that_stands_unused_is_closed() {
    let limits = Limits { keep_alive: Duration::from_millis(1), ..Limits::default() };
    let server = start_one(limits);
    let mut client = Wire::connect(server.local_address()).await;
    assert_eq!(get(&mut client, "/").await.1, "hello");
    assert_eq!(client.rest().await, b"");
    assert_eq!(server.counters().idle(), 1);
}

#[tokio::test]
async fn past_the_cap_a_connection_waits_until_another_is_closed() {
    let server = start(Limits { connections: 1, ..Limits::default() }, 2, &Stage::new());
    let mut first = Wire::connect(server.local_address()).await;
    assert_eq!(get(&mut first, "/").await.1, "hello");
    let mut second = Wire::connect(server.local_address()).await;
    second.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    second.stays_silent().await;
    drop(first);
    assert_eq!(second.message().await.1, "hello");
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_handler() {
    let stage = Stage::new();
    let server = start(Limits::default(), 1, &stage);
    let mut client = Wire::connect(server.local_address()).await;
    client.send("GET /gate HTTP/1.1\r\nhost: a\r\n\r\n").await;
    pass_through(&stage.arrived).await;
    drop(client);
    pass_through(&stage.dropped).await;
}

#[tokio::test]
async fn a_bug_in_one_exchange_ends_no_other() {
    let stage = Stage::new();
    let server = start(Limits::default(), 1, &stage);
    let mut witness = Wire::connect(server.local_address()).await;
    witness.send("GET /gate HTTP/1.1\r\nhost: a\r\n\r\n").await;
    pass_through(&stage.arrived).await;

    let mut client = Wire::connect(server.local_address()).await;
    client.send("GET /bug HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.rest().await, b"");
    let http_2 = http_2();
    assert!(soon(http_2.request(to(&server, "/bug"))).await.is_err());
    let response = soon(http_2.request(to(&server, "/"))).await.unwrap();
    assert_eq!(text(response).await, "hello");

    stage.open.add_permits(1);
    assert_eq!(witness.message().await.1, "late");
    assert_eq!(server.counters().panics(), 2);
}

#[tokio::test]
async fn a_drain_finishes_what_runs_and_takes_nothing_new() {
    let stage = Stage::new();
    let server = start(Limits::default(), 1, &stage);
    let address = server.local_address();
    let mut kept_alive = Wire::connect(address).await;
    assert_eq!(get(&mut kept_alive, "/").await.1, "hello");
    let mut running = Wire::connect(address).await;
    running.send("GET /gate HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let running_2 = tokio::spawn(http_2().request(to(&server, "/gate")));
    pass_through(&stage.arrived).await;
    pass_through(&stage.arrived).await;
    // The one worker tells its connections in the order in which they came: when the last one is
    // closed, those that run know too that they are to be closed.
    let mut last = Wire::connect(address).await;
    assert_eq!(get(&mut last, "/").await.1, "hello");

    let stopped = tokio::spawn(server.stop(Duration::from_secs(20)));
    assert_eq!(kept_alive.rest().await, b"", "an unused connection is closed at once");
    assert_eq!(last.rest().await, b"");
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stage.open.add_permits(2);
    let (head, body) = running.message().await;
    assert_eq!((field(&head, "connection").as_deref(), body.as_str()), (Some("close"), "late"));
    assert_eq!(running.rest().await, b"");
    let response = soon(running_2).await.unwrap().unwrap();
    assert_eq!(text(response).await, "late");
    assert_eq!(soon(stopped).await.unwrap(), Drained::Clean);
}

#[tokio::test]
async fn a_drain_cuts_off_what_does_not_finish_in_time() {
    let stage = Stage::new();
    let server = start(Limits::default(), 1, &stage);
    let counters = server.counters();
    let mut client = Wire::connect(server.local_address()).await;
    client.send("GET /gate HTTP/1.1\r\nhost: a\r\n\r\n").await;
    pass_through(&stage.arrived).await;
    assert_eq!(soon(server.stop(Duration::from_millis(50))).await, Drained::CutOff);
    assert_eq!(client.rest().await, b"");
    assert_eq!(counters.open(), 0);
}

#[tokio::test]
async fn a_request_that_came_before_the_drain_is_still_answered() {
    let stage = Stage::new();
    let server = start(Limits::default(), 1, &stage);
    let address = server.local_address();
    let mut kept_alive = Wire::connect(address).await;
    assert_eq!(get(&mut kept_alive, "/").await.1, "hello");
    let mut blocking = Wire::connect(address).await;
    blocking.send("GET /block HTTP/1.1\r\nhost: a\r\n\r\n").await;
    pass_through(&stage.arrived).await;

    let mut queued = Wire::connect(address).await;
    for client in [&mut kept_alive, &mut queued] {
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    }
    let mut stopped = Box::pin(server.stop(Duration::from_secs(20)));
    assert_eq!((&mut stopped).now_or_never(), None);
    let block = Arc::clone(&stage.block);
    tokio::task::spawn_blocking(move || block.wait()).await.unwrap();
    assert_eq!(blocking.message().await.1, "unblocked");
    for client in [&mut kept_alive, &mut queued] {
        assert_eq!(client.message().await.1, "hello");
    }
    assert_eq!(soon(stopped).await, Drained::Clean);
}

#[tokio::test]
async fn a_drain_does_not_wait_for_clients_that_keep_their_connections_open() {
    let server = start_one(Limits::default());
    let mut http_1 = Wire::connect(server.local_address()).await;
    assert_eq!(get(&mut http_1, "/").await.1, "hello");
    let http_2 = http_2();
    soon(http_2.request(to(&server, "/"))).await.unwrap();
    // Shorter than the time for which a closing connection may linger otherwise.
    assert_eq!(soon(server.stop(Duration::from_millis(900))).await, Drained::Clean);
}

#[tokio::test]
async fn an_http_2_connection_that_stands_unused_is_closed_and_no_request_is_lost() {
    let limits = Limits { keep_alive: Duration::from_millis(1), ..Limits::default() };
    let server = start_one(limits);
    let client = http_2();
    for closed in 1..=2 {
        let response = soon(client.request(to(&server, "/"))).await.unwrap();
        assert_eq!(text(response).await, "hello");
        let counters = server.counters();
        let gone = async {
            while counters.open() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        soon(gone).await;
        assert_eq!((counters.idle(), counters.accepted()), (closed, closed));
    }
}
