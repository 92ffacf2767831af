//! What the origin is told about the client: `X-Forwarded-*` and RFC 7239's `Forwarded`.
//!
//! A peer in `forwarded.trusted` is a proxy of ours: what it says is believed and added to.
//! Anyone else could say anything, so everything they say is replaced by what this node sees.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use http::header::{FORWARDED, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config;
use crate::server::Peer;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Whether what `peer` says about its client is believed.
pub fn is_trusted(rules: &config::Forwarded, peer: IpAddr) -> bool {
    rules.trusted.iter().any(|network| network.contains(&peer))
}

/// The scheme and authority that the client used, as far as this node can know, and this path: what a
/// trusted peer forwards, else what the request itself names. `None` where it names no authority.
pub fn client_root(
    rules: &config::Forwarded,
    peer: Peer,
    request: &Parts,
    path: &str,
) -> Option<String> {
    let told = |name: HeaderName| {
        let said = is_trusted(rules, peer.ip()).then(|| request.headers.get(name))??;
        // Several proxies may each have added theirs; the first is the one nearest the client.
        said.to_str().ok()?.split(',').next().map(str::trim).filter(|said| !said.is_empty())
    };
    let scheme = match told(X_FORWARDED_PROTO) {
        Some(said) if said.eq_ignore_ascii_case("https") => "https",
        Some(_) => "http",
        None => peer.scheme(),
    };
    let authority = told(X_FORWARDED_HOST).or_else(|| host(request))?;
    let authority: http::uri::Authority = authority.parse().ok()?;
    Some([scheme, "://", authority.as_str(), path].concat())
}

/// Who asks, as far as this node can know: the peer, or, of what trusted peers forward, the last that is
/// none of them itself. `values` has the lines of a field.
pub fn client<'v, V: Iterator<Item = &'v str>>(
    rules: &config::Forwarded,
    peer: Peer,
    values: impl Fn(&'static str) -> V,
) -> IpAddr {
    if !is_trusted(rules, peer.ip()) {
        return peer.ip();
    }
    let nearest = |hops: &mut dyn Iterator<Item = Option<IpAddr>>| {
        // Left of what says nothing, whoever wrote it is not known.
        hops.fold((None, false), |(client, _), hop| match (client, hop) {
            (None, hop) => (hop, true),
            (Some(_), Some(hop)) if !is_trusted(rules, hop) => (Some(hop), true),
            (client, Some(_)) => (client, true),
            (_, None) => (None, true),
        })
    };
    let (client, is_told) = nearest(
        &mut values("x-forwarded-for")
            .flat_map(|line| line.split(','))
            .map(|hop| hop_of(hop.trim())),
    );
    if is_told {
        return client.unwrap_or_else(|| peer.ip());
    }
    let (client, _) =
        nearest(&mut values("forwarded").flat_map(|line| line.split(',')).map(|hop| {
            let parameters = hop.split(';').filter_map(|parameter| parameter.split_once('='));
            let mut by = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
            by.next().and_then(|(_, node)| hop_of(node.trim().trim_matches('"')))
        }));
    client.unwrap_or_else(|| peer.ip())
}

/// An address, perhaps with a port; in brackets or not.
fn hop_of(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address| address.to_canonical())
}

/// Sets the forwarding fields of a request that goes on to the origin. To be called while
/// `Host` is still the client's.
pub fn apply(rules: &config::Forwarded, peer: Peer, request: &mut Parts) {
    let host = host(request).map(str::to_owned);
    let headers = &mut request.headers;
    if !is_trusted(rules, peer.ip()) {
        remove_claims(headers);
    }
    let forwarded = rules.send_forwarded.then(|| forwarded_chain(headers, peer, host.as_deref()));
    set(headers, FORWARDED, forwarded);

    let mut chain = joined(headers, &X_FORWARDED_FOR).unwrap_or_default();
    if !chain.is_empty() {
        chain.push_str(", ");
    }
    let _ = write!(chain, "{}", peer.ip());
    set(headers, X_FORWARDED_FOR, Some(chain));
    if !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(peer.scheme()));
    }
    if !headers.contains_key(X_FORWARDED_HOST) {
        set(headers, X_FORWARDED_HOST, host);
    }
}

/// The client's `Host`, or `:authority` in HTTP/2.
pub(super) fn host(request: &Parts) -> Option<&str> {
    match request.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.headers.get(HOST)?.to_str().ok(),
    }
}

fn remove_claims(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-forwarded-"))
        .cloned()
        .chain([FORWARDED, X_REAL_IP])
        .collect();
    for name in names {
        headers.remove(name);
    }
}

/// `Forwarded` with this hop added. Where earlier hops left `X-Forwarded-For` alone, theirs are
/// carried over, so that the two never tell different stories (RFC 7239 §7.4).
fn forwarded_chain(headers: &HeaderMap, peer: Peer, host: Option<&str>) -> String {
    let mut chain = joined(headers, &FORWARDED).unwrap_or_else(|| {
        let earlier = joined(headers, &X_FORWARDED_FOR).unwrap_or_default();
        let hops = earlier.split(',').map(str::trim).filter(|hop| !hop.is_empty());
        hops.map(|hop| format!("for={}", node(hop.parse().ok()))).collect::<Vec<_>>().join(", ")
    });
    if !chain.is_empty() {
        chain.push_str(", ");
    }
    let _ = write!(chain, "for={}", node(Some(peer.ip())));
    if let Some(host) = host.filter(|host| !host.contains(['"', '\\'])) {
        let _ = write!(chain, ";host=\"{host}\"");
    }
    let _ = write!(chain, ";proto={}", peer.scheme());
    chain
}

/// A node identifier (RFC 7239 §6): an IPv6 address stands in brackets, and therefore in quotes.
fn node(address: Option<IpAddr>) -> String {
    match address {
        Some(IpAddr::V4(v4)) => v4.to_string(),
        Some(IpAddr::V6(v6)) => format!("\"[{v6}]\""),
        None => "unknown".to_owned(),
    }
}

/// All lines of a list field as one; `None` where there is none that is text.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines: Vec<&str> =
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    if lines.is_empty() { None } else { Some(lines.join(", ")) }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<String>) {
    match value.and_then(|value| HeaderValue::try_from(value).ok()) {
        Some(value) => headers.insert(name, value),
        None => headers.remove(name),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn peer() -> Peer {
        Peer::new("10.1.2.3:40000".parse().unwrap())
    }

    fn rules(trusted: &[&str]) -> config::Forwarded {
        config::Forwarded {
            trusted: trusted.iter().map(|network| network.parse().unwrap()).collect(),
            send_forwarded: true,
        }
    }

    fn request(fields: &[(&str, &str)]) -> Parts {
        let mut builder = Request::get("/Commerce/x");
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    fn applied(rules: &config::Forwarded, peer: Peer, mut request: Parts) -> Vec<String> {
        apply(rules, peer, &mut request);
        let mut lines: Vec<String> = request
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines
    }

    const CLAIMS: [(&str, &str); 7] = [
        ("host", "shop.example"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "www.shop.example"),
        ("x-forwarded-port", "443"),
        ("x-real-ip", "203.0.113.9"),
        ("forwarded", "for=203.0.113.9;proto=https"),
    ];

    #[test]
    fn a_strangers_claims_are_replaced_by_what_this_node_sees() {
        assert_eq!(
            applied(&rules(&["192.168.0.0/16"]), peer(), request(&CLAIMS)),
            [
                "forwarded: for=10.1.2.3;host=\"shop.example\";proto=http",
                "host: shop.example",
                "x-forwarded-for: 10.1.2.3",
                "x-forwarded-host: shop.example",
                "x-forwarded-proto: http",
            ]
        );
    }

    #[test]
    fn a_trusted_proxys_claims_are_believed_and_added_to() {
        assert_eq!(
            applied(&rules(&["10.0.0.0/8"]), peer(), request(&CLAIMS)),
            [
                "forwarded: for=203.0.113.9;proto=https, \
                 for=10.1.2.3;host=\"shop.example\";proto=http",
                "host: shop.example",
                "x-forwarded-for: 203.0.113.9, 10.1.2.3",
                "x-forwarded-host: www.shop.example",
                "x-forwarded-port: 443",
                "x-forwarded-proto: https",
                "x-real-ip: 203.0.113.9",
            ]
        );
    }

    #[test]
    fn a_trusted_chain_without_forwarded_is_carried_over_into_it() {
        let peer = Peer::new("[fd00::7]:40000".parse().unwrap());
        let request = request(&[("x-forwarded-for", "2001:db8::1, nonsense")]);
        let lines = applied(&rules(&["fd00::/8"]), peer, request);
        assert_eq!(
            lines[0],
            "forwarded: for=\"[2001:db8::1]\", for=unknown, for=\"[fd00::7]\";proto=http"
        );
        assert_eq!(lines[1], "x-forwarded-for: 2001:db8::1, nonsense, fd00::7");
    }

    #[test]
    fn forwarded_is_left_out_where_it_is_not_wanted() {
        let rules = config::Forwarded { send_forwarded: false, ..rules(&["10.0.0.0/8"]) };
        let lines = applied(&rules, peer(), request(&CLAIMS));
        assert!(!lines.iter().any(|line| line.starts_with("forwarded:")), "{lines:?}");
    }

    #[test]
    fn a_client_that_came_over_tls_is_said_to_have() {
        let over_tls = peer().over_tls();
        assert_eq!(
            applied(&rules(&[]), over_tls, request(&[("host", "shop.example")])),
            [
                "forwarded: for=10.1.2.3;host=\"shop.example\";proto=https",
                "host: shop.example",
                "x-forwarded-for: 10.1.2.3",
                "x-forwarded-host: shop.example",
                "x-forwarded-proto: https",
            ]
        );
        // Its own client came to it in the clear, however it came here.
        let told = request(&[("host", "shop.example"), ("x-forwarded-proto", "http")]);
        let base = |trusted| client_root(&rules(trusted), over_tls, &told, "/Root");
        assert_eq!(base(&[]).as_deref(), Some("https://shop.example/Root"));
        assert_eq!(base(&["10.0.0.0/8"]).as_deref(), Some("http://shop.example/Root"));
        assert!(
            applied(&rules(&["10.0.0.0/8"]), over_tls, told)
                .contains(&"x-forwarded-proto: http".to_owned())
        );
    }

    #[test]
    fn the_client_is_the_last_that_is_no_proxy_of_ours() {
        let rules = rules(&["10.0.0.0/8", "192.0.2.1/32"]);
        let seen = |fields: &[(&'static str, &str)]| {
            let values = |name: &'static str| {
                let of = fields.iter().filter(move |(field, _)| *field == name);
                of.map(|(_, value)| *value)
            };
            client(&rules, peer(), values).to_string()
        };
        for (chain, client) in [
            ("203.0.113.9", "203.0.113.9"),
            ("198.51.100.7, 203.0.113.9", "203.0.113.9"),
            ("203.0.113.9, 192.0.2.1, 10.9.9.9", "203.0.113.9"),
            ("203.0.113.9:4711", "203.0.113.9"),
            ("[2001:db8::1]:4711, 10.9.9.9", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("10.9.9.9, 192.0.2.1", "10.9.9.9"),
            ("203.0.113.9, nonsense, 192.0.2.1", "192.0.2.1"),
            ("203.0.113.9, nonsense", "10.1.2.3"),
        ] {
            assert_eq!(seen(&[("x-forwarded-for", chain)]), client, "{chain}");
        }
        let two = [("x-forwarded-for", "198.51.100.7"), ("x-forwarded-for", "203.0.113.9")];
        assert_eq!(seen(&two), "203.0.113.9");
        let forwarded = "for=198.51.100.7, proto=http;For=\"[2001:db8::1]:80\", for=10.9.9.9";
        assert_eq!(seen(&[("forwarded", forwarded)]), "2001:db8::1");
        assert_eq!(seen(&[]), "10.1.2.3");
        let stranger = Peer::new("203.0.113.1:1".parse().unwrap());
        let lie = |_| std::iter::once("198.51.100.7");
        assert_eq!(client(&rules, stranger, lie).to_string(), "203.0.113.1");
    }

    #[test]
    fn the_clients_base_is_what_a_trusted_proxy_saw() {
        let told = request(&CLAIMS);
        assert_eq!(
            client_root(&rules(&["10.0.0.0/8"]), peer(), &told, "").as_deref(),
            Some("https://www.shop.example")
        );
        assert_eq!(
            client_root(&rules(&[]), peer(), &told, "").as_deref(),
            Some("http://shop.example")
        );
        assert_eq!(client_root(&rules(&[]), peer(), &request(&[]), ""), None);
        assert_eq!(client_root(&rules(&[]), peer(), &request(&[("host", "a b/c")]), ""), None);
    }
}
