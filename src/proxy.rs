//! The path of a request. The steps, in order, and the only place that chooses the next one:
//!
//! ```text
//! receive → classify → key → look up → fetch or revalidate → store → deliver
//!               │        │       │              │
//!               └─ pass ─┘       └─ deliver     └─ a stale answer where the origin fails
//! ```
//!
//! * **receive**: the proxy answers CORS preflights itself; everything else goes on.
//! * **classify**: by the operation catalogue, an allow-list of names, never by method. What is not
//!   in it passes, streamed both ways, nothing buffered, nothing stored; or, where the operator
//!   wants it, a GET or HEAD goes on as a URL's, to be kept by HTTP's own rules.
//! * **key**: who asks ([`identity`]) and what is asked ([`crate::question`]). What cannot be
//!   understood is never guessed: it passes.
//! * **look up**: fresh, stale or missing ([`lookup`]); time and purges decide, and what a client
//!   asks of caches.
//! * **fetch**: one for all who ask the same ([`flight`], [`fetch`]), stamped before it leaves.
//! * **deliver**: the form the client prefers, its 304, `Age` and `Cache-Status` (`deliver`).

mod again;
pub mod asking;
mod batch;
pub mod cache_status;
pub mod cors;
pub mod counts;
mod decoded_body;
mod deliver;
pub mod engine;
mod errand;
mod examine;
pub mod explain;
pub mod fetch;
pub mod fields;
pub mod flight;
pub mod forwarded;
pub mod hottest;
pub mod identity;
pub mod in_force;
mod invalidate;
mod keep;
mod limit;
pub mod listed;
pub mod lookup;
pub mod pass;
mod posted;
mod refresh;
pub mod resource;
mod traced;
mod witness;

use std::sync::Arc;

use http::header::ORIGIN;
use http::{HeaderName, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;

use again::{Again, AnsweredWith};
use asking::{FetchOrigin, Standing};
use cache_status::{CACHE_STATUS, CacheStatus};
use counts::{RequestCounts, Served, tell};
use deliver::{Hand, Terms};
use errand::{Detour, Unkeyed, whole};
use fetch::Source;
use flight::{Boarding, Charge, Outcome, StreamedResponse, Takeoff, Withheld};
use lookup::Lookup;
use traced::Traced;
use witness::{Watch, Witness};

use crate::body::Body;
use crate::error::ProxyError;
use crate::operation::Operation;
use crate::origin::OriginClient;
use crate::origin::gate::Priority;
use crate::server::{Answer, Peer};
use crate::stored_response::StoredResponse;

pub use decoded_body::OriginBody;
pub use engine::Engine;
pub use errand::{Call, Errand, OperationErrand, Subject, Task};
pub use in_force::{InForce, WorkerProxy};

/// Point-of-sale devices authenticate with this; nothing of theirs is cached.
const DEVICE_TOKEN: HeaderName = HeaderName::from_static("devicetoken");

/// One worker's proxy: the engine that all workers share, and connections of its own to the origin.
#[derive(Clone)]
pub struct Proxy {
    engine: Arc<Engine>,
    origin: Arc<OriginClient>,
    fetcher: Arc<dyn FetchOrigin>,
    counts: Arc<RequestCounts>,
    watch: Option<Arc<Watch>>,
}

/// An answer, and how it came about.
struct Answered {
    response: Response<Body>,
    operation: Option<Arc<Operation>>,
    served: Served,
    /// What it was made of, where it may be given again.
    with: Option<AnsweredWith>,
    /// Of how many pieces it is put together, and how many of them were in the store.
    pieces: Option<(usize, usize)>,
}

impl Answered {
    const fn new(
        response: Response<Body>,
        operation: Option<Arc<Operation>>,
        served: Served,
    ) -> Self {
        Self { response, operation, served, with: None, pieces: None }
    }

    /// With the fields that are for the one who asked first.
    fn with(mut self, hand: Hand, withheld: Withheld) -> Self {
        if let (Hand::First, Some(withheld)) = (hand, withheld) {
            self.response.headers_mut().extend((*withheld).clone());
        }
        self
    }
}

impl Proxy {
    /// A proxy on the engine, asking through `origin`.
    pub fn new(engine: Arc<Engine>, origin: Arc<OriginClient>) -> Self {
        let counts = Arc::new(RequestCounts::of(&engine.catalogue, &engine.metrics));
        Self::counting(engine, origin, counts)
    }

    /// One that counts there.
    fn counting(
        engine: Arc<Engine>,
        origin: Arc<OriginClient>,
        counts: Arc<RequestCounts>,
    ) -> Self {
        let (asked, client) = (Arc::clone(&engine), Arc::clone(&origin));
        let fetcher = Arc::new(asking::Origin { engine: asked, client });
        let fetcher = Traced::of(fetcher, engine.tracer.as_ref(), &engine.clock);
        let watch = Watch::of(&engine);
        Self { engine, origin, fetcher, counts, watch }
    }

    /// Answers one request of a storefront, and tells how to give a hit again where that `may_repeat`.
    pub async fn handle(&self, request: Request<Incoming>, peer: Peer, may_repeat: bool) -> Answer {
        let started = self.engine.clock.monotonic();
        let web_origin = request.headers().get(ORIGIN).cloned();
        let method = request.method().clone();
        let witness = self.witness(&request, peer, started);

        let mut answered = self.answer(request, peer, witness.as_ref()).await;

        // What is answered here says all that it has to say: a preflight's own fields too.
        if let Some(cors) = &self.engine.cors
            && answered.served != Served::Itself
        {
            cors.decorate(web_origin.as_ref(), answered.response.headers_mut());
        }
        let took = self.engine.clock.monotonic().saturating_sub(started);
        let (operation, served) = (answered.operation.as_deref(), answered.served);
        self.counts.count(operation, served, took);
        tell(&method, operation, served, answered.response.status(), took);
        let noted = witness.map(|witness| witness.tell(&mut answered, took));
        let repeat = match may_repeat {
            true => Again::of(self, &method, &mut answered, noted),
            false => None,
        };
        Answer { response: answered.response, repeat }
    }

    /// Boxed is what is no hit of one answer: every request, and every connection's task, would be as
    /// large as the largest needs it.
    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        witness: Option<&Witness<'_>>,
    ) -> Answered {
        if let Some(answered) = self.receive(&request) {
            return answered;
        }
        if self.is_batch(&request) {
            let answering = async { self.traced(witness).answer_batch(request, peer).await };
            return Box::pin(answering).await;
        }
        let target = request.uri().clone();
        let subject = match self.classify(&request, &target) {
            Ok(subject) => subject,
            Err(detour) => {
                let request = whole(request);
                let passing =
                    async { self.traced(witness).pass(request, peer, None, detour).await };
                return Box::pin(passing).await;
            }
        };
        let terms = Terms::of(&request, self.engine.config.limits.ranges);
        let operation = subject.operation().cloned();
        match errand::read(&self.engine, subject, request, peer).await {
            Ok(Task::One(errand)) => self.answer_one(&errand, &terms, witness).await,
            Ok(Task::Listed(listed)) => Box::pin(self.answer_list(listed, &terms, witness)).await,
            Err(Unkeyed::Pass(request, detour)) => {
                let passing =
                    async { self.traced(witness).pass(*request, peer, operation, detour).await };
                Box::pin(passing).await
            }
            Err(Unkeyed::Fail(error)) => refused(operation, error),
        }
    }

    /// Answers what is kept whole.
    async fn answer_one(
        &self,
        errand: &Errand,
        terms: &Terms,
        witness: Option<&Witness<'_>>,
    ) -> Answered {
        match self.serve(errand, terms, self.engine.look_up(errand), Served::Hit).await {
            Ok(answered) => answered,
            Err(_) if errand.directives().only_if_cached => {
                Box::pin(self.only_if_cached(errand, terms)).await
            }
            Err(lookup) => {
                let fetching = async { self.traced(witness).fetch(errand, terms, lookup).await };
                Box::pin(fetching).await
            }
        }
    }

    /// What another node has stored, or nothing (RFC 9111 §5.2.1.7).
    async fn only_if_cached(&self, errand: &Errand, terms: &Terms) -> Answered {
        if let Some(found) = self.engine.find_elsewhere(errand).await
            && let Ok(answered) = self.serve(errand, terms, found, Served::SharedHit).await
        {
            return answered;
        }
        refused(errand.operation().cloned(), ProxyError::NotCached)
    }

    /// Serves what was found, `fresh` where it was found so, as far as it may be served at once.
    async fn serve(
        &self,
        errand: &Errand,
        terms: &Terms,
        lookup: Lookup,
        fresh: Served,
    ) -> Result<Answered, Lookup> {
        match lookup {
            Lookup::Fresh(stored) => {
                self.engine.count_hit(errand, &stored);
                self.refresh_ahead(errand, &stored);
                Ok(self.hit(errand, terms, &stored, fresh).await)
            }
            Lookup::Stale(stored, stale) if stale.while_revalidating && errand.may_refresh() => {
                self.revalidate_behind(errand, &stored);
                let how = CacheStatus::default().with_detail(self.engine.why_stale());
                Ok(self.stale_hit(errand, terms, &stored, how).await)
            }
            Lookup::Stale(stored, stale) if stale.to_this_client => {
                let how = CacheStatus::default().with_detail("max-stale");
                Ok(self.stale_hit(errand, terms, &stored, how).await)
            }
            lookup => Err(lookup),
        }
    }

    /// What the proxy answers by itself.
    fn receive(&self, request: &Request<Incoming>) -> Option<Answered> {
        let itself = |response| Answered::new(response, None, Served::Itself);
        if let Some(response) = pass::answer_here(request) {
            return Some(itself(response));
        }
        self.engine.cors.as_ref()?.preflight(request).map(itself)
    }

    /// What the request is about: an operation of the catalogue, or a URL that it does not know.
    fn classify<'u>(
        &self,
        request: &Request<Incoming>,
        target: &'u Uri,
    ) -> Result<Subject<'u>, Detour> {
        if request.headers().contains_key(DEVICE_TOKEN) {
            return Err(Detour::DeviceToken);
        }
        self.engine.classify(request.method(), target)
    }

    async fn hit(
        &self,
        errand: &Errand,
        terms: &Terms,
        stored: &Arc<StoredResponse>,
        served: Served,
    ) -> Answered {
        let mut status = CacheStatus::hit(stored.freshness.ttl_seconds(self.engine.clock.now()));
        if served == Served::SharedHit {
            status = status.with_detail("redis");
        }
        let answered = self.deliver(errand, terms, stored, Hand::Second, status, served).await;
        let with = match errand {
            Errand::Operation(errand) => {
                Some(AnsweredWith::One(Arc::clone(errand), Arc::clone(stored)))
            }
            Errand::Resource(_) => None,
        };
        Answered { with, ..answered }
    }

    async fn stale_hit(
        &self,
        errand: &Errand,
        terms: &Terms,
        stored: &Arc<StoredResponse>,
        how: CacheStatus,
    ) -> Answered {
        // Softly purged, it has lifetime left and is stale all the same.
        let ttl = stored.freshness.ttl_seconds(self.engine.clock.now()).min(0);
        let status = CacheStatus { ttl_seconds: Some(ttl), ..how };
        self.deliver(errand, terms, stored, Hand::Second, status, Served::Stale).await
    }

    /// Starts a fetch that nobody waits for, unless one is under way, or the answer is stale for no
    /// other reason than that the node is fenced, and came only just now.
    fn revalidate_behind(&self, errand: &Errand, stored: &StoredResponse) {
        if self.engine.is_young_behind_fence(stored) {
            return;
        }
        let key = self.engine.flight_key(errand);
        if self.engine.flights.is_under_way(&key) || !self.engine.has_room(Priority::Revalidation) {
            return;
        }
        let board = self.engine.flights.board(&key, self.engine.plane(), None, Charge::Fetch);
        if let Ok(Boarding::Lead(takeoff, _)) = board {
            let standing = Standing::Behind(Priority::Revalidation);
            self.take_off(errand, Source::Anywhere, standing, takeoff);
        }
    }

    /// Starts the fetch. If another one landed between the look-up and the boarding, there is
    /// nothing left to fetch: then its answer is returned.
    fn take_off(
        &self,
        errand: &Errand,
        source: Source,
        standing: Standing,
        takeoff: Takeoff,
    ) -> Option<Arc<StoredResponse>> {
        match self.engine.look_up(errand) {
            Lookup::Fresh(stored) => {
                takeoff.land(Outcome::Stored(Arc::clone(&stored), None));
                Some(stored)
            }
            lookup => {
                self.depart(errand, lookup.previous().cloned(), (source, standing), takeoff);
                None
            }
        }
    }

    /// Gets the answer from the origin, together with all who ask the same.
    async fn fetch(&self, errand: &Errand, terms: &Terms, lookup: Lookup) -> Answered {
        let plane = self.engine.plane();
        // From here on the request has arrived: no purge that is known by now may be missed.
        let (arrived, strictness) = (plane.now(), errand.strictness());
        let mut not_before = None;
        let mut was_other_variant = false;
        let mut source = match lookup {
            Lookup::Refused(..) => Source::Origin,
            _ => Source::Anywhere,
        };
        let mut key = self.engine.flight_key(errand);
        if errand.is_personal() || self.engine.flights.goes_alone(&key).is_some() {
            return self.fetch_alone(errand, terms, &lookup).await;
        }
        loop {
            let board = self.engine.flights.board(&key, plane, not_before, Charge::Fetch);
            let (waiter, collapsed) = match board {
                Err(error) => return self.turn_away(errand, terms, &lookup, error).await,
                Ok(Boarding::Follow(waiter)) => {
                    self.joins(&waiter);
                    (waiter, true)
                }
                Ok(Boarding::Lead(takeoff, waiter)) => {
                    takeoff.is_led_by(self.span());
                    let standing = self.standing(errand, &lookup);
                    if let Some(stored) = self.take_off(errand, source, standing, takeoff) {
                        return self.hit(errand, terms, &stored, Served::Hit).await;
                    }
                    (waiter, false)
                }
            };
            match waiter.outcome(arrived, strictness, plane).await {
                // It left before a purge that this request came after: one that leaves now will do.
                None => not_before = Some((arrived, strictness)),
                Some(Outcome::Undivided) => return self.fetch_alone(errand, terms, &lookup).await,
                // Whoever asked was not let in, or is gone: this request may be.
                Some(Outcome::Failed(error)) if collapsed && error.is_ones_own() => {
                    return self.fetch_alone(errand, terms, &lookup).await;
                }
                Some(outcome) if collapsed && !outcome.may_be_shared() => {
                    return self.fetch_alone(errand, terms, &lookup).await;
                }
                Some(outcome) if collapsed && !self.engine.selects(errand, &outcome) => {
                    // Another variant of the URL. By now it is known how they differ, unless the
                    // origin changes its mind each time.
                    let told_apart = self.engine.flight_key(errand);
                    if told_apart == key || was_other_variant {
                        return self.fetch_alone(errand, terms, &lookup).await;
                    }
                    was_other_variant = true;
                    key = told_apart;
                }
                Some(Outcome::Found(stored)) => {
                    let found = self.engine.judged(errand, stored);
                    match self.serve(errand, terms, found, Served::SharedHit).await {
                        Ok(answered) => return answered,
                        // Not what this client wants, or purged by now.
                        Err(_) if source == Source::Origin => {
                            return self.fetch_alone(errand, terms, &lookup).await;
                        }
                        Err(_) => source = Source::Origin,
                    }
                    not_before = Some((plane.now(), strictness));
                }
                Some(outcome) => {
                    return self.conclude(errand, terms, &lookup, outcome, collapsed).await;
                }
            }
        }
    }

    /// Answers without the origin, where no more may ask it or wait for it.
    async fn turn_away(
        &self,
        errand: &Errand,
        terms: &Terms,
        lookup: &Lookup,
        error: ProxyError,
    ) -> Answered {
        let Some(stored) = self.engine.stands_in(errand, lookup) else {
            return refused(errand.operation().cloned(), error);
        };
        let ttl = stored.freshness.ttl_seconds(self.engine.clock.now());
        let status = CacheStatus::hit(ttl).with_detail("stale-if-error");
        self.deliver(errand, terms, &stored, Hand::Second, status, Served::StaleIfError).await
    }

    /// Gets the answer for this request only: the one that another got was not for all.
    async fn fetch_alone(&self, errand: &Errand, terms: &Terms, lookup: &Lookup) -> Answered {
        let key = self.engine.flight_key(errand);
        let (takeoff, waiter) = match self.engine.flights.alone(&key, self.engine.plane()) {
            Err(error) => return self.turn_away(errand, terms, lookup, error).await,
            Ok(alone) => alone,
        };
        let (previous, standing) = (lookup.previous().cloned(), self.standing(errand, lookup));
        self.depart(errand, previous, (Source::Origin, standing), takeoff);
        let outcome = waiter.last_outcome().await;
        self.conclude(errand, terms, lookup, outcome, false).await
    }

    /// A client's fetch waits for its turn, unless there is something to serve instead.
    fn standing(&self, errand: &Errand, lookup: &Lookup) -> Standing {
        Standing::of_client(self.engine.stands_in(errand, lookup).is_some())
    }

    /// The fetch runs on whether or not its client stays.
    fn depart(
        &self,
        errand: &Errand,
        previous: Option<Arc<StoredResponse>>,
        by: (Source, Standing),
        takeoff: Takeoff,
    ) {
        let (engine, origin) = (Arc::clone(&self.engine), Arc::clone(&self.fetcher));
        tokio::spawn(fetch::run(engine, origin, errand.clone(), previous, by, takeoff));
    }

    /// What the client gets of a fetch's end.
    async fn conclude(
        &self,
        errand: &Errand,
        terms: &Terms,
        lookup: &Lookup,
        outcome: Outcome,
        collapsed: bool,
    ) -> Answered {
        let forwarded = CacheStatus {
            collapsed,
            detail: self.engine.detail_of(lookup),
            ..CacheStatus::forwarded(lookup.reason())
        };
        let served = if collapsed { Served::Collapsed } else { Served::Miss };
        if let Outcome::Failed(error) = outcome
            && !error.may_have_been_asked()
        {
            return self.turn_away(errand, terms, lookup, error).await;
        }
        // What stood in the shared tier is in memory by now.
        let stands_in = || {
            let found_since = || self.engine.stands_in(errand, &self.engine.look_up(errand));
            self.engine.stands_in(errand, lookup).or_else(found_since)
        };
        if outcome.is_origin_failure()
            && let Some(stored) = stands_in()
        {
            let now = self.engine.clock.now();
            let status = CacheStatus {
                forward_status: outcome.status(),
                ttl_seconds: Some(stored.freshness.ttl_seconds(now)),
                ..forwarded.with_detail("stale-if-error")
            };
            let hand = Hand::Second;
            return self.deliver(errand, terms, &stored, hand, status, Served::StaleIfError).await;
        }
        let operation = errand.operation().cloned();
        let hand = if collapsed { Hand::Second } else { Hand::First };
        match outcome {
            Outcome::Found(stored) => self.hit(errand, terms, &stored, Served::SharedHit).await,
            Outcome::Stored(stored, withheld) => {
                let status = CacheStatus { stored: true, ..forwarded };
                let answered = self.deliver(errand, terms, &stored, hand, status, served).await;
                answered.with(hand, withheld)
            }
            Outcome::Confirmed(stored, withheld) => {
                let forward_status = Some(StatusCode::NOT_MODIFIED);
                let status = CacheStatus { stored: true, forward_status, ..forwarded };
                let answered = self.deliver(errand, terms, &stored, hand, status, served).await;
                answered.with(hand, withheld)
            }
            Outcome::Unstored(answer) => {
                let status = forwarded.with_detail(answer.reason.as_str());
                let response = deliver::unstored(terms, &answer, errand.public_root(), status);
                Answered::new(response, operation, served)
            }
            Outcome::Streamed(answer) => streamed(terms, &answer, operation, forwarded, served),
            Outcome::Failed(error) => failed(operation, error, forwarded),
            // Asked for again, by then.
            Outcome::Undivided => failed(operation, ProxyError::Internal, forwarded),
        }
    }

    async fn deliver(
        &self,
        errand: &Errand,
        terms: &Terms,
        stored: &Arc<StoredResponse>,
        hand: Hand,
        status: CacheStatus,
        served: Served,
    ) -> Answered {
        let now = self.engine.clock.now();
        let root = errand.public_root();
        let compressed = stored.body.compressed_bytes();
        let response = deliver::stored(terms, stored, root, hand, status, now).await;
        if stored.body.compressed_bytes() > compressed {
            self.engine.store.reweigh(stored);
        }
        Answered::new(response, errand.operation().cloned(), served)
    }
}

/// An answer that is not held, for the first who takes it.
fn streamed(
    terms: &Terms,
    answer: &StreamedResponse,
    operation: Option<Arc<Operation>>,
    forwarded: CacheStatus,
    served: Served,
) -> Answered {
    let Some(response) = answer.take() else {
        return failed(operation, ProxyError::Internal, forwarded);
    };
    let status = forwarded.with_detail(answer.reason().as_str());
    let response = deliver::streamed(terms, response, operation.is_some(), status);
    Answered::new(response, operation, served)
}

/// Asked of the origin, to no avail; or not even asked.
fn failed(
    operation: Option<Arc<Operation>>,
    error: ProxyError,
    forwarded: CacheStatus,
) -> Answered {
    if !error.may_have_been_asked() {
        return refused(operation, error);
    }
    let mut response = error.response::<Body>();
    let status = forwarded.with_detail(error.as_str());
    response.headers_mut().insert(CACHE_STATUS, status.to_value());
    Answered::new(response, operation, Served::Error)
}

/// Not asked of anyone.
fn refused(operation: Option<Arc<Operation>>, error: ProxyError) -> Answered {
    let mut response = error.response::<Body>();
    response.headers_mut().insert(CACHE_STATUS, CacheStatus::neither(error.as_str()));
    Answered::new(response, operation, Served::Error)
}
