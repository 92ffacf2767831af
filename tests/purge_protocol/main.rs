//! The purge plane's protocol by itself: every interleaving of a small world, apart from sockets.
//!
//! Two nodes, each with the [`Member`] that decides in the program, a Redis that can go back to any
//! earlier state of it or lose its log, an origin, and answers that both nodes can read. What must
//! hold in every state ([`Worlds::check`]):
//!
//! 1. A node that has acknowledged a purge serves nothing that was fetched before the change.
//! 2. `fence_after` later no node does, whoever hears of whom.
//! 3. Without further faults both nodes, and each with the other gone, come to serve what they fetch,
//!    and still nothing that was purged ([`Worlds::settle`]).
//!
//! That the search would find what is wrong is shown by leaving out each rule in turn. Nonces are a
//! second line behind the binding of a lineage to its primary, so they are shown without that.
//!
//! Not in it: a primary that is cut off and goes on beside the one that has taken over.
//!
//! [`Member`]: csu_edge::purge::member::Member
//! [`Worlds::check`]: world::Worlds::check
//! [`Worlds::settle`]: world::Worlds::settle
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

mod action;
mod kept;
mod node;
mod redis;
mod rules;
mod search;
mod world;

use action::Action;
use action::Action::{
    BeatsAndHeeds, FailsOver, FetchLeaves, Follows, HearsOfPurge, PurgesOther, PurgesWatched,
    TimePasses,
};
use rules::Rules;
use search::{explore, play};

const ONE_PURGE: Rules = Rules { fetches: 1, watched_purges: 1, ..Rules::EMPTY };
const TWO_PURGES: Rules = Rules { other_purges: 1, ..ONE_PURGE };

/// One in so many states is let settle.
const SETTLE_EVERY: usize = 10;

/// All of the world holds, it is no smaller than it was, and there was something to see.
fn holds(at_least: usize, rules: Rules) {
    let explored = explore(rules, SETTLE_EVERY).unwrap_or_else(|violation| panic!("{violation}"));
    println!("{explored:?}");
    assert!(explored.states >= at_least, "a smaller world");
    assert!(explored.from_memory > 0 && explored.from_tier > 0 && explored.settled > 0);
    assert_eq!(explored.after_failover > 0, rules.failovers > 0);
}

/// The world is too weak: an answer is served that must not be.
fn breaks(rules: Rules) {
    let violation = explore(rules, usize::MAX).expect_err("a violation");
    println!("{violation}");
}

/// The world is too weak on this way already.
fn breaks_on(way: &[Action], rules: Rules) {
    println!("{}", play(rules, way).expect_err("a violation"));
}

/// On this way nothing goes wrong.
fn holds_on(way: &[Action], rules: Rules) {
    play(rules, way).unwrap_or_else(|violation| panic!("{violation}"));
}

#[test]
fn one_purge_and_a_failover_with_every_answer_under_way() {
    holds(465_000, Rules { in_flight: true, failovers: 1, ticks: 1, ..ONE_PURGE });
}

#[test]
fn one_purge_of_an_earlier_change_with_fetches_that_take_their_time() {
    holds(4_600, Rules { changes: Some(1), fetches: 2, ticks: 1, ..ONE_PURGE });
    holds(55_000, Rules { changes: Some(1), failovers: 1, ticks: 1, ..ONE_PURGE });
}

#[test]
fn one_purge_and_a_failover_with_a_longer_fence() {
    holds(407_000, Rules { failovers: 1, ticks: 3, fence_after: 2, ..ONE_PURGE });
}

#[test]
fn two_purges_and_time() {
    holds(119_000, Rules { ticks: 1, ..TWO_PURGES });
}

#[test]
fn two_purges_and_a_failover() {
    holds(696_000, Rules { failovers: 1, ..TWO_PURGES });
}

#[test]
fn two_purges_of_one_tag_and_a_failover() {
    holds(599_000, Rules { watched_purges: 2, failovers: 1, ..ONE_PURGE });
}

#[test]
#[ignore = "six million states: for a change of the protocol"]
fn two_purges_and_a_failover_and_time() {
    holds(6_000_000, Rules { failovers: 1, ticks: 1, ..TWO_PURGES });
}

#[test]
fn two_purges_under_way_at_once() {
    holds(8_200, Rules { purges_at_once: 2, ..TWO_PURGES });
}

#[test]
fn two_failovers() {
    holds(76_000, Rules { failovers: 2, ..ONE_PURGE });
}

#[test]
fn nodes_that_join_a_new_plane() {
    holds(74_000, Rules { is_new: true, failovers: 1, ticks: 1, ..ONE_PURGE });
}

#[test]
fn a_log_that_is_trimmed_past_nodes() {
    holds(285_000, Rules { log_entries: Some(2), ticks: 1, ..TWO_PURGES });
    holds(50_000, Rules { log_entries: Some(1), failovers: 1, ticks: 1, ..ONE_PURGE });
}

#[test]
fn a_log_that_is_lost() {
    holds(28_900, Rules { log_losses: 1, ticks: 1, ..ONE_PURGE });
    holds(215_000, Rules { log_losses: 1, failovers: 1, ..ONE_PURGE });
    holds(358_000, Rules { log_losses: 1, retries: 0, ..TWO_PURGES });
}

#[test]
#[ignore = "five million states: for a change of the protocol"]
fn a_log_that_is_lost_and_two_purges_and_time() {
    holds(4_930_000, Rules { log_losses: 1, ticks: 1, ..TWO_PURGES });
    holds(909_000, Rules { log_losses: 1, failovers: 1, ticks: 1, ..ONE_PURGE });
}

#[test]
fn a_stamp_that_is_taken_after_the_origin_was_read_breaks_it() {
    breaks(Rules { stamp_first: false, changes: Some(1), ..ONE_PURGE });
}

#[test]
fn serving_strict_answers_behind_the_fence_breaks_it() {
    breaks(Rules { fence: false, ticks: 1, ..ONE_PURGE });
}

#[test]
fn acknowledging_a_purge_before_it_is_in_force_breaks_it() {
    breaks(Rules { mark_ahead: false, ..ONE_PURGE });
}

#[test]
fn serving_answers_of_another_lineage_breaks_it() {
    breaks(Rules { lineage_on_read: false, failovers: 1, ticks: 1, ..ONE_PURGE });
}

#[test]
fn vouching_from_the_answer_to_a_beat_breaks_it() {
    breaks(Rules { vouch_from_sending: false, in_flight: true, ticks: 1, ..ONE_PURGE });
}

#[test]
fn vouching_before_what_a_beat_told_is_applied_breaks_it() {
    breaks(Rules { vouch_when_applied: false, ticks: 1, ..ONE_PURGE });
}

/// A lineage outlives its primary, as far as nobody finds out that the next one lacks something.
const UNBOUND: Rules = Rules { bound: false, failovers: 1, ticks: 1, ..TWO_PURGES };

#[test]
fn letting_a_lineage_outlive_its_primary_breaks_it() {
    breaks(Rules { bound: false, failovers: 1, ticks: 1, ..ONE_PURGE });
}

#[test]
fn without_binding_a_purge_is_lost_whose_node_has_not_beaten_since() {
    let way = [
        FetchLeaves(1),
        PurgesWatched(0),
        HearsOfPurge(0, 0),
        FailsOver(0),
        TimePasses,
        BeatsAndHeeds(1),
    ];
    breaks_on(&way, UNBOUND);
    holds_on(&way, Rules { bound: true, ..UNBOUND });
}

#[test]
fn without_binding_a_lost_number_is_told_from_what_came_after_by_its_nonce() {
    let way = [
        FetchLeaves(0),
        PurgesOther(0),
        Follows(0),
        FailsOver(0),
        PurgesWatched(1),
        HearsOfPurge(1, 0),
    ];
    breaks_on(&way, Rules { nonces: false, ..UNBOUND });
    holds_on(&way, UNBOUND);
}

#[test]
fn without_binding_an_answer_that_is_ahead_is_not_recognised() {
    let way = [
        PurgesOther(0),
        Follows(0),
        FetchLeaves(0),
        FailsOver(0),
        PurgesWatched(1),
        HearsOfPurge(1, 0),
    ];
    breaks_on(&way, Rules { recognise: false, ..UNBOUND });
    holds_on(&way, UNBOUND);
}

#[test]
fn without_binding_an_answer_of_what_was_lost_is_told_by_the_nonce_in_its_stamp() {
    let way = [
        PurgesOther(0),
        Follows(0),
        FetchLeaves(0),
        FailsOver(0),
        PurgesWatched(1),
        HearsOfPurge(1, 0),
        Follows(1),
    ];
    breaks_on(&way, Rules { stamp_nonces: false, ..UNBOUND });
    holds_on(&way, UNBOUND);
}

#[test]
fn without_binding_a_purge_whose_number_was_met_before_its_answer_is_not_acknowledged() {
    let way = [
        FetchLeaves(1),
        PurgesWatched(0),
        FailsOver(0),
        PurgesOther(1),
        Follows(0),
        HearsOfPurge(0, 0),
    ];
    breaks_on(&way, Rules { own_nonces: false, ..UNBOUND });
    holds_on(&way, UNBOUND);
}

#[test]
fn without_binding_a_log_that_goes_on_past_a_lost_number_is_told_by_the_nonce_before() {
    let way = [
        FetchLeaves(0),
        PurgesOther(0),
        Follows(0),
        FailsOver(0),
        PurgesWatched(1),
        HearsOfPurge(1, 0),
        PurgesOther(1),
        Follows(0),
    ];
    let two_others = Rules { other_purges: 2, ..UNBOUND };
    breaks_on(&way, Rules { after_nonces: false, ..two_others });
    holds_on(&way, two_others);
}

#[test]
fn without_binding_a_node_does_not_wait_for_a_purge_that_it_was_told_of_and_that_is_lost() {
    holds_on(&[PurgesOther(0), BeatsAndHeeds(1), FailsOver(0)], UNBOUND);
}
