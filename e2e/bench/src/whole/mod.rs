//! The whole: the real process on one core, callers on the other, by the numbers that goals are about.

mod callers;
mod engine;
mod figures;
mod interruption;
mod load;
mod neighbour;
mod overload;
mod report;
mod saturation;
mod setup;
pub(crate) mod soak;
mod takeover;
mod talk;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use self::load::Load;
use self::neighbour::Neighbour;
use self::overload::Overload;
use self::saturation::Saturation;
use self::setup::Setups;
use self::takeover::Takeover;
use crate::machine;
use crate::table::Report;

/// What to run.
pub(crate) struct Run {
    /// The data plane, built for release.
    pub(crate) binary: PathBuf,
    /// Its core.
    pub(crate) core: usize,
    /// How long each crowd is measured.
    pub(crate) window: Duration,
    /// Crowds.
    pub(crate) calls: Vec<usize>,
    /// New calls a second.
    pub(crate) rates: Vec<usize>,
    /// Calls beside which a neighbour wants the core; none with 0.
    pub(crate) beside_neighbour: usize,
}

/// Fewer calls than this are nothing that a pod would refuse by itself.
const SATURATING: usize = 500;

/// What was measured.
struct Measured {
    setups: Vec<Setups>,
    loads: Vec<Load>,
    takeover: Takeover,
    overload: Overload,
    neighbour: Option<Neighbour>,
    saturation: Option<Saturation>,
}

/// Measures everything; the calling thread is on the load's core, and stays there.
pub(crate) fn measure(report: &mut Report, run: &Run) -> Result<()> {
    machine::raise_descriptor_limit();
    let clips = callers::clips()?;
    let runtime = runtime()?;
    let mut setups = Vec::new();
    for rate in &run.rates {
        eprintln!("bench: {rate} calls a second");
        setups.push(runtime.block_on(setup::measure(run, *rate))?);
    }
    let mut loads = Vec::new();
    for calls in &run.calls {
        eprintln!("bench: {calls} calls talking");
        loads.push(runtime.block_on(load::measure(run, &clips, *calls))?);
    }
    eprintln!("bench: a pod is killed");
    let takeover = runtime.block_on(takeover::measure(run, &clips))?;
    eprintln!("bench: half as many callers again as permits");
    let overload = runtime.block_on(overload::measure(run, &clips))?;
    let neighbour = if run.beside_neighbour > 0 {
        eprintln!("bench: neighbours on the data plane's core, beside {} calls", run.beside_neighbour);
        Some(runtime.block_on(neighbour::measure(run, &clips, run.beside_neighbour))?)
    } else {
        None
    };
    // As many as were asked for at most, and no fewer than a core holds.
    let saturation = match run.calls.iter().max() {
        Some(most) if *most >= SATURATING => {
            eprintln!("bench: {most} callers at a pod with permits for all");
            Some(runtime.block_on(saturation::measure(run, &clips, *most))?)
        }
        _ => None,
    };
    report::add(report, &Measured { setups, loads, takeover, overload, neighbour, saturation });
    Ok(())
}

/// One core for the load, one thread beside its media thread.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}
