//! The words that variables take, as types.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use crate::backend::Secret;
use crate::sessions::PaceLimits;

/// Where the pod runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// For callers.
    Production,
    /// On a developer's machine: nothing is said about what is left open.
    Development,
}

/// Which speech backend answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendKind {
    /// Built in.
    Mock,
    /// A server with the OpenAI-compatible routes.
    OpenAi,
}

impl BackendKind {
    /// The word of `SOFIA_PHONE_BACKEND`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mock => "mock",
            Self::OpenAi => "openai",
        }
    }
}

/// What a caller is told whose last words were lost with another pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LostWordsPhrase {
    /// That they were missed, in the conversation's language.
    Auto,
    /// This.
    Text(String),
}

/// The language that speech-to-text is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TranscriptionLanguage {
    /// The conversation's, under the name that recognisers have for it.
    Conversation,
    /// None: the recogniser finds out.
    Open,
    /// This name, as it is.
    Named(String),
}

/// What text-to-speech is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpeechFormat {
    /// With a header that says rate and width.
    Wav,
    /// 16-bit little-endian samples, mono, no header.
    Pcm,
}

/// How failed backend requests are repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryKind {
    /// A balance.
    Default,
    /// More and sooner.
    Aggressive,
    /// Fewer and later.
    Conservative,
}

/// Whose message the instructions for the language model are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptRole {
    /// The system's, or the user's where the server refuses that.
    Auto,
    /// The system's.
    System,
    /// The developer's.
    Developer,
    /// The user's.
    User,
}

/// A codec of `SOFIA_PHONE_CODECS`, by its encoding name of RFC 3551.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CodecName {
    /// Uncompressed 16-bit samples, at any rate the offer has.
    L16,
    /// Wideband, 64 kbit/s.
    G722,
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
}

impl CodecName {
    /// Every codec, with its name.
    pub const ALL: [(&'static str, Self); 4] =
        [("L16", Self::L16), ("G722", Self::G722), ("PCMU", Self::Pcmu), ("PCMA", Self::Pcma)];
}

/// One of the three services of an OpenAI-compatible backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Base URL; always there when [`super::Settings::backend`] is [`BackendKind::OpenAi`].
    pub url: Option<String>,
    /// Model to name in requests.
    pub model: String,
    /// Key to send as bearer token, if any.
    pub api_key: Option<Secret>,
    /// Further fields of each request.
    pub extra: serde_json::Map<String, serde_json::Value>,
    /// Longest wait for the service.
    pub timeout: Duration,
}

/// How many calls the pod takes, and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimits {
    /// Calls at a time, at least 1.
    pub max_sessions: usize,
    /// A pod that was full is ready again at this many calls or fewer; always less than `max_sessions`.
    pub ready_low_water: usize,
    /// Calls at a time of one caller; `None`: no limit.
    pub max_sessions_per_caller: Option<NonZeroUsize>,
    /// New calls a second; `None`: no limit.
    pub setup_rate_per_second: Option<NonZeroU32>,
    /// What jitter buffers behind the pod hold: a packet that leaves later is missed; `None`: neither that nor load refuses anybody.
    pub max_lateness: Option<Duration>,
    /// While callers miss more of the packets than this, no call is taken.
    pub max_missed_percent: u32,
    /// No call is taken that would need more of the cores than this; `None`: nothing is foretold.
    pub max_load_percent: Option<NonZeroU32>,
}

impl CallLimits {
    /// What admission judges the pod's pace by, if it does.
    pub fn pace(&self) -> Option<PaceLimits> {
        self.max_lateness.map(|_| PaceLimits {
            max_missed: f64::from(self.max_missed_percent) / 100.0,
            max_load: self.max_load_percent.map(|percent| f64::from(percent.get()) / 100.0),
        })
    }
}
