//! What an event says, once it is read: its subject, the ids that it names, and how and when it
//! is to be applied.
//!
//! Members are read one by one from the JSON value, so that a mistake is told with its path.
//! RecIds are 64-bit integers and stay exact: a number that is no such integer is refused.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::operation::Class;
use crate::purge::PurgeMode;
use crate::tag::{MAX_ID_BYTES, Tag, TagKind};

/// The furthest an `effectiveAt` may lie ahead: what is further is a mistake.
const MAX_AHEAD: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// What an event is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject {
    /// Prices changed.
    Price,
    /// Stock changed.
    Inventory,
    /// Products changed.
    Product,
    /// Categories changed.
    Category,
    /// Catalogues changed.
    Catalog,
    /// Channels changed.
    Channel,
    /// Customers changed.
    Customer,
    /// A distribution job was applied to the channel database.
    Job(Job),
    /// Searches are to be made new (short form only).
    Search,
    /// Configuration is to be made new (short form only).
    Configuration,
    /// Tags, as an operator writes them (short form only).
    Tags(Vec<Tag>),
}

impl Subject {
    /// The event's type; for what only the short form can say, its word there.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Price => "csu.cdx.price.changed",
            Self::Inventory => "csu.cdx.inventory.changed",
            Self::Product => "csu.cdx.product.changed",
            Self::Category => "csu.cdx.category.changed",
            Self::Catalog => "csu.cdx.catalog.changed",
            Self::Channel => "csu.cdx.channel.changed",
            Self::Customer => "csu.cdx.customer.changed",
            Self::Job(_) => JOB_APPLIED,
            Self::Search => "search",
            Self::Configuration => "configuration",
            Self::Tags(_) => "tags",
        }
    }

    /// The subject of a type, jobs aside.
    fn of_type(name: &str) -> Option<Self> {
        let subjects = [
            Self::Price,
            Self::Inventory,
            Self::Product,
            Self::Category,
            Self::Catalog,
            Self::Channel,
            Self::Customer,
        ];
        subjects.into_iter().find(|subject| subject.as_str() == name)
    }

    fn of_class(class: Class) -> Self {
        match class {
            Class::Price => Self::Price,
            Class::Inventory => Self::Inventory,
            Class::Search => Self::Search,
            Class::Product => Self::Product,
            Class::Category => Self::Category,
            Class::Configuration => Self::Configuration,
        }
    }
}

const JOB_APPLIED: &str = "csu.cdx.job.applied";

/// The distribution schedule's jobs that fill what this cache holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Job {
    /// 1040.
    Products,
    /// 1020, prices and discounts.
    Prices,
    /// 1130.
    Availability,
    /// 1070.
    ChannelConfiguration,
    /// 1110.
    GlobalConfiguration,
    /// 1150.
    Catalogs,
    /// 9999.
    All,
}

impl Job {
    fn of_number(number: &str) -> Option<Self> {
        Some(match number {
            "1040" => Self::Products,
            "1020" => Self::Prices,
            "1130" => Self::Availability,
            "1070" => Self::ChannelConfiguration,
            "1110" => Self::GlobalConfiguration,
            "1150" => Self::Catalogs,
            "9999" => Self::All,
            _ => return None,
        })
    }
}

/// The ids that an event names, by kind.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ids([Vec<String>; TagKind::ALL.len()]);

impl Ids {
    /// The ids of one kind, in the event's order.
    #[allow(clippy::indexing_slicing, reason = "one element for each variant of `TagKind`")]
    pub fn of(&self, kind: TagKind) -> &[String] {
        &self.0[kind as usize]
    }

    /// How many ids are named in all.
    pub fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// Whether no id is named.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[allow(clippy::indexing_slicing, reason = "one element for each variant of `TagKind`")]
    fn set(&mut self, kind: TagKind, ids: Vec<String>) {
        self.0[kind as usize] = ids;
    }
}

/// An event, read and checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// What it is about.
    pub subject: Subject,
    /// The ids that it names.
    pub ids: Ids,
    /// How it is to be applied; absent, each class's own way.
    pub mode: Option<PurgeMode>,
    /// When the change takes effect, if it says.
    pub effective_at: Option<Timestamp>,
}

/// Why an event is kept aside instead of being applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeadLetterReason {
    /// A type that this contract does not have.
    UnknownType,
    /// A job whose content is not known.
    UnknownJob,
}

impl DeadLetterReason {
    /// Every reason.
    pub const ALL: [Self; 2] = [Self::UnknownType, Self::UnknownJob];

    /// The reason, for the list and the metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownType => "unknown-type",
            Self::UnknownJob => "unknown-job",
        }
    }
}

/// A mistake in one member of an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldError {
    /// The member's path within the event, such as `products[1]`; absent, the event as a whole.
    pub field: Option<String>,
    /// What is wrong.
    pub reason: String,
}

impl FieldError {
    /// A mistake in the member at `field`.
    pub fn at(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: Some(field.into()), reason: reason.into() }
    }

    /// A mistake that lies in no single member.
    pub fn whole(reason: impl Into<String>) -> Self {
        Self { field: None, reason: reason.into() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "`{field}`: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

/// How an id is written in JSON.
#[derive(Clone, Copy)]
enum IdForm {
    /// A 64-bit integer, as a number or as a string.
    RecId,
    /// A string: as a number it would lose its leading zeros.
    Text,
    /// A string, or a 64-bit integer.
    TextOrRecId,
}

const ID_MEMBERS: [(&str, TagKind, IdForm); 8] = [
    ("products", TagKind::Product, IdForm::RecId),
    ("items", TagKind::Item, IdForm::Text),
    ("warehouses", TagKind::Warehouse, IdForm::Text),
    ("categories", TagKind::Category, IdForm::RecId),
    ("channels", TagKind::Channel, IdForm::TextOrRecId),
    ("catalogs", TagKind::Catalog, IdForm::RecId),
    ("customers", TagKind::Customer, IdForm::Text),
    ("priceGroups", TagKind::PriceGroup, IdForm::TextOrRecId),
];

/// The members that go with the ids in every form.
const COMMON_MEMBERS: [&str; 3] = ["dataAreaId", "effectiveAt", "mode"];

/// Reads the `data` of a CloudEvent. Members that the contract does not have are ignored, so that
/// a sender may be ahead of this node.
///
/// # Errors
/// The member that is wrong. The inner result is `Err` for what is to be kept aside.
pub fn read_typed(
    type_name: &str,
    members: &Map<String, Value>,
    now: Timestamp,
) -> Result<Result<Event, DeadLetterReason>, FieldError> {
    let subject = match Subject::of_type(type_name) {
        Some(subject) => subject,
        None if type_name == JOB_APPLIED => match Job::of_number(&read_job(members)?) {
            Some(job) => Subject::Job(job),
            None => return Ok(Err(DeadLetterReason::UnknownJob)),
        },
        None => return Ok(Err(DeadLetterReason::UnknownType)),
    };
    read_event(subject, members, now).map(Ok)
}

/// Whether the contract has this type.
pub fn is_known_type(type_name: &str) -> bool {
    type_name == JOB_APPLIED || Subject::of_type(type_name).is_some()
}

/// Reads an event in the short form, which hands write: a member that the form does not have is
/// a mistake.
///
/// # Errors
/// As [`read_typed`].
pub fn read_short(
    members: &Map<String, Value>,
    now: Timestamp,
) -> Result<Result<Event, DeadLetterReason>, FieldError> {
    let heads: Vec<&str> =
        ["class", "type", "tags"].into_iter().filter(|name| members.contains_key(*name)).collect();
    let [head] = heads.as_slice() else {
        return Err(FieldError::whole("needs exactly one of `class`, `type` and `tags`"));
    };
    match *head {
        "class" => {
            refuse_unknown_members(members, "class", true)?;
            let name = read_text(members, "class")?.unwrap_or_default();
            let class = Class::parse(name).ok_or_else(|| {
                let known = Class::ALL.map(Class::as_str).join(", ");
                FieldError::at("class", format!("must be one of {known}"))
            })?;
            read_event(Subject::of_class(class), members, now).map(Ok)
        }
        "type" => {
            let name = read_text(members, "type")?.unwrap_or_default();
            if name.is_empty() {
                return Err(FieldError::at("type", "must not be empty"));
            }
            if is_known_type(name) {
                refuse_unknown_members(members, "type", true)?;
            }
            read_typed(name, members, now)
        }
        _ => {
            refuse_unknown_members(members, "tags", false)?;
            let tags = read_tags(members)?;
            read_event(Subject::Tags(tags), members, now).map(Ok)
        }
    }
}

fn read_event(
    subject: Subject,
    members: &Map<String, Value>,
    now: Timestamp,
) -> Result<Event, FieldError> {
    read_text(members, "dataAreaId")?;
    let mut ids = Ids::default();
    for (name, kind, form) in ID_MEMBERS {
        ids.set(kind, read_ids(members, name, form)?);
    }
    Ok(Event {
        subject,
        ids,
        mode: read_mode(members)?,
        effective_at: read_effective_at(members, now)?,
    })
}

fn refuse_unknown_members(
    members: &Map<String, Value>,
    head: &str,
    with_ids: bool,
) -> Result<(), FieldError> {
    let is_job = members.get("type").and_then(Value::as_str) == Some(JOB_APPLIED);
    let known = |name: &str| {
        name == head
            || COMMON_MEMBERS.contains(&name)
            || (with_ids && ID_MEMBERS.iter().any(|(id_member, ..)| *id_member == name))
            || (is_job && name == "job")
    };
    match members.keys().find(|name| !known(name)) {
        Some(name) => Err(FieldError::at(name.as_str(), "is not known here")),
        None => Ok(()),
    }
}

/// A member's value; `null`, which flows send for what they leave out, counts as absent.
fn value_of<'m>(members: &'m Map<String, Value>, name: &str) -> Option<&'m Value> {
    members.get(name).filter(|value| !value.is_null())
}

/// Reads a member that is a string if it is there.
///
/// # Errors
/// When it is something else.
pub fn read_text<'m>(
    members: &'m Map<String, Value>,
    name: &str,
) -> Result<Option<&'m str>, FieldError> {
    match value_of(members, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(FieldError::at(name, "must be a string")),
    }
}

/// Reads a member that is a list if it is there.
fn read_list<'m>(members: &'m Map<String, Value>, name: &str) -> Result<&'m [Value], FieldError> {
    match value_of(members, name) {
        None => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(FieldError::at(name, "must be a list")),
    }
}

fn read_ids(
    members: &Map<String, Value>,
    name: &str,
    form: IdForm,
) -> Result<Vec<String>, FieldError> {
    let list = read_list(members, name)?.iter().enumerate();
    list.map(|(at, value)| {
        read_id(value, form).map_err(|reason| FieldError::at(format!("{name}[{at}]"), reason))
    })
    .collect()
}

fn read_id(value: &Value, form: IdForm) -> Result<String, String> {
    const NO_REC_ID: &str = "must be a RecId: a 64-bit integer, as a number or a string";
    match (form, value) {
        (IdForm::RecId | IdForm::TextOrRecId, Value::Number(number)) => {
            number.as_i64().map(|id| id.to_string()).ok_or_else(|| NO_REC_ID.to_owned())
        }
        (IdForm::RecId, Value::String(text)) => {
            text.parse::<i64>().map(|id| id.to_string()).map_err(|_| NO_REC_ID.to_owned())
        }
        (IdForm::RecId, _) => Err(NO_REC_ID.to_owned()),
        (IdForm::Text | IdForm::TextOrRecId, Value::String(text)) => {
            if text.is_empty() || text.len() > MAX_ID_BYTES {
                return Err(format!("must be of 1 to {MAX_ID_BYTES} bytes"));
            }
            Ok(text.clone())
        }
        (IdForm::Text, _) => Err("must be a string".to_owned()),
        (IdForm::TextOrRecId, _) => Err("must be a string or an integer".to_owned()),
    }
}

fn read_job(members: &Map<String, Value>) -> Result<String, FieldError> {
    match value_of(members, "job") {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(Value::Number(number)) if number.is_i64() => Ok(number.to_string()),
        Some(_) => Err(FieldError::at("job", "must be a job's number, as a number or a string")),
        None => Err(FieldError::at("job", "is missing")),
    }
}

fn read_mode(members: &Map<String, Value>) -> Result<Option<PurgeMode>, FieldError> {
    let Some(name) = read_text(members, "mode")? else { return Ok(None) };
    let mode = PurgeMode::parse(name);
    mode.map(Some).ok_or_else(|| FieldError::at("mode", "must be \"hard\" or \"soft\""))
}

fn read_effective_at(
    members: &Map<String, Value>,
    now: Timestamp,
) -> Result<Option<Timestamp>, FieldError> {
    let Some(text) = read_text(members, "effectiveAt")? else { return Ok(None) };
    let moment = Timestamp::parse_rfc3339(text)
        .ok_or_else(|| FieldError::at("effectiveAt", "must be an RFC 3339 date-time"))?;
    if moment.saturating_since(now) > MAX_AHEAD {
        return Err(FieldError::at("effectiveAt", "must be at most 366 days ahead"));
    }
    Ok(Some(moment))
}

fn read_tags(members: &Map<String, Value>) -> Result<Vec<Tag>, FieldError> {
    let list = read_list(members, "tags")?.iter().enumerate();
    list.map(|(at, value)| {
        let field = || format!("tags[{at}]");
        let text = value.as_str().ok_or_else(|| FieldError::at(field(), "must be a string"))?;
        Tag::parse(text).map_err(|error| FieldError::at(field(), error.to_string()))
    })
    .collect()
}
