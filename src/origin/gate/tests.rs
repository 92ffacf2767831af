//! The gate as a whole, on a clock that is moved by hand.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::poll;
use http::StatusCode;
use tokio::task::{JoinHandle, yield_now};

use super::*;
use crate::clock::Timestamp;

mod interleavings;

const SECOND: Duration = Duration::from_secs(1);
const FINE: Ending = answered(200, None);

const fn answered(status: u16, retry_after: Option<Duration>) -> Ending {
    match StatusCode::from_u16(status) {
        Ok(status) => Ending::Answered { status, retry_after },
        Err(_) => Ending::Failed,
    }
}

/// Places for so many, neither more nor less.
fn places(count: usize) -> config::Gate {
    config::Gate { min_in_flight: count, max_in_flight: count, ..config::Gate::default() }
}

/// One request a second, after so many at once.
fn tokens(burst: u32) -> config::Gate {
    let budget = config::Budget { requests: burst + 60, per: 60 * SECOND, burst };
    config::Gate { budget: Some(budget), max_wait: 3 * SECOND, ..places(100) }
}

fn gate(settings: &config::Gate) -> (Arc<Gate>, Clock) {
    let clock = Clock::manual(Timestamp::from_millis(1_000_000));
    (Gate::new(settings, clock.clone(), Metrics::new().unwrap()), clock)
}

async fn sent(gate: &Arc<Gate>) -> UnderWay {
    gate.enter(Patience::None).await.unwrap().leave(None)
}

async fn refused(gate: &Arc<Gate>, patience: Patience) -> Shut {
    gate.enter(patience).await.err().unwrap()
}

/// A client that is in the line.
async fn waiter(gate: &Arc<Gate>) -> JoinHandle<Result<Admission, Shut>> {
    let task = tokio::spawn({
        let gate = Arc::clone(gate);
        async move { gate.enter(Patience::Waits).await }
    });
    settle().await;
    task
}

/// Lets every task come as far as it can.
async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

fn exposition(gate: &Gate) -> String {
    gate.measure();
    gate.metrics.render().unwrap()
}

#[track_caller]
fn assert_told(gate: &Gate, lines: &[&str]) {
    let text = exposition(gate);
    for line in lines {
        assert!(text.contains(&format!("csu_edge_origin_gate_{line}\n")), "{line} in\n{text}");
    }
}

#[tokio::test]
async fn an_admission_that_is_not_used_is_given_back() {
    let (gate, _) = gate(&config::Gate { max_in_flight: 1, min_in_flight: 1, ..tokens(1) });
    let admission = gate.enter(Patience::None).await.unwrap();
    assert_eq!(refused(&gate, Patience::None).await.reason, ShutReason::Budget);
    drop(admission);
    let under_way = sent(&gate).await;
    assert_told(
        &gate,
        &["in_flight 1", "limit 1", "tokens 0", "admitted_total{priority=\"client\"} 1"],
    );
    drop(under_way);
    assert_told(&gate, &["in_flight 0", "refused_total{priority=\"client\",reason=\"budget\"} 1"]);
}

#[tokio::test]
async fn clients_go_in_the_order_in_which_they_came() {
    let (gate, _) = gate(&places(1));
    let mut under_way = sent(&gate).await;
    let mut line = Vec::new();
    for _ in 0..5 {
        line.push(waiter(&gate).await);
    }
    assert_told(&gate, &["waiting 5"]);
    while !line.is_empty() {
        under_way.end(FINE);
        settle().await;
        let finished: Vec<_> = line.iter().map(JoinHandle::is_finished).collect();
        assert_eq!(finished.iter().filter(|finished| **finished).count(), 1);
        assert!(finished[0]);
        under_way = line.remove(0).await.unwrap().unwrap().leave(None);
    }
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_the_line_and_what_it_was_called_to() {
    let (gate, _) = gate(&places(1));
    let under_way = sent(&gate).await;
    let (first, second) = (waiter(&gate).await, waiter(&gate).await);
    let mut called = Box::pin(gate.enter(Patience::Waits));
    assert!(poll!(called.as_mut()).is_pending());
    let last = waiter(&gate).await;
    first.abort();
    settle().await;
    assert_told(&gate, &["waiting 3"]);
    under_way.end(FINE);
    drop(second.await.unwrap());
    // It has been called by now, and does not come to hear it.
    assert_told(&gate, &["in_flight 1", "waiting 1"]);
    drop(called);
    let under_way = last.await.unwrap().unwrap().leave(None);
    assert_told(&gate, &["in_flight 1", "waiting 0"]);
    drop(under_way);
}

#[tokio::test]
async fn the_line_is_bounded_in_length_and_in_time() {
    let (gate, clock) = gate(&config::Gate { max_waiting: 2, ..places(1) });
    let under_way = sent(&gate).await;
    let line = [waiter(&gate).await, waiter(&gate).await];
    let shut = refused(&gate, Patience::Waits).await;
    assert_eq!(shut, Shut { reason: ShutReason::Concurrency, retry_after: SECOND });
    assert_eq!(refused(&gate, Patience::None).await.reason, ShutReason::Concurrency);
    clock.advance(SECOND);
    for waiter in line {
        assert_eq!(waiter.await.unwrap().err(), Some(shut));
    }
    assert_told(&gate, &["waiting 0"]);
    drop(under_way);
}

#[tokio::test]
async fn each_token_calls_the_first_in_the_line() {
    let (gate, clock) = gate(&tokens(1));
    let _first = sent(&gate).await;
    let mut line = Vec::new();
    for _ in 0..3 {
        let gate = Arc::clone(&gate);
        let visit = async move { gate.enter(Patience::Waits).await.unwrap().leave(None).end(FINE) };
        line.push(tokio::spawn(visit));
    }
    settle().await;
    let shut = Shut { reason: ShutReason::Budget, retry_after: 4 * SECOND };
    assert_eq!(refused(&gate, Patience::Waits).await, shut, "in vain, so at once");
    assert_eq!(gate.outlook(), Outlook::Shut(shut));
    for called in 1..=3 {
        clock.advance(SECOND);
        settle().await;
        assert_eq!(line.iter().filter(|visit| visit.is_finished()).count(), called);
    }
}

#[tokio::test]
async fn who_comes_now_does_not_take_what_the_first_in_the_line_waited_for() {
    let (gate, clock) = gate(&tokens(1));
    drop(sent(&gate).await);
    let mut first = Box::pin(gate.enter(Patience::Waits));
    assert!(poll!(first.as_mut()).is_pending());
    clock.advance(SECOND);
    assert_eq!(refused(&gate, Patience::None).await.reason, ShutReason::Budget);
    assert!(poll!(first.as_mut()).is_ready());
}

#[tokio::test]
async fn what_nobody_waits_for_leaves_room_to_who_is_waited_for() {
    let (gate, _) = gate(&places(8));
    let mut under_way = Vec::new();
    for (priority, may) in [
        (Priority::AfterPurge, 2),
        (Priority::RefreshAhead, 4),
        (Priority::Revalidation, 6),
        (Priority::Client, 8),
    ] {
        while let Ok(admission) = gate.try_enter(priority) {
            under_way.push(admission.leave(None));
        }
        assert_eq!(under_way.len(), may, "{priority:?}");
    }
    let waits = waiter(&gate).await;
    under_way.truncate(1);
    // The one that waited has been called; were it still in the line, nobody else could go.
    assert!(gate.try_enter(Priority::AfterPurge).is_err());
    drop(waits.await.unwrap().unwrap());
    assert!(gate.try_enter(Priority::AfterPurge).is_ok());
}

#[tokio::test]
async fn nothing_in_the_background_overtakes_a_client_that_waits() {
    let (gate, _) = gate(&places(1));
    let under_way = sent(&gate).await;
    let waits = waiter(&gate).await;
    for priority in [Priority::Revalidation, Priority::RefreshAhead, Priority::AfterPurge] {
        assert_eq!(gate.try_enter(priority).err().unwrap().reason, ShutReason::Concurrency);
    }
    under_way.end(FINE);
    assert!(gate.try_enter(Priority::Revalidation).is_err(), "the place is the client's already");
    waits.await.unwrap().unwrap().leave(None).end(FINE);
}

#[tokio::test]
async fn retry_after_shuts_the_gate_for_everyone_but_writes_and_it_opens_gently() {
    let (gate, clock) = gate(&config::Gate { max_wait: 2 * SECOND, ..config::Gate::default() });
    assert_told(&gate, &["limit 22"]);
    let throttled = sent(&gate).await;
    throttled.end(answered(429, Some(Duration::from_millis(7_500))));
    let shut = Shut { reason: ShutReason::Throttled, retry_after: Duration::from_millis(7_500) };
    assert_eq!(refused(&gate, Patience::Waits).await, shut);
    assert_eq!(gate.outlook(), Outlook::Shut(shut));
    assert_eq!(ProxyError::from(shut), ProxyError::OriginShut { retry_after_seconds: 8 });
    assert_eq!(gate.try_enter(Priority::Revalidation).err(), Some(shut));
    gate.enter_write().leave(None).end(FINE);
    assert_told(&gate, &["throttled_seconds 8", "limit 4"]);

    clock.advance(Duration::from_millis(5_500));
    assert_eq!(gate.outlook(), Outlook::Waits(ShutReason::Throttled));
    let mut line = Vec::new();
    for _ in 0..6 {
        line.push(waiter(&gate).await);
    }
    clock.advance(Duration::from_millis(1_999));
    settle().await;
    assert!(!line.iter().any(JoinHandle::is_finished));
    clock.advance(Duration::from_millis(1));
    settle().await;
    assert_told(&gate, &["throttled_seconds 0", "in_flight 4"]);
}

#[tokio::test]
async fn a_broken_origin_that_named_a_moment_is_not_asked_before_it() {
    let (gate, clock) = gate(&config::Gate { broken_after: 2, ..places(8) });
    let (one, other) = (sent(&gate).await, sent(&gate).await);
    one.end(answered(503, Some(60 * SECOND)));
    other.end(answered(503, Some(60 * SECOND)));
    let shut = Shut { reason: ShutReason::Broken, retry_after: 60 * SECOND };
    assert_eq!(refused(&gate, Patience::Waits).await, shut);
    clock.advance(10 * SECOND);
    let shut = Shut { reason: ShutReason::Throttled, retry_after: 50 * SECOND };
    assert_eq!(refused(&gate, Patience::Waits).await, shut, "its probe is due, and waits for that");
}

#[tokio::test]
async fn who_asks_for_room_takes_none() {
    let (gate, clock) = gate(&config::Gate { broken_after: 1, ..places(8) });
    sent(&gate).await.end(Ending::Failed);
    assert!(!gate.has_room(Priority::Client));
    clock.advance(SECOND);
    assert!(gate.has_room(Priority::AfterPurge));
    assert_told(&gate, &["in_flight 0", "breaker_state 2"]);
}

#[tokio::test]
async fn who_waits_is_sent_away_when_the_wait_becomes_vain() {
    let (gate, _) = gate(&places(2));
    let (one, other) = (sent(&gate).await, sent(&gate).await);
    let waits = waiter(&gate).await;
    one.end(answered(503, Some(60 * SECOND)));
    let shut = Shut { reason: ShutReason::Throttled, retry_after: 60 * SECOND };
    assert_eq!(waits.await.unwrap().err(), Some(shut));
    drop(other);
}

#[tokio::test]
async fn a_broken_origin_is_asked_by_one_probe_at_a_time() {
    let (gate, clock) = gate(&config::Gate { broken_after: 3, ..places(8) });
    for ending in [Ending::Failed, answered(502, None), answered(504, None)] {
        sent(&gate).await.end(ending);
    }
    let shut = Shut { reason: ShutReason::Broken, retry_after: SECOND };
    assert_eq!(refused(&gate, Patience::Waits).await, shut);
    assert_told(&gate, &["breaker_state 2"]);
    clock.advance(SECOND);
    assert_eq!(gate.outlook(), Outlook::Open);

    let probe = gate.enter(Patience::Waits).await.unwrap();
    assert_told(&gate, &["breaker_state 1"]);
    assert_eq!(refused(&gate, Patience::Waits).await.reason, ShutReason::Broken);
    drop(probe);
    drop(sent(&gate).await);
    // Neither came to an end: the turn is another's, at once.
    sent(&gate).await.end(Ending::Failed);
    assert_eq!(refused(&gate, Patience::None).await.retry_after, 2 * SECOND);
    clock.advance(2 * SECOND);
    gate.try_enter(Priority::Revalidation).unwrap().leave(None).end(FINE);
    assert_eq!(gate.outlook(), Outlook::Open);
    assert_told(&gate, &["breaker_state 0"]);
}

#[tokio::test]
async fn writes_are_let_in_whatever_there_is_and_counted() {
    let (gate, clock) =
        gate(&config::Gate { max_in_flight: 2, min_in_flight: 2, max_wait: SECOND, ..tokens(2) });
    let writes: Vec<_> = (0..10).map(|_| gate.enter_write().leave(None)).collect();
    assert_told(&gate, &["in_flight 10", "tokens -2", "admitted_total{priority=\"write\"} 10"]);
    let shut = refused(&gate, Patience::Waits).await;
    assert_eq!(shut, Shut { reason: ShutReason::Budget, retry_after: 3 * SECOND });
    drop(writes);
    clock.advance(3 * SECOND);
    drop(sent(&gate).await);
}

/// Real threads, a real clock: nobody is forgotten, and no place is lost or given twice.
#[test]
fn many_tasks_on_several_threads_come_through() {
    const PLACES: usize = 3;
    let settings = config::Gate { max_waiting: 10_000, max_wait: 60 * SECOND, ..places(PLACES) };
    let gate = Gate::new(&settings, Clock::system(), Metrics::new().unwrap());
    let (there, came) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let visit = async |number: usize| {
        let mut entering = Box::pin(gate.enter(Patience::Waits));
        if number.is_multiple_of(5) {
            // Goes away at whatever moment that is.
            for _ in 0..number % 7 {
                if poll!(entering.as_mut()).is_ready() {
                    return;
                }
                yield_now().await;
            }
            return;
        }
        let admission = entering.await.unwrap();
        if number.is_multiple_of(11) {
            return;
        }
        let under_way = admission.leave(None);
        assert!(there.fetch_add(1, Ordering::SeqCst) < PLACES);
        yield_now().await;
        there.fetch_sub(1, Ordering::SeqCst);
        came.fetch_add(1, Ordering::SeqCst);
        if number.is_multiple_of(13) {
            drop(under_way);
        } else {
            under_way.end(FINE);
        }
    };
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
                let visits = futures_util::future::join_all((0..1_000).map(&visit));
                let limit = 120 * SECOND;
                let all = async { tokio::time::timeout(limit, visits).await };
                runtime.unwrap().block_on(all).expect("somebody was forgotten");
            });
        }
    });
    let visitors = (0..1_000).filter(|n: &usize| !n.is_multiple_of(5) && !n.is_multiple_of(11));
    assert_eq!(came.into_inner(), 4 * visitors.count());
    assert_told(&gate, &["in_flight 0", "waiting 0"]);
}

#[tokio::test]
async fn a_budget_that_comes_and_goes_knows_who_holds_a_token() {
    let (gate, _) = gate(&places(100));
    let held = gate.enter(Patience::None).await.unwrap();
    gate.reconfigure(&tokens(2));
    let other = gate.enter(Patience::None).await.unwrap();
    assert_eq!(refused(&gate, Patience::None).await.reason, ShutReason::Budget);
    drop(other);
    let _first = held.leave(None);
    let _second = sent(&gate).await;
    assert_eq!(refused(&gate, Patience::None).await.reason, ShutReason::Budget);

    gate.reconfigure(&places(100));
    let held = gate.enter(Patience::None).await.unwrap();
    gate.reconfigure(&tokens(2));
    drop(held);
    let _both = (sent(&gate).await, sent(&gate).await);
    assert_eq!(refused(&gate, Patience::None).await.reason, ShutReason::Budget);
}

#[tokio::test]
async fn what_keeps_clients_out_ends_with_the_bound_that_it_had() {
    let (gate, clock) = gate(&config::Gate { broken_after: 1, ..places(100) });
    sent(&gate).await.end(answered(429, Some(100 * SECOND)));
    assert_eq!(refused(&gate, Patience::None).await.reason, ShutReason::Throttled);
    gate.reconfigure(&config::Gate { longest_retry_after: 2 * SECOND, ..places(100) });
    clock.advance(2 * SECOND);
    sent(&gate).await.end(FINE);

    gate.reconfigure(&config::Gate { broken_after: 1, probe_every: 60 * SECOND, ..places(100) });
    sent(&gate).await.end(Ending::Failed);
    assert_eq!(refused(&gate, Patience::None).await.reason, ShutReason::Broken);
    gate.reconfigure(&config::Gate { broken_after: 1, probe_every: SECOND, ..places(100) });
    clock.advance(10 * SECOND);
    sent(&gate).await.end(FINE);
    let _both = (sent(&gate).await, sent(&gate).await);
}
