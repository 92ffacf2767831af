//! The form of stored responses, and of what selects among them, outside of the process.

use csu_edge::store::variants;
use csu_edge::stored_response::codec::{ReadBy, VERSION, decode, encode};
use http_body::Body;

use super::SEED;

const ROOT: &str = "https://shop.test/Commerce";

/// An input is the bytes of a stored response, or of how a URL's answers vary.
pub fn codec(input: &[u8]) {
    stored_response(input);
    if let Ok(read) = variants::codec::decode(input, &SEED) {
        let written = variants::codec::encode(&read.url, &read.sets);
        assert_eq!(written.as_deref(), Some(input), "sets of fields have one encoding");
    }
}

fn stored_response(input: &[u8]) {
    let node = ReadBy { key_seed: &SEED, public_root: None, max_body_bytes: 1 << 20 };
    let response = &match decode(input, node) {
        Ok(response) => response,
        Err(error) => {
            assert!(!error.as_str().is_empty());
            return;
        }
    };
    assert!((1..=VERSION).contains(&input[0]));
    let written = encode(response);
    assert_eq!(written[0], VERSION);
    let (read_of, written_of) = (body_at(input), body_at(&written));
    assert_eq!(written[1..written_of], input[1..read_of], "all but the body has one encoding");
    let again = decode(&written, node).expect("what is written can be read");
    assert_eq!(again.body.plain(ROOT), response.body.plain(ROOT));
    assert_eq!(encode(&again), written);
    if input[0] == 1 {
        let mut rest = &input[read_of..];
        assert_eq!(bytes(&mut rest).len(), response.body.len());
        assert!(rest.is_empty());
    }
    // What a hit and `/explain` do with it.
    let body = response.body.identity(ROOT);
    assert!(body.size_hint().exact().is_some());
    assert!(response.key.fields().count() <= response.key.full().len());
    assert_eq!(response.tags.names().count(), response.tags.as_str().split_whitespace().count());
    assert!(response.bytes() >= response.key.full().len());
}

/// Where the last field, the body, begins.
fn body_at(input: &[u8]) -> usize {
    let mut rest = &input[1..];
    // Lineage, stamp, arrival, spans, `must_revalidate`, status.
    for _ in 0..16 {
        number(&mut rest);
    }
    bytes(&mut rest); // key
    for _ in 0..2 * number(&mut rest) {
        bytes(&mut rest); // names and values of header lines
    }
    bytes(&mut rest); // tags
    number(&mut rest); // sent as it came
    for _ in 0..number(&mut rest) {
        number(&mut rest);
        number(&mut rest);
        bytes(&mut rest); // a link
    }
    input.len() - rest.len()
}

fn number(rest: &mut &[u8]) -> u64 {
    let len = 1 + rest.iter().take_while(|&&byte| byte & 0x80 != 0).count();
    let (number, after) = rest.split_at(len);
    *rest = after;
    number.iter().rev().fold(0, |high, low| high << 7 | u64::from(low & 0x7f))
}

fn bytes<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let len = usize::try_from(number(rest)).unwrap();
    let (bytes, after) = rest.split_at(len);
    *rest = after;
    bytes
}
