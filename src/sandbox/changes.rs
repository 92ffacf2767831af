//! Changes to what the stand-in sells: checked, applied, and told.

use super::assortment::Product;
use super::company::{Customer, Warehouse};
use super::push::{Changed, Pushed, Pusher};
use super::shop::Shop;

const MAX_PRICE: f64 = 1e12;
const MAX_STOCK: f64 = 1e9;
const MAX_NAME_BYTES: usize = 1_000;

/// A change that was refused, and why; nothing was applied.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ChangeRefused(String);

fn refused<T>(why: impl Into<String>) -> Result<T, ChangeRefused> {
    Err(ChangeRefused(why.into()))
}

/// Applies changes and then pushes them, in this order, so that whoever is told can read them.
#[derive(Debug)]
pub(crate) struct Changes<'a> {
    pub(crate) shop: &'a Shop,
    pub(crate) pusher: Option<&'a Pusher>,
}

impl Changes<'_> {
    pub(crate) async fn set_price(
        &self,
        product_id: i64,
        price: f64,
        customer: Option<&str>,
    ) -> Result<Pushed, ChangeRefused> {
        let product = self.product(product_id)?;
        if !(0.0..=MAX_PRICE).contains(&price) {
            return refused(format!("price: {price} is not between 0 and {MAX_PRICE}"));
        }
        let customer = match customer {
            None => None,
            Some(account) => match Customer::by_account(account) {
                None => return refused(format!("customerId: there is no customer '{account}'")),
                found => found,
            },
        };
        self.shop.set_price(product, price, customer);
        Ok(self.push(Changed::Price(product, customer)).await)
    }

    pub(crate) async fn set_inventory(
        &self,
        product_id: i64,
        warehouse: &str,
        available: f64,
    ) -> Result<Pushed, ChangeRefused> {
        let product = self.product(product_id)?;
        let Some(warehouse) = Warehouse::by_id(warehouse) else {
            return refused(format!("warehouse: there is no warehouse '{warehouse}'"));
        };
        if !(-MAX_STOCK..=MAX_STOCK).contains(&available) {
            return refused(format!("available: {available} is not within ±{MAX_STOCK}"));
        }
        self.shop.set_available(product, warehouse, available);
        Ok(self.push(Changed::Inventory(product, warehouse)).await)
    }

    pub(crate) async fn set_name(
        &self,
        product_id: i64,
        name: &str,
    ) -> Result<Pushed, ChangeRefused> {
        let product = self.product(product_id)?;
        if name.trim().is_empty() || name.len() > MAX_NAME_BYTES {
            return refused(format!("name: it is empty, or longer than {MAX_NAME_BYTES} bytes"));
        }
        self.shop.set_name(product, name.to_owned());
        Ok(self.push(Changed::Product(product)).await)
    }

    fn product(&self, record_id: i64) -> Result<Product, ChangeRefused> {
        match self.shop.assortment.by_record_id(record_id) {
            Some(product) => Ok(product),
            None => refused(format!("productId: there is no product {record_id}")),
        }
    }

    async fn push(&self, changed: Changed) -> Pushed {
        match self.pusher {
            Some(pusher) => pusher.push(changed, &self.shop.assortment).await,
            None => Pushed::NotConfigured,
        }
    }
}
