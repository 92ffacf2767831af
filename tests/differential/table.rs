//! An origin that is not the stand-in and has other habits: it reads what is asked for out of a
//! table. So its rows come in the table's order and each of them once, whatever the request's order
//! and repetitions are; item numbers are texts, and ordered as such. Its JSON has white space and
//! numbers of many digits, it names no context, and it takes its time.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::lists::{ITEMS, PRODUCTS, STRANGE_ITEMS, WAREHOUSES};
use super::support::shop::FIRST;

/// How long it takes.
const LATENCY: Duration = Duration::from_millis(4);

/// The origin. Dropped, it is gone.
pub(crate) struct Table {
    pub(crate) address: SocketAddr,
    _serving: AbortOnDropHandle<()>,
}

impl Table {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, _serving: AbortOnDropHandle::new(tokio::spawn(serve(listener))) }
    }
}

async fn serve(listener: TcpListener) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        connections.spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            let _ = connection.await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    tokio::time::sleep(LATENCY).await;
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let said = |name| head.headers.get(name).map_or("", |value| value.to_str().unwrap());
    // Whatever an answer depends on besides, so that one for another is told from it.
    let whose = [
        said("oun"),
        said("accept-language"),
        said(AUTHORIZATION.as_str()),
        &asked["customerId"].to_string(),
        &asked["activeDate"].to_string(),
        &asked["projectDomain"]["CatalogId"].to_string(),
    ];
    let whose = serde_json::to_string(&whose.join(" ")).unwrap();
    let body = rows_of(head.uri.path(), &asked, &whose);
    let response = Response::builder().header(CONTENT_TYPE, "application/json");
    Ok(response.body(Full::from(body)).unwrap())
}

fn rows_of(path: &str, asked: &Value, whose: &str) -> String {
    match path.rsplit_once('/').unwrap().1 {
        "GetActivePrices" => {
            let row = |id| price(id, whose);
            value(found(numbers(&asked["productIds"])).map(row))
        }
        "GetByIds" => {
            let row = |id| format!("{{ \"Name\" : \"№\\u00a0{id}\",\n\t\"RecordId\":{id} }}");
            value(found(numbers(&asked["productIds"])).map(row))
        }
        "GetEstimatedAvailability" => {
            let ids = found(numbers(&asked["searchCriteria"]["ProductIds"]));
            stock(ids.flat_map(|id| WAREHOUSES.map(|warehouse| (id, warehouse.to_owned()))))
        }
        "GetEstimatedProductWarehouseAvailability" => {
            let pairs = asked["productWarehouses"].as_array().unwrap().iter().map(|pair| {
                let warehouse = pair["InventLocationId"].as_str().unwrap();
                (pair["ProductId"].as_i64().unwrap(), warehouse.to_owned())
            });
            let mut pairs: Vec<_> = pairs.filter(|(id, _)| is_there(*id)).collect();
            pairs.sort_unstable();
            pairs.dedup();
            stock(pairs.into_iter())
        }
        _ => {
            let asked = asked["itemIds"].as_array().unwrap().iter();
            let mut items: Vec<&str> = asked.map(|item| item.as_str().unwrap()).collect();
            items.sort_unstable();
            items.dedup();
            let is_there = |item: &&str| {
                let known = 82_000..82_000 + ITEMS;
                STRANGE_ITEMS.contains(item) || item.parse().is_ok_and(|item| known.contains(&item))
            };
            let row = |item| format!("{{\"ItemId\" :\"{item}\", \"AvailableQuantity\": 1.500}}");
            value(items.into_iter().filter(is_there).map(row))
        }
    }
}

fn numbers(list: &Value) -> Vec<i64> {
    list.as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect()
}

/// The ids that there are, as the table has them.
fn found(mut ids: Vec<i64>) -> impl Iterator<Item = i64> {
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().filter(|id| is_there(*id))
}

fn is_there(id: i64) -> bool {
    (FIRST..FIRST + PRODUCTS).contains(&id) && id % 9 != 0
}

fn price(id: i64, whose: &str) -> String {
    format!(
        "{{\n      \"Whose\": {whose},\n      \"AdjustedPrice\": {id}.10000000000000000001,\n      \
         \"ProductId\": {id},\n      \"DiscountLines\": [ ]\n    }}"
    )
}

fn value(rows: impl Iterator<Item = String>) -> String {
    let rows: Vec<String> = rows.collect();
    if rows.is_empty() {
        return "{\n  \"value\": []\n}\n".to_owned();
    }
    format!("{{\n  \"value\": [\n    {}\n  ]\n}}\n", rows.join(",\n    "))
}

/// Both arrays, of pairs in order: rows, and a sum a product.
fn stock(pairs: impl Iterator<Item = (i64, String)>) -> String {
    let (mut rows, mut sums) = (Vec::new(), Vec::<(i64, usize)>::new());
    for (id, warehouse) in pairs {
        rows.push(format!("{{ \"InventLocationId\" : \"{warehouse}\" , \"ProductId\": {id} }}"));
        match sums.last_mut() {
            Some((last, places)) if *last == id => *places += 1,
            _ => sums.push((id, 1)),
        }
    }
    let sum =
        |(id, places)| format!("{{\"TotalAvailableQuantity\":{places}E+1,\"ProductId\":{id}}}");
    let sums: Vec<String> = sums.into_iter().map(sum).collect();
    format!(
        "{{\r\n \"ExtensionProperties\": [ ],\r\n \
         \"AggregatedProductInventoryAvailabilities\": [{}],\r\n \
         \"ProductWarehouseInventoryAvailabilities\":\t[ {} ]\r\n}}",
        sums.join(" , "),
        rows.join(",\r\n   ")
    )
}
