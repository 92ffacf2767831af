//! What `/status` tells of the others.

use serde_json::{Value, json};

use crate::selling;
use crate::support::fleet::{impatient, nodes, patient, redis_at};
use crate::support::node::Running;
use crate::support::origin::Origin;
use crate::support::redis::server::Server;
use crate::support::redis::until;

async fn status(node: &Running) -> Value {
    node.control("/status").await.json()
}

/// The last purges as a node knows them: number, source, tags.
async fn feed(node: &Running) -> Vec<Value> {
    let status = status(node).await;
    let last = status["purges"]["last"].as_array().unwrap().iter();
    last.map(|one| json!([one["sequence"], one["source"], one["hard"]])).collect()
}

#[tokio::test]
async fn every_node_tells_the_purges_of_all_and_its_own_once() {
    let server = Server::start(&[]).await;
    let origin = Origin::start(selling(10)).await;
    let nodes: [_; 2] = nodes(&origin.service_root(), &patient(redis_at(server.address()))).await;
    let [a, b] = &nodes;
    let first = a.purge("price/item:1", "hard").await;
    let second = b.purge("price/item:2", "hard").await;
    for node in &nodes {
        node.applied(second).await;
    }
    let here = |sequence, tag| json!([sequence, "operator", [tag]]);
    let there = |sequence, tag| json!([sequence, "other-node", [tag]]);
    assert_eq!(feed(a).await, [there(second, "price/item:2"), here(first, "price/item:1")]);
    assert_eq!(feed(b).await, [here(second, "price/item:2"), there(first, "price/item:1")]);
}

#[tokio::test]
async fn a_node_tells_how_far_each_of_the_fleet_is_until_redis_is_away() {
    let server = Server::start(&[]).await;
    let origin = Origin::start(selling(10)).await;
    let redis = impatient(redis_at(server.address()));
    let nodes: [_; 2] = nodes(&origin.service_root(), &redis).await;
    let [a, b] = &nodes;
    let sequence = b.purge("price/item:1", "hard").await;
    let members = until("both have said so", async || {
        let fleet = status(a).await["fleet"].take();
        let members = fleet["members"].as_array()?.clone();
        members.iter().all(|one| one["sequence"] == sequence).then_some((fleet, members))
    });
    let (fleet, members) = members.await;
    assert_eq!((&fleet["node"], &fleet["more"]), (&json!("a"), &json!(0)));
    let told: Vec<Value> =
        members.iter().map(|one| json!([one["node"], one["isThis"], one["isGone"]])).collect();
    assert_eq!(told, [json!(["a", true, false]), json!(["b", false, false])]);
    drop(server);
    until("nobody tells", async || {
        let fleet = status(a).await["fleet"].take();
        (fleet["members"] == Value::Null && fleet["node"] == "a").then_some(())
    })
    .await;
}
