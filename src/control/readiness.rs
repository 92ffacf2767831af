//! Whether this node should be sent requests, and if not, why.

use std::sync::atomic::{AtomicU8, Ordering};

/// Why a node should be sent no requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum NotReady {
    /// Its listeners do not all accept yet.
    Starting = 1,
    /// It was told to stop and finishes what runs.
    Draining = 1 << 1,
}

impl NotReady {
    const ALL: [Self; 2] = [Self::Starting, Self::Draining];

    /// The reason, as `/ready` tells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Draining => "draining",
        }
    }
}

/// The reasons that stand against this node's being ready.
#[derive(Debug)]
pub struct Readiness(AtomicU8);

impl Default for Readiness {
    /// A node that is starting.
    fn default() -> Self {
        Self(AtomicU8::new(NotReady::Starting as u8))
    }
}

impl Readiness {
    /// Adds a reason.
    pub fn set(&self, reason: NotReady) {
        self.0.fetch_or(reason as u8, Ordering::Relaxed);
    }

    /// Takes a reason away.
    pub fn clear(&self, reason: NotReady) {
        self.0.fetch_and(!(reason as u8), Ordering::Relaxed);
    }

    /// The reasons that stand; none: ready.
    pub fn reasons(&self) -> Vec<NotReady> {
        let standing = self.0.load(Ordering::Relaxed);
        NotReady::ALL.into_iter().filter(|reason| standing & *reason as u8 != 0).collect()
    }
}
