//! What is told of a request beside its answer: the counters and the log tell of each, and where
//! somebody wants to know more, it has a witness from its head on.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Method, Request, StatusCode};
use http_body::{Body as _, Frame, SizeHint};

use super::cache_status::{CACHE_STATUS, CacheStatus};
use super::counts::Served;
use super::{Answered, Engine, Proxy, forwarded};
use crate::access_log::{Journal, Record, Streamed, Told};
use crate::body::{Body, BodyError};
use crate::clock::{Clock, Timestamp};
use crate::operation::Operation;
use crate::server::{Peer, RawRequest};
use crate::traces::TraceParent;

/// How a request is called whose client left before it was answered.
const ABANDONED: &str = "abandoned";

/// What one worker's proxy tells of requests, where anything is.
pub(super) struct Watch {
    journal: Journal,
    /// The operations' names by their index, once for each worker: to count who holds a name is a
    /// write to memory, and two cores that write to the same wait for one another.
    names: Box<[Arc<str>]>,
    clock: Clock,
}

/// What is kept of a hit that may be given again, to tell of that too.
pub(super) struct Noted {
    target: Option<Arc<str>>,
    operation: Option<Arc<str>>,
}

/// Who saw a request come. Dropped before it has told of an answer, it tells that there is none.
pub(super) struct Witness<'p> {
    watch: &'p Arc<Watch>,
    started: Duration,
    client: IpAddr,
    method: Method,
    target: Option<PathAndQuery>,
    parent: Option<TraceParent>,
    has_told: bool,
}

impl Watch {
    /// Who tells of the requests of one more worker; `None` where nobody wants to know.
    pub(super) fn of(engine: &Engine) -> Option<Arc<Self>> {
        let journal = engine.access_log.as_ref()?.for_one();
        let operations = engine.catalogue.operations().iter();
        let names = operations.map(|operation| Arc::from(&*operation.name)).collect();
        Some(Arc::new(Self { journal, names, clock: engine.clock.clone() }))
    }

    fn name_of(&self, operation: Option<&Operation>) -> Option<Arc<str>> {
        self.names.get(operation?.index).cloned()
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
        Some(Witness {
            watch,
            started,
            client: forwarded::client(&self.engine.config.forwarded, peer, values),
            method: request.method().clone(),
            target: request.uri().path_and_query().cloned(),
            parent: TraceParent::of(values),
            has_told: false,
        })
    }

    /// Tells of a hit whose request was not read.
    pub(super) fn tell_of_repeat(&self, noted: &Noted, request: RawRequest<'_>, hit: Repeated<'_>) {
        let Some(watch) = &self.watch else { return };
        let values = |name| request.values(name);
        watch.journal.note(Record {
            at: hit.now,
            client: forwarded::client(&self.engine.config.forwarded, request.peer(), values),
            method: hit.method.clone(),
            target: noted.target.clone(),
            operation: noted.operation.clone(),
            status: Some(hit.status),
            result: Served::Hit.as_str(),
            took: hit.took,
            trace_id: TraceParent::of(values).map(|parent| parent.trace_id),
            cache_status: Told::Status(hit.cache_status),
            bytes: hit.bytes,
            streamed: None,
        });
    }
}

/// A hit whose request was not read.
pub(super) struct Repeated<'h> {
    pub(super) now: Timestamp,
    pub(super) took: Duration,
    pub(super) method: &'h Method,
    pub(super) status: StatusCode,
    pub(super) cache_status: CacheStatus,
    pub(super) bytes: u64,
}

impl Witness<'_> {
    /// Tells of the answer, or has its body tell once it has been streamed. What comes back tells of
    /// it when it is given again.
    pub(super) fn tell(mut self, answered: &mut Answered, took: Duration) -> Noted {
        self.has_told = true;
        let mut record = self.record();
        record.operation = self.watch.name_of(answered.operation.as_deref());
        record.result = answered.served.as_str();
        record.took = took;
        let response = &mut answered.response;
        record.status = Some(response.status());
        // Another cache's word may stand before ours.
        let told = response.headers().get_all(CACHE_STATUS).iter().next_back();
        record.cache_status = told.map_or(Told::Nothing, |told| Told::Field(told.clone()));
        let noted = Noted { target: record.target.clone(), operation: record.operation.clone() };
        let is_streamed = matches!(response.body(), Body::Incoming(_) | Body::Boxed(_))
            && !response.body().is_end_stream()
            && self.method != Method::HEAD;
        if is_streamed {
            let body = std::mem::take(response.body_mut());
            let (watch, started) = (Arc::clone(self.watch), self.started);
            let record = Some(record);
            *response.body_mut() = Body::boxed(Watched { body, watch, started, record });
        } else {
            let bytes = response.body().size_hint().exact().unwrap_or_default();
            record.bytes = if self.method == Method::HEAD { 0 } else { bytes };
            self.watch.journal.note(record);
        }
        noted
    }

    /// What is known from the request alone.
    fn record(&self) -> Record {
        let clock = &self.watch.clock;
        let target = self.target.as_ref();
        Record {
            at: clock.now(),
            client: self.client,
            method: self.method.clone(),
            target: target.and_then(|target| self.watch.journal.target(target.as_str())),
            operation: None,
            status: None,
            result: ABANDONED,
            took: clock.monotonic().saturating_sub(self.started),
            trace_id: self.parent.map(|parent| parent.trace_id),
            cache_status: Told::Nothing,
            bytes: 0,
            streamed: None,
        }
    }
}

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if !self.has_told {
            self.watch.journal.note(self.record());
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
        self.watch.journal.note(record);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let is_whole = self.body.is_end_stream();
        self.tell(is_whole);
    }
}
