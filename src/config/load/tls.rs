//! `[tls.*]`: certificates, keys and authorities, each looked at as a node would use it.

use crate::config::reader::{Field, Section};
use crate::config::values::{one_of, path};
use crate::config::{ListenerTls, Tls, TlsVersion};
use crate::tls::{Files, TlsFile};

/// The listeners' TLS, and whether `[tls.ingest]` asks for a client's certificate, rightly set or
/// not.
pub(super) fn read(section: &Section<'_>) -> (Tls, bool) {
    let (storefront, _) = section.table("storefront", |section| listener(section, false));
    let (ingest, asks_pushers) = section.table("ingest", |section| listener(section, true));
    let (control, _) = section.table("control", |section| listener(section, true));
    (Tls { storefront, ingest, control }, asks_pushers)
}

/// One listener's, `None` where it has none or a mistake; and whether it has a `client_ca`.
fn listener(section: &Section<'_>, may_ask_clients: bool) -> (Option<ListenerTls>, bool) {
    let certificate = section.get("certificate", path);
    let private_key = section.get("private_key", path);
    let client_ca = if may_ask_clients { section.get("client_ca", path) } else { None };
    let mut minimum_version = TlsVersion::Tls12;
    let versions = one_of([("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)]);
    section.set("minimum_version", &mut minimum_version, versions);

    let given = |name| section.field(name);
    let asks_clients = may_ask_clients && given("client_ca").is_some();
    if !section.is_present() {
        return (None, false);
    }
    for (name, what) in [
        ("certificate", "a PEM file with this listener's certificate and those that it needs"),
        ("private_key", "a PEM file with the certificate's private key"),
    ] {
        if given(name).is_none() {
            section.note(section.place(), name, format!("missing: {what}"));
        }
    }
    let (Some(certificate), Some(private_key)) = (certificate, private_key) else {
        return (None, asks_clients);
    };
    let settings = ListenerTls { certificate, private_key, client_ca, minimum_version };
    let problems = Files::read(&settings).load(&settings).err().unwrap_or_default();
    for problem in problems {
        let field: Option<Field<'_>> = given(match problem.file {
            TlsFile::Certificate => "certificate",
            TlsFile::PrivateKey => "private_key",
            TlsFile::ClientCa => "client_ca",
        });
        if let Some(field) = field {
            // Without the path, in the place of which someone may have put the key itself.
            field.refuse::<()>(problem.problem.to_string());
        }
    }
    (Some(settings), asks_clients)
}
