//! An origin that answers byte for byte what a test tells it to, HTTP or not.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::wire::{Wire, soon};

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
