//! Fetches of what is missing of lists: what other nodes have, then one call for many things, whose
//! answer is taken apart, and each piece stored under its own stamp from before the call left.
//!
//! A call may carry what several clients miss. Where it fails for a reason that may be one party's
//! own, each is asked for by itself, so that nobody is told of another's mistake.

mod exchange;
mod keeping;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use http::StatusCode;

use super::super::Engine;
use super::super::asking::{FetchOrigin, Standing};
use super::super::errand::Errand;
use super::super::flight::{Boarding, Charge, Outcome, UnstoredResponse};
use super::super::listed::merger::{Joined, Rider, different};
use super::super::listed::{Leg, ListedErrand, Party, serve_at_once};
use super::consult::{Consulted, Source};
use super::finish;
use crate::answer::pieces::Unfit;
use crate::origin::gate::Priority;
use exchange::{Verdict, ask};
use keeping::{keep, land};

/// Gets what a party misses, and lands its flights.
pub async fn run(engine: Arc<Engine>, origin: Arc<dyn FetchOrigin>, party: Party, source: Source) {
    let Party { listed, legs, standing, asker } = party;
    let consulting = legs.into_iter().map(|leg| async {
        let errand = Errand::Operation(Arc::clone(&leg.errand));
        let consulted = engine.look_elsewhere(&errand, leg.previous.clone(), source).await;
        (leg, consulted)
    });
    let mut missing = Vec::new();
    for (mut leg, consulted) in join_all(consulting).await {
        match consulted {
            Consulted::Found(stored) => leg.takeoff.land(Outcome::Found(stored)),
            Consulted::Nothing { previous, lease } => {
                (leg.previous, leg.lease) = (previous, lease);
                missing.push(leg);
            }
            Consulted::Elsewhere { previous } => {
                leg.previous = previous;
                let (engine, origin) = (Arc::clone(&engine), Arc::clone(&origin));
                let (listed, legs, asker) = (Arc::clone(&listed), Vec::new(), asker.clone());
                let party = Party { listed, legs, standing, asker };
                tokio::spawn(follow(engine, origin, party, leg));
            }
        }
    }
    submit(engine, origin, Party { listed, legs: missing, standing, asker }).await;
}

/// Waits for the node that fetches the same.
async fn follow(engine: Arc<Engine>, origin: Arc<dyn FetchOrigin>, party: Party, leg: Leg) {
    let errand = Errand::Operation(Arc::clone(&leg.errand));
    match engine.await_elsewhere(&errand, leg.previous.clone()).await {
        Consulted::Found(stored) => leg.takeoff.land(Outcome::Found(stored)),
        _ => submit(engine, origin, Party { legs: vec![leg], ..party }).await,
    }
}

/// Has a party's things asked for: in a call that is open, or in one of its own.
async fn submit(engine: Arc<Engine>, origin: Arc<dyn FetchOrigin>, party: Party) {
    if party.legs.is_empty() {
        return;
    }
    let (listed, standing) = (Arc::clone(&party.listed), party.standing);
    let kind = listed.question.kind().digest();
    if let Joined::Opened(linger) = engine.merger.join(kind, party) {
        call(engine, origin, Opening { listed, linger, standing }).await;
    }
}

/// A call that has not left.
struct Opening {
    /// Of the one who opened it.
    listed: Arc<ListedErrand>,
    linger: Duration,
    standing: Standing,
}

/// Makes a call for whoever waits for one of its kind. What does not fit is another call's.
fn call(
    engine: Arc<Engine>,
    origin: Arc<dyn FetchOrigin>,
    Opening { listed, linger, standing }: Opening,
) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let max_ids = engine.max_ids(&listed);
        let kind = listed.question.kind().digest();
        let mut seat = Seat { engine: &engine, kind, state: SeatState::Waiting };
        if !linger.is_zero() {
            tokio::time::sleep(linger).await;
        }
        let permit = match engine.flights.permit() {
            Ok(permit) => permit,
            Err(error) => return land_all(seat.give_up(), &Outcome::Failed(error)),
        };
        let leave = || {
            let (mut leaving, others) = engine.merger.depart(kind, max_ids);
            seat.state = SeatState::Left;
            leaving.extend(engine.riders(&listed, different(&leaving).len()));
            if let Some(standing) = others {
                let (engine, origin) = (Arc::clone(&engine), Arc::clone(&origin));
                let (listed, linger) = (Arc::clone(&listed), Duration::ZERO);
                tokio::spawn(call(engine, origin, Opening { listed, linger, standing }));
            }
            leaving
        };
        let (mut parties, verdict) = ask(&engine, &*origin, &listed, standing, leave).await;
        drop(permit);
        if seat.state == SeatState::Waiting {
            parties = seat.give_up();
        }
        drop(seat);
        let was_refused =
            matches!(&verdict, Verdict::Failed(error) if !error.may_have_been_asked());
        // Whoever joined it may be let in where the one who opened it was not.
        let goes_first = |party: &Party| was_refused && party.standing < standing;
        let (first, others): (Vec<_>, Vec<_>) = parties.into_iter().partition(goes_first);
        conclude(&engine, &origin, others, verdict).await;
        for party in first {
            tokio::spawn(submit(Arc::clone(&engine), Arc::clone(&origin), party));
        }
    })
}

/// Asks for one party's things by themselves.
fn call_alone(
    engine: Arc<Engine>,
    origin: Arc<dyn FetchOrigin>,
    party: Party,
) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let (listed, standing) = (Arc::clone(&party.listed), party.standing);
        match engine.flights.permit() {
            Ok(_permit) => {
                let leave = || vec![party];
                let (parties, verdict) = ask(&engine, &*origin, &listed, standing, leave).await;
                conclude(&engine, &origin, parties, verdict).await;
            }
            Err(error) => land_all(vec![party], &Outcome::Failed(error)),
        }
    })
}

/// One call's place in the merger.
struct Seat<'a> {
    engine: &'a Engine,
    kind: u128,
    state: SeatState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SeatState {
    /// The call is open.
    Waiting,
    /// It has left.
    Left,
    /// It will not leave.
    GivenUp,
}

impl Seat<'_> {
    /// Those who have waited for a call that will not leave; once, since another may be open by then.
    fn give_up(&mut self) -> Vec<Party> {
        self.state = SeatState::GivenUp;
        self.engine.merger.give_up(self.kind)
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        match self.state {
            SeatState::Waiting => drop(self.give_up()),
            SeatState::Left => self.engine.merger.end(self.kind),
            SeatState::GivenUp => {}
        }
    }
}

/// Ends the flights of those who left with a call, or asks for each party's things by itself.
async fn conclude(
    engine: &Arc<Engine>,
    origin: &Arc<dyn FetchOrigin>,
    parties: Vec<Party>,
    verdict: Verdict,
) {
    let verdict = match verdict {
        Verdict::Lone(outcome) => {
            for Leg { errand, previous, takeoff, lease, .. } in legs_of(parties) {
                let errand = Errand::Operation(errand);
                let outcome = outcome.clone();
                finish(engine, &errand, previous, (takeoff, lease), outcome).await;
            }
            return;
        }
        Verdict::Pieces(pieces, head, exchange) => {
            match keep(engine, &parties, &pieces, &head, exchange) {
                Ok(kept) => return land(engine, parties, kept),
                Err(unfit) => Verdict::Unfit(unfit),
            }
        }
        verdict => verdict,
    };
    let may_be_ones_own = match &verdict {
        Verdict::Refused(answer) => is_about_things(answer.status),
        Verdict::Unfit(_) => true,
        Verdict::Pieces(..) | Verdict::Lone(_) | Verdict::Failed(_) => false,
    };
    if may_be_ones_own && parties.len() > 1 {
        for party in parties {
            tokio::spawn(call_alone(Arc::clone(engine), Arc::clone(origin), party));
        }
        return;
    }
    let outcome = match verdict {
        Verdict::Pieces(..) | Verdict::Lone(_) => Outcome::Undivided,
        // Of several things it is not known which it is about, and others may wait for one of them:
        // each is to hear what the origin says of its own list.
        Verdict::Refused(answer) if answer.status.is_client_error() && !is_throttled(&answer) => {
            Outcome::Undivided
        }
        Verdict::Refused(answer) => Outcome::Unstored(answer),
        Verdict::Failed(error) => Outcome::Failed(error),
        Verdict::Unfit(unfit) => {
            if unfit == Unfit::Unstorable {
                let legs = parties.iter().flat_map(|party| party.legs.iter());
                legs.filter_map(|leg| leg.previous.as_ref()).for_each(|old| engine.unshare(old));
            }
            parties.iter().for_each(|party| engine.leaves_whole(&party.listed, unfit));
            Outcome::Undivided
        }
    };
    land_all(parties, &outcome);
}

/// Whether an error may be about one of the things that were asked for, and not about the origin.
fn is_about_things(status: StatusCode) -> bool {
    match status {
        StatusCode::TOO_MANY_REQUESTS => false,
        StatusCode::INTERNAL_SERVER_ERROR | StatusCode::NOT_IMPLEMENTED => true,
        status => status.is_client_error(),
    }
}

fn is_throttled(answer: &UnstoredResponse) -> bool {
    answer.status == StatusCode::TOO_MANY_REQUESTS
}

fn land_all(parties: Vec<Party>, outcome: &Outcome) {
    for leg in legs_of(parties) {
        leg.takeoff.land(outcome.clone());
    }
}

fn legs_of(parties: Vec<Party>) -> impl Iterator<Item = Leg> {
    parties.into_iter().flat_map(|party| party.legs)
}

impl Engine {
    /// How many things one call asks for at most: no more than its answer is sure to show.
    pub(in crate::proxy) fn max_ids(&self, listed: &ListedErrand) -> usize {
        let max_ids = listed.decomposition().map_or(1, |apart| apart.max_ids);
        let shown = listed.question.max_items().saturating_sub(1);
        max_ids.min(shown).min(self.habits.page_items(listed.operation.index)).max(1)
    }

    /// What is about to expire, as far as there is room for it beside so many others.
    fn riders(&self, listed: &Arc<ListedErrand>, others: usize) -> Option<Party> {
        let room = self.max_ids(listed).saturating_sub(others);
        let now = self.clock.now();
        let mut legs = Vec::new();
        for Rider { listed, unit } in self.merger.take_riders(listed.question.kind().digest()) {
            let Some(errand) = listed.alone(&unit) else { continue };
            let lookup = self.look_up_piece(&listed, &errand.question.key, now);
            let is_ending =
                serve_at_once(&lookup).is_some_and(|piece| piece.stored.freshness.is_ending(now));
            if legs.len() >= room || !is_ending {
                continue;
            }
            let key = &errand.question.key;
            let board = self.flights.board(key, self.plane(), None, Charge::Piece);
            if let Ok(Boarding::Lead(takeoff, _)) = board {
                let previous = lookup.previous().cloned();
                legs.push(Leg { errand, unit, previous, takeoff, lease: None });
            }
        }
        let (listed, standing) = (Arc::clone(listed), Standing::Behind(Priority::RefreshAhead));
        (!legs.is_empty()).then_some(Party { listed, legs, standing, asker: None })
    }

    /// Learns from an answer that cannot be taken apart.
    fn note_unfit(&self, listed: &ListedErrand, unfit: Unfit) {
        // Where the client asks for a part, a page is of its own making.
        if let Unfit::Page(items) = unfit
            && listed.question.shows_a_whole_page()
        {
            self.habits.note_page(listed.operation.index, items);
        }
    }

    /// Notes that the answer for a party's list cannot be taken apart.
    fn leaves_whole(&self, listed: &ListedErrand, unfit: Unfit) {
        let operation = &listed.operation;
        self.note_unfit(listed, unfit);
        tracing::warn!(
            reason = unfit.as_str(),
            operation = &*operation.name,
            "an answer was not taken apart",
        );
        self.metrics.undivided.with_label_values(&[&operation.name, unfit.as_str()]).inc();
        if let Some(list) = listed.question.key_as_asked() {
            self.habits.leave_whole(operation.index, &list, self.clock.now());
        }
    }
}
