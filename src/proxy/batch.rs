//! `$batch`: each part that is a read of the catalogue is answered as it would be by itself, and the
//! rest goes to the origin.
//!
//! * A batch of **reads alone** is answered part by part, all at once, by the path that single
//!   requests take. What of them has to be fetched goes out as one smaller batch ([`gathering`]), or
//!   call by call where the operator wants that.
//! * In a batch with **anything else** (a change set, a write, a part that is tied to another), only
//!   what is in the store is answered from it. The others go on as one smaller batch, byte for byte
//!   and in their order, under the client's own head. What a head may do to parts is not known, so
//!   answers that come that way are not stored.
//! * A batch in which **nothing** is a read of the catalogue, or that cannot be read with certainty,
//!   passes as it came.
//!
//! Where the client does not ask to go on after an error, nothing is answered behind the first one
//! (OData 4.01 Protocol §11.7.7.5). Of a mixed batch, nothing behind an error from the store is sent
//! either; reads alone are asked for all at once.

mod gathering;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::cache_status::{CACHE_STATUS, CacheStatus, Forwarded};
use super::counts::Served;
use super::deliver::Terms;
use super::errand::{Detour, Subject, Taken, Task, take, whole};
use super::forwarded::host;
use super::{Answered, DEVICE_TOKEN, Proxy, failed, refused};
use crate::body::Body;
use crate::config::BatchMode;
use crate::error::ProxyError;
use crate::odata::batch::{
    Answer, Base, Batch, BatchError, Choice, Form, Item, Limits, Own, Preferences, Reply, Written,
    check_head, inherit,
};
use crate::origin::RequestBody;
use crate::server::Peer;
use gathering::Gathering;

/// What the origin sends as the name of this resource, below the service root.
const NAME: &str = "$batch";

/// Of the versions of OData (OData 4.01 Protocol §8.1.5).
const ODATA_VERSION: HeaderName = HeaderName::from_static("odata-version");

/// A batch that was read.
struct Received {
    head: Parts,
    body: Bytes,
    batch: Batch,
    /// Whether to go on after an error.
    continues: bool,
}

/// One part that is a read of the catalogue.
struct Read {
    item: usize,
    task: Task,
    terms: Terms,
}

/// A part's answer.
struct Part {
    item: usize,
    served: Served,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Proxy {
    /// Whether a request is a batch that is looked into.
    pub(super) fn is_batch<B>(&self, request: &Request<B>) -> bool {
        let below = self.engine.service_root.relative(request.uri().path());
        *request.method() == Method::POST
            && below.is_some_and(|below| below.trim_matches('/') == NAME)
            && self.engine.config.storefront.batch != BatchMode::Pass
            && !request.headers().contains_key(DEVICE_TOKEN)
    }

    /// Answers a batch.
    pub(super) async fn answer_batch(&self, request: Request<Incoming>, peer: Peer) -> Answered {
        let received = match self.receive_batch(request, peer).await {
            Ok(received) => received,
            Err(answered) => return *answered,
        };
        let is_for_device = |item: &Item| {
            item.request.as_ref().is_some_and(|part| part.headers.contains_key(DEVICE_TOKEN))
        };
        if received.batch.items().iter().any(is_for_device) {
            return self.pass_batch(received, peer, Detour::DeviceToken).await;
        }
        let reads = self.reads(&received, peer);
        if reads.is_empty() {
            return self.pass_batch(received, peer, Detour::NotInCatalogue).await;
        }
        if reads.len() == received.batch.items().len() {
            self.answer_reads(received, reads, peer).await
        } else {
            self.answer_mixed(received, reads, peer).await
        }
    }

    /// Reads a batch; or passes what cannot be read.
    async fn receive_batch(
        &self,
        request: Request<Incoming>,
        peer: Peer,
    ) -> Result<Received, Box<Answered>> {
        let read_head = || {
            let content_type = request.headers().get(CONTENT_TYPE);
            let form = Form::read(content_type.ok_or(BatchError::ContentType)?)?;
            let preferences = check_head(&form, request.headers())?;
            Ok::<_, BatchError>((form, preferences))
        };
        let (form, preferences): (Form, Preferences) = match read_head() {
            Ok(read) => read,
            Err(error) => {
                let detour = Detour::Batch(error);
                return Err(Box::new(self.pass(whole(request), peer, None, detour).await));
            }
        };
        let limits = &self.engine.config.limits;
        let (head, body) = request.into_parts();
        let body = match take(body, limits.keyed_body_bytes, limits.keyed_body_timeout).await {
            Taken::Whole(body) => body,
            Taken::TooLarge { read, rest } => {
                let body = RequestBody::resumed(read.concat().into(), rest);
                let request = Request::from_parts(head, body);
                let passed = self.pass(request, peer, None, Detour::BodyTooLarge).await;
                return Err(Box::new(passed));
            }
            Taken::Late => return Err(Box::new(refused(None, ProxyError::RequestTimeout))),
            Taken::Broken => return Err(Box::new(refused(None, ProxyError::BadRequest))),
        };
        let base = Base { root: &self.engine.service_root, authority: host(&head) };
        let bounds = Limits { parts: limits.batch_parts, bytes: limits.keyed_body_bytes };
        let content_type = head.headers.get(CONTENT_TYPE).cloned();
        let content_type = content_type.unwrap_or(HeaderValue::from_static(""));
        match Batch::read(&content_type, &body, base, bounds) {
            Ok(batch) => {
                let continues = preferences.continues(&form);
                Ok(Received { head, body, batch, continues })
            }
            Err(error) => {
                let request = Request::from_parts(head, RequestBody::from(body));
                let detour = Detour::Batch(error);
                Err(Box::new(self.pass(request, peer, None, detour).await))
            }
        }
    }

    async fn pass_batch(&self, received: Received, peer: Peer, detour: Detour) -> Answered {
        let Received { head, body, .. } = received;
        self.pass(Request::from_parts(head, RequestBody::from(body)), peer, None, detour).await
    }

    /// The parts that are reads of the catalogue, each with what it inherits from the batch.
    fn reads(&self, received: &Received, peer: Peer) -> Vec<Read> {
        let items = received.batch.items().iter().enumerate();
        items.filter_map(|(item, part)| self.read(received, peer, item, part)).collect()
    }

    fn read(&self, received: &Received, peer: Peer, item: usize, part: &Item) -> Option<Read> {
        let part = part.request.as_ref()?;
        let engine = &self.engine;
        let mut request = Request::new(());
        *request.method_mut() = part.method.clone();
        *request.uri_mut() = part.target.clone().into();
        *request.headers_mut() = part.headers.clone();
        inherit(&received.head.headers, request.headers_mut());
        // The links of its answer lead to where the batch was sent.
        let host = host(&received.head).and_then(|host| HeaderValue::from_str(host).ok());
        request.headers_mut().extend(host.map(|host| (HOST, host)));
        // A part of a batch is not compressed.
        request.headers_mut().remove(ACCEPT_ENCODING);
        let terms = Terms::of(&request, engine.config.limits.ranges);
        let (head, ()) = request.into_parts();
        let Ok(Subject::Call(call)) = engine.classify(&head.method, &head.uri) else {
            return None;
        };
        if call.operation.method != head.method {
            return None;
        }
        let asker = engine.identify(&head.headers, call.operation.identity).ok()?;
        let task = engine.task(call, &head, &part.body, asker, peer).ok()?;
        Some(Read { item, task, terms })
    }

    /// Answers a batch of reads alone.
    async fn answer_reads(&self, received: Received, reads: Vec<Read>, peer: Peer) -> Answered {
        let gathering =
            self.sends_batches().then(|| Gathering::new(self, received.batch.clone(), reads.len()));
        let answering = reads.iter().map(|read| {
            let gathering = gathering.clone();
            async move {
                let part = match &gathering {
                    Some(gathering) => gathering.member(self, read.item),
                    None => self.clone(),
                };
                let answered = part.answer_part(read).await;
                if let Some(gathering) = &gathering {
                    gathering.leave();
                }
                answered
            }
        });
        let answered = join_all(answering).await;
        let mut room = self.engine.config.limits.stored_body_bytes;
        let mut parts = Vec::with_capacity(reads.len());
        for (read, (answered, took)) in reads.iter().zip(answered) {
            match self.part(read.item, answered, took, &mut room).await {
                Some(part) => parts.push(part),
                // Nothing of it may be held: it streams, as it came.
                None => return self.pass_batch(received, peer, Detour::BodyTooLarge).await,
            }
        }
        self.compose_reads(&received, &parts)
    }

    /// Whether what is left of a batch of reads goes as a batch.
    fn sends_batches(&self) -> bool {
        let refused_until = self.engine.batches_refused_until.load(Ordering::Relaxed);
        self.engine.config.storefront.batch == BatchMode::Batch
            && refused_until <= self.engine.clock.now().as_millis()
    }

    /// One part's answer, by the path of a single request, and how long that took.
    async fn answer_part(&self, read: &Read) -> (Answered, Duration) {
        let started = self.engine.clock.monotonic();
        let answered = match &read.task {
            Task::One(errand) => self.answer_one(errand, &read.terms, None).await,
            Task::Listed(listed) => self.answer_list(Arc::clone(listed), &read.terms, None).await,
        };
        (answered, self.engine.clock.monotonic().saturating_sub(started))
    }

    /// An answer as a part, counted as a request of its own. `None` where there is no `room` for its
    /// body, in bytes, or it broke off.
    async fn part(
        &self,
        item: usize,
        answered: Answered,
        took: Duration,
        room: &mut usize,
    ) -> Option<Part> {
        let Answered { response, operation, served, .. } = answered;
        self.counts.count(operation.as_deref(), served, took);
        let (head, body) = response.into_parts();
        let body = Limited::new(body, *room).collect().await.ok()?.to_bytes();
        *room -= body.len();
        Some(Part { item, served, status: head.status, headers: head.headers, body })
    }

    fn compose_reads(&self, received: &Received, parts: &[Part]) -> Answered {
        let told = told(parts);
        let parts = until_error(parts, received.continues);
        let replies: Vec<Reply<'_>> =
            parts.iter().map(|part| part.reply(&received.batch)).collect();
        let version = parts.iter().find_map(|part| part.headers.get(ODATA_VERSION));
        let mut headers = HeaderMap::new();
        headers.extend(version.map(|version| (ODATA_VERSION, version.clone())));
        self.compose(received, &replies, headers, told)
    }

    /// Answers a batch that is not of reads alone.
    async fn answer_mixed(&self, received: Received, reads: Vec<Read>, peer: Peer) -> Answered {
        let limit = self.engine.config.limits.stored_body_bytes;
        let mut room = limit;
        let mut own: Vec<Part> = Vec::new();
        for read in &reads {
            let started = self.engine.clock.monotonic();
            let Some(answered) = self.answer_part_from_store(read).await else { continue };
            let took = self.engine.clock.monotonic().saturating_sub(started);
            // For what there is no room the origin is asked with the rest.
            own.extend(self.part(read.item, answered, took, &mut room).await);
        }
        if own.is_empty() {
            return self.pass_batch(received, peer, Detour::NotInCatalogue).await;
        }
        // Nothing behind an error is answered, and so nothing behind it is sent.
        let first_error = own.iter().find(|part| part.is_error()).map(|part| part.item);
        let end = match first_error.filter(|_| !received.continues) {
            Some(item) => item,
            None => received.batch.items().len(),
        };
        let choice = |item: usize| {
            let is_own = own.iter().any(|part| part.item == item);
            if is_own || item >= end { Choice::LeaveOut } else { Choice::Verbatim }
        };
        let choices: Vec<Choice<'_>> = (0..received.batch.items().len()).map(choice).collect();
        let is_sent = |item: &usize| matches!(choice(*item), Choice::Verbatim);
        let sent: Vec<usize> = (0..end).filter(is_sent).collect();
        if sent.is_empty() {
            return self.compose_reads(&received, &own);
        }
        let boundary = gathering::boundary();
        let written = match received.batch.rewrite(&choices, &boundary) {
            Ok(written) => written,
            Err(error) => return self.pass_batch(received, peer, Detour::Batch(error)).await,
        };
        let passed = self.pass(smaller(&received.head, written), peer, None, Detour::PartOfBatch);
        self.compose_mixed(&received, &own, &sent, passed.await, limit).await
    }

    /// What of a part the store has.
    async fn answer_part_from_store(&self, read: &Read) -> Option<Answered> {
        match &read.task {
            Task::One(errand) => {
                let found = self.engine.look_up(errand);
                self.serve(errand, &read.terms, found, Served::Hit).await.ok()
            }
            Task::Listed(listed) => self.list_from_store(listed, &read.terms).await,
        }
    }

    /// Puts the origin's answers and ours together.
    async fn compose_mixed(
        &self,
        received: &Received,
        own: &[Part],
        sent: &[usize],
        passed: Answered,
        limit: usize,
    ) -> Answered {
        let (mut head, body) = passed.response.into_parts();
        let content_type = head.headers.get(CONTENT_TYPE).cloned();
        let (true, Some(content_type)) = (head.status.is_success(), content_type) else {
            let response = Response::from_parts(head, body);
            return Answered { response, ..passed };
        };
        let bypass = CacheStatus::forwarded(Forwarded::Bypass);
        let Ok(body) = Limited::new(body, limit).collect().await else {
            return failed(None, ProxyError::OriginBroken, bypass);
        };
        let bounds = Limits { parts: self.engine.config.limits.batch_parts, bytes: limit };
        let answers = received.batch.read_answers(sent, &content_type, &body.to_bytes(), bounds);
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => {
                tracing::info!(%error, "the origin's answer to a batch cannot be read");
                return failed(None, ProxyError::OriginBroken, bypass);
            }
        };
        let of_origin = answers.iter().map(|answer| (answer.item, Reply::Verbatim(answer)));
        let of_ours = own.iter().map(|part| (part.item, part.reply(&received.batch)));
        let mut replies: Vec<_> = of_origin.chain(of_ours).collect();
        replies.sort_by_key(|(item, _)| *item);
        if let Some(last) = last_answered(received, own, sent, &answers) {
            replies.retain(|(item, _)| *item <= last);
        }
        let replies: Vec<Reply<'_>> = replies.into_iter().map(|(_, reply)| reply).collect();
        for name in [CONTENT_TYPE, CONTENT_LENGTH, CACHE_STATUS] {
            head.headers.remove(name);
        }
        let told = CacheStatus {
            pieces: Some((own.len(), received.batch.items().len())),
            ..CacheStatus::forwarded(Forwarded::Partial)
        };
        self.compose(received, &replies, head.headers, (Served::Partial, told))
    }

    fn compose(
        &self,
        received: &Received,
        replies: &[Reply<'_>],
        mut headers: HeaderMap,
        (served, told): (Served, CacheStatus),
    ) -> Answered {
        let Written { content_type, body } =
            match received.batch.write_answers(replies, &gathering::boundary()) {
                Ok(written) => written,
                Err(error) => {
                    tracing::error!(%error, "the answer to a batch cannot be written");
                    return failed(None, ProxyError::Internal, told);
                }
            };
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(CACHE_STATUS, told.to_value());
        let mut response = Response::new(Body::from(body));
        *response.headers_mut() = headers;
        Answered::new(response, None, served)
    }
}

impl Part {
    fn is_error(&self) -> bool {
        is_error(self.status)
    }

    fn reply<'p>(&'p self, batch: &'p Batch) -> Reply<'p> {
        let id = batch.items().get(self.item).and_then(|item| item.id.as_deref());
        Reply::Own(Own { id, status: self.status, headers: &self.headers, body: &self.body })
    }
}

/// Whether a part's answer ends a batch that is not to go on after an error.
fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// The parts up to the first error, itself included; all of them where the batch goes on.
fn until_error(parts: &[Part], continues: bool) -> &[Part] {
    let first = parts.iter().position(Part::is_error);
    let end = first.filter(|_| !continues).map_or(parts.len(), |first| first + 1);
    parts.get(..end).unwrap_or(parts)
}

/// Behind which part of a mixed batch nothing is answered, where it does not go on after an error.
///
/// Where the origin stopped is its own to say: a group that fails has several answers, of which the
/// first is an error.
fn last_answered(
    received: &Received,
    own: &[Part],
    sent: &[usize],
    answers: &[Answer],
) -> Option<usize> {
    if received.continues {
        return None;
    }
    // In JSON they stand in any order.
    let last = answers.iter().max_by_key(|answer| answer.item);
    let has_failed =
        |answer: &Answer| answer.response.as_ref().is_some_and(|told| is_error(told.status));
    if answers.len() < sent.len() || last.is_some_and(has_failed) {
        return Some(last.map_or(0, |answer| answer.item));
    }
    own.iter().find(|part| part.is_error()).map(|part| part.item)
}

/// How a batch of reads was answered, and what its client is told of that.
fn told(parts: &[Part]) -> (Served, CacheStatus) {
    let is_from_store = |part: &&Part| {
        matches!(
            part.served,
            Served::Hit | Served::SharedHit | Served::Stale | Served::StaleIfError
        )
    };
    let from_store = parts.iter().filter(is_from_store).count();
    let (served, status) = match from_store {
        all if all == parts.len() => (Served::Hit, CacheStatus::default()),
        0 => (Served::Miss, CacheStatus::forwarded(Forwarded::UriMiss)),
        _ => (Served::Partial, CacheStatus::forwarded(Forwarded::Partial)),
    };
    (served, CacheStatus { pieces: Some((from_store, parts.len())), ..status })
}

/// The client's batch, with less in it.
fn smaller(head: &Parts, written: Written) -> Request<RequestBody> {
    let mut request = Request::new(RequestBody::from(written.body));
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.uri.clone();
    *request.version_mut() = head.version;
    let headers = request.headers_mut();
    headers.clone_from(&head.headers);
    headers.remove(CONTENT_LENGTH);
    // Its answer is taken apart here.
    headers.remove(ACCEPT_ENCODING);
    headers.insert(CONTENT_TYPE, written.content_type);
    request
}
