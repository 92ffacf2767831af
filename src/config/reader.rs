//! Walks a TOML document and notes every mistake with its place.
//!
//! A key is known because something asked for it: [`Section`] remembers what was asked for, and
//! what is left over when it is done is an unknown key. So there is no second list of keys that
//! could differ from what is read. An environment variable stands in front of the file's value.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::ops::Range;

use toml_edit::{Document, Item, TableLike, Value};

use super::mistake::{Mistake, Place, nearest};

/// What the name of a variable that sets a key starts with.
const VARIABLE_PREFIX: &str = "CSU_EDGE__";

/// The longest piece of a wrong value that a message repeats, in characters.
const SHOWN_CHARS: usize = 60;

/// The process's environment, or a test's. Nothing that holds it has a `Debug`: secrets are in it.
#[derive(Default)]
pub(super) struct Environment(BTreeMap<String, Variable>);

enum Variable {
    Text { raw: String, value: Value },
    NotUnicode,
}

impl Environment {
    pub(super) fn new<K: Into<OsString>, V: Into<OsString>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variable = |value: OsString| match value.into_string() {
            Ok(raw) => {
                let value = raw.parse().unwrap_or_else(|_| Value::from(raw.clone()));
                Variable::Text { raw, value }
            }
            Err(_) => Variable::NotUnicode,
        };
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.into().to_string_lossy().into_owned(), value.into()))
                .map(|(name, value)| (name, variable(value)))
                .collect(),
        )
    }

    /// A variable that a secret's `env:NAME` refers to.
    pub(super) fn get(&self, name: &str) -> Result<&str, &'static str> {
        match self.0.get(name) {
            Some(Variable::Text { raw, .. }) => Ok(raw),
            Some(Variable::NotUnicode) => Err("is not UTF-8"),
            None => Err("is not set"),
        }
    }

    fn sets_any_below(&self, path: &str) -> bool {
        let prefix = format!("{}__", variable_name(path));
        self.0.range(prefix.clone()..).next().is_some_and(|(name, _)| name.starts_with(&prefix))
    }

    fn overrides(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str).filter(|name| name.starts_with(VARIABLE_PREFIX))
    }
}

fn variable_name(path: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", path.to_ascii_uppercase().replace('.', "__"))
}

/// What is known while a configuration is read: its text, the environment, the mistakes so far.
pub(super) struct Reader<'t> {
    text: &'t str,
    environment: &'t Environment,
    mistakes: RefCell<Vec<Mistake>>,
    keys: RefCell<BTreeSet<String>>,
    /// Tables of the root of which the environment can set nothing, each with the reason.
    not_settable: RefCell<Vec<(&'static str, &'static str)>>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str, environment: &'t Environment) -> Self {
        Self {
            text,
            environment,
            mistakes: RefCell::default(),
            keys: RefCell::default(),
            not_settable: RefCell::default(),
        }
    }

    /// Reads the document's root table with `read`. What comes back is only to be used when
    /// [`Reader::finish`] has no mistake to tell.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Section<'_>) -> T) -> Option<T> {
        // The error's own text quotes the line, which may hold a secret: its message does not.
        let document = Document::parse(self.text)
            .map_err(|error| {
                self.note(self.place(error.span()), None, error.message().replace('\n', ", "));
            })
            .ok()?;
        let root = Section::new(self, String::new(), Some(document.as_table()), self.place(None));
        let value = read(&root);
        root.finish();
        self.note_unknown_variables();
        Some(value)
    }

    /// The mistakes, and every key that was asked for.
    pub(super) fn finish(self) -> (Vec<Mistake>, BTreeSet<String>) {
        (self.mistakes.into_inner(), self.keys.into_inner())
    }

    pub(super) const fn environment(&self) -> &Environment {
        self.environment
    }

    pub(super) fn note(&self, place: Place, key: Option<String>, message: impl Into<String>) {
        self.mistakes.borrow_mut().push(Mistake { place, key, message: message.into() });
    }

    fn place(&self, span: Option<Range<usize>>) -> Place {
        let start = span.map_or(0, |span| span.start);
        let before = self.text.get(..start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place::Position {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        }
    }

    fn note_unknown_variables(&self) {
        let not_settable = self.not_settable.borrow();
        let reason = |variable: &str| {
            let below = |table: &str| variable.starts_with(&format!("{}__", variable_name(table)));
            not_settable.iter().find(|(table, _)| below(table)).map(|(_, reason)| *reason)
        };
        let mut known: BTreeSet<_> =
            self.keys.borrow().iter().map(|key| variable_name(key)).collect();
        known.retain(|variable| reason(variable).is_none());
        for name in self.environment.overrides().filter(|name| !known.contains(*name)) {
            let message = match (reason(name), nearest(name, known.iter().map(String::as_str))) {
                (Some(reason), _) => reason.to_owned(),
                (None, Some(meant)) => format!("sets no known key; did you mean {meant}?"),
                (None, None) => "sets no known key".to_owned(),
            };
            self.note(Place::Variable(name.escape_debug().to_string()), None, message);
        }
    }
}

/// One table, whether the file has it or not.
pub(super) struct Section<'r> {
    reader: &'r Reader<'r>,
    path: String,
    table: Option<&'r dyn TableLike>,
    place: Place,
    known: RefCell<BTreeSet<&'static str>>,
    /// Whether the environment can set its keys.
    overridable: bool,
}

impl<'r> Section<'r> {
    fn new(
        reader: &'r Reader<'r>,
        path: String,
        table: Option<&'r dyn TableLike>,
        place: Place,
    ) -> Self {
        Self { reader, path, table, place, known: RefCell::default(), overridable: true }
    }

    /// Where the table's head stands; of a table that the file lacks, where its parent's does.
    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    /// Whether the file has it or the environment sets a key of it.
    pub(super) fn is_present(&self) -> bool {
        self.table.is_some() || self.reader.environment.sets_any_below(&self.path)
    }

    /// How many mistakes have been noted so far, anywhere.
    pub(super) fn mistakes(&self) -> usize {
        self.reader.mistakes.borrow().len()
    }

    /// Notes a mistake about a key of this table.
    pub(super) fn note(&self, place: Place, name: &str, message: impl Into<String>) {
        self.reader.note(place, Some(self.path_of(name)), message);
    }

    /// Reads the table of that name, then notes what was not asked for as unknown.
    pub(super) fn table<T>(&self, name: &'static str, read: impl FnOnce(&Section<'_>) -> T) -> T {
        let (table, place) = match self.entry(name) {
            None => (None, self.place()),
            Some((place, item)) => match item.as_table_like() {
                Some(table) => (Some(table), place),
                None => {
                    self.note(place.clone(), name, not_of_type("a table", item.type_name()));
                    (None, place)
                }
            },
        };
        let mut section = Section::new(self.reader, self.path_of(name), table, place);
        section.overridable = self.overridable;
        let value = read(&section);
        section.finish();
        value
    }

    /// Reads each table of the array of tables of that name.
    pub(super) fn tables<T>(&self, name: &'static str, read: impl Fn(&Section<'_>) -> T) -> Vec<T> {
        let reason = "arrays of tables are set in the file alone";
        self.reader.not_settable.borrow_mut().push((name, reason));
        let Some((place, item)) = self.entry(name) else { return Vec::new() };
        let tables: Option<Vec<(&dyn TableLike, _)>> = match item {
            Item::ArrayOfTables(tables) => {
                Some(tables.iter().map(|table| (table as &dyn TableLike, table.span())).collect())
            }
            Item::Value(Value::Array(array)) => array
                .iter()
                .map(|value| {
                    value.as_inline_table().map(|table| (table as &dyn TableLike, value.span()))
                })
                .collect(),
            _ => None,
        };
        let Some(tables) = tables else {
            let message = format!("must be tables, each under a line [[{name}]]");
            self.note(place, name, message);
            return Vec::new();
        };
        let each = tables.into_iter().map(|(table, span)| {
            let place = self.reader.place(span);
            let mut section = Section::new(self.reader, self.path_of(name), Some(table), place);
            section.overridable = false;
            let value = read(&section);
            section.finish();
            value
        });
        each.collect()
    }

    /// The value of that key, if it was given.
    pub(super) fn field(&self, name: &'static str) -> Option<Field<'r>> {
        let path = self.path_of(name);
        self.reader.keys.borrow_mut().insert(path.clone());
        let in_file = self.entry(name);
        let variable = variable_name(&path);
        if self.overridable
            && let Some(set) = self.reader.environment.0.get(&variable)
        {
            let place = Place::Variable(variable);
            let (given, raw) = match set {
                Variable::Text { raw, value } => (Given::Value(value), Some(raw.as_str())),
                Variable::NotUnicode => {
                    self.reader.note(place, Some(path), "is not UTF-8");
                    return None;
                }
            };
            return Some(Field { reader: self.reader, path, place, given, raw });
        }
        let (key_place, item) = in_file?;
        let (given, place) = match item.as_value() {
            Some(value) => (Given::Value(value), self.reader.place(value.span())),
            None => (Given::Table, key_place),
        };
        Some(Field { reader: self.reader, path, place, given, raw: None })
    }

    /// The value of that key as `parse` reads it; `None` where it is not given or a mistake.
    pub(super) fn get<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&Field<'_>) -> Option<T>,
    ) -> Option<T> {
        parse(&self.field(name)?)
    }

    /// Replaces a default by the value of that key, where one is given.
    pub(super) fn set<T>(
        &self,
        name: &'static str,
        slot: &mut T,
        parse: impl Fn(&Field<'_>) -> Option<T>,
    ) {
        if let Some(value) = self.get(name, parse) {
            *slot = value;
        }
    }

    fn entry(&self, name: &'static str) -> Option<(Place, &'r Item)> {
        self.known.borrow_mut().insert(name);
        self.entry_unasked(name)
    }

    fn entry_unasked(&self, name: &str) -> Option<(Place, &'r Item)> {
        let (key, item) = self.table?.get_key_value(name)?;
        Some((self.reader.place(key.span()), item))
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn finish(&self) {
        let known = self.known.borrow();
        for (name, _) in self.table.into_iter().flat_map(TableLike::iter) {
            if known.contains(name) {
                continue;
            }
            let Some((place, _)) = self.entry_unasked(name) else { continue };
            let message = match nearest(name, known.iter().copied()) {
                Some(meant) => format!("unknown key; did you mean `{meant}`?"),
                None => "unknown key".to_owned(),
            };
            self.note(place, &name.escape_debug().to_string(), message);
        }
    }
}

/// A value that was given, on its way to its type.
#[derive(Clone)]
pub(super) struct Field<'r> {
    reader: &'r Reader<'r>,
    path: String,
    place: Place,
    given: Given<'r>,
    /// A variable's own text: for a key that wants a string, `5` is one without quotes.
    raw: Option<&'r str>,
}

#[derive(Clone, Copy)]
enum Given<'r> {
    Value(&'r Value),
    Table,
}

impl<'r> Field<'r> {
    /// Notes a mistake about this value. Always `None`, so that a parser can end with it.
    pub(super) fn refuse<T>(&self, message: impl Into<String>) -> Option<T> {
        self.reader.note(self.place.clone(), Some(self.path.clone()), message);
        None
    }

    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    pub(super) const fn environment(&self) -> &'r Environment {
        self.reader.environment()
    }

    /// The value, which must be a string; `what` says which, such as `an address`.
    pub(super) fn text(&self, what: &str) -> Option<&'r str> {
        match (self.given, self.raw) {
            (Given::Value(Value::String(text)), _) => Some(text.value()),
            (Given::Value(Value::Array(_) | Value::InlineTable(_)) | Given::Table, _)
            | (_, None) => self.refuse_type(what),
            (Given::Value(_), Some(raw)) => Some(raw),
        }
    }

    /// Whether the value is this string. Notes nothing.
    pub(super) fn is(&self, text: &str) -> bool {
        matches!(self.given, Given::Value(Value::String(given)) if given.value() == text)
    }

    /// Whether the value is `[]`. Notes nothing.
    pub(super) fn is_empty_array(&self) -> bool {
        matches!(self.given, Given::Value(Value::Array(given)) if given.is_empty())
    }

    pub(super) fn integer(&self) -> Option<i64> {
        match self.given {
            Given::Value(Value::Integer(number)) => Some(*number.value()),
            _ => None,
        }
    }

    /// A number, whole or not.
    pub(super) fn number(&self) -> Option<f64> {
        match self.given {
            Given::Value(Value::Float(number)) => Some(*number.value()),
            _ => self.integer().and_then(|whole| i32::try_from(whole).ok()).map(f64::from),
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self.given {
            Given::Value(Value::Boolean(switch)) => Some(*switch.value()),
            _ => self.refuse_type("true or false"),
        }
    }

    /// The elements of the value, which must be an array.
    pub(super) fn elements(&self) -> Option<Vec<Self>> {
        let Given::Value(Value::Array(array)) = self.given else {
            return self.refuse_type("an array");
        };
        let element = |(index, value): (usize, &'r Value)| Self {
            reader: self.reader,
            path: format!("{}[{index}]", self.path),
            place: match &self.place {
                Place::Variable(name) => Place::Variable(name.clone()),
                Place::File | Place::Position { .. } => self.reader.place(value.span()),
            },
            given: Given::Value(value),
            raw: None,
        };
        Some(array.iter().enumerate().map(element).collect())
    }

    /// Notes that the value is not of the type that is wanted. Does not repeat the value.
    pub(super) fn refuse_type<T>(&self, wanted: &str) -> Option<T> {
        let given = match self.given {
            Given::Value(value) => value.type_name(),
            Given::Table => "table",
        };
        self.refuse(not_of_type(wanted, given))
    }
}

fn not_of_type(wanted: &str, given: &str) -> String {
    let article = if given.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("must be {wanted}, not {article} {given}")
}

/// A wrong value as a message may repeat it: shortened, and without control characters. Not for
/// values that are or may hold secrets.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("\"{}\"", short.escape_debug())
}
