//! What a node shares with others, where it has any: the purge plane and the second tier.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use crate::clock::Clock;
use crate::config::{Config, Redis};
use crate::metrics::Metrics;
use crate::purge::fleet::{self, Fleet};
use crate::purge::{PurgePlane, Purger};
use crate::redis::{Link, LinkRules, RedisSetupError, Role};
use crate::store::{Reader, SharedTier};

/// Where Linux tells the host's name.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// The purge plane and the second tier.
pub(super) struct Sharing {
    pub(super) purger: Purger,
    pub(super) tier: Option<Link>,
    redis: Option<Redis>,
    follower: Option<AbortOnDropHandle<()>>,
}

impl Sharing {
    /// Takes up connections, if the configuration names a Redis; nobody waits for them here.
    pub(super) fn start(
        config: &Config,
        remembered_for: Duration,
        clock: &Clock,
        metrics: &Metrics,
    ) -> Result<Self, RedisSetupError> {
        let plane = PurgePlane::new(clock.clone(), remembered_for, config.purge.max_tags)
            .with_max_urls(config.purge.max_urls);
        #[cfg(feature = "break-rules")]
        let plane = plane.without(config.purge.without);
        let Some(redis) = &config.redis else {
            let purger = Purger::Alone(Arc::new(plane));
            return Ok(Self { purger, tier: None, redis: None, follower: None });
        };
        let open = |server, role| {
            let rules = LinkRules::new(redis, role);
            Link::open(server, rules, role, metrics.clone(), clock.clone())
        };
        let of_plane = redis.purge_server();
        let settings = fleet::Settings {
            links: [
                open(of_plane, Role::Purge)?,
                open(of_plane, Role::Beat)?,
                open(of_plane, Role::Follow)?,
            ],
            prefix: redis.prefix.clone(),
            node: match (&redis.node, &config.listen.handover) {
                (None, _) => own_name(&host_name()),
                (Some(name), None) => name.clone(),
                // The process that is relieved and the one that relieves it are two nodes.
                (Some(name), Some(_)) => own_name(name),
            },
            plane: redis.purge.clone(),
            bounds: config.purge.clone(),
            patience: redis.command_timeout,
        };
        let plane = Arc::new(plane.in_fleet(redis.purge.fence_after));
        let (fleet, follower) = Fleet::start(plane, settings, clock.clone(), metrics.clone());
        Ok(Self {
            purger: Purger::Fleet(fleet),
            tier: Some(open(&redis.server, Role::Tier)?),
            redis: Some(redis.clone()),
            follower: Some(follower),
        })
    }

    /// The second tier, read by a node with this secret for its keys.
    pub(super) fn tier(
        &self,
        config: &Config,
        key_seed: [u8; 16],
        clock: &Clock,
        metrics: &Metrics,
    ) -> Option<SharedTier> {
        let (link, redis) = (self.tier.clone()?, self.redis.as_ref()?);
        let public_root = config.storefront.public_root.as_ref().map(ToString::to_string);
        let reader = Reader {
            key_seed,
            public_root: public_root.map(Into::into),
            max_body_bytes: config.limits.stored_body_bytes,
        };
        Some(SharedTier::start(link, redis, reader, clock.clone(), metrics.clone()))
    }

    /// Waits until the node has its place among the others, or for `redis.purge.boot_timeout`.
    pub(super) async fn joined(&self) {
        let (Purger::Fleet(fleet), Some(redis)) = (&self.purger, &self.redis) else { return };
        if tokio::time::timeout(redis.purge.boot_timeout, fleet.joined()).await.is_err() {
            tracing::warn!(
                "the purge plane is away: serving without it, nothing strict from memory"
            );
        }
    }

    /// Leaves the others.
    pub(super) async fn leave(self) {
        drop(self.follower);
        if let Purger::Fleet(fleet) = &self.purger {
            fleet.leave().await;
        }
    }

    /// What works less well than it should.
    pub(super) fn degraded(purger: &Purger, tier: Option<&Link>) -> Vec<&'static str> {
        let tier = tier.is_some_and(|tier| !tier.is_up()).then_some("redis-tier");
        let plane = purger.plane().is_fenced().then_some("purge-plane");
        tier.into_iter().chain(plane).collect()
    }
}

/// A name and four random digits: nodes on one host differ, and so does a node from what it was before
/// a restart.
fn own_name(name: &str) -> String {
    format!("{name}-{:04x}", rand::random::<u16>())
}

fn host_name() -> String {
    let host = std::fs::read_to_string(HOST_NAME).unwrap_or_default();
    match host.trim() {
        "" => "node".to_owned(),
        name => name.to_owned(),
    }
}
