//! A request and its answer over loopback, in one process: the client, the node, and its origin.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "a benchmark")]

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use criterion::{Criterion, criterion_group, criterion_main};
use csu_edge::clock::Clock;
use csu_edge::config::Config;
use csu_edge::node::Node;
use csu_edge::sandbox::{Sandbox, Settings};
use serde_json::json;
use tokio::net::TcpListener;

const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
const FIRST_PRODUCT: u64 = 68_719_489_871;

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: vec![0; 256 << 10] }
    }

    /// Asks, and returns the answer with its head.
    fn ask(&mut self, request: &[u8]) -> &[u8] {
        self.stream.write_all(request).unwrap();
        let (mut read, mut whole) = (0, None);
        while whole.is_none_or(|whole| read < whole) {
            read += self.stream.read(&mut self.buffer[read..]).unwrap();
            whole = whole.or_else(|| whole_bytes(&self.buffer[..read]));
        }
        &self.buffer[..read]
    }
}

fn whole_bytes(answer: &[u8]) -> Option<usize> {
    let head = memchr::memmem::find(answer, b"\r\n\r\n")?;
    let text = std::str::from_utf8(&answer[..head]).unwrap();
    let length =
        text.split("content-length: ").nth(1).map_or("0", |rest| rest.lines().next().unwrap());
    Some(head + 4 + length.parse::<usize>().unwrap())
}

fn prices(products: impl Iterator<Item = u64>, fields: &str) -> Vec<u8> {
    let body = json!({
        "projectDomain": {"ChannelId": 5_637_154_326_u64, "CatalogId": 0},
        "productIds": products.collect::<Vec<_>>(),
    });
    let body = body.to_string();
    format!(
        "POST /Commerce/Products/GetActivePrices?api-version=7.3 HTTP/1.1\r\nhost: shop\r\noun: 128\r\n\
         content-type: application/json\r\n{fields}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn end_to_end(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (node, _sandbox) = runtime.block_on(async {
        let listener = TcpListener::bind(LOOPBACK).await.unwrap();
        let origin = listener.local_addr().unwrap();
        let sandbox = Sandbox::start_on(listener, Settings::default(), Clock::system()).unwrap();
        let mut config = Config::for_origin(format!("http://{origin}/Commerce").parse().unwrap());
        config.listen.storefront = LOOPBACK;
        config.listen.ingest = LOOPBACK;
        config.listen.control = LOOPBACK;
        config.listen.workers = 1;
        (Node::start(config, Clock::system()).await.unwrap(), sandbox)
    });
    let mut client = Client::to(node.addresses().storefront);
    let mut group = criterion.benchmark_group("end_to_end");
    let one = prices([FIRST_PRODUCT].into_iter(), "");
    let page = prices(FIRST_PRODUCT..FIRST_PRODUCT + 24, "");
    for request in [&one, &page] {
        for _ in 0..3 {
            assert!(client.ask(request).starts_with(b"HTTP/1.1 200"));
        }
    }
    group.bench_function("price_that_came_before", |bencher| {
        bencher.iter(|| black_box(client.ask(&one).len()));
    });
    group.bench_function("24_prices_that_came_before", |bencher| {
        bencher.iter(|| black_box(client.ask(&page).len()));
    });
    let mut number = 0_u64;
    let mut new = |products: std::ops::Range<u64>| {
        number += 1;
        prices(products, &format!("x-new: {number}\r\n"))
    };
    group.bench_function("price_that_is_read", |bencher| {
        bencher.iter(|| {
            let request = new(FIRST_PRODUCT..FIRST_PRODUCT + 1);
            black_box(client.ask(&request).len())
        });
    });
    group.bench_function("24_prices_that_are_read", |bencher| {
        bencher.iter(|| {
            let request = new(FIRST_PRODUCT..FIRST_PRODUCT + 24);
            black_box(client.ask(&request).len())
        });
    });
    group.finish();
}

criterion_group!(benches, end_to_end);
criterion_main!(benches);
