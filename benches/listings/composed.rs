//! What it costs the node to put an answer together, beside serving it as one.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::Duration;

use csu_edge::clock::Clock;
use csu_edge::sandbox::{Sandbox, Settings};

use crate::common::figures::Targets;
use crate::common::load::Connection;
use crate::question::{prices, product};
use crate::support::process::Running;

/// Products of a page.
const PIECES: usize = 48;
const CONNECTIONS: usize = 8;
/// Of each connection, in each round.
const REQUESTS: usize = 1_000;
const ROUNDS: usize = 15;

/// `csu-edge serve` with one worker.
struct Node {
    process: Running,
    storefront: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Node {
    fn start(service_root: &str, is_decomposed: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.toml");
        let text = format!(
            "listen = {{ storefront = '127.0.0.1:0', ingest = '127.0.0.1:0', control = \
             '127.0.0.1:0', workers = 1 }}\norigin.service_root = '{service_root}'\n\
             [[operation]]\nmatch = 'Products/GetActivePrices'\nfresh_for = '1h'\n\
             decompose.enabled = {is_decomposed}\n"
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_csu-edge"));
        command.args(["serve", "--config", config.to_str().unwrap()]).env_clear();
        let process = Running::spawn(&mut command);
        let storefront = Running::address(&process.addresses(), "storefront");
        Self { process, storefront, _folder: folder }
    }

    /// What its storefront's threads have spent on a core.
    fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.pid())).unwrap();
        let spent = tasks.filter_map(|task| {
            let task = task.unwrap().path();
            let name = fs::read_to_string(task.join("comm")).unwrap();
            let is_serving = name.starts_with("storefront");
            is_serving.then(|| fs::read_to_string(task.join("schedstat")).unwrap())
        });
        let nanos = |stat: String| stat.split(' ').next().unwrap().parse::<u64>().unwrap();
        Duration::from_nanos(spent.map(nanos).sum())
    }

    /// CPU time of a hit, in µs: the mean of a round.
    fn round(&self, request: &[u8]) -> f64 {
        let (before, storefront) = (self.cpu(), self.storefront);
        thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                scope.spawn(move || {
                    let mut connection = Connection::to(storefront);
                    for _ in 0..REQUESTS {
                        let reply = connection.exchange(request);
                        assert!(reply.is_hit(), "{}", reply.head);
                    }
                });
            }
        });
        (self.cpu() - before).as_secs_f64() * 1e6 / (CONNECTIONS * REQUESTS) as f64
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn told(figures: &[f64]) -> String {
    figures.iter().map(|figure| format!("{figure:.1}")).collect::<Vec<_>>().join(" ")
}

pub(crate) async fn measure(targets: &mut Targets) {
    let sandbox = Sandbox::start(Settings::default(), Clock::system()).await.unwrap();
    let service_root = sandbox.service_root();
    let measuring = move || {
        let whole = Node::start(&service_root, false);
        let apart = Node::start(&service_root, true);
        // In an order of the page's own, masters and variants too.
        let products: Vec<i64> = (0..PIECES).map(|at| product(at * 29 % PIECES)).collect();
        // Within the tolerance in which it means now.
        let request = || prices(&products, Clock::system().now());
        let answers = [&whole, &apart].map(|node| {
            let mut connection = Connection::to(node.storefront);
            // The first one shows how the origin answers.
            for _ in 0..2 {
                connection.exchange(&request());
            }
            connection.exchange(&request())
        });
        for answer in &answers {
            println!("  {} bytes, {}", answer.body.len(), answer.cache_status());
        }
        assert_eq!(answers[0].body.len(), answers[1].body.len(), "the same answer");
        let (mut of_whole, mut of_apart) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            of_whole.push(whole.round(&request()));
            of_apart.push(apart.round(&request()));
        }
        (of_whole, of_apart)
    };
    println!(
        "a hit of {PIECES} products' prices; {CONNECTIONS} connections, each {REQUESTS} requests a \
         round, {ROUNDS} rounds in turn"
    );
    let (whole, apart) = tokio::task::spawn_blocking(measuring).await.unwrap();
    println!("  one whole answer, µs of CPU a hit: {}", told(&whole));
    println!("  put together from {PIECES} pieces: {}", told(&apart));
    let ratios: Vec<f64> = apart.iter().zip(&whole).map(|(apart, whole)| apart / whole).collect();
    println!("  ratios: {}", told(&ratios));
    println!("  medians: {:.1} and {:.1} µs", median(whole), median(apart));
    targets.at_most("CPU of a hit from pieces, over a whole one,", median(ratios), 3.0, "times");
}
