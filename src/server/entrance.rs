//! What is refused at the entrance: heads that two recipients could read differently.
//!
//! hyper parses more than the RFCs allow, and some of what it lets through means one thing here and
//! another to a proxy in front or to the origin. A request that has no single reading gets 400
//! before anything is done for it.

use std::net::Ipv6Addr;

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Version};

use crate::framing;

/// Whether a request's head is HTTP's and has one reading.
pub(super) fn admits<B>(request: &Request<B>) -> bool {
    framing::is_sound(request.headers())
        && is_target(request)
        && names_one_host(request)
        && (request.version() != Version::HTTP_2 || values_are_trimmed(request))
}

/// RFC 9112 §3.2: each form of target has its method. A path is ASCII (RFC 3986 §2) and begins
/// with a slash; RFC 9112 §3.2 warns of mending what does not. Of absolute URIs only those of
/// HTTP's own schemes are asked of a gateway.
fn is_target<B>(request: &Request<B>) -> bool {
    let uri = request.uri();
    if *request.method() == Method::CONNECT {
        return true;
    }
    // Without an authority, `Uri` takes a missing path for "/" (RFC 9113 §8.3.1: there is one).
    let is_missing = uri.authority().is_none() && uri.clone().into_parts().path_and_query.is_none();
    let has_scheme = |scheme: &str| scheme == "http" || scheme == "https";
    !is_missing
        && uri.scheme_str().is_none_or(has_scheme)
        && uri.path_and_query().is_some_and(|target| {
            let is_asterisk = *request.method() == Method::OPTIONS && target.as_str() == "*";
            is_asterisk || (target.as_str().starts_with('/') && target.as_str().is_ascii())
        })
}

/// RFC 9112 §3.2: exactly one valid `Host` (HTTP/1.0 may do without). RFC 9113 §8.3.1: in HTTP/2
/// `:authority`, `Host`, or both if they agree. In an absolute target of HTTP/1 the authority
/// counts, whatever `Host` says (RFC 9112 §3.2.2).
fn names_one_host<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    let authority = request.uri().authority().map(Authority::as_str);
    let are_valid = second.is_none()
        && host.map(HeaderValue::as_bytes).is_none_or(is_authority)
        && authority.map(str::as_bytes).is_none_or(is_authority);
    are_valid
        && match (request.version(), host, authority) {
            (Version::HTTP_2, Some(host), Some(authority)) => {
                host.as_bytes().eq_ignore_ascii_case(authority.as_bytes())
            }
            (Version::HTTP_2, None, None) | (Version::HTTP_11, None, _) => false,
            _ => true,
        }
}

/// A host as DNS and RFC 3986 §3.2.2 have it, and a port. Userinfo "is to be treated as an error"
/// (RFC 9110 §4.2.4), and an empty host is none (§4.2.1).
fn is_authority(text: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(text) else { return false };
    let (is_host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => (address.parse::<Ipv6Addr>().is_ok(), port),
        None => {
            let end = text.find(':').unwrap_or(text.len());
            let (name, port) = text.split_at(end);
            let is_name_byte =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            (!name.is_empty() && name.bytes().all(is_name_byte), port)
        }
    };
    is_host && is_port(port)
}

/// Nothing, or a colon and perhaps a number.
fn is_port(text: &str) -> bool {
    let Some(port) = text.strip_prefix(':') else { return text.is_empty() };
    port.bytes().all(|byte| byte.is_ascii_digit())
        && (port.is_empty() || port.parse::<u16>().is_ok())
}

/// RFC 9113 §8.2.1: a value neither starts nor ends with white space. HTTP/1.1, in which the
/// request goes on, would take that away, so that the two would not say the same.
fn values_are_trimmed<B>(request: &Request<B>) -> bool {
    request.headers().values().all(|value| value.as_bytes().trim_ascii() == value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, method: &str, target: &str, fields: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().version(version).method(method).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        admits(&request.body(()).unwrap())
    }

    #[test]
    fn each_form_of_target_has_its_method() {
        for (method, target, admitted) in [
            ("GET", "/", true),
            ("GET", "/a?b=c", true),
            ("GET", "*", false),
            ("OPTIONS", "*", true),
            ("GET", "shop.example:80", false),
            ("CONNECT", "shop.example:80", true),
            ("GET", "http://shop.example/a", true),
            ("GET", "HTTPS://shop.example/a", true),
            ("GET", "ftp://shop.example/a", false),
            ("GET", "http://user@shop.example/a", false),
            ("GET", "/caf\u{e9}", false),
        ] {
            let host = [("host", "shop.example")];
            assert_eq!(request(Version::HTTP_11, method, target, &host), admitted, "{target}");
        }
    }

    #[test]
    fn a_request_names_one_valid_host() {
        for (host, valid) in [
            ("shop.example", true),
            ("shop.example:", true),
            ("SHOP_1.example:8080", true),
            ("192.0.2.1:80", true),
            ("[2001:db8::1]:80", true),
            ("", false),
            (":80", false),
            ("[]", false),
            ("[2001:db8::1]x", false),
            ("[fe80::1%25eth0]", false),
            ("shop.example:80:80", false),
            ("shop.example:65536", false),
            ("shop.example:+80", false),
            ("user@shop.example", false),
            ("shop.example, evil.example", false),
            ("shop.example,evil.example", false),
            ("shop example", false),
            ("shop.example/a", false),
            ("shop.example#a", false),
            ("%73hop.example", false),
        ] {
            assert_eq!(request(Version::HTTP_11, "GET", "/", &[("host", host)]), valid, "{host}");
        }
        let twice = [("host", "shop.example"), ("host", "shop.example")];
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            assert!(!request(version, "GET", "/", &twice));
        }
        assert!(request(Version::HTTP_10, "GET", "/", &[]));
        assert!(!request(Version::HTTP_11, "GET", "/", &[]));
        assert!(!request(Version::HTTP_11, "GET", "http://shop.example/", &[]));
        assert!(!request(Version::HTTP_2, "GET", "/", &[]));
    }

    #[test]
    fn where_host_and_authority_disagree_http_2_is_refused_and_http_1_goes_by_the_target() {
        for (host, version, admitted) in [
            ("SHOP.example", Version::HTTP_2, true),
            ("evil.example", Version::HTTP_2, false),
            ("evil.example", Version::HTTP_11, true),
        ] {
            let target = "http://shop.example/";
            assert_eq!(request(version, "GET", target, &[("host", host)]), admitted, "{host}");
        }
    }

    #[test]
    fn white_space_around_a_value_is_not_lost_on_the_way_from_http_2_to_1() {
        for (value, admitted) in [("a b", true), (" a", false), ("a\t", false), ("", true)] {
            let fields = [("host", "shop.example"), ("x", value)];
            assert_eq!(request(Version::HTTP_2, "GET", "/", &fields), admitted, "{value:?}");
        }
    }
}
