//! What stands between the parts of a multipart body, and where parts end (RFC 2046 §5.1.1).

use std::fmt;

use bytes::Bytes;
use http::HeaderValue;
use memchr::memmem;

use super::BatchError;
use super::media_type::{MediaType, is_token};

/// A boundary, without its two leading hyphens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Boundary(Box<str>);

/// How a boundary's line ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    CrLf,
    Lf,
}

/// A line that is a boundary.
struct Delimiter {
    /// Where the part before it ends: the line end before the boundary is the boundary's.
    part_end: usize,
    /// Where the part after it starts.
    part_start: usize,
    is_closing: bool,
    line_ends: [Option<LineEnd>; 2],
}

impl Boundary {
    /// # Errors
    /// When it is not 1 to 70 of the characters that RFC 2046 allows, the last of them no space.
    pub fn new(text: &str) -> Result<Self, BatchError> {
        let is_bchar = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b);
        let is_legal =
            (1..=70).contains(&text.len()) && text.bytes().all(is_bchar) && !text.ends_with(' ');
        if is_legal { Ok(Self(text.into())) } else { Err(BatchError::Boundary) }
    }

    pub(super) fn of(media_type: &MediaType) -> Result<Self, BatchError> {
        Self::new(media_type.parameter("boundary").ok_or(BatchError::Boundary)?)
    }

    /// The content type of a body with this boundary.
    pub(super) fn content_type(&self) -> Result<HeaderValue, BatchError> {
        let quote = if is_token(&self.0) { "" } else { "\"" };
        let content_type = format!("multipart/mixed; boundary={quote}{self}{quote}");
        HeaderValue::try_from(content_type).map_err(|_| BatchError::Boundary)
    }

    /// Whether a line of the part, or a piece of one, could be taken for the boundary.
    pub(super) fn occurs_in(&self, part: &[u8]) -> bool {
        memmem::find(part, self.dashed().as_bytes()).is_some()
    }

    /// The parts between the boundaries, without the line ends that belong to those. What stands
    /// before the first and behind the last means nothing (§5.1.1).
    ///
    /// # Errors
    /// Where two readers could differ in where a part ends: a line that only begins as a boundary,
    /// one behind a bare CR, line ends of two kinds, a boundary behind the last one, or no last one.
    pub(super) fn split(&self, body: &Bytes, max_parts: usize) -> Result<Vec<Bytes>, BatchError> {
        let dashed = self.dashed();
        let mut parts = Vec::new();
        let mut part_start = None;
        let mut line_end = None;
        let mut is_closed = false;
        for at in memmem::find_iter(body, dashed.as_bytes()) {
            let Some(delimiter) = Delimiter::read(body, at, dashed.len())? else { continue };
            if is_closed {
                return Err(BatchError::Boundary);
            }
            for found in delimiter.line_ends.into_iter().flatten() {
                if *line_end.get_or_insert(found) != found {
                    return Err(BatchError::LineEnds);
                }
            }
            if let Some(start) = part_start {
                if parts.len() == max_parts {
                    return Err(BatchError::TooManyParts);
                }
                let is_part = start <= delimiter.part_end;
                let end = is_part.then_some(delimiter.part_end).ok_or(BatchError::PartHead)?;
                parts.push(body.slice(start..end));
            }
            part_start = Some(delimiter.part_start);
            is_closed = delimiter.is_closing;
        }
        if is_closed { Ok(parts) } else { Err(BatchError::Unterminated) }
    }

    fn dashed(&self) -> String {
        format!("--{self}")
    }
}

impl fmt::Display for Boundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Delimiter {
    /// The boundary of `len` bytes at this place; none where it stands in the middle of a line.
    fn read(body: &[u8], at: usize, len: usize) -> Result<Option<Self>, BatchError> {
        let (before, rest) = body.split_at_checked(at).unwrap_or_default();
        let end_before = match before {
            [] => None,
            [.., b'\r', b'\n'] => Some(LineEnd::CrLf),
            [.., b'\n'] => Some(LineEnd::Lf),
            [.., b'\r'] => return Err(BatchError::BareCarriageReturn),
            _ => return Ok(None),
        };
        let line = rest.get(len..).unwrap_or_default();
        let closing = line.strip_prefix(b"--");
        let padded = closing.unwrap_or(line);
        let behind = without_padding(padded);
        let end_behind = match behind {
            [b'\r', b'\n', ..] => Some(LineEnd::CrLf),
            [b'\n', ..] => Some(LineEnd::Lf),
            [] if closing.is_some() => None,
            [] => return Err(BatchError::Unterminated),
            _ => return Err(BatchError::Boundary),
        };
        Ok(Some(Self {
            part_end: at - end_before.map_or(0, LineEnd::len),
            part_start: body.len() - behind.len() + end_behind.map_or(0, LineEnd::len),
            is_closing: closing.is_some(),
            line_ends: [end_before, end_behind],
        }))
    }
}

impl LineEnd {
    const fn len(self) -> usize {
        match self {
            Self::CrLf => 2,
            Self::Lf => 1,
        }
    }
}

/// What follows the padding that a transport may have added to a boundary.
fn without_padding(line: &[u8]) -> &[u8] {
    let padding = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    line.get(padding..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(body: &str) -> Result<Vec<String>, BatchError> {
        let parts = Boundary::new("b").unwrap().split(&Bytes::from(body.to_owned()), 3)?;
        Ok(parts.iter().map(|part| String::from_utf8(part.to_vec()).unwrap()).collect())
    }

    #[test]
    fn parts_end_before_the_line_end_that_precedes_a_boundary() {
        for (body, expected) in [
            ("--b--", &[][..]),
            ("--b\r\nx\r\n--b--", &["x"]),
            ("--b\r\nx\r\n\r\n--b--\r\n", &["x\r\n"]),
            ("--b\r\n\r\n--b--\r\n", &[""]),
            ("--b\nx\n--b\ny\n--b--\n", &["x", "y"]),
            ("before\r\n--b \t\r\nx\r\n--b-- \r\nbehind", &["x"]),
            ("--b\r\nx--b\r\n -\r\n- -b\r\n--B\r\n--b--", &["x--b\r\n -\r\n- -b\r\n--B"]),
        ] {
            assert_eq!(split(body).unwrap(), expected, "{body:?}");
        }
    }

    #[test]
    fn where_readers_could_differ_nothing_is_read() {
        for (body, expected) in [
            ("", BatchError::Unterminated),
            ("x", BatchError::Unterminated),
            ("--b", BatchError::Unterminated),
            ("--b\r\nx", BatchError::Unterminated),
            ("--b\r\nx\r\n--b\r\n", BatchError::Unterminated),
            ("--b\r\nx\r\n--b-", BatchError::Boundary),
            ("--b\r\nx\r\n--b---", BatchError::Boundary),
            ("--b\r\nx\r\n--bc\r\n--b--", BatchError::Boundary),
            ("--b\r\nx\r\n--b--\r\n--b--", BatchError::Boundary),
            ("--b\r\nx\r\n--b\r--b--", BatchError::Boundary),
            ("--b\r\nx\r--b--", BatchError::BareCarriageReturn),
            ("--b\r\nx\n--b--", BatchError::LineEnds),
            ("--b\nx\n--b--\r\n", BatchError::LineEnds),
            ("--b\r\n--b--", BatchError::PartHead),
            ("--b\n1\n--b\n2\n--b\n3\n--b\n4\n--b--", BatchError::TooManyParts),
        ] {
            assert_eq!(split(body), Err(expected), "{body:?}");
        }
    }

    #[test]
    fn a_boundary_is_what_the_grammar_allows() {
        let of = |n| "x".repeat(n);
        for text in ["", "a ", "a*b", "a\"b", "\u{e4}", "a\r\n", &of(71)] {
            assert_eq!(Boundary::new(text), Err(BatchError::Boundary), "{text:?}");
        }
        for (text, written) in
            [("batch_36522ad7-fc75", "batch_36522ad7-fc75"), ("a b:c", "\"a b:c\"")]
        {
            let content_type = Boundary::new(text).unwrap().content_type().unwrap();
            assert_eq!(content_type, format!("multipart/mixed; boundary={written}"));
            let media_type = MediaType::read(&content_type).unwrap();
            assert_eq!(Boundary::of(&media_type), Boundary::new(text));
        }
        assert!(Boundary::new(&of(70)).is_ok());
    }
}
