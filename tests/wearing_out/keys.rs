//! Keys chosen to collide: what a digest is cannot be known outside of its process.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use csu_edge::clock::{Clock, Timestamp};
use csu_edge::config::Config;
use csu_edge::metrics::Metrics;
use csu_edge::operation::Catalogue;
use csu_edge::proxy::Engine;
use csu_edge::purge::{PurgePlane, Purger};
use http::{HeaderMap, HeaderValue, Method};

fn engine() -> Engine {
    let clock = Clock::manual(Timestamp::from_millis(1_777_284_000_000));
    let config = Config::for_origin("http://origin.test/Commerce".parse().unwrap());
    let catalogue = Catalogue::new(&config.operations, &config.classes).unwrap();
    let plane = Arc::new(PurgePlane::new(clock.clone(), Duration::from_secs(3_600), 1_000));
    Engine::new(config, catalogue, Purger::Alone(plane), Metrics::new().unwrap(), clock).unwrap()
}

#[test]
fn two_nodes_digest_one_question_differently() {
    let mut headers = HeaderMap::new();
    headers.insert("x-theme", HeaderValue::from_static("dark"));
    let names = [http::HeaderName::from_static("x-theme")];
    let (mut full, mut low, mut high) = (HashSet::new(), HashSet::new(), HashSet::new());
    for _ in 0..8 {
        let engine = engine();
        let uri = "/media/a.png".parse().unwrap();
        let resource = engine.resource(&Method::GET, &uri, &headers).unwrap();
        let variant = resource.variant_key(&names, &engine.key_seed);
        for (at, key) in [resource.key(), &variant].into_iter().enumerate() {
            full.insert((at, key.full().to_vec()));
            // Tables look at either end of a hash.
            low.insert(key.digest() as u64);
            high.insert(key.digest() >> 64);
        }
    }
    assert_eq!((full.len(), low.len(), high.len()), (2, 16, 16));
}
