//! How requests were answered, and the counters of that.

use std::time::Duration;

use http::{Method, StatusCode};
use prometheus::Histogram;

use crate::metrics::{Counter, CounterVec, Metrics};
use crate::operation::{Catalogue, Operation};

/// How a request was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Served {
    /// From memory, fresh.
    Hit,
    /// From the tier that nodes share, fresh.
    SharedHit,
    /// From the store, stale, while a revalidation runs.
    Stale,
    /// From the store, stale, because the origin failed.
    StaleIfError,
    /// From the store in part, the rest by a fetch.
    Partial,
    /// By a fetch of its own.
    Miss,
    /// By another request's fetch.
    Collapsed,
    /// Passed through.
    Pass,
    /// By the proxy itself: a CORS preflight, or a method that is not for a gateway.
    Itself,
    /// By an error of the proxy's.
    Error,
}

impl Served {
    /// Every way, in the order of their declaration.
    pub const ALL: [Self; 10] = [
        Self::Hit,
        Self::SharedHit,
        Self::Stale,
        Self::StaleIfError,
        Self::Partial,
        Self::Miss,
        Self::Collapsed,
        Self::Pass,
        Self::Itself,
        Self::Error,
    ];

    /// The way, as a metric label and a log field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::SharedHit => "hit-redis",
            Self::Stale => "stale",
            Self::StaleIfError => "stale-if-error",
            Self::Partial => "partial",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
            Self::Pass => "pass",
            Self::Itself => "itself",
            Self::Error => "error",
        }
    }
}

/// One worker's families of counters by operation.
#[derive(Clone)]
struct Families {
    requests: CounterVec,
    pieces: CounterVec,
}

/// One worker's counters of requests, found once instead of by their labels on every request.
pub(super) struct RequestCounts {
    families: Families,
    /// By operation (the last row is for none of the catalogue's), then by [`Served`].
    requests: Vec<[Counter; Served::ALL.len()]>,
    seconds: [Histogram; Served::ALL.len()],
    repeats: Counter,
    /// The same of pieces, where the operation's answers come apart.
    pieces: Vec<Option<[Counter; Served::ALL.len()]>>,
}

impl RequestCounts {
    /// Those of one more worker.
    pub(super) fn of(catalogue: &Catalogue, metrics: &Metrics) -> Self {
        let families =
            Families { requests: metrics.requests.for_one(), pieces: metrics.pieces.for_one() };
        let seconds = metrics.request_seconds.for_one();
        let seconds = Served::ALL.map(|served| seconds.with_label_values(&[served.as_str()]));
        Self::with(catalogue, families, seconds, metrics.repeats.for_one())
    }

    /// Those of the same worker for another catalogue.
    pub(super) fn of_same_worker(&self, catalogue: &Catalogue) -> Self {
        Self::with(catalogue, self.families.clone(), self.seconds.clone(), self.repeats.clone())
    }

    fn with(
        catalogue: &Catalogue,
        families: Families,
        seconds: [Histogram; Served::ALL.len()],
        repeats: Counter,
    ) -> Self {
        let Families { requests, pieces } = &families;
        let row = |operation: &str, class: &str| {
            Served::ALL
                .map(|served| requests.with_label_values(&[operation, class, served.as_str()]))
        };
        let mut rows: Vec<_> = catalogue
            .operations()
            .iter()
            .map(|operation| row(&operation.name, operation.class.as_str()))
            .collect();
        rows.push(row("other", "none"));
        let of_pieces = catalogue.operations().iter().map(|operation| {
            let of =
                |served: Served| pieces.with_label_values(&[&*operation.name, served.as_str()]);
            operation.decomposition.as_ref().map(|_| Served::ALL.map(of))
        });
        let pieces = of_pieces.collect();
        Self { requests: rows, seconds, repeats, pieces, families }
    }

    /// Counts a hit whose request was not read.
    pub(super) fn count_repeat(&self) {
        self.repeats.inc();
    }

    /// Counts pieces that an answer for a list was put together from.
    #[allow(clippy::indexing_slicing, reason = "one element for each variant of `Served`")]
    pub(super) fn count_pieces(&self, operation: &Operation, served: Served, pieces: usize) {
        if let Some(Some(row)) = self.pieces.get(operation.index) {
            row[served as usize].inc_by(pieces as u64);
        }
    }

    /// Counts a request that was answered.
    #[allow(clippy::indexing_slicing, reason = "one element for each variant of `Served`")]
    pub(super) fn count(&self, operation: Option<&Operation>, served: Served, took: Duration) {
        let row = operation.map_or(self.requests.len() - 1, |operation| operation.index);
        if let Some(row) = self.requests.get(row) {
            row[served as usize].inc();
        }
        self.seconds[served as usize].observe(took.as_secs_f64());
    }
}

/// Logs a request that was answered.
pub(super) fn tell(
    method: &Method,
    operation: Option<&Operation>,
    served: Served,
    status: StatusCode,
    took: Duration,
) {
    tracing::debug!(
        %method,
        operation = operation.map_or("-", |operation| &operation.name),
        result = served.as_str(),
        status = status.as_u16(),
        took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        "request",
    );
}
