//! What an answer tells of itself: whether it is whole, whose ids it names, where it links on.
//!
//! One pass over the body, without building it in memory.

pub mod pieces;
mod scan;

use std::ops::Range;

use crate::dependency::{Id, Ids};
use crate::operation::Operation;

/// Ids and links that one answer may tell of: with at most 1,000 entities in an answer, a hundred
/// each. One that exceeds it is not stored, since it could not be purged by all of them.
pub const MAX_IDS: usize = 100_000;

/// What was found in an answer's body.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Answer {
    /// Every id that it tells, settled.
    pub ids: Ids,
    /// Which products and items belong together.
    pub pairs: Pairs,
    /// Whether entities came with attribute values, among which stock levels may be.
    pub has_attributes: bool,
    /// Where it links on, in the order of the body.
    pub next_links: Vec<NextLink>,
}

/// A link to the next page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NextLink {
    /// The bytes of the string literal in the body, quotes included.
    pub literal: Range<usize>,
    /// The link, decoded.
    pub url: Box<str>,
}

/// Products and items by whether the answer tells their other name. An event may know a product
/// by its RecId or by its item number alone.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pairs {
    products_with_item: Vec<Id>,
    products_alone: Vec<Id>,
    items_with_product: Vec<Id>,
    items_alone: Vec<Id>,
}

impl Pairs {
    /// Notes the product ids and the item number of one object.
    fn add(&mut self, products: Vec<Id>, item: Option<Id>) {
        match item {
            None => self.products_alone.extend(products),
            Some(item) if products.is_empty() => self.items_alone.push(item),
            Some(item) => {
                self.products_with_item.extend(products);
                self.items_with_product.push(item);
            }
        }
    }

    /// Leaves among those alone only what is nowhere told with its other name.
    fn settle(&mut self) {
        for ids in [&mut self.products_with_item, &mut self.items_with_product] {
            ids.sort_unstable();
            ids.dedup();
        }
        let Self { products_with_item, products_alone, items_with_product, items_alone } = self;
        products_alone.retain(|id| products_with_item.binary_search(id).is_err());
        items_alone.retain(|id| items_with_product.binary_search(id).is_err());
    }

    /// Whether a product in the answer has no item number there, or one of `asked` has none.
    pub fn lack_an_item(&self, asked: &[Id]) -> bool {
        let is_told = |id| self.products_with_item.binary_search(id).is_ok();
        !self.products_alone.is_empty() || !asked.iter().all(is_told)
    }

    /// Whether an item in the answer has no product id there, or one of `asked` has none.
    pub fn lack_a_product(&self, asked: &[Id]) -> bool {
        let is_told = |id| self.items_with_product.binary_search(id).is_ok();
        !self.items_alone.is_empty() || !asked.iter().all(is_told)
    }
}

/// Why an answer is not fit to be stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum AnswerError {
    /// Not one JSON document to its very end.
    #[error("the body is not one whole JSON document")]
    Malformed,
    /// An error told in the body of a success.
    #[error("the body tells of an error")]
    TellsError,
    /// More ids than tags are made for.
    #[error("the body names more than {MAX_IDS} ids")]
    TooManyIds,
}

impl AnswerError {
    /// The reason as it stands in `Cache-Status` and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "answer-malformed",
            Self::TellsError => "answer-tells-error",
            Self::TooManyIds => "answer-too-many-ids",
        }
    }
}

impl Answer {
    /// Reads the body of an answer of that operation.
    ///
    /// # Errors
    /// [`AnswerError`] when it must not be stored.
    pub fn scan(body: &[u8], operation: &Operation) -> Result<Self, AnswerError> {
        scan::scan(body, operation.records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClassLifetimes;
    use crate::operation::{Catalogue, IdKind};

    fn scan(operation: &str, body: &str) -> Result<Answer, AnswerError> {
        let catalogue = Catalogue::new(&[], &ClassLifetimes::default()).unwrap();
        let named = catalogue.operations().iter().find(|known| *known.name == *operation);
        Answer::scan(body.as_bytes(), named.unwrap())
    }

    fn ids(answer: &Answer, kind: IdKind) -> Vec<String> {
        answer.ids.of(kind).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_price_tells_product_item_channel_and_catalogue() {
        let answer = scan(
            "Products/GetActivePrices",
            r#"{"@odata.context":"https://h/Commerce/$metadata#Collection(X)","value":[
                {"ProductId":68719489871,"ListingId":68719489871,"ItemId":"82000",
                 "AdjustedPrice":12.50,"ChannelId":5637154326,"CatalogId":0,"DiscountLines":[]},
                {"ProductId":68719489872,"ListingId":0,"ItemId":"","ChannelId":5637154326}]}"#,
        )
        .unwrap();
        assert_eq!(ids(&answer, IdKind::Product), ["68719489871", "68719489872"]);
        assert_eq!(ids(&answer, IdKind::Item), ["82000"]);
        assert_eq!(ids(&answer, IdKind::Channel), ["5637154326"]);
        assert_eq!(ids(&answer, IdKind::Catalog), ["0"]);
        assert!(answer.pairs.lack_an_item(&[]));
        assert!(!answer.pairs.lack_a_product(&[]));
    }

    #[test]
    fn a_product_told_with_its_item_anywhere_is_told() {
        let answer = scan(
            "Products/SearchByCriteria",
            r#"{"value":[{"RecordId":1,"ItemId":"a","MasterProductId":9,
                "AttributeValues":[{"RecordId":77,"ProductId":1,"Name":"Stock"}],
                "Dimensions":[{"DimensionValue":{"RecordId":78,"Value":"Red"}}]}]}"#,
        )
        .unwrap();
        assert_eq!(ids(&answer, IdKind::Product), ["1", "9"]);
        assert!(!answer.pairs.lack_an_item(&[Id::Number(1), Id::Number(9)]));
        assert!(answer.pairs.lack_an_item(&[Id::Number(2)]));
        assert!(answer.has_attributes);
        let without = scan("Products/SearchByCriteria", r#"{"value":[{"AttributeValues":[]}]}"#);
        assert!(!without.unwrap().has_attributes);
    }

    #[test]
    fn rec_ids_beyond_floating_point_stay_apart_and_may_be_strings() {
        let answer = scan(
            "Products/GetById",
            r#"{"RecordId":9007199254740993,"ItemId":"x","LinkedProducts":[
                {"ProductId":"9007199254740992","ItemId":"0815"}]}"#,
        )
        .unwrap();
        assert_eq!(ids(&answer, IdKind::Product), ["9007199254740992", "9007199254740993"]);
        assert_eq!(ids(&answer, IdKind::Item), ["0815", "x"]);
    }

    #[test]
    fn availability_tells_warehouses_and_a_category_its_own_ids() {
        let answer = scan(
            "Products/GetEstimatedAvailability",
            r#"{"ProductWarehouseInventoryAvailabilities":[{"ProductId":1,"InventLocationId":"13"}],
                "AggregatedProductInventoryAvailabilities":[{"ProductId":1}]}"#,
        )
        .unwrap();
        assert_eq!(ids(&answer, IdKind::Warehouse), ["13"]);
        assert!(answer.pairs.lack_an_item(&[]));
        let tree = r#"{"value":[{"RecordId":5,"ParentCategory":4,"Name":"Shoes"}]}"#;
        let answer = scan("Categories/GetCategories", tree).unwrap();
        assert_eq!(ids(&answer, IdKind::Category), ["4", "5"]);
        assert_eq!(ids(&answer, IdKind::Product), [""; 0]);
        let answer = scan("Catalogs/GetCatalogs", r#"{"value":[{"RecordId":8}]}"#).unwrap();
        assert_eq!(ids(&answer, IdKind::Catalog), ["8"]);
    }

    #[test]
    fn a_next_link_is_found_where_it_stands() {
        let body = r#"{"value":[{"Lines@odata.nextLink" : "https:\/\/h/a"}],
            "@odata.nextLink":"https://h/Commerce/Products?$skip=1","x@odata.nextLink":null}"#;
        let links = scan("Products/GetByIds", body).unwrap().next_links;
        let told: Vec<_> =
            links.iter().map(|link| (&body[link.literal.clone()], &*link.url)).collect();
        assert_eq!(
            told,
            [
                (r#""https:\/\/h/a""#, "https://h/a"),
                (r#""https://h/Commerce/Products?$skip=1""#, "https://h/Commerce/Products?$skip=1"),
            ]
        );
    }

    #[test]
    fn an_answer_that_is_not_whole_is_refused() {
        for body in ["", "{", r#"{"value":[{"RecordId":1}"#, "{} x", r#"{"a":"\ud800"}"#] {
            assert_eq!(scan("Products/GetByIds", body), Err(AnswerError::Malformed), "{body}");
        }
        let deep = "[".repeat(10_000);
        assert_eq!(scan("Products/GetByIds", &deep), Err(AnswerError::Malformed));
        let error = r#"{"error":{"code":"x","message":"{}"}}"#;
        assert_eq!(scan("Products/GetByIds", error), Err(AnswerError::TellsError));
        let many = (0..=MAX_IDS).map(|id| format!(r#"{{"ProductId":{}}}"#, id + 1));
        let many = format!("[{}]", many.collect::<Vec<_>>().join(","));
        assert_eq!(scan("Products/GetByIds", &many), Err(AnswerError::TooManyIds));
    }
}
