//! The two languages of the stand-in: en-US, the default, and nb-NO.

/// A language that names, labels and error texts come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Language {
    English,
    Norwegian,
}

impl Language {
    pub(crate) const ALL: [Self; 2] = [Self::English, Self::Norwegian];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::English => "en-US",
            Self::Norwegian => "nb-NO",
        }
    }

    /// The best of both for an `Accept-Language` (RFC 9110 §12.5.4); English where it asks for
    /// neither.
    pub(crate) fn negotiate(accept_language: &str) -> Self {
        let mut best = (Self::English, 0.0_f32);
        for range in accept_language.split(',') {
            let mut parts = range.split(';');
            let tag = parts.next().unwrap_or_default().trim();
            let weight = parts
                .find_map(|parameter| parameter.trim().strip_prefix("q=")?.trim().parse().ok())
                .unwrap_or(1.0_f32);
            let primary = tag.split('-').next().unwrap_or_default();
            let language = match primary.to_ascii_lowercase().as_str() {
                "nb" | "no" => Self::Norwegian,
                "en" | "*" => Self::English,
                _ => continue,
            };
            if weight > best.1 {
                best = (language, weight);
            }
        }
        best.0
    }
}

/// A text in both languages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    english: &'static str,
    norwegian: &'static str,
}

/// A text from its English and its Norwegian wording.
pub(crate) const fn text(english: &'static str, norwegian: &'static str) -> Text {
    Text { english, norwegian }
}

impl Text {
    pub(crate) const fn say(self, language: Language) -> &'static str {
        match language {
            Language::English => self.english,
            Language::Norwegian => self.norwegian,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_of_the_greatest_weight_wins_and_english_where_none_is_known() {
        for (header, language) in [
            ("", Language::English),
            ("nb-NO", Language::Norwegian),
            ("sv-SE, nb;q=0.4", Language::Norwegian),
            ("nb;q=0.2, en-GB;q=0.9", Language::English),
            ("fr", Language::English),
            ("no", Language::Norwegian),
        ] {
            assert_eq!(Language::negotiate(header), language, "{header}");
        }
    }
}
