//! Every state that a world can come to, nearest first.

use std::fmt;

use crate::action::Action;
use crate::kept::Set;
use crate::rules::Rules;
use crate::world::{World, Worlds};

/// What was found in a world.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Explored {
    pub(crate) states: usize,
    /// States in which an answer could be served, and from where.
    pub(crate) from_memory: usize,
    pub(crate) from_tier: usize,
    pub(crate) after_failover: usize,
    /// States that were let settle.
    pub(crate) settled: usize,
}

/// What must not be, and the shortest way to it.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) what: String,
    pub(crate) trace: Vec<Action>,
    /// States that were looked at before.
    pub(crate) states: usize,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}; {} states, {} actions:", self.what, self.states, self.trace.len())?;
        self.trace.iter().enumerate().try_for_each(|(n, action)| writeln!(f, "{n:4}. {action:?}"))
    }
}

/// Goes to every state of a world, and lets every `settle_every`th settle.
pub(crate) fn explore(rules: Rules, settle_every: usize) -> Result<Explored, Violation> {
    let mut worlds = Worlds::new(rules);
    let first = worlds.first();
    let mut known = Set::default();
    known.insert(first.nameless());
    // In the order in which they are met: each state, and from where and by what it was come to.
    let mut met: Vec<(World, u32, Option<Action>)> = vec![(first, 0, None)];
    let mut explored = Explored::default();
    while let Some(&(world, ..)) = met.get(explored.states) {
        let at = explored.states;
        let violated = |what| Violation { what, trace: trace(&met, at), states: at };
        let served = worlds.check(world).map_err(violated)?;
        explored.states += 1;
        explored.from_memory += usize::from(served.from_memory);
        explored.from_tier += usize::from(served.from_tier);
        explored.after_failover += usize::from(served.after_failover);
        if explored.states % settle_every == 0 {
            explored.settled += 1;
            worlds.settle(world).map_err(violated)?;
        }
        for (action, next) in worlds.next(world) {
            if known.insert(next.nameless()) {
                met.push((next, u32::try_from(at).unwrap(), Some(action)));
            }
        }
    }
    Ok(explored)
}

fn trace(met: &[(World, u32, Option<Action>)], mut at: usize) -> Vec<Action> {
    let mut actions = Vec::new();
    while let (_, from, Some(action)) = met[at] {
        actions.push(action);
        at = from as usize;
    }
    actions.reverse();
    actions
}

/// Goes one way, looks at every state on it, and lets the last one settle.
pub(crate) fn play(rules: Rules, actions: &[Action]) -> Result<(), Violation> {
    let mut worlds = Worlds::new(rules);
    let mut world = worlds.first();
    for (done, action) in actions.iter().enumerate() {
        let next = worlds.next(world).into_iter().find(|(found, _)| found == action);
        world = next.unwrap_or_else(|| panic!("{action:?} cannot happen after {done} actions")).1;
        let trace = || actions[..=done].to_vec();
        worlds.check(world).map_err(|what| Violation { what, trace: trace(), states: done })?;
    }
    let settled = worlds.settle(world);
    settled.map_err(|what| Violation { what, trace: actions.to_vec(), states: actions.len() })
}
