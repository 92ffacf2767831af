//! The ids that an exchange names.

use std::fmt;

use crate::operation::IdKind;

/// One id. Numbers and the strings that write them the same are one, since clients differ there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Id {
    /// A RecId, or anything that looks like one.
    Number(i64),
    /// Anything else.
    Text(Box<str>),
}

impl Id {
    /// The id that a text writes; `None` for an empty one, which names nothing.
    pub fn of_text(text: &str) -> Option<Self> {
        // `007` and `+7` are item numbers of their own.
        let is_plain = |digits: &str| !digits.is_empty() && !digits.starts_with(['0', '+']);
        match text.parse() {
            Ok(number) if text == "0" || is_plain(text.trim_start_matches('-')) => {
                Some(Self::Number(number))
            }
            _ if text.is_empty() => None,
            _ => Some(Self::Text(text.into())),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

const KINDS: usize = IdKind::ALL.len();

/// Ids by kind. After [`Ids::settle`], each is there once, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ids([Vec<Id>; KINDS]);

impl Ids {
    /// Adds an id. One that names nothing (0, save as a catalogue) is left out. Returns whether
    /// the list has grown.
    pub fn add(&mut self, kind: IdKind, id: Id) -> bool {
        if id == Id::Number(0) && !kind.has_zero() {
            return false;
        }
        let ids = self.of_mut(kind);
        // Neighbours often name the same channel, catalogue or item.
        if ids.last() == Some(&id) {
            return false;
        }
        ids.push(id);
        true
    }

    /// The ids of a kind.
    #[allow(clippy::indexing_slicing, reason = "one element for each variant of `IdKind`")]
    pub fn of(&self, kind: IdKind) -> &[Id] {
        &self.0[kind as usize]
    }

    #[allow(clippy::indexing_slicing, reason = "one element for each variant of `IdKind`")]
    fn of_mut(&mut self, kind: IdKind) -> &mut Vec<Id> {
        &mut self.0[kind as usize]
    }

    /// Adds those of another collection.
    pub fn extend(&mut self, other: Self) {
        for (ids, others) in self.0.iter_mut().zip(other.0) {
            ids.extend(others);
        }
    }

    /// Puts the ids in order and drops repetitions.
    pub fn settle(&mut self) {
        for ids in &mut self.0 {
            ids.sort_unstable();
            ids.dedup();
        }
    }
}
