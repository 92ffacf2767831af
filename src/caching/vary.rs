//! Which requests one stored answer serves (RFC 9111 §4.1, RFC 9110 §12.5.5).
//!
//! `Vary` names the request fields that the origin chose the answer by. A stored answer serves
//! another request where those fields match: where one request's can be turned into the other's by
//! white space, by joining lines, or by a normal form that is "known to have identical semantics".
//! The normal form is written out as bytes, so that matching is equality, and every part of it has
//! its length before it, so that no two values run into one.
//!
//! Much is known of four fields, whose members are alternatives with weights: their order does not
//! matter (RFC 9110 §12.5 gives preference to weights alone), nor does the case of what they name,
//! nor how a weight is spelled. Nothing is known of any other field, so only the white space around
//! its commas goes; and of fields that are no lists not even that. Where a member is not understood,
//! the whole field is treated as unknown. Too fine a form costs a fetch, too coarse a one would
//! serve the wrong answer.

use std::cmp::Reverse;

use http::header::{
    ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, COOKIE, DATE, FROM,
    HOST, HeaderName, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, ORIGIN, REFERER, USER_AGENT, VARY,
};
use http::{HeaderMap, HeaderValue};

use super::accept_encoding::quality;

/// What `Vary` says of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Vary {
    /// `*`: no other request is known to match (RFC 9111 §4.1).
    Any,
    /// The fields by which it was chosen, sorted, each once; none where there is no `Vary`.
    Fields(Vec<HeaderName>),
}

/// Reads all `Vary` lines of an answer. A member that is no field name counts as `*`, since nobody
/// knows what the answer was chosen by.
pub fn vary(headers: &HeaderMap) -> Vary {
    let mut fields = Vec::new();
    let members = headers.get_all(VARY).iter().flat_map(|line| line.as_bytes().split(is_comma));
    for member in members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty()) {
        // `*` is a valid name by its grammar.
        match HeaderName::from_bytes(member) {
            Ok(name) if member != b"*" => fields.push(name),
            _ => return Vary::Any,
        }
    }
    fields.sort_unstable_by(|one, two| one.as_str().cmp(two.as_str()));
    fields.dedup();
    Vary::Fields(fields)
}

fn is_comma(byte: &u8) -> bool {
    *byte == b','
}

/// Fields whose members are alternatives with weights (RFC 9110 §12.5).
const PREFERENCES: [HeaderName; 4] = [ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE];

/// Fields that are no lists: a comma in one is part of a value, a date or a comment.
const SINGLE_VALUES: [HeaderName; 10] = [
    AUTHORIZATION,
    COOKIE,
    DATE,
    FROM,
    HOST,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
    ORIGIN,
    REFERER,
    USER_AGENT,
];

/// How a field's value is written down. The numbers keep the forms apart.
#[derive(Clone, Copy)]
enum Form {
    Absent = 0,
    Lines = 1,
    List = 2,
    Preferences = 3,
}

/// The normal form of the named fields of a request. Two requests match by RFC 9111 §4.1 where
/// theirs are equal. A field that is absent matches absence only.
pub fn variant(names: &[HeaderName], request: &HeaderMap) -> Vec<u8> {
    let mut out = Vec::new();
    for name in names {
        put(&mut out, name.as_str().as_bytes());
        let lines: Vec<&[u8]> = request.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        let (form, value) = normal_form(name, &lines);
        out.push(form as u8);
        put(&mut out, &value);
    }
    out
}

fn put(out: &mut Vec<u8>, part: &[u8]) {
    out.extend_from_slice(&(part.len() as u64).to_le_bytes());
    out.extend_from_slice(part);
}

fn normal_form(name: &HeaderName, lines: &[&[u8]]) -> (Form, Vec<u8>) {
    if lines.is_empty() {
        return (Form::Absent, Vec::new());
    }
    if SINGLE_VALUES.contains(name) {
        let mut value = Vec::new();
        for line in lines {
            put(&mut value, line.trim_ascii());
        }
        return (Form::Lines, value);
    }
    let joined = lines.join(&b","[..]);
    if PREFERENCES.contains(name)
        && let Some(value) = preferences(&joined, *name == ACCEPT)
    {
        return (Form::Preferences, value);
    }
    let members: Vec<&[u8]> = split_unquoted(&joined, b',').map(<[u8]>::trim_ascii).collect();
    (Form::List, members.join(&b","[..]))
}

/// Splits outside of quoted strings (RFC 9110 §5.6.4). A quote that is never closed reaches to the
/// end.
fn split_unquoted(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |&byte| {
        let splits = byte == separator && !quoted;
        (quoted, escaped) = match (byte, quoted, escaped) {
            (_, true, true) => (true, false),
            (b'\\', true, false) => (true, true),
            (b'"', _, _) => (!quoted, false),
            _ => (quoted, false),
        };
        splits
    })
}

/// Alternatives, heaviest first and equal ones by name; `None` where one is not understood.
fn preferences(joined: &[u8], are_media_ranges: bool) -> Option<Vec<u8>> {
    let mut alternatives = split_unquoted(joined, b',')
        .map(<[u8]>::trim_ascii)
        // Empty members are ignored (RFC 9110 §5.6.1.2); the empty list is not the absent field.
        .filter(|member| !member.is_empty())
        .map(|member| alternative(member, are_media_ranges))
        .collect::<Option<Vec<_>>>()?;
    alternatives.sort_unstable();
    alternatives.dedup();
    // One range with two weights: which of them counts, the order may decide.
    if alternatives.windows(2).any(|pair| matches!(pair, [(one, _), (two, _)] if one == two)) {
        return None;
    }
    alternatives.sort_by_key(|(_, weight)| Reverse(*weight));
    let mut value = Vec::new();
    for (range, weight) in &alternatives {
        put(&mut value, range);
        value.extend_from_slice(&weight.to_le_bytes());
    }
    Some(value)
}

/// One alternative and its weight in thousandths: a range, its parameters where it is a media
/// range, and the weight last, where RFC 9110 §12.5.1 wants it.
fn alternative(member: &[u8], is_media_range: bool) -> Option<(Vec<u8>, u16)> {
    let mut parts = split_unquoted(member, b';').map(<[u8]>::trim_ascii);
    let range = parts.next()?;
    let is_range = match is_media_range {
        true => {
            let mut types = range.split(|&byte| byte == b'/');
            types.by_ref().take(2).filter(|part| is_token(part)).count() == 2
                && types.next().is_none()
        }
        false => is_token(range),
    };
    if !is_range {
        return None;
    }
    let mut form = range.to_ascii_lowercase();
    let mut weight = None;
    for part in parts {
        let equals = part.iter().position(|&byte| byte == b'=')?;
        let (name, value) = part.split_at_checked(equals)?;
        let value = value.get(1..)?;
        let is_parameter = is_token(name) && (is_token(value) || is_quoted_string(value));
        if weight.is_some() || !is_parameter {
            return None;
        }
        if name.eq_ignore_ascii_case(b"q") {
            weight = Some(quality(std::str::from_utf8(part).ok()?)?);
        } else if is_media_range {
            // The name's case does not matter; the value's may (RFC 9110 §5.6.6).
            form.push(b';');
            form.extend(name.to_ascii_lowercase());
            form.push(b'=');
            form.extend_from_slice(value);
        } else {
            return None;
        }
    }
    Some((form, weight.unwrap_or(1_000)))
}

/// RFC 9110 §5.6.2.
fn is_token(text: &[u8]) -> bool {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_tchar)
}

/// One quoted string and nothing after it (RFC 9110 §5.6.4).
fn is_quoted_string(text: &[u8]) -> bool {
    let Some(inner) = text.strip_prefix(b"\"") else { return false };
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'"' => return bytes.next().is_none(),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(name: &HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    fn matches(name: &HeaderName, one: &[&str], two: &[&str]) -> bool {
        let of = |values| variant(std::slice::from_ref(name), &lines(name, values));
        of(one) == of(two)
    }

    #[test]
    fn vary_names_fields_or_says_that_nothing_matches() {
        let named = |names: &[&'static str]| {
            Vary::Fields(names.iter().map(|name| HeaderName::from_static(name)).collect())
        };
        let cases: [(&[&str], Vary); 11] = [
            (&[], named(&[])),
            (&["", " , ,"], named(&[])),
            (&["Accept-Encoding"], named(&["accept-encoding"])),
            (&["b, a,,B", "A", "c"], named(&["a", "b", "c"])),
            (&["*"], Vary::Any),
            (&["a", " *"], Vary::Any),
            (&["a, *, b"], Vary::Any),
            (&["**"], named(&["**"])),
            (&["a b"], Vary::Any),
            (&["\"a\""], Vary::Any),
            (&["a; b"], Vary::Any),
        ];
        for (values, expected) in cases {
            assert_eq!(vary(&lines(&VARY, values)), expected, "{values:?}");
        }
    }

    #[test]
    fn requests_match_where_only_what_does_not_matter_differs() {
        let unknown = HeaderName::from_static("x-shop");
        let cases: [(&HeaderName, &[&str], &[&str]); 16] = [
            (&unknown, &["1, 2"], &["1,2"]),
            (&unknown, &["1 ,\t2 "], &["1", " 2"]),
            (&unknown, &["\"a\\\", b\" , c"], &["\"a\\\", b\",c"]),
            (&unknown, &[""], &["  "]),
            (&ACCEPT_LANGUAGE, &["en, de"], &["de", "en"]),
            (&ACCEPT_LANGUAGE, &["en-GB"], &["EN-gb"]),
            (&ACCEPT_LANGUAGE, &["fr;q=0.5, en"], &["en;q=1.0,fr ; Q=0.500"]),
            (&ACCEPT_LANGUAGE, &["en, en,"], &[",en"]),
            (&ACCEPT_ENCODING, &["gzip, br"], &["BR,GZip;q=1"]),
            (&ACCEPT_ENCODING, &["gzip;q=0"], &["gzip;q=0.000"]),
            (&ACCEPT_CHARSET, &["utf-8"], &["UTF-8"]),
            (&ACCEPT, &["text/html, */*;q=0.1"], &["*/*;q=0.1,Text/HTML"]),
            (&ACCEPT, &["text/html;Level=1"], &["text/html ; level=1"]),
            (&ACCEPT, &["a/b;c=\"d;e,f\", g/h"], &["g/h,a/b;c=\"d;e,f\""]),
            (&USER_AGENT, &[" a (b, c)"], &["a (b, c)"]),
            (&ACCEPT_LANGUAGE, &["en;x"], &["en;x "]),
        ];
        for (name, one, two) in cases {
            assert!(matches(name, one, two), "{name}: {one:?} {two:?}");
        }
    }

    #[test]
    fn requests_do_not_match_where_their_meaning_may_differ() {
        let unknown = HeaderName::from_static("x-shop");
        let cases: [(&HeaderName, &[&str], &[&str]); 25] = [
            (&unknown, &[], &[""]),
            (&unknown, &["1"], &["2"]),
            (&unknown, &["a"], &["A"]),
            (&unknown, &["1, 2"], &["2, 1"]),
            (&unknown, &["1, 1"], &["1"]),
            (&unknown, &["a  b"], &["a b"]),
            (&unknown, &["\"a, b\""], &["\"a,b\""]),
            (&unknown, &["\"a\\\", b\""], &["\"a\\\",b\""]),
            (&ACCEPT_LANGUAGE, &[], &[""]),
            (&ACCEPT_LANGUAGE, &["en"], &["de"]),
            (&ACCEPT_LANGUAGE, &["en, de"], &["en"]),
            (&ACCEPT_LANGUAGE, &["en;q=0.5, de"], &["en, de;q=0.5"]),
            (&ACCEPT_LANGUAGE, &["en;q=0.5, en;q=0.8"], &["en;q=0.8, en;q=0.5"]),
            (&ACCEPT_LANGUAGE, &["en;q=2, de"], &["de, en;q=2"]),
            (&ACCEPT_LANGUAGE, &["en;q =1"], &["en"]),
            (&ACCEPT_ENCODING, &["gzip;q=0"], &[""]),
            (&ACCEPT_ENCODING, &["gzip;q=0"], &["gzip"]),
            (&ACCEPT_ENCODING, &["br;x=1, gzip"], &["gzip, br;x=1"]),
            (&ACCEPT, &["text/html;level=1"], &["text/html"]),
            (&ACCEPT, &["text/html;a=B"], &["text/html;a=b"]),
            (&ACCEPT, &["text/html;q=1;a=b"], &["text/html;a=b"]),
            (&ACCEPT, &["text"], &["TEXT"]),
            (&ACCEPT, &["a/b/c"], &["A/b/c"]),
            (&USER_AGENT, &["a (b, c)"], &["a (b,c)"]),
            (&USER_AGENT, &["a", "b"], &["a,b"]),
        ];
        for (name, one, two) in cases {
            assert!(!matches(name, one, two), "{name}: {one:?} {two:?}");
        }
    }

    #[test]
    fn values_do_not_run_into_their_neighbours() {
        let names = [HeaderName::from_static("x-a"), HeaderName::from_static("x-b")];
        let of = |a: &'static str, b: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-a", HeaderValue::from_static(a));
            headers.insert("x-b", HeaderValue::from_static(b));
            variant(&names, &headers)
        };
        assert_ne!(of("12", "3"), of("1", "23"));
        assert_ne!(of("1", "2"), of("2", "1"));
    }

    fn language() -> impl Strategy<Value = (String, u16)> {
        ("[a-z]{2}(-[A-Z]{2})?", 0_u16..=1_000)
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 500, failure_persistence: None, ..ProptestConfig::default()
        })]

        #[test]
        fn nothing_that_can_stand_in_a_field_panics(
            values in prop::collection::vec("[\"\\\\,;=/* \\tqa-c0-9.\\x80-\\xff]{0,24}", 0..4)
        ) {
            let mut headers = HeaderMap::new();
            for value in &values {
                for name in PREFERENCES.into_iter().chain([VARY, USER_AGENT, HeaderName::from_static("x")]) {
                    headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
                }
            }
            let _ = vary(&headers);
            let names: Vec<_> = headers.keys().cloned().collect();
            prop_assert_eq!(variant(&names, &headers), variant(&names, &headers.clone()));
        }

        #[test]
        fn an_unknown_field_differs_wherever_more_than_white_space_does(
            one in "[a\", \\\\]{0,12}", two in "[a\", \\\\]{0,12}"
        ) {
            let name = HeaderName::from_static("x-shop");
            let bare = |text: &str| text.replace([' ', '\t'], "");
            if bare(&one) != bare(&two) {
                prop_assert!(!matches(&name, &[&one], &[&two]));
            }
        }

        #[test]
        fn the_order_of_weighted_alternatives_is_of_no_account(
            mut languages in prop::collection::btree_map("[a-z]{2,5}", 0_u16..=1_000, 1..6)
                .prop_map(|map| map.into_iter().collect::<Vec<_>>()),
            other in language(),
        ) {
            let written = |languages: &[(String, u16)]| {
                let all: Vec<_> = languages.iter()
                    .map(|(tag, q)| format!("{tag};q={}.{:03}", q / 1_000, q % 1_000)).collect();
                all.join(", ")
            };
            let forwards = written(&languages);
            languages.reverse();
            let backwards = written(&languages);
            prop_assert!(matches(&ACCEPT_LANGUAGE, &[&forwards], &[&backwards]));
            languages.push((format!("{}-x-other", other.0), other.1));
            prop_assert!(!matches(&ACCEPT_LANGUAGE, &[&forwards], &[&written(&languages)]));
        }
    }
}
