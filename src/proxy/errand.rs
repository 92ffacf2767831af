//! From a request to what is to be found out: the errand.
//!
//! What cannot be understood is not guessed. It makes a detour: the request goes to the origin as
//! it came, and the reason is told in `Cache-Status`.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::engine::Engine;
use super::forwarded;
use super::identity::{Asker, Unpartitioned};
use crate::error::ProxyError;
use crate::odata::ResourcePath;
use crate::operation::Operation;
use crate::origin::RequestBody;
use crate::question::{Question, QuestionInput, Unkeyable};
use crate::server::Peer;

/// A request that the catalogue knows.
#[derive(Clone, Debug)]
pub struct Call {
    /// The operation that it calls.
    pub operation: Arc<Operation>,
    /// The path by which it does.
    pub path: ResourcePath,
}

/// What is to be found out, for whom.
#[derive(Debug)]
pub struct Errand {
    /// The operation.
    pub operation: Arc<Operation>,
    /// The question: its key, its canonical form for the origin, the ids that it names.
    pub question: Question,
    /// Who asks.
    pub asker: Asker,
    /// The service root as the client knows it, for links in the answer.
    pub public_root: Box<str>,
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
    call: Call,
    request: Request<Incoming>,
    peer: Peer,
) -> Result<Errand, Unkeyed> {
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
    match engine.errand(call, &head, &body, asker, peer) {
        Ok(errand) => Ok(errand),
        Err(detour) => {
            let request = Request::from_parts(head, RequestBody::from(body));
            Err(Unkeyed::pass(request, detour))
        }
    }
}

impl Engine {
    /// The errand of a request whose body is at hand.
    ///
    /// # Errors
    /// Says why there is none.
    pub fn errand(
        &self,
        call: Call,
        head: &Parts,
        body: &Bytes,
        asker: Asker,
        peer: Peer,
    ) -> Result<Errand, Detour> {
        let Call { operation, path } = call;
        let question = Question::read(QuestionInput {
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
        Ok(Errand { operation, question, asker, public_root })
    }

    /// The service root as the client knows it.
    fn public_root(&self, head: &Parts, peer: Peer) -> Box<str> {
        if let Some(root) = &self.config.storefront.public_root {
            return root.to_string().trim_end_matches('/').into();
        }
        let base = forwarded::client_base(&self.config.forwarded, peer, head).unwrap_or_default();
        format!("{base}{}", self.service_root.path()).into()
    }
}

enum Taken {
    Whole(Bytes),
    TooLarge { read: Vec<Bytes>, rest: Incoming },
    Late,
    Broken,
}

/// Reads a body that is to be part of a key.
async fn take(mut body: Incoming, limit: usize, within: std::time::Duration) -> Taken {
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
