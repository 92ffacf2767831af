//! Another configuration for a node that runs: what holds from then on, and that nobody notices
//! anything else.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

#[path = "../support/mod.rs"]
mod support;

mod atomic;
mod bounds;
mod fleet;
mod process;
mod settings;
mod stored;

use csu_edge::config::{Config, OperationRule};
use csu_edge::operation::Class;

const PRICES: &str = "Products/GetActivePrices";

/// Prices are of another class, so that they are stored by another definition.
fn as_inventory(config: &mut Config) {
    let class = Some(Class::Inventory);
    config.operations =
        vec![OperationRule { name: PRICES.to_owned(), class, ..OperationRule::default() }];
}
