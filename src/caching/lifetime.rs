//! How long an answer is fresh, and how old it came, by HTTP's own rules (RFC 9111 §4.2).
//!
//! An origin gives a lifetime, or a moment of expiry beside its own `Date`, so that its clock and
//! ours need not agree on it. They do matter for the age: an answer dated in the past is taken to
//! have spent the time since on its way (RFC 9111 §4.2.3).
//!
//! What is there and cannot be read, or says two things, makes the answer stale (§4.2.1): a wrong
//! guess would outlive the truth, a question to the origin does not.

use std::time::Duration;

use http::header::{DATE, EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, HeaderName};

use super::cache_control::ResponseDirectives;
use super::http_date;
use super::storability;
use crate::clock::Timestamp;

/// When a request left for the origin and when its answer came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exchange {
    /// When the request left, by our clock.
    pub sent_at: Timestamp,
    /// When the head of the answer arrived, by our clock.
    pub received_at: Timestamp,
}

/// The lifetime that the origin gave (RFC 9111 §4.2.1): `s-maxage`, or `max-age`, or `Expires` less
/// `Date`. `None` where it gave none, so that one may be guessed.
///
/// `Expires` does not count beside one of these directives, though it cannot be read (RFC 9111
/// §5.3), nor beside a targeted field (RFC 9213 §2.2).
pub fn explicit(
    said: &ResponseDirectives,
    headers: &HeaderMap,
    received_at: Timestamp,
) -> Option<Duration> {
    if let Some(delta) = said.lifetime() {
        return Some(delta.lifetime());
    }
    if said.is_targeted || !headers.contains_key(EXPIRES) {
        return None;
    }
    // RFC 9111 §5.3: what is no date, "0" above all, is a time in the past.
    let lifetime = moment(headers, &EXPIRES, received_at)
        .map(|expires| expires.saturating_since(date(headers, received_at)));
    Some(lifetime.unwrap_or_default())
}

/// A guess for an answer without a lifetime: that part of the time for which it had not been
/// modified when it was made, but no more than `most` (RFC 9111 §4.2.2).
pub fn heuristic(
    headers: &HeaderMap,
    received_at: Timestamp,
    percent: u8,
    most: Duration,
) -> Duration {
    let unmodified_for = moment(headers, &LAST_MODIFIED, received_at)
        .map(|modified| date(headers, received_at).saturating_since(modified));
    let seconds = unmodified_for.unwrap_or_default().as_secs();
    Duration::from_secs(seconds.saturating_mul(u64::from(percent)) / 100).min(most)
}

/// How old the answer was when it arrived: `corrected_initial_age` of RFC 9111 §4.2.3.
///
/// A `Date` names a whole second and may stand for its end, so the age that is apparent from it is
/// counted from the second in which the answer arrived.
pub fn initial_age(headers: &HeaderMap, exchange: Exchange) -> Duration {
    let Exchange { sent_at, received_at } = exchange;
    let second = Timestamp::from_millis(received_at.as_millis() / 1_000 * 1_000);
    let apparent_age = second.saturating_since(date(headers, received_at));
    let response_delay = received_at.saturating_since(sent_at);
    apparent_age.max(storability::initial_age(headers).saturating_add(response_delay))
}

/// When the answer was made; when it was received, where `Date` does not say (RFC 9110 §6.6.1).
fn date(headers: &HeaderMap, received_at: Timestamp) -> Timestamp {
    moment(headers, &DATE, received_at).unwrap_or(received_at)
}

/// The moment that a field names. Several lines must name the same one.
fn moment(headers: &HeaderMap, field: &HeaderName, now: Timestamp) -> Option<Timestamp> {
    let mut lines = headers.get_all(field).into_iter();
    let mut read = || lines.next().map(|line| http_date::parse_as_of(line.as_bytes(), now));
    let first = read()??;
    while let Some(next) = read() {
        if next != Some(first) {
            return None;
        }
    }
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::super::written::head;
    use super::*;

    const CDN: HeaderName = HeaderName::from_static("cdn-cache-control");
    const DAY: Duration = Duration::from_secs(86_400);
    const DATE_NOON: &str = "Date: Mon, 15 Jun 2026 12:00:00 GMT";
    const EXPIRES_AFTER_100_S: &str = "Expires: Mon, 15 Jun 2026 12:01:40 GMT";

    fn noon() -> Timestamp {
        Timestamp::parse_rfc3339("2026-06-15T12:00:00.900Z").unwrap()
    }

    fn given(text: &str) -> Option<u64> {
        let headers = head(text);
        let said = ResponseDirectives::of(&headers, &[CDN]);
        explicit(&said, &headers, noon()).map(|lifetime| lifetime.as_secs())
    }

    #[test]
    fn a_directive_gives_the_lifetime_and_hides_what_comes_after_it() {
        for (directives, expected) in [
            ("Cache-Control: max-age=5, s-maxage=7", Some(7)),
            ("Cache-Control: max-age=5", Some(5)),
            ("Cache-Control: max-age=0", Some(0)),
            ("Cache-Control: max-age=x", Some(0)),
            ("Cache-Control: s-maxage=, max-age=5", Some(0)),
            ("Cache-Control: s-maxage=7, max-age=x", Some(7)),
            ("Cache-Control: public, no-transform, must-revalidate", Some(100)),
            ("CDN-Cache-Control: max-age=3 | Cache-Control: s-maxage=5", Some(3)),
            // RFC 9213 §2.2: then neither Cache-Control nor Expires is for this cache.
            ("CDN-Cache-Control: must-revalidate | Cache-Control: max-age=5", None),
            // RFC 9111 §5.4.
            ("Pragma: no-cache", Some(100)),
        ] {
            let with_expires = format!("{directives} | {DATE_NOON} | {EXPIRES_AFTER_100_S}");
            assert_eq!(given(&with_expires), expected, "{directives}");
        }
        assert_eq!(given("Cache-Control: public, must-revalidate"), None);
    }

    #[test]
    fn expires_counts_from_date_and_is_past_where_it_is_no_date() {
        for (fields, expected) in [
            ("", None),
            // Without a Date, from the time of receipt.
            ("Expires: Mon, 15 Jun 2026 12:01:40 GMT", Some(99)),
            ("Expires: Mon, 15 Jun 2026 12:01:40 GMT | Date: today", Some(99)),
            // The difference counts, whatever our clock shows.
            (
                "Expires: Mon, 15 Jun 2026 12:01:40 GMT | Date: Mon, 15 Jun 2026 12:01:30 GMT",
                Some(10),
            ),
            (
                "Expires: Wed, 15 Jun 2005 12:01:40 GMT | Date: Wed, 15 Jun 2005 12:00:00 GMT",
                Some(100),
            ),
            (
                "Expires: Mon, 15 Jun 2026 12:00:00 GMT | Date: Mon, 15 Jun 2026 13:00:00 GMT",
                Some(0),
            ),
            ("Expires: Mon, 15 Jun 2026 12:00:00 GMT", Some(0)),
            ("Expires: 0", Some(0)),
            ("Expires: -1", Some(0)),
            ("Expires:", Some(0)),
            ("Expires: Mon, 15 Jun 2026 12:01:40 CEST", Some(0)),
            ("Expires: Monday, 15-Jun-26 12:01:40 GMT", Some(99)),
            ("Expires: Mon Jun 15 12:01:40 2026", Some(99)),
            (
                "Expires: Fri, 31 Dec 9999 23:59:59 GMT | Date: Fri, 31 Dec 9999 23:59:50 GMT",
                Some(9),
            ),
            // Twice the same is once; two that differ make the answer stale.
            (
                "Expires: Mon, 15 Jun 2026 12:01:40 GMT | Expires: Mon Jun 15 12:01:40 2026",
                Some(99),
            ),
            (
                "Expires: Mon, 15 Jun 2026 12:01:40 GMT | Expires: Mon, 15 Jun 2026 12:01:41 GMT",
                Some(0),
            ),
            ("Expires: Mon | Expires: 15 Jun 2026 12:01:40 GMT", Some(0)),
        ] {
            assert_eq!(given(fields), expected, "{fields}");
        }
    }

    #[test]
    fn a_guess_is_a_part_of_the_time_since_the_last_modification() {
        for (modified, expected) in [
            ("", 0),
            ("Last-Modified: Mon, 15 Jun 2026 11:00:00 GMT", 360),
            ("Last-Modified: Mon Jun 15 11:00:00 2026", 360),
            ("Last-Modified: Thu, 15 Jun 2006 12:00:00 GMT", 86_400),
            ("Last-Modified: Mon, 15 Jun 2026 12:00:00 GMT", 0),
            ("Last-Modified: Mon, 15 Jun 2026 13:00:00 GMT", 0),
            ("Last-Modified: yesterday", 0),
            ("Last-Modified: Sun, 14 Jun 2026 12:00:00 GMT | Last-Modified: 0", 0),
        ] {
            for fields in [modified.to_owned(), format!("{modified} | {DATE_NOON}")] {
                let guess = heuristic(&head(&fields), noon(), 10, DAY);
                assert_eq!(guess.as_secs(), expected, "{fields}");
            }
        }
        // The time that counts is the origin's own.
        let fields = "Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT \
                      | Date: Sat, 01 Jan 2000 00:01:40 GMT";
        assert_eq!(heuristic(&head(fields), noon(), 10, DAY), Duration::from_secs(10));
        assert_eq!(heuristic(&head(fields), noon(), 0, DAY), Duration::ZERO);
        assert_eq!(heuristic(&head(fields), noon(), 255, DAY), Duration::from_secs(255));
    }

    #[test]
    fn an_answer_came_as_old_as_the_older_of_its_age_and_its_date_says() {
        let sent_at = Timestamp::from_millis(noon().as_millis() - 2_000);
        for (fields, expected) in [
            // The time that the request took counts (RFC 9111 §4.2.3).
            ("", 2_000),
            ("Age: 60", 62_000),
            ("Age: 60, 90", 62_000),
            ("Age: 60 | Age: 90", 62_000),
            ("Age: 0 | Age: 90", 2_000),
            ("Age: -60", 2_000),
            ("Age: 60.0", 2_000),
            ("Age: 7200;x", 2_000),
            ("Age: x, 90", 2_000),
            ("Age: 99999999999999999999", 2_147_483_650_000),
            ("Date: Mon, 15 Jun 2026 12:00:00 GMT", 2_000),
            ("Date: Mon, 15 Jun 2026 11:59:00 GMT", 60_000),
            ("Date: Mon, 15 Jun 2026 11:59:00 GMT | Age: 50", 60_000),
            ("Date: Mon, 15 Jun 2026 11:59:00 GMT | Age: 70", 72_000),
            ("Date: Mon, 15 Jun 2026 12:59:00 GMT | Age: 50", 52_000),
            ("Date: noon", 2_000),
        ] {
            let age = initial_age(&head(fields), Exchange { sent_at, received_at: noon() });
            assert_eq!(age, Duration::from_millis(expected), "{fields}");
        }
        // A Date of this very second is no age, however late in it the answer came; and a clock set
        // back between request and answer makes none either.
        let exchange = Exchange { sent_at: noon() + DAY, received_at: noon() };
        assert_eq!(initial_age(&head(DATE_NOON), exchange), Duration::ZERO);
    }
}
