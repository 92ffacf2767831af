//! Dates in fields (RFC 9110 §5.6.7).

use std::time::UNIX_EPOCH;

use crate::clock::Timestamp;

/// Reads any of the three forms of HTTP-date.
pub fn parse(value: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(value.trim_ascii()).ok()?;
    let since_epoch = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).ok()?))
}
