//! Entity tags and modification dates (RFC 9110 §8.8).
//!
//! A validator is strong when it changes with every change of the body, so that two answers that
//! share it are the same byte for byte; a weak one changes with what an origin finds worth
//! telling. Weak comparison decides whether a body needs to be sent again, strong comparison
//! whether parts of two answers may be put together.
//!
//! Origins do send tags without quotes. Such a tag has no meaning by the standard, so it is never
//! strong and never like a quoted one, but it is equal to itself: a client that sends it back as
//! it got it is told that nothing changed.

use std::time::Duration;

use http::header::{DATE, ETAG, HeaderName, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue};

use super::http_date;
use crate::clock::Timestamp;

/// An entity tag, without its quotes (RFC 9110 §8.8.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntityTag<'a> {
    /// `"x"`.
    Strong(&'a [u8]),
    /// `W/"x"`.
    Weak(&'a [u8]),
    /// Anything else, as it stands.
    Malformed(&'a [u8]),
}

impl<'a> EntityTag<'a> {
    /// Reads one tag, which is all of `value`.
    pub fn parse(value: &'a [u8]) -> Self {
        let value = value.trim_ascii();
        let quoted = |text: &'a [u8]| {
            let inner = text.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
            (!inner.contains(&b'"')).then_some(inner)
        };
        if let Some(inner) = quoted(value) {
            return Self::Strong(inner);
        }
        // The prefix is case-sensitive (RFC 9110 §8.8.3).
        match value.strip_prefix(b"W/").and_then(quoted) {
            Some(inner) => Self::Weak(inner),
            None => Self::Malformed(value),
        }
    }

    /// Strong comparison (RFC 9110 §8.8.3.2): both are strong, and the same.
    pub fn is_strongly(self, other: Self) -> bool {
        matches!((self, other), (Self::Strong(one), Self::Strong(two)) if one == two)
    }

    /// Weak comparison (RFC 9110 §8.8.3.2): the same, whether either is weak or not.
    pub fn is_weakly(self, other: Self) -> bool {
        match (self, other) {
            (Self::Malformed(one), Self::Malformed(two)) => one == two,
            (Self::Malformed(_), _) | (_, Self::Malformed(_)) => false,
            (Self::Strong(one) | Self::Weak(one), Self::Strong(two) | Self::Weak(two)) => {
                one == two
            }
        }
    }
}

/// The tags of one line of a list. Tags may hold commas, so it is walked by its quotes.
pub fn entity_tags(line: &[u8]) -> impl Iterator<Item = EntityTag<'_>> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let start = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        let from_start = rest.get(start..)?;
        let length = quoted_length(from_start).unwrap_or_else(|| {
            from_start.iter().position(|&byte| byte == b',').unwrap_or(from_start.len())
        });
        let (tag, after) = from_start.split_at_checked(length)?;
        rest = after;
        Some(EntityTag::parse(tag))
    })
}

/// The length of the well-formed tag at the start of a list.
fn quoted_length(list: &[u8]) -> Option<usize> {
    let unprefixed = list.strip_prefix(b"W/").unwrap_or(list);
    let inner = unprefixed.strip_prefix(b"\"")?;
    let closing = inner.iter().position(|&byte| byte == b'"')?;
    let after = inner.get(closing + 1..)?;
    let ends = matches!(after.trim_ascii_start().first(), None | Some(b','));
    ends.then(|| list.len() - after.len())
}

/// The value of a field that may stand there once only; of a repeated one nothing is believed.
pub fn only_line<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    lines.next().is_none().then_some(first)
}

/// The entity tag of an answer; an empty `ETag` is none.
pub fn entity_tag(headers: &HeaderMap) -> Option<EntityTag<'_>> {
    let value = only_line(headers, &ETAG)?.as_bytes().trim_ascii();
    (!value.is_empty()).then(|| EntityTag::parse(value))
}

/// The date in a field that may stand there once only.
pub fn date(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    http_date::parse(only_line(headers, name)?.as_bytes())
}

/// When the body was last changed, where the answer says so in a way that makes a strong
/// validator: it was sent at least one second after the change, so that no second change can share
/// the date (RFC 9110 §8.8.2.2).
pub fn strong_last_modified(headers: &HeaderMap) -> Option<Timestamp> {
    let modified = date(headers, &LAST_MODIFIED)?;
    let sent = date(headers, &DATE)?;
    (sent.saturating_since(modified) >= Duration::from_secs(1)).then_some(modified)
}

/// The strong validator of an answer as it stands, to be sent in `If-Range`.
pub fn strong_validator(headers: &HeaderMap) -> Option<&HeaderValue> {
    if headers.contains_key(ETAG) {
        let is_strong = matches!(entity_tag(headers), Some(EntityTag::Strong(_)));
        return only_line(headers, &ETAG).filter(|_| is_strong);
    }
    only_line(headers, &LAST_MODIFIED).filter(|_| strong_last_modified(headers).is_some())
}

/// Whether two answers have the same strong validator, so that their bodies are the same byte for
/// byte. Where either has an entity tag, dates have no say.
pub fn share_strong_validator(one: &HeaderMap, two: &HeaderMap) -> bool {
    if one.contains_key(ETAG) || two.contains_key(ETAG) {
        return matches!(
            (entity_tag(one), entity_tag(two)),
            (Some(one), Some(two)) if one.is_strongly(two)
        );
    }
    let modified = strong_last_modified(one);
    modified.is_some() && modified == strong_last_modified(two)
}

#[cfg(test)]
mod tests {
    use super::EntityTag::{Malformed, Strong, Weak};
    use super::*;

    #[test]
    fn weak_comparison_looks_past_weakness_and_strong_comparison_does_not() {
        // RFC 9110 §8.8.3.2 compares tags in these pairs.
        for (one, two, strongly, weakly) in [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
            ("\"\"", "\"\"", true, true),
            ("\"a\"", "\"A\"", false, false),
            ("1", "1", false, true),
            ("1", "\"1\"", false, false),
            ("w/\"1\"", "\"1\"", false, false),
            ("\"1", "\"1\"", false, false),
        ] {
            let tags = (EntityTag::parse(one.as_bytes()), EntityTag::parse(two.as_bytes()));
            assert_eq!(tags.0.is_strongly(tags.1), strongly, "{one} {two} strongly");
            assert_eq!(tags.0.is_weakly(tags.1), weakly, "{one} {two} weakly");
            assert_eq!(tags.1.is_weakly(tags.0), weakly, "{two} {one} weakly");
        }
    }

    #[test]
    fn a_list_of_tags_is_walked_by_its_quotes() {
        let cases: [(&str, &[EntityTag<'_>]); 9] = [
            ("", &[]),
            (" , ,\t", &[]),
            (r#""a""#, &[Strong(b"a")]),
            (r#""a" , W/"b,c",,"""#, &[Strong(b"a"), Weak(b"b,c"), Strong(b"")]),
            ("a, \"b\"", &[Malformed(b"a"), Strong(b"b")]),
            (r#""a, "b""#, &[Malformed(b"\"a"), Strong(b"b")]),
            (r#""a"b, "c""#, &[Malformed(b"\"a\"b"), Strong(b"c")]),
            (r#"W/"a"#, &[Malformed(b"W/\"a")]),
            ("W/", &[Malformed(b"W/")]),
        ];
        for (list, expected) in cases {
            assert_eq!(entity_tags(list.as_bytes()).collect::<Vec<_>>(), expected, "{list}");
        }
    }

    fn answer(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    const NOON: &str = "Sun, 22 Nov 2026 12:00:00 GMT";
    const A_SECOND_LATER: &str = "Sun, 22 Nov 2026 12:00:01 GMT";

    #[test]
    fn a_date_is_strong_a_second_after_it() {
        let strong = |date, modified| {
            strong_last_modified(&answer(&[("date", date), ("last-modified", modified)])).is_some()
        };
        assert!(strong(A_SECOND_LATER, NOON));
        assert!(!strong(NOON, NOON));
        assert!(!strong(NOON, A_SECOND_LATER));
        assert!(!strong("noon", NOON));
        assert_eq!(strong_last_modified(&answer(&[("last-modified", NOON)])), None);
    }

    #[test]
    fn the_strong_validator_is_the_tag_and_a_date_only_where_there_is_no_tag() {
        let dated = [("date", A_SECOND_LATER), ("last-modified", NOON)];
        for (etag, expected) in [
            (Some("\"a\""), Some("\"a\"")),
            (Some("W/\"a\""), None),
            (Some("a"), None),
            (None, Some(NOON)),
        ] {
            let mut headers = answer(&dated);
            if let Some(etag) = etag {
                headers.insert(ETAG, HeaderValue::from_static(etag));
            }
            let validator = strong_validator(&headers).map(|value| value.to_str().unwrap());
            assert_eq!(validator, expected, "{etag:?}");
        }
        assert_eq!(strong_validator(&answer(&[("last-modified", NOON)])), None);
    }

    #[test]
    fn two_answers_share_a_strong_validator_only_where_nothing_is_left_to_guess() {
        let dated = ("date", A_SECOND_LATER);
        for (one, two, expected) in [
            (vec![("etag", "\"a\"")], vec![("etag", "\"a\"")], true),
            (vec![("etag", "\"a\"")], vec![("etag", "\"b\"")], false),
            (vec![("etag", "W/\"a\"")], vec![("etag", "W/\"a\"")], false),
            (vec![("etag", "a")], vec![("etag", "a")], false),
            (vec![("etag", "\"a\""), ("etag", "\"a\"")], vec![("etag", "\"a\"")], false),
            (vec![dated, ("last-modified", NOON)], vec![dated, ("last-modified", NOON)], true),
            (vec![dated, ("last-modified", NOON)], vec![("last-modified", NOON)], false),
            (
                vec![dated, ("last-modified", NOON), ("etag", "\"a\"")],
                vec![dated, ("last-modified", NOON)],
                false,
            ),
            (vec![], vec![], false),
        ] {
            let (one, two) = (answer(&one), answer(&two));
            assert_eq!(share_strong_validator(&one, &two), expected, "{one:?} {two:?}");
            assert_eq!(share_strong_validator(&two, &one), expected, "{two:?} {one:?}");
        }
    }
}
