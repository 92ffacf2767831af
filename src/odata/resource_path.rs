//! The path of a URL below the service root.

use std::borrow::Cow;
use std::fmt;

use http::Method;

use super::encoding::of_path_segment;
use super::{Literal, QueryOptions, UrlError, is_identifier};

/// `[EntitySet[(key)]/]Operation[(parameters)]`. What came in canonical encoding is borrowed from the
/// URL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResourcePath<'u> {
    binding: Option<Segment<'u>>,
    operation: Segment<'u>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Segment<'u> {
    name: Cow<'u, str>,
    arguments: Arguments<'u>,
}

/// What stands in a segment's parentheses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Arguments<'u> {
    /// There are no parentheses.
    Absent,
    /// A key of one part: `(68719489871)`, `('128')`.
    Key(Literal<'u>),
    /// A compound key or a function's parameters, sorted by name; empty for `()`.
    Named(Vec<(Cow<'u, str>, Literal<'u>)>),
}

/// No operation has as many parameters.
const MAX_ARGUMENTS: usize = 64;

impl<'u> ResourcePath<'u> {
    /// Reads the path below the service root, without a leading slash. It is decoded once, after
    /// it was taken apart at its slashes.
    ///
    /// # Errors
    /// What cannot be read, or could be read in two ways: see [`UrlError`].
    pub fn parse(path_below_root: &'u str) -> Result<Self, UrlError> {
        let mut segments = path_below_root.split('/').map(Segment::parse);
        let first = segments.next().ok_or(UrlError::Depth)??;
        let second = segments.next().transpose()?;
        if segments.next().is_some() {
            return Err(UrlError::Depth);
        }
        Ok(match second {
            None => Self { binding: None, operation: first },
            Some(operation) => Self { binding: Some(first), operation },
        })
    }

    /// The entity set that the operation is bound to.
    pub fn entity_set(&self) -> Option<&str> {
        self.binding.as_ref().map(|binding| &*binding.name)
    }

    /// The operation's name; an entity set's, where nothing but one is asked for.
    pub fn operation(&self) -> &str {
        &self.operation.name
    }

    /// The key predicate of the entity set.
    pub fn key(&self) -> &Arguments<'u> {
        self.binding.as_ref().map_or(&Arguments::Absent, |binding| &binding.arguments)
    }

    /// The parameters of the function.
    pub fn parameters(&self) -> &Arguments<'u> {
        &self.operation.arguments
    }

    /// Whether the last segment is a call with this method and not an entity's key: a function
    /// (GET) may have parameters, an action (POST) has them in its body.
    pub(crate) fn can_be_called_by(&self, method: &Method) -> bool {
        match &self.operation.arguments {
            Arguments::Absent => true,
            Arguments::Key(_) => false,
            Arguments::Named(parameters) => parameters.is_empty() || *method == Method::GET,
        }
    }

    /// Puts the values of parameter aliases in the place of the aliases, and takes these out of
    /// the query options.
    ///
    /// # Errors
    /// [`UrlError::Alias`] when an alias has no primitive value or is not used in the path alone.
    pub fn resolve_aliases(&mut self, options: &mut QueryOptions<'u>) -> Result<(), UrlError> {
        let mut used: Vec<Box<str>> = Vec::new();
        let mut sent = 0;
        let segments = self.binding.iter_mut().chain([&mut self.operation]);
        for literal in segments.flat_map(Segment::literals_mut) {
            if let Some(alias) = literal.alias().map(Box::from) {
                *literal = options.alias(&alias)?;
                used.push(alias);
            }
            sent += usize::from(!literal.is_safe_in_path());
        }
        options.take_out_aliases(&used)?;
        // Nor may an option say by chance what is an alias only in what is sent.
        let is_mentioned = used.iter().any(|alias| options.mention(alias))
            || (1..=sent).any(|number| options.mention(&alias_sent(number)));
        if is_mentioned { Err(UrlError::Alias) } else { Ok(()) }
    }

    /// The request target below the service root: the path and the query options. Values that a
    /// path cannot carry safely go through aliases `@p1`, `@p2`, …, whichever way they came, so
    /// the result depends on the question alone. Aliases must have been resolved.
    pub fn target(&self, options: &QueryOptions<'_>) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            let mut aliases = Vec::new();
            if let Some(binding) = &self.binding {
                binding.write(f, &mut aliases)?;
                f.write_str("/")?;
            }
            self.operation.write(f, &mut aliases)?;
            let mut separator = '?';
            if !options.is_empty() {
                write!(f, "{separator}{options}")?;
                separator = '&';
            }
            for (i, value) in aliases.iter().enumerate() {
                write!(f, "{separator}@{}={}", alias_sent(i + 1), value.as_str())?;
                separator = '&';
            }
            Ok(())
        })
    }
}

/// The path with every value in its place, in canonical encoding: the form for the key.
impl fmt::Display for ResourcePath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(binding) = &self.binding {
            write!(f, "{binding}/")?;
        }
        write!(f, "{}", self.operation)
    }
}

impl fmt::Display for Segment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.arguments {
            Arguments::Absent => Ok(()),
            Arguments::Key(value) => write!(f, "({})", value.as_str()),
            Arguments::Named(arguments) => {
                f.write_str("(")?;
                for (i, (name, value)) in arguments.iter().enumerate() {
                    let separator = if i == 0 { "" } else { "," };
                    write!(f, "{separator}{name}={}", value.as_str())?;
                }
                f.write_str(")")
            }
        }
    }
}

impl<'u> Segment<'u> {
    fn parse(raw: &'u str) -> Result<Self, UrlError> {
        match of_path_segment(raw)? {
            Cow::Borrowed(canonical) => Self::read(canonical),
            Cow::Owned(canonical) => Segment::read(&canonical).map(Segment::into_owned),
        }
    }

    fn read(canonical: &'u str) -> Result<Self, UrlError> {
        let (name, rest) = match canonical.find('(') {
            Some(at) => canonical.split_at(at),
            None => (canonical, ""),
        };
        if !is_identifier(name) {
            return Err(UrlError::Name);
        }
        let arguments = match rest.strip_prefix('(') {
            None => Arguments::Absent,
            Some(")") => Arguments::Named(Vec::new()),
            Some(list) => read_arguments(list)?,
        };
        Ok(Self { name: name.into(), arguments })
    }

    fn into_owned(self) -> Segment<'static> {
        let owned = |name: Cow<'_, str>| Cow::Owned(name.into_owned());
        let arguments = match self.arguments {
            Arguments::Absent => Arguments::Absent,
            Arguments::Key(value) => Arguments::Key(value.into_owned()),
            Arguments::Named(arguments) => {
                let named = arguments.into_iter();
                Arguments::Named(named.map(|(name, v)| (owned(name), v.into_owned())).collect())
            }
        };
        Segment { name: owned(self.name), arguments }
    }

    fn literals_mut(&mut self) -> impl Iterator<Item = &mut Literal<'u>> {
        let (key, named) = match &mut self.arguments {
            Arguments::Absent => (None, None),
            Arguments::Key(value) => (Some(value), None),
            Arguments::Named(arguments) => (None, Some(arguments.iter_mut().map(|(_, v)| v))),
        };
        key.into_iter().chain(named.into_iter().flatten())
    }

    fn write<'a>(
        &'a self,
        f: &mut fmt::Formatter<'_>,
        aliases: &mut Vec<&'a Literal<'u>>,
    ) -> fmt::Result {
        let mut write_value = |f: &mut fmt::Formatter<'_>, value: &'a Literal<'u>| {
            if value.is_safe_in_path() {
                f.write_str(value.as_str())
            } else {
                aliases.push(value);
                write!(f, "@{}", alias_sent(aliases.len()))
            }
        };
        f.write_str(&self.name)?;
        match &self.arguments {
            Arguments::Absent => Ok(()),
            Arguments::Key(value) => {
                f.write_str("(")?;
                write_value(f, value)?;
                f.write_str(")")
            }
            Arguments::Named(arguments) => {
                for (i, (name, value)) in arguments.iter().enumerate() {
                    write!(f, "{}{name}=", if i == 0 { '(' } else { ',' })?;
                    write_value(f, value)?;
                }
                f.write_str(if arguments.is_empty() { "()" } else { ")" })
            }
        }
    }
}

/// The name of the alias by which a value is sent, counted from 1.
fn alias_sent(number: usize) -> String {
    format!("p{number}")
}

/// Reads what follows an opening parenthesis, up to the closing one at the segment's end.
fn read_arguments(list: &str) -> Result<Arguments<'_>, UrlError> {
    let mut named: Vec<(Cow<'_, str>, Literal<'_>)> = Vec::new();
    let mut rest = list;
    loop {
        let Some((name, value)) = split_name(rest) else {
            let (value, end) = Literal::split_off(rest)?;
            return match (named.is_empty(), end) {
                (true, ")") => Ok(Arguments::Key(value)),
                _ => Err(UrlError::Parentheses),
            };
        };
        let (value, after) = Literal::split_off(value)?;
        if named.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return Err(UrlError::DuplicateParameter);
        }
        if named.len() == MAX_ARGUMENTS {
            return Err(UrlError::Parentheses);
        }
        named.push((name.into(), value));
        if after == ")" {
            named.sort_unstable();
            return Ok(Arguments::Named(named));
        }
        rest = after.strip_prefix(',').ok_or(UrlError::Parentheses)?;
    }
}

/// `name=` at the start, where there is one.
fn split_name(text: &str) -> Option<(&str, &str)> {
    text.split_once('=').filter(|(name, _)| is_identifier(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The form for the key and the target to be sent.
    fn forms(path: &str, query: &str) -> Result<(String, String), UrlError> {
        let mut path = ResourcePath::parse(path)?;
        let mut options = QueryOptions::parse(Some(query), &[])?;
        path.resolve_aliases(&mut options)?;
        Ok((path.to_string(), path.target(&options).to_string()))
    }

    #[test]
    fn the_documented_forms_are_read() {
        let path = ResourcePath::parse(
            "Products(68719489871)/GetAttributeValues(channelId=5637154326,catalogId=0)",
        )
        .unwrap();
        assert_eq!(path.entity_set(), Some("Products"));
        assert_eq!(path.operation(), "GetAttributeValues");
        assert!(matches!(path.key(), Arguments::Key(key) if key.as_str() == "68719489871"));
        assert!(matches!(path.parameters(), Arguments::Named(named) if named.len() == 2));
        assert_eq!(
            path.to_string(),
            "Products(68719489871)/GetAttributeValues(catalogId=0,channelId=5637154326)"
        );
        let path = ResourcePath::parse("Warehouses(A=1,B='x')/Op()").unwrap();
        assert!(matches!(path.key(), Arguments::Named(parts) if parts.len() == 2));
        assert_eq!(path.to_string(), "Warehouses(A=1,B='x')/Op()");
        let path = ResourcePath::parse("GetTenderTypes").unwrap();
        assert_eq!((path.entity_set(), path.operation()), (None, "GetTenderTypes"));
    }

    #[test]
    fn an_alias_and_its_value_are_one_question() {
        let inline = forms("Products/SearchByText(searchText='red%20shoe',channelId=1)", "$top=5");
        for (path, query) in [
            ("Products/SearchByText(channelId=1,searchText=@p1)", "$top=5&@p1='red%20shoe'"),
            (
                "Products/SearchByText(channelId=@c,searchText=@t)",
                "@t=%27red%20shoe%27&@c=1&$top=5",
            ),
        ] {
            assert_eq!(forms(path, query), inline);
        }
        let (key, target) = inline.unwrap();
        assert_eq!(key, "Products/SearchByText(channelId=1,searchText='red%20shoe')");
        assert_eq!(
            target,
            "Products/SearchByText(channelId=1,searchText=@p1)?$top=5&@p1='red%20shoe'"
        );
    }

    #[test]
    fn what_a_path_cannot_carry_goes_by_alias_and_keeps_its_meaning() {
        let (key, target) =
            forms("Products/SearchByText(searchText=@q)", "@q='a/b+c%2Bd''e'").unwrap();
        assert_eq!(key, "Products/SearchByText(searchText='a%2Fb+c%2Bd''e')");
        assert_eq!(target, "Products/SearchByText(searchText=@p1)?@p1='a%2Fb+c%2Bd''e'");
    }

    #[test]
    fn quotes_hold_what_would_end_a_value() {
        let (key, _) = forms("P/Op(a='x,y)=(z',b=Ns.Kind'One')", "").unwrap();
        assert_eq!(key, "P/Op(a='x,y)=(z',b=Ns.Kind'One')");
        let literal = Literal::new("'it''s'").unwrap();
        assert_eq!(literal.readings().collect::<Vec<_>>(), ["it's"]);
    }

    #[test]
    fn what_has_no_certain_reading_is_refused() {
        let refusals = [
            ("", "", UrlError::Segment),
            ("Products/", "", UrlError::Segment),
            ("/Products", "", UrlError::Segment),
            ("Products/../Carts", "", UrlError::Segment),
            ("Products/%2e%2e", "", UrlError::Segment),
            ("Products(1)/A/B", "", UrlError::Depth),
            ("Products%2FGetByIds", "", UrlError::EncodedSlash),
            ("Products/Op(a='x%2Fy')", "", UrlError::EncodedSlash),
            ("Products/Op%00", "", UrlError::ControlCharacter),
            ("Products/O%FFp", "", UrlError::Utf8),
            ("Products/$value", "", UrlError::Name),
            ("Products(1)(2)/Op", "", UrlError::Parentheses),
            ("Products(1,2)/Op", "", UrlError::Parentheses),
            ("Products(1/Op", "", UrlError::Parentheses),
            ("Products/Op(a=1,2)", "", UrlError::Parentheses),
            ("Products/Op(a=1,)", "", UrlError::Literal),
            ("Products/Op(a=)", "", UrlError::Literal),
            ("Products/Op(a='x)", "", UrlError::Literal),
            ("Products/Op(a=1,A=2)", "", UrlError::DuplicateParameter),
            ("Products/Op(a=@p)", "", UrlError::Alias),
            ("Products/Op(a=@p)", "@p", UrlError::Alias),
            ("Products/Op(a=@p)", "@p=@q&@q=1", UrlError::Alias),
            ("Products/Op(a=@p)", "@p=[1,2]", UrlError::Alias),
            ("Products/Op(a=@p)", "@p=[1]", UrlError::Alias),
            ("Products/Op(a=@p)", "@p=1&@p=2", UrlError::DuplicateOption),
            ("Products/Op(a=1)", "@p=1", UrlError::Alias),
            ("Products/Op(a=@p)", "@p=1&$filter=Price gt @p", UrlError::Alias),
            // Sent as `@p1`, the value would become that of the filter too.
            ("Products/Op(a='x y')", "$filter=Name eq @p1", UrlError::Alias),
            ("Products/Op(a=1,b=@c)", "@c='x y'&$filter=Name eq @p1", UrlError::Alias),
        ];
        for (path, query, refusal) in refusals {
            assert_eq!(forms(path, query), Err(refusal), "{path}?{query}");
        }
    }
}
