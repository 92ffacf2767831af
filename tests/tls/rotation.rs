//! Files that are replaced while the node runs.

use std::time::Duration;

use rustls::pki_types::CertificateDer;

use super::authority::{Authority, Folder};
use super::client::{Client, Stream, ask};
use super::support::node::Running;
use super::{node, origin, reloads};

const TARGET: &str = "/Commerce/unknown";

fn shown(stream: &Stream) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// Lets time pass until the files have been looked at with this result so often.
async fn looked(node: &Running, listener: &str, outcome: &str, times: f64) {
    while node.metric(&reloads(listener, outcome)).await < times {
        node.clock.advance(Duration::from_secs(10));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_new_pair_is_shown_to_who_comes_next_and_drops_nobody() {
    let authority = Authority::new();
    let (first, second) = (authority.certify("localhost"), authority.certify("localhost"));
    let folder = Folder::with(&first);
    let origin = origin().await;
    let node = node(&folder, &origin.service_root(), |_| {}).await;
    let address = node.node.addresses().storefront;
    let client = Client::trusting(&authority);
    let mut open = client.connect(address).await.unwrap();
    assert_eq!(shown(&open), first.certificate);

    folder.write("certificate.pem", &second.certificate_pem);
    folder.write("key.pem", &second.key_pem());
    looked(&node, "storefront", "ok", 1.0).await;
    assert_eq!(shown(&client.connect(address).await.unwrap()), second.certificate);
    let (head, _) = ask(&mut open, TARGET).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(node.metric(&reloads("storefront", "failed")).await, 0.0);
    let expiry = "csu_edge_tls_certificate_expiry_seconds{listener=\"storefront\"}";
    assert!(node.metric(expiry).await > 2e9, "rcgen's certificates end in the far future");
}

#[tokio::test]
async fn a_pair_that_is_half_written_changes_nothing_until_it_is_whole() {
    let authority = Authority::new();
    let (first, second) = (authority.certify("localhost"), authority.certify("localhost"));
    let folder = Folder::with(&first);
    let origin = origin().await;
    let node = node(&folder, &origin.service_root(), |_| {}).await;
    let address = node.node.addresses().storefront;
    let client = Client::trusting(&authority);

    folder.write("certificate.pem", &second.certificate_pem);
    looked(&node, "storefront", "failed", 1.0).await;
    assert_eq!(shown(&client.connect(address).await.unwrap()), first.certificate);
    std::fs::remove_file(folder.path("key.pem")).unwrap();
    looked(&node, "storefront", "failed", 2.0).await;
    let head = client.ask(address, TARGET).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");

    folder.write("key.pem", &second.key_pem());
    looked(&node, "storefront", "ok", 1.0).await;
    assert_eq!(shown(&client.connect(address).await.unwrap()), second.certificate);
    // Each state of the files was tried once.
    assert_eq!(node.metric(&reloads("storefront", "failed")).await, 2.0);
    assert_eq!(node.metric(&reloads("storefront", "ok")).await, 1.0);
}

#[tokio::test]
async fn other_authorities_let_others_in() {
    let (servers, before, after) = (Authority::new(), Authority::new(), Authority::new());
    let folder = Folder::with(&servers.certify("localhost"));
    let origin = origin().await;
    let node = Running::start(&origin.service_root(), |config| {
        config.tls.ingest = Some(folder.settings_for_clients_of(&before));
    })
    .await;
    let address = node.node.addresses().ingest;
    let old = Client::showing(&before.certify("old"), &servers);
    let new = Client::showing(&after.certify("new"), &servers);
    assert!(old.ask(address, "/").await.is_ok());
    assert!(new.ask(address, "/").await.is_err());

    folder.write("ca.pem", &after.pem());
    looked(&node, "ingest", "ok", 1.0).await;
    assert!(old.ask(address, "/").await.is_err());
    assert!(new.ask(address, "/").await.is_ok());
}
