//! Redis as it is: real servers on loopback, alone, replicated under sentinels, or a cluster.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::time::Duration;

pub mod cluster;
pub mod replicated;
pub mod server;
pub mod tls;

/// The longest wait for anything here: a failover on a busy machine takes a multiple of its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often is asked. Redis tells nobody when a server is up, a link made or a vote counted.
const INTERVAL: Duration = Duration::from_millis(20);

/// Asks again and again until there is an answer.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    let answer = tokio::time::timeout(PATIENCE, asking).await;
    answer.unwrap_or_else(|_| panic!("it never happened: {what}"))
}
