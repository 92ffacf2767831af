//! From one HTTP delivery to the events in it: CloudEvents 1.0 in the structured, batched and
//! binary content modes of its HTTP protocol binding, and the short form.
//!
//! Reading is all or nothing: the first mistake refuses the delivery and names the event.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::event::{self, DeadLetterReason, Event, FieldError, read_text};
use super::json;
use crate::clock::Timestamp;
use crate::traces::{TRACEPARENT, TraceParent};

/// How an event was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// A CloudEvent.
    CloudEvents,
    /// The short form.
    ShortForm,
}

impl Form {
    /// The form, for logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CloudEvents => "cloudevents",
            Self::ShortForm => "short-form",
        }
    }
}

/// One event as it was delivered.
#[derive(Clone, PartialEq, Debug)]
pub struct Delivered {
    /// How it was written.
    pub form: Form,
    /// Its type, as the sender wrote it.
    pub type_name: String,
    /// A CloudEvent's `source` and `id`, which together name it once and for all.
    pub identity: Option<Identity>,
    /// When the sender says that it happened.
    pub time: Option<Timestamp>,
    /// The trace that the sender names it a part of, where that is by the rules.
    pub traceparent: Option<TraceParent>,
    /// What it says.
    pub content: Content,
}

/// `source` and `id` of a CloudEvent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Who sent it.
    pub source: String,
    /// Its id, unique within the source.
    pub id: String,
}

/// What an event says, as far as this node can tell.
#[derive(Clone, PartialEq, Debug)]
pub enum Content {
    /// Known, read and checked.
    Event(Box<Event>),
    /// To be kept aside, as it came.
    DeadLetter {
        /// Why.
        reason: DeadLetterReason,
        /// The event as JSON.
        event: Value,
    },
}

/// Why a delivery cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unreadable {
    /// Neither JSON nor CloudEvents, or compressed.
    MediaType,
    /// More events than a delivery may hold.
    TooManyEvents,
    /// A mistake.
    Malformed {
        /// Which event, counted from 0; absent, the delivery as a whole.
        index: Option<usize>,
        /// Where in it, and what.
        error: FieldError,
    },
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MediaType => f.write_str(
                "a delivery is application/json, application/cloudevents+json or \
                 application/cloudevents-batch+json, uncompressed",
            ),
            Self::TooManyEvents => f.write_str("too many events in one delivery"),
            Self::Malformed { index: Some(index), error } => write!(f, "event {index}: {error}"),
            Self::Malformed { index: None, error } => write!(f, "{error}"),
        }
    }
}

/// Reads every event of a delivery.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn read_delivery(
    headers: &HeaderMap,
    body: &Bytes,
    max_events: usize,
    now: Timestamp,
) -> Result<Vec<Delivered>, Unreadable> {
    let (events, forms) = split(headers, body)?;
    if events.len() > max_events {
        return Err(Unreadable::TooManyEvents);
    }
    let read = |(index, event): (usize, Value)| {
        read_event(event, forms, now)
            .map_err(|error| Unreadable::Malformed { index: Some(index), error })
    };
    events.into_iter().enumerate().map(read).collect()
}

/// Which forms a delivery's content type lets its events have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Forms {
    CloudEvents,
    Either,
}

/// The content modes (CloudEvents HTTP binding §3) and the short form's two shapes.
fn split(headers: &HeaderMap, body: &Bytes) -> Result<(Vec<Value>, Forms), Unreadable> {
    if headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(Unreadable::MediaType);
    }
    let media_type = media_type(headers);
    match media_type.as_str() {
        "application/cloudevents+json" => Ok((vec![parse(body)?], Forms::CloudEvents)),
        "application/cloudevents-batch+json" => match parse(body)? {
            Value::Array(events) => Ok((events, Forms::CloudEvents)),
            _ => Err(malformed("a batch is a list of events")),
        },
        _ if !is_json(&media_type) => Err(Unreadable::MediaType),
        _ if headers.contains_key("ce-specversion") => {
            Ok((vec![binary_mode(headers, body)?], Forms::CloudEvents))
        }
        _ => match parse(body)? {
            Value::Object(mut members)
                if members.contains_key("events") && !members.contains_key("specversion") =>
            {
                let events = members.remove("events");
                match (events, members.is_empty()) {
                    (Some(Value::Array(events)), true) => Ok((events, Forms::Either)),
                    (_, true) => Err(malformed("`events`: must be a list")),
                    (_, false) => Err(malformed("nothing may stand beside `events`")),
                }
            }
            event => Ok((vec![event], Forms::Either)),
        },
    }
}

fn parse(body: &Bytes) -> Result<Value, Unreadable> {
    json::parse(body).map_err(|error| malformed(&format!("no JSON: {error}")))
}

fn malformed(reason: &str) -> Unreadable {
    Unreadable::Malformed { index: None, error: FieldError::whole(reason) }
}

/// Type and subtype, in lower case, without parameters.
fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    essence(value)
}

fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_json(media_type: &str) -> bool {
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

/// Writes a binary-mode event as a structured one: attributes from `ce-` headers, percent-decoded
/// (HTTP binding §3.1.3.2), the body as `data`.
fn binary_mode(headers: &HeaderMap, body: &Bytes) -> Result<Value, Unreadable> {
    let mut members = Map::new();
    for (name, value) in headers {
        let Some(attribute) = name.as_str().strip_prefix("ce-") else { continue };
        let refuse = |reason: &str| Unreadable::Malformed {
            index: Some(0),
            error: FieldError::at(name.as_str(), reason),
        };
        let text = std::str::from_utf8(value.as_bytes()).map_err(|_| refuse("is no UTF-8"))?;
        let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
        let text = percent_decode_str(text).decode_utf8().map_err(|_| refuse("is no UTF-8"))?;
        if members.insert(attribute.to_owned(), Value::String(text.into_owned())).is_some() {
            return Err(refuse("occurs more than once"));
        }
    }
    if !body.is_empty() {
        let payload = json::parse(body).map_err(|error| Unreadable::Malformed {
            index: Some(0),
            error: FieldError::at("data", format!("no JSON: {error}")),
        })?;
        members.insert("data".to_owned(), payload);
    }
    Ok(Value::Object(members))
}

fn read_event(event: Value, forms: Forms, now: Timestamp) -> Result<Delivered, FieldError> {
    match event {
        Value::Object(members)
            if forms == Forms::CloudEvents || members.contains_key("specversion") =>
        {
            read_cloud_event(members, now)
        }
        Value::Object(members) => read_short_form(members, now),
        _ => Err(FieldError::whole("must be an object")),
    }
}

fn read_short_form(members: Map<String, Value>, now: Timestamp) -> Result<Delivered, FieldError> {
    let read = event::read_short(&members, now)?;
    let type_name = match &read {
        Ok(event) => event.subject.as_str().to_owned(),
        Err(_) => read_text(&members, "type")?.unwrap_or_default().to_owned(),
    };
    let content = match read {
        Ok(event) => Content::Event(Box::new(event)),
        Err(reason) => Content::DeadLetter { reason, event: Value::Object(members) },
    };
    let form = Form::ShortForm;
    Ok(Delivered { form, type_name, identity: None, time: None, traceparent: None, content })
}

/// CloudEvents 1.0.2 §3.1: `id`, `source`, `specversion` and `type` are required and not empty.
fn read_cloud_event(members: Map<String, Value>, now: Timestamp) -> Result<Delivered, FieldError> {
    let required = |name: &str| match read_text(&members, name)? {
        None => Err(FieldError::at(name, "is missing")),
        Some("") => Err(FieldError::at(name, "must not be empty")),
        Some(text) => Ok(text.to_owned()),
    };
    if required("specversion")? != "1.0" {
        return Err(FieldError::at("specversion", "must be \"1.0\""));
    }
    let identity = Identity { source: required("source")?, id: required("id")? };
    let type_name = required("type")?;
    let time = match read_text(&members, "time")? {
        None => None,
        Some(text) => Some(
            Timestamp::parse_rfc3339(text)
                .ok_or_else(|| FieldError::at("time", "must be an RFC 3339 date-time"))?,
        ),
    };
    let traceparent = members.get(TRACEPARENT).and_then(Value::as_str);
    let traceparent = traceparent.and_then(TraceParent::parse);
    let content = if event::is_known_type(&type_name) {
        match event::read_typed(&type_name, &event_members(&members)?, now).map_err(within_data)? {
            Ok(event) => Content::Event(Box::new(event)),
            Err(reason) => Content::DeadLetter { reason, event: Value::Object(members) },
        }
    } else {
        let reason = DeadLetterReason::UnknownType;
        Content::DeadLetter { reason, event: Value::Object(members) }
    };
    let (form, identity) = (Form::CloudEvents, Some(identity));
    Ok(Delivered { form, type_name, identity, time, traceparent, content })
}

fn within_data(error: FieldError) -> FieldError {
    FieldError { field: error.field.map(|field| format!("data.{field}")), ..error }
}

/// `data` as an object. Event Grid wraps the `data` of Finance and Operations in a string, and
/// some SDKs send JSON as `data_base64`.
fn event_members(members: &Map<String, Value>) -> Result<Map<String, Value>, FieldError> {
    if let Some(media_type) = read_text(members, "datacontenttype")?
        && !is_json(&essence(media_type))
    {
        return Err(FieldError::at("datacontenttype", "must be JSON"));
    }
    let no_object = || FieldError::at("data", "must be an object, or a string that holds one");
    match (members.get("data"), read_text(members, "data_base64")?) {
        (Some(_), Some(_)) => Err(FieldError::at("data_base64", "stands beside `data`")),
        (Some(Value::Object(data)), None) => Ok(data.clone()),
        (Some(Value::String(text)), None) => match json::parse(text.as_bytes()) {
            Ok(Value::Object(data)) => Ok(data),
            _ => Err(no_object()),
        },
        (Some(_), None) => Err(no_object()),
        (None, Some(text)) => {
            let bytes = STANDARD
                .decode(text)
                .map_err(|_| FieldError::at("data_base64", "must be base64"))?;
            match json::parse(&bytes) {
                Ok(Value::Object(data)) => Ok(data),
                _ => Err(FieldError::at("data_base64", "must hold a JSON object")),
            }
        }
        (None, None) => Err(FieldError::at("data", "is missing")),
    }
}
