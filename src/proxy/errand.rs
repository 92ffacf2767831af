//! From a request to what is to be found out: the errand.
//!
//! What cannot be understood is not guessed. It makes a detour: the request goes to the origin as
//! it came, and the reason is told in `Cache-Status`.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Uri};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::engine::Engine;
use super::forwarded;
use super::identity::{Asker, Unpartitioned};
use super::listed::ListedErrand;
use super::resource::{self, Resource, UnsafeTarget};
use crate::caching::cache_control::RequestDirectives;
use crate::dependency::Id;
use crate::error::ProxyError;
use crate::odata::ResourcePath;
use crate::odata::batch::BatchError;
use crate::operation::Operation;
use crate::origin::RequestBody;
use crate::purge::Strictness;
use crate::question::{Asked, Question, QuestionInput, Unkeyable};
use crate::server::Peer;

/// What a request is about.
#[derive(Clone, Debug)]
pub enum Subject<'u> {
    /// An operation of the catalogue.
    Call(Call<'u>),
    /// A URL that the catalogue does not know, under the policy that stores such.
    Resource,
}

impl Subject<'_> {
    /// The operation, where there is one.
    pub const fn operation(&self) -> Option<&Arc<Operation>> {
        match self {
            Self::Call(call) => Some(&call.operation),
            Self::Resource => None,
        }
    }
}

/// A request that the catalogue knows.
#[derive(Clone, Debug)]
pub struct Call<'u> {
    /// The operation that it calls.
    pub operation: Arc<Operation>,
    /// The path by which it does.
    pub path: ResourcePath<'u>,
}

/// What a request comes to.
#[derive(Clone, Debug)]
pub enum Task {
    /// One answer, kept whole.
    One(Errand),
    /// An answer for a list of things, kept by what it lists.
    Listed(Arc<ListedErrand>),
}

/// What is to be found out. Cloning shares it.
#[derive(Clone, Debug)]
pub enum Errand {
    /// The answer to an operation of the catalogue, whose rules say how long it is good for.
    Operation(Arc<OperationErrand>),
    /// The representation of a URL, whose origin says so by HTTP's rules.
    Resource(Arc<Resource>),
}

/// What is to be found out of an operation, for whom.
#[derive(Debug)]
pub struct OperationErrand {
    /// The operation.
    pub operation: Arc<Operation>,
    /// The question: its key, its canonical form for the origin, the ids that it names.
    pub question: Question,
    /// Who asks.
    pub asker: Asker,
    /// The service root as the client knows it, for links in the answer.
    pub public_root: Box<str>,
    /// What it has to do with a list.
    pub part: Part,
}

/// What an errand has to do with a list of things.
#[derive(Debug)]
pub enum Part {
    /// Nothing.
    None,
    /// It is for this one thing, which was listed.
    Piece(Id),
    /// It is for the whole list: its answer shows how the origin answers such.
    WholeOf(Arc<ListedErrand>),
}

impl Errand {
    /// The operation, where the catalogue knows the request.
    pub fn operation(&self) -> Option<&Arc<Operation>> {
        match self {
            Self::Operation(errand) => Some(&errand.operation),
            Self::Resource(_) => None,
        }
    }

    /// What the client asks of this cache. Of answers by the catalogue it can ask nothing: their
    /// freshness is the operator's to decide, and so is what the origin is asked for.
    pub fn directives(&self) -> RequestDirectives {
        match self {
            Self::Operation(_) => RequestDirectives::default(),
            Self::Resource(resource) => resource.directives,
        }
    }

    /// What its answer is held to where it is not known whether it was purged.
    pub fn strictness(&self) -> Strictness {
        Strictness::of(self.operation().map(|operation| operation.class))
    }

    /// Whether its answer can be for this client alone, so that nobody should wait for it.
    pub fn is_personal(&self) -> bool {
        match self {
            // Whoever asks has a partition of its own.
            Self::Operation(_) => false,
            Self::Resource(resource) => resource.is_personal(),
        }
    }

    /// Whether a fetch that nobody waits for can be made of it: a HEAD's answer renews no body, and
    /// an answer to somebody mostly renews nothing.
    pub fn may_refresh(&self) -> bool {
        match self {
            Self::Operation(_) => true,
            Self::Resource(resource) => {
                resource.method == Method::GET
                    && !resource.facts.no_store
                    && !resource.carries_credentials()
            }
        }
    }

    /// Whether it asks as somebody, under HTTP's own rules; an operation's partition has said so
    /// already.
    pub fn carries_credentials(&self) -> bool {
        match self {
            Self::Operation(_) => false,
            Self::Resource(resource) => resource.carries_credentials(),
        }
    }

    /// The service root as the client knows it; empty where no link in the answer is its.
    pub fn public_root(&self) -> &str {
        match self {
            Self::Operation(errand) => &errand.public_root,
            Self::Resource(_) => "",
        }
    }

    /// Its name in logs.
    pub fn name(&self) -> &str {
        self.operation().map_or("-", |operation| &operation.name)
    }
}

/// Why a request passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detour {
    /// The catalogue does not know it.
    NotInCatalogue,
    /// It carries a point-of-sale device's token.
    DeviceToken,
    /// Its body is past `limits.keyed_body_bytes`.
    BodyTooLarge,
    /// Its credentials have no partition.
    Unpartitioned(Unpartitioned),
    /// Its key cannot be made.
    Unkeyable(Unkeyable),
    /// The catalogue does not know it, and neither its target nor its method is one to store.
    Unsafe(UnsafeTarget),
    /// The catalogue does not know it, and only answers to GET and HEAD are stored.
    Method,
    /// It is a batch that cannot be read with certainty.
    Batch(BatchError),
    /// It is what is left of a batch.
    PartOfBatch,
}

impl Detour {
    /// The reason, for `Cache-Status` details.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotInCatalogue => "not-in-catalogue",
            Self::DeviceToken => "device-token",
            Self::BodyTooLarge => "body-too-large",
            Self::Unpartitioned(reason) => reason.as_str(),
            Self::Unkeyable(reason) => reason.as_str(),
            Self::Unsafe(reason) => reason.as_str(),
            Self::Method => "method",
            Self::Batch(error) => error.as_str(),
            Self::PartOfBatch => "part-of-batch",
        }
    }
}

/// A request that no errand could be made of.
pub(super) enum Unkeyed {
    /// It passes, whole.
    Pass(Box<Request<RequestBody>>, Detour),
    /// It cannot even pass.
    Fail(ProxyError),
}

/// A request whose body was not begun, to be passed.
pub(super) fn whole(request: Request<Incoming>) -> Request<RequestBody> {
    request.map(RequestBody::streamed)
}

impl Unkeyed {
    fn pass(request: Request<RequestBody>, detour: Detour) -> Self {
        Self::Pass(Box::new(request), detour)
    }
}

/// Reads the errand off a request.
pub(super) async fn read(
    engine: &Engine,
    subject: Subject<'_>,
    request: Request<Incoming>,
    peer: Peer,
) -> Result<Task, Unkeyed> {
    let call = match subject {
        Subject::Call(call) => call,
        Subject::Resource => {
            let resource = if request.body().is_end_stream() {
                engine.resource(request.method(), request.uri(), request.headers())
            } else {
                Err(Detour::Unkeyable(Unkeyable::UnexpectedBody))
            };
            return resource
                .map(|resource| Task::One(Errand::Resource(Arc::new(resource))))
                .map_err(|detour| Unkeyed::pass(whole(request), detour));
        }
    };
    let takes_body = call.operation.method == Method::POST;
    if !takes_body && !request.body().is_end_stream() {
        return Err(Unkeyed::pass(whole(request), Detour::Unkeyable(Unkeyable::UnexpectedBody)));
    }
    // Whoever has no partition passes with a body that was never read.
    let asker = match engine.identify(request.headers(), call.operation.identity) {
        Ok(asker) => asker,
        Err(reason) => {
            return Err(Unkeyed::pass(whole(request), Detour::Unpartitioned(reason)));
        }
    };
    let (head, body) = request.into_parts();
    let limits = &engine.config.limits;
    let body = match take(body, limits.keyed_body_bytes, limits.keyed_body_timeout).await {
        Taken::Whole(body) => body,
        Taken::TooLarge { read, rest } => {
            let request = Request::from_parts(head, RequestBody::resumed(joined(read), rest));
            return Err(Unkeyed::pass(request, Detour::BodyTooLarge));
        }
        Taken::Late => return Err(Unkeyed::Fail(ProxyError::RequestTimeout)),
        Taken::Broken => return Err(Unkeyed::Fail(ProxyError::BadRequest)),
    };
    match engine.task(call, &head, &body, asker, peer) {
        Ok(task) => Ok(task),
        Err(detour) => {
            let request = Request::from_parts(head, RequestBody::from(body));
            Err(Unkeyed::pass(request, detour))
        }
    }
}

impl Engine {
    /// A URL that the catalogue does not know.
    ///
    /// # Errors
    /// Says why its answer cannot be stored.
    pub fn resource(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Resource, Detour> {
        let headers = resource::forwarded(headers, &self.config.generic.request_fields);
        let keyed_as = self.generic_keyed_as.as_deref();
        Resource::read(&self.service_root, (method, uri), headers, keyed_as, &self.key_seed)
            .map_err(Detour::Unsafe)
    }

    /// What a request whose body is at hand comes to.
    ///
    /// # Errors
    /// Says why that is nothing that could be stored.
    pub fn task(
        &self,
        call: Call<'_>,
        head: &Parts,
        body: &Bytes,
        asker: Asker,
        peer: Peer,
    ) -> Result<Task, Detour> {
        let Call { operation, path } = call;
        let asked = Asked::read(QuestionInput {
            service_root: &self.service_root,
            operation: &operation,
            path,
            query: head.uri.query(),
            headers: &head.headers,
            body,
            partition: asker.partition,
            rules: &self.config.key,
            now: self.clock.now(),
            key_seed: &self.key_seed,
        })
        .map_err(Detour::Unkeyable)?;
        let public_root = self.public_root(head, peer);
        Ok(match asked {
            Asked::Whole(question) => {
                let part = Part::None;
                let errand = OperationErrand { operation, question, asker, public_root, part };
                Task::One(Errand::Operation(errand.into()))
            }
            Asked::Listed(question) => {
                Task::Listed(ListedErrand { operation, question, asker, public_root }.into())
            }
        })
    }

    /// The service root as the client knows it.
    fn public_root(&self, head: &Parts, peer: Peer) -> Box<str> {
        if let Some(root) = &self.config.storefront.public_root {
            return root.to_string().trim_end_matches('/').into();
        }
        let path = self.service_root.path();
        let root = forwarded::client_root(&self.config.forwarded, peer, head, path);
        root.map_or_else(|| path.into(), Into::into)
    }
}

pub(super) enum Taken {
    Whole(Bytes),
    TooLarge { read: Vec<Bytes>, rest: Incoming },
    Late,
    Broken,
}

/// Reads a body that is to be part of a key.
pub(super) async fn take(mut body: Incoming, limit: usize, within: std::time::Duration) -> Taken {
    if body.is_end_stream() {
        return Taken::Whole(Bytes::new());
    }
    // One that says that it is too large is not even begun.
    if body.size_hint().lower() > limit as u64 {
        return Taken::TooLarge { read: Vec::new(), rest: body };
    }
    let mut read = Vec::new();
    let gather = async {
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            length += data.len();
            read.push(data);
            if length > limit {
                return Ok(false);
            }
        }
        Ok::<_, hyper::Error>(true)
    };
    match tokio::time::timeout(within, gather).await {
        Err(_) => Taken::Late,
        Ok(Err(_)) => Taken::Broken,
        Ok(Ok(false)) => Taken::TooLarge { read, rest: body },
        Ok(Ok(true)) => Taken::Whole(joined(read)),
    }
}

fn joined(mut chunks: Vec<Bytes>) -> Bytes {
    match chunks.len() {
        1 => chunks.pop().unwrap_or_default(),
        _ => chunks.concat().into(),
    }
}
