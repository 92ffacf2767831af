//! Every operation of the table: its method, its parameters, its answer's shape.

use std::collections::{BTreeSet, HashSet};

use csu_edge::config::ClassLifetimes;
use csu_edge::operation::Catalogue;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{FIRST, Scene};

/// What an answer must look like: the members that each row, or the entity, has.
#[derive(Clone, Copy)]
enum Shape {
    Rows(&'static [&'static str]),
    Empty,
    Entity(&'static [&'static str]),
}

use Shape::{Empty, Entity, Rows};

const PRODUCT: &[&str] = &[
    "RecordId",
    "ItemId",
    "Name",
    "Description",
    "ProductTypeValue",
    "DefaultUnitOfMeasure",
    "BasePrice",
    "Price",
    "AdjustedPrice",
    "MasterProductId",
    "Components",
    "Dimensions",
    "Behavior",
    "LinkedProducts",
    "PrimaryImageUrl",
    "ExtensionProperties",
];
const FOUND: &[&str] = &[
    "RecordId",
    "ItemId",
    "Name",
    "Price",
    "Description",
    "PrimaryImageUrl",
    "DefaultUnitOfMeasure",
    "AttributeValues",
];
const PRICE: &[&str] = &[
    "ProductId",
    "ListingId",
    "ItemId",
    "InventoryDimensionId",
    "BasePrice",
    "TradeAgreementPrice",
    "AdjustedPrice",
    "CustomerContextualPrice",
    "MinVariantPrice",
    "MaxVariantPrice",
    "DiscountAmount",
    "CurrencyCode",
    "UnitOfMeasure",
    "ValidFrom",
    "ChannelId",
    "CatalogId",
    "SalesAgreementPrice",
    "PriceSourceTypeValue",
    "DiscountLines",
    "AttainablePriceLines",
];
const CATEGORY: &[&str] = &["RecordId", "ParentCategory", "Name"];
const AVAILABILITY: &[&str] = &[
    "ProductWarehouseInventoryAvailabilities",
    "AggregatedProductInventoryAvailabilities",
    "ExtensionProperties",
];
const REFINER: &[&str] = &["RecordId", "KeyName", "Values"];
const REFINER_VALUE: &[&str] = &["RefinerRecordId", "LeftValueBoundString", "Count"];
const SUGGESTION: &[&str] = &["SuggestionType", "Id", "Value"];
const PLACE: &[&str] = &["OrgUnitName", "InventoryLocationId"];
const STOCK: &[&str] = &["OrgUnitLocation", "ItemAvailabilities"];

/// A master among the first products.
const MASTER: i64 = FIRST + 11;

fn table() -> Vec<(&'static str, Method, String, Value, Shape)> {
    let (get, post) = (Method::GET, Method::POST);
    let none = Value::Null;
    let ids = json!({"channelId": 5_637_154_326_i64, "productIds": [FIRST, FIRST + 1]});
    let criteria = json!({"Context": {"ChannelId": 5_637_154_326_i64, "CatalogId": 0},
        "CategoryIds": [5_637_144_576_i64], "IncludeAttributes": true});
    let search = json!({"searchCriteria": criteria});
    let older = json!({"productSearchCriteria": criteria});
    let by_category = "channelId=5637154326,catalogId=0,categoryId=5637144577";
    let by_text = "channelId=5637154326,catalogId=0,searchText=@p1)?@p1='shoe'";
    let here = "channelId=5637154326,catalogId=0";
    let domain = json!({"ChannelId": 5_637_154_326_i64, "CatalogId": 0});
    let entity = |operation: &str| format!("Products({FIRST})/{operation}");
    let master = |operation: &str| format!("Products({MASTER})/{operation}");
    let channel = json!({"channelId": 5_637_154_326_i64});
    vec![
        ("Products/GetByIds", post.clone(), "Products/GetByIds".into(), ids.clone(), Rows(PRODUCT)),
        (
            "Products/GetById",
            get.clone(),
            entity("GetById(channelId=5637154326)"),
            none.clone(),
            Entity(PRODUCT),
        ),
        (
            "Products/SearchByCriteria",
            post.clone(),
            "Products/SearchByCriteria".into(),
            search.clone(),
            Rows(FOUND),
        ),
        ("Products/Search", post.clone(), "Products/Search".into(), older.clone(), Rows(FOUND)),
        ("Products/GetRefiners", post.clone(), "Products/GetRefiners".into(), older, Rows(REFINER)),
        (
            "Products/SearchByCategory",
            get.clone(),
            format!("Products/SearchByCategory({by_category})"),
            none.clone(),
            Rows(FOUND),
        ),
        (
            "Products/SearchByText",
            get.clone(),
            format!("Products/SearchByText({by_text}"),
            none.clone(),
            Rows(FOUND),
        ),
        (
            "Products/RefineSearchByCategory",
            post.clone(),
            "Products/RefineSearchByCategory".into(),
            json!({"catalogId": 0, "categoryId": 5_637_144_576_i64, "refinementCriteria":
                [{"RefinerRecordId": 68_719_482_001_i64, "LeftValueBoundString": "Contoso"}]}),
            Rows(FOUND),
        ),
        (
            "Products/RefineSearchByText",
            post.clone(),
            "Products/RefineSearchByText".into(),
            json!({"catalogId": 0, "searchText": "shoe", "refinementCriteria": []}),
            Rows(FOUND),
        ),
        (
            "Products/GetProductSearchRefiners",
            post.clone(),
            "Products/GetProductSearchRefiners".into(),
            search.clone(),
            Rows(REFINER),
        ),
        (
            "Products/GetRefinersByCategory",
            get.clone(),
            "Products/GetRefinersByCategory(catalogId=0,categoryId=5637144576)".into(),
            none.clone(),
            Rows(REFINER),
        ),
        (
            "Products/GetRefinersByText",
            get.clone(),
            "Products/GetRefinersByText(catalogId=0,searchText='shoe')".into(),
            none.clone(),
            Rows(REFINER),
        ),
        (
            "Products/GetRefinerValuesByCategory",
            get.clone(),
            "Products/GetRefinerValuesByCategory(catalogId=0,categoryId=5637144576,\
             refinerId=68719482001,refinerSourceValue=1)"
                .into(),
            none.clone(),
            Rows(REFINER_VALUE),
        ),
        (
            "Products/GetRefinerValuesByText",
            get.clone(),
            "Products/GetRefinerValuesByText(catalogId=0,searchText='shoe')".into(),
            none.clone(),
            Rows(REFINER_VALUE),
        ),
        (
            "Products/GetSearchSuggestions",
            get.clone(),
            "Products/GetSearchSuggestions(channelId=5637154326,catalogId=0,searchText='sho',\
             hitPrefix='%3Cb%3E',hitSuffix='%3C%2Fb%3E')"
                .into(),
            none.clone(),
            Rows(SUGGESTION),
        ),
        (
            "GetSearchSuggestions",
            post.clone(),
            "GetSearchSuggestions".into(),
            json!({"searchSuggestionCriteria": {"Context": domain, "SearchText": "boot"}}),
            Rows(SUGGESTION),
        ),
        (
            "Products/GetAttributeValues",
            get.clone(),
            entity(&format!("GetAttributeValues({here})")),
            none.clone(),
            Rows(&["Name", "KeyName", "TextValue"]),
        ),
        (
            "Products/GetMediaLocations",
            get.clone(),
            entity(&format!("GetMediaLocations({here})")),
            none.clone(),
            Rows(&["Uri", "AltText"]),
        ),
        (
            "Products/GetMediaBlobs",
            get.clone(),
            entity(&format!("GetMediaBlobs({here})")),
            none.clone(),
            Empty,
        ),
        (
            "Products/GetRelationTypes",
            get.clone(),
            entity(&format!("GetRelationTypes({here})")),
            none.clone(),
            Rows(&["RecordId", "Name"]),
        ),
        (
            "Products/GetRelatedProducts",
            get.clone(),
            entity(&format!("GetRelatedProducts({here},relationTypeId=68719483001)")),
            none.clone(),
            Rows(PRODUCT),
        ),
        (
            "Products/GetDimensionValues",
            post.clone(),
            master("GetDimensionValues"),
            json!({"channelId": 5_637_154_326_i64, "dimension": 1, "matchingDimensionValues": []}),
            Rows(&["RecordId", "DimensionId", "Value"]),
        ),
        (
            "Products/GetVariantsByDimensionValues",
            post.clone(),
            master("GetVariantsByDimensionValues"),
            json!({"channelId": 5_637_154_326_i64, "matchingDimensionValues": []}),
            Rows(PRODUCT),
        ),
        (
            "Products/GetVariantsByComponentsInSlots",
            post.clone(),
            master("GetVariantsByComponentsInSlots"),
            channel.clone(),
            Empty,
        ),
        (
            "Products/GetDefaultComponents",
            get.clone(),
            entity("GetDefaultComponents(channelId=5637154326,slotId=0)"),
            none.clone(),
            Empty,
        ),
        (
            "Products/GetSlotComponents",
            get.clone(),
            entity("GetSlotComponents(channelId=5637154326,slotId=0)"),
            none.clone(),
            Empty,
        ),
        (
            "Products/GetUnitsOfMeasure",
            get.clone(),
            entity("GetUnitsOfMeasure(channelId=5637154326)"),
            none.clone(),
            Rows(&["Symbol", "Description"]),
        ),
        (
            "Products/GetByLookupClauses",
            post.clone(),
            "Products/GetByLookupClauses".into(),
            json!({"productLookupClauses": [{"ItemId": "82003"}, {"ProductId": FIRST}]}),
            Rows(PRODUCT),
        ),
        (
            "Products/Compare",
            post.clone(),
            "Products/Compare".into(),
            ids.clone(),
            Rows(&["ProductId", "AttributeValues"]),
        ),
        (
            "Products/GetCategoryPaths",
            post.clone(),
            "Products/GetCategoryPaths".into(),
            ids.clone(),
            Rows(&["ProductId", "CategoryPath"]),
        ),
        (
            "Products/GetProductRatings",
            post.clone(),
            "Products/GetProductRatings".into(),
            ids.clone(),
            Rows(&["ProductId", "AverageRating"]),
        ),
        (
            "Products/GetDeliveryOptions",
            post.clone(),
            "Products/GetDeliveryOptions".into(),
            ids.clone(),
            Rows(&["ProductId", "DeliveryOptions"]),
        ),
        (
            "Products/GetRecommendedProducts",
            post.clone(),
            "Products/GetRecommendedProducts".into(),
            json!({"productIds": [FIRST], "customerId": null}),
            Rows(FOUND),
        ),
        (
            "Recommendations/GetElements",
            post.clone(),
            "Recommendations('BestSelling')/GetElements".into(),
            json!({"recommendationCriteria": {"CatalogId": 0}}),
            Rows(&["ElementId"]),
        ),
        (
            "Products/GetActivePrices",
            post.clone(),
            "Products/GetActivePrices?$top=1000&api-version=7.3".into(),
            json!({"projectDomain": domain, "productIds": [FIRST, MASTER],
                "activeDate": "2026-04-27T10:00:00.123Z", "customerId": null,
                "affiliationLoyaltyTiers": [], "includeSimpleDiscountsInContextualPrice": true}),
            Rows(PRICE),
        ),
        (
            "Products/GetPrice",
            get.clone(),
            entity("GetPrice(customerAccountNumber='',unitOfMeasureSymbol='ea')"),
            none.clone(),
            Entity(PRICE),
        ),
        (
            "Products/CalculateProductPrice",
            post.clone(),
            entity("CalculateProductPrice"),
            json!({"customer": {"AccountNumber": "2001"}, "unit": "ea", "tiers": []}),
            Entity(PRICE),
        ),
        (
            "Products/GetEstimatedAvailability",
            post.clone(),
            "Products/GetEstimatedAvailability".into(),
            json!({"searchCriteria": {"ProductIds": [FIRST], "DefaultWarehouseOnly": true}}),
            Entity(AVAILABILITY),
        ),
        (
            "Products/GetEstimatedProductWarehouseAvailability",
            post.clone(),
            "Products/GetEstimatedProductWarehouseAvailability".into(),
            json!({"productWarehouses":
                [{"ProductId": FIRST, "InventLocationId": "13", "DataAreaId": "usmf"}]}),
            Entity(AVAILABILITY),
        ),
        (
            "Products/GetProductAvailabilities",
            post.clone(),
            "Products/GetProductAvailabilities".into(),
            json!({"itemIds": ["82000"], "channelId": 5_637_154_326_i64}),
            Rows(&["ItemId", "AvailableQuantity"]),
        ),
        (
            "OrgUnits/GetProductAvailability",
            get.clone(),
            format!("OrgUnits('128')/GetProductAvailability(productId={FIRST})"),
            none.clone(),
            Rows(STOCK),
        ),
        (
            "OrgUnits/SearchProductAvailability",
            post.clone(),
            "OrgUnits/SearchProductAvailability".into(),
            json!({"searchCriteria": {"ProductId": FIRST}}),
            Rows(STOCK),
        ),
        (
            "OrgUnits/GetAvailableInventory",
            post.clone(),
            "OrgUnits/GetAvailableInventory".into(),
            json!({"itemId": "82000"}),
            Rows(STOCK),
        ),
        (
            "OrgUnits/GetAvailableInventoryNearby",
            post.clone(),
            "OrgUnits/GetAvailableInventoryNearby".into(),
            json!({"itemIds": ["82000"]}),
            Rows(STOCK),
        ),
        (
            "OrgUnits/GetProductAvailabilityByDimensions",
            post.clone(),
            "OrgUnits/GetProductAvailabilityByDimensions".into(),
            json!({"productId": FIRST}),
            Rows(STOCK),
        ),
        (
            "OrgUnits/GetOrgUnitConfiguration",
            post.clone(),
            "OrgUnits/GetOrgUnitConfiguration".into(),
            none.clone(),
            Entity(&["RecordId", "OrgUnitNumber", "Languages"]),
        ),
        (
            "OrgUnits/GetOrgUnitLocationsByArea",
            post.clone(),
            "OrgUnits/GetOrgUnitLocationsByArea".into(),
            json!({"searchArea": {"Latitude": 47.6, "Longitude": -122.3, "Radius": 50}}),
            Rows(PLACE),
        ),
        (
            "OrgUnits/SearchOrgUnitLocations",
            post.clone(),
            "OrgUnits/SearchOrgUnitLocations".into(),
            json!({"searchCriteria": {"SearchText": "oslo"}}),
            Rows(PLACE),
        ),
        (
            "OrgUnits/Search",
            post.clone(),
            "OrgUnits/Search".into(),
            json!({"searchCriteria": {}}),
            Rows(PLACE),
        ),
        (
            "OrgUnits/GetStoreHours",
            get.clone(),
            "OrgUnits/GetStoreHours(storeNumber='128')".into(),
            none.clone(),
            Entity(&["RegularStoreHours"]),
        ),
        (
            "Categories/GetCategories",
            post.clone(),
            "Categories/GetCategories".into(),
            channel.clone(),
            Rows(CATEGORY),
        ),
        (
            "Categories/GetChildren",
            post.clone(),
            "Categories/GetChildren".into(),
            json!({"channelId": 5_637_154_326_i64, "categoryId": 5_637_144_576_i64}),
            Rows(CATEGORY),
        ),
        ("Categories", get.clone(), "Categories".into(), none.clone(), Rows(CATEGORY)),
        (
            "Catalogs/GetCatalogs",
            post.clone(),
            "Catalogs/GetCatalogs".into(),
            json!({"channelId": 5_637_154_326_i64, "activeOnly": true}),
            Rows(&["RecordId", "Name"]),
        ),
        (
            "GetInventoryConfiguration",
            get.clone(),
            "GetInventoryConfiguration()".into(),
            none.clone(),
            Entity(&["InventoryLevelCodes"]),
        ),
        (
            "GetSearchConfiguration",
            get.clone(),
            "GetSearchConfiguration()".into(),
            none.clone(),
            Entity(&["ExtensionProperties"]),
        ),
        (
            "GetTenderTypes",
            get.clone(),
            "GetTenderTypes".into(),
            none.clone(),
            Rows(&["TenderTypeId"]),
        ),
        (
            "GetCountryRegions",
            get.clone(),
            "GetCountryRegions()".into(),
            none.clone(),
            Rows(&["CountryRegionId"]),
        ),
        (
            "GetCurrencies",
            get.clone(),
            "GetCurrencies()".into(),
            none.clone(),
            Rows(&["CurrencyCode"]),
        ),
        (
            "GetEnvironmentConfiguration",
            get.clone(),
            "GetEnvironmentConfiguration()".into(),
            none.clone(),
            Entity(&["EnvironmentName"]),
        ),
        (
            "GetChannels",
            get,
            "GetChannels()".into(),
            none,
            Rows(&["RecordId", "OperatingUnitNumber"]),
        ),
        (
            "GetFeatureStates",
            post.clone(),
            "GetFeatureStates".into(),
            json!({"featureNames": ["A"]}),
            Rows(&["Name", "IsEnabled"]),
        ),
        (
            "GetStateProvinces",
            post.clone(),
            "GetStateProvinces".into(),
            json!({"countryCode": "NOR"}),
            Rows(&["StateId"]),
        ),
        (
            "GetAvailablePromotions",
            post,
            "GetAvailablePromotions".into(),
            channel,
            Rows(&["OfferId"]),
        ),
    ]
}

fn text(body: &Value) -> String {
    if body.is_null() { String::new() } else { body.to_string() }
}

#[test]
fn every_operation_that_is_cached_is_imitated() {
    let catalogue = Catalogue::new(&[], &ClassLifetimes::default()).unwrap();
    let cached = catalogue.operations().iter().map(|known| (known.name.as_ref(), &known.method));
    let imitated = table();
    let imitated = imitated.iter().map(|(name, method, ..)| (*name, method));
    assert_eq!(
        imitated.collect::<HashSet<(&str, &Method)>>(),
        cached.collect::<HashSet<(&str, &Method)>>(),
    );
}

#[tokio::test]
async fn every_operation_answers_with_its_shape_and_is_counted_under_its_name() {
    let scene = Scene::standard().await;
    for (name, method, path, body, shape) in table() {
        let path = format!("/commerce/{path}");
        let reply = scene.send(method, &path, &[("OUN", "128")], &text(&body)).await.unwrap();
        assert_eq!(reply.status, StatusCode::OK, "{name}: {:?}", reply.bytes);
        let answer = reply.json();
        assert!(
            answer["@odata.context"].as_str().unwrap().starts_with("http://127.0.0.1:"),
            "{name}"
        );
        let (entities, members) = match shape {
            Rows(members) => (reply.rows(), members),
            Empty => {
                assert!(reply.rows().is_empty(), "{name}");
                continue;
            }
            Entity(members) => (vec![answer], members),
        };
        assert!(!entities.is_empty(), "{name} found nothing");
        for entity in &entities {
            for member in members {
                assert!(entity.get(*member).is_some(), "{name} has no {member}: {entity}");
            }
        }
    }
    let stats = scene.send(Method::GET, "/sandbox/stats", &[], "").await.unwrap().json();
    let counted: BTreeSet<&str> = stats.as_object().unwrap().keys().map(String::as_str).collect();
    let called: BTreeSet<&str> = table().iter().map(|(name, ..)| *name).collect();
    assert_eq!(counted, called);
    assert_eq!(scene.sandbox.total_requests(), table().len() as u64);
    assert_eq!(scene.sandbox.requests("Products/GetActivePrices"), 1);
}

#[tokio::test]
async fn the_other_method_is_refused_by_every_operation() {
    let scene = Scene::standard().await;
    for (name, method, path, body, _) in table() {
        let other = if method == Method::GET { Method::POST } else { Method::GET };
        let allowed = method.to_string();
        let path = format!("/Commerce/{path}");
        let reply = scene.send(other, &path, &[], &text(&body)).await.unwrap();
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{name}");
        assert_eq!(reply.header("allow"), allowed, "{name}");
    }
}
