//! What the store has for a key: fresh, stale, or nothing that may be used.

use std::sync::Arc;
use std::time::Duration;

use super::cache_status::Forwarded;
use super::errand::Errand;
use super::flight::Outcome;
use super::listed::ListedErrand;
use super::resource::Resource;
use crate::cache_key::{CacheKey, Field};
use crate::caching::cache_control::RequestDirectives;
use crate::caching::freshness::{Judgement, StaleUse, judge};
use crate::caching::partial;
use crate::caching::range::Selection;
use crate::caching::vary::{Vary, vary};
use crate::clock::Timestamp;
use crate::purge::{PurgePlane, Strictness};
use crate::store::Selecting;
use crate::stored_response::StoredResponse;

/// How often an answer is fetched anew at most while the node is fenced.
const REVALIDATED_BEHIND_FENCE: Duration = Duration::from_secs(30);

/// The state of a look-up.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// To be served.
    Fresh(Arc<StoredResponse>),
    /// To be served only as far as [`StaleUse`] says.
    Stale(Arc<StoredResponse>, StaleUse),
    /// There, and this client will not have it before the origin has confirmed it.
    Refused(Arc<StoredResponse>, StaleUse),
    /// There, never to be served again; the origin may still confirm it.
    Purged(Arc<StoredResponse>),
    /// A part of it is there, and not the one that is asked for.
    Part(Arc<StoredResponse>),
    /// Not there, though other variants of the URL may be.
    OtherVariant,
    /// Not there.
    Absent,
}

impl Lookup {
    /// Judges what was found, by time, by purges, and by what the client asks of caches.
    pub fn of(
        stored: Arc<StoredResponse>,
        plane: &PurgePlane,
        strictness: Strictness,
        directives: &RequestDirectives,
        now: Timestamp,
    ) -> Self {
        let purged = stored.purge_state(plane, strictness);
        match judge(&stored.freshness, purged, directives, now) {
            Some(Judgement::Fresh) => Self::Fresh(stored),
            Some(Judgement::Stale(stale)) => Self::Stale(stored, stale),
            Some(Judgement::Refused(stale)) => Self::Refused(stored, stale),
            None => Self::Purged(stored),
        }
    }

    /// What the origin can be asked to confirm.
    pub const fn previous(&self) -> Option<&Arc<StoredResponse>> {
        match self {
            Self::Fresh(stored)
            | Self::Stale(stored, _)
            | Self::Refused(stored, _)
            | Self::Purged(stored)
            | Self::Part(stored) => Some(stored),
            Self::OtherVariant | Self::Absent => None,
        }
    }

    /// What may stand in when the origin fails, if no purge has forbidden it meanwhile.
    pub fn stand_in(
        &self,
        plane: &PurgePlane,
        strictness: Strictness,
        asked: &RequestDirectives,
        now: Timestamp,
    ) -> Option<Arc<StoredResponse>> {
        let (Self::Stale(stored, _) | Self::Refused(stored, _)) = self else { return None };
        // What a client prefers (RFC 9111 §5.2.1) is no longer to be had.
        let kept = RequestDirectives { stale_if_error: asked.stale_if_error, ..Default::default() };
        match Self::of(Arc::clone(stored), plane, strictness, &kept, now) {
            Self::Fresh(stored) | Self::Stale(stored, StaleUse { if_error: true, .. }) => {
                Some(stored)
            }
            _ => None,
        }
    }

    /// Why the request goes forward (RFC 9211 §2.2).
    pub const fn reason(&self) -> Forwarded {
        match self {
            Self::Fresh(_) | Self::Stale(..) => Forwarded::Stale,
            Self::Refused(..) => Forwarded::Request,
            Self::Purged(_) => Forwarded::Miss,
            Self::Part(_) => Forwarded::Partial,
            Self::OtherVariant => Forwarded::VaryMiss,
            Self::Absent => Forwarded::UriMiss,
        }
    }

    /// More on that, for people.
    pub const fn detail(&self) -> Option<&'static str> {
        match self {
            Self::Purged(_) => Some("purged"),
            _ => None,
        }
    }

    /// The state in a word, for `/explain`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Fresh(_) => "fresh",
            Self::Stale(..) => "stale",
            Self::Refused(..) => "refused",
            Self::Purged(_) => "purged",
            Self::Part(_) => "part",
            Self::OtherVariant => "other-variant",
            Self::Absent => "absent",
        }
    }
}

/// What is stored of a URL for a request's selecting fields.
enum Found {
    Whole(Arc<StoredResponse>),
    Part(Arc<StoredResponse>),
    OtherVariant,
    Nothing,
}

impl super::Engine {
    /// What the store has for this errand.
    pub fn look_up(&self, errand: &Errand) -> Lookup {
        let judged = |stored| self.judged(errand, stored);
        match errand {
            Errand::Operation(operation) => {
                let stored = self.store.get(&operation.question.key);
                let stored = stored.map(|stored| self.limited_in_store(errand, stored));
                stored.map_or(Lookup::Absent, judged)
            }
            Errand::Resource(resource) => match self.find_variant(resource) {
                Found::Whole(stored) => judged(self.limited_in_store(errand, stored)),
                Found::Part(stored) => {
                    let stored = self.limited_in_store(errand, stored);
                    self.judge_part(resource, stored, judged)
                }
                Found::OtherVariant => Lookup::OtherVariant,
                Found::Nothing => Lookup::Absent,
            },
        }
    }

    /// What the store has for one thing of a list.
    pub(super) fn look_up_piece(
        &self,
        listed: &ListedErrand,
        key: &CacheKey,
        now: Timestamp,
    ) -> Lookup {
        let stored = self.store.get(key);
        let stored = stored.map(|stored| self.limited_to_in_store(&listed.operation, stored));
        stored.map_or(Lookup::Absent, |stored| self.judge_piece(listed, stored, now))
    }

    /// What was found of one thing of a list.
    pub(super) fn judge_piece(
        &self,
        listed: &ListedErrand,
        stored: Arc<StoredResponse>,
        now: Timestamp,
    ) -> Lookup {
        let asked = RequestDirectives::default();
        let stored = self.limited_to(&listed.operation, stored);
        Lookup::of(stored, self.plane(), listed.strictness(), &asked, now)
    }

    /// What was found, as far as it is good for this errand.
    pub(super) fn judged(&self, errand: &Errand, stored: Arc<StoredResponse>) -> Lookup {
        let (strictness, asked) = (errand.strictness(), errand.directives());
        let stored = self.limited(errand, stored);
        Lookup::of(stored, self.plane(), strictness, &asked, self.clock.now())
    }

    /// The variant of a URL that the request's fields select; of several, the one that came last
    /// (RFC 9111 §4.1). A whole one is better than a part.
    fn find_variant(&self, resource: &Resource) -> Found {
        let known = self.variants.of(resource.key());
        let sets = known.as_deref().map_or(&[][..], Selecting::sets);
        let selected = sets.iter().map(|names| resource.variant_key(names, &self.key_seed));
        let keys: Vec<CacheKey> = selected.chain([resource.key().clone()]).collect();
        let latest = |stored: &Arc<StoredResponse>| stored.freshness.received_at;
        let whole = keys.iter().filter_map(|key| self.store.get(key)).max_by_key(latest);
        if let Some(stored) = whole {
            return Found::Whole(stored);
        }
        let part = |key: &CacheKey| self.store.get(&self.part_key(key));
        match keys.iter().filter_map(part).max_by_key(latest) {
            Some(stored) => Found::Part(stored),
            None if known.is_some() => Found::OtherVariant,
            None => Found::Nothing,
        }
    }

    /// The key of what is held of a variant that is not held whole.
    pub fn part_key(&self, variant: &CacheKey) -> CacheKey {
        variant.with(Field::Part, b"", &self.key_seed)
    }

    /// A part serves a request for what lies within it (RFC 9111 §3.3); of any other it tells the
    /// origin what is missing.
    fn judge_part(
        &self,
        resource: &Resource,
        stored: Arc<StoredResponse>,
        judged: impl Fn(Arc<StoredResponse>) -> Lookup,
    ) -> Lookup {
        let max_ranges = self.config.limits.ranges;
        let serves = partial::piece(stored.status, &stored.headers(), stored.body.len() as u64)
            .and_then(|piece| {
                let Resource { method, headers, .. } = resource;
                partial::serves(piece, method, headers, &stored.headers(), max_ranges)
            });
        match (serves, judged(Arc::clone(&stored))) {
            (Some(Selection::One(_)), lookup) => lookup,
            (_, Lookup::Purged(_)) => Lookup::Absent,
            (_, _) => Lookup::Part(stored),
        }
    }

    /// The key under which those who ask the same wait for one another.
    pub fn flight_key(&self, errand: &Errand) -> CacheKey {
        match errand {
            Errand::Operation(errand) => errand.question.key.clone(),
            Errand::Resource(resource) => {
                let known = self.variants.of(resource.key());
                let names = known.as_ref().and_then(|known| known.sets().first());
                let key = resource.variant_key(names.map_or(&[], |names| names), &self.key_seed);
                // Who asks as somebody waits with others like that: their answers are mostly for
                // nobody else, and who asks as nobody need not wait for them.
                match resource.carries_credentials() {
                    true => key.with(Field::Partition, b"credentials", &self.key_seed),
                    false => key,
                }
            }
        }
    }

    /// Whether an answer that another's request brought is one for this errand too.
    pub fn selects(&self, errand: &Errand, outcome: &Outcome) -> bool {
        let (Errand::Resource(resource), Some(stored)) = (errand, outcome.stored()) else {
            return true;
        };
        match vary(&stored.headers()) {
            Vary::Any => false,
            Vary::Fields(names) => resource.variant_key(&names, &self.key_seed) == stored.key,
        }
    }

    /// Why a stale answer serves at once, for people.
    pub(super) fn why_stale(&self) -> &'static str {
        if self.plane().is_fenced() { "fenced" } else { "stale-while-revalidate" }
    }

    /// Whether an answer is stale for no other reason than that this node is fenced, and came so
    /// lately that the origin is spared: while the fence is down, everything is stale all the time.
    pub(super) fn is_young_behind_fence(&self, stored: &StoredResponse) -> bool {
        let since = self.clock.now().saturating_since(stored.freshness.received_at);
        since < REVALIDATED_BEHIND_FENCE && self.plane().is_fenced()
    }

    /// More on why a request goes forward, for people.
    pub(super) fn detail_of(&self, lookup: &Lookup) -> Option<&'static str> {
        match lookup {
            Lookup::Purged(_) if self.plane().is_fenced() => Some("fenced"),
            _ => lookup.detail(),
        }
    }

    /// What may stand in for a fetch that failed.
    pub fn stands_in(&self, errand: &Errand, lookup: &Lookup) -> Option<Arc<StoredResponse>> {
        let (strictness, asked) = (errand.strictness(), errand.directives());
        lookup.stand_in(self.plane(), strictness, &asked, self.clock.now())
    }
}
