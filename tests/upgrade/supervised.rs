//! What systemd is told.

use std::os::unix::net::UnixDatagram;

use super::Place;
use super::client::{self, PATIENCE};
use super::load::HIT;

#[test]
fn a_supervisor_hears_who_serves_and_when_the_service_ends() {
    let place = Place::new();
    let path = place.socket().with_extension("notify");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    supervisor.set_read_timeout(Some(PATIENCE)).unwrap();
    let settings = [("NOTIFY_SOCKET", path.to_str().unwrap())];
    let heard = || {
        let mut word = [0; 256];
        let length = supervisor.recv(&mut word).unwrap();
        String::from_utf8(word[..length].to_vec()).unwrap()
    };
    let old = place.serve(&settings);
    assert_eq!(heard(), "READY=1");
    let new = place.serve(&settings);
    assert_eq!(heard(), format!("MAINPID={}\nREADY=1", new.process.pid()));
    old.ends_with_0();
    new.process.signal("TERM");
    // The old one has said nothing: it would have been taken for the end of the service.
    assert_eq!(heard(), "STOPPING=1");
    new.ends_with_0();
}

#[test]
fn a_supervisor_that_cannot_be_told_is_done_without() {
    let place = Place::new();
    let node = place.serve(&[("NOTIFY_SOCKET", "/nowhere/notify")]);
    node.process.logged("cannot be told");
    node.process.signal("TERM");
    node.ends_with_0();
}

#[test]
fn a_signal_starts_what_is_installed_and_it_takes_over() {
    let place = Place::new();
    let path = place.socket().with_extension("notify");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    supervisor.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = || {
        let mut word = [0; 256];
        let length = supervisor.recv(&mut word).unwrap();
        String::from_utf8(word[..length].to_vec()).unwrap()
    };
    let old = place.serve(&[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    assert_eq!(heard(), "READY=1");
    old.process.signal("USR2");
    // The output of the new one is that of the old one.
    assert_eq!(old.process.addresses(), old.addresses);
    let pid =
        heard().strip_prefix("MAINPID=").unwrap().strip_suffix("\nREADY=1").unwrap().to_owned();
    assert_ne!(pid, old.process.pid().to_string());
    assert_eq!(old.process.ended().code(), Some(0));
    assert_eq!(client::get(old.address("storefront"), HIT).unwrap().status, 200);
    let kill = format!("kill -TERM {pid}");
    assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    assert_eq!(heard(), "STOPPING=1");
}

#[test]
fn a_signal_whose_process_cannot_start_changes_nothing() {
    let place = Place::new();
    let node = place.serve(&[]);
    std::fs::write(place.config(), "[listen]\nhandover = 1\n").unwrap();
    node.process.signal("USR2");
    node.process.logged("the process that was to take over has ended");
    assert_eq!(client::get(node.address("storefront"), HIT).unwrap().status, 200);
    node.process.signal("TERM");
    assert_eq!(node.process.ended().code(), Some(0));
}
