//! Keeping what the generic policy admits: within the operator's bounds, as the variant that it is,
//! under the tags by which it can be invalidated.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};

use super::cors;
use super::engine::Engine;
use super::fetch::kept_fields;
use super::resource::Resource;
use crate::cache_key::CacheKey;
use crate::caching::admission::Admission;
use crate::caching::freshness::Freshness;
use crate::caching::groups::groups;
use crate::caching::lifetime::Exchange;
use crate::purge::{LastFoundUsable, Stamp};
use crate::stored_response::{LetGo, StoredBody, StoredFields, StoredResponse};
use crate::tag::{Tag, TagSet};

impl Engine {
    /// Stores a representation whose fetch was stamped so.
    pub(super) fn keep(
        &self,
        resource: &Resource,
        key: CacheKey,
        stamp: Stamp,
        freshness: Freshness,
        (status, headers, body): (StatusCode, HeaderMap, Bytes),
    ) -> Arc<StoredResponse> {
        let stored = Arc::new(StoredResponse {
            key,
            stamp,
            freshness: self.bounded(freshness),
            status,
            tags: tags(resource, &headers),
            fields: StoredFields::of(&headers),
            body: Arc::new(StoredBody::verbatim(body)),
            last_found_usable: LastFoundUsable::default(),
            let_go: LetGo::default(),
        });
        self.store.put(&stored);
        stored
    }

    /// The fields of an answer that are kept.
    pub(super) fn fields_of(
        &self,
        headers: &HeaderMap,
        admission: &Admission,
        exchange: Exchange,
    ) -> HeaderMap {
        let mut headers = kept_fields(headers, &admission.omitted, exchange.received_at);
        self.without_cors(&mut headers);
        headers
    }

    /// Where this node answers for cross-origin reading, the origin does not.
    pub(super) fn without_cors(&self, headers: &mut HeaderMap) {
        if self.cors.is_some() {
            cors::strip(headers);
        }
    }

    /// Within the operator's bounds.
    pub(super) fn bounded(&self, freshness: Freshness) -> Freshness {
        let generic = &self.config.generic;
        let longest = freshness.initial_age.saturating_add(generic.max_fresh_for);
        let mut bounded = Freshness { keep_for: generic.keep_for, ..freshness };
        let lifetimes = &mut bounded.lifetimes;
        lifetimes.fresh_for = lifetimes.fresh_for.min(longest);
        let longest_stale = generic.max_fresh_for.max(generic.stale_if_error);
        for window in [&mut lifetimes.stale_while_revalidate, &mut lifetimes.stale_if_error] {
            *window = (*window).min(longest_stale);
        }
        bounded
    }

    /// Notes that there will be this variant, and makes room for it.
    pub(super) fn note_variant(&self, resource: &Resource, names: &[HeaderName]) -> CacheKey {
        let key = resource.variant_key(names, &self.key_seed);
        self.note(resource, names, &key);
        key
    }

    /// The same for a key that is known, such as that of a part.
    pub(super) fn note(&self, resource: &Resource, names: &[HeaderName], key: &CacheKey) {
        if let Some(displaced) = self.variants.note(resource.key(), names, key.digest()) {
            self.store.remove_variant(displaced);
        }
    }
}

/// The URL, and the groups that the origin put it into.
pub(super) fn tags(resource: &Resource, headers: &HeaderMap) -> TagSet {
    let groups = groups(headers);
    let groups = groups.iter().map(|group| Tag::of_group(group));
    groups.chain([resource.tag(), Tag::generic(), Tag::everything()]).collect()
}
