//! TLS towards whoever this program asks.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};

/// Adds the certificate authorities of a PEM file.
///
/// # Errors
/// Where it cannot be read, or holds no certificate, or one that cannot be used.
pub fn add_authorities(
    path: &Path,
    roots: &mut RootCertStore,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let before = roots.len();
    for certificate in CertificateDer::pem_file_iter(path)? {
        roots.add(certificate?)?;
    }
    if roots.len() == before { Err("it holds no certificate".into()) } else { Ok(()) }
}

/// What believes these authorities alone. What it shows of itself is still to be said.
///
/// # Errors
/// Where the provider of cryptography cannot do what TLS needs.
pub fn believing(
    roots: RootCertStore,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    Ok(builder.with_safe_default_protocol_versions()?.with_root_certificates(roots))
}
