//! Every interleaving of a fetch, a change with its purge, and a client that comes meanwhile.
//!
//! The fetch is driven poll by poll against a scripted origin that pauses at each of its stages:
//! before the request is read, before the head, in the middle of the body, before its end. The
//! origin's value changes after some number of polls, the purge follows after some more, and a
//! second client comes at yet another moment. All combinations are run, so no luck is needed.
//!
//! What must hold: once the purge has returned, no look-up serves the old value, and no client that
//! came after it is given it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use csu_edge::body::BodyError;
use csu_edge::clock::{Clock, Timestamp};
use csu_edge::config::Config;
use csu_edge::metrics::Metrics;
use csu_edge::operation::Catalogue;
use csu_edge::proxy::asking::{Asked, Departing, FetchOrigin, Leave, Standing};
use csu_edge::proxy::fetch::{self, Source, pieces};
use csu_edge::proxy::flight::{Boarding, Charge, Outcome, Takeoff, Waiter};
use csu_edge::proxy::listed::{Leg, ListedErrand, Party};
use csu_edge::proxy::lookup::Lookup;
use csu_edge::proxy::{Engine, Errand, OriginBody, Subject, Task};
use csu_edge::purge::{Moment, PurgePlane, PurgeRequest, Purger, Strictness};
use csu_edge::server::Peer;
use csu_edge::stored_response::StoredResponse;
use csu_edge::tag::Tag;
use futures_util::FutureExt;
use http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

const ITEM: &str = "82000";

/// An origin with one price, whose stages each cost one poll.
struct Origin {
    version: Arc<AtomicU64>,
}

/// Ready at the second poll.
async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|_| match std::mem::replace(&mut paused, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

impl FetchOrigin for Origin {
    fn fetch<'a>(&'a self, _: Leave, departing: Departing<'a>) -> Asked<'a> {
        Box::pin(async move {
            let (_, request) = departing();
            pause().await; // on the way to the origin
            let version = self.version.load(Ordering::SeqCst);
            pause().await; // on the way back
            let etag = HeaderValue::try_from(format!("\"{version}\"")).unwrap();
            let known = request.headers().get(IF_NONE_MATCH) == Some(&etag);
            let body = format!(
                r#"{{"value":[{{"ProductId":68719489871,"ItemId":"{ITEM}","AdjustedPrice":{version}}}]}}"#
            );
            let mut response =
                Response::new(if known { in_two_parts(String::new()) } else { in_two_parts(body) });
            if known {
                *response.status_mut() = StatusCode::NOT_MODIFIED;
            }
            response.headers_mut().insert(ETAG, etag);
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Ok(response)
        })
    }
}

fn in_two_parts(body: String) -> OriginBody {
    let (first, second) = body.split_at(body.len() / 2);
    let parts = [first.to_owned(), second.to_owned(), String::new()];
    let frames = futures_util::stream::unfold(parts.into_iter(), |mut parts| async {
        let part = parts.next()?;
        pause().await; // in the middle of the body, and before its end
        Some((Ok::<_, BodyError>(Frame::data(Bytes::from(part))), parts))
    });
    OriginBody::new(StreamBody::new(frames))
}

/// One run's world.
struct World {
    engine: Arc<Engine>,
    origin: Arc<dyn FetchOrigin>,
    version: Arc<AtomicU64>,
    errand: Errand,
    /// Where the errand is for one thing of a list.
    listed: Option<Arc<ListedErrand>>,
}

/// How the price is kept.
#[derive(Clone, Copy)]
enum Kept {
    /// By a whole answer.
    Whole,
    /// As a piece of an answer for a list.
    Piece,
}

impl Kept {
    fn request(self) -> (Request<()>, Bytes) {
        match self {
            Self::Whole => {
                let target = "/Commerce/Products(68719489871)/GetPrice()?api-version=7.3";
                (Request::get(target).body(()).unwrap(), Bytes::new())
            }
            Self::Piece => {
                let target = "/Commerce/Products/GetActivePrices?api-version=7.3";
                let request = Request::post(target).header(CONTENT_TYPE, "application/json");
                let body = br#"{"projectDomain":{"ChannelId":5637154326,"CatalogId":0},"productIds":[68719489871]}"#;
                (request.body(()).unwrap(), Bytes::from_static(body))
            }
        }
    }
}

impl World {
    fn new() -> Self {
        Self::keeping(Kept::Whole)
    }

    fn keeping(kept: Kept) -> Self {
        let clock = Clock::manual(Timestamp::from_millis(1_777_284_000_000));
        let config = Config::for_origin("http://origin.test/Commerce".parse().unwrap());
        let catalogue = Catalogue::new(&config.operations, &config.classes).unwrap();
        let plane = Arc::new(PurgePlane::new(clock.clone(), Duration::from_secs(3_600), 1_000));
        let purger = Purger::Alone(plane);
        let metrics = Metrics::new().unwrap();
        let engine = Engine::new(config, catalogue, purger, metrics, clock).unwrap();
        let (request, body) = kept.request();
        let head = request.into_parts().0;
        let Ok(Subject::Call(call)) = engine.classify(&head.method, &head.uri) else {
            panic!("the catalogue knows it")
        };
        let asker = engine.identify(&head.headers, call.operation.identity).unwrap();
        let peer = Peer::new("127.0.0.1:1".parse().unwrap());
        let (errand, listed) = match engine.task(call, &head, &body, asker, peer).unwrap() {
            Task::One(errand) => (errand, None),
            Task::Listed(listed) => {
                let alone = listed.alone(&listed.question.units()[0]).unwrap();
                (Errand::Operation(alone), Some(listed))
            }
        };
        let version = Arc::new(AtomicU64::new(1));
        let origin = Arc::new(Origin { version: Arc::clone(&version) });
        Self { engine: Arc::new(engine), origin, version, errand, listed }
    }

    fn board(&self, not_before: Option<Moment>) -> Boarding {
        let key = self.engine.flight_key(&self.errand);
        let not_before = not_before.map(|arrived| (arrived, Strictness::Strict));
        self.engine.flights.board(&key, self.engine.plane(), not_before, Charge::Fetch).unwrap()
    }

    /// A fetch as the request path starts it.
    fn fetch(&self, previous: Option<Arc<StoredResponse>>) -> (Running, Waiter) {
        let Boarding::Lead(takeoff, waiter) = self.board(None) else {
            panic!("nobody else fetches")
        };
        (self.depart(previous, takeoff), waiter)
    }

    fn depart(&self, previous: Option<Arc<StoredResponse>>, takeoff: Takeoff) -> Running {
        let (engine, origin) = (Arc::clone(&self.engine), Arc::clone(&self.origin));
        let source = Source::Anywhere;
        if let (Some(listed), Errand::Operation(errand)) = (&self.listed, &self.errand) {
            let (errand, unit) = (Arc::clone(errand), listed.question.units()[0].clone());
            let legs = vec![Leg { errand, unit, previous, takeoff, lease: None }];
            let standing = Standing::of_client(false);
            let party = Party { listed: Arc::clone(listed), legs, standing, asker: None };
            return Box::pin(pieces::run(engine, origin, party, source));
        }
        let by = (source, Standing::of_client(false));
        Box::pin(fetch::run(engine, origin, self.errand.clone(), previous, by, takeoff))
    }

    fn change(&self) {
        self.version.store(2, Ordering::SeqCst);
    }

    fn purge(&self) {
        let tag = Tag::parse(&format!("price/item:{ITEM}")).unwrap();
        self.engine.plane().purge(&PurgeRequest::of(tag));
    }

    /// What a request would be served from the store now.
    fn served(&self) -> Option<u64> {
        match self.engine.look_up(&self.errand) {
            Lookup::Fresh(stored) | Lookup::Stale(stored, _) => Some(price(&stored)),
            _ => None,
        }
    }
}

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

fn price(stored: &StoredResponse) -> u64 {
    let body = stored.body.identity("").collect().now_or_never().unwrap().unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body.to_bytes()).unwrap();
    body["value"][0]["AdjustedPrice"].as_u64().unwrap()
}

fn poll(running: &mut Running) -> bool {
    running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// The number of polls that a fetch takes.
fn stages(world: &World) -> usize {
    let (mut running, _waiter) = world.fetch(None);
    (1..).find(|_| poll(&mut running)).unwrap()
}

fn finish(running: &mut Running) {
    let ended = (0..100).any(|_| poll(running));
    assert!(ended, "a fetch ends");
}

async fn outcome_of(waiter: Waiter, arrived: Moment, world: &World) -> Option<u64> {
    match waiter.outcome(arrived, Strictness::Strict, world.engine.plane()).await {
        None => None,
        Some(Outcome::Stored(stored, _) | Outcome::Confirmed(stored, _)) => Some(price(&stored)),
        Some(other) => panic!("{other:?}"),
    }
}

/// Runs every schedule: the change after `changed` polls, the purge after `purged`, a second
/// client after `joined`.
async fn every_interleaving(kept: Kept, stored_before: bool) -> usize {
    let prepare = || {
        let world = World::keeping(kept);
        let previous = stored_before.then(|| {
            let (mut running, _waiter) = world.fetch(None);
            finish(&mut running);
            let Lookup::Fresh(stored) = world.engine.look_up(&world.errand) else {
                panic!("stored")
            };
            stored
        });
        (world, previous)
    };
    // A full answer takes the most stages; a 304 has no body to pause in.
    let stages = stages(&World::keeping(kept));
    assert!(stages >= 6, "the origin's stages are polls of their own");
    let mut schedules = 0;
    for changed in 0..=stages {
        for purged in changed..=stages {
            for joined in 0..=stages {
                let (world, previous) = prepare();
                run_schedule(&world, previous, stages, (changed, purged, joined)).await;
                schedules += 1;
            }
        }
    }
    schedules
}

async fn run_schedule(
    world: &World,
    previous: Option<Arc<StoredResponse>>,
    stages: usize,
    (changed, purged, joined): (usize, usize, usize),
) {
    let schedule = format!("change at {changed}, purge at {purged}, client at {joined}");
    let (mut running, first) = world.fetch(previous);
    let mut second = None;
    let mut done = false;
    for step in 0..=stages {
        if step == changed {
            world.change();
        }
        if step == purged {
            world.purge();
        }
        if step == joined {
            let arrived = world.engine.plane().now();
            second = Some((arrived, world.board(None)));
        }
        if step >= purged {
            assert_ne!(world.served(), Some(1), "{schedule}: the store, at step {step}");
        }
        if !done {
            done = poll(&mut running);
        }
    }
    assert!(done, "{schedule}");
    assert_ne!(world.served(), Some(1), "{schedule}: the store, at the end");
    drop(first);

    let (arrived, boarding) = second.expect("a second client came");
    let got = match boarding {
        Boarding::Lead(takeoff, waiter) => {
            let mut running = world.depart(None, takeoff);
            finish(&mut running);
            outcome_of(waiter, arrived, world).await
        }
        Boarding::Follow(waiter) => match outcome_of(waiter, arrived, world).await {
            Some(price) => Some(price),
            // Told to ask again, for a flight that leaves no earlier than it came.
            None => {
                let Boarding::Lead(takeoff, waiter) = world.board(Some(arrived)) else {
                    panic!("{schedule}: the old flight has landed")
                };
                let mut running = world.depart(None, takeoff);
                finish(&mut running);
                outcome_of(waiter, arrived, world).await
            }
        },
    };
    let got = got.expect("a second flight is always for whoever asked for it");
    if joined >= purged {
        assert_eq!(got, 2, "{schedule}: the second client");
    }
}

#[tokio::test(start_paused = true)]
async fn no_purge_at_any_point_of_a_fetch_leaves_the_old_answer_behind() {
    let schedules = every_interleaving(Kept::Whole, false).await;
    assert!(schedules > 100, "{schedules}");
}

#[tokio::test(start_paused = true)]
async fn no_purge_at_any_point_of_a_revalidation_leaves_the_old_answer_behind() {
    let schedules = every_interleaving(Kept::Whole, true).await;
    assert!(schedules > 100, "{schedules}");
}

#[tokio::test(start_paused = true)]
async fn no_purge_at_any_point_of_a_call_leaves_an_old_piece_behind() {
    for stored_before in [false, true] {
        let schedules = every_interleaving(Kept::Piece, stored_before).await;
        assert!(schedules > 100, "{schedules}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_confirmed_answer_carries_the_stamp_of_the_fetch_that_confirmed_it() {
    let world = World::new();
    let (mut running, _waiter) = world.fetch(None);
    finish(&mut running);
    let Lookup::Fresh(stored) = world.engine.look_up(&world.errand) else { panic!() };
    world.purge();
    assert_eq!(world.served(), None);
    let (mut running, waiter) = world.fetch(Some(stored));
    finish(&mut running);
    assert_eq!(outcome_of(waiter, world.engine.plane().now(), &world).await, Some(1));
    assert_eq!(world.served(), Some(1), "the origin said after the purge that it still stands");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_is_dropped_lands_as_a_failure_and_its_waiters_do_not_hang() {
    let world = World::new();
    let (mut running, waiter) = world.fetch(None);
    assert!(!poll(&mut running));
    drop(running);
    let now = world.engine.plane().now();
    let outcome = pin!(waiter.outcome(now, Strictness::Strict, world.engine.plane())).await;
    assert!(matches!(outcome, Some(Outcome::Failed(_))));
    assert!(!world.engine.flights.is_under_way(&world.engine.flight_key(&world.errand)));
}

#[tokio::test(start_paused = true)]
async fn of_two_fetches_the_one_that_left_later_stays() {
    let world = World::new();
    let (mut early, _early) = world.fetch(None);
    assert!(!poll(&mut early));
    assert!(!poll(&mut early), "it has read the old value");
    world.change();
    world.purge();
    let Boarding::Lead(takeoff, _late) = world.board(Some(world.engine.plane().now())) else {
        panic!("the flight under way left too early")
    };
    let mut late = world.depart(None, takeoff);
    finish(&mut late);
    assert_eq!(world.served(), Some(2));
    finish(&mut early);
    assert_eq!(world.served(), Some(2), "the early fetch landed later and overwrote nothing");
}
