//! What a batch is made of, and what its answer is, whichever form they are written in.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

/// Requests in a batch at most, those in change sets included.
pub(super) const MAX_PARTS: usize = 100;
pub(super) const TOO_MANY: &str = "it holds more than 100 requests";

/// A request inside a batch.
#[derive(Debug)]
pub(super) struct Part {
    /// Its `Content-ID`, or its `id`.
    pub(super) id: Option<String>,
    pub(super) method: Method,
    /// As it was written: absolute, a path, relative, or beginning with a reference (`$1/…`).
    pub(super) url: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The requests and groups that must have succeeded; the requests that it may refer to.
    pub(super) depends_on: Vec<String>,
    /// Whether it names a condition of its own (`if`), which is not supported.
    pub(super) has_condition: bool,
    /// A header that must not stand in a part.
    pub(super) forbidden: Option<&'static str>,
}

/// A request, or several that succeed or fail together.
#[derive(Debug)]
pub(super) enum Unit {
    One(Part),
    Set { group: String, parts: Vec<Part> },
}

impl Unit {
    pub(super) fn size(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Set { parts, .. } => parts.len(),
        }
    }
}

/// The answer to a request inside a batch.
#[derive(Clone, Debug)]
pub(super) struct PartAnswer {
    pub(super) id: Option<String>,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The answer to a unit.
#[derive(Debug)]
pub(super) enum UnitAnswer {
    One(PartAnswer),
    Set {
        group: String,
        parts: Vec<PartAnswer>,
    },
    /// Nothing was changed. The cause stands among the parts, too, at its place.
    FailedSet {
        group: String,
        cause: PartAnswer,
        parts: Vec<PartAnswer>,
    },
}

impl UnitAnswer {
    pub(super) fn has_failed(&self) -> bool {
        match self {
            Self::One(part) => !part.status.is_success(),
            Self::Set { .. } => false,
            Self::FailedSet { .. } => true,
        }
    }
}

/// Whether a text can identify a request (`request-id` of the OData ABNF).
pub(super) fn is_request_id(text: &str) -> bool {
    let is_unreserved = |c: u8| c.is_ascii_alphanumeric() || b"-._~".contains(&c);
    !text.is_empty() && text.bytes().all(is_unreserved)
}

/// The methods that a request inside a batch can have.
pub(super) fn method_of(text: &str) -> Option<Method> {
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    methods.into_iter().find(|method| method.as_str() == text)
}
