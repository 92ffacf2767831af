//! The pass over an answer's body.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Answer, AnswerError, MAX_IDS, NextLink};
use crate::dependency::Id;
use crate::operation::IdKind;

pub(super) fn scan(body: &[u8], records: Option<IdKind>) -> Result<Answer, AnswerError> {
    let mut scan = Scan { body, records, answer: Answer::default(), count: 0, refusal: None };
    let mut document = serde_json::Deserializer::from_slice(body);
    let read = Node { scan: &mut scan, place: Place::Root, is_id: false }
        .deserialize(&mut document)
        .and_then(|_| document.end());
    match (scan.refusal, read) {
        (Some(refusal), _) => Err(refusal),
        (None, Err(_)) => Err(AnswerError::Malformed),
        (None, Ok(())) => {
            let mut answer = scan.answer;
            answer.ids.settle();
            answer.pairs.settle();
            Ok(answer)
        }
    }
}

struct Scan<'b> {
    body: &'b [u8],
    /// What an entity's `RecordId` is an id of.
    records: Option<IdKind>,
    answer: Answer,
    count: usize,
    /// Why the pass was ended.
    refusal: Option<AnswerError>,
}

impl Scan<'_> {
    fn refuse<E: Error>(&mut self, refusal: AnswerError) -> E {
        self.refusal = Some(refusal);
        E::custom(refusal)
    }

    fn count<E: Error>(&mut self) -> Result<(), E> {
        self.count += 1;
        if self.count > MAX_IDS { Err(self.refuse(AnswerError::TooManyIds)) } else { Ok(()) }
    }

    fn add<E: Error>(&mut self, kind: IdKind, id: Id) -> Result<(), E> {
        if self.answer.ids.add(kind, id) { self.count() } else { Ok(()) }
    }

    /// Notes the products and the item number of one object.
    fn pair<E: Error>(&mut self, mut products: Vec<Id>, item: Option<Id>) -> Result<(), E> {
        products.retain(|id| *id != Id::Number(0));
        for id in &products {
            self.add(IdKind::Product, id.clone())?;
        }
        if let Some(id) = &item {
            self.add(IdKind::Item, id.clone())?;
        }
        self.answer.pairs.add(products, item);
        Ok(())
    }

    /// Notes where a link's literal stands in the body.
    fn link<E: Error>(&mut self, literal: &RawValue) -> Result<(), E> {
        let Ok(url) = serde_json::from_str::<Box<str>>(literal.get()) else {
            return Ok(());
        };
        self.count()?;
        // The literal is borrowed from the body, so their addresses tell its place.
        let start = (literal.get().as_ptr().addr()).wrapping_sub(self.body.as_ptr().addr());
        let literal = start..start + literal.get().len();
        self.answer.next_links.push(NextLink { literal, url });
        Ok(())
    }
}

/// Where a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The whole body: an entity, or the object around a list of them.
    Root,
    /// The list of entities.
    Entities,
    /// One of them.
    Entity,
    /// Within an entity.
    Inside,
}

/// What a member's name says of its value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    /// `RecordId`, whose kind depends on the entity.
    Record,
    /// Another id.
    Of(IdKind),
    NextLink,
    Attributes,
    Value,
    Error,
    Other,
}

/// What a value turned out to be.
enum Found {
    Id(Id),
    /// A list or an object that is not empty.
    Content,
    Nothing,
}

/// One value.
struct Node<'s, 'b> {
    scan: &'s mut Scan<'b>,
    place: Place,
    /// Whether the value is an id. No other text is kept.
    is_id: bool,
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Found, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Found, E> {
        Ok(Found::Nothing)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Found, E> {
        Ok(Found::Nothing)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Found, E> {
        Ok(Found::Nothing)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Found, E> {
        Ok(Found::Id(Id::Number(number)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Found, E> {
        match i64::try_from(number) {
            Ok(number) => Ok(Found::Id(Id::Number(number))),
            Err(_) => self.visit_str(&number.to_string()),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Found, E> {
        let id = if self.is_id { Id::of_text(text) } else { None };
        Ok(id.map_or(Found::Nothing, Found::Id))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Found, A::Error> {
        let place = match self.place {
            Place::Root | Place::Entities => Place::Entity,
            Place::Entity | Place::Inside => Place::Inside,
        };
        let Self { scan, is_id, .. } = self;
        let mut found = Found::Nothing;
        while list.next_element_seed(Node { scan: &mut *scan, place, is_id })?.is_some() {
            found = Found::Content;
        }
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Found, A::Error> {
        let Self { scan, place, .. } = self;
        let mut record = None;
        let mut products = Vec::new();
        let mut item = None;
        while let Some(member) = object.next_key_seed(MemberName)? {
            if member == Member::NextLink {
                scan.link(object.next_value()?)?;
                continue;
            }
            let is_id = matches!(member, Member::Record | Member::Of(_));
            let inner = match (place, member) {
                (Place::Root, Member::Value) => Place::Entities,
                _ => Place::Inside,
            };
            let found = object.next_value_seed(Node { scan: &mut *scan, place: inner, is_id })?;
            match (member, found) {
                (Member::Record, Found::Id(id)) => record = Some(id),
                (Member::Of(IdKind::Product), Found::Id(id)) => products.push(id),
                (Member::Of(IdKind::Item), Found::Id(id)) => item = Some(id),
                (Member::Of(kind), Found::Id(id)) => scan.add(kind, id)?,
                (Member::Attributes, Found::Content) => scan.answer.has_attributes = true,
                (Member::Error, Found::Content) if place == Place::Root => {
                    return Err(scan.refuse(AnswerError::TellsError));
                }
                _ => {}
            }
        }
        // Attributes, dimension values and media have a `RecordId` too. Within an entity it is a
        // product's only where an item number stands beside it.
        let is_entity = matches!(place, Place::Root | Place::Entity);
        match (scan.records, record) {
            (Some(IdKind::Product), Some(id)) if is_entity || item.is_some() => products.push(id),
            (Some(IdKind::Product) | None, _) | (_, None) => {}
            (Some(kind), Some(id)) => scan.add(kind, id)?,
        }
        scan.pair(products, item)?;
        Ok(Found::Content)
    }
}

/// The name of a member, of which only the meaning is kept.
struct MemberName;

impl<'de> DeserializeSeed<'de> for MemberName {
    type Value = Member;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<Member, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for MemberName {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Member, E> {
        Ok(match name {
            "RecordId" => Member::Record,
            "ProductId" | "ListingId" | "MasterProductId" => Member::Of(IdKind::Product),
            "ItemId" => Member::Of(IdKind::Item),
            "InventLocationId" | "InventoryLocationId" => Member::Of(IdKind::Warehouse),
            "ParentCategory" => Member::Of(IdKind::Category),
            "ChannelId" => Member::Of(IdKind::Channel),
            "CatalogId" => Member::Of(IdKind::Catalog),
            "AttributeValues" => Member::Attributes,
            "value" => Member::Value,
            "error" => Member::Error,
            _ if name.ends_with("@odata.nextLink") => Member::NextLink,
            _ => Member::Other,
        })
    }
}
