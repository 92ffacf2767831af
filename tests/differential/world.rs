//! What changes at the stand-in while it is asked, and is told to the node.

use std::time::Duration;

use csu_edge::sandbox::{Pushed, Sandbox};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::lists::{ACCOUNTS, PRODUCTS, WAREHOUSES};
use super::support::shop::FIRST;

/// Changes something; when it returns, the node has acknowledged the event.
pub(crate) async fn change(sandbox: &Sandbox, random: &mut StdRng) {
    let product = FIRST + random.random_range(0..PRODUCTS);
    let pushed = match random.random_range(0..5) {
        0 | 1 => {
            let price = f64::from(random.random_range(0..20_000_000)) / 100.0;
            let customer = if random.random() { None } else { ACCOUNTS.choose(random).copied() };
            sandbox.set_price(product, price, customer).await
        }
        2 | 3 => {
            let warehouse = WAREHOUSES.choose(random).unwrap();
            let available = f64::from(random.random_range(-40..400)) / 4.0;
            sandbox.set_inventory(product, warehouse, available).await
        }
        _ => {
            let name = format!("Zephyr \"{}\" é\u{1F980}", random.random_range(0..1_000_000));
            sandbox.set_name(product, &name).await
        }
    };
    assert_eq!(pushed, Ok(Pushed::Acknowledged));
}

/// How far the clock is moved: mostly within every lifetime, now and then past those of what is
/// absent and of stock, of prices, and of products.
pub(crate) fn pause(random: &mut StdRng) -> Duration {
    let seconds = [0, 0, 0, 1, 1, 2, 5, 9, 31, 31, 301, 901];
    Duration::from_secs(*seconds.choose(random).unwrap())
}
