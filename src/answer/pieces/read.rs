//! Where the items of an answer stand, and what each of them is of.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Unfit;
use crate::dependency::Id;
use crate::operation::Decomposition;

/// Annotations that are the same for every part of an answer (OData JSON Format 4.01 §4.6).
const SAME_FOR_ALL: [&str; 3] = ["context", "type", "metadataetag"];

/// One item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Item {
    pub(super) id: Id,
    /// Its bytes in the body.
    pub(super) range: Range<usize>,
}

/// One array of items.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Items {
    /// What is within its brackets.
    pub(super) within: Range<usize>,
    pub(super) list: Vec<Item>,
}

/// The arrays of items, in the order of the body.
pub(super) fn arrays(body: &[u8], decomposition: &Decomposition) -> Result<Vec<Items>, Unfit> {
    let text = std::str::from_utf8(body).map_err(|_| Unfit::Malformed)?;
    let members = members(text)?;
    let is_items = |name: &str| decomposition.items.iter().any(|items| **items == *name);
    let (arrays, others): (Vec<_>, Vec<_>) =
        members.into_iter().partition(|(name, _)| is_items(name));
    let links_on = others.iter().any(|(name, _)| term(name).as_deref() == Some("nextlink"));
    if !links_on && !others.iter().all(|(name, value)| is_same_for_all(name, value.get())) {
        return Err(Unfit::Member);
    }
    let is_there_once =
        |name: &str| arrays.iter().filter(|(there, _)| *there == *name).count() == 1;
    if !decomposition.items.iter().all(|name| is_there_once(name)) {
        return Err(Unfit::Items);
    }
    let read = |(_, value): (_, &RawValue)| items(text, value, decomposition);
    let arrays = arrays.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    match links_on {
        true => Err(Unfit::Page(arrays.iter().map(|items| items.list.len()).max().unwrap_or(0))),
        false => Ok(arrays),
    }
}

/// The members of the object that the body is.
fn members(text: &str) -> Result<Vec<(Cow<'_, str>, &RawValue)>, Unfit> {
    struct Members;
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
    let mut document = serde_json::Deserializer::from_str(text);
    let members = document.deserialize_map(Members).map_err(|_| Unfit::Malformed)?;
    document.end().map_err(|_| Unfit::Malformed)?;
    Ok(members)
}

/// A member's name, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Whether a member beside the items is the same for each of them: a known annotation, or nothing.
fn is_same_for_all(name: &str, value: &str) -> bool {
    match term(name) {
        Some(term) => SAME_FOR_ALL.contains(&&*term),
        None => {
            let inner = value.strip_prefix(['[', '{']).and_then(|v| v.strip_suffix([']', '}']));
            value == "null" || inner.is_some_and(|inner| inner.trim().is_empty())
        }
    }
}

/// What an annotation says, in lower case and without its namespace.
fn term(name: &str) -> Option<String> {
    let term = name.rsplit_once('@')?.1.to_ascii_lowercase();
    Some(term.strip_prefix("odata.").map_or_else(|| term.clone(), str::to_owned))
}

fn items(text: &str, array: &RawValue, decomposition: &Decomposition) -> Result<Items, Unfit> {
    let list: Vec<&RawValue> = serde_json::from_str(array.get()).map_err(|_| Unfit::Items)?;
    let whole = place(text, array.get());
    let list = list.into_iter().map(|item| {
        let id = id_of(item.get(), &decomposition.item_id).ok_or(Unfit::Stranger)?;
        Ok(Item { id, range: place(text, item.get()) })
    });
    let list = list.collect::<Result<_, _>>()?;
    Ok(Items { within: whole.start + 1..whole.end - 1, list })
}

/// Where a text that is borrowed from another stands in it.
fn place(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
    start..start + part.len()
}

/// The id that an item names in that member.
fn id_of(item: &str, member: &str) -> Option<Id> {
    struct Named<'m>(&'m str);
    impl<'de> Visitor<'de> for Named<'_> {
        type Value = Option<Id>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
            let mut id = None;
            while let Some(Name(name)) = object.next_key::<Name<'de>>()? {
                if *name == *self.0 {
                    let value: &RawValue = object.next_value()?;
                    id = match serde_json::from_str::<Cow<'_, str>>(value.get()) {
                        Ok(text) => Id::of_text(&text),
                        Err(_) => Id::of_text(value.get()),
                    };
                } else {
                    object.next_value::<IgnoredAny>()?;
                }
            }
            Ok(id)
        }
    }
    let mut document = serde_json::Deserializer::from_str(item);
    document.deserialize_map(Named(member)).ok().flatten()
}
