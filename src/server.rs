//! Listeners and their workers.
//!
//! Each worker is a thread with a runtime of its own and, where there are several, a listener of
//! its own on the shared address (`SO_REUSEPORT`), so that a connection lives and dies on one
//! core and its handler needs no locks. One worker serves where one core is enough: ingest and
//! control.

mod clients;
mod connection;
mod entrance;
mod exchange;
mod frames;
mod raw;
mod repeating;
mod repeats;
mod tls;
mod worker;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::body::Incoming;
use ipnet::IpNet;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{oneshot, watch};

use crate::body::Body;
use crate::config::Limits;
use crate::places::Places;
use crate::tls::LiveTls;
use clients::Clients;

pub use raw::RawRequest;
pub use repeats::Repeat;

/// Connections that may wait in the kernel's queue of one listener.
const BACKLOG: i32 = 4096;

/// How long unused connections may take to be closed: no client is waited for.
const UNUSED_CLOSE_WITHIN: Duration = Duration::from_millis(500);

/// Threads that a worker may have for what would block it: compressing, and name resolution, which
/// must not wait for the former.
const BLOCKING_THREADS: usize = 8;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    address: SocketAddr,
    is_over_tls: bool,
}

impl Peer {
    /// A peer by its address, in the clear; an IPv4 address mapped into IPv6 is taken for what it
    /// is.
    pub fn new(address: SocketAddr) -> Self {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        Self { address, is_over_tls: false }
    }

    /// The same, connected over TLS.
    pub const fn over_tls(self) -> Self {
        Self { is_over_tls: true, ..self }
    }

    /// Its address.
    pub const fn ip(self) -> IpAddr {
        self.address.ip()
    }

    /// The scheme of what it asks for, as the connection tells. In HTTP/2 the client names one too,
    /// which proves nothing.
    pub const fn scheme(self) -> &'static str {
        if self.is_over_tls { "https" } else { "http" }
    }
}

/// An answer to a request, and whether it may be given again to the same bytes.
pub struct Answer {
    /// The answer.
    pub response: Response<Body>,
    /// How it is given again.
    pub repeat: Option<Rc<dyn Repeat>>,
}

impl From<Response<Body>> for Answer {
    fn from(response: Response<Body>) -> Self {
        Self { response, repeat: None }
    }
}

/// What answers requests. Each worker makes its own, which never leaves the worker's thread.
pub trait Handler: 'static {
    /// Answers one request, and tells how to give the answer again where that `may_repeat`. Dropped
    /// unfinished when the client goes away.
    fn handle(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        may_repeat: bool,
    ) -> impl Future<Output = Answer>;
}

/// Where and how to serve.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The listener's name, for threads and logs: `storefront`.
    pub name: &'static str,
    /// Where to listen. Port 0 lets the system choose.
    pub address: SocketAddr,
    /// Threads that serve, each with a listener of its own. Zero counts as one.
    pub workers: usize,
    /// Bounds on connections and heads of requests.
    pub limits: Limits,
    /// What handshakes are made with; `None` serves in the clear.
    pub tls: Option<Arc<LiveTls>>,
    /// What workers keep of requests whose answers can be given again.
    pub repeats: RepeatPlan,
    /// Proxies of ours, to whose addresses `limits.connections_per_client` does not apply.
    pub trusted: Vec<IpNet>,
    /// Whether the sockets are kept at hand for another process: [`Server::sockets`].
    pub keeps_sockets: bool,
}

impl Plan {
    /// One worker, in the clear, that keeps nothing and trusts nobody.
    pub fn new(name: &'static str, address: SocketAddr, limits: Limits) -> Self {
        Self {
            name,
            address,
            workers: 1,
            limits,
            tls: None,
            repeats: RepeatPlan::default(),
            trusted: Vec::new(),
            keeps_sockets: false,
        }
    }
}

/// What is kept of requests whose answers can be given again, byte for byte as they came.
#[derive(Clone, Copy, Debug, Default)]
pub struct RepeatPlan {
    /// Bytes for it, over all workers. None is kept where that is too little.
    pub bytes: usize,
    /// Fields that change no answer, by their names in lower case: where requests differ in these
    /// alone, they are the same.
    pub unread: &'static [&'static str],
}

/// What happened to connections, over all workers of a server.
#[derive(Debug, Default)]
pub struct Counters {
    accepted: AtomicU64,
    closed: AtomicU64,
    slow_heads: AtomicU64,
    idle: AtomicU64,
    stalled: AtomicU64,
    crowded: AtomicU64,
    floods: AtomicU64,
    panics: AtomicU64,
}

impl Counters {
    /// Connections accepted since the start.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections that stand open.
    pub fn open(&self) -> u64 {
        // The order matters: what closes between the two loads must not be missed by the first.
        let closed = self.closed.load(Ordering::Relaxed);
        self.accepted().saturating_sub(closed)
    }

    /// Connections closed because a request's head, or TLS's handshake before it, took longer than
    /// `limits.header_timeout`.
    pub fn slow_heads(&self) -> u64 {
        self.slow_heads.load(Ordering::Relaxed)
    }

    /// Connections closed because they stood unused for longer than `limits.keep_alive`.
    pub fn idle(&self) -> u64 {
        self.idle.load(Ordering::Relaxed)
    }

    /// Connections closed because the client took nothing of an answer for longer than
    /// `limits.keep_alive`.
    pub fn stalled(&self) -> u64 {
        self.stalled.load(Ordering::Relaxed)
    }

    /// Connections closed at once because their client had `limits.connections_per_client`.
    pub fn crowded(&self) -> u64 {
        self.crowded.load(Ordering::Relaxed)
    }

    /// Connections of HTTP/2 closed for frames or resets that nothing explains: `limits.h2_frames`,
    /// `limits.h2_resets`, and h2's own bounds.
    pub fn floods(&self) -> u64 {
        self.floods.load(Ordering::Relaxed)
    }

    /// Tasks that ended in a panic: bugs.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}

/// How a server ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drained {
    /// Every running exchange was finished.
    Clean,
    /// Some were cut off.
    CutOff,
}

impl Drained {
    /// The ending, for log fields.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::CutOff => "cut-off",
        }
    }
}

/// What workers do. Each phase goes further than those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Phase {
    Serving,
    /// Goes on accepting, and tells each client with its next answer that it is the last on its
    /// connection.
    Leaving,
    /// Somebody else accepts from the same sockets. As [`Phase::Leaving`] for what is open.
    HandedOver,
    /// Accepts no more, and closes what is unused.
    Draining,
    Ending,
}

/// A running server. Dropped, it ends at once; [`Server::stop`] is the graceful way.
#[derive(Debug)]
pub struct Server {
    local_address: SocketAddr,
    counters: Arc<Counters>,
    bounds: Arc<Bounds>,
    phase: watch::Sender<Phase>,
    workers: Vec<oneshot::Receiver<()>>,
    /// The sockets that the workers accept from, for who is to take them over.
    sockets: Vec<TcpListener>,
}

/// What connections are held to, which may change while there are some.
#[derive(Debug)]
pub struct Bounds {
    /// Those that begin go by these as long as they are open.
    limits: ArcSwap<Limits>,
    slots: Arc<Places>,
    clients: Arc<Clients>,
}

impl Bounds {
    fn new(limits: Limits, trusted: Vec<IpNet>) -> Arc<Self> {
        Arc::new(Self {
            slots: Places::new(limits.connections),
            clients: Clients::new(limits.connections_per_client, trusted).into(),
            limits: ArcSwap::from_pointee(limits),
        })
    }

    /// Holds connections to other limits: those that begin from now on to all of them. Those that are
    /// open keep their own, and count towards how many there may be.
    pub fn set(&self, limits: &Limits, trusted: &[IpNet]) {
        self.slots.set_bound(limits.connections);
        self.clients.set_bounds(limits.connections_per_client, trusted.to_vec());
        self.limits.store(Arc::new(limits.clone()));
    }
}

/// Binds and serves.
///
/// # Errors
/// Where the address cannot be bound or a thread not started.
pub fn serve<H, M>(plan: &Plan, make_handler: M) -> io::Result<Server>
where
    H: Handler,
    M: Fn() -> H + Clone + Send + 'static,
{
    serve_from(plan, Vec::new(), make_handler)
}

/// Serves from sockets that listen at the plan's address already, and binds what workers need beyond
/// them. Where they are more than the workers, some of those accept from several: a connection that
/// waits in a socket's queue must be accepted by somebody.
///
/// # Errors
/// As [`serve`].
pub fn serve_from<H, M>(
    plan: &Plan,
    mut sockets: Vec<TcpListener>,
    make_handler: M,
) -> io::Result<Server>
where
    H: Handler,
    M: Fn() -> H + Clone + Send + 'static,
{
    let count = plan.workers.max(1);
    if sockets.is_empty() {
        sockets.push(bind(plan.address, count > 1)?);
    }
    let local_address = sockets.first().map_or(Ok(plan.address), TcpListener::local_addr)?;
    for socket in &sockets {
        socket.set_nonblocking(true)?;
        if sockets.len() < count {
            // Who bound it for one worker alone did not say so. Linux lets others join it all the same.
            SockRef::from(socket).set_reuse_port(true)?;
        }
    }
    while sockets.len() < count {
        sockets.push(bind(local_address, true)?);
    }
    let kept = match plan.keeps_sockets {
        true => sockets.iter().map(TcpListener::try_clone).collect::<io::Result<Vec<_>>>()?,
        false => Vec::new(),
    };
    let mut shares: Vec<Vec<TcpListener>> = (0..count).map(|_| Vec::new()).collect();
    for (index, socket) in sockets.into_iter().enumerate() {
        if let Some(share) = shares.get_mut(index % count) {
            share.push(socket);
        }
    }
    let counters = Arc::new(Counters::default());
    let bounds = Bounds::new(plan.limits.clone(), plan.trusted.clone());
    let phase = watch::Sender::new(Phase::Serving);
    let (started, starts) = mpsc::channel();
    let mut workers = Vec::with_capacity(count);
    for (index, listeners) in shares.into_iter().enumerate() {
        let (ended, end) = oneshot::channel();
        let worker = worker::Run {
            bounds: Arc::clone(&bounds),
            repeats: RepeatPlan { bytes: plan.repeats.bytes / count, ..plan.repeats },
            tls: plan.tls.clone(),
            counters: Arc::clone(&counters),
            phase: phase.subscribe(),
        };
        let (started, make_handler) = (started.clone(), make_handler.clone());
        thread::Builder::new().name(format!("{}-{index}", plan.name)).spawn(move || {
            work(worker, listeners, make_handler, &started);
            let _ = ended.send(());
        })?;
        workers.push(end);
    }
    let server = Server { local_address, counters, bounds, phase, workers, sockets: kept };
    drop(started);
    for _ in 0..count {
        starts.recv().map_err(|_| io::Error::other("a worker ended before it served"))??;
    }
    Ok(server)
}

/// The whole life of a worker's thread; `started` hears whether it came to serve.
fn work<H: Handler>(
    worker: worker::Run,
    listeners: Vec<TcpListener>,
    make_handler: impl Fn() -> H,
    started: &mpsc::Sender<io::Result<()>>,
) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return drop(started.send(Err(error))),
    };
    let serving = async {
        let listeners = listeners.into_iter().map(tokio::net::TcpListener::from_std);
        let listeners = listeners.collect::<io::Result<Vec<_>>>()?;
        let handler = make_handler();
        let _ = started.send(Ok(()));
        worker.serve(listeners, handler).await;
        Ok(())
    };
    if let Err(error) = runtime.block_on(serving) {
        let _ = started.send(Err(error));
    }
    // Not dropped: that would wait for a name resolution that hangs.
    runtime.shutdown_background();
}

impl Server {
    /// The address that is bound.
    pub const fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// What its connections are held to.
    pub fn bounds(&self) -> Arc<Bounds> {
        Arc::clone(&self.bounds)
    }

    /// What happened to connections so far.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Its sockets, where the plan has it keep them: as many handles on what its workers accept from.
    ///
    /// # Errors
    /// Where no more files can be open.
    pub fn sockets(&self) -> io::Result<Vec<TcpListener>> {
        self.sockets.iter().map(TcpListener::try_clone).collect()
    }

    /// Goes on accepting, and closes each connection with its next answer.
    pub fn leave(&self) {
        self.phase.send_replace(Phase::Leaving);
    }

    /// Stops: accepts no more, lets running exchanges finish for up to `drain_for`, then cuts off
    /// what is left. Returns when every worker has ended.
    pub async fn stop(mut self, drain_for: Duration) -> Drained {
        self.sockets.clear();
        self.drain(drain_for).await
    }

    /// Stops where another process accepts from the same sockets. A connection is closed with its
    /// next answer; one on which no request comes is, after `drain_for`.
    pub async fn hand_over(mut self, drain_for: Duration) -> Drained {
        self.sockets.clear();
        self.phase.send_replace(Phase::HandedOver);
        if tokio::time::timeout(drain_for, all_ended(&mut self.workers)).await.is_ok() {
            return Drained::Clean;
        }
        self.drain(UNUSED_CLOSE_WITHIN).await
    }

    async fn drain(&mut self, drain_for: Duration) -> Drained {
        self.phase.send_replace(Phase::Draining);
        let drained = tokio::time::timeout(drain_for, all_ended(&mut self.workers)).await;
        if drained.is_ok() {
            return Drained::Clean;
        }
        self.phase.send_replace(Phase::Ending);
        all_ended(&mut self.workers).await;
        Drained::CutOff
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.phase.send_replace(Phase::Ending);
    }
}

/// Waits for each worker in turn; one already waited for is gone from the list.
async fn all_ended(workers: &mut Vec<oneshot::Receiver<()>>) {
    while let Some(worker) = workers.last_mut() {
        let _ = worker.await;
        workers.pop();
    }
}

fn bind(address: SocketAddr, is_shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(is_shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
