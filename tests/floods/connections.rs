//! How many connections a client has, and how long it may keep one without use.

use std::time::Duration;

use super::support::wire::Wire;
use super::{closes, node, origin};

const ASK: &str = "GET /Commerce/x HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn past_its_own_limit_a_clients_connection_is_closed_at_once() {
    let origin = origin().await;
    // One for the test's own client, which asks for metrics at another listener.
    let node = node(&origin, |config| config.limits.connections_per_client = 2).await;
    let address = node.node.addresses().storefront;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Wire::connect(address).await;
        client.send(ASK).await;
        assert!(client.message().await.0.starts_with("HTTP/1.1 200 "));
        clients.push(client);
    }
    for closed in [1.0, 2.0] {
        assert_eq!(Wire::connect(address).await.rest().await, b"");
        closes(&node, "connections-per-client", closed).await;
    }
    // Those that it has go on, and one that ends makes room.
    clients[0].send(ASK).await;
    assert!(clients[0].message().await.0.starts_with("HTTP/1.1 200 "));
    drop(clients.pop());
    loop {
        let mut client = Wire::connect(address).await;
        if client.try_send(ASK.as_bytes()).await.is_ok() && client.is_answered().await {
            break;
        }
    }
}

#[tokio::test]
async fn a_proxy_of_ours_may_have_as_many_connections_as_it_needs() {
    let origin = origin().await;
    let node = node(&origin, |config| {
        config.limits.connections_per_client = 1;
        config.forwarded.trusted = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = Wire::connect(node.node.addresses().storefront).await;
        client.send(ASK).await;
        assert!(client.message().await.0.starts_with("HTTP/1.1 200 "));
        clients.push(client);
    }
}

#[tokio::test]
async fn a_client_that_falls_silent_is_closed_wherever_it_stands() {
    let origin = origin().await;
    let node = node(&origin, |config| {
        config.limits.header_timeout = Duration::from_millis(1);
        config.limits.keep_alive = Duration::from_millis(1);
    })
    .await;
    let address = node.node.addresses().storefront;
    // What a peer that is gone without a word looks like: silence.
    let mut silent = Wire::connect(address).await;
    let mut slow = Wire::connect(address).await;
    slow.send("GET /Commerce/x HTTP/1.1\r\nhost:").await;
    let mut idle = Wire::connect(address).await;
    idle.send(ASK).await;
    assert!(idle.message().await.0.starts_with("HTTP/1.1 200 "));
    for client in [&mut silent, &mut slow, &mut idle] {
        assert_eq!(client.rest().await, b"");
    }
    closes(&node, "header-timeout", 2.0).await;
    closes(&node, "keep-alive", 1.0).await;
}
