//! The canonical form of a body.

use std::sync::LazyLock;
use std::time::Duration;

use csu_edge::clock::Timestamp;
use csu_edge::odata::body::{BodyError, BodyRules, CanonicalBody, canonicalise};
use csu_edge::operation::FieldPath;
use http::Method;

use super::json::Json;
use super::{NOW, question};

const SET_PATHS: [&str; 3] = ["productIds", "searchCriteria.ProductIds", "productWarehouses"];
const NOW_PATH: &str = "activeDate";
const TOLERANCE: Duration = Duration::from_secs(60);

static SETS: LazyLock<[FieldPath; 3]> =
    LazyLock::new(|| SET_PATHS.map(|path| FieldPath::parse(path).unwrap()));
static NOW_PARAMETER: LazyLock<FieldPath> = LazyLock::new(|| FieldPath::parse(NOW_PATH).unwrap());

/// An input is a body. Lists that are sets are whole up to three elements.
pub fn body(input: &[u8]) {
    let observed = read(input);
    assert_eq!(read(input), observed, "the same every time");
    let json = std::str::from_utf8(input).ok().and_then(Json::read);
    match &observed {
        Ok(_) if input.is_empty() => {}
        Ok(body) => {
            let json = json.expect("what is accepted is JSON");
            assert!(matches!(json, Json::Object(_)), "what is accepted is an object");
            assert!(!json.repeats_a_member(), "what is accepted names no member twice");
            let forward = std::str::from_utf8(&body.forward).unwrap();
            let sent = Json::read(forward).expect("what is sent is JSON");
            assert_eq!(content(&sent, &[]), content(&json, &[]), "what is sent says the same");
            assert!(is_terse(forward), "{forward}");
            assert_eq!(read(&body.forward).as_ref(), Ok(body), "what is sent is canonical");
            assert_eq!(body.canonical == body.forward, !says_now(&json), "only `now` differs");
        }
        Err(BodyError::DuplicateMember) => {
            // It may also hold, further on, a string that stands for no text.
            assert!(json.is_none_or(|json| json.repeats_a_member()), "no member is named twice");
        }
        Err(BodyError::NotAnObject) => assert!(!matches!(json, Some(Json::Object(_)))),
        Err(BodyError::Malformed) => assert_eq!(json, None),
        Err(BodyError::TooDeep | BodyError::Annotation) => {}
    }
    what_is_sent_asks_the_same(input);
}

fn read(body: &[u8]) -> Result<CanonicalBody, BodyError> {
    let rules = BodyRules {
        sets: &*SETS,
        answered_whole: 3,
        list: None,
        now_parameter: Some(&NOW_PARAMETER),
        now: NOW,
        tolerance: TOLERANCE,
    };
    canonicalise(body, &rules, &mut |_| {})
}

/// What a body says: without annotations, the members in order, a present moment as ours, sets in
/// order and each element once.
fn content(json: &Json, path: &[&str]) -> Json {
    match json {
        Json::Word(_) => json.clone(),
        Json::Text(text) if is(path, NOW_PATH) && is_now(text) => Json::Text(NOW.to_string()),
        Json::Text(_) => json.clone(),
        Json::List(elements) => {
            let mut elements: Vec<Json> =
                elements.iter().map(|element| content(element, path)).collect();
            if SET_PATHS.iter().any(|set| is(path, set)) {
                elements.sort();
                elements.dedup();
            }
            Json::List(elements)
        }
        Json::Object(members) => {
            let is_kept = |name: &str| !name.ends_with("@odata.type") && name != "@odata.context";
            let mut kept: Vec<(String, Json)> = Vec::new();
            for (name, value) in members.iter().filter(|(name, _)| is_kept(name)) {
                kept.push((name.clone(), content(value, &[path, &[name]].concat())));
            }
            kept.sort();
            Json::Object(kept)
        }
    }
}

fn is(path: &[&str], dotted: &str) -> bool {
    path.len() == dotted.split('.').count()
        && path.iter().zip(dotted.split('.')).all(|(name, step)| name.eq_ignore_ascii_case(step))
}

fn is_now(text: &str) -> bool {
    Timestamp::parse_rfc3339(text).is_some_and(|moment| {
        let ahead = moment.saturating_since(NOW);
        let behind = NOW.saturating_since(moment);
        ahead <= TOLERANCE && behind <= TOLERANCE
    })
}

/// Whether a present moment stands where it may; within lists too, which a path does not name.
fn says_now(json: &Json) -> bool {
    let says = |value: &Json| match value {
        Json::Text(text) => is_now(text),
        _ => false,
    };
    fn flat<'a>(value: &'a Json, into: &mut Vec<&'a Json>) {
        match value {
            Json::List(elements) => elements.iter().for_each(|element| flat(element, into)),
            other => into.push(other),
        }
    }
    let Json::Object(members) = json else { return false };
    let mut values = Vec::new();
    for (_, value) in members.iter().filter(|(name, _)| name.eq_ignore_ascii_case(NOW_PATH)) {
        flat(value, &mut values);
    }
    values.into_iter().any(says)
}

/// Whether there is no white space outside of strings.
fn is_terse(json: &str) -> bool {
    let mut in_string = false;
    let mut is_escaped = false;
    json.bytes().all(|byte| {
        match byte {
            b'"' if !is_escaped => in_string = !in_string,
            b'\\' if in_string => {
                is_escaped = !is_escaped;
                return true;
            }
            _ => {}
        }
        is_escaped = false;
        in_string || !byte.is_ascii_whitespace()
    })
}

/// A whole request: what is sent for a question, asked again, is the same question.
fn what_is_sent_asks_the_same(body: &[u8]) {
    for target in [
        "/Commerce/Products/GetActivePrices?$top=3",
        "/Commerce/Products/GetEstimatedProductWarehouseAvailability",
    ] {
        let Some(Ok(asked)) = question(&Method::POST, target, body) else { continue };
        let sent = asked.forward.path_and_query.as_str();
        let again = question(&Method::POST, sent, &asked.forward.body).unwrap().unwrap();
        assert!(asked.key == again.key, "another key");
        assert_eq!(again.forward.body, asked.forward.body);
    }
}
