//! `[redis]`: the tier that nodes share, and the purge plane that a fleet is held together by.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::Secret;

/// `[redis]`. Absent: memory alone, and a purge plane within the process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redis {
    /// The Redis that holds answers.
    pub server: RedisServer,
    /// What every key begins with; two fleets on one Redis differ in it. Default `csu-edge`.
    pub prefix: String,
    /// This node's name in the fleet. Absent: the host's name and random digits.
    pub node: Option<String>,
    /// Time for a read, which a client waits for. Default 50 ms.
    pub command_timeout: Duration,
    /// Time for what is written behind, which nobody waits for. Default 1 s.
    pub write_timeout: Duration,
    /// Time to connect, TLS and authentication included. Default 1 s.
    pub connect_timeout: Duration,
    /// Failures in a row after which a connection is given up. Default 5.
    pub broken_after: u32,
    /// The first pause between attempts to reach a lost Redis; pauses grow to ten times that.
    /// Default 500 ms.
    pub probe_every: Duration,
    /// How long a miss waits for another node's fetch of the same answer. Zero turns leases off.
    /// Default 500 ms.
    pub lease_wait: Duration,
    /// Encoded answers past this many bytes stay in memory. Default 4 MiB.
    pub max_value_bytes: usize,
    /// Answers that wait to be written; past it they are not written. Default 1,024.
    pub write_queue: usize,
    /// Its digest keys the partitions of credentials, the same on every node. Absent: answers kept
    /// by token stay in each node's memory.
    pub partition_secret: Option<Secret>,
    /// `[redis.purge]`: the plane.
    pub purge: RedisPurge,
}

/// `[redis.purge]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedisPurge {
    /// A Redis of the plane's own. Absent: the one that holds answers.
    pub server: Option<RedisServer>,
    /// How often a node makes sure that the plane is the one it knows. Default 250 ms.
    pub heartbeat: Duration,
    /// How long without a good heartbeat until strict classes are no longer served. At least three
    /// heartbeats. Default 2 s.
    pub fence_after: Duration,
    /// Time for a purge or a heartbeat. Default 1 s.
    pub command_timeout: Duration,
    /// Purges kept in the log, one of more than ten tags in the place of several; a node that is
    /// further behind starts anew. Default 100,000.
    pub log_entries: u64,
    /// Replicas that must have a purge before it is acknowledged. Default 0.
    pub replicas: u32,
    /// How long a purge that asks for it waits until every live node has applied it. Default 2 s.
    pub fleet_timeout: Duration,
    /// How long a start waits for the plane before the node serves without it. Default 10 s.
    pub boot_timeout: Duration,
}

/// One Redis, and how it is spoken to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedisServer {
    /// What stands there.
    pub kind: RedisKind,
    /// Whether every connection, to sentinels too, is TLS.
    pub tls: bool,
    /// The user (an ACL's). Absent: the default user.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// The sentinels' own password.
    pub sentinel_password: Option<Secret>,
    /// A PEM file with the authorities that verify the server. Absent: this machine's.
    pub ca_file: Option<PathBuf>,
    /// The certificate that this node shows.
    pub identity: Option<RedisIdentity>,
}

/// What stands at a URL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RedisKind {
    /// One server.
    Standalone {
        /// Where.
        node: RedisNode,
        /// The number of the database.
        db: u32,
    },
    /// A cluster, found from any of these.
    Cluster {
        /// At least one.
        nodes: Vec<RedisNode>,
    },
    /// The primary that sentinels name.
    Sentinel {
        /// The sentinels; at least one.
        nodes: Vec<RedisNode>,
        /// What they call the primary.
        service: String,
        /// The number of the database.
        db: u32,
    },
}

/// A host and a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedisNode {
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// A client's certificate and its key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedisIdentity {
    /// A PEM file with the certificate, then those between it and its root.
    pub certificate: PathBuf,
    /// A PEM file with its key, not encrypted.
    pub private_key: PathBuf,
}

impl Redis {
    /// The defaults, for a Redis.
    pub fn at(server: RedisServer) -> Self {
        Self {
            server,
            prefix: "csu-edge".to_owned(),
            node: None,
            command_timeout: Duration::from_millis(50),
            write_timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            broken_after: 5,
            probe_every: Duration::from_millis(500),
            lease_wait: Duration::from_millis(500),
            max_value_bytes: 4 << 20,
            write_queue: 1_024,
            partition_secret: None,
            purge: RedisPurge::default(),
        }
    }

    /// The Redis of the purge plane.
    pub fn purge_server(&self) -> &RedisServer {
        self.purge.server.as_ref().unwrap_or(&self.server)
    }
}

impl Default for RedisPurge {
    fn default() -> Self {
        Self {
            server: None,
            heartbeat: Duration::from_millis(250),
            fence_after: Duration::from_secs(2),
            command_timeout: Duration::from_secs(1),
            log_entries: 100_000,
            replicas: 0,
            fleet_timeout: Duration::from_secs(2),
            boot_timeout: Duration::from_secs(10),
        }
    }
}

impl RedisServer {
    /// A server that asks for nothing, in the clear or by TLS.
    pub const fn new(kind: RedisKind, tls: bool) -> Self {
        Self {
            kind,
            tls,
            username: None,
            password: None,
            sentinel_password: None,
            ca_file: None,
            identity: None,
        }
    }
}

impl fmt::Display for RedisNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}
