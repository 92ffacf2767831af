//! The command line: what it takes, and the commands that ask a running node.

pub(crate) mod control;
mod demo;
mod help;
mod human;
pub(crate) mod serve;
mod successor;
mod supervisor;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use http::{HeaderName, HeaderValue, Method, Uri};
use serde_json::json;

use control::{Address, Answer, ControlError, Trust};
pub(crate) use demo::demo;
use human::Style;
pub(crate) use serve::serve;

/// An edge cache that understands Dynamics 365 Commerce's Retail Server.
///
/// Point a storefront's base URL at it instead of at the Retail Server: product, price, inventory,
/// category and configuration reads come from memory, everything else passes through, and a push
/// event makes exactly the affected answers unusable.
#[derive(Debug, Parser)]
#[command(
    version,
    after_long_help = help::PROGRAM,
    after_help = help::PROGRAM
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the proxy.
    ///
    /// Prints where it listens as one line of JSON on stdout, and logs to stderr. SIGTERM or SIGINT
    /// drains it: it accepts no more after `listen.drain_delay`, finishes what runs within
    /// `listen.drain_for`, and exits with 0. A second signal ends it at once.
    ///
    /// With `listen.handover`, it takes over from the node that runs with the same setting, if there
    /// is one: that one goes on until this one serves, and then drains. No connection is refused.
    /// SIGUSR2 makes it start the program that is installed by then, which takes over.
    #[command(after_long_help = help::SERVE)]
    Serve(ConfigFile),

    /// Tell every mistake of a configuration at once, with line and column.
    ///
    /// Writes `config.toml is valid` and exits with 0, or writes each mistake as
    /// `config.toml:12:5: key: message` and exits with 64. Environment variables and files that
    /// secrets refer to are looked up as `serve` would.
    #[command(after_long_help = help::CHECK)]
    Check(ConfigFile),

    /// Show it at work: a stand-in Retail Server and a node in front of it, in one process.
    ///
    /// Listens on free ports of the loopback interface and keeps everything in memory. Prints where,
    /// and five lines to paste: a price read, the same again, a price change, the new price, the
    /// metrics. Ctrl-C ends it.
    #[command(after_long_help = help::DEMO)]
    Demo,

    /// Ask a running node what it would do with a request, and why.
    ///
    /// Tells the operation, its class, each part of the cache key, the partition, the tags, whether
    /// an answer is stored, its age and lifetime, and why it would or would not serve. Nothing is sent
    /// to the origin.
    #[command(after_long_help = help::EXPLAIN)]
    Explain {
        /// The request's method: GET or POST for what can be stored.
        method: Method,
        /// The request's URL, as the storefront sends it; its path and query suffice.
        url: Uri,
        /// A header field of the request, `Name: value`. Can be given several times.
        #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
        headers: Vec<(HeaderName, HeaderValue)>,
        /// The request's body.
        #[arg(short, long, value_name = "BODY")]
        data: Option<String>,
        #[command(flatten)]
        node: Node,
    },

    /// Ask a running node whether it should be sent requests.
    ///
    /// Prints what `GET /ready` answers and exits with 0, or tells why not and exits with 69. For
    /// health checks, also where there is no curl.
    #[command(after_long_help = help::READY)]
    Ready {
        #[command(flatten)]
        node: Node,
    },

    /// Make every answer with one of these tags unusable, on a running node.
    ///
    /// A tag is class/kind:id, such as price/item:82000 or product/product:68719489871; price/* is
    /// a whole class, * is everything. When it ends, the purge stands: what was fetched before is not
    /// served any more on that node, nor within milliseconds on those that share its Redis.
    #[command(after_long_help = help::PURGE)]
    Purge {
        /// What to purge. Quote what has a *.
        #[arg(value_name = "TAG", required = true)]
        tags: Vec<String>,
        /// Leave answers usable as stale ones, within their stale windows.
        #[arg(long)]
        soft: bool,
        /// Answer once every live node of the fleet has applied it, and name those that have not in
        /// time.
        #[arg(long)]
        wait_for_fleet: bool,
        #[command(flatten)]
        node: Node,
    },

    /// Print what makes a shell complete csu-edge's commands and options.
    #[command(after_long_help = help::COMPLETIONS)]
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ConfigFile {
    /// The configuration file. Every key can also be set as CSU_EDGE__SECTION__KEY.
    #[arg(long, value_name = "FILE", env = "CSU_EDGE_CONFIG", default_value = "config.toml")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Node {
    /// The node's control listener, `listen.control` of its configuration; with `https://` before it
    /// where it has `[tls.control]`.
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "CSU_EDGE_CONTROL",
        default_value = "127.0.0.1:9600",
        value_parser = Address::parse
    )]
    control: Address,
    #[command(flatten)]
    trust: Trust,
    /// Print the answer as the node gave it, as JSON on one line: for scripts.
    #[arg(long)]
    json: bool,
}

impl Node {
    async fn ask(
        &self,
        path: &str,
        question: Option<&serde_json::Value>,
    ) -> Result<String, ControlError> {
        let Answer(answer) = control::ask(&self.control, &self.trust, path, question).await?;
        Ok(answer)
    }
}

/// Asks a running node for `explain`; returns what to print.
pub(crate) async fn explain(
    method: &Method,
    url: &Uri,
    headers: &[(HeaderName, HeaderValue)],
    data: Option<&str>,
    node: &Node,
) -> Result<String, ControlError> {
    let mut fields: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        fields
            .entry(name.as_str())
            // Several fields of one name are one list (RFC 9110 §5.3).
            .and_modify(|list| *list = format!("{list}, {value}"))
            .or_insert_with(|| value.into_owned());
    }
    let mut question =
        json!({ "method": method.as_str(), "url": url.to_string(), "headers": fields });
    if let (Some(body), Some(question)) = (data, question.as_object_mut()) {
        question.insert("body".to_owned(), body.into());
    }
    let answer = node.ask("/explain", Some(&question)).await?;
    match node.json {
        true => Ok(answer),
        false => human::explained(&answer, style()).map_err(ControlError::NotJson),
    }
}

/// Asks a running node whether it is ready; returns what to print.
pub(crate) async fn ready(node: &Node) -> Result<String, ControlError> {
    let answer = node.ask("/ready", None).await?;
    match node.json {
        true => Ok(answer),
        false => human::members(&answer, style()).map_err(ControlError::NotJson),
    }
}

/// Asks a running node for `purge`; returns what to print, and whether every node that was waited for
/// has applied it.
pub(crate) async fn purge(
    tags: &[String],
    soft: bool,
    wait_for_fleet: bool,
    node: &Node,
) -> Result<(String, bool), ControlError> {
    let mode = if soft { "soft" } else { "hard" };
    let path = if wait_for_fleet { "/purge?wait=fleet" } else { "/purge" };
    let answer = node.ask(path, Some(&json!({ "tags": tags, "mode": mode }))).await?;
    let (told, all) = human::purged(&answer, soft, style()).map_err(ControlError::NotJson)?;
    Ok((if node.json { answer } else { told }, all))
}

/// What makes that shell complete the command line.
pub(crate) fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "csu-edge", &mut script);
    // clap_complete 4.6.11 names bash's subcommands in two ways where the program's name has a hyphen,
    // and completes none of their options.
    String::from_utf8_lossy(&script).trim_end().replace("csu__subcmd__edge", "csu__edge")
}

/// Bold on a terminal, unless its user wants none (no-color.org).
fn style() -> Style {
    let wants_none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|name| name == "dumb");
    match std::io::stdout().is_terminal() && !wants_none && !is_dumb {
        true => Style::Bold,
        false => Style::Plain,
    }
}

/// Prints a line on stdout. `println!` would panic where a pipe's reader has left.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Text from elsewhere, with its control characters escaped: it must not drive the terminal.
fn printable(text: &str) -> String {
    let escape = |c: char| match c.is_control() {
        true => c.escape_debug().to_string(),
        false => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// `Name: value`.
fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("a header field is written `Name: value`")?;
    let name = name.trim().parse().map_err(|_| "this is not the name of a header field")?;
    let value = value.trim().parse().map_err(|_| "a header field's value is visible text")?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    /// The words of a command as a shell makes them.
    fn words(command: &str) -> Vec<String> {
        let script = format!("set -f; printf '%s\\0' {command}");
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{command}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.trim_end_matches('\0').split('\0').map(str::to_owned).collect()
    }

    #[test]
    fn every_example_of_the_help_is_a_command_that_is_understood() {
        let mut parsed = 0;
        let program = Arguments::command();
        for command in std::iter::once(&program).chain(program.get_subcommands()) {
            let help = command.get_after_long_help().map(ToString::to_string);
            let help = help.unwrap_or_else(|| panic!("{} has no examples", command.get_name()));
            let help = help.replace("\\\n", "");
            for line in help.lines().filter_map(|line| line.strip_prefix("  ")) {
                let Some(at) = line.find("csu-edge ") else { continue };
                let Some(line) = line.get(at..) else { continue };
                let mut example = line;
                for end in [" | ", " > ", " && "] {
                    example = example.split(end).next().unwrap();
                }
                let words = words(example);
                let read = Arguments::try_parse_from(&words);
                assert!(read.is_ok(), "{example}: {}", read.unwrap_err());
                parsed += 1;
            }
        }
        assert!(parsed > 15, "{parsed}");
    }

    #[test]
    fn a_header_is_a_name_and_a_value() {
        assert_eq!(header("OUN: 128").unwrap(), ("oun".parse().unwrap(), "128".parse().unwrap()));
        assert_eq!(header("A:").unwrap().1, "");
        assert!(header("OUN 128").is_err());
        assert!(header(": 128").is_err());
        assert!(header("A: b\nc").is_err());
    }
}
