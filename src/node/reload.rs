//! Other settings for a node that runs: no connection is dropped, and no request sees two
//! configurations.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::signal::unix::Signal;

use super::remembered_for;
use crate::clock::{Clock, Timestamp};
use crate::config::{Config, ConfigErrors};
use crate::ingest::{CredentialError, Ingest};
use crate::metrics::Metrics;
use crate::operation::{Catalogue, CatalogueError};
use crate::proxy::InForce;
use crate::server::Bounds;
use crate::telemetry::LogFilter;

/// How long a file that has changed must stay as it is until it is taken over: who writes it may not
/// have come to its end.
const SETTLES_FOR: Duration = Duration::from_secs(1);

/// What became of a configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reloaded {
    /// It is in force, but for what needs a restart.
    Applied,
    /// It says what is in force already, or differs in nothing but what needs a restart.
    Unchanged,
    /// It cannot be used: what was in force is so still.
    Refused,
}

impl Reloaded {
    const ALL: [Self; 3] = [Self::Applied, Self::Unchanged, Self::Refused];

    /// The result, as a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }
}

/// Gives a node other settings.
pub struct Reloader {
    pub(super) in_force: Arc<InForce>,
    pub(super) ingest: Arc<Ingest>,
    pub(super) bounds: [Arc<Bounds>; 3],
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
    /// Held over a reload: one at a time.
    pub(super) standing: Mutex<Standing>,
}

/// What is known of the configuration in force, beside itself.
pub(super) struct Standing {
    loaded_at: Timestamp,
    needs_restart: Vec<&'static str>,
    log_filter: Option<LogFilter>,
}

impl Standing {
    pub(super) fn new(now: Timestamp, metrics: &Metrics) -> Self {
        // So that they can be watched before the first.
        for reloaded in Reloaded::ALL {
            metrics.config_reloads.with_label_values(&[reloaded.as_str()]);
        }
        metrics.config_usable.set(1);
        metrics.config_loaded.set(seconds(now));
        Self { loaded_at: now, needs_restart: Vec::new(), log_filter: None }
    }
}

/// Why settings that were found valid cannot be used. None of them is in force then.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("[[operation]]: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Catalogue(Vec<CatalogueError>),
    #[error(transparent)]
    Credential(#[from] CredentialError),
}

impl Reloader {
    /// Has what is logged follow the configuration as well.
    pub fn log_by(&self, filter: LogFilter) {
        self.standing.lock().log_filter = Some(filter);
    }

    /// Puts a configuration in force that was read, and tells the log and the metrics what became of
    /// it. When this returns, every request that comes goes by it.
    pub fn reload(&self, read: Result<Config, ConfigErrors>) -> Reloaded {
        let reloaded = match read {
            Ok(config) => self.put_in_force(config).unwrap_or_else(|error| {
                tracing::error!(%error, "the new configuration cannot be used: the old one stands");
                Reloaded::Refused
            }),
            Err(errors) => {
                for mistake in errors.to_string().lines() {
                    tracing::error!(
                        mistake,
                        "the new configuration cannot be used: the old one stands"
                    );
                }
                Reloaded::Refused
            }
        };
        self.metrics.config_reloads.with_label_values(&[reloaded.as_str()]).inc();
        self.metrics.config_usable.set((reloaded != Reloaded::Refused).into());
        reloaded
    }

    fn put_in_force(&self, config: Config) -> Result<Reloaded, Unusable> {
        let mut standing = self.standing.lock();
        let engine = self.in_force.engine();
        let (config, needs_restart) = config.taken_over_from(&engine.config);
        if !needs_restart.is_empty() {
            tracing::warn!("needs a restart: {}", needs_restart.join(", "));
        }
        if config == engine.config {
            standing.needs_restart = needs_restart;
            tracing::info!("the configuration is in force already");
            return Ok(Reloaded::Unchanged);
        }
        let catalogue =
            Catalogue::new(&config.operations, &config.classes).map_err(Unusable::Catalogue)?;
        // The last that can fail, and the first that changes anything.
        self.ingest.reconfigure(config.ingest.clone())?;
        standing.needs_restart = needs_restart;
        if let Some(filter) = &standing.log_filter
            && let Err(error) = filter.set(&config.log.filter)
        {
            tracing::error!(%error, "log.filter: the old one stands");
        }
        for bounds in &self.bounds {
            bounds.set(&config.limits, &config.forwarded.trusted);
        }
        super::tell_limits(&self.metrics, &config);
        // Before anything is stored that lives longer.
        engine.plane().remember_for(remembered_for(&config, &catalogue));
        let digest = config.digest();
        self.in_force.replace(engine.reconfigured(config, catalogue));
        let now = self.clock.now();
        standing.loaded_at = now;
        self.metrics.config_loaded.set(seconds(now));
        tracing::info!(digest, "the new configuration is in force");
        Ok(Reloaded::Applied)
    }

    /// What is in force, for people: nothing of it from which a secret follows.
    pub fn told(&self) -> Value {
        let standing = self.standing.lock();
        json!({
            "digest": self.in_force.engine().config.digest(),
            "loadedAt": standing.loaded_at.to_string(),
            "needsRestart": standing.needs_restart,
        })
    }

    /// How long running exchanges may take to finish.
    pub(super) fn drain_for(&self) -> Duration {
        self.in_force.engine().config.listen.drain_for
    }

    /// How long the listeners go on accepting before.
    pub(super) fn drain_delay(&self) -> Duration {
        self.in_force.engine().config.listen.drain_delay
    }

    fn watch_every(&self) -> Duration {
        self.in_force.engine().config.reload.watch_every
    }

    /// Reads the file again when it is told to, and when the file, one of a secret's, or what is at the
    /// end of a link has changed. `read` is what was read at the start. Never returns.
    pub async fn follow(self: Arc<Self>, path: PathBuf, read: Config, mut told_to: Signal) {
        let mut sight = Sight { taken: Ok(read), seen: None };
        loop {
            let every = self.watch_every();
            let pause = if sight.seen.is_some() { every.min(SETTLES_FOR) } else { every };
            let is_told = tokio::select! {
                told = told_to.recv() => told.is_some(),
                () = self.clock.sleep(pause), if !every.is_zero() => false,
            };
            let Some(read) = load(path.clone()).await else { continue };
            if is_told {
                sight.take(read.clone());
                self.reload(read);
            } else if let Some(read) = sight.look(read) {
                self.reload(read);
            }
        }
    }
}

/// On a thread that may wait: a file system may keep a read waiting.
async fn load(path: PathBuf) -> Option<Result<Config, ConfigErrors>> {
    let read = move || Config::load(&path, std::env::vars_os());
    // Only a panic or the end of the runtime gives nothing.
    tokio::task::spawn_blocking(read).await.ok()
}

/// What was read of the files, over time.
struct Sight {
    /// The last that was taken, usable or not: each state of the files is taken once.
    taken: Result<Config, ConfigErrors>,
    /// Another one, seen once.
    seen: Option<Result<Config, ConfigErrors>>,
}

impl Sight {
    /// Takes what was read whatever was seen before.
    fn take(&mut self, read: Result<Config, ConfigErrors>) {
        (self.taken, self.seen) = (read, None);
    }

    /// What was read, where it is new and was read so twice in a row.
    fn look(&mut self, read: Result<Config, ConfigErrors>) -> Option<Result<Config, ConfigErrors>> {
        if read == self.taken {
            self.seen = None;
            return None;
        }
        if self.seen.as_ref() != Some(&read) {
            self.seen = Some(read);
            return None;
        }
        self.take(read.clone());
        Some(read)
    }
}

fn seconds(moment: Timestamp) -> i64 {
    i64::try_from(moment.as_millis() / 1_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_twice_and_is_new_is_taken_once() {
        let read = |text: &str| {
            let nothing = std::iter::empty::<(String, String)>();
            Config::parse(&format!("listen.ingest = '127.0.0.1:1'\n{text}"), "a file", nothing)
        };
        let valid = |fetches: usize| {
            read(&format!("origin.service_root = 'http://rs'\nlimits.fetches = {fetches}"))
        };
        let mut sight = Sight { taken: valid(1), seen: None };
        assert_eq!(sight.look(valid(1)), None);
        assert_eq!(sight.look(valid(2)), None, "it may not be written to its end");
        assert_eq!(sight.look(valid(3)), None);
        assert_eq!(sight.look(valid(3)), Some(valid(3)));
        assert_eq!(sight.look(valid(3)), None);
        let broken = read("");
        assert!(broken.is_err());
        assert_eq!(sight.look(broken.clone()), None);
        assert_eq!(sight.look(broken.clone()), Some(broken.clone()));
        assert_eq!(sight.look(broken.clone()), None, "its mistakes are told once");
        assert_eq!(sight.look(valid(3)), None);
        assert_eq!(sight.look(valid(3)), Some(valid(3)));
        sight.take(broken.clone());
        assert_eq!(sight.look(broken), None);
    }
}
