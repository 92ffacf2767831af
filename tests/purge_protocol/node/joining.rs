//! How a node finds its place: `Fleet::join`, step by step.

use std::time::Duration;

use csu_edge::purge::member::{Member, Position, Verdict};
use csu_edge::purge::{Lineage, Sequence};

use super::Node;
use crate::redis::{Beginning, Redis};
use crate::rules::{Rules, Tags, Time};

/// Where the node is on its way into the fleet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Phase {
    /// It must join, for the first time or anew.
    Out,
    /// It is to begin a lineage.
    Renewing(Beginning),
    /// It knows its place, and reads the marks.
    Reading(Place),
    /// It has read them.
    Entering(Place, Sequence),
    /// It says again what it has purged.
    Saying,
    /// It follows and beats.
    In,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Place {
    /// Where the node was when it asked.
    was: Option<Lineage>,
    lineage: Lineage,
    entry: Position,
    is_unproven: bool,
}

impl Node {
    pub(super) fn leave(&mut self) {
        self.phase = Phase::Out;
        self.read.clear();
        self.answered = None;
        self.last = None;
    }

    /// Asks for its place, in a lineage that it begins if there is none.
    pub(crate) fn begin(&mut self, redis: &mut Redis, now: Time, rules: &Rules) -> Option<()> {
        if self.phase != Phase::Out {
            return None;
        }
        let held = self.member.clone();
        let generation = self.stamp().map_or(0, |stamp| stamp.lineage.generation) + 1;
        let past = self.seen();
        redis.begin(Beginning { instead_of: None, generation, past }, rules);
        let (Some(mut held), Some(asked)) = (held, self.ask(redis, now, rules)) else {
            self.find_place(redis, false, rules);
            return Some(());
        };
        match held.judge(asked.beat, &asked.report) {
            Verdict::Sound | Verdict::Enter => self.find_place(redis, held.is_ahead(), rules),
            Verdict::CatchUp => self.find_place(redis, true, rules),
            Verdict::Renew { instead_of, generation, past } => {
                let beginning = Beginning { instead_of, generation, past };
                self.phase = Phase::Renewing(beginning);
            }
        }
        Some(())
    }

    /// Begins a lineage in the place of another.
    pub(crate) fn renew(&mut self, redis: &mut Redis, rules: &Rules) -> Option<()> {
        let Phase::Renewing(beginning) = self.phase else { return None };
        redis.begin(beginning, rules);
        self.find_place(redis, false, rules);
        Some(())
    }

    /// In what was answered. Where the newest entry is gone, the node begins a lineage, if the same
    /// still stands, and asks again. It does so at once here: what comes between can only make
    /// nothing of it.
    fn find_place(&mut self, redis: &mut Redis, is_unproven: bool, rules: &Rules) {
        let (lineage, sequence) = (redis.standing(rules), redis.sequence);
        let (Some(lineage), Some(nonce)) = (lineage, redis.nonce_at(sequence)) else {
            let generation = self.stamp().map_or(0, |stamp| stamp.lineage.generation) + 1;
            let past = sequence.max(self.seen());
            redis.begin(Beginning { instead_of: lineage, generation, past }, rules);
            self.phase = Phase::Out;
            return;
        };
        let was = self.stamp().map(|stamp| stamp.lineage);
        self.deadline = 0;
        let entry = Position { sequence, nonce };
        self.phase = Phase::Reading(Place { was, lineage, entry, is_unproven });
    }

    /// Reads the marks. Those of another lineage show that it must ask again; the lineage that it
    /// would begin would be in the place of one that does not stand any more.
    pub(crate) fn scan(&mut self, redis: &Redis) -> Option<()> {
        let Phase::Reading(place) = self.phase else { return None };
        self.phase = match redis.lineage() == Some(place.lineage) {
            true => Phase::Entering(place, redis.mark),
            false => Phase::Out,
        };
        Some(())
    }

    /// Takes its place.
    pub(crate) fn enter(&mut self) -> Option<()> {
        let Phase::Entering(place, mark) = self.phase else { return None };
        let Place { was, lineage, entry, is_unproven } = place;
        let mut member = Member::at(lineage, entry);
        if let Some(held) = &self.member {
            member.succeed(held);
        }
        self.member = Some(member);
        let is_other = was != Some(lineage);
        if is_other {
            self.mark = mark;
            self.usable_from = Sequence::default();
        } else {
            self.mark = self.mark.max(mark);
            if is_unproven {
                self.usable_from = entry.sequence;
            }
        }
        if (is_other || is_unproven) && was.is_some() {
            self.untold = self.untold.and(self.outstanding);
        }
        self.phase = if self.untold.is_empty() { Phase::In } else { Phase::Saying };
        Some(())
    }

    /// Says again what it has purged, until that ends well: `Fleet::tell_untold`.
    pub(crate) fn say(&mut self, redis: &mut Redis, rules: &Rules) -> Option<()> {
        if self.phase != Phase::Saying {
            return None;
        }
        let (lineage, tags) = (self.stamp()?.lineage, self.untold);
        let position = redis.purge(lineage, tags, rules);
        match position {
            Some(position) if self.take_in_own(lineage, position, tags, rules) => {
                self.untold = Tags::default();
                self.phase = Phase::In;
            }
            _ => self.leave(),
        }
        Some(())
    }

    fn seen(&self) -> Sequence {
        let held = self.member.as_ref();
        held.map_or(Sequence::default(), |held| held.beat(Duration::ZERO).seen.sequence)
    }
}
