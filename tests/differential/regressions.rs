//! What random lists have found, with as little as shows it.

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use serde_json::{Value, json};

use super::support::node::Running;
use super::support::origin::{Origin, Seen, json as answer};

/// Rows by warehouse, and a sum for each unbroken run of one product's pairs, of which those are
/// left out whose warehouse there is not.
fn pairs(seen: &Seen) -> Response<Full<Bytes>> {
    let body: Value = serde_json::from_str(&seen.body).unwrap();
    let pairs = body["productWarehouses"].as_array().unwrap().iter();
    let (mut rows, mut sums) = (Vec::new(), Vec::<(u64, u64)>::new());
    for pair in pairs.filter(|pair| pair["InventLocationId"] != "99") {
        let id = pair["ProductId"].as_u64().unwrap();
        let amount: u64 = pair["InventLocationId"].as_str().unwrap().parse().unwrap();
        rows.push(pair.clone());
        match sums.last_mut() {
            Some((last, sum)) if *last == id => *sum += amount,
            _ => sums.push((id, amount)),
        }
    }
    let sum = |(id, sum)| json!({"ProductId": id, "TotalAvailableQuantity": sum});
    let sums: Vec<Value> = sums.into_iter().map(sum).collect();
    let body = json!({
        "ProductWarehouseInventoryAvailabilities": rows,
        "AggregatedProductInventoryAvailabilities": sums,
    });
    answer(body.to_string())
}

/// Whether pairs of one product are beside each other may depend on what the origin finds between
/// them. Such a list had taught that repetitions are answered once.
#[tokio::test]
async fn pairs_that_are_apart_are_summed_as_the_origin_sums_them_and_teach_nothing() {
    let origin = Origin::start(pairs).await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    let sums = async |pairs: &[(u64, &str)]| {
        let pairs: Vec<Value> = pairs
            .iter()
            .map(|(id, place)| json!({"ProductId": id, "InventLocationId": place}))
            .collect();
        let target = "/Commerce/Products/GetEstimatedProductWarehouseAvailability";
        let got = node.post(target, &json!({"productWarehouses": pairs}).to_string()).await;
        let sums = got.json()["AggregatedProductInventoryAvailabilities"].clone();
        let sums = sums.as_array().unwrap().iter();
        sums.map(|sum| sum["TotalAvailableQuantity"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(sums(&[(2, "13"), (1, "13")]).await, [13, 13]);
    assert_eq!(sums(&[(1, "13"), (2, "99"), (1, "14")]).await, [27]);
    assert_eq!(sums(&[(1, "13"), (2, "13"), (1, "13")]).await, [13, 13, 13]);
    assert_eq!(sums(&[(1, "13"), (2, "99"), (1, "13")]).await, [26]);
}

/// Items out of a table that has them in the order of their numbers as texts.
fn items(seen: &Seen) -> Response<Full<Bytes>> {
    let body: Value = serde_json::from_str(&seen.body).unwrap();
    let asked = body["itemIds"].as_array().unwrap().iter();
    let mut items: Vec<&str> = asked.map(|item| item.as_str().unwrap()).collect();
    items.sort_unstable();
    items.dedup();
    let rows: Vec<Value> = items.into_iter().map(|item| json!({ "ItemId": item })).collect();
    answer(json!({ "value": rows }).to_string())
}

/// 9000 comes before 82000 as a number and behind it as a text.
#[tokio::test]
async fn texts_are_in_an_order_that_only_the_origin_knows() {
    let origin = Origin::start(items).await;
    let open = async || Running::start(&origin.service_root(), |_| {}).await;
    let stock = async |node: &Running, items: &[&str]| {
        let target = "/Commerce/Products/GetProductAvailabilities";
        let got = node.post(target, &json!({ "itemIds": items }).to_string()).await;
        let rows = got.json()["value"].as_array().unwrap().clone();
        rows.iter().map(|row| row["ItemId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // Each of them known by itself, which shows nothing of their order.
    let node = open().await;
    stock(&node, &["9000"]).await;
    stock(&node, &["82000"]).await;
    assert_eq!(stock(&node, &["9000", "82000"]).await, ["82000", "9000"]);
    // An answer that is in the order of the request and in one by which it may have been sorted.
    let node = open().await;
    assert_eq!(stock(&node, &["9000", "82001"]).await, ["82001", "9000"]);
    assert_eq!(stock(&node, &["82001", "9000"]).await, ["82001", "9000"]);
    assert_eq!(stock(&node, &["82003", "82002"]).await, ["82002", "82003"]);
    // Sorted, in one of the orders that are possible.
    stock(&node, &["a-1", "B-1"]).await;
    assert_eq!(stock(&node, &["a-1", "B-1", "82002"]).await, ["82002", "B-1", "a-1"]);
    assert_eq!(stock(&node, &["82003", "82001"]).await, ["82001", "82003"]);
    let got = node
        .post("/Commerce/Products/GetProductAvailabilities", r#"{"itemIds":["82002","82001"]}"#)
        .await;
    assert!(got.is_hit(), "{}", got.cache_status());
}

/// What an answer does not tell apart leaves all things that were asked for with it whole for ten
/// minutes, whoever asks for them: one odd item number in a list of everything, and for that long
/// nothing of its kind is kept by thing.
#[tokio::test]
async fn one_odd_thing_does_not_leave_the_others_whole() {
    let origin = Origin::start(|seen| {
        items(&Seen { body: seen.body.replace("\"082011\"", "\"82011\""), ..seen.clone() })
    })
    .await;
    let node = Running::start(&origin.service_root(), |_| {}).await;
    let stock = async |items: &[&str]| {
        let target = "/Commerce/Products/GetProductAvailabilities";
        node.post(target, &json!({ "itemIds": items }).to_string()).await
    };
    stock(&["82001", "82002", "82003", "082011"]).await;
    stock(&["82001", "82002"]).await;
    let got = stock(&["82002", "82003"]).await;
    assert!(got.cache_status().ends_with("\"1/2\""), "{}", got.cache_status());
    let before = origin.requests();
    stock(&["82001", "82002", "82003", "082011"]).await;
    assert_eq!(origin.requests(), before, "the odd list is kept whole");
}
