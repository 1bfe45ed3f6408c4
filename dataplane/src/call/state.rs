//! What a pod leaves on leg A for the next one, which may run an older or a newer release: an envelope that every
//! release can read, and in it what one kind of conversation needs to go on. It trusts nothing that it reads back.
//!
//! The form is one JSON object in base64url without padding: letters, digits, `-` and `_` only, so that no layer between
//! here and the next pod can take a part of it for a separator, a variable or an escape. It is bounded to
//! [`MAX_ENCODED`]; what is left out for that is the kind's own decision ([`Body::fitted`]).
//!
//! | field | |
//! |---|---|
//! | `v` | 1. The first release takes nothing else, so it stays 1 for as long as that release shall be able to read along |
//! | `min_reader` | the oldest reader that understands it, by [`READER`]; left out: `v` |
//! | `kind` | the kind of conversation; left out: `turns`, of which all were in the first release |
//! | all others | the kind's own, beside these: that is where the first release looks |
//!
//! How it may change: fields are added, and readers leave out what they don't know, or can't read, one by one. Only what
//! an older release would do harm with raises `min_reader`. Each release's form is in `tests/fixtures/saved_state`, and
//! read by the tests.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

/// Longest encoded state, in bytes.
pub const MAX_ENCODED: usize = 16_384;
/// Which reader this release is.
pub const READER: u32 = 2;
/// The `v` that is written.
const VERSION: u32 = 1;
/// The oldest reader that understands what is written.
const OLDEST_READER: u32 = 1;
/// The kind of what names none.
const FIRST_KIND: &str = "turns";
/// Longest JSON whose base64url is within [`MAX_ENCODED`].
const MAX_JSON: usize = MAX_ENCODED / 4 * 3;

/// What one kind of conversation leaves. It is a JSON object, without the envelope's own fields; reading it leaves out
/// what can't be read, wherever the rest is of use without.
pub trait Body: Serialize + DeserializeOwned {
    /// The kind of conversation, a short word that no release changes.
    const KIND: &'static str;

    /// The same in at most `room` bytes of JSON: without what is missed least.
    #[must_use]
    fn fitted(&self, room: usize) -> Self;
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
        /// What is wrong, without any content: a conversation is nobody's business in a log.
        reason: String,
    },
    /// A release wrote it that this one does not understand.
    #[error("saved state needs reader {needed}; this program is reader {READER}")]
    TooNew {
        /// The reader that it needs.
        needed: u32,
    },
    /// It is of another kind of conversation.
    #[error("saved state is of another kind of conversation than {expected}")]
    OtherKind {
        /// The kind of this call's.
        expected: &'static str,
    },
    /// The switch did not give it.
    #[error("expected what the pod before has kept, came: {came}")]
    NotGiven {
        /// What came instead.
        came: String,
    },
}

impl StateError {
    /// The reason as a metric's label.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::TooLong { .. } | Self::Encoding | Self::Shape { .. } => "unreadable",
            Self::TooNew { .. } => "too_new",
            Self::OtherKind { .. } => "other_kind",
            Self::NotGiven { .. } => "not_given",
        }
    }
}

/// Why a state was not read, as a metric's labels: all that [`StateError::reason`] says.
pub(crate) const UNREAD: [&str; 4] = ["not_given", "unreadable", "too_new", "other_kind"];

/// The envelope around a body, as it is written.
#[derive(Serialize)]
struct Sealed<'a, B> {
    v: u32,
    min_reader: u32,
    kind: &'static str,
    #[serde(flatten)]
    body: &'a B,
}

/// The envelope's own fields, as they are read.
#[derive(Deserialize)]
struct Envelope {
    v: u32,
    min_reader: Option<u32>,
    kind: Option<String>,
}

/// `body` as text of at most [`MAX_ENCODED`] bytes of `A–Z a–z 0–9 - _`.
pub fn write<B: Body>(body: &B) -> String {
    // The braces of the body are the envelope's own.
    let around = json(&Sealed { v: VERSION, min_reader: OLDEST_READER, kind: B::KIND, body: &Nothing {} }).len();
    let fitted = body.fitted(MAX_JSON - around);
    let sealed = Sealed { v: VERSION, min_reader: OLDEST_READER, kind: B::KIND, body: &fitted };
    URL_SAFE_NO_PAD.encode(json(&sealed))
}

#[derive(Serialize)]
struct Nothing {}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data with text keys is always JSON")
}

/// Reads what the switch gave of what the pod before this one has left: nothing, where that kept nothing.
///
/// # Errors
/// [`StateError`]: it was not given, or can't be read.
pub(crate) fn read_left<B: Body>(left: Result<Option<String>, String>) -> Result<Option<B>, StateError> {
    left.map_err(|came| StateError::NotGiven { came })?.as_deref().map(read).transpose()
}

/// Reads what [`write`] wrote, in this release or another, or whatever else has come in its place.
///
/// # Errors
/// [`StateError`]; the text may be anything.
pub fn read<B: Body>(text: &str) -> Result<B, StateError> {
    if text.len() > MAX_ENCODED {
        return Err(StateError::TooLong { length: text.len() });
    }
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| StateError::Encoding)?;
    let value: Value = serde_json::from_slice(&json).map_err(|error| shape(&error))?;
    if !value.is_object() {
        return Err(StateError::Shape { reason: "no object".to_owned() });
    }
    // The envelope comes first: another release's fields may have other shapes.
    let Envelope { v, min_reader, kind } = Envelope::deserialize(&value).map_err(|error| shape(&error))?;
    let needed = min_reader.unwrap_or(v);
    if needed > READER {
        return Err(StateError::TooNew { needed });
    }
    if kind.as_deref().unwrap_or(FIRST_KIND) != B::KIND {
        return Err(StateError::OtherKind { expected: B::KIND });
    }
    serde_json::from_value(value).map_err(|error| shape(&error))
}

/// Names the kind of fault and the place where there is one, not the content.
fn shape(error: &serde_json::Error) -> StateError {
    let kind = match error.classify() {
        serde_json::error::Category::Io => "reading failed",
        serde_json::error::Category::Syntax => "no JSON",
        serde_json::error::Category::Data => "unexpected value",
        serde_json::error::Category::Eof => "incomplete",
    };
    let reason = match error.column() {
        0 => kind.to_owned(),
        column => format!("{kind} at byte {column}"),
    };
    StateError::Shape { reason }
}

#[cfg(test)]
mod tests;
