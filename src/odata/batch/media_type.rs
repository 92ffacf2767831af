//! Media types with their parameters, and lists with quoted strings in them (RFC 9110 §5.6, §8.3).

use http::HeaderValue;

/// A media type, in lower case, and its parameters.
pub(super) struct MediaType {
    essence: String,
    parameters: Vec<(String, String)>,
}

impl MediaType {
    /// None where it cannot be read, or a parameter is given twice.
    pub(super) fn read(value: &HeaderValue) -> Option<Self> {
        let mut pieces = split_unquoted(value.to_str().ok()?, ';')?.into_iter().map(str::trim);
        let essence = pieces.next()?.to_ascii_lowercase();
        let (main, sub) = essence.split_once('/')?;
        if !is_token(main) || !is_token(sub) {
            return None;
        }
        let mut parameters: Vec<(String, String)> = Vec::new();
        for piece in pieces.filter(|piece| !piece.is_empty()) {
            let (name, value) = piece.split_once('=')?;
            let name = name.to_ascii_lowercase();
            // `boundary*` is another way to say `boundary` (RFC 2231 §3, §4).
            let is_plain = is_token(&name) && !name.contains('*');
            if !is_plain || parameters.iter().any(|(known, _)| *known == name) {
                return None;
            }
            parameters.push((name, unquote(value)?));
        }
        Some(Self { essence, parameters })
    }

    /// Type and subtype.
    pub(super) fn essence(&self) -> &str {
        &self.essence
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// Whether texts of the type are UTF-8, as far as it says.
    pub(super) fn is_utf8(&self) -> bool {
        self.parameter("charset").is_none_or(|charset| charset.eq_ignore_ascii_case("utf-8"))
    }

    /// JSON, or a format that is written in it.
    pub(super) fn is_json(&self) -> bool {
        let is_subtype =
            self.essence.starts_with("application/") && self.essence.ends_with("+json");
        self.is_utf8() && (self.essence == "application/json" || is_subtype)
    }

    pub(super) fn is_text(&self) -> bool {
        self.is_utf8() && self.essence.starts_with("text/")
    }
}

/// A text taken apart where a character stands outside of quoted strings. None where a quoted
/// string has no end.
pub(super) fn split_unquoted(text: &str, at: char) -> Option<Vec<&str>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            c if c == at && !is_quoted => {
                pieces.push(text.get(start..i)?);
                start = i + c.len_utf8();
            }
            _ => {}
        }
    }
    pieces.push(text.get(start..)?);
    (!is_quoted).then_some(pieces)
}

/// What a token or a quoted string says.
pub(super) fn unquote(text: &str) -> Option<String> {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return is_token(text).then(|| text.to_owned());
    };
    let mut unquoted = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return None,
            '\\' => unquoted.push(chars.next()?),
            c => unquoted.push(c),
        }
    }
    Some(unquoted)
}

/// Whether the text is a token (RFC 9110 §5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    let is_tchar = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(is_tchar)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(String, Vec<(String, String)>)> {
        let value = HeaderValue::from_str(text).unwrap();
        MediaType::read(&value).map(|media| (media.essence, media.parameters))
    }

    #[test]
    fn parameters_may_be_quoted() {
        let (essence, parameters) = read(r#"Multipart/Mixed; Boundary="a;b\"c" ; x=y;"#).unwrap();
        assert_eq!(essence, "multipart/mixed");
        let expected = [("boundary", "a;b\"c"), ("x", "y")];
        assert!(parameters.iter().map(|(n, v)| (&**n, &**v)).eq(expected));
    }

    #[test]
    fn what_has_two_readings_has_none() {
        for text in [
            "",
            "multipart",
            "multipart/",
            "a b/c",
            "a/b; boundary",
            "a/b; boundary = x",
            "a/b; boundary=x y",
            "a/b; boundary=\"x",
            "a/b; boundary=\"x\"y\"",
            "a/b; boundary=x; BOUNDARY=x",
            "a/b; boundary=x; boundary*=y",
            "a/b, c/d",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
