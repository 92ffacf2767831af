//! `[tls.*]`: which listeners speak TLS, and with what.

use std::path::PathBuf;

/// `[tls.*]`. A listener without its table speaks HTTP in the clear.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tls {
    /// `[tls.storefront]`.
    pub storefront: Option<ListenerTls>,
    /// `[tls.ingest]`.
    pub ingest: Option<ListenerTls>,
    /// `[tls.control]`.
    pub control: Option<ListenerTls>,
}

/// `[tls.storefront]`, `[tls.ingest]` or `[tls.control]`. The files are read when a node starts,
/// and again when they change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenerTls {
    /// A PEM file with the listener's certificate, then those between it and its root.
    pub certificate: PathBuf,
    /// A PEM file with the certificate's private key, not encrypted.
    pub private_key: PathBuf,
    /// A PEM file with the authorities whose certificates a client must have one of. Absent:
    /// clients are not asked. Always absent for storefronts.
    pub client_ca: Option<PathBuf>,
    /// The oldest version that is spoken. Default TLS 1.2.
    pub minimum_version: TlsVersion,
}

/// A version of TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsVersion {
    /// 1.2 (RFC 5246).
    Tls12,
    /// 1.3 (RFC 8446).
    Tls13,
}
