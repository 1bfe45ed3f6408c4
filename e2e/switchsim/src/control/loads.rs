//! Loads that keep their level: each call that ends is replaced. Figures can be read while they run. Never judges.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::calls::{Refusal, check};
use super::types::{Length, LoadState, LoadStatus, NewLevel, NewLoad, RunningTotals};
use crate::call::CallShared;
use crate::handle::{CallHandle, Progress};
use crate::load::Sum;
use crate::media::Clip;
use crate::media::monitor::NOTABLE_GAP;
use crate::plan::CallPlan;
use crate::report::{CallOutcome, EndedBy};
use crate::switch::Switch;
use crate::voices;

/// Loads that run at once.
const MAX_RUNNING: usize = 20;
/// Loads that are kept, with those that ended.
const MAX_KEPT: usize = 100;
/// Calls of one load.
const MAX_CALLS: usize = 10_000;
/// New calls a second.
const MAX_RATE: f64 = 1_000.0;
/// Calls that are kept whole.
const MAX_NOTABLE: usize = 20;
/// As good as for ever, in seconds.
const MAX_SECONDS: f64 = 366.0 * 86_400.0;

/// What a load is to do.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Target {
    calls: usize,
    rate: f64,
    stopped: bool,
}

/// A call of a load that is not over.
struct Up {
    shared: Arc<CallShared>,
    /// It was told to hang up: it is no longer one of those that are kept up.
    leaving: bool,
}

#[derive(Default)]
struct Figures {
    sum: Sum,
    offered: usize,
    /// By number, so in the order in which they were made.
    up: BTreeMap<usize, Up>,
    notable: Vec<CallOutcome>,
    ended: bool,
}

impl Figures {
    fn staying(&self) -> usize {
        self.up.values().filter(|up| !up.leaving).count()
    }

    /// Lets the oldest calls hang up until no more than `level` are left.
    fn lower_to(&mut self, level: usize) {
        let excess = self.staying().saturating_sub(level);
        for up in self.up.values_mut().filter(|up| !up.leaving).take(excess) {
            up.leaving = true;
            up.shared.hang_up();
        }
    }

    fn ended(&mut self, number: usize, outcome: CallOutcome) {
        self.up.remove(&number);
        self.sum.add(&outcome);
        let notable = outcome.ended_by == EndedBy::Switch || !outcome.gaps.is_empty();
        if notable && self.notable.len() < MAX_NOTABLE {
            self.notable.push(outcome);
        }
    }

    fn running(&self) -> RunningTotals {
        let mut totals = RunningTotals { calls: self.up.len(), ..RunningTotals::default() };
        for up in self.up.values() {
            totals.answered += usize::from(*up.shared.progress.borrow() == Progress::Answered);
            let observed = up.shared.monitor.lock();
            totals.taken_over += usize::from(observed.leg_count() > 1);
            totals.packets_received += observed.received();
            totals.packets_lost += observed.lost();
            totals.longest_gap_ms = totals.longest_gap_ms.max(observed.longest_gap.as_secs_f64() * 1e3);
            totals.calls_with_gap += usize::from(observed.longest_gap >= NOTABLE_GAP);
        }
        totals
    }
}

struct Load {
    target: watch::Sender<Target>,
    figures: Arc<Mutex<Figures>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// See the module.
#[derive(Default)]
pub(super) struct Loads(Mutex<(HashMap<String, Load>, Vec<String>)>);

fn seconds(what: &str, seconds: f64) -> Result<Duration, Refusal> {
    if (0.0..=MAX_SECONDS).contains(&seconds) {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err(Refusal::new(400, format!("{what}: expected seconds from 0 to {MAX_SECONDS}, got {seconds}")))
}

fn check_level(calls: usize, rate: f64) -> Result<(), Refusal> {
    if calls > MAX_CALLS {
        return Err(Refusal::new(400, format!("calls: expected at most {MAX_CALLS}, got {calls}")));
    }
    if !(rate > 0.0 && rate <= MAX_RATE) {
        return Err(Refusal::new(400, format!("rate: expected above 0 and at most {MAX_RATE} a second, got {rate}")));
    }
    Ok(())
}

fn check_length(length: Length) -> Result<(), Refusal> {
    match length {
        Length::Forever => Ok(()),
        Length::Fixed { seconds: fixed } => seconds("length.seconds", fixed).map(drop),
        Length::Exponential { mean_seconds } => seconds("length.mean_seconds", mean_seconds).map(drop),
        Length::Uniform { min_seconds, max_seconds } => {
            let (min, max) = (seconds("length.min_seconds", min_seconds)?, seconds("length.max_seconds", max_seconds)?);
            if min > max {
                return Err(Refusal::new(400, "length: min_seconds is above max_seconds"));
            }
            Ok(())
        }
    }
}

/// One call's length, by chance; `None`: for ever.
fn drawn(length: Length, dice: &mut StdRng) -> Option<Duration> {
    let seconds = match length {
        Length::Forever => return None,
        Length::Fixed { seconds } => seconds,
        Length::Uniform { min_seconds, max_seconds } => {
            min_seconds + (max_seconds - min_seconds) * dice.random::<f64>()
        }
        // The inverse of the distribution; 1 − u is never 0.
        Length::Exponential { mean_seconds } => -mean_seconds * (1.0 - dice.random::<f64>()).ln(),
    };
    Some(Duration::from_secs_f64(seconds.clamp(0.0, MAX_SECONDS)))
}

impl Loads {
    /// Starts a load; returns its id.
    pub(super) fn start(&self, switch: &Switch, new: NewLoad) -> Result<String, Refusal> {
        if new.to.is_empty() {
            return Err(Refusal::new(400, "to: expected a number to dial, got nothing"));
        }
        check(&new.impairments)?;
        check_level(new.calls, new.rate)?;
        check_length(new.length)?;
        let lasts = new.seconds.map(|limit| seconds("seconds", limit)).transpose()?;
        let speech = new.say.as_deref().map(voices::clip).transpose();
        let speech = speech.map_err(|error| Refusal::new(400, format!("say: {error}")))?;
        let mut loads = locked(&self.0);
        let (by_id, order) = &mut *loads;
        let is_over = |load: &Load| locked(&load.figures).ended;
        if by_id.values().filter(|load| !is_over(load)).count() >= MAX_RUNNING {
            return Err(Refusal::new(429, format!("{MAX_RUNNING} loads run already")));
        }
        if order.len() >= MAX_KEPT
            && let Some(at) = order.iter().position(|id| by_id.get(id).is_none_or(is_over))
        {
            by_id.remove(&order.remove(at));
        }
        let id = Uuid::new_v4().to_string();
        let (target, targets) = watch::channel(Target { calls: new.calls, rate: new.rate, stopped: false });
        let figures = Arc::<Mutex<Figures>>::default();
        let driver = Driver {
            switch: switch.clone(),
            dice: StdRng::seed_from_u64(new.seed),
            until: lasts.map(|lasts| Instant::now() + lasts),
            new,
            speech,
            targets,
            figures: figures.clone(),
        };
        tokio::spawn(driver.run());
        by_id.insert(id.clone(), Load { target, figures });
        order.push(id.clone());
        Ok(id)
    }

    pub(super) fn list(&self) -> Vec<String> {
        locked(&self.0).1.clone()
    }

    pub(super) fn status(&self, switch: &Switch, id: &str) -> Result<LoadStatus, Refusal> {
        let loads = locked(&self.0);
        let load = loads.0.get(id).ok_or_else(|| unknown(id))?;
        let target = *load.target.borrow();
        let figures = locked(&load.figures);
        let state = match (figures.ended, target.stopped) {
            (true, _) => LoadState::Ended,
            (false, true) => LoadState::Stopping,
            (false, false) => LoadState::Running,
        };
        Ok(LoadStatus {
            id: id.to_owned(),
            state,
            level: if state == LoadState::Running { target.calls } else { 0 },
            offered: figures.offered,
            running: figures.running(),
            report: figures.sum.report(switch.pump_report()),
            notable: figures.notable.clone(),
        })
    }

    pub(super) fn set_level(&self, switch: &Switch, id: &str, level: NewLevel) -> Result<LoadStatus, Refusal> {
        {
            let loads = locked(&self.0);
            let load = loads.0.get(id).ok_or_else(|| unknown(id))?;
            let rate = level.rate.unwrap_or(load.target.borrow().rate);
            check_level(level.calls, rate)?;
            if load.target.borrow().stopped || locked(&load.figures).ended {
                return Err(Refusal::new(409, "the load is stopped; start another"));
            }
            load.target.send_modify(|target| (target.calls, target.rate) = (level.calls, rate));
        }
        self.status(switch, id)
    }

    pub(super) fn stop(&self, switch: &Switch, id: &str) -> Result<LoadStatus, Refusal> {
        {
            let loads = locked(&self.0);
            let load = loads.0.get(id).ok_or_else(|| unknown(id))?;
            load.target.send_modify(|target| target.stopped = true);
        }
        self.status(switch, id)
    }
}

fn unknown(id: &str) -> Refusal {
    Refusal::new(404, format!("there is no load {id:?}"))
}

/// The task of one load.
struct Driver {
    switch: Switch,
    new: NewLoad,
    speech: Option<Clip>,
    dice: StdRng,
    until: Option<Instant>,
    targets: watch::Receiver<Target>,
    figures: Arc<Mutex<Figures>>,
}

impl Driver {
    async fn run(mut self) {
        let mut calls = JoinSet::new();
        let mut next_at = Instant::now();
        loop {
            let mut target = *self.targets.borrow_and_update();
            let over = self.until.is_some_and(|until| Instant::now() >= until);
            if target.stopped || over {
                target.calls = 0;
            }
            let wanted = {
                let mut figures = locked(&self.figures);
                figures.lower_to(target.calls);
                figures.staying() < target.calls
            };
            if (target.stopped || over) && calls.is_empty() {
                break;
            }
            tokio::select! {
                // The registry never forgets a load that runs.
                changed = self.targets.changed(), if !target.stopped => if changed.is_err() { break },
                Some(ended) = calls.join_next() => {
                    // A task that panicked is a bug of this crate: as a call that never was it would be hidden.
                    let (number, outcome) = ended.expect("a load's call does not panic");
                    locked(&self.figures).ended(number, outcome);
                }
                () = sleep_until(next_at), if wanted => {
                    next_at = next_at.max(Instant::now()) + Duration::from_secs_f64(1.0 / target.rate);
                    let (number, handle) = self.dial();
                    let (speech, lasts) = (self.speech.clone(), drawn(self.new.length, &mut self.dice));
                    calls.spawn(async move { (number, one(handle, speech, lasts).await) });
                }
                () = sleep_until(self.until.unwrap_or_else(Instant::now)), if self.until.is_some() && !over => {}
            }
        }
        locked(&self.figures).ended = true;
    }

    fn dial(&self) -> (usize, CallHandle) {
        let mut figures = locked(&self.figures);
        let number = figures.offered;
        figures.offered += 1;
        let prefix = self.new.from_prefix.as_deref().unwrap_or("+1555");
        let mut plan = CallPlan::new(&self.new.to)
            .from(format!("{prefix}{:07}", number % 10_000_000))
            .impairments(self.new.impairments)
            .deaf();
        if let Some(address) = self.new.network_addr {
            plan = plan.network_addr(address.to_string());
        }
        let handle = self.switch.dial(plan);
        figures.up.insert(number, Up { shared: handle.shared(), leaving: false });
        (number, handle)
    }
}

async fn one(call: CallHandle, speech: Option<Clip>, lasts: Option<Duration>) -> CallOutcome {
    call.reaches(Progress::Answered).await;
    if let Some(speech) = &speech {
        call.say_for_ever(speech);
    }
    if let Some(lasts) = lasts {
        // An end before its time is seen in the outcome.
        let _ = timeout(lasts, call.reaches(Progress::Ended)).await;
        call.hang_up();
    }
    call.outcome().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_as_they_are_asked_for() {
        let mut dice = StdRng::seed_from_u64(1);
        let mut mean = |length| (0..10_000).map(|_| drawn(length, &mut dice).unwrap().as_secs_f64()).sum::<f64>() / 1e4;
        assert_eq!(mean(Length::Fixed { seconds: 3.0 }), 3.0);
        let uniform = mean(Length::Uniform { min_seconds: 20.0, max_seconds: 40.0 });
        assert!((29.0..31.0).contains(&uniform), "{uniform}");
        let exponential = mean(Length::Exponential { mean_seconds: 30.0 });
        assert!((28.0..32.0).contains(&exponential), "{exponential}");
        assert_eq!(drawn(Length::Forever, &mut dice), None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(check_level(MAX_CALLS, MAX_RATE).is_ok());
        for (calls, rate) in [(MAX_CALLS + 1, 1.0), (1, 0.0), (1, -1.0), (1, f64::NAN), (1, f64::INFINITY)] {
            assert_eq!(check_level(calls, rate).unwrap_err().status, 400, "{calls} at {rate}");
        }
        for length in [
            Length::Fixed { seconds: -1.0 },
            Length::Fixed { seconds: f64::NAN },
            Length::Uniform { min_seconds: 2.0, max_seconds: 1.0 },
            Length::Exponential { mean_seconds: f64::INFINITY },
        ] {
            assert_eq!(check_length(length).unwrap_err().status, 400, "{length:?}");
        }
    }
}
