//! What is fetched behind a request's back: what was served stale, and what is about to expire.

use std::sync::Arc;

use super::merger::Rider;
use super::{Leg, ListedErrand, Wanted};
use crate::clock::Timestamp;
use crate::origin::gate::Priority;
use crate::proxy::Proxy;
use crate::proxy::asking::Standing;
use crate::proxy::counts::Served;
use crate::proxy::fetch::Source;
use crate::proxy::flight::{Boarding, Charge};
use crate::question::Unit;
use crate::stored_response::StoredResponse;

/// One thing of a list, which is answered from the store at once.
#[derive(Clone, Copy)]
pub(in crate::proxy) struct AtOnce<'a> {
    pub(in crate::proxy) unit: &'a Unit,
    pub(in crate::proxy) stored: &'a Arc<StoredResponse>,
    pub(in crate::proxy) served: Served,
}

/// Whether what is about to expire is noted for calls that go anyway.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum Along {
    Noted,
    Unnoted,
}

impl Proxy {
    /// Counts the hits of a list that is read, and has fetched anew what is to be.
    pub(super) fn refresh(&self, listed: &Arc<ListedErrand>, wanted: &[Wanted<'_>]) {
        let at_once = wanted.iter().filter_map(|one| {
            let piece = one.piece.as_ref()?;
            Some(AtOnce { unit: one.unit, stored: &piece.stored, served: piece.served })
        });
        let hits = at_once.clone().filter(|one| one.served == Served::Hit);
        self.engine.count_hits(listed, hits.map(|one| (one.stored, one.unit)));
        self.refresh_behind(listed, at_once, Along::Noted, self.engine.clock.now());
    }

    /// Has fetched anew, with nobody waiting for it, what is served stale, and what is about to expire
    /// where one of that is due or a call of its kind is open to take it along.
    pub(in crate::proxy) fn refresh_behind<'a>(
        &self,
        listed: &Arc<ListedErrand>,
        at_once: impl Iterator<Item = AtOnce<'a>> + Clone,
        along: Along,
        now: Timestamp,
    ) {
        let engine = &self.engine;
        let is_stale = |one: &AtOnce<'_>| {
            one.served == Served::Stale && !engine.is_young_behind_fence(one.stored)
        };
        let is_ending =
            |one: &AtOnce<'_>| one.served == Served::Hit && one.stored.freshness.is_ending(now);
        let is_due = |one: &AtOnce<'_>| is_ending(one) && engine.is_due_ahead(one.stored, now);
        let (priority, source) = if at_once.clone().any(|one| is_stale(&one)) {
            (Priority::Revalidation, Source::Anywhere)
        } else if at_once.clone().any(|one| is_due(&one)) {
            // What other nodes have is as near its end.
            (Priority::RefreshAhead, Source::Origin)
        } else {
            if along == Along::Noted {
                self.note_riders(listed, at_once.filter(is_ending));
            }
            return;
        };
        let meant = at_once.filter(|one| is_stale(one) || is_ending(one));
        let is_for_now = |one: AtOnce<'_>| !engine.flights.is_under_way(&one.stored.key);
        if !meant.clone().any(is_for_now) || !engine.has_room(priority) {
            return;
        }
        let legs = self.board_behind(listed, meant);
        self.leave(listed, legs, source, Standing::Behind(priority));
    }

    /// Notes what is about to expire, for calls that go anyway.
    fn note_riders<'a>(
        &self,
        listed: &Arc<ListedErrand>,
        ending: impl Iterator<Item = AtOnce<'a>>,
    ) {
        let mut ending = ending.peekable();
        if ending.peek().is_none() {
            return;
        }
        let max_ids = self.engine.max_ids(listed);
        let riders = ending.map(|one| {
            let rider = || Rider { listed: listed.only(one.unit), unit: one.unit.clone() };
            (one.stored.key.digest(), rider)
        });
        self.engine.merger.note(listed.question.kind().digest(), max_ids, riders);
    }

    /// Boards flights that nobody waits for.
    fn board_behind<'a>(
        &self,
        listed: &ListedErrand,
        meant: impl Iterator<Item = AtOnce<'a>>,
    ) -> Vec<Leg> {
        let engine = &self.engine;
        let mut legs = Vec::new();
        for AtOnce { unit, stored, .. } in meant {
            let board = engine.flights.board(&stored.key, engine.plane(), None, Charge::Piece);
            if let Ok(Boarding::Lead(takeoff, _)) = board
                && let Ok(leg) = self.leg(listed, unit, Some(stored), takeoff)
            {
                legs.push(leg);
            }
        }
        legs
    }
}
