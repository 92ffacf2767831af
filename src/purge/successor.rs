//! Who is told of a purge on a node without others: the process that takes over from it.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::PurgeRequest;
use super::purger::Unacknowledged;

/// How long the other process may take to apply a purge: it is on the same machine.
const APPLIED_WITHIN: Duration = Duration::from_secs(2);

/// Tags that are told at once.
const TAGS_AT_ONCE: usize = 250;

/// A purge for the other process, and who waits until it has been applied there.
#[derive(Debug)]
pub struct Told {
    /// The purge.
    pub request: PurgeRequest,
    /// To be answered once the other process has applied it; dropped where there is none any more.
    pub applied: oneshot::Sender<()>,
}

/// The process that takes over, where there is one.
#[derive(Debug, Default)]
pub struct Successor(Mutex<Option<Heir>>);

#[derive(Clone, Debug)]
struct Heir {
    purges: mpsc::Sender<Told>,
    /// Whether it serves and this process does not, so that a purge must not do without it.
    is_in_place: bool,
}

impl Successor {
    /// From now on purges are told to this one, for as long as it listens.
    pub fn set(&self, successor: mpsc::Sender<Told>) {
        *self.0.lock() = Some(Heir { purges: successor, is_in_place: false });
    }

    /// It serves in place of this process.
    pub fn is_in_place(&self) {
        if let Some(heir) = &mut *self.0.lock() {
            heir.is_in_place = true;
        }
    }

    /// Tells of a purge that stands here. When this returns it stands there too, or nobody is there.
    pub(super) async fn tell(&self, request: &PurgeRequest) -> Result<(), Unacknowledged> {
        let Some(successor) = self.0.lock().clone() else { return Ok(()) };
        let told = async {
            for request in request.pieces(TAGS_AT_ONCE) {
                let (applied, is_applied) = oneshot::channel();
                let told = successor.purges.send(Told { request, applied }).await;
                if told.is_err() || is_applied.await.is_err() {
                    return;
                }
            }
        };
        let told = tokio::time::timeout(APPLIED_WITHIN, told).await;
        told.map_err(|_| {
            // One that hangs before it serves must not keep purges from standing.
            self.0.lock().take_if(|heir| !heir.is_in_place);
            Unacknowledged::Unreachable
        })
    }

    /// The same for what an unsafe request has changed.
    pub(super) async fn tell_invalidated(&self, request: &PurgeRequest) {
        if self.tell(request).await.is_err() {
            tracing::warn!("the process that takes over was not told of a write in time");
        }
    }
}
