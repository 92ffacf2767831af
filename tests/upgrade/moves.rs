//! What becomes of what was there before.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::Place;
use super::client::{self, BODY, Connection};
use super::load::{EVENT, HIT};

fn applied(control: std::net::SocketAddr) -> Option<u64> {
    let metrics = client::get(control, "/metrics").unwrap().body;
    let line =
        metrics.lines().find_map(|line| line.strip_prefix("csu_edge_purge_applied_sequence "));
    line?.parse().ok()
}

#[test]
fn what_is_open_has_one_more_answer_and_what_runs_is_finished() {
    let place = Place::new();
    let old = place.serve(&[]);
    let storefront = old.address("storefront");
    let mut idle = Connection::open(storefront).unwrap();
    assert!(!idle.get(HIT).unwrap().is_last());
    // Accepted, and not a byte sent.
    let mut silent = Connection::open(storefront).unwrap();
    let mut running = Connection::open(storefront).unwrap();
    running.send("GET /Commerce/held HTTP/1.1\r\nhost: shop\r\n\r\n").unwrap();
    place.origin().holds_one();

    let new = place.serve(&[]);
    old.process.logged("another process serves");
    for connection in [&mut idle, &mut silent] {
        let got = connection.get(HIT).unwrap();
        assert!(got.status == 200 && got.body == BODY && got.is_last(), "{got:?}");
        assert!(connection.is_closed());
    }
    place.origin().release();
    let got = running.receive().unwrap();
    assert!(got.status == 200 && got.is_last(), "{got:?}");
    old.ends_with_0();
    assert_eq!(client::get(new.address("storefront"), HIT).unwrap().status, 200);
}

#[test]
fn http_2_is_begun_answered_and_said_goodbye_to() {
    let place = Place::new();
    let old = place.serve(&[]);
    let storefront = old.address("storefront");
    let socket = TcpStream::connect(storefront).unwrap();
    socket.set_nonblocking(true).unwrap();
    let _new = place.serve(&[]);
    old.process.logged("another process serves");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let speak = async {
        let io = TokioIo::new(tokio::net::TcpStream::from_std(socket).unwrap());
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = http::Request::get(format!("http://{storefront}{HIT}"));
        let answer =
            sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), BODY);
        // Its end, in order, though the client would go on.
        connection.await.unwrap().unwrap();
        assert!(sender.ready().await.is_err());
    };
    let within = async { tokio::time::timeout(client::PATIENCE, speak).await };
    runtime.block_on(within).unwrap();
    old.ends_with_0();
}

#[test]
fn one_that_waits_for_a_place_has_its_answer() {
    let place = Place::new();
    let full = [("CSU_EDGE__LIMITS__CONNECTIONS", "1"), ("CSU_EDGE__LISTEN__WORKERS", "1")];
    let old = place.serve(&full);
    let storefront = old.address("storefront");
    let mut running = Connection::open(storefront).unwrap();
    running.send("GET /Commerce/held HTTP/1.1\r\nhost: shop\r\n\r\n").unwrap();
    place.origin().holds_one();
    // Accepted, one after the other, by whoever has a place: the first of them is the old one's.
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let mut waiting = Connection::open(storefront).unwrap();
            waiting.send(&format!("GET {HIT} HTTP/1.1\r\nhost: shop\r\n\r\n")).unwrap();
            waiting
        })
        .collect();
    let _new = place.serve(&[]);
    old.process.logged("another process serves");
    for mut waiting in waiting {
        assert_eq!(waiting.receive().unwrap().status, 200);
    }
    place.origin().release();
    assert_eq!(running.receive().unwrap().status, 200);
    old.ends_with_0();
}

#[test]
fn a_connection_on_which_nothing_comes_does_not_keep_the_old_process() {
    let place = Place::new();
    let old = place.serve(&[("CSU_EDGE__LISTEN__DRAIN_FOR", "300ms")]);
    let mut idle = Connection::open(old.address("storefront")).unwrap();
    idle.get(HIT).unwrap();
    let _new = place.serve(&[]);
    old.process.logged("\"storefront\":\"clean\"");
    old.ends_with_0();
    assert!(idle.is_closed());
}

#[test]
fn a_purge_that_the_old_process_acknowledges_stands_in_the_new_one() {
    let place = Place::new();
    let old = place.serve(&[]);
    let mut pusher = Connection::open(old.address("ingest")).unwrap();
    let mut running = Connection::open(old.address("storefront")).unwrap();
    running.send("GET /Commerce/held HTTP/1.1\r\nhost: shop\r\n\r\n").unwrap();
    place.origin().holds_one();
    let new = place.serve(&[]);
    old.process.logged("another process serves");
    assert_eq!(applied(new.address("control")), Some(0));
    let got = pusher.post("/ingest/cdx", EVENT).unwrap();
    assert_eq!(got.status, 200, "{got:?}");
    assert_eq!(applied(new.address("control")), Some(1));
    place.origin().release();
    assert_eq!(running.receive().unwrap().status, 200);
    old.ends_with_0();
}

#[test]
fn a_listener_that_moves_is_opened_anew_and_the_others_are_taken_over() {
    let place = Place::new();
    let old = place.serve(&[]);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let new = place.serve(&[("CSU_EDGE__LISTEN__STOREFRONT", &free.to_string())]);
    assert_eq!(new.address("storefront"), free);
    assert_eq!(new.address("ingest"), old.address("ingest"));
    assert_eq!(new.address("control"), old.address("control"));
    old.ends_with_0();
    assert_eq!(client::get(free, HIT).unwrap().status, 200);
    let refused = TcpStream::connect(old.address("storefront")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn the_socket_is_its_users_own_and_one_that_is_left_behind_is_no_obstacle() {
    let place = Place::new();
    let killed = place.serve(&[]);
    let mode = std::fs::symlink_metadata(place.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    killed.process.signal("KILL");
    killed.process.ended();
    assert!(place.socket().exists());
    let next = place.serve(&[]);
    assert_eq!(client::get(next.address("storefront"), HIT).unwrap().status, 200);
    // And it can be relieved in its turn.
    let last = place.serve(&[]);
    next.ends_with_0();
    assert_eq!(client::get(last.address("storefront"), HIT).unwrap().status, 200);
}

#[test]
fn without_the_setting_nobody_takes_over() {
    let place = Place::new();
    let first = place.serve(&[]);
    let address = first.address("ingest").to_string();
    let text = std::fs::read_to_string(place.config()).unwrap();
    let without: Vec<_> = text.lines().filter(|line| !line.starts_with("handover")).collect();
    std::fs::write(place.config(), without.join("\n")).unwrap();
    let second = place.spawn(&[("CSU_EDGE__LISTEN__INGEST", &address)]);
    second.logged(&address);
    assert_eq!(second.ended().code(), Some(69));
    assert_eq!(client::get(first.address("storefront"), HIT).unwrap().status, 200);
}
