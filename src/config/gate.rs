//! `[origin.gate]`: how much is asked of the origin.

use std::time::Duration;

/// `[origin.gate]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gate {
    /// How many requests may be sent in a span. Absent: as many as there are.
    pub budget: Option<Budget>,
    /// The least that may be at the origin at once, however slow it is. Default 4.
    pub min_in_flight: usize,
    /// The most that may be there at once, however fast it is. Default 128.
    pub max_in_flight: usize,
    /// The longest that a `Retry-After` is obeyed. Default 5 min.
    pub longest_retry_after: Duration,
    /// Failures in a row after which the origin is taken to be broken. Default 10.
    pub broken_after: u32,
    /// The first pause before a broken origin is tried again; pauses grow to ten times that.
    /// Default 1 s.
    pub probe_every: Duration,
    /// Clients that wait for their turn; past it they are refused. Default 200.
    pub max_waiting: usize,
    /// How long a client waits for its turn. Default 1 s.
    pub max_wait: Duration,
}

/// `requests` in each span of the length `per`, wherever it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Requests in all.
    pub requests: u32,
    /// The span. Default 5 min.
    pub per: Duration,
    /// Those of them that may go at once; the rest come in evenly. Less than `requests`. Default a
    /// tenth.
    pub burst: u32,
}

impl Budget {
    /// The span, unless another is set: the one that F&O counted its limits by.
    pub const PER: Duration = Duration::from_secs(5 * 60);

    /// The burst, unless another is set.
    pub fn usual_burst(requests: u32) -> u32 {
        (requests / 10).max(1)
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            budget: None,
            min_in_flight: 4,
            max_in_flight: 128,
            longest_retry_after: Duration::from_secs(5 * 60),
            broken_after: 10,
            probe_every: Duration::from_secs(1),
            max_waiting: 200,
            max_wait: Duration::from_secs(1),
        }
    }
}
