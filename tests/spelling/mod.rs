//! One meaning, written down as any client might.

use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::{ActiveDate, Call, Meaning, Sent};

/// Choices without meaning, drawn one after the other.
pub(crate) struct Spelling(u64);

impl Spelling {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            things.swap(last, self.below(last + 1));
        }
    }

    fn one_of<'a>(&mut self, things: &[&'a str]) -> &'a str {
        things[self.below(things.len())]
    }

    fn case(&mut self, text: &str) -> String {
        let any =
            |c: char| if self.coin() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        text.chars().map(any).collect()
    }

    /// Percent-encoding of what must be, and of anything else by chance.
    fn encode(&mut self, text: &str) -> String {
        let mut encoded = String::new();
        for byte in text.bytes() {
            let may_stand = byte.is_ascii_alphanumeric() || b"-_.~'$@(),".contains(&byte);
            if may_stand && self.below(4) > 0 {
                encoded.push(char::from(byte));
            } else if self.coin() {
                encoded.push_str(&format!("%{byte:02X}"));
            } else {
                encoded.push_str(&format!("%{byte:02x}"));
            }
        }
        encoded
    }

    fn json_string(&mut self, text: &str) -> String {
        let mut json = String::from("\"");
        for c in text.chars() {
            if self.below(4) == 0 && u32::from(c) < 0x1_0000 {
                json.push_str(&format!("\\u{:04x}", u32::from(c)));
            } else if c == '/' && self.coin() {
                json.push_str("\\/");
            } else {
                let quoted = serde_json::to_string(&c).unwrap();
                json.push_str(&quoted[1..quoted.len() - 1]);
            }
        }
        json.push('"');
        json
    }

    fn space(&mut self) -> &'static str {
        self.one_of(&["", "", " ", "\n\t"])
    }

    /// An object or a list of these pieces.
    fn bracket(&mut self, open: char, pieces: &[String], close: char) -> String {
        let mut json = open.to_string();
        for (i, piece) in pieces.iter().enumerate() {
            if i > 0 {
                json.push(',');
            }
            json.push_str(&format!("{}{piece}{}", self.space(), self.space()));
        }
        json.push(close);
        json
    }

    fn member(&mut self, name: &str, value: &str) -> String {
        format!("{}{}:{}{value}", self.json_string(name), self.space(), self.space())
    }
}

pub(crate) fn write(meaning: &Meaning, spelling: &mut Spelling) -> Sent {
    let mut options: Vec<String> = meaning
        .options
        .iter()
        .map(|(name, value)| format!("{}={}", spelling.encode(name), spelling.encode(value)))
        .collect();
    if spelling.coin() {
        options.push("utm_source=mail&gclid=1".to_owned());
    }
    let (method, path, body) = match &meaning.call {
        Call::Prices { .. } => {
            let body = write_prices(&meaning.call, spelling);
            (Method::POST, "Products/GetActivePrices".to_owned(), body)
        }
        Call::Text { channel_id, catalog_id, text } => {
            let literal = format!("'{}'", text.replace('\'', "''"));
            let mut parameters = Vec::new();
            for (name, value) in [
                ("channelId", channel_id.to_string()),
                ("catalogId", catalog_id.to_string()),
                ("searchText", literal),
            ] {
                let cannot_stand_in_a_path = value.contains(['/', '\\']);
                if cannot_stand_in_a_path || spelling.coin() {
                    let alias = format!("@{}{name}", spelling.one_of(&["p", "q"]));
                    options.push(format!(
                        "{}={}",
                        spelling.encode(&alias),
                        spelling.encode(&value)
                    ));
                    parameters.push(format!("{name}={alias}"));
                } else {
                    parameters.push(format!("{name}={}", spelling.encode(&value)));
                }
            }
            spelling.shuffle(&mut parameters);
            let path = format!("Products/SearchByText({})", parameters.join(","));
            (Method::GET, path, String::new())
        }
        Call::Attributes { product_id } => {
            let key = spelling.encode(&product_id.to_string());
            (Method::GET, format!("Products({key})/GetAttributeValues()"), String::new())
        }
    };
    spelling.shuffle(&mut options);
    let root = spelling.case("/Commerce");
    let mut target = format!("{root}/{path}");
    if !options.is_empty() {
        target.push('?');
        target.push_str(&options.join("&"));
    }
    let headers = write_headers(meaning, &method, spelling);
    Sent { method, target, headers, body: body.into_bytes() }
}

fn write_prices(call: &Call, spelling: &mut Spelling) -> String {
    let Call::Prices { product_ids, active_date, customer_id, tiers } = call else {
        return String::new();
    };
    let mut ids: Vec<String> = product_ids.iter().map(ToString::to_string).collect();
    if let Some(again) = ids.first().filter(|_| spelling.coin()).cloned() {
        ids.push(again);
    }
    spelling.shuffle(&mut ids);
    let ids = spelling.bracket('[', &ids, ']');
    let tiers: Vec<String> = tiers.iter().map(ToString::to_string).collect();
    let tiers = spelling.bracket('[', &tiers, ']');
    let customer = match customer_id {
        Some(customer) => spelling.json_string(customer),
        None => "null".to_owned(),
    };
    let mut members = vec![
        spelling.member("productIds", &ids),
        spelling.member("affiliationLoyaltyTiers", &tiers),
        spelling.member("customerId", &customer),
    ];
    let date = match active_date {
        ActiveDate::Absent => None,
        ActiveDate::Null => Some("null".to_owned()),
        ActiveDate::Exact(text) => Some(spelling.json_string(text)),
        ActiveDate::Now => {
            let within = spelling.one_of(&[
                "2026-04-27T10:00:00.123Z",
                "2026-04-27T09:59:01Z",
                "2026-04-27T12:00:59.9999+02:00",
            ]);
            Some(spelling.json_string(within))
        }
    };
    members.extend(date.map(|date| spelling.member("activeDate", &date)));
    if spelling.coin() {
        members.push(spelling.member("productIds@odata.type", "\"#Collection(Int64)\""));
    }
    if spelling.coin() {
        members.push(spelling.member("@odata.type", "\"#Microsoft.Dynamics.Prices\""));
    }
    spelling.shuffle(&mut members);
    spelling.bracket('{', &members, '}')
}

fn write_headers(meaning: &Meaning, method: &Method, spelling: &mut Spelling) -> HeaderMap {
    let accept = match meaning.metadata {
        "none" => spelling.one_of(&[
            "application/json;odata.metadata=none",
            "application/json; odata=nometadata",
        ]),
        "full" => spelling.one_of(&[
            "application/json;odata.metadata=full",
            "Application/Json;ODATA=FullMetadata;charset=utf-8",
        ]),
        _ => spelling.one_of(&["*/*", "application/json", "application/json, text/plain, */*"]),
    };
    let language = meaning.language.map(|language| {
        let spaced = language.replace(',', spelling.one_of(&[",", ", ", " ,\t"]));
        spelling.case(&spaced)
    });
    let trace = spelling.below(1_000).to_string();
    let fields = [
        ("OUN", meaning.oun.map(str::to_owned)),
        ("Accept-Language", language),
        ("Accept", Some(accept.to_owned())),
        ("OData-MaxVersion", meaning.max_version.map(str::to_owned)),
        ("Prefer", meaning.prefer.map(str::to_owned)),
        ("RequestId", Some(trace)),
        ("Content-Type", (*method == Method::POST).then(|| "application/json".to_owned())),
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        if let Some(value) = value {
            let name = HeaderName::from_bytes(spelling.case(name).as_bytes()).unwrap();
            headers.insert(name, HeaderValue::from_str(&value).unwrap());
        }
    }
    headers
}
