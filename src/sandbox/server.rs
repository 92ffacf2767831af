//! The story of a request, from the door to the answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::assortment::mix;
use super::batch;
use super::changes::Changes;
use super::control;
use super::deliver::{MetadataLevel, Outgoing, refuse, respond_bytes};
use super::faults::{Faults, RateLimit, Sickness};
use super::language::Language;
use super::preflight;
use super::problem::Problem;
use super::push::Pusher;
use super::request::{Asked, Destination, find, path_under_root, split_root};
use super::shop::Shop;
use super::stats::Stats;
use super::wire::Reset;
use crate::clock::Clock;

const CONTROL_ROOT: &str = "sandbox";
const MAX_BODY_BYTES: usize = 8 << 20;
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) clock: Clock,
    pub(crate) shop: Shop,
    pub(crate) faults: Faults,
    pub(crate) stats: Stats,
    pub(crate) limit: Option<RateLimit>,
    pub(crate) pusher: Option<Pusher>,
    pub(crate) latency: Duration,
    pub(crate) latency_jitter: Duration,
    pub(crate) page_size: usize,
    pub(crate) preflights: bool,
    pub(crate) seed: u64,
    pub(crate) address: SocketAddr,
    pub(crate) requests: AtomicU64,
}

impl Engine {
    pub(crate) fn changes(&self) -> Changes<'_> {
        Changes { shop: &self.shop, pusher: self.pusher.as_ref() }
    }

    /// The latency of the next request: even within ± the jitter, and the same series for a seed.
    fn next_latency(&self) -> Duration {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let share = (mix(self.seed, number) >> 11) as f64 / (1_u64 << 53) as f64;
        let span = self.latency_jitter.mul_f64(2.0 * share);
        (self.latency + span).saturating_sub(self.latency_jitter)
    }
}

/// Answers one request.
pub(crate) async fn serve(
    engine: Arc<Engine>,
    reset: Reset,
    request: Request<Incoming>,
) -> Result<Response<Outgoing>, Infallible> {
    let (parts, body) = request.into_parts();
    if let Some(path) = control_path(parts.uri.path()) {
        return Ok(match read_body(body).await {
            Ok(body) => {
                let (status, value) = control::answer(&engine, &parts.method, path, &body).await;
                let bytes = Bytes::from(value.to_string());
                respond_bytes(status, Some(bytes), "application/json", &parts.headers)
            }
            Err(problem) => refuse_plainly(&problem, &parts.headers),
        });
    }
    let path = match path_under_root(&parts.uri) {
        Ok(path) => path,
        Err(problem) => return Ok(refuse_plainly(&problem, &parts.headers)),
    };
    if engine.preflights
        && let Some(response) = preflight::answer(&parts)
    {
        return Ok(response);
    }
    let target = find(&parts, path);
    let subject = Destination::subject(&target);
    engine.stats.count(subject);
    let request = Asked::read(&engine, &parts);
    if let Some(Err(retry_after_s)) = engine.limit.as_ref().map(super::faults::RateLimit::admit) {
        return Ok(request.refuse(&Problem::Throttled { retry_after_s }));
    }
    let latency = engine.next_latency();
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let sickness = engine.faults.strike(subject).await;
    let response = match sickness {
        Some(Sickness::Status(status)) => return Ok(request.refuse(&Problem::Sick(status))),
        Some(Sickness::Reset) => reset.now().await,
        _ => answer(&engine, &reset, &request, target, body).await,
    };
    let response = response.unwrap_or_else(|problem| request.refuse(&problem));
    Ok(match sickness {
        Some(Sickness::Truncate) => response.map(Outgoing::cut_half_way),
        _ => response,
    })
}

async fn answer(
    engine: &Engine,
    reset: &Reset,
    request: &Asked<'_>,
    target: Result<Destination, Problem>,
    body: Incoming,
) -> Result<Response<Outgoing>, Problem> {
    let body = read_body(body).await?;
    match target? {
        Destination::Batch => batch::answer(engine, reset, request, &body).await,
        destination => request.answer(engine, destination, &body),
    }
}

/// What follows the control paths' root, where a path is one of them.
fn control_path(path: &str) -> Option<&str> {
    let (root, rest) = split_root(path);
    (root == CONTROL_ROOT).then_some(rest)
}

fn refuse_plainly(problem: &Problem, headers: &HeaderMap) -> Response<Outgoing> {
    refuse(problem, Language::English, MetadataLevel::Minimal, headers)
}

async fn read_body(body: Incoming) -> Result<Bytes, Problem> {
    let collected =
        tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY_BYTES).collect()).await;
    match collected {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::BodyTooLarge),
        Ok(Err(error)) => Err(Problem::MalformedBody(error.to_string())),
        Err(_) => Err(Problem::MalformedBody("it did not arrive in time".into())),
    }
}
