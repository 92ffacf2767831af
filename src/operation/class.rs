//! The classes of answers: each has its own lifetimes and its own way of being purged.

/// What kind of answer an operation gives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// Prices: strict, per customer.
    Price,
    /// Stock levels: strict.
    Inventory,
    /// Lists of products found by text, category or refiner.
    Search,
    /// What a product is.
    Product,
    /// The category tree and the catalogues.
    Category,
    /// Channels, stores, tender types and other set-up.
    Configuration,
}

impl Class {
    /// Every class, in the order of their declaration.
    pub const ALL: [Self; 6] = [
        Self::Price,
        Self::Inventory,
        Self::Search,
        Self::Product,
        Self::Category,
        Self::Configuration,
    ];

    /// The class as it stands in tags, metric labels and the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Price => "price",
            Self::Inventory => "inventory",
            Self::Search => "search",
            Self::Product => "product",
            Self::Category => "category",
            Self::Configuration => "configuration",
        }
    }

    /// The class of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == name)
    }

    /// Whether an answer of this class that may be out of date is worse than none: its purges are
    /// hard unless the event says otherwise.
    pub const fn is_strict(self) -> bool {
        matches!(self, Self::Price | Self::Inventory)
    }
}
