//! A Retail Server that allows 20 requests a second, and storefronts that want 200 answers from it.

use std::collections::BTreeMap;
use std::time::Duration;

use csu_edge::clock::Clock;
use csu_edge::config::{Budget, OperationRule};
use csu_edge::sandbox::{Sandbox, Settings};

use crate::common::figures::{Figures, Targets, millis};
use crate::common::load::{Load, Reply, Shot};
use crate::door::Door;
use crate::question::{by_id, prices, product};
use crate::support::node::Running;

const LATENCY: Duration = Duration::from_millis(100);
/// Requests a second that the origin allows.
const ALLOWED: u32 = 20;
const SECOND: Duration = Duration::from_secs(1);

/// Reads a second that the store answers.
const HITS: u32 = 1_800;
/// Reads a second that it does not.
const MISSES: u32 = 200;
const SPAN: Duration = Duration::from_secs(30);
const SPAN_WITHOUT: Duration = Duration::from_secs(15);

/// Products whose prices are asked for.
const PRICED: usize = 500;
/// Products whose answers are stale a second after they came, and may serve for an hour if need be.
const STALE: usize = 200;
/// The first product that nobody has asked for.
const UNKNOWN: usize = 1_000;
/// What the node may ask for while it is filled.
const FILL_RATE: u32 = 15;

/// A node before an origin.
struct Shop {
    door: Door,
    node: Running,
    /// The first product that nobody has asked it for.
    next: usize,
    _sandbox: Sandbox,
}

/// What became of a read that is no hit.
struct Told {
    /// Whether the node had an answer that may serve.
    had_stale: bool,
    status: u16,
    retry_after: String,
    detail: Option<String>,
}

impl Shop {
    async fn open(is_limited: bool) -> Self {
        let settings = Settings {
            latency: LATENCY,
            products: 100_000,
            requests_per_second: is_limited.then_some(ALLOWED),
            ..Settings::default()
        };
        let sandbox = Sandbox::start(settings, Clock::system()).await.unwrap();
        let door = Door::before(sandbox.address()).await;
        let node = Running::start_by(Clock::system(), &door.service_root(), |config| {
            let burst = Budget::usual_burst(ALLOWED);
            let budget = Budget { requests: ALLOWED, per: SECOND, burst };
            config.origin.gate.budget = is_limited.then_some(budget);
            config.operations = vec![OperationRule {
                name: "Products/GetById".to_owned(),
                fresh_for: Some(SECOND),
                stale_while_revalidate: Some(Duration::ZERO),
                stale_if_error: Some(Duration::from_secs(3_600)),
                ..Default::default()
            }];
        })
        .await;
        let shop = Self { door, node, next: UNKNOWN, _sandbox: sandbox };
        shop.fill().await;
        shop
    }

    async fn fill(&self) {
        let to = self.node.node.addresses().storefront;
        let page = |at: usize| {
            let products: Vec<i64> = (at * 100..(at + 1) * 100).map(product).collect();
            prices(&products, Clock::system().now())
        };
        let is_there = |_, reply: &Reply| assert_eq!(reply.status(), 200, "{}", reply.head);
        let fill = Load { rate: FILL_RATE, requests: PRICED / 100, connections: 1 };
        fill.run(to, page, is_there).await;
        let fill = Load { rate: FILL_RATE, requests: STALE, connections: 4 };
        fill.run(to, |at| by_id(product(at)), is_there).await;
    }

    async fn hits(&self, span: Duration) -> Vec<Shot<()>> {
        let load = Load::lasting(HITS, span);
        load.run(
            self.node.node.addresses().storefront,
            |at| prices(&[product(at * 7 % PRICED)], Clock::system().now()),
            |_, reply| assert!(reply.is_hit(), "{}", reply.head),
        )
        .await
    }

    /// Reads that want the origin: half of them of what is stale, half of what was never asked for.
    async fn misses(&self, span: Duration) -> Vec<Shot<Told>> {
        let requests = (f64::from(MISSES) * span.as_secs_f64()) as usize;
        // Enough for all that wait for their turn.
        let load = Load { rate: MISSES, requests, connections: 256 };
        let (first, had_stale) = (self.next, |at: usize| at.is_multiple_of(2));
        load.run(
            self.node.node.addresses().storefront,
            move |at| match had_stale(at) {
                true => by_id(product(at / 2 % STALE)),
                false => by_id(product(first + at)),
            },
            move |at, reply| Told {
                had_stale: had_stale(at),
                status: reply.status(),
                retry_after: reply.field("retry-after").to_owned(),
                detail: (reply.cache_status().split("detail=").nth(1)).map(str::to_owned),
            },
        )
        .await
    }

    async fn load(&mut self, span: Duration) -> (Vec<Shot<()>>, Vec<Shot<Told>>) {
        let both = tokio::join!(self.hits(span), self.misses(span));
        self.next += both.1.len();
        both
    }
}

/// How often each came.
fn told<T: Ord + std::fmt::Display>(things: impl Iterator<Item = T>) -> String {
    let mut counts = BTreeMap::new();
    things.for_each(|thing| *counts.entry(thing).or_insert(0) += 1);
    let told = counts.iter().map(|(thing, count)| format!("{thing} × {count}"));
    told.collect::<Vec<_>>().join(", ")
}

fn report(what: &str, misses: &[&Shot<Told>]) {
    let with = |shot: &Shot<Told>| match &shot.told.detail {
        Some(detail) => format!("{} ({detail})", shot.told.status),
        None => shot.told.status.to_string(),
    };
    println!("  {what}: {}", told(misses.iter().map(|shot| with(shot))));
    let shut = misses.iter().filter(|shot| shot.told.status == 503);
    let retry_after = told(shut.map(|shot| format!("{} s", shot.told.retry_after)));
    if !retry_after.is_empty() {
        println!("    Retry-After of the 503s: {retry_after}");
    }
    let times: Figures = misses.iter().map(|shot| shot.took).collect();
    println!("    {times}");
}

pub(crate) async fn measure(targets: &mut Targets) {
    println!(
        "{HITS} hits and {MISSES} misses a second; the origin takes {LATENCY:?} and allows {ALLOWED} \
         requests a second"
    );
    let mut without = Shop::open(false).await;
    let mut with = Shop::open(true).await;
    let (before, _) = without.load(SPAN_WITHOUT).await;
    let (hits, misses) = with.load(SPAN).await;
    let (after, _) = without.load(SPAN_WITHOUT).await;

    let free: Figures = before.iter().chain(&after).map(|hit| hit.took).collect();
    let limited: Figures = hits.iter().map(|hit| hit.took).collect();
    println!("  hits, no limit: {free}");
    println!("  hits, limited: {limited}");
    let (stale, unknown): (Vec<_>, Vec<_>) = misses.iter().partition(|shot| shot.told.had_stale);
    report("reads with a stale answer at hand", &stale);
    report("reads without", &unknown);
    let (came, most) = with.door.most_within(SECOND);
    let refused = with.door.refused();
    println!(
        "  requests at the origin: {came} in all, at most {most} in a second, {refused} refused"
    );

    targets.at_most("most at the origin in a second:", most as f64, f64::from(ALLOWED), "requests");
    let failed = stale.iter().filter(|shot| shot.told.status != 200).count();
    targets.at_most("failed with a stale answer at hand:", failed as f64, 0.0, "reads");
    let throttled = misses.iter().filter(|shot| shot.told.status == 429).count();
    targets.at_most("reached a client:", throttled as f64, 0.0, "429s");
    let is_unnamed =
        |shot: &&Shot<Told>| shot.told.status == 503 && shot.told.retry_after.is_empty();
    let unnamed = misses.iter().filter(is_unnamed).count();
    targets.at_most("without Retry-After:", unnamed as f64, 0.0, "503s");
    let ratio = millis(limited.at(0.99)) / millis(free.at(0.99));
    targets.at_most("p99 of hits, limited over not,", ratio, 1.5, "times");
}
