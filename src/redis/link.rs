//! The link itself: who may use the connection, and the task that watches over it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, FromRedisValue, RedisError, RedisResult, ScriptInvocation};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::breaker::{Breaker, ConnectionNumber, Pauses};
use super::dial::Dialer;
use super::tally::Tally;
use super::{Command, Connection, Failure, LinkError, RedisSetupError, Role, State};
use crate::clock::Clock;
use crate::config::{Redis, RedisServer};
use crate::metrics::Metrics;

/// When a connection is good, and when it is not.
#[derive(Clone, Copy, Debug)]
pub struct LinkRules {
    /// Time to connect, TLS and authentication included.
    pub connect_timeout: Duration,
    /// Failures in a row that end a connection.
    pub broken_after: u32,
    /// The first pause between attempts; they grow to ten times that.
    pub probe_every: Duration,
    /// Time for a probe.
    pub probe_timeout: Duration,
    /// The longest limit that [`Link::run`] is given.
    pub longest_command: Duration,
}

/// How long a read of the log waits for something to come.
pub(crate) const LOG_WAIT: Duration = Duration::from_secs(1);

impl LinkRules {
    /// As configured, for a link of this role.
    pub fn new(redis: &Redis, role: Role) -> Self {
        let plane = &redis.purge;
        let (probe_timeout, longest_command) = match role {
            Role::Tier => (redis.command_timeout, redis.command_timeout.max(redis.write_timeout)),
            Role::Purge | Role::Beat => (plane.command_timeout, plane.command_timeout),
            Role::Follow => (plane.command_timeout, plane.command_timeout + LOG_WAIT),
        };
        Self {
            connect_timeout: redis.connect_timeout,
            // What follows has waited long before it fails, and loses nothing by asking again.
            broken_after: if role == Role::Follow { 1 } else { redis.broken_after },
            probe_every: redis.probe_every,
            probe_timeout,
            longest_command,
        }
    }
}

/// A connection to one Redis. Cloning shares it; the last clone that goes ends it.
///
/// Commands may be awaited on any runtime that has timers. A command that blocks its connection
/// (`XREAD BLOCK`, `WAIT`) holds up all that share the link.
#[derive(Clone)]
pub struct Link(Arc<Owned>);

struct Owned {
    shared: Arc<Shared>,
    _supervisor: AbortOnDropHandle<()>,
}

struct Shared {
    role: Role,
    rules: LinkRules,
    clock: Clock,
    tally: Tally,
    /// A lock, for a few instructions at either end of a command: what it costs is lost in the
    /// trip to Redis.
    guarded: Mutex<Guarded>,
    state: watch::Sender<State>,
}

struct Guarded {
    breaker: Breaker,
    /// There is one if and only if the breaker is closed.
    live: Option<Live>,
}

#[derive(Clone)]
struct Live {
    number: ConnectionNumber,
    connection: Connection,
    given_up: CancellationToken,
}

impl Link {
    /// Prepares a link and starts to dial. Must be called in a runtime: the connection lives there.
    ///
    /// # Errors
    /// Where the certificates or other settings cannot be used. That nobody answers is none: the
    /// link is down until somebody does.
    pub fn open(
        server: &RedisServer,
        rules: LinkRules,
        role: Role,
        metrics: Metrics,
        clock: Clock,
    ) -> Result<Self, RedisSetupError> {
        let dialer = Dialer::new(server, &rules)?;
        let shared = Arc::new(Shared {
            role,
            rules,
            clock,
            tally: Tally::new(metrics, role),
            guarded: Mutex::new(Guarded { breaker: Breaker::new(rules.broken_after), live: None }),
            state: watch::Sender::new(State::Open),
        });
        let supervisor = tokio::spawn(supervise(Arc::clone(&shared), dialer));
        Ok(Self(Arc::new(Owned { shared, _supervisor: AbortOnDropHandle::new(supervisor) })))
    }

    /// Has `send` talk to Redis, for at most `limit`. `send` is not called while the link is down.
    ///
    /// # Errors
    /// See [`LinkError`]. After [`LinkError::Down`] alone it is certain that nothing was sent.
    pub async fn run<T, F, Fut>(
        &self,
        command: Command,
        limit: Duration,
        send: F,
    ) -> Result<T, LinkError>
    where
        F: FnOnce(Connection) -> Fut,
        Fut: Future<Output = RedisResult<T>>,
    {
        self.0.shared.run(command, limit, send).await
    }

    /// Sends one command.
    ///
    /// # Errors
    /// As [`Link::run`].
    pub async fn ask<T: FromRedisValue>(
        &self,
        command: Command,
        limit: Duration,
        sent: Cmd,
    ) -> Result<T, LinkError> {
        self.run(command, limit, |mut redis| async move { sent.query_async(&mut redis).await })
            .await
    }

    /// Has a script run, which the server is given if it does not know it.
    ///
    /// # Errors
    /// As [`Link::run`].
    pub async fn invoke<T: FromRedisValue>(
        &self,
        command: Command,
        limit: Duration,
        call: ScriptInvocation<'_>,
    ) -> Result<T, LinkError> {
        self.run(command, limit, |mut redis| async move { call.invoke_async(&mut redis).await })
            .await
    }

    /// Whether commands get through.
    pub fn state(&self) -> State {
        *self.0.shared.state.borrow()
    }

    /// Whether there is a connection that commands may use.
    pub fn is_up(&self) -> bool {
        self.state() == State::Closed
    }

    /// Returns once there is such a connection.
    pub async fn up(&self) {
        // The sender is held by `self`, so the channel cannot close under the wait.
        let _ = self.states().wait_for(|state| *state == State::Closed).await;
    }

    /// Every change of the state from now on.
    pub fn states(&self) -> watch::Receiver<State> {
        self.0.shared.state.subscribe()
    }

    /// Gives the connection up and dials anew: for who knows by other means that it is no good.
    pub fn replace(&self) {
        let mut guarded = self.0.shared.guarded.lock();
        if guarded.breaker.give_up() {
            self.0.shared.let_go(guarded, "asked");
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("role", &self.0.shared.role)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl Shared {
    async fn run<T, F, Fut>(
        &self,
        command: Command,
        limit: Duration,
        send: F,
    ) -> Result<T, LinkError>
    where
        F: FnOnce(Connection) -> Fut,
        Fut: Future<Output = RedisResult<T>>,
    {
        let live = self.guarded.lock().live.clone();
        let Some(Live { number, connection, given_up }) = live else {
            let down = Err(LinkError::Down);
            self.tally.count(command, &down, None);
            return down;
        };
        let mends_itself = connection.mends_itself();
        let started = self.clock.monotonic();
        let result = tokio::select! {
            biased;
            ended = timeout(limit, send(connection)) => match ended {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(source)) => Err(match Failure::of(&source) {
                    Failure::TimedOut => LinkError::TimedOut,
                    failure => LinkError::Failed { failure, source },
                }),
                Err(_) => Err(LinkError::TimedOut),
            },
            () = given_up.cancelled() => Err(LinkError::GivenUp),
        };
        let took = self.clock.monotonic().saturating_sub(started);
        self.tally.count(command, &result, Some(took));
        self.weigh(number, mends_itself, &result);
        result
    }

    fn weigh<T>(
        &self,
        number: ConnectionNumber,
        mends_itself: bool,
        result: &Result<T, LinkError>,
    ) {
        let failure = match result {
            Ok(_) => return self.guarded.lock().breaker.answered(number),
            // It says nothing about the connection that is in use now.
            Err(LinkError::Down | LinkError::GivenUp) => return,
            Err(LinkError::TimedOut) => Failure::TimedOut,
            Err(LinkError::Failed { failure, .. }) => *failure,
        };
        let mut guarded = self.guarded.lock();
        if guarded.breaker.failed(number, failure.weight(mends_itself)) {
            self.let_go(guarded, failure.as_str());
        }
    }

    /// The breaker has opened: lets go of the connection. What is under way on it ends now.
    fn let_go(&self, mut guarded: MutexGuard<'_, Guarded>, reason: &'static str) {
        let live = guarded.live.take();
        self.publish(&guarded.breaker);
        drop(guarded);
        self.tally.replaced(reason);
        tracing::warn!(link = self.role.as_str(), reason, "Redis is given up");
        if let Some(live) = live {
            live.given_up.cancel();
        }
    }

    /// Under the lock, so that states are told in the order in which they were.
    fn publish(&self, breaker: &Breaker) {
        self.tally.state(breaker.state());
        self.state.send_replace(breaker.state());
    }

    /// Dials, with pauses, until a probe is answered. What comes back says when the connection is
    /// given up.
    async fn connect(
        &self,
        dialer: &Dialer,
        pauses: &mut Pauses,
        attempts: &mut usize,
    ) -> CancellationToken {
        let mut told = false;
        loop {
            sleep(pauses.next().mul_f64(rand::random_range(0.75..1.25))).await;
            *attempts = attempts.wrapping_add(1);
            let problem = match self.try_once(dialer, *attempts).await {
                Ok(given_up) => {
                    tracing::info!(link = self.role.as_str(), "Redis is reached");
                    return given_up;
                }
                Err(problem) => problem,
            };
            // Once for each time that it is away.
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(link = self.role.as_str(), %problem, "Redis is not reached");
            }
        }
    }

    async fn try_once(
        &self,
        dialer: &Dialer,
        attempt: usize,
    ) -> Result<CancellationToken, Unreached> {
        let connection = match timeout(dialer.limit, dialer.dial(attempt)).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(Unreached::Dialling(error)),
            Err(_) => return Err(Unreached::ConnectTimeout),
        };
        {
            let mut guarded = self.guarded.lock();
            guarded.breaker.dialled();
            self.publish(&guarded.breaker);
        }
        let probed = timeout(self.rules.probe_timeout, connection.clone().ping()).await;
        let mut guarded = self.guarded.lock();
        let problem = match probed {
            Ok(Ok(())) => {
                let number = guarded.breaker.probed();
                let given_up = CancellationToken::new();
                guarded.live = Some(Live { number, connection, given_up: given_up.clone() });
                self.publish(&guarded.breaker);
                return Ok(given_up);
            }
            Ok(Err(error)) => Unreached::Probing(error),
            Err(_) => Unreached::ProbeTimeout,
        };
        guarded.breaker.unanswered();
        self.publish(&guarded.breaker);
        Err(problem)
    }

    /// Returns once the connection is given up. Looks after it where nobody else does: of one on
    /// which nothing is asked, nothing is learnt.
    async fn watch(&self, given_up: &CancellationToken, every: Duration) {
        // A probe behind a command that blocks would be late for no fault of the connection's.
        if self.role == Role::Follow {
            return given_up.cancelled().await;
        }
        while timeout(every, given_up.cancelled()).await.is_err() {
            let _ = self.run(Command::Ping, self.rules.probe_timeout, Connection::ping).await;
        }
    }
}

async fn supervise(shared: Arc<Shared>, dialer: Dialer) {
    let mut pauses = Pauses::new(shared.rules.probe_every);
    let mut attempts = 0;
    loop {
        let given_up = shared.connect(&dialer, &mut pauses, &mut attempts).await;
        let since = shared.clock.monotonic();
        shared.watch(&given_up, pauses.longest()).await;
        pauses.lived(shared.clock.monotonic().saturating_sub(since));
    }
}

/// Why an attempt came to nothing.
#[derive(Debug, thiserror::Error)]
enum Unreached {
    #[error("no connection in time")]
    ConnectTimeout,
    #[error("{0}")]
    Dialling(RedisError),
    #[error("connected, and no answer in time")]
    ProbeTimeout,
    #[error("connected, and refused: {0}")]
    Probing(RedisError),
}
