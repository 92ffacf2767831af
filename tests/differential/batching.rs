//! Asks the origin and the node the same batches, each with carts of its own, and holds the answers
//! and what became of the carts together.

use futures_util::{StreamExt, stream};
use http::Request;

use super::alike::Roots;
use super::batches::Batch;
use super::parts::{parts, with_ids_named};
use super::support::node::{Got, post, request};
use super::support::shop::Shop;

/// How many are asked at once.
const AT_ONCE: usize = 8;
const WRITES: [&str; 3] = ["Carts/Create", "Carts/AddCartLines", "Carts/ResetAllCharges"];

/// How batches were answered.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct BatchTally {
    pub(crate) batches: usize,
    pub(crate) parts: usize,
    /// Answered from the store alone, partly, and not.
    pub(crate) hits: usize,
    pub(crate) partial: usize,
    pub(crate) passed: usize,
    /// Those in which something was refused, and those that ended there.
    pub(crate) with_errors: usize,
    pub(crate) cut_short: usize,
    /// Writes that were done on the way through the node.
    pub(crate) writes: u64,
    /// What the origin was asked inside of batches, or by itself: by the node, and directly.
    pub(crate) asked_by_node: u64,
    pub(crate) asked_directly: u64,
}

/// The shop, asked both ways.
pub(crate) struct Both<'a> {
    shop: &'a Shop,
    roots: Roots,
    seed: u64,
}

impl<'a> Both<'a> {
    pub(crate) fn new(shop: &'a Shop, seed: u64) -> Self {
        let root = |address| format!("http://{address}/Commerce");
        let node = root(shop.node.node.addresses().storefront);
        Self { shop, roots: Roots { origin: root(shop.sandbox.address()), node }, seed }
    }

    /// Asks both for each batch, and panics where they answer or do different things.
    pub(crate) async fn compare(&self, batches: &[Batch], tally: &mut BatchTally) {
        let origin_carts = self.carts(batches).await;
        let node_carts = self.carts(batches).await;
        let stats = &self.shop.sandbox;

        stats.reset_stats();
        let root = &self.roots.origin;
        let requests = batches.iter().zip(&origin_carts);
        let requests = requests.map(|(batch, cart)| batch.request(root, cart)).collect();
        let from_origin = self.ask(false, requests).await;
        let written = self.writes();
        tally.asked_directly += stats.total_requests();

        stats.reset_stats();
        let root = &self.roots.node;
        let requests = batches.iter().zip(&node_carts);
        let requests = requests.map(|(batch, cart)| batch.request(root, cart)).collect();
        let from_node = self.ask(true, requests).await;
        assert_eq!(self.writes(), written, "seed {}: what was written", self.seed);
        tally.asked_by_node += stats.total_requests();
        tally.writes += written.iter().sum::<u64>();

        for (batch, (from_origin, from_node)) in
            batches.iter().zip(from_origin.iter().zip(&from_node))
        {
            self.hold_together(batch, from_origin, from_node);
            tally.count(batch, from_node);
        }
        for (n, (theirs, ours)) in origin_carts.iter().zip(&node_carts).enumerate() {
            let (theirs, ours) = (self.cart(theirs).await, self.cart(ours).await);
            assert_eq!(ours, theirs, "seed {}: the cart of\n{}", self.seed, self.told(&batches[n]));
        }
    }

    /// Asks the node alone for what is read by every other one of them, whatever it answers.
    pub(crate) async fn stir(&self, batches: &[Batch]) {
        let reads = batches.iter().step_by(2).map(Batch::reads).filter(|reads| reads.parts() > 0);
        self.ask(true, reads.map(|reads| reads.request(&self.roots.node, "")).collect()).await;
    }

    fn hold_together(&self, batch: &Batch, from_origin: &Got, from_node: &Got) {
        if let Some(difference) = self.difference(from_origin, from_node) {
            panic!(
                "seed {}: {difference}\n--- the batch\n{}\n--- the node: {} {}\n{}\n\
                 --- the origin: {}\n{}\n",
                self.seed,
                self.told(batch),
                from_node.status,
                from_node.cache_status(),
                from_node.text(),
                from_origin.status,
                from_origin.text(),
            );
        }
    }

    fn difference(&self, from_origin: &Got, from_node: &Got) -> Option<String> {
        if from_origin.status != from_node.status {
            return Some("the status".to_owned());
        }
        if !from_origin.status.is_success() {
            return self.roots.difference(&from_origin.body, &from_node.body);
        }
        let form = |got: &Got| {
            got.header("content-type").map(|kind| kind.split(';').next().unwrap().to_owned())
        };
        if form(from_origin) != form(from_node) {
            return Some(format!("{:?}, not {:?}", form(from_origin), form(from_node)));
        }
        let (theirs, ours) = (parts(from_origin), parts(from_node));
        for (n, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
            if theirs.outside() != ours.outside() {
                let (theirs, ours) = (theirs.outside(), ours.outside());
                return Some(format!("part {n}: {theirs:?}, not {ours:?}"));
            }
            // Where a part that passed named the node, the origin names it too.
            let ours = ours.body.replace(&context(&self.roots.node), &context(&self.roots.origin));
            let difference = self.roots.difference(theirs.body.as_bytes(), ours.as_bytes());
            if let Some(difference) = difference {
                return Some(format!("part {n}: {difference}"));
            }
        }
        (theirs.len() != ours.len()).then(|| format!("{} parts, not {}", theirs.len(), ours.len()))
    }

    fn told(&self, batch: &Batch) -> String {
        let request = batch.request(&self.roots.node, "CART");
        format!("{:?}\n{}", request.headers(), request.body())
    }

    /// The answers to all of them, in their order.
    async fn ask(&self, is_node: bool, requests: Vec<Request<String>>) -> Vec<Got> {
        let node = &self.shop.node;
        let address = match is_node {
            true => node.node.addresses().storefront,
            false => self.shop.sandbox.address(),
        };
        let asking = requests.into_iter().map(|request| node.send_to(address, request));
        stream::iter(asking).buffered(AT_ONCE).collect().await
    }

    fn writes(&self) -> [u64; 3] {
        let sandbox = &self.shop.sandbox;
        WRITES.map(|name| sandbox.requests(name) + sandbox.requests_in_batches(name))
    }

    /// An empty cart for each batch that has need of one.
    async fn carts(&self, batches: &[Batch]) -> Vec<String> {
        let mut carts = Vec::with_capacity(batches.len());
        for batch in batches {
            carts.push(if batch.names_cart() { self.new_cart().await } else { String::new() });
        }
        carts
    }

    async fn new_cart(&self) -> String {
        let creation = post("/Commerce/Carts?api-version=7.3", "{}");
        let got = self.shop.node.send_to(self.shop.sandbox.address(), creation).await;
        got.json()["Id"].as_str().unwrap().to_owned()
    }

    /// What is in a cart now.
    async fn cart(&self, id: &str) -> String {
        if id.is_empty() {
            return String::new();
        }
        let reading = request("GET", &format!("/Commerce/Carts('{id}')?api-version=7.3"), &[]);
        let got = self.shop.node.send_to(self.shop.sandbox.address(), reading).await;
        with_ids_named(&got.text(), &mut Vec::new())
    }
}

fn context(root: &str) -> String {
    format!("\"@odata.context\":\"{root}/")
}

impl BatchTally {
    fn count(&mut self, batch: &Batch, got: &Got) {
        let status = got.cache_status();
        let answers = if got.status.is_success() { parts(got) } else { Vec::new() };
        self.batches += 1;
        self.parts += batch.parts();
        self.hits += usize::from(got.is_hit());
        self.partial += usize::from(status.contains("fwd=partial"));
        self.passed += usize::from(status.contains("fwd=bypass"));
        let has_error = answers.iter().any(|part| part.status >= 400);
        self.with_errors += usize::from(has_error);
        self.cut_short += usize::from(has_error && answers.len() < batch.parts());
    }
}
