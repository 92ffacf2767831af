//! The multipart form (OData 4.01 Protocol §11.7.7).

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::answer::{Found, Own, Reply};
use super::boundary::Boundary;
use super::media_type::MediaType;
use super::message::{self, Request};
use super::reference::Draft;
use super::target::{Base, resolve};
use super::{BatchError, Item, PartRequest, Written};

pub(super) const CONTENT_ID: HeaderName = HeaderName::from_static("content-id");
const TRANSFER_ENCODING: HeaderName = HeaderName::from_static("content-transfer-encoding");

/// A MIME body part, its fields read.
struct Part {
    kind: Kind,
    id: Option<String>,
    content: Bytes,
}

enum Kind {
    Http,
    ChangeSet(Boundary),
}

/// Takes the body of a batch request apart.
///
/// # Errors
/// When its parts cannot be told apart, or are not what a batch holds.
pub(super) fn read_requests(
    body: &Bytes,
    boundary: &Boundary,
    base: Base<'_>,
    max_parts: usize,
) -> Result<Vec<Draft>, BatchError> {
    let mut left = max_parts;
    let mut drafts = Vec::new();
    for raw in boundary.split(body, max_parts)? {
        let part = Part::read(&raw)?;
        let (request, ids) = match part.kind {
            Kind::Http => {
                left = left.checked_sub(1).ok_or(BatchError::TooManyParts)?;
                read_request(&part, base)?
            }
            Kind::ChangeSet(inner) => {
                let set = inner.split(&part.content, left)?;
                left = left.checked_sub(set.len()).ok_or(BatchError::TooManyParts)?;
                (None, read_change_set(&set, base)?)
            }
        };
        let ids = part.id.iter().cloned().chain(ids).collect();
        let item = Item { raw, id: part.id, request };
        drafts.push(Draft { item, ids, group: None, depends_on: Vec::new() });
    }
    Ok(drafts)
}

/// The ids in a change set, of which every part is a request.
fn read_change_set(parts: &[Bytes], base: Base<'_>) -> Result<Vec<String>, BatchError> {
    let mut ids = Vec::new();
    for raw in parts {
        let part = Part::read(raw)?;
        if let Kind::ChangeSet(_) = part.kind {
            return Err(BatchError::TooDeep);
        }
        ids.extend(read_request(&part, base)?.1);
        ids.extend(part.id);
    }
    Ok(ids)
}

/// The request of a part, and the ids that stand in its own head, where some clients write them.
fn read_request(
    part: &Part,
    base: Base<'_>,
) -> Result<(Option<PartRequest>, Vec<String>), BatchError> {
    let Some(Request { method, url, mut headers, body }) = message::read_request(&part.content)?
    else {
        return Ok((None, Vec::new()));
    };
    let inner_ids = headers.get_all(CONTENT_ID).iter().map(text).collect::<Result<Vec<_>, _>>()?;
    if !inner_ids.is_empty() {
        return Ok((None, inner_ids));
    }
    let Ok(host) = take_host(&mut headers) else { return Ok((None, Vec::new())) };
    let is_asked_by_another = has_credentials(&headers);
    headers.remove(CONTENT_LENGTH);
    let target = resolve(&url, host.as_deref(), base).filter(|_| !is_asked_by_another);
    let request = target.map(|target| PartRequest { method, target, headers, body });
    Ok((request, Vec::new()))
}

/// Takes the `Host` field out; an error where there are two, or one that is no text.
pub(super) fn take_host(headers: &mut HeaderMap) -> Result<Option<String>, BatchError> {
    if headers.get_all(HOST).iter().count() > 1 {
        return Err(BatchError::PartHead);
    }
    headers.remove(HOST).map(|host| text(&host)).transpose()
}

/// Whether a part has credentials, which it must not have (§11.7.7.1): who the origin takes it to be
/// asked by, the batch's caller or these, nobody can tell.
pub(super) fn has_credentials(headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION) || headers.contains_key(PROXY_AUTHORIZATION)
}

/// Takes the body of an answer apart.
///
/// # Errors
/// When its parts cannot be told apart.
pub(super) fn read_responses(
    body: &Bytes,
    boundary: &Boundary,
    max_parts: usize,
) -> Result<Vec<Found>, BatchError> {
    let read = |raw: Bytes| {
        let part = Part::read(&raw)?;
        let response = match part.kind {
            Kind::Http => message::read_response(&part.content),
            Kind::ChangeSet(_) => None,
        };
        Ok(Found { raw, id: part.id, response })
    };
    boundary.split(body, max_parts)?.into_iter().map(read).collect()
}

impl Part {
    fn read(raw: &Bytes) -> Result<Self, BatchError> {
        let (headers, content) = message::read_fields(raw)?;
        let encoding = only(&headers, &TRANSFER_ENCODING)?.map(text).transpose()?;
        let is_encoded = encoding.is_some_and(|encoding| {
            !["binary", "8bit", "7bit"].iter().any(|plain| encoding.eq_ignore_ascii_case(plain))
        });
        if is_encoded {
            return Err(BatchError::PartType);
        }
        let length = only(&headers, &CONTENT_LENGTH)?.map(text).transpose()?;
        if length.is_some_and(|length| length != content.len().to_string()) {
            return Err(BatchError::PartLength);
        }
        let content_type = only(&headers, &CONTENT_TYPE)?.ok_or(BatchError::PartType)?;
        let media_type = MediaType::read(content_type).ok_or(BatchError::PartType)?;
        let kind = match media_type.essence() {
            "application/http" => Kind::Http,
            "multipart/mixed" => Kind::ChangeSet(Boundary::of(&media_type)?),
            _ => return Err(BatchError::PartType),
        };
        let id = only(&headers, &CONTENT_ID)?.map(text).transpose()?;
        Ok(Self { kind, id, content })
    }
}

/// The value of a field that a part may have once.
fn only<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, BatchError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(BatchError::PartHead) } else { Ok(first) }
}

fn text(value: &HeaderValue) -> Result<String, BatchError> {
    value.to_str().map(str::to_owned).map_err(|_| BatchError::PartHead)
}

/// Puts parts together.
///
/// # Errors
/// When the boundary is no legal one, or occurs in a part.
pub(super) fn write(
    parts: impl Iterator<Item = Bytes>,
    boundary: &str,
) -> Result<Written, BatchError> {
    let boundary = Boundary::new(boundary)?;
    let mut body = Vec::new();
    for part in parts {
        if boundary.occurs_in(&part) {
            return Err(BatchError::BoundaryTaken);
        }
        body.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        body.extend_from_slice(&part);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok(Written { content_type: boundary.content_type()?, body: body.into() })
}

/// A part that holds a request.
pub(super) fn write_request(id: Option<&str>, request: &PartRequest) -> Bytes {
    let start = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
    let length = (message::takes_body(&request.method) || !request.body.is_empty())
        .then_some(request.body.len());
    write_message(id, &start, &request.headers, length, &request.body)
}

/// A part that holds an answer.
pub(super) fn write_reply(reply: &Reply<'_>) -> Bytes {
    let Own { id, status, headers, body } = match reply {
        Reply::Verbatim(answer) => return answer.raw.clone(),
        Reply::Own(own) => own,
    };
    let reason = status.canonical_reason().unwrap_or_default();
    let start = format!("HTTP/1.1 {} {reason}\r\n", status.as_str());
    // RFC 9110 §6.4.1, §8.6: these have no body, and no length.
    if [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(status) {
        return write_message(*id, &start, headers, None, &[]);
    }
    write_message(*id, &start, headers, Some(body.len()), body)
}

fn write_message(
    id: Option<&str>,
    start: &str,
    headers: &HeaderMap,
    length: Option<usize>,
    body: &[u8],
) -> Bytes {
    let mut part =
        b"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n".to_vec();
    if let Some(id) = id {
        part.extend_from_slice(format!("Content-ID: {id}\r\n").as_bytes());
    }
    part.extend_from_slice(format!("\r\n{start}").as_bytes());
    for (name, value) in &end_to_end(headers) {
        part.extend_from_slice(format!("{name}: ").as_bytes());
        part.extend_from_slice(value.as_bytes());
        part.extend_from_slice(b"\r\n");
    }
    if let Some(length) = length {
        part.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
    }
    part.extend_from_slice(b"\r\n");
    part.extend_from_slice(body);
    part.into()
}

/// The fields that belong to the message, not to a connection or its framing.
pub(super) fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    crate::proxy::fields::remove_hop_by_hop(&mut headers);
    headers.remove(http::header::TRAILER);
    headers.remove(CONTENT_LENGTH);
    headers
}
