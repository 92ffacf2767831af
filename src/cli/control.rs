//! One question to a running node's control listener.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::uri::Authority;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use thiserror::Error;

use super::printable;

/// The time for a whole question and answer: a person waits for it.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// What an answer may hold, in bytes.
const ANSWER_BYTES: usize = 16 << 20;

/// A node's answer: JSON.
#[derive(Debug)]
pub(crate) struct Answer(pub(crate) String);

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum ControlError {
    #[error("no node answers at {address}; is one running, and is this its listen.control?")]
    Unreachable {
        address: Authority,
        #[source]
        source: hyper_util::client::legacy::Error,
    },
    #[error("{address} gave no answer within {} s", TIME_LIMIT.as_secs())]
    TimedOut { address: Authority },
    #[error("the answer broke off, or is larger than {} MiB", ANSWER_BYTES >> 20)]
    BrokenOff(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the node answered {status}: {message}")]
    Refused { status: StatusCode, message: String },
    #[error("the answer is not JSON; is this a node's listen.control?")]
    NotJson(#[source] serde_json::Error),
    #[error("the question could not be put")]
    Question(#[from] http::Error),
}

/// Posts a question and returns its answer.
pub(crate) async fn post(
    address: &Authority,
    path: &str,
    question: &serde_json::Value,
) -> Result<Answer, ControlError> {
    ask(address, path, Some(question)).await
}

/// Gets what stands at a path.
pub(crate) async fn get(address: &Authority, path: &str) -> Result<Answer, ControlError> {
    ask(address, path, None).await
}

async fn ask(
    address: &Authority,
    path: &str,
    question: Option<&serde_json::Value>,
) -> Result<Answer, ControlError> {
    tokio::time::timeout(TIME_LIMIT, exchange(address, path, question))
        .await
        .unwrap_or_else(|_| Err(ControlError::TimedOut { address: address.clone() }))
}

async fn exchange(
    address: &Authority,
    path: &str,
    question: Option<&serde_json::Value>,
) -> Result<Answer, ControlError> {
    let url = Uri::builder().scheme("http").authority(address.clone()).path_and_query(path);
    let request = match question {
        Some(question) => Request::post(url.build()?)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(question.to_string())))?,
        None => Request::get(url.build()?).body(Full::default())?,
    };
    let response = Client::builder(TokioExecutor::new())
        .build_http()
        .request(request)
        .await
        .map_err(|source| ControlError::Unreachable { address: address.clone(), source })?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES)
        .collect()
        .await
        .map_err(ControlError::BrokenOff)?
        .to_bytes();
    let answer = String::from_utf8_lossy(&body).into_owned();
    if status.is_success() {
        return Ok(Answer(answer));
    }
    Err(ControlError::Refused { status, message: reason(&answer) })
}

/// The message of an OData error body, else the start of whatever came.
fn reason(answer: &str) -> String {
    #[derive(Deserialize)]
    struct Body {
        error: Error,
    }
    #[derive(Deserialize)]
    struct Error {
        message: String,
    }
    const SHOWN_CHARS: usize = 200;
    let message = match serde_json::from_str::<Body>(answer) {
        Ok(body) => body.error.message,
        Err(_) => answer.chars().take(SHOWN_CHARS).collect(),
    };
    printable(&message)
}
