//! The one parser of cache directives: `#( token [ "=" ( token / quoted-string ) ] )` over all
//! lines of a field (RFC 9111 §5.2; lists RFC 9110 §5.6.1, quoted strings §5.6.4).
//!
//! Whoever writes these fields by hand makes mistakes, and a mistake must never make an answer more
//! cacheable than it was meant to be. So a member that has a name and then goes wrong is given out
//! under its name with an argument that is [`Argument::Malformed`]: a `no-store` counts with
//! whatever follows it, a lifetime does not. A quote that nothing closes opens nothing, so it hides
//! no directive behind it, and a quoted string ends with its line at the latest.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};

/// One member of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directive<'h> {
    name: &'h [u8],
    /// What follows the name.
    pub argument: Argument<'h>,
}

impl Directive<'_> {
    /// Whether this is the directive of that name. Names compare case-insensitively
    /// (RFC 9111 §5.2).
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The name in lower case.
    pub fn name(&self) -> String {
        String::from_utf8_lossy(self.name).to_ascii_lowercase()
    }
}

/// What follows a directive's name. Both forms of an argument are accepted for every directive, as
/// RFC 9111 §5.2 asks of recipients.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Argument<'h> {
    /// Nothing.
    Absent,
    /// A token, or what a quoted string says.
    Value(Cow<'h, [u8]>),
    /// Something that the grammar does not have there.
    Malformed,
}

/// The directives of all lines of the field, in order.
pub fn directives<'h>(
    headers: &'h HeaderMap,
    field: &HeaderName,
) -> impl Iterator<Item = Directive<'h>> {
    headers.get_all(field).into_iter().flat_map(|line| Members::of(line.as_bytes()))
}

/// What is left of a line.
struct Members<'h> {
    rest: &'h [u8],
    /// A quote was found that nothing closes. Then nothing closes a later one either, and to look
    /// for it again and again would make a long line of quotes cost its length squared.
    is_unclosed: bool,
}

impl<'h> Iterator for Members<'h> {
    type Item = Directive<'h>;

    fn next(&mut self) -> Option<Directive<'h>> {
        loop {
            // RFC 9110 §5.6.1.2: empty members are ignored.
            self.skip_while(|byte| is_space(byte) || byte == b',');
            if self.rest.is_empty() {
                return None;
            }
            let name = self.take_token();
            if name.is_empty() {
                self.skip_member();
                continue;
            }
            let argument = self.argument();
            self.skip_while(is_space);
            let is_whole = matches!(self.rest.first(), None | Some(b','));
            if is_whole {
                return Some(Directive { name, argument });
            }
            self.skip_member();
            return Some(Directive { name, argument: Argument::Malformed });
        }
    }
}

impl<'h> Members<'h> {
    const fn of(line: &'h [u8]) -> Self {
        Self { rest: line, is_unclosed: false }
    }

    fn argument(&mut self) -> Argument<'h> {
        let Some(after) = self.rest.strip_prefix(b"=") else { return Argument::Absent };
        self.rest = after;
        if let Some(value) = self.take_quoted_string() {
            return Argument::Value(value);
        }
        match self.take_token() {
            [] => Argument::Malformed,
            token => Argument::Value(Cow::Borrowed(token)),
        }
    }

    fn take_token(&mut self) -> &'h [u8] {
        let end = self.rest.iter().position(|byte| !is_token(*byte)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        token
    }

    fn skip_while(&mut self, skipped: impl Fn(u8) -> bool) {
        while let Some((first, rest)) = self.rest.split_first()
            && skipped(*first)
        {
            self.rest = rest;
        }
    }

    /// To the next comma outside of quotes.
    fn skip_member(&mut self) {
        while let Some((first, rest)) = self.rest.split_first()
            && *first != b','
        {
            if self.take_quoted_string().is_none() {
                self.rest = rest;
            }
        }
    }

    fn take_quoted_string(&mut self) -> Option<Cow<'h, [u8]>> {
        let inner = self.rest.strip_prefix(b"\"").filter(|_| !self.is_unclosed)?;
        match closed_by_a_quote(inner) {
            Some((value, after)) => {
                self.rest = after;
                Some(value)
            }
            None => {
                self.is_unclosed = true;
                None
            }
        }
    }
}

/// What a quoted string says whose opening quote stands before `inner`, its quoted pairs undone, and
/// what comes after its closing quote.
fn closed_by_a_quote(inner: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let mut has_pairs = false;
    let mut escaped = false;
    let end = inner.iter().position(|&byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        has_pairs |= escaped;
        closes
    })?;
    let (value, closed) = inner.split_at(end);
    let after = closed.split_first()?.1;
    if !has_pairs {
        return Some((Cow::Borrowed(value), after));
    }
    let mut unescaped = Vec::with_capacity(value.len());
    let mut bytes = value.iter();
    while let Some(&byte) = bytes.next() {
        unescaped.push(if byte == b'\\' { *bytes.next()? } else { byte });
    }
    Some((Cow::Owned(unescaped), after))
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// RFC 9110 §5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.')
        || matches!(byte, b'^'..=b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http::header::CACHE_CONTROL;
    use proptest::prelude::*;

    fn lines(values: &[&[u8]]) -> HeaderMap {
        values
            .iter()
            .map(|value| (CACHE_CONTROL, HeaderValue::from_bytes(value).unwrap()))
            .collect()
    }

    /// `name`, `name=value` or `name!`, in the order in which they are found.
    fn read(values: &[&[u8]]) -> Vec<String> {
        directives(&lines(values), &CACHE_CONTROL)
            .map(|directive| {
                let name = String::from_utf8_lossy(directive.name);
                match directive.argument {
                    Argument::Absent => name.into_owned(),
                    Argument::Value(value) => format!("{name}={}", String::from_utf8_lossy(&value)),
                    Argument::Malformed => format!("{name}!"),
                }
            })
            .collect()
    }

    #[test]
    fn a_list_is_read_by_its_grammar_and_what_is_inside_quotes_is_no_directive() {
        let cases: [(&str, &[&str]); 24] = [
            ("", &[]),
            (" , ,\t,", &[]),
            ("no-store", &["no-store"]),
            ("a,b , c\t,, d", &["a", "b", "c", "d"]),
            ("max-age=10", &["max-age=10"]),
            ("max-age=\"10\"", &["max-age=10"]),
            ("max-age='10'", &["max-age='10'"]),
            ("x=\"a, no-store\", b", &["x=a, no-store", "b"]),
            ("x=\"a\\\", no-store\", b", &["x=a\", no-store", "b"]),
            ("x=\"a\\\\\", no-store", &["x=a\\", "no-store"]),
            ("x=\"\", b", &["x=", "b"]),
            ("max-age =10", &["max-age!"]),
            ("max-age= 10, b", &["max-age!", "b"]),
            ("max-age=", &["max-age!"]),
            ("max-age=, b", &["max-age!", "b"]),
            ("max-age=10 20, b", &["max-age!", "b"]),
            ("max-age=10=20", &["max-age!"]),
            ("max-age=10; no-store, b", &["max-age!", "b"]),
            ("private=\"a\"b, c", &["private!", "c"]),
            // A quote that nothing closes hides nothing.
            ("x=\"a, no-store", &["x!", "no-store"]),
            ("x=\"a\\\", no-store", &["x!", "no-store"]),
            // What has no name is no directive, with the quotes that it holds.
            ("=5, @\"a, no-store\", b", &["b"]),
            ("\"no-store\", b", &["b"]),
            ("a\"b, c\"d, e", &["a!", "e"]),
        ];
        for (line, expected) in cases {
            assert_eq!(read(&[line.as_bytes()]), expected, "{line}");
        }
    }

    #[test]
    fn several_lines_are_one_list_and_a_quote_ends_with_its_line() {
        assert_eq!(read(&[b"a, b", b"", b"c"]), ["a", "b", "c"]);
        assert_eq!(read(&[b"x=\"a", b"no-store, y=\"b\""]), ["x!", "no-store", "y=b"]);
    }

    #[test]
    fn a_long_line_of_quotes_costs_its_length_and_no_more() {
        let line = format!("x={}, no-store", "\"\\".repeat(1 << 20));
        assert_eq!(read(&[line.as_bytes()]), ["x!", "no-store"]);
    }

    #[test]
    fn bytes_outside_ascii_are_garbage_and_no_more() {
        assert_eq!(read(&[b"\xff\xfe, b=\xe9, c"]), ["b!", "c"]);
        assert_eq!(read(&[b"b=\"\xe9\", c"]), ["b=\u{fffd}", "c"]);
    }

    #[test]
    fn names_compare_case_insensitively() {
        let headers = lines(&[b"No-STORE"]);
        let directive = directives(&headers, &CACHE_CONTROL).next().unwrap();
        assert!(directive.is("no-store"));
        assert!(!directive.is("no-stor"));
        assert_eq!(directive.name(), "no-store");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_to_its_end(
            line in proptest::collection::vec(any::<u8>(), 0..64),
            mistakes in "[a-z=\", \\\\;\t]{0,40}",
        ) {
            for line in [line.as_slice(), mistakes.as_bytes()] {
                let members = Members::of(line).count();
                prop_assert!(members <= line.len());
            }
        }

        #[test]
        fn what_follows_a_comma_outside_of_quotes_is_found(before in "[a-z=, ;\\\\]{0,30}") {
            let line = format!("{before}, no-store");
            let is_found = Members::of(line.as_bytes()).any(|found| found.is("no-store"));
            prop_assert!(is_found);
        }

        #[test]
        fn a_value_survives_being_quoted(value in "[ -~]{0,20}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let line = format!("x=\"{quoted}\"");
            let members: Vec<_> = Members::of(line.as_bytes()).collect();
            let argument = Argument::Value(Cow::Borrowed(value.as_bytes()));
            prop_assert_eq!(members, vec![Directive { name: b"x", argument }]);
        }
    }
}
