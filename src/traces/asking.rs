//! The spans of asking the origin: the wait at the gate, and the request.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use opentelemetry::trace::{SpanContext, SpanKind};

use super::span::{Times, name_of};
use super::{Span, TRACEPARENT, TRACESTATE, Trail, parent_of};
use crate::clock::Clock;
use crate::origin::OriginError;

/// A wait at the gate that is shorter is none: so long takes a lock that is held.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// Requests beside the one that asks whose answers a request to the origin brings, carried with it
/// until it leaves.
#[derive(Clone, Debug, Default)]
pub struct ServedToo(pub Vec<SpanContext>);

/// A request to the origin, from the gate to the head of its answer. Dropped before that, it tells that
/// nobody waited for it.
pub struct Asking {
    trail: Arc<Trail>,
    clock: Clock,
    began: Duration,
    sent: Option<Sent>,
    has_ended: bool,
    /// Whether there is a request above it.
    is_root: bool,
}

struct Sent {
    at: Duration,
    context: SpanContext,
    purpose: &'static str,
    method: Method,
    path: String,
    served_too: Vec<SpanContext>,
}

/// A request that is about to leave.
pub struct Leaving<'r> {
    /// What it is for.
    pub purpose: &'static str,
    /// Its method.
    pub method: &'r Method,
    /// Its target.
    pub target: &'r Uri,
    /// Its fields.
    pub headers: &'r mut HeaderMap,
    /// Others whom its answer is for.
    pub served_too: ServedToo,
}

impl Asking {
    /// It is at the gate, for this request.
    pub fn of(trail: &Arc<Trail>, clock: &Clock) -> Self {
        Self {
            trail: Arc::clone(trail),
            began: clock.monotonic(),
            clock: clock.clone(),
            sent: None,
            has_ended: false,
            is_root: false,
        }
    }

    /// The same, for no request: of a trace that begins with it.
    pub fn for_nobody(trail: &Arc<Trail>, clock: &Clock) -> Self {
        let mut asking = Self::of(trail, clock);
        asking.is_root = true;
        asking
    }

    /// It leaves, and tells the origin who sent it.
    pub fn leave(&mut self, leaving: Leaving<'_>) {
        let Leaving { purpose, method, target, headers, served_too: ServedToo(served_too) } =
            leaving;
        let is_root = self.is_root;
        let context = if is_root { self.trail.context().clone() } else { self.trail.child() };
        set(headers, TRACEPARENT, &parent_of(&context).to_string());
        set(headers, TRACESTATE, &context.trace_state().header());
        let (method, path) = (method.clone(), target.path().to_owned());
        let at = self.clock.monotonic();
        self.sent = Some(Sent { at, context, purpose, method, path, served_too });
    }

    /// It is answered, or will not be.
    pub fn end(mut self, answer: Result<StatusCode, &OriginError>) {
        self.has_ended = true;
        let told = match answer {
            Ok(status) => Told::Status(status),
            Err(OriginError::Shut(shut)) => Told::Failed(shut.reason.as_str()),
            Err(error) => Told::Failed(error.as_str()),
        };
        self.tell(told);
    }

    fn tell(&mut self, told: Told) {
        let now = self.clock.monotonic();
        let (trail, sent) = (Arc::clone(&self.trail), self.sent.take());
        let above = trail.context().span_id();
        let left = sent.as_ref().map_or(now, |sent| sent.at);
        let waited = left.saturating_sub(self.began);
        if waited >= SHORTEST_WAIT || sent.is_none() {
            let times = Times { from: self.began, to: left };
            let context = trail.child();
            let gate =
                Span::new(context, SpanKind::Internal, "gate", times, &self.clock).under(above);
            let gate = match (&sent, &told) {
                (None, Told::Failed(reason)) => gate.failed(*reason),
                _ => gate,
            };
            // Who was not let in is told of by the request; a root has none above it.
            if !self.is_root {
                trail.take(gate, false, false);
            }
        }
        if let Some(sent) = sent {
            self.tell_of(sent, told, now);
        }
    }

    fn tell_of(&self, sent: Sent, told: Told, now: Duration) {
        let tracer = self.trail.tracer();
        let (has_failed, is_slow) =
            (told.has_failed(), now.saturating_sub(sent.at) >= tracer.slow_after);
        let times = Times { from: sent.at, to: now };
        let origin = &tracer.origin;
        let name = name_of(&sent.method);
        let span = Span::new(sent.context, SpanKind::Client, name, times, &self.clock)
            .with_method(&sent.method)
            .with("url.full", [&*origin.base, &*sent.path].concat())
            .with("server.address", origin.host.clone())
            .with("server.port", origin.port)
            .with("csu_edge.purpose", sent.purpose)
            .linked_to(sent.served_too);
        let span = match told {
            Told::Status(status) => {
                let span = span.with("http.response.status_code", i64::from(status.as_u16()));
                let is_error = status.is_client_error() || status.is_server_error();
                if is_error { span.failed(status.as_str().to_owned()) } else { span }
            }
            Told::Failed(reason) => span.failed(reason),
        };
        if self.is_root {
            let is_sampled = self.trail.context().is_sampled();
            self.trail.end(is_sampled || has_failed || is_slow, || span);
        } else {
            let span = span.under(self.trail.context().span_id());
            self.trail.take(span, has_failed, is_slow);
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if !self.has_ended {
            self.tell(Told::Failed("abandoned"));
        }
    }
}

/// What became of a request to the origin.
enum Told {
    Status(StatusCode),
    Failed(&'static str),
}

impl Told {
    /// Whether the origin failed. Whoever left before it answered says nothing of it.
    fn has_failed(&self) -> bool {
        match self {
            Self::Status(status) => status.is_server_error(),
            Self::Failed(reason) => *reason != "abandoned",
        }
    }
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    let name = HeaderName::from_static(name);
    match HeaderValue::from_str(value) {
        Ok(value) if !value.is_empty() => drop(headers.insert(name, value)),
        _ => drop(headers.remove(name)),
    }
}
