//! What was acknowledged, what was read, and what a read may say.
//!
//! | rule | of a read | that was sent later than | is not older than |
//! |---|---|---|---|
//! | [`Rule::Here`] | on the node that acknowledged | the 200 | what was acknowledged |
//! | [`Rule::Applied`] | on a node that has applied the purge | it was seen to have | the same |
//! | [`Rule::Fence`] | on any node, whatever has failed | the 200 and `fence_after` | the same |
//! | [`Rule::Forward`] | on any node | an answer of that node | that answer |
//! | [`Rule::Answered`] | on any node | | is no error: the origin is well |
//!
//! Numbers of different lineages cannot be compared, and a node that enters one may find there what
//! another fetched before it. So [`Rule::Applied`] and [`Rule::Forward`] are for histories in which
//! Redis loses nothing ([`Promise::Whole`]).
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::prices::ITEMS;
use crate::support::node::Got;

/// Which rules a history is under.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promise {
    /// All: Redis loses nothing.
    Whole,
    /// Those that hold whatever is lost.
    Strict,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    Here,
    Applied,
    Fence,
    Forward,
    Answered,
}

/// An event that was answered with 200.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged {
    pub version: u64,
    pub node: usize,
    pub sequence: u64,
    /// When the answer had come.
    pub at: Instant,
}

/// A read that is about to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub node: usize,
    pub item: usize,
    pub at: Instant,
    /// The oldest version that each rule allows.
    floors: [(Rule, u64); 4],
}

/// What must not have been.
#[derive(Clone, Debug)]
pub struct Violation {
    pub rule: Rule,
    story: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.story)
    }
}

#[derive(Default)]
struct Item {
    acknowledged: Mutex<Vec<Acknowledged>>,
    /// The newest version that each node has acknowledged, and that it has answered.
    here: Vec<AtomicU64>,
    answered: Vec<AtomicU64>,
}

/// How many reads there were, and of what kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    pub reads: u64,
    pub memory: u64,
    pub redis: u64,
    pub fenced: u64,
    pub events: u64,
    pub refused: u64,
    /// For how long after a 200 an older version was served.
    pub lag: Duration,
}

impl Tally {
    pub const fn hits(&self) -> u64 {
        self.memory + self.redis
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reads, memory, redis, fenced, events, refused, lag } = self;
        write!(
            f,
            "{reads} reads checked ({memory} hits in memory, {redis} in Redis, {fenced} behind the \
             fence), {events} events acknowledged, {refused} refused, older for at most {lag:?}"
        )
    }
}

pub struct Ledger {
    started: Instant,
    promise: Promise,
    fence_after: Duration,
    items: [Item; ITEMS],
    /// The number that each node was last seen to have applied.
    applied: Vec<AtomicU64>,
    told: Mutex<Vec<(Instant, String)>>,
    tally: Mutex<Tally>,
    violation: Mutex<Option<Violation>>,
}

impl Ledger {
    pub fn new(promise: Promise, fence_after: Duration, nodes: usize) -> Self {
        let zeros = || (0..nodes).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
        let items = [(); ITEMS].map(|()| Item {
            acknowledged: Mutex::default(),
            here: zeros(),
            answered: zeros(),
        });
        Self {
            started: Instant::now(),
            promise,
            fence_after,
            items,
            applied: zeros(),
            told: Mutex::default(),
            tally: Mutex::default(),
            violation: Mutex::default(),
        }
    }

    /// Notes what happens, to be told with a violation.
    pub fn tell(&self, what: impl Into<String>) {
        self.told.lock().unwrap().push((Instant::now(), what.into()));
    }

    pub fn acknowledge(&self, item: usize, acknowledged: Acknowledged) {
        let Acknowledged { version, node, .. } = acknowledged;
        self.items[item].acknowledged.lock().unwrap().push(acknowledged);
        self.items[item].here[node].fetch_max(version, Ordering::SeqCst);
        self.tally.lock().unwrap().events += 1;
    }

    pub fn refuse(&self) {
        self.tally.lock().unwrap().refused += 1;
    }

    /// Notes that a node had applied the purges up to this number.
    pub fn applied(&self, node: usize, sequence: u64) {
        self.applied[node].store(sequence, Ordering::SeqCst);
    }

    /// What a read must be told that is sent from now on.
    pub fn ask(&self, node: usize, item: usize) -> Asked {
        let Item { acknowledged, here, answered } = &self.items[item];
        let mut floors = [
            (Rule::Here, here[node].load(Ordering::SeqCst)),
            (Rule::Applied, 0),
            (Rule::Fence, 0),
            (Rule::Forward, 0),
        ];
        let applied = self.applied[node].load(Ordering::SeqCst);
        if self.promise == Promise::Whole {
            floors[3].1 = answered[node].load(Ordering::SeqCst);
        }
        let acknowledged = acknowledged.lock().unwrap();
        let newest = |known: &dyn Fn(&Acknowledged) -> bool| {
            acknowledged.iter().rev().find(|event| known(event)).map_or(0, |event| event.version)
        };
        if self.promise == Promise::Whole && applied > 0 {
            floors[1].1 = newest(&|event| event.sequence <= applied);
        }
        let at = Instant::now();
        floors[2].1 = newest(&|event| event.at + self.fence_after < at);
        Asked { node, item, at, floors }
    }

    /// Judges the answer.
    pub fn judge(&self, asked: Asked, got: &Got) {
        if got.status.is_server_error() {
            self.violate(Rule::Answered, asked, got, 0, 0);
            return;
        }
        assert_eq!(got.status, http::StatusCode::OK, "{}", got.text());
        let version = got.price() as u64;
        let item = &self.items[asked.item];
        item.answered[asked.node].fetch_max(version, Ordering::SeqCst);
        if let Some(&(rule, floor)) = asked.floors.iter().find(|(_, floor)| version < *floor) {
            self.violate(rule, asked, got, version, floor);
        }
        let missed = item.acknowledged.lock().unwrap().iter().rev().fold(None, |missed, event| {
            if event.version > version && event.at < asked.at { Some(event.at) } else { missed }
        });
        let mut tally = self.tally.lock().unwrap();
        tally.reads += 1;
        match got.is_hit() {
            true if got.cache_status().contains("detail=redis") => tally.redis += 1,
            true => tally.memory += 1,
            false => tally.fenced += u64::from(got.cache_status().contains("detail=fenced")),
        }
        if let Some(at) = missed {
            tally.lag = tally.lag.max(asked.at - at);
        }
    }

    pub fn tally(&self) -> Tally {
        *self.tally.lock().unwrap()
    }

    /// The first, if there was any.
    pub fn violation(&self) -> Option<Violation> {
        self.violation.lock().unwrap().clone()
    }

    fn violate(&self, rule: Rule, asked: Asked, got: &Got, version: u64, floor: u64) {
        let mut violation = self.violation.lock().unwrap();
        if violation.is_some() {
            return;
        }
        let since_start = |at: Instant| format!("{:.3?}", at - self.started);
        let mut story = format!(
            "{rule:?}: node {} answered version {version} of item {}, not older than {floor} allowed\n\
             sent at {}, answered at {} with {} {:?}\n",
            asked.node,
            asked.item,
            since_start(asked.at),
            since_start(Instant::now()),
            got.status,
            got.cache_status(),
        );
        if got.status.is_server_error() {
            story += &format!("  {}\n", got.text());
        }
        for event in self.items[asked.item].acknowledged.lock().unwrap().iter() {
            if event.version >= version.saturating_sub(1) {
                story += &format!(
                    "  version {} acknowledged at {} by node {} as number {}\n",
                    event.version,
                    since_start(event.at),
                    event.node,
                    event.sequence
                );
            }
        }
        let told = self.told.lock().unwrap();
        for (at, what) in told.iter().skip(told.len().saturating_sub(12)) {
            story += &format!("  at {}: {what}\n", since_start(*at));
        }
        *violation = Some(Violation { rule, story });
    }
}
