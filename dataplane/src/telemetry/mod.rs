//! The log: one line an event, to standard output and to a file that is turned over. Never blocks a call: lines that can't be
//! written in time are dropped and counted.

mod file;
mod format;
mod number;
mod writer;

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::settings::Settings;
pub use file::{FileLimits, RotatingFile};
use format::OneLine;
pub use number::{mask_number, shown_number};
pub use writer::{DroppedLines, LineSink, LogQueue, QueueWriter};

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter directives don't parse; [`Settings`] never has such.
    #[error("the log filter is not understood: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Someone set up a log before.
    #[error("the process has a log already: {0}")]
    Taken(#[from] TryInitError),
    /// The thread that writes the log could not be started.
    #[error("no thread for the log: {0}")]
    Thread(#[from] std::io::Error),
}

/// The running log. Dropping it writes what is queued, for a second at most.
#[must_use = "the log ends when this is dropped"]
pub struct Telemetry {
    queues: Vec<LogQueue>,
}

impl Telemetry {
    /// Writes what is queued, waiting a second at most for each output.
    pub fn flush(&self) {
        for queue in &self.queues {
            queue.flush();
        }
    }
}

/// The process's count of dropped lines, once it has a log.
static DROPPED: OnceLock<Arc<DroppedLines>> = OnceLock::new();

/// Log lines that were dropped since the process's log was started; 0 without one.
pub fn dropped_lines() -> u64 {
    DROPPED.get().map_or(0, |dropped| dropped.count())
}

/// Starts the process's log as the settings say, and logs panics too: a panic is a bug, and its place belongs in the log.
///
/// # Errors
/// See [`TelemetryError`]. A log file that can't be written is none: that is said on standard error, and tried again.
pub fn init(settings: &Settings) -> Result<Telemetry, TelemetryError> {
    let dropped = Arc::new(DroppedLines::default());
    let mut queues = vec![LogQueue::start("log-stdout", StandardOutput, Arc::clone(&dropped))?];
    let terminal = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut layers = vec![layer(settings.json_logs, terminal, queues[0].writer())];
    if let Some(path) = &settings.log_file {
        let queue = LogQueue::start("log-file", RotatingFile::new(path, FileLimits::default()), Arc::clone(&dropped))?;
        layers.push(layer(settings.json_logs, false, queue.writer()));
        queues.push(queue);
    }
    let filter = EnvFilter::try_new(&settings.log_filter)?;
    tracing_subscriber::registry().with(layers).with(filter).try_init()?;
    log_panics();
    DROPPED.get_or_init(|| dropped);
    Ok(Telemetry { queues })
}

/// One output of the log.
fn layer(json: bool, colour: bool, writer: QueueWriter) -> Box<dyn Layer<Registry> + Send + Sync> {
    if json {
        fmt::layer().json().event_format(OneLine::json()).with_writer(writer).boxed()
    } else {
        fmt::layer().with_ansi(false).event_format(OneLine::text(colour)).with_writer(writer).boxed()
    }
}

fn log_panics() {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        tracing::error!(thread = thread.name().unwrap_or("unnamed"), "{panic}");
        previous(panic);
    }));
}

/// Standard output as a sink of lines.
struct StandardOutput;

impl LineSink for StandardOutput {
    fn write_line(&mut self, line: &[u8], _now: SystemTime) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(line)?;
        out.flush()
    }
}
