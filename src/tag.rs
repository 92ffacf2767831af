//! What an answer depends on, by name.
//!
//! A tag is what Varnish calls a surrogate key and RFC 9875 a cache group. Its grammar is
//! `class/kind:id`, `class/*` for a whole class, and `*` for everything:
//!
//! | tag | an answer carries it when |
//! |---|---|
//! | `price/product:68719489871` | it tells a price of that product (RecId) |
//! | `price/item:82000` | the same, by item number |
//! | `search/category:5637144576` | it is a search within that category |
//! | `price/customer:?` | it depends on a customer that the exchange does not name |
//! | `price/*` | it depends on prices at all |
//! | `generic/url:/media/a.png` | the catalogue does not know it, and that is its URL |
//! | `generic/group:menus` | its origin put it into that cache group (RFC 9875) |
//!
//! The id `?` means *not known*: an answer whose channel, item, category or customer cannot be
//! told from the exchange carries it, and every purge of that kind reaches it too. So a purge may
//! reach too much, never too little.

use std::fmt;
use std::hash::Hasher;
use std::sync::LazyLock;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use siphasher::sip::SipHasher13;

use crate::allocated::allocated;
use crate::operation::Class;

/// The id of what an exchange does not name.
pub const UNKNOWN_ID: &str = "?";

/// The longest id a tag can carry, in bytes, before encoding. Retail Server's ids are at most 20
/// digits or 60 characters; the rest is room.
pub const MAX_ID_BYTES: usize = 256;

/// What a tag's id is an id of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TagKind {
    /// A product's RecId.
    Product,
    /// An item number; a master and its variants share one.
    Item,
    /// A warehouse, by its InventLocation id.
    Warehouse,
    /// A category's RecId.
    Category,
    /// A channel, by its RecId or its operating unit number.
    Channel,
    /// A catalogue's RecId; 0 is the channel's own assortment.
    Catalog,
    /// A customer's account number.
    Customer,
    /// A price group.
    PriceGroup,
    /// The path and query of what the catalogue does not know.
    Url,
    /// A cache group that the origin named.
    Group,
}

impl TagKind {
    /// Every kind, in the order of their declaration.
    pub const ALL: [Self; 10] = [
        Self::Product,
        Self::Item,
        Self::Warehouse,
        Self::Category,
        Self::Channel,
        Self::Catalog,
        Self::Customer,
        Self::PriceGroup,
        Self::Url,
        Self::Group,
    ];

    /// The kind as it stands in a tag.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Item => "item",
            Self::Warehouse => "warehouse",
            Self::Category => "category",
            Self::Channel => "channel",
            Self::Catalog => "catalog",
            Self::Customer => "customer",
            Self::PriceGroup => "price-group",
            Self::Url => "url",
            Self::Group => "group",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether ids of this kind belong to what the catalogue does not know.
    const fn is_generic(self) -> bool {
        matches!(self, Self::Url | Self::Group)
    }
}

/// One name that an answer depends on and that a purge can name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Box<str>);

/// What stands in a class's place for what the catalogue does not know.
const GENERIC: &str = "generic";

/// What ids must not carry raw: tags are written separated by white space and commas.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b',').add(b'%').add(b'"');

impl Tag {
    /// `class/kind:id`. The id's ASCII letters are folded to lower case, since the databases
    /// behind a CSU compare ids without case; an id that is too long is cut, which can only make
    /// a purge reach more.
    pub fn new(class: Class, kind: TagKind, id: &str) -> Self {
        Self::written(class.as_str(), kind, id)
    }

    /// `generic/url:…`: a path with its query, in its normal form.
    pub fn of_url(target: &str) -> Self {
        Self::written(GENERIC, TagKind::Url, target)
    }

    /// `generic/group:…`: a cache group.
    pub fn of_group(name: &str) -> Self {
        Self::written(GENERIC, TagKind::Group, name)
    }

    /// `generic/*`: all that the catalogue does not know.
    pub fn generic() -> Self {
        Self(format!("{GENERIC}/*").into())
    }

    fn written(class: &str, kind: TagKind, id: &str) -> Self {
        let mut end = id.len().min(MAX_ID_BYTES);
        while !id.is_char_boundary(end) {
            end -= 1;
        }
        let id = id.get(..end).unwrap_or_default();
        // Cache groups are told apart by case (RFC 9875 §2.1).
        let id = match kind {
            TagKind::Group => id.to_owned(),
            _ => id.to_ascii_lowercase(),
        };
        let id = utf8_percent_encode(&id, ESCAPED);
        Self(format!("{class}/{}:{id}", kind.as_str()).into())
    }

    /// `class/kind:?`, carried by what depends on an id that it does not name.
    pub fn unknown(class: Class, kind: TagKind) -> Self {
        Self::new(class, kind, UNKNOWN_ID)
    }

    /// `class/*`.
    pub fn class(class: Class) -> Self {
        Self(format!("{}/*", class.as_str()).into())
    }

    /// `*`, carried by every answer.
    pub fn everything() -> Self {
        Self("*".into())
    }

    /// Reads a tag as operators write it.
    ///
    /// # Errors
    /// Says which part of the grammar `class/kind:id`, `class/*` or `*` is not met.
    pub fn parse(text: &str) -> Result<Self, TagError> {
        if text == "*" {
            return Ok(Self::everything());
        }
        let (class, rest) = text.split_once('/').ok_or(TagError::Shape)?;
        let is_generic = class == GENERIC;
        if !is_generic && Class::parse(class).is_none() {
            return Err(TagError::Class(class.to_owned()));
        }
        if rest == "*" {
            return Ok(Self(text.into()));
        }
        let (kind, id) = rest.split_once(':').ok_or(TagError::Shape)?;
        let kind = TagKind::parse(kind)
            .filter(|kind| kind.is_generic() == is_generic)
            .ok_or_else(|| TagError::Kind(kind.to_owned()))?;
        let id =
            percent_encoding::percent_decode_str(id).decode_utf8().map_err(|_| TagError::Id)?;
        if id.is_empty() || id.len() > MAX_ID_BYTES {
            return Err(TagError::Id);
        }
        Ok(Self::written(class, kind, &id))
    }

    /// Whether it is of what the catalogue does not know.
    pub fn is_generic(&self) -> bool {
        self.0.strip_prefix(GENERIC).is_some_and(|rest| rest.starts_with('/'))
    }

    /// The tag as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number under which purges of this tag are kept.
    pub fn hash(&self) -> TagHash {
        TagHash::of(&self.0)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no tag.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TagError {
    /// Not of the form `class/kind:id`, `class/*` or `*`.
    #[error("a tag is `class/kind:id`, `class/*` or `*`")]
    Shape,
    /// An unknown class.
    #[error("`{0}` is no class of answers")]
    Class(String),
    /// An unknown kind.
    #[error("`{0}` is no kind of id")]
    Kind(String),
    /// An empty, overlong or undecodable id.
    #[error("a tag's id is 1 to {MAX_ID_BYTES} bytes of UTF-8, percent-encoded where needed")]
    Id,
}

/// What tags are digested under: random, so that no client can choose URLs whose tags collide.
static SEED: LazyLock<[u8; 16]> = LazyLock::new(rand::random);

/// A tag's 64-bit digest, which means nothing outside of this process. Two tags that share one are
/// purged together: too much, never too little.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TagHash(u64);

impl TagHash {
    fn of(name: &str) -> Self {
        let mut hasher = SipHasher13::new_with_key(&SEED);
        hasher.write(name.as_bytes());
        Self(hasher.finish())
    }

    /// The digest as a number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// All that one answer depends on: names for people, digests for the check on every read.
#[derive(Clone, Debug)]
pub struct TagSet {
    names: Box<str>,
    hashes: Box<[TagHash]>,
}

impl TagSet {
    /// The tags in use, in order, without repetition.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.split_ascii_whitespace()
    }

    /// The tags in use as one text, which [`TagSet::from_names`] reads.
    pub fn as_str(&self) -> &str {
        &self.names
    }

    /// Reads tags as [`TagSet::as_str`] writes them. `None` where one is no tag or not written as
    /// tags are, or they are not in order, each there once.
    pub fn from_names(names: &str) -> Option<Self> {
        let mut tags = Vec::new();
        for name in names.split(' ').filter(|_| !names.is_empty()) {
            tags.push(Tag::parse(name).ok().filter(|tag| tag.as_str() == name)?);
        }
        tags.is_sorted_by(|a, b| a < b).then(|| tags.into_iter().collect())
    }

    /// The digests, sorted.
    pub fn hashes(&self) -> &[TagHash] {
        &self.hashes
    }

    /// What the set occupies in memory, in bytes.
    pub fn bytes(&self) -> usize {
        allocated(self.names.len()) + allocated(size_of_val(&*self.hashes))
    }
}

impl FromIterator<Tag> for TagSet {
    fn from_iter<I: IntoIterator<Item = Tag>>(tags: I) -> Self {
        let mut tags: Vec<Tag> = tags.into_iter().collect();
        tags.sort_unstable();
        tags.dedup();
        let mut hashes: Vec<TagHash> = tags.iter().map(Tag::hash).collect();
        hashes.sort_unstable_by_key(|hash| hash.0);
        hashes.dedup();
        let names: Vec<&str> = tags.iter().map(Tag::as_str).collect();
        Self { names: names.join(" ").into(), hashes: hashes.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_as_it_is_written() {
        for text in [
            "*",
            "price/*",
            "price/item:82000",
            "search/category:?",
            "price/price-group:vip",
            "generic/*",
            "generic/url:/media/a.png?v=1",
            "generic/group:menus",
        ] {
            assert_eq!(Tag::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn ids_are_folded_and_escaped_so_that_a_list_of_tags_stays_one() {
        let tag = Tag::new(Class::Price, TagKind::Item, "Shoe 9, left");
        assert_eq!(tag.as_str(), "price/item:shoe%209%2C%20left");
        assert_eq!(Tag::parse(tag.as_str()).unwrap(), tag);
    }

    #[test]
    fn what_is_no_tag_is_refused_with_its_reason() {
        assert_eq!(Tag::parse("price"), Err(TagError::Shape));
        assert_eq!(Tag::parse("price/item"), Err(TagError::Shape));
        assert_eq!(Tag::parse("prices/item:1"), Err(TagError::Class("prices".into())));
        assert_eq!(Tag::parse("price/sku:1"), Err(TagError::Kind("sku".into())));
        assert_eq!(Tag::parse("price/url:/a"), Err(TagError::Kind("url".into())));
        assert_eq!(Tag::parse("generic/item:1"), Err(TagError::Kind("item".into())));
        assert_eq!(Tag::parse("price/item:"), Err(TagError::Id));
        assert_eq!(Tag::parse("price/item:%ff"), Err(TagError::Id));
    }

    #[test]
    fn a_digest_is_of_this_process_alone() {
        let mut unkeyed = SipHasher13::new();
        unkeyed.write(b"generic/url:/a");
        assert_eq!(Tag::of_url("/a").hash(), Tag::of_url("/a").hash());
        assert_ne!(Tag::of_url("/a").hash().as_u64(), unkeyed.finish());
    }

    #[test]
    fn a_set_holds_each_tag_once() {
        let set: TagSet =
            ["price/*", "*", "price/*"].into_iter().map(|t| Tag::parse(t).unwrap()).collect();
        assert_eq!(set.names().collect::<Vec<_>>(), ["*", "price/*"]);
        assert_eq!(set.hashes().len(), 2);
    }
}
