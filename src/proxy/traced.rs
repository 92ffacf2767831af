//! Asking the origin in a trace: each request to it is a span, and carries that span's ids.

use std::borrow::Cow;
use std::sync::Arc;

use opentelemetry::trace::SpanContext;

use super::Proxy;
use super::asking::{Asked, Departing, FetchOrigin, Leave};
use super::flight::Waiter;
use super::witness::Witness;
use crate::clock::Clock;
use crate::traces::{Asking, Leaving, ServedToo, Tracer, Trail};

/// Who asks the origin, for one request or, without a trail, for nobody: then each time is a trace.
pub(super) struct Traced {
    inner: Arc<dyn FetchOrigin>,
    trail: Option<Arc<Trail>>,
    tracer: Arc<Tracer>,
    clock: Clock,
}

impl Traced {
    /// The same fetcher, traced where there are traces.
    pub(super) fn of(
        inner: Arc<dyn FetchOrigin>,
        tracer: Option<&Arc<Tracer>>,
        clock: &Clock,
    ) -> Arc<dyn FetchOrigin> {
        match tracer {
            Some(tracer) => Arc::new(Self {
                inner,
                trail: None,
                tracer: Arc::clone(tracer),
                clock: clock.clone(),
            }),
            None => inner,
        }
    }

    fn asking(&self) -> Asking {
        match &self.trail {
            Some(trail) => Asking::of(trail, &self.clock),
            None => {
                let is_sampled = self.tracer.samples(None);
                Asking::for_nobody(&Trail::new(&self.tracer, None, None, is_sampled), &self.clock)
            }
        }
    }
}

impl FetchOrigin for Traced {
    fn fetch<'a>(&'a self, leave: Leave, departing: Departing<'a>) -> Asked<'a> {
        Box::pin(async move {
            let mut asking = self.asking();
            let departing = Box::new(|| {
                let (purpose, mut request) = departing();
                let served_too = request.extensions_mut().remove::<ServedToo>().unwrap_or_default();
                let (method, target) = (request.method().clone(), request.uri().clone());
                asking.leave(Leaving {
                    purpose: purpose.as_str(),
                    method: &method,
                    target: &target,
                    headers: request.headers_mut(),
                    served_too,
                });
                (purpose, request)
            });
            let answer = self.inner.fetch(leave, departing).await;
            asking.end(answer.as_ref().map(http::Response::status));
            answer
        })
    }

    fn trail(&self) -> Option<&Arc<Trail>> {
        self.trail.as_ref()
    }

    fn for_request(&self, trail: &Arc<Trail>) -> Option<Arc<dyn FetchOrigin>> {
        Some(Arc::new(Self {
            inner: Arc::clone(&self.inner),
            trail: Some(Arc::clone(trail)),
            tracer: Arc::clone(&self.tracer),
            clock: self.clock.clone(),
        }))
    }
}

impl Proxy {
    /// The proxy that asks the origin in this request's trace, if it has one. Made where the origin is
    /// to be asked: a hit needs none.
    pub(super) fn traced(&self, witness: Option<&Witness<'_>>) -> Cow<'_, Self> {
        let fetcher =
            witness.and_then(Witness::trail).and_then(|trail| self.fetcher.for_request(trail));
        match fetcher {
            Some(fetcher) => Cow::Owned(Self { fetcher, ..self.clone() }),
            None => Cow::Borrowed(self),
        }
    }

    /// The request's span, for the spans of others.
    pub(super) fn span(&self) -> Option<SpanContext> {
        self.fetcher.trail().map(|trail| trail.context().clone())
    }

    /// Notes that the request waits for another's fetch.
    pub(super) fn joins(&self, waiter: &Waiter) {
        if let (Some(trail), Some(leader)) = (self.fetcher.trail(), waiter.leader()) {
            trail.has_joined(leader);
        }
    }
}
