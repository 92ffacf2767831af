//! Under load: no request fails for a reload, and none sees two configurations.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use csu_edge::config::{AllowedOrigins, Config, Cors};
use csu_edge::node::Reloaded;
use csu_edge::operation::Class;

use crate::as_inventory;
use crate::support::node::Running;
use crate::support::origin::{Origin, json as answer, prices_of, products_in};
use crate::support::wire::{Wire, field};

const RELOADS: usize = 50;
const CLIENTS: usize = 4;

/// Settings of several kinds, each of which shows in an answer: the field that scripts may read, the
/// definition of the operation, and its lifetime.
fn first(config: &mut Config) {
    told_by(config, "x-first");
    config.operations.clear();
    config.classes.of_mut(Class::Price).fresh_for = Duration::from_secs(300);
    config.limits.fetches = 1_000;
    config.origin.gate.max_in_flight = 128;
}

fn second(config: &mut Config) {
    told_by(config, "x-second");
    as_inventory(config);
    config.classes.of_mut(Class::Inventory).fresh_for = Duration::from_secs(100);
    config.limits.fetches = 500;
    config.origin.gate.max_in_flight = 100;
}

fn told_by(config: &mut Config, name: &'static str) {
    let mut cors = Cors::for_origins(AllowedOrigins::Any);
    cors.exposed_headers = vec![http::HeaderName::from_static(name)];
    config.cors = Some(cors);
}

struct Load {
    node: Running,
    is_over: AtomicBool,
    answers: AtomicUsize,
    changes: AtomicUsize,
}

impl Load {
    /// Asks on one connection until it is over, and looks at each answer.
    async fn ask(&self, client: usize) {
        let mut wire = Wire::connect(self.node.node.addresses().storefront).await;
        let mut last = String::new();
        for number in 0_u64.. {
            // Mostly hits, which are repeated; now and then something that nobody has asked for.
            let is_new = number % 20 == 19;
            let product = if is_new { 1_000 * (client as u64 + 1) + number } else { 1 };
            let body = format!(r#"{{"productIds":[{product}]}}"#);
            let request = format!(
                "POST /Commerce/Products/GetActivePrices HTTP/1.1\r\nhost: shop\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            wire.send(&request).await;
            let (head, _) = wire.message().await;
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            let by = field(&head, "access-control-expose-headers").unwrap();
            let status = field(&head, "cache-status").unwrap();
            if let Some((_, ttl)) = status.split_once("hit; ttl=") {
                let ttl = ttl.split(';').next().unwrap();
                let expected = if by == "x-first" { "300" } else { "100" };
                assert_eq!(ttl, expected, "{head}");
            }
            self.answers.fetch_add(1, Ordering::Relaxed);
            if by != last {
                self.changes.fetch_add(1, Ordering::Relaxed);
                last = by;
            }
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_or_sees_two_configurations_while_fifty_reloads_happen() {
    let origin = Origin::start(|seen| {
        answer(prices_of(products_in(&seen.body).into_iter().map(|product| (product, "i", 9.5))))
    })
    .await;
    let node = Running::start(&origin.service_root(), first).await;
    let load = Arc::new(Load {
        node,
        is_over: AtomicBool::new(false),
        answers: AtomicUsize::new(0),
        changes: AtomicUsize::new(0),
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let load = Arc::clone(&load);
            tokio::spawn(async move { load.ask(client).await })
        })
        .collect();
    for reload in 0..RELOADS {
        // So that each configuration has answered something, repeats among it.
        let seen = load.answers.load(Ordering::Relaxed);
        let answered = async {
            while load.answers.load(Ordering::Relaxed) < seen + 40 * CLIENTS {
                assert!(clients.iter().all(|client| !client.is_finished()), "one has failed");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        crate::support::wire::soon(answered).await;
        let change = if reload % 2 == 0 { second } else { first };
        assert_eq!(load.node.reload(change), Reloaded::Applied);
    }
    load.is_over.store(true, Ordering::Relaxed);
    for client in clients {
        crate::support::wire::soon(client).await.unwrap();
    }
    let changes = load.changes.load(Ordering::Relaxed);
    assert!(changes >= RELOADS, "{changes} changes were seen");
    assert!(load.node.metric("csu_edge_repeated_hits_total").await > 100.0);
    // None was connected a second time.
    let accepted = load.node.metric("csu_edge_connections{listener=\"storefront\"}").await;
    assert!(accepted <= CLIENTS as f64 + 1.0);
    assert_eq!(load.node.metric("csu_edge_panics_total").await, 0.0);
}
