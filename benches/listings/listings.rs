//! What the origin is asked while shoppers look through listings and prices change.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use csu_edge::config::Refresh;
use csu_edge::config::{Config, OperationRule};
use csu_edge::sandbox::{Pushed, Settings};
use parking_lot::RwLock;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::common::figures::{Figures, Targets};
use crate::common::load::{Load, Reply, Shot};
use crate::market::{GOES_ON, LISTINGS, Market, PAGE, PAGES, PRODUCTS, SEED, shuffle};
use crate::pace::Pace;
use crate::question::{prices, product};
use crate::support::node::{post, with};
use crate::support::shop::{FIRST, Shop, TOKEN};

const OPERATION: &str = "Products/GetActivePrices";
const LATENCY: Duration = Duration::from_millis(100);
/// Page views a second.
const RATE: u32 = 1_000;
/// Enough for all that wait for the origin at once where nothing is cached.
const CONNECTIONS: usize = 160;
/// Events a minute, each of one product.
const EVENTS: usize = PRODUCTS * 5 / 100;

/// Prices live for five minutes. While a node warms up, as much passes for it, and each price is
/// purged once, one after the other: so then some of what it holds is young and some about to
/// expire, as on a node that has run for long.
const WARM_UP: Duration = Duration::from_secs(20);
const WARM_UP_PACE: u32 = 15;
/// A client's patience is the machine's time, which meanwhile is short for the node.
const MAX_WAIT: Duration = Duration::from_secs(WARM_UP_PACE as u64);
/// Purged at once meanwhile.
const SWEPT: usize = 20;
const SETTLE: Duration = Duration::from_secs(20);
const SPAN: Duration = Duration::from_secs(40);
const SPAN_UNCACHED: Duration = Duration::from_secs(10);

/// Above every price that the stand-in begins with: which event set it can be told from a price.
const EVENT_PRICE: u64 = 100_000;

/// Views in a span.
const fn views(span: Duration) -> usize {
    RATE as usize * span.as_secs() as usize
}

/// A way to keep prices.
struct Way {
    name: &'static str,
    is_cached: bool,
    change: fn(&mut OperationRule, &mut Config),
}

const WAYS: [Way; 5] = [
    Way { name: "a: no cache", is_cached: false, change: |rule, _| rule.cache = Some(false) },
    Way {
        name: "b: whole answers",
        is_cached: true,
        change: |rule, _| rule.decompose.enabled = Some(false),
    },
    Way {
        name: "c: by product, merge_linger 0",
        is_cached: true,
        change: |_, config| config.origin.merge_linger = Duration::ZERO,
    },
    Way { name: "d: by product, the default", is_cached: true, change: |_, _| () },
    Way {
        name: "e: by product, merge_linger 50 ms",
        is_cached: true,
        change: |_, config| config.origin.merge_linger = Duration::from_millis(50),
    },
];

/// The events that were acknowledged.
#[derive(Default)]
struct Events {
    acknowledged: AtomicU64,
    /// Of each product, the numbers of its events.
    of: RwLock<HashMap<usize, Vec<u64>>>,
}

impl Events {
    /// Changes prices, evenly spread over the shop's minutes and over all products, until it is
    /// dropped.
    async fn happen(&self, shop: &Shop, pace: &Pace) {
        let mut random = StdRng::seed_from_u64(SEED);
        let mut due = pace.clock.now();
        let mut next = 1;
        loop {
            due = due + Duration::from_secs(60) / EVENTS as u32;
            pace.clock.sleep_until(due).await;
            let position = random.random_range(0..PRODUCTS);
            let price = (EVENT_PRICE + next) as f64;
            let pushed = shop.sandbox.set_price(product(position), price, None).await.unwrap();
            assert_eq!(pushed, Pushed::Acknowledged);
            self.of.write().entry(position).or_default().push(next);
            self.acknowledged.store(next, Ordering::SeqCst);
            next += 1;
        }
    }

    /// How many prices in an answer are older than an event that was acknowledged before it was asked
    /// for, when `before` was the last one.
    fn older(&self, body: &[u8], before: u64) -> usize {
        let text = std::str::from_utf8(body).unwrap();
        let of = self.of.read();
        let items = text.split("{\"ProductId\":").skip(1);
        let is_older = |item: &&str| {
            let number = |text: &str| {
                let end = text.find([',', '.', '}']).unwrap();
                text[..end].parse::<u64>().unwrap()
            };
            let position = usize::try_from(number(item) - FIRST as u64).unwrap();
            let Some(events) = of.get(&position) else { return false };
            let last = events[..events.partition_point(|event| *event <= before)].last();
            let (_, price) = item.split_once("\"AdjustedPrice\":").unwrap();
            last.is_some_and(|last| number(price) < EVENT_PRICE + last)
        };
        items.filter(is_older).count()
    }
}

/// What a client makes of an answer.
struct View {
    is_hit: bool,
    shown: usize,
    older: usize,
    /// There is no answer.
    is_refused: bool,
}

/// A node's counters.
struct Counts {
    ids: f64,
    pieces: f64,
    stored_pieces: f64,
}

impl Counts {
    async fn of(shop: &Shop) -> Self {
        let text = shop.node.control("/metrics").await.text();
        let sum = |name: &str, results: &[&str]| -> f64 {
            let lines = text.lines().filter(|line| {
                let is_result = |result| line.contains(&format!("result=\"{result}\""));
                line.starts_with(&format!("csu_edge_{name}{{"))
                    && line.contains(OPERATION)
                    && (results.is_empty() || results.iter().any(is_result))
            });
            lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
        };
        Self {
            ids: sum("origin_ids_total", &[]),
            pieces: sum("pieces_total", &[]),
            stored_pieces: sum("pieces_total", &["hit", "stale"]),
        }
    }
}

/// One run.
struct Run {
    shop: Shop,
    pace: Pace,
    market: Arc<Market>,
    events: Arc<Events>,
}

impl Run {
    async fn start(way: &Way, market: &Arc<Market>) -> Self {
        let pace = Pace::start();
        let settings = Settings { latency: LATENCY, products: PRODUCTS, ..Settings::default() };
        let shop = Shop::with(settings, pace.clock.clone(), |config| {
            let mut rule = OperationRule { name: OPERATION.to_owned(), ..Default::default() };
            // As shipped, whatever else the tests leave out.
            config.refresh = Refresh::default();
            (way.change)(&mut rule, config);
            config.operations = vec![rule];
            config.origin.gate.max_wait = MAX_WAIT;
        })
        .await;
        Self { shop, pace, market: Arc::clone(market), events: Arc::default() }
    }

    /// Views from the one with that number on.
    async fn look(&self, first: usize, span: Duration) -> Vec<Shot<View>> {
        let load = Load { rate: RATE, requests: views(span), connections: CONNECTIONS };
        let asked_after: Arc<[AtomicU64]> = (0..load.requests).map(|_| AtomicU64::new(0)).collect();
        let (market, clock) = (Arc::clone(&self.market), self.pace.clock.clone());
        let (events, noted) = (Arc::clone(&self.events), Arc::clone(&asked_after));
        let request = move |at: usize| {
            let ids = market.ids(first + at);
            noted[at].store(events.acknowledged.load(Ordering::SeqCst), Ordering::Relaxed);
            prices(&ids, clock.now())
        };
        let events = Arc::clone(&self.events);
        let read = move |at: usize, reply: &Reply| {
            if reply.status() != 200 {
                return View { is_hit: false, shown: 0, older: 0, is_refused: true };
            }
            let before = asked_after[at].load(Ordering::Relaxed);
            let shown = reply.body.windows(12).filter(|text| text == b"\"ProductId\":").count();
            let older = events.older(&reply.body, before);
            View { is_hit: reply.is_hit(), shown, older, is_refused: false }
        };
        load.run(self.shop.node.node.addresses().storefront, request, read).await
    }

    /// Purges every price once, evenly over the warm-up.
    async fn sweep(&self) {
        let mut order: Vec<usize> = (0..PRODUCTS).collect();
        shuffle(&mut order, &mut StdRng::seed_from_u64(SEED));
        let bearer = format!("Bearer {TOKEN}");
        let mut ticks = tokio::time::interval(WARM_UP * SWEPT as u32 / PRODUCTS as u32);
        for products in order.chunks(SWEPT) {
            ticks.tick().await;
            let tags = products.iter().map(|&at| format!("price/product:{}", product(at)));
            let event = json!({ "tags": tags.collect::<Vec<_>>() }).to_string();
            let event = with(post("/ingest/cdx", &event), "authorization", &bearer);
            let got = self.shop.node.send_to(self.shop.node.node.addresses().ingest, event).await;
            assert_eq!(got.status, 200, "{}", got.text());
        }
    }

    /// Warms the node up and measures it. Tells how many calls there were for 1,000 reads.
    async fn measure(&self, way: &Way) -> f64 {
        let (events, shop, pace) = (&self.events, &self.shop, &self.pace);
        let looking = async {
            let mut first = 0;
            if way.is_cached {
                pace.set(WARM_UP_PACE);
                tokio::join!(self.look(0, WARM_UP), self.sweep());
                pace.set(1);
                first = views(WARM_UP);
                self.look(first, SETTLE).await;
            }
            // Every way is measured by the same views.
            first = first.max(views(WARM_UP)) + views(SETTLE);
            shop.sandbox.reset_stats();
            let happened = events.acknowledged.load(Ordering::SeqCst);
            let before = Counts::of(shop).await;
            let span = if way.is_cached { SPAN } else { SPAN_UNCACHED };
            let seen = self.look(first, span).await;
            let calls = shop.sandbox.requests(OPERATION);
            let happened = events.acknowledged.load(Ordering::SeqCst) - happened;
            let after = Counts::of(shop).await;
            assert_eq!(pace.times(), 1, "measured at the machine's own pace");
            report(way, &seen, calls, happened, &before, &after)
        };
        tokio::select! {
            calls = looking => calls,
            () = events.happen(shop, pace) => unreachable!("events do not end"),
        }
    }
}

fn report(
    way: &Way,
    seen: &[Shot<View>],
    calls: u64,
    happened: u64,
    before: &Counts,
    after: &Counts,
) -> f64 {
    let reads: usize = seen.iter().map(|view| view.told.shown).sum();
    let per_thousand = |count: f64| count * 1e3 / reads as f64;
    let hits = seen.iter().filter(|view| view.told.is_hit).count();
    let older: usize = seen.iter().map(|view| view.told.older).sum();
    let pieces = after.pieces - before.pieces;
    // What is asked for whole names all of a page.
    let ids = if pieces > 0.0 { after.ids - before.ids } else { (calls * PAGE as u64) as f64 };
    println!("{}: {reads} reads in {} views, {happened} events", way.name, seen.len());
    println!(
        "  origin, for 1,000 reads: {:.3} calls, {:.3} ids ({calls} calls, {ids} ids)",
        per_thousand(calls as f64),
        per_thousand(ids),
    );
    println!("  hits by request: {:.2} %", hits as f64 * 100.0 / seen.len() as f64);
    if pieces > 0.0 {
        let stored = after.stored_pieces - before.stored_pieces;
        println!("  hits by product: {:.3} %", stored * 100.0 / pieces);
    }
    let times: Figures = seen.iter().map(|view| view.took).collect();
    println!("  seen by the client: {times}");
    println!("  prices older than an event acknowledged before: {older}");
    let refused = seen.iter().filter(|view| view.told.is_refused).count();
    assert_eq!(refused, 0, "a view without its prices");
    assert_eq!(older, 0, "a price is older than its event");
    per_thousand(calls as f64)
}

pub(crate) async fn measure(targets: &mut Targets) {
    let all = views(WARM_UP) + views(SETTLE) + views(SPAN);
    let market = Arc::new(Market::open(all));
    println!(
        "seed {SEED}; {PRODUCTS} products, {} of them in {LISTINGS} listings of {PAGES} pages of \
         {PAGE}; the next page is looked at with {GOES_ON}; {RATE} views a second on {CONNECTIONS} \
         connections; {EVENTS} events a minute; the origin takes {LATENCY:?}",
        market.listed(),
    );
    println!(
        "a tenth of the products is {:.1} % of what is read",
        market.share_of_a_tenth(all - views(SPAN)..all) * 100.0
    );
    let mut calls = Vec::new();
    for way in &WAYS {
        let run = Run::start(way, &market).await;
        calls.push(run.measure(way).await);
    }
    let [uncached, whole, _, apart, lingering] = calls[..] else { unreachable!("five ways") };
    println!("calls of (d) over (a): {:.4}", apart / uncached);
    println!("calls of (e) over (b): {:.3}", lingering / whole);
    targets.at_most("calls of (d), over those of (b),", apart / whole, 0.1, "times");
}
