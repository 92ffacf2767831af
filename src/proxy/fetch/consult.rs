//! Before the origin is asked: whether another node has the answer, or is about to.

use std::sync::Arc;

use futures_util::future::try_join_all;
use http::header::SET_COOKIE;

use super::super::lookup::Lookup;
use super::super::resource::Resource;
use super::super::{Engine, Errand};
use crate::cache_key::CacheKey;
use crate::caching::cache_control::RequestDirectives;
use crate::purge::{PurgeState, Strictness};
use crate::question::Partition;
use crate::redis::LinkError;
use crate::store::{Election, Lease, Selecting, SharedTier};
use crate::stored_response::StoredResponse;

/// Who may give an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// The tier that nodes share, if it can, else the origin.
    Anywhere,
    /// The origin alone: what is stored is not what the client wants.
    Origin,
}

/// What came of looking elsewhere.
pub(super) enum Consulted {
    /// An answer that serves, in memory by now.
    Found(Arc<StoredResponse>),
    /// Nothing that serves. The origin is asked, whether `previous` still stands where there is
    /// one, and for the whole fleet where there is a lease.
    Nothing { previous: Option<Arc<StoredResponse>>, lease: Option<Lease> },
    /// Another node is about to have it.
    Elsewhere { previous: Option<Arc<StoredResponse>> },
}

impl Engine {
    /// Looks for an answer in the shared tier, and waits for the node that fetches it, if one does.
    pub(super) async fn consult(
        &self,
        errand: &Errand,
        previous: Option<Arc<StoredResponse>>,
        source: Source,
    ) -> Consulted {
        match self.look_elsewhere(errand, previous, source).await {
            Consulted::Elsewhere { previous } => self.await_elsewhere(errand, previous).await,
            consulted => consulted,
        }
    }

    /// Looks for an answer in the shared tier, and which node is to fetch it where there is none.
    pub(super) async fn look_elsewhere(
        &self,
        errand: &Errand,
        previous: Option<Arc<StoredResponse>>,
        source: Source,
    ) -> Consulted {
        let (Some(tier), Source::Anywhere) = (self.tier_for(errand), source) else {
            return Consulted::Nothing { previous, lease: None };
        };
        let mut held_before = None;
        let has_stale = previous.is_some();
        let found = self.find_shared(tier, errand).await;
        match found.map(|found| found.map(|found| self.serves(errand, found, has_stale))) {
            Ok(Some(Ok(found))) => return self.found(found),
            Ok(Some(Err(other))) => {
                // In memory it can stand in where the origin fails.
                if let Lookup::Stale(stale, _) = &other
                    && previous.as_ref().is_none_or(|held| held.came_before(stale))
                {
                    self.store.put(stale);
                }
                held_before = other.previous().cloned();
            }
            Ok(None) => {}
            // One wait is enough.
            Err(_) => return Consulted::Nothing { previous, lease: None },
        }
        let previous = previous.or(held_before);
        match tier.elect(&self.flight_key(errand)).await {
            Election::Elected(lease) => Consulted::Nothing { previous, lease: Some(lease) },
            Election::Unknown => Consulted::Nothing { previous, lease: None },
            Election::Follow => Consulted::Elsewhere { previous },
        }
    }

    /// Waits for the node that fetches an answer.
    pub(super) async fn await_elsewhere(
        &self,
        errand: &Errand,
        previous: Option<Arc<StoredResponse>>,
    ) -> Consulted {
        if let Some(tier) = self.tier_for(errand) {
            let (key, has_stale) = (self.flight_key(errand), previous.is_some());
            let serves = |found| self.serves(errand, found, has_stale).ok();
            if let Some(found) = tier.follow(&key, serves).await {
                return self.found(found);
            }
        }
        Consulted::Nothing { previous, lease: None }
    }

    /// Whether what was found serves. Where a stale answer serves its clients already, only a fresh
    /// one is news.
    fn serves(
        &self,
        errand: &Errand,
        found: StoredResponse,
        has_stale: bool,
    ) -> Result<Arc<StoredResponse>, Lookup> {
        match self.for_anyone(errand, found.into()) {
            Lookup::Fresh(found) => Ok(found),
            Lookup::Stale(found, stale) if stale.while_revalidating && !has_stale => Ok(found),
            found => Err(found),
        }
    }

    /// What the shared tier holds for a client that wants nothing else.
    pub(in crate::proxy) async fn find_elsewhere(&self, errand: &Errand) -> Option<Lookup> {
        let found = self.find_shared(self.tier_for(errand)?, errand).await.ok()??;
        let is_recognised = self.purger.recognises(found.stamp);
        is_recognised.then(|| self.judged(errand, found.into()))
    }

    /// The shared tier, where it can be asked, and could give anything that serves.
    fn tier_for(&self, errand: &Errand) -> Option<&SharedTier> {
        let serves_nothing =
            || errand.strictness() == Strictness::Strict && self.plane().is_fenced();
        let tier = self.shared.as_ref().filter(|tier| tier.is_up() && self.may_share(errand))?;
        (!serves_nothing()).then_some(tier)
    }

    fn found(&self, found: Arc<StoredResponse>) -> Consulted {
        self.store.put(&found);
        Consulted::Found(found)
    }

    /// What the shared tier holds for an errand; of several variants, the one that came last.
    async fn find_shared(
        &self,
        tier: &SharedTier,
        errand: &Errand,
    ) -> Result<Option<StoredResponse>, LinkError> {
        let resource = match errand {
            Errand::Operation(errand) => return tier.get(&errand.question.key).await,
            Errand::Resource(resource) => resource,
        };
        let keys = self.shared_keys(tier, resource).await?;
        let found = try_join_all(keys.iter().map(|key| tier.get(key))).await?;
        Ok(found.into_iter().flatten().max_by_key(|found| found.freshness.received_at))
    }

    /// The keys under which a URL's answer for this request may stand.
    async fn shared_keys(
        &self,
        tier: &SharedTier,
        resource: &Resource,
    ) -> Result<Vec<CacheKey>, LinkError> {
        let url = resource.key();
        if self.variants.of(url).is_none() {
            let sets = tier.selecting(url).await?;
            if !sets.is_empty() {
                self.variants.learn(url, &sets);
            }
        }
        let known = self.variants.of(url);
        let sets = known.as_deref().map_or(&[][..], Selecting::sets);
        let variants = sets.iter().map(|names| resource.variant_key(names, &self.key_seed));
        Ok(variants.chain([url.clone()]).collect())
    }

    /// Gives an answer to the other nodes.
    pub(in crate::proxy) fn share(
        &self,
        errand: &Errand,
        stored: &Arc<StoredResponse>,
        lease: Option<Lease>,
    ) {
        let Some(tier) = self.shared.as_ref().filter(|tier| tier.is_up() && self.may_share(errand))
        else {
            return;
        };
        // A part would hide the whole, and what was fetched before this node had heard of the others
        // is of use to none of them.
        if stored.is_part() || stored.stamp.lineage.is_of_one_process() {
            return;
        }
        // A cookie is for the one who asked first. What is dead on arrival would only stand in the
        // way of what another node has fetched since.
        if stored.headers().contains_key(SET_COOKIE)
            || self.plane().state_since(&stored.tags, stored.stamp) == PurgeState::HardPurged
        {
            return;
        }
        if let Errand::Resource(resource) = errand
            && let Some(known) = self.variants.of(resource.key())
        {
            tier.put_selecting(resource.key(), known.sets(), stored.freshness.life());
        }
        tier.put(stored, lease);
    }

    /// Takes an answer back that is no longer what the origin would say.
    pub(in crate::proxy) fn unshare(&self, stored: &StoredResponse) {
        self.store.remove(stored);
        if let Some(tier) = &self.shared {
            tier.remove(&stored.key);
        }
    }

    /// Whether other nodes may have the answer: one that is kept for one client's credentials leaves
    /// this process only where the operator has given the fleet a secret for that.
    fn may_share(&self, errand: &Errand) -> bool {
        match errand {
            Errand::Operation(errand) => match errand.asker.partition {
                Partition::Anonymous => true,
                Partition::Token(_) => self.shares_partitions(),
            },
            // A variant may have been selected by who asks, and its key names by what.
            Errand::Resource(resource) => {
                !resource.is_personal() && !resource.carries_credentials()
            }
        }
    }

    /// As it would be judged for a client without wishes.
    fn for_anyone(&self, errand: &Errand, stored: Arc<StoredResponse>) -> Lookup {
        if !self.purger.recognises(stored.stamp) {
            return Lookup::Purged(stored);
        }
        let (wishes, now) = (RequestDirectives::default(), self.clock.now());
        let stored = self.limited(errand, stored);
        Lookup::of(stored, self.plane(), errand.strictness(), &wishes, now)
    }
}
