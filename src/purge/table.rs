//! The number of each tag's last purge, as this node knows it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use super::{Nonce, PurgeMode, PurgeRequest, PurgeState, Sequence};
use crate::digest_map::BuildDigestHasher;
use crate::tag::{Tag, TagHash, TagSet};

/// Readers of different entries meet on one of these locks only when a purge has moved the
/// sequence since their entry was last checked.
const SHARDS: usize = 256;

type Marks = HashMap<TagHash, Mark, BuildDigestHasher>;

/// The last purges of one tag, and when the last one was, in seconds on the monotonic clock: a wall
/// clock that is set ahead and back must not make purges forgotten that answers still need.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    hard: Sequence,
    soft: Sequence,
    /// 136 years of them: a million marks are 8 MB less than with a `Duration` each.
    at_seconds: u32,
}

/// The tag table and the applied sequence, of one lineage.
#[derive(Debug)]
pub(super) struct PurgeTable {
    shards: Box<[RwLock<Marks>]>,
    /// Read for stamps, and so on misses only.
    applied: RwLock<(Sequence, Nonce)>,
    len: AtomicUsize,
    max_tags: usize,
    everything: TagHash,
}

impl PurgeTable {
    /// An empty table that will hold at most `max_tags` tags.
    pub(super) fn new(max_tags: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            applied: RwLock::default(),
            len: AtomicUsize::new(0),
            max_tags,
            everything: Tag::everything().hash(),
        }
    }

    /// The last purge of which, as of those before it, every tag stands in the table.
    pub(super) fn applied(&self) -> (Sequence, Nonce) {
        *self.applied.read()
    }

    /// Writes a purge's marks. A purge that is marked before those with lower numbers are known is
    /// in force, and moves no stamp.
    pub(super) fn mark_all(&self, number: Sequence, request: &PurgeRequest, now: Duration) {
        for tag in &request.hard {
            self.mark(tag.hash(), PurgeMode::Hard, number, now);
        }
        for tag in &request.soft {
            self.mark(tag.hash(), PurgeMode::Soft, number, now);
        }
        if self.len() > self.max_tags {
            self.fold_into_everything(number, now);
        }
    }

    /// Says that every purge up to this number is marked. Callers go up.
    pub(super) fn advance(&self, number: Sequence, nonce: Nonce) {
        *self.applied.write() = (number, nonce);
    }

    /// The worst that happened to any of the tags after `fetch_seq`.
    pub(super) fn state_of(&self, tags: &TagSet, fetch_seq: Sequence) -> PurgeState {
        // The tag of everything comes last, whether or not it is among the tags: a table that is
        // full marks it first and drops the others then, so that who misses them finds it.
        let tags = tags.hashes().iter().copied().chain([self.everything]);
        let mut state = PurgeState::Usable;
        for tag in tags {
            let Some(mark) = self.shard(tag).and_then(|marks| marks.read().get(&tag).copied())
            else {
                continue;
            };
            if mark.hard > fetch_seq {
                return PurgeState::HardPurged;
            }
            if mark.soft > fetch_seq {
                state = PurgeState::SoftPurged;
            }
        }
        state
    }

    /// Drops the marks that were last written before `horizon`.
    pub(super) fn forget_before(&self, horizon: Duration) {
        let horizon = seconds(horizon);
        let mut left = 0;
        for shard in &self.shards {
            let mut marks = shard.write();
            marks.retain(|_, mark| mark.at_seconds >= horizon);
            left += marks.len();
        }
        self.len.store(left, Ordering::Relaxed);
    }

    /// Drops these marks, whose answers another mark reaches.
    pub(super) fn drop_marks(&self, tags: &[TagHash]) {
        for &tag in tags {
            let removed = self.shard(tag).and_then(|marks| marks.write().remove(&tag));
            if removed.is_some() {
                self.len.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Takes over the marks of another table of the same lineage.
    pub(super) fn merge(&self, other: &Self, now: Duration) {
        for shard in &other.shards {
            for (&tag, mark) in shard.read().iter() {
                self.mark(tag, PurgeMode::Hard, mark.hard, now);
                self.mark(tag, PurgeMode::Soft, mark.soft, now);
            }
        }
    }

    /// How many tags have a mark.
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Notes one tag's purge, unless a later one is noted already.
    pub(super) fn mark(&self, tag: TagHash, mode: PurgeMode, number: Sequence, now: Duration) {
        let Some(shard) = self.shard(tag) else { return };
        let mut marks = shard.write();
        let known = marks.len();
        let mark = marks.entry(tag).or_default();
        let last = match mode {
            PurgeMode::Hard => &mut mark.hard,
            PurgeMode::Soft => &mut mark.soft,
        };
        *last = number.max(*last);
        mark.at_seconds = seconds(now);
        self.len.fetch_add(marks.len() - known, Ordering::Relaxed);
    }

    /// A table that is full forgets its tags by purging everything: too much, never too little.
    fn fold_into_everything(&self, number: Sequence, now: Duration) {
        tracing::warn!(
            max_tags = self.max_tags,
            "more tags purged than can be remembered: purging everything"
        );
        let everything = self.everything;
        self.mark(everything, PurgeMode::Hard, number, now);
        for shard in &self.shards {
            shard.write().retain(|tag, _| *tag == everything);
        }
        self.len.store(1, Ordering::Relaxed);
    }

    fn shard(&self, tag: TagHash) -> Option<&RwLock<Marks>> {
        // The map inside uses the lowest and the highest bits, so the shard is taken from the middle.
        self.shards.get(usize::from((tag.as_u64() >> 32) as u8) % SHARDS)
    }
}

fn seconds(reading: Duration) -> u32 {
    u32::try_from(reading.as_secs()).unwrap_or(u32::MAX)
}
