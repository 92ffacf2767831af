//! Query options, metadata levels, absolute URLs, compression.

use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use csu_edge::sandbox::Settings;
use flate2::read::GzDecoder;
use http::{Method, StatusCode, Version};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::client::{CHANNEL, FIRST, Scene};

const DEADLINE: Duration = Duration::from_secs(20);

fn all_products() -> String {
    format!("Products/SearchByCategory(channelId={CHANNEL},catalogId=0,categoryId=5637144576)")
}

#[tokio::test]
async fn following_the_next_links_visits_every_row_once() {
    let scene = Scene::new(Settings { page_size: 7, products: 60, ..Settings::default() }).await;
    let host = scene.sandbox.address().to_string();
    let whole = Scene::new(Settings { products: 60, ..Settings::default() }).await;
    let expected = whole.get(&all_products()).await.ids();
    let mut visited = Vec::new();
    let mut path = format!("/Commerce/{}?api-version=7.3&$count=true", all_products());
    loop {
        let reply = scene.send(Method::GET, &path, &[], "").await.unwrap();
        visited.extend(reply.ids());
        let page = reply.json();
        assert_eq!(page["@odata.count"], expected.len());
        let Some(next) = page.get("@odata.nextLink") else { break };
        let (prefix, rest) = next.as_str().unwrap().split_at("http://".len() + host.len());
        assert_eq!(prefix, format!("http://{host}"));
        assert!(rest.contains("api-version=7.3"));
        path = rest.to_owned();
    }
    assert_eq!(visited, expected);
}

#[tokio::test]
async fn absolute_urls_name_the_host_as_the_client_did() {
    let scene = Scene::new(Settings { page_size: 2, ..Settings::default() }).await;
    let headers = [("Host", "shop.example:8080")];
    let page = scene.get_with(&all_products(), &headers).await.json();
    let context = page["@odata.context"].as_str().unwrap();
    assert!(context.starts_with("http://shop.example:8080/Commerce/$metadata#Collection("));
    let next = page["@odata.nextLink"].as_str().unwrap();
    assert!(next.starts_with("http://shop.example:8080/Commerce/Products/SearchByCategory("));
}

#[tokio::test]
async fn top_stops_at_a_thousand_rows() {
    let scene = Scene::new(Settings { products: 2_000, ..Settings::default() }).await;
    let reply = scene.get(&format!("{}?$top=5000&$select=RecordId", all_products())).await;
    assert_eq!(reply.rows().len(), 1_000);
    assert!(reply.json()["@odata.nextLink"].as_str().unwrap().contains("$top=4000"));
    let small = scene.get(&format!("{}?$top=3", all_products())).await.json();
    assert!(small.get("@odata.nextLink").is_none());
}

#[tokio::test]
async fn both_ways_to_ask_for_the_count_are_understood() {
    let scene = Scene::standard().await;
    for option in ["$count=true", "$inlinecount=allpages", "%24count=true"] {
        let page = scene.get(&format!("Categories?$top=1&{option}")).await.json();
        assert_eq!(
            (page["@odata.count"].as_i64(), page["value"].as_array().unwrap().len()),
            (Some(17), 1)
        );
    }
    assert!(scene.get("Categories?$count=false").await.json().get("@odata.count").is_none());
}

#[tokio::test]
async fn rows_are_filtered_ordered_and_selected() {
    let scene = Scene::standard().await;
    let filter = "contains(Name,'boo')%20and%20not%20(ParentCategory%20eq%200)";
    let rows = scene.get(&format!("Categories?$filter={filter}&$select=Name")).await.rows();
    assert_eq!(rows, [json!({"Name": "Boots"})]);
    let path = "Categories?$orderby=ParentCategory%20desc,Name&$top=2&$select=Name";
    let rows = scene.get(path).await.rows();
    assert_eq!(rows, [json!({"Name": "Backpacks"}), json!({"Name": "Bottles"})]);
    let posted = json!({"channelId": CHANNEL, "productIds": [FIRST, FIRST + 1]});
    let path = format!("Products/GetByIds?$filter=RecordId%20eq%20{}", FIRST + 1);
    assert_eq!(scene.post(&path, &posted).await.ids(), [FIRST + 1]);
    let path = format!("Products({FIRST})/GetById(channelId={CHANNEL})?$select=RecordId");
    let entity = scene.get_with(&path, &[("Accept", "application/json;odata.metadata=none")]).await;
    assert_eq!(entity.json(), json!({"RecordId": FIRST}));
}

#[tokio::test]
async fn a_query_option_that_is_not_understood_is_refused_and_never_ignored() {
    let scene = Scene::standard().await;
    for option in [
        "$filter=Name%20like%20'x'",
        "$filter=Nowhere%20eq%201",
        "$filter=Images%20eq%201",
        "$orderby=Nowhere",
        "$select=Nowhere",
        "$top=-1",
        "$top=1&$top=2",
        "$apply=x",
    ] {
        let reply = scene.get(&format!("Categories?{option}")).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{option}");
        assert!(reply.error().0.ends_with(".DataValidationException"));
    }
}

#[tokio::test]
async fn both_spellings_of_the_metadata_level_are_understood() {
    let scene = Scene::new(Settings { page_size: 5, ..Settings::default() }).await;
    for accept in ["application/json;odata.metadata=none", "application/json; odata=nometadata"] {
        let reply = scene.get_with("Categories", &[("Accept", accept)]).await;
        assert!(reply.json().get("@odata.context").is_none());
        assert!(reply.json().get("@odata.nextLink").is_some());
        assert!(reply.header("content-type").contains("odata.metadata=none"));
    }
    let full =
        scene.get_with("Categories", &[("Accept", "application/json;odata=fullmetadata")]).await;
    assert!(full.rows()[0]["@odata.type"].as_str().unwrap().ends_with(".Category"));
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_take_it() {
    let scene = Scene::standard().await;
    let plain = scene.get("Categories").await;
    assert_eq!(plain.header("content-encoding"), "");
    let refused = scene.get_with("Categories", &[("Accept-Encoding", "gzip;q=0")]).await;
    assert_eq!(refused.bytes, plain.bytes);
    let packed = scene.get_with("Categories", &[("Accept-Encoding", "br, gzip")]).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    let mut unpacked = Vec::new();
    GzDecoder::new(&packed.bytes[..]).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain.bytes);
}

#[tokio::test]
async fn head_is_answered_as_get_without_the_body() {
    let scene = Scene::standard().await;
    let get = scene.get("Categories").await;
    let head = scene.send(Method::HEAD, "/Commerce/Categories", &[], "").await.unwrap();
    assert_eq!((head.status, head.bytes.len()), (StatusCode::OK, 0));
    assert_eq!(head.header("content-length"), get.bytes.len().to_string());
}

#[tokio::test]
async fn record_ids_are_bare_integers() {
    let scene = Scene::standard().await;
    let reply = scene.get(&format!("Products({FIRST})/GetById(channelId={CHANNEL})")).await;
    let text = std::str::from_utf8(&reply.bytes).unwrap();
    assert!(text.contains(&format!("\"RecordId\":{FIRST}")));
}

#[tokio::test]
async fn parameter_aliases_percent_encoding_and_the_case_of_the_root_make_no_difference() {
    let scene = Scene::standard().await;
    let search = "Products/SearchByText(channelId=5637154326,catalogId=0,searchText=";
    let mut answers = Vec::new();
    for path in [
        format!("/Commerce/{search}'shoe')?$top=3"),
        format!("/commerce/{search}@p1)?@p1='shoe'&$top=3"),
        format!("/COMMERCE/{search}%27sh%6Fe%27)?%24top=3"),
        format!("/Commerce/{search}@p1)?$top=3&%40p1=%27shoe%27"),
    ] {
        answers.push(scene.send(Method::GET, &path, &[], "").await.unwrap().rows());
    }
    assert!(!answers[0].is_empty());
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[tokio::test]
async fn http_2_with_prior_knowledge_is_understood_and_links_name_its_authority() {
    let scene = Scene::new(Settings { page_size: 3, ..Settings::default() }).await;
    let client: Client<_, Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let root = scene.sandbox.service_root();
    let request = client.get(format!("{root}/Categories").parse().unwrap());
    let response = tokio::time::timeout(DEADLINE, request).await.unwrap().unwrap();
    assert_eq!((response.version(), response.status()), (Version::HTTP_2, StatusCode::OK));
    let body = tokio::time::timeout(DEADLINE, response.into_body().collect()).await.unwrap();
    let page: Value = serde_json::from_slice(&body.unwrap().to_bytes()).unwrap();
    assert_eq!(page["@odata.nextLink"], format!("{root}/Categories?$skip=3"));
}
