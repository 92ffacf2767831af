//! A real Prometheus with the shipped configuration, on loopback.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use http::StatusCode;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::redis::until;
use crate::support::wire::soon;

/// What is scraped as it is shipped.
const TARGETS: &str = "targets: [edge-1:9600, edge-2:9600]";

/// A rule as it was loaded.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) query: String,
    pub(crate) kind: String,
    pub(crate) health: String,
    pub(crate) error: String,
}

pub(crate) struct Prometheus {
    address: SocketAddr,
    client: Client<HttpConnector, Empty<bytes::Bytes>>,
    _process: Process,
    _folder: TempDir,
}

impl Prometheus {
    /// One that scrapes these and evaluates the rules twice a second.
    pub(crate) async fn start(controls: &[SocketAddr]) -> Self {
        let folder = TempDir::new().unwrap();
        configure(folder.path(), controls);
        let client = Client::builder(TokioExecutor::new()).build_http();
        let (address, process) = until("a Prometheus on a port that stays free", async || {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let mut process = Process::start(folder.path(), address);
            until("it answers, or has ended", async || {
                if process.has_ended() {
                    let log = fs::read_to_string(folder.path().join("log")).unwrap();
                    assert!(log.contains("address already in use"), "{log}");
                    return Some(false);
                }
                let uri = format!("http://{address}/-/ready").parse().unwrap();
                let answer = client.get(uri).await;
                answer.is_ok_and(|answer| answer.status() == StatusCode::OK).then_some(true)
            })
            .await
            .then_some((address, process))
        })
        .await;
        Self { address, client, _process: process, _folder: folder }
    }

    /// The series that an expression comes to now. It must be one.
    pub(crate) async fn query(&self, expression: &str) -> Vec<Value> {
        let query = utf8_percent_encode(expression, NON_ALPHANUMERIC);
        let answer = self.get(&format!("/api/v1/query?query={query}")).await;
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        answer["data"]["result"].as_array().unwrap().clone()
    }

    /// Every rule.
    pub(crate) async fn rules(&self) -> Vec<Rule> {
        let answer = self.get("/api/v1/rules").await;
        let groups = answer["data"]["groups"].as_array().unwrap();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rule = |rule: &Value| Rule {
            name: text(&rule["name"]),
            query: text(&rule["query"]),
            kind: text(&rule["type"]),
            health: text(&rule["health"]),
            error: text(&rule["lastError"]),
        };
        rules.map(rule).collect()
    }

    async fn get(&self, target: &str) -> Value {
        let uri = format!("http://{}{target}", self.address).parse().unwrap();
        let answer = soon(self.client.get(uri)).await.unwrap();
        let body = soon(answer.into_body().collect()).await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    }
}

/// The shipped files, but for whom and how often.
fn configure(folder: &Path, controls: &[SocketAddr]) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
    let text = fs::read_to_string(shipped.join("prometheus.yml")).unwrap();
    let replaced = |text: String, old: &str, new: &str| {
        assert!(text.contains(old), "{old} is not in {text}");
        text.replace(old, new)
    };
    let targets: Vec<String> = controls.iter().map(ToString::to_string).collect();
    let text = replaced(text, TARGETS, &format!("targets: [\"{}\"]", targets.join("\", \"")));
    let text = replaced(text, "scrape_interval: 15s", "scrape_interval: 500ms");
    let text = replaced(text, "evaluation_interval: 15s", "evaluation_interval: 500ms");
    let text = replaced(text, "global:\n", "global:\n  scrape_timeout: 500ms\n");
    fs::write(folder.join("prometheus.yml"), text).unwrap();
    fs::create_dir(folder.join("rules")).unwrap();
    for rules in fs::read_dir(shipped.join("rules")).unwrap() {
        let rules = rules.unwrap();
        let text = fs::read_to_string(rules.path()).unwrap();
        let text = text.replace("    interval: 5m\n", "    interval: 500ms\n");
        fs::write(folder.join("rules").join(rules.file_name()), text).unwrap();
    }
}

/// A process. Dropped, it is killed and gone.
struct Process(Child);

impl Process {
    fn start(folder: &Path, address: SocketAddr) -> Self {
        let log = File::create(folder.join("log")).unwrap();
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        Self(command.spawn().expect("prometheus is to be installed"))
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
