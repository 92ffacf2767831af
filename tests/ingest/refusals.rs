use super::*;

#[tokio::test]
async fn one_malformed_event_refuses_the_whole_batch_and_is_named() {
    let good = || cloud_event("1", "price.changed", json!({ "items": ["a"] }));
    let bad = |change: fn(&mut Value)| {
        let mut event = cloud_event("2", "price.changed", json!({ "items": ["b"] }));
        change(&mut event);
        event
    };
    let cases: &[(Value, &str)] = &[
        (json!(7), "must be an object"),
        (bad(|e| e["id"] = json!(7)), "`id`: must be a string"),
        (bad(|e| e["source"] = json!("")), "`source`: must not be empty"),
        (bad(|e| e["specversion"] = json!("0.3")), "`specversion`: must be \"1.0\""),
        (bad(|e| e["time"] = json!("noon")), "`time`: must be an RFC 3339 date-time"),
        (bad(|e| e["datacontenttype"] = json!("text/xml")), "`datacontenttype`: must be JSON"),
        (bad(|e| e["data"] = json!(1)), "`data`: must be an object, or a string that holds one"),
        (bad(|e| e["data"] = json!("no")), "`data`: must be an object, or a string that holds one"),
        (bad(|e| e["data"]["items"] = json!("b")), "`data.items`: must be a list"),
        (bad(|e| e["data"]["items"] = json!(["b", 7])), "`data.items[1]`: must be a string"),
        (bad(|e| e["data"]["items"] = json!([""])), "`data.items[0]`: must be of 1 to 256 bytes"),
        (bad(|e| e["data"]["mode"] = json!("firm")), "`data.mode`: must be \"hard\" or \"soft\""),
        (bad(|e| e["data"]["dataAreaId"] = json!(1)), "`data.dataAreaId`: must be a string"),
        (
            bad(|e| e["data"]["effectiveAt"] = json!("2027-04-29T00:00:00Z")),
            "`data.effectiveAt`: must be at most 366 days ahead",
        ),
        (
            bad(|e| e["data"] = json!({ "items": [], "warehouses": ["13"] })),
            "needs at least one of products, items, customers, priceGroups, channels, catalogs",
        ),
        (
            cloud_event("2", "job.applied", json!({ "job": [1040] })),
            "`data.job`: must be a job's number, as a number or a string",
        ),
    ];
    let node = node();
    for (event, message) in cases {
        let batch = [good(), event.clone()];
        node.batch(&batch).await.is_malformed(&format!("event 1: {message}"));
    }
    assert_eq!(node.applied(), 0);
    node.batch(&[good()]).await.is_accepted(json!({ "accepted": 1, "sequence": 1 }));
}

#[tokio::test]
async fn the_short_form_refuses_what_hands_mistype() {
    let node = node();
    let cases = [
        (
            json!({ "class": "prices", "items": ["a"] }),
            "event 0: `class`: must be one of price, inventory, search, product, category, configuration",
        ),
        (json!({ "class": "price", "item": ["a"] }), "event 0: `item`: is not known here"),
        (json!({ "items": ["a"] }), "event 0: needs exactly one of `class`, `type` and `tags`"),
        (
            json!({ "class": "price", "tags": [] }),
            "event 0: needs exactly one of `class`, `type` and `tags`",
        ),
        (json!({ "class": "configuration" }), "event 0: needs at least one of channels"),
        (json!({ "tags": ["price/sku:1"] }), "event 0: `tags[0]`: `sku` is no kind of id"),
        (json!({ "events": 7 }), "`events`: must be a list"),
        (json!({ "events": [], "mode": "hard" }), "nothing may stand beside `events`"),
        (json!([]), "event 0: must be an object"),
    ];
    for (body, message) in cases {
        node.short(body).await.is_malformed(message);
    }
    assert_eq!(node.applied(), 0);
}

/// Found by the random deliveries below: the schema knows no list of short forms.
#[tokio::test]
async fn what_is_sent_as_cloud_events_is_not_read_as_a_short_form() {
    let node = node();
    let message = "event 0: `specversion`: is missing";
    let batch = [json!({ "class": "price", "items": ["a"] })];
    node.batch(&batch).await.is_malformed(message);
    node.post("application/cloudevents+json", PRICE).await.is_malformed(message);
    assert_eq!(node.applied(), 0);
}

#[tokio::test]
async fn what_is_no_delivery_is_told_so() {
    let node = node();
    let get = Request::get("/ingest/cdx").body(Full::default()).unwrap();
    let answer = node.send(get).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.headers["allow"], "POST, OPTIONS");
    let elsewhere = Request::post("/ingest").body(Full::default()).unwrap();
    assert_eq!(node.send(elsewhere).await.status, StatusCode::NOT_FOUND);
    let xml = node.post("application/xml", "<event/>").await;
    assert_eq!(xml.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let packed = price_delivery().header("content-encoding", "gzip");
    assert_eq!(node.send(packed.body_of()).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let twice = r#"{"class":"price","items":["a"],"items":["b"]}"#;
    let twice = node.post("application/json", twice).await;
    twice.is_malformed("no JSON: member \"items\" occurs twice at line 1 column 45");
    assert_eq!(node.applied(), 0);
    assert!(node.metric("csu_edge_ingest_refused_total{reason=\"malformed-event\"} 1"));
}

#[tokio::test]
async fn too_large_a_delivery_is_refused_before_it_is_read() {
    let node = node_with(config::Ingest { body_bytes: 64, events: 2, ..config::Ingest::default() });
    let large = node.post("application/json", vec![b' '; 65]).await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    // A body that does not tell its length is read up to the limit only.
    let pieces = futures_util::stream::iter((0..9).map(|_| {
        Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from_static(b"          ")))
    }));
    let streamed = Request::post("/ingest/cdx")
        .header("content-type", "application/json")
        .body(http_body_util::StreamBody::new(pieces))
        .unwrap();
    let streamed = Answer::of(node.ingest.respond(streamed).await).await;
    assert_eq!(streamed.status, StatusCode::PAYLOAD_TOO_LARGE);
    let many = node.post("application/cloudevents-batch+json", "[1,2,3]").await;
    assert_eq!(many.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn the_validation_handshake_lets_a_sender_deliver() {
    let node = node_with(signed_by(&[SECRET]));
    let ask = Request::options("/ingest/cdx")
        .header("webhook-request-origin", "eventgrid.azure.net")
        .body(Full::default())
        .unwrap();
    let answer = node.send(ask).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["webhook-allowed-origin"], "eventgrid.azure.net");
    assert_eq!(answer.headers["webhook-allowed-rate"], "*");
    let plain = Request::options("/ingest/cdx").body(Full::default()).unwrap();
    assert_eq!(node.send(plain).await.status, StatusCode::NO_CONTENT);
}

/// Pieces of deliveries, right and wrong, put together at random.
fn piece() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!("1.0")),
        Just(json!("csu.cdx.price.changed")),
        Just(json!("csu.cdx.job.applied")),
        Just(json!("price")),
        Just(json!("price/item:1")),
        Just(json!("2026-04-28T00:00:00Z")),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    let name = prop::sample::select(vec![
        "specversion",
        "id",
        "source",
        "type",
        "time",
        "data",
        "class",
        "tags",
        "events",
        "products",
        "items",
        "channels",
        "job",
        "effectiveAt",
        "mode",
        "other",
    ]);
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(name.clone(), inner, 0..8).prop_map(|members| {
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            }),
        ]
    })
}

fn run(check: impl AsyncFn()) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(check());
}

proptest! {
    #[test]
    fn whatever_arrives_is_applied_whole_or_not_at_all(
        body in prop_oneof![
            piece().prop_map(|value| value.to_string().into_bytes()),
            prop::collection::vec(any::<u8>(), 0..64),
        ],
        content_type in prop::sample::select(vec![
            "application/json",
            "application/cloudevents+json",
            "application/cloudevents-batch+json",
            "text/plain",
        ]),
    ) {
        run(async || {
            let node = node();
            let answer = node.post(content_type, body.clone()).await;
            if answer.status == StatusCode::OK {
                assert_eq!(answer.body["sequence"], node.applied());
            } else {
                assert!(answer.status.is_client_error());
                assert_eq!(node.applied(), 0);
                assert!(answer.body["error"]["message"].is_string());
            }
        });
    }

    #[test]
    fn a_batch_with_one_wrong_event_anywhere_moves_nothing(
        right in 0_usize..8,
        at in 0_usize..8,
        wrong in piece(),
    ) {
        run(async || {
            let node = node();
            let mut events: Vec<Value> = (0..right)
                .map(|id| cloud_event(&id.to_string(), "price.changed", json!({"items": ["a"]})))
                .collect();
            let at = at.min(events.len());
            events.insert(at, json!({ "specversion": "1.0", "id": [wrong.clone()] }));
            let answer = node.batch(&events).await;
            answer.is_malformed(&format!("event {at}: `source`: is missing"));
            assert_eq!(node.applied(), 0);
        });
    }
}
