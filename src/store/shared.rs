//! The tier that nodes share, on Redis: a response fetched by one node is a hit on all.
//!
//! | key | holds |
//! |---|---|
//! | `prefix:{digest}` | a stored response ([`crate::stored_response::codec`]) |
//! | `prefix:{digest}:vary` | by which fields a URL's variants differ ([`super::variants::codec`]) |
//! | `prefix:{digest}:lease` | who fetches it |
//!
//! What is read is judged as what memory holds is: by time, and by the purges since its stamp.
//! Nothing in here is ever the client's problem. A Redis that is away, slow or full, and a value that
//! cannot be read or answers another question, are misses.
//!
//! Clients wait for reads alone. Writes go through a queue, and are dropped where it is full.

mod lease;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::redis::cmd;
use http::HeaderName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::variants;
use crate::cache_key::{CacheKey, SharedDigest};
use crate::clock::Clock;
use crate::config;
use crate::metrics::Metrics;
use crate::redis::{Command, Link, LinkError};
use crate::stored_response::StoredResponse;
use crate::stored_response::codec::{self, DecodeError, ReadBy};

pub use lease::Lease;

/// Bytes of a value past which it is written and read off the serving threads.
const LARGE_BYTES: usize = 64 << 10;

/// The same of an encoded value, whose body may be many times as long.
const LARGE_ENCODED_BYTES: usize = 8 << 10;

/// Bytes of responses that wait to be written, beside those that memory holds anyway.
const QUEUE_BYTES: usize = 64 << 20;

/// The first pause before it is looked again whether another node's answer has come; each is twice
/// the one before, up to the last.
const FIRST_LOOK: Duration = Duration::from_millis(4);
const LAST_LOOK: Duration = Duration::from_millis(32);

/// What a node needs to read what another has written.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The secret under which this process makes digests of keys.
    pub key_seed: [u8; 16],
    /// The base that all clients use, where one is configured.
    pub public_root: Option<Box<str>>,
    /// The longest body that is stored, in bytes.
    pub max_body_bytes: usize,
}

impl Reader {
    fn read(&self, bytes: &[u8], max_body_bytes: usize) -> Result<StoredResponse, DecodeError> {
        let Self { key_seed, public_root, .. } = self;
        let public_root = public_root.as_deref();
        codec::decode(bytes, ReadBy { key_seed, public_root, max_body_bytes })
    }
}

/// The tier. Cloning shares it.
#[derive(Clone, Debug)]
pub struct SharedTier {
    link: Link,
    settings: Arc<Settings>,
    queue: mpsc::Sender<Write>,
    /// Bytes of responses that may yet wait to be written.
    room: Arc<Semaphore>,
    metrics: Metrics,
    _writer: Arc<AbortOnDropHandle<()>>,
}

#[derive(Debug)]
struct Settings {
    prefix: String,
    read_timeout: Duration,
    write_timeout: Duration,
    lease_wait: Duration,
    max_value_bytes: usize,
    /// The longest body that is read, in bytes: the reader's own at first.
    max_body_bytes: AtomicUsize,
    reader: Reader,
    /// What this process writes into its leases.
    holder: String,
}

impl Settings {
    fn read(&self, bytes: &[u8]) -> Result<StoredResponse, DecodeError> {
        self.reader.read(bytes, self.max_body_bytes.load(Ordering::Relaxed))
    }

    /// The braces keep what belongs to one question in one slot of a cluster.
    fn key(&self, of: SharedDigest, suffix: &str) -> String {
        format!("{}:{{{of}}}{suffix}", self.prefix)
    }
}

const RESPONSE: &str = "";
const VARY: &str = ":vary";
const LEASE: &str = ":lease";

/// What is to be written behind.
#[derive(Debug)]
enum Write {
    /// With the room that it takes in the queue.
    Response(Arc<StoredResponse>, Option<Lease>, OwnedSemaphorePermit),
    Selecting(CacheKey, Vec<Arc<[HeaderName]>>, Duration),
    Remove(SharedDigest),
    Release(SharedDigest),
}

/// Whether to fetch.
#[derive(Debug)]
pub enum Election {
    /// Nobody else does.
    Elected(Lease),
    /// Another node does.
    Follow,
    /// It is not known: the tier is away, or leases are off.
    Unknown,
}

/// Shows the tier's counters, so that they can be watched before the first of each.
fn show(metrics: &Metrics) {
    for result in ["found", "absent", "failed", "unreadable", "other-key", "too-large"] {
        metrics.shared_reads.with_label_values(&[result]);
    }
    for result in ["written", "removed", "failed", "too-large", "outlived", "queue-full"] {
        metrics.shared_writes.with_label_values(&[result]);
    }
    for result in ["elected", "follow", "failed"] {
        metrics.shared_leases.with_label_values(&[result]);
    }
}

impl SharedTier {
    /// A tier on that connection. To be called within a Tokio runtime, on which it writes.
    pub fn start(
        link: Link,
        redis: &config::Redis,
        reader: Reader,
        clock: Clock,
        metrics: Metrics,
    ) -> Self {
        show(&metrics);
        let settings = Arc::new(Settings {
            prefix: redis.prefix.clone(),
            read_timeout: redis.command_timeout,
            write_timeout: redis.write_timeout,
            lease_wait: redis.lease_wait,
            max_value_bytes: redis.max_value_bytes,
            max_body_bytes: AtomicUsize::new(reader.max_body_bytes),
            reader,
            holder: format!("{:032x}", rand::random::<u128>()),
        });
        let (queue, writes) = mpsc::channel(redis.write_queue);
        let writer = writer::Writer {
            link: link.clone(),
            settings: Arc::clone(&settings),
            clock,
            metrics: metrics.clone(),
        };
        let writer = Arc::new(AbortOnDropHandle::new(tokio::spawn(writer.run(writes))));
        let room = Arc::new(Semaphore::new(QUEUE_BYTES));
        Self { link, settings, queue, room, metrics, _writer: writer }
    }

    /// Reads bodies of at most so many bytes from now on.
    pub fn set_max_body_bytes(&self, max_body_bytes: usize) {
        self.settings.max_body_bytes.store(max_body_bytes, Ordering::Relaxed);
    }

    /// Whether it can be read and written at present.
    pub fn is_up(&self) -> bool {
        self.link.is_up()
    }

    /// The response stored under exactly this key. One round trip.
    ///
    /// # Errors
    /// Nobody answered in time.
    pub async fn get(&self, key: &CacheKey) -> Result<Option<StoredResponse>, LinkError> {
        let count = |result| self.metrics.shared_reads.with_label_values(&[result]).inc();
        let bytes =
            self.read(key.shared_digest(), RESPONSE).await.inspect_err(|_| count("failed"))?;
        let result = match bytes.is_empty() {
            true => Err("absent"),
            false => self.decode(bytes).await,
        };
        let result = result.and_then(|response| match response.key == *key {
            true => Ok(response),
            false => Err("other-key"),
        });
        count(result.as_ref().map_or_else(|reason| *reason, |_| "found"));
        Ok(result.ok())
    }

    /// By which fields the variants of a URL differ, the latest set first; none where they are not
    /// known to. One round trip.
    ///
    /// # Errors
    /// Nobody answered in time.
    pub async fn selecting(&self, url: &CacheKey) -> Result<Vec<Arc<[HeaderName]>>, LinkError> {
        let bytes = self.read(url.shared_digest(), VARY).await?;
        Ok(match variants::codec::decode(&bytes, &self.settings.reader.key_seed) {
            Ok(known) if known.url == *url => known.sets,
            _ => Vec::new(),
        })
    }

    /// At most as much of a value as it may be long, and one byte; nothing where there is none.
    async fn read(&self, of: SharedDigest, suffix: &str) -> Result<Vec<u8>, LinkError> {
        let mut read = cmd("GETRANGE");
        read.arg(self.settings.key(of, suffix)).arg(0).arg(self.settings.max_value_bytes);
        self.link.ask(Command::Get, self.settings.read_timeout, read).await
    }

    async fn decode(&self, bytes: Vec<u8>) -> Result<StoredResponse, &'static str> {
        if bytes.len() > self.settings.max_value_bytes {
            return Err("too-large");
        }
        let decoded = if bytes.len() < LARGE_ENCODED_BYTES {
            self.settings.read(&bytes)
        } else {
            let settings = Arc::clone(&self.settings);
            let read = tokio::task::spawn_blocking(move || settings.read(&bytes));
            read.await.map_err(|_| "failed")?
        };
        decoded.map_err(|error| {
            tracing::debug!(reason = error.as_str(), "a shared value cannot be read");
            "unreadable"
        })
    }

    /// Asks for the right to fetch.
    pub async fn elect(&self, key: &CacheKey) -> Election {
        let settings = &self.settings;
        if settings.lease_wait.is_zero() {
            return Election::Unknown;
        }
        let of = key.shared_digest();
        let millis = u64::try_from(settings.lease_wait.as_millis()).unwrap_or(u64::MAX);
        let mut take = cmd("SET");
        take.arg(settings.key(of, LEASE)).arg(&settings.holder).arg("NX").arg("PX").arg(millis);
        let taken: Result<Option<String>, _> =
            self.link.ask(Command::Lease, settings.read_timeout, take).await;
        let (election, label) = match taken {
            Ok(Some(_)) => {
                let queue = self.queue.downgrade();
                (Election::Elected(Lease { of, queue }), "elected")
            }
            Ok(None) => (Election::Follow, "follow"),
            Err(_) => (Election::Unknown, "failed"),
        };
        self.metrics.shared_leases.with_label_values(&[label]).inc();
        election
    }

    /// Waits for another node's answer to appear: for what `wanted` takes. `None` where its fetch
    /// came to nothing, or takes too long.
    pub async fn follow<T>(
        &self,
        key: &CacheKey,
        wanted: impl Fn(StoredResponse) -> Option<T>,
    ) -> Option<T> {
        let waiting = async {
            let mut pause = FIRST_LOOK;
            loop {
                tokio::time::sleep(pause).await;
                // Asked for first: who lets go of it has written the answer before.
                let is_held = self.is_held(key).await;
                match self.get(key).await.map(|found| found.and_then(&wanted)) {
                    Ok(Some(found)) => return Some(found),
                    Ok(None) if is_held => {}
                    Ok(None) | Err(_) => return None,
                }
                pause = (pause * 2).min(LAST_LOOK);
            }
        };
        tokio::time::timeout(self.settings.lease_wait, waiting).await.ok().flatten()
    }

    async fn is_held(&self, key: &CacheKey) -> bool {
        let mut look = cmd("EXISTS");
        look.arg(self.settings.key(key.shared_digest(), LEASE));
        let held = self.link.ask(Command::Lease, self.settings.read_timeout, look).await;
        held.unwrap_or(0_u64) > 0
    }

    /// Writes a response behind, and lets go of its lease then.
    pub fn put(&self, response: &Arc<StoredResponse>, lease: Option<Lease>) {
        // Memory may have let go of it while it waits here.
        let bytes = u32::try_from(response.bytes()).unwrap_or(u32::MAX);
        match Arc::clone(&self.room).try_acquire_many_owned(bytes) {
            Ok(room) => self.queue(Write::Response(Arc::clone(response), lease, room)),
            Err(_) => self.count_full_queue(),
        }
    }

    /// Writes behind by which fields a URL's variants differ, for as long as one of them lives.
    pub fn put_selecting(&self, url: &CacheKey, sets: &[Arc<[HeaderName]>], life: Duration) {
        self.queue(Write::Selecting(url.clone(), sets.to_vec(), life));
    }

    /// Removes what is no longer what the origin would say.
    pub fn remove(&self, key: &CacheKey) {
        self.queue(Write::Remove(key.shared_digest()));
    }

    fn queue(&self, write: Write) {
        if self.queue.try_send(write).is_err() {
            self.count_full_queue();
        }
    }

    fn count_full_queue(&self) {
        self.metrics.shared_writes.with_label_values(&["queue-full"]).inc();
    }
}
