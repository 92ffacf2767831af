//! Whether two answers are the same JSON: the same members and items in the same order, texts by
//! what they say, and numbers digit by digit, since floating point would hide a digit that is lost.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// The service roots by which the origin and the node are asked.
#[derive(Clone, Debug)]
pub(crate) struct Roots {
    pub(crate) origin: String,
    pub(crate) node: String,
}

impl Roots {
    /// Where the answers differ, and how. `None` where they are alike.
    pub(crate) fn difference(&self, from_origin: &[u8], from_node: &[u8]) -> Option<String> {
        if from_origin == from_node {
            return None;
        }
        let [left, right] = [from_origin, from_node].map(serde_json::from_slice::<&RawValue>);
        match (left, right) {
            (Ok(left), Ok(right)) => self.differ(left.get(), right.get(), "", "$").err(),
            // An empty answer, or one that is no JSON, was to be the same bytes.
            _ => Some("$: it is not JSON, or nothing on one side alone".to_owned()),
        }
    }

    /// Compares what stands at a place, which is a member of that name.
    fn differ(&self, left: &str, right: &str, name: &str, place: &str) -> Result<(), String> {
        if left == right {
            return Ok(());
        }
        match (Json::of(left), Json::of(right)) {
            (Json::Object(left), Json::Object(right)) => {
                let names = |members: &[(Cow<'_, str>, &RawValue)]| {
                    members.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>()
                };
                if names(&left) != names(&right) {
                    let (left, right) = (names(&left), names(&right));
                    return Err(format!("{place}: members {left:?}, not {right:?}"));
                }
                left.iter().zip(&right).try_for_each(|((name, left), (_, right))| {
                    self.differ(left.get(), right.get(), name, &format!("{place}.{name}"))
                })
            }
            (Json::Array(left), Json::Array(right)) => {
                for (n, (left, right)) in left.iter().zip(&right).enumerate() {
                    self.differ(left.get(), right.get(), "", &format!("{place}[{n}]"))?;
                }
                let (left, right) = (left.len(), right.len());
                if left == right {
                    return Ok(());
                }
                Err(format!("{place}: {left} items, not {right}"))
            }
            (Json::Text(left), Json::Text(right)) if left == right => Ok(()),
            (Json::Text(left), Json::Text(right))
                if name == "@odata.nextLink" && self.lead_alike(&left, &right) =>
            {
                Ok(())
            }
            _ => Err(format!("{place}: {left}, not {right}")),
        }
    }

    /// Links to the next page do differ: the node's lead to the node, so that the next page is asked
    /// of it too; and the origin, which repeats the query of the request, was asked by the node
    /// in canonical order.
    fn lead_alike(&self, from_origin: &str, from_node: &str) -> bool {
        fn parts<'l>(link: &'l str, root: &str) -> Option<(&'l str, BTreeSet<&'l str>)> {
            let (path, query) = link.strip_prefix(root)?.split_once('?')?;
            Some((path, query.split('&').collect()))
        }
        let from_origin = parts(from_origin, &self.origin);
        from_origin.is_some() && from_origin == parts(from_node, &self.node)
    }
}

/// One level of a document.
enum Json<'a> {
    Object(Vec<(Cow<'a, str>, &'a RawValue)>),
    Array(Vec<&'a RawValue>),
    Text(String),
    /// A number, `true`, `false` or `null`, as it is written.
    Word,
}

impl<'a> Json<'a> {
    fn of(text: &'a str) -> Self {
        match text.as_bytes()[0] {
            b'{' => {
                let mut document = serde_json::Deserializer::from_str(text);
                Self::Object(document.deserialize_map(Members).unwrap())
            }
            b'[' => Self::Array(serde_json::from_str(text).unwrap()),
            b'"' => Self::Text(serde_json::from_str(text).unwrap()),
            _ => Self::Word,
        }
    }
}

struct Members;

#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((Name(name), value)) = object.next_entry::<Name<'de>, _>()? {
            members.push((name, value));
        }
        Ok(members)
    }
}

#[test]
fn a_difference_is_seen_whatever_it_is_in() {
    let roots = Roots { origin: "http://a/C".into(), node: "http://b/C".into() };
    let differ =
        |left: &str, right: &str| roots.difference(left.as_bytes(), right.as_bytes()).is_some();
    for (left, right) in [
        (r#"{"a": [1, 2]}"#, r#"{"a":[1,2]}"#),
        (r#"{"a":"\u0041"}"#, r#"{"a":"A"}"#),
        (
            r#"{"@odata.nextLink":"http://a/C/X?$skip=1&a=2"}"#,
            r#"{"@odata.nextLink":"http://b/C/X?a=2&$skip=1"}"#,
        ),
        ("", ""),
    ] {
        assert!(!differ(left, right), "{left} {right}");
    }
    for (left, right) in [
        ("[1,2]", "[2,1]"),
        ("[1,2]", "[1]"),
        ("[1]", "[1,1]"),
        ("[1.0]", "[1]"),
        ("[12345678901234567890.1]", "[12345678901234567890.2]"),
        (r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#),
        (r#"{"a":1}"#, r#"{"a":1,"a":1}"#),
        (r#"{"a":null}"#, "{}"),
        (r#"{"a":"1"}"#, r#"{"a":1}"#),
        (r#"{"@odata.context":"http://a/C/X?a"}"#, r#"{"@odata.context":"http://b/C/X?a"}"#),
        (
            r#"{"@odata.nextLink":"http://a/C/X?$skip=1"}"#,
            r#"{"@odata.nextLink":"http://a/C/X?$skip=2"}"#,
        ),
        ("", "{}"),
    ] {
        assert!(differ(left, right), "{left} {right}");
    }
}
