//! The purge plane: how "make this new" holds against a fetch that is under way.
//!
//! A cache that stores and deletes by key cannot be purged safely. The purge deletes what is
//! there; an answer that left the origin before the change arrives a moment later and is stored
//! after it. This plane never deletes:
//!
//! 1. Every purge gets the next number of one sequence, and the number of each tag's last purge
//!    is kept ([`PurgeTable`]).
//! 2. *Before* a fetch leaves for the origin it notes the sequence that this node has applied
//!    ([`PurgePlane::stamp`]). The stamp is stored with the answer.
//! 3. A stored response is usable iff none of its tags was purged after its stamp
//!    ([`PurgePlane::check`]). That is asked on every read.
//! 4. While the applied sequence has not moved since the answer was last found usable, one load
//!    and one comparison decide ([`LastFoundUsable`]).
//!
//! Nothing leads from a tag to the entries that carry it, so a purge of a million tags touches a
//! million numbers and no entry. What is dead is removed by capacity and time.

mod schedule;
mod table;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Clock;
use crate::operation::Class;
use crate::tag::{Tag, TagHash, TagSet};

pub use schedule::{Effect, Schedule, ScheduleFull};
pub use table::PurgeTable;

/// The number of a purge; 0 is "before the first".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Sequence(u64);

impl Sequence {
    /// The sequence number of a stamp that was written down.
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The sequence number as written in answers and metrics.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// Whether what is purged may still serve while it is revalidated or the origin fails.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PurgeMode {
    /// Never served again.
    Hard,
    /// Stale: usable under stale-while-revalidate and stale-if-error.
    Soft,
}

impl PurgeMode {
    /// The mode as written in requests and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hard => "hard",
            Self::Soft => "soft",
        }
    }

    /// The mode of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Hard, Self::Soft].into_iter().find(|mode| mode.as_str() == name)
    }

    /// How a class is purged when nobody says otherwise.
    pub const fn for_class(class: Class) -> Self {
        if class.is_strict() { Self::Hard } else { Self::Soft }
    }

    /// How a tag is purged when nobody says otherwise: by its class, and `*` hard.
    pub fn for_tag(tag: &Tag) -> Self {
        let class = tag.as_str().split_once('/').and_then(|(class, _)| Class::parse(class));
        class.map_or(Self::Hard, Self::for_class)
    }
}

/// Tags to be purged together, under one number.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PurgeRequest {
    /// Tags whose answers are never served again.
    pub hard: Vec<Tag>,
    /// Tags whose answers become stale.
    pub soft: Vec<Tag>,
}

impl PurgeRequest {
    /// Whether the request names no tag at all.
    pub fn is_empty(&self) -> bool {
        self.hard.is_empty() && self.soft.is_empty()
    }

    /// Adds one tag in the given mode.
    pub fn push(&mut self, tag: Tag, mode: PurgeMode) {
        match mode {
            PurgeMode::Hard => self.hard.push(tag),
            PurgeMode::Soft => self.soft.push(tag),
        }
    }

    /// How many tags the request names.
    pub fn len(&self) -> usize {
        self.hard.len() + self.soft.len()
    }

    /// Adds another request's tags.
    pub fn merge(&mut self, other: Self) {
        self.hard.extend(other.hard);
        self.soft.extend(other.soft);
    }

    /// Leaves each tag once; what is purged hard need not be purged softly too.
    pub fn deduplicate(&mut self) {
        for tags in [&mut self.hard, &mut self.soft] {
            tags.sort_unstable();
            tags.dedup();
        }
        let hard = &self.hard;
        self.soft.retain(|tag| hard.binary_search(tag).is_err());
    }
}

/// Whether a stored response may be used, as far as purges are concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PurgeState {
    /// Nothing that it depends on was purged since its stamp.
    Usable,
    /// Something was, softly: it is stale.
    SoftPurged,
    /// Something was, hard: it must not be served.
    HardPurged,
}

/// The applied sequence at which a stored response was last found usable: the memory of one entry
/// that makes the check cost one load and one comparison.
#[derive(Debug, Default)]
pub struct LastFoundUsable(AtomicU64);

/// The marks that unsafe requests have made: since the last fold into one, and before it.
#[derive(Debug, Default)]
struct Invalidated {
    latest: Vec<TagHash>,
    folded: Vec<TagHash>,
}

/// The purge plane of one node, on a sequence of its own.
#[derive(Debug)]
pub struct PurgePlane {
    clock: Clock,
    table: PurgeTable,
    /// Held over taking a number *and* applying it, so that the applied sequence never runs ahead
    /// of a purge with a lower number.
    order: Mutex<Invalidated>,
    max_urls: usize,
    /// A tag's purge is forgotten once no answer fetched before it can still be alive.
    remembered_for: Duration,
}

impl PurgePlane {
    /// A plane that remembers purges for `remembered_for` (at least the longest lifetime plus
    /// stale window) and at most `max_tags` tags.
    pub fn new(clock: Clock, remembered_for: Duration, max_tags: usize) -> Self {
        let (table, order) = (PurgeTable::new(max_tags), Mutex::default());
        Self { clock, table, order, max_urls: usize::MAX, remembered_for }
    }

    /// The same, which remembers at most about `max_urls` invalidations by themselves.
    #[must_use]
    pub const fn with_max_urls(mut self, max_urls: usize) -> Self {
        self.max_urls = max_urls;
        self
    }

    /// The sequence that this node has applied. Taken *before* a fetch leaves and stored with its
    /// answer.
    pub fn stamp(&self) -> Sequence {
        self.table.applied()
    }

    /// Whether an answer with these tags, stamped `fetch_seq` before its fetch left, may be used.
    pub fn check(&self, tags: &TagSet, fetch_seq: Sequence, last: &LastFoundUsable) -> PurgeState {
        let applied = self.table.applied();
        if applied == fetch_seq || last.0.load(Ordering::Relaxed) == applied.0 {
            return PurgeState::Usable;
        }
        let state = self.table.state_of(tags, fetch_seq);
        if state == PurgeState::Usable {
            last.0.store(applied.0, Ordering::Relaxed);
        }
        state
    }

    /// Purges the tags. When this returns, no read on this node serves what was fetched before.
    pub fn purge(&self, request: &PurgeRequest) -> Sequence {
        let _in_order = self.order.lock();
        let number = Sequence(self.table.applied().0 + 1);
        self.table.apply(number, request, self.clock.monotonic());
        number
    }

    /// Purges the tags of what an unsafe request has changed. Anyone can make such requests, so what
    /// they fill is bounded apart from the rest: past the bound all URLs are purged at once, and no
    /// answer by the catalogue with them.
    ///
    /// `watched` is what the request's own answer depends on, and the stamp from before it left: it
    /// is told whether anything of that was purged meanwhile.
    pub fn invalidate(
        &self,
        tags: Vec<Tag>,
        watched: Option<(&TagSet, Sequence)>,
    ) -> (Sequence, PurgeState) {
        let mut invalidated = self.order.lock();
        // Under the lock, so that no other purge comes between this look and our own number.
        let meanwhile = watched
            .map_or(PurgeState::HardPurged, |(tags, stamp)| self.table.state_of(tags, stamp));
        let number = Sequence(self.table.applied().0 + 1);
        let hashes = tags.iter().map(Tag::hash);
        let hard = if invalidated.latest.len().saturating_add(tags.len()) > self.max_urls {
            // Those that were folded the last time. The latest stay until the next, for readers
            // that were looking before the fold's own mark stood.
            self.table.drop_marks(&invalidated.folded);
            invalidated.folded = std::mem::take(&mut invalidated.latest);
            vec![Tag::generic()]
        } else {
            invalidated.latest.extend(hashes);
            tags
        };
        let request = PurgeRequest { hard, soft: Vec::new() };
        self.table.apply(number, &request, self.clock.monotonic());
        (number, meanwhile)
    }

    /// Forgets purges that no living answer can be older than.
    pub fn forget_old(&self) {
        let _in_order = self.order.lock();
        let horizon = self.clock.monotonic().saturating_sub(self.remembered_for);
        self.table.forget_before(horizon);
    }

    /// How many tags have a remembered purge.
    pub fn remembered_tags(&self) -> usize {
        self.table.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn tag(text: &str) -> Tag {
        Tag::parse(text).unwrap()
    }

    fn plane() -> PurgePlane {
        let clock = Clock::manual(Timestamp::from_millis(1_000_000));
        PurgePlane::new(clock, Duration::from_secs(60), 1_000)
    }

    fn hard(text: &str) -> PurgeRequest {
        PurgeRequest { hard: vec![tag(text)], soft: vec![] }
    }

    #[test]
    fn an_answer_stamped_before_the_purge_is_dead_and_one_stamped_after_is_not() {
        let plane = plane();
        let tags: TagSet = [tag("price/item:1"), tag("price/*")].into_iter().collect();
        let before = plane.stamp();
        let number = plane.purge(&hard("price/item:1"));
        assert_eq!(plane.check(&tags, before, &LastFoundUsable::default()), PurgeState::HardPurged);
        assert_eq!(plane.check(&tags, number, &LastFoundUsable::default()), PurgeState::Usable);
    }

    #[test]
    fn a_purge_of_other_tags_leaves_an_answer_usable_and_is_looked_up_once() {
        let plane = plane();
        let tags: TagSet = [tag("price/item:1")].into_iter().collect();
        let (stamp, last) = (plane.stamp(), LastFoundUsable::default());
        let number = plane.purge(&hard("price/item:2"));
        assert_eq!(plane.check(&tags, stamp, &last), PurgeState::Usable);
        assert_eq!(last.0.load(Ordering::Relaxed), number.as_u64());
        plane.purge(&hard("price/item:1"));
        assert_eq!(plane.check(&tags, stamp, &last), PurgeState::HardPurged);
    }

    #[test]
    fn a_soft_purge_makes_stale_and_a_hard_one_outweighs_it() {
        let plane = plane();
        let tags: TagSet = [tag("product/item:1"), tag("product/*")].into_iter().collect();
        let stamp = plane.stamp();
        plane.purge(&PurgeRequest { hard: vec![], soft: vec![tag("product/item:1")] });
        assert_eq!(plane.check(&tags, stamp, &LastFoundUsable::default()), PurgeState::SoftPurged);
        plane.purge(&hard("product/*"));
        assert_eq!(plane.check(&tags, stamp, &LastFoundUsable::default()), PurgeState::HardPurged);
    }

    #[test]
    fn a_purge_is_forgotten_only_when_no_answer_can_be_older() {
        let clock = Clock::manual(Timestamp::from_millis(1_000_000));
        let plane = PurgePlane::new(clock.clone(), Duration::from_secs(60), 1_000);
        plane.purge(&hard("price/item:1"));
        clock.advance(Duration::from_secs(60));
        plane.forget_old();
        assert_eq!(plane.remembered_tags(), 1);
        clock.advance(Duration::from_secs(1));
        plane.forget_old();
        assert_eq!(plane.remembered_tags(), 0);
    }

    #[test]
    fn more_invalidated_urls_than_can_be_remembered_purge_all_urls_and_nothing_else() {
        let plane = plane().with_max_urls(10);
        let of_url: TagSet = [Tag::of_url("/a"), Tag::generic()].into_iter().collect();
        let of_price: TagSet = [tag("price/item:1"), tag("price/*")].into_iter().collect();
        let state = |tags, stamp| plane.check(tags, stamp, &LastFoundUsable::default());
        let before = plane.stamp();
        plane.invalidate(vec![Tag::of_url("/b")], None);
        assert_eq!(state(&of_url, before), PurgeState::Usable);
        plane.invalidate(vec![Tag::of_url("/a")], None);
        assert_eq!(state(&of_url, before), PurgeState::HardPurged);
        for n in 0..1_000 {
            plane.invalidate(vec![Tag::of_url(&format!("/{n}"))], None);
            assert_eq!(state(&of_url, before), PurgeState::HardPurged, "{n}");
        }
        assert!(plane.remembered_tags() <= 21, "{}", plane.remembered_tags());
        assert_eq!(state(&of_price, before), PurgeState::Usable);
    }

    #[test]
    fn more_tags_than_can_be_remembered_purge_everything_rather_than_lose_one() {
        let plane = PurgePlane::new(Clock::system(), Duration::from_secs(60), 2);
        let tags: TagSet = [tag("price/item:1"), Tag::everything()].into_iter().collect();
        plane.purge(&hard("price/item:1"));
        plane.purge(&hard("price/item:2"));
        let stamp = plane.stamp();
        plane.purge(&hard("price/item:3"));
        assert_eq!(plane.check(&tags, stamp, &LastFoundUsable::default()), PurgeState::HardPurged);
        assert_eq!(plane.remembered_tags(), 1);
        // Whoever finds its own tags gone must find this one, so it is looked up whatever they are.
        let tags: TagSet = [tag("price/item:1")].into_iter().collect();
        assert_eq!(plane.check(&tags, stamp, &LastFoundUsable::default()), PurgeState::HardPurged);
    }
}
