//! Servers with the OpenAI-compatible routes, one for each of the three stages of a reply.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{pod::SecretKeyRef, text};

/// Servers with the OpenAI-compatible routes, one for each stage; all three may be the same.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenAiBackend {
    /// Speech to text: POST /audio/transcriptions below the URL.
    pub transcription: Transcription,

    /// Language model: POST /chat/completions below the URL, streamed.
    pub generation: Generation,

    /// Text to speech: POST /audio/speech below the URL.
    pub speech: Speech,
}

/// Speech to text.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transcription {
    /// Base URL, such as http://whisper:8000/v1. A key belongs in apiKeySecretRef, not in the URL.
    #[schemars(length(min = 8, max = 2048), regex(pattern = r"^https?://[^\s@]+$"))]
    #[x_kube(validation = Rule::new("isURL(self)").message("write url as http(s)://host[:port]/path, such as http://whisper:8000/v1"))]
    pub url: String,

    /// Model to ask for.
    #[serde(default = "default_transcription_model")]
    #[schemars(length(min = 1, max = 200))]
    #[x_kube(validation = text::at_most_bytes(200))]
    pub model: String,

    /// Secret with the API key, in the namespace of the VoiceTrunk. Left out: requests carry none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_secret_ref: Option<SecretKeyRef>,

    /// Longest wait for a transcript, in seconds.
    #[serde(default = "default_transcription_timeout_seconds")]
    #[schemars(range(min = 1, max = 600))]
    pub timeout_seconds: u32,

    /// Language that it is told. Left out: that of the conversation, under the name that recognisers have for it (nb is no, pt-BR is
    /// pt). auto: none, for callers of several languages. Anything else is sent as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 35), regex(pattern = r"^[A-Za-z][A-Za-z0-9_-]*$"))]
    pub language: Option<String>,

    /// Form of transcripts to ask for.
    #[serde(default)]
    pub response_format: TranscriptFormat,

    /// Further fields of each request, such as temperature: 0.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parameters_schema")]
    pub parameters: BTreeMap<String, Value>,
}

fn default_transcription_model() -> String {
    "whisper-1".to_owned()
}

fn default_transcription_timeout_seconds() -> u32 {
    10
}

/// Form of transcripts.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TranscriptFormat {
    /// VerboseJson, or Json of a server that refuses it.
    #[default]
    Auto,
    /// The text alone.
    Json,
    /// With how likely it is that nothing was said.
    VerboseJson,
}

/// Language model.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Generation {
    /// Base URL, such as http://ollama:11434/v1. A key belongs in apiKeySecretRef, not in the URL.
    #[schemars(length(min = 8, max = 2048), regex(pattern = r"^https?://[^\s@]+$"))]
    #[x_kube(validation = Rule::new("isURL(self)").message("write url as http(s)://host[:port]/path, such as http://ollama:11434/v1"))]
    pub url: String,

    /// Model to ask for.
    #[serde(default = "default_generation_model")]
    #[schemars(length(min = 1, max = 200))]
    #[x_kube(validation = text::at_most_bytes(200))]
    pub model: String,

    /// Secret with the API key, in the namespace of the VoiceTrunk. Left out: requests carry none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_secret_ref: Option<SecretKeyRef>,

    /// How a reasoning model's thoughts, which are never spoken, are told from its answer where the server leaves them in.
    #[serde(default)]
    pub thoughts: Thoughts,

    /// Longest wait for the model, in seconds.
    #[serde(default = "default_generation_timeout_seconds")]
    #[schemars(range(min = 1, max = 600))]
    pub timeout_seconds: u32,

    /// Whose message the instructions of conversation.prompt are.
    #[serde(default)]
    pub prompt_role: PromptRole,

    /// Further fields of each request, such as temperature: 0.3.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parameters_schema")]
    pub parameters: BTreeMap<String, Value>,
}

/// How thoughts are told from answers. What stands between marks such as `<think>` and `</think>` is always a thought.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Thoughts {
    /// Whether replies begin with a thought that no mark opens is found out from the server's replies. The first reply of
    /// each pod may begin up to 0.7 s later for it.
    #[default]
    Auto,
    /// Every reply begins with a thought; nothing is spoken before the mark that ends it, or the reply's end.
    First,
    /// Only what is marked is a thought; replies are spoken at once.
    Marked,
}

/// Whose message the instructions for the model are.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PromptRole {
    /// The system's, or the user's where the server refuses that.
    #[default]
    Auto,
    /// The system's.
    System,
    /// The developer's, which newer models take in place of the system's.
    Developer,
    /// The user's: they stand before the caller's first words.
    User,
}

fn default_generation_model() -> String {
    "gpt-4o-mini".to_owned()
}

fn default_generation_timeout_seconds() -> u32 {
    30
}

/// Text to speech.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Speech {
    /// Base URL, such as http://kokoro:8880/v1. A key belongs in apiKeySecretRef, not in the URL.
    #[schemars(length(min = 8, max = 2048), regex(pattern = r"^https?://[^\s@]+$"))]
    #[x_kube(validation = Rule::new("isURL(self)").message("write url as http(s)://host[:port]/path, such as http://kokoro:8880/v1"))]
    pub url: String,

    /// Model to ask for.
    #[serde(default = "default_speech_model")]
    #[schemars(length(min = 1, max = 200))]
    #[x_kube(validation = text::at_most_bytes(200))]
    pub model: String,

    /// Voice of the agent.
    #[serde(default = "default_voice")]
    #[schemars(length(min = 1, max = 200))]
    #[x_kube(validation = text::at_most_bytes(200))]
    pub voice: String,

    /// Format to ask for.
    #[serde(default)]
    pub format: SpeechFormat,

    /// Sample rate of speech of format Pcm, in Hz; the one of Wav is in its header.
    #[serde(default = "default_pcm_rate_hertz")]
    #[schemars(schema_with = "rate_schema")]
    pub pcm_rate_hertz: u32,

    /// Secret with the API key, in the namespace of the VoiceTrunk. Left out: requests carry none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_secret_ref: Option<SecretKeyRef>,

    /// Longest wait for speech, in seconds.
    #[serde(default = "default_speech_timeout_seconds")]
    #[schemars(range(min = 1, max = 600))]
    pub timeout_seconds: u32,

    /// Further fields of each request, such as speed: 1.1.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parameters_schema")]
    pub parameters: BTreeMap<String, Value>,
}

fn default_speech_model() -> String {
    "tts-1".to_owned()
}

fn default_voice() -> String {
    "alloy".to_owned()
}

fn default_pcm_rate_hertz() -> u32 {
    24_000
}

fn default_speech_timeout_seconds() -> u32 {
    10
}

/// Format that text-to-speech is asked for.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpeechFormat {
    /// With a header that says the rate.
    #[default]
    Wav,
    /// Bare 16-bit samples, little end first; pcmRateHertz says the rate.
    Pcm,
}

/// Whatever a server takes: fields that this API can't know.
fn parameters_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "maxProperties": 32, "x-kubernetes-preserve-unknown-fields": true })
}

/// The sample rates that the data plane resamples from.
fn rate_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "integer",
        "format": "int32",
        "minimum": 8000,
        "maximum": 48000,
        "enum": [8000, 16000, 24000, 48000],
    })
}
