//! What an operator sees: the dashboard, the rules and the alerts are about metrics that there are.
//!
//! Two nodes with all that they can have, under a load that touches it all, are scraped by a real
//! Prometheus with the shipped configuration. Each expression of a panel or a rule must be one that it
//! takes, on series that are there, by labels and values that they have.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

#[path = "../support/mod.rs"]
mod support;

mod dashboard;
mod expression;
mod load;
mod prometheus;
mod written;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dashboard::{Dashboard, Target};
use expression::Selector;
use load::Scene;
use prometheus::{Prometheus, Rule};

/// How long the load goes on, at most, until all that it has to bring about is there.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test]
async fn all_that_panels_rules_and_alerts_are_about_is_there() {
    let dashboard = Dashboard::shipped();
    let scene = Scene::open().await;
    let prometheus = Prometheus::start(&scene.controls()).await;
    let begun = Instant::now();
    scene.trouble().await;
    loop {
        scene.round().await;
        let missing = missing(&prometheus, &dashboard).await;
        if missing.is_empty() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "not there: {missing:#?}");
    }
    // Only now has each rule been tried on series that are there.
    for rule in prometheus.rules().await {
        assert_eq!((rule.health.as_str(), rule.error.as_str()), ("ok", ""), "{}", rule.name);
    }
}

/// What is not there (yet), in words.
async fn missing(prometheus: &Prometheus, dashboard: &Dashboard) -> BTreeSet<String> {
    let mut missing = BTreeSet::new();
    let rules = prometheus.rules().await;
    assert!(rules.len() > 30, "the rules are not loaded: {rules:?}");
    let mut expressions: Vec<String> = rules.iter().map(|rule| rule.query.clone()).collect();
    for Target { panel, expression, legend } in &dashboard.targets {
        let found = prometheus.query(expression).await;
        if found.is_empty() {
            missing.insert(format!("the panel {panel}: {expression}"));
        }
        for label in expression::legend_labels(legend) {
            let has = |series: &serde_json::Value| series["metric"][label].is_string();
            assert!(found.iter().all(has), "{panel}: there is no label {label} in {found:?}");
        }
        expressions.push(expression.clone());
    }
    expressions.extend(dashboard.variables.iter().cloned());
    for rule in rules.iter().filter(|rule| !rule.is_alert()) {
        if prometheus.query(&rule.name).await.is_empty() {
            missing.insert(format!("the record {}", rule.name));
        }
    }
    let mut asked = BTreeSet::new();
    for expression in &expressions {
        for wanted in wanted(expression) {
            if asked.insert(wanted.clone()) && prometheus.query(&wanted).await.is_empty() {
                missing.insert(format!("{wanted}, for {expression}"));
            }
        }
        // A label to group or match by is one of something in the expression.
        for label in expression::grouping_labels(expression) {
            let selectors = expression::selectors(expression);
            let having = |s: &Selector| format!("{}{{{label}!=\"\"}}", s.metric);
            let any: Vec<String> = selectors.iter().map(having).collect();
            let any = any.join(" or ");
            if asked.insert(any.clone()) && prometheus.query(&any).await.is_empty() {
                missing.insert(format!("the label {label}, for {expression}"));
            }
        }
    }
    missing
}

/// For each metric of an expression, and for each value that it is narrowed down to, or widened by, a
/// query that has an answer if there is such a series.
fn wanted(expression: &str) -> Vec<String> {
    let mut wanted = Vec::new();
    for Selector { metric, matchers } in expression::selectors(expression) {
        wanted.push(metric.clone());
        for matcher in matchers {
            for value in matcher.values() {
                let label = &matcher.label;
                wanted.push(format!("{metric}{{{label}=\"{value}\"}}"));
            }
        }
    }
    wanted
}

impl Rule {
    fn is_alert(&self) -> bool {
        self.kind == "alerting"
    }
}
