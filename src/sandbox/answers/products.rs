//! What products are.

use serde_json::{Value, json};

use super::{Answer, Answered, collection, entity_or_nothing, text_property};
use crate::sandbox::assortment::{DimensionValue, Kind, Product};
use crate::sandbox::call::{Call, field};
use crate::sandbox::language::{Text, text};
use crate::sandbox::page::Rows;

const ATTRIBUTES: i64 = 68_719_482_000;
const RELATIONS: [(i64, Text); 2] = [
    (68_719_483_001, text("Goes with", "Passer til")),
    (68_719_483_002, text("Similar", "Lignende")),
];
const COLOUR: (i64, i64) = (68_719_484_001, 1);
const SIZE: (i64, i64) = (68_719_484_002, 3);
/// Products that an answer suggests beside another.
const SUGGESTED: usize = 4;

pub(crate) fn by_ids<'a>(call: &'a Call<'a>) -> Answered<'a> {
    simple_products(call, call.products("productIds"))
}

pub(crate) fn by_id<'a>(call: &'a Call<'a>) -> Answered<'a> {
    entity_or_nothing("SimpleProduct", call.product().map(|p| simple_product(call, p)))
}

/// Clauses name an item (`ItemId`) or a product (`ProductId`).
pub(crate) fn by_lookup_clauses<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let assortment = &call.shop.assortment;
    let found = call.list("productLookupClauses").iter().filter_map(|clause| {
        let by_item = || assortment.by_item_id(field(clause, "ItemId")?.as_str()?);
        let by_id = || assortment.by_record_id(field(clause, "ProductId")?.as_i64()?);
        by_id().or_else(by_item)
    });
    simple_products(call, found.collect())
}

fn simple_products<'a>(call: &'a Call<'a>, products: Vec<Product>) -> Answered<'a> {
    let rows = Rows::of(products, |product| simple_product(call, *product));
    Ok(Answer::Collection("SimpleProduct", rows))
}

fn simple_product(call: &Call<'_>, product: Product) -> Value {
    let quote = call.embedded_quote(product);
    let kind = match product.kind {
        Kind::Single => 0,
        Kind::Master { .. } => 1,
        Kind::Variant { .. } => 3,
    };
    json!({
        "RecordId": product.record_id(),
        "ItemId": product.item_id(),
        "Name": call.shop.name(product, call.language),
        "Description": product.description(call.language),
        "ProductTypeValue": kind,
        "DefaultUnitOfMeasure": "ea",
        "BasePrice": quote.base,
        "Price": quote.adjusted,
        "AdjustedPrice": quote.adjusted,
        "MasterProductId": product.master_record_id(),
        "Components": [],
        "Dimensions": dimensions(call, product),
        "Behavior": {
            "HasSerialNumber": false,
            "IsDiscountAllowed": true,
            "IsManualDiscountAllowed": true,
            "IsKitDisassemblyAllowed": false,
            "IsNegativeQuantityAllowed": false,
            "IsReturnAllowed": true,
            "IsSaleAtPhysicalStoresAllowed": true,
            "IsZeroSalePriceAllowed": false,
            "MustKeyInComment": false,
            "MustPromptForSerialNumberOnlyAtSale": false,
            "ValidFromDateForSaleAtPhysicalStores": "1900-01-01T00:00:00Z",
            "ValidToDateForSaleAtPhysicalStores": "2154-12-31T23:59:59Z",
        },
        "LinkedProducts": [],
        "PrimaryImageUrl": image(product, 0),
        "ExtensionProperties": [],
    })
}

pub(crate) fn image(product: Product, number: usize) -> String {
    format!("Products/{}_000_{:03}.png", product.item_id(), number + 1)
}

/// A variant's two values; a master's two dimensions without a value.
fn dimensions(call: &Call<'_>, product: Product) -> Vec<Value> {
    match (product.kind, product.dimensions()) {
        (_, Some((colour, size))) => {
            vec![dimension(call, COLOUR, Some(colour)), dimension(call, SIZE, Some(size))]
        }
        (Kind::Master { .. }, _) => {
            vec![dimension(call, COLOUR, None), dimension(call, SIZE, None)]
        }
        _ => Vec::new(),
    }
}

fn dimension(call: &Call<'_>, of: (i64, i64), chosen: Option<DimensionValue>) -> Value {
    json!({
        "DimensionTypeValue": of.1,
        "DimensionValue": chosen.map(|value| dimension_value(call, of, value)),
        "ExtensionProperties": [],
    })
}

fn dimension_value(call: &Call<'_>, of: (i64, i64), value: DimensionValue) -> Value {
    json!({
        "RecordId": value.record_id,
        "DimensionId": of.0,
        "Value": value.name.say(call.language),
        "DisplayOrder": 0,
        "ExtensionProperties": [],
    })
}

/// The values of one dimension that the variants have, given those already chosen.
pub(crate) fn dimension_values<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let of = if call.int("dimension") == Some(COLOUR.1) { COLOUR } else { SIZE };
    let mut found: Vec<DimensionValue> = Vec::new();
    for variant in matching_variants(call) {
        let Some((colour, size)) = variant.dimensions() else { continue };
        let value = if of == COLOUR { colour } else { size };
        if !found.iter().any(|other| other.record_id == value.record_id) {
            found.push(value);
        }
    }
    let rows = found.into_iter().map(|value| dimension_value(call, of, value)).collect();
    collection("ProductDimensionValue", rows)
}

pub(crate) fn variants_by_dimension_values<'a>(call: &'a Call<'a>) -> Answered<'a> {
    simple_products(call, matching_variants(call))
}

/// No product here is a kit, so no variant has components.
pub(crate) fn variants_by_components<'a>(_: &'a Call<'a>) -> Answered<'a> {
    collection("SimpleProduct", Vec::new())
}

pub(crate) fn components<'a>(_: &'a Call<'a>) -> Answered<'a> {
    collection("ProductComponent", Vec::new())
}

/// The variants of the product in the key whose values agree with `matchingDimensionValues`.
fn matching_variants(call: &Call<'_>) -> Vec<Product> {
    let Some(product) = call.product() else { return Vec::new() };
    let chosen: Vec<i64> = call
        .list("matchingDimensionValues")
        .iter()
        .filter_map(|dimension| {
            let value = field(dimension, "DimensionValue").unwrap_or(dimension);
            field(value, "RecordId")?.as_i64()
        })
        .collect();
    let agrees = |variant: &Product| {
        let values = variant.dimensions().map_or([0, 0], |(c, s)| [c.record_id, s.record_id]);
        chosen.iter().all(|id| values.contains(id))
    };
    call.shop.assortment.variants(product).filter(agrees).collect()
}

pub(crate) fn attribute_values<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let rows = call.product().map(|product| attributes(call, product)).unwrap_or_default();
    collection("AttributeValue", rows)
}

/// A product's attributes, as product and search answers carry them.
pub(crate) fn attributes(call: &Call<'_>, product: Product) -> Vec<Value> {
    let said = |text: Text| text.say(call.language).to_owned();
    let texts = [
        (text("Brand", "Merke"), product.brand().to_owned()),
        (text("Material", "Materiale"), said(product.material())),
        (text("Season", "Sesong"), said(text("All year", "Hele året"))),
        (text("Care", "Vedlikehold"), said(text("Wipe with a damp cloth", "Tørk med fuktig klut"))),
    ];
    let mut rows: Vec<Value> = (1..)
        .zip(texts)
        .map(|(number, (name, value))| attribute(call, number, name, &value, None))
        .collect();
    let weight = product.weight_g();
    let name = text("Weight (g)", "Vekt (g)");
    rows.push(attribute(call, 5, name, &weight.to_string(), Some(weight)));
    if let Some((colour, size)) = product.dimensions() {
        let name = text("Colour", "Farge");
        rows.push(attribute(call, 6, name, colour.name.say(call.language), None));
        let name = text("Size", "Størrelse");
        rows.push(attribute(call, 7, name, size.name.say(call.language), None));
    }
    rows
}

pub(crate) fn attribute(
    call: &Call<'_>,
    number: i64,
    name: Text,
    value: &str,
    integer: Option<u64>,
) -> Value {
    json!({
        "RecordId": ATTRIBUTES + number,
        "Name": name.say(call.language),
        "KeyName": name.say(crate::sandbox::language::Language::English),
        "DataTypeValue": if integer.is_some() { 4 } else { 5 },
        "TextValue": value,
        "IntegerValue": integer.unwrap_or(0),
        "FloatValue": 0.0,
        "BooleanValue": false,
        "CurrencyValue": 0.0,
        "UnitText": Value::Null,
        "Swatches": [],
        "ExtensionProperties": [],
    })
}

pub(crate) fn media_locations<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let locations = call.product().into_iter().flat_map(|product| {
        (0..3).map(move |number| {
            json!({
                "Uri": image(product, number),
                "AltText": call.shop.name(product, call.language),
                "MimeType": "image/png",
                "IsDefault": number == 0,
                "IsSelfHosted": false,
                "Priority": number,
            })
        })
    });
    collection("MediaLocation", locations.collect())
}

/// Offline images, which no product here has.
pub(crate) fn media_blobs<'a>(_: &'a Call<'a>) -> Answered<'a> {
    collection("MediaBlob", Vec::new())
}

pub(crate) fn relation_types<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let exists = call.product().is_some();
    let rows = RELATIONS.iter().filter(|_| exists).map(|(record_id, name)| {
        json!({"RecordId": record_id, "Name": name.say(call.language), "ExtensionProperties": []})
    });
    collection("ProductRelationType", rows.collect())
}

pub(crate) fn related_products<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let is_known = RELATIONS.iter().any(|(id, _)| call.int("relationTypeId") == Some(*id));
    let products = call.product().filter(|_| is_known).map(|p| neighbours(call, p));
    simple_products(call, products.unwrap_or_default())
}

/// Suggestions that depend on who asks: customers are shown different neighbours.
pub(crate) fn recommended_products<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let shift = call.customer()?.map_or(0, |customer| customer.account.len() + customer.name.len());
    let seeds = call.products("productIds");
    let found = seeds.into_iter().flat_map(|product| neighbours(call, product));
    let mut found: Vec<Product> = found.collect();
    let turn = if found.is_empty() { 0 } else { shift % found.len() };
    found.rotate_left(turn);
    found.truncate(SUGGESTED);
    search_results(call, found)
}

/// The elements of a recommendation list: best sellers and the like.
pub(crate) fn recommendation_elements<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let all = call.shop.assortment.all().filter(|product| !product.is_variant());
    let rows = all.take(SUGGESTED * 3).map(|product| {
        json!({
            "ElementId": product.record_id().to_string(),
            "ElementTypeValue": 1,
            "ElementScore": 1.0,
            "ExtensionProperties": [],
        })
    });
    collection("RecommendedElement", rows.collect())
}

fn search_results<'a>(call: &'a Call<'a>, products: Vec<Product>) -> Answered<'a> {
    let row = |product: &Product| super::search::result(call, *product, false);
    Ok(Answer::Collection("ProductSearchResult", Rows::of(products, row)))
}

/// The next products of the same category.
fn neighbours(call: &Call<'_>, product: Product) -> Vec<Product> {
    let assortment = call.shop.assortment;
    (product.index + 1..)
        .map_while(|index| assortment.at(index))
        .filter(|other| !other.is_variant() && other.category().index == product.category().index)
        .take(SUGGESTED)
        .collect()
}

pub(crate) fn units_of_measure<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let units = [("ea", text("Each", "Stykk")), ("pcs", text("Pieces", "Deler"))];
    let exists = call.product().is_some();
    let rows = units.iter().filter(|_| exists).map(|(symbol, name)| {
        json!({
            "Symbol": symbol,
            "Description": name.say(call.language),
            "DecimalPrecision": 0,
            "ExtensionProperties": [],
        })
    });
    collection("UnitOfMeasure", rows.collect())
}

/// The attributes of several products side by side.
pub(crate) fn compare<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let rows = Rows::of(call.products("productIds"), |product| {
        json!({
            "ProductId": product.record_id(),
            "ProductName": call.shop.name(*product, call.language),
            "Price": call.embedded_quote(*product).adjusted,
            "AttributeValues": attributes(call, *product),
        })
    });
    Ok(Answer::Collection("ProductCompareResult", rows))
}

pub(crate) fn category_paths<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let rows = Rows::of(call.products("productIds"), |product| {
        let mut path: Vec<Value> = product
            .category()
            .lineage()
            .map(|category| super::categories::category(call, category))
            .collect();
        path.reverse();
        json!({"ProductId": product.record_id(), "CategoryPath": path})
    });
    Ok(Answer::Collection("ProductCategoryPathLookup", rows))
}

pub(crate) fn ratings<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let rows = Rows::of(call.products("productIds"), |product| {
        let hash = call.shop.assortment.hash(*product, "rating");
        json!({
            "ProductId": product.record_id(),
            "AverageRating": 2.5 + (hash % 26) as f64 / 10.0,
            "TotalRatingsCount": hash / 26 % 400,
        })
    });
    Ok(Answer::Collection("ProductRating", rows))
}

pub(crate) fn delivery_options<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let rows = Rows::of(call.products("productIds"), |product| {
        json!({
            "ProductId": product.record_id(),
            "DeliveryOptions": [
                option(call, "60", text("Standard", "Standard"), 9.95),
                option(call, "70", text("Pick up", "Hent i butikk"), 0.0),
            ],
            "ExtensionProperties": [text_property("Category", product.category().name.say(call.language))],
        })
    });
    Ok(Answer::Collection("ProductDeliveryOptions", rows))
}

fn option(call: &Call<'_>, code: &str, name: Text, price: f64) -> Value {
    json!({
        "Code": code,
        "Description": name.say(call.language),
        "TotalChargeAmount": price,
        "ExtensionProperties": [],
    })
}
