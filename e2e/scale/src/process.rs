//! What a process takes from the machine, by the kernel's own account. Linux only.

use std::{
    fs::read_to_string,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinHandle;

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Resident.
    pub(crate) rss: u64,
    /// Resident, with what is shared divided among those who share it.
    pub(crate) pss: u64,
    /// Most that was resident since the process started.
    pub(crate) peak_rss: u64,
}

impl Memory {
    /// Of a process that runs; see proc(5).
    pub(crate) fn of(id: u32) -> io::Result<Self> {
        let status = read_to_string(format!("/proc/{id}/status"))?;
        let sums = read_to_string(format!("/proc/{id}/smaps_rollup"))?;
        Ok(Self { rss: line(&status, "VmRSS:"), pss: line(&sums, "Pss:"), peak_rss: line(&status, "VmHWM:") })
    }
}

/// The value of a line such as `VmRSS:   1234 kB`, in bytes.
fn line(table: &str, name: &str) -> u64 {
    let value = table.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    value.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() << 10
}

/// Processor time of all threads of a process since it started.
pub(crate) fn cpu(id: u32) -> io::Result<Duration> {
    let stat = read_to_string(format!("/proc/{id}/stat"))?;
    // The name stands in parentheses and may hold blanks itself; utime and stime are the 14th and 15th field of all, in ticks of 10 ms.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    Ok(fields.skip(11).take(2).map(|ticks| Duration::from_millis(ticks.parse::<u64>().unwrap_or_default() * 10)).sum())
}

/// Reads a process's proportional memory again and again and keeps the greatest value.
pub(crate) struct PeakOfPss {
    peak: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl PeakOfPss {
    /// Begins.
    pub(crate) fn of(id: u32) -> Self {
        let peak = Arc::new(AtomicU64::new(0));
        let kept = Arc::clone(&peak);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(500));
            loop {
                ticks.tick().await;
                let Ok(memory) = Memory::of(id) else { return };
                kept.fetch_max(memory.pss, Ordering::Relaxed);
            }
        });
        Self { peak, task }
    }

    /// The greatest value so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

impl Drop for PeakOfPss {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a reader must know of the machine to compare figures.
pub(crate) fn machine() -> String {
    let info = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).and_then(|line| line.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores", model.map_or("unknown processor", |(_, model)| model.trim()))
}

/// Processes that want to run, a minute's mean.
pub(crate) fn load_average() -> String {
    let line = read_to_string("/proc/loadavg").unwrap_or_default();
    line.split(' ').next().unwrap_or("?").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kilobytes_become_bytes() {
        assert_eq!(line("Name: x\nVmHWM:\t   1234 kB\nVmRSS:\t 7 kB\n", "VmRSS:"), 7 * 1024);
        assert_eq!(line("Name: x\n", "VmRSS:"), 0);
    }

    #[test]
    fn this_process_has_memory_and_has_used_a_processor_for_less_than_a_year() {
        let id = std::process::id();
        let memory = Memory::of(id).expect("it runs");
        assert!(memory.pss > 0 && memory.peak_rss >= memory.pss);
        assert!(cpu(id).expect("it runs") < Duration::from_hours(8760));
    }
}
