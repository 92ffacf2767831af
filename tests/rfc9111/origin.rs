//! An origin that answers the n-th request for a target by the n-th answer of a list, byte for byte,
//! right or wrong.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use csu_edge::clock::{Clock, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::support::wire::soon;

/// A request as the origin got it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case, in order.
    pub(crate) fields: Vec<(String, String)>,
}

impl Seen {
    /// All lines of a field, joined.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let lines = self.fields.iter().filter(|(found, _)| found == name);
        let lines: Vec<_> = lines.map(|(_, value)| value.as_str()).collect();
        (!lines.is_empty()).then(|| lines.join(", "))
    }

    /// Whether it asks for confirmation of what somebody has.
    pub(crate) fn is_conditional(&self) -> bool {
        ["if-none-match", "if-modified-since"].iter().any(|name| self.field(name).is_some())
    }
}

/// How an answer ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Framing {
    Length,
    Chunked,
    /// By the end of the connection.
    Closed,
    /// A `Content-Length` past the bytes that come.
    CutLength,
    /// Chunks without the last one.
    CutChunks,
}

/// What the origin says to one request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: u16,
    lines: Vec<String>,
    body: Option<String>,
    dated: bool,
    framing: Framing,
    interim: Vec<String>,
}

/// An answer with these field lines. Its body is `#n`, where it is the n-th for its target; its
/// `Date` is now. `{+60}` in a line is the moment 60 s from then, `{850-5}`, `{asc+5}` and
/// `{low+5}` others in the obsolete forms and in lower case.
pub(crate) fn status(status: u16, lines: &[&str]) -> Answer {
    Answer {
        status,
        lines: lines.iter().map(|&line| line.to_owned()).collect(),
        body: None,
        dated: true,
        framing: Framing::Length,
        interim: Vec::new(),
    }
}

/// The same with 200.
pub(crate) fn ok(lines: &[&str]) -> Answer {
    status(200, lines)
}

/// 304 with these field lines.
pub(crate) fn not_modified(lines: &[&str]) -> Answer {
    status(304, lines)
}

/// A read of the catalogue's, by its target.
pub(crate) const READ: &str = "/Commerce/Products(1)/GetById(channelId=1)";

/// An answer to it.
pub(crate) fn product(lines: &[&str]) -> Answer {
    let name = "long enough to be worth compressing ".repeat(100);
    let body = format!(r#"{{"RecordId":1,"ItemId":"82000","Name":"{name}"}}"#);
    ok(&[&["content-type: application/json"][..], lines].concat()).body(&body)
}

impl Answer {
    pub(crate) fn body(self, body: &str) -> Self {
        Self { body: Some(body.to_owned()), ..self }
    }

    /// Without a `Date` of the origin's own.
    pub(crate) fn undated(self) -> Self {
        Self { dated: false, ..self }
    }

    pub(crate) fn chunked(self) -> Self {
        Self { framing: Framing::Chunked, ..self }
    }

    pub(crate) fn ended_by_closing(self) -> Self {
        Self { framing: Framing::Closed, ..self }
    }

    pub(crate) fn short_of_its_length(self) -> Self {
        Self { framing: Framing::CutLength, ..self }
    }

    pub(crate) fn without_its_last_chunk(self) -> Self {
        Self { framing: Framing::CutChunks, ..self }
    }

    /// After an interim answer.
    pub(crate) fn after(mut self, status: u16, lines: &[&str]) -> Self {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        self.interim.push(format!("HTTP/1.1 {status} Interim\r\n{lines}\r\n"));
        self
    }

    /// The bytes, and whether the connection ends after them.
    fn written(&self, method: &str, n: usize, now: Timestamp) -> (String, bool) {
        let mut text = self.interim.concat();
        text += &format!("HTTP/1.1 {} Reason\r\n", self.status);
        if self.dated && !self.lines.iter().any(|line| line.starts_with("date:")) {
            text += &format!("date: {}\r\n", http_date(now, 0));
        }
        for line in &self.lines {
            text += &format!("{}\r\n", with_dates(line, now));
        }
        let bodiless = matches!(self.status, 204 | 304);
        let body =
            if bodiless { String::new() } else { self.body.clone().unwrap_or(format!("#{n}")) };
        let length = |length: usize| format!("content-length: {length}\r\n\r\n");
        let chunk = |body: &str| format!("{:x}\r\n{body}\r\n", body.len());
        let chunked = "transfer-encoding: chunked\r\n\r\n";
        let says_its_length = self.lines.iter().any(|line| line.starts_with("content-length:"));
        let (framing, sent) = match self.framing {
            _ if bodiless || says_its_length => ("\r\n".to_owned(), body.clone()),
            Framing::Length => (length(body.len()), body.clone()),
            Framing::Closed => ("connection: close\r\n\r\n".to_owned(), body.clone()),
            Framing::CutLength => (length(body.len() + 5), body.clone()),
            Framing::Chunked => (chunked.to_owned(), chunk(&body) + "0\r\n\r\n"),
            Framing::CutChunks => (chunked.to_owned(), chunk(&body)),
        };
        text += &framing;
        if method != "HEAD" {
            text += &sent;
        }
        (text, !matches!(self.framing, Framing::Length | Framing::Chunked))
    }
}

type Script = Arc<dyn Fn(&Seen, usize) -> Answer + Send + Sync>;

struct State {
    clock: Clock,
    scripts: Mutex<HashMap<String, Script>>,
    counts: Mutex<HashMap<String, usize>>,
    seen: Mutex<Vec<Seen>>,
    arrived: watch::Sender<usize>,
    /// How many answers may have left, in the order in which they were asked for.
    allowed: watch::Sender<usize>,
}

/// The origin. Dropped or stopped, it is gone.
pub(crate) struct Origin {
    address: SocketAddr,
    state: Arc<State>,
    serving: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Origin {
    pub(crate) async fn start(clock: Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            clock,
            scripts: Mutex::default(),
            counts: Mutex::default(),
            seen: Mutex::default(),
            arrived: watch::Sender::new(0),
            allowed: watch::Sender::new(usize::MAX),
        });
        let serving = AbortOnDropHandle::new(tokio::spawn(serve(listener, Arc::clone(&state))));
        Self { address, state, serving: Mutex::new(Some(serving)) }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What requests for this target are answered by; what has no script is 200 for an hour.
    pub(crate) fn script(
        &self,
        target: &str,
        script: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static,
    ) {
        self.state.scripts.lock().unwrap().insert(target.to_owned(), Arc::new(script));
    }

    /// All that it was asked for this target.
    pub(crate) fn seen(&self, target: &str) -> Vec<Seen> {
        self.all().into_iter().filter(|seen| seen.target == target).collect()
    }

    /// All that it was asked.
    pub(crate) fn all(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// Waits until it was asked so often for this target.
    pub(crate) async fn asked(&self, target: &str, count: usize) {
        let mut arrived = self.state.arrived.subscribe();
        soon(arrived.wait_for(|_| self.seen(target).len() >= count)).await.unwrap();
    }

    /// Keeps answers back, or lets them go. What each will be is decided on arrival.
    pub(crate) fn hold(&self, hold: bool) {
        let allowed = if hold { self.state.seen.lock().unwrap().len() } else { usize::MAX };
        self.state.allowed.send_replace(allowed);
    }

    /// Lets the next answer go that is kept back.
    pub(crate) fn let_one_go(&self) {
        self.state.allowed.send_modify(|allowed| *allowed += 1);
    }

    /// Is gone when this returns: nothing listens at its address any more.
    pub(crate) async fn stop(&self) {
        let serving = self.serving.lock().unwrap().take();
        if let Some(serving) = serving {
            serving.abort();
            let _ = serving.await;
        }
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        connections.spawn(converse(BufReader::new(stream), Arc::clone(&state)));
    }
}

async fn converse(mut stream: BufReader<TcpStream>, state: Arc<State>) {
    while let Some(seen) = read_request(&mut stream).await {
        let n = {
            let mut counts = state.counts.lock().unwrap();
            let count = counts.entry(seen.target.clone()).or_default();
            *count += 1;
            *count
        };
        let script = state.scripts.lock().unwrap().get(&seen.target).cloned();
        let lasting = || ok(&["cache-control: max-age=3600"]);
        let answer = script.map_or_else(lasting, |script| script(&seen, n));
        let (text, ends) = answer.written(&seen.method, n, state.clock.now());
        let place = {
            let mut all = state.seen.lock().unwrap();
            all.push(seen);
            all.len()
        };
        state.arrived.send_modify(|arrived| *arrived += 1);
        let _ = state.allowed.subscribe().wait_for(|allowed| *allowed >= place).await;
        if stream.write_all(text.as_bytes()).await.is_err() || ends {
            return;
        }
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let fields = lines.filter_map(|line| line.split_once(':'));
    let fields = fields.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
    let seen = Seen { method, target, fields: fields.collect() };
    if let Some(length) = seen.field("content-length") {
        stream.read_exact(&mut vec![0; length.parse().unwrap()]).await.ok()?;
    } else if seen.field("transfer-encoding").is_some() {
        let mut body = Vec::new();
        while !body.ends_with(b"0\r\n\r\n") {
            body.push(stream.read_u8().await.ok()?);
        }
    }
    Some(seen)
}

fn moment(now: Timestamp, offset_s: i64) -> jiff::Timestamp {
    let now = i64::try_from(now.as_millis() / 1_000).unwrap();
    jiff::Timestamp::from_second(now + offset_s).unwrap()
}

/// The moment so many seconds from `now`, as HTTP writes it (RFC 9110 §5.6.7).
pub(crate) fn http_date(now: Timestamp, offset_s: i64) -> String {
    moment(now, offset_s).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The text with its moments written out.
pub(crate) fn with_dates(text: &str, now: Timestamp) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, after) = after.split_once('}').expect("an open brace");
        let sign = inside.find(['+', '-']).expect("no sign");
        let (form, offset) = inside.split_at(sign);
        let offset: i64 = offset.parse().unwrap();
        out += before;
        out += &match form {
            "" => http_date(now, offset),
            "low" => http_date(now, offset).to_lowercase(),
            "850" => moment(now, offset).strftime("%A, %d-%b-%y %H:%M:%S GMT").to_string(),
            "asc" => moment(now, offset).strftime("%a %b %e %H:%M:%S %Y").to_string(),
            "zoneless" => http_date(now, offset).replace(" GMT", ""),
            zone => http_date(now, offset).replace("GMT", zone),
        };
        rest = after;
    }
    out + rest
}
