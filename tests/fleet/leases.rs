//! One fetch in the whole fleet.

use std::sync::Arc;
use std::time::Duration;

use csu_edge::config::{GenericPolicy, Redis};
use http::{Request, StatusCode};
use tokio::task::JoinHandle;

use crate::support::fleet::{nodes, nodes_with, patient, redis_at};
use crate::support::node::{Got, Running, request};
use crate::support::origin::{Origin, json, with_field, with_status};
use crate::support::reads::price;
use crate::support::redis::server::Server;
use crate::support::redis::until;
use crate::support::wire::soon;
use crate::{PRICES, selling};

/// Three nodes before an origin that holds its answers back.
struct Scene {
    origin: Origin,
    nodes: [Arc<Running>; 3],
    _redis: Server,
}

impl Scene {
    async fn new(change: impl FnOnce(&mut Redis)) -> Self {
        let server = Server::start(&[]).await;
        let origin = Origin::start(selling(10)).await;
        let mut redis = patient(redis_at(server.address()));
        change(&mut redis);
        let nodes = nodes::<3>(&origin.service_root(), &redis).await.map(Arc::new);
        origin.hold();
        Self { origin, nodes, _redis: server }
    }

    /// Asks one node, without waiting for its answer.
    fn ask(&self, at: usize, request: Request<String>) -> JoinHandle<Got> {
        let node = Arc::clone(&self.nodes[at]);
        tokio::spawn(async move { node.send(request).await })
    }

    /// How often an election has ended so, on all nodes.
    async fn led(&self, result: &str) -> f64 {
        let [a, b, c] = &self.nodes;
        a.led(result).await + b.led(result).await + c.led(result).await
    }

    async fn followers(&self, count: f64) {
        until("they follow", async || (self.led("follow").await == count).then_some(())).await;
    }
}

#[tokio::test]
async fn a_miss_on_all_nodes_at_once_is_one_request_to_the_origin() {
    let scene = Scene::new(|_| ()).await;
    let asking = [0, 1, 2].map(|at| scene.ask(at, price()));
    scene.followers(2.0).await;
    scene.origin.arrived(1).await;
    scene.origin.release();
    let mut from_redis = 0;
    for asking in asking {
        let got = soon(asking).await.unwrap();
        assert_eq!((got.status, got.price()), (StatusCode::OK, 10.0));
        from_redis += usize::from(got.is_hit() && got.cache_status().ends_with("detail=redis"));
    }
    assert_eq!(from_redis, 2);
    assert_eq!(scene.origin.requests(), 1);
    assert_eq!(scene.led("elected").await, 1.0);
}

#[tokio::test]
async fn when_the_elected_fetch_comes_to_nothing_the_others_fetch_at_once() {
    for comes_to_nothing in [
        || with_status(StatusCode::BAD_GATEWAY, "{}"),
        || with_field(json(r#"{"value":[]}"#), "cache-control", "no-store"),
    ] {
        // Longer than anything is waited for here.
        let scene = Scene::new(|redis| assert_eq!(redis.lease_wait, Duration::from_secs(60))).await;
        scene.origin.answer(move |_| comes_to_nothing());
        let elected = scene.ask(0, price());
        scene.origin.arrived(1).await;
        let follower = scene.ask(1, price());
        scene.followers(1.0).await;
        scene.origin.answer(selling(10));
        scene.origin.release();
        assert!(soon(elected).await.unwrap().cache_status().contains("fwd=uri-miss"));
        let got = soon(follower).await.unwrap();
        assert_eq!((got.cache_status(), got.price()), ("csu-edge; fwd=uri-miss; stored", 10.0));
        assert_eq!(scene.origin.requests(), 2);
        assert_eq!(scene.nodes[1].answered(PRICES, "miss").await, 1.0);
    }
}

#[tokio::test]
async fn past_the_wait_the_others_fetch_by_themselves() {
    let scene = Scene::new(|redis| redis.lease_wait = Duration::from_secs(2)).await;
    let elected = scene.ask(0, price());
    scene.origin.arrived(1).await;
    let follower = scene.ask(1, price());
    // The first one's answer is still held back.
    scene.origin.arrived(2).await;
    assert!(!elected.is_finished());
    scene.origin.release();
    for asking in [elected, follower] {
        assert_eq!(soon(asking).await.unwrap().price(), 10.0);
    }
    assert_eq!(scene.led("elected").await, 1.0);
    assert_eq!(scene.led("follow").await, 1.0);
}

#[tokio::test]
async fn without_a_wait_nobody_is_elected() {
    let scene = Scene::new(|redis| redis.lease_wait = Duration::ZERO).await;
    let asking = [0, 1].map(|at| scene.ask(at, price()));
    scene.origin.arrived(2).await;
    scene.origin.release();
    for asking in asking {
        assert_eq!(soon(asking).await.unwrap().price(), 10.0);
    }
    for result in ["elected", "follow", "failed"] {
        assert_eq!(scene.led(result).await, 0.0, "{result}");
    }
}

#[tokio::test]
async fn a_client_that_wants_validation_is_not_given_the_shared_answer() {
    let server = Server::start(&[]).await;
    let origin = Origin::start(|_| with_field(json("1"), "cache-control", "max-age=600")).await;
    let redis = patient(redis_at(server.address()));
    let by_url = |config: &mut csu_edge::config::Config| {
        config.generic.policy = GenericPolicy::Rfc9111;
    };
    let [a, b] = nodes_with(&origin.service_root(), &redis, by_url).await;
    let target = "/Commerce/media/a.json";
    a.get(target).await;
    a.shared("written", 1.0).await;
    origin.answer(|_| with_field(json("2"), "cache-control", "max-age=600"));

    let got = b.send(request("GET", target, &[("cache-control", "no-cache")])).await;
    assert_eq!((got.status, got.text().as_str()), (StatusCode::OK, "2"), "{got:?}");
    assert!(!got.is_hit(), "{}", got.cache_status());
    assert_eq!(origin.requests(), 2);
    // What came of it is for everybody.
    let next = b.get(target).await;
    assert_eq!((next.is_hit(), next.text().as_str()), (true, "2"));
    assert_eq!(origin.requests(), 2);
}
