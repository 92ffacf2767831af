//! From a stored response to what one client gets.

use http::header::{AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, VARY};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;

use super::cache_status::{CACHE_STATUS, CacheStatus};
use super::flight::UnstoredResponse;
use crate::body::Body;
use crate::caching::accept_encoding::{Coding, Preferences, preferences};
use crate::caching::conditional;
use crate::clock::Timestamp;
use crate::stored_response::StoredResponse;

/// What a cache further down must tell apart: the fields that our own key is made of. It takes the
/// place of the origin's `Vary`, since whatever else that names was the same for every fetch.
const VARIES_BY: HeaderValue = HeaderValue::from_static(
    "Accept, Accept-Encoding, Accept-Language, Authorization, OData-MaxVersion, OData-Version, \
     OUN, Prefer",
);

/// On which terms a client wants its answer.
pub(super) struct Terms {
    method: Method,
    encodings: Preferences,
    headers: HeaderMap,
}

impl Terms {
    /// Reads them off a request.
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let mut headers = HeaderMap::new();
        for value in request.headers().get_all(http::header::IF_NONE_MATCH) {
            headers.append(http::header::IF_NONE_MATCH, value.clone());
        }
        Self {
            method: request.method().clone(),
            encodings: preferences(request.headers()),
            headers,
        }
    }

    /// A 304 answers a GET or a HEAD only (RFC 9110 §13.1.2).
    fn has(&self, stored: &StoredResponse) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
            && stored.status == StatusCode::OK
            && stored
                .body
                .etag()
                .to_str()
                .is_ok_and(|etag| conditional::client_has(&self.headers, etag))
    }
}

/// A stored response, as this client gets it.
pub(super) async fn stored(
    terms: &Terms,
    stored: &StoredResponse,
    public_root: &str,
    status: CacheStatus,
    now: Timestamp,
) -> Response<Body> {
    let mut headers = stored.headers.clone();
    headers.insert(AGE, HeaderValue::from(stored.freshness.age(now).as_secs()));
    headers.append(CACHE_STATUS, status.to_value());
    headers.insert(VARY, VARIES_BY);
    if stored.status == StatusCode::OK {
        headers.insert(ETAG, stored.body.etag().clone());
    }
    if terms.has(stored) {
        // What describes a body that is not sent (RFC 9110 §15.4.5).
        headers.remove(CONTENT_TYPE);
        return with(StatusCode::NOT_MODIFIED, headers, Body::Empty);
    }
    let (coding, body) = stored.body.form(terms.encodings, public_root).await;
    if coding != Coding::Identity {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    }
    finish(terms, stored.status, headers, body)
}

/// A whole answer that is not stored.
pub(super) fn unstored(
    terms: &Terms,
    answer: &UnstoredResponse,
    public_root: &str,
    status: CacheStatus,
) -> Response<Body> {
    let mut headers = answer.headers.clone();
    headers.append(VARY, VARIES_BY);
    headers.append(CACHE_STATUS, status.to_value());
    finish(terms, answer.status, headers, answer.body.identity(public_root))
}

/// An answer that is too large to be stored.
pub(super) fn oversized(
    terms: &Terms,
    answer: Response<Body>,
    status: CacheStatus,
) -> Response<Body> {
    let (mut head, body) = answer.into_parts();
    head.headers.append(VARY, VARIES_BY);
    head.headers.append(CACHE_STATUS, status.to_value());
    finish(terms, head.status, head.headers, body)
}

/// A HEAD is told the length of the body that it does not get (RFC 9110 §9.3.2).
fn finish(terms: &Terms, status: StatusCode, mut headers: HeaderMap, body: Body) -> Response<Body> {
    if terms.method != Method::HEAD {
        return with(status, headers, body);
    }
    if let Some(length) = body.size_hint().exact()
        && status != StatusCode::NO_CONTENT
    {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    with(status, headers, Body::Empty)
}

fn with(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
