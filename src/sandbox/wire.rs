//! Connections: accepted in bounded number, served as HTTP/1.1 or HTTP/2, reset on demand.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::server::{Engine, serve};

/// Connections at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 4_096;
const MAX_STREAMS: u32 = 250;
/// A rest after `accept` failed, which it does when descriptors run out.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// How long running requests have once the stand-in is told to end.
const DRAIN_FOR: Duration = Duration::from_secs(2);

/// Accepts until `stop`.
pub(crate) async fn accept(
    listener: TcpListener,
    engine: Arc<Engine>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = stop.cancelled() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_REST).await;
                continue;
            }
        };
        let (engine, stop) = (Arc::clone(&engine), stop.clone());
        tasks.spawn(async move {
            let _place = place;
            serve_connection(stream, engine, stop).await;
        });
    }
}

async fn serve_connection(stream: TcpStream, engine: Arc<Engine>, stop: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let reset = Reset::default();
    let wire = Wire { stream: TokioIo::new(stream), reset: reset.clone() };
    let service = service_fn(|request| serve(Arc::clone(&engine), reset.clone(), request));
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http2().max_concurrent_streams(MAX_STREAMS);
    let mut connection = std::pin::pin!(builder.serve_connection(wire, service));
    tokio::select! {
        // What a client does to its connection is its own affair.
        _ = connection.as_mut() => return,
        () = reset.ordered() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = tokio::time::timeout(DRAIN_FOR, connection).await;
}

/// Orders that a connection be reset.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reset(Arc<Order>);

#[derive(Debug, Default)]
struct Order {
    is_given: AtomicBool,
    notify: Notify,
}

impl Reset {
    /// Resets the connection; the request that asked for it is not answered any more.
    pub(crate) async fn now<T>(&self) -> T {
        self.0.is_given.store(true, Ordering::Release);
        self.0.notify.notify_one();
        std::future::pending().await
    }

    async fn ordered(&self) {
        self.0.notify.notified().await;
    }
}

/// A stream that is closed by RST where that was ordered, and by FIN otherwise.
#[derive(Debug)]
struct Wire {
    stream: TokioIo<TcpStream>,
    reset: Reset,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.reset.0.is_given.load(Ordering::Acquire) {
            // Failing, it is closed by FIN, which a client takes for a broken answer as well.
            let _ = self.stream.inner().set_zero_linger();
        }
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }
}
