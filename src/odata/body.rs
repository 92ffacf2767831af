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

/// What stands before and behind the elements of the list that is to be told, meanwhile.
const LIST_MARK: u8 = 1;

/// What is known of an action's parameters.
#[derive(Clone, Copy, Debug)]
pub struct BodyRules<'a> {
    /// Lists whose order and repetitions mean nothing, as long as the answer is whole.
    pub sets: &'a [FieldPath],
    /// How many different elements of such a list the answer is whole for. Of a longer list it
    /// shows a part, which may be the first in the list's own order: that order then stays.
    pub answered_whole: usize,
    /// The list that is to be told beside the body's form ([`CanonicalBody::list`]). It is no set.
    pub list: Option<&'a FieldPath>,
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
    /// Whether a present moment is in it, so that the same bytes mean something else later.
    pub is_of_now: bool,
    /// The list that the rules ask for, where the body has exactly one at that place.
    pub list: Option<BodyList>,
}

/// A list taken out of a body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BodyList {
    /// Its elements, each in canonical form; in the order in which they came, with repetitions.
    pub elements: Vec<Box<str>>,
    /// The canonical form of the body with the list empty.
    pub canonical_rest: Bytes,
    /// What is sent before the elements, and behind them.
    pub forward_around: (Bytes, Bytes),
}

impl BodyList {
    /// The body that is sent for these elements.
    pub fn forward<'e>(&self, elements: impl Iterator<Item = &'e str>) -> Bytes {
        let (before, behind) = &self.forward_around;
        let mut body = before.to_vec();
        for (i, element) in elements.enumerate() {
            if i > 0 {
                body.push(b',');
            }
            body.extend_from_slice(element.as_bytes());
        }
        body.extend_from_slice(behind);
        body.into()
    }
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

/// A scalar and where it stands.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Seen<'a> {
    /// The member that it, or the list around it, is the value of.
    pub member: &'a str,
    /// What it is.
    pub value: Scalar<'a>,
    /// Whether it stands in the list that is told beside the body.
    pub in_list: bool,
}

/// Brings a body into its canonical form. `observe` is told each scalar.
///
/// An empty body is canonical: it has no parameters.
///
/// # Errors
/// [`BodyError`] where two readers could understand the body differently, or none can.
pub fn canonicalise(
    body: &[u8],
    rules: &BodyRules<'_>,
    observe: &mut dyn FnMut(Seen<'_>),
) -> Result<CanonicalBody, BodyError> {
    if body.is_empty() {
        let empty = Bytes::new();
        let (canonical, forward) = (empty.clone(), empty);
        return Ok(CanonicalBody { canonical, forward, is_of_now: false, list: None });
    }
    let text = std::str::from_utf8(body).map_err(|_| BodyError::Malformed)?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| BodyError::Malformed)?;
    let mut walk = Walk {
        text,
        at: 0,
        canonical: Vec::with_capacity(text.len()),
        names: Vec::new(),
        rules,
        lists: Vec::new(),
        is_in_list: false,
        observe,
    };
    if walk.peek() != Some(b'{') {
        return Err(BodyError::NotAnObject);
    }
    walk.value(0)?;
    let Walk { canonical: written, mut lists, .. } = walk;
    let our_moment = format!("\"{}\"", rules.now);
    let list = lists.pop().filter(|_| lists.is_empty());
    let list = list.and_then(|elements| {
        let mut around = written.split(|&byte| byte == LIST_MARK);
        let (before, _, behind) = (around.next()?, around.next()?, around.next()?);
        Some(BodyList {
            elements,
            canonical_rest: with_now(&[before, behind].concat(), NOW),
            forward_around: (
                with_now(before, our_moment.as_bytes()),
                with_now(behind, our_moment.as_bytes()),
            ),
        })
    });
    let mut whole = written;
    whole.retain(|&byte| byte != LIST_MARK);
    if !whole.contains(&NOW_MARK) {
        let canonical = Bytes::from(whole);
        let forward = canonical.clone();
        return Ok(CanonicalBody { canonical, forward, is_of_now: false, list });
    }
    Ok(CanonicalBody {
        canonical: with_now(&whole, NOW),
        forward: with_now(&whole, our_moment.as_bytes()),
        is_of_now: true,
        list,
    })
}

/// A text with the moment in the place of its marks.
fn with_now(text: &[u8], moment: &[u8]) -> Bytes {
    let pieces: Vec<&[u8]> = text.split(|&byte| byte == NOW_MARK).collect();
    pieces.join(moment).into()
}

/// Tells the scalars of a value that is canonical already, such as an element of a list that is the
/// value of `member`.
///
/// # Errors
/// [`BodyError`] where the text is no such value.
pub fn observe_value(
    text: &str,
    member: &str,
    observe: &mut dyn FnMut(Seen<'_>),
) -> Result<(), BodyError> {
    let rules = BodyRules {
        sets: &[],
        answered_whole: 0,
        list: None,
        now_parameter: None,
        now: Timestamp::default(),
        tolerance: Duration::ZERO,
    };
    let names = vec![Cow::Borrowed(member)];
    let (canonical, lists) = (Vec::new(), Vec::new());
    let is_in_list = true;
    Walk { text, at: 0, canonical, names, rules: &rules, lists, is_in_list, observe }.value(0)
}

/// A walk through a text that is known to be JSON.
struct Walk<'a, 'r> {
    text: &'a str,
    at: usize,
    canonical: Vec<u8>,
    /// The names of the members around the current place.
    names: Vec<Cow<'a, str>>,
    rules: &'r BodyRules<'r>,
    /// The elements of the list that is to be told; more than one where it is not clear which.
    lists: Vec<Vec<Box<str>>>,
    is_in_list: bool,
    observe: &'r mut dyn FnMut(Seen<'_>),
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
        let is_told = self.rules.list.is_some_and(|path| path.matches(&self.names));
        self.is_in_list |= is_told;
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
        if is_told {
            self.is_in_list = false;
            let texts = elements.iter().map(|element| std::str::from_utf8(self.written(element)));
            let texts: Result<Vec<_>, _> = texts.map(|text| text.map(Box::from)).collect();
            self.lists.push(texts.map_err(|_| BodyError::Malformed)?);
        }
        if !is_told && self.rules.sets.iter().any(|path| path.matches(&self.names)) {
            self.rewrite_set(start, elements);
        }
        if is_told {
            self.canonical.insert(start + 1, LIST_MARK);
            let end = self.canonical.len() - 1;
            self.canonical.insert(end, LIST_MARK);
        }
        Ok(())
    }

    fn tell(&mut self, value: Scalar<'_>) {
        let member = self.names.last().map_or("", |name| name);
        (self.observe)(Seen { member, value, in_list: self.is_in_list });
    }

    fn string(&mut self) -> Result<(), BodyError> {
        let literal = self.string_literal()?;
        let text = decode(literal)?;
        self.tell(Scalar::Text(&text));
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
        self.tell(scalar);
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
mod tests;
