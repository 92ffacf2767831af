//! One connection: what it was last seen doing, and the orders it gets.
//!
//! A timer for each request would cost more than the request. Instead each connection leaves
//! marks in ticks of about a second, and the worker's sweep, once a tick, ends those whose marks
//! are too old.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::frames;
use crate::config::Limits;

/// Ticks for which a client may take the last bytes of a closing connection (RFC 9112 §9.6).
const LINGER_TICKS: u32 = 2;

/// What is read and forgotten meanwhile of a client of HTTP/2. One that is told to go for flooding
/// would go on; in HTTP/1.1 it may be the body of a request that was refused.
const LINGER_BYTES: usize = 256 << 10;

/// Frames of HTTP/2 that a request may be followed by: windows, priorities, a reset.
const FRAMES_A_REQUEST: u32 = 10;

/// Bytes of answers that explain one more frame. Clients open their windows every few kilobytes at
/// most; the acknowledgement of a PING, at 17 bytes, must not pay for the next one.
const BYTES_A_FRAME: usize = 32;

/// The worker's clock of ticks.
pub(super) type Ticks = Rc<Cell<u32>>;

/// What a connection is to do. Each order goes further than those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Order {
    Serve,
    /// Tell the client with the next answer that it is the last one. A connection that is closed while
    /// its client sends costs that client a request, so it stays until the client knows.
    Last,
    /// Finish the exchanges that run, then close.
    Finish,
    /// Close now.
    Close,
}

/// Why the sweep closes a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Overdue {
    SlowHead,
    Idle,
    Stalled,
    Lingering,
}

impl Overdue {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::SlowHead => "slow-head",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::Lingering => "lingering",
        }
    }
}

/// The limits of [`Limits`] on one connection, times in ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionLimits {
    head: u32,
    keep_alive: u32,
    /// Frames of HTTP/2 past those that are explained.
    frames: u32,
    /// Streams of HTTP/2 that a client resets, past those that it lets end.
    resets: u32,
}

impl ConnectionLimits {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            head: ticks(limits.header_timeout),
            keep_alive: ticks(limits.keep_alive),
            frames: limits.h2_frames,
            resets: limits.h2_resets,
        }
    }
}

/// A tick may pass right after a mark, so one more than the span holds are needed to be sure that
/// it has passed.
fn ticks(span: Duration) -> u32 {
    let whole = span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0));
    u32::try_from(whole.saturating_add(1)).unwrap_or(u32::MAX)
}

/// What one connection was last seen doing.
#[derive(Debug)]
pub(super) struct Connection {
    ticks: Ticks,
    limits: ConnectionLimits,
    order: Cell<Order>,
    task: AtomicWaker,
    exchanges: Cell<u32>,
    /// Whether a request has come.
    is_used: Cell<bool>,
    /// HTTP/2: bytes between requests need not be a head.
    is_multiplexed: Cell<bool>,
    head_since: Cell<Option<u32>>,
    idle_since: Cell<u32>,
    stalled_since: Cell<Option<u32>>,
    lingers_since: Cell<Option<u32>>,
    is_broken: Cell<bool>,
    /// Answers of HTTP/2 whose next piece the client does not take, and since when.
    untaken: RefCell<BTreeMap<u64, u32>>,
    answers: Cell<u64>,
    /// Frames of HTTP/2 that nothing explains.
    frames: Cell<u32>,
    resets: Cell<u32>,
}

impl Connection {
    pub(super) fn new(ticks: Ticks, limits: ConnectionLimits) -> Self {
        let now = ticks.get();
        Self {
            ticks,
            limits,
            order: Cell::new(Order::Serve),
            task: AtomicWaker::new(),
            exchanges: Cell::new(0),
            is_used: Cell::new(false),
            is_multiplexed: Cell::new(false),
            // Whoever connects is about to send a head.
            head_since: Cell::new(Some(now)),
            idle_since: Cell::new(now),
            stalled_since: Cell::new(None),
            lingers_since: Cell::new(None),
            is_broken: Cell::new(false),
            untaken: RefCell::default(),
            answers: Cell::new(0),
            frames: Cell::new(0),
            resets: Cell::new(0),
        }
    }

    /// The order that stands; the task that asks is woken by the next.
    pub(super) fn poll_order(&self, cx: &Context<'_>) -> Order {
        self.task.register(cx.waker());
        self.order.get()
    }

    /// Whether nothing else was ordered since.
    pub(super) fn stands_at(&self, order: Order) -> bool {
        self.order.get() == order
    }

    /// Whether it goes on as it is, with further requests or one.
    pub(super) fn is_open(&self) -> bool {
        self.order.get() <= Order::Last
    }

    pub(super) fn give(&self, order: Order) {
        self.order.set(self.order.get().max(order));
        self.task.wake();
    }

    /// Whether the answer that is about to be given has to say that no other follows. In HTTP/2 the
    /// connection says so by itself, once a request has come: before that it could not be begun.
    pub(super) fn gives_last_answer(&self) -> bool {
        self.stands_at(Order::Last) && !self.is_multiplexed.get()
    }

    /// Whether the client is to be told that it is to finish: by GOAWAY, after which each stream that
    /// it has begun is answered.
    pub(super) fn is_to_say_goodbye(&self) -> bool {
        match self.order.get() {
            Order::Serve => false,
            Order::Last => self.is_multiplexed.get() && self.is_used.get(),
            Order::Finish | Order::Close => true,
        }
    }

    /// Takes a step of the connection's life, unless it is ordered to close meanwhile.
    pub(super) async fn unless_closed<F: Future>(&self, step: F) -> Option<F::Output> {
        let mut step = pin!(step);
        poll_fn(|cx| match self.poll_order(cx) {
            Order::Close => Poll::Ready(None),
            Order::Serve | Order::Last | Order::Finish => step.as_mut().poll(cx).map(Some),
        })
        .await
    }

    pub(super) fn begin_exchange(&self, is_multiplexed: bool) {
        self.is_multiplexed.set(is_multiplexed);
        self.is_used.set(true);
        self.exchanges.set(self.exchanges.get() + 1);
        self.head_since.set(None);
    }

    pub(super) fn end_exchange(&self) {
        self.exchanges.set(self.exchanges.get().saturating_sub(1));
        self.idle_since.set(self.ticks.get());
    }

    /// A response broke off. In HTTP/2 its stream is reset; in HTTP/1 the connection is, because
    /// to a client that reads until the close an orderly one would look like the end.
    pub(super) fn break_off(&self) {
        self.is_broken.set(!self.is_multiplexed.get());
    }

    fn received(&self) {
        let is_between = self.exchanges.get() == 0 && !self.is_multiplexed.get();
        if is_between && self.head_since.get().is_none() {
            self.head_since.set(Some(self.ticks.get()));
        }
    }

    fn sent<T>(&self, outcome: &Poll<T>) {
        if outcome.is_ready() {
            self.stalled_since.set(None);
        } else if self.stalled_since.get().is_none() {
            self.stalled_since.set(Some(self.ticks.get()));
        }
    }

    /// Whether a request is being answered.
    pub(super) const fn has_exchanges(&self) -> bool {
        self.exchanges.get() > 0
    }

    pub(super) const fn is_multiplexed(&self) -> bool {
        self.is_multiplexed.get()
    }

    /// The client began as HTTP/2 does.
    pub(super) fn speaks_http_2(&self) {
        self.is_multiplexed.set(true);
    }

    /// Whether all has been said, and only the client's end is waited for.
    pub(super) const fn is_lingering(&self) -> bool {
        self.lingers_since.get().is_some()
    }

    /// A number for an answer, for [`Connection::waits_for_client`].
    pub(super) fn number_answer(&self) -> u64 {
        self.answers.update(|answers| answers + 1);
        self.answers.get()
    }

    /// A piece of this answer is there, and it is up to the client's window when the next is asked
    /// for.
    pub(super) fn waits_for_client(&self, answer: u64) {
        self.untaken.borrow_mut().insert(answer, self.ticks.get());
    }

    /// The next piece of this answer is asked for, or the answer is at its end.
    pub(super) fn waits_no_more(&self, answer: u64) {
        self.untaken.borrow_mut().remove(&answer);
    }

    /// Bytes of an answer went out: the connection is in use, though all of its exchanges may have
    /// been handed over.
    pub(super) fn answer_moved(&self) {
        self.idle_since.set(self.ticks.get());
    }

    /// A frame came. Those that ask for something explain others; bytes of bodies are bounded by
    /// their windows, and how they are cut by h2.
    pub(super) fn received_frame(&self, kind: u8) {
        self.frames.set(match kind {
            frames::HEADERS => self.frames.get().saturating_sub(FRAMES_A_REQUEST),
            frames::DATA => self.frames.get(),
            _ => self.frames.get().saturating_add(1),
        });
    }

    /// Bytes of HTTP/2 went out.
    pub(super) fn sent_bytes(&self, count: usize) {
        let explained = u32::try_from(count / BYTES_A_FRAME).unwrap_or(u32::MAX);
        self.frames.set(self.frames.get().saturating_sub(explained));
    }

    /// A stream ended: by its answer, or reset by the client before.
    pub(super) fn end_stream(&self, is_whole: bool) {
        let resets = self.resets.get();
        self.resets.set(if is_whole { resets.saturating_sub(1) } else { resets + 1 });
        if self.is_flooded() {
            self.give(Order::Close);
        }
    }

    /// Whether the client does more than it lets be answered.
    pub(super) const fn is_flooded(&self) -> bool {
        self.frames.get() > self.limits.frames || self.resets.get() > self.limits.resets
    }

    /// Why this connection has to go, if it has to.
    pub(super) fn overdue(&self) -> Option<Overdue> {
        let limits = self.limits;
        let is_past = |since: u32, limit| self.ticks.get().wrapping_sub(since) >= limit;
        let is_set_past = |since: &Cell<Option<u32>>, limit| {
            since.get().is_some_and(|since| is_past(since, limit))
        };
        if is_set_past(&self.lingers_since, LINGER_TICKS) {
            Some(Overdue::Lingering)
        } else if is_set_past(&self.stalled_since, limits.keep_alive)
            || self.untaken.borrow().values().any(|&since| is_past(since, limits.keep_alive))
        {
            Some(Overdue::Stalled)
        } else if self.exchanges.get() > 0 {
            None
        } else if is_set_past(&self.head_since, limits.head) {
            Some(Overdue::SlowHead)
        } else {
            is_past(self.idle_since.get(), limits.keep_alive).then_some(Overdue::Idle)
        }
    }
}

/// A connection's socket, which marks what passes through it.
#[derive(Debug)]
pub(super) struct MarkedStream {
    socket: TcpStream,
    connection: Rc<Connection>,
    lingered: usize,
}

impl MarkedStream {
    pub(super) const fn new(socket: TcpStream, connection: Rc<Connection>) -> Self {
        Self { socket, connection, lingered: 0 }
    }

    /// Reads and forgets until the client has closed too. A socket closed over unread bytes sends
    /// a reset, which can overtake the answer that told the client why (RFC 9112 §9.6).
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scrap = [0; 4096];
        while self.connection.is_open() {
            let mut buffer = ReadBuf::new(&mut scrap);
            match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => self.lingered += buffer.filled().len(),
                _ => break,
            }
            if self.connection.is_multiplexed() && self.lingered > LINGER_BYTES {
                break;
            }
        }
        Poll::Ready(())
    }
}

impl Drop for MarkedStream {
    fn drop(&mut self) {
        if self.connection.is_broken.get() {
            // A failure means that the connection is gone already.
            let _ = self.socket.set_zero_linger();
        }
    }
}

impl AsyncRead for MarkedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut this.socket).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            this.connection.received();
        }
        outcome
    }
}

impl AsyncWrite for MarkedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.socket).poll_write(cx, bytes);
        this.connection.sent(&outcome);
        outcome
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.socket).poll_write_vectored(cx, slices);
        this.connection.sent(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.connection.lingers_since.get().is_none() {
            ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
            this.connection.lingers_since.set(Some(this.connection.ticks.get()));
        }
        this.poll_linger(cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ConnectionLimits =
        ConnectionLimits { head: 11, keep_alive: 76, frames: 100, resets: 3 };
    const PING: u8 = 6;

    fn connection() -> (Ticks, Connection) {
        let ticks = Ticks::default();
        (Rc::clone(&ticks), Connection::new(ticks, LIMITS))
    }

    #[test]
    fn limits_are_never_met_early() {
        assert_eq!(ticks(Duration::from_secs(10)), 11);
        assert_eq!(ticks(Duration::from_millis(10_001)), 12);
        assert_eq!(ticks(Duration::MAX), u32::MAX);
    }

    #[test]
    fn a_connection_that_sends_no_head_is_overdue() {
        let (now, connection) = connection();
        now.set(10);
        connection.received();
        assert_eq!(connection.overdue(), None);
        now.set(11);
        assert_eq!(connection.overdue(), Some(Overdue::SlowHead));
    }

    #[test]
    fn a_head_that_follows_an_exchange_has_its_own_time() {
        let (now, connection) = connection();
        connection.begin_exchange(false);
        now.set(50);
        assert_eq!(connection.overdue(), None, "an exchange may take as long as it takes");
        connection.end_exchange();
        now.set(100);
        assert_eq!(connection.overdue(), None, "kept alive");
        connection.received();
        now.set(111);
        assert_eq!(connection.overdue(), Some(Overdue::SlowHead));
    }

    #[test]
    fn an_unused_http_2_connection_is_idle_whatever_frames_it_sends() {
        let (now, connection) = connection();
        connection.begin_exchange(true);
        connection.end_exchange();
        connection.received();
        now.set(75);
        assert_eq!(connection.overdue(), None);
        now.set(76);
        assert_eq!(connection.overdue(), Some(Overdue::Idle));
    }

    #[test]
    fn a_client_that_takes_nothing_of_its_answer_is_overdue() {
        let (now, connection) = connection();
        connection.begin_exchange(false);
        connection.sent::<()>(&Poll::Pending);
        now.set(75);
        connection.sent::<()>(&Poll::Pending);
        assert_eq!(connection.overdue(), None);
        now.set(76);
        assert_eq!(connection.overdue(), Some(Overdue::Stalled));
        connection.sent(&Poll::Ready(()));
        assert_eq!(connection.overdue(), None);
    }

    #[test]
    fn an_answer_that_goes_out_slowly_keeps_its_connection_from_being_idle() {
        let (now, connection) = connection();
        connection.begin_exchange(false);
        connection.end_exchange();
        now.set(75);
        connection.answer_moved();
        now.set(76);
        assert_eq!(connection.overdue(), None);
        now.set(151);
        assert_eq!(connection.overdue(), Some(Overdue::Idle));
    }

    #[test]
    fn one_answer_of_http_2_that_is_not_taken_is_overdue_though_others_are() {
        let (now, connection) = connection();
        connection.begin_exchange(true);
        let (stuck, moving) = (connection.number_answer(), connection.number_answer());
        connection.waits_for_client(stuck);
        now.set(75);
        connection.waits_for_client(moving);
        connection.answer_moved();
        assert_eq!(connection.overdue(), None);
        now.set(76);
        assert_eq!(connection.overdue(), Some(Overdue::Stalled));
        connection.waits_no_more(stuck);
        assert_eq!(connection.overdue(), None);
    }

    #[test]
    fn frames_past_those_that_requests_and_answers_explain_are_a_flood() {
        let (_, connection) = connection();
        let pings = |count| (0..count).for_each(|_| connection.received_frame(PING));
        pings(100);
        assert!(!connection.is_flooded());
        connection.received_frame(frames::HEADERS);
        connection.sent_bytes(BYTES_A_FRAME * 20);
        pings(30);
        assert!(!connection.is_flooded());
        pings(1);
        assert!(connection.is_flooded());
    }

    #[test]
    fn resets_past_what_is_let_end_are_a_flood() {
        let (_, connection) = connection();
        for is_whole in [true, false, false, false, true, false] {
            connection.end_stream(is_whole);
        }
        assert!(!connection.is_flooded());
        assert!(connection.stands_at(Order::Serve));
        connection.end_stream(false);
        assert!(connection.is_flooded());
        assert!(connection.stands_at(Order::Close));
    }

    #[test]
    fn an_order_to_close_is_not_taken_back() {
        let (_, connection) = connection();
        connection.give(Order::Close);
        connection.give(Order::Finish);
        assert_eq!(connection.order.get(), Order::Close);
    }
}
