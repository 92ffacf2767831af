//! A URL that the catalogue does not know, understood: its normal form, which is keyed and sent
//! alike, and the request fields that go with it.
//!
//! The normal form decodes what RFC 3986 §6.2.2 calls equivalent (unreserved characters, the case of
//! hexadecimal digits) and nothing else. What servers are known to read in different ways, such as
//! dot segments, encoded slashes or what is encoded twice, is not normalised and not guessed: such
//! a target passes as it came and is never stored.

mod fields;

use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Uri};
use percent_encoding::percent_decode_str;

use crate::cache_key::{CacheKey, CacheKeyBuilder, Field};
use crate::caching::admission::RequestFacts;
use crate::caching::cache_control::RequestDirectives;
use crate::caching::conditional::has_conditions;
use crate::caching::vary::variant;
use crate::odata::ServiceRoot;
use crate::operation::is_private_set;
use crate::tag::Tag;

use fields::is_of_session;
pub use fields::{forwarded, says_more_than_a_read};

/// Why a target is not stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum UnsafeTarget {
    /// It has a `.` or `..` segment, or one that a server may take for such, perhaps encoded.
    DotSegment,
    /// Its path has an encoded or a backward slash, an encoded percent sign or control character,
    /// an encoding that is none, or one that is not of UTF-8.
    Encoding,
    /// It names what belongs to one customer.
    Private,
    /// It is too long.
    TooLong,
}

impl UnsafeTarget {
    /// The reason, for `Cache-Status` details.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DotSegment => "dot-segment",
            Self::Encoding => "path-encoding",
            Self::Private => "private-set",
            Self::TooLong => "too-long",
        }
    }
}

/// A GET or HEAD of a URL that the catalogue does not know.
#[derive(Clone, Debug)]
pub struct Resource {
    /// GET or HEAD.
    pub method: Method,
    /// The target in its normal form.
    pub target: PathAndQuery,
    /// The fields that go to the origin; variants are told apart by these and by no others.
    pub headers: HeaderMap,
    /// What decides whether the answer may be stored.
    pub facts: RequestFacts,
    /// What the client asks of caches.
    pub directives: RequestDirectives,
    key: CacheKey,
}

impl Resource {
    /// Reads a request: its method, target and the fields that are to go to the origin. `keyed_as`
    /// is what its key says of the rules that its answer is stored by.
    ///
    /// # Errors
    /// Says why its answer cannot be stored.
    pub fn read(
        root: &ServiceRoot,
        (method, uri): (&Method, &Uri),
        headers: HeaderMap,
        keyed_as: Option<&str>,
        key_seed: &[u8; 16],
    ) -> Result<Self, UnsafeTarget> {
        let target = normal_form(uri)?;
        let base = format!("{}://{}", root.scheme(), root.authority());
        let key = CacheKeyBuilder::with_capacity(128 + target.as_str().len())
            .field(Field::Origin, base.as_bytes())
            .and_then(|key| key.optional(Field::Operation, keyed_as))
            .and_then(|key| key.field(Field::Path, target.path().as_bytes()))
            .and_then(|key| key.optional(Field::Query, target.query()))
            .ok_or(UnsafeTarget::TooLong)?
            .finish(key_seed);
        let directives = RequestDirectives::of(&headers);
        let facts = RequestFacts {
            is_authorized: headers.contains_key(http::header::AUTHORIZATION),
            has_cookie: headers.keys().any(is_of_session),
            no_store: directives.no_store,
        };
        Ok(Self { method: method.clone(), target, headers, facts, directives, key })
    }

    /// What identifies the URL, whatever its variant.
    pub const fn key(&self) -> &CacheKey {
        &self.key
    }

    /// What identifies the variant of an answer that varies by these fields (RFC 9111 §4.1).
    pub fn variant_key(&self, names: &[http::HeaderName], key_seed: &[u8; 16]) -> CacheKey {
        if names.is_empty() {
            return self.key.clone();
        }
        self.key.with(Field::Variant, &variant(names, &self.headers), key_seed)
    }

    /// The tag by which the URL is invalidated and purged.
    pub fn tag(&self) -> Tag {
        Tag::of_url(self.target.as_str())
    }

    /// Whether the answer can be for this client alone, so that nobody should wait for it: it asks
    /// for what it has, for a part, or for a head.
    pub fn is_personal(&self) -> bool {
        self.method == Method::HEAD
            || self.facts.no_store
            || self.is_conditional()
            || self.wants_part()
    }

    /// Whether it asks as somebody.
    pub const fn carries_credentials(&self) -> bool {
        self.facts.is_authorized || self.facts.has_cookie
    }

    /// Whether the client says what it has already.
    pub fn is_conditional(&self) -> bool {
        has_conditions(&self.headers)
    }

    /// Whether a part of the representation is asked for.
    pub fn wants_part(&self) -> bool {
        self.method == Method::GET && self.headers.contains_key(http::header::RANGE)
    }
}

/// The tag of another URL of the origin, such as one that an answer's `Location` names.
pub fn tag_of(url: &Uri) -> Option<Tag> {
    normal_form(url).ok().map(|target| Tag::of_url(target.as_str()))
}

/// The target with equivalent spellings made one.
fn normal_form(uri: &Uri) -> Result<PathAndQuery, UnsafeTarget> {
    let path = uri.path();
    for segment in path.split('/') {
        check(segment)?;
    }
    let mut normal = unified(path).ok_or(UnsafeTarget::Encoding)?;
    if let Some(query) = uri.query() {
        normal.push('?');
        normal.push_str(&unified(query).unwrap_or_else(|| query.to_owned()));
    }
    PathAndQuery::try_from(normal).map_err(|_| UnsafeTarget::TooLong)
}

fn check(segment: &str) -> Result<(), UnsafeTarget> {
    let decoded: Vec<u8> = percent_decode_str(segment).collect();
    // Bytes that are not UTF-8 are what overlong slashes and dots hide in.
    let decoded = String::from_utf8(decoded).map_err(|_| UnsafeTarget::Encoding)?;
    if decoded.contains(|c| matches!(c, '/' | '\\' | '%' | '\u{7f}') || c < ' ') {
        return Err(UnsafeTarget::Encoding);
    }
    // Some servers cut a segment at a semicolon before they look at its dots, and dots and spaces
    // off its end.
    let name = decoded.split(';').next().unwrap_or_default().trim();
    if !name.is_empty() && name.trim_end_matches(['.', ' ']).is_empty() {
        return Err(UnsafeTarget::DotSegment);
    }
    // At any other delimiter a server may end the name of a set.
    let ends_name = |c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && !"-._~".contains(c);
    let set = name.split(ends_name).next().unwrap_or_default().trim_end_matches('.');
    if is_private_set(set) || (!set.is_ascii() && is_private_set(&set.to_uppercase())) {
        return Err(UnsafeTarget::Private);
    }
    Ok(())
}

/// Unreserved characters decoded, hexadecimal digits in upper case (RFC 3986 §6.2.2.1, §6.2.2.2).
/// `None` where a percent sign is not followed by two such digits.
fn unified(text: &str) -> Option<String> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut unified = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            unified.push(byte);
            rest = after;
            continue;
        }
        let (digits, after) = after.split_first_chunk::<2>()?;
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let (high, low) = (digit(digits[0])?, digit(digits[1])?);
        match high << 4 | low {
            decoded if decoded.is_ascii_alphanumeric() || b"-._~".contains(&decoded) => {
                unified.push(decoded);
            }
            _ => {
                let upper = |digit: u8| HEX.get(usize::from(digit)).copied().unwrap_or_default();
                unified.extend([b'%', upper(high), upper(low)]);
            }
        }
        rest = after;
    }
    String::from_utf8(unified).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(target: &str) -> Result<String, UnsafeTarget> {
        normal_form(&target.parse().unwrap()).map(|target| target.to_string())
    }

    #[test]
    fn equivalent_spellings_are_one_and_no_others() {
        for (target, expected) in [
            ("/media/a.png", "/media/a.png"),
            ("/%6dedia/a%2Epng", "/media/a.png"),
            ("/a%c3%a9", "/a%C3%A9"),
            ("/a%20b?q=%7e%2f", "/a%20b?q=~%2F"),
            ("/a?", "/a?"),
            ("/a//b;v=1", "/a//b;v=1"),
            ("/A", "/A"),
            ("/a?b=%", "/a?b=%"),
            ("/a+b?c+d", "/a+b?c+d"),
        ] {
            assert_eq!(normal(target).as_deref(), Ok(expected), "{target}");
        }
    }

    #[test]
    fn what_servers_read_in_different_ways_is_not_stored() {
        use UnsafeTarget::{DotSegment, Encoding, Private};
        for (target, reason) in [
            ("/a/../b", DotSegment),
            ("/a/%2e%2E/b", DotSegment),
            ("/a/..;x/b", DotSegment),
            ("/a/.", DotSegment),
            ("/a/.../b", DotSegment),
            ("/a/..%20/b", DotSegment),
            ("/a%2fb", Encoding),
            ("/a%5Cb", Encoding),
            ("/a%252e", Encoding),
            ("/a%00", Encoding),
            ("/a%0d%0ab", Encoding),
            ("/a%zz", Encoding),
            ("/a/%c0%ae%c0%ae/b", Encoding),
            ("/Commerce/Carts('x')/a.css", Private),
            ("/commerce/carts/a.css", Private),
            ("/x/%43ustomers('1')", Private),
            ("/x/Carts;a", Private),
            ("/x/Carts%3Fa", Private),
            ("/x/Carts.", Private),
            ("/x/Cart%C5%BF", Private),
        ] {
            assert_eq!(normal(target), Err(reason), "{target}");
        }
    }
}
