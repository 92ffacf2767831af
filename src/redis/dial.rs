//! From a server's settings to a connection.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::redis::cluster::ClusterClient;
use ::redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use ::redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use ::redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo,
    IntoConnectionInfo, RedisConnectionInfo, RedisError, RedisResult, TlsCertificates, TlsMode,
};

use super::{Connection, LinkRules};
use crate::config::{RedisKind, RedisNode, RedisServer};
use crate::tls::read_file;

/// By sentinels, and in a cluster, others are asked before the one that is wanted is reached.
const DIALS_IN_A_ROW: u32 = 3;

/// How often the driver sends a command in a cluster again, after what a moved slot explains.
const CLUSTER_RETRIES: u32 = 2;
const CLUSTER_RETRY_WAIT_MS: std::ops::RangeInclusive<u64> = 5..=50;

/// Commands that wait in front of a connection's writer, past which callers wait.
const PIPELINE_COMMANDS: usize = 1_024;

/// Why a link cannot be set up. Where there is nobody at the other end, it can.
#[derive(Debug, thiserror::Error)]
pub enum RedisSetupError {
    /// One of its files cannot be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The driver takes its settings for none.
    #[error("the settings of Redis cannot be used")]
    Settings(#[from] RedisError),
}

/// Dials one Redis, again and again. Has no `Debug`: there are secrets in it.
pub(super) struct Dialer {
    way: Way,
    connection: AsyncConnectionConfig,
    /// For a whole attempt.
    pub(super) limit: Duration,
}

enum Way {
    Server(Box<Client>),
    Cluster(Box<ClusterClient>),
    Sentinels(Box<Sentinels>),
}

impl Dialer {
    /// Reads the certificates, connects to nothing.
    pub(super) fn new(server: &RedisServer, rules: &LinkRules) -> Result<Self, RedisSetupError> {
        if server.tls {
            // The driver takes the process's. Another part may have set it, to the same.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let certificates = certificates(server)?;
        let tcp = tcp_settings(rules);
        let way = match &server.kind {
            RedisKind::Standalone { node, db } => {
                let info = connection_info(address(node, server.tls), server, *db, &tcp)?;
                Way::Server(Box::new(match certificates {
                    Some(certificates) => Client::build_with_tls(info, certificates)?,
                    None => Client::open(info)?,
                }))
            }
            RedisKind::Cluster { nodes } => {
                Way::Cluster(Box::new(cluster(nodes, server, certificates, &tcp, rules)?))
            }
            RedisKind::Sentinel { nodes, service, db } => {
                let sentinels = Sentinels {
                    nodes: nodes.iter().map(|node| address(node, server.tls)).collect(),
                    service: service.clone(),
                    db: *db,
                    server: server.clone(),
                    certificates,
                    tcp,
                };
                sentinels.client(0)?;
                Way::Sentinels(Box::new(sentinels))
            }
        };
        // Each command's limit is its caller's: the driver has none of its own.
        let connection = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(rules.connect_timeout))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(PIPELINE_COMMANDS);
        let dials = if matches!(way, Way::Server(_)) { 1 } else { DIALS_IN_A_ROW };
        let limit = rules.connect_timeout.saturating_mul(dials);
        Ok(Self { way, connection, limit })
    }

    /// Connects and authenticates. `attempt` counts them, so that none starts as the last one did.
    pub(super) async fn dial(&self, attempt: usize) -> RedisResult<Connection> {
        let server = match &self.way {
            Way::Server(client) => {
                client.get_multiplexed_async_connection_with_config(&self.connection).await
            }
            Way::Cluster(client) => {
                return client.get_async_connection().await.map(Connection::Cluster);
            }
            Way::Sentinels(sentinels) => {
                let mut client = sentinels.client(attempt)?;
                client.get_async_connection_with_config(&self.connection).await
            }
        };
        server.map(Connection::Server)
    }
}

/// Sentinels, which are asked anew for the primary at each attempt.
struct Sentinels {
    nodes: Vec<ConnectionAddr>,
    service: String,
    db: u32,
    server: RedisServer,
    certificates: Option<TlsCertificates>,
    tcp: TcpSettings,
}

impl Sentinels {
    /// A client that knows nothing yet. The first sentinel differs with each attempt: one that is
    /// there and silent takes an attempt's whole time.
    fn client(&self, attempt: usize) -> RedisResult<SentinelClient> {
        let mut nodes = self.nodes.clone();
        if let Some(first) = attempt.checked_rem(nodes.len()) {
            nodes.rotate_left(first);
        }
        let mut builder =
            SentinelClientBuilder::new(nodes, &self.service, SentinelServerType::Master)?
                .set_client_to_redis_db(i64::from(self.db))
                .set_client_to_redis_tcp_settings(self.tcp.clone())
                .set_client_to_sentinel_tcp_settings(self.tcp.clone());
        if let Some(username) = &self.server.username {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = &self.server.password {
            builder = builder.set_client_to_redis_password(password.reveal());
        }
        if let Some(password) = &self.server.sentinel_password {
            builder = builder.set_client_to_sentinel_password(password.reveal());
        }
        if self.server.tls {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        }
        if let Some(certificates) = &self.certificates {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates.clone());
        }
        builder.build()
    }
}

fn cluster(
    nodes: &[RedisNode],
    server: &RedisServer,
    certificates: Option<TlsCertificates>,
    tcp: &TcpSettings,
    rules: &LinkRules,
) -> RedisResult<ClusterClient> {
    let nodes: RedisResult<Vec<_>> = nodes
        .iter()
        .map(|node| connection_info(address(node, server.tls), server, 0, tcp))
        .collect();
    let mut builder = ClusterClient::builder(nodes?)
        .retries(CLUSTER_RETRIES)
        .min_retry_wait(*CLUSTER_RETRY_WAIT_MS.start())
        .max_retry_wait(*CLUSTER_RETRY_WAIT_MS.end())
        .connection_timeout(rules.connect_timeout)
        // A node's, so that the driver notices one that is silent. Past every caller's limit.
        .response_timeout(rules.longest_command.saturating_add(rules.connect_timeout))
        .overall_response_timeout(None)
        .tcp_settings(tcp.clone());
    if server.tls {
        builder = builder.tls(TlsMode::Secure);
    }
    if let Some(certificates) = certificates {
        builder = builder.certs(certificates);
    }
    builder.build()
}

fn connection_info(
    address: ConnectionAddr,
    server: &RedisServer,
    db: u32,
    tcp: &TcpSettings,
) -> RedisResult<ConnectionInfo> {
    let mut settings = RedisConnectionInfo::default()
        .set_db(i64::from(db))
        .set_lib_name(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    if let Some(username) = &server.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = &server.password {
        settings = settings.set_password(password.reveal());
    }
    let info = address.into_connection_info()?;
    Ok(info.set_redis_settings(settings).set_tcp_settings(tcp.clone()))
}

fn address(node: &RedisNode, tls: bool) -> ConnectionAddr {
    let RedisNode { host, port } = node.clone();
    if tls {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    }
}

/// What was sent and not acknowledged for this long, or a silent peer, ends a connection: the
/// kernel's own word for what the breaker finds out by waiting, and the only one where nothing is
/// being asked.
fn tcp_settings(rules: &LinkRules) -> TcpSettings {
    // The kernel counts keep-alive in whole seconds.
    let quiet = rules.connect_timeout.saturating_mul(5).max(Duration::from_secs(5));
    let again = rules.connect_timeout.max(Duration::from_secs(1));
    let keepalive = TcpKeepalive::new().with_time(quiet).with_interval(again).with_retries(3);
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(rules.connect_timeout.saturating_mul(2));
    settings
}

fn certificates(server: &RedisServer) -> Result<Option<TlsCertificates>, RedisSetupError> {
    if server.ca_file.is_none() && server.identity.is_none() {
        return Ok(None);
    }
    let root_cert = server.ca_file.as_deref().map(read).transpose()?;
    let client_tls = match &server.identity {
        Some(identity) => Some(ClientTlsConfig {
            client_cert: read(&identity.certificate)?,
            client_key: read(&identity.private_key)?,
        }),
        None => None,
    };
    Ok(Some(TlsCertificates { client_tls, root_cert }))
}

fn read(path: &Path) -> Result<Vec<u8>, RedisSetupError> {
    read_file(path).map_err(|source| RedisSetupError::File { path: path.to_owned(), source })
}
