//! How often each operation was asked for: alone, and inside batches.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};

use super::subject::{OTHER, Subject};

/// The member of the counts that tells of the requests inside batches.
const IN_BATCHES: &str = "inBatches";

/// Counts since the start or the last reset.
#[derive(Debug)]
pub(crate) struct Stats {
    /// What was received; a batch is one of them.
    requests: Counts,
    /// What ran inside batches.
    in_batches: Counts,
}

impl Stats {
    pub(crate) fn new() -> Self {
        Self { requests: Counts::new(), in_batches: Counts::new() }
    }

    pub(crate) fn count(&self, subject: Subject) {
        self.requests.count(subject);
    }

    pub(crate) fn count_in_batch(&self, subject: Subject) {
        self.in_batches.count(subject);
    }

    /// The requests for what has that name.
    pub(crate) fn of(&self, name: &str) -> u64 {
        self.requests.named(name)
    }

    /// The same inside batches.
    pub(crate) fn in_batches(&self, name: &str) -> u64 {
        self.in_batches.named(name)
    }

    pub(crate) fn total(&self) -> u64 {
        Subject::all().map(|subject| self.requests.of(subject)).sum()
    }

    pub(crate) fn reset(&self) {
        self.requests.reset();
        self.in_batches.reset();
    }

    /// What was asked for at least once.
    pub(crate) fn as_json(&self) -> Value {
        let mut members = self.requests.as_members();
        let in_batches = self.in_batches.as_members();
        if !in_batches.is_empty() {
            members.insert(IN_BATCHES.into(), Value::Object(in_batches));
        }
        Value::Object(members)
    }
}

#[derive(Debug)]
struct Counts(Vec<AtomicU64>);

impl Counts {
    fn new() -> Self {
        Self(Subject::all().map(|_| AtomicU64::new(0)).collect())
    }

    fn count(&self, subject: Subject) {
        if let Some(counter) = self.0.get(subject.place()) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn of(&self, subject: Subject) -> u64 {
        self.0.get(subject.place()).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    fn named(&self, name: &str) -> u64 {
        let subject = if name == OTHER { Some(Subject::Other) } else { Subject::named(name) };
        subject.map_or(0, |subject| self.of(subject))
    }

    fn reset(&self) {
        for counter in &self.0 {
            counter.store(0, Ordering::Relaxed);
        }
    }

    fn as_members(&self) -> Map<String, Value> {
        let counts = Subject::all().map(|subject| (subject.name().to_owned(), self.of(subject)));
        counts.filter(|(_, count)| *count > 0).map(|(name, count)| (name, count.into())).collect()
    }
}
