//! Allocations for a hit, over the whole process: what a hit allocates, it has to free, and two cores
//! that free each other's memory wait for one another.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use csu_edge::config::{AccessLogTo, Config};
use serde_json::json;
use support::node::Running;
use support::origin::{Origin, json as answer};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const HITS: u64 = 500;

/// What a hit allocates whose request has to be read. Of 22, three are hyper's; some five make the key
/// and what would be asked of the origin, as many the answer's head, and five keep it to be given again.
const READ: u64 = 25;

/// A client that allocates nothing.
struct Client {
    stream: TcpStream,
    buffer: Box<[u8]>,
}

impl Client {
    fn ask(&mut self, request: &[u8]) {
        self.stream.write_all(request).unwrap();
        let (mut read, mut length) = (0, None);
        while length.is_none_or(|length| read < length) {
            let count = self.stream.read(self.buffer.get_mut(read..).unwrap()).unwrap();
            assert!(count > 0, "closed");
            read += count;
            length = length.or_else(|| whole_length(self.buffer.get(..read).unwrap()));
        }
    }
}

fn whole_length(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head_text = std::str::from_utf8(answer.get(..head)?).unwrap();
    let length = head_text.split("content-length: ").nth(1)?.lines().next()?;
    Some(head + 4 + length.parse::<usize>().unwrap())
}

fn request(fields: &str) -> Vec<u8> {
    format!(
        "GET /Commerce/Products(1)/GetAttributeValues(channelId=1,catalogId=0) HTTP/1.1\r\n\
         host: shop\r\naccept: application/json\r\n{fields}\r\n"
    )
    .into_bytes()
}

/// Allocations for [`HITS`] hits, each of the requests in turn on one connection.
fn allocations(client: &mut Client, requests: &[Vec<u8>]) -> u64 {
    for request in requests.iter().cycle().take(requests.len() * 3) {
        client.ask(request);
    }
    let before = dhat::HeapStats::get().total_blocks;
    let hits = usize::try_from(HITS).unwrap();
    for request in requests.iter().cycle().take(hits) {
        client.ask(request);
    }
    dhat::HeapStats::get().total_blocks - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_hit_allocates_next_to_nothing() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let (came_before, traced, read) = counted(|_| {}).await;
    // None of its own: what is counted is what the rest of the process does meanwhile.
    assert!(came_before < HITS, "{came_before}");
    assert!(traced < HITS, "{traced}");
    println!("{came_before} and {traced} for {HITS} hits; {read} for one that is read");
    assert!(read <= READ, "{read} allocations for a hit that is read");

    // With traces, a hit that is none of those whose spans are kept costs no more.
    let (came_before, traced, read) = counted(|config| {
        config.traces.endpoint = Some("http://127.0.0.1:1".parse().unwrap());
        config.traces.sample_percent = 0.0;
    })
    .await;
    assert!(came_before < HITS && traced < HITS, "{came_before} and {traced} with traces");
    println!("{came_before} and {traced} with traces; {read} for one that is read");
    assert!(read <= READ, "{read} allocations for a hit that is read, with traces");

    // And one that is not read leaves its record for the access log without any.
    let (came_before, traced, read) = counted(|config| {
        config.access_log.to = Some(AccessLogTo::File("/dev/null".into()));
    })
    .await;
    println!("{came_before} and {traced} with an access log; {read} for one that is read");
    assert!(came_before < HITS && traced < HITS, "{came_before} and {traced} with an access log");
}

/// Allocations for hits that came before, alike and but for their traces, and for each that is read.
async fn counted(change: impl FnOnce(&mut Config)) -> (u64, u64, u64) {
    let body = json!({"value": [{"Name": "a".repeat(4_500)}]}).to_string();
    let origin = Origin::start(move |_| answer(body.clone())).await;
    let node = Running::start(&origin.service_root(), |config| {
        config.listen.workers = 1;
        change(config);
    })
    .await;
    let address = node.node.addresses().storefront;
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let counted = tokio::task::spawn_blocking(move || {
        let mut client = Client { stream, buffer: vec![0; 64 << 10].into() };
        let came_before = allocations(&mut client, &[request("")]);
        let traced: Vec<_> = (0..50).map(|n| request(&format!("traceparent: {n}\r\n"))).collect();
        let traced = allocations(&mut client, &traced);
        // Each is new, and has to be read.
        let new: Vec<_> = (0..HITS * 4).map(|n| request(&format!("x-new: {n}\r\n"))).collect();
        let before = dhat::HeapStats::get().total_blocks;
        for request in &new {
            client.ask(request);
        }
        let read = (dhat::HeapStats::get().total_blocks - before) / (HITS * 4);
        (came_before, traced, read)
    });
    counted.await.unwrap()
}
