//! `sofia-operator`: looks after the VoiceTrunks of a cluster. Reads its settings and runs one replica.

mod replica;

use std::process::ExitCode;

use clap::Parser as _;
use sofia_operator::args::{Arguments, EX_CONFIG, Settings};
use sofia_operator::telemetry;

fn main() -> ExitCode {
    let settings = match settings() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    if let Err(error) = telemetry::init(&settings.log_filter, settings.json_logs) {
        eprintln!("sofia-operator: {error}");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(threads()).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no threads to run on");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(replica::run(settings));
    // Requests that hang on a dead peer do not keep the process.
    runtime.shutdown_background();
    ended.unwrap_or_else(|error| {
        tracing::error!(error = format!("{error:#}"), "the operator ends");
        ExitCode::FAILURE
    })
}

/// The operator waits more than it works. Each thread has memory of its own, which on a large node would be most of what it takes.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(2))
}

fn settings() -> Result<Settings, ExitCode> {
    let arguments = Arguments::try_parse().map_err(|told| {
        let wrong = told.use_stderr();
        // Nobody reads a closed standard output.
        let _ = told.print();
        if wrong { ExitCode::from(EX_CONFIG) } else { ExitCode::SUCCESS }
    })?;
    arguments.check().map_err(|wrong| {
        eprintln!("sofia-operator: {wrong}");
        ExitCode::from(EX_CONFIG)
    })
}
