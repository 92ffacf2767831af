//! What the parts of a batch have to fetch, gathered into one smaller batch.
//!
//! Each part takes the path of a single request; only where that path asks the origin, its request
//! waits here for those of the other parts. When every part is answered or waits here, or after a
//! short time (a part may wait for another client's fetch, which must not wait for this batch), what
//! has come together leaves: under a head of our own, so that nothing of the client's can shape
//! answers that are stored, and always to go on after an error, so that each is answered.
//!
//! An origin that refuses the batch itself is asked call by call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE,
    HeaderName,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::NAME;
use crate::odata::batch::{Batch, Choice, Form, Limits, PartRequest, PartResponse};
use crate::origin::OriginError;
use crate::proxy::asking::{Asked, Departing, FetchOrigin, Leave, Purpose, Standing};
use crate::proxy::decoded_body::{DecodedBody, OriginBody};
use crate::proxy::fields::add_via;
use crate::proxy::{Engine, Proxy};
use crate::traces::{TRACEPARENT, TRACESTATE, Trail};

/// How long a request waits for those of other parts. They come within what a look-up takes, except
/// where one waits for another client's fetch or another node.
const LINGER: Duration = Duration::from_millis(2);

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Who asks, where and in which language. An origin may take these from a batch's head alone: so what
/// goes together has the same, and the head has them as well.
const OF_HEAD: [HeaderName; 3] = [AUTHORIZATION, HeaderName::from_static("oun"), ACCEPT_LANGUAGE];

/// How long an origin that refuses batches is spared them.
const REFUSED_FOR: Duration = Duration::from_secs(10 * 60);

/// The requests of one batch.
pub(super) struct Gathering {
    engine: Arc<Engine>,
    origin: Arc<dyn FetchOrigin>,
    batch: Batch,
    /// Parts that are not answered.
    open: AtomicUsize,
    waiting: Mutex<BTreeMap<usize, Waiting>>,
}

/// A part's request, and who waits for its answer.
struct Waiting {
    ask: Ask,
    answer: oneshot::Sender<Answer>,
}

/// A request and how it may leave.
type Ask = Box<(Request<Bytes>, Leave)>;

/// What becomes of a part's request.
enum Answer {
    /// The origin answers.
    Said(Box<Result<Response<OriginBody>, OriginError>>),
    /// It is to be asked by itself.
    ByItself(Ask),
}

/// A part's way to the origin.
struct Member {
    gathering: Arc<Gathering>,
    item: usize,
}

/// A boundary that no part contains, unless somebody guesses 128 bits.
pub(super) fn boundary() -> String {
    format!("csu-edge-{:032x}", rand::random::<u128>())
}

impl Gathering {
    pub(super) fn new(proxy: &Proxy, batch: Batch, parts: usize) -> Arc<Self> {
        Arc::new(Self {
            engine: Arc::clone(&proxy.engine),
            origin: Arc::clone(&proxy.fetcher),
            batch,
            open: AtomicUsize::new(parts),
            waiting: Mutex::default(),
        })
    }

    /// The proxy for one part.
    pub(super) fn member(self: &Arc<Self>, proxy: &Proxy, item: usize) -> Proxy {
        let fetcher = Arc::new(Member { gathering: Arc::clone(self), item });
        Proxy { fetcher, ..proxy.clone() }
    }

    /// A part is answered.
    pub(super) fn leave(self: &Arc<Self>) {
        self.open.fetch_sub(1, Ordering::AcqRel);
        self.depart_if_complete();
    }

    /// Adds a part's request; gives it back where the part has one here already.
    fn join(self: &Arc<Self>, item: usize, ask: Ask) -> Result<oneshot::Receiver<Answer>, Ask> {
        let (answer, receiver) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock();
            if waiting.contains_key(&item) {
                return Err(ask);
            }
            waiting.insert(item, Waiting { ask, answer });
            if waiting.len() == 1 {
                let gathering = Arc::clone(self);
                tokio::spawn(async move {
                    tokio::time::sleep(LINGER).await;
                    gathering.depart();
                });
            }
        }
        self.depart_if_complete();
        Ok(receiver)
    }

    fn depart_if_complete(self: &Arc<Self>) {
        if self.waiting.lock().len() >= self.open.load(Ordering::Acquire) {
            self.depart();
        }
    }

    /// Sends what has come together; what differs in a field of [`OF_HEAD`] goes apart.
    fn depart(self: &Arc<Self>) {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        let mut by_head: Vec<(HeaderMap, BTreeMap<usize, Waiting>)> = Vec::new();
        for (item, part) in waiting {
            let of_head = of_head(part.ask.0.headers());
            match by_head.iter_mut().find(|(known, _)| *known == of_head) {
                Some((_, parts)) => drop(parts.insert(item, part)),
                None => by_head.push((of_head, BTreeMap::from([(item, part)]))),
            }
        }
        for (head, parts) in by_head {
            tokio::spawn(Arc::clone(self).send(head, parts));
        }
    }

    async fn send(self: Arc<Self>, head: HeaderMap, parts: BTreeMap<usize, Waiting>) {
        let request = self.request(head, &parts);
        let first = parts.values().map(|part| part.ask.1.standing).min();
        let (Some(request), Some(standing), true) = (request, first, parts.len() > 1) else {
            return ask_each(parts);
        };
        let leave = Leave { class: None, standing };
        let departing = Box::new(|| (Purpose::Batch, request));
        let response = match self.origin.fetch(leave, departing).await {
            Ok(response) => response,
            Err(error) => return fail_all(parts, &error),
        };
        if is_about_batches(response.status()) {
            let until = self.engine.clock.now() + REFUSED_FOR;
            self.engine.batches_refused_until.store(until.as_millis(), Ordering::Relaxed);
            return ask_each(parts);
        }
        self.distribute(parts, response).await;
    }

    /// The smaller batch.
    fn request(&self, head: HeaderMap, parts: &BTreeMap<usize, Waiting>) -> Option<Request<Bytes>> {
        let requests: BTreeMap<usize, PartRequest> = parts
            .iter()
            .filter_map(|(item, part)| Some((*item, self.part_of(&part.ask.0)?)))
            .collect();
        let choose = |item| requests.get(&item).map_or(Choice::LeaveOut, Choice::Instead);
        let choices: Vec<Choice<'_>> = (0..self.batch.items().len()).map(choose).collect();
        let written = self.batch.rewrite(&choices, &boundary()).ok()?;
        let mut request = Request::new(written.body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.engine.service_root.target(NAME)?.into();
        let headers = request.headers_mut();
        *headers = head;
        let accept = match self.batch.form() {
            Form::Multipart { .. } => "multipart/mixed",
            Form::Json => "application/json",
        };
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(PREFER, HeaderValue::from_static("odata.continue-on-error"));
        headers.insert(CONTENT_TYPE, written.content_type);
        add_via(Version::HTTP_11, headers);
        Some(request)
    }

    /// A request as a part; who asks is told by the batch (OData 4.01 Protocol §11.7.7.1), and so is
    /// the span that it is sent in, where there are any.
    fn part_of(&self, request: &Request<Bytes>) -> Option<PartRequest> {
        let mut headers = request.headers().clone();
        for name in [AUTHORIZATION, ACCEPT_ENCODING, http::header::VIA] {
            headers.remove(name);
        }
        if self.origin.trail().is_some() {
            headers.remove(TRACEPARENT);
            headers.remove(TRACESTATE);
        }
        Some(PartRequest {
            method: request.method().clone(),
            target: request.uri().path_and_query()?.clone(),
            headers,
            body: request.body().clone(),
        })
    }

    async fn distribute(
        &self,
        mut parts: BTreeMap<usize, Waiting>,
        response: Response<OriginBody>,
    ) {
        let (head, body) = response.into_parts();
        let limits = &self.engine.config.limits;
        let mut body = DecodedBody::new(&head.headers, body);
        let within = self.engine.config.origin.fetch_timeout;
        let reading = body.read_to_end(limits.stored_body_bytes);
        let whole = match tokio::time::timeout(within, reading).await {
            Ok(Ok(Some(whole))) if body.is_plain() => whole,
            // Each by itself is smaller, or streams, or is passed on in the coding that it has.
            Ok(Ok(_)) => return ask_each(parts),
            Ok(Err(error)) => return fail_all(parts, &OriginError::Broken(error.into())),
            Err(_) => return fail_all(parts, &OriginError::Timeout),
        };
        if !head.status.is_success() {
            for part in parts.into_values() {
                let mut response = Response::new(full(whole.clone()));
                *response.status_mut() = head.status;
                *response.headers_mut() = head.headers.clone();
                // It was taken off.
                response.headers_mut().remove(CONTENT_ENCODING);
                let _ = part.answer.send(Answer::Said(Ok(response).into()));
            }
            return;
        }
        let sent: Vec<usize> = parts.keys().copied().collect();
        let bounds = Limits { parts: limits.batch_parts, bytes: limits.stored_body_bytes };
        let content_type = head.headers.get(CONTENT_TYPE);
        let answers = content_type
            .and_then(|content_type| {
                self.batch.read_answers(&sent, content_type, &whole, bounds).ok()
            })
            .unwrap_or_default();
        for answer in answers {
            if let Some(response) = answer.response
                && let Some(part) = parts.remove(&answer.item)
            {
                let _ = part.answer.send(Answer::Said(Ok(response_of(response)).into()));
            }
        }
        // What it left unanswered, or said unclearly.
        ask_each(parts);
    }
}

impl FetchOrigin for Member {
    fn trail(&self) -> Option<&Arc<Trail>> {
        self.gathering.origin.trail()
    }

    fn fetch<'a>(&'a self, leave: Leave, departing: Departing<'a>) -> Asked<'a> {
        let gathering = &self.gathering;
        if let Standing::Behind(_) = leave.standing {
            // Nobody waits for it, and it may take longer than the batch.
            return gathering.origin.fetch(leave, departing);
        }
        Box::pin(async move {
            let (purpose, request) = departing();
            let ask = match gathering.join(self.item, Box::new((request, leave))) {
                Ok(answer) => match answer.await {
                    Ok(Answer::Said(said)) => return *said,
                    Ok(Answer::ByItself(ask)) => ask,
                    Err(_) => return Err(OriginError::Broken("the batch came to nothing".into())),
                },
                Err(ask) => ask,
            };
            let (request, leave) = *ask;
            gathering.origin.fetch(leave, Box::new(move || (purpose, request))).await
        })
    }
}

/// Of a part's fields, those that its batch has too.
fn of_head(part: &HeaderMap) -> HeaderMap {
    let fields = OF_HEAD.into_iter().filter_map(|name| {
        let value = part.get(&name)?.clone();
        Some((name, value))
    });
    fields.collect()
}

/// Whether the origin refuses the batch for being one, which is no word on any of its parts. Who asks
/// and how often is the same for each of them.
fn is_about_batches(status: StatusCode) -> bool {
    let about_asker =
        [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS];
    status == StatusCode::NOT_IMPLEMENTED
        || status.is_client_error() && !about_asker.contains(&status)
}

fn ask_each(parts: BTreeMap<usize, Waiting>) {
    for Waiting { ask, answer } in parts.into_values() {
        // Whoever does not wait any more does not ask.
        let _ = answer.send(Answer::ByItself(ask));
    }
}

fn fail_all(parts: BTreeMap<usize, Waiting>, error: &OriginError) {
    for part in parts.into_values() {
        let _ = part.answer.send(Answer::Said(Err(error.again()).into()));
    }
}

fn response_of(told: PartResponse) -> Response<OriginBody> {
    let mut response = Response::new(full(told.body));
    *response.status_mut() = told.status;
    *response.headers_mut() = told.headers;
    response
}

fn full(bytes: Bytes) -> OriginBody {
    OriginBody::new(Full::from(bytes).map_err(|never| match never {}))
}
