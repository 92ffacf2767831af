//! The memory tier and the purge check, as a hit meets them.
//!
//! `cargo bench --bench store`

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark that cannot set up must stop"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use csu_edge::caching::freshness::Freshness;
use csu_edge::clock::Clock;
use csu_edge::config::Config;
use csu_edge::metrics::Metrics;
use csu_edge::operation::{Catalogue, Class, Lifetimes};
use csu_edge::proxy::{Engine, Errand, Subject, Task};
use csu_edge::purge::{LastFoundUsable, PurgePlane, PurgeRequest, Purger};
use csu_edge::server::Peer;
use csu_edge::stored_response::{LetGo, StoredBody, StoredFields, StoredResponse};
use csu_edge::tag::{Tag, TagKind, TagSet};
use http::{HeaderMap, Request, StatusCode};

/// As many as a shop's hot set, and the body that the design's figures are measured with.
const ENTRIES: u64 = 10_000;
const BODY_BYTES: usize = 4_600;

struct World {
    engine: Engine,
    errands: Vec<Errand>,
}

impl World {
    fn new() -> Self {
        let config = Config::for_origin("http://origin.test/Commerce".parse().unwrap());
        let catalogue = Catalogue::new(&config.operations, &config.classes).unwrap();
        let plane = PurgePlane::new(Clock::system(), Duration::from_secs(86_400), 4_000_000);
        let metrics = Metrics::new().unwrap();
        let engine = Engine::new(
            config,
            catalogue,
            Purger::Alone(Arc::new(plane)),
            metrics,
            Clock::system(),
        )
        .unwrap();
        let errands = (0..ENTRIES).map(|product| errand(&engine, product)).collect();
        let world = Self { engine, errands };
        for product in 0..ENTRIES {
            world.engine.store.put(&world.response(product));
        }
        world.engine.measure();
        world
    }

    fn response(&self, product: u64) -> Arc<StoredResponse> {
        let id = product.to_string();
        let tags: TagSet = [
            Tag::everything(),
            Tag::class(Class::Price),
            Tag::new(Class::Price, TagKind::Product, &id),
            Tag::new(Class::Price, TagKind::Item, &id),
            Tag::new(Class::Price, TagKind::Channel, "5637154326"),
            Tag::unknown(Class::Price, TagKind::PriceGroup),
        ]
        .into_iter()
        .collect();
        let hour = Duration::from_secs(3_600);
        Arc::new(StoredResponse {
            key: self.engine.flight_key(&self.errands[usize::try_from(product).unwrap()]),
            stamp: self.engine.plane().stamp(),
            freshness: Freshness::of_catalogue(
                self.engine.clock.now(),
                Duration::ZERO,
                Lifetimes {
                    fresh_for: hour,
                    stale_while_revalidate: Duration::ZERO,
                    stale_if_error: Duration::ZERO,
                },
            ),
            status: StatusCode::OK,
            fields: StoredFields::of(&HeaderMap::new()),
            tags,
            body: Arc::new(StoredBody::new(
                Bytes::from(vec![b'x'; BODY_BYTES]),
                Box::default(),
                None,
            )),
            last_found_usable: LastFoundUsable::default(),
            let_go: LetGo::default(),
        })
    }
}

fn errand(engine: &Engine, product: u64) -> Errand {
    let head = Request::get(format!("/Commerce/Products({product})/GetById(channelId=5637154326)"))
        .body(())
        .unwrap()
        .into_parts()
        .0;
    let Ok(Subject::Call(call)) = engine.classify(&head.method, &head.uri) else {
        panic!("the catalogue knows it")
    };
    let asker = engine.identify(&head.headers, call.operation.identity).unwrap();
    let peer = Peer::new("127.0.0.1:1".parse().unwrap());
    match engine.task(call, &head, &Bytes::new(), asker, peer).unwrap() {
        Task::One(errand) => errand,
        Task::Listed(_) => panic!("a product is no list"),
    }
}

fn benchmarks(criterion: &mut Criterion) {
    let world = Arc::new(World::new());
    let mut next = 0;
    let mut some_errand = || {
        next = (next + 7_919) % world.errands.len();
        &world.errands[next]
    };

    criterion.bench_function("look up, nothing purged since", |bencher| {
        bencher.iter(|| black_box(world.engine.look_up(some_errand())));
    });

    // Other threads that look up as well, as workers do.
    let stop = Arc::new(AtomicBool::new(false));
    let other = std::thread::spawn({
        let (world, stop) = (Arc::clone(&world), Arc::clone(&stop));
        move || {
            for errand in world.errands.iter().cycle() {
                black_box(world.engine.look_up(errand));
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        }
    });
    criterion.bench_function("look up, another thread too", |bencher| {
        bencher.iter(|| black_box(world.engine.look_up(some_errand())));
    });
    stop.store(true, Ordering::Relaxed);
    other.join().unwrap();

    let elsewhere =
        PurgeRequest { hard: vec![Tag::parse("price/item:none").unwrap()], soft: vec![] };
    criterion.bench_function("purge of one tag, then a look-up", |bencher| {
        bencher.iter(|| {
            world.engine.plane().purge(&elsewhere);
            black_box(world.engine.look_up(some_errand()))
        });
    });

    let response = world.response(1);
    criterion.bench_function("put", |bencher| {
        bencher.iter(|| world.engine.store.put(black_box(&response)));
    });
}

criterion_group!(store, benchmarks);
criterion_main!(store);
