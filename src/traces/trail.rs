//! A request's place in its trace, for whatever is done for it.

use std::sync::Arc;

use opentelemetry::trace::{SpanContext, SpanId, TraceState};
use parking_lot::Mutex;

use super::{Dropped, Span, TraceParent, Tracer, context_of, new_context};

/// Spans that are kept of what is done for one request: a `$batch` may ask the origin a hundred times.
const MAX_SPANS: usize = 128;

/// What vendors may have of a trace, in bytes, to be sent on (W3C Trace Context §3.3.1.5): more could
/// make an origin refuse what others wait for too.
const MAX_STATE_BYTES: usize = 512;

/// The requests that are told of as those that a request has joined.
const MAX_LINKS: usize = 32;

/// A request's place in its trace. What is done for it may outlive it.
pub struct Trail {
    tracer: Arc<Tracer>,
    context: SpanContext,
    parent: Option<SpanId>,
    state: Mutex<State>,
}

enum State {
    /// Whether it is worth keeping is not known.
    Open { spans: Vec<Span>, links: Vec<SpanContext>, has_failed: bool },
    /// It has ended, and its span is kept or is not.
    Ended { is_kept: bool },
}

impl Trail {
    /// One that goes on where the sender of a message is, or begins.
    pub fn new(
        tracer: &Arc<Tracer>,
        parent: Option<&TraceParent>,
        state: Option<&str>,
        is_sampled: bool,
    ) -> Arc<Self> {
        let parent = parent.map(context_of);
        // Without a parent that is known, what vendors say of it means nothing.
        let state = parent.as_ref().and(state).filter(|state| state.len() <= MAX_STATE_BYTES);
        let state = state.and_then(|state| state.parse().ok());
        let trace_id = parent.as_ref().map(SpanContext::trace_id);
        let context = new_context(trace_id, is_sampled, state.unwrap_or_default());
        Arc::new(Self {
            tracer: Arc::clone(tracer),
            context,
            parent: parent.as_ref().map(SpanContext::span_id),
            state: Mutex::new(State::open()),
        })
    }

    /// The context of the request's own span.
    pub const fn context(&self) -> &SpanContext {
        &self.context
    }

    /// Who takes its spans.
    pub const fn tracer(&self) -> &Arc<Tracer> {
        &self.tracer
    }

    /// The context of a span below the request's.
    pub fn child(&self) -> SpanContext {
        let state: TraceState = self.context.trace_state().clone();
        new_context(Some(self.context.trace_id()), self.context.is_sampled(), state)
    }

    /// Notes that the request has waited for what was fetched for another.
    pub fn has_joined(&self, other: &SpanContext) {
        if let State::Open { links, .. } = &mut *self.state.lock()
            && links.len() < MAX_LINKS
            && other != &self.context
            && !links.contains(other)
        {
            links.push(other.clone());
        }
    }

    /// Takes the span of something that was done for the request. One that comes when the request is
    /// over shares its fate, unless it is worth keeping by itself.
    pub(super) fn take(&self, span: Span, has_failed: bool, is_slow: bool) {
        match &mut *self.state.lock() {
            State::Open { spans, has_failed: any, .. } => {
                *any |= has_failed;
                if spans.len() < MAX_SPANS {
                    spans.push(span);
                } else {
                    self.tracer.metrics.spans_dropped(Dropped::TooMany, 1);
                }
                return;
            }
            State::Ended { is_kept: false } if !has_failed && !is_slow => return,
            State::Ended { .. } => {}
        }
        self.tracer.submit(span);
    }

    /// Ends it: its spans are kept if the request's is, and that one is where it `is_worth_it` or
    /// something failed that was done for it.
    pub fn end(&self, is_worth_it: bool, span: impl FnOnce() -> Span) {
        let ended = State::Ended { is_kept: true };
        let mut state = self.state.lock();
        let State::Open { spans, links, has_failed } = std::mem::replace(&mut *state, ended) else {
            return;
        };
        if !(is_worth_it || has_failed) {
            *state = State::Ended { is_kept: false };
            return;
        }
        drop(state);
        self.tracer.submit(span().under_remote(self.parent).linked_to(links));
        for span in spans {
            self.tracer.submit(span);
        }
    }

    /// Ends it without a span of its own.
    pub fn abandon(&self) {
        *self.state.lock() = State::Ended { is_kept: self.context.is_sampled() };
    }
}

impl State {
    const fn open() -> Self {
        Self::Open { spans: Vec::new(), links: Vec::new(), has_failed: false }
    }
}
