//! The operator's log on standard output: a line an event for people, or JSON for machines. Never says anything secret:
//! what is secret has no form that can be logged.

mod format;

use std::io::IsTerminal as _;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse; checked settings never have such.
    #[error("the log filter is not understood: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Someone set up a log before.
    #[error("the process has a log already: {0}")]
    Taken(#[from] TryInitError),
}

/// Starts the process's log, and logs panics too: a panic is a bug, and its place belongs in the log.
///
/// `filter` is a level such as `info`, or directives such as `info,kube_client=debug`.
///
/// # Errors
/// See [`TelemetryError`].
pub fn init(filter: &str, json: bool) -> Result<(), TelemetryError> {
    let layer = if json {
        fmt::layer().json().flatten_event(true).boxed()
    } else {
        let terminal = std::io::stdout().is_terminal();
        let coloured = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        fmt::layer().with_ansi(false).event_format(format::OneLine::new(coloured)).boxed()
    };
    tracing_subscriber::registry().with(layer).with(checked_filter(filter)?).try_init()?;
    log_panics();
    Ok(())
}

/// The filter, if it can be used.
///
/// # Errors
/// When it does not parse.
pub fn checked_filter(filter: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    EnvFilter::try_new(filter)
}

fn log_panics() {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        tracing::error!(thread = thread.name().unwrap_or("unnamed"), "{panic}");
        previous(panic);
    }));
}
