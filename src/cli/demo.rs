//! `csu-edge demo`: the whole of it in one process, on loopback, for a first look.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use csu_edge::clock::Clock;
use csu_edge::config::{Config, Log, LogFormat, Secret};
use csu_edge::node::{Addresses, Node};
use csu_edge::sandbox::{Push, Sandbox, Settings};
use csu_edge::telemetry;
use http::Uri;
use tokio::net::TcpListener;

use super::say;
use super::serve::{ServeError, Signals, until_drained};
use super::supervisor::Supervisor;

/// How far away the stand-in pretends to be: about what a Retail Server takes for prices.
const LATENCY: Duration = Duration::from_millis(250);

const FREE_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Runs a sandbox and a node in front of it until SIGTERM or SIGINT.
pub(crate) async fn demo() -> Result<ExitCode, ServeError> {
    let _filter = telemetry::init(&Log { format: LogFormat::Text, filter: "warn".to_owned() })?;
    let signals = Signals::new().map_err(ServeError::Signals)?;
    let secret = new_secret();
    // Each of the two must know the other's address before it starts, so the sandbox's is bound
    // first and served last.
    let listener = TcpListener::bind(FREE_PORT).await.map_err(ServeError::Sandbox)?;
    let origin = listener.local_addr().map_err(ServeError::Sandbox)?;

    let mut config = Config::for_origin(url(format!("http://{origin}/Commerce"))?);
    config.listen.storefront = FREE_PORT;
    config.listen.ingest = FREE_PORT;
    config.listen.control = FREE_PORT;
    config.ingest.hmac_secrets = vec![secret.clone()];
    let node = Node::start(config, Clock::system()).await?;

    let url = url(format!("http://{}/ingest/cdx", node.addresses().ingest))?;
    let push = Some(Push { url, secret, delay: Duration::ZERO });
    let settings = Settings { latency: LATENCY, push, ..Settings::default() };
    let sandbox = Sandbox::start_on(listener, settings, Clock::system());
    let sandbox = sandbox.map_err(ServeError::Sandbox)?;

    say(&introduction(node.addresses(), sandbox.address()));
    // Nobody supervises a demo.
    until_drained(node, signals, None, &Supervisor::absent()).await;
    sandbox.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

fn new_secret() -> Secret {
    Secret::new(format!("whsec_{}", BASE64_STANDARD.encode(rand::random::<[u8; 32]>())))
}

fn url(text: String) -> Result<Uri, ServeError> {
    text.try_into().map_err(|error| ServeError::Sandbox(std::io::Error::other(error)))
}

fn introduction(node: Addresses, sandbox: SocketAddr) -> String {
    let Addresses { storefront, ingest, control } = node;
    let away = LATENCY.as_millis();
    let read = format!(
        "curl -si -w '\\ntime: %{{time_total}} s\\n' \
         'http://{storefront}/Commerce/Products/GetActivePrices?api-version=7.3' \
         -H 'OUN: 128' -H 'Content-Type: application/json' \
         -d '{{\"projectDomain\":{{\"ChannelId\":5637154326,\"CatalogId\":0}},\
         \"productIds\":[68719489871]}}' \
         | grep -oiE '^(cache-status|time):.*|\"AdjustedPrice\":[0-9.]+'"
    );
    format!(
        "\
storefront  http://{storefront}/Commerce   (a storefront's base URL)
ingest      http://{ingest}/ingest/cdx   (push events arrive here)
control     http://{control}   (metrics, probes, explain, purge)
console     http://{control}/console   (the same for a browser, but for purges)

Behind it, {away} ms away, a stand-in Retail Server: http://{sandbox}/Commerce

Paste, one after the other:

# A price, from the origin.
{read}

# The same again, from memory.
{read}

# The price changes; the stand-in pushes the event.
curl -s -w '\\n' http://{sandbox}/sandbox/prices -d '{{\"productId\":68719489871,\"price\":12.34}}'

# The new price, at once.
{read}

# What was counted.
curl -s http://{control}/metrics | grep -E '^csu_edge_(requests|purges)_total.* [1-9]'

Ctrl-C ends it."
    )
}
