//! `bench`: measures the parts beside others' parts and the whole process under load, and prints one table of goals. It tells,
//! and fails at nothing but at being unable to measure: no figure makes its exit status.

mod ears;
mod kernels;
mod machine;
mod peers;
mod table;
mod timing;
mod whole;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Each part of the packet path, beside others.
    Kernels,
    /// Turns in noise, babble, music and tones, beside others' voice activity detectors.
    Ears,
    /// The data plane's process, with calls that talk.
    Whole,
    /// All of these.
    All,
    /// Of the whole, only what keeps new calls away: too many callers, neighbours on the core, more calls than the core carries.
    Admission,
    /// Nothing else: a long run at a load that is to be held for good, with a verdict.
    Soak,
}

/// Measures Sofia Phone's data plane against its goals, beside others on the same audio.
#[derive(Parser)]
struct Arguments {
    /// What to measure.
    #[arg(value_enum, default_value = "all")]
    part: Part,
    /// The data plane's binary, built for release.
    #[arg(long, default_value = "target/release/sofia-dataplane")]
    dataplane: PathBuf,
    /// Where `bench.md` goes.
    #[arg(long, default_value = "bench-out")]
    out: PathBuf,
    /// The day, for the heading.
    #[arg(long, default_value = "")]
    date: String,
    /// Half the time for each figure, with wider error.
    #[arg(long)]
    quick: bool,
    /// How many calls at a time, one run each.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 250, 500, 1000])]
    calls: Vec<usize>,
    /// New calls a second, one run each; none with 0.
    #[arg(long, value_delimiter = ',', default_values_t = [50, 100, 200])]
    rates: Vec<usize>,
    /// Permits of the pod to which half as many callers again come.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..))]
    permits: u32,
    /// Callers at a pod with permits for all of them: more than the core carries; left out with 0.
    #[arg(long, default_value_t = 1000)]
    saturating: usize,
    /// Calls beside which others want the data plane's core; left out with 0.
    #[arg(long, default_value_t = 100)]
    beside_neighbour: usize,
    /// `soak`: how long, in minutes.
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// `soak`: calls that a core of this machine holds, as measured; 70 % of them are up at a time.
    #[arg(long, default_value_t = 250)]
    capacity: usize,
}

/// The share of the capacity at which a long run is.
const SOAK_SHARE: f64 = 0.7;

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let cores = machine::cores();
    let machine = machine::describe();
    // The data plane's core is the first, everything else is done on the last.
    let (own, others) = (cores.first().copied().unwrap_or(0), cores.last().copied().unwrap_or(0));
    machine::pin(others).context("cannot stay on one core")?;
    if arguments.part == Part::Soak {
        return soak(arguments, own, &machine);
    }
    let mut report = table::Report::default();
    let date = if arguments.date.is_empty() { String::new() } else { format!("{}; ", arguments.date) };
    report.circumstances.push(format!("{date}{machine}"));
    report.circumstances.push(format!("load average of the machine at the start: {}", machine::load_average()));
    let started = std::time::Instant::now();
    if matches!(arguments.part, Part::Kernels | Part::All) {
        let effort = Duration::from_millis(if arguments.quick { 150 } else { 400 });
        let mut stopwatch = timing::Stopwatch::new(arguments.out.join("criterion"), effort);
        kernels::measure(&mut report, &mut stopwatch)?;
    }
    if matches!(arguments.part, Part::Ears | Part::All) {
        ears::measure(&mut report, if arguments.quick { 12 } else { 48 })?;
    }
    if matches!(arguments.part, Part::Whole | Part::All | Part::Admission) {
        if own == others {
            report.circumstances.push("one core only: the load and the data plane share it, so both are slower".into());
        }
        let run = whole::Run {
            binary: arguments.dataplane,
            core: own,
            window: Duration::from_secs(if arguments.quick { 30 } else { 60 }),
            calls: arguments.calls,
            rates: arguments.rates.into_iter().filter(|rate| *rate > 0).collect(),
            permits: arguments.permits as usize,
            beside_neighbour: arguments.beside_neighbour,
            saturating: arguments.saturating,
            admission_only: arguments.part == Part::Admission,
        };
        whole::measure(&mut report, &run)?;
    }
    report.circumstances.push(format!(
        "load average at the end: {}; took {:.0} s",
        machine::load_average(),
        started.elapsed().as_secs_f64()
    ));
    std::fs::create_dir_all(&arguments.out).with_context(|| arguments.out.display().to_string())?;
    let file = arguments.out.join("bench.md");
    std::fs::write(&file, report.markdown()).with_context(|| file.display().to_string())?;
    print!("{}", report.text());
    println!("\n{}", file.display());
    Ok(ExitCode::SUCCESS)
}

/// Unlike figures, a long run has a verdict, and the exit status is it.
fn soak(arguments: Arguments, core: usize, machine: &str) -> Result<ExitCode> {
    let soak = whole::soak::Soak {
        binary: arguments.dataplane,
        core,
        length: Duration::try_from_secs_f64(arguments.minutes * 60.0).context("--minutes")?,
        calls: ((arguments.capacity as f64 * SOAK_SHARE) as usize).max(1),
    };
    println!(
        "{machine}; {} calls at a time ({:.0} % of {}), {} minutes; load average {}",
        soak.calls,
        SOAK_SHARE * 100.0,
        arguments.capacity,
        arguments.minutes,
        machine::load_average()
    );
    Ok(if whole::soak::run(&soak)? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
