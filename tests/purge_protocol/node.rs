//! A node, as `purge::fleet` and `purge::plane` drive a [`Member`]. Each method is one step: what
//! Redis does at once, or what the node does under its lock.

mod joining;

use std::time::Duration;

use csu_edge::purge::member::{Beat, Member, OwnPurge, Position, Report, Step, Verdict};
use csu_edge::purge::{Lineage, Sequence, Stamp};

use joining::Phase;

use crate::redis::{Entry, Redis};
use crate::rules::{Rules, Tags, Time, Version};

/// An answer that carries the watched tag.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Answer {
    pub(crate) version: Version,
    pub(crate) stamp: Stamp,
}

/// A fetch that has left.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Fetch {
    stamp: Stamp,
    /// Where the rules have it read too early.
    version: Option<Version>,
}

/// A purge that stands in Redis, whose answer is on its way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct UnderWay {
    lineage: Lineage,
    position: Position,
    pub(crate) tags: Tags,
    pub(crate) version: Version,
}

/// A beat that was answered, with the answer on its way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Answered {
    beat: Beat,
    report: Report,
}

/// What became of a purge whose answer has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    Acknowledged,
    /// Nobody can say that it stands; it is to be said again.
    Refused,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Node {
    pub(crate) phase: Phase,
    /// Versions whose purges it has acknowledged.
    pub(crate) acknowledged: Version,
    pub(crate) answers: Vec<Answer>,
    pub(crate) fetch: Option<Fetch>,
    pub(crate) under_way: Vec<UnderWay>,
    member: Option<Member>,
    mark: Sequence,
    usable_from: Sequence,
    /// When the fence falls; 0 where it is down.
    deadline: Time,
    read: Vec<Entry>,
    answered: Option<Answered>,
    /// The last beat that is still to be vouched for. Another that says the same changes nothing.
    last: Option<Answered>,
    /// Acknowledged, in case that they are lost.
    outstanding: Tags,
    /// To be said again.
    untold: Tags,
}

impl Node {
    /// A node that has not joined.
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Out,
            acknowledged: 0,
            answers: Vec::new(),
            fetch: None,
            under_way: Vec::new(),
            member: None,
            mark: Sequence::default(),
            usable_from: Sequence::default(),
            deadline: 0,
            read: Vec::new(),
            answered: None,
            last: None,
            outstanding: Tags::default(),
            untold: Tags::default(),
        }
    }

    pub(crate) fn stamp(&self) -> Option<Stamp> {
        self.member.as_ref().map(Member::stamp)
    }

    pub(crate) fn is_fenced(&self, now: Time, rules: &Rules) -> bool {
        rules.fence && now >= self.deadline
    }

    /// `PurgePlane::check`, of a strict answer: whether it may be served.
    pub(crate) fn may_serve(&self, answer: Answer, now: Time, rules: &Rules) -> bool {
        let Some(own) = self.stamp() else { return false };
        !self.is_fenced(now, rules)
            && (answer.stamp.lineage == own.lineage || !rules.lineage_on_read)
            && answer.stamp.sequence >= self.usable_from
            && self.mark <= answer.stamp.sequence
    }

    /// The same of one that the other node has put into the tier that they share. What was recognised
    /// once is so for as long as the lineage is the node's, so that it makes no difference whether it
    /// is kept in memory from then on.
    pub(crate) fn may_read(&self, answer: Answer, now: Time, rules: &Rules) -> bool {
        let Some(member) = &self.member else { return false };
        let (stamp, own) = (answer.stamp, member.stamp());
        let is_recognised = match rules.stamp_nonces {
            true => member.recognises(stamp),
            false => stamp.lineage != own.lineage || stamp.sequence <= own.sequence,
        };
        (is_recognised || !rules.recognise) && self.may_serve(answer, now, rules)
    }

    // Fetches.

    pub(crate) fn fetch_leaves(&mut self, origin: Version, rules: &Rules) -> Option<()> {
        let stamp = self.stamp().filter(|_| self.fetch.is_none())?;
        self.fetch = Some(Fetch { stamp, version: (!rules.stamp_first).then_some(origin) });
        Some(())
    }

    /// The answer comes, and is stored: here, and where the other node can read it too.
    pub(crate) fn fetch_lands(&mut self, origin: Version, rules: &Rules) -> Option<()> {
        let Fetch { mut stamp, version } = self.fetch.take()?;
        if !rules.stamp_first {
            stamp = self.stamp()?;
        }
        let answer = Answer { version: version.unwrap_or(origin), stamp };
        if answer.version < rules.last_version() && !self.answers.contains(&answer) {
            self.answers.push(answer);
        }
        Some(())
    }

    // Purges.

    /// Redis numbers a purge of this node.
    pub(crate) fn purge(
        &mut self,
        redis: &mut Redis,
        tags: Tags,
        origin: Version,
        rules: &Rules,
    ) -> Option<()> {
        if self.under_way.len() == rules.purges_at_once {
            return None;
        }
        let lineage = self.stamp()?.lineage;
        let position = redis.purge(lineage, tags, rules)?;
        self.under_way.push(UnderWay { lineage, position, tags, version: origin });
        Some(())
    }

    /// The answer to a purge comes: `Fleet::number_piece`.
    pub(crate) fn acknowledge(&mut self, which: usize, rules: &Rules) -> Option<(UnderWay, Told)> {
        if which >= self.under_way.len() {
            return None;
        }
        let purge = self.under_way.remove(which);
        let UnderWay { lineage, position, tags, version } = purge;
        if !self.take_in_own(lineage, position, tags, rules) {
            return Some((purge, Told::Refused));
        }
        self.outstanding = self.outstanding.and(tags);
        if tags.watched {
            self.acknowledged = self.acknowledged.max(version);
        }
        Some((purge, Told::Acknowledged))
    }

    fn take_in_own(&mut self, lineage: Lineage, at: Position, tags: Tags, rules: &Rules) -> bool {
        let Some(member) = &mut self.member else { return false };
        if member.stamp().lineage != lineage {
            return false;
        }
        if member.acknowledge(lineage, at) != OwnPurge::Stands && rules.own_nonces {
            return false;
        }
        if tags.watched && rules.mark_ahead {
            self.mark = self.mark.max(at.sequence);
        }
        true
    }

    // The log.

    pub(crate) fn read(&mut self, redis: &Redis) -> Option<()> {
        if self.phase != Phase::In || !self.read.is_empty() {
            return None;
        }
        let after = self.stamp()?.sequence;
        let entries = redis.log.iter().filter(|entry| entry.position.sequence > after);
        self.read.extend(entries);
        (!self.read.is_empty()).then_some(())
    }

    /// Reads one entry and applies it.
    pub(crate) fn read_and_apply(&mut self, redis: &Redis, rules: &Rules) -> Option<()> {
        self.read(redis)?;
        self.read.truncate(1);
        self.apply(rules)
    }

    /// `Fleet::take`.
    pub(crate) fn apply(&mut self, rules: &Rules) -> Option<()> {
        if self.read.is_empty() {
            return None;
        }
        let entries = std::mem::take(&mut self.read);
        let followed = entries.into_iter().try_for_each(|entry| self.follow(entry, rules));
        let vouched = self.vouch(rules);
        if vouched.and(followed).is_err() {
            self.leave();
        }
        Some(())
    }

    fn follow(&mut self, entry: Entry, rules: &Rules) -> Result<(), Verdict> {
        let member = self.member.as_mut().ok_or(Verdict::Enter)?;
        let after = match rules.after_nonces {
            true => entry.after,
            false => Some(member.stamp().nonce),
        };
        match member.follow(entry.lineage, entry.position, after) {
            Step::Apply => {}
            Step::Skip => return Ok(()),
            Step::Leave(verdict) => return Err(verdict),
        }
        if entry.tags.watched {
            self.mark = self.mark.max(entry.position.sequence);
        }
        Ok(())
    }

    // Beats.

    /// Redis answers a beat.
    pub(crate) fn beat(&mut self, redis: &Redis, now: Time, rules: &Rules) -> Option<()> {
        if self.phase != Phase::In || self.answered.is_some() {
            return None;
        }
        let answered = self.ask(redis, now, rules)?;
        if self.last.as_ref() == Some(&answered) || self.says_nothing_new(&answered, rules) {
            return None;
        }
        self.answered = Some(answered);
        Some(())
    }

    /// Whether the node has heard as much at this time, so that its answer would change nothing
    /// whenever it comes.
    fn says_nothing_new(&self, answered: &Answered, rules: &Rules) -> bool {
        let Some(mut member) = self.member.clone() else { return false };
        rules.vouch_from_sending
            && self.deadline >= seconds(answered.beat.sent_at) + rules.fence_after
            && answered.report.sequence <= member.stamp().sequence
            && member.judge(answered.beat, &answered.report) == Verdict::Sound
            && member.vouched_from().is_ok()
    }

    fn ask(&self, redis: &Redis, now: Time, rules: &Rules) -> Option<Answered> {
        let beat = self.member.as_ref()?.beat(Duration::from_secs(now.into()));
        Some(Answered { beat, report: redis.report(beat.seen.sequence, rules) })
    }

    /// The answer comes: `Fleet::heed`.
    pub(crate) fn heed(&mut self, now: Time, rules: &Rules) -> Option<()> {
        let mut answered = self.answered.take()?;
        let sent_at = answered.beat.sent_at;
        if !rules.vouch_from_sending {
            answered.beat.sent_at = Duration::from_secs(now.into());
        }
        let member = self.member.as_mut()?;
        if member.judge(answered.beat, &answered.report) != Verdict::Sound {
            self.leave();
            return Some(());
        }
        if !rules.vouch_when_applied {
            self.deadline = self.deadline.max(seconds(sent_at) + rules.fence_after);
        }
        self.last = Some(answered);
        if self.vouch(rules).is_err() {
            self.leave();
        }
        Some(())
    }

    /// Vouches for what is known, unless what is applied is not what Redis has.
    fn vouch(&mut self, rules: &Rules) -> Result<(), Verdict> {
        let member = self.member.as_mut().ok_or(Verdict::Enter)?;
        if let Some(asked_at) = member.vouched_from()? {
            self.deadline = self.deadline.max(seconds(asked_at) + rules.fence_after);
        }
        let applied = member.stamp().sequence;
        self.last = self.last.take().filter(|last| last.report.sequence > applied);
        Ok(())
    }

    /// Time has passed. What cannot count any more is the same whenever it was.
    pub(crate) fn notice_time(&mut self, now: Time, rules: &Rules) {
        let is_past = |deadline: Time| deadline <= now;
        if is_past(self.deadline) {
            self.deadline = 0;
        }
        if let Some(answered) = &mut self.answered
            && is_past(seconds(answered.beat.sent_at) + rules.fence_after)
        {
            answered.beat.sent_at = Duration::ZERO;
        }
        self.last = None;
    }
}

fn seconds(reading: Duration) -> Time {
    Time::try_from(reading.as_secs()).unwrap()
}
