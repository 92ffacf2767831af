//! The task that keeps a node's place among the others. It joins, then follows the log and beats side
//! by side, until either says that the place is lost; then it joins again.

use std::sync::Arc;
use std::time::Duration;

use super::wire::Entry;
use super::{Failed, Fleet};
use crate::purge::member::{Beat, Member, Position, Report, Step, Verdict};
use crate::purge::{Lineage, PurgeRequest, Sequence, Stamp};
use crate::redis::LinkError;

/// How often old marks are forgotten, and nodes struck off that were not heard of for as long.
const FORGET_EVERY: Duration = Duration::from_secs(600);

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

/// What is being told, and is to be told once more unless that ends well.
struct Untold<'a> {
    fleet: &'a Fleet,
    request: PurgeRequest,
}

impl Drop for Untold<'_> {
    fn drop(&mut self) {
        self.fleet.untold.lock().merge(std::mem::take(&mut self.request));
    }
}

impl Fleet {
    pub(super) async fn run(self: Arc<Self>) {
        let mut has_inspected = false;
        loop {
            if !has_inspected {
                has_inspected = self.inspect().await.is_ok();
            }
            let began = self.clock.monotonic();
            let left = match self.join().await {
                Ok(()) => tokio::select! {
                    left = self.follow() => left,
                    left = self.beat_on() => left,
                    left = self.upkeep() => left,
                },
                Err(left) => left,
            };
            match left {
                Left::Verdict(verdict) => tracing::warn!(?verdict, "joining the fleet anew"),
                Left::Lost(error) => tracing::debug!(%error, "the fleet cannot be joined"),
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
            self.untold.lock().merge(again);
        }
        self.tell_untold(lineage).await
    }

    /// Tells the others what they could not be told when it happened, or were told by a Redis that
    /// has lost it since.
    async fn tell_untold(&self, lineage: Lineage) -> Result<(), Left> {
        let mut untold = Untold { fleet: self, request: std::mem::take(&mut self.untold.lock()) };
        match self.number_in(lineage, &untold.request).await {
            Ok(_) => {
                untold.request = PurgeRequest::default();
                Ok(())
            }
            Err(Failed::Moved) => Err(Left::Verdict(Verdict::Enter)),
            Err(Failed::Link(error)) => Err(error.into()),
        }
    }

    /// Applies what comes in the log.
    async fn follow(&self) -> Left {
        loop {
            let Some(stamp) = *self.applied.borrow() else { return Left::Verdict(Verdict::Enter) };
            match self.wire.read(stamp.sequence).await {
                Ok(entries) => {
                    if let Err(verdict) = self.take(&entries) {
                        return Left::Verdict(verdict);
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
                    if let Err(left) = self.tell_untold(beat.lineage).await {
                        tracing::debug!("what happened while the plane was away is still untold");
                        if let Left::Verdict(_) = left {
                            return left;
                        }
                    }
                }
                Err(error) => tracing::debug!(%error, "a beat was not answered"),
            }
            tokio::select! {
                () = self.clock.sleep(self.settings.heartbeat) => {}
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
                if !self.wire.takes_turn(&self.node, FORGET_EVERY).await? {
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
