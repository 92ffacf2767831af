//! `csu-edge serve`: one node, from its configuration to its drain.

use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;

use csu_edge::clock::Clock;
use csu_edge::config::{Config, ConfigErrors};
use csu_edge::handover::{HandoverError, Relief, Standby, Takeover};
use csu_edge::node::{Addresses, Node, StartError};
use csu_edge::telemetry::{self, TelemetryError};
use serde::Serialize;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;

use super::say;
use super::successor::Program;
use super::supervisor::Supervisor;

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
    #[error(transparent)]
    Handover(#[from] HandoverError),
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

/// Runs a node until SIGTERM or SIGINT, or until another process takes over, then drains it. A second
/// signal ends it at once. SIGHUP, and a change of the file, gives it another configuration.
pub(crate) async fn serve(path: &Path) -> Result<ExitCode, ServeError> {
    let config = Config::load(path, std::env::vars_os())?;
    let log_filter = telemetry::init(&config.log)?;
    // Before the node starts: a signal that comes meanwhile is not lost.
    let signals = Signals::new().map_err(ServeError::Signals)?;
    let hangup = signal(SignalKind::hangup()).map_err(ServeError::Signals)?;
    let supervisor = Supervisor::from_environment();
    let (node, standby) = start(config.clone(), &supervisor).await?;
    let reloader = node.reloader();
    reloader.log_by(log_filter);
    let following = tokio::spawn(reloader.follow(path.to_owned(), config, hangup));
    let _following = AbortOnDropHandle::new(following);
    if let Ok(line) = serde_json::to_string(&Announcement { listening: node.addresses() }) {
        say(&line);
    }
    until_drained(node, signals, standby, &supervisor).await;
    Ok(ExitCode::SUCCESS)
}

/// Starts a node, in place of the one that serves where there is one.
async fn start(
    config: Config,
    supervisor: &Supervisor,
) -> Result<(Node, Option<Standby>), ServeError> {
    let Some(path) = &config.listen.handover else {
        let node = Node::start(config, Clock::system()).await?;
        supervisor.ready(false);
        return Ok((node, None));
    };
    let mut takeover = Takeover::begin(path, config.listen.handover_timeout).await?;
    let node = Node::start_after(config, Clock::system(), takeover.predecessor()).await?;
    match takeover.complete(|relieves| supervisor.ready(relieves)).await {
        Ok(standby) => Ok((node, Some(standby))),
        Err(error) => {
            node.hand_back().await;
            Err(error.into())
        }
    }
}

/// Waits for a signal or for another process to take over, then drains the node. A second signal ends
/// the process.
pub(super) async fn until_drained(
    node: Node,
    mut signals: Signals,
    mut standby: Option<Standby>,
    supervisor: &Supervisor,
) {
    let relief = match until_told(&node, &mut signals, standby.as_ref()).await {
        Told::ToStop(signal) => {
            tracing::info!(signal, "draining");
            supervisor.stopping();
            // Nobody is to wait for a word from here.
            drop(standby.take());
            None
        }
        Told::ThatItIsRelieved(relief) => {
            tracing::info!("draining: another process serves");
            Some(relief)
        }
    };
    let mut is_first = relief.is_some();
    let mut drain = pin!(drain(node, relief));
    loop {
        tokio::select! {
            () = &mut drain => return,
            signal = signals.next() => {
                if std::mem::take(&mut is_first) {
                    tracing::info!(signal = signal.name, "draining already");
                    continue;
                }
                tracing::warn!(signal = signal.name, "ended before it was drained");
                // Not by returning: that would wait for threads which are busy.
                std::process::exit((ENDED_BY_SIGNAL + signal.number).into())
            }
        }
    }
}

enum Told {
    ToStop(&'static str),
    ThatItIsRelieved(Relief),
}

async fn until_told(node: &Node, signals: &mut Signals, standby: Option<&Standby>) -> Told {
    let program = Program::of_this_process();
    let mut relieved = pin!(relieved(standby, node));
    loop {
        tokio::select! {
            relief = &mut relieved => return Told::ThatItIsRelieved(relief),
            heard = signals.hear() => match (heard, standby) {
                (Heard::Stop(first), _) => return Told::ToStop(first.name),
                (Heard::Upgrade, Some(_)) => program.start(),
                (Heard::Upgrade, None) => {
                    tracing::warn!("SIGUSR2: without listen.handover nobody can take over");
                }
            },
        }
    }
}

/// Waits until another process serves: for ever, where none can ask.
async fn relieved(standby: Option<&Standby>, node: &Node) -> Relief {
    match standby {
        Some(standby) => standby.relieved(|| node.offer()).await,
        None => std::future::pending().await,
    }
}

async fn drain(node: Node, relief: Option<Relief>) {
    match relief {
        None => {
            node.drain().await;
        }
        Some(relief) => {
            node.hand_over(&relief).await;
            relief.is_known().await;
        }
    }
}

/// The signals that end a node, or have it relieved.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    upgrade: Signal,
}

enum Heard {
    Stop(Ending),
    Upgrade,
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
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next one that is to end the process.
    async fn next(&mut self) -> Ending {
        loop {
            if let Heard::Stop(ending) = self.hear().await {
                return ending;
            }
        }
    }

    async fn hear(&mut self) -> Heard {
        tokio::select! {
            _ = self.terminate.recv() => Heard::Stop(Ending { name: "SIGTERM", number: 15 }),
            _ = self.interrupt.recv() => Heard::Stop(Ending { name: "SIGINT", number: 2 }),
            _ = self.upgrade.recv() => Heard::Upgrade,
        }
    }
}
