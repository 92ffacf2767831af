//! What a request asks for, as the counts and the faults know it.

use super::operations::{OPERATIONS, position};

/// The name of the batch endpoint, as it stands in the URL.
pub(crate) const BATCH: &str = "$batch";
/// What is counted for requests that are no operation: `$metadata`, the health check, unknown paths.
pub(crate) const OTHER: &str = "other";

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Subject {
    /// A position in [`OPERATIONS`].
    Operation(usize),
    Batch,
    Other,
}

impl Subject {
    /// Every subject, in the order of their places.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..OPERATIONS.len()).map(Self::Operation).chain([Self::Batch, Self::Other])
    }

    /// An operation's name, or `$batch`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        if name == BATCH { Some(Self::Batch) } else { position(name).map(Self::Operation) }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Operation(index) => OPERATIONS.get(index).map_or(OTHER, |o| o.name),
            Self::Batch => BATCH,
            Self::Other => OTHER,
        }
    }

    pub(crate) fn place(self) -> usize {
        match self {
            Self::Operation(index) => index,
            Self::Batch => OPERATIONS.len(),
            Self::Other => OPERATIONS.len() + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_has_a_place_of_its_own_and_is_found_by_its_name() {
        for (place, subject) in Subject::all().enumerate() {
            assert_eq!(subject.place(), place);
            let named = Subject::named(subject.name());
            assert_eq!(named, Some(subject).filter(|subject| *subject != Subject::Other));
        }
    }
}
