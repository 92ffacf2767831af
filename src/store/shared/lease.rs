//! One fetch in the whole fleet: who holds the lease on an answer fetches it, the others wait for
//! it to appear.

use tokio::sync::mpsc;

use super::Write;
use crate::cache_key::SharedDigest;

/// The right to fetch an answer for the whole fleet. It ends when it is dropped, or by itself when
/// the others have stopped waiting.
#[derive(Debug)]
pub struct Lease {
    pub(super) of: SharedDigest,
    pub(super) queue: mpsc::WeakSender<Write>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.upgrade() {
            // With no room for that it runs out by itself.
            let _ = queue.try_send(Write::Release(self.of));
        }
    }
}
