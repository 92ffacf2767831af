//! The command line as a shell sees it: what it prints, and its exit codes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test panics")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

fn csu_edge(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_csu-edge"));
    command.args(arguments).env_clear();
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    outcome(csu_edge(arguments).output().unwrap())
}

fn outcome(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A node that answers one question; returns its address and what it was asked.
fn node(
    status: &'static str,
    answer: &'static str,
) -> (String, thread::JoinHandle<(String, serde_json::Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut reader = BufReader::new(stream);
        let (mut first, mut body_bytes) = (String::new(), 0);
        reader.read_line(&mut first).unwrap();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(length) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                body_bytes = length.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; body_bytes];
        reader.read_exact(&mut body).unwrap();
        let length = answer.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n");
        reader.get_mut().write_all(format!("{head}{answer}").as_bytes()).unwrap();
        let question = match body.is_empty() {
            true => serde_json::Value::Null,
            false => serde_json::from_slice(&body).unwrap(),
        };
        (first.trim().to_owned(), question)
    });
    (address, asked)
}

#[test]
fn check_accepts_the_shipped_configuration_on_a_bare_machine() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config.toml");
    let (code, stdout, stderr) = run(&["check", "--config", shipped]);
    assert_eq!((code, stdout, stderr), (0, format!("{shipped} is valid\n"), String::new()));
}

#[test]
fn check_tells_every_mistake_and_exits_with_64() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.toml"), "[listen]\nport = 1\n[log]\nformat = 'xml'")
        .unwrap();
    let output = csu_edge(&["check", "--config", "config.toml"])
        .current_dir(folder.path())
        .env("CSU_EDGE__LOG__FILTRE", "info")
        .output()
        .unwrap();
    let (code, stdout, _) = outcome(output);
    assert_eq!(code, 64);
    let starts: Vec<_> = stdout.lines().map(|line| &line[..line.find(": ").unwrap()]).collect();
    assert_eq!(
        starts,
        [
            "config.toml:1:1",
            "config.toml:1:2",
            "config.toml:2:1",
            "config.toml:4:10",
            "environment variable CSU_EDGE__LOG__FILTRE",
        ]
    );
}

#[test]
fn check_of_a_missing_file_exits_with_64() {
    let (code, stdout, _) = run(&["check", "--config", "/nonexistent.toml"]);
    assert_eq!(code, 64);
    assert!(stdout.starts_with("/nonexistent.toml: cannot be read"), "{stdout}");
}

#[test]
fn check_never_prints_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, "ingest.hmac_secrets = ['canary', 'env:CANARY']").unwrap();
    let output = csu_edge(&["check", "--config", path.to_str().unwrap()])
        .env("CANARY", "whsec_canary")
        .output()
        .unwrap();
    let (code, stdout, stderr) = outcome(output);
    assert_eq!(code, 64);
    assert!(stdout.contains("ingest.hmac_secrets[1]"), "{stdout}");
    assert!(!format!("{stdout}{stderr}").contains("canary"), "{stdout}{stderr}");
}

#[test]
fn wrong_usage_exits_with_64() {
    for arguments in [
        &[][..],
        &["sreve"],
        &["check", "--configuration", "x"],
        &["purge"],
        &["purge", "*", "--control", "nowhere"],
        &["explain", "GET"],
        &["explain", "GET", "/", "-H", "no colon"],
    ] {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!((code, stdout.as_str()), (64, ""), "{arguments:?}");
        assert!(stderr.contains("Usage") || stderr.contains("--help"), "{stderr}");
    }
}

#[test]
fn help_and_version_exit_with_0() {
    let (code, stdout, _) = run(&["--version"]);
    assert_eq!((code, stdout), (0, format!("csu-edge {}\n", env!("CARGO_PKG_VERSION"))));
    let (code, stdout, _) = run(&["--help"]);
    assert_eq!(code, 0);
    for taught in ["check", "explain", "purge", "Exit codes", "Start here", "CSU_EDGE_CONTROL"] {
        assert!(stdout.contains(taught), "{taught}");
    }
}

#[test]
fn explain_asks_a_running_node() {
    let (address, asked) = node("200 OK", r#"{"operation":"GetChannels","key":{"oun":"128"}}"#);
    let (code, stdout, stderr) = run(&[
        "explain",
        "POST",
        "/Commerce/X?$top=1",
        "-H",
        "OUN: 128",
        "-H",
        "Accept: a",
        "-H",
        "accept: b",
        "-d",
        "{\"a\":1}",
        "--control",
        &address,
    ]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(stdout, "Operation  GetChannels\n\nKey\n  Oun  128\n");
    let (first, question) = asked.join().unwrap();
    assert_eq!(first, "POST /explain HTTP/1.1");
    assert_eq!(
        question,
        serde_json::json!({
            "method": "POST",
            "url": "/Commerce/X?$top=1",
            "headers": { "oun": "128", "accept": "a, b" },
            "body": "{\"a\":1}",
        })
    );
}

#[test]
fn purge_asks_a_running_node_and_can_print_its_answer_as_json() {
    let (address, asked) = node("200 OK", r#"{"sequence":7}"#);
    let (code, stdout, _) =
        run(&["purge", "price/item:1", "search/*", "--soft", "--json", "--control", &address]);
    assert_eq!((code, stdout.as_str()), (0, "{\"sequence\":7}\n"));
    let (first, question) = asked.join().unwrap();
    assert_eq!(first, "POST /purge HTTP/1.1");
    let expected = serde_json::json!({ "tags": ["price/item:1", "search/*"], "mode": "soft" });
    assert_eq!(question, expected);
}

#[test]
fn ready_tells_what_a_node_says_of_itself() {
    let (address, asked) = node("200 OK", r#"{"ready":true,"reasons":[]}"#);
    let (code, stdout, stderr) = run(&["ready", "--control", &address]);
    assert_eq!((code, stdout.lines().next(), stderr.as_str()), (0, Some("Ready    yes"), ""));
    assert_eq!(asked.join().unwrap(), ("GET /ready HTTP/1.1".to_owned(), serde_json::Value::Null));
}

#[test]
fn a_node_that_is_not_ready_exits_with_69_and_says_why() {
    let (address, asked) =
        node("503 Service Unavailable", r#"{"ready":false,"reasons":["draining"]}"#);
    let (code, stdout, stderr) = run(&["ready", "--control", &address]);
    asked.join().unwrap();
    assert_eq!((code, stdout.as_str()), (69, ""));
    assert!(stderr.contains("draining"), "{stderr}");
}

#[test]
fn a_question_that_a_node_refuses_exits_by_whose_fault_it_is() {
    let refusal = r#"{"error":{"code":"csu-edge.tag","message":"not a tag: \"x\""}}"#;
    for (status, expected) in
        [("400 Bad Request", 64), ("503 Service Unavailable", 69), ("500 Internal", 70)]
    {
        let (address, asked) = node(status, refusal);
        let (code, stdout, stderr) = run(&["purge", "x", "--control", &address]);
        asked.join().unwrap();
        assert_eq!((code, stdout.as_str()), (expected, ""));
        assert!(stderr.contains("not a tag"), "{stderr}");
    }
}

#[test]
fn a_control_port_where_nobody_listens_exits_with_69() {
    // Bound and let go: nothing listens there.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (code, stdout, stderr) = run(&["purge", "*", "--control", &address]);
    assert_eq!((code, stdout.as_str()), (69, ""));
    assert!(stderr.contains("is one running") && stderr.contains(&address), "{stderr}");
}

#[test]
fn a_purge_says_in_words_what_stands_and_exits_with_75_where_not_everybody_has_it() {
    for (answer, expected, says) in [
        (r#"{"sequence":7}"#, 0, "Purged as number 7: "),
        (r#"{"sequence":7,"fleet":{"applied":["a","b"],"pending":[]}}"#, 0, "Applied by: a, b"),
        (r#"{"sequence":7,"fleet":{"applied":["a"],"pending":["b"]}}"#, 75, "Not yet by: b"),
        (r#"{"sequence":7,"fleet":{"unknown":true}}"#, 75, "It is not known"),
    ] {
        for form in ["--soft", "--json"] {
            let (address, asked) = node("200 OK", answer);
            let (code, stdout, stderr) =
                run(&["purge", "*", "--wait-for-fleet", form, "--control", &address]);
            assert_eq!((code, stderr.as_str()), (expected, ""), "{answer}");
            match form {
                "--json" => assert_eq!(stdout, format!("{answer}\n")),
                _ => assert!(stdout.contains(says), "{stdout}"),
            }
            assert_eq!(asked.join().unwrap().0, "POST /purge?wait=fleet HTTP/1.1");
        }
    }
}

#[test]
fn what_is_no_node_is_told_so_and_exits_with_70() {
    for arguments in [&["purge", "*"][..], &["explain", "GET", "/x"]] {
        let (address, asked) = node("200 OK", "<html>");
        let (code, stdout, stderr) = run(&[arguments, &["--control", &address]].concat());
        asked.join().unwrap();
        assert_eq!((code, stdout.as_str()), (70, ""));
        assert!(stderr.contains("is this a node's listen.control?"), "{stderr}");
    }
}

/// What a terminal gets; `script` gives the program one.
fn on_a_terminal(variable: (&str, &str)) -> String {
    let (address, asked) = node("200 OK", r#"{"verdict":"served","stored":true}"#);
    let program = env!("CARGO_BIN_EXE_csu-edge");
    let line = format!("'{program}' explain GET /x --control {address}");
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env("TERM", "xterm")
        .env(variable.0, variable.1)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    asked.join().unwrap();
    let (code, stdout, stderr) = outcome(output);
    assert_eq!((code, stderr.as_str()), (0, ""));
    stdout
}

#[test]
fn a_terminal_gets_the_verdict_in_bold_unless_its_user_wants_none() {
    let bold = "\u{1b}[1mserved\u{1b}[0m";
    assert!(on_a_terminal(("NO_COLOR", "")).contains(bold));
    for plain in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let told = on_a_terminal(plain);
        assert!(!told.contains('\u{1b}') && told.contains("served\r\n\r\nStored  yes"), "{told:?}");
    }
}

#[test]
fn every_command_teaches_by_examples() {
    for command in ["serve", "check", "demo", "explain", "purge", "completions"] {
        let (code, stdout, stderr) = run(&[command, "--help"]);
        assert_eq!((code, stderr.as_str()), (0, ""));
        let example = format!("\n  csu-edge {command}");
        assert!(stdout.contains("Example") && stdout.contains(&example), "{stdout}");
    }
    let (_, explain, _) = run(&["explain", "--help"]);
    assert!(explain.contains("[env: CSU_EDGE_CONTROL=]"), "{explain}");
}

#[test]
fn shells_complete_commands_and_options() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, stdout, stderr) = run(&["completions", shell]);
        assert_eq!((code, stderr.as_str()), (0, ""), "{shell}");
        for word in ["explain", "purge", "wait-for-fleet", "completions"] {
            assert!(stdout.contains(word), "{shell}: {word}");
        }
    }
    let complete = |words: &[&str]| {
        let (_, script, _) = run(&["completions", "bash"]);
        let last = words.len() - 1;
        let ask = format!(
            "{script}\nCOMP_WORDS=({}); COMP_CWORD={last}\n\
             _csu__edge csu-edge \"${{COMP_WORDS[{last}]}}\" \"${{COMP_WORDS[{last}-1]}}\"\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.join(" ")
        );
        let output = Command::new("bash").args(["-c", &ask]).output().unwrap();
        let (code, stdout, stderr) = outcome(output);
        assert_eq!((code, stderr.as_str()), (0, ""));
        stdout
    };
    assert_eq!(complete(&["csu-edge", "pu"]), "purge\n");
    assert_eq!(complete(&["csu-edge", "purge", "--wait"]), "--wait-for-fleet\n");
    let (code, _, stderr) = run(&["completions", "csh"]);
    assert_eq!(code, 64);
    assert!(stderr.contains("bash") && stderr.contains("zsh"), "{stderr}");
}
