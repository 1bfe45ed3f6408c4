//! What answers the caller: speech to text, text to reply, reply to speech. Knows nothing of calls, packets or turns; a
//! backend is asked and answers, and the conversation decides what to do with the answer.
//!
//! - [`VoiceBackend`] is the whole contract; a user of the library may bring their own.
//! - [`mock`] is built in and answers with bundled recordings: what runs with no configuration.
//! - [`openai`] speaks to any server with the OpenAI-compatible HTTP routes.
//! - [`resilience`] wraps any of them with deadlines, retries, circuit breakers and fallbacks.
//! - [`apology`] is the recording that covers what is left when all of that failed.

pub mod apology;
pub mod clips;
pub mod error;
pub mod mock;
pub mod openai;
pub mod resilience;
pub mod secret;
pub mod setup;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use std::fmt;
use std::sync::Arc;

use crate::audio::{SampleRate, Samples};
use crate::turn::history::Message;
use crate::turn::tool::{RefusedCall, ToolCall};

pub use error::{BackendError, BackendErrorKind};
pub use mock::{MockBackend, MockSettings};
pub use openai::{OpenAiBackend, OpenAiSettings};
pub use resilience::{BackendObserver, ResilienceSettings, Resilient, RetryPolicy};
pub use secret::Secret;
pub use setup::{BackendSettings, BackendsSettings, SetupError, SharedEndpoints, build};

/// A speech backend: the three steps from what a caller said to what the caller hears.
///
/// One value serves all calls of a process at once, so methods take `&self` and keep what belongs to a call out of it:
/// the conversation arrives whole with each [`VoiceBackend::generate`].
///
/// Dropping a returned future, or a returned stream, cancels the request behind it: that is how a barge-in reaches a
/// backend. Implementations therefore must not detach work that outlives what they returned.
///
/// Implementations need no deadlines, retries or breakers of their own: [`Resilient`] adds them.
#[async_trait]
pub trait VoiceBackend: Send + Sync + 'static {
    /// Turns one utterance of the caller into text.
    ///
    /// `audio` is mono PCM at `rate`, from the first voiced sample (with a short lead-in) to the end of speech; the engine
    /// sends 16 kHz. An empty string means "nothing was said": the conversation takes the utterance for a false alarm. So does
    /// it where the text is only a recogniser's remark, such as `(coughing)`, or was hardly said
    /// ([`crate::turn::transcript`]): that need not be found out here.
    async fn transcribe(&self, audio: &[i16], rate: SampleRate) -> Result<String, BackendError>;

    /// Answers `text`, the caller's newest words, which `history` does not hold yet.
    ///
    /// `history` is the conversation so far, oldest first, with of the agent's words only those that were really heard.
    /// The stream yields text as the model writes it, in pieces of any size that join without separators, and tool calls;
    /// it ends when the reply is complete. After an `Err` nothing follows.
    async fn generate(
        &self,
        text: &str,
        session: &SessionInfo,
        history: &[Message],
    ) -> Result<ReplyStream, BackendError>;

    /// Speaks `text`, usually one sentence.
    async fn speak(&self, text: &str) -> Result<SpeechStream, BackendError>;

    /// Whether the backend can be reached, for the health page; no call waits for it. It must cost the backend little.
    async fn health(&self) -> Result<(), BackendError> {
        Ok(())
    }

    /// What `stage` asks, as a name: where two backends of a process give the same one, what befalls one befalls the other,
    /// and they share a circuit. `None`: nobody else asks it. Never with credentials in it.
    fn endpoint(&self, stage: Stage) -> Option<String> {
        let _ = stage;
        None
    }
}

#[async_trait]
impl<B: VoiceBackend + ?Sized> VoiceBackend for Arc<B> {
    async fn transcribe(&self, audio: &[i16], rate: SampleRate) -> Result<String, BackendError> {
        (**self).transcribe(audio, rate).await
    }

    async fn generate(
        &self,
        text: &str,
        session: &SessionInfo,
        history: &[Message],
    ) -> Result<ReplyStream, BackendError> {
        (**self).generate(text, session, history).await
    }

    async fn speak(&self, text: &str) -> Result<SpeechStream, BackendError> {
        (**self).speak(text).await
    }

    async fn health(&self) -> Result<(), BackendError> {
        (**self).health().await
    }

    fn endpoint(&self, stage: Stage) -> Option<String> {
        (**self).endpoint(stage)
    }
}

/// What a backend may know of the call that it answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionInfo {
    /// The session's identifier, the same in logs and records.
    pub id: String,
    /// The caller's number or name, as the switch reported it; empty when withheld.
    pub caller: String,
    /// What the caller dialed.
    pub dialed: String,
    /// The conversation's language as a BCP 47 tag, such as `en` or `de-AT`.
    pub language: String,
    /// The system prompt of the model; empty for none.
    pub prompt: String,
}

/// One piece of a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum ReplyPart {
    /// Words to speak, in pieces of any size that join without separators.
    Text(String),
    /// Something to do on the call once the words before it were heard.
    Tool(ToolCall),
    /// The words before it are whole and can be spoken, though the stream has not ended: the model has said that it
    /// stopped, and the server has not.
    Pause,
    /// All words and tools before it were a thought and no answer, which could not be known before: they are taken back.
    TakenBack,
    /// Something that the model asked for and that can't be done as it stands. Where nothing else comes of the reply,
    /// the caller is told.
    Refused(RefusedCall),
}

/// A reply as the model writes it. Ends after the first `Err`; dropping it cancels the request.
pub type ReplyStream = BoxStream<'static, Result<ReplyPart, BackendError>>;

/// Speech as the synthesiser makes it.
pub struct SpeechStream {
    /// The rate of every chunk.
    pub rate: SampleRate,
    /// Mono PCM in pieces of any length, in order. Ends after the first `Err`; dropping it cancels the request.
    pub chunks: BoxStream<'static, Result<Samples, BackendError>>,
}

impl fmt::Debug for SpeechStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpeechStream").field("rate", &self.rate).finish_non_exhaustive()
    }
}

/// A step of a turn, as metrics, logs and breakers tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Speech to text.
    Transcribe,
    /// Text to reply.
    Generate,
    /// Reply to speech.
    Speak,
}

impl Stage {
    /// Every stage, in the order of a turn.
    pub const ALL: [Self; 3] = [Self::Transcribe, Self::Generate, Self::Speak];

    /// The stage's name in metrics, logs and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transcribe => "transcribe",
            Self::Generate => "generate",
            Self::Speak => "speak",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
