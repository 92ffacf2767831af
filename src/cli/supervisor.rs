//! What systemd is told where it asks to be (`Type=notify`): sd_notify(3).
//!
//! The protocol is one datagram to the socket that `NOTIFY_SOCKET` names, so it needs no library.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Whoever supervises this process, if anybody wants to hear.
pub(crate) struct Supervisor(Option<OsString>);

impl Supervisor {
    /// Nobody.
    pub(crate) const fn absent() -> Self {
        Self(None)
    }

    pub(crate) fn from_environment() -> Self {
        Self(std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()))
    }

    /// This process serves. Where it relieves another one, it is the service's main process from now
    /// on, and the end of that one is not the service's.
    pub(crate) fn ready(&self, relieves: bool) {
        match relieves {
            true => self.tell(&format!("MAINPID={}\nREADY=1", std::process::id())),
            false => self.tell("READY=1"),
        }
    }

    /// The service ends. Not to be said by a process that another one has relieved: it would be taken
    /// for the service's word.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, word: &str) {
        let Some(path) = &self.0 else { return };
        if let Err(error) = send(path, word) {
            tracing::warn!(%error, "the supervisor at NOTIFY_SOCKET cannot be told");
        }
    }
}

fn send(path: &OsStr, word: &str) -> io::Result<()> {
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A supervisor that hangs must not hold up the node.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(word.as_bytes(), &address)?;
    Ok(())
}
