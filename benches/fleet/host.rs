//! Nodes, each with a thread of its own for what is not a listener's, as `csu-edge serve` has.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use csu_edge::config::{Config, Redis};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::support::fleet;
use crate::support::node::Running;
use csu_edge::clock::Clock;

/// The node. Its thread ends after it.
pub(crate) struct Hosted {
    running: Option<Running>,
    runtime: tokio::runtime::Handle,
    _end: oneshot::Sender<()>,
}

impl Hosted {
    pub(crate) async fn start(
        service_root: &str,
        redis: Option<Redis>,
        change: impl FnOnce(&mut Config) + Send + 'static,
    ) -> Self {
        let service_root = service_root.to_owned();
        let (end, ended) = oneshot::channel::<()>();
        let (started, node) = oneshot::channel();
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let running = match redis {
                    Some(redis) => fleet::node(&service_root, redis, change).await,
                    None => Running::start_by(Clock::system(), &service_root, change).await,
                };
                let handle = tokio::runtime::Handle::current();
                let _ = started.send((running, handle));
                let _ = ended.await;
            });
        });
        let (running, runtime) = node.await.expect("the node starts");
        Self { running: Some(running), runtime, _end: end }
    }

    /// From now on notes when the node has applied what.
    pub(crate) fn applied(&self) -> Applied {
        let mut applied = self.node.applied().expect("it is in a fleet");
        let noted = Arc::new(Mutex::new(Vec::with_capacity(16 << 10)));
        let notes = Arc::clone(&noted);
        // On the node's own thread: it is woken right after the node has applied something.
        self.runtime.spawn(async move {
            while applied.changed().await.is_ok() {
                let now = Instant::now();
                let stamp = *applied.borrow_and_update();
                notes.lock().push((stamp.map_or(0, |stamp| stamp.sequence.as_u64()), now));
            }
        });
        Applied(noted)
    }
}

impl Deref for Hosted {
    type Target = Running;

    fn deref(&self) -> &Running {
        self.running.as_ref().unwrap()
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        // Before its thread ends.
        self.running = None;
    }
}

/// As many nodes as that on one Redis.
pub(crate) async fn nodes<const N: usize>(
    service_root: &str,
    redis: &Redis,
    change: impl Fn(&mut Config) + Send + Copy + 'static,
) -> [Hosted; N] {
    let mut nodes = Vec::new();
    for name in ('a'..).take(N) {
        let redis = Redis { node: Some(name.to_string()), ..redis.clone() };
        nodes.push(Hosted::start(service_root, Some(redis), change).await);
    }
    nodes.try_into().unwrap_or_else(|_| panic!("as many as were started"))
}

/// What a node has applied, and when.
pub(crate) struct Applied(Arc<Mutex<Vec<(u64, Instant)>>>);

impl Applied {
    /// When the purge of that number was applied; `None` where it was not yet.
    pub(crate) fn at(&self, sequence: u64) -> Option<Instant> {
        let notes = self.0.lock();
        let at = notes.partition_point(|(applied, _)| *applied < sequence);
        notes.get(at).map(|(_, at)| *at)
    }
}

/// When all have applied it. Waits until they have.
pub(crate) async fn applied_by_all(all: &[Applied], sequence: u64) -> Instant {
    crate::support::redis::until("it is applied by all", async || {
        let times: Option<Vec<Instant>> = all.iter().map(|node| node.at(sequence)).collect();
        times?.into_iter().max()
    })
    .await
}
