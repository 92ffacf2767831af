//! What the operations answer: one function each, gathered by subject.

pub(crate) mod carts;
pub(crate) mod categories;
pub(crate) mod configuration;
pub(crate) mod inventory;
pub(crate) mod prices;
pub(crate) mod products;
pub(crate) mod search;

use serde_json::{Value, json};

use super::call::Call;
use super::page::Rows;
use super::problem::Problem;

/// An answer before query options, metadata and compression. Types are named without their
/// namespace.
pub(crate) enum Answer<'a> {
    Collection(&'static str, Rows<'a>),
    Entity(&'static str, Value),
    Created(&'static str, Value),
    Nothing,
}

impl Answer<'_> {
    /// Where the entity that is answered can be read again; nowhere but for carts and orders.
    pub(crate) fn path(&self) -> Option<String> {
        let (Self::Entity(kind, value) | Self::Created(kind, value)) = self else { return None };
        let set = match *kind {
            "Cart" => "Carts",
            "SalesOrder" => "SalesOrders",
            _ => return None,
        };
        Some(format!("{set}('{}')", value.get("Id")?.as_str()?))
    }
}

pub(crate) type Answered<'a> = Result<Answer<'a>, Problem>;

/// Answers one operation.
pub(crate) type Handler = for<'a> fn(&'a Call<'a>) -> Answered<'a>;

fn collection<'a>(kind: &'static str, rows: Vec<Value>) -> Answered<'a> {
    Ok(Answer::Collection(kind, rows.into()))
}

/// An entity, or nothing where there is none (204).
fn entity_or_nothing<'a>(kind: &'static str, value: Option<Value>) -> Answered<'a> {
    Ok(value.map_or(Answer::Nothing, |value| Answer::Entity(kind, value)))
}

/// A property bag's single text entry, as commerce entities carry them.
fn text_property(key: &str, value: &str) -> Value {
    json!({"Key": key, "Value": {"StringValue": value}})
}
