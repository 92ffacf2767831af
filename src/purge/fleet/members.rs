//! Who is in the fleet, and how far each is: what beats have told Redis, read for people.

use std::time::Duration;

use super::Fleet;
use crate::purge::{Lineage, Sequence};

/// For how long one look serves all who ask: consoles poll, and Redis should not hear of each.
const LOOK_HOLDS_FOR: Duration = Duration::from_secs(1);

/// Members that are told, the first by name.
const TOLD_MEMBERS: usize = 500;

/// How far a node is, by its last beat.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FleetMember {
    /// Its name.
    pub node: String,
    /// The lineage that it follows.
    pub lineage: Lineage,
    /// The last purge of it that the node had applied.
    pub sequence: Sequence,
    /// How long ago it said so.
    pub heard_ago: Duration,
    /// Whether that is so long ago that it counts as gone: it serves nothing strict, and nobody waits
    /// for it.
    pub is_gone: bool,
}

/// Who is in the fleet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Members {
    /// This node's name.
    pub own_name: String,
    /// All of them, this one too, by name; `None` where Redis does not tell.
    pub told: Option<Vec<FleetMember>>,
    /// How many more there are.
    pub more: usize,
}

/// What one look has found, and when that was by the monotonic clock.
#[derive(Debug)]
pub(super) struct Look {
    at: Duration,
    found: Members,
}

impl Fleet {
    /// Who is in the fleet by now, or was within the last second. Who asks is kept for no longer than
    /// a command may take, and not at all where Redis is known to be away.
    pub(in crate::purge) async fn members(&self) -> Members {
        let now = self.clock.monotonic();
        if let Some(look) = &*self.last_look.lock()
            && now.saturating_sub(look.at) < LOOK_HOLDS_FOR
        {
            return look.found.clone();
        }
        let found = self.look_for_members().await;
        *self.last_look.lock() = Some(Look { at: now, found: found.clone() });
        found
    }

    async fn look_for_members(&self) -> Members {
        let own_name = self.node.clone();
        let told = match self.wire.nodes().await {
            Ok(told) => told,
            Err(error) => {
                tracing::debug!(%error, "it cannot be told who is in the fleet");
                return Members { own_name, told: None, more: 0 };
            }
        };
        let member = |said: super::wire::Said| FleetMember {
            is_gone: said.age > self.settings.fence_after,
            node: said.node,
            lineage: said.lineage,
            sequence: said.sequence,
            heard_ago: said.age,
        };
        let mut members: Vec<FleetMember> = told.into_iter().map(member).collect();
        members.sort_unstable_by(|a, b| a.node.cmp(&b.node));
        let more = members.len().saturating_sub(TOLD_MEMBERS);
        members.truncate(TOLD_MEMBERS);
        Members { own_name, told: Some(members), more }
    }
}
