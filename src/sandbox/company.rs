//! The company that the stand-in serves: channels, warehouses, categories, catalogues, customers.
//! All of it is fixed; only products come from the seed.

use super::language::{Text, text};

/// The legal entity of everything.
pub(crate) const DATA_AREA: &str = "usmf";

/// An online store.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) id: i64,
    pub(crate) operating_unit: &'static str,
    pub(crate) name: Text,
    pub(crate) currency: &'static str,
    pub(crate) country: &'static str,
    /// The warehouse it sells from.
    pub(crate) warehouse: &'static str,
    /// Its prices, in per cent of the list price.
    pub(crate) price_percent: i64,
}

/// The channels; the first is the default.
pub(crate) static CHANNELS: [Channel; 3] = [
    Channel {
        id: 5_637_154_326,
        operating_unit: "128",
        name: text("Contoso online store", "Contoso nettbutikk"),
        currency: "USD",
        country: "USA",
        warehouse: "13",
        price_percent: 100,
    },
    Channel {
        id: 5_637_154_327,
        operating_unit: "129",
        name: text("Contoso business store", "Contoso bedriftsbutikk"),
        currency: "USD",
        country: "USA",
        warehouse: "21",
        price_percent: 95,
    },
    Channel {
        id: 5_637_154_328,
        operating_unit: "130",
        name: text("Contoso Norway", "Contoso Norge"),
        currency: "NOK",
        country: "NOR",
        warehouse: "32",
        price_percent: 1_050,
    },
];

impl Channel {
    pub(crate) fn by_id(id: i64) -> Option<&'static Self> {
        CHANNELS.iter().find(|channel| channel.id == id)
    }

    pub(crate) fn by_operating_unit(number: &str) -> Option<&'static Self> {
        CHANNELS.iter().find(|channel| channel.operating_unit == number)
    }

    pub(crate) fn default_channel() -> &'static Self {
        let [first, ..] = &CHANNELS;
        first
    }
}

/// A place where stock lies.
#[derive(Debug)]
pub(crate) struct Warehouse {
    pub(crate) id: &'static str,
    pub(crate) name: Text,
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
}

pub(crate) static WAREHOUSES: [Warehouse; 4] = [
    Warehouse {
        id: "13",
        name: text("Central distribution", "Sentrallageret"),
        latitude: 47.61,
        longitude: -122.33,
    },
    Warehouse {
        id: "21",
        name: text("Business distribution", "Bedriftslageret"),
        latitude: 41.88,
        longitude: -87.63,
    },
    Warehouse { id: "32", name: text("Oslo", "Oslo"), latitude: 59.91, longitude: 10.75 },
    Warehouse { id: "47", name: text("Houston", "Houston"), latitude: 29.76, longitude: -95.37 },
];

impl Warehouse {
    pub(crate) fn by_id(id: &str) -> Option<&'static Self> {
        WAREHOUSES.iter().find(|warehouse| warehouse.id.eq_ignore_ascii_case(id))
    }
}

const FIRST_CATEGORY: i64 = 5_637_144_576;

/// A node of the category tree: root, department, leaf.
#[derive(Debug)]
pub(crate) struct Category {
    /// Position in [`CATEGORIES`].
    pub(crate) index: usize,
    pub(crate) parent: Option<usize>,
    pub(crate) name: Text,
}

const fn node(index: usize, parent: usize, name: Text) -> Category {
    Category { index, parent: Some(parent), name }
}

/// Position of the first leaf in [`CATEGORIES`], and how many there are.
pub(crate) const FIRST_LEAF: usize = 5;
pub(crate) const LEAVES: usize = 12;

pub(crate) static CATEGORIES: [Category; FIRST_LEAF + LEAVES] = [
    Category { index: 0, parent: None, name: text("All products", "Alle varer") },
    node(1, 0, text("Footwear", "Fottøy")),
    node(2, 0, text("Clothing", "Klær")),
    node(3, 0, text("Home", "Hjem")),
    node(4, 0, text("Outdoor", "Friluft")),
    node(5, 1, text("Shoes", "Sko")),
    node(6, 1, text("Boots", "Støvler")),
    node(7, 1, text("Sandals", "Sandaler")),
    node(8, 2, text("Jackets", "Jakker")),
    node(9, 2, text("Shirts", "Skjorter")),
    node(10, 2, text("Trousers", "Bukser")),
    node(11, 3, text("Lamps", "Lamper")),
    node(12, 3, text("Chairs", "Stoler")),
    node(13, 3, text("Tables", "Bord")),
    node(14, 4, text("Tents", "Telt")),
    node(15, 4, text("Backpacks", "Ryggsekker")),
    node(16, 4, text("Bottles", "Flasker")),
];

impl Category {
    pub(crate) fn by_id(record_id: i64) -> Option<&'static Self> {
        let index = usize::try_from(record_id.checked_sub(FIRST_CATEGORY)?).ok()?;
        CATEGORIES.get(index)
    }

    pub(crate) const fn record_id(&self) -> i64 {
        FIRST_CATEGORY + self.index as i64
    }

    pub(crate) fn parent(&self) -> Option<&'static Self> {
        CATEGORIES.get(self.parent?)
    }

    /// The category and those above it, the root last.
    pub(crate) fn lineage(&'static self) -> impl Iterator<Item = &'static Self> {
        std::iter::successors(Some(self), |category| category.parent())
    }

    pub(crate) fn is_within(&'static self, ancestor: &Self) -> bool {
        self.lineage().any(|category| category.index == ancestor.index)
    }

    pub(crate) fn children(&self) -> impl Iterator<Item = &'static Self> {
        CATEGORIES.iter().filter(|category| category.parent == Some(self.index))
    }
}

/// An assortment that can be named instead of the channel's own (`CatalogId` 0).
#[derive(Debug)]
pub(crate) struct Catalogue {
    pub(crate) id: i64,
    pub(crate) name: Text,
    /// The account it belongs to; everybody's where there is none.
    pub(crate) owner: Option<&'static str>,
    /// The department it leaves out, by index.
    pub(crate) without: Option<usize>,
}

pub(crate) static CATALOGUES: [Catalogue; 4] = [
    Catalogue { id: 5_637_160_000, name: text("Season", "Sesong"), owner: None, without: None },
    Catalogue {
        id: 5_637_160_001,
        name: text("Adventure Works assortment", "Sortiment for Adventure Works"),
        owner: Some("2001"),
        without: Some(3),
    },
    Catalogue {
        id: 5_637_160_002,
        name: text("Fabrikam assortment", "Sortiment for Fabrikam"),
        owner: Some("2002"),
        without: Some(4),
    },
    Catalogue {
        id: 5_637_160_003,
        name: text("Northwind assortment", "Sortiment for Northwind"),
        owner: Some("2003"),
        without: Some(2),
    },
];

impl Catalogue {
    pub(crate) fn by_id(id: i64) -> Option<&'static Self> {
        CATALOGUES.iter().find(|catalogue| catalogue.id == id)
    }

    /// Whether a product of `category` is offered in it.
    pub(crate) fn offers(&self, category: &'static Category) -> bool {
        match self.without.and_then(|index| CATEGORIES.get(index)) {
            Some(department) => !category.is_within(department),
            None => true,
        }
    }
}

/// A business customer with a contract.
#[derive(Debug)]
pub(crate) struct Customer {
    pub(crate) account: &'static str,
    pub(crate) name: &'static str,
    pub(crate) price_group: &'static str,
    /// What its contract takes off the list price, in per cent.
    pub(crate) contract_percent: i64,
    pub(crate) affiliation: &'static Affiliation,
}

/// A group of customers with a discount of its own.
#[derive(Debug)]
pub(crate) struct Affiliation {
    pub(crate) id: i64,
    pub(crate) name: Text,
    pub(crate) price_group: &'static str,
    /// What it takes off the contextual price, in per cent.
    pub(crate) percent: i64,
}

pub(crate) static AFFILIATIONS: [Affiliation; 2] = [
    Affiliation {
        id: 68_719_478_279,
        name: text("Wholesale", "Engros"),
        price_group: "AFF-WHOLE",
        percent: 5,
    },
    Affiliation {
        id: 68_719_478_280,
        name: text("Staff", "Ansatte"),
        price_group: "AFF-STAFF",
        percent: 20,
    },
];

impl Affiliation {
    pub(crate) fn by_id(id: i64) -> Option<&'static Self> {
        AFFILIATIONS.iter().find(|affiliation| affiliation.id == id)
    }
}

const fn affiliation(staff: bool) -> &'static Affiliation {
    let [wholesale, employees] = &AFFILIATIONS;
    if staff { employees } else { wholesale }
}

pub(crate) static CUSTOMERS: [Customer; 3] = [
    Customer {
        account: "2001",
        name: "Adventure Works",
        price_group: "B2B-GOLD",
        contract_percent: 10,
        affiliation: affiliation(false),
    },
    Customer {
        account: "2002",
        name: "Fabrikam",
        price_group: "B2B-PLATINUM",
        contract_percent: 15,
        affiliation: affiliation(false),
    },
    Customer {
        account: "2003",
        name: "Northwind Traders",
        price_group: "B2B-SILVER",
        contract_percent: 4,
        affiliation: affiliation(true),
    },
];

impl Customer {
    pub(crate) fn by_account(account: &str) -> Option<&'static Self> {
        CUSTOMERS.iter().find(|customer| customer.account == account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_category_tree_is_three_deep_and_every_node_stands_where_its_index_says() {
        for (at, category) in CATEGORIES.iter().enumerate() {
            assert_eq!(category.index, at);
            assert_eq!(Category::by_id(category.record_id()).unwrap().index, at);
        }
        for leaf in CATEGORIES.iter().skip(FIRST_LEAF) {
            assert_eq!(leaf.lineage().count(), 3);
            assert_eq!(leaf.children().count(), 0);
        }
    }
}
