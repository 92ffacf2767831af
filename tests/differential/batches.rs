//! Random batches, in both forms: lists, other reads, what is refused, and writes to a cart.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use http::Request;

use super::lists::{ACCOUNTS, Lists, PRODUCTS, token};
use super::support::node::request;
use super::support::shop::{CHANNEL, FIRST};

/// Stands for the service root by which a batch is asked, in a part's URL.
const ROOT: &str = "ROOT";
/// Stands for the id of the batch's cart.
const CART: &str = "CART";
const MOST_PARTS: usize = 12;

/// The reads that are no lists.
pub(crate) const READS: [&str; 5] = [
    "Products/GetById",
    "Products/SearchByCategory",
    "Products/SearchByText",
    "Categories/GetCategories",
    "GetTenderTypes",
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    Multipart,
    Json,
}

/// One batch. It is written down for whoever is asked, with a cart of their own.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) form: Form,
    headers: Vec<(&'static str, String)>,
    units: Vec<Unit>,
}

/// One part, or what succeeds or fails together.
#[derive(Clone, Debug)]
enum Unit {
    One(Part),
    Set(Vec<Part>),
}

#[derive(Clone, Debug)]
struct Part {
    id: Option<String>,
    method: &'static str,
    url: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    depends_on: Option<String>,
}

/// Makes batches of a seed. The same seed makes the same ones.
pub(crate) struct Batches {
    lists: Lists,
    random: StdRng,
}

impl Batches {
    pub(crate) fn new(seed: u64) -> Self {
        Self { lists: Lists::new(seed), random: StdRng::seed_from_u64(seed.rotate_left(32)) }
    }

    pub(crate) fn take(&mut self, count: usize) -> Vec<Batch> {
        (0..count).map(|_| self.batch()).collect()
    }

    fn batch(&mut self) -> Batch {
        let form = if self.random.random() { Form::Multipart } else { Form::Json };
        let headers = self.headers();
        // Most of them are of reads alone, most of which are answered.
        let (writes, failures) = (self.random.random_ratio(2, 5), self.random.random_ratio(1, 3));
        let size = self.random.random_range(1..=MOST_PARTS);
        let mut units = Vec::with_capacity(size);
        while units.len() < size {
            let n = units.len();
            let unit = match self.random.random_range(0..12) {
                0 if failures => Unit::One(self.failure()),
                1 if writes => Unit::One(self.cart()),
                2 if writes => self.set(form, n),
                3 if writes && form == Form::Json => {
                    units.extend(self.chain(n));
                    continue;
                }
                4..=6 => Unit::One(self.read()),
                _ => Unit::One(self.list(form)),
            };
            units.push(unit);
        }
        for (n, unit) in units.iter_mut().enumerate() {
            let Unit::One(part) = unit else { continue };
            if part.id.is_none() && (form == Form::Json || self.random.random_ratio(2, 3)) {
                part.id = Some(format!("p{n}"));
            }
        }
        Batch { form, headers, units }
    }

    /// The batch's own, of which its parts inherit.
    fn headers(&mut self) -> Vec<(&'static str, String)> {
        let random = &mut self.random;
        let mut headers = Vec::new();
        let preferences = [
            None,
            None,
            Some("odata.continue-on-error"),
            Some("continue-on-error"),
            Some("odata.continue-on-error=true"),
            Some("odata.continue-on-error=false"),
        ];
        let texts = [
            ("prefer", *preferences.choose(random).unwrap()),
            ("oun", *[None, Some("128"), Some("129"), Some("130")].choose(random).unwrap()),
            ("accept-language", *[None, Some("en-US"), Some("nb-NO")].choose(random).unwrap()),
        ];
        headers.extend(texts.into_iter().filter_map(|(name, text)| Some((name, text?.to_owned()))));
        if random.random_ratio(1, 3) {
            // The third is refused after a while, and with it the batch.
            headers.push(("authorization", token(ACCOUNTS[..2].choose(random).unwrap())));
        }
        headers
    }

    /// One of the lists that the other tests ask for by themselves. Who asks for it may be said by
    /// the batch alone, but for the JSON form.
    fn list(&mut self, form: Form) -> Part {
        let list = self.lists.take(1).remove(0).request;
        let random = &mut self.random;
        let says = match form {
            Form::Json => random.random_ratio(1, 6),
            Form::Multipart => random.random_ratio(1, 60),
        };
        let (head, body) = list.into_parts();
        let mut headers = Vec::new();
        for (name, value) in &head.headers {
            let inherits = match name.as_str() {
                "authorization" => !says,
                "oun" | "accept-language" => random.random(),
                _ => false,
            };
            if !inherits {
                headers.push((name.to_string(), value.to_str().unwrap().to_owned()));
            }
        }
        let url = self.url(head.uri.to_string().strip_prefix("/Commerce/").unwrap());
        Part { headers, ..post(url, body) }
    }

    /// What is no list: a product, a search, what every page asks.
    fn read(&mut self) -> Part {
        let random = &mut self.random;
        let product = match random.random_range(0..12) {
            0 => FIRST + 70_000,
            _ => FIRST + random.random_range(0..PRODUCTS),
        };
        let word = ["shirt", "table", "oak", "nothing"].choose(random).unwrap();
        let text = match random.random_range(0..8) {
            0..=3 => format!("Products({product})/GetById(channelId={CHANNEL})?api-version=7.3"),
            4 => format!(
                "Products/SearchByCategory(channelId={CHANNEL},catalogId=0,\
                 categoryId=5637144576)?$top=24&$count=true"
            ),
            5 => format!(
                "Products/SearchByText(channelId={CHANNEL},catalogId=0,searchText='{word}')?$top=5"
            ),
            6 => {
                let url = self.url("Categories/GetCategories?$top=50&api-version=7.3");
                return post(url, json!({ "channelId": CHANNEL }).to_string());
            }
            _ => "GetTenderTypes()?api-version=7.3".to_owned(),
        };
        get(self.url(&text))
    }

    /// What the origin refuses.
    fn failure(&mut self) -> Part {
        let products = json!({"projectDomain": {"ChannelId": CHANNEL}, "productIds": "all"});
        match self.random.random_range(0..4) {
            0 => get(self.url("Nothing/GetOfThis()?api-version=7.3")),
            1 => get(self.url("Carts('nobody')?api-version=7.3")),
            2 => post(self.url("Products/GetActivePrices"), products.to_string()),
            _ => get(self.url("Products(1)/GetByIds(channelId=x)")),
        }
    }

    /// Something of the cart, read or changed.
    fn cart(&mut self) -> Part {
        match self.random.random_range(0..5) {
            0 | 1 => get(self.url(&format!("Carts('{CART}')?api-version=7.3"))),
            2 => get(self.url(&format!("Carts('{CART}')/ResetAllCharges()?api-version=7.3"))),
            _ => self.line(&format!("Carts('{CART}')")),
        }
    }

    /// A line more; now and then of a product that there is not.
    fn line(&mut self, cart: &str) -> Part {
        let product = match self.random.random_range(0..8) {
            0 => 5,
            _ => FIRST + self.random.random_range(0..PRODUCTS),
        };
        let quantity = self.random.random_range(1..4);
        let lines = json!({"cartLines": [{"ProductId": product, "Quantity": quantity}]});
        post(format!("{cart}/AddCartLines?api-version=7.3"), lines.to_string())
    }

    /// Writes that are done together or not at all, of which one may refer to another.
    fn set(&mut self, form: Form, n: usize) -> Unit {
        let id = |part: Part, m| Part { id: Some(format!("s{n}.{m}")), ..part };
        if self.random.random() {
            let parts = (0..self.random.random_range(1..3))
                .map(|m| id(self.line(&format!("Carts('{CART}')")), m));
            return Unit::Set(parts.collect());
        }
        let creation = id(post("Carts".to_owned(), "{}".to_owned()), 0);
        let mut addition = id(self.line(&format!("$s{n}.0")), 1);
        addition.depends_on = Some(format!("s{n}.0")).filter(|_| form == Form::Json);
        Unit::Set(vec![creation, addition])
    }

    /// A read that depends on a write.
    fn chain(&mut self, n: usize) -> Vec<Unit> {
        let first = Part { id: Some(format!("c{n}")), ..self.line(&format!("Carts('{CART}')")) };
        let second = Part { depends_on: first.id.clone(), ..self.read() };
        vec![Unit::One(first), Unit::One(second)]
    }

    /// One of the ways to say where something is.
    fn url(&mut self, below_root: &str) -> String {
        match self.random.random_range(0..4) {
            0 => format!("{ROOT}/{below_root}"),
            1 => format!("/Commerce/{below_root}"),
            _ => below_root.to_owned(),
        }
    }
}

fn get(url: String) -> Part {
    Part { id: None, method: "GET", url, headers: Vec::new(), body: None, depends_on: None }
}

fn post(url: String, body: String) -> Part {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Part { id: None, method: "POST", url, headers, body: Some(body), depends_on: None }
}

impl Batch {
    pub(crate) fn parts(&self) -> usize {
        self.units.iter().map(Unit::size).sum()
    }

    /// The reads of it, alone.
    pub(crate) fn reads(&self) -> Self {
        let is_read = |unit: &&Unit| match unit {
            Unit::One(part) => !part.url.contains("Carts") && part.depends_on.is_none(),
            Unit::Set(_) => false,
        };
        let units = self.units.iter().filter(is_read).cloned().collect();
        Self { units, ..self.clone() }
    }

    /// Whether some of it may change the cart.
    pub(crate) fn names_cart(&self) -> bool {
        self.units.iter().any(|unit| match unit {
            Unit::One(part) => part.url.contains(CART),
            Unit::Set(parts) => parts.iter().any(|part| part.url.contains(CART)),
        })
    }

    /// The batch for who is asked by this root and has this cart.
    pub(crate) fn request(&self, root: &str, cart: &str) -> Request<String> {
        let (content_type, body) = match self.form {
            Form::Multipart => ("multipart/mixed; boundary=outer", self.multipart()),
            Form::Json => ("application/json", self.json()),
        };
        let mut headers = vec![("content-type", content_type)];
        headers.extend(self.headers.iter().map(|(name, value)| (*name, value.as_str())));
        let mut request = request("POST", "/Commerce/$batch", &headers);
        *request.body_mut() = body.replace(ROOT, root).replace(CART, cart);
        request
    }

    fn multipart(&self) -> String {
        let units = self.units.iter().map(|unit| match unit {
            Unit::One(part) => part.multipart(),
            Unit::Set(parts) => {
                let inner = multipart("inner", parts.iter().map(Part::multipart));
                format!("Content-Type: multipart/mixed; boundary=inner\r\n\r\n{inner}")
            }
        });
        multipart("outer", units)
    }

    fn json(&self) -> String {
        let mut requests = Vec::new();
        for (n, unit) in self.units.iter().enumerate() {
            match unit {
                Unit::One(part) => requests.push(part.json(None)),
                Unit::Set(parts) => {
                    let group = format!("g{n}");
                    requests.extend(parts.iter().map(|part| part.json(Some(&group))));
                }
            }
        }
        format!("{{\"requests\":[{}]}}", requests.join(",\n"))
    }
}

fn multipart(boundary: &str, parts: impl Iterator<Item = String>) -> String {
    let parts: String = parts.map(|part| format!("--{boundary}\r\n{part}\r\n")).collect();
    format!("{parts}--{boundary}--\r\n")
}

impl Unit {
    const fn size(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Set(parts) => parts.len(),
        }
    }
}

impl Part {
    fn multipart(&self) -> String {
        let mut text =
            "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n".to_owned();
        if let Some(id) = &self.id {
            text += &format!("Content-ID: {id}\r\n");
        }
        text += &format!("\r\n{} {} HTTP/1.1\r\n", self.method, self.url);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        format!("{text}\r\n{}", self.body.as_deref().unwrap_or_default())
    }

    fn json(&self, group: Option<&str>) -> String {
        let headers: serde_json::Map<String, Value> =
            self.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let mut part = json!({"id": self.id, "method": self.method, "url": self.url});
        if !headers.is_empty() {
            part["headers"] = headers.into();
        }
        if let Some(group) = group {
            part["atomicityGroup"] = json!(group);
        }
        if let Some(before) = &self.depends_on {
            part["dependsOn"] = json!([before]);
        }
        let mut text = part.to_string();
        if let Some(body) = &self.body {
            text.pop();
            text += &format!(",\"body\":{body}}}");
        }
        text
    }
}
