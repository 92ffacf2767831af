//! The access log: one line for each request, whatever becomes of it, and never at a request's cost.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test panics"
)]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use csu_edge::clock::Clock;
use csu_edge::config::{AccessLogTo, Config, LoggedTarget};
use serde_json::Value;
use support::node::{Running, post, request, with};
use support::origin::{Origin, json as answer, prices_of, products_in};
use support::process;
use support::wire::{Wire, field, soon};
use tempfile::TempDir;

const PRODUCT: u64 = 68_719_489_871;

/// A log in a folder of its own.
struct Log {
    folder: TempDir,
}

impl Log {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("access.log")
    }

    /// One worker, so that all connections are with the one that knows; and the log.
    fn kept(&self) -> impl FnOnce(&mut Config) + use<> {
        let path = self.path();
        |config| {
            config.listen.workers = 1;
            config.access_log.to = Some(AccessLogTo::File(path));
        }
    }

    /// Its lines, once there are so many.
    async fn lines(&self, count: usize) -> Vec<Value> {
        lines_of(&self.path(), count).await
    }
}

async fn lines_of(path: &Path, count: usize) -> Vec<Value> {
    let reading = async {
        loop {
            let text = fs::read_to_string(path).unwrap_or_default();
            if text.ends_with('\n') && text.lines().count() >= count {
                return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let lines: Vec<Value> = soon(reading).await;
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

async fn shop() -> Origin {
    Origin::start(|seen| match seen.method.as_str() {
        "GET" => answer(r#"{"value":[]}"#),
        _ if seen.target.contains("GetActivePrices") => answer(prices_of(
            products_in(&seen.body).iter().map(|&product| (product, format!("i{product}"), 79.9)),
        )),
        _ => answer(r#"{"id":"cart"}"#),
    })
    .await
}

fn attributes(more: &str) -> String {
    format!(
        "GET /Commerce/Products({PRODUCT})/GetAttributeValues(channelId=1,catalogId=0) HTTP/1.1\r\n\
         host: shop\r\n{more}\r\n"
    )
}

async fn ask(wire: &mut Wire, request: &str) -> String {
    wire.send(request).await;
    let head = wire.head().await;
    wire.raw(field(&head, "content-length").unwrap().parse().unwrap()).await;
    head
}

async fn dropped(node: &Running, reason: &str) -> f64 {
    node.metric(&format!("csu_edge_access_log_dropped_total{{reason=\"{reason}\"}}")).await
}

#[tokio::test]
async fn a_line_tells_how_a_request_was_answered_and_no_secret_of_it() {
    let (origin, log) = (shop().await, Log::new());
    let node = Running::start(&origin.service_root(), log.kept()).await;
    let prices = || support::node::price_request(&[PRODUCT]);
    let missed = node.send(prices()).await;
    node.send(prices()).await;
    let cart = "/Commerce/Carts('c1')?email=jo@shop.example&api-version=7.3";
    let cart = with(post(cart, "{\"secret\":\"in the body\"}"), "authorization", "Bearer s3cret");
    node.send(with(with(cart, "cookie", "session=s3cret"), "traceparent", TRACEPARENT)).await;
    node.send(request("HEAD", "/Commerce/unknown", &[])).await;

    let lines = log.lines(4).await;
    let of = |line: usize, name: &str| lines[line][name].clone();
    for (line, operation, result, path) in [
        (0, "Products/GetActivePrices", "miss", "/Commerce/Products/GetActivePrices"),
        (1, "Products/GetActivePrices", "hit", "/Commerce/Products/GetActivePrices"),
        (2, "other", "pass", "/Commerce/Carts('c1')"),
        (3, "other", "pass", "/Commerce/unknown"),
    ] {
        assert_eq!(of(line, "operation"), operation);
        assert_eq!(of(line, "result"), result);
        assert_eq!(of(line, "path"), path);
        assert_eq!(of(line, "status"), 200);
        assert_eq!(of(line, "client"), "127.0.0.1");
        assert_eq!(of(line, "time"), "2026-04-27T10:00:00.000Z");
        assert!(of(line, "duration_us").is_u64());
    }
    assert_eq!(of(0, "method"), "POST");
    assert_eq!(of(0, "bytes"), missed.body.len());
    assert_eq!(of(0, "cache_status"), missed.cache_status());
    assert_eq!(of(1, "cache_status"), "csu-edge; hit; ttl=300");
    assert_eq!(of(2, "cache_status"), "csu-edge; fwd=bypass; detail=not-in-catalogue");
    assert_eq!(of(2, "bytes"), "{\"id\":\"cart\"}".len());
    assert_eq!((of(2, "trace_id"), of(1, "trace_id")), (TRACE_ID.into(), Value::Null));
    assert!(of(2, "streamed_us").is_u64(), "{lines:#?}");
    assert_eq!((of(2, "broke_off"), of(3, "bytes")), (Value::Null, 0.into()));
    let text = fs::read_to_string(log.path()).unwrap();
    for secret in ["s3cret", "jo@shop", "in the body", "session", "Bearer", "query"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
}

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

#[tokio::test]
async fn hits_that_are_not_read_are_in_it_each_with_its_own_client_and_trace() {
    let (origin, log) = (shop().await, Log::new());
    let node = Running::start(&origin.service_root(), |config| {
        log.kept()(config);
        config.forwarded.trusted = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let mut wire = Wire::connect(node.node.addresses().storefront).await;
    for n in 0..10 {
        let fields = format!(
            "X-Forwarded-For: 192.0.2.{n}, 127.0.0.9\r\n\
             traceparent: 00-{:032x}-00f067aa0ba902b7-01\r\n",
            n + 1
        );
        ask(&mut wire, &attributes(&fields)).await;
    }
    assert!(node.metric("csu_edge_repeated_hits_total").await >= 7.0);
    let lines = log.lines(10).await;
    for (n, line) in lines.iter().enumerate() {
        assert_eq!(line["client"], format!("192.0.2.{n}"), "{line}");
        assert_eq!(line["trace_id"], format!("{:032x}", n + 1), "{line}");
        assert_eq!(line["operation"], "Products/GetAttributeValues");
        assert_eq!(line["result"], if n == 0 { "miss" } else { "hit" });
        assert_eq!(line["bytes"], r#"{"value":[]}"#.len());
        let path = line["path"].as_str().unwrap();
        assert!(path.ends_with("/GetAttributeValues(channelId=1,catalogId=0)"), "{path}");
        assert!(n == 0 || line["cache_status"] == "csu-edge; hit; ttl=900", "{line}");
    }
}

#[tokio::test]
async fn the_operator_chooses_what_of_a_target_is_told() {
    for (target, path, query) in [
        (LoggedTarget::None, Value::Null, Value::Null),
        (LoggedTarget::Path, "/Commerce/x".into(), Value::Null),
        (LoggedTarget::PathAndQuery, "/Commerce/x".into(), "a=%22b%22".into()),
    ] {
        let (origin, log) = (shop().await, Log::new());
        let node = Running::start(&origin.service_root(), |config| {
            log.kept()(config);
            config.access_log.target = target;
        })
        .await;
        node.get("/Commerce/x?a=%22b%22").await;
        let line = log.lines(1).await.remove(0);
        assert_eq!((&line["path"], &line["query"]), (&path, &query), "{target:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_moved_away_is_begun_anew() {
    let (origin, log) = (shop().await, Log::new());
    let node = Running::start(&origin.service_root(), log.kept()).await;
    node.get("/Commerce/before").await;
    log.lines(1).await;
    let old = log.folder.path().join("access.log.1");
    fs::rename(log.path(), &old).unwrap();
    node.get("/Commerce/after").await;
    assert_eq!(log.lines(1).await[0]["path"], "/Commerce/after");
    assert_eq!(lines_of(&old, 1).await[0]["path"], "/Commerce/before");
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_is_in_it() {
    let (origin, log) = (shop().await, Log::new());
    let node = Running::start(&origin.service_root(), log.kept()).await;
    origin.hold();
    let mut wire = Wire::connect(node.node.addresses().storefront).await;
    wire.send("GET /Commerce/slow HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    origin.arrived(1).await;
    drop(wire);
    let line = log.lines(1).await.remove(0);
    assert_eq!((&line["status"], &line["result"]), (&Value::Null, &"abandoned".into()));
    assert_eq!(line["path"], "/Commerce/slow");
}

#[tokio::test]
async fn a_disk_that_is_full_costs_lines_and_no_request() {
    let origin = shop().await;
    let node = Running::start(&origin.service_root(), |config| {
        config.access_log.to = Some(AccessLogTo::File("/dev/full".into()));
    })
    .await;
    for _ in 0..5 {
        assert_eq!(node.get("/Commerce/x").await.status, 200);
    }
    let counted = async {
        while dropped(&node, "write-failed").await < 5.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(counted).await;
    assert_eq!(dropped(&node, "write-failed").await, 5.0);
}

fn pipe(log: &Log) {
    assert!(Command::new("mkfifo").arg(log.path()).status().unwrap().success());
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_delays_neither_requests_nor_the_end() {
    let (origin, log) = (shop().await, Log::new());
    pipe(&log);
    let node = Running::start_by(Clock::system(), &origin.service_root(), |config| {
        log.kept()(config);
        config.access_log.queue = 16;
        config.access_log.flush_for = Duration::from_millis(50);
    })
    .await;
    let mut wire = Wire::connect(node.node.addresses().storefront).await;
    let mut asked = 0.0;
    while dropped(&node, "queue-full").await == 0.0 {
        for _ in 0..10 {
            ask(&mut wire, &attributes("")).await;
        }
        asked += 10.0;
        assert!(asked < 1_000.0, "none was left out");
    }
    // What is neither waiting nor in the writer's hands was counted.
    let left_out = dropped(&node, "queue-full").await;
    assert!(left_out <= asked - 16.0, "{left_out} of {asked}");
    soon(node.node.drain()).await;
}

#[tokio::test]
async fn a_pipe_that_is_read_late_gets_what_waited_before_the_end() {
    let (origin, log) = (shop().await, Log::new());
    pipe(&log);
    let node = Running::start(&origin.service_root(), |config| {
        log.kept()(config);
        config.access_log.flush_for = Duration::from_secs(20);
    })
    .await;
    for n in 0..3 {
        node.get(&format!("/Commerce/x{n}")).await;
    }
    let mut draining = std::pin::pin!(node.node.drain());
    let early = tokio::time::timeout(Duration::from_millis(200), &mut draining).await;
    assert!(early.is_err(), "it ended before its lines were written");
    let path = log.path();
    let reading = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        fs::File::open(path).unwrap().read_to_string(&mut text).unwrap();
        text
    });
    soon(draining).await;
    let text = soon(reading).await.unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.lines().last().unwrap().contains("/Commerce/x2"), "{text}");
}

/// The answer's status.
fn get(node: &TcpStream, path: &str) -> String {
    let mut node = node;
    write!(node, "GET {path} HTTP/1.1\r\nhost: shop\r\n\r\n").unwrap();
    let mut start = [0; 12];
    node.read_exact(&mut start).unwrap();
    String::from_utf8(start.to_vec()).unwrap()
}

#[test]
fn what_waits_at_a_signal_is_on_stdout_before_the_process_ends() {
    let node = process::Running::start(&[("CSU_EDGE__ACCESS_LOG__TO", "stdout")]);
    let addresses = node.addresses();
    let storefront = process::Running::address(&addresses, "storefront");
    // No more than fail until the origin is not asked any more.
    let clients: Vec<_> = (0..8).map(|_| TcpStream::connect(storefront).unwrap()).collect();
    for (n, client) in clients.iter().enumerate() {
        assert_eq!(get(client, &format!("/Commerce/x{n}")), "HTTP/1.1 502");
    }
    node.signal("TERM");
    assert_eq!(node.ended().code(), Some(0));
    for n in 0..8 {
        let line: Value = serde_json::from_str(&node.printed()).unwrap();
        assert_eq!(line["path"], format!("/Commerce/x{n}"));
        assert_eq!((&line["status"], &line["result"]), (&502.into(), &"error".into()));
        let told = "csu-edge; fwd=bypass; detail=origin-unreachable";
        assert_eq!(line["cache_status"], told);
    }
}

#[test]
fn a_signal_to_open_it_anew_does_not_end_the_process() {
    let log = Log::new();
    let path = log.path();
    let node = process::Running::start(&[("CSU_EDGE__ACCESS_LOG__TO", path.to_str().unwrap())]);
    let addresses = node.addresses();
    let client = TcpStream::connect(process::Running::address(&addresses, "storefront")).unwrap();
    fs::remove_file(&path).unwrap();
    node.signal("USR1");
    assert_eq!(get(&client, "/Commerce/x"), "HTTP/1.1 502");
    node.signal("TERM");
    assert_eq!(node.ended().code(), Some(0));
    assert_eq!(fs::read_to_string(path).unwrap().lines().count(), 1);
}

#[test]
fn a_log_that_cannot_be_opened_is_told_at_the_start() {
    for (to, told) in [
        ("/nowhere/access.log", "access_log.to: No such file or directory"),
        ("access.log", "access_log.to: must be \"stdout\" or a path with a slash in it"),
    ] {
        let node = process::Running::start(&[("CSU_EDGE__ACCESS_LOG__TO", to)]);
        assert_eq!(node.ended().code(), Some(64));
        let log = node.log();
        assert!(log.contains(told), "{log}");
    }
}
