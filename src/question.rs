//! A request whose answer may be kept, understood: its key, what is sent to the origin for it, and
//! what its answer depends on.
//!
//! The request that is sent is written from what the key holds and from nothing else that could
//! change the answer. So a header, an option or a spelling that is not in the key cannot reach the
//! origin, and what one client adds cannot be stored for another.

mod accept;
mod headers;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use std::sync::Arc;

use crate::cache_key::{CacheKey, CacheKeyBuilder, Field};
use crate::clock::Timestamp;
use crate::config::KeyRules;
use crate::dependency::{Id, Ids, RequestDependencies};
use crate::odata::body::{self, BodyError, BodyRules, Scalar};
use crate::odata::{Arguments, Literal, QueryOptions, ResourcePath, ServiceRoot, UrlError};
use crate::operation::{IdKind, Operation};

use headers::KeyedHeaders;

/// Whose answers a request may be served with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Partition {
    /// Those fetched without credentials.
    Anonymous,
    /// Those fetched with the credentials that have this digest.
    Token([u8; 16]),
}

impl Partition {
    /// As the key holds it and `/explain` shows it. The digest is keyed: it tells no token.
    fn as_key_part(self) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::Token(digest) => format!("token:{:032x}", u128::from_be_bytes(digest)),
        }
    }
}

/// A request that the catalogue knows, taken apart.
#[derive(Clone, Debug)]
pub struct QuestionInput<'a> {
    /// Where the origin's service begins.
    pub service_root: &'a ServiceRoot,
    /// The operation that the path and the method ask for.
    pub operation: &'a Arc<Operation>,
    /// The path below the service root.
    pub path: ResourcePath,
    /// The query as it came.
    pub query: Option<&'a str>,
    /// The header fields as they came.
    pub headers: &'a HeaderMap,
    /// The whole body.
    pub body: &'a [u8],
    /// Whose answers it may be served with.
    pub partition: Partition,
    /// What is left out of the key.
    pub rules: &'a KeyRules,
    /// Our present moment.
    pub now: Timestamp,
    /// The secret under which digests of keys are made.
    pub key_seed: &'a [u8; 16],
}

/// A request understood.
#[derive(Clone, Debug)]
pub struct Question {
    /// What identifies it.
    pub key: CacheKey,
    /// What is sent to the origin for it.
    pub forward: Forward,
    /// The ids that it names.
    pub dependencies: RequestDependencies,
}

/// A request for the origin. The caller adds the credentials of the partition.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The request target, in canonical form.
    pub path_and_query: PathAndQuery,
    /// The header fields that may be sent: those in the key, in canonical form, and those that
    /// only trace.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why a request has no key. It passes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum Unkeyable {
    /// The URL cannot be read with certainty.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The body cannot.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A GET that carries a body, which means nothing that is known.
    #[error("a GET carries a body")]
    UnexpectedBody,
    /// A POST whose body is not plain JSON.
    #[error("the content type is not JSON in UTF-8")]
    ContentType,
    /// A POST whose body is encoded.
    #[error("the body has a content encoding")]
    ContentEncoding,
    /// JSON is not accepted, or with parameters that are not known.
    #[error("JSON is not accepted, or not in a form that is known")]
    Accept,
    /// A header field that selects the answer, given twice.
    #[error("a header field that selects the answer is given twice")]
    RepeatedHeader,
    /// A header field's value that is not visible ASCII, or not of its field's form.
    #[error("a header field's value is not of its field's form")]
    HeaderValue,
    /// Another method is asked for in a header field.
    #[error("a header field asks for another method")]
    MethodOverride,
    /// The URL that would be sent is too long.
    #[error("the canonical URL is too long")]
    TooLong,
}

impl Unkeyable {
    /// The reason as it stands in `Cache-Status` and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Url(error) => error.as_str(),
            Self::Body(error) => error.as_str(),
            Self::UnexpectedBody => "unexpected-body",
            Self::ContentType => "content-type",
            Self::ContentEncoding => "content-encoding",
            Self::Accept => "accept",
            Self::RepeatedHeader => "repeated-header",
            Self::HeaderValue => "header-value",
            Self::MethodOverride => "method-override",
            Self::TooLong => "too-long",
        }
    }
}

impl Question {
    /// Reads a request.
    ///
    /// # Errors
    /// [`Unkeyable`] when anything that could change the answer cannot be read with certainty.
    pub fn read(input: QuestionInput<'_>) -> Result<Self, Unkeyable> {
        let QuestionInput { service_root, operation, mut path, rules, .. } = input;
        if operation.method == Method::GET && !input.body.is_empty() {
            return Err(Unkeyable::UnexpectedBody);
        }
        let mut options = QueryOptions::parse(input.query, &rules.ignored_query_options)?;
        path.resolve_aliases(&mut options)?;
        let headers = headers::read(input.headers, &operation.method, !input.body.is_empty())?;

        let mut named = Named::of(operation);
        named.add_path(&path);
        if let Some(oun) = &headers.oun {
            named.add_text(IdKind::OperatingUnit, oun);
        }
        let body_rules = BodyRules {
            sets: &operation.sets,
            answered_whole: options.answered_whole().min(headers.page_size()),
            now_parameter: operation.now_parameter.as_ref(),
            now: input.now,
            tolerance: rules.active_date_tolerance,
        };
        let body = body::canonicalise(input.body, &body_rules, &mut |member, value| {
            named.add_member(member, value);
        })?;

        let path_and_query =
            service_root.target(&path.target(&options)).ok_or(Unkeyable::TooLong)?;
        let key =
            Key { service_root, operation, path: &path, options: &options, headers: &headers }
                .build(input.partition, &body.canonical)
                .ok_or(Unkeyable::TooLong)?
                .finish(input.key_seed);
        Ok(Self {
            key,
            forward: Forward { path_and_query, headers: headers.forward, body: body.forward },
            dependencies: named.into_dependencies(),
        })
    }

    /// The parts of the key, for `/explain`.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.key
            .fields()
            .map(|(field, value)| (field.as_str(), String::from_utf8_lossy(value).into_owned()))
    }
}

/// The parts of a key that are not the body or the partition.
struct Key<'a> {
    service_root: &'a ServiceRoot,
    operation: &'a Operation,
    path: &'a ResourcePath,
    options: &'a QueryOptions,
    headers: &'a KeyedHeaders,
}

impl Key<'_> {
    /// Ordinary keys fit without growing.
    const CAPACITY: usize = 512;

    fn build(&self, partition: Partition, body: &[u8]) -> Option<CacheKeyBuilder> {
        let Self { service_root, operation, path, options, headers } = self;
        let operation = format!("{} {}", operation.method, operation.name);
        CacheKeyBuilder::with_capacity(Self::CAPACITY + body.len())
            .field(Field::Origin, service_root.to_string().as_bytes())?
            .optional(Field::Oun, headers.oun.as_deref())?
            .optional(Field::Language, headers.language.as_deref())?
            .field(Field::Metadata, headers.accept.as_bytes())?
            .optional(Field::MaxVersion, headers.max_version.as_deref())?
            .optional(Field::Version, headers.version.as_deref())?
            .optional(Field::Prefer, headers.prefer.as_deref())?
            .field(Field::Partition, partition.as_key_part().as_bytes())?
            .field(Field::Operation, operation.as_bytes())?
            .field(Field::Path, path.to_string().as_bytes())?
            .field(Field::Query, options.to_string().as_bytes())?
            .field(Field::Body, body)
    }
}

/// Collects the ids that a request names.
struct Named<'a> {
    operation: &'a Operation,
    ids: Ids,
    covers_descendants: bool,
    names_card: bool,
}

impl<'a> Named<'a> {
    fn of(operation: &'a Operation) -> Self {
        let covers_descendants = operation.covers_descendants;
        Self { operation, ids: Ids::default(), covers_descendants, names_card: false }
    }

    fn add_path(&mut self, path: &ResourcePath) {
        let kind = path.entity_set().and_then(IdKind::of_entity_set);
        match (path.key(), kind) {
            (Arguments::Key(literal), Some(kind)) => self.add_literal(kind, literal),
            (Arguments::Named(parts), Some(kind)) => {
                parts.iter().for_each(|(_, literal)| self.add_literal(kind, literal));
            }
            _ => {}
        }
        if let Arguments::Named(parameters) = path.parameters() {
            for (name, literal) in parameters {
                self.names_card |= is_card(name) && literal.as_str() != "null";
                if let Some(kind) = self.kind_of(name) {
                    self.add_literal(kind, literal);
                }
            }
        }
    }

    fn add_member(&mut self, member: &str, value: Scalar<'_>) {
        match value {
            Scalar::Bool(true) if member.eq_ignore_ascii_case(DESCENDANTS) => {
                self.covers_descendants = true;
            }
            Scalar::Number(text) | Scalar::Text(text) => {
                self.names_card |= is_card(member) && !text.is_empty();
                if let Some(kind) = self.kind_of(member) {
                    self.add_text(kind, text);
                }
            }
            Scalar::Bool(_) | Scalar::Null => {}
        }
    }

    /// `Ids` and `RecordId` are those of the entity set that the operation is bound to.
    fn kind_of(&self, name: &str) -> Option<IdKind> {
        if ["ids", "recordid", "recordids"].iter().any(|own| name.eq_ignore_ascii_case(own)) {
            return self.operation.entity_set().and_then(IdKind::of_entity_set);
        }
        IdKind::of_parameter(name)
    }

    fn add_literal(&mut self, kind: IdKind, literal: &Literal) {
        for text in literal.readings() {
            self.add_text(kind, &text);
        }
    }

    fn add_text(&mut self, kind: IdKind, text: &str) {
        if let Some(id) = Id::of_text(text) {
            self.ids.add(kind, id);
        }
    }

    fn into_dependencies(mut self) -> RequestDependencies {
        self.ids.settle();
        let Self { ids, covers_descendants, names_card, .. } = self;
        RequestDependencies { ids, covers_descendants, names_card }
    }
}

/// The member that widens a category to its descendants.
const DESCENDANTS: &str = "IncludeProductsFromDescendantCategories";

/// Whether a parameter names a loyalty card, and by it a customer who is not named.
fn is_card(name: &str) -> bool {
    ["loyaltyCardId", "loyaltyCardNumber"].iter().any(|card| name.eq_ignore_ascii_case(card))
}
