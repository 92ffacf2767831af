//! A JSON answer as lines for people: `name: value`, in the answer's own order.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::printable;

/// One line a value; a member of an object as `object.member`, a list of plain values on one line.
pub(super) fn from_json(answer: &str) -> Result<String, serde_json::Error> {
    let mut lines = String::new();
    serde_json::from_str::<Node>(answer)?.write("", &mut lines);
    Ok(lines.trim_end().to_owned())
}

/// `serde_json::Value` would sort an object's members.
enum Node {
    Plain(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Node {
    fn write(&self, name: &str, lines: &mut String) {
        let below = |member: &str| match name {
            "" => member.to_owned(),
            _ => format!("{name}.{member}"),
        };
        match self {
            Self::Object(members) if !members.is_empty() => {
                for (member, node) in members {
                    node.write(&below(&printable(member)), lines);
                }
            }
            Self::List(nodes) if nodes.iter().any(|node| !matches!(node, Self::Plain(_))) => {
                for (index, node) in nodes.iter().enumerate() {
                    node.write(&below(&index.to_string()), lines);
                }
            }
            Self::Object(_) | Self::List(_) | Self::Plain(_) => {
                let value = self.on_one_line();
                let separator = if name.is_empty() || value.is_empty() { "" } else { " " };
                let colon = if name.is_empty() { "" } else { ":" };
                lines.push_str(&format!("{name}{colon}{separator}{value}\n"));
            }
        }
    }

    fn on_one_line(&self) -> String {
        match self {
            Self::Plain(value) => value.clone(),
            Self::List(nodes) => nodes.iter().map(Self::on_one_line).collect::<Vec<_>>().join(", "),
            Self::Object(_) => String::new(),
        }
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
        Ok(Node::Plain(if value { "yes" } else { "no" }.to_owned()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Plain(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Plain(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Plain(value.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Plain("-".to_owned()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Plain(printable(value)))
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
        while let Some(member) = object.next_entry()? {
            members.push(member);
        }
        Ok(Node::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_line_a_value_in_its_own_order() {
        let answer = r#"{"z": "a\u001b[31m", "key": {"oun": "128", "body": null}, "tags": ["b", "a"],
            "stored": true, "age_s": 1.5, "empty": [], "steps": [{"n": 1}, {"n": -2}]}"#;
        assert_eq!(
            from_json(answer).unwrap(),
            "z: a\\u{1b}[31m\nkey.oun: 128\nkey.body: -\ntags: b, a\nstored: yes\nage_s: 1.5\n\
             empty:\nsteps.0.n: 1\nsteps.1.n: -2"
        );
    }

    #[test]
    fn whatever_json_comes_is_shown() {
        assert_eq!(from_json("{}").unwrap(), "");
        assert_eq!(from_json("\"done\"").unwrap(), "done");
        assert_eq!(from_json("[1,[2]]").unwrap(), "0: 1\n1: 2");
        assert!(from_json("<html>").is_err());
    }
}
