//! A request whose answer may be kept, understood: its key, what is sent to the origin for it, and
//! what its answer depends on.
//!
//! The request that is sent is written from what the key holds and from nothing else that could
//! change the answer. So a header, an option or a spelling that is not in the key cannot reach the
//! origin, and what one client adds cannot be stored for another.

mod accept;
mod headers;
mod listed;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method};
use std::fmt;
use std::sync::Arc;

use crate::cache_key::{CacheKey, CacheKeyBuilder, Field};
use crate::clock::Timestamp;
use crate::config::KeyRules;
use crate::dependency::{Id, Ids, RequestDependencies};
use crate::odata::body::{self, BodyError, BodyRules, CanonicalBody, Scalar, Seen};
use crate::odata::{Arguments, Literal, QueryOptions, ResourcePath, ServiceRoot, UrlError};
use crate::operation::{FieldPath, IdKind, Operation};

use headers::KeyedHeaders;

pub use listed::{ListedQuestion, Unit};

/// Whose answers a request may be served with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Partition {
    /// Those fetched without credentials.
    Anonymous,
    /// Those fetched with the credentials that have this digest.
    Token([u8; 16]),
}

/// As the key holds it and `/explain` shows it. The digest is keyed: it tells no token.
impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Token(digest) => write!(f, "token:{:032x}", u128::from_be_bytes(*digest)),
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
    pub path: ResourcePath<'a>,
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
    /// Whether the same request, later, is another question.
    pub is_of_now: bool,
}

/// A request for the origin. The caller adds the credentials of the partition.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The request target, in canonical form.
    pub path_and_query: PathAndQuery,
    headers: KeyedHeaders,
    /// The body.
    pub body: Bytes,
}

impl Forward {
    /// The header fields that may be sent: those in the key, in canonical form, and those that
    /// only trace.
    pub fn headers(&self) -> HeaderMap {
        self.headers.to_map()
    }
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

/// A request understood, whole or by what it lists.
#[derive(Clone, Debug)]
pub enum Asked {
    /// One question.
    Whole(Question),
    /// A question for a list of things each of which is answered by itself.
    Listed(ListedQuestion),
}

impl Asked {
    /// Reads a request.
    ///
    /// # Errors
    /// [`Unkeyable`] when anything that could change the answer cannot be read with certainty.
    pub fn read(input: QuestionInput<'_>) -> Result<Self, Unkeyable> {
        let reading = Reading::of(input)?;
        let decomposition = reading.input.operation.decomposition.as_ref();
        let prefer = reading.headers.prefer.as_ref();
        let answered_whole = reading.answered_whole();
        let max_items = decomposition.and_then(|decomposition| {
            listed::max_items(&reading.options, decomposition, prefer, answered_whole)
        });
        // Where it stays whole, too, the answer shows in which order it was asked for, and how often.
        let (mut body, named) =
            reading.body(decomposition.map(|decomposition| &decomposition.list))?;
        if let (Some(decomposition), Some(max_items)) = (decomposition, max_items)
            && let Some(list) = &mut body.list
            && let Some(units) = listed::units(std::mem::take(&mut list.elements), decomposition)
            // Of as many as can be shown it could not be told whether they are all.
            && units.len() < max_items
            && let Some(list) = body.list.take()
        {
            let stem = reading.key(&list.canonical_rest)?.stem(reading.input.key_seed);
            let rest = listed::Rest {
                operation: reading.input.operation,
                stem,
                max_items,
                path_and_query: reading.path_and_query()?,
                headers: reading.headers,
                dependencies: named.beside_list(),
                is_of_now: body.is_of_now,
            };
            return Ok(Self::Listed(ListedQuestion::new(rest, units, list)));
        }
        reading.whole(body, named).map(Self::Whole)
    }
}

impl Question {
    /// Reads a request whose answer is kept whole.
    ///
    /// # Errors
    /// As [`Asked::read`].
    pub fn read(input: QuestionInput<'_>) -> Result<Self, Unkeyable> {
        let reading = Reading::of(input)?;
        let (body, named) = reading.body(None)?;
        reading.whole(body, named)
    }

    /// The parts of the key, for `/explain`.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.key
            .fields()
            .map(|(field, value)| (field.as_str(), String::from_utf8_lossy(value).into_owned()))
    }
}

/// A request of which all but the body is read.
struct Reading<'a> {
    input: QuestionInput<'a>,
    options: QueryOptions<'a>,
    headers: KeyedHeaders,
}

impl<'a> Reading<'a> {
    /// Ordinary keys fit without growing.
    const CAPACITY: usize = 512;

    fn of(mut input: QuestionInput<'a>) -> Result<Self, Unkeyable> {
        let method = &input.operation.method;
        let has_body = !input.body.is_empty();
        if *method == Method::GET && has_body {
            return Err(Unkeyable::UnexpectedBody);
        }
        let mut options = QueryOptions::parse(input.query, &input.rules.ignored_query_options)?;
        input.path.resolve_aliases(&mut options)?;
        let headers = headers::read(input.headers, method, has_body)?;
        Ok(Self { input, options, headers })
    }

    /// How many things asked for by a list of them are answered whole.
    fn answered_whole(&self) -> usize {
        self.options.answered_whole().min(self.headers.page_size())
    }

    /// The body, and all that the request names.
    fn body(&self, list: Option<&FieldPath>) -> Result<(CanonicalBody, Named<'a>), Unkeyable> {
        let QuestionInput { operation, path, rules, now, body, .. } = &self.input;
        let mut named = Named::of(operation);
        named.add_path(path);
        if let Some(Ok(oun)) = self.headers.oun.as_ref().map(HeaderValue::to_str) {
            named.add_text(IdKind::OperatingUnit, oun);
        }
        let body_rules = BodyRules {
            sets: &operation.sets,
            answered_whole: self.answered_whole(),
            list,
            now_parameter: operation.now_parameter.as_ref(),
            now: *now,
            tolerance: rules.active_date_tolerance,
        };
        let body = body::canonicalise(body, &body_rules, &mut |seen| named.add_seen(seen))?;
        Ok((body, named))
    }

    fn whole(self, body: CanonicalBody, named: Named<'_>) -> Result<Question, Unkeyable> {
        Ok(Question {
            key: self.key(&body.canonical)?.finish(self.input.key_seed),
            forward: Forward {
                path_and_query: self.path_and_query()?,
                headers: self.headers,
                body: body.forward,
            },
            dependencies: named.into_dependencies(),
            is_of_now: body.is_of_now,
        })
    }

    fn path_and_query(&self) -> Result<PathAndQuery, Unkeyable> {
        let QuestionInput { service_root, path, .. } = &self.input;
        service_root.target(path.target(&self.options)).ok_or(Unkeyable::TooLong)
    }

    fn key(&self, body: &[u8]) -> Result<CacheKeyBuilder, Unkeyable> {
        self.key_with(body).ok_or(Unkeyable::TooLong)
    }

    fn key_with(&self, body: &[u8]) -> Option<CacheKeyBuilder> {
        let Self { input, options, headers } = self;
        let QuestionInput { service_root, operation, path, partition, .. } = input;
        CacheKeyBuilder::with_capacity(Self::CAPACITY + body.len())
            .text(Field::Origin, service_root)?
            .optional(Field::Oun, headers.oun.as_ref())?
            .optional(Field::Language, headers.language.as_ref())?
            .text(Field::Metadata, headers.accept)?
            .optional(Field::MaxVersion, headers.max_version.as_ref())?
            .optional(Field::Version, headers.version.as_ref())?
            .optional(Field::Prefer, headers.prefer.as_ref())?
            .text(Field::Partition, partition)?
            .text(Field::Operation, &operation.keyed_as)?
            .text(Field::Path, path)?
            .text(Field::Query, options)?
            .field(Field::Body, body)
    }
}

/// Collects the ids that a request names.
struct Named<'a> {
    operation: &'a Operation,
    ids: Ids,
    /// Those in the list that is told beside the body.
    listed: Ids,
    covers_descendants: bool,
    names_card: bool,
}

impl<'a> Named<'a> {
    fn of(operation: &'a Operation) -> Self {
        let covers_descendants = operation.covers_descendants;
        let known = RequestDependencies { covers_descendants, ..RequestDependencies::default() };
        Self::continued(operation, known)
    }

    /// With what is known to be named already.
    fn continued(operation: &'a Operation, known: RequestDependencies) -> Self {
        let RequestDependencies { ids, covers_descendants, names_card } = known;
        Self { operation, ids, listed: Ids::default(), covers_descendants, names_card }
    }

    fn add_path(&mut self, path: &ResourcePath<'_>) {
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

    fn add_seen(&mut self, Seen { member, value, in_list }: Seen<'_>) {
        match value {
            Scalar::Bool(true) if member.eq_ignore_ascii_case(DESCENDANTS) => {
                self.covers_descendants = true;
            }
            Scalar::Number(text) | Scalar::Text(text) => {
                self.names_card |= is_card(member) && !text.is_empty();
                if let (Some(kind), Some(id)) = (self.kind_of(member), Id::of_text(text)) {
                    let ids = if in_list { &mut self.listed } else { &mut self.ids };
                    ids.add(kind, id);
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

    fn add_literal(&mut self, kind: IdKind, literal: &Literal<'_>) {
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
        self.ids.extend(std::mem::take(&mut self.listed));
        self.beside_list()
    }

    fn beside_list(mut self) -> RequestDependencies {
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
