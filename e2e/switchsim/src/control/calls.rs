//! The callers that were placed through the control API, running and ended. Bounded: the oldest that ended make room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::types::{CallBrief, CallState, CallStatus, NewCall};
use crate::call::CallShared;
use crate::media::Impairments;
use crate::plan::CallPlan;
use crate::report::CallOutcome;
use crate::switch::Switch;
use crate::voices;

/// Calls that run at once; more are a load's business.
const MAX_RUNNING: usize = 500;
/// Reports that are kept.
const MAX_ENDED: usize = 1_000;
/// What was heard that is kept, in samples of all calls together: over an hour, 128 MB.
const MAX_HEARD: usize = 64 << 20;

/// Why something cannot be done, as an HTTP status and in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) error: String,
}

impl Refusal {
    pub(super) fn new(status: u16, error: impl Into<String>) -> Self {
        Self { status, error: error.into() }
    }
}

enum Phase {
    Running(Arc<CallShared>),
    /// The recording may have been given up.
    Ended {
        outcome: Box<CallOutcome>,
        recorded: bool,
    },
}

struct Entry {
    to: String,
    from: String,
    phase: Phase,
}

impl Entry {
    fn state(&self) -> CallState {
        match self.phase {
            Phase::Running(_) => CallState::Running,
            Phase::Ended { .. } => CallState::Ended,
        }
    }
}

#[derive(Default)]
struct Entries {
    by_id: HashMap<String, Entry>,
    /// Ended calls, oldest first.
    ended: Vec<String>,
}

impl Entries {
    /// Makes room.
    fn shed(&mut self) {
        if self.ended.len() > MAX_ENDED {
            for id in self.ended.drain(..self.ended.len() - MAX_ENDED) {
                self.by_id.remove(&id);
            }
        }
        let mut kept = 0;
        for id in self.ended.iter().rev() {
            if let Some(Entry { phase: Phase::Ended { outcome, .. }, .. }) = self.by_id.get_mut(id) {
                kept += outcome.heard.len();
                if kept > MAX_HEARD {
                    outcome.heard = Vec::new();
                }
            }
        }
    }
}

/// See the module.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<Mutex<Entries>>);

/// Chances are shares, and a caller's clock is not another planet's.
pub(super) fn check(network: &Impairments) -> Result<(), Refusal> {
    for (name, share) in [("loss", network.loss), ("reorder", network.reorder), ("duplicate", network.duplicate)] {
        if !(0.0..=1.0).contains(&share) {
            return Err(Refusal::new(400, format!("impairments.{name}: expected 0 to 1, got {share}")));
        }
    }
    let drift = network.clock_drift_ppm;
    if !(-100_000.0..=100_000.0).contains(&drift) {
        return Err(Refusal::new(400, format!("impairments.clock_drift_ppm: expected ±100000, got {drift}")));
    }
    if network.jitter.as_secs() >= 10 {
        return Err(Refusal::new(400, "impairments.jitter_ms: expected less than 10000"));
    }
    Ok(())
}

fn plan(new: &NewCall) -> Result<CallPlan, Refusal> {
    if new.to.is_empty() {
        return Err(Refusal::new(400, "to: expected a number to dial, got nothing"));
    }
    check(&new.impairments)?;
    let mut plan = CallPlan::new(&new.to)
        .impairments(new.impairments)
        .step_timeout(new.step_timeout)
        .answer_timeout(new.answer_timeout);
    if let Some(from) = &new.from {
        plan = plan.from(from);
    }
    if let Some(name) = &new.name {
        plan = plan.name(name);
    }
    if let Some(context) = &new.context {
        plan = plan.context(context);
    }
    if let Some(address) = new.network_addr {
        plan = plan.network_addr(address.to_string());
    }
    if let Some(codecs) = &new.codecs {
        plan = plan.codecs(codecs);
    }
    plan = plan.offer(new.offer);
    if new.requires_100rel {
        plan = plan.requires_100rel();
    }
    if !new.record {
        plan = plan.unrecorded();
    }
    plan.script_of(&new.script.join("\n"), voices::clip).map_err(|error| Refusal::new(400, format!("script: {error}")))
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Places a caller; returns leg A's id.
    pub(super) fn place(&self, switch: &Switch, new: &NewCall) -> Result<String, Refusal> {
        let plan = plan(new)?;
        let mut entries = self.lock();
        if entries.by_id.len() - entries.ended.len() >= MAX_RUNNING {
            return Err(Refusal::new(429, format!("{MAX_RUNNING} calls run already; more of them are a load")));
        }
        let (to, from) = (plan.to.clone(), plan.from.clone());
        let handle = switch.dial(plan);
        let id = handle.uuid();
        entries.by_id.insert(id.clone(), Entry { to, from, phase: Phase::Running(handle.shared()) });
        drop(entries);
        let (calls, ended) = (self.clone(), id.clone());
        tokio::spawn(async move {
            let outcome = Box::new(handle.outcome().await);
            let mut entries = calls.lock();
            if let Some(entry) = entries.by_id.get_mut(&ended) {
                entry.phase = Phase::Ended { recorded: !outcome.heard.is_empty(), outcome };
                entries.ended.push(ended);
                entries.shed();
            }
        });
        Ok(id)
    }

    pub(super) fn list(&self) -> Vec<CallBrief> {
        let entries = self.lock();
        let brief = |(id, entry): (&String, &Entry)| CallBrief {
            id: id.clone(),
            state: entry.state(),
            to: entry.to.clone(),
            from: entry.from.clone(),
        };
        entries.by_id.iter().map(brief).collect()
    }

    pub(super) fn status(&self, id: &str) -> Result<CallStatus, Refusal> {
        let entries = self.lock();
        let entry = entries.by_id.get(id).ok_or_else(|| unknown(id))?;
        let (now, report) = match &entry.phase {
            Phase::Running(shared) => (Some(shared.snapshot()), None),
            Phase::Ended { outcome, .. } => (None, Some(CallOutcome { heard: Vec::new(), ..(**outcome).clone() })),
        };
        let (to, from) = (entry.to.clone(), entry.from.clone());
        Ok(CallStatus { id: id.to_owned(), state: entry.state(), to, from, now, report })
    }

    /// The caller hangs up, if the call is not over.
    pub(super) fn hang_up(&self, id: &str) -> Result<CallStatus, Refusal> {
        if let Some(Entry { phase: Phase::Running(shared), .. }) = self.lock().by_id.get(id) {
            shared.hang_up();
        }
        self.status(id)
    }

    /// What the caller heard, as a WAV file.
    pub(super) fn heard(&self, id: &str) -> Result<Vec<u8>, Refusal> {
        let entries = self.lock();
        match &entries.by_id.get(id).ok_or_else(|| unknown(id))?.phase {
            Phase::Running(_) => Err(Refusal::new(409, "the call still runs; hang up first")),
            Phase::Ended { recorded: false, .. } => Err(Refusal::new(409, "nothing was recorded in this call")),
            Phase::Ended { outcome, .. } if outcome.heard.is_empty() => {
                Err(Refusal::new(410, "the recording had to make room for those of later calls"))
            }
            Phase::Ended { outcome, .. } => Ok(outcome.heard_wav()),
        }
    }
}

fn unknown(id: &str) -> Refusal {
    Refusal::new(404, format!("there is no call {id:?}"))
}
