//! An origin that answers byte for byte what a test tells it to, HTTP or not.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::AbortOnDropHandle;

use super::wire::{Wire, field, soon};

/// What it does with a request.
#[derive(Clone, Debug)]
pub enum Manner {
    /// Sends this and closes the connection.
    Say(String),
    /// Sends this, keeps the connection open and is silent.
    SayAndHang(String),
    /// Keeps the connection open and is silent.
    Hang,
}

/// The origin. Every connection carries one request.
pub struct RawOrigin {
    address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    arrived: watch::Sender<usize>,
    serving: AbortOnDropHandle<()>,
}

impl RawOrigin {
    pub async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let manner = Arc::new(Mutex::new(manner));
        let arrived = watch::Sender::new(0);
        let serving = serve(listener, Arc::clone(&manner), arrived.clone());
        Self { address, manner, arrived, serving: AbortOnDropHandle::new(tokio::spawn(serving)) }
    }

    pub fn service_root(&self) -> String {
        format!("http://{}/Commerce", self.address)
    }

    pub fn answer(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    pub fn requests(&self) -> usize {
        *self.arrived.borrow()
    }

    /// Is gone when this returns: nothing listens at its address any more.
    pub async fn stop(self) {
        self.serving.abort();
        let _ = self.serving.await;
    }

    /// Waits until so many requests have come in all.
    pub async fn arrived(&self, count: usize) {
        soon(self.arrived.subscribe().wait_for(|arrived| *arrived >= count)).await.unwrap();
    }
}

async fn serve(listener: TcpListener, manner: Arc<Mutex<Manner>>, arrived: watch::Sender<usize>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (manner, arrived) = (Arc::clone(&manner), arrived.clone());
        connections.spawn(async move {
            let mut wire = Wire::over(stream);
            wire.message().await;
            let manner = manner.lock().unwrap().clone();
            arrived.send_modify(|arrived| *arrived += 1);
            match manner {
                Manner::Say(text) => wire.send(&text).await,
                Manner::SayAndHang(text) => {
                    wire.send(&text).await;
                    std::future::pending().await
                }
                Manner::Hang => std::future::pending().await,
            }
        });
    }
}

/// A JSON answer with status 200 whose connection ends after it.
pub fn whole(body: &str) -> Manner {
    cut(body, body.len())
}

/// The same, with a `Content-Length` that its body may not keep.
pub fn cut(body: &str, content_length: usize) -> Manner {
    Manner::Say(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {content_length}\r\n\
         connection: close\r\n\r\n{body}"
    ))
}

/// An origin that keeps every byte it gets, and gives each whole request the same answer.
pub struct Recorder {
    address: SocketAddr,
    connections: Arc<Mutex<Vec<Vec<u8>>>>,
    go: Arc<Semaphore>,
    gone: Arc<Semaphore>,
    _serving: AbortOnDropHandle<()>,
}

impl Recorder {
    pub async fn start(answer: &'static str) -> Self {
        Self::start_late(answer, "").await
    }

    /// The same, and what it sends on its first connection when it is told to.
    pub async fn start_late(answer: &'static str, late: &'static str) -> Self {
        let go = Arc::new(Semaphore::new(0));
        let gone = Arc::new(Semaphore::new(0));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::default();
        let gates = (Arc::clone(&go), Arc::clone(&gone));
        let serving = record(listener, Arc::clone(&connections), answer, late, gates);
        let serving = AbortOnDropHandle::new(tokio::spawn(serving));
        Self { address, connections, go, gone, _serving: serving }
    }

    pub fn service_root(&self) -> String {
        format!("http://{}/Commerce", self.address)
    }

    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Sends what was to come late; returns when the first connection was closed over it.
    pub async fn send_late(&self) {
        self.go.add_permits(1);
        soon(self.gone.acquire()).await.unwrap().forget();
    }

    /// What came on each connection, in their order.
    pub fn connections(&self) -> Vec<String> {
        let connections = self.connections.lock().unwrap();
        connections.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    /// All that came, forgotten from here on.
    pub fn take(&self) -> String {
        let mut connections = self.connections.lock().unwrap();
        let taken: Vec<u8> = connections.iter_mut().flat_map(std::mem::take).collect();
        String::from_utf8(taken).unwrap()
    }
}

async fn record(
    listener: TcpListener,
    connections: Arc<Mutex<Vec<Vec<u8>>>>,
    answer: &'static str,
    late: &'static str,
    (go, gone): (Arc<Semaphore>, Arc<Semaphore>),
) {
    let mut open = tokio::task::JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        let connections = Arc::clone(&connections);
        let (go, gone) = (Arc::clone(&go), Arc::clone(&gone));
        open.spawn(async move {
            let at = {
                let mut connections = connections.lock().unwrap();
                connections.push(Vec::new());
                connections.len() - 1
            };
            let mut request = Vec::new();
            let mut bytes = vec![0; 64 << 10];
            loop {
                let read = tokio::select! {
                    read = stream.read(&mut bytes) => read,
                    Ok(go) = go.acquire(), if at == 0 => {
                        go.forget();
                        stream.write_all(late.as_bytes()).await.unwrap();
                        continue;
                    }
                };
                let Ok(count @ 1..) = read else { break };
                connections.lock().unwrap()[at].extend_from_slice(&bytes[..count]);
                request.extend_from_slice(&bytes[..count]);
                if is_whole(&request) {
                    request.clear();
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        break;
                    }
                }
            }
            if at == 0 {
                gone.add_permits(1);
            }
        });
    }
}

/// Whether a request of this proxy's is there to its end.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    if field(head, "transfer-encoding").is_some() {
        return body.ends_with("0\r\n\r\n");
    }
    let length = field(head, "content-length").map_or(0, |length| length.parse().unwrap());
    body.len() >= length
}
