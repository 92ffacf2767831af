//! One worker: its accept loop, its connections' tasks, its sweep, its drain.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

use super::clients::Seat;
use super::connection::{Connection, ConnectionLimits, MarkedStream, Order, Overdue, Ticks};
use super::exchange::{self, HeadLimits};
use super::frames::Watched;
use super::repeating::{Recorder, Repeating};
use super::repeats::Repeats;
use super::{Bounds, Counters, Handler, Peer, Phase, RepeatPlan, tls};
use crate::config::Limits;
use crate::places;
use crate::tls::LiveTls;

/// How often connections are looked at.
const TICK: Duration = Duration::from_secs(1);

/// The pause after a failure to accept, such as no file descriptor being left: trying again at
/// once would only turn in a circle.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often the kernel's queue is looked at before a listener is closed: each time at least a hundred
/// are taken, where as many wait.
const LAST_PASSES: usize = 64;

/// hyper refuses to work with a smaller buffer.
const SMALLEST_BUFFER_BYTES: usize = 8192;

/// The fields that hyper parses without an allocation for each request.
const FIELDS_ON_STACK: usize = 100;

/// What a worker shares with the others and with its owner.
pub(super) struct Run {
    pub(super) bounds: Arc<Bounds>,
    pub(super) repeats: RepeatPlan,
    pub(super) tls: Option<Arc<LiveTls>>,
    pub(super) counters: Arc<Counters>,
    pub(super) phase: watch::Receiver<Phase>,
}

/// What a worker's tasks share.
struct Worker<H> {
    handler: Rc<H>,
    repeats: Rc<Repeats>,
    bounds: Arc<Bounds>,
    terms: RefCell<Rc<Terms>>,
    tls: Option<Arc<LiveTls>>,
    ticks: Ticks,
    /// What connections are told as they begin.
    first_order: Cell<Order>,
    connections: RefCell<Vec<Weak<Connection>>>,
    open: Cell<usize>,
    closed: Notify,
    counters: Arc<Counters>,
}

impl Run {
    /// Serves until told to end, or until drained.
    pub(super) async fn serve<H: Handler>(mut self, listeners: Vec<TcpListener>, handler: H) {
        let terms = Terms::new(self.bounds.limits.load_full(), &self.counters);
        let worker = Rc::new(Worker {
            handler: Rc::new(handler),
            repeats: Rc::new(Repeats::new(
                self.repeats.bytes,
                self.repeats.unread,
                terms.head_limits,
            )),
            bounds: Arc::clone(&self.bounds),
            terms: RefCell::new(Rc::new(terms)),
            tls: self.tls.clone(),
            ticks: Ticks::default(),
            first_order: Cell::new(Order::Serve),
            connections: RefCell::default(),
            open: Cell::new(0),
            closed: Notify::new(),
            counters: Arc::clone(&self.counters),
        });
        let sweep = worker.sweep();
        let serve = async {
            self.accept_until_told(&worker, listeners).await;
            self.see_out(&worker).await;
        };
        tokio::select! {
            () = serve => {}
            () = sweep => {}
        }
    }

    /// Accepts while the phase is one that does; the listeners are closed then.
    async fn accept_until_told<H: Handler>(
        &self,
        worker: &Rc<Worker<H>>,
        listeners: Vec<TcpListener>,
    ) {
        let mut phase = self.phase.clone();
        let waiting: Vec<_> = listeners.iter().map(|_| Cell::new(None)).collect();
        let each = listeners.iter().zip(&waiting);
        let mut accept = pin!(join_all(each.map(|(from, to)| self.accept(worker, from, to))));
        tokio::select! {
            // However many connect, the word to stop is heard first.
            biased;
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => {}
            _ = &mut accept => {}
        }
        if *phase.borrow() == Phase::Leaving {
            worker.tell_all(Order::Last);
            tokio::select! {
                biased;
                _ = phase.wait_for(|phase| *phase > Phase::Leaving) => {}
                _ = accept => {}
            }
        }
        for Waiting { socket, address, seat } in waiting.iter().filter_map(Cell::take) {
            worker.start(socket, address, (None, seat));
        }
        if *phase.borrow() != Phase::HandedOver {
            for listener in &listeners {
                self.empty(worker, listener).await;
            }
        }
    }

    /// Accepts from one listener, without an end. The connection that waits for a place is in
    /// `waiting`, so that it is not lost when this is given up.
    async fn accept<H: Handler>(
        &self,
        worker: &Rc<Worker<H>>,
        listener: &TcpListener,
        waiting: &Cell<Option<Waiting>>,
    ) {
        loop {
            match listener.accept().await {
                Ok((socket, address)) => {
                    let Some(seat) = self.seat(address) else { continue };
                    // Taken after the accept: a worker that held a slot while none connects to it
                    // would keep others from those that do.
                    waiting.set(Some(Waiting { socket, address, seat }));
                    let Some(slot) = self.bounds.slots.take().await else { return };
                    let Some(Waiting { socket, address, seat }) = waiting.take() else { continue };
                    worker.start(socket, address, (Some(slot), seat));
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Accepts what waits in the kernel's queue, which would be reset with the listener.
    async fn empty<H: Handler>(&self, worker: &Rc<Worker<H>>, listener: &TcpListener) {
        for _ in 0..LAST_PASSES {
            // Tokio hears only now of what came since it last looked, and lets a task accept no more
            // than so many at once.
            tokio::task::yield_now().await;
            let mut is_empty = true;
            while let Some(Ok((socket, address))) = listener.accept().now_or_never() {
                is_empty = false;
                let Some(seat) = self.seat(address) else { continue };
                let Some(slot) = self.bounds.slots.try_take() else { return };
                worker.start(socket, address, (Some(slot), seat));
            }
            if is_empty {
                return;
            }
        }
    }

    /// Lets the connections that are open come to their end, as far as the phase lets them.
    async fn see_out<H: Handler>(&mut self, worker: &Worker<H>) {
        loop {
            let phase = *self.phase.borrow_and_update();
            match phase {
                Phase::Ending => return,
                Phase::HandedOver => worker.tell_all(Order::Last),
                Phase::Serving | Phase::Leaving | Phase::Draining => {
                    worker.tell_all(Order::Finish);
                }
            }
            tokio::select! {
                () = worker.all_closed() => return,
                changed = self.phase.changed() => if changed.is_err() { return },
            }
        }
    }

    /// `None` where the client has as many connections as it may: the new one is closed at once.
    fn seat(&self, address: SocketAddr) -> Option<Seat> {
        let seat = self.bounds.clients.seat(Peer::new(address).ip());
        if seat.is_none() {
            self.counters.crowded.fetch_add(1, Ordering::Relaxed);
        }
        seat
    }
}

impl<H: Handler> Worker<H> {
    fn start(self: &Rc<Self>, socket: TcpStream, address: SocketAddr, place: Place) {
        // Without it a small answer may wait for the client's delayed acknowledgement. A failure
        // means that the connection is gone already.
        let _ = socket.set_nodelay(true);
        let terms = self.terms();
        let connection = Connection::new(Rc::clone(&self.ticks), terms.connection_limits);
        let connection = Rc::new(connection);
        connection.give(self.first_order.get());
        self.connections.borrow_mut().push(Rc::downgrade(&connection));
        let opened = Opened::new(Rc::clone(self), place);
        let worker = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let _opened = opened;
            let driven = worker.drive(socket, Peer::new(address), connection, terms);
            caught(driven, &worker.counters).await;
        });
    }

    /// The terms of a connection that begins now.
    fn terms(&self) -> Rc<Terms> {
        let limits = self.bounds.limits.load();
        let mut terms = self.terms.borrow_mut();
        if !Arc::ptr_eq(&terms.limits, &limits) {
            *terms = Rc::new(Terms::new(Arc::clone(&limits), &self.counters));
            self.repeats.set_limits(terms.head_limits);
        }
        Rc::clone(&terms)
    }

    /// Serves one connection until it is finished or ordered to close.
    async fn drive(
        &self,
        socket: TcpStream,
        peer: Peer,
        connection: Rc<Connection>,
        terms: Rc<Terms>,
    ) {
        let stream = MarkedStream::new(socket, Rc::clone(&connection));
        match &self.tls {
            None => self.speak(&terms.any, &terms, stream, peer, connection).await,
            // Boxed: it would make every connection's task as large as TLS needs it.
            Some(tls) => Box::pin(self.drive_tls(tls, stream, peer, connection, &terms)).await,
        }
    }

    async fn drive_tls(
        &self,
        tls: &LiveTls,
        stream: MarkedStream,
        peer: Peer,
        connection: Rc<Connection>,
        terms: &Terms,
    ) {
        let Some(stream) = tls::handshake(tls, stream, &connection, peer).await else { return };
        let protocol = match tls::is_http_2(&stream) {
            true => &terms.http_2,
            false => &terms.http_1,
        };
        self.speak(protocol, terms, stream, peer.over_tls(), connection).await;
    }

    async fn speak<S>(
        &self,
        protocol: &auto::Builder<LocalExecutor>,
        terms: &Terms,
        stream: S,
        peer: Peer,
        connection: Rc<Connection>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let recorder = Recorder::new(Rc::clone(&self.repeats), Rc::clone(&connection), peer);
        let recorder = Rc::new(recorder);
        let service = service_fn(|request| {
            let answered = exchange::answer(
                Rc::clone(&self.handler),
                terms.head_limits,
                Rc::clone(&connection),
                Rc::clone(&recorder),
                request,
                peer,
            );
            answered.map(Ok::<_, Infallible>)
        });
        let stream = Watched::new(stream, Rc::clone(&connection));
        let io = TokioIo::new(Repeating::new(stream, Rc::clone(&recorder)));
        let mut protocol = pin!(protocol.serve_connection(io, service));
        let mut is_finishing = false;
        let outcome = poll_fn(|cx| {
            let order = connection.poll_order(cx);
            if order == Order::Close {
                // One that only lingers has an end of its own to tell of.
                let is_lingering = connection.is_lingering();
                let served = if is_lingering { protocol.as_mut().poll(cx) } else { Poll::Pending };
                return if served.is_ready() { served } else { Poll::Ready(Ok(())) };
            }
            // First, so that a request that has arrived already counts as one that runs.
            let served = protocol.as_mut().poll(cx);
            if served.is_ready() || is_finishing || !connection.is_to_say_goodbye() {
                return served;
            }
            is_finishing = true;
            protocol.as_mut().graceful_shutdown();
            protocol.as_mut().poll(cx)
        });
        let outcome = outcome.await;
        if connection.is_flooded() || outcome.as_ref().is_err_and(|error| is_flood(&**error)) {
            self.counters.floods.fetch_add(1, Ordering::Relaxed);
        }
        if let Err(error) = outcome {
            tracing::debug!(%error, peer = %peer.ip(), "a connection broke off");
        }
    }

    /// Ends, once a tick, the connections that are overdue. Runs as long as the worker.
    async fn sweep(&self) {
        loop {
            tokio::time::sleep(TICK).await;
            self.ticks.set(self.ticks.get().wrapping_add(1));
            let mut from = self.repeats.sweep(0);
            while let Some(next) = from {
                tokio::task::yield_now().await;
                from = self.repeats.sweep(next);
            }
            self.connections.borrow_mut().retain(|connection| {
                let Some(connection) = connection.upgrade() else { return false };
                let Some(overdue) = connection.overdue() else { return true };
                // An unused HTTP/2 connection is told that it is (GOAWAY), so that its client
                // loses no request to the close; it has until the next tick.
                let is_first_word = connection.is_open();
                if is_first_word {
                    self.count(overdue);
                    tracing::debug!(reason = overdue.as_str(), "closing a connection");
                }
                let may_finish = is_first_word && overdue == Overdue::Idle;
                connection.give(if may_finish { Order::Finish } else { Order::Close });
                may_finish
            });
        }
    }

    fn count(&self, overdue: Overdue) {
        let counter = match overdue {
            Overdue::SlowHead => &self.counters.slow_heads,
            Overdue::Idle => &self.counters.idle,
            Overdue::Stalled => &self.counters.stalled,
            Overdue::Lingering => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives the order to every connection, and to those that are still to come.
    fn tell_all(&self, order: Order) {
        self.first_order.set(order);
        for connection in self.connections.borrow().iter().filter_map(Weak::upgrade) {
            connection.give(order);
        }
    }

    async fn all_closed(&self) {
        while self.open.get() > 0 {
            self.closed.notified().await;
        }
    }
}

/// Counts a connection while its task lives, however that ends.
struct Opened<H> {
    worker: Rc<Worker<H>>,
    _place: Place,
}

/// A connection's place among all, and among its client's. One that had been accepted when the worker
/// stopped accepting may have none among all.
type Place = (Option<places::Place>, Seat);

/// A connection that was accepted, and waits for its place among all.
struct Waiting {
    socket: TcpStream,
    address: SocketAddr,
    seat: Seat,
}

impl<H> Opened<H> {
    fn new(worker: Rc<Worker<H>>, place: Place) -> Self {
        worker.open.set(worker.open.get() + 1);
        worker.counters.accepted.fetch_add(1, Ordering::Relaxed);
        Self { worker, _place: place }
    }
}

impl<H> Drop for Opened<H> {
    fn drop(&mut self) {
        self.worker.open.set(self.worker.open.get().saturating_sub(1));
        self.worker.counters.closed.fetch_add(1, Ordering::Relaxed);
        self.worker.closed.notify_one();
    }
}

/// How a connection is spoken to, and what it is held to, for as long as it is open.
struct Terms {
    limits: Arc<Limits>,
    head_limits: HeadLimits,
    connection_limits: ConnectionLimits,
    /// In the clear: the client's first bytes tell.
    any: auto::Builder<LocalExecutor>,
    http_1: auto::Builder<LocalExecutor>,
    http_2: auto::Builder<LocalExecutor>,
}

impl Terms {
    fn new(limits: Arc<Limits>, counters: &Arc<Counters>) -> Self {
        let any = protocol(&limits, counters);
        Self {
            head_limits: HeadLimits::new(&limits),
            connection_limits: ConnectionLimits::new(&limits),
            limits,
            http_1: any.clone().http1_only(),
            http_2: any.clone().http2_only(),
            any,
        }
    }
}

fn protocol(limits: &Limits, counters: &Arc<Counters>) -> auto::Builder<LocalExecutor> {
    let mut protocol = auto::Builder::new(LocalExecutor(Arc::clone(counters)));
    let buffer_bytes = limits.header_bytes.max(SMALLEST_BUFFER_BYTES);
    protocol.http1().max_buf_size(buffer_bytes).header_read_timeout(None);
    if limits.header_fields > FIELDS_ON_STACK {
        protocol.http1().max_headers(limits.header_fields);
    }
    let resets = usize::try_from(limits.h2_resets).unwrap_or(usize::MAX);
    protocol
        .http2()
        .max_concurrent_streams(limits.h2_streams)
        .max_send_buf_size(exchange::PIECE_BYTES)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        // Reset before they were begun, and reset by h2 for their faults.
        .max_pending_accept_reset_streams(resets)
        .max_local_error_reset_streams(resets);
    protocol
}

/// Whether h2 ended the connection because its client asked for too much (RFC 9113 §10.5).
fn is_flood(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<h2::Error>())
        .any(|error| !error.is_remote() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM))
}

/// Runs HTTP/2's streams on the worker's own thread.
#[derive(Clone, Debug)]
struct LocalExecutor(Arc<Counters>);

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, stream: F) {
        let counters = Arc::clone(&self.0);
        tokio::task::spawn_local(async move { caught(stream, &counters).await });
    }
}

/// A panic ends its own task and nothing else; it is a bug, so it is logged and counted.
async fn caught(task: impl Future<Output = ()>, counters: &Counters) {
    if AssertUnwindSafe(task).catch_unwind().await.is_err() {
        counters.panics.fetch_add(1, Ordering::Relaxed);
        tracing::error!("a connection's task panicked");
    }
}
