//! `csu-edge serve` and `csu-edge demo` as processes: how they start, how they refuse to, and how
//! they end.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test panics"
)]

#[path = "support/process.rs"]
mod process;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use process::Running;

#[test]
fn it_tells_where_it_listens_and_ends_with_0_on_a_signal() {
    for signal in ["TERM", "INT"] {
        let node = Running::start(&[]);
        let addresses = node.addresses();
        for listener in ["storefront", "ingest", "control"] {
            TcpStream::connect(addresses[listener].as_str().unwrap()).unwrap();
        }
        node.signal(signal);
        assert_eq!(node.ended().code(), Some(0), "{signal}");
    }
}

#[test]
fn a_second_signal_ends_it_before_it_is_drained() {
    // An origin that takes a connection and never answers keeps the drain waiting.
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let service_root = format!("http://{}", origin.local_addr().unwrap());
    let node = Running::start(&[
        ("CSU_EDGE__ORIGIN__SERVICE_ROOT", &service_root),
        ("CSU_EDGE__LISTEN__DRAIN_FOR", "1h"),
    ]);
    let addresses = node.addresses();
    let mut client = TcpStream::connect(addresses["storefront"].as_str().unwrap()).unwrap();
    client.write_all(b"GET /anything HTTP/1.1\r\nhost: shop\r\n\r\n").unwrap();
    let _fetch = origin.accept().unwrap();
    node.signal("TERM");
    node.logged("draining");
    node.signal("TERM");
    let status = node.ended();
    assert_eq!((status.code(), status.signal()), (Some(128 + 15), None));
}

#[test]
fn an_address_that_is_taken_exits_with_69() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    for listener in ["STOREFRONT", "INGEST", "CONTROL"] {
        let variable = format!("CSU_EDGE__LISTEN__{listener}");
        let node = Running::start(&[(&variable, &taken.to_string())]);
        node.logged(&taken.to_string());
        assert_eq!(node.ended().code(), Some(69), "{listener}");
    }
}

#[test]
fn a_mistake_in_the_configuration_exits_with_64_and_tells_all() {
    let node = Running::start(&[
        ("CSU_EDGE__LOG__FORMAT", "xml"),
        ("CSU_EDGE__LISTEN__INGEST", "0.0.0.0:0"),
    ]);
    node.logged("CSU_EDGE__LISTEN__INGEST: listen.ingest: ");
    node.logged("CSU_EDGE__LOG__FORMAT: log.format: ");
    assert_eq!(node.ended().code(), Some(64));
}

#[test]
fn the_demo_shows_what_it_says_line_by_line() {
    let demo = Running::spawn(Command::new(env!("CARGO_BIN_EXE_csu-edge")).arg("demo"));
    let mut printed = Vec::new();
    while printed.last().is_none_or(|line| line != "Ctrl-C ends it.") {
        printed.push(demo.printed());
    }
    let listeners = ["storefront", "ingest", "control"];
    for (line, listener) in printed.iter().zip(listeners) {
        assert!(line.starts_with(&format!("{listener}  ")) && line.contains("http://127.0.0.1:"));
    }
    let pasted: Vec<_> = printed
        .iter()
        .filter(|line| line.starts_with("curl "))
        .map(|line| {
            let output = Command::new("sh").args(["-c", line]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        })
        .collect();
    let [first, again, change, changed, metrics] = &pasted[..] else { panic!("{pasted:?}") };
    let price =
        |answer: &str| answer.lines().find(|line| line.contains("Price")).unwrap().to_owned();
    assert!(first.contains("; fwd=uri-miss; stored"), "{first}");
    assert!(again.contains("; hit") && price(again) == price(first), "{again}");
    assert_eq!(change, "{\"pushed\":true}\n");
    assert!(changed.contains("; fwd=") && changed.contains("\"AdjustedPrice\":12.34"), "{changed}");
    assert!(metrics.contains("result=\"hit\"} 1\n"), "{metrics}");
    demo.signal("INT");
    assert_eq!(demo.ended().code(), Some(0));
}
