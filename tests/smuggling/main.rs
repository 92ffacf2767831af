//! No message carries another: what two recipients could read differently is refused or made
//! harmless, and what reaches the origin is compared byte for byte.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod framing;
mod heads;
mod http_2;
mod targets;

use support::node::Running;
use support::raw::Recorder;
use support::wire::Wire;

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A node before an origin that keeps every byte.
struct Scene {
    origin: Recorder,
    node: Running,
}

impl Scene {
    async fn new() -> Self {
        Self::before(Recorder::start(ANSWER).await).await
    }

    async fn before(origin: Recorder) -> Self {
        let node = Running::start(&origin.service_root(), |config| {
            config.listen.workers = 1;
            config.forwarded.send_forwarded = false;
        })
        .await;
        Self { origin, node }
    }

    async fn client(&self) -> Wire {
        Wire::connect(self.node.node.addresses().storefront).await
    }

    /// What the origin gets of a request that passes: its line and the fields that came with it,
    /// the gateway's own, the fields of its framing, and its body.
    fn passed(&self, line: &str, fields: &str, framing: &str, body: &str) -> String {
        self.passed_from("1.1", line, fields, framing, body)
    }

    fn passed_from(
        &self,
        version: &str,
        line: &str,
        fields: &str,
        framing: &str,
        body: &str,
    ) -> String {
        let authority = self.origin.authority();
        normal(&format!(
            "{line} HTTP/1.1\r\n{fields}{framing}x-forwarded-for: 127.0.0.1\r\n\
             x-forwarded-proto: http\r\nx-forwarded-host: shop.example\r\nvia: {version} csu-edge\r\n\
             host: {authority}\r\n\r\n{body}"
        ))
    }

    /// What has reached the origin, forgotten from here on.
    fn reached(&self) -> String {
        normal(&self.origin.take())
    }

    /// Sends these bytes and asserts that they are refused with this status, that the connection
    /// is closed after it, and that the origin got nothing.
    async fn refuses(&self, sent: &[u8], status: u16) {
        let told = String::from_utf8_lossy(sent);
        let mut client = self.client().await;
        client.try_send(sent).await.unwrap();
        let answer = String::from_utf8(client.rest().await).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{told:?}: {answer:?}");
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{told:?}: {answer:?}");
        assert_eq!(self.reached(), "", "{told:?}");
    }

    /// Sends these bytes and asserts that the origin gets exactly this, and that what follows on
    /// the connection is a request of its own.
    async fn passes(&self, sent: &str, reaches: &str) {
        let mut client = self.client().await;
        client.send(sent).await;
        let (head, body) = client.message().await;
        assert!(head.contains(" 200 OK\r\n") && body == "ok", "{sent:?}: {head}{body}");
        assert_eq!(self.reached(), reaches, "{sent:?}");
        client.send("GET /Commerce/Next HTTP/1.1\r\nhost: shop.example\r\n\r\n").await;
        assert_eq!(client.message().await.1, "ok");
        assert_eq!(self.reached(), self.passed("GET /Commerce/Next", "", "", ""), "{sent:?}");
    }

    /// The same, where the connection ends with the answer.
    async fn passes_and_closes(&self, sent: &str, reaches: &str) {
        let mut client = self.client().await;
        client.send(sent).await;
        let answer = String::from_utf8(client.rest().await).unwrap();
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{sent:?}: {answer:?}");
        assert!(answer.contains(" 200 OK\r\n") && answer.ends_with("\r\n\r\nok"), "{answer:?}");
        assert_eq!(self.reached(), reaches, "{sent:?}");
    }
}

/// The same requests with the fields of each in a fixed order, which depends on how they were put
/// together and means nothing (RFC 9110 §5.3). All else is kept as it is.
fn normal(requests: &str) -> String {
    let Some((head, rest)) = requests.split_once("\r\n\r\n") else {
        return requests.to_owned();
    };
    let (line, fields) = head.split_once("\r\n").unwrap_or((head, ""));
    let mut fields: Vec<&str> = fields.split("\r\n").collect();
    fields.sort_unstable();
    let body = if fields.contains(&"transfer-encoding: chunked") {
        chunks(rest)
    } else {
        let length = fields.iter().find_map(|field| field.strip_prefix("content-length: "));
        length.map_or(0, |length| length.parse().unwrap()).min(rest.len())
    };
    let (body, rest) = rest.split_at(body);
    format!("{line}\r\n{}\r\n\r\n{body}{}", fields.join("\r\n"), normal(rest))
}

/// The length of a chunked body, or of all there is where it has no end.
fn chunks(body: &str) -> usize {
    let mut at = 0;
    while let Some((size, _)) = body[at..].split_once("\r\n") {
        let chunk = usize::from_str_radix(size, 16).unwrap();
        at += size.len() + 2 + chunk + 2;
        if chunk == 0 || at > body.len() {
            break;
        }
    }
    at.min(body.len())
}
