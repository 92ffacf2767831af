//! JSON read by other code than the code under test, with the text of its numbers and with every
//! member, repeated ones too.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Json {
    /// A number, `true`, `false` or `null`, as it is written.
    Word(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// `None` where the text is no JSON, or a string stands for no text.
    pub(super) fn read(text: &str) -> Option<Self> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        match text.bytes().next()? {
            b'{' => {
                let Members(members) = serde_json::from_str(text).ok()?;
                let read =
                    |(name, value): (String, &RawValue)| Some((name, Self::read(value.get())?));
                members.into_iter().map(read).collect::<Option<_>>().map(Self::Object)
            }
            b'[' => {
                let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                let elements = elements.into_iter().map(|element| Self::read(element.get()));
                elements.collect::<Option<_>>().map(Self::List)
            }
            b'"' => serde_json::from_str(text).ok().map(Self::Text),
            _ => {
                serde_json::from_str::<&RawValue>(text).ok()?;
                Some(Self::Word(text.to_owned()))
            }
        }
    }

    /// Whether an object within it names a member twice, ASCII case apart.
    pub(super) fn repeats_a_member(&self) -> bool {
        match self {
            Self::Word(_) | Self::Text(_) => false,
            Self::List(elements) => elements.iter().any(Self::repeats_a_member),
            Self::Object(members) => {
                let mut names: Vec<String> =
                    members.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
                names.sort_unstable();
                names.windows(2).any(|pair| pair[0] == pair[1])
                    || members.iter().any(|(_, value)| value.repeats_a_member())
            }
        }
    }
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = entries.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}
