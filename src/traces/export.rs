//! The thread that exports.
//!
//! The exporter is the blocking one: on a thread of its own it needs no runtime, where the other would
//! look for one at each export.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use http::Uri;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::oneshot;

use super::Dropped;
use crate::clock::Clock;
use crate::config;
use crate::metrics::Metrics;
use crate::tls;

/// Where OTLP's own specification has a collector take spans.
const PATH: &str = "/v1/traces";

/// Spans in one export at most.
const BATCH: usize = 512;

/// How often it is told that the collector does not take spans.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// The longest that it takes to hear of the end.
const LOOKED_EVERY: Duration = Duration::from_millis(100);

/// Why spans cannot be exported as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// There is no thread for it.
    #[error("its thread cannot be started")]
    Thread(#[from] io::Error),
    /// The private CA cannot be used.
    #[error("traces.ca_file cannot be used")]
    CaFile(#[source] Box<dyn Error + Send + Sync>),
    /// TLS itself cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The client of the collector cannot be set up.
    #[error("the collector's client cannot be set up")]
    Client(#[from] reqwest::Error),
    /// The exporter cannot be set up.
    #[error("the exporter cannot be set up")]
    Exporter(#[from] ExporterBuildError),
    /// Its thread ended before it had begun.
    #[error("its thread ended before it had begun")]
    Ended,
}

pub(super) enum Message {
    Span(Box<SpanData>),
    /// There may be something else to do.
    Look,
}

/// The thread that exports. Dropped, it is told to end and not waited for.
pub struct Exporting {
    is_ending: Arc<AtomicBool>,
    wake: SyncSender<Message>,
    ended: Option<oneshot::Receiver<()>>,
    flush_for: Duration,
}

/// Starts it; what comes back takes spans.
pub(super) fn start(
    settings: &config::Traces,
    endpoint: &Uri,
    metrics: &Metrics,
) -> Result<(SyncSender<Message>, Exporting), TracesError> {
    let (sender, spans) = mpsc::sync_channel(settings.queue);
    let (ended, end) = oneshot::channel();
    let (begun, begin) = mpsc::sync_channel(1);
    let is_ending = Arc::new(AtomicBool::new(false));
    thread::Builder::new().name("traces".to_owned()).spawn({
        let (settings, endpoint, metrics) = (settings.clone(), endpoint.clone(), metrics.clone());
        let is_ending = Arc::clone(&is_ending);
        move || {
            // Made here: the blocking client must not be made where a runtime waits.
            let exporter = match exporter(&settings, &endpoint) {
                Ok(exporter) => exporter,
                Err(error) => return drop(begun.send(Err(error))),
            };
            let _ = begun.send(Ok(()));
            let every = settings.export_every;
            Exporter { exporter, spans, is_ending, every, metrics, told: None }.run();
            let _ = ended.send(());
        }
    })?;
    begin.recv().unwrap_or(Err(TracesError::Ended))?;
    let (wake, flush_for) = (sender.clone(), settings.flush_for);
    Ok((sender, Exporting { is_ending, wake, ended: Some(end), flush_for }))
}

impl Exporting {
    /// Ends it once all that waits is exported, or after `traces.flush_for`.
    pub async fn finish(mut self) {
        let Some(ended) = self.ended.take() else { return };
        self.end();
        if tokio::time::timeout(self.flush_for, ended).await.is_err() {
            tracing::warn!("the collector did not take what was left of the spans in time");
        }
    }

    fn end(&self) {
        self.is_ending.store(true, Ordering::Release);
        // Where the queue is full, the thread has enough to do until it looks.
        let _ = self.wake.try_send(Message::Look);
    }
}

impl Drop for Exporting {
    fn drop(&mut self) {
        self.end();
    }
}

struct Exporter {
    exporter: SpanExporter,
    spans: Receiver<Message>,
    is_ending: Arc<AtomicBool>,
    every: Duration,
    metrics: Metrics,
    /// When a failure was last told.
    told: Option<Duration>,
}

impl Exporter {
    fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            // Read first: what was left before the end was told is found below.
            let is_ending = self.is_ending.load(Ordering::Acquire);
            let is_over = self.gather(&mut batch, is_ending);
            let is_idle = batch.is_empty();
            if !is_idle {
                self.export(std::mem::take(&mut batch));
            }
            if is_over || is_ending && is_idle {
                return;
            }
        }
    }

    /// Gathers a batch: a full one, or what has come since the first. Whether nobody sends any more.
    fn gather(&self, batch: &mut Vec<SpanData>, is_ending: bool) -> bool {
        let clock = Clock::system();
        let mut until = None;
        while batch.len() < BATCH {
            let now = clock.monotonic();
            let left = until.map_or(LOOKED_EVERY, |until: Duration| until.saturating_sub(now));
            let wait = if is_ending { Duration::ZERO } else { left.min(LOOKED_EVERY) };
            match self.spans.recv_timeout(wait) {
                Ok(Message::Span(span)) => {
                    batch.push(*span);
                    until.get_or_insert(now + self.every);
                }
                Ok(Message::Look) => return false,
                Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => {
                    let is_due = until.is_none_or(|until| until <= clock.monotonic());
                    if is_due || is_ending || self.is_ending.load(Ordering::Acquire) {
                        return false;
                    }
                }
            }
        }
        false
    }

    fn export(&mut self, batch: Vec<SpanData>) {
        let spans = batch.len() as u64;
        match futures_executor::block_on(self.exporter.export(batch)) {
            Ok(()) => self.metrics.spans_exported.inc_by(spans),
            Err(error) => {
                self.metrics.spans_dropped(Dropped::ExportFailed, spans);
                let now = Clock::system().monotonic();
                if self.told.is_none_or(|told| now.saturating_sub(told) >= TOLD_EVERY) {
                    self.told = Some(now);
                    tracing::warn!(%error, "the collector does not take spans");
                }
            }
        }
    }
}

fn exporter(settings: &config::Traces, endpoint: &Uri) -> Result<SpanExporter, TracesError> {
    let client = reqwest::blocking::Client::builder()
        .tls_backend_preconfigured(tls_config(endpoint, settings.ca_file.as_deref())?)
        .timeout(settings.timeout)
        .connect_timeout(settings.timeout)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()?;
    let headers = settings.headers.iter();
    let headers: HashMap<String, String> = headers
        .map(|(name, value)| (name.as_str().to_owned(), value.reveal().to_owned()))
        .collect();
    let base = endpoint.to_string();
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}{PATH}", base.trim_end_matches('/')))
        .with_timeout(settings.timeout)
        .with_headers(headers)
        .with_http_client(client)
        .build()?;
    let resource = Resource::builder_empty()
        .with_service_name(settings.service.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("host.name", host_name()))
        .build();
    exporter.set_resource(&resource);
    Ok(exporter)
}

/// Where Linux tells the host's name.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

fn host_name() -> String {
    fs::read_to_string(HOST_NAME).unwrap_or_default().trim().to_owned()
}

/// The machine's authorities, and the private one.
fn tls_config(endpoint: &Uri, ca_file: Option<&Path>) -> Result<ClientConfig, TracesError> {
    let mut roots = RootCertStore::empty();
    // A collector in the clear needs none, and a small image may have none.
    if endpoint.scheme_str() == Some("https") {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if let Some(path) = ca_file {
        tls::client::add_authorities(path, &mut roots).map_err(TracesError::CaFile)?;
    }
    Ok(tls::client::believing(roots)?.with_no_client_auth())
}
