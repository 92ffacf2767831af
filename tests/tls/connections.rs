//! What is no TLS, what never becomes it, and what breaks off in it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::authority::{Authority, Folder};
use super::client::Client;
use super::support::raw::{Manner, RawOrigin};
use super::support::wire::{Wire, soon};
use super::{failures, node, origin};

#[tokio::test]
async fn http_in_the_clear_is_refused_at_once() {
    let authority = Authority::new();
    let folder = Folder::with(&authority.certify("localhost"));
    let origin = origin().await;
    let node = node(&folder, &origin.service_root(), |_| {}).await;
    let mut wire = Wire::connect(node.node.addresses().storefront).await;
    wire.send("POST /Commerce/unknown HTTP/1.1\r\nhost: a\r\ncontent-length: 4194304\r\n\r\n")
        .await;
    // Taken and forgotten: a reset would overtake the alert.
    wire.send_filler(4 << 20).await;
    let came = wire.rest().await;
    // An alert: content type 21, level 2 (RFC 8446 §6).
    assert!(came.starts_with(&[21]) && came.get(5) == Some(&2), "{came:?}");
    assert_eq!(node.metric(&failures("storefront")).await, 1.0);
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn a_handshake_that_stalls_holds_nobody_up_and_is_closed() {
    let authority = Authority::new();
    let folder = Folder::with(&authority.certify("localhost"));
    let origin = origin().await;
    let node = node(&folder, &origin.service_root(), |config| {
        config.limits.header_timeout = Duration::from_secs(1);
    })
    .await;
    let address = node.node.addresses().storefront;
    let mut silent = Wire::connect(address).await;
    let mut begun = Wire::connect(address).await;
    // The head of a record of 512 bytes that never come.
    begun.try_send(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    let head = Client::trusting(&authority).ask(address, "/Commerce/unknown").await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(silent.rest().await.is_empty());
    assert!(begun.rest().await.is_empty());
    let closed =
        "csu_edge_connections_closed_total{limit=\"header-timeout\",listener=\"storefront\"}";
    assert_eq!(node.metric(closed).await, 2.0);
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_look_like_one_that_ended() {
    let authority = Authority::new();
    let folder = Folder::with(&authority.certify("localhost"));
    let origin = RawOrigin::start(Manner::Hang).await;
    let node = node(&folder, &origin.service_root(), |_| {}).await;
    let client = Client::trusting(&authority);
    let large = "x".repeat(1 << 20);
    let begun =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n100000\r\n{large}\r\n");
    for (answer, is_whole) in [(format!("{begun}0\r\n\r\n"), true), (begun, false)] {
        origin.answer(Manner::Say(answer));
        let mut stream = client.connect(node.node.addresses().storefront).await.unwrap();
        // To HTTP/1.0 the end of the connection is the end of the answer.
        soon(stream.write_all(b"GET /Commerce/unknown HTTP/1.0\r\n\r\n")).await.unwrap();
        let mut came = Vec::new();
        let outcome = soon(stream.read_to_end(&mut came)).await;
        // Without a `close_notify` reading ends in an error.
        assert_eq!(outcome.is_ok(), is_whole, "{outcome:?}");
        assert!(!is_whole || came.ends_with(large.as_bytes()));
    }
}
