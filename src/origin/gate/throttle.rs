//! What the origin has asked for by 429, or by 503 with `Retry-After` (RFC 6585 §4, RFC 9110
//! §10.2.3), without I/O.
//!
//! A moment that the origin names is waited for, up to a bound: a header field must not shut a node
//! for a day. A 429 that names none is taken to mean a second, and twice as long each time that the
//! origin says it again to a request which had waited for that. The answers to what was under way
//! when the first one came are not "again".

use std::time::Duration;

/// How long a 429 without `Retry-After` is taken to mean.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Until when nothing but writes is sent.
#[derive(Debug)]
pub(super) struct Throttle {
    longest: Duration,
    since: Duration,
    until: Duration,
    repeats: u32,
}

impl Throttle {
    pub(super) const fn new(longest: Duration) -> Self {
        Self { longest, since: Duration::ZERO, until: Duration::ZERO, repeats: 0 }
    }

    /// Obeys no longer than that, from now on; what is obeyed now neither.
    pub(super) fn set_longest(&mut self, longest: Duration, now: Duration) {
        self.longest = longest;
        self.until = self.until.min(now + longest);
    }

    /// What is left of it.
    pub(super) fn left(&self, now: Duration) -> Option<Duration> {
        self.until.checked_sub(now).filter(|left| !left.is_zero())
    }

    /// The answer to a request that had left then. `asked`: its `Retry-After`. `true` where the
    /// origin was not throttling just before.
    pub(super) fn refused(
        &mut self,
        left_at: Duration,
        asked: Option<Duration>,
        now: Duration,
    ) -> bool {
        let begins = self.left(now).is_none();
        let asked = asked.filter(|span| !span.is_zero());
        let pause = match asked {
            Some(asked) => asked.min(self.longest),
            None if left_at >= self.until => {
                self.repeats = self.repeats.saturating_add(1);
                self.guessed()
            }
            // A write, which went meanwhile.
            None if left_at >= self.since => self.guessed(),
            None => return false,
        };
        if begins {
            self.since = now;
        }
        self.until = self.until.max(now + pause);
        begins
    }

    /// Any other answer to a request that had left then.
    pub(super) fn answered(&mut self, left_at: Duration) {
        if left_at >= self.until {
            self.repeats = 0;
        }
    }

    fn guessed(&self) -> Duration {
        let doublings = self.repeats.saturating_sub(1).min(16);
        FIRST_PAUSE.saturating_mul(1 << doublings).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn the_moment_that_is_named_is_waited_for_up_to_the_bound() {
        let mut throttle = Throttle::new(5 * MINUTE);
        assert!(throttle.refused(SECOND, Some(7 * SECOND), 2 * SECOND));
        assert_eq!(throttle.left(2 * SECOND), Some(7 * SECOND));
        assert!(!throttle.refused(SECOND, Some(SECOND), 3 * SECOND), "it is shut already");
        assert_eq!(throttle.left(8 * SECOND), Some(SECOND), "a shorter one takes nothing back");
        assert_eq!(throttle.left(9 * SECOND), None);
        assert!(throttle.refused(9 * SECOND, Some(Duration::from_secs(u64::MAX)), 10 * SECOND));
        assert_eq!(throttle.left(10 * SECOND), Some(5 * MINUTE));
    }

    #[test]
    fn without_a_moment_the_pause_doubles_while_it_is_said_again() {
        let mut throttle = Throttle::new(10 * SECOND);
        let mut now = SECOND;
        for pause in [1, 2, 4, 8, 10, 10] {
            assert!(throttle.refused(now, None, now));
            assert_eq!(throttle.left(now), Some(pause * SECOND));
            now += pause * SECOND;
        }
        throttle.answered(now - SECOND);
        assert!(throttle.refused(now, Some(Duration::ZERO), now), "0 names no moment either");
        assert_eq!(throttle.left(now), Some(10 * SECOND), "that one had left before");
        now += 10 * SECOND;
        throttle.answered(now);
        assert!(throttle.refused(now, None, now));
        assert_eq!(throttle.left(now), Some(SECOND));
    }

    #[test]
    fn what_was_under_way_together_is_refused_once() {
        let mut throttle = Throttle::new(MINUTE);
        assert!(throttle.refused(SECOND, None, 2 * SECOND));
        for _ in 0..10 {
            assert!(!throttle.refused(SECOND, None, 2 * SECOND));
        }
        assert_eq!(throttle.left(2 * SECOND), Some(SECOND));
        assert!(!throttle.refused(SECOND, None, 4 * SECOND), "nor once it is over");
        assert_eq!(throttle.left(4 * SECOND), None);
    }

    #[test]
    fn a_write_that_is_refused_meanwhile_prolongs_it_and_doubles_nothing() {
        let mut throttle = Throttle::new(MINUTE);
        throttle.refused(SECOND, None, SECOND);
        for tenths in 11..20 {
            let now = tenths * Duration::from_millis(100);
            assert!(!throttle.refused(now, None, now));
            assert_eq!(throttle.left(now), Some(SECOND));
        }
    }
}
