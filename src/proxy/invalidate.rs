//! Invalidation (RFC 9111 §4.4): what an unsafe request has changed at the origin is not served
//! from the store any more.
//!
//! It is a purge of the changed URLs' tags, so it holds against a fetch that is under way, like any
//! other. Only URLs of the generic policy have such tags: what the catalogue knows is made new by
//! events, which tell more than a URL.

use http::{Method, Request, Response, Uri};

use super::engine::Engine;
use super::posted::Posted;
use super::resource;
use crate::body::{Body, BodyError};
use crate::caching::groups::invalidated_groups;
use crate::caching::invalidation::{invalidated, is_unsafe};
use crate::config::GenericPolicy;
use crate::metrics::Metrics;
use crate::purge::{PurgeSource, PurgeState};
use crate::tag::Tag;

/// Shows the counter of such purges, so that it can be watched before the first.
pub(super) fn show(metrics: &Metrics) {
    metrics.purges.with_label_values(&[PurgeSource::UnsafeRequest.as_str()]);
}

/// A request that may change something.
pub(super) struct Write {
    method: Method,
    /// Its target at the origin.
    target: Uri,
    /// What its answer may be, beside the news that something has changed.
    posted: Option<Posted>,
}

impl Engine {
    /// The request, if its method may change something and anything is stored by its URL.
    pub(super) fn write<B>(&self, request: &Request<B>) -> Option<Write> {
        if !self.stores_urls || !is_unsafe(request.method()) {
            return None;
        }
        let mut target = Uri::builder()
            .scheme(self.service_root.scheme().clone())
            .authority(self.service_root.authority().clone());
        if let Some(path_and_query) = request.uri().path_and_query() {
            target = target.path_and_query(path_and_query.clone());
        }
        // By the rules before these, something may be left that a write makes wrong; nothing is added.
        let keeps = self.config.generic.policy == GenericPolicy::Rfc9111;
        let posted = if keeps { self.posted(request) } else { None };
        Some(Write { method: request.method().clone(), target: target.build().ok()?, posted })
    }

    /// Invalidates what the answer says to have changed, and keeps the answer itself where it is
    /// what the URL stands for from now on.
    ///
    /// # Errors
    /// The answer was one to keep, and broke off.
    pub(super) async fn settle(
        &self,
        write: Write,
        response: Response<Body>,
    ) -> Result<Response<Body>, BodyError> {
        let Write { method, target, posted } = write;
        let (status, headers) = (response.status(), response.headers());
        let urls = invalidated(&method, &target, status, headers);
        let groups = invalidated_groups(&method, status, headers);
        let tags = urls.iter().filter_map(resource::tag_of);
        let tags: Vec<Tag> = tags.chain(groups.iter().map(|group| Tag::of_group(group))).collect();
        if tags.is_empty() {
            return Ok(response);
        }
        self.metrics.purges.with_label_values(&[PurgeSource::UnsafeRequest.as_str()]).inc();
        let watched = posted.as_ref().map(|posted| posted.watched(headers));
        let watched = watched.as_ref().map(|(tags, stamp)| (tags, *stamp));
        match (self.purger.invalidate(tags, watched).await, posted) {
            ((stamp, PurgeState::Usable), Some(posted)) => {
                self.keep_posted(posted, &target, stamp, response).await
            }
            _ => Ok(response),
        }
    }
}
