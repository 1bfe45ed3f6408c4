//! More calls than the core carries, and permits for all of them: how many the pod takes by its load and what callers miss alone, and
//! how those are served.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use switchsim::{Clip, PumpReport};

use super::Run;
use super::callers::{self, Crowd, Sum};
use super::engine::Engine;
use super::figures::{Buckets, Pace, bound};
use super::load::PACING;
use super::neighbour::LOAD;
use crate::timing::quantile;

/// New calls a second.
const RATE: f64 = 50.0;
/// How long the calls that were taken are looked at, and what they are given before that to get in step.
const WINDOW: Duration = Duration::from_secs(10);
const SETTLE: Duration = Duration::from_secs(4);

/// What it taught.
pub(super) struct Saturation {
    pub(super) offered: usize,
    pub(super) taken: usize,
    pub(super) lateness_ms: f64,
    /// The pod's own reckoning, in per cent of a core, once the calls are up.
    load_percent: f64,
    /// From the first call on: who was turned away for what, and what those who were taken missed.
    pace: Pace,
    /// Of that the part after the last call had come.
    settled: Pace,
    pub(super) core: f64,
    pub(super) pacing: Buckets,
    pub(super) overruns: f64,
    pub(super) sum: Sum,
    pub(super) generator: PumpReport,
}

/// `calls` callers, at a pod with permits for twice as many.
pub(super) async fn measure(run: &Run, clips: &Arc<[Clip]>, calls: usize) -> Result<Saturation> {
    let engine = Engine::start(&run.binary, run.core, calls * 2, &[])?;
    let switch = callers::switch(&[&engine.esl])?;
    let start = engine.metrics()?;
    let talk = Duration::from_secs_f64(calls as f64 / RATE) + SETTLE + WINDOW + Duration::from_secs(2);
    let crowd = Crowd::dial(&switch, clips, calls, RATE, talk, 0).await;
    tokio::time::sleep(SETTLE).await;
    let (before, usage) = (engine.metrics()?, engine.usage()?);
    tokio::time::sleep(WINDOW).await;
    let (after, used) = (engine.metrics()?, engine.usage()?.cpu().saturating_sub(usage.cpu()));
    let generator = switch.pump_report();
    let sum = crowd.hang_up().await;
    switch.settled().await;
    let overruns = "sofia_phone_media_overruns_total";
    Ok(Saturation {
        offered: calls,
        taken: sum.answered,
        lateness_ms: after.value("sofia_phone_media_lateness_seconds") * 1e3,
        load_percent: after.value(LOAD) * 100.0,
        pace: Pace::between(&start, &after),
        settled: Pace::between(&before, &after),
        core: used.as_secs_f64() / WINDOW.as_secs_f64() * 100.0,
        pacing: after.histogram(PACING).since(&before.histogram(PACING)),
        overruns: after.value(overruns) - before.value(overruns),
        sum,
        generator,
    })
}

impl Saturation {
    /// What the table's columns are.
    pub(super) const HEAD: [&str; 13] = [
        "calls offered",
        "taken",
        "turned away for load / misses / permits",
        "load % by the pod",
        "core in all %",
        "packets missed %, from the first call on",
        "packets missed %, all calls up",
        "lateness ms",
        "pacing p50 / p99 ms",
        "overruns",
        "packets lost",
        "on the wire, median call's p99 ms",
        "load's lateness p99 ms",
    ];

    /// The only row.
    pub(super) fn cells(&self) -> Vec<String> {
        vec![
            self.offered.to_string(),
            self.taken.to_string(),
            self.pace.refusals(),
            format!("{:.0}", self.load_percent),
            format!("{:.1}", self.core),
            format!("{:.2}", self.pace.missed_percent()),
            format!("{:.2}", self.settled.missed_percent()),
            format!("{:.1}", self.lateness_ms),
            format!("{} / {}", bound(self.pacing.bound_ms(0.5)), bound(self.pacing.bound_ms(0.99))),
            format!("{:.0}", self.overruns),
            self.sum.lost.to_string(),
            format!("{:.1}", quantile(&mut self.sum.pacing_p99_ms.clone(), 0.5)),
            format!("{:.2}", self.generator.lateness.p99_ms),
        ]
    }
}
