//! Who asks, and what that changes.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::client::{CHANNEL, FIRST, Scene};

const OWN_CATALOGUE: i64 = 5_637_160_001;

fn prices(catalogue: i64) -> Value {
    json!({
        "projectDomain": {"ChannelId": CHANNEL, "CatalogId": catalogue},
        "productIds": [FIRST],
    })
}

#[tokio::test]
async fn a_signed_in_customer_cannot_use_catalogue_zero_and_an_anonymous_one_can() {
    let scene = Scene::standard().await;
    let token = format!("id_token {}", scene.sandbox.token_for("2001").unwrap());
    let signed_in = [("Authorization", token.as_str())];
    let anonymous = scene.post("Products/GetActivePrices", &prices(0)).await;
    assert_eq!(anonymous.status, StatusCode::OK);
    let refused = scene.post_with("Products/GetActivePrices", &prices(0), &signed_in).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let (code, text) = refused.error();
    assert_eq!(code, "Microsoft.Dynamics.Commerce.Runtime.DataValidationException");
    assert_eq!(text, "A signed-in customer cannot use the catalogue 0.");
    let norwegian = [signed_in[0], ("Accept-Language", "nb-NO")];
    let refused = scene.post_with("Products/GetActivePrices", &prices(0), &norwegian).await;
    assert!(refused.error().1.starts_with("En innlogget kunde"));
    let path = format!("Products({FIRST})/GetAttributeValues(channelId={CHANNEL},catalogId=0)");
    assert_eq!(scene.get_with(&path, &signed_in).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(scene.get(&path).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_signed_in_customer_sees_its_contract_prices_everywhere() {
    let scene = Scene::standard().await;
    scene.sandbox.set_price(FIRST, 77.0, Some("2001")).await.unwrap();
    let token = format!("Bearer {}", scene.sandbox.token_for("2001").unwrap());
    let signed_in = [("Authorization", token.as_str())];
    let body = prices(OWN_CATALOGUE);
    let row = scene.post_with("Products/GetActivePrices", &body, &signed_in).await.rows();
    assert_eq!(row[0]["AdjustedPrice"], 77.0);
    let path = format!("Products({FIRST})/GetById(channelId={CHANNEL})");
    assert_eq!(scene.get_with(&path, &signed_in).await.json()["Price"], 77.0);
    assert_ne!(scene.get(&path).await.json()["Price"], 77.0);
}

#[tokio::test]
async fn nobody_reaches_what_belongs_to_another_customer() {
    let scene = Scene::standard().await;
    let token = format!("Bearer {}", scene.sandbox.token_for("2002").unwrap());
    let signed_in = [("Authorization", token.as_str())];
    let body = prices(OWN_CATALOGUE);
    let foreign = scene.post_with("Products/GetActivePrices", &body, &signed_in).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    let anonymous = scene.post("Products/GetActivePrices", &body).await;
    assert_eq!(anonymous.status, StatusCode::FORBIDDEN);
    let mut body = prices(5_637_160_000);
    body["customerId"] = json!("2001");
    let foreign = scene.post_with("Products/GetActivePrices", &body, &signed_in).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    let catalogues = json!({"channelId": CHANNEL, "activeOnly": true});
    let reply = scene.post_with("Catalogs/GetCatalogs", &catalogues, &signed_in).await;
    assert_eq!(reply.ids(), [5_637_160_000, 5_637_160_002]);
    assert_eq!(scene.post("Catalogs/GetCatalogs", &catalogues).await.ids(), [5_637_160_000]);
}

#[tokio::test]
async fn a_customers_catalogue_leaves_out_what_it_does_not_offer() {
    let scene = Scene::standard().await;
    let token = format!("Bearer {}", scene.sandbox.token_for("2001").unwrap());
    let signed_in = [("Authorization", token.as_str())];
    let search = |catalogue: i64| {
        format!(
            "Products/SearchByCategory(channelId={CHANNEL},catalogId={catalogue},categoryId=5637144579)"
        )
    };
    assert!(!scene.get(&search(0)).await.ids().is_empty());
    assert!(scene.get_with(&search(OWN_CATALOGUE), &signed_in).await.ids().is_empty());
}

#[tokio::test]
async fn a_token_that_is_expired_or_malformed_is_refused() {
    let scene = Scene::standard().await;
    let reply = scene.control("tokens", &json!({"customerId": "2001", "validFor": "1m"})).await;
    let token = format!("Bearer {}", reply.json()["token"].as_str().unwrap());
    let status =
        async || scene.get_with("GetChannels()", &[("Authorization", &token)]).await.status;
    assert_eq!(status().await, StatusCode::OK);
    scene.clock.advance(Duration::from_secs(60));
    assert_eq!(status().await, StatusCode::UNAUTHORIZED);
    for header in ["Bearer nonsense", "Basic eDp5", "Bearer"] {
        let reply = scene.get_with("GetChannels()", &[("Authorization", header)]).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{header}");
    }
    let unknown = scene.control("tokens", &json!({"customerId": "nobody"})).await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
    assert!(scene.sandbox.token_for("nobody").is_none());
}

#[tokio::test]
async fn recommendations_depend_on_the_customer() {
    let scene = Scene::standard().await;
    let ask = |customer: Option<&str>| json!({"productIds": [FIRST], "customerId": customer});
    let path = "Products/GetRecommendedProducts";
    let anonymous = scene.post(path, &ask(None)).await.ids();
    assert_ne!(anonymous, scene.post(path, &ask(Some("2001"))).await.ids());
}
