//! How many requests may be at the origin at once: found out by its latency, without I/O.
//!
//! No figure is published for what a Scale Unit bears, and it changes with what else it does. By
//! Little's law a queue shows as latency: so the limit goes by the *gradient*, the ratio of the usual
//! latency to the present one, as in Netflix' concurrency-limits (Gradient2Limit):
//!
//! ```text
//! gradient = usual × tolerance ÷ present, between ½ and 1
//! limit    = half of the way from limit to limit × gradient + √limit
//! ```
//!
//! The root is the queue that is allowed, so that there is something to notice when the origin can
//! take more. It differs from that model where that is known to fail:
//!
//! - *The usual is learned from unloaded answers alone*, those that shared the origin with no more
//!   than half of the limit. A plain long-term average follows the latency of an origin that is
//!   overloaded for minutes, until that is usual and the limit grows again. Where load leaves none to
//!   learn from, the limit is halved for a moment twice a minute (as BBR does for its round-trip
//!   time, and Envoy's gradient controller for its minimum).
//! - *Each class has a usual latency of its own*, and its spread counts: see `latency.rs`.
//! - *A round is judged once.* What had left before the limit was last lowered says nothing about the
//!   present limit (RFC 5681 §3.1 halves once a window for the same reason).
//!
//! It changes only while it is used, by half of it at least: an origin that is slow with little to do
//! is not slow because of us, and a limit that nobody has tried proves nothing. 429, 503, 504 and
//! failures lower it by a fifth, once a round.

use std::time::Duration;

use super::latency::{Recent, Usual};
use crate::operation::Class;

/// Times the usual latency that are still no queue.
const TOLERANCE: f64 = 1.2;

/// Of the limit, after a round with an overload.
const AFTER_OVERLOAD: f64 = 0.8;

/// The least answers that a judgement is of.
const ROUND: f64 = 10.0;

/// Lessons that are wanted in each span of [`LEARN_EVERY`], and that end a pause for learning.
const LESSONS: u32 = 30;

/// How long without these until the limit is halved to get them.
const LEARN_EVERY: Duration = Duration::from_secs(30);

/// The longest that it stays halved for it.
const LEARN_FOR: Duration = Duration::from_secs(5);

/// An answer, as it counts here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// The class of the operation; none of what the catalogue does not know.
    pub(super) class: Option<Class>,
    /// When the request left.
    pub(super) left_at: Duration,
    /// The most requests that were seen at the origin with it, itself included.
    pub(super) load: usize,
}

/// The limit.
#[derive(Debug)]
pub(super) struct Concurrency {
    floor: f64,
    ceiling: f64,
    limit: f64,
    lowered_at: Duration,
    usual: Usual,
    round: Round,
    lessons: u32,
    lessons_since: Duration,
    learning_since: Option<Duration>,
}

#[derive(Debug, Default)]
struct Round {
    recent: Recent,
    load: usize,
}

impl Concurrency {
    /// Begins between floor and ceiling, at their geometric mean.
    pub(super) fn new(floor: usize, ceiling: usize, now: Duration) -> Self {
        let (floor, ceiling) = (floor as f64, ceiling as f64);
        Self {
            floor,
            ceiling,
            limit: (floor * ceiling).sqrt(),
            lowered_at: Duration::ZERO,
            usual: Usual::default(),
            round: Round::default(),
            lessons: 0,
            lessons_since: now,
            learning_since: None,
        }
    }

    /// Keeps to these bounds from now on. What was found out within them stands.
    pub(super) fn set_bounds(&mut self, floor: usize, ceiling: usize) {
        (self.floor, self.ceiling) = (floor as f64, ceiling as f64);
        self.limit = self.limit.clamp(self.floor, self.ceiling);
    }

    /// How many may be there at once.
    pub(super) fn limit(&self) -> usize {
        match self.learning_since {
            Some(_) => self.unloaded(),
            None => self.limit as usize,
        }
    }

    /// A working origin has answered.
    pub(super) fn answered(&mut self, sample: Sample, now: Duration) {
        let latency = now.saturating_sub(sample.left_at);
        if sample.left_at >= self.lowered_at && self.learning_since.is_none() {
            self.usual.compare(sample.class, latency, &mut self.round.recent);
            self.round.load = self.round.load.max(sample.load);
        }
        if sample.load <= self.unloaded() || !self.usual.knows(sample.class) {
            self.usual.learn(sample.class, latency);
            self.lessons += 1;
        }
        self.judge(now);
        self.see_to_lessons(now);
    }

    /// The origin has too much to do, by its answer to a request that had left then.
    pub(super) fn overloaded(&mut self, left_at: Duration, now: Duration) {
        if left_at >= self.lowered_at {
            self.lower_to(self.limit * AFTER_OVERLOAD, now);
        }
    }

    /// Who was shut out is let in a few at a time.
    pub(super) fn restart(&mut self, now: Duration) {
        self.lower_to(self.floor, now);
    }

    /// Judges a round once every request that fits in it has been answered.
    fn judge(&mut self, now: Duration) {
        let Round { recent, load } = &self.round;
        if f64::from(recent.count()) < self.limit.max(ROUND) {
            return;
        }
        let (slowdown, is_used) = (recent.slowdown(), 2 * load >= self.limit as usize);
        self.round = Round::default();
        if !is_used {
            return;
        }
        let gradient = (TOLERANCE / slowdown).clamp(0.5, 1.0);
        let aim = self.limit * gradient + self.limit.sqrt();
        let limit = f64::midpoint(self.limit, aim);
        if limit < self.limit {
            self.lower_to(limit, now);
        } else {
            self.limit = limit.min(self.ceiling);
        }
    }

    fn see_to_lessons(&mut self, now: Duration) {
        let waits_for = now.saturating_sub(self.lessons_since);
        let learns_for = self.learning_since.map(|since| now.saturating_sub(since));
        if self.lessons >= LESSONS || learns_for.is_some_and(|span| span >= LEARN_FOR) {
            if self.learning_since.take().is_some() {
                self.round = Round::default();
                // What left while it was halved is of another load.
                self.lowered_at = now;
            }
            self.lessons = 0;
            self.lessons_since = now;
        } else if waits_for >= LEARN_EVERY && learns_for.is_none() {
            self.learning_since = Some(now);
        }
    }

    fn lower_to(&mut self, limit: f64, now: Duration) {
        self.limit = limit.max(self.floor);
        self.lowered_at = now;
        self.round = Round::default();
    }

    /// The load up to which an answer's latency is taken to be its own.
    fn unloaded(&self) -> usize {
        (self.limit / 2.0).max(self.floor) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    const MS: Duration = Duration::from_millis(1);

    /// An origin with so many servers and one queue, that is asked for more than it can do: whenever
    /// the limit allows it, another request leaves. Random numbers are the same in every run.
    struct World {
        limit: Concurrency,
        demand: usize,
        /// Service times, each as likely, with their class.
        work: Vec<(Option<Class>, Duration)>,
        now: Duration,
        random: u64,
        free_at: BinaryHeap<Reverse<Duration>>,
        under_way: BinaryHeap<Reverse<(Duration, Duration, usize, usize)>>,
    }

    impl World {
        fn new(servers: usize, work: &[(Option<Class>, Duration)]) -> Self {
            Self {
                limit: Concurrency::new(4, 128, Duration::ZERO),
                demand: usize::MAX,
                work: work.to_vec(),
                now: Duration::ZERO,
                random: 1,
                free_at: (0..servers).map(|_| Reverse(Duration::ZERO)).collect(),
                under_way: BinaryHeap::new(),
            }
        }

        /// Between 0 and 1, by Knuth's linear congruence.
        fn random(&mut self) -> f64 {
            self.random = self
                .random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.random >> 11) as f64 / (1_u64 << 53) as f64
        }

        fn resize(&mut self, servers: usize) {
            self.free_at = (0..servers).map(|_| Reverse(self.now)).collect();
        }

        /// A service time: one of the kinds, exponentially spread around three quarters of it.
        fn service(&mut self, kind: usize) -> Duration {
            let usual = self.work[kind].1;
            usual.mul_f64(0.25) + usual.mul_f64(-0.75 * (1.0 - self.random()).ln())
        }

        fn send(&mut self) {
            let kind = (self.random() * self.work.len() as f64) as usize;
            let service = self.service(kind);
            let Reverse(free_at) = self.free_at.pop().unwrap();
            let ends_at = free_at.max(self.now) + service;
            self.free_at.push(Reverse(ends_at));
            let load = self.under_way.len() + 1;
            self.under_way.push(Reverse((ends_at, self.now, load, kind)));
        }

        /// Runs for so long, and tells the mean of the limit over its second half.
        fn run(&mut self, span: Duration) -> f64 {
            let (half, end) = (self.now + span / 2, self.now + span);
            let (mut sum, mut count) = (0.0, 0.0);
            while self.now < end {
                while self.under_way.len() < self.limit.limit().min(self.demand) {
                    self.send();
                }
                let Reverse((ends_at, left_at, load, kind)) = self.under_way.pop().unwrap();
                self.now = ends_at;
                let load = load.max(self.under_way.len() + 1);
                let sample = Sample { class: self.work[kind].0, left_at, load };
                self.limit.answered(sample, self.now);
                if self.now >= half {
                    sum += self.limit.limit() as f64;
                    count += 1.0;
                }
            }
            sum / count
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    fn sale() -> Vec<(Option<Class>, Duration)> {
        vec![
            (Some(Class::Price), 40 * MS),
            (Some(Class::Product), 80 * MS),
            (Some(Class::Search), 900 * MS),
        ]
    }

    fn near(servers: usize, limit: f64) {
        let servers = servers as f64;
        assert!((0.8 * servers..2.0 * servers).contains(&limit), "{limit} for {servers}");
    }

    #[test]
    fn the_limit_settles_near_what_the_origin_can_do() {
        for servers in [6, 20, 60] {
            for (usual, minutes) in [(5, 1), (100, 5), (1_000, 5)] {
                near(servers, World::new(servers, &[(None, usual * MS)]).run(minutes * MINUTE));
            }
        }
    }

    #[test]
    fn it_stays_there_however_long_the_origin_is_asked_for_too_much() {
        let mut world = World::new(20, &[(None, 100 * MS)]);
        for _ in 0..6 {
            near(20, world.run(10 * MINUTE));
        }
    }

    #[test]
    fn it_follows_an_origin_that_can_do_more_or_less() {
        let mut world = World::new(20, &sale());
        world.run(5 * MINUTE);
        for servers in [60, 10, 40] {
            world.resize(servers);
            near(servers, world.run(2 * MINUTE));
        }
    }

    #[test]
    fn operations_of_different_latency_are_no_queue() {
        let rare_and_slow = [vec![(None, 10 * MS); 19], vec![(None, 2_000 * MS)]].concat();
        for work in [sale(), vec![(None, 5 * MS), (None, 500 * MS)], rare_and_slow] {
            near(20, World::new(20, &work).run(5 * MINUTE));
        }
    }

    #[test]
    fn a_wave_of_slow_operations_is_no_queue() {
        let mut world = World::new(20, &sale());
        world.run(5 * MINUTE);
        for only in sale() {
            world.work.fill(only);
            near(20, world.run(MINUTE));
        }
    }

    #[test]
    fn operations_that_become_slower_for_good_are_no_queue_in_the_end() {
        let mut world = World::new(20, &sale());
        world.run(5 * MINUTE);
        world.work.iter_mut().for_each(|(_, usual)| *usual *= 3);
        world.run(3 * MINUTE);
        near(20, world.run(5 * MINUTE));
    }

    #[test]
    fn it_does_not_grow_while_it_is_not_used() {
        let mut world = World::new(60, &[(None, 100 * MS)]);
        assert_eq!(world.limit.limit(), 22);
        world.demand = 8;
        assert!((world.run(5 * MINUTE) - 22.0).abs() < 0.1);
        world.demand = 16;
        assert!(world.run(5 * MINUTE) < 2.0 * 16.0 + 6.0, "no further than twice what was used");
    }

    #[test]
    fn it_keeps_between_floor_and_ceiling() {
        let mut limit = Concurrency::new(4, 4, Duration::ZERO);
        for second in 0..100 {
            let (left_at, now) = (Duration::from_secs(second), Duration::from_secs(second + 1));
            limit.answered(Sample { class: None, left_at, load: 4 }, now);
            limit.overloaded(left_at, now);
            assert_eq!(limit.limit(), 4);
        }
        let mut world = World::new(500, &[(None, 100 * MS)]);
        assert!((115.0..=128.0).contains(&world.run(5 * MINUTE)));
    }

    #[test]
    fn a_round_of_overload_counts_once() {
        let mut limit = Concurrency::new(4, 100, Duration::ZERO);
        assert_eq!(limit.limit(), 20);
        for _ in 0..20 {
            limit.overloaded(MS, 2 * MS);
        }
        assert_eq!(limit.limit(), 16);
        limit.overloaded(2 * MS, 3 * MS);
        assert_eq!(limit.limit(), 12);
        limit.restart(4 * MS);
        assert_eq!(limit.limit(), 4);
    }
}
