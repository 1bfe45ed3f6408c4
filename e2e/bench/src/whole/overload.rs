//! More calls than a pod takes: what the admitted ones notice of it, how soon the others are turned away, and how soon the next
//! caller gets in once there is room.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use switchsim::{CallPlan, Clip, Progress, Switch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::Run;
use super::callers::{self, Crowd, NUMBER, Sum};
use super::engine::Engine;
use super::figures::{Buckets, Pace, bound};
use super::load::PACING;
use crate::timing::quantile;

/// How long callers come on top of those who have a permit.
const LONG: Duration = Duration::from_secs(12);
/// One in so many of the admitted hangs up then.
const LEAVING: usize = 10;

/// What it taught.
pub(super) struct Overload {
    pub(super) permits: usize,
    pub(super) sum: Sum,
    pub(super) refused: usize,
    /// Callers too many who were answered all the same.
    pub(super) let_in: usize,
    refused_ms: Vec<f64>,
    pub(super) pacing: Buckets,
    /// Whom the pod turned away for what, and what its callers missed meanwhile.
    pub(super) pace: Pace,
    /// Packets of the callers' that were missed or came too late.
    pub(super) missed: f64,
    pub(super) recovered_ms: Option<f64>,
}

/// A pod with some permits, and half as many callers again at any time.
pub(super) async fn measure(run: &Run, clips: &Arc<[Clip]>, permits: usize) -> Result<Overload> {
    let (too_many, leave) = ((permits / 2).max(1), (permits / LEAVING).max(1));
    let engine = Engine::start(&run.binary, run.core, permits, &[])?;
    let switch = callers::switch(&[&engine.esl])?;
    let talk = LONG + Duration::from_secs(8);
    let rate = 50.0;
    let leaving = Crowd::dial(&switch, clips, leave, rate, talk, 0).await;
    let staying = Crowd::dial(&switch, clips, permits - leave, rate, talk, 0).await;
    tokio::time::sleep(Duration::from_millis(500)).await;

    let before = engine.metrics()?;
    let mut refusals = JoinSet::new();
    let start = Instant::now();
    // Whoever is turned away calls again a second later, as many at any time as there are too many.
    let count = too_many * LONG.as_secs() as usize;
    for at in 0..count {
        sleep_until(start + LONG.mul_f64(at as f64 / count as f64)).await;
        refusals.spawn(turned_away(switch.clone(), permits + at));
    }
    let tried: Vec<Option<f64>> = refusals.join_all().await;
    let after = engine.metrics()?;

    let mut sum = leaving.hang_up().await;
    let recovered_ms = first_in(&switch, Instant::now()).await;
    sum.merge(staying.hang_up().await);
    switch.settled().await;
    let refused_ms: Vec<f64> = tried.iter().flatten().copied().collect();
    let lost = |name: &str| after.value(name) - before.value(name);
    Ok(Overload {
        permits,
        pace: Pace::between(&before, &after),
        refused: refused_ms.len(),
        let_in: tried.len() - refused_ms.len(),
        refused_ms,
        pacing: after.histogram(PACING).since(&before.histogram(PACING)),
        missed: lost("sofia_phone_rtp_packets_lost_total") + lost("sofia_phone_rtp_packets_late_total"),
        recovered_ms,
        sum,
    })
}

/// One caller too many: how long it took until they were told so, or `None` where they were let in.
async fn turned_away(switch: Switch, number: usize) -> Option<f64> {
    let outcome = callers::short(switch, number, Duration::ZERO).await;
    (!outcome.answered).then_some(outcome.duration_ms)
}

/// How long it takes, from `since` on, until a caller is answered who calls again whenever they are turned away.
pub(super) async fn first_in(switch: &Switch, since: Instant) -> Option<f64> {
    let limit = Duration::from_secs(15);
    while since.elapsed() < limit {
        let call = switch.dial(CallPlan::new(NUMBER).from("+15559999").deaf());
        call.reaches(Progress::Answered).await;
        let took = since.elapsed();
        call.hang_up();
        if call.outcome().await.answered {
            return Some(took.as_secs_f64() * 1e3);
        }
    }
    None
}

impl Overload {
    /// A quantile of how long it took to be turned away, in milliseconds.
    pub(super) fn turned_away_ms(&self, at: f64) -> f64 {
        quantile(&mut self.refused_ms.clone(), at)
    }

    /// Calls that the pod had and was to keep, in what it had promised them.
    pub(super) fn kept(&self) -> bool {
        self.sum.answered == self.permits
            && self.sum.cut == 0
            && self.sum.lost == 0
            && self.missed == 0.0
            && self.pace.missed == 0.0
    }

    /// What the table's columns are.
    pub(super) const HEAD: [&str; 10] = [
        "calls taken",
        "turned away",
        "by the pod for load / misses / permits",
        "let in beyond the permits",
        "told so after p50 / p99 ms",
        "packets lost / missed by the admitted",
        "of theirs, missed by the pod",
        "pacing p50 / p99 ms",
        "on the wire, median call's p99 ms",
        "the next caller in after ms",
    ];

    /// The only row.
    pub(super) fn cells(&self) -> Vec<String> {
        vec![
            self.sum.answered.to_string(),
            self.refused.to_string(),
            self.pace.refusals(),
            self.let_in.to_string(),
            format!("{:.0} / {:.0}", self.turned_away_ms(0.5), self.turned_away_ms(0.99)),
            format!("{} / {:.0}", self.sum.lost, self.pace.missed),
            format!("{:.0}", self.missed),
            format!("{} / {}", bound(self.pacing.bound_ms(0.5)), bound(self.pacing.bound_ms(0.99))),
            format!("{:.1}", quantile(&mut self.sum.pacing_p99_ms.clone(), 0.5)),
            self.recovered_ms.map_or_else(|| "never".to_owned(), |ms| format!("{ms:.0}")),
        ]
    }
}
