//! Fetches of what is missing of lists: what other nodes have, then one call for many things, whose
//! answer is taken apart, and each piece stored under its own stamp from before the call left.
//!
//! A call may carry what several clients miss. Where it fails for a reason that may be one party's
//! own, each is asked for by itself, so that nobody is told of another's mistake.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use http::header::{CONTENT_LOCATION, ETAG, HeaderName, LAST_MODIFIED};
use http::response::Parts;
use http::{HeaderMap, StatusCode};

use super::super::Engine;
use super::super::asking::{FetchOrigin, Leave, Purpose, Standing, failed};
use super::super::decoded_body::{DecodedBody, OriginBody};
use super::super::errand::{Errand, OperationErrand};
use super::super::examine::{ASIDE_BYTES, is_json};
use super::super::flight::{Boarding, Charge, Outcome, UnstoredResponse};
use super::super::listed::merger::{Joined, Rider, different};
use super::super::listed::{Leg, ListedErrand, Party, serve_at_once};
use super::consult::{Consulted, Source};
use super::operation::{kept_of, request, request_of};
use super::{Fetch, Misconfirmed, finish};
use crate::answer::Answer;
use crate::answer::pieces::{Piece, TakenApart, Unfit, take_apart};
use crate::caching::lifetime::Exchange;
use crate::caching::storability::Unstorable;
use crate::clock::Timestamp;
use crate::dependency;
use crate::dependency::Id;
use crate::error::ProxyError;
use crate::origin::gate::Patience;
use crate::purge::{LastFoundUsable, Stamp};
use crate::stored_response::{StoredBody, StoredResponse};
use crate::tag::TagSet;

/// Fields that are about the answer of which a piece is one.
const OF_THE_WHOLE: [HeaderName; 7] = [
    ETAG,
    LAST_MODIFIED,
    CONTENT_LOCATION,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// Gets what a party misses, and lands its flights.
pub async fn run(engine: Arc<Engine>, origin: Arc<dyn FetchOrigin>, party: Party, source: Source) {
    let waits = party.waits();
    let Party { listed, legs, standing } = party;
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
                let followed = follow(engine, origin, Arc::clone(&listed), leg, waits);
                tokio::spawn(followed);
            }
        }
    }
    submit(engine, origin, Party { listed, legs: missing, standing }).await;
}

/// Waits for the node that fetches the same.
async fn follow(
    engine: Arc<Engine>,
    origin: Arc<dyn FetchOrigin>,
    listed: Arc<ListedErrand>,
    leg: Leg,
    waits: bool,
) {
    let errand = Errand::Operation(Arc::clone(&leg.errand));
    match engine.await_elsewhere(&errand, leg.previous.clone()).await {
        Consulted::Found(stored) => leg.takeoff.land(Outcome::Found(stored)),
        _ => {
            let standing = Standing::of_client(!waits);
            submit(engine, origin, Party { listed, legs: vec![leg], standing }).await;
        }
    }
}

/// Has a party's things asked for: in a call that is open, or in one of its own.
async fn submit(engine: Arc<Engine>, origin: Arc<dyn FetchOrigin>, mut party: Party) {
    if party.legs.is_empty() {
        return;
    }
    let (listed, waits) = (Arc::clone(&party.listed), party.waits());
    let standing = std::mem::replace(&mut party.standing, Standing::of_client(!waits));
    let kind = listed.question.kind().digest();
    // Where another's call takes it along, what let it in is given back.
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
            if let Some(waits) = others {
                let (engine, origin) = (Arc::clone(&engine), Arc::clone(&origin));
                let (listed, linger) = (Arc::clone(&listed), Duration::ZERO);
                let standing = Standing::of_client(!waits);
                tokio::spawn(call(engine, origin, Opening { listed, linger, standing }));
            }
            leaving
        };
        let has_waited = matches!(standing, Standing::Client(Patience::Waits));
        let (mut parties, verdict) = ask(&engine, &*origin, &listed, standing, leave).await;
        drop(permit);
        if seat.state == SeatState::Waiting {
            parties = seat.give_up();
        }
        drop(seat);
        let was_refused =
            matches!(&verdict, Verdict::Failed(error) if !error.may_have_been_asked());
        if has_waited || !was_refused {
            return conclude(&engine, &origin, parties, verdict).await;
        }
        // Whoever joined a call that would not wait may wait all the same.
        let (waiting, others): (Vec<_>, Vec<_>) = parties.into_iter().partition(Party::waits);
        conclude(&engine, &origin, others, verdict).await;
        for party in waiting {
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
        let listed = Arc::clone(&party.listed);
        let standing = Standing::of_client(!party.waits());
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

/// What came of a call.
enum Verdict {
    /// The pieces, by what they are of.
    Pieces(HashMap<Id, Piece>, Parts, Exchange),
    /// The end of the only flight, whose thing was asked for by itself.
    Lone(Outcome),
    /// The origin's own error, and whether it may be about one party's things only.
    Refused(Arc<UnstoredResponse>),
    /// An answer that cannot be taken apart.
    Unfit(Unfit),
    /// No answer.
    Failed(ProxyError),
}

/// Asks for what those who leave with the call want, of the same kind as `listed`.
async fn ask(
    engine: &Arc<Engine>,
    origin: &dyn FetchOrigin,
    listed: &Arc<ListedErrand>,
    standing: Standing,
    leave: impl FnOnce() -> Vec<Party> + Send,
) -> (Vec<Party>, Verdict) {
    let mut parties = Vec::new();
    let limit = engine.config.origin.fetch_timeout;
    let leaving = || {
        parties = leave();
        &*parties
    };
    let verdict = tokio::time::timeout(limit, exchange(engine, origin, listed, standing, leaving));
    let verdict = verdict.await.unwrap_or(Verdict::Failed(ProxyError::OriginTimeout));
    (parties, verdict)
}

async fn exchange<'p>(
    engine: &Arc<Engine>,
    origin: &dyn FetchOrigin,
    listed: &Arc<ListedErrand>,
    standing: Standing,
    leave: impl FnOnce() -> &'p [Party] + Send,
) -> Verdict {
    let mut left: &[Party] = &[];
    let (mut asked, mut validated) = (Vec::new(), None);
    let mut sent_at = Timestamp::default();
    let departing = Box::new(|| {
        left = leave();
        sent_at = engine.clock.now();
        let mut units = different(left);
        engine.habits.probe(listed.operation.index, &mut units);
        asked = units.iter().map(|unit| unit.id.clone()).collect();
        let asked_for = engine.metrics.origin_ids.with_label_values(&[&*listed.operation.name]);
        asked_for.inc_by(units.len() as u64);
        let Some(leg) = lone(left) else {
            let forward = listed.question.forward(units.into_iter());
            return (Purpose::Fetch, request_of(&listed.operation, &listed.asker, &forward));
        };
        let (request, asks_about_previous) = request(&leg.errand, leg.previous.as_ref());
        validated = leg.previous.as_ref().filter(|_| asks_about_previous);
        (if asks_about_previous { Purpose::Revalidate } else { Purpose::Fetch }, request)
    });
    let class = Some(listed.operation.class);
    let response = match origin.fetch(Leave { class, standing }, departing).await {
        Ok(response) => response,
        Err(error) => return Verdict::Failed(failed(&error, &listed.operation.name)),
    };
    let exchange = Exchange { sent_at, received_at: engine.clock.now() };
    if let Some(leg) = lone(left) {
        let errand = Errand::Operation(Arc::clone(&leg.errand));
        let previous = leg.previous.clone();
        let fetch = Fetch { engine, errand: &errand, previous, takeoff: &leg.takeoff };
        return Verdict::Lone(match fetch.received(validated, response, exchange).await {
            Ok(outcome) => outcome,
            Err(Misconfirmed) => fetch.exchange_anew(origin).await,
        });
    }
    let (head, body) = response.into_parts();
    match read(&head, body, engine.config.limits.stored_body_bytes).await {
        Err(Unreadable::Broken) => Verdict::Failed(ProxyError::OriginBroken),
        Err(Unreadable::Unfit(unfit)) => Verdict::Unfit(unfit),
        Ok(whole) if head.status == StatusCode::OK => {
            examine(engine, listed, asked, head, whole, exchange).await
        }
        // Nothing was asked about that could be confirmed.
        Ok(_) if head.status == StatusCode::NOT_MODIFIED => {
            Verdict::Failed(ProxyError::OriginBroken)
        }
        Ok(whole) => Verdict::Refused(Arc::new(UnstoredResponse {
            status: head.status,
            headers: kept_of(&head.headers, exchange),
            body: Arc::new(StoredBody::new(whole, Box::default(), None)),
            reason: Unstorable::Status,
        })),
    }
}

/// The one thing that is asked for, where it is only one, for one party: what comes is its answer,
/// whatever it is.
fn lone(parties: &[Party]) -> Option<&Leg> {
    match parties {
        [Party { legs, .. }] if legs.len() == 1 => legs.first(),
        _ => None,
    }
}

enum Unreadable {
    Broken,
    Unfit(Unfit),
}

async fn read(head: &Parts, body: OriginBody, limit: usize) -> Result<Bytes, Unreadable> {
    let mut body = DecodedBody::new(&head.headers, body);
    match body.read_to_end(limit).await {
        Ok(Some(_)) if !body.is_plain() => Err(Unreadable::Unfit(Unfit::Unstorable)),
        Ok(Some(whole)) => Ok(whole),
        Ok(None) => Err(Unreadable::Unfit(Unfit::Unstorable)),
        Err(error) => {
            tracing::info!(%error, "the origin's answer broke off");
            Err(Unreadable::Broken)
        }
    }
}

/// Takes an answer apart; a large one on a thread of its own.
async fn examine(
    engine: &Arc<Engine>,
    listed: &Arc<ListedErrand>,
    ids: Vec<Id>,
    head: Parts,
    whole: Bytes,
    exchange: Exchange,
) -> Verdict {
    if !is_json(&head.headers) {
        return Verdict::Unfit(Unfit::Malformed);
    }
    let is_small = whole.len() <= ASIDE_BYTES;
    let (of, now) = (Arc::clone(listed), engine.clock.now());
    let taking = move || {
        let asked: Vec<&Id> = ids.iter().collect();
        let decomposition = of.decomposition().ok_or(Unfit::Items)?;
        let taken = take_apart(&whole, &asked, decomposition, of.question.max_items())?;
        Ok((ids.clone(), taken))
    };
    let taken = if is_small { Ok(taking()) } else { tokio::task::spawn_blocking(taking).await };
    let taken: Result<(Vec<Id>, TakenApart), Unfit> = match taken {
        Ok(taken) => taken,
        Err(error) => {
            tracing::error!(%error, "an answer could not be examined");
            return Verdict::Failed(ProxyError::Internal);
        }
    };
    let learned = taken.and_then(|(ids, taken)| {
        engine.habits.learn(listed.operation.index, taken.evidence, now)?;
        Ok(ids.into_iter().zip(taken.pieces).collect())
    });
    match learned {
        Ok(pieces) => Verdict::Pieces(pieces, head, exchange),
        Err(unfit) => Verdict::Unfit(unfit),
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

/// The stored piece of each leg, in the parties' order.
fn keep(
    engine: &Engine,
    parties: &[Party],
    pieces: &HashMap<Id, Piece>,
    head: &Parts,
    exchange: Exchange,
) -> Result<Vec<Arc<StoredResponse>>, Unfit> {
    let legs = parties.iter().flat_map(|party| party.legs.iter());
    let piece_of = |leg: &Leg| pieces.get(&leg.unit.id).ok_or(Unfit::Stranger);
    legs.map(|leg| {
        let stamp = engine.stamp_of(&leg.takeoff);
        engine.piece_to_store(&leg.errand, stamp, piece_of(leg)?, &head.headers, exchange)
    })
    .collect()
}

fn land(engine: &Engine, parties: Vec<Party>, kept: Vec<Arc<StoredResponse>>) {
    for (leg, stored) in legs_of(parties).zip(kept) {
        engine.store.put(&stored);
        leg.takeoff.land(Outcome::Stored(Arc::clone(&stored), None));
        engine.share(&Errand::Operation(leg.errand), &stored, leg.lease);
    }
}

impl Engine {
    /// How many things one call asks for at most: no more than its answer is sure to show.
    fn max_ids(&self, listed: &ListedErrand) -> usize {
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
            let is_ending = serve_at_once(&lookup).is_some_and(|piece| piece.is_ending(now));
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
        let (listed, standing) = (Arc::clone(listed), Standing::of_client(true));
        (!legs.is_empty()).then_some(Party { listed, legs, standing })
    }

    /// Learns from the answer for a whole list how the origin answers lists, and keeps its pieces.
    pub(super) fn learn_from(
        &self,
        listed: &ListedErrand,
        whole: &StoredResponse,
        exchange: Exchange,
    ) -> Result<(), Unfit> {
        let (units, index) = (listed.question.units(), listed.operation.index);
        let decomposition = listed.decomposition().ok_or(Unfit::Items)?;
        let asked: Vec<&Id> = units.iter().map(|unit| &unit.id).collect();
        let body = whole.body.kept();
        let taken = take_apart(body, &asked, decomposition, listed.question.max_items());
        let taken = taken.inspect_err(|unfit| self.note_unfit(listed, *unfit))?;
        self.habits.learn(index, taken.evidence, self.clock.now())?;
        let different = self.habits.different(index, units, self.clock.now());
        for (piece, position) in taken.pieces.iter().zip(different.unwrap_or_default()) {
            let errand = units.get(position).and_then(|unit| listed.alone(unit));
            let Some(errand) = errand else { continue };
            let headers = &whole.headers;
            self.store.put(&self.piece_to_store(&errand, whole.stamp, piece, headers, exchange)?);
        }
        Ok(())
    }

    /// A piece as it is stored.
    ///
    /// # Errors
    /// [`Unfit`] where it must not be.
    fn piece_to_store(
        &self,
        errand: &OperationErrand,
        stamp: Stamp,
        piece: &Piece,
        of_whole: &HeaderMap,
        exchange: Exchange,
    ) -> Result<Arc<StoredResponse>, Unfit> {
        let mut headers = kept_of(of_whole, exchange);
        for name in OF_THE_WHOLE {
            headers.remove(name);
        }
        let status = if piece.is_absent() { StatusCode::NOT_FOUND } else { StatusCode::OK };
        let freshness = self.freshness_of(errand, status, of_whole, exchange);
        Ok(Arc::new(StoredResponse {
            key: errand.question.key.clone(),
            stamp,
            freshness: freshness.map_err(|_| Unfit::Unstorable)?,
            status: StatusCode::OK,
            headers,
            tags: tags_of(errand, piece)?,
            body: Arc::new(StoredBody::piece(piece.clone())),
            last_found_usable: LastFoundUsable::default(),
        }))
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

/// What a piece depends on. One that links on cannot be put together with others.
fn tags_of(errand: &OperationErrand, piece: &Piece) -> Result<TagSet, Unfit> {
    let OperationErrand { operation, question, asker, .. } = errand;
    let answer = Answer::scan(&piece.body, operation).map_err(|_| Unfit::Unstorable)?;
    if !answer.next_links.is_empty() {
        return Err(Unfit::Member);
    }
    let has_credentials = asker.authorization.is_some();
    Ok(dependency::tags(operation, &question.dependencies, &answer, has_credentials))
}
