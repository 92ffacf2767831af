//! A value that never reaches a log.

use std::fmt;

/// A secret's bytes. Its `Debug` shows that there is one and nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret as read from `env:` or `file:`.
    pub const fn new(value: String) -> Self {
        Self(value)
    }

    /// The secret itself. Never to be formatted.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
