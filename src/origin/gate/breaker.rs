//! Whether the origin is taken to be broken, without I/O.
//!
//! Failures in a row open it. Then one request at a time is a probe, and only its success, or that of
//! a write, which is never held back, closes it. A probe that comes to no end (the client went away)
//! proves nothing and leaves its turn to another.
//!
//! The one in front of Redis is another machine: it watches a connection, which a task of its own
//! dials anew, while here a client's own request is the probe.

use std::time::Duration;

/// The pauses between probes grow to this many times the first.
const GROWTH: u32 = 10;

/// Whether requests get through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BreakerState {
    /// They do.
    Closed,
    /// One is under way, and what becomes of it is awaited.
    HalfOpen,
    /// None does until the next probe.
    Open,
}

impl BreakerState {
    /// For the gauge.
    pub const fn as_number(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}

/// What a request may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Permit {
    /// Go.
    Go,
    /// Go, as the probe.
    Probe,
    /// Not go, for so long at least; not told where a probe is under way.
    Stay(Option<Duration>),
}

/// Counts failures in a row.
#[derive(Debug)]
pub(super) struct Breaker {
    broken_after: u32,
    first_pause: Duration,
    pause: Duration,
    state: BreakerState,
    failures: u32,
    /// What left before this is not held against the present state.
    since: Duration,
    next_probe: Duration,
}

impl Breaker {
    pub(super) const fn new(broken_after: u32, probe_every: Duration) -> Self {
        Self {
            broken_after,
            first_pause: probe_every,
            pause: probe_every,
            state: BreakerState::Closed,
            failures: 0,
            since: Duration::ZERO,
            next_probe: Duration::ZERO,
        }
    }

    /// Goes by these figures from now on. It stays as open as it is.
    pub(super) fn set_rules(&mut self, broken_after: u32, probe_every: Duration, now: Duration) {
        let longest = probe_every.saturating_mul(GROWTH);
        (self.broken_after, self.first_pause) = (broken_after, probe_every);
        self.pause = self.pause.clamp(probe_every, longest);
        self.next_probe = self.next_probe.min(now + self.pause);
    }

    pub(super) const fn state(&self) -> BreakerState {
        self.state
    }

    pub(super) fn permit(&self, now: Duration) -> Permit {
        match self.state {
            BreakerState::Closed => Permit::Go,
            BreakerState::HalfOpen => Permit::Stay(None),
            BreakerState::Open if now >= self.next_probe => Permit::Probe,
            BreakerState::Open => Permit::Stay(Some(self.next_probe - now)),
        }
    }

    /// The probe is under way.
    pub(super) const fn probe(&mut self) {
        self.state = BreakerState::HalfOpen;
    }

    /// The probe came to no end.
    pub(super) fn gave_up_probe(&mut self) {
        if self.state == BreakerState::HalfOpen {
            self.state = BreakerState::Open;
        }
    }

    /// A request that had left then was answered by a working origin. `true` where that closes it.
    pub(super) fn succeeded(&mut self, left_at: Duration, is_probe: bool, now: Duration) -> bool {
        let is_open = self.state != BreakerState::Closed;
        if is_open && !is_probe && left_at < self.since {
            return false;
        }
        self.failures = 0;
        if is_open {
            self.state = BreakerState::Closed;
            self.pause = self.first_pause;
            self.since = now;
        }
        is_open
    }

    /// A request that had left then failed. `true` where that opens it, or keeps it open.
    pub(super) fn failed(&mut self, left_at: Duration, is_probe: bool, now: Duration) -> bool {
        let opens = match self.state {
            BreakerState::Closed if left_at >= self.since => {
                self.failures = self.failures.saturating_add(1);
                self.failures >= self.broken_after
            }
            BreakerState::HalfOpen if is_probe => {
                let longest = self.first_pause.saturating_mul(GROWTH);
                self.pause = self.pause.saturating_mul(2).min(longest);
                true
            }
            BreakerState::Closed | BreakerState::HalfOpen | BreakerState::Open => false,
        };
        if opens {
            if self.state == BreakerState::Closed {
                self.since = now;
            }
            self.state = BreakerState::Open;
            self.failures = 0;
            self.next_probe = now + self.pause;
        }
        opens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn opened(now: Duration) -> Breaker {
        let mut breaker = Breaker::new(1, SECOND);
        assert!(breaker.failed(now, false, now));
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_starts_the_count_anew() {
        let mut breaker = Breaker::new(3, SECOND);
        for _ in 0..5 {
            assert!(!breaker.failed(SECOND, false, SECOND));
            assert!(!breaker.failed(SECOND, false, SECOND));
            assert!(!breaker.succeeded(SECOND, false, SECOND));
        }
        assert_eq!(breaker.permit(SECOND), Permit::Go);
        breaker.failed(SECOND, false, SECOND);
        breaker.failed(SECOND, false, SECOND);
        assert!(breaker.failed(SECOND, false, SECOND));
        assert_eq!(breaker.permit(SECOND), Permit::Stay(Some(SECOND)));
    }

    #[test]
    fn one_probe_at_a_time_and_its_success_closes_it() {
        let mut breaker = opened(SECOND);
        assert_eq!(breaker.permit(2 * SECOND), Permit::Probe);
        breaker.probe();
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert_eq!(breaker.permit(9 * SECOND), Permit::Stay(None));
        assert!(breaker.succeeded(2 * SECOND, true, 9 * SECOND));
        assert_eq!(breaker.permit(9 * SECOND), Permit::Go);
    }

    #[test]
    fn the_pauses_grow_to_ten_times_the_first_and_start_anew() {
        let mut breaker = opened(Duration::ZERO);
        let mut now = Duration::ZERO;
        for pause in [1, 2, 4, 8, 10, 10] {
            assert_eq!(breaker.permit(now), Permit::Stay(Some(pause * SECOND)));
            now += pause * SECOND;
            assert_eq!(breaker.permit(now), Permit::Probe);
            breaker.probe();
            assert!(breaker.failed(now, true, now));
        }
        now += 10 * SECOND;
        breaker.probe();
        breaker.succeeded(now, true, now);
        breaker.failed(now, false, now);
        assert_eq!(breaker.permit(now), Permit::Stay(Some(SECOND)));
    }

    #[test]
    fn a_probe_without_an_end_leaves_its_turn_to_another() {
        let mut breaker = opened(Duration::ZERO);
        breaker.probe();
        breaker.gave_up_probe();
        assert_eq!(breaker.permit(SECOND), Permit::Probe);
        breaker.succeeded(SECOND, true, SECOND);
        breaker.gave_up_probe();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn what_left_before_says_nothing_of_the_present() {
        let mut breaker = opened(5 * SECOND);
        assert!(!breaker.succeeded(4 * SECOND, false, 6 * SECOND), "it left before it broke");
        assert!(!breaker.failed(5 * SECOND, false, 6 * SECOND), "nor does this open it more");
        assert_eq!(breaker.permit(5 * SECOND), Permit::Stay(Some(SECOND)));
        assert!(breaker.succeeded(6 * SECOND, false, 7 * SECOND), "a write got through");
        assert!(!breaker.failed(6 * SECOND, false, 8 * SECOND), "it left while it was broken");
        assert_eq!(breaker.permit(8 * SECOND), Permit::Go);
    }
}
