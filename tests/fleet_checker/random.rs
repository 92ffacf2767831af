//! Two hundred histories that nobody thought of. Each is made of a seed, which is printed;
//! `CSU_EDGE_CHECKER_SEED` plays that one again, some times over, as when things happen is not the
//! seed's.
//!
//! They are played one after the other on one fleet, whose nodes each have a way of their own to
//! Redis. Between two of them all must have recovered.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::checked::{Checked, NODES};
use crate::ledger::Promise;
use crate::redis_plane::{put_back, save, take_away};
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::fleet::{impatient, redis_at};
use crate::support::redis::server::Server;

const SCHEDULES: usize = 200;

/// How often a seed that is given is played.
const AGAIN: usize = 20;

const SEED: &str = "CSU_EDGE_CHECKER_SEED";

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Flush,
    Save,
    PutBack,
    TakeAway,
    Stop(Duration),
    RestartEmpty,
    /// Lasts until the same node's next fault, or the end.
    Way(usize, Fault),
    Events(u64),
    Pause(Duration),
}

fn millis(random: &mut StdRng, least: u64, most: u64) -> Duration {
    Duration::from_millis(random.random_range(least..=most))
}

fn happening(random: &mut StdRng) -> Happening {
    let fault = |random: &mut StdRng| match random.random_range(0..7) {
        0 => Fault::Hang,
        1 => Fault::HalfOpen,
        2 => Fault::Reset,
        3 => Fault::Delay(millis(random, 1, 60)),
        4 => Fault::Garbage,
        5 => Fault::Refuse,
        _ => Fault::Pass,
    };
    match random.random_range(0..20) {
        0 => Happening::Flush,
        1 | 2 => Happening::Save,
        3 | 4 => Happening::PutBack,
        5 => Happening::TakeAway,
        6 => Happening::Stop(millis(random, 1, 300)),
        7 => Happening::RestartEmpty,
        8..=14 => Happening::Way(random.random_range(0..NODES), fault(random)),
        15..=17 => Happening::Events(random.random_range(1..4)),
        _ => Happening::Pause(millis(random, 1, 150)),
    }
}

fn schedule(seed: u64) -> Vec<Happening> {
    let mut random = StdRng::seed_from_u64(seed);
    let count = random.random_range(3..=6);
    (0..count).map(|_| happening(&mut random)).collect()
}

struct Stage {
    fleet: Checked,
    redis: Server,
    ways: Vec<FaultProxy>,
}

impl Stage {
    async fn set() -> Self {
        let redis = Server::start(&[]).await;
        let mut ways = Vec::new();
        for _ in 0..NODES {
            ways.push(FaultProxy::before(redis.address()).await);
        }
        let rules = |node: usize| {
            let mut redis = impatient(redis_at(ways[node].address()));
            redis.purge.heartbeat = Duration::from_millis(30);
            redis.purge.fence_after = Duration::from_millis(250);
            redis.purge.command_timeout = Duration::from_millis(120);
            redis.probe_every = Duration::from_millis(20);
            redis
        };
        let fleet = Checked::of(Promise::Strict, [rules(0), rules(1), rules(2)], |_| ()).await;
        Self { fleet, redis, ways }
    }

    async fn play(&mut self, happening: Happening) {
        self.fleet.tell(format!("{happening:?}"));
        match happening {
            Happening::Flush => drop(self.redis.command(&["FLUSHALL"]).await),
            Happening::Save => save(&self.redis).await,
            Happening::PutBack => self.lose_purges().await,
            Happening::TakeAway => take_away(&self.redis).await,
            Happening::Stop(span) => {
                self.redis.pause().await;
                self.fleet.goes_on(span).await;
                self.redis.resume();
            }
            Happening::RestartEmpty => self.redis.restart_empty().await,
            Happening::Way(node, fault) => self.ways[node].set(fault),
            // As many as come: there may be nobody to take them.
            Happening::Events(count) => {
                let events = self.fleet.events(count);
                let _ = tokio::time::timeout(Duration::from_millis(200), events).await;
            }
            Happening::Pause(span) => self.fleet.goes_on(span).await,
        }
    }

    /// A purge is gone for good if whoever has seen it is away as well, so all are there.
    async fn lose_purges(&self) {
        self.mend_ways();
        self.fleet.recover_soon(0).await;
        put_back(&self.redis).await;
        self.fleet.goes_on(Duration::from_millis(100)).await;
    }

    fn mend_ways(&self) {
        for way in &self.ways {
            way.set(Fault::Pass);
        }
    }

    async fn play_all(&mut self, seed: u64) {
        let schedule = schedule(seed);
        println!("seed {seed}: {schedule:?}");
        self.fleet.tell(format!("seed {seed}"));
        for happening in schedule {
            self.play(happening).await;
        }
        self.mend_ways();
        self.fleet.recover_soon(1).await;
    }
}

/// A quarter of the two hundred, so that they may be played side by side.
async fn play_some(name: &str) {
    let mut stage = Stage::set().await;
    let seeds: Vec<u64> = match std::env::var(SEED) {
        Ok(seed) => vec![seed.parse().unwrap(); AGAIN],
        Err(_) => (0..SCHEDULES / 4).map(|_| u64::from(rand::random::<u32>())).collect(),
    };
    for seed in seeds {
        stage.play_all(seed).await;
        if stage.fleet.ledger.violation().is_some() {
            break;
        }
    }
    stage.fleet.recovers().await;
    stage.fleet.finish(name, 10_000, 4_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_histories_1_to_50() {
    play_some("random histories 1 to 50").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_histories_51_to_100() {
    play_some("random histories 51 to 100").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_histories_101_to_150() {
    play_some("random histories 101 to 150").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_histories_151_to_200() {
    play_some("random histories 151 to 200").await;
}
