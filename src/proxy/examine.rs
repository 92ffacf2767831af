//! What an answer's body says: whether it is whole, what it depends on, where it links on.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use serde::de::IgnoredAny;

use super::{Engine, OperationErrand};
use crate::answer::{Answer, AnswerError};
use crate::caching::storability::Unstorable;
use crate::dependency;
use crate::error::ProxyError;
use crate::stored_response::{NextLink, StoredBody};
use crate::tag::TagSet;

/// A body past this many bytes is examined on a thread of its own: 16 MB take 0.1 s, which the
/// hits of the same worker would wait for.
pub(super) const ASIDE_BYTES: usize = 256 << 10;

/// An answer's body, understood.
pub(super) struct Examined {
    /// What the answer depends on, or why it must not be stored.
    pub(super) tags: Result<TagSet, Unstorable>,
    /// The body, its links known, stored or not: a page that is not kept may lead to one that is.
    pub(super) body: StoredBody,
}

struct Examination {
    engine: Arc<Engine>,
    errand: Arc<OperationErrand>,
    status: StatusCode,
    is_plain: bool,
    is_json: bool,
    whole: Bytes,
}

/// Examines a whole body; `is_plain` tells whether its content coding could be taken off.
///
/// # Errors
/// [`ProxyError::Internal`]: the examination itself broke down.
pub(super) async fn examine(
    engine: &Arc<Engine>,
    errand: &Arc<OperationErrand>,
    head: &Parts,
    is_plain: bool,
    whole: Bytes,
) -> Result<Examined, ProxyError> {
    let examination = Examination {
        engine: Arc::clone(engine),
        errand: Arc::clone(errand),
        status: head.status,
        is_plain,
        is_json: is_json(&head.headers),
        whole,
    };
    if examination.whole.len() <= ASIDE_BYTES {
        return Ok(examination.run());
    }
    tokio::task::spawn_blocking(|| examination.run()).await.map_err(|error| {
        tracing::error!(%error, "an answer could not be examined");
        ProxyError::Internal
    })
}

impl Examination {
    fn run(self) -> Examined {
        let (tags, links) = match self.read() {
            Ok((tags, links)) => (Ok(tags), links),
            Err(reason) => (Err(reason), Box::default()),
        };
        let public_root = self.engine.config.storefront.public_root.is_some();
        let public_root = public_root.then(|| self.errand.public_root.clone());
        Examined { tags, body: StoredBody::new(self.whole, links, public_root) }
    }

    /// Tags and links, both from one pass over a body that must parse to its end.
    fn read(&self) -> Result<(TagSet, Box<[NextLink]>), Unstorable> {
        let OperationErrand { operation, question, asker, .. } = &*self.errand;
        let asked = &question.dependencies;
        let has_credentials = asker.authorization.is_some();
        let is_success = self.status == StatusCode::OK;
        let of_request = || {
            let tags = dependency::tags_of_request(operation, asked, has_credentials);
            Ok((tags, Box::default()))
        };
        if !self.is_plain {
            return Err(Unstorable::ContentEncoding);
        }
        if self.whole.is_empty() && !is_success {
            return of_request();
        }
        if !self.is_json {
            return if is_success { Err(Unstorable::NotJson) } else { of_request() };
        }
        if !is_success {
            return match serde_json::from_slice::<IgnoredAny>(&self.whole) {
                Ok(_) => of_request(),
                Err(_) => Err(Unstorable::Answer(AnswerError::Malformed)),
            };
        }
        let answer = Answer::scan(&self.whole, operation).map_err(Unstorable::Answer)?;
        let below = |link| NextLink::below(&self.engine.service_root, link);
        let links = answer.next_links.iter().filter_map(below).collect();
        Ok((dependency::tags(operation, asked, &answer, has_credentials), links))
    }
}

pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let essence = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|essence| essence.trim().to_ascii_lowercase());
    essence.is_some_and(|essence| essence == "application/json" || essence.ends_with("+json"))
}
