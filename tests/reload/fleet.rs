//! Nodes on one Redis, of which one has been told of another configuration and one has not.

use std::time::Duration;

use csu_edge::operation::Class;
use serde_json::json;

use crate::as_inventory;
use crate::support::fleet::{nodes, patient, redis_at};
use crate::support::node::Running;
use crate::support::origin::{Origin, json as answer, price_of};
use crate::support::reads::{PRODUCT, price};
use crate::support::redis::server::Server;

struct Scene {
    origin: Origin,
    nodes: [Running; 2],
    _redis: Server,
}

async fn scene() -> Scene {
    let redis = Server::start(&[]).await;
    let origin = Origin::start(|_| answer(price_of(PRODUCT, "82000", 79.9))).await;
    let nodes = nodes::<2>(&origin.service_root(), &patient(redis_at(redis.address()))).await;
    Scene { origin, nodes, _redis: redis }
}

#[tokio::test]
async fn a_node_uses_nothing_that_another_has_stored_by_another_definition() {
    let Scene { origin, nodes: [told, untold], _redis } = scene().await;
    untold.send(price()).await;
    untold.shared("written", 1.0).await;
    told.reload(as_inventory);
    assert!(!told.send(price()).await.is_hit());
    told.shared("written", 1.0).await;
    assert!(untold.send(price()).await.is_hit());
    assert_eq!(origin.requests(), 2);

    // Each is reached by the purges of its own class, on both nodes.
    told.push(&json!({"class": "inventory", "items": ["82000"]})).await;
    assert!(!told.send(price()).await.is_hit());

    // Told as well, the other one finds what the first has fetched since.
    told.shared("written", 2.0).await;
    untold.reload(as_inventory);
    let found = untold.send(price()).await;
    assert!(found.cache_status().contains("detail=redis") || found.is_hit(), "{found:?}");
    assert_eq!(origin.requests(), 3);
}

#[tokio::test]
async fn a_shorter_lifetime_holds_for_what_another_node_stores_by_the_longer_one() {
    let Scene { origin, nodes: [told, untold], _redis } = scene().await;
    told.reload(|config| config.classes.of_mut(Class::Price).fresh_for = Duration::from_secs(60));
    untold.send(price()).await;
    untold.shared("written", 1.0).await;
    let found = told.send(price()).await;
    let ttl = |within: &str| found.cache_status().contains(within);
    assert!(ttl("ttl=60") || ttl("ttl=5"), "{found:?}");
    assert_eq!(origin.requests(), 1);
    told.reload(|config| {
        let lifetimes = config.classes.of_mut(Class::Price);
        lifetimes.fresh_for = Duration::from_millis(1);
        lifetimes.stale_if_error = Duration::ZERO;
    });
    assert!(untold.send(price()).await.is_hit());
    assert!(!told.send(price()).await.is_hit());
}
