//! What a conversation is told at its start: phrases, thresholds, deadlines. Plain values with sensible defaults; where
//! they come from is somebody else's concern.

use std::sync::Arc;
use std::time::Duration;

use crate::turn::backchannel::Backchannels;
use crate::turn::sentence::SplitSettings;
use crate::turn::tool::Transfers;

/// What happens when the caller speaks, or presses a key, while the agent speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruptions {
    /// The agent stops and answers.
    Allowed,
    /// The agent finishes, then answers.
    Deferred,
}

/// Everything that one call's conversation is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationSettings {
    /// The call's name in logs and records.
    pub call_id: String,
    /// Who calls.
    pub caller: String,
    /// The language spoken, as a BCP 47 tag. Default `en`.
    pub language: String,
    /// The model's instructions. The conversation only keeps them; the driver hands them to the backend.
    pub prompt: String,
    /// The first words of a call; empty to let the caller begin.
    pub greeting: String,
    /// Said to a caller who says nothing.
    pub silence_prompt: String,
    /// The last words where the model has none of its own, and when the call ends by its limits.
    pub goodbye: String,
    /// Said before a transfer where the model has announced none; empty for nothing.
    pub transfer_phrase: String,
    /// To what kinds of destinations the model may transfer the caller. Default all.
    pub transfers: Transfers,
    /// Said when another pod takes the call over; `None`, the default, lets it pass unnoticed.
    pub takeover_phrase: Option<String>,
    /// Said when the words of a caller were lost with the pod before this one; empty for nothing.
    pub lost_words_phrase: String,

    /// Speech over the agent. Default [`Interruptions::Allowed`].
    pub interruptions: Interruptions,
    /// Words over the agent that do not interrupt it. Default: those of [`Backchannels::default`].
    pub backchannels: Arc<Backchannels>,
    /// What is shorter is heard only where a short answer is expected, and not apologised for when it could not be
    /// transcribed. Default 500 ms, as of the endpointing.
    pub min_speech: Duration,
    /// Speech that goes on for so long while an answer is ready, or the agent is paused for it, is transcribed as far as
    /// it has come. Zero: it is not. Default 2.5 s.
    pub glimpse_after: Duration,
    /// Keys pressed over the agent. Default [`Interruptions::Allowed`].
    pub dtmf_interruptions: Interruptions,
    /// Speech over the agent at least this long is an interruption even when it could not be transcribed. Default 1 s.
    pub sure_speech: Duration,
    /// Time between two keys that belong together; `#` ends them at once. Default 2 s.
    pub dtmf_gap: Duration,
    /// Quiet after which the caller is asked whether they are there. Default 10 s.
    pub silence_prompt_after: Duration,
    /// How often they are asked before the call ends. Default 3.
    pub max_silence_prompts: u32,
    /// Longest call; then the goodbye. Default 30 min.
    pub max_duration: Duration,
    /// How long that goodbye may take. Default 10 s.
    pub goodbye_grace: Duration,
    /// Failures in a row after which the call is given up. What was not asked of a backend that is left alone is none
    /// of them, and neither is what a model wants and can't have. Default 3.
    pub max_failures: u32,
    /// How a reply is cut into pieces.
    pub split: SplitSettings,
    /// Longest reply, in characters; the rest is not asked for. Default 4,000.
    pub max_reply_chars: usize,

    /// The watchdogs.
    pub limits: Limits,
}

/// How long each kind of waiting may last before the conversation goes on without. They lie above the backend's own
/// deadlines, and only count where an answer got lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// From the start until the call is answered. Default 60 s.
    pub answer: Duration,
    /// For a transcription. Default 35 s.
    pub transcribe: Duration,
    /// For the next words of a reply. Default 35 s.
    pub generate: Duration,
    /// For a whole reply to be written. Default 120 s.
    pub generate_all: Duration,
    /// For the next clip to become audible. Default 20 s.
    pub clip_start: Duration,
    /// For a clip to be played. Default 60 s.
    pub clip_play: Duration,
    /// For what became of the clips that were cut off. Default 250 ms.
    pub cut: Duration,
    /// For an utterance that has begun to end; above the longest that endpointing allows. Default 35 s.
    pub utterance: Duration,
    /// For a transfer to succeed or fail. Default 60 s.
    pub transfer: Duration,
    /// For the last words of a call that is given up. Default 30 s.
    pub farewell: Duration,
}

impl Default for ConversationSettings {
    fn default() -> Self {
        Self {
            call_id: String::new(),
            caller: String::new(),
            language: "en".into(),
            prompt:
                "You are a friendly assistant on the telephone. What you write is read out to the caller, so answer \
                     in one to three short, plain sentences, without lists, links or formatting. If you did not \
                     understand, ask. Text such as [DTMF: 123#] stands for keys that the caller pressed. A sentence of \
                     yours that ends in … was interrupted there."
                    .into(),
            greeting: "Hello, how can I help you?".into(),
            silence_prompt: "Are you still there?".into(),
            goodbye: "Thank you for calling. Goodbye.".into(),
            transfer_phrase: "One moment please, I am connecting you.".into(),
            transfers: Transfers::default(),
            takeover_phrase: None,
            lost_words_phrase: "Sorry, I missed your last words. Could you say that again?".into(),
            interruptions: Interruptions::Allowed,
            backchannels: Arc::new(Backchannels::default()),
            min_speech: Duration::from_millis(500),
            glimpse_after: Duration::from_millis(2_500),
            dtmf_interruptions: Interruptions::Allowed,
            sure_speech: Duration::from_secs(1),
            dtmf_gap: Duration::from_secs(2),
            silence_prompt_after: Duration::from_secs(10),
            max_silence_prompts: 3,
            max_duration: Duration::from_secs(30 * 60),
            goodbye_grace: Duration::from_secs(10),
            max_failures: 3,
            split: SplitSettings::default(),
            max_reply_chars: 4_000,
            limits: Limits::default(),
        }
    }
}

impl Limits {
    /// The default, with whatever waits for the backend lying above these deadlines of its own: for a transcript, for a reply's first words,
    /// and for a sentence's first sound.
    #[must_use]
    pub fn above(transcribe: Duration, generate: Duration, speak: Duration) -> Self {
        const MARGIN: Duration = Duration::from_secs(5);
        let least = Self::default();
        // Before a clip's own request the one before it may have run into its deadline.
        let clip_start = least.clip_start.max(speak.saturating_mul(2));
        Self {
            transcribe: least.transcribe.max(transcribe + MARGIN),
            generate: least.generate.max(generate + MARGIN),
            generate_all: least.generate_all.max(generate.saturating_mul(4)),
            farewell: least.farewell.max(clip_start + speak),
            clip_start,
            ..least
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(60),
            transcribe: Duration::from_secs(35),
            generate: Duration::from_secs(35),
            generate_all: Duration::from_secs(120),
            clip_start: Duration::from_secs(20),
            clip_play: Duration::from_secs(60),
            cut: Duration::from_millis(250),
            utterance: Duration::from_secs(35),
            transfer: Duration::from_secs(60),
            farewell: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchdogs_lie_above_the_backends_deadlines_whatever_these_are() {
        let seconds = Duration::from_secs;
        assert_eq!(
            Limits::above(seconds(10), seconds(30), seconds(10)),
            Limits::default(),
            "by default nothing changes"
        );
        for deadline in [1, 10, 34, 120, 600].map(seconds) {
            let limits = Limits::above(deadline, deadline, deadline);
            assert!(
                limits.transcribe > deadline && limits.generate > deadline && limits.clip_start > deadline,
                "{limits:?}"
            );
            assert!(limits.generate_all > limits.generate && limits.farewell > limits.clip_start, "{limits:?}");
        }
    }
}
