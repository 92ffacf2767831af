//! From an answer to an HTTP response: envelope, metadata level, compression.

use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CONTENT_ENCODING, CONTENT_TYPE,
    HeaderMap, HeaderName, ORIGIN, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use serde_json::{Map, Value, json};

use super::answers::Answer;
use super::language::Language;
use super::page::Options;
use super::problem::Problem;
use super::url::Query;

const NAMESPACE: &str = "Microsoft.Dynamics.Commerce.Runtime.DataModel";

/// How much metadata a client wants (OData JSON Format 4.01 §3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MetadataLevel {
    None,
    Minimal,
    Full,
}

impl MetadataLevel {
    /// From `Accept`, in today's spelling or that of 2016.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let accept = accept.to_ascii_lowercase();
        let parameters = accept.split([';', ',']).map(str::trim);
        let found = parameters.filter_map(|parameter| parameter.split_once('=')).find_map(
            |(name, value)| match (name, value) {
                ("odata.metadata", "none") | ("odata", "nometadata") => Some(Self::None),
                ("odata.metadata", "full") | ("odata", "fullmetadata") => Some(Self::Full),
                _ => None,
            },
        );
        found.unwrap_or(Self::Minimal)
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::None => "application/json; odata.metadata=none; odata.streaming=true",
            Self::Minimal => "application/json; odata.metadata=minimal; odata.streaming=true",
            Self::Full => "application/json; odata.metadata=full; odata.streaming=true",
        }
    }
}

/// Where a response's absolute URLs point: the host as the client named it.
#[derive(Debug)]
pub(crate) struct Addresses {
    /// `http://host/Commerce`.
    pub(crate) service_root: String,
    /// The request's own URL without its query.
    pub(crate) request: String,
}

/// Status and body of an answer under the request's query options.
pub(crate) fn render(
    answer: Answer<'_>,
    query: &Query,
    page_size: usize,
    level: MetadataLevel,
    addresses: &Addresses,
) -> Result<(StatusCode, Option<Value>), Problem> {
    let options = Options::parse(query)?;
    let context = |kind: String| {
        (level != MetadataLevel::None)
            .then(|| json!(format!("{}/$metadata#{kind}", addresses.service_root)))
    };
    let (status, kind, entity) = match answer {
        Answer::Nothing => return Ok((StatusCode::NO_CONTENT, None)),
        Answer::Entity(kind, value) => (StatusCode::OK, kind, value),
        Answer::Created(kind, value) => (StatusCode::CREATED, kind, value),
        Answer::Collection(kind, rows) => {
            let page = options.apply(&rows, page_size)?;
            let mut body = Map::new();
            if let Some(context) = context(format!("Collection({NAMESPACE}.{kind})")) {
                body.insert("@odata.context".into(), context);
            }
            if let Some(count) = page.count {
                body.insert("@odata.count".into(), count.into());
            }
            if let Some(next) = page.next {
                let link = format!("{}?{}", addresses.request, query.with(&next));
                body.insert("@odata.nextLink".into(), link.into());
            }
            let rows = page.rows.into_iter().map(|row| annotate(row, kind, level)).collect();
            body.insert("value".into(), Value::Array(rows));
            return Ok((StatusCode::OK, Some(Value::Object(body))));
        }
    };
    let mut body = annotate(options.project(entity)?, kind, level);
    if let (Value::Object(members), Some(context)) =
        (&mut body, context(format!("{NAMESPACE}.{kind}")))
    {
        // Before all members (OData JSON Format 4.01 §4.4): clients that stream rely on it.
        members.shift_insert(0, "@odata.context".into(), context);
    }
    Ok((status, Some(body)))
}

/// With full metadata each entity names its type.
fn annotate(mut row: Value, kind: &str, level: MetadataLevel) -> Value {
    if let (MetadataLevel::Full, Value::Object(members)) = (level, &mut row) {
        members.shift_insert(0, "@odata.type".into(), format!("#{NAMESPACE}.{kind}").into());
    }
    row
}

/// A JSON response, compressed where the client takes it.
pub(crate) fn respond(
    status: StatusCode,
    body: Option<&Value>,
    level: MetadataLevel,
    request_headers: &HeaderMap,
) -> Response<Outgoing> {
    let bytes = body.map(|body| Bytes::from(body.to_string()));
    let mut response = respond_bytes(status, bytes, level.content_type(), request_headers);
    set(&mut response, HeaderName::from_static("odata-version"), "4.0");
    response
}

/// A response of any type.
pub(crate) fn respond_bytes(
    status: StatusCode,
    body: Option<Bytes>,
    content_type: &'static str,
    request_headers: &HeaderMap,
) -> Response<Outgoing> {
    let Some(plain) = body else {
        return response(status, Bytes::new());
    };
    let compressed = if takes_gzip(request_headers) { compress(&plain) } else { None };
    let is_compressed = compressed.is_some();
    let mut response = response(status, compressed.unwrap_or(plain));
    set(&mut response, CONTENT_TYPE, content_type);
    set(&mut response, VARY, "Accept-Encoding");
    if is_compressed {
        set(&mut response, CONTENT_ENCODING, "gzip");
    }
    if let Some(origin) = request_headers.get(ORIGIN) {
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        response.headers_mut().append(VARY, HeaderValue::from_static("Origin"));
    }
    response
}

/// The documented error body, and the headers that belong to its status.
pub(crate) fn refuse(
    problem: &Problem,
    language: Language,
    level: MetadataLevel,
    request_headers: &HeaderMap,
) -> Response<Outgoing> {
    let body = problem.body(language);
    let mut response = respond(problem.status(), Some(&body), level, request_headers);
    match problem {
        Problem::WrongMethod { allow } => set(&mut response, ALLOW, allow),
        Problem::Unauthenticated(_) => set(&mut response, WWW_AUTHENTICATE, "Bearer"),
        Problem::Throttled { retry_after_s } => {
            response.headers_mut().insert(RETRY_AFTER, (*retry_after_s).into());
        }
        _ => {}
    }
    response
}

fn response(status: StatusCode, body: Bytes) -> Response<Outgoing> {
    let mut response = Response::new(Outgoing::whole(body));
    *response.status_mut() = status;
    response
}

fn set(response: &mut Response<Outgoing>, name: HeaderName, value: &'static str) {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    codings.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").and_then(|q| q.parse().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight.unwrap_or(1.0_f32) > 0.0
    })
}

fn compress(plain: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// A response body: whole, or one that breaks off half-way.
#[derive(Debug)]
pub(crate) struct Outgoing {
    left: Bytes,
    /// What is still to come, as the response's length says.
    declared: u64,
    ending: Ending,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    Clean,
    /// Breaks off, after the connection had a chance to send what came before.
    Break,
    BreakNow,
}

/// The answer was broken off on purpose.
#[derive(Debug, thiserror::Error)]
#[error("broken off by a fault")]
pub(crate) struct BrokenOff;

impl Outgoing {
    pub(crate) fn whole(body: Bytes) -> Self {
        Self { declared: body.len() as u64, left: body, ending: Ending::Clean }
    }

    /// The bytes themselves, for an answer that is part of another.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.left
    }

    /// The first half, under the length of the whole.
    pub(crate) fn cut_half_way(mut self) -> Self {
        self.left.truncate(self.left.len() / 2);
        self.ending = Ending::Break;
        self
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if !self.left.is_empty() {
            let chunk = std::mem::take(&mut self.left);
            self.declared = self.declared.saturating_sub(chunk.len() as u64);
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        match self.ending {
            Ending::Clean => Poll::Ready(None),
            Ending::Break => {
                self.ending = Ending::BreakNow;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Ending::BreakNow => Poll::Ready(Some(Err(BrokenOff))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.ending == Ending::Clean
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.declared)
    }
}
