//! What can happen, and what each of it does to a node and Redis.

use crate::node::{Node, Told};
use crate::redis::Redis;
use crate::rules::{Rules, Tags, Time, Version};

/// What can happen, each at once. The number is the node's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    OriginChanges,
    TimePasses,
    /// Another primary takes over, which has only this many of the writes since the start.
    FailsOver(u8),
    LosesLog,
    FetchLeaves(u8),
    FetchLands(u8),
    PurgesWatched(u8),
    PurgesOther(u8),
    HearsOfPurge(u8, u8),
    ReadsLog(u8),
    AppliesLog(u8),
    Follows(u8),
    Beats(u8),
    HeedsBeat(u8),
    BeatsAndHeeds(u8),
    AsksForPlace(u8),
    BeginsLineage(u8),
    ReadsMarks(u8),
    Enters(u8),
    ReadsMarksAndEnters(u8),
    SaysAgain(u8),
}

/// What an action of a node does beside changing the node and Redis.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    None,
    Acknowledged(Version),
    Refused(Tags),
}

/// What a node does at that version of the origin and that time; none where it cannot.
pub(crate) fn act(
    rules: &Rules,
    action: Action,
    node: &mut Node,
    redis: &mut Redis,
    now: (Version, Time),
) -> Option<Effect> {
    let (origin, time) = now;
    match action {
        // What is as new as it will ever be cannot be too old.
        Action::FetchLeaves(_) if origin == rules.last_version() => return None,
        Action::FetchLeaves(_) => {
            node.fetch_leaves(origin, rules)?;
            if rules.changes.is_none() {
                node.fetch_lands(origin, rules)?;
            }
        }
        Action::FetchLands(_) => node.fetch_lands(origin, rules)?,
        Action::PurgesWatched(_) => {
            // A change comes before its event.
            let version = rules.version_purged(origin);
            let version = (version > 0).then_some(version)?;
            node.purge(redis, Tags::WATCHED, version, rules)?;
        }
        Action::PurgesOther(_) => node.purge(redis, Tags::OTHER, origin, rules)?,
        Action::HearsOfPurge(_, which) => {
            let (purge, told) = node.acknowledge(usize::from(which), rules)?;
            return Some(match told {
                Told::Acknowledged if purge.tags.watched => Effect::Acknowledged(purge.version),
                Told::Acknowledged => Effect::None,
                Told::Refused => Effect::Refused(purge.tags),
            });
        }
        Action::ReadsLog(_) => node.read(redis)?,
        Action::AppliesLog(_) => node.apply(rules)?,
        Action::Follows(_) => node.read_and_apply(redis, rules)?,
        Action::Beats(_) => node.beat(redis, time, rules)?,
        Action::HeedsBeat(_) => node.heed(time, rules)?,
        Action::BeatsAndHeeds(_) => {
            node.beat(redis, time, rules)?;
            node.heed(time, rules)?;
        }
        Action::AsksForPlace(_) => node.begin(redis, time, rules)?,
        Action::BeginsLineage(_) => node.renew(redis, rules)?,
        Action::ReadsMarks(_) => node.scan(redis)?,
        Action::Enters(_) => node.enter()?,
        Action::ReadsMarksAndEnters(_) => {
            node.scan(redis)?;
            node.enter()?;
        }
        Action::SaysAgain(_) => node.say(redis, rules)?,
        Action::OriginChanges | Action::TimePasses | Action::FailsOver(_) | Action::LosesLog => {
            return None;
        }
    }
    Some(Effect::None)
}
