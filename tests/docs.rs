//! The documentation says what the code does: every metric, every reason in `Cache-Status`, every
//! label with a closed set; and its links lead somewhere.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test panics")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use csu_edge::metrics::Metrics;
use csu_edge::proxy::counts::Served;

const OPERATIONS: &str = include_str!("../docs/operations.md");
const STOREFRONT: &str = include_str!("../docs/storefront.md");
const SECURITY: &str = include_str!("../docs/security.md");
const METRICS: &str = include_str!("../src/metrics.rs");

/// Where the enums stand whose `as_str` ends up as a `detail`. Read as text: some are private, and
/// a variant that is added must not be forgotten in a list.
const REASONS: [&str; 11] = [
    include_str!("../src/proxy/errand.rs"),
    include_str!("../src/proxy/identity.rs"),
    include_str!("../src/proxy/resource.rs"),
    include_str!("../src/question.rs"),
    include_str!("../src/odata.rs"),
    include_str!("../src/odata/body.rs"),
    include_str!("../src/odata/batch.rs"),
    include_str!("../src/caching/storability.rs"),
    include_str!("../src/answer.rs"),
    include_str!("../src/error.rs"),
    include_str!("../src/proxy.rs"),
];
/// Reasons of these that never get there: about an answer to a batch, or about what is checked before.
const NEVER_TOLD: [&str; 3] = ["batch-too-long", "batch-unmatched", "batch-field"];
const LOOKUP: &str = include_str!("../src/proxy/lookup.rs");
const LISTED: &str = include_str!("../src/proxy/listed.rs");
const PIECES: &str = include_str!("../src/answer/pieces.rs");

fn strings(code: &str) -> impl Iterator<Item = &str> {
    code.split('"').skip(1).step_by(2)
}

fn without_tests(source: &str) -> &str {
    source.split("#[cfg(test)]\nmod tests {").next().unwrap()
}

/// The body of a function, by rustfmt's indentation.
fn body_of<'s>(source: &'s str, signature: &str) -> &'s str {
    let (_, rest) = source.split_once(signature).unwrap();
    rest.split("\n    }\n").next().unwrap()
}

/// The names declared in src/metrics.rs. Not from an exposition: a family without a series is not
/// in it.
fn declared_metrics() -> BTreeSet<String> {
    let methods = [".counter", ".gauge", ".histogram"];
    without_tests(METRICS)
        .split("declare")
        .map(str::trim_start)
        .filter(|call| methods.iter().any(|method| call.starts_with(method)))
        .map(|call| format!("csu_edge_{}", strings(call).next().unwrap()))
        .collect()
}

/// What stands in backquotes in the first cell of each row of a page's tables.
fn first_cells(page: &str) -> BTreeSet<&str> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(cell, _)| cell)
        .collect()
}

/// The part of a page under a heading, up to the next heading of the same level.
fn section<'p>(page: &'p str, heading: &str) -> &'p str {
    let (_, rest) = page.split_once(&format!("\n{heading}\n")).unwrap();
    let level = heading.split(' ').next().unwrap();
    rest.split(&format!("\n{level} ")).next().unwrap().split("\n## ").next().unwrap()
}

#[test]
fn every_metric_is_in_the_operators_page_and_nothing_else_is() {
    let declared = declared_metrics();
    assert!(declared.len() > 20, "the declarations are not found: {declared:?}");
    let told: BTreeSet<String> =
        first_cells(section(OPERATIONS, "## Metrics")).into_iter().map(str::to_owned).collect();
    let metrics: BTreeSet<String> =
        told.into_iter().filter(|name| name.starts_with("csu_edge_")).collect();
    assert_eq!(declared, metrics);
    // Those whose names are not csu-edge's own are in every exposition.
    for line in Metrics::new().unwrap().render().unwrap().lines() {
        let Some((name, _)) =
            line.strip_prefix("# TYPE process_").and_then(|it| it.split_once(' '))
        else {
            continue;
        };
        assert!(OPERATIONS.contains(&format!("`process_{name}`")), "process_{name}");
    }
}

#[test]
fn every_name_of_a_metric_anywhere_in_the_documentation_is_one() {
    let declared = declared_metrics();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (at, _) in text.match_indices("csu_edge_") {
            let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
            let name: String = text[at..].chars().take_while(|c| is_name(*c)).collect();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
                .unwrap_or(&name);
            // A prefix of several, as in a pattern for grep.
            let is_prefix = name.ends_with('_') && declared.iter().any(|d| d.starts_with(&name));
            assert!(declared.contains(family) || is_prefix, "{}: {name}", page.display());
        }
    }
}

#[test]
fn every_result_of_a_request_is_in_the_operators_page() {
    let told = first_cells(section(OPERATIONS, "## Metrics"));
    for served in Served::ALL {
        assert!(told.contains(served.as_str()), "{}", served.as_str());
    }
}

#[test]
fn every_reason_why_an_answer_is_not_taken_apart_is_in_the_operators_page() {
    let told = first_cells(section(OPERATIONS, "## Lists"));
    let reasons: BTreeSet<&str> = strings(body_of(PIECES, "fn as_str(")).collect();
    assert!(reasons.len() > 5, "the reasons are not found: {reasons:?}");
    for reason in reasons {
        assert!(told.contains(reason), "{reason}");
    }
}

#[test]
fn every_detail_of_cache_status_is_in_the_storefronts_page_and_nothing_else_is() {
    let mut emitted = BTreeSet::new();
    for source in REASONS {
        let source = without_tests(source);
        let before = emitted.len();
        // `error.rs` and others have more than one function of this name.
        for after in source.split("fn as_str(").skip(1) {
            emitted.extend(strings(after.split("\n    }\n").next().unwrap()));
        }
        for after in source.split("with_detail(\"").skip(1) {
            emitted.extend(after.split('"').next());
        }
        assert!(emitted.len() > before, "no reason is found in one of the sources");
    }
    for function in ["fn detail(", "fn why_stale(", "fn detail_of("] {
        emitted.extend(strings(body_of(LOOKUP, function)));
    }
    emitted.extend(strings(body_of(LISTED, "fn detail(")));
    for reason in NEVER_TOLD {
        assert!(emitted.remove(reason), "{reason} is no reason any more");
    }
    assert_eq!(emitted, first_cells(section(STOREFRONT, "### Details")));
}

/// Every page: at the root, in docs/, beside the benchmarks and the storefront.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = Vec::new();
    let folders =
        ["", "docs", "docs/decisions", "benches", "deploy", "loadtest", "loadtest/storefront"];
    for folder in folders {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    assert!(pages.len() > 8, "{pages:?}");
    pages
}

/// A page's lines outside of code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    text.lines().scan(false, |fenced, line| {
        let is_fence = line.trim_start().starts_with("```");
        *fenced ^= is_fence;
        Some(if is_fence || *fenced { "" } else { line })
    })
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    prose(text)
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
            title.chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// The text of every Rust file below these folders.
fn sources(folders: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut left: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut text = String::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
    text
}

/// In docs/security.md what stands in backquotes in the last cell of a row are tests.
#[test]
fn every_test_that_a_promise_of_security_names_exists() {
    let sources = sources(&["src", "tests"]);
    let mut named = 0;
    for row in SECURITY.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")) {
        let last = row.rsplit(" | ").next().unwrap();
        for test in last.split('`').skip(1).step_by(2) {
            named += 1;
            assert!(sources.contains(&format!("fn {test}()")), "there is no test {test}");
        }
    }
    assert!(named > 30, "the tables of docs/security.md are not found");
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut links = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for line in prose(&text) {
            for after in line.split("](").skip(1) {
                let target = after.split(')').next().unwrap();
                if target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                links += 1;
                let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
                let linked =
                    if file.is_empty() { page.clone() } else { page.with_file_name("").join(file) };
                assert!(linked.exists(), "{}: {target}", page.display());
                if !anchor.is_empty() {
                    let known = anchors(&fs::read_to_string(&linked).unwrap());
                    assert!(known.contains(anchor), "{}: {target}: {known:?}", page.display());
                }
            }
        }
    }
    assert!(links > 20);
}
