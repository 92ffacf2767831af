//! The last purges that came into force on this node, for people to read. Written when something is
//! purged, never when something is read.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::{PurgeMode, PurgeRequest, Stamp};
use crate::clock::{Clock, Timestamp};
use crate::tag::Tag;

/// Purges that are kept: what a person looks through.
const KEPT_PURGES: usize = 100;

/// Tags that are kept of one; of the rest, how many there were. A tag has up to 300 bytes, so that
/// the feed has 300 kB at most.
const KEPT_TAGS: usize = 10;

/// Who had something purged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PurgeSource {
    /// A push event.
    Event,
    /// An event's `effectiveAt`, or searches that were gathered.
    Schedule,
    /// `POST /purge`.
    Operator,
    /// A write that changed a URL.
    UnsafeRequest,
    /// This node, which could not tell the others before: by now they know.
    ToldLater,
    /// Another node of the fleet; which of these it was is known there.
    OtherNode,
}

impl PurgeSource {
    /// The source, as metric label and in `/status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Schedule => "schedule",
            Self::Operator => "operator",
            Self::UnsafeRequest => "unsafe-request",
            Self::ToldLater => "told-later",
            Self::OtherNode => "other-node",
        }
    }
}

/// One purge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Purged {
    /// When it came into force here.
    pub at: Timestamp,
    /// Its number.
    pub stamp: Stamp,
    /// Who asked for it.
    pub source: PurgeSource,
    /// How many tags were purged hard.
    pub hard: usize,
    /// How many softly.
    pub soft: usize,
    /// The first of them, those purged hard first.
    pub tags: Vec<(Tag, PurgeMode)>,
}

/// The last purges.
#[derive(Debug)]
pub struct PurgeFeed {
    clock: Clock,
    purges: Mutex<VecDeque<Purged>>,
}

impl PurgeFeed {
    pub(super) const fn new(clock: Clock) -> Self {
        Self { clock, purges: Mutex::new(VecDeque::new()) }
    }

    /// Notes a purge that is in force. A purge of this node's own comes by the fleet's log, too:
    /// whichever is first, it is noted once, with what this node knows of its source.
    pub(super) fn note(&self, stamp: Stamp, source: PurgeSource, request: &PurgeRequest) {
        if request.is_empty() {
            return;
        }
        let mut purges = self.purges.lock();
        if let Some(noted) = purges.iter_mut().rev().find(|noted| noted.stamp == stamp) {
            if noted.source == PurgeSource::OtherNode {
                noted.source = source;
            }
            return;
        }
        let hard = request.hard.iter().map(|tag| (tag, PurgeMode::Hard));
        let soft = request.soft.iter().map(|tag| (tag, PurgeMode::Soft));
        let tags = hard.chain(soft).take(KEPT_TAGS);
        purges.push_back(Purged {
            at: self.clock.now(),
            stamp,
            source,
            hard: request.hard.len(),
            soft: request.soft.len(),
            tags: tags.map(|(tag, mode)| (tag.clone(), mode)).collect(),
        });
        if purges.len() > KEPT_PURGES {
            purges.pop_front();
        }
    }

    /// The last purges, at most so many, the newest first.
    pub fn newest(&self, limit: usize) -> Vec<Purged> {
        self.purges.lock().iter().rev().take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Lineage, Nonce, Sequence};
    use super::*;

    const LINEAGE: Lineage = Lineage { generation: 1, nonce: 7 };

    fn stamp(number: u64) -> Stamp {
        let sequence = Sequence::from_u64(number);
        Stamp { lineage: LINEAGE, sequence, nonce: Nonce(number) }
    }

    fn feed() -> PurgeFeed {
        PurgeFeed::new(Clock::manual(Timestamp::from_millis(1_777_284_000_000)))
    }

    fn items(count: usize) -> PurgeRequest {
        let item = |number| Tag::parse(&format!("price/item:{number}")).unwrap();
        PurgeRequest { hard: (0..count).map(item).collect(), soft: vec![] }
    }

    #[test]
    fn the_last_purges_are_kept_the_newest_first_and_of_a_large_one_the_first_tags() {
        let feed = feed();
        for number in 1..=150 {
            feed.note(stamp(number), PurgeSource::Operator, &items(12));
        }
        let kept = feed.newest(usize::MAX);
        assert_eq!(kept.len(), KEPT_PURGES);
        assert_eq!((kept[0].stamp, kept[KEPT_PURGES - 1].stamp), (stamp(150), stamp(51)));
        assert_eq!((kept[0].hard, kept[0].soft, kept[0].tags.len()), (12, 0, KEPT_TAGS));
        assert_eq!(feed.newest(2).len(), 2);
    }

    #[test]
    fn a_purge_of_ones_own_that_comes_by_the_log_too_is_noted_once_by_its_source() {
        for sources in [
            [PurgeSource::OtherNode, PurgeSource::Event],
            [PurgeSource::Event, PurgeSource::OtherNode],
        ] {
            let feed = feed();
            for source in sources {
                feed.note(stamp(1), source, &items(1));
            }
            let kept = feed.newest(10);
            assert_eq!((kept.len(), kept[0].source), (1, PurgeSource::Event), "{sources:?}");
        }
    }

    #[test]
    fn what_purges_nothing_is_not_noted() {
        let feed = feed();
        feed.note(stamp(1), PurgeSource::OtherNode, &PurgeRequest::default());
        assert_eq!(feed.newest(10), []);
    }
}
