//! One fetch of an answer that may be stored: stamp, ask, read to the end, store, land.
//!
//! A fetch is a task of its own. The client that started it may leave without ending it; the next
//! one will want the answer. It reads the whole answer before anybody gets any of it, up to
//! `limits.stored_body_bytes`: so a body that breaks off in the middle is an error with a proper
//! status instead of half an answer, links to the next page can be rewritten, and a stale answer
//! can stand in. Past the limit one client streams the answer and nothing is kept.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, AGE, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_TYPE, ETAG, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, SET_COOKIE,
    TRAILER,
};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;

use super::decoded_body::{DecodedBody, OriginBody};
use super::engine::Purpose;
use super::examine::{Examined, examine};
use super::fields::{add_via, remove_hop_by_hop};
use super::flight::{Outcome, Oversized, Takeoff, UnstoredResponse};
use super::{Engine, Errand};
use crate::body::BodyError;
use crate::caching::freshness::Freshness;
use crate::caching::storability::{self, Unstorable};
use crate::clock::Timestamp;
use crate::error::ProxyError;
use crate::operation::Lifetimes;
use crate::origin::{OriginClient, OriginError, RequestBody};
use crate::purge::LastFoundUsable;
use crate::stored_response::{StoredBody, StoredResponse};
use crate::tag::TagSet;

/// Who can be asked. The origin's client is; a test's script is another.
pub trait FetchOrigin: Send + Sync + 'static {
    /// Sends the request and waits for the head of the answer.
    fn fetch(&self, request: Request<Bytes>) -> Asked<'_>;
}

/// An answer's head to come.
pub type Asked<'a> =
    Pin<Box<dyn Future<Output = Result<Response<OriginBody>, OriginError>> + Send + 'a>>;

impl FetchOrigin for OriginClient {
    fn fetch(&self, request: Request<Bytes>) -> Asked<'_> {
        Box::pin(async {
            let response = self.send(request.map(RequestBody::from)).await?;
            Ok(response.map(|body| OriginBody::new(body.map_err(BodyError::Broken))))
        })
    }
}

/// Runs a fetch to its end, and lands it.
pub async fn run(
    engine: Arc<Engine>,
    origin: Arc<dyn FetchOrigin>,
    errand: Arc<Errand>,
    previous: Option<Arc<StoredResponse>>,
    takeoff: Takeoff,
) {
    let fetch = Fetch { engine: &engine, errand: &errand, previous, takeoff: &takeoff };
    let limit = engine.config.origin.fetch_timeout;
    let outcome = tokio::time::timeout(limit, fetch.exchange(&*origin))
        .await
        .unwrap_or(Outcome::Failed(ProxyError::OriginTimeout));
    if let Some(reason) = outcome.unstored_because() {
        engine.metrics.unstored.with_label_values(&[reason.as_str()]).inc();
        if !outcome.may_be_shared() {
            engine.flights.remember_alone(&errand.question.key, reason);
        }
    }
    if outcome.ends_what_is_stored()
        && let Some(previous) = &fetch.previous
    {
        engine.store.remove(previous);
    }
    let stored = match &outcome {
        Outcome::Stored(stored) => Some(Arc::clone(stored)),
        _ => None,
    };
    takeoff.land(outcome);
    if let Some(stored) = stored {
        stored.body.compress_all().await;
        engine.store.reweigh(&stored);
    }
}

struct Fetch<'a> {
    engine: &'a Arc<Engine>,
    errand: &'a Arc<Errand>,
    previous: Option<Arc<StoredResponse>>,
    takeoff: &'a Takeoff,
}

impl Fetch<'_> {
    async fn exchange(&self, origin: &dyn FetchOrigin) -> Outcome {
        let request = self.request();
        let conditional = [IF_NONE_MATCH, IF_MODIFIED_SINCE];
        let purpose = match conditional.iter().any(|name| request.headers().contains_key(name)) {
            true => Purpose::Revalidate,
            false => Purpose::Fetch,
        };
        let head = match self.engine.asking(purpose, origin.fetch(request)).await {
            Ok(head) => head,
            Err(error) => return self.failed(&error),
        };
        let received_at = self.engine.clock.now();
        let (head, body) = head.into_parts();
        if head.status == StatusCode::NOT_MODIFIED {
            return match &self.previous {
                Some(previous) if purpose == Purpose::Revalidate => {
                    self.confirmed(previous, &head, received_at)
                }
                // A 304 to a request without conditions answers nothing.
                _ => Outcome::Failed(ProxyError::OriginBroken),
            };
        }
        let limit = self.limit();
        let mut body = DecodedBody::new(&head.headers, body);
        let whole = match body.read_to_end(limit).await {
            Ok(Some(whole)) => whole,
            Ok(None) => return self.oversized(&head, body),
            Err(error) => {
                tracing::info!(%error, operation = %self.errand.operation.name, "the origin's answer broke off");
                return Outcome::Failed(ProxyError::OriginBroken);
            }
        };
        let examined = examine(self.engine, self.errand, &head, body.is_plain(), whole).await;
        let Examined { tags, body } = match examined {
            Ok(examined) => examined,
            Err(error) => return Outcome::Failed(error),
        };
        let lifetimes = self.lifetimes(head.status, &head.headers, received_at);
        match lifetimes.and_then(|lifetimes| Ok((lifetimes, tags?))) {
            Ok((lifetimes, tags)) => {
                let initial_age = storability::initial_age(&head.headers);
                let freshness =
                    Freshness { received_at, initial_age, lifetimes, must_revalidate: false };
                self.store(&head, tags, body, freshness)
            }
            Err(reason) => {
                let mut headers = kept_fields(&head.headers);
                if reason == Unstorable::ContentEncoding
                    && let Some(coding) = head.headers.get(CONTENT_ENCODING)
                {
                    headers.insert(CONTENT_ENCODING, coding.clone());
                }
                Outcome::Unstored(Arc::new(UnstoredResponse {
                    status: head.status,
                    headers,
                    body: Arc::new(body),
                    reason,
                }))
            }
        }
    }

    /// How much of an answer is gathered before it is given up to be streamed: nothing of one that
    /// was too large a moment ago.
    fn limit(&self) -> usize {
        match self.engine.flights.goes_alone(&self.errand.question.key) {
            Some(Unstorable::TooLarge) => 0,
            _ => self.engine.config.limits.stored_body_bytes,
        }
    }

    fn failed(&self, error: &OriginError) -> Outcome {
        let source = error.source().map(ToString::to_string);
        tracing::info!(%error, source, operation = %self.errand.operation.name, "a fetch failed");
        Outcome::Failed(error.into())
    }

    /// What is sent: the canonical form that the key was made of, and nothing else of the client's.
    fn request(&self) -> Request<Bytes> {
        let forward = &self.errand.question.forward;
        let mut request = Request::new(forward.body.clone());
        *request.method_mut() = self.errand.operation.method.clone();
        *request.uri_mut() = forward.path_and_query.clone().into();
        let headers = request.headers_mut();
        headers.clone_from(&forward.headers);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        // As received: canonical, so without the client's version (RFC 9110 §7.6.3 on loops).
        add_via(Version::HTTP_11, headers);
        if let Some(authorization) = &self.errand.asker.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if let Some(previous) = &self.previous {
            if let Some(etag) = &previous.validator {
                headers.insert(IF_NONE_MATCH, etag.clone());
            } else if let Some(date) = previous.headers.get(LAST_MODIFIED) {
                headers.insert(IF_MODIFIED_SINCE, date.clone());
            }
        }
        request
    }

    /// How long the answer may be kept: what its head allows, within the credentials' own life.
    fn lifetimes(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Lifetimes, Unstorable> {
        let absent = self.engine.config.absent.fresh_for;
        let of_operation = self.errand.operation.lifetimes;
        let lifetimes = storability::lifetimes(status, headers, of_operation, absent)?;
        match self.errand.asker.expires_at {
            None => Ok(lifetimes),
            Some(end) if end <= now => Err(Unstorable::CredentialEnds),
            Some(end) => Ok(lifetimes.within(end.saturating_since(now))),
        }
    }

    fn store(&self, head: &Parts, tags: TagSet, body: StoredBody, freshness: Freshness) -> Outcome {
        let mut headers = kept_fields(&head.headers);
        let validator = headers.remove(ETAG);
        let stored = Arc::new(StoredResponse {
            key: self.errand.question.key.clone(),
            fetch_seq: self.takeoff.fetch_seq(),
            freshness,
            status: head.status,
            headers,
            validator,
            tags,
            body: Arc::new(body),
            last_found_usable: LastFoundUsable::default(),
        });
        self.engine.store.put(&stored);
        Outcome::Stored(stored)
    }

    /// A 304: what is stored is confirmed as of this fetch's stamp (RFC 9111 §4.3.4).
    fn confirmed(
        &self,
        previous: &Arc<StoredResponse>,
        head: &Parts,
        received_at: Timestamp,
    ) -> Outcome {
        let lifetimes = match self.lifetimes(previous.status, &head.headers, received_at) {
            Ok(lifetimes) => lifetimes,
            Err(reason) => {
                return Outcome::Unstored(Arc::new(UnstoredResponse {
                    status: previous.status,
                    headers: previous.headers.clone(),
                    body: Arc::clone(&previous.body),
                    reason,
                }));
            }
        };
        let mut updates = kept_fields(&head.headers);
        let validator = updates.remove(ETAG).or_else(|| previous.validator.clone());
        updates.remove(CONTENT_TYPE);
        let mut headers = previous.headers.clone();
        for name in updates.keys() {
            headers.remove(name);
        }
        for (name, value) in &updates {
            headers.append(name, value.clone());
        }
        let stored = Arc::new(StoredResponse {
            key: previous.key.clone(),
            fetch_seq: self.takeoff.fetch_seq(),
            freshness: Freshness {
                received_at,
                initial_age: storability::initial_age(&head.headers),
                lifetimes,
                must_revalidate: false,
            },
            status: previous.status,
            headers,
            validator,
            tags: previous.tags.clone(),
            body: Arc::clone(&previous.body),
            last_found_usable: LastFoundUsable::default(),
        });
        self.engine.store.put(&stored);
        Outcome::Stored(stored)
    }

    /// An answer past the limit: one client streams it, and is cut off where the origin stands
    /// still for as long as it may for its first byte.
    fn oversized(&self, head: &Parts, body: DecodedBody) -> Outcome {
        let stall_timeout = self.engine.config.origin.first_byte_timeout;
        let is_as_sent = body.is_as_sent();
        let mut response = Response::new(body.into_body(stall_timeout));
        *response.status_mut() = head.status;
        let mut headers = kept_fields(&head.headers);
        if is_as_sent {
            for name in [CONTENT_LENGTH, CONTENT_ENCODING] {
                if let Some(value) = head.headers.get(&name) {
                    headers.insert(name, value.clone());
                }
            }
        }
        *response.headers_mut() = headers;
        Outcome::Oversized(Arc::new(Oversized::new(response)))
    }
}

/// The fields that describe the answer itself. What describes the message it came in, the one
/// client it went to, or another shop's web origin, stays behind.
///
/// The values are copied: as they came, each would keep the whole read buffer of its connection in
/// memory for as long as the answer is stored.
fn kept_fields(headers: &HeaderMap) -> HeaderMap {
    const ABOUT_THE_MESSAGE: [HeaderName; 6] =
        [CONTENT_LENGTH, CONTENT_ENCODING, AGE, ACCEPT_RANGES, SET_COOKIE, TRAILER];
    let mut end_to_end = headers.clone();
    remove_hop_by_hop(&mut end_to_end);
    for name in ABOUT_THE_MESSAGE {
        end_to_end.remove(name);
    }
    super::cors::strip(&mut end_to_end);
    let mut kept = HeaderMap::with_capacity(end_to_end.len());
    for (name, value) in &end_to_end {
        if let Ok(copy) = HeaderValue::from_bytes(value.as_bytes()) {
            kept.append(name, copy);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_one_message_is_not_kept() {
        let headers: HeaderMap = [
            ("content-type", "application/json"),
            ("last-modified", "Sun, 22 Nov 2026 12:00:00 GMT"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("trailer", "x-sum"),
            ("transfer-encoding", "chunked"),
            ("proxy-authentication-info", "nextnonce=1"),
            ("age", "3"),
            ("set-cookie", "a=b"),
        ]
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
        let kept = kept_fields(&headers);
        let names: Vec<_> = kept.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["content-type", "last-modified"]);
    }
}
