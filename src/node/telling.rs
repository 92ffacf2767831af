//! What a node tells of its requests to others than their clients: the access log, and traces.

use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use super::StartError;
use crate::access_log::{AccessLog, Writing};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::proxy::Engine;
use crate::traces::{Exporting, Tracer};

/// What tells of requests, and who writes that. Dropped, nobody waits for the writers.
pub(super) struct Telling {
    log: Option<Arc<AccessLog>>,
    writing: Option<Writing>,
    pub(super) tracer: Option<Arc<Tracer>>,
    exporting: Option<Exporting>,
    _reopening: Option<AbortOnDropHandle<()>>,
}

impl Telling {
    /// Starts what the configuration wants.
    pub(super) fn start(config: &Config, metrics: &Metrics) -> Result<Self, StartError> {
        let log = AccessLog::start(&config.access_log, metrics).map_err(StartError::AccessLog)?;
        let (log, writing) = log.unzip();
        let reopening = match writing.as_ref().filter(|writing: &&Writing| writing.is_to_file()) {
            Some(writing) => Some(writing.reopen_on_signal().map_err(StartError::AccessLog)?),
            None => None,
        };
        let reopening = reopening.map(|task| AbortOnDropHandle::new(tokio::spawn(task)));
        let (tracer, exporting) = Tracer::start(config, metrics)?.unzip();
        Ok(Self { log, writing, tracer, exporting, _reopening: reopening })
    }

    /// An engine whose requests are told of.
    pub(super) fn equip(&self, engine: Engine) -> Engine {
        engine.with_access_log(self.log.clone()).with_tracer(self.tracer.clone())
    }

    /// Writes what is left, within bounds. To be called when no request runs any more.
    pub(super) async fn finish(self) {
        let log = async {
            if let Some(writing) = self.writing {
                writing.finish().await;
            }
        };
        let spans = async {
            if let Some(exporting) = self.exporting {
                exporting.finish().await;
            }
        };
        tokio::join!(log, spans);
    }
}
