//! A stored response as bytes, for a tier outside of this process.
//!
//! The first byte is the version of the format; a reader that does not know it has a miss. Every
//! byte is checked: what stands in a shared tier may be cut off, of another program, or forged, and
//! must neither be served nor take the reader down.
//!
//! All fields but the last have exactly one encoding: the bytes that are accepted there are those
//! that [`encode`] writes. So has the last field of version 1. A compressed body has none that could be
//! held to: which frame stands for it depends on the compressor's version and level. Of version 2's
//! last field it is therefore asked that the length is the body's, in its one form; and that its
//! bytes are either the plain body, which zstd might have made smaller, or one whole frame of zstd
//! without a dictionary, shorter than the body, that states the body's length, has nothing behind
//! it, and decompresses to exactly that length. Many bytes may stand for one body, then, but never
//! the same bytes for two.
//!
//! Nothing here says who wrote the bytes, or that none was changed on the way: a reader compares the
//! key with its own, and trusts the rest as far as it trusts the tier.
//!
//! Version 2, in this order. A *number* is unsigned LEB128 in its shortest form; *bytes* and *text*
//! are a number, their length, and themselves; a *list* is a number, its length, and its elements;
//! a *span* is a number of seconds and one of nanoseconds; a *flag* is the number 0 or 1.
//!
//! | field | form |
//! |---|---|
//! | version | the byte 2 |
//! | lineage | two numbers |
//! | sequence of the stamp | number |
//! | arrival | number of milliseconds since the Unix epoch |
//! | initial age, freshness lifetime, stale-while-revalidate, stale-if-error, `keep_for` | five spans |
//! | `must_revalidate` | flag |
//! | status | number |
//! | key | bytes: the full key; its digest is made anew with the reader's own secret |
//! | header lines | list of name (bytes, lower case) and value (bytes); lines of one name together |
//! | tags | text: the names, in order, a space between two |
//! | sent as it came | flag: no entity tag of ours, no links, never compressed |
//! | next links | list of literal's start and end (numbers) and rest (text) |
//! | nonce of the stamp | number |
//! | body | number, the length of the plain body; flag, whether it is compressed; bytes: the plain body, or its frame |
//!
//! Version 1 differs in its first byte, has no nonce of the stamp, and its last field is bytes, the
//! plain body. It is no
//! longer written.
//!
//! A change of any of this takes a new version, below 128: what is above begins other things that
//! stand in the same tier. `v1.bin` and `v2.bin` hold a response of each version as it must be read
//! for ever.

mod body;
pub(crate) mod fields;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::body::Linked;
use super::{LetGo, NextLink, StoredBody, StoredFields, StoredResponse};
use crate::cache_key::CacheKey;
use crate::caching::freshness::Freshness;
use crate::clock::Timestamp;
use crate::operation::Lifetimes;
use crate::purge::{LastFoundUsable, Lineage, Nonce, Sequence, Stamp};
use crate::tag::TagSet;

use body::Packed;
use fields::{Reader, Writer};

/// The version that is written.
pub const VERSION: u8 = 2;

/// What the reading node adds to what is stored.
#[derive(Clone, Copy, Debug)]
pub struct ReadBy<'a> {
    /// The secret under which this process makes digests of keys.
    pub key_seed: &'a [u8; 16],
    /// The base that all clients use, where one is configured.
    pub public_root: Option<&'a str>,
    /// The longest body that it takes, in bytes; checked before there is room made for one.
    pub max_body_bytes: usize,
}

/// Why bytes are no stored response, or nothing else that is written in these forms. To the reader,
/// a miss.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum DecodeError {
    /// A version that this program does not know.
    #[error("version {0} of the format is not known")]
    Version(u8),
    /// The bytes end within a field, or a length leads past their end.
    #[error("the bytes end before their last field does")]
    Truncated,
    /// Something follows the last field.
    #[error("bytes follow the last field")]
    TrailingBytes,
    /// A number past 64 bits, or in a form that is not its shortest.
    #[error("a number is too large or not in its shortest form")]
    Number,
    /// A span of time with more than a second of nanoseconds.
    #[error("a span of time has more than a second of nanoseconds")]
    Span,
    /// A status outside of 100 to 999.
    #[error("the status is none of HTTP's")]
    Status,
    /// A key that is not a list of the fields of keys, in order.
    #[error("the key is not a list of its fields")]
    Key,
    /// A name or a value of a header line that HTTP does not allow, a name not in lower case, or
    /// lines of one name apart from each other, or too many.
    #[error("the header lines cannot be HTTP's")]
    Header,
    /// A flag that is neither 0 nor 1.
    #[error("a flag is neither 0 nor 1")]
    Flag,
    /// Not tags, in order, each there once.
    #[error("the tags are not tags, in order, each there once")]
    Tags,
    /// A link that is not a string literal of the body, or stands before the end of the one before,
    /// or in a body that is sent as it came.
    #[error("the next links are not string literals of the body, one after the other")]
    NextLink,
    /// Not sets of field names, in order, each there once, or too many of them.
    #[error("what selects a URL's variants is not a few sets of field names, in order")]
    Selecting,
    /// A body that is longer than the reader takes.
    #[error("the body is longer than what is taken")]
    BodyTooLarge,
    /// A body, or what its compressed form says of it, that has another length than is stated.
    #[error("the body has another length than is stated")]
    BodyLength,
    /// A compressed body that is not one whole frame of zstd, shorter than the body.
    #[error("the compressed body is not one frame of zstd, shorter than the body")]
    Compressed,
}

impl DecodeError {
    /// The reason, for logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Version(_) => "version",
            Self::Truncated => "truncated",
            Self::TrailingBytes => "trailing-bytes",
            Self::Number => "number",
            Self::Span => "span",
            Self::Status => "status",
            Self::Key => "key",
            Self::Header => "header",
            Self::Flag => "flag",
            Self::Tags => "tags",
            Self::NextLink => "next-link",
            Self::Selecting => "selecting",
            Self::BodyTooLarge => "body-too-large",
            Self::BodyLength => "body-length",
            Self::Compressed => "compressed",
        }
    }
}

/// Writes a response, in the newest version. Its compressed forms are not written, nor is what the
/// reader makes anew: the digest of the key, the entity tag, where the purge check left off.
///
/// Compressing a body past some 64 KiB takes long enough for others to wait: a caller that serves
/// does it elsewhere.
pub fn encode(response: &StoredResponse) -> Vec<u8> {
    // In full, so that a new field of the response does not compile until it is written here.
    let StoredResponse {
        key,
        stamp: Stamp { lineage, sequence, nonce },
        freshness: Freshness { received_at, initial_age, lifetimes, must_revalidate, keep_for },
        status,
        fields,
        tags,
        body,
        last_found_usable: _,
        let_go: _,
    } = response;
    let Lifetimes { fresh_for, stale_while_revalidate, stale_if_error } = lifetimes;
    let StoredBody { plain, digest, linked, compressed: _, layout: _ } = &**body;
    let links = linked.as_deref().map_or(&[][..], |Linked { links, public_root: _ }| links);
    let headers = fields.to_map();

    let packed = Packed::new(plain);
    let capacity = response.bytes().saturating_sub(body.bytes()) + packed.len();
    let mut writer = Writer::with_version(VERSION, capacity);
    writer.number(lineage.generation);
    writer.number(lineage.nonce);
    writer.number(sequence.as_u64());
    writer.number(received_at.as_millis());
    for span in [initial_age, fresh_for, stale_while_revalidate, stale_if_error, keep_for] {
        writer.span(*span);
    }
    writer.flag(*must_revalidate);
    writer.number(status.as_u16().into());
    writer.bytes(key.full());
    writer.len(headers.len());
    for (name, value) in &headers {
        writer.bytes(name.as_str().as_bytes());
        writer.bytes(value.as_bytes());
    }
    writer.bytes(tags.as_str().as_bytes());
    writer.flag(digest.is_none());
    writer.len(links.len());
    for NextLink { literal, rest } in links {
        writer.len(literal.start);
        writer.len(literal.end);
        writer.bytes(rest.as_bytes());
    }
    writer.number(nonce.0);
    packed.write(&mut writer);
    writer.finish()
}

/// Reads what [`encode`] wrote, in any version. What is read is copied: nothing keeps `bytes`. A
/// large body takes its time here, too.
///
/// # Errors
/// The first thing that is wrong with the bytes.
pub fn decode(bytes: &[u8], node: ReadBy<'_>) -> Result<StoredResponse, DecodeError> {
    let (reader, version) = Reader::new(bytes)?;
    match version {
        1 => decode_fields(reader, node, |_| Ok(Nonce::default()), body::read_v1),
        2 => decode_fields(reader, node, |reader| reader.number().map(Nonce), body::read_v2),
        other => Err(DecodeError::Version(other)),
    }
}

type ReadNonce = fn(&mut Reader<'_>) -> Result<Nonce, DecodeError>;

/// Reads the last field, whose plain body has at most so many bytes.
type ReadBody = fn(Reader<'_>, usize) -> Result<Bytes, DecodeError>;

fn decode_fields(
    mut reader: Reader<'_>,
    node: ReadBy<'_>,
    read_nonce: ReadNonce,
    read_body: ReadBody,
) -> Result<StoredResponse, DecodeError> {
    let lineage = Lineage { generation: reader.number()?, nonce: reader.number()? };
    let sequence = Sequence::from_u64(reader.number()?);
    let freshness = Freshness {
        received_at: Timestamp::from_millis(reader.number()?),
        initial_age: reader.span()?,
        lifetimes: Lifetimes {
            fresh_for: reader.span()?,
            stale_while_revalidate: reader.span()?,
            stale_if_error: reader.span()?,
        },
        keep_for: reader.span()?,
        must_revalidate: reader.flag()?,
    };
    let status = read_status(&mut reader)?;
    let key = CacheKey::from_full(reader.bytes()?, node.key_seed).ok_or(DecodeError::Key)?;
    let headers = read_headers(&mut reader)?;
    let tags = reader.text()?.and_then(TagSet::from_names).ok_or(DecodeError::Tags)?;
    let is_sent_as_it_came = reader.flag()?;
    let links = read_links(&mut reader)?;
    let nonce = read_nonce(&mut reader)?;
    let plain = read_body(reader, node.max_body_bytes)?;
    check_links(&links, &plain)?;
    let body = match is_sent_as_it_came {
        true if links.is_empty() => StoredBody::verbatim(plain),
        true => return Err(DecodeError::NextLink),
        false => StoredBody::new(plain, links.into(), node.public_root.map(Box::from)),
    };
    Ok(StoredResponse {
        key,
        stamp: Stamp { lineage, sequence, nonce },
        freshness,
        status,
        fields: StoredFields::of(&headers),
        tags,
        body: Arc::new(body),
        last_found_usable: LastFoundUsable::default(),
        let_go: LetGo::default(),
    })
}

fn read_status(reader: &mut Reader<'_>) -> Result<StatusCode, DecodeError> {
    let status = u16::try_from(reader.number()?).map_err(|_| DecodeError::Status)?;
    StatusCode::from_u16(status).map_err(|_| DecodeError::Status)
}

fn read_headers(reader: &mut Reader<'_>) -> Result<HeaderMap, DecodeError> {
    let mut headers = HeaderMap::new();
    let mut before: Option<HeaderName> = None;
    for _ in 0..reader.number()? {
        let name = HeaderName::from_lowercase(reader.bytes()?).map_err(|_| DecodeError::Header)?;
        let value = HeaderValue::from_bytes(reader.bytes()?).map_err(|_| DecodeError::Header)?;
        let is_repeated =
            headers.try_append(name.clone(), value).map_err(|_| DecodeError::Header)?;
        if is_repeated && before.as_ref() != Some(&name) {
            return Err(DecodeError::Header);
        }
        before = Some(name);
    }
    Ok(headers)
}

fn read_links(reader: &mut Reader<'_>) -> Result<Vec<NextLink>, DecodeError> {
    let mut links = Vec::new();
    for _ in 0..reader.number()? {
        let place = |number: u64| usize::try_from(number).map_err(|_| DecodeError::NextLink);
        let literal = place(reader.number()?)?..place(reader.number()?)?;
        let rest = reader.text()?.ok_or(DecodeError::NextLink)?.into();
        links.push(NextLink { literal, rest });
    }
    Ok(links)
}

/// On delivery the body is cut at the links, and their rests are written into its JSON.
fn check_links(links: &[NextLink], plain: &[u8]) -> Result<(), DecodeError> {
    let mut from = 0;
    for NextLink { literal, rest } in links {
        let quoted = plain.get(literal.clone()).filter(|_| literal.start >= from);
        let is_literal = |text: &[u8]| serde_json::from_slice::<String>(text).is_ok();
        if !quoted.is_some_and(is_literal) || !is_literal(format!("\"{rest}\"").as_bytes()) {
            return Err(DecodeError::NextLink);
        }
        from = literal.end;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
