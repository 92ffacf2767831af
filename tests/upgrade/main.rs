//! One process takes over from another: real processes, under load, and everything that can go wrong
//! in between.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test panics"
)]

mod client;
mod drain;
mod fleet;
mod load;
mod moves;
mod refusals;
mod supervised;

#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use client::Origin;
use serde_json::Value;
use support::process::Running;

/// What processes that relieve each other have in common.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    origin: Origin,
}

/// A process that serves, and where.
pub(crate) struct Serving {
    pub(crate) process: Running,
    pub(crate) addresses: Value,
}

impl Place {
    pub(crate) fn new() -> Self {
        let (folder, origin) = (tempfile::tempdir().unwrap(), Origin::start());
        let text = format!(
            "[listen]\nstorefront = '127.0.0.1:0'\ningest = '127.0.0.1:0'\n\
             control = '127.0.0.1:0'\nworkers = 2\ndrain_for = '20s'\nhandover = '{}'\n\
             [origin]\nservice_root = 'http://{}/Commerce'\n",
            folder.path().join("handover.sock").display(),
            origin.address(),
        );
        let place = Self { folder, origin };
        std::fs::write(place.config(), text).unwrap();
        place
    }

    pub(crate) const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Where processes ask each other.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("handover.sock")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    /// Starts a process, with these settings beside.
    pub(crate) fn spawn(&self, settings: &[(&str, &str)]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_csu-edge"));
        command.arg("serve").arg("--config").arg(self.config());
        Running::spawn(command.env_clear().envs(settings.iter().copied()))
    }

    /// The same, and waits until it serves.
    pub(crate) fn serve(&self, settings: &[(&str, &str)]) -> Serving {
        let process = self.spawn(settings);
        let addresses = process.addresses();
        Serving { process, addresses }
    }
}

impl Serving {
    pub(crate) fn address(&self, listener: &str) -> SocketAddr {
        Running::address(&self.addresses, listener)
    }

    pub(crate) fn ends_with_0(&self) {
        assert_eq!(self.process.ended().code(), Some(0), "{}", self.process.log());
    }
}
