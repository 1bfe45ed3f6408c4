//! One call's dialogue: a state machine that is told what happens and says what to do. It does no input or output,
//! reads no clock, and never waits without a deadline: whatever gets lost outside, the caller hears something.
//!
//! # Driving it
//!
//! ```text
//! loop {
//!     conversation.handle(now, input)              // or handle_timeout(now), when poll_timeout() has passed
//!     while let Some(action) = conversation.poll_action() { … }    // carry out in order
//! }
//! ```
//!
//! Drain the actions after every call: each adds a bounded number of them. Inputs that come late, twice or for
//! something that was cancelled are ignored. [`Conversation::interruptible`] says whether the media plane should watch
//! for barge-in.
//!
//! # Barge-in
//!
//! After 100 ms of speech over the agent nobody can know yet whether it is a cough. So the interruption comes in two
//! steps:
//!
//! 1. [`Input::BargeIn`]: the media plane has faded the agent out and paused it. From here on nothing new is given out,
//!    but the reply goes on being written.
//! 2. When the caller's words are known, the reply is cancelled and cleared, and the history keeps what was heard of
//!    it. Where there are none (a cough, or an empty transcription), the agent goes on where it was paused.
//!
//! Where transcription fails, the length of the speech decides: from [`ConversationSettings::sure_speech`] on somebody
//! has said something, and the agent stops and apologises; below, it goes on. Waiting for the words costs the caller
//! nothing, since the agent is already quiet; and an utterance that turns out to be a lorry has not cost them an
//! answer. Nor has an "mm-hmm": see `floor`.
//!
//! # Words that belong together
//!
//! A caller who goes on speaking before anything of the answer was heard has not finished: their words are put together
//! and answered once. Until they have finished, an answer that is ready waits; but not for something so short that it will
//! hardly turn out to be a word, nor for something that goes on and on without any: see `glimpse`.

mod caller;
mod event;
mod floor;
mod glimpse;
mod playout;
mod reply;
mod settings;
mod takeover;
#[cfg(test)]
mod tests;
mod timers;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

pub(crate) use self::playout::CHARS_PER_SECOND;
use self::{
    caller::Caller,
    floor::Floor,
    glimpse::Presence,
    playout::{Playout, Voice},
    reply::Reply,
    timers::{Timer, Timers},
};
pub use self::{
    event::{Action, ClipId, EndReason, Failure, Input, Mark, Phase, Step, TurnId},
    settings::{ConversationSettings, Interruptions, Limits},
};
use super::{history::History, state::SavedState};
use crate::sessions::{SessionEntries, SessionState};

/// The dialogue of one call. See the module's description.
#[derive(Debug)]
pub struct Conversation {
    settings: ConversationSettings,
    timers: Timers,
    actions: VecDeque<Action>,
    stage: Stage,
    /// When the call began on this pod, and how long it had lasted before.
    began: Instant,
    lasted_before: Duration,
    takeovers: u32,
    /// What another pod left, until the call is answered here.
    resumed: Option<SavedState>,
    history: History,
    playout: Playout,
    /// When the media plane paused the agent for a barge-in.
    paused: Option<Instant>,
    /// When the agent was last stopped for good.
    stopped_at: Instant,
    /// The clip that the playout watchdog was set for, and whether it had started.
    watched: Option<(ClipId, bool)>,
    reply: Option<Reply>,
    caller: Caller,
    floor: Floor,
    closing: Option<Closing>,
    last_turn: u32,
    failures: u32,
    silence_prompts: u32,
    /// The pod before this one was lost with words of the caller's, and nothing has come of it yet.
    words_lost: bool,
    /// Whether what is kept says that the caller is being listened to.
    kept_hearing: bool,
    unsaved: bool,
    /// The caller was talking with another pod, of whose conversation nothing is known.
    unknown_before: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Created,
    Talking,
    Transferring,
    Ended(EndReason),
}

/// The call ends when what is queued has been heard.
#[derive(Debug, Clone, Copy)]
struct Closing {
    reason: EndReason,
    /// Whether the caller can talk the agent out of it.
    firm: bool,
}

impl Conversation {
    /// A new call, not answered yet.
    pub fn new(settings: ConversationSettings, now: Instant) -> Self {
        let mut timers = Timers::default();
        timers.set(Timer::Answer, now, settings.limits.answer);
        Self {
            settings,
            timers,
            actions: VecDeque::new(),
            stage: Stage::Created,
            began: now,
            lasted_before: Duration::ZERO,
            takeovers: 0,
            resumed: None,
            history: History::new(),
            playout: Playout::default(),
            paused: None,
            stopped_at: now,
            watched: None,
            reply: None,
            caller: Caller::default(),
            floor: Floor::default(),
            closing: None,
            last_turn: 0,
            failures: 0,
            silence_prompts: 0,
            words_lost: false,
            kept_hearing: false,
            unsaved: false,
            unknown_before: false,
        }
    }

    /// Takes the next thing that happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        if self.has_ended() {
            return;
        }
        match input {
            Input::Answered => self.answered(now),
            Input::SpeechStarted => {
                self.forget_presence();
                self.speech_started(now);
            }
            Input::SpeechDiscarded => self.speech_discarded(),
            Input::SpeechFaltered => self.speech_faltered(),
            Input::SpeechResumed => self.speech_resumed(),
            Input::Utterance { speech, ended_at } => self.utterance(now, speech, ended_at),
            Input::BargeIn => self.barge_in(now),
            Input::Transcribed { turn, result } => self.transcribed(now, turn, result),
            Input::Reply { turn, text } => self.reply_text(now, turn, &text),
            Input::ReplyTool { turn, call } => self.reply_tool(now, turn, call),
            Input::ReplyPaused { turn } => self.reply_paused(turn),
            Input::ReplyTakenBack { turn } => self.reply_taken_back(turn),
            Input::ReplyRefused { turn, reason } => self.reply_refused(now, turn, reason),
            Input::ReplyEnded { turn, result } => self.reply_ended(now, turn, result),
            Input::ClipStarted { clip } => {
                self.agent_begins(now);
                self.clip_started(now, clip);
            }
            Input::ClipEnded { clip } => self.clip_ended(now, clip),
            Input::ClipCut { clip, heard } => self.playout.cut(clip, heard),
            Input::ClipBrokeOff { clip, heard, failure } => self.clip_broke_off(now, clip, heard, failure),
            Input::ClipFailed { clip, failure } => self.clip_failed(now, clip, failure),
            Input::Dtmf { digit } => self.key_pressed(now, digit),
            Input::Hold => self.hold(now),
            Input::Unhold => self.unhold(now),
            Input::Transferred if self.stage == Stage::Transferring => self.end(now, EndReason::Transferred, false),
            Input::TransferFailed => self.transfer_failed(),
            Input::Transferred => {}
            Input::CallerHungUp => {
                let transferring = self.stage == Stage::Transferring;
                self.end(now, if transferring { EndReason::Transferred } else { EndReason::CallerHungUp }, false);
            }
            Input::HandOver => {
                let mut state = self.saved_state(now);
                if let Some(reply) = &mut state.reply {
                    reply.plays_on = false;
                }
                self.actions.push_back(Action::SaveState(Box::new(state)));
                self.end(now, EndReason::HandedOver, false);
            }
            Input::Stop { reason } => self.end(now, reason, true),
        }
        self.advance(now);
    }

    /// Tells the time, when [`Self::poll_timeout`] has passed. Too early or too late does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.take_due(now) {
            self.expired(now, timer);
            self.advance(now);
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`Self::handle_timeout`] if nothing happens before: always some time, until the call has ended.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// What it is doing.
    pub fn phase(&self) -> Phase {
        let hears = self.caller.speaking || !self.caller.keys.is_empty();
        match self.stage {
            Stage::Created => Phase::Created,
            Stage::Transferring => Phase::Transferring,
            Stage::Ended(_) => Phase::Ended,
            Stage::Talking if self.closing.is_some() => Phase::Closing,
            Stage::Talking if self.paused.is_some() => Phase::Interrupted,
            Stage::Talking if self.playout.head_voice() == Some(Voice::Greeting) => Phase::Greeting,
            Stage::Talking if self.playout.has_out() => Phase::Speaking,
            Stage::Talking if !self.caller.hearing.is_empty() => Phase::Transcribing,
            Stage::Talking if hears && self.reply.is_none() => Phase::CallerSpeaking,
            Stage::Talking if self.reply.is_some() || !self.playout.is_idle() => Phase::Thinking,
            Stage::Talking => Phase::Listening,
        }
    }

    /// The same, as the outside names a session's state.
    pub fn session_state(&self) -> SessionState {
        match self.stage {
            Stage::Ended(reason) if reason.is_error() => SessionState::Error,
            Stage::Ended(_) => SessionState::Ended,
            Stage::Transferring => SessionState::Transferring,
            Stage::Created => SessionState::Created,
            Stage::Talking if self.closing.is_some() => SessionState::Ending,
            Stage::Talking if self.timers.is_held() => SessionState::OnHold,
            Stage::Talking => SessionState::Active,
        }
    }

    /// Why it ended, once it has.
    pub fn end_reason(&self) -> Option<EndReason> {
        match self.stage {
            Stage::Ended(reason) => Some(reason),
            _ => None,
        }
    }

    /// May the caller stop the agent by speaking? Where not, barge-in should not even pause it.
    pub fn interruptible(&self) -> bool {
        self.is_open_to_caller()
            && self.settings.interruptions == Interruptions::Allowed
            && self.caller.presence != Presence::Nobody
    }

    /// What has been said.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// How long the call has lasted, on this pod and those before.
    pub fn lasted(&self, now: Instant) -> Duration {
        self.lasted_before.saturating_add(now.saturating_duration_since(self.began))
    }

    /// Tells how much it holds.
    pub(crate) fn count(&self, entries: &mut SessionEntries) {
        entries.history = self.history.len();
        entries.sentences = self.playout.len();
        entries.utterances = self.caller.hearing.len();
        entries.lost_words = usize::from(self.words_lost);
    }

    /// How many pods had this call before.
    pub fn takeovers(&self) -> u32 {
        self.takeovers
    }

    /// What it was set to.
    pub fn settings(&self) -> &ConversationSettings {
        &self.settings
    }

    fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended(_))
    }

    fn is_generating(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| reply.generating)
    }

    fn is_closing_firmly(&self) -> bool {
        self.closing.is_some_and(|closing| closing.firm)
    }

    /// Does what the caller does still count?
    fn is_open_to_caller(&self) -> bool {
        self.stage == Stage::Talking && !self.is_closing_firmly()
    }

    /// Nobody but the agent has anything to say just now.
    fn is_floor_free(&self) -> bool {
        self.paused.is_none() && self.caller.is_quiet() && !self.timers.is_held()
    }

    fn mark(&mut self, mark: Mark) {
        self.actions.push_back(Action::Mark(mark));
    }

    fn next_turn(&mut self) -> TurnId {
        self.last_turn = self.last_turn.wrapping_add(1);
        TurnId(self.last_turn)
    }

    fn answered(&mut self, now: Instant) {
        if self.stage != Stage::Created {
            return;
        }
        self.stage = Stage::Talking;
        self.began = now;
        self.timers.clear(Timer::Answer);
        let left = self.settings.max_duration.saturating_sub(self.lasted_before);
        self.timers.set(Timer::MaxDuration, now, left);
        self.mark(Mark::Started { takeovers: self.takeovers });
        match self.resumed.take() {
            Some(saved) => self.take_over(now, saved),
            None if self.unknown_before || !self.history.is_empty() => self.go_on_unknown(now),
            None => self.greet(),
        }
    }

    fn greet(&mut self) {
        self.playout.queue_phrase(Voice::Greeting, &self.settings.greeting, &self.settings.split);
    }

    /// After every event: gives out what can be spoken, ends what is over, and sets the watchdogs.
    fn advance(&mut self, now: Instant) {
        if self.has_ended() || self.stage == Stage::Created {
            return;
        }
        self.give_out();
        if !self.playout.is_cutting()
            && let Some(said) = self.caller.next.take()
        {
            self.begin_turn(now, said);
        }
        if self.stage == Stage::Talking && self.playout.is_idle() && !self.is_generating() {
            self.all_heard(now);
        }
        if self.has_ended() {
            return;
        }
        self.watch_playout(now);
        self.watch_presence(now);
        self.watch_silence(now);
        if std::mem::take(&mut self.unsaved) || self.kept_hearing != self.is_hearing() {
            self.save(now);
        }
    }

    fn give_out(&mut self) {
        while !self.holds_its_tongue()
            && let Some(action) = self.playout.release()
        {
            self.actions.push_back(action);
        }
        if self.paused.is_none()
            && let Some(reply) = &mut self.reply
        {
            self.actions.extend(reply.keys.drain(..).map(|digits| Action::SendDtmf { digits }));
        }
    }

    fn holds_its_tongue(&self) -> bool {
        if self.is_closing_firmly() {
            return false;
        }
        let answer_next = matches!(self.playout.next_voice(), Some(Voice::Reply(_) | Voice::Apology));
        self.paused.is_some()
            || self.timers.is_held()
            || self.stage == Stage::Transferring
            || (answer_next && !self.playout.has_been_heard() && self.caller_holds_floor())
    }

    /// Everything that there was to say has been said.
    fn all_heard(&mut self, now: Instant) {
        self.record_heard();
        let free = self.is_floor_free();
        if let Some(closing) = self.closing {
            if closing.firm || free {
                self.end(now, closing.reason, true);
            }
            return;
        }
        match &mut self.reply {
            Some(reply) if reply.closing.is_some() => {
                if free && let Some(call) = reply.closing.take() {
                    self.carry_out(now, call);
                }
                return;
            }
            Some(reply) => {
                if !reply.failed {
                    self.failures = 0;
                }
                self.reply = None;
                self.unsaved = true;
            }
            None => {}
        }
        if free && let Some(said) = self.caller.deferred.take() {
            self.begin_turn(now, said);
        }
    }

    /// Moves what the caller has heard into the history.
    fn record_heard(&mut self) {
        if let Some(heard) = self.playout.take_heard() {
            self.history.push_assistant(&heard.text);
            self.mark(Mark::AgentSaid { turn: heard.turn, text: heard.text });
            self.unsaved = true;
        }
    }

    fn watch_playout(&mut self, now: Instant) {
        let head = if self.paused.is_some() { None } else { self.playout.head() };
        if head == self.watched {
            return;
        }
        self.watched = head;
        match head {
            None => self.timers.clear(Timer::Playout),
            Some((_, false)) => self.timers.set(Timer::Playout, now, self.settings.limits.clip_start),
            Some((_, true)) => self.timers.set(Timer::Playout, now, self.settings.limits.clip_play),
        }
    }

    fn watch_silence(&mut self, now: Instant) {
        let idle = self.stage == Stage::Talking
            && self.closing.is_none()
            && self.reply.is_none()
            && self.playout.is_idle()
            && self.caller.is_quiet()
            && self.paused.is_none();
        if !idle {
            self.timers.clear(Timer::Silence);
        } else if !self.timers.is_set(Timer::Silence) {
            self.timers.set(Timer::Silence, now, self.settings.silence_prompt_after);
        }
    }

    fn expired(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Answer => self.end(now, EndReason::NotAnswered, true),
            Timer::Caller => self.speech_discarded(),
            Timer::Glimpse => self.ask_who_speaks(),
            Timer::Dtmf => self.keys_complete(now),
            Timer::Transcription => self.transcription_overdue(now),
            Timer::Generation | Timer::GenerationAll => self.generation_overdue(now),
            Timer::Playout => self.playout_overdue(now),
            Timer::Cut => self.playout.settle_cuts(self.stopped_at),
            Timer::Silence => self.caller_silent(now),
            Timer::LostWords => self.own_up_to_lost_words(now),
            Timer::Transfer => self.transfer_failed(),
            Timer::Farewell if !self.is_closing_firmly() && !self.is_floor_free() => {
                // The caller has found their tongue: their words may change everything.
                self.timers.set(Timer::Farewell, now, self.settings.limits.utterance);
            }
            Timer::Farewell => {
                let reason = self.closing.map_or(EndReason::Error, |closing| closing.reason);
                self.end(now, reason, true);
            }
            Timer::MaxDuration if self.stage == Stage::Transferring => {
                self.timers.set(Timer::MaxDuration, now, self.settings.limits.transfer);
            }
            Timer::MaxDuration => {
                if self.is_open_to_caller() {
                    self.stop_agent(now);
                    self.stop_listening();
                    self.close(now, EndReason::MaxDuration, true, self.settings.goodbye_grace);
                }
            }
        }
    }

    fn caller_silent(&mut self, now: Instant) {
        if self.silence_prompts < self.settings.max_silence_prompts {
            self.silence_prompts += 1;
            self.mark(Mark::SilencePrompt { number: self.silence_prompts });
            self.playout.queue_phrase(Voice::Phrase, &self.settings.silence_prompt, &self.settings.split);
        } else {
            self.close(now, EndReason::CallerSilent, false, self.settings.limits.farewell);
        }
    }

    /// Says goodbye; the call ends when it was heard, or `within` that time.
    fn close(&mut self, now: Instant, reason: EndReason, firm: bool, within: Duration) {
        self.closing = Some(Closing { reason, firm });
        self.timers.set(Timer::Farewell, now, within);
        self.playout.queue_phrase(Voice::Phrase, &self.settings.goodbye, &self.settings.split);
    }

    fn hold(&mut self, now: Instant) {
        if self.stage == Stage::Talking && !self.timers.is_held() {
            self.timers.hold(now);
            self.caller.speaking = false;
            self.timers.clear(Timer::Caller);
            self.forget_presence();
            self.mark(Mark::OnHold { held: true });
        }
    }

    fn unhold(&mut self, now: Instant) {
        if self.timers.is_held() {
            self.timers.unhold(now);
            self.mark(Mark::OnHold { held: false });
            self.nothing_said();
        }
    }

    fn end(&mut self, now: Instant, reason: EndReason, hang_up: bool) {
        for turn in self.caller.take_pending() {
            self.actions.push_back(Action::Cancel { turn });
        }
        self.drop_reply();
        self.playout.clear();
        self.playout.settle_cuts(self.paused.unwrap_or(now));
        self.record_heard();
        self.timers.clear_all();
        self.caller = Caller::default();
        (self.paused, self.closing, self.unsaved) = (None, None, false);
        self.stage = Stage::Ended(reason);
        if hang_up {
            self.actions.push_back(Action::HangUp { cause: reason });
        }
        self.mark(Mark::Ended { reason });
    }
}
