//! The caller's side of a conversation: speech, keys, barge-in, and which words belong together.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    Conversation,
    event::{Action, Failure, Mark, Step, TurnId},
    glimpse::Presence,
    settings::Interruptions,
    timers::Timer,
};
use crate::turn::tool::is_key;

/// Utterances that may wait for their transcription at once.
pub(super) const MAX_HEARING: usize = 8;
/// Keys collected at once.
const MAX_KEYS: usize = 32;
/// Longest text taken from one utterance, in characters.
const MAX_SAID_CHARS: usize = 2_000;

#[derive(Debug, Default)]
pub(super) struct Caller {
    pub(super) speaking: bool,
    /// What they are saying is short so far, and silence has followed.
    pub(super) faltering: bool,
    /// What they said, in order, while some of it is still being transcribed.
    pub(super) hearing: VecDeque<Utterance>,
    /// Whether somebody does.
    pub(super) presence: Presence,
    /// Keys that were pressed and may have more to follow.
    pub(super) keys: String,
    /// What they said, to be answered once it is known how much they heard of the last answer.
    pub(super) next: Option<Said>,
    /// What they said, to be answered when the agent has finished.
    pub(super) deferred: Option<Said>,
}

#[derive(Debug)]
pub(super) struct Utterance {
    turn: TurnId,
    speech: Duration,
    ended_at: Instant,
    policy: Interruptions,
    /// It was said over the agent, and not in answer to it.
    over_agent: bool,
    text: Option<Result<String, Failure>>,
}

/// Something said, ready to be answered.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) turn: TurnId,
    pub(super) text: String,
    pub(super) ended_at: Option<Instant>,
}

impl Caller {
    /// Neither speaking, nor pressing keys, nor just heard and not understood yet.
    pub(super) fn is_quiet(&self) -> bool {
        !self.speaking && self.hearing.is_empty() && self.keys.is_empty()
    }

    /// Forgets what is being transcribed: those turns.
    pub(super) fn take_pending(&mut self) -> Vec<TurnId> {
        self.hearing.drain(..).filter(|heard| heard.text.is_none()).map(|heard| heard.turn).collect()
    }
}

impl Said {
    fn append(&mut self, later: Said) {
        join(&mut self.text, &later.text);
        self.turn = later.turn;
        self.ended_at = later.ended_at;
    }
}

impl Conversation {
    pub(super) fn speech_started(&mut self, now: Instant) {
        if self.is_open_to_caller() {
            (self.caller.speaking, self.caller.faltering) = (true, false);
            self.timers.set(Timer::Caller, now, self.settings.limits.utterance);
        }
    }

    pub(super) fn speech_discarded(&mut self) {
        self.caller.speaking = false;
        self.timers.clear(Timer::Caller);
        self.forget_presence();
        self.nothing_said();
    }

    pub(super) fn barge_in(&mut self, now: Instant) {
        if !self.interruptible() {
            self.actions.push_back(Action::ResumePlayback);
            return;
        }
        self.mark(Mark::BargeIn);
        self.speech_started(now);
        self.paused.get_or_insert(now);
    }

    pub(super) fn utterance(&mut self, now: Instant, speech: Duration, ended_at: Instant) {
        self.caller.speaking = false;
        self.timers.clear(Timer::Caller);
        self.forget_presence();
        if !self.is_open_to_caller() {
            return;
        }
        let policy = self.settings.interruptions;
        let over_agent = self.is_over_agent(ended_at);
        let turn = self.hear(Utterance { turn: TurnId(0), speech, ended_at, policy, over_agent, text: None });
        self.timers.set(Timer::Transcription, now, self.settings.limits.transcribe);
        self.actions.push_back(Action::Transcribe { turn });
    }

    /// Queues what was said under a new turn. With too many waiting, the oldest that nobody has transcribed is given
    /// up.
    fn hear(&mut self, mut utterance: Utterance) -> TurnId {
        if self.caller.hearing.len() >= MAX_HEARING
            && let Some(at) = self.caller.hearing.iter().position(|heard| heard.text.is_none())
            && let Some(oldest) = self.caller.hearing.remove(at)
        {
            self.actions.push_back(Action::Cancel { turn: oldest.turn });
        }
        utterance.turn = self.next_turn();
        let turn = utterance.turn;
        self.caller.hearing.push_back(utterance);
        self.mark(Mark::TurnStarted { turn });
        turn
    }

    pub(super) fn transcribed(&mut self, now: Instant, turn: TurnId, result: Result<String, Failure>) {
        if self.glimpsed(turn, &result) {
            return;
        }
        let waiting = self.caller.hearing.iter_mut().find(|heard| heard.turn == turn && heard.text.is_none());
        if let Some(utterance) = waiting {
            utterance.text = Some(result.map(|text| spoken_words(&text)));
            self.settle_heard(now);
        }
    }

    pub(super) fn transcription_overdue(&mut self, now: Instant) {
        for utterance in self.caller.hearing.iter_mut().filter(|heard| heard.text.is_none()) {
            utterance.text = Some(Err(Failure::Timeout));
            self.actions.push_back(Action::Cancel { turn: utterance.turn });
        }
        self.settle_heard(now);
    }

    pub(super) fn key_pressed(&mut self, now: Instant, key: char) {
        if !is_key(key) || !self.is_open_to_caller() {
            return;
        }
        // A key is no cough: there is nothing to wait for.
        let allowed = self.settings.dtmf_interruptions == Interruptions::Allowed;
        if (allowed || self.closing.is_some()) && (self.playout.is_audible() || self.paused.is_some()) {
            self.stop_agent(now);
        }
        self.silence_prompts = 0;
        self.caller.keys.push(key);
        if key == '#' || self.caller.keys.len() >= MAX_KEYS {
            self.keys_complete(now);
        } else {
            self.timers.set(Timer::Dtmf, now, self.settings.dtmf_gap);
        }
    }

    pub(super) fn keys_complete(&mut self, now: Instant) {
        self.timers.clear(Timer::Dtmf);
        let keys = std::mem::take(&mut self.caller.keys);
        // Brackets are taken out of spoken words, so that nobody can speak keys.
        let text = Some(Ok(format!("[DTMF: {keys}]")));
        let policy = self.settings.dtmf_interruptions;
        let (speech, over_agent) = (Duration::ZERO, false);
        self.hear(Utterance { turn: TurnId(0), speech, ended_at: now, policy, over_agent, text });
        self.settle_heard(now);
    }

    /// Once everything that was said is known, decides what it means.
    fn settle_heard(&mut self, now: Instant) {
        if self.caller.hearing.iter().any(|heard| heard.text.is_none()) {
            return;
        }
        self.timers.clear(Timer::Transcription);
        let mut said: Option<Said> = None;
        let mut failure = None;
        let (mut sure, mut short, mut over_agent) = (false, true, true);
        let mut policy = Interruptions::Deferred;
        for heard in std::mem::take(&mut self.caller.hearing) {
            match heard.text {
                Some(Ok(text)) if !text.is_empty() => {
                    if heard.policy == Interruptions::Allowed {
                        policy = Interruptions::Allowed;
                    }
                    over_agent &= heard.over_agent;
                    let part = Said { turn: heard.turn, text, ended_at: Some(heard.ended_at) };
                    match &mut said {
                        Some(said) => said.append(part),
                        None => said = Some(part),
                    }
                }
                Some(Err(why)) => {
                    failure = Some(why);
                    sure |= heard.speech >= self.settings.sure_speech;
                    short &= self.is_short(heard.speech);
                }
                Some(Ok(_)) | None => {}
            }
        }
        match (said, failure) {
            (Some(said), _) if self.leaves_floor(&said, over_agent) => {}
            (Some(said), _) => self.caller_said(now, said, policy),
            (None, Some(failure)) => self.not_understood(now, failure, sure, short),
            (None, None) => {
                self.mark(Mark::FalseAlarm);
                self.resume_if_quiet();
            }
        }
    }

    fn caller_said(&mut self, now: Instant, mut said: Said, policy: Interruptions) {
        self.silence_prompts = 0;
        self.beginning_was_lost(&mut said);
        self.floor.taken();
        self.mark(Mark::CallerSaid { turn: said.turn, text: said.text.clone() });
        if let Some(next) = &mut self.caller.next {
            next.append(said);
            return;
        }
        let agent_talks = self.closing.is_none() && self.playout.has_been_heard();
        if agent_talks && policy == Interruptions::Deferred {
            match &mut self.caller.deferred {
                Some(deferred) => deferred.append(said),
                None => self.caller.deferred = Some(said),
            }
            self.unsaved = true;
            self.resume_if_quiet();
            return;
        }
        self.stop_agent(now);
        // What was put off comes first.
        self.caller.next = Some(match self.caller.deferred.take() {
            Some(mut earlier) => {
                earlier.append(said);
                earlier
            }
            None => said,
        });
    }

    fn not_understood(&mut self, now: Instant, failure: Failure, sure: bool, short: bool) {
        let agent_is_at_it = self.paused.is_some() || self.reply.is_some() || !self.playout.is_idle();
        if short || (agent_is_at_it && !(sure && self.paused.is_some())) {
            // The agent has something to say all the same: better than an apology in its midst. And what is as short as
            // a cough may have been one.
            self.mark(Mark::Failed { step: Step::Transcribe, failure });
            self.resume_if_quiet();
            return;
        }
        self.stop_agent(now);
        self.fail(now, Step::Transcribe, failure);
    }

    /// What seemed to be speech has come to nothing.
    pub(super) fn nothing_said(&mut self) {
        if self.resume_if_quiet() {
            self.mark(Mark::FalseAlarm);
        }
    }

    pub(super) fn resume_if_quiet(&mut self) -> bool {
        let resumes = self.paused.is_some() && self.caller.is_quiet() && !self.timers.is_held();
        if resumes {
            self.resume_playback();
        }
        resumes
    }

    pub(super) fn resume_playback(&mut self) {
        if self.paused.take().is_some() {
            self.actions.push_back(Action::ResumePlayback);
        }
    }

    /// Ends the agent's turn, for good: what it was saying, what it was about to say, and a call's end it was heading
    /// for.
    pub(super) fn stop_agent(&mut self, now: Instant) {
        if self.closing.take().is_some() {
            self.timers.clear(Timer::Farewell);
        }
        let turn = self.reply.as_ref().map(|reply| reply.turn);
        let was_talking = self.playout.has_been_heard();
        self.drop_reply();
        let paused = self.paused.take();
        if paused.is_some() || self.playout.has_out() {
            self.actions.push_back(Action::ClearPlayback);
        }
        if was_talking {
            self.mark(Mark::Interrupted { turn });
        }
        if self.playout.is_audible() {
            self.stopped_at = paused.unwrap_or(now);
            self.timers.set(Timer::Cut, now, self.settings.limits.cut);
        }
        self.playout.clear();
    }

    /// From now on nothing that the caller does counts.
    pub(super) fn stop_listening(&mut self) {
        for turn in self.caller.take_pending() {
            self.actions.push_back(Action::Cancel { turn });
        }
        self.forget_presence();
        self.caller = Caller::default();
        for timer in [Timer::Caller, Timer::Dtmf, Timer::Transcription] {
            self.timers.clear(timer);
        }
        self.resume_playback();
    }
}

/// A transcription as the model may get it: one line, of bounded length, and with round brackets for square ones, which
/// mark what the conversation itself has to say.
fn spoken_words(text: &str) -> String {
    let mut words = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        join(&mut words, word);
    }
    let words = words.chars().take(MAX_SAID_CHARS).map(|c| match c {
        '[' => '(',
        ']' => ')',
        c => c,
    });
    words.collect()
}

fn join(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(more);
}
