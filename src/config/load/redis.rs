//! `[redis]` and `[redis.purge]`.

use std::time::Duration;

use super::{HOUR, KIB, MIB, MILLISECOND, SECOND, WAIT, ca_file};
use crate::config::credential::secret;
use crate::config::reader::{Field, Section};
use crate::config::values::{count, duration, path, size, text};
use crate::config::{
    ListenerTls, Redis, RedisIdentity, RedisKind, RedisPurge, RedisServer, TlsVersion,
};
use crate::tls::{FileProblem, Files};

mod url;

const MINUTE: Duration = Duration::from_secs(60);

/// How many heartbeats may be lost before a node is fenced off: one that is late must not be
/// enough.
const HEARTBEATS: u32 = 3;

/// The longest name, in characters.
const NAME_CHARS: usize = 64;

/// `None` without a `[redis]`, or with a mistake; and whether there is one.
pub(super) fn read(section: &Section<'_>) -> (Option<Redis>, bool) {
    let server = server(section);
    let mut redis = Redis::at(server.clone().unwrap_or_else(nowhere));
    section.set("prefix", &mut redis.prefix, name);
    redis.node = section.get("node", name);
    section.set("command_timeout", &mut redis.command_timeout, duration(WAIT));
    section.set("write_timeout", &mut redis.write_timeout, duration(WAIT));
    section.set("connect_timeout", &mut redis.connect_timeout, duration(WAIT));
    section.set("broken_after", &mut redis.broken_after, count(1..=1_000));
    let probes = duration(10 * MILLISECOND..=MINUTE);
    section.set("probe_every", &mut redis.probe_every, probes);
    section.set("lease_wait", &mut redis.lease_wait, duration(Duration::ZERO..=MINUTE));
    // 512 MiB is the longest string that Redis takes.
    section.set("max_value_bytes", &mut redis.max_value_bytes, size(KIB..=512 * MIB));
    section.set("write_queue", &mut redis.write_queue, count(1..=1_000_000));
    redis.partition_secret = section.get("partition_secret", secret);
    redis.purge = section.table("purge", purge);

    if !section.is_present() {
        return (None, false);
    }
    if section.field("url").is_none() {
        let message = "missing: where the Redis is, such as \"redis://127.0.0.1:6379\"";
        section.note(section.place(), "url", message);
    }
    (server.map(|_| redis), true)
}

fn purge(section: &Section<'_>) -> RedisPurge {
    let mut purge = RedisPurge { server: server(section), ..RedisPurge::default() };
    if section.field("url").is_none() {
        for name in SERVER_KEYS {
            if let Some(field) = section.field(name) {
                field
                    .refuse::<()>("belongs to a url of its own: without one here, [redis] says it");
            }
        }
    }
    section.set("heartbeat", &mut purge.heartbeat, duration(10 * MILLISECOND..=10 * SECOND));
    section.set("fence_after", &mut purge.fence_after, duration(100 * MILLISECOND..=MINUTE));
    section.set("command_timeout", &mut purge.command_timeout, duration(WAIT));
    section.set("log_entries", &mut purge.log_entries, count(1_000..=10_000_000));
    section.set("replicas", &mut purge.replicas, count(0..=10));
    section.set("fleet_timeout", &mut purge.fleet_timeout, duration(WAIT));
    section.set("boot_timeout", &mut purge.boot_timeout, duration(Duration::ZERO..=HOUR));

    if purge.fence_after < purge.heartbeat * HEARTBEATS {
        let name = if section.field("fence_after").is_some() { "fence_after" } else { "heartbeat" };
        let place = section.field(name).map_or(section.place(), |field| field.place());
        let message = "fence_after must be at least three times heartbeat: one that is late must \
                       not fence a node off";
        section.note(place, name, message);
    }
    purge
}

/// The keys of a server beside its `url`.
const SERVER_KEYS: [&str; 6] =
    ["username", "password", "sentinel_password", "ca_file", "certificate", "private_key"];

/// Where a Redis is and how it is spoken to; `None` without a `url`, or with a mistake in it.
fn server(section: &Section<'_>) -> Option<RedisServer> {
    let url = section.get("url", |field| {
        let text = field.text(url::EXAMPLES)?;
        url::parse(text).map_or_else(|problem| field.refuse(problem), Some)
    });
    let username = section.get("username", text);
    let password = section.get("password", secret);
    let sentinel_password = section.get("sentinel_password", secret);
    let ca_file = section.get("ca_file", ca_file);
    let identity = identity(section);
    if let Some(field) = section.field("username")
        && section.field("password").is_none()
    {
        field.refuse::<()>("needs a password beside it: without one, nobody is authenticated");
    }

    let (kind, tls) = url?;
    if !tls {
        for name in ["ca_file", "certificate", "private_key"] {
            if let Some(field) = section.field(name) {
                field.refuse::<()>("belongs to TLS, and the url is in the clear: write rediss");
            }
        }
    }
    Some(RedisServer { kind, tls, username, password, sentinel_password, ca_file, identity })
}

/// A client's certificate and key: both, or neither.
fn identity(section: &Section<'_>) -> Option<RedisIdentity> {
    let certificate = section.get("certificate", path);
    let private_key = section.get("private_key", path);
    let given = |name| section.field(name);
    for (name, other) in [("certificate", "private_key"), ("private_key", "certificate")] {
        if let Some(field) = given(name)
            && given(other).is_none()
        {
            field.refuse::<()>(format!("needs a {other} beside it"));
        }
    }
    let identity = RedisIdentity { certificate: certificate?, private_key: private_key? };
    for problem in problems(&identity) {
        if let Some(field) = given(problem.file.as_str()) {
            // Without the path, in the place of which someone may have put the key itself.
            field.refuse::<()>(problem.problem.to_string());
        }
    }
    Some(identity)
}

/// What is wrong with a certificate and its key: the same as with a listener's.
fn problems(identity: &RedisIdentity) -> Vec<FileProblem> {
    let settings = ListenerTls {
        certificate: identity.certificate.clone(),
        private_key: identity.private_key.clone(),
        client_ca: None,
        minimum_version: TlsVersion::Tls12,
    };
    Files::read(&settings).load(&settings).err().unwrap_or_default()
}

/// A name that stands in Redis's keys.
fn name(field: &Field<'_>) -> Option<String> {
    let text = text(field)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if text.len() <= NAME_CHARS && text.bytes().all(allowed) {
        return Some(text);
    }
    field.refuse(format!("must be 1 to {NAME_CHARS} letters, digits, dots, hyphens or underscores"))
}

/// In place of a server that was not given or not understood; it is never dialled, because there is
/// a mistake or no `[redis]`.
fn nowhere() -> RedisServer {
    RedisServer::new(RedisKind::Cluster { nodes: Vec::new() }, false)
}
