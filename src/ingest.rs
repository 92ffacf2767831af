//! The ingest endpoint: push events in, purges out.
//!
//! `POST /ingest/cdx` goes: judge the head → read the body → verify the signature → read the events
//! → work out what they purge → purge → remember their ids → answer. Nothing is applied before the
//! whole delivery is read and found right, and the answer is given once the purge stands.
//!
//! The contract for senders is `docs/push-events.md`.

mod authentication;
mod dead_letters;
pub mod delivery;
pub mod effect;
pub mod event;
mod json;
mod refusal;
mod remembered;
mod spans;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::ALLOW;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;

use crate::clock::{Clock, Timestamp};
use crate::config;
use crate::error::json_response;
use crate::metrics::Metrics;
use crate::purge::fleet::Spread;
use crate::purge::{Effect, Purger, Schedule, Sequence};
use crate::small_body;
use crate::traces::Tracer;

use authentication::{Authenticator, Claim};
use delivery::{Content, Delivered, Unreadable, read_delivery};
use effect::effect_of;
use event::{Event, FieldError};
use refusal::{ALLOWED_METHODS, Refusal};
use remembered::{IdDigest, RememberedIds};

pub use authentication::CredentialError;
pub use dead_letters::{DeadLetter, DeadLetters};

/// Where events are posted.
pub const PATH: &str = "/ingest/cdx";

/// How long an event's `source` and `id` are remembered: as long as Event Grid retries.
const EVENT_IDS_REMEMBERED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Bytes of a sender's name for an event that go into a log line.
const MAX_LOGGED_BYTES: usize = 128;

/// The ingest endpoint.
#[derive(Debug)]
pub struct Ingest {
    rules: ArcSwap<Rules>,
    clock: Clock,
    metrics: Metrics,
    purger: Purger,
    schedule: Schedule,
    dead_letters: Arc<DeadLetters>,
    event_ids: RememberedIds,
    delivery_ids: RememberedIds,
    tracer: Option<Arc<Tracer>>,
}

/// What deliveries are judged by. A delivery is judged by one from its beginning to its end.
#[derive(Debug)]
struct Rules {
    settings: config::Ingest,
    authenticator: Authenticator,
}

impl Rules {
    fn new(settings: config::Ingest) -> Result<Self, CredentialError> {
        Ok(Self { authenticator: Authenticator::new(&settings)?, settings })
    }

    /// How long a delivery could be replayed: a signature that came from ahead verifies for twice the
    /// tolerance, in whole seconds.
    const fn replayable_for(&self) -> Duration {
        self.settings.tolerance.saturating_mul(2).saturating_add(Duration::from_secs(1))
    }
}

/// What one delivery comes to, before anything of it is applied.
#[derive(Default)]
struct Plan {
    now: Effect,
    later: Vec<(Timestamp, Effect)>,
    /// One for each event, in order.
    outcomes: Vec<Outcome>,
    new_ids: HashSet<IdDigest>,
}

/// What becomes of one event.
#[derive(Clone, Copy)]
enum Outcome {
    Purges { tags: usize },
    Duplicate,
    KeptAside,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Purges { .. } => "purged",
            Self::Duplicate => "duplicate",
            Self::KeptAside => "dead-lettered",
        }
    }
}

impl Ingest {
    /// An endpoint that purges by `purger`. To be called within a Tokio runtime: it owns the task
    /// that applies what is scheduled.
    ///
    /// # Errors
    /// Names the secret or token that cannot be used.
    pub fn new(
        settings: config::Ingest,
        purger: Purger,
        metrics: Metrics,
        clock: Clock,
    ) -> Result<Self, CredentialError> {
        // So that they can be watched before the first of each.
        for reason in Refusal::REASONS {
            metrics.ingest_refused.with_label_values(&[reason]);
        }
        let rules = Rules::new(settings)?;
        let settings = &rules.settings;
        let schedule = Schedule::start(purger.clone(), clock.clone(), metrics.clone(), settings);
        Ok(Self {
            dead_letters: Arc::new(DeadLetters::new(settings.dead_letters, metrics.clone())),
            event_ids: RememberedIds::new(settings.remembered_ids, EVENT_IDS_REMEMBERED_FOR),
            delivery_ids: RememberedIds::new(settings.remembered_ids, rules.replayable_for()),
            rules: ArcSwap::from_pointee(rules),
            tracer: None,
            purger,
            schedule,
            clock,
            metrics,
        })
    }

    /// Goes by other settings from the next delivery on. What is remembered, kept and scheduled stays,
    /// as far as it has room.
    ///
    /// # Errors
    /// Names the secret or token that cannot be used; then nothing has changed.
    pub fn reconfigure(&self, settings: config::Ingest) -> Result<(), CredentialError> {
        let rules = Rules::new(settings)?;
        let settings = &rules.settings;
        self.dead_letters.set_max(settings.dead_letters);
        self.event_ids.set_bounds(settings.remembered_ids, EVENT_IDS_REMEMBERED_FOR);
        self.delivery_ids.set_bounds(settings.remembered_ids, rules.replayable_for());
        self.schedule.reconfigure(settings);
        self.rules.store(Arc::new(rules));
        Ok(())
    }

    /// The same, with spans of events.
    #[must_use]
    pub fn with_tracer(self, tracer: Option<Arc<Tracer>>) -> Self {
        Self { tracer, ..self }
    }

    /// The events kept aside, for the control endpoint.
    pub fn dead_letters(&self) -> Arc<DeadLetters> {
        Arc::clone(&self.dead_letters)
    }

    /// Answers one request.
    pub async fn respond<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let answer = if request.uri().path() != PATH {
            Err(Refusal::UnknownPath)
        } else if request.method() == Method::POST {
            self.accept(request).await
        } else if request.method() == Method::OPTIONS {
            Ok(permit_delivery(request.headers()))
        } else {
            Err(Refusal::Method)
        };
        answer.unwrap_or_else(|refusal| {
            self.metrics.ingest_refused.with_label_values(&[refusal.as_str()]).inc();
            tracing::debug!(reason = refusal.as_str(), "delivery refused");
            refusal.response()
        })
    }

    async fn accept<B>(&self, request: Request<B>) -> Result<Response<Full<Bytes>>, Refusal>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let started = self.clock.monotonic();
        let (head, body) = request.into_parts();
        let rules = self.rules.load_full();
        let Rules { settings, authenticator } = &*rules;
        let claim = authenticator
            .judge_head(&head.headers, self.clock.now())
            .map_err(Refusal::Unauthenticated)?;
        let body = small_body::read(body, settings.body_bytes).await.map_err(Refusal::Body)?;
        let delivery_id = match claim {
            Claim::Accepted => None,
            Claim::Signed(signature) => {
                let id =
                    authenticator.verify(&signature, &body).map_err(Refusal::Unauthenticated)?;
                Some(self.delivery_ids.digest(&[&id]))
            }
        };
        let now = self.clock.now();
        let events = read_delivery(&head.headers, &body, settings.events, now)
            .map_err(Refusal::Unreadable)?;
        let replayed = delivery_id.is_some_and(|id| self.delivery_ids.contains(id, now));
        let plan = self.plan(&events, replayed, now)?;
        let applied = self.schedule.apply(plan.now, plan.later).await.map_err(Refusal::Refused);
        let sequence = applied.as_ref().map(|stamp| stamp.sequence);
        self.trace(&head.headers, started, &events, &plan.outcomes, sequence);
        let stamp = applied?;
        // Only now: had the purge failed, the sender's next try must not be a duplicate. Two
        // deliveries of one event at the same time purge twice, which is harmless.
        self.event_ids.remember(plan.new_ids, now);
        self.delivery_ids.remember(delivery_id, now);
        for (event, outcome) in events.iter().zip(&plan.outcomes) {
            self.report(event, *outcome, stamp.sequence);
        }
        let spread = match settings.wait_for_fleet {
            true => self.purger.spread(stamp).await,
            false => None,
        };
        Ok(accepted(&plan.outcomes, stamp.sequence, spread.as_ref()))
    }

    /// Works out what a delivery does, and applies none of it.
    fn plan(&self, events: &[Delivered], replayed: bool, now: Timestamp) -> Result<Plan, Refusal> {
        let mut plan = Plan::default();
        for (index, delivered) in events.iter().enumerate() {
            let effect = match &delivered.content {
                Content::Event(event) => Some((event, effect_at(index, event)?)),
                Content::DeadLetter { .. } => None,
            };
            let id = delivered.identity.as_ref().map(|identity| {
                self.event_ids.digest(&[identity.source.as_str(), identity.id.as_str()])
            });
            let seen_before =
                id.is_some_and(|id| self.event_ids.contains(id, now) || !plan.new_ids.insert(id));
            plan.outcomes.push(match effect {
                _ if replayed || seen_before => Outcome::Duplicate,
                None => Outcome::KeptAside,
                Some((event, effect)) => {
                    let tags = effect.len();
                    if let Some(moment) = event.effective_at.filter(|moment| *moment > now) {
                        plan.later.push((moment, effect.clone()));
                    }
                    plan.now.merge(effect);
                    Outcome::Purges { tags }
                }
            });
        }
        Ok(plan)
    }

    /// Counts and logs one event, and keeps it where it is a dead letter.
    fn report(&self, delivered: &Delivered, outcome: Outcome, sequence: Sequence) {
        let now = self.clock.now();
        let identity = delivered.identity.as_ref();
        let mut ids = 0;
        match (&delivered.content, outcome) {
            (_, Outcome::Duplicate) => self.metrics.duplicate_events.inc(),
            (Content::Event(event), _) => {
                ids = event.ids.len();
                let labels = [delivered.form.as_str(), event.subject.as_str()];
                self.metrics.purge_events.with_label_values(&labels).inc();
                if let Some(time) = delivered.time {
                    let lag = now.saturating_since(time);
                    self.metrics.purge_lag_seconds.observe(lag.as_secs_f64());
                }
            }
            (Content::DeadLetter { reason, event }, _) => {
                let type_name = &delivered.type_name;
                self.dead_letters.add(DeadLetter::new(now, *reason, type_name, identity, event));
            }
        }
        // As string values, which both formats escape: a sender cannot write log lines of its own.
        tracing::info!(
            r#type = logged(&delivered.type_name),
            source = identity.map(|identity| logged(&identity.source)),
            id = identity.map(|identity| logged(&identity.id)),
            form = delivered.form.as_str(),
            outcome = outcome.as_str(),
            sequence = sequence.as_u64(),
            ids,
            tags = match outcome {
                Outcome::Purges { tags } => tags,
                _ => 0,
            },
            "push event"
        );
    }
}

fn effect_at(index: usize, event: &Event) -> Result<Effect, Refusal> {
    effect_of(event).map_err(|nothing| {
        let error = FieldError::whole(format!("needs at least one of {}", nothing.needs));
        Refusal::Unreadable(Unreadable::Malformed { index: Some(index), error })
    })
}

fn logged(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_LOGGED_BYTES)).unwrap_or_default()
}

fn accepted(
    outcomes: &[Outcome],
    sequence: Sequence,
    spread: Option<&Spread>,
) -> Response<Full<Bytes>> {
    let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|one| wanted(one)).count();
    let mut body = serde_json::Map::new();
    body.insert("accepted".to_owned(), outcomes.len().into());
    body.insert("sequence".to_owned(), sequence.as_u64().into());
    for (name, number) in [
        ("duplicates", count(|outcome| matches!(outcome, Outcome::Duplicate))),
        ("deadLettered", count(|outcome| matches!(outcome, Outcome::KeptAside))),
    ] {
        if number > 0 {
            body.insert(name.to_owned(), number.into());
        }
    }
    if let Some(spread) = spread {
        body.insert("fleet".to_owned(), spread.to_json());
    }
    json_response(StatusCode::OK, &body.into())
}

/// The validation handshake of CloudEvents' "HTTP 1.1 Web Hooks" §4: without the two headers in
/// the answer, a sender such as Event Grid does not deliver.
fn permit_delivery(headers: &HeaderMap) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let answer = response.headers_mut();
    answer.insert(ALLOW, HeaderValue::from_static(ALLOWED_METHODS));
    match headers.get("webhook-request-origin") {
        Some(origin) => {
            answer.insert("webhook-allowed-origin", origin.clone());
            answer.insert("webhook-allowed-rate", HeaderValue::from_static("*"));
        }
        None => *response.status_mut() = StatusCode::NO_CONTENT,
    }
    response
}
