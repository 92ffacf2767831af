//! A load at a steady rate, and one request by itself.
//!
//! Each connection has a thread that blocks: the kernel wakes it with the answer, and no runtime of
//! the client's own stands between. A request that is due while its connection still waits for the
//! answer before counts from when it was due, so that a server which stands still is not spared the
//! requests that it kept from being sent.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A client that gets no answer for so long ends the measurement.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer.
pub(crate) struct Reply {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    pub(crate) fn field(&self, name: &str) -> &str {
        let is_it = |line: &&str| {
            line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
                && line[name.len()..].starts_with(':')
        };
        let line = self.head.lines().find(is_it);
        line.map_or("", |line| line[name.len() + 1..].trim())
    }

    pub(crate) fn cache_status(&self) -> &str {
        self.field("cache-status")
    }

    pub(crate) fn is_hit(&self) -> bool {
        self.cache_status().starts_with("csu-edge; hit")
    }
}

/// A kept-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub(crate) fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, read: Vec::with_capacity(16 << 10) }
    }

    pub(crate) fn exchange(&mut self, request: &[u8]) -> Reply {
        self.stream.write_all(request).unwrap();
        self.read.clear();
        let body_at = loop {
            if let Some(at) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            self.read_more();
        };
        let head = String::from_utf8(self.read[..body_at].to_vec()).unwrap();
        let reply = Reply { head, body: Vec::new() };
        let length: usize = reply.field("content-length").parse().expect("a whole answer");
        while self.read.len() < body_at + length {
            self.read_more();
        }
        Reply { body: self.read[body_at..].to_vec(), ..reply }
    }

    fn read_more(&mut self) {
        let mut chunk = [0; 16 << 10];
        let count = self.stream.read(&mut chunk).unwrap();
        assert!(count > 0, "the connection was closed");
        self.read.extend_from_slice(&chunk[..count]);
    }
}

/// One request of a load.
pub(crate) struct Shot<T> {
    pub(crate) index: usize,
    pub(crate) started: Instant,
    pub(crate) took: Duration,
    /// What was made of the answer.
    pub(crate) told: T,
}

/// A load.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// Requests a second in all.
    pub(crate) rate: u32,
    pub(crate) requests: usize,
    pub(crate) connections: usize,
}

impl Load {
    pub(crate) fn lasting(rate: u32, span: Duration) -> Self {
        let requests = (f64::from(rate) * span.as_secs_f64()) as usize;
        Self { rate, requests, connections: 16 }
    }

    /// Sends request 0, 1, 2 …, each when it is due, and keeps what `read` makes of the answers.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        to: SocketAddr,
        request: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static,
        read: impl Fn(usize, &Reply) -> T + Send + Sync + 'static,
    ) -> Vec<Shot<T>> {
        let (request, read) = (Arc::new(request), Arc::new(read));
        let all = tokio::task::spawn_blocking(move || {
            // The threads have connected by then.
            let start = Instant::now() + Duration::from_millis(50);
            let threads: Vec<_> = (0..self.connections)
                .map(|first| {
                    let (request, read) = (Arc::clone(&request), Arc::clone(&read));
                    std::thread::spawn(move || self.one(first, start, to, &*request, &*read))
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        let mut shots = all.await.unwrap();
        shots.sort_unstable_by_key(|shot| shot.index);
        shots
    }

    fn one<T>(
        self,
        first: usize,
        start: Instant,
        to: SocketAddr,
        request: &dyn Fn(usize) -> Vec<u8>,
        read: &dyn Fn(usize, &Reply) -> T,
    ) -> Vec<Shot<T>> {
        let mut connection = Connection::to(to);
        let mut shots = Vec::with_capacity(self.requests / self.connections + 1);
        for index in (first..self.requests).step_by(self.connections) {
            let sent = request(index);
            let due = start + Duration::from_secs_f64(index as f64 / f64::from(self.rate));
            let started = match due.checked_duration_since(Instant::now()) {
                Some(early) => {
                    std::thread::sleep(early);
                    Instant::now()
                }
                None => due,
            };
            let reply = connection.exchange(&sent);
            let took = started.elapsed();
            shots.push(Shot { index, started, took, told: read(index, &reply) });
        }
        shots
    }
}

/// A request of its own, on a connection of its own.
pub(crate) async fn ask(to: SocketAddr, request: Vec<u8>) -> Shot<Reply> {
    let asking = tokio::task::spawn_blocking(move || {
        let mut connection = Connection::to(to);
        let started = Instant::now();
        let reply = connection.exchange(&request);
        Shot { index: 0, started, took: started.elapsed(), told: reply }
    });
    asking.await.unwrap()
}

pub(crate) fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").into_bytes()
}

pub(crate) fn post(target: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {target} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len(),
    )
    .into_bytes()
}
