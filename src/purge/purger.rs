//! How a purge is made to stand: on this node alone, or on every node of the fleet.

use std::sync::Arc;
use std::time::Duration;

use super::feed::PurgeSource;
use super::fleet::{Fleet, Members, Spread};
use super::plane::{PurgePlane, PurgeState};
use super::{PurgeRequest, Stamp};
use crate::tag::{Tag, TagSet};

/// Why a purge cannot be said to stand. It may stand all the same: whoever asked for it must ask
/// again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum Unacknowledged {
    /// Redis is away, or did not answer in time.
    #[error("the purge plane cannot be reached")]
    Unreachable,
    /// Redis lost purges, and this node has not caught up with what came after.
    #[error("the purge plane is beginning anew")]
    BeginningAnew,
    /// Fewer replicas than `redis.purge.replicas` have it.
    #[error("too few replicas of the purge plane have the purge")]
    TooFewReplicas,
}

impl Unacknowledged {
    /// When to ask again: about as long as a connection or a lineage takes to be replaced.
    pub const RETRY_AFTER: Duration = Duration::from_secs(2);

    /// The reason, as metric label and error code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "plane-unreachable",
            Self::BeginningAnew => "plane-beginning-anew",
            Self::TooFewReplicas => "too-few-replicas",
        }
    }
}

/// The way of every purge.
#[derive(Clone, Debug)]
pub enum Purger {
    /// The node numbers its purges itself.
    Alone(Arc<PurgePlane>),
    /// The fleet's plane does.
    Fleet(Arc<Fleet>),
}

impl Purger {
    /// What this node knows of purges.
    pub fn plane(&self) -> &Arc<PurgePlane> {
        match self {
            Self::Alone(plane) => plane,
            Self::Fleet(fleet) => fleet.plane(),
        }
    }

    /// Purges the tags. When this returns, no read on this node serves what was fetched before, and
    /// the purge is on its way to every other.
    ///
    /// # Errors
    /// Says why nobody can promise that.
    pub async fn purge(
        &self,
        request: &PurgeRequest,
        source: PurgeSource,
    ) -> Result<Stamp, Unacknowledged> {
        match self {
            Self::Alone(plane) => {
                let stamp = plane.purge(request);
                plane.feed().note(stamp, source, request);
                plane.successor().tell(request).await?;
                Ok(stamp)
            }
            Self::Fleet(fleet) => fleet.purge(request, source).await,
        }
    }

    /// Purges the tags of what an unsafe request has changed, on this node at once whatever the
    /// others hear of it. `watched` is what the request's own answer depends on, and the stamp from
    /// before it left: it is told whether anything of that may have been purged meanwhile.
    pub async fn invalidate(
        &self,
        tags: Vec<Tag>,
        watched: Option<(&TagSet, Stamp)>,
    ) -> (Stamp, PurgeState) {
        match self {
            Self::Alone(plane) => {
                let request = PurgeRequest { hard: tags.clone(), soft: Vec::new() };
                let (stamp, state) = plane.invalidate(tags, watched);
                plane.feed().note(stamp, PurgeSource::UnsafeRequest, &request);
                plane.successor().tell_invalidated(&request).await;
                (stamp, state)
            }
            Self::Fleet(fleet) => fleet.invalidate(tags, watched).await,
        }
    }

    /// Whether an answer that another node has stamped can be judged here.
    pub fn recognises(&self, stamp: Stamp) -> bool {
        match self {
            Self::Alone(_) => true,
            Self::Fleet(fleet) => fleet.recognises(stamp),
        }
    }

    /// Who is in the fleet, and how far. `None` on a node without others.
    pub async fn members(&self) -> Option<Members> {
        match self {
            Self::Alone(_) => None,
            Self::Fleet(fleet) => Some(fleet.members().await),
        }
    }

    /// Waits until every live node of the fleet has applied the purges up to the stamp, or for
    /// `redis.purge.fleet_timeout`. `None` on a node without others.
    pub async fn spread(&self, stamp: Stamp) -> Option<Spread> {
        match self {
            Self::Alone(_) => None,
            Self::Fleet(fleet) => Some(fleet.spread(stamp).await),
        }
    }
}
