//! What it is measured on.

use std::process::Command;

use csu_edge::clock::Clock;

fn first_line(program: &str) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.ok().and_then(|text| Some(text.lines().next()?.to_owned())).unwrap_or_default()
}

/// The machine, and the versions of the programs that take part.
pub(crate) fn tell_machine(programs: &[&str]) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let models = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = models.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(": ")).map_or("unknown", |(_, name)| name);
    println!("{}, {cores} cores of {model}", Clock::system().now());
    for program in programs {
        println!("{}", first_line(program));
    }
    println!("{}, csu-edge {}", first_line("rustc"), env!("CARGO_PKG_VERSION"));
}

/// How busy the machine is tells how much a figure is worth.
pub(crate) fn tell_load() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load average {}", load.split(' ').next().unwrap_or_default());
}
