//! How large a world is, and by which rules its nodes go.

/// A reading of the monotonic clock. All nodes read the same one.
pub(crate) type Time = u8;

/// Counts the changes of the origin's value.
pub(crate) type Version = u8;

/// More changes than any world has.
pub(crate) const MAX_VERSION: Version = 2;

/// The tags of a purge. There are two, and all answers carry the first: whatever may befall an answer
/// that carries the other is the same with the names changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Tags {
    pub(crate) watched: bool,
    pub(crate) other: bool,
}

impl Tags {
    pub(crate) const WATCHED: Self = Self { watched: true, other: false };
    pub(crate) const OTHER: Self = Self { watched: false, other: true };

    pub(crate) const fn and(self, more: Self) -> Self {
        Self { watched: self.watched || more.watched, other: self.other || more.other }
    }

    pub(crate) const fn is_empty(self) -> bool {
        !self.watched && !self.other
    }
}

/// A world's size and rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Changes of the origin's value. None where each comes with the purge that tells of it, and
    /// fetches take no time: that is the worst that can befall. An earlier change leaves fewer
    /// answers that are too old, and a fetch that takes its time brings nothing that one which leaves
    /// at its end would not bring with a later stamp.
    pub(crate) changes: Option<Version>,
    /// Answers to beats take their time, logs are read at one time and applied at another, and so are
    /// marks. Where they are not, only a log that is read before a failover is applied after it. The
    /// rest is a node's own doing, which is the same whatever others do meanwhile.
    pub(crate) in_flight: bool,
    pub(crate) fetches: u8,
    /// Purges of the watched tag, by either node.
    pub(crate) watched_purges: u8,
    /// Purges of the other tag, by either node.
    pub(crate) other_purges: u8,
    /// Purges that one node has under way at once.
    pub(crate) purges_at_once: usize,
    /// Purges that are tried again when they were refused.
    pub(crate) retries: u8,
    pub(crate) ticks: Time,
    pub(crate) fence_after: Time,
    /// Times that Redis goes back to what it was.
    pub(crate) failovers: u8,
    /// Times that Redis loses its log, and nothing else.
    pub(crate) log_losses: u8,
    /// Entries that the log keeps.
    pub(crate) log_entries: Option<usize>,
    /// Nobody has begun a lineage, and no node has joined.
    pub(crate) is_new: bool,

    /// The stamp is taken before the origin is read, not after.
    pub(crate) stamp_first: bool,
    /// Entries of the log differ by more than their number.
    pub(crate) nonces: bool,
    /// Strict answers are not served when the fence is down.
    pub(crate) fence: bool,
    /// A purge is in force on its node before it is acknowledged.
    pub(crate) mark_ahead: bool,
    /// An answer of another lineage is not served.
    pub(crate) lineage_on_read: bool,
    /// A beat is vouched for from its sending, not from its answer.
    pub(crate) vouch_from_sending: bool,
    /// A beat is vouched for once the number that it told is applied, not before.
    pub(crate) vouch_when_applied: bool,

    /// What another node has stamped is used only where that can be compared with what is known.
    pub(crate) recognise: bool,
    /// A stamp names the nonce of its number.
    pub(crate) stamp_nonces: bool,
    /// An entry names the nonce of the one before it.
    pub(crate) after_nonces: bool,
    /// A purge whose number was met with another nonce is not acknowledged.
    pub(crate) own_nonces: bool,
    /// A lineage stands only on the primary on which it was begun: another ends it.
    pub(crate) bound: bool,
}

impl Rules {
    /// No answer is newer.
    pub(crate) fn last_version(&self) -> Version {
        self.changes.unwrap_or(self.watched_purges)
    }

    /// The origin's version when it is purged.
    pub(crate) fn version_purged(&self, origin: Version) -> Version {
        if self.changes.is_some() { origin } else { self.last_version().min(origin + 1) }
    }

    /// Nothing can happen in it yet.
    pub(crate) const EMPTY: Self = Self {
        changes: None,
        in_flight: false,
        fetches: 0,
        watched_purges: 0,
        other_purges: 0,
        purges_at_once: 1,
        retries: 1,
        ticks: 0,
        fence_after: 1,
        failovers: 0,
        log_losses: 0,
        log_entries: None,
        is_new: false,
        stamp_first: true,
        nonces: true,
        fence: true,
        mark_ahead: true,
        lineage_on_read: true,
        vouch_from_sending: true,
        vouch_when_applied: true,
        recognise: true,
        stamp_nonces: true,
        after_nonces: true,
        own_nonces: true,
        bound: true,
    };
}
