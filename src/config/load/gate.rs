//! `[origin.gate]`.

use super::{DAY, HOUR, MILLISECOND, SECOND, WAIT};
use crate::config::reader::Section;
use crate::config::values::{count, duration};
use crate::config::{Budget, Gate};

pub(super) fn read(section: &Section<'_>) -> Gate {
    let mut gate = Gate { budget: budget(section), ..Gate::default() };
    section.set("min_in_flight", &mut gate.min_in_flight, count(1..=10_000));
    section.set("max_in_flight", &mut gate.max_in_flight, count(1..=10_000));
    section.set("longest_retry_after", &mut gate.longest_retry_after, duration(SECOND..=HOUR));
    section.set("broken_after", &mut gate.broken_after, count(1..=1_000));
    let probes = duration(10 * MILLISECOND..=60 * SECOND);
    section.set("probe_every", &mut gate.probe_every, probes);
    section.set("max_waiting", &mut gate.max_waiting, count(0..=100_000));
    section.set("max_wait", &mut gate.max_wait, duration(WAIT));

    if gate.min_in_flight > gate.max_in_flight {
        let message = format!(
            "min_in_flight ({}) is more than max_in_flight ({})",
            gate.min_in_flight, gate.max_in_flight
        );
        note(section, ["min_in_flight", "max_in_flight"], message);
    }
    gate
}

/// `None` without `requests`, or with a mistake.
fn budget(section: &Section<'_>) -> Option<Budget> {
    // One for the burst, and one that comes in later: without it there would never be another.
    let requests = section.get("requests", count(2..=100_000_000));
    let per = section.get("per", duration(SECOND..=DAY)).unwrap_or(Budget::PER);
    let given_burst = section.get("burst", count(1..=100_000_000));
    if section.field("requests").is_none()
        && let Some(field) = section.field("burst")
    {
        return field.refuse("belongs to requests: without that, there is no budget");
    }
    let requests = requests?;
    let burst = given_burst.unwrap_or_else(|| Budget::usual_burst(requests));
    if burst >= requests {
        let message = format!(
            "burst ({burst}) must be less than requests ({requests}): the rest is what comes in \
             evenly"
        );
        note(section, ["burst", "requests"], message);
    }
    Some(Budget { requests, per, burst })
}

/// Notes a mistake at the first of these keys that was given.
fn note(section: &Section<'_>, names: [&'static str; 2], message: String) {
    let given = |name: &&'static str| section.field(name).map(|field| (*name, field.place()));
    if let Some((name, place)) = names.iter().find_map(given) {
        section.note(place, name, message);
    }
}
