//! How a body stands in a JSON batch (OData JSON Format 4.01 §19): JSON as itself, text as a
//! string, anything else as a string in base64url.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use serde::de::IgnoredAny;

use super::media_type::MediaType;

/// Padding is written, and may be missing in what is read.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a body with these fields stands as.
#[derive(PartialEq, Eq)]
enum Notation {
    Json,
    Text,
    Base64,
}

/// Whether a body with these fields stands as JSON. One without a type does.
pub(super) fn is_embedded(headers: &HeaderMap) -> bool {
    notation(headers) == Notation::Json
}

/// The body that a string stands for. None where it is none.
pub(super) fn decode(headers: &HeaderMap, text: &str) -> Option<Bytes> {
    let text: String = serde_json::from_str(text).ok()?;
    match notation(headers) {
        Notation::Json => None,
        Notation::Text => Some(text.into()),
        Notation::Base64 => BASE64URL.decode(text).ok().map(Bytes::from),
    }
}

/// What a body stands as; none for an empty one. A body that is not what its fields say is given
/// fields that are true of it.
pub(super) fn encode(headers: &mut HeaderMap, body: &Bytes) -> Option<Bytes> {
    if body.is_empty() {
        return None;
    }
    let is_json = || serde_json::from_slice::<IgnoredAny>(body).is_ok();
    match (notation(headers), std::str::from_utf8(body)) {
        (Notation::Json, Ok(_)) if is_json() => return Some(body.clone()),
        (Notation::Text, Ok(text)) => return Some(quoted(text)),
        (Notation::Base64, _) => {}
        _ => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        }
    }
    Some(quoted(&BASE64URL.encode(body)))
}

fn notation(headers: &HeaderMap) -> Notation {
    if headers.contains_key(CONTENT_ENCODING) {
        return Notation::Base64;
    }
    match headers.get(CONTENT_TYPE).map(MediaType::read) {
        None => Notation::Json,
        Some(Some(media_type)) if media_type.is_json() => Notation::Json,
        Some(Some(media_type)) if media_type.is_text() => Notation::Text,
        Some(_) => Notation::Base64,
    }
}

fn quoted(text: &str) -> Bytes {
    serde_json::Value::from(text).to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content_type: Option<&'static str>) -> HeaderMap {
        content_type.map(|ct| (CONTENT_TYPE, HeaderValue::from_static(ct))).into_iter().collect()
    }

    #[test]
    fn a_body_is_embedded_by_its_type() {
        for (content_type, body, expected) in [
            (
                Some("application/json"),
                &b"{\"a\": 9007199254740993}"[..],
                "{\"a\": 9007199254740993}",
            ),
            (Some("application/json;odata.metadata=none"), b"[1.0]", "[1.0]"),
            (Some("application/problem+json"), b"{}", "{}"),
            (None, b"{}", "{}"),
            (Some("text/plain"), b"a\"b\n", "\"a\\\"b\\n\""),
            (Some("application/xml"), b"<a/>??>", "\"PGEvPj8_Pg==\""),
            (Some("application/octet-stream"), b"\xff\xfe", "\"__4=\""),
        ] {
            let mut headers = of(content_type);
            let written = encode(&mut headers, &Bytes::from_static(body)).unwrap();
            assert_eq!(written, expected, "{content_type:?}");
            assert_eq!(headers, of(content_type));
            if !is_embedded(&headers) {
                assert_eq!(decode(&headers, expected).unwrap(), body);
            }
        }
        assert_eq!(encode(&mut of(None), &Bytes::new()), None);
        let xml = of(Some("application/xml"));
        assert_eq!(decode(&xml, "\"__4\"").unwrap(), &b"\xff\xfe"[..]);
        assert_eq!(decode(&xml, "{}"), None);
        assert_eq!(decode(&xml, "\"+/==\""), None);
    }

    #[test]
    fn a_body_that_is_not_what_it_says_keeps_its_bytes() {
        for (content_type, body) in [
            (Some("application/json"), &b"{\"value\":[1,"[..]),
            (Some("text/plain"), b"\xff"),
            (None, b"not json"),
        ] {
            let mut headers = of(content_type);
            let written = encode(&mut headers, &Bytes::from_static(body)).unwrap();
            let written = std::str::from_utf8(&written).unwrap();
            assert_eq!(decode(&headers, written).unwrap(), body);
        }
    }
}
