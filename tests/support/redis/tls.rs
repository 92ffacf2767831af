//! The certificates that a server and its clients show each other.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use redis::{ClientTlsConfig, TlsCertificates};
use tempfile::TempDir;

/// Which clients a server with TLS lets in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clients {
    Anyone,
    /// Those that show a certificate of the authority.
    Certified,
}

/// An authority's certificate and two pairs of its own, as files.
pub struct Files(TempDir);

impl Files {
    pub fn new() -> Self {
        let mut params = named("An authority of the tests", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let files = Self(TempDir::new().unwrap());
        fs::write(files.ca(), authority.pem()).unwrap();
        for (name, hosts) in [("server", &["localhost", "127.0.0.1"][..]), ("client", &[])] {
            let key = KeyPair::generate().unwrap();
            let certificate = named(name, hosts).signed_by(&key, &authority).unwrap();
            fs::write(files.path(&format!("{name}.pem")), certificate.pem()).unwrap();
            fs::write(files.path(&format!("{name}-key.pem")), key.serialize_pem()).unwrap();
        }
        files
    }

    pub fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    pub fn client_certificate(&self) -> PathBuf {
        self.path("client.pem")
    }

    pub fn client_key(&self) -> PathBuf {
        self.path("client-key.pem")
    }

    /// What a client needs that shows its certificate.
    pub fn certified(&self) -> TlsCertificates {
        let client_tls = ClientTlsConfig {
            client_cert: read(&self.client_certificate()),
            client_key: read(&self.client_key()),
        };
        TlsCertificates { client_tls: Some(client_tls), ..self.anonymous() }
    }

    /// What a client needs that shows none.
    pub fn anonymous(&self) -> TlsCertificates {
        TlsCertificates { client_tls: None, root_cert: Some(read(&self.ca())) }
    }

    /// The server's directives.
    pub(super) fn directives(&self, clients: Clients) -> String {
        let clients = if clients == Clients::Certified { "yes" } else { "no" };
        let folder = self.0.path().display();
        format!(
            "tls-cert-file {folder}/server.pem\n\
             tls-key-file {folder}/server-key.pem\n\
             tls-ca-cert-file {folder}/ca.pem\n\
             tls-auth-clients {clients}\n"
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// OpenSSL takes a certificate whose subject is its issuer's for self-signed, so each has its name.
fn named(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().copied().map(str::to_owned).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}
