//! What clients ask, and an origin that answers at once.

use crate::load::{get, post};
use crate::support::origin::{Origin, Seen, json, price_of};

/// The first product's RecId.
const FIRST: usize = 68_719_489_871;

/// A product read, of a lenient class.
pub(crate) fn product(at: usize) -> Vec<u8> {
    get(&format!(
        "/Commerce/Products({})/GetById(channelId=5637154326)?api-version=7.3",
        FIRST + at
    ))
}

/// A price read, of a strict class.
pub(crate) fn price(at: usize) -> Vec<u8> {
    let body = format!(
        r#"{{"projectDomain":{{"ChannelId":5637154326,"CatalogId":0}},"productIds":[{}]}}"#,
        FIRST + at
    );
    post("/Commerce/Products/GetActivePrices?api-version=7.3", &body)
}

/// An origin that knows every product and price.
pub(crate) async fn origin() -> Origin {
    // With the fields around it, a product page's usual answer.
    let description = "A shoe that goes well with everything. ".repeat(110);
    Origin::start(move |seen: &Seen| {
        if seen.method == "POST" {
            let product = digits_after(&seen.body, "\"productIds\":[");
            return json(price_of(product, "82000", 10));
        }
        let product = digits_after(&seen.target, "Products(");
        json(format!(
            r#"{{"RecordId":{product},"ItemId":"82000","Name":"Shoe","Description":"{description}"}}"#
        ))
    })
    .await
}

fn digits_after(text: &str, mark: &str) -> u64 {
    let (_, rest) = text.split_once(mark).unwrap();
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().unwrap()
}

/// A push event's short form that purges these prices.
pub(crate) fn event(tags: std::ops::Range<usize>) -> Vec<u8> {
    let tags: Vec<String> = tags.map(|at| format!("\"{}\"", tag(at))).collect();
    post("/ingest/cdx", &format!(r#"{{"tags":[{}]}}"#, tags.join(",")))
}

/// A tag of nothing that [`product`] or [`price`] asks for.
pub(crate) fn tag(at: usize) -> String {
    format!("price/product:{}", 5_637_200_000_000 + at)
}

/// The number of the purge, from the answer to an event.
pub(crate) fn sequence(reply: &crate::load::Reply) -> u64 {
    assert_eq!(reply.status(), 200, "{}", String::from_utf8_lossy(&reply.body));
    let answer: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    answer["sequence"].as_u64().unwrap()
}
