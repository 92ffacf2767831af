//! Which of a client's fields go to the origin with a request whose answer may be stored.
//!
//! An answer that depends on a field names it in `Vary`, and its variants are told apart. A field
//! that an origin acts on in silence is how a cache is poisoned: `X-Forwarded-Host` in a page's
//! links, `X-Original-URL` instead of the target. So what is known to work like that never goes to
//! the origin with such a request, whatever its client says.

use http::header::{CONTENT_LENGTH, EXPECT, FORWARDED, HOST, MAX_FORWARDS, TRAILER};
use http::{HeaderMap, HeaderName};

use crate::config::RequestFields;
use crate::proxy::fields::{join_cookies, remove_hop_by_hop};

/// Fields by which servers, frameworks and proxies let a request be taken for another: another
/// target, host, scheme, method or sender; or for one of a gateway that can do more (`Translate`,
/// `Surrogate-Capability`).
const OVERRIDES: [&str; 37] = [
    "base-url",
    "cf-connecting-ip",
    "client-ip",
    "cluster-client-ip",
    "destination",
    "fastly-client-ip",
    "front-end-https",
    "http-x-rewrite-url",
    "proxy-host",
    "request-uri",
    "surrogate-capability",
    "translate",
    "true-client-ip",
    "uri",
    "x-azure-clientip",
    "x-backend-host",
    "x-base-url",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-custom-ip-authorization",
    "x-gateway-host",
    "x-host",
    "x-matched-path",
    "x-method",
    "x-method-override",
    "x-originating-ip",
    "x-override-url",
    "x-path",
    "x-request-uri",
    "x-rewrite-uri",
    "x-rewrite-url",
    "x-scheme",
    "x-script-name",
    "x-server-name",
    "x-uri",
    "x-url",
    "x-url-scheme",
];

/// And whole families of them: `X-Forwarded-Host`, `X-Original-URL`, `X-HTTP-Method-Override`.
const OVERRIDE_PREFIXES: [&str; 12] = [
    "forwarded-",
    "x-arr-",
    "x-envoy-",
    "x-forward",
    "x-http-",
    "x-invoke-",
    "x-middleware-",
    "x-ms-original-",
    "x-original",
    "x-proxy-",
    "x-real-",
    "x-remote-",
];

/// What describes this one request or its connection, and no representation.
const OF_THE_MESSAGE: [HeaderName; 6] =
    [CONTENT_LENGTH, EXPECT, FORWARDED, HOST, MAX_FORWARDS, TRAILER];

/// The fields that go on.
pub fn forwarded(headers: &HeaderMap, rule: &RequestFields) -> HeaderMap {
    let mut kept = headers.clone();
    remove_hop_by_hop(&mut kept);
    join_cookies(&mut kept);
    for name in OF_THE_MESSAGE {
        kept.remove(name);
    }
    let dropped: Vec<HeaderName> =
        kept.keys().filter(|name| !goes_on(name, rule)).cloned().collect();
    for name in dropped {
        kept.remove(name);
    }
    kept
}

/// Whether a request that goes on as its client sent it says more than a read would: by fields that
/// are kept from reads, beside those that describe its own content.
pub fn says_more_than_a_read(headers: &HeaderMap, rule: &RequestFields) -> bool {
    let mut sent = headers.clone();
    remove_hop_by_hop(&mut sent);
    sent.keys().any(|name| {
        let is_of_content = name.as_str().starts_with("content-");
        let is_excepted = is_of_content || *name == HOST || *name == EXPECT;
        !is_excepted && !goes_on(name, rule)
    })
}

fn is_override(name: &HeaderName) -> bool {
    let name = folded(name);
    OVERRIDES.contains(&&*name) || OVERRIDE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Servers that hand fields on as variables (RFC 3875 §4.1.18) tell `_` and `-` apart no more.
fn folded(name: &HeaderName) -> String {
    name.as_str().replace('_', "-")
}

fn goes_on(name: &HeaderName, rule: &RequestFields) -> bool {
    match rule {
        RequestFields::All => !is_override(name),
        RequestFields::Listed(names) => names.contains(name) || is_of_caching(name),
    }
}

/// Whether a field may say who asks, beside `Authorization`: `Cookie`, and what APIs and frameworks
/// have made up instead. Its answers are for everybody only where the origin says so.
pub(super) fn is_of_session(name: &HeaderName) -> bool {
    const MARKS: [&str; 8] =
        ["api-key", "apikey", "auth", "cookie", "csrf", "session", "subscription-key", "token"];
    let name = folded(name);
    name != "authorization" && MARKS.iter().any(|mark| name.contains(mark))
}

/// What caches themselves act on goes on under any rule.
fn is_of_caching(name: &HeaderName) -> bool {
    use http::header::{
        AUTHORIZATION, CACHE_CONTROL, COOKIE, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
        IF_UNMODIFIED_SINCE, RANGE,
    };
    [
        AUTHORIZATION,
        CACHE_CONTROL,
        COOKIE,
        IF_MATCH,
        IF_MODIFIED_SINCE,
        IF_NONE_MATCH,
        IF_RANGE,
        IF_UNMODIFIED_SINCE,
        RANGE,
    ]
    .contains(name)
}
