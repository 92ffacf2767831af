//! The JSON form (OData JSON Format 4.01 §19). Whatever is not understood of it stays the text that
//! it came as, numbers included.

use std::fmt;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::answer::{Found, Own, PartResponse, Reply};
use super::reference::Draft;
use super::target::{Base, resolve};
use super::{BatchError, Item, PartRequest, json_body, message, multipart};

/// The type of answers, and of an answer's body that is not said to be another.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What stands around the list of requests or responses.
#[derive(Clone, Debug, Default)]
pub(super) struct Envelope {
    before: Bytes,
    after: Bytes,
}

/// A batch as it came.
#[derive(Clone, Copy)]
struct Whole<'a> {
    body: &'a Bytes,
    content_type: &'a HeaderValue,
}

/// The members of an object in their order, each name there once.
struct Members<'a>(Vec<(String, &'a RawValue)>);

/// A whole document whose one list is taken apart.
struct Document<'a> {
    envelope: Envelope,
    elements: Vec<&'a RawValue>,
}

/// Takes the body of a batch request apart.
///
/// # Errors
/// When it is not of the form that the standard gives.
pub(super) fn read_requests(
    body: &Bytes,
    content_type: &HeaderValue,
    base: Base<'_>,
    max_parts: usize,
) -> Result<(Envelope, Vec<Draft>), BatchError> {
    let document = Document::read(body, "requests", max_parts)?;
    let whole = Whole { body, content_type };
    let drafts = document.elements.iter().map(|text| read_request(whole, text.get(), base));
    Ok((document.envelope, drafts.collect::<Result<_, _>>()?))
}

fn read_request(whole: Whole<'_>, text: &str, base: Base<'_>) -> Result<Draft, BatchError> {
    let members = Members::read(text)?;
    let id: String = members.parsed("id").ok_or(BatchError::Id)?;
    let headers = members.headers()?;
    let depends_on = match members.get("dependsOn") {
        None => Vec::new(),
        Some(list) => serde_json::from_str(list.get()).map_err(|_| BatchError::Malformed)?,
    };
    let request = headers.and_then(|headers| members.request(whole, headers, base));
    let raw = whole.body.slice_ref(text.as_bytes());
    Ok(Draft {
        item: Item { raw, id: Some(id.clone()), request },
        ids: vec![id],
        group: members.parsed("atomicityGroup"),
        depends_on,
    })
}

/// Takes the body of an answer apart.
///
/// # Errors
/// When it is not of the form that the standard gives, or is not the whole answer.
pub(super) fn read_responses(body: &Bytes, max_parts: usize) -> Result<Vec<Found>, BatchError> {
    let document = Document::read(body, "responses", max_parts)?;
    document.elements.iter().map(|text| read_response(body, text.get())).collect()
}

fn read_response(whole: &Bytes, text: &str) -> Result<Found, BatchError> {
    let members = Members::read(text)?;
    let id = Some(members.parsed("id").ok_or(BatchError::Id)?);
    let response = members.headers()?.and_then(|headers| members.response(whole, headers));
    Ok(Found { raw: whole.slice_ref(text.as_bytes()), id, response })
}

impl<'a> Document<'a> {
    fn read(body: &'a Bytes, list: &str, max_parts: usize) -> Result<Self, BatchError> {
        let text = std::str::from_utf8(body).map_err(|_| BatchError::Malformed)?;
        let members = Members::read(text)?;
        // An answer may go on behind a link.
        if members.0.iter().any(|(name, _)| name.ends_with("nextLink")) {
            return Err(BatchError::Partial);
        }
        if members.0.iter().any(|(name, _)| name != list && !name.contains('@')) {
            return Err(BatchError::Malformed);
        }
        let list = members.get(list).ok_or(BatchError::Malformed)?.get();
        let elements: Vec<&RawValue> =
            serde_json::from_str(list).map_err(|_| BatchError::Malformed)?;
        if elements.len() > max_parts {
            return Err(BatchError::TooManyParts);
        }
        let start = list.as_ptr().addr().saturating_sub(text.as_ptr().addr());
        let split = body
            .split_at_checked(start)
            .and_then(|(before, rest)| Some((before, rest.get(list.len()..)?)));
        let (before, after) = split.ok_or(BatchError::Malformed)?;
        let envelope = Envelope { before: body.slice_ref(before), after: body.slice_ref(after) };
        Ok(Self { envelope, elements })
    }
}

impl<'a> Members<'a> {
    fn read(text: &'a str) -> Result<Self, BatchError> {
        let members: Self = serde_json::from_str(text).map_err(|_| BatchError::Malformed)?;
        let mut names: Vec<String> =
            members.0.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        names.sort_unstable();
        if names.is_sorted_by(|a, b| a < b) {
            Ok(members)
        } else {
            Err(BatchError::DuplicateMember)
        }
    }

    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    fn parsed<T: Deserialize<'a>>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    /// Whether there are only these members, annotations apart.
    fn has_only(&self, names: &[&str]) -> bool {
        self.0.iter().all(|(name, _)| names.contains(&name.as_str()) || name.contains('@'))
    }

    /// The member `headers`; none where it is no object of texts that can be fields.
    fn headers(&self) -> Result<Option<HeaderMap>, BatchError> {
        let Some(text) = self.get("headers") else { return Ok(Some(HeaderMap::new())) };
        let mut headers = HeaderMap::new();
        for (name, value) in Members::read(text.get())?.0 {
            let value: Option<String> = serde_json::from_str(value.get()).ok();
            let name = HeaderName::from_bytes(name.as_bytes()).ok();
            let value = value.and_then(|value| HeaderValue::try_from(value).ok());
            let (Some(name), Some(value)) = (name, value) else { return Ok(None) };
            headers.insert(name, value);
        }
        Ok(Some(headers))
    }

    fn body(&self) -> Option<&'a str> {
        self.get("body").map(RawValue::get).filter(|text| *text != "null")
    }

    fn request(
        &self,
        whole: Whole<'_>,
        mut headers: HeaderMap,
        base: Base<'_>,
    ) -> Option<PartRequest> {
        let method = method(&self.parsed::<String>("method")?)?;
        let is_alone = self.has_only(&["id", "method", "url", "headers", "body"]);
        let is_plain = !message::has_no_place(&headers)
            && !multipart::has_credentials(&headers)
            && !headers.contains_key(CONTENT_LENGTH)
            && !headers.contains_key(multipart::CONTENT_ID);
        if !is_alone || !is_plain {
            return None;
        }
        let host = multipart::take_host(&mut headers).ok()?;
        let target = resolve(&self.parsed::<String>("url")?, host.as_deref(), base)?;
        let body = match self.body() {
            None => Bytes::new(),
            Some(text) if message::takes_body(&method) && json_body::is_embedded(&headers) => {
                // Each should say its type (§19); of one that does not, the batch's says most.
                headers.entry(CONTENT_TYPE).or_insert_with(|| whole.content_type.clone());
                whole.body.slice_ref(text.as_bytes())
            }
            Some(_) => return None,
        };
        Some(PartRequest { method, target, headers, body })
    }

    fn response(&self, whole: &Bytes, mut headers: HeaderMap) -> Option<PartResponse> {
        let is_alone = self.has_only(&["id", "status", "headers", "body", "atomicityGroup"]);
        if !is_alone || message::has_no_place(&headers) {
            return None;
        }
        let status = StatusCode::from_u16(self.parsed("status")?).ok()?;
        let body = match self.body() {
            None => Bytes::new(),
            Some(text) if json_body::is_embedded(&headers) => {
                headers.entry(CONTENT_TYPE).or_insert(JSON);
                whole.slice_ref(text.as_bytes())
            }
            Some(text) => json_body::decode(&headers, text)?,
        };
        headers.remove(CONTENT_LENGTH);
        Some(PartResponse { status, headers, body })
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// The methods that the form knows, in any letter case.
fn method(text: &str) -> Option<Method> {
    [Method::DELETE, Method::GET, Method::PATCH, Method::POST, Method::PUT]
        .into_iter()
        .find(|method| method.as_str().eq_ignore_ascii_case(text))
}

impl Envelope {
    /// What stands around answers that are ours.
    pub(super) const fn of_answers() -> Self {
        Self { before: Bytes::from_static(b"{\"responses\":"), after: Bytes::from_static(b"}") }
    }

    /// Puts elements together.
    pub(super) fn write(&self, elements: &[Bytes]) -> Bytes {
        let list = elements.join(&b","[..]);
        [&self.before[..], b"[", &list, b"]", &self.after].concat().into()
    }
}

/// An element that holds a request.
///
/// # Errors
/// When a field is no text.
pub(super) fn write_request(id: Option<&str>, request: &PartRequest) -> Result<Bytes, BatchError> {
    let method = request.method.as_str().to_ascii_lowercase();
    let mut object = Object::new(id);
    object.member("method", &quoted(&method));
    object.member("url", &quoted(request.target.as_str()));
    object.message(&request.headers, &request.body)
}

/// An element that holds an answer.
///
/// # Errors
/// When a field is no text.
pub(super) fn write_reply(reply: &Reply<'_>) -> Result<Bytes, BatchError> {
    let Own { id, status, headers, body } = match reply {
        Reply::Verbatim(answer) => return Ok(answer.raw.clone()),
        Reply::Own(own) => own,
    };
    let mut object = Object::new(*id);
    object.member("status", status.as_str().as_bytes());
    object.message(headers, body)
}

/// An object that is being written.
struct Object(Vec<u8>);

impl Object {
    fn new(id: Option<&str>) -> Self {
        let mut object = Self(Vec::new());
        if let Some(id) = id {
            object.member("id", &quoted(id));
        }
        object
    }

    fn member(&mut self, name: &str, value: &[u8]) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        self.0.extend_from_slice(&quoted(name));
        self.0.push(b':');
        self.0.extend_from_slice(value);
    }

    fn message(mut self, headers: &HeaderMap, body: &Bytes) -> Result<Bytes, BatchError> {
        let mut headers = multipart::end_to_end(headers);
        let body = json_body::encode(&mut headers, body);
        let mut fields = Self(Vec::new());
        for name in headers.keys() {
            // RFC 9110 §5.3, and RFC 6265 §5.4 for the one field that is no list.
            let separator = if *name == http::header::COOKIE { &b"; "[..] } else { b", " };
            let lines: Vec<&[u8]> =
                headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
            let value = String::from_utf8(lines.join(separator)).map_err(|_| BatchError::Field)?;
            fields.member(name.as_str(), &quoted(&value));
        }
        if !headers.is_empty() {
            self.member("headers", &fields.end());
        }
        if let Some(body) = body {
            self.member("body", &body);
        }
        Ok(self.end().into())
    }

    fn end(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

fn quoted(text: &str) -> Vec<u8> {
    serde_json::Value::from(text).to_string().into_bytes()
}
