//! When a connection is given up, and when the next one is tried: decisions without I/O.

use std::time::Duration;

use super::failure::Weight;

/// Whether commands get through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// They do.
    Closed,
    /// There is a connection, and its first answer is awaited.
    HalfOpen,
    /// There is none; commands fail at once.
    Open,
}

impl State {
    /// For the gauge.
    pub const fn as_number(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}

/// Tells connections apart, so that what an old one did is not held against a new one.
pub(super) type ConnectionNumber = u64;

/// Counts the failures of a connection.
#[derive(Debug)]
pub(super) struct Breaker {
    broken_after: u32,
    state: State,
    connection: ConnectionNumber,
    failures: u32,
}

impl Breaker {
    /// Open: nothing has been dialled.
    pub(super) const fn new(broken_after: u32) -> Self {
        Self { broken_after, state: State::Open, connection: 0, failures: 0 }
    }

    pub(super) const fn state(&self) -> State {
        self.state
    }

    /// A connection is there, and is about to be probed.
    pub(super) const fn dialled(&mut self) {
        self.state = State::HalfOpen;
    }

    /// The probe was answered: the connection may be used, under this number.
    pub(super) const fn probed(&mut self) -> ConnectionNumber {
        self.state = State::Closed;
        self.connection += 1;
        self.failures = 0;
        self.connection
    }

    /// The probe was not answered.
    pub(super) const fn unanswered(&mut self) {
        self.state = State::Open;
    }

    /// A command was answered.
    pub(super) fn answered(&mut self, connection: ConnectionNumber) {
        if self.uses(connection) {
            self.failures = 0;
        }
    }

    /// A command failed. `true` where that opens the breaker.
    pub(super) fn failed(&mut self, connection: ConnectionNumber, weight: Weight) -> bool {
        if !self.uses(connection) {
            return false;
        }
        let opens = match weight {
            Weight::Answer => {
                self.failures = 0;
                false
            }
            Weight::Counts => {
                self.failures = self.failures.saturating_add(1);
                self.failures >= self.broken_after
            }
            Weight::Breaks => true,
        };
        if opens {
            self.state = State::Open;
        }
        opens
    }

    /// The connection in use is given up for a reason of somebody else's. `true` where there was
    /// one.
    pub(super) fn give_up(&mut self) -> bool {
        let closed = self.state == State::Closed;
        if closed {
            self.state = State::Open;
        }
        closed
    }

    fn uses(&self, connection: ConnectionNumber) -> bool {
        self.state == State::Closed && self.connection == connection
    }
}

/// The pauses grow to this many times the first.
const GROWTH: u32 = 10;

/// The pauses between attempts.
///
/// The first attempt after a connection that has lived for the longest pause comes at once: most
/// losses are a restart or a failover. One that was lost sooner does not earn that, or a server
/// that answers the probe and nothing else would be dialled without end.
#[derive(Debug)]
pub(super) struct Pauses {
    first: Duration,
    next: Duration,
}

impl Pauses {
    pub(super) const fn new(first: Duration) -> Self {
        Self { first, next: Duration::ZERO }
    }

    pub(super) const fn longest(&self) -> Duration {
        self.first.saturating_mul(GROWTH)
    }

    /// The pause before the next attempt, without jitter.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = pause.saturating_mul(2).clamp(self.first, self.longest());
        pause
    }

    /// A connection was of use for this long.
    pub(super) fn lived(&mut self, span: Duration) {
        if span >= self.longest() {
            self.next = Duration::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(broken_after: u32) -> (Breaker, ConnectionNumber) {
        let mut breaker = Breaker::new(broken_after);
        breaker.dialled();
        let connection = breaker.probed();
        (breaker, connection)
    }

    #[test]
    fn only_an_answered_probe_closes_it() {
        let mut breaker = Breaker::new(3);
        assert_eq!(breaker.state(), State::Open);
        breaker.dialled();
        assert_eq!(breaker.state(), State::HalfOpen);
        breaker.unanswered();
        assert_eq!(breaker.state(), State::Open);
        breaker.dialled();
        breaker.probed();
        assert_eq!(breaker.state(), State::Closed);
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_starts_the_count_anew() {
        let (mut breaker, connection) = closed(3);
        for _ in 0..10 {
            assert!(!breaker.failed(connection, Weight::Counts));
            assert!(!breaker.failed(connection, Weight::Counts));
            breaker.answered(connection);
            assert!(!breaker.failed(connection, Weight::Counts));
            assert!(!breaker.failed(connection, Weight::Counts));
            // What the server says about one command is an answer too.
            assert!(!breaker.failed(connection, Weight::Answer));
        }
        assert!(!breaker.failed(connection, Weight::Counts));
        assert!(!breaker.failed(connection, Weight::Counts));
        assert!(breaker.failed(connection, Weight::Counts));
        assert_eq!(breaker.state(), State::Open);
    }

    #[test]
    fn what_leaves_no_doubt_opens_it_at_once_and_once() {
        let (mut breaker, connection) = closed(3);
        assert!(breaker.failed(connection, Weight::Breaks));
        assert!(!breaker.failed(connection, Weight::Breaks), "it is open");
        assert!(!breaker.give_up());
        assert_eq!(breaker.state(), State::Open);
    }

    #[test]
    fn what_an_old_connection_did_does_not_count() {
        let (mut breaker, old) = closed(1);
        assert!(breaker.give_up());
        breaker.dialled();
        assert!(!breaker.failed(old, Weight::Breaks), "half-open");
        assert_eq!(breaker.state(), State::HalfOpen);
        let new = breaker.probed();
        assert!(!breaker.failed(old, Weight::Breaks), "another one's");
        breaker.answered(old);
        assert!(breaker.failed(new, Weight::Counts));
    }

    #[test]
    fn pauses_grow_to_ten_times_the_first() {
        let mut pauses = Pauses::new(Duration::from_millis(500));
        let taken: Vec<_> = (0..7).map(|_| pauses.next().as_millis()).collect();
        assert_eq!(taken, [0, 500, 1_000, 2_000, 4_000, 5_000, 5_000]);
        pauses.lived(Duration::from_millis(4_999));
        assert_eq!(pauses.next().as_millis(), 5_000, "lost too soon");
        pauses.lived(Duration::from_secs(5));
        assert_eq!(pauses.next(), Duration::ZERO);
        assert_eq!(pauses.next().as_millis(), 500);
    }
}
