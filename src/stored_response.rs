//! One answer as it is kept: what it answers, what it depends on, how long it is good for, and its
//! body in the forms that clients ask for.

use std::hash::Hasher;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::answer;
use crate::answer::pieces::{Layout, Piece, Unfit};
use crate::body::Body;
use crate::cache_key::CacheKey;
use crate::caching::accept_encoding::{Coding, Preferences};
use crate::caching::freshness::Freshness;
use crate::dependency::Id;
use crate::odata::ServiceRoot;
use crate::operation::Decomposition;
use crate::purge::{LastFoundUsable, PurgePlane, PurgeState, Stamp, Strictness};
use crate::tag::TagSet;

pub mod codec;
mod compressed;

use compressed::Compressed;

pub use compressed::in_passing as compressed_in_passing;

/// A stored response.
#[derive(Debug)]
pub struct StoredResponse {
    /// The whole key, compared on every hit: a digest alone could be made to collide.
    pub key: CacheKey,
    /// The purges that the fetching node had applied before the fetch left for the origin.
    pub stamp: Stamp,
    /// When it came, and how long it is good for.
    pub freshness: Freshness,
    /// The status.
    pub status: StatusCode,
    /// The origin's end-to-end fields, its own validators among them.
    pub headers: HeaderMap,
    /// All that the answer depends on.
    pub tags: TagSet,
    /// The body.
    pub body: Arc<StoredBody>,
    /// Where the purge check left off.
    pub last_found_usable: LastFoundUsable,
    /// Whether the memory tier has let it go.
    pub let_go: LetGo,
}

/// Tells who keeps a stored response beside the memory tier that the tier no longer does.
#[derive(Debug, Default)]
pub struct LetGo(AtomicBool);

impl LetGo {
    /// It was evicted, removed or replaced.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl StoredResponse {
    /// Whether a purge reached it since its stamp, as far as this node can tell.
    pub fn purge_state(&self, plane: &PurgePlane, strictness: Strictness) -> PurgeState {
        plane.check(&self.tags, self.stamp, &self.last_found_usable, strictness)
    }

    /// Whether it came from the origin before the other did.
    pub fn came_before(&self, other: &Self) -> bool {
        self.freshness.received_at < other.freshness.received_at
    }

    /// Whether it is a part of a representation.
    pub fn is_part(&self) -> bool {
        self.status == StatusCode::PARTIAL_CONTENT
    }

    /// What it occupies in memory, in bytes, all told.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.key.bytes()
            + field_bytes(&self.headers)
            + self.tags.bytes()
            + self.body.bytes()
            // Itself, its key, and the two parts of its tags.
            + 4 * ALLOCATION_BYTES
    }
}

/// What an allocation costs beside its bytes: the allocator's own, and what it rounds up.
const ALLOCATION_BYTES: usize = 16;

/// What a handle on bytes allocates once it has been shared.
const SHARED_BYTES: usize = 32;

/// A map has room for more fields than it holds, and an index of them.
fn field_bytes(headers: &HeaderMap) -> usize {
    /// A name, a value, and their links; twice four bytes of the index.
    const PLACE_BYTES: usize = size_of::<HeaderName>() + size_of::<HeaderValue>() + 40;
    let texts: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ALLOCATION_BYTES + SHARED_BYTES)
        .sum();
    texts + headers.capacity() * PLACE_BYTES
}

/// A link to the next page: where its string literal stands in the body, and what follows the
/// origin's service root in it.
#[derive(Clone, Debug)]
pub struct NextLink {
    /// The literal, quotes included.
    pub literal: Range<usize>,
    /// The rest of the link after the service root, as JSON text without quotes.
    pub rest: Box<str>,
}

impl NextLink {
    /// A link that leads below the service root; `None` where it leads elsewhere.
    pub fn below(root: &ServiceRoot, link: &answer::NextLink) -> Option<Self> {
        let url: Uri = link.url.parse().ok()?;
        let authority = url.authority()?;
        let port = |port: Option<u16>, scheme: Option<&str>| {
            port.or(if scheme == Some("https") { Some(443) } else { Some(80) })
        };
        let of_root = root.authority();
        let same_host = authority.host().eq_ignore_ascii_case(of_root.host());
        let same_port = port(authority.port_u16(), url.scheme_str())
            == port(of_root.port_u16(), Some(root.scheme().as_str()));
        // A server behind a TLS terminator may write `http` where clients say `https`.
        let same_default = authority.port().is_none() && of_root.port().is_none();
        root.relative(url.path())?;
        if !same_host || !(same_port || same_default) {
            return None;
        }
        let root_len =
            url.scheme_str()?.len() + "://".len() + authority.as_str().len() + root.path().len();
        let rest = serde_json::to_string(link.url.get(root_len..)?).ok()?;
        let rest = rest.strip_prefix('"')?.strip_suffix('"')?;
        Some(Self { literal: link.literal.clone(), rest: rest.into() })
    }
}

/// A body, plain and compressed.
///
/// A page's `@odata.nextLink` must name the base that the client used, or page 2 goes past the
/// cache. So a body that holds such links is kept as the origin sent it, and the links are spliced
/// on delivery. Compressed forms of such a body exist only where one base is configured for all
/// clients: made for whichever base came first, they would be of no use to the others.
#[derive(Debug)]
pub struct StoredBody {
    plain: Bytes,
    links: Box<[NextLink]>,
    etag: Option<HeaderValue>,
    public_root: Option<Box<str>>,
    compressed: Compressed,
    layout: OnceLock<Result<Layout, Unfit>>,
}

impl StoredBody {
    /// A body with its links, and the base that all clients use, where there is such a one.
    pub fn new(plain: Bytes, links: Box<[NextLink]>, public_root: Option<Box<str>>) -> Self {
        let etag = Some(weak_etag(&plain));
        let (compressed, layout) = (Compressed::default(), OnceLock::new());
        Self { plain, links, etag, public_root, compressed, layout }
    }

    /// A piece of an answer, which is sent with others.
    pub fn piece(piece: Piece) -> Self {
        let mut body = Self::new(piece.body, Box::default(), None);
        body.compressed = Compressed::never();
        body.layout = OnceLock::from(Ok(piece.layout));
        body
    }

    /// Where the items of a piece stand, which are of `id`; read once.
    ///
    /// # Errors
    /// [`Unfit`] where it is no piece.
    pub fn layout(&self, decomposition: &Decomposition, id: &Id) -> Result<&Layout, Unfit> {
        let read = || Layout::of(&self.plain, decomposition, id);
        self.layout.get_or_init(read).as_ref().map_err(|unfit| *unfit)
    }

    /// Whether it holds links, which are other ones for each base that clients come by.
    pub const fn has_links(&self) -> bool {
        !self.links.is_empty()
    }

    /// The plain body as the origin sent it.
    pub const fn kept(&self) -> &Bytes {
        &self.plain
    }

    /// A body that is sent as it came, byte for byte and in the coding that it came in.
    pub fn verbatim(bytes: Bytes) -> Self {
        let (compressed, layout) = (Compressed::never(), OnceLock::new());
        let links = Box::default();
        Self { plain: bytes, links, etag: None, public_root: None, compressed, layout }
    }

    /// The length of the plain body, as the origin sent it.
    pub fn len(&self) -> usize {
        self.plain.len()
    }

    /// Whether the body has no bytes.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty()
    }

    /// The plain body in one piece, for a client that came by `public_root`.
    pub fn plain(&self, public_root: &str) -> Bytes {
        match self.links.is_empty() {
            true => self.plain.clone(),
            false => self.spliced(public_root).concat().into(),
        }
    }

    /// The entity tag of the plain body; weak, since the compressed forms share it
    /// (RFC 9110 §8.8.1). `None` where the body is sent as it came, under the origin's own.
    pub const fn etag(&self) -> Option<&HeaderValue> {
        self.etag.as_ref()
    }

    /// The best form for a client that came by `public_root`.
    pub async fn form(&self, preferences: Preferences, public_root: &str) -> (Coding, Body) {
        for coding in preferences.compressed() {
            if let Some(body) = self.compress(coding).await {
                return (coding, Body::from(body));
            }
        }
        (Coding::Identity, self.identity(public_root))
    }

    /// The plain body for a client that came by `public_root`.
    pub fn identity(&self, public_root: &str) -> Body {
        match self.links.is_empty() {
            true => Body::from(self.plain.clone()),
            false => Body::chunks(self.spliced(public_root)),
        }
    }

    /// Makes the compressed forms that are worth their bytes.
    pub async fn compress_all(&self) {
        self.compress(Coding::Gzip).await;
        self.compress(Coding::Brotli).await;
    }

    async fn compress(&self, coding: Coding) -> Option<Bytes> {
        let pieces = || match &self.public_root {
            Some(root) => self.spliced(root),
            None => vec![self.plain.clone()],
        };
        if !self.links.is_empty() && self.public_root.is_none() {
            return None;
        }
        self.compressed.form(coding, self.plain.len(), pieces).await
    }

    fn spliced(&self, public_root: &str) -> Vec<Bytes> {
        let mut chunks = Vec::with_capacity(self.links.len() * 2 + 1);
        let mut from = 0;
        for link in &self.links {
            chunks.push(self.plain.slice(from..link.literal.start));
            chunks.push(Bytes::from(format!("\"{public_root}{}\"", link.rest)));
            from = link.literal.end;
        }
        chunks.push(self.plain.slice(from..));
        chunks
    }

    fn bytes(&self) -> usize {
        let links: usize =
            self.links.iter().map(|link| size_of::<NextLink>() + link.rest.len()).sum();
        let etag = self.etag.as_ref().map_or(0, HeaderValue::len);
        let own = size_of::<Self>() + 2 * ALLOCATION_BYTES + SHARED_BYTES;
        let layout = self.layout.get().and_then(|layout| layout.as_ref().ok());
        let own = own + layout.map_or(0, Layout::bytes);
        own + self.plain.len() + self.compressed.bytes() + etag + links
    }
}

/// The same on every node and after every start, so that clients keep their 304s.
fn weak_etag(body: &[u8]) -> HeaderValue {
    let mut hasher = SipHasher13::new();
    hasher.write(body);
    tag_of(&hasher)
}

/// The entity tag of a body that is put together from pieces with these.
pub fn etag_of<'t>(pieces: impl Iterator<Item = &'t HeaderValue>) -> HeaderValue {
    let mut hasher = SipHasher13::new();
    pieces.for_each(|etag| hasher.write(etag.as_bytes()));
    tag_of(&hasher)
}

fn tag_of(hasher: &SipHasher13) -> HeaderValue {
    let tag = format!("W/\"{:032x}\"", hasher.finish128().as_u128());
    HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("W/\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caching::accept_encoding::preferences;
    use http::header::ACCEPT_ENCODING;
    use http_body_util::BodyExt;
    use std::io::Read;

    fn accepting(field: &'static str) -> Preferences {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(field));
        preferences(&headers)
    }

    fn page(public_root: Option<&str>) -> StoredBody {
        let plain = format!(
            r#"{{"value":[{}],"@odata.nextLink":"https://origin/Commerce/Products?$skip=2"}}"#,
            "1,".repeat(2_000) + "1"
        );
        let start = plain.find("\"https").unwrap();
        let link = NextLink { literal: start..plain.len() - 1, rest: "/Products?$skip=2".into() };
        StoredBody::new(plain.into(), Box::new([link]), public_root.map(Into::into))
    }

    async fn text(body: Body) -> String {
        String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_next_link_names_the_base_that_each_client_used() {
        for root in ["http://127.0.0.1:8080/Commerce", "https://other/Commerce"] {
            let (coding, body) = page(None).form(accepting("gzip"), root).await;
            assert_eq!(coding, Coding::Identity);
            let link = format!(r#""@odata.nextLink":"{root}/Products?$skip=2"}}"#);
            assert!(text(body).await.ends_with(&link));
        }
    }

    #[tokio::test]
    async fn a_page_is_compressed_where_all_clients_use_one_base() {
        let root = "https://shop/Commerce";
        let (coding, body) = page(Some(root)).form(accepting("gzip"), root).await;
        assert_eq!(coding, Coding::Gzip);
        let mut unzipped = String::new();
        let zipped = body.collect().await.unwrap().to_bytes();
        flate2::read::GzDecoder::new(&zipped[..]).read_to_string(&mut unzipped).unwrap();
        assert!(
            unzipped.ends_with(r#""@odata.nextLink":"https://shop/Commerce/Products?$skip=2"}"#)
        );
    }

    #[tokio::test]
    async fn compressed_forms_are_made_once_and_only_where_they_are_worth_it() {
        let large = StoredBody::new("a".repeat(10_000).into(), Box::default(), None);
        let before = large.bytes();
        large.compress_all().await;
        assert!(large.bytes() > before);
        assert_eq!(large.form(accepting("br, gzip"), "").await.0, Coding::Brotli);
        let small = StoredBody::new("{}".into(), Box::default(), None);
        assert_eq!(small.form(accepting("br, gzip"), "").await.0, Coding::Identity);
    }

    #[test]
    fn the_entity_tag_follows_the_body() {
        assert_eq!(weak_etag(b"a"), weak_etag(b"a"));
        assert_ne!(weak_etag(b"a"), weak_etag(b"b"));
    }
}
