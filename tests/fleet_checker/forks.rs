//! Numbers are given away again, past all that some nodes have seen: they look right to everybody,
//! and only the nonces do not.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::time::Duration;

use csu_edge::config::Config;

use crate::checked::{Checked, NODES};
use crate::ledger::Promise;
use crate::redis_plane::{put_back, save, take_answers_away};
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::fleet::{impatient, redis_at};
use crate::support::redis::server::Server;

/// What only nodes know of that are cut off, nobody can keep. They are back long before that counts,
/// however slow the machine is.
const FENCE_AFTER: Duration = Duration::from_secs(4);

/// The fleet, each node with a way of its own to one Redis.
pub struct Fork {
    pub fleet: Checked,
    redis: Server,
    ways: Vec<FaultProxy>,
}

impl Fork {
    pub async fn set(change: impl Fn(&mut Config)) -> Self {
        let redis = Server::start(&[]).await;
        let mut ways = Vec::new();
        for _ in 0..NODES {
            ways.push(FaultProxy::before(redis.address()).await);
        }
        let rules = |node: usize| {
            let mut redis = impatient(redis_at(ways[node].address()));
            redis.purge.fence_after = FENCE_AFTER;
            redis
        };
        let fleet = Checked::of(Promise::Strict, [rules(0), rules(1), rules(2)], change).await;
        Self { fleet, redis, ways }
    }

    /// Two nodes have seen purges that are lost. The third has not, goes on from before them, and
    /// goes past them. Then the two come back.
    pub async fn play(&self, fault: Fault) {
        let Self { fleet, redis, ways } = self;
        let still = fleet.stillness().await;
        fleet.tell(format!("node 2 is cut off ({fault:?}), and the plane is saved"));
        ways[2].set(fault);
        save(redis).await;
        fleet.senders_reach(&[0, 1]);
        fleet.only_write(&[0]);
        drop(still);
        fleet.events(4).await;
        let still = fleet.stillness().await;
        fleet.tell("nodes 0 and 1 are cut off, and what they have purged is lost");
        ways[0].set(fault);
        ways[1].set(fault);
        put_back(redis).await;
        // Stamped with what is lost, they would be lost with it.
        take_answers_away(redis).await;
        fleet.senders_reach(&[2]);
        fleet.only_write(&[1]);
        ways[2].set(Fault::Pass);
        drop(still);
        fleet.events(16).await;
        // So that no other purge stands in for those that are lost.
        let still = fleet.stillness().await;
        fleet.tell("nodes 0 and 1 are back");
        ways[0].set(Fault::Pass);
        ways[1].set(Fault::Pass);
        fleet.goes_on(FENCE_AFTER + Duration::from_millis(500)).await;
        fleet.only_write(&[0, 1]);
        drop(still);
    }
}
