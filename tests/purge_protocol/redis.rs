//! Redis, as the scripts of `src/purge/fleet` leave it.

use csu_edge::purge::member::{Position, Report};
use csu_edge::purge::{Lineage, Nonce, Sequence};

use crate::rules::{Rules, Tags};

/// An entry of the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Entry {
    pub(crate) lineage: Lineage,
    pub(crate) position: Position,
    /// The nonce of the entry before it; none of the first.
    pub(crate) after: Option<Nonce>,
    pub(crate) tags: Tags,
}

/// What a primary holds.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Redis {
    /// How many primaries there were before it.
    pub(crate) failovers: u8,
    lineage: Option<Lineage>,
    /// The primary on which it was begun.
    begun_on: u8,
    pub(crate) sequence: Sequence,
    pub(crate) log: Vec<Entry>,
    /// The last purge of the watched tag.
    pub(crate) mark: Sequence,
}

/// What one `begin` is asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Beginning {
    pub(crate) instead_of: Option<Lineage>,
    pub(crate) generation: u64,
    pub(crate) past: Sequence,
}

impl Redis {
    /// `purge.lua`: the entry, or none where another lineage stands.
    pub(crate) fn purge(
        &mut self,
        lineage: Lineage,
        tags: Tags,
        rules: &Rules,
    ) -> Option<Position> {
        if self.standing(rules) != Some(lineage) {
            return None;
        }
        self.sequence = self.sequence.next();
        let position = self.add(lineage, tags, rules);
        if tags.watched {
            self.mark = self.sequence;
        }
        Some(position)
    }

    /// `begin.lua`, without its report.
    pub(crate) fn begin(&mut self, beginning: Beginning, rules: &Rules) {
        if self.standing(rules) != beginning.instead_of {
            return;
        }
        self.sequence = self.sequence.max(beginning.past).next();
        let held = self.lineage.map_or(0, |lineage| lineage.generation);
        let generation = beginning.generation.max(held + 1);
        let lineage = Lineage { generation, nonce: self.fresh().0 };
        self.lineage = Some(lineage);
        self.begun_on = self.failovers;
        self.log.clear();
        self.mark = Sequence::default();
        self.add(lineage, Tags::default(), rules);
    }

    /// The log is evicted, or somebody deletes it.
    pub(crate) fn lose_log(&mut self) {
        self.log.clear();
    }

    /// `report.lua`.
    pub(crate) fn report(&self, seen: Sequence, rules: &Rules) -> Report {
        Report {
            lineage: self.standing(rules),
            sequence: self.sequence,
            nonce: self.nonce_at(self.sequence),
            nonce_at_seen: self.nonce_at(seen),
            oldest: self.log.first().map(|entry| entry.position.sequence),
        }
    }

    /// The lineage that is written, with the marks too.
    pub(crate) const fn lineage(&self) -> Option<Lineage> {
        self.lineage
    }

    /// `standing.lua`: a promotion gives a server another id, also where it was the primary before.
    pub(crate) fn standing(&self, rules: &Rules) -> Option<Lineage> {
        self.lineage.filter(|_| !rules.bound || self.begun_on == self.failovers)
    }

    pub(crate) fn nonce_at(&self, sequence: Sequence) -> Option<Nonce> {
        let entry = self.log.iter().find(|entry| entry.position.sequence == sequence);
        entry.map(|entry| entry.position.nonce)
    }

    fn add(&mut self, lineage: Lineage, tags: Tags, rules: &Rules) -> Position {
        let nonce = if rules.nonces { self.fresh() } else { Nonce(1) };
        let position = Position { sequence: self.sequence, nonce };
        let after = self.log.last().map(|entry| entry.position.nonce);
        self.log.push(Entry { lineage, position, after, tags });
        if let Some(most) = rules.log_entries
            && self.log.len() > most
        {
            self.log.remove(0);
        }
        position
    }

    /// What random numbers stand for. One primary gives no number twice, so this is given once; and
    /// it does not tell in what order the rest of the world came about.
    fn fresh(&self) -> Nonce {
        Nonce(self.sequence.as_u64() * 8 + u64::from(self.failovers) + 1)
    }
}
