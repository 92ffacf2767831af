//! What is said to Redis about purges, and what it says.
//!
//! | key, under `{prefix:purge}` | holds |
//! |---|---|
//! | `lineage` | the lineage, as `generation-nonce`, and the server that it was begun on |
//! | `seq` | the number of the last purge |
//! | `log` | a stream: one entry a purge, its number as id, with lineage, nonce, the nonce of the one before it, and tags |
//! | `tags` | a hash: mode and tag → number and time of its last purge; and the lineage, so that its loss shows |
//! | `urls` | the same for what unsafe requests invalidate |
//! | `nodes` | a hash: node → lineage, applied number and time of its last beat |
//! | `upkeep` | whose turn it is to forget what is old |
//!
//! The braces make them one hash slot, so that a script may touch them all in a cluster.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use ::redis::streams::{StreamId, StreamReadReply};
use ::redis::{FromRedisValue, Script, ScriptInvocation, cmd};

use crate::purge::member::{Beat, Position, Report};
use crate::purge::{Lineage, Nonce, PurgeMode, PurgeRequest, Sequence, Stamp};
use crate::redis::{Command, LOG_WAIT, Link, LinkError};
use crate::tag::Tag;

/// A script with the functions that it needs before it.
macro_rules! script {
    ($($file:literal),+) => { LazyLock::new(|| Script::new(concat!($(include_str!($file)),+))) };
}

static PURGE: LazyLock<Script> = script!("standing.lua", "purge.lua");
static BEAT: LazyLock<Script> = script!("standing.lua", "report.lua", "beat.lua");
static BEGIN: LazyLock<Script> = script!("standing.lua", "report.lua", "begin.lua");
static FORGET: LazyLock<Script> = script!("forget.lua");
/// Scripts, so that in a cluster the server is asked that has the plane.
static NODES: LazyLock<Script> =
    LazyLock::new(|| Script::new("return {redis.call('HGETALL', KEYS[1]), redis.call('TIME')}"));
static INSPECT: LazyLock<Script> = LazyLock::new(|| {
    Script::new("return string.match(redis.call('INFO', 'memory'), 'maxmemory_policy:(%S+)')")
});

/// Entries of the log that are read, and applied, at once.
const READ_ENTRIES: usize = 100;

/// Fields of a hash that a step of a scan looks at.
const SCAN_FIELDS: usize = 1_000;

/// The field of the marks' hash that tells whose they are.
const LINEAGE_FIELD: &str = "lineage";

#[derive(Clone, Debug)]
struct Keys {
    lineage: String,
    sequence: String,
    log: String,
    tags: String,
    urls: String,
    nodes: String,
    upkeep: String,
}

/// The bounds that a purge is made within.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) log_entries: u64,
    pub(super) max_tags: usize,
    pub(super) max_urls: usize,
}

/// The connections to the plane.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    /// For purges, which may have to wait for replicas.
    pub(super) purges: Link,
    /// For beats, which must not wait for purges.
    pub(super) beats: Link,
    /// For reading the log, which blocks.
    pub(super) log: Link,
    /// The longest wait for an answer.
    pub(super) limit: Duration,
    /// Whether entries are told apart: see [`crate::purge::Rule::Nonces`].
    pub(super) has_nonces: bool,
    keys: Keys,
}

/// What became of a purge.
pub(super) enum Numbered {
    /// It stands. What was asked for, or more where a bound was met.
    Stands(Position, PurgeRequest),
    /// Another lineage stands.
    Moved,
}

/// An entry of the log.
pub(super) struct Entry {
    pub(super) lineage: Lineage,
    pub(super) position: Position,
    /// The nonce of the one before it; none of the first.
    pub(super) after: Option<Nonce>,
    pub(super) request: PurgeRequest,
    /// Somebody waits for the fleet to have applied it.
    pub(super) is_waited_for: bool,
}

/// When a report was made: the number of the last purge, and Redis' own time.
#[derive(Clone, Copy, Debug)]
pub(super) struct AsOf {
    pub(super) sequence: Sequence,
    seconds: u64,
}

/// What a scan found: a tag's last purge, and how long ago it was by Redis' own clock.
pub(super) struct Mark {
    pub(super) tag: Tag,
    pub(super) mode: PurgeMode,
    pub(super) number: Sequence,
    pub(super) age: Duration,
}

/// How far a node said that it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Said {
    pub(super) node: String,
    pub(super) lineage: Lineage,
    pub(super) sequence: Sequence,
    pub(super) age: Duration,
}

impl Wire {
    pub(super) fn new(
        [purges, beats, log]: [Link; 3],
        prefix: &str,
        limit: Duration,
        has_nonces: bool,
    ) -> Self {
        let key = |name| format!("{{{prefix}:purge}}:{name}");
        let keys = Keys {
            lineage: key("lineage"),
            sequence: key("seq"),
            log: key("log"),
            tags: key("tags"),
            urls: key("urls"),
            nodes: key("nodes"),
            upkeep: key("upkeep"),
        };
        Self { purges, beats, log, limit, has_nonces, keys }
    }

    fn nonce(&self) -> Nonce {
        if self.has_nonces { Nonce(rand::random()) } else { Nonce::default() }
    }

    /// Gives a purge its number, if the lineage is still the one that stands.
    pub(super) async fn purge(
        &self,
        lineage: Lineage,
        mut request: PurgeRequest,
        bounds: Bounds,
        is_waited_for: bool,
    ) -> Result<Numbered, LinkError> {
        let nonce = self.nonce();
        let call = self.purge_call(lineage, nonce, &request, bounds, is_waited_for);
        let told = self.purges.invoke(Command::Purge, self.limit, call).await?;
        let (number, beside): (u64, String) = told;
        if number == 0 {
            return Ok(Numbered::Moved);
        }
        request.hard.extend(Tag::parse(&beside));
        let sequence = Sequence::from_u64(number);
        Ok(Numbered::Stands(Position { sequence, nonce }, request))
    }

    fn purge_call(
        &self,
        lineage: Lineage,
        nonce: Nonce,
        request: &PurgeRequest,
        bounds: Bounds,
        is_waited_for: bool,
    ) -> ScriptInvocation<'static> {
        let keys = &self.keys;
        let mut call = PURGE.prepare_invoke();
        call.key(&keys.lineage).key(&keys.sequence).key(&keys.log).key(&keys.tags).key(&keys.urls);
        call.arg(lineage.to_string()).arg(nonce.0).arg(bounds.log_entries);
        call.arg(bounds.max_tags).arg(bounds.max_urls);
        call.arg(u8::from(is_waited_for)).arg(list(&request.hard)).arg(list(&request.soft));
        call
    }

    /// How many replicas have all purges of the lineage so far, now or after half of the limit;
    /// `None` where another lineage stands. `WAIT` speaks of what its own connection has written, so
    /// a purge of nothing goes before it.
    pub(super) async fn wait(
        &self,
        lineage: Lineage,
        replicas: u32,
        bounds: Bounds,
    ) -> Result<Option<u32>, LinkError> {
        let nothing = PurgeRequest::default();
        let call = self.purge_call(lineage, self.nonce(), &nothing, bounds, false);
        let millis = u64::try_from(self.limit.as_millis() / 2).unwrap_or(u64::MAX);
        let mut wait = cmd("WAIT");
        wait.arg(replicas).arg(millis.max(1));
        let wait_for = |mut redis| async move {
            let (number, _): (u64, String) = call.invoke_async(&mut redis).await?;
            if number == 0 {
                return Ok(None);
            }
            wait.query_async(&mut redis).await.map(Some)
        };
        self.purges.run(Command::Wait, self.limit, wait_for).await
    }

    /// Says how far this node is, and asks how the sequence stands.
    pub(super) async fn beat(
        &self,
        node: &str,
        applied: Stamp,
        beat: Beat,
    ) -> Result<Report, LinkError> {
        let keys = &self.keys;
        let mut call = BEAT.prepare_invoke();
        call.key(&keys.lineage).key(&keys.sequence).key(&keys.log).key(&keys.nodes);
        call.arg(beat.seen.sequence.as_u64()).arg(node);
        call.arg(applied.lineage.to_string()).arg(applied.sequence.as_u64());
        let told: [String; 6] = self.beats.invoke(Command::Beat, self.limit, call).await?;
        Ok(read_report(&told).0)
    }

    /// Begins a lineage in the place of another, if that one still stands, of that generation at
    /// least. Tells what stands then.
    pub(super) async fn begin(
        &self,
        instead_of: Option<Lineage>,
        generation: u64,
        past: Sequence,
        seen: Sequence,
    ) -> Result<(Report, AsOf), LinkError> {
        let keys = &self.keys;
        let mut call = BEGIN.prepare_invoke();
        call.key(&keys.lineage).key(&keys.sequence).key(&keys.log).key(&keys.tags).key(&keys.urls);
        call.arg(seen.as_u64()).arg(instead_of.map_or_else(String::new, |old| old.to_string()));
        call.arg(generation).arg(rand::random::<u64>()).arg(past.as_u64()).arg(self.nonce().0);
        let told: [String; 6] = self.beats.invoke(Command::Begin, self.limit, call).await?;
        Ok(read_report(&told))
    }

    /// Reads every mark of a lineage. Whether they are all there: a hash that was lost has only what
    /// came after.
    pub(super) async fn scan(
        &self,
        lineage: Lineage,
        as_of: AsOf,
        mut note: impl FnMut(Mark),
    ) -> Result<bool, LinkError> {
        let (lineage, mut is_whole) = (lineage.to_string(), false);
        for hash in [&self.keys.tags, &self.keys.urls] {
            let mut cursor = 0_u64;
            loop {
                let mut step = cmd("HSCAN");
                step.arg(hash).arg(cursor).arg("COUNT").arg(SCAN_FIELDS);
                let told = self.beats.ask(Command::Scan, self.limit, step).await?;
                let (next, fields): (u64, Vec<(String, String)>) = told;
                for (field, value) in &fields {
                    is_whole |= field == LINEAGE_FIELD && *value == lineage;
                    read_mark(field, value, as_of).into_iter().for_each(&mut note);
                }
                if next == 0 {
                    break;
                }
                cursor = next;
            }
        }
        Ok(is_whole)
    }

    /// Waits for entries that follow a number, for a while. `None` is one that cannot be read.
    pub(super) async fn read(&self, after: Sequence) -> Result<Vec<Option<Entry>>, LinkError> {
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(READ_ENTRIES).arg("BLOCK").arg(LOG_WAIT.as_millis() as u64);
        read.arg("STREAMS").arg(&self.keys.log).arg(format!("{}-0", after.as_u64()));
        let limit = LOG_WAIT + self.limit;
        let told: Option<StreamReadReply> = self.log.ask(Command::Follow, limit, read).await?;
        let streams = told.map_or_else(Vec::new, |told| told.keys);
        Ok(streams.iter().flat_map(|stream| &stream.ids).map(read_entry).collect())
    }

    /// How far each node said that it was.
    pub(super) async fn nodes(&self) -> Result<Vec<Said>, LinkError> {
        let mut call = NODES.prepare_invoke();
        call.key(&self.keys.nodes);
        let told = self.purges.invoke(Command::Fleet, self.limit, call).await?;
        let (said, (seconds, micros)): (HashMap<String, String>, (u64, u64)) = told;
        let now = seconds.saturating_mul(1_000).saturating_add(micros / 1_000);
        Ok(said.iter().filter_map(|(node, said)| read_said(node, said, now)).collect())
    }

    /// What Redis does when its memory is full.
    pub(super) async fn eviction_policy(&self) -> Result<Option<String>, LinkError> {
        let mut call = INSPECT.prepare_invoke();
        call.key(&self.keys.lineage);
        self.beats.invoke(Command::Inspect, self.limit, call).await
    }

    /// Whether it is this node's turn to forget what is old. Nobody else's comes within that span.
    pub(super) async fn takes_turn(&self, node: &str, span: Duration) -> Result<bool, LinkError> {
        let mut take = cmd("SET");
        take.arg(&self.keys.upkeep).arg(node).arg("NX").arg("EX").arg(span.as_secs());
        let taken: Option<String> = self.beats.ask(Command::Forget, self.limit, take).await?;
        Ok(taken.is_some())
    }

    /// Strikes a node off that has left, or was not heard of for long.
    pub(super) async fn strike_off(&self, node: &str) -> Result<(), LinkError> {
        let mut strike = cmd("HDEL");
        strike.arg(&self.keys.nodes).arg(node);
        let _: u64 = self.beats.ask(Command::Fleet, self.limit, strike).await?;
        Ok(())
    }

    /// Forgets marks that are older than that.
    pub(super) async fn forget(&self, older_than: Duration) -> Result<(), LinkError> {
        for hash in [&self.keys.tags, &self.keys.urls] {
            let mut cursor = "0".to_owned();
            loop {
                let mut call = FORGET.prepare_invoke();
                call.key(hash).arg(&cursor).arg(older_than.as_secs()).arg(SCAN_FIELDS);
                cursor = self.beats.invoke(Command::Forget, self.limit, call).await?;
                if cursor == "0" {
                    break;
                }
            }
        }
        Ok(())
    }
}

fn list(tags: &[Tag]) -> String {
    tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(" ")
}

/// The tags of a list. One that this program does not know, of a newer one, is on no answer that it
/// can read.
fn read_list(text: &str) -> Vec<Tag> {
    text.split(' ').filter_map(|name| Tag::parse(name).ok()).collect()
}

fn read_report(told: &[String; 6]) -> (Report, AsOf) {
    let [lineage, sequence, nonce, nonce_at_seen, oldest, seconds] = told;
    let report = Report {
        lineage: Lineage::parse(lineage),
        sequence: Sequence::from_u64(sequence.parse().unwrap_or_default()),
        nonce: nonce.parse().ok().map(Nonce),
        nonce_at_seen: nonce_at_seen.parse().ok().map(Nonce),
        oldest: oldest.parse().ok().map(Sequence::from_u64),
    };
    let seconds = seconds.parse().unwrap_or_default();
    (report, AsOf { sequence: report.sequence, seconds })
}

/// A field is `h:tag` or `s:tag`, its value the number and the second of the purge. A value that
/// cannot be read is taken for a purge that has only just been.
fn read_mark(field: &str, value: &str, as_of: AsOf) -> Option<Mark> {
    let (mode, tag) = field.split_once(':')?;
    let mode = match mode {
        "h" => PurgeMode::Hard,
        "s" => PurgeMode::Soft,
        _ => return None,
    };
    let (number, second) = value.split_once(' ').unwrap_or_default();
    let number = number.parse().map_or(as_of.sequence, Sequence::from_u64);
    let age = as_of.seconds.saturating_sub(second.parse().unwrap_or(as_of.seconds));
    Some(Mark { tag: Tag::parse(tag).ok()?, mode, number, age: Duration::from_secs(age) })
}

/// `None` where a field is missing or unreadable.
fn read_entry(entry: &StreamId) -> Option<Entry> {
    let text = |name: &str| {
        let value = entry.map.get(name)?;
        String::from_redis_value_ref(value).ok()
    };
    let sequence = entry.id.split_once('-')?.0.parse().ok()?;
    let nonce = text("n")?.parse().ok()?;
    let after = text("a")?.parse().ok().map(Nonce);
    Some(Entry {
        after,
        lineage: Lineage::parse(&text("l")?)?,
        position: Position { sequence: Sequence::from_u64(sequence), nonce: Nonce(nonce) },
        request: PurgeRequest { hard: read_list(&text("h")?), soft: read_list(&text("s")?) },
        is_waited_for: text("w")? == "1",
    })
}

/// A value is the lineage, the applied number and the millisecond of the beat.
fn read_said(node: &str, said: &str, now_millis: u64) -> Option<Said> {
    let mut words = said.split(' ');
    let lineage = Lineage::parse(words.next()?)?;
    let sequence = Sequence::from_u64(words.next()?.parse().ok()?);
    let age = Duration::from_millis(now_millis.saturating_sub(words.next()?.parse().ok()?));
    Some(Said { node: node.to_owned(), lineage, sequence, age })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_and_one_without_a_number_is_the_latest() {
        let as_of = AsOf { sequence: Sequence::from_u64(9), seconds: 100 };
        for (value, number, age) in [("7 90", 7, 10), ("x 90", 9, 10), ("x", 9, 0), ("", 9, 0)] {
            let mark = read_mark("h:price/item:1", value, as_of).unwrap();
            assert_eq!((mark.tag.as_str(), mark.mode), ("price/item:1", PurgeMode::Hard));
            assert_eq!((mark.number.as_u64(), mark.age.as_secs()), (number, age), "{value}");
        }
        for field in ["price/item:1", "h:shelf/row:1", "x:*"] {
            assert!(read_mark(field, "7 90", as_of).is_none(), "{field}");
        }
    }

    #[test]
    fn an_entry_names_its_tags() {
        let tags = read_list("price/item:1 search/*  shelf/row:4");
        assert_eq!(list(&tags), "price/item:1 search/*");
        assert!(read_list("").is_empty());
    }

    #[test]
    fn a_node_says_where_it_is() {
        let said = read_said("a", "3-9 41 1500", 2_000).unwrap();
        assert_eq!(said.lineage, Lineage { generation: 3, nonce: 9 });
        assert_eq!((said.sequence.as_u64(), said.age.as_millis()), (41, 500));
        assert_eq!(read_said("a", "nonsense", 2_000), None);
    }
}
