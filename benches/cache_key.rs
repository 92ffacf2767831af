//! What a request costs before the store is asked, and an answer when it is stored.
#![allow(missing_docs, reason = "criterion's macros write public items")]
#![allow(clippy::expect_used, reason = "a benchmark ends where its set-up fails")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use csu_edge::answer::Answer;
use csu_edge::clock::Timestamp;
use csu_edge::config::{ClassLifetimes, KeyRules};
use csu_edge::dependency;
use csu_edge::odata::{ResourcePath, ServiceRoot};
use csu_edge::operation::{Catalogue, Operation};
use csu_edge::question::{Partition, Question, QuestionInput};
use http::header::{HeaderMap, HeaderValue};
use http::{Method, Uri};

/// A request, and all that it takes to understand it.
struct Asked {
    root: ServiceRoot,
    catalogue: Catalogue,
    rules: KeyRules,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
}

impl Asked {
    fn new(method: Method, target: &'static str, body: String) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("oun", "128"),
            ("accept", "application/json;odata.metadata=none"),
            ("accept-language", "nb-NO"),
            ("odata-maxversion", "4.0"),
            ("content-type", "application/json"),
            ("user-agent", "a storefront"),
            ("requestid", "1f0c8e1e-2c1f-4a53-b7f3-0d0f2f6a6a51"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let root = Uri::from_static("https://scu1234-rs.su.retail.dynamics.com/Commerce");
        Self {
            root: ServiceRoot::new(&root).expect("a service root"),
            catalogue: Catalogue::new(&[], &ClassLifetimes::default()).expect("no rules"),
            rules: KeyRules::default(),
            method,
            uri: Uri::from_static(target),
            headers,
            body,
        }
    }

    /// Classifies and reads the request, as the request path does.
    fn understand(&self) -> (Arc<Operation>, Question) {
        let below = self.root.relative(self.uri.path()).expect("below the root");
        let path = ResourcePath::parse(below).expect("a path");
        let operation = self.catalogue.find(&self.method, &path).expect("a known read").clone();
        let question = Question::read(QuestionInput {
            service_root: &self.root,
            operation: &operation,
            path,
            query: self.uri.query(),
            headers: &self.headers,
            body: self.body.as_bytes(),
            partition: Partition::Anonymous,
            rules: &self.rules,
            now: Timestamp::from_millis(1_777_284_000_123),
            key_seed: b"a seed for bench",
        })
        .expect("a key");
        (operation, question)
    }
}

const FIRST_PRODUCT: u64 = 68_719_489_871;

fn prices() -> Asked {
    let ids: Vec<String> = (0..24).map(|n| (FIRST_PRODUCT + n).to_string()).collect();
    let body = format!(
        r#"{{"projectDomain":{{"ChannelId":5637154326,"CatalogId":0}},"productIds":[{}],"activeDate":"2026-04-27T10:00:00.123Z","customerId":null,"affiliationLoyaltyTiers":[],"includeSimpleDiscountsInContextualPrice":true}}"#,
        ids.join(",")
    );
    Asked::new(Method::POST, "/Commerce/Products/GetActivePrices?$top=1000&api-version=7.3", body)
}

fn price_answer() -> String {
    let price = |n: u64| {
        let id = FIRST_PRODUCT + n;
        let item = 82_000 + n;
        format!(
            r#"{{"ProductId":{id},"ListingId":{id},"ItemId":"{item}","InventoryDimensionId":"","BasePrice":129.0,"TradeAgreementPrice":129.0,"AdjustedPrice":119.0,"CustomerContextualPrice":119.0,"MinVariantPrice":null,"MaxVariantPrice":null,"DiscountAmount":10.0,"CurrencyCode":"NOK","UnitOfMeasure":"ea","ValidFrom":"2026-04-27T10:00:00.123Z","ChannelId":5637154326,"CatalogId":0,"SalesAgreementPrice":0,"PriceSourceTypeValue":1,"DiscountLines":[],"AttainablePriceLines":[]}}"#
        )
    };
    let prices: Vec<String> = (0..24).map(price).collect();
    format!(
        r#"{{"@odata.context":"https://h/Commerce/$metadata#Collection(ProductPrice)","value":[{}]}}"#,
        prices.join(",")
    )
}

fn understand(c: &mut Criterion) {
    let requests = [
        (
            "get_function",
            Asked::new(
                Method::GET,
                "/Commerce/Products(68719489871)/GetAttributeValues(channelId=5637154326,catalogId=0)?$top=1000&api-version=7.3",
                String::new(),
            ),
        ),
        ("active_prices_24", prices()),
        (
            "search_by_criteria",
            Asked::new(
                Method::POST,
                "/Commerce/Products/SearchByCriteria?api-version=7.3&$top=50&$skip=0&$count=true",
                r#"{"searchCriteria":{"Context":{"ChannelId":5637154326,"CatalogId":0},"CategoryIds":[5637144576],"IncludeProductsFromDescendantCategories":true,"SkipVariantExpansion":true,"IncludeAttributes":true}}"#.to_owned(),
            ),
        ),
    ];
    let mut group = c.benchmark_group("understand");
    for (name, asked) in &requests {
        group.bench_function(*name, |b| b.iter(|| black_box(asked).understand()));
    }
    group.finish();
}

fn answer(c: &mut Criterion) {
    let (operation, question) = prices().understand();
    let body = price_answer();
    let mut group = c.benchmark_group("answer");
    let scanned = Answer::scan(body.as_bytes(), &operation).expect("a whole answer");
    group.bench_function("tags_of_24_prices", |b| {
        b.iter(|| dependency::tags(&operation, &question.dependencies, black_box(&scanned), false));
    });
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("scan_24_prices", |b| {
        b.iter(|| Answer::scan(black_box(body.as_bytes()), &operation));
    });
    group.finish();
}

criterion_group!(benches, understand, answer);
criterion_main!(benches);
