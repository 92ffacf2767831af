//! One running node: three listeners around one engine.

mod reload;
mod sharing;
mod telling;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::body::Body;
use crate::clock::Clock;
use crate::config::{Config, ListenerTls};
use crate::control::{self, Control, NotReady, Readiness};
use crate::handover::{HandoverError, Inherited, Offer, OfferedListener, Predecessor, Relief};
use crate::ingest::{CredentialError, Ingest};
use crate::metrics::Metrics;
use crate::odata::ServiceRootError;
use crate::operation::{Catalogue, CatalogueError};
use crate::origin::{OriginClient, SetupError};
use crate::proxy::{Engine, InForce, Proxy, WorkerProxy};
use crate::purge::{Purger, Stamp};
use crate::redis::RedisSetupError;
use crate::server::{self, Answer, Counters, Drained, Handler, Peer, Plan, Server};
use crate::tls::{LiveTls, UnusableTls};
use crate::traces::TracesError;

use reload::Standing;
use sharing::Sharing;
use telling::Telling;

pub use reload::{Reloaded, Reloader};

/// How often purges that nothing living can be older than are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Beside the longest life of an answer: a fetch that left just before a purge may land this much
/// later, plus what clocks disagree.
const LATEST_LANDING: Duration = Duration::from_secs(10 * 60);

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address cannot be bound, or its threads not started.
    #[error("the {listener} listener cannot be opened at {address}: {source}")]
    Listener {
        /// Which.
        listener: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A listener's certificate, key or authorities cannot be used.
    #[error("tls.{listener}: {source}")]
    Tls {
        /// Which.
        listener: &'static str,
        /// Why.
        source: UnusableTls,
    },
    /// The origin's client cannot be set up.
    #[error("origin: {0}")]
    Origin(#[from] SetupError),
    /// The service root is none.
    #[error("origin.service_root: {0}")]
    ServiceRoot(#[from] ServiceRootError),
    /// An `[[operation]]` is wrong.
    #[error("[[operation]]: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Catalogue(Vec<CatalogueError>),
    /// A secret of the ingest listener cannot be used.
    #[error("ingest: {0}")]
    Credential(#[from] CredentialError),
    /// A Redis cannot be used as it is configured.
    #[error("redis: {0}")]
    Redis(#[from] RedisSetupError),
    /// The access log cannot be opened.
    #[error("access_log.to: {0}")]
    AccessLog(#[source] io::Error),
    /// Spans cannot be exported as it is configured.
    #[error("traces: {0}")]
    Traces(#[from] TracesError),
    /// The process that serves does not let this one take its place.
    #[error("listen.handover: {0}")]
    Handover(#[from] HandoverError),
    /// Two metrics share a name: a bug.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Where a node listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Addresses {
    /// Storefronts.
    pub storefront: SocketAddr,
    /// Push events.
    pub ingest: SocketAddr,
    /// Operators.
    pub control: SocketAddr,
}

/// A running node. Dropped, it ends at once; [`Node::drain`] is the graceful way.
pub struct Node {
    addresses: Addresses,
    storefront: Server,
    ingest: Server,
    control: Server,
    readiness: Arc<Readiness>,
    reloader: Arc<Reloader>,
    sharing: Sharing,
    telling: Telling,
    _upkeep: Vec<AbortOnDropHandle<()>>,
}

impl Node {
    /// Starts a node. To be called within a Tokio runtime, which carries its upkeep; each listener
    /// has threads of its own.
    ///
    /// # Errors
    /// Says what of the configuration, or of the machine, does not allow it.
    pub async fn start(config: Config, clock: Clock) -> Result<Self, StartError> {
        Self::start_after(config, clock, None).await
    }

    /// The same in place of another process, from whose sockets it accepts where they fit: not before
    /// all else is ready.
    ///
    /// # Errors
    /// As [`Node::start`], and where the other process does not let it.
    pub async fn start_after(
        config: Config,
        clock: Clock,
        mut predecessor: Option<&mut Predecessor>,
    ) -> Result<Self, StartError> {
        let inherited = match &mut predecessor {
            Some(predecessor) => predecessor.sockets(&config.listen),
            None => Inherited::default(),
        };
        let metrics = Metrics::new()?;
        tell_limits(&metrics, &config);
        let catalogue =
            Catalogue::new(&config.operations, &config.classes).map_err(StartError::Catalogue)?;
        let remembered_for = remembered_for(&config, &catalogue);
        let sharing = Sharing::start(&config, remembered_for, &clock, &metrics)?;
        let purger = sharing.purger.clone();
        let origin = OriginClient::new(&config.origin)?;
        let telling = Telling::start(&config, &metrics)?;
        let ingest =
            Ingest::new(config.ingest.clone(), purger.clone(), metrics.clone(), clock.clone())?;
        let ingest = Arc::new(ingest.with_tracer(telling.tracer.clone()));
        let readiness = Arc::new(Readiness::default());
        let (listen, limits, tls) =
            (config.listen.clone(), config.limits.clone(), config.tls.clone());
        let trusted = config.forwarded.trusted.clone();
        let memory_bytes = config.memory.max_bytes;
        let engine =
            Engine::new(config, catalogue, purger.clone(), metrics.clone(), clock.clone())?;
        let tier = sharing.tier(&engine.config, engine.key_seed, &clock, &metrics);
        let engine = telling.equip(engine.with_shared(tier));
        let repeats = engine.repeats();
        let in_force = InForce::new(engine);
        let refresher = Proxy::new(in_force.engine(), Arc::new(origin.with_own_connections()));
        let mut secured = Secured { metrics: metrics.clone(), clock: clock.clone(), all: vec![] };
        if let Some(predecessor) = &mut predecessor {
            // Who is asked is ready: it must not answer where the other one would do better.
            sharing.joined().await;
            predecessor.opening(&purger).await?;
        }
        let keeps_sockets = listen.handover.is_some();
        let mut plan = |name, tls, address| {
            let (tls, trusted) = (secured.open(name, tls)?, trusted.clone());
            let plan = Plan::new(name, address, limits.clone());
            Ok::<_, StartError>(Plan { tls, trusted, keeps_sockets, ..plan })
        };

        let storefront_plan = Plan {
            workers: listen.workers,
            repeats,
            ..plan("storefront", tls.storefront, listen.storefront)?
        };
        let storefront = serve(&storefront_plan, inherited.storefront, {
            let in_force = Arc::clone(&in_force);
            move || WorkerProxy::new(Arc::clone(&in_force), origin.with_own_connections())
        })?;
        let ingest_plan = plan("ingest", tls.ingest, listen.ingest)?;
        let ingest_server = serve(&ingest_plan, inherited.ingest, {
            let ingest = Arc::clone(&ingest);
            move || IngestHandler(Arc::clone(&ingest))
        })?;
        let gauges = ConnectionGauges::new(
            metrics.clone(),
            [("storefront", storefront.counters()), ("ingest", ingest_server.counters())],
        );
        // It holds the control listener's bounds, and that tells of it.
        let late_reloader = Arc::new(OnceLock::<Arc<Reloader>>::new());
        let control = Arc::new(Control::new(control::Node {
            purger: purger.clone(),
            metrics: metrics.clone(),
            readiness: Arc::clone(&readiness),
            dead_letters: ingest.dead_letters(),
            degraded: Box::new({
                let (purger, tier) = (purger.clone(), sharing.tier.clone());
                move || Sharing::degraded(&purger, tier.as_ref())
            }),
            explain: Arc::clone(&in_force) as Arc<dyn control::Explain>,
            configuration: Box::new({
                let reloader = Arc::clone(&late_reloader);
                move || reloader.get().map_or(Value::Null, |reloader| reloader.told())
            }),
            on_scrape: Box::new({
                let in_force = Arc::clone(&in_force);
                move || {
                    in_force.engine().measure();
                    gauges.measure();
                }
            }),
            loopback_only: listen.control.ip().is_loopback(),
            tls: tls.control.is_some(),
            memory_bytes,
            clock: clock.clone(),
        }));
        if predecessor.is_some() {
            // It has joined, the others accept already, and probes that come from now on have been
            // told by the process before that all is well.
            readiness.clear(NotReady::Starting);
        }
        let control_plan = plan("control", tls.control, listen.control)?;
        let make_control = move || ControlHandler(Arc::clone(&control));
        let control_server = serve(&control_plan, inherited.control, make_control)?;

        let reloader = Arc::new(Reloader {
            in_force: Arc::clone(&in_force),
            ingest,
            bounds: [&storefront, &ingest_server, &control_server].map(Server::bounds),
            standing: Mutex::new(Standing::new(clock.now(), &metrics)),
            metrics,
            clock: clock.clone(),
        });
        let _ = late_reloader.set(Arc::clone(&reloader));
        let addresses = Addresses {
            storefront: storefront.local_address(),
            ingest: ingest_server.local_address(),
            control: control_server.local_address(),
        };
        let mut upkeep = secured.followers();
        let refreshing = refresher.refresh_after_purges(in_force, clock.clone());
        upkeep.push(AbortOnDropHandle::new(tokio::spawn(refreshing)));
        upkeep.push(AbortOnDropHandle::new(tokio::spawn(forget_old_purges(purger, clock))));
        if predecessor.is_none() {
            sharing.joined().await;
        }
        readiness.clear(NotReady::Starting);
        tracing::info!(
            storefront = %addresses.storefront,
            ingest = %addresses.ingest,
            control = %addresses.control,
            "listening",
        );
        Ok(Self {
            addresses,
            storefront,
            ingest: ingest_server,
            control: control_server,
            readiness,
            reloader,
            sharing,
            telling,
            _upkeep: upkeep,
        })
    }

    /// Where the node listens.
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// What gives the node other settings while it runs.
    pub fn reloader(&self) -> Arc<Reloader> {
        Arc::clone(&self.reloader)
    }

    /// Up to where this node has applied the fleet's purges, as it applies them: for who measures how
    /// long that takes. `None` on a node without others.
    pub fn applied(&self) -> Option<watch::Receiver<Option<Stamp>>> {
        match &self.sharing.purger {
            Purger::Alone(_) => None,
            Purger::Fleet(fleet) => Some(fleet.applied()),
        }
    }

    /// What another process can take over, where `listen.handover` is set.
    ///
    /// # Errors
    /// Where no more files can be open.
    pub fn offer(&self) -> io::Result<Offer> {
        let listener = |name, server: &Server| {
            let (address, sockets) = (server.local_address(), server.sockets()?);
            Ok(OfferedListener { name, address, sockets })
        };
        let listeners = self.servers().map(|(name, server)| listener(name, server));
        let listeners = listeners.into_iter().collect::<io::Result<_>>()?;
        Ok(Offer { listeners, purger: self.sharing.purger.clone() })
    }

    const fn servers(&self) -> [(&'static str, &Server); 3] {
        [("storefront", &self.storefront), ("ingest", &self.ingest), ("control", &self.control)]
    }

    /// Ends after another process has taken over: `/ready` goes on as it is, since who asks at this
    /// address asks about that one.
    pub async fn hand_over(self, relief: &Relief) -> Drained {
        let servers =
            [("storefront", self.storefront), ("ingest", self.ingest), ("control", self.control)];
        let drain_for = self.reloader.drain_for();
        let [storefront, ingest, control] = servers.map(|(name, server)| async move {
            match relief.has_taken(name) {
                true => server.hand_over(drain_for).await,
                false => server.stop(drain_for).await,
            }
        });
        let (storefront, ingest, _) = tokio::join!(storefront, ingest, control);
        tokio::join!(self.sharing.leave(), self.telling.finish());
        tracing::info!(storefront = storefront.as_str(), ingest = ingest.as_str(), "drained");
        storefront
    }

    /// Ends where the process that was to be relieved serves on.
    pub async fn hand_back(self) {
        let drain_for = self.reloader.drain_for();
        let servers = [self.storefront, self.ingest, self.control];
        let [storefront, ingest, control] = servers.map(|server| server.hand_over(drain_for));
        tokio::join!(storefront, ingest, control);
        tokio::join!(self.sharing.leave(), self.telling.finish());
    }

    /// Tells for `listen.drain_delay` that the node is about to go, accepts no more then, finishes
    /// what runs within `listen.drain_for`, and ends. The control listener ends last, so that
    /// `/ready` tells of it meanwhile.
    pub async fn drain(self) -> Drained {
        self.readiness.set(NotReady::Draining);
        let delay = self.reloader.drain_delay();
        if !delay.is_zero() {
            self.storefront.leave();
            self.ingest.leave();
            tokio::time::sleep(delay).await;
        }
        let drain_for = self.reloader.drain_for();
        let (storefront, ingest) =
            tokio::join!(self.storefront.stop(drain_for), self.ingest.stop(drain_for));
        tokio::join!(self.sharing.leave(), self.telling.finish());
        self.control.stop(Duration::from_secs(1)).await;
        tracing::info!(storefront = storefront.as_str(), ingest = ingest.as_str(), "drained");
        storefront
    }
}

/// What counts come to at most, to be seen beside them.
fn tell_limits(metrics: &Metrics, config: &Config) {
    let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    metrics.purge_remembered_tags_limit.set(gauge(config.purge.max_tags));
    for listener in ["storefront", "ingest"] {
        let limit = gauge(config.limits.connections);
        metrics.connections_limit.with_label_values(&[listener]).set(limit);
    }
}

/// Serves from a plan, and from the sockets of the process before where it had some.
fn serve<H: Handler>(
    plan: &Plan,
    sockets: Vec<TcpListener>,
    make_handler: impl Fn() -> H + Clone + Send + 'static,
) -> Result<Server, StartError> {
    let Plan { name: listener, address, .. } = *plan;
    server::serve_from(plan, sockets, make_handler).map_err(|source| StartError::Listener {
        listener,
        address,
        source,
    })
}

/// The listeners that speak TLS.
struct Secured {
    metrics: Metrics,
    clock: Clock,
    all: Vec<Arc<LiveTls>>,
}

impl Secured {
    fn open(
        &mut self,
        listener: &'static str,
        settings: Option<ListenerTls>,
    ) -> Result<Option<Arc<LiveTls>>, StartError> {
        let Some(settings) = settings else { return Ok(None) };
        let live = LiveTls::load(listener, settings, self.metrics.clone(), self.clock.now())
            .map_err(|source| StartError::Tls { listener, source })?;
        let live = Arc::new(live);
        self.all.push(Arc::clone(&live));
        Ok(Some(live))
    }

    /// The tasks that follow the listeners' files.
    fn followers(self) -> Vec<AbortOnDropHandle<()>> {
        let follow = |live: Arc<LiveTls>| {
            AbortOnDropHandle::new(tokio::spawn(live.follow(self.clock.clone())))
        };
        self.all.into_iter().map(follow).collect()
    }
}

/// How long purges are remembered: as long as anything lives that is stored by this configuration.
fn remembered_for(config: &Config, catalogue: &Catalogue) -> Duration {
    let longest_life = catalogue.longest_life().max(config.generic.longest_life());
    longest_life + config.origin.fetch_timeout.max(LATEST_LANDING)
}

async fn forget_old_purges(purger: Purger, clock: Clock) {
    loop {
        clock.sleep(FORGET_EVERY).await;
        purger.plane().forget_old();
    }
}

impl Handler for WorkerProxy {
    fn handle(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        may_repeat: bool,
    ) -> impl Future<Output = Answer> {
        let proxy = self.current();
        async move { proxy.handle(request, peer, may_repeat).await }
    }
}

struct IngestHandler(Arc<Ingest>);

impl Handler for IngestHandler {
    async fn handle(&self, request: Request<Incoming>, _: Peer, _: bool) -> Answer {
        whole(self.0.respond(request).await)
    }
}

struct ControlHandler(Arc<Control>);

impl Handler for ControlHandler {
    async fn handle(&self, request: Request<Incoming>, _: Peer, _: bool) -> Answer {
        whole(self.0.respond(request).await)
    }
}

fn whole(response: Response<Full<Bytes>>) -> Answer {
    response.map(|body| Body::boxed(body.map_err(|never| match never {}))).into()
}

/// What the servers count by themselves, carried over to the metrics at a scrape.
struct ConnectionGauges {
    metrics: Metrics,
    servers: [(&'static str, Arc<Counters>); 2],
    /// Two scrapes at once must not both add the same difference.
    one_at_a_time: Mutex<()>,
}

impl ConnectionGauges {
    const fn new(metrics: Metrics, servers: [(&'static str, Arc<Counters>); 2]) -> Self {
        Self { metrics, servers, one_at_a_time: Mutex::new(()) }
    }

    fn measure(&self) {
        let _guard = self.one_at_a_time.lock();
        let mut panics = 0;
        for (listener, counters) in &self.servers {
            let open = i64::try_from(counters.open()).unwrap_or(i64::MAX);
            self.metrics.connections.with_label_values(&[listener]).set(open);
            for (limit, count) in [
                ("header-timeout", counters.slow_heads()),
                ("keep-alive", counters.idle()),
                ("stalled", counters.stalled()),
                ("connections-per-client", counters.crowded()),
                ("h2-flood", counters.floods()),
            ] {
                let closed = self.metrics.connections_closed.with_label_values(&[listener, limit]);
                closed.inc_by(count.saturating_sub(closed.get()));
            }
            panics += counters.panics();
        }
        self.metrics.panics.inc_by(panics.saturating_sub(self.metrics.panics.get()));
    }
}
