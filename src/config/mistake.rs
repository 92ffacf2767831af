//! What is wrong with a configuration, and where.

use std::fmt;

/// Where a mistake stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    /// The file as a whole.
    File,
    /// A place in the file.
    Position {
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
    },
    /// An environment variable of this name.
    Variable(String),
}

/// One mistake. Neither it nor its text ever holds a secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Mistake {
    /// Where it stands.
    pub place: Place,
    /// The dotted key it concerns, such as `listen.storefront`; absent for the file as a whole.
    pub key: Option<String>,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// Every mistake of a configuration, in the order of the file, then of the environment.
///
/// Written out, each stands on a line of its own, as `config.toml:12:5: key: message`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigErrors {
    source_name: String,
    mistakes: Vec<Mistake>,
}

impl ConfigErrors {
    pub(super) fn new(source_name: &str, mut mistakes: Vec<Mistake>) -> Self {
        mistakes.sort();
        Self { source_name: source_name.to_owned(), mistakes }
    }

    /// The mistakes; at least one.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            match &mistake.place {
                Place::File => write!(f, "{}: ", self.source_name)?,
                Place::Position { line, column } => {
                    write!(f, "{}:{line}:{column}: ", self.source_name)?;
                }
                Place::Variable(name) => write!(f, "environment variable {name}: ")?,
            }
            if let Some(key) = &mistake.key {
                write!(f, "{key}: ")?;
            }
            f.write_str(&mistake.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// The known name that was probably meant by an unknown one.
pub(super) fn nearest<'n>(
    unknown: &str,
    known: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    let tolerance = (unknown.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(unknown, name), name))
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
