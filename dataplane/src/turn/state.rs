//! What another pod needs to go on with a conversation of turns when this one is lost. It carries no audio and nothing
//! secret; how it gets to the other pod is not its matter ([`crate::call::state`]).
//!
//! What is lost with a pod: the words of a caller who was speaking at that moment. They are told so.

use std::ops::RangeInclusive;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{
    history::{MAX_MESSAGES, Message, Role},
    tool::ToolCall,
};

/// Bounds of single fields, as JSON, for when the whole does not fit otherwise.
const MAX_LABEL_JSON: usize = 256;
const MAX_TEXT_JSON: usize = 2_500;
/// Paces that a voice can have, in characters a minute: from Chinese spoken slowly on.
const PACES: RangeInclusive<u64> = 60..=6_000;

/// A conversation at one moment. A field that can't be read, or that another release wrote in a form of its own, is left out
/// when it is read: the rest is worth more. So are single messages of the history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedState {
    /// The call's name in logs and records: the same on every pod that it visits.
    #[serde(default, deserialize_with = "readable")]
    pub call_id: String,
    /// Who calls.
    #[serde(default, deserialize_with = "readable")]
    pub caller: String,
    /// The language spoken, as a BCP 47 tag.
    #[serde(default, deserialize_with = "readable")]
    pub language: String,
    /// The last turn's number.
    #[serde(default, deserialize_with = "readable")]
    pub turn: u32,
    /// When this was kept, in milliseconds since the Unix epoch by the pod's clock; 0: not known.
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "readable")]
    pub kept_at_ms: u64,
    /// How fast the agent's voice speaks, in characters a minute; 0: not known.
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "readable")]
    pub chars_per_minute: u64,
    /// How long the call had lasted, in milliseconds. The gap between two pods is not in it.
    #[serde(default, deserialize_with = "readable")]
    pub elapsed_ms: u64,
    /// How many times another pod has taken the call over so far.
    #[serde(default, deserialize_with = "readable")]
    pub takeovers: u32,
    /// Failures in a row that the caller was told about.
    #[serde(default, deserialize_with = "readable")]
    pub failures: u32,
    /// Prompts given to a silent caller since they last spoke.
    #[serde(default, deserialize_with = "readable")]
    pub silence_prompts: u32,
    /// What was said; when the last message is the caller's and `reply` is `None`, it has no answer yet.
    #[serde(default, deserialize_with = "messages")]
    pub history: Vec<Message>,
    /// The reply that was being spoken.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "readable")]
    pub reply: Option<SavedReply>,
    /// Whether the caller was being listened to: what they say is lost with the pod, until a later state has it.
    #[serde(default, skip_serializing_if = "is_false", deserialize_with = "readable")]
    pub hearing: bool,
    /// What the caller has said since then, to be answered after it.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "readable")]
    pub unanswered: String,
    /// What the model asked for at the end of the reply: hang up, or transfer.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "readable")]
    pub closing: Option<ToolCall>,
}

/// A reply that was being spoken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedReply {
    /// The sentences that were heard.
    #[serde(default)]
    pub heard: String,
    /// What was written but not heard, or not to its end.
    #[serde(default)]
    pub rest: String,
    /// Of the first sentence of `rest`: for how long it had been played when this was kept, in milliseconds; and its length in
    /// characters, 0 where it had not begun.
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "readable")]
    pub played_ms: u64,
    /// See `played_ms`.
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "readable")]
    pub playing_chars: u64,
    /// Whether it was played on from there: the agent was neither paused nor leaving.
    #[serde(default, skip_serializing_if = "is_false", deserialize_with = "readable")]
    pub plays_on: bool,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

fn is_false(value: &bool) -> bool {
    !value
}

impl SavedState {
    /// Characters a second of the agent's voice, where another pod has learnt a pace that a voice can have.
    #[must_use]
    pub fn chars_per_second(&self) -> Option<f32> {
        PACES.contains(&self.chars_per_minute).then(|| self.chars_per_minute as f32 / 60.0)
    }

    /// The same in at most `room` bytes of JSON, where that is some 10 KB or more.
    ///
    /// Where it does not fit, whole turns are left out, the oldest first; where even the last turn is too long, its
    /// text loses its beginning. So what is left is always the end of the history.
    #[must_use]
    pub fn fitted(&self, room: usize) -> Self {
        let mut kept = Self { history: Vec::new(), ..self.clone() };
        if json_length(&kept) + MAX_TEXT_JSON > room {
            kept.shorten_fields();
        }
        kept.history = newest_messages(&self.history, room.saturating_sub(json_length(&kept)));
        kept
    }

    /// Is there anything of the caller's in it? The greeting alone is no loss.
    #[must_use]
    pub fn has_callers_words(&self) -> bool {
        !self.unanswered.is_empty() || self.history.iter().any(|message| message.role == Role::User)
    }

    fn shorten_fields(&mut self) {
        for label in [&mut self.call_id, &mut self.caller, &mut self.language] {
            *label = json_head(label, MAX_LABEL_JSON).to_owned();
        }
        self.unanswered = json_tail(&self.unanswered, MAX_TEXT_JSON).to_owned();
        if let Some(reply) = &mut self.reply {
            reply.heard = json_tail(&reply.heard, MAX_TEXT_JSON).to_owned();
            reply.rest = json_head(&reply.rest, MAX_TEXT_JSON).to_owned();
        }
    }
}

/// A field, or nothing where this release can't read it.
fn readable<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).unwrap_or_default())
}

/// The messages that this release can read.
fn messages<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Message>, D::Error> {
    let Value::Array(messages) = Value::deserialize(deserializer)? else {
        return Err(D::Error::custom("a history that is no list"));
    };
    let mut known: Vec<Message> =
        messages.into_iter().filter_map(|message| serde_json::from_value(message).ok()).collect();
    known.drain(..known.len().saturating_sub(MAX_MESSAGES));
    Ok(known)
}

/// The newest whole turns that fit into `room` bytes of JSON, or the end of the last one.
fn newest_messages(history: &[Message], mut room: usize) -> Vec<Message> {
    let mut kept: Vec<Message> = Vec::new();
    for message in history.iter().rev().take(MAX_MESSAGES) {
        // A comma goes between messages.
        let length = json_length(message) + 1;
        if length <= room {
            room -= length;
            kept.push(message.clone());
            continue;
        }
        if !kept.iter().any(|message| message.role == Role::User) {
            let empty = json_length(&Message { role: message.role, content: String::new() }) + 1;
            let content = json_tail(&message.content, room.saturating_sub(empty));
            if !content.is_empty() {
                kept.push(Message { role: message.role, content: content.to_owned() });
            }
        } else if kept.last().is_some_and(|oldest| oldest.role != Role::User) {
            // An answer without its question: the turn goes whole.
            kept.pop();
        }
        break;
    }
    kept.reverse();
    kept
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data with text keys is always JSON")
}

fn json_length(value: &impl Serialize) -> usize {
    to_json(value).len()
}

/// What a character takes inside a JSON string, as `serde_json` writes it.
fn json_width(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        c => c.len_utf8(),
    }
}

/// The longest beginning of a text that takes at most `room` bytes inside a JSON string.
fn json_head(text: &str, room: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += json_width(*c);
        used > room
    });
    end.map_or(text, |(at, _)| &text[..at])
}

/// The longest end of a text that takes at most `room` bytes inside a JSON string.
fn json_tail(text: &str, room: usize) -> &str {
    let mut used = 0;
    let start = text.char_indices().rev().find(|(_, c)| {
        used += json_width(*c);
        used > room
    });
    start.map_or(text, |(at, c)| &text[at + c.len_utf8()..])
}
