//! One answer as it is kept: what it answers, what it depends on, how long it is good for, and its
//! body in the forms that clients ask for.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, StatusCode, Uri};

use crate::allocated::allocated_shared;
use crate::answer;
use crate::cache_key::CacheKey;
use crate::caching::freshness::Freshness;
use crate::odata::ServiceRoot;
use crate::purge::{LastFoundUsable, PurgePlane, PurgeState, Stamp, Strictness};
use crate::tag::TagSet;

mod body;
pub mod codec;
mod compressed;
mod fields;

pub use body::{StoredBody, etag_of};
pub use compressed::in_passing as compressed_in_passing;
pub use fields::StoredFields;

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
    pub fields: StoredFields,
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
    /// The origin's end-to-end fields.
    pub fn headers(&self) -> HeaderMap {
        self.fields.to_map()
    }

    /// Whether a purge reached it since its stamp, as far as this node can tell.
    pub fn purge_state(&self, plane: &PurgePlane, strictness: Strictness) -> PurgeState {
        plane.check(&self.tags, self.stamp, &self.last_found_usable, strictness)
    }

    /// The same answer, good for another while.
    #[must_use]
    pub fn with_freshness(&self, freshness: Freshness) -> Self {
        Self {
            key: self.key.clone(),
            stamp: self.stamp,
            freshness,
            status: self.status,
            fields: self.fields.clone(),
            tags: self.tags.clone(),
            body: Arc::clone(&self.body),
            last_found_usable: LastFoundUsable::default(),
            let_go: LetGo::default(),
        }
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
        allocated_shared::<Self>()
            + self.key.bytes()
            + self.fields.bytes()
            + self.tags.bytes()
            + self.body.bytes()
    }
}

/// What a handle on bytes allocates once it has been shared: a pointer, a length, a count.
const SHARED_BYTES: usize = 32;

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
