//! Two nodes, Redis and an origin, all that can happen among them, and what must hold.
//!
//! A node that is cut off, or has died, is one that does nothing more. Every state is met with either
//! node having done nothing since any moment before, so neither needs an action of its own.

use std::rc::Rc;

use crate::action::{Action, Effect, act};
use crate::kept::{Kept, Map};
use crate::node::{Answer, Node};
use crate::redis::Redis;
use crate::rules::{MAX_VERSION, Rules, Time, Version};

/// An action of a node, and what it leads to.
#[derive(Clone, Copy, Debug)]
struct Move {
    action: Action,
    node: u32,
    redis: u32,
    effect: Effect,
}

/// The state of everything. Nodes, Redis and its past are numbered by [`Worlds`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct World {
    nodes: [u32; 2],
    redis: u32,
    /// What Redis was before each write: what a replica may have.
    past: u32,
    now: Time,
    origin: Version,
    /// When each version's purge was first acknowledged.
    acknowledged_at: [Option<Time>; MAX_VERSION as usize],
    fetches_left: u8,
    watched_purges_left: u8,
    other_purges_left: u8,
    retries_left: u8,
    failovers_left: u8,
    log_losses_left: u8,
}

impl World {
    /// The same for worlds that differ in which node is which.
    pub(crate) fn nameless(mut self) -> Self {
        self.nodes.sort_unstable();
        self
    }

    fn note_acknowledged(&mut self, version: Version) {
        let now = self.now;
        self.acknowledged_at[usize::from(version) - 1].get_or_insert(now);
    }
}

/// What can be served in a state, so that one knows that something can.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Served {
    pub(crate) from_memory: bool,
    pub(crate) from_tier: bool,
    pub(crate) after_failover: bool,
}

/// A node, Redis, the origin's version, the time, and which of the nodes it is.
type Situation = (u32, u32, Version, Time, u8);

/// All worlds of some rules.
pub(crate) struct Worlds {
    pub(crate) rules: Rules,
    nodes: Kept<Node>,
    redises: Kept<Redis>,
    pasts: Kept<Vec<u32>>,
    /// What a node can do.
    moves: Map<Situation, Rc<[Move]>>,
}

impl Worlds {
    pub(crate) fn new(rules: Rules) -> Self {
        let (nodes, redises, pasts) = (Kept::new(), Kept::new(), Kept::new());
        Self { rules, nodes, redises, pasts, moves: Map::default() }
    }

    /// Where it all starts.
    pub(crate) fn first(&mut self) -> World {
        let node = self.nodes.keep(Node::new());
        let mut world = World {
            nodes: [node, node],
            redis: self.redises.keep(Redis::default()),
            past: self.pasts.keep(Vec::new()),
            now: 0,
            origin: 0,
            acknowledged_at: [None; MAX_VERSION as usize],
            fetches_left: self.rules.fetches,
            watched_purges_left: self.rules.watched_purges,
            other_purges_left: self.rules.other_purges,
            retries_left: self.rules.retries,
            failovers_left: self.rules.failovers,
            log_losses_left: self.rules.log_losses,
        };
        if !self.rules.is_new {
            for who in [0, 1] {
                world = self.heartbeat(world, who);
            }
            world.past = self.pasts.keep(Vec::new());
        }
        world
    }

    /// All that can happen next.
    pub(crate) fn next(&mut self, world: World) -> Vec<(Action, World)> {
        let mut next = Vec::with_capacity(16);
        if self.rules.changes.is_some_and(|changes| world.origin < changes) {
            next.push((Action::OriginChanges, World { origin: world.origin + 1, ..world }));
        }
        if world.now < self.rules.ticks {
            next.push((Action::TimePasses, self.later(world)));
        }
        if world.failovers_left > 0 {
            for writes in 0..self.pasts[world.past].len() {
                next.push((Action::FailsOver(writes as u8), self.failed_over(world, writes)));
            }
        }
        if world.log_losses_left > 0 {
            next.push((Action::LosesLog, self.without_log(world)));
        }
        for who in [0, 1] {
            for step in self.moves_of(world, who).iter() {
                next.extend(self.moved(world, who, step).map(|moved| (step.action, moved)));
            }
        }
        next
    }

    fn later(&mut self, mut world: World) -> World {
        world.now += 1;
        for at in &mut world.nodes {
            let mut node = Node::clone(&self.nodes[*at]);
            node.notice_time(world.now, &self.rules);
            *at = self.nodes.keep(node);
        }
        world
    }

    fn failed_over(&mut self, mut world: World, writes: usize) -> World {
        let past = self.pasts[world.past].clone();
        let failovers = self.redises[world.redis].failovers + 1;
        let mut redis = self.redises[past[writes]].clone();
        redis.failovers = failovers;
        world.redis = self.redises.keep(redis);
        world.failovers_left -= 1;
        let still = if world.failovers_left == 0 { 0 } else { writes };
        world.past = self.pasts.keep(past[..still].to_vec());
        world
    }

    fn without_log(&mut self, mut world: World) -> World {
        let mut redis = Redis::clone(&self.redises[world.redis]);
        redis.lose_log();
        let redis = self.redises.keep(redis);
        self.note_write(&mut world, redis);
        world.log_losses_left -= 1;
        world
    }

    fn note_write(&mut self, world: &mut World, redis: u32) {
        if world.failovers_left > 0 && redis != world.redis {
            let mut past = self.pasts[world.past].clone();
            past.push(world.redis);
            world.past = self.pasts.keep(past);
        }
        world.redis = redis;
    }

    fn moved(&mut self, mut world: World, who: u8, step: &Move) -> Option<World> {
        match step.action {
            Action::FetchLeaves(_) => world.fetches_left = world.fetches_left.checked_sub(1)?,
            Action::PurgesWatched(_) => {
                world.watched_purges_left = world.watched_purges_left.checked_sub(1)?;
                world.origin = self.rules.version_purged(world.origin);
            }
            Action::PurgesOther(_) => {
                world.other_purges_left = world.other_purges_left.checked_sub(1)?;
            }
            Action::ReadsLog(_) if !self.rules.in_flight && world.failovers_left == 0 => {
                return None;
            }
            Action::AppliesLog(_) if !self.rules.in_flight => {
                (world.failovers_left < self.rules.failovers).then_some(())?;
            }
            _ => {}
        }
        match step.effect {
            Effect::None => {}
            Effect::Acknowledged(version) => world.note_acknowledged(version),
            Effect::Refused(_) if world.retries_left == 0 => {}
            Effect::Refused(tags) => {
                world.retries_left -= 1;
                world.watched_purges_left += u8::from(tags.watched);
                world.other_purges_left += u8::from(tags.other);
            }
        }
        self.note_write(&mut world, step.redis);
        world.nodes[usize::from(who)] = step.node;
        Some(world)
    }

    fn moves_of(&mut self, world: World, who: u8) -> Rc<[Move]> {
        let World { nodes, redis, origin, now, .. } = world;
        let node = nodes[usize::from(who)];
        let asked = (node, redis, origin, now, who);
        if let Some(moves) = self.moves.get(&asked) {
            return Rc::clone(moves);
        }
        let moves: Rc<[Move]> = self.find_moves(asked).into();
        self.moves.insert(asked, Rc::clone(&moves));
        moves
    }

    fn find_moves(&mut self, (node_at, redis_at, origin, now, who): Situation) -> Vec<Move> {
        let actions = [
            Action::FetchLeaves(who),
            Action::FetchLands(who),
            Action::PurgesWatched(who),
            Action::PurgesOther(who),
            Action::HearsOfPurge(who, 0),
            Action::HearsOfPurge(who, 1),
            Action::ReadsLog(who),
            Action::AppliesLog(who),
            Action::AsksForPlace(who),
            Action::BeginsLineage(who),
            Action::SaysAgain(who),
        ];
        let in_flight = [
            Action::Beats(who),
            Action::HeedsBeat(who),
            Action::ReadsMarks(who),
            Action::Enters(who),
        ];
        let at_once =
            [Action::Follows(who), Action::BeatsAndHeeds(who), Action::ReadsMarksAndEnters(who)];
        let more = if self.rules.in_flight { &in_flight[..] } else { &at_once[..] };
        let mut moves = Vec::new();
        for &action in actions.iter().chain(more) {
            let mut node = Node::clone(&self.nodes[node_at]);
            let mut redis = Redis::clone(&self.redises[redis_at]);
            if let Some(effect) = act(&self.rules, action, &mut node, &mut redis, (origin, now)) {
                let (node, redis) = (self.nodes.keep(node), self.redises.keep(redis));
                moves.push(Move { action, node, redis, effect });
            }
        }
        moves
    }

    /// Every answer that a node could serve: by itself, or by what the other has put into the tier
    /// that they share. A violation is told in words.
    pub(crate) fn check(&self, world: World) -> Result<Served, String> {
        let mut served = Served::default();
        let nodes = world.nodes.map(|at| &self.nodes[at]);
        for (who, node) in nodes.iter().enumerate() {
            for (by, other) in nodes.iter().enumerate() {
                for &answer in &other.answers {
                    let may_serve = match who == by {
                        true => node.may_serve(answer, world.now, &self.rules),
                        false => node.may_read(answer, world.now, &self.rules),
                    };
                    if !may_serve {
                        continue;
                    }
                    if answer.version < node.acknowledged {
                        return Err(format!("node {who} serves {answer:?}, which it has purged"));
                    }
                    if answer.version < self.promised(world) {
                        return Err(format!("node {who} serves {answer:?} past fence_after"));
                    }
                    served.from_memory |= who == by;
                    served.from_tier |= who != by;
                    served.after_failover |= self.redises[world.redis].failovers > 0;
                }
            }
        }
        Ok(served)
    }

    /// The version that no node may serve an older one than.
    fn promised(&self, world: World) -> Version {
        let is_due = |version: &Version| {
            let at = world.acknowledged_at[usize::from(*version) - 1];
            at.is_some_and(|at| world.now >= at + self.rules.fence_after)
        };
        (1..=MAX_VERSION).filter(is_due).max().unwrap_or(0)
    }

    /// Without further faults, both nodes and each alone find back: each serves what it fetches, and
    /// none, the one that does nothing included, what was purged.
    pub(crate) fn settle(&mut self, world: World) -> Result<(), String> {
        for these in [&[0, 1][..], &[0], &[1]] {
            let settled = self.settled(world, these);
            self.check(settled)?;
            for &who in these {
                self.check_settled(settled, who)?;
            }
        }
        Ok(())
    }

    fn settled(&mut self, mut world: World, these: &[u8]) -> World {
        for _ in 0..ROUNDS {
            for &who in these {
                world = self.heartbeat(world, who);
            }
        }
        for _ in 0..self.rules.fence_after {
            world = self.later(world);
            for &who in these {
                world = self.heartbeat(world, who);
            }
        }
        world
    }

    fn check_settled(&self, world: World, who: u8) -> Result<(), String> {
        let node = &self.nodes[world.nodes[usize::from(who)]];
        let redis = &self.redises[world.redis];
        let Some(stamp) = node.stamp() else {
            return Err(format!("node {who} has not joined: {node:?}"));
        };
        let fresh = Answer { version: world.origin, stamp };
        if !node.may_serve(fresh, world.now, &self.rules) {
            return Err(format!("node {who} cannot use what it fetches: {node:?}, {redis:?}"));
        }
        Ok(())
    }

    /// What a node does within a heartbeat.
    fn heartbeat(&mut self, mut world: World, who: u8) -> World {
        let steps = [
            Action::HearsOfPurge(who, 0),
            Action::HearsOfPurge(who, 0),
            Action::HeedsBeat(who),
            Action::AppliesLog(who),
            Action::AsksForPlace(who),
            Action::BeginsLineage(who),
            Action::ReadsMarksAndEnters(who),
            Action::Enters(who),
            Action::SaysAgain(who),
            Action::BeatsAndHeeds(who),
            Action::ReadsLog(who),
            Action::AppliesLog(who),
        ];
        let at = usize::from(who);
        let mut node = Node::clone(&self.nodes[world.nodes[at]]);
        let mut redis = Redis::clone(&self.redises[world.redis]);
        for action in steps {
            let effect = act(&self.rules, action, &mut node, &mut redis, (world.origin, world.now));
            if let Some(Effect::Acknowledged(version)) = effect {
                world.note_acknowledged(version);
            }
        }
        world.nodes[at] = self.nodes.keep(node);
        world.redis = self.redises.keep(redis);
        world
    }
}

/// Heartbeats in which nodes find together: one finds a loss and begins a lineage, the other enters
/// it, and each hears what the other says again.
const ROUNDS: usize = 4;
