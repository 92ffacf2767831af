//! Before a node stops accepting, it can say for a while that it is about to.

use std::time::Instant;

use super::Place;
use super::client::{self, Connection, PATIENCE};
use super::load::{EVENT, HIT};

#[test]
fn a_node_that_is_told_to_stop_accepts_until_its_balancer_knows() {
    let place = Place::new();
    let node = place.serve(&[("CSU_EDGE__LISTEN__DRAIN_DELAY", "3s")]);
    let (storefront, control) = (node.address("storefront"), node.address("control"));
    let mut kept = Connection::open(storefront).unwrap();
    assert!(!kept.get(HIT).unwrap().is_last());
    node.process.signal("TERM");
    let told = Instant::now();
    loop {
        let ready = client::get(control, "/ready").unwrap();
        if ready.status == 503 {
            assert_eq!(ready.body, "{\"ready\":false,\"reasons\":[\"draining\"]}");
            break;
        }
        assert!(told.elapsed() < PATIENCE);
    }
    // Both are served, and told to come by another way next time.
    let got = client::get(storefront, HIT).unwrap();
    assert!(got.status == 200 && got.is_last(), "{got:?}");
    let got = kept.get(HIT).unwrap();
    assert!(got.status == 200 && got.is_last(), "{got:?}");
    let got = client::post(node.address("ingest"), "/ingest/cdx", EVENT).unwrap();
    assert!(got.status == 200 && got.is_last(), "{got:?}");
    node.ends_with_0();
    assert!(told.elapsed().as_secs() >= 3);
}

#[test]
fn a_second_signal_does_not_wait_for_the_delay() {
    let place = Place::new();
    let node = place.serve(&[("CSU_EDGE__LISTEN__DRAIN_DELAY", "1h")]);
    node.process.signal("TERM");
    node.process.logged("draining");
    node.process.signal("TERM");
    assert_eq!(node.process.ended().code(), Some(128 + 15));
}

#[test]
fn a_signal_to_a_process_that_was_relieved_changes_nothing_and_a_second_ends_it() {
    let place = Place::new();
    let old = place.serve(&[]);
    let mut running = Connection::open(old.address("storefront")).unwrap();
    running.send("GET /Commerce/held HTTP/1.1\r\nhost: shop\r\n\r\n").unwrap();
    place.origin().holds_one();
    let _new = place.serve(&[]);
    old.process.logged("another process serves");
    old.process.signal("TERM");
    old.process.logged("draining already");
    old.process.signal("TERM");
    assert_eq!(old.process.ended().code(), Some(128 + 15));
}
