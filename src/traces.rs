//! Traces: spans of requests and push events, to a collector, by OTLP over HTTP.
//!
//! Whether a request's span is worth keeping is known when it ends: it was sampled, or slow, or it
//! failed. So nothing is recorded while it runs but what is needed for that, and the span is made at
//! its end, of times that are known by then. What goes to the origin meanwhile carries the ids that
//! the span will have ([`Trail`]).
//!
//! Spans wait in a bounded queue for a thread that exports them. A collector that is slow or gone costs
//! spans, which are counted, and no request.

mod asking;
mod export;
mod parent;
mod span;
mod trail;

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::trace::SpanData;

use crate::config;
use crate::metrics::Metrics;

pub use asking::{Asking, Leaving, ServedToo};
pub use export::{Exporting, TracesError};
pub use parent::TraceParent;
pub(crate) use span::name_of;
pub use span::{Span, Times};
pub use trail::Trail;

/// The field that tells a message's trace and sender.
pub const TRACEPARENT: &str = "traceparent";

/// The field in which vendors carry more of the same.
pub const TRACESTATE: &str = "tracestate";

/// Takes spans to be exported.
pub struct Tracer {
    spans: SyncSender<export::Message>,
    scope: InstrumentationScope,
    /// Below it, of all that 32 bits can be, a request is sampled.
    threshold: u64,
    follows_sampled: bool,
    /// From here on a request is slow.
    pub slow_after: Duration,
    /// The origin, as spans of requests to it name it.
    origin: Origin,
    metrics: Metrics,
}

/// Scheme and authority of the origin.
struct Origin {
    base: String,
    host: String,
    port: i64,
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").finish_non_exhaustive()
    }
}

impl Tracer {
    /// A tracer whose spans are exported as the configuration says, where it says so.
    ///
    /// # Errors
    /// The collector cannot be spoken to as it is configured.
    pub fn start(
        config: &config::Config,
        metrics: &Metrics,
    ) -> Result<Option<(Arc<Self>, Exporting)>, TracesError> {
        let settings = &config.traces;
        let Some(endpoint) = &settings.endpoint else { return Ok(None) };
        let (spans, exporting) = export::start(settings, endpoint, metrics)?;
        for reason in Dropped::ALL {
            metrics.spans_dropped(reason, 0);
        }
        let scope = InstrumentationScope::builder("csu-edge")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        let tracer = Self {
            spans,
            scope,
            threshold: threshold(settings.sample_percent),
            follows_sampled: settings.follow_sampled,
            slow_after: settings.slow_after,
            origin: Origin::of(&config.origin.service_root),
            metrics: metrics.clone(),
        };
        Ok(Some((Arc::new(tracer), exporting)))
    }

    /// Whether a message with this `traceparent` is sampled: as its sender says, else by chance.
    pub fn samples(&self, parent: Option<&TraceParent>) -> bool {
        match parent {
            Some(parent) if self.follows_sampled => parent.is_sampled,
            _ => self.threshold > 0 && u64::from(rand::random::<u32>()) < self.threshold,
        }
    }

    /// Has a span exported, or drops it where too many wait.
    pub fn submit(&self, span: Span) {
        let span = span.finish(self.scope.clone());
        match self.spans.try_send(export::Message::Span(Box::new(span))) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.metrics.spans_dropped(Dropped::QueueFull, 1),
            Err(TrySendError::Disconnected(_)) => self.metrics.spans_dropped(Dropped::Ended, 1),
        }
    }
}

impl Origin {
    fn of(service_root: &http::Uri) -> Self {
        let scheme = service_root.scheme_str().unwrap_or("http");
        let authority = service_root.authority().map_or("", |authority| authority.as_str());
        let usual_port = if scheme == "https" { 443 } else { 80 };
        Self {
            base: format!("{scheme}://{authority}"),
            host: service_root.host().unwrap_or_default().to_owned(),
            port: service_root.port_u16().unwrap_or(usual_port).into(),
        }
    }
}

/// Why a span did not get to the collector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Dropped {
    /// Too many waited.
    QueueFull,
    /// The collector did not take it.
    ExportFailed,
    /// A request had more than are kept of one.
    TooMany,
    /// The process was ending.
    Ended,
}

impl Dropped {
    const ALL: [Self; 4] = [Self::QueueFull, Self::ExportFailed, Self::TooMany, Self::Ended];

    const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue-full",
            Self::ExportFailed => "export-failed",
            Self::TooMany => "too-many",
            Self::Ended => "ended",
        }
    }
}

impl Metrics {
    fn spans_dropped(&self, reason: Dropped, spans: u64) {
        self.spans_dropped.with_label_values(&[reason.as_str()]).inc_by(spans);
    }
}

/// The lowest number of 32 bits that is not sampled.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 2^32")]
fn threshold(percent: f64) -> u64 {
    (percent / 100.0 * 2.0_f64.powi(32)).round() as u64
}

/// The context of a new span. Ids of zeros alone are none, and next to impossible.
fn new_context(trace_id: Option<TraceId>, is_sampled: bool, state: TraceState) -> SpanContext {
    let trace_id = trace_id.unwrap_or_else(|| TraceId::from_bytes(rand::random()));
    let flags = if is_sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    SpanContext::new(trace_id, SpanId::from_bytes(rand::random()), flags, false, state)
}

/// A context as a `traceparent`.
fn parent_of(context: &SpanContext) -> TraceParent {
    TraceParent {
        trace_id: context.trace_id().to_bytes(),
        span_id: context.span_id().to_bytes(),
        is_sampled: context.is_sampled(),
    }
}

/// The context that a `traceparent` tells of.
pub(crate) fn context_of(parent: &TraceParent) -> SpanContext {
    let flags = if parent.is_sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let (trace_id, span_id) =
        (TraceId::from_bytes(parent.trace_id), SpanId::from_bytes(parent.span_id));
    SpanContext::new(trace_id, span_id, flags, true, TraceState::default())
}

/// A span's data, as the exporter takes it.
type Data = SpanData;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_a_part_of_all_that_32_bits_can_be() {
        assert_eq!(threshold(0.0), 0);
        assert_eq!(threshold(50.0), 1 << 31);
        assert_eq!(threshold(100.0), 1 << 32);
        assert_eq!(threshold(0.01), 429_497);
    }

    #[test]
    fn what_is_sent_on_names_the_span_that_sent_it() {
        let parent =
            TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert_eq!(parent_of(&context_of(&parent)), parent);
        let trace_id = Some(TraceId::from_bytes(parent.trace_id));
        let next = parent_of(&new_context(trace_id, true, TraceState::default()));
        assert_eq!((next.trace_id, next.is_sampled), (parent.trace_id, true));
        assert_ne!(next.span_id, parent.span_id);
        assert!(TraceParent::parse(&next.to_string()).is_some());
    }
}
