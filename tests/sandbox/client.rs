//! A client of the sandbox, with a deadline on every wait.

use std::time::Duration;

use bytes::Bytes;
use csu_edge::clock::{Clock, Timestamp};
use csu_edge::sandbox::{Sandbox, Settings};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

pub(crate) const FIRST: i64 = 68_719_489_871;
pub(crate) const CHANNEL: i64 = 5_637_154_326;

const DEADLINE: Duration = Duration::from_secs(20);

/// A sandbox, a clock that stands still, and a client.
pub(crate) struct Scene {
    pub(crate) sandbox: Sandbox,
    pub(crate) clock: Clock,
    client: Client<HttpConnector, Full<Bytes>>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    pub(crate) fn rows(&self) -> Vec<Value> {
        assert_eq!(self.status, StatusCode::OK, "{:?}", self.bytes);
        self.json()["value"].as_array().unwrap().clone()
    }

    pub(crate) fn ids(&self) -> Vec<i64> {
        self.rows().iter().map(|row| row["RecordId"].as_i64().unwrap()).collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code and the localised text of an error body.
    pub(crate) fn error(&self) -> (String, String) {
        let error = &self.json()["error"];
        let message: Value = serde_json::from_str(error["message"].as_str().unwrap()).unwrap();
        let text = message["Exception"]["LocalizedMessage"].as_str().unwrap().to_owned();
        (error["code"].as_str().unwrap().to_owned(), text)
    }
}

impl Scene {
    pub(crate) async fn new(settings: Settings) -> Self {
        let clock = Clock::manual(Timestamp::from_millis(1_777_284_000_000));
        let sandbox = Sandbox::start(settings, clock.clone()).await.unwrap();
        Self { sandbox, clock, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    pub(crate) async fn standard() -> Self {
        Self::new(Settings::default()).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Reply, String> {
        let uri = format!("http://{}{path}", self.sandbox.address());
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body.to_owned())).unwrap();
        let exchange = async {
            let (parts, body) =
                self.client.request(request).await.map_err(|e| format!("{e:?}"))?.into_parts();
            let bytes = body.collect().await.map_err(|e| format!("{e:?}"))?.to_bytes();
            Ok(Reply { status: parts.status, headers: parts.headers, bytes })
        };
        tokio::time::timeout(DEADLINE, exchange).await.expect("no answer in time")
    }

    /// GET under the service root.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.send(Method::GET, &format!("/Commerce/{path}"), headers, "").await.unwrap()
    }

    /// POST under the service root.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_with(path, body, &[]).await
    }

    pub(crate) async fn post_with(
        &self,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Reply {
        let path = format!("/Commerce/{path}");
        self.send(Method::POST, &path, headers, &body.to_string()).await.unwrap()
    }

    /// POST to a control path.
    pub(crate) async fn control(&self, path: &str, body: &Value) -> Reply {
        let path = format!("/sandbox/{path}");
        self.send(Method::POST, &path, &[], &body.to_string()).await.unwrap()
    }
}
