//! Reading OData URLs (OData 4.01 Part 2, *URL Conventions*): resource paths and query options.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Number, Value};

/// One segment of a resource path: `Products(68719489871)`, `GetById(channelId=5637154326)`.
#[derive(Debug, PartialEq)]
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) arguments: Arguments,
}

/// What stands between a segment's parentheses.
#[derive(Debug, PartialEq)]
pub(crate) enum Arguments {
    /// No parentheses, or empty ones.
    None,
    /// One value with no name: a simple key.
    Single(Literal),
    /// Named values: a compound key, or a function's parameters.
    Named(Vec<(String, Literal)>),
}

/// A value in a URL.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Plain(Value),
    /// `@p1`: the query says what it stands for (§5.3.3).
    Alias(String),
}

/// Splits a percent-encoded resource path into its segments. `None` when it cannot be read.
pub(crate) fn parse_path(path: &str) -> Option<Vec<Segment>> {
    split_outside(path, '/')
        .into_iter()
        .filter(|raw| !raw.is_empty())
        .map(|raw| parse_segment(&decode(raw)?))
        .collect()
}

fn parse_segment(segment: &str) -> Option<Segment> {
    let Some((name, rest)) = segment.split_once('(') else {
        return Some(Segment { name: segment.to_owned(), arguments: Arguments::None });
    };
    let inside = rest.strip_suffix(')')?;
    Some(Segment { name: name.to_owned(), arguments: parse_arguments(inside)? })
}

fn parse_arguments(inside: &str) -> Option<Arguments> {
    if inside.trim().is_empty() {
        return Some(Arguments::None);
    }
    let parts = split_outside(inside, ',');
    if let [only] = parts.as_slice()
        && split_outside(only, '=').len() == 1
    {
        return parse_literal(only).map(Arguments::Single);
    }
    let named = parts.into_iter().map(|part| {
        let mut sides = part.splitn(2, '=');
        let name = sides.next()?.trim();
        Some((name.to_owned(), parse_literal(sides.next()?)?))
    });
    named.collect::<Option<Vec<_>>>().map(Arguments::Named)
}

/// Reads a literal: a quoted string, a number, `true`, `false`, `null`, an alias, JSON, or a bare
/// word such as a date, which is taken as text.
pub(crate) fn parse_literal(text: &str) -> Option<Literal> {
    let text = text.trim();
    if let Some(alias) = text.strip_prefix('@') {
        return Some(Literal::Alias(alias.to_owned()));
    }
    if let Some(quoted) = text.strip_prefix('\'') {
        let inner = quoted.strip_suffix('\'')?;
        let unescaped = inner.replace("''", "\u{0}");
        if unescaped.contains('\'') {
            return None;
        }
        return Some(Literal::Plain(Value::String(unescaped.replace('\u{0}', "'"))));
    }
    let value = match text {
        "" => return None,
        "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ if text.starts_with(['[', '{']) => serde_json::from_str(text).ok()?,
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    };
    Some(Literal::Plain(value))
}

/// A number as JSON has it: an int64 where it is one, bit for bit.
pub(crate) fn number(text: &str) -> Option<Number> {
    if let Ok(integer) = text.parse::<i64>() {
        return Some(integer.into());
    }
    let starts_like_one = text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.');
    if !starts_like_one { None } else { Number::from_f64(text.parse().ok()?) }
}

/// Splits at `separator` where it stands outside quotes, parentheses, brackets and braces.
fn split_outside(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth, mut quoted) = (0, 0_u32, false);
    for (at, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' | '{' => depth = depth.saturating_add(1),
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ if c == separator && depth == 0 => {
                parts.push(text.get(start..at).unwrap_or_default());
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

fn decode(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(String::from)
}

/// The query of a URL: options in the order they came, decoded, beside their raw spelling.
#[derive(Debug, Default)]
pub(crate) struct Query {
    options: Vec<QueryOption>,
}

#[derive(Debug)]
struct QueryOption {
    raw: String,
    name: String,
    value: String,
}

impl Query {
    /// `None` when it is not UTF-8 after decoding.
    pub(crate) fn parse(query: &str) -> Option<Self> {
        let options = query.split('&').filter(|raw| !raw.is_empty()).map(|raw| {
            let (name, value) = raw.split_once('=').unwrap_or((raw, ""));
            Some(QueryOption {
                raw: raw.to_owned(),
                name: decode(&name.replace('+', " "))?,
                value: decode(&value.replace('+', " "))?,
            })
        });
        Some(Self { options: options.collect::<Option<_>>()? })
    }

    /// The value of the option of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|option| option.name == name).map(|option| option.value.as_str())
    }

    /// The names in their order, for a check of what may stand there.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.options.iter().map(|option| option.name.as_str())
    }

    /// The query with some options replaced and everything else as the client spelt it.
    pub(crate) fn with(&self, replacements: &[(&str, Option<String>)]) -> String {
        let kept = self.options.iter().filter(|option| {
            !replacements.iter().any(|(name, _)| option.name.eq_ignore_ascii_case(name))
        });
        let new = replacements
            .iter()
            .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={value}")));
        kept.map(|option| option.raw.clone()).chain(new).collect::<Vec<_>>().join("&")
    }
}

/// Puts the query's values in the place of aliases; an alias that the query does not define is
/// null (§5.3.3).
pub(crate) fn resolve(
    arguments: Vec<(String, Literal)>,
    query: &Query,
) -> Option<Map<String, Value>> {
    let resolved =
        arguments.into_iter().map(|(name, literal)| Some((name, resolve_literal(literal, query)?)));
    resolved.collect()
}

/// The value of one literal.
pub(crate) fn resolve_literal(literal: Literal, query: &Query) -> Option<Value> {
    match literal {
        Literal::Plain(value) => Some(value),
        Literal::Alias(alias) => match query.get(&format!("@{alias}")) {
            None => Some(Value::Null),
            Some(text) => match parse_literal(text)? {
                Literal::Plain(value) => Some(value),
                Literal::Alias(_) => None,
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_is_split_into_names_keys_and_parameters() {
        let path =
            "Products(68719489871)/SearchByText(channelId=1,searchText='a%2Fb''s, (x)',to=@p1)";
        let segments = parse_path(path).unwrap();
        assert_eq!(segments.len(), 2);
        assert_eq!(segments[0].name, "Products");
        let key = json!(68_719_489_871_i64);
        assert_eq!(segments[0].arguments, Arguments::Single(Literal::Plain(key)));
        let Arguments::Named(named) = &segments[1].arguments else { panic!("{segments:?}") };
        assert_eq!(named[1], ("searchText".into(), Literal::Plain(json!("a/b's, (x)"))));
        assert_eq!(named[2], ("to".into(), Literal::Alias("p1".into())));
    }

    #[test]
    fn a_key_that_holds_an_equals_sign_is_still_one_key() {
        let segments = parse_path("Carts('a=b')").unwrap();
        assert_eq!(segments[0].arguments, Arguments::Single(Literal::Plain(json!("a=b"))));
    }

    #[test]
    fn what_cannot_be_read_is_refused_and_never_guessed() {
        for path in ["Products(", "Products('a)", "Products('a'b')", "Products(a=)", "%ff"] {
            assert_eq!(parse_path(path), None, "{path}");
        }
    }

    #[test]
    fn a_replaced_option_leaves_the_others_as_they_were_spelt() {
        let query = Query::parse("%24top=5&api-version=7.3&@p1='a%20b'").unwrap();
        assert_eq!(query.get("$top"), Some("5"));
        let next = query.with(&[("$top", None), ("$skip", Some("5".into()))]);
        assert_eq!(next, "api-version=7.3&@p1='a%20b'&$skip=5");
    }

    #[test]
    fn integers_above_two_to_the_53_keep_every_digit() {
        assert_eq!(number("9007199254740993").unwrap().to_string(), "9007199254740993");
    }
}
