//! An origin over TLS: who is believed and who is not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test cannot do without fails it"
)]

#[path = "support/wire.rs"]
mod wire;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use csu_edge::config::{self, TlsRoots};
use csu_edge::origin::{OriginClient, OriginError, RequestBody, SetupError};
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use wire::soon;

/// A certificate authority of the test's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn file(&self) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(self.0.pem().as_bytes()).unwrap();
        file
    }

    /// An origin at `localhost`, certified by this authority, that answers with the version it is
    /// spoken to in.
    async fn origin(&self, protocols: &[&[u8]]) -> SocketAddr {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(socket).await else { return };
                    let service = service_fn(async |request: Request<_>| {
                        let text = format!("{:?}", request.version());
                        Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(text))))
                    });
                    let protocol = auto::Builder::new(TokioExecutor::new());
                    let _ = protocol.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        address
    }
}

fn at(address: SocketAddr, ca_file: Option<&NamedTempFile>) -> config::Origin {
    let root = format!("https://localhost:{}/Commerce", address.port()).parse().unwrap();
    let mut config = config::Config::for_origin(root).origin;
    config.tls_roots = TlsRoots::Bundled;
    config.ca_file = ca_file.map(|file| file.path().to_owned());
    config
}

async fn ask(config: &config::Origin) -> Result<Bytes, OriginError> {
    let client = OriginClient::new(config).unwrap();
    let response = soon(client.send(Request::get("/x").body(RequestBody::Empty).unwrap())).await?;
    Ok(soon(response.into_body().collect()).await.unwrap().to_bytes())
}

#[tokio::test]
async fn an_origin_certified_by_the_private_ca_is_believed() {
    let authority = Authority::new();
    let origin = authority.origin(&[]).await;
    let answer = ask(&at(origin, Some(&authority.file()))).await.unwrap();
    assert_eq!(answer, format!("{:?}", Version::HTTP_11));
}

#[tokio::test]
async fn an_origin_that_offers_http_2_is_spoken_to_in_it() {
    let authority = Authority::new();
    let origin = authority.origin(&[b"h2", b"http/1.1"]).await;
    let answer = ask(&at(origin, Some(&authority.file()))).await.unwrap();
    assert_eq!(answer, format!("{:?}", Version::HTTP_2));
}

#[tokio::test]
async fn an_origin_certified_by_anyone_else_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let origin = authority.origin(&[]).await;
    for ca_file in [None, Some(&other.file())] {
        let error = ask(&at(origin, ca_file)).await.unwrap_err();
        assert!(matches!(error, OriginError::Unreachable(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends_counts_as_connecting() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = at(listener.local_addr().unwrap(), None);
    config.connect_timeout = Duration::from_millis(100);
    let error = ask(&config).await.unwrap_err();
    assert_eq!(error.as_str(), "connect-timeout", "{error:?}");
}

#[test]
fn a_ca_file_that_holds_no_certificate_is_refused() {
    let mut file = NamedTempFile::new().unwrap();
    let address = "127.0.0.1:1".parse().unwrap();
    for text in ["", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
        file.write_all(text.as_bytes()).unwrap();
        let error = OriginClient::new(&at(address, Some(&file))).unwrap_err();
        assert!(matches!(error, SetupError::CaFile { .. }), "{error:?}");
    }
    let mut gone = at(address, None);
    gone.ca_file = Some("/nonexistent/ca.pem".into());
    assert!(matches!(OriginClient::new(&gone), Err(SetupError::CaFile { .. })));
}
