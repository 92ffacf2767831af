//! The process that serves, ready to be relieved.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::line::{Line, LineError, SOCKETS_A_LINE};
use super::predecessor::Predecessor;
use super::{HandoverError, ListedListener, Listing, ToldPurge, after, greet, within};
use crate::purge::{PurgePlane, Purger, Told};

/// Purges on their way to the other process.
const PURGES_UNDER_WAY: usize = 64;

/// The pause after a failure to accept, such as no file descriptor being left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long the process that took over may need to tell its supervisor of itself.
const KNOWN_WITHIN: Duration = Duration::from_secs(5);

/// What a node has to hand over.
#[derive(Debug)]
pub struct Offer {
    /// Its listeners.
    pub listeners: Vec<OfferedListener>,
    /// The way of its purges.
    pub purger: Purger,
}

/// One listener of a node.
#[derive(Debug)]
pub struct OfferedListener {
    /// Its name: `storefront`.
    pub name: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    /// Every socket that its workers accept from.
    pub sockets: Vec<TcpListener>,
}

/// A process that can be relieved. Dropped, it cannot any more.
///
/// The socket's file stays where it is: whoever took it away could take away its successor's.
#[derive(Debug)]
pub struct Standby {
    listener: UnixListener,
    patience: Duration,
    /// What the process before this one still has to say.
    _predecessor: Option<Predecessor>,
}

/// Another process serves.
#[derive(Debug)]
pub struct Relief {
    taken: Vec<String>,
    known: oneshot::Receiver<()>,
    _attendant: AbortOnDropHandle<()>,
}

impl Relief {
    /// Whether it accepts from the sockets of this listener.
    pub fn has_taken(&self, listener: &str) -> bool {
        self.taken.iter().any(|taken| taken == listener)
    }

    /// Waits until whoever supervises knows the other process, and so takes the end of this one for
    /// what it is.
    pub async fn is_known(self) {
        let _ = tokio::time::timeout(KNOWN_WITHIN, self.known).await;
    }
}

impl Standby {
    pub(super) const fn new(
        listener: UnixListener,
        patience: Duration,
        predecessor: Option<Predecessor>,
    ) -> Self {
        Self { listener, patience, _predecessor: predecessor }
    }

    /// Waits until another process serves in place of this one. What others try in vain is logged.
    pub async fn relieved(&self, offer: impl Fn() -> io::Result<Offer>) -> Relief {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot be asked for the listeners");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let relief = match offer() {
                Ok(offer) => hand_over(stream, offer, self.patience).await,
                Err(error) => Err(LineError::from(error).into()),
            };
            match relief {
                Ok(relief) => return relief,
                Err(error) => tracing::warn!(%error, "no handover: this process serves on"),
            }
        }
    }
}

async fn hand_over(
    stream: UnixStream,
    offer: Offer,
    patience: Duration,
) -> Result<Relief, HandoverError> {
    let mut line = Line::new(stream);
    greet(&mut line).await?;
    tracing::info!("another process asks for the listeners");
    let listeners = offer.listeners;
    let names: Vec<_> = listeners.iter().map(|listener| listener.name).collect();
    let plane = match offer.purger {
        Purger::Alone(plane) => Some(plane),
        // What stands in Redis reaches the other process from there.
        Purger::Fleet(_) => None,
    };
    let mut attendant = Attendant::new(line, plane);
    let serving = within(patience, async {
        send_offer(&mut attendant.line, &listeners).await?;
        drop(listeners);
        attendant.until_serving().await
    });
    let taken = match serving.await {
        Ok(taken) => taken,
        Err(error) => {
            // It may be gone, or not read.
            let said = attendant.line.say("gave-up");
            let _ = tokio::time::timeout(Duration::from_millis(100), said).await;
            return Err(error);
        }
    };
    let taken = taken.split_whitespace().filter(|name| names.contains(name));
    let taken = taken.map(str::to_owned).collect();
    let (tell_known, known) = oneshot::channel();
    let attending = attendant.attend(tell_known);
    Ok(Relief { taken, known, _attendant: AbortOnDropHandle::new(tokio::spawn(attending)) })
}

async fn send_offer(line: &mut Line, listeners: &[OfferedListener]) -> Result<(), HandoverError> {
    let listed = |listener: &OfferedListener| ListedListener {
        name: listener.name.to_owned(),
        address: listener.address,
        sockets: listener.sockets.len(),
    };
    let listing = Listing { listeners: listeners.iter().map(listed).collect() };
    let listing = serde_json::to_string(&listing)
        .map_err(|error| HandoverError::Unexpected(error.to_string()))?;
    line.say(&format!("offer {listing}")).await?;
    let sockets: Vec<_> =
        listeners.iter().flat_map(|each| each.sockets.iter().map(AsFd::as_fd)).collect();
    for sockets in sockets.chunks(SOCKETS_A_LINE) {
        line.say_with(&format!("sockets {}", sockets.len()), sockets).await?;
    }
    Ok(())
}

/// Talks with the process that takes over, from the offer on.
struct Attendant {
    line: Line,
    /// Of a node without others: who hears of its purges.
    plane: Option<Arc<PurgePlane>>,
    purges: Option<mpsc::Receiver<Told>>,
    /// Who waits until a purge has been applied, in the order in which they were told.
    waiting: VecDeque<oneshot::Sender<()>>,
}

impl Attendant {
    const fn new(line: Line, plane: Option<Arc<PurgePlane>>) -> Self {
        Self { line, plane, purges: None, waiting: VecDeque::new() }
    }

    /// Returns the listeners from whose sockets the other process accepts.
    async fn until_serving(&mut self) -> Result<String, HandoverError> {
        loop {
            let said = self.next().await?.ok_or(HandoverError::WentAway)?;
            if said == "opening" {
                // Before the answer: what is purged from then on reaches the other process.
                if let Some(plane) = &self.plane {
                    let (told, purges) = mpsc::channel(PURGES_UNDER_WAY);
                    plane.successor().set(told);
                    self.purges = Some(purges);
                }
                self.line.say("opening").await?;
            } else if let Some(taken) = after("serving", &said) {
                if let Some(plane) = &self.plane {
                    plane.successor().is_in_place();
                }
                self.line.say("going").await?;
                return Ok(taken.to_owned());
            } else {
                return Err(HandoverError::Unexpected(said.chars().take(80).collect()));
            }
        }
    }

    /// Until the other process ends, or this one.
    async fn attend(mut self, tell_known: oneshot::Sender<()>) {
        let mut tell_known = Some(tell_known);
        loop {
            match self.next().await {
                Ok(Some(said)) if said == "known" => {
                    tell_known.take().map(|tell| tell.send(()));
                }
                Ok(Some(said)) => {
                    tracing::warn!(said, "the process that took over is not understood")
                }
                Ok(None) => return tracing::warn!("the process that took over has ended"),
                Err(error) => return tracing::warn!(%error, "cannot tell of purges any more"),
            }
        }
    }

    /// What the other process says next, but for its word on purges; meanwhile it is told of those.
    async fn next(&mut self) -> Result<Option<String>, HandoverError> {
        loop {
            let said = tokio::select! {
                said = self.line.hear() => said?,
                told = next_purge(&mut self.purges) => {
                    let Told { request, applied } = told.ok_or(HandoverError::WentAway)?;
                    let purge = serde_json::to_string(&ToldPurge::of(&request))
                        .map_err(|error| HandoverError::Unexpected(error.to_string()))?;
                    self.waiting.push_back(applied);
                    self.line.say(&format!("purge {purge}")).await?;
                    continue;
                }
            };
            match said {
                Some(said) if said == "purged" => {
                    self.waiting.pop_front().map(|applied| applied.send(()));
                }
                other => return Ok(other),
            }
        }
    }
}

/// The next purge to be told. `None` where nobody can tell of one any more, because the other process
/// took too long with one.
async fn next_purge(purges: &mut Option<mpsc::Receiver<Told>>) -> Option<Told> {
    match purges {
        Some(purges) => purges.recv().await,
        None => std::future::pending().await,
    }
}
