//! Prices, stock and names: what they are, and how they change.

use std::time::Duration;

use csu_edge::sandbox::Settings;
use http::StatusCode;
use serde_json::{Value, json};

use crate::client::{CHANNEL, FIRST, Scene};

const MASTER: i64 = FIRST + 11;

async fn active_price(scene: &Scene, product: i64, customer: Option<&str>) -> Value {
    let body = json!({
        "projectDomain": {"ChannelId": CHANNEL, "CatalogId": 0},
        "productIds": [product],
        "activeDate": "2026-04-27T10:00:00.123Z",
        "customerId": customer,
    });
    let rows = scene.post("Products/GetActivePrices", &body).await.rows();
    assert_eq!(rows.len(), 1);
    rows[0].clone()
}

async fn stock(scene: &Scene, product: i64, headers: &[(&str, &str)]) -> Value {
    let body = json!({"searchCriteria": {"ProductIds": [product], "DefaultWarehouseOnly": true}});
    let reply = scene.post_with("Products/GetEstimatedAvailability", &body, headers).await;
    assert_eq!(reply.status, StatusCode::OK);
    let answer = reply.json();
    let [row] = answer["ProductWarehouseInventoryAvailabilities"].as_array().unwrap().as_slice()
    else {
        panic!("{answer}")
    };
    row.clone()
}

#[tokio::test]
async fn a_changed_price_is_in_every_answer_that_embeds_it() {
    let scene = Scene::standard().await;
    let reply = scene.control("prices", &json!({"productId": FIRST, "price": 12.34})).await;
    assert_eq!(reply.json(), json!({"pushed": false}));
    assert_eq!(active_price(&scene, FIRST, None).await["AdjustedPrice"], 12.34);
    let price = scene.get(&format!("Products({FIRST})/GetPrice()")).await.json();
    assert_eq!(price["AdjustedPrice"], 12.34);
    let path = format!("Products({FIRST})/CalculateProductPrice");
    assert_eq!(scene.post(&path, &json!({})).await.json()["AdjustedPrice"], 12.34);
    let product =
        scene.get(&format!("Products({FIRST})/GetById(channelId={CHANNEL})")).await.json();
    for member in ["BasePrice", "Price", "AdjustedPrice"] {
        assert_eq!(product[member], 12.34, "{member}");
    }
    let criteria = json!({"searchCriteria": {"Ids": [FIRST]}});
    assert_eq!(scene.post("Products/SearchByCriteria", &criteria).await.rows()[0]["Price"], 12.34);
    let other = active_price(&scene, FIRST + 1, None).await;
    assert_ne!(other["AdjustedPrice"], 12.34);
}

#[tokio::test]
async fn a_contract_price_is_one_customers_alone() {
    let scene = Scene::standard().await;
    let list = active_price(&scene, FIRST, None).await["AdjustedPrice"].as_f64().unwrap();
    let contract = active_price(&scene, FIRST, Some("2002")).await;
    assert!(contract["AdjustedPrice"].as_f64().unwrap() < list);
    assert_eq!(contract["BasePrice"], list);
    scene.sandbox.set_price(FIRST, 5.5, Some("2001")).await.unwrap();
    assert_eq!(active_price(&scene, FIRST, Some("2001")).await["AdjustedPrice"], 5.5);
    assert_eq!(active_price(&scene, FIRST, None).await["AdjustedPrice"], list);
    assert_eq!(active_price(&scene, FIRST, Some("2002")).await, contract);
}

#[tokio::test]
async fn a_masters_price_reaches_its_variants_until_they_have_their_own() {
    let scene = Scene::standard().await;
    scene.sandbox.set_price(MASTER, 50.0, None).await.unwrap();
    assert_eq!(active_price(&scene, MASTER + 1, None).await["AdjustedPrice"], 50.0);
    scene.sandbox.set_price(MASTER + 2, 60.0, None).await.unwrap();
    let master = active_price(&scene, MASTER, None).await;
    assert_eq!(
        (&master["MinVariantPrice"], &master["MaxVariantPrice"]),
        (&json!(50.0), &json!(60.0))
    );
}

#[tokio::test]
async fn prices_echo_the_date_leave_out_unknown_products_and_follow_the_channel() {
    let scene = Scene::standard().await;
    let ask = |channel: i64| {
        json!({
            "projectDomain": {"ChannelId": channel, "CatalogId": 0},
            "productIds": [7, FIRST, FIRST + 1],
            "activeDate": "2026-04-27T10:00:00.123Z",
        })
    };
    let rows = scene.post("Products/GetActivePrices", &ask(CHANNEL)).await.rows();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["ValidFrom"], "2026-04-27T10:00:00.123Z");
    let norway = scene.post("Products/GetActivePrices", &ask(CHANNEL + 2)).await.rows();
    assert_eq!(norway[0]["CurrencyCode"], "NOK");
    let by_header =
        scene.post_with("Products/GetActivePrices", &ask(0), &[("OUN", "130")]).await.rows();
    assert_eq!(by_header, norway);
    let unknown = scene.get_with("GetChannels()", &[("OUN", "999")]).await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_affiliation_lowers_the_contextual_price_when_discounts_are_asked_for() {
    let scene = Scene::standard().await;
    scene.sandbox.set_price(FIRST, 100.0, None).await.unwrap();
    let mut body = json!({
        "projectDomain": {"ChannelId": CHANNEL, "CatalogId": 0},
        "productIds": [FIRST],
        "affiliationLoyaltyTiers": [{"AffiliationId": 68_719_478_280_i64, "LoyaltyTierId": 0}],
        "includeSimpleDiscountsInContextualPrice": true,
    });
    let row = &scene.post("Products/GetActivePrices", &body).await.rows()[0];
    assert_eq!(row["AdjustedPrice"], 100.0);
    assert_eq!(row["CustomerContextualPrice"], 80.0);
    assert_eq!(row["DiscountAmount"], 20.0);
    assert_eq!(row["DiscountLines"][0]["EffectiveAmount"], 20.0);
    body["includeSimpleDiscountsInContextualPrice"] = json!(false);
    let row = &scene.post("Products/GetActivePrices", &body).await.rows()[0];
    assert_eq!(row["CustomerContextualPrice"], 100.0);
}

#[tokio::test]
async fn stock_is_told_by_level_in_the_language_asked_for() {
    let scene = Scene::standard().await;
    for (available, code, english, norwegian) in [
        (0, "OOS", "Out of stock", "Ikke på lager"),
        (3, "LOW", "Limited availability", "Få på lager"),
        (40, "AVAIL", "Available", "På lager"),
    ] {
        let change = json!({"productId": FIRST, "warehouse": "13", "available": available});
        assert_eq!(scene.control("inventory", &change).await.status, StatusCode::OK);
        let row = stock(&scene, FIRST, &[]).await;
        assert_eq!(row["PhysicalAvailable"], f64::from(available));
        assert_eq!(row["TotalAvailableInventoryLevelCode"], code);
        assert_eq!(row["TotalAvailableInventoryLevelLabel"], english);
        let row = stock(&scene, FIRST, &[("Accept-Language", "nb-NO")]).await;
        assert_eq!(row["PhysicalAvailableInventoryLevelLabel"], norwegian);
    }
}

#[tokio::test]
async fn all_warehouses_are_listed_and_summed_unless_the_default_alone_is_asked_for() {
    let scene = Scene::standard().await;
    let body = json!({"searchCriteria": {"ProductIds": [FIRST, FIRST + 1]}});
    let answer = scene.post("Products/GetEstimatedAvailability", &body).await.json();
    let rows = answer["ProductWarehouseInventoryAvailabilities"].as_array().unwrap();
    let totals = answer["AggregatedProductInventoryAvailabilities"].as_array().unwrap();
    assert_eq!((rows.len(), totals.len()), (8, 2));
    let of_first = rows.iter().filter(|row| row["ProductId"] == FIRST);
    let sum: f64 = of_first.map(|row| row["TotalAvailable"].as_f64().unwrap()).sum();
    assert_eq!(totals[0]["TotalAvailableQuantity"], sum);
}

#[tokio::test]
async fn a_product_named_twice_in_a_row_is_answered_twice_and_its_sum_is_not_doubled() {
    let scene = Scene::standard().await;
    let ask = async |ids: &[i64]| {
        let body = json!({"searchCriteria": {"ProductIds": ids}});
        scene.post("Products/GetEstimatedAvailability", &body).await.json()
    };
    let (once, twice) = (ask(&[FIRST]).await, ask(&[FIRST, FIRST]).await);
    for list in
        ["ProductWarehouseInventoryAvailabilities", "AggregatedProductInventoryAvailabilities"]
    {
        let one = once[list].as_array().unwrap();
        assert_eq!(twice[list].as_array().unwrap(), &[one.as_slice(), one].concat(), "{list}");
    }
}

#[tokio::test]
async fn a_run_of_pairs_is_summed_once_a_pair_and_a_broken_run_twice() {
    let scene = Scene::standard().await;
    for (product, warehouse, n) in [(FIRST, "13", 5.0), (FIRST, "21", 7.0), (FIRST + 1, "13", 2.0)]
    {
        scene.sandbox.set_inventory(product, warehouse, n).await.unwrap();
    }
    let pair = |product: i64, warehouse: &str| json!({"ProductId": product, "InventLocationId": warehouse, "DataAreaId": "usmf"});
    let (near, far, other) = (pair(FIRST, "13"), pair(FIRST, "21"), pair(FIRST + 1, "13"));
    let pairs = json!({"productWarehouses": [near, far, near, other, near]});
    let path = "Products/GetEstimatedProductWarehouseAvailability";
    let answer = scene.post(path, &pairs).await.json();
    let numbers = |list: &str, member: &str| {
        let rows = answer[list].as_array().unwrap().iter();
        rows.map(|row| row[member].as_f64().unwrap()).collect::<Vec<_>>()
    };
    let rows = numbers("ProductWarehouseInventoryAvailabilities", "TotalAvailable");
    assert_eq!(rows, [5.0, 7.0, 5.0, 2.0, 5.0]);
    let totals = numbers("AggregatedProductInventoryAvailabilities", "TotalAvailableQuantity");
    assert_eq!(totals, [12.0, 2.0, 5.0]);
}

#[tokio::test]
async fn with_the_inventory_cache_a_change_shows_after_a_minute() {
    let scene = Scene::new(Settings { inventory_cache: true, ..Settings::default() }).await;
    let before = stock(&scene, FIRST, &[]).await["TotalAvailable"].clone();
    scene.sandbox.set_inventory(FIRST, "13", 777.0).await.unwrap();
    scene.clock.advance(Duration::from_millis(59_999));
    assert_eq!(stock(&scene, FIRST, &[]).await["TotalAvailable"], before);
    scene.clock.advance(Duration::from_millis(1));
    assert_eq!(stock(&scene, FIRST, &[]).await["TotalAvailable"], 777.0);
}

#[tokio::test]
async fn names_are_translated_and_a_new_name_is_found() {
    let scene = Scene::standard().await;
    let path = format!("Products({FIRST})/GetById(channelId={CHANNEL})");
    let english = scene.get(&path).await.json()["Name"].clone();
    let norwegian = scene.get_with(&path, &[("Accept-Language", "nb-NO")]).await.json();
    assert_ne!(english, norwegian["Name"]);
    let change = json!({"productId": FIRST, "name": "Zephyr"});
    assert_eq!(scene.control("products", &change).await.status, StatusCode::OK);
    assert_eq!(scene.get(&path).await.json()["Name"], "Zephyr");
    let search =
        format!("Products/SearchByText(channelId={CHANNEL},catalogId=0,searchText='zephyr')");
    assert_eq!(scene.get(&search).await.ids(), [FIRST]);
}

#[tokio::test]
async fn a_seed_gives_the_same_answers_in_another_process_and_another_seed_others() {
    let body = json!({"channelId": CHANNEL, "productIds": [FIRST, FIRST + 5]});
    let mut answers = Vec::new();
    for seed in [3, 3, 4] {
        let scene = Scene::new(Settings { seed, ..Settings::default() }).await;
        answers.push(scene.post("Products/GetByIds", &body).await.rows());
    }
    assert_eq!(answers[0], answers[1]);
    assert_ne!(answers[0], answers[2]);
}

#[tokio::test]
async fn a_category_holds_the_products_of_its_descendants() {
    let scene = Scene::standard().await;
    let search = |category: i64| {
        format!(
            "Products/SearchByCategory(channelId={CHANNEL},catalogId=0,categoryId={category})?$select=RecordId"
        )
    };
    let root = 5_637_144_576_i64;
    let mut of_leaves = Vec::new();
    let children = json!({"channelId": CHANNEL, "categoryId": root});
    for department in scene.post("Categories/GetChildren", &children).await.ids() {
        let children = json!({"channelId": CHANNEL, "categoryId": department});
        for leaf in scene.post("Categories/GetChildren", &children).await.ids() {
            of_leaves.extend(scene.get(&search(leaf)).await.ids());
        }
    }
    of_leaves.sort_unstable();
    assert_eq!(scene.get(&search(root)).await.ids(), of_leaves);
    assert!(scene.get(&search(1)).await.ids().is_empty());
}

#[tokio::test]
async fn refiners_count_what_refining_by_them_leaves() {
    let scene = Scene::standard().await;
    let path = "Products/GetRefinersByText(catalogId=0,searchText='shoe')";
    let refiners = scene.get(path).await.rows();
    let value = &refiners[0]["Values"][0];
    let refined = json!({
        "catalogId": 0,
        "searchText": "shoe",
        "refinementCriteria": [value],
    });
    let found = scene.post("Products/RefineSearchByText", &refined).await.ids();
    assert_eq!(found.len() as u64, value["Count"].as_u64().unwrap());
}

#[tokio::test]
async fn variants_are_narrowed_by_the_values_already_chosen() {
    let scene = Scene::standard().await;
    let ask = |dimension: i64, chosen: Value| json!({"channelId": CHANNEL, "dimension": dimension, "matchingDimensionValues": chosen});
    let path = format!("Products({MASTER})/GetDimensionValues");
    let colours = scene.post(&path, &ask(1, json!([]))).await.rows();
    assert_eq!(colours.len(), 2);
    let path = format!("Products({MASTER})/GetVariantsByDimensionValues");
    let chosen = json!([{"DimensionTypeValue": 1, "DimensionValue": colours[0]}]);
    let variants = scene.post(&path, &ask(1, chosen)).await.rows();
    assert_eq!(variants.len(), 2);
    assert!(variants.iter().all(|variant| variant["MasterProductId"] == MASTER));
}
