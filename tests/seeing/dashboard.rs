//! The dashboard as it is shipped.

use serde_json::Value;

const SHIPPED: &str = include_str!("../../deploy/grafana/dashboards/csu-edge.json");

/// The kinds of panels that ask for something.
const KINDS: [&str; 3] = ["timeseries", "stat", "state-timeline"];

/// One expression of a panel.
pub(crate) struct Target {
    pub(crate) panel: String,
    pub(crate) expression: String,
    pub(crate) legend: String,
}

pub(crate) struct Dashboard {
    pub(crate) targets: Vec<Target>,
    /// What the choices at its top are made of: a metric with matchers.
    pub(crate) variables: Vec<String>,
}

impl Dashboard {
    pub(crate) fn shipped() -> Self {
        let dashboard: Value = serde_json::from_str(SHIPPED).unwrap();
        let targets = panels(&dashboard).flat_map(|panel| {
            let targets = panel["targets"].as_array().unwrap().iter();
            targets.map(|target| Target {
                panel: text(&panel["title"]),
                expression: chosen(&text(&target["expr"])),
                legend: text(&target["legendFormat"]),
            })
        });
        let targets = targets.collect();
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        let variables = variables.iter().filter(|variable| variable["type"] == "query");
        let variables = variables.map(|variable| {
            let query = text(&variable["query"]["query"]);
            let of = query.strip_prefix("label_values(").and_then(|of| of.strip_suffix(')'));
            let (metric, label) = of.unwrap().rsplit_once(", ").unwrap();
            format!("count by ({label}) ({})", chosen(metric))
        });
        Self { variables: variables.collect(), targets }
    }
}

/// With everything chosen that there is to choose.
fn chosen(expression: &str) -> String {
    let chosen = expression
        .replace("$__rate_interval", "1m")
        .replace("$job", "csu-edge")
        .replace("$instance", ".*")
        .replace("$operation", ".*");
    assert!(!chosen.contains('$'), "a variable that is not known: {chosen}");
    chosen
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

#[test]
fn every_panel_says_what_it_shows_in_which_unit_and_what_to_do() {
    let dashboard: Value = serde_json::from_str(SHIPPED).unwrap();
    let mut titles = Vec::new();
    for panel in panels(&dashboard) {
        let title = text(&panel["title"]);
        assert!(KINDS.contains(&text(&panel["type"]).as_str()), "{title}");
        assert!(!text(&panel["fieldConfig"]["defaults"]["unit"]).is_empty(), "{title}");
        // One sentence for either.
        let description = text(&panel["description"]);
        let sentences = description.matches(". ").count() + 1;
        assert!(sentences > 1 && description.ends_with('.'), "{title}: {description}");
        assert!(!titles.contains(&title), "{title} is there twice");
        titles.push(title);
    }
    assert!(titles.len() > 50, "{titles:?}");
}

#[test]
fn no_panel_lies_over_another_and_each_is_in_a_row() {
    let dashboard: Value = serde_json::from_str(SHIPPED).unwrap();
    let mut taken = std::collections::HashSet::new();
    let all = dashboard["panels"].as_array().unwrap();
    assert_eq!(all[0]["type"], "row");
    for panel in all {
        let [x, y, w, h] =
            ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(x + w <= 24, "{}", panel["title"]);
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(place), "{} lies over another", panel["title"]);
        }
    }
}
