//! What must hold of any input, of whatever bytes.
//!
//! Each function takes an input and panics where a property does not hold. The fuzz targets of
//! `fuzz/` search for inputs that break one; `tests/corpus` replays those that are kept.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a property that does not hold ends the test"
)]
#![allow(unreachable_pub, reason = "to the fuzz targets, this is a library")]

mod batch;
mod body;
mod cache_control;
mod codec;
mod events;
mod json;
mod url;
mod vary;

pub use batch::batch;
pub use body::body;
pub use cache_control::cache_control;
pub use codec::codec;
pub use events::events;
pub use url::url;
pub use vary::vary;

use std::sync::{Arc, LazyLock};

use csu_edge::clock::Timestamp;
use csu_edge::config::{ClassLifetimes, KeyRules};
use csu_edge::odata::{ResourcePath, ServiceRoot};
use csu_edge::operation::{Catalogue, Operation};
use csu_edge::question::{Partition, Question, QuestionInput, Unkeyable};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};

/// 2026-04-27T10:00:00.123Z
const NOW: Timestamp = Timestamp::from_millis(1_777_284_000_123);
const SEED: [u8; 16] = *b"a seed for tests";

static CATALOGUE: LazyLock<Catalogue> =
    LazyLock::new(|| Catalogue::new(&[], &ClassLifetimes::default()).unwrap());
static RULES: LazyLock<KeyRules> = LazyLock::new(KeyRules::default);
static ROOT: LazyLock<ServiceRoot> =
    LazyLock::new(|| ServiceRoot::new(&Uri::from_static("https://origin.test/Commerce")).unwrap());

/// Header lines up to an empty line, and what follows it.
fn header_lines(input: &[u8]) -> Option<(HeaderMap, &[u8])> {
    let mut headers = HeaderMap::new();
    let mut rest = input;
    loop {
        let end = rest.iter().position(|&byte| byte == b'\n')?;
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        if line.is_empty() {
            return Some((headers, after));
        }
        let colon = line.iter().position(|&byte| byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        headers.try_append(name, value).ok()?;
        rest = after;
    }
}

/// The same fields, the lines of each joined to one (RFC 9110 §5.3).
fn joined(headers: &HeaderMap) -> HeaderMap {
    let of = |name: &HeaderName| {
        let lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        (name.clone(), HeaderValue::from_bytes(&lines.join(&b", "[..])).unwrap())
    };
    headers.keys().map(of).collect()
}

/// A request target, or any other text of that shape, taken apart at its question mark.
fn split_target(target: &str) -> (&str, Option<&str>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

/// The question that a request asks, where the catalogue knows it.
fn question(method: &Method, target: &str, body: &[u8]) -> Option<Result<Question, Unkeyable>> {
    let (path, query) = split_target(target);
    let path = ResourcePath::parse(ROOT.relative(path)?).ok()?;
    let operation: Arc<Operation> = Arc::clone(CATALOGUE.find(method, &path)?);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Some(Question::read(QuestionInput {
        service_root: &ROOT,
        operation: &operation,
        path,
        query,
        headers: &headers,
        body,
        partition: Partition::Anonymous,
        rules: &RULES,
        now: NOW,
        key_seed: &SEED,
    }))
}
