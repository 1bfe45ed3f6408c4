//! What another pod needs to go on with a conversation when this one is lost, in a form that fits a variable of the
//! switch. It carries no audio and nothing secret, and trusts nothing that it reads back.
//!
//! The form is JSON in base64url without padding: letters, digits, `-` and `_` only, so that no layer between here and
//! the next pod can take a part of it for a separator, a variable or an escape. It is bounded to [`MAX_ENCODED`]: the
//! oldest turns are left out until it fits.
//!
//! What is lost with a pod: the words of a caller who was speaking at that moment, and the sentence that was being
//! played is played again from its beginning.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    history::{MAX_MESSAGES, Message},
    tool::ToolCall,
};

/// Longest encoded state, in bytes.
pub const MAX_ENCODED: usize = 16_384;
/// The form that this version writes and reads.
pub const FORMAT: u32 = 1;
/// Longest JSON whose base64url is within [`MAX_ENCODED`].
const MAX_JSON: usize = MAX_ENCODED / 4 * 3;
/// Bounds of single fields, as JSON, for when the whole does not fit otherwise.
const MAX_LABEL_JSON: usize = 256;
const MAX_TEXT_JSON: usize = 2_500;

/// A conversation at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedState {
    /// [`FORMAT`], so that a pod of another version can tell.
    #[serde(rename = "v")]
    pub version: u32,
    /// The call's name in logs and records: the same on every pod that it visits.
    #[serde(default)]
    pub call_id: String,
    /// Who calls.
    #[serde(default)]
    pub caller: String,
    /// The language spoken, as a BCP 47 tag.
    #[serde(default)]
    pub language: String,
    /// The last turn's number.
    #[serde(default)]
    pub turn: u32,
    /// How long the call had lasted, in milliseconds. The gap between two pods is not in it.
    #[serde(default)]
    pub elapsed_ms: u64,
    /// How many times another pod has taken the call over so far.
    #[serde(default)]
    pub takeovers: u32,
    /// Failures in a row that the caller was told about.
    #[serde(default)]
    pub failures: u32,
    /// Prompts given to a silent caller since they last spoke.
    #[serde(default)]
    pub silence_prompts: u32,
    /// What was said; when the last message is the caller's and `reply` is `None`, it has no answer yet.
    #[serde(default)]
    pub history: Vec<Message>,
    /// The reply that was being spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<SavedReply>,
    /// What the caller has said since then, to be answered after it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unanswered: String,
    /// What the model asked for at the end of the reply: hang up, or transfer. What another version knows and this one
    /// does not is left out: the rest of the conversation is worth more.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "known_call")]
    pub closing: Option<ToolCall>,
}

/// A reply that was being spoken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedReply {
    /// The sentences that were heard.
    #[serde(default)]
    pub heard: String,
    /// What was written but not heard.
    #[serde(default)]
    pub rest: String,
}

/// Why a saved state cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StateError {
    /// It is longer than any state is written.
    #[error("saved state is {length} bytes long; at most {MAX_ENCODED} are read")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// It is no base64url without padding.
    #[error("saved state is no base64url")]
    Encoding,
    /// It is no JSON of the expected shape.
    #[error("saved state cannot be read: {reason}")]
    Shape {
        /// What the JSON reader says. It quotes no content.
        reason: String,
    },
    /// Another version wrote it.
    #[error("saved state has version {found}; this program reads {FORMAT}")]
    Version {
        /// The version it names.
        found: u32,
    },
}

impl SavedState {
    /// The state as text of at most [`MAX_ENCODED`] bytes of `A–Z a–z 0–9 - _`.
    ///
    /// Where it does not fit, whole turns are left out, the oldest first; where even the last turn is too long, its
    /// text loses its beginning. So what [`Self::decode`] gives back is always the end of the history.
    pub fn encode(&self) -> String {
        let mut kept = Self { history: Vec::new(), ..self.clone() };
        if json_length(&kept) + MAX_TEXT_JSON > MAX_JSON {
            kept.shorten_fields();
        }
        let room = MAX_JSON.saturating_sub(json_length(&kept));
        kept.history = newest_messages(&self.history, room);
        URL_SAFE_NO_PAD.encode(to_json(&kept))
    }

    /// Reads what [`Self::encode`] wrote, or whatever else has come in its place.
    ///
    /// # Errors
    /// [`StateError`]; the text may be anything.
    pub fn decode(text: &str) -> Result<Self, StateError> {
        if text.len() > MAX_ENCODED {
            return Err(StateError::TooLong { length: text.len() });
        }
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| StateError::Encoding)?;
        // The version comes first: another version's fields may have other shapes.
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let Version { v } = serde_json::from_slice(&json).map_err(shape)?;
        if v != FORMAT {
            return Err(StateError::Version { found: v });
        }
        let mut state: Self = serde_json::from_slice(&json).map_err(shape)?;
        state.history.drain(..state.history.len().saturating_sub(MAX_MESSAGES));
        Ok(state)
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

fn known_call<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<ToolCall>, D::Error> {
    let value = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(value.and_then(|value| serde_json::from_value(value).ok()))
}

/// Names the place, not the content: a conversation is nobody's business in a log.
fn shape(error: serde_json::Error) -> StateError {
    let kind = match error.classify() {
        serde_json::error::Category::Io => "reading failed",
        serde_json::error::Category::Syntax => "no JSON",
        serde_json::error::Category::Data => "unexpected value",
        serde_json::error::Category::Eof => "incomplete",
    };
    StateError::Shape { reason: format!("{kind} at byte {}", error.column()) }
}

/// The newest whole turns that fit into `room` bytes of JSON, or the end of the last one.
fn newest_messages(history: &[Message], mut room: usize) -> Vec<Message> {
    use super::history::Role;

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::history::Role, *};

    fn message(role: Role, content: &str) -> Message {
        Message { role, content: content.to_owned() }
    }

    fn state_with(history: Vec<Message>) -> SavedState {
        SavedState { version: FORMAT, history, ..Default::default() }
    }

    fn encoded_json(json: &str) -> String {
        URL_SAFE_NO_PAD.encode(json)
    }

    #[test]
    fn a_state_survives_the_journey() {
        let state = SavedState {
            version: FORMAT,
            call_id: "c-1".into(),
            caller: "+4930123".into(),
            language: "de-DE".into(),
            turn: 7,
            elapsed_ms: 61_000,
            takeovers: 1,
            failures: 2,
            silence_prompts: 1,
            history: vec![message(Role::Assistant, "Hallo!"), message(Role::User, "Grüß Gott \"Anna\"\n")],
            reply: Some(SavedReply { heard: "Ja. ".into(), rest: "Nein.".into() }),
            unanswered: "und?".into(),
            closing: Some(ToolCall::HangUp),
        };
        let text = state.encode();
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_eq!(SavedState::decode(&text), Ok(state));
    }

    #[test]
    fn the_oldest_turns_are_left_out_until_it_fits() {
        let turn =
            |n: usize| [message(Role::User, &format!("q{n}")), message(Role::Assistant, &"long answer ".repeat(80))];
        let history: Vec<Message> = (0..25).flat_map(turn).collect();
        let text = state_with(history.clone()).encode();
        assert!(text.len() <= MAX_ENCODED && text.len() > MAX_ENCODED / 5 * 4, "{}", text.len());
        let back = SavedState::decode(&text).expect("just written").history;
        assert!(back.len() >= 20 && history.ends_with(&back));
        assert_eq!(back[0].role, Role::User, "whole turns");
    }

    #[test]
    fn a_last_turn_that_is_too_long_keeps_its_end() {
        let history =
            vec![message(Role::User, "q"), message(Role::Assistant, &format!("{}the end", "\u{1}".repeat(4_000)))];
        let text = state_with(history).encode();
        assert!(text.len() <= MAX_ENCODED);
        let back = SavedState::decode(&text).expect("just written").history;
        assert_eq!(back.len(), 1);
        assert!(back[0].content.ends_with("the end"));
    }

    #[test]
    fn hostile_text_is_refused_and_never_panics() {
        assert_eq!(SavedState::decode(&"A".repeat(16_385)), Err(StateError::TooLong { length: 16_385 }));
        assert_eq!(SavedState::decode("not base64!"), Err(StateError::Encoding));
        assert_eq!(SavedState::decode(&encoded_json(r#"{"v":2,"history":7}"#)), Err(StateError::Version { found: 2 }));
        for json in ["", "[]", "{}", "{", r#"{"v":-1}"#, r#"{"v":1,"history":[{"role":"root","content":""}]}"#] {
            assert!(matches!(SavedState::decode(&encoded_json(json)), Err(StateError::Shape { .. })), "{json}");
        }
        let deep = format!(r#"{{"v":1,"history":{}{}}}"#, "[".repeat(6_000), "]".repeat(6_000));
        assert!(SavedState::decode(&encoded_json(&deep)).is_err());
    }

    #[test]
    fn a_closing_that_this_version_does_not_know_or_would_not_do_costs_the_closing_alone() {
        for closing in [
            r#"{"tool":"transfer","destination":"1 XML default"}"#,
            r#"{"tool":"transfer","destination":"a:b"}"#,
            r#"{"tool":"park"}"#,
            "7",
        ] {
            let json = format!(r#"{{"v":1,"turn":3,"closing":{closing}}}"#);
            let state = SavedState::decode(&encoded_json(&json)).expect("readable");
            assert_eq!((state.turn, state.closing), (3, None), "{closing}");
        }
    }

    #[test]
    fn what_the_model_may_ask_for_is_readable_by_the_first_release() {
        // Its reader refused a whole state for a destination with another character.
        let first_release = |b: u8| b.is_ascii_alphanumeric() || b"+_.@:-".contains(&b);
        for text in ["+1 (202) 555-0143", "sip:anna@example.com:5060", "front.desk_2", "*98", "1#"] {
            let arguments = serde_json::json!({ "destination": text }).to_string();
            if let Ok(ToolCall::Transfer { destination }) = ToolCall::parse("transfer", &arguments) {
                assert!(destination.bytes().all(first_release) && destination.len() <= 64, "{destination}");
            }
        }
    }

    #[test]
    fn an_error_quotes_nothing_of_the_conversation() {
        let json = r#"{"v":1,"turn":"my card is 4111"}"#;
        let error = SavedState::decode(&encoded_json(json)).expect_err("turn is a number");
        assert!(!error.to_string().contains("4111"), "{error}");
    }

    #[test]
    fn fields_of_a_later_minor_version_are_ignored_and_missing_ones_empty() {
        let state = SavedState::decode(&encoded_json(r#"{"v":1,"mood":"fine"}"#)).expect("readable");
        assert_eq!(state, SavedState { version: 1, ..Default::default() });
    }

    fn any_content() -> impl Strategy<Value = String> {
        prop_oneof![
            "\\PC{0,60}",
            "[\\x00-\\x7f]{0,40}",
            (0usize..4_000).prop_map(|n| "\u{1}".repeat(n)),
            (0usize..4_000).prop_map(|n| "水".repeat(n)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_state_fits_and_decodes_to_the_end_of_its_history(
            contents in prop::collection::vec(any_content(), 0..50),
            labels in (any_content(), any_content(), any_content()),
            unanswered in any_content(),
            reply in prop::option::of((any_content(), any_content())),
        ) {
            let roles = [Role::User, Role::Assistant].into_iter().cycle();
            let history: Vec<Message> =
                contents.into_iter().zip(roles).map(|(content, role)| Message { role, content }).collect();
            let state = SavedState {
                version: FORMAT, call_id: labels.0, caller: labels.1, language: labels.2, unanswered, turn: u32::MAX,
                elapsed_ms: u64::MAX, takeovers: u32::MAX, failures: u32::MAX, silence_prompts: u32::MAX,
                reply: reply.map(|(heard, rest)| SavedReply { heard, rest }),
                closing: Some(ToolCall::Transfer { destination: "d".repeat(64) }),
                history: history.clone(),
            };
            let text = state.encode();
            prop_assert!(text.len() <= MAX_ENCODED, "{}", text.len());
            let back = SavedState::decode(&text).expect("just written").history;
            if let Some((first, others)) = back.split_first() {
                prop_assert!(history.ends_with(others));
                let original = &history[history.len() - back.len()];
                prop_assert!(original.role == first.role && original.content.ends_with(&first.content));
            }
        }

        #[test]
        fn any_text_is_decoded_or_refused(text in "[A-Za-z0-9_-]{0,400}|\\PC{0,100}", json in "\\PC{0,200}") {
            let _ = SavedState::decode(&text);
            let _ = SavedState::decode(&encoded_json(&json));
        }
    }
}
