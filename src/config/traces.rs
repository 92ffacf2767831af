//! `[traces]`: spans for a collector.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, Uri};

use super::Secret;

/// `[traces]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Traces {
    /// Where the collector takes OTLP over HTTP, without `/v1/traces`. Default: there are no traces.
    pub endpoint: Option<Uri>,
    /// What each export carries beside, such as an API key.
    pub headers: Vec<(HeaderName, Secret)>,
    /// A PEM file with a private CA, trusted in addition to the machine's.
    pub ca_file: Option<PathBuf>,
    /// What spans call this program. Default `csu-edge`.
    pub service: String,
    /// Of requests whose sender says nothing of sampling, so many percent are sampled. Default 1.
    pub sample_percent: f64,
    /// Whether a request is sampled where its sender says so. Default true.
    pub follow_sampled: bool,
    /// From this time on a request is slow, and kept although it was not sampled. Default 1 s.
    pub slow_after: Duration,
    /// Spans that wait to be exported; past it they are dropped. Default 2,048.
    pub queue: usize,
    /// How long spans wait for others to be exported with. Default 1 s.
    pub export_every: Duration,
    /// Time for one export. Default 5 s.
    pub timeout: Duration,
    /// How long the end of the process waits for what is left to be exported. Default 2 s.
    pub flush_for: Duration,
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            endpoint: None,
            headers: Vec::new(),
            ca_file: None,
            service: "csu-edge".to_owned(),
            sample_percent: 1.0,
            follow_sampled: true,
            slow_after: Duration::from_secs(1),
            queue: 2_048,
            export_every: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
            flush_for: Duration::from_secs(2),
        }
    }
}
