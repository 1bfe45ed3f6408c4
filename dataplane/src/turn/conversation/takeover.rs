//! Saving a conversation for another pod, and going on with one that another pod has saved.

use std::time::{Duration, Instant};

use super::{
    Conversation,
    caller::Said,
    event::{Action, TurnId},
    playout::Voice,
    settings::ConversationSettings,
};
use crate::turn::{
    history::History,
    state::{SavedReply, SavedState},
};

impl Conversation {
    /// A call that another pod has lost or given away. It goes on at [`super::Input::Answered`]:
    ///
    /// - with what was left of a reply whose beginning was heard, or that the model had finished; if the model was
    ///   still writing it, as far as it had come,
    /// - else with an answer to the caller's last words, if they had none,
    /// - else it listens. There is no second greeting, unless nothing had been said at all.
    pub fn resume(settings: ConversationSettings, saved: SavedState, now: Instant) -> Self {
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
        SavedState {
            call_id: self.settings.call_id.clone(),
            caller: self.settings.caller.clone(),
            language: self.settings.language.clone(),
            turn: self.last_turn,
            elapsed_ms: u64::try_from(self.lasted(now).as_millis()).unwrap_or(u64::MAX),
            takeovers: self.takeovers,
            failures: self.failures,
            silence_prompts: self.silence_prompts,
            history: self.history.messages().cloned().collect(),
            reply: self.saved_reply(),
            unanswered,
            closing: self.reply.as_ref().and_then(|reply| reply.closing.clone()),
        }
    }

    fn saved_reply(&self) -> Option<SavedReply> {
        let (heard, generating) = (self.playout.heard(), self.is_generating());
        // The call's last words are decided anew; an answer of which nothing was heard is asked for anew.
        if self.closing.is_some() || (generating && heard.is_empty()) {
            return None;
        }
        let reply = SavedReply { heard: heard.to_owned(), rest: self.playout.unheard() };
        (!reply.heard.is_empty() || !reply.rest.is_empty()).then_some(reply)
    }

    /// Saves; a state that was not taken yet is replaced.
    pub(super) fn save(&mut self, now: Instant) {
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
        if saved.closing.is_none()
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
}
