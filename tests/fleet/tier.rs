//! The tier that nodes share.

use crate::support::fleet::{nodes, redis_at};
use crate::support::origin::{Origin, json, price_of};
use crate::support::reads::{PRODUCT, price};
use crate::support::redis::server::Server;

fn priced(
    price: u32,
) -> impl FnMut(&crate::support::origin::Seen) -> http::Response<http_body_util::Full<bytes::Bytes>> + Send
{
    move |_| json(price_of(PRODUCT, "82000", price))
}

#[tokio::test]
async fn a_response_fetched_by_one_node_is_a_hit_on_another() {
    let redis = Server::start(&[]).await;
    let origin = Origin::start(priced(10)).await;
    let [a, b] = nodes(&origin.service_root(), &redis_at(redis.address())).await;

    assert_eq!(a.send(price()).await.price(), 10.0);
    a.shared("written", 1.0).await;
    let got = b.send(price()).await;
    assert_eq!(got.price(), 10.0);
    assert!(got.is_hit(), "{}", got.cache_status());
    assert!(got.cache_status().ends_with("detail=redis"), "{}", got.cache_status());
    assert_eq!(b.answered("Products/GetActivePrices", "hit-redis").await, 1.0);
    // From memory by now.
    let again = b.send(price()).await;
    assert!(again.is_hit() && !again.cache_status().contains("detail"), "{}", again.cache_status());
    assert_eq!(origin.requests(), 1);
}
