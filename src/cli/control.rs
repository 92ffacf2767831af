//! One question to a running node's control listener.

use std::error::Error as StdError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use csu_edge::tls::client::{add_authorities, believing};
use http::header::CONTENT_TYPE;
use http::uri::{Authority, Scheme};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use thiserror::Error;

use super::printable;

/// The time for a whole question and answer: a person waits for it.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// What an answer may hold, in bytes.
const ANSWER_BYTES: usize = 16 << 20;

/// A node's control listener.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    scheme: Scheme,
    authority: Authority,
}

impl Address {
    /// A host with a port, and `https://` before it where TLS is spoken.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, authority) = match text.split_once("://") {
            Some(("https", rest)) => (Scheme::HTTPS, rest),
            Some(("http", rest)) => (Scheme::HTTP, rest),
            Some(_) => return Err("speaks http or https".to_owned()),
            None => (Scheme::HTTP, text),
        };
        authority
            .strip_suffix('/')
            .unwrap_or(authority)
            .parse::<Authority>()
            .ok()
            .filter(|authority| authority.port_u16().is_some() && !text.contains('@'))
            .map(|authority| Self { scheme, authority })
            .ok_or_else(|| {
                "must be a host with a port, such as 127.0.0.1:9600 or https://edge-1:9600"
                    .to_owned()
            })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scheme == Scheme::HTTPS {
            true => write!(f, "https://{}", self.authority),
            false => self.authority.fmt(f),
        }
    }
}

/// Whom a client believes, and what it shows of itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Trust {
    /// With https, believe the certificate authorities of this PEM file, and not the machine's.
    #[arg(long, value_name = "FILE", env = "CSU_EDGE_CONTROL_CACERT")]
    cacert: Option<PathBuf>,
    /// Show this certificate (PEM, followed by those between it and its root), as
    /// `tls.control.client_ca` asks for.
    #[arg(long, value_name = "FILE", env = "CSU_EDGE_CONTROL_CERT", requires = "key")]
    cert: Option<PathBuf>,
    /// The certificate's key (PEM, not encrypted).
    #[arg(long, value_name = "FILE", env = "CSU_EDGE_CONTROL_KEY", requires = "cert")]
    key: Option<PathBuf>,
}

/// A node's answer: JSON.
#[derive(Debug)]
pub(crate) struct Answer(pub(crate) String);

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum ControlError {
    #[error("no node answers at {address}; is one running, and is this its listen.control?")]
    Unreachable {
        address: Address,
        #[source]
        source: hyper_util::client::legacy::Error,
    },
    #[error("{address} gave no answer within {} s", TIME_LIMIT.as_secs())]
    TimedOut { address: Address },
    #[error("the answer broke off, or is larger than {} MiB", ANSWER_BYTES >> 20)]
    BrokenOff(#[source] Box<dyn StdError + Send + Sync>),
    #[error("the node answered {status}: {message}")]
    Refused { status: StatusCode, message: String },
    #[error("the answer is not JSON; is this a node's listen.control?")]
    NotJson(#[source] serde_json::Error),
    #[error("{} cannot be used", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    #[error("the question could not be put")]
    Question(#[from] http::Error),
}

/// Posts a question, or gets what stands at a path where there is none; returns the answer.
pub(crate) async fn ask(
    address: &Address,
    trust: &Trust,
    path: &str,
    question: Option<&serde_json::Value>,
) -> Result<Answer, ControlError> {
    tokio::time::timeout(TIME_LIMIT, exchange(address, trust, path, question))
        .await
        .unwrap_or_else(|_| Err(ControlError::TimedOut { address: address.clone() }))
}

async fn exchange(
    address: &Address,
    trust: &Trust,
    path: &str,
    question: Option<&serde_json::Value>,
) -> Result<Answer, ControlError> {
    let url = Uri::builder()
        .scheme(address.scheme.clone())
        .authority(address.authority.clone())
        .path_and_query(path);
    let request = match question {
        Some(question) => Request::post(url.build()?)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(question.to_string())))?,
        None => Request::get(url.build()?).body(Full::default())?,
    };
    let response = Client::builder(TokioExecutor::new())
        .build(connector(address, trust)?)
        .request(request)
        .await
        .map_err(|source| ControlError::Unreachable { address: address.clone(), source })?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES)
        .collect()
        .await
        .map_err(ControlError::BrokenOff)?
        .to_bytes();
    let answer = String::from_utf8_lossy(&body).into_owned();
    if status.is_success() {
        return Ok(Answer(answer));
    }
    Err(ControlError::Refused { status, message: reason(&answer) })
}

fn connector(
    address: &Address,
    trust: &Trust,
) -> Result<HttpsConnector<HttpConnector>, ControlError> {
    let mut roots = RootCertStore::empty();
    match &trust.cacert {
        Some(path) => add_authorities(path, &mut roots).map_err(unusable(path))?,
        None if address.scheme == Scheme::HTTPS => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        None => {}
    }
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(identified(roots, trust)?)
        .https_or_http()
        .enable_http1()
        .build())
}

fn identified(roots: RootCertStore, trust: &Trust) -> Result<ClientConfig, ControlError> {
    let builder = believing(roots)?;
    let (Some(cert), Some(key)) = (&trust.cert, &trust.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect);
    let chain: Vec<_> = chain.map_err(|error| unusable(cert)(error.into()))?;
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key)(error.into()))?;
    builder.with_client_auth_cert(chain, key_der).map_err(|error| unusable(cert)(error.into()))
}

fn unusable(path: &Path) -> impl FnOnce(Box<dyn StdError + Send + Sync>) -> ControlError + '_ {
    |source| ControlError::File { path: path.to_owned(), source }
}

/// The message of an OData error body, else the start of whatever came.
fn reason(answer: &str) -> String {
    #[derive(Deserialize)]
    struct Body {
        error: Error,
    }
    #[derive(Deserialize)]
    struct Error {
        message: String,
    }
    const SHOWN_CHARS: usize = 200;
    let message = match serde_json::from_str::<Body>(answer) {
        Ok(body) => body.error.message,
        Err(_) => answer.chars().take(SHOWN_CHARS).collect(),
    };
    printable(&message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_and_may_say_that_tls_is_spoken() {
        for (text, told) in [
            ("[::1]:9600", "[::1]:9600"),
            ("edge.internal:9600", "edge.internal:9600"),
            ("http://127.0.0.1:9600", "127.0.0.1:9600"),
            ("https://edge.internal:9600/", "https://edge.internal:9600"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), told);
        }
        for wrong in [
            "127.0.0.1",
            "host:",
            "host:99999",
            "user@host:80",
            "ftp://host:80",
            "https://host",
            "http://host:80/ready",
            "",
        ] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
    }
}
