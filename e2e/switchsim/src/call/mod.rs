//! One call: the caller's leg with its dialplan ([`caller`]), the pod's leg ([`pod`]), and what the two share. Owns tasks
//! and connections; what is on the wire is [`crate::esl`]'s and [`crate::media`]'s.

mod api;
mod caller;
mod names;
mod pod;

pub(crate) use api::{SwitchApi, api};

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use crate::cause::Cause;
use crate::channel::{Channel, SharedChannel};
use crate::dialplan::TransferTo;
use crate::handle::{CallHandle, Progress};
use crate::masked;
use crate::media::listener::Listener;
use crate::media::monitor::Monitor;
use crate::media::pump::Order;
use crate::plan::CallPlan;
use crate::report::{CallOutcome, EndedBy, Happening};
use crate::script;
use crate::switch::{Core, Reach, Registered};
use crate::timeline::Timeline;

/// What can be asked of a caller's leg at any time.
#[derive(Debug)]
pub(crate) enum Control {
    /// The caller hangs up.
    CallerHangsUp,
    /// `uuid_kill`, `sched_hangup`.
    Kill(Cause),
    /// `uuid_transfer`.
    Transfer(TransferTo),
}

/// What can be asked of a pod's leg.
#[derive(Debug)]
pub(crate) enum LegCommand {
    /// Leg B got the 200 OK.
    Ack,
    /// Leg B hangs up.
    Bye(Cause),
    /// Leg B gives up before the answer.
    Cancel,
    /// `uuid_kill`.
    Kill(Cause),
}

/// What a pod's leg tells leg B.
#[derive(Debug)]
pub(crate) enum LegEvent {
    /// 200 OK.
    Answered { sdp: String, setup_ms: f64 },
    /// BYE, or a final response.
    Ended(Cause),
}

/// What the tasks of one call and its handle share.
pub(crate) struct CallShared {
    pub(crate) core: Arc<Core>,
    pub(crate) epoch: Instant,
    /// The media thread's name for this caller.
    pub(crate) id: u64,
    pub(crate) channel: SharedChannel,
    pub(crate) monitor: Arc<Monitor>,
    pub(crate) control: mpsc::UnboundedSender<Control>,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) timeline: Arc<Timeline>,
    /// The caller has put the agent on hold.
    pub(crate) held: AtomicBool,
}

impl CallShared {
    pub(crate) fn now_ms(&self) -> f64 {
        self.epoch.elapsed().as_secs_f64() * 1e3
    }

    pub(crate) fn note(&self, what: Happening) {
        self.timeline.note(what);
    }

    /// The call is that far.
    pub(crate) fn reach(&self, progress: Progress) {
        self.progress.send_replace(progress);
        self.timeline.ring();
    }

    pub(crate) fn problem(&self, problem: impl Into<String>) {
        let problem = problem.into();
        tracing::warn!(call = self.id, problem);
        self.note(Happening::Problem { problem });
    }

    /// Whether the switch has no session left of this second for that leg of the call.
    pub(crate) fn throttled(&self, leg: char) -> bool {
        let throttled = !self.core.throttle.takes(Instant::now());
        if throttled {
            self.note(Happening::Throttled { leg });
        }
        throttled
    }

    pub(crate) fn order(&self, order: Order) {
        self.core.pump.order(self.id, order);
    }
}

/// How the caller's leg ended.
pub(crate) struct CallerEnd {
    pub(crate) cause: Cause,
    pub(crate) by: EndedBy,
    pub(crate) attempts: u32,
    /// Set by `respond`.
    pub(crate) response: Option<u16>,
}

/// Starts the tasks of a call.
pub(crate) fn start(core: &Arc<Core>, plan: CallPlan) -> CallHandle {
    let epoch = Instant::now();
    let id = core.next_id();
    let uuid = Uuid::new_v4().to_string();
    let profile = core.config.profile("edge");
    let context = match (plan.context.is_empty(), profile) {
        (true, Some(profile)) => profile.context.clone(),
        (true, None) => "default".to_owned(),
        (false, _) => plan.context.clone(),
    };
    let host = profile.map_or_else(|| "127.0.0.1".to_owned(), |profile| profile.sip_ip.to_string());
    let number = names::taken(&plan.from);
    let name = names::taken(plan.name.as_deref().unwrap_or(&plan.from));
    let mut channel =
        Channel::new(&uuid, format!("sofia/edge/{}@{host}", plan.from), &number, &name, &plan.to, &context);
    channel.globals = core.globals.clone();
    channel.network_addr.clone_from(&plan.network_addr);
    let channel = SharedChannel::new(channel);
    let (control, controls) = mpsc::unbounded_channel();
    let listener = plan.listen.then(|| Listener::new(epoch, plan.record));
    let monitor = Arc::new(Monitor::new(epoch, listener));
    let (progress, _) = watch::channel(Progress::Dialling);
    let timeline = Arc::new(Timeline::new(id, epoch));
    let shared = Arc::new(CallShared {
        core: core.clone(),
        epoch,
        id,
        channel: channel.clone(),
        monitor: monitor.clone(),
        control: control.clone(),
        progress,
        timeline: timeline.clone(),
        held: AtomicBool::new(false),
    });
    core.channels().insert(uuid.clone(), Registered { channel, control: Reach::Caller(control) });
    let mut impairments = plan.impairments;
    // Callers of the same plan are not to move in step.
    impairments.seed = impairments.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(id);
    shared.order(Order::Add { monitor, timeline, impairments });

    let run = shared.clone();
    let (to, from, invite) = (plan.to.clone(), plan.from.clone(), plan.invite.clone());
    let task = tokio::spawn(async move {
        let end = caller::run(&run, controls, &invite).await;
        run.core.channels().remove(&uuid);
        let (removed, gone) = oneshot::channel();
        run.order(Order::Remove { removed });
        // What the media thread has still to count belongs to the report; without the thread there is nothing to wait for.
        let _ = gone.await;
        finish(&run, end, uuid, to, from)
    });
    let script = (!plan.steps.is_empty()).then(|| tokio::spawn(script::run(shared.clone(), plan.clone())));
    CallHandle::new(shared, task, script, plan)
}

fn finish(shared: &CallShared, end: CallerEnd, uuid: String, to: String, from: String) -> CallOutcome {
    let channel = {
        let mut channel = shared.channel.lock();
        channel.cause = Some(end.cause);
        channel.clone()
    };
    let answered = channel.answered_us > 0;
    shared.note(Happening::Ended { cause: end.cause });
    shared.reach(Progress::Ended);
    let mut observed = shared.monitor.lock();
    observed.detach();
    let timeline = shared.timeline.events().clone();
    let answered_after_ms = timeline.iter().find(|event| event.what == Happening::Answered).map(|event| event.at_ms);
    let sip_headers = channel
        .variables
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("sip_rh_")?.to_owned(), value.to_owned())))
        .filter(|_| !answered)
        .collect();
    CallOutcome {
        uuid,
        to,
        from,
        answered,
        answered_after_ms,
        sip_status: if answered { 200 } else { end.response.unwrap_or_else(|| end.cause.sip_status()) },
        sip_headers,
        cause: end.cause,
        ended_by: end.by,
        duration_ms: shared.now_ms(),
        attempts: end.attempts,
        legs: observed.legs(),
        longest_gap_ms: observed.longest_gap.as_secs_f64() * 1e3,
        gaps: std::mem::take(&mut observed.gaps),
        pacing: observed.pacing.summary(),
        agent_speech: observed.bursts().to_vec(),
        digits_heard: std::mem::take(&mut observed.digits),
        variables: channel
            .variables
            .iter()
            .map(|(name, value)| (name.to_owned(), masked::value(name, value)))
            .collect(),
        script_error: None,
        timeline,
        heard: observed.listener.as_mut().map(Listener::take_samples).unwrap_or_default(),
        pacing_histogram: std::mem::take(&mut observed.pacing),
    }
}
