//! A whole node on loopback, with a clock that the test moves, and a client for it.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use csu_edge::clock::{Clock, Timestamp};
use csu_edge::config::Config;
use csu_edge::node::{Node, Reloaded};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::wire::soon;

/// When every test's clock starts.
pub const START: Timestamp = Timestamp::from_millis(1_777_284_000_000);

/// A running node.
pub struct Running {
    pub node: Node,
    pub clock: Clock,
    /// What it was told last.
    config: Mutex<Config>,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What a client got.
#[derive(Clone, Debug)]
pub struct Got {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Running {
    /// A node before `service_root`, with the defaults but for what `change` sets.
    pub async fn start(service_root: &str, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_by(Clock::manual(START), service_root, change).await
    }

    /// The same, by a clock that is shared with others.
    pub async fn start_by(
        clock: Clock,
        service_root: &str,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config::for_origin(service_root.parse().unwrap());
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        config.listen.storefront = loopback;
        config.listen.ingest = loopback;
        config.listen.control = loopback;
        config.listen.workers = 2;
        config.listen.drain_for = Duration::from_secs(5);
        // What the origin's failures do to others is the subject of few tests.
        config.origin.gate.longest_retry_after = Duration::ZERO;
        config.origin.gate.broken_after = u32::MAX;
        // Nor is what is asked without a client.
        config.refresh.ahead_percent = 0;
        config.refresh.after_purge.clear();
        change(&mut config);
        let node = Node::start(config.clone(), clock.clone()).await.unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { node, clock, config: Mutex::new(config), client }
    }

    /// Gives it another configuration while it runs: the last one, but for what `change` sets.
    pub fn reload(&self, change: impl FnOnce(&mut Config)) -> Reloaded {
        let mut config = self.config.lock().unwrap();
        change(&mut config);
        self.node.reloader().reload(Ok(config.clone()))
    }

    pub async fn send(&self, request: Request<String>) -> Got {
        let address = self.node.addresses().storefront;
        self.send_to(address, request).await
    }

    pub async fn send_to(&self, address: SocketAddr, request: Request<String>) -> Got {
        let (mut head, body) = request.into_parts();
        head.uri = format!("http://{address}{}", head.uri).parse().unwrap();
        let request = Request::from_parts(head, Full::from(body));
        let response: Response<_> = soon(self.client.request(request)).await.unwrap();
        let (head, body) = response.into_parts();
        let body = soon(body.collect()).await.unwrap().to_bytes();
        Got { status: head.status, headers: head.headers, body }
    }

    pub async fn get(&self, target: &str) -> Got {
        self.get_with(target, &[]).await
    }

    pub async fn get_with(&self, target: &str, headers: &[(&str, &str)]) -> Got {
        self.send(request("GET", target, headers)).await
    }

    pub async fn post(&self, target: &str, body: &str) -> Got {
        self.send(post(target, body)).await
    }

    /// The prices of these products, asked as storefronts do.
    pub async fn prices(&self, products: &[u64]) -> Got {
        self.send(price_request(products)).await
    }

    /// Posts a push event, which must be accepted.
    pub async fn push(&self, event: &Value) -> Value {
        let got = self
            .send_to(self.node.addresses().ingest, post("/ingest/cdx", &event.to_string()))
            .await;
        assert_eq!(got.status, StatusCode::OK, "{}", got.text());
        got.json()
    }

    /// Asks the control listener.
    pub async fn control(&self, target: &str) -> Got {
        let request = Request::get(target).body(String::new()).unwrap();
        self.send_to(self.node.addresses().control, request).await
    }

    pub async fn control_post(&self, target: &str, body: &Value) -> Got {
        self.send_to(self.node.addresses().control, post(target, &body.to_string())).await
    }

    /// The value of a series, as `name{labels}` stands in the exposition; 0 where it does not.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = self.control("/metrics").await.text();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until so many requests wait for what another has asked the origin for.
    pub async fn collapsed(&self, waiting: f64) {
        let reached = async {
            while self.metric("csu_edge_collapse_waiters").await < waiting {
                tokio::task::yield_now().await;
            }
        };
        super::wire::soon(reached).await;
    }

    /// How many requests for an operation of the catalogue were answered in this way.
    pub async fn answered(&self, operation: &str, result: &str) -> f64 {
        let text = self.control("/metrics").await.text();
        let labels = format!("operation=\"{operation}\",result=\"{result}\"}} ");
        let requests = text.lines().filter(|line| line.starts_with("csu_edge_requests_total{"));
        let counts = requests.filter_map(|line| line.split_once(&labels));
        counts.map(|(_, count)| count.parse::<f64>().unwrap()).sum()
    }

    /// How many answers were not stored for this reason.
    pub async fn unstored(&self, reason: &str) -> f64 {
        self.metric(&format!("csu_edge_unstored_total{{reason=\"{reason}\"}}")).await
    }

    /// How many responses are stored.
    pub async fn stored(&self) -> f64 {
        self.metric("csu_edge_stored_entries{tier=\"memory\"}").await
    }

    /// How many requests the origin answered so, or failed.
    pub async fn asked(&self, purpose: &str, outcome: &str) -> f64 {
        let labels = format!("{{outcome=\"{outcome}\",purpose=\"{purpose}\"}}");
        self.metric(&format!("csu_edge_origin_requests_total{labels}")).await
    }
}

impl Got {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// All values of a field, joined.
    pub fn all(&self, name: &str) -> String {
        let values = self.headers.get_all(name).iter().map(|value| value.to_str().unwrap());
        values.collect::<Vec<_>>().join(", ")
    }

    /// What the cache says that it did.
    pub fn cache_status(&self) -> &str {
        self.header("cache-status").unwrap_or_default()
    }

    pub fn is_hit(&self) -> bool {
        self.cache_status().starts_with("csu-edge; hit")
    }

    /// The code of the error in the answer.
    pub fn error_code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The first price in the answer.
    pub fn price(&self) -> f64 {
        self.json()["value"][0]["AdjustedPrice"].as_f64().unwrap()
    }
}

/// A request without a body.
pub fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Request<String> {
    let request = Request::builder().method(method).uri(target);
    let request =
        headers.iter().fold(request, |request, &(name, value)| request.header(name, value));
    request.body(String::new()).unwrap()
}

pub fn post(target: &str, body: &str) -> Request<String> {
    Request::post(target).header("content-type", "application/json").body(body.to_owned()).unwrap()
}

pub fn price_request(products: &[u64]) -> Request<String> {
    let body = serde_json::json!({
        "projectDomain": {"ChannelId": 5_637_154_326_u64, "CatalogId": 0},
        "productIds": products,
        "activeDate": START.to_string(),
        "customerId": null,
        "affiliationLoyaltyTiers": [],
        "includeSimpleDiscountsInContextualPrice": true,
    });
    post("/Commerce/Products/GetActivePrices?$top=1000&api-version=7.3", &body.to_string())
}

/// The same request with one more field.
pub fn with(mut request: Request<String>, name: &'static str, value: &str) -> Request<String> {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}
