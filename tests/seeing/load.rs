//! Two nodes with all that a node can have, and a load that makes them count all that they can.

use std::net::SocketAddr;
use std::time::Duration;

use csu_edge::clock::{Clock, Timestamp};
use csu_edge::config::{
    AccessLogTo, Budget, Config, DecomposeRule, ListenerTls, OperationRule, TlsVersion,
};
use csu_edge::sandbox::Sickness;
use http::{Request, StatusCode};
use rcgen::KeyPair;
use serde_json::json;
use tempfile::TempDir;

use crate::support::fleet::{self, named, redis_at};
use crate::support::node::{Running, post, request, with};
use crate::support::redis::server::Server;
use crate::support::redis::until;
use crate::support::shop::{CHANNEL, FIRST, Shop, TOKEN, listing, product_page};

/// An operation whose answers cannot be taken apart by the rule that these nodes have for it.
const UNDIVIDED: &str = "Products/GetEstimatedAvailability";

pub(crate) struct Scene {
    shop: Shop,
    /// With little memory, and TLS on its ingest listener.
    other: Running,
    redis: Server,
    _files: TempDir,
}

impl Scene {
    pub(crate) async fn open() -> Self {
        let redis = Server::start(&[]).await;
        let at = redis_at(redis.address());
        let files = TempDir::new().unwrap();
        let shop = Shop::open(Clock::system(), Duration::ZERO, |config| {
            config.redis = Some(named(&at, "edge-1"));
            config.access_log.to = Some(AccessLogTo::File(files.path().join("access.log")));
            // Where no collector is.
            config.traces.endpoint = Some("http://127.0.0.1:1".parse().unwrap());
            everything(config);
        })
        .await;
        let tls = certificate(&files);
        let service_root = shop.sandbox.service_root();
        let other = fleet::node(&service_root, named(&at, "edge-2"), |config| {
            everything(config);
            config.memory.max_bytes = 512 << 10;
            config.tls.ingest = Some(tls);
        })
        .await;
        Self { shop, other, redis, _files: files }
    }

    /// Where the nodes are scraped.
    pub(crate) fn controls(&self) -> Vec<SocketAddr> {
        [&self.shop.node, &self.other].map(|node| node.node.addresses().control).to_vec()
    }

    /// What happens once, and leaves its counts behind.
    pub(crate) async fn trouble(&self) {
        let node = &self.shop.node;
        // Redis is full. It is the node's beats that it refuses first.
        self.redis.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
        until("Redis refuses something", async || {
            node.send(product(FIRST + 500)).await;
            let text = node.control("/metrics").await.text();
            text.contains(",outcome=\"refused\"}").then_some(())
        })
        .await;
        self.redis.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
        // It closes the nodes' connections.
        self.redis.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
        until("connections are replaced", async || {
            let text = node.control("/metrics").await.text();
            text.contains("csu_edge_redis_connections_replaced_total{").then_some(())
        })
        .await;
        for node in [node, &self.other] {
            until("the links are back", async || {
                node.degraded_parts().await.is_empty().then_some(())
            })
            .await;
            node.fenced(false).await;
        }
    }

    /// What goes on all the time.
    pub(crate) async fn round(&self) {
        let Self { shop: Shop { sandbox, node }, other, .. } = self;
        let now = Clock::system().now();
        // Pages, twice on one node and once on the other: misses, hits, and hits in Redis.
        let products: Vec<i64> = (FIRST..FIRST + 24).collect();
        for (_, request) in listing(&products, now).into_iter().chain(product_page(FIRST, now)) {
            for node in [node, node, other] {
                node.send(request.clone()).await;
            }
        }
        self.pieces_and_batch(now).await;
        // What is not in the catalogue, and what has no answer that is kept.
        node.get("/Commerce/healthcheck?testname=ping").await;
        node.get(&format!("/Commerce/Products({FIRST})/GetById(channelId=1)?api-version=7.3"))
            .await;
        // More than the other node's memory holds.
        for at in 0..400 {
            other.send(product(FIRST + at)).await;
        }
        // A change that is pushed, an operator's purge, and an event that nobody knows.
        assert!(sandbox.set_price(FIRST, 12.5, None).await.is_ok());
        node.control_post("/purge", &json!({ "tags": ["price/item:82000"] })).await;
        let delivery = post("/ingest/cdx", &json!({ "type": "com.example.unknown" }).to_string());
        let delivery = with(delivery, "authorization", &format!("Bearer {TOKEN}"));
        let got = node.send_to(node.node.addresses().ingest, delivery).await;
        assert_eq!(got.status, StatusCode::OK, "{}", got.text());
        // An origin that fails.
        let ill = Sickness::Status(StatusCode::SERVICE_UNAVAILABLE);
        assert!(sandbox.fault("GetCurrencies", ill, Duration::from_secs(60)));
        node.control_post("/purge", &json!({ "tags": ["configuration/*"], "mode": "hard" })).await;
        node.get("/Commerce/GetCurrencies()?api-version=7.3").await;
        assert!(sandbox.fault("GetCurrencies", ill, Duration::ZERO));
    }

    async fn pieces_and_batch(&self, now: Timestamp) {
        let Self { shop: Shop { node, .. }, .. } = self;
        // Others each time, so that something is fetched.
        let seed = i64::try_from(now.as_millis() % 900).unwrap();
        let prices =
            |ids: &[i64]| json!({"projectDomain": {"ChannelId": CHANNEL}, "productIds": ids});
        let list = prices(&[FIRST + seed, FIRST + seed + 1, FIRST]);
        node.post("/Commerce/Products/GetActivePrices?api-version=7.3", &list.to_string()).await;
        let criteria = json!({"ProductIds": [FIRST + seed, FIRST + seed + 1]});
        let stock = json!({ "searchCriteria": criteria }).to_string();
        node.post(&format!("/Commerce/{UNDIVIDED}?api-version=7.3"), &stock).await;
        let parts = [seed + 2, seed + 3].map(|at| {
            json!({
                "id": at.to_string(),
                "method": "GET",
                "url": format!(
                    "Products({})/GetById(channelId={CHANNEL})?api-version=7.3", FIRST + at
                ),
            })
        });
        node.post("/Commerce/$batch", &json!({ "requests": parts }).to_string()).await;
    }
}

fn product(id: i64) -> Request<String> {
    let call = format!("/Commerce/Products({id})/GetById(channelId={CHANNEL})?api-version=7.3");
    request("GET", &call, &[("OUN", "128")])
}

/// What both nodes have.
fn everything(config: &mut Config) {
    config.origin.gate.budget =
        Some(Budget { requests: 100_000, per: Duration::from_secs(1), burst: 100_000 });
    config.operations = vec![OperationRule {
        name: UNDIVIDED.to_owned(),
        decompose: DecomposeRule {
            item_id: Some("NoSuchMember".to_owned()),
            ..DecomposeRule::default()
        },
        ..OperationRule::default()
    }];
}

/// A listener's files.
fn certificate(folder: &TempDir) -> ListenerTls {
    let key = KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("c.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(path("k.pem"), key.serialize_pem()).unwrap();
    ListenerTls {
        certificate: path("c.pem"),
        private_key: path("k.pem"),
        client_ca: None,
        minimum_version: TlsVersion::Tls12,
    }
}
