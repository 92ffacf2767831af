//! `[origin.gate]`.

use std::time::Duration;

use csu_edge::config::{Budget, Gate};

use super::{LEAST, assert_mistake, parse};

fn gate(text: &str) -> Gate {
    parse(&format!("{LEAST}[origin.gate]\n{text}"), &[]).unwrap().origin.gate
}

#[test]
fn without_figures_there_is_no_budget() {
    assert_eq!(gate("").budget, None);
    assert_eq!(gate("per = '1m'").budget, None);
}

#[test]
fn a_budget_has_a_span_and_a_burst_of_its_own() {
    let minute = Duration::from_secs(60);
    for (text, requests, per, burst) in [
        ("requests = 6000", 6_000, 5 * minute, 600),
        ("requests = 9\nper = '1m'", 9, minute, 1),
        ("requests = 2\nper = '1s'\nburst = 1", 2, Duration::from_secs(1), 1),
        ("requests = 100\nburst = 99", 100, 5 * minute, 99),
    ] {
        assert_eq!(gate(text).budget, Some(Budget { requests, per, burst }), "{text}");
    }
}

#[test]
fn every_setting_of_the_gate_is_read() {
    let gate = gate(
        "min_in_flight = 7\nmax_in_flight = 7\nlongest_retry_after = '10m'\nbroken_after = 3\n\
         probe_every = '250ms'\nmax_waiting = 0\nmax_wait = '5s'",
    );
    assert_eq!((gate.min_in_flight, gate.max_in_flight), (7, 7));
    assert_eq!(gate.longest_retry_after, Duration::from_secs(600));
    assert_eq!((gate.broken_after, gate.probe_every), (3, Duration::from_millis(250)));
    assert_eq!((gate.max_waiting, gate.max_wait), (0, Duration::from_secs(5)));
}

#[test]
fn figures_that_contradict_each_other_are_mistakes() {
    assert_mistake(
        "[origin.gate]\nrequests = 10\nburst = 10",
        "5:9: origin.gate.burst: burst (10) must be less than requests (10): the rest is what \
         comes in evenly",
    );
    assert_mistake(
        "[origin.gate]\nburst = 10",
        "4:9: origin.gate.burst: belongs to requests: without that, there is no budget",
    );
    assert_mistake(
        "[origin.gate]\nmax_in_flight = 3",
        "4:17: origin.gate.max_in_flight: min_in_flight (4) is more than max_in_flight (3)",
    );
    assert_mistake(
        "[origin.gate]\nmin_in_flight = 129",
        "4:17: origin.gate.min_in_flight: min_in_flight (129) is more than max_in_flight (128)",
    );
    assert_mistake(
        "[origin.gate]\nrequests = 1",
        "4:12: origin.gate.requests: must be between 2 and 100000000",
    );
}
