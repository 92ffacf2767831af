//! Hits that are given again to the same bytes, without their request being read.
//!
//! What a request comes to by the catalogue depends on its bytes alone, but for the time: a token
//! ends, and with it the answer's lifetime; a moment in a body that was the present one passes. So
//! what it was answered with from the memory tier answers it again for as long as the tier holds just
//! that, no purge has reached it and it is fresh: the same checks as any hit's. And like any hit near
//! the end of a lifetime, it may be the one that has its answer fetched anew.
//!
//! Not given again are answers to URLs that the catalogue does not know, where another variant may
//! come to be the better one, and answers with links, which name the base that a client came by.

use std::cell::Cell;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::AGE;
use http::{HeaderName, Method, Response, StatusCode};

use super::cache_status::{CACHE_STATUS, CacheStatus};
use super::counts::{Served, tell};
use super::engine::Engine;
use super::errand::{Errand, OperationErrand};
use super::hottest::SAMPLED;
use super::listed::{Along, AtOnce, ListedErrand};
use super::witness::{Noted, Repeated};
use super::{Answered, Proxy};
use crate::body::Body;
use crate::caching::cache_control::RequestDirectives;
use crate::caching::freshness::{Judgement, judge};
use crate::clock::Timestamp;
use crate::operation::Operation;
use crate::purge::Strictness;
use crate::question::Unit;
use crate::server::{RawRequest, Repeat};
use crate::stored_response::StoredResponse;

/// Fields that change no answer that is given again: those of traces, what CDNs and proxies add for
/// each request, and what browsers say of themselves. None is in the key of an answer by the
/// catalogue, and none decides whether a request has one.
pub(super) const UNREAD: [&str; 33] = [
    "appsessionid",
    "baggage",
    "cf-connecting-ip",
    "cf-ray",
    "cookie",
    "dnt",
    "priority",
    "referer",
    "request-context",
    "request-id",
    "requestid",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-ua-platform",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-gpc",
    "traceparent",
    "tracestate",
    "true-client-ip",
    "user-agent",
    "usersessionid",
    "via",
    "x-amzn-trace-id",
    "x-azure-clientip",
    "x-azure-fdid",
    "x-azure-ref",
    "x-azure-socketip",
    "x-correlation-id",
    "x-forwarded-for",
    "x-real-ip",
    "x-request-id",
];

/// One hit in so many is told to the memory tier, which keeps what is asked for often, and to who knows
/// what is hot: as many as of hits that are read.
const TOLD: u32 = SAMPLED as u32;

/// What a hit was answered with.
pub(super) enum AnsweredWith {
    /// What is kept whole.
    One(Arc<OperationErrand>, Arc<StoredResponse>),
    /// Pieces, and which of the list's units each is of: one that is listed twice has one piece.
    Pieces(Arc<ListedErrand>, Box<[Arc<StoredResponse>]>, Box<[Unit]>),
}

impl AnsweredWith {
    fn stored(&self) -> &[Arc<StoredResponse>] {
        match self {
            Self::One(_, stored) => std::slice::from_ref(stored),
            Self::Pieces(_, stored, _) => stored,
        }
    }

    fn operation(&self) -> &Arc<Operation> {
        match self {
            Self::One(errand, _) => &errand.operation,
            Self::Pieces(listed, ..) => &listed.operation,
        }
    }

    /// Whether the same bytes ask for the same later.
    fn is_lasting(&self) -> bool {
        match self {
            Self::One(errand, stored) => !errand.question.is_of_now && !stored.body.has_links(),
            Self::Pieces(listed, ..) => !listed.question.is_of_now(),
        }
    }

    /// Counts it for who decides what is kept, and what is fetched anew after a purge.
    fn tell_of_use(&self, engine: &Engine) {
        for stored in self.stored() {
            engine.store.touch(&stored.key);
        }
        match self {
            Self::One(errand, stored) => {
                engine.note_hit(&Errand::Operation(Arc::clone(errand)), stored);
            }
            Self::Pieces(listed, stored, units) => {
                engine.note_hits(listed, stored.iter().zip(units));
            }
        }
    }
}

/// A hit that can be given again.
pub(super) struct Again {
    proxy: Proxy,
    with: AnsweredWith,
    strictness: Strictness,
    method: Method,
    status: StatusCode,
    body: Bytes,
    times: Cell<u32>,
    /// What is told of it, where somebody wants to know.
    noted: Option<Noted>,
}

impl Again {
    /// How this answer is given again; `None` where it cannot be.
    pub(super) fn of(
        proxy: &Proxy,
        method: &Method,
        answered: &mut Answered,
        noted: Option<Noted>,
    ) -> Option<Rc<dyn Repeat>> {
        let with = answered.with.take()?;
        let response = &answered.response;
        let is_from_memory = answered.served == Served::Hit;
        let is_plain = matches!(response.status(), StatusCode::OK | StatusCode::NOT_MODIFIED)
            && *method != Method::HEAD
            // Another cache's word stands before ours.
            && response.headers().get_all(CACHE_STATUS).iter().count() == 1;
        if !(is_from_memory && is_plain && with.is_lasting()) {
            return None;
        }
        Some(Rc::new(Self {
            proxy: proxy.clone(),
            strictness: Strictness::of(Some(with.operation().class)),
            with,
            method: method.clone(),
            status: response.status(),
            body: at_hand(response)?,
            // Not told of at once: the request that is answered now was told of.
            times: Cell::new(1),
            noted,
        }))
    }

    fn still_serves(&self, stored: &StoredResponse, now: Timestamp) -> bool {
        let purged = stored.purge_state(self.proxy.engine.plane(), self.strictness);
        let asked = RequestDirectives::default();
        !stored.let_go.is_set()
            && matches!(judge(&stored.freshness, purged, &asked, now), Some(Judgement::Fresh))
    }

    /// Has it fetched anew ahead of its end, if this hit is the one that does. Now and then it is
    /// noted what calls that go anyway may take along.
    fn refresh(&self, is_told: bool, now: Timestamp) {
        match &self.with {
            AnsweredWith::One(errand, stored) => {
                if self.proxy.engine.may_be_due_ahead(stored, now) {
                    self.proxy.refresh_ahead(&Errand::Operation(Arc::clone(errand)), stored);
                }
            }
            AnsweredWith::Pieces(listed, stored, units) => {
                let along = if is_told { Along::Noted } else { Along::Unnoted };
                let at_once = stored.iter().zip(units).map(|(stored, unit)| AtOnce {
                    unit,
                    stored,
                    served: Served::Hit,
                });
                self.proxy.refresh_behind(listed, at_once, along, now);
            }
        }
    }
}

impl Repeat for Again {
    fn answer(&self, request: RawRequest<'_>, fields: &mut Vec<u8>) -> Option<&Bytes> {
        let (Proxy { engine, counts, .. }, stored) = (&self.proxy, self.with.stored());
        let (started, now) = (engine.clock.monotonic(), engine.clock.now());
        // Another engine may answer it otherwise.
        if engine.is_superseded() || !stored.iter().all(|stored| self.still_serves(stored, now)) {
            return None;
        }
        let times = self.times.get();
        self.times.set(times.wrapping_add(1));
        let is_told = times.is_multiple_of(TOLD);
        if is_told {
            self.with.tell_of_use(engine);
        }
        self.refresh(is_told, now);
        let first_to_end = stored.iter().min_by_key(|stored| stored.freshness.ttl_seconds(now))?;
        let age = first_to_end.freshness.age(now).as_secs();
        let pieces = (stored.len() > 1).then_some((stored.len(), stored.len()));
        let ttl = first_to_end.freshness.ttl_seconds(now);
        let status = CacheStatus { pieces, ..CacheStatus::hit(ttl) };
        // Writing to a Vec cannot fail.
        let _ = write!(fields, "{AGE}: {age}\r\n{CACHE_STATUS}: {status}\r\n");

        let took = engine.clock.monotonic().saturating_sub(started);
        let operation = Some(&**self.with.operation());
        counts.count(operation, Served::Hit, took);
        counts.count_repeat();
        if let AnsweredWith::Pieces(listed, stored, _) = &self.with {
            counts.count_pieces(&listed.operation, Served::Hit, stored.len());
        }
        tell(&self.method, operation, Served::Hit, self.status, took);
        if let Some(noted) = &self.noted {
            let (method, bytes) = (&self.method, self.body.len() as u64);
            let (status, cache_status) = (self.status, status);
            let hit = Repeated { now, started, took, method, status, cache_status, bytes };
            self.proxy.tell_of_repeat(noted, request, hit);
        }
        Some(&self.body)
    }

    fn writes(&self, name: &HeaderName) -> bool {
        *name == AGE || *name == CACHE_STATUS
    }

    fn is_over(&self) -> bool {
        self.proxy.engine.is_superseded()
            || self.with.stored().iter().any(|stored| stored.let_go.is_set())
    }

    fn own_bytes(&self) -> usize {
        let is_held = matches!(self.with, AnsweredWith::One(..));
        let noted = self.noted.as_ref().map_or(0, Noted::own_bytes);
        size_of::<Self>() + noted + if is_held { 0 } else { self.body.len() }
    }
}

/// A body that is all at hand.
fn at_hand(response: &Response<Body>) -> Option<Bytes> {
    match response.body() {
        Body::Empty => Some(Bytes::new()),
        Body::Full(bytes) => Some(bytes.clone()),
        Body::Chunks(_) | Body::Incoming(_) | Body::Boxed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Request;
    use http::header::CONTENT_TYPE;
    use http_body_util::{BodyExt, Full};
    use serde_json::{Value, json};

    use super::super::asking::{Asked, Departing, FetchOrigin, Leave};
    use super::super::deliver::Terms;
    use super::super::hottest::Hot;
    use super::super::{Subject, Task};
    use super::*;
    use crate::clock::Clock;
    use crate::config::Config;
    use crate::metrics::Metrics;
    use crate::operation::{Catalogue, Class};
    use crate::origin::OriginClient;
    use crate::purge::{PurgePlane, Purger};
    use crate::server::Peer;

    /// An origin that has a price for each product, as often as it is asked for.
    struct Prices;

    impl FetchOrigin for Prices {
        fn fetch<'a>(&'a self, _: Leave, departing: Departing<'a>) -> Asked<'a> {
            let (_, request) = departing();
            let asked: Value = serde_json::from_slice(request.body()).unwrap();
            let price = |id: &Value| json!({"ProductId": id, "AdjustedPrice": 1});
            let prices: Vec<_> =
                asked["productIds"].as_array().unwrap().iter().map(price).collect();
            let body = Full::from(json!({"value": prices}).to_string());
            let body = body.map_err(|never| match never {}).boxed_unsync();
            let response = Response::builder().header(CONTENT_TYPE, "application/json");
            Box::pin(async { Ok(response.body(body).unwrap()) })
        }
    }

    /// A proxy before that origin, which knows what is hot of these classes.
    fn proxy(hot: Vec<Class>) -> Proxy {
        let mut config = Config::for_origin("http://rs/Commerce".parse().unwrap());
        config.refresh.after_purge = hot;
        let (clock, metrics) = (Clock::system(), Metrics::new().unwrap());
        let plane = PurgePlane::new(clock.clone(), Duration::from_secs(3_600), 100);
        let catalogue = Catalogue::new(&[], &config.classes).unwrap();
        let client = OriginClient::new(&config.origin).unwrap();
        let purger = Purger::Alone(Arc::new(plane));
        let engine = Engine::new(config, catalogue, purger, metrics, clock).unwrap();
        Proxy { fetcher: Arc::new(Prices), ..Proxy::new(Arc::new(engine), Arc::new(client)) }
    }

    fn listed(engine: &Engine, products: &[u64]) -> (Arc<ListedErrand>, Terms) {
        let request = Request::post("/Commerce/Products/GetActivePrices?api-version=7.3")
            .header(CONTENT_TYPE, "application/json")
            .body(())
            .unwrap();
        let terms = Terms::of(&request, 1);
        let (head, ()) = request.into_parts();
        let Ok(Subject::Call(call)) = engine.classify(&head.method, &head.uri) else { panic!() };
        let asker = engine.identify(&head.headers, call.operation.identity).unwrap();
        let body = json!({"productIds": products}).to_string().into();
        let peer = Peer::new(([127, 0, 0, 1], 1).into());
        let task = engine.task(call, &head, &body, asker, peer).unwrap();
        let Task::Listed(listed) = task else { panic!("it is no list") };
        (listed, terms)
    }

    #[tokio::test]
    async fn of_a_list_that_names_one_thing_twice_each_piece_is_counted_as_what_it_is() {
        // What is read counts its hits as well, so another counts those that are repeated.
        let (reading, counting) = (proxy(vec![]), proxy(vec![Class::Price]));
        let (twice, once) = (68_719_489_871, 68_719_489_872);
        let (listed, terms) = listed(&reading.engine, &[twice, twice, once]);
        let mut with = None;
        // At first it is not known what the origin makes of repetitions.
        for _ in 0..5 {
            let answered = reading.answer_list(Arc::clone(&listed), &terms, None).await;
            with = answered.with.filter(|with| matches!(with, AnsweredWith::Pieces(..)));
        }
        with.unwrap().tell_of_use(&counting.engine);

        let hot = counting.engine.hottest.purged(10, |_| true);
        assert_eq!(hot.len(), 2);
        for (stored, hot) in hot {
            let Hot::Piece { listed, unit } = hot else { panic!("it is no piece") };
            assert_eq!(listed.question.key_of(&unit).unwrap(), stored.key, "{unit:?}");
        }
    }
}
