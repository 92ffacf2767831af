//! What is told of a request beside its answer: the counters and the log tell of each, and where
//! somebody wants to know more, it has a witness from its head on.
//!
//! A hit costs its witness a look at some fields, and an allocation if it may be given again. More is
//! taken for an access log, and for a span: where the request was sampled, slow or failed.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, StatusCode, Version};
use http_body::{Body as _, Frame, SizeHint};
use opentelemetry::trace::SpanKind;

use super::cache_status::{CACHE_STATUS, CacheStatus};
use super::counts::Served;
use super::{Answered, Engine, Proxy, forwarded};
use crate::access_log::{Journal, Record, Streamed, Told};
use crate::body::{Body, BodyError};
use crate::clock::{Clock, Timestamp};
use crate::operation::Operation;
use crate::server::{Peer, RawRequest};
use crate::traces::{Span, TRACESTATE, Times, TraceParent, Tracer, Trail, name_of};

/// How a request is called whose client left before it was answered.
const ABANDONED: &str = "abandoned";

/// What one worker's proxy tells of requests, where anything is.
pub(super) struct Watch {
    journal: Option<Journal>,
    tracer: Option<Arc<Tracer>>,
    /// The operations' names by their index, once for each worker: to count who holds a name is a
    /// write to memory, and two cores that write to the same wait for one another.
    names: Box<[Arc<str>]>,
    clock: Clock,
}

/// What is kept of a hit that may be given again, to tell of that too.
pub(super) struct Noted {
    /// As much of its target as may be logged.
    target: Option<Arc<str>>,
    path: Option<Arc<str>>,
    operation: Option<Arc<str>>,
}

impl Noted {
    /// Bytes that nobody else holds.
    pub(super) fn own_bytes(&self) -> usize {
        [&self.target, &self.path].into_iter().flatten().map(|text| text.len()).sum()
    }
}

/// Who saw a request come. Dropped before it has told of an answer, it tells that there is none.
pub(super) struct Witness<'p> {
    watch: &'p Arc<Watch>,
    started: Duration,
    client: IpAddr,
    scheme: &'static str,
    version: Version,
    method: Method,
    target: Option<PathAndQuery>,
    parent: Option<TraceParent>,
    /// What vendors have in the trace, and whether it is sampled: without a tracer neither is known.
    state: Option<HeaderValue>,
    is_sampled: bool,
    trail: OnceCell<Arc<Trail>>,
    has_told: bool,
}

/// A hit whose request was not read.
pub(super) struct Repeated<'h> {
    pub(super) now: Timestamp,
    pub(super) started: Duration,
    pub(super) took: Duration,
    pub(super) method: &'h Method,
    pub(super) status: StatusCode,
    pub(super) cache_status: CacheStatus,
    pub(super) bytes: u64,
}

/// What a request's span tells of it.
struct Seen<'s> {
    method: &'s Method,
    path: Option<&'s str>,
    scheme: &'static str,
    version: Version,
    client: IpAddr,
    operation: Option<&'s str>,
    served: Served,
    status: StatusCode,
    pieces: Option<(usize, usize)>,
    cache_status: Option<String>,
    times: Times,
}

impl Watch {
    /// Who tells of the requests of one more worker; `None` where nobody wants to know.
    pub(super) fn of(engine: &Engine) -> Option<Arc<Self>> {
        let (log, tracer) = (engine.access_log.as_ref(), engine.tracer.clone());
        if log.is_none() && tracer.is_none() {
            return None;
        }
        let journal = log.map(|log| log.for_one());
        let operations = engine.catalogue.operations().iter();
        let names = operations.map(|operation| Arc::from(&*operation.name)).collect();
        Some(Arc::new(Self { journal, tracer, names, clock: engine.clock.clone() }))
    }

    fn name_of(&self, operation: Option<&Operation>) -> Option<Arc<str>> {
        self.names.get(operation?.index).cloned()
    }

    fn note(&self, record: Record) {
        if let Some(journal) = &self.journal {
            journal.note(record);
        }
    }
}

impl Proxy {
    /// Who tells of a request that came at `started`.
    pub(super) fn witness<B>(
        &self,
        request: &Request<B>,
        peer: Peer,
        started: Duration,
    ) -> Option<Witness<'_>> {
        let watch = self.watch.as_ref()?;
        let headers = request.headers();
        let values = |name: &'static str| {
            headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
        };
        let parent = TraceParent::of(values);
        let state = watch.tracer.as_ref().and(parent).and_then(|_| joined(values(TRACESTATE)));
        let tracer = watch.tracer.as_ref();
        Some(Witness {
            watch,
            started,
            client: forwarded::client(&self.engine.config.forwarded, peer, values),
            scheme: peer.scheme(),
            version: request.version(),
            method: request.method().clone(),
            target: request.uri().path_and_query().cloned(),
            parent,
            state,
            is_sampled: tracer.is_some_and(|tracer| tracer.samples(parent.as_ref())),
            trail: OnceCell::new(),
            has_told: false,
        })
    }

    /// Tells of a hit whose request was not read.
    pub(super) fn tell_of_repeat(&self, noted: &Noted, request: RawRequest<'_>, hit: Repeated<'_>) {
        let Some(watch) = &self.watch else { return };
        let values = |name| request.values(name);
        let parent = TraceParent::of(values);
        let client = || forwarded::client(&self.engine.config.forwarded, request.peer(), values);
        let trail = watch.tracer.as_ref().and_then(|tracer| {
            let is_sampled = tracer.samples(parent.as_ref());
            (is_sampled || hit.took >= tracer.slow_after).then(|| {
                let state = joined(values(TRACESTATE));
                let state = state.as_ref().and_then(|state| state.to_str().ok());
                Trail::new(tracer, parent.as_ref(), state, is_sampled)
            })
        });
        if let Some(trail) = &trail {
            let seen = Seen {
                method: hit.method,
                path: noted.path.as_deref(),
                scheme: request.peer().scheme(),
                version: Version::HTTP_11,
                client: client(),
                operation: noted.operation.as_deref(),
                served: Served::Hit,
                status: hit.status,
                pieces: hit.cache_status.pieces,
                cache_status: Some(hit.cache_status.to_string()),
                times: Times { from: hit.started, to: hit.started + hit.took },
            };
            trail.end(true, || seen.span(trail, &watch.clock));
        }
        let Some(journal) = &watch.journal else { return };
        let trace_id = trail.map(|trail| trail.context().trace_id().to_bytes());
        journal.note(Record {
            at: hit.now,
            client: client(),
            method: hit.method.clone(),
            target: noted.target.clone(),
            operation: noted.operation.clone(),
            status: Some(hit.status),
            result: Served::Hit.as_str(),
            took: hit.took,
            trace_id: trace_id.or(parent.map(|parent| parent.trace_id)),
            cache_status: Told::Status(hit.cache_status),
            bytes: hit.bytes,
            streamed: None,
        });
    }
}

/// All lines of a list field as one; `None` where there is none.
fn joined<'v>(mut lines: impl Iterator<Item = &'v str>) -> Option<HeaderValue> {
    let first = lines.next()?;
    let all = lines.fold(first.to_owned(), |all, line| all + "," + line);
    HeaderValue::try_from(all).ok()
}

impl Seen<'_> {
    fn span(self, trail: &Trail, clock: &Clock) -> Span {
        let name: Cow<'static, str> = match self.operation {
            Some(operation) => [name_of(self.method), " ", operation].concat().into(),
            None => name_of(self.method).into(),
        };
        let version = match self.version {
            Version::HTTP_10 => "1.0",
            Version::HTTP_2 => "2",
            _ => "1.1",
        };
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let context = trail.context().clone();
        let span = Span::new(context, SpanKind::Server, name, self.times, clock)
            .with_method(self.method)
            .with_any("url.path", self.path.map(str::to_owned))
            .with("url.scheme", self.scheme)
            .with("network.protocol.version", version)
            .with("client.address", self.client.to_string())
            .with("http.response.status_code", i64::from(self.status.as_u16()))
            .with_any("csu_edge.operation", self.operation.map(str::to_owned))
            .with("csu_edge.result", self.served.as_str())
            .with_any("csu_edge.cache_status", self.cache_status)
            .with_any("csu_edge.pieces", self.pieces.map(|(_, all)| count(all)))
            .with_any("csu_edge.pieces.stored", self.pieces.map(|(stored, _)| count(stored)));
        let span = match self.served {
            Served::Collapsed => span.with("csu_edge.fetch.joined", true),
            Served::Miss => span.with("csu_edge.fetch.joined", false),
            _ => span,
        };
        match self.status.is_server_error() {
            true => span.failed(self.status.as_str().to_owned()),
            false => span,
        }
    }
}

impl Witness<'_> {
    /// The request's place in its trace, where there are traces. Made when it is first asked for: a
    /// hit mostly goes without.
    pub(super) fn trail(&self) -> Option<&Arc<Trail>> {
        let tracer = self.watch.tracer.as_ref()?;
        Some(self.trail.get_or_init(|| {
            let state = self.state.as_ref().and_then(|state| state.to_str().ok());
            Trail::new(tracer, self.parent.as_ref(), state, self.is_sampled)
        }))
    }

    /// Tells of the answer, or has its body tell once it has been streamed. What comes back tells of
    /// it when it is given again.
    pub(super) fn tell(mut self, answered: &mut Answered, took: Duration) -> Noted {
        self.has_told = true;
        let watch = self.watch;
        let operation = watch.name_of(answered.operation.as_deref());
        self.end_trail(answered, operation.as_deref(), took);
        let target = self.target.as_ref().map(PathAndQuery::as_str);
        let path = watch.tracer.as_ref().and(answered.with.as_ref()).and(self.target.as_ref());
        let path = path.map(|path| Arc::from(path.path()));
        let Some(journal) = &watch.journal else {
            return Noted { target: None, path, operation };
        };
        let target = target.and_then(|target| journal.target(target));
        let noted = Noted { target: target.clone(), path, operation: operation.clone() };
        let response = &mut answered.response;
        // Another cache's word may stand before ours.
        let told = response.headers().get_all(CACHE_STATUS).iter().next_back();
        let mut record = Record {
            operation,
            result: answered.served.as_str(),
            took,
            status: Some(response.status()),
            cache_status: told.map_or(Told::Nothing, |told| Told::Field(told.clone())),
            target,
            ..self.record()
        };
        let is_streamed = matches!(response.body(), Body::Incoming(_) | Body::Boxed(_))
            && !response.body().is_end_stream()
            && self.method != Method::HEAD;
        if is_streamed {
            let body = std::mem::take(response.body_mut());
            let (watch, started) = (Arc::clone(watch), self.started);
            let record = Some(record);
            *response.body_mut() = Body::boxed(Watched { body, watch, started, record });
        } else {
            let bytes = response.body().size_hint().exact().unwrap_or_default();
            record.bytes = if self.method == Method::HEAD { 0 } else { bytes };
            journal.note(record);
        }
        noted
    }

    /// Ends the request's trail, with its span where that is worth it.
    fn end_trail(&self, answered: &Answered, operation: Option<&str>, took: Duration) {
        let Some(tracer) = &self.watch.tracer else { return };
        let (response, served) = (&answered.response, answered.served);
        let has_failed = response.status().is_server_error() || served == Served::StaleIfError;
        let is_worth_it = self.is_sampled || has_failed || took >= tracer.slow_after;
        // Nothing was done for it that could be worth it either.
        if !is_worth_it && self.trail.get().is_none() {
            return;
        }
        let Some(trail) = self.trail() else { return };
        trail.end(is_worth_it, || {
            let told = response.headers().get_all(CACHE_STATUS).iter().next_back();
            let seen = Seen {
                method: &self.method,
                path: self.target.as_ref().map(PathAndQuery::path),
                scheme: self.scheme,
                version: self.version,
                client: self.client,
                operation,
                served,
                status: response.status(),
                pieces: answered.pieces,
                cache_status: told.and_then(|told| Some(told.to_str().ok()?.to_owned())),
                times: Times { from: self.started, to: self.started + took },
            };
            seen.span(trail, &self.watch.clock)
        });
    }

    /// What is known from the request alone.
    fn record(&self) -> Record {
        let clock = &self.watch.clock;
        let own = self.trail.get().map(|trail| trail.context().trace_id().to_bytes());
        Record {
            at: clock.now(),
            client: self.client,
            method: self.method.clone(),
            target: None,
            operation: None,
            status: None,
            result: ABANDONED,
            took: clock.monotonic().saturating_sub(self.started),
            trace_id: own.or(self.parent.map(|parent| parent.trace_id)),
            cache_status: Told::Nothing,
            bytes: 0,
            streamed: None,
        }
    }
}

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if self.has_told {
            return;
        }
        if let Some(trail) = self.trail.get() {
            trail.abandon();
        }
        if let Some(journal) = &self.watch.journal {
            let target = self.target.as_ref().and_then(|target| journal.target(target.as_str()));
            journal.note(Record { target, ..self.record() });
        }
    }
}

/// A body that is streamed, and told of at its end.
struct Watched {
    body: Body,
    watch: Arc<Watch>,
    started: Duration,
    record: Option<Record>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(record), Some(bytes)) = (&mut this.record, frame.data_ref()) {
                    record.bytes += bytes.len() as u64;
                }
            }
            Poll::Ready(None) => this.tell(true),
            Poll::Ready(Some(Err(_))) => this.tell(false),
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Watched {
    fn tell(&mut self, is_whole: bool) {
        let Some(mut record) = self.record.take() else { return };
        let clock = &self.watch.clock;
        record.at = clock.now();
        let took = clock.monotonic().saturating_sub(self.started);
        record.streamed = Some(Streamed { took, is_whole });
        self.watch.note(record);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let is_whole = self.body.is_end_stream();
        self.tell(is_whole);
    }
}
