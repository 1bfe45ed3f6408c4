//! A day of calls on many trunks, against a model of Kubernetes, with the operator's own decisions: what happens to the calls, and what
//! it costs in pods. `cargo run --release -p sofia-operator --example simulate -- --help` says what can be changed.

use std::num::NonZero;
use std::time::Instant;

use clap::Parser;
use fleet_simulation::{Day, run};

/// A day of calls on many trunks, against a model of Kubernetes.
#[derive(Parser)]
struct Arguments {
    /// Number of trunks.
    #[arg(long, default_value_t = 1000)]
    trunks: usize,
    /// Calls at a time at the busiest hour, over all trunks.
    #[arg(long, default_value_t = 100_000.0)]
    calls: f64,
    /// What makes the day this one; the same seed gives the same day.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Processors to use; all when left out.
    #[arg(long)]
    threads: Option<usize>,
}

fn main() {
    let Arguments { trunks, calls: peak_calls, seed, threads } = Arguments::parse();
    let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get));
    let begun = Instant::now();
    let picture = run(&Day { trunks, peak_calls, seed, threads });
    println!("{trunks} trunks, {peak_calls} calls at a time at the busiest hour, seed {seed}: one day\n");
    print!("{picture}");
    println!("the day took               {:>12.1}   seconds on {threads} threads", begun.elapsed().as_secs_f64());
}
