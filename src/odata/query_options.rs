//! The query of a URL.

use std::borrow::Cow;
use std::fmt;

use super::encoding::of_query_part;
use super::{Literal, UrlError};

/// Query options in canonical encoding, sorted by name, each there once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct QueryOptions<'u>(Vec<(Cow<'u, str>, Option<Cow<'u, str>>)>);

/// Retail Server answers no more than this at once, whatever `$top` says.
const MAX_PAGE: usize = 1_000;

impl<'u> QueryOptions<'u> {
    /// Reads a query. Options whose names are among `ignored` (a trailing `*` there matches any
    /// rest) are dropped, unless they are OData's own (`$…`, `@…`).
    ///
    /// # Errors
    /// When an option is given twice (`$top` and `$TOP` and `top` are one), or the encoding cannot
    /// be read.
    pub fn parse(query: Option<&'u str>, ignored: &[String]) -> Result<Self, UrlError> {
        let mut options: Vec<(Cow<'u, str>, Option<Cow<'u, str>>)> = Vec::new();
        for piece in query.unwrap_or_default().split('&').filter(|piece| !piece.is_empty()) {
            let (name, value) = match piece.split_once('=') {
                Some((name, value)) => (of_name(name)?, Some(of_query_part(value)?)),
                None => (of_name(piece)?, None),
            };
            if !is_ignored(&name, ignored) {
                options.push((name, value));
            }
        }
        options.sort_unstable_by(|(a, _), (b, _)| folded(a).cmp(folded(b)));
        if !options.is_sorted_by(|(a, _), (b, _)| folded(a).lt(folded(b))) {
            return Err(UrlError::DuplicateOption);
        }
        options.sort_unstable();
        Ok(Self(options))
    }

    /// The options in order: names and values in canonical encoding.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(name, value)| (&**name, value.as_deref()))
    }

    /// How many things asked for by a list of them are answered whole, as far as `$top` and
    /// `$skip` tell. None where some are skipped, or it cannot be told.
    pub fn answered_whole(&self) -> usize {
        let mut answered_whole = MAX_PAGE;
        for (name, value) in self.iter() {
            let number = || value.and_then(|value| value.parse::<usize>().ok());
            let is = |known: &str| name.trim_start_matches('$').eq_ignore_ascii_case(known);
            if is("top") {
                answered_whole = answered_whole.min(number().unwrap_or(0));
            } else if is("skip") && number() != Some(0) || is("skiptoken") {
                return 0;
            }
        }
        answered_whole
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value that the alias `@name` stands for in the path.
    ///
    /// # Errors
    /// When it has none, or one that is not a primitive value.
    pub(super) fn alias(&self, name: &str) -> Result<Literal<'u>, UrlError> {
        let value = self
            .0
            .iter()
            .find(|(option, _)| option.strip_prefix('@') == Some(name))
            .and_then(|(_, value)| value.as_ref())
            .ok_or(UrlError::Alias)?;
        let literal = match value {
            Cow::Borrowed(value) => Literal::new(value),
            Cow::Owned(value) => Literal::new(value).map(Literal::into_owned),
        };
        match literal {
            Ok(literal) if literal.alias().is_none() => Ok(literal),
            _ => Err(UrlError::Alias),
        }
    }

    /// Takes the aliases that the path has resolved out of the options.
    ///
    /// # Errors
    /// When there are aliases that the path does not use: what they mean is not known.
    pub(super) fn take_out_aliases(&mut self, used: &[Box<str>]) -> Result<(), UrlError> {
        let is_alias = |name: &str| name.starts_with('@');
        let is_used = |name: &str| used.iter().any(|alias| name.strip_prefix('@') == Some(alias));
        if self.iter().any(|(name, _)| is_alias(name) && !is_used(name)) {
            return Err(UrlError::Alias);
        }
        self.0.retain(|(name, _)| !is_alias(name));
        Ok(())
    }

    /// Whether the alias `@name` may be meant in an option's value.
    pub(super) fn mention(&self, name: &str) -> bool {
        let alias = format!("@{name}");
        self.iter().any(|(_, value)| value.is_some_and(|value| value.contains(&alias)))
    }
}

/// The options as they are sent, without a question mark.
impl fmt::Display for QueryOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.iter().enumerate() {
            let separator = if i == 0 { "" } else { "&" };
            write!(f, "{separator}{name}")?;
            if let Some(value) = value {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

/// A name's first `=` would end it: `$skip%3D5` is an option of that name, and `$skip=5` is not.
fn of_name(raw: &str) -> Result<Cow<'_, str>, UrlError> {
    let name = of_query_part(raw)?;
    Ok(if name.contains('=') { name.replace('=', "%3D").into() } else { name })
}

/// What makes two names one.
fn folded(name: &str) -> impl Iterator<Item = u8> {
    name.trim_start_matches('$').bytes().map(|byte| byte.to_ascii_lowercase())
}

fn is_ignored(name: &str, ignored: &[String]) -> bool {
    !name.starts_with(['$', '@'])
        && ignored.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == pattern,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(query: &str) -> Result<String, UrlError> {
        let ignored = ["utm_*".to_owned(), "gclid".to_owned()];
        QueryOptions::parse(Some(query), &ignored).map(|options| options.to_string())
    }

    #[test]
    fn order_encoding_and_tracking_do_not_count() {
        let expected = "$skip=0&$top=50&api-version=7.3";
        for query in [
            "api-version=7.3&$top=50&$skip=0",
            "%24top=50&%24skip=0&api%2Dversion=7.3",
            "&$top=50&&utm_source=mail&$skip=0&gclid=x&api-version=7.3&",
        ] {
            assert_eq!(canonical(query).unwrap(), expected, "{query}");
        }
        assert_eq!(canonical("").unwrap(), "");
    }

    #[test]
    fn an_option_given_twice_is_refused_in_any_spelling() {
        for query in ["$top=1&$top=1", "$top=1&%24top=2", "$top=1&$TOP=2", "$top=1&top=1"] {
            assert_eq!(canonical(query), Err(UrlError::DuplicateOption), "{query}");
        }
    }

    #[test]
    fn what_is_cut_is_not_answered_whole() {
        for (query, expected) in [
            ("", 1_000),
            ("api-version=7.3&$top=50&$skip=0&$count=true", 50),
            ("$TOP=5", 5),
            ("top=5", 5),
            ("$top=5000", 1_000),
            ("$top=x", 0),
            ("$top", 0),
            ("$skip=1", 0),
            ("$skip=x&$top=5", 0),
            ("skip=2&$top=5", 0),
            ("$skiptoken=0", 0),
        ] {
            let options = QueryOptions::parse(Some(query), &[]).unwrap();
            assert_eq!(options.answered_whole(), expected, "{query}");
        }
    }

    #[test]
    fn what_differs_stays_different() {
        assert_ne!(canonical("a=1%26b=2"), canonical("a=1&b=2"));
        assert_ne!(canonical("q=a+b"), canonical("q=a%20b"));
        assert_ne!(canonical("q=a+b"), canonical("q=a%2Bb"));
        assert_ne!(canonical("q"), canonical("q="));
        assert_ne!(canonical("$skip%3D5"), canonical("$skip=5"));
        assert_ne!(canonical("a%3Db=c"), canonical("a=b%3Dc"));
        assert_ne!(canonical("gclidx=1"), canonical(""));
    }
}
