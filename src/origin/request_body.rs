//! The body of a request to the origin.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::body::BodyError;

/// How long a client that expects 100 is kept waiting for an origin that says nothing. RFC 9110
/// §10.1.1 bids clients not to wait for ever, so the origin's silence must not be for ever either.
const PATIENCE: Duration = Duration::from_secs(1);

/// A request body: at hand, or streamed from the client with back-pressure.
#[derive(Debug, Default)]
pub enum RequestBody {
    /// No bytes.
    #[default]
    Empty,
    /// All of it at hand.
    Whole(Bytes),
    /// Streamed.
    Streamed(Streamed),
}

/// A body on its way from the client, perhaps with its beginning already read.
#[derive(Debug)]
pub struct Streamed {
    read: Bytes,
    rest: Incoming,
    progress: Arc<Progress>,
    held: Option<Held>,
}

/// What the sender of a streamed body can see of it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    frames: AtomicU64,
    waits_for_client: AtomicU8,
}

impl Progress {
    /// Frames that have gone to the origin.
    pub(super) fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Whether the origin would take more and the client has not sent it.
    pub(super) fn waits_for_client(&self) -> bool {
        self.waits_for_client.load(Ordering::Relaxed) != 0
    }
}

#[derive(Debug)]
struct Held {
    go: Arc<Go>,
    patience: Pin<Box<Sleep>>,
}

/// The word to send a body that was held back for `Expect: 100-continue`. The first poll of a
/// client's body is what tells the client 100, so until the word is given there is none.
#[derive(Debug, Default)]
pub struct Go {
    word: AtomicU8,
    body: AtomicWaker,
}

const UNDECIDED: u8 = 0;
const SEND: u8 = 1;
const REFUSED: u8 = 2;

impl Go {
    /// The origin said 100: send the body.
    pub fn send(&self) {
        self.decide(SEND);
    }

    /// The exchange ended without the body: it is never sent, and the origin's connection, whose
    /// framing can no longer be completed, is closed.
    pub fn refuse(&self) {
        self.decide(REFUSED);
    }

    fn decide(&self, word: u8) {
        let _ = self.word.compare_exchange(UNDECIDED, word, Ordering::AcqRel, Ordering::Acquire);
        self.body.wake();
    }
}

impl Held {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        self.go.body.register(cx.waker());
        match self.go.word.load(Ordering::Acquire) {
            SEND => Poll::Ready(Ok(())),
            REFUSED => Poll::Ready(Err(BodyError::Source("the body was not asked for".into()))),
            _ => {
                ready!(self.patience.as_mut().poll(cx));
                self.go.send();
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl RequestBody {
    /// The client's body as it comes.
    pub fn streamed(body: Incoming) -> Self {
        Self::resumed(Bytes::new(), body)
    }

    /// What was already `read` of the client's body, then the `rest` as it comes.
    pub fn resumed(read: Bytes, rest: Incoming) -> Self {
        if rest.is_end_stream() {
            return Self::from(read);
        }
        Self::Streamed(Streamed { read, rest, progress: Arc::default(), held: None })
    }

    /// Holds an unread body back until the word is given or a second has passed. `None` where
    /// there is nothing to hold back.
    pub fn hold(&mut self) -> Option<Arc<Go>> {
        let Self::Streamed(body) = self else { return None };
        if !body.read.is_empty() {
            return None;
        }
        let go = Arc::new(Go::default());
        let patience = Box::pin(tokio::time::sleep(PATIENCE));
        body.held = Some(Held { go: Arc::clone(&go), patience });
        Some(go)
    }

    pub(super) fn progress(&self) -> Option<Arc<Progress>> {
        match self {
            Self::Streamed(body) => Some(Arc::clone(&body.progress)),
            Self::Empty | Self::Whole(_) => None,
        }
    }
}

impl From<Bytes> for RequestBody {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Whole(bytes) }
    }
}

impl Streamed {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(held) = &mut self.held {
            ready!(held.poll(cx))?;
            self.held = None;
        }
        let frame = if self.read.is_empty() {
            let frame = Pin::new(&mut self.rest).poll_frame(cx).map_err(BodyError::Broken);
            self.progress.waits_for_client.store(frame.is_pending().into(), Ordering::Relaxed);
            ready!(frame)
        } else {
            Some(Ok(Frame::data(std::mem::take(&mut self.read))))
        };
        self.progress.frames.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(frame)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Streamed(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(_) => false,
            Self::Streamed(body) => body.read.is_empty() && body.rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Streamed(body) => {
                let (read, rest) = (body.read.len() as u64, body.rest.size_hint());
                let mut whole = SizeHint::new();
                whole.set_lower(read.saturating_add(rest.lower()));
                if let Some(upper) = rest.upper() {
                    whole.set_upper(read.saturating_add(upper));
                }
                whole
            }
        }
    }
}
