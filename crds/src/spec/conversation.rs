//! How the agent speaks and listens.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text;

/// How the agent speaks and listens. Of the texts, one that is left out is the built-in one, in English, and an empty one
/// is not said.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "Conversation::default")]
#[x_kube(
    validation = Rule::new(
        "self.bargeIn.mode == 'Disabled' || self.bargeIn.speechMilliseconds <= self.endpointing.minSpeechMilliseconds"
    )
    .message(
        "lower bargeIn.speechMilliseconds to at most endpointing.minSpeechMilliseconds: \
         speech long enough to be a turn must be able to interrupt the agent"
    ),
    validation = Rule::new(
        "self.silence.mode == 'Ignore' || self.silence.afterSeconds * 1000 > self.endpointing.endSilenceMilliseconds"
    )
    .message(
        "raise silence.afterSeconds above endpointing.endSilenceMilliseconds: \
         the pause that ends a turn is no silence to ask about yet"
    )
)]
pub struct Conversation {
    /// What the agent says first. Empty: it waits for the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    #[x_kube(validation = text::at_most_bytes(1000), validation = text::not_none())]
    pub greeting: Option<String>,

    /// Instructions for the language model: who it is, what it knows, how it shall speak. Left out: a friendly
    /// assistant. Empty: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16384))]
    #[x_kube(validation = text::at_most_bytes(16_384), validation = text::not_none())]
    pub prompt: Option<String>,

    /// Language of the conversation, as a tag such as en or pt-BR. Translate the texts too.
    #[schemars(length(min = 2, max = 35), regex(pattern = r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$"))]
    pub language: String,

    /// What the agent says before it hangs up by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    #[x_kube(validation = text::at_most_bytes(1000), validation = text::not_none())]
    pub goodbye: Option<String>,

    /// What the agent says before a transfer that the model did not announce.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    #[x_kube(validation = text::at_most_bytes(1000), validation = text::not_none())]
    pub transfer_phrase: Option<String>,

    /// To what kinds of destinations the model may transfer callers; it is offered no other, and none that transfers does not allow.
    pub transfer_destinations: TransferDestinations,

    /// What the agent says when its pod takes over a call that another pod lost. Left out: it just goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    #[x_kube(validation = text::at_most_bytes(1000), validation = text::not_none())]
    pub takeover_phrase: Option<String>,
    /// What the agent says, instead of that, to a caller whose last words were lost with another pod. Left out: in the language of the
    /// conversation that they were missed, or the silence prompt where that language is not known to it. Empty: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub lost_words_phrase: Option<String>,

    /// When the caller's turn begins and ends.
    pub endpointing: Endpointing,

    /// Which transcripts say that nothing was said, besides empty ones: the agent goes on where it was.
    pub transcript_check: TranscriptCheck,

    /// Whether and when the caller may interrupt the agent.
    pub barge_in: BargeIn,

    /// What happens when the caller says nothing.
    pub silence: Silence,
}

impl Default for Conversation {
    fn default() -> Self {
        Self {
            greeting: None,
            prompt: None,
            language: "en".to_owned(),
            goodbye: None,
            transfer_phrase: None,
            transfer_destinations: TransferDestinations::default(),
            takeover_phrase: None,
            lost_words_phrase: None,
            endpointing: Endpointing::default(),
            transcript_check: TranscriptCheck::default(),
            barge_in: BargeIn::default(),
            silence: Silence::default(),
        }
    }
}

/// To what kinds of destinations callers may be transferred.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferDestinations {
    /// What transfers allows: the kinds that are among its destinations, and Addresses with an external FreeSWITCH.
    #[default]
    Auto,
    /// None at all.
    None,
    /// Telephone numbers and extensions.
    Numbers,
    /// Those, and names of the telephone system.
    Names,
    /// Those, and SIP addresses.
    Addresses,
}

/// When the caller's turn begins and ends.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "Endpointing::default")]
pub struct Endpointing {
    /// Shortest speech that counts as the caller's turn, in milliseconds. Less: short answers count, and coughs.
    #[schemars(range(min = 50, max = 5000))]
    pub min_speech_milliseconds: u32,

    /// The same while the agent waits for an answer, which may be as short as "no", in milliseconds. As much as
    /// minSpeechMilliseconds or more: no difference is made.
    #[schemars(range(min = 50, max = 5000))]
    pub short_answer_milliseconds: u32,

    /// Silence that ends the caller's turn, in milliseconds. Less: faster replies, and callers who pause are cut short.
    #[schemars(range(min = 100, max = 5000))]
    pub end_silence_milliseconds: u32,

    /// Speech that goes on for so long while an answer is ready, or the agent is paused for it, is transcribed as far as it has
    /// come, in milliseconds; without a word in it, the agent speaks. 0: its end is waited for.
    #[schemars(range(min = 0, max = 60000))]
    pub speech_check_milliseconds: u32,
}

impl Default for Endpointing {
    fn default() -> Self {
        Self {
            min_speech_milliseconds: 500,
            short_answer_milliseconds: 300,
            end_silence_milliseconds: 800,
            speech_check_milliseconds: 2500,
        }
    }
}

/// Which transcripts say that nothing was said.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TranscriptCheck {
    /// Remarks of the recogniser, and words for which there was no voice, such as "Thank you for watching" over noise.
    #[default]
    Full,
    /// Remarks of the recogniser, such as [BLANK_AUDIO] or (coughing).
    Marks,
    /// Only empty ones.
    None,
}

/// Whether and when the caller may interrupt the agent.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "BargeIn::default")]
pub struct BargeIn {
    /// Whether the caller may interrupt the agent.
    pub mode: BargeInMode,

    /// Speech over the agent that interrupts it, in milliseconds.
    #[schemars(range(min = 20, max = 2000))]
    pub speech_milliseconds: u32,

    /// Least words that interrupt the agent for good; fewer pause it. "No", "stop", "wait" and their like always interrupt.
    /// 0: any number does.
    #[schemars(range(min = 0, max = 20))]
    pub min_words: u32,

    /// What becomes of "mm-hmm", "ja", "d'accord" and their like over the agent.
    pub backchannels: Backchannels,

    /// Further words and phrases that leave the agent the floor, beside those that it knows. With ! before it one is taken out:
    /// the agent stops for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 60), regex(pattern = r"^!?[^!,\x00-\x1f]+$")))]
    pub backchannel_words: Vec<String>,

    /// Whether the agent's own voice, come back from the caller's telephone, is told from the caller's by its level.
    pub echo_guard: EchoGuard,
}

impl Default for BargeIn {
    fn default() -> Self {
        Self {
            mode: BargeInMode::default(),
            speech_milliseconds: 100,
            min_words: 0,
            backchannels: Backchannels::default(),
            backchannel_words: Vec::new(),
            echo_guard: EchoGuard::default(),
        }
    }
}

/// Whether the caller may interrupt the agent.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BargeInMode {
    /// The agent stops speaking and listens.
    #[default]
    Enabled,
    /// The agent speaks to the end.
    Disabled,
}

/// What becomes of words with which the caller shows that they listen.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backchannels {
    /// The agent goes on.
    #[default]
    Ignore,
    /// The agent stops and answers, as to all other words.
    Interrupt,
}

/// Whether the agent's echo is told from the caller.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EchoGuard {
    /// What comes back weaker than it was sent, as far as the line shows, is no caller.
    #[default]
    Enabled,
    /// All that sounds like a voice is the caller.
    Disabled,
}

/// What happens when the caller says nothing.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "Silence::default")]
pub struct Silence {
    /// What happens when the caller says nothing.
    pub mode: SilenceMode,

    /// Silence before that, in seconds.
    #[schemars(range(min = 1, max = 600))]
    pub after_seconds: u32,

    /// What the agent says then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    #[x_kube(validation = text::at_most_bytes(1000), validation = text::not_none())]
    pub prompt: Option<String>,

    /// How often the caller is asked before the agent hangs up.
    #[schemars(range(min = 0, max = 100))]
    pub max_prompts: u32,
}

impl Default for Silence {
    fn default() -> Self {
        Self { mode: SilenceMode::default(), after_seconds: 10, prompt: None, max_prompts: 3 }
    }
}

/// What happens when the caller says nothing.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SilenceMode {
    /// The agent asks whether the caller is still there, and hangs up in the end.
    #[default]
    Ask,
    /// The agent goes on waiting.
    Ignore,
}
