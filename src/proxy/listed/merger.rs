//! Merging: what concurrent requests miss of the same kind goes out as one call.
//!
//! Of one kind is what differs in nothing but what is asked for: the same operation, parameters,
//! channel, language and partition. A call is open until it leaves, and whatever is missed meanwhile
//! joins it: while it lingers, which it does only where another call of its kind is under way, and
//! while the gate before the origin holds it back. A request alone of its kind never waits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::{ListedErrand, Party};
use crate::dependency::Id;
use crate::proxy::asking::Standing;
use crate::question::Unit;

/// Open calls, and how many of each kind are under way.
pub struct Merger {
    linger_micros: AtomicU64,
    kinds: Mutex<HashMap<u128, Kind>>,
    /// What is about to expire, by kind and by its key's digest, for calls that go anyway.
    riders: Mutex<HashMap<u128, HashMap<u128, Rider>>>,
}

/// Kinds of which riders are known; past it all are forgotten.
const MAX_KINDS: usize = 100;

/// Something that is about to expire.
#[derive(Clone)]
pub struct Rider {
    /// A list that named it.
    pub listed: Arc<ListedErrand>,
    /// What it is.
    pub unit: Unit,
}

#[derive(Default)]
struct Kind {
    under_way: usize,
    /// Who waits for the call that is open; empty where none is.
    waiting: Vec<Party>,
}

/// What whoever comes with something to ask is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Joined {
    /// Nothing: a call is open that takes it along.
    Open,
    /// Make the call, after this wait.
    Opened(Duration),
}

impl Merger {
    /// No calls; one lingers that long where another of its kind is under way.
    pub fn new(linger: Duration) -> Self {
        let merger = Self {
            linger_micros: AtomicU64::new(0),
            kinds: Mutex::default(),
            riders: Mutex::default(),
        };
        merger.set_linger(linger);
        merger
    }

    /// Has calls linger that long from now on.
    pub fn set_linger(&self, linger: Duration) {
        let micros = u64::try_from(linger.as_micros()).unwrap_or(u64::MAX);
        self.linger_micros.store(micros, Ordering::Relaxed);
    }

    /// Forgets what may go along: it is to be asked for by rules that are no longer in force.
    pub fn forget_riders(&self) {
        self.riders.lock().clear();
    }

    /// Adds a party to the open call of its kind, or opens one.
    pub fn join(&self, kind: u128, party: Party) -> Joined {
        let mut kinds = self.kinds.lock();
        let kind = kinds.entry(kind).or_default();
        let is_open = !kind.waiting.is_empty();
        kind.waiting.push(party);
        match (is_open, kind.under_way) {
            (true, _) => Joined::Open,
            (false, 0) => Joined::Opened(Duration::ZERO),
            (false, _) => {
                let micros = self.linger_micros.load(Ordering::Relaxed);
                Joined::Opened(Duration::from_micros(micros))
            }
        }
    }

    /// Notes what the next call of its kind may take along, by whoever comes while nobody else does:
    /// a hit waits for nothing here.
    pub fn note(
        &self,
        kind: u128,
        max_ids: usize,
        riders: impl Iterator<Item = (u128, impl FnOnce() -> Rider)>,
    ) {
        let Some(mut kinds) = self.riders.try_lock() else { return };
        if kinds.len() >= MAX_KINDS && !kinds.contains_key(&kind) {
            kinds.clear();
        }
        let known = kinds.entry(kind).or_default();
        for (key, rider) in riders {
            if known.len() < max_ids {
                known.entry(key).or_insert_with(rider);
            }
        }
    }

    /// Takes what is known to be about to expire, to go along.
    pub fn take_riders(&self, kind: u128) -> Vec<Rider> {
        self.riders.lock().remove(&kind).map(HashMap::into_values).into_iter().flatten().collect()
    }

    /// Those who leave with one call for at most `max_ids` things; and where others are left, for whom
    /// another call is to be made, who of them goes first.
    pub fn depart(&self, kind: u128, max_ids: usize) -> (Vec<Party>, Option<Standing>) {
        let mut kinds = self.kinds.lock();
        let Some(kind) = kinds.get_mut(&kind) else { return (Vec::new(), None) };
        kind.under_way += 1;
        let (leaving, staying) = divide(std::mem::take(&mut kind.waiting), max_ids);
        kind.waiting = staying;
        let others = kind.waiting.iter().map(|party| party.standing).min();
        (leaving, others)
    }

    /// Notes that a call which had left has ended.
    pub fn end(&self, kind: u128) {
        let mut kinds = self.kinds.lock();
        if let Some(held) = kinds.get_mut(&kind) {
            held.under_way = held.under_way.saturating_sub(1);
            if held.under_way == 0 && held.waiting.is_empty() {
                kinds.remove(&kind);
            }
        }
    }

    /// All who wait for a call that cannot leave.
    pub fn give_up(&self, kind: u128) -> Vec<Party> {
        let mut kinds = self.kinds.lock();
        let Some(held) = kinds.get_mut(&kind) else { return Vec::new() };
        let waiting = std::mem::take(&mut held.waiting);
        if held.under_way == 0 {
            kinds.remove(&kind);
        }
        waiting
    }
}

/// The first parties that have room in one call, and the others. What one party asks for in other
/// words than another (a product in one warehouse, and in another) is not asked for together: the
/// answer would not tell them apart.
fn divide(parties: Vec<Party>, max_ids: usize) -> (Vec<Party>, Vec<Party>) {
    let mut texts: HashMap<Id, Box<str>> = HashMap::new();
    let (mut leaving, mut staying) = (Vec::new(), Vec::new());
    for mut party in parties {
        let rest = party.split_off(|unit| {
            let has_room = texts.len() < max_ids;
            match texts.get(&unit.id) {
                Some(text) => *text == unit.text,
                None if has_room => {
                    texts.insert(unit.id.clone(), unit.text.clone());
                    true
                }
                None => false,
            }
        });
        leaving.extend(Some(party).filter(|party| !party.legs.is_empty()));
        staying.extend(rest);
    }
    (leaving, staying)
}

/// What is different among the units of several parties, in their order.
pub(in crate::proxy) fn different(parties: &[Party]) -> Vec<&Unit> {
    let mut seen = HashSet::new();
    let units = parties.iter().flat_map(|party| party.legs.iter().map(|leg| &leg.unit));
    units.filter(|unit| seen.insert(&unit.id)).collect()
}
