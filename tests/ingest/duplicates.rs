use super::*;

#[tokio::test]
async fn an_event_seen_before_is_accepted_and_purges_nothing() {
    let node = node();
    let send = || node.event("1", "price.changed", json!({ "items": ["a"] }));
    send().await.is_accepted(json!({ "accepted": 1, "sequence": 1 }));
    send().await.is_accepted(json!({ "accepted": 1, "sequence": 1, "duplicates": 1 }));
    let other = node.event("2", "price.changed", json!({ "items": ["a"] })).await;
    other.is_accepted(json!({ "accepted": 1, "sequence": 2 }));
    assert!(node.metric("csu_edge_duplicate_events_total 1"));
}

#[tokio::test]
async fn the_same_id_twice_in_one_batch_purges_once() {
    let node = node();
    let events = [
        cloud_event("1", "price.changed", json!({ "items": ["a"] })),
        cloud_event("1", "price.changed", json!({ "items": ["b"] })),
    ];
    let answer = node.batch(&events).await;
    answer.is_accepted(json!({ "accepted": 2, "sequence": 1, "duplicates": 1 }));
    assert_eq!(node.state("price/item:b"), PurgeState::Usable);
}

#[tokio::test]
async fn the_same_id_from_another_source_is_another_event() {
    let node = node();
    node.event("1", "price.changed", json!({ "items": ["a"] })).await;
    let mut other = cloud_event("1", "price.changed", json!({ "items": ["a"] }));
    other["source"] = json!("urn:other");
    node.short(other).await.is_accepted(json!({ "accepted": 1, "sequence": 2 }));
}

#[tokio::test]
async fn an_event_in_a_refused_batch_is_not_remembered() {
    let node = node();
    let good = cloud_event("1", "price.changed", json!({ "items": ["a"] }));
    let refused = node.batch(&[good.clone(), json!(7)]).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    node.batch(&[good]).await.is_accepted(json!({ "accepted": 1, "sequence": 1 }));
}

#[tokio::test]
async fn an_id_is_remembered_for_a_day_and_within_the_configured_number() {
    let node = node_with(config::Ingest { remembered_ids: 2, ..config::Ingest::default() });
    for (id, sequence) in [("1", 1), ("2", 2), ("3", 3), ("1", 4)] {
        let answer = node.event(id, "price.changed", json!({ "items": ["a"] })).await;
        answer.is_accepted(json!({ "accepted": 1, "sequence": sequence }));
    }
    node.clock.advance(Duration::from_secs(24 * 60 * 60));
    let again = node.event("1", "price.changed", json!({ "items": ["a"] })).await;
    again.is_accepted(json!({ "accepted": 1, "sequence": 4, "duplicates": 1 }));
    node.clock.advance(Duration::from_secs(1));
    let again = node.event("1", "price.changed", json!({ "items": ["a"] })).await;
    again.is_accepted(json!({ "accepted": 1, "sequence": 5 }));
}
