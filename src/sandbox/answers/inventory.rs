//! Stock levels.

use serde_json::{Value, json};

use super::{Answer, Answered, collection};
use crate::sandbox::assortment::Product;
use crate::sandbox::call::{Call, field};
use crate::sandbox::company::{DATA_AREA, WAREHOUSES, Warehouse};
use crate::sandbox::language::{Text, text};
use crate::sandbox::page::Rows;

/// Below this many pieces the level is LOW.
const LOW_BELOW: f64 = 10.0;

/// How much there is, as a shopper is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Level {
    Available,
    Low,
    OutOfStock,
}

impl Level {
    pub(crate) fn of(available: f64) -> Self {
        if available <= 0.0 {
            Self::OutOfStock
        } else if available < LOW_BELOW {
            Self::Low
        } else {
            Self::Available
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "AVAIL",
            Self::Low => "LOW",
            Self::OutOfStock => "OOS",
        }
    }

    pub(crate) const fn label(self) -> Text {
        match self {
            Self::Available => text("Available", "På lager"),
            Self::Low => text("Limited availability", "Få på lager"),
            Self::OutOfStock => text("Out of stock", "Ikke på lager"),
        }
    }
}

/// The channel's warehouse, or every one.
pub(crate) fn estimated_availability<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let criteria = call.get("searchCriteria").unwrap_or(&Value::Null);
    let ids =
        field(criteria, "ProductIds").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let default_only = field(criteria, "DefaultWarehouseOnly") == Some(&Value::Bool(true));
    let groups = ids
        .iter()
        .filter_map(|id| call.shop.assortment.by_record_id(id.as_i64()?))
        .map(|product| (product, warehouses(call, default_only).collect()));
    Ok(availability(call, groups))
}

/// An unbroken run of one product's pairs is summed together.
pub(crate) fn warehouse_availability<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let pairs = call.list("productWarehouses").iter().filter_map(|pair| {
        let product = call.shop.assortment.by_record_id(field(pair, "ProductId")?.as_i64()?)?;
        Some((product, Warehouse::by_id(field(pair, "InventLocationId")?.as_str()?)?))
    });
    let mut runs: Vec<(Product, Vec<&Warehouse>)> = Vec::new();
    for (product, warehouse) in pairs {
        match runs.last_mut() {
            Some((last, places)) if *last == product => places.push(warehouse),
            _ => runs.push((product, vec![warehouse])),
        }
    }
    Ok(availability(call, runs))
}

fn warehouses(call: &Call<'_>, default_only: bool) -> impl Iterator<Item = &'static Warehouse> {
    let default = call.channel.warehouse;
    WAREHOUSES.iter().filter(move |warehouse| !default_only || warehouse.id == default)
}

/// Both arrays: a row for each warehouse of each group, and one for the group, in which a warehouse
/// that is named twice counts once.
fn availability<'a>(
    call: &Call<'_>,
    groups: impl IntoIterator<Item = (Product, Vec<&'static Warehouse>)>,
) -> Answer<'a> {
    let (mut rows, mut totals) = (Vec::new(), Vec::new());
    for (product, places) in groups {
        let mut total = 0.0;
        for (at, warehouse) in places.iter().enumerate() {
            let available = call.shop.available(product, warehouse);
            rows.push(warehouse_row(call, product, warehouse, available));
            if !places.iter().take(at).any(|earlier| earlier.id == warehouse.id) {
                total += available;
            }
        }
        totals.push(total_row(call, product.record_id(), total));
    }
    let value = json!({
        "ProductWarehouseInventoryAvailabilities": rows,
        "AggregatedProductInventoryAvailabilities": totals,
        "ExtensionProperties": [],
    });
    Answer::Entity("ProductInventoryAvailabilities", value)
}

fn warehouse_row(
    call: &Call<'_>,
    product: Product,
    warehouse: &Warehouse,
    available: f64,
) -> Value {
    let level = Level::of(available);
    let label = level.label().say(call.language);
    json!({
        "ProductId": product.record_id(),
        "InventLocationId": warehouse.id,
        "DataAreaId": DATA_AREA,
        "PhysicalInventory": available,
        "PhysicalReserved": 0.0,
        "OrderedSum": 0.0,
        "TotalAvailable": available,
        "TotalAvailableInventoryLevelLabel": label,
        "TotalAvailableInventoryLevelCode": level.as_str(),
        "PhysicalAvailable": available,
        "PhysicalAvailableInventoryLevelLabel": label,
        "PhysicalAvailableInventoryLevelCode": level.as_str(),
        "UnitOfMeasure": "ea",
        "QuantityUnitTypeValue": 1,
        "MaximumPurchasablePhysicalAvailableQuantity": available.max(0.0),
        "LastInventoryTransactionId": 0,
        "ExtensionProperties": [],
    })
}

fn total_row(call: &Call<'_>, product_id: i64, available: f64) -> Value {
    let level = Level::of(available);
    let label = level.label().say(call.language);
    json!({
        "ProductId": product_id,
        "DataAreaId": DATA_AREA,
        "TotalAvailableQuantity": available,
        "TotalAvailableInventoryLevelLabel": label,
        "TotalAvailableInventoryLevelCode": level.as_str(),
        "PhysicalAvailableQuantity": available,
        "PhysicalAvailableInventoryLevelLabel": label,
        "PhysicalAvailableInventoryLevelCode": level.as_str(),
        "UnitOfMeasure": "ea",
        "QuantityUnitTypeValue": 1,
        "ExtensionProperties": [],
    })
}

/// The older form, by item number.
pub(crate) fn product_availabilities<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let Some(warehouse) = Warehouse::by_id(call.channel.warehouse) else {
        return collection("ItemAvailability", Vec::new());
    };
    let found = call.list("itemIds").iter().filter_map(Value::as_str);
    let found = found.filter_map(|id| call.shop.assortment.by_item_id(id)).collect();
    let row = |product: &Product| {
        json!({
            "ItemId": product.item_id(),
            "ProductId": product.record_id(),
            "InventoryLocationId": warehouse.id,
            "VariantInventoryDimensionId": "",
            "AvailableQuantity": call.shop.available(*product, warehouse),
            "UnitOfMeasure": "ea",
            "ExtensionProperties": [],
        })
    };
    Ok(Answer::Collection("ItemAvailability", Rows::of(found, row)))
}

/// Stores and what they have: one product in every place.
pub(crate) fn org_unit_availability<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let criteria = ["searchCriteria", "availabilitySearchCriteria"];
    let inside = || criteria.into_iter().find_map(|name| field(call.get(name)?, "ProductId"));
    let product_id = call.get("productId").or_else(inside).and_then(Value::as_i64);
    let item_id = ["itemId", "itemIds"].into_iter().find_map(|name| match call.get(name)? {
        Value::Array(items) => items.first()?.as_str(),
        value => value.as_str(),
    });
    let assortment = &call.shop.assortment;
    let product = product_id
        .and_then(|id| assortment.by_record_id(id))
        .or_else(|| assortment.by_item_id(item_id?));
    let rows = product
        .map(|product| WAREHOUSES.iter().map(|place| org_unit_row(call, product, place)).collect());
    collection("OrgUnitAvailability", rows.unwrap_or_default())
}

fn org_unit_row(call: &Call<'_>, product: Product, warehouse: &'static Warehouse) -> Value {
    json!({
        "OrgUnitLocation": super::configuration::location(call, warehouse),
        "ItemAvailabilities": [{
            "ItemId": product.item_id(),
            "ProductId": product.record_id(),
            "InventoryLocationId": warehouse.id,
            "AvailableQuantity": call.shop.available(product, warehouse),
            "UnitOfMeasure": "ea",
        }],
        "ExtensionProperties": [],
    })
}
