//! From the file and the environment to a [`Config`]: every key, its bounds, and what must hold
//! between keys.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::credential::{bearer_token, hmac_secret};
use super::mistake::{ConfigErrors, Mistake, Place};
use super::reader::{Environment, Field, Reader, Section, shown};
use super::values::{
    address, base_url, boolean, count, duration, list, network, one_of, path, size, text,
};
use super::{
    Absent, BatchMode, ClassLifetimes, Config, Forwarded, Ingest, KeyRules, Limits, Listen, Log,
    LogFormat, Memory, Origin, Purge, Storefront, TlsRoots,
};
use crate::operation::{Class, Lifetimes};
use crate::telemetry;

/// What a configuration or a CA file may hold, in bytes.
const FILE_BYTES: u64 = 1 << 20;

/// What Linux takes for a Unix socket's path is 107 bytes; a name beside it ends in `.new`.
const SOCKET_PATH_BYTES: usize = 103;

mod access_log;
mod cors;
mod gate;
mod generic;
mod operations;
mod redis;
mod refresh;
mod reload;
mod tls;
mod traces;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Time limits: none is off.
const WAIT: RangeInclusive<Duration> = MILLISECOND..=HOUR;
/// Freshness lifetimes and stale windows.
const LIFETIME: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(365 * 24 * 3_600);

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

impl Config {
    /// Reads the file at `path`. `environment` overrides keys (`CSU_EDGE__LISTEN__STOREFRONT`) and
    /// is where `env:NAME` secrets are looked up; a process passes [`std::env::vars_os`].
    ///
    /// # Errors
    /// Every mistake, each with its line and column or its environment variable.
    pub fn load<K: Into<OsString>, V: Into<OsString>>(
        path: &Path,
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ConfigErrors> {
        let source_name = path.display().to_string();
        match read_file(path) {
            Ok(text) => Self::parse(&text, &source_name, environment),
            Err(error) => {
                let message = format!("cannot be read: {error}");
                let mistake = Mistake { place: Place::File, key: None, message };
                Err(ConfigErrors::new(&source_name, vec![mistake]))
            }
        }
    }

    /// Reads a configuration from its text; errors call it `source_name`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse<K: Into<OsString>, V: Into<OsString>>(
        text: &str,
        source_name: &str,
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ConfigErrors> {
        let environment = Environment::new(environment);
        let reader = Reader::new(text.strip_prefix('\u{feff}').unwrap_or(text), &environment);
        let config = reader.read(root);
        match (config.flatten(), reader.finish().0) {
            (Some(config), mistakes) if mistakes.is_empty() => Ok(config),
            (_, mistakes) => Err(ConfigErrors::new(source_name, mistakes)),
        }
    }

    /// Every key that can be set, dotted; those of an `[[operation]]` as `operation.match`.
    pub fn keys() -> BTreeSet<String> {
        let environment = Environment::default();
        let reader = Reader::new("[[operation]]", &environment);
        reader.read(root);
        reader.finish().1
    }
}

/// `None` only together with a mistake.
fn root(root: &Section<'_>) -> Option<Config> {
    let (listen, ingest_place) = root.table("listen", listen);
    let (tls, asks_pushers) = root.table("tls", tls::read);
    let origin = root.table("origin", origin);
    let storefront = root.table("storefront", storefront);
    let memory = root.table("memory", memory);
    let (redis, in_fleet) = root.table("redis", redis::read);
    let classes = root.table("class", classes);
    let absent = root.table("absent", absent);
    let operations = operations::read(root, &classes);
    let refresh = root.table("refresh", refresh::read);
    let generic = root.table("generic", generic::read);
    let key = root.table("key", key);
    let cors = root.table("cors", cors::read);
    let forwarded = root.table("forwarded", forwarded);
    let limits = root.table("limits", limits);
    let purge = root.table("purge", purge);
    let (ingest, authenticated) = root.table("ingest", |section| ingest(section, in_fleet));
    let log = root.table("log", log);
    let reload = root.table("reload", reload::read);
    let access_log = root.table("access_log", access_log::read);
    let traces = root.table("traces", traces::read);

    if !listen.ingest.ip().to_canonical().is_loopback() && !authenticated && !asks_pushers {
        let message = format!(
            "{} is not a loopback address, and [ingest] has neither hmac_secrets nor \
             bearer_tokens, nor [tls.ingest] a client_ca: anyone could purge. Set one of them, or \
             listen on 127.0.0.1",
            listen.ingest
        );
        root.note(ingest_place, "listen.ingest", message);
    }
    Some(Config {
        listen,
        tls,
        origin: origin?,
        storefront,
        memory,
        redis,
        classes,
        absent,
        operations,
        refresh,
        generic,
        key,
        cors,
        forwarded,
        limits,
        purge,
        ingest,
        log,
        reload,
        access_log,
        traces,
    })
}

/// The listeners, and where a mistake about the one for push events stands.
fn listen(section: &Section<'_>) -> (Listen, Place) {
    let mut listen = Listen::default();
    section.set("storefront", &mut listen.storefront, address);
    section.set("ingest", &mut listen.ingest, address);
    section.set("control", &mut listen.control, address);
    section.set("workers", &mut listen.workers, count(1..=1_024));
    section.set("drain_for", &mut listen.drain_for, duration(Duration::ZERO..=HOUR));
    section.set("drain_delay", &mut listen.drain_delay, duration(Duration::ZERO..=HOUR));
    listen.handover = section.get("handover", socket_path);
    section.set("handover_timeout", &mut listen.handover_timeout, duration(SECOND..=HOUR));

    let place = |name| section.field(name).map_or(section.place(), |field| field.place());
    for (name, this, others) in [
        ("ingest", listen.ingest, vec![("storefront", listen.storefront)]),
        (
            "control",
            listen.control,
            vec![("storefront", listen.storefront), ("ingest", listen.ingest)],
        ),
    ] {
        for (other, taken) in others {
            if collide(this, taken) {
                let message = format!("{this} is taken by listen.{other} ({taken})");
                section.note(place(name), name, message);
            }
        }
    }
    let ingest_place = place("ingest");
    (listen, ingest_place)
}

/// Where a Unix socket is to be.
fn socket_path(field: &Field<'_>) -> Option<std::path::PathBuf> {
    let path = path(field)?;
    if path.as_os_str().len() > SOCKET_PATH_BYTES {
        return field.refuse(format!("must be a path of at most {SOCKET_PATH_BYTES} bytes"));
    }
    Some(path)
}

fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let (one_ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() == other.port()
        && one.port() != 0
        && (one_ip == other_ip || one_ip.is_unspecified() || other_ip.is_unspecified())
}

fn origin(section: &Section<'_>) -> Option<Origin> {
    let service_root = section.get("service_root", base_url);
    if section.field("service_root").is_none() {
        let message = "missing: where the Retail Server is, such as \
                       \"https://scu1234-rs.su.retail.dynamics.com/Commerce\"";
        section.note(section.place(), "service_root", message);
    }
    let mut origin = Origin::at(service_root.clone().unwrap_or_default());
    let roots = one_of([("system", TlsRoots::System), ("bundled", TlsRoots::Bundled)]);
    section.set("tls_roots", &mut origin.tls_roots, roots);
    origin.ca_file = section.get("ca_file", ca_file);
    section.set("connect_timeout", &mut origin.connect_timeout, duration(WAIT));
    section.set("first_byte_timeout", &mut origin.first_byte_timeout, duration(WAIT));
    section.set("fetch_timeout", &mut origin.fetch_timeout, duration(WAIT));
    section.set("idle_timeout", &mut origin.idle_timeout, duration(WAIT));
    section.set("idle_connections", &mut origin.idle_connections, count(0..=65_536));
    let linger = duration(Duration::ZERO..=Duration::from_millis(100));
    section.set("merge_linger", &mut origin.merge_linger, linger);
    origin.gate = section.table("gate", gate::read);
    service_root.map(|_| origin)
}

fn ca_file(field: &Field<'_>) -> Option<std::path::PathBuf> {
    let path = path(field)?;
    let text = match read_file(&path) {
        Ok(text) => text,
        Err(error) => {
            let name = shown(&path.display().to_string());
            return field.refuse(format!("{name} cannot be read: {error}"));
        }
    };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Some(path),
        Ok(_) | Err(_) => field.refuse("the file holds no certificate in PEM form"),
    }
}

fn storefront(section: &Section<'_>) -> Storefront {
    let modes =
        [("batch", BatchMode::Batch), ("calls", BatchMode::Calls), ("pass", BatchMode::Pass)];
    Storefront {
        public_root: section.get("public_root", base_url),
        batch: section.get("batch", one_of(modes)).unwrap_or_default(),
    }
}

fn memory(section: &Section<'_>) -> Memory {
    let mut memory = Memory::default();
    section.set("max_bytes", &mut memory.max_bytes, size(MIB..=(16 << 40)));
    memory
}

fn absent(section: &Section<'_>) -> Absent {
    let mut absent = Absent::default();
    section.set("fresh_for", &mut absent.fresh_for, duration(LIFETIME));
    absent
}

fn classes(section: &Section<'_>) -> ClassLifetimes {
    let mut classes = ClassLifetimes::default();
    for class in Class::ALL {
        section.table(class.as_str(), |section| {
            let Lifetimes { fresh_for, stale_while_revalidate, stale_if_error } =
                classes.of_mut(class);
            section.set("fresh_for", fresh_for, duration(LIFETIME));
            section.set("stale_while_revalidate", stale_while_revalidate, duration(LIFETIME));
            section.set("stale_if_error", stale_if_error, duration(LIFETIME));
        });
    }
    classes
}

fn key(section: &Section<'_>) -> KeyRules {
    let mut key = KeyRules::default();
    section.set("ignored_query_options", &mut key.ignored_query_options, list(query_option));
    let tolerance = duration(Duration::ZERO..=DAY);
    section.set("active_date_tolerance", &mut key.active_date_tolerance, tolerance);
    key
}

/// A query option's name, perhaps with `*` for its rest.
fn query_option(field: &Field<'_>) -> Option<String> {
    let text = text(field)?;
    let name = text.strip_suffix('*').unwrap_or(&text);
    if name.is_empty() || name.contains(['*', '&', '=', '#', '?', '%']) {
        return field.refuse(format!(
            "must be the name of a query option, or the start of one followed by *, not {}",
            shown(&text)
        ));
    }
    if name.starts_with(['$', '@']) {
        return field.refuse(format!("{} changes the answer: it cannot be ignored", shown(&text)));
    }
    Some(text)
}

fn forwarded(section: &Section<'_>) -> Forwarded {
    let mut forwarded = Forwarded::default();
    section.set("trusted", &mut forwarded.trusted, list(network));
    section.set("send_forwarded", &mut forwarded.send_forwarded, boolean);
    forwarded
}

fn limits(section: &Section<'_>) -> Limits {
    let mut limits = Limits::default();
    // hyper refuses a smaller buffer for a head, and a HeaderMap holds at most 32,768 names.
    section.set("header_bytes", &mut limits.header_bytes, size(8 * KIB..=MIB));
    section.set("header_fields", &mut limits.header_fields, count(1..=10_000));
    section.set("batch_parts", &mut limits.batch_parts, count(1..=1_000));
    section.set("keyed_body_bytes", &mut limits.keyed_body_bytes, size(KIB..=64 * MIB));
    section.set("stored_body_bytes", &mut limits.stored_body_bytes, size(KIB..=GIB));
    section.set("header_timeout", &mut limits.header_timeout, duration(WAIT));
    section.set("keyed_body_timeout", &mut limits.keyed_body_timeout, duration(WAIT));
    section.set("keep_alive", &mut limits.keep_alive, duration(WAIT));
    section.set("connections", &mut limits.connections, count(1..=1_000_000));
    let per_client = &mut limits.connections_per_client;
    section.set("connections_per_client", per_client, count(1..=1_000_000));
    section.set("fetches", &mut limits.fetches, count(1..=1_000_000));
    section.set("waiters", &mut limits.waiters, count(1..=1_000_000));
    section.set("h2_streams", &mut limits.h2_streams, count(1..=10_000));
    section.set("variants", &mut limits.variants, count(1..=10_000));
    section.set("ranges", &mut limits.ranges, count(1..=1_000));
    section.set("h2_resets", &mut limits.h2_resets, count(10..=1_000_000));
    section.set("h2_frames", &mut limits.h2_frames, count(100..=1_000_000));
    limits
}

fn purge(section: &Section<'_>) -> Purge {
    let mut purge = Purge::default();
    section.set("max_tags", &mut purge.max_tags, count(1..=100_000_000));
    section.set("max_urls", &mut purge.max_urls, count(1..=100_000_000));
    purge
}

/// The settings of push events, and whether a credential was given, valid or not. `in_fleet`: there
/// is a `[redis]`.
fn ingest(section: &Section<'_>, in_fleet: bool) -> (Ingest, bool) {
    let mut ingest = Ingest::default();
    section.set("hmac_secrets", &mut ingest.hmac_secrets, list(hmac_secret));
    section.set("bearer_tokens", &mut ingest.bearer_tokens, list(bearer_token));
    section.set("tolerance", &mut ingest.tolerance, duration(SECOND..=HOUR));
    section.set("body_bytes", &mut ingest.body_bytes, size(KIB..=64 * MIB));
    section.set("events", &mut ingest.events, count(1..=100_000));
    section.set("remembered_ids", &mut ingest.remembered_ids, count(1..=10_000_000));
    section.set("dead_letters", &mut ingest.dead_letters, count(1..=100_000));
    let interval = duration(Duration::ZERO..=HOUR);
    section.set("search_purge_interval", &mut ingest.search_purge_interval, interval);
    section.set("scheduled", &mut ingest.scheduled, count(1..=10_000_000));
    section.set("wait_for_fleet", &mut ingest.wait_for_fleet, |field| {
        let waits = boolean(field)?;
        if waits && !in_fleet {
            return field.refuse("there is no fleet to wait for without a [redis]");
        }
        Some(waits)
    });
    let given = |name| section.field(name).is_some_and(|field| !field.is_empty_array());
    let authenticated = given("hmac_secrets") || given("bearer_tokens");
    (ingest, authenticated)
}

fn log(section: &Section<'_>) -> Log {
    let mut log = Log::default();
    let formats = one_of([("json", LogFormat::Json), ("text", LogFormat::Text)]);
    section.set("format", &mut log.format, formats);
    section.set("filter", &mut log.filter, |field| {
        let filter = text(field)?;
        match telemetry::parse_filter(&filter) {
            Ok(_) => Some(filter),
            Err(error) => field.refuse(format!("is not a filter: {error}")),
        }
    });
    log
}

fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES {
        return Err(io::Error::other("it is longer than 1MiB"));
    }
    Ok(text)
}
