//! How long what is stored may be used now, which may be less than when it was stored: its lifetimes
//! were shortened since, or it comes from a node that has others.
//!
//! They are looked at when an answer is used, and only ever made shorter. What was stored for a minute
//! is good for a minute, though its operation's answers are good for an hour by now: purges of it may
//! have been forgotten when that minute was over.

use std::sync::Arc;

use http::StatusCode;

use super::engine::Engine;
use super::errand::Errand;
use crate::caching::freshness::Freshness;
use crate::operation::{Lifetimes, Operation};
use crate::stored_response::StoredResponse;

impl Engine {
    /// An answer to this errand, as long as it may be used now.
    pub(super) fn limited(
        &self,
        errand: &Errand,
        stored: Arc<StoredResponse>,
    ) -> Arc<StoredResponse> {
        match shorter(&stored, self.limit(errand, &stored)) {
            Some(shorter) => shorter.into(),
            None => stored,
        }
    }

    /// The same of an answer to this operation.
    pub(super) fn limited_to(
        &self,
        operation: &Operation,
        stored: Arc<StoredResponse>,
    ) -> Arc<StoredResponse> {
        match shorter(&stored, self.limit_of(operation, &stored)) {
            Some(shorter) => shorter.into(),
            None => stored,
        }
    }

    /// The same of an answer that the memory tier holds, which holds that one from now on.
    pub(super) fn limited_in_store(
        &self,
        errand: &Errand,
        stored: Arc<StoredResponse>,
    ) -> Arc<StoredResponse> {
        self.kept_for(self.limit(errand, &stored), stored)
    }

    /// The same of an answer to this operation.
    pub(super) fn limited_to_in_store(
        &self,
        operation: &Operation,
        stored: Arc<StoredResponse>,
    ) -> Arc<StoredResponse> {
        self.kept_for(self.limit_of(operation, &stored), stored)
    }

    fn kept_for(&self, limit: Freshness, stored: Arc<StoredResponse>) -> Arc<StoredResponse> {
        let Some(shorter) = shorter(&stored, limit) else { return stored };
        let shorter = Arc::new(shorter);
        if !self.store.replace(&stored, &shorter) {
            // Nobody would tell who keeps this one that it is no longer what the tier holds.
            shorter.let_go.set();
        }
        shorter
    }

    fn limit(&self, errand: &Errand, stored: &StoredResponse) -> Freshness {
        match errand {
            Errand::Operation(errand) => self.limit_of(&errand.operation, stored),
            Errand::Resource(_) => self.bounded(stored.freshness),
        }
    }

    fn limit_of(&self, operation: &Operation, stored: &StoredResponse) -> Freshness {
        let mut lifetimes = operation.lifetimes;
        if stored.status != StatusCode::OK {
            lifetimes.fresh_for = lifetimes.fresh_for.min(self.config.absent.fresh_for);
        }
        Freshness { lifetimes, ..stored.freshness }
    }
}

/// The same answer, good for no longer than that; `None` where it is not anyway.
fn shorter(stored: &StoredResponse, limit: Freshness) -> Option<StoredResponse> {
    let (held, most) = (stored.freshness.lifetimes, limit.lifetimes);
    let lifetimes = Lifetimes {
        fresh_for: held.fresh_for.min(most.fresh_for),
        stale_while_revalidate: held.stale_while_revalidate.min(most.stale_while_revalidate),
        stale_if_error: held.stale_if_error.min(most.stale_if_error),
    };
    let keep_for = stored.freshness.keep_for.min(limit.keep_for);
    let freshness = Freshness { lifetimes, keep_for, ..stored.freshness };
    (freshness != stored.freshness).then(|| stored.with_freshness(freshness))
}
