//! What the process takes from the machine. Reads the kernel's figures when asked; runs nothing of its own.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// Shortest stretch over which a share is told: two scrapers at once would otherwise make noise of it.
const SHORTEST: Duration = Duration::from_millis(500);

/// Remembers the last scrape, to tell the processor's share since.
pub(super) struct ProcessFigures {
    at: Instant,
    cpu_time: Duration,
    percent: f64,
}

impl ProcessFigures {
    pub(super) fn new(now: Instant) -> Self {
        Self { at: now, cpu_time: cpu_time(), percent: 0.0 }
    }

    /// Processor time since the last time this was asked, in percent of one core.
    pub(super) fn cpu_percent(&mut self, now: Instant) -> f64 {
        self.advance(now, cpu_time())
    }

    fn advance(&mut self, now: Instant, cpu_time: Duration) -> f64 {
        let passed = now.saturating_duration_since(self.at);
        if passed >= SHORTEST {
            self.percent = 100.0 * cpu_time.saturating_sub(self.cpu_time).as_secs_f64() / passed.as_secs_f64();
            self.at = now;
            self.cpu_time = cpu_time;
        }
        self.percent
    }
}

/// Processor time of all threads since the process started. To the nanosecond, where `/proc/self/stat` has ticks of 10 ms.
pub(crate) fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Resident memory; 0 where the system does not tell.
pub(super) fn resident_bytes() -> u64 {
    std::fs::read_to_string("/proc/self/status").ok().and_then(|status| resident_of(&status)).unwrap_or(0)
}

/// `VmRSS:     1234 kB` of proc(5).
fn resident_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
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

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_and_has_run() {
        assert!(resident_bytes() > 100_000);
        assert!(cpu_time() > Duration::ZERO);
    }

    #[test]
    fn the_processors_share_is_that_since_the_last_scrape() {
        let start = Instant::now();
        let mut figures = ProcessFigures { at: start, cpu_time: Duration::from_secs(5), percent: 0.0 };
        let later = start + Duration::from_secs(10);
        assert_eq!(figures.advance(later, Duration::from_secs(10)), 50.0);
        let at_once = later + Duration::from_millis(1);
        assert_eq!(figures.advance(at_once, Duration::from_secs(11)), 50.0, "too soon to tell anew");
        assert_eq!(figures.advance(later + Duration::from_secs(1), Duration::from_secs(12)), 200.0, "two cores");
    }
}
