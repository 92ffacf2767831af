//! With a Redis behind both processes.

use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

use serde_json::Value;

use super::Place;
use super::client::{self, Connection, PATIENCE};
use super::load::HIT;
use super::support::redis::server::Server;

fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "it never happened: {what}");
        thread::yield_now();
    }
}

/// The names of the live nodes that have applied a purge, and of those that have not.
fn spread(control: SocketAddr) -> (Vec<String>, Value) {
    let purge = "{\"tags\":[\"price/item:1\"]}";
    let got = client::post(control, "/purge?wait=fleet", purge).unwrap();
    let told: Value = serde_json::from_str(&got.body).unwrap();
    let applied = told["fleet"]["applied"].as_array().unwrap().iter();
    let names = applied.map(|name| name.as_str().unwrap().to_owned()).collect();
    (names, told["fleet"]["pending"].clone())
}

#[test]
fn what_is_in_redis_is_found_and_the_two_are_two_nodes() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let redis = runtime.block_on(Server::start(&[]));
    let url = redis.url();
    let settings = [("CSU_EDGE__REDIS__URL", url.as_str()), ("CSU_EDGE__REDIS__NODE", "edge-1")];
    let place = Place::new();
    let old = place.serve(&settings);
    let (storefront, control) = (old.address("storefront"), old.address("control"));
    assert!(client::get(storefront, HIT).unwrap().head.contains("fwd=uri-miss; stored"));
    until("the answer is in Redis", || {
        let metrics = client::get(control, "/metrics").unwrap().body;
        metrics.contains("csu_edge_shared_writes_total{result=\"written\"} 1")
    });
    let mut running = Connection::open(storefront).unwrap();
    running.send("GET /Commerce/held HTTP/1.1\r\nhost: shop\r\n\r\n").unwrap();
    place.origin().holds_one();

    let _new = place.serve(&settings);
    old.process.logged("another process serves");
    let got = client::get(storefront, HIT).unwrap();
    assert!(got.head.contains("csu-edge; hit"), "{got:?}");
    let (applied, pending) = spread(control);
    assert!(applied.iter().all(|name| name.starts_with("edge-1-")), "{applied:?}");
    assert_eq!((applied.len(), pending), (2, serde_json::json!([])), "{applied:?}");
    place.origin().release();
    assert_eq!(running.receive().unwrap().status, 200);
    old.ends_with_0();
    // The old one has left, and taken nobody with it.
    assert_eq!(spread(control).0.len(), 1);
}
