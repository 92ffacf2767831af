//! Logs: to stderr, one line an event, as JSON or for people.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt;
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

/// Starts logging for the whole process; once a process.
///
/// # Errors
/// A filter that is not one, or logging that has been set up before.
pub fn init(log: &Log) -> Result<(), TelemetryError> {
    let lines = fmt().with_env_filter(parse_filter(&log.filter)?).with_writer(io::stderr);
    match log.format {
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init()?,
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).finish().try_init()?,
    }
    Ok(())
}
