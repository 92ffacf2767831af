//! From a stored response to what one client gets.

use bytes::Bytes;
use http::header::{
    AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;

use super::cache_status::{CACHE_STATUS, CacheStatus};
use super::flight::UnstoredResponse;
use crate::body::Body;
use crate::caching::accept_encoding::{Coding, Preferences, preferences};
use crate::caching::conditional::{describes_not_modified, not_modified};
use crate::caching::freshness::Freshness;
use crate::caching::partial::{piece, serves};
use crate::caching::range::{self, Selection};
use crate::clock::Timestamp;
use crate::stored_response::{StoredBody, StoredResponse, compressed_in_passing, etag_of};
use crate::written::field_value;

/// What a cache further down must tell apart in answers by the catalogue: the fields that our own
/// key is made of. It takes the place of the origin's `Vary`, since whatever else that names was
/// the same for every fetch.
const VARIES_BY: HeaderValue = HeaderValue::from_static(
    "Accept, Accept-Encoding, Accept-Language, Authorization, OData-MaxVersion, OData-Version, \
     OUN, Prefer",
);

/// On which terms a client wants its answer.
pub(super) struct Terms {
    method: Method,
    encodings: Preferences,
    /// The client's conditions and ranges.
    fields: HeaderMap,
    max_ranges: usize,
}

/// Whether an answer comes from the store, or from the origin for this very request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hand {
    /// From the origin: its age is the one that it came with, if any (RFC 9111 §5.1).
    First,
    /// From the store, or from another client's fetch.
    Second,
}

impl Terms {
    /// Reads them off a request.
    pub(super) fn of<B>(request: &Request<B>, max_ranges: usize) -> Self {
        let mut fields = HeaderMap::new();
        for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE, RANGE, IF_RANGE] {
            for value in request.headers().get_all(&name) {
                fields.append(&name, value.clone());
            }
        }
        Self {
            method: request.method().clone(),
            encodings: preferences(request.headers()),
            fields,
            max_ranges,
        }
    }

    /// What of a body, or of the part of one that is held, the client asks for. A part goes as it
    /// is where it does not hold that.
    fn select(&self, stored: &StoredResponse, headers: &HeaderMap, plain: &Bytes) -> Selection {
        let Self { method, fields, max_ranges, .. } = self;
        let status = stored.status;
        // What comes in several forms has no strong validator, not its date either (RFC 9110
        // §13.1.5): half of one form and half of another is neither.
        if fields.contains_key(IF_RANGE) && stored.body.has_etag() {
            return Selection::Whole;
        }
        match piece(status, headers, plain.len() as u64) {
            Some(piece) => match serves(piece, method, fields, headers, *max_ranges) {
                Some(Selection::One(range)) => Selection::One(range),
                _ => Selection::Whole,
            },
            None => {
                let len = plain.len() as u64;
                range::select(method, status, fields, headers, len, *max_ranges)
            }
        }
    }
}

/// A stored response, as this client gets it.
pub(super) async fn stored(
    terms: &Terms,
    stored: &StoredResponse,
    public_root: &str,
    hand: Hand,
    status: CacheStatus,
    now: Timestamp,
) -> Response<Body> {
    let mut headers = stored.headers();
    if hand == Hand::Second {
        insert_age(&mut headers, &stored.freshness, now);
    }
    headers.append(CACHE_STATUS, status.to_value());
    if let Some(etag) = stored.body.etag() {
        headers.insert(VARY, VARIES_BY);
        if stored.status == StatusCode::OK {
            headers.insert(ETAG, etag);
        }
    }
    if not_modified(&terms.method, stored.status, &terms.fields, &headers) {
        describes_not_modified(&mut headers);
        return with(StatusCode::NOT_MODIFIED, headers, Body::Empty);
    }
    if terms.fields.contains_key(RANGE) {
        let plain = stored.body.plain(public_root);
        match terms.select(stored, &headers, &plain) {
            Selection::Whole => {}
            selection => return partial(headers, selection, stored.status, &plain),
        }
    }
    let (coding, body) = stored.body.form(terms.encodings, public_root).await;
    if coding != Coding::Identity {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    }
    finish(terms, stored.status, headers, body)
}

fn insert_age(headers: &mut HeaderMap, freshness: &Freshness, now: Timestamp) {
    if let Some(age) = field_value(freshness.age(now).as_secs()) {
        headers.insert(AGE, age);
    }
}

/// An answer that is put together from pieces: with the fields of the one that has least freshness
/// left, so that no cache further down keeps it for longer.
pub(super) async fn pieces(
    terms: &Terms,
    pieces: &[&StoredResponse],
    body: Bytes,
    hand: Hand,
    status: CacheStatus,
    now: Timestamp,
) -> Response<Body> {
    let first_to_end = pieces.iter().min_by_key(|piece| piece.freshness.ttl_seconds(now));
    let mut headers = first_to_end.map_or_else(HeaderMap::new, |piece| piece.headers());
    if let (Some(piece), Hand::Second) = (first_to_end, hand) {
        insert_age(&mut headers, &piece.freshness, now);
    }
    headers.append(CACHE_STATUS, status.to_value());
    headers.insert(VARY, VARIES_BY);
    headers.remove(LAST_MODIFIED);
    headers.insert(ETAG, etag_of(pieces.iter().filter_map(|piece| piece.body.etag())));
    let (coding, body) = compressed_in_passing(terms.encodings, body).await;
    if coding != Coding::Identity {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    }
    finish(terms, StatusCode::OK, headers, Body::from(body))
}

/// The parts that are asked for, or the news that there are none (RFC 9110 §15.3.7, §15.5.17).
fn partial(
    mut headers: HeaderMap,
    selection: Selection,
    status: StatusCode,
    plain: &Bytes,
) -> Response<Body> {
    let held = piece(status, &headers, plain.len() as u64);
    let complete_len = held.map_or(plain.len() as u64, |held| held.complete_len);
    match selection {
        Selection::One(range) => {
            headers.insert(CONTENT_RANGE, range::content_range(range, complete_len));
            let bytes = match held {
                Some(held) => held.slice(plain, range),
                None => range::slice(plain, range),
            };
            let bytes = bytes.unwrap_or_default();
            with(StatusCode::PARTIAL_CONTENT, headers, Body::from(bytes))
        }
        Selection::Several(ranges) => {
            let boundary = format!("{:032x}", rand::random::<u128>());
            let content_type = headers.remove(CONTENT_TYPE);
            let pieces = range::multipart(&ranges, plain, content_type.as_ref(), &boundary);
            headers.insert(CONTENT_TYPE, range::multipart_type(&boundary));
            with(StatusCode::PARTIAL_CONTENT, headers, Body::chunks(pieces))
        }
        Selection::Whole | Selection::NotSatisfiable => {
            // What describes a representation that is not sent.
            for name in [CONTENT_TYPE, CONTENT_ENCODING] {
                headers.remove(name);
            }
            headers.insert(CONTENT_RANGE, range::unsatisfied(complete_len));
            with(StatusCode::RANGE_NOT_SATISFIABLE, headers, Body::Empty)
        }
    }
}

/// A whole answer that is not stored.
pub(super) fn unstored(
    terms: &Terms,
    answer: &UnstoredResponse,
    public_root: &str,
    status: CacheStatus,
) -> Response<Body> {
    let mut headers = answer.headers.clone();
    varies(&mut headers, &answer.body);
    headers.append(CACHE_STATUS, status.to_value());
    finish(terms, answer.status, headers, answer.body.identity(public_root))
}

/// An answer by the catalogue depends on what the key is made of, stored or not.
fn varies(headers: &mut HeaderMap, body: &StoredBody) {
    if body.has_etag() {
        headers.append(VARY, VARIES_BY);
    }
}

/// An answer that is streamed.
pub(super) fn streamed(
    terms: &Terms,
    answer: Response<Body>,
    is_by_catalogue: bool,
    status: CacheStatus,
) -> Response<Body> {
    let (mut head, body) = answer.into_parts();
    if is_by_catalogue {
        head.headers.append(VARY, VARIES_BY);
    }
    head.headers.append(CACHE_STATUS, status.to_value());
    finish(terms, head.status, head.headers, body)
}

/// A HEAD is told the length of the body that it does not get (RFC 9110 §9.3.2).
fn finish(terms: &Terms, status: StatusCode, mut headers: HeaderMap, body: Body) -> Response<Body> {
    if terms.method != Method::HEAD {
        return with(status, headers, body);
    }
    if !headers.contains_key(CONTENT_LENGTH)
        && let Some(length) = body.size_hint().exact()
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
