//! The memory tier, on moka.
//!
//! moka's own expiry is garbage collection only: freshness is computed from the stored response and
//! our clock, so an entry that moka still holds may be useless, and none that it dropped was
//! needed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::notification::RemovalCause;
use moka::ops::compute::{CompResult, Op};
use moka::sync::Cache;

use crate::cache_key::CacheKey;
use crate::clock::Clock;
use crate::digest_map::BuildDigestHasher;
use crate::metrics::Metrics;
use crate::stored_response::StoredResponse;

const TIER: &str = "memory";

/// What moka itself needs for an entry beside the stored response, in bytes: its key, its node and
/// its place in the hash table, in the access-order queue and in the timer wheel. These are 290; the
/// rest is what the allocator needs to know where they are.
const ENTRY_OVERHEAD_BYTES: usize = 320;

type Entries = Cache<u128, Arc<StoredResponse>, BuildDigestHasher>;

/// Stored responses in this process, at most so many bytes of them.
#[derive(Clone, Debug)]
pub struct MemoryTier {
    entries: Entries,
    metrics: Metrics,
}

impl MemoryTier {
    /// A tier of at most `max_bytes`.
    pub fn new(max_bytes: u64, clock: Clock, metrics: Metrics) -> Self {
        let evictions = metrics.evictions.clone();
        // So that they can be watched before the first of each.
        for cause in ["capacity", "time", "variants"] {
            evictions.with_label_values(&[TIER, cause]);
        }
        let limit = i64::try_from(max_bytes).unwrap_or(i64::MAX);
        metrics.stored_bytes_limit.with_label_values(&[TIER]).set(limit);
        let entries = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_, stored: &Arc<StoredResponse>| {
                u32::try_from(stored.bytes() + ENTRY_OVERHEAD_BYTES).unwrap_or(u32::MAX)
            })
            .expire_after(UntilItCanServeNothing(clock))
            .eviction_listener(move |_, stored: Arc<StoredResponse>, cause| {
                // What was replaced says so itself: it may have been replaced by itself.
                if cause != RemovalCause::Replaced {
                    stored.let_go.set();
                }
                let cause = match cause {
                    RemovalCause::Size => "capacity",
                    RemovalCause::Expired => "time",
                    RemovalCause::Explicit | RemovalCause::Replaced => return,
                };
                evictions.with_label_values(&[TIER, cause]).inc();
            })
            .build_with_hasher(BuildDigestHasher::default());
        Self { entries, metrics }
    }

    /// The response stored under exactly this key.
    pub fn get(&self, key: &CacheKey) -> Option<Arc<StoredResponse>> {
        self.entries.get(&key.digest()).filter(|stored| stored.key == *key)
    }

    /// Counts a use of what is stored under this key, for what is evicted.
    pub fn touch(&self, key: &CacheKey) {
        let _ = self.entries.get(&key.digest());
    }

    /// Stores a response, unless one that was fetched after it is there already: of two fetches of
    /// the same answer, the one that left later knows more.
    pub fn put(&self, response: &Arc<StoredResponse>) {
        self.entries.entry(response.key.digest()).and_compute_with(|held| match held {
            Some(held) if held.value().stamp.is_later_than(response.stamp) => Op::Nop,
            held => {
                if let Some(held) = held.filter(|held| !Arc::ptr_eq(held.value(), response)) {
                    held.value().let_go.set();
                }
                Op::Put(Arc::clone(response))
            }
        });
    }

    /// Puts a response in the place of another, unless that was replaced or removed meanwhile. Whether
    /// it is there.
    pub fn replace(&self, held: &Arc<StoredResponse>, response: &Arc<StoredResponse>) -> bool {
        let done =
            self.entries.entry(response.key.digest()).and_compute_with(|entry| match entry {
                Some(entry) if Arc::ptr_eq(entry.value(), held) => {
                    held.let_go.set();
                    Op::Put(Arc::clone(response))
                }
                _ => Op::Nop,
            });
        matches!(done, CompResult::ReplacedWith(_))
    }

    /// Removes a response, unless it was replaced meanwhile.
    pub fn remove(&self, response: &StoredResponse) {
        self.entries.entry(response.key.digest()).and_compute_with(|held| match held {
            Some(held) if std::ptr::eq(&**held.value(), response) => Op::Remove,
            _ => Op::Nop,
        });
    }

    /// Removes a variant of a URL for which there is no more room beside the others.
    pub fn remove_variant(&self, digest: u128) {
        if self.entries.remove(&digest).is_some() {
            self.metrics.evictions.with_label_values(&[TIER, "variants"]).inc();
        }
    }

    /// Weighs a response anew, after its compressed forms were made. One that was replaced or
    /// removed meanwhile stays so.
    pub fn reweigh(&self, response: &Arc<StoredResponse>) {
        self.entries.entry(response.key.digest()).and_compute_with(|held| match held {
            Some(held) if Arc::ptr_eq(held.value(), response) => Op::Put(Arc::clone(response)),
            _ => Op::Nop,
        });
    }

    /// Brings the gauges up to date, for a scrape.
    pub fn measure(&self) {
        self.entries.run_pending_tasks();
        let as_gauge = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics
            .stored_bytes
            .with_label_values(&[TIER])
            .set(as_gauge(self.entries.weighted_size()));
        self.metrics
            .stored_entries
            .with_label_values(&[TIER])
            .set(as_gauge(self.entries.entry_count()));
    }
}

/// What is left of freshness lifetime and stale window together: an answer that another node fetched
/// has had some of it.
struct UntilItCanServeNothing(Clock);

impl Expiry<u128, Arc<StoredResponse>> for UntilItCanServeNothing {
    fn expire_after_create(
        &self,
        _: &u128,
        stored: &Arc<StoredResponse>,
        _: Instant,
    ) -> Option<Duration> {
        Some(stored.freshness.life_left(self.0.now()))
    }

    fn expire_after_update(
        &self,
        _: &u128,
        stored: &Arc<StoredResponse>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(stored.freshness.life_left(self.0.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache_key::{CacheKeyBuilder, Field};
    use crate::caching::freshness::Freshness;
    use crate::operation::Lifetimes;
    use crate::purge::{LastFoundUsable, PurgePlane};
    use crate::stored_response::{LetGo, StoredBody, StoredFields};
    use crate::tag::TagSet;
    use http::{HeaderMap, StatusCode};

    const HOUR: Duration = Duration::from_secs(3_600);

    fn response(path: &str) -> Arc<StoredResponse> {
        let clock = Clock::system();
        let key = CacheKeyBuilder::with_capacity(8).field(Field::Path, path.as_bytes()).unwrap();
        let lifetimes =
            Lifetimes { fresh_for: HOUR, stale_while_revalidate: HOUR, stale_if_error: HOUR };
        Arc::new(StoredResponse {
            key: key.finish(&[0; 16]),
            stamp: PurgePlane::new(clock.clone(), HOUR, 1).stamp(),
            freshness: Freshness::of_catalogue(clock.now(), Duration::ZERO, lifetimes),
            status: StatusCode::OK,
            fields: StoredFields::of(&HeaderMap::new()),
            tags: TagSet::from_iter([]),
            body: Arc::new(StoredBody::verbatim(vec![b'x'; 4_000].into())),
            last_found_usable: LastFoundUsable::default(),
            let_go: LetGo::default(),
        })
    }

    fn tier(max_bytes: u64) -> MemoryTier {
        MemoryTier::new(max_bytes, Clock::system(), Metrics::new().unwrap())
    }

    #[test]
    fn what_is_replaced_or_removed_is_let_go_and_what_is_weighed_anew_is_not() {
        let tier = tier(1 << 20);
        let (first, second) = (response("a"), response("a"));
        tier.put(&first);
        tier.put(&first);
        tier.reweigh(&first);
        assert!(!first.let_go.is_set());
        tier.put(&second);
        assert!(first.let_go.is_set() && !second.let_go.is_set());
        tier.remove(&second);
        assert!(second.let_go.is_set());
    }

    #[test]
    fn what_is_evicted_is_let_go() {
        let tier = tier(64 << 10);
        let all: Vec<_> = (0..100).map(|number| response(&format!("{number}"))).collect();
        for response in &all {
            tier.put(response);
            tier.entries.run_pending_tasks();
        }
        for response in &all {
            let is_held = tier.get(&response.key).is_some();
            assert_eq!(response.let_go.is_set(), !is_held);
        }
        assert!(all.iter().any(|response| response.let_go.is_set()));
    }
}
