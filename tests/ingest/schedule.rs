use super::*;

const MINUTE: Duration = Duration::from_secs(60);

async fn product_changed(node: &Node, id: u32, categories: Value) -> u64 {
    let body = json!({ "class": "product", "products": [id], "categories": categories });
    node.short(body).await.body["sequence"].as_u64().unwrap()
}

#[tokio::test]
async fn searches_are_purged_at_once_and_then_once_a_span() {
    let node = node();
    assert_eq!(product_changed(&node, 1, json!([7])).await, 1);
    assert_eq!(node.state("search/category:7"), PurgeState::SoftPurged);
    assert_eq!(node.state("search/category:?"), PurgeState::SoftPurged);

    node.pass(Duration::from_secs(1)).await;
    let since = node.plane.stamp();
    assert_eq!(product_changed(&node, 2, json!([7])).await, 2);
    assert_eq!(product_changed(&node, 3, json!([8])).await, 3);
    assert_eq!(node.state("product/product:3"), PurgeState::SoftPurged);
    assert_eq!(node.state_since("search/category:7", since), PurgeState::Usable);
    assert!(node.metric("csu_edge_purges_scheduled 1"));

    node.pass(Duration::from_millis(58_999)).await;
    assert_eq!(node.applied(), 3);
    node.clock.advance(Duration::from_millis(1));
    node.applied_reaches(4).await;
    for tag in ["search/category:7", "search/category:8", "search/category:?"] {
        assert_eq!(node.state_since(tag, since), PurgeState::SoftPurged, "{tag}");
    }
    assert!(node.metric("csu_edge_purges_scheduled 0"));

    // The gathered purge opened a span of its own; an empty one purges nothing.
    assert_eq!(product_changed(&node, 4, json!([])).await, 5);
    node.clock.advance(MINUTE);
    node.applied_reaches(6).await;
    assert_eq!(node.state("search/*"), PurgeState::SoftPurged);
    node.pass(10 * MINUTE).await;
    assert_eq!(node.applied(), 6);
}

#[tokio::test]
async fn without_a_span_every_change_purges_its_searches_at_once() {
    let settings =
        config::Ingest { search_purge_interval: Duration::ZERO, ..config::Ingest::default() };
    let node = node_with(settings);
    for number in 1..=3 {
        let since = node.plane.stamp();
        product_changed(&node, number, json!([])).await;
        assert_eq!(node.state_since("search/*", since), PurgeState::SoftPurged);
    }
    assert_eq!(node.applied(), 3);
}

#[tokio::test]
async fn a_change_that_takes_effect_later_is_purged_now_and_again_then() {
    let node = node();
    let members = json!({ "items": ["a"], "effectiveAt": "2026-04-27T12:01:00+02:00" });
    let answer = node.event("1", "price.changed", members).await;
    answer.is_accepted(json!({ "accepted": 1, "sequence": 1 }));
    assert_eq!(node.state("price/item:a"), PurgeState::HardPurged);
    assert!(node.metric("csu_edge_purges_scheduled 1"));

    let since = node.plane.stamp();
    node.pass(Duration::from_millis(59_999)).await;
    assert_eq!(node.state_since("price/item:a", since), PurgeState::Usable);
    node.clock.advance(Duration::from_millis(1));
    node.applied_reaches(2).await;
    assert_eq!(node.state_since("price/item:a", since), PurgeState::HardPurged);
    assert!(node.metric("csu_edge_purges_scheduled 0"));
    assert!(node.metric("csu_edge_purges_total{source=\"schedule\"} 1"));
    node.pass(10 * MINUTE).await;
    assert_eq!(node.applied(), 2);
}

#[tokio::test]
async fn moments_come_in_their_order_whatever_the_order_of_the_events() {
    let node = node();
    for (item, at) in [("c", "10:03"), ("a", "10:01"), ("b", "10:02"), ("aa", "10:01")] {
        let moment = format!("2026-04-27T{at}:00Z");
        node.short(json!({ "class": "price", "items": [item], "effectiveAt": moment })).await;
    }
    let since = node.plane.stamp();
    for (number, due) in [(5, &["a", "aa"][..]), (6, &["b"]), (7, &["c"])] {
        node.clock.advance(MINUTE);
        node.applied_reaches(number).await;
        for item in due {
            let tag = format!("price/item:{item}");
            assert_eq!(node.state_since(&tag, since), PurgeState::HardPurged);
        }
    }
}

#[tokio::test]
async fn an_effective_moment_that_has_come_is_purged_once() {
    let node = node();
    let members = json!({ "items": ["a"], "effectiveAt": "2026-04-27T10:00:00Z" });
    node.event("1", "price.changed", members).await;
    node.pass(10 * MINUTE).await;
    assert_eq!(node.applied(), 1);
}

#[tokio::test]
async fn a_full_schedule_refuses_the_delivery_and_applies_none_of_it() {
    let node = node_with(config::Ingest { scheduled: 2, ..config::Ingest::default() });
    let later = |id: &str| {
        let members = json!({ "items": [id], "effectiveAt": "2026-04-27T10:01:00Z" });
        cloud_event(id, "price.changed", members)
    };
    node.batch(&[later("1")]).await.is_accepted(json!({ "accepted": 1, "sequence": 1 }));
    let refused = node.batch(&[later("2"), later("3")]).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers["retry-after"], "60");
    assert_eq!(node.applied(), 1);
    assert_eq!(node.state("price/item:2"), PurgeState::Usable);
    node.clock.advance(MINUTE);
    node.applied_reaches(2).await;
    let members = json!({ "items": ["2"], "effectiveAt": "2026-04-27T10:02:00Z" });
    let retried = node.event("2", "price.changed", members).await;
    retried.is_accepted(json!({ "accepted": 1, "sequence": 3 }));
}

#[tokio::test]
async fn what_waits_ends_with_its_owner() {
    let Node { plane, clock, ingest, .. } = node();
    let body = json!({ "class": "price", "items": ["a"], "effectiveAt": "2026-04-27T10:01:00Z" });
    let request = delivery("application/json", body.to_string()).body_of();
    ingest.respond(request).await;
    drop(ingest);
    clock.advance(MINUTE);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(plane.stamp().sequence.as_u64(), 1);
    assert_eq!(Arc::strong_count(&plane), 1, "the task is gone");
}
