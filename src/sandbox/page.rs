//! OData system query options over rows that are made only when they are needed.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::filter::{Filter, compare, property};
use super::problem::Problem;
use super::url::Query;

/// The server's own limit on `$top`.
pub(crate) const MAX_TOP: usize = 1_000;

/// The rows of a collection: how many there are, and how to make each.
pub(crate) struct Rows<'a> {
    count: usize,
    row: Box<dyn Fn(usize) -> Value + 'a>,
}

impl<'a> Rows<'a> {
    pub(crate) fn of<T: 'a>(items: Vec<T>, row: impl Fn(&T) -> Value + 'a) -> Self {
        let count = items.len();
        Self { count, row: Box::new(move |at| items.get(at).map_or(Value::Null, &row)) }
    }
}

impl From<Vec<Value>> for Rows<'_> {
    fn from(rows: Vec<Value>) -> Self {
        Self::of(rows, Value::clone)
    }
}

/// What the query asks of a collection.
#[derive(Debug, Default)]
pub(crate) struct Options {
    top: Option<usize>,
    skip: usize,
    with_count: bool,
    order: Vec<(String, Direction)>,
    select: Vec<String>,
    filter: Option<Filter>,
}

#[derive(Clone, Copy, Debug)]
enum Direction {
    Ascending,
    Descending,
}

/// One page of a collection.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) rows: Vec<Value>,
    /// All rows that the filter lets through, where the query asked for their number.
    pub(crate) count: Option<usize>,
    /// What the next page's query replaces, where the server cut this one.
    pub(crate) next: Option<[(&'static str, Option<String>); 2]>,
}

impl Options {
    pub(crate) fn parse(query: &Query) -> Result<Self, Problem> {
        let mut options = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for name in query.names().filter(|name| name.starts_with('$')) {
            if seen.contains(&name) {
                let why = "it occurs twice".to_owned();
                return Err(Problem::QueryOption { option: "$", why });
            }
            seen.push(name);
            let value = query.get(name).unwrap_or_default();
            match name {
                "$top" => options.top = Some(natural("$top", value)?),
                "$skip" => options.skip = natural("$skip", value)?,
                "$count" => {
                    options.with_count |= one_of("$count", value, "true", "false")?;
                }
                "$inlinecount" => {
                    options.with_count |= one_of("$inlinecount", value, "allpages", "none")?;
                }
                "$orderby" => options.order = parse_order(value)?,
                "$select" => {
                    let names = value.split(',').map(|name| name.trim().to_owned());
                    options.select = names.filter(|name| !name.is_empty()).collect();
                }
                "$filter" => {
                    let filter = Filter::parse(value).map_err(refuse("$filter"))?;
                    options.filter = Some(filter);
                }
                // Navigation properties come with the entities here.
                "$expand" => {}
                _ => return Err(Problem::UnknownOptions(name.to_owned())),
            }
        }
        Ok(options)
    }

    /// Filters, orders, pages and selects, in the order of OData 4.01 Part 1 §11.2.1.
    pub(crate) fn apply(&self, rows: &Rows<'_>, page_size: usize) -> Result<Page, Problem> {
        let mut positions = Vec::new();
        let mut keys = Vec::new();
        for at in 0..rows.count {
            if self.filter.is_none() && self.order.is_empty() {
                positions.extend(at..rows.count);
                break;
            }
            let row = (rows.row)(at);
            if let Some(filter) = &self.filter
                && !filter.accepts(&row).map_err(refuse("$filter"))?
            {
                continue;
            }
            keys.push((at, self.sort_key(&row)?));
        }
        if !keys.is_empty() {
            keys.sort_by(|left, right| self.order_of(&left.1, &right.1));
            positions = keys.into_iter().map(|(at, _)| at).collect();
        }
        let wanted = self.top.unwrap_or(usize::MAX);
        let limit = wanted.min(page_size).min(MAX_TOP);
        let behind = positions.len().saturating_sub(self.skip);
        let taken = behind.min(limit);
        let next = (taken < behind.min(wanted)).then(|| {
            let top = self.top.map(|top| (top - taken).to_string());
            [("$skip", Some((self.skip + taken).to_string())), ("$top", top)]
        });
        let page = positions.iter().skip(self.skip).take(taken).map(|&at| (rows.row)(at));
        Ok(Page {
            rows: page.map(|row| self.project(row)).collect::<Result<_, _>>()?,
            count: self.with_count.then_some(positions.len()),
            next,
        })
    }

    fn sort_key(&self, row: &Value) -> Result<Vec<Value>, Problem> {
        let value = |(path, _): &(String, Direction)| property(row, path).cloned();
        self.order.iter().map(value).collect::<Result<_, _>>().map_err(refuse("$orderby"))
    }

    /// Null comes first where the order is ascending (§11.2.6.2).
    fn order_of(&self, left: &[Value], right: &[Value]) -> Ordering {
        let pairs = left.iter().zip(right).zip(&self.order);
        pairs.fold(Ordering::Equal, |order, ((left, right), (_, direction))| {
            let by_null = || right.is_null().cmp(&left.is_null());
            let here = compare(left, right).unwrap_or_else(by_null);
            order.then(match direction {
                Direction::Ascending => here,
                Direction::Descending => here.reverse(),
            })
        })
    }

    /// `$select` on one entity.
    pub(crate) fn project(&self, row: Value) -> Result<Value, Problem> {
        if self.select.is_empty() || self.select.iter().any(|name| name == "*") {
            return Ok(row);
        }
        let Value::Object(mut members) = row else { return Ok(row) };
        let mut selected = Map::new();
        for name in &self.select {
            if selected.contains_key(name) {
                continue;
            }
            let value = members
                .remove(name)
                .ok_or_else(|| refuse("$select")(format!("there is no property '{name}'")))?;
            selected.insert(name.clone(), value);
        }
        Ok(Value::Object(selected))
    }
}

fn refuse(option: &'static str) -> impl Fn(String) -> Problem {
    move |why| Problem::QueryOption { option, why }
}

fn natural(option: &'static str, value: &str) -> Result<usize, Problem> {
    value.parse().map_err(|_| refuse(option)(format!("'{value}' is no natural number")))
}

fn one_of(option: &'static str, value: &str, yes: &str, no: &str) -> Result<bool, Problem> {
    match value.to_ascii_lowercase() {
        word if word == yes => Ok(true),
        word if word == no => Ok(false),
        _ => Err(refuse(option)(format!("'{value}' is neither '{yes}' nor '{no}'"))),
    }
}

fn parse_order(value: &str) -> Result<Vec<(String, Direction)>, Problem> {
    let parts = value.split(',').map(|part| {
        let words: Vec<&str> = part.split_whitespace().collect();
        match words.as_slice() {
            [path] | [path, "asc"] => Ok(((*path).to_owned(), Direction::Ascending)),
            [path, "desc"] => Ok(((*path).to_owned(), Direction::Descending)),
            _ => Err(refuse("$orderby")(format!("'{part}' was not understood"))),
        }
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn page(query: &str, page_size: usize) -> Result<Page, Problem> {
        let rows = (0..10).map(|n| json!({"N": n, "Odd": n % 2 == 1})).collect::<Vec<_>>();
        Options::parse(&Query::parse(query).unwrap())?.apply(&rows.into(), page_size)
    }

    fn numbers(page: &Page) -> Vec<i64> {
        page.rows.iter().map(|row| row["N"].as_i64().unwrap()).collect()
    }

    #[test]
    fn a_page_that_the_server_cuts_says_where_the_next_begins() {
        let cut = page("$skip=1&$top=8", 5).unwrap();
        assert_eq!(numbers(&cut), [1, 2, 3, 4, 5]);
        let next = cut.next.unwrap();
        assert_eq!(next, [("$skip", Some("6".into())), ("$top", Some("3".into()))]);
        assert!(page("$skip=6&$top=3", 5).unwrap().next.is_none());
        assert!(page("$top=3", 5).unwrap().next.is_none());
        assert!(page("$skip=99", 5).unwrap().rows.is_empty());
    }

    #[test]
    fn filter_and_order_come_before_the_page_and_the_count_is_of_what_was_filtered() {
        let found = page("$filter=Odd eq true&$orderby=N desc&$top=2&$count=true", 5).unwrap();
        assert_eq!(numbers(&found), [9, 7]);
        assert_eq!(found.count, Some(5));
        let several = page("$orderby=Odd desc,N&$inlinecount=allpages&$select=N", 6).unwrap();
        assert_eq!(numbers(&several), [1, 3, 5, 7, 9, 0]);
        assert_eq!(several.count, Some(10));
        assert_eq!(several.rows[0], json!({"N": 1}));
        assert!(page("$filter=N gt 99", 5).unwrap().rows.is_empty());
    }

    #[test]
    fn options_that_are_unknown_malformed_or_given_twice_are_refused() {
        for query in [
            "$top=x",
            "$top=-1",
            "$count=yes",
            "$top=1&$top=2",
            "$search=x",
            "$orderby=N sideways",
            "$orderby=Nowhere",
            "$select=Nowhere",
            "$filter=N",
        ] {
            assert!(page(query, 5).is_err(), "{query}");
        }
        assert!(page("api-version=7.3&utm_source=x&$expand=Y", 5).is_ok());
    }
}
