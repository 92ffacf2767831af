//! How much of the process is in memory, as Linux tells it.

/// Bytes of this process that are resident; nothing where no `/proc` tells.
pub(super) fn resident_bytes() -> Option<i64> {
    read(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// From the lines of proc_pid_status(5).
fn read(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_resident_is_read_in_bytes_and_nothing_is_made_up() {
        let status = "Name:\tcsu-edge\nVmHWM:\t   13000 kB\nVmRSS:\t   12632 kB\nThreads:\t5\n";
        assert_eq!(read(status), Some(12_632 * 1_024));
        for strange in ["", "VmHWM:\t1 kB\n", "VmRSS:\tmuch kB\n", "VmRSS:\t1 MB\n", "VmRSS:\n"] {
            assert_eq!(read(strange), None, "{strange:?}");
        }
    }
}
