//! A Redis cluster: three masters, each with a replica.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::net::SocketAddr;

use futures_util::future::join_all;
use redis::cluster::ClusterClient;

use super::replicated::is_linked;
use super::server::{KEEPER, Server};
use super::until;

const MASTERS: usize = 3;
const SLOTS: usize = 16_384;

/// The six. Dropped, they are killed.
pub struct Cluster {
    pub nodes: Vec<Server>,
}

impl Cluster {
    /// All up, with every slot served and every replica linked. The options are those of all.
    pub async fn start(options: &[(&str, &str)]) -> Self {
        let options = [
            &[
                ("cluster-enabled", "yes"),
                ("cluster-announce-ip", "127.0.0.1"),
                ("cluster-node-timeout", "2000"),
                // A replica may be promoted however long it heard nothing.
                ("cluster-replica-validity-factor", "0"),
                ("cluster-allow-replica-migration", "no"),
                ("masteruser", KEEPER),
                ("masterauth", KEEPER),
                ("repl-diskless-sync-delay", "0"),
            ],
            options,
        ]
        .concat();
        let nodes = join_all((0..2 * MASTERS).map(|_| Server::start(&options))).await;
        let cluster = Self { nodes };
        cluster.form().await;
        cluster
    }

    async fn form(&self) {
        for (at, node) in self.nodes.iter().enumerate() {
            // Each its own, so that none has to be settled by a vote.
            let epoch = (at + 1).to_string();
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await;
            if at < MASTERS {
                let (first, end) = (at * SLOTS / MASTERS, (at + 1) * SLOTS / MASTERS);
                let (first, last) = (first.to_string(), (end - 1).to_string());
                node.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await;
            }
            // All of them, as gossip alone would take its time.
            for other in &self.nodes[..at] {
                let port = other.address().port().to_string();
                node.command(&["CLUSTER", "MEET", "127.0.0.1", &port]).await;
            }
        }
        until("the nodes know each other", async || {
            for node in &self.nodes {
                let known = view(node).await?;
                if known.len() < self.nodes.len() || known.iter().any(|node| node.has("handshake"))
                {
                    return None;
                }
            }
            Some(())
        })
        .await;
        let (masters, replicas) = self.nodes.split_at(MASTERS);
        for (master, replica) in masters.iter().zip(replicas) {
            let id: String = master.query(&["CLUSTER", "MYID"]).await.unwrap();
            replica.command(&["CLUSTER", "REPLICATE", &id]).await;
        }
        until("the cluster is formed", async || {
            for replica in replicas {
                is_linked(replica).await?;
            }
            for node in &self.nodes {
                let replicas = view(node).await?.iter().filter(|node| node.has("slave")).count();
                if replicas < MASTERS || !is_ok(node).await? {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Server::address).collect()
    }

    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Server::url).collect()
    }

    pub fn client(&self) -> ClusterClient {
        ClusterClient::new(self.urls()).unwrap()
    }

    pub fn node(&mut self, address: SocketAddr) -> &mut Server {
        self.nodes.iter_mut().find(|node| node.address() == address).unwrap()
    }

    /// Which master serves this key, as all nodes that run agree.
    pub async fn master_of(&self, key: &str) -> SocketAddr {
        until("the nodes agree", async || self.agreed_master_of(key).await).await
    }

    /// Kills it, and returns where it was.
    pub async fn kill_master_of(&mut self, key: &str) -> SocketAddr {
        let master = self.master_of(key).await;
        self.node(master).kill();
        master
    }

    /// Waits until another master than this one serves the key, and the whole cluster is well.
    /// Returns its address.
    pub async fn failed_over(&self, key: &str, former: SocketAddr) -> SocketAddr {
        until("another master takes over", async || {
            let master = self.agreed_master_of(key).await?;
            (master != former).then_some(master)
        })
        .await
    }

    async fn agreed_master_of(&self, key: &str) -> Option<SocketAddr> {
        let mut agreed = None;
        for node in self.nodes.iter().filter(|node| node.is_running()) {
            let slot: usize = node.query(&["CLUSTER", "KEYSLOT", key]).await.ok()?;
            let known = view(node).await?;
            let master = known.iter().find(|node| node.serves(slot))?.address()?;
            if !is_ok(node).await? || agreed.is_some_and(|agreed| agreed != master) {
                return None;
            }
            agreed = Some(master);
        }
        agreed
    }
}

/// A line of `CLUSTER NODES`: id, address, flags, master, ping, pong, epoch, link, and slots.
struct Known(Vec<String>);

impl Known {
    /// `host:port@cluster-port`, and perhaps a host name.
    fn address(&self) -> Option<SocketAddr> {
        self.0[1].split_once('@')?.0.parse().ok()
    }

    fn has(&self, flag: &str) -> bool {
        self.0[2].split(',').any(|found| found == flag)
    }

    fn serves(&self, slot: usize) -> bool {
        self.0[8..].iter().any(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (first.parse::<usize>(), last.parse::<usize>());
            first.is_ok_and(|first| first <= slot) && last.is_ok_and(|last| slot <= last)
        })
    }
}

/// What a node knows of all.
async fn view(node: &Server) -> Option<Vec<Known>> {
    let text: String = node.query(&["CLUSTER", "NODES"]).await.ok()?;
    Some(text.lines().map(|line| Known(line.split(' ').map(str::to_owned).collect())).collect())
}

async fn is_ok(node: &Server) -> Option<bool> {
    let info: String = node.query(&["CLUSTER", "INFO"]).await.ok()?;
    Some(info.lines().any(|line| line == "cluster_state:ok"))
}
