//! What the ids in requests and answers are ids of, known by the names of their members.

use crate::tag::TagKind;

/// What an id is an id of, as Retail Server names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum IdKind {
    /// A product's RecId.
    Product,
    /// An item number.
    Item,
    /// A warehouse's InventLocation id.
    Warehouse,
    /// A category's RecId.
    Category,
    /// A channel's RecId.
    Channel,
    /// A channel's operating unit number.
    OperatingUnit,
    /// A catalogue's RecId.
    Catalog,
    /// A customer's account number.
    Customer,
}

/// Parameter names of requests, in lower case: clients of different years differ in theirs.
const PARAMETERS: [(&str, IdKind); 29] = [
    ("productid", IdKind::Product),
    ("productids", IdKind::Product),
    ("listingid", IdKind::Product),
    ("masterproductid", IdKind::Product),
    ("itemid", IdKind::Item),
    ("itemids", IdKind::Item),
    ("inventlocationid", IdKind::Warehouse),
    ("inventlocationids", IdKind::Warehouse),
    ("inventorylocationid", IdKind::Warehouse),
    ("warehouseid", IdKind::Warehouse),
    ("warehouseids", IdKind::Warehouse),
    ("categoryid", IdKind::Category),
    ("categoryids", IdKind::Category),
    ("channelid", IdKind::Channel),
    ("channelids", IdKind::Channel),
    ("orgunitnumber", IdKind::OperatingUnit),
    ("orgunitnumbers", IdKind::OperatingUnit),
    ("operatingunitnumber", IdKind::OperatingUnit),
    ("storenumber", IdKind::OperatingUnit),
    ("storenumbers", IdKind::OperatingUnit),
    ("catalogid", IdKind::Catalog),
    ("catalogids", IdKind::Catalog),
    ("customerid", IdKind::Customer),
    ("customeraccount", IdKind::Customer),
    ("customeraccountnumber", IdKind::Customer),
    ("accountnumber", IdKind::Customer),
    ("customer", IdKind::Customer),
    ("custaccount", IdKind::Customer),
    ("invoiceaccount", IdKind::Customer),
];

impl IdKind {
    /// Every kind, in the order of their declaration.
    pub const ALL: [Self; 8] = [
        Self::Product,
        Self::Item,
        Self::Warehouse,
        Self::Category,
        Self::Channel,
        Self::OperatingUnit,
        Self::Catalog,
        Self::Customer,
    ];

    /// What a request's parameter or body member of this name holds, wherever it stands. Without
    /// regard to case.
    pub fn of_parameter(name: &str) -> Option<Self> {
        PARAMETERS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind)
    }

    /// What the key predicate of an entity set holds.
    pub fn of_entity_set(name: &str) -> Option<Self> {
        match name {
            "Products" => Some(Self::Product),
            "Categories" => Some(Self::Category),
            "Catalogs" => Some(Self::Catalog),
            "OrgUnits" => Some(Self::OperatingUnit),
            "Warehouses" => Some(Self::Warehouse),
            _ => None,
        }
    }

    /// The kind of tag that such an id becomes part of.
    pub const fn tag_kind(self) -> TagKind {
        match self {
            Self::Product => TagKind::Product,
            Self::Item => TagKind::Item,
            Self::Warehouse => TagKind::Warehouse,
            Self::Category => TagKind::Category,
            Self::Channel | Self::OperatingUnit => TagKind::Channel,
            Self::Catalog => TagKind::Catalog,
            Self::Customer => TagKind::Customer,
        }
    }

    /// Whether 0 is an id of this kind and not a way to name none: only the catalogue 0 is one,
    /// the channel's own assortment.
    pub const fn has_zero(self) -> bool {
        matches!(self, Self::Catalog)
    }
}
