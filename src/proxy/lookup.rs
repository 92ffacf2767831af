//! What the store has for a key: fresh, stale, or nothing that may be used.

use std::sync::Arc;

use super::cache_status::Forwarded;
use crate::caching::freshness::{StaleUse, State, usable};
use crate::clock::Timestamp;
use crate::purge::PurgePlane;
use crate::stored_response::StoredResponse;

/// The state of a look-up.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// To be served.
    Fresh(Arc<StoredResponse>),
    /// To be served only as far as [`StaleUse`] says.
    Stale(Arc<StoredResponse>, StaleUse),
    /// There, never to be served again; the origin may still confirm it.
    Purged(Arc<StoredResponse>),
    /// Not there.
    Absent,
}

impl Lookup {
    /// Judges what was found, by time and by purges.
    pub fn of(found: Option<Arc<StoredResponse>>, plane: &PurgePlane, now: Timestamp) -> Self {
        let Some(stored) = found else { return Self::Absent };
        match usable(&stored.freshness, stored.purge_state(plane), now) {
            Some(State::Fresh) => Self::Fresh(stored),
            Some(State::Stale(stale)) => Self::Stale(stored, stale),
            None => Self::Purged(stored),
        }
    }

    /// What the origin can be asked to confirm.
    pub const fn previous(&self) -> Option<&Arc<StoredResponse>> {
        match self {
            Self::Fresh(stored) | Self::Stale(stored, _) | Self::Purged(stored) => Some(stored),
            Self::Absent => None,
        }
    }

    /// What may stand in when the origin fails, if no purge has forbidden it meanwhile.
    pub fn stand_in(&self, plane: &PurgePlane, now: Timestamp) -> Option<Arc<StoredResponse>> {
        let Self::Stale(stored, _) = self else { return None };
        match Self::of(Some(Arc::clone(stored)), plane, now) {
            Self::Stale(stored, StaleUse { if_error: true, .. }) => Some(stored),
            _ => None,
        }
    }

    /// Why the request goes forward (RFC 9211 §2.2).
    pub const fn reason(&self) -> Forwarded {
        match self {
            Self::Fresh(_) | Self::Stale(..) => Forwarded::Stale,
            Self::Purged(_) => Forwarded::Miss,
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
            Self::Purged(_) => "purged",
            Self::Absent => "absent",
        }
    }
}

impl super::Engine {
    /// What the store has for this key.
    pub fn look_up(&self, key: &crate::cache_key::CacheKey) -> Lookup {
        Lookup::of(self.store.get(key), &self.plane, self.clock.now())
    }

    /// What may stand in for a fetch that failed.
    pub fn stands_in(&self, lookup: &Lookup) -> Option<Arc<StoredResponse>> {
        lookup.stand_in(&self.plane, self.clock.now())
    }
}
