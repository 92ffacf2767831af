//! `csu-edge` as a process of its own.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// The longest wait for anything here, far past what is needed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `csu-edge`. Dropped, it is killed.
pub struct Running {
    pid: u32,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    status: Receiver<ExitStatus>,
    /// Holds the configuration.
    _folder: Option<tempfile::TempDir>,
}

impl Running {
    /// `csu-edge serve` on free loopback ports, with these settings beside.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.toml");
        let text = "listen = { storefront = '127.0.0.1:0', ingest = '127.0.0.1:0', control = \
                    '127.0.0.1:0', workers = 1 }\norigin.service_root = 'http://127.0.0.1:1'";
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_csu-edge"));
        command.args(["serve", "--config", config.to_str().unwrap()]);
        let mut running = Self::spawn(command.env_clear().envs(settings.iter().copied()));
        running._folder = Some(folder);
        running
    }

    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        let (ended, status) = mpsc::channel();
        thread::spawn(move || ended.send(child.wait().unwrap()));
        Self { pid, stdout, stderr, status, _folder: None }
    }

    pub const fn pid(&self) -> u32 {
        self.pid
    }

    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.pid);
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// The next line that it prints.
    pub fn printed(&self) -> String {
        self.stdout.recv_timeout(PATIENCE).unwrap()
    }

    /// Where its listeners are, by name, from the line that tells them. To be asked once.
    pub fn addresses(&self) -> serde_json::Value {
        serde_json::from_str::<serde_json::Value>(&self.printed()).unwrap()["listening"].take()
    }

    /// The address of one of them, as [`Running::addresses`] told it.
    pub fn address(told: &serde_json::Value, listener: &str) -> SocketAddr {
        told[listener].as_str().unwrap().parse().unwrap()
    }

    /// Waits for a line of the log.
    pub fn logged(&self, wanted: &str) {
        while !self.stderr.recv_timeout(PATIENCE).unwrap().contains(wanted) {}
    }

    /// What is left of the log, to its end.
    pub fn log(&self) -> String {
        let next = || self.stderr.recv_timeout(PATIENCE).ok();
        std::iter::from_fn(next).map(|line| line + "\n").collect()
    }

    /// How it ended, if it does in this time.
    pub fn ended_within(&self, span: Duration) -> Option<ExitStatus> {
        self.status.recv_timeout(span).ok()
    }

    pub fn ended(&self) -> ExitStatus {
        self.status.recv_timeout(PATIENCE).unwrap()
    }

    /// The most that was ever resident.
    pub fn peak_kib(&self) -> u64 {
        self.kib("VmHWM:")
    }

    /// What is resident.
    pub fn resident_kib(&self) -> u64 {
        self.kib("VmRSS:")
    }

    fn kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches("kB").trim().parse().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.status.try_recv() == Err(mpsc::TryRecvError::Empty) {
            let kill = format!("kill -KILL {}", self.pid);
            let _ = Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status();
        }
    }
}

fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
