//! What a process costs, as the kernel tells it.

use std::time::{Duration, Instant};

/// A process as the kernel sees it.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// When it was looked at.
    pub at: Instant,
    /// Processor time so far.
    pub cpu: Duration,
    /// Resident memory.
    pub rss_bytes: u64,
    /// Open files and sockets.
    pub descriptors: usize,
}

impl Usage {
    /// The process of that id.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn of(id: u32) -> Self {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("the process runs");
        // Behind the name in parentheses: utime and stime are the 14th and 15th field of all, in ticks of 10 ms.
        let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("the process runs");
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        let kilobytes: u64 = rss.trim().trim_end_matches(" kB").parse().expect("a number");
        Self {
            at: Instant::now(),
            cpu: Duration::from_millis(ticks * 10),
            rss_bytes: kilobytes << 10,
            descriptors: std::fs::read_dir(format!("/proc/{id}/fd")).expect("the process runs").count(),
        }
    }
}
