//! `[tls.*]`: what is taken and what is said about every mistake.

use csu_edge::config::{Config, TlsVersion};

use super::authority::{Authority, Folder};

const LEAST: &str = "origin.service_root = 'http://rs'\nlisten.ingest = '127.0.0.1:8090'\n";

fn parse(text: &str) -> Result<Config, Vec<String>> {
    let nothing = std::iter::empty::<(String, String)>();
    Config::parse(text, "edge.toml", nothing)
        .map_err(|errors| errors.to_string().lines().map(str::to_owned).collect())
}

fn folder() -> Folder {
    let authority = Authority::new();
    let folder = Folder::with(&authority.certify("localhost"));
    folder.write("other-key.pem", &authority.certify("other").key_pem());
    folder.write("ca.pem", &authority.pem());
    folder.write("empty.pem", "");
    folder
}

fn table(folder: &Folder, listener: &str, files: [&str; 2], rest: &str) -> String {
    let [certificate, key] = files.map(|name| folder.path(name).display().to_string());
    format!("[tls.{listener}]\ncertificate = '{certificate}'\nprivate_key = '{key}'\n{rest}\n")
}

const PAIR: [&str; 2] = ["certificate.pem", "key.pem"];

#[test]
fn listeners_without_a_table_speak_in_the_clear() {
    let tls = parse(LEAST).unwrap().tls;
    assert!(tls.storefront.is_none() && tls.ingest.is_none() && tls.control.is_none());
}

#[test]
fn each_listener_has_its_own() {
    let folder = folder();
    let ca = format!("client_ca = '{}'", folder.path("ca.pem").display());
    let text = format!(
        "{LEAST}{}{}{}",
        table(&folder, "storefront", PAIR, "minimum_version = '1.3'"),
        table(&folder, "ingest", PAIR, &ca),
        table(&folder, "control", PAIR, ""),
    );
    let tls = parse(&text).unwrap().tls;
    assert_eq!(tls.storefront.unwrap().minimum_version, TlsVersion::Tls13);
    assert_eq!(tls.ingest.unwrap().client_ca, Some(folder.path("ca.pem")));
    let control = tls.control.unwrap();
    assert_eq!((control.client_ca, control.minimum_version), (None, TlsVersion::Tls12));
}

#[test]
fn every_mistake_stands_at_its_key() {
    let folder = folder();
    let ca = |name| format!("client_ca = '{}'", folder.path(name).display());
    let no_certificate = "the file holds no certificate in PEM form";
    for (text, told) in [
        (
            table(&folder, "storefront", ["gone.pem", "empty.pem"], ""),
            vec![
                "4:15: tls.storefront.certificate: the file cannot be read: No such file or \
                 directory (os error 2)"
                    .to_owned(),
                "5:15: tls.storefront.private_key: the file holds no private key in PEM form (an \
                 encrypted one cannot be used)"
                    .to_owned(),
            ],
        ),
        (
            table(&folder, "control", ["empty.pem", "key.pem"], &ca("empty.pem")),
            vec![
                format!("4:15: tls.control.certificate: {no_certificate}"),
                format!("6:13: tls.control.client_ca: {no_certificate}"),
            ],
        ),
        (
            table(&folder, "ingest", ["certificate.pem", "other-key.pem"], ""),
            vec![
                "5:15: tls.ingest.private_key: the private key is not the certificate's: they do \
                 not match"
                    .to_owned(),
            ],
        ),
        (
            table(&folder, "storefront", PAIR, &ca("ca.pem")),
            vec!["6:1: tls.storefront.client_ca: unknown key".to_owned()],
        ),
        (
            "[tls.storefront]\nminimum_version = '1.1'".to_owned(),
            vec![
                "3:6: tls.storefront.certificate: missing: a PEM file with this listener's \
                 certificate and those that it needs"
                    .to_owned(),
                "3:6: tls.storefront.private_key: missing: a PEM file with the certificate's \
                 private key"
                    .to_owned(),
                "4:19: tls.storefront.minimum_version: must be \"1.2\" or \"1.3\", not \"1.1\""
                    .to_owned(),
            ],
        ),
    ] {
        let found = parse(&format!("{LEAST}{text}")).unwrap_err();
        let told: Vec<_> = told.iter().map(|mistake| format!("edge.toml:{mistake}")).collect();
        assert_eq!(found, told, "{text}");
    }
}

#[test]
fn a_key_that_stands_in_the_file_itself_is_not_repeated() {
    let pair = Authority::new().certify("localhost");
    let text = format!(
        "{LEAST}[tls.storefront]\ncertificate = '''{}'''\nprivate_key = '''{}'''\n",
        pair.certificate_pem,
        pair.key_pem()
    );
    let found = parse(&text).unwrap_err().join("\n");
    assert!(found.contains("tls.storefront.private_key: the file cannot be read"), "{found}");
    assert!(!found.contains("BEGIN"), "{found}");
}

#[test]
fn an_ingest_that_asks_for_certificates_may_be_open_to_the_network() {
    let folder = folder();
    let open = "origin.service_root = 'http://rs'\nlisten.ingest = '0.0.0.0:8090'\n";
    let ca = format!("client_ca = '{}'", folder.path("ca.pem").display());
    parse(&format!("{open}{}", table(&folder, "ingest", PAIR, &ca))).unwrap();
    for text in [table(&folder, "ingest", PAIR, ""), table(&folder, "control", PAIR, &ca)] {
        let found = parse(&format!("{open}{text}")).unwrap_err();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("nor [tls.ingest] a client_ca"), "{found:?}");
    }
}
