//! A proxy of TCP whose faults a test switches while connections run through it.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::wire::soon;

/// What is answered under [`Fault::Garbage`]: no type of RESP starts so.
pub const GARBAGE: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";

/// The most that is held each way of a connection, so that a slow reader slows the sender.
const MOST_HELD_BYTES: usize = 64 << 10;

/// What is done to connections, both those that are open and new ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Nothing: all goes through.
    Pass,
    /// Each chunk is late by this, either way.
    Delay(Duration),
    /// So many bytes a second go through, either way.
    Throttle(u32),
    /// Nothing is read and nothing forwarded. What was sent meanwhile is delivered afterwards.
    Hang,
    /// The peer has vanished: whatever is sent is taken and lost. What was open under it is reset
    /// afterwards, as by a host that came back and knows nothing.
    HalfOpen,
    /// Connections are reset.
    Reset,
    /// New connections are closed at once; those that are open go on.
    Refuse,
    /// Whatever clients send is lost and answered with [`GARBAGE`]. Connections that were answered
    /// so are reset afterwards.
    Garbage,
}

#[derive(Clone, Copy)]
struct State {
    fault: Fault,
    target: SocketAddr,
    /// How often all connections were broken. A count, so that none misses a fault that is over
    /// before it looks.
    breaks: u64,
}

/// The proxy. Dropped, it is gone with its connections.
pub struct FaultProxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    accepted: watch::Sender<usize>,
    _serving: AbortOnDropHandle<()>,
}

impl FaultProxy {
    /// A proxy that passes all to `target` and back.
    pub async fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = watch::Sender::new(State { fault: Fault::Pass, target, breaks: 0 });
        let accepted = watch::Sender::new(0);
        let serving = tokio::spawn(serve(listener, state.clone(), accepted.clone()));
        Self { address, state, accepted, _serving: AbortOnDropHandle::new(serving) }
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From when this returns, nothing that is sent goes the old way.
    pub fn set(&self, fault: Fault) {
        self.state.send_modify(|state| {
            let vanished = state.fault == Fault::HalfOpen && fault != Fault::HalfOpen;
            state.breaks += u64::from(vanished || fault == Fault::Reset);
            state.fault = fault;
        });
    }

    /// Sends new connections elsewhere; those that are open go on.
    pub fn retarget(&self, target: SocketAddr) {
        self.state.send_modify(|state| state.target = target);
    }

    /// How many connections were made in all, those that were refused too.
    pub fn connections(&self) -> usize {
        *self.accepted.borrow()
    }

    /// Waits until so many connections were made in all.
    pub async fn connected(&self, count: usize) {
        soon(self.accepted.subscribe().wait_for(|accepted| *accepted >= count)).await.unwrap();
    }
}

async fn serve(listener: TcpListener, state: watch::Sender<State>, accepted: watch::Sender<usize>) {
    let mut open = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let seen = state.subscribe();
        let born = *seen.borrow();
        if born.fault != Fault::Refuse {
            open.spawn(live(Connection::of(client), seen, born.breaks));
        }
        accepted.send_modify(|accepted| *accepted += 1);
    }
}

/// Takes a connection through all the faults of its life.
async fn live(mut connection: Connection, mut state: watch::Receiver<State>, born: u64) {
    loop {
        let now = *state.borrow_and_update();
        if now.breaks > born {
            return connection.reset();
        }
        let step = tokio::select! {
            // First, so that nothing is forwarded under a fault that is over.
            biased;
            changed = state.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            step = connection.step(now) => step,
        };
        match step {
            Ok(Step::More) => {}
            Ok(Step::Over) => return,
            Err(_) => return connection.reset(),
        }
    }
}

enum Step {
    More,
    Over,
}

struct Connection {
    client: TcpStream,
    /// Made when there is something to carry.
    server: Option<TcpStream>,
    up: Flow,
    down: Flow,
    garbled: bool,
}

impl Connection {
    fn of(client: TcpStream) -> Self {
        client.set_nodelay(true).unwrap();
        Self { client, server: None, up: Flow::new(), down: Flow::new(), garbled: false }
    }

    /// One move under a fault. May be dropped in the middle: what was read is not lost.
    async fn step(&mut self, now: State) -> io::Result<Step> {
        match now.fault {
            Fault::Pass | Fault::Refuse => self.carry(now.target, Pace::AT_ONCE).await,
            Fault::Delay(delay) => self.carry(now.target, Pace { delay, ..Pace::AT_ONCE }).await,
            Fault::Throttle(rate) => {
                self.carry(now.target, Pace { rate: Some(rate.max(1)), ..Pace::AT_ONCE }).await
            }
            Fault::Hang => pending().await,
            Fault::HalfOpen => self.swallow().await,
            Fault::Reset => Err(io::ErrorKind::ConnectionReset.into()),
            Fault::Garbage => self.garble().await,
        }
    }

    async fn carry(&mut self, target: SocketAddr, pace: Pace) -> io::Result<Step> {
        if self.garbled {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let server = match &mut self.server {
            Some(server) => server,
            none => {
                let server = TcpStream::connect(target).await?;
                server.set_nodelay(true)?;
                none.insert(server)
            }
        };
        let (mut from_client, mut to_client) = self.client.split();
        let (mut from_server, mut to_server) = server.split();
        tokio::select! {
            step = self.up.step(&mut from_client, &mut to_server, pace), if !self.up.over => step?,
            step = self.down.step(&mut from_server, &mut to_client, pace), if !self.down.over => {
                step?;
            }
            else => return Ok(Step::Over),
        }
        Ok(Step::More)
    }

    async fn swallow(&mut self) -> io::Result<Step> {
        // That one end closes is lost on the other, too.
        tokio::select! {
            () = drain(&mut self.client, &mut self.up) => {}
            () = drain_if_any(self.server.as_mut(), &mut self.down) => {}
        }
        Ok(Step::More)
    }

    async fn garble(&mut self) -> io::Result<Step> {
        if self.client.read(&mut self.up.scrap).await? == 0 {
            return Ok(Step::Over);
        }
        self.garbled = true;
        self.client.write_all(GARBAGE).await?;
        Ok(Step::More)
    }

    /// Closes both ends by RST.
    fn reset(self) {
        for stream in [Some(self.client), self.server].into_iter().flatten() {
            let _ = stream.set_zero_linger();
        }
    }
}

/// Reads and forgets, and is never done.
async fn drain(stream: &mut TcpStream, flow: &mut Flow) {
    while let Ok(1..) = stream.read(&mut flow.scrap).await {}
    pending().await
}

async fn drain_if_any(stream: Option<&mut TcpStream>, flow: &mut Flow) {
    match stream {
        Some(stream) => drain(stream, flow).await,
        None => pending().await,
    }
}

#[derive(Clone, Copy)]
struct Pace {
    delay: Duration,
    /// Bytes a second.
    rate: Option<u32>,
}

impl Pace {
    const AT_ONCE: Self = Self { delay: Duration::ZERO, rate: None };
}

/// One way of a connection.
struct Flow {
    /// What was read and not yet written, with the moment when it was read.
    held: VecDeque<(Instant, Bytes)>,
    held_bytes: usize,
    /// When the next byte may go, under a rate.
    free_at: Option<Instant>,
    /// The sender has closed its way.
    ended: bool,
    /// The receiver knows of it.
    over: bool,
    scrap: Vec<u8>,
}

impl Flow {
    fn new() -> Self {
        Self {
            held: VecDeque::new(),
            held_bytes: 0,
            free_at: None,
            ended: false,
            over: false,
            scrap: vec![0; 16 << 10],
        }
    }

    /// Reads or writes once.
    async fn step(
        &mut self,
        from: &mut ReadHalf<'_>,
        to: &mut WriteHalf<'_>,
        pace: Pace,
    ) -> io::Result<()> {
        let Some((read_at, chunk)) = self.held.front_mut() else {
            if self.ended {
                self.over = true;
                return to.shutdown().await;
            }
            let count = from.read(&mut self.scrap).await?;
            self.hold(count);
            return Ok(());
        };
        let due = match (pace.rate, self.free_at) {
            (Some(_), Some(free_at)) => free_at,
            _ => *read_at + pace.delay,
        };
        // A twentieth of a second's bytes, so that a rate is not a row of bursts.
        let most = pace.rate.map_or(usize::MAX, |rate| (rate as usize / 20).max(1));
        let slice = chunk.slice(..chunk.len().min(most));
        let write = async {
            sleep_until(due).await;
            to.write(&slice).await
        };
        let room = !self.ended && self.held_bytes < MOST_HELD_BYTES;
        let written = tokio::select! {
            written = write => written?,
            readable = from.readable(), if room => {
                readable?;
                // Not a read that waits: it would keep back what is held, if nothing came after all.
                match from.try_read(&mut self.scrap) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    count => self.hold(count?),
                }
                return Ok(());
            }
        };
        chunk.advance(written);
        if chunk.is_empty() {
            self.held.pop_front();
        }
        self.held_bytes -= written;
        let pause = |rate| Duration::from_secs_f64(written as f64 / f64::from(rate));
        self.free_at = pace.rate.map(|rate| Instant::now() + pause(rate));
        Ok(())
    }

    /// Keeps what was just read; nothing is the end.
    fn hold(&mut self, count: usize) {
        if count == 0 {
            self.ended = true;
        } else {
            self.held.push_back((Instant::now(), Bytes::copy_from_slice(&self.scrap[..count])));
            self.held_bytes += count;
        }
    }
}
