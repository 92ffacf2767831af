//! Until when this node can vouch that it knows every purge that counts.
//!
//! A node that hears nothing of the others cannot know what they have purged. What it last heard
//! holds for `fence_after` from the moment at which it *asked*: whatever was acknowledged before
//! that moment stood by then, and was in the answer. After that the fence is down, and strict
//! answers are not served until the node has heard again.
//!
//! The deadline is compared with the clock on every check, so it holds even where the process was
//! stopped in between and no timer of its could run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;

/// The deadline of a node that is alone: it knows its own purges for ever.
const NEVER: u64 = u64::MAX;

/// How long what is known holds, and until when it does.
#[derive(Debug)]
pub(super) struct Fence {
    span: Duration,
    /// In nanoseconds of the monotonic clock.
    deadline: AtomicU64,
}

impl Fence {
    /// Of a node without others.
    pub(super) const fn never() -> Self {
        Self { span: Duration::MAX, deadline: AtomicU64::new(NEVER) }
    }

    /// Of a node that has not heard of the others yet.
    pub(super) const fn down(span: Duration) -> Self {
        Self { span, deadline: AtomicU64::new(0) }
    }

    /// For how long what is known holds.
    pub(super) const fn span(&self) -> Duration {
        self.span
    }

    /// What the node knows was asked for at this reading of the monotonic clock.
    pub(super) fn hold_from(&self, asked_at: Duration) {
        let deadline = asked_at.saturating_add(self.span);
        let nanos = u64::try_from(deadline.as_nanos()).unwrap_or(NEVER - 1).min(NEVER - 1);
        // Release: whoever sees the deadline sees what is vouched for.
        self.deadline.fetch_max(nanos, Ordering::Release);
    }

    /// What the node knows holds no longer.
    pub(super) fn lower(&self) {
        self.deadline.store(0, Ordering::Relaxed);
    }

    /// Whether strict answers must not be served.
    pub(super) fn is_down(&self, clock: &Clock) -> bool {
        match self.deadline.load(Ordering::Acquire) {
            NEVER => false,
            deadline => clock.monotonic().as_nanos() >= u128::from(deadline),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn what_was_heard_holds_until_its_deadline_and_no_longer() {
        let clock = Clock::manual(Timestamp::from_millis(1_000));
        let fence = Fence::down(Duration::from_secs(2));
        assert!(fence.is_down(&clock));
        fence.hold_from(clock.monotonic());
        // An answer that was asked for earlier and comes later takes nothing back.
        fence.hold_from(clock.monotonic() - Duration::from_millis(500));
        clock.advance(Duration::from_millis(1_999));
        assert!(!fence.is_down(&clock));
        clock.advance(Duration::from_millis(1));
        assert!(fence.is_down(&clock));
        fence.hold_from(clock.monotonic());
        assert!(!fence.is_down(&clock));
        fence.lower();
        assert!(fence.is_down(&clock));
        assert!(!Fence::never().is_down(&clock));
    }
}
