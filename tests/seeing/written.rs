//! What is written about the alerts is about all of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use csu_edge::config::Config;

const ALERTS: &str = include_str!("../../deploy/prometheus/rules/alerts.yml");
const OPERATIONS: &str = include_str!("../../docs/operations.md");
const PROMETHEUS: &str = include_str!("../../deploy/prometheus/prometheus.yml");
const DASHBOARD: &str = include_str!("../../deploy/grafana/dashboards/csu-edge.json");

/// Each alert's name, with the lines that follow it up to the next.
fn alerts() -> Vec<(&'static str, &'static str)> {
    let alerts: Vec<_> =
        ALERTS.split("- alert: ").skip(1).map(|alert| alert.split_once('\n').unwrap()).collect();
    assert!(alerts.len() > 20, "they are not found: {alerts:?}");
    alerts
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_it_is_about_and_where_to_read_on() {
    for (name, text) in alerts() {
        assert!(
            ["critical", "warning"]
                .iter()
                .any(|severity| text.contains(&format!("labels: {{ severity: {severity} }}"))),
            "{name}: {text}"
        );
        for annotation in ["summary: ", "description: >-\n"] {
            assert!(text.contains(annotation), "{name}: {annotation}");
        }
        let runbook = format!("runbook: docs/operations.md#{}\n", name.to_lowercase());
        assert!(text.contains(&runbook), "{name}: {runbook}");
        // `severity: critical` there, `*critical: …` here.
        let (_, section) = OPERATIONS.split_once(&format!("\n### {name}\n")).expect(name);
        let severity = text.split("severity: ").nth(1).unwrap().split(' ').next().unwrap();
        assert!(section.starts_with(&format!("*{severity}: ")), "{name}");
    }
}

#[test]
fn every_section_about_an_alert_and_every_mention_of_one_is_about_one_that_there_is() {
    let known: BTreeSet<&str> = alerts().into_iter().map(|(name, _)| name).collect();
    for text in [OPERATIONS, DASHBOARD] {
        let mut found = BTreeSet::new();
        for (at, _) in text.match_indices("CsuEdge") {
            let end = text[at..].find(|c: char| !c.is_ascii_alphanumeric()).unwrap();
            found.insert(&text[at..at + end]);
        }
        assert!(found.len() > 10 && found.is_subset(&known), "{found:?}");
    }
}

#[test]
fn every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/tests");
    let (mut fires, mut is_silent) = (BTreeSet::new(), BTreeSet::new());
    for file in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        for case in text.split("alertname: ").skip(1) {
            let (name, rest) = case.split_once('\n').unwrap();
            let silent = rest.trim_start().starts_with("exp_alerts: []\n");
            if silent { &mut is_silent } else { &mut fires }.insert(name.to_owned());
        }
    }
    let known: BTreeSet<String> = alerts().into_iter().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(fires, known);
    assert_eq!(is_silent, known);
}

#[test]
fn what_is_scraped_is_where_a_node_listens_unless_it_is_told_otherwise() {
    let config = Config::for_origin("http://127.0.0.1:1/Commerce".parse().unwrap());
    let port = config.listen.control.port();
    let targets = format!("targets: [edge-1:{port}, edge-2:{port}]");
    assert!(PROMETHEUS.contains(&targets), "{targets}");
}
