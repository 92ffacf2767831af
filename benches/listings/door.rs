//! A door before the stand-in that notes when each request comes through.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// The door. Dropped, it is shut.
pub(crate) struct Door {
    address: SocketAddr,
    seen: Arc<Seen>,
    _open: AbortOnDropHandle<()>,
}

struct Seen {
    behind: SocketAddr,
    client: Client<HttpConnector, BoxBody<Bytes, hyper::Error>>,
    came: Mutex<Vec<Instant>>,
    refused: Mutex<usize>,
}

impl Door {
    pub(crate) async fn before(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let (came, refused) = (Mutex::default(), Mutex::default());
        let seen = Arc::new(Seen { behind, client, came, refused });
        let open = AbortOnDropHandle::new(tokio::spawn(serve(listener, Arc::clone(&seen))));
        Self { address, seen, _open: open }
    }

    pub(crate) fn service_root(&self) -> String {
        format!("http://{}/Commerce", self.address)
    }

    /// How many came, and the most of them within a span, wherever it begins.
    pub(crate) fn most_within(&self, span: Duration) -> (usize, usize) {
        let mut came = self.seen.came.lock().clone();
        came.sort_unstable();
        let within = |(first, at): (usize, &Instant)| {
            came[first..].partition_point(|other| *other < *at + span)
        };
        (came.len(), came.iter().enumerate().map(within).max().unwrap_or_default())
    }

    /// How many were answered that there were too many.
    pub(crate) fn refused(&self) -> usize {
        *self.seen.refused.lock()
    }
}

async fn serve(listener: TcpListener, seen: Arc<Seen>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        let seen = Arc::clone(&seen);
        connections.spawn(async move {
            let service = service_fn(|request| pass(Arc::clone(&seen), request));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn pass(
    seen: Arc<Seen>,
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, hyper::Error>>, Infallible> {
    seen.came.lock().push(Instant::now());
    let (mut head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    head.uri = format!("http://{}{target}", seen.behind).parse::<Uri>().unwrap();
    let answer = seen.client.request(Request::from_parts(head, body.boxed())).await;
    let Ok(answer) = answer else {
        let nothing = Full::default().map_err(|never: Infallible| match never {}).boxed();
        let mut response = Response::new(nothing);
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        return Ok(response);
    };
    if answer.status() == StatusCode::TOO_MANY_REQUESTS {
        *seen.refused.lock() += 1;
    }
    Ok(answer.map(BodyExt::boxed))
}
