//! A collector that takes OTLP over HTTP, as long as the test lets it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use crate::support::wire::soon;

/// A span as it came.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) parent: String,
    pub(crate) name: String,
    /// 1 internal, 2 server, 3 client, 5 consumer.
    pub(crate) kind: i32,
    pub(crate) took: Duration,
    pub(crate) is_error: bool,
    pub(crate) links: Vec<String>,
    pub(crate) state: String,
    attributes: Vec<KeyValue>,
}

#[derive(Default)]
struct State {
    spans: Mutex<Vec<Got>>,
    heads: Mutex<Vec<(String, HeaderMap)>>,
    resource: Mutex<Vec<KeyValue>>,
}

/// The collector. Dropped, it is gone.
pub(crate) struct Collector {
    pub(crate) endpoint: String,
    state: Arc<State>,
    _serving: AbortOnDropHandle<()>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    pub(crate) async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let endpoint = format!("{scheme}://localhost:{}", listener.local_addr().unwrap().port());
        let state = Arc::new(State::default());
        let serving = tokio::spawn(serve(listener, tls, Arc::clone(&state)));
        Self { endpoint, state, _serving: AbortOnDropHandle::new(serving) }
    }

    pub(crate) fn spans(&self) -> Vec<Got> {
        self.state.spans.lock().unwrap().clone()
    }

    /// All spans, once there are so many.
    pub(crate) async fn got(&self, count: usize) -> Vec<Got> {
        let arriving = async {
            while self.spans().len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(15), arriving).await.is_err() {
            panic!("only {:#?}", self.spans());
        }
        let spans = self.spans();
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }

    /// Where an export went, and with which fields.
    pub(crate) fn head(&self) -> (String, HeaderMap) {
        self.state.heads.lock().unwrap().last().unwrap().clone()
    }

    /// What the exports say of who they are from.
    pub(crate) fn resource(&self, name: &str) -> Value {
        value_of(&self.state.resource.lock().unwrap(), name)
    }
}

impl Got {
    pub(crate) fn attribute(&self, name: &str) -> Value {
        value_of(&self.attributes, name)
    }

    pub(crate) fn text(&self) -> String {
        format!("{:?}", self.attributes)
    }
}

fn value_of(attributes: &[KeyValue], name: &str) -> Value {
    let attribute = attributes.iter().find(|attribute| attribute.key == name);
    match attribute.and_then(|attribute| attribute.value.clone()) {
        Some(AnyValue { value: Some(Any::StringValue(text)) }) => text.into(),
        Some(AnyValue { value: Some(Any::IntValue(number)) }) => number.into(),
        Some(AnyValue { value: Some(Any::BoolValue(switch)) }) => switch.into(),
        None => Value::Null,
        other => panic!("{name}: {other:?}"),
    }
}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<State>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (state, tls) = (Arc::clone(&state), tls.clone());
        connections.spawn(async move {
            match tls {
                None => speak(stream, state).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        speak(stream, state).await;
                    }
                }
            }
        });
    }
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, state: Arc<State>) {
    let service = service_fn(|request| take(Arc::clone(&state), request));
    let http = hyper::server::conn::http1::Builder::new();
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

async fn take(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = soon(body.collect()).await.unwrap().to_bytes();
    let export = ExportTraceServiceRequest::decode(body).unwrap();
    state.heads.lock().unwrap().push((head.uri.to_string(), head.headers));
    for of_resource in export.resource_spans {
        *state.resource.lock().unwrap() = of_resource.resource.unwrap().attributes;
        let spans = of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans);
        state.spans.lock().unwrap().extend(spans.map(|span| Got {
            trace_id: hex(&span.trace_id),
            span_id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            name: span.name,
            kind: span.kind,
            took: Duration::from_nanos(span.end_time_unix_nano - span.start_time_unix_nano),
            is_error: span.status.is_some_and(|status| status.code == 2),
            links: span.links.iter().map(|link| hex(&link.span_id)).collect(),
            state: span.trace_state,
            attributes: span.attributes,
        }));
    }
    Ok(Response::new(Full::default()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
