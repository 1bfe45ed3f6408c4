//! The callers: many calls on one pod that talk by the clock, a few of them listening, and what they add up to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use switchsim::{
    CallHandle, CallOutcome, CallPlan, CallView, Clip, Happening, Progress, Snapshot, Switch, SwitchBuilder,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::interruption::{dbfs, talked_over_ms};
use super::talk::{self, Line};
use crate::kernels::voice_file;

/// Number that is no echo test.
pub(super) const NUMBER: &str = "15550100";
/// What callers say: long enough to be a turn, without a pause that would end it.
pub(super) const SAID: [&str; 4] = ["go_forward", "go_somewhere", "amiable_woman", "queen_of_clubs"];
/// A stretch of 20 ms that is louder than this, in dBFS, is speech and no click before it.
const ONSET_DBFS: f32 = -30.0;
/// A call that cannot end is told, not waited for.
const END: Duration = Duration::from_secs(20);

/// What callers say, from its first loud sample on: interruptions are timed from there.
pub(super) fn clips() -> Result<Arc<[Clip]>> {
    let read = |name: &&str| {
        let clip = Clip::from_wav(voice_file(name)).with_context(|| (*name).to_owned())?;
        let samples = clip.samples();
        Ok(Clip::from_samples(samples[onset(samples)..].to_vec()))
    };
    SAID.iter().map(read).collect::<Result<Vec<_>>>().map(Into::into)
}

/// Where speech begins, in samples at 16 kHz.
fn onset(samples: &[i16]) -> usize {
    let (window, step) = (320, 80);
    let loud = samples.windows(window).step_by(step).position(|window| dbfs(window) > ONSET_DBFS);
    loud.map_or(0, |steps| steps * step)
}

/// A switch in front of these pods.
pub(super) fn switch(pods: &[&str]) -> Result<Switch> {
    Ok(SwitchBuilder::demo()?.with_esl_hosts(pods).start()?)
}

/// One caller's call.
pub(super) struct Called {
    pub(super) outcome: CallOutcome,
    /// How long each interruption took, where it can be told, and by which clip.
    pub(super) talked_over: Vec<(usize, f64)>,
}

/// Calls that are up until they are told to hang up.
pub(super) struct Crowd {
    hang_up: watch::Sender<bool>,
    calls: JoinSet<Called>,
    views: Vec<CallView>,
}

impl Crowd {
    /// Dials `count` calls at `rate` a second; they talk for `talk` after their answer, and `listening` of them listen. Returns
    /// when the last was dialled.
    pub(super) async fn dial(
        switch: &Switch,
        clips: &Arc<[Clip]>,
        count: usize,
        rate: f64,
        talk: Duration,
        listening: usize,
    ) -> Self {
        let (hang_up, _) = watch::channel(false);
        let (mut calls, mut views) = (JoinSet::new(), Vec::with_capacity(count));
        let start = Instant::now();
        // Odd, so that those who listen say all the clips, whose number is even.
        let every = (count / listening.max(1)).max(1) | 1;
        for at in 0..count {
            sleep_until(start + Duration::from_secs_f64(at as f64 / rate)).await;
            let plan = CallPlan::new(NUMBER).from(format!("+1555{at:07}"));
            let plan = if listening > 0 && at % every == 0 { plan } else { plan.deaf() };
            let call = switch.dial(plan);
            views.push(call.view());
            let lengths: Vec<Duration> = clips.iter().map(Clip::duration).collect();
            let lines = if talk.is_zero() { Vec::new() } else { talk::lines(at, talk, &lengths) };
            calls.spawn(one(call, lines, clips.clone(), hang_up.subscribe()));
        }
        Self { hang_up, calls, views }
    }

    /// All calls as they are now, in the order in which they were dialled.
    pub(super) fn snapshots(&self) -> Vec<Snapshot> {
        self.views.iter().map(CallView::snapshot).collect()
    }

    /// Ends all calls, and says what became of them.
    pub(super) async fn hang_up(mut self) -> Sum {
        self.hang_up.send_replace(true);
        let mut sum = Sum::default();
        while let Ok(Some(call)) = timeout(END, self.calls.join_next()).await {
            match call {
                Ok(called) => sum.add(called),
                Err(_) => sum.unended += 1,
            }
        }
        sum.unended += self.calls.len();
        sum
    }
}

/// One call that lasts for `duration` after its answer.
pub(super) async fn short(switch: Switch, number: usize, duration: Duration) -> CallOutcome {
    let call = switch.dial(CallPlan::new(NUMBER).from(format!("+1555{number:07}")).deaf());
    call.reaches(Progress::Answered).await;
    // An end before its time is seen in the outcome.
    let _ = timeout(duration, call.reaches(Progress::Ended)).await;
    call.hang_up();
    call.outcome().await
}

async fn one(call: CallHandle, lines: Vec<Line>, clips: Arc<[Clip]>, mut hang_up: watch::Receiver<bool>) -> Called {
    call.reaches(Progress::Answered).await;
    let answered = Instant::now();
    let talk = async {
        for line in &lines {
            sleep_until(answered + line.at).await;
            call.say(&clips[line.clip]).await;
        }
        call.reaches(Progress::Ended).await;
    };
    tokio::select! {
        () = talk => {}
        // The sender lives until all calls are over.
        _ = hang_up.wait_for(|now| *now) => {}
    }
    call.hang_up();
    let mut outcome = call.outcome().await;
    // What was begun to be said is the lines' beginning, each stamped when its first packet left.
    let begun = outcome.timeline.iter().filter(|event| matches!(event.what, Happening::Said { .. }));
    let over = |(line, spoke_ms): (&Line, f64)| {
        Some((line.clip, talked_over_ms(spoke_ms, &outcome.agent_speech, &outcome.heard)?))
    };
    let interruptions = lines.iter().zip(begun.map(|event| event.at_ms)).filter(|(line, _)| line.interrupts);
    let talked_over = interruptions.filter_map(over).collect();
    outcome.heard = Vec::new();
    Called { outcome, talked_over }
}

/// What a crowd's calls came to.
#[derive(Debug, Default)]
pub(super) struct Sum {
    pub(super) answered: usize,
    pub(super) refused: BTreeMap<u16, usize>,
    /// Ended by somebody else before they were to.
    pub(super) cut: usize,
    pub(super) unended: usize,
    pub(super) packets: u64,
    pub(super) lost: u64,
    pub(super) send_errors: u64,
    /// Each call's 99 % of how far the time between packets was off.
    pub(super) pacing_p99_ms: Vec<f64>,
    pub(super) setup_ms: Vec<f64>,
    pub(super) longest_gap_ms: Vec<f64>,
    pub(super) legs: Vec<usize>,
    pub(super) talked_over: Vec<(usize, f64)>,
}

impl Sum {
    pub(super) fn add(&mut self, called: Called) {
        let Called { outcome, talked_over } = called;
        if !outcome.answered {
            *self.refused.entry(outcome.sip_status).or_default() += 1;
            return;
        }
        self.answered += 1;
        self.cut += usize::from(outcome.ended_by == switchsim::EndedBy::Switch);
        self.packets += outcome.packets_received();
        self.lost += outcome.packets_lost();
        self.send_errors += outcome.legs.iter().map(|leg| leg.send_errors).sum::<u64>();
        self.pacing_p99_ms.push(outcome.pacing.p99_ms);
        self.setup_ms.extend(outcome.timeline.iter().filter_map(|event| match event.what {
            Happening::LegAnswered { setup_ms, .. } => Some(setup_ms),
            _ => None,
        }));
        self.longest_gap_ms.push(outcome.longest_gap_ms);
        self.legs.push(outcome.legs.len());
        self.talked_over.extend(talked_over);
    }

    /// Adds another crowd's.
    pub(super) fn merge(&mut self, other: Self) {
        self.answered += other.answered;
        other.refused.into_iter().for_each(|(status, count)| *self.refused.entry(status).or_default() += count);
        self.cut += other.cut;
        self.unended += other.unended;
        self.packets += other.packets;
        self.lost += other.lost;
        self.send_errors += other.send_errors;
        self.pacing_p99_ms.extend(other.pacing_p99_ms);
        self.setup_ms.extend(other.setup_ms);
        self.longest_gap_ms.extend(other.longest_gap_ms);
        self.legs.extend(other.legs);
        self.talked_over.extend(other.talked_over);
    }

    /// Calls that were not as they should be, in words; nothing where all were.
    pub(super) fn trouble(&self) -> String {
        let mut words = Vec::new();
        if !self.refused.is_empty() {
            words.push(format!("refused {:?}", self.refused));
        }
        for (count, what) in [(self.cut, "cut"), (self.unended, "never ended")] {
            if count > 0 {
                words.push(format!("{count} {what}"));
            }
        }
        if self.send_errors > 0 {
            words.push(format!("{} packets not taken by the system", self.send_errors));
        }
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_click_before_speech_is_no_speech() {
        let mut samples = vec![0; 16_000];
        samples[3_000] = 8_000;
        samples[8_000..].fill(3_000);
        let onset = onset(&samples);
        assert!((7_600..=8_000).contains(&onset), "{onset}");
    }
}
