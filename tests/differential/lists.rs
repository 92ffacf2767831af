//! Random lists of the five operations that are kept by what is asked for, as requests.
//!
//! They are plain requests with a relative target, so that they can be sent alone or in a batch.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, Request};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};

use super::support::node::{START, post};
use super::support::shop::{CHANNEL, FIRST};

/// What is asked for, mostly: six times eleven single products, a master and its four variants.
pub(crate) const PRODUCTS: i64 = 96;
/// The item numbers that they have.
pub(crate) const ITEMS: i64 = 72;
const FIRST_ITEM: i64 = 82_000;
/// Ids that the stand-in knows no product by.
const STRANGE_PRODUCTS: [i64; 5] = [FIRST + 70_000, 5, 1_234_567_890_123_456_789, -3, FIRST - 1];
/// Item numbers that the stand-in does not know.
pub(crate) const STRANGE_ITEMS: [&str; 5] = ["9000", "10", "SHIRT-1", "shirt-2", "0900"];
/// One by which the stand-in finds an item that is called otherwise.
pub(crate) const OTHERWISE_NAMED: &str = "082011";
/// Far from the tests' present, so that no answer says when it was made.
const ACTIVE_DATES: [&str; 3] =
    ["2026-06-01T00:00:00Z", "2026-06-01T10:00:00.123Z", "2025-12-31T23:59:59Z"];
/// In how many ways each operation is asked, of which the last is odd: it may be refused, or have
/// answers that do not come apart.
const WAYS: usize = 4;

pub(crate) const ACCOUNTS: [&str; 3] = ["2001", "2002", "2003"];
pub(crate) const WAREHOUSES: [&str; 4] = ["13", "21", "32", "47"];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    Prices,
    Products,
    Stock,
    StockOfPairs,
    StockOfItems,
}

use Operation::{Prices, Products, Stock, StockOfItems, StockOfPairs};

impl Operation {
    pub(crate) const ALL: [Self; 5] = [Prices, Products, Stock, StockOfPairs, StockOfItems];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Prices => "Products/GetActivePrices",
            Products => "Products/GetByIds",
            Stock => "Products/GetEstimatedAvailability",
            StockOfPairs => "Products/GetEstimatedProductWarehouseAvailability",
            StockOfItems => "Products/GetProductAvailabilities",
        }
    }

    const fn selections(self) -> &'static [&'static str] {
        match self {
            Prices => &["ProductId,AdjustedPrice", "AdjustedPrice,ProductId,DiscountLines"],
            Products => &["RecordId,Name", "Name,Price,RecordId"],
            Stock | StockOfPairs => &[
                "AggregatedProductInventoryAvailabilities,ProductWarehouseInventoryAvailabilities",
            ],
            StockOfItems => &["ItemId,AvailableQuantity", "ItemId"],
        }
    }

    const fn nameless(self) -> &'static [&'static str] {
        match self {
            Prices => &["ItemId"],
            Products => &["Name"],
            Stock | StockOfPairs => &["ProductWarehouseInventoryAvailabilities"],
            StockOfItems => &["ProductId"],
        }
    }

    const fn filters(self) -> &'static [&'static str] {
        match self {
            Prices => &["AdjustedPrice%20gt%20100", "not%20(CustomerContextualPrice%20lt%2080.5)"],
            Products => &["contains(Name,'e')", "ProductTypeValue%20eq%203%20or%20Price%20lt%2050"],
            Stock | StockOfPairs => &["ProductId%20gt%200"],
            StockOfItems => &["AvailableQuantity%20ge%20100", "ItemId%20eq%20'82003'"],
        }
    }

    const fn orders(self) -> &'static [&'static str] {
        match self {
            Prices => &["AdjustedPrice", "ItemId%20desc,ProductId"],
            Products => &["Name,RecordId%20desc", "Price%20desc"],
            Stock | StockOfPairs => &["ProductId"],
            StockOfItems => &["AvailableQuantity%20desc,ItemId", "ItemId"],
        }
    }
}

/// One list.
#[derive(Clone, Debug)]
pub(crate) struct List {
    /// How many elements it has, and how many different things they ask for.
    pub(crate) elements: usize,
    pub(crate) different: usize,
    pub(crate) request: Request<String>,
}

/// Makes lists of a seed. The same seed makes the same ones.
pub(crate) struct Lists {
    random: StdRng,
    ways: Vec<(Operation, Vec<Way>)>,
}

/// All of a request but its list.
#[derive(Clone, Debug)]
struct Way {
    headers: Vec<(&'static str, String)>,
    options: Vec<String>,
    channel: Option<i64>,
    catalogue: Option<i64>,
    customer: Option<Value>,
    affiliations: Option<Value>,
    with_discounts: Option<bool>,
    active_date: &'static str,
    default_warehouse_only: Option<bool>,
}

impl Lists {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut ways_of = |operation| {
            let way = |n| Way::any(operation, n + 1 == WAYS, &mut random);
            (0..WAYS).map(way).collect()
        };
        let ways = Operation::ALL.map(|operation| (operation, ways_of(operation)));
        Self { random, ways: ways.into() }
    }

    /// The next lists. Now and then several in a row differ in nothing but what they ask for, so
    /// that what they miss goes out together.
    pub(crate) fn take(&mut self, count: usize) -> Vec<List> {
        let mut lists = Vec::with_capacity(count);
        while lists.len() < count {
            let (operation, ways) = self.ways.choose(&mut self.random).unwrap();
            let odd = self.random.random_ratio(1, 8);
            let way = if odd { WAYS - 1 } else { self.random.random_range(0..WAYS - 1) };
            let way = &ways[way];
            let alike = if self.random.random_ratio(1, 8) { 8 } else { 1 };
            for _ in 0..alike.min(count - lists.len()) {
                let mut way = way.clone();
                if self.random.random_ratio(1, 12) {
                    way.take_whole(*operation, &mut self.random);
                }
                let size = if self.random.random_ratio(1, 3) { 1..=12 } else { 1..=100 };
                let size = self.random.random_range(size);
                lists.push(way.list(*operation, size, &mut self.random));
            }
        }
        lists
    }

    /// One list of each operation of that many elements, asked anonymously and without options.
    pub(crate) fn one_of_each(&mut self, elements: usize) -> Vec<List> {
        let random = &mut self.random;
        let list = |operation| Way::plain().list(operation, elements, random);
        Operation::ALL.map(list).into()
    }
}

/// A list's elements and what they name.
fn elements(operation: Operation, size: usize, random: &mut StdRng) -> (Value, Vec<String>) {
    let names = names(operation, size, random);
    let elements = match operation {
        StockOfItems => json!(names),
        StockOfPairs => pairs(&names, random),
        Prices | Products | Stock => names.iter().map(|name| json!(number(name))).collect(),
    };
    (elements, names)
}

fn number(name: &str) -> i64 {
    name.parse().unwrap()
}

/// Each product in a place, mostly the same; the same product once more in the next place.
fn pairs(products: &[String], random: &mut StdRng) -> Value {
    let mut places = WAREHOUSES.iter().cycle();
    let mut pairs = Vec::with_capacity(products.len());
    for (n, product) in products.iter().enumerate() {
        if n == 0 || products[n - 1] != *product {
            places = WAREHOUSES.iter().cycle();
        }
        let warehouse = match random.random_range(0..80) {
            0 => "99",
            1 => WAREHOUSES[2],
            _ => places.next().unwrap(),
        };
        pairs.push(json!({
            "ProductId": number(product), "InventLocationId": warehouse, "DataAreaId": "usmf",
        }));
    }
    pairs.into()
}

/// What is asked for: different things, some of them again, beside themselves or apart.
fn names(operation: Operation, size: usize, random: &mut StdRng) -> Vec<String> {
    let all = match operation {
        StockOfItems => FIRST_ITEM..FIRST_ITEM + ITEMS,
        _ => FIRST..FIRST + PRODUCTS,
    };
    let mut names: Vec<String> = all.map(|name| name.to_string()).collect();
    names.shuffle(random);
    // A pair that is named twice in a row is rare, since such lists are not taken apart.
    let most = if operation == StockOfPairs { size / 8 } else { size / 2 };
    let repeats = if random.random_ratio(1, 3) { random.random_range(0..=most) } else { 0 };
    names.truncate(size - repeats);
    if random.random_ratio(1, 3) {
        for _ in 0..1 + size / 20 {
            let place = random.random_range(0..names.len());
            names[place] = strange(operation, random);
        }
    }
    match random.random_range(0..6) {
        0 => names.sort_by_key(|name| (name.len(), name.clone())),
        1 => names.sort_by(|a, b| b.cmp(a)),
        _ => {}
    }
    // So are pairs of one product that are apart.
    let apart = if operation == StockOfPairs { random.random_ratio(1, 6) } else { true };
    while names.len() < size {
        let again = random.random_range(0..names.len());
        let place =
            if apart && random.random() { random.random_range(0..names.len()) } else { again };
        names.insert(place, names[again].clone());
    }
    names
}

/// What there mostly is not.
fn strange(operation: Operation, random: &mut StdRng) -> String {
    match operation {
        // By 0 clients name none.
        _ if random.random_ratio(1, 60) => "0".to_owned(),
        StockOfItems if random.random_ratio(1, 150) => OTHERWISE_NAMED.to_owned(),
        StockOfItems => (*STRANGE_ITEMS.choose(random).unwrap()).to_owned(),
        _ => STRANGE_PRODUCTS.choose(random).unwrap().to_string(),
    }
}

impl Way {
    fn plain() -> Self {
        Self {
            headers: Vec::new(),
            options: Vec::new(),
            channel: Some(CHANNEL),
            catalogue: None,
            customer: None,
            affiliations: None,
            with_discounts: None,
            active_date: ACTIVE_DATES[0],
            default_warehouse_only: None,
        }
    }

    fn list(&self, operation: Operation, size: usize, random: &mut StdRng) -> List {
        let (elements, names) = elements(operation, size, random);
        let different = names.iter().collect::<HashSet<_>>().len();
        let request = self.request(operation, elements, random);
        List { elements: size, different, request }
    }

    fn any(operation: Operation, is_odd: bool, random: &mut StdRng) -> Self {
        let one = |random: &mut StdRng, times| random.random_ratio(1, times);
        let mut headers = Vec::new();
        if let Some(unit) = [None, Some("128"), Some("129"), Some("130")].choose(random).unwrap() {
            headers.push(("oun", (*unit).to_owned()));
        }
        if let Some(language) = [None, Some("en-US"), Some("nb-NO")].choose(random).unwrap() {
            headers.push(("accept-language", (*language).to_owned()));
        }
        let levels = [
            None,
            Some("application/json"),
            Some("application/json;odata.metadata=none"),
            Some("application/json; odata=nometadata"),
            Some("application/json;odata.metadata=minimal"),
            Some("application/json;odata.metadata=full"),
        ];
        if let Some(accept) = levels.choose(random).unwrap() {
            headers.push(("accept", (*accept).to_owned()));
        }
        let caller = one(random, 3)
            .then(|| if is_odd { ACCOUNTS[2] } else { ACCOUNTS[random.random_range(0..2)] });
        if let Some(account) = caller {
            headers.push(("authorization", token(account)));
        }
        // 0 leaves it to the operating unit; none at all is refused where one is required.
        let unsaid = if is_odd { None } else { Some(0) };
        let channels = [unsaid, Some(CHANNEL), Some(5_637_154_327), Some(5_637_154_328)];
        // Signed in, the assortment without a catalogue is refused.
        let signed_in = if is_odd && one(random, 4) { 0 } else { 5_637_160_000 };
        let (anonymous, signed_in) = (&[0, 0, 0, 5_637_160_000][..], &[signed_in][..]);
        let catalogues = if caller.is_some() { signed_in } else { anonymous };
        let named = [None, Some(Value::Null), Some(json!("2001")), Some(json!("2002"))];
        let own = [None, caller.map(Value::from)];
        let customers = if caller.is_some() { &own[..] } else { &named[..] };
        let tier =
            |id: i64| json!({"AffiliationId": id, "LoyaltyTierId": 0, "ReasonCodeLines": []});
        let (wholesale, staff) = (tier(68_719_478_279), tier(68_719_478_280));
        let affiliations =
            [None, Some(json!([])), Some(json!([wholesale])), Some(json!([staff, wholesale]))];
        Self {
            options: options(operation, is_odd, random),
            headers,
            channel: *channels.choose(random).unwrap(),
            catalogue: catalogues.choose(random).copied().filter(|_| !one(random, 6)),
            customer: customers.choose(random).unwrap().clone(),
            affiliations: affiliations.choose(random).unwrap().clone(),
            with_discounts: *[None, Some(false), Some(true), Some(true)].choose(random).unwrap(),
            active_date: ACTIVE_DATES.choose(random).unwrap(),
            default_warehouse_only: *[None, Some(true), Some(false)].choose(random).unwrap(),
        }
    }

    /// Adds what leaves the answer whole.
    fn take_whole(&mut self, operation: Operation, random: &mut StdRng) {
        let option = match random.random_range(0..4) {
            0 => format!("$orderby={}", operation.orders().choose(random).unwrap()),
            1 => "$count=true".to_owned(),
            2 => "$skip=3".to_owned(),
            _ => format!("$top={}", random.random_range(1..9)),
        };
        let name = option.split_once('=').unwrap().0;
        self.options.retain(|other| other.split_once('=').unwrap().0 != name);
        self.options.push(option);
    }

    fn request(
        &self,
        operation: Operation,
        elements: Value,
        random: &mut StdRng,
    ) -> Request<String> {
        let mut parameters = self.parameters(operation, elements);
        parameters.shuffle(random);
        let body: Map<String, Value> =
            parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let mut options = self.options.clone();
        options.shuffle(random);
        let query = if options.is_empty() { "" } else { "?" };
        let target = format!("/Commerce/{}{query}{}", operation.name(), options.join("&"));
        let mut request = post(&target, &Value::Object(body).to_string());
        for (name, value) in &self.headers {
            request.headers_mut().insert(*name, HeaderValue::try_from(value).unwrap());
        }
        request
    }

    fn parameters(&self, operation: Operation, elements: Value) -> Vec<(&'static str, Value)> {
        let channel = || self.channel.map(|channel| ("channelId", json!(channel)));
        match operation {
            Prices => {
                let mut domain = Map::new();
                if let Some(channel) = self.channel {
                    domain.insert("ChannelId".into(), channel.into());
                }
                if let Some(catalogue) = self.catalogue {
                    domain.insert("CatalogId".into(), catalogue.into());
                }
                let with_discounts = self.with_discounts.map(Value::from);
                [
                    Some(("projectDomain", domain.into())),
                    Some(("productIds", elements)),
                    Some(("activeDate", self.active_date.into())),
                    self.customer.clone().map(|customer| ("customerId", customer)),
                    self.affiliations.clone().map(|tiers| ("affiliationLoyaltyTiers", tiers)),
                    with_discounts.map(|with| ("includeSimpleDiscountsInContextualPrice", with)),
                ]
                .into_iter()
                .flatten()
                .collect()
            }
            Products => {
                let catalogue = self.catalogue.map(|catalogue| ("catalogId", json!(catalogue)));
                let ids = Some(("productIds", elements));
                [channel(), ids, catalogue].into_iter().flatten().collect()
            }
            Stock => {
                let mut criteria = Map::new();
                criteria.insert("ProductIds".into(), elements);
                if let Some(only) = self.default_warehouse_only {
                    criteria.insert("DefaultWarehouseOnly".into(), only.into());
                }
                vec![("searchCriteria", criteria.into())]
            }
            StockOfPairs => vec![("productWarehouses", elements)],
            StockOfItems => {
                [Some(("itemIds", elements)), channel()].into_iter().flatten().collect()
            }
        }
    }
}

/// Options that leave each thing to itself, or do not.
fn options(operation: Operation, is_odd: bool, random: &mut StdRng) -> Vec<String> {
    let mut options = Vec::new();
    if random.random_ratio(3, 4) {
        options.push("api-version=7.3".to_owned());
    }
    if random.random() {
        options.push("$top=1000".to_owned());
    }
    if random.random_ratio(1, 4) {
        options.push("$skip=0".to_owned());
    }
    if random.random_ratio(1, 4) {
        // Where what names a thing is left out, nothing can be taken apart.
        let selections = if is_odd { operation.nameless() } else { operation.selections() };
        options.push(format!("$select={}", selections.choose(random).unwrap()));
    }
    if random.random_ratio(1, 4) {
        options.push(format!("$filter={}", operation.filters().choose(random).unwrap()));
    }
    options
}

/// What signs a customer in: one for a month, one for good, and one for ten minutes, after which
/// it is refused.
pub(crate) fn token(account: &str) -> String {
    let lives_s = match account {
        "2001" => Some(30 * 24 * 3_600),
        "2002" => None,
        _ => Some(600),
    };
    let mut claims = json!({"sub": account});
    if let Some(lives_s) = lives_s {
        claims["exp"] = json!(START.as_millis() / 1_000 + lives_s);
    }
    let parts = [r#"{"alg":"none"}"#, &claims.to_string(), "signature"];
    format!("id_token {}", parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join("."))
}
