//! `Retry-After` (RFC 9110 §10.2.3).

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;

use crate::caching::http_date;
use crate::clock::Timestamp;

/// How long the sender of this head asks to be left alone: seconds, or until a date. `None` where
/// it does not say, or not so that it can be read.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.as_bytes().trim_ascii();
    if !value.is_empty() && value.iter().all(u8::is_ascii_digit) {
        let seconds = std::str::from_utf8(value).ok()?.parse();
        // Digits alone that are no number are too many of them.
        return Some(Duration::from_secs(seconds.unwrap_or(u64::MAX)));
    }
    http_date::parse_as_of(value, now).map(|moment| moment.saturating_since(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn read(value: &'static str) -> Option<Duration> {
        let now = Timestamp::parse_rfc3339("1994-11-06T08:49:00Z").unwrap();
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
        retry_after(&headers, now)
    }

    #[test]
    fn seconds_and_dates_are_read() {
        for (value, seconds) in [
            ("0", 0),
            ("120", 120),
            (" 7 ", 7),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 37),
            ("Sun, 06 Nov 1994 08:00:00 GMT", 0),
            ("99999999999999999999999", u64::MAX),
        ] {
            assert_eq!(read(value), Some(Duration::from_secs(seconds)), "{value}");
        }
    }

    #[test]
    fn anything_else_says_nothing() {
        for value in ["", "-1", "+5", "1.5", "soon", "10, 20", "1994-11-06T08:49:37Z"] {
            assert_eq!(read(value), None, "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), Timestamp::default()), None);
    }
}
