//! `Cache-Status` (RFC 9211): what this cache did with a request, for whoever reads the answer.

use std::fmt;

use http::{HeaderName, HeaderValue, StatusCode};

use crate::written::field_value;

/// The field's name.
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The identifier of this cache in the field (RFC 9211 §2).
const THIS_CACHE: &str = "csu-edge";

/// Why a request went forward (RFC 9211 §2.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forwarded {
    /// This cache was configured not to handle it.
    Bypass,
    /// Nothing is stored for it.
    UriMiss,
    /// Something is stored for it, none of whose variants is the one that is asked for.
    VaryMiss,
    /// Something is stored that must not be used.
    Miss,
    /// Its client will not have what is stored.
    Request,
    /// Its method is not one to store.
    Method,
    /// A part is stored, and not the one that is asked for.
    Partial,
    /// What is stored is stale.
    Stale,
}

impl Forwarded {
    /// The reason as it stands in the field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Method => "method",
            Self::Partial => "partial",
            Self::Stale => "stale",
        }
    }
}

/// One member of the field.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CacheStatus {
    /// Why it went forward; `None` for a hit.
    pub forwarded: Option<Forwarded>,
    /// The origin's status, where it differs from what the client is told.
    pub forward_status: Option<StatusCode>,
    /// Seconds of freshness left; negative past them.
    pub ttl_seconds: Option<i64>,
    /// The answer was stored.
    pub stored: bool,
    /// Another client's fetch brought it.
    pub collapsed: bool,
    /// Of how many pieces the answer is put together, and how many of them were in the store.
    pub pieces: Option<(usize, usize)>,
    /// More, for people.
    pub detail: Option<&'static str>,
}

impl CacheStatus {
    /// A hit with that much freshness left.
    pub fn hit(ttl_seconds: i64) -> Self {
        Self { ttl_seconds: Some(ttl_seconds), ..Self::default() }
    }

    /// A request that went forward.
    pub fn forwarded(reason: Forwarded) -> Self {
        Self { forwarded: Some(reason), ..Self::default() }
    }

    /// The same, told for people.
    #[must_use]
    pub const fn with_detail(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }

    /// The member of an answer that is neither from the store nor from anyone asked, which has
    /// neither `hit` nor `fwd` (RFC 9211 §2): an error before either.
    pub fn neither(detail: &'static str) -> HeaderValue {
        let value = format_args!("{THIS_CACHE}; detail={detail}");
        field_value(value).unwrap_or(HeaderValue::from_static(THIS_CACHE))
    }

    /// The member as a field value.
    pub fn to_value(self) -> HeaderValue {
        field_value(self).unwrap_or(HeaderValue::from_static(THIS_CACHE))
    }
}

impl fmt::Display for CacheStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(THIS_CACHE)?;
        match self.forwarded {
            None => f.write_str("; hit")?,
            Some(reason) => write!(f, "; fwd={}", reason.as_str())?,
        }
        if let Some(status) = self.forward_status {
            write!(f, "; fwd-status={}", status.as_u16())?;
        }
        if let Some(ttl) = self.ttl_seconds {
            write!(f, "; ttl={ttl}")?;
        }
        if self.stored {
            f.write_str("; stored")?;
        }
        if self.collapsed {
            f.write_str("; collapsed")?;
        }
        // A token has no slash before its first letter, so this is a string (RFC 8941 §3.3.3).
        match (self.pieces, self.detail) {
            (Some((stored, all)), Some(detail)) => {
                write!(f, "; detail=\"{stored}/{all} {detail}\"")
            }
            (Some((stored, all)), None) => write!(f, "; detail=\"{stored}/{all}\""),
            (None, Some(detail)) => write!(f, "; detail={detail}"),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_written_as_the_standard_has_it() {
        assert_eq!(CacheStatus::hit(298).to_value(), "csu-edge; hit; ttl=298");
        let miss = CacheStatus {
            stored: true,
            collapsed: true,
            forward_status: Some(StatusCode::OK),
            ..CacheStatus::forwarded(Forwarded::UriMiss)
        };
        assert_eq!(miss.to_value(), "csu-edge; fwd=uri-miss; fwd-status=200; stored; collapsed");
        let stale = CacheStatus::forwarded(Forwarded::Stale).with_detail("stale-if-error");
        assert_eq!(stale.to_value(), "csu-edge; fwd=stale; detail=stale-if-error");
        let hit = CacheStatus { pieces: Some((48, 48)), ..CacheStatus::hit(12) };
        assert_eq!(hit.to_value(), "csu-edge; hit; ttl=12; detail=\"48/48\"");
        let part = CacheStatus {
            pieces: Some((45, 48)),
            ..CacheStatus::forwarded(Forwarded::Partial).with_detail("stale-if-error")
        };
        assert_eq!(part.to_value(), "csu-edge; fwd=partial; detail=\"45/48 stale-if-error\"");
        assert_eq!(CacheStatus::neither("bad-request"), "csu-edge; detail=bad-request");
    }
}
