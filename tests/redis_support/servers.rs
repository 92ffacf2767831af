//! One server: how it starts, ends, stops and whom it lets in.

use std::io::ErrorKind;
use std::net::SocketAddr;

use redis::{AsyncCommands, Client, Value};
use tokio::net::TcpStream;

use super::support::redis::server::Server;
use super::support::redis::tls::{Clients, Files};
use super::support::wire::soon;
use super::{get, is_kept_waiting, ping, set};

#[tokio::test]
async fn a_server_that_is_killed_comes_back_empty_at_its_address() {
    let mut server = Server::start(&[]).await;
    let mut connection = server.connect().await;
    set(&mut connection, "key", "kept").await;
    assert_eq!(get(&mut connection).await.as_deref(), Some("kept"));

    server.kill();
    assert!(!server.is_running());
    let refused = TcpStream::connect(server.address()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert!(connection.get::<_, Option<String>>("key").await.is_err());

    let address = server.address();
    server.restart().await;
    assert!(server.is_running());
    assert_eq!(server.address(), address);
    assert_eq!(get(&mut server.connect().await).await, None);
}

#[tokio::test]
async fn a_server_that_persists_loses_its_data_only_when_told_to() {
    let mut server = Server::start(&[("appendonly", "yes"), ("appendfsync", "always")]).await;
    set(&mut server.connect().await, "key", "kept").await;
    server.restart().await;
    assert_eq!(get(&mut server.connect().await).await.as_deref(), Some("kept"));
    server.restart_empty().await;
    assert_eq!(get(&mut server.connect().await).await, None);
}

#[tokio::test]
async fn a_server_that_is_dropped_is_gone() {
    let server = Server::start(&[]).await;
    let address = server.address();
    drop(server);
    let refused = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_paused_server_answers_when_it_is_resumed() {
    let server = Server::start(&[]).await;
    let mut connection = server.connect().await;
    server.pause().await;
    assert!(!server.is_running());
    let answered = tokio::spawn(async move { get(&mut connection).await });
    let mut answered = std::pin::pin!(answered);
    is_kept_waiting(&mut answered).await;
    server.resume();
    assert_eq!(soon(answered).await.unwrap(), None);
}

#[tokio::test]
async fn a_server_with_tls_knows_its_clients_by_their_certificates() {
    let server = Server::start_with_tls(Clients::Certified, &[]).await;
    assert!(server.url().starts_with("rediss://"));
    let files = server.tls();
    for path in [files.ca(), files.client_certificate(), files.client_key()] {
        assert!(path.is_file());
    }
    assert_eq!(ping(&server.client()).await.unwrap(), "PONG");
    let anonymous = Client::build_with_tls(server.url(), files.anonymous()).unwrap();
    assert!(ping(&anonymous).await.is_err());
    // Of another authority, in both directions.
    let other = Files::new();
    let stranger = Client::build_with_tls(server.url(), other.certified()).unwrap();
    assert!(ping(&stranger).await.is_err());
}

#[tokio::test]
async fn a_server_with_tls_may_let_everybody_in() {
    let server = Server::start_with_tls(Clients::Anyone, &[("requirepass", "of-the-test")]).await;
    let anonymous = Client::build_with_tls(server.url(), server.tls().anonymous()).unwrap();
    assert_eq!(ping(&anonymous).await.unwrap(), "PONG");
}

#[tokio::test]
async fn passwords_and_users_are_required_as_configured() {
    let user = "reader on >of-the-reader ~* +get +ping";
    let server = Server::start(&[("requirepass", "of-all"), ("user", user)]).await;
    assert_eq!(ping(&server.client()).await.unwrap(), "PONG");
    let nobody = Client::open(format!("redis://{}", server.address())).unwrap();
    assert!(ping(&nobody).await.is_err());
    assert!(ping(&server.client_as("reader", "wrong")).await.is_err());

    let reader = server.client_as("reader", "of-the-reader");
    let mut reader = reader.get_multiplexed_async_connection().await.unwrap();
    assert_eq!(get(&mut reader).await, None);
    let refused = reader.set::<_, _, ()>("key", "value").await.unwrap_err();
    assert_eq!(refused.code(), Some("NOPERM"));
    // The support is not bound by it.
    assert_eq!(server.command(&["SET", "key", "value"]).await, Value::Okay);
}

#[tokio::test]
async fn servers_start_side_by_side() {
    let servers = futures_util::future::join_all((0..8).map(|_| Server::start(&[]))).await;
    let addresses: std::collections::HashSet<SocketAddr> =
        servers.iter().map(Server::address).collect();
    assert_eq!(addresses.len(), 8);
    for server in &servers {
        assert_eq!(ping(&server.client()).await.unwrap(), "PONG");
    }
}
