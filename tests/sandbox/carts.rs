//! Carts: from creation to the sales order.

use http::StatusCode;
use serde_json::{Value, json};

use crate::client::{FIRST, Scene};

async fn cart_with(scene: &Scene, lines: Value) -> Value {
    let reply = scene.post("Carts", &json!({"CartLines": lines})).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{:?}", reply.bytes);
    reply.json()
}

fn path(cart: &Value, operation: &str) -> String {
    format!("Carts('{}'){operation}", cart["Id"].as_str().unwrap())
}

#[tokio::test]
async fn a_cart_is_filled_changed_and_becomes_a_sales_order() {
    let scene = Scene::standard().await;
    scene.sandbox.set_price(FIRST, 10.5, None).await.unwrap();
    scene.sandbox.set_price(FIRST + 1, 3.0, None).await.unwrap();
    let cart = cart_with(&scene, json!([])).await;
    let lines = json!({"cartLines": [
        {"ProductId": FIRST, "Quantity": 2}, {"ProductId": FIRST + 1, "Quantity": 1}]});
    let cart = scene.post(&path(&cart, "/AddCartLines"), &lines).await.json();
    assert_eq!(cart["SubtotalAmount"], 24.0);
    assert_eq!(scene.get(&path(&cart, "")).await.json()["CartLines"], cart["CartLines"]);
    let change = json!({"cartLines": [{"LineId": cart["CartLines"][0]["LineId"], "Quantity": 4}]});
    let cart = scene.post(&path(&cart, "/UpdateCartLines"), &change).await.json();
    assert_eq!(cart["SubtotalAmount"], 45.0);
    let removal = json!({"cartLineIds": [cart["CartLines"][1]["LineId"]]});
    let cart = scene.post(&path(&cart, "/RemoveCartLines"), &removal).await.json();
    assert_eq!(
        (cart["SubtotalAmount"].clone(), cart["TotalAmount"].clone()),
        (json!(42.0), json!(51.95))
    );
    let order = json!({"receiptEmail": "a@shop.example"});
    let order = scene.post(&path(&cart, "/Checkout"), &order).await.json();
    assert_eq!(order["TotalAmount"], 51.95);
    assert_eq!(scene.get(&path(&cart, "")).await.status, StatusCode::NOT_FOUND);
    let read = scene.get(&format!("SalesOrders('{}')", order["Id"].as_str().unwrap())).await.json();
    assert_eq!(read["SalesLines"], order["SalesLines"]);
}

#[tokio::test]
async fn a_get_can_change_a_cart() {
    let scene = Scene::standard().await;
    let cart = cart_with(&scene, json!([{"ProductId": FIRST}])).await;
    assert_eq!(cart["ChargeAmount"], 9.95);
    let reset = scene.get(&path(&cart, "/ResetAllCharges()")).await.json();
    assert_eq!((reset["ChargeAmount"].clone(), reset["Version"].clone()), (json!(0.0), json!(2)));
    assert_eq!(scene.get("Carts/ResetAllCharges").await.status, StatusCode::NO_CONTENT);
    assert_eq!(scene.sandbox.requests("Carts/ResetAllCharges"), 2);
}

#[tokio::test]
async fn a_copy_is_a_cart_of_its_own() {
    let scene = Scene::standard().await;
    let cart = cart_with(&scene, json!([{"ProductId": FIRST, "Quantity": 3}])).await;
    let copy = scene.post(&path(&cart, "/Copy"), &json!({"targetCartType": 2})).await.json();
    assert_ne!(copy["Id"], cart["Id"]);
    assert_eq!((copy["CartTypeValue"].clone(), &copy["CartLines"]), (json!(2), &cart["CartLines"]));
}

#[tokio::test]
async fn a_refused_change_leaves_the_cart_as_it_was() {
    let scene = Scene::standard().await;
    let cart = cart_with(&scene, json!([{"ProductId": FIRST}])).await;
    for lines in [
        json!([{"ProductId": FIRST, "Quantity": 1}, {"ProductId": 7}]),
        json!([{"ProductId": FIRST, "Quantity": 0}]),
        json!([{"ProductId": FIRST, "Quantity": -1}]),
        Value::Array(vec![json!({"ProductId": FIRST}); 501]),
    ] {
        let reply = scene.post(&path(&cart, "/AddCartLines"), &json!({"cartLines": lines})).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert!(reply.error().0.ends_with(".CartValidationException"));
    }
    let mut now = scene.get(&path(&cart, "")).await.json();
    now["@odata.context"] = cart["@odata.context"].clone();
    assert_eq!(now, cart);
    let empty = cart_with(&scene, json!([])).await;
    let reply = scene.post(&path(&empty, "/Checkout"), &json!({})).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(scene.get("Carts('none')").await.status, StatusCode::NOT_FOUND);
    assert_eq!(scene.get("SalesOrders('none')").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_customers_cart_is_the_customers_alone_and_has_its_prices() {
    let scene = Scene::standard().await;
    scene.sandbox.set_price(FIRST, 6.0, Some("2003")).await.unwrap();
    let token = format!("Bearer {}", scene.sandbox.token_for("2003").unwrap());
    let signed_in = [("Authorization", token.as_str())];
    let lines = json!({"CartLines": [{"ProductId": FIRST, "Quantity": 1}]});
    let cart = scene.post_with("Carts", &lines, &signed_in).await.json();
    assert_eq!(
        (cart["SubtotalAmount"].clone(), cart["CustomerId"].clone()),
        (json!(6.0), json!("2003"))
    );
    assert_eq!(scene.get(&path(&cart, "")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(scene.get_with(&path(&cart, ""), &signed_in).await.status, StatusCode::OK);
    let foreign = scene.post(&path(&cart, "/Checkout"), &json!({})).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    let order = scene.post_with(&path(&cart, "/Checkout"), &json!({}), &signed_in).await.json();
    let order = format!("SalesOrders('{}')", order["Id"].as_str().unwrap());
    assert_eq!(scene.get(&order).await.status, StatusCode::FORBIDDEN);
}
