//! The process that starts, and takes over from whoever serves.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::line::Line;
use super::standby::Standby;
use super::{HandoverError, Listing, MAX_SOCKETS, ToldPurge, after, greet, within};
use crate::config::Listen;
use crate::purge::{PurgeSource, Purger};

/// The sockets of listeners that another process has open, by what this one is to listen at. A
/// listener without any is opened anew.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Storefronts'.
    pub storefront: Vec<TcpListener>,
    /// Push events'.
    pub ingest: Vec<TcpListener>,
    /// Operators'.
    pub control: Vec<TcpListener>,
}

/// The start of a process that may take over from another. While it is there no other one can begin
/// at the same path.
#[derive(Debug)]
pub struct Takeover {
    path: PathBuf,
    patience: Duration,
    predecessor: Option<Predecessor>,
    lock: File,
}

impl Takeover {
    /// Asks whoever serves for its listeners. `patience` bounds each wait for its word.
    ///
    /// # Errors
    /// Where another process is starting, or somebody is there and cannot be relieved. Nothing has
    /// happened then, and whoever serves goes on.
    pub async fn begin(path: &Path, patience: Duration) -> Result<Self, HandoverError> {
        let lock = lock(path)?;
        let predecessor = match connect(path).await? {
            None => None,
            Some(stream) => Some(Predecessor::ask(Line::new(stream), patience).await?),
        };
        Ok(Self { path: path.to_owned(), patience, predecessor, lock })
    }

    /// Who serves until this process does.
    pub const fn predecessor(&mut self) -> Option<&mut Predecessor> {
        self.predecessor.as_mut()
    }

    /// Tells that this process serves, and takes its place. `tell_supervisor` is called before the
    /// other one may end; whether there is one is its argument.
    ///
    /// # Errors
    /// Where the other one serves on: then this one must not.
    pub async fn complete(
        mut self,
        tell_supervisor: impl FnOnce(bool),
    ) -> Result<Standby, HandoverError> {
        let (listener, path_until_then) = listen_beside(&self.path)?;
        if let Some(predecessor) = &mut self.predecessor {
            let heard = predecessor.serving(self.patience).await;
            if heard.is_err() {
                let _ = fs::remove_file(&path_until_then);
            }
            heard?;
        }
        // In one step, so that there is always somebody to be asked.
        if let Err(error) = fs::rename(&path_until_then, &self.path) {
            tracing::error!(%error, path = %self.path.display(), "no other process can take over");
        }
        tell_supervisor(self.predecessor.is_some());
        if let Some(predecessor) = &self.predecessor {
            predecessor.say("known").await;
        }
        drop(self.lock);
        Ok(Standby::new(listener, self.patience, self.predecessor))
    }
}

/// Taken by the process that starts. The kernel lets go of it with the process.
fn lock(path: &Path) -> Result<File, HandoverError> {
    let path = beside(path, "lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&path);
    let lock = lock.map_err(HandoverError::path(&path))?;
    lock.set_permissions(Permissions::from_mode(0o600)).map_err(HandoverError::path(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(HandoverError::AnotherStarts(path)),
        Err(TryLockError::Error(error)) => Err(HandoverError::path(&path)(error)),
    }
}

/// `None` where nobody is there.
async fn connect(path: &Path) -> Result<Option<UnixStream>, HandoverError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => return Err(HandoverError::NoSocket(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(HandoverError::path(path)(error)),
    }
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(Some(stream)),
        // The file outlives the process that made it.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
        Err(error) => Err(HandoverError::path(path)(error)),
    }
}

/// A socket beside the path, which others find only when it has been given that name.
fn listen_beside(path: &Path) -> Result<(UnixListener, PathBuf), HandoverError> {
    let path = beside(path, "new");
    // Nobody else's: the lock is held. It may be left from a start that came to nothing.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(HandoverError::path(&path)(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(HandoverError::path(&path))?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))
        .map_err(HandoverError::path(&path))?;
    Ok((listener, path))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// The process that serves until this one does, and whose purges count here until it ends.
#[derive(Debug)]
pub struct Predecessor {
    /// Until it is minded.
    line: Option<Line>,
    offered: Vec<Offered>,
    taken: Vec<&'static str>,
    patience: Duration,
    minder: Option<Minder>,
}

#[derive(Debug)]
struct Offered {
    name: String,
    address: SocketAddr,
    sockets: Vec<TcpListener>,
}

#[derive(Debug)]
struct Minder {
    say: mpsc::Sender<String>,
    heard: mpsc::Receiver<String>,
    _task: AbortOnDropHandle<()>,
}

impl Predecessor {
    async fn ask(mut line: Line, patience: Duration) -> Result<Self, HandoverError> {
        greet(&mut line).await?;
        let offered = within(patience, receive_offer(&mut line)).await?;
        Ok(Self { line: Some(line), offered, taken: vec![], patience, minder: None })
    }

    /// The sockets that fit this configuration. Port 0 fits any.
    pub fn sockets(&mut self, listen: &Listen) -> Inherited {
        let inherited = Inherited {
            storefront: self.take("storefront", listen.storefront),
            ingest: self.take("ingest", listen.ingest),
            control: self.take("control", listen.control),
        };
        // From what is not taken nobody here would accept.
        self.offered.clear();
        inherited
    }

    fn take(&mut self, listener: &'static str, wanted: SocketAddr) -> Vec<TcpListener> {
        let found = self.offered.iter_mut().find(|offered| offered.name == listener);
        let Some(found) = found else { return Vec::new() };
        let is_same = wanted.ip() == found.address.ip()
            && (wanted.port() == 0 || wanted.port() == found.address.port());
        if !is_same {
            tracing::info!(listener, from = %found.address, to = %wanted, "opened anew: it has moved");
            return Vec::new();
        }
        let sockets = std::mem::take(&mut found.sockets);
        tracing::info!(listener, sockets = sockets.len(), address = %found.address, "taken over");
        self.taken.push(listener);
        sockets
    }

    /// To be called before this process accepts: from then on it knows of the other's purges. To be
    /// called within a Tokio runtime.
    ///
    /// # Errors
    /// Where the other one waited too long, or cannot be understood.
    pub async fn opening(&mut self, purger: &Purger) -> Result<(), HandoverError> {
        let Some(mut line) = self.line.take() else { return Ok(()) };
        let heard = within(self.patience, async {
            // Where it cannot be said, what the other one said before it closed is still to be heard.
            let _ = line.say("opening").await;
            Ok(line.hear().await?)
        });
        match heard.await {
            Ok(Some(said)) if said == "opening" => {}
            Ok(Some(said)) => return Err(unexpected(&said)),
            // It has ended by itself, and its sockets are here.
            Ok(None) | Err(HandoverError::Line(_)) => {
                tracing::warn!("the process that served has ended before it was relieved");
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let (say, to_say) = mpsc::channel(4);
        let (hear, heard) = mpsc::channel(4);
        let task = tokio::spawn(mind(line, purger.clone(), to_say, hear));
        self.minder = Some(Minder { say, heard, _task: AbortOnDropHandle::new(task) });
        Ok(())
    }

    /// Tells that this process accepts.
    async fn serving(&mut self, patience: Duration) -> Result<(), HandoverError> {
        let taken = self.taken.join(" ");
        let Some(minder) = &mut self.minder else { return Ok(()) };
        let heard = async {
            minder.say.send(format!("serving {taken}")).await.ok()?;
            minder.heard.recv().await
        };
        match tokio::time::timeout(patience, heard).await {
            Ok(Some(said)) if said == "going" => Ok(()),
            Ok(Some(said)) => Err(unexpected(&said)),
            // Connections that it still accepts are its own; those that it does not are ours.
            Ok(None) => {
                tracing::warn!("the process that served has ended before it was relieved");
                Ok(())
            }
            Err(_) => {
                tracing::warn!(?patience, "the process that served does not say that it goes");
                Ok(())
            }
        }
    }

    async fn say(&self, word: &str) {
        if let Some(minder) = &self.minder {
            // It need not be there any more.
            let _ = minder.say.send(word.to_owned()).await;
        }
    }
}

fn unexpected(said: &str) -> HandoverError {
    match said {
        "gave-up" => HandoverError::GaveUp,
        other => HandoverError::Unexpected(other.chars().take(80).collect()),
    }
}

/// Applies the other's purges until it ends; says and hears what else there is.
async fn mind(
    mut line: Line,
    purger: Purger,
    mut to_say: mpsc::Receiver<String>,
    hear: mpsc::Sender<String>,
) {
    loop {
        let said = tokio::select! {
            said = line.hear() => said,
            // The sender lives as long as this task.
            Some(word) = to_say.recv() => {
                // Where it cannot be said, what the other one said before it closed, and that it
                // did, is still to be heard.
                let _ = line.say(&word).await;
                continue;
            }
        };
        let said = match said {
            Ok(Some(said)) => said,
            Ok(None) => return tracing::info!("the process that served before has ended"),
            Err(error) => return tracing::warn!(%error, "the process before is not heard any more"),
        };
        let Some(purge) = after("purge", &said) else {
            if hear.send(said).await.is_err() {
                return;
            }
            continue;
        };
        let told = serde_json::from_str::<ToldPurge>(purge).ok();
        let Some(request) = told.and_then(|told| told.request().ok()) else {
            // Not answered: whoever asked for it is told that it does not stand.
            return tracing::error!("a purge of the process before cannot be read");
        };
        match purger.purge(&request, PurgeSource::OtherNode).await {
            Ok(_) => {
                let _ = line.say("purged").await;
            }
            Err(error) => {
                return tracing::error!(%error, "a purge of the process before does not stand here");
            }
        }
    }
}

async fn receive_offer(line: &mut Line) -> Result<Vec<Offered>, HandoverError> {
    let said = line.hear().await?.ok_or(HandoverError::WentAway)?;
    let listing = after("offer", &said).ok_or_else(|| unexpected(&said))?;
    let listing: Listing = serde_json::from_str(listing)
        .map_err(|error| HandoverError::Unexpected(error.to_string()))?;
    let total =
        listing.listeners.iter().fold(0_usize, |sum, each| sum.saturating_add(each.sockets));
    if total > MAX_SOCKETS {
        return Err(HandoverError::OtherSockets("there are more than a node has"));
    }
    let mut came = Vec::with_capacity(total);
    while came.len() < total {
        let said = line.hear().await?.ok_or(HandoverError::WentAway)?;
        let count = after("sockets", &said).and_then(|count| count.parse().ok());
        let count: usize = count.ok_or_else(|| unexpected(&said))?;
        let sockets = line.sockets(count).filter(|sockets| !sockets.is_empty());
        came.extend(sockets.ok_or(HandoverError::OtherSockets("fewer came"))?);
    }
    let mut came = came.into_iter().map(TcpListener::from);
    let offered = listing.listeners.into_iter().map(|listed| {
        let sockets: Vec<_> = came.by_ref().take(listed.sockets).collect();
        for socket in &sockets {
            let is_listener = SockRef::from(socket).is_listener().unwrap_or(false);
            if !is_listener || socket.local_addr().ok() != Some(listed.address) {
                return Err(HandoverError::OtherSockets("one does not listen where it should"));
            }
        }
        Ok(Offered { name: listed.name, address: listed.address, sockets })
    });
    offered.collect()
}
