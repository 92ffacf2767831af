//! What the log tells of an event, and what it must not.

use std::cell::RefCell;
use std::io::Write;
use std::sync::Once;

use super::*;

thread_local! {
    /// What this test's thread has logged.
    static LOGGED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct OwnThread;

impl Write for OwnThread {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOGGED.with_borrow_mut(|logged| logged.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Every line, down to the finest level, that `act` logs.
///
/// The subscriber is the process's: one of a thread's own is not asked about a callsite that
/// another test's thread reaches first.
async fn lines_of(act: impl Future<Output = ()>) -> Vec<String> {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(|| OwnThread)
            .init();
    });
    LOGGED.take();
    act.await;
    String::from_utf8(LOGGED.take()).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn each_event_is_one_line_that_names_it_and_tells_no_body() {
    let node = node();
    let events = [
        cloud_event("7\nERROR forged", "price.changed", json!({ "items": ["the-item"] })),
        cloud_event("8", "contoso.new", json!({ "note": "the-body" })),
    ];
    let lines = lines_of(async {
        node.batch(&events).await.is_accepted(json!({
            "accepted": 2, "sequence": 1, "deadLettered": 1,
        }));
    })
    .await;
    let of_events: Vec<&String> = lines.iter().filter(|line| line.contains("push event")).collect();
    assert_eq!(of_events.len(), 2, "{lines:#?}");
    for part in [
        " INFO ",
        "type=\"csu.cdx.price.changed\"",
        "source=\"urn:test\"",
        "id=\"7\\nERROR forged\"",
        "outcome=\"purged\"",
        "sequence=1",
        "ids=1 tags=2",
    ] {
        assert!(of_events[0].contains(part), "{part} in {}", of_events[0]);
    }
    assert!(of_events[1].contains("outcome=\"dead-lettered\""));
    assert!(lines.iter().all(|line| !line.contains("the-item") && !line.contains("the-body")));
    assert!(lines.iter().all(|line| !line.starts_with("ERROR")));
}

#[tokio::test]
async fn a_refusal_tells_its_reason_and_no_secret() {
    let mut settings = signed_by(&[SECRET]);
    settings.bearer_tokens = vec![Secret::new("the-token".to_owned())];
    let node = node_with(settings);
    let lines = lines_of(async {
        let wrong = price_delivery().signed("1", SECONDS, &[NEXT_SECRET]);
        assert_eq!(node.send(wrong.body_of()).await.status, StatusCode::UNAUTHORIZED);
        let guess = price_delivery().header("authorization", "Bearer the-guess");
        assert_eq!(node.send(guess.body_of()).await.status, StatusCode::UNAUTHORIZED);
        let right = price_delivery().signed("1", SECONDS, &[SECRET]);
        assert_eq!(node.send(right.body_of()).await.status, StatusCode::OK);
    })
    .await;
    assert!(lines.iter().any(|line| line.contains("DEBUG") && line.contains("wrong-signature")));
    for hidden in ["the-token", "the-guess", "MfKQ9r8G", "82000", "v1,"] {
        assert!(lines.iter().all(|line| !line.contains(hidden)), "{hidden}: {lines:#?}");
    }
    assert!(!format!("{node:?}", node = node.ingest).contains("the-token"));
}
