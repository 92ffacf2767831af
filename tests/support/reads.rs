//! One read of each class, as storefronts ask, and answers to them.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;

use super::node::post;
use super::origin::json;

pub const PRODUCT: u64 = 68_719_489_871;
pub const OTHER: u64 = 68_719_489_872;

/// Without an `activeDate`, so that it is the same question at any time.
pub fn price() -> Request<String> {
    price_of(PRODUCT)
}

pub fn price_of(product: u64) -> Request<String> {
    let body = format!(
        r#"{{"projectDomain":{{"ChannelId":5637154326,"CatalogId":0}},"productIds":[{product}]}}"#
    );
    post("/Commerce/Products/GetActivePrices?api-version=7.3", &body)
}

pub fn get(target: &str) -> Request<String> {
    Request::get(target).body(String::new()).unwrap()
}

pub fn product() -> Request<String> {
    get("/Commerce/Products(68719489871)/GetById(channelId=5637154326)?api-version=7.3")
}

pub fn inventory() -> Request<String> {
    post(
        "/Commerce/Products/GetEstimatedAvailability?api-version=7.3",
        r#"{"searchCriteria":{"ProductIds":[68719489871],"DefaultWarehouseOnly":true}}"#,
    )
}

pub fn search() -> Request<String> {
    get(
        "/Commerce/Products/SearchByText(channelId=5637154326,catalogId=0,searchText='shoe')?$top=5",
    )
}

pub fn suggestions() -> Request<String> {
    get(
        "/Commerce/Products/GetSearchSuggestions(channelId=5637154326,catalogId=0,searchText='sh',hitPrefix='',hitSuffix='')",
    )
}

pub fn categories() -> Request<String> {
    post("/Commerce/Categories/GetCategories?$top=250", r#"{"channelId":5637154326}"#)
}

pub fn tender_types() -> Request<String> {
    get("/Commerce/GetTenderTypes()?api-version=7.3")
}

/// The product of [`product`] under this name.
pub fn named(name: &str) -> String {
    format!(r#"{{"RecordId":{PRODUCT},"ItemId":"82000","Name":"{name}"}}"#)
}

/// A 304 for what has this entity tag.
pub fn not_modified() -> Response<Full<Bytes>> {
    Response::builder().status(304).body(Full::default()).unwrap()
}

/// An answer that names nothing.
pub fn nothing() -> Response<Full<Bytes>> {
    json(r#"{"value":[]}"#)
}
