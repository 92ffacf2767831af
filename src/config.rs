//! The configuration, typed and decided: whoever holds a [`Config`] needs to check nothing more.

use std::path::PathBuf;
use std::time::Duration;

use http::{Method, Uri};
use ipnet::IpNet;

use crate::operation::{Class, Identity, Lifetimes};

mod access_log;
mod change;
mod cors;
mod credential;
mod gate;
mod generic;
mod listen;
mod load;
mod mistake;
mod reader;
mod redis;
mod refresh;
mod reload;
mod secret;
mod tls;
mod traces;
mod values;

pub use access_log::{AccessLog, AccessLogTo, LoggedTarget};
pub use change::NEEDS_RESTART;
pub use cors::{AllowedOrigins, Cors};
pub use gate::{Budget, Gate};
pub use generic::{Generic, GenericPolicy, RequestFields};
pub use listen::Listen;
pub use mistake::{ConfigErrors, Mistake, Place};
pub use redis::{Redis, RedisIdentity, RedisKind, RedisNode, RedisPurge, RedisServer};
pub use refresh::Refresh;
pub use reload::Reload;
pub use secret::Secret;
pub use tls::{ListenerTls, Tls, TlsVersion};
pub use traces::Traces;

/// Everything that can be set, validated.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// `[listen]`: the three listeners.
    pub listen: Listen,
    /// `[tls.*]`: TLS on the listeners.
    pub tls: Tls,
    /// `[origin]`: the Retail Server behind.
    pub origin: Origin,
    /// `[storefront]`: how clients see this node.
    pub storefront: Storefront,
    /// `[memory]`: the memory tier.
    pub memory: Memory,
    /// `[redis]`: what nodes share. Absent, memory alone and one node.
    pub redis: Option<Redis>,
    /// `[class.*]`: lifetimes by class.
    pub classes: ClassLifetimes,
    /// `[absent]`: answers that there is no such thing.
    pub absent: Absent,
    /// `[[operation]]`: additions to and overrides of the built-in operation catalogue, in order.
    pub operations: Vec<OperationRule>,
    /// `[refresh]`: what is fetched before anybody misses it.
    pub refresh: Refresh,
    /// `[generic]`: what the catalogue does not know.
    pub generic: Generic,
    /// `[key]`: what is left out of the cache key.
    pub key: KeyRules,
    /// `[cors]`: absent, preflights pass and no CORS header is added.
    pub cors: Option<Cors>,
    /// `[forwarded]`: whom to believe about the client.
    pub forwarded: Forwarded,
    /// `[limits]`: every bound on what a client or the origin may make this node hold.
    pub limits: Limits,
    /// `[purge]`: the purge plane.
    pub purge: Purge,
    /// `[ingest]`: the push events.
    pub ingest: Ingest,
    /// `[log]`: what is logged and how.
    pub log: Log,
    /// `[reload]`: how a changed configuration is noticed.
    pub reload: Reload,
    /// `[access_log]`: one line for each request.
    pub access_log: AccessLog,
    /// `[traces]`: spans for a collector.
    pub traces: Traces,
}

/// `[origin]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The service root: scheme, authority and path, without query and without a trailing slash.
    pub service_root: Uri,
    /// Which roots verify an `https` origin.
    pub tls_roots: TlsRoots,
    /// A PEM file with a private CA, trusted in addition.
    pub ca_file: Option<PathBuf>,
    /// Time to connect, TLS included. Default 3 s.
    pub connect_timeout: Duration,
    /// Time from sending a request to the head of its response. Default 30 s.
    pub first_byte_timeout: Duration,
    /// Time for a whole fetch of an answer that may be stored. Default 60 s.
    pub fetch_timeout: Duration,
    /// How long an unused connection is kept. Default 60 s.
    pub idle_timeout: Duration,
    /// Unused connections kept by each worker. Default 64.
    pub idle_connections: usize,
    /// How long a call for what is missing of lists waits for more of its kind, where another one is
    /// under way. Default 1 ms.
    pub merge_linger: Duration,
    /// `[origin.gate]`: how much is asked of it.
    pub gate: Gate,
}

/// Which certificate authorities verify the origin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsRoots {
    /// The machine's.
    System,
    /// Mozilla's, as compiled in.
    Bundled,
}

/// `[storefront]`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Storefront {
    /// The base that replaces the origin's in `@odata.nextLink`, such as
    /// `https://shop.example/Commerce`. Absent: taken from each request's own scheme and host.
    pub public_root: Option<Uri>,
    /// What becomes of a `$batch`.
    pub batch: BatchMode,
}

/// What becomes of a `$batch`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BatchMode {
    /// Its reads are answered from the store; what is left goes to the origin as a smaller batch.
    #[default]
    Batch,
    /// The same, but what is left of a batch of reads goes call by call.
    Calls,
    /// It passes whole.
    Pass,
}

/// `[memory]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Memory {
    /// What stored responses may occupy, in bytes. Default 512 MiB.
    pub max_bytes: u64,
}

/// `[class.*]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClassLifetimes([Lifetimes; Class::ALL.len()]);

impl ClassLifetimes {
    /// The lifetimes of a class.
    #[allow(clippy::indexing_slicing, reason = "one element for each variant of `Class`")]
    pub const fn of(&self, class: Class) -> Lifetimes {
        self.0[class as usize]
    }

    /// The lifetimes of a class, to be changed.
    #[allow(clippy::indexing_slicing, reason = "one element for each variant of `Class`")]
    pub const fn of_mut(&mut self, class: Class) -> &mut Lifetimes {
        &mut self.0[class as usize]
    }
}

/// `[absent]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Absent {
    /// How long a 204, 404 or 410 is fresh, at most as long as its class; never stale.
    /// Default 30 s.
    pub fresh_for: Duration,
}

/// One `[[operation]]`. What is `None` stays as the built-in catalogue or the class has it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OperationRule {
    /// `EntitySet/Operation`, or the bare name of an unbound operation.
    pub name: String,
    /// GET for a function, POST for an action. Required for an operation not built in.
    pub method: Option<Method>,
    /// The class. Required for an operation not built in.
    pub class: Option<Class>,
    /// Freshness lifetime.
    pub fresh_for: Option<Duration>,
    /// Stale window while a revalidation runs.
    pub stale_while_revalidate: Option<Duration>,
    /// Stale window while the origin fails.
    pub stale_if_error: Option<Duration>,
    /// Which partition requests with credentials share.
    pub identity: Option<Identity>,
    /// Body parameters whose list is a set, as dotted paths such as `searchCriteria.ProductIds`.
    pub sets: Option<Vec<String>>,
    /// How its answer comes apart by what is asked for.
    pub decompose: DecomposeRule,
    /// `false` takes a built-in operation out of the catalogue: it passes.
    pub cache: Option<bool>,
}

/// `[operation.decompose]`. What is `None` stays as the built-in catalogue has it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DecomposeRule {
    /// `false` keeps the operation's answers whole.
    pub enabled: Option<bool>,
    /// The body parameter that lists what is asked for, as a dotted path.
    pub list: Option<String>,
    /// The member that names the thing, in a list of objects.
    pub list_id: Option<String>,
    /// The members of the answer whose arrays hold the items.
    pub items: Option<Vec<String>>,
    /// The member that names the thing in an item.
    pub item_id: Option<String>,
    /// How many things are asked for in one call at most.
    pub max_ids: Option<usize>,
}

/// `[key]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyRules {
    /// Query options left out of the key and not sent to the origin on a fetch that may be
    /// stored. A trailing `*` matches any rest. Default: the usual tracking parameters.
    pub ignored_query_options: Vec<String>,
    /// How far from our clock an `activeDate` still means "now". Default 60 s.
    pub active_date_tolerance: Duration,
}

/// `[forwarded]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Forwarded {
    /// Peers whose `Forwarded` and `X-Forwarded-*` are believed and added to; anyone else's are
    /// replaced. Default: none.
    pub trusted: Vec<IpNet>,
    /// Whether RFC 7239's `Forwarded` is sent to the origin beside `X-Forwarded-*`.
    /// Default true.
    pub send_forwarded: bool,
}

/// `[limits]`. A limit that is met gives the status named here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// A request's head in bytes (431). Default 32 KiB.
    pub header_bytes: usize,
    /// A request's header fields (431). Default 100.
    pub header_fields: usize,
    /// Parts of a `$batch`; past it the batch passes whole. Default 100.
    pub batch_parts: usize,
    /// A body that can be part of a key, in bytes; past it the request passes. Default 256 KiB.
    pub keyed_body_bytes: usize,
    /// A body that can be stored, in bytes; past it the answer streams, unstored. Default 16 MiB.
    pub stored_body_bytes: usize,
    /// Time for a request's head to arrive, from the connection on and TLS's handshake included (the
    /// connection is closed). Default 10 s.
    pub header_timeout: Duration,
    /// Time for a body that is part of a key to arrive (408). Default 30 s.
    pub keyed_body_timeout: Duration,
    /// Time a kept-alive connection may stand unused. Default 75 s.
    pub keep_alive: Duration,
    /// Storefront connections in all; past it new ones wait in the kernel's queue.
    /// Default 20,000.
    pub connections: usize,
    /// Connections of one client address, in IPv6 of one /64; past it new ones are closed at once.
    /// Peers in `forwarded.trusted` are exempt. Default 1,000.
    pub connections_per_client: usize,
    /// Fetches of answers that may be stored, at once; past it stale answers serve where they may,
    /// else 503. Default 1,000.
    pub fetches: usize,
    /// Requests collapsed onto one fetch (503 past it). Default 10,000.
    pub waiters: usize,
    /// HTTP/2 streams at once on one connection. Default 128.
    pub h2_streams: u32,
    /// Variants of one URL that are kept side by side; past it the oldest goes. Default 32.
    pub variants: usize,
    /// Ranges that one request may ask for; past it the answer comes whole. Default 16.
    pub ranges: usize,
    /// Streams that a client may reset on one HTTP/2 connection, past those that it lets end (the
    /// connection is closed). Default 200.
    pub h2_resets: u32,
    /// Frames on one HTTP/2 connection past those that requests and answers explain (the
    /// connection is closed). Default 1,000.
    pub h2_frames: u32,
}

/// `[purge]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Purge {
    /// Tags whose last purge is remembered; past it everything is purged. Default 4,000,000.
    pub max_tags: usize,
    /// URLs whose invalidation by an unsafe request is remembered by itself; past it all URLs of the
    /// generic policy are purged. Default 100,000.
    pub max_urls: usize,
    /// A rule that does not hold. No file can say so.
    #[cfg(feature = "break-rules")]
    pub without: Option<crate::purge::Rule>,
}

/// `[ingest]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ingest {
    /// Standard Webhooks secrets (`whsec_…`); any one verifies.
    pub hmac_secrets: Vec<Secret>,
    /// Bearer tokens; any one authenticates.
    pub bearer_tokens: Vec<Secret>,
    /// How far a signature's timestamp may be from our clock. Default 5 min.
    pub tolerance: Duration,
    /// A delivery's body in bytes (413). Default 1 MiB, Event Grid's own limit.
    pub body_bytes: usize,
    /// Events in one delivery (413). Default 5,000, Event Grid's own limit.
    pub events: usize,
    /// Event ids remembered against replay. Default 100,000.
    pub remembered_ids: usize,
    /// Dead letters kept; the oldest goes first. Default 1,000.
    pub dead_letters: usize,
    /// At most one purge of searches per span follows from changes of products. Default 60 s.
    pub search_purge_interval: Duration,
    /// Purges waiting for their `effectiveAt` (503 past it). Default 100,000.
    pub scheduled: usize,
    /// Whether a delivery is answered only when every live node has applied its purges. Only with
    /// `[redis]`. Default false.
    pub wait_for_fleet: bool,
}

/// `[log]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// How a line is written.
    pub format: LogFormat,
    /// A `tracing` filter such as `info` or `csu_edge=debug`.
    pub filter: String,
}

/// How a log line is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl Config {
    /// The defaults, for an origin at `service_root`.
    pub fn for_origin(service_root: Uri) -> Self {
        Self {
            listen: Listen::default(),
            tls: Tls::default(),
            origin: Origin::at(service_root),
            storefront: Storefront::default(),
            memory: Memory::default(),
            redis: None,
            classes: ClassLifetimes::default(),
            absent: Absent::default(),
            operations: Vec::new(),
            refresh: Refresh::default(),
            generic: Generic::default(),
            key: KeyRules::default(),
            cors: None,
            forwarded: Forwarded::default(),
            limits: Limits::default(),
            purge: Purge::default(),
            ingest: Ingest::default(),
            log: Log::default(),
            reload: Reload::default(),
            access_log: AccessLog::default(),
            traces: Traces::default(),
        }
    }
}

impl Origin {
    fn at(service_root: Uri) -> Self {
        Self {
            service_root,
            tls_roots: TlsRoots::System,
            ca_file: None,
            connect_timeout: Duration::from_secs(3),
            first_byte_timeout: Duration::from_secs(30),
            fetch_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            idle_connections: 64,
            merge_linger: Duration::from_millis(1),
            gate: Gate::default(),
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self { max_bytes: 512 << 20 }
    }
}

impl Default for Absent {
    fn default() -> Self {
        Self { fresh_for: Duration::from_secs(30) }
    }
}

impl Default for ClassLifetimes {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        let stale_only_on_error = |fresh_s| Lifetimes {
            fresh_for: Duration::from_secs(fresh_s),
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::from_secs(60),
        };
        let stale_anyway = |fresh_s, stale_s| Lifetimes {
            fresh_for: Duration::from_secs(fresh_s),
            stale_while_revalidate: Duration::from_secs(stale_s),
            stale_if_error: Duration::from_secs(stale_s),
        };
        Self(Class::ALL.map(|class| match class {
            Class::Price => stale_only_on_error(5 * MINUTE),
            Class::Inventory => stale_only_on_error(30),
            Class::Search => stale_anyway(5 * MINUTE, HOUR),
            Class::Product => stale_anyway(15 * MINUTE, 12 * HOUR),
            Class::Category | Class::Configuration => stale_anyway(30 * MINUTE, 24 * HOUR),
        }))
    }
}

impl Default for KeyRules {
    fn default() -> Self {
        let ignored = [
            "utm_*", "gclid", "gbraid", "wbraid", "dclid", "fbclid", "msclkid", "mc_cid", "mc_eid",
            "_ga", "_gl",
        ];
        Self {
            ignored_query_options: ignored.map(str::to_owned).to_vec(),
            active_date_tolerance: Duration::from_secs(60),
        }
    }
}

impl Default for Forwarded {
    fn default() -> Self {
        Self { trusted: Vec::new(), send_forwarded: true }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 32 << 10,
            header_fields: 100,
            batch_parts: 100,
            keyed_body_bytes: 256 << 10,
            stored_body_bytes: 16 << 20,
            header_timeout: Duration::from_secs(10),
            keyed_body_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            connections: 20_000,
            connections_per_client: 1_000,
            fetches: 1_000,
            waiters: 10_000,
            h2_streams: 128,
            variants: 32,
            ranges: 16,
            h2_resets: 200,
            h2_frames: 1_000,
        }
    }
}

impl Default for Purge {
    fn default() -> Self {
        Self {
            max_tags: 4_000_000,
            max_urls: 100_000,
            #[cfg(feature = "break-rules")]
            without: None,
        }
    }
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            hmac_secrets: Vec::new(),
            bearer_tokens: Vec::new(),
            tolerance: Duration::from_secs(5 * 60),
            body_bytes: 1 << 20,
            events: 5_000,
            remembered_ids: 100_000,
            dead_letters: 1_000,
            search_purge_interval: Duration::from_secs(60),
            scheduled: 100_000,
            wait_for_fleet: false,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Json, filter: "info".to_owned() }
    }
}
