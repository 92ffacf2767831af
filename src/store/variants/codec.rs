//! How a URL's answers vary, as bytes, for a tier outside of this process: a node that holds no
//! answer of a URL cannot know under which key to look for the variant that it needs.
//!
//! The forms of fields are those of [stored responses](crate::stored_response::codec), and so is the
//! care: every byte is checked, and what is accepted is what [`encode`] writes.
//!
//! | field | form |
//! |---|---|
//! | version | the byte 129; no stored response begins with it |
//! | URL | bytes: the full key, compared by the reader with the one that it asked for |
//! | sets | list of 1 to 4, the latest first, no two the same: list of 1 to 64 names of header fields (bytes, lower case), in order, each there once |

use std::sync::Arc;

use http::HeaderName;

use super::MAX_SETS;
use crate::cache_key::CacheKey;
use crate::stored_response::codec::DecodeError;
use crate::stored_response::codec::fields::{Reader, Writer};

/// The version that is written.
pub const VERSION: u8 = 0x81;

/// Each name costs every request for the URL a look at its fields, so a forged set must not have
/// thousands. Nobody varies by more: what does is known to the node that fetched it, and no other.
const MAX_NAMES: usize = 64;

/// What was read of a URL.
#[derive(Debug)]
pub struct Decoded {
    /// Its key.
    pub url: CacheKey,
    /// The sets of fields that select its variants, the latest first.
    pub sets: Vec<Arc<[HeaderName]>>,
}

/// Writes the sets of a URL, the latest first and no two the same, each as
/// [`vary`](crate::caching::vary::vary) gives it. `None` where none of them can be written.
pub fn encode(url: &CacheKey, sets: &[Arc<[HeaderName]>]) -> Option<Vec<u8>> {
    let is_writable = |set: &&Arc<[HeaderName]>| (1..=MAX_NAMES).contains(&set.len());
    let sets: Vec<_> = sets.iter().filter(is_writable).take(MAX_SETS).collect();
    if sets.is_empty() {
        return None;
    }
    let mut writer = Writer::with_version(VERSION, url.bytes() + 64 * sets.len());
    writer.bytes(url.full());
    writer.len(sets.len());
    for set in sets {
        writer.len(set.len());
        for name in set.iter() {
            writer.bytes(name.as_str().as_bytes());
        }
    }
    Some(writer.finish())
}

/// Reads what [`encode`] wrote. The key gets its digest under the reader's own secret.
///
/// # Errors
/// The first thing that is wrong with the bytes.
pub fn decode(bytes: &[u8], key_seed: &[u8; 16]) -> Result<Decoded, DecodeError> {
    let (mut reader, version) = Reader::new(bytes)?;
    if version != VERSION {
        return Err(DecodeError::Version(version));
    }
    let url = CacheKey::from_full(reader.bytes()?, key_seed).ok_or(DecodeError::Key)?;
    let mut sets = Vec::new();
    for _ in 0..read_len(&mut reader, MAX_SETS)? {
        let set = read_set(&mut reader)?;
        if sets.contains(&set) {
            return Err(DecodeError::Selecting);
        }
        sets.push(set);
    }
    reader.finish()?;
    Ok(Decoded { url, sets })
}

fn read_set(reader: &mut Reader<'_>) -> Result<Arc<[HeaderName]>, DecodeError> {
    let mut names: Vec<HeaderName> = Vec::new();
    for _ in 0..read_len(reader, MAX_NAMES)? {
        let name = reader.bytes()?;
        let is_next = names.last().is_none_or(|before| before.as_str().as_bytes() < name);
        // `*` is a valid name by its grammar, and no field.
        match HeaderName::from_lowercase(name) {
            Ok(name) if is_next && name.as_str() != "*" => names.push(name),
            _ => return Err(DecodeError::Selecting),
        }
    }
    Ok(names.into())
}

/// The length of a list that is neither empty nor longer than `max`.
fn read_len(reader: &mut Reader<'_>, max: usize) -> Result<usize, DecodeError> {
    let len = usize::try_from(reader.number()?).map_err(|_| DecodeError::Selecting)?;
    if (1..=max).contains(&len) { Ok(len) } else { Err(DecodeError::Selecting) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache_key::{CacheKeyBuilder, Field};
    use crate::caching::vary::{Vary, vary};
    use crate::stored_response::codec;
    use http::header::{ACCEPT, ACCEPT_LANGUAGE, HeaderMap, HeaderValue, VARY};
    use proptest::prelude::*;
    use proptest::sample::Index;

    const SEED: [u8; 16] = *b"a seed for tests";
    /// Sets of a URL in version 129. It is never written anew: nodes of other releases read it.
    const V129: &[u8] =
        b"\x81\x07\x0a\x02\0\0\0/a\x02\x01\x0faccept-language\x02\x06accept\x05x-one";

    fn url(path: &str) -> CacheKey {
        let key = CacheKeyBuilder::with_capacity(16).field(Field::Path, path.as_bytes());
        key.unwrap().finish(&SEED)
    }

    fn sets() -> Vec<Arc<[HeaderName]>> {
        vec![[ACCEPT_LANGUAGE].into(), [ACCEPT, HeaderName::from_static("x-one")].into()]
    }

    #[test]
    fn the_version_is_none_of_a_stored_response() {
        let node = codec::ReadBy { key_seed: &SEED, public_root: None, max_body_bytes: 99 };
        assert_eq!(codec::decode(V129, node).unwrap_err(), DecodeError::Version(VERSION));
        let error = decode(&[codec::VERSION], &SEED).unwrap_err();
        assert_eq!(error, DecodeError::Version(codec::VERSION));
    }

    #[test]
    fn version_129_is_written_and_read_as_it_always_was() {
        assert_eq!(encode(&url("/a"), &sets()).unwrap(), V129);
        let read = decode(V129, &SEED).unwrap();
        assert_eq!((read.url, read.sets), (url("/a"), sets()));
    }

    #[test]
    fn the_digest_is_that_of_the_node_that_reads() {
        let read = decode(V129, b"another's secret").unwrap().url;
        assert_eq!(read.full(), url("/a").full());
        assert_ne!(read.digest(), url("/a").digest());
    }

    #[test]
    fn no_more_is_written_than_is_read() {
        let set = |names: usize, prefix: char| -> Arc<[HeaderName]> {
            let name = |n| HeaderName::try_from(format!("{prefix}-{n:03}")).unwrap();
            (0..names).map(name).collect()
        };
        let read =
            |sets: &[_]| encode(&url("/a"), sets).map(|bytes| decode(&bytes, &SEED).unwrap().sets);
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[set(0, 'a'), set(MAX_NAMES + 1, 'a')]), None);
        let many: Vec<_> = ('a'..='f').map(|prefix| set(MAX_NAMES, prefix)).collect();
        assert_eq!(read(&many).unwrap(), many[..MAX_SETS]);
        let [one, other] = [set(1, 'a'), set(2, 'a')];
        let some = [one.clone(), set(MAX_NAMES + 1, 'b'), other.clone()];
        assert_eq!(read(&some).unwrap(), [one, other]);
    }

    #[test]
    fn bytes_cut_off_anywhere_or_followed_by_more_are_refused() {
        for len in 0..V129.len() {
            assert_eq!(decode(&V129[..len], &SEED).unwrap_err(), DecodeError::Truncated);
        }
        let longer = [V129, b"\0"].concat();
        assert_eq!(decode(&longer, &SEED).unwrap_err(), DecodeError::TrailingBytes);
    }

    #[test]
    fn each_field_is_checked() {
        let with_sets =
            |sets: &[u8]| decode(&[b"\x81\0", sets].concat(), &SEED).map(|read| read.sets.len());
        assert_eq!(with_sets(b"\x01\x01\x01a"), Ok(1));
        assert_eq!(decode(b"\x81\x01\x01", &SEED).unwrap_err(), DecodeError::Key);
        assert_eq!(with_sets(b"\x81\0\x01\x01a"), Err(DecodeError::Number));
        for bad in [
            &b"\0"[..],                  // no set
            b"\x05",                     // too many
            b"\xff\xff\xff\xff\xff\x0f", // far too many
            b"\x01\0",                   // no name
            b"\x01\x41",                 // too many
            b"\x01\x01\0",               // an empty one
            b"\x01\x01\x01A",            // not in lower case
            b"\x01\x01\x01 ",            // no field's
            b"\x01\x01\x01*",            // anything
            b"\x01\x02\x01b\x01a",       // out of order
            b"\x01\x02\x01a\x01a",       // twice
            b"\x02\x01\x01a\x01\x01a",   // a set twice
        ] {
            assert_eq!(with_sets(bad), Err(DecodeError::Selecting), "{bad:x?}");
        }
    }

    prop_compose! {
        fn known()(
            path in "/.{0,20}",
            fields in proptest::collection::vec("[!#-+.-9A-Z^-z|~-]{1,6}(, ?[a-z-]{1,9}){0,4}", 1..=MAX_SETS),
        ) -> (CacheKey, Vec<Arc<[HeaderName]>>) {
            let mut sets: Vec<Arc<[HeaderName]>> = Vec::new();
            for field in fields {
                let value = HeaderValue::from_str(&field).unwrap();
                let Vary::Fields(names) = vary(&HeaderMap::from_iter([(VARY, value)])) else { continue };
                if !names.is_empty() && !sets.contains(&names.clone().into()) {
                    sets.push(names.into());
                }
            }
            (url(&path), sets)
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back((url, sets) in known()) {
            let Some(bytes) = encode(&url, &sets) else {
                prop_assert!(sets.is_empty());
                return Ok(());
            };
            let read = decode(&bytes, &SEED).unwrap();
            prop_assert_eq!((read.url, read.sets), (url, sets));
        }

        #[test]
        fn any_bytes_are_refused_or_are_what_is_written(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..64), known: bool,
        ) {
            if let (true, Some(version)) = (known, bytes.first_mut()) {
                *version = VERSION;
            }
            if let Ok(read) = decode(&bytes, &SEED) {
                prop_assert_eq!(encode(&read.url, &read.sets).unwrap(), bytes);
            }
        }

        #[test]
        fn a_bit_that_flips_is_refused_or_is_what_is_written(
            (url, sets) in known(), bits in proptest::collection::vec(any::<Index>(), 64),
        ) {
            let Some(whole) = encode(&url, &sets) else { return Ok(()) };
            for bit in bits {
                let mut bytes = whole.clone();
                let bit = bit.index(8 * bytes.len());
                bytes[bit / 8] ^= 1 << (bit % 8);
                if let Ok(read) = decode(&bytes, &SEED) {
                    prop_assert_eq!(encode(&read.url, &read.sets).unwrap(), bytes);
                }
            }
        }
    }
}
