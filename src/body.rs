//! The body of a response to a client, wherever its bytes come from.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;

/// A response body. It can always be polled without pinning and never buffers.
#[derive(Debug, Default)]
pub enum Body {
    /// No bytes.
    #[default]
    Empty,
    /// Bytes at hand.
    Full(Bytes),
    /// Bytes at hand in several pieces, sent one after the other without being copied together.
    Chunks(Chunks),
    /// Streamed from the origin.
    Incoming(Incoming),
    /// Any other source.
    Boxed(UnsyncBoxBody<Bytes, BodyError>),
}

/// Pieces of a body, in order.
#[derive(Debug)]
pub struct Chunks {
    pieces: vec::IntoIter<Bytes>,
    bytes_left: u64,
}

/// Why a body ended before its end. The client's connection or stream is then aborted, so that it
/// cannot take a part for the whole.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The message being streamed broke off.
    #[error("the streamed message broke off")]
    Broken(#[from] hyper::Error),
    /// The other side stood still for longer than its limit.
    #[error("the streamed message stood still")]
    Stalled,
    /// The source failed for a reason of its own.
    #[error("the source of the body failed")]
    Source(#[source] Box<dyn Error + Send + Sync>),
}

impl Body {
    /// A body in several pieces.
    pub fn chunks(pieces: Vec<Bytes>) -> Self {
        let bytes_left = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self::Chunks(Chunks { pieces: pieces.into_iter(), bytes_left })
    }

    /// A body from any other source.
    pub fn boxed<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes, Error = BodyError> + Send + 'static,
    {
        Self::Boxed(UnsyncBoxBody::new(body))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Full(bytes) }
    }
}

impl Chunks {
    fn next_piece(&mut self) -> Option<Bytes> {
        let piece = self.pieces.find(|piece| !piece.is_empty())?;
        self.bytes_left -= piece.len() as u64;
        Some(piece)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = Self::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::Chunks(chunks) => Poll::Ready(chunks.next_piece().map(|p| Ok(Frame::data(p)))),
            Self::Incoming(incoming) => {
                Pin::new(incoming).poll_frame(cx).map_err(BodyError::Broken)
            }
            Self::Boxed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Chunks(chunks) => chunks.bytes_left == 0,
            Self::Incoming(incoming) => incoming.is_end_stream(),
            Self::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Chunks(chunks) => SizeHint::with_exact(chunks.bytes_left),
            Self::Incoming(incoming) => incoming.size_hint(),
            Self::Boxed(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body as _;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn pieces_are_sent_in_order_and_the_length_is_known_before_each() {
        let pieces = ["{", "", "\"value\":[]", "}"].map(Bytes::from).to_vec();
        let mut body = Body::chunks(pieces);
        let mut seen = Vec::new();
        while !body.is_end_stream() {
            let left = body.size_hint().exact().unwrap();
            let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(body.size_hint().exact(), Some(left - piece.len() as u64));
            seen.push(piece);
        }
        assert_eq!(seen, ["{", "\"value\":[]", "}"]);
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_body_without_bytes_ends_at_once() {
        for body in [
            Body::Empty,
            Body::from(Bytes::new()),
            Body::Full(Bytes::new()),
            Body::chunks(vec![Bytes::new()]),
        ] {
            assert!(body.is_end_stream());
            assert_eq!(body.size_hint().exact(), Some(0));
            assert!(body.collect().await.unwrap().to_bytes().is_empty());
        }
    }
}
