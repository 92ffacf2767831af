//! The two forms of a batch. It is answered in the form that it came in.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::media_type::MediaType;
use super::part::{Unit, UnitAnswer};
use super::{json, multipart};
use crate::sandbox::deliver::{Outgoing, respond_bytes};
use crate::sandbox::problem::Problem;

const ODATA_VERSION: HeaderName = HeaderName::from_static("odata-version");

#[derive(Debug)]
pub(super) enum Form {
    Multipart { boundary: String },
    Json,
}

impl Form {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let kind = MediaType::of(headers);
        let boundary = kind.as_ref().and_then(multipart::boundary);
        match (kind, boundary) {
            (Some(kind), _) if kind.essence == "application/json" => Ok(Self::Json),
            (Some(_), Some(boundary)) => Ok(Self::Multipart { boundary }),
            _ => Err(malformed("its type is neither multipart/mixed with a boundary nor JSON")),
        }
    }

    pub(super) fn read(&self, body: &Bytes) -> Result<Vec<Unit>, Problem> {
        match self {
            Self::Multipart { boundary } => multipart::read(body, boundary).map_err(malformed),
            Self::Json => json::read(body).map_err(Problem::MalformedBody),
        }
    }

    pub(super) fn write(&self, answers: &[UnitAnswer], asked: &HeaderMap) -> Response<Outgoing> {
        // JSON batches came with 4.01 (JSON Format 4.01 §1.1); the rest of the stand-in speaks 4.0.
        let (body, kind, version) = match self {
            Self::Multipart { .. } => {
                let boundary = multipart::new_boundary("batchresponse");
                let body = multipart::write(answers, &boundary);
                (body, format!("multipart/mixed; boundary={boundary}"), "4.0")
            }
            Self::Json => (json::write(answers), "application/json".to_owned(), "4.01"),
        };
        let mut response = respond_bytes(StatusCode::OK, Some(body), "multipart/mixed", asked);
        let headers = response.headers_mut();
        headers.insert(ODATA_VERSION, HeaderValue::from_static(version));
        if let Ok(kind) = HeaderValue::from_str(&kind) {
            headers.insert(CONTENT_TYPE, kind);
        }
        response
    }
}

fn malformed(why: &str) -> Problem {
    Problem::MalformedBody(why.to_owned())
}
