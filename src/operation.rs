//! The operation catalogue: what this cache may keep, by name, and never by method.

mod built_in;
mod catalogue;
mod class;
mod decomposition;
mod definition;
mod field_path;
mod id_kind;

use std::time::Duration;

use http::Method;

pub use catalogue::{Catalogue, CatalogueError, CatalogueProblem, is_private_set};
pub use class::Class;
pub use decomposition::{DEFAULT_MAX_IDS, Decomposition};
pub use field_path::FieldPath;
pub use id_kind::IdKind;

/// How long an answer may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lifetimes {
    /// Freshness lifetime.
    pub fresh_for: Duration,
    /// How long past it a stale answer may serve while a revalidation runs (RFC 5861 §3).
    pub stale_while_revalidate: Duration,
    /// How long past it a stale answer may serve while the origin fails (RFC 5861 §4).
    pub stale_if_error: Duration,
}

impl Lifetimes {
    /// The whole time for which an answer can serve anything.
    pub fn life(&self) -> Duration {
        self.fresh_for.saturating_add(self.stale_while_revalidate.max(self.stale_if_error))
    }

    /// The same lifetimes, ended after `limit` at the latest.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        let fresh_for = self.fresh_for.min(limit);
        let stale = limit.saturating_sub(fresh_for);
        Self {
            fresh_for,
            stale_while_revalidate: self.stale_while_revalidate.min(stale),
            stale_if_error: self.stale_if_error.min(stale),
        }
    }
}

/// Which partition requests that carry credentials share.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Identity {
    /// None: they pass.
    Bypass,
    /// One for each credential; an answer lives no longer than the token's `exp`.
    Token,
    /// The anonymous one, fetched without credentials: for answers that provably do not depend on
    /// who asks.
    Shared,
}

impl Identity {
    /// The rule as it stands in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Token => "token",
            Self::Shared => "shared",
        }
    }

    /// The rule of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Bypass, Self::Token, Self::Shared].into_iter().find(|rule| rule.as_str() == name)
    }
}

/// One operation whose answers may be kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// The position in [`Catalogue::operations`], for tables of counters.
    pub index: usize,
    /// `EntitySet/Operation`, or the bare name of what stands directly under the service root.
    pub name: Box<str>,
    /// What it is in a key: method, name, and the definition where that is not the built-in one.
    pub keyed_as: Box<str>,
    /// GET for a function or a whole entity set, POST for an action.
    pub method: Method,
    /// What kind of answer it gives.
    pub class: Class,
    /// How long its answers may be used.
    pub lifetimes: Lifetimes,
    /// Which partition requests with credentials share.
    pub identity: Identity,
    /// Body parameters whose list is a set: neither order nor repetition changes the answer, as
    /// long as `$top`, `$skip` or `Prefer` does not cut it.
    pub sets: Box<[FieldPath]>,
    /// The body parameter that clients set to the present moment.
    pub now_parameter: Option<FieldPath>,
    /// What the members `RecordId` of its answer's entities are ids of, where that is known.
    pub records: Option<IdKind>,
    /// Classes of facts that its answers contain beside their own: a purge of one of them reaches
    /// these answers too.
    pub embeds: Box<[Class]>,
    /// Whether an answer with attribute values may show stock levels among them.
    pub inventory_in_attributes: bool,
    /// Whether a category named in the request always stands for its descendants too.
    pub covers_descendants: bool,
    /// How its answer comes apart by what is asked for; `None` where it is kept whole.
    pub decomposition: Option<Decomposition>,
}

impl Operation {
    /// The entity set that it is bound to.
    pub fn entity_set(&self) -> Option<&str> {
        self.name.split_once('/').map(|(entity_set, _)| entity_set)
    }
}
