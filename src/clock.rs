//! The one place that reads time.
//!
//! Freshness is computed from wall-clock milliseconds of *our* clock ([`Clock::now`]), durations
//! from a monotonic reading ([`Clock::monotonic`]). Everything that waits for a moment takes a
//! [`Clock`], so that a test can move time instead of spending it.

use std::fmt;
use std::ops::Add;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// A moment on the wall clock, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// A moment given in milliseconds since the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later (a clock set back).
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Reads an RFC 3339 date-time, with or without a fraction and with any offset.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let moment: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(moment.as_millisecond()).ok().map(Self)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// RFC 3339 in UTC with milliseconds, as Retail Server and CloudEvents write it.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_millisecond(millis) {
            Ok(moment) => write!(f, "{moment:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The system's clock, or one that a test moves by hand.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(watch::Sender<Timestamp>),
}

/// The longest single sleep towards a wall-clock moment: the wall clock may be set meanwhile.
const RECHECK_WALL_CLOCK: Duration = Duration::from_secs(30);

impl Clock {
    /// The machine's clock.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `start` until [`Clock::advance`] moves it.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(watch::Sender::new(start)))
    }

    /// Moves a manual clock; clones of it move with it. The system's clock is left alone.
    pub fn advance(&self, span: Duration) {
        if let Source::Manual(moment) = &self.0 {
            moment.send_modify(|now| *now = *now + span);
        }
    }

    /// The wall clock.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
            }
            Source::Manual(moment) => *moment.borrow(),
        }
    }

    /// A reading that never goes back, for durations; its zero is arbitrary.
    pub fn monotonic(&self) -> Duration {
        static ZERO: OnceLock<Instant> = OnceLock::new();
        match &self.0 {
            Source::System => ZERO.get_or_init(Instant::now).elapsed(),
            Source::Manual(moment) => Duration::from_millis(moment.borrow().as_millis()),
        }
    }

    /// Returns once the clock stands at `moment` or past it.
    pub async fn sleep_until(&self, moment: Timestamp) {
        match &self.0 {
            Source::System => loop {
                let left = moment.saturating_since(self.now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(RECHECK_WALL_CLOCK)).await;
            },
            Source::Manual(sender) => {
                // The sender is held by `self`, so the channel cannot close under the wait.
                let _ = sender.subscribe().wait_for(|now| *now >= moment).await;
            }
        }
    }

    /// Returns once [`Clock::monotonic`] reads this or more, whatever is done to the wall clock.
    pub async fn sleep_until_monotonic(&self, reading: Duration) {
        match &self.0 {
            Source::System => loop {
                let left = reading.saturating_sub(self.monotonic());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left).await;
            },
            Source::Manual(sender) => {
                let reached = |now: &Timestamp| Duration::from_millis(now.as_millis()) >= reading;
                // The sender is held by `self`, so the channel cannot close under the wait.
                let _ = sender.subscribe().wait_for(reached).await;
            }
        }
    }

    /// Returns after `span` on this clock.
    pub async fn sleep(&self, span: Duration) {
        self.sleep_until(self.now() + span).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_written_and_read_back_as_rfc_3339() {
        let moment = Timestamp::from_millis(1_777_284_000_123);
        assert_eq!(moment.to_string(), "2026-04-27T10:00:00.123Z");
        assert_eq!(Timestamp::parse_rfc3339("2026-04-27T12:00:00.123+02:00"), Some(moment));
        assert_eq!(Timestamp::parse_rfc3339("2026-04-27"), None);
        assert_eq!(Timestamp::parse_rfc3339("1066-10-14T09:00:00Z"), None);
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_its_sleepers_when_it_is_moved() {
        let clock = Clock::manual(Timestamp::from_millis(1_000));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(Timestamp::from_millis(1_050)).await }
        });
        clock.advance(Duration::from_millis(49));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_millis(1));
        sleeper.await.unwrap();
    }

    #[tokio::test]
    async fn a_moment_between_two_milliseconds_is_waited_for_until_it_is_past() {
        let clock = Clock::manual(Timestamp::from_millis(1_000));
        let reading = clock.monotonic() + Duration::from_micros(1_500);
        let mut sleep = std::pin::pin!(clock.sleep_until_monotonic(reading));
        clock.advance(Duration::from_millis(1));
        assert!(futures_util::poll!(sleep.as_mut()).is_pending());
        clock.advance(Duration::from_millis(1));
        sleep.await;
        let clock = Clock::system();
        let reading = clock.monotonic() + Duration::from_millis(2);
        clock.sleep_until_monotonic(reading).await;
        assert!(clock.monotonic() >= reading);
    }
}
