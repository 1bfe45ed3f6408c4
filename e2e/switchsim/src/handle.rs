//! A call while it runs: what the caller does next, and what can be waited for. Never sleeps for a fixed time on a test's
//! behalf.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::call::{CallShared, Control};
use crate::channel::CallState;
use crate::dialplan::playback;
use crate::media::pump::Order;
use crate::media::{Burst, Clip, Gap, LegReport};
use crate::plan::CallPlan;
use crate::report::{CallOutcome, Happening, TimelineEvent};
use crate::script::ScriptError;

/// How often a condition is looked at when nothing changes: some are of time alone.
const POLL: Duration = Duration::from_millis(20);
/// How long a call that was hung up may take to end: far beyond what any dialplan here needs.
const END_TIMEOUT: Duration = Duration::from_secs(30);

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Not answered yet.
    Dialling,
    /// Answered.
    Answered,
    /// Over.
    Ended,
}

/// A call at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Snapshot {
    /// Milliseconds since the call was dialled.
    pub at_ms: f64,
    /// How far it is.
    pub progress: Progress,
    /// Whether it was ever answered.
    pub answered: bool,
    /// Packets from pods so far.
    pub packets_received: u64,
    /// Whether the agent was loud within the last 300 ms.
    pub agent_speaks: bool,
    /// How long nothing loud was heard (as JSON in milliseconds, `agent_quiet_ms`); `None` before the agent's first word.
    #[serde(rename = "agent_quiet_ms", with = "crate::millis::optional", default)]
    pub agent_quiet_for: Option<Duration>,
    /// When the agent spoke so far.
    pub agent_speech: Vec<Burst>,
    /// Digits that the pods sent so far.
    pub digits: String,
    /// The longest time without RTP so far, between two packets from pods, in milliseconds.
    pub longest_gap_ms: f64,
    /// All such times from 60 ms on.
    pub gaps: Vec<Gap>,
    /// The legs that were answered so far; more than one after a takeover.
    pub legs: Vec<LegReport>,
    /// All that happened so far.
    pub timeline: Vec<TimelineEvent>,
}

impl Snapshot {
    /// Whether the agent said something at or after `since_ms` and has been quiet for `pause`.
    #[must_use]
    pub fn agent_finished(&self, since_ms: f64, pause: Duration) -> bool {
        self.agent_speech.last().is_some_and(|burst| burst.end_ms >= since_ms)
            && self.agent_quiet_for.is_some_and(|quiet| quiet >= pause)
    }

    /// Whether something like that happened.
    #[must_use]
    pub fn happened(&self, matches: impl Fn(&Happening) -> bool) -> bool {
        self.timeline.iter().any(|event| matches(&event.what))
    }
}

/// A condition that did not come true.
#[derive(Debug, thiserror::Error)]
#[error("waited {waited_ms:.0} ms for {what}, in vain{}: {}", if *ended { " (the call ended)" } else { "" }, brief(snapshot))]
pub struct WaitError {
    /// What was waited for.
    pub what: String,
    /// How long.
    pub waited_ms: f64,
    /// Whether the call ended meanwhile.
    pub ended: bool,
    /// The call when it was given up.
    pub snapshot: Box<Snapshot>,
}

fn brief(snapshot: &Snapshot) -> String {
    let last: Vec<String> =
        snapshot.timeline.iter().rev().take(5).rev().map(|event| format!("{:?}", event.what)).collect();
    format!(
        "{:?}, {} packets, agent spoke {} times, last events: {}",
        snapshot.progress,
        snapshot.packets_received,
        snapshot.agent_speech.len(),
        last.join(", ")
    )
}

/// A look at a call from elsewhere than where its handle is; cheap to clone, and good for looking after the call's end too.
#[derive(Clone)]
pub struct CallView(Arc<CallShared>);

impl CallView {
    /// The call as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.0.snapshot()
    }
}

/// A running call. Dropping it does not end the call; [`Self::hang_up`] does.
pub struct CallHandle {
    shared: Arc<CallShared>,
    task: JoinHandle<CallOutcome>,
    script: Option<JoinHandle<Result<(), ScriptError>>>,
    plan: CallPlan,
}

impl CallHandle {
    pub(crate) fn new(
        shared: Arc<CallShared>,
        task: JoinHandle<CallOutcome>,
        script: Option<JoinHandle<Result<(), ScriptError>>>,
        plan: CallPlan,
    ) -> Self {
        Self { shared, task, script, plan }
    }

    pub(crate) fn shared(&self) -> Arc<CallShared> {
        self.shared.clone()
    }

    /// Leg A's id, `X-Call-UUID`.
    #[must_use]
    pub fn uuid(&self) -> String {
        self.shared.channel.lock().uuid.clone()
    }

    /// A variable of the caller's channel: what a pod stored with `uuid_setvar`.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        self.shared.channel.lock().variables.get(name).map(str::to_owned)
    }

    /// The call as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// For whoever watches the call while others have its handle.
    #[must_use]
    pub fn view(&self) -> CallView {
        CallView(self.shared.clone())
    }

    /// Says a clip after what is being said already; done when it is said (or the call is over).
    pub async fn say(&self, clip: &Clip) {
        self.shared.say(clip).await;
    }

    /// Begins to say a clip, and returns at once.
    pub fn start_saying(&self, clip: &Clip) {
        drop(self.shared.say(clip));
    }

    /// Says a clip again and again.
    pub fn say_for_ever(&self, clip: &Clip) {
        self.shared.order(Order::Say { clip: clip.clone(), looped: true, done: None });
    }

    /// Falls silent in the middle of a word.
    pub fn stop_saying(&self) {
        self.shared.order(Order::StopSaying);
    }

    /// Presses digits; done when the last was sent (or the call is over).
    pub async fn dtmf(&self, digits: &str) {
        self.shared.dial(digits).await;
    }

    /// Presses digits that go to the switch as SIP INFO; done when the last was sent on, or ignored.
    pub async fn info(&self, digits: &str) {
        self.shared.info(digits).await;
    }

    /// Puts the agent on hold: its RTP still comes, the caller neither sends nor hears. With `hold_music` on leg A, or for all, the
    /// switch plays that to the agent.
    pub fn hold(&self) {
        self.shared.hold(true);
    }

    /// Takes the agent back.
    pub fn unhold(&self) {
        self.shared.hold(false);
    }

    /// Sends nothing from now on, as telephones do that are muted or say nothing and suppress silence; what comes is heard.
    pub fn stop_sending(&self) {
        self.shared.order(Order::Mute(true));
    }

    /// Sends again.
    pub fn send_again(&self) {
        self.shared.order(Order::Mute(false));
    }

    /// Hangs up, or gives up while it rings. Returns at once.
    pub fn hang_up(&self) {
        self.shared.hang_up();
    }

    /// Waits until the call is as `condition` says.
    ///
    /// # Errors
    /// After `timeout`, or as soon as the call is over and it is not.
    pub async fn wait_until(
        &self,
        what: &str,
        timeout: Duration,
        condition: impl FnMut(&Snapshot) -> bool,
    ) -> Result<Snapshot, WaitError> {
        self.shared.wait_until(what, timeout, condition).await
    }

    /// Waits until the call is that far, or over; for ever if need be.
    pub async fn reaches(&self, progress: Progress) {
        self.shared.reaches(progress, Duration::MAX).await;
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// See [`Self::wait_until`]; a refusal is an end.
    pub async fn answered(&self, timeout: Duration) -> Result<Snapshot, WaitError> {
        self.shared.answered(timeout).await
    }

    /// Waits until the agent speaks.
    ///
    /// # Errors
    /// See [`Self::wait_until`].
    pub async fn agent_speaks(&self, timeout: Duration) -> Result<Snapshot, WaitError> {
        self.wait_until("the agent to speak", timeout, |call| call.agent_speaks).await
    }

    /// Waits until the agent has said something from now on (or is saying it) and is quiet again.
    ///
    /// # Errors
    /// See [`Self::wait_until`].
    pub async fn agent_finishes(&self, timeout: Duration) -> Result<Snapshot, WaitError> {
        self.shared.agent_finishes(timeout).await
    }

    /// Waits for the end. Unless the plan had steps or somebody hung up, that is until the other side ends the call; with
    /// steps, the caller hangs up after the last.
    pub async fn outcome(mut self) -> CallOutcome {
        let mut script_error = None;
        if self.script.is_none() && !self.shared.reaches(Progress::Answered, self.plan.answer_timeout).await {
            script_error = self.answered(Duration::ZERO).await.err().map(|error| error.to_string());
            self.hang_up();
        }
        if let Some(script) = self.script.take() {
            // A panic in the script is a bug of this crate; the call is to be ended all the same.
            script_error = match script.await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(error) => Some(error.to_string()),
            };
            self.hang_up();
            if !self.shared.reaches(Progress::Ended, END_TIMEOUT).await {
                script_error.get_or_insert(format!("waited {END_TIMEOUT:?} for the end, in vain"));
            }
        }
        let mut outcome = self.task.await.expect("a call's task neither panics nor is it aborted");
        outcome.script_error = script_error;
        outcome
    }
}

impl CallShared {
    pub(crate) fn snapshot(&self) -> Snapshot {
        let now = Instant::now();
        let progress = *self.progress.borrow();
        let answered = self.channel.lock().answered_us > 0;
        let timeline = self.timeline.events().clone();
        let observed = self.monitor.lock();
        let listener = observed.listener.as_ref();
        Snapshot {
            at_ms: self.now_ms(),
            progress,
            answered,
            packets_received: observed.received(),
            agent_speaks: listener.is_some_and(|listener| listener.is_speaking(now)),
            agent_quiet_for: listener.and_then(|listener| listener.quiet_for(now)),
            agent_speech: observed.bursts().to_vec(),
            digits: observed.digits.iter().map(|heard| heard.digit).collect(),
            longest_gap_ms: observed.longest_gap.as_secs_f64() * 1e3,
            gaps: observed.gaps.clone(),
            legs: observed.legs(),
            timeline,
        }
    }

    pub(crate) async fn wait_until(
        &self,
        what: &str,
        timeout: Duration,
        mut condition: impl FnMut(&Snapshot) -> bool,
    ) -> Result<Snapshot, WaitError> {
        let started = Instant::now();
        let listening = self.timeline.listen();
        loop {
            let mut changed = std::pin::pin!(listening.next());
            changed.as_mut().enable();
            let snapshot = self.snapshot();
            if condition(&snapshot) {
                return Ok(snapshot);
            }
            let ended = snapshot.progress == Progress::Ended;
            if ended || started.elapsed() >= timeout {
                let waited_ms = started.elapsed().as_secs_f64() * 1e3;
                return Err(WaitError { what: what.to_owned(), waited_ms, ended, snapshot: Box::new(snapshot) });
            }
            let _ = tokio::time::timeout(POLL.min(timeout), changed).await;
        }
    }

    /// Waits until the call is that far, or over; false after `timeout`. Costs nothing meanwhile.
    pub(crate) async fn reaches(&self, progress: Progress, timeout: Duration) -> bool {
        let mut watch = self.progress.subscribe();
        // The sender lives as long as this call.
        tokio::time::timeout(timeout, watch.wait_for(|now| *now >= progress)).await.is_ok()
    }

    /// Waits for the answer.
    pub(crate) async fn answered(&self, timeout: Duration) -> Result<Snapshot, WaitError> {
        let started = Instant::now();
        self.reaches(Progress::Answered, timeout).await;
        let answered = self.wait_until("an answer", Duration::ZERO, |call| call.answered).await;
        answered.map_err(|error| WaitError { waited_ms: started.elapsed().as_secs_f64() * 1e3, ..error })
    }

    pub(crate) async fn agent_finishes(&self, timeout: Duration) -> Result<Snapshot, WaitError> {
        let since_ms = self.now_ms();
        let finished = |call: &Snapshot| call.agent_finished(since_ms, crate::plan::AGENT_PAUSE);
        self.wait_until("the agent to speak and to finish", timeout, finished).await
    }

    /// Queues at once; the future ends when it is said.
    pub(crate) fn say(&self, clip: &Clip) -> impl Future<Output = ()> + use<> {
        let (done, said) = oneshot::channel();
        self.order(Order::Say { clip: clip.clone(), looped: false, done: Some(done) });
        // The sender is dropped when the call ends: done either way.
        async move { drop(said.await) }
    }

    pub(crate) fn dial(&self, digits: &str) -> impl Future<Output = ()> + use<> {
        let (done, sent) = oneshot::channel();
        self.note(Happening::Dialled { digits: digits.to_owned() });
        self.order(Order::Dial { digits: digits.to_owned(), done: Some(done) });
        async move { drop(sent.await) }
    }

    /// The switch sends such digits on as it does all others, or not at all.
    pub(crate) async fn info(&self, digits: &str) {
        if self.core.config.profile("edge").is_some_and(|profile| profile.liberal_dtmf) {
            return self.dial(digits).await;
        }
        self.problem("keys by INFO are ignored: profile edge has no liberal-dtmf");
    }

    /// What the agent is to hear while it is on hold.
    fn hold_music(&self) -> Option<Clip> {
        let stream = self.channel.lock().lookup("hold_music")?.into_owned();
        if stream.eq_ignore_ascii_case("silence") {
            return None;
        }
        let music = playback(&stream).map(|playback| playback.clip);
        if music.is_none() {
            self.problem(format!("hold_music: cannot play {stream:?}"));
        }
        music
    }

    pub(crate) fn hold(&self, on: bool) {
        self.note(if on { Happening::Held } else { Happening::Unheld });
        self.channel.lock().call_state = if on { CallState::Held } else { CallState::Active };
        self.held.store(on, Ordering::Relaxed);
        let soft = ["edge", "agent"]
            .iter()
            .all(|name| self.core.config.profile(name).is_none_or(|profile| profile.soft_timer));
        if !on && !soft {
            return self.problem("without rtp-timer-name=soft audio does not come back after hold");
        }
        match self.hold_music() {
            Some(clip) if on => self.order(Order::Say { clip, looped: true, done: None }),
            Some(_) => self.order(Order::StopSaying),
            None => self.order(Order::Hold(on)),
        }
    }

    pub(crate) fn hang_up(&self) {
        if *self.progress.borrow() < Progress::Ended {
            self.note(Happening::CallerHungUp);
            let _ = self.control.send(Control::CallerHangsUp);
        }
    }
}
