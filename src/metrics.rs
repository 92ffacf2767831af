//! Every metric of the node, declared once, with its help text.
//!
//! Labels come from closed sets only (the operation catalogue, enums with an `as_str`), never from
//! a URL, a key, a tag or an id: the number of series is bounded by the configuration.
//!
//! Three histograms of time have their own buckets, for the reasons beside them.

mod per_worker;
mod process;
mod snapshot;

use prometheus::core::{AtomicU64, GenericCounter, GenericCounterVec};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

pub use per_worker::PerWorker;
pub use snapshot::{Distribution, Snapshot};

/// A counter of whole things.
pub type Counter = GenericCounter<AtomicU64>;
/// A family of counters of whole things.
pub type CounterVec = GenericCounterVec<AtomicU64>;

/// A hit takes tens of microseconds, a fetch from a CSU hundreds of milliseconds: the buckets
/// resolve both ends, and hold 1 ms and 5 ms, which are the bounds promised for hits.
const REQUEST_SECONDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0, 60.0,
];

/// From the event's time to the purge's standing: milliseconds where the event is pushed at once,
/// minutes where a job's run or a retrying sender lies between.
const PURGE_LAG_SECONDS: &[f64] =
    &[0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0];

/// A read takes a few tenths of a millisecond from a Redis in the same zone and is given up after
/// 50 ms, a purge after 1 s (by default): the buckets resolve the first and hold the limits. What
/// follows the purge log waits on purpose, and fills the last ones.
const REDIS_SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
];

/// The node's metrics. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// 1 where `/ready` says so.
    pub ready: IntGauge,
    /// Requests by operation, class and result.
    pub requests: PerWorker<CounterVec>,
    /// Time from a request's head to its answer's head, by result.
    pub request_seconds: PerWorker<HistogramVec>,
    /// Hits whose requests came before byte for byte, and were not read.
    pub repeats: PerWorker<Counter>,
    /// Pieces of answers for lists, by operation and how each came to be served.
    pub pieces: PerWorker<CounterVec>,
    /// Answers for lists that could not be taken apart, by operation and reason.
    pub undivided: CounterVec,
    /// Things asked for in calls for lists, by operation.
    pub origin_ids: CounterVec,
    /// Answers not stored, by reason.
    pub unstored: CounterVec,
    /// Requests sent to the origin, by purpose and the status class that came back.
    pub origin_requests: CounterVec,
    /// Time from sending to the origin's answer's head, by purpose.
    pub origin_seconds: HistogramVec,
    /// Requests to the origin whose answer's head is awaited.
    pub origin_in_flight: IntGauge,
    /// Reads that were asked a second time, having got no answer.
    pub origin_retries: Counter,
    /// 429 answers of the origin.
    pub origin_throttled: Counter,
    /// Requests let through the gate in front of the origin, by priority.
    pub gate_admitted: CounterVec,
    /// Requests that the gate kept back, by reason and priority.
    pub gate_refused: CounterVec,
    /// Requests past the gate that have not ended.
    pub gate_in_flight: IntGauge,
    /// How many of them there may be at once.
    pub gate_limit: IntGauge,
    /// Clients that wait at the gate.
    pub gate_waiting: IntGauge,
    /// Tokens left of the budget; no series without a budget.
    pub gate_tokens: IntGaugeVec,
    /// Whether the gate's breaker is closed (0), half-open (1) or open (2).
    pub gate_breaker_state: IntGauge,
    /// What is left of the time for which the origin asked to be left alone.
    pub gate_throttled_seconds: IntGauge,
    /// Bytes of stored responses, by tier.
    pub stored_bytes: IntGaugeVec,
    /// What [`Self::stored_bytes`] may come to, by tier.
    pub stored_bytes_limit: IntGaugeVec,
    /// Stored responses, by tier.
    pub stored_entries: IntGaugeVec,
    /// Stored responses removed by capacity or time, by tier and cause.
    pub evictions: CounterVec,
    /// Reads of the shared tier, by result.
    pub shared_reads: CounterVec,
    /// Writes to the shared tier, by result.
    pub shared_writes: CounterVec,
    /// Leases asked for, by result.
    pub shared_leases: CounterVec,
    /// Clients waiting on another client's fetch.
    pub collapse_waiters: IntGauge,
    /// Commands to Redis, by link, purpose and how they ended.
    pub redis_commands: CounterVec,
    /// Time from sending a command to its answer, or to giving it up.
    pub redis_command_seconds: HistogramVec,
    /// Whether a link's breaker is closed (0), half-open (1) or open (2).
    pub redis_breaker_state: IntGaugeVec,
    /// Connections to Redis given up, by link and reason.
    pub redis_connections_replaced: CounterVec,
    /// Push events accepted, by source and type.
    pub purge_events: CounterVec,
    /// Deliveries refused at the ingest listener, by reason.
    pub ingest_refused: CounterVec,
    /// Event ids seen before.
    pub duplicate_events: Counter,
    /// Purges by origin and mode.
    pub purges: CounterVec,
    /// Tags named by purges.
    pub purged_tags: Counter,
    /// Event time to applied.
    pub purge_lag_seconds: Histogram,
    /// The sequence number that this node has applied.
    pub purge_applied_sequence: IntGauge,
    /// Purges in the fleet's log that this node has not applied.
    pub purge_behind: IntGauge,
    /// 1 where this node cannot vouch for what it knows.
    pub purge_fenced: IntGauge,
    /// Lineages of the fleet's sequence that this node has changed to.
    pub purge_lineages_entered: Counter,
    /// Tags whose last purge is remembered.
    pub purge_remembered_tags: IntGauge,
    /// How many there may be, before everything is purged instead.
    pub purge_remembered_tags_limit: IntGauge,
    /// Purges waiting for their `effectiveAt`, or for their gathering span to end.
    pub purges_scheduled: IntGauge,
    /// Events that no rule knew what to do with, by reason.
    pub dead_letters: CounterVec,
    /// Dead letters kept for reading at the control listener.
    pub dead_letters_kept: IntGauge,
    /// Open connections, by listener.
    pub connections: IntGaugeVec,
    /// How many there may be, by listener.
    pub connections_limit: IntGaugeVec,
    /// Connections closed by a limit, by listener and limit.
    pub connections_closed: CounterVec,
    /// TLS handshakes that came to nothing, by listener.
    pub tls_handshake_failures: CounterVec,
    /// Changes of TLS files, by listener and outcome.
    pub tls_reloads: CounterVec,
    /// 1 where the TLS files are as those in use were, 0 where they were changed into something of no
    /// use, by listener.
    pub tls_files_usable: IntGaugeVec,
    /// When the certificate that is in use ends, in seconds since the Unix epoch, by listener.
    pub tls_certificate_expiry: IntGaugeVec,
    /// Configurations read while the node ran, by what became of them.
    pub config_reloads: CounterVec,
    /// 1 where the configuration that was read last is in force, 0 where it cannot be used.
    pub config_usable: IntGauge,
    /// When the configuration in force was put in force, in seconds since the Unix epoch.
    pub config_loaded: IntGauge,
    /// Requests that are not in the access log, by reason.
    pub access_log_dropped: CounterVec,
    /// Spans that did not get to the collector, by reason.
    pub spans_dropped: CounterVec,
    /// Spans that the collector took.
    pub spans_exported: Counter,
    /// Tasks that ended in a panic: each is a bug.
    pub panics: Counter,
}

impl Metrics {
    /// Declares and registers every metric.
    ///
    /// # Errors
    /// Fails only when two metrics here share a name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let declare = Declarations(Registry::new_custom(Some("csu_edge".to_owned()), None)?);
        let build =
            declare.gauges("build_info", "Always 1; the label tells the version", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            ready: declare.gauge("ready", "1 where the node should be sent requests, else 0")?,
            requests: declare.counters_per_worker(
                "requests_total",
                "Storefront requests by catalogue operation, its class and how they were answered",
                &["operation", "class", "result"],
            )?,
            request_seconds: declare.histograms_per_worker(
                "request_duration_seconds",
                "Time from a request's head to its answer's head",
                &["result"],
                REQUEST_SECONDS,
            )?,
            repeats: declare.counter_per_worker(
                "repeated_hits_total",
                "Hits whose requests came before byte for byte, and were not read",
            )?,
            pieces: declare.counters_per_worker(
                "pieces_total",
                "Pieces that answers for lists were put together from, by how each came about",
                &["operation", "result"],
            )?,
            undivided: declare.counters(
                "undivided_total",
                "Answers for lists that could not be taken apart and stay whole",
                &["operation", "reason"],
            )?,
            origin_ids: declare.counters(
                "origin_ids_total",
                "Things that the origin was asked for in calls for lists",
                &["operation"],
            )?,
            unstored: declare.counters(
                "unstored_total",
                "Answers that might have been stored and were not, by reason",
                &["reason"],
            )?,
            origin_requests: declare.counters(
                "origin_requests_total",
                "Requests to the origin, by purpose and status class (or the failure)",
                &["purpose", "outcome"],
            )?,
            origin_seconds: declare.histograms(
                "origin_request_duration_seconds",
                "Time from sending a request to the head of the origin's answer",
                &["purpose"],
                REQUEST_SECONDS,
            )?,
            origin_in_flight: declare.gauge(
                "origin_in_flight",
                "Requests to the origin whose answer's head is awaited",
            )?,
            origin_retries: declare.counter(
                "origin_retries_total",
                "Reads that the origin was asked once more, having given no answer",
            )?,
            origin_throttled: declare
                .counter("origin_throttled_total", "Answers of the origin with status 429")?,
            gate_admitted: declare.counters(
                "origin_gate_admitted_total",
                "Requests let through the gate in front of the origin, and sent",
                &["priority"],
            )?,
            gate_refused: declare.counters(
                "origin_gate_refused_total",
                "Requests that the gate in front of the origin kept back",
                &["reason", "priority"],
            )?,
            gate_in_flight: declare.gauge(
                "origin_gate_in_flight",
                "Requests past the gate in front of the origin that have not ended",
            )?,
            gate_limit: declare.gauge(
                "origin_gate_limit",
                "How many requests may be past the gate at once, by the origin's latency",
            )?,
            gate_waiting: declare.gauge("origin_gate_waiting", "Clients that wait for their turn")?,
            gate_tokens: declare.gauges(
                "origin_gate_tokens",
                "Tokens left of the budget; below 0 where writes have overdrawn it",
                &[],
            )?,
            gate_breaker_state: declare.gauge(
                "origin_gate_breaker_state",
                "Whether the origin is asked: 0 closed (it is), 1 half-open, 2 open (it is not)",
            )?,
            gate_throttled_seconds: declare.gauge(
                "origin_gate_throttled_seconds",
                "What is left of the time for which the origin asked to be left alone",
            )?,
            stored_bytes: declare.gauges("stored_bytes", "Bytes of stored responses", &["tier"])?,
            stored_bytes_limit: declare.gauges(
                "stored_bytes_limit",
                "What the bytes of stored responses may come to",
                &["tier"],
            )?,
            stored_entries: declare.gauges("stored_entries", "Stored responses", &["tier"])?,
            evictions: declare.counters(
                "evictions_total",
                "Stored responses removed by capacity or time",
                &["tier", "cause"],
            )?,
            shared_reads: declare.counters(
                "shared_reads_total",
                "Stored responses looked for in Redis, by what became of that",
                &["result"],
            )?,
            shared_writes: declare.counters(
                "shared_writes_total",
                "Writes to Redis behind an answer, by what became of them",
                &["result"],
            )?,
            shared_leases: declare.counters(
                "shared_leases_total",
                "Times that it was asked which node is to fetch, by the answer",
                &["result"],
            )?,
            collapse_waiters: declare
                .gauge("collapse_waiters", "Clients waiting on another client's fetch")?,
            redis_commands: declare.counters(
                "redis_commands_total",
                "Commands to Redis, by link, purpose and how they ended",
                &["link", "command", "outcome"],
            )?,
            redis_command_seconds: declare.histograms(
                "redis_command_duration_seconds",
                "Time from sending a command to Redis to its answer, or to giving it up",
                &["command"],
                REDIS_SECONDS,
            )?,
            redis_breaker_state: declare.gauges(
                "redis_breaker_state",
                "Whether commands get through: 0 closed (they do), 1 half-open, 2 open (they do not)",
                &["link"],
            )?,
            redis_connections_replaced: declare.counters(
                "redis_connections_replaced_total",
                "Connections to Redis given up, by link and reason",
                &["link", "reason"],
            )?,
            purge_events: declare.counters(
                "purge_events_total",
                "Push events accepted",
                &["source", "type"],
            )?,
            ingest_refused: declare.counters(
                "ingest_refused_total",
                "Deliveries refused at the ingest listener",
                &["reason"],
            )?,
            duplicate_events: declare
                .counter("duplicate_events_total", "Push events whose id was seen before")?,
            purges: declare.counters(
                "purges_total",
                "Purges that stand in the plane, by who asked",
                &["source"],
            )?,
            purged_tags: declare.counter("purged_tags_total", "Tags named by purges")?,
            purge_lag_seconds: declare.histogram(
                "purge_lag_seconds",
                "Time from an event's own time to its purge's standing on this node",
                PURGE_LAG_SECONDS,
            )?,
            purge_applied_sequence: declare.gauge(
                "purge_applied_sequence",
                "The number of the last purge applied on this node",
            )?,
            purge_behind: declare.gauge(
                "purge_behind",
                "Purges in the fleet's log that this node had not applied at its last beat",
            )?,
            purge_fenced: declare.gauge(
                "purge_fenced",
                "1 while this node cannot vouch for what it knows of purges",
            )?,
            purge_lineages_entered: declare.counter(
                "purge_lineages_entered_total",
                "Times that the fleet's purges began anew under this node",
            )?,
            purge_remembered_tags: declare
                .gauge("purge_remembered_tags", "Tags whose last purge is remembered")?,
            purge_remembered_tags_limit: declare.gauge(
                "purge_remembered_tags_limit",
                "How many tags may be remembered, before everything is purged instead",
            )?,
            purges_scheduled: declare
                .gauge("purges_scheduled", "Purges that wait for their moment")?,
            dead_letters: declare.counters(
                "dead_letters_total",
                "Events that no rule knew what to do with",
                &["reason"],
            )?,
            dead_letters_kept: declare.gauge(
                "dead_letters_kept",
                "Dead letters kept for reading at the control listener",
            )?,
            connections: declare.gauges("connections", "Open connections", &["listener"])?,
            connections_limit: declare.gauges(
                "connections_limit",
                "How many connections may be open",
                &["listener"],
            )?,
            connections_closed: declare.counters(
                "connections_closed_total",
                "Connections closed by a limit",
                &["listener", "limit"],
            )?,
            tls_handshake_failures: declare.counters(
                "tls_handshake_failures_total",
                "TLS handshakes that came to nothing",
                &["listener"],
            )?,
            tls_reloads: declare.counters(
                "tls_reloads_total",
                "Changes of TLS files: taken over (ok), or of no use (failed)",
                &["listener", "outcome"],
            )?,
            tls_files_usable: declare.gauges(
                "tls_files_usable",
                "0 where the TLS files were changed into something of no use, so that the old stand",
                &["listener"],
            )?,
            tls_certificate_expiry: declare.gauges(
                "tls_certificate_expiry_seconds",
                "When the certificate in use ends, in seconds since the Unix epoch",
                &["listener"],
            )?,
            config_reloads: declare.counters(
                "config_reloads_total",
                "Configurations read while the node ran, by what became of them",
                &["result"],
            )?,
            config_usable: declare.gauge(
                "config_usable",
                "0 where the configuration that was read last cannot be used, else 1",
            )?,
            config_loaded: declare.gauge(
                "config_loaded_timestamp_seconds",
                "When the configuration in force was put in force, in seconds since the Unix epoch",
            )?,
            access_log_dropped: declare.counters(
                "access_log_dropped_total",
                "Requests that are not in the access log, by reason",
                &["reason"],
            )?,
            spans_dropped: declare.counters(
                "spans_dropped_total",
                "Spans that did not get to the collector, by reason",
                &["reason"],
            )?,
            spans_exported: declare
                .counter("spans_exported_total", "Spans that the collector took")?,
            panics: declare
                .counter("panics_total", "Tasks that ended in a panic; each is a bug")?,
            registry: declare.0,
        })
    }

    /// What every metric says now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.registry)
    }

    /// The exposition text (`text/plain; version=0.0.4`).
    ///
    /// # Errors
    /// Fails only when a metric family is inconsistent.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let mut families = self.registry.gather();
        families.extend(process::families()?);
        TextEncoder::new().encode_to_string(&families)
    }
}

/// Creates and registers in one step.
struct Declarations(Registry);

impl Declarations {
    fn register<M: prometheus::core::Collector + Clone + 'static>(
        &self,
        metric: M,
    ) -> Result<M, prometheus::Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> Result<Counter, prometheus::Error> {
        self.register(Counter::new(name, help)?)
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<CounterVec, prometheus::Error> {
        self.register(CounterVec::new(Opts::new(name, help), labels)?)
    }

    fn counter_per_worker(
        &self,
        name: &'static str,
        help: &'static str,
    ) -> Result<PerWorker<Counter>, prometheus::Error> {
        self.register(PerWorker::new(move || Counter::new(name, help))?)
    }

    fn counters_per_worker(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&str],
    ) -> Result<PerWorker<CounterVec>, prometheus::Error> {
        self.register(PerWorker::new(move || CounterVec::new(Opts::new(name, help), labels))?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.register(IntGauge::new(name, help)?)
    }

    fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, prometheus::Error> {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn histogram(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> Result<Histogram, prometheus::Error> {
        self.register(Histogram::with_opts(
            HistogramOpts::new(name, help).buckets(buckets.to_vec()),
        )?)
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, prometheus::Error> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(HistogramVec::new(options, labels)?)
    }

    fn histograms_per_worker(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&str],
        buckets: &'static [f64],
    ) -> Result<PerWorker<HistogramVec>, prometheus::Error> {
        self.register(PerWorker::new(move || {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            HistogramVec::new(options, labels)
        })?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_declared_once_and_carries_the_prefix() {
        let metrics = Metrics::new().unwrap();
        metrics.purge_lag_seconds.observe(0.003);
        let text = metrics.render().unwrap();
        assert!(text.contains("csu_edge_build_info{version="));
        assert!(text.contains("csu_edge_purge_lag_seconds_bucket{le=\"0.005\"} 1"));
    }
}
