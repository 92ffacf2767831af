//! What is to be purged, and how.

use crate::operation::Class;
use crate::tag::Tag;

/// Whether what is purged may still serve while it is revalidated or the origin fails.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PurgeMode {
    /// Never served again.
    Hard,
    /// Stale: usable under stale-while-revalidate and stale-if-error.
    Soft,
}

impl PurgeMode {
    /// The mode as written in requests and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hard => "hard",
            Self::Soft => "soft",
        }
    }

    /// The mode of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Hard, Self::Soft].into_iter().find(|mode| mode.as_str() == name)
    }

    /// How a class is purged when nobody says otherwise.
    pub const fn for_class(class: Class) -> Self {
        if class.is_strict() { Self::Hard } else { Self::Soft }
    }

    /// How a tag is purged when nobody says otherwise: by its class, and `*` hard.
    pub fn for_tag(tag: &Tag) -> Self {
        let class = tag.as_str().split_once('/').and_then(|(class, _)| Class::parse(class));
        class.map_or(Self::Hard, Self::for_class)
    }
}

/// Tags to be purged together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PurgeRequest {
    /// Tags whose answers are never served again.
    pub hard: Vec<Tag>,
    /// Tags whose answers become stale.
    pub soft: Vec<Tag>,
}

impl PurgeRequest {
    /// A hard purge of one tag.
    pub fn of(tag: Tag) -> Self {
        Self { hard: vec![tag], soft: Vec::new() }
    }

    /// Whether the request names no tag at all.
    pub fn is_empty(&self) -> bool {
        self.hard.is_empty() && self.soft.is_empty()
    }

    /// Adds one tag in the given mode.
    pub fn push(&mut self, tag: Tag, mode: PurgeMode) {
        match mode {
            PurgeMode::Hard => self.hard.push(tag),
            PurgeMode::Soft => self.soft.push(tag),
        }
    }

    /// How many tags the request names.
    pub fn len(&self) -> usize {
        self.hard.len() + self.soft.len()
    }

    /// Adds another request's tags.
    pub fn merge(&mut self, other: Self) {
        self.hard.extend(other.hard);
        self.soft.extend(other.soft);
    }

    /// Leaves each tag once; what is purged hard need not be purged softly too.
    pub fn deduplicate(&mut self) {
        for tags in [&mut self.hard, &mut self.soft] {
            tags.sort_unstable();
            tags.dedup();
        }
        let hard = &self.hard;
        self.soft.retain(|tag| hard.binary_search(tag).is_err());
    }

    /// The same tags in requests of at most `most` tags each.
    pub fn pieces(&self, most: usize) -> impl Iterator<Item = Self> {
        let hard = self.hard.chunks(most).map(|tags| Self { hard: tags.to_vec(), soft: vec![] });
        let soft = self.soft.chunks(most).map(|tags| Self { hard: vec![], soft: tags.to_vec() });
        hard.chain(soft)
    }
}
