//! What a write makes unusable (RFC 9111 §4.4).
//!
//! "A cache MUST invalidate the target URI when it receives a non-error status code in response to
//! an unsafe request method (including methods whose safety is unknown)." `Location` and
//! `Content-Location` of such an answer name what else the write touched; they count only where
//! they are of the target's own origin, or one shop could empty another's cache.
//!
//! The URIs come back as the origin knows them, spelled with the target's own authority. A cache
//! that keys by a normal form brings them into it as it does with a request's target.

use fluent_uri::{Uri as Base, UriRef};
use http::header::{CONTENT_LOCATION, LOCATION};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode, Uri};

/// Whether a request with this method may change something: all that are not known to be safe
/// (RFC 9110 §9.2.1).
pub fn is_unsafe(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// A status that says the write was done, or is going to be: 2xx and 3xx (RFC 9111 §4.4).
pub fn is_non_error(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}

/// The URIs whose stored answers an answer makes unusable: `target`, which is absolute, and those
/// that `Location` and `Content-Location` name at the same origin. A reference that is none, or
/// cannot be resolved, is passed over.
pub fn invalidated(
    method: &Method,
    target: &Uri,
    status: StatusCode,
    response: &HeaderMap,
) -> Vec<Uri> {
    if !is_unsafe(method) || !is_non_error(status) {
        return Vec::new();
    }
    let mut uris = vec![target.clone()];
    for name in [LOCATION, CONTENT_LOCATION] {
        // A second line has no meaning; to invalidate what it names does no harm.
        for reference in response.get_all(name) {
            let named = reference.to_str().ok().and_then(|text| resolve(target, text.trim()));
            if let Some(uri) = named.filter(|uri| !uris.contains(uri)) {
                uris.push(uri);
            }
        }
    }
    uris
}

/// Whether an answer says of itself, by `Content-Location`, that it is the representation of
/// `target` (RFC 9110 §8.7, §9.3.3).
pub fn is_at(target: &Uri, response: &HeaderMap) -> bool {
    let mut lines = response.get_all(CONTENT_LOCATION).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    line.to_str().ok().and_then(|text| resolve(target, text.trim())).as_ref() == Some(target)
}

/// The URI that a reference names (RFC 3986 §5), without its fragment; `None` where it is of
/// another origin than `target`.
fn resolve(target: &Uri, reference: &str) -> Option<Uri> {
    let reference = UriRef::parse(reference).ok()?;
    let resolved = reference.resolve_against(&base(target, &reference)?).ok()?;
    let authority = resolved.authority()?;
    // Schemes and hosts are case-insensitive (RFC 9110 §4.2.3).
    let scheme = resolved.scheme().as_str();
    let port = match authority.port().filter(|port| !port.as_str().is_empty()) {
        Some(port) => Some(port.as_str().parse().ok()?),
        None => None,
    };
    let is_same_origin = target.scheme_str()?.eq_ignore_ascii_case(scheme)
        && target.host().is_some_and(|host| host.eq_ignore_ascii_case(authority.host()))
        && port.or_else(|| default_port(scheme))
            == target.port_u16().or_else(|| default_port(scheme));
    if !is_same_origin {
        return None;
    }
    let path = match resolved.path().as_str() {
        "" => "/",
        path => path,
    };
    let path_and_query = match resolved.query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")).ok()?,
        None => PathAndQuery::try_from(path).ok()?,
    };
    let mut parts = target.clone().into_parts();
    parts.path_and_query = Some(path_and_query);
    Uri::from_parts(parts).ok()
}

/// What a reference is resolved against. A target may hold characters that RFC 3986 does not know
/// (HTTP libraries let some through); what starts at the root does not need them.
fn base(target: &Uri, reference: &UriRef<&str>) -> Option<Base<String>> {
    let text = target.to_string();
    if let Ok(base) = Base::parse(text) {
        return Some(base);
    }
    let needs_no_path = reference.scheme().is_some()
        || reference.authority().is_some()
        || reference.path().as_str().starts_with('/');
    let root = format!("{}://{}/", target.scheme_str()?, target.authority()?);
    if needs_no_path { Base::parse(root).ok() } else { None }
}

/// RFC 9110 §4.2.1 and §4.2.2.
fn default_port(scheme: &str) -> Option<u16> {
    [("http", 80), ("https", 443)]
        .into_iter()
        .find_map(|(name, port)| scheme.eq_ignore_ascii_case(name).then_some(port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use http::HeaderValue;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn every_method_that_is_not_known_to_be_safe_is_unsafe() {
        for (method, expected) in [
            ("GET", false),
            ("HEAD", false),
            ("OPTIONS", false),
            ("TRACE", false),
            ("POST", true),
            ("PUT", true),
            ("DELETE", true),
            ("PATCH", true),
            ("CONNECT", true),
            ("get", true),
            ("M-SEARCH", true),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(is_unsafe(&method), expected, "{method}");
        }
    }

    #[test]
    fn a_write_invalidates_its_target_where_it_is_not_refused() {
        let target = uri("http://a/b");
        for (method, status, expected) in [
            (Method::POST, 200, 1),
            (Method::PUT, 204, 1),
            (Method::DELETE, 302, 1),
            (Method::POST, 399, 1),
            (Method::POST, 100, 0),
            (Method::POST, 400, 0),
            (Method::POST, 500, 0),
            (Method::GET, 200, 0),
            (Method::HEAD, 302, 0),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let uris = invalidated(&method, &target, status, &HeaderMap::new());
            assert_eq!(uris.len(), expected, "{method} {status}");
        }
    }

    #[test]
    fn location_and_content_location_of_the_same_origin_are_invalidated_too() {
        let mut response = HeaderMap::new();
        for (name, value) in [
            (LOCATION, "/c/1#top"),
            (LOCATION, "http://elsewhere/c"),
            (CONTENT_LOCATION, "d"),
            (CONTENT_LOCATION, "http://a:80/b/?x"),
            (CONTENT_LOCATION, "not a reference"),
        ] {
            response.append(name, HeaderValue::from_static(value));
        }
        response.append(LOCATION, HeaderValue::from_bytes(b"/\xe9").unwrap());
        let uris =
            invalidated(&Method::POST, &uri("http://a/b/?x"), StatusCode::CREATED, &response);
        assert_eq!(uris, [uri("http://a/b/?x"), uri("http://a/c/1"), uri("http://a/b/d")]);
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for (target, reference, expected) in [
            ("http://a/b", "http://A/c", true),
            ("http://a/b", "HTTP://a:80/c", true),
            ("http://a/b", "http://a:/c", true),
            ("http://a:80/b", "http://a/c", true),
            ("https://a/b", "https://a:443/c", true),
            ("http://a:8080/b", "http://a:8080/c", true),
            ("http://a/b", "//a/c", true),
            ("http://a/b", "http://u@a/c", true),
            ("http://[::1]/b", "http://[::1]/c", true),
            ("http://a/b", "https://a/c", false),
            ("http://a/b", "http://a:81/c", false),
            ("http://a:8080/b", "http://a/c", false),
            ("http://a/b", "http://a.b/c", false),
            ("http://a/b", "http://a@b/c", false),
            ("http://a/b", "http://a:99999/c", false),
            ("http://a/b", "http:c", false),
            ("http://a/b", "mailto:c@a", false),
        ] {
            let resolved = resolve(&uri(target), reference);
            assert_eq!(resolved.is_some(), expected, "{reference} at {target}");
            if let Some(resolved) = resolved {
                let authority = uri(target).authority().unwrap().clone();
                assert_eq!(resolved.authority(), Some(&authority), "spelled as the target is");
                assert_eq!(resolved.path(), "/c");
            }
        }
    }

    #[test]
    fn references_are_resolved_as_rfc_3986_shows() {
        let target = uri("http://a/b/c/d;p?q");
        // RFC 3986 §5.4.1, then §5.4.2; fragments dropped, an empty path written as `/`.
        for (reference, expected) in [
            ("g", "/b/c/g"),
            ("./g", "/b/c/g"),
            ("g/", "/b/c/g/"),
            ("/g", "/g"),
            ("//a", "/"),
            ("?y", "/b/c/d;p?y"),
            ("g?y", "/b/c/g?y"),
            ("#s", "/b/c/d;p?q"),
            ("g#s", "/b/c/g"),
            ("g?y#s", "/b/c/g?y"),
            (";x", "/b/c/;x"),
            ("g;x", "/b/c/g;x"),
            ("g;x?y#s", "/b/c/g;x?y"),
            ("", "/b/c/d;p?q"),
            (".", "/b/c/"),
            ("./", "/b/c/"),
            ("..", "/b/"),
            ("../", "/b/"),
            ("../g", "/b/g"),
            ("../..", "/"),
            ("../../", "/"),
            ("../../g", "/g"),
            ("../../../g", "/g"),
            ("../../../../g", "/g"),
            ("/./g", "/g"),
            ("/../g", "/g"),
            ("g.", "/b/c/g."),
            (".g", "/b/c/.g"),
            ("g..", "/b/c/g.."),
            ("..g", "/b/c/..g"),
            ("./../g", "/b/g"),
            ("./g/.", "/b/c/g/"),
            ("g/./h", "/b/c/g/h"),
            ("g/../h", "/b/c/h"),
            ("g;x=1/./y", "/b/c/g;x=1/y"),
            ("g;x=1/../y", "/b/c/y"),
            ("g?y/./x", "/b/c/g?y/./x"),
            ("g?y/../x", "/b/c/g?y/../x"),
            ("g#s/../x", "/b/c/g"),
        ] {
            let resolved = resolve(&target, reference).unwrap();
            assert_eq!(resolved, uri(&format!("http://a{expected}")), "{reference}");
        }
        for elsewhere in ["g:h", "//g", "http:g"] {
            assert_eq!(resolve(&target, elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn a_target_that_is_no_uri_still_has_an_origin() {
        let target = uri("http://a/b{c}/d");
        assert_eq!(resolve(&target, "/g"), Some(uri("http://a/g")));
        assert_eq!(resolve(&target, "http://a/g"), Some(uri("http://a/g")));
        assert_eq!(resolve(&target, "g"), None);
        assert_eq!(resolve(&uri("/b"), "/g"), None, "without an origin nothing is of it");
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 1_000, failure_persistence: None, ..ProptestConfig::default()
        })]

        #[test]
        fn no_reference_panics_and_none_leaves_the_origin(
            reference in "(http:|//|a|\\.\\./|\\./|/|\\?|#|:8|@|%2e|%|\\[|\\]|[ -~]){0,12}",
            target in "http://a(:80)?/([a-c./{}|%2e]{0,8})(\\?[a-c/?]{0,4})?",
        ) {
            if let Ok(target) = target.parse::<Uri>()
                && let Some(resolved) = resolve(&target, &reference)
            {
                prop_assert_eq!(resolved.authority(), target.authority());
                prop_assert_eq!(resolved.scheme(), target.scheme());
                prop_assert!(!resolved.to_string().contains('#'));
            }
        }
    }
}
