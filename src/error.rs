//! What can go wrong on a request, and the one place that says what the client is told of it.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

/// Why a request is answered by this node's own error.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum ProxyError {
    /// The request's target or head is not HTTP's.
    #[error("the request is malformed")]
    BadRequest,
    /// CONNECT and TRACE.
    #[error("this method is not served here")]
    MethodNotAllowed,
    /// A body that is part of the key did not arrive in time.
    #[error("the request's body did not arrive in time")]
    RequestTimeout,
    /// The head is past `limits.header_bytes` or `limits.header_fields`.
    #[error("the request's header fields are too large or too many")]
    HeaderFieldsTooLarge,
    /// The origin cannot be connected to.
    #[error("the origin cannot be reached")]
    OriginUnreachable,
    /// The origin broke off or spoke something else than HTTP.
    #[error("the origin's answer was broken")]
    OriginBroken,
    /// The origin did not answer in time.
    #[error("the origin did not answer in time")]
    OriginTimeout,
    /// The client would have a stored answer or none (RFC 9111 §5.2.1.7).
    #[error("nothing is stored that may be used, and only that was asked for")]
    NotCached,
    /// More clients wait on one fetch than `limits.waiters`.
    #[error("too many requests wait for the same answer")]
    TooManyWaiters,
    /// More fetches are under way than `limits.fetches`.
    #[error("too many requests wait for the origin")]
    TooManyFetches,
    /// The gate in front of the origin is shut.
    #[error("the origin is not asked for now")]
    OriginShut {
        /// When it makes sense to try again, in seconds.
        retry_after_seconds: u32,
    },
    /// A bug: a task ended without an answer.
    #[error("internal error")]
    Internal,
}

impl ProxyError {
    /// The reason, for metric labels, `Cache-Status` details and the error body's code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::RequestTimeout => "request-timeout",
            Self::HeaderFieldsTooLarge => "header-fields-too-large",
            Self::OriginUnreachable => "origin-unreachable",
            Self::OriginBroken => "origin-broken",
            Self::OriginTimeout => "origin-timeout",
            Self::NotCached => "only-if-cached",
            Self::TooManyWaiters => "too-many-waiters",
            Self::TooManyFetches => "too-many-fetches",
            Self::OriginShut { .. } => "origin-shut",
            Self::Internal => "internal",
        }
    }

    /// Whether the origin was asked before it came to this.
    pub const fn may_have_been_asked(self) -> bool {
        !matches!(self, Self::TooManyWaiters | Self::TooManyFetches | Self::OriginShut { .. })
    }

    /// Whether it says nothing of the origin, but of the request that would have asked it: another
    /// that waited for the same may fare better.
    pub const fn is_ones_own(self) -> bool {
        matches!(self, Self::Internal | Self::TooManyFetches | Self::OriginShut { .. })
    }

    /// The status that the client is told (RFC 9110 §15).
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::HeaderFieldsTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::OriginUnreachable | Self::OriginBroken => StatusCode::BAD_GATEWAY,
            Self::OriginTimeout | Self::NotCached => StatusCode::GATEWAY_TIMEOUT,
            Self::TooManyWaiters | Self::TooManyFetches | Self::OriginShut { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// How long the client is told to leave this alone, in seconds.
    const fn retry_after_seconds(self) -> Option<u32> {
        match self {
            Self::TooManyWaiters | Self::TooManyFetches => Some(1),
            Self::OriginShut { retry_after_seconds } => Some(retry_after_seconds),
            Self::BadRequest
            | Self::MethodNotAllowed
            | Self::RequestTimeout
            | Self::HeaderFieldsTooLarge
            | Self::OriginUnreachable
            | Self::OriginBroken
            | Self::OriginTimeout
            | Self::NotCached
            | Self::Internal => None,
        }
    }

    /// The whole answer: status, and the error body that OData clients understand
    /// (OData JSON Format 4.01 §21.1).
    pub fn response<B: From<Bytes>>(self) -> Response<B> {
        let mut response = odata_error(self.status(), self.as_str(), &self.to_string());
        if let Some(seconds) = self.retry_after_seconds() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// An error in the form that OData clients understand (OData JSON Format 4.01 §21.1); its code is
/// `csu-edge.` and the reason.
pub fn odata_error<B: From<Bytes>>(status: StatusCode, reason: &str, message: &str) -> Response<B> {
    let code = format!("csu-edge.{reason}");
    let body = serde_json::json!({ "error": { "code": code, "message": message } });
    json_response(status, &body)
}

/// An answer with a JSON body.
pub fn json_response<B: From<Bytes>>(status: StatusCode, body: &serde_json::Value) -> Response<B> {
    let mut response = Response::new(B::from(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_503_says_when_to_come_back() {
        let seconds = |error: ProxyError| {
            let response: Response<Bytes> = error.response();
            let field = response.headers().get(RETRY_AFTER)?;
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            Some(field.to_str().unwrap().to_owned())
        };
        assert_eq!(seconds(ProxyError::TooManyFetches).as_deref(), Some("1"));
        let shut = ProxyError::OriginShut { retry_after_seconds: 37 };
        assert_eq!(seconds(shut).as_deref(), Some("37"));
        assert_eq!(seconds(ProxyError::OriginTimeout), None);
    }
}
