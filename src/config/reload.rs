//! `[reload]`: how a changed configuration is noticed.

use std::time::Duration;

/// `[reload]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reload {
    /// How often the file, and the files of secrets that it names, are looked at. Zero: never, and
    /// SIGHUP alone has them read again. Default 5 s.
    pub watch_every: Duration,
}

impl Default for Reload {
    fn default() -> Self {
        Self { watch_every: Duration::from_secs(5) }
    }
}
