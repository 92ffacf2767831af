//! CORS, answered here for the origin (Fetch Standard §3.2).
//!
//! An answer is stored once and read by many shops, so what the origin said about one web origin
//! is never kept: [`strip`] takes it out, and [`Cors::decorate`] says what `[cors]` says.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};

use crate::body::Body;
use crate::config::{self, AllowedOrigins};

/// `[cors]`, ready to be written into answers.
#[derive(Clone, Debug)]
pub struct Cors {
    allowed_origins: AllowedOrigins,
    allow_credentials: bool,
    allowed_methods: Option<HeaderValue>,
    allowed_headers: Option<HeaderValue>,
    exposed_headers: Option<HeaderValue>,
    max_age: HeaderValue,
}

impl Cors {
    /// Takes the settings.
    pub fn new(config: &config::Cors) -> Self {
        Self {
            allowed_origins: config.allowed_origins.clone(),
            allow_credentials: config.allow_credentials,
            allowed_methods: list(config.allowed_methods.iter().map(Method::as_str)),
            allowed_headers: list(config.allowed_headers.iter().map(HeaderName::as_str)),
            exposed_headers: list(config.exposed_headers.iter().map(HeaderName::as_str)),
            max_age: HeaderValue::from(config.max_age.as_secs()),
        }
    }

    /// The answer to a preflight, or `None` where the request is none. A web origin that is not
    /// allowed gets 403 and no CORS field (Fetch Standard §3.2.3, "does not wish to participate").
    pub fn preflight<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        if *request.method() != Method::OPTIONS
            || !request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        {
            return None;
        }
        let allowed = self.allow_origin(Some(request.headers().get(ORIGIN)?));
        let mut response = Response::new(Body::Empty);
        let headers = response.headers_mut();
        self.mark_varying(headers);
        let Some(allow_origin) = allowed else {
            *response.status_mut() = StatusCode::FORBIDDEN;
            return Some(response);
        };
        self.insert_common(allow_origin, headers);
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_METHODS, &self.allowed_methods),
            (ACCESS_CONTROL_ALLOW_HEADERS, &self.allowed_headers),
        ] {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Some(response)
    }

    /// Replaces what an answer says about CORS by what `[cors]` says to `request_origin`.
    pub fn decorate(&self, request_origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        strip(headers);
        self.mark_varying(headers);
        if let Some(allow_origin) = self.allow_origin(request_origin) {
            self.insert_common(allow_origin, headers);
            if let Some(exposed) = &self.exposed_headers {
                headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
            }
        }
    }

    fn allow_origin(&self, request_origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        match &self.allowed_origins {
            AllowedOrigins::Any => Some(HeaderValue::from_static("*")),
            AllowedOrigins::Listed(listed) => {
                request_origin.filter(|origin| listed.contains(origin)).cloned()
            }
        }
    }

    fn insert_common(&self, allow_origin: HeaderValue, headers: &mut HeaderMap) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allow_origin);
        if self.allow_credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    /// `Vary: Origin` on every answer that may differ by it, also where this request named none
    /// (Fetch Standard §3.2.6, "CORS protocol and HTTP caches").
    fn mark_varying(&self, headers: &mut HeaderMap) {
        let is_listed = matches!(self.allowed_origins, AllowedOrigins::Listed(_));
        if is_listed && !varies_by_origin(headers) {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
    }
}

/// Removes every `Access-Control-*` field.
pub fn strip(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("access-control-"))
        .cloned()
        .collect();
    for name in names {
        headers.remove(name);
    }
}

fn varies_by_origin(headers: &HeaderMap) -> bool {
    headers
        .get_all(VARY)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|name| name == b"*" || name.eq_ignore_ascii_case(b"origin"))
}

/// A list as one field value; `None` where it is empty.
fn list<'a>(members: impl Iterator<Item = &'a str>) -> Option<HeaderValue> {
    let joined = members.collect::<Vec<_>>().join(", ");
    if joined.is_empty() { None } else { HeaderValue::try_from(joined).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SHOP: HeaderValue = HeaderValue::from_static("https://shop.example");
    const STRANGER: HeaderValue = HeaderValue::from_static("https://other.example");

    fn cors(allowed_origins: AllowedOrigins) -> Cors {
        let allow_credentials = allowed_origins != AllowedOrigins::Any;
        Cors::new(&config::Cors {
            allowed_origins,
            allow_credentials,
            allowed_headers: vec![HeaderName::from_static("oun"), http::header::CONTENT_TYPE],
            allowed_methods: vec![Method::GET, Method::POST],
            exposed_headers: vec![http::header::ETAG],
            max_age: Duration::from_secs(600),
        })
    }

    fn listed() -> Cors {
        cors(AllowedOrigins::Listed(vec![SHOP]))
    }

    fn preflight_from(origin: HeaderValue) -> Request<()> {
        Request::options("/Commerce/Products/GetByIds")
            .header(ORIGIN, origin)
            .header(ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .body(())
            .unwrap()
    }

    #[test]
    fn a_preflight_from_a_listed_shop_is_told_what_it_may_do() {
        let response = listed().preflight(&preflight_from(SHOP)).unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        let headers = response.headers();
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], SHOP);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_METHODS], "GET, POST");
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_HEADERS], "oun, content-type");
        assert_eq!(headers[ACCESS_CONTROL_MAX_AGE], "600");
        assert_eq!(headers[VARY], "Origin");
    }

    #[test]
    fn a_preflight_from_a_stranger_gets_403_and_no_cors_field() {
        let response = listed().preflight(&preflight_from(STRANGER)).unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(response.headers().keys().collect::<Vec<_>>(), [VARY]);
    }

    #[test]
    fn an_options_request_that_is_no_preflight_is_left_to_the_origin() {
        let request = Request::options("/").header(ORIGIN, SHOP).body(()).unwrap();
        assert!(listed().preflight(&request).is_none());
        let mut get = preflight_from(SHOP);
        *get.method_mut() = Method::GET;
        assert!(listed().preflight(&get).is_none());
    }

    #[test]
    fn one_shops_origin_is_never_told_to_another() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, STRANGER);
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        listed().decorate(Some(&SHOP), &mut headers);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], SHOP);
        assert_eq!(headers[ACCESS_CONTROL_EXPOSE_HEADERS], "etag");
        let vary: Vec<_> = headers.get_all(VARY).iter().collect();
        assert_eq!(vary, ["Accept-Encoding", "Origin"]);

        listed().decorate(Some(&STRANGER), &mut headers);
        assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
        assert!(!headers.contains_key(ACCESS_CONTROL_EXPOSE_HEADERS));
        assert_eq!(headers.get_all(VARY).iter().count(), 2);
    }

    #[test]
    fn an_answer_to_no_web_origin_still_says_that_it_varies() {
        let mut headers = HeaderMap::new();
        listed().decorate(None, &mut headers);
        assert_eq!(headers[VARY], "Origin");
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn where_any_origin_may_read_nothing_varies() {
        let mut headers = HeaderMap::new();
        cors(AllowedOrigins::Any).decorate(Some(&STRANGER), &mut headers);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(!headers.contains_key(VARY));
        assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
    }
}
