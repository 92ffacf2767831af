//! Why a delivery is refused, and the one place that says what its sender is told.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};

use super::authentication::AuthenticationFailure;
use super::delivery::Unreadable;
use crate::error::odata_error;
use crate::purge::{Refused, Unacknowledged};
use crate::small_body::BodyError;

/// What `/ingest/cdx` serves.
pub(super) const ALLOWED_METHODS: &str = "POST, OPTIONS";

/// The longest that a sender is asked to wait for room in the schedule.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// Why a delivery is refused. Nothing of it was applied, or it is not known whether: then it must be
/// brought again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// Not the ingest path.
    UnknownPath,
    /// Neither POST nor OPTIONS.
    Method,
    /// Not authenticated.
    Unauthenticated(AuthenticationFailure),
    /// The body is past `ingest.body_bytes`, or did not arrive.
    Body(BodyError),
    /// The body is not what the contract says.
    Unreadable(Unreadable),
    /// No room for another `effectiveAt`, or the purge cannot be said to stand.
    Refused(Refused),
}

impl Refusal {
    /// Every reason.
    pub(super) const REASONS: [&'static str; 17] = [
        "unknown-path",
        "method-not-allowed",
        AuthenticationFailure::NoCredentials.as_str(),
        AuthenticationFailure::UnknownToken.as_str(),
        AuthenticationFailure::MalformedSignature.as_str(),
        AuthenticationFailure::TimestampOutsideTolerance.as_str(),
        AuthenticationFailure::WrongSignature.as_str(),
        BodyError::TooLarge.as_str(),
        BodyError::Timeout.as_str(),
        BodyError::Broken.as_str(),
        "unsupported-media-type",
        "too-many-events",
        "malformed-event",
        "schedule-full",
        Unacknowledged::Unreachable.as_str(),
        Unacknowledged::BeginningAnew.as_str(),
        Unacknowledged::TooFewReplicas.as_str(),
    ];

    /// The reason, for the metric's label.
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::UnknownPath => "unknown-path",
            Self::Method => "method-not-allowed",
            Self::Unauthenticated(failure) => failure.as_str(),
            Self::Body(error) => error.as_str(),
            Self::Unreadable(Unreadable::MediaType) => "unsupported-media-type",
            Self::Unreadable(Unreadable::TooManyEvents) => "too-many-events",
            Self::Unreadable(Unreadable::Malformed { .. }) => "malformed-event",
            Self::Refused(Refused::Full { .. }) => "schedule-full",
            Self::Refused(Refused::Unacknowledged(error)) => error.as_str(),
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::Body(error) => error.status(),
            Self::Unreadable(Unreadable::TooManyEvents) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unreadable(Unreadable::Malformed { .. }) => StatusCode::BAD_REQUEST,
            Self::Unreadable(Unreadable::MediaType) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The whole answer. A 401 does not say why: that would help only who guesses.
    pub(super) fn response<B: From<Bytes>>(&self) -> Response<B> {
        let (reason, message) = match self {
            Self::Unauthenticated(_) => ("unauthenticated", "not authenticated".to_owned()),
            Self::UnknownPath => (self.as_str(), "nothing is served here".to_owned()),
            Self::Method => (self.as_str(), "events are delivered by POST".to_owned()),
            Self::Body(error) => (self.as_str(), error.to_string()),
            Self::Unreadable(unreadable) => (self.as_str(), unreadable.to_string()),
            Self::Refused(refused) => (self.as_str(), refused.to_string()),
        };
        let mut response = odata_error(self.status(), reason, &message);
        let mut add = |name: HeaderName, value| response.headers_mut().insert(name, value);
        match self {
            Self::Method => {
                add(ALLOW, HeaderValue::from_static(ALLOWED_METHODS));
            }
            Self::Unauthenticated(_) => {
                add(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Refused(refused) => {
                let wait = match refused {
                    Refused::Full { retry_after } => *retry_after,
                    Refused::Unacknowledged(_) => Unacknowledged::RETRY_AFTER,
                };
                let wait = wait.clamp(Duration::from_secs(1), MAX_RETRY_AFTER);
                add(RETRY_AFTER, HeaderValue::from(wait.as_secs()));
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The strings in the bodies of a source's functions `as_str` whose values are reasons.
    fn reasons(source: &str) -> Vec<&str> {
        let source = source.split("#[cfg(test)]").next().unwrap();
        let bodies = source.split("fn as_str(").skip(1).map(|rest| rest.split("\n    }\n").next());
        bodies.flat_map(|body| body.unwrap().split('"').skip(1).step_by(2)).collect()
    }

    #[test]
    fn every_reason_is_known_before_it_occurs() {
        let mut found = Vec::new();
        for source in [
            include_str!("refusal.rs"),
            include_str!("authentication.rs"),
            include_str!("../small_body.rs"),
            include_str!("../purge/purger.rs"),
        ] {
            let reasons = reasons(source);
            assert!(reasons.len() >= 3, "they are not found: {reasons:?}");
            found.extend(reasons);
        }
        found.sort_unstable();
        let mut known = Refusal::REASONS;
        known.sort_unstable();
        assert_eq!(found, known);
    }
}
