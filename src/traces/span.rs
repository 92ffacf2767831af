//! One span, from what is known when it has ended.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Method;
use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};

use super::Data;
use crate::clock::Clock;

/// What happened, and when.
#[derive(Debug)]
pub struct Span {
    context: SpanContext,
    parent: Option<SpanId>,
    parent_is_remote: bool,
    kind: SpanKind,
    name: Cow<'static, str>,
    start: SystemTime,
    end: SystemTime,
    attributes: Vec<KeyValue>,
    links: Vec<Link>,
    status: Status,
}

/// From one reading of the monotonic clock to another.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
}

impl Span {
    /// A span with this context; its times are readings of the monotonic clock, told as moments.
    pub fn new(
        context: SpanContext,
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
        times: Times,
        clock: &Clock,
    ) -> Self {
        let now = UNIX_EPOCH + Duration::from_millis(clock.now().as_millis());
        let reading = clock.monotonic();
        let at =
            |then: Duration| now.checked_sub(reading.saturating_sub(then)).unwrap_or(UNIX_EPOCH);
        Self {
            context,
            parent: None,
            parent_is_remote: false,
            kind,
            name: name.into(),
            start: at(times.from),
            end: at(times.to),
            attributes: Vec::new(),
            links: Vec::new(),
            status: Status::Unset,
        }
    }

    /// Under a span of this process.
    pub fn under(mut self, parent: SpanId) -> Self {
        self.parent = Some(parent);
        self
    }

    /// Under a span of another process, if there is one.
    pub fn under_remote(mut self, parent: Option<SpanId>) -> Self {
        (self.parent, self.parent_is_remote) = (parent, parent.is_some());
        self
    }

    /// With an attribute.
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.push(KeyValue::new(name, value));
        self
    }

    /// With an attribute, where there is something to tell.
    pub fn with_any(self, name: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// With a method, of which only the usual ones are told as they are (semantic conventions for
    /// HTTP).
    pub fn with_method(self, method: &Method) -> Self {
        match known(method) {
            Some(known) => self.with("http.request.method", known),
            None => self
                .with("http.request.method", OTHER_METHOD)
                .with("http.request.method_original", method.to_string()),
        }
    }

    /// Of which others are the cause or the effect.
    pub fn linked_to(mut self, others: impl IntoIterator<Item = SpanContext>) -> Self {
        self.links.extend(others.into_iter().map(|other| Link::new(other, Vec::new(), 0)));
        self
    }

    /// Which failed, by this name.
    pub fn failed(mut self, error: impl Into<Value>) -> Self {
        self.status = Status::error("");
        self.with("error.type", error)
    }

    pub(super) fn finish(self, instrumentation_scope: InstrumentationScope) -> Data {
        let mut links = SpanLinks::default();
        links.links = self.links;
        Data {
            span_context: self.context,
            parent_span_id: self.parent.unwrap_or(SpanId::INVALID),
            parent_span_is_remote: self.parent_is_remote,
            span_kind: self.kind,
            name: self.name,
            start_time: self.start,
            end_time: self.end,
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: self.status,
            instrumentation_scope,
        }
    }
}

const OTHER_METHOD: &str = "_OTHER";

/// A usual method's name.
fn known(method: &Method) -> Option<&'static str> {
    Some(match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::CONNECT => "CONNECT",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::PATCH => "PATCH",
        _ => return None,
    })
}

/// What a span of a request is called: its method, where that is a usual one.
pub(crate) fn name_of(method: &Method) -> &'static str {
    known(method).unwrap_or("HTTP")
}
