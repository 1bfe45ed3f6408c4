//! The machine that measures: what it is, which core a thread runs on, what a process has used. Linux only.

use std::fs::read_to_string;
use std::io;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;

/// What a reader must know to compare figures.
pub(crate) fn describe() -> String {
    let info = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).and_then(|line| line.split_once(": "));
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{}, {} cores, Linux {}",
        model.map_or("unknown processor", |(_, model)| model.trim()),
        cores().len(),
        kernel.trim()
    )
}

/// Processes that want to run, a minute's mean: more than this bench's own means that a neighbour was measured too.
pub(crate) fn load_average() -> String {
    let line = read_to_string("/proc/loadavg").unwrap_or_default();
    line.split(' ').next().unwrap_or("?").to_owned()
}

/// The cores that this process may use.
pub(crate) fn cores() -> Vec<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
    (0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false)).collect()
}

/// How long a virtual machine's host kept `core` for others while something wanted to run there, since the machine started; zero
/// where the host does not tell.
pub(crate) fn stolen(core: usize) -> Duration {
    parse_stolen(&read_to_string("/proc/stat").unwrap_or_default(), core).unwrap_or_default()
}

/// `steal` is the eighth figure of a core's line in `/proc/stat`, see proc(5).
fn parse_stolen(stat: &str, core: usize) -> Option<Duration> {
    let name = format!("cpu{core}");
    let line = stat.lines().find_map(|line| line.strip_prefix(&name)?.strip_prefix(' '))?;
    ticks(line.split(' ').nth(7)?)
}

/// Keeps the calling thread, and the threads and processes that it starts from now on, on `core`.
pub(crate) fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// A call is two descriptors here and two in the pod, which inherits the limit.
pub(crate) fn raise_descriptor_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Where it is refused, calls fail and the table says so.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(1 << 20), hard);
    }
}

/// What a process has used so far, as the kernel accounts for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Usage {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
    pub(crate) rss_bytes: u64,
    /// Open files and sockets.
    pub(crate) descriptors: usize,
    /// CPU time by the threads' names.
    pub(crate) threads: Vec<(String, Duration)>,
}

impl Usage {
    /// Of a process that runs.
    pub(crate) fn of(id: u32) -> io::Result<Self> {
        let (_, user, system) = times(&format!("/proc/{id}/stat"))?;
        let status = read_to_string(format!("/proc/{id}/status"))?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
        let kilobytes: u64 = rss.trim().trim_end_matches(" kB").parse().unwrap_or(0);
        let mut threads = Vec::new();
        for task in std::fs::read_dir(format!("/proc/{id}/task"))?.flatten() {
            // A thread may end meanwhile.
            if let Ok((name, user, system)) = times(&task.path().join("stat").to_string_lossy()) {
                threads.push((name, user + system));
            }
        }
        let descriptors = std::fs::read_dir(format!("/proc/{id}/fd"))?.count();
        Ok(Self { user, system, rss_bytes: kilobytes << 10, descriptors, threads })
    }

    /// User and system time together.
    pub(crate) fn cpu(&self) -> Duration {
        self.user + self.system
    }

    /// CPU time of the threads whose names begin so.
    pub(crate) fn of_threads(&self, name: &str) -> Duration {
        self.threads.iter().filter(|(thread, _)| thread.starts_with(name)).map(|(_, cpu)| *cpu).sum()
    }
}

/// Name, user and system time of a `stat` file; see proc(5).
fn times(path: &str) -> io::Result<(String, Duration, Duration)> {
    let stat = read_to_string(path)?;
    parse_stat(&stat).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{path}: {stat:?}")))
}

fn parse_stat(stat: &str) -> Option<(String, Duration, Duration)> {
    // The name stands in parentheses and may hold any of them itself; utime and stime are the 14th and 15th field of all.
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
    let mut fields = rest.split_whitespace().skip(11);
    Some((name.to_owned(), ticks(fields.next()?)?, ticks(fields.next()?)?))
}

/// A time as `/proc` writes it: in ticks of 10 ms.
fn ticks(field: &str) -> Option<Duration> {
    Some(Duration::from_millis(field.parse::<u64>().ok()? * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_stand_behind_whatever_name() {
        let stat = "7 (a) b(c) S 1 7 7 0 -1 4194304 1 2 3 4 150 25 0 0 20 0 1 0 100 1 2";
        let (name, user, system) = parse_stat(stat).unwrap();
        assert_eq!((name.as_str(), user, system), ("a) b(c", Duration::from_millis(1500), Duration::from_millis(250)));
    }

    #[test]
    fn stolen_time_is_of_the_core_that_is_asked_for() {
        let stat = "cpu  1 2 3 4 5 6 7 80 0 0\ncpu1 1 2 3 4 5 6 7 30 0 0\ncpu10 1 2 3 4 5 6 7 50 0 0\nintr 1";
        assert_eq!(parse_stolen(stat, 1), Some(Duration::from_millis(300)));
        assert_eq!(parse_stolen(stat, 10), Some(Duration::from_millis(500)));
        assert_eq!(parse_stolen(stat, 0), None);
    }

    #[test]
    fn this_process_uses_memory_on_some_core() {
        assert!(Usage::of(std::process::id()).unwrap().rss_bytes > 0);
        assert!(!cores().is_empty());
    }
}
