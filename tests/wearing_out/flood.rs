//! A flood of requests that are each made once, with some that everybody makes among them.

use std::cell::Cell;

use futures_util::future::join_all;

use super::{Client, Scene};

/// What everybody asks for.
const HOT: usize = 200;
/// One request in so many is for something that everybody asks for.
const HOT_IN: usize = 5;
const CONNECTIONS: usize = 8;
/// Requests sent at once on a connection.
const BATCH: usize = 16;

/// A request's target, and its lines of fields.
pub(crate) type Ask = (String, String);

/// What became of it.
pub(crate) struct Flooded {
    pub(crate) hot_requests: u64,
    pub(crate) hot_hits: u64,
}

/// Sends so many requests, `cold` for one that nobody else makes and `hot` for one of those that
/// everybody makes.
pub(crate) async fn flood(
    scene: &Scene,
    requests: usize,
    hot: impl Fn(usize) -> Ask,
    cold: impl Fn(usize) -> Ask,
) -> Flooded {
    let warm: Vec<Ask> = (0..HOT).map(&hot).collect();
    let mut client = Client::connect(scene.storefront).await;
    for batch in warm.chunks(BATCH) {
        client.get_all(batch).await;
    }
    let (next, hot_requests, hot_hits) = (Cell::new(0), Cell::new(0), Cell::new(0));
    join_all((0..CONNECTIONS).map(|_| async {
        let mut client = Client::connect(scene.storefront).await;
        while next.get() < requests {
            let from = next.replace(next.get() + BATCH);
            let is_hot = |at: usize| at.is_multiple_of(HOT_IN);
            let ask = |at| if is_hot(at) { hot(at / HOT_IN % HOT) } else { cold(at) };
            let asks: Vec<Ask> = (from..from + BATCH).map(ask).collect();
            for (at, is_hit) in (from..).zip(client.get_all(&asks).await) {
                if is_hot(at) {
                    hot_requests.set(hot_requests.get() + 1);
                    hot_hits.set(hot_hits.get() + u64::from(is_hit));
                }
            }
        }
    }))
    .await;
    Flooded { hot_requests: hot_requests.get(), hot_hits: hot_hits.get() }
}

impl Flooded {
    /// Asserts that what everybody asks for was hit nine times in ten.
    pub(crate) fn assert_hot_set_stayed(&self) {
        let Self { hot_requests, hot_hits } = *self;
        println!("hot: {hot_hits} hits of {hot_requests}");
        assert!(hot_hits * 10 >= hot_requests * 9, "{hot_hits} hits of {hot_requests}");
    }
}

/// Asserts that the node holds no more than its configuration says, and 64 MB.
pub(crate) async fn assert_within(scene: &Scene, max_mib: u64) {
    let resident_mib = scene.node.resident_kib() >> 10;
    let counted = scene.metric("csu_edge_stored_bytes{tier=\"memory\"}").await;
    let entries = scene.metric("csu_edge_stored_entries{tier=\"memory\"}").await;
    println!("resident: {resident_mib} MiB, counted: {} MiB in {entries}", counted >> 20);
    assert!((1..=max_mib << 20).contains(&counted), "{counted}");
    assert!(resident_mib <= max_mib + 64 * 1_000_000 / (1 << 20), "{resident_mib} MiB");
}
