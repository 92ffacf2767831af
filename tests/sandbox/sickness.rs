//! Slow, limited and sick; the control paths; the end.

use std::time::Duration;

use csu_edge::sandbox::{Settings, Sickness};
use http::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{FIRST, Scene};

const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn past_the_limit_it_answers_429_and_says_when_to_come_back() {
    let scene = Scene::new(Settings { requests_per_second: Some(2), ..Settings::default() }).await;
    for expected in [StatusCode::OK, StatusCode::OK, StatusCode::TOO_MANY_REQUESTS] {
        assert_eq!(scene.get("GetChannels()").await.status, expected);
    }
    let refused = scene.get("GetChannels()").await;
    assert_eq!(refused.header("retry-after"), "1");
    assert!(refused.error().0.ends_with(".ThrottlingException"));
    let stats = scene.send(Method::GET, "/sandbox/stats", &[], "").await.unwrap();
    assert_eq!(stats.json(), json!({"GetChannels": 4}));
    scene.clock.advance(Duration::from_secs(1));
    assert_eq!(scene.get("GetChannels()").await.status, StatusCode::OK);
}

#[tokio::test]
async fn latency_holds_back_answers_but_not_the_control_paths() {
    let latency = Duration::from_secs(3_600);
    let scene = Scene::new(Settings { latency, ..Settings::default() }).await;
    let answered = tokio::select! {
        _ = scene.get("GetChannels()") => "the operation",
        reply = async {
            loop {
                let reply = scene.send(Method::GET, "/sandbox/stats", &[], "").await.unwrap();
                if reply.json() == json!({"GetChannels": 1}) {
                    break;
                }
            }
        } => { let () = reply; "the control path" }
    };
    assert_eq!(answered, "the control path");
}

#[tokio::test]
async fn a_fault_of_a_status_hits_its_operation_alone_until_it_ends() {
    let scene = Scene::standard().await;
    let fault = json!({"operation": "GetChannels", "status": 503, "for": "10s"});
    assert_eq!(scene.control("faults", &fault).await.status, StatusCode::OK);
    let sick = scene.get("GetChannels()").await;
    assert_eq!(sick.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(sick.error().0.ends_with(".CommunicationException"));
    assert_eq!(scene.get("GetCurrencies()").await.status, StatusCode::OK);
    scene.clock.advance(Duration::from_secs(10));
    assert_eq!(scene.get("GetChannels()").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_truncated_answer_breaks_off_after_its_head_and_half_its_body() {
    let scene = Scene::standard().await;
    let whole = scene.get("Categories").await.bytes;
    assert!(scene.sandbox.fault("*", Sickness::Truncate, Duration::from_secs(5)));
    let error = scene.send(Method::GET, "/Commerce/Categories", &[], "").await.unwrap_err();
    assert!(error.contains("IncompleteBody"), "{error}");
    let mut stream = TcpStream::connect(scene.sandbox.address()).await.unwrap();
    let host = scene.sandbox.address();
    let request = format!("GET /Commerce/Categories HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    tokio::time::timeout(DEADLINE, stream.read_to_end(&mut received)).await.unwrap().unwrap();
    let text = String::from_utf8(received).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", whole.len())), "{head}");
    assert_eq!(body.as_bytes(), &whole[..whole.len() / 2]);
}

#[tokio::test]
async fn a_reset_is_a_reset_and_no_orderly_end() {
    let scene = Scene::standard().await;
    scene.sandbox.fault("GetChannels", Sickness::Reset, Duration::from_secs(5));
    let mut stream = TcpStream::connect(scene.sandbox.address()).await.unwrap();
    stream.write_all(b"GET /Commerce/GetChannels HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut received = Vec::new();
    let read = stream.read_to_end(&mut received);
    let error = tokio::time::timeout(DEADLINE, read).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(received.is_empty());
}

#[tokio::test]
async fn what_hangs_is_answered_when_the_fault_ends_or_is_cleared() {
    let scene = Scene::standard().await;
    scene.sandbox.fault("GetChannels", Sickness::Hang, Duration::from_secs(30));
    for end in [true, false] {
        let hanging = scene.get("GetChannels()");
        let ending = async {
            while scene.sandbox.requests("GetChannels") == 0 {
                tokio::task::yield_now().await;
            }
            if end {
                scene.clock.advance(Duration::from_secs(30));
            } else {
                scene.send(Method::DELETE, "/sandbox/faults", &[], "").await.unwrap();
            }
        };
        let (reply, ()) = tokio::join!(hanging, ending);
        assert_eq!(reply.status, StatusCode::OK);
        scene.sandbox.reset_stats();
        scene.sandbox.fault("*", Sickness::Hang, Duration::from_secs(30));
    }
}

#[tokio::test]
async fn the_control_paths_refuse_what_they_do_not_understand() {
    let scene = Scene::standard().await;
    for (path, body, named) in [
        ("prices", json!({"productId": 7, "price": 1}), "productId"),
        ("prices", json!({"productId": FIRST, "price": -1}), "price"),
        ("prices", json!({"productId": FIRST}), "price"),
        ("prices", json!({"productId": FIRST, "price": 1, "customerId": "x"}), "customerId"),
        ("prices", json!({"productId": FIRST, "price": 1, "extra": 1}), "extra"),
        ("inventory", json!({"productId": FIRST, "warehouse": "x", "available": 1}), "warehouse"),
        (
            "inventory",
            json!({"productId": FIRST, "warehouse": "13", "available": 1e30}),
            "available",
        ),
        ("products", json!({"productId": FIRST, "name": " "}), "name"),
        ("faults", json!({"operation": "Nothing", "status": 503, "for": "1s"}), "operation"),
        ("faults", json!({"operation": "*", "status": 200, "for": "1s"}), "status"),
        ("faults", json!({"operation": "*", "status": "bad", "for": "1s"}), "status"),
        ("faults", json!({"operation": "*", "status": 503, "for": "soon"}), "for"),
        ("faults", json!({"operation": "*", "status": 503, "for": "48h"}), "for"),
    ] {
        let reply = scene.control(path, &body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{path} {body}");
        let why = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(why.contains(named), "{why}");
    }
    let missing = scene.control("nothing", &json!({})).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    let wrong = scene.send(Method::GET, "/sandbox/prices", &[], "").await.unwrap();
    assert_eq!(wrong.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(scene.sandbox.total_requests(), 0);
}

#[tokio::test]
async fn counts_start_again_when_they_are_deleted() {
    let scene = Scene::standard().await;
    scene.get("GetChannels()").await;
    scene.get("Nothing").await;
    let stats = scene.send(Method::GET, "/sandbox/stats", &[], "").await.unwrap().json();
    assert_eq!(stats, json!({"GetChannels": 1, "other": 1}));
    scene.send(Method::DELETE, "/sandbox/stats", &[], "").await.unwrap();
    let stats = scene.send(Method::GET, "/sandbox/stats", &[], "").await.unwrap().json();
    assert_eq!(stats, json!({}));
}

#[tokio::test]
async fn a_body_past_the_limit_is_refused() {
    let scene = Scene::standard().await;
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(9 << 20));
    let path = "/Commerce/Products/GetByIds";
    // The refusal may overtake the upload, which then fails instead.
    if let Ok(reply) = scene.send(Method::POST, path, &[], &body).await {
        assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    }
    assert_eq!(scene.get("GetChannels()").await.status, StatusCode::OK);
}

#[tokio::test]
async fn after_shutdown_nobody_listens() {
    let scene = Scene::standard().await;
    scene.get("GetChannels()").await;
    let address = scene.sandbox.address();
    tokio::time::timeout(DEADLINE, scene.sandbox.shutdown()).await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
