//! The stand-in Retail Server as a command.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use clap::error::ErrorKind;
use csu_edge::clock::Clock;
use csu_edge::config::Secret;
use csu_edge::sandbox::{Push, Sandbox, Settings, duration};
use http::Uri;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// sysexits(3).
const USAGE: u8 = 64;
const INTERNAL: u8 = 70;

/// A stand-in for Dynamics 365 Commerce's Retail Server.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// How long each answer is held back, such as 250ms or 250ms±50ms
    #[arg(long, value_parser = parse_latency, default_value = "0s")]
    latency: Latency,
    /// By how much the latency varies, up and down
    #[arg(long, value_parser = parse_duration)]
    latency_jitter: Option<Duration>,
    /// How many products there are, variants included
    #[arg(long, default_value_t = 1_000)]
    products: usize,
    /// What the products are made from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Rows of a page that the server itself cuts
    #[arg(long, default_value_t = 1_000)]
    page_size: usize,
    /// Past this many requests a second, answer 429
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    requests_per_second: Option<u32>,
    /// The ingest endpoint that is told of each change
    #[arg(long, requires = "push_secret")]
    push_to: Option<Uri>,
    /// What those events are signed with: whsec_ and base64
    #[arg(
        long,
        env = "CSU_SANDBOX_PUSH_SECRET",
        hide_env_values = true,
        value_parser = parse_secret
    )]
    push_secret: Option<Secret>,
    /// How long after the change they are sent
    #[arg(long, value_parser = parse_duration, default_value = "0s")]
    push_delay: Duration,
    /// Calculate inventory at most once a minute
    #[arg(long)]
    inventory_cache: bool,
    /// Answer browsers' preflights, at once, for pages of every origin
    #[arg(long)]
    preflights: bool,
}

#[derive(Clone, Copy)]
struct Latency {
    span: Duration,
    jitter: Option<Duration>,
}

fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    duration::parse(text).ok_or("not a duration such as 250ms or 10s")
}

fn parse_latency(text: &str) -> Result<Latency, &'static str> {
    let parsed = duration::parse_with_jitter(text);
    let (span, jitter) = parsed.ok_or("not a duration such as 250ms or 250ms±50ms")?;
    Ok(Latency { span, jitter })
}

fn parse_secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text.to_owned()))
}

impl Arguments {
    fn into_settings(self) -> Settings {
        let push = self.push_to.zip(self.push_secret);
        Settings {
            listen: self.listen,
            latency: self.latency.span,
            latency_jitter: self.latency_jitter.or(self.latency.jitter).unwrap_or_default(),
            products: self.products,
            seed: self.seed,
            page_size: self.page_size,
            requests_per_second: self.requests_per_second,
            push: push.map(|(url, secret)| Push { url, secret, delay: self.push_delay }),
            inventory_cache: self.inventory_cache,
            preflights: self.preflights,
        }
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no mistakes; a closed pipe leaves nobody to tell.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(USAGE),
            };
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    match run(arguments.into_settings()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("csu-sandbox: {error:#}");
            let is_usage = error.downcast_ref::<std::io::Error>().is_some_and(|error| {
                matches!(
                    error.kind(),
                    std::io::ErrorKind::InvalidInput
                        | std::io::ErrorKind::AddrInUse
                        | std::io::ErrorKind::AddrNotAvailable
                        | std::io::ErrorKind::PermissionDenied
                )
            });
            ExitCode::from(if is_usage { USAGE } else { INTERNAL })
        }
    }
}

#[tokio::main]
async fn run(settings: Settings) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?;
    let sandbox = Sandbox::start(settings, Clock::system()).await.context("it cannot start")?;
    announce(&sandbox.address())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("SIGINT cannot be handled")?,
        _ = terminate.recv() => {}
    }
    sandbox.shutdown().await;
    Ok(())
}

/// The first line on stdout, and the only one.
fn announce(address: &SocketAddr) -> anyhow::Result<()> {
    let line = json!({"listening": {"sandbox": address.to_string()}});
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).context("stdout is closed")
}
