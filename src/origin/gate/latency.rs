//! What is usual for a kind of work, and how far from it the present is: averages, without I/O.
//!
//! Latencies are compared as logarithms: one that doubles weighs the same, whether it was 5 ms or
//! 2 s, and one straggler does not drown a hundred others. Each class of the catalogue has its usual
//! latency of its own, so that a wave of searches after a wave of prices is not taken for an origin
//! that has become slow. The spread is kept as well: where a kind is a mix of fast and slow, more is
//! needed to prove anything.

use std::time::Duration;

use crate::operation::Class;

/// The classes, and one more for what the catalogue does not know.
const KINDS: usize = Class::ALL.len() + 1;

/// Lessons that the long-term average is about: older ones fade.
const LONG_TERM: f64 = 60.0;

/// Lessons after which a kind's usual latency is known.
const KNOWN_AFTER: u32 = 10;

/// The most that one answer deviates, as a logarithm: tenfold.
const FURTHEST: f64 = std::f64::consts::LN_10;

/// The long-term averages.
#[derive(Debug, Default)]
pub(super) struct Usual([Average; KINDS]);

#[derive(Clone, Copy, Debug, Default)]
struct Average {
    lessons: u32,
    mean: f64,
    variance: f64,
}

impl Usual {
    #[allow(clippy::indexing_slicing, reason = "one element for each variant, and one for `None`")]
    const fn of(&mut self, class: Option<Class>) -> &mut Average {
        match class {
            Some(class) => &mut self.0[class as usize],
            None => &mut self.0[KINDS - 1],
        }
    }

    /// Whether enough is known of this class to judge by.
    pub(super) const fn knows(&mut self, class: Option<Class>) -> bool {
        self.of(class).lessons >= KNOWN_AFTER
    }

    /// A latency that was not of queueing.
    pub(super) fn learn(&mut self, class: Option<Class>, latency: Duration) {
        let average = self.of(class);
        average.lessons = average.lessons.saturating_add(1);
        let weight = 1.0 / f64::from(average.lessons).min(LONG_TERM);
        let deviation = logarithm(latency) - average.mean;
        average.mean += weight * deviation;
        average.variance = (1.0 - weight) * (average.variance + weight * deviation * deviation);
    }

    /// Adds a latency to the short-term average, if its class is known.
    pub(super) fn compare(&mut self, class: Option<Class>, latency: Duration, to: &mut Recent) {
        let average = *self.of(class);
        if average.lessons >= KNOWN_AFTER {
            to.count += 1;
            to.deviations += (logarithm(latency) - average.mean).clamp(-FURTHEST, FURTHEST);
            to.variances += average.variance;
        }
    }
}

/// The short-term average: of how far the latest answers were from what is usual for them.
#[derive(Debug, Default)]
pub(super) struct Recent {
    count: u32,
    deviations: f64,
    variances: f64,
}

impl Recent {
    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// How many times the usual latency it was, less what chance alone may bring (one standard
    /// error).
    pub(super) fn slowdown(&self) -> f64 {
        let count = f64::from(self.count.max(1));
        (self.deviations / count - self.variances.sqrt() / count).exp()
    }
}

fn logarithm(latency: Duration) -> f64 {
    latency.max(Duration::from_micros(1)).as_secs_f64().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn slowdown(usual: &mut Usual, latencies: &[(Option<Class>, u64)]) -> f64 {
        let mut recent = Recent::default();
        for (class, millis) in latencies {
            usual.compare(*class, ms(*millis), &mut recent);
        }
        recent.slowdown()
    }

    #[test]
    fn each_class_is_compared_with_itself() {
        let mut usual = Usual::default();
        for _ in 0..KNOWN_AFTER {
            usual.learn(Some(Class::Price), ms(20));
            usual.learn(Some(Class::Search), ms(2_000));
        }
        let searches = [(Some(Class::Search), 2_000); 20];
        assert!((slowdown(&mut usual, &searches) - 1.0).abs() < 0.01);
        let slow = [(Some(Class::Search), 4_000), (Some(Class::Price), 40)];
        assert!((slowdown(&mut usual, &slow) - 2.0).abs() < 0.01);
        let unknown = [(Some(Class::Product), 60_000), (None, 60_000)];
        assert!((slowdown(&mut usual, &unknown) - 1.0).abs() < 0.01);
    }

    #[test]
    fn the_usual_follows_a_lasting_change() {
        let mut usual = Usual::default();
        (0..200).for_each(|_| usual.learn(None, ms(100)));
        (0..200).for_each(|_| usual.learn(None, ms(300)));
        assert!((slowdown(&mut usual, &[(None, 300); 50]) - 1.0).abs() < 0.1);
    }

    #[test]
    fn a_spread_that_is_usual_proves_nothing() {
        let mut usual = Usual::default();
        for _ in 0..100 {
            usual.learn(None, ms(10));
            usual.learn(None, ms(1_000));
        }
        let by_chance = [(None, 1_000), (None, 1_000), (None, 1_000), (None, 10)];
        assert!(slowdown(&mut usual, &by_chance) < 1.2);
        assert!(slowdown(&mut usual, &[(None, 1_000); 50]) > 5.0);
    }

    #[test]
    fn a_straggler_is_not_a_slow_origin() {
        let mut usual = Usual::default();
        (0..100).for_each(|lesson| usual.learn(None, ms(80 + lesson % 40)));
        let mut latencies = [(None, 100); 20];
        latencies[0].1 = 30_000;
        assert!(slowdown(&mut usual, &latencies) < 1.2);
    }
}
