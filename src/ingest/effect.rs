//! From an event to the tags that it purges. Pure: no clock, no I/O.
//!
//! A tag `class/kind:?` is carried by an answer of which the exchange does not tell the id of that
//! kind. An event that is named by such a kind must purge it too, or it would miss that answer.
//! Only beside RecIds do item numbers not need it: an answer that tells no product carries
//! `product:?`, and one that tells its products is reached by them.
//!
//! | event | names | purges |
//! |---|---|---|
//! | price | products and items | `price/product:P`, `price/product:?`, `price/item:I` |
//! | | products alone | `price/product:P`, `price/product:?` |
//! | | items alone | `price/item:I`, `price/item:?` |
//! | | neither, but customers, price groups, channels, catalogues | for each named kind its ids and `?` |
//! | inventory | as price | with `inventory/`; beside products and items: warehouses, channels |
//! | product | products, items | `product/product:P` and `product/product:?`, `product/item:I` (and `product/item:?` with items alone); and gathered `search/category:C` + `search/category:?`, or `search/*` when no category is named |
//! | category | categories | `category/*` (a list that never held it may have to now), `search/category:C`, `search/category:?` |
//! | catalog | catalogs | `catalog:K` and `catalog:?` of category, product, search, price |
//! | channel | channels | `channel:C` and `channel:?` of every class |
//! | customer | customers | `customer:C` and `customer:?` of price, product, search, category |
//! | job 1040 | | `product/*`, `search/*` |
//! | job 1020 | | `price/*` |
//! | job 1130 | | `inventory/*` |
//! | jobs 1070, 1110 | | `configuration/*` |
//! | job 1150 | | `category/*`, `product/*`, `search/*` |
//! | job 9999 | | every class's `class/*` |
//! | any job | channels | `class/channel:C` and `class/channel:?` in place of `class/*` |
//! | search (short form) | as price | with `search/`; beside products and items: categories, channels, catalogues, customers |
//! | configuration (short form) | channels | `configuration/channel:C`, `configuration/channel:?` |
//! | tags (short form) | tags | those |
//!
//! Tags cannot say "this item *in that channel*": beside products or items the other kinds do not
//! narrow a purge. Where several other kinds are named, each is purged. A purge may so reach too
//! much, never too little.
//!
//! Each tag is purged in the way of its class (price and inventory hard, the others soft) unless
//! the event says how.

use super::event::{Event, Ids, Job, Subject};
use crate::operation::Class;
use crate::purge::{Effect, PurgeMode, PurgeRequest};
use crate::tag::{Tag, TagKind};

/// An event of which no member says what to purge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NamesNothing {
    /// The members of which it needs at least one.
    pub needs: &'static str,
}

/// What an event purges.
///
/// # Errors
/// [`NamesNothing`] where the event's type needs an id and has none.
pub fn effect_of(event: &Event) -> Result<Effect, NamesNothing> {
    use TagKind::{Catalog, Category, Channel, Customer, PriceGroup, Warehouse};
    let ids = &event.ids;
    let mut tags = Vec::new();
    let mut gathered = Vec::new();
    let needs = match &event.subject {
        Subject::Price => {
            let others = [Customer, PriceGroup, Channel, Catalog];
            name_goods_or_others(&mut tags, Class::Price, ids, &others);
            "products, items, customers, priceGroups, channels, catalogs"
        }
        Subject::Inventory => {
            name_goods_or_others(&mut tags, Class::Inventory, ids, &[Warehouse, Channel]);
            "products, items, warehouses, channels"
        }
        Subject::Search => {
            let others = [Category, Channel, Catalog, Customer];
            name_goods_or_others(&mut tags, Class::Search, ids, &others);
            "products, items, categories, channels, catalogs, customers"
        }
        Subject::Product => {
            name_goods_or_others(&mut tags, Class::Product, ids, &[]);
            if ids.of(Category).is_empty() {
                gathered.push(Tag::class(Class::Search));
            } else {
                name_kind(&mut gathered, Class::Search, Category, ids);
            }
            "products, items"
        }
        Subject::Category => {
            if !ids.of(Category).is_empty() {
                tags.push(Tag::class(Class::Category));
                name_kind(&mut tags, Class::Search, Category, ids);
            }
            "categories"
        }
        Subject::Catalog => {
            for class in [Class::Category, Class::Product, Class::Search, Class::Price] {
                name_kind(&mut tags, class, Catalog, ids);
            }
            "catalogs"
        }
        Subject::Channel => {
            for class in Class::ALL {
                name_kind(&mut tags, class, Channel, ids);
            }
            "channels"
        }
        Subject::Customer => {
            for class in [Class::Price, Class::Product, Class::Search, Class::Category] {
                name_kind(&mut tags, class, Customer, ids);
            }
            "customers"
        }
        Subject::Configuration => {
            name_kind(&mut tags, Class::Configuration, Channel, ids);
            "channels"
        }
        Subject::Job(job) => {
            for &class in classes_filled_by(*job) {
                if ids.of(Channel).is_empty() {
                    tags.push(Tag::class(class));
                } else {
                    name_kind(&mut tags, class, Channel, ids);
                }
            }
            "job"
        }
        Subject::Tags(named) => {
            tags.clone_from(named);
            "tags"
        }
    };
    if tags.is_empty() {
        return Err(NamesNothing { needs });
    }
    Ok(Effect { at_once: in_mode(tags, event.mode), gathered: in_mode(gathered, event.mode) })
}

const fn classes_filled_by(job: Job) -> &'static [Class] {
    match job {
        Job::Products => &[Class::Product, Class::Search],
        Job::Prices => &[Class::Price],
        Job::Availability => &[Class::Inventory],
        Job::ChannelConfiguration | Job::GlobalConfiguration => &[Class::Configuration],
        Job::Catalogs => &[Class::Category, Class::Product, Class::Search],
        Job::All => &Class::ALL,
    }
}

/// Names products and items; where the event has neither, all its ids of the other kinds.
fn name_goods_or_others(tags: &mut Vec<Tag>, class: Class, ids: &Ids, others: &[TagKind]) {
    let (products, items) = (ids.of(TagKind::Product), ids.of(TagKind::Item));
    tags.extend(products.iter().map(|id| Tag::new(class, TagKind::Product, id)));
    tags.extend(items.iter().map(|id| Tag::new(class, TagKind::Item, id)));
    match (products.is_empty(), items.is_empty()) {
        (false, _) => tags.push(Tag::unknown(class, TagKind::Product)),
        (true, false) => tags.push(Tag::unknown(class, TagKind::Item)),
        (true, true) => others.iter().for_each(|&kind| name_kind(tags, class, kind, ids)),
    }
}

/// Names the event's ids of one kind, and the answers that do not tell theirs.
fn name_kind(tags: &mut Vec<Tag>, class: Class, kind: TagKind, ids: &Ids) {
    let named = ids.of(kind);
    if !named.is_empty() {
        tags.extend(named.iter().map(|id| Tag::new(class, kind, id)));
        tags.push(Tag::unknown(class, kind));
    }
}

fn in_mode(tags: Vec<Tag>, mode: Option<PurgeMode>) -> PurgeRequest {
    let mut request = PurgeRequest::default();
    for tag in tags {
        let mode = mode.unwrap_or_else(|| PurgeMode::for_tag(&tag));
        request.push(tag, mode);
    }
    request
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::super::event::read_short;
    use super::*;
    use crate::clock::Timestamp;

    fn effect(event: Value) -> Result<Effect, NamesNothing> {
        let members: Map<String, Value> = serde_json::from_value(event).unwrap();
        effect_of(&read_short(&members, Timestamp::from_millis(0)).unwrap().unwrap())
    }

    /// The effect as `hard | soft | gathered hard | gathered soft`, each in order.
    fn tags(event: Value) -> String {
        let Effect { at_once, gathered } = effect(event).unwrap();
        let list = |tags: &[Tag]| tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(" ");
        let parts = [&at_once.hard, &at_once.soft, &gathered.hard, &gathered.soft];
        parts.map(|tags| list(tags)).join(" | ").trim_end_matches([' ', '|']).to_owned()
    }

    fn typed(kind: &str, mut members: Value) -> String {
        members["type"] = json!(format!("csu.cdx.{kind}"));
        tags(members)
    }

    #[test]
    fn prices_are_purged_by_goods_and_only_without_them_by_what_else_is_named() {
        for (members, expected) in [
            (json!({"products":[1,2]}), "price/product:1 price/product:2 price/product:?"),
            (json!({"items":["A"]}), "price/item:a price/item:?"),
            (json!({"products":[1],"items":["A"]}), "price/product:1 price/item:a price/product:?"),
            (json!({"products":[1],"customers":["C"]}), "price/product:1 price/product:?"),
            (json!({"items":["A"],"channels":["128"]}), "price/item:a price/item:?"),
            (json!({"customers":["C"]}), "price/customer:c price/customer:?"),
            (json!({"priceGroups":["G"]}), "price/price-group:g price/price-group:?"),
            (json!({"channels":[5]}), "price/channel:5 price/channel:?"),
            (json!({"catalogs":[6]}), "price/catalog:6 price/catalog:?"),
            (
                json!({"customers":["C"],"channels":[5]}),
                "price/customer:c price/customer:? price/channel:5 price/channel:?",
            ),
        ] {
            assert_eq!(typed("price.changed", members), expected);
        }
    }

    #[test]
    fn stock_is_purged_by_goods_and_only_without_them_by_warehouse() {
        for (members, expected) in [
            (
                json!({"products":[1],"warehouses":["13"]}),
                "inventory/product:1 inventory/product:?",
            ),
            (json!({"items":["A"]}), "inventory/item:a inventory/item:?"),
            (json!({"warehouses":["13"]}), "inventory/warehouse:13 inventory/warehouse:?"),
        ] {
            assert_eq!(typed("inventory.changed", members), expected);
        }
    }

    #[test]
    fn a_product_is_purged_softly_at_once_and_its_searches_are_gathered() {
        let named = typed("product.changed", json!({"products":[1],"categories":[7,8]}));
        let searches = "search/category:7 search/category:8 search/category:?";
        assert_eq!(named, format!(" | product/product:1 product/product:? |  | {searches}"));
        let unnamed = typed("product.changed", json!({"items":["A"]}));
        assert_eq!(unnamed, " | product/item:a product/item:? |  | search/*");
        let hard = typed("product.changed", json!({"products":[1],"mode":"hard"}));
        assert_eq!(hard, "product/product:1 product/product:? |  | search/*");
    }

    #[test]
    fn structures_are_purged_wherever_they_are_seen() {
        let category = " | category/* search/category:7 search/category:?";
        assert_eq!(typed("category.changed", json!({"categories":[7]})), category);
        let catalog = "price/catalog:6 price/catalog:? | category/catalog:6 category/catalog:? \
                       product/catalog:6 product/catalog:? search/catalog:6 search/catalog:?";
        assert_eq!(typed("catalog.changed", json!({"catalogs":[6]})), catalog);
        let channel = "price/channel:5 price/channel:? inventory/channel:5 inventory/channel:? | \
                       search/channel:5 search/channel:? product/channel:5 product/channel:? \
                       category/channel:5 category/channel:? \
                       configuration/channel:5 configuration/channel:?";
        assert_eq!(typed("channel.changed", json!({"channels":[5]})), channel);
        let customer = "price/customer:c price/customer:? | product/customer:c \
                        product/customer:? search/customer:c search/customer:? \
                        category/customer:c category/customer:?";
        assert_eq!(typed("customer.changed", json!({"customers":["C"]})), customer);
    }

    #[test]
    fn a_job_purges_what_it_fills() {
        for (job, expected) in [
            (1040, " | product/* search/*"),
            (1020, "price/*"),
            (1130, "inventory/*"),
            (1070, " | configuration/*"),
            (1110, " | configuration/*"),
            (1150, " | category/* product/* search/*"),
            (9999, "price/* inventory/* | search/* product/* category/* configuration/*"),
        ] {
            assert_eq!(typed("job.applied", json!({ "job": job })), expected);
            assert_eq!(typed("job.applied", json!({ "job": job.to_string() })), expected);
        }
        let in_channels = typed("job.applied", json!({"job":1040,"channels":["128",5]}));
        let expected = " | product/channel:128 product/channel:5 product/channel:? \
                        search/channel:128 search/channel:5 search/channel:?";
        assert_eq!(in_channels, expected);
    }

    #[test]
    fn the_short_form_reaches_classes_that_have_no_type() {
        let search = tags(json!({"class":"search","categories":[7]}));
        assert_eq!(search, " | search/category:7 search/category:?");
        let configuration = tags(json!({"class":"configuration","channels":["128"]}));
        assert_eq!(configuration, " | configuration/channel:128 configuration/channel:?");
        assert_eq!(tags(json!({"tags":["*","product/*"]})), "* | product/*");
    }

    #[test]
    fn an_event_that_names_nothing_of_what_it_needs_has_no_effect() {
        for kind in ["price", "inventory", "product", "category", "catalog", "channel", "customer"]
        {
            let event = json!({ "type": format!("csu.cdx.{kind}.changed"), "dataAreaId": "usmf" });
            assert!(effect(event).is_err(), "{kind}");
        }
        assert!(effect(json!({"class":"product","categories":[7]})).is_err());
        assert!(effect(json!({"class":"inventory","customers":["C"]})).is_err());
        assert!(effect(json!({"tags":[]})).is_err());
    }
}
