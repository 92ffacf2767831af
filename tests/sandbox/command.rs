//! The command: its first line, its exit codes.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use serde_json::Value;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_csu-sandbox"));
    command.args(arguments).env_remove("CSU_SANDBOX_PUSH_SECRET");
    command
}

#[test]
fn its_one_line_says_where_it_listens_and_a_signal_ends_it_cleanly() {
    let arguments = ["--latency", "1ms±1ms", "--products", "100000", "--seed", "7", "--preflights"];
    let mut child = command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    let address = line["listening"]["sandbox"].as_str().unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(
        &mut stream,
        b"GET /Commerce/GetChannels HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(
        &mut stream,
        b"OPTIONS /Commerce/GetChannels HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\
          Access-Control-Request-Method: GET\r\nConnection: close\r\n\r\n",
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

#[test]
fn mistakes_in_the_arguments_are_told_and_end_with_64() {
    for (arguments, told) in [
        (&["--latency", "soon"][..], "not a duration"),
        (&["--products", "9999999"], "products"),
        (&["--page-size", "0"], "page size"),
        (&["--requests-per-second", "0"], "requests-per-second"),
        (&["--push-to", "http://127.0.0.1:1"], "--push-secret"),
        (&["--push-to", "http://127.0.0.1:1", "--push-secret", "hunter2"], "whsec_"),
        (&["--push-to", "/x", "--push-secret", "whsec_AAAA"], "push URL"),
        (&["--listen", "here"], "--listen"),
        (&["--nothing"], "--nothing"),
    ] {
        let output = command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(told), "{stderr}");
        assert!(!stderr.contains("hunter2"));
    }
    assert_eq!(command(&["--help"]).output().unwrap().status.code(), Some(0));
}
