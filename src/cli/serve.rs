//! `csu-edge serve`: one node, from its configuration to its drain.

use std::path::Path;
use std::process::ExitCode;

use csu_edge::clock::Clock;
use csu_edge::config::{Config, ConfigErrors};
use csu_edge::node::{Addresses, Node, StartError};
use csu_edge::telemetry::{self, TelemetryError};
use serde::Serialize;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;

use super::say;

/// What a shell makes of a process that ended by a signal: this and the signal's number.
const ENDED_BY_SIGNAL: u8 = 128;

/// Why a node did not start.
#[derive(Debug, Error)]
pub(crate) enum ServeError {
    #[error("the configuration cannot be used\n{0}")]
    Config(#[from] ConfigErrors),
    #[error(transparent)]
    Log(#[from] TelemetryError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the process cannot be told to stop by signals")]
    Signals(#[source] std::io::Error),
    #[error("the stand-in Retail Server cannot be started")]
    Sandbox(#[source] std::io::Error),
}

/// The line that tells a script, or a test, where a node that was given port 0 listens.
#[derive(Serialize)]
struct Announcement {
    listening: Addresses,
}

/// Runs a node until SIGTERM or SIGINT, then drains it. A second signal ends it at once. SIGHUP, and a
/// change of the file, gives it another configuration.
pub(crate) async fn serve(path: &Path) -> Result<ExitCode, ServeError> {
    let config = Config::load(path, std::env::vars_os())?;
    let log_filter = telemetry::init(&config.log)?;
    // Before the node starts: a signal that comes meanwhile is not lost.
    let signals = Signals::new().map_err(ServeError::Signals)?;
    let hangup = signal(SignalKind::hangup()).map_err(ServeError::Signals)?;
    let node = Node::start(config.clone(), Clock::system()).await?;
    let reloader = node.reloader();
    reloader.log_by(log_filter);
    let following = tokio::spawn(reloader.follow(path.to_owned(), config, hangup));
    let _following = AbortOnDropHandle::new(following);
    if let Ok(line) = serde_json::to_string(&Announcement { listening: node.addresses() }) {
        say(&line);
    }
    until_drained(node, signals).await;
    Ok(ExitCode::SUCCESS)
}

/// Waits for a signal, then drains the node. A second signal ends the process.
pub(super) async fn until_drained(node: Node, mut signals: Signals) {
    let first = signals.next().await;
    tracing::info!(signal = first.name, "draining");
    tokio::select! {
        _ = node.drain() => {}
        second = signals.next() => {
            tracing::warn!(signal = second.name, "ended before it was drained");
            // Not by returning: that would wait for threads which are busy.
            std::process::exit((ENDED_BY_SIGNAL + second.number).into())
        }
    }
}

/// The signals that end a node.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

struct Ending {
    name: &'static str,
    number: u8,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Ending {
        tokio::select! {
            _ = self.terminate.recv() => Ending { name: "SIGTERM", number: 15 },
            _ = self.interrupt.recv() => Ending { name: "SIGINT", number: 2 },
        }
    }
}
