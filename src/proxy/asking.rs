//! Asking the origin: through the gate, and counted.
//!
//! What the gate lets in leaves at once, and is made at that moment: so a call that had to wait takes
//! along what joined it meanwhile. A read that was not answered, because no connection came about or
//! it broke off before the head, is asked once more where the gate has room; one that came too late
//! is not, since its client has waited long enough.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use prometheus::IntGauge;

use super::decoded_body::OriginBody;
use super::engine::Engine;
use crate::body::BodyError;
use crate::error::ProxyError;
use crate::metrics::Metrics;
use crate::operation::Class;
use crate::origin::gate::{Admission, Ending, Patience, Priority, retry_after};
use crate::origin::{OriginClient, OriginError, RequestBody};
use crate::traces::Trail;

/// What a request to the origin is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// An answer that may be stored.
    Fetch,
    /// Whether what is stored still stands.
    Revalidate,
    /// Several of these at once.
    Batch,
    /// A request passed through.
    Pass,
}

impl Purpose {
    /// Every purpose.
    const ALL: [Self; 4] = [Self::Fetch, Self::Revalidate, Self::Batch, Self::Pass];

    /// The purpose, as a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Revalidate => "revalidate",
            Self::Batch => "batch",
            Self::Pass => "pass",
        }
    }
}

/// On which terms a request leaves.
pub struct Leave {
    /// The class of what is asked, where the catalogue knows it.
    pub class: Option<Class>,
    /// Who lets it in.
    pub standing: Standing,
}

/// Who lets a request in; the first before the others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Standing {
    /// The gate, for a client that waits for it.
    Client(Patience),
    /// The gate, where it has room for more than clients: nobody waits for it.
    Behind(Priority),
}

impl Standing {
    /// A client that waits, and might be served something stale instead.
    pub const fn of_client(has_stand_in: bool) -> Self {
        Self::Client(if has_stand_in { Patience::None } else { Patience::Waits })
    }
}

/// Who can be asked. The origin is; a test's script is another.
pub trait FetchOrigin: Send + Sync + 'static {
    /// Sends the request as soon as it may leave, and waits for the head of the answer.
    fn fetch<'a>(&'a self, leave: Leave, departing: Departing<'a>) -> Asked<'a>;

    /// The request for which the origin is asked, where it is traced.
    fn trail(&self) -> Option<&Arc<Trail>> {
        None
    }

    /// The same, for one request's trace; `None` where there are no traces.
    fn for_request(&self, _: &Arc<Trail>) -> Option<Arc<dyn FetchOrigin>> {
        None
    }
}

/// Makes a request at the moment at which it leaves, and says what it is for.
pub type Departing<'a> = Box<dyn FnOnce() -> (Purpose, Request<Bytes>) + Send + 'a>;

/// An answer's head to come.
pub type Asked<'a> =
    Pin<Box<dyn Future<Output = Result<Response<OriginBody>, OriginError>> + Send + 'a>>;

/// The origin, asked over one worker's connections.
pub(super) struct Origin {
    pub(super) engine: Arc<Engine>,
    pub(super) client: Arc<OriginClient>,
}

impl FetchOrigin for Origin {
    fn fetch<'a>(&'a self, leave: Leave, departing: Departing<'a>) -> Asked<'a> {
        Box::pin(async move {
            let Leave { class, standing } = leave;
            let gate = &self.engine.gate;
            let admission = match standing {
                Standing::Behind(priority) => gate.try_enter(priority)?,
                Standing::Client(patience) => gate.enter(patience).await?,
            };
            let (purpose, request) = departing();
            let first = self.send(purpose, class, admission, request.clone()).await;
            let is_waited_for = matches!(standing, Standing::Client(_));
            match first {
                Err(error) if is_waited_for && was_not_answered(&error) => {
                    match gate.enter(Patience::None).await {
                        Ok(admission) => {
                            self.engine.metrics.origin_retries.inc();
                            self.send(purpose, class, admission, request).await
                        }
                        Err(_) => Err(error),
                    }
                }
                answered => answered,
            }
        })
    }
}

impl Origin {
    async fn send(
        &self,
        purpose: Purpose,
        class: Option<Class>,
        admission: Admission,
        request: Request<Bytes>,
    ) -> Result<Response<OriginBody>, OriginError> {
        let sending = self.client.send(request.map(RequestBody::from));
        let response = self.engine.asking(purpose, class, admission, sending).await?;
        Ok(response.map(|body| OriginBody::new(body.map_err(BodyError::Broken))))
    }
}

/// Whether the origin may be asked the same again at once.
const fn was_not_answered(error: &OriginError) -> bool {
    matches!(
        error,
        OriginError::Unreachable(_) | OriginError::ConnectTimeout | OriginError::Broken(_)
    )
}

/// What those who wait are told of a fetch that failed.
pub(super) fn failed(error: &OriginError, operation: &str) -> ProxyError {
    // The gate's refusals are counted, and are too many to be told.
    if !matches!(error, OriginError::Shut(_)) {
        let source = error.source().map(ToString::to_string);
        tracing::info!(%error, source, operation, "a fetch failed");
    }
    error.into()
}

/// How a request that was sent may end, as metric labels: by the class of its status, or without an
/// answer. What the gate refuses was not sent, and no final answer is of the class 1xx.
const OUTCOMES: [&str; 10] = [
    "2xx",
    "3xx",
    "4xx",
    "5xx",
    "unreachable",
    "connect-timeout",
    "timeout",
    "broken",
    "client-broken",
    "client-stalled",
];

/// Shows the counters of requests to the origin, so that they can be watched before the first of each.
pub(super) fn show(metrics: &Metrics) {
    for purpose in Purpose::ALL {
        for outcome in OUTCOMES {
            metrics.origin_requests.with_label_values(&[purpose.as_str(), outcome]);
        }
    }
}

impl Engine {
    /// Whether the gate has room for what nobody waits for. It may have none by the time that is sent:
    /// then whoever has come to wait for it meanwhile asks by itself.
    pub(super) fn has_room(&self, priority: Priority) -> bool {
        self.gate.has_room(priority)
    }

    /// Waits for the head of the origin's answer, counts it, and tells the gate.
    ///
    /// # Errors
    /// Those of `sending`.
    pub(super) async fn asking<B>(
        &self,
        purpose: Purpose,
        class: Option<Class>,
        admission: Admission,
        sending: impl Future<Output = Result<Response<B>, OriginError>>,
    ) -> Result<Response<B>, OriginError> {
        let sent = self.clock.monotonic();
        let under_way = admission.leave(class);
        let in_flight = InFlight::enter(&self.metrics.origin_in_flight);
        let answer = sending.await;
        drop(in_flight);
        if let Some(ending) = self.ending_of(&answer) {
            under_way.end(ending);
        }
        let took = self.clock.monotonic().saturating_sub(sent);
        if matches!(purpose, Purpose::Fetch | Purpose::Revalidate) && answer.is_ok() {
            self.pace.note(took);
        }
        let purpose = purpose.as_str();
        self.metrics.origin_seconds.with_label_values(&[purpose]).observe(took.as_secs_f64());
        let outcome = match &answer {
            Ok(response) => status_class(response.status()),
            Err(error) => error.as_str(),
        };
        self.metrics.origin_requests.with_label_values(&[purpose, outcome]).inc();
        if answer.as_ref().is_ok_and(|response| response.status() == StatusCode::TOO_MANY_REQUESTS)
        {
            self.metrics.origin_throttled.inc();
        }
        answer
    }

    /// What an answer says of the origin; nothing where its client broke off.
    fn ending_of<B>(&self, answer: &Result<Response<B>, OriginError>) -> Option<Ending> {
        match answer {
            Ok(response) => Some(Ending::Answered {
                status: response.status(),
                retry_after: retry_after(response.headers(), self.clock.now()),
            }),
            Err(OriginError::ClientBroken(_) | OriginError::ClientStalled) => None,
            Err(_) => Some(Ending::Failed),
        }
    }
}

/// Counted down again when the request ends, or its client leaves.
struct InFlight<'a>(&'a IntGauge);

impl<'a> InFlight<'a> {
    fn enter(gauge: &'a IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

const fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_in_which_a_request_ends_is_shown_before_the_first_that_does() {
        let cause = || "cause".into();
        let without_answer = [
            OriginError::Unreachable(cause()),
            OriginError::ConnectTimeout,
            OriginError::Timeout,
            OriginError::Broken(cause()),
            OriginError::ClientBroken(cause()),
            OriginError::ClientStalled,
        ];
        let answered = (200..=599).map(|code| status_class(StatusCode::from_u16(code).unwrap()));
        let metrics = Metrics::new().unwrap();
        show(&metrics);
        let text = metrics.render().unwrap();
        for outcome in answered.chain(without_answer.iter().map(OriginError::as_str)) {
            let shown = format!("{{outcome=\"{outcome}\",purpose=\"fetch\"}} 0");
            assert!(text.contains(&shown), "{outcome}");
        }
    }
}
