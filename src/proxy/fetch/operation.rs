//! A fetch of an operation's answer: how long it is good for is the catalogue's to say, whether it
//! may be kept at all is the origin's.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, AGE, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_TYPE, HeaderName, SET_COOKIE,
};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Version};

use super::super::Engine;
use super::super::cors;
use super::super::decoded_body::{DecodedBody, OriginBody};
use super::super::errand::{OperationErrand, Part};
use super::super::examine::{Examined, examine};
use super::super::fields::add_via;
use super::super::flight::{Outcome, Takeoff, UnstoredResponse};
use super::super::identity::Asker;
use super::{Fetch, kept_fields};
use crate::caching::freshness::Freshness;
use crate::caching::lifetime::Exchange;
use crate::caching::storability::{self, Unstorable};
use crate::caching::validation;
use crate::clock::Timestamp;
use crate::operation::{Lifetimes, Operation};
use crate::purge::{LastFoundUsable, Rule, Stamp};
use crate::question::Forward;
use crate::stored_response::{LetGo, StoredBody, StoredFields, StoredResponse};
use crate::tag::TagSet;

/// What this cache makes itself, and what is one client's: none of it is kept.
const NOT_KEPT: [HeaderName; 3] = [CONTENT_ENCODING, ACCEPT_RANGES, SET_COOKIE];

/// What is sent: the canonical form that the key was made of, and nothing else of the client's. And
/// whether it asks if `previous` still stands.
pub(super) fn request(
    errand: &OperationErrand,
    previous: Option<&Arc<StoredResponse>>,
) -> (Request<Bytes>, bool) {
    let mut request = request_of(&errand.operation, &errand.asker, &errand.question.forward);
    let headers = request.headers_mut();
    let asks_about_previous =
        previous.is_some_and(|previous| validation::add_conditions(&previous.headers(), headers));
    (request, asks_about_previous)
}

/// A request of the canonical form, as whoever asks.
pub(super) fn request_of(
    operation: &Operation,
    asker: &Asker,
    forward: &Forward,
) -> Request<Bytes> {
    let mut request = Request::new(forward.body.clone());
    *request.method_mut() = operation.method.clone();
    *request.uri_mut() = forward.path_and_query.clone().into();
    let headers = request.headers_mut();
    *headers = forward.headers();
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    // As received: canonical, so without the client's version (RFC 9110 §7.6.3 on loops).
    add_via(Version::HTTP_11, headers);
    if let Some(authorization) = &asker.authorization {
        headers.insert(AUTHORIZATION, authorization.clone());
    }
    request
}

impl OperationErrand {
    /// Whether it is for one thing of a list, and this is the answer of an origin that leaves it out.
    fn leaves_out(&self, body: &StoredBody) -> bool {
        let (Part::Piece(id), Some(decomposition)) = (&self.part, &self.operation.decomposition)
        else {
            return false;
        };
        body.layout(decomposition, id).is_ok_and(|layout| layout.items() == 0)
    }
}

impl Engine {
    /// When an answer came, and how long it may be kept: what its head allows, within the
    /// credentials' own life.
    pub(super) fn freshness_of(
        &self,
        errand: &OperationErrand,
        status: StatusCode,
        headers: &HeaderMap,
        Exchange { received_at, .. }: Exchange,
    ) -> Result<Freshness, Unstorable> {
        let absent = self.config.absent.fresh_for;
        let targets = &self.http_rules.targets;
        let of_operation = errand.operation.lifetimes;
        let lifetimes = storability::lifetimes(status, headers, targets, of_operation, absent)?;
        let lifetimes = within_credentials(lifetimes, errand.asker.expires_at, received_at)?;
        Ok(Freshness::of_catalogue(received_at, storability::initial_age(headers), lifetimes))
    }

    /// The stamp that what a fetch brings is stored with.
    pub(super) fn stamp_of(&self, takeoff: &Takeoff) -> Stamp {
        let plane = self.plane();
        if plane.keeps(Rule::StampBefore) { takeoff.stamp() } else { plane.stamp() }
    }
}

impl Fetch<'_> {
    pub(super) async fn take_answer(
        &self,
        errand: &Arc<OperationErrand>,
        head: Parts,
        body: OriginBody,
        exchange: Exchange,
    ) -> Outcome {
        if head.status == StatusCode::NOT_MODIFIED {
            // To a request without conditions it answers nothing.
            return Outcome::Failed(crate::error::ProxyError::OriginBroken);
        }
        let mut body = DecodedBody::new(&head.headers, body);
        let whole = match body.read_to_end(self.limit()).await {
            Ok(Some(whole)) => whole,
            Ok(None) => return self.oversized(&head, body, exchange),
            Err(error) => return self.broke_off(&error),
        };
        let examined = examine(self.engine, errand, &head, body.is_plain(), whole).await;
        let Examined { tags, body } = match examined {
            Ok(examined) => examined,
            Err(error) => return Outcome::Failed(error),
        };
        let headers = kept_of(&head.headers, exchange);
        let is_absent = head.status == StatusCode::OK && errand.leaves_out(&body);
        let status = if is_absent { StatusCode::NOT_FOUND } else { head.status };
        let freshness = self.engine.freshness_of(errand, status, &head.headers, exchange);
        match freshness.and_then(|freshness| Ok((freshness, tags?))) {
            Ok((freshness, tags)) => {
                let stored = self.store_answer(errand, head.status, headers, tags, body, freshness);
                self.learn(errand, &stored, exchange);
                Outcome::Stored(stored, None)
            }
            Err(reason) => {
                let mut headers = headers;
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

    fn store_answer(
        &self,
        errand: &OperationErrand,
        status: StatusCode,
        headers: HeaderMap,
        tags: TagSet,
        body: StoredBody,
        freshness: Freshness,
    ) -> Arc<StoredResponse> {
        let stored = Arc::new(StoredResponse {
            key: errand.question.key.clone(),
            stamp: self.engine.stamp_of(self.takeoff),
            freshness,
            status,
            fields: StoredFields::of(&headers),
            tags,
            body: Arc::new(body),
            last_found_usable: LastFoundUsable::default(),
            let_go: LetGo::default(),
        });
        self.engine.store.put(&stored);
        stored
    }

    /// Learns from the answer for a whole list. Where that does not come apart, it stays as it is.
    fn learn(&self, errand: &OperationErrand, stored: &StoredResponse, exchange: Exchange) {
        if let Part::WholeOf(listed) = &errand.part
            && stored.status == StatusCode::OK
            && let Err(unfit) = self.engine.learn_from(listed, stored, exchange)
        {
            let labels = [&*errand.operation.name, unfit.as_str()];
            self.engine.metrics.undivided.with_label_values(&labels).inc();
        }
    }

    pub(super) fn confirm_operation(
        &self,
        errand: &OperationErrand,
        previous: &Arc<StoredResponse>,
        head: &Parts,
        exchange: Exchange,
    ) -> Outcome {
        let is_absent = previous.status == StatusCode::OK && errand.leaves_out(&previous.body);
        let status = if is_absent { StatusCode::NOT_FOUND } else { previous.status };
        let freshness = match self.engine.freshness_of(errand, status, &head.headers, exchange) {
            Ok(freshness) => freshness,
            Err(reason) => {
                return Outcome::Unstored(Arc::new(UnstoredResponse {
                    status: previous.status,
                    headers: previous.headers(),
                    body: Arc::clone(&previous.body),
                    reason,
                }));
            }
        };
        let mut newer = kept_of(&head.headers, exchange);
        // The body was understood as what it was said to be.
        newer.remove(CONTENT_TYPE);
        let mut headers = previous.headers();
        // The age of the message that brought it, which is not this one.
        headers.remove(AGE);
        validation::update(&mut headers, &newer);
        let (key, tags) = (previous.key.clone(), previous.tags.clone());
        Outcome::Confirmed(self.confirmed(previous, key, headers, tags, freshness), None)
    }

    fn oversized(&self, head: &Parts, body: DecodedBody, exchange: Exchange) -> Outcome {
        let mut headers = kept_of(&head.headers, exchange);
        if body.is_as_sent() {
            for name in [CONTENT_LENGTH, CONTENT_ENCODING] {
                if let Some(value) = head.headers.get(&name) {
                    headers.insert(name, value.clone());
                }
            }
        }
        self.streamed(head.status, headers, body, Unstorable::TooLarge)
    }
}

/// The fields that are kept of an answer.
pub(super) fn kept_of(headers: &HeaderMap, exchange: Exchange) -> HeaderMap {
    let mut headers = kept_fields(headers, &NOT_KEPT, exchange.received_at);
    cors::strip(&mut headers);
    headers
}

fn within_credentials(
    lifetimes: Lifetimes,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Lifetimes, Unstorable> {
    match expires_at {
        None => Ok(lifetimes),
        Some(end) if end <= now => Err(Unstorable::CredentialEnds),
        Some(end) => Ok(lifetimes.within(end.saturating_since(now))),
    }
}
