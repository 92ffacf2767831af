//! Nodes on one Redis: a response fetched by one is a hit on all, and a purge acknowledged by one
//! holds on all.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

#[path = "../support/mod.rs"]
mod support;

mod faults;
mod kinds;
mod leases;
mod plane;
mod status;
mod tier;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::{Value, json};

use support::node::Got;
use support::origin::{Seen, json as answer, prices_of, products_in};
use support::reads::named;

const PRICES: &str = "Products/GetActivePrices";

/// What an origin says where everything costs this much, and is called so.
fn selling(value: u32) -> impl FnMut(&Seen) -> Response<Full<Bytes>> + Send + 'static {
    move |seen| match seen.target.contains(PRICES) {
        true => {
            let products = products_in(&seen.body).into_iter();
            answer(prices_of(products.map(|product| (product, "82000", value))))
        }
        false => answer(named(&value.to_string())),
    }
}

/// The event by which everything that [`selling`] prices changes.
fn price_changed() -> Value {
    json!({"class": "price", "items": ["82000"]})
}

fn name(got: &Got) -> String {
    got.json()["Name"].as_str().unwrap_or_else(|| panic!("{got:?}")).to_owned()
}

/// The price of a product that nobody has asked for before.
fn another_price() -> Request<String> {
    support::reads::price_of(rand::random_range(1_000_000..1 << 52))
}
