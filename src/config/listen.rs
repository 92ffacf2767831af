//! `[listen]`: where this node listens, and how it stops.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// `[listen]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listen {
    /// Where storefronts connect. Default `0.0.0.0:8080`.
    pub storefront: SocketAddr,
    /// Where push events arrive. Default `0.0.0.0:8090`.
    pub ingest: SocketAddr,
    /// Where operators and Prometheus connect. Default `127.0.0.1:9600`.
    pub control: SocketAddr,
    /// Threads that serve storefronts, each with a listener of its own. Default: one a core.
    pub workers: usize,
    /// How long running exchanges may take to finish after a signal to stop. Default 30 s.
    pub drain_for: Duration,
    /// How long after a signal to stop the listeners go on accepting, while `/ready` says that the
    /// node is draining. Default 0.
    pub drain_delay: Duration,
    /// The Unix socket at which a new process asks for the listeners of this one. Absent: a new one
    /// opens its own.
    pub handover: Option<PathBuf>,
    /// How long a new process may take from there until it serves. Default 30 s.
    pub handover_timeout: Duration,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            storefront: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080),
            ingest: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8090),
            control: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9600),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            drain_for: Duration::from_secs(30),
            drain_delay: Duration::ZERO,
            handover: None,
            handover_timeout: Duration::from_secs(30),
        }
    }
}
