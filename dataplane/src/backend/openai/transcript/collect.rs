//! Text out of JSON whose makers agree on little: one value, or many that build on one another.

use serde_json::{Map, Value};

use super::super::endpoint::one_line;
use super::Unreadable;
use super::confidence::{Confidence, is_speech};

/// Deeper is nobody's transcript.
const MAX_DEPTH: usize = 8;
/// Where servers put a text, the likeliest first; of those that are there the first with a text in it counts.
const TEXT_KEYS: [&str; 34] = [
    "text",
    "transcript",
    "transcription",
    "transcripts",
    "DisplayText",
    "display",
    "combinedPhrases",
    "segments",
    "result",
    "results",
    "output",
    "response",
    "prediction",
    "predictions",
    "data",
    "alternatives",
    "hypotheses",
    "channels",
    "choices",
    "message",
    "content",
    "sentences",
    "utterances",
    "chunks",
    "pred_text",
    "generated_text",
    "outputs",
    "NBest",
    "Display",
    "utterance",
    "monologues",
    "elements",
    "phrases",
    "value",
];
/// Of these the first entry is the best guess, and the others are other guesses.
const GUESSES: [&str; 5] = ["alternatives", "hypotheses", "choices", "channels", "NBest"];
/// Single words, for want of anything else.
const WORD_KEYS: [&str; 5] = ["words", "items", "punctuated_word", "word", "w"];
/// What stands beside a text, or alone where there is none to give.
const OTHER_KEYS: [&str; 28] = [
    "RecognitionStatus",
    "Offset",
    "Duration",
    "totalBilledTime",
    "requestId",
    "timestamp",
    "language",
    "language_code",
    "detected_language",
    "language_probability",
    "duration",
    "task",
    "usage",
    "model",
    "id",
    "object",
    "created",
    "logprobs",
    "confidence",
    "partial",
    "type",
    "status",
    "code",
    "success",
    "x_groq",
    "time",
    "key",
    "metadata",
];

/// What was collected so far.
#[derive(Debug, Default)]
pub(super) struct Collected {
    /// Whether segments without speech are left out.
    doubting: bool,
    /// Pieces, joined.
    text: String,
    /// The whole text, where it was given at the end.
    whole: Option<String>,
    /// Only what is final counts, because something called itself so.
    final_only: bool,
}

impl Collected {
    pub(super) fn new(doubting: bool) -> Self {
        Self { doubting, ..Self::default() }
    }

    /// Takes the next value: of several, each builds on the ones before.
    pub(super) fn take(mut self, value: Value) -> Result<Self, Unreadable> {
        if let Value::Object(object) = &value {
            if let Some(error) = failure(object) {
                return Err(error);
            }
            let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
            if let Some(delta) = object.get("delta").and_then(Value::as_str) {
                self.text.push_str(delta);
                return Ok(self);
            }
            if let Some(delta) = chat_delta(object) {
                self.text.push_str(delta);
                return Ok(self);
            }
            if kind.ends_with(".done") || kind.ends_with(".completed") || kind == "final" {
                let whole = self.text_of(&value, 0)?;
                self.whole = whole.or(self.whole.take());
                return Ok(self);
            }
            match ["is_final", "final", "isFinal"].iter().find_map(|key| object.get(*key)).and_then(Value::as_bool) {
                Some(true) if !self.final_only => {
                    self.final_only = true;
                    self.text.clear();
                }
                Some(false) if self.final_only => return Ok(self),
                Some(false) => self.text.clear(),
                _ => {}
            }
        }
        if let Some(text) = self.text_of(&value, 0)? {
            // Some send what they have so far, again and again.
            let so_far = self.text.trim();
            if !so_far.is_empty() && text.trim_start().starts_with(so_far) {
                self.text = text;
            } else {
                append(&mut self.text, &text);
            }
        }
        Ok(self)
    }

    pub(super) fn finish(self) -> Result<String, Unreadable> {
        Ok(self.whole.unwrap_or(self.text).trim().to_owned())
    }

    /// The text in `value`; `None` where there is none.
    fn text_of(&self, value: &Value, depth: usize) -> Result<Option<String>, Unreadable> {
        if depth > MAX_DEPTH {
            return Err(Unreadable::Kind("JSON that is too deep"));
        }
        match value {
            Value::Null => Ok(None),
            Value::Bool(_) => Err(Unreadable::Kind("JSON without a text")),
            Value::Number(number) => Ok(Some(number.to_string())),
            Value::String(text) => Ok(Some(text.clone())),
            Value::Array(values) => {
                let mut joined = None::<String>;
                for value in values.iter().filter(|value| !self.is_doubted(value)) {
                    if let Some(text) = self.text_of(value, depth + 1)? {
                        append(joined.get_or_insert_default(), &text);
                    }
                }
                Ok(joined)
            }
            Value::Object(object) => self.text_in(object, depth),
        }
    }

    fn text_in(&self, object: &Map<String, Value>, depth: usize) -> Result<Option<String>, Unreadable> {
        if depth == 0 && self.is_doubted_whole(object) {
            return Ok(None);
        }
        let mut known = false;
        // Where some of the segments are no speech, only the others' text counts, not the one beside them.
        let in_part = self.is_doubted_in_part(object);
        for key in TEXT_KEYS.iter().chain(&WORD_KEYS) {
            let Some(value) = object.get(*key) else { continue };
            known = true;
            if in_part && *key != "segments" {
                continue;
            }
            let value = match value {
                Value::Array(guesses) if GUESSES.contains(key) => guesses.first().unwrap_or(&Value::Null),
                // `"success": true` beside, `"result": true` here: no text, but no fault either.
                Value::Bool(_) => &Value::Null,
                Value::Number(_) if *key != "text" => &Value::Null,
                value => value,
            };
            // An object within may hold no text at all: then the next key's turn has come.
            if let Some(text) = self.text_of(value, depth + 1)?.filter(|text| !text.trim().is_empty()) {
                return Ok(Some(text));
            }
        }
        if depth > 0 || known || object.keys().all(|key| OTHER_KEYS.contains(&key.as_str())) {
            Ok(None)
        } else {
            Err(Unreadable::Kind("JSON without a text"))
        }
    }

    /// Whether a segment is one of which its probabilities say that it is no speech.
    fn is_doubted(&self, segment: &Value) -> bool {
        let Value::Object(segment) = segment else { return false };
        let Some(text) = segment.get("text").and_then(Value::as_str) else { return false };
        self.doubting && !is_speech(text, &Confidence::of(segment))
    }

    /// Whether that is so of a whole answer: of each of its segments, or by probabilities beside its text. Where it is so of
    /// some, their text is not in the answer's own.
    fn is_doubted_whole(&self, object: &Map<String, Value>) -> bool {
        if !self.doubting {
            return false;
        }
        match object.get("segments") {
            Some(Value::Array(segments)) if !segments.is_empty() => {
                segments.iter().all(|segment| self.is_doubted(segment))
            }
            _ => {
                let text = object.get("text").and_then(Value::as_str).unwrap_or_default();
                !text.is_empty() && !is_speech(text, &Confidence::of(object))
            }
        }
    }

    /// Whether some of an answer's segments are doubted, but not all.
    fn is_doubted_in_part(&self, object: &Map<String, Value>) -> bool {
        let segments = object.get("segments").and_then(Value::as_array);
        segments.is_some_and(|segments| segments.iter().any(|segment| self.is_doubted(segment)))
    }
}

/// A chunk of a streamed transcription in the form of a completion.
fn chat_delta(object: &Map<String, Value>) -> Option<&str> {
    let choice = object.get("choices")?.as_array()?.first()?;
    choice.get("delta")?.get("content").and_then(Value::as_str)
}

/// An answer that says that there is none.
fn failure(object: &Map<String, Value>) -> Option<Unreadable> {
    let is_error = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(object) => !object.is_empty(),
        Value::Number(number) => number.as_i64() != Some(0),
        _ => true,
    };
    let error = ["error", "errors", "detail"].iter().find_map(|key| object.get(*key)).filter(|error| is_error(error));
    let says_so = object.get("type").and_then(Value::as_str) == Some("error")
        || object
            .get("status")
            .and_then(Value::as_str)
            .is_some_and(|status| matches!(status, "error" | "failed" | "failure"))
        || object.get("RecognitionStatus").and_then(Value::as_str) == Some("Error")
        || object.get("success") == Some(&Value::Bool(false));
    let has_text =
        ["text", "transcript", "transcription"].iter().any(|key| object.get(*key).is_some_and(Value::is_string));
    if has_text || (error.is_none() && !says_so) {
        return None;
    }
    let reason = error.map(|error| error.get("message").unwrap_or(error)).or_else(|| object.get("message"));
    Some(Unreadable::Failed(reason.and_then(Value::as_str).map(one_line)))
}

/// Joins two pieces: with a space where neither brings one and both are of a script that has them.
fn append(text: &mut String, more: &str) {
    let spaced = |c: char| {
        !c.is_whitespace() && !matches!(c, '\u{2E80}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{FF00}'..='\u{FFEF}')
    };
    let closes = |c: char| matches!(c, '.' | ',' | '!' | '?' | ';' | ':' | '\'');
    if let (Some(last), Some(first)) = (text.chars().last(), more.chars().next())
        && spaced(last)
        && spaced(first)
        && !closes(first)
    {
        text.push(' ');
    }
    text.push_str(more);
}
