//! How figures are told.

use std::fmt;
use std::time::Duration;

/// Times, in order.
pub(crate) struct Figures(Vec<Duration>);

impl Figures {
    pub(crate) fn at(&self, share: f64) -> Duration {
        let last = self.0.len() - 1;
        self.0[((self.0.len() as f64 * share).ceil() as usize).saturating_sub(1).min(last)]
    }
}

impl FromIterator<Duration> for Figures {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        let mut times: Vec<_> = times.into_iter().collect();
        assert!(!times.is_empty(), "nothing was measured");
        times.sort_unstable();
        Self(times)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n {}", self.0.len())?;
        for (name, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
            write!(f, ", {name} {:.3}", millis(self.at(share)))?;
        }
        write!(f, " ms")
    }
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What must be met.
#[derive(Default)]
pub(crate) struct Targets {
    missed: usize,
}

impl Targets {
    pub(crate) fn at_most(&mut self, what: &str, measured: f64, most: f64, unit: &str) {
        let is_met = measured <= most;
        self.missed += usize::from(!is_met);
        let told = if is_met { "met" } else { "MISSED" };
        println!("  target {told}: {what} {measured:.3} {unit}, at most {most} {unit}");
    }

    pub(crate) const fn all_met(&self) -> bool {
        self.missed == 0
    }
}
