//! Parts of representations (RFC 9111 §3.3, §3.4): one part is held of what is not held whole. What
//! belongs to the same whole by a strong validator is joined to it, until it is the whole.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_RANGE;
use http::response::Parts;
use http::{HeaderMap, StatusCode};

use super::super::super::decoded_body::DecodedBody;
use super::super::super::flight::{Outcome, UnstoredResponse};
use super::super::super::resource::Resource;
use super::super::{Fetch, Misconfirmed};
use crate::caching::admission::admit;
use crate::caching::lifetime::Exchange;
use crate::caching::partial::{self, Piece};
use crate::caching::range::content_range;
use crate::caching::storability::Unstorable;
use crate::caching::validation;
use crate::caching::vary::{Vary, vary};
use crate::stored_response::{StoredBody, StoredResponse};

/// Makes a request for the whole ask for what the part lacks of it, where that can be joined.
pub(super) fn ask_for_rest(resource: &Resource, part: &StoredResponse, request: &mut HeaderMap) {
    if !resource.wants_part()
        && let Some(piece) = piece_of(part)
    {
        partial::ask_for_rest(piece, &part.headers(), request);
    }
}

fn piece_of(part: &StoredResponse) -> Option<Piece> {
    partial::piece(part.status, &part.headers(), part.body.len() as u64)
}

impl Fetch<'_> {
    pub(super) async fn take_part(
        &self,
        resource: &Resource,
        head: Parts,
        mut body: DecodedBody,
        exchange: Exchange,
    ) -> Result<Outcome, Misconfirmed> {
        let rules = &self.engine.http_rules;
        // It may be stored where the 200 that it is part of might be.
        let admitted = admit(&resource.facts, StatusCode::OK, &head.headers, exchange, rules);
        let (admission, names) = match (admitted, vary(&head.headers)) {
            (Ok(admission), Vary::Fields(names)) => (admission, names),
            (Ok(_), Vary::Any) => {
                return for_a_part(resource, self.through(&head, body, Unstorable::VaryAny));
            }
            (Err(reason), _) => {
                return for_a_part(resource, self.through(&head, body, reason));
            }
        };
        let bytes = match body.read_to_end(self.limit()).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                return for_a_part(resource, self.through(&head, body, Unstorable::TooLarge));
            }
            Err(error) => return Ok(self.broke_off(&error)),
        };
        let headers = self.engine.fields_of(&head.headers, &admission, exchange);
        let Some(piece) = partial::piece(head.status, &head.headers, bytes.len() as u64) else {
            // Several parts in one, or one that is not what it says.
            return for_a_part(resource, unstored(head.status, headers, bytes));
        };
        // Parts add up; what could never be held whole is not begun.
        if piece.complete_len > self.engine.config.limits.stored_body_bytes as u64 {
            return for_a_part(resource, unstored(head.status, headers, bytes));
        }
        let stamp = self.takeoff.stamp();
        let variant = resource.variant_key(&names, &self.engine.key_seed);
        let key = self.engine.part_key(&variant);
        let (mut headers, piece, bytes) = self.joined(&key, (headers, piece, bytes));
        if partial::complete(piece, &mut headers) {
            let variant = self.engine.note_variant(resource, &names);
            let freshness = admission.freshness;
            let kept = (StatusCode::OK, headers, bytes);
            let stored = self.engine.keep(resource, variant, stamp, freshness, kept);
            return Ok(Outcome::Stored(stored, None));
        }
        headers.insert(CONTENT_RANGE, content_range(piece.range, piece.complete_len));
        self.engine.note(resource, &names, &key);
        let kept = (head.status, headers, bytes);
        let stored = self.engine.keep(resource, key, stamp, admission.freshness, kept);
        for_a_part(resource, Outcome::Stored(stored, None))
    }

    /// The part, together with what was held of the same whole, where they touch.
    fn joined(
        &self,
        key: &crate::cache_key::CacheKey,
        (newer, piece, bytes): (HeaderMap, Piece, Bytes),
    ) -> (HeaderMap, Piece, Bytes) {
        let joined = self.engine.store.get(key).and_then(|held| {
            if !partial::may_combine(&held.headers(), &newer) {
                return None;
            }
            let held_bytes = held.body.plain("");
            let (piece, bytes) = partial::join((piece_of(&held)?, &held_bytes), (piece, &bytes))?;
            let mut headers = held.headers();
            headers.remove(http::header::AGE);
            validation::update(&mut headers, &newer);
            Some((headers, piece, bytes))
        });
        joined.unwrap_or((newer, piece, bytes))
    }
}

/// Nobody is given a part for the whole: whoever wants that asks once more, for all of it.
fn for_a_part(resource: &Resource, outcome: Outcome) -> Result<Outcome, Misconfirmed> {
    if resource.wants_part() { Ok(outcome) } else { Err(Misconfirmed) }
}

fn unstored(status: StatusCode, headers: HeaderMap, bytes: Bytes) -> Outcome {
    Outcome::Unstored(Arc::new(UnstoredResponse {
        status,
        headers,
        body: Arc::new(StoredBody::verbatim(bytes)),
        reason: Unstorable::Partial,
    }))
}
