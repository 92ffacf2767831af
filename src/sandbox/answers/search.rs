//! Lists of products: by category, by text, refined, with their refiners and suggestions.

use serde_json::{Value, json};

use super::inventory::Level;
use super::products::{attribute, attributes, image};
use super::{Answer, Answered, collection};
use crate::sandbox::assortment::{BRANDS, MATERIALS, Product};
use crate::sandbox::call::{Call, field};
use crate::sandbox::company::{CATEGORIES, Category, Warehouse};
use crate::sandbox::language::{Language, Text, text};
use crate::sandbox::page::Rows;

const BRAND_REFINER: i64 = 68_719_482_001;
const MATERIAL_REFINER: i64 = 68_719_482_002;
/// The number of the attribute that tells how much is in stock.
const INVENTORY_ATTRIBUTE: i64 = 20;
const SUGGESTIONS: usize = 10;

/// What is looked for.
#[derive(Default)]
struct Criteria<'c> {
    /// Any of these; everything where there are none.
    categories: Vec<&'static Category>,
    /// Every word must occur.
    words: Vec<String>,
    ids: Option<Vec<i64>>,
    item_ids: Option<Vec<&'c str>>,
    brands: Vec<String>,
    materials: Vec<String>,
    with_variants: bool,
    with_attributes: bool,
    /// A category was named that does not exist.
    is_impossible: bool,
}

impl<'c> Criteria<'c> {
    /// From the members of a criteria object.
    fn from_object(call: &Call<'_>, criteria: &'c Value) -> Self {
        let list = |name| field(criteria, name).and_then(Value::as_array).filter(|l| !l.is_empty());
        let is = |name| field(criteria, name) == Some(&Value::Bool(true));
        let mut read = Self {
            ids: ["Ids", "ProductIds"]
                .into_iter()
                .find_map(list)
                .map(|ids| ids.iter().filter_map(Value::as_i64).collect()),
            item_ids: list("ItemIds").map(|ids| ids.iter().filter_map(Value::as_str).collect()),
            with_variants: field(criteria, "SkipVariantExpansion") == Some(&Value::Bool(false)),
            with_attributes: is("IncludeAttributes"),
            ..Self::default()
        };
        let ids = list("CategoryIds").map_or(&[][..], Vec::as_slice);
        for id in ids.iter().filter_map(Value::as_i64) {
            read.add_category(id);
        }
        let text = ["SearchCondition", "SearchText"].into_iter().find_map(|n| field(criteria, n));
        read.add_words(text.and_then(Value::as_str).unwrap_or_default());
        read.refine(call, list("Refinement").map_or(&[][..], Vec::as_slice));
        read
    }

    /// From the parameters `categoryId`, `searchText` and `refinementCriteria`.
    fn from_parameters(call: &Call<'_>) -> Self {
        let mut read = Self::default();
        if let Some(id) = call.int("categoryId") {
            read.add_category(id);
        }
        read.add_words(call.text("searchText").unwrap_or_default());
        read.refine(call, call.list("refinementCriteria"));
        read
    }

    fn add_category(&mut self, record_id: i64) {
        match Category::by_id(record_id) {
            Some(category) => self.categories.push(category),
            None => self.is_impossible = true,
        }
    }

    fn add_words(&mut self, text: &str) {
        self.words.extend(text.split_whitespace().map(str::to_lowercase));
    }

    /// Values of one refiner widen, values of another narrow.
    fn refine(&mut self, call: &Call<'_>, refinements: &[Value]) {
        for refinement in refinements {
            let refiner = field(refinement, "RefinerRecordId").and_then(Value::as_i64);
            let value = ["LeftValueBoundString", "Value"]
                .into_iter()
                .find_map(|name| field(refinement, name)?.as_str());
            let Some(value) = value.map(str::to_owned) else { continue };
            match refiner {
                Some(BRAND_REFINER) => self.brands.push(value),
                Some(MATERIAL_REFINER) => {
                    let said = |material: &&Text| material.say(call.language) == value;
                    self.is_impossible |= MATERIALS.iter().find(said).is_none();
                    self.materials.push(value);
                }
                _ => {}
            }
        }
    }

    fn matches(&self, call: &Call<'_>, product: Product) -> bool {
        let category = product.category();
        let is_any = |list: &[String], value: &str| {
            list.is_empty() || list.iter().any(|wanted| wanted == value)
        };
        (self.with_variants || !product.is_variant() || self.ids.is_some())
            && call.catalogue.is_none_or(|catalogue| catalogue.offers(category))
            && (self.categories.is_empty()
                || self.categories.iter().any(|wanted| category.is_within(wanted)))
            && is_any(&self.brands, product.brand())
            && is_any(&self.materials, product.material().say(call.language))
            && self.matches_words(call, product)
    }

    /// In either language, as a shopper may know the word of the other.
    fn matches_words(&self, call: &Call<'_>, product: Product) -> bool {
        if self.words.is_empty() {
            return true;
        }
        let names = Language::ALL.map(|language| call.shop.name(product, language).to_lowercase());
        let item_id = product.item_id();
        self.words
            .iter()
            .all(|word| item_id == *word || names.iter().any(|name| name.contains(word)))
    }

    fn find(&self, call: &Call<'_>) -> Vec<Product> {
        if self.is_impossible {
            return Vec::new();
        }
        let assortment = &call.shop.assortment;
        if let Some(ids) = &self.ids {
            let found = ids.iter().filter_map(|id| assortment.by_record_id(*id));
            return found.filter(|product| self.matches(call, *product)).collect();
        }
        if let Some(item_ids) = &self.item_ids {
            let found = item_ids.iter().filter_map(|id| assortment.by_item_id(id));
            return found.filter(|product| self.matches(call, *product)).collect();
        }
        assortment.all().filter(|product| self.matches(call, *product)).collect()
    }
}

/// The criteria of whichever parameter carries them.
fn criteria<'c>(call: &'c Call<'_>) -> Criteria<'c> {
    let object = ["searchCriteria", "productSearchCriteria"].into_iter().find_map(|n| call.get(n));
    match object {
        Some(object) => Criteria::from_object(call, object),
        None => Criteria::from_parameters(call),
    }
}

pub(crate) fn results<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let criteria = criteria(call);
    let with_attributes = criteria.with_attributes;
    let row = move |product: &Product| result(call, *product, with_attributes);
    Ok(Answer::Collection("ProductSearchResult", Rows::of(criteria.find(call), row)))
}

pub(crate) fn result(call: &Call<'_>, product: Product, with_attributes: bool) -> Value {
    let attribute_values =
        if with_attributes { search_attributes(call, product) } else { Vec::new() };
    json!({
        "RecordId": product.record_id(),
        "ItemId": product.item_id(),
        "Name": call.shop.name(product, call.language),
        "Price": call.embedded_quote(product).adjusted,
        "BasePrice": call.embedded_quote(product).base,
        "Description": product.description(call.language),
        "PrimaryImageUrl": image(product, 0),
        "DefaultUnitOfMeasure": "ea",
        "MasterProductId": product.master_record_id(),
        "AttributeValues": attribute_values,
        "ExtensionProperties": [],
    })
}

/// The product's attributes and how much of it the channel's warehouse has.
fn search_attributes(call: &Call<'_>, product: Product) -> Vec<Value> {
    let mut rows = attributes(call, product);
    if let Some(warehouse) = Warehouse::by_id(call.channel.warehouse) {
        let level = Level::of(call.shop.available(product, warehouse));
        let name = text("Inventory level", "Lagernivå");
        let label = level.label().say(call.language);
        rows.push(attribute(call, INVENTORY_ATTRIBUTE, name, label, None));
    }
    rows
}

/// The refiners that the products found differ by, with how many each value leaves.
pub(crate) fn refiners<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let found = criteria(call).find(call);
    let refiners = [BRAND_REFINER, MATERIAL_REFINER].map(|id| refiner(call, id, &found));
    collection("ProductRefiner", refiners.into())
}

/// The values of one refiner; of all where none is named.
pub(crate) fn refiner_values<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let found = criteria(call).find(call);
    let wanted = call.int("refinerId").filter(|id| *id != 0);
    let values = [BRAND_REFINER, MATERIAL_REFINER]
        .into_iter()
        .filter(|id| wanted.is_none_or(|wanted| wanted == *id))
        .flat_map(|id| values(call, id, &found));
    collection("ProductRefinerValue", values.collect())
}

fn refiner(call: &Call<'_>, record_id: i64, found: &[Product]) -> Value {
    let name = match record_id {
        BRAND_REFINER => text("Brand", "Merke"),
        _ => text("Material", "Materiale"),
    };
    json!({
        "RecordId": record_id,
        "KeyName": name.say(call.language),
        "DataTypeValue": 5,
        "DisplayTemplateValue": 0,
        "RefinerTypeValue": 1,
        "SourceValue": 1,
        "Values": values(call, record_id, found),
        "ExtensionProperties": [],
    })
}

fn values(call: &Call<'_>, record_id: i64, found: &[Product]) -> Vec<Value> {
    let of_product = |product: &Product| match record_id {
        BRAND_REFINER => product.brand(),
        _ => product.material().say(call.language),
    };
    let all: Vec<&str> = match record_id {
        BRAND_REFINER => BRANDS.to_vec(),
        _ => MATERIALS.iter().map(|material| material.say(call.language)).collect(),
    };
    all.into_iter()
        .map(|value| (value, found.iter().filter(|p| of_product(p) == value).count()))
        .filter(|(_, count)| *count > 0)
        .map(|(value, count)| {
            json!({
                "RefinerRecordId": record_id,
                "RefinerSourceValue": 1,
                "DataTypeValue": 5,
                "LeftValueBoundString": value,
                "RightValueBoundString": value,
                "LeftValueBoundLocalizedString": value,
                "Count": count,
            })
        })
        .collect()
}

/// Categories and products whose name holds the text, with the hit between prefix and suffix.
pub(crate) fn suggestions<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let criteria = call.get("searchSuggestionCriteria");
    let asked = |name: &str| {
        let inside = criteria.and_then(|criteria| field(criteria, name)?.as_str());
        inside.or_else(|| call.text(name)).unwrap_or_default().to_owned()
    };
    let (wanted, prefix, suffix) = (asked("searchText"), asked("hitPrefix"), asked("hitSuffix"));
    let wanted = wanted.to_lowercase();
    if wanted.is_empty() {
        return collection("SearchSuggestion", Vec::new());
    }
    let mark = |name: &str| mark_hit(name, &wanted, &prefix, &suffix);
    let categories = CATEGORIES.iter().filter_map(|category| {
        let value = mark(category.name.say(call.language))?;
        Some(suggestion("Category", &category.record_id().to_string(), &value))
    });
    let products = call.shop.assortment.all().filter(|p| !p.is_variant()).filter_map(|product| {
        let value = mark(&call.shop.name(product, call.language))?;
        Some(suggestion("Product", &product.record_id().to_string(), &value))
    });
    collection("SearchSuggestion", categories.chain(products).take(SUGGESTIONS).collect())
}

fn mark_hit(name: &str, wanted: &str, prefix: &str, suffix: &str) -> Option<String> {
    // Lower case may have another length in some scripts: such a name is no hit.
    let at = name.to_lowercase().find(wanted)?;
    let (before, rest) = name.split_at_checked(at)?;
    let (hit, after) = rest.split_at_checked(wanted.len())?;
    Some(format!("{before}{prefix}{hit}{suffix}{after}"))
}

fn suggestion(kind: &str, id: &str, value: &str) -> Value {
    json!({
        "SuggestionType": kind,
        "Id": id,
        "Value": {"Text": value},
        "ImageUrl": "",
        "ExtensionProperties": [],
    })
}
