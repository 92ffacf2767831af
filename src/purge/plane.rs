//! What this node knows of purges, and the check on every read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::feed::PurgeFeed;
use super::fence::Fence;
use super::member::Position;
use super::rule::Rule;
use super::stamp::{Lineage, Moment, Nonce, Sequence, Stamp};
use super::successor::Successor;
use super::table::PurgeTable;
use super::{PurgeMode, PurgeRequest};
use crate::clock::Clock;
use crate::operation::Class;
use crate::tag::{Tag, TagHash, TagSet};

/// Whether a stored response may be used, as far as purges are concerned.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PurgeState {
    /// Nothing that it depends on was purged since its stamp.
    Usable,
    /// Something was, softly, or it is not known whether: it is stale.
    SoftPurged,
    /// Something was, hard, or it is not known whether and it is strict: it must not be served.
    HardPurged,
}

/// What an answer is held to where it is not known whether it was purged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strictness {
    /// A price or a stock: it is not served.
    Strict,
    /// Anything else: it is stale.
    Lenient,
}

impl Strictness {
    /// That of answers of a class, or of what the catalogue does not know.
    pub fn of(class: Option<Class>) -> Self {
        match class.is_some_and(Class::is_strict) {
            true => Self::Strict,
            false => Self::Lenient,
        }
    }

    const fn of_unknown(self) -> PurgeState {
        match self {
            Self::Strict => PurgeState::HardPurged,
            Self::Lenient => PurgeState::SoftPurged,
        }
    }
}

/// What was known when a stored response was last found usable: the memory of one entry that makes
/// the check cost one load and one comparison.
#[derive(Debug, Default)]
pub struct LastFoundUsable(AtomicU64);

/// The marks that unsafe requests have made: since the last fold into one, and before it.
#[derive(Debug, Default)]
struct Invalidated {
    latest: Vec<TagHash>,
    folded: Vec<TagHash>,
}

/// The purges of one lineage, as far as this node knows them.
#[derive(Debug)]
struct Standing {
    lineage: Lineage,
    /// Of stamps before it this node cannot tell what was purged since.
    usable_from: Sequence,
    table: Arc<PurgeTable>,
    /// The lineage before this one. What was purged hard in it is so for ever.
    before: Option<Before>,
}

#[derive(Clone, Debug)]
struct Before {
    lineage: Lineage,
    table: Arc<PurgeTable>,
    ended_at: Duration,
}

impl Standing {
    fn state_of(&self, tags: &TagSet, stamp: Stamp, strictness: Strictness) -> PurgeState {
        let unknown = strictness.of_unknown();
        if stamp.lineage == self.lineage {
            let state = self.table.state_of(tags, stamp.sequence);
            return if stamp.sequence < self.usable_from { state.max(unknown) } else { state };
        }
        match &self.before {
            // Every purge of this lineage came after what the one before has stamped.
            Some(before) if before.lineage == stamp.lineage => before
                .table
                .state_of(tags, stamp.sequence)
                .max(self.table.state_of(tags, Sequence::default()))
                .max(unknown),
            // Nothing is known of its purges, hard ones included.
            _ => PurgeState::HardPurged,
        }
    }
}

/// The purge plane of one node.
#[derive(Debug)]
pub struct PurgePlane {
    clock: Clock,
    standing: ArcSwap<Standing>,
    /// Counts the changes of what is known.
    knowledge: AtomicU64,
    fence: Fence,
    feed: PurgeFeed,
    successor: Successor,
    /// Held over every change, so that numbers are applied in order.
    order: Mutex<Invalidated>,
    max_tags: usize,
    max_urls: usize,
    /// A tag's purge is forgotten once no answer fetched before it can still be alive.
    remembered_for_nanos: AtomicU64,
    #[cfg(feature = "break-rules")]
    without: Option<Rule>,
}

impl PurgePlane {
    /// A plane that remembers purges for `remembered_for` (at least the longest lifetime plus
    /// stale window) and at most `max_tags` tags.
    pub fn new(clock: Clock, remembered_for: Duration, max_tags: usize) -> Self {
        let standing = Standing {
            lineage: Lineage::of_this_process(),
            usable_from: Sequence::default(),
            table: Arc::new(PurgeTable::new(max_tags)),
            before: None,
        };
        Self {
            feed: PurgeFeed::new(clock.clone()),
            clock,
            standing: ArcSwap::from_pointee(standing),
            knowledge: AtomicU64::new(1),
            fence: Fence::never(),
            successor: Successor::default(),
            order: Mutex::default(),
            max_tags,
            max_urls: usize::MAX,
            remembered_for_nanos: AtomicU64::new(nanos(remembered_for)),
            #[cfg(feature = "break-rules")]
            without: None,
        }
    }

    /// The same without one of the rules.
    #[cfg(feature = "break-rules")]
    #[must_use]
    pub const fn without(mut self, rule: Option<Rule>) -> Self {
        self.without = rule;
        self
    }

    /// Whether the rule is in force, as it always is but in tests of the tests.
    pub fn keeps(&self, rule: Rule) -> bool {
        #[cfg(feature = "break-rules")]
        return self.without != Some(rule);
        #[cfg(not(feature = "break-rules"))]
        {
            let _ = rule;
            true
        }
    }

    /// The same, which remembers at most about `max_urls` invalidations by themselves.
    #[must_use]
    pub const fn with_max_urls(mut self, max_urls: usize) -> Self {
        self.max_urls = max_urls;
        self
    }

    /// The same for a node with others, of which it has heard nothing yet. What it hears holds for
    /// `fence_after`.
    #[must_use]
    pub fn in_fleet(mut self, fence_after: Duration) -> Self {
        self.fence = Fence::down(fence_after);
        self
    }

    /// Who is told of purges on a node without others.
    pub const fn successor(&self) -> &Successor {
        &self.successor
    }

    /// What this node knows by now.
    pub fn now(&self) -> Moment {
        // Read first: while it is up, what is known by now has all that it vouches for.
        let fenced = self.is_fenced();
        let knowledge = self.knowledge.load(Ordering::Acquire);
        Moment { knowledge, at: self.clock.monotonic(), fenced }
    }

    /// Whether the answer to a fetch that left then is for a request that came then, whatever the
    /// answer depends on: no purge has become known in between. A node that was fenced when the request
    /// came would not know of one, so there a strict answer is shared for as long only as the fence
    /// takes to fall.
    pub fn is_late_enough(&self, left: Moment, arrived: Moment, strictness: Strictness) -> bool {
        let may_have_missed = strictness == Strictness::Strict
            && left.at.saturating_add(self.fence.span()) < arrived.at
            && arrived.fenced;
        left.knowledge >= arrived.knowledge && !may_have_missed
    }

    /// The purges that this node has applied. Taken *before* a fetch leaves and stored with its
    /// answer.
    pub fn stamp(&self) -> Stamp {
        let standing = self.standing.load();
        let (sequence, nonce) = standing.table.applied();
        Stamp { lineage: standing.lineage, sequence, nonce }
    }

    /// The last purges, for people.
    pub const fn feed(&self) -> &PurgeFeed {
        &self.feed
    }

    /// Whether the node has not heard of the others for so long that it cannot vouch for what it
    /// knows.
    pub fn is_fenced(&self) -> bool {
        self.fence.is_down(&self.clock) && self.keeps(Rule::Fence)
    }

    /// Whether an answer with these tags, stamped before its fetch left, may be used.
    pub fn check(
        &self,
        tags: &TagSet,
        stamp: Stamp,
        last: &LastFoundUsable,
        strictness: Strictness,
    ) -> PurgeState {
        // In this order: a fence that goes up between the two would vouch for more than is known.
        let fenced = self.is_fenced();
        // Before the state: what is found out below holds for it at least.
        let knowledge = self.knowledge.load(Ordering::Acquire);
        match strictness {
            Strictness::Strict if fenced => return PurgeState::HardPurged,
            _ if !fenced && last.0.load(Ordering::Relaxed) == knowledge => {
                return PurgeState::Usable;
            }
            _ => {}
        }
        let state = self.standing.load().state_of(tags, stamp, strictness);
        if fenced {
            return state.max(strictness.of_unknown());
        }
        if state == PurgeState::Usable {
            last.0.store(knowledge, Ordering::Relaxed);
        }
        state
    }

    /// Purges the tags on a node without others. When this returns, no read on it serves what was
    /// fetched before.
    pub fn purge(&self, request: &PurgeRequest) -> Stamp {
        let mut invalidated = self.order.lock();
        self.purge_in_order(&mut invalidated, request)
    }

    /// The same for what an unsafe request has changed. `watched` is what the request's own answer
    /// depends on, and the stamp from before it left: it is told whether anything of that was purged
    /// meanwhile.
    pub fn invalidate(
        &self,
        tags: Vec<Tag>,
        watched: Option<(&TagSet, Stamp)>,
    ) -> (Stamp, PurgeState) {
        let mut invalidated = self.order.lock();
        // Under the lock, so that no other purge comes between this look and our own number.
        let standing = self.standing.load();
        let meanwhile = watched.map_or(PurgeState::HardPurged, |(tags, stamp)| {
            standing.state_of(tags, stamp, Strictness::Lenient)
        });
        let request = PurgeRequest { hard: tags, soft: Vec::new() };
        (self.purge_in_order(&mut invalidated, &request), meanwhile)
    }

    fn purge_in_order(&self, invalidated: &mut Invalidated, request: &PurgeRequest) -> Stamp {
        let standing = self.standing.load();
        let (number, nonce) = (standing.table.applied().0.next(), Nonce::default());
        self.mark(invalidated, &standing.table, number, request);
        standing.table.advance(number, nonce);
        self.move_on();
        Stamp { lineage: standing.lineage, sequence: number, nonce }
    }

    /// Puts a purge in force whose number is known before those below it are. Whether the lineage is
    /// still the node's.
    pub(super) fn mark_ahead(&self, stamp: Stamp, request: &PurgeRequest) -> bool {
        let mut invalidated = self.order.lock();
        let standing = self.standing.load();
        if standing.lineage != stamp.lineage {
            return false;
        }
        self.mark(&mut invalidated, &standing.table, stamp.sequence, request);
        self.move_on();
        true
    }

    /// Whether anything of that was purged since the stamp, as far as this node knows by now.
    pub fn state_since(&self, tags: &TagSet, stamp: Stamp) -> PurgeState {
        self.standing.load().state_of(tags, stamp, Strictness::Lenient)
    }

    /// Puts a purge in force here that has no number yet: what was fetched up to now is dead, and
    /// what is fetched until the next number too.
    pub(super) fn mark_unnumbered(&self, request: &PurgeRequest) {
        let mut invalidated = self.order.lock();
        let standing = self.standing.load();
        let number = standing.table.applied().0.next();
        self.mark(&mut invalidated, &standing.table, number, request);
        self.move_on();
    }

    /// Applies the purges that follow the applied ones.
    pub(super) fn apply<'r>(
        &self,
        lineage: Lineage,
        purges: impl IntoIterator<Item = (Position, &'r PurgeRequest)>,
    ) {
        let mut invalidated = self.order.lock();
        let standing = self.standing.load();
        if standing.lineage != lineage {
            return;
        }
        for (Position { sequence, nonce }, request) in purges {
            self.mark(&mut invalidated, &standing.table, sequence, request);
            standing.table.advance(sequence, nonce);
        }
        self.move_on();
    }

    /// Goes over to another lineage, of which `marks` are the purges up to the stamp.
    pub(super) fn enter(&self, stamp: Stamp, marks: Marks) {
        let mut invalidated = self.order.lock();
        *invalidated = Invalidated::default();
        let held = self.standing.load();
        let Marks(table) = marks;
        table.advance(stamp.sequence, stamp.nonce);
        let (lineage, ended_at) = (held.lineage, self.clock.monotonic());
        self.standing.store(Arc::new(Standing {
            lineage: stamp.lineage,
            usable_from: Sequence::default(),
            table: Arc::new(table),
            before: Some(Before { lineage, table: Arc::clone(&held.table), ended_at }),
        }));
        self.move_on();
    }

    /// Takes over what was read of the node's own lineage up to the stamp. What is `unproven` can
    /// not be vouched for: it counts as being of another lineage.
    pub(super) fn catch_up(&self, stamp: Stamp, marks: &Marks, unproven: bool) {
        let _in_order = self.order.lock();
        let held = self.standing.load();
        held.table.merge(&marks.0, self.clock.monotonic());
        held.table.advance(stamp.sequence, stamp.nonce);
        if unproven {
            self.standing.store(Arc::new(Standing {
                lineage: held.lineage,
                usable_from: stamp.sequence,
                table: Arc::clone(&held.table),
                before: held.before.clone(),
            }));
        }
        self.move_on();
    }

    /// A table to read marks into, for [`PurgePlane::enter`] and [`PurgePlane::catch_up`].
    pub(super) fn marks(&self) -> Marks {
        Marks(PurgeTable::new(self.max_tags))
    }

    /// For how long purges are remembered.
    pub(super) fn remembered_for(&self) -> Duration {
        Duration::from_nanos(self.remembered_for_nanos.load(Ordering::Relaxed))
    }

    /// Remembers purges for so long at least, from now on: before anything is stored that lives longer
    /// than what was stored so far. What was stored so far may still live as long as it did, so nothing
    /// makes it shorter.
    pub fn remember_for(&self, span: Duration) {
        self.remembered_for_nanos.fetch_max(nanos(span), Ordering::Relaxed);
    }

    /// Vouches for what this node has heard by asking at that reading of the monotonic clock.
    pub(super) fn vouch_from(&self, asked_at: Duration) {
        self.fence.hold_from(asked_at);
    }

    /// Vouches for nothing until the next [`PurgePlane::vouch_from`].
    pub(super) fn lower_fence(&self) {
        self.fence.lower();
    }

    /// Writes the marks. Anyone can make the requests that invalidate URLs, so what they fill is
    /// bounded apart from the rest: past the bound all URLs are purged at once, and no answer by the
    /// catalogue with them.
    fn mark(
        &self,
        invalidated: &mut Invalidated,
        table: &PurgeTable,
        number: Sequence,
        request: &PurgeRequest,
    ) {
        let now = self.clock.monotonic();
        let generic = Tag::generic();
        let urls = || request.hard.iter().filter(|tag| tag.is_generic() && **tag != generic);
        let is_full = invalidated.latest.len().saturating_add(urls().count()) > self.max_urls;
        if is_full {
            table.mark(generic.hash(), PurgeMode::Hard, number, now);
        }
        if is_full || request.hard.contains(&generic) {
            // Those that were folded the last time. The latest stay until the next, for readers
            // that were looking before the fold's own mark stood.
            table.drop_marks(&invalidated.folded);
            invalidated.folded = std::mem::take(&mut invalidated.latest);
        }
        invalidated.latest.extend(urls().map(Tag::hash));
        table.mark_all(number, request, now);
    }

    /// Release: whoever sees the count sees what was changed before it.
    fn move_on(&self) {
        self.knowledge.fetch_add(1, Ordering::Release);
    }

    /// Forgets purges that no living answer can be older than.
    pub fn forget_old(&self) {
        let _in_order = self.order.lock();
        let horizon = self.clock.monotonic().saturating_sub(self.remembered_for());
        let held = self.standing.load();
        held.table.forget_before(horizon);
        if held.before.as_ref().is_some_and(|before| before.ended_at < horizon) {
            self.standing.store(Arc::new(Standing {
                lineage: held.lineage,
                usable_from: held.usable_from,
                table: Arc::clone(&held.table),
                before: None,
            }));
        }
    }

    /// How many tags have a remembered purge.
    pub fn remembered_tags(&self) -> usize {
        self.standing.load().table.len()
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Purges that are being read, in force nowhere yet.
#[derive(Debug)]
pub(super) struct Marks(PurgeTable);

impl Marks {
    /// Notes one tag's purge, which happened at this reading of the monotonic clock.
    pub(super) fn note(&self, tag: &Tag, mode: PurgeMode, number: Sequence, at: Duration) {
        self.0.mark(tag.hash(), mode, number, at);
    }

    /// How many tags were noted.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests;
