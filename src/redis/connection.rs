//! One connection, whatever stands at its other end.

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::cluster_async::ClusterConnection;
use ::redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use ::redis::{Cmd, Pipeline, RedisFuture, RedisResult, Value, cmd};

/// For the driver's `query_async` and `invoke_async`. Clones share the connection, from any thread.
#[derive(Clone)]
pub enum Connection {
    /// To one server.
    Server(MultiplexedConnection),
    /// To a cluster's nodes.
    Cluster(ClusterConnection),
}

impl Connection {
    /// Asks for a sign of life.
    pub(super) async fn ping(mut self) -> RedisResult<()> {
        match &mut self {
            Self::Server(server) => cmd("PING").exec_async(server).await,
            // By itself the driver would ask every node, and one lost shard would be no answer.
            Self::Cluster(cluster) => {
                let anyone = RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random);
                cluster.route_command(cmd("PING"), anyone).await?.extract_error().map(drop)
            }
        }
    }

    /// Whether the driver replaces what is lost of it.
    pub(super) const fn mends_itself(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(server) => server.req_packed_command(command),
            Self::Cluster(cluster) => cluster.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(server) => server.req_packed_commands(pipeline, offset, count),
            Self::Cluster(cluster) => cluster.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(server) => server.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}
