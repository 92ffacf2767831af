//! An origin whose prices are versions: each answer says how new it is.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::support::origin::{json, prices_of, products_in};

/// How many items have a price: few, so that they are hot.
pub const ITEMS: usize = 8;

const FIRST_PRODUCT: u64 = 68_719_489_871;

/// An answer is on its way for up to so long, so that purges come meanwhile.
const LONGEST_WAY: Duration = Duration::from_millis(8);

/// The origin. Dropped, it is gone.
pub struct Prices {
    address: SocketAddr,
    versions: Arc<[AtomicU64; ITEMS]>,
    _serving: AbortOnDropHandle<()>,
}

impl Prices {
    /// All at version 1.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let versions = Arc::new([const { AtomicU64::new(1) }; ITEMS]);
        let serving = AbortOnDropHandle::new(tokio::spawn(serve(listener, Arc::clone(&versions))));
        Self { address, versions, _serving: serving }
    }

    pub fn service_root(&self) -> String {
        format!("http://{}/Commerce", self.address)
    }

    /// Changes a price, and returns its new version.
    pub fn raise(&self, item: usize) -> u64 {
        self.versions[item].fetch_add(1, Ordering::SeqCst) + 1
    }
}

pub const fn product(item: usize) -> u64 {
    FIRST_PRODUCT + item as u64
}

/// Its item number, as events name it.
pub fn item_number(item: usize) -> String {
    (82_000 + item).to_string()
}

async fn serve(listener: TcpListener, versions: Arc<[AtomicU64; ITEMS]>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        let versions = Arc::clone(&versions);
        connections.spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&versions), request));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    versions: Arc<[AtomicU64; ITEMS]>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let priced = products_in(std::str::from_utf8(&body).unwrap()).into_iter().map(|product| {
        let item = usize::try_from(product - FIRST_PRODUCT).unwrap();
        (product, item_number(item), versions[item].load(Ordering::SeqCst))
    });
    // As old as it can be when it arrives.
    let answer = prices_of(priced.collect::<Vec<_>>());
    let way = LONGEST_WAY.mul_f64(rand::random());
    tokio::time::sleep(way).await;
    Ok(json(answer))
}
