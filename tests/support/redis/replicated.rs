//! A primary and its replica, watched by three sentinels.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::net::{IpAddr, SocketAddr};

use futures_util::future::join_all;
use redis::Value;

use super::super::fault_proxy::{Fault, FaultProxy};
use super::server::{KEEPER, Server};
use super::until;

/// What the sentinels know the two by.
pub const SERVICE: &str = "plane";

/// Two sentinels must agree that the primary is down.
const QUORUM: usize = 2;

/// The five. Dropped, they are killed.
pub struct Replicated {
    pub primary: Server,
    pub replica: Server,
    pub sentinels: Vec<Server>,
    replication: FaultProxy,
}

impl Replicated {
    /// All up, linked and known to each other. The options are those of primary and replica.
    pub async fn start(options: &[(&str, &str)]) -> Self {
        let options = [
            &[
                ("masteruser", KEEPER),
                ("masterauth", KEEPER),
                ("repl-diskless-sync-delay", "0"),
                // The sooner a link that was broken is made again.
                ("repl-ping-replica-period", "1"),
            ],
            options,
        ]
        .concat();
        let primary = Server::start(&options).await;
        let replication = FaultProxy::before(primary.address()).await;
        let of = format!("127.0.0.1 {}", replication.address().port());
        let replica = Server::start(&[&options[..], &[("replicaof", &of)]].concat()).await;
        until("the replica is linked", async || is_linked(&replica).await).await;

        let monitor = format!("monitor {SERVICE} 127.0.0.1 {} {QUORUM}", primary.address().port());
        let directives = [
            monitor,
            format!("down-after-milliseconds {SERVICE} 1000"),
            // While the primary is well, so long: a replica that does not follow the very address
            // of the primary, as here, is put right after this time. See `hasten`.
            format!("failover-timeout {SERVICE} 3600000"),
            format!("auth-user {SERVICE} {KEEPER}"),
            format!("auth-pass {SERVICE} {KEEPER}"),
        ];
        let directives: Vec<_> =
            directives.iter().map(|directive| ("sentinel", directive.as_str())).collect();
        let sentinels = join_all((0..3).map(|_| Server::start_sentinel(&directives))).await;

        let replicated = Self { primary, replica, sentinels, replication };
        until("the sentinels know all", async || {
            for sentinel in &replicated.sentinels {
                let [others, replicas] = watched(sentinel).await?;
                if others < 2 || replicas < 1 {
                    return None;
                }
            }
            Some(())
        })
        .await;
        replicated
    }

    pub fn sentinel_addresses(&self) -> Vec<SocketAddr> {
        self.sentinels.iter().map(Server::address).collect()
    }

    /// Waits until the replica has all that was written so far.
    pub async fn replicated(&self) {
        let offset = |text: Option<String>| text?.parse::<u64>().ok();
        let written = offset(self.primary.info("master_repl_offset").await).unwrap();
        until("the replica has all", async || {
            let has = offset(self.replica.info("slave_repl_offset").await)?;
            (has >= written).then_some(())
        })
        .await;
    }

    /// The replica gets all that was written so far, and no more. Neither it nor the primary
    /// notices for a minute.
    pub async fn cut_replication(&self) {
        self.replicated().await;
        self.replication.set(Fault::HalfOpen);
    }

    /// Kills the primary; the sentinels will promote the replica.
    pub async fn kill_primary(&mut self) {
        self.primary.kill();
        self.hasten().await;
    }

    /// Stops the primary; the sentinels will promote the replica.
    pub async fn pause_primary(&self) {
        self.primary.pause().await;
        self.hasten().await;
    }

    /// Waits until the replica is the primary, and each sentinel says so. Returns its address.
    pub async fn promoted(&self) -> SocketAddr {
        let replica = self.replica.address();
        until("the replica is promoted", async || {
            for sentinel in &self.sentinels {
                if named(sentinel).await? != replica {
                    return None;
                }
            }
            let role = self.replica.info("role").await?;
            (role == "master").then_some(replica)
        })
        .await
    }

    /// Waits until the former primary, started or resumed again, follows the one that is promoted.
    pub async fn demoted(&self) {
        until("the former primary follows", async || is_linked(&self.primary).await).await;
    }

    /// A vote that comes to nothing is repeated after twice the time of a failover. No sentinel
    /// puts the replica right any more, as the primary is down.
    async fn hasten(&self) {
        for sentinel in &self.sentinels {
            sentinel.command(&["SENTINEL", "SET", SERVICE, "failover-timeout", "2000"]).await;
        }
    }
}

/// Which primary a sentinel names.
pub async fn named(sentinel: &Server) -> Option<SocketAddr> {
    let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE];
    let (host, port): (String, u16) = sentinel.query(&words).await.ok()?;
    Some(SocketAddr::new(host.parse::<IpAddr>().ok()?, port))
}

/// How many other sentinels and replicas a sentinel knows.
async fn watched(sentinel: &Server) -> Option<[usize; 2]> {
    let others = sentinel.query::<Vec<Value>>(&["SENTINEL", "SENTINELS", SERVICE]).await.ok()?;
    let replicas = sentinel.query::<Vec<Value>>(&["SENTINEL", "REPLICAS", SERVICE]).await.ok()?;
    Some([others.len(), replicas.len()])
}

pub(super) async fn is_linked(replica: &Server) -> Option<()> {
    (replica.info("master_link_status").await? == "up").then_some(())
}
