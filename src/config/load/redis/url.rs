//! The URLs of a Redis.
//!
//! Not RFC 3986's: several hosts stand in one authority, as drivers have it for clusters and
//! sentinels. No message repeats any of it, because it may hold a password.

use std::net::Ipv6Addr;

use crate::config::{RedisKind, RedisNode};

/// What is wanted.
pub(super) const EXAMPLES: &str = "a URL such as \"redis://127.0.0.1:6379\", \
     \"rediss://redis.example:6380/1\", \"redis+cluster://a:6379,b:6379\" or \
     \"redis+sentinel://a:26379,b:26379/primary\"";

const SERVER_PORT: u16 = 6_379;
const SENTINEL_PORT: u16 = 26_379;

/// The most servers that one URL names.
const MAX_NODES: usize = 100;

/// The largest number of a database.
const MAX_DB: u32 = 65_535;

#[derive(Clone, Copy)]
enum Form {
    Standalone,
    Cluster,
    Sentinel,
}

/// What stands at a URL, and whether it is spoken to by TLS.
pub(super) fn parse(url: &str) -> Result<(RedisKind, bool), String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("must be {EXAMPLES}"))?;
    let (form, tls) = match scheme {
        "redis" => (Form::Standalone, false),
        "rediss" => (Form::Standalone, true),
        "redis+cluster" => (Form::Cluster, false),
        "rediss+cluster" => (Form::Cluster, true),
        "redis+sentinel" => (Form::Sentinel, false),
        "rediss+sentinel" => (Form::Sentinel, true),
        _ => return Err(format!("must be {EXAMPLES}")),
    };
    // Looked for first and everywhere: a password may hold any of the characters below.
    if rest.contains('@') {
        return Err("must have no user name or password: write them as username and password \
                    (\"env:NAME\" or \"file:PATH\")"
            .to_owned());
    }
    if rest.contains('?') {
        return Err("must have no query (?…)".to_owned());
    }
    if rest.contains('#') {
        return Err("must have no fragment (#…)".to_owned());
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let kind = match form {
        Form::Standalone => {
            let mut nodes = nodes(authority, SERVER_PORT)?;
            let (Some(node), true) = (nodes.pop(), nodes.is_empty()) else {
                return Err("must name one server: several are redis+cluster:// or \
                            redis+sentinel://"
                    .to_owned());
            };
            RedisKind::Standalone { node, db: db(path)? }
        }
        Form::Cluster if !path.is_empty() => {
            return Err("must have no path: a cluster has one database".to_owned());
        }
        Form::Cluster => RedisKind::Cluster { nodes: nodes(authority, SERVER_PORT)? },
        Form::Sentinel => {
            let (service, number) = path.split_once('/').unwrap_or((path, ""));
            let nodes = nodes(authority, SENTINEL_PORT)?;
            RedisKind::Sentinel { nodes, service: service_name(service)?, db: db(number)? }
        }
    };
    Ok((kind, tls))
}

fn nodes(authority: &str, default_port: u16) -> Result<Vec<RedisNode>, String> {
    if authority.split(',').count() > MAX_NODES {
        return Err(format!("must name at most {MAX_NODES} servers"));
    }
    let mut nodes = Vec::new();
    for part in authority.split(',') {
        let node = node(part, default_port)?;
        if nodes.contains(&node) {
            return Err("names a server twice".to_owned());
        }
        nodes.push(node);
    }
    Ok(nodes)
}

fn node(text: &str, default_port: u16) -> Result<RedisNode, String> {
    let no_host = || {
        "must name a host: a name, an IPv4 address, or an IPv6 address in brackets, each with a \
         port if any (host:6379)"
            .to_owned()
    };
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, port) = bracketed.split_once(']').ok_or_else(no_host)?;
            host.parse::<Ipv6Addr>().map_err(|_| no_host())?;
            (host, port)
        }
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            if host.is_empty() || !host.bytes().all(allowed) {
                return Err(no_host());
            }
            (host, port)
        }
    };
    let port = match port.strip_prefix(':') {
        Some(number) => whole(number)
            .and_then(|number| u16::try_from(number).ok())
            .filter(|port| *port != 0)
            .ok_or("must have ports between 1 and 65535")?,
        None if port.is_empty() => default_port,
        None => return Err(no_host()),
    };
    Ok(RedisNode { host: host.to_ascii_lowercase(), port })
}

fn db(text: &str) -> Result<u32, String> {
    if text.is_empty() {
        return Ok(0);
    }
    whole(text)
        .filter(|number| *number <= MAX_DB)
        .ok_or_else(|| format!("must end in the number of a database, 0 to {MAX_DB}, if any"))
}

/// As Sentinel itself has it: letters, digits, dots, hyphens and underscores.
fn service_name(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if text.is_empty() || !text.bytes().all(allowed) {
        return Err("must name the primary as its sentinels do, after the sentinels: \
                    redis+sentinel://a:26379,b:26379/primary"
            .to_owned());
    }
    Ok(text.to_owned())
}

/// Digits alone: `parse` would take a sign.
fn whole(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> RedisNode {
        RedisNode { host: host.to_owned(), port }
    }

    #[test]
    fn every_form_of_url_is_understood() {
        for (url, kind, tls) in [
            ("redis://h", RedisKind::Standalone { node: at("h", 6_379), db: 0 }, false),
            ("redis://h/", RedisKind::Standalone { node: at("h", 6_379), db: 0 }, false),
            (
                "redis://10.0.0.1:1/15",
                RedisKind::Standalone { node: at("10.0.0.1", 1), db: 15 },
                false,
            ),
            ("rediss://[::1]:6380", RedisKind::Standalone { node: at("::1", 6_380), db: 0 }, true),
            (
                "rediss://[fd00::1]",
                RedisKind::Standalone { node: at("fd00::1", 6_379), db: 0 },
                true,
            ),
            (
                "redis+cluster://A.example:7000,b",
                RedisKind::Cluster { nodes: vec![at("a.example", 7_000), at("b", 6_379)] },
                false,
            ),
            ("rediss+cluster://a/", RedisKind::Cluster { nodes: vec![at("a", 6_379)] }, true),
            (
                "rediss+sentinel://a,b:1/my-primary.1/3",
                RedisKind::Sentinel {
                    nodes: vec![at("a", 26_379), at("b", 1)],
                    service: "my-primary.1".to_owned(),
                    db: 3,
                },
                true,
            ),
            (
                "redis+sentinel://a/p",
                RedisKind::Sentinel {
                    nodes: vec![at("a", 26_379)],
                    service: "p".to_owned(),
                    db: 0,
                },
                false,
            ),
        ] {
            assert_eq!(parse(url), Ok((kind, tls)), "{url}");
        }
    }

    #[test]
    fn what_is_not_understood_is_told_and_not_repeated() {
        for (url, told) in [
            ("", "must be a URL such as"),
            ("canary", "must be a URL such as"),
            ("canary://h", "must be a URL such as"),
            ("REDIS://canary", "must be a URL such as"),
            ("unix:///canary", "must be a URL such as"),
            ("redis://:canary@h", "must have no user name or password"),
            ("redis://u:can/ary?#@h", "must have no user name or password"),
            ("redis://h?canary", "must have no query"),
            ("redis://h#canary", "must have no fragment"),
            ("redis://", "must name a host"),
            ("redis://:6379", "must name a host"),
            ("redis:///1", "must name a host"),
            ("redis://can ary", "must name a host"),
            ("redis://[canary]", "must name a host"),
            ("redis://[::1", "must name a host"),
            ("redis://[::1]6379", "must name a host"),
            ("redis://::1", "must name a host"),
            ("redis://h:0", "must have ports between 1 and 65535"),
            ("redis://h:65536", "must have ports between 1 and 65535"),
            ("redis://h:+1", "must have ports between 1 and 65535"),
            ("redis://h:", "must have ports between 1 and 65535"),
            ("redis://h:canary", "must have ports between 1 and 65535"),
            ("redis://a,b", "must name one server"),
            ("redis://a,", "must name a host"),
            ("redis://h/canary", "must end in the number of a database"),
            ("redis://h/65536", "must end in the number of a database"),
            ("redis://h/1/2", "must end in the number of a database"),
            ("redis+cluster://", "must name a host"),
            ("redis+cluster://a,a:6379", "names a server twice"),
            ("redis+cluster://a/1", "must have no path"),
            ("redis+sentinel://a", "must name the primary"),
            ("redis+sentinel://a/", "must name the primary"),
            ("redis+sentinel://a/can ary", "must name the primary"),
            ("redis+sentinel://a//1", "must name the primary"),
            ("redis+sentinel://a/p/x", "must end in the number of a database"),
        ] {
            let problem = parse(url).unwrap_err();
            assert!(problem.starts_with(told), "{url}: {problem}");
            assert!(!problem.contains("canary"), "{url}: {problem}");
        }
        let many = format!("redis+cluster://{}", vec!["h"; 101].join(","));
        assert_eq!(parse(&many), Err("must name at most 100 servers".to_owned()));
    }
}
