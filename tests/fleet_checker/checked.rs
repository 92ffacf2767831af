//! Three nodes under load, every read of which is checked.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use csu_edge::config::{Config, Redis};
use http::StatusCode;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::ledger::{Acknowledged, Ledger, Promise, Tally, Violation};
use crate::prices::{ITEMS, Prices, item_number, product};
use crate::support::fleet::{impatient, node};
use crate::support::node::{Running, post};
use crate::support::reads::price_of;
use crate::support::redis::until;

pub const NODES: usize = 3;

const READERS_PER_NODE: usize = 4;

/// Each has items of its own, so that what is newer is plain.
const WRITERS: usize = 2;

/// Pauses between a reader's reads: the servers and the nodes are on the same machine.
const BETWEEN_READS: Duration = Duration::from_millis(2);

/// The longest pause between a writer's events.
const BETWEEN_EVENTS: Duration = Duration::from_millis(60);

/// Until a sender brings an event again that was refused.
const BEFORE_AGAIN: Duration = Duration::from_millis(20);

/// How often each node is asked how far it is.
const BETWEEN_SAMPLES: Duration = Duration::from_millis(20);

/// Hits on each node that show that it answers from store again.
const ENOUGH_HITS: u64 = 20;

/// The fleet, its origin, and who reads and writes.
pub struct Checked {
    pub nodes: [Arc<Running>; NODES],
    pub ledger: Arc<Ledger>,
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    over: CancellationToken,
}

struct Shared {
    nodes: [Arc<Running>; NODES],
    ledger: Arc<Ledger>,
    prices: Prices,
    /// Which nodes senders can reach.
    takes_events: [AtomicBool; NODES],
    writes: [AtomicBool; WRITERS],
    /// Held by a writer from the change of a price until its event is acknowledged.
    writing: Arc<Semaphore>,
}

impl Checked {
    /// A fleet on one Redis, impatient.
    pub async fn on(promise: Promise, redis: &Redis) -> Self {
        Self::of(promise, [(); NODES].map(|()| impatient(redis.clone())), |_| ()).await
    }

    /// A fleet whose nodes reach Redis by ways of their own.
    pub async fn of(promise: Promise, redis: [Redis; NODES], change: impl Fn(&mut Config)) -> Self {
        let prices = Prices::start().await;
        let fence_after = redis[0].purge.fence_after;
        let service_root = prices.service_root();
        let mut nodes = Vec::new();
        for (name, redis) in ('a'..).zip(redis) {
            let redis = Redis { node: Some(name.to_string()), ..redis };
            let node = node(&service_root, redis, |config| {
                config.listen.workers = 1;
                change(config);
            });
            nodes.push(Arc::new(node.await));
        }
        let nodes: [_; NODES] = nodes.try_into().unwrap_or_else(|_| panic!("one for each Redis"));
        let ledger = Arc::new(Ledger::new(promise, fence_after, NODES));
        let shared = Arc::new(Shared {
            nodes: nodes.clone(),
            ledger: Arc::clone(&ledger),
            prices,
            takes_events: [const { AtomicBool::new(true) }; NODES],
            writes: [const { AtomicBool::new(true) }; WRITERS],
            writing: Arc::new(Semaphore::new(WRITERS)),
        });
        let mut checked =
            Self { nodes, ledger, shared, tasks: JoinSet::new(), over: CancellationToken::new() };
        checked.begin();
        checked.events(10).await;
        checked
    }

    fn begin(&mut self) {
        for node in 0..NODES {
            for _ in 0..READERS_PER_NODE {
                self.spawn(move |shared| async move { shared.read(node).await });
            }
            self.spawn(move |shared| async move { shared.sample(node).await });
        }
        for writer in 0..WRITERS {
            self.spawn(move |shared| async move { shared.write(writer).await });
        }
    }

    /// Does something over and over, until all is over.
    fn spawn<F>(&mut self, step: impl Fn(Arc<Shared>) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (shared, over) = (Arc::clone(&self.shared), self.over.clone());
        self.tasks.spawn(async move {
            while !over.is_cancelled() {
                step(Arc::clone(&shared)).await;
            }
        });
    }

    /// Notes what is done to the fleet.
    pub fn tell(&self, what: impl Into<String>) {
        self.ledger.tell(what);
    }

    /// Lets the load go on for a while, or until something is wrong.
    pub async fn goes_on(&self, span: Duration) {
        let end = Instant::now() + span;
        while Instant::now() < end && self.ledger.violation().is_none() {
            tokio::time::sleep(Duration::from_millis(10).min(span)).await;
        }
    }

    /// Waits until so many more events are acknowledged.
    pub async fn events(&self, more: u64) {
        let before = self.ledger.tally().events;
        self.until("events are acknowledged", async || {
            (self.ledger.tally().events >= before + more).then_some(())
        })
        .await;
    }

    /// Waits for that, or until something is wrong.
    pub async fn until(&self, what: &str, mut ask: impl AsyncFnMut() -> Option<()>) {
        until(what, async || match self.ledger.violation() {
            Some(_) => Some(()),
            None => ask().await,
        })
        .await;
    }

    /// From now on senders reach these nodes alone.
    pub fn senders_reach(&self, nodes: &[usize]) {
        for (node, takes_events) in self.shared.takes_events.iter().enumerate() {
            takes_events.store(nodes.contains(&node), Ordering::SeqCst);
        }
    }

    /// From now on these writers alone change prices, each of its own items.
    pub fn only_write(&self, writers: &[usize]) {
        for (writer, writes) in self.shared.writes.iter().enumerate() {
            writes.store(writers.contains(&writer), Ordering::SeqCst);
        }
    }

    /// Nothing is changed while this is held, and all that was is acknowledged.
    pub async fn stillness(&self) -> OwnedSemaphorePermit {
        let all = u32::try_from(WRITERS).unwrap();
        Arc::clone(&self.shared.writing).acquire_many_owned(all).await.unwrap()
    }

    pub async fn is_fenced(&self, node: usize) -> bool {
        self.nodes[node].metric("csu_edge_purge_fenced").await != 0.0
    }

    /// Waits until a node no longer vouches for what it knows.
    pub async fn fenced(&self, node: usize) {
        self.until("the fence falls", async || self.is_fenced(node).await.then_some(())).await;
    }

    /// Waits until every node takes events again, vouches for what it knows, and answers from store.
    pub async fn recovers(&self) {
        self.recover_soon(ENOUGH_HITS).await;
        self.events(10).await;
        self.tell("all have recovered");
    }

    /// The same, shown by fewer hits.
    pub async fn recover_soon(&self, enough_hits: u64) {
        self.tell("all is well again");
        self.senders_reach(&[0, 1, 2]);
        for node in 0..NODES {
            self.until("the fence is up again", async || {
                (!self.is_fenced(node).await).then_some(())
            })
            .await;
            let before = self.hits(node).await;
            self.until("it answers from store again", async || {
                (self.hits(node).await >= before + enough_hits).then_some(())
            })
            .await;
        }
    }

    async fn hits(&self, node: usize) -> u64 {
        let node = &self.nodes[node];
        let counts = ["hit", "hit-redis"]
            .map(async |result| node.answered("Products/GetActivePrices", result).await as u64);
        futures_util::future::join_all(counts).await.into_iter().sum()
    }

    /// Goes on until enough reads are checked, and ends.
    pub async fn finish(self, name: &str, reads: u64, hits: u64) -> Tally {
        self.until("enough reads", async || {
            let tally = self.ledger.tally();
            (tally.reads >= reads && tally.hits() >= hits).then_some(())
        })
        .await;
        let (tally, violation) = self.end().await;
        println!("{name}: {tally}");
        if let Some(violation) = violation {
            panic!("{name}: {violation}");
        }
        tally
    }

    /// Ends.
    pub async fn end(mut self) -> (Tally, Option<Violation>) {
        self.over.cancel();
        // A writer waits for as long as nobody takes its event.
        let soon = tokio::time::Instant::now() + Duration::from_secs(5);
        while let Ok(Some(ended)) = tokio::time::timeout_at(soon, self.tasks.join_next()).await {
            ended.unwrap();
        }
        (self.ledger.tally(), self.ledger.violation())
    }
}

impl Shared {
    async fn read(&self, node: usize) {
        let item = rand::random_range(0..ITEMS);
        let asked = self.ledger.ask(node, item);
        let got = self.nodes[node].send(price_of(product(item))).await;
        self.ledger.judge(asked, &got);
        tokio::time::sleep(BETWEEN_READS).await;
    }

    async fn sample(&self, node: usize) {
        let applied = self.nodes[node].metric("csu_edge_purge_applied_sequence").await;
        self.ledger.applied(node, applied as u64);
        tokio::time::sleep(BETWEEN_SAMPLES).await;
    }

    /// Changes a price, and brings the event until it is acknowledged, as a sender does.
    async fn write(&self, writer: usize) {
        tokio::time::sleep(BETWEEN_EVENTS.mul_f64(rand::random())).await;
        let _writing = self.writing.acquire().await.unwrap();
        if !self.writes[writer].load(Ordering::SeqCst) {
            return;
        }
        let item = rand::random_range(0..ITEMS / WRITERS) * WRITERS + writer;
        let version = self.prices.raise(item);
        loop {
            let node = rand::random_range(0..NODES);
            if self.takes_events[node].load(Ordering::SeqCst) {
                let Some(sequence) = self.push(node, item).await else {
                    self.ledger.refuse();
                    tokio::time::sleep(BEFORE_AGAIN).await;
                    continue;
                };
                let at = Instant::now();
                return self.ledger.acknowledge(item, Acknowledged { version, node, sequence, at });
            }
            tokio::task::yield_now().await;
        }
    }

    /// The number of the purge, if the node acknowledged it.
    async fn push(&self, node: usize, item: usize) -> Option<u64> {
        let event = json!({"class": "price", "items": [item_number(item)]});
        let node = &self.nodes[node];
        let ingest = node.node.addresses().ingest;
        let got = node.send_to(ingest, post("/ingest/cdx", &event.to_string())).await;
        match got.status {
            StatusCode::OK => got.json()["sequence"].as_u64(),
            StatusCode::SERVICE_UNAVAILABLE => None,
            _ => panic!("{got:?}"),
        }
    }
}
