//! Passing: the request streams to the origin and the answer streams back, both with
//! back-pressure. Nothing is buffered, keyed or stored, and every end-to-end field goes through.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, EXPECT};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::asking::Purpose;
use super::cache_status::{CACHE_STATUS, CacheStatus, Forwarded};
use super::counts::Served;
use super::errand::Detour;
use super::{Answered, Engine, Proxy, failed, fields, forwarded};
use crate::body::{Body, BodyError};
use crate::config;
use crate::error::ProxyError;
use crate::operation::{Operation, is_private_set};
use crate::origin::gate::{Admission, Patience, Shut};
use crate::origin::{Go, OriginClient, OriginError, RequestBody};
use crate::server::Peer;
use crate::traces::{Asking, Leaving, ServedToo};

/// What may be asked of a gateway (RFC 9110 §15.5.6).
const ALLOWED: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// What is answered without asking anyone: CONNECT and TRACE are not for a gateway, and `OPTIONS *`
/// asks about this node itself (RFC 9110 §9.3.6–9.3.8).
pub fn answer_here<B>(request: &Request<B>) -> Option<Response<Body>> {
    match *request.method() {
        Method::CONNECT | Method::TRACE => {
            let mut response: Response<Body> = ProxyError::MethodNotAllowed.response();
            response.headers_mut().insert(ALLOW, ALLOWED);
            Some(response)
        }
        Method::OPTIONS if request.uri().path() == "*" => {
            let mut response = Response::new(Body::Empty);
            *response.status_mut() = StatusCode::NO_CONTENT;
            Some(response)
        }
        _ => None,
    }
}

impl Engine {
    /// Lets a request that passes to the origin: a read when its turn comes, anything that may change
    /// something at once.
    ///
    /// # Errors
    /// The gate is shut for reads.
    pub(super) async fn admit_passing<B>(
        &self,
        request: &Request<B>,
        operation: Option<&Operation>,
    ) -> Result<Admission, Shut> {
        let below = self.service_root.relative(request.uri().path());
        let is_device = request.headers().contains_key(super::DEVICE_TOKEN);
        match !is_device && is_read(request.method(), below, operation) {
            true => self.gate.enter(Patience::Waits).await,
            false => Ok(self.gate.enter_write()),
        }
    }
}

impl Proxy {
    /// Streams the request to the origin and the answer back.
    pub(super) async fn pass(
        &self,
        request: Request<RequestBody>,
        peer: Peer,
        operation: Option<Arc<Operation>>,
        detour: Detour,
    ) -> Answered {
        let forwarded = &self.engine.config.forwarded;
        let bypass = match detour {
            Detour::Method => CacheStatus::forwarded(Forwarded::Method),
            _ => CacheStatus::forwarded(Forwarded::Bypass).with_detail(detour.as_str()),
        };
        let mut request = request;
        let trail = self.fetcher.trail();
        let mut asking = trail.map(|trail| Asking::of(trail, &self.engine.clock));
        let admission = match self.engine.admit_passing(&request, operation.as_deref()).await {
            Ok(admission) => admission,
            Err(shut) => {
                if let Some(asking) = asking {
                    asking.end(Err(&OriginError::from(shut)));
                }
                return failed(operation, shut.into(), bypass);
            }
        };
        if let Some(asking) = &mut asking {
            leave_in_trace(asking, &mut request);
        }
        let class = operation.as_deref().map(|operation| operation.class);
        let write = self.engine.write(&request);
        let passing = pass(&self.origin, forwarded, peer, request);
        let answer = self.engine.asking(Purpose::Pass, class, admission, passing).await;
        if let Some(asking) = asking {
            asking.end(answer.as_ref().map(Response::status));
        }
        let mut response = match answer {
            Ok(response) => response,
            Err(error) => {
                let source = error.source().map(ToString::to_string);
                tracing::info!(%error, source, "a request could not be passed");
                return failed(operation, ProxyError::from(&error), bypass);
            }
        };
        if let Some(write) = write {
            response = match self.engine.settle(write, response).await {
                Ok(response) => response,
                Err(error) => {
                    tracing::info!(%error, "the origin's answer broke off");
                    return failed(operation, ProxyError::OriginBroken, bypass);
                }
            };
        }
        response.headers_mut().append(CACHE_STATUS, bypass.to_value());
        Answered::new(response, operation, Served::Pass)
    }
}

/// Tells the origin who sent the request: in place of what its client said of itself.
fn leave_in_trace<B>(asking: &mut Asking, request: &mut Request<B>) {
    let (method, target) = (request.method().clone(), request.uri().clone());
    asking.leave(Leaving {
        purpose: Purpose::Pass.as_str(),
        method: &method,
        target: &target,
        headers: request.headers_mut(),
        served_too: ServedToo::default(),
    });
}

/// Whether a request is known to change nothing. Not every GET is safe: of what belongs to one
/// customer, some functions write.
fn is_read(method: &Method, below_root: Option<&str>, operation: Option<&Operation>) -> bool {
    let set = below_root.unwrap_or_default().split(['/', '(']).find(|name| !name.is_empty());
    let is_safe = matches!(*method, Method::GET | Method::HEAD);
    operation.is_some() || is_safe && !set.is_some_and(is_private_set)
}

/// Makes a client's request fit to be sent on: the fields of its connection go, those of the
/// gateway come.
fn prepare<B>(rules: &config::Forwarded, peer: Peer, request: Request<B>) -> Request<B> {
    let (mut parts, body) = request.into_parts();
    fields::remove_hop_by_hop(&mut parts.headers);
    fields::join_cookies(&mut parts.headers);
    forwarded::apply(rules, peer, &mut parts);
    fields::add_via(parts.version, &mut parts.headers);
    Request::from_parts(parts, body)
}

/// Passes a request and streams its answer.
///
/// A client that goes away drops the returned future or the response's body, which closes the
/// exchange with the origin. An answer that breaks off, or that stands still for longer than
/// `stall_timeout` while the client would take more, ends in an error of the body, so that the
/// client's connection is aborted and a part is never taken for the whole.
///
/// # Errors
/// Where the origin did not answer.
pub async fn pass(
    origin: &OriginClient,
    rules: &config::Forwarded,
    peer: Peer,
    request: Request<RequestBody>,
) -> Result<Response<Body>, OriginError> {
    let mut request = prepare(rules, peer, request);
    // Dropped together with this future or with the answer's body, whichever is the last.
    let expectation = Expectation(hold_back(&mut request));
    let response = origin.send(request).await?;
    let (mut parts, incoming) = response.into_parts();
    fields::remove_hop_by_hop(&mut parts.headers);
    let body = if incoming.is_end_stream() {
        Body::Incoming(incoming)
    } else {
        Body::boxed(Passing {
            incoming,
            stall_timeout: origin.stall_timeout(),
            stalled: None,
            _expectation: expectation,
        })
    };
    Ok(Response::from_parts(parts, body))
}

/// RFC 9110 §10.1.1: a client that asked first is told 100 only when the origin said it, or after
/// a bounded wait.
fn hold_back(request: &mut Request<RequestBody>) -> Option<Arc<Go>> {
    let expects = request
        .headers()
        .get(EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if !expects {
        return None;
    }
    let Some(go) = request.body_mut().hold() else {
        // The client has its 100 already, or has nothing to send.
        request.headers_mut().remove(EXPECT);
        return None;
    };
    let on_100 = Arc::clone(&go);
    hyper::ext::on_informational(request, move |response| {
        if response.status() == StatusCode::CONTINUE {
            on_100.send();
        }
    });
    Some(go)
}

/// Refuses a body that was never asked for once the exchange is over.
struct Expectation(Option<Arc<Go>>);

impl Drop for Expectation {
    fn drop(&mut self) {
        if let Some(go) = &self.0 {
            go.refuse();
        }
    }
}

/// An answer on its way from the origin.
struct Passing {
    incoming: Incoming,
    stall_timeout: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    _expectation: Expectation,
}

impl http_body::Body for Passing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) {
            this.stalled = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)));
        }
        let limit = this.stall_timeout;
        let stalled = this.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        stalled.as_mut().poll(cx).map(|()| Some(Err(BodyError::Stalled)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
