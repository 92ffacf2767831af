//! What is fetched behind a request's back: what was served stale, and what is about to expire.

use std::sync::Arc;

use super::merger::Rider;
use super::piece::Piece;
use super::{Leg, ListedErrand, Wanted};
use crate::origin::gate::Priority;
use crate::proxy::Proxy;
use crate::proxy::asking::Standing;
use crate::proxy::counts::Served;
use crate::proxy::fetch::Source;
use crate::proxy::flight::{Boarding, Charge};

impl Proxy {
    /// Has fetched anew, with nobody waiting for it, what is served stale, and what is about to expire
    /// where one of that is due or a call of its kind is open to take it along.
    pub(super) fn refresh(&self, listed: &Arc<ListedErrand>, wanted: &[Wanted<'_>]) {
        let engine = &self.engine;
        let now = engine.clock.now();
        let is_stale = |piece: &Piece| {
            piece.served == Served::Stale && !engine.is_young_behind_fence(&piece.stored)
        };
        let is_ending =
            |piece: &Piece| piece.served == Served::Hit && piece.stored.freshness.is_ending(now);
        let any = |is: &dyn Fn(&Piece) -> bool| {
            wanted.iter().any(|one| one.piece.as_ref().is_some_and(is))
        };
        let hits = wanted.iter().filter_map(|one| match &one.piece {
            Some(Piece { stored, served: Served::Hit, .. }) => Some((stored, one.unit)),
            _ => None,
        });
        engine.count_hits(listed, hits);
        let (priority, source) = if any(&is_stale) {
            (Priority::Revalidation, Source::Anywhere)
        } else if any(&|piece| is_ending(piece) && engine.is_due_ahead(&piece.stored, now)) {
            // What other nodes have is as near its end.
            (Priority::RefreshAhead, Source::Origin)
        } else {
            if any(&is_ending) {
                self.note_riders(listed, wanted, &is_ending);
            }
            return;
        };
        let is_meant = |piece: &Piece| is_stale(piece) || is_ending(piece);
        let is_for_now = |one: &Wanted<'_>| {
            one.piece.as_ref().is_some_and(is_meant) && !engine.flights.is_under_way(&one.key)
        };
        if !wanted.iter().any(is_for_now) || !engine.has_room(priority) {
            return;
        }
        let legs = self.board_behind(listed, wanted, &is_meant);
        self.leave(listed, legs, source, Standing::Behind(priority));
    }

    /// Notes what is about to expire, for calls that go anyway.
    fn note_riders(
        &self,
        listed: &Arc<ListedErrand>,
        wanted: &[Wanted<'_>],
        is_ending: &dyn Fn(&Piece) -> bool,
    ) {
        let max_ids = self.engine.max_ids(listed);
        let ending = wanted.iter().filter(|one| one.piece.as_ref().is_some_and(is_ending));
        let riders = ending.map(|one| {
            let rider = || Rider { listed: listed.only(one.unit), unit: one.unit.clone() };
            (one.key.digest(), rider)
        });
        self.engine.merger.note(listed.question.kind().digest(), max_ids, riders);
    }

    /// Boards flights that nobody waits for, for these of the pieces.
    fn board_behind(
        &self,
        listed: &ListedErrand,
        wanted: &[Wanted<'_>],
        is_meant: &dyn Fn(&Piece) -> bool,
    ) -> Vec<Leg> {
        let engine = &self.engine;
        let mut legs = Vec::new();
        for one in wanted.iter().filter(|one| one.piece.as_ref().is_some_and(is_meant)) {
            let board = engine.flights.board(&one.key, engine.plane(), None, Charge::Piece);
            if let Ok(Boarding::Lead(takeoff, _)) = board
                && let Ok(leg) = self.leg(listed, one.unit, &one.lookup, takeoff)
            {
                legs.push(leg);
            }
        }
        legs
    }
}
