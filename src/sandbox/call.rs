//! One call of an operation: its parameters, read by type, and in whose name it is made.

use serde_json::{Map, Value};

use super::assortment::Product;
use super::company::{Affiliation, Catalogue, Channel, Customer};
use super::language::Language;
use super::problem::Problem;
use super::shop::{PriceContext, Quote, Shop};
use crate::clock::Timestamp;

/// What a parameter must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Int,
    Text,
    Flag,
    Instant,
    Ints,
    Texts,
    Object,
    Objects,
    Any,
}

impl Kind {
    const fn expects(self) -> &'static str {
        match self {
            Self::Int => "an integer",
            Self::Text => "text",
            Self::Flag => "true or false",
            Self::Instant => "a date and time",
            Self::Ints => "a list of integers",
            Self::Texts => "a list of texts",
            Self::Object => "an object",
            Self::Objects => "a list of objects",
            Self::Any => "a value",
        }
    }

    fn admits(self, value: &Value) -> bool {
        let all = |test: fn(&Value) -> bool| value.as_array().is_some_and(|v| v.iter().all(test));
        match self {
            Self::Int => value.is_i64(),
            Self::Text => value.is_string(),
            Self::Flag => value.is_boolean(),
            Self::Instant => value.as_str().is_some_and(|s| Timestamp::parse_rfc3339(s).is_some()),
            Self::Ints => all(Value::is_i64),
            Self::Texts => all(Value::is_string),
            Self::Object => value.is_object(),
            Self::Objects => all(Value::is_object),
            Self::Any => true,
        }
    }
}

/// A parameter that an operation declares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) is_required: bool,
}

/// Checks what was given against what is declared. Undeclared parameters are let through: clients
/// of several versions call the same server.
pub(crate) fn validate(declared: &[Parameter], given: &Map<String, Value>) -> Result<(), Problem> {
    for &Parameter { name, kind, is_required } in declared {
        match member(given, name) {
            None | Some(Value::Null) if is_required => return Err(Problem::MissingParameter(name)),
            None | Some(Value::Null) => {}
            Some(value) if kind.admits(value) => {}
            Some(_) => return Err(Problem::IllTypedParameter { name, expects: kind.expects() }),
        }
    }
    Ok(())
}

/// A call whose parameters were validated.
pub(crate) struct Call<'a> {
    pub(crate) shop: &'a Shop,
    pub(crate) channel: &'static Channel,
    pub(crate) catalogue: Option<&'static Catalogue>,
    pub(crate) language: Language,
    /// The signed-in customer.
    pub(crate) caller: Option<&'static Customer>,
    pub(crate) entity_key: Option<Value>,
    pub(crate) parameters: Map<String, Value>,
    pub(crate) now: Timestamp,
}

impl<'a> Call<'a> {
    /// Settles channel, catalogue and customer. The `ChannelId` of a body wins over the header.
    pub(crate) fn new(
        shop: &'a Shop,
        operating_unit: Option<&str>,
        language: Language,
        caller: Option<&'static Customer>,
        entity_key: Option<Value>,
        parameters: Map<String, Value>,
    ) -> Result<Self, Problem> {
        let from_header = match operating_unit {
            None => Channel::default_channel(),
            Some(number) => Channel::by_operating_unit(number)
                .ok_or_else(|| Problem::UnknownChannel(number.to_owned()))?,
        };
        let channel = match find_id(&parameters, "ChannelId") {
            None | Some(0) => from_header,
            Some(id) => {
                Channel::by_id(id).ok_or_else(|| Problem::UnknownChannel(id.to_string()))?
            }
        };
        let mut call = Self {
            shop,
            channel,
            catalogue: None,
            language,
            caller,
            entity_key,
            parameters,
            now: shop.clock.now(),
        };
        call.catalogue = call.settle_catalogue()?;
        Ok(call)
    }

    /// A signed-in customer must name a catalogue, and one of its own or everybody's.
    fn settle_catalogue(&self) -> Result<Option<&'static Catalogue>, Problem> {
        let id = match find_id(&self.parameters, "CatalogId") {
            None => return Ok(None),
            Some(0) if self.caller.is_some() => return Err(Problem::CatalogueZeroRefused),
            Some(0) => return Ok(None),
            Some(id) => id,
        };
        let catalogue = Catalogue::by_id(id).ok_or(Problem::UnknownCatalogue(id))?;
        let customer = self.customer()?.map(|customer| customer.account);
        match catalogue.owner {
            Some(_) if catalogue.owner != customer => Err(Problem::NotYours),
            _ => Ok(Some(catalogue)),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        member(&self.parameters, name)
    }

    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        self.get(name)?.as_i64()
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    pub(crate) fn ints(&self, name: &str) -> impl Iterator<Item = i64> {
        self.list(name).iter().filter_map(Value::as_i64)
    }

    pub(crate) fn list(&self, name: &str) -> &[Value] {
        self.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The products of an id list, in its order, without the ids that stand for none.
    pub(crate) fn products(&self, name: &str) -> Vec<Product> {
        self.ints(name).filter_map(|id| self.shop.assortment.by_record_id(id)).collect()
    }

    /// The product in the key predicate.
    pub(crate) fn product(&self) -> Option<Product> {
        self.shop.assortment.by_record_id(self.entity_key.as_ref()?.as_i64()?)
    }

    /// The customer that the parameters name, else the one signed in. Nobody may name another.
    pub(crate) fn customer(&self) -> Result<Option<&'static Customer>, Problem> {
        let named = ["customerId", "customerAccountNumber", "customer"]
            .into_iter()
            .find_map(|name| match self.get(name)? {
                Value::String(account) => Some(account.as_str()),
                value => field(value, "AccountNumber")?.as_str(),
            })
            .filter(|account| !account.is_empty());
        let Some(account) = named else { return Ok(self.caller) };
        match self.caller {
            Some(caller) if caller.account != account => Err(Problem::NotYours),
            _ => Customer::by_account(account)
                .map(Some)
                .ok_or_else(|| Problem::UnknownCustomer(account.to_owned())),
        }
    }

    /// The price that product and search answers embed.
    pub(crate) fn embedded_quote(&self, product: Product) -> Quote {
        let context =
            PriceContext { channel: self.channel, customer: self.caller, affiliation: None };
        self.shop.quote(product, context)
    }

    /// For the customer that the parameters name and for the affiliation that gives most: of those
    /// they name, else the customer's own.
    pub(crate) fn price_context(&self) -> Result<PriceContext, Problem> {
        let tiers = ["affiliationLoyaltyTiers", "tiers"].into_iter().flat_map(|n| self.list(n));
        let affiliation = tiers
            .filter_map(|tier| Affiliation::by_id(field(tier, "AffiliationId")?.as_i64()?))
            .max_by_key(|affiliation| affiliation.percent);
        let customer = self.customer()?;
        let own = customer.map(|customer| customer.affiliation);
        Ok(PriceContext { channel: self.channel, customer, affiliation: affiliation.or(own) })
    }
}

/// A member of an object, its name without regard to case, as the server's JSON reader has it.
pub(crate) fn field<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    member(value.as_object()?, name)
}

fn member<'v>(object: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    object.get(name).or_else(|| {
        object.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    })
}

/// The first integer of that name in the parameters or in the objects among them. The parser
/// limits how deep they nest.
fn find_id(object: &Map<String, Value>, name: &str) -> Option<i64> {
    let here = member(object, name).and_then(Value::as_i64);
    here.or_else(|| object.values().filter_map(Value::as_object).find_map(|o| find_id(o, name)))
}
