//! The gate in front of the origin: what is sent, when, and for whom. One for each origin and node.
//!
//! A Scale Unit is shared with tills and checkouts, and a cache that is cold, purged or attacked can
//! send it more than all of them. Four things stand before every request, each in a file of its own,
//! each pure:
//!
//! | file | shut because | until |
//! |---|---|---|
//! | `breaker.rs` | the origin fails | a probe succeeds |
//! | `throttle.rs` | the origin asked for less | the moment that it named |
//! | `budget.rs` | as many were sent as may be in a span | the next token |
//! | `concurrency.rs` | as many are there as it can do at once | one is answered |
//!
//! Who may go first: a client that waits, and among clients who came first; then a revalidation, a
//! refresh ahead, a fetch after a purge. Only clients wait, in one line, with a bound on its length
//! and on the wait; all others go now or not at all, and leave a part of the budget and of the places
//! to those above them. Writes that pass are an exception to everything: a shopper's order is worth
//! more than any limit, so they are never held back, but counted.
//!
//! An [`Admission`] is a right to send. With [`Admission::leave`] it is used and becomes
//! [`UnderWay`], which [`UnderWay::end`] ends with what became of it. Either may be dropped at any
//! time instead: nothing was sent, or nobody waits for the end.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Clock;
use crate::config;
use crate::error::ProxyError;
use crate::metrics::Metrics;
use crate::operation::Class;
use room::{Heard, Pass, Room, Sent, Ticket, Turn};

pub use breaker::BreakerState;
pub use ending::Ending;
pub use retry_after::retry_after;

mod breaker;
mod budget;
mod concurrency;
mod ending;
mod latency;
mod retry_after;
mod room;
#[cfg(test)]
mod tests;
mod throttle;

/// What the metrics say of a write, which has no priority.
const WRITE: &str = "write";

/// For whom a request is sent, the first before the others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Priority {
    /// A client that waits for it.
    Client,
    /// Whether a stale answer, which was served, still stands.
    Revalidation,
    /// An answer that will be stale soon.
    RefreshAhead,
    /// An answer that was purged, and may be asked for again.
    AfterPurge,
}

impl Priority {
    /// Every priority, the first before the others.
    pub const ALL: [Self; 4] =
        [Self::Client, Self::Revalidation, Self::RefreshAhead, Self::AfterPurge];

    /// The priority, as a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Revalidation => "revalidation",
            Self::RefreshAhead => "refresh-ahead",
            Self::AfterPurge => "after-purge",
        }
    }

    /// How many quarters of the burst and of the places are left to higher ones. Even steps: so each
    /// kind of work stops before the next more important one is touched, and clients have a quarter
    /// that nothing in the background ever takes.
    const fn leaves(self) -> u32 {
        match self {
            Self::Client => 0,
            Self::Revalidation => 1,
            Self::RefreshAhead => 2,
            Self::AfterPurge => 3,
        }
    }
}

/// Whether a client's request may wait for its turn; who may comes further.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Patience {
    /// For `origin.gate.max_wait`.
    Waits,
    /// Now or not at all: there is something else to serve.
    None,
}

/// Why a request is not sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ShutReason {
    /// The origin asked for less, for a time.
    Throttled,
    /// The budget is spent.
    Budget,
    /// As many are at the origin as may be at once, and the line is full or did not move in time.
    Concurrency,
    /// The origin fails.
    Broken,
}

impl ShutReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Throttled, Self::Budget, Self::Concurrency, Self::Broken];

    /// The reason, for metric labels and log fields.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Budget => "budget",
            Self::Concurrency => "concurrency",
            Self::Broken => "broken",
        }
    }
}

/// The gate is shut for this request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the gate to the origin is shut: {}", reason.as_str())]
pub struct Shut {
    /// Why.
    pub reason: ShutReason,
    /// How long it makes no sense to try again: exact where the origin or the budget tells it, else
    /// a guess.
    pub retry_after: Duration,
}

impl From<Shut> for ProxyError {
    fn from(shut: Shut) -> Self {
        let part = u64::from(shut.retry_after.subsec_nanos() > 0);
        let seconds = shut.retry_after.as_secs().saturating_add(part).max(1);
        Self::OriginShut { retry_after_seconds: u32::try_from(seconds).unwrap_or(u32::MAX) }
    }
}

/// What a client's request would meet now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outlook {
    /// It would be sent.
    Open,
    /// It would wait for its turn, because of this.
    Waits(ShutReason),
    /// It would be refused.
    Shut(Shut),
}

/// The gate.
pub struct Gate {
    room: Mutex<Room>,
    clock: Clock,
    metrics: Metrics,
}

impl Gate {
    /// An open one, with a full budget.
    pub fn new(settings: &config::Gate, clock: Clock, metrics: Metrics) -> Arc<Self> {
        let room = Mutex::new(Room::new(settings, clock.monotonic()));
        // So that they can be watched before the first of each.
        metrics.gate_admitted.with_label_values(&[WRITE]);
        for priority in Priority::ALL.map(Priority::as_str) {
            metrics.gate_admitted.with_label_values(&[priority]);
            for reason in ShutReason::ALL.map(ShutReason::as_str) {
                metrics.gate_refused.with_label_values(&[reason, priority]);
            }
        }
        Arc::new(Self { room, clock, metrics })
    }

    /// Goes by other settings from now on, for those who wait too.
    pub fn reconfigure(&self, settings: &config::Gate) {
        self.change(|room, now| room.reconfigure(settings, now));
    }

    /// Lets a client's request in, perhaps after a wait for its turn. Dropped meanwhile, it has not
    /// been there.
    ///
    /// # Errors
    /// It is not sent: at once where it would wait in vain.
    pub async fn enter(self: &Arc<Self>, patience: Patience) -> Result<Admission, Shut> {
        let answer = match self.change(|room, now| room.ask(patience, now)) {
            Heard::Answer(answer) => answer,
            Heard::Wait(ticket, signal) => {
                let place = InLine { gate: self, ticket };
                loop {
                    match self.change(|room, _| room.turn(place.ticket)) {
                        Turn::Come(answer) => break answer,
                        Turn::NotBefore(moment) => tokio::select! {
                            () = signal.notified() => {}
                            () = self.clock.sleep_until_monotonic(moment) => {}
                        },
                    }
                }
            }
        };
        self.admission(answer, Priority::Client)
    }

    /// Lets in what nobody waits for, where no client waits and enough is left for them.
    ///
    /// # Errors
    /// It is not sent.
    pub fn try_enter(self: &Arc<Self>, priority: Priority) -> Result<Admission, Shut> {
        let answer = self.change(|room, now| room.ask_at_once(priority, now));
        self.admission(answer, priority)
    }

    /// Whether [`Self::try_enter`] would let that in now.
    pub fn has_room(&self, priority: Priority) -> bool {
        let answer = self.change(|room, now| room.has_room(priority, now));
        self.counted(answer, priority).is_ok()
    }

    /// Lets in a write that is passed. It is never refused, and takes its token even where that puts
    /// the budget into debt, up to one burst.
    pub fn enter_write(self: &Arc<Self>) -> Admission {
        let pass = self.change(|room, _| room.admit_write());
        Admission { gate: Arc::clone(self), pass: Some(pass) }
    }

    /// What a client's request would meet now, for who asks why.
    pub fn outlook(&self) -> Outlook {
        self.change(|room, now| room.outlook(now))
    }

    /// Sets the gauges, at a scrape.
    pub fn measure(&self) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let metrics = &self.metrics;
        self.change(|room, now| {
            metrics.gate_in_flight.set(number(room.in_flight()));
            metrics.gate_limit.set(number(room.limit()));
            metrics.gate_waiting.set(number(room.waiting()));
            metrics.gate_breaker_state.set(room.breaker().as_number());
            // Rounded up: 0 means that it is over.
            let left = room.throttled(now).as_millis().div_ceil(1_000);
            metrics.gate_throttled_seconds.set(i64::try_from(left).unwrap_or(i64::MAX));
            match room.tokens(now) {
                Some(tokens) => metrics.gate_tokens.with_label_values::<&str>(&[]).set(tokens),
                None => metrics.gate_tokens.reset(),
            }
        });
    }

    fn admission(
        self: &Arc<Self>,
        answer: Result<Pass, Shut>,
        priority: Priority,
    ) -> Result<Admission, Shut> {
        let pass = self.counted(answer, priority)?;
        Ok(Admission { gate: Arc::clone(self), pass: Some(pass) })
    }

    fn counted<T>(&self, answer: Result<T, Shut>, priority: Priority) -> Result<T, Shut> {
        answer.inspect_err(|shut| {
            let labels = [shut.reason.as_str(), priority.as_str()];
            self.metrics.gate_refused.with_label_values(&labels).inc();
        })
    }

    /// Changes what is shared, and wakes whom that concerns.
    fn change<T>(&self, change: impl FnOnce(&mut Room, Duration) -> T) -> T {
        let (value, woken) = {
            let mut room = self.room.lock();
            // Read under the lock, so that it does not go back from one change to the next.
            let now = self.clock.monotonic();
            // What time has brought is for those who wait for it, not for who comes now.
            room.call(now);
            let value = change(&mut room, now);
            room.call(now);
            (value, room.woken())
        };
        for signal in woken {
            signal.notify_one();
        }
        value
    }
}

/// A client's place in the line. Dropped, it is given up, and what it was called to goes to the next.
struct InLine<'g> {
    gate: &'g Gate,
    ticket: Ticket,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.gate.change(|room, _| room.abandon(self.ticket));
    }
}

/// The right to send one request. Dropped, it is given back: nothing was sent.
#[must_use = "dropped, it is given back"]
pub struct Admission {
    gate: Arc<Gate>,
    pass: Option<Pass>,
}

impl Admission {
    /// The request is sent now. `class`: its operation's, where the catalogue knows it; its latency
    /// is compared with others of that class.
    pub fn leave(mut self, class: Option<Class>) -> UnderWay {
        let sent = self.pass.take().map(|pass| {
            let priority = pass.priority.map_or(WRITE, Priority::as_str);
            self.gate.metrics.gate_admitted.with_label_values(&[priority]).inc();
            self.gate.change(|room, now| room.send(&pass, class, now))
        });
        UnderWay { gate: Arc::clone(&self.gate), sent }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.gate.change(|room, _| room.give_back(&pass));
        }
    }
}

/// A request that is at the origin. Dropped, its place is free, and it says nothing of the origin.
#[must_use = "dropped, it says nothing of the origin"]
pub struct UnderWay {
    gate: Arc<Gate>,
    sent: Option<Sent>,
}

impl UnderWay {
    /// What became of it, said as soon as that is known: the time from [`Admission::leave`] is the
    /// origin's latency.
    pub fn end(mut self, ending: Ending) {
        if let Some(sent) = self.sent.take() {
            self.gate.change(|room, now| room.end(&sent, ending, now));
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(sent) = self.sent.take() {
            self.gate.change(|room, _| room.lose(&sent));
        }
    }
}
