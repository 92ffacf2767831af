//! `GET /status`: how the node is, as one JSON object of bounded size. docs/console.md tells its
//! members; a member keeps its name and its meaning, others may join it.
//!
//! Counts are since the process started: whoever asks twice has the rate.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Node;
use crate::metrics::{Distribution, Snapshot};
use crate::proxy::counts::Served;
use crate::purge::fleet::{FleetMember, Members};
use crate::purge::{PurgeMode, Purged};

/// Purges that are told, the newest first.
const TOLD_PURGES: usize = 50;

/// Dead letters that are told, the newest first.
const TOLD_LETTERS: usize = 20;

/// What breakers are called, by their gauges' values.
const BREAKER_STATES: [&str; 3] = ["closed", "half-open", "open"];

/// All of it. The gauges must have been brought up to date.
pub(super) fn status(node: &Node, members: Option<&Members>, uptime_seconds: f64) -> Value {
    let snapshot = node.metrics.snapshot();
    let reasons: Vec<&str> = node.readiness.reasons().iter().map(|one| one.as_str()).collect();
    json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "now": node.clock.now().to_string(),
        "uptimeSeconds": uptime_seconds,
        "ready": reasons.is_empty(),
        "reasons": reasons,
        "degraded": (node.degraded)(),
        "requests": requests(&snapshot),
        "origin": origin(&snapshot),
        "memory": memory(&snapshot, node.memory_bytes),
        "redis": redis(&snapshot),
        "purges": purges(node, &snapshot),
        "fleet": members.map(fleet),
        "deadLetters": dead_letters(node),
        "connections": by(&snapshot, "connections", "listener"),
        "panics": count(&snapshot, "panics_total"),
    })
}

fn requests(snapshot: &Snapshot) -> Value {
    let mut by_result: Map<String, Value> =
        Served::ALL.iter().map(|served| (served.as_str().to_owned(), 0.into())).collect();
    let mut by_operation: BTreeMap<[String; 2], Map<String, Value>> = BTreeMap::new();
    for ([operation, class, result], sum) in
        snapshot.by("requests_total", ["operation", "class", "result"])
    {
        let so_far = by_result.get(&result).and_then(Value::as_i64).unwrap_or_default();
        by_result.insert(result.clone(), (so_far + sum as i64).into());
        // Of a catalogue of fifty operations, those that are asked for.
        if sum > 0.0 {
            by_operation.entry([operation, class]).or_default().insert(result, whole(sum));
        }
    }
    let rows = by_operation.into_iter().map(|([operation, class], by_result)| {
        json!({ "operation": operation, "class": class, "byResult": by_result })
    });
    json!({
        "byResult": by_result,
        "byOperation": rows.collect::<Vec<_>>(),
        "pieces": by(snapshot, "pieces_total", "result"),
        "repeatedHits": count(snapshot, "repeated_hits_total"),
        "waiting": count(snapshot, "collapse_waiters"),
        "seconds": seconds(snapshot, "request_duration_seconds", "result"),
    })
}

fn origin(snapshot: &Snapshot) -> Value {
    let rows = |name, labels: [&'static str; 2]| -> Vec<Value> {
        let row = |([first, second], sum): ([String; 2], f64)| {
            Value::Object(Map::from_iter([
                (labels[0].to_owned(), first.into()),
                (labels[1].to_owned(), second.into()),
                ("count".to_owned(), whole(sum)),
            ]))
        };
        snapshot.by(name, labels).into_iter().map(row).collect()
    };
    json!({
        "inFlight": count(snapshot, "origin_in_flight"),
        "requests": rows("origin_requests_total", ["purpose", "outcome"]),
        "seconds": seconds(snapshot, "origin_request_duration_seconds", "purpose"),
        "retries": count(snapshot, "origin_retries_total"),
        "throttled": count(snapshot, "origin_throttled_total"),
        "gate": {
            "breaker": breaker(snapshot.value("origin_gate_breaker_state").unwrap_or_default()),
            "inFlight": count(snapshot, "origin_gate_in_flight"),
            "limit": count(snapshot, "origin_gate_limit"),
            "waiting": count(snapshot, "origin_gate_waiting"),
            "tokens": snapshot.value("origin_gate_tokens").map(whole),
            "throttledSeconds": count(snapshot, "origin_gate_throttled_seconds"),
            "admitted": by(snapshot, "origin_gate_admitted_total", "priority"),
            "refused": rows("origin_gate_refused_total", ["reason", "priority"]),
        },
    })
}

fn memory(snapshot: &Snapshot, max_bytes: u64) -> Value {
    json!({
        "maxBytes": max_bytes,
        "bytes": count(snapshot, "stored_bytes"),
        "entries": count(snapshot, "stored_entries"),
        "evictions": by(snapshot, "evictions_total", "cause"),
    })
}

/// Null on a node that has none.
fn redis(snapshot: &Snapshot) -> Value {
    let links = snapshot.by("redis_breaker_state", ["link"]);
    if links.is_empty() {
        return Value::Null;
    }
    let links: Map<String, Value> =
        links.into_iter().map(|([link], state)| (link, breaker(state).into())).collect();
    json!({
        "links": links,
        "reads": by(snapshot, "shared_reads_total", "result"),
        "writes": by(snapshot, "shared_writes_total", "result"),
    })
}

fn purges(node: &Node, snapshot: &Snapshot) -> Value {
    let plane = node.purger.plane();
    let stamp = plane.stamp();
    let last: Vec<Value> = plane.feed().newest(TOLD_PURGES).iter().map(purge).collect();
    json!({
        "generation": stamp.lineage.generation,
        "sequence": stamp.sequence.as_u64(),
        "fenced": plane.is_fenced(),
        "behind": count(snapshot, "purge_behind"),
        "rememberedTags": plane.remembered_tags(),
        "scheduled": count(snapshot, "purges_scheduled"),
        "bySource": by(snapshot, "purges_total", "source"),
        "last": last,
    })
}

fn purge(purged: &Purged) -> Value {
    let of_mode = |wanted: PurgeMode| -> Vec<&str> {
        let tags = purged.tags.iter().filter(|(_, mode)| *mode == wanted);
        tags.map(|(tag, _)| tag.as_str()).collect()
    };
    json!({
        "at": purged.at.to_string(),
        "generation": purged.stamp.lineage.generation,
        "sequence": purged.stamp.sequence.as_u64(),
        "source": purged.source.as_str(),
        "hard": of_mode(PurgeMode::Hard),
        "soft": of_mode(PurgeMode::Soft),
        "more": (purged.hard + purged.soft).saturating_sub(purged.tags.len()),
    })
}

fn fleet(members: &Members) -> Value {
    let member = |member: &FleetMember| {
        json!({
            "node": member.node,
            "isThis": member.node == members.own_name,
            "generation": member.lineage.generation,
            "sequence": member.sequence.as_u64(),
            "heardSecondsAgo": member.heard_ago.as_secs_f64(),
            "isGone": member.is_gone,
        })
    };
    let told = members.told.as_ref().map(|told| told.iter().map(member).collect::<Vec<_>>());
    json!({ "node": members.own_name, "members": told, "more": members.more })
}

fn dead_letters(node: &Node) -> Value {
    let letters = node.dead_letters.newest(TOLD_LETTERS);
    let last: Vec<Value> = letters.iter().map(|letter| letter.to_short_json()).collect();
    json!({ "kept": node.dead_letters.len(), "last": last })
}

fn count(snapshot: &Snapshot, name: &str) -> Value {
    whole(snapshot.value(name).unwrap_or_default())
}

fn by(snapshot: &Snapshot, name: &str, label: &str) -> Value {
    let sums = snapshot.by(name, [label]).into_iter();
    Value::Object(sums.map(|([value], sum)| (value, whole(sum))).collect())
}

/// A family of histograms: the bounds of the buckets once, then how many were observed up to each.
fn seconds(snapshot: &Snapshot, name: &str, label: &str) -> Value {
    let all = snapshot.distributions(name, label);
    let bounds = all.values().next().map(|one| one.bounds.clone()).unwrap_or_default();
    let told = |(label, one): (String, Distribution)| {
        (label, json!({ "upTo": one.up_to, "count": one.count, "sum": one.sum }))
    };
    let all: Map<String, Value> = all.into_iter().map(told).collect();
    json!({ "bounds": bounds, "by": all })
}

fn breaker(state: f64) -> &'static str {
    BREAKER_STATES.get(state as usize).copied().unwrap_or("unknown")
}

/// Metrics count whole things; as numbers of a metric they are all floating.
fn whole(number: f64) -> Value {
    (number as i64).into()
}
