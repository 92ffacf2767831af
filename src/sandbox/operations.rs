//! The operations that the stand-in answers: one list, which is all that decides what exists.

use http::Method;
use serde_json::Value;

use super::answers::{
    Handler, carts, categories, configuration, inventory, prices, products, search,
};
use super::call::{Kind, Parameter};
use super::problem::Problem;
use super::url::{Arguments, Literal, Segment};

/// What an operation stands on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Binding {
    /// `Op` under the service root.
    Unbound,
    /// `Set/Op`.
    Set,
    /// `Set(key)/Op`.
    Entity,
    /// `Set/Op` or `Set(key)/Op`.
    SetOrEntity,
    /// The set itself: `Set`.
    WholeSet,
    /// One of its members: `Set(key)`.
    Member,
}

/// An operation of the table.
#[derive(Debug)]
pub(crate) struct Operation {
    /// As the table has it, without the key predicate: `Products/GetById`. What is counted and
    /// what a fault is aimed at.
    pub(crate) name: &'static str,
    pub(crate) binding: Binding,
    pub(crate) is_action: bool,
    pub(crate) parameters: &'static [Parameter],
    pub(crate) answer: Handler,
}

const fn action(
    name: &'static str,
    binding: Binding,
    parameters: &'static [Parameter],
    answer: Handler,
) -> Operation {
    Operation { name, binding, is_action: true, parameters, answer }
}

const fn function(
    name: &'static str,
    binding: Binding,
    parameters: &'static [Parameter],
    answer: Handler,
) -> Operation {
    Operation { name, binding, is_action: false, parameters, answer }
}

const fn required(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind, is_required: true }
}

const fn optional(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind, is_required: false }
}

const CHANNEL: Parameter = required("channelId", Kind::Int);
const CATALOGUE: Parameter = required("catalogId", Kind::Int);
const CATEGORY: Parameter = required("categoryId", Kind::Int);
const SEARCH_TEXT: Parameter = required("searchText", Kind::Text);
const REFINEMENT: Parameter = required("refinementCriteria", Kind::Objects);
const PRODUCT_IDS: Parameter = required("productIds", Kind::Ints);
const SEARCH_CRITERIA: Parameter = required("searchCriteria", Kind::Object);
const PRODUCT_SEARCH_CRITERIA: Parameter = required("productSearchCriteria", Kind::Object);
const SLOT: Parameter = optional("slotId", Kind::Int);
const REFINER_ID: Parameter = optional("refinerId", Kind::Int);
const REFINER_SOURCE: Parameter = optional("refinerSourceValue", Kind::Int);

use Binding::{Entity, Member, Set, SetOrEntity, Unbound, WholeSet};

/// Every operation.
pub(crate) static OPERATIONS: &[Operation] = &[
    action("Products/GetByIds", Set, &[CHANNEL, PRODUCT_IDS], products::by_ids),
    function("Products/GetById", Entity, &[CHANNEL], products::by_id),
    action("Products/SearchByCriteria", Set, &[SEARCH_CRITERIA], search::results),
    action("Products/Search", Set, &[PRODUCT_SEARCH_CRITERIA], search::results),
    action("Products/GetRefiners", Set, &[PRODUCT_SEARCH_CRITERIA], search::refiners),
    function("Products/SearchByCategory", Set, &[CHANNEL, CATALOGUE, CATEGORY], search::results),
    function("Products/SearchByText", Set, &[CHANNEL, CATALOGUE, SEARCH_TEXT], search::results),
    action(
        "Products/RefineSearchByCategory",
        Set,
        &[CATALOGUE, CATEGORY, REFINEMENT],
        search::results,
    ),
    action(
        "Products/RefineSearchByText",
        Set,
        &[CATALOGUE, SEARCH_TEXT, REFINEMENT],
        search::results,
    ),
    action("Products/GetProductSearchRefiners", Set, &[SEARCH_CRITERIA], search::refiners),
    function("Products/GetRefinersByCategory", Set, &[CATALOGUE, CATEGORY], search::refiners),
    function("Products/GetRefinersByText", Set, &[CATALOGUE, SEARCH_TEXT], search::refiners),
    function(
        "Products/GetRefinerValuesByCategory",
        Set,
        &[CATALOGUE, CATEGORY, REFINER_ID, REFINER_SOURCE],
        search::refiner_values,
    ),
    function(
        "Products/GetRefinerValuesByText",
        Set,
        &[CATALOGUE, SEARCH_TEXT, REFINER_ID, REFINER_SOURCE],
        search::refiner_values,
    ),
    function(
        "Products/GetSearchSuggestions",
        Set,
        &[
            CHANNEL,
            CATALOGUE,
            SEARCH_TEXT,
            optional("hitPrefix", Kind::Text),
            optional("hitSuffix", Kind::Text),
        ],
        search::suggestions,
    ),
    action(
        "GetSearchSuggestions",
        Unbound,
        &[required("searchSuggestionCriteria", Kind::Object)],
        search::suggestions,
    ),
    function(
        "Products/GetAttributeValues",
        Entity,
        &[CHANNEL, CATALOGUE],
        products::attribute_values,
    ),
    function(
        "Products/GetMediaLocations",
        Entity,
        &[CHANNEL, CATALOGUE],
        products::media_locations,
    ),
    function("Products/GetMediaBlobs", Entity, &[CHANNEL, CATALOGUE], products::media_blobs),
    function("Products/GetRelationTypes", Entity, &[CHANNEL, CATALOGUE], products::relation_types),
    function(
        "Products/GetRelatedProducts",
        Entity,
        &[CHANNEL, CATALOGUE, required("relationTypeId", Kind::Int)],
        products::related_products,
    ),
    action(
        "Products/GetDimensionValues",
        Entity,
        &[
            CHANNEL,
            required("dimension", Kind::Int),
            optional("matchingDimensionValues", Kind::Objects),
        ],
        products::dimension_values,
    ),
    action(
        "Products/GetVariantsByDimensionValues",
        Entity,
        &[CHANNEL, optional("matchingDimensionValues", Kind::Objects)],
        products::variants_by_dimension_values,
    ),
    action(
        "Products/GetVariantsByComponentsInSlots",
        Entity,
        &[CHANNEL, optional("matchingSlotToComponentRelations", Kind::Objects)],
        products::variants_by_components,
    ),
    function("Products/GetDefaultComponents", Entity, &[CHANNEL, SLOT], products::components),
    function("Products/GetSlotComponents", Entity, &[CHANNEL, SLOT], products::components),
    function("Products/GetUnitsOfMeasure", Entity, &[CHANNEL, SLOT], products::units_of_measure),
    action(
        "Products/GetByLookupClauses",
        Set,
        &[optional("channelId", Kind::Int), optional("productLookupClauses", Kind::Objects)],
        products::by_lookup_clauses,
    ),
    action("Products/Compare", Set, &[optional("productIds", Kind::Ints)], products::compare),
    action(
        "Products/GetCategoryPaths",
        Set,
        &[optional("productIds", Kind::Ints)],
        products::category_paths,
    ),
    action(
        "Products/GetProductRatings",
        Set,
        &[optional("productIds", Kind::Ints)],
        products::ratings,
    ),
    action(
        "Products/GetDeliveryOptions",
        Set,
        &[optional("productIds", Kind::Ints)],
        products::delivery_options,
    ),
    action(
        "Products/GetRecommendedProducts",
        Set,
        &[PRODUCT_IDS, optional("customerId", Kind::Text)],
        products::recommended_products,
    ),
    action(
        "Recommendations/GetElements",
        Entity,
        &[required("recommendationCriteria", Kind::Object)],
        products::recommendation_elements,
    ),
    action(
        "Products/GetActivePrices",
        Set,
        &[
            required("projectDomain", Kind::Object),
            PRODUCT_IDS,
            optional("activeDate", Kind::Instant),
            optional("customerId", Kind::Text),
            optional("affiliationLoyaltyTiers", Kind::Objects),
            optional("includeSimpleDiscountsInContextualPrice", Kind::Flag),
        ],
        prices::active_prices,
    ),
    function(
        "Products/GetPrice",
        Entity,
        &[
            optional("customerAccountNumber", Kind::Text),
            optional("unitOfMeasureSymbol", Kind::Text),
        ],
        prices::price,
    ),
    action(
        "Products/CalculateProductPrice",
        Entity,
        &[
            optional("customer", Kind::Any),
            optional("unit", Kind::Any),
            optional("loyaltyCardId", Kind::Text),
            optional("tiers", Kind::Objects),
        ],
        prices::price,
    ),
    action(
        "Products/GetEstimatedAvailability",
        Set,
        &[SEARCH_CRITERIA],
        inventory::estimated_availability,
    ),
    action(
        "Products/GetEstimatedProductWarehouseAvailability",
        Set,
        &[required("productWarehouses", Kind::Objects)],
        inventory::warehouse_availability,
    ),
    action(
        "Products/GetProductAvailabilities",
        Set,
        &[required("itemIds", Kind::Texts), CHANNEL],
        inventory::product_availabilities,
    ),
    function(
        "OrgUnits/GetProductAvailability",
        SetOrEntity,
        &[required("productId", Kind::Int)],
        inventory::org_unit_availability,
    ),
    action(
        "OrgUnits/SearchProductAvailability",
        SetOrEntity,
        &[],
        inventory::org_unit_availability,
    ),
    action("OrgUnits/GetAvailableInventory", SetOrEntity, &[], inventory::org_unit_availability),
    action(
        "OrgUnits/GetAvailableInventoryNearby",
        SetOrEntity,
        &[],
        inventory::org_unit_availability,
    ),
    action(
        "OrgUnits/GetProductAvailabilityByDimensions",
        SetOrEntity,
        &[],
        inventory::org_unit_availability,
    ),
    action(
        "OrgUnits/GetOrgUnitConfiguration",
        SetOrEntity,
        &[],
        configuration::org_unit_configuration,
    ),
    action("OrgUnits/GetOrgUnitLocationsByArea", SetOrEntity, &[], configuration::locations),
    action("OrgUnits/SearchOrgUnitLocations", SetOrEntity, &[], configuration::locations),
    action("OrgUnits/Search", SetOrEntity, &[], configuration::locations),
    function(
        "OrgUnits/GetStoreHours",
        SetOrEntity,
        &[required("storeNumber", Kind::Text)],
        configuration::store_hours,
    ),
    action("Categories/GetCategories", Set, &[CHANNEL], categories::categories),
    action("Categories/GetChildren", Set, &[CHANNEL, CATEGORY], categories::children),
    function("Categories", WholeSet, &[], categories::categories),
    action(
        "Catalogs/GetCatalogs",
        Set,
        &[CHANNEL, optional("activeOnly", Kind::Flag)],
        categories::catalogues,
    ),
    function("GetInventoryConfiguration", Unbound, &[], configuration::inventory_configuration),
    function("GetSearchConfiguration", Unbound, &[], configuration::search_configuration),
    function("GetTenderTypes", Unbound, &[], configuration::tender_types),
    function("GetCountryRegions", Unbound, &[], configuration::country_regions),
    function("GetCurrencies", Unbound, &[], configuration::currencies),
    function("GetEnvironmentConfiguration", Unbound, &[], configuration::environment_configuration),
    function("GetChannels", Unbound, &[], configuration::channels),
    action("GetFeatureStates", Unbound, &[], configuration::feature_states),
    action("GetStateProvinces", Unbound, &[], configuration::state_provinces),
    action("GetAvailablePromotions", Unbound, &[], configuration::available_promotions),
    action(
        "Carts/Create",
        WholeSet,
        &[optional("CartLines", Kind::Objects), optional("CustomerId", Kind::Text)],
        carts::create,
    ),
    function("Carts/Read", Member, &[], carts::read),
    action(
        "Carts/AddCartLines",
        Entity,
        &[required("cartLines", Kind::Objects)],
        carts::add_cart_lines,
    ),
    action(
        "Carts/UpdateCartLines",
        Entity,
        &[required("cartLines", Kind::Objects)],
        carts::update_cart_lines,
    ),
    action(
        "Carts/RemoveCartLines",
        Entity,
        &[required("cartLineIds", Kind::Texts)],
        carts::remove_cart_lines,
    ),
    function("Carts/ResetAllCharges", SetOrEntity, &[], carts::reset_all_charges),
    action("Carts/Copy", Entity, &[optional("targetCartType", Kind::Int)], carts::copy),
    action("Carts/Checkout", Entity, &[optional("receiptEmail", Kind::Text)], carts::checkout),
    function("SalesOrders/Read", Member, &[], carts::read_order),
];

impl Operation {
    const fn method(&self) -> &'static str {
        if self.is_action { "POST" } else { "GET" }
    }

    /// HEAD is answered as GET is, without the body (RFC 9110 §9.3.2).
    fn takes(&self, method: &Method) -> bool {
        if self.is_action {
            method == Method::POST
        } else {
            method == Method::GET || method == Method::HEAD
        }
    }

    fn matches(&self, segments: &[Segment]) -> bool {
        let (set, bare) = self.name.split_once('/').unwrap_or((self.name, ""));
        match (self.binding, segments) {
            (Unbound | WholeSet, [only]) => {
                only.name == set && (self.binding == Unbound || only.arguments == Arguments::None)
            }
            (Member, [only]) => only.name == set && only.arguments != Arguments::None,
            (Set | Entity | SetOrEntity, [on, operation]) => {
                let has_key = on.arguments != Arguments::None;
                let may_stand = match self.binding {
                    Set => !has_key,
                    Entity => has_key,
                    _ => true,
                };
                may_stand && on.name == set && operation.name == bare
            }
            _ => false,
        }
    }
}

/// A call's place in the list, and what its path says.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// Position in [`OPERATIONS`].
    pub(crate) index: usize,
    pub(crate) operation: &'static Operation,
    pub(crate) entity_key: Option<Literal>,
    pub(crate) arguments: Vec<(String, Literal)>,
}

/// Finds the operation that a method and a path call.
pub(crate) fn resolve(method: &Method, segments: Vec<Segment>) -> Result<Resolved, Problem> {
    let named = || OPERATIONS.iter().enumerate().filter(|(_, o)| o.matches(&segments));
    let Some((index, operation)) = named().find(|(_, operation)| operation.takes(method)) else {
        return Err(match named().next() {
            Some((_, other)) => Problem::WrongMethod { allow: other.method() },
            None => Problem::UnknownOperation(describe(&segments)),
        });
    };
    let stands_on_key = matches!(operation.binding, Entity | SetOrEntity | Member);
    let mut segments = segments.into_iter();
    let first = segments.next().map(|segment| segment.arguments);
    let (key, arguments) = if stands_on_key || operation.binding == Set {
        (first, segments.next().map(|segment| segment.arguments))
    } else {
        (None, first)
    };
    let entity_key = match key {
        None | Some(Arguments::None) => None,
        Some(Arguments::Single(key)) => Some(key),
        // No set here has a compound key, but a simple one may be named: `Products(RecordId=1)`.
        Some(Arguments::Named(mut named)) => match (named.pop(), named.is_empty()) {
            (Some((_, key)), true) => Some(key),
            _ => return Err(Problem::MalformedUrl),
        },
    };
    let arguments = match arguments {
        None | Some(Arguments::None) => Vec::new(),
        Some(Arguments::Named(named)) => named,
        Some(Arguments::Single(_)) => return Err(Problem::MalformedUrl),
    };
    Ok(Resolved { index, operation, entity_key, arguments })
}

fn describe(segments: &[Segment]) -> String {
    segments.iter().map(|segment| segment.name.as_str()).collect::<Vec<_>>().join("/")
}

/// The position of the operation of that name; `Products(id)/GetById` names what
/// `Products/GetById` does.
pub(crate) fn position(name: &str) -> Option<usize> {
    let plain = match (name.split_once('('), name.split_once(')')) {
        (Some((before, _)), Some((_, after))) => format!("{before}{after}"),
        _ => name.to_owned(),
    };
    OPERATIONS.iter().position(|operation| operation.name == plain)
}

/// Whether a key has the type that its set's keys have: a number for products, text elsewhere.
pub(crate) fn check_key(operation: &Operation, key: Option<&Value>) -> Result<(), Problem> {
    let Some(key) = key else { return Ok(()) };
    let is_right =
        if operation.name.starts_with("Products/") { key.is_i64() } else { key.is_string() };
    let expects = if operation.name.starts_with("Products/") { "an integer" } else { "text" };
    if is_right { Ok(()) } else { Err(Problem::IllTypedParameter { name: "key", expects }) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::sandbox::url::parse_path;

    fn name_of(method: Method, path: &str) -> Result<&'static str, Problem> {
        resolve(&method, parse_path(path).unwrap()).map(|resolved| resolved.operation.name)
    }

    #[test]
    fn names_are_unique_and_lead_back_to_their_operation() {
        let names: HashSet<_> = OPERATIONS.iter().map(|operation| operation.name).collect();
        assert_eq!(names.len(), OPERATIONS.len());
        assert_eq!(position("Products(id)/GetById"), position("Products/GetById"));
        assert_eq!(
            position("Recommendations('id')/GetElements"),
            position("Recommendations/GetElements")
        );
        assert_eq!(position("Products/Nothing"), None);
    }

    #[test]
    fn a_path_and_a_method_find_their_operation() {
        for (method, path, name) in [
            (Method::GET, "GetTenderTypes()", "GetTenderTypes"),
            (Method::GET, "GetTenderTypes", "GetTenderTypes"),
            (Method::HEAD, "Categories", "Categories"),
            (Method::POST, "Carts", "Carts/Create"),
            (Method::GET, "Carts('a')", "Carts/Read"),
            (Method::GET, "Carts('a')/ResetAllCharges()", "Carts/ResetAllCharges"),
            (Method::GET, "Products(1)/GetPrice()", "Products/GetPrice"),
            (Method::POST, "GetSearchSuggestions", "GetSearchSuggestions"),
            (
                Method::POST,
                "OrgUnits('128')/GetOrgUnitConfiguration",
                "OrgUnits/GetOrgUnitConfiguration",
            ),
        ] {
            assert_eq!(name_of(method, path), Ok(name), "{path}");
        }
    }

    #[test]
    fn the_wrong_method_and_the_wrong_name_are_told_apart() {
        let wrong = name_of(Method::GET, "Products/GetByIds").unwrap_err();
        assert_eq!(wrong, Problem::WrongMethod { allow: "POST" });
        for path in ["Products(1)/GetByIds", "Products", "Nothing", "Products/GetById", "a/b/c", ""]
        {
            assert!(
                matches!(name_of(Method::POST, path), Err(Problem::UnknownOperation(_))),
                "{path}"
            );
        }
    }
}
