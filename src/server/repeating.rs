//! A connection on which requests are answered before they are read, where their bytes came before.
//!
//! It stands between hyper and the socket. As long as hyper waits for a request, what arrives is
//! compared with what the worker [`Repeats`] knows: if it is one such request, the answer is written
//! and hyper never hears of it. Everything else goes up to hyper unchanged.
//!
//! Whether hyper waits for a request is not asked of hyper, it is counted: each request that goes up
//! is measured (RFC 9112 §6) with the parser that hyper itself uses, and only when exactly so many
//! bytes went up, its answer has ended and all of that was flushed, do the next bytes begin a
//! request. A connection that cannot be measured with certainty (chunked requests, pipelining,
//! upgrades, HTTP/1.0, HTTP/2), or is to be closed, is hyper's alone from then on.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::Response;
use http_body::Body as _;
use httparse::Status;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Peer;
use super::connection::{Connection, Order};
use super::raw::RawRequest;
use super::repeats::{Known, MAX_REQUEST_BYTES, Repeat, Repeats};
use crate::body::Body;

/// Heads past this length, or with more fields, are not measured.
const MAX_HEAD_BYTES: usize = 8 << 10;
const MAX_FIELDS: usize = 100;

/// What is known of where on a connection a request begins.
enum Place {
    /// The next byte begins a request.
    Between,
    /// A request is under way.
    Within(Under),
    /// Not known any more.
    Lost,
}

/// A request under way.
#[derive(Default)]
struct Under {
    /// As it came, while it is short enough to be kept or to be measured.
    bytes: Vec<u8>,
    received: usize,
    /// Its length, once its head is whole.
    length: Option<usize>,
    is_answered: bool,
    /// Where the answer can be given again.
    known: Option<Known>,
}

impl Under {
    /// Takes more of it. Whether it can still be measured.
    fn receive(&mut self, bytes: &[u8]) -> bool {
        self.received += bytes.len();
        if self.length.is_none() || self.received <= MAX_REQUEST_BYTES {
            self.bytes.extend_from_slice(bytes);
        }
        if self.length.is_none() {
            self.length = match measure(&self.bytes) {
                Ok(length) => length,
                Err(Unmeasurable) => return false,
            };
        }
        match self.length {
            Some(length) => self.received <= length,
            None => self.bytes.len() <= MAX_HEAD_BYTES,
        }
    }

    fn is_whole(&self) -> bool {
        self.length == Some(self.received)
    }

    fn is_kept_whole(&self) -> bool {
        self.is_whole() && self.received <= MAX_REQUEST_BYTES
    }
}

/// The length of a request cannot be told with certainty.
struct Unmeasurable;

/// The length of the request that these bytes begin with; `None` while its head is not whole.
fn measure(bytes: &[u8]) -> Result<Option<usize>, Unmeasurable> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let head = match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(Status::Complete(head)) => head,
        Ok(Status::Partial) => return Ok(None),
        Err(_) => return Err(Unmeasurable),
    };
    if request.version != Some(1) || request.method == Some("CONNECT") {
        return Err(Unmeasurable);
    }
    let mut body = None;
    for field in request.headers.iter() {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        let stays = || field.value.eq_ignore_ascii_case(b"keep-alive");
        if is("transfer-encoding") || is("upgrade") || is("expect") || is("connection") && !stays()
        {
            return Err(Unmeasurable);
        }
        if is("content-length") {
            let digits = field.value;
            let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
            let is_first = body.replace(length.ok_or(Unmeasurable)?).is_none();
            if !is_number || !is_first {
                return Err(Unmeasurable);
            }
        }
    }
    head.checked_add(body.unwrap_or(0)).map(Some).ok_or(Unmeasurable)
}

/// One connection's requests, as they go by.
pub(super) struct Recorder {
    repeats: Rc<Repeats>,
    connection: Rc<Connection>,
    peer: Peer,
    place: RefCell<Place>,
}

impl Recorder {
    pub(super) fn new(repeats: Rc<Repeats>, connection: Rc<Connection>, peer: Peer) -> Self {
        let place = if repeats.is_off() { Place::Lost } else { Place::Between };
        Self { repeats, connection, peer, place: RefCell::new(place) }
    }

    /// Whether the answer to the request that is under way may be kept, to be given again.
    pub(super) fn may_keep(&self) -> bool {
        let place = self.place.borrow();
        let Place::Within(under) = &*place else { return false };
        under.length.is_some_and(|length| length <= MAX_REQUEST_BYTES)
    }

    /// The handler has answered the request that is under way.
    pub(super) fn answered(&self, response: &Response<Body>, repeat: Option<Rc<dyn Repeat>>) {
        let Place::Within(under) = &mut *self.place.borrow_mut() else { return };
        under.is_answered = true;
        if let Some(repeat) = repeat.filter(|_| under.is_kept_whole()) {
            let body = response.body().size_hint().exact();
            // A 304 has no length of its own.
            let body = body.filter(|_| response.status() != http::StatusCode::NOT_MODIFIED);
            under.known = Known::of(response.status(), response.headers(), body, repeat);
        }
    }

    /// Everything that was to be sent has been.
    fn flushed(&self) {
        let mut place = self.place.borrow_mut();
        let Place::Within(under) = &mut *place else { return };
        if !under.is_answered || self.connection.has_exchanges() {
            return;
        }
        let next = if under.is_whole() { Place::Between } else { Place::Lost };
        if let Some(known) = under.known.take() {
            self.repeats.keep(&under.bytes, known);
        }
        *place = next;
    }

    /// These bytes go up to hyper.
    fn went_up(&self, bytes: &[u8]) {
        let mut place = self.place.borrow_mut();
        let is_measured = match &mut *place {
            Place::Lost => return,
            Place::Within(under) => under.receive(bytes),
            Place::Between => {
                let mut under = Under::default();
                let is_measured = under.receive(bytes);
                *place = Place::Within(under);
                is_measured
            }
        };
        if !is_measured {
            *place = Place::Lost;
        }
    }

    fn is_between(&self) -> bool {
        matches!(*self.place.borrow(), Place::Between)
    }
}

/// What of an answer the socket did not take at once.
struct Unsent {
    head: Bytes,
    body: Bytes,
}

impl Unsent {
    fn advance(&mut self, sent: usize) {
        let of_head = sent.min(self.head.len());
        self.head.advance(of_head);
        self.body.advance(sent - of_head);
    }
}

/// A connection's bytes in the clear, some of which never reach hyper.
pub(super) struct Repeating<S> {
    stream: S,
    recorder: Rc<Recorder>,
    unsent: Option<Unsent>,
}

impl<S> Repeating<S> {
    pub(super) const fn new(stream: S, recorder: Rc<Recorder>) -> Self {
        Self { stream, recorder, unsent: None }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Repeating<S> {
    /// Answers what has arrived, if it came before. Whether it did.
    fn repeat(&mut self, cx: &mut Context<'_>, received: &[u8]) -> io::Result<bool> {
        let Recorder { repeats, connection, peer, .. } = &*self.recorder;
        if !self.recorder.is_between() || !connection.stands_at(Order::Serve) {
            return Ok(false);
        }
        let stream = &mut self.stream;
        let answered = repeats.answer(RawRequest::new(received, *peer), |head, body| {
            connection.begin_exchange(false);
            let slices = [IoSlice::new(head), IoSlice::new(body)];
            let sent = match Pin::new(stream).poll_write_vectored(cx, &slices) {
                Poll::Ready(sent) => sent?,
                Poll::Pending => 0,
            };
            Ok::<_, io::Error>((sent < head.len() + body.len()).then(|| {
                let mut unsent = Unsent { head: Bytes::copy_from_slice(head), body: body.clone() };
                unsent.advance(sent);
                unsent
            }))
        });
        let Some(unsent) = answered.transpose()? else { return Ok(false) };
        self.unsent = unsent;
        if self.unsent.is_none() {
            connection.end_exchange();
        }
        Ok(true)
    }

    /// Sends what is left of an answer.
    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(unsent) = &mut self.unsent else { return Poll::Ready(Ok(())) };
        while unsent.head.has_remaining() || unsent.body.has_remaining() {
            let slices = [IoSlice::new(&unsent.head), IoSlice::new(&unsent.body)];
            let sent = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &slices))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            unsent.advance(sent);
        }
        self.unsent = None;
        self.recorder.connection.end_exchange();
        Poll::Ready(Ok(()))
    }
}

impl<S> Drop for Repeating<S> {
    fn drop(&mut self) {
        if self.unsent.is_some() {
            self.recorder.connection.end_exchange();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Repeating<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        loop {
            ready!(this.poll_unsent(cx))?;
            ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
            let received = buffer.filled().get(before..).unwrap_or_default();
            if received.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if !this.repeat(cx, received)? {
                this.recorder.went_up(received);
                return Poll::Ready(Ok(()));
            }
            // Nothing that went out must wait: of TLS, some may be held.
            let _ = Pin::new(&mut this.stream).poll_flush(cx)?;
            buffer.set_filled(before);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Repeating<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_unsent(cx))?;
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        this.recorder.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_unsent(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

    #[test]
    fn a_request_is_its_head_and_the_body_that_it_tells_of() {
        let post = "POST / HTTP/1.1\r\nhost: a\r\nContent-Length: 3\r\n\r\n";
        for (request, length) in [
            (GET.to_owned(), Some(GET.len())),
            (format!("{GET}more"), Some(GET.len())),
            (post.to_owned(), Some(post.len() + 3)),
            (format!("\r\n{GET}"), Some(GET.len() + 2)),
            (GET[..GET.len() - 1].to_owned(), None),
            (String::new(), None),
            (GET.replace("a\r\n", "a\r\nconnection: Keep-Alive\r\n"), Some(GET.len() + 24)),
        ] {
            assert_eq!(measure(request.as_bytes()).ok().unwrap(), length, "{request:?}");
        }
    }

    #[test]
    fn what_could_be_measured_in_two_ways_is_not() {
        for field in [
            "transfer-encoding: chunked",
            "content-length: 3\r\ncontent-length: 3",
            "content-length: +3",
            "content-length: 3, 3",
            "content-length: ",
            "content-length: 99999999999999999999",
            "content-length: 18446744073709551615",
            "upgrade: h2c",
            "expect: 100-continue",
            "connection: close",
            "connection: keep-alive, close",
            "bad field: a",
        ] {
            let request = format!("POST / HTTP/1.1\r\nhost: a\r\n{field}\r\n\r\n");
            assert!(measure(request.as_bytes()).is_err(), "{field}");
        }
        for request in [
            "GET / HTTP/1.0\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "CONNECT a:80 HTTP/1.1\r\n\r\n",
        ] {
            assert!(measure(request.as_bytes()).is_err(), "{request:?}");
        }
    }

    #[test]
    fn a_request_that_comes_in_pieces_is_whole_at_its_last_byte() {
        let request = "POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello";
        let mut under = Under::default();
        for (at, byte) in request.bytes().enumerate() {
            assert!(under.receive(&[byte]));
            assert_eq!(under.is_whole(), at + 1 == request.len());
        }
        assert_eq!(under.bytes, request.as_bytes());
        assert!(!under.receive(b"G"), "the next one began before this one was answered");
    }

    #[test]
    fn a_long_body_is_counted_and_not_kept() {
        let mut under = Under::default();
        let length = 1 << 20;
        let head = format!("POST / HTTP/1.1\r\ncontent-length: {length}\r\n\r\n");
        assert!(under.receive(head.as_bytes()));
        for _ in 0..length / 1024 {
            assert!(under.receive(&[0; 1024]));
        }
        assert!(under.is_whole() && !under.is_kept_whole());
        assert!(under.bytes.len() <= MAX_REQUEST_BYTES);
    }

    #[test]
    fn an_endless_head_is_given_up() {
        let mut under = Under::default();
        assert!(under.receive(b"GET / HTTP/1.1\r\n"));
        let line = format!("x: {}\r\n", "a".repeat(1_000));
        assert!((0..20).any(|_| !under.receive(line.as_bytes())));
        assert!(under.bytes.len() < MAX_HEAD_BYTES + 2_000);
    }
}
