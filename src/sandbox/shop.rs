//! What the stand-in knows: the seeded assortment, and over it what has been changed since start.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use super::assortment::{Assortment, Product};
use super::carts::Carts;
use super::company::{Affiliation, Channel, Customer, Warehouse};
use super::language::Language;
use crate::clock::{Clock, Timestamp};

/// How long a Commerce Scale Unit's inventory calculation is kept.
const INVENTORY_CACHE_FOR: Duration = Duration::from_secs(60);
/// Calculations kept at most; past it they are done anew each time.
const INVENTORY_CACHE_ENTRIES: usize = 100_000;

/// Everything that answers are made of.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) assortment: Assortment,
    pub(crate) clock: Clock,
    pub(crate) carts: Carts,
    changes: RwLock<Changes>,
    inventory_cache: Option<Mutex<Calculations>>,
}

/// What is available by product and warehouse, and when it was calculated.
type Calculations = HashMap<(i64, &'static str), (Timestamp, f64)>;

/// Bounded by products × (customers + 1), products × warehouses, and products.
#[derive(Debug, Default)]
struct Changes {
    prices: HashMap<(i64, Option<&'static str>), f64>,
    stock: HashMap<(i64, &'static str), f64>,
    names: HashMap<i64, String>,
}

/// A product's price for someone, in the channel's currency.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quote {
    /// The list price.
    pub(crate) base: f64,
    /// What applies before discounts: the contract price for a customer with one.
    pub(crate) adjusted: f64,
    /// After the affiliation's discount, where one applies.
    pub(crate) contextual: f64,
    pub(crate) affiliation: Option<&'static Affiliation>,
}

/// Who a price is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PriceContext {
    pub(crate) channel: &'static Channel,
    pub(crate) customer: Option<&'static Customer>,
    pub(crate) affiliation: Option<&'static Affiliation>,
}

impl Shop {
    pub(crate) fn new(
        assortment: Assortment,
        clock: Clock,
        carts: Carts,
        inventory_cache: bool,
    ) -> Self {
        Self {
            assortment,
            clock,
            carts,
            changes: RwLock::default(),
            inventory_cache: inventory_cache.then(Mutex::default),
        }
    }

    /// What a product costs. A changed price holds for every channel; one set on a master holds
    /// for its variants unless they have their own.
    pub(crate) fn quote(&self, product: Product, context: PriceContext) -> Quote {
        let changes = self.changes.read();
        let changed = |account| {
            let of = |record_id| changes.prices.get(&(record_id, account)).copied();
            of(product.record_id()).or_else(|| of(product.master_record_id()?))
        };
        let generated = || {
            let hundredths = product.list_price_cents() * context.channel.price_percent;
            ((hundredths + 50) / 100) as f64 / 100.0
        };
        let base = changed(None).unwrap_or_else(generated);
        let contract = |customer: &Customer| {
            changed(Some(customer.account))
                .unwrap_or_else(|| less_percent(base, customer.contract_percent))
        };
        let adjusted = context.customer.map_or(base, contract);
        let off = context.affiliation.map_or(0, |affiliation| affiliation.percent);
        Quote {
            base,
            adjusted,
            contextual: less_percent(adjusted, off),
            affiliation: context.affiliation,
        }
    }

    pub(crate) fn name(&self, product: Product, language: Language) -> String {
        let changes = self.changes.read();
        let of = |record_id| changes.names.get(&record_id).cloned();
        of(product.record_id())
            .or_else(|| of(product.master_record_id()?))
            .unwrap_or_else(|| product.name(language))
    }

    /// What can be sold from a warehouse, in pieces. With the inventory cache, up to a minute old.
    pub(crate) fn available(&self, product: Product, warehouse: &'static Warehouse) -> f64 {
        let Some(cache) = &self.inventory_cache else {
            return self.calculate_available(product, warehouse);
        };
        let now = self.clock.now();
        let fresh = |at: Timestamp| now.saturating_since(at) < INVENTORY_CACHE_FOR;
        let mut cache = cache.lock();
        let calculation = (product.record_id(), warehouse.id);
        if let Some((at, available)) = cache.get(&calculation)
            && fresh(*at)
        {
            return *available;
        }
        let available = self.calculate_available(product, warehouse);
        if cache.len() >= INVENTORY_CACHE_ENTRIES {
            cache.retain(|_, (at, _)| fresh(*at));
        }
        if cache.len() < INVENTORY_CACHE_ENTRIES {
            cache.insert(calculation, (now, available));
        }
        available
    }

    fn calculate_available(&self, product: Product, warehouse: &'static Warehouse) -> f64 {
        let changed = self.changes.read().stock.get(&(product.record_id(), warehouse.id)).copied();
        changed.unwrap_or_else(|| {
            let hash = self.assortment.hash(product, warehouse.id);
            if hash.is_multiple_of(8) { 0.0 } else { (hash / 8 % 250) as f64 }
        })
    }

    pub(crate) fn set_price(
        &self,
        product: Product,
        price: f64,
        customer: Option<&'static Customer>,
    ) {
        let account = customer.map(|customer| customer.account);
        self.changes.write().prices.insert((product.record_id(), account), price);
    }

    pub(crate) fn set_available(
        &self,
        product: Product,
        warehouse: &'static Warehouse,
        available: f64,
    ) {
        self.changes.write().stock.insert((product.record_id(), warehouse.id), available);
    }

    pub(crate) fn set_name(&self, product: Product, name: String) {
        self.changes.write().names.insert(product.record_id(), name);
    }
}

/// A price less some per cent, rounded to hundredths.
fn less_percent(price: f64, percent: i64) -> f64 {
    if percent == 0 { price } else { round_money(price * (100 - percent) as f64 / 100.0) }
}

/// Rounds to hundredths.
pub(crate) fn round_money(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}
