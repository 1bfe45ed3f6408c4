//! The parts of the packet path, one by one and put together as the media worker does, beside others' parts. Sans-IO but for the
//! recordings that it reads.

mod frame;
mod packets;
mod resample;
mod sound;
mod voice;

use std::time::Duration;

use anyhow::Result;

use crate::table::Report;

pub(crate) use sound::voice_file;

/// Microseconds a 20 ms frame as percent of a core.
fn percent_of_core(us: f64) -> f64 {
    us / 20_000.0 * 100.0
}

/// Measures everything, with so much time for each figure.
pub(crate) fn measure(report: &mut Report, effort: Duration) -> Result<()> {
    let speech = sound::speech()?;
    packets::measure(report, effort, &speech);
    frame::measure(report, effort, &speech);
    resample::measure(report, effort, &speech);
    voice::measure(report, effort, &speech);
    Ok(())
}
