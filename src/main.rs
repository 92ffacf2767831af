//! The `csu-edge` command. `csu-edge --help` tells what it does.

mod cli;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use csu_edge::config::Config;
use csu_edge::node::StartError;
use csu_edge::telemetry::TelemetryError;

use cli::control::ControlError;
use cli::serve::ServeError;
use cli::{Arguments, Command, say};

/// Under churn the C library's allocator comes to hold a third more than what is stored; see
/// docs/decisions/0009-allocator-profile-runtime.md.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Wrong usage or configuration (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;
/// A needed service cannot be reached (`EX_UNAVAILABLE`).
const UNAVAILABLE: u8 = 69;
/// A fault of our own (`EX_SOFTWARE`).
const INTERNAL: u8 = 70;
/// Done here, and not yet everywhere (`EX_TEMPFAIL`).
const NOT_YET: u8 = 75;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // `--help` and `--version` come this way too. Without a reader there is nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("csu-edge: {}", told(&error));
            ExitCode::from(exit_code(&error))
        }
    }
}

/// An error and its causes on one line. Some tell their cause in their own words: not twice, then.
fn told(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let answer = match command {
        Command::Serve(file) => return Ok(runtime()?.block_on(cli::serve(&file.config))?),
        Command::Demo => return Ok(runtime()?.block_on(cli::demo())?),
        Command::Check(file) => return Ok(check(&file.config)),
        Command::Explain { method, url, headers, data, node } => {
            runtime()?.block_on(cli::explain(&method, &url, &headers, data.as_deref(), &node))?
        }
        Command::Ready { node } => runtime()?.block_on(cli::ready(&node))?,
        Command::Purge { tags, soft, wait_for_fleet, node } => {
            let asked = cli::purge(&tags, soft, wait_for_fleet, &node);
            let (answer, is_everywhere) = runtime()?.block_on(asked)?;
            say(&answer);
            return Ok(ExitCode::from(if is_everywhere { 0 } else { NOT_YET }));
        }
        Command::Completions { shell } => cli::completions(shell),
    };
    say(&answer);
    Ok(ExitCode::SUCCESS)
}

/// Tells the mistakes of a configuration: they are what was asked for, so on stdout.
fn check(path: &Path) -> ExitCode {
    match Config::load(path, std::env::vars_os()) {
        Ok(_) => {
            say(&format!("{} is valid", path.display()));
            ExitCode::SUCCESS
        }
        Err(errors) => {
            say(&errors.to_string());
            ExitCode::from(USAGE)
        }
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if let Some(error) = error.downcast_ref::<ServeError>() {
        return match error {
            ServeError::Config(_) | ServeError::Log(TelemetryError::Filter(_)) => USAGE,
            ServeError::Start(StartError::Listener { .. }) | ServeError::Sandbox(_) => UNAVAILABLE,
            ServeError::Start(
                StartError::Origin(_)
                | StartError::ServiceRoot(_)
                | StartError::Catalogue(_)
                | StartError::Credential(_)
                | StartError::Redis(_)
                | StartError::AccessLog(_)
                | StartError::Traces(_)
                | StartError::Tls { .. },
            ) => USAGE,
            ServeError::Start(StartError::Handover(_)) | ServeError::Handover(_) => UNAVAILABLE,
            ServeError::Start(StartError::Metrics(_))
            | ServeError::Log(TelemetryError::Taken(_))
            | ServeError::Signals(_) => INTERNAL,
        };
    }
    match error.downcast_ref::<ControlError>() {
        Some(ControlError::Unreachable { .. } | ControlError::TimedOut { .. }) => UNAVAILABLE,
        Some(ControlError::File { .. }) => USAGE,
        Some(ControlError::Refused { status, .. }) if status.is_client_error() => USAGE,
        Some(ControlError::Refused { status, .. }) if status.as_u16() == 503 => UNAVAILABLE,
        Some(_) | None => INTERNAL,
    }
}
