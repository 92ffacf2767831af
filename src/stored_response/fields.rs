//! The fields of a stored response, in as few bytes as they can be kept in.
//!
//! A map of eight fields takes some 1.8 kB: places for more fields than it holds, an index, and an
//! allocation for each value. Most stored responses are smaller than that, and are looked at far
//! more seldom than they are held.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::allocated::allocated;

/// Fields, one after the other: the lengths of name and value, each in two bytes, the name, the value.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredFields(Bytes);

impl StoredFields {
    /// Writes fields. One that is too long to be written is left out: no connection lets one in that
    /// has 64 KiB.
    pub fn of(headers: &HeaderMap) -> Self {
        let lengths = headers.iter().map(|(name, value)| 4 + name.as_str().len() + value.len());
        let mut packed = Vec::with_capacity(lengths.sum());
        for (name, value) in headers {
            let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
            let lengths = (u16::try_from(name.len()), u16::try_from(value.len()));
            let (Ok(of_name), Ok(of_value)) = lengths else { continue };
            packed.extend_from_slice(&of_name.to_be_bytes());
            packed.extend_from_slice(&of_value.to_be_bytes());
            packed.extend_from_slice(name);
            packed.extend_from_slice(value);
        }
        Self(packed.into())
    }

    /// The fields as a map, whose values share these bytes.
    pub fn to_map(&self) -> HeaderMap {
        /// As many as a map has room for without growing.
        const ROOM: usize = 12;
        let mut headers = HeaderMap::with_capacity(ROOM);
        let mut rest = self.0.clone();
        while let Some(&[a, b, c, d]) = rest.first_chunk() {
            let of_name = usize::from(u16::from_be_bytes([a, b]));
            let of_value = usize::from(u16::from_be_bytes([c, d]));
            let mut field = rest.split_off(4);
            if field.len() < of_name + of_value {
                break;
            }
            rest = field.split_off(of_name + of_value);
            let value = field.split_off(of_name);
            // Both were a field's before they were written here.
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_lowercase(&field), HeaderValue::from_maybe_shared(value))
            {
                headers.append(name, value);
            }
        }
        headers
    }

    /// What they occupy in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        allocated(self.0.len()) + super::SHARED_BYTES
    }
}

impl fmt::Debug for StoredFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_map().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{CONTENT_TYPE, SET_COOKIE};

    #[test]
    fn fields_come_back_in_their_order_with_repetitions() {
        let mut headers = HeaderMap::new();
        headers.append(SET_COOKIE, HeaderValue::from_static("a=b"));
        headers.append(CONTENT_TYPE, HeaderValue::from_static(""));
        headers.append(SET_COOKIE, HeaderValue::from_static("c=d"));
        let odd = HeaderValue::from_bytes(b"\xe9\t\x80").unwrap();
        headers.append(HeaderName::from_static("odata-version"), odd);
        // Let in from HTTP/2, not from HTTP/1.1.
        let odd_name = HeaderName::from_lowercase(b"k\"-").unwrap();
        headers.append(odd_name, HeaderValue::from_static("1"));
        assert_eq!(StoredFields::of(&headers).to_map(), headers);
        assert!(StoredFields::of(&HeaderMap::new()).to_map().is_empty());
    }

    #[test]
    fn a_field_past_all_limits_is_left_out() {
        let mut headers = HeaderMap::new();
        headers.append("a", HeaderValue::try_from("a".repeat(1 << 16)).unwrap());
        headers.append("b", HeaderValue::from_static("kept"));
        let fields = StoredFields::of(&headers).to_map();
        assert_eq!((fields.len(), &fields["b"]), (1, &HeaderValue::from_static("kept")));
    }
}
