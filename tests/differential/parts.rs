//! The answers of a batch, one by one.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::support::node::Got;

/// The length of the ids that carts and their lines have, in hexadecimal digits.
const ID_DIGITS: usize = 32;

/// An answer in a batch's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    /// Whether it stands in the answer to a change set; or in which group.
    pub(crate) group: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) body: String,
}

impl Part {
    /// All but what it says.
    pub(crate) fn outside(&self) -> impl PartialEq + std::fmt::Debug {
        (self.group.clone(), self.id.clone(), self.status, self.content_type.clone())
    }
}

/// The answers in their order. Ids that the stand-in gave on the way are told by which came first.
pub(crate) fn parts(got: &Got) -> Vec<Part> {
    let content_type = got.header("content-type").unwrap();
    let text = got.text();
    let mut parts = match content_type.starts_with("multipart/mixed") {
        true => multipart(&text, content_type, None),
        false => json(&text),
    };
    let mut known = Vec::new();
    for part in &mut parts {
        part.body = with_ids_named(&part.body, &mut known);
    }
    parts
}

fn multipart(text: &str, content_type: &str, group: Option<&str>) -> Vec<Part> {
    let boundary = content_type.split_once("boundary=").unwrap().1;
    let boundary = boundary.lines().next().unwrap().trim_matches('"');
    let (text, after) = text.split_once(&format!("--{boundary}--")).unwrap();
    assert_eq!(after.trim(), "");
    let delimiter = format!("--{boundary}\r\n");
    let contents = text.split(delimiter.as_str()).skip(1);
    let contents = contents.map(|content| content.strip_suffix("\r\n").unwrap());
    contents
        .flat_map(|content| {
            let (fields, rest) = content.split_once("\r\n\r\n").unwrap();
            if fields.contains("multipart/mixed") {
                return multipart(rest, fields, Some("set"));
            }
            let (head, body) = rest.split_once("\r\n\r\n").unwrap();
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            vec![Part {
                group: group.map(str::to_owned),
                id: field(fields, "content-id"),
                status,
                content_type: field(head, "content-type"),
                body: body.to_owned(),
            }]
        })
        .collect()
}

fn field(head: &str, name: &str) -> Option<String> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let mut values = fields.filter(|(found, _)| found.eq_ignore_ascii_case(name));
    values.next().map(|(_, value)| value.trim().to_owned())
}

#[derive(Deserialize)]
struct Answers<'a> {
    #[serde(borrow)]
    responses: Vec<Answer<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    id: String,
    status: u16,
    atomicity_group: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

fn json(text: &str) -> Vec<Part> {
    let answers: Answers<'_> = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let part = |answer: Answer<'_>| Part {
        group: answer.atomicity_group,
        id: Some(answer.id),
        status: answer.status,
        content_type: answer.headers.get("content-type").cloned(),
        body: answer.body.map_or("", RawValue::get).to_owned(),
    };
    answers.responses.into_iter().map(part).collect()
}

/// Each id by its place among those that are `known`.
pub(crate) fn with_ids_named(text: &str, known: &mut Vec<String>) -> String {
    let is_digit = |c: char| c.is_ascii_digit() || ('A'..='F').contains(&c);
    let mut named = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_digit) {
        let (before, from) = rest.split_at(start);
        let (word, after) = from.split_at(from.find(|c| !is_digit(c)).unwrap_or(from.len()));
        named += before;
        if word.len() == ID_DIGITS {
            let place = known.iter().position(|id| id == word).unwrap_or_else(|| {
                known.push(word.to_owned());
                known.len() - 1
            });
            named += &format!("id-{place}");
        } else {
            named += word;
        }
        rest = after;
    }
    named + rest
}
