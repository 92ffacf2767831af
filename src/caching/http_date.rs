//! Dates in fields (RFC 9110 §5.6.7), read as a cache reads them (RFC 9111 §4.2).
//!
//! All three forms are read, and nothing else: a date that is nearly right is invalid, because an
//! invalid `Expires` only makes an answer stale (RFC 9111 §5.3), while a guessed one makes it live
//! too long. Letter case is the exception: names match in any, as RFC 9111 §4.2 asks. A day of the
//! week must be one, but need not be the date's: it says nothing about the moment.

use http::HeaderValue;
use jiff::{SignedDuration, Span, civil};

use crate::clock::Timestamp;

/// Moments are civil ones here: jiff's own timestamps end a day before the calendar of HTTP does, and
/// the last second of the year 9999 is what many servers write for "never".
const EPOCH: civil::DateTime = civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

const DAYS: [&str; 7] =
    ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/// Until when a two-digit year may lie in the future, where no present is given: 50 years after
/// 2026. For a recipient of today that is the rule of RFC 9110 §5.6.7 to a few years.
const LAST_YEAR_WITHOUT_A_PRESENT: i16 = 2076;

/// The moment that an HTTP-date names; `None` where it is no such date, or one before 1970.
///
/// For a two-digit year the present is taken to be about 2026; [`parse_as_of`] takes it as given.
pub fn parse(value: &[u8]) -> Option<Timestamp> {
    read(value, |moment| moment.year() <= LAST_YEAR_WITHOUT_A_PRESENT)
}

/// The same, where a two-digit year that appears to be more than 50 years after `now` means the
/// most recent past year with these digits (RFC 9110 §5.6.7).
pub fn parse_as_of(value: &[u8], now: Timestamp) -> Option<Timestamp> {
    let latest = civil_from(now)
        .and_then(|now| now.checked_add(Span::new().years(50)).ok())
        .unwrap_or(civil::DateTime::MAX);
    read(value, |moment| moment <= latest)
}

/// An HTTP-date in the form that is to be sent (IMF-fixdate). What lies past the year 9999, which
/// that form cannot write, is its last second.
pub fn format(at: Timestamp) -> HeaderValue {
    const LAST: &str = "Fri, 31 Dec 9999 23:59:59 GMT";
    civil_from(at)
        .map(|moment| moment.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
        .and_then(|text| HeaderValue::try_from(text).ok())
        .unwrap_or(HeaderValue::from_static(LAST))
}

fn civil_from(at: Timestamp) -> Option<civil::DateTime> {
    let millis = i64::try_from(at.as_millis()).ok()?;
    EPOCH.checked_add(SignedDuration::from_millis(millis)).ok()
}

fn read(value: &[u8], is_possible: impl Fn(civil::DateTime) -> bool) -> Option<Timestamp> {
    let mut rest = Reader(value.trim_ascii());
    let day_name = rest.letters();
    let is_short = DAYS.iter().any(|day| day.get(..3).is_some_and(|day| matches(day_name, day)));
    let is_long = DAYS.iter().any(|day| matches(day_name, day));
    let moment = match rest.next()? {
        b',' if is_short => imf_fixdate(&mut rest)?,
        b',' if is_long => rfc850_date(&mut rest, is_possible)?,
        b' ' if is_short => asctime_date(&mut rest)?,
        _ => return None,
    };
    if !rest.0.is_empty() {
        return None;
    }
    let seconds = moment.duration_since(EPOCH).as_secs();
    u64::try_from(seconds).ok()?.checked_mul(1_000).map(Timestamp::from_millis)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, after its first comma.
fn imf_fixdate(rest: &mut Reader<'_>) -> Option<civil::DateTime> {
    rest.literal(b" ")?;
    let day = rest.two_digits()?;
    rest.literal(b" ")?;
    let month = rest.month()?;
    rest.literal(b" ")?;
    let year = rest.four_digits()?;
    rest.literal(b" ")?;
    let time = rest.time()?;
    rest.literal(b" gmt")?;
    date_time(year, month, day, time)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`, after its first comma.
fn rfc850_date(
    rest: &mut Reader<'_>,
    is_possible: impl Fn(civil::DateTime) -> bool,
) -> Option<civil::DateTime> {
    rest.literal(b" ")?;
    let day = rest.two_digits()?;
    rest.literal(b"-")?;
    let month = rest.month()?;
    rest.literal(b"-")?;
    let digits = rest.two_digits()?;
    rest.literal(b" ")?;
    let time = rest.time()?;
    rest.literal(b" gmt")?;
    // The latest year with these digits in which the moment is possible at all.
    (19..=99).rev().find_map(|century: i16| {
        let year = century * 100 + i16::from(digits);
        date_time(year, month, day, time).filter(|moment| is_possible(*moment))
    })
}

/// `Sun Nov  6 08:49:37 1994`, after its first space.
fn asctime_date(rest: &mut Reader<'_>) -> Option<civil::DateTime> {
    let month = rest.month()?;
    rest.literal(b" ")?;
    let day = match rest.literal(b" ") {
        Some(()) => rest.digit()?,
        None => rest.two_digits()?,
    };
    rest.literal(b" ")?;
    let time = rest.time()?;
    rest.literal(b" ")?;
    let year = rest.four_digits()?;
    date_time(year, month, day, time)
}

/// The moment, if the calendar has it. A leap second (60, RFC 9110 §5.6.7) is the second before:
/// RFC 9111 §4.2 asks for the nearest time that is not later.
fn date_time(year: i16, month: i8, day: i8, time: [i8; 3]) -> Option<civil::DateTime> {
    let [hour, minute, second] = time;
    let second = if second == 60 { 59 } else { second };
    civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()
}

/// `lower` is in lower case.
const fn matches(text: &[u8], lower: &str) -> bool {
    text.eq_ignore_ascii_case(lower.as_bytes())
}

/// What is left to read.
struct Reader<'v>(&'v [u8]);

impl<'v> Reader<'v> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// In any letter case.
    fn literal(&mut self, expected: &[u8]) -> Option<()> {
        let (start, rest) = self.0.split_at_checked(expected.len())?;
        self.0 = if start.eq_ignore_ascii_case(expected) { rest } else { return None };
        Some(())
    }

    fn letters(&mut self) -> &'v [u8] {
        let is_other = |byte: &u8| !byte.is_ascii_alphabetic();
        let end = self.0.iter().position(is_other).unwrap_or(self.0.len());
        let (letters, rest) = self.0.split_at(end);
        self.0 = rest;
        letters
    }

    fn month(&mut self) -> Option<i8> {
        let name = self.letters();
        let index = MONTHS.iter().position(|month| matches(name, month))?;
        i8::try_from(index + 1).ok()
    }

    fn digit(&mut self) -> Option<i8> {
        let byte = self.next()?;
        byte.is_ascii_digit().then(|| i8::try_from(byte - b'0').ok())?
    }

    fn two_digits(&mut self) -> Option<i8> {
        Some(self.digit()? * 10 + self.digit()?)
    }

    fn four_digits(&mut self) -> Option<i16> {
        Some(i16::from(self.two_digits()?) * 100 + i16::from(self.two_digits()?))
    }

    fn time(&mut self) -> Option<[i8; 3]> {
        let hour = self.two_digits()?;
        self.literal(b":")?;
        let minute = self.two_digits()?;
        self.literal(b":")?;
        Some([hour, minute, self.two_digits()?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(rfc3339: &str) -> Timestamp {
        Timestamp::parse_rfc3339(rfc3339).unwrap()
    }

    #[test]
    fn the_three_forms_name_the_same_moment() {
        let moment = at("1994-11-06T08:49:37Z");
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            // RFC 9111 §4.2: in any letter case.
            "SUN, 06 NOV 1994 08:49:37 gmt",
            "sunday, 06-nOV-94 08:49:37 Gmt",
            "sun nov  6 08:49:37 1994",
            // The day of the week is not the date's.
            "Mon, 06 Nov 1994 08:49:37 GMT",
            // White space around a field's value is none of it (RFC 9110 §5.5).
            " Sun, 06 Nov 1994 08:49:37 GMT\t",
        ] {
            assert_eq!(parse(text.as_bytes()), Some(moment), "{text}");
        }
        for (text, moment) in [
            ("Wed Nov 16 08:49:37 1994", "1994-11-16T08:49:37Z"),
            ("Thu, 29 Feb 2024 00:00:00 GMT", "2024-02-29T00:00:00Z"),
            ("Sat, 31 Dec 2016 23:59:60 GMT", "2016-12-31T23:59:59Z"),
            ("Thu, 01 Jan 1970 00:00:00 GMT", "1970-01-01T00:00:00Z"),
            ("Tue, 19 Jan 2038 03:14:08 GMT", "2038-01-19T03:14:08Z"),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(at(moment)), "{text}");
        }
        let never = Timestamp::from_millis(253_402_300_799_000);
        assert_eq!(parse(b"Fri, 31 Dec 9999 23:59:59 GMT"), Some(never));
        assert_eq!(format(never), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn what_is_nearly_a_date_is_none() {
        for text in [
            "",
            "0",
            "-1",
            "1994-11-06T08:49:37Z",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 AEST",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 06 Nov 1994 08:49:37 GMT+1",
            "Sun, 06 Nov 1994 08:49:37 GMT, x",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov 1994 08.49.37 GMT",
            "Sun, 06-Nov-1994 08:49:37 GMT",
            "Sun,  06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994  08:49:37 GMT",
            "Sun,06 Nov 1994 08:49:37 GMT",
            "Sun 06 Nov 1994 08:49:37 GMT",
            "06 Nov 1994 08:49:37 GMT",
            "Day, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 November 1994 08:49:37 GMT",
            "Sun, 06 Mov 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Wed, 29 Feb 2023 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:37 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 EST",
            "Sun Nov 6 08:49:37 1994",
            "Sun Nov 06 08:49:37 94",
            "Sun Nov  6 08:49:37 1994 GMT",
            "Wed, 31 Dec 1969 23:59:59 GMT",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse(b"Sun, 06 Nov 1994 08:49:37 GMT\xff"), None);
    }

    #[test]
    fn a_two_digit_year_is_at_most_50_years_ahead() {
        let now = at("2026-06-15T12:00:00Z");
        for (text, moment) in [
            ("Monday, 15-Jun-26 12:00:00 GMT", "2026-06-15T12:00:00Z"),
            ("Monday, 15-Jun-76 12:00:00 GMT", "2076-06-15T12:00:00Z"),
            ("Monday, 15-Jun-76 12:00:01 GMT", "1976-06-15T12:00:01Z"),
            ("Monday, 15-Jun-77 12:00:00 GMT", "1977-06-15T12:00:00Z"),
            ("Monday, 15-Jun-99 12:00:00 GMT", "1999-06-15T12:00:00Z"),
            ("Monday, 15-Jun-00 12:00:00 GMT", "2000-06-15T12:00:00Z"),
        ] {
            assert_eq!(parse_as_of(text.as_bytes(), now), Some(at(moment)), "{text}");
        }
        let later = at("2070-01-01T00:00:00Z");
        let text = b"Monday, 15-Jun-10 12:00:00 GMT";
        assert_eq!(parse_as_of(text, later), Some(at("2110-06-15T12:00:00Z")));
        assert_eq!(parse(text), Some(at("2010-06-15T12:00:00Z")));
    }

    #[test]
    fn a_date_is_sent_as_imf_fixdate_and_its_fraction_dropped() {
        assert_eq!(format(at("1994-11-06T08:49:37.999Z")), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(format(Timestamp::from_millis(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
        let last = format(Timestamp::from_millis(u64::MAX));
        assert_eq!(last, "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_date_or_not(
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
            near in "(Sun|Sunday)[, ]{1,2}[0-9]{1,2}[- ]Nov[- ][0-9]{2,4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT",
            now in any::<u64>(),
        ) {
            let now = Timestamp::from_millis(now);
            for text in [bytes.as_slice(), near.as_bytes()] {
                let _ = (parse(text), parse_as_of(text, now));
            }
            let _ = format(now);
        }

        #[test]
        fn what_is_written_is_read_back(seconds in 0_u64..253_402_300_800) {
            let moment = Timestamp::from_millis(seconds * 1_000);
            prop_assert_eq!(parse(format(moment).as_bytes()), Some(moment));
        }
    }
}
