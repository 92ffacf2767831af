//! The shipped config.toml and docs/configuration.md say what the code does: the same keys, the
//! same defaults.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test panics")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;

use csu_edge::config::{Config, NEEDS_RESTART, Place};
use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use toml_edit::{Document, Item, TableLike};

const SHIPPED: &str = include_str!("../config.toml");
const MANUAL: &str = include_str!("../docs/configuration.md");

/// The least that loads with every table that has required keys; the folder has a pair for TLS.
fn least(folder: &TempDir) -> String {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::default().self_signed(&key).unwrap();
    let mut text = "listen.ingest = '127.0.0.1:8090'\norigin.service_root = 'http://rs'\n\
                    cors.allowed_origins = ['*']\nredis.url = 'redis://127.0.0.1'\n"
        .to_owned();
    for (name, pem) in [("certificate", certificate.pem()), ("private_key", key.serialize_pem())] {
        let path = folder.path().join(name);
        fs::write(&path, pem).unwrap();
        for listener in ["storefront", "ingest", "control"] {
            writeln!(text, "tls.{listener}.{name} = '{}'", path.display()).unwrap();
        }
    }
    text
}

/// The shipped file with every setting and example in force.
fn shipped_in_full() -> String {
    let in_force = |line: &'static str| match line.strip_prefix('#') {
        Some(setting) if setting.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => {
            setting
        }
        _ => line,
    };
    SHIPPED.lines().map(in_force).collect::<Vec<_>>().join("\n")
}

/// Every key of a table with its value as it is written.
fn flatten(text: &str, table: &dyn TableLike, path: &str, values: &mut BTreeMap<String, String>) {
    for (name, item) in table.iter() {
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        match item {
            Item::Value(value) => {
                values.insert(path, text[value.span().unwrap()].to_owned());
            }
            Item::Table(table) => flatten(text, table, &path, values),
            Item::ArrayOfTables(tables) => {
                tables.iter().for_each(|table| flatten(text, table, &path, values));
            }
            Item::None => {}
        }
    }
}

/// Each key of the manual's tables with its default, where it is a fixed one.
fn manual() -> BTreeMap<String, Option<String>> {
    let quoted = |cell: &str| Some(cell.strip_prefix('`')?.strip_suffix('`')?.to_owned());
    MANUAL
        .lines()
        .filter_map(|line| {
            let cells: Vec<_> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
            Some((quoted(cells[0])?, quoted(cells[1])))
        })
        .collect()
}

fn shipped_values() -> BTreeMap<String, String> {
    let text = shipped_in_full();
    let document = Document::parse(text.as_str()).unwrap();
    let mut values = BTreeMap::new();
    flatten(&text, document.as_table(), "", &mut values);
    values
}

#[test]
fn the_shipped_file_loads_as_it_stands_and_in_full() {
    let nothing = std::iter::empty::<(String, String)>();
    Config::parse(SHIPPED, "config.toml", nothing).unwrap();
    // The files of its examples are on no machine of ours.
    let files = ["ca_file", "[tls.", "certificate", "private_key", "client_ca", "minimum_version"];
    let is_on_no_file = |line: &&str| !files.iter().any(|start| line.starts_with(start));
    let in_full = shipped_in_full().lines().filter(is_on_no_file).collect::<Vec<_>>().join("\n");
    let environment = [
        ("CSU_EDGE_INGEST_SECRET", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"),
        ("CSU_EDGE_INGEST_TOKEN", "token"),
        ("CSU_EDGE_REDIS_PASSWORD", "password"),
        ("CSU_EDGE_PURGE_REDIS_PASSWORD", "password"),
        ("CSU_EDGE_SENTINEL_PASSWORD", "password"),
        ("CSU_EDGE_PARTITION_SECRET", "secret"),
        ("CSU_EDGE_COLLECTOR_KEY", "key"),
    ];
    Config::parse(&in_full, "config.toml", environment).unwrap();
}

#[test]
fn the_shipped_file_and_the_manual_have_every_key_and_no_other() {
    let known = Config::keys();
    assert_eq!(shipped_values().into_keys().collect::<BTreeSet<_>>(), known);
    assert_eq!(manual().into_keys().collect::<BTreeSet<_>>(), known);
}

#[test]
fn the_manuals_defaults_are_the_codes() {
    let written: String = manual()
        .into_iter()
        .filter(|(key, _)| key != "listen.ingest")
        .filter_map(|(key, default)| Some(format!("{key} = {}\n", default?)))
        .collect();
    let load = |text: &str| {
        let nothing = std::iter::empty::<(String, String)>();
        format!("{:#?}", Config::parse(text, "manual", nothing).unwrap())
    };
    let folder = TempDir::new().unwrap();
    let least = least(&folder);
    assert_eq!(load(&format!("{least}{written}")), load(&least));
    // A default that a loopback ingest hides above.
    let open = Config::parse("origin.service_root = 'http://rs'", "", [("", "")]).unwrap_err();
    let default = manual()["listen.ingest"].clone().unwrap();
    assert!(open.to_string().contains(default.trim_matches('"')));
}

#[test]
fn the_shipped_file_shows_the_manuals_defaults() {
    let shown = shipped_values();
    // Set otherwise, or an example: the file says so beside each.
    let excepted = ["listen.ingest", "ingest.hmac_secrets", "ingest.bearer_tokens"];
    for (key, default) in manual() {
        if let Some(default) = default.filter(|_| !excepted.contains(&key.as_str())) {
            assert_eq!(shown[&key], default, "{key}");
        }
    }
}

proptest! {
    /// Whatever is done to a configuration, it loads or says where it is wrong.
    #[test]
    fn a_damaged_file_is_told_with_places_in_it(
        start in any::<prop::sample::Index>(),
        removed in 0_usize..40,
        inserted in prop_oneof!["[\\[\\]{}=\"'.,#\\n a-z0-9-]{0,12}", any::<String>()],
    ) {
        let mut chars: Vec<char> = shipped_in_full().chars().collect();
        let start = start.index(chars.len());
        let end = chars.len().min(start + removed);
        chars.splice(start..end, inserted.chars());
        let text: String = chars.into_iter().collect();
        let nothing = std::iter::empty::<(String, String)>();
        // The examples name secrets that are not set: there is always a mistake.
        let errors = Config::parse(&text, "config.toml", nothing).unwrap_err();
        for mistake in errors.mistakes() {
            let Place::Position { line, column } = mistake.place else { panic!("{mistake:?}") };
            let found = text.split('\n').nth(line - 1).unwrap();
            prop_assert!(column <= found.chars().count() + 1, "{mistake:?}");
        }
    }
}

#[test]
fn the_manual_lists_what_needs_a_restart() {
    let (_, listed) = MANUAL.split_once("\n## What needs a restart\n").unwrap();
    let listed =
        listed.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with("- "));
    let told: BTreeSet<&str> = listed
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        // Beside `redis`, what is in it.
        .filter(|name| *name != "partition_secret")
        .collect();
    assert_eq!(told, NEEDS_RESTART.iter().copied().collect());
    let is_setting = |name: &&str| {
        let below = format!("{name}.");
        Config::keys().iter().any(|key| key == name || key.starts_with(&below))
    };
    assert!(NEEDS_RESTART.iter().all(is_setting));
}
