//! A handover that comes to nothing has an outcome that is told, and whoever serves goes on.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use super::client::{self, PATIENCE};
use super::load::{EVENT, HIT};
use super::support::process::Running;
use super::{Place, Serving};

const HELLO: &str = "csu-edge handover 1\n";

fn refused(process: &Running, why: &str, code: i32) {
    process.logged(why);
    assert_eq!(process.ended().code(), Some(code), "{why}");
}

/// It serves, and can still be relieved by a process that does everything right.
fn goes_on(place: &Place, old: Serving) {
    assert_eq!(client::get(old.address("storefront"), HIT).unwrap().status, 200);
    assert_eq!(client::post(old.address("ingest"), "/ingest/cdx", EVENT).unwrap().status, 200);
    let new = place.serve(&[]);
    assert_eq!(new.addresses, old.addresses);
    old.ends_with_0();
    assert_eq!(client::get(new.address("storefront"), HIT).unwrap().status, 200);
}

/// A process that begins to take over, as far as the offer.
fn candidate(place: &Place) -> BufReader<UnixStream> {
    let stream = UnixStream::connect(place.socket()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut candidate = BufReader::new(stream);
    candidate.get_mut().write_all(HELLO.as_bytes()).unwrap();
    assert_eq!(said(&mut candidate), HELLO);
    let offer = said(&mut candidate);
    assert!(offer.starts_with("offer {\"listeners\":[{\"name\":\"storefront\""), "{offer}");
    assert_eq!(said(&mut candidate), "sockets 4\n", "2 workers for storefronts, 1 for each other");
    candidate
}

fn said(other: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    other.read_line(&mut line).unwrap();
    line
}

/// Somebody at the socket's path who says this to whoever comes, and no more.
fn impostor(place: &Place, words: &'static str) -> thread::JoinHandle<()> {
    let listener = UnixListener::bind(place.socket()).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(words.as_bytes()).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

#[test]
fn a_new_process_that_cannot_start_leaves_the_old_one_as_it_is() {
    let place = Place::new();
    let old = place.serve(&[]);
    let wrong = place.spawn(&[("CSU_EDGE__LISTEN__WORKERS", "0")]);
    refused(&wrong, "listen.workers", 64);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_address = taken.local_addr().unwrap().to_string();
    let wrong = place.spawn(&[("CSU_EDGE__LISTEN__CONTROL", &taken_address)]);
    refused(&wrong, &taken_address, 69);
    old.process.logged("no handover: this process serves on");
    goes_on(&place, old);
}

#[test]
fn a_process_that_is_starting_keeps_others_from_it() {
    let place = Place::new();
    let old = place.serve(&[]);
    let mut path = place.socket().into_os_string();
    path.push(".lock");
    let lock = File::open(path).unwrap();
    lock.lock().unwrap();
    refused(&place.spawn(&[]), "another process is starting", 69);
    drop(lock);
    goes_on(&place, old);
}

#[test]
fn one_that_speaks_another_version_is_told_so() {
    let place = Place::new();
    let old = place.serve(&[]);
    let mut stream = UnixStream::connect(place.socket()).unwrap();
    stream.write_all(b"csu-edge handover 2\n").unwrap();
    let mut heard = String::new();
    // Reset, where what it said was not read to its end.
    let _ = stream.read_to_string(&mut heard);
    assert_eq!(heard, HELLO);
    old.process.logged("csu-edge handover 2");
    goes_on(&place, old);
}

#[test]
fn nobody_takes_over_from_what_is_not_understood() {
    for (words, why) in [
        ("csu-edge handover 2\n", "says \\\"csu-edge handover 2\\\""),
        ("csu-edge handover 1\nwhat?\n", "something unexpected: what?"),
        ("csu-edge handover 1\noffer {}\n", "something unexpected: missing field"),
        (
            "csu-edge handover 1\noffer {\"listeners\":[{\"name\":\"storefront\",\"address\":\"127.0.0.1:80\",\"sockets\":1}]}\nsockets 1\n",
            "fewer came",
        ),
        (
            "csu-edge handover 1\noffer {\"listeners\":[{\"name\":\"storefront\",\"address\":\"127.0.0.1:80\",\"sockets\":9999999}]}\n",
            "more than a node has",
        ),
    ] {
        let place = Place::new();
        let impostor = impostor(&place, words);
        refused(&place.spawn(&[]), &why.replace('\\', ""), 69);
        impostor.join().unwrap();
    }
}

#[test]
fn one_that_is_there_and_silent_is_not_waited_for_for_ever() {
    let place = Place::new();
    let hello = impostor(&place, "");
    refused(&place.spawn(&[]), "was silent for 5s", 69);
    hello.join().unwrap();
    std::fs::remove_file(place.socket()).unwrap();
    let offer = impostor(&place, HELLO);
    let settings = [("CSU_EDGE__LISTEN__HANDOVER_TIMEOUT", "1s")];
    refused(&place.spawn(&settings), "was silent for 1s", 69);
    offer.join().unwrap();
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let place = Place::new();
    std::fs::write(place.socket(), "kept").unwrap();
    refused(&place.spawn(&[]), "is no socket", 69);
    assert_eq!(std::fs::read_to_string(place.socket()).unwrap(), "kept");
}

#[test]
fn a_candidate_that_hangs_is_given_up() {
    let place = Place::new();
    let old = place.serve(&[("CSU_EDGE__LISTEN__HANDOVER_TIMEOUT", "1s")]);
    let mut hanging = candidate(&place);
    assert_eq!(said(&mut hanging), "gave-up\n");
    assert_eq!(said(&mut hanging), "");
    goes_on(&place, old);
}

#[test]
fn a_candidate_that_hangs_before_it_serves_keeps_no_purge_from_standing() {
    let place = Place::new();
    let old = place.serve(&[("CSU_EDGE__LISTEN__HANDOVER_TIMEOUT", "1h")]);
    let mut hanging = candidate(&place);
    hanging.get_mut().write_all(b"opening\n").unwrap();
    assert_eq!(said(&mut hanging), "opening\n");
    // Told to the candidate, which does not say that it has been applied.
    let got = client::post(old.address("ingest"), "/ingest/cdx", EVENT).unwrap();
    assert_eq!(got.status, 503, "{got:?}");
    assert!(said(&mut hanging).starts_with("purge {\"hard\":[\"price/"));
    assert_eq!(said(&mut hanging), "gave-up\n");
    goes_on(&place, old);
}

#[test]
fn a_candidate_that_dies_before_it_serves_is_forgotten() {
    let place = Place::new();
    let old = place.serve(&[]);
    let mut dying = candidate(&place);
    dying.get_mut().write_all(b"opening\n").unwrap();
    assert_eq!(said(&mut dying), "opening\n");
    drop(dying);
    old.process.logged("no handover: this process serves on");
    goes_on(&place, old);
}

#[test]
fn a_process_that_waits_no_longer_is_not_relieved() {
    // The old one gives up while the new one, which it has stopped hearing of, is about to serve.
    let place = Place::new();
    let words = "csu-edge handover 1\noffer {\"listeners\":[]}\nopening\ngave-up\n";
    let impostor = impostor(&place, words);
    refused(&place.spawn(&[]), "waited no longer, and serves on", 69);
    impostor.join().unwrap();
}

#[test]
fn one_that_ends_before_it_is_relieved_is_done_without() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).unwrap();
    let dying = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"csu-edge handover 1\noffer {\"listeners\":[]}\n").unwrap();
        let mut stream = BufReader::new(stream);
        assert_eq!(
            (said(&mut stream), said(&mut stream)),
            (HELLO.to_owned(), "opening\n".to_owned())
        );
    });
    let new = place.serve(&[]);
    dying.join().unwrap();
    goes_on(&place, new);
}
