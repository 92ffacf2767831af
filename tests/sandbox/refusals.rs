//! What is refused, what is not there, and what stands beside the operations.

use http::{Method, StatusCode};
use serde_json::json;

use crate::client::Scene;

#[tokio::test]
async fn a_missing_or_ill_typed_parameter_is_a_data_validation_error() {
    let scene = Scene::standard().await;
    let cases = [
        ("Products/GetByIds", json!({"channelId": 5_637_154_326_i64}), "'productIds'"),
        ("Products/GetByIds", json!({"channelId": "x", "productIds": []}), "'channelId'"),
        ("Products/GetByIds", json!({"channelId": 1, "productIds": []}), "'1'"),
        ("Products/GetByIds", json!({"channelId": 0, "productIds": ["7"]}), "'productIds'"),
        (
            "Products/GetActivePrices",
            json!({"projectDomain": {}, "productIds": null}),
            "'productIds'",
        ),
        (
            "Products/GetActivePrices",
            json!({"projectDomain": {}, "productIds": [], "activeDate": "soon"}),
            "'activeDate'",
        ),
        (
            "Products/GetActivePrices",
            json!({"projectDomain": {"CatalogId": 9}, "productIds": []}),
            "9",
        ),
        (
            "Products/GetActivePrices",
            json!({"projectDomain": {}, "productIds": [], "customerId": "9999"}),
            "'9999'",
        ),
        ("Products/SearchByCriteria", json!({}), "'searchCriteria'"),
    ];
    for (path, body, named) in cases {
        let reply = scene.post(path, &body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{path} {body}");
        let (code, text) = reply.error();
        assert_eq!(code, "Microsoft.Dynamics.Commerce.Runtime.DataValidationException");
        assert!(text.contains(named), "{text}");
    }
    for path in [
        "Products/SearchByText(channelId=5637154326,catalogId=0)",
        "Products/SearchByText(channelId=5637154326,catalogId=0,searchText=@p1)",
        "Products('x')/GetById(channelId=5637154326)",
        "Products(1)/GetById(channelId='5637154326')",
        "Products(1)/GetById(5637154326)",
        "Products(1",
    ] {
        assert_eq!(scene.get(path).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
    let broken = scene.send(Method::POST, "/Commerce/Products/GetByIds", &[], "{").await.unwrap();
    assert_eq!(broken.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_does_not_exist_is_not_found_and_what_holds_nothing_has_no_content() {
    let scene = Scene::standard().await;
    for path in ["Nothing", "Products", "Products(1)", "Products/Nothing", "a/b/c"] {
        assert_eq!(scene.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let elsewhere = scene.send(Method::GET, "/Retail/Categories", &[], "").await.unwrap();
    assert_eq!(elsewhere.status, StatusCode::NOT_FOUND);
    let nothing = scene.get("Products(1)/GetById(channelId=5637154326)").await;
    assert_eq!((nothing.status, nothing.bytes.len()), (StatusCode::NO_CONTENT, 0));
}

#[tokio::test]
async fn metadata_the_service_document_and_the_health_check_are_there() {
    let scene = Scene::standard().await;
    let metadata = scene.get("$metadata").await;
    assert_eq!(metadata.header("content-type"), "application/xml");
    assert!(std::str::from_utf8(&metadata.bytes).unwrap().contains("EntityContainer"));
    assert_eq!(scene.get("healthcheck?testname=ping").await.status, StatusCode::OK);
    assert_eq!(scene.get("").await.json()["value"][0]["name"], "Products");
}
