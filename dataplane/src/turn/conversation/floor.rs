//! Whose turn it is: whether what the caller says over the agent takes the floor, and whether the agent waits for an
//! answer.
//!
//! "Mm-hmm", "ja", "ok" over the agent say "go on" ([`crate::turn::backchannel`]): the agent goes on where it was, and
//! neither history nor model hears of it. The same word is an answer
//!
//! - once the agent has finished,
//! - for some seconds after the agent has asked something, be it that it says more,
//! - over a question that has been heard by half,
//! - and to somebody who was silent: over the question whether they are there, and over the goodbye for want of an answer.

use std::time::{Duration, Instant};

use super::{
    Conversation, Stage,
    caller::Said,
    event::{ClipId, Mark},
    glimpse::Presence,
    playout::Voice,
};
use crate::turn::history::Role;

/// So long after a question a word is the answer to it, though the agent speaks on.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);
/// So long before its end the answer to a question may have come.
const ANSWERS_BEFORE: Duration = Duration::from_secs(1);
/// From this share on a question is understood.
const UNDERSTOOD: f32 = 0.5;

/// What is known of the agent's last words.
#[derive(Debug, Default)]
pub(super) struct Floor {
    /// When the agent last began to speak.
    began_at: Option<Instant>,
    /// When the agent last finished all that it had to say.
    left_at: Option<Instant>,
    /// When the agent's last question had been heard to its end.
    asked_at: Option<Instant>,
}

impl Floor {
    /// The caller has the floor: what the agent had asked is answered.
    pub(super) fn taken(&mut self) {
        self.asked_at = None;
    }
}

impl Conversation {
    /// Does the agent wait for an answer? Then a very short word is one. Where not, the media plane should take it for a
    /// cough.
    pub fn expects_answer(&self) -> bool {
        let open = self.stage == Stage::Talking && self.closing.is_none() && self.caller.next.is_none();
        let spoke_last = || self.history.messages().next_back().is_some_and(|last| last.role == Role::Assistant);
        let waits = self.reply.is_none() && self.playout.is_idle() && self.paused.is_none() && spoke_last();
        // The answer to a question may come before its last syllable.
        open && (waits || (!self.is_generating() && self.playout.asks_last()))
    }

    /// A clip becomes audible.
    pub(super) fn agent_begins(&mut self, now: Instant) {
        if !self.playout.has_been_heard() {
            self.floor.began_at = Some(now);
        }
    }

    pub(super) fn clip_ended(&mut self, now: Instant, clip: ClipId) {
        let asks = self.playout.asks(clip);
        if self.playout.ended(clip).is_none() {
            return;
        }
        self.unsaved = true;
        if asks {
            self.floor.asked_at = Some(now);
        }
        if self.playout.is_idle() && !self.is_generating() {
            self.floor.left_at = Some(now);
        }
    }

    /// Was what was said until `ended_at` said over the agent, and is no answer to what it had asked?
    pub(super) fn is_over_agent(&self, ended_at: Instant) -> bool {
        let more = self.playout.has_been_heard() && (self.reply.is_some() || !self.playout.is_idle());
        let agent_talks = self.playout.is_audible() || self.paused.is_some() || more;
        let over = agent_talks || self.floor.left_at.is_some_and(|left| ended_at < left);
        let began = self.floor.began_at.is_some_and(|began| began <= ended_at);
        over && began && !self.answers_question(ended_at)
    }

    fn answers_question(&self, ended_at: Instant) -> bool {
        let asked = self.floor.asked_at.is_some_and(|asked| {
            asked <= ended_at + ANSWERS_BEFORE && ended_at.saturating_duration_since(asked) <= ANSWERS_WITHIN
        });
        let prompted = self.silence_prompts > 0 && self.playout.head_voice() == Some(Voice::Phrase);
        let stopped = self.paused.unwrap_or(ended_at);
        asked
            || prompted
            || self.closing.is_some()
            || self.playout.asked_share(stopped).is_some_and(|share| share >= UNDERSTOOD)
    }

    /// The caller shows that they listen: the agent goes on. Says whether that is all there is to it.
    pub(super) fn leaves_floor(&mut self, said: &Said, over_agent: bool) -> bool {
        let leaves = over_agent && self.caller.next.is_none() && self.settings.backchannels.leave_the_floor(&said.text);
        if leaves {
            self.silence_prompts = 0;
            self.mark(Mark::Backchannel { turn: said.turn, text: said.text.clone() });
            self.resume_if_quiet();
        }
        leaves
    }

    /// What has begun will likely come to nothing: an answer that is ready need not wait for that.
    pub(super) fn speech_faltered(&mut self) {
        self.caller.faltering = self.caller.speaking;
    }

    pub(super) fn speech_resumed(&mut self) {
        self.caller.faltering = false;
    }

    /// Does the caller have more to say than that an answer should wait for it?
    pub(super) fn caller_holds_floor(&self) -> bool {
        let nobody = self.caller.faltering || self.caller.presence == Presence::Nobody;
        let only_speaks = self.caller.hearing.is_empty() && self.caller.keys.is_empty();
        let says_nothing = nobody && only_speaks;
        !self.caller.is_quiet() && !says_nothing
    }

    /// Whether what could not be transcribed is too short to apologise for.
    pub(super) fn is_short(&self, speech: Duration) -> bool {
        speech < self.settings.min_speech
    }
}
