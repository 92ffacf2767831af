use super::*;

async fn is_refused(node: &Node, delivery: Delivery, reason: &str) {
    let before = node.applied();
    let answer = node.send(delivery.body_of()).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let body = json!({
        "error": { "code": "csu-edge.unauthenticated", "message": "not authenticated" }
    });
    assert_eq!(answer.body, body, "a 401 does not say why");
    assert_eq!(node.applied(), before);
    let line = format!("csu_edge_ingest_refused_total{{reason=\"{reason}\"}}");
    assert!(node.metric(&line), "{line}");
}

#[tokio::test]
async fn any_configured_secret_verifies_any_of_the_signatures() {
    let node = node_with(signed_by(&[SECRET, NEXT_SECRET]));
    let unknown = "whsec_bm9ib2R5IGhlcmUga25vd3MgdGhpcyBvbmUh";
    for (id, secrets) in
        [("1", &[SECRET][..]), ("2", &[NEXT_SECRET]), ("3", &[unknown, NEXT_SECRET])]
    {
        let answer = node.send(price_delivery().signed(id, SECONDS, secrets).body_of()).await;
        assert_eq!(answer.status, StatusCode::OK, "{id}");
    }
    assert_eq!(node.applied(), 3);
    is_refused(&node, price_delivery().signed("4", SECONDS, &[unknown]), "wrong-signature").await;
    is_refused(&node, price_delivery(), "no-credentials").await;
}

#[tokio::test]
async fn the_published_example_of_standard_webhooks_verifies() {
    let node = node_with(signed_by(&[SECRET]));
    // Back to the example's own time: a manual clock only goes forward, so the tolerance does.
    let node_then = node_with(config::Ingest {
        tolerance: Duration::from_secs(SECONDS - 1_614_265_330),
        ..signed_by(&[SECRET])
    });
    let example = || {
        delivery("application/json", r#"{"test": 2432232314}"#)
            .header("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
            .header("webhook-timestamp", "1614265330")
            .header("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
    };
    // Verified, and then read: it is no event.
    let answer = node_then.send(example().body_of()).await;
    answer.is_malformed("event 0: needs exactly one of `class`, `type` and `tags`");
    is_refused(&node, example(), "timestamp-outside-tolerance").await;
}

#[tokio::test]
async fn a_signature_holds_for_its_bytes_its_id_and_its_time_alone() {
    let node = node_with(signed_by(&[SECRET]));
    let signed = || price_delivery().signed("1", SECONDS, &[SECRET]);
    let mut other_body = signed();
    other_body.body = Bytes::from(PRICE.replace("82000", "82001"));
    is_refused(&node, other_body, "wrong-signature").await;
    for (name, value, reason) in [
        ("webhook-id", "2".to_owned(), "wrong-signature"),
        ("webhook-timestamp", (SECONDS - 1).to_string(), "wrong-signature"),
        ("webhook-timestamp", "soon".to_owned(), "malformed-signature"),
        ("webhook-signature", "v1a,AAAA".to_owned(), "malformed-signature"),
        ("webhook-id", String::new(), "malformed-signature"),
    ] {
        let mut changed = signed();
        changed.builder.headers_mut().unwrap().insert(name, value.parse().unwrap());
        is_refused(&node, changed, reason).await;
        let _ = name;
    }
    let twice = signed().header("webhook-id", "1");
    is_refused(&node, twice, "malformed-signature").await;
}

#[tokio::test]
async fn a_timestamp_may_be_off_by_the_tolerance_and_not_by_a_second_more() {
    let node = node_with(signed_by(&[SECRET]));
    for (id, seconds) in [("1", SECONDS - 300), ("2", SECONDS + 300)] {
        let delivery = price_delivery().signed(id, seconds, &[SECRET]);
        assert_eq!(node.send(delivery.body_of()).await.status, StatusCode::OK);
    }
    for seconds in [SECONDS - 301, SECONDS + 301, 0, u64::MAX] {
        let delivery = price_delivery().signed("3", seconds, &[SECRET]);
        is_refused(&node, delivery, "timestamp-outside-tolerance").await;
    }
}

#[tokio::test]
async fn a_replayed_delivery_is_accepted_and_purges_nothing_for_as_long_as_it_verifies() {
    let node = node_with(signed_by(&[SECRET]));
    let ahead = || price_delivery().signed("1", SECONDS + 300, &[SECRET]).body_of();
    node.send(ahead()).await.is_accepted(json!({ "accepted": 1, "sequence": 1 }));
    node.clock.advance(Duration::from_millis(600_999));
    let replayed = node.send(ahead()).await;
    replayed.is_accepted(json!({ "accepted": 1, "sequence": 1, "duplicates": 1 }));
    node.clock.advance(Duration::from_millis(1));
    assert_eq!(node.send(ahead()).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_refused_delivery_is_not_remembered_so_its_retry_counts() {
    let node = node_with(config::Ingest { scheduled: 0, ..signed_by(&[SECRET]) });
    let body = r#"{"class":"price","items":["1"],"effectiveAt":"2026-04-28T00:00:00Z"}"#;
    let try_once = || delivery("application/json", body).signed("1", SECONDS, &[SECRET]);
    for _ in 0..2 {
        let answer = node.send(try_once().body_of()).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[tokio::test]
async fn any_configured_token_authenticates() {
    let tokens = ["first token", "second"].map(|token| Secret::new(token.to_owned()));
    let node =
        node_with(config::Ingest { bearer_tokens: tokens.to_vec(), ..config::Ingest::default() });
    for value in ["Bearer first token", "bearer second"] {
        let delivery = price_delivery().header("authorization", value);
        assert_eq!(node.send(delivery.body_of()).await.status, StatusCode::OK);
    }
    for value in ["Bearer ", "Bearer secon", "Bearer second2", "Bearer third"] {
        let delivery = price_delivery().header("authorization", value);
        is_refused(&node, delivery, "unknown-token").await;
    }
    let basic = price_delivery().header("authorization", "Basic c2Vjb25k");
    is_refused(&node, basic, "no-credentials").await;
}

#[tokio::test]
async fn a_wrong_signature_is_not_made_good_by_a_token() {
    let mut settings = signed_by(&[SECRET]);
    settings.bearer_tokens = vec![Secret::new("token".to_owned())];
    let node = node_with(settings);
    let both = price_delivery()
        .signed("1", SECONDS, &[NEXT_SECRET])
        .header("authorization", "Bearer token");
    is_refused(&node, both, "wrong-signature").await;
    let token_alone = price_delivery().header("authorization", "Bearer token");
    assert_eq!(node.send(token_alone.body_of()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_secret_that_is_none_is_named_by_its_place() {
    let clock = Clock::manual(NOW);
    let plane = PurgePlane::new(clock.clone(), Duration::from_secs(1), 10);
    let purger = Purger::Alone(Arc::new(plane));
    let start = |secrets: &[&str]| {
        let metrics = Metrics::new().unwrap();
        let made = Ingest::new(signed_by(secrets), purger.clone(), metrics, clock.clone());
        made.map(|_| ()).unwrap_err().to_string()
    };
    let form = "ingest.hmac_secrets[1] is not `whsec_` followed by base64";
    assert_eq!(start(&[SECRET, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]), form);
    assert_eq!(start(&[SECRET, "whsec_*"]), form);
    assert_eq!(start(&["whsec_c2hvcnQ="]), "ingest.hmac_secrets[0] is not of 24 to 64 bytes");
}
