//! The place of a parameter in a body.

use std::fmt;

/// A dotted path of member names such as `searchCriteria.ProductIds`. Arrays on the way are not
/// named: `lines.ProductId` is the member of every element.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldPath(Box<[Box<str>]>);

/// A body nests no deeper than this where it is keyed, so no path is longer.
const MAX_STEPS: usize = 64;

impl FieldPath {
    /// Reads a dotted path. `None` when a step is empty or no name, or there are too many.
    pub fn parse(text: &str) -> Option<Self> {
        let steps: Box<[Box<str>]> = text.split('.').map(Box::from).collect();
        let is_name = |step: &str| {
            !step.is_empty() && step.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        (steps.len() <= MAX_STEPS && steps.iter().all(|step| is_name(step))).then_some(Self(steps))
    }

    /// The last step.
    pub fn last(&self) -> &str {
        self.0.last().map_or("", |step| step)
    }

    /// Whether this is the path of those member names. Without regard to ASCII case.
    pub fn matches<S: AsRef<str>>(&self, names: &[S]) -> bool {
        self.0.len() == names.len()
            && self.0.iter().zip(names).all(|(step, name)| step.eq_ignore_ascii_case(name.as_ref()))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}
