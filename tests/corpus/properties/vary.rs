//! `Vary`, and the variants that it tells apart.

use csu_edge::caching::vary::{self, Vary, variant};
use http::header::{ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, HeaderName, VARY};
use http::{HeaderMap, HeaderValue};

use super::{header_lines, joined};

/// Fields of which the normal form knows more than that they are lists.
const PREFERENCES: [HeaderName; 4] = [ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE];
/// Fields of ours, which are lists for all that anybody knows.
const UNKNOWN: [&str; 3] = ["x-a", "x-b", "oun"];

/// An input is the header lines of an answer and of two requests, an empty line after each.
pub fn vary(input: &[u8]) {
    let Some((answer, rest)) = header_lines(input) else { return };
    let read = vary::vary(&answer);
    assert_eq!(vary::vary(&joined(&answer)), read, "a list may stand on several lines");
    let members: Vec<&[u8]> = answer
        .get_all(VARY)
        .iter()
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii))
        .collect();
    let Vary::Fields(names) = read else { return };
    assert!(!members.contains(&&b"*"[..]), "a star matches nothing");
    assert!(names.is_sorted_by(|a, b| a.as_str() < b.as_str()), "in order, each once");
    for name in &names {
        let is_it = |member: &&[u8]| member.eq_ignore_ascii_case(name.as_str().as_bytes());
        assert!(members.iter().any(is_it), "{name} is not named");
    }

    let Some((one, rest)) = header_lines(rest) else { return };
    check_request(&names, &one);
    let Some((two, _)) = header_lines(rest) else { return };
    check_request(&names, &two);
    if variant(&names, &one) == variant(&names, &two) {
        names.iter().for_each(|name| check_match(name, &one, &two));
    }
}

fn check_request(names: &[HeaderName], request: &HeaderMap) {
    let expected = variant(names, request);
    assert_eq!(variant(names, request), expected, "the same every time");

    let mut with_another = request.clone();
    with_another.insert("x-not-named", HeaderValue::from_static("1"));
    if !names.iter().any(|name| name == "x-not-named") {
        assert_eq!(variant(names, &with_another), expected, "what is not named is of no account");
    }

    let mut reversed = HeaderMap::new();
    let keys: Vec<&HeaderName> = request.keys().collect();
    for name in keys.into_iter().rev() {
        for value in request.get_all(name) {
            reversed.append(name, value.clone());
        }
    }
    assert_eq!(variant(names, &reversed), expected, "the order of fields is of no account");

    // What stands after a quote that its line does not close is nobody's to say.
    let is_quoted = |name: &HeaderName| text(name, request).contains(&b'"');
    let one_line = joined(request);
    for name in names.iter().filter(|name| is_a_list(name) && !is_quoted(name)) {
        let of = |request| variant(std::slice::from_ref(name), request);
        assert_eq!(of(&one_line), of(request), "a list may stand on several lines");
    }
}

fn is_a_list(name: &HeaderName) -> bool {
    PREFERENCES.contains(name) || UNKNOWN.iter().any(|unknown| name == unknown)
}

/// What two requests that match in a field must have in common there.
fn check_match(name: &HeaderName, one: &HeaderMap, two: &HeaderMap) {
    assert_eq!(one.contains_key(name), two.contains_key(name), "absence matches absence only");
    let (one, two) = (text(name, one), text(name, two));
    if PREFERENCES.contains(name) {
        if !one.contains(&b'"') && !two.contains(&b'"') {
            assert_eq!(ranges(&one), ranges(&two), "they name the same");
        }
    } else if is_a_list(name) {
        assert_eq!(bare(&one), bare(&two), "white space alone differs");
    }
}

fn text(name: &HeaderName, request: &HeaderMap) -> Vec<u8> {
    joined(request).get(name).map(|value| value.as_bytes().to_vec()).unwrap_or_default()
}

fn bare(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect()
}

/// What a field's members name, weights and parameters apart.
fn ranges(text: &[u8]) -> Vec<Vec<u8>> {
    let members = text.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let range = |member: &[u8]| {
        let range = member.split(|&byte| byte == b';').next().unwrap_or_default();
        range.trim_ascii().to_ascii_lowercase()
    };
    let mut ranges: Vec<Vec<u8>> = members.filter(|member| !member.is_empty()).map(range).collect();
    ranges.sort();
    ranges.dedup();
    ranges
}
