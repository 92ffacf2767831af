//! The access log: one line of JSON for each request, to stdout or to a file.
//!
//! Workers never write. Each leaves a [`Record`] in a queue of its own, which costs it no lock and no
//! system call, and one thread takes them from there, makes lines of them and writes them. So a disk
//! that is full and a pipe that nobody reads cost lines and no request: what finds its worker's queue
//! full is left out and counted.
//!
//! No field of a request but its target is in a line, so neither is a secret that a field carries.

mod destination;
mod line;
mod writer;

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use http::{HeaderValue, Method, StatusCode};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::clock::Timestamp;
use crate::config::{self, AccessLogTo, LoggedTarget};
use crate::metrics::Metrics;
use crate::proxy::cache_status::CacheStatus;
use destination::Destination;

/// The longest target that is told, in bytes: what waits in a queue must not be as large as clients
/// like.
const MAX_TARGET_BYTES: usize = 2 << 10;

/// One request, as far as it is logged.
#[derive(Debug)]
pub struct Record {
    /// When it was answered.
    pub at: Timestamp,
    /// Who asked.
    pub client: IpAddr,
    /// Its method.
    pub method: Method,
    /// What of its target may be told.
    pub target: Option<Arc<str>>,
    /// The catalogue's name for it, where it has one.
    pub operation: Option<Arc<str>>,
    /// The status that it was answered with; `None` where its client left before that.
    pub status: Option<StatusCode>,
    /// How it was answered.
    pub result: &'static str,
    /// From its head to its answer's head.
    pub took: Duration,
    /// The trace that it is part of.
    pub trace_id: Option<[u8; 16]>,
    /// What its client was told of how the answer came about.
    pub cache_status: Told,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// Of an answer that was streamed: how that ended.
    pub streamed: Option<Streamed>,
}

/// How an answer was streamed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Streamed {
    /// From its request's head to its last byte.
    pub took: Duration,
    /// Whether all of it was.
    pub is_whole: bool,
}

/// The `Cache-Status` of an answer.
#[derive(Debug)]
pub enum Told {
    /// There is none.
    Nothing,
    /// As it was written.
    Field(HeaderValue),
    /// As it is to be written.
    Status(CacheStatus),
}

/// What workers and the writer share.
struct Shared {
    queues: Mutex<Vec<Arc<ArrayQueue<Record>>>>,
    writer: OnceLock<Thread>,
    is_ending: AtomicBool,
    is_to_reopen: AtomicBool,
    metrics: Metrics,
}

/// The access log, for those who leave records in it.
pub struct AccessLog {
    shared: Arc<Shared>,
    target: LoggedTarget,
    queue: usize,
}

/// The thread that writes. Dropped, it is told to end and not waited for.
pub struct Writing {
    shared: Arc<Shared>,
    ended: Option<oneshot::Receiver<()>>,
    flush_for: Duration,
    is_file: bool,
}

/// One worker's end of the log.
pub struct Journal {
    shared: Arc<Shared>,
    records: Arc<ArrayQueue<Record>>,
    target: LoggedTarget,
}

impl AccessLog {
    /// Opens the log and starts its writer, where the configuration wants one.
    ///
    /// # Errors
    /// The file cannot be opened, or the thread not started.
    pub fn start(
        settings: &config::AccessLog,
        metrics: &Metrics,
    ) -> io::Result<Option<(Arc<Self>, Writing)>> {
        let Some(to) = &settings.to else { return Ok(None) };
        let destination = Destination::open(to)?;
        let shared = Arc::new(Shared {
            queues: Mutex::default(),
            writer: OnceLock::new(),
            is_ending: AtomicBool::new(false),
            is_to_reopen: AtomicBool::new(false),
            metrics: metrics.clone(),
        });
        for reason in LeftOut::ALL {
            shared.leave_out(reason, 0);
        }
        let (ended, end) = oneshot::channel();
        let writer = thread::Builder::new().name("access-log".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                writer::run(&shared, destination);
                let _ = ended.send(());
            }
        })?;
        let _ = shared.writer.set(writer.thread().clone());
        let log =
            Self { shared: Arc::clone(&shared), target: settings.target, queue: settings.queue };
        let writing = Writing {
            shared,
            ended: Some(end),
            flush_for: settings.flush_for,
            is_file: matches!(to, AccessLogTo::File(_)),
        };
        Ok(Some((Arc::new(log), writing)))
    }

    /// An end of the log for one more worker.
    pub fn for_one(&self) -> Journal {
        let records = Arc::new(ArrayQueue::new(self.queue));
        self.shared.queues.lock().push(Arc::clone(&records));
        Journal { shared: Arc::clone(&self.shared), records, target: self.target }
    }
}

impl Journal {
    /// What of a target may be told, in memory of its own: as it came, it would keep the read buffer
    /// of its connection until its line is written.
    pub fn target(&self, path_and_query: &str) -> Option<Arc<str>> {
        let told = match self.target {
            LoggedTarget::None => return None,
            LoggedTarget::Path => path_and_query.split('?').next().unwrap_or_default(),
            LoggedTarget::PathAndQuery => path_and_query,
        };
        told.get(..told.floor_char_boundary(MAX_TARGET_BYTES)).map(Arc::from)
    }

    /// Leaves a record to be written, or leaves it out where too many wait.
    pub fn note(&self, record: Record) {
        if self.records.push(record).is_err() {
            self.shared.leave_out(LeftOut::QueueFull, 1);
        }
        // Otherwise the writer comes by itself, often enough.
        if self.records.len() >= self.records.capacity() / 2 {
            self.shared.wake();
        }
    }
}

impl Writing {
    /// What opens a file anew at SIGUSR1, to run as long as the log: that a file was moved away is
    /// noticed without it, but whoever rotates other programs' logs sends it, and unheard it would end
    /// the process.
    ///
    /// # Errors
    /// The signal cannot be heard.
    pub fn reopen_on_signal(&self) -> io::Result<impl Future<Output = ()> + use<>> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut signals = signal(SignalKind::user_defined1())?;
        let shared = Arc::clone(&self.shared);
        Ok(async move {
            while signals.recv().await.is_some() {
                shared.is_to_reopen.store(true, Ordering::Release);
                shared.wake();
            }
        })
    }

    /// Whether it writes to a file.
    pub const fn is_to_file(&self) -> bool {
        self.is_file
    }

    /// Ends the log once all that waits is written, or after `access_log.flush_for`. To be called when
    /// nobody leaves records any more.
    pub async fn finish(mut self) {
        let Some(ended) = self.ended.take() else { return };
        self.shared.end();
        if tokio::time::timeout(self.flush_for, ended).await.is_err() {
            let waiting: usize = self.shared.queues.lock().iter().map(|queue| queue.len()).sum();
            tracing::warn!(waiting, "the access log could not be written to its end");
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Shared {
    fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    fn end(&self) {
        self.is_ending.store(true, Ordering::Release);
        self.wake();
    }

    fn leave_out(&self, reason: LeftOut, lines: u64) {
        self.metrics.access_log_dropped.with_label_values(&[reason.as_str()]).inc_by(lines);
    }
}

/// Why a request is not in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum LeftOut {
    /// Too many waited to be written.
    QueueFull,
    /// It could not be written.
    WriteFailed,
}

impl LeftOut {
    const ALL: [Self; 2] = [Self::QueueFull, Self::WriteFailed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue-full",
            Self::WriteFailed => "write-failed",
        }
    }
}
