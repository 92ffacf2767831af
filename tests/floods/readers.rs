//! Clients that take their answers slowly, or not at all.

use std::time::Duration;

use super::support::frames::{Http2, Outcome, get};
use super::support::origin::{Origin, json};
use super::support::wire::Wire;
use super::{closed, closes, node};

/// Far past what the kernel's buffers of a connection hold.
const LARGE: usize = 32 << 20;

async fn large() -> Origin {
    Origin::start(|seen| match seen.target.contains("Large") {
        true => json("x".repeat(LARGE)),
        false => json("{}"),
    })
    .await
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_closed() {
    let origin = large().await;
    let node = node(&origin, |config| config.limits.keep_alive = Duration::from_millis(1)).await;
    let mut client = Wire::connect(node.node.addresses().storefront).await;
    client.send("GET /Commerce/Large HTTP/1.1\r\nhost: a\r\n\r\n").await;
    closes(&node, "stalled", 1.0).await;
    assert!(client.rest().await.len() < LARGE);
}

#[tokio::test]
async fn a_window_that_is_never_opened_ends_its_connection_though_others_are_asked_for() {
    let origin = large().await;
    let node = node(&origin, |config| config.limits.keep_alive = Duration::from_secs(1)).await;
    // SETTINGS_INITIAL_WINDOW_SIZE: nothing may be sent of any answer's body.
    let address = node.node.addresses().storefront;
    let mut client = Http2::with_settings(address, &[(4, 0)]).await;
    client.ask(1, &get("/Commerce/Large")).await;
    assert_eq!(client.outcome(1).await, Outcome::Answer(200));
    // Other streams keep the connection in use all the while.
    let mut stream = 1;
    loop {
        stream += 2;
        let [method, scheme, authority, path] = get("/Commerce/x");
        let head = [(":method", "HEAD"), scheme, authority, path];
        assert_eq!(method.0, head[0].0);
        let ask = super::support::frames::frame(
            super::support::frames::HEADERS,
            super::support::frames::END_HEADERS | super::support::frames::END_STREAM,
            stream,
            &super::support::frames::block(&head),
        );
        if client.try_send(&ask).await.is_err() || client.outcome(stream).await == Outcome::Closed {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    closes(&node, "stalled", 1.0).await;
    assert!(stream > 7, "it was closed before it could be overdue");
}

#[tokio::test]
async fn a_client_that_takes_its_answer_slowly_gets_all_of_it() {
    let origin = large().await;
    let node = node(&origin, |config| {
        config.limits.keep_alive = Duration::from_millis(1);
        config.limits.stored_body_bytes = 2 * LARGE;
        config.memory.max_bytes = 4 * LARGE as u64;
    })
    .await;
    // The second time the whole answer is at hand, and handed over at once.
    let body = format!(r#"{{"value":"{}"}}"#, "x".repeat(LARGE));
    origin.answer(move |_| json(body.clone()));
    assert_eq!(node.get("/Commerce/GetTenderTypes()").await.status, 200);
    let mut client = Wire::connect(node.node.addresses().storefront).await;
    client.send("GET /Commerce/GetTenderTypes() HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.contains("csu-edge; hit"), "{head}");
    let mut taken = 0;
    while taken < LARGE {
        tokio::time::sleep(Duration::from_millis(100)).await;
        match client.count(1 << 20).await {
            0 => break,
            count => taken += count,
        }
    }
    assert!(taken >= LARGE, "cut off after {taken} bytes");
    assert_eq!(closed(&node, "stalled").await, 0.0);
}
