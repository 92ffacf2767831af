//! How often each operation was asked for.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};

use super::operations::{OPERATIONS, position};

/// What is counted for requests that are no operation: `$metadata`, the health check, unknown paths.
pub(crate) const OTHER: &str = "other";

/// Counts since the start or the last reset; one more than there are operations.
#[derive(Debug)]
pub(crate) struct Stats(Vec<AtomicU64>);

impl Stats {
    pub(crate) fn new() -> Self {
        Self((0..=OPERATIONS.len()).map(|_| AtomicU64::new(0)).collect())
    }

    /// Counts a request for the operation at a position, or for none.
    pub(crate) fn count(&self, index: Option<usize>) {
        if let Some(counter) = self.0.get(index.unwrap_or(OPERATIONS.len())) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The requests for the operation of that name.
    pub(crate) fn of(&self, name: &str) -> u64 {
        let index = if name == OTHER { Some(OPERATIONS.len()) } else { position(name) };
        index
            .and_then(|index| self.0.get(index))
            .map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.iter().map(|counter| counter.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn reset(&self) {
        for counter in &self.0 {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// What was asked for at least once.
    pub(crate) fn as_json(&self) -> Value {
        let names = OPERATIONS.iter().map(|operation| operation.name).chain([OTHER]);
        let counts = names.map(|name| (name.to_owned(), self.of(name)));
        Value::Object(
            counts
                .filter(|(_, count)| *count > 0)
                .map(|(name, count)| (name, count.into()))
                .collect::<Map<_, _>>(),
        )
    }
}
