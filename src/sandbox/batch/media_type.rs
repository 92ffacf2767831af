//! Media types with their parameters (RFC 9110 §8.3.1).

use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// A media type, its names in lower case.
#[derive(Debug, PartialEq)]
pub(super) struct MediaType {
    /// `multipart/mixed`.
    pub(super) essence: String,
    parameters: Vec<(String, String)>,
}

impl MediaType {
    /// The one `Content-Type` of a message. `None` where there is none, or where it cannot be read
    /// in one way: several lines, a parameter twice.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(CONTENT_TYPE).iter();
        let line = lines.next()?.to_str().ok()?;
        if lines.next().is_some() { None } else { Self::parse(line) }
    }

    fn parse(text: &str) -> Option<Self> {
        let (essence, mut rest) = text.split_once(';').unwrap_or((text, ""));
        let essence = essence.trim().to_ascii_lowercase();
        let (kind, subtype) = essence.split_once('/')?;
        if !is_token(kind) || !is_token(subtype) {
            return None;
        }
        let mut parameters: Vec<(String, String)> = Vec::new();
        while !rest.trim().is_empty() {
            let (name, value) = rest.split_once('=')?;
            let name = name.trim().to_ascii_lowercase();
            let (value, after) = read_value(value)?;
            if !is_token(&name) || parameters.iter().any(|(other, _)| *other == name) {
                return None;
            }
            parameters.push((name, value));
            rest = match after.trim_start() {
                "" => "",
                after => after.strip_prefix(';')?,
            };
        }
        Some(Self { essence, parameters })
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn is_json(&self) -> bool {
        self.essence == "application/json" || self.essence.ends_with("+json")
    }
}

/// A parameter's value, plain or quoted, and what follows it.
fn read_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        let (value, after) = text.split_at_checked(end)?;
        return is_token(value.trim_end()).then(|| (value.trim_end().to_owned(), after));
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return Some((value, characters.as_str())),
            '\\' => value.push(characters.next()?),
            character => value.push(character),
        }
    }
}

fn is_token(text: &str) -> bool {
    let is_token_character = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
    !text.is_empty() && text.bytes().all(is_token_character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_found_plain_or_quoted_whatever_its_case() {
        for (text, boundary) in [
            ("multipart/mixed; boundary=a_1", Some("a_1")),
            ("Multipart/Mixed;charset=utf-8 ;BOUNDARY=\"a b:\\\"c\" ", Some("a b:\"c")),
            ("multipart/mixed", None),
            ("multipart/mixed;", None),
        ] {
            let read = MediaType::parse(text).unwrap();
            assert_eq!(
                (read.essence.as_str(), read.parameter("boundary")),
                ("multipart/mixed", boundary)
            );
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for text in [
            "",
            "multipart",
            "multipart/mixed; boundary",
            "multipart/mixed; boundary=",
            "multipart/mixed; boundary=\"a",
            "multipart/mixed; boundary=\"a\"b",
            "multipart/mixed; boundary=a b",
            "multipart/mixed; boundary=a; Boundary=b",
        ] {
            assert_eq!(MediaType::parse(text), None, "{text}");
        }
    }
}
