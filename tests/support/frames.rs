//! A client of HTTP/2 that writes its frames by hand, right or wrong.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wire::soon;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const PROTOCOL_ERROR: u32 = 1;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// One frame (RFC 9113 §4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A block of fields, each a literal that is not indexed (RFC 7541 §6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        literal(&mut block, name.as_bytes());
        literal(&mut block, value.as_bytes());
    }
    block
}

/// A string as it is (RFC 7541 §5.2).
pub fn literal(block: &mut Vec<u8>, text: &[u8]) {
    if text.len() < 127 {
        block.push(u8::try_from(text.len()).unwrap());
    } else {
        block.push(127);
        let mut left = text.len() - 127;
        while left >= 128 {
            block.push(u8::try_from(left % 128).unwrap() | 128);
            left /= 128;
        }
        block.push(u8::try_from(left).unwrap());
    }
    block.extend_from_slice(text);
}

/// The pseudo-fields of a GET.
pub const fn get(path: &str) -> [(&str, &str); 4] {
    [(":method", "GET"), (":scheme", "http"), (":authority", "shop.example"), (":path", path)]
}

pub const fn post(path: &str) -> [(&str, &str); 4] {
    [(":method", "POST"), (":scheme", "http"), (":authority", "shop.example"), (":path", path)]
}

/// How a stream, or all of them, came to an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// An answer with this status.
    Answer(u16),
    /// The stream was reset with this code.
    Reset(u32),
    /// The connection is to end, with this code.
    GoAway(u32),
    /// The connection was closed.
    Closed,
}

pub struct Http2(TcpStream);

impl Http2 {
    /// A connection with its preface and settings sent.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::with_settings(address, &[]).await
    }

    /// The same; each setting is its identifier and value (RFC 9113 §6.5.2).
    pub async fn with_settings(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut client = Self(soon(TcpStream::connect(address)).await.unwrap());
        client.0.set_nodelay(true).unwrap();
        let mut payload = Vec::new();
        for (identifier, value) in settings {
            payload.extend_from_slice(&identifier.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        client.send(&[PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat()).await;
        client
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        soon(self.0.write_all(bytes)).await.unwrap();
    }

    pub async fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        soon(self.0.write_all(bytes)).await
    }

    /// A request without a body.
    pub async fn ask(&mut self, stream: u32, fields: &[(&str, &str)]) {
        self.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(fields))).await;
    }

    /// A request whose body is these frames' payloads.
    pub async fn ask_with(&mut self, stream: u32, fields: &[(&str, &str)], body: &[&str]) {
        let mut bytes = frame(HEADERS, END_HEADERS, stream, &block(fields));
        for (at, payload) in body.iter().enumerate() {
            let flags = if at + 1 == body.len() { END_STREAM } else { 0 };
            bytes.extend(frame(DATA, flags, stream, payload.as_bytes()));
        }
        self.send(&bytes).await;
    }

    /// The next frame: its kind, flags, stream and payload. `None` where the connection ends.
    pub async fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        soon(self.0.read_exact(&mut head)).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        soon(self.0.read_exact(&mut payload)).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some((head[3], head[4], stream, payload))
    }

    /// What becomes of this stream: how it is answered, reset, or lost with its connection.
    pub async fn outcome(&mut self, of: u32) -> Outcome {
        while let Some((kind, _, stream, payload)) = self.next().await {
            let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
            match kind {
                HEADERS if stream == of => return Outcome::Answer(status(&payload)),
                RST_STREAM if stream == of => return Outcome::Reset(code(0)),
                GOAWAY => return Outcome::GoAway(code(4)),
                _ => {}
            }
        }
        Outcome::Closed
    }

    /// Both halves, for who sends and reads at once.
    pub fn into_split(self) -> (tokio::net::tcp::OwnedReadHalf, tokio::net::tcp::OwnedWriteHalf) {
        self.0.into_split()
    }
}

/// The status in the first block of fields of a connection: it comes first, indexed or as a
/// literal with Huffman's code (RFC 7541 §5.2 and appendices A and B).
fn status(block: &[u8]) -> u16 {
    const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    // A change of the table's size may come before.
    let block = if block[0] & 0xe0 == 0x20 { &block[1..] } else { block };
    if block[0] & 0x80 != 0 {
        return INDEXED[usize::from(block[0] & 0x7f) - 8];
    }
    let (length, text) = (block[1], &block[2..]);
    if length & 0x80 == 0 {
        return std::str::from_utf8(&text[..3]).unwrap().parse().unwrap();
    }
    let bits = text[..usize::from(length & 0x7f)]
        .iter()
        .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    let mut left = u32::from(length & 0x7f) * 8;
    let mut number = 0;
    for _ in 0..3 {
        let take = |left: u32, count: u32| (bits >> (left - count)) & ((1 << count) - 1);
        // The digits 0 to 2 have five bits, the others six.
        let (digit, count) = match take(left, 5) {
            digit @ 0..=2 => (digit, 5),
            _ => (take(left, 6) - 22, 6),
        };
        left -= count;
        number = number * 10 + u16::try_from(digit).unwrap();
    }
    number
}
