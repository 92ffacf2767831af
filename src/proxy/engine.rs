//! What all workers share: the catalogue, the store, the purge plane, the flights.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aws_lc_rs::digest;
use http::{HeaderMap, Method, Uri};

use super::again;
use super::asking;
use super::cors::Cors;
use super::errand::{Call, Detour, Subject};
use super::flight::Flights;
use super::hottest::Hottest;
use super::identity::{Asker, Unpartitioned, identify};
use super::invalidate;
use super::listed::habits::Habits;
use super::listed::merger::Merger;
use super::refresh::Pace;
use crate::access_log::AccessLog;
use crate::caching::admission::HttpRules;
use crate::clock::Clock;
use crate::config::{Config, Generic, GenericPolicy, Secret};
use crate::metrics::Metrics;
use crate::odata::{ResourcePath, ServiceRoot, ServiceRootError};
use crate::operation::{Catalogue, Identity};
use crate::origin::gate::Gate;
use crate::purge::{PurgePlane, Purger};
use crate::server::RepeatPlan;
use crate::store::{MemoryTier, SharedTier, VariantIndex};
use crate::traces::Tracer;

/// Everything that an answer can come from or end in, but the origin.
pub struct Engine {
    /// The configuration.
    pub config: Config,
    /// The clock.
    pub clock: Clock,
    /// The operations whose answers may be kept.
    pub catalogue: Catalogue,
    /// Where the origin's resources begin.
    pub service_root: ServiceRoot,
    /// The memory tier.
    pub store: MemoryTier,
    /// The tier that nodes share, where there is one.
    pub shared: Option<SharedTier>,
    /// Which variants of a URL are stored.
    pub variants: VariantIndex,
    /// How the origin's own word on caching is taken.
    pub http_rules: HttpRules,
    /// How purges are made to stand, and what this node knows of them.
    pub purger: Purger,
    /// What stands before the origin.
    pub gate: Arc<Gate>,
    /// The fetches under way.
    pub flights: Arc<Flights>,
    /// Calls for many things, open and under way.
    pub merger: Arc<Merger>,
    /// How the origin has been seen to answer lists.
    pub habits: Arc<Habits>,
    /// Milliseconds since the epoch until which the origin is taken to know no batches.
    pub(super) batches_refused_until: Arc<AtomicU64>,
    /// What is asked for most.
    pub hottest: Arc<Hottest>,
    /// How long fetches take.
    pub(super) pace: Arc<Pace>,
    /// CORS, where the proxy answers it.
    pub cors: Option<Cors>,
    /// The metrics.
    pub metrics: Metrics,
    /// Who takes spans, where there are traces.
    pub tracer: Option<Arc<Tracer>>,
    /// Where a line for each request is left, where that is wanted.
    pub access_log: Option<Arc<AccessLog>>,
    /// What keys are digested under: random, so that nobody can choose keys that collide.
    pub key_seed: [u8; 16],
    /// What credentials are digested under, for partitions. Random too, unless the fleet shares one.
    partition_seed: [u8; 16],
    /// What stands in the keys of URLs for the rules that their answers are stored by.
    pub(super) generic_keyed_as: Option<Box<str>>,
    /// Whether anything may be stored by its URL: by these rules, or by those before them.
    pub(super) stores_urls: bool,
    /// Whether another engine has taken this one's place.
    superseded: AtomicBool,
}

impl Engine {
    /// An engine on this configuration, with that way of purging.
    ///
    /// # Errors
    /// The origin's service root is not one.
    pub fn new(
        config: Config,
        catalogue: Catalogue,
        purger: Purger,
        metrics: Metrics,
        clock: Clock,
    ) -> Result<Self, ServiceRootError> {
        let max_bytes = config.memory.max_bytes;
        let index_bytes = max_bytes / INDEX_SHARE;
        asking::show(&metrics);
        invalidate::show(&metrics);
        Ok(Self {
            variants: VariantIndex::new(index_bytes, config.limits.variants),
            http_rules: http_rules(&config.generic),
            service_root: ServiceRoot::new(&config.origin.service_root)?,
            store: MemoryTier::new(
                max_bytes - index_bytes - max_bytes / REPEAT_SHARE,
                clock.clone(),
                metrics.clone(),
            ),
            flights: Flights::new(config.limits.fetches, config.limits.waiters, metrics.clone()),
            gate: Gate::new(&config.origin.gate, clock.clone(), metrics.clone()),
            merger: Merger::new(config.origin.merge_linger).into(),
            habits: Habits::new(catalogue.operations().len()).into(),
            batches_refused_until: Arc::default(),
            hottest: Hottest::new(config.refresh.hottest).into(),
            pace: Arc::default(),
            cors: config.cors.as_ref().map(Cors::new),
            key_seed: rand::random(),
            partition_seed: partition_seed(&config).unwrap_or_else(rand::random),
            generic_keyed_as: generic_keyed_as(&config),
            stores_urls: config.generic.policy == GenericPolicy::Rfc9111,
            superseded: AtomicBool::new(false),
            shared: None,
            access_log: None,
            tracer: None,
            config,
            clock,
            catalogue,
            purger,
            metrics,
        })
    }

    /// An engine by other settings around what this one holds and knows: the stores, the purges, the
    /// gate, the flights. Both can be at work at the same time. Settings that need a restart are the
    /// same in both ([`Config::taken_over_from`]).
    ///
    /// Bounds that the two share are those of the new settings as soon as this returns.
    #[must_use]
    pub fn reconfigured(&self, config: Config, catalogue: Catalogue) -> Self {
        let is_same_catalogue = catalogue == self.catalogue;
        // The operations themselves, where nothing has changed: what is under way goes on with them.
        let catalogue = if is_same_catalogue { self.catalogue.clone() } else { catalogue };
        let habits = match catalogue.defines_as(&self.catalogue) {
            true => Arc::clone(&self.habits),
            false => Habits::new(catalogue.operations().len()).into(),
        };
        // What is hot, and what may go along, is asked for by the operations as they were.
        let hottest = match is_same_catalogue && config.refresh == self.config.refresh {
            true => Arc::clone(&self.hottest),
            false => Hottest::new(config.refresh.hottest).into(),
        };
        if !is_same_catalogue {
            self.merger.forget_riders();
        }
        self.merger.set_linger(config.origin.merge_linger);
        self.flights.set_bounds(config.limits.fetches, config.limits.waiters);
        self.gate.reconfigure(&config.origin.gate);
        if let Some(shared) = &self.shared {
            shared.set_max_body_bytes(config.limits.stored_body_bytes);
        }
        Self {
            variants: self.variants.with_max_variants(config.limits.variants),
            http_rules: http_rules(&config.generic),
            service_root: self.service_root.clone(),
            store: self.store.clone(),
            flights: Arc::clone(&self.flights),
            gate: Arc::clone(&self.gate),
            merger: Arc::clone(&self.merger),
            habits,
            batches_refused_until: Arc::clone(&self.batches_refused_until),
            hottest,
            pace: Arc::clone(&self.pace),
            cors: config.cors.as_ref().map(Cors::new),
            key_seed: self.key_seed,
            partition_seed: self.partition_seed,
            generic_keyed_as: generic_keyed_as(&config),
            stores_urls: self.stores_urls || config.generic.policy == GenericPolicy::Rfc9111,
            superseded: AtomicBool::new(false),
            shared: self.shared.clone(),
            access_log: self.access_log.clone(),
            tracer: self.tracer.clone(),
            config,
            clock: self.clock.clone(),
            catalogue,
            purger: self.purger.clone(),
            metrics: self.metrics.clone(),
        }
    }

    /// Another engine takes this one's place, from now on.
    pub(super) fn supersede(&self) {
        // Release: whoever sees it sees the other one.
        self.superseded.store(true, Ordering::Release);
    }

    /// Whether another engine has taken this one's place: then it finishes what it has begun.
    pub(super) fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::Acquire)
    }

    /// The same, with a tier that is shared with other nodes.
    #[must_use]
    pub fn with_shared(mut self, tier: Option<SharedTier>) -> Self {
        self.shared = tier;
        self
    }

    /// The same, with a line for each request.
    #[must_use]
    pub fn with_access_log(mut self, log: Option<Arc<AccessLog>>) -> Self {
        self.access_log = log;
        self
    }

    /// The same, with spans of requests.
    #[must_use]
    pub fn with_tracer(mut self, tracer: Option<Arc<Tracer>>) -> Self {
        self.tracer = tracer;
        self
    }

    /// Whether a partition is the same on every node.
    pub(super) fn shares_partitions(&self) -> bool {
        partition_secret(&self.config).is_some()
    }

    /// What this node knows of purges.
    pub fn plane(&self) -> &PurgePlane {
        self.purger.plane()
    }

    /// What a request is about.
    ///
    /// # Errors
    /// Says why it is to pass.
    pub fn classify<'u>(&self, method: &Method, target: &'u Uri) -> Result<Subject<'u>, Detour> {
        let below = self.service_root.relative(target.path());
        let path = below.and_then(|below| ResourcePath::parse(below).ok());
        if let Some(path) = path {
            if let Some(operation) = self.catalogue.find(method, &path) {
                return Ok(Subject::Call(Call { operation: Arc::clone(operation), path }));
            }
            if self.catalogue.has_withdrawn(&path) {
                return Err(Detour::NotInCatalogue);
            }
        }
        match self.config.generic.policy {
            GenericPolicy::Pass => Err(Detour::NotInCatalogue),
            GenericPolicy::Rfc9111 if matches!(*method, Method::GET | Method::HEAD) => {
                Ok(Subject::Resource)
            }
            GenericPolicy::Rfc9111 => Err(Detour::Method),
        }
    }

    /// Who asks, by the operation's rule.
    ///
    /// # Errors
    /// Says why the request has no partition and must pass.
    pub fn identify(&self, headers: &HeaderMap, rule: Identity) -> Result<Asker, Unpartitioned> {
        identify(headers, rule, self.clock.now(), &self.partition_seed)
    }

    /// What workers keep of requests whose answers can be given again.
    pub fn repeats(&self) -> RepeatPlan {
        let bytes = self.config.memory.max_bytes / REPEAT_SHARE;
        RepeatPlan { bytes: usize::try_from(bytes).unwrap_or(usize::MAX), unread: &again::UNREAD }
    }

    /// Brings the gauges up to date, for a scrape.
    pub fn measure(&self) {
        self.store.measure();
        self.flights.measure();
        self.gate.measure();
    }
}

/// The part of `memory.max_bytes` that is for knowing which variants of a URL there are.
const INDEX_SHARE: u64 = 32;

/// The part of `memory.max_bytes` that is for requests whose answers can be given again.
const REPEAT_SHARE: u64 = 32;

fn partition_secret(config: &Config) -> Option<&Secret> {
    config.redis.as_ref()?.partition_secret.as_ref()
}

/// The first half of the secret's digest.
fn partition_seed(config: &Config) -> Option<[u8; 16]> {
    let secret = partition_secret(config)?;
    let digest = digest::digest(&digest::SHA256, secret.reveal().as_bytes());
    digest.as_ref().first_chunk().copied()
}

fn http_rules(generic: &Generic) -> HttpRules {
    HttpRules {
        targets: generic.targets.clone(),
        heuristic_percent: generic.heuristic_percent,
        heuristic_max: generic.heuristic_max,
        stale_if_error: generic.stale_if_error,
        stores_set_cookie: generic.store_set_cookie,
    }
}

/// What answers by URL are stored by, where that is not the default: in their keys, so that what was
/// stored by other rules is not found. How long they are used is no part of it: that is looked at when
/// they are.
fn generic_keyed_as(config: &Config) -> Option<Box<str>> {
    let written = |generic: &Generic, answers_cors: bool| {
        let Generic {
            policy: _,
            targets,
            request_fields,
            heuristic_percent,
            heuristic_max,
            max_fresh_for: _,
            keep_for: _,
            stale_if_error,
            store_set_cookie,
        } = generic;
        let kept = (store_set_cookie, answers_cors, request_fields);
        format!("{:?}", (targets, heuristic_percent, heuristic_max, stale_if_error, kept))
    };
    let rules = written(&config.generic, config.cors.is_some());
    if rules == written(&Generic::default(), false) {
        return None;
    }
    let mut text = String::from("by ");
    for byte in digest::digest(&digest::SHA256, rules.as_bytes()).as_ref().iter().take(8) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Some(text.into())
}
