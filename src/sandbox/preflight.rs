//! Browsers' preflights (Fetch Standard §3.2.2), answered where the stand-in was told to.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    VARY,
};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};

use super::deliver::Outgoing;

/// Every page may do whatever it asks for, and need not ask again for ten minutes. `None` where the
/// request is no preflight.
pub(crate) fn answer(parts: &Parts) -> Option<Response<Outgoing>> {
    let asked = |name| parts.headers.get(name).cloned();
    if parts.method != Method::OPTIONS || asked(ACCESS_CONTROL_REQUEST_METHOD).is_none() {
        return None;
    }
    let origin = asked(ORIGIN)?;
    let mut response = Response::new(Outgoing::whole(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST"));
    if let Some(wanted) = asked(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted);
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    headers.insert(VARY, HeaderValue::from_static("Origin, Access-Control-Request-Headers"));
    Some(response)
}
