//! Short texts that are written for each request. Each is written on the stack, so that what is made of
//! it takes one allocation, of its own length.

use std::fmt::Display;
use std::io::Write;

use http::HeaderValue;

/// What `make` makes of a text.
pub(crate) fn written<T>(text: impl Display, make: impl FnOnce(&[u8]) -> T) -> T {
    /// Ordinary texts fit.
    const ROOM: usize = 256;
    let mut buffer = [0; ROOM];
    let mut rest = &mut buffer[..];
    if write!(rest, "{text}").is_err() {
        return make(text.to_string().as_bytes());
    }
    let length = ROOM - rest.len();
    make(buffer.get(..length).unwrap_or_default())
}

/// A text as the value of a field; `None` where it cannot be one.
pub(crate) fn field_value(text: impl Display) -> Option<HeaderValue> {
    written(text, HeaderValue::from_bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_length_is_written_whole() {
        for length in [0, 1, 255, 256, 257, 1_000] {
            let text = "a".repeat(length);
            assert_eq!(field_value(&text).unwrap(), *text, "{length}");
        }
        assert_eq!(field_value("a\nb"), None);
    }
}
