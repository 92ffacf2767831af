//! Ids seen before, so that a repeated delivery purges nothing.
//!
//! An id that is forgotten too early costs a needless purge. One that is remembered too long could
//! cost a needed one, should its source begin to count anew. So there are two bounds, a number and
//! an age, and ids are kept as 128-bit keyed digests: all of one size, and none can be made to
//! look like another.

use std::collections::{HashSet, VecDeque};
use std::hash::Hasher;
use std::time::Duration;

use parking_lot::Mutex;
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::clock::Timestamp;

/// An id's digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct IdDigest(u128);

/// The last ids, the oldest out first.
#[derive(Debug)]
pub(super) struct RememberedIds {
    hash_key: [u8; 16],
    max: usize,
    remembered_for: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    in_order: VecDeque<(Timestamp, IdDigest)>,
    known: HashSet<IdDigest>,
}

impl RememberedIds {
    /// Remembers at most `max` ids, each for `remembered_for`.
    pub(super) fn new(max: usize, remembered_for: Duration) -> Self {
        Self { hash_key: rand::random(), max, remembered_for, state: Mutex::default() }
    }

    /// The digest of an id's parts.
    pub(super) fn digest(&self, parts: &[&str]) -> IdDigest {
        let mut hasher = SipHasher13::new_with_key(&self.hash_key);
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part.as_bytes());
        }
        IdDigest(hasher.finish128().as_u128())
    }

    /// Whether the id was seen and is not forgotten.
    pub(super) fn contains(&self, id: IdDigest, now: Timestamp) -> bool {
        let mut state = self.state.lock();
        state.forget_before(now, self.remembered_for);
        state.known.contains(&id)
    }

    /// Remembers ids. To be called once what they stand for is done.
    pub(super) fn remember(&self, ids: impl IntoIterator<Item = IdDigest>, now: Timestamp) {
        let mut state = self.state.lock();
        for id in ids {
            if state.known.insert(id) {
                state.in_order.push_back((now, id));
            }
        }
        while state.in_order.len() > self.max {
            state.forget_oldest();
        }
    }
}

impl State {
    fn forget_before(&mut self, now: Timestamp, remembered_for: Duration) {
        while let Some((seen_at, _)) = self.in_order.front()
            && now.saturating_since(*seen_at) > remembered_for
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.in_order.pop_front() {
            self.known.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn the_oldest_id_makes_room() {
        let ids = RememberedIds::new(2, Duration::from_secs(60));
        let [a, b, c] = ["a", "b", "c"].map(|id| ids.digest(&[id]));
        ids.remember([a, b, b, c], NOW);
        assert!(!ids.contains(a, NOW));
        assert!(ids.contains(b, NOW) && ids.contains(c, NOW));
    }

    #[test]
    fn an_id_is_forgotten_by_age() {
        let ids = RememberedIds::new(10, Duration::from_secs(60));
        let id = ids.digest(&["a"]);
        ids.remember([id], NOW);
        assert!(ids.contains(id, NOW + Duration::from_secs(60)));
        assert!(!ids.contains(id, NOW + Duration::from_secs(61)));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let ids = RememberedIds::new(10, Duration::from_secs(60));
        assert_ne!(ids.digest(&["ab", "c"]), ids.digest(&["a", "bc"]));
    }
}
