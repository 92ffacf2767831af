//! How one process takes over from another without a connection being refused.
//!
//! A listening socket has a queue of connections that the kernel has made and nobody has accepted yet.
//! Whoever closes the socket resets them, and a second socket on the same address (`SO_REUSEPORT`) has
//! a queue of its own, so it helps none of them. Therefore the sockets themselves go from the old
//! process to the new one (`SCM_RIGHTS`), and both may accept from them until the old one stops: at no
//! moment does nobody.
//!
//! The old one, [`Standby`], listens at a Unix socket. The new one, [`Takeover`], holds a lock while it
//! starts, asks at that socket for the listeners, and tells in the end that it serves. Until then the
//! old one goes on as if nothing had been, whatever becomes of the new one. What they say is lines:
//!
//! ```text
//! both     csu-edge handover 1           another version: neither goes on
//! old      offer {"listeners":[…]}       where each listens, and with how many sockets
//! old      sockets N                     N sockets come along; as often as needed
//! new      opening                       ready, about to accept
//! old      opening                       from here on the old one tells the new one of its purges
//! old      purge {"hard":[…],"soft":[…]} before it acknowledges them
//! new      purged
//! new      serving storefront ingest …   accepts from the sockets of these
//! old      going                         accepts no more. Or gave-up: it took too long
//! new      known                         whoever supervises knows the new one: the old one may end
//! ```
//!
//! Why purges go along: without Redis each process numbers its own. What the new one fetched before a
//! purge that the old one acknowledges must not be served after it.

mod line;
mod predecessor;
mod standby;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::purge::PurgeRequest;
use crate::tag::{Tag, TagError};

pub use line::LineError;
pub use predecessor::{Inherited, Predecessor, Takeover};
pub use standby::{Offer, OfferedListener, Relief, Standby};

/// What both say first. The number is raised with every change of what follows.
const HELLO: &str = "csu-edge handover 1";

/// How long a process that connects may take to say what it speaks: it has nothing to do before.
const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// Sockets of all listeners together: three, with as many workers as there can be.
const MAX_SOCKETS: usize = 3 * 1_024;

/// Why a handover came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// Somebody else is about to take over, or to start, at the same path.
    #[error("another process is starting with listen.handover = {0:?}")]
    AnotherStarts(PathBuf),
    /// What stands at the path is no socket, and is not ours to replace.
    #[error("{0:?} is there already, and is no socket")]
    NoSocket(PathBuf),
    /// The lock or the socket cannot be made or used.
    #[error("listen.handover: {path:?}: {source}")]
    Path {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The process at the other end belongs to another user.
    #[error("the process at the other end is user {0}'s")]
    OtherUser(u32),
    /// It speaks another version of this, or something else.
    #[error("the process at the other end says {0:?}, this one {HELLO:?}")]
    OtherVersion(String),
    /// It did not say what it had to in time.
    #[error("the process at the other end was silent for {0:?}")]
    Silent(Duration),
    /// It ended, or closed the connection, before it was done.
    #[error("the process at the other end went away")]
    WentAway,
    /// It said something that has no place here.
    #[error("the process at the other end said something unexpected: {0}")]
    Unexpected(String),
    /// What it sent are not the sockets that it offered.
    #[error("the sockets that came are not those that were offered: {0}")]
    OtherSockets(&'static str),
    /// It had waited for longer than its own `listen.handover_timeout`, and serves on.
    #[error("the process that serves waited no longer, and serves on")]
    GaveUp,
    /// The connection between the two failed.
    #[error(transparent)]
    Line(#[from] LineError),
}

impl HandoverError {
    fn path(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Path { path: path.to_owned(), source }
    }
}

/// The listeners of a process, as the offer lists them.
#[derive(Debug, Serialize, Deserialize)]
struct Listing {
    listeners: Vec<ListedListener>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ListedListener {
    name: String,
    address: std::net::SocketAddr,
    sockets: usize,
}

/// A purge as one process tells it to another.
#[derive(Serialize, Deserialize)]
struct ToldPurge {
    hard: Vec<String>,
    soft: Vec<String>,
}

impl ToldPurge {
    fn of(request: &PurgeRequest) -> Self {
        let texts = |tags: &[Tag]| tags.iter().map(|tag| tag.as_str().to_owned()).collect();
        Self { hard: texts(&request.hard), soft: texts(&request.soft) }
    }

    fn request(&self) -> Result<PurgeRequest, TagError> {
        let tags = |texts: &[String]| {
            texts.iter().map(|text| Tag::parse(text)).collect::<Result<_, TagError>>()
        };
        Ok(PurgeRequest { hard: tags(&self.hard)?, soft: tags(&self.soft)? })
    }
}

/// What follows a word on its line; `None` where the line begins otherwise.
fn after<'l>(word: &str, line: &'l str) -> Option<&'l str> {
    let rest = line.strip_prefix(word)?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix(' ') }
}

/// Fails after a time with [`HandoverError::Silent`].
async fn within<T>(
    patience: Duration,
    step: impl Future<Output = Result<T, HandoverError>>,
) -> Result<T, HandoverError> {
    match tokio::time::timeout(patience, step).await {
        Ok(outcome) => outcome,
        Err(_) => Err(HandoverError::Silent(patience)),
    }
}

/// Says and hears the first line.
async fn greet(line: &mut line::Line) -> Result<(), HandoverError> {
    let uid = line.peer_uid()?;
    if uid != rustix::process::geteuid().as_raw() {
        return Err(HandoverError::OtherUser(uid));
    }
    within(HELLO_WITHIN, async {
        line.say(HELLO).await?;
        match line.hear().await? {
            Some(hello) if hello == HELLO => Ok(()),
            Some(other) => Err(HandoverError::OtherVersion(other.chars().take(80).collect())),
            None => Err(HandoverError::WentAway),
        }
    })
    .await
}
