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
    /// Permits of the pod to which too many callers come.
    pub(crate) permits: usize,
    /// Calls beside which a neighbour wants the core; none with 0.
    pub(crate) beside_neighbour: usize,
    /// Callers at a pod with permits for all; none with 0.
    pub(crate) saturating: usize,
    /// Nothing but what keeps new calls away.
    pub(crate) admission_only: bool,
}

/// What was measured.
struct Measured {
    setups: Vec<Setups>,
    loads: Vec<Load>,
    takeover: Option<Takeover>,
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
    for rate in run.rates.iter().filter(|_| !run.admission_only) {
        eprintln!("bench: {rate} calls a second");
        setups.push(runtime.block_on(setup::measure(run, *rate))?);
    }
    let mut loads = Vec::new();
    for calls in run.calls.iter().filter(|_| !run.admission_only) {
        eprintln!("bench: {calls} calls talking");
        loads.push(runtime.block_on(load::measure(run, &clips, *calls))?);
    }
    let takeover = if run.admission_only {
        None
    } else {
        eprintln!("bench: a pod is killed");
        Some(runtime.block_on(takeover::measure(run, &clips))?)
    };
    eprintln!("bench: half as many callers again as {} permits", run.permits);
    let overload = runtime.block_on(overload::measure(run, &clips, run.permits))?;
    let neighbour = if run.beside_neighbour > 0 {
        eprintln!("bench: neighbours on the data plane's core, beside {} calls", run.beside_neighbour);
        Some(runtime.block_on(neighbour::measure(run, &clips, run.beside_neighbour))?)
    } else {
        None
    };
    let saturation = if run.saturating > 0 {
        eprintln!("bench: {} callers at a pod with permits for all", run.saturating);
        Some(runtime.block_on(saturation::measure(run, &clips, run.saturating))?)
    } else {
        None
    };
    report::add(report, &Measured { setups, loads, takeover, overload, neighbour, saturation });
    Ok(())
}

/// One core for the load, one thread beside its media thread.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}
