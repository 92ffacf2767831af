//! `[generic]`: what happens to requests that the catalogue does not know.

use super::{DAY, LIFETIME};
use crate::config::reader::{Field, Section};
use crate::config::values::{boolean, count, duration, header_name, list, one_of};
use crate::config::{Generic, GenericPolicy, RequestFields};

pub(super) fn read(section: &Section<'_>) -> Generic {
    let mut generic = Generic::default();
    let policies = one_of([("pass", GenericPolicy::Pass), ("rfc9111", GenericPolicy::Rfc9111)]);
    section.set("policy", &mut generic.policy, policies);
    section.set("targets", &mut generic.targets, list(header_name));
    section.set("request_fields", &mut generic.request_fields, request_fields);
    section.set("heuristic_percent", &mut generic.heuristic_percent, count(0..=100));
    section.set("heuristic_max", &mut generic.heuristic_max, duration(LIFETIME));
    section.set("max_fresh_for", &mut generic.max_fresh_for, duration(LIFETIME));
    section.set("keep_for", &mut generic.keep_for, duration(LIFETIME));
    section.set(
        "stale_if_error",
        &mut generic.stale_if_error,
        duration(std::time::Duration::ZERO..=DAY),
    );
    section.set("store_set_cookie", &mut generic.store_set_cookie, boolean);
    generic
}

fn request_fields(field: &Field<'_>) -> Option<RequestFields> {
    let elements = field.elements()?;
    if !elements.iter().any(|element| element.is("*")) {
        return list(header_name)(field).map(RequestFields::Listed);
    }
    match elements.len() {
        1 => Some(RequestFields::All),
        _ => field.refuse("\"*\" stands for every field: it stands alone"),
    }
}
