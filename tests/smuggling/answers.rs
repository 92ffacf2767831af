//! What a broken or hostile origin sends: RFC 9112 §6.3, §9.2 and §11.1. No client gets what was
//! not the answer to its own request.

use super::support::raw::Recorder;
use super::support::wire::field;
use super::{ANSWER, Scene};

const ASK: &str = "GET /Commerce/x HTTP/1.1\r\nhost: shop.example\r\n\r\n";

/// What the origin smuggles behind its answer.
const POISON: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";

async fn scene(answer: &'static str) -> Scene {
    Scene::before(Recorder::start(answer).await).await
}

/// What two clients get, one after the other, of an origin that answers so.
async fn told(answer: &'static str) -> [(String, String); 2] {
    let scene = scene(answer).await;
    let mut told = Vec::new();
    for _ in 0..2 {
        let mut client = scene.client().await;
        client.send(ASK).await;
        told.push(client.message().await);
    }
    told.try_into().unwrap()
}

#[tokio::test]
async fn an_answer_that_can_be_read_in_two_ways_is_none() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 8\r\n\r\nokpoison",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 2, 8\r\n\r\nokpoison",
        "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: \r\n\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nok",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nx: a\rb\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nx y: a\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nx : a\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 2000 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/2 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "<html>what HTTP/0.9 would have said</html>",
    ] {
        for (head, body) in told(answer).await {
            assert!(head.starts_with("HTTP/1.1 502 "), "{answer:?}: {head}");
            assert!(body.contains("csu-edge.origin-broken"), "{answer:?}: {body}");
        }
    }
}

#[tokio::test]
async fn a_head_of_the_origins_past_its_bound_is_not_read_on() {
    let long =
        format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 2\r\n\r\nok", "a".repeat(1 << 20));
    for (head, _) in told(long.leak()).await {
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    }
    let many: String = (0..200).map(|at| format!("x-{at}: a\r\n")).collect();
    let many = format!("HTTP/1.1 200 OK\r\n{many}content-length: 2\r\n\r\nok");
    for (head, _) in told(many.leak()).await {
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    }
}

#[tokio::test]
async fn what_comes_behind_an_answer_is_nobodys() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok\r\n",
    ] {
        let scene = scene(answer).await;
        for _ in 0..5 {
            let mut client = scene.client().await;
            client.send(&ASK.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n")).await;
            let answer = String::from_utf8(client.rest().await).unwrap();
            assert!(answer.contains(" 200 OK\r\n") && !answer.contains("poison"), "{answer}");
        }
        for connection in scene.origin.connections() {
            assert_eq!(connection.matches("GET ").count(), 1, "{connection}");
        }
    }
}

#[tokio::test]
async fn statuses_without_a_body_have_none_whatever_the_origin_sends() {
    for answer in [
        "HTTP/1.1 204 No Content\r\ncontent-length: 6\r\n\r\npoison",
        "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison",
    ] {
        let scene = scene(answer).await;
        for _ in 0..3 {
            let mut client = scene.client().await;
            client.send(&ASK.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n")).await;
            let told = String::from_utf8(client.rest().await).unwrap();
            assert!(told.starts_with(&answer[..12]) && told.ends_with("\r\n\r\n"), "{told}");
            assert!(!told.contains("poison") && field(&told, "transfer-encoding").is_none());
        }
        for connection in scene.origin.connections() {
            assert_eq!(connection.matches("GET ").count(), 1, "{connection}");
        }
    }
}

#[tokio::test]
async fn bytes_on_a_pooled_connection_are_not_the_next_clients_answer() {
    let origin = Recorder::start_late(ANSWER, POISON).await;
    let scene = Scene::before(origin).await;
    let mut first = scene.client().await;
    first.send(ASK).await;
    assert_eq!(first.message().await.1, "ok");
    // The first connection is in the pool by now; the poison comes, and only then the next client.
    scene.origin.send_late().await;
    for _ in 0..3 {
        let mut client = scene.client().await;
        client.send(ASK).await;
        let (head, body) = client.message().await;
        assert!(body == "ok" || head.starts_with("HTTP/1.1 502 "), "{head}{body}");
        assert!(!body.contains("poison"), "{body}");
    }
    assert_eq!(scene.origin.connections()[0].matches("GET ").count(), 1);
}

#[tokio::test]
async fn interim_answers_are_not_the_answer() {
    let (answer, switched) = (
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    );
    let scene_1 = scene(answer).await;
    let mut client = scene_1.client().await;
    client.send(ASK).await;
    let (head, body) = client.message().await;
    assert!(head.starts_with("HTTP/1.1 200 ") && body == "ok", "{head}");
    assert_eq!(field(&head, "link"), None);

    // Nobody asked the origin to switch, whatever the client asked for.
    let scene_2 = scene(switched).await;
    for fields in [
        "",
        "connection: upgrade\r\nupgrade: websocket\r\n",
        "connection: upgrade\r\nupgrade: h2c\r\n",
    ] {
        let mut client = scene_2.client().await;
        client.send(&ASK.replacen("\r\n\r\n", &format!("\r\n{fields}\r\n"), 1)).await;
        let (head, body) = client.message().await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
        assert!(body.contains("csu-edge.origin-broken"), "{body}");
    }
}
