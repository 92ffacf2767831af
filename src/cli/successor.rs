//! SIGUSR2: the program starts anew, from where it is installed, and takes over.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

/// This program, as it was called.
pub(crate) struct Program {
    /// Noted at the start: once the file has been replaced, the system knows only the old one.
    path: std::io::Result<PathBuf>,
    arguments: Vec<OsString>,
}

impl Program {
    pub(crate) fn of_this_process() -> Self {
        Self { path: std::env::current_exe(), arguments: std::env::args_os().skip(1).collect() }
    }

    /// Starts what is installed by now, with the same arguments, environment and output. What becomes
    /// of it is its own: if it does not come to serve, this process goes on.
    pub(crate) fn start(&self) {
        let started = match &self.path {
            Ok(path) => Command::new(path).args(&self.arguments).stdin(Stdio::null()).spawn(),
            Err(error) => Err(std::io::Error::new(error.kind(), error.to_string())),
        };
        let mut child = match started {
            Ok(child) => child,
            Err(error) => return tracing::error!(%error, "the program cannot be started anew"),
        };
        tracing::info!(pid = child.id(), "started anew, to take over");
        // It outlives this process, unless it fails: then somebody has to take note of its end.
        let waiting = thread::Builder::new().name("successor".to_owned()).spawn(move || {
            if let Ok(status) = child.wait() {
                tracing::warn!(%status, "the process that was to take over has ended");
            }
        });
        if let Err(error) = waiting {
            tracing::warn!(%error, "the end of the process that is to take over will not be seen");
        }
    }
}
