//! Versions and protocols, and what the origin is told of them.

use bytes::Bytes;
use csu_edge::config::TlsVersion;
use http::{Request, Version};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::authority::{Authority, Folder};
use super::client::{Client, alert, ask};
use super::support::origin::{Origin, json};
use super::support::wire::soon;
use super::{failures, node, origin};

const TENDER_TYPES: &str = "/Commerce/GetTenderTypes()?api-version=7.3";

#[tokio::test]
async fn http_2_is_spoken_with_who_offers_it() {
    let authority = Authority::new();
    let folder = Folder::with(&authority.certify("localhost"));
    let origin = origin().await;
    let node = node(&folder, &origin.service_root(), |_| {}).await;
    let client = Client::trusting(&authority).offering(&["h2", "http/1.1"]);
    let stream = client.connect(node.node.addresses().storefront).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));

    let io = TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    // What an HTTP/2 client says of its scheme proves nothing: the connection does.
    for scheme in ["https", "http"] {
        let request = Request::get(format!("{scheme}://shop.example/Commerce/unknown"))
            .body(Empty::<Bytes>::new())
            .unwrap();
        let response = soon(sender.send_request(request)).await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_2));
        soon(response.into_body().collect()).await.unwrap();
        let seen = origin.last();
        assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
        assert_eq!(
            seen.header("forwarded"),
            Some("for=127.0.0.1;host=\"shop.example\";proto=https")
        );
    }
    drop(sender);
    soon(connection).await.unwrap().unwrap();
}

#[tokio::test]
async fn http_1_1_is_spoken_with_who_offers_nothing_else_or_nothing() {
    let authority = Authority::new();
    let folder = Folder::with(&authority.certify("localhost"));
    let origin = origin().await;
    let node = node(&folder, &origin.service_root(), |_| {}).await;
    let address = node.node.addresses().storefront;
    for (offered, agreed) in [(&["http/1.1"][..], Some(&b"http/1.1"[..])), (&[], None)] {
        let client = Client::trusting(&authority).offering(offered);
        let mut stream = client.connect(address).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
        let (head, _) = ask(&mut stream, "/Commerce/unknown").await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(origin.last().header("x-forwarded-proto"), Some("https"));

        // It is held to it: nothing that it says later makes it HTTP/2.
        let mut stream = client.connect(address).await.unwrap();
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        soon(stream.write_all(preface)).await.unwrap();
        let mut came = Vec::new();
        let _ = soon(stream.read_to_end(&mut came)).await;
        assert!(came.is_empty() || came.starts_with(b"HTTP/1.1 4"), "{came:?}");
    }
    let error = Client::trusting(&authority).offering(&["spdy/3"]).connect(address).await;
    assert_eq!(alert(&error.unwrap_err()), Some(AlertDescription::NoApplicationProtocol));
    assert_eq!(node.metric(&failures("storefront")).await, 1.0);
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken_and_the_older_one_can_be_refused() {
    let authority = Authority::new();
    let folder = Folder::with(&authority.certify("localhost"));
    let origin = origin().await;
    let both = node(&folder, &origin.service_root(), |_| {}).await;
    let newer = node(&folder, &origin.service_root(), |config| {
        config.tls.storefront.as_mut().unwrap().minimum_version = TlsVersion::Tls13;
    })
    .await;
    for (offered, agreed) in
        [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)]
    {
        let client = Client::new(&authority, &[offered], None);
        let mut stream = client.connect(both.node.addresses().storefront).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(agreed));
        let (head, _) = ask(&mut stream, TENDER_TYPES).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");

        let outcome = client.ask(newer.node.addresses().storefront, TENDER_TYPES).await;
        match outcome {
            Ok(_) => assert_eq!(agreed, ProtocolVersion::TLSv1_3),
            Err(error) => {
                assert_eq!(alert(&error), Some(AlertDescription::ProtocolVersion), "{error}");
                assert_eq!(agreed, ProtocolVersion::TLSv1_2);
            }
        }
    }
    assert_eq!(newer.metric(&failures("storefront")).await, 1.0);
}

#[tokio::test]
async fn a_client_that_names_no_server_is_served() {
    let authority = Authority::new();
    let folder = Folder::with(&authority.certify("localhost"));
    let origin = origin().await;
    let node = node(&folder, &origin.service_root(), |_| {}).await;
    let client = Client::trusting(&authority).without_sni();
    let head = client.ask(node.node.addresses().storefront, TENDER_TYPES).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}

#[tokio::test]
async fn a_client_that_comes_back_takes_up_its_session() {
    let authority = Authority::new();
    let folder = Folder::with(&authority.certify("localhost"));
    let origin = origin().await;
    let node = node(&folder, &origin.service_root(), |_| {}).await;
    for version in [&TLS12, &TLS13] {
        let client = Client::new(&authority, &[version], None);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let address = node.node.addresses().storefront;
            let mut stream = client.connect(address).await.unwrap();
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(kind));
            ask(&mut stream, TENDER_TYPES).await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_link_to_the_next_page_says_https() {
    let authority = Authority::new();
    let folder = Folder::with(&authority.certify("localhost"));
    let next = "Products/SearchByText(channelId=1,catalogId=0,searchText='a')?$skip=5&$top=5";
    let origin = Origin::start(|_| json("{}")).await;
    let root = origin.service_root();
    let page = serde_json::json!({"value": [{"RecordId": 1}], "@odata.nextLink": format!("{root}/{next}")});
    origin.answer(move |_| json(page.to_string()));
    let node = node(&folder, &root, |_| {}).await;
    let mut stream =
        Client::trusting(&authority).connect(node.node.addresses().storefront).await.unwrap();
    let target = "/Commerce/Products/SearchByText(channelId=1,catalogId=0,searchText='a')?$top=5";
    for cache in ["fwd=uri-miss; stored", "csu-edge; hit"] {
        let (head, body) = ask(&mut stream, target).await.unwrap();
        assert!(head.contains(cache), "{head}");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["@odata.nextLink"], format!("https://localhost/Commerce/{next}"));
    }
}
