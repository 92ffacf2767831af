//! A node among others: purges are numbered by Redis, followed from its log, and vouched for by
//! beats.
//!
//! One task keeps the node's place in the fleet; whoever purges has the purge numbered there. What
//! is to be concluded from what Redis says is [`super::member`]'s to decide.

mod members;
mod outstanding;
mod place;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

use super::feed::PurgeSource;
use super::member::{Member, OwnPurge, Position};
use super::plane::{PurgePlane, PurgeState};
use super::purger::Unacknowledged;
use super::{Lineage, PurgeRequest, Rule, Sequence, Stamp};
use crate::clock::Clock;
use crate::config;
use crate::metrics::Metrics;
use crate::redis::{Link, LinkError};
use crate::tag::{Tag, TagSet};

use members::Look;
use outstanding::Outstanding;
use wire::{Bounds, Numbered, Wire};

pub use members::{FleetMember, Members};

/// Tags of one entry of the log: what Redis does between two other commands.
const MAX_TAGS_PER_ENTRY: usize = 250;

/// Entries of one purge that are on their way at once.
const ENTRIES_UNDER_WAY: usize = 2;

/// Lineages that may begin while a purge is tried.
const MAX_TRIES: usize = 3;

/// The first pause before it is asked again who has applied a purge; each is twice the one before, up
/// to the last. Who is told that somebody waits beats soon.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LAST_LOOK: Duration = Duration::from_millis(80);

/// What the fleet's plane is made of.
pub struct Settings {
    /// Connections of their own for purges, beats and the log.
    pub links: [Link; 3],
    /// What every key begins with.
    pub prefix: String,
    /// This node's name.
    pub node: String,
    /// `[redis.purge]`.
    pub plane: config::RedisPurge,
    /// `[purge]`.
    pub bounds: config::Purge,
    /// How long a request waits for the plane at most, where it can do without.
    pub patience: Duration,
}

/// This node among the others.
#[derive(Debug)]
pub struct Fleet {
    plane: Arc<PurgePlane>,
    wire: Wire,
    node: String,
    settings: config::RedisPurge,
    bounds: Bounds,
    patience: Duration,
    clock: Clock,
    metrics: Metrics,
    /// None before the node has joined. Held for no longer than it takes to apply what was read.
    member: Mutex<Option<Member>>,
    outstanding: Mutex<Outstanding>,
    /// In force on this node alone, until the plane can be told.
    untold: Mutex<PurgeRequest>,
    /// Who was in the fleet when it was last asked for.
    last_look: Mutex<Option<Look>>,
    applied: watch::Sender<Option<Stamp>>,
    beat_now: Notify,
    tell_now: Notify,
}

/// Who has applied a purge.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Spread {
    /// The live nodes that have.
    pub applied: Vec<String>,
    /// The live nodes that have not.
    pub pending: Vec<String>,
    /// Whether the plane has told.
    pub is_known: bool,
}

impl Spread {
    /// As it is answered to whoever waited.
    pub fn to_json(&self) -> Value {
        match self.is_known {
            true => json!({ "applied": self.applied, "pending": self.pending }),
            false => json!({ "unknown": true }),
        }
    }
}

/// What is being told to the others, and is to be told once more unless that ends well.
struct Untold<'a> {
    fleet: &'a Fleet,
    request: PurgeRequest,
}

impl<'a> Untold<'a> {
    const fn of(fleet: &'a Fleet, request: PurgeRequest) -> Self {
        Self { fleet, request }
    }
}

impl Drop for Untold<'_> {
    fn drop(&mut self) {
        self.fleet.keep_untold(std::mem::take(&mut self.request));
    }
}

/// Why one try at a purge came to nothing.
enum Failed {
    /// Another lineage stands, or is about to.
    Moved,
    /// The answer came so late that nothing can be told from it.
    Overtaken,
    Link(LinkError),
}

impl From<LinkError> for Failed {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

impl Fleet {
    /// Starts to follow the others. To be called within a Tokio runtime; the task ends with the
    /// handle.
    pub fn start(
        plane: Arc<PurgePlane>,
        settings: Settings,
        clock: Clock,
        metrics: Metrics,
    ) -> (Arc<Self>, AbortOnDropHandle<()>) {
        let Settings { links, prefix, node, plane: rules, bounds, patience } = settings;
        let has_nonces = plane.keeps(Rule::Nonces);
        let fleet = Arc::new(Self {
            plane,
            wire: Wire::new(links, &prefix, rules.command_timeout, has_nonces),
            node,
            bounds: Bounds {
                log_entries: rules.log_entries,
                max_tags: bounds.max_tags,
                max_urls: bounds.max_urls,
            },
            patience,
            settings: rules,
            clock,
            metrics,
            member: Mutex::new(None),
            outstanding: Mutex::default(),
            untold: Mutex::default(),
            last_look: Mutex::new(None),
            applied: watch::Sender::new(None),
            beat_now: Notify::new(),
            tell_now: Notify::new(),
        });
        let task = tokio::spawn(Arc::clone(&fleet).run());
        (fleet, AbortOnDropHandle::new(task))
    }

    /// What this node knows of purges.
    pub const fn plane(&self) -> &Arc<PurgePlane> {
        &self.plane
    }

    /// Whether what another node has stamped can be compared with what this one knows.
    pub(super) fn recognises(&self, stamp: Stamp) -> bool {
        self.member.lock().as_ref().is_some_and(|member| member.recognises(stamp))
    }

    /// Up to where this node has applied the log; `None` until it has joined. A receiver may miss
    /// numbers, and is woken more often than they change.
    pub fn applied(&self) -> watch::Receiver<Option<Stamp>> {
        self.applied.subscribe()
    }

    /// Waits until the node has joined and can vouch for what it knows.
    pub async fn joined(&self) {
        let mut applied = self.applied.subscribe();
        while self.plane.is_fenced() {
            // The sender is held by `self`.
            let _ = applied.changed().await;
        }
    }

    /// Says that the node is no more, so that nobody waits for it. Its task must have ended.
    pub async fn leave(&self) {
        let said = tokio::time::timeout(self.patience, self.wire.strike_off(&self.node)).await;
        if !matches!(said, Ok(Ok(()))) {
            tracing::debug!("left without a word");
        }
    }

    /// Purges the tags on every node.
    pub(super) async fn purge(
        &self,
        request: &PurgeRequest,
        source: PurgeSource,
    ) -> Result<Stamp, Unacknowledged> {
        // Before it is sent: whoever comes into another lineage meanwhile must say it again.
        self.outstanding.lock().keep(request.clone(), self.clock.monotonic());
        let stamp = self.number(request, source).await.inspect_err(|error| {
            tracing::warn!(%error, tags = request.len(), "a purge is not acknowledged");
            // Its sender brings it again, and tries must not pile up.
            self.outstanding.lock().give_up(request);
        })?;
        // So that what this node fetches from now on is stamped late enough to be kept. The purge is
        // in force already, so it does no harm if that takes too long.
        let mut applied = self.applied.subscribe();
        let caught_up = applied.wait_for(|applied| {
            applied.is_none_or(|applied| {
                applied.lineage != stamp.lineage || applied.sequence >= stamp.sequence
            })
        });
        let _ = tokio::time::timeout(self.patience, caught_up).await;
        Ok(stamp)
    }

    /// Purges the tags of what an unsafe request has changed. The one who made it is not kept
    /// waiting for a plane that is away: then the others hear of it later.
    pub(super) async fn invalidate(
        &self,
        tags: Vec<Tag>,
        watched: Option<(&TagSet, Stamp)>,
    ) -> (Stamp, PurgeState) {
        let meanwhile = watched.map(|(tags, since)| self.plane.state_since(tags, since));
        // In force here before anything is waited for: the origin has changed, and the client may
        // leave. The others are told later where they cannot be told at once.
        let mut untold = Untold::of(self, PurgeRequest { hard: tags, soft: Vec::new() });
        self.plane.mark_unnumbered(&untold.request);
        let numbering = self.number(&untold.request, PurgeSource::UnsafeRequest);
        let numbered = tokio::time::timeout(self.patience, numbering).await;
        let Ok(Ok(stamp)) = numbered else {
            return (self.plane.stamp(), PurgeState::HardPurged);
        };
        untold.request = PurgeRequest::default();
        // Between the two numbers there was no other purge.
        let is_next = watched.is_some_and(|(_, since)| {
            since.lineage == stamp.lineage && since.sequence.next() == stamp.sequence
        });
        match meanwhile {
            Some(state) if is_next => (stamp, state),
            _ => (stamp, PurgeState::HardPurged),
        }
    }

    /// Keeps what is to be told. Anyone can make the requests that invalidate URLs, so of those there
    /// are no more than can be remembered: past it all URLs are purged at once.
    fn keep_untold(&self, request: PurgeRequest) {
        if request.is_empty() {
            return;
        }
        let mut untold = self.untold.lock();
        untold.merge(request);
        untold.deduplicate();
        if untold.hard.iter().filter(|tag| tag.is_generic()).count() > self.bounds.max_urls {
            untold.hard.retain(|tag| !tag.is_generic());
            untold.hard.push(Tag::generic());
        }
        self.tell_now.notify_one();
    }

    /// Waits until every live node has applied the purges up to the stamp, or for a time limit.
    pub(super) async fn spread(&self, stamp: Stamp) -> Spread {
        let mut spread = Spread { is_known: false, ..Spread::default() };
        let waiting = async {
            // Whoever applies this one beats at once.
            let nothing = PurgeRequest::default();
            let stands = self.wire.purge(stamp.lineage, nothing, self.bounds, true).await?;
            let last = match stands {
                Numbered::Stands(entry, _) => entry.sequence.max(stamp.sequence),
                Numbered::Moved => stamp.sequence,
            };
            let mut pause = FIRST_LOOK;
            loop {
                spread = self.look_around(stamp.lineage, last).await?;
                if spread.pending.is_empty() {
                    return Ok::<_, LinkError>(());
                }
                self.clock.sleep(pause).await;
                pause = (pause * 2).min(LAST_LOOK);
            }
        };
        let limit = self.clock.sleep(self.settings.fleet_timeout);
        tokio::select! {
            ended = waiting => if let Err(error) = ended {
                tracing::warn!(%error, "it cannot be told who has applied a purge");
            },
            () = limit => {}
        }
        spread
    }

    /// Who has applied the purges up to the stamp by now. A node that was not heard of for as long
    /// as its fence takes to fall serves nothing strict, and is not waited for.
    async fn look_around(&self, lineage: Lineage, sequence: Sequence) -> Result<Spread, LinkError> {
        let mut spread = Spread { is_known: true, ..Spread::default() };
        let nodes = self.wire.nodes().await?;
        let live = nodes.into_iter().filter(|said| said.age <= self.settings.fence_after);
        for said in live {
            let has_applied = match said.lineage == lineage {
                true => said.sequence >= sequence,
                // Another life has begun; nothing from before it is served.
                false => said.lineage.generation > lineage.generation,
            };
            if has_applied { &mut spread.applied } else { &mut spread.pending }.push(said.node);
        }
        spread.applied.sort_unstable();
        spread.pending.sort_unstable();
        Ok(spread)
    }

    /// Has a purge numbered, and puts it in force here.
    async fn number(
        &self,
        request: &PurgeRequest,
        source: PurgeSource,
    ) -> Result<Stamp, Unacknowledged> {
        let mut applied = self.applied.subscribe();
        for _ in 0..MAX_TRIES {
            let Some(lineage) = self.lineage() else { return Err(Unacknowledged::Unreachable) };
            match self.number_in(lineage, request, source).await {
                Ok(Position { sequence, nonce }) => {
                    self.replicate(lineage).await?;
                    return Ok(Stamp { lineage, sequence, nonce });
                }
                Err(Failed::Link(error)) => {
                    tracing::debug!(%error, tags = request.len(), "a purge cannot be said to stand");
                    return Err(Unacknowledged::Unreachable);
                }
                Err(Failed::Overtaken) => {}
                Err(Failed::Moved) => {
                    self.beat_now.notify_one();
                    let moved = applied.wait_for(|applied| {
                        applied.is_some_and(|applied| applied.lineage != lineage)
                    });
                    let limit = self.settings.command_timeout;
                    if tokio::time::timeout(limit, moved).await.is_err() {
                        break;
                    }
                }
            }
        }
        Err(Unacknowledged::BeginningAnew)
    }

    /// Has every piece of a purge numbered in this lineage; returns the last.
    async fn number_in(
        &self,
        lineage: Lineage,
        request: &PurgeRequest,
        source: PurgeSource,
    ) -> Result<Position, Failed> {
        use futures_util::{StreamExt, TryStreamExt, stream};
        let pieces = request
            .pieces(MAX_TAGS_PER_ENTRY)
            .map(|piece| self.number_piece(lineage, piece, source));
        let entries = stream::iter(pieces).buffered(ENTRIES_UNDER_WAY);
        let later = |last: Position, entry: Position| async move {
            Ok(if entry.sequence > last.sequence { entry } else { last })
        };
        entries.try_fold(Position::default(), later).await
    }

    async fn number_piece(
        &self,
        lineage: Lineage,
        piece: PurgeRequest,
        source: PurgeSource,
    ) -> Result<Position, Failed> {
        match self.wire.purge(lineage, piece, self.bounds, false).await? {
            Numbered::Moved => Err(Failed::Moved),
            Numbered::Stands(entry, request) => {
                let known = self.member.lock().as_mut().map(|m| m.acknowledge(lineage, entry));
                match known {
                    Some(OwnPurge::Unknown) => return Err(Failed::Overtaken),
                    Some(OwnPurge::Contradicts) => {
                        tracing::warn!("a purge was given a number that was given before");
                        return Err(Failed::Moved);
                    }
                    Some(OwnPurge::Stands) | None => {}
                }
                let Position { sequence, nonce } = entry;
                let stamp = Stamp { lineage, sequence, nonce };
                match self.plane.mark_ahead(stamp, &request) {
                    true => {
                        self.plane.feed().note(stamp, source, &request);
                        Ok(entry)
                    }
                    false => Err(Failed::Moved),
                }
            }
        }
    }

    /// Waits for as many replicas as are asked for.
    async fn replicate(&self, lineage: Lineage) -> Result<(), Unacknowledged> {
        let wanted = self.settings.replicas;
        if wanted == 0 {
            return Ok(());
        }
        match self.wire.wait(lineage, wanted, self.bounds).await {
            Ok(Some(have)) if have >= wanted => Ok(()),
            Ok(Some(_)) => Err(Unacknowledged::TooFewReplicas),
            Ok(None) => Err(Unacknowledged::BeginningAnew),
            Err(_) => Err(Unacknowledged::Unreachable),
        }
    }

    fn lineage(&self) -> Option<Lineage> {
        self.member.lock().as_ref().map(|member| member.stamp().lineage)
    }
}
