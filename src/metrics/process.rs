//! What the process takes of the machine, by the names that Prometheus' clients agree on:
//! <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>.

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Counter, IntGauge};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of a second.
const NANOS: f64 = 1e9;

/// What is so now, without what the system does not tell.
pub(super) fn families() -> Result<Vec<MetricFamily>, prometheus::Error> {
    let used = Counter::new("process_cpu_seconds_total", "CPU time of the process, in seconds")?;
    used.inc_by(cpu_seconds());
    let mut families = used.collect();
    for (name, help, found) in [
        ("process_open_fds", "Files, sockets and the like that are open", open_files()),
        ("process_max_fds", "How many of them may be", most_files()),
        (
            "process_resident_memory_bytes",
            "Memory of the process that is resident, as the kernel counts it",
            resident_bytes(),
        ),
    ] {
        let Some(found) = found.and_then(|found| i64::try_from(found).ok()) else { continue };
        let gauge = IntGauge::new(name, help)?;
        gauge.set(found);
        families.extend(gauge.collect());
    }
    Ok(families)
}

fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / NANOS
}

/// proc_pid_fd(5): since Linux 6.2 the folder's size is how many there are; before, they are counted.
fn open_files() -> Option<u64> {
    const FOLDER: &str = "/proc/self/fd";
    match std::fs::metadata(FOLDER).ok()?.len() {
        // One of them is what reads the folder.
        0 => u64::try_from(std::fs::read_dir(FOLDER).ok()?.count()).ok()?.checked_sub(1),
        open => Some(open),
    }
}

/// `None` where there is no limit.
fn most_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

fn resident_bytes() -> Option<u64> {
    read_resident(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// From the lines of proc_pid_status(5).
fn read_resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn what_is_resident_is_read_in_bytes_and_nothing_is_made_up() {
        let status = "Name:\tcsu-edge\nVmHWM:\t   13000 kB\nVmRSS:\t   12632 kB\nThreads:\t5\n";
        assert_eq!(read_resident(status), Some(12_632 * 1_024));
        for strange in ["", "VmHWM:\t1 kB\n", "VmRSS:\tmuch kB\n", "VmRSS:\t1 MB\n", "VmRSS:\n"] {
            assert_eq!(read_resident(strange), None, "{strange:?}");
        }
    }

    #[test]
    fn open_files_and_cpu_time_grow_with_what_is_opened_and_done() {
        let (files, seconds) = (open_files().unwrap(), cpu_seconds());
        // More than other tests of this process open or close meanwhile.
        let held: Vec<_> = (0..200).map(|_| File::open("/dev/null").unwrap()).collect();
        let now = open_files().unwrap();
        assert!(now >= files + 100, "{files}, then {now} with {} more", held.len());
        assert!(most_files().unwrap() >= now);
        assert!(cpu_seconds() > seconds);
    }
}
