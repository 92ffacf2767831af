//! The cache key: the whole question, in a form in which different questions differ.
//!
//! A key is a list of fields, each written as its number, its length and its bytes, so that no two
//! lists are written the same: nothing that a client puts into one field can look like the
//! beginning of another. Its digest is keyed with a secret of the process, so that nobody can
//! choose questions that meet; and since the full key is stored and compared on a hit, even two
//! that met would not be served each other's answers.
//!
//! No two processes have one secret, so where nodes share a tier, a key is found there by another
//! digest, which they all make alike. Anybody can make that one, too, and try as many questions as
//! there is time for: so it is a cryptographic one.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::io::Write;

use aws_lc_rs::digest::{SHA256, digest};
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::allocated::allocated;

/// One part of the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Field {
    /// The service root.
    Origin = 1,
    /// The operating unit number.
    Oun = 2,
    /// `Accept-Language`.
    Language = 3,
    /// The metadata level and the other parameters of the accepted media type.
    Metadata = 4,
    /// `OData-MaxVersion`.
    MaxVersion = 5,
    /// `OData-Version`.
    Version = 6,
    /// `Prefer`.
    Prefer = 7,
    /// Whose answers these are.
    Partition = 8,
    /// Method and name of the operation.
    Operation = 9,
    /// The resource path with its key predicate and parameters.
    Path = 10,
    /// The query options.
    Query = 11,
    /// The canonical body.
    Body = 12,
    /// The selecting fields of a URL's variant, under the generic policy.
    Variant = 13,
    /// A part of a representation, and not the whole.
    Part = 14,
    /// What is asked for, of a list that is answered one by one.
    Element = 15,
}

impl Field {
    const ALL: [Self; 15] = [
        Self::Origin,
        Self::Oun,
        Self::Language,
        Self::Metadata,
        Self::MaxVersion,
        Self::Version,
        Self::Prefer,
        Self::Partition,
        Self::Operation,
        Self::Path,
        Self::Query,
        Self::Body,
        Self::Variant,
        Self::Part,
        Self::Element,
    ];

    /// The field as `/explain` names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Oun => "oun",
            Self::Language => "language",
            Self::Metadata => "metadata",
            Self::MaxVersion => "odata-max-version",
            Self::Version => "odata-version",
            Self::Prefer => "prefer",
            Self::Partition => "partition",
            Self::Operation => "operation",
            Self::Path => "path",
            Self::Query => "query",
            Self::Body => "body",
            Self::Variant => "variant",
            Self::Part => "part",
            Self::Element => "element",
        }
    }
}

/// What identifies a question.
#[derive(Clone)]
pub struct CacheKey {
    digest: u128,
    full: Box<[u8]>,
}

impl CacheKey {
    /// A key that was stored in full, with its digest under the process's secret. `None` where
    /// the bytes are not the fields of a key, in the order of their declaration.
    pub fn from_full(full: &[u8], seed: &[u8; 16]) -> Option<Self> {
        let key = CacheKeyBuilder { full: full.into() }.finish(seed);
        let written: usize =
            key.fields().map(|(_, value)| 1 + size_of::<u32>() + value.len()).sum();
        let in_order = key.fields().is_sorted_by(|(a, _), (b, _)| a < b);
        (written == full.len() && in_order).then_some(key)
    }

    /// The digest, by which a stored response is found.
    pub const fn digest(&self) -> u128 {
        self.digest
    }

    /// The digest by which a stored response is found in a tier that nodes share: the same on each
    /// of them, after every start and in every release. Hashed anew each time, which takes longer
    /// than what a hit in memory does.
    pub fn shared_digest(&self) -> SharedDigest {
        let mut half = [0; 16];
        for (to, from) in half.iter_mut().zip(digest(&SHA256, &self.full).as_ref()) {
            *to = *from;
        }
        SharedDigest(half)
    }

    /// Every field, as stored beside a response and compared on a hit.
    pub const fn full(&self) -> &[u8] {
        &self.full
    }

    /// The fields that are there, in order.
    pub fn fields(&self) -> impl Iterator<Item = (Field, &[u8])> {
        let mut rest: &[u8] = &self.full;
        std::iter::from_fn(move || {
            let (&number, after) = rest.split_first()?;
            let (len, after) = after.split_first_chunk()?;
            let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
            let (value, after) = after.split_at_checked(len)?;
            rest = after;
            let field = Field::ALL.into_iter().find(|field| *field as u8 == number)?;
            Some((field, value))
        })
    }

    /// The key with one more field, which comes after those that it has.
    #[must_use]
    pub fn with(&self, field: Field, value: &[u8], seed: &[u8; 16]) -> Self {
        let extended = CacheKeyBuilder { full: self.full.to_vec() };
        // 4 GiB of header fields are past every limit on a head.
        extended.field(field, value).map_or_else(|| self.clone(), |key| key.finish(seed))
    }

    /// What the key occupies in memory, in bytes.
    pub fn bytes(&self) -> usize {
        allocated(self.full.len())
    }
}

impl PartialEq for CacheKey {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest && self.full == other.full
    }
}

impl Eq for CacheKey {}

impl Hash for CacheKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.digest);
    }
}

/// The digest alone: the fields hold what clients asked for.
impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CacheKey({:032x})", self.digest)
    }
}

/// The first half of the full key's SHA-256. To find two keys that meet takes some 2⁶⁴ hashes; who
/// did would gain nothing but misses, as the full key is compared all the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SharedDigest([u8; 16]);

impl SharedDigest {
    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// As 32 hexadecimal digits, in lower case.
impl fmt::Display for SharedDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SharedDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedDigest({self})")
    }
}

/// Collects the fields of a key.
#[derive(Debug)]
pub struct CacheKeyBuilder {
    full: Vec<u8>,
}

impl CacheKeyBuilder {
    /// A key without fields, with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { full: Vec::with_capacity(capacity) }
    }

    /// Adds a field; fields are added in the order of their declaration. One that is absent is
    /// not the same as one that is empty. `None` when the value is longer than 4 GiB.
    #[must_use]
    pub fn field(mut self, field: Field, value: &[u8]) -> Option<Self> {
        let len = u32::try_from(value.len()).ok()?;
        self.full.push(field as u8);
        self.full.extend_from_slice(&len.to_le_bytes());
        self.full.extend_from_slice(value);
        Some(self)
    }

    /// The same, of a value that is yet to be written.
    #[must_use]
    pub fn text(mut self, field: Field, value: impl fmt::Display) -> Option<Self> {
        self = self.field(field, b"")?;
        let begin = self.full.len();
        write!(self.full, "{value}").ok()?;
        let len = u32::try_from(self.full.len() - begin).ok()?;
        self.full.get_mut(begin - size_of::<u32>()..begin)?.copy_from_slice(&len.to_le_bytes());
        Some(self)
    }

    /// Adds a field that may be absent.
    #[must_use]
    pub fn optional(self, field: Field, value: Option<impl AsRef<[u8]>>) -> Option<Self> {
        match value {
            Some(value) => self.field(field, value.as_ref()),
            None => Some(self),
        }
    }

    /// The key, with its digest under the process's secret.
    pub fn finish(self, seed: &[u8; 16]) -> CacheKey {
        let KeyStem { full, hasher } = self.stem(seed);
        CacheKey { digest: hasher.finish128().as_u128(), full }
    }

    /// What many keys begin with.
    pub fn stem(self, seed: &[u8; 16]) -> KeyStem {
        let mut hasher = SipHasher13::new_with_key(seed);
        hasher.write(&self.full);
        KeyStem { full: self.full.into(), hasher }
    }
}

/// What many keys begin with, hashed once for all of them.
#[derive(Clone)]
pub struct KeyStem {
    full: Box<[u8]>,
    hasher: SipHasher13,
}

impl KeyStem {
    /// The key with one more field, which comes after those of the stem. `None` when the value is
    /// longer than 4 GiB.
    pub fn with(&self, field: Field, value: &[u8]) -> Option<CacheKey> {
        let mut full = Vec::with_capacity(self.full.len() + 1 + size_of::<u32>() + value.len());
        full.extend_from_slice(&self.full);
        let CacheKeyBuilder { full } = CacheKeyBuilder { full }.field(field, value)?;
        let mut hasher = self.hasher;
        hasher.write(full.get(self.full.len()..)?);
        Some(CacheKey { digest: hasher.finish128().as_u128(), full: full.into() })
    }

    /// The key that ends here.
    pub fn key(&self) -> CacheKey {
        CacheKey { digest: self.hasher.finish128().as_u128(), full: self.full.clone() }
    }
}

/// The digest alone, as a key's.
impl fmt::Debug for KeyStem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyStem({:032x})", self.hasher.finish128().as_u128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(fields: &[(Field, &str)], seed: &[u8; 16]) -> CacheKey {
        let add = |key: CacheKeyBuilder, (field, value): &(Field, &str)| {
            key.field(*field, value.as_bytes()).unwrap()
        };
        fields.iter().fold(CacheKeyBuilder::with_capacity(0), add).finish(seed)
    }

    const QUESTION: [(Field, &str); 2] =
        [(Field::Oun, "128"), (Field::Operation, "POST Products/GetActivePrices")];

    /// Computed elsewhere. Another value would leave a shared tier without a hit between releases.
    #[test]
    fn the_shared_digest_is_the_first_half_of_sha_256() {
        let none = key(&[], &[0; 16]).shared_digest();
        assert_eq!(none.to_string(), "e3b0c44298fc1c149afbf4c8996fb924");
        let shared = key(&QUESTION, &[0; 16]).shared_digest();
        assert_eq!(shared.to_string(), "4b71f3d0ed4ac2e5991d06ffcdc67a34");
        assert_eq!(shared.as_bytes()[..2], [0x4b, 0x71]);
        assert_eq!(format!("{shared:?}"), format!("SharedDigest({shared})"));
    }

    #[test]
    fn the_shared_digest_is_the_same_under_every_secret() {
        let (one, other) = (key(&QUESTION, &[1; 16]), key(&QUESTION, &[2; 16]));
        assert_ne!(one.digest(), other.digest());
        assert_eq!(one.shared_digest(), other.shared_digest());
    }

    #[test]
    fn a_key_from_a_stem_is_the_key_of_all_its_fields() {
        let seed = [3; 16];
        let of = |fields: &[(Field, &str)]| {
            let add = |key: CacheKeyBuilder, (field, value): &(Field, &str)| {
                key.field(*field, value.as_bytes()).unwrap()
            };
            fields.iter().fold(CacheKeyBuilder::with_capacity(0), add)
        };
        let stem = of(&QUESTION).stem(&seed);
        assert_eq!(stem.key(), key(&QUESTION, &seed));
        for element in ["", "1", "68719489871", "{\"ProductId\":1}"] {
            let whole = key(&[QUESTION[0], QUESTION[1], (Field::Element, element)], &seed);
            let from_stem = stem.with(Field::Element, element.as_bytes()).unwrap();
            assert_eq!(from_stem, whole);
            assert_eq!(from_stem.digest(), whole.digest());
        }
    }

    #[test]
    fn other_fields_have_another_shared_digest() {
        let of = |fields: &[(Field, &str)]| key(fields, &[0; 16]).shared_digest();
        let apart = [
            of(&QUESTION),
            of(&QUESTION[..1]),
            of(&[(Field::Oun, "12"), (Field::Operation, "8POST Products/GetActivePrices")]),
            of(&[(Field::Language, "128"), QUESTION[1]]),
            of(&[QUESTION[0], QUESTION[1], (Field::Body, "")]),
        ];
        for (place, digest) in apart.iter().enumerate() {
            assert!(!apart[..place].contains(digest), "{place}");
        }
    }
}
