//! Asks the node and its origin the same, several at once, and holds the answers together.

use std::net::SocketAddr;

use futures_util::{StreamExt, stream};
use http::Request;

use super::alike::Roots;
use super::lists::{List, Operation};
use super::support::node::{Got, Running};

/// How many are asked at once, so that what they miss is merged and shared.
const AT_ONCE: usize = 8;

/// What a random test begins with; a seed that failed can be given to it.
pub(crate) fn seed() -> u64 {
    const SEED: &str = "CSU_EDGE_DIFFERENTIAL_SEED";
    let given = std::env::var(SEED).map(|seed| seed.parse().unwrap());
    let seed = given.unwrap_or_else(|_| u64::from(rand::random::<u32>()));
    println!("{SEED}={seed}");
    seed
}

/// A node and the origin behind it.
pub(crate) struct Pair<'a> {
    node: &'a Running,
    origin: SocketAddr,
    roots: Roots,
    seed: u64,
}

/// How lists were answered.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Tally {
    pub(crate) lists: usize,
    /// Those whose answers were held against the origin's.
    pub(crate) compared: usize,
    /// What was asked for, repetitions included.
    pub(crate) elements: usize,
    /// Answered from the store alone, and partly.
    pub(crate) hits: usize,
    pub(crate) partial: usize,
    /// Taken as it was asked, from the store or not.
    pub(crate) whole: usize,
    /// What the lists that were taken whole from the origin asked it for.
    pub(crate) whole_elements: usize,
    pub(crate) collapsed: usize,
    /// Refused by the origin.
    pub(crate) refused: usize,
}

impl Tally {
    /// Answered from what there was, or from that and what was missing.
    pub(crate) const fn put_together(&self) -> usize {
        self.hits + self.partial
    }

    fn count(&mut self, list: &List, got: &Got) {
        let status = got.cache_status();
        self.lists += 1;
        self.elements += list.elements;
        self.hits += usize::from(got.is_hit());
        self.partial += usize::from(status.contains("fwd=partial"));
        self.collapsed += usize::from(status.contains("collapsed"));
        self.refused += usize::from(!got.status.is_success());
        // Of several things each is told of, unless they were taken whole.
        if list.different > 1 && !status.contains('/') {
            self.whole += 1;
            if !got.is_hit() {
                self.whole_elements += list.elements;
            }
        }
    }
}

impl<'a> Pair<'a> {
    pub(crate) fn new(node: &'a Running, origin: SocketAddr, seed: u64) -> Self {
        let root = |address| format!("http://{address}/Commerce");
        let storefront = node.node.addresses().storefront;
        let roots = Roots { origin: root(origin), node: root(storefront) };
        Self { node, origin, roots, seed }
    }

    /// Asks both for each list, and panics where they answer differently.
    pub(crate) async fn compare(&self, lists: Vec<List>, tally: &mut Tally) {
        let asking = lists.into_iter().map(async |list| {
            let got = self.compare_one(&list.request).await;
            (list, got)
        });
        let mut asking = stream::iter(asking).buffer_unordered(AT_ONCE);
        while let Some((list, got)) = asking.next().await {
            tally.count(&list, &got);
            tally.compared += 1;
        }
    }

    async fn compare_one(&self, request: &Request<String>) -> Got {
        let from_node = self.node.send(request.clone());
        let from_origin = self.node.send_to(self.origin, request.clone());
        let (from_node, from_origin) = tokio::join!(from_node, from_origin);
        if let Some(difference) = self.difference(&from_origin, &from_node) {
            panic!(
                "seed {}: {difference}\n--- the request\n{}\n--- the node: {} {}\n{}\n\
                 --- the origin: {}\n{}\n",
                self.seed,
                told(request),
                from_node.status,
                from_node.cache_status(),
                from_node.text(),
                from_origin.status,
                from_origin.text(),
            );
        }
        from_node
    }

    fn difference(&self, from_origin: &Got, from_node: &Got) -> Option<String> {
        if from_origin.status != from_node.status {
            return Some("the status".to_owned());
        }
        let told = |got: &Got| ["content-type", "odata-version"].map(|name| got.all(name));
        if told(from_origin) != told(from_node) {
            return Some(format!("{:?}, not {:?}", told(from_origin), told(from_node)));
        }
        self.roots.difference(&from_origin.body, &from_node.body)
    }

    /// Asks the node alone, whatever it answers.
    pub(crate) async fn stir(&self, lists: Vec<List>, tally: &mut Tally) {
        let asking = lists.into_iter().map(async |list| {
            let got = self.node.send(list.request.clone()).await;
            (list, got)
        });
        let mut asking = stream::iter(asking).buffer_unordered(AT_ONCE);
        while let Some((list, got)) = asking.next().await {
            tally.count(&list, &got);
        }
    }

    /// How many things the origin was asked for by the node.
    pub(crate) async fn asked_for(&self, tally: &Tally) -> usize {
        let mut by_piece = 0.0;
        for operation in Operation::ALL {
            let labels = format!("{{operation=\"{}\"}}", operation.name());
            by_piece += self.node.metric(&format!("csu_edge_origin_ids_total{labels}")).await;
        }
        by_piece as usize + tally.whole_elements
    }
}

fn told(request: &Request<String>) -> String {
    let headers = request.headers().iter();
    let headers: Vec<String> =
        headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    format!("POST {}\n{}\n\n{}", request.uri(), headers.join("\n"), request.body())
}
