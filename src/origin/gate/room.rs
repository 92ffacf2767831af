//! Who is at the origin, who waits, and whose turn it is: what all threads share, without I/O.
//!
//! Clients wait in one line, first come first served, and are called by whoever changes anything.
//! What time alone brings (a token, the end of a throttling) the first in the line looks out for:
//! it is told when it becomes the first, and when its moment may have come nearer.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::breaker::{Breaker, BreakerState, Permit};
use super::budget::{Budget, PARTS};
use super::concurrency::{Concurrency, Sample};
use super::ending::{Ending, Load};
use super::throttle::Throttle;
use super::{Outlook, Patience, Priority, Shut, ShutReason};
use crate::config;
use crate::operation::Class;

/// How soon to come back, where nothing tells it better.
const SOON: Duration = Duration::from_secs(1);

/// Tells waiters apart; a later one has a larger number.
pub(super) type Ticket = u64;

/// Everything behind the gate's lock.
#[derive(Debug)]
pub(super) struct Room {
    budget: Option<Budget>,
    concurrency: Concurrency,
    throttle: Throttle,
    breaker: Breaker,
    /// Admitted and not gone: sent, or about to be.
    in_flight: usize,
    /// Of them, those that are no writes and have not been sent: who holds a token, if there are any.
    unsent: usize,
    waiting: VecDeque<Waiter>,
    /// Called, and not yet there to hear it.
    called: HashMap<Ticket, Result<Pass, Shut>>,
    next_ticket: Ticket,
    /// The first in the line that knows it is, and until when it sleeps at the latest.
    told: Option<(Ticket, Duration)>,
    woken: Vec<Arc<Notify>>,
    max_waiting: usize,
    max_wait: Duration,
}

#[derive(Debug)]
struct Waiter {
    ticket: Ticket,
    until: Duration,
    signal: Arc<Notify>,
}

/// One that may send.
#[derive(Debug)]
pub(super) struct Pass {
    /// None of a write.
    pub(super) priority: Option<Priority>,
    is_probe: bool,
}

/// One that has sent.
#[derive(Debug)]
pub(super) struct Sent {
    class: Option<Class>,
    left_at: Duration,
    load: usize,
    is_probe: bool,
}

/// What a client hears that asks to be let in.
#[derive(Debug)]
pub(super) enum Heard {
    /// Its answer.
    Answer(Result<Pass, Shut>),
    /// To wait for a signal.
    Wait(Ticket, Arc<Notify>),
}

/// What a waiter hears that asks for its turn.
#[derive(Debug)]
pub(super) enum Turn {
    /// Its answer.
    Come(Result<Pass, Shut>),
    /// To ask again at this moment, or when it is signalled.
    NotBefore(Duration),
}

/// What stands before a request.
#[derive(Clone, Copy)]
struct Obstacle {
    reason: ShutReason,
    /// How long it does at least, where that can be told.
    wait: Option<Duration>,
}

/// What would become of a client.
enum Prospect {
    /// It is let in; whether as the probe.
    Now(bool),
    /// It would have to wait.
    Later(Obstacle),
    /// It would wait in vain, or there is no room to wait.
    Never(Obstacle),
}

impl Obstacle {
    /// Whether one who waits until then waits in vain. A broken origin is waited for by nobody.
    fn outlasts(&self, until: Duration, now: Duration) -> bool {
        self.reason == ShutReason::Broken
            || now + self.wait.unwrap_or_default() > until
            || now >= until
    }

    fn shut(self) -> Shut {
        Shut { reason: self.reason, retry_after: self.wait.unwrap_or(SOON) }
    }
}

impl Room {
    pub(super) fn new(settings: &config::Gate, now: Duration) -> Self {
        let (floor, ceiling) = (settings.min_in_flight, settings.max_in_flight);
        Self {
            budget: settings.budget.as_ref().map(|budget| Budget::new(budget, now)),
            concurrency: Concurrency::new(floor, ceiling, now),
            throttle: Throttle::new(settings.longest_retry_after),
            breaker: Breaker::new(settings.broken_after, settings.probe_every),
            in_flight: 0,
            unsent: 0,
            waiting: VecDeque::new(),
            called: HashMap::new(),
            next_ticket: 0,
            told: None,
            woken: Vec::new(),
            max_waiting: settings.max_waiting,
            max_wait: settings.max_wait,
        }
    }

    /// Goes by other settings from now on. Who is at the origin, who waits and what was spent stays.
    pub(super) fn reconfigure(&mut self, settings: &config::Gate, now: Duration) {
        self.budget = settings.budget.as_ref().map(|next| match &self.budget {
            Some(budget) => budget.replaced_by(next, now),
            None => {
                let holders = i128::try_from(self.unsent).unwrap_or(i128::MAX);
                Budget::new(next, now).held_by(holders)
            }
        });
        self.concurrency.set_bounds(settings.min_in_flight, settings.max_in_flight);
        self.throttle.set_longest(settings.longest_retry_after, now);
        self.breaker.set_rules(settings.broken_after, settings.probe_every, now);
        (self.max_waiting, self.max_wait) = (settings.max_waiting, settings.max_wait);
        // Nobody who waits longer stands before one who waits shorter: only the first looks at the time.
        for waiter in &mut self.waiting {
            waiter.until = waiter.until.min(now + self.max_wait);
        }
    }

    /// A client asks to be let in.
    pub(super) fn ask(&mut self, patience: Patience, now: Duration) -> Heard {
        match self.prospect(now) {
            Prospect::Now(is_probe) => Heard::Answer(Ok(self.admit(Priority::Client, is_probe))),
            Prospect::Later(_) if patience == Patience::Waits => self.line_up(now),
            Prospect::Later(obstacle) | Prospect::Never(obstacle) => {
                Heard::Answer(Err(obstacle.shut()))
            }
        }
    }

    fn line_up(&mut self, now: Duration) -> Heard {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let (until, signal) = (now + self.max_wait, Arc::new(Notify::new()));
        self.waiting.push_back(Waiter { ticket, until, signal: Arc::clone(&signal) });
        Heard::Wait(ticket, signal)
    }

    /// Work that nobody waits for asks to be let in.
    pub(super) fn ask_at_once(&mut self, priority: Priority, now: Duration) -> Result<Pass, Shut> {
        match self.obstacle(priority, now) {
            Ok(is_probe) => Ok(self.admit(priority, is_probe)),
            Err(obstacle) => Err(obstacle.shut()),
        }
    }

    /// Whether work that nobody waits for would be let in.
    pub(super) fn has_room(&self, priority: Priority, now: Duration) -> Result<(), Shut> {
        self.obstacle(priority, now).map(drop).map_err(Obstacle::shut)
    }

    /// A write is let in.
    pub(super) const fn admit_write(&mut self) -> Pass {
        self.in_flight += 1;
        Pass { priority: None, is_probe: false }
    }

    /// A waiter asks whether it has been called.
    pub(super) fn turn(&mut self, ticket: Ticket) -> Turn {
        if let Some(answer) = self.called.remove(&ticket) {
            return Turn::Come(answer);
        }
        match self.find(ticket).and_then(|index| self.waiting.get(index)) {
            Some(waiter) => Turn::NotBefore(match self.told {
                Some((first, moment)) if first == ticket => moment,
                Some(_) | None => waiter.until,
            }),
            None => {
                let nowhere = Obstacle { reason: ShutReason::Concurrency, wait: None };
                Turn::Come(Err(nowhere.shut()))
            }
        }
    }

    /// A waiter has gone.
    pub(super) fn abandon(&mut self, ticket: Ticket) {
        match self.called.remove(&ticket) {
            Some(Ok(pass)) => self.give_back(&pass),
            Some(Err(_)) => {}
            None => _ = self.find(ticket).and_then(|index| self.waiting.remove(index)),
        }
    }

    /// One that was let in sends nothing.
    pub(super) fn give_back(&mut self, pass: &Pass) {
        self.in_flight -= 1;
        self.unsent -= usize::from(pass.priority.is_some());
        if pass.is_probe {
            self.breaker.gave_up_probe();
        }
        if let (Some(budget), Some(_)) = (&mut self.budget, pass.priority) {
            budget.give_back();
        }
    }

    /// One that was let in sends.
    pub(super) fn send(&mut self, pass: &Pass, class: Option<Class>, now: Duration) -> Sent {
        self.unsent -= usize::from(pass.priority.is_some());
        match (&mut self.budget, pass.priority) {
            (Some(budget), Some(_)) => budget.spend(now),
            (Some(budget), None) => budget.overspend(now),
            (None, _) => {}
        }
        Sent { class, left_at: now, load: self.in_flight, is_probe: pass.is_probe }
    }

    /// One that was sent came to no end.
    pub(super) fn lose(&mut self, sent: &Sent) {
        self.in_flight -= 1;
        if sent.is_probe {
            self.breaker.gave_up_probe();
        }
    }

    /// One that was sent came to its end.
    pub(super) fn end(&mut self, sent: &Sent, ending: Ending, now: Duration) {
        let Sent { class, left_at, is_probe, .. } = *sent;
        let load = sent.load.max(self.in_flight);
        self.in_flight -= 1;
        if ending.is_failure() {
            self.breaker.failed(left_at, is_probe, now);
        } else {
            self.throttle.answered(left_at);
            if self.breaker.succeeded(left_at, is_probe, now) {
                self.concurrency.restart(now);
            }
        }
        if let Some(asked) = ending.throttling()
            && self.throttle.refused(left_at, asked, now)
        {
            self.concurrency.restart(now);
        }
        match ending.load() {
            Load::Borne => self.concurrency.answered(Sample { class, left_at, load }, now),
            Load::TooMuch => self.concurrency.overloaded(left_at, now),
            Load::Unknown => {}
        }
    }

    /// Whom to wake, since this was last asked.
    pub(super) fn woken(&mut self) -> Vec<Arc<Notify>> {
        std::mem::take(&mut self.woken)
    }

    /// Calls everyone whose turn it is, or never will be. Who still waits then is behind an obstacle:
    /// so what comes next, of whatever priority, cannot overtake.
    pub(super) fn call(&mut self, now: Duration) {
        while let Some(first) = self.waiting.front() {
            let prospect = match self.obstacle(Priority::Client, now) {
                Ok(is_probe) => Ok(is_probe),
                Err(obstacle) if obstacle.outlasts(first.until, now) => Err(obstacle.shut()),
                Err(obstacle) => return self.tell_first(obstacle.wait.map(|wait| now + wait)),
            };
            let Some(first) = self.waiting.pop_front() else { break };
            let answer = prospect.map(|is_probe| self.admit(Priority::Client, is_probe));
            self.called.insert(first.ticket, answer);
            self.woken.push(first.signal);
        }
    }

    /// Wakes the first in the line where it would sleep past the moment that the way may be clear.
    fn tell_first(&mut self, clears_at: Option<Duration>) {
        let Some(first) = self.waiting.front() else { return };
        let moment = clears_at.map_or(first.until, |moment| moment.min(first.until));
        let sleeps_past_it = |(ticket, told)| ticket != first.ticket || told > moment;
        if self.told.is_none_or(sleeps_past_it) {
            self.woken.push(Arc::clone(&first.signal));
        }
        // Where it is later than before, it wakes too early and hears this.
        self.told = Some((first.ticket, moment));
    }

    /// What a client would hear that asked now.
    pub(super) fn outlook(&self, now: Duration) -> Outlook {
        match self.prospect(now) {
            Prospect::Now(_) => Outlook::Open,
            Prospect::Later(obstacle) => Outlook::Waits(obstacle.reason),
            Prospect::Never(obstacle) => Outlook::Shut(obstacle.shut()),
        }
    }

    pub(super) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn limit(&self) -> usize {
        self.concurrency.limit()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn tokens(&self, now: Duration) -> Option<i64> {
        self.budget.as_ref().map(|budget| budget.tokens(now))
    }

    pub(super) const fn breaker(&self) -> BreakerState {
        self.breaker.state()
    }

    pub(super) fn throttled(&self, now: Duration) -> Duration {
        self.throttle.left(now).unwrap_or_default()
    }

    /// What would become of a client that asked now.
    fn prospect(&self, now: Duration) -> Prospect {
        let obstacle = match self.obstacle(Priority::Client, now) {
            Ok(is_probe) => return Prospect::Now(is_probe),
            Err(obstacle) => obstacle,
        };
        let for_token = self.budget.as_ref().map(|budget| budget.wait(self.waiting.len(), now));
        let longest = match for_token {
            Some(wait)
                if obstacle.wait.is_none_or(|other| other < wait) && wait > self.max_wait =>
            {
                Obstacle { reason: ShutReason::Budget, wait: Some(wait) }
            }
            _ => obstacle,
        };
        let is_in_vain = longest.outlasts(now + self.max_wait, now);
        if is_in_vain || self.waiting.len() >= self.max_waiting {
            Prospect::Never(longest)
        } else {
            Prospect::Later(longest)
        }
    }

    /// What stands before one of this priority that nobody is before; where nothing does, whether it
    /// would be the probe.
    fn obstacle(&self, priority: Priority, now: Duration) -> Result<bool, Obstacle> {
        let throttled = self.throttle.left(now);
        let is_probe = match self.breaker.permit(now) {
            Permit::Go => false,
            Permit::Probe => true,
            // Which may have named a moment too, that is further off.
            Permit::Stay(wait) => {
                return Err(Obstacle { reason: ShutReason::Broken, wait: wait.max(throttled) });
            }
        };
        if throttled.is_some() {
            return Err(Obstacle { reason: ShutReason::Throttled, wait: throttled });
        }
        if let Some(budget) = self.budget.as_ref()
            && !budget.has_token_for(priority, now)
        {
            // Where there is one for clients, what is lacking is for others to leave or to bring.
            let wait = Some(budget.wait(0, now)).filter(|wait| !wait.is_zero());
            return Err(Obstacle { reason: ShutReason::Budget, wait });
        }
        if self.in_flight >= self.places_for(priority) {
            return Err(Obstacle { reason: ShutReason::Concurrency, wait: None });
        }
        Ok(is_probe)
    }

    /// Of the places, those that this priority need not leave to higher ones; one at least.
    fn places_for(&self, priority: Priority) -> usize {
        let (limit, leaves) = (self.concurrency.limit(), priority.leaves() as usize);
        (limit - limit * leaves / PARTS as usize).max(1)
    }

    fn admit(&mut self, priority: Priority, is_probe: bool) -> Pass {
        self.in_flight += 1;
        self.unsent += 1;
        if is_probe {
            self.breaker.probe();
        }
        if let Some(budget) = &mut self.budget {
            budget.hold();
        }
        Pass { priority: Some(priority), is_probe }
    }

    fn find(&self, ticket: Ticket) -> Option<usize> {
        self.waiting.binary_search_by_key(&ticket, |waiter| waiter.ticket).ok()
    }
}
