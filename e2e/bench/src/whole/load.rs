//! A crowd that talks for a while: what a call costs the data plane meanwhile, how well it is served, and whether the load itself
//! kept up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use switchsim::{Clip, PumpReport};

use super::Run;
use super::callers::{self, Crowd, Sum};
use super::engine::Engine;
use super::figures::{Buckets, bound};
use super::talk;
use crate::machine::{Usage, stolen};
use crate::timing::quantile;

/// Time for the last calls to be answered and greeted before measuring.
const SETTLE: Duration = Duration::from_secs(3);
/// Calls that listen, for interruptions; each costs the load as much as three that do not.
const LISTENING: usize = 24;
/// How late packets left.
pub(super) const PACING: &str = "sofia_phone_rtp_pacing_error_seconds";
/// Nobody is refused: what so many calls cost is asked, not whether a pod should take them. That is `overload` and `neighbour`.
pub(super) const TAKES_ALL: &[(&str, &str)] = &[("MAX_LATENESS_MS", "0")];

/// What one crowd taught.
pub(super) struct Load {
    pub(super) calls: usize,
    window: Duration,
    /// CPU of the whole process, of its media threads, and of the load's process, each a call, in percent of a core.
    pub(super) cpu: f64,
    pub(super) media_cpu: f64,
    pub(super) system_share: f64,
    /// Percent of a core in all.
    pub(super) core: f64,
    /// Per cent of the time in which the host kept the data plane's core for others.
    stolen: f64,
    pub(super) rss_mb: f64,
    pub(super) pacing: Buckets,
    /// Callers' packets that were missed or came too late, by the data plane's reckoning.
    pub(super) missed: f64,
    /// Packets that it left out, because their time had passed: nobody misses their sequence numbers.
    pub(super) unsent: f64,
    pub(super) overruns: f64,
    /// Milliseconds beyond endpointing and backend, a turn each.
    pub(super) overhead_ms: Vec<f64>,
    /// Whole milliseconds from a reply's first audio to its first packet.
    pub(super) first_packet_ms: Vec<f64>,
    pub(super) sum: Sum,
    pub(super) generator: PumpReport,
    /// Percent of its core.
    pub(super) generator_core: f64,
}

impl Load {
    /// The load's core was full, or its packets left late: what was measured is worse than what the data plane does.
    pub(super) fn is_limited_by_its_generator(&self) -> bool {
        self.generator_core > 90.0 || self.generator.lateness.p99_ms > 5.0
    }

    /// How long each interruption took.
    pub(super) fn talked_over_ms(&self) -> Vec<f64> {
        self.sum.talked_over.iter().map(|(_, ms)| *ms).collect()
    }

    /// A quantile of `overhead_ms`.
    pub(super) fn overhead(&self, at: f64) -> f64 {
        quantile(&mut self.overhead_ms.clone(), at)
    }
}

/// Starts a data plane and has `calls` callers talk to it.
pub(super) async fn measure(run: &Run, clips: &Arc<[Clip]>, calls: usize) -> Result<Load> {
    let engine = Engine::start(&run.binary, run.core, calls + calls / 10 + 10, TAKES_ALL)?;
    let switch = callers::switch(&[&engine.esl])?;
    // Whatever is made once is made by the first call.
    callers::short(switch.clone(), 0, Duration::from_secs(2)).await;
    switch.settled().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let empty = engine.usage()?;

    let rate = (calls as f64 / 10.0).max(25.0);
    let talk = Duration::from_secs_f64(calls as f64 / rate) + SETTLE + run.window + Duration::from_secs(2);
    let crowd = Crowd::dial(&switch, clips, calls, rate, talk, LISTENING).await;
    tokio::time::sleep(SETTLE).await;

    let own = std::process::id();
    let (first, first_own, first_metrics, first_stolen, start) =
        (engine.usage()?, Usage::of(own)?, engine.metrics()?, stolen(run.core), Instant::now());
    tokio::time::sleep(run.window).await;
    let (last, last_own, last_metrics) = (engine.usage()?, Usage::of(own)?, engine.metrics()?);
    let (window, stolen) = (start.elapsed(), stolen(run.core).saturating_sub(first_stolen));
    let generator = switch.pump_report();
    let sum = crowd.hang_up().await;
    switch.settled().await;

    let percent = |cpu: Duration| cpu.as_secs_f64() / window.as_secs_f64() * 100.0;
    let used = last.cpu().saturating_sub(first.cpu());
    let system = last.system.saturating_sub(first.system);
    let media = last.of_threads("media-").saturating_sub(first.of_threads("media-"));
    let since = |series: &str| last_metrics.value(series) - first_metrics.value(series);
    let answers = engine.logged("the agent answered");
    Ok(Load {
        calls,
        window,
        cpu: percent(used) / calls as f64,
        media_cpu: percent(media) / calls as f64,
        system_share: system.as_secs_f64() / used.as_secs_f64() * 100.0,
        core: percent(used),
        stolen: percent(stolen),
        rss_mb: last.rss_bytes.saturating_sub(empty.rss_bytes) as f64 / 1e6 / calls as f64,
        pacing: last_metrics.histogram(PACING).since(&first_metrics.histogram(PACING)),
        missed: since("sofia_phone_rtp_packets_lost_total") + since("sofia_phone_rtp_packets_late_total"),
        unsent: unsent(calls, window, since("sofia_phone_rtp_packets_sent_total")),
        overruns: since("sofia_phone_media_overruns_total"),
        overhead_ms: answers.iter().filter_map(overhead_ms).collect(),
        first_packet_ms: answers.iter().filter_map(|line| line["first_packet_ms"].as_f64()).collect(),
        sum,
        generator,
        generator_core: percent(last_own.cpu().saturating_sub(first_own.cpu())),
    })
}

/// How many packets of 20 ms are missing from `sent`, where more are than a packet a call, which the window's edges cut off.
fn unsent(calls: usize, window: Duration, sent: f64) -> f64 {
    let missing = calls as f64 * window.as_secs_f64() * 50.0 - sent;
    if missing > calls as f64 { missing.round() } else { 0.0 }
}

/// What a turn took beyond the silence that was to be waited for and the mock's own delays.
fn overhead_ms(line: &serde_json::Value) -> Option<f64> {
    let turn = usize::try_from(line["turn"].as_u64()?).ok()?;
    let expected = talk::END_SILENCE + talk::backend(turn);
    Some(line["total_ms"].as_f64()? - expected.as_secs_f64() * 1e3)
}

impl Load {
    /// One row of the table.
    pub(super) fn cells(&self) -> Vec<String> {
        let over = |at| quantile(&mut self.talked_over_ms(), at);
        let first = |at| quantile(&mut self.first_packet_ms.clone(), at);
        vec![
            self.calls.to_string(),
            format!("{:.4}", self.cpu),
            format!("{:.4}", self.media_cpu),
            format!("{:.0}", self.system_share),
            format!("{:.1}", self.core),
            format!("{:.2}", self.stolen),
            format!("{:.3}", self.rss_mb),
            format!("{} / {:.0} of {}", self.sum.lost, self.unsent, self.sum.packets),
            format!("{:.0}", self.missed),
            format!("{:.0}", self.overruns),
            format!("{} / {}", bound(self.pacing.bound_ms(0.5)), bound(self.pacing.bound_ms(0.99))),
            format!("{:.1}", quantile(&mut self.sum.pacing_p99_ms.clone(), 0.5)),
            format!("{:.0} / {:.0} ({})", self.overhead(0.5), self.overhead(0.95), self.overhead_ms.len()),
            format!("{:.0} / {:.0} ({})", over(0.5), over(0.95), self.sum.talked_over.len()),
            format!("< {:.0} / < {:.0}", first(0.5) + 1.0, first(0.95) + 1.0),
            format!("{:.1}", self.generator_core),
            format!("{:.2} / {:.2}", self.generator.lateness.p50_ms, self.generator.lateness.p99_ms),
            self.words(),
        ]
    }

    fn words(&self) -> String {
        let mut words = vec![self.sum.trouble()];
        if self.sum.answered < self.calls {
            words.push(format!("{} answered", self.sum.answered));
        }
        if self.core > 90.0 {
            words.push("the data plane's core was full".to_owned());
        }
        if self.generator_core > 90.0 {
            words.push("the load's core was full".to_owned());
        } else if self.is_limited_by_its_generator() {
            words.push("the load was late itself".to_owned());
        }
        words.retain(|word| !word.is_empty());
        if words.is_empty() { "all as it should be".to_owned() } else { words.join("; ") }
    }

    /// What the table's columns are.
    pub(super) const HEAD: [&str; 18] = [
        "calls",
        "CPU a call %",
        "of it media threads %",
        "kernel's share %",
        "core in all %",
        "taken by the host %",
        "RSS a call MB",
        "packets lost / left out",
        "missed or late in",
        "overruns",
        "pacing p50 / p99 ms",
        "on the wire, median call's p99 ms",
        "turn overhead p50 / p95 ms (turns)",
        "barge-in p50 / p95 ms (heard)",
        "first packet p50 / p95 ms",
        "load's core %",
        "load's lateness p50 / p99 ms",
        "remarks",
    ];

    /// How long was measured, in seconds.
    pub(super) fn window_s(&self) -> f64 {
        self.window.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_that_were_left_out_are_counted_though_no_sequence_number_is_missing() {
        let second = Duration::from_secs(1);
        assert_eq!(unsent(100, second, 4_950.0), 0.0, "the edges");
        assert_eq!(unsent(100, second, 4_000.0), 1_000.0);
        assert_eq!(unsent(100, second, 5_020.0), 0.0, "early first packets of replies");
    }
}
