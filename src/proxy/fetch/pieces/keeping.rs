//! What becomes of the pieces of an answer: each is stored by itself, with tags and a lifetime of
//! its own.

use std::collections::HashMap;
use std::sync::Arc;

use http::header::{CONTENT_LOCATION, ETAG, HeaderName, LAST_MODIFIED};
use http::response::Parts;
use http::{HeaderMap, StatusCode};

use super::super::super::Engine;
use super::super::super::errand::{Errand, OperationErrand};
use super::super::super::flight::Outcome;
use super::super::super::listed::{Leg, ListedErrand, Party};
use super::super::operation::kept_of;
use super::legs_of;
use crate::answer::Answer;
use crate::answer::pieces::{Piece, Unfit, take_apart};
use crate::caching::lifetime::Exchange;
use crate::dependency::{self, Id};
use crate::purge::{LastFoundUsable, Stamp};
use crate::stored_response::{LetGo, StoredBody, StoredFields, StoredResponse};
use crate::tag::TagSet;

/// Fields that are about the answer of which a piece is one.
const OF_THE_WHOLE: [HeaderName; 7] = [
    ETAG,
    LAST_MODIFIED,
    CONTENT_LOCATION,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// The stored piece of each leg, in the parties' order.
pub(super) fn keep(
    engine: &Engine,
    parties: &[Party],
    pieces: &HashMap<Id, Piece>,
    head: &Parts,
    exchange: Exchange,
) -> Result<Vec<Arc<StoredResponse>>, Unfit> {
    let legs = parties.iter().flat_map(|party| party.legs.iter());
    let piece_of = |leg: &Leg| pieces.get(&leg.unit.id).ok_or(Unfit::Stranger);
    legs.map(|leg| {
        let stamp = engine.stamp_of(&leg.takeoff);
        engine.piece_to_store(&leg.errand, stamp, piece_of(leg)?, &head.headers, exchange)
    })
    .collect()
}

pub(super) fn land(engine: &Engine, parties: Vec<Party>, kept: Vec<Arc<StoredResponse>>) {
    for (leg, stored) in legs_of(parties).zip(kept) {
        engine.store.put(&stored);
        leg.takeoff.land(Outcome::Stored(Arc::clone(&stored), None));
        engine.share(&Errand::Operation(leg.errand), &stored, leg.lease);
    }
}

impl Engine {
    /// Learns from the answer for a whole list how the origin answers lists, and keeps its pieces.
    pub(in super::super) fn learn_from(
        &self,
        listed: &ListedErrand,
        whole: &StoredResponse,
        exchange: Exchange,
    ) -> Result<(), Unfit> {
        let (units, index) = (listed.question.units(), listed.operation.index);
        let decomposition = listed.decomposition().ok_or(Unfit::Items)?;
        let asked: Vec<&Id> = units.iter().map(|unit| &unit.id).collect();
        let body = whole.body.kept();
        let taken = take_apart(body, &asked, decomposition, listed.question.max_items());
        let taken = taken.inspect_err(|unfit| self.note_unfit(listed, *unfit))?;
        self.habits.learn(index, taken.evidence, self.clock.now())?;
        let different = self.habits.different(index, units, self.clock.now());
        for (piece, position) in taken.pieces.iter().zip(different.unwrap_or_default()) {
            let errand = units.get(position).and_then(|unit| listed.alone(unit));
            let Some(errand) = errand else { continue };
            let headers = &whole.headers();
            self.store.put(&self.piece_to_store(&errand, whole.stamp, piece, headers, exchange)?);
        }
        Ok(())
    }

    /// A piece as it is stored.
    ///
    /// # Errors
    /// [`Unfit`] where it must not be.
    fn piece_to_store(
        &self,
        errand: &OperationErrand,
        stamp: Stamp,
        piece: &Piece,
        of_whole: &HeaderMap,
        exchange: Exchange,
    ) -> Result<Arc<StoredResponse>, Unfit> {
        let mut headers = kept_of(of_whole, exchange);
        for name in OF_THE_WHOLE {
            headers.remove(name);
        }
        let status = if piece.is_absent() { StatusCode::NOT_FOUND } else { StatusCode::OK };
        let freshness = self.freshness_of(errand, status, of_whole, exchange);
        Ok(Arc::new(StoredResponse {
            key: errand.question.key.clone(),
            stamp,
            freshness: freshness.map_err(|_| Unfit::Unstorable)?,
            status: StatusCode::OK,
            fields: StoredFields::of(&headers),
            tags: tags_of(errand, piece)?,
            body: Arc::new(StoredBody::piece(piece.clone())),
            last_found_usable: LastFoundUsable::default(),
            let_go: LetGo::default(),
        }))
    }
}

/// What a piece depends on. One that links on cannot be put together with others.
fn tags_of(errand: &OperationErrand, piece: &Piece) -> Result<TagSet, Unfit> {
    let OperationErrand { operation, question, asker, .. } = errand;
    let answer = Answer::scan(&piece.body, operation).map_err(|_| Unfit::Unstorable)?;
    if !answer.next_links.is_empty() {
        return Err(Unfit::Member);
    }
    let has_credentials = asker.authorization.is_some();
    Ok(dependency::tags(operation, &question.dependencies, &answer, has_credentials))
}
