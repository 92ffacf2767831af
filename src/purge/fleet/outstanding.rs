//! Purges that this node has answered for, in case that Redis loses them.
//!
//! A purge can be acknowledged by a primary that is cut off from the others, while they go on in
//! another lineage, on another primary. When this node comes over, its purges are not there. So it
//! keeps them for a while, to say them again.

use std::collections::VecDeque;
use std::time::Duration;

use crate::purge::PurgeRequest;
use crate::tag::Tag;

/// For how long: far longer than a primary that is cut off goes on by itself. Sentinels and clusters
/// replace it within a minute, and `min-replicas-to-write` stops it in seconds.
const KEPT_FOR: Duration = Duration::from_secs(10 * 60);

/// Tags that are kept, some 20 MB of them; past it everything is purged instead.
const MAX_TAGS: usize = 200_000;

/// The purges, oldest first.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    kept: VecDeque<(Duration, PurgeRequest)>,
    tags: usize,
    /// When one had to be given up.
    overflowed_at: Option<Duration>,
}

impl Outstanding {
    /// Keeps a purge that is about to be acknowledged, by the monotonic clock.
    pub(super) fn keep(&mut self, request: PurgeRequest, now: Duration) {
        self.forget(now);
        self.tags += request.len();
        self.kept.push_back((now, request));
        while self.tags > MAX_TAGS
            && let Some((_, request)) = self.kept.pop_front()
        {
            self.tags -= request.len();
            self.overflowed_at = Some(now);
        }
    }

    /// Gives up the last such purge, which was not acknowledged.
    pub(super) fn give_up(&mut self, request: &PurgeRequest) {
        let at = self.kept.iter().rposition(|(_, kept)| kept == request);
        if let Some((_, request)) = at.and_then(|at| self.kept.remove(at)) {
            self.tags -= request.len();
        }
    }

    /// What is to be said again.
    pub(super) fn all(&mut self, now: Duration) -> PurgeRequest {
        self.forget(now);
        if self.overflowed_at.is_some() {
            return PurgeRequest::of(Tag::everything());
        }
        let mut all = PurgeRequest::default();
        for (_, request) in &self.kept {
            all.merge(request.clone());
        }
        all.deduplicate();
        all
    }

    fn forget(&mut self, now: Duration) {
        let is_old = |at: Duration| now.saturating_sub(at) > KEPT_FOR;
        while let Some((at, request)) = self.kept.front()
            && is_old(*at)
        {
            self.tags -= request.len();
            self.kept.pop_front();
        }
        self.overflowed_at = self.overflowed_at.filter(|at| !is_old(*at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Class;
    use crate::tag::TagKind;

    fn items(numbers: std::ops::Range<usize>) -> PurgeRequest {
        let tag = |n: usize| Tag::new(Class::Price, TagKind::Item, &n.to_string());
        PurgeRequest { hard: numbers.map(tag).collect(), soft: Vec::new() }
    }

    #[test]
    fn what_was_acknowledged_is_kept_for_a_while_and_said_again_once() {
        let mut outstanding = Outstanding::default();
        let later = KEPT_FOR + Duration::from_secs(1);
        outstanding.keep(items(0..2), Duration::ZERO);
        outstanding.keep(items(1..3), Duration::from_secs(2));
        assert_eq!(outstanding.all(Duration::from_secs(2)).len(), 3);
        assert_eq!(outstanding.all(later).len(), 2, "the first is past its time");
        assert!(outstanding.all(later * 2).is_empty());
        assert_eq!(outstanding.tags, 0);
    }

    #[test]
    fn what_was_not_acknowledged_is_not_said_again() {
        let mut outstanding = Outstanding::default();
        outstanding.keep(items(0..2), Duration::ZERO);
        outstanding.keep(items(2..3), Duration::ZERO);
        outstanding.give_up(&items(0..2));
        outstanding.give_up(&items(7..8));
        assert_eq!(outstanding.all(Duration::ZERO), items(2..3));
        assert_eq!(outstanding.tags, 1);
    }

    #[test]
    fn more_than_can_be_kept_becomes_everything_until_it_is_past() {
        let mut outstanding = Outstanding::default();
        outstanding.keep(items(0..MAX_TAGS), Duration::ZERO);
        outstanding.keep(items(0..1), Duration::ZERO);
        assert_eq!(outstanding.all(Duration::ZERO), PurgeRequest::of(Tag::everything()));
        assert_eq!(outstanding.tags, 1);
        assert!(outstanding.all(KEPT_FOR * 2).is_empty());
    }
}
