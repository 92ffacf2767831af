//! Prices: GetActivePrices, GetPrice, CalculateProductPrice.

use serde_json::{Value, json};

use super::{Answer, Answered, entity_or_nothing, text_property};
use crate::sandbox::assortment::{Kind, Product};
use crate::sandbox::call::{Call, field};
use crate::sandbox::page::Rows;
use crate::sandbox::shop::{PriceContext, Quote, round_money};

/// The price group of those without a contract.
const EVERYBODY: &str = "ALL";
/// `PriceSourceType`: a base price, and one that a trade agreement gave.
const FROM_BASE: i64 = 1;
const FROM_TRADE_AGREEMENT: i64 = 2;

/// Prices of the listed products; ids that stand for no product are left out.
pub(crate) fn active_prices<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let context = call.price_context()?;
    let valid_from = valid_from(call);
    let with_discounts =
        call.get("includeSimpleDiscountsInContextualPrice") == Some(&Value::Bool(true));
    Ok(Answer::Collection(
        "ProductPrice",
        Rows::of(call.products("productIds"), move |product| {
            product_price(call, *product, context, &valid_from, with_discounts)
        }),
    ))
}

/// The price of the product in the key.
pub(crate) fn price<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let context = call.price_context()?;
    let price = |product| product_price(call, product, context, &valid_from(call), true);
    entity_or_nothing("ProductPrice", call.product().map(price))
}

/// The instant that the client asked about, as it wrote it; now where it did not.
fn valid_from(call: &Call<'_>) -> String {
    call.text("activeDate").map_or_else(|| call.now.to_string(), str::to_owned)
}

fn product_price(
    call: &Call<'_>,
    product: Product,
    context: PriceContext,
    valid_from: &str,
    with_discounts: bool,
) -> Value {
    let quote = call.shop.quote(product, context);
    let contextual = if with_discounts { quote.contextual } else { quote.adjusted };
    let (least, most) = variant_range(call, product, context, quote);
    let catalogue_id = call.get("projectDomain").and_then(|domain| field(domain, "CatalogId"));
    let source = if context.customer.is_some() { FROM_TRADE_AGREEMENT } else { FROM_BASE };
    let price_group = context.customer.map_or(EVERYBODY, |customer| customer.price_group);
    json!({
        "ProductId": product.record_id(),
        "ListingId": product.record_id(),
        "ItemId": product.item_id(),
        "InventoryDimensionId": inventory_dimension(product),
        "BasePrice": quote.base,
        "TradeAgreementPrice": quote.adjusted,
        "AdjustedPrice": quote.adjusted,
        "CustomerContextualPrice": contextual,
        "MinVariantPrice": least,
        "MaxVariantPrice": most,
        "DiscountAmount": round_money(quote.adjusted - contextual),
        "CurrencyCode": context.channel.currency,
        "UnitOfMeasure": "ea",
        "ValidFrom": valid_from,
        "ChannelId": context.channel.id,
        "CatalogId": catalogue_id.and_then(Value::as_i64).unwrap_or(0),
        "SalesAgreementPrice": 0.0,
        "PriceSourceTypeValue": source,
        "DiscountLines": discount_lines(call, quote, with_discounts),
        "AttainablePriceLines": [],
        "ExtensionProperties": [text_property("PriceGroup", price_group)],
    })
}

/// Variants have an inventory dimension of their own.
fn inventory_dimension(product: Product) -> String {
    match product.kind {
        Kind::Variant { .. } => format!("{:06}", product.index),
        _ => String::new(),
    }
}

fn variant_range(
    call: &Call<'_>,
    product: Product,
    context: PriceContext,
    quote: Quote,
) -> (f64, f64) {
    let variants = call.shop.assortment.variants(product);
    let prices = variants.map(|variant| call.shop.quote(variant, context).adjusted);
    prices
        .fold(None, |range: Option<(f64, f64)>, price| {
            let (least, most) = range.unwrap_or((price, price));
            Some((least.min(price), most.max(price)))
        })
        .unwrap_or((quote.adjusted, quote.adjusted))
}

fn discount_lines(call: &Call<'_>, quote: Quote, with_discounts: bool) -> Vec<Value> {
    let Some(affiliation) = quote.affiliation.filter(|_| with_discounts) else { return Vec::new() };
    let amount = round_money(quote.adjusted - quote.contextual);
    vec![json!({
        "OfferId": affiliation.price_group,
        "OfferName": affiliation.name.say(call.language),
        "Percentage": affiliation.percent,
        "Amount": 0.0,
        "EffectiveAmount": amount,
        "EffectivePercentage": affiliation.percent,
        "DiscountLineTypeValue": 1,
        "PeriodicDiscountTypeValue": 0,
    })]
}
