//! The purge plane: how "make this new" holds against a fetch that is under way, on every node.
//!
//! A cache that stores and deletes by key cannot be purged safely. The purge deletes what is
//! there; an answer that left the origin before the change arrives a moment later and is stored
//! after it. This plane never deletes:
//!
//! 1. Every purge gets the next number of one sequence, and the number of each tag's last purge
//!    is kept ([`PurgePlane`]).
//! 2. *Before* a fetch leaves for the origin it notes the purges that this node has applied
//!    ([`PurgePlane::stamp`]). The stamp is stored with the answer.
//! 3. A stored response is usable iff its stamp is of the node's lineage and none of its tags was
//!    purged after it ([`PurgePlane::check`]). That is asked on every read, of every tier.
//! 4. While the node has learnt of no purge since the answer was last found usable, one load and
//!    one comparison decide ([`LastFoundUsable`]).
//!
//! Nothing leads from a tag to the entries that carry it, so a purge of a million tags touches a
//! million numbers and no entry. What is dead is removed by capacity and time.
//!
//! A node that is alone numbers its purges itself. A fleet has them numbered by Redis
//! ([`fleet`]): which node follows what, what it does when Redis has lost some of it, and when it
//! may not vouch for what it knows, is [`member`], which is pure, and `docs/consistency.md`, which
//! is for people.

mod feed;
mod fence;
pub mod fleet;
pub mod member;
mod plane;
mod purger;
mod request;
mod rule;
mod schedule;
mod stamp;
mod successor;
mod table;

pub use feed::{PurgeFeed, PurgeSource, Purged};
pub use plane::{LastFoundUsable, PurgePlane, PurgeState, Strictness};
pub use purger::{Purger, Unacknowledged};
pub use request::{PurgeMode, PurgeRequest};
pub use rule::Rule;
pub use schedule::{Effect, Refused, Schedule};
pub use stamp::{Lineage, Moment, Nonce, Sequence, Stamp};
pub use successor::{Successor, Told};
