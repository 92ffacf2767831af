//! A fetch of a URL's representation under the generic policy: everything is the origin's to say,
//! by RFC 9111.

mod part;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    AGE, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, LAST_MODIFIED, SET_COOKIE, TRAILER,
};
use http::response::Parts;
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, Version};

use super::super::decoded_body::{DecodedBody, OriginBody};
use super::super::fields::{add_via, remove_hop_by_hop};
use super::super::flight::{Outcome, UnstoredResponse, Withheld};
use super::super::keep;
use super::super::resource::Resource;
use super::{Fetch, Misconfirmed};
use crate::caching::admission::{Admission, admit};
use crate::caching::http_date;
use crate::caching::lifetime::Exchange;
use crate::caching::storability::Unstorable;
use crate::caching::validation::{self, HeadVerdict};
use crate::caching::vary::{Vary, vary};
use crate::error::ProxyError;
use crate::purge::{PurgeState, Strictness};
use crate::stored_response::StoredResponse;

/// What is sent: the client's own request, but for what belongs to its connection. A validation of
/// what is stored asks with our conditions instead of the client's; whether it is one is told too.
pub(super) fn request(
    resource: &Resource,
    previous: Option<&Arc<StoredResponse>>,
) -> (Request<Bytes>, bool) {
    let mut request = Request::new(Bytes::new());
    *request.method_mut() = resource.method.clone();
    *request.uri_mut() = resource.target.clone().into();
    let headers = request.headers_mut();
    headers.clone_from(&resource.headers);
    add_via(Version::HTTP_11, headers);
    let asks_about_previous = match previous {
        None => false,
        // A HEAD has no body to be spared: its answer is compared with what is stored instead.
        Some(_) if resource.method != Method::GET => false,
        Some(part) if part.status == StatusCode::PARTIAL_CONTENT => {
            part::ask_for_rest(resource, part, headers);
            false
        }
        Some(previous) => validation::add_conditions(&previous.headers(), headers),
    };
    (request, asks_about_previous)
}

impl Fetch<'_> {
    pub(super) async fn take_representation(
        &self,
        resource: &Resource,
        head: Parts,
        body: OriginBody,
        exchange: Exchange,
    ) -> Result<Outcome, Misconfirmed> {
        let body = DecodedBody::as_sent(body);
        if resource.method == Method::HEAD {
            self.learn_from_head(resource, &head, exchange);
            return Ok(self.through(&head, body, Unstorable::Head));
        }
        if head.status == StatusCode::NOT_MODIFIED {
            // An answer to the client's own conditions: to a request without them it answers
            // nothing.
            return Ok(match resource.is_conditional() {
                true => self.through(&head, body, Unstorable::NotModified),
                false => Outcome::Failed(ProxyError::OriginBroken),
            });
        }
        if head.status == StatusCode::RANGE_NOT_SATISFIABLE && !resource.wants_part() {
            // The rest of a part that is held, of something that is shorter by now.
            return Err(Misconfirmed);
        }
        if head.status == StatusCode::PARTIAL_CONTENT {
            return self.take_part(resource, head, body, exchange).await;
        }
        let admitted =
            admit(&resource.facts, head.status, &head.headers, exchange, &self.engine.http_rules);
        Ok(match admitted {
            Ok(admission) => {
                self.store_representation(resource, &head, body, admission, exchange).await
            }
            Err(reason) => self.through(&head, body, reason),
        })
    }

    async fn store_representation(
        &self,
        resource: &Resource,
        head: &Parts,
        mut body: DecodedBody,
        admission: Admission,
        exchange: Exchange,
    ) -> Outcome {
        let Vary::Fields(names) = vary(&head.headers) else {
            return self.through(head, body, Unstorable::VaryAny);
        };
        let whole = match body.read_to_end(self.limit()).await {
            Ok(Some(whole)) => whole,
            Ok(None) => return self.through(head, body, Unstorable::TooLarge),
            Err(error) => return self.broke_off(&error),
        };
        let headers = self.engine.fields_of(&head.headers, &admission, exchange);
        let variant = self.engine.note_variant(resource, &names);
        let withheld = withheld(&head.headers, &admission.omitted);
        let stamp = self.takeoff.stamp();
        let kept = (head.status, headers, whole);
        let stored = self.engine.keep(resource, variant, stamp, admission.freshness, kept);
        Outcome::Stored(stored, withheld)
    }

    pub(super) fn confirm_resource(
        &self,
        resource: &Resource,
        previous: &Arc<StoredResponse>,
        head: &Parts,
        exchange: Exchange,
    ) -> Outcome {
        let headers = updated(previous, &head.headers, exchange);
        let rules = &self.engine.http_rules;
        match admit(&resource.facts, previous.status, &headers, exchange, rules) {
            Ok(admission) => {
                let Vary::Fields(names) = vary(&headers) else {
                    return self.unstored(previous, headers, Unstorable::VaryAny);
                };
                let headers = self.engine.fields_of(&headers, &admission, exchange);
                // It may vary by other fields from now on.
                let key = self.engine.note_variant(resource, &names);
                let tags = keep::tags(resource, &headers);
                let freshness = self.engine.bounded(admission.freshness);
                let stored = self.confirmed(previous, key, headers, tags, freshness);
                Outcome::Confirmed(stored, withheld(&head.headers, &[SET_COOKIE]))
            }
            // It stands, for this client alone.
            Err(reason) => self.unstored(previous, headers, reason),
        }
    }

    fn unstored(
        &self,
        previous: &StoredResponse,
        headers: HeaderMap,
        reason: Unstorable,
    ) -> Outcome {
        Outcome::Unstored(Arc::new(UnstoredResponse {
            status: previous.status,
            headers,
            body: Arc::clone(&previous.body),
            reason,
        }))
    }

    /// A HEAD's answer is a GET's without its body: what is stored is as new as it if the two
    /// agree, and no longer what the origin would send if they do not (RFC 9111 §4.3.5).
    fn learn_from_head(&self, resource: &Resource, head: &Parts, exchange: Exchange) {
        let Some(previous) = &self.previous else { return };
        if head.status != StatusCode::OK || previous.status != StatusCode::OK {
            return;
        }
        let stored_len = previous.body.len() as u64;
        match validation::head_verdict(&head.headers, &previous.headers(), stored_len) {
            // What was made invalid is confirmed by a validator or not at all.
            HeadVerdict::Updates if !names_validator(head) && self.is_purged(previous) => {}
            HeadVerdict::Updates => {
                self.confirm_resource(resource, previous, head, exchange);
            }
            // What the origin says to somebody is no word on what it says to everybody.
            HeadVerdict::Contradicts if resource.carries_credentials() => {}
            HeadVerdict::Contradicts => self.engine.unshare(previous),
        }
    }

    fn is_purged(&self, stored: &StoredResponse) -> bool {
        stored.purge_state(self.engine.plane(), Strictness::Lenient) != PurgeState::Usable
    }

    /// The answer as it came, to be streamed.
    fn through(&self, head: &Parts, body: DecodedBody, reason: Unstorable) -> Outcome {
        let mut headers = head.headers.clone();
        remove_hop_by_hop(&mut headers);
        // Trailers are not passed on.
        headers.remove(TRAILER);
        self.engine.without_cors(&mut headers);
        self.streamed(head.status, headers, body, reason)
    }
}

/// The fields of what was stored, with what a later answer says anew (RFC 9111 §3.2).
fn updated(previous: &StoredResponse, newer: &HeaderMap, exchange: Exchange) -> HeaderMap {
    let mut newer = newer.clone();
    remove_hop_by_hop(&mut newer);
    // A cookie is set for the one who asked.
    newer.remove(SET_COOKIE);
    newer.entry(DATE).or_insert_with(|| http_date::format(exchange.received_at));
    let mut headers = previous.headers();
    // The age of the message that brought it, which is not this one.
    headers.remove(AGE);
    validation::update(&mut headers, &newer);
    headers
}

fn names_validator(head: &Parts) -> bool {
    [ETAG, LAST_MODIFIED].iter().any(|name| head.headers.contains_key(name))
}

/// The fields that go to the one who asked, and into no store.
fn withheld(headers: &HeaderMap, omitted: &[HeaderName]) -> Withheld {
    // What frames this one message or belongs to its connection goes to nobody.
    let mut of_answer = headers.clone();
    remove_hop_by_hop(&mut of_answer);
    for name in [CONTENT_LENGTH, CONTENT_RANGE, TRAILER] {
        of_answer.remove(name);
    }
    let mut withheld = HeaderMap::new();
    for name in omitted {
        for value in of_answer.get_all(name) {
            withheld.append(name, value.clone());
        }
    }
    (!withheld.is_empty()).then(|| Arc::new(withheld))
}
