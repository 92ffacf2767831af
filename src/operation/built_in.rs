//! Every operation that is known to be a read, as the client context generated for api-version
//! 7.3 names it. Anything that is not here (or in the configuration) passes.

use std::time::Duration;

use http::Method;

use super::{Class, Decomposition, IdKind, Lifetimes};

/// One row of the built-in table.
pub(super) struct BuiltIn {
    pub(super) name: &'static str,
    pub(super) method: Method,
    pub(super) class: Class,
    pub(super) sets: &'static [&'static str],
    pub(super) now_parameter: Option<&'static str>,
    pub(super) records: Option<IdKind>,
    pub(super) embeds: &'static [Class],
    pub(super) inventory_in_attributes: bool,
    pub(super) covers_descendants: bool,
    pub(super) lifetimes: Option<Lifetimes>,
    pub(super) decomposition: Option<Decomposition>,
}

/// What changes while people look: as they type, or as a campaign starts.
const SHORT: Lifetimes = Lifetimes {
    fresh_for: Duration::from_secs(60),
    stale_while_revalidate: Duration::from_secs(5 * 60),
    stale_if_error: Duration::from_secs(5 * 60),
};

const PRODUCT_IDS: &[&str] = &["productIds"];
const VALUE: &[&str] = &["value"];
/// The two arrays of an answer about estimated stock levels: by warehouse, and their sums.
const AVAILABILITIES: &[&str] =
    &["ProductWarehouseInventoryAvailabilities", "AggregatedProductInventoryAvailabilities"];
const SEARCHED: &[&str] =
    &["searchCriteria.Ids", "searchCriteria.ItemIds", "searchCriteria.CategoryIds"];
const PRODUCT_SEARCHED: &[&str] = &[
    "productSearchCriteria.Ids",
    "productSearchCriteria.ItemIds",
    "productSearchCriteria.CategoryIds",
];

impl BuiltIn {
    fn new(name: &'static str, method: Method, class: Class) -> Self {
        Self {
            name,
            method,
            class,
            sets: &[],
            now_parameter: None,
            records: match class {
                Class::Price | Class::Inventory | Class::Product | Class::Search => {
                    Some(IdKind::Product)
                }
                Class::Category => Some(IdKind::Category),
                Class::Configuration => None,
            },
            embeds: &[],
            inventory_in_attributes: false,
            covers_descendants: false,
            lifetimes: None,
            decomposition: None,
        }
    }

    fn function(name: &'static str, class: Class) -> Self {
        Self::new(name, Method::GET, class)
    }

    fn action(name: &'static str, class: Class) -> Self {
        Self::new(name, Method::POST, class)
    }

    /// The answer lists products as [`Class::Product`] shows them, prices included.
    fn of_products(self) -> Self {
        Self { embeds: &[Class::Price], ..self }
    }

    /// The answer lists products that were searched for, with prices and attributes.
    fn of_results(self) -> Self {
        Self { embeds: &[Class::Product, Class::Price], inventory_in_attributes: true, ..self }
    }

    fn embeds(self, embeds: &'static [Class]) -> Self {
        Self { embeds, ..self }
    }

    fn sets(self, sets: &'static [&'static str]) -> Self {
        Self { sets, ..self }
    }

    fn records(self, records: Option<IdKind>) -> Self {
        Self { records, ..self }
    }

    fn now(self, parameter: &'static str) -> Self {
        Self { now_parameter: Some(parameter), ..self }
    }

    fn descendants(self) -> Self {
        Self { covers_descendants: true, ..self }
    }

    /// Each of the listed ids is answered by itself, in these arrays of the answer.
    fn by_id(self, list: &str, items: &[&str], item_id: &str) -> Self {
        Self { decomposition: Decomposition::of_ids(list, items, item_id), ..self }
    }

    /// The list's elements are objects, and this member of theirs names the thing.
    fn named_by(mut self, member: &str) -> Self {
        if let Some(decomposition) = &mut self.decomposition {
            decomposition.list_id = Some(member.into());
        }
        self
    }

    fn short(self) -> Self {
        Self { lifetimes: Some(SHORT), ..self }
    }
}

/// What an operation of the configuration, of which only its class is known, is taken to be.
pub(super) fn of_class(method: Method, class: Class) -> BuiltIn {
    let unknown = BuiltIn::new("", method, class);
    match class {
        Class::Product => unknown.of_products(),
        Class::Search => unknown.of_results(),
        Class::Price | Class::Inventory | Class::Category | Class::Configuration => unknown,
    }
}

/// The built-in table.
pub(super) fn built_in() -> Vec<BuiltIn> {
    vec![
        // Prices.
        BuiltIn::action("Products/GetActivePrices", Class::Price)
            .sets(PRODUCT_IDS)
            .now("activeDate")
            .by_id("productIds", VALUE, "ProductId"),
        BuiltIn::function("Products/GetPrice", Class::Price),
        BuiltIn::action("Products/CalculateProductPrice", Class::Price),
        // Stock levels.
        BuiltIn::action("Products/GetEstimatedAvailability", Class::Inventory)
            .sets(&["searchCriteria.ProductIds"])
            .by_id("searchCriteria.ProductIds", AVAILABILITIES, "ProductId"),
        // By product and not by pair: a product's sum is over the pairs that name it.
        BuiltIn::action("Products/GetEstimatedProductWarehouseAvailability", Class::Inventory)
            .sets(&["productWarehouses"])
            .by_id("productWarehouses", AVAILABILITIES, "ProductId")
            .named_by("ProductId"),
        BuiltIn::action("Products/GetProductAvailabilities", Class::Inventory)
            .sets(&["itemIds"])
            .by_id("itemIds", VALUE, "ItemId"),
        BuiltIn::function("OrgUnits/GetProductAvailability", Class::Inventory),
        BuiltIn::action("OrgUnits/SearchProductAvailability", Class::Inventory),
        BuiltIn::action("OrgUnits/GetAvailableInventory", Class::Inventory),
        BuiltIn::action("OrgUnits/GetAvailableInventoryNearby", Class::Inventory),
        BuiltIn::action("OrgUnits/GetProductAvailabilityByDimensions", Class::Inventory),
        // Searches.
        BuiltIn::action("Products/SearchByCriteria", Class::Search).sets(SEARCHED).of_results(),
        BuiltIn::action("Products/Search", Class::Search).sets(PRODUCT_SEARCHED).of_results(),
        BuiltIn::function("Products/SearchByCategory", Class::Search).of_results().descendants(),
        BuiltIn::function("Products/SearchByText", Class::Search).of_results(),
        BuiltIn::action("Products/RefineSearchByCategory", Class::Search)
            .of_results()
            .descendants(),
        BuiltIn::action("Products/RefineSearchByText", Class::Search).of_results(),
        BuiltIn::action("Products/GetRefiners", Class::Search).sets(PRODUCT_SEARCHED).records(None),
        BuiltIn::action("Products/GetProductSearchRefiners", Class::Search)
            .sets(SEARCHED)
            .records(None),
        BuiltIn::function("Products/GetRefinersByCategory", Class::Search)
            .records(None)
            .descendants(),
        BuiltIn::function("Products/GetRefinersByText", Class::Search).records(None),
        BuiltIn::function("Products/GetRefinerValuesByCategory", Class::Search)
            .records(None)
            .descendants(),
        BuiltIn::function("Products/GetRefinerValuesByText", Class::Search).records(None),
        BuiltIn::function("Products/GetSearchSuggestions", Class::Search).records(None).short(),
        BuiltIn::action("GetSearchSuggestions", Class::Search).records(None).short(),
        // Products.
        BuiltIn::action("Products/GetByIds", Class::Product).sets(PRODUCT_IDS).of_products().by_id(
            "productIds",
            VALUE,
            "RecordId",
        ),
        BuiltIn::function("Products/GetById", Class::Product).of_products(),
        BuiltIn::function("Products/GetAttributeValues", Class::Product).records(None),
        BuiltIn::function("Products/GetMediaLocations", Class::Product).records(None),
        BuiltIn::function("Products/GetMediaBlobs", Class::Product).records(None),
        BuiltIn::function("Products/GetRelationTypes", Class::Product).records(None),
        BuiltIn::function("Products/GetRelatedProducts", Class::Product).of_products(),
        BuiltIn::action("Products/GetDimensionValues", Class::Product).records(None),
        BuiltIn::action("Products/GetVariantsByDimensionValues", Class::Product).of_products(),
        BuiltIn::action("Products/GetVariantsByComponentsInSlots", Class::Product).of_products(),
        BuiltIn::function("Products/GetDefaultComponents", Class::Product).of_products(),
        BuiltIn::function("Products/GetSlotComponents", Class::Product).of_products(),
        BuiltIn::function("Products/GetUnitsOfMeasure", Class::Product).records(None),
        BuiltIn::action("Products/GetByLookupClauses", Class::Product).of_products(),
        // Compared in the order in which they are named.
        BuiltIn::action("Products/Compare", Class::Product).of_products(),
        BuiltIn::action("Products/GetCategoryPaths", Class::Product)
            .records(Some(IdKind::Category))
            .embeds(&[Class::Category]),
        BuiltIn::action("Products/GetProductRatings", Class::Product)
            .sets(PRODUCT_IDS)
            .records(None),
        BuiltIn::action("Products/GetDeliveryOptions", Class::Product).records(None),
        // What is recommended may depend on which product comes first.
        BuiltIn::action("Products/GetRecommendedProducts", Class::Product).of_products(),
        BuiltIn::action("Recommendations/GetElements", Class::Product).of_products(),
        // Categories and catalogues.
        BuiltIn::action("Categories/GetCategories", Class::Category),
        BuiltIn::action("Categories/GetChildren", Class::Category),
        BuiltIn::function("Categories", Class::Category),
        BuiltIn::action("Catalogs/GetCatalogs", Class::Category).records(Some(IdKind::Catalog)),
        // Set-up.
        BuiltIn::action("OrgUnits/GetOrgUnitConfiguration", Class::Configuration),
        BuiltIn::action("OrgUnits/GetOrgUnitLocationsByArea", Class::Configuration),
        BuiltIn::action("OrgUnits/SearchOrgUnitLocations", Class::Configuration),
        BuiltIn::action("OrgUnits/Search", Class::Configuration),
        BuiltIn::function("OrgUnits/GetStoreHours", Class::Configuration),
        BuiltIn::function("GetInventoryConfiguration", Class::Configuration),
        BuiltIn::function("GetSearchConfiguration", Class::Configuration),
        BuiltIn::function("GetTenderTypes", Class::Configuration),
        BuiltIn::function("GetCountryRegions", Class::Configuration),
        BuiltIn::function("GetCurrencies", Class::Configuration),
        BuiltIn::function("GetEnvironmentConfiguration", Class::Configuration),
        BuiltIn::function("GetChannels", Class::Configuration),
        BuiltIn::action("GetFeatureStates", Class::Configuration),
        BuiltIn::action("GetStateProvinces", Class::Configuration),
        BuiltIn::action("GetAvailablePromotions", Class::Configuration).short(),
    ]
}
