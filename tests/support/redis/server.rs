//! One Redis server, or one sentinel, as a process of its own.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::fmt::Write;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisResult, Value};
use tempfile::TempDir;

use super::tls::{Clients, Files};
use super::{PATIENCE, until};

/// Who looks after a server, whatever its options make of everybody else: user and password.
pub(super) const KEEPER: &str = "keeper";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Store,
    Sentinel,
}

/// A server. Dropped, it is killed and its data gone.
pub struct Server {
    role: Role,
    port: u16,
    /// Of everybody.
    password: Option<String>,
    tls: Option<Files>,
    process: Option<Process>,
    /// Holds the configuration, the log and the data.
    folder: TempDir,
}

impl Server {
    /// A server that keeps all in memory. Each option is a line of `redis.conf`.
    pub async fn start(options: &[(&str, &str)]) -> Self {
        Self::start_as(Role::Store, None, options).await
    }

    /// The same, for TLS alone.
    pub async fn start_with_tls(clients: Clients, options: &[(&str, &str)]) -> Self {
        Self::start_as(Role::Store, Some(clients), options).await
    }

    pub(super) async fn start_sentinel(options: &[(&str, &str)]) -> Self {
        Self::start_as(Role::Sentinel, None, options).await
    }

    async fn start_as(role: Role, clients: Option<Clients>, options: &[(&str, &str)]) -> Self {
        let password = options.iter().find(|(name, _)| *name == "requirepass");
        let mut server = Self {
            role,
            port: 0,
            password: password.map(|(_, password)| (*password).to_owned()),
            tls: clients.map(|_| Files::new()),
            process: None,
            folder: TempDir::new().unwrap(),
        };
        fs::create_dir(server.folder.path().join("data")).unwrap();
        until("a port that stays free", async || {
            server.port = free_port();
            server.configure(clients, options);
            server.run().await.ok()
        })
        .await;
        server
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Where everybody finds it, with the password of `requirepass` if there is one.
    pub fn url(&self) -> String {
        match &self.password {
            Some(password) => self.url_as("", password),
            None => format!("{}://{}", self.scheme(), self.address()),
        }
    }

    pub fn url_as(&self, user: &str, password: &str) -> String {
        format!("{}://{user}:{password}@{}", self.scheme(), self.address())
    }

    /// Its certificates, where it speaks TLS.
    pub fn tls(&self) -> &Files {
        self.tls.as_ref().unwrap()
    }

    /// A client as everybody is; with TLS, one that shows its certificate.
    pub fn client(&self) -> Client {
        self.client_of(&self.url())
    }

    pub fn client_as(&self, user: &str, password: &str) -> Client {
        self.client_of(&self.url_as(user, password))
    }

    pub async fn connect(&self) -> MultiplexedConnection {
        connect(&self.client()).await.unwrap()
    }

    /// What it answers to a command, given as words. Everything is allowed.
    pub async fn command(&self, words: &[&str]) -> Value {
        self.query(words).await.unwrap()
    }

    /// The same as a type, or the error.
    pub async fn query<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let mut connection = connect(&self.client_as(KEEPER, KEEPER)).await?;
        redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await
    }

    /// A field of `INFO`. `None` too where the server does not answer.
    pub async fn info(&self, field: &str) -> Option<String> {
        let info: String = self.query(&["INFO", "everything"]).await.ok()?;
        info.lines().find_map(|line| Some(line.strip_prefix(field)?.strip_prefix(':')?.to_owned()))
    }

    /// Kills it as a crash would. It is gone when this returns.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Kills it if it runs, and starts it at the same address with what it kept on disk: nothing,
    /// if its options do not say otherwise.
    pub async fn restart(&mut self) {
        self.kill();
        until("its port is free", async || self.run().await.ok()).await;
    }

    /// The same, with nothing kept.
    pub async fn restart_empty(&mut self) {
        self.kill();
        let data = self.folder.path().join("data");
        fs::remove_dir_all(&data).unwrap();
        fs::create_dir(&data).unwrap();
        self.restart().await;
    }

    /// Stops it in its tracks, its connections open. It does nothing more when this returns.
    pub async fn pause(&self) {
        self.process().signal("STOP");
        until("it is stopped", async || self.process().is_stopped().then_some(())).await;
    }

    pub fn resume(&self) {
        self.process().signal("CONT");
    }

    /// Neither killed nor paused.
    pub fn is_running(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !process.is_stopped())
    }

    /// What it said since it was started last.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("it was killed")
    }

    fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "rediss" } else { "redis" }
    }

    fn client_of(&self, url: &str) -> Client {
        match &self.tls {
            Some(files) => Client::build_with_tls(url, files.certified()).unwrap(),
            None => Client::open(url).unwrap(),
        }
    }

    fn configure(&self, clients: Option<Clients>, options: &[(&str, &str)]) {
        let (port, folder) = (self.port, self.folder.path());
        let mut lines = format!(
            "bind 127.0.0.1\n\
             dir {}/data\n\
             user {KEEPER} on >{KEEPER} ~* &* +@all\n",
            folder.display()
        );
        lines += &match (&self.tls, clients) {
            (Some(files), Some(clients)) => {
                format!("port 0\ntls-port {port}\n{}", files.directives(clients))
            }
            _ => format!("port {port}\n"),
        };
        if self.role == Role::Store {
            lines += "save \"\"\nappendonly no\n";
        }
        for (name, value) in options {
            let value = if value.is_empty() { "\"\"" } else { value };
            writeln!(lines, "{name} {value}").unwrap();
        }
        fs::write(folder.join("redis.conf"), lines).unwrap();
    }

    /// Runs until it answers; not at all, if another has taken its port.
    async fn run(&mut self) -> Result<(), PortTaken> {
        let mut process = Process::start(self.role, &self.folder);
        until("a server that answers", async || {
            if process.has_ended() {
                let log = self.log();
                assert!(log.contains("Address already in use"), "{log}");
                return Some(Err(PortTaken));
            }
            // Another may answer at this port, until this one finds it taken.
            let asked = tokio::time::timeout(Duration::from_secs(1), self.answering()).await;
            (asked.ok()?? == process.0.id()).then_some(Ok(()))
        })
        .await?;
        self.process = Some(process);
        Ok(())
    }

    /// Which process answers at the address, ready for commands.
    async fn answering(&self) -> Option<u32> {
        self.query::<Value>(&["PING"]).await.ok()?;
        self.info("process_id").await?.parse().ok()
    }
}

struct PortTaken;

/// A port that nobody has at the moment. It lies below those that the kernel gives to clients, so
/// that no client takes it while its server is down; so does the cluster's, 10,000 above.
fn free_port() -> u16 {
    loop {
        let port = rand::random_range(10_000..22_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

async fn connect(client: &Client) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// A process. Dropped, it is killed and gone.
struct Process(Child);

impl Process {
    fn start(role: Role, folder: &TempDir) -> Self {
        let log = File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new("redis-server");
        command.arg(folder.path().join("redis.conf"));
        if role == Role::Sentinel {
            command.arg("--sentinel");
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self(command.spawn().expect("redis-server is to be installed"))
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.0.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        // The state comes after the name, which is in brackets.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
