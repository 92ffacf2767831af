//! A shop on the stand-in Retail Server, seen through the proxy.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test panics"
)]

mod support;

use std::time::{Duration, Instant};

use csu_edge::clock::Clock;
use csu_edge::sandbox::Pushed;
use futures_util::future::join_all;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use support::node::{Got, START, post, request};
use support::shop::{CHANNEL, FIRST, Page, Shop, listing, product_page};

const PRICES: &str = "Products/GetActivePrices";

async fn shop(latency: Duration) -> Shop {
    Shop::open(Clock::manual(START), latency, |_| {}).await
}

async fn play(shop: &Shop, page: &Page) -> Vec<Got> {
    join_all(page.iter().map(|(_, request)| shop.node.send(request.clone()))).await
}

#[tokio::test]
async fn two_pages_played_twice_cost_the_origin_nothing_the_second_time() {
    let shop = shop(Duration::from_millis(250)).await;
    let products: Vec<i64> = (FIRST..FIRST + 24).collect();
    let pages = [listing(&products, START), product_page(FIRST, START)];
    let mut first = Vec::new();
    for page in &pages {
        let answers = play(&shop, page).await;
        for ((operation, _), got) in page.iter().zip(&answers) {
            assert!(got.status.is_success(), "{operation}: {} {}", got.status, got.text());
            let status = got.cache_status();
            assert!(got.is_hit() || status.contains("; stored"), "{operation}: {status}");
            assert!(shop.sandbox.requests(operation) > 0, "{operation}");
        }
        first.push(answers);
    }
    assert_eq!(first[0][11].json()["value"].as_array().unwrap().len(), 24);
    let prices = &first[0][16].json()["value"];
    assert_eq!(prices.as_array().unwrap().len(), 24, "{prices}");

    shop.sandbox.reset_stats();
    let mut slowest = (Duration::ZERO, "");
    for (page, first) in pages.iter().zip(&first) {
        for ((operation, request), first) in page.iter().zip(first) {
            let sent = Instant::now();
            let got = shop.node.send(request.clone()).await;
            slowest = slowest.max((sent.elapsed(), operation));
            assert!(got.is_hit(), "{operation}: {}", got.cache_status());
            assert!(got.body == first.body, "{operation}");
        }
    }
    assert_eq!(shop.sandbox.total_requests(), 0);
    println!("slowest read of the second round: {} in {:?}", slowest.1, slowest.0);
}

fn price_of(product: i64) -> Request<String> {
    let body = json!({
        "projectDomain": {"ChannelId": CHANNEL, "CatalogId": 0},
        "productIds": [product],
        "activeDate": START.to_string(),
    });
    post("/Commerce/Products/GetActivePrices?api-version=7.3", &body.to_string())
}

#[tokio::test]
async fn a_changed_price_is_in_the_very_next_read_and_nobody_elses_is_fetched() {
    let shop = shop(Duration::ZERO).await;
    let (changed, other) = (price_of(FIRST), price_of(FIRST + 1));
    let embedding = request(
        "GET",
        "/Commerce/Products(68719489871)/GetById(channelId=5637154326)?api-version=7.3",
        &[],
    );
    let before = shop.node.send(changed.clone()).await.price();
    for asked in [&other, &embedding] {
        shop.node.send(asked.clone()).await;
    }
    for price in [before + 10.0, before + 20.0, before] {
        shop.sandbox.reset_stats();
        let pushed = shop.sandbox.set_price(FIRST, price, None).await.unwrap();
        assert_eq!(pushed, Pushed::Acknowledged);
        let got = shop.node.send(changed.clone()).await;
        assert_eq!(got.price(), price);
        assert_eq!(got.cache_status(), "csu-edge; fwd=miss; stored; detail=purged");
        assert!(shop.node.send(changed.clone()).await.is_hit());
        assert!(shop.node.send(other.clone()).await.is_hit());
        assert_eq!(shop.sandbox.requests(PRICES), 1);
        let shown = shop.node.send(embedding.clone()).await.json();
        assert_eq!(shown["AdjustedPrice"], price, "{shown}");
    }
}

#[tokio::test]
async fn what_changes_beside_prices_is_in_the_next_read_as_well() {
    let shop = shop(Duration::ZERO).await;
    let stock = |product: i64| {
        let body = json!({"searchCriteria": {"ProductIds": [product]}}).to_string();
        post("/Commerce/Products/GetEstimatedAvailability", &body)
    };
    let product = |product: i64| {
        request("GET", &format!("/Commerce/Products({product})/GetById(channelId=5637154326)"), &[])
    };
    for asked in [stock(FIRST), stock(FIRST + 1), product(FIRST), product(FIRST + 1)] {
        shop.node.send(asked).await;
    }
    shop.sandbox.set_inventory(FIRST, "13", 4_711.0).await.unwrap();
    let got = shop.node.send(stock(FIRST)).await;
    assert_eq!(got.cache_status(), "csu-edge; fwd=miss; stored; detail=purged");
    let rows = &got.json()["ProductWarehouseInventoryAvailabilities"];
    let row = rows.as_array().unwrap().iter().find(|row| row["InventLocationId"] == "13").unwrap();
    assert_eq!(row["TotalAvailable"], 4_711.0, "{row}");
    assert!(shop.node.send(stock(FIRST + 1)).await.is_hit());
    assert!(shop.node.send(product(FIRST)).await.is_hit());

    // A name is purged softly: it is fetched behind the back of whoever asks first.
    shop.sandbox.set_name(FIRST, "A new name").await.unwrap();
    let stale = shop.node.send(product(FIRST)).await;
    assert!(stale.cache_status().contains("detail=stale-while-revalidate"));
    let renamed = async {
        loop {
            let got = shop.node.send(product(FIRST)).await;
            if !got.cache_status().contains("detail=") {
                return got;
            }
        }
    };
    let got = support::wire::soon(renamed).await;
    assert_eq!(got.json()["Name"], "A new name");
    assert!(shop.node.send(product(FIRST + 1)).await.is_hit());
    assert!(shop.node.send(stock(FIRST)).await.is_hit());
}

#[tokio::test]
async fn a_cart_works_through_the_proxy_from_the_first_line_to_the_order() {
    let shop = shop(Duration::ZERO).await;
    let send = async |request: Request<String>| -> Value {
        let got = shop.node.send(request).await;
        assert!(got.status.is_success(), "{}: {}", got.status, got.text());
        assert_eq!(got.cache_status(), "csu-edge; fwd=bypass; detail=not-in-catalogue");
        got.json()
    };
    let created = send(post("/Commerce/Carts?api-version=7.3", "{}")).await;
    let cart = format!("/Commerce/Carts('{}')", created["Id"].as_str().unwrap());
    assert_eq!(created["CartLines"], json!([]));

    let lines = json!({"cartLines": [{"ProductId": FIRST, "Quantity": 2}]}).to_string();
    send(post(&format!("{cart}/AddCartLines"), &lines)).await;
    let read = send(request("GET", &cart, &[])).await;
    assert_eq!(read["CartLines"][0]["ProductId"], FIRST);
    let line = read["CartLines"][0]["LineId"].as_str().unwrap();
    let lines = json!({"cartLines": [{"LineId": line, "Quantity": 3}]}).to_string();
    send(post(&format!("{cart}/UpdateCartLines"), &lines)).await;
    let read = send(request("GET", &cart, &[])).await;
    assert_eq!(read["CartLines"][0]["Quantity"], 3.0, "what was read before is not kept");
    // A GET that changes the cart reaches the origin every time.
    for _ in 0..2 {
        send(request("GET", &format!("{cart}/ResetAllCharges()"), &[])).await;
    }
    assert_eq!(shop.sandbox.requests("Carts/ResetAllCharges"), 2);

    let order = send(post(&format!("{cart}/Checkout"), r#"{"receiptEmail":"a@b.example"}"#)).await;
    let order = order["Id"].as_str().unwrap();
    let placed = send(request("GET", &format!("/Commerce/SalesOrders('{order}')"), &[])).await;
    assert_eq!(placed["Id"], order);
    assert_eq!(shop.node.metric("csu_edge_stored_entries{tier=\"memory\"}").await, 0.0);
    let gone = shop.node.get("/Commerce/Carts('nothing')").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}
