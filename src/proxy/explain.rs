//! `POST /explain`: what would become of a request, without asking the origin.
//!
//! It walks the request path's own steps, so that what it tells is what would happen. It shows ids,
//! tags and key parts; never credentials, only that there are some and which partition follows.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http::request::Parts;
use serde_json::{Map, Value, json};

use super::engine::Engine;
use super::errand::{Detour, Errand, OperationErrand, Subject, Task};
use super::identity::Asker;
use super::listed::{ListedErrand, serve_at_once};
use super::lookup::Lookup;
use crate::cache_key::Field;
use crate::control::{Explain, ExplainRequest};
use crate::dependency;
use crate::origin::gate::{Outlook, Shut};
use crate::question::Partition;
use crate::server::Peer;
use crate::stored_response::StoredResponse;

/// Of a longer list only so many things are told of one by one.
const TOLD_THINGS: usize = 100;

impl Explain for Engine {
    fn explain(&self, request: ExplainRequest) -> Result<Value, String> {
        let mut head = Request::new(()).into_parts().0;
        head.method = request.method;
        head.uri = request.url;
        head.headers = request.headers;
        Ok(self.told(&head, &request.body.into()))
    }
}

impl Engine {
    fn told(&self, head: &Parts, body: &Bytes) -> Value {
        let call = match self.classify(&head.method, &head.uri) {
            _ if head.headers.contains_key(super::DEVICE_TOKEN) => {
                return passes(Detour::DeviceToken);
            }
            Ok(Subject::Call(call)) => call,
            Ok(Subject::Resource) => return self.told_of_resource(head),
            Err(detour) => return passes(detour),
        };
        let operation = &call.operation;
        let lifetimes = operation.lifetimes;
        let mut told = json!({
            "operation": *operation.name,
            "class": operation.class.as_str(),
            "identity": operation.identity.as_str(),
            "freshForSeconds": lifetimes.fresh_for.as_secs(),
            "staleWhileRevalidateSeconds": lifetimes.stale_while_revalidate.as_secs(),
            "staleIfErrorSeconds": lifetimes.stale_if_error.as_secs(),
        });
        let task = self
            .identify(&head.headers, operation.identity)
            .map_err(Detour::Unpartitioned)
            .and_then(|asker| {
                let nobody = Peer::new(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0));
                self.task(call, head, body, asker, nobody)
            });
        if let Value::Object(told) = &mut told {
            told.insert("gate".into(), self.told_of_gate());
        }
        let rest = match task {
            Ok(Task::One(errand)) => self.told_of_one(&errand),
            Ok(Task::Listed(listed)) => self.told_of_list(&listed),
            Err(detour) => passes(detour),
        };
        if let (Value::Object(told), Value::Object(rest)) = (&mut told, rest) {
            told.extend(rest);
        }
        told
    }

    /// What a client's request would meet before the origin now.
    fn told_of_gate(&self) -> Value {
        match self.gate.outlook() {
            Outlook::Open => json!({ "state": "open" }),
            Outlook::Waits(reason) => json!({ "state": "waits", "because": reason.as_str() }),
            Outlook::Shut(Shut { reason, retry_after }) => json!({
                "state": "shut",
                "because": reason.as_str(),
                "retryAfterSeconds": retry_after.as_secs_f64().ceil(),
            }),
        }
    }

    fn told_of_one(&self, errand: &Errand) -> Value {
        let Errand::Operation(operation) = errand else { return json!({}) };
        let mut told = self.told_of(errand, tags_of_request(operation));
        if let Value::Object(told) = &mut told {
            told.insert("partition".into(), partition(&operation.asker).into());
        }
        told
    }

    /// An answer for a list: each thing by itself, and what would be asked of the origin.
    fn told_of_list(&self, listed: &Arc<ListedErrand>) -> Value {
        let units = listed.question.units();
        let now = self.clock.now();
        let different = self.habits.different(listed.operation.index, units, now);
        let keys = |positions: Vec<usize>| {
            let keyed = positions.into_iter().filter_map(|position| {
                Some((position, listed.question.key_of(units.get(position)?)?))
            });
            keyed.collect::<Vec<_>>()
        };
        let is_left_whole = self.habits.is_left_whole(|| listed.question.key_as_asked(), now);
        let keyed = different.filter(|_| !is_left_whole).map(keys);
        let Some(keyed) = keyed else {
            let whole =
                listed.as_asked().map(|errand| self.told_of_one(&Errand::Operation(errand)));
            return whole.unwrap_or_default();
        };
        if let ([_], [unit]) = (&keyed[..], units)
            && let Some(alone) = listed.alone(unit)
        {
            return self.told_of_one(&Errand::Operation(alone));
        }
        let positions: Vec<usize> = keyed.iter().map(|(position, _)| *position).collect();
        let is_ordered = self.habits.sequence(listed.operation.index, units, &positions).is_some();
        let mut states: Map<String, Value> = Map::new();
        let (mut missing, mut things) = (Vec::new(), Vec::new());
        for (position, key) in &keyed {
            let Some(unit) = units.get(*position) else { continue };
            let lookup = self.look_up_piece(listed, key, now);
            let state = states.entry(lookup.as_str()).or_insert(0.into());
            *state = (state.as_u64().unwrap_or_default() + 1).into();
            if serve_at_once(&lookup).is_none() {
                missing.push(unit.id.to_string());
            }
            if things.len() < TOLD_THINGS {
                things.push(json!({
                    "id": unit.id.to_string(),
                    "digest": format!("{:032x}", key.digest()),
                    "state": lookup.as_str(),
                    "response": lookup.previous().map(|stored| self.told_of_stored(stored)),
                }));
            }
        }
        let verdict = match missing.len() {
            0 if !is_ordered => "fetched whole: how the origin orders or repeats is not known yet",
            _ if !is_ordered => {
                "fetched, and whole after that where it does not show how the origin orders or repeats"
            }
            0 => "put together from the store",
            all if all == keyed.len() => "fetched: nothing of it is stored that may be used",
            _ => "put together from the store and what the origin is asked for",
        };
        json!({
            "partition": partition(&listed.asker),
            "kind": format!("{:032x}", listed.question.kind().digest()),
            "asked": units.len(),
            "pieces": keyed.len(),
            "states": states,
            "stored": missing.len() < keyed.len(),
            "origin": { "calls": missing.len().div_ceil(self.max_ids(listed)), "ids": missing },
            "things": things,
            "verdict": verdict,
        })
    }

    /// A URL that the catalogue does not know, under the policy that stores such.
    fn told_of_resource(&self, head: &Parts) -> Value {
        match self.resource(&head.method, &head.uri, &head.headers) {
            Ok(resource) => {
                let tag = json!([resource.tag().as_str()]);
                self.told_of(&Errand::Resource(resource.into()), tag)
            }
            Err(detour) => passes(detour),
        }
    }

    fn told_of(&self, errand: &Errand, tags_of_request: Value) -> Value {
        let key = self.flight_key(errand);
        // A variant may have been selected by who asks.
        let parts: Map<String, Value> = key
            .fields()
            .filter(|(field, _)| *field != Field::Variant)
            .map(|(field, value)| {
                (field.as_str().to_owned(), String::from_utf8_lossy(value).into())
            })
            .collect();
        let lookup = self.look_up(errand);
        let mut told = json!({
            "key": parts,
            "digest": format!("{:032x}", key.digest()),
            "state": lookup.as_str(),
            "stored": lookup.previous().is_some(),
            "fetchUnderWay": self.flights.is_under_way(&key),
            "verdict": verdict(&lookup),
        });
        if let Value::Object(told) = &mut told {
            match lookup.previous() {
                Some(stored) => told.insert("response".into(), self.told_of_stored(stored)),
                None => told.insert("tagsOfRequest".into(), tags_of_request),
            };
        }
        told
    }

    fn told_of_stored(&self, stored: &StoredResponse) -> Value {
        let (now, applied) = (self.clock.now(), self.plane().stamp());
        json!({
            "status": stored.status.as_u16(),
            "storedAt": stored.freshness.received_at.to_string(),
            "ageSeconds": stored.freshness.age(now).as_secs(),
            "ttlSeconds": stored.freshness.ttl_seconds(now),
            "fetchSequence": stored.stamp.sequence.as_u64(),
            "appliedSequence": applied.sequence.as_u64(),
            "sameLineage": stored.stamp.lineage == applied.lineage,
            "fenced": self.plane().is_fenced(),
            "bytes": stored.bytes(),
            "tags": stored.tags.names().collect::<Vec<_>>(),
        })
    }
}

fn partition(asker: &Asker) -> &'static str {
    match asker.partition {
        Partition::Anonymous => "anonymous",
        Partition::Token(_) => "token",
    }
}

/// The tags that are known before there is an answer.
fn tags_of_request(errand: &OperationErrand) -> Value {
    let has_credentials = errand.asker.authorization.is_some();
    let asked = &errand.question.dependencies;
    let tags = dependency::tags_of_request(&errand.operation, asked, has_credentials);
    tags.names().collect()
}

fn passes(detour: Detour) -> Value {
    json!({ "stored": false, "verdict": format!("passes: {}", detour.as_str()) })
}

fn verdict(lookup: &Lookup) -> &'static str {
    match lookup {
        Lookup::Fresh(_) => {
            "served from the store: fresh, and nothing that it depends on was purged"
        }
        Lookup::Stale(_, stale) if stale.while_revalidating => {
            "served from the store, stale, while a revalidation runs"
        }
        Lookup::Stale(_, stale) if stale.to_this_client => {
            "served from the store, stale: the request takes that"
        }
        Lookup::Stale(_, stale) if stale.if_error => {
            "fetched: stale; what is stored serves only if the origin fails"
        }
        Lookup::Stale(..) => "fetched: stale, and past its stale windows",
        Lookup::Refused(..) => "validated: the request asks for that",
        Lookup::Purged(_) => {
            "fetched: something that it depends on was purged after its fetch left"
        }
        Lookup::Part(_) => "fetched: another part of it is stored",
        Lookup::OtherVariant => "fetched: only other variants of it are stored",
        Lookup::Absent => "fetched: nothing is stored for it",
    }
}
