//! Somebody speaks on and on, so it seems, while an answer is ready for them or the agent is paused on their account: is
//! there anybody? A lorry, music, or a room full of people can hold an utterance open for as long as one may last. So
//! what came of it is transcribed while it goes on. Where there is no word in it, nobody is waited for, and nothing
//! interrupts the agent until that utterance has ended. Words, or no answer, change nothing.

use std::time::Instant;

use super::{
    Conversation,
    event::{Action, Failure, Mark, TurnId},
    playout::Voice,
    timers::Timer,
};

/// Whether somebody speaks in the utterance that is open.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    #[default]
    Unknown,
    /// What came of it so far is being transcribed, under the name of this turn.
    Asked(TurnId),
    Somebody,
    Nobody,
}

impl Conversation {
    /// After every event: sets the clock while the caller is waited for.
    pub(super) fn watch_presence(&mut self, now: Instant) {
        let next = self.playout.next_voice();
        let ready = matches!(next, Some(Voice::Reply(_) | Voice::Apology)) && !self.playout.has_been_heard();
        let waits = self.caller.speaking && self.caller.hearing.is_empty() && (self.paused.is_some() || ready);
        if !waits || self.caller.presence != Presence::Unknown || self.settings.glimpse_after.is_zero() {
            self.timers.clear(Timer::Glimpse);
        } else if !self.timers.is_set(Timer::Glimpse) {
            self.timers.set(Timer::Glimpse, now, self.settings.glimpse_after);
        }
    }

    pub(super) fn ask_who_speaks(&mut self) {
        let turn = self.next_turn();
        self.caller.presence = Presence::Asked(turn);
        self.actions.push_back(Action::Glimpse { turn });
    }

    /// Takes what was transcribed of an utterance that goes on. Says whether it was that.
    pub(super) fn glimpsed(&mut self, turn: TurnId, result: &Result<String, Failure>) -> bool {
        if self.caller.presence != Presence::Asked(turn) {
            return false;
        }
        let nobody = result.as_ref().is_ok_and(|text| text.trim().is_empty());
        self.caller.presence = if nobody { Presence::Nobody } else { Presence::Somebody };
        if nobody {
            self.mark(Mark::FalseAlarm);
            if !self.timers.is_held() {
                self.resume_playback();
            }
        }
        true
    }

    /// The utterance is over, or another one begins.
    pub(super) fn forget_presence(&mut self) {
        self.caller.presence = Presence::Unknown;
        self.timers.clear(Timer::Glimpse);
    }
}
