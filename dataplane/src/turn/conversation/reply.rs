//! The agent's side of a conversation: asking the model, speaking what it writes, doing what it asks for, and what
//! happens when one of these fails.

use std::time::Instant;

use super::{
    Closing, Conversation, Stage,
    caller::Said,
    event::{Action, ClipId, EndReason, Failure, Mark, Step, TurnId},
    playout::Voice,
    timers::Timer,
};
use crate::turn::{sentence::SentenceSplitter, speakable::Speakable, tool::ToolCall};

/// Tool calls of one reply.
const MAX_TOOLS: u32 = 8;
/// Tells the model of a transfer that came to nothing, with the caller's next words. Brackets are taken out of spoken
/// words, so nobody can say it.
pub(super) const TRANSFER_FAILED: &str = "[The transfer has failed. The caller is still here.]";

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) turn: TurnId,
    speakable: Speakable,
    splitter: SentenceSplitter,
    chars: usize,
    tools: u32,
    /// Is more to come from the model?
    pub(super) generating: bool,
    /// Has it said anything that can be spoken?
    spoke: bool,
    /// Has it done anything besides?
    acted: bool,
    /// Did it want something done that can't be?
    refused: bool,
    audible: bool,
    pub(super) failed: bool,
    /// Keys to send, in the order in which the model asked for them.
    pub(super) keys: Vec<String>,
    /// To hang up or to transfer, when everything has been heard.
    pub(super) closing: Option<ToolCall>,
    /// When the caller had stopped speaking.
    asked_at: Option<Instant>,
}

impl Conversation {
    /// Answers what the caller said, together with what they said before and got no answer to.
    pub(super) fn begin_turn(&mut self, now: Instant, said: Said) {
        self.record_heard();
        self.history.push_user(&said.text);
        self.generate(now, said.turn, said.ended_at);
    }

    /// Asks the model to answer the caller's last words.
    pub(super) fn generate(&mut self, now: Instant, turn: TurnId, asked_at: Option<Instant>) {
        let text = self.history.unanswered().unwrap_or_default().to_owned();
        self.actions.push_back(Action::Generate { turn, text, history: self.history.before_unanswered() });
        self.reply = Some(self.new_reply(turn, asked_at));
        self.timers.set(Timer::Generation, now, self.settings.limits.generate);
        self.timers.set(Timer::GenerationAll, now, self.settings.limits.generate_all);
        self.unsaved = true;
    }

    fn new_reply(&self, turn: TurnId, asked_at: Option<Instant>) -> Reply {
        Reply {
            turn,
            speakable: Speakable::default(),
            splitter: SentenceSplitter::new(self.settings.split.clone()),
            chars: 0,
            tools: 0,
            generating: true,
            spoke: false,
            acted: false,
            refused: false,
            audible: false,
            failed: false,
            keys: Vec::new(),
            closing: None,
            asked_at,
        }
    }

    /// Goes on with a reply that another pod had got from the model.
    pub(super) fn continue_reply(&mut self, rest: &str, closing: Option<ToolCall>) {
        let turn = self.next_turn();
        let spoke = self.playout.queue_all(Voice::Reply(turn), rest, &self.settings.split);
        self.reply = Some(Reply { generating: false, spoke, closing, ..self.new_reply(turn, None) });
    }

    fn generating(&mut self, turn: TurnId) -> Option<&mut Reply> {
        self.reply.as_mut().filter(|reply| reply.turn == turn && reply.generating)
    }

    pub(super) fn reply_text(&mut self, now: Instant, turn: TurnId, text: &str) {
        let room = self.settings.max_reply_chars;
        let Some(reply) = self.generating(turn) else { return };
        let room = room.saturating_sub(reply.chars);
        let end = text.char_indices().nth(room).map(|(at, _)| at);
        let taken = &text[..end.unwrap_or(text.len())];
        reply.chars += taken.chars().count();
        let (mut spoken, mut pieces) = (String::new(), Vec::new());
        reply.speakable.push(taken, &mut spoken);
        reply.splitter.push(&spoken, &mut pieces);
        for piece in pieces {
            self.queue_reply(piece);
        }
        if end.is_some() {
            self.cancel_generating();
            self.generation_ended(now);
        } else {
            self.timers.set(Timer::Generation, now, self.settings.limits.generate);
        }
    }

    pub(super) fn reply_tool(&mut self, now: Instant, turn: TurnId, call: ToolCall) {
        let transfers = self.settings.transfers;
        let Some(reply) = self.generating(turn) else { return };
        reply.tools = reply.tools.saturating_add(1);
        let refused = match call.validate() {
            _ if reply.tools > MAX_TOOLS => Some("too many tool calls in one reply".to_owned()),
            checked => checked.and_then(|()| transfers.check(&call)).err().map(|error| error.to_string()),
        };
        reply.refused |= refused.is_some();
        match (&refused, &call) {
            (None, ToolCall::SendDtmf { digits }) => {
                reply.acted = true;
                reply.keys.push(digits.clone());
            }
            (None, ToolCall::HangUp | ToolCall::Transfer { .. }) => {
                reply.closing.get_or_insert_with(|| call.clone());
            }
            (Some(_), _) => {}
        }
        // What was written before the call is said before it is carried out.
        self.queue_rest();
        self.timers.set(Timer::Generation, now, self.settings.limits.generate);
        self.mark(match refused {
            None => Mark::Tool { turn, call },
            Some(reason) => Mark::ToolRefused { turn, reason },
        });
    }

    /// The last sentence is one, though nothing follows it to show that.
    pub(super) fn reply_paused(&mut self, turn: TurnId) {
        if self.generating(turn).is_some() {
            self.queue_rest();
        }
    }

    /// What was said so far should not have been: the caller hears no more of it, and it is not remembered.
    pub(super) fn reply_taken_back(&mut self, turn: TurnId) {
        let asked_at = match self.generating(turn) {
            Some(reply) => reply.asked_at,
            None => return,
        };
        self.reply = Some(self.new_reply(turn, asked_at));
        if self.playout.take_back(Voice::Reply(turn)) {
            self.actions.push_back(Action::ClearPlayback);
            // That lifts the pause of a barge-in too.
            self.paused = None;
        }
    }

    pub(super) fn reply_refused(&mut self, now: Instant, turn: TurnId, reason: String) {
        let Some(reply) = self.generating(turn) else { return };
        reply.tools = reply.tools.saturating_add(1);
        reply.refused = true;
        let told = reply.tools <= MAX_TOOLS;
        self.timers.set(Timer::Generation, now, self.settings.limits.generate);
        if told {
            self.mark(Mark::ToolRefused { turn, reason });
        }
    }

    pub(super) fn reply_ended(&mut self, now: Instant, turn: TurnId, result: Result<(), Failure>) {
        let Some(reply) = self.generating(turn) else { return };
        match result {
            Ok(()) => self.generation_ended(now),
            // The model had already decided how the call goes on.
            Err(_) if reply.closing.is_some() => self.generation_ended(now),
            Err(failure) => self.generation_failed(now, failure),
        }
    }

    pub(super) fn generation_overdue(&mut self, now: Instant) {
        if self.is_generating() {
            self.cancel_generating();
            self.generation_failed(now, Failure::Timeout);
        }
    }

    /// The model has finished.
    fn generation_ended(&mut self, now: Instant) {
        self.stop_generating();
        self.queue_rest();
        self.unsaved = true;
        let Some(reply) = &self.reply else { return };
        if reply.refused && !reply.acted && reply.closing.is_none() {
            // What was said may have been a promise: the caller is told that nothing comes of it.
            return self.generation_failed(now, Failure::Misused);
        }
        if reply.spoke {
            return;
        }
        let phrase = match &reply.closing {
            Some(ToolCall::Transfer { .. }) => &self.settings.transfer_phrase,
            Some(_) => &self.settings.goodbye,
            None if reply.acted => return,
            None => return self.generation_failed(now, Failure::Other),
        };
        self.playout.queue_phrase(Voice::Phrase, phrase, &self.settings.split);
    }

    /// What was written in whole sentences is still said; then the apology.
    fn generation_failed(&mut self, now: Instant, failure: Failure) {
        self.stop_generating();
        if let Some(reply) = &mut self.reply {
            reply.failed = true;
        }
        self.fail(now, Step::Generate, failure);
    }

    fn stop_generating(&mut self) {
        self.timers.clear(Timer::Generation);
        self.timers.clear(Timer::GenerationAll);
        if let Some(reply) = &mut self.reply {
            reply.generating = false;
        }
    }

    /// Queues what was held back to see what follows.
    fn queue_rest(&mut self) {
        let Some(reply) = &mut self.reply else { return };
        let (mut spoken, mut pieces) = (String::new(), Vec::new());
        reply.speakable.finish(&mut spoken);
        reply.splitter.push(&spoken, &mut pieces);
        // More may follow; the stream's own white space is lost with the splitter's end.
        pieces.extend(reply.splitter.finish().map(|rest| rest + " "));
        for piece in pieces {
            self.queue_reply(piece);
        }
    }

    fn queue_reply(&mut self, piece: String) {
        if let Some(reply) = &mut self.reply {
            reply.spoke |= self.playout.queue(Voice::Reply(reply.turn), piece);
        }
    }

    /// Forgets the reply, and cancels what is still being done for it.
    pub(super) fn drop_reply(&mut self) {
        self.cancel_generating();
        self.reply = None;
    }

    fn cancel_generating(&mut self) {
        if let Some(reply) = self.reply.as_ref().filter(|reply| reply.generating) {
            self.actions.push_back(Action::Cancel { turn: reply.turn });
            self.stop_generating();
        }
    }

    pub(super) fn clip_started(&mut self, now: Instant, clip: ClipId) {
        let Some(Voice::Reply(turn)) = self.playout.started(clip, now) else { return };
        // The next pod goes on from where this sentence then is.
        self.unsaved = true;
        if let Some(reply) = self.reply.as_mut().filter(|reply| reply.turn == turn && !reply.audible) {
            reply.audible = true;
            let latency = reply.asked_at.map(|asked_at| now.saturating_duration_since(asked_at));
            let latency_ms = latency.map(|latency| u64::try_from(latency.as_millis()).unwrap_or(u64::MAX));
            self.mark(Mark::ReplyAudible { turn, latency_ms });
        }
    }

    /// A sentence that could not be spoken: what would have come after it makes no sense without.
    pub(super) fn clip_failed(&mut self, now: Instant, clip: ClipId, failure: Failure) {
        let Some(voice) = self.playout.failed(clip) else { return };
        self.speech_failed(now, voice, clip, failure);
    }

    /// A sentence that could be spoken in part: that part was heard.
    pub(super) fn clip_broke_off(&mut self, now: Instant, clip: ClipId, heard: f32, failure: Failure) {
        let voice = self.playout.voice_of(clip);
        self.playout.cut(clip, heard);
        // One that was cleared meanwhile is not missed.
        let Some(voice) = voice else { return };
        self.unsaved = true;
        self.speech_failed(now, voice, clip, failure);
    }

    fn speech_failed(&mut self, now: Instant, voice: Voice, failed: ClipId, failure: Failure) {
        self.playout.drop_waiting(voice);
        for clip in self.playout.drop_behind(failed, voice) {
            self.actions.push_back(Action::DropClip { clip });
        }
        if let Some(reply) = self.reply.as_mut().filter(|reply| voice == Voice::Reply(reply.turn)) {
            reply.failed = true;
            self.cancel_generating();
        }
        if voice == Voice::Apology {
            self.mark(Mark::Failed { step: Step::Speak, failure });
        } else {
            self.fail(now, Step::Speak, failure);
        }
    }

    /// Nothing is heard of the clip that should be playing. Whatever the player is doing, it starts afresh.
    pub(super) fn playout_overdue(&mut self, now: Instant) {
        let apology = self.playout.head_voice() == Some(Voice::Apology);
        let closing = self.closing.take();
        self.stop_agent(now);
        self.closing = closing;
        if apology {
            self.mark(Mark::Failed { step: Step::Speak, failure: Failure::Timeout });
        } else {
            self.fail(now, Step::Speak, Failure::Timeout);
        }
    }

    /// Something failed: the caller is told, and after too many times in a row the call is given up. A backend that was
    /// not asked has not failed once more: while it is left alone, callers may try as often as they like.
    pub(super) fn fail(&mut self, now: Instant, step: Step, failure: Failure) {
        self.mark(Mark::Failed { step, failure });
        if !self.playout.queue_apology() {
            return;
        }
        self.mark(Mark::Apology);
        self.unsaved = true;
        if matches!(failure, Failure::CircuitOpen | Failure::Misused) {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.settings.max_failures && self.closing.is_none() {
            self.stop_listening();
            self.cancel_generating();
            self.closing = Some(Closing { reason: EndReason::BackendFailed, firm: true });
            self.timers.set(Timer::Farewell, now, self.settings.limits.farewell);
        }
    }

    pub(super) fn carry_out(&mut self, now: Instant, call: ToolCall) {
        self.reply = None;
        match call {
            ToolCall::HangUp => self.end(now, EndReason::AgentHungUp, true),
            ToolCall::Transfer { destination } => {
                self.stage = Stage::Transferring;
                self.timers.set(Timer::Transfer, now, self.settings.limits.transfer);
                // Whoever gets the caller back finds a conversation that knows of it, and none that transfers again.
                self.unsaved = false;
                self.save(now);
                self.actions.push_back(Action::Transfer { destination });
            }
            ToolCall::SendDtmf { digits } => self.actions.push_back(Action::SendDtmf { digits }),
        }
    }

    /// The caller is still here, and should know that something went wrong.
    pub(super) fn transfer_failed(&mut self) {
        if self.stage != Stage::Transferring {
            return;
        }
        self.stage = Stage::Talking;
        self.timers.clear(Timer::Transfer);
        self.mark(Mark::Failed { step: Step::Transfer, failure: Failure::Other });
        self.history.push_user(TRANSFER_FAILED);
        if self.playout.queue_apology() {
            self.mark(Mark::Apology);
        }
        self.unsaved = true;
    }
}
