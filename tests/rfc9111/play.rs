//! One node before one origin, and the scenes that are played on it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use csu_edge::clock::Clock;
use csu_edge::config::{Config, GenericPolicy};
use futures_util::FutureExt;
use http::Request;

use crate::origin::{Answer, Origin, Seen, with_dates};
use crate::support::node::{Got, Running, START};

/// The stage.
pub(crate) struct Play {
    pub(crate) node: Running,
    pub(crate) origin: Origin,
}

/// A scene: a target of its own, so that scenes do not meet.
#[derive(Clone)]
pub(crate) struct Scene {
    play: Arc<Play>,
    pub(crate) name: String,
    pub(crate) target: String,
}

/// What a client was told, and what the origin was asked meanwhile.
#[derive(Debug)]
pub(crate) struct Told {
    scene: String,
    pub(crate) got: Got,
    pub(crate) asked: Vec<Seen>,
}

impl Play {
    /// Nothing is served stale that the answers themselves do not allow.
    pub(crate) async fn start() -> Arc<Self> {
        Self::start_with(|_| ()).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Arc<Self> {
        let clock = Clock::manual(START);
        let origin = Origin::start(clock.clone()).await;
        let service_root = format!("http://{}/Commerce", origin.address());
        let node = Running::start_by(clock, &service_root, |config| {
            config.generic.policy = GenericPolicy::Rfc9111;
            config.generic.stale_if_error = Duration::ZERO;
            change(config);
        })
        .await;
        Arc::new(Self { node, origin })
    }

    pub(crate) fn later(&self, seconds: u64) {
        self.node.clock.advance(Duration::from_secs(seconds));
    }

    /// Purges by the control listener.
    pub(crate) async fn purge(&self, tag: &str, mode: &str) {
        let order = serde_json::json!({ "tags": [tag], "mode": mode });
        let got = self.node.control_post("/purge", &order).await;
        assert_eq!(got.status, 200, "{got:?}");
    }

    pub(crate) fn scene(self: &Arc<Self>, name: &str) -> Scene {
        let place: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let target = format!("/Commerce/media/{place}.png");
        Scene { play: Arc::clone(self), name: name.to_owned(), target }
    }
}

/// A scene alone on its stage, whose origin gives these answers, the last one again and again.
pub(crate) async fn scene(answers: impl Into<Vec<Answer>>) -> Scene {
    let scene = Play::start().await.scene("scene");
    scene.answers(answers);
    scene
}

/// Plays a scene for every row on one stage, and tells of all that fail.
pub(crate) async fn table<R>(rows: &[R], name: fn(&R) -> String, act: impl AsyncFn(Scene, &R)) {
    table_on(Play::start().await, rows, name, act).await;
}

/// The same on a given stage.
pub(crate) async fn table_on<R>(
    play: Arc<Play>,
    rows: &[R],
    name: fn(&R) -> String,
    act: impl AsyncFn(Scene, &R),
) {
    let mut failed = Vec::new();
    for (n, row) in rows.iter().enumerate() {
        let mut scene = play.scene(&format!("row-{n}"));
        scene.name = name(row);
        if let Err(panic) = AssertUnwindSafe(act(scene, row)).catch_unwind().await {
            let why = panic.downcast_ref::<String>().cloned();
            let why = why.or_else(|| panic.downcast_ref::<&str>().map(|&why| why.to_owned()));
            failed.push(format!("{}: {}", name(row), why.unwrap_or_default()));
        }
    }
    let count = failed.len();
    assert!(count == 0, "{count} of {} failed\n{}", rows.len(), failed.join("\n"));
}

/// The fields of an answer, so many seconds, and whether it is used again then.
pub(crate) type Reuse<'a> = (&'a str, &'a [&'a str], u64, bool);

/// Asks for each, and again later: is it used again?
pub(crate) async fn reuse(rows: &[Reuse<'_>]) {
    let name = |row: &Reuse<'_>| format!("{} {:?} after {} s", row.0, row.1, row.2);
    table(rows, name, async |scene, &(_, lines, seconds, reused)| {
        scene.answers([crate::origin::ok(lines)]);
        scene.get(&[]).await.forwarded().body("#1");
        scene.later(seconds);
        let told = scene.get(&[]).await;
        if reused {
            told.reused().body("#1")
        } else {
            told.forwarded().body("#2")
        };
    })
    .await;
}

impl Scene {
    pub(crate) fn play(&self) -> &Arc<Play> {
        &self.play
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.play.origin
    }

    /// Another target on the same stage.
    pub(crate) fn at(&self, target: &str) -> Self {
        Self { target: target.to_owned(), ..self.clone() }
    }

    /// Another target beside this one.
    pub(crate) fn beside(&self, suffix: &str) -> Self {
        self.at(&format!("{}{suffix}", self.target))
    }

    /// What the origin answers in order, the last again and again.
    pub(crate) fn answers(&self, answers: impl Into<Vec<Answer>>) -> &Self {
        let answers: Vec<Answer> = answers.into();
        let last = answers.len() - 1;
        self.answers_by(move |_, n| answers[(n - 1).min(last)].clone())
    }

    /// What the origin answers to the n-th request.
    pub(crate) fn answers_by(
        &self,
        script: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static,
    ) -> &Self {
        self.play.origin.script(&self.target, script);
        self
    }

    pub(crate) fn later(&self, seconds: u64) -> &Self {
        self.play.later(seconds);
        self
    }

    pub(crate) async fn get(&self, lines: &[&str]) -> Told {
        self.send("GET", lines).await
    }

    pub(crate) async fn head(&self, lines: &[&str]) -> Told {
        self.send("HEAD", lines).await
    }

    /// A request with these field lines, in which moments stand as in answers.
    pub(crate) async fn send(&self, method: &str, lines: &[&str]) -> Told {
        let before = self.asked().len();
        let mut request = Request::builder().method(method).uri(&self.target);
        for line in lines {
            let line = with_dates(line, self.play.node.clock.now());
            let (name, value) = line.split_once(':').unwrap();
            request = request.header(name, value.trim());
        }
        let got = self.play.node.send(request.body(String::new()).unwrap()).await;
        let asked = self.asked().split_off(before);
        Told { scene: self.name.clone(), got, asked }
    }

    /// All that the origin was asked for this target.
    pub(crate) fn asked(&self) -> Vec<Seen> {
        self.play.origin.seen(&self.target)
    }

    /// Waits until the origin was asked so often for this target.
    pub(crate) async fn asked_often(&self, count: usize) {
        self.play.origin.asked(&self.target, count).await;
    }
}

impl Told {
    /// It came from the store, and says its age (§5.1) and its date (RFC 9110 §6.6.1).
    #[track_caller]
    pub(crate) fn reused(&self) -> &Self {
        assert!(self.asked.is_empty(), "{}: asked {:?}", self.scene, self.asked);
        let age = self.got.header("age").and_then(|age| age.parse::<u64>().ok());
        assert!(age.is_some(), "{}: no age in {:?}", self.scene, self.got);
        assert!(self.got.header("date").is_some(), "{}: no date in {:?}", self.scene, self.got);
        self
    }

    /// The origin was asked once.
    #[track_caller]
    pub(crate) fn forwarded(&self) -> &Self {
        assert_eq!(self.asked.len(), 1, "{}: {:?} {:?}", self.scene, self.got, self.asked);
        self
    }

    /// The origin was asked once, and on no condition.
    #[track_caller]
    pub(crate) fn fetched(&self) -> &Self {
        self.forwarded();
        assert!(!self.asked[0].is_conditional(), "{}: {:?}", self.scene, self.asked);
        self
    }

    /// The origin was asked once, whether what is stored is still right.
    #[track_caller]
    pub(crate) fn validated(&self) -> &Self {
        self.forwarded();
        assert!(self.asked[0].is_conditional(), "{}: {:?}", self.scene, self.asked);
        self
    }

    #[track_caller]
    pub(crate) fn status(&self, status: u16) -> &Self {
        assert_eq!(self.got.status.as_u16(), status, "{}: {:?}", self.scene, self.got);
        self
    }

    /// An error of this node or from behind it.
    #[track_caller]
    pub(crate) fn server_error(&self) -> &Self {
        assert!(self.got.status.is_server_error(), "{}: {:?}", self.scene, self.got);
        self
    }

    #[track_caller]
    pub(crate) fn body(&self, body: &str) -> &Self {
        let found = String::from_utf8_lossy(&self.got.body);
        assert_eq!(found, body, "{}: {:?} {:?}", self.scene, self.got, self.asked);
        self
    }

    /// All lines of the field, joined, are this, with moments as in answers.
    #[track_caller]
    pub(crate) fn field(&self, name: &str, value: &str) -> &Self {
        assert_eq!(self.got.all(name), value, "{}: {name} in {:?}", self.scene, self.got);
        self
    }

    #[track_caller]
    pub(crate) fn has(&self, name: &str) -> &Self {
        assert!(self.got.headers.contains_key(name), "{}: no {name}: {:?}", self.scene, self.got);
        self
    }

    #[track_caller]
    pub(crate) fn lacks(&self, name: &str) -> &Self {
        assert!(!self.got.headers.contains_key(name), "{}: {name} in {:?}", self.scene, self.got);
        self
    }

    /// The origin was asked with this field.
    #[track_caller]
    pub(crate) fn asked_with(&self, name: &str, value: &str) -> &Self {
        let found = self.asked.last().and_then(|seen| seen.field(name));
        assert_eq!(found.as_deref(), Some(value), "{}: {name} in {:?}", self.scene, self.asked);
        self
    }

    /// The origin was asked without this field.
    #[track_caller]
    pub(crate) fn asked_without(&self, name: &str) -> &Self {
        let found = self.asked.last().and_then(|seen| seen.field(name));
        assert_eq!(found, None, "{}: {name} in {:?}", self.scene, self.asked);
        self
    }

    /// The member of this cache in `Cache-Status`, the last one.
    pub(crate) fn member(&self) -> String {
        let all = self.got.all("cache-status");
        all.rsplit(',').next().unwrap_or_default().trim().to_owned()
    }

    /// The member of this cache in `Cache-Status` has this parameter.
    #[track_caller]
    pub(crate) fn tells(&self, parameter: &str) -> &Self {
        let member = self.member();
        let found = member.split(';').map(str::trim).any(|found| found == parameter);
        assert!(found, "{}: no {parameter} in {member:?}", self.scene);
        self
    }
}
