//! Redis loses what it has acknowledged.

use std::time::Duration;

use crate::checked::Checked;
use crate::forks::Fork;
use crate::ledger::Promise;
use crate::redis_plane::{LINEAGE, LOG, SEQUENCE, put_back, save, sequence, take_away};
use crate::support::fault_proxy::Fault;
use crate::support::fleet::redis_at;
use crate::support::redis::server::Server;

const A_WHILE: Duration = Duration::from_millis(700);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_fails() {
    let redis = Server::start(&[]).await;
    let fleet = Checked::on(Promise::Whole, &redis_at(redis.address())).await;
    fleet.recovers().await;
    fleet.finish("nothing fails", 12_000, 6_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_killed_and_comes_back_empty() {
    let mut redis = Server::start(&[]).await;
    let fleet = Checked::on(Promise::Strict, &redis_at(redis.address())).await;
    for _ in 0..2 {
        fleet.goes_on(A_WHILE).await;
        fleet.tell("Redis is killed");
        redis.kill();
        fleet.goes_on(A_WHILE).await;
        redis.restart_empty().await;
        fleet.recovers().await;
    }
    // Faster than anyone's fence falls.
    for _ in 0..3 {
        fleet.tell("Redis restarts empty");
        redis.restart_empty().await;
        fleet.goes_on(A_WHILE).await;
    }
    fleet.recovers().await;
    fleet.finish("killed and back empty", 10_000, 3_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_flushed() {
    let redis = Server::start(&[]).await;
    let fleet = Checked::on(Promise::Strict, &redis_at(redis.address())).await;
    for pause in [700, 300, 100, 30, 10, 0, 700] {
        fleet.tell("FLUSHALL");
        redis.command(&["FLUSHALL"]).await;
        fleet.goes_on(Duration::from_millis(pause)).await;
    }
    fleet.recovers().await;
    fleet.finish("flushed", 10_000, 4_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_lineage_is_put_back() {
    let redis = Server::start(&[]).await;
    let fleet = Checked::on(Promise::Strict, &redis_at(redis.address())).await;
    for events in [1, 10, 40] {
        fleet.tell("the plane is saved");
        save(&redis).await;
        fleet.tell("the plane is taken away");
        take_away(&redis).await;
        fleet.recovers().await;
        fleet.events(events).await;
        fleet.tell("an older lineage is put back");
        put_back(&redis).await;
        fleet.recovers().await;
    }
    fleet.finish("an older lineage", 10_000, 4_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_purges_are_lost() {
    let redis = Server::start(&[]).await;
    let fleet = Checked::on(Promise::Strict, &redis_at(redis.address())).await;
    for events in [1, 1, 2, 3, 5, 10, 20] {
        save(&redis).await;
        fleet.events(events).await;
        fleet.tell("the last purges are lost");
        put_back(&redis).await;
        fleet.events(5).await;
    }
    fleet.recovers().await;
    fleet.finish("the last purges lost", 10_000, 4_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sequence_alone_is_set_back() {
    let redis = Server::start(&[]).await;
    let fleet = Checked::on(Promise::Strict, &redis_at(redis.address())).await;
    for back in [1, 10, 1_000] {
        // Where nobody writes, nothing mends it by the way.
        let still = fleet.stillness().await;
        let number = sequence(&redis).await.saturating_sub(back);
        fleet.tell(format!("the sequence is set back to {number}"));
        redis.command(&["SET", SEQUENCE, &number.to_string()]).await;
        fleet.goes_on(Duration::from_secs(1)).await;
        for node in 0..3 {
            fleet
                .until("the fence is up again", async || {
                    (!fleet.is_fenced(node).await).then_some(())
                })
                .await;
        }
        drop(still);
        fleet.recovers().await;
    }
    fleet.finish("the sequence set back", 10_000, 3_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_of_lost_purges_are_given_away_again() {
    let fork = Fork::set(|_| ()).await;
    for fault in [Fault::Hang, Fault::Reset, Fault::Hang] {
        fork.play(fault).await;
        fork.fleet.recovers().await;
    }
    fork.fleet.finish("numbers given away again", 10_000, 3_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_plane_consists_of_is_damaged() {
    let redis = Server::start(&[]).await;
    let fleet = Checked::on(Promise::Strict, &redis_at(redis.address())).await;
    for damage in [
        &["DEL", LOG][..],
        &["DEL", LINEAGE],
        &["DEL", SEQUENCE],
        &["XTRIM", LOG, "MAXLEN", "0"],
        &["SET", SEQUENCE, "1000000"],
        &["SET", SEQUENCE, "none"],
        &["SET", LINEAGE, "none"],
    ] {
        fleet.tell(format!("{damage:?}"));
        redis.command(damage).await;
        fleet.goes_on(Duration::from_millis(300)).await;
        fleet.recovers().await;
    }
    fleet.finish("damaged", 10_000, 3_000).await;
}
