//! One request and its response, as the connection sees them.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use super::connection::Connection;
use super::repeating::Recorder;
use super::{Answer, Handler, Peer, entrance};
use crate::body::{Body, BodyError};
use crate::config::Limits;
use crate::error::ProxyError;

/// The bytes that HTTP/1.1 adds to a field's name and value: a colon, a space and a line end.
const FIELD_OVERHEAD_BYTES: usize = 4;

/// What is given to HTTP/2 at once of one answer: as much as is read ahead of a slow client.
pub(super) const PIECE_BYTES: usize = 128 << 10;

/// Answers one request, or refuses it for its head.
pub(super) async fn answer<H: Handler>(
    handler: Rc<H>,
    limits: HeadLimits,
    connection: Rc<Connection>,
    recorder: Rc<Recorder>,
    request: Request<Incoming>,
    peer: Peer,
) -> Response<CountedBody> {
    let running = Running::begin(connection, request.version() == Version::HTTP_2);
    let Answer { response, repeat } = if !limits.are_met_by(&request) {
        ProxyError::HeaderFieldsTooLarge.response().into()
    } else if !entrance::admits(&request) {
        refused().into()
    } else {
        handler.handle(request, peer, recorder.may_keep()).await
    };
    recorder.answered(&response, repeat);
    let mut response = response;
    if running.connection.gives_last_answer() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| CountedBody::new(body, running))
}

/// What has no single reading, and no successor on its connection: who sent it may hold what
/// follows for a part of it.
fn refused() -> Response<Body> {
    let mut response: Response<Body> = ProxyError::BadRequest.response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The bounds on a head, checked again here: hyper refuses what is past its buffers, which cannot
/// be smaller than 8 KiB or 100 fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadLimits {
    pub(super) bytes: usize,
    pub(super) fields: usize,
}

impl HeadLimits {
    pub(super) const fn new(limits: &Limits) -> Self {
        Self { bytes: limits.header_bytes, fields: limits.header_fields }
    }

    fn are_met_by<B>(self, request: &Request<B>) -> bool {
        let headers = request.headers();
        let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
        let bytes = headers.iter().fold(target, |bytes, (name, value)| {
            bytes + name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES
        });
        headers.len() <= self.fields && bytes <= self.bytes
    }
}

/// Counts an exchange from its head to the last of its response, however it ends.
#[derive(Debug)]
struct Running {
    connection: Rc<Connection>,
    /// Whether the response was handed over to its end, or broke off by itself.
    has_ended: bool,
}

impl Running {
    fn begin(connection: Rc<Connection>, is_multiplexed: bool) -> Self {
        connection.begin_exchange(is_multiplexed);
        Self { connection, has_ended: false }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.connection.is_multiplexed() {
            self.connection.end_stream(self.has_ended);
        }
        self.connection.end_exchange();
    }
}

/// A response body that ends its exchange when it is dropped.
///
/// In HTTP/2 it is given away in pieces of a bounded size, each asked for only when the client's
/// window has room. So what the client does not take stays here, where it can be seen that it does
/// not, instead of in a buffer.
#[derive(Debug)]
pub(super) struct CountedBody {
    body: Body,
    running: Running,
    /// Of HTTP/2: the answer's number on its connection.
    answer: Option<u64>,
    /// What is left of a frame past the size of a piece.
    rest: Bytes,
}

impl CountedBody {
    fn new(body: Body, mut running: Running) -> Self {
        running.has_ended = body.is_end_stream();
        let answer = running.connection.is_multiplexed().then(|| {
            let answer = running.connection.number_answer();
            if !running.has_ended {
                running.connection.waits_for_client(answer);
            }
            answer
        });
        Self { body, running, answer, rest: Bytes::new() }
    }

    /// The next piece of what is left. The last one is a copy, because it may wait in h2's buffer
    /// for as long as the connection lives, and would keep all of the body alive.
    fn next_piece(&mut self) -> Bytes {
        if self.rest.len() > PIECE_BYTES {
            self.rest.split_to(PIECE_BYTES)
        } else {
            Bytes::copy_from_slice(&std::mem::take(&mut self.rest))
        }
    }

    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(self.next_piece()))));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let Some(Ok(frame)) = frame else { return Poll::Ready(frame) };
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(data) if self.answer.is_some() && data.len() > PIECE_BYTES => {
                self.rest = data;
                Frame::data(self.next_piece())
            }
            Ok(data) => Frame::data(data),
            Err(frame) => frame,
        })))
    }
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = this.poll_piece(cx);
        let is_error = matches!(frame, Poll::Ready(Some(Err(_))));
        if is_error {
            this.running.connection.break_off();
        }
        this.running.has_ended =
            is_error || matches!(frame, Poll::Ready(None)) || this.is_end_stream();
        if let Some(answer) = this.answer {
            if frame.is_ready() && !this.running.has_ended {
                this.running.connection.waits_for_client(answer);
            } else {
                this.running.connection.waits_no_more(answer);
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, body) = (self.rest.len() as u64, self.body.size_hint());
        let mut whole = SizeHint::new();
        whole.set_lower(rest.saturating_add(body.lower()));
        if let Some(upper) = body.upper() {
            whole.set_upper(rest.saturating_add(upper));
        }
        whole
    }
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        if let Some(answer) = self.answer {
            self.running.connection.waits_no_more(answer);
        }
    }
}
