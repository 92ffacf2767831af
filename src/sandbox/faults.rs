//! Sickness on demand, and the limit on requests.

use std::time::Duration;

use http::StatusCode;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::operations::OPERATIONS;
use super::subject::Subject;
use crate::clock::{Clock, Timestamp};

/// What is wrong with an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sickness {
    /// Answers this status with an error body.
    Status(StatusCode),
    /// Breaks the answer off half-way through its body.
    Truncate,
    /// Does not answer until the fault ends.
    Hang,
    /// Resets the connection (TCP RST).
    Reset,
}

/// The faults in force: at most one for each operation, and one for all.
#[derive(Debug)]
pub(crate) struct Faults {
    clock: Clock,
    active: RwLock<Vec<Fault>>,
    changed: watch::Sender<()>,
}

#[derive(Clone, Copy, Debug)]
struct Fault {
    target: Target,
    sickness: Sickness,
    until: Timestamp,
}

/// What a fault is aimed at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// Every request under the service root, known or not.
    Every,
    One(Subject),
}

impl Target {
    /// `*`, an operation's name, or `$batch`.
    pub(crate) fn parse(operation: &str) -> Option<Self> {
        if operation == "*" {
            return Some(Self::Every);
        }
        Subject::named(operation).map(Self::One)
    }
}

impl Faults {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            active: RwLock::new(Vec::with_capacity(OPERATIONS.len() + 2)),
            changed: watch::Sender::new(()),
        }
    }

    /// Replaces the fault of that target.
    pub(crate) fn set(&self, target: Target, sickness: Sickness, lasts: Duration) {
        let now = self.clock.now();
        let mut active = self.active.write();
        active.retain(|fault| fault.target != target && fault.until > now);
        active.push(Fault { target, sickness, until: now + lasts });
        drop(active);
        self.changed.send_replace(());
    }

    /// Ends every fault; what hangs is answered.
    pub(crate) fn clear(&self) {
        self.active.write().clear();
        self.changed.send_replace(());
    }

    /// Of the faults in force the one aimed most closely.
    fn current(&self, strikes: impl Fn(Target) -> bool) -> Option<Fault> {
        let now = self.clock.now();
        let active = self.active.read();
        let in_force = active.iter().filter(|fault| fault.until > now && strikes(fault.target));
        in_force.max_by_key(|fault| fault.target != Target::Every).copied()
    }

    /// Sits out a hang and returns what ails the request then: its own fault, else the one for all.
    pub(crate) async fn strike(&self, subject: Subject) -> Option<Sickness> {
        self.sit_out(|target| target == Target::Every || target == Target::One(subject)).await
    }

    /// What ails a request inside a batch, a hang included. What is aimed at all has struck the
    /// batch itself.
    pub(crate) fn ail(&self, subject: Subject) -> Option<Sickness> {
        self.current(|target| target == Target::One(subject)).map(|fault| fault.sickness)
    }

    /// Returns when what is asked for inside a batch does not hang any more.
    pub(crate) async fn sit_out_hang_of(&self, subject: Subject) {
        self.sit_out(|target| target == Target::One(subject)).await;
    }

    async fn sit_out(&self, strikes: impl Fn(Target) -> bool) -> Option<Sickness> {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let fault = self.current(&strikes)?;
            if fault.sickness != Sickness::Hang {
                return Some(fault.sickness);
            }
            tokio::select! {
                () = self.clock.sleep_until(fault.until) => {}
                // The sender is held by `self`, so the channel cannot close under the wait.
                _ = changed.changed() => {}
            }
        }
    }
}

/// A token bucket that holds one second's requests.
#[derive(Debug)]
pub(crate) struct RateLimit {
    clock: Clock,
    per_second: f64,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Duration,
}

impl RateLimit {
    pub(crate) fn new(clock: Clock, per_second: u32) -> Self {
        let per_second = f64::from(per_second.max(1));
        let bucket = Mutex::new(Bucket { tokens: per_second, filled: clock.monotonic() });
        Self { clock, per_second, bucket }
    }

    /// Takes a token, or says how many seconds it takes until there is one.
    pub(crate) fn admit(&self) -> Result<(), u64> {
        let now = self.clock.monotonic();
        let mut bucket = self.bucket.lock();
        let gained = now.saturating_sub(bucket.filled).as_secs_f64() * self.per_second;
        bucket.tokens = (bucket.tokens + gained).min(self.per_second);
        bucket.filled = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let wait_s = (1.0 - bucket.tokens) / self.per_second;
        Err((wait_s.ceil() as u64).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_admits_one_seconds_requests_and_refills_with_time() {
        let clock = Clock::manual(Timestamp::from_millis(1_000));
        let limit = RateLimit::new(clock.clone(), 2);
        assert_eq!([limit.admit(), limit.admit(), limit.admit()], [Ok(()), Ok(()), Err(1)]);
        clock.advance(Duration::from_millis(500));
        assert_eq!([limit.admit(), limit.admit()], [Ok(()), Err(1)]);
        clock.advance(Duration::from_secs(60));
        assert_eq!([limit.admit(), limit.admit(), limit.admit()], [Ok(()), Ok(()), Err(1)]);
    }

    #[tokio::test]
    async fn an_operations_own_fault_comes_before_the_one_for_all_and_both_end() {
        let clock = Clock::manual(Timestamp::from_millis(1_000));
        let faults = Faults::new(clock.clone());
        let sick = Subject::Operation(3);
        faults.set(Target::One(sick), Sickness::Truncate, Duration::from_secs(1));
        faults.set(Target::Every, Sickness::Reset, Duration::from_secs(5));
        assert_eq!(faults.strike(sick).await, Some(Sickness::Truncate));
        assert_eq!(faults.strike(Subject::Other).await, Some(Sickness::Reset));
        assert_eq!(faults.ail(sick), Some(Sickness::Truncate));
        clock.advance(Duration::from_secs(1));
        assert_eq!(faults.strike(sick).await, Some(Sickness::Reset));
        assert_eq!(faults.ail(sick), None);
        clock.advance(Duration::from_secs(4));
        assert_eq!(faults.strike(sick).await, None);
    }
}
