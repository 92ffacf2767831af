//! Fresh, stale or expired (RFC 9111 §4.2, RFC 5861 §3 and §4).
//!
//! From when an answer came on, only *our* clock counts: the current age is the age that it came
//! with plus the time since (RFC 9111 §4.2.3). What the catalogue knows trusts no `Date` for the age
//! that it came with, so that two clocks never have to agree; what follows HTTP's own rules does as
//! they say ([`super::lifetime::initial_age`]). A clock set back makes an answer younger than it is,
//! at most by the step.

use std::time::Duration;

use super::cache_control::{MaxStale, RequestDirectives};
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
    /// Never served stale, whoever would have it so: `must-revalidate`, `proxy-revalidate`,
    /// `s-maxage` or `no-cache` came with it (RFC 9111 §4.2.4).
    pub must_revalidate: bool,
    /// How long past its life it is kept all the same, for the origin to confirm it.
    pub keep_for: Duration,
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
    /// Serve at once to this client, which said that it takes stale answers
    /// (`max-stale`, RFC 9111 §5.2.1.2).
    pub to_this_client: bool,
}

/// What may be done with an answer for one request, as far as time, purges and the client's own
/// wishes are concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// To be served.
    Fresh,
    /// Past its freshness lifetime (RFC 9211 §2.2: `fwd=stale`).
    Stale(StaleUse),
    /// Fresh, but this client wants it validated first, or fresher (RFC 9211 §2.2: `fwd=request`).
    /// All that it may do without is to stand in when the origin fails.
    Refused(StaleUse),
}

impl Freshness {
    /// That of an answer whose lifetimes are the catalogue's.
    pub const fn of_catalogue(
        received_at: Timestamp,
        initial_age: Duration,
        lifetimes: Lifetimes,
    ) -> Self {
        let (must_revalidate, keep_for) = (false, Duration::ZERO);
        Self { received_at, initial_age, lifetimes, must_revalidate, keep_for }
    }

    /// The current age (RFC 9111 §4.2.3).
    pub fn age(&self, now: Timestamp) -> Duration {
        self.initial_age.saturating_add(now.saturating_since(self.received_at))
    }

    /// Whether a fifth of the freshness lifetime is left at most.
    pub fn is_ending(&self, now: Timestamp) -> bool {
        self.left(now) <= self.lifetimes.fresh_for / 5
    }

    /// What is left of the freshness lifetime.
    pub fn left(&self, now: Timestamp) -> Duration {
        self.lifetimes.fresh_for.saturating_sub(self.age(now))
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
        State::Stale(self.stale_use(age))
    }

    /// What the origin lets a stale answer of this age do.
    fn stale_use(&self, age: Duration) -> StaleUse {
        let overdue = age.saturating_sub(self.lifetimes.fresh_for);
        let may_be_stale = !self.must_revalidate;
        StaleUse {
            while_revalidating: may_be_stale && overdue < self.lifetimes.stale_while_revalidate,
            if_error: may_be_stale && overdue < self.lifetimes.stale_if_error,
            to_this_client: false,
        }
    }

    /// The time after which the answer is of no use any more, from its arrival.
    pub fn life(&self) -> Duration {
        let life = self.lifetimes.life().saturating_sub(self.initial_age);
        life.saturating_add(self.keep_for)
    }

    /// What is left of that time.
    pub fn life_left(&self, now: Timestamp) -> Duration {
        self.life().saturating_sub(now.saturating_since(self.received_at))
    }
}

/// What a stored answer can do for a request with these directives (RFC 9111 §4, §5.2.1).
///
/// Stale windows apply to what expired or was softly purged, never to what was hard-purged.
/// `only-if-cached` and `no-store` are about what happens then, and are not looked at.
pub fn judge(
    freshness: &Freshness,
    purged: PurgeState,
    request: &RequestDirectives,
    now: Timestamp,
) -> Option<Judgement> {
    let softly_purged = match purged {
        PurgeState::HardPurged => return None,
        PurgeState::SoftPurged => true,
        PurgeState::Usable => false,
    };
    let age = freshness.age(now);
    Some(match freshness.state(now, softly_purged) {
        State::Fresh if wants_validation(freshness, request, age) => {
            let stale = freshness.stale_use(age);
            let if_error = stale.if_error || excuses_errors(freshness, request, age);
            Judgement::Refused(StaleUse { if_error, ..StaleUse::default() })
        }
        State::Fresh => Judgement::Fresh,
        State::Stale(stale) => {
            let takes_stale = !wants_validation(freshness, request, age)
                // RFC 9111 §5.2.1.1: with max-age, none that is stale, unless max-stale is there too.
                && (request.max_age.is_none() || request.max_stale.is_some());
            Judgement::Stale(StaleUse {
                while_revalidating: stale.while_revalidating && takes_stale,
                if_error: stale.if_error || excuses_errors(freshness, request, age),
                to_this_client: takes_stale && allows_stale(freshness, request, age, softly_purged),
            })
        }
    })
}

/// Whether the client asks for more than an answer of this age: `no-cache`, `max-age`, `min-fresh`.
///
/// A `max-age=0` is never met, though a stored answer can be less than a second old: whoever sends
/// it asks for validation. That holds for an `immutable` answer too (RFC 8246 §2.1).
fn wants_validation(freshness: &Freshness, request: &RequestDirectives, age: Duration) -> bool {
    let is_too_old = |most: Duration| most.is_zero() || age > most;
    let ends_too_soon = |least: Duration| freshness.lifetimes.fresh_for < age.saturating_add(least);
    request.no_cache
        || request.max_age.is_some_and(is_too_old)
        || request.min_fresh.is_some_and(ends_too_soon)
}

/// RFC 9111 §5.2.1.2. Of a softly purged answer nobody knows since when it is stale, so a limit on
/// that is not met.
fn allows_stale(
    freshness: &Freshness,
    request: &RequestDirectives,
    age: Duration,
    softly_purged: bool,
) -> bool {
    let overdue = age.saturating_sub(freshness.lifetimes.fresh_for);
    !freshness.must_revalidate
        && match request.max_stale {
            None => false,
            Some(MaxStale::Any) => true,
            Some(MaxStale::For(most)) => !softly_purged && overdue <= most,
        }
}

/// RFC 5861 §4: the client takes a stale answer for an error.
fn excuses_errors(freshness: &Freshness, request: &RequestDirectives, age: Duration) -> bool {
    let overdue = age.saturating_sub(freshness.lifetimes.fresh_for);
    !freshness.must_revalidate && request.stale_if_error.is_some_and(|most| overdue < most)
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
            must_revalidate: false,
            keep_for: Duration::ZERO,
        }
    }

    fn at(seconds_after_arrival: u64) -> Timestamp {
        Timestamp::from_millis(100_000 + seconds_after_arrival * 1_000)
    }

    const fn uses(while_revalidating: bool, if_error: bool, to_this_client: bool) -> StaleUse {
        StaleUse { while_revalidating, if_error, to_this_client }
    }

    const fn stale(while_revalidating: bool, if_error: bool) -> State {
        State::Stale(uses(while_revalidating, if_error, false))
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
        let judged = |purged| judge(&answer(), purged, &RequestDirectives::default(), at(0));
        assert_eq!(judged(PurgeState::HardPurged), None);
        assert_eq!(judged(PurgeState::SoftPurged), Some(Judgement::Stale(uses(true, true, false))));
    }

    #[test]
    fn age_counts_what_the_answer_came_with_and_survives_a_clock_set_back() {
        assert_eq!(answer().age(at(3)), Duration::from_secs(5));
        assert_eq!(answer().age(Timestamp::from_millis(0)), Duration::from_secs(2));
        assert_eq!(answer().ttl_seconds(at(3)), 5);
        assert_eq!(answer().ttl_seconds(at(20)), -12);
    }

    fn asking(cache_control: &'static str) -> RequestDirectives {
        let value = http::HeaderValue::from_static(cache_control);
        RequestDirectives::of(&[(http::header::CACHE_CONTROL, value)].into_iter().collect())
    }

    /// Fresh for 8 seconds after its arrival, when it is 10 seconds old.
    #[test]
    fn a_client_gets_a_stored_answer_as_far_as_its_directives_go() {
        use Judgement::{Fresh, Refused, Stale};
        let refused = Refused(uses(false, true, false));
        for (cache_control, seconds, expected) in [
            ("", 0, Fresh),
            ("no-store", 7, Fresh),
            ("only-if-cached", 7, Fresh),
            ("no-cache", 0, refused),
            // max-age: an age "less than or equal to" it.
            ("max-age=5", 3, Fresh),
            ("max-age=5", 4, refused),
            ("max-age=0", 0, refused),
            ("max-age=9999999999", 7, Fresh),
            ("max-age=x", 7, Fresh),
            ("max-age=-1", 7, Fresh),
            // min-fresh: "still fresh for at least" it.
            ("min-fresh=4", 4, Fresh),
            ("min-fresh=4", 5, refused),
            ("min-fresh=10", 0, refused),
            ("min-fresh=x", 7, Fresh),
            // Past the lifetime, by 2 seconds at the tenth.
            ("", 10, Stale(uses(true, true, false))),
            ("max-stale", 10, Stale(uses(true, true, true))),
            ("max-stale", 9_999_999, Stale(uses(false, false, true))),
            ("max-stale=2", 10, Stale(uses(true, true, true))),
            ("max-stale=1", 10, Stale(uses(true, true, false))),
            ("max-stale=x", 10, Stale(uses(true, true, false))),
            ("max-stale=", 10, Stale(uses(true, true, false))),
            // A client that asks for fresh does not take stale.
            ("no-cache", 10, Stale(uses(false, true, false))),
            ("no-cache, max-stale", 10, Stale(uses(false, true, false))),
            ("min-fresh=0", 10, Stale(uses(false, true, false))),
            ("max-age=60", 10, Stale(uses(false, true, false))),
            ("max-age=60, max-stale", 10, Stale(uses(true, true, true))),
            ("max-age=11, max-stale", 10, Stale(uses(false, true, false))),
            ("max-age=0, max-stale", 10, Stale(uses(false, true, false))),
            // RFC 5861 §4: the client's own window for errors adds to the origin's.
            ("stale-if-error=60", 40, Stale(uses(false, true, false))),
            ("stale-if-error=1", 10, Stale(uses(true, true, false))),
            ("stale-if-error", 40, Stale(uses(false, false, false))),
        ] {
            let judged = judge(&answer(), PurgeState::Usable, &asking(cache_control), at(seconds));
            assert_eq!(judged, Some(expected), "{cache_control} after {seconds} s");
        }
    }

    /// Though RFC 9111 §5.2.1.1 would let an age of zero through.
    #[test]
    fn a_client_with_max_age_zero_gets_nothing_unvalidated_not_even_what_just_came() {
        let just_made = Freshness { initial_age: Duration::ZERO, ..answer() };
        let judged = |asked| judge(&just_made, PurgeState::Usable, &asking(asked), at(0));
        assert_eq!(judged("max-age=1"), Some(Judgement::Fresh));
        assert_eq!(judged("max-age=0"), Some(Judgement::Refused(uses(false, true, false))));
    }

    #[test]
    fn what_must_be_revalidated_is_never_served_stale_whoever_asks() {
        let strict = Freshness { must_revalidate: true, ..answer() };
        assert_eq!(strict.state(at(10), false), stale(false, false));
        for cache_control in ["", "max-stale", "max-stale=60", "stale-if-error=60"] {
            let asked = asking(cache_control);
            let judged = |at| judge(&strict, PurgeState::Usable, &asked, at);
            assert_eq!(judged(at(7)), Some(Judgement::Fresh), "{cache_control}");
            let nothing = Judgement::Stale(StaleUse::default());
            assert_eq!(judged(at(8)), Some(nothing), "{cache_control}");
        }
    }

    #[test]
    fn no_client_can_undo_a_purge() {
        let judged = |purged, asked| judge(&answer(), purged, &asking(asked), at(0));
        assert_eq!(judged(PurgeState::HardPurged, "max-stale"), None);
        let soft = |asked| judged(PurgeState::SoftPurged, asked);
        assert_eq!(soft("max-stale"), Some(Judgement::Stale(uses(true, true, true))));
        assert_eq!(soft("max-stale=60"), Some(Judgement::Stale(uses(true, true, false))));
    }

    #[test]
    fn no_age_is_too_large() {
        let oldest = Freshness { initial_age: Duration::MAX, ..answer() };
        let asked = asking("min-fresh=60, max-stale=60");
        let end_of_time = Timestamp::from_millis(u64::MAX);
        let judged = judge(&oldest, PurgeState::Usable, &asked, end_of_time);
        assert_eq!(judged, Some(Judgement::Stale(StaleUse::default())));
        assert!(oldest.ttl_seconds(end_of_time) < 0);
    }
}
