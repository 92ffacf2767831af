//! The thread that writes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use memchr::memchr_iter;

use super::destination::{Destination, Unwritten};
use super::{LeftOut, Record, Shared, line};
use crate::clock::Clock;

/// How often queues are looked at while none is half full: a line is never later than that.
const LOOKED_EVERY: Duration = Duration::from_millis(50);

/// What is written at once, in bytes.
const BATCH_BYTES: usize = 64 << 10;

/// How many records of one queue are taken before the others have their turn.
const TAKEN_AT_ONCE: usize = 128;

/// How often it is told that lines cannot be written.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Writes until told to end, and then what is left.
pub(super) fn run(shared: &Shared, mut destination: Destination) {
    let lines = Vec::with_capacity(BATCH_BYTES);
    let mut writer = Writer { shared, lines, is_within_line: false, told: None };
    loop {
        // Read first: what was left before the end was told is found below.
        let is_ending = shared.is_ending.load(Ordering::Acquire);
        if shared.is_to_reopen.swap(false, Ordering::AcqRel) {
            destination.reopen();
        }
        if writer.write_what_waits(&mut destination) == 0 {
            if is_ending {
                return;
            }
            thread::park_timeout(LOOKED_EVERY);
        }
    }
}

struct Writer<'s> {
    shared: &'s Shared,
    lines: Vec<u8>,
    /// Whether a line was begun and not ended.
    is_within_line: bool,
    /// When a failure was last told.
    told: Option<Duration>,
}

impl Writer<'_> {
    /// Goes round the queues once; how many records that were.
    fn write_what_waits(&mut self, destination: &mut Destination) -> usize {
        let queues = self.queues();
        let mut taken = 0;
        for queue in queues {
            for record in std::iter::from_fn(|| queue.pop()).take(TAKEN_AT_ONCE) {
                line::write(&record, &mut self.lines);
                taken += 1;
                if self.lines.len() >= BATCH_BYTES {
                    self.write(destination);
                }
            }
        }
        self.write(destination);
        taken
    }

    /// All queues; those whose worker is gone and that are empty are forgotten.
    fn queues(&self) -> Vec<Arc<ArrayQueue<Record>>> {
        let mut queues = self.shared.queues.lock();
        queues.retain(|queue| Arc::strong_count(queue) > 1 || !queue.is_empty());
        queues.clone()
    }

    fn write(&mut self, destination: &mut Destination) {
        if self.lines.is_empty() || self.lines == b"\n" {
            return;
        }
        if let Err(Unwritten { written, error }) = destination.write(&self.lines) {
            let end = written.checked_sub(1).and_then(|last| self.lines.get(last));
            self.is_within_line = end.map_or(self.is_within_line, |byte| *byte != b'\n');
            let lost = self.lines.get(written..).unwrap_or_default();
            self.shared.leave_out(LeftOut::WriteFailed, memchr_iter(b'\n', lost).count() as u64);
            let now = Clock::system().monotonic();
            if self.told.is_none_or(|told| now.saturating_sub(told) >= TOLD_EVERY) {
                self.told = Some(now);
                tracing::warn!(%error, "the access log cannot be written");
            }
            destination.reopen();
        } else {
            self.is_within_line = false;
        }
        self.lines.clear();
        // What follows half a line begins on one of its own.
        if self.is_within_line {
            self.lines.push(b'\n');
        }
    }
}
