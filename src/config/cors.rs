//! `[cors]`: what browsers are told.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

/// `[cors]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cors {
    /// Origins that may read answers.
    pub allowed_origins: AllowedOrigins,
    /// Whether browsers may send credentials. Refused together with `*`. Default false.
    pub allow_credentials: bool,
    /// Request headers that a preflight is told are allowed.
    pub allowed_headers: Vec<HeaderName>,
    /// Methods that a preflight is told are allowed.
    pub allowed_methods: Vec<Method>,
    /// Response headers that scripts may read.
    pub exposed_headers: Vec<HeaderName>,
    /// How long a browser may keep a preflight's answer. Default 10 min.
    pub max_age: Duration,
}

/// Which web origins may read answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AllowedOrigins {
    /// `*`.
    Any,
    /// These, compared byte for byte, such as `https://shop.example`.
    Listed(Vec<HeaderValue>),
}

impl Cors {
    /// The defaults, for pages of these origins.
    pub fn for_origins(allowed_origins: AllowedOrigins) -> Self {
        let names = |names: &[&'static str]| {
            names.iter().copied().map(HeaderName::from_static).collect::<Vec<_>>()
        };
        Self {
            allowed_origins,
            allow_credentials: false,
            allowed_headers: names(&[
                "accept",
                "accept-language",
                "appsessionid",
                "authorization",
                "content-type",
                "if-match",
                "if-none-match",
                "odata-maxversion",
                "odata-version",
                "oun",
                "prefer",
                "requestid",
                "usersessionid",
            ]),
            allowed_methods: vec![
                Method::GET,
                Method::HEAD,
                Method::POST,
                Method::PATCH,
                Method::PUT,
                Method::DELETE,
            ],
            exposed_headers: names(&[
                "age",
                "cache-status",
                "etag",
                "odata-version",
                "retry-after",
            ]),
            max_age: Duration::from_secs(10 * 60),
        }
    }
}
