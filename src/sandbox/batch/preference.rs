//! The preference `continue-on-error` (OData 4.01 Part 1 §8.2.8.3; RFC 7240).

use http::HeaderMap;

/// What a batch says of going on after an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ContinueOnError {
    Unsaid,
    /// With the preference as the answer repeats it.
    Off(&'static str),
    On(&'static str),
}

impl ContinueOnError {
    /// The first of the name counts (RFC 7240 §2). A value that means nothing is as good as none.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all("prefer").iter().filter_map(|line| line.to_str().ok());
        lines.flat_map(|line| line.split(',')).find_map(Self::read).unwrap_or(Self::Unsaid)
    }

    fn read(preference: &str) -> Option<Self> {
        let preference = preference.split(';').next().unwrap_or_default();
        let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
        let is_old = name.trim().eq_ignore_ascii_case("odata.continue-on-error");
        if !is_old && !name.trim().eq_ignore_ascii_case("continue-on-error") {
            return None;
        }
        let value = value.trim().trim_matches('"').to_ascii_lowercase();
        Some(match (value.as_str(), is_old) {
            ("" | "true", false) => Self::On("continue-on-error"),
            ("" | "true", true) => Self::On("odata.continue-on-error"),
            ("false", false) => Self::Off("continue-on-error=false"),
            ("false", true) => Self::Off("odata.continue-on-error=false"),
            _ => Self::Unsaid,
        })
    }

    /// Whether the batch goes on after an error: unless something else is said, one in JSON does.
    pub(super) const fn goes_on(self, is_json: bool) -> bool {
        match self {
            Self::Unsaid => is_json,
            Self::Off(_) => false,
            Self::On(_) => true,
        }
    }

    pub(super) const fn applied(self) -> Option<&'static str> {
        match self {
            Self::Unsaid => None,
            Self::Off(told) | Self::On(told) => Some(told),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_names_and_all_spellings_of_the_value_are_understood() {
        for (lines, applied, is_on) in [
            (vec![], None, false),
            (vec!["odata.continue-on-error"], Some("odata.continue-on-error"), true),
            (vec!["return=minimal, Continue-On-Error = \"true\""], Some("continue-on-error"), true),
            (vec!["respond-async", "continue-on-error;x=1"], Some("continue-on-error"), true),
            (vec!["continue-on-error=false"], Some("continue-on-error=false"), false),
            (
                vec!["odata.continue-on-error=FALSE, continue-on-error"],
                Some("odata.continue-on-error=false"),
                false,
            ),
            (vec!["continue-on-error=maybe"], None, false),
            (vec!["continue-on-errors"], None, false),
        ] {
            let mut headers = HeaderMap::new();
            for line in &lines {
                headers.append("prefer", line.parse().unwrap());
            }
            let said = ContinueOnError::of(&headers);
            assert_eq!((said.applied(), said.goes_on(false)), (applied, is_on), "{lines:?}");
        }
    }
}
