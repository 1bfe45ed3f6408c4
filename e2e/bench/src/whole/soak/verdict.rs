//! Whether a long run was well: nothing grew, nothing drifted, nothing was lost. Pure.

use std::fmt;
use std::time::Duration;

use switchsim::{CallOutcome, EndedBy};

use super::super::figures::{Metrics, bound};
use super::calls::Tally;
use crate::machine::Usage;
use crate::timing::quantile;

/// What memory may have grown by from the second quarter of the run to the last, of itself or in megabytes, whichever is more: an
/// allocator's noise. A leak of a kilobyte a call is ten times that within half an hour at a call a second.
const GROWTH: f64 = 0.03;
const GROWTH_MB: f64 = 1.0;
/// Descriptors and threads that may be there more or less.
const FEW: f64 = 8.0;
/// How far a call's audio may run ahead of or behind the clock in all.
const DRIFT_MS: f64 = 100.0;
/// Ways in which a call ends that nobody wished for.
const BAD_ENDS: [&str; 7] =
    ["switch_lost", "not_answered", "media_lost", "backend_failed", "error", "panic", "max_duration"];

/// A moment of the run.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// Since the start.
    pub(super) at: Duration,
    pub(super) calls: usize,
    pub(super) core_percent: f64,
    pub(super) rss_mb: f64,
    pub(super) descriptors: usize,
    pub(super) threads: usize,
    /// Bounds of buckets, since the last sample.
    pub(super) pacing_p99_ms: f64,
    /// As admission judges it, at this moment.
    pub(super) lateness_ms: f64,
    pub(super) overruns: u64,
    /// How long the host kept the pod's core for others since the last sample, in milliseconds.
    pub(super) stolen_ms: u64,
    /// Packets that never reached the callers whose calls are over.
    pub(super) lost: u64,
    /// What the caller who stays for the whole run has received.
    pub(super) steady_packets: u64,
}

impl Sample {
    /// Above the lines that samples are printed as.
    pub(super) const HEAD: &str = "  time  calls  core %   RSS MB    fds  threads  pacing p99 ms  lateness ms  overruns  stolen ms  packets lost  drift ms";

    /// How far the steady call's packets are ahead of the clock since `first`, in milliseconds.
    fn drift_ms(&self, first: &Self) -> f64 {
        let packets = self.steady_packets.saturating_sub(first.steady_packets);
        packets as f64 * 20.0 - (self.at.saturating_sub(first.at)).as_secs_f64() * 1e3
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at.as_secs();
        write!(
            f,
            "{:>3}:{:02}  {:>5}  {:>6.1}  {:>7.1}  {:>5}  {:>7}  {:>13}  {:>11.1}  {:>8}  {:>9}  {:>12}",
            seconds / 60,
            seconds % 60,
            self.calls,
            self.core_percent,
            self.rss_mb,
            self.descriptors,
            self.threads,
            bound(self.pacing_p99_ms),
            self.lateness_ms,
            self.overruns,
            self.stolen_ms,
            self.lost
        )
    }
}

/// The run so far.
#[derive(Debug, Default)]
pub(super) struct Course {
    samples: Vec<Sample>,
    pub(super) kills: usize,
    /// How often the pod took no calls because its packets left late.
    pub(super) late: usize,
}

impl Course {
    /// Adds a sample, and gives its line.
    pub(super) fn add(&mut self, sample: Sample) -> String {
        let line = format!("{sample}  {:>+8.0}", sample.drift_ms(self.samples.first().unwrap_or(&sample)));
        self.samples.push(sample);
        line
    }

    /// The median of a figure in a quarter (0 to 3) of the run.
    fn in_quarter(&self, quarter: usize, figure: impl Fn(&Sample) -> f64) -> f64 {
        let count = self.samples.len();
        let part = &self.samples[count * quarter / 4..count * (quarter + 1) / 4];
        quantile(&mut part.iter().map(figure).collect::<Vec<_>>(), 0.5)
    }

    /// A figure in the second quarter, when the run has warmed up, and in the last.
    fn early_and_late(&self, figure: impl Fn(&Sample) -> f64 + Copy) -> (f64, f64) {
        (self.in_quarter(1, figure), self.in_quarter(3, figure))
    }

    fn drift_ms(&self) -> f64 {
        match (self.samples.first(), self.samples.last()) {
            (Some(first), Some(last)) => last.drift_ms(first),
            _ => f64::NAN,
        }
    }
}

/// One thing that had to be so.
#[derive(Debug)]
struct Finding {
    what: &'static str,
    found: String,
    well: bool,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Verdict(Vec<Finding>);

impl Verdict {
    /// Of a run, its calls, the call that stayed throughout, the process before the first call and after the last, and its figures
    /// at the end.
    pub(super) fn of(
        course: &Course,
        tally: &Tally,
        steady: &CallOutcome,
        (idle, left): (&Usage, &Usage),
        metrics: &Metrics,
    ) -> Self {
        let mut findings = Vec::new();
        let mut add = |what, found: String, well| findings.push(Finding { what, found, well });
        let (early, late) = course.early_and_late(|sample| sample.rss_mb);
        let grown = late - early;
        // Without samples there is nothing to compare, and nothing is well.
        add("memory is flat", format!("{early:.1} → {late:.1} MB"), grown <= (early * GROWTH).max(GROWTH_MB));
        let (early, late) = course.early_and_late(|sample| sample.descriptors as f64 - sample.calls as f64);
        add("descriptors are flat, less one a call", format!("{early:.0} → {late:.0}"), (late - early).abs() <= FEW);
        let back = left.descriptors as f64 - idle.descriptors as f64;
        add(
            "descriptors come back when the calls are over",
            format!("{} before, {} after", idle.descriptors, left.descriptors),
            back <= FEW,
        );
        let (early, late) = course.early_and_late(|sample| sample.threads as f64);
        add("threads are flat", format!("{early:.0} → {late:.0}"), (late - early).abs() <= FEW);
        let active = metrics.value("sofia_phone_sessions_active");
        add("no call is left behind", format!("{active:.0}"), active == 0.0);
        let drift = course.drift_ms();
        add("a call for the whole run keeps to the clock", format!("{drift:+.0} ms"), drift.abs() <= DRIFT_MS);
        let stayed = steady.answered && steady.legs.len() == 1 && steady.ended_by == EndedBy::Caller;
        let found = format!(
            "{} packets, {} lost, {} legs, {}",
            steady.packets_received(),
            steady.packets_lost(),
            steady.legs.len(),
            steady.cause
        );
        add("it stays and loses nothing", found, stayed && steady.packets_lost() == 0);
        add("no packet is lost", format!("{} of {}", tally.lost, tally.packets), tally.lost == 0);
        let bad = |outcome: &&str| metrics.value(&format!("sofia_phone_sessions_total{{outcome=\"{outcome}\"}}")) > 0.0;
        let bad: Vec<&str> = BAD_ENDS.into_iter().filter(|outcome| bad(outcome)).collect();
        add("no call ends badly", format!("cut {:?}; {bad:?}", tally.cut), tally.cut.is_empty() && bad.is_empty());
        let found = format!("{} pods killed, {} calls went on elsewhere", course.kills, tally.taken_over);
        add("calls of killed pods go on", found, course.kills == 0 || tally.taken_over > 0);
        let stolen: u64 = course.samples.iter().map(|sample| sample.stolen_ms).sum();
        let found = format!(
            "{}; the pod was late {} times; the host kept its core for {stolen} ms in all",
            tally.refused, course.late
        );
        add("no call is refused", found, tally.refused == 0);
        add("callers' scripts go through", format!("{} failed", tally.script_errors), tally.script_errors == 0);
        Self(findings)
    }

    /// Whether everything was so.
    pub(super) fn is_well(&self) -> bool {
        self.0.iter().all(|finding| finding.well)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { what, found, well } in &self.0 {
            writeln!(f, "  {}  {what}: {found}", if *well { "yes" } else { "NO " })?;
        }
        writeln!(f, "{}", if self.is_well() { "The run was flat." } else { "The run was NOT flat." })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(rss_mb: impl Fn(usize) -> f64) -> Course {
        let sample = |at: usize| Sample {
            at: Duration::from_secs(at as u64 * 60),
            calls: 100,
            core_percent: 20.0,
            rss_mb: rss_mb(at),
            descriptors: 130,
            threads: 4,
            pacing_p99_ms: 1.0,
            lateness_ms: 1.0,
            overruns: 0,
            stolen_ms: 0,
            lost: 0,
            steady_packets: at as u64 * 60 * 50,
        };
        Course { samples: (0..20).map(sample).collect(), kills: 0, late: 0 }
    }

    #[test]
    fn memory_that_grows_with_time_is_seen_and_a_warm_up_is_not_held_against_it() {
        let (early, late) = course(|at| if at < 4 { 20.0 } else { 40.0 }).early_and_late(|sample| sample.rss_mb);
        assert_eq!((early, late), (40.0, 40.0));
        let (early, late) = course(|at| 40.0 + at as f64).early_and_late(|sample| sample.rss_mb);
        assert!(late - early > 9.0);
    }

    #[test]
    fn drift_is_what_packets_are_ahead_of_the_clock() {
        let mut course = course(|_| 1.0);
        assert_eq!(course.drift_ms(), 0.0);
        course.samples.last_mut().unwrap().steady_packets -= 10;
        assert_eq!(course.drift_ms(), -200.0);
    }
}
