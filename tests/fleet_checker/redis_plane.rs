//! What lies in Redis of the plane, taken away and put back: what a restored backup does, and a
//! replica that is promoted without the last writes.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use redis::Value;

use crate::support::redis::server::Server;

/// All keys of the plane are in one slot of a cluster with this one.
pub const SEQUENCE: &str = "{csu-edge:purge}:seq";

pub const LINEAGE: &str = "{csu-edge:purge}:lineage";
pub const LOG: &str = "{csu-edge:purge}:log";

/// Copies the plane's keys from one name to another, those that are missing too.
const COPY: &str = "
for _, name in ipairs({'lineage', 'seq', 'log', 'tags', 'urls'}) do
  local from, to = ARGV[1] .. name, ARGV[2] .. name
  redis.call('UNLINK', to)
  redis.call('COPY', from, to)
end";

const PLANE: &str = "{csu-edge:purge}:";
const SAVED: &str = "{csu-edge:purge}:saved:";
const NOTHING: &str = "{csu-edge:purge}:nothing:";

/// Keeps the plane as it is now, on the server itself.
pub async fn save(server: &Server) {
    copy(server, PLANE, SAVED).await;
}

/// Puts the plane back as it was kept, at once.
pub async fn put_back(server: &Server) {
    copy(server, SAVED, PLANE).await;
}

/// Takes the plane away, and nothing else.
pub async fn take_away(server: &Server) {
    copy(server, NOTHING, PLANE).await;
}

/// Takes everything away but the plane and what is kept of it.
pub async fn take_answers_away(server: &Server) {
    let script = "
for _, key in ipairs(redis.call('KEYS', '*')) do
  if string.sub(key, 1, #ARGV[1]) ~= ARGV[1] then redis.call('UNLINK', key) end
end";
    let _: Value = server.command(&["EVAL", script, "0", PLANE]).await;
}

async fn copy(server: &Server, from: &str, to: &str) {
    let _: Value = server.command(&["EVAL", COPY, "0", from, to]).await;
}

/// The number of the last purge.
pub async fn sequence(server: &Server) -> u64 {
    server.query(&["GET", SEQUENCE]).await.unwrap()
}
