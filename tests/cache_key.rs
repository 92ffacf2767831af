//! The key is injective on what matters and blind to what does not.
//!
//! A question is generated as a *meaning*, and written down twice in spellings of its own: order,
//! encoding, white space, aliases, annotations, tracking. Two keys must be the same exactly when
//! the meanings are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

mod spelling;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use csu_edge::answer::Answer;
use csu_edge::clock::Timestamp;
use csu_edge::config::{ClassLifetimes, KeyRules};
use csu_edge::odata::{ResourcePath, ServiceRoot};
use csu_edge::operation::{Catalogue, Operation};
use csu_edge::question::{Partition, Question, QuestionInput, Unkeyable};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use proptest::prelude::*;

use spelling::Spelling;

/// 2026-04-27T10:00:00.123Z
const NOW: Timestamp = Timestamp::from_millis(1_777_284_000_123);
const SEED: [u8; 16] = *b"a seed for tests";
/// Integers beyond this are not exact in floating point.
const EXACT_FLOATS: i64 = 1 << 53;

static CATALOGUE: LazyLock<Catalogue> =
    LazyLock::new(|| Catalogue::new(&[], &ClassLifetimes::default()).unwrap());
static RULES: LazyLock<KeyRules> = LazyLock::new(KeyRules::default);
static ROOT: LazyLock<ServiceRoot> = LazyLock::new(|| {
    ServiceRoot::new(&Uri::from_static("https://scu1234-rs.su.retail.dynamics.com/Commerce"))
        .unwrap()
});

/// A request as a client sends it.
#[derive(Clone, Debug)]
struct Sent {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

fn find(sent: &Sent) -> Option<(Arc<Operation>, ResourcePath<'_>)> {
    let path = sent.target.split('?').next()?;
    let path = ResourcePath::parse(ROOT.relative(path)?).ok()?;
    Some((CATALOGUE.find(&sent.method, &path)?.clone(), path))
}

fn read_for(sent: &Sent, partition: Partition) -> Result<Question, Unkeyable> {
    let (operation, path) = find(sent).expect("the catalogue knows what the tests ask");
    Question::read(QuestionInput {
        service_root: &ROOT,
        operation: &operation,
        path,
        query: sent.target.split_once('?').map(|(_, query)| query),
        headers: &sent.headers,
        body: &sent.body,
        partition,
        rules: &RULES,
        now: NOW,
        key_seed: &SEED,
    })
}

/// What is asked, whatever its spelling.
#[derive(Clone, PartialEq, Debug)]
struct Meaning {
    oun: Option<&'static str>,
    language: Option<&'static str>,
    metadata: &'static str,
    max_version: Option<&'static str>,
    prefer: Option<&'static str>,
    partition: Partition,
    options: BTreeMap<&'static str, &'static str>,
    call: Call,
}

#[derive(Clone, PartialEq, Debug)]
enum Call {
    Prices {
        product_ids: BTreeSet<i64>,
        active_date: ActiveDate,
        customer_id: Option<String>,
        /// Lexemes of a list that is no set.
        tiers: Vec<&'static str>,
    },
    Text {
        channel_id: i64,
        catalog_id: i64,
        text: String,
    },
    Attributes {
        product_id: i64,
    },
}

#[derive(Clone, PartialEq, Debug)]
enum ActiveDate {
    Absent,
    Null,
    Now,
    Exact(&'static str),
}

fn rec_id() -> impl Strategy<Value = i64> {
    prop_oneof![EXACT_FLOATS - 2..EXACT_FLOATS + 8, 68_719_489_871..68_719_489_875i64]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "shoe", "red shoe", "it's", "''", "a+b", "50%", "%27", "søt", ""
        ])
        .prop_map(str::to_owned),
        "[ -~æøå]{0,8}",
    ]
}

fn call() -> impl Strategy<Value = Call> {
    let active_date = prop_oneof![
        Just(ActiveDate::Absent),
        Just(ActiveDate::Null),
        Just(ActiveDate::Now),
        prop::sample::select(vec!["2026-04-27T09:00:00Z", "2026-12-24T00:00:00Z", "soon"])
            .prop_map(ActiveDate::Exact),
    ];
    let tiers = prop::sample::select(vec!["1", "1.0", "1e0", "2", "\"1\"", "null"]);
    let prices = (
        prop::collection::btree_set(rec_id(), 0..4),
        active_date,
        prop::option::of(text()),
        prop::collection::vec(tiers, 0..3),
    )
        .prop_map(|(product_ids, active_date, customer_id, tiers)| Call::Prices {
            product_ids,
            active_date,
            customer_id,
            tiers,
        });
    prop_oneof![
        prices,
        (rec_id(), 0..2i64, text()).prop_map(|(channel_id, catalog_id, text)| Call::Text {
            channel_id,
            catalog_id,
            text
        }),
        rec_id().prop_map(|product_id| Call::Attributes { product_id }),
    ]
}

fn meaning() -> impl Strategy<Value = Meaning> {
    fn one_of(values: &'static [&'static str]) -> impl Strategy<Value = Option<&'static str>> {
        prop::option::of(prop::sample::select(values))
    }
    let options = (
        one_of(&["7.3", "7.4"]),
        one_of(&["5", "50"]),
        one_of(&["a b", "a+b", "a&b=c", "a%b", ""]),
    )
        .prop_map(|(version, top, filter)| {
            [("api-version", version), ("$top", top), ("$filter", filter)]
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect()
        });
    let partition = prop_oneof![
        Just(Partition::Anonymous),
        Just(Partition::Token([1; 16])),
        Just(Partition::Token([2; 16])),
    ];
    (
        one_of(&["128", "129"]),
        one_of(&["nb-NO", "en-US", "nb-NO,en;q=0.8"]),
        prop::sample::select(vec!["none", "minimal", "full"]),
        one_of(&["4.0", "4.01"]),
        one_of(&["odata.maxpagesize=50"]),
        partition,
        options,
        call(),
    )
        .prop_map(
            |(oun, language, metadata, max_version, prefer, partition, options, call)| Meaning {
                oun,
                language,
                metadata,
                max_version,
                prefer,
                partition,
                options,
                call,
            },
        )
}

/// Two meanings, the second being the first with at most one part of another.
fn neighbours() -> impl Strategy<Value = (Meaning, Meaning)> {
    (meaning(), meaning(), 0..9u8).prop_map(|(one, other, part)| {
        let mut two = one.clone();
        match part {
            0 => two.oun = other.oun,
            1 => two.language = other.language,
            2 => two.metadata = other.metadata,
            3 => two.max_version = other.max_version,
            4 => two.prefer = other.prefer,
            5 => two.partition = other.partition,
            6 => two.options = other.options,
            7 => two.call = other.call,
            _ => {}
        }
        (one, two)
    })
}

/// Members of a body, of which some are spellings of others and some are not.
fn body_piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        r#""productIds":[1,2]"#,
        r#""productIds":[2,1,2]"#,
        r#""product\u0049ds" : [ 2, 1 ]"#,
        r#""ProductIds":[1,2]"#,
        r#""productIds":[1,1]"#,
        r#""productIds":[1]"#,
        r#""productIds":[1.0]"#,
        r#""activeDate":"2026-04-27T10:00:00Z""#,
        r#""activeDate":"2026-04-27T10:00:00.123Z""#,
        r#""activeDate":"now""#,
        r#""activeDate":null"#,
        r##""@odata.type":"#A""##,
        r##""@odata.type":"#Evil""##,
        r##""productIds@odata.type":"#Collection(String)""##,
        r#""tiers":[2,1]"#,
        r#""tiers":[1,2,1]"#,
        r#""a":"\/""#,
        r#""a":"/""#,
        r#""a":{"b":1,"c":"now"}"#,
        r#""a":{"c":"\u006eow","b":1,"@odata.type":"x"}"#,
    ])
}

/// What reaches the origin of a question, credentials and traces apart.
fn sent(question: &Question) -> (String, Vec<(String, Vec<u8>)>, Bytes) {
    let forward = &question.forward;
    let mut headers: Vec<_> = forward
        .headers()
        .iter()
        .filter(|(name, _)| *name != "requestid")
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    headers.sort_unstable();
    (forward.path_and_query.to_string(), headers, forward.body.clone())
}

fn question(meaning: &Meaning, spelling: &mut Spelling) -> Question {
    let sent = spelling::write(meaning, spelling);
    read_for(&sent, meaning.partition)
        .unwrap_or_else(|refusal| panic!("{} for {sent:?}", refusal.as_str()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keys_are_the_same_exactly_when_the_meanings_are(
        (one, two) in neighbours(),
        seeds in any::<(u64, u64)>(),
    ) {
        let first = question(&one, &mut Spelling::new(seeds.0));
        let second = question(&two, &mut Spelling::new(seeds.1));
        prop_assert_eq!(first.key == second.key, one == two);
        prop_assert_eq!(first.key.digest() == second.key.digest(), one == two);
        if one == two {
            prop_assert_eq!(&first.dependencies, &second.dependencies);
        }
        // The caller adds the partition's credentials.
        let is_sent_alike = one.partition == two.partition && sent(&first) == sent(&second);
        prop_assert_eq!(first.key == second.key, is_sent_alike);
    }

    #[test]
    fn whatever_a_body_holds_the_same_key_means_the_same_request(
        one in prop::collection::vec(body_piece(), 0..4),
        two in prop::collection::vec(body_piece(), 0..4),
    ) {
        let read = |pieces: &[&str]| prices(&format!("{{{}}}", pieces.join(","))).ok();
        if let (Some(first), Some(second)) = (read(&one), read(&two)) {
            prop_assert_eq!(first.key == second.key, sent(&first) == sent(&second));
        }
    }

    #[test]
    fn what_is_sent_to_the_origin_asks_the_same_question(meaning in meaning(), seed in any::<u64>()) {
        let asked = question(&meaning, &mut Spelling::new(seed));
        let sent = Sent {
            method: if asked.forward.body.is_empty() { Method::GET } else { Method::POST },
            target: asked.forward.path_and_query.to_string(),
            headers: asked.forward.headers(),
            body: asked.forward.body.to_vec(),
        };
        let again = read_for(&sent, meaning.partition).unwrap();
        prop_assert_eq!(&again.key, &asked.key);
        prop_assert_eq!(&again.forward.path_and_query, &asked.forward.path_and_query);
        prop_assert_eq!(again.forward.headers(), asked.forward.headers());
        prop_assert_eq!(&again.forward.body, &asked.forward.body);
    }

    #[test]
    fn no_input_is_a_panic(
        path in "[ -~%/'()=@,]{0,40}",
        query in "[ -~%&=@$+']{0,40}",
        body in prop_oneof!["[\\[\\]{}\",:a1\\\\u ]{0,40}".prop_map(String::into_bytes), any::<Vec<u8>>()],
    ) {
        let _ = ResourcePath::parse(&path);
        let operation = "Products/GetActivePrices";
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        let sent = Sent {
            method: Method::POST,
            target: format!("/Commerce/{operation}?{query}"),
            headers,
            body: body.clone(),
        };
        let _ = read_for(&sent, Partition::Anonymous);
        let (operation, _) = find(&sent).unwrap();
        let _ = Answer::scan(&body, &operation);
    }
}

fn prices(body: &str) -> Result<Question, Unkeyable> {
    read_for(&post("Products/GetActivePrices?api-version=7.3", body), Partition::Anonymous)
}

fn post(below: &str, body: &str) -> Sent {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    Sent {
        method: Method::POST,
        target: format!("/Commerce/{below}"),
        headers,
        body: body.as_bytes().to_vec(),
    }
}

fn get(below: &str) -> Sent {
    Sent {
        method: Method::GET,
        target: format!("/Commerce/{below}"),
        headers: HeaderMap::new(),
        body: Vec::new(),
    }
}

#[test]
fn products_beyond_floating_point_are_not_merged() {
    let of = |id: i64| prices(&format!(r#"{{"productIds":[{id}]}}"#)).unwrap().key;
    assert_ne!(of(EXACT_FLOATS), of(EXACT_FLOATS + 1));
    let by_key = |id: i64| {
        let sent = get(&format!("Products({id})/GetById(channelId=1)"));
        read_for(&sent, Partition::Anonymous).unwrap().key
    };
    assert_ne!(by_key(EXACT_FLOATS), by_key(EXACT_FLOATS + 1));
}

#[test]
fn only_what_is_allowed_reaches_the_origin() {
    let mut sent = post("products/x", "{}");
    sent.target = "/COMMERCE/Products/GetByIds?utm_source=mail&$top=1".to_owned();
    for (name, value) in [
        ("authorization", "Bearer x"),
        ("cookie", "a=b"),
        ("origin", "https://shop.example"),
        ("x-original-url", "/Carts"),
        ("if-none-match", "\"x\""),
        ("accept-encoding", "br"),
        ("oun", "128"),
        ("requestid", "r1"),
        ("traceparent", "00-1-2-01"),
    ] {
        sent.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let asked = read_for(&sent, Partition::Anonymous).unwrap();
    assert_eq!(asked.forward.path_and_query, "/Commerce/Products/GetByIds?$top=1");
    let forwarded = asked.forward.headers();
    let mut names: Vec<_> = forwarded.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "content-type", "oun", "requestid", "traceparent"]);
    sent.headers.insert("requestid", HeaderValue::from_static("r2"));
    assert_eq!(read_for(&sent, Partition::Anonymous).unwrap().key, asked.key);
}

#[test]
fn what_cannot_be_read_with_certainty_passes() {
    let with = |name: &'static str, values: &[&str]| {
        let mut sent = post("Products/GetByIds", "{}");
        sent.headers.remove(name);
        for value in values {
            sent.headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        read_for(&sent, Partition::Anonymous).map(drop).map_err(Unkeyable::as_str)
    };
    assert_eq!(with("oun", &["128", "129"]), Err("repeated-header"));
    assert_eq!(with("oun", &["ø"]), Err("header-value"));
    assert_eq!(with("accept", &["application/xml"]), Err("accept"));
    assert_eq!(with("content-type", &["text/plain"]), Err("content-type"));
    assert_eq!(with("content-type", &[]), Err("content-type"));
    assert_eq!(with("content-encoding", &["gzip"]), Err("content-encoding"));
    assert_eq!(with("x-http-method-override", &["DELETE"]), Err("method-override"));
    assert_eq!(with("oun", &["128"]), Ok(()));
    let mut sent = get("GetChannels()");
    sent.body = b"{}".to_vec();
    assert_eq!(read_for(&sent, Partition::Anonymous).unwrap_err(), Unkeyable::UnexpectedBody);
    let refusal = prices(r#"{"productIds":[1],"productIds":[2]}"#).unwrap_err();
    assert_eq!(refusal.as_str(), "body-duplicate-member");
}

#[test]
fn a_request_names_the_ids_that_it_depends_on() {
    use csu_edge::operation::IdKind;
    let mut sent = post(
        "Products/SearchByCriteria",
        r#"{"searchCriteria":{"Context":{"ChannelId":5637154326,"CatalogId":0},"CategoryIds":[5,4],
            "Ids":["7"],"IncludeProductsFromDescendantCategories":true}}"#,
    );
    sent.headers.insert("oun", HeaderValue::from_static("128"));
    let named = read_for(&sent, Partition::Anonymous).unwrap().dependencies;
    let of = |kind| named.ids.of(kind).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(of(IdKind::Channel), ["5637154326"]);
    assert_eq!(of(IdKind::OperatingUnit), ["128"]);
    assert_eq!(of(IdKind::Catalog), ["0"]);
    assert_eq!(of(IdKind::Category), ["4", "5"]);
    assert_eq!(of(IdKind::Product), ["7"]);
    assert!(named.covers_descendants);
    let sent = get("Products(7)/GetPrice(customerAccountNumber=@c)?@c='DE+1'");
    let named = read_for(&sent, Partition::Anonymous).unwrap().dependencies;
    let customers = named.ids.of(IdKind::Customer).iter().map(ToString::to_string);
    assert_eq!(customers.collect::<Vec<_>>(), ["DE 1", "DE+1"]);
    let body = r#"{"productIds":[7],"loyaltyCardId":"55"}"#;
    assert!(prices(body).unwrap().dependencies.names_card);
}

#[test]
fn explain_tells_each_part_of_the_key() {
    let mut sent = post("Products/GetByIds?$top=50", r#"{"productIds":[2,1]}"#);
    sent.headers.insert("oun", HeaderValue::from_static("128"));
    let asked = read_for(&sent, Partition::Token([0xab; 16])).unwrap();
    let parts: BTreeMap<_, _> = asked.parts().collect();
    assert_eq!(parts["origin"], "https://scu1234-rs.su.retail.dynamics.com/Commerce");
    assert_eq!(parts["oun"], "128");
    assert_eq!(parts["metadata"], "application/json;odata.metadata=minimal");
    assert_eq!(parts["operation"], "POST Products/GetByIds");
    assert_eq!(parts["path"], "Products/GetByIds");
    assert_eq!(parts["query"], "$top=50");
    assert_eq!(parts["body"], r#"{"productIds":[1,2]}"#);
    assert_eq!(parts["partition"], format!("token:{}", "ab".repeat(16)));
    assert!(!parts.contains_key("language"));
    assert_eq!(asked.forward.body, Bytes::from_static(br#"{"productIds":[1,2]}"#));
}
