//! The agent's mouth: what waits to be spoken, what has been given out, and what was really heard. It decides nothing.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::event::{Action, ClipId, TurnId};
use crate::turn::{
    history::{INTERRUPTED, heard_part},
    sentence::{SentenceSplitter, SplitSettings},
    speakable::{is_spoken, one_line, spoken_lines},
};

/// Clips given out at once: one is played, the others are being made.
pub(super) const MAX_OUT: usize = 4;
/// Characters spoken in a second, for guessing how much was heard where nobody says.
pub(crate) const CHARS_PER_SECOND: f32 = 14.0;
/// Characters that may follow a question and leave it one to be answered.
const MAX_AFTER_QUESTION: usize = 40;

/// Whose words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    Greeting,
    Reply(TurnId),
    /// A phrase of the agent's own: silence prompt, takeover, transfer, goodbye.
    Phrase,
    Apology,
}

#[derive(Debug)]
struct Piece {
    voice: Voice,
    text: String,
}

#[derive(Debug)]
pub(super) struct Clip {
    pub(super) id: ClipId,
    pub(super) voice: Voice,
    text: String,
    pub(super) started: Option<Instant>,
}

/// Words that were heard, and the turn that they answered.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) text: String,
    pub(super) turn: Option<TurnId>,
}

#[derive(Debug, Default)]
pub(super) struct Playout {
    waiting: VecDeque<Piece>,
    out: VecDeque<Clip>,
    /// Clips that were cleared after they had started: how much of them was heard is still to come.
    cutting: VecDeque<Clip>,
    heard: Heard,
    heard_voice: Option<Voice>,
    last_clip: u32,
}

impl Playout {
    /// Queues a piece of a text that is speakable, with the white space that follows it. Nothing to speak in it: nothing
    /// is queued.
    pub(super) fn queue(&mut self, voice: Voice, text: String) -> bool {
        let speaks = is_spoken(&text);
        if speaks {
            self.waiting.push_back(Piece { voice, text });
        }
        speaks
    }

    /// How many sentences it holds.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.out.len() + self.cutting.len()
    }

    /// Queues a phrase: in one piece, so that it is spoken with one breath, unless it is too long for that.
    pub(super) fn queue_phrase(&mut self, voice: Voice, text: &str, split: &SplitSettings) {
        if text.chars().count() <= split.max_chars {
            self.queue(voice, spoken_lines(text));
        } else {
            self.queue_all(voice, text, split);
        }
    }

    /// Queues a whole text, piece by piece.
    pub(super) fn queue_all(&mut self, voice: Voice, text: &str, split: &SplitSettings) -> bool {
        let mut splitter = SentenceSplitter::new(split.clone());
        let mut pieces = Vec::new();
        splitter.push(&spoken_lines(text), &mut pieces);
        pieces.extend(splitter.finish());
        let mut any = false;
        for piece in pieces {
            any |= self.queue(voice, piece);
        }
        any
    }

    /// Queues the apology, unless one is still to be heard.
    pub(super) fn queue_apology(&mut self) -> bool {
        let due = self.waiting.iter().map(|piece| piece.voice).chain(self.out.iter().map(|clip| clip.voice));
        if due.into_iter().any(|voice| voice == Voice::Apology) {
            return false;
        }
        self.waiting.push_back(Piece { voice: Voice::Apology, text: String::new() });
        true
    }

    /// Gives out the next piece, while there are fewer than [`MAX_OUT`] outside.
    pub(super) fn release(&mut self) -> Option<Action> {
        if self.out.len() >= MAX_OUT {
            return None;
        }
        let Piece { voice, text } = self.waiting.pop_front()?;
        self.last_clip = self.last_clip.saturating_add(1);
        let clip = ClipId(self.last_clip);
        let action = match voice {
            Voice::Apology => Action::PlayApology { clip },
            Voice::Reply(turn) => Action::Speak { turn: Some(turn), clip, text: one_line(&text) },
            Voice::Greeting | Voice::Phrase => Action::Speak { turn: None, clip, text: one_line(&text) },
        };
        self.out.push_back(Clip { id: clip, voice, text, started: None });
        Some(action)
    }

    /// A clip has become audible: whose, the first time it is said.
    pub(super) fn started(&mut self, id: ClipId, now: Instant) -> Option<Voice> {
        let clip = self.out.iter_mut().find(|clip| clip.id == id && clip.started.is_none())?;
        clip.started = Some(now);
        Some(clip.voice)
    }

    /// A clip was heard whole: whose. Clips before it are over too; they were heard if they had started.
    pub(super) fn ended(&mut self, id: ClipId) -> Option<Voice> {
        if let Some(at) = self.cutting.iter().position(|clip| clip.id == id) {
            let clip = self.cutting.remove(at)?;
            self.add_heard(clip.voice, &clip.text);
            return Some(clip.voice);
        }
        let at = self.out.iter().position(|clip| clip.id == id)?;
        for clip in self.out.drain(..at).collect::<Vec<_>>() {
            if clip.started.is_some() {
                self.add_heard(clip.voice, &clip.text);
            }
        }
        let clip = self.out.pop_front()?;
        self.add_heard(clip.voice, &clip.text);
        Some(clip.voice)
    }

    /// A clip was cut off after this share of it.
    pub(super) fn cut(&mut self, id: ClipId, heard: f32) {
        let list = if self.cutting.iter().any(|clip| clip.id == id) { &mut self.cutting } else { &mut self.out };
        let Some(at) = list.iter().position(|clip| clip.id == id) else { return };
        if let Some(clip) = list.remove(at) {
            self.add_cut(&clip, heard);
        }
    }

    /// A clip failed, and is out of the queue: whose.
    pub(super) fn failed(&mut self, id: ClipId) -> Option<Voice> {
        // One that was cleared is not missed.
        self.cutting.retain(|clip| clip.id != id);
        let at = self.out.iter().position(|clip| clip.id == id)?;
        self.out.remove(at).map(|clip| clip.voice)
    }

    /// Whose a clip is that is given out and was not cleared.
    pub(super) fn voice_of(&self, id: ClipId) -> Option<Voice> {
        self.out.iter().find(|clip| clip.id == id).map(|clip| clip.voice)
    }

    /// Drops what somebody had to say behind clip `id`, was given out and has not begun to be heard.
    pub(super) fn drop_behind(&mut self, id: ClipId, voice: Voice) -> Vec<ClipId> {
        let dropped = |clip: &Clip| clip.id > id && clip.voice == voice && clip.started.is_none();
        let clips = self.out.iter().filter(|clip| dropped(clip)).map(|clip| clip.id).collect();
        self.out.retain(|clip| !dropped(clip));
        clips
    }

    /// Drops what somebody had to say and has not been given out.
    pub(super) fn drop_waiting(&mut self, voice: Voice) {
        self.waiting.retain(|piece| piece.voice != voice);
    }

    /// Forgets what somebody had to say, as if it had never been said. With `true` some of it was given out, and with it
    /// everything that was has to be cleared.
    pub(super) fn take_back(&mut self, voice: Voice) -> bool {
        self.drop_waiting(voice);
        self.cutting.retain(|clip| clip.voice != voice);
        if self.heard_voice == Some(voice) {
            (self.heard, self.heard_voice) = (Heard::default(), None);
        }
        let out = self.out.len();
        self.out.retain(|clip| clip.voice != voice);
        let given_out = self.out.len() < out;
        if given_out {
            // Whatever else waits comes again.
            for clip in self.out.drain(..).rev() {
                self.waiting.push_front(Piece { voice: clip.voice, text: clip.text });
            }
        }
        given_out
    }

    /// Forgets everything to be spoken; a clip that has started waits for how much of it was heard.
    pub(super) fn clear(&mut self) {
        let unheard = self.waiting.len() + self.out.len();
        if unheard > 0 && !self.is_audible() {
            self.mark_interrupted();
        }
        self.waiting.clear();
        self.cutting.extend(self.out.drain(..).filter(|clip| clip.started.is_some()));
        // Only one clip is played at a time: older ones have been waited for already.
        while self.cutting.len() > MAX_OUT {
            self.cutting.pop_front();
        }
    }

    /// Stops waiting for how much was heard, and guesses it from the time that a clip was played until `stopped`.
    pub(super) fn settle_cuts(&mut self, stopped: Instant) {
        for clip in std::mem::take(&mut self.cutting) {
            let heard = guess_heard(&clip, stopped);
            self.add_cut(&clip, heard);
        }
    }

    fn add_cut(&mut self, clip: &Clip, heard: f32) {
        let part = heard_part(&clip.text, heard);
        if part.len() == clip.text.trim().len() {
            self.add_heard(clip.voice, &clip.text);
        } else if !part.is_empty() {
            let part = format!("{part}{INTERRUPTED} ");
            self.add_heard(clip.voice, &part);
        } else {
            self.mark_interrupted();
        }
    }

    /// Marks an interruption between two clips, or at the very beginning of one.
    fn mark_interrupted(&mut self) {
        let text = &mut self.heard.text;
        text.truncate(text.trim_end().len());
        if !text.is_empty() && !text.ends_with(INTERRUPTED) {
            text.push(' ');
            text.push_str(INTERRUPTED);
        }
    }

    fn add_heard(&mut self, voice: Voice, text: &str) {
        if voice == Voice::Apology {
            return;
        }
        if self.heard_voice.is_some_and(|before| before != voice) && !self.heard.text.ends_with(char::is_whitespace) {
            self.heard.text.push(' ');
        }
        self.heard.text.push_str(text);
        self.heard_voice = Some(voice);
        if let Voice::Reply(turn) = voice {
            self.heard.turn = Some(turn);
        }
    }

    /// Words heard since the last time, if any.
    pub(super) fn take_heard(&mut self) -> Option<Heard> {
        self.heard_voice = None;
        let mut heard = std::mem::take(&mut self.heard);
        heard.text.truncate(heard.text.trim_end().len());
        (!heard.text.is_empty()).then_some(heard)
    }

    /// The characters of what is being played, with the white space behind it, and since when it is.
    pub(super) fn playing(&self) -> Option<(usize, Instant)> {
        let clip = self.out.front()?;
        Some((clip.text.chars().count(), clip.started?))
    }

    /// Words heard that were not taken yet.
    pub(super) fn heard(&self) -> &str {
        &self.heard.text
    }

    /// Words that were not heard to their end yet, given out or not.
    pub(super) fn unheard(&self) -> String {
        let out = self.out.iter().map(|clip| (clip.voice, &clip.text));
        let waiting = self.waiting.iter().map(|piece| (piece.voice, &piece.text));
        let mut words = String::new();
        let mut before = None;
        for (voice, text) in out.chain(waiting) {
            if before.is_some_and(|before| before != voice) && !words.ends_with(char::is_whitespace) {
                words.push(' ');
            }
            words.push_str(text);
            before = Some(voice);
        }
        words.truncate(words.trim_end().len());
        words
    }

    /// Is this clip a question?
    pub(super) fn asks(&self, id: ClipId) -> bool {
        self.out.iter().any(|clip| clip.id == id && asks(&clip.text))
    }

    /// Is the last that there is to say a question, and is it being said?
    pub(super) fn asks_last(&self) -> bool {
        let last = self.out.front().filter(|_| self.out.len() == 1 && self.waiting.is_empty());
        last.is_some_and(|clip| clip.started.is_some() && asks(&clip.text))
    }

    /// How much of the question that is being said was heard by `stopped`, as a guess from 0 to 1; `None` where none is
    /// being said.
    pub(super) fn asked_share(&self, stopped: Instant) -> Option<f32> {
        let clip = self.out.front().filter(|clip| clip.started.is_some() && asks(&clip.text))?;
        Some(guess_heard(clip, stopped))
    }

    /// The clip that is being played, or comes next, and whether it has started.
    pub(super) fn head(&self) -> Option<(ClipId, bool)> {
        self.out.front().map(|clip| (clip.id, clip.started.is_some()))
    }

    pub(super) fn head_voice(&self) -> Option<Voice> {
        self.out.front().map(|clip| clip.voice)
    }

    pub(super) fn next_voice(&self) -> Option<Voice> {
        self.waiting.front().map(|piece| piece.voice)
    }

    /// Is something audible, or was it until it was paused?
    pub(super) fn is_audible(&self) -> bool {
        self.out.iter().any(|clip| clip.started.is_some())
    }

    /// Has the caller heard anything that is not in the history yet, even a part?
    pub(super) fn has_been_heard(&self) -> bool {
        self.is_audible() || !self.heard.text.is_empty()
    }

    /// Is anything given out?
    pub(super) fn has_out(&self) -> bool {
        !self.out.is_empty()
    }

    pub(super) fn is_cutting(&self) -> bool {
        !self.cutting.is_empty()
    }

    /// Is nothing left to be spoken, and nothing to be learnt about what was?
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.out.is_empty() && self.cutting.is_empty()
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> [usize; 3] {
        [self.waiting.len(), self.out.len(), self.cutting.len()]
    }
}

/// Does a text end with a question, or soon after one ("Shall I book it? Please say yes or no.")?
fn asks(text: &str) -> bool {
    text.rsplit_once(['?', '？', '؟']).is_some_and(|(_, rest)| rest.chars().count() <= MAX_AFTER_QUESTION)
}

fn guess_heard(clip: &Clip, stopped: Instant) -> f32 {
    let played = clip.started.map_or(Duration::ZERO, |started| stopped.saturating_duration_since(started));
    share_heard(clip.text.chars().count(), played, CHARS_PER_SECOND)
}

/// The share of a text of so many characters that was heard after it was played for so long, by a voice of `pace` characters a second;
/// never all of it.
pub(super) fn share_heard(chars: usize, played: Duration, pace: f32) -> f32 {
    let length = chars as f32 / pace;
    if length > 0.0 { (played.as_secs_f32() / length).min(0.99) } else { 0.0 }
}
