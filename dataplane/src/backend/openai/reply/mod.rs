//! A chat completion as it arrives, put together into reply parts. Sans-IO: bytes in, parts out; it asks nobody and knows
//! no time.
//!
//! Bytes become events ([`frames`]), events become what they say ([`chunk`]), its text is taken apart into words, thoughts
//! and calls ([`scanner`]), and a reply that may begin with a thought is held back ([`lead`]). However the bytes are cut,
//! the parts are the same.

mod bare;
mod calls;
mod chunk;
mod elements;
mod frames;
mod json;
mod lead;
mod marks;
mod relaxed;
mod scanner;
mod sse;
#[cfg(test)]
mod tests;
mod written;

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;

use self::calls::Calls;
use self::chunk::{End, Flaw, Said};
use self::frames::Frames;
pub(super) use self::lead::Habit;
use self::lead::Lead;
use self::scanner::{Item, Scanner};
pub(super) use self::sse::SseParser;
pub(super) use self::written::Tool;
use self::written::{Tools, Written};
use crate::backend::{BackendError, BackendErrorKind, ReplyPart};
use crate::turn::tool::{RefusedCall, ToolCall};

/// The most bytes of one reply, protocol included. A spoken reply of five minutes is under 10 KiB of words.
pub(super) const MAX_REPLY_BYTES: usize = 4 << 20;
/// How long the beginning of a reply may wait to turn out a thought, where nothing is known of the server.
pub(super) const MAX_LEAD: Duration = Duration::from_millis(700);
/// The most tool calls of one reply.
const MAX_TOOL_CALLS: usize = 8;
/// The most bytes of one tool call's arguments.
const MAX_ARGUMENT_BYTES: usize = 16 << 10;

/// An event, line or value that is longer than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected events of at most {limit} bytes, came a longer one")]
pub(super) struct TooLong {
    limit: usize,
}

/// What a reply is read with.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading {
    /// The tools that were offered. Calls of these are found in the text; calls of none are not carried out.
    pub(super) tools: Vec<Tool>,
    /// What is known of the server.
    pub(super) habit: Habit,
}

/// Puts one completion together.
#[derive(Debug)]
pub(super) struct Completion {
    frames: Frames,
    choice: Option<u64>,
    scanner: Scanner,
    lead: Lead,
    calls: Calls,
    ready: VecDeque<ReplyPart>,
    /// Parts were given out already.
    given: bool,
    bytes: usize,
    /// The text so far, for servers that repeat it.
    written: String,
    /// The model said why it stopped, and what follows is not waited for long.
    finished: bool,
    /// The stream said that it is over.
    done: bool,
    answered: bool,
    refused: Option<String>,
    offered: bool,
    /// Calls that came, right and wrong ones.
    called: usize,
    /// Those of them that were written into the text.
    written_calls: Vec<Written>,
    /// A whole message came, which needs no end.
    whole: bool,
    habit: Habit,
    /// The reply began with a thought that no mark opened.
    thought_before: bool,
    cut: bool,
}

impl Completion {
    pub(super) fn new(reading: Reading) -> Self {
        Self {
            frames: Frames::default(),
            choice: None,
            lead: Lead::new(reading.habit),
            offered: !reading.tools.is_empty(),
            scanner: Scanner::new(Tools(reading.tools)),
            calls: Calls::default(),
            ready: VecDeque::new(),
            given: false,
            bytes: 0,
            written: String::new(),
            finished: false,
            done: false,
            answered: false,
            refused: None,
            called: 0,
            written_calls: Vec::new(),
            whole: false,
            habit: reading.habit,
            thought_before: false,
            cut: false,
        }
    }

    /// Takes the next bytes of the body.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), BackendError> {
        self.bytes += bytes.len();
        if self.bytes > MAX_REPLY_BYTES {
            return Err(too_long());
        }
        let mut events = Vec::new();
        let framed = self.frames.push(bytes, |name, data| events.push((name.to_owned(), data.to_owned())));
        // What came before what is too long is heard all the same.
        events.iter().try_for_each(|(name, data)| self.event(name, data))?;
        framed.or_else(|error| if self.done { Ok(()) } else { Err(BackendError::invalid(error.to_string())) })
    }

    /// The body has ended. An error if it was cut off.
    pub(super) fn finish(&mut self) -> Result<(), BackendError> {
        let mut events = Vec::new();
        self.frames
            .finish(|name, data| events.push((name.to_owned(), data.to_owned())))
            .map_err(|error| BackendError::invalid(error.to_string()))?;
        events.iter().try_for_each(|(name, data)| self.event(name, data))?;
        if self.done {
            return Ok(());
        }
        if self.frames.is_something_else() {
            return Err(BackendError::invalid("expected events or JSON, came neither"));
        }
        if !self.finished && !self.whole && !self.ends_well() {
            return Err(BackendError::unavailable("expected the reply's end, came the stream's"));
        }
        self.close()
    }

    /// Whether what came can be all: some servers say neither why they end nor that they do, and just end. Words that end with a
    /// sentence are taken for whole; a sentence that breaks off is not.
    fn ends_well(&self) -> bool {
        let last = self.written.trim_end().chars().last();
        let closes = |c| {
            matches!(c, '.' | '!' | '?' | '…' | '。' | '！' | '？' | '؟' | '۔' | '।' | '"' | '”' | '»' | '」' | ')')
        };
        self.calls.is_empty() && last.is_some_and(closes)
    }

    /// No more of the body is waited for, since the model has said that it stopped.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub(super) fn close(&mut self) -> Result<(), BackendError> {
        if self.done {
            return Ok(());
        }
        self.settle();
        self.done = true;
        match self.refused.take() {
            // A reply that was nothing but a wrong call would leave the caller in silence.
            Some(error) if !self.answered => {
                Err(BackendError::invalid(format!("expected a reply, came only: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// The next part that is complete.
    pub(super) fn pop(&mut self) -> Option<ReplyPart> {
        let part = self.ready.pop_front();
        self.given |= part.is_some();
        part
    }

    /// Whether the reply is complete. Parts may still be waiting.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Whether the model has said that it stopped. All of its words are among the parts then; that the server says so
    /// too is not to be waited for long.
    pub(super) fn has_finished(&self) -> bool {
        self.finished
    }

    /// Whether words are held back that may be given out with [`Self::release`] after [`MAX_LEAD`].
    pub(super) fn is_doubtful(&self) -> bool {
        self.lead.is_doubtful()
    }

    /// Gives out what was held back because it might have been a thought.
    pub(super) fn release(&mut self) {
        let mut out = Vec::new();
        self.lead.open(&mut out);
        self.take(out);
    }

    /// What this reply, once it is complete, tells of the server; `None` for nothing.
    pub(super) fn habit(&self) -> Option<Habit> {
        match self.habit {
            _ if self.thought_before => Some(Habit::Thought),
            _ if !self.finished && !self.done || self.cut || !self.answered => None,
            // Some replies have no thought in them. The next one is looked at anew.
            Habit::Thought => Some(Habit::Unknown),
            Habit::Unknown | Habit::Answer => Some(Habit::Answer),
        }
    }

    fn event(&mut self, name: &str, data: &str) -> Result<(), BackendError> {
        let data = data.trim();
        if self.done {
            return Ok(());
        }
        let word = data.trim_matches('"');
        let says_done = ["done", "end", "complete", "completed", "close", "finish"].iter();
        if word.eq_ignore_ascii_case("[done]")
            || data.is_empty() && says_done.into_iter().any(|done| name.eq_ignore_ascii_case(done))
        {
            return self.close();
        }
        if data.is_empty() {
            return Ok(());
        }
        let chunk: Value = match serde_json::from_str(data) {
            Ok(chunk) => chunk,
            // After the end nothing can spoil the reply.
            Err(_) if self.finished => return Ok(()),
            Err(_) if name.eq_ignore_ascii_case("error") => return Err(failed(None, false)),
            Err(error) => {
                // The error's own text quotes the data, which is what the model says to the caller.
                let (what, column) = (error.classify(), error.column());
                let message = format!("expected a completion chunk, came other JSON or none: {what:?} at {column}");
                return Err(BackendError::invalid(message));
            }
        };
        let said = match chunk::read(name, &chunk, &mut self.choice) {
            Ok(said) => said,
            Err(_) if self.finished => return Ok(()),
            Err(Flaw::Error { reason, refused }) => return Err(failed(reason.as_deref(), refused)),
            Err(Flaw::Shape) => {
                return Err(BackendError::invalid("expected a completion chunk, came JSON of another shape"));
            }
        };
        said.into_iter().try_for_each(|said| self.said(said))
    }

    fn said(&mut self, said: Said) -> Result<(), BackendError> {
        match said {
            Said::Text(text) => self.text(&text),
            Said::Whole(text) => {
                self.whole = true;
                let more = text.strip_prefix(self.written.as_str()).unwrap_or(&text).to_owned();
                self.text(&more);
            }
            Said::Thought => {
                let mut out = Vec::new();
                self.lead.told_apart(&mut out);
                self.take(out);
            }
            Said::Call(piece) => self.calls.push(piece)?,
            Said::End(end) => {
                self.cut = end == End::Cut;
                self.settle();
                self.finished = true;
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &str) {
        self.written.push_str(text);
        let items = self.scanner.push(text);
        self.lead_on(items);
    }

    fn lead_on(&mut self, items: Vec<Item>) {
        let mut out = Vec::new();
        self.lead.push(items, &mut out);
        self.take(out);
    }

    fn take(&mut self, items: Vec<Item>) {
        for item in items {
            match item {
                Item::Text(text) if text.is_empty() => {}
                Item::Text(text) => {
                    self.answered |= !text.trim().is_empty();
                    self.ready.push_back(ReplyPart::Text(text));
                }
                Item::Call(_) if !self.offered => {
                    self.refused.get_or_insert_with(|| "a call of a tool that was not offered".to_owned());
                }
                Item::Call(call) => {
                    self.call(&call.name, &call.arguments);
                    if self.called <= MAX_TOOL_CALLS {
                        self.written_calls.push(call);
                    }
                }
                Item::Thought => {}
                Item::ThoughtBefore => {
                    self.thought_before = true;
                    self.ready.clear();
                    if std::mem::take(&mut self.given) {
                        self.ready.push_back(ReplyPart::TakenBack);
                    }
                    (self.answered, self.refused, self.called) = (false, None, 0);
                }
                Item::Stop => {
                    self.settle();
                    self.finished = true;
                }
            }
        }
    }

    /// Everything that was said so far becomes parts.
    fn settle(&mut self) {
        let items = self.scanner.finish();
        self.lead_on(items);
        let mut out = Vec::new();
        self.lead.finish(self.cut, &mut out);
        self.take(out);
        for (name, arguments) in self.calls.take() {
            let arguments = if arguments.trim().is_empty() { "{}" } else { &arguments };
            // Some servers read a call out of the text and leave it there as well.
            let same = |call: &Written| call.name == name && same_json(&call.arguments, arguments);
            match self.written_calls.iter().position(same) {
                Some(at) => drop(self.written_calls.swap_remove(at)),
                None => self.call(&name, arguments),
            }
        }
    }

    /// A call that is complete, whether it came as one or was written into the text, becomes a part.
    fn call(&mut self, name: &str, arguments: &str) {
        self.called += 1;
        if self.called > MAX_TOOL_CALLS {
            return;
        }
        match ToolCall::parse(name, arguments) {
            Ok(call) => {
                self.answered = true;
                self.ready.push_back(ReplyPart::Tool(call));
            }
            // Whether the model is told and asked again is not for a reader to say.
            Err(error) => {
                self.answered = true;
                self.ready.push_back(ReplyPart::Refused(RefusedCall::new(name, arguments, error)));
            }
        }
    }
}

fn same_json(one: &str, other: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    one == other || read(one).is_some_and(|one| read(other) == Some(one))
}

/// The server failed in the midst of an answer, or `refused` the request there.
fn failed(reason: Option<&str>, refused: bool) -> BackendError {
    let kind = if refused { BackendErrorKind::Rejected } else { BackendErrorKind::Unavailable };
    let reason = super::endpoint::one_line(reason.unwrap_or("no reason given"));
    BackendError::new(kind, format!("expected a reply, came an error: {reason}"))
}

fn too_long() -> BackendError {
    BackendError::invalid(format!("expected a reply of at most {MAX_REPLY_BYTES} bytes, came a longer one"))
}
