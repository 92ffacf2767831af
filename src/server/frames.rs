//! The frames of an HTTP/2 connection, watched as their bytes go by.
//!
//! h2 bounds what a client can make it hold, and ends connections that reset or continue too much.
//! It does not bound frames that hold nothing and only cost time: PING, SETTINGS, PRIORITY,
//! WINDOW_UPDATE, frames of unknown kinds. They are counted here against the work that could
//! explain them (RFC 9113 §10.5): requests, and bytes of answers.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::Connection;

/// What a client of HTTP/2 begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEAD_BYTES: usize = 9;

/// Kinds of frames (RFC 9113 §6).
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;

/// Reads the heads of frames (RFC 9113 §4.1) and skips the rest.
#[derive(Debug)]
enum Scanner {
    /// So many bytes of the preface have come.
    Preface(usize),
    /// Not HTTP/2: nothing is looked at.
    Off,
    Head {
        bytes: [u8; HEAD_BYTES],
        filled: usize,
    },
    Payload {
        kind: u8,
        left: usize,
    },
}

impl Scanner {
    const FRAMES: Self = Self::Head { bytes: [0; HEAD_BYTES], filled: 0 };

    const fn is_on(&self) -> bool {
        matches!(self, Self::Head { .. } | Self::Payload { .. })
    }

    /// Takes the next bytes; `meet` hears the kind of each frame of which some came.
    fn scan(&mut self, mut bytes: &[u8], mut meet: impl FnMut(u8, Part)) {
        while !bytes.is_empty() {
            match self {
                Self::Off => return,
                Self::Preface(met) => {
                    let expected = PREFACE.get(*met..).unwrap_or_default();
                    let common = expected.iter().zip(bytes).take_while(|(a, b)| a == b).count();
                    *met += common;
                    if *met == PREFACE.len() {
                        *self = Self::FRAMES;
                    } else if common < bytes.len() {
                        *self = Self::Off;
                    }
                    bytes = bytes.get(common..).unwrap_or_default();
                }
                Self::Head { bytes: head, filled } => {
                    let room = head.get_mut(*filled..).unwrap_or_default();
                    let taken = room.len().min(bytes.len());
                    for (to, from) in room.iter_mut().zip(bytes) {
                        *to = *from;
                    }
                    *filled += taken;
                    bytes = bytes.get(taken..).unwrap_or_default();
                    if *filled == HEAD_BYTES {
                        let [a, b, c, kind, ..] = *head;
                        let left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                        meet(kind, Part::Head);
                        *self = if left == 0 { Self::FRAMES } else { Self::Payload { kind, left } };
                    }
                }
                Self::Payload { kind, left } => {
                    let taken = bytes.len().min(*left);
                    meet(*kind, Part::Payload);
                    *left -= taken;
                    bytes = bytes.get(taken..).unwrap_or_default();
                    if *left == 0 {
                        *self = Self::FRAMES;
                    }
                }
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Head,
    Payload,
}

/// A connection's bytes in the clear, whose frames are counted.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    connection: Rc<Connection>,
    received: Scanner,
    sent: Scanner,
}

impl<S> Watched<S> {
    pub(super) const fn new(stream: S, connection: Rc<Connection>) -> Self {
        Self { stream, connection, received: Scanner::Preface(0), sent: Scanner::Off }
    }

    fn has_received(&mut self, bytes: &[u8]) -> io::Result<()> {
        let connection = &self.connection;
        self.received.scan(bytes, |kind, part| {
            if part == Part::Head {
                connection.received_frame(kind);
            }
        });
        if self.received.is_on() && !connection.is_multiplexed() {
            connection.speaks_http_2();
        }
        if connection.is_flooded() {
            return Err(io::Error::other("more frames than requests and answers explain"));
        }
        Ok(())
    }

    fn has_sent<'a>(&mut self, count: usize, slices: impl IntoIterator<Item = &'a [u8]>) {
        if !self.received.is_on() {
            self.connection.answer_moved();
            return;
        }
        if !self.sent.is_on() {
            self.sent = Scanner::FRAMES;
        }
        let mut is_answer = false;
        let mut left = count;
        for slice in slices {
            let bytes = slice.get(..left.min(slice.len())).unwrap_or_default();
            self.sent.scan(bytes, |kind, _| is_answer |= matches!(kind, DATA | HEADERS));
            left -= bytes.len();
        }
        if is_answer {
            self.connection.answer_moved();
        }
        self.connection.sent_bytes(count);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut this.stream).poll_read(cx, buffer);
        this.has_received(buffer.filled().get(before..).unwrap_or_default())?;
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = outcome {
            this.has_sent(count, [bytes]);
        }
        outcome
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        if let Poll::Ready(Ok(count)) = outcome {
            this.has_sent(count, slices.iter().map(|slice| &**slice));
        }
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(bytes: &[u8], step: usize) -> Vec<u8> {
        let mut scanner = Scanner::Preface(0);
        let mut heads = Vec::new();
        for bytes in bytes.chunks(step) {
            scanner.scan(bytes, |kind, part| {
                if part == Part::Head {
                    heads.push(kind);
                }
            });
        }
        heads
    }

    #[test]
    fn frames_are_found_however_their_bytes_arrive() {
        let mut bytes = PREFACE.to_vec();
        bytes.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&[0, 0, 3, 0, 0, 0, 0, 0, 1, 9, 9, 9]);
        bytes.extend_from_slice(&[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        for step in 1..=bytes.len() {
            assert_eq!(heads(&bytes, step), [4, 0, 6], "in steps of {step}");
        }
    }

    #[test]
    fn what_does_not_begin_with_the_preface_is_not_looked_at() {
        assert!(heads(b"PRI * HTTP/1.1\r\nhost: a\r\n\r\n\0\0\0\0\0\0\0\0\0", 3).is_empty());
    }
}
