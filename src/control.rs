//! The control endpoint: what operators, probes and Prometheus ask of a node.
//!
//! | | |
//! |---|---|
//! | `GET /metrics` | every metric, in Prometheus' text format |
//! | `GET /live` | 200 while the process runs |
//! | `GET /ready` | 200, or 503 and why not |
//! | `GET /version` | the program's name and version, and which configuration is in force |
//! | `GET /console` | how the node is, as a page for people |
//! | `GET /status` | the same as JSON |
//! | `GET /dead-letters?limit=N` | push events that no rule knew what to do with, newest first |
//! | `POST /purge` | `{"tags":["price/item:82000"],"mode":"hard"}`: purges, answers the sequence; with `?wait=fleet` once every live node has applied it |
//! | `POST /explain` | what this node would do with a request, and why |
//!
//! It has no credentials: it listens on loopback, or on a network of the operator's. What a web
//! page in an operator's browser can send is refused: a POST needs the content type
//! `application/json`, which a page cannot send elsewhere without being allowed to, and no POST may
//! carry `Origin`, which a browser always adds. One may: `/explain`, which moves nothing, where the
//! origin is this listener's own, so that the console can ask it. On loopback the host must also be
//! an address or `localhost`, so that a name which is made to resolve to loopback (DNS rebinding)
//! reads nothing.

mod console;
mod explain;
mod readiness;
mod status;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, ORIGIN, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::error::{json_response, odata_error};
use crate::ingest::DeadLetters;
use crate::metrics::Metrics;
use crate::purge::{PurgeMode, PurgeRequest, PurgeSource, Purger, Unacknowledged};
use crate::small_body::{self, BodyError};
use crate::tag::Tag;

pub use explain::{Explain, ExplainRequest};
pub use readiness::{NotReady, Readiness};

/// The largest body of a request to this endpoint, in bytes (413).
const MAX_BODY_BYTES: usize = 1 << 20;

/// Dead letters listed when the request does not say how many.
const DEFAULT_LETTERS: usize = 100;

/// What the control endpoint shows and moves.
pub struct Node {
    /// Where purges go.
    pub purger: Purger,
    /// What `/metrics` renders.
    pub metrics: Metrics,
    /// What `/ready` tells.
    pub readiness: Arc<Readiness>,
    /// What `/dead-letters` lists.
    pub dead_letters: Arc<DeadLetters>,
    /// What works less well than it should, for `/ready` to tell: the node serves all the same.
    pub degraded: Box<dyn Fn() -> Vec<&'static str> + Send + Sync>,
    /// What `/version` tells of the configuration in force: nothing from which a secret follows.
    pub configuration: Box<dyn Fn() -> Value + Send + Sync>,
    /// What `/explain` asks.
    pub explain: Arc<dyn Explain>,
    /// Called before each scrape, to set the gauges that are not kept up to date otherwise.
    pub on_scrape: Box<dyn Fn() + Send + Sync>,
    /// Whether the endpoint listens on loopback alone: then the request's host must say so.
    pub loopback_only: bool,
    /// Whether it speaks TLS: then the origin of its page is `https`.
    pub tls: bool,
    /// What stored responses may take, in bytes.
    pub memory_bytes: u64,
    /// What time it is.
    pub clock: Clock,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("readiness", &self.readiness)
            .field("loopback_only", &self.loopback_only)
            .finish_non_exhaustive()
    }
}

/// The control endpoint.
#[derive(Debug)]
pub struct Control {
    node: Node,
    /// By the monotonic clock.
    started_at: Duration,
}

/// Why a request is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
enum Refusal {
    #[error("nothing is served here")]
    UnknownPath,
    #[error("this method is not served here")]
    Method(&'static str),
    #[error("this listener answers to an address or `localhost` only")]
    ForeignHost,
    #[error("web pages are not served here")]
    FromBrowser,
    #[error("the content type must be application/json")]
    MediaType,
    #[error("{0}")]
    Body(BodyError),
    #[error("{0}")]
    Malformed(String),
    #[error("{0}")]
    Unexplained(String),
    #[error("{0}")]
    Unacknowledged(Unacknowledged),
    #[error("the metrics cannot be rendered")]
    Metrics,
}

impl Refusal {
    const fn describe(&self) -> (StatusCode, &'static str) {
        match self {
            Self::UnknownPath => (StatusCode::NOT_FOUND, "unknown-path"),
            Self::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"),
            Self::ForeignHost => (StatusCode::MISDIRECTED_REQUEST, "foreign-host"),
            Self::FromBrowser => (StatusCode::FORBIDDEN, "from-browser"),
            Self::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type"),
            Self::Body(error) => (error.status(), error.as_str()),
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed-request"),
            Self::Unexplained(_) => (StatusCode::UNPROCESSABLE_ENTITY, "unexplained"),
            Self::Unacknowledged(error) => (StatusCode::SERVICE_UNAVAILABLE, error.as_str()),
            Self::Metrics => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    fn response(&self) -> Response<Full<Bytes>> {
        let (status, reason) = self.describe();
        let mut response = odata_error(status, reason, &self.to_string());
        let headers = response.headers_mut();
        match self {
            Self::Method(allowed) => {
                headers.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            Self::Unacknowledged(_) => {
                headers.insert(RETRY_AFTER, Unacknowledged::RETRY_AFTER.as_secs().into());
            }
            _ => {}
        }
        response
    }
}

type Answer = Result<Response<Full<Bytes>>, Refusal>;

/// What is served, by path.
#[derive(Clone, Copy)]
enum Resource {
    Metrics,
    Live,
    Ready,
    Version,
    Console,
    Status,
    DeadLetters,
    Purge,
    Explain,
}

impl Resource {
    fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/metrics" => Self::Metrics,
            "/live" => Self::Live,
            "/ready" => Self::Ready,
            "/version" => Self::Version,
            "/console" => Self::Console,
            "/status" => Self::Status,
            "/dead-letters" => Self::DeadLetters,
            "/purge" => Self::Purge,
            "/explain" => Self::Explain,
            _ => return None,
        })
    }

    const fn allowed_methods(self) -> &'static str {
        match self {
            Self::Purge | Self::Explain => "POST",
            _ => "GET, HEAD",
        }
    }

    fn allows(self, method: &Method) -> bool {
        self.allowed_methods().split(", ").any(|allowed| method == allowed)
    }
}

impl Control {
    /// The endpoint of a node.
    pub fn new(node: Node) -> Self {
        // So that it can be watched before the first.
        node.metrics.purges.with_label_values(&[PurgeSource::Operator.as_str()]);
        Self { started_at: node.clock.monotonic(), node }
    }

    /// Answers one request.
    pub async fn respond<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut response = self.answer(request).await.unwrap_or_else(|refusal| refusal.response());
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    async fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        if self.node.loopback_only && !is_local_host(&head) {
            return Err(Refusal::ForeignHost);
        }
        let resource = Resource::at(head.uri.path()).ok_or(Refusal::UnknownPath)?;
        if !resource.allows(&head.method) {
            return Err(Refusal::Method(resource.allowed_methods()));
        }
        match resource {
            Resource::Metrics => self.metrics(),
            Resource::Live => Ok(json_response(StatusCode::OK, &json!({ "live": true }))),
            Resource::Ready => Ok(self.readiness()),
            Resource::Version => Ok(version((self.node.configuration)())),
            Resource::Console => Ok(console::page()),
            Resource::Status => Ok(self.status().await),
            Resource::DeadLetters => self.dead_letters(head.uri.query()),
            Resource::Purge => {
                let waits = waits_for_fleet(head.uri.query())?;
                refuse_pages(&head.headers)?;
                self.purge(&read_json(&head.headers, body).await?, waits).await
            }
            Resource::Explain => {
                if !self.is_asked_by_its_own_page(&head) {
                    refuse_pages(&head.headers)?;
                }
                self.explain(&read_json(&head.headers, body).await?)
            }
        }
    }

    /// Whether a page of this listener asks: its origin is exactly the request's own.
    fn is_asked_by_its_own_page(&self, head: &Parts) -> bool {
        let scheme = if self.node.tls { "https" } else { "http" };
        let origins: Vec<_> = head.headers.get_all(ORIGIN).iter().collect();
        let (&[origin], Ok(Some(authority))) = (&origins[..], authority_of(head)) else {
            return false;
        };
        origin.as_bytes() == format!("{scheme}://{authority}").as_bytes()
    }

    /// Sets the gauges that are not kept up to date otherwise.
    fn measure(&self) {
        let Node { purger, metrics, on_scrape, readiness, .. } = &self.node;
        metrics.ready.set(readiness.reasons().is_empty().into());
        let plane = purger.plane();
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        metrics.purge_applied_sequence.set(gauge(plane.stamp().sequence.as_u64()));
        let remembered = u64::try_from(plane.remembered_tags()).unwrap_or(u64::MAX);
        metrics.purge_remembered_tags.set(gauge(remembered));
        metrics.purge_fenced.set(plane.is_fenced().into());
        on_scrape();
    }

    async fn status(&self) -> Response<Full<Bytes>> {
        self.measure();
        let members = self.node.purger.members().await;
        let uptime = self.node.clock.monotonic().saturating_sub(self.started_at);
        let told = status::status(&self.node, members.as_ref(), uptime.as_secs_f64());
        json_response(StatusCode::OK, &told)
    }

    fn metrics(&self) -> Answer {
        self.measure();
        let text = self.node.metrics.render().map_err(|error| {
            tracing::error!(%error, "the metrics cannot be rendered");
            Refusal::Metrics
        })?;
        let mut response = Response::new(Full::from(text));
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
        Ok(response)
    }

    fn readiness(&self) -> Response<Full<Bytes>> {
        let reasons = self.node.readiness.reasons();
        let status =
            if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let names: Vec<&str> = reasons.iter().map(|reason| reason.as_str()).collect();
        let mut body = json!({ "ready": reasons.is_empty(), "reasons": names });
        let degraded = (self.node.degraded)();
        if let Value::Object(body) = &mut body
            && !degraded.is_empty()
        {
            body.insert("degraded".to_owned(), degraded.into());
        }
        json_response(status, &body)
    }

    fn dead_letters(&self, query: Option<&str>) -> Answer {
        let mut limit = DEFAULT_LETTERS;
        for option in query.unwrap_or_default().split('&').filter(|option| !option.is_empty()) {
            limit = option
                .strip_prefix("limit=")
                .and_then(|number| number.parse().ok())
                .ok_or_else(|| Refusal::Malformed(format!("`{option}` is not `limit=NUMBER`")))?;
        }
        let letters: Vec<Value> =
            self.node.dead_letters.newest(limit).iter().map(|letter| letter.to_json()).collect();
        let body = json!({ "kept": self.node.dead_letters.len(), "deadLetters": letters });
        Ok(json_response(StatusCode::OK, &body))
    }

    async fn purge(&self, body: &[u8], waits_for_fleet: bool) -> Answer {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Asked {
            tags: Vec<String>,
            mode: Option<String>,
        }
        let asked: Asked = parse(body)?;
        if asked.tags.is_empty() {
            return Err(Refusal::Malformed("`tags`: names no tag".to_owned()));
        }
        let mode = asked.mode.map(|name| {
            PurgeMode::parse(&name)
                .ok_or_else(|| Refusal::Malformed("`mode`: must be hard or soft".to_owned()))
        });
        let mode = mode.transpose()?;
        let mut request = PurgeRequest::default();
        for (at, text) in asked.tags.iter().enumerate() {
            let tag = Tag::parse(text)
                .map_err(|error| Refusal::Malformed(format!("`tags[{at}]`: {text:?}: {error}")))?;
            let mode = mode.unwrap_or_else(|| PurgeMode::for_tag(&tag));
            request.push(tag, mode);
        }
        request.deduplicate();
        let stamp = self
            .node
            .purger
            .purge(&request, PurgeSource::Operator)
            .await
            .map_err(Refusal::Unacknowledged)?;
        let sequence = stamp.sequence.as_u64();
        self.node.metrics.purges.with_label_values(&[PurgeSource::Operator.as_str()]).inc();
        self.node.metrics.purged_tags.inc_by(u64::try_from(request.len()).unwrap_or(u64::MAX));
        tracing::info!(
            hard = request.hard.len(),
            soft = request.soft.len(),
            sequence,
            "purge by an operator"
        );
        let mut told = json!({ "sequence": sequence });
        if waits_for_fleet
            && let (Some(spread), Value::Object(told)) =
                (self.node.purger.spread(stamp).await, &mut told)
        {
            told.insert("fleet".to_owned(), spread.to_json());
        }
        Ok(json_response(StatusCode::OK, &told))
    }

    fn explain(&self, body: &[u8]) -> Answer {
        let request = ExplainRequest::read(parse(body)?).map_err(Refusal::Malformed)?;
        let explanation = self.node.explain.explain(request).map_err(Refusal::Unexplained)?;
        Ok(json_response(StatusCode::OK, &explanation))
    }
}

fn version(configuration: Value) -> Response<Full<Bytes>> {
    let body = json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "configuration": configuration,
    });
    json_response(StatusCode::OK, &body)
}

fn parse<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::Malformed(error.to_string()))
}

/// `?wait=fleet`.
fn waits_for_fleet(query: Option<&str>) -> Result<bool, Refusal> {
    match query.unwrap_or_default() {
        "" => Ok(false),
        "wait=fleet" => Ok(true),
        other => Err(Refusal::Malformed(format!("`{other}` is not `wait=fleet`"))),
    }
}

/// A browser adds `Origin` to every POST.
fn refuse_pages(headers: &HeaderMap) -> Result<(), Refusal> {
    match headers.contains_key(ORIGIN) {
        true => Err(Refusal::FromBrowser),
        false => Ok(()),
    }
}

async fn read_json<B>(headers: &HeaderMap, body: B) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = media_type.unwrap_or_default().split(';').next().unwrap_or_default();
    if !essence.trim().eq_ignore_ascii_case("application/json") {
        return Err(Refusal::MediaType);
    }
    small_body::read(body, MAX_BODY_BYTES).await.map_err(Refusal::Body)
}

/// Where the request is sent to, by its own word; `None` where it has none (HTTP/1.0).
fn authority_of(head: &Parts) -> Result<Option<Authority>, http::uri::InvalidUri> {
    match (head.uri.authority(), head.headers.get(HOST)) {
        (Some(authority), _) => Ok(Some(authority.clone())),
        (None, Some(host)) => host.as_bytes().try_into().map(Some),
        (None, None) => Ok(None),
    }
}

/// Whether the request names its host by an address or as `localhost`. No host at all comes from no
/// browser.
fn is_local_host(head: &Parts) -> bool {
    let is_local = |authority: Authority| {
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
    };
    authority_of(head).is_ok_and(|authority| authority.is_none_or(is_local))
}
