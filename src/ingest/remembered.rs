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
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    max: usize,
    remembered_for: Duration,
    in_order: VecDeque<(Timestamp, IdDigest)>,
    known: HashSet<IdDigest>,
}

impl RememberedIds {
    /// Remembers at most `max` ids, each for `remembered_for`.
    pub(super) fn new(max: usize, remembered_for: Duration) -> Self {
        let state = State { max, remembered_for, in_order: VecDeque::new(), known: HashSet::new() };
        Self { hash_key: rand::random(), state: Mutex::new(state) }
    }

    /// Remembers so many from now on, each for so long.
    pub(super) fn set_bounds(&self, max: usize, remembered_for: Duration) {
        let mut state = self.state.lock();
        (state.max, state.remembered_for) = (max, remembered_for);
        state.make_room();
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
        state.forget_old(now);
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
        state.make_room();
    }
}

impl State {
    fn make_room(&mut self) {
        while self.in_order.len() > self.max {
            self.forget_oldest();
        }
    }

    fn forget_old(&mut self, now: Timestamp) {
        while let Some((seen_at, _)) = self.in_order.front()
            && now.saturating_since(*seen_at) > self.remembered_for
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
