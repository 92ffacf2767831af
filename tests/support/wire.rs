//! One end of a connection, byte for byte: a client that may misbehave, or an origin that does.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Far past anything that should happen, so that a fault fails a test instead of hanging it.
const DEADLINE: Duration = Duration::from_secs(20);

/// Waits for what must happen.
pub async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(DEADLINE, what).await.expect("it never happened")
}

/// One end of a connection.
pub struct Wire(TcpStream);

impl Wire {
    pub async fn connect(address: SocketAddr) -> Self {
        Self(soon(TcpStream::connect(address)).await.unwrap())
    }

    pub const fn over(stream: TcpStream) -> Self {
        Self(stream)
    }

    pub async fn accept(listener: &TcpListener) -> Self {
        Self(soon(listener.accept()).await.unwrap().0)
    }

    pub async fn send(&mut self, text: &str) {
        soon(self.0.write_all(text.as_bytes())).await.unwrap();
    }

    pub async fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        soon(self.0.write_all(bytes)).await
    }

    /// Sends so many bytes of no meaning, as fast as they are taken.
    pub async fn send_filler(&mut self, count: usize) {
        let block = vec![b'x'; 64 << 10];
        let mut left = count;
        while left > 0 {
            let length = left.min(block.len());
            self.try_send(&block[..length]).await.unwrap();
            left -= length;
        }
    }

    /// How many of `most` bytes are taken before the other side stops taking for a while.
    pub async fn send_until_blocked(&mut self, most: usize) -> usize {
        let block = vec![b'x'; 64 << 10];
        let mut sent = 0;
        while sent < most {
            let next = self.0.write(&block);
            match tokio::time::timeout(Duration::from_secs(1), next).await {
                Ok(count) => sent += count.unwrap(),
                Err(_) => break,
            }
        }
        sent
    }

    /// The head of a message, with its empty line.
    pub async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(self.0.read_u8()).await.expect("closed in the middle of a head"));
        }
        String::from_utf8(head).unwrap()
    }

    pub async fn bytes(&mut self, count: usize) -> String {
        String::from_utf8(self.raw(count).await).unwrap()
    }

    /// So many bytes, whatever they are.
    pub async fn raw(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        soon(self.0.read_exact(&mut bytes)).await.unwrap();
        bytes
    }

    /// A whole message whose length is given by `Content-Length`.
    pub async fn message(&mut self) -> (String, String) {
        let head = self.head().await;
        let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let body = self.bytes(length).await;
        (head, body)
    }

    /// All bytes until the other side closes, orderly or not.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = soon(self.0.read_to_end(&mut bytes)).await;
        bytes
    }

    /// Whether an answer comes, rather than the end.
    pub async fn is_answered(&mut self) -> bool {
        let mut byte = [0];
        matches!(soon(self.0.peek(&mut byte)).await, Ok(1))
    }

    /// Reads and forgets up to `most` bytes; returns how many there were.
    pub async fn count(&mut self, most: usize) -> usize {
        let mut scrap = vec![0; 64 << 10];
        let mut count = 0;
        while count < most {
            match soon(self.0.read(&mut scrap)).await.unwrap() {
                0 => break,
                read => count += read,
            }
        }
        count
    }

    /// The error that reading ends in.
    pub async fn read_error(&mut self) -> io::Error {
        soon(self.0.read_u8()).await.expect_err("something was read")
    }

    /// Asserts that nothing comes for a moment.
    pub async fn stays_silent(&mut self) {
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_millis(200), self.0.peek(&mut byte)).await;
        assert!(read.is_err(), "something came: {read:?}");
    }
}

/// The value of a field in a head; fields of the same name are joined.
pub fn field(head: &str, name: &str) -> Option<String> {
    let values: Vec<&str> = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect();
    (!values.is_empty()).then(|| values.join(", "))
}
