//! The task that writes behind.

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, FromRedisValue, Script, cmd};
use futures_util::{StreamExt, stream};
use std::sync::LazyLock;
use tokio::sync::mpsc;

use super::{LARGE_BYTES, LEASE, RESPONSE, Settings, VARY, Write};
use crate::cache_key::SharedDigest;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::redis::{Command, Link, LinkError};
use crate::store::variants;
use crate::stored_response::{StoredResponse, codec};

/// Writes under way at once.
const UNDER_WAY: usize = 16;

/// A lease is given back by who holds it alone: it may have run out, and be another's by now.
static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new("return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0")
});

/// Whoever owns it writes.
pub(super) struct Writer {
    pub(super) link: Link,
    pub(super) settings: Arc<Settings>,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
}

impl Writer {
    pub(super) async fn run(self, writes: mpsc::Receiver<Write>) {
        let writes = stream::unfold(writes, |mut writes| async {
            writes.recv().await.map(|write| (write, writes))
        });
        writes.for_each_concurrent(UNDER_WAY, |write| self.write(write)).await;
    }

    async fn write(&self, write: Write) {
        let result = match write {
            Write::Response(response, lease, _room) => {
                let result = self.write_response(&response).await;
                // Only now: who waits for it looks for the answer first.
                drop(lease);
                result
            }
            Write::Selecting(url, sets, life) => match variants::codec::encode(&url, &sets) {
                Some(bytes) => self.set(url.shared_digest(), VARY, &bytes, life).await,
                None => "too-large",
            },
            Write::Remove(of) => {
                let mut remove = cmd("UNLINK");
                remove.arg(self.settings.key(of, RESPONSE));
                told(self.ask::<u64>(Command::Delete, remove).await, "removed")
            }
            Write::Release(of) => return self.release(of).await,
        };
        self.metrics.shared_writes.with_label_values(&[result]).inc();
    }

    async fn write_response(&self, response: &Arc<StoredResponse>) -> &'static str {
        let life = response.freshness.life_left(self.clock.now());
        if life.is_zero() {
            return "outlived";
        }
        let bytes = if response.body.len() < LARGE_BYTES {
            codec::encode(response)
        } else {
            let response = Arc::clone(response);
            match tokio::task::spawn_blocking(move || codec::encode(&response)).await {
                Ok(bytes) => bytes,
                Err(_) => return "failed",
            }
        };
        if bytes.len() > self.settings.max_value_bytes {
            return "too-large";
        }
        self.set(response.key.shared_digest(), RESPONSE, &bytes, life).await
    }

    async fn set(
        &self,
        of: SharedDigest,
        suffix: &str,
        bytes: &[u8],
        life: Duration,
    ) -> &'static str {
        let millis = u64::try_from(life.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut set = cmd("SET");
        set.arg(self.settings.key(of, suffix)).arg(bytes).arg("PX").arg(millis);
        told(self.ask::<String>(Command::Set, set).await, "written")
    }

    async fn release(&self, of: SharedDigest) {
        let mut call = RELEASE.prepare_invoke();
        call.key(self.settings.key(of, LEASE)).arg(&self.settings.holder);
        let limit = self.settings.write_timeout;
        // One that is not given back runs out.
        let _: Result<u64, LinkError> = self.link.invoke(Command::Release, limit, call).await;
    }

    async fn ask<T: FromRedisValue>(&self, command: Command, ask: Cmd) -> Result<T, LinkError> {
        self.link.ask(command, self.settings.write_timeout, ask).await
    }
}

fn told<T>(result: Result<T, LinkError>, done: &'static str) -> &'static str {
    result.map_or("failed", |_| done)
}
