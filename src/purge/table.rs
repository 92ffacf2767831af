//! The number of each tag's last purge, as this node has applied it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use super::{PurgeMode, PurgeRequest, PurgeState, Sequence};
use crate::digest_map::BuildDigestHasher;
use crate::tag::{Tag, TagHash, TagSet};

/// Readers of different entries meet on one of these locks only when a purge has moved the
/// sequence since their entry was last checked.
const SHARDS: usize = 64;

type Marks = HashMap<TagHash, Mark, BuildDigestHasher>;

/// The last purges of one tag, and when the last one was, on the monotonic clock: a wall clock that
/// is set ahead and back must not make purges forgotten that answers still need.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    hard: Sequence,
    soft: Sequence,
    at: Duration,
}

/// The tag table and the applied sequence.
#[derive(Debug)]
pub struct PurgeTable {
    shards: Box<[RwLock<Marks>]>,
    applied: AtomicU64,
    len: AtomicUsize,
    max_tags: usize,
    everything: TagHash,
}

impl PurgeTable {
    /// An empty table that will hold at most `max_tags` tags.
    pub fn new(max_tags: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            applied: AtomicU64::new(0),
            len: AtomicUsize::new(0),
            max_tags,
            everything: Tag::everything().hash(),
        }
    }

    /// The number of the last purge whose every tag stands in the table.
    pub fn applied(&self) -> Sequence {
        // Acquire: whoever sees the number sees the marks that were written before it.
        Sequence(self.applied.load(Ordering::Acquire))
    }

    /// Writes the purge's marks, then makes its number the applied one. Callers apply in order.
    pub(super) fn apply(&self, number: Sequence, request: &PurgeRequest, now: Duration) {
        for tag in &request.hard {
            self.mark(tag.hash(), PurgeMode::Hard, number, now);
        }
        for tag in &request.soft {
            self.mark(tag.hash(), PurgeMode::Soft, number, now);
        }
        if self.len() > self.max_tags {
            self.fold_into_everything(number, now);
        }
        self.applied.store(number.0, Ordering::Release);
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
        let mut left = 0;
        for shard in &self.shards {
            let mut marks = shard.write();
            marks.retain(|_, mark| mark.at >= horizon);
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

    /// How many tags have a mark.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether no tag has a mark.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn mark(&self, tag: TagHash, mode: PurgeMode, number: Sequence, now: Duration) {
        let Some(shard) = self.shard(tag) else { return };
        let mut marks = shard.write();
        let known = marks.len();
        let mark = marks.entry(tag).or_default();
        match mode {
            PurgeMode::Hard => mark.hard = number,
            PurgeMode::Soft => mark.soft = number,
        }
        mark.at = now;
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
