//! Many calls at once, at a rate, and what they add up to. Never judges: a test or a person does.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::handle::Progress;
use crate::media::{Clip, PumpReport};
use crate::plan::CallPlan;
use crate::report::{CallOutcome, EndedBy, Happening};
use crate::stats::{Histogram, Spread};
use crate::switch::Switch;

/// A load.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// Number that all calls dial.
    pub to: String,
    /// How many calls.
    pub calls: usize,
    /// New calls a second; all at once if not positive.
    pub rate: f64,
    /// How long each call lasts after its answer.
    pub duration: Duration,
    /// What each caller says, again and again; silence if `None`. Encoded once for all.
    pub speech: Option<Clip>,
}

/// What a load came to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LoadReport {
    /// Calls made.
    pub calls: usize,
    /// Calls answered.
    pub answered: usize,
    /// Refusals by SIP status.
    pub refused: BTreeMap<u16, usize>,
    /// Calls whose callers hung up before an answer: nobody refused them.
    #[serde(default)]
    pub gave_up: usize,
    /// Calls that the other side ended before their time.
    pub cut: usize,
    /// Why, by FreeSWITCH's name of the cause.
    #[serde(default)]
    pub cut_causes: BTreeMap<String, usize>,
    /// Calls with a time without packets of 60 ms or more, takeovers included.
    #[serde(default)]
    pub calls_with_gap: usize,
    /// All such times, by their length.
    #[serde(default)]
    pub gaps: Vec<GapCount>,
    /// Calls that more than one pod served.
    pub taken_over: usize,
    /// Answered calls without a packet from a pod.
    pub one_way: usize,
    /// Connections that pods refused.
    pub esl_refused: usize,
    /// From dialling to the answer.
    pub answered_after: Spread,
    /// The pods' part of it: from the ESL connection to their `answer`.
    pub pod_setup: Spread,
    /// From the answer to the first packet of a pod.
    pub first_packet: Spread,
    /// Packets to pods.
    pub sent: u64,
    /// Packets that the operating system did not take.
    pub send_errors: u64,
    /// Packets from pods.
    pub received: u64,
    /// Packets from pods that never came.
    pub lost: u64,
    /// Packets from pods behind a later one.
    pub reordered: u64,
    /// Packets from an address that no answer named.
    pub foreign: u64,
    /// How far the pods' packets were off from their pace.
    pub pacing: Spread,
    /// Each call's longest time without a packet.
    pub longest_gap: Spread,
    /// How well the load itself was made.
    pub generator: PumpReport,
}

/// Times without a packet of one range of lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapCount {
    /// From so many milliseconds on.
    pub from_ms: u32,
    /// Shorter than this; `None`: as long as may be.
    pub below_ms: Option<u32>,
    /// How many.
    pub count: u64,
}

/// Where the ranges of [`GapCount`] begin, in milliseconds; the first is where gaps begin to be listed.
const GAP_RANGES_MS: [u32; 8] = [60, 100, 150, 250, 500, 1_000, 2_500, 5_000];

/// Makes the calls and waits for the last to end.
pub async fn run(switch: &Switch, plan: &LoadPlan) -> LoadReport {
    let started = Instant::now();
    let mut calls = JoinSet::new();
    for at in 0..plan.calls {
        if plan.rate > 0.0 {
            sleep_until(started + Duration::from_secs_f64(at as f64 / plan.rate)).await;
        }
        let (switch, plan) = (switch.clone(), plan.clone());
        calls.spawn(async move { one(&switch, &plan, at).await });
    }
    let mut sum = Sum::default();
    while let Some(outcome) = calls.join_next().await {
        // A task that panicked is a bug of this crate: as a call that never was it would be hidden.
        sum.add(&outcome.expect("a load's call does not panic"));
    }
    sum.report(switch.pump_report())
}

async fn one(switch: &Switch, plan: &LoadPlan, at: usize) -> CallOutcome {
    let call = switch.dial(CallPlan::new(&plan.to).from(format!("+1555{at:07}")).deaf());
    call.reaches(Progress::Answered).await;
    if let Some(speech) = &plan.speech {
        call.say_for_ever(speech);
    }
    // An end before its time is seen in the outcome.
    let _ = timeout(plan.duration, call.reaches(Progress::Ended)).await;
    call.hang_up();
    call.outcome().await
}

/// Adds calls up.
#[derive(Default)]
pub(crate) struct Sum {
    report: LoadReport,
    answered_after: Histogram,
    pod_setup: Histogram,
    first_packet: Histogram,
    longest_gap: Histogram,
    pacing: Histogram,
    gaps: [u64; GAP_RANGES_MS.len()],
}

fn ms(ms: f64) -> Duration {
    Duration::from_secs_f64(ms.max(0.0) / 1e3)
}

impl Sum {
    pub(crate) fn add(&mut self, outcome: &CallOutcome) {
        let report = &mut self.report;
        report.calls += 1;
        report.esl_refused += outcome.count(|what| matches!(what, Happening::EslRefused { .. }));
        if !outcome.answered && outcome.ended_by == EndedBy::Caller {
            report.gave_up += 1;
            return;
        }
        if !outcome.answered {
            *report.refused.entry(outcome.sip_status).or_default() += 1;
            return;
        }
        report.answered += 1;
        if outcome.ended_by == EndedBy::Switch {
            report.cut += 1;
            *report.cut_causes.entry(outcome.cause.name().to_owned()).or_default() += 1;
        }
        report.calls_with_gap += usize::from(!outcome.gaps.is_empty());
        for gap in &outcome.gaps {
            let range = GAP_RANGES_MS.iter().rposition(|from| gap.ms >= f64::from(*from));
            range.into_iter().for_each(|range| self.gaps[range] += 1);
        }
        report.taken_over += usize::from(outcome.legs.len() > 1);
        report.one_way += usize::from(outcome.packets_received() == 0);
        for leg in &outcome.legs {
            report.sent += leg.sent;
            report.send_errors += leg.send_errors;
            report.received += leg.received;
            report.lost += leg.lost;
            report.reordered += leg.reordered;
            report.foreign += leg.foreign;
            leg.first_packet_ms.into_iter().for_each(|first| self.first_packet.add(ms(first)));
        }
        for event in &outcome.timeline {
            if let Happening::LegAnswered { setup_ms, .. } = event.what {
                self.pod_setup.add(ms(setup_ms));
            }
        }
        outcome.answered_after_ms.into_iter().for_each(|after| self.answered_after.add(ms(after)));
        self.longest_gap.add(ms(outcome.longest_gap_ms));
        self.pacing.merge(&outcome.pacing_histogram);
    }

    pub(crate) fn report(&self, generator: PumpReport) -> LoadReport {
        let below = GAP_RANGES_MS.iter().skip(1).map(|ms| Some(*ms)).chain([None]);
        let ranges = GAP_RANGES_MS.iter().zip(below).zip(&self.gaps);
        LoadReport {
            gaps: ranges
                .map(|((from, below), count)| GapCount { from_ms: *from, below_ms: below, count: *count })
                .collect(),
            answered_after: self.answered_after.summary(),
            pod_setup: self.pod_setup.summary(),
            first_packet: self.first_packet.summary(),
            longest_gap: self.longest_gap.summary(),
            pacing: self.pacing.summary(),
            generator,
            ..self.report.clone()
        }
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "calls {}, answered {}, refused {:?}, given up {}",
            self.calls, self.answered, self.refused, self.gave_up
        )?;
        writeln!(
            f,
            "cut {}, taken over {}, one-way {}, ESL connections refused {}",
            self.cut, self.taken_over, self.one_way, self.esl_refused
        )?;
        writeln!(
            f,
            "packets: sent {} ({} errors), received {}, lost {}, reordered {}, foreign {}",
            self.sent, self.send_errors, self.received, self.lost, self.reordered, self.foreign
        )?;
        writeln!(f, "{:<34} {:>9} {:>9} {:>9} {:>9}", "milliseconds", "p50", "p95", "p99", "max")?;
        for (name, spread) in [
            ("answered after", self.answered_after),
            ("  of it the pod (ESL to answer)", self.pod_setup),
            ("first packet after the answer", self.first_packet),
            ("pods' pacing error", self.pacing),
            ("longest time without a packet", self.longest_gap),
            ("this generator's own lateness", self.generator.lateness),
        ] {
            writeln!(
                f,
                "{name:<34} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
                spread.p50_ms, spread.p95_ms, spread.p99_ms, spread.max_ms
            )?;
        }
        write!(
            f,
            "media thread: {:.2} s of CPU, {} frames left out",
            self.generator.cpu_s, self.generator.skipped_frames
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Gap;

    fn outcome(gaps: &[f64]) -> CallOutcome {
        let spread = Spread::default();
        let json = serde_json::json!({
            "uuid": "", "to": "1", "from": "2", "answered": true, "answered_after_ms": 1.0, "sip_status": 200, "sip_headers": {},
            "cause": "NORMAL_CLEARING", "ended_by": "caller", "duration_ms": 1.0, "attempts": 1, "legs": [],
            "longest_gap_ms": gaps.iter().copied().fold(0.0, f64::max), "pacing": spread, "agent_speech": [], "digits_heard": [],
            "gaps": gaps.iter().map(|ms| Gap { at_ms: 0.0, ms: *ms }).collect::<Vec<_>>(),
            "variables": {}, "script_error": null, "timeline": []
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn gaps_are_counted_by_their_length() {
        let mut sum = Sum::default();
        sum.add(&outcome(&[60.0, 99.9, 100.0]));
        sum.add(&outcome(&[60_000.0]));
        sum.add(&outcome(&[]));
        let report = sum.report(PumpReport::default());
        assert_eq!((report.calls, report.calls_with_gap, report.longest_gap.max_ms), (3, 2, 60_000.0));
        let counts: Vec<u64> = report.gaps.iter().map(|range| range.count).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 1]);
        assert_eq!(report.gaps[0], GapCount { from_ms: 60, below_ms: Some(100), count: 2 });
        assert_eq!(report.gaps[7].below_ms, None);
    }
}
