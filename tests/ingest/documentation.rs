//! What the documents show is what the endpoint takes.

use super::*;

const PAGE: &str = include_str!("../../docs/push-events.md");

/// The fenced blocks of one language.
fn blocks(language: &str) -> Vec<&'static str> {
    let opening = format!("```{language}\n");
    PAGE.split(&opening).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[tokio::test]
async fn every_example_is_accepted_and_fits_the_schema() {
    let examples = blocks("json");
    assert!(examples.len() >= 7);
    for example in examples {
        let content_type = if example.starts_with('[') {
            "application/cloudevents-batch+json"
        } else {
            "application/json"
        };
        let answer = node().post(content_type, example).await;
        assert_eq!(answer.status, StatusCode::OK, "{example}: {}", answer.body);
        assert_eq!(answer.body["sequence"], 1);
        assert_eq!(answer.body.get("deadLettered"), None);
    }
}

/// Reads the `-H '…'` and `-d '…'` of a command line.
fn request_of(command: &str) -> Delivery {
    let quoted = |option: &str| {
        let opening = format!("{option} '");
        let rests: Vec<&str> = command.split(&opening).skip(1).collect();
        rests.into_iter().map(|rest| rest.split('\'').next().unwrap()).collect::<Vec<&str>>()
    };
    let [body] = quoted("-d")[..] else { panic!("one body in {command}") };
    let mut builder = Request::post("/ingest/cdx");
    for field in quoted("-H") {
        let (name, value) = field.split_once(": ").unwrap();
        builder = builder.header(name, value);
    }
    Delivery { builder, body: Bytes::from_static(body.to_owned().leak().as_bytes()) }
}

#[tokio::test]
async fn every_command_with_a_literal_body_is_accepted() {
    let commands: Vec<&str> =
        blocks("bash").into_iter().filter(|command| command.contains("-d '{")).collect();
    assert!(commands.len() >= 2);
    for command in commands {
        let node = node_with(config::Ingest {
            bearer_tokens: vec![Secret::new("a-long-random-token".to_owned())],
            ..config::Ingest::default()
        });
        let answer = node.send(request_of(command).body_of()).await;
        assert_eq!(answer.status, StatusCode::OK, "{command}: {}", answer.body);
        assert_eq!(answer.body["sequence"], 1);
    }
}

#[tokio::test]
async fn the_schema_refuses_what_the_endpoint_refuses() {
    let wrong = [
        json!({ "class": "prices", "items": ["a"] }),
        json!({ "class": "price", "item": ["a"], "items": ["a"] }),
        json!({ "class": "price" }),
        json!({ "class": "price", "items": [] }),
        json!({ "class": "price", "items": [7] }),
        json!({ "class": "price", "products": ["7a"] }),
        json!({ "class": "price", "products": [1.5] }),
        json!({ "items": ["a"] }),
        json!({ "class": "price", "tags": ["*"] }),
        json!({ "tags": ["price/sku:1"] }),
        json!({ "tags": [] }),
        json!({ "class": "price", "items": ["a"], "mode": "firm" }),
        json!({ "type": "csu.cdx.job.applied" }),
        json!({ "type": "csu.cdx.channel.changed", "items": ["a"] }),
        json!({ "events": [{ "class": "price" }] }),
        json!([{ "class": "price", "items": ["a"] }, 7]),
        json!({ "specversion": "1.0", "type": "x", "source": "y" }),
        cloud_event("1", "price.changed", json!({ "items": "a" })),
        cloud_event("1", "inventory.changed", json!({ "customers": ["a"] })),
        cloud_event("1", "job.applied", json!({ "job": null })),
        cloud_event("", "price.changed", json!({ "items": ["a"] })),
    ];
    for body in wrong {
        assert!(!SCHEMA.is_valid(&body), "the schema takes {body}");
        let content_type =
            if body.is_array() { "application/cloudevents-batch+json" } else { "application/json" };
        let answer = node().post(content_type, body.to_string()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "the endpoint takes {body}");
    }
}
