//! One percent-encoding for every text of a URL.
//!
//! A text is decoded exactly once and written back with the characters of [`ENCODED`] encoded,
//! hexadecimal digits in upper case. Two texts have the same encoding only if they are the same.
//!
//! A `+` of a query is the one character whose meaning depends on who reads it (itself in RFC
//! 3986, a space in HTML forms), so it is neither decoded nor merged with `%2B` or `%20`: it is
//! sent as it came.

use std::borrow::Cow;

use percent_encoding::{
    AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_decode_str, utf8_percent_encode,
};

use super::UrlError;

/// Everything but RFC 3986's unreserved characters and those that OData gives a meaning in the
/// places where texts stand.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b',')
    .remove(b'=')
    .remove(b'@')
    .remove(b'$')
    .remove(b'*')
    .remove(b'!');

/// The canonical encoding of a path segment as it came.
pub(super) fn of_path_segment(raw: &str) -> Result<Cow<'_, str>, UrlError> {
    let text = decode(raw)?;
    if text.contains(['/', '\\']) {
        return Err(UrlError::EncodedSlash);
    }
    if matches!(&*text, "" | "." | "..") {
        return Err(UrlError::Segment);
    }
    Ok(encode(text))
}

/// The canonical encoding of a query option's name or value as it came.
pub(super) fn of_query_part(raw: &str) -> Result<Cow<'_, str>, UrlError> {
    if !raw.contains('+') {
        return decode(raw).map(encode);
    }
    let mut encoded = String::with_capacity(raw.len());
    for (i, piece) in raw.split('+').enumerate() {
        if i > 0 {
            encoded.push('+');
        }
        encoded.extend(utf8_percent_encode(&decode(piece)?, ENCODED));
    }
    Ok(encoded.into())
}

/// What a canonical encoding says: two texts where a `+` may be itself or a space.
pub(super) fn readings(canonical: &str) -> impl Iterator<Item = Cow<'_, str>> {
    fn decode(encoded: &str) -> Cow<'_, str> {
        percent_decode_str(encoded).decode_utf8_lossy()
    }
    let with_spaces =
        canonical.contains('+').then(|| decode(&canonical.replace('+', "%20")).into_owned());
    std::iter::once(decode(canonical)).chain(with_spaces.map(Cow::Owned))
}

fn encode(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => utf8_percent_encode(text, ENCODED).into(),
        Cow::Owned(text) => utf8_percent_encode(&text, ENCODED).to_string().into(),
    }
}

fn decode(raw: &str) -> Result<Cow<'_, str>, UrlError> {
    let mut rest = raw.as_bytes();
    while let Some(at) = rest.iter().position(|&b| b == b'%') {
        match rest.get(at + 1..at + 3) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => {}
            _ => return Err(UrlError::PercentEncoding),
        }
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    let text = percent_decode(raw.as_bytes()).decode_utf8().map_err(|_| UrlError::Utf8)?;
    if text.contains(char::is_control) {
        return Err(UrlError::ControlCharacter);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_encoding_however_it_came() {
        for raw in ["a'b", "a%27b", "%61'b"] {
            assert_eq!(of_path_segment(raw).unwrap(), "a'b");
        }
        assert_eq!(of_path_segment("s%c3%b8t").unwrap(), "s%C3%B8t");
        assert_eq!(of_path_segment("søt").unwrap(), "s%C3%B8t");
        assert_eq!(of_path_segment("50%25").unwrap(), "50%25");
    }

    #[test]
    fn decoding_happens_exactly_once() {
        assert_eq!(of_path_segment("%2527").unwrap(), "%2527");
        assert_eq!(of_query_part("%2541").unwrap(), "%2541");
    }

    #[test]
    fn a_plus_of_a_query_is_neither_a_space_nor_an_encoded_plus() {
        assert_eq!(of_query_part("a+b").unwrap(), "a+b");
        assert_eq!(of_query_part("a%2Bb").unwrap(), "a%2Bb");
        assert_eq!(of_query_part("a%20b").unwrap(), "a%20b");
        assert_eq!(of_path_segment("a+b").unwrap(), "a%2Bb");
        assert_eq!(readings("a+b").collect::<Vec<_>>(), ["a+b", "a b"]);
        assert_eq!(readings("a%2Bb").collect::<Vec<_>>(), ["a+b"]);
    }

    #[test]
    fn what_has_no_certain_reading_is_refused() {
        assert_eq!(of_path_segment("a%2Fb"), Err(UrlError::EncodedSlash));
        assert_eq!(of_path_segment("a%5cb"), Err(UrlError::EncodedSlash));
        assert_eq!(of_path_segment("%2e%2E"), Err(UrlError::Segment));
        assert_eq!(of_path_segment("."), Err(UrlError::Segment));
        assert_eq!(of_path_segment(""), Err(UrlError::Segment));
        assert_eq!(of_path_segment("a%00"), Err(UrlError::ControlCharacter));
        assert_eq!(of_query_part("a%0Ab"), Err(UrlError::ControlCharacter));
        assert_eq!(of_query_part("100%"), Err(UrlError::PercentEncoding));
        assert_eq!(of_query_part("%4"), Err(UrlError::PercentEncoding));
        assert_eq!(of_query_part("%zz"), Err(UrlError::PercentEncoding));
        assert_eq!(of_query_part("%ff"), Err(UrlError::Utf8));
    }
}
