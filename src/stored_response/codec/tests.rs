use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::cache_key::{CacheKeyBuilder, Field};
use crate::tag::Tag;

const SEED: [u8; 16] = *b"a seed for tests";
const NODE: ReadBy<'_> = ReadBy { key_seed: &SEED, public_root: None, max_body_bytes: 1 << 20 };
const LINEAGE: Lineage = Lineage { generation: 3, nonce: 0x0123_4567_89ab_cdef };
/// A response in each version. They are never written anew: nodes of other releases read them.
const V1: &[u8] = include_bytes!("v1.bin");
const V2: &[u8] = include_bytes!("v2.bin");

fn key(fields: &[(Field, &str)]) -> CacheKey {
    let add = |key: CacheKeyBuilder, (field, value): &(Field, &str)| {
        key.field(*field, value.as_bytes()).unwrap()
    };
    fields.iter().fold(CacheKeyBuilder::with_capacity(0), add).finish(&SEED)
}

/// A page of so many prices with a link to the next.
fn page(prices_count: usize) -> StoredResponse {
    let prices = vec![r#"{"ProductId":68719489871,"BasePrice":9.50}"#; prices_count].join(",");
    let plain = format!(
        r#"{{"value":[{prices}],"@odata.nextLink":"https://origin/Commerce/Products/GetActivePrices?$skip=1"}}"#
    );
    let start = plain.find("\"https").unwrap();
    let literal = start..plain.len() - 1;
    let link = NextLink { literal, rest: "/Products/GetActivePrices?$skip=1".into() };
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json; odata.metadata=minimal"),
        ("content-language", "nb-NO"),
        ("link", "<a>; rel=b"),
        ("link", "<c>; rel=d"),
        ("etag", "W/\"1\""),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    headers.append("x-name", HeaderValue::from_bytes(b"S\xf8t").unwrap());
    let seconds = Duration::from_secs;
    StoredResponse {
        key: key(&[
            (Field::Origin, "https://origin/Commerce"),
            (Field::Oun, "128"),
            (Field::Operation, "POST Products/GetActivePrices"),
            (Field::Body, r#"{"activeDate":now,"productIds":[68719489871]}"#),
        ]),
        stamp: Stamp {
            lineage: LINEAGE,
            sequence: Sequence::from_u64(1_234_567),
            // Version 1 knows of none.
            nonce: Nonce(prices_count as u64 - 1),
        },
        freshness: Freshness {
            received_at: Timestamp::from_millis(1_777_284_000_123),
            initial_age: seconds(2),
            lifetimes: Lifetimes {
                fresh_for: Duration::from_millis(60_500),
                stale_while_revalidate: Duration::ZERO,
                stale_if_error: seconds(43_200),
            },
            must_revalidate: false,
            keep_for: seconds(86_400),
        },
        status: StatusCode::OK,
        fields: StoredFields::of(&headers),
        tags: ["*", "price/*", "price/product:68719489871", "price/item:shoe%209"]
            .into_iter()
            .map(|tag| Tag::parse(tag).unwrap())
            .collect(),
        body: Arc::new(StoredBody::new(plain.into(), Box::new([link]), None)),
        last_found_usable: LastFoundUsable::default(),
        let_go: LetGo::default(),
    }
}

fn decoded(bytes: &[u8]) -> Result<StoredResponse, DecodeError> {
    decode(bytes, NODE)
}

/// Each field on its own, since equality of encodings says nothing of what is not encoded.
fn assert_same(a: &StoredResponse, b: &StoredResponse) {
    assert_eq!(a.key, b.key);
    assert_eq!((a.stamp, a.freshness, a.status), (b.stamp, b.freshness, b.status));
    assert_eq!(a.fields, b.fields);
    assert_eq!(a.tags.as_str(), b.tags.as_str());
    assert_eq!(a.tags.hashes(), b.tags.hashes());
    assert_eq!((&a.body.plain, &a.body.digest), (&b.body.plain, &b.body.digest));
    let links = |response: &StoredResponse| {
        let links = response.body.linked.iter().flat_map(|linked| linked.links.iter());
        links.map(|link| (link.literal.clone(), link.rest.clone())).collect::<Vec<_>>()
    };
    assert_eq!(links(a), links(b));
}

/// Where a response's last field begins.
fn body_at(bytes: &[u8]) -> usize {
    let (mut reader, _) = Reader::new(bytes).unwrap();
    skip_to_key(&mut reader);
    reader.bytes().unwrap();
    for _ in 0..2 * reader.number().unwrap() {
        reader.bytes().unwrap();
    }
    reader.bytes().unwrap();
    reader.flag().unwrap();
    for _ in 0..reader.number().unwrap() {
        reader.number().unwrap();
        reader.number().unwrap();
        reader.bytes().unwrap();
    }
    bytes.len() - reader.left()
}

/// Skips lineage, stamp, arrival, spans, `must_revalidate` and status.
fn skip_to_key(reader: &mut Reader<'_>) {
    for _ in 0..16 {
        reader.number().unwrap();
    }
}

/// A response in version 1, which is no longer written.
fn encode_v1(response: &StoredResponse) -> Vec<u8> {
    let encoded = encode(response);
    let mut body = Writer::with_version(1, 0);
    body.bytes(&response.body.plain);
    [b"\x01", &encoded[1..body_at(&encoded)], &body.finish()[1..]].concat()
}

#[test]
fn version_1_is_read_as_it_always_was() {
    let read = decode(V1, NODE).unwrap();
    assert_same(&read, &page(1));
    assert_eq!(encode_v1(&page(1)), V1);
}

#[test]
fn version_2_is_written_and_read_as_it_always_was() {
    let written = encode(&page(20));
    // Another release of zstd may make another frame of the same body.
    if written[..body_at(&written)] != V2[..body_at(V2)] {
        let aside = concat!(env!("CARGO_MANIFEST_DIR"), "/target/v2.bin");
        let _ = std::fs::write(aside, &written);
        panic!("another format needs another version; what was written is in {aside}");
    }
    for bytes in [V2, &written] {
        let read = decode(bytes, NODE).unwrap();
        assert_same(&read, &page(20));
    }
    assert!(written.len() + 600 < encode_v1(&page(20)).len(), "it is compressed");
}

#[test]
fn the_digest_and_the_public_base_are_those_of_the_node_that_reads() {
    let public_root = Some("https://shop/x");
    let node = ReadBy { key_seed: b"another's secret", public_root, ..NODE };
    let read = decode(V2, node).unwrap();
    assert_eq!(read.key.full(), page(1).key.full());
    assert_ne!(read.key.digest(), page(1).key.digest());
    let read = read.body.linked.as_ref().and_then(|linked| linked.public_root.as_deref());
    assert_eq!(read, public_root);
}

#[test]
fn a_body_longer_than_the_reader_takes_is_refused() {
    for (bytes, len) in [(V1, page(1).body.len()), (V2, page(20).body.len())] {
        let read = |max_body_bytes| decode(bytes, ReadBy { max_body_bytes, ..NODE });
        assert!(read(len).is_ok());
        assert_eq!(read(len - 1).unwrap_err(), DecodeError::BodyTooLarge);
    }
}

#[test]
fn bytes_cut_off_anywhere_or_followed_by_more_are_refused() {
    for whole in [V1, V2] {
        for len in 0..whole.len() {
            assert_eq!(decoded(&whole[..len]).unwrap_err(), DecodeError::Truncated, "{len} bytes");
        }
        let longer = [whole, b"\0"].concat();
        assert_eq!(decoded(&longer).unwrap_err(), DecodeError::TrailingBytes);
    }
}

#[test]
fn a_version_that_is_not_known_is_refused() {
    for version in [0, 3, 0x81, 255] {
        let other = [&[version], &V1[1..]].concat();
        assert_eq!(decoded(&other).unwrap_err(), DecodeError::Version(version));
    }
}

/// Fields of version 1 in order, each as bytes, of which a case replaces one.
fn with(place: usize, field: &[u8]) -> Result<StoredResponse, DecodeError> {
    let mut fields: [&[u8]; 13] = [
        b"\x01",                 // version
        b"\0\0",                 // lineage
        b"\0",                   // sequence
        b"\0",                   // arrival
        b"\0\0\0\0\0\0\0\0\0\0", // spans
        b"\0",                   // must_revalidate
        b"\xc8\x01",             // status 200
        b"\0",                   // key
        b"\0",                   // header lines
        b"\x01*",                // tags
        b"\0",                   // sent as it came
        b"\0",                   // links
        b"\x06[\"a\\\"]",        // body
    ];
    fields[place] = field;
    decoded(&fields.concat())
}

#[test]
fn each_field_is_checked() {
    let largest = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    assert_eq!(with(2, largest).unwrap().stamp.sequence.as_u64(), u64::MAX);
    assert_eq!(with(6, b"\xe7\x07").unwrap().status.as_u16(), 999);
    let cases: &[(usize, &[u8], DecodeError)] = &[
        (2, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", DecodeError::Number),
        (2, b"\x80\x00", DecodeError::Number),
        (4, b"\0\x80\x94\xeb\xdc\x03\0\0\0\0\0\0\0\0", DecodeError::Span),
        (4, b"\0\xff\xff\xff\xff\xff\x01\0\0\0\0\0\0\0\0", DecodeError::Span),
        (6, b"\x63", DecodeError::Status),
        (6, b"\xe8\x07", DecodeError::Status),
        (6, b"\xc8\x81\x04", DecodeError::Status),
        (7, b"\x01\x01", DecodeError::Key),
        (7, b"\x05\x63\0\0\0\0", DecodeError::Key),
        (7, b"\x05\x01\x01\0\0\0", DecodeError::Key),
        (7, b"\x0a\x02\0\0\0\0\x01\0\0\0\0", DecodeError::Key),
        (7, b"\x0a\x01\0\0\0\0\x01\0\0\0\0", DecodeError::Key),
        (8, b"\x01\x03a b\x01x", DecodeError::Header),
        (8, b"\x01\x01A\x01x", DecodeError::Header),
        (8, b"\x01\x00\x01x", DecodeError::Header),
        (8, b"\x01\x01a\x03x\r\n", DecodeError::Header),
        (8, b"\x03\x01a\x01x\x01b\x01x\x01a\x01x", DecodeError::Header),
        (5, b"\x02", DecodeError::Flag),
        (10, b"\x02", DecodeError::Flag),
        (9, b"\x05price", DecodeError::Tags),
        (9, b"\x03* *", DecodeError::Tags),
        (9, b"\x09price/* *", DecodeError::Tags),
        (9, b"\x02* ", DecodeError::Tags),
        (9, b"\x0cprice/item:A", DecodeError::Tags),
        (9, b"\x01\xff", DecodeError::Tags),
        (11, b"\x01\x01\x07\0", DecodeError::NextLink),
        (11, b"\x01\x01\x03\0", DecodeError::NextLink),
        (11, b"\x01\x05\x01\0", DecodeError::NextLink),
        (11, b"\xff\xff\xff\xff\x0f", DecodeError::Truncated),
        (12, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", DecodeError::Truncated),
        (12, b"\x02", DecodeError::Truncated),
    ];
    for (place, field, error) in cases {
        assert_eq!(with(*place, field).unwrap_err(), *error, "{place}: {field:x?}");
    }
}

#[test]
fn a_link_that_would_break_the_body_is_refused() {
    let body = b"\0\x0b\0\x0b[\"a\",\"bc\"]\n"; // the nonce, and the body
    let with = |flag: &[u8], links: &[u8]| {
        decoded(&[&page_head(), flag, links, body].concat()).map(|_| ())
    };
    let links = |links: &[u8]| with(b"\0", links);
    let two = b"\x02\x01\x04\x02/x\x05\x09\0";
    assert_eq!(links(two), Ok(()));
    assert_eq!(with(b"\x01", two), Err(DecodeError::NextLink));
    assert_eq!(with(b"\x01", b"\0"), Ok(()));
    for bad in [
        &b"\x02\x05\x09\0\x01\x04\0"[..], // not one after the other
        b"\x02\x01\x04\0\x01\x04\0",      // the same twice
        b"\x01\x01\x04\x01\"",            // a rest that ends the literal
        b"\x01\x01\x04\x01\\",            // or escapes its end
        b"\x01\x01\x09\0",                // not one literal
        b"\x01\x02\x04\0",                // not its beginning
    ] {
        assert_eq!(links(bad), Err(DecodeError::NextLink), "{bad:x?}");
    }
}

/// Everything before the flag that goes before the links.
fn page_head() -> Vec<u8> {
    let mut head = vec![VERSION];
    head.extend([0; 15]); // lineage, stamp, arrival, spans, must_revalidate
    head.extend(b"\xc8\x01\0\0\x01*");
    head
}

fn span() -> impl Strategy<Value = Duration> {
    (any::<u64>(), 0..1_000_000_000u32).prop_map(|(secs, nanos)| Duration::new(secs, nanos))
}

prop_compose! {
    fn response()(
        (oun, body, repeats) in (".{0,20}", ".{0,200}", 1..20usize),
        (generation, nonce, sequence, of_stamp) in any::<(u64, u64, u64, u64)>(),
        (received_at, status) in (any::<u64>(), 100..1_000u16),
        spans in proptest::array::uniform5(span()),
        (must_revalidate, verbatim) in (any::<bool>(), any::<bool>()),
        lines in proptest::collection::vec(("[a-z-]{1,3}", "[ -~\u{80}-\u{ff}]{0,9}"), 0..9),
        ids in proptest::collection::vec(".{1,20}", 0..5),
        (before, links) in (0..4usize, proptest::collection::vec("[a-z\"\\\\]{0,5}", 0..4)),
    ) -> StoredResponse {
        let [initial_age, fresh_for, stale_while_revalidate, stale_if_error, keep_for] = spans;
        let mut plain = " ".repeat(before) + &body.repeat(repeats);
        let links = links.iter().map(|link| {
            let start = plain.len();
            let literal = serde_json::to_string(link).unwrap();
            plain.push_str(&literal);
            let rest = &literal[1..literal.len() - 1];
            NextLink { literal: start..plain.len(), rest: rest.into() }
        });
        let links = links.collect();
        let header = |(name, value): &(String, String)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
        };
        let mut headers = HeaderMap::new();
        for (name, value) in lines.iter().map(header) {
            headers.append(name, value);
        }
        let tag = |id: &String| Tag::new(crate::operation::Class::Price, crate::tag::TagKind::Item, id);
        StoredResponse {
            key: key(&[(Field::Oun, &oun), (Field::Body, &body)]),
            stamp: Stamp {
                lineage: Lineage { generation, nonce },
                sequence: Sequence::from_u64(sequence),
                nonce: Nonce(of_stamp),
            },
            freshness: Freshness {
                received_at: Timestamp::from_millis(received_at),
                initial_age,
                lifetimes: Lifetimes { fresh_for, stale_while_revalidate, stale_if_error },
                must_revalidate,
                keep_for,
            },
            status: StatusCode::from_u16(status).unwrap(),
            fields: StoredFields::of(&headers),
            tags: ids.iter().map(tag).collect(),
            body: Arc::new(match verbatim {
                true => StoredBody::verbatim(plain.into()),
                false => StoredBody::new(plain.into(), links, None),
            }),
            last_found_usable: LastFoundUsable::default(),
            let_go: LetGo::default(),
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        response in response(),
    ) {
        let bytes = encode(&response);
        let read = decode(&bytes, NODE).unwrap();
        assert_same(&read, &response);
        prop_assert_eq!(encode(&read), bytes);
    }

    #[test]
    fn a_byte_changed_anywhere_is_refused_or_one_other_response(
        place in any::<Index>(), byte: u8,
    ) {
        let mut bytes = V1.to_vec();
        bytes[place.index(V1.len())] = byte;
        if let Ok(read) = decode(&bytes, NODE) {
            let encode = if bytes[0] == 1 { encode_v1 } else { encode };
            prop_assert_eq!(encode(&read), bytes);
        }
        let mut bytes = V2.to_vec();
        bytes[place.index(V2.len())] = byte;
        if let Ok(read) = decode(&bytes, NODE) {
            let written = encode(&read);
            prop_assert_eq!(&written[..body_at(&written)], &bytes[..body_at(&bytes)]);
            assert_same(&decode(&written, NODE).unwrap(), &read);
        }
    }

    #[test]
    fn what_is_cut_is_refused(response in response(), len in any::<Index>()) {
        let bytes = encode(&response);
        let cut = &bytes[..len.index(bytes.len())];
        prop_assert_eq!(decoded(cut).unwrap_err(), DecodeError::Truncated);
    }

    /// One that changes the key leaves a key that the reader did not ask for.
    #[test]
    fn a_bit_that_flips_behind_the_key_leads_to_no_other_key(
        response in response(), bits in proptest::collection::vec(any::<Index>(), 64),
    ) {
        let whole = encode(&response);
        let (mut reader, _) = Reader::new(&whole).unwrap();
        skip_to_key(&mut reader);
        reader.bytes().unwrap();
        let key_ends = whole.len() - reader.left();
        for bit in bits {
            let mut bytes = whole.clone();
            let bit = bit.index(8 * bytes.len());
            bytes[bit / 8] ^= 1 << (bit % 8);
            let Ok(read) = decode(&bytes, NODE) else { continue };
            if bit / 8 >= key_ends {
                prop_assert_eq!(&read.key, &response.key);
            }
            if bytes[0] == VERSION {
                let written = encode(&read);
                prop_assert_eq!(&written[..body_at(&written)], &bytes[..body_at(&bytes)]);
            }
        }
    }
}
