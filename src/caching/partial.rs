//! Answers that are held in part (RFC 9111 §3.3, §3.4, RFC 9110 §15.3.7).
//!
//! A stored 206 "MUST NOT" answer anything but a request for a range "wholly within" it (RFC 9111
//! §3.3). Pieces may be joined where both have the same strong validator ([`may_combine`]), and
//! once a piece is all there is, it is the 200 that it was part of ([`complete`]).
//!
//! Only a 206 that says exactly what it holds is a piece at all: one `Content-Range` in bytes, with
//! the complete length known, which is as long as its body. `multipart/byteranges` is not taken
//! apart.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_RANGE, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::conditional::remove_conditions;
use super::range::{ContentRange, Selection, select, slice};
use super::validators::{only_line, share_strong_validator, strong_validator};

/// Where the body of a 206 belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// The part that is held.
    pub range: ContentRange,
    /// The length of the whole.
    pub complete_len: u64,
}

impl Piece {
    /// Whether the piece is all there is.
    pub const fn is_whole(self) -> bool {
        self.range.first == 0 && self.range.last.saturating_add(1) == self.complete_len
    }

    /// Whether the range is wholly within the piece.
    pub const fn holds(self, range: ContentRange) -> bool {
        self.range.first <= range.first
            && range.first <= range.last
            && range.last <= self.range.last
    }

    /// A range of the whole as a range of this piece's own body.
    fn within(self, range: ContentRange) -> Option<ContentRange> {
        let offset = |position: u64| position.checked_sub(self.range.first);
        let within = ContentRange { first: offset(range.first)?, last: offset(range.last)? };
        self.holds(range).then_some(within)
    }

    /// The bytes of a range of the whole, cut from this piece's body without copying.
    pub fn slice(self, body: &Bytes, range: ContentRange) -> Option<Bytes> {
        slice(body, self.within(range)?)
    }
}

/// What piece of a whole an answer is; `None` where it is no single part, or does not agree with
/// its body of `body_len` bytes.
pub fn piece(status: StatusCode, headers: &HeaderMap, body_len: u64) -> Option<Piece> {
    if status != StatusCode::PARTIAL_CONTENT {
        return None;
    }
    let piece = read(only_line(headers, &CONTENT_RANGE)?.to_str().ok()?)?;
    (piece.range.last - piece.range.first == body_len.checked_sub(1)?).then_some(piece)
}

/// `bytes 0-499/1234` (RFC 9110 §14.4). One whose last position is below its first, or not below
/// the complete length, is invalid; one of unknown complete length could never be completed.
fn read(text: &str) -> Option<Piece> {
    let (unit, rest) = text.trim().split_once(' ')?;
    let (range, complete_len) = rest.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let range = ContentRange { first: number(first)?, last: number(last)? };
    let complete_len = number(complete_len)?;
    let is_valid = unit.eq_ignore_ascii_case("bytes")
        && range.first <= range.last
        && range.last < complete_len;
    is_valid.then_some(Piece { range, complete_len })
}

/// Digits alone: `parse` would take a sign as well.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// What of a stored piece answers a request: one range or several, each wholly within the piece.
/// Suffixes and open ends count from the complete length. `None` where the origin must be asked;
/// so too for a range past the end, since a 206 that answers another range does not say 416.
pub fn serves(
    stored: Piece,
    method: &Method,
    request: &HeaderMap,
    stored_headers: &HeaderMap,
    max_ranges: usize,
) -> Option<Selection> {
    // The piece stands for the 200 that it is part of.
    let whole = StatusCode::OK;
    let selection = select(method, whole, request, stored_headers, stored.complete_len, max_ranges);
    let is_held = match &selection {
        Selection::One(range) => stored.holds(*range),
        Selection::Several(ranges) => ranges.iter().all(|range| stored.holds(*range)),
        Selection::Whole | Selection::NotSatisfiable => false,
    };
    is_held.then_some(selection)
}

/// Makes a request ask for what a piece lacks of its whole (RFC 9111 §3.3), and says whether that
/// can be done; if not, the request is left as it is. What comes back is the rest under the same
/// validator, or by `If-Range` the whole anew. It cannot be done where the piece has no strong
/// validator to combine by, or where one range would not make it whole.
pub fn ask_for_rest(stored: Piece, stored_headers: &HeaderMap, request: &mut HeaderMap) -> bool {
    let ContentRange { first, last } = stored.range;
    let reaches_end = last.saturating_add(1) >= stored.complete_len;
    let rest = match (first, reaches_end) {
        (0, false) => format!("bytes={}-", last.saturating_add(1)),
        (1.., true) => format!("bytes=0-{}", first - 1),
        _ => return false,
    };
    let Some(validator) = strong_validator(stored_headers) else { return false };
    let Ok(rest) = HeaderValue::from_str(&rest) else { return false };
    remove_conditions(request);
    request.insert(RANGE, rest);
    request.insert(IF_RANGE, validator.clone());
    true
}

/// Whether the bodies of two answers are parts of the same whole: both have the same strong
/// validator (RFC 9111 §3.4, RFC 9110 §15.3.7.3).
pub fn may_combine(stored: &HeaderMap, newer: &HeaderMap) -> bool {
    share_strong_validator(stored, newer)
}

/// Joins two pieces of one whole that touch or overlap; [`may_combine`] is asked first. `None`
/// where there is a gap, or where the two contradict each other: in length, or in the bytes that
/// both hold, in which case the validator was not strong after all.
pub fn join(one: (Piece, &Bytes), two: (Piece, &Bytes)) -> Option<(Piece, Bytes)> {
    let (before, after) =
        if one.0.range.first <= two.0.range.first { (one, two) } else { (two, one) };
    let ((piece, body), (next, next_body)) = (before, after);
    if piece.complete_len != next.complete_len
        || !is_of_its_length(piece, body)
        || !is_of_its_length(next, next_body)
        || next.range.first > piece.range.last.saturating_add(1)
    {
        return None;
    }
    let offset = usize::try_from(next.range.first - piece.range.first).ok()?;
    let held_twice = body.get(offset..)?;
    let shared = held_twice.len().min(next_body.len());
    if held_twice.get(..shared)? != next_body.get(..shared)? {
        return None;
    }
    let new = next_body.get(shared..)?;
    if new.is_empty() {
        return Some((piece, body.clone()));
    }
    let mut joined = BytesMut::with_capacity(body.len().saturating_add(new.len()));
    joined.extend_from_slice(body);
    joined.extend_from_slice(new);
    let range = ContentRange { first: piece.range.first, last: next.range.last };
    Some((Piece { range, complete_len: piece.complete_len }, joined.freeze()))
}

fn is_of_its_length(piece: Piece, body: &Bytes) -> bool {
    !body.is_empty()
        && piece.range.last.checked_sub(piece.range.first) == (body.len() as u64).checked_sub(1)
}

/// Turns the fields of a piece that is all there is into those of the 200 that it was part of
/// (RFC 9111 §3.4); `false`, and nothing is changed, where it is not all.
pub fn complete(piece: Piece, headers: &mut HeaderMap) -> bool {
    if piece.is_whole() {
        headers.remove(CONTENT_RANGE);
    }
    piece.is_whole()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use http::HeaderName;

    fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
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

    fn held(first: u64, last: u64, complete_len: u64) -> Piece {
        Piece { range: of(first, last), complete_len }
    }

    #[test]
    fn a_206_is_a_piece_where_its_range_agrees_with_its_body() {
        for (text, body_len, expected) in [
            ("bytes 42-1233/1234", 1_192, Some(held(42, 1_233, 1_234))),
            ("Bytes 0-0/1", 1, Some(held(0, 0, 1))),
            ("bytes 42-1233/1234", 1_191, None),
            ("bytes 42-1233/*", 1_192, None),
            ("bytes */1234", 0, None),
            ("bytes 5-4/10", 0, None),
            ("bytes 5-10/10", 6, None),
            ("bytes 0-4", 5, None),
            ("bytes=0-4/5", 5, None),
            ("items 0-4/5", 5, None),
            ("bytes +0-4/5", 5, None),
            ("bytes 0-99999999999999999999/99999999999999999999", 5, None),
            ("bytes 0-18446744073709551614/18446744073709551615", 5, None),
            ("", 0, None),
        ] {
            let headers = fields(&[("content-range", text)]);
            assert_eq!(piece(StatusCode::PARTIAL_CONTENT, &headers, body_len), expected, "{text}");
            assert_eq!(piece(StatusCode::OK, &headers, body_len), None, "{text}");
        }
        let twice = fields(&[("content-range", "bytes 0-0/1"), ("content-range", "bytes 0-0/1")]);
        assert_eq!(piece(StatusCode::PARTIAL_CONTENT, &twice, 1), None);
        assert_eq!(piece(StatusCode::PARTIAL_CONTENT, &HeaderMap::new(), 1), None);
    }

    #[test]
    fn a_piece_serves_ranges_that_are_wholly_within_it() {
        use Selection::{One, Several};
        let cases = [
            ("bytes=10-19", Some(One(of(10, 19)))),
            ("bytes=12-15", Some(One(of(12, 15)))),
            ("bytes=9-15", None),
            ("bytes=12-20", None),
            ("bytes=12-", None),
            ("bytes=-5", None),
            ("bytes=10-11, 14-15", Some(Several(vec![of(10, 11), of(14, 15)]))),
            ("bytes=0-1, 14-15", None),
            ("bytes=99-", None),
            ("bytes=15-12", None),
        ];
        for (range, expected) in cases {
            let request = fields(&[("range", range)]);
            let served = serves(held(10, 19, 30), &Method::GET, &request, &HeaderMap::new(), 4);
            assert_eq!(served, expected, "{range}");
        }
        let end = held(20, 29, 30);
        for (range, expected) in [
            ("bytes=25-", Some(One(of(25, 29)))),
            ("bytes=25-99", Some(One(of(25, 29)))),
            ("bytes=-10", Some(One(of(20, 29)))),
            ("bytes=-11", None),
        ] {
            let request = fields(&[("range", range)]);
            let served = serves(end, &Method::GET, &request, &HeaderMap::new(), 4);
            assert_eq!(served, expected, "{range}");
        }
        let whole = serves(end, &Method::GET, &HeaderMap::new(), &HeaderMap::new(), 4);
        assert_eq!(whole, None, "a request for the whole is not served by a part");
    }

    #[test]
    fn if_range_is_asked_of_the_piece_too() {
        let request = fields(&[("range", "bytes=0-1"), ("if-range", "\"a\"")]);
        for (etag, is_served) in [("\"a\"", true), ("\"b\"", false), ("W/\"a\"", false)] {
            let stored = fields(&[("etag", etag)]);
            let served = serves(held(0, 4, 9), &Method::GET, &request, &stored, 4);
            assert_eq!(served.is_some(), is_served, "{etag}");
        }
    }

    #[test]
    fn the_bytes_of_a_range_are_cut_from_the_piece() {
        let body = Bytes::from_static(b"abcde");
        let piece = held(10, 14, 30);
        assert_eq!(piece.slice(&body, of(11, 13)).unwrap(), "bcd");
        assert_eq!(piece.slice(&body, of(9, 13)), None);
        assert_eq!(piece.slice(&body, of(13, 15)), None);
        assert_eq!(piece.slice(&Bytes::from_static(b"ab"), of(11, 13)), None);
    }

    #[test]
    fn the_rest_of_a_piece_is_asked_for_where_one_range_and_a_strong_validator_will_do() {
        for (piece, etag, rest) in [
            (held(0, 4, 10), "\"a\"", Some("bytes=5-")),
            (held(5, 9, 10), "\"a\"", Some("bytes=0-4")),
            (held(1, 8, 10), "\"a\"", None),
            (held(0, 9, 10), "\"a\"", None),
            (held(0, 4, 10), "W/\"a\"", None),
            (held(0, u64::MAX, u64::MAX), "\"a\"", None),
        ] {
            let sent = [("if-none-match", "\"x\""), ("accept", "*/*")];
            let mut request = fields(&sent);
            let can = ask_for_rest(piece, &fields(&[("etag", etag)]), &mut request);
            assert_eq!(can, rest.is_some(), "{piece:?} {etag}");
            let expected = match rest {
                Some(rest) => fields(&[("range", rest), ("if-range", etag), ("accept", "*/*")]),
                None => fields(&sent),
            };
            assert_eq!(request, expected, "{piece:?} {etag}");
        }
    }

    #[test]
    fn only_a_shared_strong_validator_lets_parts_be_combined() {
        for (one, two, expected) in [
            ("\"a\"", "\"a\"", true),
            ("\"a\"", "\"b\"", false),
            ("W/\"a\"", "W/\"a\"", false),
            ("a", "a", false),
        ] {
            let (one, two) = (fields(&[("etag", one)]), fields(&[("etag", two)]));
            assert_eq!(may_combine(&one, &two), expected, "{one:?} {two:?}");
        }
        assert!(!may_combine(&HeaderMap::new(), &HeaderMap::new()));
    }

    /// The piece of this body that the range is.
    fn cut(whole: &'static [u8], first: u64, last: u64) -> (Piece, Bytes) {
        let body = slice(&Bytes::from_static(whole), of(first, last)).unwrap();
        (held(first, last, whole.len() as u64), body)
    }

    #[test]
    fn pieces_that_touch_or_overlap_become_one() {
        const WHOLE: &[u8] = b"0123456789";
        for (one, two, joined) in [
            ((0, 3), (4, 6), Some((0, 6))),
            ((0, 5), (3, 9), Some((0, 9))),
            ((2, 8), (4, 5), Some((2, 8))),
            ((2, 8), (2, 9), Some((2, 9))),
            ((0, 3), (5, 9), None),
        ] {
            let (one, two) = (cut(WHOLE, one.0, one.1), cut(WHOLE, two.0, two.1));
            let expected = joined.map(|(first, last)| cut(WHOLE, first, last));
            assert_eq!(join((one.0, &one.1), (two.0, &two.1)), expected, "{one:?} {two:?}");
            assert_eq!(join((two.0, &two.1), (one.0, &one.1)), expected, "{two:?} {one:?}");
        }
    }

    #[test]
    fn pieces_that_contradict_each_other_are_not_joined() {
        let one = cut(b"0123456789", 0, 5);
        let other_bytes = cut(b"012x456789", 3, 9);
        let other_length = cut(b"0123456789a", 3, 9);
        let shorter_than_it_says = (held(6, 9, 10), Bytes::from_static(b"678"));
        for other in [other_bytes, other_length, shorter_than_it_says] {
            assert_eq!(join((one.0, &one.1), (other.0, &other.1)), None, "{other:?}");
        }
    }

    #[test]
    fn a_piece_that_is_all_there_is_becomes_the_whole() {
        let lines = [("content-range", "bytes 0-9/10"), ("etag", "\"a\"")];
        let mut headers = fields(&lines);
        assert!(complete(held(0, 9, 10), &mut headers));
        assert_eq!(headers, fields(&[("etag", "\"a\"")]));

        for part in [held(1, 9, 10), held(0, 8, 10)] {
            let mut headers = fields(&lines);
            assert!(!complete(part, &mut headers));
            assert_eq!(headers, fields(&lines));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 500, failure_persistence: None, ..ProptestConfig::default()
        })]

        #[test]
        fn no_content_range_panics(text in "[bytes 0-9/*-]{0,48}", body_len: u64) {
            let headers = fields(&[("content-range", &text)]);
            let _ = piece(StatusCode::PARTIAL_CONTENT, &headers, body_len);
        }

        #[test]
        fn no_pieces_panic_when_they_meet(
            ends in prop::array::uniform4(prop_oneof![0_u64..12, any::<u64>()]),
            lens in (0_usize..12, 0_usize..12),
            complete_len in prop_oneof![0_u64..12, any::<u64>()],
        ) {
            let bodies = (Bytes::from(vec![0; lens.0]), Bytes::from(vec![0; lens.1]));
            let one = held(ends[0], ends[1], complete_len);
            let two = held(ends[2], ends[3], complete_len);
            if let Some((joined, body)) = join((one, &bodies.0), (two, &bodies.1)) {
                prop_assert!(is_of_its_length(joined, &body));
                prop_assert!(joined.holds(one.range) && joined.holds(two.range));
            }
            let _ = one.slice(&bodies.0, two.range);
            let _ = one.is_whole();
        }
    }
}
