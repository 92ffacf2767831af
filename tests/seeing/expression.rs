//! As much of PromQL as is needed to tell which metrics, labels and values an expression names.

/// A metric, and what its series are narrowed down to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Selector {
    pub(crate) metric: String,
    pub(crate) matchers: Vec<Matcher>,
}

/// One condition on a label.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Matcher {
    pub(crate) label: String,
    /// `=`, `!=`, `=~` or `!~`.
    operator: String,
    value: String,
}

impl Matcher {
    /// Each value that is named. What stands for anything names none.
    pub(crate) fn values(&self) -> Vec<&str> {
        match (self.value.as_str(), self.operator.as_str()) {
            ("" | ".*", _) => vec![],
            (value, "=~" | "!~") => value.split('|').collect(),
            (value, _) => vec![value],
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Token {
    Name(String),
    Text(String),
    Sign(String),
}

/// Words that stand where a metric could, and are none.
const WORDS: [&str; 14] = [
    "and",
    "or",
    "unless",
    "bool",
    "offset",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "atan2",
    "inf",
    "nan",
];

/// Words that a list of labels follows.
const GROUPING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

fn tokens(expression: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first.is_ascii_alphabetic() || matches!(first, '_' | ':') {
            let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
            let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            tokens.push(Token::Name(rest[..length].to_owned()));
            length
        } else if first == '"' {
            let length = rest[1..].find('"').expect("a string ends") + 2;
            assert!(!rest[..length].contains('\\'), "escapes are not read: {expression}");
            tokens.push(Token::Text(rest[1..length - 1].to_owned()));
            length
        } else if first == '[' {
            rest.find(']').expect("a range ends") + 1
        } else if first.is_ascii_digit() {
            // With its unit, where it is a duration.
            let is_number = |c: char| c.is_ascii_alphanumeric() || c == '.';
            rest.find(|c| !is_number(c)).unwrap_or(rest.len())
        } else {
            let is_two = rest.len() > 1 && matches!(&rest[..2], "!=" | "=~" | "!~");
            let length = if is_two { 2 } else { first.len_utf8() };
            tokens.push(Token::Sign(rest[..length].to_owned()));
            length
        };
        rest = rest[length..].trim_start();
    }
    tokens
}

fn is_sign(token: Option<&Token>, sign: &str) -> bool {
    matches!(token, Some(Token::Sign(found)) if found == sign)
}

/// Every metric of an expression with its matchers.
pub(crate) fn selectors(expression: &str) -> Vec<Selector> {
    let tokens = tokens(expression);
    let mut selectors = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let Token::Name(name) = &tokens[at] else {
            at += 1;
            continue;
        };
        at += 1;
        let next = tokens.get(at);
        if GROUPING.contains(&name.as_str()) && is_sign(next, "(") {
            while !is_sign(tokens.get(at), ")") {
                at += 1;
            }
        } else if WORDS.contains(&name.as_str())
            || is_sign(next, "(")
            || matches!(next, Some(Token::Name(word)) if GROUPING.contains(&word.as_str()))
        {
            // A word, a function, or an aggregation.
        } else {
            let mut matchers = Vec::new();
            if is_sign(next, "{") {
                while !is_sign(tokens.get(at), "}") {
                    if let [Token::Name(label), Token::Sign(operator), Token::Text(value), ..] =
                        &tokens[at..]
                    {
                        matchers.push(Matcher {
                            label: label.clone(),
                            operator: operator.clone(),
                            value: value.clone(),
                        });
                    }
                    at += 1;
                }
            }
            selectors.push(Selector { metric: name.clone(), matchers });
        }
    }
    selectors
}

/// Every label that an expression groups or matches by.
pub(crate) fn grouping_labels(expression: &str) -> Vec<String> {
    let tokens = tokens(expression);
    let mut labels = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if matches!(token, Token::Name(name) if GROUPING.contains(&name.as_str())) {
            let list = tokens[at + 1..].iter().take_while(|token| !is_sign(Some(token), ")"));
            labels.extend(list.filter_map(|token| match token {
                Token::Name(label) => Some(label.clone()),
                _ => None,
            }));
        }
    }
    labels
}

/// The labels that a legend shows.
pub(crate) fn legend_labels(legend: &str) -> Vec<&str> {
    legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap().trim()).collect()
}

#[test]
fn what_an_expression_names_is_found() {
    let expression = r#"
        histogram_quantile(0.99, sum by (le, result) (rate(a_bucket{x="1",y=~"b|c",z!~".*"}[5m])))
          / on (job) group_left (node) (job:a:rate5m > bool 0) and time() - b < 0.7 * 14
          unless max_over_time(c{d!="e"}[1d] offset 1h) or vector(0)"#;
    let found = selectors(expression);
    let metrics: Vec<&str> = found.iter().map(|selector| selector.metric.as_str()).collect();
    assert_eq!(metrics, ["a_bucket", "job:a:rate5m", "b", "c"]);
    let values = |at: usize| {
        let of = |m: &Matcher| (m.label.clone(), m.values().join(" "));
        found[at].matchers.iter().map(of).collect::<Vec<_>>()
    };
    let expected = [("x", "1"), ("y", "b c"), ("z", "")];
    assert_eq!(values(0), expected.map(|(label, value)| (label.to_owned(), value.to_owned())));
    assert_eq!(values(3), [("d".to_owned(), "e".to_owned())]);
    assert_eq!(grouping_labels(expression), ["le", "result", "job", "node"]);
    assert_eq!(legend_labels("{{instance}} of {{ tier }}"), ["instance", "tier"]);
}
