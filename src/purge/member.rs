//! What a node makes of the fleet's sequence: pure, so that every interleaving of it can be run.
//!
//! Redis numbers the purges, keeps them in a log and names the *lineage*, one life of the sequence.
//! Each entry of the log carries a random nonce. That is what makes a loss visible: a primary that
//! dies may take acknowledged purges with it, and the one that follows it gives their numbers away
//! again. The numbers look right; the nonces do not.
//!
//! * A node **follows** the log without a gap ([`Member::follow`]).
//! * In a **beat** it asks what stands at the newest number that it has *seen*: applied, or been
//!   given as the answer to a purge of its own ([`Member::judge`]). If that is something else or
//!   nothing, purges that were acknowledged are lost, and the node begins a new lineage with numbers
//!   past all that it has seen. Every older answer, on every node, is then of another lineage.
//! * A good beat lets the node **vouch** for what it knows, from the moment at which it asked
//!   ([`Member::vouched_from`]): as soon as it has applied the number that Redis told it, and found
//!   the same nonce there. Without that nonce, a log that is read from one server and a beat that is
//!   answered by another would agree by chance.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::stamp::{Lineage, Nonce, Sequence, Stamp};

/// Nonces of applied entries that are kept to be compared with what beats tell; past it a beat is
/// not vouched for, and the next one is.
const MAX_RECENT: usize = 4_096;

/// Beats that wait to be caught up with; past it the oldest is given up.
const MAX_UNMET: usize = 64;

/// An entry of the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Position {
    /// Its number.
    pub sequence: Sequence,
    /// Its nonce.
    pub nonce: Nonce,
}

/// What a beat asks about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Beat {
    /// When it was sent, on the monotonic clock.
    pub sent_at: Duration,
    /// The lineage that the node believes in.
    pub lineage: Lineage,
    /// The newest entry that the node has seen.
    pub seen: Position,
}

/// What Redis says of the sequence.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Report {
    /// The lineage; none where nobody has begun one, or it was lost.
    pub lineage: Option<Lineage>,
    /// The number of the last purge.
    pub sequence: Sequence,
    /// The nonce at that number; none where its entry is gone.
    pub nonce: Option<Nonce>,
    /// The nonce at the number that was asked about.
    pub nonce_at_seen: Option<Nonce>,
    /// The oldest number that is in the log.
    pub oldest: Option<Sequence>,
}

/// What the node is to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// Go on.
    Sound,
    /// Another lineage has begun: enter it.
    Enter,
    /// The log no longer reaches back to where the node is, so that nobody can tell whether it went
    /// on from there: read all marks, and trust no answer from before.
    CatchUp,
    /// Acknowledged purges are lost: begin a lineage, unless somebody else has.
    Renew {
        /// The lineage that stands there.
        instead_of: Option<Lineage>,
        /// The generation to begin.
        generation: u64,
        /// The new numbers are larger.
        past: Sequence,
    },
}

/// What is to be done with an entry of the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// It is the next: apply it.
    Apply,
    /// It is applied already.
    Skip,
    /// It cannot be applied.
    Leave(Verdict),
}

/// Whether a purge of a node's own stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OwnPurge {
    /// As far as the node can tell.
    Stands,
    /// The node has applied more by now than it remembers the nonces of: it may stand.
    Unknown,
    /// The node has seen another entry of that number. So purges are lost, and answers that are
    /// stamped with that number would pass for later ones.
    Contradicts,
}

/// A node's place in the fleet.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Member {
    lineage: Lineage,
    applied: Sequence,
    seen: Position,
    /// Purges of its own that stand and are not applied yet.
    own: BTreeMap<Sequence, Nonce>,
    /// The last applied entries, oldest first; never none.
    recent: VecDeque<Position>,
    /// What beats have told and was not compared yet, oldest first.
    unmet: VecDeque<(Duration, Position)>,
}

impl Member {
    /// A member that has the purges up to this entry of this lineage.
    pub fn at(lineage: Lineage, position: Position) -> Self {
        Self {
            lineage,
            applied: position.sequence,
            seen: position,
            own: BTreeMap::new(),
            recent: VecDeque::from([position]),
            unmet: VecDeque::new(),
        }
    }

    /// The purges that it has applied.
    pub fn stamp(&self) -> Stamp {
        let nonce = self.recent.back().map(|entry| entry.nonce).unwrap_or_default();
        Stamp { lineage: self.lineage, sequence: self.applied, nonce }
    }

    /// Whether what another node has stamped can be compared with what this one knows. A number that
    /// is ahead of it may be one that Redis has lost and given away again since, and so may one that
    /// is not, with another nonce.
    pub fn recognises(&self, stamp: Stamp) -> bool {
        stamp.lineage != self.lineage
            || stamp.sequence <= self.applied
                && self.nonce_applied_at(stamp.sequence).is_none_or(|nonce| nonce == stamp.nonce)
    }

    /// What a beat that is sent now asks about.
    pub const fn beat(&self, sent_at: Duration) -> Beat {
        Beat { sent_at, lineage: self.lineage, seen: self.seen }
    }

    /// Whether a purge of its own is not applied yet.
    pub fn is_ahead(&self) -> bool {
        !self.own.is_empty()
    }

    /// Takes over what another place of the same node knows of purges of its own.
    pub fn succeed(&mut self, held: &Self) {
        for (&sequence, &nonce) in &held.own {
            // What contradicts it shows as it is followed.
            self.acknowledge(held.lineage, Position { sequence, nonce });
        }
    }

    /// Takes in that a purge of its own stands as this entry.
    pub fn acknowledge(&mut self, lineage: Lineage, entry: Position) -> OwnPurge {
        if lineage != self.lineage {
            return OwnPurge::Stands;
        }
        let known = match entry.sequence <= self.applied {
            true => match self.nonce_applied_at(entry.sequence) {
                None => return OwnPurge::Unknown,
                known => known,
            },
            false => self.own.insert(entry.sequence, entry.nonce),
        };
        if self.own.len() > MAX_RECENT {
            self.own.pop_first();
        }
        if known.is_some_and(|known| known != entry.nonce) {
            return OwnPurge::Contradicts;
        }
        if entry.sequence > self.seen.sequence {
            self.seen = entry;
        }
        OwnPurge::Stands
    }

    fn nonce_applied_at(&self, sequence: Sequence) -> Option<Nonce> {
        // One after the other, without a gap.
        let first = self.recent.front()?.sequence.as_u64();
        let at = usize::try_from(sequence.as_u64().checked_sub(first)?).ok()?;
        self.recent.get(at).map(|entry| entry.nonce)
    }

    /// Takes in the next entry of the log, and the nonce of the one that it was written after. A
    /// server that has lost purges and got others in their place differs in that, where the number
    /// goes on as it should.
    pub fn follow(&mut self, lineage: Lineage, entry: Position, after: Option<Nonce>) -> Step {
        if lineage != self.lineage {
            return Step::Leave(Verdict::Enter);
        }
        if entry.sequence <= self.applied {
            return Step::Skip;
        }
        if entry.sequence > self.applied.next() {
            return Step::Leave(Verdict::CatchUp);
        }
        let own = self.own.get(&entry.sequence);
        if after != self.nonce_applied_at(self.applied)
            || own.is_some_and(|nonce| *nonce != entry.nonce)
        {
            return Step::Leave(self.renewal(Some(lineage), entry.sequence));
        }
        self.own.remove(&entry.sequence);
        self.applied = entry.sequence;
        if entry.sequence > self.seen.sequence {
            self.seen = entry;
        }
        if self.recent.len() == MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(entry);
        Step::Apply
    }

    /// Takes in the answer to a beat.
    pub fn judge(&mut self, beat: Beat, report: &Report) -> Verdict {
        if beat.lineage != self.lineage {
            // Asked in another life.
            return Verdict::Sound;
        }
        match report.lineage {
            Some(lineage) if lineage == self.lineage => {}
            Some(lineage) if lineage.generation > self.lineage.generation => return Verdict::Enter,
            // An older life, one that was given the same number, or none.
            other => return self.renewal(other, report.sequence),
        }
        let is_trimmed = || report.oldest.is_some_and(|oldest| oldest > beat.seen.sequence);
        match report.nonce_at_seen {
            Some(nonce) if nonce == beat.seen.nonce => {}
            None if is_trimmed() => return Verdict::CatchUp,
            _ => return self.renewal(report.lineage, report.sequence),
        }
        // The newest entry is never trimmed: the number was changed, and no purge can get the next.
        let Some(nonce) = report.nonce else {
            return self.renewal(report.lineage, report.sequence);
        };
        // What was told before, and is not there any more, was lost before it was followed.
        let newest = Position { sequence: report.sequence, nonce };
        let was_lost = |told: Position| {
            told.sequence > newest.sequence
                || told.sequence == newest.sequence && told.nonce != newest.nonce
        };
        if self.unmet.back().is_some_and(|(_, told)| was_lost(*told)) {
            return self.renewal(report.lineage, report.sequence);
        }
        if self.unmet.len() == MAX_UNMET {
            self.unmet.pop_front();
        }
        self.unmet.push_back((beat.sent_at, newest));
        Verdict::Sound
    }

    /// From when on the node can vouch for what it knows, if it has caught up with a beat since the
    /// last call.
    ///
    /// # Errors
    /// What it has applied is not what Redis has at the same number.
    pub fn vouched_from(&mut self) -> Result<Option<Duration>, Verdict> {
        let mut vouched_from = None;
        while let Some(&(sent_at, told)) = self.unmet.front()
            && told.sequence <= self.applied
        {
            self.unmet.pop_front();
            match self.nonce_applied_at(told.sequence) {
                Some(nonce) if nonce == told.nonce => vouched_from = Some(sent_at),
                Some(_) => return Err(self.renewal(Some(self.lineage), told.sequence)),
                None => {}
            }
        }
        Ok(vouched_from)
    }

    fn renewal(&self, instead_of: Option<Lineage>, told: Sequence) -> Verdict {
        let theirs = instead_of.map_or(0, |lineage| lineage.generation);
        Verdict::Renew {
            instead_of,
            generation: self.lineage.generation.max(theirs).saturating_add(1),
            past: self.seen.sequence.max(self.applied).max(told),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINE: Lineage = Lineage { generation: 3, nonce: 30 };

    const fn entry(sequence: u64, nonce: u64) -> Position {
        Position { sequence: Sequence::from_u64(sequence), nonce: Nonce(nonce) }
    }

    const fn nonce(nonce: u64) -> Option<Nonce> {
        Some(Nonce(nonce))
    }

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// What a Redis says that has these entries, of which the member asked about one.
    fn report(lineage: Lineage, log: &[Position], seen: Position) -> Report {
        let newest = log.last().copied();
        let at_seen = log.iter().find(|entry| entry.sequence == seen.sequence);
        Report {
            lineage: Some(lineage),
            sequence: newest.map_or(Sequence::default(), |entry| entry.sequence),
            nonce: newest.map(|entry| entry.nonce),
            nonce_at_seen: at_seen.map(|entry| entry.nonce),
            oldest: log.first().map(|entry| entry.sequence),
        }
    }

    fn judged(member: &mut Member, lineage: Lineage, log: &[Position]) -> Verdict {
        let beat = member.beat(at(1));
        member.judge(beat, &report(lineage, log, beat.seen))
    }

    #[test]
    fn entries_are_applied_one_after_the_other_and_each_once() {
        let mut member = Member::at(MINE, entry(5, 50));
        assert_eq!(member.follow(MINE, entry(5, 50), nonce(40)), Step::Skip);
        assert_eq!(member.follow(MINE, entry(6, 60), nonce(50)), Step::Apply);
        assert_eq!(member.follow(MINE, entry(8, 80), nonce(70)), Step::Leave(Verdict::CatchUp));
        let other = Lineage { generation: 4, nonce: 40 };
        assert_eq!(member.follow(other, entry(7, 70), nonce(60)), Step::Leave(Verdict::Enter));
        assert_eq!(member.stamp().sequence.as_u64(), 6);
    }

    #[test]
    fn a_beat_is_vouched_for_once_the_number_that_it_told_is_applied() {
        let mut member = Member::at(MINE, entry(5, 50));
        let log = [entry(5, 50), entry(6, 60), entry(7, 70)];
        let beat = member.beat(at(100));
        assert_eq!(member.judge(beat, &report(MINE, &log, beat.seen)), Verdict::Sound);
        assert_eq!(member.vouched_from(), Ok(None));
        member.follow(MINE, entry(6, 60), nonce(50));
        assert_eq!(member.vouched_from(), Ok(None));
        member.follow(MINE, entry(7, 70), nonce(60));
        assert_eq!(member.vouched_from(), Ok(Some(at(100))));
        assert_eq!(member.vouched_from(), Ok(None));
    }

    #[test]
    fn what_was_seen_and_is_gone_begins_a_new_lineage_past_all_of_it() {
        let renew = |instead_of, past| Verdict::Renew {
            instead_of,
            generation: 4,
            past: Sequence::from_u64(past),
        };
        let member = || {
            let mut member = Member::at(MINE, entry(5, 50));
            // Its own, not applied yet.
            assert_eq!(member.acknowledge(MINE, entry(7, 70)), OwnPurge::Stands);
            member
        };
        for (name, log) in [
            ("a lower number", vec![entry(5, 50), entry(6, 60)]),
            ("another nonce", vec![entry(5, 50), entry(6, 60), entry(7, 71)]),
            ("another nonce, later ones behind it", vec![entry(7, 71), entry(8, 80)]),
            ("a missing entry", vec![entry(6, 60), entry(8, 80)]),
        ] {
            let past = log.last().unwrap().sequence.as_u64().max(7);
            assert_eq!(judged(&mut member(), MINE, &log), renew(Some(MINE), past), "{name}");
        }
        let empty = Report {
            lineage: None,
            sequence: Sequence::default(),
            nonce: None,
            nonce_at_seen: None,
            oldest: None,
        };
        let mut member = member();
        assert_eq!(member.judge(member.beat(at(1)), &empty), renew(None, 7));
        // The log tells it too.
        member.follow(MINE, entry(6, 60), nonce(50));
        assert_eq!(member.follow(MINE, entry(7, 71), nonce(60)), Step::Leave(renew(Some(MINE), 7)));
    }

    #[test]
    fn a_later_generation_is_entered_and_an_earlier_one_ended() {
        let lineage = |generation| Lineage { generation, nonce: 1 };
        let mut member = Member::at(MINE, entry(5, 50));
        assert_eq!(judged(&mut member, lineage(4), &[entry(9, 90)]), Verdict::Enter);
        for generation in [2, 3] {
            let verdict = judged(&mut member, lineage(generation), &[entry(5, 50)]);
            let Verdict::Renew { generation: 4, .. } = verdict else { panic!("{verdict:?}") };
        }
    }

    #[test]
    fn a_log_that_is_trimmed_past_the_member_proves_nothing() {
        let mut member = Member::at(MINE, entry(5, 50));
        assert_eq!(judged(&mut member, MINE, &[entry(8, 80), entry(9, 90)]), Verdict::CatchUp);
    }

    #[test]
    fn a_log_from_one_server_and_a_beat_from_another_do_not_agree_by_their_numbers() {
        let mut member = Member::at(MINE, entry(5, 50));
        let beat = member.beat(at(1));
        let theirs = [entry(5, 50), entry(6, 61)];
        assert_eq!(member.judge(beat, &report(MINE, &theirs, beat.seen)), Verdict::Sound);
        member.follow(MINE, entry(6, 60), nonce(50));
        assert!(matches!(member.vouched_from(), Err(Verdict::Renew { .. })));
    }

    #[test]
    fn what_was_told_and_lost_before_it_was_followed_is_noticed() {
        for log in [vec![entry(5, 50)], vec![entry(5, 50), entry(6, 61)]] {
            let mut member = Member::at(MINE, entry(5, 50));
            assert_eq!(judged(&mut member, MINE, &[entry(5, 50), entry(6, 60)]), Verdict::Sound);
            let verdict = judged(&mut member, MINE, &log);
            assert!(matches!(verdict, Verdict::Renew { .. }), "{verdict:?}");
        }
    }

    #[test]
    fn what_others_have_stamped_with_lost_numbers_is_not_recognised() {
        let mut member = Member::at(MINE, entry(5, 50));
        member.follow(MINE, entry(6, 60), nonce(50));
        let recognises = |lineage, sequence, nonce| {
            let Position { sequence, nonce } = entry(sequence, nonce);
            member.recognises(Stamp { lineage, sequence, nonce })
        };
        assert!(recognises(MINE, 6, 60));
        assert!(recognises(MINE, 5, 50));
        assert!(recognises(MINE, 4, 41), "too long ago to be told");
        assert!(!recognises(MINE, 6, 61), "of a branch that was lost");
        assert!(!recognises(MINE, 7, 70), "ahead");
        let other = Lineage { generation: 2, nonce: 1 };
        assert!(recognises(other, 9, 90), "the lineage tells");
    }

    #[test]
    fn what_is_kept_for_beats_is_bounded() {
        let mut member = Member::at(MINE, entry(0, 0));
        for number in 1..=2 * MAX_RECENT as u64 {
            let beat = member.beat(at(number));
            let far = [beat.seen, entry(u64::MAX, 1)];
            member.judge(beat, &report(MINE, &far, beat.seen));
            member.follow(MINE, entry(number, number), nonce(number - 1));
        }
        assert_eq!((member.recent.len(), member.unmet.len()), (MAX_RECENT, MAX_UNMET));
    }

    #[test]
    fn a_log_that_goes_on_from_another_entry_than_the_applied_one_is_of_another_life() {
        let mut member = Member::at(MINE, entry(5, 50));
        for after in [nonce(51), None] {
            let step = member.follow(MINE, entry(6, 60), after);
            assert!(matches!(step, Step::Leave(Verdict::Renew { .. })), "{after:?}: {step:?}");
        }
        assert_eq!(member.follow(MINE, entry(6, 60), nonce(50)), Step::Apply);
    }

    #[test]
    fn a_purge_that_is_given_a_number_that_was_seen_before_does_not_stand() {
        let mut member = Member::at(MINE, entry(5, 50));
        member.follow(MINE, entry(6, 60), nonce(50));
        // The log may tell of a purge before its answer comes.
        assert_eq!(member.acknowledge(MINE, entry(6, 60)), OwnPurge::Stands);
        assert_eq!(member.acknowledge(MINE, entry(6, 61)), OwnPurge::Contradicts);
        assert_eq!(member.acknowledge(MINE, entry(4, 40)), OwnPurge::Unknown);
        assert_eq!(member.acknowledge(MINE, entry(9, 90)), OwnPurge::Stands);
        assert_eq!(member.acknowledge(MINE, entry(9, 91)), OwnPurge::Contradicts);
    }

    #[test]
    fn a_purge_of_its_own_is_missed_even_if_a_later_one_stands() {
        let mut member = Member::at(MINE, entry(5, 50));
        member.acknowledge(MINE, entry(6, 60));
        member.acknowledge(MINE, entry(8, 80));
        let step = member.follow(MINE, entry(6, 61), nonce(50));
        assert!(matches!(step, Step::Leave(Verdict::Renew { .. })), "{step:?}");
    }

    #[test]
    fn a_number_that_is_not_the_newest_entrys_begins_a_new_lineage() {
        let mut member = Member::at(MINE, entry(5, 50));
        let beat = member.beat(at(1));
        let set_back = Report {
            sequence: Sequence::from_u64(3),
            nonce: None,
            ..report(MINE, &[entry(4, 40), entry(5, 50)], beat.seen)
        };
        let verdict = member.judge(beat, &set_back);
        assert!(matches!(verdict, Verdict::Renew { .. }), "{verdict:?}");
    }
}
