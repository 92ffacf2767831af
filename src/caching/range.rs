//! Parts of an answer that we hold whole (RFC 9110 §14, §15.3.7, §15.5.17).
//!
//! A client asks for byte ranges of what a plain GET would give it. Ranges are an optimisation that
//! a server may leave out (§14.2), so whatever is not understood, not asked for in the one unit
//! that there is, or asked for in a way that would cost more than the whole, is answered with the
//! whole. `If-Range` makes the parts depend on the client's copy being the very same bytes; where
//! that is not certain, it gets the whole too. Only ranges that are understood and all past the end
//! are refused, with 416.
//!
//! Many small or overlapping ranges in one request are how a server is worn out (§17.15): there is
//! a limit on their number, more than two that overlap are answered with the whole, and what
//! overlaps or touches is sent once. So an answer never holds more bytes than the body.

use bytes::Bytes;
use http::header::{IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::http_date;
use super::validators::{EntityTag, entity_tag, only_line, strong_last_modified};

/// Bytes `first` to `last` of a body, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContentRange {
    /// The position of the first byte.
    pub first: u64,
    /// The position of the last byte.
    pub last: u64,
}

/// What of a body answers a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Selection {
    /// All of it: 200.
    Whole,
    /// One part: 206 with a `Content-Range`.
    One(ContentRange),
    /// Several parts, none touching another, in the order in which they were asked for: 206 with
    /// `multipart/byteranges`.
    Several(Vec<ContentRange>),
    /// None: 416.
    NotSatisfiable,
}

/// Chooses what of a stored body of `complete_len` bytes answers a request. Conditions other than
/// `If-Range` come first, and are not looked at (RFC 9110 §13.2.2). With `max_ranges` 0, every
/// answer is whole.
pub fn select(
    method: &Method,
    status: StatusCode,
    request: &HeaderMap,
    stored: &HeaderMap,
    complete_len: u64,
    max_ranges: usize,
) -> Selection {
    // Range handling is defined for GET alone, and for what would otherwise be a 200 (§14.2).
    if *method != Method::GET || status != StatusCode::OK {
        return Selection::Whole;
    }
    let Some(range) = only_line(request, &RANGE) else { return Selection::Whole };
    if request.contains_key(IF_RANGE) && !is_same(request, stored) {
        return Selection::Whole;
    }
    resolve(range.as_bytes(), complete_len, max_ranges).unwrap_or(Selection::Whole)
}

/// Whether `If-Range` names the stored body, byte for byte (RFC 9110 §13.1.5): its strong entity
/// tag, or exactly its date of modification where that is strong.
fn is_same(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let Some(validator) = only_line(request, &IF_RANGE) else { return false };
    match EntityTag::parse(validator.as_bytes()) {
        EntityTag::Malformed(text) => {
            let date = http_date::parse(text);
            date.is_some() && date == strong_last_modified(stored)
        }
        tag => entity_tag(stored).is_some_and(|stored| tag.is_strongly(stored)),
    }
}

/// `None` where `Range` is not understood, or asks too much.
fn resolve(range: &[u8], complete_len: u64, max_ranges: usize) -> Option<Selection> {
    let equals = range.iter().position(|&byte| byte == b'=')?;
    let (unit, set) = range.split_at_checked(equals)?;
    // Units are case-insensitive (§14.1).
    if !unit.trim_ascii_start().eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut asked = 0;
    let mut satisfiable = Vec::new();
    let specs = set.get(1..)?.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    for spec in specs.filter(|spec| !spec.is_empty()) {
        asked += 1;
        if asked > max_ranges {
            return None;
        }
        satisfiable.extend(resolve_one(spec, complete_len)?);
    }
    if asked == 0 {
        return None;
    }
    let parts = coalesce(&satisfiable)?;
    Some(match *parts {
        [] => Selection::NotSatisfiable,
        [part] => Selection::One(part),
        _ => Selection::Several(parts),
    })
}

/// One range-spec (§14.1.1, §14.1.2): `None` where it is malformed, `Some(None)` where nothing
/// satisfies it.
fn resolve_one(spec: &[u8], complete_len: u64) -> Option<Option<ContentRange>> {
    let dash = spec.iter().position(|&byte| byte == b'-')?;
    let (first, last) = (spec.get(..dash)?, spec.get(dash + 1..)?);
    if first.is_empty() {
        let suffix = position(last)?;
        return match (suffix, complete_len.checked_sub(1)) {
            (0, _) => Some(None),
            // Satisfiable, but no Content-Range can say "nothing": the whole is as short.
            (_, None) => None,
            (_, Some(end)) => {
                Some(Some(ContentRange { first: complete_len.saturating_sub(suffix), last: end }))
            }
        };
    }
    let first = position(first)?;
    let last = if last.is_empty() { u64::MAX } else { position(last)? };
    if last < first {
        return None;
    }
    let Some(end) = complete_len.checked_sub(1).filter(|&end| first <= end) else {
        return Some(None);
    };
    Some(Some(ContentRange { first, last: last.min(end) }))
}

/// A position of any size; one too large for a number is past every end.
fn position(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    })
}

/// Joins what overlaps or touches, and keeps the order in which the parts were asked for
/// (§15.3.7.2). `None` where more than two overlap (§14.2).
fn coalesce(ranges: &[ContentRange]) -> Option<Vec<ContentRange>> {
    let mut by_position: Vec<(usize, ContentRange)> = ranges.iter().copied().enumerate().collect();
    by_position.sort_unstable_by_key(|(asked, range)| (range.first, range.last, *asked));
    let mut parts: Vec<(usize, ContentRange)> = Vec::with_capacity(by_position.len());
    let mut overlaps = 0;
    for (asked, range) in by_position {
        match parts.last_mut() {
            Some((asked_before, part)) if range.first <= part.last.saturating_add(1) => {
                overlaps += usize::from(range.first <= part.last);
                part.last = part.last.max(range.last);
                *asked_before = asked.min(*asked_before);
            }
            _ => parts.push((asked, range)),
        }
    }
    if overlaps > 1 {
        return None;
    }
    parts.sort_unstable_by_key(|(asked, _)| *asked);
    Some(parts.into_iter().map(|(_, part)| part).collect())
}

/// `Content-Range` of a 206 (§14.4).
pub fn content_range(range: ContentRange, complete_len: u64) -> HeaderValue {
    to_value(&format!("bytes {}-{}/{complete_len}", range.first, range.last))
}

/// `Content-Range` of a 416 (§14.4).
pub fn unsatisfied(complete_len: u64) -> HeaderValue {
    to_value(&format!("bytes */{complete_len}"))
}

/// `Content-Type` of a 206 with several parts (§14.6).
pub fn multipart_type(boundary: &str) -> HeaderValue {
    to_value(&format!("multipart/byteranges; boundary={boundary}"))
}

/// Digits, letters and marks always make a value; a boundary that does not is the caller's mistake.
fn to_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The body of a 206 with several parts (§14.6, §15.3.7.2), as pieces that share the stored body.
/// The boundary must not occur in the body: the caller draws a random one. A range that is not
/// within the body is left out.
pub fn multipart(
    ranges: &[ContentRange],
    body: &Bytes,
    content_type: Option<&HeaderValue>,
    boundary: &str,
) -> Vec<Bytes> {
    let mut pieces = Vec::with_capacity(ranges.len() * 2 + 1);
    for &range in ranges {
        let Some(part) = slice(body, range) else { continue };
        let mut head = Vec::with_capacity(160);
        // The line break before a delimiter belongs to it (RFC 2046 §5.1.1).
        let line_break = if pieces.is_empty() { "" } else { "\r\n" };
        head.extend_from_slice(format!("{line_break}--{boundary}\r\n").as_bytes());
        if let Some(content_type) = content_type {
            head.extend_from_slice(b"Content-Type: ");
            head.extend_from_slice(content_type.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"Content-Range: ");
        head.extend_from_slice(content_range(range, body.len() as u64).as_bytes());
        head.extend_from_slice(b"\r\n\r\n");
        pieces.push(Bytes::from(head));
        pieces.push(part);
    }
    let line_break = if pieces.is_empty() { "" } else { "\r\n" };
    pieces.push(Bytes::from(format!("{line_break}--{boundary}--\r\n")));
    pieces
}

/// The range's bytes, shared with the body; `None` where the body does not hold all of them.
pub fn slice(body: &Bytes, range: ContentRange) -> Option<Bytes> {
    let first = usize::try_from(range.first).ok()?;
    let last = usize::try_from(range.last).ok()?;
    let part = body.get(first..=last).filter(|part| !part.is_empty())?;
    Some(body.slice_ref(part))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Selection::{NotSatisfiable, One, Several, Whole};
    use super::*;
    use http::HeaderName;

    type Lines<'a> = &'a [(&'static str, &'a str)];

    fn fields(lines: Lines<'_>) -> HeaderMap {
        lines
            .iter()
            .map(|&(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
            })
            .collect()
    }

    fn of(first: u64, last: u64) -> ContentRange {
        ContentRange { first, last }
    }

    fn selected(range: &str, complete_len: u64) -> Selection {
        let request = fields(&[("range", range)]);
        select(&Method::GET, StatusCode::OK, &request, &HeaderMap::new(), complete_len, 4)
    }

    #[test]
    fn a_range_is_resolved_against_the_body() {
        // RFC 9110 §14.1.2 gives these for a body of 10,000 bytes.
        for (range, first, last) in [
            ("bytes=0-499", 0, 499),
            ("bytes=500-999", 500, 999),
            ("bytes=-500", 9_500, 9_999),
            ("bytes=9500-", 9_500, 9_999),
        ] {
            assert_eq!(selected(range, 10_000), One(of(first, last)), "{range}");
        }
        assert_eq!(selected("bytes=0-0,-1", 10_000), Several(vec![of(0, 0), of(9_999, 9_999)]));
        assert_eq!(
            selected("bytes= 0-999, 4500-5499, -1000", 10_000),
            Several(vec![of(0, 999), of(4_500, 5_499), of(9_000, 9_999)])
        );
    }

    #[test]
    fn ends_are_clipped_and_what_starts_past_the_end_is_not_satisfiable() {
        let cases = [
            ("bytes=0-", 10, One(of(0, 9))),
            ("bytes=9-9", 10, One(of(9, 9))),
            ("bytes=5-99", 10, One(of(5, 9))),
            ("bytes=5-99999999999999999999999999", 10, One(of(5, 9))),
            ("bytes=-99", 10, One(of(0, 9))),
            ("bytes=-99999999999999999999999999", 10, One(of(0, 9))),
            ("bytes=10-", 10, NotSatisfiable),
            ("bytes=10-20, 30-", 10, NotSatisfiable),
            ("bytes=99999999999999999999999999-", 10, NotSatisfiable),
            // In 64 bits this would come out as 4.
            ("bytes=18446744073709551620-", 10, NotSatisfiable),
            ("bytes=-0", 10, NotSatisfiable),
            ("bytes=-0, 3-4, 20-", 10, One(of(3, 4))),
            ("bytes=0-", 0, NotSatisfiable),
            ("bytes=-5", 0, Whole),
            ("bytes=0-", u64::MAX, One(of(0, u64::MAX - 1))),
            ("bytes=18446744073709551615-", u64::MAX, NotSatisfiable),
        ];
        for (range, complete_len, expected) in cases {
            assert_eq!(selected(range, complete_len), expected, "{range} of {complete_len}");
        }
    }

    #[test]
    fn what_is_not_understood_is_answered_with_the_whole() {
        for range in [
            "",
            "bytes",
            "bytes=",
            "bytes= , ",
            "bytes=5",
            "bytes=-",
            "bytes=5-4",
            "bytes=0-1, 5-4",
            "bytes=a-b",
            "bytes=0x1-2",
            "bytes=+1-2",
            "bytes=--1",
            "bytes=1 - 2",
            "bytes=1-2-3",
            "bytes=0-1;2-3",
            "bytes =0-1",
            "bytes: 0-1",
            "items=0-1",
            "bytesx=0-1",
        ] {
            assert_eq!(selected(range, 10), Whole, "{range}");
        }
        for range in ["BYTES=0-1", "Bytes=,0-1,,"] {
            assert_eq!(selected(range, 10), One(of(0, 1)), "{range}");
        }
        let twice = fields(&[("range", "bytes=0-1"), ("range", "bytes=3-4")]);
        let selection = select(&Method::GET, StatusCode::OK, &twice, &HeaderMap::new(), 10, 4);
        assert_eq!(selection, Whole);
    }

    #[test]
    fn too_many_or_overlapping_ranges_are_answered_with_the_whole() {
        for (range, expected) in [
            ("bytes=0-0,2-2,4-4,6-6", Several(vec![of(0, 0), of(2, 2), of(4, 4), of(6, 6)])),
            ("bytes=0-0,2-2,4-4,6-6,8-8", Whole),
            ("bytes=0-0,20-,30-,40-,50-", Whole),
            ("bytes=0-5,3-8", One(of(0, 8))),
            ("bytes=0-5,0-5,0-5", Whole),
            ("bytes=0-,0-,0-,0-", Whole),
            ("bytes=0-1,2-3", One(of(0, 3))),
            ("bytes=4-5,0-1,2-3", One(of(0, 5))),
            ("bytes=8-9,0-1", Several(vec![of(8, 9), of(0, 1)])),
            ("bytes=5-5,0-1,6-7", Several(vec![of(5, 7), of(0, 1)])),
            ("bytes=0-9,2-3", One(of(0, 9))),
        ] {
            assert_eq!(selected(range, 10), expected, "{range}");
        }
        let request = fields(&[("range", "bytes=0-1")]);
        let none = select(&Method::GET, StatusCode::OK, &request, &HeaderMap::new(), 10, 0);
        assert_eq!(none, Whole);
    }

    #[test]
    fn only_a_get_of_a_200_has_parts() {
        let request = fields(&[("range", "bytes=0-1")]);
        for (method, status, expected) in [
            (Method::GET, 200, One(of(0, 1))),
            (Method::HEAD, 200, Whole),
            (Method::POST, 200, Whole),
            (Method::GET, 404, Whole),
            (Method::GET, 206, Whole),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let selection = select(&method, status, &request, &HeaderMap::new(), 10, 4);
            assert_eq!(selection, expected, "{method} {status}");
        }
    }

    const NOON: &str = "Sun, 22 Nov 2026 12:00:00 GMT";
    const BEFORE: &str = "Sun, 22 Nov 2026 11:59:59 GMT";
    const LATER: &str = "Sun, 22 Nov 2026 12:00:01 GMT";

    #[test]
    fn if_range_lets_parts_through_only_where_the_body_is_certainly_the_same() {
        let dated = [("last-modified", NOON), ("date", LATER)];
        let just_changed = [("last-modified", NOON), ("date", NOON)];
        let cases: [(&str, Lines<'_>, bool); 14] = [
            ("\"a\"", &[("etag", "\"a\"")], true),
            ("\"a\"", &[("etag", "\"b\"")], false),
            ("W/\"a\"", &[("etag", "W/\"a\"")], false),
            ("W/\"a\"", &[("etag", "\"a\"")], false),
            ("\"a\"", &[("etag", "W/\"a\"")], false),
            ("\"a\", \"b\"", &[("etag", "\"a\"")], false),
            ("a", &[("etag", "a")], false),
            ("\"a\"", &[], false),
            ("*", &[("etag", "\"a\"")], false),
            (NOON, &dated, true),
            (LATER, &dated, false),
            (BEFORE, &dated, false),
            (NOON, &just_changed, false),
            (NOON, &[("last-modified", NOON)], false),
        ];
        for (validator, stored, is_same) in cases {
            let request = fields(&[("range", "bytes=0-1"), ("if-range", validator)]);
            let selection = select(&Method::GET, StatusCode::OK, &request, &fields(stored), 10, 4);
            let expected = if is_same { One(of(0, 1)) } else { Whole };
            assert_eq!(selection, expected, "{validator} for {stored:?}");
        }
        let twice = fields(&[("range", "bytes=0-1"), ("if-range", "\"a\""), ("if-range", "\"a\"")]);
        let stored = fields(&[("etag", "\"a\"")]);
        assert_eq!(select(&Method::GET, StatusCode::OK, &twice, &stored, 10, 4), Whole);
    }

    #[test]
    fn a_part_says_where_it_belongs() {
        assert_eq!(content_range(of(42, 1_233), 1_234), "bytes 42-1233/1234");
        assert_eq!(unsatisfied(1_234), "bytes */1234");
        assert_eq!(multipart_type("x"), "multipart/byteranges; boundary=x");
    }

    #[test]
    fn several_parts_are_delimited_and_share_the_body() {
        let body = Bytes::from_static(b"0123456789");
        let content_type = HeaderValue::from_static("text/plain");
        let pieces = multipart(&[of(0, 1), of(9, 9)], &body, Some(&content_type), "X");
        let text = String::from_utf8(pieces.concat()).unwrap();
        assert_eq!(
            text,
            "--X\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n\
             --X\r\nContent-Type: text/plain\r\nContent-Range: bytes 9-9/10\r\n\r\n9\r\n\
             --X--\r\n"
        );
        assert_eq!(pieces[1].as_ptr(), body.as_ptr(), "the body is not copied");
        let untyped = multipart(&[of(3, 3), of(9, 10), of(5, 4)], &body, None, "X").concat();
        assert_eq!(untyped, b"--X\r\nContent-Range: bytes 3-3/10\r\n\r\n3\r\n--X--\r\n");
        assert_eq!(multipart(&[], &body, None, "X").concat(), b"--X--\r\n");
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 1_000, failure_persistence: None, ..ProptestConfig::default()
        })]

        #[test]
        fn whatever_is_asked_the_parts_are_apart_and_within_the_body(
            range in "bytes=([0-9]{0,20}-[0-9]{0,20}[,; ]){0,6}[0-9,-]{0,8}", complete_len: u64
        ) {
            for complete_len in [complete_len, complete_len % 100, u64::MAX] {
                let parts = match selected(&range, complete_len) {
                    Whole | NotSatisfiable => vec![],
                    One(part) => vec![part],
                    Several(parts) => {
                        prop_assert!(parts.len() > 1 && parts.len() <= 4);
                        parts
                    }
                };
                for (index, part) in parts.iter().enumerate() {
                    prop_assert!(part.first <= part.last && part.last < complete_len);
                    for other in parts.iter().skip(index + 1) {
                        prop_assert!(part.last < other.first || other.last < part.first);
                    }
                }
            }
        }

        #[test]
        fn no_value_of_range_panics(value in "[bytes=0-9,; -]{0,40}", complete_len: u64) {
            let _ = selected(&value, complete_len);
        }

        #[test]
        fn the_parts_hold_their_bytes(
            body in prop::collection::vec(any::<u8>(), 0..64),
            ranges in prop::collection::vec((0_u64..80, any::<u64>()), 0..4),
        ) {
            let body = Bytes::from(body);
            let ranges: Vec<_> = ranges.into_iter().map(|(first, span)| {
                let span = if span % 2 == 0 { span % 80 } else { span };
                of(first, first.saturating_add(span))
            }).collect();
            let within: Vec<_> =
                ranges.iter().filter(|range| range.last < body.len() as u64).collect();
            let pieces = multipart(&ranges, &body, None, "X");
            prop_assert_eq!(pieces.len(), within.len() * 2 + 1);
            for (range, piece) in within.iter().zip(pieces.iter().skip(1).step_by(2)) {
                let expected = &body[range.first as usize..=range.last as usize];
                prop_assert_eq!(&piece[..], expected);
            }
        }
    }
}
