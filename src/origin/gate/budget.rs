//! How many requests may be sent in a span of time: a token bucket, without I/O.
//!
//! Who counts requests counts them in windows, and nobody knows where the windows of another
//! begin. So no span of the length `per` may see more than `requests`, wherever it begins. A bucket
//! that holds `burst` tokens and gets `requests - burst` more in each `per` keeps to that: what a
//! span can send is what the bucket held at its start and what came in meanwhile.
//!
//! A token is *held* from the decision to send and *spent* on sending. Were it taken on the decision
//! and put back where nothing was sent, the bucket could fill up in between, and the bound would not
//! hold. The arithmetic is on whole numbers, so that it holds to the last request.

use std::time::Duration;

use super::Priority;
use crate::config;

/// Of a bucket's burst, or of the places at the origin, what a low priority leaves alone, in parts.
pub(super) const PARTS: u32 = 4;

/// A bucket. Its level is counted in units of which a token is as many as `per` has nanoseconds;
/// each nanosecond then brings a whole number of units.
#[derive(Debug)]
pub(super) struct Budget {
    units_per_token: i128,
    units_per_nanosecond: i128,
    burst: i128,
    level: i128,
    held: i128,
    as_of: Duration,
}

impl Budget {
    /// A full one.
    pub(super) fn new(settings: &config::Budget, now: Duration) -> Self {
        let units_per_token = units(settings.per.as_nanos());
        let burst = i128::from(settings.burst);
        Self {
            units_per_token,
            units_per_nanosecond: i128::from(settings.requests) - burst,
            burst,
            level: burst * units_per_token,
            held: 0,
            as_of: now,
        }
    }

    /// Another one in this one's place. What was spent of this one is spent of that one, so that no span
    /// sees more than the larger of the two allows; and who holds a token holds one of that one.
    pub(super) fn replaced_by(&self, settings: &config::Budget, now: Duration) -> Self {
        let spent = self.burst * self.units_per_token - self.level_at(now);
        // Rounded up, to whole tokens: nothing is gained by it.
        let spent = (spent + self.units_per_token - 1).div_euclid(self.units_per_token);
        let next = Self::new(settings, now).held_by(self.held);
        let level = (next.burst - spent).max(-next.burst) * next.units_per_token;
        Self { level, ..next }
    }

    /// The same, of which so many tokens are held.
    pub(super) const fn held_by(self, holders: i128) -> Self {
        Self { held: holders, ..self }
    }

    /// Tokens that nobody holds: negative where writes have spent more than there was.
    pub(super) fn tokens(&self, now: Duration) -> i64 {
        i64::try_from(self.free(now).div_euclid(self.units_per_token)).unwrap_or(i64::MAX)
    }

    /// Whether there is a token for this priority, past what it leaves to higher ones.
    pub(super) fn has_token_for(&self, priority: Priority, now: Duration) -> bool {
        // Of all but the last one: with a burst of one, a full bucket is for anyone.
        let left_alone = (self.burst - 1) * self.units_per_token * i128::from(priority.leaves())
            / i128::from(PARTS);
        self.free(now) >= self.units_per_token + left_alone
    }

    /// How long until there is a token for one who has so many clients before itself.
    pub(super) fn wait(&self, ahead: usize, now: Duration) -> Duration {
        let tokens = i128::try_from(ahead).unwrap_or(i128::from(u32::MAX)) + 1;
        let lacking = (tokens * self.units_per_token - self.free(now)).max(0);
        let rate = self.units_per_nanosecond.max(1);
        let nanoseconds = (lacking + rate - 1) / rate;
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// Holds a token that there is.
    pub(super) const fn hold(&mut self) {
        self.held += 1;
    }

    /// The holder sends nothing.
    pub(super) const fn give_back(&mut self) {
        self.held -= 1;
    }

    /// The holder sends.
    pub(super) fn spend(&mut self, now: Duration) {
        self.fill(now);
        self.held -= 1;
        self.level -= self.units_per_token;
    }

    /// A write is sent, whatever there is: down to a debt of one burst.
    pub(super) fn overspend(&mut self, now: Duration) {
        self.fill(now);
        let debt = -self.burst * self.units_per_token;
        if self.level - self.units_per_token >= debt {
            self.level -= self.units_per_token;
        }
    }

    fn fill(&mut self, now: Duration) {
        self.level = self.level_at(now);
        self.as_of = self.as_of.max(now);
    }

    fn level_at(&self, now: Duration) -> i128 {
        let elapsed = units(now.saturating_sub(self.as_of).as_nanos());
        let filled = self.level + elapsed.saturating_mul(self.units_per_nanosecond);
        filled.min(self.burst * self.units_per_token)
    }

    fn free(&self, now: Duration) -> i128 {
        self.level_at(now) - self.held * self.units_per_token
    }
}

/// A number of nanoseconds; within 10^20, so that no product here overflows.
fn units(nanoseconds: u128) -> i128 {
    const MOST: i128 = 100_000_000_000_000_000_000;
    i128::try_from(nanoseconds).map_or(MOST, |nanoseconds| nanoseconds.min(MOST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn budget(requests: u32, per: Duration, burst: u32) -> Budget {
        Budget::new(&config::Budget { requests, per, burst }, Duration::ZERO)
    }

    fn send(budget: &mut Budget, priority: Priority, now: Duration) -> bool {
        let sends = budget.has_token_for(priority, now);
        if sends {
            budget.hold();
            budget.spend(now);
        }
        sends
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_evenly() {
        let mut budget = budget(10, 8 * SECOND, 2);
        assert_eq!(budget.tokens(Duration::ZERO), 2);
        assert!(send(&mut budget, Priority::Client, Duration::ZERO));
        assert!(send(&mut budget, Priority::Client, Duration::ZERO));
        assert!(!send(&mut budget, Priority::Client, Duration::from_millis(999)));
        assert_eq!(budget.wait(0, Duration::ZERO), SECOND);
        assert_eq!(budget.wait(2, Duration::from_millis(500)), Duration::from_millis(2_500));
        assert!(send(&mut budget, Priority::Client, SECOND));
        assert_eq!(budget.tokens(100 * SECOND), 2, "more than the burst is never saved up");
    }

    #[test]
    fn lower_priorities_leave_tokens_to_higher_ones() {
        let mut budget = budget(1_000, 900 * SECOND, 101);
        for (priority, left) in [
            (Priority::AfterPurge, 75),
            (Priority::RefreshAhead, 50),
            (Priority::Revalidation, 25),
            (Priority::Client, 0),
        ] {
            while send(&mut budget, priority, Duration::ZERO) {}
            assert_eq!(budget.tokens(Duration::ZERO), left, "{priority:?}");
        }
    }

    #[test]
    fn what_was_spent_and_is_held_counts_in_the_budget_that_comes_after() {
        let mut budget = budget(100, 100 * SECOND, 10);
        for _ in 0..6 {
            assert!(send(&mut budget, Priority::Client, Duration::ZERO));
        }
        budget.hold();
        let next = |requests, burst| {
            let settings = config::Budget { requests, per: 50 * SECOND, burst };
            budget.replaced_by(&settings, Duration::ZERO).tokens(Duration::ZERO)
        };
        assert_eq!(budget.tokens(Duration::ZERO), 3);
        assert_eq!(next(1_000, 100), 93);
        assert_eq!(next(20, 7), 0);
        assert_eq!(next(10, 2), -3, "no deeper in debt than by one burst, and one is held");
    }

    #[test]
    fn a_burst_of_one_is_for_anyone() {
        let mut budget = budget(10, SECOND, 1);
        assert!(send(&mut budget, Priority::AfterPurge, Duration::ZERO));
        assert!(!send(&mut budget, Priority::Client, Duration::ZERO));
    }

    #[test]
    fn writes_run_up_a_debt_that_is_bounded_and_paid_back() {
        let mut budget = budget(10, 8 * SECOND, 2);
        for _ in 0..100 {
            budget.overspend(Duration::ZERO);
        }
        assert_eq!(budget.tokens(Duration::ZERO), -2);
        assert_eq!(budget.wait(0, Duration::ZERO), 3 * SECOND);
        assert!(!send(&mut budget, Priority::Client, Duration::from_millis(2_999)));
        assert!(send(&mut budget, Priority::Client, 3 * SECOND));
    }

    #[test]
    fn a_token_that_is_held_is_nobody_elses_until_it_is_given_back() {
        let mut budget = budget(10, 9 * SECOND, 1);
        budget.hold();
        assert!(!budget.has_token_for(Priority::Client, SECOND));
        budget.give_back();
        assert!(send(&mut budget, Priority::Client, SECOND));
        assert!(!budget.has_token_for(Priority::Client, SECOND), "it was one token all along");
    }

    /// What happens after a pause of some microseconds.
    #[derive(Clone, Copy, Debug)]
    enum Act {
        /// A decision to send.
        Hold(Priority),
        /// The one who has held for longest sends.
        Send,
        /// The one who has held for longest sends nothing.
        GiveBack,
    }

    fn acts() -> impl Strategy<Value = Vec<(u64, Act)>> {
        let act = prop_oneof![
            6 => Just(Act::Hold(Priority::Client)),
            1 => Just(Act::Hold(Priority::AfterPurge)),
            5 => Just(Act::Send),
            2 => Just(Act::GiveBack),
        ];
        let pause = prop_oneof![4 => Just(0), 4 => 0..50_000_u64, 1 => 0..3_000_000_u64];
        proptest::collection::vec((pause, act), 0..400)
    }

    proptest! {
        #[test]
        fn no_span_of_that_length_sees_more(
            requests in 2_u32..40,
            burst_index in any::<prop::sample::Index>(),
            per_us in 1_000_u64..2_000_000,
            acts in acts(),
        ) {
            let burst = 1 + u32::try_from(burst_index.index(requests as usize - 1)).unwrap();
            let per = Duration::from_micros(per_us);
            let mut budget = budget(requests, per, burst);
            let (mut now, mut holders, mut sent) = (Duration::ZERO, 0, Vec::new());
            for (pause, act) in acts {
                now += Duration::from_micros(pause);
                match act {
                    Act::Hold(priority) if budget.has_token_for(priority, now) => {
                        budget.hold();
                        holders += 1;
                    }
                    Act::Send if holders > 0 => {
                        budget.spend(now);
                        holders -= 1;
                        sent.push(now);
                    }
                    Act::GiveBack if holders > 0 => {
                        budget.give_back();
                        holders -= 1;
                    }
                    Act::Hold(_) | Act::Send | Act::GiveBack => {}
                }
            }
            for (first, from) in sent.iter().enumerate() {
                let within = sent[first..].iter().take_while(|at| **at <= *from + per).count();
                prop_assert!(within <= requests as usize, "{within} from {from:?}");
            }
        }

        /// Whoever asks again as soon as it may loses nothing of the budget.
        #[test]
        fn the_wait_that_is_told_is_long_enough_and_not_longer(
            requests in 2_u32..1_000,
            burst_index in any::<prop::sample::Index>(),
            per_ms in 1_u64..1_000_000,
        ) {
            let burst = 1 + u32::try_from(burst_index.index(requests as usize - 1)).unwrap();
            let mut budget = budget(requests, Duration::from_millis(per_ms), burst);
            let mut now = Duration::ZERO;
            for _ in 0..2 * burst {
                let wait = budget.wait(0, now);
                if let Some(short) = wait.checked_sub(Duration::from_nanos(1)) {
                    prop_assert!(!budget.has_token_for(Priority::Client, now + short));
                }
                now += wait;
                prop_assert!(send(&mut budget, Priority::Client, now));
            }
        }
    }
}
