//! A listener's TLS: from its files to what handshakes are made with, and again when they change.
//!
//! The files are compared by what they hold, not by their times: a certificate that is replaced by
//! way of a symbolic link (as Kubernetes does), or twice within a second, is seen too. What cannot
//! be used changes nothing: while a certificate and its key are written one after the other they
//! do not fit each other, and the old pair stands until they do.

pub mod client;
mod live;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::config::{ListenerTls, TlsVersion};

pub use live::{LiveTls, UnusableTls};

/// What one of the files may hold, in bytes.
const FILE_BYTES: u64 = 1 << 20;

/// HTTP/2's name in ALPN (RFC 9113 §3.1).
pub const ALPN_HTTP_2: &[u8] = b"h2";

/// HTTP/1.1's name in ALPN (RFC 7301 §6).
const ALPN_HTTP_1: &[u8] = b"http/1.1";

/// One of a listener's files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsFile {
    /// The chain.
    Certificate,
    /// The key.
    PrivateKey,
    /// The authorities of clients.
    ClientCa,
}

impl TlsFile {
    /// Its key in `[tls.*]`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::PrivateKey => "private_key",
            Self::ClientCa => "client_ca",
        }
    }
}

/// What is wrong with one of the files. Holds nothing of what stands in it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", file.as_str())]
pub struct FileProblem {
    /// Which.
    pub file: TlsFile,
    /// What.
    pub problem: Problem,
}

/// What can be wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It cannot be read.
    #[error("the file cannot be read: {0}")]
    Unreadable(io::Error),
    /// No certificate in it.
    #[error("the file holds no certificate in PEM form")]
    NoCertificate,
    /// A certificate in it is none that TLS can use.
    #[error("a certificate in the file cannot be used: {0}")]
    Certificate(rustls::Error),
    /// No key in it.
    #[error("the file holds no private key in PEM form (an encrypted one cannot be used)")]
    NoKey,
    /// The key is none that TLS can use.
    #[error("the private key cannot be used: {0}")]
    Key(rustls::Error),
    /// The key is another certificate's.
    #[error("the private key is not the certificate's: they do not match")]
    Mismatch,
    /// The authorities cannot verify anyone.
    #[error("the authorities cannot be used: {0}")]
    Authorities(String),
    /// TLS itself cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    SetUp(rustls::Error),
}

/// What handshakes are made with.
pub struct Loaded {
    /// For rustls.
    pub config: Arc<ServerConfig>,
    /// When the certificate ends, in seconds since the Unix epoch; `None` where it does not say so
    /// in a way that is understood.
    pub expires_s: Option<i64>,
}

/// A listener's files as they were when they were read.
pub struct Files {
    certificate: io::Result<Vec<u8>>,
    private_key: io::Result<Vec<u8>>,
    client_ca: Option<io::Result<Vec<u8>>>,
}

/// Tells files that differ apart.
pub(crate) type FilesDigest = [u8; digest::SHA256_OUTPUT_LEN];

impl Files {
    /// Reads them, as far as they can be read.
    pub fn read(settings: &ListenerTls) -> Self {
        Self {
            certificate: read_file(&settings.certificate),
            private_key: read_file(&settings.private_key),
            client_ca: settings.client_ca.as_deref().map(read_file),
        }
    }

    /// Of what they hold; one that cannot be read differs from every one that can.
    fn digest(&self) -> FilesDigest {
        let mut context = digest::Context::new(&digest::SHA256);
        let files = [Some(&self.certificate), Some(&self.private_key), self.client_ca.as_ref()];
        for file in files.into_iter().flatten() {
            match file {
                Ok(bytes) => {
                    context.update(&[1]);
                    context.update(&bytes.len().to_be_bytes());
                    context.update(bytes);
                }
                Err(_) => context.update(&[0]),
            }
        }
        let mut digest = FilesDigest::default();
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }

    /// Makes of them what handshakes need.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn load(&self, settings: &ListenerTls) -> Result<Loaded, Vec<FileProblem>> {
        let mut problems = Vec::new();
        let chain = noted(&mut problems, TlsFile::Certificate, chain(&self.certificate));
        let key = noted(&mut problems, TlsFile::PrivateKey, private_key(&self.private_key));
        let roots = match &self.client_ca {
            Some(file) => noted(&mut problems, TlsFile::ClientCa, roots(file)).map(Some),
            None => Some(None),
        };
        let (Some(chain), Some(key), Some(roots)) = (chain, key, roots) else {
            return Err(problems);
        };
        let expires_s = chain.first().and_then(expiry_s);
        match server_config(chain, key, roots, settings.minimum_version) {
            Ok(config) => Ok(Loaded { config: Arc::new(config), expires_s }),
            Err((file, problem)) => Err(vec![FileProblem { file, problem }]),
        }
    }
}

fn noted<T>(
    problems: &mut Vec<FileProblem>,
    file: TlsFile,
    outcome: Result<T, Problem>,
) -> Option<T> {
    outcome.map_err(|problem| problems.push(FileProblem { file, problem })).ok()
}

/// Reads a file of certificates or a key, as far as such files go.
pub(crate) fn read_file(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(io::Error::other("it is longer than 1MiB"));
    }
    Ok(bytes)
}

fn contents(file: &io::Result<Vec<u8>>) -> Result<&[u8], Problem> {
    match file {
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(Problem::Unreadable(io::Error::new(error.kind(), error.to_string()))),
    }
}

fn chain(file: &io::Result<Vec<u8>>) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(contents(file)?).collect();
    certificates.ok().filter(|chain| !chain.is_empty()).ok_or(Problem::NoCertificate)
}

fn private_key(file: &io::Result<Vec<u8>>) -> Result<PrivateKeyDer<'static>, Problem> {
    PrivateKeyDer::from_pem_slice(contents(file)?).map_err(|_| Problem::NoKey)
}

fn roots(file: &io::Result<Vec<u8>>) -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(file)? {
        roots.add(certificate).map_err(Problem::Certificate)?;
    }
    Ok(roots)
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Option<RootCertStore>,
    minimum_version: TlsVersion,
) -> Result<ServerConfig, (TlsFile, Problem)> {
    let provider = Arc::new(default_provider());
    let set_up = |error| (TlsFile::Certificate, Problem::SetUp(error));
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| (TlsFile::PrivateKey, Problem::Key(error)))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            return Err((TlsFile::PrivateKey, Problem::Mismatch));
        }
        Err(error) => return Err((TlsFile::Certificate, Problem::Certificate(error))),
    }

    let versions: &[&SupportedProtocolVersion] = match minimum_version {
        TlsVersion::Tls12 => &[&TLS13, &TLS12],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(set_up)?;
    let asks_clients = roots.is_some();
    let builder = match roots {
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                .build()
                .map_err(|error| (TlsFile::ClientCa, Problem::Authorities(error.to_string())))?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ALPN_HTTP_2.to_vec(), ALPN_HTTP_1.to_vec()];
    // A request in early data could be replayed by whoever recorded it (RFC 8470 §2).
    config.max_early_data_size = 0;
    // Tickets keep nothing on this side, and any worker's thread takes any other's. Where clients
    // show certificates there are none: every handshake verifies the certificate anew.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if asks_clients {
        config.send_tls13_tickets = 0;
    } else {
        config.ticketer = Ticketer::new().map_err(set_up)?;
    }
    Ok(config)
}

fn expiry_s(certificate: &CertificateDer<'static>) -> Option<i64> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(parsed.validity().not_after.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn files(certificate: &str, private_key: &str, client_ca: Option<&str>) -> Files {
        Files {
            certificate: Ok(certificate.into()),
            private_key: Ok(private_key.into()),
            client_ca: client_ca.map(|text| Ok(text.into())),
        }
    }

    fn settings(minimum_version: TlsVersion) -> ListenerTls {
        ListenerTls {
            certificate: "c.pem".into(),
            private_key: "k.pem".into(),
            client_ca: None,
            minimum_version,
        }
    }

    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(2031, 2, 3);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn problems(files: &Files) -> Vec<String> {
        let problems = files.load(&settings(TlsVersion::Tls12)).err().unwrap_or_default();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_pair_is_loaded_with_the_day_on_which_it_ends() {
        let (certificate, key) = pair();
        let loaded =
            files(&certificate, &key, None).load(&settings(TlsVersion::Tls12)).ok().unwrap();
        assert_eq!(loaded.expires_s, Some(1_927_843_200), "2031-02-03T00:00:00Z");
        assert_eq!(loaded.config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        // RFC 8470: no request in early data.
        assert_eq!(loaded.config.max_early_data_size, 0);
        assert!(loaded.config.ticketer.enabled());
    }

    #[test]
    fn a_client_with_a_certificate_shows_it_in_every_handshake() {
        let (certificate, key) = pair();
        let files = files(&certificate, &key, Some(&certificate));
        let loaded = files.load(&settings(TlsVersion::Tls12)).ok().unwrap();
        assert_eq!(loaded.config.send_tls13_tickets, 0);
        assert!(!loaded.config.ticketer.enabled());
        assert!(!loaded.config.session_storage.can_cache());
    }

    #[test]
    fn what_is_wrong_with_each_file_is_told() {
        let ((certificate, key), (_, other_key)) = (pair(), pair());
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let no_key = "private_key: the file holds no private key in PEM form (an encrypted one \
                      cannot be used)";
        let none = |name| format!("{name}: the file holds no certificate in PEM form");
        for (files, told) in [
            (files("", "", Some("")), vec![none("certificate"), no_key.into(), none("client_ca")]),
            (files(&key, &certificate, None), vec![none("certificate"), no_key.into()]),
            (
                files(&certificate, &other_key, None),
                vec![
                    "private_key: the private key is not the certificate's: they do not match"
                        .to_owned(),
                ],
            ),
            (files(&certificate, &key, None), vec![]),
        ] {
            assert_eq!(problems(&files), told);
        }
        for (files, file) in [
            (files(broken, &key, None), "certificate: a certificate in the file cannot be used"),
            (
                files(&certificate, &key, Some(broken)),
                "client_ca: a certificate in the file cannot be used",
            ),
        ] {
            let told = problems(&files);
            assert!(told.len() == 1 && told[0].starts_with(file), "{told:?}");
        }
    }

    #[test]
    fn files_that_differ_have_digests_that_do() {
        let unreadable = || Err(io::Error::other("gone"));
        let versions = [
            files("a", "b", None),
            files("ab", "", None),
            files("", "ab", None),
            files("a", "b", Some("")),
            Files { certificate: unreadable(), ..files("", "b", None) },
            Files { private_key: unreadable(), ..files("a", "", None) },
            files("", "b", None),
        ];
        let digests: std::collections::BTreeSet<_> = versions.iter().map(Files::digest).collect();
        assert_eq!(digests.len(), versions.len());
    }
}
