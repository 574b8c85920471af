//! What a process has used, by Linux' `/proc`. Elsewhere nothing is known.

use std::fs;

/// Ticks in a second of `/proc/PID/stat`: Linux tells user space 100 on every machine (proc_pid_stat(5), `USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of CPU, in user and kernel mode.
pub(super) fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before the last parenthesis may hold blanks.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

/// Has the most memory that it ever held be what it holds now (proc_pid_clear_refs(5)).
pub(super) fn forget_peak(pid: u32) {
    if let Err(error) = fs::write(format!("/proc/{pid}/clear_refs"), "5") {
        tracing::debug!(%error, "the peak of memory is that of all its life");
    }
}

/// The most memory it ever held, in MB of 1,000,000 bytes.
pub(super) fn peak_memory_mb(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}
