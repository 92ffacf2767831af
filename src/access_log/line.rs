//! From a record to its line.

use std::fmt::{self, Display};
use std::io::Write;

use serde::{Serialize, Serializer};

use super::{Record, Told};

/// What stands in place of an operation that the catalogue does not know, as in the metrics.
const OTHER: &str = "other";

/// A line, its members in their order.
#[derive(Serialize)]
struct Line<'r> {
    #[serde(serialize_with = "shown")]
    time: crate::clock::Timestamp,
    #[serde(serialize_with = "shown")]
    client: std::net::IpAddr,
    method: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<&'r str>,
    operation: &'r str,
    status: Option<u16>,
    result: &'static str,
    bytes: u64,
    duration_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    streamed_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    broke_off: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown_if_any")]
    trace_id: Option<Hex>,
    #[serde(skip_serializing_if = "Told::is_nothing")]
    cache_status: &'r Told,
}

struct Hex([u8; 16]);

impl Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl Told {
    const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

impl Serialize for Told {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => serializer.serialize_none(),
            Self::Field(value) => serializer.serialize_str(value.to_str().unwrap_or_default()),
            Self::Status(status) => serializer.collect_str(status),
        }
    }
}

fn shown<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn shown_if_any<T: Display, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

fn micros(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Writes a record's line, with its end.
pub(super) fn write(record: &Record, lines: &mut Vec<u8>) {
    let (path, query) = match record.target.as_deref() {
        None => (None, None),
        Some(target) => match target.split_once('?') {
            Some((path, query)) => (Some(path), Some(query)),
            None => (Some(target), None),
        },
    };
    let line = Line {
        time: record.at,
        client: record.client,
        method: record.method.as_str(),
        path,
        query,
        operation: record.operation.as_deref().unwrap_or(OTHER),
        status: record.status.map(|status| status.as_u16()),
        result: record.result,
        bytes: record.bytes,
        duration_us: micros(record.took),
        streamed_us: record.streamed.map(|streamed| micros(streamed.took)),
        broke_off: record.streamed.filter(|streamed| !streamed.is_whole).map(|_| true),
        trace_id: record.trace_id.map(Hex),
        cache_status: &record.cache_status,
    };
    // Neither writing to a Vec nor what a line is made of can fail.
    let _ = serde_json::to_writer(&mut *lines, &line);
    let _ = lines.write_all(b"\n");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderValue, Method, StatusCode};

    use super::super::{MAX_TARGET_BYTES, Streamed};
    use super::*;
    use crate::clock::Timestamp;
    use crate::proxy::cache_status::CacheStatus;

    fn record() -> Record {
        Record {
            at: Timestamp::from_millis(1_777_284_000_123),
            client: "2001:db8::1".parse().unwrap(),
            method: Method::GET,
            target: Some("/Commerce/a?b=\"c\"".into()),
            operation: None,
            status: Some(StatusCode::OK),
            result: "hit",
            took: Duration::from_micros(83),
            trace_id: Some([0xab; 16]),
            cache_status: Told::Status(CacheStatus::hit(300)),
            bytes: 12,
            streamed: None,
        }
    }

    fn line(record: &Record) -> String {
        let mut lines = Vec::new();
        write(record, &mut lines);
        String::from_utf8(lines).unwrap()
    }

    #[test]
    fn a_line_has_what_is_known_in_one_order_and_nothing_that_breaks_it() {
        assert_eq!(
            line(&record()),
            "{\"time\":\"2026-04-27T10:00:00.123Z\",\"client\":\"2001:db8::1\",\
             \"method\":\"GET\",\"path\":\"/Commerce/a\",\"query\":\"b=\\\"c\\\"\",\
             \"operation\":\"other\",\"status\":200,\"result\":\"hit\",\"bytes\":12,\
             \"duration_us\":83,\"trace_id\":\"abababababababababababababababab\",\
             \"cache_status\":\"csu-edge; hit; ttl=300\"}\n"
        );
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let bare = Record {
            target: None,
            status: None,
            trace_id: None,
            cache_status: Told::Nothing,
            ..record()
        };
        let bare = line(&bare);
        assert!(!bare.contains("path") && !bare.contains("trace_id"), "{bare}");
        assert!(!bare.contains("cache_status") && !bare.contains("streamed"), "{bare}");
        assert!(bare.contains("\"status\":null"), "{bare}");
    }

    #[test]
    fn a_record_that_waits_takes_no_more_than_the_manual_says() {
        assert!(size_of::<Record>() + MAX_TARGET_BYTES <= 2_355, "{}", size_of::<Record>());
    }

    #[test]
    fn a_stream_that_broke_off_says_so() {
        let streamed = |is_whole| Record {
            cache_status: Told::Field(HeaderValue::from_static("csu-edge; fwd=bypass")),
            streamed: Some(Streamed { took: Duration::from_millis(2), is_whole }),
            ..record()
        };
        let whole = line(&streamed(true));
        assert!(whole.contains("\"streamed_us\":2000,\"trace_id\""), "{whole}");
        assert!(whole.contains("\"cache_status\":\"csu-edge; fwd=bypass\""), "{whole}");
        let cut = line(&streamed(false));
        assert!(cut.contains("\"streamed_us\":2000,\"broke_off\":true"), "{cut}");
    }
}
