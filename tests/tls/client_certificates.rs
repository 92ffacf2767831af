//! Who may push and who may operate, by certificate.

use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, HandshakeKind};

use super::authority::{Authority, Folder};
use super::client::{Client, alert, ask};
use super::support::node::Running;
use super::{failures, origin};

#[tokio::test]
async fn only_a_certificate_of_the_authority_is_let_in() {
    let (servers, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let folder = Folder::with(&servers.certify("localhost"));
    let origin = origin().await;
    let running = Running::start(&origin.service_root(), |config| {
        config.tls.ingest = Some(folder.settings_for_clients_of(&clients));
    })
    .await;
    let operated = Running::start(&origin.service_root(), |config| {
        config.tls.control = Some(folder.settings_for_clients_of(&clients));
    })
    .await;
    let (friend, stranger) = (clients.certify("friend"), others.certify("stranger"));
    for (address, target, status) in [
        (running.node.addresses().ingest, "/ingest/cdx", "405"),
        (operated.node.addresses().control, "/live", "200"),
    ] {
        for version in [&TLS12, &TLS13] {
            let ask =
                async |pair| Client::new(&servers, &[version], pair).ask(address, target).await;
            let head = ask(Some(&friend)).await.unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");

            // Told, and not merely reset.
            let refusal = alert(&ask(None).await.unwrap_err());
            let told = [AlertDescription::CertificateRequired, AlertDescription::HandshakeFailure];
            assert!(refusal.is_some_and(|refusal| told.contains(&refusal)), "{refusal:?}");
            assert!(alert(&ask(Some(&stranger)).await.unwrap_err()).is_some());
        }
    }
    assert_eq!(running.metric(&failures("ingest")).await, 4.0);
}

#[tokio::test]
async fn a_certificate_is_shown_anew_in_every_handshake() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let folder = Folder::with(&servers.certify("localhost"));
    let origin = origin().await;
    let running = Running::start(&origin.service_root(), |config| {
        config.tls.ingest = Some(folder.settings_for_clients_of(&clients));
    })
    .await;
    let client = Client::showing(&clients.certify("friend"), &servers);
    for _ in 0..2 {
        let mut stream = client.connect(running.node.addresses().ingest).await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        ask(&mut stream, "/ingest/cdx").await.unwrap();
    }
}
