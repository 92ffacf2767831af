//! Answers to POST that are the representation of a URL (RFC 9110 §9.3.3): with a lifetime of the
//! origin's own, and a `Content-Location` that is the target itself, they answer later GETs.
//!
//! The POST has invalidated that URL with the very answer. So what is kept carries the number of that
//! purge, and it is kept only where no other purge came since the request left.
//!
//! A POST goes out as its client sent it. So its answer is kept only where the client sent nothing
//! that a read of the URL would not have been sent with, named nobody, called the site by a name that
//! is known to be its own, and was given no cookie.

use http::header::{HOST, SET_COOKIE};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::{BodyExt, Limited};

use super::engine::Engine;
use super::keep;
use super::resource::{Resource, says_more_than_a_read};
use crate::body::{Body, BodyError};
use crate::caching::admission::{Admission, admit};
use crate::caching::cache_control::ResponseDirectives;
use crate::caching::invalidation::is_at;
use crate::caching::lifetime::{self, Exchange};
use crate::caching::vary::{Vary, vary};
use crate::clock::Timestamp;
use crate::purge::Stamp;
use crate::tag::TagSet;

/// A POST whose answer may turn out to be a representation.
pub(super) struct Posted {
    resource: Resource,
    sent_at: Timestamp,
    /// Taken before it left.
    stamp: Stamp,
}

impl Posted {
    /// What its answer would depend on, and the stamp from before it left.
    pub(super) fn watched(&self, response: &HeaderMap) -> (TagSet, Stamp) {
        (keep::tags(&self.resource, response), self.stamp)
    }
}

impl Engine {
    /// The request, if its answer might be kept.
    pub(super) fn posted<B>(&self, request: &Request<B>) -> Option<Posted> {
        if *request.method() != Method::POST {
            return None;
        }
        let resource = self.resource(&Method::GET, request.uri(), request.headers()).ok()?;
        let rule = &self.config.generic.request_fields;
        if resource.carries_credentials()
            || says_more_than_a_read(request.headers(), rule)
            || !self.is_for_own_host(request)
        {
            return None;
        }
        let (sent_at, stamp) = (self.clock.now(), self.plane().stamp());
        Some(Posted { resource, sent_at, stamp })
    }

    /// Whether the host that the client names is the origin's, the public one, or the address that
    /// this node was told to listen at. The origin is told of it, and may have it in the links of
    /// its answer; of a read's it is not told.
    fn is_for_own_host<B>(&self, request: &Request<B>) -> bool {
        let told = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let host = request.uri().authority().map(|authority| authority.as_str()).or(told);
        let public = self.config.storefront.public_root.as_ref().and_then(Uri::authority);
        let listening = self.config.listen.storefront.to_string();
        let own = public.into_iter().chain([self.service_root.authority()]).map(Authority::as_str);
        host.is_some_and(|host| own.chain([&*listening]).any(|own| own.eq_ignore_ascii_case(host)))
    }

    /// Keeps the answer to a POST, if it is one to keep. `stamp` is that of the purge which it made
    /// itself; nothing that it depends on was purged by others since it left.
    ///
    /// # Errors
    /// The answer was one to keep, and broke off.
    pub(super) async fn keep_posted(
        &self,
        posted: Posted,
        target: &Uri,
        stamp: Stamp,
        response: Response<Body>,
    ) -> Result<Response<Body>, BodyError> {
        let Posted { resource, sent_at, .. } = posted;
        let exchange = Exchange { sent_at, received_at: self.clock.now() };
        // It is held up for its client until it is whole, so it must be small.
        let limit = self.config.limits.keyed_body_bytes;
        let is_small = response.body().size_hint().exact().is_some_and(|len| len <= limit as u64);
        let admission = self.admits_posted(&resource, target, &response, exchange);
        let (Some((admission, names)), true) = (admission, is_small) else {
            return Ok(response);
        };
        let (head, body) = response.into_parts();
        let whole = Limited::new(body, limit).collect();
        let whole = tokio::time::timeout(self.config.origin.fetch_timeout, whole).await;
        let body = whole.map_err(|_| BodyError::Stalled)?.map_err(BodyError::Source)?.to_bytes();
        let headers = self.fields_of(&head.headers, &admission, exchange);
        let variant = self.note_variant(&resource, &names);
        let kept = (head.status, headers, body.clone());
        self.keep(&resource, variant, stamp, admission.freshness, kept);
        Ok(Response::from_parts(head, Body::from(body)))
    }

    fn admits_posted(
        &self,
        resource: &Resource,
        target: &Uri,
        response: &Response<Body>,
        exchange: Exchange,
    ) -> Option<(Admission, Vec<HeaderName>)> {
        let headers: &HeaderMap = response.headers();
        let said = ResponseDirectives::of(headers, &self.http_rules.targets);
        lifetime::explicit(&said, headers, exchange.received_at)?;
        let sets_cookie = headers.contains_key(SET_COOKIE);
        if response.status() != StatusCode::OK || sets_cookie || !is_at(target, headers) {
            return None;
        }
        let Vary::Fields(names) = vary(headers) else { return None };
        let rules = &self.http_rules;
        let admission = admit(&resource.facts, StatusCode::OK, headers, exchange, rules).ok()?;
        Some((admission, names))
    }
}
