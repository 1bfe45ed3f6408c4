//! The parts of the packet path, one by one and put together as the media worker does, beside others' parts. Sans-IO but for the
//! recordings that it reads.

mod frame;
mod packets;
mod resample;
mod sound;
mod voice;

use anyhow::Result;

use crate::table::Report;
use crate::timing::Stopwatch;

pub(crate) use sound::{at as at_rate, over_the_line_8k, recordings, voice_file};

/// Microseconds a 20 ms frame as percent of a core.
fn percent_of_core(us: f64) -> f64 {
    us / 20_000.0 * 100.0
}

/// Measures everything.
pub(crate) fn measure(report: &mut Report, stopwatch: &mut Stopwatch) -> Result<()> {
    let speech = sound::speech()?;
    packets::measure(report, stopwatch, &speech)?;
    frame::measure(report, stopwatch, &speech)?;
    resample::measure(report, stopwatch, &speech)?;
    voice::measure(report, stopwatch, &speech)
}
