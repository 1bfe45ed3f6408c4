//! Carries log lines from whoever logs to a thread that writes them. The way is bounded: when the output does not keep up,
//! lines are dropped and counted, and who logs never waits.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, SystemTime};

use tracing_subscriber::fmt::MakeWriter;

/// Most lines in the queue.
const QUEUE_LINES: usize = 8192;
/// Most bytes in the queue: lines differ in length, and the pod's memory is what counts.
const QUEUE_BYTES: usize = 8 * 1024 * 1024;
/// Longest wait for the queue to be written out when the process ends.
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// Where lines end up.
pub trait LineSink: Send + 'static {
    /// Writes a line, its line end included.
    ///
    /// # Errors
    /// When the line is lost; the next one is tried all the same.
    fn write_line(&mut self, line: &[u8], now: SystemTime) -> io::Result<()>;
}

/// How many lines did not make it into the log.
#[derive(Debug, Default)]
pub struct DroppedLines(AtomicU64);

impl DroppedLines {
    /// The count since the start.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

enum Job {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// The queue before one output, and the thread behind it, which ends when all writers are gone.
pub struct LogQueue {
    writer: QueueWriter,
}

impl LogQueue {
    /// Starts a thread of that name that writes into `sink`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(name: &'static str, sink: impl LineSink, dropped: Arc<DroppedLines>) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE_LINES);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let writer = QueueWriter { jobs, queued_bytes: Arc::clone(&queued_bytes), dropped: Arc::clone(&dropped) };
        let run = move || write_lines(name, &queue, sink, &queued_bytes, &dropped);
        std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Self { writer })
    }

    /// A writer for a `tracing_subscriber` layer.
    pub fn writer(&self) -> QueueWriter {
        self.writer.clone()
    }

    /// Waits until what is queued has been written, a second at most.
    pub fn flush(&self) {
        self.flush_within(FLUSH_TIME);
    }

    fn flush_within(&self, time: Duration) {
        let (done, written) = sync_channel(1);
        if self.writer.jobs.try_send(Job::Flush(done)).is_ok() {
            let _ = written.recv_timeout(time);
        }
    }
}

impl Drop for LogQueue {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Puts lines into the queue; each call of `write` is one line, as `tracing_subscriber` does it.
#[derive(Clone)]
pub struct QueueWriter {
    jobs: SyncSender<Job>,
    queued_bytes: Arc<AtomicUsize>,
    dropped: Arc<DroppedLines>,
}

impl io::Write for QueueWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let queued = self.queued_bytes.fetch_add(line.len(), Ordering::Relaxed);
        let lost = queued + line.len() > QUEUE_BYTES
            || matches!(
                self.jobs.try_send(Job::Line(line.to_vec())),
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_))
            );
        if lost {
            self.queued_bytes.fetch_sub(line.len(), Ordering::Relaxed);
            self.dropped.add();
        }
        // A lost line is counted, not reported: whoever logs can't do anything about it.
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for QueueWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn write_lines(
    name: &str,
    queue: &Receiver<Job>,
    mut sink: impl LineSink,
    queued_bytes: &AtomicUsize,
    dropped: &DroppedLines,
) {
    let mut failing = false;
    while let Ok(job) = queue.recv() {
        match job {
            Job::Line(line) => {
                queued_bytes.fetch_sub(line.len(), Ordering::Relaxed);
                match sink.write_line(&line, SystemTime::now()) {
                    Ok(()) => failing = false,
                    Err(error) => {
                        dropped.add();
                        // Once a failure, not once a line: the log of a full disk shall not fill another one.
                        if !std::mem::replace(&mut failing, true) {
                            say_on_stderr(&format!("{name}: lines are lost: {error}\n"));
                        }
                    }
                }
            }
            Job::Flush(done) => {
                let _ = done.try_send(());
            }
        }
    }
}

/// `eprintln!` panics when standard error is gone.
fn say_on_stderr(text: &str) {
    let _ = io::Write::write_all(&mut io::stderr(), text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io::Write as _;
    use std::sync::Mutex;

    /// However busy the machine is.
    const PATIENCE: Duration = Duration::from_secs(600);

    #[derive(Clone, Default)]
    struct Collected(Arc<Mutex<Vec<Vec<u8>>>>);

    impl LineSink for Collected {
        fn write_line(&mut self, line: &[u8], _now: SystemTime) -> io::Result<()> {
            self.0.lock().expect("no test panics in here").push(line.to_vec());
            Ok(())
        }
    }

    /// Writes nothing until it is let.
    struct Stuck(Receiver<()>);

    impl LineSink for Stuck {
        fn write_line(&mut self, _line: &[u8], _now: SystemTime) -> io::Result<()> {
            let _ = self.0.recv();
            Ok(())
        }
    }

    struct FullDisk;

    impl LineSink for FullDisk {
        fn write_line(&mut self, _line: &[u8], _now: SystemTime) -> io::Result<()> {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }
    }

    #[test]
    fn lines_arrive_in_their_order_before_a_flush_returns() {
        let (sink, dropped) = (Collected::default(), Arc::new(DroppedLines::default()));
        let queue = LogQueue::start("test", sink.clone(), Arc::clone(&dropped)).expect("a thread");
        let mut writer = queue.writer();
        for n in 0..100 {
            writeln!(writer, "{n}").expect("writing never fails");
        }
        queue.flush_within(PATIENCE);
        let lines = sink.0.lock().expect("no test panics in here").concat();
        let expected: String = (0..100).map(|n| format!("{n}\n")).collect();
        assert_eq!(String::from_utf8_lossy(&lines), expected);
        assert_eq!(dropped.count(), 0);
    }

    #[test]
    fn an_output_that_is_stuck_costs_lines_and_never_holds_up_who_logs() {
        let (let_go, stuck) = sync_channel(0);
        let dropped = Arc::new(DroppedLines::default());
        let queue = LogQueue::start("test", Stuck(stuck), Arc::clone(&dropped)).expect("a thread");
        let mut writer = queue.writer();
        for _ in 0..QUEUE_LINES + 100 {
            writer.write_all(b"x\n").expect("writing never fails");
        }
        // One line may be in the stuck thread's hands.
        assert!((99..=100).contains(&dropped.count()), "{}", dropped.count());
        drop(let_go);
    }

    #[test]
    fn the_queue_is_bounded_in_bytes_too() {
        let (let_go, stuck) = sync_channel(0);
        let dropped = Arc::new(DroppedLines::default());
        let queue = LogQueue::start("test", Stuck(stuck), Arc::clone(&dropped)).expect("a thread");
        let mut writer = queue.writer();
        let megabyte = vec![b'x'; 1024 * 1024];
        for _ in 0..20 {
            writer.write_all(&megabyte).expect("writing never fails");
        }
        assert!((11..=12).contains(&dropped.count()), "{}", dropped.count());
        drop(let_go);
    }

    #[test]
    fn a_full_disk_is_counted_and_survived() {
        let dropped = Arc::new(DroppedLines::default());
        let queue = LogQueue::start("test", FullDisk, Arc::clone(&dropped)).expect("a thread");
        for _ in 0..5 {
            queue.writer().write_all(b"x\n").expect("writing never fails");
        }
        queue.flush_within(PATIENCE);
        assert_eq!(dropped.count(), 5);
    }
}
