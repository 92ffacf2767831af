//! Logs: to stderr, one line an event, as JSON or for people.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt;
use tracing_subscriber::reload;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{Log, LogFormat};

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one. A loaded configuration has been checked for it.
    #[error("log.filter: {0}")]
    Filter(#[from] ParseError),
    /// Something in this process logs already.
    #[error("logging has been set up before: {0}")]
    Taken(#[from] TryInitError),
}

/// Reads a filter such as `info` or `info,csu_edge=debug`.
///
/// # Errors
/// What is not a level, a target or a pair of them.
pub fn parse_filter(filter: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(filter)
}

/// Starts logging for the whole process; once a process. What comes back decides which lines are
/// logged.
///
/// # Errors
/// A filter that is not one, or logging that has been set up before.
pub fn init(log: &Log) -> Result<LogFilter, TelemetryError> {
    let lines = fmt().with_env_filter(parse_filter(&log.filter)?).with_writer(io::stderr);
    Ok(match log.format {
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let handle = lines.reload_handle();
            lines.finish().try_init()?;
            LogFilter::new(handle)
        }
        LogFormat::Text => {
            let lines = lines.with_ansi(io::stderr().is_terminal()).with_filter_reloading();
            let handle = lines.reload_handle();
            lines.finish().try_init()?;
            LogFilter::new(handle)
        }
    })
}

/// What decides which lines are logged.
pub struct LogFilter(Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>);

impl LogFilter {
    fn new<S: 'static>(handle: reload::Handle<EnvFilter, S>) -> Self {
        Self(Box::new(move |filter| handle.reload(filter)))
    }

    /// Logs by another filter from now on.
    ///
    /// # Errors
    /// What is not a filter.
    pub fn set(&self, filter: &str) -> Result<(), ParseError> {
        let filter = parse_filter(filter)?;
        // It fails only where nothing logs any more.
        let _ = (self.0)(filter);
        Ok(())
    }
}

impl std::fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogFilter").finish_non_exhaustive()
    }
}
