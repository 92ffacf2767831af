//! The JSON body of an action, in one form for all of its spellings.
//!
//! Object members are sorted, white space and annotations are dropped, strings are decoded and
//! written back in one way, and the elements of lists that are sets are sorted and named once,
//! unless the answer shows only a part of them.
//! Numbers stay byte for byte what they are: RecIds are 64-bit integers, and anything that reads
//! them as floating point (RFC 8785 included) makes 9007199254740993 and 9007199254740992 one
//! product.
//!
//! This form is the key's and, our present moment apart, also the one that is sent: whatever the
//! origin makes of a body, it makes the same of every body of that key.
//!
//! The grammar is checked by `serde_json`; what is done here is to walk a text that is known to
//! be JSON, once, whatever its nesting.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use serde::de::IgnoredAny;

use crate::clock::Timestamp;
use crate::operation::FieldPath;

/// How deep a body may nest.
const MAX_DEPTH: usize = 64;

/// What stands in the key for the present moment. It is no JSON, so no value that a client sends
/// is written the same.
const NOW: &[u8] = b"now";

/// What stands for it while the body is walked through. No JSON without white space holds a
/// control character: in strings they are escaped.
const NOW_MARK: u8 = 0;

/// What is known of an action's parameters.
#[derive(Clone, Copy, Debug)]
pub struct BodyRules<'a> {
    /// Lists whose order and repetitions mean nothing, as long as the answer is whole.
    pub sets: &'a [FieldPath],
    /// How many different elements of such a list the answer is whole for. Of a longer list it
    /// shows a part, which may be the first in the list's own order: that order then stays.
    pub answered_whole: usize,
    /// The parameter that clients set to the present moment.
    pub now_parameter: Option<&'a FieldPath>,
    /// Our present moment.
    pub now: Timestamp,
    /// How far from it a client's present moment may be.
    pub tolerance: Duration,
}

/// A body's canonical form and what is to be sent for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CanonicalBody {
    /// The form for the key.
    pub canonical: Bytes,
    /// The form for the origin: the same, but that a present moment is ours, so that a client's
    /// clock that is wrong cannot store the answer for another moment.
    pub forward: Bytes,
}

/// A value without members, as it is given to the observer of a walk.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Scalar<'a> {
    /// A number's lexeme.
    Number(&'a str),
    /// A string, decoded.
    Text(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

/// Why a body has no canonical form.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum BodyError {
    /// Not JSON, or more than one document.
    #[error("the body is not one JSON document")]
    Malformed,
    /// Not an object: an action's parameters are members.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// Two members of one name, letter case apart: readers differ in which one counts.
    #[error("the body names a member twice")]
    DuplicateMember,
    /// Nested too deeply.
    #[error("the body nests deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// A type annotation that is not a type's name.
    #[error("a type annotation is not the name of a type")]
    Annotation,
}

impl BodyError {
    /// The reason as it stands in `Cache-Status` and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "body-malformed",
            Self::NotAnObject => "body-not-an-object",
            Self::DuplicateMember => "body-duplicate-member",
            Self::TooDeep => "body-too-deep",
            Self::Annotation => "body-annotation",
        }
    }
}

/// Brings a body into its canonical form. `observe` is told each scalar with the name of the
/// member that it, or the list around it, is the value of.
///
/// An empty body is canonical: it has no parameters.
///
/// # Errors
/// [`BodyError`] where two readers could understand the body differently, or none can.
pub fn canonicalise(
    body: &[u8],
    rules: &BodyRules<'_>,
    observe: &mut dyn FnMut(&str, Scalar<'_>),
) -> Result<CanonicalBody, BodyError> {
    if body.is_empty() {
        return Ok(CanonicalBody { canonical: Bytes::new(), forward: Bytes::new() });
    }
    let text = std::str::from_utf8(body).map_err(|_| BodyError::Malformed)?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| BodyError::Malformed)?;
    let mut walk = Walk {
        text,
        at: 0,
        canonical: Vec::with_capacity(text.len()),
        names: Vec::new(),
        rules,
        observe,
    };
    if walk.peek() != Some(b'{') {
        return Err(BodyError::NotAnObject);
    }
    walk.value(0)?;
    let written = walk.canonical;
    if !written.contains(&NOW_MARK) {
        let canonical = Bytes::from(written);
        return Ok(CanonicalBody { forward: canonical.clone(), canonical });
    }
    let with_now_as = |moment: &[u8]| {
        let pieces: Vec<&[u8]> = written.split(|&byte| byte == NOW_MARK).collect();
        Bytes::from(pieces.join(moment))
    };
    let our_moment = format!("\"{}\"", rules.now);
    Ok(CanonicalBody { canonical: with_now_as(NOW), forward: with_now_as(our_moment.as_bytes()) })
}

/// A walk through a text that is known to be JSON.
struct Walk<'a, 'r> {
    text: &'a str,
    at: usize,
    canonical: Vec<u8>,
    /// The names of the members around the current place.
    names: Vec<Cow<'a, str>>,
    rules: &'r BodyRules<'r>,
    observe: &'r mut dyn FnMut(&str, Scalar<'_>),
}

/// Where a member stands in the canonical text, without a comma.
struct Member {
    name: Range<usize>,
    whole: Range<usize>,
}

impl<'a> Walk<'a, '_> {
    fn value(&mut self, depth: usize) -> Result<(), BodyError> {
        if depth > MAX_DEPTH {
            return Err(BodyError::TooDeep);
        }
        match self.peek().ok_or(BodyError::Malformed)? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string(),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), BodyError> {
        self.at += 1;
        let start = self.canonical.len();
        let mut members = Vec::new();
        let mut annotations = HashSet::new();
        while self.peek() != Some(b'}') {
            let member_start = self.canonical.len();
            let literal = self.string_literal()?;
            let name = decode(literal)?;
            self.expect(b':')?;
            // Compared with each other here, since only some of them are written.
            if name.contains('@') && !annotations.insert(name.to_ascii_lowercase()) {
                return Err(BodyError::DuplicateMember);
            }
            if is_dropped(&name) {
                self.annotation()?;
            } else {
                self.write_string(literal, &name)?;
                let name_range = member_start..self.canonical.len();
                self.canonical.push(b':');
                self.names.push(name);
                self.value(depth + 1)?;
                self.names.pop();
                let whole = member_start..self.canonical.len();
                members.push(Member { name: name_range, whole });
            }
            self.comma();
        }
        self.at += 1;
        self.rewrite_members(start, members)
    }

    fn array(&mut self, depth: usize) -> Result<(), BodyError> {
        self.at += 1;
        let start = self.canonical.len();
        self.canonical.push(b'[');
        let mut elements = Vec::new();
        while self.peek() != Some(b']') {
            if !elements.is_empty() {
                self.canonical.push(b',');
            }
            let element_start = self.canonical.len();
            self.value(depth + 1)?;
            elements.push(element_start..self.canonical.len());
            self.comma();
        }
        self.at += 1;
        self.canonical.push(b']');
        if self.rules.sets.iter().any(|path| path.matches(&self.names)) {
            self.rewrite_set(start, elements);
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), BodyError> {
        let literal = self.string_literal()?;
        let text = decode(literal)?;
        (self.observe)(self.names.last().map_or("", |name| name), Scalar::Text(&text));
        let may_be_now = self.rules.now_parameter.is_some_and(|path| path.matches(&self.names));
        if may_be_now && self.is_now(&text) {
            self.canonical.push(NOW_MARK);
            return Ok(());
        }
        self.write_string(literal, &text)
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Result<(), BodyError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let ends = |c: char| matches!(c, ',' | ']' | '}') || c.is_ascii_whitespace();
        let word = rest.split(ends).next().unwrap_or_default();
        if word.is_empty() {
            return Err(BodyError::Malformed);
        }
        self.at += word.len();
        self.canonical.extend_from_slice(word.as_bytes());
        let scalar = match word {
            "null" => Scalar::Null,
            "true" => Scalar::Bool(true),
            "false" => Scalar::Bool(false),
            number => Scalar::Number(number),
        };
        (self.observe)(self.names.last().map_or("", |name| name), scalar);
        Ok(())
    }

    /// Passes over the value of an annotation that says nothing about the question.
    fn annotation(&mut self) -> Result<(), BodyError> {
        if self.peek() != Some(b'"') {
            return Err(BodyError::Annotation);
        }
        let value = decode(self.string_literal()?)?;
        let is_name = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"#._()/:$-".contains(&b));
        if is_name { Ok(()) } else { Err(BodyError::Annotation) }
    }

    fn is_now(&self, text: &str) -> bool {
        let now = self.rules.now;
        Timestamp::parse_rfc3339(text).is_some_and(|moment| {
            now.saturating_since(moment).max(moment.saturating_since(now)) <= self.rules.tolerance
        })
    }

    /// Writes the members written since `start` anew: in order, in braces and with commas.
    fn rewrite_members(&mut self, start: usize, mut members: Vec<Member>) -> Result<(), BodyError> {
        let folded = |member: &Member| self.written(&member.name).to_ascii_lowercase();
        members.sort_by_cached_key(folded);
        let is_same = |(a, b): (&Member, &Member)| {
            self.written(&a.name).eq_ignore_ascii_case(self.written(&b.name))
        };
        if members.iter().zip(members.iter().skip(1)).any(is_same) {
            return Err(BodyError::DuplicateMember);
        }
        self.rewrite(start, b'{', members.into_iter().map(|member| member.whole), b'}');
        Ok(())
    }

    /// Writes the list written since `start` anew: in order, each element once. A list that is
    /// not answered for whole stays as it is.
    fn rewrite_set(&mut self, start: usize, mut elements: Vec<Range<usize>>) {
        elements.sort_by(|a, b| self.written(a).cmp(self.written(b)));
        elements.dedup_by(|a, b| self.written(a) == self.written(b));
        if elements.len() <= self.rules.answered_whole {
            self.rewrite(start, b'[', elements.into_iter(), b']');
        }
    }

    fn written(&self, range: &Range<usize>) -> &[u8] {
        self.canonical.get(range.clone()).unwrap_or_default()
    }

    fn rewrite(
        &mut self,
        start: usize,
        open: u8,
        pieces: impl Iterator<Item = Range<usize>>,
        close: u8,
    ) {
        let written = self.canonical.split_off(start);
        self.canonical.push(open);
        for (i, piece) in pieces.enumerate() {
            if i > 0 {
                self.canonical.push(b',');
            }
            let piece = written.get(piece.start - start..piece.end - start);
            self.canonical.extend_from_slice(piece.unwrap_or_default());
        }
        self.canonical.push(close);
    }

    /// A string that needs no escape is written as it came; any other as `serde_json` does.
    fn write_string(&mut self, literal: &str, text: &str) -> Result<(), BodyError> {
        if !literal.contains('\\') {
            self.canonical.extend_from_slice(literal.as_bytes());
            return Ok(());
        }
        serde_json::to_writer(&mut self.canonical, text).map_err(|_| BodyError::Malformed)
    }

    /// A string with its quotes.
    fn string_literal(&mut self) -> Result<&'a str, BodyError> {
        self.expect(b'"')?;
        let start = self.at - 1;
        let mut is_escaped = false;
        for byte in self.text.bytes().skip(self.at) {
            self.at += 1;
            match byte {
                b'"' if !is_escaped => {
                    return self.text.get(start..self.at).ok_or(BodyError::Malformed);
                }
                b'\\' => is_escaped = !is_escaped,
                _ => is_escaped = false,
            }
        }
        Err(BodyError::Malformed)
    }

    /// The next byte that is not white space, which becomes the current place.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += rest.iter().take_while(|b| b.is_ascii_whitespace()).count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), BodyError> {
        if self.peek() != Some(byte) {
            return Err(BodyError::Malformed);
        }
        self.at += 1;
        Ok(())
    }

    fn comma(&mut self) {
        if self.peek() == Some(b',') {
            self.at += 1;
        }
    }
}

/// Control information that differs between clients for the same question.
fn is_dropped(name: &str) -> bool {
    name.ends_with("@odata.type") || name == "@odata.context"
}

fn decode(literal: &str) -> Result<Cow<'_, str>, BodyError> {
    if literal.contains('\\') {
        return serde_json::from_str(literal).map(Cow::Owned).map_err(|_| BodyError::Malformed);
    }
    let inner = literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.map(Cow::Borrowed).ok_or(BodyError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_777_284_000_123; // 2026-04-27T10:00:00.123Z

    fn read(body: &str) -> Result<(String, String), BodyError> {
        read_answered(body, 4)
    }

    fn read_answered(body: &str, answered_whole: usize) -> Result<(String, String), BodyError> {
        let sets = ["productIds", "searchCriteria.ProductIds", "productWarehouses"]
            .map(|path| FieldPath::parse(path).unwrap());
        let now_parameter = FieldPath::parse("activeDate").unwrap();
        let rules = BodyRules {
            sets: &sets,
            answered_whole,
            now_parameter: Some(&now_parameter),
            now: Timestamp::from_millis(NOW_MS),
            tolerance: Duration::from_secs(60),
        };
        let body = canonicalise(body.as_bytes(), &rules, &mut |_, _| {})?;
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        Ok((text(&body.canonical), text(&body.forward)))
    }

    fn canonical(body: &str) -> Result<String, BodyError> {
        read(body).map(|(canonical, _)| canonical)
    }

    #[test]
    fn members_are_sorted_white_space_is_dropped_and_strings_have_one_spelling() {
        let expected = r#"{"a":[1,{"c":null,"d":true}],"b":"é/\""}"#;
        assert_eq!(
            canonical(
                "{ \"b\" : \"\\u00e9\\/\\u0022\" ,\n\t\"a\": [ 1, {\"d\":true,\"c\":null} ] }"
            ),
            Ok(expected.to_owned())
        );
        assert_eq!(canonical(expected), Ok(expected.to_owned()));
        assert_eq!(canonical(""), Ok(String::new()));
        assert_eq!(canonical("{}"), Ok("{}".to_owned()));
    }

    #[test]
    fn numbers_stay_byte_for_byte() {
        let body = r#"{"a":9007199254740993,"b":1.0,"c":1,"d":-0,"e":1E400}"#;
        assert_eq!(canonical(body).unwrap(), body);
    }

    #[test]
    fn only_a_set_loses_order_and_repetitions() {
        assert_eq!(
            canonical(r#"{"productIds":[3,1,3,2],"x":[3,1,3]}"#).unwrap(),
            r#"{"productIds":[1,2,3],"x":[3,1,3]}"#
        );
        assert_eq!(
            canonical(r#"{"searchCriteria":{"ProductIds":[2,1],"Other":[2,1]}}"#).unwrap(),
            r#"{"searchCriteria":{"Other":[2,1],"ProductIds":[1,2]}}"#
        );
        assert_eq!(
            canonical(r#"{"productWarehouses":[{"b":2,"a":1},{"a":0},{"a":1,"b":2}]}"#).unwrap(),
            r#"{"productWarehouses":[{"a":0},{"a":1,"b":2}]}"#
        );
    }

    #[test]
    fn a_set_that_is_not_answered_whole_keeps_its_order() {
        let body = r#"{"productIds":[3,1,3,2]}"#;
        let sorted = r#"{"productIds":[1,2,3]}"#;
        for (answered_whole, expected) in [(0, body), (1, body), (2, body), (3, sorted)] {
            let (key, forward) = read_answered(body, answered_whole).unwrap();
            assert_eq!((&*key, &*forward), (expected, expected), "{answered_whole}");
        }
        assert_eq!(read_answered(r#"{"productIds":[]}"#, 0).unwrap().0, r#"{"productIds":[]}"#);
    }

    #[test]
    fn type_annotations_are_left_out_of_the_key_and_not_sent() {
        let body = r##"{"@odata.type":"#A.B","ids@odata.type":"#Collection(Int64)","ids":[1]}"##;
        let (key, forward) = read(body).unwrap();
        assert_eq!(key, r#"{"ids":[1]}"#);
        assert_eq!(forward, key);
        assert_eq!(canonical(r#"{"@odata.type":{"a":1}}"#), Err(BodyError::Annotation));
        assert_eq!(canonical(r#"{"@odata.type":"a b"}"#), Err(BodyError::Annotation));
        assert_eq!(canonical(r#"{"@odata.id":"x"}"#).unwrap(), r#"{"@odata.id":"x"}"#);
    }

    /// Compared each with each, so many would take minutes: whoever sends them would hold a core.
    #[test]
    fn as_many_annotations_as_a_body_holds_cost_no_more_than_other_members() {
        let annotations: Vec<String> =
            (0..100_000).map(|i| format!(r##""m{i}@odata.type":"#A""##)).collect();
        let body = format!("{{{}}}", annotations.join(","));
        assert_eq!(canonical(&body).unwrap(), "{}");
        let body = format!(r##"{{{},"M0@odata.type":"#A"}}"##, annotations.join(","));
        assert_eq!(canonical(&body), Err(BodyError::DuplicateMember));
    }

    #[test]
    fn a_present_moment_is_ours_and_another_moment_is_exact() {
        let (key, forward) =
            read(r#"{ "activeDate" : "2026-04-27T12:00:59.9+02:00", "a":1}"#).unwrap();
        assert_eq!(key, r#"{"a":1,"activeDate":now}"#);
        assert_eq!(forward, r#"{"a":1,"activeDate":"2026-04-27T10:00:00.123Z"}"#);
        for other in
            [r#""2026-04-27T10:01:00.124Z""#, r#""2026-04-27T09:58:59Z""#, r#""now""#, "null"]
        {
            let body = format!(r#"{{"activeDate":{other}}}"#);
            assert_eq!(read(&body).unwrap(), (body.clone(), body));
        }
        let inner = r#"{"x":{"activeDate":"2026-04-27T10:00:00Z"}}"#;
        assert_eq!(canonical(inner).unwrap(), inner);
    }

    #[test]
    fn what_is_sent_is_what_is_keyed() {
        for body in [
            r#"{"productIds":[3,1,3],"b":"\u0061","a":1.0}"#,
            r##"{"productWarehouses":[{"b":1,"a":2},{"a":2,"b":1}], "x@odata.type":"#Evil"}"##,
            r#"{"a":"\u0000","b":"\u001f now"}"#,
        ] {
            let (key, forward) = read(body).unwrap();
            assert_eq!(key, forward);
            assert_eq!(read(&forward), Ok((key, forward.clone())), "{body}");
        }
        let (key, forward) = read(r#"{"z":" now","activeDate":"2026-04-27T10:00:00Z"}"#).unwrap();
        assert_eq!(key, r#"{"activeDate":now,"z":" now"}"#);
        assert_eq!(forward, r#"{"activeDate":"2026-04-27T10:00:00.123Z","z":" now"}"#);
    }

    #[test]
    fn what_two_readers_could_understand_differently_is_refused() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(65), "]".repeat(65));
        for (body, refusal) in [
            (r#"{"a":1,"a":1}"#, BodyError::DuplicateMember),
            (r#"{"a":1,"\u0061":1}"#, BodyError::DuplicateMember),
            (r#"{"productIds":[1],"b":0,"ProductIds":[2]}"#, BodyError::DuplicateMember),
            (r#"{"@odata.type":"A","@odata.type":"B"}"#, BodyError::DuplicateMember),
            (r#"{"@odata.type":"A","@ODATA.type":"B"}"#, BodyError::DuplicateMember),
            (r#"{"a":{"b":1,"b":2}}"#, BodyError::DuplicateMember),
            ("[1]", BodyError::NotAnObject),
            ("\"a\"", BodyError::NotAnObject),
            ("{} {}", BodyError::Malformed),
            (r#"{"a":NaN}"#, BodyError::Malformed),
            (r#"{"a":01}"#, BodyError::Malformed),
            (r#"{"a":1,}"#, BodyError::Malformed),
            (r#"{"a":"\ud800"}"#, BodyError::Malformed),
            ("\u{feff}{}", BodyError::Malformed),
            (" ", BodyError::Malformed),
            (&deep, BodyError::TooDeep),
        ] {
            assert_eq!(canonical(body), Err(refusal), "{body}");
        }
        let rules = BodyRules {
            sets: &[],
            answered_whole: 0,
            now_parameter: None,
            now: Timestamp::default(),
            tolerance: Duration::ZERO,
        };
        let latin1 = canonicalise(b"{\"a\":\"\xe9\"}", &rules, &mut |_, _| {});
        assert_eq!(latin1, Err(BodyError::Malformed));
    }
}
