use super::*;

#[tokio::test]
async fn an_unknown_type_is_kept_and_the_rest_of_the_batch_applied() {
    let node = node();
    let unknown = cloud_event("1", "price.forgotten", json!(7));
    let events = [unknown.clone(), cloud_event("2", "price.changed", json!({"items":["a"]}))];
    let answer = node.batch(&events).await;
    answer.is_accepted(json!({ "accepted": 2, "sequence": 1, "deadLettered": 1 }));
    assert_eq!(node.state("price/item:a"), PurgeState::HardPurged);
    let kept = node.ingest.dead_letters().newest(10);
    assert_eq!(kept.len(), 1);
    let expected = json!({
        "receivedAt": "2026-04-27T10:00:00.000Z", "reason": "unknown-type",
        "type": "csu.cdx.price.forgotten", "source": "urn:test", "id": "1",
        "truncated": false, "event": unknown,
    });
    assert_eq!(kept[0].to_json(), expected);
    assert!(node.metric("csu_edge_dead_letters_total{reason=\"unknown-type\"} 1"));
    assert!(node.metric("csu_edge_dead_letters_kept 1"));
}

#[tokio::test]
async fn an_unknown_job_is_kept_and_moves_nothing() {
    let node = node();
    let answer = node.short(json!({ "type": "csu.cdx.job.applied", "job": 1234 })).await;
    answer.is_accepted(json!({ "accepted": 1, "sequence": 0, "deadLettered": 1 }));
    let answer = node.short(json!({ "type": "contoso.new", "any": "member" })).await;
    answer.is_accepted(json!({ "accepted": 1, "sequence": 0, "deadLettered": 1 }));
    let kept = node.ingest.dead_letters().newest(10);
    assert_eq!(kept[1].to_json()["reason"], "unknown-job");
    assert_eq!(kept[0].to_json()["event"]["any"], "member");
}

#[tokio::test]
async fn a_repeated_unknown_event_is_kept_once_and_a_refused_batch_keeps_none() {
    let node = node();
    let unknown = cloud_event("1", "x", json!({}));
    let refused = node.batch(&[unknown.clone(), json!(7)]).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(node.ingest.dead_letters().is_empty());
    node.batch(std::slice::from_ref(&unknown)).await;
    node.batch(&[unknown]).await;
    assert_eq!(node.ingest.dead_letters().len(), 1);
}
