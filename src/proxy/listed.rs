//! The path of a request for a list of things, each of which is kept by itself.
//!
//! ```text
//! plan → look up each → fetch what is missing → put together → deliver
//!   │                        │                       │
//!   └────────────────────────┴───────────────────────┴─ the whole, as it was asked
//! ```
//!
//! * **plan**: which different things there are, and whether it is known what the origin makes of
//!   repetitions and of the order ([`habits`]).
//! * **look up**: fresh, stale or missing, each thing by itself: time, purges and the class's
//!   strictness decide as for any stored response.
//! * **fetch**: each missing thing is a flight that all who miss it share; those that nobody else
//!   fetches go out together, with what other requests of the same kind miss ([`merger`]).
//! * **put together**: the members around the items as the origin sent them, the items byte for byte.
//!   Where a missing thing cannot be had and nothing stale may stand in for it, the client is told
//!   the origin's error, never a part of the answer.

mod behind;
mod errand;
pub mod habits;
pub mod merger;
mod party;
mod piece;

use std::sync::Arc;

use super::again::AnsweredWith;
use super::asking::Standing;
use super::cache_status::{CacheStatus, Forwarded};
use super::counts::Served;
use super::deliver::{self, Hand, Terms};
use super::errand::Errand;
use super::fetch::{Source, pieces};
use super::flight::{
    Boarding, Charge, Outcome, StreamedResponse, Takeoff, UnstoredResponse, Waiter,
};
use super::lookup::Lookup;
use super::witness::Witness;
use super::{Answered, Proxy, failed, refused, streamed};
use crate::answer::pieces::{Unfit, put_together};
use crate::cache_key::CacheKey;
use crate::caching::cache_control::RequestDirectives;
use crate::clock::Timestamp;
use crate::error::ProxyError;
use crate::operation::Operation;
use crate::purge::{Moment, Strictness};
use crate::question::Unit;
use crate::stored_response::StoredResponse;

pub(super) use behind::{Along, AtOnce};
pub use errand::ListedErrand;
pub use party::{Leg, Party};
pub use piece::Piece;
pub(super) use piece::serve_at_once;

use piece::{served, ttl};

/// One of the different things that are asked for.
struct Wanted<'a> {
    unit: &'a Unit,
    key: CacheKey,
    lookup: Lookup,
    piece: Option<Piece>,
}

/// Why an answer is not put together.
enum Unable {
    /// It does not come apart.
    Whole,
    /// The origin's own error, or an answer that is not stored; perhaps another request's.
    Refused(Arc<UnstoredResponse>, Served),
    /// An answer that is too large to be held.
    Streamed(Arc<StreamedResponse>),
    /// There is no answer.
    Failed(ProxyError, Served),
}

impl From<Unfit> for Unable {
    fn from(_: Unfit) -> Self {
        Self::Whole
    }
}

impl Wanted<'_> {
    fn is_missing(&self) -> bool {
        self.piece.is_none()
    }
}

impl Proxy {
    /// Answers a request for a list.
    pub(super) async fn answer_list(
        &self,
        listed: Arc<ListedErrand>,
        terms: &Terms,
        witness: Option<&Witness<'_>>,
    ) -> Answered {
        let now = self.engine.clock.now();
        let units = listed.question.units();
        let different = self.engine.habits.different(listed.operation.index, units, now);
        let looked_up = different.and_then(|different| {
            let wanted = self.look_up_each(&listed, &different)?;
            Some((different, wanted))
        });
        let Some((different, mut wanted)) = looked_up else {
            return self.answer_whole(&listed, terms, witness).await;
        };
        self.refresh(&listed, &wanted);
        let forwarded = self.forwarded(&wanted);
        let asking = witness.filter(|_| wanted.iter().any(Wanted::is_missing));
        let answered = match self.traced(asking).fetch_missing(&listed, &mut wanted).await {
            Ok(()) => self.put_together(&listed, terms, &different, &wanted, forwarded).await,
            Err(unable) => Err(unable),
        };
        let operation = Some(Arc::clone(&listed.operation));
        let forwarded = forwarded.unwrap_or_default();
        let by = |served| CacheStatus { collapsed: served == Served::Collapsed, ..forwarded };
        match answered {
            Ok(answered) => answered,
            Err(Unable::Whole) => self.answer_whole(&listed, terms, witness).await,
            Err(Unable::Failed(error, served)) => failed(operation, error, by(served)),
            Err(Unable::Refused(answer, served)) => {
                let status = by(served).with_detail(answer.reason.as_str());
                let response = deliver::unstored(terms, &answer, &listed.public_root, status);
                Answered::new(response, operation, served)
            }
            Err(Unable::Streamed(answer)) => {
                streamed(terms, &answer, operation, forwarded, Served::Miss)
            }
        }
    }

    /// Answers a request for a list, if all of it is in the store.
    pub(super) async fn list_from_store(
        &self,
        listed: &Arc<ListedErrand>,
        terms: &Terms,
    ) -> Option<Answered> {
        let now = self.engine.clock.now();
        let units = listed.question.units();
        let different = self.engine.habits.different(listed.operation.index, units, now)?;
        let wanted = self.look_up_each(listed, &different)?;
        if wanted.iter().any(Wanted::is_missing) {
            return None;
        }
        self.refresh(listed, &wanted);
        self.put_together(listed, terms, &different, &wanted, None).await.ok()
    }

    /// Takes the list whole, exactly as it was asked.
    async fn answer_whole(
        &self,
        listed: &Arc<ListedErrand>,
        terms: &Terms,
        witness: Option<&Witness<'_>>,
    ) -> Answered {
        match listed.as_asked() {
            Some(errand) => self.answer_one(&Errand::Operation(errand), terms, witness).await,
            None => refused(Some(Arc::clone(&listed.operation)), ProxyError::Internal),
        }
    }

    /// What is stored of each thing. `None` where the answer is known not to come apart.
    fn look_up_each<'a>(
        &self,
        listed: &'a ListedErrand,
        different: &[usize],
    ) -> Option<Vec<Wanted<'a>>> {
        let units = listed.question.units();
        let now = self.engine.clock.now();
        let mut wanted = Vec::with_capacity(different.len());
        for unit in different.iter().filter_map(|&position| units.get(position)) {
            let key = listed.question.key_of(unit)?;
            let lookup = self.engine.look_up_piece(listed, &key, now);
            let piece = serve_at_once(&lookup);
            wanted.push(Wanted { unit, key, lookup, piece });
        }
        let goes_alone = |one: &Wanted<'_>| self.engine.flights.goes_alone(&one.key).is_some();
        let is_whole = self.engine.habits.is_left_whole(|| listed.question.key_as_asked(), now)
            || wanted.len() == 1 && wanted.iter().any(goes_alone);
        (!is_whole).then_some(wanted)
    }

    /// Fetches what is missing, together with all who miss the same.
    async fn fetch_missing(
        &self,
        listed: &Arc<ListedErrand>,
        wanted: &mut [Wanted<'_>],
    ) -> Result<(), Unable> {
        let plane = self.engine.plane();
        // From here on the request has arrived: no purge that is known by now may be missed.
        let (arrived, strictness) = (plane.now(), listed.strictness());
        let mut boarding: Vec<Passenger> = Vec::new();
        for (at, _) in wanted.iter().enumerate().filter(|(_, wanted)| wanted.is_missing()) {
            let source = Source::Anywhere;
            boarding.push(Passenger { at, not_before: None, source, has_tried: false });
        }
        while !boarding.is_empty() {
            let waiting = self.board_all(listed, wanted, &boarding)?;
            boarding.clear();
            for Waiting { passenger, waiter, collapsed } in waiting {
                let Some(one) = wanted.get_mut(passenger.at) else { continue };
                let fetched = if collapsed { Served::Collapsed } else { Served::Miss };
                match waiter.outcome(arrived, strictness, plane).await {
                    // It left before a purge that this request came after.
                    None => {
                        let not_before = Some((arrived, strictness));
                        boarding.push(Passenger { not_before, ..passenger });
                    }
                    // Whoever asked for it was not let in, or is gone: this request may be.
                    Some(Outcome::Failed(error))
                        if collapsed && error.is_ones_own() && !passenger.has_tried =>
                    {
                        let not_before = Some((plane.now(), strictness));
                        boarding.push(Passenger { not_before, has_tried: true, ..passenger });
                    }
                    Some(outcome) if collapsed && !outcome.may_be_shared() => {
                        return Err(Unable::Whole);
                    }
                    Some(
                        ref outcome @ (Outcome::Stored(ref stored, _)
                        | Outcome::Confirmed(ref stored, _)),
                    ) => {
                        let (stored, forward_status) = (Arc::clone(stored), outcome.status());
                        let was_asked = true;
                        one.piece =
                            Some(Piece { stored, served: fetched, was_asked, forward_status });
                    }
                    Some(Outcome::Found(stored)) => {
                        let now = self.engine.clock.now();
                        match serve_at_once(&self.engine.judge_piece(listed, stored, now)) {
                            Some(piece) => one.piece = Some(piece.shared()),
                            None => {
                                let not_before = Some((plane.now(), strictness));
                                let source = Source::Origin;
                                boarding.push(Passenger { not_before, source, ..passenger });
                            }
                        }
                    }
                    Some(outcome) => {
                        one.piece = Some(self.stand_in(listed, one, outcome, fetched)?);
                    }
                }
            }
        }
        Ok(())
    }

    /// Boards a flight for each, and has those leave that nobody else has made leave.
    fn board_all(
        &self,
        listed: &Arc<ListedErrand>,
        wanted: &mut [Wanted<'_>],
        boarding: &[Passenger],
    ) -> Result<Vec<Waiting>, Unable> {
        let engine = &self.engine;
        let mut waiting = Vec::with_capacity(boarding.len());
        let mut unable = None;
        let (mut anywhere, mut from_origin) = (Vec::new(), Vec::new());
        for &passenger in boarding {
            let Passenger { at, not_before, source, .. } = passenger;
            let Some(one) = wanted.get_mut(at) else { continue };
            let board = engine.flights.board(&one.key, engine.plane(), not_before, Charge::Piece);
            let (takeoff, waiter) = match board {
                Err(error) => {
                    match self.stand_in(listed, one, Outcome::Failed(error), Served::Miss) {
                        Ok(piece) => one.piece = Some(piece),
                        // Those who have joined a flight that was boarded before are not let down.
                        Err(error) => unable = Some(error),
                    }
                    continue;
                }
                Ok(Boarding::Follow(waiter)) => {
                    self.joins(&waiter);
                    waiting.push(Waiting { passenger, waiter, collapsed: true });
                    continue;
                }
                Ok(Boarding::Lead(takeoff, waiter)) => (takeoff, waiter),
            };
            takeoff.is_led_by(self.span());
            // Another flight may have landed since it was looked up.
            let lookup = engine.look_up_piece(listed, &one.key, engine.clock.now());
            if let Lookup::Fresh(stored) = lookup {
                takeoff.land(Outcome::Stored(Arc::clone(&stored), None));
                one.piece = Some(Piece::of(stored, Served::Hit));
                continue;
            }
            let Ok(leg) = self.leg(listed, one.unit, lookup.previous(), takeoff) else {
                unable = Some(Unable::Whole);
                continue;
            };
            match source {
                Source::Anywhere => anywhere.push(leg),
                Source::Origin => from_origin.push(leg),
            }
            waiting.push(Waiting { passenger, waiter, collapsed: false });
        }
        let has_stand_in = |leg: &Leg| {
            let previous = leg.previous.as_ref();
            previous.is_some_and(|previous| self.may_stand_in(listed, previous))
        };
        for (legs, source) in [(anywhere, Source::Anywhere), (from_origin, Source::Origin)] {
            // Who has to wait for one of them may as well wait for all.
            let standing = Standing::of_client(legs.iter().all(has_stand_in));
            self.leave(listed, legs, source, standing);
        }
        unable.map_or(Ok(waiting), Err)
    }

    fn leg(
        &self,
        listed: &ListedErrand,
        unit: &Unit,
        previous: Option<&Arc<StoredResponse>>,
        takeoff: Takeoff,
    ) -> Result<Leg, Unable> {
        let errand = listed.alone(unit).ok_or(Unable::Whole)?;
        let previous = previous.cloned();
        Ok(Leg { errand, unit: unit.clone(), previous, takeoff, lease: None })
    }

    /// The fetch runs on whether or not its client stays.
    pub(super) fn leave(
        &self,
        listed: &Arc<ListedErrand>,
        legs: Vec<Leg>,
        source: Source,
        standing: Standing,
    ) {
        if !legs.is_empty() {
            let asker = self.span();
            let party = Party { listed: Arc::clone(listed), legs, standing, asker };
            let (engine, origin) = (Arc::clone(&self.engine), Arc::clone(&self.fetcher));
            tokio::spawn(pieces::run(engine, origin, party, source));
        }
    }

    /// Whether what is stored of a thing may stand in for it.
    fn may_stand_in(&self, listed: &ListedErrand, stored: &Arc<StoredResponse>) -> bool {
        let engine = &self.engine;
        let now = engine.clock.now();
        let lookup = engine.judge_piece(listed, Arc::clone(stored), now);
        let asked = RequestDirectives::default();
        lookup.stand_in(engine.plane(), listed.strictness(), &asked, now).is_some()
    }

    /// What may stand in for a thing whose fetch ended so.
    fn stand_in(
        &self,
        listed: &ListedErrand,
        one: &Wanted<'_>,
        outcome: Outcome,
        fetched: Served,
    ) -> Result<Piece, Unable> {
        let engine = &self.engine;
        let now = engine.clock.now();
        if outcome.is_origin_failure() {
            let asked = RequestDirectives::default();
            let stands_in =
                |lookup: &Lookup| lookup.stand_in(engine.plane(), listed.strictness(), &asked, now);
            // What stood in the shared tier is in memory by now.
            let found_since = || stands_in(&engine.look_up_piece(listed, &one.key, now));
            if let Some(stored) = stands_in(&one.lookup).or_else(found_since) {
                let (served, forward_status) = (Served::StaleIfError, outcome.status());
                let was_asked = match outcome {
                    Outcome::Failed(error) => error.may_have_been_asked(),
                    _ => true,
                };
                return Ok(Piece { stored, served, was_asked, forward_status });
            }
        }
        let is_one = listed.question.units().len() == 1;
        Err(match outcome {
            Outcome::Failed(error) => Unable::Failed(error, fetched),
            Outcome::Unstored(answer) if is_one || !answer.status.is_success() => {
                Unable::Refused(answer, fetched)
            }
            Outcome::Streamed(answer) if is_one => Unable::Streamed(answer),
            _ => Unable::Whole,
        })
    }

    /// More on how the pieces came about, for people.
    fn detail(&self, pieces: &[&Piece]) -> Option<&'static str> {
        let any = |served: Served| pieces.iter().any(|piece| piece.served == served);
        match () {
            () if any(Served::StaleIfError) => Some(Served::StaleIfError.as_str()),
            () if any(Served::Stale) => Some(self.engine.why_stale()),
            () if any(Served::SharedHit) => Some("redis"),
            () => None,
        }
    }

    /// The answer, as the origin would have put it.
    async fn put_together(
        &self,
        listed: &Arc<ListedErrand>,
        terms: &Terms,
        different: &[usize],
        wanted: &[Wanted<'_>],
        forwarded: Option<CacheStatus>,
    ) -> Result<Answered, Unable> {
        let units = listed.question.units();
        let index = listed.operation.index;
        let pieces: Option<Vec<&Piece>> = wanted.iter().map(|one| one.piece.as_ref()).collect();
        let pieces = pieces.ok_or(Unable::Whole)?;
        let now = self.engine.clock.now();
        // What was found before the others were waited for may have been purged meanwhile.
        let still_serves = |piece: &&Piece| {
            let stored = Arc::clone(&piece.stored);
            !matches!(piece.served, Served::Hit | Served::Stale)
                || serve_at_once(&self.engine.judge_piece(listed, stored, now)).is_some()
        };
        if forwarded.is_some() && !pieces.iter().all(still_serves) {
            return Err(Unable::Whole);
        }
        let (served, status) = self.told(&pieces, forwarded, now);
        let operation = Some(Arc::clone(&listed.operation));
        let hand = if served == Served::Miss { Hand::First } else { Hand::Second };
        if let ([piece], [_]) = (&pieces[..], units) {
            self.count_pieces(&listed.operation, &pieces);
            let (stored, root) = (&piece.stored, &listed.public_root);
            let response = deliver::stored(terms, stored, root, hand, status, now).await;
            return Ok(Answered::new(response, operation, served).made_of(listed, &pieces, wanted));
        }
        let decomposition = listed.decomposition().ok_or(Unable::Whole)?;
        let mut parts = Vec::with_capacity(pieces.len());
        for (one, piece) in wanted.iter().zip(&pieces) {
            let body = &piece.stored.body;
            parts.push((body.kept(), body.layout(decomposition, &one.unit.id)?));
        }
        let filled = parts.iter().filter(|(_, layout)| layout.items() > 0).count();
        let sequence = match self.engine.habits.sequence(index, units, different) {
            Some(sequence) => sequence,
            // With one of them filled, every order is the same.
            None if filled <= 1 && different.len() == units.len() => (0..parts.len()).collect(),
            None => return Err(Unable::Whole),
        };
        let stored: Vec<&StoredResponse> =
            sequence.iter().filter_map(|&at| pieces.get(at).map(|piece| &*piece.stored)).collect();
        let parts: Vec<_> = sequence.iter().filter_map(|&at| parts.get(at).copied()).collect();
        let items: usize = parts.iter().map(|(_, layout)| layout.items()).sum();
        if items > listed.question.max_items().min(self.engine.habits.page_items(index)) {
            return Err(Unable::Whole);
        }
        let body = put_together(&parts).inspect_err(|unfit| {
            let labels = [&*listed.operation.name, unfit.as_str()];
            self.engine.metrics.undivided.with_label_values(&labels).inc();
        })?;
        self.count_pieces(&listed.operation, &pieces);
        let response = deliver::pieces(terms, &stored, body, hand, status, now).await;
        Ok(Answered::new(response, operation, served).made_of(listed, &pieces, wanted))
    }

    /// Counts the pieces that an answer for a list was put together from.
    fn count_pieces(&self, operation: &Operation, pieces: &[&Piece]) {
        for piece in pieces {
            self.counts.count_pieces(operation, piece.served, 1);
        }
    }

    /// How an answer from these pieces is served, and what its client is told of that.
    fn told(
        &self,
        pieces: &[&Piece],
        forwarded: Option<CacheStatus>,
        now: Timestamp,
    ) -> (Served, CacheStatus) {
        let served = served(pieces);
        let from_store = pieces.iter().filter(|piece| piece.is_from_store()).count();
        let is_fetched = from_store < pieces.len();
        let was_asked = pieces.iter().any(|piece| piece.was_asked);
        let status = match forwarded.filter(|_| was_asked) {
            Some(forwarded) if is_fetched => CacheStatus { stored: true, ..forwarded },
            Some(forwarded) => CacheStatus { ttl_seconds: Some(ttl(pieces, now)), ..forwarded },
            None => CacheStatus::hit(ttl(pieces, now)),
        };
        let status = CacheStatus {
            // Of one thing alone there is nothing to tell.
            pieces: (pieces.len() > 1).then_some((from_store, pieces.len())),
            forward_status: pieces.iter().find_map(|piece| piece.forward_status),
            collapsed: served == Served::Collapsed,
            detail: self.detail(pieces).or(status.detail),
            ..status
        };
        (served, status)
    }

    /// Why the request goes forward; `None` where nothing is missing.
    fn forwarded(&self, wanted: &[Wanted<'_>]) -> Option<CacheStatus> {
        let mut missing = wanted.iter().filter(|one| one.is_missing());
        let first = missing.next()?;
        if missing.count() + 1 < wanted.len() {
            return Some(CacheStatus::forwarded(Forwarded::Partial));
        }
        let detail = self.engine.detail_of(&first.lookup);
        Some(CacheStatus { detail, ..CacheStatus::forwarded(first.lookup.reason()) })
    }
}

/// One thing on its way to a flight.
#[derive(Clone, Copy)]
struct Passenger {
    /// Its place among those that are wanted.
    at: usize,
    not_before: Option<(Moment, Strictness)>,
    source: Source,
    /// Whether it has been on a flight of another's that was not its own to fail.
    has_tried: bool,
}

/// One thing on a flight.
struct Waiting {
    passenger: Passenger,
    waiter: Waiter,
    collapsed: bool,
}

impl Answered {
    /// The same, which may be given again as long as its pieces stand.
    fn made_of(self, listed: &Arc<ListedErrand>, pieces: &[&Piece], wanted: &[Wanted<'_>]) -> Self {
        let from_store = pieces.iter().filter(|piece| piece.is_from_store()).count();
        let this = Self { pieces: Some((from_store, pieces.len())), ..self };
        if this.served != Served::Hit {
            return this;
        }
        let stored = pieces.iter().map(|piece| Arc::clone(&piece.stored)).collect();
        let units = wanted.iter().map(|one| one.unit.clone()).collect();
        Self { with: Some(AnsweredWith::Pieces(Arc::clone(listed), stored, units)), ..this }
    }
}
