//! Push events.

use bytes::Bytes;
use csu_edge::ingest::DeadLetter;
use csu_edge::ingest::delivery::{Content, Delivered, Form, read_delivery};
use csu_edge::ingest::effect::effect_of;
use csu_edge::ingest::event::{DeadLetterReason, Event, Subject, is_known_type};
use csu_edge::operation::Class;
use csu_edge::purge::PurgeMode;
use csu_edge::tag::{Tag, TagKind};

use super::{NOW, header_lines};

const MAX_EVENTS: usize = 8;

/// What a dead letter keeps of an event, and some room for its other members.
const MAX_LETTER_BYTES: usize = 128 << 10;

/// An input is header lines, an empty line, and a body.
pub fn events(input: &[u8]) {
    let Some((headers, body)) = header_lines(input) else { return };
    let body = Bytes::copy_from_slice(body);
    let delivery = read_delivery(&headers, &body, MAX_EVENTS, NOW);
    assert_eq!(read_delivery(&headers, &body, MAX_EVENTS, NOW), delivery, "the same every time");
    match delivery {
        Ok(events) => {
            assert!(events.len() <= MAX_EVENTS);
            events.iter().for_each(check_event);
        }
        Err(unreadable) => assert!(!unreadable.to_string().is_empty()),
    }
}

fn check_event(delivered: &Delivered) {
    assert!(!delivered.type_name.is_empty());
    assert_eq!(delivered.identity.is_some(), delivered.form == Form::CloudEvents);
    match &delivered.content {
        Content::Event(event) => {
            assert_eq!(event.subject.as_str(), delivered.type_name);
            check_effect(event);
        }
        Content::DeadLetter { reason, event } => {
            let expected = match reason {
                DeadLetterReason::UnknownType => false,
                DeadLetterReason::UnknownJob => true,
            };
            assert_eq!(is_known_type(&delivered.type_name), expected);
            let identity = delivered.identity.as_ref();
            let letter = DeadLetter::new(NOW, *reason, &delivered.type_name, identity, event);
            assert!(letter.to_json().to_string().len() <= MAX_LETTER_BYTES);
        }
    }
}

fn check_effect(event: &Event) {
    let effect = effect_of(event);
    assert_eq!(effect_of(event), effect, "the same every time");
    let named = match &event.subject {
        Subject::Tags(tags) => tags.len(),
        _ => event.ids.len(),
    };
    let Ok(effect) = effect else {
        // A job or a list of tags says by itself what it purges.
        assert!(!matches!(event.subject, Subject::Job(_)), "a job purges something");
        return;
    };
    assert!(!effect.at_once.is_empty(), "an event that is accepted purges something at once");
    // For each id a tag in each class; in each class `?` for each kind, and the class.
    let most = Class::ALL.len() * (named + TagKind::ALL.len() + 1);
    assert!(effect.len() <= most, "{} tags of {named} names", effect.len());

    let requests = [&effect.at_once, &effect.gathered];
    let hard = requests.iter().flat_map(|request| &request.hard);
    let soft = requests.iter().flat_map(|request| &request.soft);
    for (tag, mode) in
        hard.map(|tag| (tag, PurgeMode::Hard)).chain(soft.map(|tag| (tag, PurgeMode::Soft)))
    {
        assert_eq!(Tag::parse(tag.as_str()).as_ref(), Ok(tag), "in the grammar of tags");
        assert_eq!(mode, event.mode.unwrap_or_else(|| PurgeMode::for_tag(tag)));
    }
    names_the_goods(event, &effect.at_once.hard, &effect.at_once.soft);
}

/// Every product and item of an event about prices, stock or products is purged in its class.
fn names_the_goods(event: &Event, hard: &[Tag], soft: &[Tag]) {
    let class = match event.subject {
        Subject::Price => Class::Price,
        Subject::Inventory => Class::Inventory,
        Subject::Product => Class::Product,
        _ => return,
    };
    for kind in [TagKind::Product, TagKind::Item] {
        for id in event.ids.of(kind) {
            let tag = Tag::new(class, kind, id);
            assert!(hard.contains(&tag) || soft.contains(&tag), "{tag} is not purged");
        }
    }
}
