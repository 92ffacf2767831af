//! `/sandbox/…`: changes, faults, tokens and counts. Exempt from latency, limits and faults.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::changes::ChangeRefused;
use super::company::Customer;
use super::duration;
use super::faults::{Sickness, Target};
use super::identity;
use super::push::Pushed;
use super::server::Engine;

const MAX_FAULT: Duration = Duration::from_secs(24 * 3_600);
const MAX_TOKEN: Duration = Duration::from_secs(365 * 24 * 3_600);
const TOKEN_LIFETIME: Duration = Duration::from_secs(3_600);

/// A refusal: its status, and what is wrong.
type Refusal = (StatusCode, String);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PriceChange {
    product_id: i64,
    price: f64,
    customer_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InventoryChange {
    product_id: i64,
    warehouse: String,
    available: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ProductChange {
    product_id: i64,
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultOrder {
    operation: String,
    status: Ailment,
    r#for: String,
}

/// A status, or the name of something worse.
#[derive(Deserialize)]
#[serde(untagged)]
enum Ailment {
    Status(u16),
    Named(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TokenOrder {
    customer_id: String,
    valid_for: Option<String>,
}

/// Answers a control request: a status and a JSON body.
pub(crate) async fn answer(
    engine: &Engine,
    method: &Method,
    path: &str,
    body: &Bytes,
) -> (StatusCode, Value) {
    let answered = match (method.as_str(), path) {
        ("POST", "prices") => set_price(engine, body).await,
        ("POST", "inventory") => set_inventory(engine, body).await,
        ("POST", "products") => set_product(engine, body).await,
        ("POST", "faults") => set_fault(engine, body),
        ("DELETE", "faults") => {
            engine.faults.clear();
            Ok(json!({"cleared": true}))
        }
        ("POST", "tokens") => issue_token(engine, body),
        ("GET", "stats") => Ok(engine.stats.as_json()),
        ("DELETE", "stats") => {
            engine.stats.reset();
            Ok(json!({"reset": true}))
        }
        (_, "prices" | "inventory" | "products" | "faults" | "tokens" | "stats") => {
            Err((StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not for {path}")))
        }
        _ => Err((StatusCode::NOT_FOUND, format!("there is no control path '{path}'"))),
    };
    match answered {
        Ok(value) => (StatusCode::OK, value),
        Err((status, why)) => (status, json!({"error": why})),
    }
}

async fn set_price(engine: &Engine, body: &Bytes) -> Result<Value, Refusal> {
    let change: PriceChange = read(body)?;
    let customer = change.customer_id.as_deref();
    report(engine.changes().set_price(change.product_id, change.price, customer).await)
}

async fn set_inventory(engine: &Engine, body: &Bytes) -> Result<Value, Refusal> {
    let InventoryChange { product_id, warehouse, available } = read(body)?;
    report(engine.changes().set_inventory(product_id, &warehouse, available).await)
}

async fn set_product(engine: &Engine, body: &Bytes) -> Result<Value, Refusal> {
    let ProductChange { product_id, name } = read(body)?;
    report(engine.changes().set_name(product_id, &name).await)
}

/// The change was applied; whether its event was acknowledged is told beside.
fn report(outcome: Result<Pushed, ChangeRefused>) -> Result<Value, Refusal> {
    Ok(match outcome.map_err(|refused| bad(refused.to_string()))? {
        Pushed::NotConfigured => json!({"pushed": false}),
        Pushed::Acknowledged => json!({"pushed": true}),
        Pushed::Queued => json!({"pushed": false, "queued": true}),
        Pushed::Failed(why) => json!({"pushed": false, "error": why}),
    })
}

fn set_fault(engine: &Engine, body: &Bytes) -> Result<Value, Refusal> {
    let order: FaultOrder = read(body)?;
    let target = Target::parse(&order.operation)
        .ok_or_else(|| bad(format!("operation: there is no '{}'", order.operation)))?;
    let sickness = match order.status {
        Ailment::Status(code) => sick_status(code),
        Ailment::Named(name) => match name.as_str() {
            "truncate" => Some(Sickness::Truncate),
            "hang" => Some(Sickness::Hang),
            "reset" => Some(Sickness::Reset),
            _ => None,
        },
    };
    let sickness = sickness.ok_or_else(|| {
        bad("status: it is neither 300 to 599 nor \"truncate\", \"hang\" or \"reset\"")
    })?;
    let lasts = bounded(&order.r#for, "for", MAX_FAULT)?;
    engine.faults.set(target, sickness, lasts);
    Ok(json!({"until": (engine.clock.now() + lasts).to_string()}))
}

/// The statuses that can be ordered: those that are no success.
fn sick_status(code: u16) -> Option<Sickness> {
    let status = StatusCode::from_u16(code).ok().filter(|_| (300..600).contains(&code));
    status.map(Sickness::Status)
}

fn issue_token(engine: &Engine, body: &Bytes) -> Result<Value, Refusal> {
    let order: TokenOrder = read(body)?;
    let customer = Customer::by_account(&order.customer_id)
        .ok_or_else(|| bad(format!("customerId: there is no customer '{}'", order.customer_id)))?;
    let lifetime = match order.valid_for {
        Some(text) => bounded(&text, "validFor", MAX_TOKEN)?,
        None => TOKEN_LIFETIME,
    };
    Ok(json!({"token": token(engine, customer, lifetime)}))
}

/// A token that names `customer`.
pub(crate) fn token(engine: &Engine, customer: &Customer, lifetime: Duration) -> String {
    let now = engine.clock.now();
    identity::issue(customer.account, now, now + lifetime)
}

/// A token with the lifetime that is used where none is named: an hour.
pub(crate) fn hourly_token(engine: &Engine, customer: &Customer) -> String {
    token(engine, customer, TOKEN_LIFETIME)
}

fn bounded(text: &str, member: &str, limit: Duration) -> Result<Duration, Refusal> {
    match duration::parse(text) {
        Some(span) if span <= limit => Ok(span),
        Some(_) => Err(bad(format!("{member}: it is longer than {} s", limit.as_secs()))),
        None => Err(bad(format!("{member}: '{text}' is no duration such as 250ms or 10s"))),
    }
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| bad(error.to_string()))
}

fn bad(why: impl Into<String>) -> Refusal {
    (StatusCode::BAD_REQUEST, why.into())
}
