//! The purge plane: a purge that one node acknowledged holds on all.

use std::sync::Arc;
use std::time::Duration;

use csu_edge::clock::Clock;
use csu_edge::config::{Config, GenericPolicy, Redis};
use http::StatusCode;
use redis::streams::StreamRangeReply;
use serde_json::json;

use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::fleet::{
    impatient, named, node, nodes, nodes_with, patient, redis_at, responses,
};
use crate::support::node::{Running, request};
use crate::support::origin::{Origin, Seen, json as json_answer, with_field, with_status};
use crate::support::reads::{PRODUCT, price, product};
use crate::support::redis::server::Server;
use crate::support::redis::until;
use crate::support::wire::soon;
use crate::{another_price, name, price_changed, selling};

const LOG: &str = "{csu-edge:purge}:log";
const ENTERED: &str = "csu_edge_purge_lineages_entered_total";

fn product_tag() -> String {
    format!("product/product:{PRODUCT}")
}

/// Everything in the memory of every node, at 10.
async fn warm(nodes: &[Running]) {
    for node in nodes {
        assert_eq!(node.send(price()).await.price(), 10.0);
        assert_eq!(name(&node.send(product()).await), "10");
    }
    for node in nodes {
        assert!(node.send(price()).await.is_hit());
        assert!(node.send(product()).await.is_hit());
    }
}

#[tokio::test]
async fn a_hard_purge_holds_where_it_was_told_at_once_and_elsewhere_once_it_is_applied() {
    let server = Server::start(&[]).await;
    let origin = Origin::start(selling(10)).await;
    let nodes: [_; 3] = nodes(&origin.service_root(), &patient(redis_at(server.address()))).await;
    warm(&nodes).await;
    origin.answer(selling(20));
    let [a, b, c] = &nodes;
    let asked = origin.requests();
    let told = a.push(&price_changed()).await;
    let got = a.send(price()).await;
    assert_eq!(got.price(), 20.0);
    assert_eq!(got.cache_status(), "csu-edge; fwd=miss; stored; detail=purged");
    for node in [b, c] {
        node.applied(told["sequence"].as_u64().unwrap()).await;
        assert_eq!(node.send(price()).await.price(), 20.0);
        // What it does not name stays.
        assert!(node.send(another_price()).await.status.is_success());
    }
    assert!(origin.requests() > asked);
}

#[tokio::test]
async fn a_soft_purge_makes_answers_stale_on_every_node() {
    let server = Server::start(&[]).await;
    let origin = Origin::start(selling(10)).await;
    let nodes: [_; 3] = nodes(&origin.service_root(), &patient(redis_at(server.address()))).await;
    warm(&nodes).await;
    let asked = origin.requests();
    origin.answer(selling(20));
    // So that none finds what another one's refreshing has brought.
    origin.hold();
    let sequence = nodes[0].purge(&product_tag(), "soft").await;
    for node in &nodes {
        node.applied(sequence).await;
        let got = node.send(product()).await;
        assert_eq!(name(&got), "10");
        assert_eq!(got.cache_status(), "csu-edge; hit; ttl=0; detail=stale-while-revalidate");
        assert!(node.send(price()).await.is_hit(), "it is not of its class");
    }
    until("two wait for the third", async || {
        let [a, b, c] = &nodes;
        let followers = a.led("follow").await + b.led("follow").await + c.led("follow").await;
        (followers == 2.0).then_some(())
    })
    .await;
    origin.release();
    for node in &nodes {
        until("it is new", async || (name(&node.send(product()).await) == "20").then_some(()))
            .await;
    }
    assert_eq!(origin.requests(), asked + 1, "one of them refreshed it for all");
}

#[tokio::test]
async fn who_waits_for_the_fleet_is_told_that_all_have_applied_it() {
    let server = Server::start(&[]).await;
    let origin = Origin::start(selling(10)).await;
    let redis = patient(redis_at(server.address()));
    let waits = |config: &mut Config| config.ingest.wait_for_fleet = true;
    let nodes: [_; 3] = nodes_with(&origin.service_root(), &redis, waits).await;
    let everybody = json!({"applied": ["a", "b", "c"], "pending": []});
    warm(&nodes).await;
    origin.answer(selling(20));
    assert_eq!(nodes[0].push(&price_changed()).await["fleet"], everybody);
    for node in &nodes {
        assert_eq!(node.send(price()).await.price(), 20.0);
    }
    origin.answer(selling(30));
    let order = json!({"tags": ["price/*"]});
    let got = nodes[1].control_post("/purge?wait=fleet", &order).await;
    assert_eq!((got.status, &got.json()["fleet"]), (StatusCode::OK, &everybody));
    for node in &nodes {
        assert_eq!(node.send(price()).await.price(), 30.0);
    }
    // Who does not wait is told of nobody.
    assert_eq!(nodes[2].control_post("/purge", &order).await.json().get("fleet"), None);
}

#[tokio::test]
async fn a_node_that_is_cut_off_is_pending_and_serves_nothing_strict_once_it_is_fenced() {
    let server = Server::start(&[]).await;
    let proxy = FaultProxy::before(server.address()).await;
    let origin = Origin::start(selling(10)).await;
    let mut redis = patient(redis_at(server.address()));
    redis.command_timeout = Duration::from_millis(500);
    redis.purge.fence_after = Duration::from_secs(6);
    redis.purge.command_timeout = Duration::from_secs(1);
    redis.purge.fleet_timeout = Duration::from_secs(2);
    let [a] = nodes(&origin.service_root(), &redis).await;
    let through = Redis { server: redis_at(proxy.address()).server, ..redis.clone() };
    let b = node(&origin.service_root(), named(&through, "b"), |_| ()).await;
    let nodes = [a, b];
    warm(&nodes).await;
    let [a, b] = &nodes;

    proxy.set(Fault::Hang);
    origin.answer(selling(20));
    let order = json!({"tags": ["price/item:82000"]});
    let told = a.control_post("/purge?wait=fleet", &order).await;
    assert_eq!(told.status, StatusCode::OK);
    assert_eq!(told.json()["fleet"], json!({"applied": ["a"], "pending": ["b"]}));
    b.fenced(true).await;
    assert_eq!(b.send(price()).await.price(), 20.0);
    // It is not waited for any more.
    let told = a.control_post("/purge?wait=fleet", &order).await.json();
    assert_eq!(told["fleet"], json!({"applied": ["a"], "pending": []}));

    proxy.set(Fault::Pass);
    b.applied(told["sequence"].as_u64().unwrap()).await;
    b.fenced(false).await;
    let told = a.control_post("/purge?wait=fleet", &order).await.json();
    assert_eq!(told["fleet"], json!({"applied": ["a", "b"], "pending": []}));
}

#[tokio::test]
async fn a_bulk_event_is_split_and_all_of_it_holds() {
    let server = Server::start(&[]).await;
    let origin = Origin::start(selling(10)).await;
    let nodes: [_; 2] = nodes(&origin.service_root(), &patient(redis_at(server.address()))).await;
    warm(&nodes).await;
    origin.answer(selling(20));
    let [a, b] = &nodes;
    // What is asked for is named by the last of them.
    let items: Vec<String> = (77_001..=82_000).map(|item| item.to_string()).collect();
    assert_eq!(items.len(), 5_000);
    let told = a.push(&json!({"class": "price", "items": items})).await;
    b.applied(told["sequence"].as_u64().unwrap()).await;
    for node in &nodes {
        assert_eq!(node.send(price()).await.price(), 20.0);
        assert!(node.metric("csu_edge_purge_remembered_tags").await >= 5_000.0);
    }
    let log: StreamRangeReply = server.query(&["XRANGE", LOG, "-", "+"]).await.unwrap();
    let tags = |entry: &redis::streams::StreamId, field: &str| {
        let list: String = entry.get(field).unwrap();
        list.split_whitespace().count()
    };
    let lengths: Vec<_> = log.ids.iter().map(|entry| tags(entry, "h") + tags(entry, "s")).collect();
    assert!(lengths.iter().all(|&length| length <= 1_000), "{lengths:?}");
    // And one for the items that are not known by number.
    assert_eq!(lengths.iter().sum::<usize>(), 5_001, "{lengths:?}");
}

#[tokio::test]
async fn a_node_that_starts_without_redis_serves_and_joins_later() {
    let server = Server::start(&[]).await;
    let proxy = FaultProxy::before(server.address()).await;
    proxy.set(Fault::Refuse);
    let origin = Origin::start(selling(10)).await;
    let mut redis = impatient(redis_at(proxy.address()));
    redis.purge.boot_timeout = Duration::from_millis(100);
    let [a] = nodes(&origin.service_root(), &redis).await;
    a.degraded(&["redis-tier", "purge-plane"]).await;
    for asked in 1..=2 {
        assert_eq!(a.send(price()).await.price(), 10.0);
        assert_eq!(origin.requests(), asked);
    }
    assert_eq!(a.try_push(&price_changed()).await.status, StatusCode::SERVICE_UNAVAILABLE);

    proxy.set(Fault::Pass);
    a.degraded(&[]).await;
    a.fenced(false).await;
    a.send(price()).await;
    let asked = origin.requests();
    until("it is a hit", async || a.send(price()).await.is_hit().then_some(())).await;
    assert!(origin.requests() <= asked + 1);
    a.push(&price_changed()).await;
    assert_eq!(a.metric(ENTERED).await, 0.0, "it was in none before");
}

/// Loses all that Redis knows, and waits until every node has noticed.
async fn lose_everything(server: &Server, nodes: &[Running]) {
    server.command(&["FLUSHALL"]).await;
    for node in nodes {
        until("another lineage", async || (node.metric(ENTERED).await >= 1.0).then_some(())).await;
        node.fenced(false).await;
    }
}

#[tokio::test]
async fn a_redis_that_lost_everything_makes_everything_stale_and_nothing_else() {
    let server = Server::start(&[]).await;
    let origin = Origin::start(selling(10)).await;
    let nodes: [_; 2] = nodes(&origin.service_root(), &patient(redis_at(server.address()))).await;
    warm(&nodes).await;
    let before = nodes[0].sequence().await;
    lose_everything(&server, &nodes).await;
    origin.answer(selling(20));
    let asked = origin.requests();
    let got = nodes[0].send(price()).await;
    assert_eq!((got.is_hit(), got.price()), (false, 20.0), "{}", got.cache_status());
    assert_eq!(nodes[1].send(price()).await.price(), 20.0);
    origin.hold();
    for node in &nodes {
        let got = node.send(product()).await;
        assert!(got.is_hit() && name(&got) == "10", "{got:?}");
        assert!(got.cache_status().ends_with("; detail=stale-while-revalidate"));
    }
    origin.release();
    for node in &nodes {
        until("it is new", async || (name(&node.send(product()).await) == "20").then_some(()))
            .await;
        assert_eq!(node.metric(ENTERED).await, 1.0);
        assert!(node.sequence().await > before, "numbers go on");
    }
    assert!(origin.requests() - asked <= 4);
    // And purges go on.
    origin.answer(selling(30));
    let told = nodes[0].push(&price_changed()).await;
    nodes[1].applied(told["sequence"].as_u64().unwrap()).await;
    assert_eq!(nodes[1].send(price()).await.price(), 30.0);
}

#[tokio::test]
async fn what_was_purged_hard_stays_so_when_everything_is_lost() {
    let server = Server::start(&[]).await;
    let origin = Origin::start(selling(10)).await;
    let nodes: [_; 2] = nodes(&origin.service_root(), &patient(redis_at(server.address()))).await;
    warm(&nodes).await;
    let sequence = nodes[0].purge(&product_tag(), "hard").await;
    nodes[1].applied(sequence).await;
    lose_everything(&server, &nodes).await;
    origin.answer(selling(20));
    for node in &nodes {
        let got = node.send(product()).await;
        assert_eq!((name(&got).as_str(), got.status), ("20", StatusCode::OK));
    }
}

#[tokio::test]
async fn what_is_purged_hard_after_everything_was_lost_is_not_served_stale() {
    let server = Server::start(&[]).await;
    let origin = Origin::start(selling(10)).await;
    let nodes: [_; 2] = nodes(&origin.service_root(), &patient(redis_at(server.address()))).await;
    warm(&nodes).await;
    lose_everything(&server, &nodes).await;
    let sequence = nodes[0].purge(&product_tag(), "hard").await;
    nodes[1].applied(sequence).await;
    origin.answer(|_| with_status(StatusCode::SERVICE_UNAVAILABLE, "{}"));
    for node in &nodes {
        let got = node.send(product()).await;
        assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE, "{}", got.cache_status());
    }
}

#[tokio::test]
async fn a_node_that_starts_later_serves_nothing_that_was_purged_before() {
    let server = Server::start(&[]).await;
    let origin = Origin::start(selling(10)).await;
    let redis = patient(redis_at(server.address()));
    let [a] = nodes(&origin.service_root(), &redis).await;
    a.send(price()).await;
    a.shared("written", 1.0).await;
    a.push(&price_changed()).await;
    // Gone, and with it all that it knew.
    drop(a);
    origin.answer(selling(20));
    assert_eq!(responses(&server).await.len(), 1, "what was fetched before stands there still");
    let b = node(&origin.service_root(), named(&redis, "b"), |_| ()).await;
    let got = b.send(price()).await;
    assert_eq!((got.is_hit(), got.price()), (false, 20.0), "{}", got.cache_status());
    assert_eq!(b.looked("found").await, 1.0);
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn a_purge_reaches_a_node_that_was_cut_off_when_it_is_back() {
    for fault in [Fault::Hang, Fault::HalfOpen] {
        let server = Server::start(&[]).await;
        let proxy = FaultProxy::before(server.address()).await;
        let origin = Origin::start(selling(10)).await;
        let redis = impatient(redis_at(server.address()));
        let [a] = nodes(&origin.service_root(), &redis).await;
        let through = impatient(redis_at(proxy.address()));
        let b = node(&origin.service_root(), named(&through, "b"), |_| ()).await;
        b.fenced(false).await;
        assert_eq!(name(&b.send(product()).await), "10");
        proxy.set(fault);
        b.fenced(true).await;
        origin.answer(selling(20));
        a.fenced(false).await;
        let sequence = a.purge(&product_tag(), "hard").await;
        let got = b.send(product()).await;
        assert_eq!(name(&got), "10", "it cannot know");
        assert!(got.cache_status().ends_with("; detail=fenced"), "{}", got.cache_status());

        proxy.set(Fault::Pass);
        b.applied(sequence).await;
        assert_eq!(name(&b.send(product()).await), "20", "{fault:?}");
        b.degraded(&[]).await;
        assert_eq!(b.metric(ENTERED).await, 0.0);
    }
}

#[tokio::test]
async fn the_plane_may_have_a_redis_of_its_own() {
    let (mut tier, plane) = tokio::join!(Server::start(&[]), Server::start(&[]));
    let origin = Origin::start(selling(10)).await;
    let mut redis = patient(redis_at(tier.address()));
    redis.purge.server = Some(redis_at(plane.address()).server);
    redis.command_timeout = Duration::from_secs(1);
    let nodes: [_; 2] = nodes(&origin.service_root(), &redis).await;
    let [a, b] = &nodes;
    warm(&nodes).await;
    let of = async |server: &Server, pattern| {
        server.query::<Vec<String>>(&["KEYS", pattern]).await.unwrap().len()
    };
    assert_eq!((of(&tier, "*purge*").await, of(&plane, "csu-edge:*").await), (0, 0));
    assert!(of(&plane, "{csu-edge:purge}:*").await >= 3);

    // Without the tier, purges hold all the same.
    tier.kill();
    a.degraded(&["redis-tier"]).await;
    origin.answer(selling(20));
    let told = a.push(&price_changed()).await;
    b.applied(told["sequence"].as_u64().unwrap()).await;
    for node in [a, b] {
        assert_eq!(node.send(price()).await.price(), 20.0);
        assert_eq!(name(&node.send(product()).await), "20", "it tells a price");
    }
}

#[tokio::test]
async fn a_fetch_that_left_before_a_purge_brings_nothing_for_later_on_any_node() {
    let server = Server::start(&[]).await;
    let origin = Origin::start(selling(10)).await;
    let nodes: [_; 3] = nodes(&origin.service_root(), &patient(redis_at(server.address()))).await;
    let [a, b, c] = nodes.map(Arc::new);
    origin.hold();
    let under_way = tokio::spawn({
        let a = Arc::clone(&a);
        async move { a.send(price()).await }
    });
    origin.arrived(1).await;
    let sequence = b.push(&price_changed()).await["sequence"].as_u64().unwrap();
    a.applied(sequence).await;
    c.applied(sequence).await;
    origin.answer(selling(20));
    origin.release();
    // Who asked before the purge may have it.
    assert_eq!(soon(under_way).await.unwrap().price(), 10.0);
    // Written behind what came before it: what is dead on arrival is shared with nobody.
    a.send(another_price()).await;
    a.shared("written", 1.0).await;
    assert_eq!(responses(&server).await.len(), 1);
    for node in [&c, &b, &a] {
        assert_eq!(node.send(price()).await.price(), 20.0);
    }
    assert!((3..=5).contains(&origin.requests()));
}

#[tokio::test]
async fn what_a_write_changed_while_the_plane_was_away_is_told_when_it_is_back() {
    let server = Server::start(&[]).await;
    let proxy = FaultProxy::before(server.address()).await;
    let cached = |body: &'static str| {
        move |_: &Seen| with_field(json_answer(body), "cache-control", "max-age=600")
    };
    let origin = Origin::start(cached("1")).await;
    let by_url = |config: &mut Config| config.generic.policy = GenericPolicy::Rfc9111;
    let direct = impatient(redis_at(server.address()));
    let [b] = nodes_with(&origin.service_root(), &direct, by_url).await;
    let through = named(&impatient(redis_at(proxy.address())), "cut-off");
    let a = node(&origin.service_root(), through, by_url).await;
    const URL: &str = "/Commerce/media/menu.json";
    for node in [&a, &b] {
        node.fenced(false).await;
        assert_eq!(node.get(URL).await.text(), "1");
    }
    proxy.set(Fault::Hang);
    a.fenced(true).await;
    let before = b.sequence().await;
    origin.answer(|_| json_answer("done"));
    assert_eq!(a.send(request("PUT", URL, &[])).await.status, StatusCode::OK);
    origin.answer(cached("2"));
    assert_eq!(a.get(URL).await.text(), "2", "where it was written it holds at once");
    assert_eq!(b.get(URL).await.text(), "1", "it cannot know");
    proxy.set(Fault::Pass);
    b.applied(before + 1).await;
    assert_eq!(b.get(URL).await.text(), "2");
}

#[tokio::test]
async fn a_purge_that_falls_due_while_the_plane_is_away_is_made_up_for() {
    let server = Server::start(&[]).await;
    let proxy = FaultProxy::before(server.address()).await;
    let origin = Origin::start(selling(10)).await;
    let [b] = nodes(&origin.service_root(), &impatient(redis_at(server.address()))).await;
    let through = named(&impatient(redis_at(proxy.address())), "cut-off");
    let a = node(&origin.service_root(), through, |_| ()).await;
    a.fenced(false).await;
    let due = Clock::system().now() + Duration::from_secs(2);
    let event = json!({"class": "price", "items": ["82000"], "effectiveAt": due.to_string()});
    let told = a.push(&event).await["sequence"].as_u64().unwrap();
    b.applied(told).await;
    assert_eq!(a.metric("csu_edge_purges_scheduled").await, 1.0);
    proxy.set(Fault::Hang);
    Clock::system().sleep_until(due + Duration::from_millis(500)).await;
    a.fenced(true).await;
    let made = "csu_edge_purges_total{source=\"schedule\"}";
    assert_eq!((a.metric(made).await, b.sequence().await), (0.0, told), "it cannot be told");
    proxy.set(Fault::Pass);
    b.applied(told + 1).await;
    until("it stands", async || (a.metric(made).await == 1.0).then_some(())).await;
}
