//! Fields that belong to one connection and go no further (RFC 9110 §7.6.1), and the mark that
//! this gateway leaves on what it forwards (§7.6.3).

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

/// What RFC 9110 §7.6.1 names beside `Connection` itself, and the three fields that are between a
/// client and its own proxy, which this gateway is not (RFC 9111 §3.1 keeps them from being stored).
const HOP_BY_HOP: [HeaderName; 8] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Fields that `Connection` cannot take away, because the message means something else without
/// them: naming them is how a client would strip what others rely on.
const NEVER_NAMED: [&str; 5] =
    ["host", "content-length", "content-type", "content-encoding", "authorization"];

/// Removes the hop-by-hop fields and every field that `Connection` names.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    // RFC 9112 §6.3: where both are present, Transfer-Encoding decided the length.
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    for name in named_by_connection(headers) {
        headers.remove(name);
    }
    headers.remove(CONNECTION);
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .filter(|name| !NEVER_NAMED.contains(&name.as_str()))
        .collect()
}

/// Joins the crumbs into which HTTP/2 may split `Cookie` (RFC 9113 §8.2.3): in HTTP/1.1 there is
/// one such field at most.
pub fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else { return };
    let mut joined = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    if let Ok(value) = HeaderValue::from_bytes(&joined) {
        headers.insert(COOKIE, value);
    }
}

/// Adds this gateway to `Via`, with the version in which the message was received.
pub fn add_via(received: Version, headers: &mut HeaderMap) {
    let mark = match received {
        Version::HTTP_10 => "1.0 csu-edge",
        Version::HTTP_2 => "2 csu-edge",
        _ => "1.1 csu-edge",
    };
    headers.append(VIA, HeaderValue::from_static(mark));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn what_connection_names_goes_and_what_is_end_to_end_stays() {
        let mut headers = fields(&[
            ("connection", "close, X-Hop ,,"),
            ("connection", "x-other"),
            ("x-hop", "1"),
            ("x-other", "2"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authenticate", "Basic"),
            ("proxy-authentication-info", "nextnonce=1"),
            ("proxy-authorization", "Basic eA=="),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("cookie", "a=b"),
            ("trailer", "x-sum"),
        ]);
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers, fields(&[("cookie", "a=b"), ("trailer", "x-sum")]));
    }

    #[test]
    fn connection_cannot_take_away_what_gives_the_message_its_meaning() {
        let mut headers = fields(&[
            ("connection", "authorization, content-length, content-type"),
            ("authorization", "Bearer t"),
            ("content-length", "3"),
            ("content-type", "application/json"),
        ]);
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers.len(), 3);
    }

    #[test]
    fn a_length_beside_a_transfer_encoding_is_not_believed() {
        let mut headers = fields(&[("transfer-encoding", "chunked"), ("content-length", "3")]);
        remove_hop_by_hop(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn the_crumbs_of_a_cookie_become_one_field() {
        let mut headers = fields(&[("cookie", "a=b"), ("cookie", "c=d"), ("cookie", "e=f")]);
        join_cookies(&mut headers);
        assert_eq!(headers, fields(&[("cookie", "a=b; c=d; e=f")]));
    }

    #[test]
    fn via_is_appended_to_what_earlier_proxies_left() {
        let mut headers = fields(&[("via", "1.1 cdn")]);
        add_via(Version::HTTP_2, &mut headers);
        let marks: Vec<_> = headers.get_all(VIA).iter().collect();
        assert_eq!(marks, ["1.1 cdn", "2 csu-edge"]);
    }
}
