//! Fresh, stale or expired (RFC 9111 §4.2, RFC 5861 §3 and §4).
//!
//! Everything is computed from the moment that *our* clock showed when the answer was generated,
//! so that two clocks never have to agree: the current age is the age that the answer came with
//! plus the time since it came (RFC 9111 §4.2.3 without the parts that trust the origin's `Date`).
//! A clock set back makes an answer younger than it is, at most by the step.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::operation::Lifetimes;
use crate::purge::PurgeState;

/// When an answer came, how old it was then, and how long it may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Freshness {
    /// When the origin's answer arrived, by our clock.
    pub received_at: Timestamp,
    /// The age that it came with (its `Age` field).
    pub initial_age: Duration,
    /// Its lifetimes.
    pub lifetimes: Lifetimes,
}

/// What may be done with an answer, as far as time is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Within its freshness lifetime.
    Fresh,
    /// Past it.
    Stale(StaleUse),
}

/// What a stale answer may still do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StaleUse {
    /// Serve at once while a revalidation runs.
    pub while_revalidating: bool,
    /// Serve when the origin fails.
    pub if_error: bool,
}

impl Freshness {
    /// The current age (RFC 9111 §4.2.3).
    pub fn age(&self, now: Timestamp) -> Duration {
        self.initial_age.saturating_add(now.saturating_since(self.received_at))
    }

    /// What is left of the freshness lifetime, in whole seconds; negative when it is over.
    pub fn ttl_seconds(&self, now: Timestamp) -> i64 {
        let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        seconds(self.lifetimes.fresh_for).saturating_sub(seconds(self.age(now)))
    }

    /// Fresh, or stale and good for what. A soft purge ends freshness at once; the stale windows
    /// then count from the end of the lifetime that the answer would have had, since nothing
    /// remembers when the purge was.
    pub fn state(&self, now: Timestamp, softly_purged: bool) -> State {
        let age = self.age(now);
        if age < self.lifetimes.fresh_for && !softly_purged {
            return State::Fresh;
        }
        let overdue = age.saturating_sub(self.lifetimes.fresh_for);
        State::Stale(StaleUse {
            while_revalidating: overdue < self.lifetimes.stale_while_revalidate,
            if_error: overdue < self.lifetimes.stale_if_error,
        })
    }

    /// The time after which the answer can serve nothing any more, from its arrival.
    pub fn life(&self) -> Duration {
        self.lifetimes.life().saturating_sub(self.initial_age)
    }
}

/// What a stored answer can do for a request: time and purges together.
///
/// Stale windows apply to what expired or was softly purged, never to what was hard-purged.
pub fn usable(freshness: &Freshness, purged: PurgeState, now: Timestamp) -> Option<State> {
    match purged {
        PurgeState::HardPurged => None,
        PurgeState::SoftPurged => Some(freshness.state(now, true)),
        PurgeState::Usable => Some(freshness.state(now, false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Freshness {
        Freshness {
            received_at: Timestamp::from_millis(100_000),
            initial_age: Duration::from_secs(2),
            lifetimes: Lifetimes {
                fresh_for: Duration::from_secs(10),
                stale_while_revalidate: Duration::from_secs(5),
                stale_if_error: Duration::from_secs(20),
            },
        }
    }

    fn at(seconds_after_arrival: u64) -> Timestamp {
        Timestamp::from_millis(100_000 + seconds_after_arrival * 1_000)
    }

    const fn stale(while_revalidating: bool, if_error: bool) -> State {
        State::Stale(StaleUse { while_revalidating, if_error })
    }

    #[test]
    fn an_answer_is_fresh_until_its_age_reaches_its_lifetime() {
        for (seconds, softly_purged, expected) in [
            (0, false, State::Fresh),
            (7, false, State::Fresh),
            (8, false, stale(true, true)),
            (12, false, stale(true, true)),
            (13, false, stale(false, true)),
            (27, false, stale(false, true)),
            (28, false, stale(false, false)),
            (0, true, stale(true, true)),
            (13, true, stale(false, true)),
        ] {
            assert_eq!(answer().state(at(seconds), softly_purged), expected, "{seconds} s");
        }
    }

    #[test]
    fn a_hard_purge_leaves_nothing_to_serve_within_any_window() {
        assert_eq!(usable(&answer(), PurgeState::HardPurged, at(0)), None);
        assert_eq!(usable(&answer(), PurgeState::SoftPurged, at(0)), Some(stale(true, true)));
    }

    #[test]
    fn age_counts_what_the_answer_came_with_and_survives_a_clock_set_back() {
        assert_eq!(answer().age(at(3)), Duration::from_secs(5));
        assert_eq!(answer().age(Timestamp::from_millis(0)), Duration::from_secs(2));
        assert_eq!(answer().ttl_seconds(at(3)), 5);
        assert_eq!(answer().ttl_seconds(at(20)), -12);
    }
}
