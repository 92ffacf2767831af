//! The engine in force, which a reload replaces, and the proxies that go by it.
//!
//! A request sees one engine from its beginning to its end: it takes the one that is in force when it
//! comes, and what it starts goes on with that one. Nothing is locked or counted for it on the way: a
//! proxy's own engine tells whether another one has taken its place, and only then it is looked up.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::Value;

use super::Proxy;
use super::engine::Engine;
use crate::control::{Explain, ExplainRequest};
use crate::origin::OriginClient;

/// The engine in force.
pub struct InForce(ArcSwap<Engine>);

impl InForce {
    /// The first one.
    pub fn new(engine: Engine) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(engine)))
    }

    /// The one that a request goes by which comes now.
    pub fn engine(&self) -> Arc<Engine> {
        self.0.load_full()
    }

    /// Puts another one in its place. Requests that come after this returned go by it, and what is
    /// repeated is looked up by it first. One call at a time.
    pub fn replace(&self, engine: Engine) {
        self.0.swap(Arc::new(engine)).supersede();
    }
}

impl Explain for InForce {
    fn explain(&self, request: ExplainRequest) -> Result<Value, String> {
        self.engine().explain(request)
    }
}

impl Proxy {
    /// The same proxy by another engine, over the same connections.
    pub(super) fn by(&self, engine: Arc<Engine>) -> Self {
        let counts = match self.engine.catalogue == engine.catalogue {
            true => Arc::clone(&self.counts),
            false => Arc::new(self.counts.of_same_worker(&engine.catalogue)),
        };
        let origin = Arc::new(self.origin.with_timeouts(&engine.config.origin));
        Self::counting(engine, origin, counts)
    }
}

/// One worker's proxy, by the engine in force.
pub struct WorkerProxy {
    in_force: Arc<InForce>,
    proxy: RefCell<Rc<Proxy>>,
}

impl WorkerProxy {
    /// A proxy that asks through `origin`.
    pub fn new(in_force: Arc<InForce>, origin: OriginClient) -> Self {
        let proxy = Proxy::new(in_force.engine(), Arc::new(origin));
        Self { in_force, proxy: RefCell::new(Rc::new(proxy)) }
    }

    /// The one for a request that comes now.
    pub fn current(&self) -> Rc<Proxy> {
        let mut proxy = self.proxy.borrow_mut();
        if proxy.engine.is_superseded() {
            *proxy = Rc::new(proxy.by(self.in_force.engine()));
        }
        Rc::clone(&proxy)
    }
}
