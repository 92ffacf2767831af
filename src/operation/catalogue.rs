//! The built-in table and the configuration's rules, made into one list to look names up in.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::built_in::{BuiltIn, built_in, of_class};
use super::definition::keyed_as;
use super::{Decomposition, FieldPath, Identity, Operation};
use crate::config::{ClassLifetimes, OperationRule};
use crate::odata::{ResourcePath, is_identifier};

/// Entity sets of carts, orders, people and shifts. What stands under them is never kept, whatever
/// a configuration says: they hold one person's state, and some of their writes are GETs.
const NEVER_STORED: [&str; 6] =
    ["Carts", "Customers", "SalesOrders", "ProductLists", "CommerceLists", "Shifts"];

/// Whether what stands under this entity set is never kept.
pub fn is_private_set(name: &str) -> bool {
    NEVER_STORED.iter().any(|set| set.eq_ignore_ascii_case(name))
}

/// The operations whose answers may be kept, by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Catalogue {
    operations: Box<[Arc<Operation>]>,
    /// Positions by the name after the slash.
    by_name: HashMap<Box<str>, Vec<usize>>,
    /// Names of built-in operations that the configuration has taken out.
    withdrawn: HashSet<Box<str>>,
}

/// What is wrong with one rule of the configuration.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("operation `{name}`: {problem}")]
pub struct CatalogueError {
    /// The rule's position among the rules.
    pub rule: usize,
    /// The operation that it names.
    pub name: String,
    /// What is wrong.
    pub problem: CatalogueProblem,
}

/// Why a rule cannot be followed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CatalogueProblem {
    /// Neither `EntitySet/Operation` nor a bare name.
    #[error("a name is `EntitySet/Operation` or `Operation`, without key, parentheses or slashes")]
    Name,
    /// A name of what must never be kept.
    #[error("nothing of `{0}` may be stored")]
    NeverStored(&'static str),
    /// An operation that is not built in, without a method.
    #[error("not a built-in operation, so `method` is required")]
    MethodRequired,
    /// An operation that is not built in, without a class.
    #[error("not a built-in operation, so `class` is required")]
    ClassRequired,
    /// A method that no read has.
    #[error("`{0}` is neither GET nor POST")]
    Method(Method),
    /// A list parameter's path that is none.
    #[error("`{0}` is no dotted path of member names")]
    Set(String),
    /// Answers that are to come apart, without what says how.
    #[error("its answers do not come apart by themselves, so `decompose.{0}` is required")]
    Decompose(&'static str),
    /// Answers to a GET that are to come apart: what is asked for is listed in a body.
    #[error("only answers to POST come apart")]
    DecomposeGet,
    /// `cache = false` for what is not in the catalogue.
    #[error("not a built-in operation, so there is nothing to take out")]
    NothingToTakeOut,
}

impl Catalogue {
    /// The built-in operations, changed by the rules in their order.
    ///
    /// # Errors
    /// Every mistake in every rule.
    pub fn new(
        rules: &[OperationRule],
        classes: &ClassLifetimes,
    ) -> Result<Self, Vec<CatalogueError>> {
        let built_in: Vec<Operation> =
            built_in().iter().map(|row| operation_of(row.name, row, classes)).collect();
        let mut operations = built_in.clone();
        let mut errors = Vec::new();
        for (rule, settings) in rules.iter().enumerate() {
            let problems = apply(&mut operations, settings, classes);
            errors.extend(problems.into_iter().map(|problem| CatalogueError {
                rule,
                name: settings.name.clone(),
                problem,
            }));
        }
        let taken_out = rules.iter().filter(|rule| rule.cache == Some(false));
        let withdrawn = taken_out.map(|rule| rule.name.as_str().into()).collect();
        for operation in &mut operations {
            let is_same = |other: &&Operation| {
                (&other.name, &other.method) == (&operation.name, &operation.method)
            };
            operation.keyed_as = keyed_as(operation, built_in.iter().find(is_same));
        }
        if errors.is_empty() { Ok(Self::of(operations, withdrawn)) } else { Err(errors) }
    }

    fn of(operations: Vec<Operation>, withdrawn: HashSet<Box<str>>) -> Self {
        let mut by_name: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        let operations = operations
            .into_iter()
            .enumerate()
            .map(|(index, operation)| {
                by_name.entry(last_name(&operation.name).into()).or_default().push(index);
                Arc::new(Operation { index, ..operation })
            })
            .collect();
        Self { operations, by_name, withdrawn }
    }

    /// Whether the operator has taken this operation out: then it passes, under any policy.
    pub fn has_withdrawn(&self, path: &ResourcePath<'_>) -> bool {
        let operation = path.operation();
        match path.entity_set() {
            Some(set) => self.withdrawn.contains(&*format!("{set}/{operation}")),
            None => self.withdrawn.contains(operation),
        }
    }

    /// The operation that a request asks for. A HEAD is looked up as the GET it stands for.
    pub fn find(&self, method: &Method, path: &ResourcePath<'_>) -> Option<&Arc<Operation>> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.by_name
            .get(path.operation())?
            .iter()
            .filter_map(|&index| self.operations.get(index))
            .find(|operation| {
                operation.method == *method
                    && operation.entity_set() == path.entity_set()
                    && path.can_be_called_by(method)
            })
    }

    /// Every operation, each at its index.
    pub fn operations(&self) -> &[Arc<Operation>] {
        &self.operations
    }

    /// Whether what was stored, and learned of the origin, by the other catalogue is of use to this
    /// one: all that may differ is how long it is.
    pub fn defines_as(&self, other: &Self) -> bool {
        let defined = |catalogue: &Self| -> Vec<Box<str>> {
            catalogue.operations.iter().map(|operation| operation.keyed_as.clone()).collect()
        };
        defined(self) == defined(other)
    }

    /// The longest time that any answer can be of use.
    pub fn longest_life(&self) -> Duration {
        self.operations.iter().map(|operation| operation.lifetimes.life()).max().unwrap_or_default()
    }
}

fn last_name(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, last)| last)
}

fn operation_of(name: &str, row: &BuiltIn, classes: &ClassLifetimes) -> Operation {
    Operation {
        index: 0,
        name: name.into(),
        keyed_as: Box::default(),
        method: row.method.clone(),
        class: row.class,
        lifetimes: row.lifetimes.unwrap_or_else(|| classes.of(row.class)),
        identity: Identity::Bypass,
        sets: row.sets.iter().filter_map(|path| FieldPath::parse(path)).collect(),
        now_parameter: row.now_parameter.and_then(FieldPath::parse),
        records: row.records,
        embeds: row.embeds.into(),
        inventory_in_attributes: row.inventory_in_attributes,
        covers_descendants: row.covers_descendants,
        decomposition: row.decomposition.clone(),
    }
}

/// Follows one rule; or says all that is wrong with it.
fn apply(
    operations: &mut Vec<Operation>,
    rule: &OperationRule,
    classes: &ClassLifetimes,
) -> Vec<CatalogueProblem> {
    let mut problems: Vec<_> = name_problem(&rule.name).into_iter().collect();
    let method = rule.method.as_ref();
    if let Some(method) = method.filter(|method| *method != Method::GET && *method != Method::POST)
    {
        problems.push(CatalogueProblem::Method(method.clone()));
    }
    let mut sets = Vec::new();
    for text in rule.sets.iter().flatten() {
        match FieldPath::parse(text) {
            Some(path) => sets.push(path),
            None => problems.push(CatalogueProblem::Set(text.clone())),
        }
    }
    let is_meant = |operation: &Operation| {
        *operation.name == *rule.name && method.is_none_or(|method| *method == operation.method)
    };
    let is_known = operations.iter().any(is_meant);
    if rule.cache == Some(false) {
        if !is_known {
            problems.push(CatalogueProblem::NothingToTakeOut);
        } else if problems.is_empty() {
            operations.retain(|operation| !is_meant(operation));
        }
        return problems;
    }
    if !is_known {
        if method.is_none() {
            problems.push(CatalogueProblem::MethodRequired);
        }
        if rule.class.is_none() {
            problems.push(CatalogueProblem::ClassRequired);
        }
    }
    let known = operations.iter().find(|operation| is_meant(operation));
    let apart = known.and_then(|operation| operation.decomposition.as_ref());
    let decomposition = Decomposition::by_rule(apart, &rule.decompose);
    let is_post = known.map(|operation| &operation.method).or(method) == Some(&Method::POST);
    match &decomposition {
        Err(key) => problems.push(CatalogueProblem::Decompose(key)),
        Ok(Some(_)) if !is_post => problems.push(CatalogueProblem::DecomposeGet),
        Ok(_) => {}
    }
    if !problems.is_empty() {
        return problems;
    }
    if let (false, Some(method), Some(class)) = (is_known, method, rule.class) {
        let row = of_class(method.clone(), class);
        operations.push(operation_of(&rule.name, &row, classes));
    }
    for operation in operations.iter_mut().filter(|operation| is_meant(operation)) {
        override_with(operation, rule, &sets, classes);
        operation.decomposition = decomposition.clone().unwrap_or_default();
    }
    problems
}

fn override_with(
    operation: &mut Operation,
    rule: &OperationRule,
    sets: &[FieldPath],
    classes: &ClassLifetimes,
) {
    if let Some(class) = rule.class.filter(|class| *class != operation.class) {
        // The answer still holds what it held: purges of its former class keep reaching it.
        let mut embeds = vec![operation.class];
        embeds.extend(operation.embeds.iter().filter(|embedded| **embedded != class));
        operation.embeds = embeds.into();
        operation.class = class;
        operation.lifetimes = classes.of(class);
    }
    if rule.sets.is_some() {
        operation.sets = sets.into();
    }
    operation.identity = rule.identity.unwrap_or(operation.identity);
    let lifetimes = &mut operation.lifetimes;
    lifetimes.fresh_for = rule.fresh_for.unwrap_or(lifetimes.fresh_for);
    lifetimes.stale_while_revalidate =
        rule.stale_while_revalidate.unwrap_or(lifetimes.stale_while_revalidate);
    lifetimes.stale_if_error = rule.stale_if_error.unwrap_or(lifetimes.stale_if_error);
}

fn name_problem(name: &str) -> Option<CatalogueProblem> {
    let mut steps = name.split('/');
    let well_formed = steps.clone().count() <= 2 && steps.clone().all(is_identifier);
    if !well_formed {
        return Some(CatalogueProblem::Name);
    }
    let first = steps.next().unwrap_or_default();
    let is_first = |set: &&&'static str| set.eq_ignore_ascii_case(first);
    NEVER_STORED.iter().find(is_first).map(|set| CatalogueProblem::NeverStored(set))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DecomposeRule;
    use crate::operation::Class;

    fn rule(name: &str) -> OperationRule {
        OperationRule { name: name.to_owned(), ..OperationRule::default() }
    }

    fn catalogue(rules: &[OperationRule]) -> Result<Catalogue, Vec<CatalogueProblem>> {
        Catalogue::new(rules, &ClassLifetimes::default())
            .map_err(|errors| errors.into_iter().map(|error| error.problem).collect())
    }

    fn found(catalogue: &Catalogue, method: Method, path: &str) -> Option<(String, Class)> {
        let path = ResourcePath::parse(path).unwrap();
        catalogue.find(&method, &path).map(|found| (found.name.to_string(), found.class))
    }

    #[test]
    fn every_known_read_is_found_in_its_class() {
        let (get, post) = (Method::GET, Method::POST);
        let table = [
            (&post, "Products/GetByIds", Class::Product),
            (&get, "Products(1)/GetById(channelId=1)", Class::Product),
            (&post, "Products/SearchByCriteria", Class::Search),
            (&post, "Products/Search", Class::Search),
            (&post, "Products/GetRefiners", Class::Search),
            (
                &get,
                "Products/SearchByCategory(channelId=1,catalogId=0,categoryId=2)",
                Class::Search,
            ),
            (&get, "Products/SearchByText(channelId=1,catalogId=0,searchText=@p1)", Class::Search),
            (&post, "Products/RefineSearchByCategory", Class::Search),
            (&post, "Products/RefineSearchByText", Class::Search),
            (&post, "Products/GetProductSearchRefiners", Class::Search),
            (&get, "Products/GetRefinersByCategory(catalogId=0)", Class::Search),
            (&get, "Products/GetRefinersByText(catalogId=0)", Class::Search),
            (&get, "Products/GetRefinerValuesByCategory(catalogId=0)", Class::Search),
            (&get, "Products/GetRefinerValuesByText(catalogId=0)", Class::Search),
            (&get, "Products/GetSearchSuggestions(channelId=1)", Class::Search),
            (&post, "GetSearchSuggestions", Class::Search),
            (&get, "Products(1)/GetAttributeValues(channelId=1,catalogId=0)", Class::Product),
            (&get, "Products(1)/GetMediaLocations(channelId=1,catalogId=0)", Class::Product),
            (&get, "Products(1)/GetMediaBlobs(channelId=1,catalogId=0)", Class::Product),
            (&get, "Products(1)/GetRelationTypes(channelId=1,catalogId=0)", Class::Product),
            (&get, "Products(1)/GetRelatedProducts(relationTypeId=1)", Class::Product),
            (&post, "Products(1)/GetDimensionValues", Class::Product),
            (&post, "Products(1)/GetVariantsByDimensionValues", Class::Product),
            (&post, "Products(1)/GetVariantsByComponentsInSlots", Class::Product),
            (&get, "Products(1)/GetDefaultComponents(channelId=1)", Class::Product),
            (&get, "Products(1)/GetSlotComponents(channelId=1,slotId=1)", Class::Product),
            (&get, "Products(1)/GetUnitsOfMeasure()", Class::Product),
            (&post, "Products/GetByLookupClauses", Class::Product),
            (&post, "Products/Compare", Class::Product),
            (&post, "Products/GetCategoryPaths", Class::Product),
            (&post, "Products/GetProductRatings", Class::Product),
            (&post, "Products/GetDeliveryOptions", Class::Product),
            (&post, "Products/GetRecommendedProducts", Class::Product),
            (&post, "Recommendations('x')/GetElements", Class::Product),
            (&post, "Products/GetActivePrices", Class::Price),
            (&get, "Products(1)/GetPrice(customerAccountNumber='')", Class::Price),
            (&post, "Products(1)/CalculateProductPrice", Class::Price),
            (&post, "Products/GetEstimatedAvailability", Class::Inventory),
            (&post, "Products/GetEstimatedProductWarehouseAvailability", Class::Inventory),
            (&post, "Products/GetProductAvailabilities", Class::Inventory),
            (&get, "OrgUnits/GetProductAvailability(productId=1)", Class::Inventory),
            (&post, "OrgUnits/SearchProductAvailability", Class::Inventory),
            (&post, "OrgUnits/GetAvailableInventory", Class::Inventory),
            (&post, "OrgUnits/GetAvailableInventoryNearby", Class::Inventory),
            (&post, "OrgUnits/GetProductAvailabilityByDimensions", Class::Inventory),
            (&post, "OrgUnits/GetOrgUnitConfiguration", Class::Configuration),
            (&post, "OrgUnits/GetOrgUnitLocationsByArea", Class::Configuration),
            (&post, "OrgUnits/SearchOrgUnitLocations", Class::Configuration),
            (&post, "OrgUnits/Search", Class::Configuration),
            (&get, "OrgUnits/GetStoreHours(storeNumber='1')", Class::Configuration),
            (&post, "Categories/GetCategories", Class::Category),
            (&post, "Categories/GetChildren", Class::Category),
            (&get, "Categories", Class::Category),
            (&post, "Catalogs/GetCatalogs", Class::Category),
            (&get, "GetInventoryConfiguration()", Class::Configuration),
            (&get, "GetSearchConfiguration()", Class::Configuration),
            (&get, "GetTenderTypes()", Class::Configuration),
            (&get, "GetTenderTypes", Class::Configuration),
            (&get, "GetCountryRegions()", Class::Configuration),
            (&get, "GetCurrencies()", Class::Configuration),
            (&get, "GetEnvironmentConfiguration()", Class::Configuration),
            (&get, "GetChannels()", Class::Configuration),
            (&post, "GetFeatureStates", Class::Configuration),
            (&post, "GetStateProvinces", Class::Configuration),
            (&post, "GetAvailablePromotions", Class::Configuration),
        ];
        let catalogue = catalogue(&[]).unwrap();
        for (method, path, class) in table {
            let (_, of) =
                found(&catalogue, method.clone(), path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!(of, class, "{path}");
            let other = if *method == Method::GET { Method::POST } else { Method::GET };
            let same = found(&catalogue, other, path);
            assert!(same.is_none(), "{path} is found with another method");
        }
        let indices: Vec<_> = catalogue.operations().iter().map(|found| found.index).collect();
        assert_eq!(indices, (0..catalogue.operations().len()).collect::<Vec<_>>());
    }

    #[test]
    fn a_head_is_the_get_that_it_stands_for() {
        let catalogue = catalogue(&[]).unwrap();
        assert!(found(&catalogue, Method::HEAD, "GetChannels()").is_some());
        assert!(found(&catalogue, Method::HEAD, "Products/GetByIds").is_none());
    }

    #[test]
    fn what_is_not_listed_is_not_found() {
        let catalogue = catalogue(&[]).unwrap();
        for path in [
            "Carts/ResetAllCharges",
            "Carts('x')",
            "Products",
            "Products(1)",
            "Categories(1)",
            "products/GetByIds",
            "Products/getByIds",
            "Carts/GetByIds",
            "GetByIds",
            "Products/GetChannels()",
            "Products/GetByIds(channelId=1)",
        ] {
            for method in [Method::GET, Method::POST, Method::PUT] {
                assert_eq!(found(&catalogue, method, path), None, "{path}");
            }
        }
    }

    #[test]
    fn a_rule_says_how_answers_come_apart_or_that_they_do_not() {
        let of = |rules: &[OperationRule], name: &str| {
            let catalogue = catalogue(rules)?;
            let known = catalogue.operations().iter().find(|known| *known.name == *name).unwrap();
            Ok::<_, Vec<CatalogueProblem>>(known.decomposition.clone())
        };
        let with = |name: &str, decompose| OperationRule { decompose, ..rule(name) };
        let prices = "Products/GetActivePrices";
        let built_in = of(&[], prices).unwrap().unwrap();
        assert_eq!((built_in.list_name(), &*built_in.item_id), ("productIds", "ProductId"));
        let off = DecomposeRule { enabled: Some(false), ..DecomposeRule::default() };
        assert_eq!(of(&[with(prices, off)], prices), Ok(None));
        let fewer = DecomposeRule { max_ids: Some(20), ..DecomposeRule::default() };
        let changed = of(&[with(prices, fewer.clone())], prices).unwrap().unwrap();
        assert_eq!(changed, Decomposition { max_ids: 20, ..built_in });

        let lookup = "Products/GetByLookupClauses";
        let incomplete = of(&[with(lookup, fewer)], lookup);
        assert_eq!(incomplete, Err(vec![CatalogueProblem::Decompose("list")]));
        let complete = DecomposeRule {
            list: Some("clauses".into()),
            list_id: Some("ItemId".into()),
            items: Some(vec!["value".into()]),
            item_id: Some("ItemId".into()),
            ..DecomposeRule::default()
        };
        let added = of(&[with(lookup, complete.clone())], lookup).unwrap().unwrap();
        assert_eq!((added.list_name(), added.max_ids), ("clauses", 100));
        let get = of(&[with("Products/GetById", complete)], "Products/GetById");
        assert_eq!(get, Err(vec![CatalogueProblem::DecomposeGet]));
    }

    #[test]
    fn suggestions_and_promotions_are_short_and_the_rest_lives_as_its_class() {
        let catalogue = catalogue(&[]).unwrap();
        let of = |name: &str| {
            let named = |operation: &&Arc<Operation>| *operation.name == *name;
            catalogue.operations().iter().find(named).unwrap().lifetimes
        };
        for name in
            ["GetSearchSuggestions", "Products/GetSearchSuggestions", "GetAvailablePromotions"]
        {
            assert_eq!(of(name).fresh_for, Duration::from_secs(60));
            assert_eq!(of(name).stale_if_error, Duration::from_secs(300));
        }
        assert_eq!(of("Products/GetActivePrices"), ClassLifetimes::default().of(Class::Price));
        assert_eq!(catalogue.longest_life(), Duration::from_secs(30 * 60 + 24 * 3600));
    }

    #[test]
    fn a_rule_adds_overrides_and_takes_out() {
        let catalogue = catalogue(&[
            OperationRule {
                method: Some(Method::POST),
                class: Some(Class::Search),
                sets: Some(vec!["criteria.Ids".to_owned()]),
                ..rule("Products/MySearch")
            },
            OperationRule {
                fresh_for: Some(Duration::from_secs(7)),
                identity: Some(Identity::Token),
                ..rule("Products/GetActivePrices")
            },
            OperationRule { class: Some(Class::Configuration), ..rule("Products/GetById") },
            OperationRule { cache: Some(false), ..rule("GetChannels") },
        ])
        .unwrap();
        let find = |method, path| catalogue.find(&method, &ResourcePath::parse(path).unwrap());
        let added = find(Method::POST, "Products/MySearch").unwrap();
        assert_eq!(*added.embeds, [Class::Product, Class::Price]);
        assert_eq!(added.sets.len(), 1);
        let prices = find(Method::POST, "Products/GetActivePrices").unwrap();
        assert_eq!(prices.lifetimes.fresh_for, Duration::from_secs(7));
        assert_eq!(prices.lifetimes.stale_if_error, Duration::from_secs(60));
        assert_eq!((prices.identity, prices.sets.len()), (Identity::Token, 1));
        let product = find(Method::GET, "Products(1)/GetById()").unwrap();
        assert_eq!(*product.embeds, [Class::Product, Class::Price]);
        assert!(find(Method::GET, "GetChannels()").is_none());
    }

    #[test]
    fn every_mistake_is_reported_with_its_rule() {
        let errors = Catalogue::new(
            &[
                rule("GetChannels"),
                OperationRule {
                    method: Some(Method::PUT),
                    sets: Some(vec!["a..b".to_owned()]),
                    ..rule("Products/Mine")
                },
                OperationRule { cache: Some(false), ..rule("Products/Mine") },
            ],
            &ClassLifetimes::default(),
        )
        .unwrap_err();
        let told: Vec<_> = errors.into_iter().map(|error| (error.rule, error.problem)).collect();
        assert_eq!(
            told,
            [
                (1, CatalogueProblem::Method(Method::PUT)),
                (1, CatalogueProblem::Set("a..b".to_owned())),
                (1, CatalogueProblem::ClassRequired),
                (2, CatalogueProblem::NothingToTakeOut),
            ]
        );
        for name in ["", "a/b/c", "Products(1)/Op", "$batch", "Products/"] {
            assert!(catalogue(&[rule(name)]).unwrap_err().contains(&CatalogueProblem::Name));
        }
    }

    #[test]
    fn no_rule_makes_a_cart_or_a_customer_storable() {
        for name in [
            "Carts/Get",
            "carts/Get",
            "Customers",
            "SalesOrders/Search",
            "Shifts/Get",
            "ProductLists/Get",
            "CommerceLists/Get",
        ] {
            let rule = OperationRule {
                method: Some(Method::GET),
                class: Some(Class::Product),
                ..rule(name)
            };
            let problems = catalogue(&[rule]).unwrap_err();
            assert!(matches!(&*problems, [CatalogueProblem::NeverStored(_)]), "{name}");
        }
    }
}
