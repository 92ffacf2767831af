//! What clients ask.

use csu_edge::clock::Timestamp;
use serde_json::json;

use crate::common::load::{get, post};
use crate::support::shop::{CHANNEL, FIRST};

/// The stand-in's product at a position.
pub(crate) const fn product(position: usize) -> i64 {
    FIRST + position as i64
}

/// The prices of these products, as a storefront asks for a page's.
pub(crate) fn prices(products: &[i64], now: Timestamp) -> Vec<u8> {
    let body = json!({
        "projectDomain": {"ChannelId": CHANNEL, "CatalogId": 0},
        "productIds": products,
        "activeDate": now.to_string(),
        "customerId": null,
        "affiliationLoyaltyTiers": [],
        "includeSimpleDiscountsInContextualPrice": true,
    });
    post("/Commerce/Products/GetActivePrices?api-version=7.3", &body.to_string())
}

/// One product.
pub(crate) fn by_id(product: i64) -> Vec<u8> {
    get(&format!("/Commerce/Products({product})/GetById(channelId={CHANNEL})?api-version=7.3"))
}
