//! Bounds that are taken while others are put in their place.

use std::sync::Arc;
use std::time::Duration;

use csu_edge::config::{Budget, Config, Gate};
use http::{Request, StatusCode};
use tokio::task::JoinHandle;

use crate::support::node::{Got, Running};
use crate::support::origin::{Origin, Seen, json as answer, prices_of, products_in};
use crate::support::reads::{get, price_of};
use crate::support::wire::{Wire, soon};

const ASKED: &str = "GET /Commerce/unknown HTTP/1.1\r\nhost: shop\r\n";

async fn origin() -> Origin {
    Origin::start(|seen: &Seen| match seen.target.contains("GetActivePrices") {
        true => answer(prices_of(products_in(&seen.body).into_iter().map(|id| (id, id, 79.9)))),
        false => answer("{}"),
    })
    .await
}

async fn start(origin: &Origin, change: impl FnOnce(&mut Config)) -> Arc<Running> {
    Arc::new(Running::start(&origin.service_root(), change).await)
}

fn ask(node: &Arc<Running>, request: Request<String>) -> JoinHandle<Got> {
    let node = Arc::clone(node);
    tokio::spawn(async move { node.send(request).await })
}

async fn answered(asking: JoinHandle<Got>) -> StatusCode {
    soon(asking).await.unwrap().status
}

/// Different questions, so that none waits for another's answer.
fn question(number: u64) -> Request<String> {
    get(&format!("/Commerce/Products({number})/GetById(channelId=1)"))
}

#[tokio::test]
async fn fetches_under_way_count_in_the_new_limit() {
    let origin = origin().await;
    let node = start(&origin, |config| config.limits.fetches = 2).await;
    origin.hold();
    let mut under_way = vec![ask(&node, question(1)), ask(&node, question(2))];
    origin.arrived(2).await;
    assert_eq!(node.send(question(3)).await.error_code(), "csu-edge.too-many-fetches");
    node.reload(|config| config.limits.fetches = 3);
    under_way.push(ask(&node, question(3)));
    origin.arrived(3).await;
    node.reload(|config| config.limits.fetches = 1);
    origin.release();
    for asking in under_way {
        assert_eq!(answered(asking).await, StatusCode::OK);
    }
    origin.hold();
    let last = ask(&node, question(4));
    origin.arrived(4).await;
    assert_eq!(node.send(question(5)).await.error_code(), "csu-edge.too-many-fetches");
    origin.release();
    assert_eq!(answered(last).await, StatusCode::OK);
}

#[tokio::test]
async fn waiters_count_in_the_new_limit() {
    let origin = origin().await;
    let node = start(&origin, |_| {}).await;
    origin.hold();
    let mut waiting: Vec<_> = (0..3).map(|_| ask(&node, question(1))).collect();
    node.collapsed(2.0).await;
    node.reload(|config| config.limits.waiters = 3);
    assert_eq!(node.send(question(1)).await.error_code(), "csu-edge.too-many-waiters");
    node.reload(|config| config.limits.waiters = 4);
    waiting.push(ask(&node, question(1)));
    node.collapsed(3.0).await;
    origin.release();
    for asking in waiting {
        assert_eq!(answered(asking).await, StatusCode::OK);
    }
}

fn budget(requests: u32, burst: u32) -> impl FnOnce(&mut Config) {
    move |config| {
        let per = Duration::from_secs(3_600);
        config.origin.gate.budget = Some(Budget { requests, per, burst });
    }
}

#[tokio::test]
async fn what_was_spent_of_a_budget_is_spent_of_the_next_one() {
    let origin = origin().await;
    let node = start(&origin, budget(20, 2)).await;
    let mut number = 0;
    let mut goes = async || {
        number += 1;
        node.send(question(number)).await.status == StatusCode::OK
    };
    assert!(goes().await && goes().await && !goes().await);
    node.reload(budget(50, 5));
    for went in 0..3 {
        assert!(goes().await, "{went}");
    }
    assert!(!goes().await);
    node.reload(budget(20, 2));
    assert!(!goes().await);
    assert_eq!(node.metric("csu_edge_origin_gate_tokens").await, -2.0);
    node.reload(|config| config.origin.gate.budget = None);
    assert!(goes().await);
    let metrics = node.control("/metrics").await.text();
    assert!(!metrics.contains("csu_edge_origin_gate_tokens "), "there are none to be left");
}

#[tokio::test]
async fn a_budget_that_is_new_knows_who_is_about_to_send_and_owes_nothing() {
    let origin = origin().await;
    let node = start(&origin, |_| {}).await;
    origin.hold();
    let asking = ask(&node, question(1));
    origin.arrived(1).await;
    node.reload(budget(20, 2));
    origin.release();
    assert_eq!(answered(asking).await, StatusCode::OK);
    assert_eq!(node.metric("csu_edge_origin_gate_tokens").await, 2.0);
}

#[tokio::test]
async fn a_client_that_waits_at_the_gate_goes_where_there_is_more_room() {
    let origin = origin().await;
    let at_once = |places| {
        move |config: &mut Config| {
            let max_wait = Duration::from_secs(60);
            config.origin.gate =
                Gate { min_in_flight: places, max_in_flight: places, max_wait, ..Gate::default() };
        }
    };
    let node = start(&origin, at_once(1)).await;
    origin.hold();
    let first = ask(&node, question(1));
    origin.arrived(1).await;
    let second = ask(&node, question(2));
    let waiting = async {
        while node.metric("csu_edge_origin_gate_waiting").await < 1.0 {
            tokio::task::yield_now().await;
        }
    };
    soon(waiting).await;
    node.reload(at_once(2));
    origin.arrived(2).await;
    // And where the wait is shorter now, it ends.
    let third = ask(&node, question(3));
    let waiting = async {
        while node.metric("csu_edge_origin_gate_waiting").await < 1.0 {
            tokio::task::yield_now().await;
        }
    };
    soon(waiting).await;
    node.reload(|config| config.origin.gate.max_wait = Duration::from_millis(1));
    node.clock.advance(Duration::from_millis(2));
    assert_eq!(answered(third).await, StatusCode::SERVICE_UNAVAILABLE);
    origin.release();
    assert_eq!([answered(first).await, answered(second).await], [StatusCode::OK; 2]);
}

#[tokio::test]
async fn connections_that_are_open_count_in_the_new_limit() {
    let origin = origin().await;
    let one_worker = |config: &mut Config| {
        config.listen.workers = 1;
        config.limits.connections = 1;
    };
    let node = start(&origin, one_worker).await;
    let address = node.node.addresses().storefront;
    let asked = format!("{ASKED}\r\n");
    let mut first = Wire::connect(address).await;
    first.send(&asked).await;
    first.message().await;
    let mut second = Wire::connect(address).await;
    second.send(&asked).await;
    second.stays_silent().await;
    node.reload(|config| config.limits.connections = 2);
    let limit = node.metric("csu_edge_connections_limit{listener=\"storefront\"}").await;
    assert_eq!(limit, 2.0);
    assert!(second.message().await.0.starts_with("HTTP/1.1 200 "));

    // One fewer than are open: who comes next waits for two to go.
    node.reload(|config| config.limits.connections = 1);
    let mut third = Wire::connect(address).await;
    third.send(&asked).await;
    drop(first);
    third.stays_silent().await;
    second.send(&asked).await;
    assert!(second.message().await.0.starts_with("HTTP/1.1 200 "), "it is open still");
    drop(second);
    assert!(third.message().await.0.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_client_has_as_many_connections_as_it_is_said_now() {
    let origin = origin().await;
    let node = start(&origin, |_| {}).await;
    let address = node.node.addresses().storefront;
    let asked = format!("{ASKED}\r\n");
    let mut first = Wire::connect(address).await;
    first.send(&asked).await;
    first.message().await;
    node.reload(|config| config.limits.connections_per_client = 1);
    let mut refused = Wire::connect(address).await;
    let _ = refused.try_send(asked.as_bytes()).await;
    assert!(!refused.is_answered().await);
    node.reload(|config| config.forwarded.trusted = vec!["127.0.0.0/8".parse().unwrap()]);
    let mut trusted = Wire::connect(address).await;
    trusted.send(&asked).await;
    assert!(trusted.message().await.0.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_head_is_bounded_as_it_was_when_its_connection_began() {
    let origin = origin().await;
    let one_worker = |config: &mut Config| config.listen.workers = 1;
    let node = start(&origin, one_worker).await;
    let address = node.node.addresses().storefront;
    let asked = format!("{ASKED}{}\r\n", "via: 1.1 a\r\n".repeat(5));
    let mut first = Wire::connect(address).await;
    first.send(&asked).await;
    first.message().await;
    node.reload(|config| config.limits.header_fields = 3);
    let mut second = Wire::connect(address).await;
    for (wire, status) in [(&mut first, "200"), (&mut second, "431")] {
        wire.send(&asked).await;
        let (head, _) = wire.message().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
}

#[tokio::test]
async fn calls_for_lists_linger_as_it_is_said_now() {
    let origin = origin().await;
    let node = start(&origin, |config| config.origin.merge_linger = Duration::ZERO).await;
    node.reload(|config| config.origin.merge_linger = Duration::from_millis(100));
    origin.hold();
    // The first goes alone; those that come while it is under way go together.
    let mut asking = vec![ask(&node, price_of(1))];
    origin.arrived(1).await;
    asking.extend([2, 3, 4].map(|product| ask(&node, price_of(product))));
    origin.arrived(2).await;
    origin.release();
    for asking in asking {
        assert_eq!(answered(asking).await, StatusCode::OK);
    }
    assert_eq!(origin.requests(), 2);
}
