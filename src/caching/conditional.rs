//! A client's own conditions on an answer that we hold (RFC 9110 §13, RFC 9111 §4.3.2).
//!
//! A client that holds an answer asks to be sent it again only if it changed. A cache judges two
//! of the five conditions: `If-None-Match`, and where that is absent, `If-Modified-Since`.
//! `If-Match` and `If-Unmodified-Since` guard writes at the origin and "are not applicable to a
//! cache" (RFC 9111 §4.3.2), so they change nothing here; `If-Range` is about ranges.
//!
//! For an answer of the catalogue the entity tag that this cache gives is the only validator that
//! a client can have from it. It is weak, because one tag stands for the plain
//! body and for its compressed forms, and `If-None-Match` compares weakly (RFC 9110 §13.1.2).

use http::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG,
    HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
    LAST_MODIFIED,
};
use http::{HeaderMap, Method, StatusCode};

use super::validators::{EntityTag, date, entity_tag, entity_tags};

/// The fields that make a request conditional (RFC 9110 §13.1).
const PRECONDITIONS: [HeaderName; 5] =
    [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE];

/// Whether the request has any precondition field.
pub fn has_conditions(request: &HeaderMap) -> bool {
    PRECONDITIONS.iter().any(|name| request.contains_key(name))
}

/// Takes every precondition away.
pub fn remove_conditions(request: &mut HeaderMap) {
    for name in &PRECONDITIONS {
        request.remove(name);
    }
}

/// Whether 304 is the answer to a request for which `stored` was chosen (RFC 9110 §13.2.2, of
/// which steps 3 and 4 apply to a cache).
pub fn not_modified(
    method: &Method,
    status: StatusCode,
    request: &HeaderMap,
    stored: &HeaderMap,
) -> bool {
    // Conditions count only where the answer without them would be a success (RFC 9110 §13.2.1),
    // and only GET and HEAD are answered with 304 (§13.1.2).
    if !matches!(*method, Method::GET | Method::HEAD) || !status.is_success() {
        return false;
    }
    // "A recipient MUST ignore If-Modified-Since if the request contains an If-None-Match header
    // field" (RFC 9110 §13.1.3), whatever the latter's worth.
    if request.contains_key(IF_NONE_MATCH) {
        return names(request, entity_tag(stored));
    }
    not_modified_since(request, stored)
}

/// Whether `If-None-Match` names the entity tag, or any at all (RFC 9110 §13.1.2).
fn names(request: &HeaderMap, etag: Option<EntityTag<'_>>) -> bool {
    let mut lines = request.get_all(IF_NONE_MATCH).iter();
    // `*` stands alone; among others it is a malformed tag.
    if let (Some(line), None) = (lines.next(), lines.next())
        && line.as_bytes().trim_ascii() == b"*"
    {
        return true;
    }
    etag.is_some_and(|etag| {
        request
            .get_all(IF_NONE_MATCH)
            .iter()
            .flat_map(|line| entity_tags(line.as_bytes()))
            .any(|tag| tag.is_weakly(etag))
    })
}

/// RFC 9110 §13.1.3: what is no date, or more than one, is ignored. Where the answer does not say
/// when it was modified, it was not after it was sent (RFC 9111 §4.3.2).
fn not_modified_since(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let Some(since) = date(request, &IF_MODIFIED_SINCE) else { return false };
    let modified = match stored.contains_key(LAST_MODIFIED) {
        true => date(stored, &LAST_MODIFIED),
        false => date(stored, &DATE),
    };
    modified.is_some_and(|modified| modified <= since)
}

/// Leaves of a stored answer's fields what a 304 carries (RFC 9110 §15.4.5): all but the metadata
/// of a body that is not sent. `Last-Modified` stays only where there is no `ETag`, since it then
/// is what guides the update of the client's own copy.
pub fn describes_not_modified(headers: &mut HeaderMap) {
    const OF_THE_BODY: [HeaderName; 8] = [
        CONTENT_ENCODING,
        CONTENT_LANGUAGE,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        HeaderName::from_static("content-digest"),
        HeaderName::from_static("content-md5"),
        HeaderName::from_static("repr-digest"),
    ];
    for name in OF_THE_BODY {
        headers.remove(name);
    }
    if headers.contains_key(ETAG) {
        headers.remove(LAST_MODIFIED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn get(
        request: &[(&'static str, &'static str)],
        stored: &[(&'static str, &'static str)],
    ) -> bool {
        not_modified(&Method::GET, StatusCode::OK, &fields(request), &fields(stored))
    }

    fn client_has(headers: &HeaderMap, etag: &str) -> bool {
        names(headers, Some(EntityTag::parse(etag.as_bytes())))
    }

    #[test]
    fn if_none_match_compares_weakly_and_walks_lists() {
        for (list, expected) in [
            (r#"W/"a,b""#, true),
            (r#""a,b""#, true),
            (r#""x", W/"a,b""#, true),
            (r#""x" , "y""#, false),
            ("*", true),
            (r#""x", *"#, false),
            ("a,b", false),
            (r#""a"#, false),
            (r#"x, "a,b""#, true),
            ("", false),
        ] {
            let headers = fields(&[("if-none-match", list)]);
            assert_eq!(client_has(&headers, r#"W/"a,b""#), expected, "{list}");
            assert_eq!(
                get(&[("if-none-match", list)], &[("etag", r#""a,b""#)]),
                expected,
                "{list}"
            );
        }
        assert!(!client_has(&HeaderMap::new(), "\"a\""));
    }

    #[test]
    fn a_list_over_several_lines_is_one_list() {
        let lines = [("if-none-match", "\"x\""), ("if-none-match", "W/\"y\"")];
        assert!(client_has(&fields(&lines), "W/\"y\""));
        assert!(!client_has(
            &fields(&[("if-none-match", "*"), ("if-none-match", "\"x\"")]),
            "\"y\""
        ));
    }

    #[test]
    fn a_tag_without_quotes_is_equal_to_itself_alone() {
        assert!(get(&[("if-none-match", "abc")], &[("etag", "abc")]));
        assert!(!get(&[("if-none-match", "\"abc\"")], &[("etag", "abc")]));
        assert!(!get(&[("if-none-match", "abc")], &[("etag", "\"abc\"")]));
    }

    const NOON: &str = "Sun, 22 Nov 2026 12:00:00 GMT";
    const BEFORE: &str = "Sun, 22 Nov 2026 11:59:59 GMT";
    const AFTER: &str = "Sun, 22 Nov 2026 12:00:01 GMT";

    #[test]
    fn if_modified_since_asks_last_modified_and_else_the_date() {
        let stored = [("last-modified", NOON), ("date", AFTER)];
        for (since, expected) in [
            (BEFORE, false),
            (NOON, true),
            (AFTER, true),
            ("Sunday, 22-Nov-26 12:00:00 GMT", true),
            ("Sun Nov 22 12:00:00 2026", true),
            ("yesterday", false),
            ("0", false),
            ("", false),
        ] {
            assert_eq!(get(&[("if-modified-since", since)], &stored), expected, "{since}");
        }
        assert!(get(&[("if-modified-since", NOON)], &[("date", NOON)]));
        assert!(!get(&[("if-modified-since", BEFORE)], &[("date", NOON)]));
        assert!(!get(&[("if-modified-since", AFTER)], &[]));
        assert!(!get(
            &[("if-modified-since", AFTER)],
            &[("last-modified", "noon"), ("date", NOON)]
        ));
        let twice = [("if-modified-since", NOON), ("if-modified-since", NOON)];
        assert!(!get(&twice, &stored));
    }

    #[test]
    fn if_none_match_silences_if_modified_since() {
        let stored = [("etag", "\"a\""), ("last-modified", NOON)];
        assert!(!get(&[("if-none-match", "\"b\""), ("if-modified-since", AFTER)], &stored));
        assert!(get(&[("if-none-match", "\"a\""), ("if-modified-since", BEFORE)], &stored));
        assert!(!get(&[("if-none-match", ""), ("if-modified-since", AFTER)], &stored));
        let without_tag = [("last-modified", NOON)];
        assert!(!get(&[("if-none-match", "\"b\""), ("if-modified-since", AFTER)], &without_tag));
    }

    #[test]
    fn only_a_get_or_head_that_would_succeed_is_answered_with_304() {
        let request = fields(&[("if-none-match", "\"a\"")]);
        let stored = fields(&[("etag", "\"a\"")]);
        for (method, status, expected) in [
            (Method::GET, 200, true),
            (Method::HEAD, 200, true),
            (Method::GET, 206, true),
            (Method::GET, 301, false),
            (Method::GET, 404, false),
            (Method::GET, 500, false),
            (Method::POST, 200, false),
            (Method::PUT, 200, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let is = not_modified(&method, status, &request, &stored);
            assert_eq!(is, expected, "{method} {status}");
        }
    }

    #[test]
    fn conditions_on_writes_are_left_to_the_origin() {
        let stored = [("etag", "\"a\""), ("last-modified", NOON)];
        assert!(!get(&[("if-match", "\"a\"")], &stored));
        assert!(!get(&[("if-unmodified-since", AFTER)], &stored));
        assert!(get(&[("if-match", "\"b\""), ("if-none-match", "\"a\"")], &stored));
    }

    #[test]
    fn any_of_five_fields_makes_a_request_conditional() {
        for name in
            ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"]
        {
            let mut headers = fields(&[(name, "x"), ("accept", "*/*")]);
            assert!(has_conditions(&headers), "{name}");
            remove_conditions(&mut headers);
            assert_eq!(headers, fields(&[("accept", "*/*")]), "{name}");
        }
        assert!(!has_conditions(&fields(&[("range", "bytes=0-1"), ("accept", "*/*")])));
    }

    #[test]
    fn a_304_keeps_what_updates_a_copy_and_drops_what_describes_a_body() {
        let guides = [
            ("cache-control", "max-age=60"),
            ("content-location", "/a"),
            ("date", NOON),
            ("etag", "\"a\""),
            ("expires", NOON),
            ("vary", "accept"),
            ("age", "3"),
            ("set-cookie", "a=b"),
        ];
        let mut headers = fields(&guides);
        for (name, value) in [
            ("content-type", "text/plain"),
            ("content-length", "3"),
            ("content-encoding", "gzip"),
            ("content-language", "de"),
            ("content-range", "bytes 0-2/3"),
            ("last-modified", NOON),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        describes_not_modified(&mut headers);
        assert_eq!(headers, fields(&guides));

        let mut headers = fields(&[("last-modified", NOON)]);
        describes_not_modified(&mut headers);
        assert_eq!(headers, fields(&[("last-modified", NOON)]));
    }
}
