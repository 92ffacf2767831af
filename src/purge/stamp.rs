//! What a fetch notes before it leaves: how far this node had followed the purges by then.

use std::fmt;
use std::time::Duration;

/// The number of a purge; 0 is "before the first".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Sequence(u64);

impl Sequence {
    /// The sequence number of a stamp that was written down.
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The sequence number as written in answers and metrics.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The number that the next purge gets.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Which life of the purge sequence a number belongs to. Numbers of two lineages cannot be
/// compared: an answer of another lineage than the node's is not usable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Lineage {
    /// Counts the lives.
    pub generation: u64,
    /// Random, so that two lives that were given one number differ.
    pub nonce: u64,
}

impl Lineage {
    /// A life that no other node has a part in.
    pub fn of_this_process() -> Self {
        Self { generation: 0, nonce: rand::random() }
    }

    /// Whether it is one that no other node has a part in.
    pub const fn is_of_one_process(self) -> bool {
        self.generation == 0
    }

    /// The lineage as it is written in Redis.
    pub fn parse(text: &str) -> Option<Self> {
        let (generation, nonce) = text.split_once('-')?;
        let number = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
        };
        Some(Self { generation: number(generation)?, nonce: number(nonce)? })
    }
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.generation, self.nonce)
    }
}

/// What tells a purge from any other that was given the same number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Nonce(pub u64);

/// What is stored with an answer: the purges that this node had applied before its fetch left.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Stamp {
    /// Whose numbers these are.
    pub lineage: Lineage,
    /// The last number that was applied.
    pub sequence: Sequence,
    /// The nonce of the purge that had it; 0 on a node that is alone.
    pub nonce: Nonce,
}

impl Stamp {
    /// Whether the fetch with this stamp is known to have left later than the other.
    pub fn is_later_than(self, other: Self) -> bool {
        match self.lineage == other.lineage {
            true => self.sequence > other.sequence,
            false => self.lineage.generation > other.lineage.generation,
        }
    }
}

/// When a fetch left or a request came: what this node knew of purges, and what its monotonic clock
/// showed. It means nothing on any other node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Moment {
    /// Counts what the plane has learnt.
    pub(super) knowledge: u64,
    pub(super) at: Duration,
    /// Whether the node could not vouch for what it knew.
    pub(super) fenced: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lineage_is_read_as_it_is_written() {
        let lineage = Lineage { generation: 7, nonce: u64::MAX };
        assert_eq!(Lineage::parse(&lineage.to_string()), Some(lineage));
        for wrong in ["", "-", "7", "7-", "-7", "+7-1", "7--1", "7-18446744073709551616"] {
            assert_eq!(Lineage::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_numbers_of_one_lineage_are_compared() {
        let stamp = |generation, nonce, sequence| Stamp {
            lineage: Lineage { generation, nonce },
            sequence: Sequence::from_u64(sequence),
            nonce: Nonce::default(),
        };
        assert!(stamp(1, 1, 2).is_later_than(stamp(1, 1, 1)));
        assert!(!stamp(1, 1, 1).is_later_than(stamp(1, 1, 1)));
        assert!(stamp(2, 1, 1).is_later_than(stamp(1, 1, 9)));
        assert!(!stamp(1, 1, 9).is_later_than(stamp(2, 1, 1)));
        assert!(!stamp(1, 1, 9).is_later_than(stamp(1, 2, 1)));
        assert!(!stamp(1, 2, 1).is_later_than(stamp(1, 1, 9)));
    }
}
