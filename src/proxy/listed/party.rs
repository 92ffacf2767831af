//! What one request misses, on its way to the origin.

use std::sync::Arc;

use opentelemetry::trace::SpanContext;

use super::ListedErrand;
use crate::proxy::asking::Standing;
use crate::proxy::errand::OperationErrand;
use crate::proxy::flight::Takeoff;
use crate::question::Unit;
use crate::store::Lease;
use crate::stored_response::StoredResponse;

/// Things of one kind that one request misses.
pub struct Party {
    /// The request's errand.
    pub listed: Arc<ListedErrand>,
    /// What is to be asked for.
    pub legs: Vec<Leg>,
    /// Who lets them in.
    pub standing: Standing,
    /// The request's span, where it has one.
    pub asker: Option<SpanContext>,
}

impl Party {
    /// Leaves those of the legs that `leave`, and gives back the others, if there are any.
    pub(super) fn split_off(&mut self, mut leave: impl FnMut(&Unit) -> bool) -> Option<Self> {
        let legs = std::mem::take(&mut self.legs);
        let (leaving, staying): (Vec<_>, Vec<_>) =
            legs.into_iter().partition(|leg| leave(&leg.unit));
        self.legs = leaving;
        let listed = Arc::clone(&self.listed);
        let (standing, asker) = (self.standing, self.asker.clone());
        (!staying.is_empty()).then_some(Self { listed, legs: staying, standing, asker })
    }
}

/// One thing that is to be asked for, and the flight of those who wait for it.
#[derive(Debug)]
pub struct Leg {
    /// The errand for it alone.
    pub errand: Arc<OperationErrand>,
    /// What it is.
    pub unit: Unit,
    /// What is stored of it, which does not serve.
    pub previous: Option<Arc<StoredResponse>>,
    /// The duty to end the flight.
    pub takeoff: Takeoff,
    /// The fleet's leave to fetch it.
    pub lease: Option<Lease>,
}
