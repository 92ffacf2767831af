//! Asking the origin whether a stored answer still holds (RFC 9111 §4.3).
//!
//! The stored answer's own validators are sent in place of the client's conditions: what the
//! client holds may be another answer than what we hold, and its conditions are judged afterwards,
//! against what validation left stored. For the same reason the client's `Range` goes: a 304 or a
//! whole answer is asked for.
//!
//! A 304 then updates the stored answer, unless it names a validator that is not the stored one's.

use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderName, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LAST_MODIFIED, RANGE, TRAILER, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderValue};

use super::conditional::remove_conditions;
use super::validators::{EntityTag, date, entity_tag, only_line};

/// Makes a request ask whether `stored` still holds, and says whether it has a validator to ask
/// with (RFC 9111 §4.3.1). The client's own conditions and range are taken away in any case.
///
/// Both validators are sent where both are known: who understands `If-None-Match` must ignore
/// `If-Modified-Since` (RFC 9110 §13.1.3), and the latter is for who does not.
pub fn add_conditions(stored: &HeaderMap, request: &mut HeaderMap) -> bool {
    remove_conditions(request);
    request.remove(RANGE);
    let etag = only_line(stored, &ETAG).filter(|value| is_askable(value));
    let modified =
        only_line(stored, &LAST_MODIFIED).filter(|_| date(stored, &LAST_MODIFIED).is_some());
    for (name, value) in [(IF_NONE_MATCH, etag), (IF_MODIFIED_SINCE, modified)] {
        if let Some(value) = value {
            request.insert(name, value.clone());
        }
    }
    etag.is_some() || modified.is_some()
}

/// A tag is sent as it stands, without quotes too, since it is the origin's own. Only what would
/// ask for something else is held back: `*` matches every answer, and a comma makes it a list.
fn is_askable(etag: &HeaderValue) -> bool {
    match EntityTag::parse(etag.as_bytes()) {
        EntityTag::Strong(_) | EntityTag::Weak(_) => true,
        EntityTag::Malformed(text) => !text.is_empty() && text != b"*" && !text.contains(&b','),
    }
}

/// Whether a 304 may update the stored answer that was asked about (RFC 9111 §4.3.4).
///
/// A validator that the 304 names must be the stored answer's: a strong tag by strong comparison,
/// any other tag by weak comparison, and where there is no tag, `Last-Modified`. Where the 304
/// names none at all, it is believed. The standard would have it update only what has no validator
/// either; but a server that leaves `ETag` out of its 304 (against RFC 9110 §15.4.5) was still
/// asked about this one answer and said that it holds, and not to believe it would mean to fetch
/// every answer of such a server twice.
pub fn confirms(not_modified: &HeaderMap, stored: &HeaderMap) -> bool {
    if not_modified.contains_key(ETAG) {
        let (Some(named), Some(known)) = (entity_tag(not_modified), entity_tag(stored)) else {
            return false;
        };
        return match named {
            EntityTag::Strong(_) => named.is_strongly(known),
            EntityTag::Weak(_) | EntityTag::Malformed(_) => named.is_weakly(known),
        };
    }
    match date(not_modified, &LAST_MODIFIED) {
        Some(named) => date(stored, &LAST_MODIFIED) == Some(named),
        None => true,
    }
}

/// What stays as it was stored when newer fields come (RFC 9111 §3.2): `Content-Length` always,
/// and what the stored body depends on, since it may be kept decoded, or in part. The rest is
/// about the message that the newer fields came in.
const OF_THE_STORED_BODY: [HeaderName; 5] =
    [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_RANGE, TRANSFER_ENCODING, TRAILER];

/// Updates a stored answer's fields with those of a newer answer that has no body of its own, a
/// 304 or the answer to a HEAD (RFC 9111 §3.2). All lines of a field are replaced together. What
/// must not be stored at all, the caller has removed from `newer`.
pub fn update(stored: &mut HeaderMap, newer: &HeaderMap) {
    for name in newer.keys().filter(|name| !OF_THE_STORED_BODY.contains(name)) {
        stored.remove(name);
        for value in newer.get_all(name) {
            stored.append(name.clone(), value.clone());
        }
    }
}

/// What the answer to a HEAD says of a stored answer to a GET.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeadVerdict {
    /// It describes the same: its fields may [`update`] the stored ones.
    Updates,
    /// It describes something else: the stored answer is stale.
    Contradicts,
}

/// Compares a 200 to a HEAD with a stored answer of `stored_len` bytes (RFC 9111 §4.3.5): every
/// validator that it names must be the stored one, and so must the length. A length that is none
/// contradicts, since it vouches for nothing.
///
/// `stored_len` counts the body as the origin sent it, before any coding was taken off.
pub fn head_verdict(head: &HeaderMap, stored: &HeaderMap, stored_len: u64) -> HeadVerdict {
    let same_tag = !head.contains_key(ETAG)
        || entity_tag(head).is_some_and(|tag| entity_tag(stored) == Some(tag));
    let same_date = !head.contains_key(LAST_MODIFIED)
        || date(head, &LAST_MODIFIED).is_some_and(|at| date(stored, &LAST_MODIFIED) == Some(at));
    let same_length =
        !head.contains_key(CONTENT_LENGTH) || content_length(head) == Some(stored_len);
    match same_tag && same_date && same_length {
        true => HeadVerdict::Updates,
        false => HeadVerdict::Contradicts,
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    let text = only_line(headers, &CONTENT_LENGTH)?.to_str().ok()?.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    type Lines<'a> = &'a [(&'static str, &'static str)];

    fn fields(lines: Lines<'_>) -> HeaderMap {
        lines
            .iter()
            .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    const NOON: &str = "Sun, 22 Nov 2026 12:00:00 GMT";
    const LATER: &str = "Sun, 22 Nov 2026 12:00:01 GMT";

    #[test]
    fn the_stored_validators_are_asked_with_in_place_of_the_clients_conditions() {
        let cases: [(Lines<'_>, Lines<'_>); 10] = [
            (&[("etag", "\"a\"")], &[("if-none-match", "\"a\"")]),
            (&[("etag", "W/\"a\"")], &[("if-none-match", "W/\"a\"")]),
            (&[("etag", "abc")], &[("if-none-match", "abc")]),
            (&[("last-modified", NOON)], &[("if-modified-since", NOON)]),
            (
                &[("etag", "\"a\""), ("last-modified", NOON)],
                &[("if-none-match", "\"a\""), ("if-modified-since", NOON)],
            ),
            (&[("etag", "*"), ("last-modified", NOON)], &[("if-modified-since", NOON)]),
            (&[("etag", "a, *")], &[]),
            (&[("etag", ""), ("last-modified", "noon")], &[]),
            (&[("etag", "\"a\""), ("etag", "\"b\"")], &[]),
            (&[("date", NOON)], &[]),
        ];
        for (stored, asked) in cases {
            let mut request = fields(&[
                ("if-match", "\"x\""),
                ("if-none-match", "\"x\""),
                ("if-modified-since", LATER),
                ("if-unmodified-since", LATER),
                ("if-range", "\"x\""),
                ("range", "bytes=0-1"),
            ]);
            let has_validator = add_conditions(&fields(stored), &mut request);
            assert_eq!(request, fields(asked), "{stored:?}");
            assert_eq!(has_validator, !asked.is_empty(), "{stored:?}");
        }
    }

    #[test]
    fn a_304_that_names_another_validator_confirms_nothing() {
        let cases: [(Lines<'_>, Lines<'_>, bool); 18] = [
            (&[("etag", "\"a\"")], &[("etag", "\"a\"")], true),
            (&[("etag", "\"a\"")], &[("etag", "\"b\"")], false),
            (&[("etag", "\"a\"")], &[("etag", "W/\"a\"")], false),
            (&[("etag", "\"a\"")], &[], false),
            (&[("etag", "\"a\"")], &[("last-modified", NOON)], false),
            (&[("etag", "W/\"a\"")], &[("etag", "W/\"a\"")], true),
            (&[("etag", "W/\"a\"")], &[("etag", "\"a\"")], true),
            (&[("etag", "W/\"a\"")], &[("etag", "W/\"b\"")], false),
            (&[("etag", "abc")], &[("etag", "abc")], true),
            (&[("etag", "abc")], &[("etag", "\"abc\"")], false),
            (&[("etag", "\"a\""), ("last-modified", LATER)], &[("etag", "\"a\"")], true),
            (&[("last-modified", NOON)], &[("last-modified", NOON)], true),
            (&[("last-modified", LATER)], &[("last-modified", NOON)], false),
            (&[("last-modified", NOON)], &[("etag", "\"a\"")], false),
            (&[("last-modified", "noon")], &[("etag", "\"a\"")], true),
            (&[], &[("etag", "\"a\"")], true),
            (&[("cache-control", "max-age=1")], &[("last-modified", NOON)], true),
            (&[], &[], true),
        ];
        for (not_modified, stored, expected) in cases {
            let is = confirms(&fields(not_modified), &fields(stored));
            assert_eq!(is, expected, "{not_modified:?} for {stored:?}");
        }
    }

    #[test]
    fn newer_fields_replace_whole_fields_except_what_the_stored_body_depends_on() {
        let mut stored = fields(&[
            ("content-type", "text/plain"),
            ("content-length", "3"),
            ("content-encoding", "gzip"),
            ("content-range", "bytes 0-2/9"),
            ("x-many", "1"),
            ("x-many", "2"),
            ("x-kept", "1"),
            ("date", NOON),
        ]);
        update(
            &mut stored,
            &fields(&[
                ("content-type", "text/html"),
                ("content-length", "0"),
                ("content-encoding", "br"),
                ("content-range", "bytes 0-0/1"),
                ("transfer-encoding", "chunked"),
                ("trailer", "x-sum"),
                ("x-many", "3"),
                ("x-many", "4"),
                ("x-new", "1"),
                ("date", LATER),
            ]),
        );
        assert_eq!(
            stored,
            fields(&[
                ("content-type", "text/html"),
                ("content-length", "3"),
                ("content-encoding", "gzip"),
                ("content-range", "bytes 0-2/9"),
                ("x-many", "3"),
                ("x-many", "4"),
                ("x-kept", "1"),
                ("x-new", "1"),
                ("date", LATER),
            ])
        );
    }

    #[test]
    fn a_head_updates_only_what_it_describes() {
        let stored: Lines<'_> = &[("etag", "\"a\""), ("last-modified", NOON)];
        let cases: [(Lines<'_>, bool); 15] = [
            (&[], true),
            (&[("etag", "\"a\"")], true),
            (&[("etag", "\"b\"")], false),
            (&[("etag", "W/\"a\"")], false),
            (&[("etag", "")], false),
            (&[("last-modified", NOON)], true),
            (&[("last-modified", LATER)], false),
            (&[("etag", "\"a\""), ("last-modified", LATER)], false),
            (&[("content-length", "10")], true),
            (&[("content-length", "11")], false),
            (&[("content-length", "+10")], false),
            (&[("content-length", "")], false),
            (&[("content-length", "99999999999999999999999")], false),
            (&[("etag", "\"a\""), ("content-length", "10")], true),
            (&[("etag", "\"a\""), ("content-length", "0")], false),
        ];
        for (head, updates) in cases {
            let verdict = head_verdict(&fields(head), &fields(stored), 10);
            assert_eq!(verdict == HeadVerdict::Updates, updates, "{head:?}");
        }
        let tagged = fields(&[("etag", "\"a\"")]);
        let unknown = head_verdict(&tagged, &HeaderMap::new(), 10);
        assert_eq!(unknown, HeadVerdict::Contradicts);
    }
}
