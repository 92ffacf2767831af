//! Which stored answers are asked for most: those worth fetching at once when they are purged.
//!
//! One hit in sixteen is counted, by whoever comes to the table while nobody else is at it: a hit
//! waits for nothing here. Where the table is full, all counts are halved and what has none left goes,
//! so that what was hot yesterday makes room.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::errand::{Errand, OperationErrand};
use super::listed::ListedErrand;
use crate::question::Unit;

/// One in so many hits is counted.
const SAMPLED: u8 = 16;

/// What is fetched anew.
#[derive(Clone, Debug)]
pub enum Hot {
    /// What is kept whole.
    One(Errand),
    /// One thing of a list.
    Piece {
        /// A list that named it.
        listed: Arc<ListedErrand>,
        /// The thing.
        unit: Unit,
        /// The errand for it alone.
        errand: Arc<OperationErrand>,
    },
}

/// The hottest stored answers, by their keys' digests.
#[derive(Debug)]
pub struct Hottest {
    capacity: usize,
    entries: Mutex<HashMap<u128, (u32, Hot)>>,
}

/// Whether this hit is one that is counted.
pub(super) fn is_sampled() -> bool {
    rand::random::<u8>().is_multiple_of(SAMPLED)
}

impl Hottest {
    /// Nothing is hot; at most so many are known to be.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, entries: Mutex::default() }
    }

    /// Whether none is ever known.
    pub const fn is_off(&self) -> bool {
        self.capacity == 0
    }

    /// Counts a hit.
    pub fn count(&self, digest: u128, hot: impl FnOnce() -> Option<Hot>) {
        let Some(mut entries) = self.entries.try_lock() else { return };
        if let Some((hits, _)) = entries.get_mut(&digest) {
            *hits = hits.saturating_add(1);
            return;
        }
        if entries.len() >= self.capacity {
            entries.retain(|_, (hits, _)| {
                *hits /= 2;
                *hits > 0
            });
        }
        if entries.len() < self.capacity
            && let Some(hot) = hot()
        {
            entries.insert(digest, (1, hot));
        }
    }

    /// All that are known, the hottest first.
    pub fn all(&self) -> Vec<Hot> {
        let mut entries: Vec<_> = self.entries.lock().values().cloned().collect();
        entries.sort_by_key(|(hits, _)| std::cmp::Reverse(*hits));
        entries.into_iter().map(|(_, hot)| hot).collect()
    }
}
