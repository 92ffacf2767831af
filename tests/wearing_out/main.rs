//! What clients and a broken origin can make a node keep in memory is bounded, and what everybody
//! asks for stays in it: measured on `csu-edge serve` as a process.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

#[path = "../support/process.rs"]
mod process;
#[path = "../support/wire.rs"]
mod wire;

mod bombs;
mod flood;
mod keys;
mod unique;
mod variants;

use std::net::SocketAddr;

use process::Running;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;
use wire::{Wire, soon};

/// An origin that answers every request alike, and a node before it.
struct Scene {
    node: Running,
    storefront: SocketAddr,
    control: SocketAddr,
    _origin: AbortOnDropHandle<()>,
}

impl Scene {
    /// A node with these settings beside the origin's place, before one that answers with these
    /// fields and this body.
    async fn new(settings: &[(&str, &str)], fields: &str, body: &[u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service_root = format!("http://{}/Commerce", listener.local_addr().unwrap());
        let head = format!("HTTP/1.1 200 OK\r\n{fields}content-length: {}\r\n\r\n", body.len());
        let answer: Vec<u8> = [head.as_bytes(), body].concat();
        let origin = AbortOnDropHandle::new(tokio::spawn(answer_all(listener, answer.into())));
        let mut settings = settings.to_vec();
        settings.push(("CSU_EDGE__ORIGIN__SERVICE_ROOT", &service_root));
        let node = Running::start(&settings);
        let told = node.addresses();
        let storefront = Running::address(&told, "storefront");
        let control = Running::address(&told, "control");
        Self { node, storefront, control, _origin: origin }
    }

    /// The value of a series, as `name{labels}` stands in the exposition; 0 where it does not.
    async fn metric(&self, series: &str) -> u64 {
        let mut client = Wire::connect(self.control).await;
        let ask = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        client.send(ask).await;
        let text = String::from_utf8(client.rest().await).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0, |value| value.trim().parse().unwrap())
    }
}

async fn answer_all(listener: TcpListener, answer: std::sync::Arc<[u8]>) {
    let mut open = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        let answer = std::sync::Arc::clone(&answer);
        open.spawn(async move {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).await.is_ok_and(|count| count > 0) {
                if line == b"\r\n" && stream.write_all(&answer).await.is_err() {
                    return;
                }
                line.clear();
            }
        });
    }
}

/// A connection on which many requests go at once.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let stream = soon(TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends GETs of these, each a target with lines of fields, and tells which of them were hits.
    async fn get_all(&mut self, requests: &[(String, String)]) -> Vec<bool> {
        let texts = requests
            .iter()
            .map(|(target, lines)| format!("GET {target} HTTP/1.1\r\nhost: a\r\n{lines}\r\n"));
        soon(self.0.write_all(texts.collect::<String>().as_bytes())).await.unwrap();
        let mut hits = Vec::with_capacity(requests.len());
        for _ in requests {
            hits.push(soon(self.is_hit()).await);
        }
        hits
    }

    async fn is_hit(&mut self) -> bool {
        let (mut is_hit, mut length, mut line) = (false, 0, String::new());
        while line != "\r\n" {
            line.clear();
            assert!(self.0.read_line(&mut line).await.unwrap() > 0, "closed");
            is_hit |= line.starts_with("cache-status: csu-edge; hit");
            if let Some(told) = line.strip_prefix("content-length: ") {
                length = told.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        tokio::io::AsyncReadExt::read_exact(&mut self.0, &mut body).await.unwrap();
        is_hit
    }
}
