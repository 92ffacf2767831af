//! The story of a request, from the door to the answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_LANGUAGE, AUTHORIZATION, HOST, HeaderMap};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::{Map, Value};

use super::answers::Answer;
use super::assortment::mix;
use super::call::{Call, validate};
use super::changes::Changes;
use super::control;
use super::deliver::{Addresses, MetadataLevel, Outgoing, refuse, render, respond, respond_bytes};
use super::faults::{Faults, RateLimit, Sickness};
use super::identity::authenticate;
use super::language::Language;
use super::metadata;
use super::operations::{Resolved, check_key, resolve};
use super::problem::Problem;
use super::push::Pusher;
use super::shop::Shop;
use super::stats::Stats;
use super::url::{Query, parse_path, resolve as resolve_aliases, resolve_literal};
use super::wire::Reset;
use crate::clock::Clock;

/// The service root's path, compared without regard to case.
pub(crate) const SERVICE_ROOT: &str = "Commerce";
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
    let path = parts.uri.path().trim_start_matches('/').to_owned();
    let (root, path) = path.split_once('/').unwrap_or((&path, ""));
    if root == CONTROL_ROOT {
        return Ok(match read_body(body).await {
            Ok(body) => {
                let (status, value) = control::answer(&engine, &parts.method, path, &body).await;
                let bytes = Bytes::from(value.to_string());
                respond_bytes(status, Some(bytes), "application/json", &parts.headers)
            }
            Err(problem) => refuse_plainly(&problem, &parts.headers),
        });
    }
    if !root.eq_ignore_ascii_case(SERVICE_ROOT) {
        let problem = Problem::UnknownOperation(root.to_owned());
        return Ok(refuse_plainly(&problem, &parts.headers));
    }
    let target = find(&parts, path);
    let index = target.as_ref().ok().and_then(Destination::operation_index);
    engine.stats.count(index);
    let request = Asked::read(&engine, &parts);
    if let Some(Err(retry_after_s)) = engine.limit.as_ref().map(super::faults::RateLimit::admit) {
        return Ok(request.refuse(&Problem::Throttled { retry_after_s }));
    }
    let latency = engine.next_latency();
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let sickness = engine.faults.strike(index).await;
    let response = match sickness {
        Some(Sickness::Status(status)) => return Ok(request.refuse(&Problem::Sick(status))),
        Some(Sickness::Reset) => reset.now().await,
        _ => {
            let body = read_body(body).await;
            match body.and_then(|body| request.answer(&engine, target?, &body)) {
                Ok(response) => response,
                Err(problem) => request.refuse(&problem),
            }
        }
    };
    Ok(match sickness {
        Some(Sickness::Truncate) => response.map(Outgoing::cut_half_way),
        _ => response,
    })
}

fn refuse_plainly(problem: &Problem, headers: &HeaderMap) -> Response<Outgoing> {
    refuse(problem, Language::English, MetadataLevel::Minimal, headers)
}

/// What a path under the service root leads to.
enum Destination {
    ServiceDocument,
    Metadata,
    Health,
    Operation(Resolved),
}

impl Destination {
    fn operation_index(&self) -> Option<usize> {
        match self {
            Self::Operation(resolved) => Some(resolved.index),
            _ => None,
        }
    }
}

fn find(parts: &Parts, path: &str) -> Result<Destination, Problem> {
    match path {
        "" => Ok(Destination::ServiceDocument),
        "$metadata" | "%24metadata" => Ok(Destination::Metadata),
        "healthcheck" => Ok(Destination::Health),
        _ => {
            let segments = parse_path(path).ok_or(Problem::MalformedUrl)?;
            resolve(&parts.method, segments).map(Destination::Operation)
        }
    }
}

/// What a request's head says, whatever it asks for.
struct Asked<'r> {
    parts: &'r Parts,
    language: Language,
    level: MetadataLevel,
    addresses: Addresses,
}

impl<'r> Asked<'r> {
    fn read(engine: &Engine, parts: &'r Parts) -> Self {
        let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let authority = parts.uri.authority().map(http::uri::Authority::as_str);
        let own_address = engine.address.to_string();
        let host = authority.or_else(|| header(HOST)).unwrap_or(&own_address);
        Self {
            parts,
            language: Language::negotiate(header(ACCEPT_LANGUAGE).unwrap_or_default()),
            level: MetadataLevel::of(&parts.headers),
            addresses: Addresses {
                service_root: format!("http://{host}/{SERVICE_ROOT}"),
                request: format!("http://{host}{}", parts.uri.path()),
            },
        }
    }

    fn refuse(&self, problem: &Problem) -> Response<Outgoing> {
        refuse(problem, self.language, self.level, &self.parts.headers)
    }

    fn answer(
        &self,
        engine: &Engine,
        destination: Destination,
        body: &Bytes,
    ) -> Result<Response<Outgoing>, Problem> {
        let headers = &self.parts.headers;
        match destination {
            Destination::Operation(resolved) => self.call(engine, resolved, body),
            Destination::Metadata => {
                let document = Bytes::from(metadata::csdl());
                Ok(respond_bytes(StatusCode::OK, Some(document), "application/xml", headers))
            }
            Destination::Health => {
                let well = Bytes::from_static(b"OK");
                Ok(respond_bytes(StatusCode::OK, Some(well), "text/plain", headers))
            }
            Destination::ServiceDocument => {
                let document = metadata::service_document(&self.addresses.service_root);
                Ok(respond(StatusCode::OK, Some(&document), self.level, headers))
            }
        }
    }

    fn call(
        &self,
        engine: &Engine,
        resolved: Resolved,
        body: &Bytes,
    ) -> Result<Response<Outgoing>, Problem> {
        let headers = &self.parts.headers;
        let header = |name: &str| match headers.get(name) {
            None => Ok(None),
            Some(value) => value.to_str().map(Some).map_err(|_| Problem::MalformedUrl),
        };
        let Resolved { operation, entity_key, arguments, .. } = resolved;
        let caller = match header(AUTHORIZATION.as_str())? {
            None => None,
            Some(credentials) => Some(authenticate(credentials, engine.clock.now())?),
        };
        let query = Query::parse(self.parts.uri.query().unwrap_or_default())
            .ok_or(Problem::MalformedUrl)?;
        let entity_key = match entity_key {
            None => None,
            Some(key) => Some(resolve_literal(key, &query).ok_or(Problem::MalformedUrl)?),
        };
        check_key(operation, entity_key.as_ref())?;
        let parameters = if operation.is_action {
            read_parameters(body)?
        } else {
            resolve_aliases(arguments, &query).ok_or(Problem::MalformedUrl)?
        };
        validate(operation.parameters, &parameters)?;
        let operating_unit = header("OUN")?;
        let call =
            Call::new(&engine.shop, operating_unit, self.language, caller, entity_key, parameters)?;
        let answer: Answer<'_> = (operation.answer)(&call)?;
        let (status, value) =
            render(answer, &query, engine.page_size, self.level, &self.addresses)?;
        Ok(respond(status, value.as_ref(), self.level, headers))
    }
}

/// An action's parameters: a JSON object, or nothing for one that needs none.
fn read_parameters(body: &Bytes) -> Result<Map<String, Value>, Problem> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    serde_json::from_slice(body).map_err(|error| Problem::MalformedBody(error.to_string()))
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
