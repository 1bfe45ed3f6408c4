//! What the process takes from the machine. Reads the kernel's tables when asked; runs nothing of its own.

use std::time::Duration;

/// Ticks a second of the times in `/proc` (`USER_HZ`): 100 on every architecture that Kubernetes runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Resident memory; 0 where the system does not tell.
pub(super) fn resident_bytes() -> u64 {
    std::fs::read_to_string("/proc/self/status").ok().and_then(|status| resident_of(&status)).unwrap_or(0)
}

/// Processor time of all threads since the process started; 0 where the system does not tell.
pub(super) fn cpu_time() -> Duration {
    std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_time_of(&stat)).unwrap_or_default()
}

/// `VmRSS:     1234 kB` of proc(5).
fn resident_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Fields 14 and 15 of proc_pid_stat(5), `utime` and `stime`; the second field is a name in parentheses that may itself
/// have blanks and parentheses.
fn cpu_time_of(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    let (user, system) = (ticks()?, ticks()?);
    Some(Duration::from_secs_f64((f64::from(user) + f64::from(system)) / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_from_the_kernels_table() {
        assert_eq!(resident_of("VmPeak:\t  200 kB\nVmRSS:\t   1234 kB\nThreads:\t3\n"), Some(1234 * 1024));
        assert_eq!(resident_of("Threads:\t3\n"), None);
        assert_eq!(resident_of("VmRSS: 99999999999999999999 kB\n"), None);
    }

    #[test]
    fn processor_time_is_that_of_user_and_system() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 2222 0 1 0 150 50 0 0 20 0 4 0 1234 1000000 500";
        assert_eq!(cpu_time_of(stat), Some(Duration::from_secs(2)));
        assert_eq!(cpu_time_of("42 (a) S 1"), None);
        assert_eq!(cpu_time_of(""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory() {
        assert!(resident_bytes() > 100_000);
    }
}
