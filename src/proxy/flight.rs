//! Collapsing: many requests for the same answer, one fetch.
//!
//! A flight is one fetch under way. Requests that come meanwhile wait for its outcome, which is
//! theirs only if it was stamped late enough: an answer whose fetch left before a purge is not for
//! a request that came after that purge. Whether it is follows from the stamp, or, where purges of
//! other tags moved the sequence, from the check of the answer's own tags. A waiter that goes
//! without asks again for a flight that left after it came.
//!
//! How a flight can end is [`Outcome`], all of it: a fetch whose task is dropped lands as
//! [`Outcome::Failed`], so that nobody waits for ever.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderMap, Response, StatusCode};
use moka::sync::Cache;
use opentelemetry::trace::SpanContext;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::body::Body;
use crate::cache_key::CacheKey;
use crate::caching::storability::{Unstorable, is_origin_error};
use crate::digest_map::BuildDigestHasher;
use crate::error::ProxyError;
use crate::metrics::Metrics;
use crate::operation::DEFAULT_MAX_IDS;
use crate::places::{Place, Places};
use crate::purge::{Moment, PurgePlane, PurgeState, Stamp, Strictness};
use crate::stored_response::{StoredBody, StoredResponse};

/// Two threads meet on one of these locks only for keys that share it, and only on misses.
const SHARDS: usize = 64;

/// How long a question is remembered to have an answer for one client only. Short, since what the
/// origin says next time may be for all.
const ALONE_FOR: Duration = Duration::from_secs(10);

/// Such questions that are remembered; past it some wait for others in vain.
const MAX_ALONE: u64 = 10_000;

/// Flights of pieces for each fetch that may be under way: as many as one call asks for.
const PIECES_A_FETCH: usize = DEFAULT_MAX_IDS;

/// Fields of an answer that are not stored with it (RFC 9111 §5.2.2.4, §5.2.2.7); mostly none.
pub type Withheld = Option<Arc<HeaderMap>>;

/// How a fetch ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The answer is in the store, but for the fields that are for the one who asked first.
    Stored(Arc<StoredResponse>, Withheld),
    /// The answer that was stored before is confirmed, and in the store as of now.
    Confirmed(Arc<StoredResponse>, Withheld),
    /// The answer is whole and was not stored.
    Unstored(Arc<UnstoredResponse>),
    /// The answer is not to be held: one client may stream it.
    Streamed(Arc<StreamedResponse>),
    /// There is no answer.
    Failed(ProxyError),
    /// Another node had the answer: it is in the store, and may be stale.
    Found(Arc<StoredResponse>),
    /// The answer is a piece of one that cannot be taken apart: ask for the whole.
    Undivided,
}

impl Outcome {
    /// Whether a stale answer may stand in for this one (RFC 5861 §4).
    pub fn is_origin_failure(&self) -> bool {
        match self {
            Self::Failed(_) => true,
            _ => self.status().is_some_and(is_origin_error),
        }
    }

    /// What is in the store by now.
    pub const fn stored(&self) -> Option<&Arc<StoredResponse>> {
        match self {
            Self::Stored(stored, _) | Self::Confirmed(stored, _) | Self::Found(stored) => {
                Some(stored)
            }
            Self::Unstored(_) | Self::Streamed(_) | Self::Failed(_) | Self::Undivided => None,
        }
    }

    /// The origin's status, where an answer came whose status is not the stored one's.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Unstored(answer) => Some(answer.status),
            Self::Streamed(answer) => Some(answer.status),
            Self::Confirmed(..) => Some(StatusCode::NOT_MODIFIED),
            Self::Stored(..) | Self::Failed(_) | Self::Found(_) | Self::Undivided => None,
        }
    }

    /// Why an answer that came was not stored.
    pub fn unstored_because(&self) -> Option<Unstorable> {
        match self {
            Self::Unstored(answer) => Some(answer.reason),
            Self::Streamed(answer) => Some(answer.reason),
            Self::Stored(..)
            | Self::Confirmed(..)
            | Self::Failed(_)
            | Self::Found(_)
            | Self::Undivided => None,
        }
    }

    /// Whether the origin has said something new that is not stored, so that what was stored before
    /// must not go on serving as stale (RFC 9111 §4.3.3: a full answer to a validation is used).
    pub fn ends_what_is_stored(&self) -> bool {
        !self.is_origin_failure() && self.unstored_because().is_some_and(Unstorable::is_meant)
    }

    /// Whether all who asked the same may be given this one answer.
    pub fn may_be_shared(&self) -> bool {
        match self {
            Self::Unstored(answer) => answer.reason.may_be_shared(),
            Self::Streamed(_) => false,
            Self::Stored(..)
            | Self::Confirmed(..)
            | Self::Failed(_)
            | Self::Found(_)
            | Self::Undivided => true,
        }
    }
}

/// A whole answer that is not stored.
#[derive(Debug)]
pub struct UnstoredResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its end-to-end fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Arc<StoredBody>,
    /// Why it was not stored.
    pub reason: Unstorable,
}

/// An answer that is not to be held; whoever takes it first streams it.
#[derive(Debug)]
pub struct StreamedResponse {
    status: StatusCode,
    reason: Unstorable,
    response: Mutex<Option<Response<Body>>>,
}

impl StreamedResponse {
    /// An answer to be taken once.
    pub fn new(response: Response<Body>, reason: Unstorable) -> Self {
        Self { status: response.status(), reason, response: Mutex::new(Some(response)) }
    }

    /// Why it is not stored.
    pub const fn reason(&self) -> Unstorable {
        self.reason
    }

    /// The answer, for the first who asks.
    pub fn take(&self) -> Option<Response<Body>> {
        self.response.lock().take()
    }
}

/// Flights by their keys' digests.
type Shard = Mutex<HashMap<u128, Arc<Flight>>>;

/// One fetch under way.
#[derive(Debug)]
struct Flight {
    key: CacheKey,
    left: Moment,
    stamp: Stamp,
    /// The span of the request that made it leave.
    leader: OnceLock<SpanContext>,
    outcome: watch::Sender<Option<Outcome>>,
}

impl Flight {
    /// Stamped here, before its fetch can leave.
    fn to_be(key: &CacheKey, plane: &PurgePlane) -> Self {
        let (left, stamp) = (plane.now(), plane.stamp());
        let (leader, outcome) = (OnceLock::new(), watch::Sender::new(None));
        Self { key: key.clone(), left, stamp, leader, outcome }
    }
}

/// All fetches under way on this node.
#[derive(Debug)]
pub struct Flights {
    shards: Box<[Shard]>,
    max_waiters: AtomicUsize,
    /// One for each fetch that may be under way.
    permits: Arc<Places>,
    /// One for each thing that may be waited for as a piece.
    piece_permits: Arc<Places>,
    /// Questions whose last answer was for one client only. Who asks them does not wait for
    /// another's answer to find that out again.
    alone: Cache<u128, Unstorable, BuildDigestHasher>,
    metrics: Metrics,
}

/// What a new flight counts as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Charge {
    /// A fetch of its own.
    Fetch,
    /// One thing of many in a fetch, which has its own leave.
    Piece,
}

/// What a request that needs the origin is to do.
#[derive(Debug)]
pub enum Boarding {
    /// Fetch: nobody else does.
    Lead(Takeoff, Waiter),
    /// Wait for a fetch that is under way.
    Follow(Waiter),
}

impl Flights {
    /// No flights; at most `max_fetches` at once, each with at most `max_waiters`.
    pub fn new(max_fetches: usize, max_waiters: usize, metrics: Metrics) -> Arc<Self> {
        let alone = Cache::builder()
            .max_capacity(MAX_ALONE)
            .time_to_live(ALONE_FOR)
            .build_with_hasher(BuildDigestHasher::default());
        Arc::new(Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            max_waiters: AtomicUsize::new(max_waiters),
            permits: Places::new(max_fetches),
            piece_permits: Places::new(max_fetches.saturating_mul(PIECES_A_FETCH)),
            alone,
            metrics,
        })
    }

    /// Bounds them so from now on. Those that are under way count.
    pub fn set_bounds(&self, max_fetches: usize, max_waiters: usize) {
        self.permits.set_bound(max_fetches);
        self.piece_permits.set_bound(max_fetches.saturating_mul(PIECES_A_FETCH));
        self.max_waiters.store(max_waiters, Ordering::Relaxed);
    }

    /// Joins the flight for this key, or opens one, for which it is charged. A flight that left too early for an answer of
    /// this strictness to a request that came at `not_before` is passed over and replaced.
    ///
    /// # Errors
    /// [`ProxyError::TooManyWaiters`] when the flight is full, [`ProxyError::TooManyFetches`] when
    /// there are as many flights as there may be.
    pub fn board(
        self: &Arc<Self>,
        key: &CacheKey,
        plane: &PurgePlane,
        not_before: Option<(Moment, Strictness)>,
        charge: Charge,
    ) -> Result<Boarding, ProxyError> {
        let mut flights = self.shard(key).lock();
        if let Some(flight) = flights.get(&key.digest())
            && flight.key == *key
            && not_before.is_none_or(|(arrived, strictness)| {
                plane.is_late_enough(flight.left, arrived, strictness)
            })
        {
            if flight.outcome.receiver_count() >= self.max_waiters.load(Ordering::Relaxed) {
                return Err(ProxyError::TooManyWaiters);
            }
            return Ok(Boarding::Follow(Waiter::of(flight)));
        }
        let permit = match charge {
            Charge::Fetch => self.permit()?,
            Charge::Piece => self.permit_of(&self.piece_permits)?,
        };
        let (takeoff, waiter) = self.open(key, plane, permit);
        flights.insert(key.digest(), Arc::clone(&takeoff.flight));
        Ok(Boarding::Lead(takeoff, waiter))
    }

    /// Leave for one more fetch.
    ///
    /// # Errors
    /// [`ProxyError::TooManyFetches`] when there are as many as there may be.
    pub(crate) fn permit(&self) -> Result<Place, ProxyError> {
        self.permit_of(&self.permits)
    }

    fn permit_of(&self, permits: &Arc<Places>) -> Result<Place, ProxyError> {
        permits.try_take().ok_or(ProxyError::TooManyFetches)
    }

    /// A flight that nobody else can join.
    ///
    /// # Errors
    /// [`ProxyError::TooManyFetches`] when there are as many flights as there may be.
    pub fn alone(
        self: &Arc<Self>,
        key: &CacheKey,
        plane: &PurgePlane,
    ) -> Result<(Takeoff, Waiter), ProxyError> {
        Ok(self.open(key, plane, self.permit()?))
    }

    fn open(
        self: &Arc<Self>,
        key: &CacheKey,
        plane: &PurgePlane,
        permit: Place,
    ) -> (Takeoff, Waiter) {
        let flight = Arc::new(Flight::to_be(key, plane));
        let waiter = Waiter::of(&flight);
        (Takeoff { flights: Arc::clone(self), flight, _permit: permit }, waiter)
    }

    /// Notes that the answer to this question is for one client only.
    pub fn remember_alone(&self, key: &CacheKey, reason: Unstorable) {
        self.alone.insert(key.digest(), reason);
    }

    /// Why whoever asks this should not wait for another's answer, if a recent one was for one
    /// client only.
    pub fn goes_alone(&self, key: &CacheKey) -> Option<Unstorable> {
        self.alone.get(&key.digest())
    }

    /// Whether a fetch for this key is under way.
    pub fn is_under_way(&self, key: &CacheKey) -> bool {
        self.shard(key).lock().get(&key.digest()).is_some_and(|flight| flight.key == *key)
    }

    /// Brings the gauge up to date, for a scrape.
    pub fn measure(&self) {
        let waiting: usize = self
            .shards
            .iter()
            .map(|shard| {
                let flights = shard.lock();
                // The one who leads waits for itself, not for somebody else's fetch.
                flights
                    .values()
                    .filter(|flight| flight.outcome.borrow().is_none())
                    .map(|flight| flight.outcome.receiver_count().saturating_sub(1))
                    .sum::<usize>()
            })
            .sum();
        self.metrics.collapse_waiters.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    #[allow(clippy::indexing_slicing, reason = "the remainder is below the number of shards")]
    fn shard(&self, key: &CacheKey) -> &Shard {
        &self.shards[(key.digest() % SHARDS as u128) as usize]
    }
}

/// The duty to bring a flight to an end. Dropped without one, it ends in failure.
#[derive(Debug)]
pub struct Takeoff {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
    _permit: Place,
}

impl Takeoff {
    /// The key under which others wait for it.
    pub fn key(&self) -> &CacheKey {
        &self.flight.key
    }

    /// What was applied before the fetch left.
    pub fn stamp(&self) -> Stamp {
        self.flight.stamp
    }

    /// Tells those who join whose request made it leave.
    pub fn is_led_by(&self, leader: Option<SpanContext>) {
        if let Some(leader) = leader {
            let _ = self.flight.leader.set(leader);
        }
    }

    /// Ends the flight. What is to be found in the store must be there by now: from here on, new
    /// requests look there.
    pub fn land(self, outcome: Outcome) {
        self.flight.outcome.send_replace(Some(outcome));
    }
}

impl Drop for Takeoff {
    fn drop(&mut self) {
        self.flight.outcome.send_if_modified(|outcome| {
            let lost = outcome.is_none();
            if lost {
                *outcome = Some(Outcome::Failed(ProxyError::Internal));
            }
            lost
        });
        let mut flights = self.flights.shard(&self.flight.key).lock();
        let digest = self.flight.key.digest();
        if flights.get(&digest).is_some_and(|held| Arc::ptr_eq(held, &self.flight)) {
            flights.remove(&digest);
        }
    }
}

/// A place on a flight.
#[derive(Debug)]
pub struct Waiter {
    flight: Arc<Flight>,
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Waiter {
    fn of(flight: &Arc<Flight>) -> Self {
        Self { flight: Arc::clone(flight), outcome: flight.outcome.subscribe() }
    }

    /// The span of the request that made it leave, where that is known.
    pub fn leader(&self) -> Option<&SpanContext> {
        self.flight.leader.get()
    }

    /// Waits for the end, whenever the flight left.
    pub async fn last_outcome(mut self) -> Outcome {
        let ended = self.outcome.wait_for(Option::is_some).await;
        // The sender lives in the flight, whose drop guard sends an outcome first.
        let outcome = ended.map_or(None, |outcome| outcome.clone());
        outcome.unwrap_or(Outcome::Failed(ProxyError::Internal))
    }

    /// Waits for the end. `None`: the outcome is not for a request that came at `arrived` and wants
    /// an answer of this strictness; it must ask again.
    pub async fn outcome(
        self,
        arrived: Moment,
        strictness: Strictness,
        plane: &PurgePlane,
    ) -> Option<Outcome> {
        let is_late_enough = plane.is_late_enough(self.flight.left, arrived, strictness);
        let outcome = self.last_outcome().await;
        let is_for_us = match &outcome {
            _ if is_late_enough => true,
            Outcome::Stored(stored, _) | Outcome::Confirmed(stored, _) | Outcome::Found(stored) => {
                stored.purge_state(plane, strictness) == PurgeState::Usable
            }
            // What they depend on is not known.
            Outcome::Unstored(_) | Outcome::Streamed(_) => false,
            Outcome::Failed(_) | Outcome::Undivided => true,
        };
        is_for_us.then_some(outcome)
    }
}
