//! The origin's body as it comes, with its gzip coding taken off.

use std::collections::VecDeque;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use futures_util::stream;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use http_body::{Body as _, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};

use crate::body::{Body, BodyError};

/// A body of the origin's.
pub type OriginBody = UnsyncBoxBody<Bytes, BodyError>;

/// Fed to the decoder at a time: a thousandfold expansion, gzip's worst, stays below 5 MB between
/// two looks at the limit.
const INPUT_STEP_BYTES: usize = 4 << 10;

/// The plain body, chunk by chunk.
pub(super) struct DecodedBody {
    incoming: OriginBody,
    decoder: Option<MultiGzDecoder<Vec<u8>>>,
    is_plain: bool,
    is_as_sent: bool,
    /// Compressed bytes not yet decoded.
    pending: Bytes,
    /// Plain chunks that were read ahead of whoever streams the rest.
    held: VecDeque<Bytes>,
    has_begun: bool,
    ended: bool,
}

impl DecodedBody {
    /// Reads by the message's `Content-Encoding`.
    pub(super) fn new(headers: &HeaderMap, incoming: OriginBody) -> Self {
        let mut codings = headers.get_all(CONTENT_ENCODING).iter();
        let (first, second) = (codings.next(), codings.next());
        let coding = first.map_or(&b""[..], |value| value.as_bytes().trim_ascii());
        let is = |name: &str| second.is_none() && coding.eq_ignore_ascii_case(name.as_bytes());
        let decoder = is("gzip").then(|| MultiGzDecoder::new(Vec::new()));
        let is_as_sent = decoder.is_none();
        let is_plain = is("") || is("identity") || !is_as_sent;
        let (pending, held) = (Bytes::new(), VecDeque::new());
        Self {
            incoming,
            decoder,
            is_plain,
            is_as_sent,
            pending,
            held,
            has_begun: false,
            ended: false,
        }
    }

    /// Reads the bytes as they come, in whatever coding.
    pub(super) const fn as_sent(incoming: OriginBody) -> Self {
        Self {
            incoming,
            decoder: None,
            is_plain: false,
            is_as_sent: true,
            pending: Bytes::new(),
            held: VecDeque::new(),
            has_begun: false,
            ended: false,
        }
    }

    /// Whether what it gives is plain; not where it came in a coding that was not asked for.
    pub(super) const fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Whether what it gives is, byte for byte, what came.
    pub(super) const fn is_as_sent(&self) -> bool {
        self.is_as_sent
    }

    /// The whole body, or `None` once it is larger than `limit`; what was read then waits for
    /// [`DecodedBody::into_body`].
    ///
    /// # Errors
    /// The body broke off, or is not gzip though it says so.
    pub(super) async fn read_to_end(&mut self, limit: usize) -> Result<Option<Bytes>, BodyError> {
        // One that says that it is too large is not even begun; decoded, it is larger still.
        if self.incoming.size_hint().lower() > limit as u64 {
            return Ok(None);
        }
        let mut length = 0;
        while let Some(chunk) = self.next_chunk().await? {
            length += chunk.len();
            self.held.push_back(chunk);
            if length > limit {
                return Ok(None);
            }
        }
        // Copied even if it is one piece: as it came, it would keep the connection's whole read
        // buffer in memory for as long as it is stored.
        let mut whole = Vec::with_capacity(length);
        for chunk in self.held.drain(..) {
            whole.extend_from_slice(&chunk);
        }
        Ok(Some(whole.into()))
    }

    /// The body as a stream: what was read ahead, then the rest as it comes. It breaks off where
    /// the origin stands still for `stall_timeout` while the client would take more.
    pub(super) fn into_body(self, stall_timeout: Duration) -> Body {
        let chunks = stream::unfold(self, move |mut body| async move {
            let next = match body.held.pop_front() {
                Some(chunk) => Ok(Some(chunk)),
                None => tokio::time::timeout(stall_timeout, body.next_chunk())
                    .await
                    .unwrap_or(Err(BodyError::Stalled)),
            };
            next.transpose().map(|chunk| (chunk.map(Frame::data), body))
        });
        Body::boxed(StreamBody::new(chunks))
    }

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            if !self.pending.is_empty() {
                let Some(decoder) = &mut self.decoder else {
                    return Ok(Some(std::mem::take(&mut self.pending)));
                };
                let step = self.pending.split_to(self.pending.len().min(INPUT_STEP_BYTES));
                decoder.write_all(&step).map_err(not_gzip)?;
                let plain = std::mem::take(decoder.get_mut());
                if !plain.is_empty() {
                    return Ok(Some(plain.into()));
                }
                continue;
            }
            if self.ended {
                return Ok(None);
            }
            match self.incoming.frame().await {
                Some(frame) => {
                    // Trailers are about the message, which ends here.
                    if let Ok(data) = frame?.into_data() {
                        self.has_begun |= !data.is_empty();
                        self.pending = data;
                    }
                }
                None => {
                    self.ended = true;
                    // No byte came at all: a 204 or a 304 that names a coding all the same.
                    let decoder = self.decoder.take_if(|_| self.has_begun);
                    if let Some(mut decoder) = decoder {
                        decoder.try_finish().map_err(not_gzip)?;
                        let rest = std::mem::take(decoder.get_mut());
                        if !rest.is_empty() {
                            return Ok(Some(rest.into()));
                        }
                    }
                }
            }
        }
    }
}

fn not_gzip(error: std::io::Error) -> BodyError {
    BodyError::Source(error.into())
}
