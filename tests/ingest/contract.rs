use super::*;

#[tokio::test]
async fn a_price_event_purges_the_price_hard_and_answers_the_sequence() {
    let node = node();
    let answer = node.short(json!({ "class": "price", "items": ["82000"] })).await;
    answer.is_accepted(json!({ "accepted": 1, "sequence": 1 }));
    assert_eq!(node.state("price/item:82000"), PurgeState::HardPurged);
    assert_eq!(node.state("price/item:?"), PurgeState::HardPurged);
    assert_eq!(node.state("price/item:82001"), PurgeState::Usable);
    assert_eq!(node.state("price/*"), PurgeState::Usable);
    assert!(node.metric(
        r#"csu_edge_purge_events_total{source="short-form",type="csu.cdx.price.changed"} 1"#
    ));
}

#[tokio::test]
async fn rec_ids_past_2_to_53_stay_exact_as_numbers_and_as_strings() {
    let node = node();
    let body = r#"{"class":"price","products":[9007199254740993,"9223372036854775807"]}"#;
    node.post("application/json", body).await.is_accepted(json!({"accepted":1,"sequence":1}));
    assert_eq!(node.state("price/product:9007199254740993"), PurgeState::HardPurged);
    assert_eq!(node.state("price/product:9007199254740992"), PurgeState::Usable);
    assert_eq!(node.state("price/product:9223372036854775807"), PurgeState::HardPurged);
    for no_rec_id in ["9223372036854775808", "1.5", "1e3", "\"12a\"", "true", "[1]"] {
        let body = format!(r#"{{"class":"price","products":[1,{no_rec_id}]}}"#);
        node.post("application/json", body).await.is_malformed(
            "event 0: `products[1]`: must be a RecId: a 64-bit integer, as a number or a string",
        );
    }
    assert_eq!(node.applied(), 1);
}

#[tokio::test]
async fn one_delivery_is_one_purge() {
    let node = node();
    let events = [
        cloud_event("1", "price.changed", json!({ "items": ["a"] })),
        cloud_event("2", "category.changed", json!({ "categories": [7] })),
        cloud_event("3", "inventory.changed", json!({ "warehouses": ["13"] })),
    ];
    node.batch(&events).await.is_accepted(json!({ "accepted": 3, "sequence": 1 }));
    assert_eq!(node.state("price/item:a"), PurgeState::HardPurged);
    assert_eq!(node.state("category/*"), PurgeState::SoftPurged);
    assert_eq!(node.state("inventory/warehouse:13"), PurgeState::HardPurged);
    assert!(node.metric("csu_edge_purges_total{source=\"event\"} 1"));
    node.batch(&[]).await.is_accepted(json!({ "accepted": 0, "sequence": 1 }));
}

#[tokio::test]
async fn binary_mode_takes_its_attributes_from_headers() {
    let node = node();
    let delivery = delivery("application/json; charset=utf-8", r#"{"products":["5"]}"#)
        .header("ce-specversion", "1.0")
        .header("ce-id", "7")
        .header("ce-source", "urn:caf%C3%A9%20%22")
        .header("ce-type", "csu.cdx.inventory.changed")
        .header("ce-time", "2026-04-27T09:59:59Z");
    node.send(delivery.body_of()).await.is_accepted(json!({ "accepted": 1, "sequence": 1 }));
    assert_eq!(node.state("inventory/product:5"), PurgeState::HardPurged);
    assert!(node.metric("csu_edge_purge_lag_seconds_sum 1\n"));
    // The decoded source and the id make it the same event in another mode.
    let again = json!({
        "specversion": "1.0", "id": "7", "source": "urn:café \"",
        "type": "csu.cdx.inventory.changed", "data": { "products": ["5"] },
    });
    node.post("application/cloudevents+json", again.to_string())
        .await
        .is_accepted(json!({ "accepted": 1, "sequence": 1, "duplicates": 1 }));
}

#[tokio::test]
async fn data_may_be_a_string_or_base64_that_holds_the_object() {
    let node = node();
    let text = json!("{\"items\":[\"a\"],\"fromTheFuture\":1}");
    node.event("1", "price.changed", text)
        .await
        .is_accepted(json!({ "accepted": 1, "sequence": 1 }));
    let mut event = cloud_event("2", "price.changed", Value::Null);
    event.as_object_mut().unwrap().remove("data");
    event["data_base64"] = json!(STANDARD.encode(r#"{"items":["b"]}"#));
    node.short(event).await.is_accepted(json!({ "accepted": 1, "sequence": 2 }));
    assert_eq!(node.state("price/item:a"), PurgeState::HardPurged);
    assert_eq!(node.state("price/item:b"), PurgeState::HardPurged);
}

#[tokio::test]
async fn the_event_may_say_how_it_is_purged() {
    let node = node();
    node.short(json!({ "class": "price", "products": [1], "mode": "soft" })).await;
    node.short(json!({ "tags": ["product/product:1", "price/item:2"], "mode": "hard" })).await;
    node.short(json!({ "tags": ["product/product:3", "price/item:3"] })).await;
    assert_eq!(node.state("price/product:1"), PurgeState::SoftPurged);
    assert_eq!(node.state("product/product:1"), PurgeState::HardPurged);
    assert_eq!(node.state("product/product:3"), PurgeState::SoftPurged);
    assert_eq!(node.state("price/item:3"), PurgeState::HardPurged);
}

#[tokio::test]
async fn an_event_over_a_socket_is_answered_once_its_purge_stands() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let node = Arc::new(node());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn({
        let node = Arc::clone(&node);
        async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper::service::service_fn(|request| {
                let node = Arc::clone(&node);
                async move { Ok::<_, std::convert::Infallible>(node.ingest.respond(request).await) }
            });
            hyper::server::conn::http1::Builder::new()
                .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
                .await
        }
    });
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /ingest/cdx HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            PRICE.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(PRICE.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = tokio::time::timeout(Duration::from_secs(10), exchange).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with(r#"{"accepted":1,"sequence":1}"#), "{answer}");
    assert_eq!(node.state("price/item:82000"), PurgeState::HardPurged);
    server.await.unwrap().unwrap();
}
