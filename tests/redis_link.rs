//! The link to a Redis, against real servers: up, down, and everything between that a driver would
//! wait for.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant};

use csu_edge::clock::Clock;
use csu_edge::config::{RedisIdentity, RedisKind, RedisNode, RedisServer, Secret};
use csu_edge::metrics::Metrics;
use csu_edge::redis::{Command, Failure, Link, LinkError, LinkRules, Role, State};
use redis::{AsyncCommands, Script, cmd};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_millis(400);
const PATIENCE: Duration = Duration::from_secs(10);

/// A real server. It ends with the test.
struct Server {
    child: Child,
    port: u16,
    options: Vec<String>,
    folder: TempDir,
}

fn free_port() -> u16 {
    StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

impl Server {
    fn start(options: &[&str]) -> Self {
        Self::start_at(free_port(), options)
    }

    fn start_at(port: u16, options: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        let child = spawn(port, &options, &folder);
        Self { child, port, options, folder }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn restart(&mut self) {
        self.child = spawn(self.port, &self.options, &self.folder);
    }

    /// Stops it where it stands: the kernel still takes what is sent to it, and nothing answers.
    fn freeze(&self) {
        signal("-STOP", &self.child);
    }

    fn thaw(&self) {
        signal("-CONT", &self.child);
    }

    /// Sends it a command by a connection of its own.
    async fn tell(&self, command: &[&str]) {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut told = cmd(command.first().unwrap());
        command.iter().skip(1).for_each(|part| {
            told.arg(part);
        });
        told.exec_async(&mut connection).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, options: &[String], folder: &TempDir) -> Child {
    let child = Process::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .args(["--appendonly", "no", "--dir"])
        .arg(folder.path())
        .args(options)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let tls = options.iter().position(|option| option == "--tls-port");
    let port = tls.map_or(port, |at| options.get(at + 1).unwrap().parse().unwrap());
    wait_for_port(port);
    child
}

fn wait_for_port(port: u16) {
    let until = Instant::now() + PATIENCE;
    while StdStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(Instant::now() < until, "nothing listens on {port}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn signal(name: &str, child: &Child) {
    let sent = Process::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn node(port: u16) -> RedisNode {
    RedisNode { host: "127.0.0.1".to_owned(), port }
}

fn at(port: u16) -> RedisServer {
    RedisServer::new(RedisKind::Standalone { node: node(port), db: 0 }, false)
}

fn rules() -> LinkRules {
    LinkRules {
        connect_timeout: Duration::from_millis(500),
        broken_after: 3,
        probe_every: Duration::from_millis(20),
        probe_timeout: LIMIT,
        longest_command: LIMIT,
    }
}

fn open(server: &RedisServer) -> (Link, Metrics) {
    open_with(server, rules())
}

fn open_with(server: &RedisServer, rules: LinkRules) -> (Link, Metrics) {
    let metrics = Metrics::new().unwrap();
    let link = Link::open(server, rules, Role::Tier, metrics.clone(), Clock::system()).unwrap();
    (link, metrics)
}

/// Asks until there is an answer.
async fn answered(link: &Link) {
    let answered = async {
        while set(link).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, answered).await.unwrap();
}

async fn up(link: &Link) {
    timeout(PATIENCE, link.up()).await.unwrap();
}

/// Returns once the link is not up.
async fn lost(link: &Link) {
    let mut states = link.states();
    timeout(PATIENCE, states.wait_for(|state| *state != State::Closed)).await.unwrap().unwrap();
}

async fn get(link: &Link) -> Result<Option<String>, LinkError> {
    link.run(Command::Get, LIMIT, async |mut redis| redis.get("answer").await).await
}

async fn set(link: &Link) -> Result<(), LinkError> {
    link.run(Command::Set, LIMIT, async |mut redis| redis.set("answer", "42").await).await
}

fn replaced(metrics: &Metrics, reason: &str) -> u64 {
    metrics.redis_connections_replaced.with_label_values(&["tier", reason]).get()
}

fn breaker(metrics: &Metrics) -> i64 {
    metrics.redis_breaker_state.with_label_values(&["tier"]).get()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_used_by_every_thread() {
    let server = Server::start(&[]);
    let (link, metrics) = open(&at(server.port));
    up(&link).await;
    set(&link).await.unwrap();
    // On this runtime, and on one of another thread's own.
    tokio::spawn({
        let link = link.clone();
        async move { assert_eq!(get(&link).await.unwrap().as_deref(), Some("42")) }
    })
    .await
    .unwrap();
    let other = std::thread::spawn({
        let link = link.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            runtime.unwrap().block_on(async move {
                for _ in 0..100 {
                    assert_eq!(get(&link).await.unwrap().as_deref(), Some("42"));
                }
            });
        }
    });
    tokio::task::spawn_blocking(move || other.join().unwrap()).await.unwrap();
    let script = Script::new("return redis.call('GET', KEYS[1])");
    let scripted: String = link
        .run(Command::Lease, LIMIT, async |mut redis| {
            script.key("answer").invoke_async(&mut redis).await
        })
        .await
        .unwrap();
    assert_eq!(scripted, "42");
    let counted = metrics.redis_commands.with_label_values(&["tier", "get", "ok"]).get();
    assert_eq!((counted, breaker(&metrics)), (101, 0));
    assert_eq!(format!("{link:?}"), "Link { role: Tier, state: Closed, .. }");
}

#[tokio::test]
async fn a_redis_that_is_gone_is_a_failure_at_once_until_it_is_back() {
    let mut server = Server::start(&[]);
    let (link, metrics) = open(&at(server.port));
    up(&link).await;
    server.kill();
    let started = Instant::now();
    // One command may find out.
    let _ = get(&link).await;
    for _ in 0..1_000 {
        assert!(matches!(get(&link).await, Err(LinkError::Down)));
    }
    assert!(started.elapsed() < LIMIT, "nobody waited: {:?}", started.elapsed());
    assert_ne!(link.state(), State::Closed);
    assert_eq!((replaced(&metrics, "lost"), breaker(&metrics)), (1, 2));
    server.restart();
    up(&link).await;
    assert_eq!(get(&link).await.unwrap(), None);
    assert_eq!(breaker(&metrics), 0);
}

#[tokio::test]
async fn a_redis_that_was_never_there_is_down_and_no_error_at_the_start() {
    let port = free_port();
    let (link, _) = open(&at(port));
    assert!(matches!(get(&link).await, Err(LinkError::Down)));
    let _server = Server::start_at(port, &[]);
    up(&link).await;
    set(&link).await.unwrap();
}

#[tokio::test]
async fn a_redis_that_takes_everything_and_answers_nothing_is_given_up_and_not_used_again() {
    let server = Server::start(&[]);
    let (link, metrics) = open(&at(server.port));
    up(&link).await;
    server.freeze();
    // Three at most: the link's own probes count as well.
    let mut silences = 0;
    loop {
        match get(&link).await {
            Err(LinkError::TimedOut | LinkError::GivenUp) => silences += 1,
            Err(LinkError::Down) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!((1..=3).contains(&silences), "{silences}");
    assert_eq!(replaced(&metrics, "timed-out"), 1);
    // The kernel still accepts connections for it: only an answered probe counts.
    let started = Instant::now();
    while started.elapsed() < 3 * LIMIT {
        assert!(matches!(get(&link).await, Err(LinkError::Down)));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.thaw();
    up(&link).await;
    set(&link).await.unwrap();
}

#[tokio::test]
async fn an_answer_between_two_silences_starts_the_count_anew() {
    let server = Server::start(&[]);
    // The link's own probes count as well: here there are none.
    let (link, metrics) =
        open_with(&at(server.port), LinkRules { probe_every: PATIENCE, ..rules() });
    up(&link).await;
    for _ in 0..3 {
        server.freeze();
        assert!(matches!(get(&link).await, Err(LinkError::TimedOut)));
        assert!(matches!(get(&link).await, Err(LinkError::TimedOut)));
        server.thaw();
        set(&link).await.unwrap();
    }
    assert_eq!(replaced(&metrics, "timed-out"), 0);
}

#[tokio::test]
async fn what_waits_on_a_connection_that_is_given_up_ends_with_it() {
    let server = Server::start(&[]);
    let (link, metrics) = open(&at(server.port));
    up(&link).await;
    let blocked = link.run(Command::Follow, PATIENCE, async |mut redis| {
        cmd("BLPOP").arg("nothing").arg(0).exec_async(&mut redis).await
    });
    let (ended, ()) = tokio::join!(blocked, async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        link.replace();
    });
    assert!(matches!(ended, Err(LinkError::GivenUp)), "{ended:?}");
    up(&link).await;
    set(&link).await.unwrap();
    assert_eq!(replaced(&metrics, "asked"), 1);
}

/// Answers the handshake and the probe, and anything else with what is no answer.
async fn babbler() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut asked = vec![0; 4_096];
                while let Ok(length @ 1..) = stream.read(&mut asked).await {
                    let asked = String::from_utf8_lossy(asked.get(..length).unwrap()).into_owned();
                    let answer = match asked.matches("SETINFO").count() {
                        0 if asked.contains("PING") => "+PONG\r\n".to_owned(),
                        0 => "HTTP/1.1 400 Bad Request\r\n\r\n".to_owned(),
                        handshake => "+OK\r\n".repeat(handshake),
                    };
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn what_does_not_speak_redis_is_given_up() {
    let (link, metrics) = open(&at(babbler().await.port()));
    up(&link).await;
    let failed = get(&link).await;
    assert!(
        matches!(failed, Err(LinkError::Failed { failure: Failure::Garbled, .. })),
        "{failed:?}"
    );
    let _ = get(&link).await;
    assert!(!link.is_up());
    assert_eq!(replaced(&metrics, "lost"), 1);
}

#[tokio::test]
async fn a_replica_in_the_primarys_place_is_left() {
    let server = Server::start(&["--replicaof", "127.0.0.1 1"]);
    let (link, metrics) = open(&at(server.port));
    up(&link).await;
    let failed = set(&link).await;
    assert!(
        matches!(failed, Err(LinkError::Failed { failure: Failure::NotPrimary, .. })),
        "{failed:?}"
    );
    assert_eq!(replaced(&metrics, "not-primary"), 1);
    server.tell(&["REPLICAOF", "NO", "ONE"]).await;
    up(&link).await;
    set(&link).await.unwrap();
}

#[tokio::test]
async fn what_the_server_says_about_one_command_harms_no_other() {
    let server = Server::start(&["--maxmemory", "1"]);
    let (link, metrics) = open(&at(server.port));
    up(&link).await;
    let refused = |result: Result<(), LinkError>| {
        assert!(
            matches!(result, Err(LinkError::Failed { failure: Failure::Refused, .. })),
            "{result:?}"
        );
    };
    for _ in 0..10 {
        refused(set(&link).await);
    }
    server.tell(&["CONFIG", "SET", "maxmemory", "0"]).await;
    set(&link).await.unwrap();
    for _ in 0..10 {
        let wrong_type =
            link.run(Command::Get, LIMIT, async |mut redis| redis.llen("answer").await);
        refused(wrong_type.await.map(|_: u64| ()));
        let no_number = link.run(Command::Get, LIMIT, async |mut redis| {
            cmd("LOLWUT").arg("VERSION").query_async::<u64>(&mut redis).await
        });
        let no_number = no_number.await;
        assert!(
            matches!(no_number, Err(LinkError::Failed { failure: Failure::Garbled, .. })),
            "{no_number:?}"
        );
        let script = Script::new("return redis.error_reply('LINEAGE 7')");
        let own = link.run(Command::Purge, LIMIT, async |mut redis| {
            script.prepare_invoke().invoke_async::<()>(&mut redis).await
        });
        refused(own.await);
    }
    assert!(link.is_up());
    let refusals = metrics.redis_commands.with_label_values(&["tier", "set", "refused"]).get();
    assert_eq!(refusals, 10);
    assert!(!metrics.render().unwrap().contains("connections_replaced"));
}

#[tokio::test]
async fn a_loss_is_noticed_where_nothing_is_asked() {
    let mut server = Server::start(&[]);
    let (link, _) = open(&at(server.port));
    up(&link).await;
    server.kill();
    lost(&link).await;
}

#[tokio::test]
async fn the_last_clone_takes_the_connection_along() {
    let server = Server::start(&[]);
    let (link, _) = open(&at(server.port));
    up(&link).await;
    let clone = link.clone();
    drop(link);
    set(&clone).await.unwrap();
    drop(clone);
    let client = redis::Client::open(format!("redis://127.0.0.1:{}", server.port)).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let gone = async {
        loop {
            let clients: String =
                cmd("CLIENT").arg("LIST").query_async(&mut connection).await.unwrap();
            if clients.lines().count() == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
}

#[tokio::test]
async fn a_user_is_authenticated_and_the_password_is_nowhere() {
    let user = ["--user", "edge", "on", ">canary", "~*", "&*", "+@all"];
    let server = Server::start(&[&user[..], &["--user", "default", "off"]].concat());
    let settings = |password: &str| RedisServer {
        username: Some("edge".to_owned()),
        password: Some(Secret::new(password.to_owned())),
        ..at(server.port)
    };
    assert!(!format!("{:?}", settings("canary")).contains("canary"));
    let (link, _) = open(&settings("canary"));
    up(&link).await;
    set(&link).await.unwrap();
    let (link, _) = open(&settings("wrong"));
    tokio::time::sleep(LIMIT).await;
    assert!(!link.is_up());
}

/// A certificate that signs itself, for 127.0.0.1, and its key, as files.
fn pair(folder: &TempDir, name: &str) -> RedisIdentity {
    let pair = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let write = |what: &str, pem: String| {
        let path = folder.path().join(format!("{name}-{what}.pem"));
        fs::write(&path, pem).unwrap();
        path
    };
    RedisIdentity {
        certificate: write("certificate", pair.cert.pem()),
        private_key: write("key", pair.signing_key.serialize_pem()),
    }
}

#[tokio::test]
async fn tls_verifies_the_server_and_shows_the_clients_certificate() {
    let folder = TempDir::new().unwrap();
    let (servers, clients) = (pair(&folder, "server"), pair(&folder, "client"));
    let port = free_port();
    let path = |path: &std::path::Path| path.display().to_string();
    let _server = Server::start(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &path(&servers.certificate),
        "--tls-key-file",
        &path(&servers.private_key),
        "--tls-ca-cert-file",
        &path(&clients.certificate),
    ]);
    let plain = RedisServer { tls: true, ..at(port) };
    let trusting = RedisServer { ca_file: Some(servers.certificate.clone()), ..plain.clone() };
    let whole = RedisServer { identity: Some(clients.clone()), ..trusting.clone() };
    let (link, _) = open(&whole);
    up(&link).await;
    set(&link).await.unwrap();
    let stranger = RedisServer { ca_file: Some(clients.certificate.clone()), ..whole.clone() };
    let [(unknown_client, _), (unknown_server, _)] = [open(&trusting), open(&stranger)];
    tokio::time::sleep(2 * LIMIT).await;
    assert!(!unknown_client.is_up() && !unknown_server.is_up());
    // What cannot be read is told at the start.
    let missing = RedisServer { ca_file: Some("/nowhere/ca.pem".into()), ..plain };
    let metrics = Metrics::new().unwrap();
    let error = Link::open(&missing, rules(), Role::Tier, metrics, Clock::system()).unwrap_err();
    assert_eq!(error.to_string(), "/nowhere/ca.pem cannot be read");
}

#[tokio::test]
async fn sentinels_are_asked_for_the_primary_at_each_attempt() {
    let (mut one, other) = (Server::start(&[]), Server::start(&[]));
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("sentinel.conf");
    fs::write(&file, format!("sentinel monitor shop 127.0.0.1 {} 1\n", one.port)).unwrap();
    let port = free_port();
    let child = Process::new("redis-server")
        .arg(&file)
        .args(["--sentinel", "--port", &port.to_string(), "--bind", "127.0.0.1"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let sentinel = Server { child, port, options: Vec::new(), folder };
    wait_for_port(port);
    // One that is silent stands first.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let kind = RedisKind::Sentinel {
        nodes: vec![node(silent.local_addr().unwrap().port()), node(port)],
        service: "shop".to_owned(),
        db: 0,
    };
    let (link, _) = open(&RedisServer::new(kind, false));
    up(&link).await;
    set(&link).await.unwrap();
    assert_eq!(get(&link).await.unwrap().as_deref(), Some("42"));
    sentinel.tell(&["SENTINEL", "REMOVE", "shop"]).await;
    let other_port = other.port.to_string();
    sentinel.tell(&["SENTINEL", "MONITOR", "shop", "127.0.0.1", &other_port, "1"]).await;
    one.kill();
    lost(&link).await;
    up(&link).await;
    assert_eq!(get(&link).await.unwrap(), None, "the other one has no answer yet");
}

#[tokio::test]
async fn a_cluster_is_found_from_any_of_its_nodes() {
    let server = Server::start(&["--cluster-enabled", "yes"]);
    server.tell(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    let kind = RedisKind::Cluster { nodes: vec![node(free_port()), node(server.port)] };
    let (link, _) = open(&RedisServer::new(kind, false));
    up(&link).await;
    // The slots take a moment to be served.
    answered(&link).await;
    assert_eq!(get(&link).await.unwrap().as_deref(), Some("42"));
}
