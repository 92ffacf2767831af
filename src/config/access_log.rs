//! `[access_log]`: one line for each request.

use std::path::PathBuf;
use std::time::Duration;

/// `[access_log]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessLog {
    /// Where lines go. Default: there are none.
    pub to: Option<AccessLogTo>,
    /// What of a request's target stands in its line. Default the path.
    pub target: LoggedTarget,
    /// Requests of each worker that wait to be written; past it they are left out. Default 8,192.
    pub queue: usize,
    /// How long the end of the process waits for what is left to be written. Default 2 s.
    pub flush_for: Duration,
}

/// Where the access log goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccessLogTo {
    /// The process's standard output.
    Stdout,
    /// A file, which is appended to and may be moved away.
    File(PathBuf),
}

/// What of a request's target the access log may tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoggedTarget {
    /// Nothing: the operation's name says enough.
    None,
    /// The path.
    Path,
    /// The path and the query, in which people can stand by name.
    PathAndQuery,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self {
            to: None,
            target: LoggedTarget::Path,
            queue: 8_192,
            flush_for: Duration::from_secs(2),
        }
    }
}
