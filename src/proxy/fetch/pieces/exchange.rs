//! One call for many things: what it asks for, and what came of it.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::response::Parts;

use super::super::super::Engine;
use super::super::super::asking::{FetchOrigin, Leave, Purpose, Standing, failed};
use super::super::super::decoded_body::{DecodedBody, OriginBody};
use super::super::super::errand::Errand;
use super::super::super::examine::{ASIDE_BYTES, is_json};
use super::super::super::flight::{Outcome, UnstoredResponse};
use super::super::super::listed::merger::different;
use super::super::super::listed::{Leg, ListedErrand, Party};
use super::super::operation::{kept_of, request, request_of};
use super::super::{Fetch, Misconfirmed};
use crate::answer::pieces::{Piece, TakenApart, Unfit, take_apart};
use crate::caching::lifetime::Exchange;
use crate::caching::storability::Unstorable;
use crate::clock::Timestamp;
use crate::dependency::Id;
use crate::error::ProxyError;
use crate::stored_response::StoredBody;
use crate::traces::ServedToo;

/// What came of a call.
pub(super) enum Verdict {
    /// The pieces, by what they are of.
    Pieces(HashMap<Id, Piece>, Parts, Exchange),
    /// The end of the only flight, whose thing was asked for by itself.
    Lone(Outcome),
    /// The origin's own error.
    Refused(Arc<UnstoredResponse>),
    /// An answer that cannot be taken apart.
    Unfit(Unfit),
    /// No answer.
    Failed(ProxyError),
}

/// Asks for what those who leave with the call want, of the same kind as `listed`.
pub(super) async fn ask(
    engine: &Arc<Engine>,
    origin: &dyn FetchOrigin,
    listed: &Arc<ListedErrand>,
    standing: Standing,
    leave: impl FnOnce() -> Vec<Party> + Send,
) -> (Vec<Party>, Verdict) {
    let mut parties = Vec::new();
    let limit = engine.config.origin.fetch_timeout;
    let leaving = || {
        parties = leave();
        &*parties
    };
    let verdict = tokio::time::timeout(limit, exchange(engine, origin, listed, standing, leaving));
    let verdict = verdict.await.unwrap_or(Verdict::Failed(ProxyError::OriginTimeout));
    (parties, verdict)
}

async fn exchange<'p>(
    engine: &Arc<Engine>,
    origin: &dyn FetchOrigin,
    listed: &Arc<ListedErrand>,
    standing: Standing,
    leave: impl FnOnce() -> &'p [Party] + Send,
) -> Verdict {
    let mut left: &[Party] = &[];
    let (mut asked, mut validated) = (Vec::new(), None);
    let mut sent_at = Timestamp::default();
    let departing = Box::new(|| {
        left = leave();
        sent_at = engine.clock.now();
        let mut units = different(left);
        engine.habits.probe(listed.operation.index, &mut units);
        asked = units.iter().map(|unit| unit.id.clone()).collect();
        let asked_for = engine.metrics.origin_ids.with_label_values(&[&*listed.operation.name]);
        asked_for.inc_by(units.len() as u64);
        let Some(leg) = lone(left) else {
            let forward = listed.question.forward(units.into_iter());
            let mut request = request_of(&listed.operation, &listed.asker, &forward);
            let askers: Vec<_> = left.iter().filter_map(|party| party.asker.clone()).collect();
            if left.len() > 1 && !askers.is_empty() {
                request.extensions_mut().insert(ServedToo(askers));
            }
            return (Purpose::Fetch, request);
        };
        let (request, asks_about_previous) = request(&leg.errand, leg.previous.as_ref());
        validated = leg.previous.as_ref().filter(|_| asks_about_previous);
        (if asks_about_previous { Purpose::Revalidate } else { Purpose::Fetch }, request)
    });
    let class = Some(listed.operation.class);
    let response = match origin.fetch(Leave { class, standing }, departing).await {
        Ok(response) => response,
        Err(error) => return Verdict::Failed(failed(&error, &listed.operation.name)),
    };
    let exchange = Exchange { sent_at, received_at: engine.clock.now() };
    if let Some(leg) = lone(left) {
        let errand = Errand::Operation(Arc::clone(&leg.errand));
        let previous = leg.previous.clone();
        let fetch = Fetch { engine, errand: &errand, previous, takeoff: &leg.takeoff };
        return Verdict::Lone(match fetch.received(validated, response, exchange).await {
            Ok(outcome) => outcome,
            Err(Misconfirmed) => fetch.exchange_anew(origin, standing).await,
        });
    }
    let (head, body) = response.into_parts();
    match read(&head, body, engine.config.limits.stored_body_bytes).await {
        Err(Unreadable::Broken) => Verdict::Failed(ProxyError::OriginBroken),
        Err(Unreadable::Unfit(unfit)) => Verdict::Unfit(unfit),
        Ok(whole) if head.status == StatusCode::OK => {
            examine(engine, listed, asked, head, whole, exchange).await
        }
        // Nothing was asked about that could be confirmed.
        Ok(_) if head.status == StatusCode::NOT_MODIFIED => {
            Verdict::Failed(ProxyError::OriginBroken)
        }
        Ok(whole) => Verdict::Refused(Arc::new(UnstoredResponse {
            status: head.status,
            headers: kept_of(&head.headers, exchange),
            body: Arc::new(StoredBody::new(whole, Box::default(), None)),
            reason: Unstorable::Status,
        })),
    }
}

/// The one thing that is asked for, where it is only one, for one party: what comes is its answer,
/// whatever it is.
fn lone(parties: &[Party]) -> Option<&Leg> {
    match parties {
        [Party { legs, .. }] if legs.len() == 1 => legs.first(),
        _ => None,
    }
}

enum Unreadable {
    Broken,
    Unfit(Unfit),
}

async fn read(head: &Parts, body: OriginBody, limit: usize) -> Result<Bytes, Unreadable> {
    let mut body = DecodedBody::new(&head.headers, body);
    match body.read_to_end(limit).await {
        Ok(Some(_)) if !body.is_plain() => Err(Unreadable::Unfit(Unfit::Unstorable)),
        Ok(Some(whole)) => Ok(whole),
        Ok(None) => Err(Unreadable::Unfit(Unfit::Unstorable)),
        Err(error) => {
            tracing::info!(%error, "the origin's answer broke off");
            Err(Unreadable::Broken)
        }
    }
}

/// Takes an answer apart; a large one on a thread of its own.
async fn examine(
    engine: &Arc<Engine>,
    listed: &Arc<ListedErrand>,
    ids: Vec<Id>,
    head: Parts,
    whole: Bytes,
    exchange: Exchange,
) -> Verdict {
    if !is_json(&head.headers) {
        return Verdict::Unfit(Unfit::Malformed);
    }
    let is_small = whole.len() <= ASIDE_BYTES;
    let (of, now) = (Arc::clone(listed), engine.clock.now());
    let taking = move || {
        let asked: Vec<&Id> = ids.iter().collect();
        let decomposition = of.decomposition().ok_or(Unfit::Items)?;
        let taken = take_apart(&whole, &asked, decomposition, of.question.max_items())?;
        Ok((ids, taken))
    };
    let taken = if is_small { Ok(taking()) } else { tokio::task::spawn_blocking(taking).await };
    let taken: Result<(Vec<Id>, TakenApart), Unfit> = match taken {
        Ok(taken) => taken,
        Err(error) => {
            tracing::error!(%error, "an answer could not be examined");
            return Verdict::Failed(ProxyError::Internal);
        }
    };
    let learned = taken.and_then(|(ids, taken)| {
        engine.habits.learn(listed.operation.index, taken.evidence, now)?;
        Ok(ids.into_iter().zip(taken.pieces).collect())
    });
    match learned {
        Ok(pieces) => Verdict::Pieces(pieces, head, exchange),
        Err(unfit) => Verdict::Unfit(unfit),
    }
}
