//! A client over TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::authority::{Authority, Pair};
use super::support::wire::{field, soon};

pub(crate) type Stream = TlsStream<TcpStream>;

/// How it connects.
#[derive(Clone)]
pub(crate) struct Client(ClientConfig);

impl Client {
    /// One that believes an authority, and speaks both versions and HTTP/1.1.
    pub(crate) fn trusting(authority: &Authority) -> Self {
        Self::new(authority, &[&TLS13, &TLS12], None)
    }

    /// One that has a certificate to show.
    pub(crate) fn showing(pair: &Pair, authority: &Authority) -> Self {
        Self::new(authority, &[&TLS13, &TLS12], Some(pair))
    }

    pub(crate) fn new(
        authority: &Authority,
        versions: &[&'static SupportedProtocolVersion],
        pair: Option<&Pair>,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(authority.roots());
        let config = match pair {
            Some(pair) => {
                builder.with_client_auth_cert(vec![pair.certificate.clone()], pair.key()).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        Self(config).offering(&["http/1.1"])
    }

    pub(crate) fn offering(mut self, protocols: &[&str]) -> Self {
        self.0.alpn_protocols =
            protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        self
    }

    pub(crate) fn without_sni(mut self) -> Self {
        self.0.enable_sni = false;
        self
    }

    pub(crate) async fn connect(&self, address: SocketAddr) -> io::Result<Stream> {
        let socket = soon(TcpStream::connect(address)).await.unwrap();
        let connector = TlsConnector::from(Arc::new(self.0.clone()));
        soon(connector.connect("localhost".try_into().unwrap(), socket)).await
    }

    /// Connects and asks; in TLS 1.3 a certificate is refused only after the client has finished.
    pub(crate) async fn ask(&self, address: SocketAddr, target: &str) -> io::Result<String> {
        let mut stream = self.connect(address).await?;
        ask(&mut stream, target).await.map(|(head, _)| head)
    }
}

/// Asks in HTTP/1.1 and reads an answer whose length is given.
pub(crate) async fn ask(stream: &mut Stream, target: &str) -> io::Result<(String, String)> {
    let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    soon(stream.write_all(request.as_bytes())).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(stream.read_u8()).await?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    soon(stream.read_exact(&mut body)).await?;
    Ok((head, String::from_utf8(body).unwrap()))
}

/// The alert that ended it.
pub(crate) fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}
