//! A piece on its way into an answer.

use std::sync::Arc;

use http::StatusCode;

use crate::caching::freshness::StaleUse;
use crate::clock::Timestamp;
use crate::proxy::counts::Served;
use crate::proxy::lookup::Lookup;
use crate::stored_response::StoredResponse;

/// A piece of an answer, and how it came about.
#[derive(Clone, Debug)]
pub struct Piece {
    pub(in crate::proxy) stored: Arc<StoredResponse>,
    /// How it is served.
    pub served: Served,
    /// Whether the origin was asked for it, and what it said where that is not the stored status.
    pub(super) was_asked: bool,
    pub(super) forward_status: Option<StatusCode>,
}

impl Piece {
    pub(super) const fn of(stored: Arc<StoredResponse>, served: Served) -> Self {
        Self { stored, served, was_asked: false, forward_status: None }
    }

    /// The same, come from another node.
    pub(super) fn shared(self) -> Self {
        let served = if self.served == Served::Hit { Served::SharedHit } else { self.served };
        Self { served, ..self }
    }

    pub(super) fn is_from_store(&self) -> bool {
        !matches!(self.served, Served::Miss | Served::Collapsed)
    }
}

/// What of a look-up serves at once.
pub(in crate::proxy) fn serve_at_once(lookup: &Lookup) -> Option<Piece> {
    let (stored, served) = match lookup {
        Lookup::Fresh(stored) => (stored, Served::Hit),
        Lookup::Stale(stored, StaleUse { while_revalidating: true, .. }) => (stored, Served::Stale),
        _ => return None,
    };
    Some(Piece::of(Arc::clone(stored), served))
}

/// How an answer is served whose pieces are: by what took longest.
pub(super) fn served(pieces: &[&Piece]) -> Served {
    let any = |served: Served| pieces.iter().any(|piece| piece.served == served);
    let all = |served: &[Served]| pieces.iter().all(|piece| served.contains(&piece.served));
    if any(Served::StaleIfError) {
        Served::StaleIfError
    } else if all(&[Served::Collapsed]) {
        Served::Collapsed
    } else if all(&[Served::Miss, Served::Collapsed]) {
        Served::Miss
    } else if any(Served::Miss) || any(Served::Collapsed) {
        Served::Partial
    } else if any(Served::Stale) {
        Served::Stale
    } else if any(Served::SharedHit) {
        Served::SharedHit
    } else {
        Served::Hit
    }
}

/// How much freshness is left of the piece that has least.
pub(super) fn ttl(pieces: &[&Piece], now: Timestamp) -> i64 {
    let ttl = |piece: &&Piece| {
        let ttl = piece.stored.freshness.ttl_seconds(now);
        // Softly purged, it has lifetime left and is stale all the same.
        if piece.served == Served::Stale { ttl.min(0) } else { ttl }
    };
    pieces.iter().map(ttl).min().unwrap_or_default()
}
