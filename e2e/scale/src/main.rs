//! The operator with many VoiceTrunks on a real API server: how long it takes, what it asks, what it holds. `run.sh` gives it a
//! network and a process table of its own; README.md says what is real and what is simulated. Judges one thing only: that nothing
//! is written while nothing changes.

mod audit;
mod chart;
mod control_plane;
mod kubelet;
mod operator;
mod phases;
mod process;
// The bench has a workspace of its own; its table of goals is the same one.
#[path = "../../bench/src/table.rs"]
mod table;
mod trunks;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// Measures the operator with many VoiceTrunks on a real API server. Started by run.sh.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// Folder for everything that is written; gone afterwards.
    #[arg(long)]
    place: PathBuf,
    /// The operator's program.
    #[arg(long)]
    operator: PathBuf,
    /// Folder with kube-apiserver and helm.
    #[arg(long)]
    tools: PathBuf,
    /// The chart whose roles the operator gets.
    #[arg(long)]
    chart: PathBuf,
    /// VoiceTrunks.
    #[arg(long, default_value_t = 1000)]
    trunks: usize,
    /// Namespaces that they are in.
    #[arg(long, default_value_t = 50)]
    namespaces: usize,
    /// Seconds that nothing happens.
    #[arg(long, default_value_t = 60)]
    rest: u64,
    /// Changes one after the other.
    #[arg(long, default_value_t = 40)]
    changes: usize,
    /// Changes at once.
    #[arg(long, default_value_t = 200)]
    burst: usize,
    /// Also write the report to this file, as Markdown.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Copy the operator's log to this file at the end.
    #[arg(long)]
    log: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    // As the first process of its table it gets no default action for any signal.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::select! {
        done = phases::run(&arguments) => {
            if let Some(log) = &arguments.log {
                let _ = std::fs::copy(arguments.place.join("operator.log"), log);
            }
            let (report, still) = done?;
            print!("{}", report.text());
            if let Some(out) = &arguments.out {
                std::fs::write(out, report.markdown())?;
            }
            Ok(if still { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        _ = interrupt.recv() => Ok(ExitCode::from(130)),
        _ = terminate.recv() => Ok(ExitCode::from(143)),
    }
}
