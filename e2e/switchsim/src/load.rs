//! Many calls at once, at a rate, and what they add up to. Never judges: a test or a person does.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
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
#[derive(Debug, Clone, Default, Serialize)]
pub struct LoadReport {
    /// Calls made.
    pub calls: usize,
    /// Calls answered.
    pub answered: usize,
    /// Refusals by SIP status.
    pub refused: BTreeMap<u16, usize>,
    /// Calls that the other side ended before their time.
    pub cut: usize,
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

#[derive(Default)]
struct Sum {
    report: LoadReport,
    answered_after: Histogram,
    pod_setup: Histogram,
    first_packet: Histogram,
    longest_gap: Histogram,
    pacing: Histogram,
}

fn ms(ms: f64) -> Duration {
    Duration::from_secs_f64(ms.max(0.0) / 1e3)
}

impl Sum {
    fn add(&mut self, outcome: &CallOutcome) {
        let report = &mut self.report;
        report.calls += 1;
        report.esl_refused += outcome.count(|what| matches!(what, Happening::EslRefused { .. }));
        if !outcome.answered {
            *report.refused.entry(outcome.sip_status).or_default() += 1;
            return;
        }
        report.answered += 1;
        report.cut += usize::from(outcome.ended_by == EndedBy::Switch);
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

    fn report(self, generator: PumpReport) -> LoadReport {
        LoadReport {
            answered_after: self.answered_after.summary(),
            pod_setup: self.pod_setup.summary(),
            first_packet: self.first_packet.summary(),
            longest_gap: self.longest_gap.summary(),
            pacing: self.pacing.summary(),
            generator,
            ..self.report
        }
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "calls {}, answered {}, refused {:?}", self.calls, self.answered, self.refused)?;
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
