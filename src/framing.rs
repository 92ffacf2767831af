//! Whether all who read a message agree on where its body ends: the rule of both sides of the
//! proxy.
//!
//! Two recipients that disagree let one message carry another (request smuggling, response
//! splitting). hyper frames a message by the last coding and the last agreeing length; here only
//! what can be read in one way passes.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName};

/// Whether a message's framing can be read in one way only.
///
/// * `Transfer-Encoding` is one line that says `chunked` and nothing else: a coding that the
///   recipient would have to undo, or one that is applied twice, is not understood here (RFC 9112
///   §6.1), and a `Content-Length` beside it "ought to be handled as an error" (§6.3).
/// * `Content-Length` is one line of digits: lists of it may be refused (RFC 9110 §8.6).
pub(crate) fn is_sound(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    match (codings.next(), lengths.next()) {
        (None, None) => true,
        (None, Some(length)) => lengths.next().is_none() && is_digits(length.as_bytes()),
        (Some(coding), None) => {
            codings.next().is_none() && coding.as_bytes().eq_ignore_ascii_case(b"chunked")
        }
        (Some(_), Some(_)) => false,
    }
}

/// The same for an answer of the origin, whose body may also end with its connection: where the last
/// coding is not `chunked`, that is its end (RFC 9112 §6.3). So a coding that nobody knows leaves no
/// doubt about the end; what would have to be undone is refused.
pub(crate) fn is_sound_answer(headers: &HeaderMap) -> bool {
    const KNOWN: [&str; 7] =
        ["chunked", "compress", "deflate", "gzip", "identity", "x-compress", "x-gzip"];
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let (Some(coding), None) = (codings.next(), codings.next())
        && !headers.contains_key(CONTENT_LENGTH)
        && let Ok(coding) = HeaderName::from_bytes(coding.as_bytes())
        && !KNOWN.contains(&coding.as_str())
    {
        return true;
    }
    is_sound(headers)
}

fn is_digits(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_what_can_be_read_in_one_way_is_sound() {
        let te = "transfer-encoding";
        let cl = "content-length";
        for (lines, sound) in [
            (&[][..], true),
            (&[(cl, "0")], true),
            (&[(cl, "18446744073709551615")], true),
            (&[(cl, "5"), (cl, "5")], false),
            (&[(cl, "5, 5")], false),
            (&[(cl, "+5")], false),
            (&[(cl, "-5")], false),
            (&[(cl, "5 5")], false),
            (&[(cl, "0x5")], false),
            (&[(cl, "")], false),
            (&[(te, "chunked")], true),
            (&[(te, "Chunked")], true),
            (&[(te, "chunked"), (te, "chunked")], false),
            (&[(te, "chunked, chunked")], false),
            (&[(te, "gzip, chunked")], false),
            (&[(te, "identity")], false),
            (&[(te, "xchunked")], false),
            (&[(te, "chunked;q=1")], false),
            (&[(te, "")], false),
            (&[(te, "chunked"), (cl, "5")], false),
        ] {
            let headers: HeaderMap = lines
                .iter()
                .map(|&(name, value)| {
                    (HeaderName::from_static(name), HeaderValue::from_static(value))
                })
                .collect();
            assert_eq!(is_sound(&headers), sound, "{lines:?}");
            let ends_with_the_connection = lines == [(te, "xchunked")];
            assert_eq!(is_sound_answer(&headers), sound || ends_with_the_connection, "{lines:?}");
        }
    }
}
