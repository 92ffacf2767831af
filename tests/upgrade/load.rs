//! Load that notices everything: new connections and kept ones, HTTP/1.1 and HTTP/2, storefronts,
//! push events and probes.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::client::{self, BODY, Connection, Got, PATIENCE};
use super::{Place, Serving};

/// A hit from the second time on.
pub(crate) const HIT: &str = "/Commerce/GetChannels()?api-version=7.3";
/// What streams through.
const PASS: &str = "/Commerce/healthcheck?testname=ping";
pub(crate) const EVENT: &str = "{\"class\":\"price\",\"products\":[\"68719489871\"]}";

/// Requests of each kind that must succeed before the next thing happens.
const A_WHILE: u64 = 100;

/// Clients that go on until they are told to stop.
struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    failures: Mutex<Vec<String>>,
    kinds: Mutex<Vec<(&'static str, Arc<AtomicU64>)>>,
}

impl Load {
    fn start(node: &Serving) -> Self {
        let mut load = Self { shared: Arc::default(), clients: Vec::new() };
        let (storefront, ingest, control) =
            (node.address("storefront"), node.address("ingest"), node.address("control"));
        load.client("new-hit", move || one(&client::get(storefront, HIT), BODY));
        load.client("new-pass", move || one(&client::get(storefront, PASS), BODY));
        load.client("probe", move || one(&client::get(control, "/ready"), "{\"ready\":true"));
        load.client("event", move || one(&client::post(ingest, "/ingest/cdx", EVENT), ""));
        for (kind, target) in [("kept-hit", HIT), ("kept-pass", PASS)] {
            let mut kept = None;
            load.client(kind, move || keep(storefront, target, &mut kept));
        }
        let mut kept = None;
        load.client("kept-event", move || {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => Connection::open(ingest).map_err(|error| format!("open: {error}"))?,
            };
            let got = connection.post("/ingest/cdx", EVENT);
            one(&got, "")?;
            kept = (!got.unwrap().is_last()).then_some(connection);
            Ok(())
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut sender = None;
        load.client("http-2", move || runtime.block_on(stream(storefront, &mut sender)));
        load
    }

    fn client(
        &mut self,
        kind: &'static str,
        mut request: impl FnMut() -> Result<(), String> + Send + 'static,
    ) {
        let (shared, count) = (Arc::clone(&self.shared), Arc::new(AtomicU64::new(0)));
        shared.kinds.lock().unwrap().push((kind, Arc::clone(&count)));
        self.clients.push(thread::spawn(move || {
            while !shared.is_over.load(Ordering::Relaxed) {
                match request() {
                    Ok(()) => {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(why) => shared.failures.lock().unwrap().push(format!("{kind}: {why}")),
                }
            }
        }));
    }

    /// Waits until each kind of client has got so many answers more.
    fn goes_on(&self) {
        let kinds = self.shared.kinds.lock().unwrap().clone();
        let begun = Instant::now();
        for (kind, count) in kinds {
            let from = count.load(Ordering::Relaxed);
            while count.load(Ordering::Relaxed) < from + A_WHILE {
                assert!(begun.elapsed() < PATIENCE, "{kind}: {:?}", self.failures());
                thread::yield_now();
            }
        }
    }

    fn failures(&self) -> Vec<String> {
        self.shared.failures.lock().unwrap().clone()
    }

    fn end(self) -> Vec<(&'static str, u64)> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        let failures = self.shared.failures.lock().unwrap();
        assert!(
            failures.is_empty(),
            "{} failed: {:?}",
            failures.len(),
            &failures[..failures.len().min(20)]
        );
        let kinds = self.shared.kinds.lock().unwrap();
        kinds.iter().map(|(kind, count)| (*kind, count.load(Ordering::Relaxed))).collect()
    }
}

fn one(got: &std::io::Result<Got>, body: &str) -> Result<(), String> {
    match got {
        Ok(got) if got.status == 200 && got.body.starts_with(body) => Ok(()),
        Ok(got) => Err(format!("{got:?}")),
        Err(error) => Err(format!("{error:?}")),
    }
}

fn keep(address: SocketAddr, target: &str, kept: &mut Option<Connection>) -> Result<(), String> {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => Connection::open(address).map_err(|error| format!("open: {error}"))?,
    };
    let got = connection.get(target);
    one(&got, BODY)?;
    *kept = (!got.unwrap().is_last()).then_some(connection);
    Ok(())
}

type Sender = http2::SendRequest<Empty<Bytes>>;

/// One request on a connection of HTTP/2, which is kept until it says goodbye.
async fn stream(address: SocketAddr, kept: &mut Option<Sender>) -> Result<(), String> {
    let told = |error: hyper::Error| format!("{error:?}");
    let is_usable = match kept {
        Some(sender) => sender.ready().await.is_ok(),
        None => false,
    };
    if !is_usable {
        let socket = tokio::net::TcpStream::connect(address).await.map_err(|e| format!("{e:?}"))?;
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.map_err(told)?;
        tokio::spawn(connection);
        *kept = Some(sender);
    }
    let sender = kept.as_mut().unwrap();
    let request = http::Request::get(format!("http://{address}{PASS}")).body(Empty::new()).unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(20), async {
        let answer = sender.send_request(request).await?;
        Ok::<_, hyper::Error>((answer.status(), answer.into_body().collect().await?.to_bytes()))
    });
    let (status, body) = match answer.await.map_err(|_| "no answer".to_owned())? {
        Ok(answer) => answer,
        // Not sent: the goodbye came in between.
        Err(error) if error.is_canceled() => {
            *kept = None;
            return Ok(());
        }
        Err(error) => return Err(told(error)),
    };
    (status == 200 && body == BODY).then_some(()).ok_or_else(|| format!("{status} {body:?}"))
}

#[test]
fn no_request_fails_while_processes_replace_each_other() {
    let place = Place::new();
    let mut serving = place.serve(&[]);
    let load = Load::start(&serving);
    // More workers than sockets, and fewer; the first is relieved by three, which need two more.
    for workers in ["3", "1", "2", "4"] {
        load.goes_on();
        let next = place.serve(&[("CSU_EDGE__LISTEN__WORKERS", workers)]);
        assert_eq!(next.addresses, serving.addresses);
        serving.ends_with_0();
        serving = next;
        load.goes_on();
        assert_eq!(load.failures(), [] as [String; 0], "{workers} workers");
    }
    println!("{:?}", load.end());
    serving.process.signal("TERM");
    serving.ends_with_0();
}

#[test]
fn one_worker_is_relieved_by_several_and_several_by_one() {
    let place = Place::new();
    let mut serving = place.serve(&[("CSU_EDGE__LISTEN__WORKERS", "1")]);
    let load = Load::start(&serving);
    for workers in ["3", "1"] {
        let next = place.serve(&[("CSU_EDGE__LISTEN__WORKERS", workers)]);
        assert_eq!(next.addresses, serving.addresses);
        serving.ends_with_0();
        serving = next;
        load.goes_on();
    }
    load.end();
}

#[test]
fn of_several_that_start_at_once_one_serves_in_the_end() {
    let place = Place::new();
    let first = place.serve(&[]);
    let load = Load::start(&first);
    let starting: Vec<_> = (0..4).map(|_| place.spawn(&[])).collect();
    // One after the other may take over, or be refused while another does.
    let ended: Vec<_> = starting
        .iter()
        .filter_map(|process| process.ended_within(Duration::from_secs(10)))
        .map(|status| status.code().unwrap())
        .collect();
    assert_eq!(ended.len(), 3, "{ended:?}");
    assert!(ended.iter().all(|code| [0, 69].contains(code)), "{ended:?}");
    first.ends_with_0();
    load.goes_on();
    load.end();
}
