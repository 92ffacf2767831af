//! The JSON form (OData JSON Format 4.01 §19).

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::media_type::MediaType;
use super::part::{
    MAX_PARTS, Part, PartAnswer, TOO_MANY, Unit, UnitAnswer, is_request_id, method_of,
};

#[derive(Deserialize)]
struct Envelope {
    requests: Vec<RequestObject>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestObject {
    id: String,
    method: String,
    url: String,
    atomicity_group: Option<String>,
    depends_on: Option<Vec<String>>,
    r#if: Option<IgnoredAny>,
    headers: Option<Fields>,
    body: Option<Box<RawValue>>,
}

/// Header fields, each of them once.
#[derive(Default)]
struct Fields(HeaderMap);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of header fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Fields, A::Error> {
        let mut headers = HeaderMap::new();
        while let Some((name, value)) = members.next_entry::<String, String>()? {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(A::Error::custom)?;
            let value = HeaderValue::from_str(&value).map_err(A::Error::custom)?;
            if headers.insert(&name, value).is_some() {
                return Err(A::Error::custom("a header occurs twice"));
            }
        }
        Ok(Fields(headers))
    }
}

/// Reads a batch.
pub(super) fn read(body: &Bytes) -> Result<Vec<Unit>, String> {
    let envelope: Envelope = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if envelope.requests.len() > MAX_PARTS {
        return Err(TOO_MANY.into());
    }
    let mut units: Vec<Unit> = Vec::new();
    let mut before = Preceding::default();
    for object in envelope.requests {
        before.check(&object)?;
        let group = object.atomicity_group.clone();
        let part = read_part(object)?;
        match (units.last_mut(), group) {
            (_, None) => units.push(Unit::One(part)),
            (Some(Unit::Set { group: open, parts }), Some(group)) if *open == group => {
                parts.push(part);
            }
            (_, Some(group)) => units.push(Unit::Set { group, parts: vec![part] }),
        }
    }
    before.check_names()?;
    Ok(units)
}

/// What stood before a request: the ids with their groups, and the groups.
#[derive(Default)]
struct Preceding {
    ids: Vec<(String, Option<String>)>,
    groups: Vec<String>,
}

impl Preceding {
    /// Ids are unique, groups stand together, and nobody depends on what comes later, or on a
    /// single request of another group.
    fn check(&mut self, object: &RequestObject) -> Result<(), String> {
        let RequestObject { id, atomicity_group: group, .. } = object;
        for name in std::iter::once(id).chain(group) {
            if !is_request_id(name) {
                return Err(format!("'{name}' identifies nothing"));
            }
        }
        for wanted in object.depends_on.iter().flatten() {
            let of_id = self.ids.iter().find(|(id, _)| id == wanted).map(|(_, group)| group);
            let is_near = of_id.is_some_and(|other| other.is_none() || other == group);
            let is_foreign_group = self.groups.contains(wanted) && Some(wanted) != group.as_ref();
            if !is_near && !is_foreign_group {
                return Err(format!("'{id}' cannot depend on '{wanted}'"));
            }
        }
        if self.ids.iter().any(|(other, _)| other == id) {
            return Err(format!("the id '{id}' occurs twice"));
        }
        if let Some(group) = group {
            let is_open = self.ids.last().is_some_and(|(_, last)| last.as_ref() == Some(group));
            if !is_open && self.groups.contains(group) {
                return Err(format!("the group '{group}' does not stand together"));
            }
            if !is_open {
                self.groups.push(group.clone());
            }
        }
        self.ids.push((id.clone(), group.clone()));
        Ok(())
    }

    fn check_names(&self) -> Result<(), String> {
        match self.ids.iter().find(|(id, _)| self.groups.contains(id)) {
            Some((id, _)) => Err(format!("'{id}' is a request and a group")),
            None => Ok(()),
        }
    }
}

fn read_part(object: RequestObject) -> Result<Part, String> {
    let id = object.id;
    let Some(method) = method_of(&object.method.to_ascii_uppercase()) else {
        return Err(format!("'{id}' has the method '{}'", object.method));
    };
    let mut headers = object.headers.unwrap_or_default().0;
    let body = match object.body {
        None => Bytes::new(),
        Some(_) if method == Method::GET || method == Method::DELETE => {
            return Err(format!("'{id}' has a body"));
        }
        Some(body) => read_body(&headers, &body)
            .ok_or_else(|| format!("'{id}' has a body that is not of its type"))?,
    };
    // The host is the batch's (§19.1), the length the body's own, and what stands in JSON is not
    // compressed.
    for name in [HOST, CONTENT_LENGTH, ACCEPT_ENCODING] {
        headers.remove(name);
    }
    Ok(Part {
        id: Some(id),
        method,
        url: object.url,
        headers,
        body,
        depends_on: object.depends_on.unwrap_or_default(),
        has_condition: object.r#if.is_some(),
        forbidden: None,
    })
}

/// JSON as it stands, text as a string, anything else in base64url.
fn read_body(headers: &HeaderMap, body: &RawValue) -> Option<Bytes> {
    let kind = MediaType::of(headers);
    if kind.as_ref().is_none_or(MediaType::is_json) {
        return Some(Bytes::copy_from_slice(body.get().as_bytes()));
    }
    let text: String = serde_json::from_str(body.get()).ok()?;
    if kind.is_some_and(|kind| kind.essence.starts_with("text/")) {
        return Some(text.into());
    }
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok().map(Bytes::from)
}

#[derive(Serialize)]
struct Responses<'a> {
    responses: Vec<ResponseObject<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseObject<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    atomicity_group: Option<&'a str>,
    status: u16,
    headers: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
}

/// The answers, an object each: those of a set that failed as well.
pub(super) fn write(answers: &[UnitAnswer]) -> Bytes {
    let responses = answers.iter().flat_map(|answer| {
        let (group, parts) = match answer {
            UnitAnswer::One(part) => (None, std::slice::from_ref(part)),
            UnitAnswer::Set { group, parts } | UnitAnswer::FailedSet { group, parts, .. } => {
                (Some(group.as_str()), parts.as_slice())
            }
        };
        parts.iter().map(move |part| response_object(part, group))
    });
    let responses = Responses { responses: responses.collect() };
    serde_json::to_vec(&responses).unwrap_or_default().into()
}

fn response_object<'a>(part: &'a PartAnswer, group: Option<&'a str>) -> ResponseObject<'a> {
    let mut headers: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in &part.headers {
        let value = value.to_str().unwrap_or_default();
        headers
            .entry(name.as_str())
            .and_modify(|line| *line = format!("{line}, {value}"))
            .or_insert_with(|| value.to_owned());
    }
    ResponseObject {
        id: part.id.as_deref(),
        atomicity_group: group,
        status: part.status.as_u16(),
        headers,
        body: write_body(part),
    }
}

fn write_body(part: &PartAnswer) -> Option<Box<RawValue>> {
    if part.body.is_empty() {
        return None;
    }
    let kind = MediaType::of(&part.headers);
    let text = std::str::from_utf8(&part.body).ok();
    if kind.as_ref().is_none_or(MediaType::is_json) {
        return RawValue::from_string(text?.to_owned()).ok();
    }
    match text.filter(|_| kind.is_some_and(|kind| kind.essence.starts_with("text/"))) {
        Some(text) => to_raw_value(text).ok(),
        None => to_raw_value(&URL_SAFE.encode(&part.body)).ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn request(more: Value) -> Value {
        let mut object = json!({"id": "1", "method": "get", "url": "Categories"});
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        object
    }

    fn units(requests: Value) -> Result<Vec<Unit>, String> {
        read(&json!({"requests": requests}).to_string().into())
    }

    #[test]
    fn requests_of_a_group_are_one_unit() {
        let read = units(json!([
            request(json!({})),
            request(json!({"id": "2", "atomicityGroup": "a", "dependsOn": ["1"]})),
            request(json!({"id": "3", "atomicityGroup": "a", "dependsOn": ["2"]})),
            request(json!({"id": "4", "atomicityGroup": "b", "dependsOn": ["a"]})),
        ]));
        assert_eq!(read.unwrap().iter().map(Unit::size).collect::<Vec<_>>(), [1, 2, 1]);
        assert!(units(json!([])).unwrap().is_empty());
    }

    #[test]
    fn what_the_format_forbids_is_refused() {
        for requests in [
            json!({}),
            json!([{"id": "1", "method": "get"}]),
            json!([request(json!({"id": ""}))]),
            json!([request(json!({"id": 1}))]),
            json!([request(json!({"id": "a b"}))]),
            json!([request(json!({"method": "head"}))]),
            json!([request(json!({"body": {}}))]),
            json!([request(json!({"headers": {"OUN": "128", "oun": "129"}}))]),
            json!([request(json!({"headers": {"a b": "c"}}))]),
            json!([request(
                json!({"method": "post", "body": 1, "headers": {"content-type": "text/plain"}})
            )]),
            json!([request(json!({})), request(json!({}))]),
            json!([request(json!({"dependsOn": ["1"]}))]),
            json!([request(json!({"dependsOn": ["2"]})), request(json!({"id": "2"}))]),
            json!([request(json!({"atomicityGroup": "1"}))]),
            json!([request(json!({"atomicityGroup": "a", "dependsOn": ["a"]}))]),
            json!([
                request(json!({"atomicityGroup": "a"})),
                request(json!({"id": "2", "dependsOn": ["1"]})),
            ]),
            json!([
                request(json!({"atomicityGroup": "a"})),
                request(json!({"id": "2"})),
                request(json!({"id": "3", "atomicityGroup": "a"})),
            ]),
        ] {
            assert!(units(requests.clone()).is_err(), "{requests}");
        }
        for body in ["", "[]", "{}", r#"{"requests":[]}x"#, r#"{"requests":[],"requests":[]}"#] {
            assert!(read(&Bytes::from_static(body.as_bytes())).is_err(), "{body}");
        }
    }

    #[test]
    fn a_body_is_json_text_or_base64url_by_its_type() {
        for (kind, body, read) in [
            ("application/json", json!({"a": 1}), r#"{"a":1}"#),
            ("application/vnd.x+json;v=1", json!([1]), "[1]"),
            ("text/plain", json!("a\"b"), "a\"b"),
            ("application/octet-stream", json!("_-8="), "\u{0}"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("content-type", kind.parse().unwrap());
            let found = read_body(&headers, &to_raw_value(&body).unwrap()).unwrap();
            let expected = if read == "\u{0}" { &[0xff, 0xef][..] } else { read.as_bytes() };
            assert_eq!(&found[..], expected, "{kind}");
        }
    }
}
