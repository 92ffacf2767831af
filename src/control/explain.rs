//! The question that `/explain` answers, as it is asked.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde::Deserialize;
use serde_json::Value;

/// Who knows what this node would do with a request.
pub trait Explain: Send + Sync {
    /// Tells what would be done with the request, and why. Never a secret, a token or a stored
    /// body.
    ///
    /// # Errors
    /// Says why the request cannot be explained (422).
    fn explain(&self, request: ExplainRequest) -> Result<Value, String>;
}

/// A storefront's request, to be explained and not to be made.
#[derive(Clone, Debug)]
pub struct ExplainRequest {
    /// Its method.
    pub method: Method,
    /// Its target: a path with a query, or an absolute URL.
    pub url: Uri,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body; empty where there is none.
    pub body: String,
}

/// The question as JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    method: Option<String>,
    url: String,
    #[serde(default)]
    headers: AskedHeaders,
    body: Option<String>,
}

/// Header fields as an object, or as a list of pairs where a name repeats.
#[derive(Deserialize)]
#[serde(untagged, expecting = "`headers` is an object of strings or a list of [name, value] pairs")]
enum AskedHeaders {
    Object(BTreeMap<String, String>),
    Pairs(Vec<(String, String)>),
}

impl Default for AskedHeaders {
    fn default() -> Self {
        Self::Pairs(Vec::new())
    }
}

impl ExplainRequest {
    /// Checks a question: its method (GET where absent), URL and header fields are HTTP's.
    pub(super) fn read(asked: Asked) -> Result<Self, String> {
        let method = asked.method.as_deref().unwrap_or("GET");
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| "`method`: is no method")?;
        let url: Uri = asked.url.parse().map_err(|error| format!("`url`: {error}"))?;
        let pairs: Vec<(String, String)> = match asked.headers {
            AskedHeaders::Object(fields) => fields.into_iter().collect(),
            AskedHeaders::Pairs(pairs) => pairs,
        };
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let field = || format!("`headers`: `{}` is no header field", name.escape_debug());
            let parsed_name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| field())?;
            let value = HeaderValue::from_str(&value).map_err(|_| field())?;
            headers.try_append(parsed_name, value).map_err(|_| "`headers`: too many")?;
        }
        Ok(Self { method, url, headers, body: asked.body.unwrap_or_default() })
    }
}
