//! `[generic]`: what the catalogue does not know.

use std::time::Duration;

use http::HeaderName;

/// `[generic]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Generic {
    /// What happens to a GET or HEAD that the catalogue does not know. Default: it passes.
    pub policy: GenericPolicy,
    /// Cache-Control fields meant for this cache (RFC 9213), the first that is there governs.
    /// Default `CSU-Edge-Cache-Control`, `CDN-Cache-Control`.
    pub targets: Vec<HeaderName>,
    /// Request fields that go to the origin with what may be stored.
    pub request_fields: RequestFields,
    /// The heuristic lifetime of an answer that names none, in percent of the time since its
    /// `Last-Modified` (RFC 9111 §4.2.2). Default 10; 0: none.
    pub heuristic_percent: u8,
    /// The longest heuristic lifetime. Default 24 h.
    pub heuristic_max: Duration,
    /// The longest freshness lifetime, whatever the origin says. Default 24 h.
    pub max_fresh_for: Duration,
    /// How long past its lifetime an answer is kept to be validated. Default 1 h.
    pub keep_for: Duration,
    /// How long past its lifetime an answer may serve while the origin fails, where the answer
    /// itself says nothing of it (RFC 9111 §4.2.4). Default 60 s.
    pub stale_if_error: Duration,
    /// Whether an answer that sets a cookie is stored where the origin gives it a lifetime
    /// (RFC 9111 §7.3). Default true.
    pub store_set_cookie: bool,
}

impl Generic {
    /// The longest that an answer of this policy can be of any use, from its arrival.
    pub fn longest_life(&self) -> Duration {
        match self.policy {
            GenericPolicy::Pass => Duration::ZERO,
            // Fresh, then stale, each for at most `max_fresh_for`, then kept to be validated.
            GenericPolicy::Rfc9111 => self
                .max_fresh_for
                .saturating_mul(2)
                .saturating_add(self.stale_if_error)
                .saturating_add(self.keep_for),
        }
    }
}

/// What happens to a GET or HEAD that the catalogue does not know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GenericPolicy {
    /// It streams through, unstored.
    Pass,
    /// A shared cache by RFC 9111.
    Rfc9111,
}

/// Which request fields go to the origin with what may be stored under the generic policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RequestFields {
    /// All end-to-end fields, as RFC 9110 §5.1 asks of a gateway, but for those by which a client
    /// could make the origin take the request for another.
    All,
    /// These, and no others.
    Listed(Vec<HeaderName>),
}

impl Default for Generic {
    fn default() -> Self {
        const HOUR: u64 = 3_600;
        Self {
            policy: GenericPolicy::Pass,
            targets: vec![
                HeaderName::from_static("csu-edge-cache-control"),
                HeaderName::from_static("cdn-cache-control"),
            ],
            request_fields: RequestFields::All,
            heuristic_percent: 10,
            heuristic_max: Duration::from_secs(24 * HOUR),
            max_fresh_for: Duration::from_secs(24 * HOUR),
            keep_for: Duration::from_secs(HOUR),
            stale_if_error: Duration::from_secs(60),
            store_set_cookie: true,
        }
    }
}
