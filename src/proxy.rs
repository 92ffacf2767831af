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
//!   in it passes: streamed both ways, nothing buffered, nothing stored.
//! * **key**: who asks ([`identity`]) and what is asked ([`crate::question`]). What cannot be
//!   understood is never guessed: it passes.
//! * **look up**: fresh, stale or missing ([`lookup`]); time and purges decide.
//! * **fetch**: one for all who ask the same ([`flight`], [`fetch`]), stamped before it leaves.
//! * **deliver**: the form the client prefers, its 304, `Age` and `Cache-Status` (`deliver`).

pub mod cache_status;
pub mod cors;
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
pub mod identity;
pub mod lookup;
pub mod pass;

use std::error::Error;
use std::sync::Arc;

use http::header::ORIGIN;
use http::{HeaderName, Request, Response};
use hyper::body::Incoming;

use cache_status::{CACHE_STATUS, CacheStatus, Forwarded};
use deliver::Terms;
use engine::{Purpose, Served};
use errand::{Detour, Unkeyed, whole};
use fetch::FetchOrigin;
use flight::{Boarding, Outcome};
use lookup::Lookup;

use crate::body::Body;
use crate::caching::storability::Unstorable;
use crate::error::ProxyError;
use crate::operation::Operation;
use crate::origin::{OriginClient, RequestBody};
use crate::purge::Sequence;
use crate::server::Peer;
use crate::stored_response::StoredResponse;

pub use decoded_body::OriginBody;
pub use engine::Engine;
pub use errand::{Call, Errand};

/// Point-of-sale devices authenticate with this; nothing of theirs is cached.
const DEVICE_TOKEN: HeaderName = HeaderName::from_static("devicetoken");

/// One worker's proxy: the engine that all workers share, and connections of its own to the origin.
#[derive(Clone)]
pub struct Proxy {
    engine: Arc<Engine>,
    origin: Arc<OriginClient>,
    fetcher: Arc<dyn FetchOrigin>,
}

/// An answer, and how it came about.
struct Answered {
    response: Response<Body>,
    operation: Option<Arc<Operation>>,
    served: Served,
}

impl Proxy {
    /// A proxy on the engine, asking through `origin`.
    pub fn new(engine: Arc<Engine>, origin: Arc<OriginClient>) -> Self {
        let fetcher = Arc::clone(&origin) as Arc<dyn FetchOrigin>;
        Self { engine, origin, fetcher }
    }

    /// Answers one request of a storefront.
    pub async fn handle(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        let started = self.engine.clock.monotonic();
        let web_origin = request.headers().get(ORIGIN).cloned();
        let method = request.method().clone();

        let answered = self.answer(request, peer).await;

        let mut response = answered.response;
        // What is answered here says all that it has to say: a preflight's own fields too.
        if let Some(cors) = &self.engine.cors
            && answered.served != Served::Itself
        {
            cors.decorate(web_origin.as_ref(), response.headers_mut());
        }
        let took = self.engine.clock.monotonic().saturating_sub(started);
        let operation = answered.operation.as_deref();
        self.engine.count(operation, answered.served, took);
        tracing::debug!(
            %method,
            operation = operation.map_or("-", |operation| &operation.name),
            result = answered.served.as_str(),
            status = response.status().as_u16(),
            took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "request",
        );
        response
    }

    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Answered {
        if let Some(answered) = self.receive(&request) {
            return answered;
        }
        let call = match self.classify(&request) {
            Ok(call) => call,
            Err(detour) => return self.pass(whole(request), peer, None, detour).await,
        };
        let terms = Terms::of(&request);
        let operation = Arc::clone(&call.operation);
        let errand = match errand::read(&self.engine, call, request, peer).await {
            Ok(errand) => Arc::new(errand),
            Err(Unkeyed::Pass(request, detour)) => {
                return self.pass(*request, peer, Some(operation), detour).await;
            }
            Err(Unkeyed::Fail(error)) => return refused(operation, error),
        };
        // From here on the request has arrived: no purge that stands by now may be missed.
        let arrived = self.engine.plane.stamp();
        match self.engine.look_up(&errand.question.key) {
            Lookup::Fresh(stored) => self.hit(&errand, &terms, &stored).await,
            Lookup::Stale(stored, stale) if stale.while_revalidating => {
                self.revalidate_behind(&errand);
                self.stale_hit(&errand, &terms, &stored).await
            }
            lookup => self.fetch(&errand, &terms, arrived, lookup).await,
        }
    }

    /// What the proxy answers by itself.
    fn receive(&self, request: &Request<Incoming>) -> Option<Answered> {
        let itself = |response| Answered { response, operation: None, served: Served::Itself };
        if let Some(response) = pass::answer_here(request) {
            return Some(itself(response));
        }
        self.engine.cors.as_ref()?.preflight(request).map(itself)
    }

    /// The call that the request makes of one of the catalogue's operations.
    fn classify(&self, request: &Request<Incoming>) -> Result<Call, Detour> {
        if request.headers().contains_key(DEVICE_TOKEN) {
            return Err(Detour::DeviceToken);
        }
        self.engine.classify(request.method(), request.uri())
    }

    async fn hit(&self, errand: &Errand, terms: &Terms, stored: &StoredResponse) -> Answered {
        let status = CacheStatus::hit(stored.freshness.ttl_seconds(self.engine.clock.now()));
        self.deliver(errand, terms, stored, status, Served::Hit).await
    }

    async fn stale_hit(&self, errand: &Errand, terms: &Terms, stored: &StoredResponse) -> Answered {
        // Softly purged, it has lifetime left and is stale all the same.
        let ttl = stored.freshness.ttl_seconds(self.engine.clock.now()).min(0);
        let status = CacheStatus::hit(ttl).with_detail("stale-while-revalidate");
        self.deliver(errand, terms, stored, status, Served::Stale).await
    }

    /// Starts a fetch that nobody waits for, unless one is under way.
    fn revalidate_behind(&self, errand: &Arc<Errand>) {
        let board = self.engine.flights.board(&errand.question.key, &self.engine.plane, None);
        if let Ok(Boarding::Lead(takeoff, _)) = board {
            self.take_off(errand, takeoff);
        }
    }

    /// Starts the fetch. If another one landed between the look-up and the boarding, there is
    /// nothing left to fetch: then its answer is returned.
    fn take_off(
        &self,
        errand: &Arc<Errand>,
        takeoff: flight::Takeoff,
    ) -> Option<Arc<StoredResponse>> {
        match self.engine.look_up(&errand.question.key) {
            Lookup::Fresh(stored) => {
                takeoff.land(Outcome::Stored(Arc::clone(&stored)));
                Some(stored)
            }
            lookup => {
                self.depart(errand, lookup.previous().cloned(), takeoff);
                None
            }
        }
    }

    /// Gets the answer from the origin, together with all who ask the same.
    async fn fetch(
        &self,
        errand: &Arc<Errand>,
        terms: &Terms,
        arrived: Sequence,
        lookup: Lookup,
    ) -> Answered {
        let key = &errand.question.key;
        if self.engine.flights.goes_alone(key).is_some() {
            return self.fetch_alone(errand, terms, &lookup).await;
        }
        let mut not_before = None;
        loop {
            let board = self.engine.flights.board(key, &self.engine.plane, not_before);
            let (waiter, collapsed) = match board {
                Err(error) => return self.turn_away(errand, terms, &lookup, error).await,
                Ok(Boarding::Follow(waiter)) => (waiter, true),
                Ok(Boarding::Lead(takeoff, waiter)) => {
                    if let Some(stored) = self.take_off(errand, takeoff) {
                        return self.hit(errand, terms, &stored).await;
                    }
                    (waiter, false)
                }
            };
            match waiter.outcome(arrived, &self.engine.plane).await {
                // It left before a purge that this request came after: one that leaves now will do.
                None => not_before = Some(arrived),
                Some(outcome) if collapsed && !outcome.may_be_shared() => {
                    return self.fetch_alone(errand, terms, &lookup).await;
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
        let Some(stored) = self.engine.stands_in(lookup) else {
            return refused(Arc::clone(&errand.operation), error);
        };
        let ttl = stored.freshness.ttl_seconds(self.engine.clock.now());
        let status = CacheStatus::hit(ttl).with_detail("stale-if-error");
        self.deliver(errand, terms, &stored, status, Served::StaleIfError).await
    }

    /// Gets the answer for this request only: the one that another got was not for all.
    async fn fetch_alone(&self, errand: &Arc<Errand>, terms: &Terms, lookup: &Lookup) -> Answered {
        let key = &errand.question.key;
        let (takeoff, waiter) = match self.engine.flights.alone(key, &self.engine.plane) {
            Err(error) => return self.turn_away(errand, terms, lookup, error).await,
            Ok(alone) => alone,
        };
        self.depart(errand, None, takeoff);
        let outcome = waiter.last_outcome().await;
        self.conclude(errand, terms, lookup, outcome, false).await
    }

    /// The fetch runs on whether or not its client stays.
    fn depart(
        &self,
        errand: &Arc<Errand>,
        previous: Option<Arc<StoredResponse>>,
        takeoff: flight::Takeoff,
    ) {
        let (engine, origin) = (Arc::clone(&self.engine), Arc::clone(&self.fetcher));
        tokio::spawn(fetch::run(engine, origin, Arc::clone(errand), previous, takeoff));
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
            detail: lookup.detail(),
            ..CacheStatus::forwarded(lookup.reason())
        };
        let served = if collapsed { Served::Collapsed } else { Served::Miss };
        if outcome.is_origin_failure()
            && let Some(stored) = self.engine.stands_in(lookup)
        {
            let now = self.engine.clock.now();
            let status = CacheStatus {
                forward_status: outcome.status(),
                ttl_seconds: Some(stored.freshness.ttl_seconds(now)),
                ..forwarded.with_detail("stale-if-error")
            };
            return self.deliver(errand, terms, &stored, status, Served::StaleIfError).await;
        }
        let operation = Some(Arc::clone(&errand.operation));
        match outcome {
            Outcome::Stored(stored) => {
                let status = CacheStatus { stored: true, ..forwarded };
                self.deliver(errand, terms, &stored, status, served).await
            }
            Outcome::Unstored(answer) => {
                let status = forwarded.with_detail(answer.reason.as_str());
                let response = deliver::unstored(terms, &answer, &errand.public_root, status);
                Answered { response, operation, served }
            }
            Outcome::Oversized(answer) => match answer.take() {
                Some(response) => {
                    let status = forwarded.with_detail(Unstorable::TooLarge.as_str());
                    Answered {
                        response: deliver::oversized(terms, response, status),
                        operation,
                        served,
                    }
                }
                None => failed(operation, ProxyError::Internal, forwarded),
            },
            Outcome::Failed(error) => failed(operation, error, forwarded),
        }
    }

    async fn deliver(
        &self,
        errand: &Errand,
        terms: &Terms,
        stored: &StoredResponse,
        status: CacheStatus,
        served: Served,
    ) -> Answered {
        let now = self.engine.clock.now();
        let response = deliver::stored(terms, stored, &errand.public_root, status, now).await;
        Answered { response, operation: Some(Arc::clone(&errand.operation)), served }
    }

    /// Streams the request to the origin and the answer back.
    async fn pass(
        &self,
        request: Request<RequestBody>,
        peer: Peer,
        operation: Option<Arc<Operation>>,
        detour: Detour,
    ) -> Answered {
        let forwarded = &self.engine.config.forwarded;
        let bypass = CacheStatus::forwarded(Forwarded::Bypass);
        let passing = pass::pass(&self.origin, forwarded, peer, request);
        let mut response = match self.engine.asking(Purpose::Pass, passing).await {
            Ok(response) => response,
            Err(error) => {
                let source = error.source().map(ToString::to_string);
                tracing::info!(%error, source, "a request could not be passed");
                return failed(operation, ProxyError::from(&error), bypass);
            }
        };
        let status = bypass.with_detail(detour.as_str());
        response.headers_mut().append(CACHE_STATUS, status.to_value());
        Answered { response, operation, served: Served::Pass }
    }
}

/// Asked of the origin, to no avail.
fn failed(
    operation: Option<Arc<Operation>>,
    error: ProxyError,
    forwarded: CacheStatus,
) -> Answered {
    let mut response = error.response::<Body>();
    let status = forwarded.with_detail(error.as_str());
    response.headers_mut().insert(CACHE_STATUS, status.to_value());
    Answered { response, operation, served: Served::Error }
}

/// Not asked of anyone.
fn refused(operation: Arc<Operation>, error: ProxyError) -> Answered {
    let mut response = error.response::<Body>();
    response.headers_mut().insert(CACHE_STATUS, CacheStatus::neither(error.as_str()));
    Answered { response, operation: Some(operation), served: Served::Error }
}
