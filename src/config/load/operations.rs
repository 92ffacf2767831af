//! `[[operation]]`: the shape of each rule; what it means beside the built-in operations is the
//! catalogue's to judge.

use std::collections::BTreeMap;

use http::Method;

use super::LIFETIME;
use crate::config::mistake::Place;
use crate::config::reader::{Field, Section, shown};
use crate::config::values::{boolean, count, duration, list, one_of};
use crate::config::{ClassLifetimes, DecomposeRule, OperationRule};
use crate::odata::is_identifier;
use crate::operation::{Catalogue, Class, Identity};

/// Reads every `[[operation]]`, in order.
pub(super) fn read(root: &Section<'_>, classes: &ClassLifetimes) -> Vec<OperationRule> {
    let rules = root.tables("operation", |section| {
        let before = section.mistakes();
        let rule = rule(section);
        let place = section.field("match").map_or(section.place(), |field| field.place());
        Rule { rule, place, well_formed: section.mistakes() == before }
    });
    note_doubles(root, &rules);

    // What is wrong with a rule that is ill-formed has been told: only the others are judged.
    let (rules, places): (Vec<_>, Vec<_>) = rules
        .into_iter()
        .filter(|rule| rule.well_formed)
        .map(|rule| (rule.rule, rule.place))
        .unzip();
    for error in Catalogue::new(&rules, classes).err().into_iter().flatten() {
        let place = places.get(error.rule).cloned().unwrap_or(root.place());
        root.note(place, "operation.match", format!("{}: {}", shown(&error.name), error.problem));
    }
    rules
}

struct Rule {
    rule: OperationRule,
    place: Place,
    well_formed: bool,
}

fn rule(section: &Section<'_>) -> OperationRule {
    let name = section.get("match", operation_name);
    if section.field("match").is_none() {
        let message = "missing: the operation's name, such as \"Products/GetActivePrices\"";
        section.note(section.place(), "match", message);
    }
    let method = |field: &Field<'_>| match one_of([("GET", false), ("POST", true)])(field)? {
        false => Some(Method::GET),
        true => Some(Method::POST),
    };
    OperationRule {
        name: name.unwrap_or_default(),
        method: section.get("method", method),
        class: section.get("class", one_of(Class::ALL.map(|class| (class.as_str(), class)))),
        fresh_for: section.get("fresh_for", duration(LIFETIME)),
        stale_while_revalidate: section.get("stale_while_revalidate", duration(LIFETIME)),
        stale_if_error: section.get("stale_if_error", duration(LIFETIME)),
        identity: section.get("identity", identity),
        sets: section.get("sets", list(body_path)),
        decompose: section.table("decompose", decompose),
        cache: section.get("cache", boolean),
    }
}

fn decompose(section: &Section<'_>) -> DecomposeRule {
    DecomposeRule {
        enabled: section.get("enabled", boolean),
        list: section.get("list", body_path),
        list_id: section.get("list_id", member),
        items: section.get("items", |field| {
            let items = list(member)(field)?;
            if items.is_empty() { field.refuse("must name an array at least") } else { Some(items) }
        }),
        item_id: section.get("item_id", member),
        max_ids: section.get("max_ids", count(1..=1_000)),
    }
}

/// Notes rules about what an earlier one is about. A function and an action may share a name.
fn note_doubles(root: &Section<'_>, rules: &[Rule]) {
    let mut seen: BTreeMap<&str, Vec<Option<&Method>>> = BTreeMap::new();
    for Rule { rule, place, .. } in rules.iter().filter(|rule| !rule.rule.name.is_empty()) {
        let method = rule.method.as_ref();
        let earlier = seen.entry(&rule.name).or_default();
        if earlier.iter().any(|other| method.is_none() || other.is_none() || *other == method) {
            let message = format!("{} has an [[operation]] already", shown(&rule.name));
            root.note(place.clone(), "operation.match", message);
        }
        earlier.push(method);
    }
}

/// `EntitySet/Operation` or `Operation`.
fn operation_name(field: &Field<'_>) -> Option<String> {
    let what = "an operation's name such as \"Products/GetActivePrices\" or \"GetChannels\"";
    let text = field.text(what)?;
    if text.split('/').count() <= 2 && text.split('/').all(is_identifier) {
        return Some(text.to_owned());
    }
    field.refuse(format!("must be {what}, not {}", shown(text)))
}

/// A dotted path into a body.
fn body_path(field: &Field<'_>) -> Option<String> {
    let what = "a dotted path of body parameters such as \"searchCriteria.ProductIds\"";
    let text = field.text(what)?;
    if text.split('.').all(is_identifier) {
        return Some(text.to_owned());
    }
    field.refuse(format!("must be {what}, not {}", shown(text)))
}

/// The name of one member.
fn member(field: &Field<'_>) -> Option<String> {
    let what = "the name of a member such as \"ProductId\"";
    let text = field.text(what)?;
    if is_identifier(text) {
        return Some(text.to_owned());
    }
    field.refuse(format!("must be {what}, not {}", shown(text)))
}

fn identity(field: &Field<'_>) -> Option<Identity> {
    if field.is("claims") {
        return field.refuse(
            "\"claims\" is not available in this version: write \"bypass\", \"token\" or \"shared\"",
        );
    }
    let rules = [Identity::Bypass, Identity::Token, Identity::Shared];
    one_of(rules.map(|rule| (rule.as_str(), rule)))(field)
}
