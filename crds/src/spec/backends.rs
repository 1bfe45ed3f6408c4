//! The speech backend that callers talk to: which kind, and what is done when it fails.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::open_ai::OpenAiBackend;

/// Speech backend that callers talk to. Exactly one of mock and openAI must be set. Neither has a default, so that going
/// from one to the other is a matter of writing the other.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.mock) != has(self.openAI)")
        .message("set exactly one kind of backend: mock ({} will do) or openAI")
)]
pub struct Backends {
    /// Built-in backend that answers with recorded speech, for trials and tests of load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mock: Option<MockBackend>,

    /// Any server with the OpenAI-compatible routes: vLLM, Ollama, llama.cpp, whisper servers, Kokoro, or a hosted one.
    // The alias: as the first specs that stand on Deployments have it.
    #[serde(rename = "openAI", alias = "openAi", default, skip_serializing_if = "Option::is_none")]
    pub open_ai: Option<OpenAiBackend>,

    /// How failed requests are repeated.
    #[serde(default)]
    pub retry_policy: RetryPolicy,

    /// When a failing backend is left alone for a while.
    #[serde(default)]
    pub circuit_breaker: CircuitBreaker,
}

/// The one kind of backend that is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BackendKind<'a> {
    /// The built-in one.
    Mock(&'a MockBackend),
    /// Servers with the OpenAI-compatible routes.
    OpenAi(&'a OpenAiBackend),
}

impl Backends {
    /// The built-in backend with all defaults.
    pub fn mock() -> Self {
        Self {
            mock: Some(MockBackend::default()),
            open_ai: None,
            retry_policy: RetryPolicy::default(),
            circuit_breaker: CircuitBreaker::default(),
        }
    }

    /// The kind that is set; nothing when it is none or both, which the API server refuses.
    pub fn kind(&self) -> Option<BackendKind<'_>> {
        match (&self.mock, &self.open_ai) {
            (Some(mock), None) => Some(BackendKind::Mock(mock)),
            (None, Some(open_ai)) => Some(BackendKind::OpenAi(open_ai)),
            (None, None) | (Some(_), Some(_)) => None,
        }
    }
}

/// Built-in backend that answers with recorded speech.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "MockBackend::default")]
pub struct MockBackend {
    /// How long it takes to transcribe, in milliseconds.
    #[schemars(range(min = 0, max = 60000))]
    pub transcribe_delay_milliseconds: u32,

    /// How long it takes to the first word of a reply, in milliseconds.
    #[schemars(range(min = 0, max = 60000))]
    pub generate_delay_milliseconds: u32,

    /// How long it takes to the first sound of a sentence, in milliseconds.
    #[schemars(range(min = 0, max = 60000))]
    pub speak_delay_milliseconds: u32,
}

impl Default for MockBackend {
    fn default() -> Self {
        Self { transcribe_delay_milliseconds: 120, generate_delay_milliseconds: 250, speak_delay_milliseconds: 80 }
    }
}

/// How failed requests to a backend are repeated, with growing pauses.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetryPolicy {
    /// A few times, for backends that fail now and then.
    #[default]
    Default,
    /// More often and sooner, for backends that have capacity to spare.
    Aggressive,
    /// Seldom and later, for backends that are billed or close to their limits.
    Conservative,
}

/// When a failing backend is left alone for a while; callers hear an apology at once instead of after the timeout.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default = "CircuitBreaker::default")]
pub struct CircuitBreaker {
    /// Failures in a row, with nobody answered since the first of them was asked, after which it is left alone.
    #[schemars(range(min = 1, max = 1000))]
    pub failures: u32,

    /// Share of the last 20 requests, in percent, that failed after which it is left alone too, once there were 10
    /// within a minute. 0: no share does.
    #[schemars(range(min = 0, max = 100))]
    pub failure_percent: u32,

    /// How long it is left alone, in seconds.
    #[schemars(range(min = 1, max = 3600))]
    pub open_seconds: u32,

    /// Successes in a row that bring it back.
    #[schemars(range(min = 1, max = 1000))]
    pub successes: u32,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self { failures: 3, failure_percent: 50, open_seconds: 30, successes: 2 }
    }
}
