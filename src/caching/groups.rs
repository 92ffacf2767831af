//! Answers that an origin says belong together (RFC 9875).
//!
//! `Cache-Groups` names the groups that a stored answer is in; `Cache-Group-Invalidation`, on the
//! answer to an unsafe request, names the groups that the request changed. Two answers share a
//! group where both name the same string, compared octet by octet, and have the same origin
//! (§2.1). Names are opaque.
//!
//! Both fields are Lists of Strings (RFC 9651 §3.1). One that does not parse, or has a member that
//! is no String, is ignored as a whole, as Structured Fields want it; parameters are ignored alone.
//!
//! The standard asks for at least 32 groups of 32 characters (§2, §3). Here the first 128 names of
//! up to 256 characters count and others are passed over, in both fields alike: an answer is then
//! not in such a group, and lives until its lifetime ends.

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use sfv::{BareItem, List, ListEntry, Parser};

use super::invalidation::{is_non_error, is_unsafe};

/// The groups that an answer is in (§2).
pub const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");

/// The groups that an unsafe request changed (§3).
pub const CACHE_GROUP_INVALIDATION: HeaderName =
    HeaderName::from_static("cache-group-invalidation");

/// Groups that are counted in one field.
const MAX_GROUPS: usize = 128;

/// Characters in the name of a group.
const MAX_NAME_LEN: usize = 256;

/// The groups that an answer is in, each once.
pub fn groups(response: &HeaderMap) -> Vec<String> {
    read(response, &CACHE_GROUPS)
}

/// The groups whose answers an answer makes unusable, each once. On the answer to a safe request
/// the field must be ignored (§3). It is believed on a non-error answer only, like every other
/// invalidation (RFC 9111 §4.4): where an origin adds the field whatever becomes of the request,
/// anybody's refused request would otherwise empty the cache.
pub fn invalidated_groups(
    method: &Method,
    status: StatusCode,
    response: &HeaderMap,
) -> Vec<String> {
    if !is_unsafe(method) || !is_non_error(status) {
        return Vec::new();
    }
    read(response, &CACHE_GROUP_INVALIDATION)
}

fn read(response: &HeaderMap, name: &HeaderName) -> Vec<String> {
    // Lines are one List, joined by commas (RFC 9651 §4.2).
    let lines: Vec<&[u8]> = response.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    let joined = lines.join(&b", "[..]);
    let Ok(members) = Parser::new(&joined).parse::<List>() else { return Vec::new() };
    let Some(names) = members.into_iter().map(as_string).collect::<Option<Vec<_>>>() else {
        return Vec::new();
    };
    let mut groups: Vec<String> = Vec::new();
    for name in names {
        if name.len() <= MAX_NAME_LEN && !groups.contains(&name) {
            groups.push(name);
        }
        if groups.len() == MAX_GROUPS {
            break;
        }
    }
    groups
}

fn as_string(member: ListEntry) -> Option<String> {
    match member {
        ListEntry::Item(item) => match item.bare_item {
            BareItem::String(text) => Some(text.into()),
            _ => None,
        },
        ListEntry::InnerList(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(name: &HeaderName, lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_str(line).unwrap())).collect()
    }

    #[test]
    fn groups_are_a_list_of_strings() {
        let cases: [(&[&str], &[&str]); 16] = [
            (&[], &[]),
            (&[""], &[]),
            (&["\"scripts\""], &["scripts"]),
            (&["\"a\", \"b\""], &["a", "b"]),
            (&["\"a\"", "\"b\""], &["a", "b"]),
            (&["\"b\", \"a\", \"b\""], &["b", "a"]),
            (&["\"a\";x=1;y"], &["a"]),
            (&["\"a, b\", \"A\\\"\\\\\""], &["a, b", "A\"\\"]),
            (&["\"\""], &[""]),
            (&["a"], &[]),
            (&["\"a\", b"], &[]),
            (&["\"a\", (\"b\")"], &[]),
            (&["\"a\", 1"], &[]),
            (&["\"a\","], &[]),
            (&["\"a\"", "\"b"], &[]),
            (&["\"é\""], &[]),
        ];
        for (lines, expected) in cases {
            assert_eq!(groups(&with(&CACHE_GROUPS, lines)), expected, "{lines:?}");
        }
    }

    #[test]
    fn thirty_two_groups_of_thirty_two_characters_count_and_some_more() {
        let list = |count: usize, len: usize| {
            let names: Vec<_> = (0..count).map(|n| format!("\"{n:0>len$}\"")).collect();
            with(&CACHE_GROUPS, &[&names.join(", ")])
        };
        assert_eq!(groups(&list(32, 32)).len(), 32);
        assert_eq!(groups(&list(128, 256)).len(), 128);
        let first = groups(&list(129, 3));
        assert_eq!((first.len(), first[127].as_str()), (128, "127"));
        assert_eq!(groups(&list(3, 257)).len(), 0);
        let long = "x".repeat(257);
        let lines = with(&CACHE_GROUPS, &[&format!("\"{long}\", \"a\"")]);
        assert_eq!(groups(&lines), ["a"], "a name that is too long costs no other its place");
    }

    #[test]
    fn groups_are_invalidated_by_unsafe_requests_that_succeed() {
        let response = with(&CACHE_GROUP_INVALIDATION, &["\"news\", \"home\""]);
        for (method, status, expected) in [
            ("POST", 200, true),
            ("DELETE", 204, true),
            ("PUT", 303, true),
            ("X-REBUILD", 200, true),
            ("GET", 200, false),
            ("HEAD", 200, false),
            ("OPTIONS", 200, false),
            ("TRACE", 200, false),
            ("POST", 403, false),
            ("POST", 500, false),
        ] {
            let verb = Method::from_bytes(method.as_bytes()).unwrap();
            let named = invalidated_groups(&verb, StatusCode::from_u16(status).unwrap(), &response);
            let expected: &[&str] = if expected { &["news", "home"] } else { &[] };
            assert_eq!(named, expected, "{method} {status}");
        }
        let other = with(&CACHE_GROUPS, &["\"news\""]);
        assert!(invalidated_groups(&Method::POST, StatusCode::OK, &other).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 500, failure_persistence: None, ..ProptestConfig::default()
        })]

        #[test]
        fn no_value_panics(lines in prop::collection::vec("[\"\\\\a;=(), 1?*:@-]{0,24}", 0..4)) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let _ = groups(&with(&CACHE_GROUPS, &lines));
        }
    }
}
