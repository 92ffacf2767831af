//! The form of stored responses outside of the process.

use csu_edge::stored_response::codec::{ReadBy, VERSION, decode, encode};
use http_body::Body;

use super::SEED;

/// An input is the bytes of a stored response.
pub fn codec(input: &[u8]) {
    let node = ReadBy { key_seed: &SEED, public_root: None };
    let decoded = match decode(input, node) {
        Ok(decoded) => decoded,
        Err(error) => {
            assert!(!error.as_str().is_empty());
            return;
        }
    };
    assert_eq!(input.first(), Some(&VERSION));
    let response = &decoded.response;
    assert_eq!(encode(response, decoded.lineage), input, "a response has one encoding");
    // What a hit and `/explain` do with it.
    let body = response.body.identity("https://shop.test/Commerce");
    assert!(body.size_hint().exact().is_some());
    assert!(response.key.fields().count() <= response.key.full().len());
    assert_eq!(response.tags.names().count(), response.tags.as_str().split_whitespace().count());
    assert!(response.bytes() >= response.key.full().len());
}
