//! The task that keeps a node's place among the others. It joins, then follows the log and beats side
//! by side, until either says that the place is lost; then it joins again.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use super::wire::Entry;
use super::{Failed, Fleet, Untold};
use crate::purge::member::{Beat, Member, Position, Report, Step, Verdict};
use crate::purge::{PurgeRequest, PurgeSource, Sequence, Stamp};
use crate::redis::LinkError;

/// How often old marks are forgotten, and nodes struck off that were not heard of for as long.
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// Tags that are applied in one go, and the pause after so many. A bulk purge would keep a core from
/// requests for tens of milliseconds; it may take its time instead.
const PART_TAGS: usize = 500;
const BREATH: Duration = Duration::from_millis(1);

fn tags_of(entries: &[Option<Entry>]) -> usize {
    entries.iter().flatten().map(|entry| entry.request.len()).sum()
}

/// Entries in their order, in parts of so many tags, or a single entry of more.
fn parts(entries: &[Option<Entry>]) -> impl Iterator<Item = &[Option<Entry>]> {
    let mut rest = entries;
    std::iter::from_fn(move || {
        let mut tags = 0;
        let is_within = |entry: &&Option<Entry>| {
            let before = tags;
            tags += entry.as_ref().map_or(0, |entry| entry.request.len());
            before < PART_TAGS
        };
        let len = rest.iter().take_while(is_within).count();
        let (part, after) = rest.split_at_checked(len)?;
        rest = after;
        (len > 0).then_some(part)
    })
}

/// Beats come at most this many times as often as they must.
const SOONER: u32 = 10;

/// Why the node leaves its place.
enum Left {
    Verdict(Verdict),
    Lost(LinkError),
}

impl From<LinkError> for Left {
    fn from(error: LinkError) -> Self {
        Self::Lost(error)
    }
}

/// An error, and what Redis or the system said.
fn with_cause(error: &LinkError) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

impl Fleet {
    pub(super) async fn run(self: Arc<Self>) {
        let mut has_inspected = false;
        // What keeps the node out is said once, not with every beat.
        let mut said = String::new();
        loop {
            if !has_inspected {
                has_inspected = self.inspect().await.is_ok();
            }
            let began = self.clock.monotonic();
            let left = match self.join().await {
                Ok(()) => {
                    said.clear();
                    tokio::select! {
                        left = self.follow() => left,
                        left = self.beat_on() => left,
                        left = self.tell_untold() => left,
                        left = self.upkeep() => left,
                    }
                }
                Err(left) => left,
            };
            match left {
                Left::Verdict(verdict) => tracing::warn!(?verdict, "joining the fleet anew"),
                Left::Lost(error) => {
                    let why = with_cause(&error);
                    if why != said {
                        tracing::warn!(error = why, "the purge plane is away");
                    }
                    said = why;
                }
            }
            // Once a beat is enough, whatever goes wrong.
            let lasted = self.clock.monotonic().saturating_sub(began);
            self.clock.sleep(self.settings.heartbeat.saturating_sub(lasted)).await;
        }
    }

    /// Warns of a Redis that is set up to lose purges.
    async fn inspect(&self) -> Result<(), LinkError> {
        self.wire.beats.up().await;
        match self.wire.eviction_policy().await? {
            Some(policy) if policy.starts_with("allkeys") => tracing::warn!(
                policy,
                "the purge plane's Redis may evict its keys: set maxmemory-policy to noeviction"
            ),
            _ => {}
        }
        Ok(())
    }

    /// Finds the node's place: in the lineage that stands, with every purge of it.
    async fn join(&self) -> Result<(), Left> {
        let held = self.member.lock().clone();
        let asked = held.as_ref().map(|member| member.beat(self.clock.monotonic()));
        let seen = asked.map_or(Sequence::default(), |beat| beat.seen.sequence);
        let generation = asked.map_or(0, |beat| beat.lineage.generation).saturating_add(1);
        let (mut report, mut as_of) = self.wire.begin(None, generation, seen, seen).await?;

        let mut unproven = false;
        if let (Some(mut member), Some(beat)) = (held, asked) {
            match member.judge(beat, &report) {
                // Whether the log goes on from what is applied shows as it is followed, not here.
                Verdict::Sound | Verdict::Enter => unproven = member.is_ahead(),
                Verdict::CatchUp => unproven = true,
                Verdict::Renew { instead_of, generation, past } => {
                    tracing::warn!(generation, "acknowledged purges are lost: beginning anew");
                    (report, as_of) = self.wire.begin(instead_of, generation, past, seen).await?;
                }
            }
        }
        // Where the newest entry is gone, the log was: nothing can be told from what is left.
        let (Some(lineage), Some(nonce)) = (report.lineage, report.nonce) else {
            let generation =
                report.lineage.map_or(0, |old| old.generation).max(generation).saturating_add(1);
            self.wire.begin(report.lineage, generation, report.sequence.max(seen), seen).await?;
            return Err(Left::Verdict(Verdict::Enter));
        };

        self.plane.lower_fence();
        let marks = self.plane.marks();
        let now = self.clock.monotonic();
        let scan = self.wire.scan(lineage, as_of, |mark| {
            marks.note(&mark.tag, mark.mode, mark.number, now.saturating_sub(mark.age));
        });
        if !scan.await? {
            tracing::warn!("the purges' marks are lost: beginning anew");
            let generation = lineage.generation.saturating_add(1);
            self.wire.begin(report.lineage, generation, report.sequence.max(seen), seen).await?;
            return Err(Left::Verdict(Verdict::Enter));
        }
        tracing::info!(
            generation = lineage.generation,
            sequence = report.sequence.as_u64(),
            tags = marks.len(),
            "joined the fleet"
        );
        let entry = Position { sequence: report.sequence, nonce };
        let stamp = Stamp { lineage, sequence: entry.sequence, nonce };
        let is_other = asked.is_none_or(|beat| beat.lineage != lineage);
        if is_other && asked.is_some() {
            self.metrics.purge_lineages_entered.inc();
        }
        {
            let mut place = self.member.lock();
            let mut member = Member::at(lineage, entry);
            if let Some(held) = &*place {
                // A purge of its own may have been acknowledged meanwhile.
                member.succeed(held);
            }
            match is_other {
                true => self.plane.enter(stamp, marks),
                false => self.plane.catch_up(stamp, &marks, unproven),
            }
            *place = Some(member);
        }
        self.applied.send_replace(Some(stamp));
        if (is_other || unproven) && asked.is_some() {
            let again = self.outstanding.lock().all(self.clock.monotonic());
            self.keep_untold(again);
        }
        Ok(())
    }

    /// Tells the others what they could not be told when it happened, or were told by a Redis that
    /// has lost it since.
    async fn tell_untold(&self) -> Left {
        loop {
            self.tell_now.notified().await;
            let Some(lineage) = self.lineage() else { return Left::Verdict(Verdict::Enter) };
            let request = std::mem::take(&mut *self.untold.lock());
            let mut untold = Untold::of(self, request);
            match self.number_in(lineage, &untold.request, PurgeSource::ToldLater).await {
                Ok(_) => untold.request = PurgeRequest::default(),
                Err(Failed::Moved) => return Left::Verdict(Verdict::Enter),
                Err(Failed::Overtaken | Failed::Link(_)) => {
                    drop(untold);
                    self.clock.sleep(self.settings.heartbeat).await;
                }
            }
        }
    }

    /// Applies what comes in the log.
    async fn follow(&self) -> Left {
        loop {
            let Some(stamp) = *self.applied.borrow() else { return Left::Verdict(Verdict::Enter) };
            match self.wire.read(stamp.sequence).await {
                Ok(entries) => {
                    for part in parts(&entries) {
                        if let Err(verdict) = self.take(part) {
                            return Left::Verdict(verdict);
                        }
                        if tags_of(part) >= PART_TAGS {
                            tokio::time::sleep(BREATH).await;
                        }
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "the log cannot be read");
                    self.wire.log.up().await;
                    self.clock.sleep(self.settings.heartbeat).await;
                }
            }
        }
    }

    /// Applies entries in their order, as far as they follow from what is applied.
    fn take(&self, entries: &[Option<Entry>]) -> Result<(), Verdict> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut place = self.member.lock();
        let Some(member) = &mut *place else { return Err(Verdict::Enter) };
        let mut next = Vec::with_capacity(entries.len());
        let mut ended = Ok(());
        for entry in entries {
            let Some(entry) = entry else {
                ended = Err(Verdict::CatchUp);
                break;
            };
            match member.follow(entry.lineage, entry.position, entry.after) {
                Step::Apply => next.push((entry.position, &entry.request)),
                Step::Skip => {}
                Step::Leave(verdict) => {
                    ended = Err(verdict);
                    break;
                }
            }
        }
        let stamp = member.stamp();
        for (Position { sequence, nonce }, request) in &next {
            let entry = Stamp { lineage: stamp.lineage, sequence: *sequence, nonce: *nonce };
            self.plane.feed().note(entry, PurgeSource::OtherNode, request);
        }
        self.plane.apply(stamp.lineage, next);
        self.vouch(member)?;
        drop(place);
        self.applied.send_replace(Some(stamp));
        if entries.iter().flatten().any(|entry| entry.is_waited_for) {
            self.beat_now.notify_one();
        }
        ended
    }

    fn vouch(&self, member: &mut Member) -> Result<(), Verdict> {
        if let Some(asked_at) = member.vouched_from()? {
            self.plane.vouch_from(asked_at);
        }
        Ok(())
    }

    /// Beats, and gives up the log's connection when it stays behind what beats tell.
    async fn beat_on(&self) -> Left {
        let mut stuck_since = None;
        loop {
            let Some(beat) = self
                .member
                .lock()
                .as_ref()
                .map(|member| (member.beat(self.clock.monotonic()), member.stamp()))
            else {
                return Left::Verdict(Verdict::Enter);
            };
            let (beat, before) = beat;
            match self.wire.beat(&self.node, before, beat).await {
                Ok(report) => {
                    let applied = match self.heed(beat, &report) {
                        Ok(applied) => applied,
                        Err(verdict) => return Left::Verdict(verdict),
                    };
                    let is_stuck = applied == before.sequence && report.sequence > applied;
                    let since = *stuck_since.get_or_insert(beat.sent_at);
                    if !is_stuck {
                        stuck_since = None;
                    } else if beat.sent_at.saturating_sub(since) > self.settings.fence_after / 2 {
                        stuck_since = None;
                        self.wire.log.replace();
                    }
                }
                Err(error) => tracing::debug!(%error, "a beat was not answered"),
            }
            // Sooner where somebody waits for the fleet, but not as often as somebody may wait.
            let rest = self.settings.heartbeat / SOONER;
            self.clock.sleep(rest).await;
            tokio::select! {
                () = self.clock.sleep(self.settings.heartbeat - rest) => {}
                () = self.beat_now.notified() => {}
            }
        }
    }

    /// Takes in what a beat was answered; returns what is applied by now.
    fn heed(&self, beat: Beat, report: &Report) -> Result<Sequence, Verdict> {
        let mut place = self.member.lock();
        let Some(member) = &mut *place else { return Err(Verdict::Enter) };
        match member.judge(beat, report) {
            Verdict::Sound => {}
            verdict => return Err(verdict),
        }
        self.vouch(member)?;
        let applied = member.stamp().sequence;
        let behind = report.sequence.as_u64().saturating_sub(applied.as_u64());
        self.metrics.purge_behind.set(i64::try_from(behind).unwrap_or(i64::MAX));
        drop(place);
        // For who waits for the fence.
        self.applied.send_modify(|_| ());
        Ok(applied)
    }

    /// Forgets in Redis what no living answer can be older than.
    async fn upkeep(&self) -> Left {
        loop {
            self.clock.sleep(FORGET_EVERY).await;
            let done = async {
                // A Redis that is full refuses this, and is the one that must forget.
                if !self.wire.takes_turn(&self.node, FORGET_EVERY).await.unwrap_or(true) {
                    return Ok(());
                }
                self.wire.forget(self.plane.remembered_for()).await?;
                for said in self.wire.nodes().await? {
                    if said.age > FORGET_EVERY {
                        self.wire.strike_off(&said.node).await?;
                    }
                }
                Ok::<_, LinkError>(())
            };
            if let Err(error) = done.await {
                tracing::debug!(%error, "old purges cannot be forgotten");
            }
        }
    }
}
