//! A stand-in Retail Server behind a node that it tells of its changes, and what a storefront asks.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::time::Duration;

use csu_edge::clock::{Clock, Timestamp};
use csu_edge::config::{Config, Secret};
use csu_edge::sandbox::{Push, Sandbox, Settings};
use http::Request;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::node::{Running, post, request};

/// What pushes are signed with.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The stand-in's first channel.
pub const CHANNEL: i64 = 5_637_154_326;
/// The stand-in's first product: one that has no variants.
pub const FIRST: i64 = 68_719_489_871;

/// What a test's own deliveries authenticate with.
pub const TOKEN: &str = "a-token-of-the-tests";

/// The two.
pub struct Shop {
    pub sandbox: Sandbox,
    pub node: Running,
}

impl Shop {
    /// Both by the same clock; the stand-in signs its pushes, and the node insists on it.
    pub async fn open(clock: Clock, latency: Duration, change: impl FnOnce(&mut Config)) -> Self {
        Self::with(Settings { latency, ..Settings::default() }, clock, change).await
    }

    /// The same, where the stand-in behaves in other ways too.
    pub async fn with(settings: Settings, clock: Clock, change: impl FnOnce(&mut Config)) -> Self {
        // Each needs the other's address, so the stand-in's is bound first and served last.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service_root = format!("http://{}/Commerce", listener.local_addr().unwrap());
        let secret = || Secret::new(SECRET.to_owned());
        let node = Running::start_by(clock.clone(), &service_root, |config| {
            config.ingest.hmac_secrets = vec![secret()];
            config.ingest.bearer_tokens = vec![Secret::new(TOKEN.to_owned())];
            change(config);
        })
        .await;
        let url = format!("http://{}/ingest/cdx", node.node.addresses().ingest);
        let push = Push { url: url.parse().unwrap(), secret: secret(), delay: Duration::ZERO };
        let settings = Settings { push: Some(push), ..settings };
        let sandbox = Sandbox::start_on(listener, settings, clock).unwrap();
        Self { sandbox, node }
    }
}

/// A page, as the requests that show it.
pub type Page = Vec<(&'static str, Request<String>)>;

fn function(name: &'static str, call: &str) -> (&'static str, Request<String>) {
    (name, request("GET", &format!("/Commerce/{call}"), &[("OUN", "128")]))
}

fn action(name: &'static str, call: &str, body: &Value) -> (&'static str, Request<String>) {
    let mut request = post(&format!("/Commerce/{call}?api-version=7.3"), &body.to_string());
    request.headers_mut().insert("OUN", "128".parse().unwrap());
    (name, request)
}

fn prices(products: &[i64], now: Timestamp) -> (&'static str, Request<String>) {
    action(
        "Products/GetActivePrices",
        "Products/GetActivePrices",
        &json!({
            "projectDomain": {"ChannelId": CHANNEL, "CatalogId": 0},
            "productIds": products,
            "activeDate": now.to_string(),
            "customerId": null,
            "affiliationLoyaltyTiers": [],
            "includeSimpleDiscountsInContextualPrice": true,
        }),
    )
}

fn availability(products: &[i64]) -> (&'static str, Request<String>) {
    action(
        "Products/GetEstimatedAvailability",
        "Products/GetEstimatedAvailability",
        &json!({"searchCriteria": {"ProductIds": products, "DefaultWarehouseOnly": true}}),
    )
}

/// What every page of the shop asks: who and where it is, and what it sells.
pub fn frame() -> Page {
    let channel = json!({ "channelId": CHANNEL });
    vec![
        action("OrgUnits/GetOrgUnitConfiguration", "OrgUnits/GetOrgUnitConfiguration", &json!({})),
        function("GetInventoryConfiguration", "GetInventoryConfiguration()?api-version=7.3"),
        function("GetSearchConfiguration", "GetSearchConfiguration()?api-version=7.3"),
        function("GetEnvironmentConfiguration", "GetEnvironmentConfiguration()"),
        function("GetCountryRegions", "GetCountryRegions(languageId='en-us')"),
        function("GetCurrencies", "GetCurrencies()"),
        function("GetTenderTypes", "GetTenderTypes()"),
        function("GetChannels", "GetChannels()"),
        action("GetFeatureStates", "GetFeatureStates", &json!({"featureNames": ["Pricing"]})),
        action("Categories/GetCategories", "Categories/GetCategories", &channel),
        action(
            "Catalogs/GetCatalogs",
            "Catalogs/GetCatalogs",
            &json!({"channelId": CHANNEL, "activeOnly": true}),
        ),
    ]
}

/// A listing: the frame, the search with its refiners, and of each product price and stock.
pub fn listing(products: &[i64], now: Timestamp) -> Page {
    let criteria = json!({
        "Context": {"ChannelId": CHANNEL, "CatalogId": 0},
        "CategoryIds": [5_637_144_576_i64],
        "IncludeProductsFromDescendantCategories": true,
        "SkipVariantExpansion": true,
        "IncludeAttributes": true,
    });
    let mut page = frame();
    page.extend([
        function(
            "Products/SearchByCategory",
            "Products/SearchByCategory(channelId=5637154326,catalogId=0,categoryId=5637144576)\
             ?$top=24&$count=true",
        ),
        action(
            "Products/SearchByCriteria",
            "Products/SearchByCriteria",
            &json!({ "searchCriteria": criteria }),
        ),
        action(
            "Products/GetProductSearchRefiners",
            "Products/GetProductSearchRefiners",
            &json!({ "searchCriteria": criteria }),
        ),
        action(
            "Categories/GetChildren",
            "Categories/GetChildren",
            &json!({"channelId": CHANNEL, "categoryId": 5_637_144_576_i64}),
        ),
        action("GetAvailablePromotions", "GetAvailablePromotions", &json!({"channelId": CHANNEL})),
        prices(products, now),
        availability(products),
    ]);
    page
}

/// A product's page: the frame, all there is to know of the product, and what goes with it.
pub fn product_page(product: i64, now: Timestamp) -> Page {
    let of = |name, call: &str| function(name, &format!("Products({product})/{call}"));
    let ids = json!({"channelId": CHANNEL, "productIds": [product]});
    let dimensions = json!({"channelId": CHANNEL, "dimension": 1, "matchingDimensionValues": []});
    let mut page = frame();
    page.extend([
        of("Products/GetById", "GetById(channelId=5637154326)?api-version=7.3"),
        of("Products/GetAttributeValues", "GetAttributeValues(channelId=5637154326,catalogId=0)"),
        of("Products/GetMediaLocations", "GetMediaLocations(channelId=5637154326,catalogId=0)"),
        of("Products/GetRelationTypes", "GetRelationTypes(channelId=5637154326,catalogId=0)"),
        of(
            "Products/GetRelatedProducts",
            "GetRelatedProducts(channelId=5637154326,catalogId=0,relationTypeId=68719483001)",
        ),
        of("Products/GetUnitsOfMeasure", "GetUnitsOfMeasure(channelId=5637154326)"),
        of("Products/GetPrice", "GetPrice(customerAccountNumber='',unitOfMeasureSymbol='')"),
        action(
            "Products/GetDimensionValues",
            &format!("Products({product})/GetDimensionValues"),
            &dimensions,
        ),
        action("Products/GetByIds", "Products/GetByIds", &ids),
        action("Products/GetProductRatings", "Products/GetProductRatings", &ids),
        action("Products/GetDeliveryOptions", "Products/GetDeliveryOptions", &ids),
        action("Products/GetCategoryPaths", "Products/GetCategoryPaths", &ids),
        action("Products/GetRecommendedProducts", "Products/GetRecommendedProducts", &ids),
        action(
            "Products/GetEstimatedProductWarehouseAvailability",
            "Products/GetEstimatedProductWarehouseAvailability",
            &json!({"productWarehouses": [
                {"ProductId": product, "InventLocationId": "13", "DataAreaId": "usmf"},
            ]}),
        ),
        prices(&[product], now),
        availability(&[product]),
    ]);
    page
}
