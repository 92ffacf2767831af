//! A stored body, plain and compressed.

use std::hash::Hasher;
use std::sync::OnceLock;

use bytes::Bytes;
use http::HeaderValue;
use siphasher::sip128::{Hasher128, SipHasher13};

use super::compressed::Compressed;
use super::{NextLink, SHARED_BYTES};
use crate::allocated::{allocated, allocated_shared};
use crate::answer::pieces::{Layout, Piece, Unfit};
use crate::body::Body;
use crate::caching::accept_encoding::{Coding, Preferences};
use crate::dependency::Id;
use crate::operation::Decomposition;
use crate::written::field_value;

/// A body, plain and compressed.
///
/// A page's `@odata.nextLink` must name the base that the client used, or page 2 goes past the
/// cache. So a body that holds such links is kept as the origin sent it, and the links are spliced
/// on delivery. Compressed forms of such a body exist only where one base is configured for all
/// clients: made for whichever base came first, they would be of no use to the others.
#[derive(Debug)]
pub struct StoredBody {
    pub(super) plain: Bytes,
    /// Of a body that is not sent as it came, what its entity tag is made of.
    pub(super) digest: Option<u128>,
    pub(super) linked: Option<Box<Linked>>,
    pub(super) compressed: Compressed,
    pub(super) layout: OnceLock<Box<Result<Layout, Unfit>>>,
}

/// What is known of a body that holds links.
#[derive(Debug)]
pub(super) struct Linked {
    pub(super) links: Box<[NextLink]>,
    /// The base that all clients use, where there is such a one.
    pub(super) public_root: Option<Box<str>>,
}

impl StoredBody {
    /// A body with its links, and the base that all clients use, where there is such a one.
    pub fn new(plain: Bytes, links: Box<[NextLink]>, public_root: Option<Box<str>>) -> Self {
        let digest = Some(digest_of(&plain));
        let linked = (!links.is_empty()).then(|| Box::new(Linked { links, public_root }));
        let is_compressed = linked.as_ref().is_none_or(|linked| linked.public_root.is_some());
        let compressed =
            if is_compressed { Compressed::of(plain.len()) } else { Compressed::never() };
        Self { plain, digest, linked, compressed, layout: OnceLock::new() }
    }

    /// A piece of an answer, which is sent with others.
    pub fn piece(piece: Piece) -> Self {
        let mut body = Self::new(piece.body, Box::default(), None);
        body.compressed = Compressed::never();
        body.layout = OnceLock::from(Box::new(Ok(piece.layout)));
        body
    }

    /// Where the items of a piece stand, which are of `id`; read once.
    ///
    /// # Errors
    /// [`Unfit`] where it is no piece.
    pub fn layout(&self, decomposition: &Decomposition, id: &Id) -> Result<&Layout, Unfit> {
        let read = || Box::new(Layout::of(&self.plain, decomposition, id));
        (**self.layout.get_or_init(read)).as_ref().map_err(|unfit| *unfit)
    }

    /// Whether it holds links, which are other ones for each base that clients come by.
    pub const fn has_links(&self) -> bool {
        self.linked.is_some()
    }

    /// The plain body as the origin sent it.
    pub const fn kept(&self) -> &Bytes {
        &self.plain
    }

    /// A body that is sent as it came, byte for byte and in the coding that it came in.
    pub fn verbatim(bytes: Bytes) -> Self {
        let (compressed, layout) = (Compressed::never(), OnceLock::new());
        Self { plain: bytes, digest: None, linked: None, compressed, layout }
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
        match &self.linked {
            None => self.plain.clone(),
            Some(linked) => self.spliced(linked, public_root).concat().into(),
        }
    }

    /// The entity tag of the plain body; weak, since the compressed forms share it
    /// (RFC 9110 §8.8.1). `None` where the body is sent as it came, under the origin's own.
    pub fn etag(&self) -> Option<HeaderValue> {
        self.digest.map(weak_etag)
    }

    /// Whether it is sent under an entity tag of ours.
    pub const fn has_etag(&self) -> bool {
        self.digest.is_some()
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
        match &self.linked {
            None => Body::from(self.plain.clone()),
            Some(linked) => Body::chunks(self.spliced(linked, public_root)),
        }
    }

    /// What the compressed forms that were made occupy, in bytes.
    pub fn compressed_bytes(&self) -> usize {
        self.compressed.bytes()
    }

    async fn compress(&self, coding: Coding) -> Option<Bytes> {
        let pieces = || match &self.linked {
            Some(linked) => self.spliced(linked, linked.public_root.as_deref().unwrap_or_default()),
            None => vec![self.plain.clone()],
        };
        self.compressed.form(coding, self.plain.len(), pieces).await
    }

    fn spliced(&self, linked: &Linked, public_root: &str) -> Vec<Bytes> {
        let mut chunks = Vec::with_capacity(linked.links.len() * 2 + 1);
        let mut from = 0;
        for link in &linked.links {
            chunks.push(self.plain.slice(from..link.literal.start));
            chunks.push(Bytes::from(format!("\"{public_root}{}\"", link.rest)));
            from = link.literal.end;
        }
        chunks.push(self.plain.slice(from..));
        chunks
    }

    pub(super) fn bytes(&self) -> usize {
        let links = self.linked.as_ref().map_or(0, |linked| linked.bytes());
        let layout = self.layout.get().and_then(|layout| (**layout).as_ref().ok());
        let layout =
            layout.map_or(0, |layout| allocated(size_of::<Layout>()) + allocated(layout.bytes()));
        let plain = allocated(self.plain.len()) + SHARED_BYTES;
        allocated_shared::<Self>() + layout + plain + self.compressed.bytes() + links
    }
}

impl Linked {
    fn bytes(&self) -> usize {
        let texts: usize = self.links.iter().map(|link| allocated(link.rest.len())).sum();
        let root = self.public_root.as_ref().map_or(0, |root| allocated(root.len()));
        allocated(size_of::<Self>()) + allocated(size_of_val(&*self.links)) + texts + root
    }
}

/// The same on every node and after every start, so that clients keep their 304s.
fn digest_of(body: &[u8]) -> u128 {
    let mut hasher = SipHasher13::new();
    hasher.write(body);
    hasher.finish128().as_u128()
}

/// The entity tag of a body that is put together from pieces with these.
pub fn etag_of(pieces: impl Iterator<Item = HeaderValue>) -> HeaderValue {
    let mut hasher = SipHasher13::new();
    pieces.for_each(|etag| hasher.write(etag.as_bytes()));
    weak_etag(hasher.finish128().as_u128())
}

fn weak_etag(digest: u128) -> HeaderValue {
    let tag = field_value(format_args!("W/\"{digest:032x}\""));
    tag.unwrap_or(HeaderValue::from_static("W/\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caching::accept_encoding::preferences;
    use http::HeaderMap;
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
        assert_eq!(large.form(accepting("identity"), "").await.0, Coding::Identity);
        assert_eq!(large.bytes(), before, "nobody asked for another");
        assert_eq!(large.form(accepting("br, gzip"), "").await.0, Coding::Brotli);
        let with_brotli = large.bytes();
        assert!(with_brotli > before);
        assert_eq!(large.form(accepting("br"), "").await.0, Coding::Brotli);
        assert_eq!(large.bytes(), with_brotli);
        assert_eq!(large.form(accepting("gzip"), "").await.0, Coding::Gzip);
        assert!(large.bytes() > with_brotli);
        let small = StoredBody::new("{}".into(), Box::default(), None);
        assert_eq!(small.form(accepting("br, gzip"), "").await.0, Coding::Identity);
    }

    #[test]
    fn the_entity_tag_follows_the_body() {
        assert_eq!(digest_of(b"a"), digest_of(b"a"));
        assert_ne!(digest_of(b"a"), digest_of(b"b"));
    }
}
