//! A neighbour on the data plane's core: processes that want all of it, more of them from step to step. What goes first, new calls
//! or the sound of those that are up, is to be seen in the steps' rows: how full the pod holds its cores to be, what its callers missed,
//! and what it turned calls away for.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use switchsim::{Clip, Snapshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::Run;
use super::callers::{self, Crowd};
use super::engine::Engine;
use super::figures::{Buckets, Metrics, Pace, bound};
use super::load::PACING;
use super::overload::first_in;
use crate::machine;
use crate::timing::quantile;

/// How many processes, step by step.
const STEPS: [usize; 5] = [0, 1, 2, 4, 8];
const STEP: Duration = Duration::from_secs(5);
/// New callers a second, who hang up at once.
const NEW_CALLS: f64 = 10.0;
const LATENESS: &str = "sofia_phone_media_lateness_seconds";
pub(super) const LOAD: &str = "sofia_phone_media_load_ratio";
/// Per cent of the packets that callers may miss before new calls are refused for it, unless a pod is told otherwise.
const MAX_MISSED_PERCENT: f64 = 1.0;

/// A process that does nothing as fast as it can; ended when dropped.
struct Busy(Child);

impl Busy {
    fn start(core: usize) -> Result<Self> {
        // A process begins where the thread was that started it, and is as nice as this one and the data plane.
        let start = move || {
            machine::pin(core).context("cannot stay on the data plane's core")?;
            let mut command = Command::new("sh");
            command.args(["-c", "while :; do :; done"]).env_clear().stdin(Stdio::null()).stdout(Stdio::null());
            command.spawn().map(Self).context("sh")
        };
        std::thread::spawn(start).join().map_err(|_| anyhow!("the starting thread failed"))?
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        // What cannot be killed has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One step.
pub(super) struct Step {
    pub(super) neighbours: usize,
    pub(super) tried: usize,
    pub(super) taken: usize,
    pub(super) lateness_ms: f64,
    /// How full the cores were by the pod's own reckoning, at the most, in per cent.
    pub(super) load_percent: f64,
    pub(super) pace: Pace,
    pub(super) pacing: Buckets,
    /// Packet times without a packet, because they had passed, and packets that never reached their callers.
    pub(super) unsent: f64,
    pub(super) lost: f64,
    /// Times of 60 ms or more without a packet, of all callers: what a jitter buffer of 40 ms does not bridge.
    pub(super) gaps: usize,
    pub(super) longest_gap_ms: f64,
}

/// The whole stair.
pub(super) struct Neighbour {
    pub(super) calls: usize,
    pub(super) steps: Vec<Step>,
    pub(super) cut: usize,
    /// From the last neighbour's end to the next caller's answer.
    pub(super) recovered_ms: Option<f64>,
}

/// `calls` talking callers, and a stair of neighbours.
pub(super) async fn measure(run: &Run, clips: &Arc<[Clip]>, calls: usize) -> Result<Neighbour> {
    let engine = Engine::start(&run.binary, run.core, calls * 2, &[])?;
    let switch = callers::switch(&[&engine.esl])?;
    let rate = (calls as f64 / 5.0).max(25.0);
    let talk = STEP * (STEPS.len() as u32 + 3) + Duration::from_secs_f64(calls as f64 / rate);
    let crowd = Crowd::dial(&switch, clips, calls, rate, talk, 0).await;
    tokio::time::sleep(Duration::from_secs(2)).await;

    let mut neighbours: Vec<Busy> = Vec::new();
    let mut steps = Vec::new();
    let mut number = calls;
    for wanted in STEPS {
        while neighbours.len() < wanted {
            neighbours.push(Busy::start(run.core)?);
        }
        let before = (engine.metrics()?, Heard::of(&crowd.snapshots()));
        let (start, mut lateness, mut load) = (Instant::now(), Vec::new(), 0.0_f64);
        let mut new_calls = JoinSet::new();
        let count = (STEP.as_secs_f64() * NEW_CALLS) as usize;
        for at in 0..count {
            sleep_until(start + STEP.mul_f64(at as f64 / count as f64)).await;
            number += 1;
            new_calls.spawn(callers::short(switch.clone(), number, Duration::ZERO));
            if at % 5 == 0 {
                let metrics = engine.metrics()?;
                lateness.push(metrics.value(LATENESS) * 1e3);
                load = load.max(metrics.value(LOAD));
            }
        }
        sleep_until(start + STEP).await;
        let (after, heard) = (engine.metrics()?, Heard::of(&crowd.snapshots()));
        let outcomes = new_calls.join_all().await;
        steps.push(Step {
            neighbours: wanted,
            tried: outcomes.len(),
            taken: outcomes.iter().filter(|outcome| outcome.answered).count(),
            lateness_ms: quantile(&mut lateness, 0.5),
            load_percent: load * 100.0,
            pace: Pace::between(&before.0, &after),
            pacing: after.histogram(PACING).since(&before.0.histogram(PACING)),
            unsent: unsent(calls, start.elapsed(), &before.0, &after),
            lost: heard.lost.saturating_sub(before.1.lost) as f64,
            gaps: heard.gaps.saturating_sub(before.1.gaps),
            longest_gap_ms: heard.longest_since_ms(&before.1),
        });
        eprintln!(
            "bench:   {wanted} neighbours: {} of {count} new calls taken, load {:.0} %, missed {:.2} %",
            steps[steps.len() - 1].taken,
            steps[steps.len() - 1].load_percent,
            steps[steps.len() - 1].pace.missed_percent()
        );
    }
    drop(neighbours);
    let recovered_ms = first_in(&switch, Instant::now()).await;
    let sum = crowd.hang_up().await;
    switch.settled().await;
    Ok(Neighbour { calls: sum.answered, steps, cut: sum.cut, recovered_ms })
}

/// Packets of 20 ms that are missing from what was sent.
fn unsent(calls: usize, window: Duration, before: &Metrics, after: &Metrics) -> f64 {
    let sent = "sofia_phone_rtp_packets_sent_total";
    let missing = calls as f64 * window.as_secs_f64() * 50.0 - (after.value(sent) - before.value(sent));
    // A packet a call is the window's edges.
    if missing > calls as f64 { missing.round() } else { 0.0 }
}

/// What all callers heard so far.
#[derive(Debug, Clone, Default)]
struct Heard {
    lost: u64,
    gaps: usize,
    /// Each caller's, in their order.
    gap_ms: Vec<Vec<f64>>,
}

impl Heard {
    fn of(calls: &[Snapshot]) -> Self {
        let gap_ms: Vec<Vec<f64>> = calls.iter().map(|call| call.gaps.iter().map(|gap| gap.ms).collect()).collect();
        Self {
            lost: calls.iter().flat_map(|call| &call.legs).map(|leg| leg.lost).sum(),
            gaps: gap_ms.iter().map(Vec::len).sum(),
            gap_ms,
        }
    }

    /// The longest gap that was not there before; 0 where none came.
    fn longest_since_ms(&self, before: &Self) -> f64 {
        let known = |caller: usize| before.gap_ms.get(caller).map_or(0, Vec::len);
        let new = self.gap_ms.iter().enumerate().flat_map(|(caller, gaps)| gaps.iter().skip(known(caller)));
        new.copied().fold(0.0, f64::max)
    }
}

impl Neighbour {
    /// The first step in which the test holds.
    fn first(&self, test: impl Fn(&Step) -> bool) -> Option<usize> {
        self.steps.iter().position(test)
    }

    /// Whether callers missed no more than they may in any step in which all new calls were still taken.
    pub(super) fn refuses_first(&self) -> bool {
        let harmed = self.first(Step::is_harmed);
        let refusing = self.first(|step| step.taken < step.tried);
        self.cut == 0 && harmed.is_none_or(|harmed| refusing.is_some_and(|refusing| refusing <= harmed))
    }

    /// In words, for the table of goals.
    pub(super) fn words(&self) -> String {
        let step = |found: Option<usize>| {
            let named = |at: usize| format!("with {} neighbours", self.steps[at].neighbours);
            found.map_or_else(|| "never".to_owned(), named)
        };
        format!(
            "calls refused {}; a packet missed {}, more than {MAX_MISSED_PERCENT} % of them {}; {} cut",
            step(self.first(|step| step.taken < step.tried)),
            step(self.first(Step::is_heard)),
            step(self.first(Step::is_harmed)),
            self.cut
        )
    }

    /// What the table's columns are.
    pub(super) const HEAD: [&str; 11] = [
        "neighbours",
        "new calls taken",
        "turned away for load / misses / permits",
        "load %, at most",
        "packets missed %",
        "lateness ms (median)",
        "pacing p50 / p99 ms",
        "packets lost",
        "packet times left out",
        "gaps ≥ 60 ms",
        "longest ms",
    ];

    /// The rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = Vec<String>> {
        self.steps.iter().map(|step| {
            vec![
                step.neighbours.to_string(),
                format!("{} of {}", step.taken, step.tried),
                step.pace.refusals(),
                format!("{:.0}", step.load_percent),
                format!("{:.2}", step.pace.missed_percent()),
                format!("{:.1}", step.lateness_ms),
                format!("{} / {}", bound(step.pacing.bound_ms(0.5)), bound(step.pacing.bound_ms(0.99))),
                format!("{:.0}", step.lost),
                format!("{:.0}", step.unsent),
                step.gaps.to_string(),
                format!("{:.0}", step.longest_gap_ms),
            ]
        })
    }
}

impl Step {
    /// Whether anybody missed a packet: by the pod's reckoning, or by what came to the callers.
    fn is_heard(&self) -> bool {
        self.pace.missed > 0.0 || self.lost > 0.0 || self.gaps > 0
    }

    /// Whether they missed more than they may.
    fn is_harmed(&self) -> bool {
        self.pace.missed_percent() > MAX_MISSED_PERCENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(neighbours: usize, taken: usize, missed: u32) -> Step {
        let page = |missed: u32| {
            let sent = if missed == 0 { 0 } else { 1_000 };
            Metrics::parse(&format!(
                "sofia_phone_rtp_packets_sent_total {sent}\nsofia_phone_rtp_packets_missed_total {missed}\n"
            ))
        };
        Step {
            neighbours,
            tried: 10,
            taken,
            lateness_ms: 0.0,
            load_percent: 0.0,
            pace: Pace::between(&page(0), &page(missed)),
            pacing: Buckets::default(),
            unsent: 0.0,
            lost: 0.0,
            gaps: 0,
            longest_gap_ms: 0.0,
        }
    }

    fn stair(steps: Vec<Step>) -> Neighbour {
        Neighbour { calls: 10, steps, cut: 0, recovered_ms: None }
    }

    #[test]
    fn sound_that_is_harmed_while_all_calls_are_taken_is_the_wrong_order() {
        assert!(stair(vec![step(0, 10, 0), step(1, 4, 0), step(2, 0, 70)]).refuses_first());
        assert!(stair(vec![step(0, 10, 0), step(1, 10, 0)]).refuses_first(), "nothing was harmed");
        assert!(stair(vec![step(0, 10, 0), step(1, 10, 10)]).refuses_first(), "one in a hundred");
        assert!(!stair(vec![step(0, 10, 0), step(1, 10, 30), step(2, 0, 70)]).refuses_first());
        let words = stair(vec![step(0, 10, 0), step(1, 10, 5), step(2, 0, 70)]).words();
        assert!(words.contains("a packet missed with 1 neighbours, more than 1 % of them with 2"), "{words}");
    }

    #[test]
    fn only_gaps_of_this_step_count() {
        let before = Heard { lost: 0, gaps: 1, gap_ms: vec![vec![500.0], vec![]] };
        let after = Heard { lost: 0, gaps: 3, gap_ms: vec![vec![500.0, 70.0], vec![90.0]] };
        assert_eq!(after.longest_since_ms(&before), 90.0);
        assert_eq!(before.longest_since_ms(&before), 0.0);
    }
}
