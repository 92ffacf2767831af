//! The client of the origin: pooled connections, TLS, and a name for each way to fail.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::RootCertStore;
use tokio::net::TcpStream;
use tower_service::Service;

use super::RequestBody;
use super::gate::Shut;
use crate::body::BodyError;
use crate::config::{self, TlsRoots};
use crate::error::ProxyError;
use crate::framing;
use crate::tls;

/// The most that is read ahead of a slow client from one HTTP/1.1 connection, and the largest
/// head that the origin may send, in bytes.
const READ_BUFFER_BYTES: usize = 128 << 10;

/// A client of one origin. Clones share connections and must stay on one runtime;
/// [`OriginClient::with_own_connections`] makes one for another.
#[derive(Clone, Debug)]
pub struct OriginClient {
    client: Client<Timed, RequestBody>,
    connector: Timed,
    config: Arc<config::Origin>,
    scheme: Scheme,
    authority: Authority,
}

/// Why there can be no client for this configuration.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The service root lacks a scheme or an authority.
    #[error("origin.service_root is not absolute")]
    NotAbsolute,
    /// The machine has no certificate authorities.
    #[error("the machine's certificate authorities cannot be read")]
    NoSystemRoots(#[source] Option<rustls_native_certs::Error>),
    /// The private CA cannot be used.
    #[error("origin.ca_file {} cannot be read", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// TLS itself cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// Why a request got no answer. After the first two the origin has seen nothing of it; after the
/// others it may have acted on it.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// No connection: refused, no such name, or a certificate that does not verify.
    #[error("the origin cannot be reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// No connection within `origin.connect_timeout`.
    #[error("the origin was not reached in time")]
    ConnectTimeout,
    /// No head of a response within `origin.first_byte_timeout`.
    #[error("the origin did not answer in time")]
    Timeout,
    /// The connection ended, or something else than HTTP came.
    #[error("the origin broke off")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
    /// The client's own body broke off on its way.
    #[error("the client broke off")]
    ClientBroken(#[source] Box<dyn Error + Send + Sync>),
    /// The client's own body stood still for longer than `origin.first_byte_timeout`.
    #[error("the client stood still")]
    ClientStalled,
    /// Nothing was sent.
    #[error(transparent)]
    Shut(#[from] Shut),
}

impl OriginError {
    /// The reason, for metric labels and log fields.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::ConnectTimeout => "connect-timeout",
            Self::Timeout => "timeout",
            Self::Broken(_) => "broken",
            Self::ClientBroken(_) => "client-broken",
            Self::ClientStalled => "client-stalled",
            Self::Shut(_) => "shut",
        }
    }
}

impl OriginError {
    /// The same failure once more, for another who waited for it; without its cause.
    pub(crate) fn again(&self) -> Self {
        let cause = || self.to_string().into();
        match self {
            Self::Unreachable(_) => Self::Unreachable(cause()),
            Self::ConnectTimeout => Self::ConnectTimeout,
            Self::Timeout => Self::Timeout,
            Self::Broken(_) => Self::Broken(cause()),
            Self::ClientBroken(_) => Self::ClientBroken(cause()),
            Self::ClientStalled => Self::ClientStalled,
            Self::Shut(shut) => Self::Shut(*shut),
        }
    }
}

impl From<&OriginError> for ProxyError {
    fn from(error: &OriginError) -> Self {
        match error {
            OriginError::Unreachable(_) | OriginError::ConnectTimeout => Self::OriginUnreachable,
            OriginError::Timeout => Self::OriginTimeout,
            OriginError::Broken(_) => Self::OriginBroken,
            OriginError::ClientBroken(_) => Self::BadRequest,
            OriginError::ClientStalled => Self::RequestTimeout,
            OriginError::Shut(shut) => Self::from(*shut),
        }
    }
}

impl OriginClient {
    /// Prepares a client: reads the certificate authorities, connects to nothing.
    ///
    /// # Errors
    /// Where the service root is not absolute or the certificate authorities cannot be read.
    pub fn new(config: &config::Origin) -> Result<Self, SetupError> {
        let scheme = config.service_root.scheme().ok_or(SetupError::NotAbsolute)?.clone();
        let authority = config.service_root.authority().ok_or(SetupError::NotAbsolute)?.clone();
        let connector =
            Timed { inner: connector(config, &scheme)?, within: config.connect_timeout };
        let config = Arc::new(config.clone());
        Ok(Self { client: pooled(&connector, &config), connector, config, scheme, authority })
    }

    /// The same client with connections of its own, for another runtime.
    pub fn with_own_connections(&self) -> Self {
        Self { client: pooled(&self.connector, &self.config), ..self.clone() }
    }

    /// The same client with the same connections, which waits for answers as these settings say. All
    /// other settings stay: connections were made by them.
    #[must_use]
    pub fn with_timeouts(&self, settings: &config::Origin) -> Self {
        let config = Arc::new(config::Origin {
            first_byte_timeout: settings.first_byte_timeout,
            ..(*self.config).clone()
        });
        Self { config, ..self.clone() }
    }

    /// Sends a request and returns when the head of the response is there. The path and query are
    /// the request's; scheme, authority and `Host` are the origin's. A request that a pooled
    /// connection was closed on before any of it was written is sent again on another one; one
    /// that may have been received never is.
    ///
    /// # Errors
    /// Where no response came; see [`OriginError`].
    pub async fn send(
        &self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, OriginError> {
        *request.uri_mut() = self.uri(request.uri().path_and_query());
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().remove(HOST);
        let progress = request.body().progress();
        let frames_sent = || progress.as_ref().map_or(0, |progress| progress.frames());
        let mut exchange = pin!(self.client.request(request));
        loop {
            let before = frames_sent();
            match tokio::time::timeout(self.config.first_byte_timeout, &mut exchange).await {
                Ok(outcome) => return outcome.map_err(|error| named(error.into())).and_then(sound),
                // A long upload is not a slow origin: the wait starts over while it moves.
                Err(_) if frames_sent() != before => {}
                Err(_) if progress.as_ref().is_some_and(|p| p.waits_for_client()) => {
                    return Err(OriginError::ClientStalled);
                }
                Err(_) => return Err(OriginError::Timeout),
            }
        }
    }

    /// The longest that an answer may stand still in its middle: as long as for its first byte.
    pub fn stall_timeout(&self) -> Duration {
        self.config.first_byte_timeout
    }

    fn uri(&self, target: Option<&PathAndQuery>) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query =
            Some(target.cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
        // Scheme, authority and path are all there, which is all that can be wrong.
        Uri::from_parts(parts).unwrap_or_default()
    }
}

fn pooled(connector: &Timed, config: &config::Origin) -> Client<Timed, RequestBody> {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(config.idle_timeout)
        .pool_max_idle_per_host(config.idle_connections)
        .http1_max_buf_size(READ_BUFFER_BYTES)
        .build(connector.clone())
}

fn connector(
    config: &config::Origin,
    scheme: &Scheme,
) -> Result<HttpsConnector<HttpConnector>, SetupError> {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(config.idle_timeout));
    tcp.set_connect_timeout(Some(config.connect_timeout));
    tcp.enforce_http(false);
    // An origin in the clear needs no certificate authorities, and a small image may have none.
    let roots = if *scheme == Scheme::HTTPS { roots(config)? } else { RootCertStore::empty() };
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(tls::client::believing(roots)?.with_no_client_auth())
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(tcp))
}

fn roots(config: &config::Origin) -> Result<RootCertStore, SetupError> {
    let mut roots = RootCertStore::empty();
    match config.tls_roots {
        TlsRoots::Bundled => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        TlsRoots::System => {
            let mut found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() && config.ca_file.is_none() {
                return Err(SetupError::NoSystemRoots(found.errors.pop()));
            }
        }
    }
    if let Some(path) = &config.ca_file {
        tls::client::add_authorities(path, &mut roots)
            .map_err(|source| SetupError::CaFile { path: path.clone(), source })?;
    }
    Ok(roots)
}

/// Refuses an answer that could be read in two ways, and one that switches to a protocol that was
/// not asked for (RFC 9110 §15.2.2): `Upgrade` is never forwarded. Dropped, its connection is closed.
fn sound(response: Response<Incoming>) -> Result<Response<Incoming>, OriginError> {
    if response.status().is_informational() || !framing::is_sound_answer(response.headers()) {
        return Err(OriginError::Broken("the answer's head is not sound".into()));
    }
    Ok(response)
}

/// Finds the name of a failure in its chain of causes.
fn named(error: Box<hyper_util::client::legacy::Error>) -> OriginError {
    let is_connect = error.is_connect();
    if causes(&*error).any(|cause| cause.is::<BodyError>()) {
        OriginError::ClientBroken(error)
    } else if !is_connect {
        OriginError::Broken(error)
    } else if causes(&*error).any(is_time_out) {
        OriginError::ConnectTimeout
    } else {
        OriginError::Unreachable(error)
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause: &&'a (dyn Error + 'static)| cause.source())
}

fn is_time_out(cause: &(dyn Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

/// Connects within a time that covers name resolution, TCP and TLS together.
#[derive(Clone, Debug)]
struct Timed {
    inner: HttpsConnector<HttpConnector>,
    within: Duration,
}

impl Service<Uri> for Timed {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let connecting = self.inner.call(destination);
        let within = self.within;
        Box::pin(async move {
            match tokio::time::timeout(within, connecting).await {
                Ok(outcome) => outcome,
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        })
    }
}
