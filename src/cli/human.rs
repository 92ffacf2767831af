//! A node's JSON answers for people.

use std::fmt::{self, Write};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::printable;

/// Where a list of values is broken.
const COLUMNS: usize = 100;

/// How text is set off: in bold on a terminal, not at all elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Style {
    Plain,
    Bold,
}

impl Style {
    fn strong(self, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Bold => format!("\u{1b}[1m{text}\u{1b}[0m"),
        }
    }
}

/// An answer of `/explain`: the verdict, then each value with its name, in the answer's own order. No
/// member is left out, whatever the node's version tells.
pub(super) fn explained(answer: &str, style: Style) -> Result<String, serde_json::Error> {
    let mut told = String::new();
    let mut root = serde_json::from_str::<Node>(answer)?;
    if let Node::Object(members) = &mut root {
        let verdict = members.iter().position(|(name, _)| name == "verdict");
        if let Some((_, Node::Text(verdict))) = verdict.map(|at| members.remove(at)) {
            told = style.strong(&verdict) + "\n\n";
        }
    }
    root.write(0, style, &mut told);
    Ok(told.trim_end().to_owned())
}

/// Each value of an answer with its name, in the answer's own order.
pub(super) fn members(answer: &str, style: Style) -> Result<String, serde_json::Error> {
    let mut told = String::new();
    serde_json::from_str::<Node>(answer)?.write(0, style, &mut told);
    Ok(told.trim_end().to_owned())
}

/// An answer of `/purge`, and whether every node that was waited for has applied it.
pub(super) fn purged(
    answer: &str,
    is_soft: bool,
    style: Style,
) -> Result<(String, bool), serde_json::Error> {
    let Purged { sequence, fleet } = serde_json::from_str(answer)?;
    let outcome = match is_soft {
        false => "what was fetched before is not served any more.",
        true => "what was fetched before is stale.",
    };
    let mut told = format!("{} {outcome}", style.strong(&format!("Purged as number {sequence}:")));
    let Some(Fleet { applied, pending, unknown }) = fleet else { return Ok((told, true)) };
    if unknown {
        told.push_str("\nIt is not known which nodes have applied it.");
        return Ok((told, false));
    }
    let names = |nodes: &[String]| match nodes {
        [] => "none".to_owned(),
        nodes => nodes.iter().map(|node| printable(node)).collect::<Vec<_>>().join(", "),
    };
    // Writing to a string does not fail.
    let _ = write!(told, "\nApplied by: {}", names(&applied));
    let _ = write!(told, "\nNot yet by: {}", names(&pending));
    Ok((told, pending.is_empty()))
}

#[derive(Deserialize)]
struct Purged {
    sequence: u64,
    fleet: Option<Fleet>,
}

#[derive(Deserialize)]
struct Fleet {
    #[serde(default)]
    applied: Vec<String>,
    #[serde(default)]
    pending: Vec<String>,
    #[serde(default)]
    unknown: bool,
}

/// `serde_json::Value` would do, but for numbers that must keep every digit.
enum Node {
    Text(String),
    Number(serde_json::Number),
    Flag(bool),
    Nothing,
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Node {
    const fn is_plain(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Object(_))
    }

    /// Whether it stands beside its name, and not below it.
    fn is_beside(&self) -> bool {
        match self {
            Self::List(nodes) => nodes.iter().all(Self::is_plain),
            Self::Object(members) => members.is_empty(),
            _ => true,
        }
    }

    fn write(&self, indent: usize, style: Style, told: &mut String) {
        match self {
            Self::Object(members) => write_members(members, indent, style, told),
            Self::List(nodes) if !self.is_beside() => {
                for (at, node) in nodes.iter().enumerate() {
                    let heading = node.title().unwrap_or_else(|| (at + 1).to_string());
                    told.push_str(&format!("{:indent$}{}\n", "", style.strong(&heading)));
                    node.write(indent + 2, style, told);
                }
            }
            _ => told.push_str(&format!("{:indent$}{}\n", "", self.value("", indent))),
        }
    }

    /// What tells one of a list from the others.
    fn title(&self) -> Option<String> {
        let Self::Object(members) = self else { return None };
        let of = |wanted: &str| {
            let (_, node) = members.iter().find(|(name, _)| name == wanted)?;
            node.is_plain().then(|| node.value("", 0))
        };
        let id = of("id")?;
        Some(of("state").map_or_else(|| id.clone(), |state| format!("{id}: {state}")))
    }

    /// The value on one line, or a list on as many as it takes, each after so many spaces.
    fn value(&self, name: &str, indent: usize) -> String {
        match self {
            Self::Text(text) if text.is_empty() => "-".to_owned(),
            Self::Text(text) => text.clone(),
            Self::Flag(true) => "yes".to_owned(),
            Self::Flag(false) => "no".to_owned(),
            Self::Number(number) if name.ends_with("Seconds") => duration(number),
            Self::Number(number) => number.to_string(),
            Self::List(nodes) => {
                let (mut lines, mut width) = (String::new(), indent);
                for (at, node) in nodes.iter().enumerate() {
                    let value = node.value("", 0);
                    let length = value.chars().count() + 2;
                    if at > 0 && width + length > COLUMNS {
                        lines.push_str(&format!(",\n{:indent$}", ""));
                        width = indent;
                    } else if at > 0 {
                        lines.push_str(", ");
                    }
                    width += length;
                    lines.push_str(&value);
                }
                if lines.is_empty() { "-".to_owned() } else { lines }
            }
            Self::Nothing | Self::Object(_) => "-".to_owned(),
        }
    }
}

/// What stands beside its name first, in one column, then what stands below it.
fn write_members(members: &[(String, Node)], indent: usize, style: Style, told: &mut String) {
    let beside = || members.iter().filter(|(_, node)| node.is_beside());
    let width = beside().map(|(name, _)| label(name).chars().count()).max().unwrap_or_default() + 2;
    for (name, node) in beside() {
        let value = node.value(name, indent + width);
        told.push_str(&format!("{:indent$}{:width$}{value}\n", "", label(name)));
    }
    for (name, node) in members.iter().filter(|(_, node)| !node.is_beside()) {
        told.push_str(&format!("\n{:indent$}{}\n", "", style.strong(&label(name))));
        node.write(indent + 2, style, told);
    }
}

/// `freshForSeconds` as `Fresh for`.
fn label(name: &str) -> String {
    let name = name.strip_suffix("Seconds").unwrap_or(name);
    let mut label = String::new();
    for (at, letter) in name.chars().enumerate() {
        match (at, letter.is_uppercase()) {
            (0, _) => label.extend(letter.to_uppercase()),
            (_, true) => {
                label.push(' ');
                label.extend(letter.to_lowercase());
            }
            (_, false) => label.push(letter),
        }
    }
    label
}

/// Seconds, and what they are in a larger unit.
fn duration(seconds: &serde_json::Number) -> String {
    const UNITS: [(f64, &str); 3] = [(86_400.0, "d"), (3_600.0, "h"), (60.0, "min")];
    let number = seconds.as_f64().unwrap_or_default();
    match UNITS.iter().find(|(unit, _)| number >= *unit) {
        Some((unit, name)) if number >= 120.0 => {
            let larger = (number / unit * 10.0).round() / 10.0;
            format!("{seconds} s ({larger} {name})")
        }
        _ => format!("{seconds} s"),
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Flag(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(serde_json::Number::from_f64(value).map_or(Node::Nothing, Node::Number))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(printable(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some((name, node)) = object.next_entry::<String, Node>()? {
            members.push((printable(&name), node));
        }
        Ok(Node::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_begins_with_its_verdict_and_tells_every_member() {
        let answer = r#"{"zone": "a\u001b[31m", "key": {"oun": "128", "body": ""}, "tags": ["b", "a"],
            "stored": true, "freshForSeconds": 900, "ageSeconds": 7, "etag": null,
            "things": [{"id": "6871", "state": "fresh", "response": {"status": 200}}, {"n": -2}],
            "verdict": "served"}"#;
        let expected = "\
served

Zone       a\\u{1b}[31m
Tags       b, a
Stored     yes
Fresh for  900 s (15 min)
Age        7 s
Etag       -

Key
  Oun   128
  Body  -

Things
  6871: fresh
    Id     6871
    State  fresh

    Response
      Status  200
  2
    N  -2";
        assert_eq!(explained(answer, Style::Plain).unwrap(), expected);
        let bold = explained(answer, Style::Bold).unwrap();
        assert!(bold.starts_with("\u{1b}[1mserved\u{1b}[0m\n"), "{bold}");
        assert_eq!(bold.replace("\u{1b}[1m", "").replace("\u{1b}[0m", ""), expected);
    }

    #[test]
    fn a_long_list_is_broken_below_where_it_begins() {
        let tags: Vec<String> = (0..20).map(|n| format!("price/product:{n:0>5}")).collect();
        let answer = serde_json::json!({ "tags": tags }).to_string();
        let told = explained(&answer, Style::Plain).unwrap();
        assert!(told.lines().count() > 3, "{told}");
        for line in told.lines() {
            assert!(line.len() <= COLUMNS, "{line}");
        }
        assert!(told.lines().skip(1).all(|line| line.starts_with("      price/")), "{told}");
        assert_eq!(told.matches("price/product:").count(), 20);
    }

    #[test]
    fn whatever_json_comes_is_shown() {
        assert_eq!(explained("{}", Style::Plain).unwrap(), "");
        assert_eq!(explained("\"done\"", Style::Plain).unwrap(), "done");
        assert_eq!(explained("[1,[2]]", Style::Plain).unwrap(), "1\n  1\n2\n  2");
        assert_eq!(
            explained("18446744073709551615", Style::Plain).unwrap(),
            "18446744073709551615"
        );
        assert!(explained("<html>", Style::Plain).is_err());
    }

    #[test]
    fn a_purge_tells_who_has_applied_it_where_that_was_asked() {
        let told = |answer| purged(answer, false, Style::Plain).unwrap();
        let (alone, all) = told(r#"{"sequence":7}"#);
        assert!(
            all && alone == "Purged as number 7: what was fetched before is not served any more."
        );
        let (fleet, all) = told(r#"{"sequence":7,"fleet":{"applied":["a","b"],"pending":["c"]}}"#);
        assert!(!all && fleet.ends_with("\nApplied by: a, b\nNot yet by: c"), "{fleet}");
        let (fleet, all) = told(r#"{"sequence":7,"fleet":{"applied":["a"],"pending":[]}}"#);
        assert!(all && fleet.ends_with("\nNot yet by: none"), "{fleet}");
        let (unknown, all) = told(r#"{"sequence":7,"fleet":{"unknown":true}}"#);
        assert!(!all && unknown.ends_with("not known which nodes have applied it."), "{unknown}");
        let (soft, _) = purged(r#"{"sequence":7}"#, true, Style::Plain).unwrap();
        assert!(soft.ends_with("is stale."), "{soft}");
    }
}
