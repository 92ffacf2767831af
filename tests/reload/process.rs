//! `csu-edge serve` as a process: by SIGHUP, and when its file or one that it names changes.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::process::Running;

/// The longest wait for anything here, far past what is needed.
const PATIENCE: Duration = Duration::from_secs(30);

const LISTENERS: &str = "listen = { storefront = '127.0.0.1:0', ingest = '127.0.0.1:0', \
                         control = '127.0.0.1:0', workers = 1 }\n\
                         origin.service_root = 'http://127.0.0.1:1'\n";

/// A node, and the folder that its configuration is in.
struct Scene {
    folder: TempDir,
    node: Running,
    addresses: serde_json::Value,
}

impl Scene {
    /// With these settings in its file and that environment.
    fn start(settings: &str, environment: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("edge.toml"), format!("{LISTENERS}{settings}")).unwrap();
        Self::of(folder, environment)
    }

    fn of(folder: TempDir, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_csu-edge"));
        command.arg("serve").arg("--config").arg(folder.path().join("edge.toml"));
        let node = Running::spawn(command.env_clear().envs(environment.iter().copied()));
        let addresses = node.addresses();
        Self { folder, node, addresses }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, settings: &str) {
        fs::write(self.path("edge.toml"), format!("{LISTENERS}{settings}")).unwrap();
    }

    fn ask(&self, listener: &str, request: &str) -> String {
        answer(Running::address(&self.addresses, listener), request)
    }

    fn get(&self, target: &str) -> String {
        self.ask("control", &format!("GET {target} HTTP/1.0\r\nhost: localhost\r\n\r\n"))
    }

    fn reloads(&self, result: &str) -> u64 {
        let series = format!("csu_edge_config_reloads_total{{result=\"{result}\"}} ");
        let metrics = self.get("/metrics");
        metrics.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
    }

    /// Waits until so many configurations have come to this.
    fn reloaded(&self, result: &str, times: u64) {
        let began = Instant::now();
        while self.reloads(result) < times {
            assert!(began.elapsed() < PATIENCE, "not {result} {times} times");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether a web origin is told that it may read answers: what `[cors]` in force says.
    fn allows_web(&self) -> bool {
        let asked = "OPTIONS /Commerce/x HTTP/1.0\r\nhost: shop\r\norigin: http://web\r\n\
                     access-control-request-method: GET\r\n\r\n";
        self.ask("storefront", asked).contains("access-control-allow-origin: *")
    }

    /// The status of a push with that token.
    fn push(&self, token: &str) -> u16 {
        let event = r#"{"class":"price","items":["82000"]}"#;
        let asked = format!(
            "POST /ingest/cdx HTTP/1.0\r\nhost: a\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{event}",
            event.len()
        );
        self.ask("ingest", &asked).split(' ').nth(1).unwrap().parse().unwrap()
    }
}

fn answer(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

const UNWATCHED: &str = "reload.watch_every = '0s'\n";
const WATCHED: &str = "reload.watch_every = '20ms'\n";
const CORS: &str = "cors.allowed_origins = ['*']\n";

#[test]
fn a_hangup_has_the_file_read_again_and_names_what_needs_a_restart() {
    let scene = Scene::start(UNWATCHED, &[]);
    assert!(!scene.allows_web());
    scene.write(&format!(
        "{UNWATCHED}{CORS}memory.max_bytes = '100MiB'\nlog.format = 'text'\n\
         origin.connect_timeout = '1s'\n"
    ));
    scene.node.signal("HUP");
    scene.node.logged("needs a restart: origin.connect_timeout, memory.max_bytes, log.format");
    scene.node.logged("the new configuration is in force");
    assert!(scene.allows_web());
    let version = scene.get("/version");
    let told = r#""needsRestart":["origin.connect_timeout","memory.max_bytes","log.format"]"#;
    assert!(version.contains(told), "{version}");
    scene.node.signal("HUP");
    scene.node.logged("the configuration is in force already");
    assert_eq!((scene.reloads("applied"), scene.reloads("unchanged")), (1, 1));
    scene.node.signal("TERM");
    assert_eq!(scene.node.ended().code(), Some(0));
}

#[test]
fn an_invalid_file_changes_nothing_and_all_its_mistakes_are_logged() {
    let scene = Scene::start(&format!("{UNWATCHED}{CORS}"), &[]);
    let digest = scene.get("/version");
    scene.write(&format!("{UNWATCHED}limits.fetchs = 1\nclass.price.fresh_for = '5'\n"));
    scene.node.signal("HUP");
    scene.node.logged("edge.toml:4:");
    scene.node.logged("edge.toml:5:");
    scene.reloaded("refused", 1);
    assert!(scene.allows_web());
    fs::remove_file(scene.path("edge.toml")).unwrap();
    scene.node.signal("HUP");
    scene.node.logged("cannot be read");
    assert_eq!(scene.get("/version").lines().last(), digest.lines().last());
    scene.write(UNWATCHED);
    scene.node.signal("HUP");
    scene.reloaded("applied", 1);
    assert!(!scene.allows_web());
}

#[test]
fn what_the_environment_sets_keeps_applying() {
    let scene = Scene::start(UNWATCHED, &[("CSU_EDGE__CORS__ALLOWED_ORIGINS", "[\"*\"]")]);
    scene
        .write(&format!("{UNWATCHED}cors.allowed_origins = ['http://else']\nlimits.fetches = 7\n"));
    scene.node.signal("HUP");
    scene.reloaded("applied", 1);
    assert!(scene.allows_web());
}

#[test]
fn a_file_that_changes_is_taken_over_and_one_that_stays_broken_is_told_of_once() {
    let scene = Scene::start(WATCHED, &[]);
    scene.write(&format!("{WATCHED}{CORS}"));
    scene.reloaded("applied", 1);
    assert!(scene.allows_web());
    scene.write(&format!("{WATCHED}cors.allowed_origin = ['*']\n"));
    scene.node.logged("did you mean `allowed_origins`?");
    scene.write(&format!("{WATCHED}limits.fetches = 7\n"));
    scene.reloaded("applied", 2);
    assert!(!scene.allows_web());
    assert_eq!((scene.reloads("refused"), scene.reloads("unchanged")), (1, 0));
}

/// As Kubernetes mounts a ConfigMap: the file is a link through a folder that is a link.
#[test]
fn a_link_that_is_switched_is_followed() {
    let folder = TempDir::new().unwrap();
    let version = |name: &str, settings: &str| {
        fs::create_dir(folder.path().join(name)).unwrap();
        let text = format!("{LISTENERS}{WATCHED}{settings}");
        fs::write(folder.path().join(name).join("edge.toml"), text).unwrap();
    };
    version("1", "");
    version("2", CORS);
    let point_at = |folder: &Path, name: &str| {
        symlink(name, folder.join("next")).unwrap();
        fs::rename(folder.join("next"), folder.join("now")).unwrap();
    };
    point_at(folder.path(), "1");
    symlink("now/edge.toml", folder.path().join("edge.toml")).unwrap();
    let scene = Scene::of(folder, &[]);
    point_at(scene.folder.path(), "2");
    scene.reloaded("applied", 1);
    assert!(scene.allows_web());
}

#[test]
fn a_secret_whose_file_changes_is_replaced_and_reaches_no_log() {
    let (first, second) = ("first-token-of-the-test", "second-token-of-the-test");
    let folder = TempDir::new().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, first).unwrap();
    let settings = format!(
        "{LISTENERS}{WATCHED}ingest.bearer_tokens = ['file:{}']\nlog.filter = 'trace'\n",
        token.display()
    );
    fs::write(folder.path().join("edge.toml"), &settings).unwrap();
    let scene = Scene::of(folder, &[]);
    let digest = |scene: &Scene| {
        let version = scene.get("/version");
        version.split("\"digest\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let before = digest(&scene);
    assert_eq!([scene.push(first), scene.push(second)], [200, 401]);
    fs::write(&token, second).unwrap();
    scene.reloaded("applied", 1);
    assert_eq!([scene.push(first), scene.push(second)], [401, 200]);
    assert_eq!(digest(&scene), before, "it tells nothing of a secret");
    // One that stands where it does not belong.
    let wrong = settings.replace("file:", "third-token-of-the-test:");
    fs::write(scene.path("edge.toml"), wrong).unwrap();
    scene.reloaded("refused", 1);
    assert_eq!([scene.push(first), scene.push(second)], [401, 200]);
    scene.node.signal("TERM");
    let log = scene.node.log();
    assert!(log.contains("a secret does not belong in the configuration"), "{log}");
    assert!(!log.contains("token-of-the-test"), "{log}");
}

#[test]
fn what_is_logged_follows_the_filter() {
    let scene = Scene::start(&format!("{UNWATCHED}log.filter = 'warn'\n"), &[]);
    scene.write(&format!("{UNWATCHED}log.filter = 'csu_edge=debug'\n"));
    scene.node.signal("HUP");
    scene.reloaded("applied", 1);
    scene.allows_web();
    scene.node.logged("\"message\":\"request\"");
}
