//! Fetching before anybody misses it.
//!
//! **Ahead**: of an answer that is asked for often, somebody's request is the first to find it stale,
//! and waits. XFetch (Vattani, Chierichetti, Lowenstein: *Optimal Probabilistic Cache Stampede
//! Prevention*, 2015) lets one of the requests before that one start the fetch, whose client is
//! answered from the store: each decides by itself, the likelier the nearer the end is and the longer
//! a fetch takes. What is asked for seldom is mostly not asked for in that time, and costs nothing.
//!
//! **After a purge**: the answers that were asked for most are fetched at once, before their next
//! client comes. A price event would else make the hottest product's next client wait.
//!
//! Nobody waits for either, so both go by the gate only where enough is left for clients.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::asking::Standing;
use super::engine::Engine;
use super::errand::Errand;
use super::fetch::Source;
use super::flight::{Boarding, Charge, Outcome};
use super::hottest::{Hot, is_sampled};
use super::identity::Asker;
use super::in_force::InForce;
use super::listed::{Leg, ListedErrand};
use super::lookup::Lookup;
use super::{OperationErrand, Proxy};
use crate::clock::{Clock, Timestamp};
use crate::operation::Class;
use crate::origin::gate::Priority;
use crate::purge::{PurgeState, Strictness};
use crate::question::{Partition, Unit};
use crate::stored_response::StoredResponse;

/// How often it is looked whether a purge came, which takes next to nothing.
const LOOKED_EVERY: Duration = Duration::from_millis(10);

/// Looking through what is hot takes at most one part in so many of a thread's time.
const SHARE: u32 = 20;

/// The most that is fetched anew for one look.
const AT_ONCE: usize = 100;

/// A fetch further from the end of a lifetime than this many times what it takes is out of the
/// question: one in ten million draws is as large.
const FARTHEST: f64 = 16.0;

/// A piece that was purged.
struct Piece {
    listed: Arc<ListedErrand>,
    unit: Unit,
    errand: Arc<OperationErrand>,
    stored: Arc<StoredResponse>,
}

/// How long fetches have taken lately.
#[derive(Debug, Default)]
pub(super) struct Pace(AtomicU64);

impl Pace {
    /// Takes in how long one took. Threads may overwrite each other's word: it is an average.
    pub(super) fn note(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let held = self.0.load(Ordering::Relaxed);
        let average = if held == 0 { took } else { held - held / 8 + took / 8 };
        self.0.store(average, Ordering::Relaxed);
    }

    fn average(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// XFetch: whether this request is the one that fetches. `chance` is drawn evenly from (0, 1].
fn is_due(left: Duration, takes: Duration, beta: f64, chance: f64) -> bool {
    left.as_secs_f64() <= takes.as_secs_f64() * beta * -chance.ln()
}

impl Engine {
    /// Whether a fresh answer is to be fetched anew now, so that nobody finds it stale.
    pub(super) fn is_due_ahead(&self, stored: &StoredResponse, now: Timestamp) -> bool {
        self.may_be_due_ahead(stored, now) && {
            let left = stored.freshness.left(now);
            is_due(left, self.pace.average(), self.ahead(), 1.0 - rand::random::<f64>())
        }
    }

    /// Whether it is so near its end that it may be.
    pub(super) fn may_be_due_ahead(&self, stored: &StoredResponse, now: Timestamp) -> bool {
        let farthest = self.pace.average().as_secs_f64() * self.ahead() * FARTHEST;
        stored.freshness.left(now).as_secs_f64() <= farthest
    }

    fn ahead(&self) -> f64 {
        f64::from(self.config.refresh.ahead_percent) / 100.0
    }

    /// Counts a hit, now and then.
    pub(super) fn count_hit(&self, errand: &Errand, stored: &Arc<StoredResponse>) {
        if is_sampled() {
            self.note_hit(errand, stored);
        }
    }

    /// Counts a hit, if its answer is one to be fetched anew after a purge.
    pub(super) fn note_hit(&self, errand: &Errand, stored: &Arc<StoredResponse>) {
        if let Errand::Operation(operation) = errand
            && self.may_be_hot(&operation.asker, operation.operation.class)
        {
            self.hottest.count(stored, errand);
        }
    }

    /// Counts hits on pieces for one list, now and then.
    pub(super) fn count_hits<'p>(
        &self,
        listed: &ListedErrand,
        hits: impl Iterator<Item = (&'p Arc<StoredResponse>, &'p Unit)>,
    ) {
        if is_sampled() {
            self.note_hits(listed, hits);
        }
    }

    /// Counts hits on pieces for one list, if such are fetched anew after a purge.
    pub(super) fn note_hits<'p>(
        &self,
        listed: &ListedErrand,
        hits: impl Iterator<Item = (&'p Arc<StoredResponse>, &'p Unit)>,
    ) {
        if self.may_be_hot(&listed.asker, listed.operation.class) {
            self.hottest.count_pieces(listed, hits);
        }
    }

    /// Whether an answer of this class is fetched anew after a purge. Never as somebody, who may be
    /// gone.
    fn may_be_hot(&self, asker: &Asker, class: Class) -> bool {
        !self.hottest.is_off()
            && asker.partition == Partition::Anonymous
            && self.config.refresh.after_purge.contains(&class)
    }

    fn is_purged(&self, errand: &Errand) -> bool {
        matches!(self.look_up(errand), Lookup::Purged(_))
    }
}

impl Proxy {
    /// Starts a fetch of a fresh answer whose lifetime is ending.
    pub(super) fn refresh_ahead(&self, errand: &Errand, stored: &Arc<StoredResponse>) {
        let engine = &self.engine;
        if !errand.may_refresh() || !engine.is_due_ahead(stored, engine.clock.now()) {
            return;
        }
        let key = engine.flight_key(errand);
        if engine.flights.is_under_way(&key) || !engine.has_room(Priority::RefreshAhead) {
            return;
        }
        let board = engine.flights.board(&key, engine.plane(), None, Charge::Fetch);
        let Ok(Boarding::Lead(takeoff, _)) = board else { return };
        match engine.look_up(errand) {
            // Another did so just now.
            Lookup::Fresh(newer) if !Arc::ptr_eq(&newer, stored) => {
                takeoff.land(Outcome::Stored(newer, None));
            }
            _ => {
                let by = (Source::Origin, Standing::Behind(Priority::RefreshAhead));
                self.depart(errand, Some(Arc::clone(stored)), by, takeoff);
            }
        }
    }

    /// Fetches the hottest of what was purged, for as long as the node runs, each time by the engine
    /// in force.
    pub async fn refresh_after_purges(mut self, in_force: Arc<InForce>, clock: Clock) {
        let mut seen = self.engine.plane().stamp();
        let mut pause = LOOKED_EVERY;
        loop {
            clock.sleep(pause).await;
            pause = LOOKED_EVERY;
            if self.engine.is_superseded() {
                self = self.by(in_force.engine());
            }
            let known = self.engine.plane().stamp();
            if known != seen && !self.engine.plane().is_fenced() {
                seen = known;
                let began = clock.monotonic();
                self.refresh_purged();
                pause = pause.max(clock.monotonic().saturating_sub(began) * SHARE);
            }
        }
    }

    fn refresh_purged(&self) {
        let engine = &self.engine;
        let plane = engine.plane();
        let is_purged = |stored: &StoredResponse| {
            stored.purge_state(plane, Strictness::Strict) == PurgeState::HardPurged
        };
        let mut by_kind: HashMap<u128, Vec<Piece>> = HashMap::new();
        for (stored, hot) in engine.hottest.purged(AT_ONCE, is_purged) {
            match hot {
                Hot::One(errand) if engine.is_purged(&errand) => self.refetch(&errand, stored),
                Hot::One(_) => {}
                Hot::Piece { listed, unit } => {
                    let Some(errand) = listed.alone(&unit) else { continue };
                    // Somebody may have fetched it already.
                    if engine.is_purged(&Errand::Operation(Arc::clone(&errand))) {
                        let kind = listed.question.kind().digest();
                        let piece = Piece { listed, unit, errand, stored };
                        by_kind.entry(kind).or_default().push(piece);
                    }
                }
            }
        }
        for pieces in by_kind.into_values() {
            self.refetch_pieces(pieces);
        }
    }

    /// Fetches pieces of one kind together.
    fn refetch_pieces(&self, pieces: Vec<Piece>) {
        let engine = &self.engine;
        let Some(listed) = pieces.first().map(|piece| Arc::clone(&piece.listed)) else { return };
        if !engine.has_room(Priority::AfterPurge) {
            return;
        }
        let mut legs = Vec::new();
        for Piece { unit, errand, stored, .. } in pieces {
            let key = &errand.question.key;
            let board = engine.flights.board(key, engine.plane(), None, Charge::Piece);
            if let Ok(Boarding::Lead(takeoff, _)) = board {
                legs.push(Leg { errand, unit, previous: Some(stored), takeoff, lease: None });
            }
        }
        self.leave(&listed, legs, Source::Anywhere, Standing::Behind(Priority::AfterPurge));
    }

    fn refetch(&self, errand: &Errand, stored: Arc<StoredResponse>) {
        let engine = &self.engine;
        if !engine.has_room(Priority::AfterPurge) {
            return;
        }
        let key = engine.flight_key(errand);
        let board = engine.flights.board(&key, engine.plane(), None, Charge::Fetch);
        if let Ok(Boarding::Lead(takeoff, _)) = board {
            let by = (Source::Anywhere, Standing::Behind(Priority::AfterPurge));
            self.depart(errand, Some(stored), by, takeoff);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_the_end_and_the_longer_a_fetch_takes_the_likelier_it_is() {
        let due = |left_ms: u64, takes_ms: u64, chance: f64| {
            is_due(Duration::from_millis(left_ms), Duration::from_millis(takes_ms), 1.0, chance)
        };
        // e⁻¹ is the chance of a fetch that takes as long as is left.
        assert!(due(250, 250, 0.36));
        assert!(!due(250, 250, 0.37));
        assert!(due(500, 250, 0.13));
        assert!(!due(500, 250, 0.14));
        assert!(due(0, 250, 1.0), "at the end it is certain");
        assert!(!due(1, 250, 1.0));
        assert!(!due(1_000, 0, 1e-9), "what takes no time needs no lead");
    }
}
