//! One request and its response, as the connection sees them.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::connection::Connection;
use super::{Handler, Peer};
use crate::body::{Body, BodyError};
use crate::config::Limits;
use crate::error::ProxyError;

/// The bytes that HTTP/1.1 adds to a field's name and value: a colon, a space and a line end.
const FIELD_OVERHEAD_BYTES: usize = 4;

/// Answers one request, or refuses it for its head.
pub(super) async fn answer<H: Handler>(
    handler: Rc<H>,
    limits: HeadLimits,
    connection: Rc<Connection>,
    request: Request<Incoming>,
    peer: Peer,
) -> Response<CountedBody> {
    let running = Running::begin(connection, request.version() == Version::HTTP_2);
    let response = if limits.are_met_by(&request) {
        handler.handle(request, peer).await
    } else {
        ProxyError::HeaderFieldsTooLarge.response()
    };
    response.map(|body| CountedBody { body, running })
}

/// The bounds on a head, checked again here: hyper refuses what is past its buffers, which cannot
/// be smaller than 8 KiB or 100 fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadLimits {
    bytes: usize,
    fields: usize,
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
struct Running(Rc<Connection>);

impl Running {
    fn begin(connection: Rc<Connection>, is_multiplexed: bool) -> Self {
        connection.begin_exchange(is_multiplexed);
        Self(connection)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.end_exchange();
    }
}

/// A response body that ends its exchange when it is dropped.
#[derive(Debug)]
pub(super) struct CountedBody {
    body: Body,
    running: Running,
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Err(_))) = frame {
            this.running.0.break_off();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
