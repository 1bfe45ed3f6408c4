//! Saving a conversation for another pod, and going on with one that another pod has saved.

use std::time::{Duration, Instant};

use super::{
    Conversation, Stage,
    caller::Said,
    event::{Action, TurnId},
    playout::{CHARS_PER_SECOND, Voice, share_heard},
    reply::TRANSFER_FAILED,
    settings::ConversationSettings,
    timers::Timer,
};
use crate::turn::{
    history::{History, heard_part},
    state::{SavedReply, SavedState},
};

/// How long a caller whose words were lost may go on by themselves before they are told.
const LOST_WORDS_AFTER: Duration = Duration::from_millis(700);
/// Tells the model that it has only the end of what the caller said. Brackets are taken out of spoken words, so nobody can say it.
const BEGINNING_LOST: &str = "[The beginning of these words was lost.]";

impl Conversation {
    /// A call that another pod has lost or given away. It goes on at [`super::Input::Answered`]:
    ///
    /// - with what was left of a reply whose beginning was heard, or that the model had finished; if the model was
    ///   still writing it, as far as it had come. In the midst of a sentence, where it was when the caller last heard the agent:
    ///   `played_since` after the state was kept,
    /// - else with an answer to the caller's last words, if they had none,
    /// - else it listens. There is no second greeting, unless nothing had been said at all. A caller who was being listened to is
    ///   told that their last words were lost, unless they go on speaking: then the model is.
    pub fn resume(settings: ConversationSettings, mut saved: SavedState, played_since: Duration, now: Instant) -> Self {
        let pace = saved.chars_per_second().unwrap_or(CHARS_PER_SECOND);
        if let Some(reply) = &mut saved.reply {
            go_on_within(reply, played_since, pace);
        }
        let mut conversation = Self::new(settings, now);
        conversation.history = History::from_messages(saved.history.iter().cloned());
        conversation.lasted_before = Duration::from_millis(saved.elapsed_ms);
        conversation.takeovers = saved.takeovers.saturating_add(1);
        conversation.last_turn = saved.turn;
        conversation.failures = saved.failures;
        conversation.silence_prompts = saved.silence_prompts;
        conversation.resumed = Some(saved);
        conversation
    }

    /// The caller was talking with another pod, and nobody here knows of what: there is no second greeting. Told before
    /// [`super::Input::Answered`].
    pub fn goes_on_unknown(&mut self) {
        self.unknown_before = true;
    }

    /// The caller is back from a transfer that failed, for that reason. The model is told, so that the agent says so. Before
    /// [`super::Input::Answered`].
    pub fn came_back(&mut self, why: &str) {
        self.history.retell(TRANSFER_FAILED, &format!("[The transfer has failed: {why}. The caller is still here.]"));
    }

    /// The first words to a caller who was talking with another pod about what nobody here knows.
    pub(super) fn go_on_unknown(&mut self, now: Instant) {
        if self.history.unanswered().is_some() {
            let turn = self.next_turn();
            return self.generate(now, turn, None);
        }
        let phrase = self.settings.takeover_phrase.as_ref().unwrap_or(&self.settings.lost_words_phrase);
        self.playout.queue_phrase(Voice::Phrase, phrase, &self.settings.split);
    }

    /// The conversation as it is now: what [`Self::resume`] goes on from.
    pub fn saved_state(&self, now: Instant) -> SavedState {
        if let Some(resumed) = &self.resumed {
            // Not answered here yet: as it came, one pod later.
            return SavedState { takeovers: self.takeovers, ..resumed.clone() };
        }
        let mut unanswered = String::new();
        for said in [&self.caller.next, &self.caller.deferred].into_iter().flatten() {
            if !unanswered.is_empty() {
                unanswered.push(' ');
            }
            unanswered.push_str(&said.text);
        }
        let mut history = self.history.clone();
        if self.stage == Stage::Transferring {
            // Only read if the caller comes back: nobody answered there, or this pod was lost before it was done.
            history.push_user(TRANSFER_FAILED);
        }
        SavedState {
            kept_at_ms: 0,
            chars_per_minute: 0,
            call_id: self.settings.call_id.clone(),
            caller: self.settings.caller.clone(),
            language: self.settings.language.clone(),
            turn: self.last_turn,
            elapsed_ms: u64::try_from(self.lasted(now).as_millis()).unwrap_or(u64::MAX),
            takeovers: self.takeovers,
            failures: self.failures,
            silence_prompts: self.silence_prompts,
            history: history.messages().cloned().collect(),
            reply: self.saved_reply(now),
            hearing: self.is_hearing(),
            unanswered,
            closing: self.reply.as_ref().and_then(|reply| reply.closing.clone()),
        }
    }

    fn saved_reply(&self, now: Instant) -> Option<SavedReply> {
        let (heard, generating) = (self.playout.heard(), self.is_generating());
        // The call's last words are decided anew; an answer of which nothing was heard is asked for anew.
        let nothing_heard = heard.is_empty() && self.playout.playing().is_none();
        if self.closing.is_some() || (generating && nothing_heard) {
            return None;
        }
        let rest = self.playout.unheard();
        let (chars, since) = self.playout.playing().unwrap_or((0, now));
        let played = self.paused.unwrap_or(now).saturating_duration_since(since);
        let reply = SavedReply {
            heard: heard.to_owned(),
            played_ms: u64::try_from(played.as_millis()).unwrap_or(u64::MAX),
            playing_chars: chars.min(rest.chars().count()) as u64,
            plays_on: chars > 0 && self.paused.is_none(),
            rest,
        };
        (!reply.heard.is_empty() || !reply.rest.is_empty()).then_some(reply)
    }

    /// Saves; a state that was not taken yet is replaced.
    pub(super) fn save(&mut self, now: Instant) {
        self.kept_hearing = self.is_hearing();
        let state = Box::new(self.saved_state(now));
        self.actions.retain(|action| !matches!(action, Action::SaveState(_)));
        self.actions.push_back(Action::SaveState(state));
    }

    pub(super) fn take_over(&mut self, now: Instant, saved: SavedState) {
        let nothing_yet = saved.reply.is_none() && saved.unanswered.is_empty() && saved.closing.is_none();
        if self.history.is_empty() && nothing_yet {
            return self.greet();
        }
        let reply = saved.reply.unwrap_or_default();
        self.history.push_assistant(&reply.heard);
        if !saved.unanswered.is_empty() {
            let turn = TurnId(self.last_turn);
            self.caller.deferred = Some(Said { turn, text: saved.unanswered, ended_at: None });
        }
        if saved.hearing && saved.closing.is_none() && reply.rest.trim().is_empty() && self.caller.deferred.is_none() {
            self.words_lost = true;
            self.timers.set(Timer::LostWords, now, LOST_WORDS_AFTER);
        } else if saved.closing.is_none()
            && let Some(phrase) = &self.settings.takeover_phrase
        {
            self.playout.queue_phrase(Voice::Phrase, phrase, &self.settings.split);
        }
        if !reply.rest.trim().is_empty() || saved.closing.is_some() {
            self.continue_reply(&reply.rest, saved.closing);
        } else if self.history.unanswered().is_some() && self.caller.deferred.is_none() {
            let turn = self.next_turn();
            self.generate(now, turn, None);
        }
        self.unsaved = true;
    }

    /// Would words of the caller's be lost with this pod?
    pub(super) fn is_hearing(&self) -> bool {
        self.words_lost || ((self.caller.speaking || !self.caller.hearing.is_empty()) && self.is_open_to_caller())
    }

    /// The caller's last words were lost with another pod: they are told so, unless they are just saying more.
    pub(super) fn own_up_to_lost_words(&mut self, now: Instant) {
        if !self.words_lost {
            return;
        }
        if !self.caller.is_quiet() || self.reply.is_some() {
            return self.timers.set(Timer::LostWords, now, LOST_WORDS_AFTER);
        }
        self.words_lost = false;
        self.unsaved = true;
        self.playout.queue_phrase(Voice::Phrase, &self.settings.lost_words_phrase, &self.settings.split);
    }

    /// The caller has gone on speaking after their words were lost.
    pub(super) fn beginning_was_lost(&mut self, said: &mut Said) {
        if std::mem::take(&mut self.words_lost) {
            self.timers.clear(Timer::LostWords);
            // Keys are whole.
            if !said.text.starts_with('[') {
                said.text.insert_str(0, &format!("{BEGINNING_LOST} "));
            }
        }
    }
}

/// Takes the part of a sentence for heard that was played before its pod was lost.
fn go_on_within(reply: &mut SavedReply, played_since: Duration, pace: f32) {
    let chars = usize::try_from(reply.playing_chars).unwrap_or(usize::MAX);
    if chars == 0 {
        return;
    }
    let played = Duration::from_millis(reply.played_ms) + if reply.plays_on { played_since } else { Duration::ZERO };
    let end = reply.rest.char_indices().nth(chars).map_or(reply.rest.len(), |(at, _)| at);
    let sentence = &reply.rest[..end];
    let heard = heard_part(sentence, share_heard(chars, played, pace)).len();
    let heard = sentence.len() - sentence.trim_start().len() + heard;
    if heard > 0 && heard < sentence.trim_end().len() {
        let (before, after) = reply.rest.split_at(heard);
        reply.heard.push_str(before);
        let after = after.trim_start();
        if !reply.heard.ends_with(char::is_whitespace) && reply.rest.len() - heard > after.len() {
            reply.heard.push(' ');
        }
        reply.rest = after.to_owned();
    }
    (reply.played_ms, reply.playing_chars, reply.plays_on) = (0, 0, false);
}
