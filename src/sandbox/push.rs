//! Tells the edge of each change: a CloudEvents 1.0 event, signed as Standard Webhooks has it.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::assortment::{Assortment, Product};
use super::company::{Category, Customer, DATA_AREA, Warehouse};
use crate::clock::{Clock, Timestamp};
use crate::config::Secret;

/// As F&O delivers its business events: three tries, a second apart, ten seconds each.
const TRIES: usize = 3;
const BETWEEN_TRIES: Duration = Duration::from_secs(1);
const TRY_TIMEOUT: Duration = Duration::from_secs(10);
/// Events that wait for their delay; more are dropped, and logged.
const MAX_QUEUED: usize = 10_000;

/// Where changes are told.
#[derive(Clone, Debug)]
pub struct Push {
    /// The ingest endpoint, `http` or `https`.
    pub url: Uri,
    /// The signing secret, `whsec_` and base64.
    pub secret: Secret,
    /// How long after the change the event is sent; zero: before the change is answered.
    pub delay: Duration,
}

/// What became of a change's event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pushed {
    /// There is nobody to tell.
    NotConfigured,
    /// It was acknowledged.
    Acknowledged,
    /// It is sent when the delay is over.
    Queued,
    /// It was not acknowledged, for this reason.
    Failed(String),
}

/// Something that changed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Changed {
    Price(Product, Option<&'static Customer>),
    Inventory(Product, &'static Warehouse),
    Product(Product),
}

/// Sends events.
#[derive(Debug)]
pub(crate) struct Pusher {
    sender: Sender,
    delay: Duration,
    clock: Clock,
    queue: mpsc::Sender<Queued>,
}

#[derive(Debug)]
struct Queued {
    due: Timestamp,
    event: Event,
}

#[derive(Debug)]
struct Event {
    id: String,
    body: Value,
}

#[derive(Clone, Debug)]
struct Sender {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: Uri,
    key: SigningKey,
    clock: Clock,
}

#[derive(Clone)]
struct SigningKey(hmac::Key);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl Pusher {
    /// Starts the queue's worker on `tasks`, until `stop`. The error says what is wrong with the settings, without
    /// the secret.
    pub(crate) fn start(
        push: &Push,
        clock: &Clock,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Self, String> {
        let secret = push.secret.reveal().strip_prefix("whsec_");
        let secret = secret.and_then(|encoded| STANDARD.decode(encoded).ok());
        let secret = secret.filter(|secret| !secret.is_empty());
        let secret = secret.ok_or("the push secret is not whsec_ and base64")?;
        if push.url.host().is_none() || !matches!(push.url.scheme_str(), Some("http" | "https")) {
            return Err("the push URL is not an absolute http or https URL".into());
        }
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(provider)
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .https_or_http()
            .enable_http1()
            .build();
        let sender = Sender {
            // A kept connection that the edge has closed would cost an event one of its tries.
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build(connector),
            url: push.url.clone(),
            key: SigningKey(hmac::Key::new(hmac::HMAC_SHA256, &secret)),
            clock: clock.clone(),
        };
        let (queue, waiting) = mpsc::channel(MAX_QUEUED);
        let worker = send_queued(sender.clone(), clock.clone(), waiting);
        let stop = stop.clone();
        tasks.spawn(async move { stop.run_until_cancelled(worker).await });
        Ok(Self { sender, delay: push.delay, clock: clock.clone(), queue })
    }

    /// Sends the change's event now and waits for its acknowledgement, or queues it for later.
    pub(crate) async fn push(&self, changed: Changed, assortment: &Assortment) -> Pushed {
        let now = self.clock.now();
        let event = Event::new(changed, assortment, now);
        if self.delay.is_zero() {
            return match self.sender.send(&event).await {
                Ok(()) => Pushed::Acknowledged,
                Err(why) => Pushed::Failed(why),
            };
        }
        match self.queue.try_send(Queued { due: now + self.delay, event }) {
            Ok(()) => Pushed::Queued,
            Err(_) => {
                tracing::warn!("the push queue is full; an event was dropped");
                Pushed::Failed("the push queue is full".into())
            }
        }
    }
}

/// The delay is the same for all, so that they fall due in their order.
async fn send_queued(sender: Sender, clock: Clock, mut waiting: mpsc::Receiver<Queued>) {
    while let Some(Queued { due, event }) = waiting.recv().await {
        clock.sleep_until(due).await;
        // `send` has logged a failure; nobody waits for this answer.
        let _ = sender.send(&event).await;
    }
}

impl Sender {
    async fn send(&self, event: &Event) -> Result<(), String> {
        let mut tries_left = TRIES;
        loop {
            tries_left -= 1;
            let why = match self.try_once(event).await {
                Ok(()) => return Ok(()),
                Err(why) => why,
            };
            tracing::warn!(event = event.id, why, tries_left, "a push was not acknowledged");
            if tries_left == 0 {
                return Err(why);
            }
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
    }

    async fn try_once(&self, event: &Event) -> Result<(), String> {
        let request = self.sign(event).map_err(|error| error.to_string())?;
        let response = tokio::time::timeout(TRY_TIMEOUT, self.client.request(request)).await;
        let response = response.map_err(|_| "no answer in time".to_owned())?;
        let status = response.map_err(|error| describe(&error))?.status();
        if status.is_success() { Ok(()) } else { Err(format!("answered {status}")) }
    }

    /// Standard Webhooks: HMAC-SHA256 over `{id}.{timestamp}.{body}`.
    fn sign(&self, event: &Event) -> Result<Request<Full<Bytes>>, http::Error> {
        let body = event.body.to_string();
        let timestamp_s = self.clock.now().as_millis() / 1_000;
        let content = format!("{}.{timestamp_s}.{body}", event.id);
        let signature = STANDARD.encode(hmac::sign(&self.key.0, content.as_bytes()));
        Request::builder()
            .method(Method::POST)
            .uri(self.url.clone())
            .header("content-type", HeaderValue::from_static("application/cloudevents+json"))
            .header("webhook-id", &event.id)
            .header("webhook-timestamp", timestamp_s)
            .header("webhook-signature", format!("v1,{signature}"))
            .body(Full::new(body.into()))
    }
}

/// An error with its causes, which is where hyper says what happened.
fn describe(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl Event {
    fn new(changed: Changed, assortment: &Assortment, now: Timestamp) -> Self {
        let (kind, product, reached) = match changed {
            Changed::Price(product, _) => {
                ("csu.cdx.price.changed", product, assortment.family(product))
            }
            Changed::Inventory(product, _) => ("csu.cdx.inventory.changed", product, vec![product]),
            Changed::Product(product) => {
                ("csu.cdx.product.changed", product, assortment.family(product))
            }
        };
        let mut data = json!({
            "dataAreaId": DATA_AREA,
            "products": reached.iter().map(Product::record_id).collect::<Vec<_>>(),
            "items": [product.item_id()],
        });
        match changed {
            Changed::Price(_, Some(customer)) => {
                add(&mut data, "customers", vec![customer.account])
            }
            Changed::Price(_, None) => {}
            Changed::Inventory(_, warehouse) => add(&mut data, "warehouses", vec![warehouse.id]),
            Changed::Product(_) => {
                let categories = product.category().lineage().map(Category::record_id);
                add(&mut data, "categories", categories.collect());
            }
        }
        let id = format!("msg_{:032x}", rand::random::<u128>());
        let body = json!({
            "specversion": "1.0",
            "id": id,
            "source": "/csu-sandbox",
            "type": kind,
            "time": now.to_string(),
            "datacontenttype": "application/json",
            "data": data,
        });
        Self { id, body }
    }
}

fn add<T: Into<Value>>(data: &mut Value, name: &str, values: Vec<T>) {
    if let Value::Object(members) = data {
        members.insert(name.to_owned(), values.into_iter().map(Into::into).collect());
    }
}
