//! Which stored answers are asked for most: those worth fetching at once when they are purged.
//!
//! The hits of one request in sixteen are counted, by whoever comes to the table while nobody else is
//! at it: a hit waits for nothing here. Where the table is full, all counts are halved and what has
//! none left goes, so that what was hot yesterday makes room.
//!
//! An entry knows the stored answer that was hit last, without keeping it: whether that was purged is
//! then a comparison, and thousands of them are looked through in milliseconds.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::errand::Errand;
use super::listed::ListedErrand;
use crate::question::Unit;
use crate::stored_response::StoredResponse;

/// One request in so many has its hits counted.
pub(super) const SAMPLED: u8 = 16;

/// What is fetched anew.
#[derive(Clone, Debug)]
pub enum Hot {
    /// What is kept whole.
    One(Errand),
    /// One thing of a list.
    Piece {
        /// A list of its kind.
        listed: Arc<ListedErrand>,
        /// The thing.
        unit: Unit,
    },
}

/// The hottest stored answers.
#[derive(Debug)]
pub struct Hottest {
    capacity: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// By their keys' digests.
    entries: HashMap<u128, Entry>,
    /// A list of each kind, which its pieces share.
    kinds: HashMap<u128, Arc<ListedErrand>>,
}

#[derive(Debug)]
struct Entry {
    hits: u32,
    stored: Weak<StoredResponse>,
    hot: Hot,
}

/// Whether this request's hits are counted.
pub(super) fn is_sampled() -> bool {
    rand::random::<u8>().is_multiple_of(SAMPLED)
}

impl Hottest {
    /// Nothing is hot; at most so many are known to be.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, table: Mutex::default() }
    }

    /// Whether none is ever known.
    pub const fn is_off(&self) -> bool {
        self.capacity == 0
    }

    /// Counts a hit on what is kept whole.
    pub fn count(&self, stored: &Arc<StoredResponse>, errand: &Errand) {
        if let Some(mut table) = self.table.try_lock() {
            table.count(self.capacity, stored, |_| Hot::One(errand.clone()));
        }
    }

    /// Counts hits on pieces for one list.
    pub fn count_pieces<'p>(
        &self,
        listed: &ListedErrand,
        pieces: impl Iterator<Item = (&'p Arc<StoredResponse>, &'p Unit)>,
    ) {
        let Some(mut table) = self.table.try_lock() else { return };
        let kind = listed.question.kind().digest();
        for (stored, unit) in pieces {
            table.count(self.capacity, stored, |kinds| {
                let listed = kinds.entry(kind).or_insert_with(|| listed.only(unit));
                Hot::Piece { listed: Arc::clone(listed), unit: unit.clone() }
            });
        }
    }

    /// The hottest of those that are purged, at most so many.
    pub fn purged(
        &self,
        at_most: usize,
        is_purged: impl Fn(&StoredResponse) -> bool,
    ) -> Vec<(Arc<StoredResponse>, Hot)> {
        let table = self.table.lock();
        let entries = table.entries.values();
        let mut purged: Vec<_> = entries
            .filter_map(|entry| {
                let stored = entry.stored.upgrade().filter(|stored| is_purged(stored))?;
                Some((entry.hits, stored, entry.hot.clone()))
            })
            .collect();
        drop(table);
        purged.sort_by_key(|(hits, ..)| std::cmp::Reverse(*hits));
        purged.truncate(at_most);
        purged.into_iter().map(|(_, stored, hot)| (stored, hot)).collect()
    }
}

impl Table {
    fn count(
        &mut self,
        capacity: usize,
        stored: &Arc<StoredResponse>,
        hot: impl FnOnce(&mut HashMap<u128, Arc<ListedErrand>>) -> Hot,
    ) {
        let digest = stored.key.digest();
        if let Some(entry) = self.entries.get_mut(&digest) {
            entry.hits = entry.hits.saturating_add(1);
            if !std::ptr::eq(entry.stored.as_ptr(), Arc::as_ptr(stored)) {
                entry.stored = Arc::downgrade(stored);
            }
            return;
        }
        if self.entries.len() >= capacity {
            self.entries.retain(|_, entry| {
                entry.hits /= 2;
                entry.hits > 0
            });
            // The map's own, and those that pieces have.
            self.kinds.retain(|_, listed| Arc::strong_count(listed) > 1);
        }
        if self.entries.len() < capacity {
            let hot = hot(&mut self.kinds);
            self.entries.insert(digest, Entry { hits: 1, stored: Arc::downgrade(stored), hot });
        }
    }
}
