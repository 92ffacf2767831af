//! An origin that says what a test tells it to, when the test lets it.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::wire::soon;

/// A request as the origin got it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

type Script = Box<dyn FnMut(&Seen) -> Response<Full<Bytes>> + Send>;
type Which = Arc<dyn Fn(&Seen) -> bool + Send + Sync>;

struct State {
    script: Mutex<Script>,
    seen: Mutex<Vec<Seen>>,
    arrived: watch::Sender<usize>,
    /// Whose answers are kept back.
    held: watch::Sender<Which>,
}

/// The origin. Dropped, it is gone.
pub struct Origin {
    address: SocketAddr,
    state: Arc<State>,
    _serving: AbortOnDropHandle<()>,
}

impl Origin {
    /// An origin that answers by the script, at once.
    pub async fn start(
        script: impl FnMut(&Seen) -> Response<Full<Bytes>> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            script: Mutex::new(Box::new(script)),
            seen: Mutex::default(),
            arrived: watch::Sender::new(0),
            held: watch::Sender::new(Arc::new(|_| false)),
        });
        let serving = AbortOnDropHandle::new(tokio::spawn(serve(listener, Arc::clone(&state))));
        Self { address, state, _serving: serving }
    }

    pub fn service_root(&self) -> String {
        format!("http://{}/Commerce", self.address)
    }

    /// What it got last.
    pub fn last(&self) -> Seen {
        self.seen().pop().unwrap()
    }

    /// What it got so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    pub fn requests(&self) -> usize {
        self.state.seen.lock().unwrap().len()
    }

    /// Waits until so many requests have come in all.
    pub async fn arrived(&self, count: usize) {
        soon(self.state.arrived.subscribe().wait_for(|arrived| *arrived >= count)).await.unwrap();
    }

    /// Answers from now on by another script.
    pub fn answer(&self, script: impl FnMut(&Seen) -> Response<Full<Bytes>> + Send + 'static) {
        *self.state.script.lock().unwrap() = Box::new(script);
    }

    /// Keeps answers back until [`Origin::release`]. What each will be is decided on arrival.
    pub fn hold(&self) {
        self.hold_only(|_| true);
    }

    /// Keeps back the answers to these.
    pub fn hold_only(&self, which: impl Fn(&Seen) -> bool + Send + Sync + 'static) {
        self.state.held.send_replace(Arc::new(which));
    }

    /// Lets all answers go, now and from now on.
    pub fn release(&self) {
        self.hold_only(|_| false);
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&state), request));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let seen = Seen {
        method: head.method.to_string(),
        target: head.uri.to_string(),
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let response = (state.script.lock().unwrap())(&seen);
    state.seen.lock().unwrap().push(seen.clone());
    state.arrived.send_modify(|arrived| *arrived += 1);
    let _ = state.held.subscribe().wait_for(|held| !held(&seen)).await;
    Ok(response)
}

/// An answer of JSON with status 200.
pub fn json(body: impl Into<String>) -> Response<Full<Bytes>> {
    with_status(StatusCode::OK, body)
}

/// An answer of JSON.
pub fn with_status(status: StatusCode, body: impl Into<String>) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json; odata.metadata=minimal")
        .body(Full::from(Bytes::from(body.into())))
        .unwrap()
}

/// A price as Retail Server tells it.
pub fn price_of(product: u64, item: &str, price: impl std::fmt::Display) -> String {
    prices_of([(product, item, price)])
}

/// Several.
pub fn prices_of<I: std::fmt::Display, P: std::fmt::Display>(
    prices: impl IntoIterator<Item = (u64, I, P)>,
) -> String {
    let rows = prices.into_iter().map(|(product, item, price)| {
        format!(
            r#"{{"ProductId":{product},"ItemId":"{item}","AdjustedPrice":{price},"ChannelId":5637154326}}"#
        )
    });
    let rows = rows.collect::<Vec<_>>().join(",");
    format!(
        r#"{{"@odata.context":"http://origin/Commerce/$metadata#Collection(ProductPrice)","value":[{rows}]}}"#
    )
}

/// The products that a request for prices names.
pub fn products_in(body: &str) -> Vec<u64> {
    let asked: serde_json::Value = serde_json::from_str(body).unwrap();
    asked["productIds"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
}

/// The same answer with one more field.
pub fn with_field(
    mut answer: Response<Full<Bytes>>,
    name: &'static str,
    value: &str,
) -> Response<Full<Bytes>> {
    answer.headers_mut().append(name, value.parse().unwrap());
    answer
}
