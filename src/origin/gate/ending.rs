//! What became of a request, and what it says of the origin.

use std::time::Duration;

use http::StatusCode;

/// How a request to the origin ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// With the head of an answer.
    Answered {
        /// Its status.
        status: StatusCode,
        /// What its `Retry-After` says: see [`super::retry_after`].
        retry_after: Option<Duration>,
    },
    /// Without one: not reached, not in time, or broken off.
    Failed,
}

/// What an ending says of the origin's load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Load {
    /// It bore it; the latency tells how well.
    Borne,
    /// It was too much.
    TooMuch,
    /// Nothing: an error may be quick, or slow, for reasons of its own.
    Unknown,
}

impl Ending {
    /// Whether it counts against the origin's health. A refusal for being too many does not.
    pub(super) const fn is_failure(self) -> bool {
        match self {
            Self::Answered { status, .. } => matches!(
                status,
                StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT
            ),
            Self::Failed => true,
        }
    }

    /// Whether the origin asks for less, and for how long where it says so.
    pub(super) fn throttling(self) -> Option<Option<Duration>> {
        match self {
            Self::Answered { status: StatusCode::TOO_MANY_REQUESTS, retry_after } => {
                Some(retry_after)
            }
            Self::Answered { status: StatusCode::SERVICE_UNAVAILABLE, retry_after } => {
                retry_after.filter(|span| !span.is_zero()).map(Some)
            }
            Self::Answered { .. } | Self::Failed => None,
        }
    }

    pub(super) fn load(self) -> Load {
        let Self::Answered { status, .. } = self else { return Load::TooMuch };
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Load::TooMuch,
            status if status.is_server_error() => Load::Unknown,
            _ => Load::Borne,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ending_says_what_it_says() {
        let second = Some(Duration::from_secs(1));
        for (status, retry_after, fails, throttling, load) in [
            (200, second, false, None, Load::Borne),
            (304, None, false, None, Load::Borne),
            (404, None, false, None, Load::Borne),
            (429, None, false, Some(None), Load::TooMuch),
            (429, second, false, Some(second), Load::TooMuch),
            (500, None, false, None, Load::Unknown),
            (502, second, true, None, Load::Unknown),
            (503, None, true, None, Load::TooMuch),
            (503, Some(Duration::ZERO), true, None, Load::TooMuch),
            (503, second, true, Some(second), Load::TooMuch),
            (504, None, true, None, Load::TooMuch),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let ending = Ending::Answered { status, retry_after };
            assert_eq!(ending.is_failure(), fails, "{ending:?}");
            assert_eq!(ending.throttling(), throttling, "{ending:?}");
            assert_eq!(ending.load(), load, "{ending:?}");
        }
        assert!(Ending::Failed.is_failure());
        assert_eq!(Ending::Failed.throttling(), None);
        assert_eq!(Ending::Failed.load(), Load::TooMuch);
    }
}
