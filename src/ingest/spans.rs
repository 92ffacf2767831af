//! Spans of push events: from a delivery's arrival until what it purges is purged.

use std::time::Duration;

use http::HeaderMap;
use opentelemetry::trace::SpanKind;

use super::delivery::Delivered;
use super::refusal::Refusal;
use super::{Ingest, Outcome, logged};
use crate::purge::Sequence;
use crate::traces::{Span, Times, TraceParent, Trail, context_of};

impl Ingest {
    /// Makes the spans of a delivery's events, each in the trace that it names (CloudEvents'
    /// Distributed Tracing extension), else in the one of the delivery.
    pub(super) fn trace(
        &self,
        headers: &HeaderMap,
        started: Duration,
        events: &[Delivered],
        outcomes: &[Outcome],
        applied: Result<Sequence, &Refusal>,
    ) {
        let Some(tracer) = &self.tracer else { return };
        let times = Times { from: started, to: self.clock.monotonic() };
        let is_slow = times.to.saturating_sub(times.from) >= tracer.slow_after;
        let values = |name: &'static str| {
            headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
        };
        let delivery = TraceParent::of(values);
        for (event, outcome) in events.iter().zip(outcomes) {
            let parent = event.traceparent.or(delivery);
            let is_sampled = tracer.samples(parent.as_ref());
            if !(is_sampled || is_slow || applied.is_err()) {
                continue;
            }
            let trail = Trail::new(tracer, parent.as_ref(), None, is_sampled);
            let delivered_by = event.traceparent.and(delivery);
            trail.end(true, || {
                let context = trail.context().clone();
                let span = Span::new(context, SpanKind::Consumer, "push event", times, &self.clock);
                told_of(span, event, *outcome, applied)
                    .linked_to(delivered_by.as_ref().map(context_of))
            });
        }
    }
}

fn told_of(
    span: Span,
    event: &Delivered,
    outcome: Outcome,
    applied: Result<Sequence, &Refusal>,
) -> Span {
    let identity = event.identity.as_ref();
    let span = span
        .with("cloudevents.event_type", logged(&event.type_name).to_owned())
        .with_any(
            "cloudevents.event_source",
            identity.map(|identity| logged(&identity.source).to_owned()),
        )
        .with_any("cloudevents.event_id", identity.map(|identity| logged(&identity.id).to_owned()))
        .with("csu_edge.event.form", event.form.as_str())
        .with("csu_edge.event.outcome", outcome.as_str());
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    match applied {
        Ok(sequence) => {
            let tags = match outcome {
                Outcome::Purges { tags } => tags,
                Outcome::Duplicate | Outcome::KeptAside => 0,
            };
            span.with("csu_edge.purge.tags", count(tags as u64))
                .with("csu_edge.purge.sequence", count(sequence.as_u64()))
        }
        Err(refusal) => span.failed(refusal.as_str()),
    }
}
