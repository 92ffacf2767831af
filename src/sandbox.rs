//! The stand-in Retail Server: what `csu-sandbox` runs, and what the tests and the demo start
//! in-process.
//!
//! A request goes through `server`: count, limit, latency, fault, then (`request`) the operation's
//! handler out of the one list in `operations`, and `deliver` makes the response. A `batch` sends
//! each of its requests the same way from `request` on. Products are a pure
//! function of the seed (`assortment`); what is changed over the control paths (`control`) lies
//! over them (`shop`) and is pushed as an event (`push`). What it imitates and what it does not
//! is told in `docs/sandbox.md`.

mod answers;
mod assortment;
mod batch;
mod call;
mod carts;
mod changes;
mod company;
mod control;
mod deliver;
pub mod duration;
mod faults;
mod filter;
mod identity;
mod language;
mod metadata;
mod operations;
mod page;
mod preflight;
mod problem;
mod push;
mod request;
mod server;
mod shop;
mod stats;
mod subject;
mod url;
mod wire;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use assortment::{Assortment, MAX_PRODUCTS};
use carts::Carts;
use company::Customer;
use faults::{Faults, RateLimit, Target};
use page::MAX_TOP;
use push::Pusher;
use request::SERVICE_ROOT;
use server::Engine;
use shop::Shop;
use stats::Stats;

pub use changes::ChangeRefused;
pub use faults::Sickness;
pub use push::{Push, Pushed};

/// How the stand-in behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How long every answer under the service root is held back.
    pub latency: Duration,
    /// By how much the latency varies, up and down; at most the latency itself counts.
    pub latency_jitter: Duration,
    /// How many products it sells, variants included; at most a million.
    pub products: usize,
    /// What the products are made from: a seed gives the same ones every time.
    pub seed: u64,
    /// Rows of a page that the server itself cuts, 1 to 1,000.
    pub page_size: usize,
    /// Requests under the service root past which it answers 429; no limit where there is none.
    pub requests_per_second: Option<u32>,
    /// Whom it tells of changes.
    pub push: Option<Push>,
    /// Whether inventory is calculated at most once a minute for a product and a warehouse.
    pub inventory_cache: bool,
    /// Whether browsers' preflights are answered: at once, whatever the latency, limits and faults.
    pub preflights: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            latency: Duration::ZERO,
            latency_jitter: Duration::ZERO,
            products: 1_000,
            seed: 1,
            page_size: MAX_TOP,
            requests_per_second: None,
            push: None,
            inventory_cache: false,
            preflights: false,
        }
    }
}

/// A running stand-in. Dropping it ends it.
#[derive(Debug)]
pub struct Sandbox {
    engine: Arc<Engine>,
    tasks: TaskTracker,
    stop: DropGuard,
}

impl Sandbox {
    /// Binds and serves on the current tokio runtime.
    ///
    /// # Errors
    /// The address cannot be bound; or, of kind [`io::ErrorKind::InvalidInput`], a setting is out
    /// of its range.
    pub async fn start(settings: Settings, clock: Clock) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?;
        Self::start_on(listener, settings, clock)
    }

    /// Serves on a listener that is bound already, whatever `settings.listen` says: for whoever
    /// must know the address before there is anybody to push to.
    ///
    /// # Errors
    /// Of kind [`io::ErrorKind::InvalidInput`]: a setting is out of its range.
    pub fn start_on(listener: TcpListener, settings: Settings, clock: Clock) -> io::Result<Self> {
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
        if settings.products > MAX_PRODUCTS {
            return Err(invalid(format!("products: more than {MAX_PRODUCTS}")));
        }
        if !(1..=MAX_TOP).contains(&settings.page_size) {
            return Err(invalid(format!("page size: not between 1 and {MAX_TOP}")));
        }
        if settings.requests_per_second == Some(0) {
            return Err(invalid("requests per second: 0 would answer nothing".into()));
        }
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let pusher = match &settings.push {
            None => None,
            Some(push) => Some(Pusher::start(push, &clock, &tasks, &stop).map_err(invalid)?),
        };
        let assortment = Assortment::new(settings.seed, settings.products);
        let carts = Carts::new(settings.seed);
        let engine = Arc::new(Engine {
            shop: Shop::new(assortment, clock.clone(), carts, settings.inventory_cache),
            faults: Faults::new(clock.clone()),
            stats: Stats::new(),
            limit: settings.requests_per_second.map(|n| RateLimit::new(clock.clone(), n)),
            pusher,
            latency: settings.latency,
            latency_jitter: settings.latency_jitter.min(settings.latency),
            page_size: settings.page_size,
            preflights: settings.preflights,
            seed: settings.seed,
            address: listener.local_addr()?,
            requests: AtomicU64::new(0),
            clock,
        });
        tasks.spawn(wire::accept(listener, Arc::clone(&engine), tasks.clone(), stop.clone()));
        Ok(Self { engine, tasks, stop: stop.drop_guard() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.engine.address
    }

    /// The service root, without a slash at its end: `http://127.0.0.1:41235/Commerce`.
    pub fn service_root(&self) -> String {
        format!("http://{}/{SERVICE_ROOT}", self.engine.address)
    }

    /// Changes a price: the list price, or a customer's contract price. Applied when it returns,
    /// and told as `POST /sandbox/prices` tells it.
    ///
    /// # Errors
    /// There is no such product or customer, or the price is negative or not finite.
    pub async fn set_price(
        &self,
        product_id: i64,
        price: f64,
        customer: Option<&str>,
    ) -> Result<Pushed, ChangeRefused> {
        self.engine.changes().set_price(product_id, price, customer).await
    }

    /// Changes what a warehouse has of a product, in pieces.
    ///
    /// # Errors
    /// There is no such product or warehouse, or the amount is out of range.
    pub async fn set_inventory(
        &self,
        product_id: i64,
        warehouse: &str,
        available: f64,
    ) -> Result<Pushed, ChangeRefused> {
        self.engine.changes().set_inventory(product_id, warehouse, available).await
    }

    /// Renames a product, in both languages.
    ///
    /// # Errors
    /// There is no such product, or the name is empty or too long.
    pub async fn set_name(&self, product_id: i64, name: &str) -> Result<Pushed, ChangeRefused> {
        self.engine.changes().set_name(product_id, name).await
    }

    /// Makes an operation, `$batch` or all (`*`) sick for a while. `false` when there is no such operation.
    pub fn fault(&self, operation: &str, sickness: Sickness, lasts: Duration) -> bool {
        let target = Target::parse(operation);
        if let Some(target) = target {
            self.engine.faults.set(target, sickness, lasts);
        }
        target.is_some()
    }

    /// A token that signs a customer in for an hour, without its scheme; `None` for an account that
    /// does not exist.
    pub fn token_for(&self, account: &str) -> Option<String> {
        Some(control::hourly_token(&self.engine, Customer::by_account(account)?))
    }

    /// The requests for an operation, by its name in the table (`Products/GetActivePrices`), since
    /// the start or the last reset.
    pub fn requests(&self, operation: &str) -> u64 {
        self.engine.stats.of(operation)
    }

    /// The same inside batches, each of which is itself one request for `$batch`.
    pub fn requests_in_batches(&self, operation: &str) -> u64 {
        self.engine.stats.in_batches(operation)
    }

    /// All requests under the service root, known operations or not.
    pub fn total_requests(&self) -> u64 {
        self.engine.stats.total()
    }

    /// Counts from zero again.
    pub fn reset_stats(&self) {
        self.engine.stats.reset();
    }

    /// Ends it: no new connection, running requests get two seconds.
    pub async fn shutdown(self) {
        drop(self.stop);
        self.tasks.close();
        self.tasks.wait().await;
    }
}
