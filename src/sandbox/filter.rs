//! `$filter` on scalar properties (OData 4.01 Part 2 §5.1.1): comparisons, `and`, `or`, `not`,
//! parentheses, `contains`, `startswith`, `endswith`. Anything else is refused, never ignored: a
//! filter that is half understood answers the wrong rows.

use std::cmp::Ordering;

use serde_json::Value;

use super::url::{Literal, parse_literal};

/// Longest filter, in bytes, and deepest nesting.
const MAX_LENGTH: usize = 4096;
const MAX_DEPTH: usize = 32;

/// A filter that was understood.
#[derive(Debug)]
pub(crate) enum Filter {
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
    Compare(Comparison, Operand, Operand),
    Match(TextMatch, Operand, Operand),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum TextMatch {
    Contains,
    StartsWith,
    EndsWith,
}

#[derive(Debug)]
pub(crate) enum Operand {
    Property(String),
    Literal(Value),
}

impl Filter {
    /// Reads a filter; the error says what was not understood.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("it is longer than {MAX_LENGTH} bytes"));
        }
        let mut parser = Parser { tokens: tokenise(text)?, at: 0 };
        let filter = parser.either(0)?;
        match parser.next() {
            None => Ok(filter),
            Some(token) => Err(format!("'{token}' was not expected")),
        }
    }

    /// Whether `row` satisfies it; an error for a property that the row does not have, or one that
    /// is no scalar.
    pub(crate) fn accepts(&self, row: &Value) -> Result<bool, String> {
        Ok(match self {
            Self::And(left, right) => left.accepts(row)? && right.accepts(row)?,
            Self::Or(left, right) => left.accepts(row)? || right.accepts(row)?,
            Self::Not(inner) => !inner.accepts(row)?,
            Self::Compare(comparison, left, right) => {
                comparison.holds(left.value(row)?, right.value(row)?)
            }
            Self::Match(kind, text, part) => match (text.value(row)?, part.value(row)?) {
                (Value::String(text), Value::String(part)) => kind.holds(text, part),
                (Value::Null, _) => false,
                _ => return Err("a text function was given what is not text".into()),
            },
        })
    }
}

impl Comparison {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "eq" => Self::Equal,
            "ne" => Self::NotEqual,
            "gt" => Self::Greater,
            "ge" => Self::GreaterOrEqual,
            "lt" => Self::Less,
            "le" => Self::LessOrEqual,
            _ => return None,
        })
    }

    /// Values of different types are unequal and have no order.
    fn holds(self, left: &Value, right: &Value) -> bool {
        let order = compare(left, right);
        match self {
            Self::Equal => order == Some(Ordering::Equal),
            Self::NotEqual => order != Some(Ordering::Equal),
            Self::Greater => order == Some(Ordering::Greater),
            Self::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            Self::Less => order == Some(Ordering::Less),
            Self::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        }
    }
}

impl TextMatch {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "contains" => Self::Contains,
            "startswith" => Self::StartsWith,
            "endswith" => Self::EndsWith,
            _ => return None,
        })
    }

    /// Without regard to case, as the channel database collates.
    fn holds(self, text: &str, part: &str) -> bool {
        let (text, part) = (text.to_lowercase(), part.to_lowercase());
        match self {
            Self::Contains => text.contains(&part),
            Self::StartsWith => text.starts_with(&part),
            Self::EndsWith => text.ends_with(&part),
        }
    }
}

impl Operand {
    fn value<'a>(&'a self, row: &'a Value) -> Result<&'a Value, String> {
        match self {
            Self::Literal(value) => Ok(value),
            Self::Property(path) => property(row, path),
        }
    }
}

/// The scalar at a property path such as `Name` or `Behavior/HasSerialNumber`.
pub(crate) fn property<'a>(row: &'a Value, path: &str) -> Result<&'a Value, String> {
    let mut value = row;
    for name in path.split('/') {
        value = value.get(name).ok_or_else(|| format!("there is no property '{path}'"))?;
    }
    match value {
        Value::Array(_) | Value::Object(_) => Err(format!("the property '{path}' is no scalar")),
        _ => Ok(value),
    }
}

/// The order of two scalars; integers are compared as integers, so that RecIds stay exact.
pub(crate) fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
        },
        _ => None,
    }
}

struct Parser {
    tokens: Vec<String>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<&str> {
        self.tokens.get(self.at).map(String::as_str)
    }

    fn next(&mut self) -> Option<String> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        if found {
            self.at += 1;
        }
        found
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        if self.take(word) { Ok(()) } else { Err(format!("'{word}' was expected")) }
    }

    fn either(&mut self, depth: usize) -> Result<Filter, String> {
        let mut left = self.both(depth)?;
        while self.take("or") {
            left = Filter::Or(Box::new(left), Box::new(self.both(depth)?));
        }
        Ok(left)
    }

    fn both(&mut self, depth: usize) -> Result<Filter, String> {
        let mut left = self.unary(depth)?;
        while self.take("and") {
            left = Filter::And(Box::new(left), Box::new(self.unary(depth)?));
        }
        Ok(left)
    }

    fn unary(&mut self, depth: usize) -> Result<Filter, String> {
        if depth > MAX_DEPTH {
            return Err(format!("it nests deeper than {MAX_DEPTH}"));
        }
        if self.take("not") {
            return Ok(Filter::Not(Box::new(self.unary(depth + 1)?)));
        }
        if self.take("(") {
            let inner = self.either(depth + 1)?;
            self.expect(")")?;
            return Ok(inner);
        }
        self.condition()
    }

    fn condition(&mut self) -> Result<Filter, String> {
        if let Some(kind) = self.peek().and_then(TextMatch::parse) {
            self.at += 1;
            self.expect("(")?;
            let text = self.operand()?;
            self.expect(",")?;
            let part = self.operand()?;
            self.expect(")")?;
            return Ok(Filter::Match(kind, text, part));
        }
        let left = self.operand()?;
        let word = self.next().ok_or("a comparison was expected")?;
        let comparison =
            Comparison::parse(&word).ok_or_else(|| format!("'{word}' is no known operator"))?;
        Ok(Filter::Compare(comparison, left, self.operand()?))
    }

    fn operand(&mut self) -> Result<Operand, String> {
        let token = self.next().ok_or("a value was expected")?;
        if self.peek() == Some("(") {
            return Err(format!("the function '{token}' is not supported"));
        }
        let is_name = token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let is_word = matches!(token.as_str(), "true" | "false" | "null");
        if is_name && !is_word {
            return Ok(Operand::Property(token));
        }
        match parse_literal(&token) {
            Some(Literal::Plain(value)) if !token.starts_with(['(', ')', ',']) => {
                Ok(Operand::Literal(value))
            }
            _ => Err(format!("'{token}' is no value")),
        }
    }
}

/// Words, quoted strings, and the three signs.
fn tokenise(text: &str) -> Result<Vec<String>, String> {
    let mut tokens = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(&c) = characters.peek() {
        match c {
            _ if c.is_whitespace() => {
                characters.next();
            }
            '(' | ')' | ',' => {
                characters.next();
                tokens.push(c.to_string());
            }
            '\'' => tokens.push(quoted(&mut characters)?),
            _ => {
                let mut word = String::new();
                while let Some(c) = characters
                    .next_if(|c| !c.is_whitespace() && !matches!(c, '(' | ')' | ',' | '\''))
                {
                    word.push(c);
                }
                tokens.push(word);
            }
        }
    }
    Ok(tokens)
}

fn quoted(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, String> {
    let mut token = String::new();
    token.extend(characters.next());
    while let Some(c) = characters.next() {
        token.push(c);
        if c == '\'' {
            match characters.next_if_eq(&'\'') {
                Some(second) => token.push(second),
                None => return Ok(token),
            }
        }
    }
    Err("a quotation has no end".into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn accepts(filter: &str) -> bool {
        let row = json!({
            "Name": "Alta light shoe", "Price": 19.9, "RecordId": 9_007_199_254_740_993_i64,
            "Image": null, "IsMaster": true, "Behavior": {"IsBlocked": false}, "List": [],
        });
        Filter::parse(filter).unwrap().accepts(&row).unwrap()
    }

    #[test]
    fn comparisons_join_by_precedence_and_parentheses() {
        for filter in [
            "Price eq 19.9",
            "Price ge 19.9 and Price lt 20",
            "RecordId eq 9007199254740993",
            "contains(Name,'LIGHT') or Price gt 100",
            "not (Price gt 100) and startswith(Name, 'alta')",
            "Price gt 100 or Price gt 1 and IsMaster eq true",
            "Image eq null",
            "Behavior/IsBlocked eq false",
            "Name ne 'it''s'",
        ] {
            assert!(accepts(filter), "{filter}");
        }
        for filter in
            ["RecordId eq 9007199254740992", "(Price gt 100 or Price gt 1) and Price lt 2"]
        {
            assert!(!accepts(filter), "{filter}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let deep = format!("{}Price eq 1{}", "(".repeat(40), ")".repeat(40));
        for filter in [
            "",
            "Price",
            "Price eq",
            "Price is 3",
            "tolower(Name) eq 'x'",
            "Price eq 1 Price eq 2",
            "(Price eq 1",
            "Name eq 'x",
            "Price eq )",
            &deep,
        ] {
            assert!(Filter::parse(filter).is_err(), "{filter}");
        }
        for filter in ["Nowhere eq 1", "List eq 1"] {
            assert!(Filter::parse(filter).unwrap().accepts(&json!({"List": []})).is_err());
        }
    }
}
