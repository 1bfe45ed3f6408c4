//! `sofia-dataplane`: a data-plane pod of Sofia Phone, configured by its environment.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use sofia_dataplane::settings::{Settings, markdown_table};
use sofia_dataplane::telemetry;

/// Calls come and go by the hundred, on several threads: it takes less time and memory for that than the C library's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Exit status for settings that can't be used: `EX_CONFIG` of sysexits.h.
const EX_CONFIG: u8 = 78;

/// Holds telephone calls that FreeSWITCH brings, and lets a speech backend answer them. Configured by environment
/// variables that begin with SOFIA_PHONE_, and by a file .env in the working directory.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Read the settings, say what is wrong with them, and end.
    #[arg(long)]
    check: bool,
    /// Print the table of all settings as Markdown, and end.
    #[arg(long)]
    settings: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.settings {
        print!("{}", markdown_table());
        return ExitCode::SUCCESS;
    }
    let settings = match Settings::load() {
        Ok(settings) => settings,
        Err(errors) => {
            eprintln!("sofia-dataplane: {errors}");
            return ExitCode::from(EX_CONFIG);
        }
    };
    if arguments.check {
        for warning in &settings.warnings {
            println!("warning: {warning}");
        }
        println!("the settings can be used");
        return ExitCode::SUCCESS;
    }
    let telemetry = match telemetry::init(&settings) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("sofia-dataplane: {error}");
            return ExitCode::FAILURE;
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("sofia-dataplane: expected threads for the call tasks, came: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(sofia_dataplane::run_as_set(settings));
    // Tasks that hang on a dead peer do not keep the process.
    runtime.shutdown_background();
    if let Err(error) = &outcome {
        tracing::error!(%error, "the pod could not run");
        telemetry.flush();
        eprintln!("sofia-dataplane: {error}");
        return ExitCode::FAILURE;
    }
    telemetry.flush();
    ExitCode::SUCCESS
}
