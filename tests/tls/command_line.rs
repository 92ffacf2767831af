//! The command line, of a node whose control listener speaks TLS.

use std::path::Path;
use std::process::{Command, Output};

use super::authority::{Authority, Folder};
use super::origin;
use super::support::node::Running;

async fn csu_edge(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_csu-edge"));
    command.args(arguments).env_clear();
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn a_node_is_asked_over_tls_with_a_certificate_to_show() {
    let (servers, operators) = (Authority::new(), Authority::new());
    let folder = Folder::with(&servers.certify("localhost"));
    let own = Folder::with(&operators.certify("operator"));
    folder.write("servers.pem", &servers.pem());
    let origin = origin().await;
    let running = Running::start(&origin.service_root(), |config| {
        config.tls.control = Some(folder.settings_for_clients_of(&operators));
    })
    .await;
    let port = running.node.addresses().control.port();
    let (address, by_number) = (format!("https://localhost:{port}"), format!("127.0.0.1:{port}"));
    let (authorities, cert, key) =
        (folder.path("servers.pem"), own.path("certificate.pem"), own.path("key.pem"));
    let whole = [
        ["--control", &address],
        ["--cacert", text(&authorities)],
        ["--cert", text(&cert)],
        ["--key", text(&key)],
    ];
    let asked = async |command: &[&str], options: &[[&str; 2]]| {
        csu_edge(&[command, options.concat().as_slice()].concat()).await
    };

    for (command, told) in [
        (&["ready"][..], "Ready    yes"),
        (&["purge", "price/*"], "Purged as number 1"),
        (&["explain", "GET", "/Commerce/GetChannels()?api-version=7.3"], "fetched: "),
    ] {
        let output = asked(command, &whole).await;
        assert!(output.status.success(), "{output:?}");
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(shown.starts_with(told), "{shown}");
    }

    let in_the_clear = ["--control", by_number.as_str()];
    for (options, code, why) in [
        (&[in_the_clear][..], 69, "no node answers at 127.0.0.1:"),
        (&whole[..1], 69, "invalid peer certificate: UnknownIssuer"),
        (&whole[..2], 69, "no node answers at https://localhost:"),
        (&[whole[0], ["--cacert", text(&key)]], 64, "it holds no certificate"),
        (&[whole[0], ["--cacert", "nowhere.pem"]], 64, "nowhere.pem cannot be used"),
        (&[whole[0], whole[1], ["--cert", text(&key)], whole[3]], 64, "cannot be used"),
        (&[whole[0], whole[1], whole[2], ["--key", text(&cert)]], 64, "cannot be used"),
        (&whole[..3], 64, "--key <FILE>"),
    ] {
        let output = asked(&["ready"], options).await;
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.contains(why), "{told}");
    }
}
