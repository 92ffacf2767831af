//! One fetch of an answer that may be stored: stamp, look elsewhere, ask, read to the end, store,
//! land, share.
//!
//! A fetch is a task of its own. The client that started it may leave without ending it; the next
//! one will want the answer. It reads the whole answer before anybody gets any of it, up to
//! `limits.stored_body_bytes`: so a body that breaks off in the middle is an error with a proper
//! status instead of half an answer, links to the next page can be rewritten, and a stale answer
//! can stand in. Past the limit, and where its head says already that it is not to be stored, one
//! client streams the answer and nothing is kept.
//!
//! What differs between an operation of the catalogue and a URL that it does not know is in
//! `operation` and `resource`: the request that is made, and what its answer means.

mod consult;
mod operation;
pub mod pieces;
mod resource;

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, DATE, HeaderName, TRAILER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::asking::{FetchOrigin, Leave, Purpose, Standing, failed};
use super::decoded_body::{DecodedBody, OriginBody};
use super::fields::remove_hop_by_hop;
use super::flight::{Outcome, StreamedResponse, Takeoff};
use super::{Engine, Errand};
use crate::body::BodyError;
use crate::cache_key::CacheKey;
use crate::caching::freshness::Freshness;
use crate::caching::lifetime::Exchange;
use crate::caching::storability::Unstorable;
use crate::caching::{http_date, validation};
use crate::clock::Timestamp;
use crate::error::ProxyError;
use crate::purge::LastFoundUsable;
use crate::store::Lease;
use crate::stored_response::{LetGo, StoredFields, StoredResponse};
use crate::tag::TagSet;
use consult::Consulted;

pub use consult::Source;

/// Runs a fetch to its end, and lands it.
pub async fn run(
    engine: Arc<Engine>,
    origin: Arc<dyn FetchOrigin>,
    errand: Errand,
    previous: Option<Arc<StoredResponse>>,
    (source, standing): (Source, Standing),
    takeoff: Takeoff,
) {
    let (previous, lease) = match engine.consult(&errand, previous, source).await {
        Consulted::Found(stored) => return takeoff.land(Outcome::Found(stored)),
        Consulted::Nothing { previous, lease } => (previous, lease),
        Consulted::Elsewhere { previous } => (previous, None),
    };
    let fetch = Fetch { engine: &engine, errand: &errand, previous, takeoff: &takeoff };
    let limit = engine.config.origin.fetch_timeout;
    let outcome = tokio::time::timeout(limit, fetch.exchange(&*origin, standing))
        .await
        .unwrap_or(Outcome::Failed(ProxyError::OriginTimeout));
    let previous = fetch.previous;
    finish(&engine, &errand, previous, (takeoff, lease), outcome).await;
}

/// Lands a fetch, and does what its outcome asks for.
async fn finish(
    engine: &Arc<Engine>,
    errand: &Errand,
    previous: Option<Arc<StoredResponse>>,
    (takeoff, lease): (Takeoff, Option<Lease>),
    outcome: Outcome,
) {
    if let Some(reason) = outcome.unstored_because() {
        engine.metrics.unstored.with_label_values(&[reason.as_str()]).inc();
        // Not renewed while it stands: what is refused because of it proves nothing new.
        let is_known = engine.flights.goes_alone(takeoff.key()).is_some();
        if !outcome.may_be_shared() && !errand.is_personal() && !is_known {
            engine.flights.remember_alone(takeoff.key(), reason);
        }
    }
    // What the origin says to somebody is no word on what it says to everybody.
    if outcome.ends_what_is_stored()
        && !errand.carries_credentials()
        && let Some(previous) = &previous
    {
        engine.unshare(previous);
    }
    let stored = outcome.stored().cloned();
    takeoff.land(outcome);
    if let Some(stored) = stored {
        engine.share(errand, &stored, lease);
    }
}

struct Fetch<'a> {
    engine: &'a Arc<Engine>,
    errand: &'a Errand,
    previous: Option<Arc<StoredResponse>>,
    takeoff: &'a Takeoff,
}

/// A 304 that is about another answer than the one that was asked about.
struct Misconfirmed;

impl Fetch<'_> {
    async fn exchange(&self, origin: &dyn FetchOrigin, standing: Standing) -> Outcome {
        match self.attempt(origin, standing, self.previous.as_ref()).await {
            Ok(outcome) => outcome,
            Err(Misconfirmed) => self.exchange_anew(origin, standing).await,
        }
    }

    /// Asks once more, for all of it: what is stored must not be updated by an answer that is not
    /// about it (RFC 9111 §4.3.4), and that answer holds nothing else.
    async fn exchange_anew(&self, origin: &dyn FetchOrigin, standing: Standing) -> Outcome {
        let again = self.attempt(origin, standing, None).await;
        again.unwrap_or(Outcome::Failed(ProxyError::OriginBroken))
    }

    /// Asks the origin, whether `previous` still stands where there is one.
    async fn attempt(
        &self,
        origin: &dyn FetchOrigin,
        standing: Standing,
        previous: Option<&Arc<StoredResponse>>,
    ) -> Result<Outcome, Misconfirmed> {
        let request = match self.errand {
            Errand::Operation(errand) => operation::request(errand, previous),
            Errand::Resource(resource) => resource::request(resource, previous),
        };
        let (request, asks_about_previous) = request;
        // A client's own conditions are about what the client has.
        let validated = previous.filter(|_| asks_about_previous);
        let purpose = match validated {
            Some(_) => Purpose::Revalidate,
            None => Purpose::Fetch,
        };
        let mut sent_at = Timestamp::default();
        let departing = Box::new(|| {
            sent_at = self.engine.clock.now();
            (purpose, request)
        });
        let class = self.errand.operation().map(|operation| operation.class);
        let response = match origin.fetch(Leave { class, standing }, departing).await {
            Ok(response) => response,
            Err(error) => return Ok(Outcome::Failed(failed(&error, self.errand.name()))),
        };
        let exchange = Exchange { sent_at, received_at: self.engine.clock.now() };
        self.received(validated, response, exchange).await
    }

    /// What the origin's answer comes to; `validated` is what it was asked about.
    async fn received(
        &self,
        validated: Option<&Arc<StoredResponse>>,
        response: Response<OriginBody>,
        exchange: Exchange,
    ) -> Result<Outcome, Misconfirmed> {
        let (head, body) = response.into_parts();
        if head.status == StatusCode::NOT_MODIFIED
            && let Some(previous) = validated
        {
            if !validation::confirms(&head.headers, &previous.headers()) {
                return Err(Misconfirmed);
            }
            return Ok(match self.errand {
                Errand::Operation(errand) => {
                    self.confirm_operation(errand, previous, &head, exchange)
                }
                Errand::Resource(resource) => {
                    self.confirm_resource(resource, previous, &head, exchange)
                }
            });
        }
        match self.errand {
            Errand::Operation(errand) => Ok(self.take_answer(errand, head, body, exchange).await),
            Errand::Resource(resource) => {
                self.take_representation(resource, head, body, exchange).await
            }
        }
    }

    /// How much of an answer is gathered before it is given up to be streamed: nothing of one that
    /// was too large a moment ago.
    fn limit(&self) -> usize {
        match self.engine.flights.goes_alone(self.takeoff.key()) {
            Some(Unstorable::TooLarge) => 0,
            _ => self.engine.config.limits.stored_body_bytes,
        }
    }

    fn broke_off(&self, error: &BodyError) -> Outcome {
        tracing::info!(%error, operation = self.errand.name(), "the origin's answer broke off");
        Outcome::Failed(ProxyError::OriginBroken)
    }

    /// The stored answer, confirmed as of this fetch's stamp (RFC 9111 §4.3.4).
    fn confirmed(
        &self,
        previous: &Arc<StoredResponse>,
        key: CacheKey,
        headers: HeaderMap,
        tags: TagSet,
        freshness: Freshness,
    ) -> Arc<StoredResponse> {
        let stored = Arc::new(StoredResponse {
            key,
            stamp: self.takeoff.stamp(),
            freshness,
            status: previous.status,
            fields: StoredFields::of(&headers),
            tags,
            body: Arc::clone(&previous.body),
            last_found_usable: LastFoundUsable::default(),
            let_go: LetGo::default(),
        });
        if stored.key != previous.key {
            self.engine.unshare(previous);
        }
        self.engine.store.put(&stored);
        stored
    }

    /// An answer that is not stored: one client streams it, and is cut off where the origin stands
    /// still for as long as it may for its first byte.
    fn streamed(
        &self,
        status: StatusCode,
        headers: HeaderMap,
        body: DecodedBody,
        reason: Unstorable,
    ) -> Outcome {
        let stall_timeout = self.engine.config.origin.first_byte_timeout;
        let mut response = Response::new(body.into_body(stall_timeout));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Outcome::Streamed(Arc::new(StreamedResponse::new(response, reason)))
    }
}

/// The fields of an answer that are stored: those that describe the answer itself and not the
/// message it came in (RFC 9111 §3.1), but for those that are to be `left_out`.
///
/// The values are copied: as they came, each would keep the whole read buffer of its connection in
/// memory for as long as the answer is stored.
pub(super) fn kept_fields(
    headers: &HeaderMap,
    left_out: &[HeaderName],
    received_at: Timestamp,
) -> HeaderMap {
    let mut end_to_end = headers.clone();
    remove_hop_by_hop(&mut end_to_end);
    for name in [CONTENT_LENGTH, TRAILER].iter().chain(left_out) {
        end_to_end.remove(name);
    }
    let mut kept = HeaderMap::with_capacity(end_to_end.len() + 1);
    for (name, value) in &end_to_end {
        if let Ok(copy) = HeaderValue::from_bytes(value.as_bytes()) {
            kept.append(name, copy);
        }
    }
    // A recipient with a clock adds what the origin left out (RFC 9110 §6.6.1).
    kept.entry(DATE).or_insert_with(|| http_date::format(received_at));
    kept
}
