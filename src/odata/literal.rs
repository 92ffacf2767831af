//! The values in key predicates and parameter lists.

use std::borrow::Cow;

use super::UrlError;
use super::encoding::readings;

/// A primitive value as it is written in a URL, in canonical encoding: `68719489871`, `'it''s'`,
/// `null`. Lexemes are kept as they are; `1` and `1.0` differ.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Literal<'u>(Cow<'u, str>);

impl<'u> Literal<'u> {
    /// Takes a whole value.
    ///
    /// # Errors
    /// [`UrlError::Literal`] when it is empty, its quotes do not match, or it is not primitive.
    pub(super) fn new(canonical: &'u str) -> Result<Self, UrlError> {
        // A JSON array or object: possible behind an alias, but no primitive value.
        if canonical.starts_with("%5B") || canonical.starts_with("%7B") {
            return Err(UrlError::Literal);
        }
        match lexeme_len(canonical) {
            Some(len) if len == canonical.len() && len > 0 => Ok(Self(canonical.into())),
            _ => Err(UrlError::Literal),
        }
    }

    /// Takes the value that `canonical` begins with, up to a `,` or `)` outside of quotes, and
    /// returns what follows.
    ///
    /// # Errors
    /// As [`Literal::new`].
    pub(super) fn split_off(canonical: &'u str) -> Result<(Self, &'u str), UrlError> {
        let len = lexeme_len(canonical).ok_or(UrlError::Literal)?;
        let (lexeme, rest) = canonical.split_at_checked(len).ok_or(UrlError::Literal)?;
        Ok((Self::new(lexeme)?, rest))
    }

    /// The same, of its own.
    pub(super) fn into_owned(self) -> Literal<'static> {
        Literal(self.0.into_owned().into())
    }

    /// The value as written, in canonical encoding.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the alias that the value is, without its `@`.
    pub fn alias(&self) -> Option<&str> {
        self.0.strip_prefix('@')
    }

    /// A string's content or another value's lexeme, decoded: two where a `+` of a query may be
    /// itself or a space, none for `null`.
    pub fn readings(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let content = self.0.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
        let readings = (&*self.0 != "null").then(|| readings(content.unwrap_or(&self.0)));
        readings.into_iter().flatten().map(move |text| match content {
            Some(_) if text.contains("''") => text.replace("''", "'").into(),
            _ => text,
        })
    }

    /// Whether every server reads the value the same way in a path. Servers are known to refuse
    /// or to decode twice what is encoded there, which is why clients send strings by alias.
    pub(super) fn is_safe_in_path(&self) -> bool {
        self.0.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~'".contains(&b))
    }
}

/// The length of the value at the start: everything up to a `,` or `)` outside of quotes. A quote
/// within quotes is doubled, so that two quotes in a row close and open again. `None` when a
/// quote is left open or a character has no place in a primitive value.
fn lexeme_len(canonical: &str) -> Option<usize> {
    let mut quoted = false;
    for (at, byte) in canonical.bytes().enumerate() {
        match byte {
            b'\'' => quoted = !quoted,
            _ if quoted => {}
            b',' | b')' => return Some(at),
            b'(' | b'=' | b'$' | b'*' | b'!' => return None,
            _ => {}
        }
    }
    (!quoted).then_some(canonical.len())
}
