//! A certificate authority of the test's own, and a listener's files.

use std::fs;
use std::path::PathBuf;

use csu_edge::config::{ListenerTls, TlsVersion};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(crate) struct Pair {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) certificate_pem: String,
    key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }

    pub(crate) fn certify(&self, name: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Pair { certificate: certificate.der().clone(), certificate_pem: certificate.pem(), key }
    }
}

impl Pair {
    pub(crate) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }
}

/// The folder that holds a listener's files.
pub(crate) struct Folder(TempDir);

impl Folder {
    /// With a pair for `localhost`.
    pub(crate) fn with(pair: &Pair) -> Self {
        let folder = Self(TempDir::new().unwrap());
        folder.write("certificate.pem", &pair.certificate_pem);
        folder.write("key.pem", &pair.key_pem());
        folder
    }

    /// Puts a file in place in one step, so that no reader sees a part of it.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let new = self.path("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn settings(&self) -> ListenerTls {
        ListenerTls {
            certificate: self.path("certificate.pem"),
            private_key: self.path("key.pem"),
            client_ca: None,
            minimum_version: TlsVersion::Tls12,
        }
    }

    /// The same, for clients that show a certificate of this authority.
    pub(crate) fn settings_for_clients_of(&self, authority: &Authority) -> ListenerTls {
        self.write("ca.pem", &authority.pem());
        ListenerTls { client_ca: Some(self.path("ca.pem")), ..self.settings() }
    }
}
