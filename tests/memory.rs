//! What passing, and refusing to store, cost in memory: measured on `csu-edge serve` as a process.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test cannot do without fails it"
)]

#[path = "support/process.rs"]
mod process;
#[path = "support/wire.rs"]
mod wire;

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use process::Running;
use tokio::net::TcpListener;
use wire::Wire;

const PAYLOAD_BYTES: usize = 200 << 20;
const MOST_KIB: u64 = 64 << 10;

fn node_before(origin: &TcpListener) -> Running {
    let service_root = format!("http://{}/Commerce", origin.local_addr().unwrap());
    Running::start(&[("CSU_EDGE__ORIGIN__SERVICE_ROOT", &service_root)])
}

fn assert_small(node: &Running) {
    let peak_kib = node.peak_kib();
    println!("peak: {peak_kib} KiB");
    assert!(peak_kib < MOST_KIB, "{peak_kib} KiB");
}

#[tokio::test]
async fn two_hundred_megabytes_each_way_pass_in_less_than_64_mib() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = node_before(&listener);
    let mut client = Wire::connect(Running::address(&node.addresses(), "storefront")).await;
    let head = format!("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: {PAYLOAD_BYTES}\r\n\r\n");
    client.send(&head).await;
    let mut origin = Wire::accept(&listener).await;
    origin.head().await;

    let (_, received) =
        tokio::join!(client.send_filler(PAYLOAD_BYTES), origin.count(PAYLOAD_BYTES));
    assert_eq!(received, PAYLOAD_BYTES);

    origin.send(&format!("HTTP/1.1 200 OK\r\ncontent-length: {PAYLOAD_BYTES}\r\n\r\n")).await;
    client.head().await;
    let (_, received) =
        tokio::join!(origin.send_filler(PAYLOAD_BYTES), client.count(PAYLOAD_BYTES));
    assert_eq!(received, PAYLOAD_BYTES);
    assert_small(&node);
}

#[tokio::test]
async fn a_small_gzip_answer_that_is_huge_inside_streams_in_less_than_64_mib() {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::new(6));
    let block = vec![b' '; 1 << 20];
    for _ in 0..PAYLOAD_BYTES >> 20 {
        bomb.write_all(&block).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = node_before(&listener);
    let mut client = Wire::connect(Running::address(&node.addresses(), "storefront")).await;
    client
        .send("GET /Commerce/GetTenderTypes() HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await;
    let mut origin = Wire::accept(&listener).await;
    origin.head().await;
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n\
         content-length: {}\r\n\r\n",
        bomb.len()
    );
    origin.send(&head).await;
    origin.try_send(&bomb).await.unwrap();

    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(wire::field(&head, "content-encoding"), None);
    assert_eq!(
        wire::field(&head, "cache-status").as_deref(),
        Some("csu-edge; fwd=uri-miss; detail=too-large")
    );
    // Chunked: the plain bytes and their framing.
    let received = client.count(usize::MAX).await;
    assert!(received > PAYLOAD_BYTES, "{received}");
    assert_small(&node);
}

#[tokio::test]
async fn the_metrics_tell_what_is_resident() {
    let node = Running::start(&[]);
    let mut scraper = Wire::connect(Running::address(&node.addresses(), "control")).await;
    scraper.send("GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let (_, metrics) = scraper.message().await;
    let told = metrics.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    let told_kib = told.expect("no series").parse::<u64>().unwrap() >> 10;
    let found_kib = node.resident_kib();
    // Between the two looks some pages come or go.
    assert!(told_kib.abs_diff(found_kib) < found_kib / 4, "{told_kib} KiB, {found_kib} KiB");
}
