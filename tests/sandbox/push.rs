//! Events: what they say, how they are signed, when they are sent.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use csu_edge::config::Secret;
use csu_edge::sandbox::{Push, Pushed, Settings};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

use crate::client::{FIRST, Scene};

const SECRET: &[u8] = b"twenty-four bytes of it!";
const DEADLINE: Duration = Duration::from_secs(20);

/// An ingest endpoint that answers as it is told, in turn, and 200 after that.
struct Ingest {
    url: String,
    received: mpsc::UnboundedReceiver<(HeaderMap, Bytes)>,
}

impl Ingest {
    async fn start(answers: Vec<StatusCode>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ingest/cdx", listener.local_addr().unwrap());
        let (sender, received) = mpsc::unbounded_channel();
        let answers = Arc::new(Mutex::new(answers.into_iter()));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (sender, answers) = (sender.clone(), Arc::clone(&answers));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (sender, answers) = (sender.clone(), Arc::clone(&answers));
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        sender.send((parts.headers, body)).unwrap();
                        let status = answers.lock().await.next().unwrap_or(StatusCode::OK);
                        let response = Response::builder().status(status);
                        response.body(Full::<Bytes>::default())
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, received }
    }

    fn push(&self, delay: Duration) -> Settings {
        let secret = Secret::new(format!("whsec_{}", STANDARD.encode(SECRET)));
        let push = Push { url: self.url.parse().unwrap(), secret, delay };
        Settings { push: Some(push), ..Settings::default() }
    }

    /// The next event, its signature verified.
    async fn event(&mut self) -> Value {
        let received = tokio::time::timeout(DEADLINE, self.received.recv()).await;
        let (headers, body) = received.unwrap().unwrap();
        let header = |name: &str| headers[name].to_str().unwrap();
        assert_eq!(header("content-type"), "application/cloudevents+json");
        let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
        let signature = header("webhook-signature").strip_prefix("v1,").unwrap();
        let mut signed = format!("{id}.{timestamp}.").into_bytes();
        signed.extend_from_slice(&body);
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
        hmac::verify(&key, &signed, &STANDARD.decode(signature).unwrap()).unwrap();
        let event: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(event["id"], id);
        event
    }
}

#[tokio::test]
async fn each_kind_of_change_sends_its_signed_event_before_it_is_answered() {
    let mut ingest = Ingest::start(Vec::new()).await;
    let scene = Scene::new(ingest.push(Duration::ZERO)).await;
    let change = json!({"productId": FIRST, "price": 12.34, "customerId": "2001"});
    assert_eq!(scene.control("prices", &change).await.json(), json!({"pushed": true}));
    let event = ingest.event().await;
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["type"], "csu.cdx.price.changed");
    assert_eq!(event["source"], "/csu-sandbox");
    assert_eq!(event["time"], "2026-04-27T10:00:00.000Z");
    let data = json!({"dataAreaId": "usmf", "products": [FIRST], "items": ["82000"],
        "customers": ["2001"]});
    assert_eq!(event["data"], data);

    let change = json!({"productId": FIRST + 1, "warehouse": "13", "available": 4});
    assert_eq!(scene.control("inventory", &change).await.json(), json!({"pushed": true}));
    let event = ingest.event().await;
    assert_eq!(event["type"], "csu.cdx.inventory.changed");
    let data = json!({"dataAreaId": "usmf", "products": [FIRST + 1], "items": ["82001"],
        "warehouses": ["13"]});
    assert_eq!(event["data"], data);

    assert_eq!(scene.sandbox.set_name(FIRST + 12, "New").await, Ok(Pushed::Acknowledged));
    let event = ingest.event().await;
    assert_eq!(event["type"], "csu.cdx.product.changed");
    assert_eq!(event["data"]["products"], json!([FIRST + 12, FIRST + 11]));
    assert_eq!(event["data"]["items"], json!(["82011"]));
    let categories = event["data"]["categories"].as_array().unwrap();
    assert_eq!((categories.len(), &categories[2]), (3, &json!(5_637_144_576_i64)));
}

#[tokio::test]
async fn an_event_that_is_not_acknowledged_is_sent_again_under_the_same_id() {
    let mut ingest = Ingest::start(vec![StatusCode::SERVICE_UNAVAILABLE]).await;
    let scene = Scene::new(ingest.push(Duration::ZERO)).await;
    assert_eq!(scene.sandbox.set_price(FIRST, 1.0, None).await, Ok(Pushed::Acknowledged));
    let first = ingest.event().await;
    assert_eq!(first["id"], ingest.event().await["id"]);
}

#[tokio::test]
async fn after_three_tries_the_change_stands_and_the_answer_says_what_failed() {
    let mut ingest = Ingest::start(vec![StatusCode::UNAUTHORIZED; 3]).await;
    let scene = Scene::new(ingest.push(Duration::ZERO)).await;
    let reply = scene.control("prices", &json!({"productId": FIRST, "price": 2.5})).await;
    assert_eq!(reply.status, StatusCode::OK);
    let expected = json!({"pushed": false, "error": "answered 401 Unauthorized"});
    assert_eq!(reply.json(), expected);
    for _ in 0..3 {
        ingest.event().await;
    }
    let price = scene.get(&format!("Products({FIRST})/GetPrice()")).await.json();
    assert_eq!(price["AdjustedPrice"], 2.5);
}

#[tokio::test]
async fn with_a_delay_the_event_is_sent_when_it_is_over() {
    let mut ingest = Ingest::start(Vec::new()).await;
    let scene = Scene::new(ingest.push(Duration::from_secs(60))).await;
    let reply = scene.control("prices", &json!({"productId": FIRST, "price": 2.5})).await;
    assert_eq!(reply.json(), json!({"pushed": false, "queued": true}));
    scene.clock.advance(Duration::from_millis(59_999));
    tokio::task::yield_now().await;
    assert!(ingest.received.try_recv().is_err());
    scene.clock.advance(Duration::from_millis(1));
    let event = ingest.event().await;
    assert_eq!(event["time"], "2026-04-27T10:00:00.000Z");
    tokio::time::timeout(DEADLINE, scene.sandbox.shutdown()).await.unwrap();
}
