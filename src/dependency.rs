//! Which tags an answer carries: everything whose change makes it wrong.
//!
//! An answer is tagged for its own class and for each class of facts that it embeds (`C` below):
//!
//! | own class | embeds |
//! |---|---|
//! | product, where it shows products | price |
//! | search, where it lists products | product, price; inventory where attribute values came |
//! | product, `GetCategoryPaths` | category |
//! | any other | nothing |
//!
//! | tag | when |
//! |---|---|
//! | `*`, `C/*` | always |
//! | `C/channel:ID` | each channel RecId and operating unit number in request or answer |
//! | `C/channel:?` | the request does not tell both the channel's RecId and its operating unit number |
//! | `C/catalog:ID` | each catalogue in request or answer |
//! | `C/catalog:?` | neither names one; a list of catalogues |
//! | `C/customer:ID` | each account in the request |
//! | `C/customer:?` | credentials or a loyalty card came, and with credentials no account |
//! | `C/product:ID`, `C/item:ID` | price, inventory, product: each in request or answer |
//! | `C/item:?` | of these: a product whose item number the answer does not tell, or none named |
//! | `C/product:?` | of these: an item whose product the answer does not tell, or none named |
//! | `C/price-group:?` | price: no answer tells its price groups |
//! | `C/warehouse:ID`, else `C/warehouse:?` | inventory |
//! | `C/category:ID` | search, category: each in request or answer |
//! | `C/category:?` | search that names none or covers descendants; every category answer |
//!
//! So whoever purges by an id must also purge the `?` of its kind, unless the event names the same
//! thing by its other name (product and item) too. Items, products and categories that are *not*
//! in a search's answer but would be now are not found this way: purges of `search/category:…` and
//! `search/*` reach them. A refiner's counts and price bounds live out their lifetime, as they
//! name no product.

mod ids;

pub use ids::{Id, Ids};

use crate::answer::Answer;
use crate::operation::{Class, IdKind, Operation};
use crate::tag::{Tag, TagKind, TagSet};

/// The ids that a request names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RequestDependencies {
    /// The ids, settled.
    pub ids: Ids,
    /// Whether a category in it stands for its descendants too.
    pub covers_descendants: bool,
    /// Whether it names a loyalty card, whose customer is not known.
    pub names_card: bool,
}

/// The tags of an answer.
pub fn tags(
    operation: &Operation,
    request: &RequestDependencies,
    answer: &Answer,
    has_credentials: bool,
) -> TagSet {
    let exchange = Exchange { operation, request, answer, has_credentials };
    let mut tags = vec![Tag::everything()];
    exchange.tag_with(operation.class, &mut tags);
    for &class in &operation.embeds {
        exchange.tag_with(class, &mut tags);
    }
    if operation.inventory_in_attributes && answer.has_attributes {
        exchange.tag_with(Class::Inventory, &mut tags);
    }
    tags.into_iter().collect()
}

/// The tags of an answer that tells nothing (404, 410, 204): those of its request.
pub fn tags_of_request(
    operation: &Operation,
    request: &RequestDependencies,
    has_credentials: bool,
) -> TagSet {
    tags(operation, request, &Answer::default(), has_credentials)
}

/// A request and its answer.
struct Exchange<'a> {
    operation: &'a Operation,
    request: &'a RequestDependencies,
    answer: &'a Answer,
    has_credentials: bool,
}

impl Exchange<'_> {
    /// Adds the tags by which purges of `class` reach the answer.
    fn tag_with(&self, class: Class, tags: &mut Vec<Tag>) {
        tags.push(Tag::class(class));
        self.tag_asker(class, tags);
        match class {
            Class::Price => {
                self.tag_products(class, tags);
                tags.push(Tag::unknown(class, TagKind::PriceGroup));
            }
            Class::Inventory => {
                self.tag_products(class, tags);
                self.tag_told_or_unknown(class, IdKind::Warehouse, tags);
            }
            Class::Product => self.tag_products(class, tags),
            Class::Search => {
                self.tag_told(class, IdKind::Category, tags);
                let names_category = !self.request.ids.of(IdKind::Category).is_empty();
                if !names_category || self.request.covers_descendants {
                    tags.push(Tag::unknown(class, TagKind::Category));
                }
            }
            Class::Category => {
                self.tag_told(class, IdKind::Category, tags);
                // A list of categories may come to hold one that it does not tell of yet.
                tags.push(Tag::unknown(class, TagKind::Category));
            }
            Class::Configuration => {}
        }
    }

    /// Channel, catalogue and customer: who asks, and where.
    fn tag_asker(&self, class: Class, tags: &mut Vec<Tag>) {
        self.tag_told(class, IdKind::Channel, tags);
        self.tag_told(class, IdKind::OperatingUnit, tags);
        // An event may name the channel by either, and one does not tell the other. Nor does an
        // answer: the channels in it may be others than the one that it was given for.
        let asks_for = |kind| !self.request.ids.of(kind).is_empty();
        if !(asks_for(IdKind::Channel) && asks_for(IdKind::OperatingUnit)) {
            tags.push(Tag::unknown(class, TagKind::Channel));
        }
        self.tag_told_or_unknown(class, IdKind::Catalog, tags);
        if self.operation.records == Some(IdKind::Catalog) {
            tags.push(Tag::unknown(class, TagKind::Catalog));
        }
        let customers = self.request.ids.of(IdKind::Customer);
        tags.extend(customers.iter().map(|id| tag(class, IdKind::Customer, id)));
        if self.request.names_card || (customers.is_empty() && self.has_credentials) {
            tags.push(Tag::unknown(class, TagKind::Customer));
        }
    }

    /// Products by RecId and by item number. An event may know only one of the two, so where the
    /// exchange tells only one, the other is marked as not known.
    fn tag_products(&self, class: Class, tags: &mut Vec<Tag>) {
        self.tag_told(class, IdKind::Product, tags);
        self.tag_told(class, IdKind::Item, tags);
        let (asked, pairs) = (&self.request.ids, &self.answer.pairs);
        let tells_none = !self.tells(IdKind::Product) && !self.tells(IdKind::Item);
        if tells_none || pairs.lack_an_item(asked.of(IdKind::Product)) {
            tags.push(Tag::unknown(class, TagKind::Item));
        }
        if tells_none || pairs.lack_a_product(asked.of(IdKind::Item)) {
            tags.push(Tag::unknown(class, TagKind::Product));
        }
    }

    fn tag_told(&self, class: Class, kind: IdKind, tags: &mut Vec<Tag>) {
        let told = self.request.ids.of(kind).iter().chain(self.answer.ids.of(kind));
        tags.extend(told.map(|id| tag(class, kind, id)));
    }

    fn tag_told_or_unknown(&self, class: Class, kind: IdKind, tags: &mut Vec<Tag>) {
        self.tag_told(class, kind, tags);
        if !self.tells(kind) {
            tags.push(Tag::unknown(class, kind.tag_kind()));
        }
    }

    fn tells(&self, kind: IdKind) -> bool {
        !self.request.ids.of(kind).is_empty() || !self.answer.ids.of(kind).is_empty()
    }
}

fn tag(class: Class, kind: IdKind, id: &Id) -> Tag {
    Tag::new(class, kind.tag_kind(), &id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClassLifetimes;
    use crate::operation::Catalogue;
    use std::sync::Arc;

    fn operation(name: &str) -> Arc<Operation> {
        let catalogue = Catalogue::new(&[], &ClassLifetimes::default()).unwrap();
        catalogue.operations().iter().find(|known| *known.name == *name).unwrap().clone()
    }

    fn asked(ids: &[(IdKind, &str)]) -> RequestDependencies {
        let mut request = RequestDependencies::default();
        for (kind, text) in ids {
            request.ids.add(*kind, Id::of_text(text).unwrap());
        }
        request.ids.settle();
        request
    }

    fn tags_of(name: &str, request: &RequestDependencies, body: &str, signed_in: bool) -> TagSet {
        let operation = operation(name);
        let answer = Answer::scan(body.as_bytes(), &operation).unwrap();
        tags(&operation, request, &answer, signed_in)
    }

    fn names(tags: &TagSet) -> Vec<&str> {
        tags.names().collect()
    }

    #[test]
    fn prices_carry_products_items_channel_and_catalogue() {
        let request = asked(&[
            (IdKind::OperatingUnit, "128"),
            (IdKind::Channel, "5637154326"),
            (IdKind::Catalog, "0"),
            (IdKind::Product, "1"),
        ]);
        let body = r#"{"value":[{"ProductId":1,"ListingId":1,"ItemId":"82000","ChannelId":5637154326,"CatalogId":0}]}"#;
        let tags = tags_of("Products/GetActivePrices", &request, body, false);
        assert_eq!(
            names(&tags),
            [
                "*",
                "price/*",
                "price/catalog:0",
                "price/channel:128",
                "price/channel:5637154326",
                "price/item:82000",
                "price/price-group:?",
                "price/product:1",
            ]
        );
    }

    #[test]
    fn a_product_that_the_answer_leaves_out_has_an_item_that_is_not_known() {
        let request = asked(&[(IdKind::Product, "1"), (IdKind::Product, "2")]);
        let body = r#"{"value":[{"ProductId":1,"ItemId":"a"}]}"#;
        let tags = tags_of("Products/GetActivePrices", &request, body, false);
        for tag in ["price/product:2", "price/item:?", "price/channel:?", "price/catalog:?"] {
            assert!(names(&tags).contains(&tag), "{tag}");
        }
        assert!(!names(&tags).contains(&"price/product:?"));
    }

    #[test]
    fn a_channel_is_known_only_by_both_of_its_names() {
        let channel = (IdKind::Channel, "5637154326");
        let unit = (IdKind::OperatingUnit, "128");
        for (told, is_known) in [
            (&[][..], false),
            (&[channel][..], false),
            (&[unit][..], false),
            (&[channel, unit][..], true),
        ] {
            let body = r#"{"value":[{"ProductId":1,"ItemId":"a","ChannelId":5637154326}]}"#;
            let tags = tags_of("Products/GetActivePrices", &asked(told), body, false);
            assert_eq!(!names(&tags).contains(&"price/channel:?"), is_known, "{told:?}");
        }
    }

    #[test]
    fn items_without_a_product_are_reached_by_events_that_name_products() {
        let request = asked(&[(IdKind::Item, "82000")]);
        let tags = tags_of("Products/GetProductAvailabilities", &request, "[]", false);
        for tag in ["inventory/item:82000", "inventory/product:?", "inventory/warehouse:?"] {
            assert!(names(&tags).contains(&tag), "{tag}");
        }
        assert!(!names(&tags).contains(&"inventory/item:?"));
    }

    #[test]
    fn a_customer_is_named_or_not_known() {
        let body = r#"{"ProductId":1,"ItemId":"a"}"#;
        let of = |request: &RequestDependencies, signed_in| {
            let tags = tags_of("Products/GetPrice", request, body, signed_in);
            tags.names()
                .filter(|tag| tag.contains("customer"))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let nobody = asked(&[]);
        assert_eq!(of(&nobody, false), [""; 0]);
        assert_eq!(of(&nobody, true), ["price/customer:?"]);
        let somebody = asked(&[(IdKind::Customer, "DE-001")]);
        assert_eq!(of(&somebody, true), ["price/customer:de-001"]);
        let by_card = RequestDependencies { names_card: true, ..somebody };
        assert_eq!(of(&by_card, false), ["price/customer:?", "price/customer:de-001"]);
    }

    #[test]
    fn a_search_is_reached_by_its_products_their_prices_and_its_categories() {
        let request = asked(&[(IdKind::Category, "5"), (IdKind::Channel, "7")]);
        let body = r#"{"value":[{"RecordId":1,"ItemId":"a","Price":2.0}]}"#;
        let tags = tags_of("Products/SearchByCriteria", &request, body, false);
        for tag in [
            "search/*",
            "search/category:5",
            "search/channel:7",
            "search/catalog:?",
            "product/*",
            "product/product:1",
            "product/item:a",
            "price/*",
            "price/product:1",
            "price/item:a",
            "price/price-group:?",
        ] {
            assert!(names(&tags).contains(&tag), "{tag}");
        }
        for tag in ["search/category:?", "price/item:?", "product/item:?", "inventory/*"] {
            assert!(!names(&tags).contains(&tag), "{tag}");
        }
        let wide = RequestDependencies { covers_descendants: true, ..request };
        let tags = tags_of("Products/SearchByCriteria", &wide, body, false);
        assert!(names(&tags).contains(&"search/category:?"));
        let tags = tags_of("Products/SearchByCriteria", &asked(&[]), body, false);
        assert!(names(&tags).contains(&"search/category:?"));
    }

    #[test]
    fn stock_levels_among_attributes_are_reached_by_inventory() {
        let body =
            r#"{"value":[{"RecordId":1,"ItemId":"a","AttributeValues":[{"Name":"Stock"}]}]}"#;
        let tags = tags_of("Products/SearchByCriteria", &asked(&[]), body, false);
        for tag in ["inventory/*", "inventory/item:a", "inventory/warehouse:?"] {
            assert!(names(&tags).contains(&tag), "{tag}");
        }
    }

    #[test]
    fn a_product_without_prices_is_not_reached_by_them() {
        let request = asked(&[(IdKind::Product, "1")]);
        let body = r#"{"value":[{"RecordId":77,"Name":"Colour"}]}"#;
        let tags = tags_of("Products/GetAttributeValues", &request, body, false);
        assert!(names(&tags).contains(&"product/product:1"));
        assert!(names(&tags).contains(&"product/item:?"));
        assert!(!names(&tags).iter().any(|tag| tag.starts_with("price/")));
        assert!(!names(&tags).contains(&"product/product:77"));
    }

    #[test]
    fn categories_and_catalogues_are_reached_by_new_ones_too() {
        let body = r#"{"value":[{"RecordId":5,"ParentCategory":0}]}"#;
        let tags = tags_of("Categories/GetCategories", &asked(&[]), body, false);
        assert!(names(&tags).contains(&"category/category:5"));
        assert!(names(&tags).contains(&"category/category:?"));
        let tags = tags_of("Catalogs/GetCatalogs", &asked(&[(IdKind::Catalog, "3")]), body, true);
        for tag in ["category/catalog:3", "category/catalog:?", "category/customer:?"] {
            assert!(names(&tags).contains(&tag), "{tag}");
        }
    }

    #[test]
    fn an_answer_that_tells_nothing_carries_what_was_asked_for() {
        let request = asked(&[(IdKind::Product, "1"), (IdKind::Channel, "7")]);
        let tags = tags_of_request(&operation("Products/GetById"), &request, false);
        for tag in ["*", "product/*", "product/product:1", "product/item:?", "price/product:1"] {
            assert!(names(&tags).contains(&tag), "{tag}");
        }
    }
}
